//! Three machines in networks of their own: a client, the guard with the packet filter that is exported for it, and a device
//! that is reached only through both.

use std::path::Path;
use std::process::Stdio;

use crate::machines::{Machine, Program, is_root, run};

const SITE: &str = r#"
[site]
name = "Two networks"
[role.operator]
may = ["write"]
[zone.control]
networks = ["10.20.0.9"]
[zone.operators]
networks = ["10.20.0.11"]
roles = ["operator"]
[device.plc]
connect = "tcp://10.20.1.21"
[device.plc.tag]
level = { at = "holding:0*1" }
speed = { at = "holding:10", range = [0, 500], write = { roles = ["operator"], min = 20, max = 500 } }
[guard.plc]
listen = ["tcp://10.20.0.5:502"]
to = "plc"
allow = [{ from = ["control", "operators"], do = "derived" }]
"#;

/// mbpoll, from this address: what it ends with, and says.
fn mbpoll(client: &Machine, from: &str, to: &str, arguments: &[&str]) -> (i32, String) {
    client.sh(&format!("ip route replace {to}/32 {} dev control src {from}", via(to)));
    let mut command = client.command("mbpoll");
    // Once, one second of patience, addresses as on the wire, quiet about itself.
    command.args(["-m", "tcp", "-a", "1", "-0", "-1", "-o", "1", "-q", "-t", "4"]).args(arguments);
    let ran = run(&mut command);
    (ran.code, ran.out + &ran.err)
}

fn via(to: &str) -> &'static str {
    if to == "10.20.0.5" { "" } else { "via 10.20.0.5" }
}

#[test]
fn a_device_is_reached_only_through_the_guard_and_mbpoll_is_refused_a_write() {
    if !is_root() {
        return;
    }
    for (program, paths) in [("nft", ["/usr/sbin/nft", "/sbin/nft"]), ("mbpoll", ["/usr/bin/mbpoll"; 2])] {
        if !paths.iter().any(|path| Path::new(path).exists()) {
            assert!(std::env::var_os("PORT502_REQUIRE_PEERS").is_none(), "{program} is not installed");
            println!("skipped: {program} is not installed");
            return;
        }
    }
    let [guard, client, device] = [Machine::new(), Machine::new(), Machine::new()];
    guard.link("control", "10.20.0.5/24", &client, "10.20.0.9/24");
    guard.link("plant", "10.20.1.5/24", &device, "10.20.1.21/24");
    // It forwards, as a router does: without the filter the device would be open to all.
    guard.sh("sysctl -q -w net.ipv4.ip_forward=1");
    client.sh("ip addr add 10.20.0.11/24 dev control; ip addr add 10.20.0.66/24 dev control; ip route add default via 10.20.0.5");
    device.sh("ip route add default via 10.20.1.5");
    let _device = device.serve("tcp://0.0.0.0:502");
    assert_eq!(mbpoll(&client, "10.20.0.66", "10.20.1.21", &["-r", "0", "10.20.1.21"]).0, 0, "open to all");

    guard.sh(&format!("cat > /srv/site.toml <<'END'\n{SITE}END"));
    let filter = "/srv/port502 export /srv/site.toml --to nftables --guard-address 10.20.1.5";
    guard.sh(&format!("{filter} 2>/srv/left-out | nft -f -"));
    let mut command = guard.command("/srv/port502");
    command.args(["guard", "/srv/site.toml", "--evidence", "/srv/evidence"]).stdin(Stdio::null());
    let _guard = Program::start(&mut command, "listening on ");

    for from in ["10.20.0.9", "10.20.0.11", "10.20.0.66"] {
        let (code, said) = mbpoll(&client, from, "10.20.1.21", &["-r", "0", "10.20.1.21"]);
        assert_ne!(code, 0, "{from} goes past the guard: {said}");
    }
    let guarded = "10.20.0.5";
    let (code, said) = mbpoll(&client, "10.20.0.9", guarded, &["-r", "0", guarded]);
    assert!(code == 0 && said.contains("[0]:"), "{said}");
    // Who only looks may not write; who may has limits; and strangers come to no connection.
    let (code, said) = mbpoll(&client, "10.20.0.9", guarded, &["-r", "10", guarded, "30"]);
    assert!(code != 0 && said.contains("Illegal function"), "{said}");
    let (code, said) = mbpoll(&client, "10.20.0.11", guarded, &["-r", "10", guarded, "30"]);
    assert!(code == 0 && said.contains("Written 1 reference"), "{said}");
    let (code, said) = mbpoll(&client, "10.20.0.11", guarded, &["-r", "10", guarded, "501"]);
    assert!(code != 0 && said.contains("Illegal function"), "{said}");
    let (code, said) = mbpoll(&client, "10.20.0.66", guarded, &["-r", "0", guarded]);
    assert!(code != 0 && !said.contains("Illegal"), "{said}");
    let (code, said) = mbpoll(&client, "10.20.0.9", guarded, &["-r", "10", guarded]);
    assert!(code == 0 && said.contains("30"), "polling goes on: {said}");

    let mut evidence = String::new();
    while evidence.lines().count() < 2 {
        evidence = guard.sh("cat /srv/evidence");
    }
    let reasons: Vec<serde_json::Value> =
        evidence.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect();
    assert_eq!((&reasons[0]["client"], &reasons[0]["reason"]), (&"10.20.0.9".into(), &"function".into()));
    assert_eq!((&reasons[1]["client"], &reasons[1]["reason"]), (&"10.20.0.11".into(), &"limits".into()));
}

#[test]
fn it_needs_no_root_only_the_right_to_port_502() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let _device = machine.serve("tcp://127.0.0.1:1502");
    let site = SITE
        .replace("tcp://10.20.1.21", "tcp://127.0.0.1:1502")
        .replace("10.20.0.5", "127.0.0.1")
        .replace("10.20.0.9", "127.0.0.1");
    machine.sh(&format!("cat > /srv/site.toml <<'END'\n{site}END\nmkdir -m 777 /srv/state"));
    let rights = "-all,+net_bind_service";
    let mut command = machine.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    command.args([&format!("--inh-caps={rights}"), &format!("--ambient-caps={rights}")]);
    command.args([&format!("--bounding-set={rights}"), "/srv/port502", "guard", "/srv/site.toml"]);
    command.args(["--journal", "/srv/state/kept"]).stdin(Stdio::null());
    let _guard = Program::start(&mut command, "listening on tcp://127.0.0.1:502");
    let ask = |arguments: &[&str]| run(machine.command("/srv/port502").args(arguments)).code;
    assert_eq!(ask(&["read", "127.0.0.1", "h:0"]), 0);
    assert_eq!(ask(&["write", "127.0.0.1", "h:10=30"]), 5);
    let mut kept = String::new();
    while !kept.contains("function") {
        kept = machine.sh("/srv/port502 journal /srv/state/kept");
    }
}
