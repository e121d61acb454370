//! TLS in front of devices that know none, and between two guards.

use rustix::process::Signal;

use crate::site::{device, free_port, scrape, signal, site};
use crate::support::{Folder, Running};

fn certificates() -> Folder {
    let folder = Folder::new();
    folder.must("port502 cert ca");
    folder.must("port502 cert server --name guard --ip 127.0.0.1");
    folder.must("port502 cert client --name panel --role operator");
    folder.must("port502 cert client --name guest");
    folder
}

const FILES: &str = r#"cert = "pki/guard.pem"
key = "pki/guard.key"
ca = "pki/ca.pem"
"#;

/// The zone of loopback has no role: only a certificate brings one.
fn without_roles(site: &str) -> String {
    site.replace("networks = [\"127.0.0.1\"]\nroles = [\"operator\"]", "networks = [\"127.0.0.1\"]")
}

#[test]
fn an_old_device_gets_authentication_and_roles() {
    let folder = certificates();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.write("site.toml", &without_roles(&site(&target, &format!("tls://127.0.0.1:{port}"), FILES)));
    let guard = Running::start(folder.command("port502", &["guard", "site.toml", "--json"]));
    guard.says("listening on tls://");
    let ask = |what: &str, who: &str, point: &str| {
        let files = format!("?cert=pki/{who}.pem");
        folder.run(&format!("port502 {what} tls://127.0.0.1:{port}{files} --unit 3 {point} --timeout 20s"))
    };
    assert_eq!(ask("write", "panel", "h:200=42").code, 0);
    assert_eq!(ask("read", "guest", "h:200").code, 0);
    assert_eq!(ask("write", "guest", "h:200=43").code, 5);
    let refused = guard.says("{");
    assert!(
        refused.contains("\"subject\":\"CN=guest\"") && refused.contains("\"fingerprint\":"),
        "{refused}"
    );
    assert_eq!(ask("write", "panel", "h:200=501").code, 5);
    let refused = guard.says("{");
    assert!(
        refused.contains("\"role\":\"operator\"") && refused.contains("\"reason\":\"limits\""),
        "{refused}"
    );
    // Without TLS nobody gets as far as the rules.
    let plain = folder.run(&format!("port502 read 127.0.0.1:{port} --unit 3 h:200 --timeout 20s"));
    assert!([3, 6].contains(&plain.code), "{plain:?}");
}

#[test]
fn who_is_turned_away_is_counted_by_reason() {
    let folder = certificates();
    let stranger = certificates();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.must("port502 cert client --name lost");
    folder.must("port502 cert revoke pki/lost.pem");
    folder.write("site.toml", &without_roles(&site(&target, &format!("tls://127.0.0.1:{port}"), FILES)));
    let arguments = ["guard", "site.toml", "--metrics", "127.0.0.1:0"];
    let guard = Running::start(folder.command("port502", &arguments));
    let metrics = guard.says("metrics on http://");
    let ask = |folder: &Folder, target: &str| {
        folder.run(&format!("port502 read {target} --unit 3 h:200 --timeout 20s"));
    };
    ask(&folder, &format!("127.0.0.1:{port}"));
    ask(&folder, &format!("tls://127.0.0.1:{port}?cert=pki/lost.pem"));
    let ca = folder.0.join("pki/ca.pem");
    ask(&stranger, &format!("tls://127.0.0.1:{port}?cert=pki/panel.pem&ca={}", ca.display()));
    let page = scrape(&metrics);
    for reason in ["plain-modbus", "revoked", "unknown-authority"] {
        let line = format!("port502_guard_turned_away_total{{conduit=\"pump\",reason=\"{reason}\"}} ");
        assert!(page.contains(&line), "{line}\n{page}");
    }
}

#[test]
fn two_guards_back_to_back_are_an_encrypted_conduit() {
    let folder = certificates();
    folder.must("port502 cert client --name west --role operator");
    let (_device, target) = device(&folder);
    let (near, far) = (free_port(), free_port());
    // At the device: TLS in, plain out. At the clients: plain in, TLS out, with a certificate of its own.
    folder.write("far.toml", &without_roles(&site(&target, &format!("tls://127.0.0.1:{far}"), FILES)));
    let through = format!("tls://127.0.0.1:{far}?cert=pki/west.pem");
    folder.write("near.toml", &site(&through, &format!("tcp://127.0.0.1:{near}"), ""));
    let east = Running::start(folder.command("port502", &["guard", "far.toml"]));
    east.says("listening on");
    let west = Running::start(folder.command("port502", &["guard", "near.toml"]));
    west.says("listening on");
    let at = format!("127.0.0.1:{near} --unit 3");
    assert_eq!(folder.run(&format!("port502 write {at} h:200=77 --timeout 20s")).code, 0);
    assert!(folder.must(&format!("port502 read {at} h:200 --timeout 20s")).contains("77"));
    east.says("CN=west");
    assert_eq!(folder.run(&format!("port502 write {at} h:200=501 --timeout 20s")).code, 5);
    west.says("the value is outside its limits");
}

#[test]
fn one_certificate_that_is_wrong_leaves_all_of_them_as_they_were() {
    let folder = certificates();
    folder.must("port502 cert server --name second --ip 127.0.0.1");
    // Clients would notice this one: it is for another address.
    folder.must("port502 cert server --name elsewhere --ip 127.0.0.9");
    let (_device, target) = device(&folder);
    let (first, second) = (free_port(), free_port());
    let listen = format!(
        "tls://127.0.0.1:{first}?cert=pki/guard.pem\", \"tls://127.0.0.1:{second}?cert=pki/second.pem"
    );
    folder.write("site.toml", &without_roles(&site(&target, &listen, FILES)));
    let guard = Running::start(folder.command("port502", &["guard", "site.toml"]));
    guard.says(&format!("listening on tls://127.0.0.1:{second}"));
    let ask = |port: u16| {
        let at = format!("tls://127.0.0.1:{port}?cert=pki/panel.pem --unit 3 h:200 --timeout 20s");
        folder.run(&format!("port502 read {at}")).code
    };
    assert_eq!((ask(first), ask(second)), (0, 0));
    let replace = |name: &str| {
        for end in ["pem", "key"] {
            std::fs::copy(
                folder.0.join(format!("pki/elsewhere.{end}")),
                folder.0.join(format!("pki/{name}.{end}")),
            )
            .unwrap();
        }
    };
    replace("guard");
    folder.write("pki/second.pem", "nothing");
    signal(&guard, Signal::HUP);
    guard.says("that is wrong; everything stays as it was");
    assert_eq!((ask(first), ask(second)), (0, 0), "and that is true of the first place, too");
    // With both of them whole they are taken.
    replace("second");
    signal(&guard, Signal::HUP);
    guard.says("the site was read again");
    assert_ne!(ask(first), 0);
}

#[test]
fn a_certificate_may_have_another_path() {
    let folder = certificates();
    folder.must("port502 cert server --name renewed --ip 127.0.0.1");
    let (_device, target) = device(&folder);
    let port = free_port();
    let with = |files: &str| {
        folder.write("site.toml", &without_roles(&site(&target, &format!("tls://127.0.0.1:{port}"), files)));
    };
    with(FILES);
    let guard = Running::start(folder.command("port502", &["guard", "site.toml"]));
    guard.says("listening on");
    let ask = || {
        folder.run(&format!(
            "port502 read tls://127.0.0.1:{port}?cert=pki/panel.pem --unit 3 h:200 --timeout 20s"
        ))
    };
    assert_eq!(ask().code, 0);
    let pin = |name: &str| {
        let shown = folder.must(&format!("port502 cert show pki/{name}.pem"));
        shown.lines().find(|line| line.contains("sha256")).unwrap().to_owned()
    };
    assert_ne!(pin("guard"), pin("renewed"));
    for end in ["pem", "key"] {
        std::fs::remove_file(folder.0.join(format!("pki/guard.{end}"))).unwrap();
    }
    with(&FILES.replace("guard", "renewed"));
    signal(&guard, Signal::HUP);
    guard.says("the site was read again");
    assert_eq!(ask().code, 0);
    // And from now on it is that one that is read.
    signal(&guard, Signal::HUP);
    guard.says("the site was read again");
}
