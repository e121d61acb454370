//! The gateway in front of a device that knows no roles: clients show certificates, and rights decide what goes on.

use super::support::{Folder, Running};

/// The address behind the words of a server's first line.
fn port(line: &str) -> String {
    let address = line.split("://").nth(1).unwrap().split('?').next().unwrap();
    address.rsplit(':').next().unwrap().to_owned()
}

fn hang_up(running: &Running) {
    let id = rustix::process::Pid::from_raw(running.child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
}

#[test]
fn roles_guard_a_device_behind_the_gateway() {
    let folder = Folder::new();
    folder.must("port502 cert ca");
    folder.must("port502 cert server --name gateway --ip 127.0.0.1");
    folder.must("port502 cert client --name panel --role operator");
    folder.must("port502 cert client --name wall --role viewer");
    folder.must("port502 cert client --name guest");
    folder.write("rights.csv", "role,access\noperator,rw\nviewer,read\n");

    let device = Running::start(folder.command("port502", &["serve", "--listen", "tcp://127.0.0.1:0"]));
    let to = format!("tcp://127.0.0.1:{}", port(&device.says("listening on")));
    let listen = "tls://127.0.0.1:0?cert=pki/gateway.pem";
    let without = folder.run(&format!("port502 gateway --listen {listen} --to {to}"));
    assert_eq!(without.code, 2, "{without:?}");
    assert!(
        without.err.contains("say what clients with each role may do, with --rights FILE"),
        "{without:?}"
    );

    let arguments = ["gateway", "--listen", listen, "--to", &to, "--rights", "rights.csv"];
    let gateway = Running::start(folder.command("port502", &arguments));
    let place = format!("tls://127.0.0.1:{}", port(&gateway.says("listening on")));
    let ask = |what: &str, who: &str, point: &str| {
        folder.run(&format!("port502 {what} {place}?cert=pki/{who}.pem {point} --timeout 20s"))
    };
    assert_eq!(ask("write", "panel", "h:10=42").code, 0);
    let read = ask("read", "wall", "h:10");
    assert!(read.code == 0 && read.out.contains("42"), "{read:?}");
    assert_eq!(ask("write", "wall", "h:10=7").code, 5, "refused with an exception");
    gateway.says("CN=wall");
    assert_eq!(ask("read", "guest", "h:10").code, 5, "the null role has no rights");
    assert!(ask("read", "panel", "h:10").out.contains("42"), "what was refused never came to the device");

    // Rights and revocations that are read again hold at once; a file that is wrong changes nothing.
    folder.write("rights.csv", "role,access\noperator,rw\nviewer,everything\n");
    hang_up(&gateway);
    gateway.says("that is wrong; everything stays as it was");
    assert_eq!(ask("read", "wall", "h:10").code, 0);
    folder.write("rights.csv", "role,access\noperator,rw\nviewer,rw\n");
    hang_up(&gateway);
    gateway.says("certificates and rights were read again");
    assert_eq!(ask("write", "wall", "h:10=7").code, 0);
}
