//! The table for nftables, loaded, with real connections through it.

use std::path::Path;

use crate::support::{Machine, Program, is_root, run};
use crate::{exported, folder};

const SITE: &str = r#"
[site]
name = "Test plant"
[zone.control]
networks = ["10.20.0.0/25"]
[device.plc]
connect = "tcp://10.20.1.21"
[device.plc.tag]
level = { at = "holding:0" }
[guard.plc]
listen = ["tcp://0.0.0.0:502"]
to = "plc"
allow = [
    { from = "control", do = "derived" },
    { name = "service", from = "192.168.7.9", functions = ["43/14"] },
]
connections_per_client = 2
"#;

/// The guard's machine between a control network, an office and the device. It forwards, as a router does.
struct Plant {
    guard: Machine,
    control: Machine,
    office: Machine,
    device: Machine,
    _servers: [Program; 2],
}

impl Plant {
    fn new() -> Option<Plant> {
        if !is_root() {
            return None;
        }
        if !Path::new("/usr/sbin/nft").exists() && !Path::new("/sbin/nft").exists() {
            assert!(std::env::var_os("PORT502_REQUIRE_PEERS").is_none(), "nft is not installed");
            println!("skipped: nft is not installed");
            return None;
        }
        let machines = [Machine::new(), Machine::new(), Machine::new(), Machine::new()];
        let [guard, control, office, device] = machines;
        guard.link("control", "10.20.0.5/24", &control, "10.20.0.9/24");
        guard.link("office", "192.168.7.5/24", &office, "192.168.7.9/24");
        guard.link("plc", "10.20.1.5/24", &device, "10.20.1.21/24");
        guard.sh("sysctl -q -w net.ipv4.ip_forward=1");
        control.sh("ip addr add 10.20.0.200/24 dev control; ip route add default via 10.20.0.5");
        office.sh("ip addr add 192.168.7.10/24 dev office; ip route add default via 192.168.7.5");
        device.sh("ip route add default via 10.20.1.5");
        let servers = [guard.serve("tcp://0.0.0.0:502"), device.serve("tcp://0.0.0.0:502")];
        Some(Plant { guard, control, office, device, _servers: servers })
    }

    fn load(&self, machine: &Machine, rules: &Path) {
        let script = std::fs::read_to_string(rules).unwrap();
        // Machines have no files in common but those of the system: it goes by stdin.
        machine.sh(&format!("nft -f - <<'END'\n{script}END"));
    }
}

/// Whether a client can read a register there, coming from this address of its own.
fn reads(client: &Machine, link: &str, from: &str, to: &str) -> bool {
    let gate = if link == "office" { "192.168.7.5" } else { "10.20.0.5" };
    client.sh(&format!("ip route replace {to}/32 {} dev {link} src {from}", via(to, gate)));
    let mut command = client.command("/srv/port502");
    run(command.args(["read", &format!("tcp://{to}"), "h:0", "--timeout", "1s", "--retries", "0"])).code == 0
}

fn via(to: &str, gate: &str) -> String {
    if to == gate { String::new() } else { format!("via {gate}") }
}

#[test]
fn devices_are_reached_only_through_the_guard() {
    let Some(plant) = Plant::new() else { return };
    let folder = folder("nftables");
    let rules = folder.join("rules.nft");
    let options = ["--to", "nftables", "--guard-address", "10.20.1.5", "-o", "rules.nft"];
    exported(&folder, SITE, &options);

    // Without rules everybody reaches everything.
    let clients = [
        (&plant.control, "control", "10.20.0.9", "10.20.0.5", true),
        (&plant.control, "control", "10.20.0.200", "10.20.0.5", false),
        (&plant.office, "office", "192.168.7.9", "192.168.7.5", true),
        (&plant.office, "office", "192.168.7.10", "192.168.7.5", false),
    ];
    for (client, link, from, guard, _) in clients {
        assert!(reads(client, link, from, guard) && reads(client, link, from, "10.20.1.21"), "{from}");
    }

    // On the guard's machine, twice: who may come in, and nobody past it.
    plant.load(&plant.guard, &rules);
    plant.load(&plant.guard, &rules);
    let listed = plant.guard.sh("nft list ruleset");
    assert_eq!(listed.matches("table inet port502_test_plant").count(), 1, "{listed}");
    assert_eq!(listed.matches("goto conduit_plc").count(), 1, "each rule once\n{listed}");
    for (client, link, from, guard, may) in clients {
        assert_eq!(reads(client, link, from, guard), may, "{from} by the guard");
        assert!(!reads(client, link, from, "10.20.1.21"), "{from} past the guard");
    }
    // Only these ports are its business.
    let other = plant.guard.serve("tcp://0.0.0.0:1502");
    let mut command = plant.office.command("/srv/port502");
    let read = run(command.args(["read", "tcp://192.168.7.5:1502", "h:0", "--timeout", "1s"]));
    assert_eq!(read.code, 0, "{read:?}");
    drop(other);
    // The guard reaches the device.
    let asks = |from: &Machine| {
        let mut command = from.command("/srv/port502");
        run(command.args(["read", "tcp://10.20.1.21", "h:0", "--timeout", "1s", "--retries", "0"])).code == 0
    };
    assert!(asks(&plant.guard));

    // On the device's own machine, where the router lets everybody through.
    plant.guard.sh("nft delete table inet port502_test_plant");
    plant.load(&plant.device, &rules);
    for (client, link, from, guard, _) in clients {
        assert!(reads(client, link, from, guard), "{from}: nothing is loaded there");
        assert!(!reads(client, link, from, "10.20.1.21"), "{from} at the device");
    }
    assert!(asks(&plant.guard));
}

#[test]
fn a_client_has_so_many_connections_and_no_more() {
    let Some(plant) = Plant::new() else { return };
    let folder = folder("connections");
    let rules = folder.join("rules.nft");
    let options = ["--to", "nftables", "--guard-address", "10.20.1.5", "-o", "rules.nft"];
    exported(&folder, SITE, &options);
    plant.load(&plant.guard, &rules);
    // A client that stays until its input ends.
    let stays = || {
        let mut client = plant.control.command("bash");
        let script = "exec 3<>/dev/tcp/10.20.0.5/502 && echo open && exec cat";
        Program::start(client.args(["-c", script]), "open")
    };
    let (first, _second) = (stays(), stays());
    assert!(!reads(&plant.control, "control", "10.20.0.9", "10.20.0.5"), "the third of this client");
    assert!(reads(&plant.office, "office", "192.168.7.9", "192.168.7.5"), "the first of another");
    // Its place is free again once it has ended, which it does by itself.
    drop(first);
    let again = (0..50).any(|_| reads(&plant.control, "control", "10.20.0.9", "10.20.0.5"));
    assert!(again, "a connection that ended still counts");
}

#[test]
fn connections_are_held_to_the_rate_of_requests() {
    let Some(plant) = Plant::new() else { return };
    let folder = folder("rate");
    let rules = folder.join("rules.nft");
    let site = SITE.replace("connections_per_client = 2", "requests = \"3/h\"");
    exported(&folder, &site, &["--to", "nftables", "--guard-address", "10.20.1.5", "-o", "rules.nft"]);
    plant.load(&plant.guard, &rules);
    let passed: Vec<bool> =
        (0..6).map(|_| reads(&plant.control, "control", "10.20.0.9", "10.20.0.5")).collect();
    assert_eq!(passed, [true, true, true, false, false, false]);
    assert!(reads(&plant.office, "office", "192.168.7.9", "192.168.7.5"), "another client's own");
}

#[test]
fn a_conduit_that_only_records_keeps_nobody_out() {
    let Some(plant) = Plant::new() else { return };
    let folder = folder("alert");
    let rules = folder.join("rules.nft");
    let site = format!("{SITE}mode = \"alert\"\n")
        .replace("connections_per_client = 2", "deny = [{ from = \"192.168.7.10\", mode = \"enforce\" }]");
    exported(&folder, &site, &["--to", "nftables", "--guard-address", "10.20.1.5", "-o", "rules.nft"]);
    plant.load(&plant.guard, &rules);
    assert!(reads(&plant.control, "control", "10.20.0.200", "10.20.0.5"), "told, and let in");
    assert!(
        !reads(&plant.office, "office", "192.168.7.10", "192.168.7.5"),
        "a rule that is enforced all the same"
    );
    assert!(!reads(&plant.control, "control", "10.20.0.9", "10.20.1.21"), "nobody goes round");
}

/// The sites that are shipped, and one of IPv6 alone: nft takes what is written, and all of it is there afterwards.
#[test]
fn every_site_is_a_table_that_loads() {
    if !is_root() {
        return;
    }
    let Some(plant) = Plant::new() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sites");
    let mut sites: Vec<String> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(sites.len() >= 6);
    sites.push(
        SITE.replace("tcp://10.20.1.21", "tcp://[fd00::21]").replace("10.20.0.0/25", "fd00:20::/64")
            + "requests = \"90/min\"\nconnections = 9\n",
    );
    for site in sites {
        let folder = folder("sites");
        let guards = ["--guard-address", "10.20.1.5", "--guard-address", "fd00::5"];
        let rules = folder.join("rules.nft");
        let text =
            exported(&folder, &site, &[&["--to", "nftables", "-o", "rules.nft"], &guards[..]].concat());
        plant.load(&plant.office, &rules);
        let table = text.lines().find_map(|line| line.strip_prefix("delete table inet ")).unwrap();
        let listed = plant.office.sh(&format!("nft list table inet {table}"));
        let count = |text: &str, what: &str| text.lines().filter(|line| line.trim().ends_with(what)).count();
        for what in ["accept", "drop", "return", "reject with tcp reset"] {
            assert_eq!(count(&listed, what), count(&text, what), "{what}\n{text}\n{listed}");
        }
        plant.office.sh(&format!("nft delete table inet {table}"));
    }
}
