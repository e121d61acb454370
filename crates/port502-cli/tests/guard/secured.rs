//! TLS in front of devices that know none, and between two guards.

use crate::site::{device, free_port, site};
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
