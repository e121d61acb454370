//! Simulators of a site over TLS: who may read and write is decided by roles, as for a device in memory.

use super::support::{Folder, Running};

/// A site with a link over TLS and one without. What it says of certificates is the poller's.
const SITE: &str = "\
[site]
name = \"p\"
[device.press]
connect = \"tls://127.0.0.1:0?cert=pki/panel.pem\"
[device.press.tag.speed]
at = \"holding:7\"
initial = 42
write = { roles = [\"operator\"], min = 0, max = 50 }
[device.kiln]
connect = \"tcp://127.0.0.2:0\"
unit = 2
[device.kiln.tag.heat]
at = \"holding:9\"
initial = 3
[role.operator]
may = [\"write\"]
";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.must("port502 cert ca");
    folder.must("port502 cert server --name plant --ip 127.0.0.1");
    folder.must("port502 cert client --name panel --role operator");
    folder.must("port502 cert client --name wall --role viewer");
    folder.write("rights.csv", "role,access\noperator,rw\nviewer,read\n");
    folder.write("site.toml", SITE);
    folder
}

/// The place of a line `listening on tls://127.0.0.1:4711?...`, without options.
fn place(line: &str) -> String {
    line.trim_start_matches("listening on ").split('?').next().unwrap().to_owned()
}

#[test]
fn all_units_at_one_place() {
    let folder = folder();
    let listen = "tls://127.0.0.1:0?cert=pki/plant.pem";
    let without = folder.run(&format!("port502 serve --site site.toml --listen {listen}"));
    assert_eq!(without.code, 2, "{without:?}");
    assert!(without.err.contains("with --rights FILE"), "{without:?}");

    let arguments = [
        "serve",
        "--site",
        "site.toml",
        "--listen",
        listen,
        "--rights",
        "rights.csv",
        "--record",
        "all.pcap",
    ];
    let plant = Running::start(folder.command("port502", &arguments));
    let at = place(&plant.says("listening on tls://"));
    plant.says("recording to all.pcap: tls://127.0.0.1:");
    let ask = |what: &str, who: &str, point: &str| {
        folder.run(&format!("port502 {what} {at}?cert=pki/{who}.pem {point} --timeout 20s"))
    };
    let read = ask("read", "wall", "h:7");
    assert!(read.code == 0 && read.out.contains("42"), "{read:?}");
    assert!(ask("read", "panel", "h:9 --unit 2").out.contains(" 3 "), "the other lane is there, too");
    assert_eq!(ask("write", "wall", "h:7=5").code, 5, "a viewer may not");
    plant.says("CN=wall");
    assert_eq!(ask("write", "panel", "h:7=5").code, 0);
    assert!(ask("read", "wall", "h:7").out.contains(" 5 "));

    // Rights that are read again hold at once.
    folder.write("rights.csv", "role,access\noperator,rw\nviewer,rw\n");
    let id = rustix::process::Pid::from_raw(plant.child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
    plant.says("reloaded the certificates and rights.csv");
    assert_eq!(ask("write", "wall", "h:7=6").code, 0);

    // What came over TLS is in the recording as it was said, and a server that is killed has lost none of it.
    drop(plant);
    let shown = folder.must("port502 decode --pcap all.pcap --json");
    let functions = |code: u8| shown.matches(&format!("\"function\":{code},")).count();
    assert!(functions(3) >= 3 && functions(6) == 3, "{shown}");
}

#[test]
fn each_link_at_its_own_place() {
    let folder = folder();
    let without = folder.run("port502 serve --site site.toml --rights rights.csv");
    assert_eq!(without.code, 2, "{without:?}");
    assert!(
        without.err.contains("press is reached over TLS") && without.err.contains("--tls cert=FILE.pem"),
        "{without:?}"
    );
    let wrong = folder.run("port502 serve --site site.toml --rights rights.csv --tls cart=pki/plant.pem");
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("`cart=pki/plant.pem` is not an option of tls targets"), "{wrong:?}");

    folder.write("rights.csv", "role,access\noperator,rw\n-,read\n");
    let arguments = [
        "serve",
        "--site",
        "site.toml",
        "--rights",
        "rights.csv",
        "--tls",
        "cert=pki/plant.pem&ca=pki/ca.pem",
    ];
    let plant = Running::start(folder.command("port502", &arguments));
    let (press, kiln) =
        (place(&plant.says("listening on tls://")), place(&plant.says("listening on tcp://")));
    let read = folder.run(&format!("port502 read {press}?cert=pki/panel.pem h:7 --timeout 20s"));
    assert!(read.code == 0 && read.out.contains("42"), "{read:?}");
    // A client without TLS has no role, and the rights are those of roles.
    let read = folder.run(&format!("port502 read {kiln} --unit 2 h:9"));
    assert!(read.code == 0 && read.out.contains(" 3 "), "{read:?}");
    assert_eq!(folder.run(&format!("port502 write {kiln} --unit 2 h:9=4")).code, 5);
    plant.says("without a role may not write");
}
