//! On a machine of its own, with the real port numbers, two interfaces and a packet filter.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Checked, Machine, Program, is_root, python, run};

/// A gateway between two networks, with a client in each.
struct Plant {
    gateway: Machine,
    control: Machine,
    office: Machine,
}

impl Plant {
    fn new() -> Option<Plant> {
        if !is_root() {
            return None;
        }
        let plant = Plant { gateway: Machine::new(), control: Machine::new(), office: Machine::new() };
        plant.gateway.link("control", "10.20.0.5/24", &plant.control, "10.20.0.9/24");
        plant.gateway.link("office", "192.168.7.5/24", &plant.office, "192.168.7.9/24");
        // Its own address of this version is usable at once, without waiting for a duplicate to speak up.
        plant.gateway.sh("ip addr add fd00:20::5/64 dev control nodad");
        plant.control.sh("ip addr add fd00:20::9/64 dev control nodad");
        Some(plant)
    }

    /// Whether a client can read a register.
    fn reads(&self, client: &Machine, from: &str) -> bool {
        let target = format!("tcp://{from}");
        let mut command = client.command("/srv/port502");
        run(command.args(["read", &target, "h:0", "--timeout", "2s", "--retries", "0"])).code == 0
    }
}

fn has_nft() -> bool {
    let has = Path::new("/usr/sbin/nft").exists() || Path::new("/sbin/nft").exists();
    if !has {
        assert!(std::env::var_os("PORT502_REQUIRE_PEERS").is_none(), "nft is not installed");
        println!("skipped in part: nft is not installed");
    }
    has
}

fn finding(checked: &Checked, name: &str) -> Value {
    checked
        .kind("finding")
        .into_iter()
        .find(|finding| finding["finding"] == name)
        .unwrap_or_else(|| panic!("{name}: {checked:#?}"))
}

#[test]
fn what_is_open_is_told_and_the_proposed_rules_close_it() {
    let Some(plant) = Plant::new() else { return };
    let server = plant.gateway.serve("tcp://0.0.0.0:502");
    assert_eq!(server.port, 502);
    let checked = plant.gateway.check(&[]);
    checked.finds(&["502! open-to-networks", "502 no-secure-neighbour"]);
    let open = finding(&checked, "open-to-networks");
    let verdict = open["verdict"].as_str().unwrap();
    assert!(verdict.contains("reachable from 2 interfaces (control, office)"), "{verdict}");
    assert!(verdict.contains("anyone who can connect can write"), "{verdict}");
    plant.gateway.page(&[]).fits();
    if !has_nft() {
        return;
    }
    assert!(plant.reads(&plant.control, "10.20.0.5:502") && plant.reads(&plant.office, "192.168.7.5:502"));

    // What it proposes does what it says: the control network stays in, everybody else is out.
    let steps = open["next"].as_array().unwrap();
    let rules = steps.iter().find(|step| step["say"].as_str().unwrap().starts_with("Until then")).unwrap();
    for command in rules["commands"].as_array().unwrap() {
        plant.gateway.sh(command.as_str().unwrap());
    }
    assert!(plant.reads(&plant.control, "10.20.0.5:502"));
    assert!(!plant.reads(&plant.office, "192.168.7.5:502"));
    let limited = plant.gateway.check(&[]);
    limited.finds(&["502 limited-by-filter", "502 no-secure-neighbour"]);
    let verdict = finding(&limited, "limited-by-filter")["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains("10.20.0.0/24"), "{verdict}");
    plant.gateway.page(&[]).fits();

    // And it is taken back as it says.
    let back = steps.last().unwrap()["commands"][0].as_str().unwrap();
    plant.gateway.sh(back);
    plant.gateway.check(&[]).finds(&["502! open-to-networks", "502 no-secure-neighbour"]);
}

#[test]
fn security_on_802_beside_502_is_told() {
    let Some(plant) = Plant::new() else { return };
    // Our own certificates, in a folder that only that machine sees.
    plant
        .gateway
        .sh("cd /srv; ./port502 cert ca --name plant; ./port502 cert server --name plc-7 --ip 10.20.0.5; \
         printf 'role,access\\noperator,rw\\n' > rights.csv");
    let serve = |arguments: &[&str]| {
        let mut command = plant.gateway.command("/srv/port502");
        Program::start(command.args(["serve", "--quiet"]).args(arguments), "listening on ")
    };
    let tls = ["--listen", "tls://0.0.0.0:802?cert=/srv/pki/plc-7.pem", "--rights", "/srv/rights.csv"];
    let secure = serve(&tls);
    // Alone it is as it should be: whoever has no certificate stays out.
    let checked = plant.gateway.check(&[]);
    checked.finds(&["802 open-to-networks"]);
    let tls = &checked.listener()["answer"]["tls"];
    assert_eq!(
        (&tls["version"], &tls["asks_for_certificate"]),
        (&"TLS 1.2".into(), &true.into()),
        "{checked:#?}"
    );
    assert_eq!(tls["subject"], "CN=plc-7");
    let verdict = finding(&checked, "open-to-networks")["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains("lets in whoever has a certificate that it trusts"), "{verdict}");
    // With 502 beside it in clear text, that one is what is open.
    let _clear = serve(&["--listen", "tcp://0.0.0.0:502"]);
    plant.gateway.check(&[]).finds(&["502! open-to-networks", "802 open-to-networks"]);
    plant.gateway.page(&[]).fits();
    drop(secure);
}

#[test]
fn who_is_connected_is_let_in_by_the_proposed_rules() {
    let Some(plant) = Plant::new() else { return };
    let _server = plant.gateway.serve("tcp://0.0.0.0:502");
    // A client that stays: it reads, and waits a minute for the next time.
    let mut client = plant.office.command("/srv/port502");
    let client = Program::start(client.args(["read", "192.168.7.5:502", "h:0", "--every", "60s"]), "TIME");
    let checked = plant.gateway.check(&[]);
    let peers = checked.kind("peer");
    assert_eq!(peers.len(), 1, "{checked:#?}");
    assert!(peers[0]["remote"].as_str().unwrap().starts_with("192.168.7.9:"));
    assert_eq!((&peers[0]["direction"], &peers[0]["public"]), (&"in".into(), &false.into()));
    let open = finding(&checked, "open-to-networks");
    assert!(open["next"].to_string().contains("ip saddr 192.168.7.9 accept"), "{open}");
    // The same connection from its other end.
    let out = plant.office.check(&[]);
    assert_eq!(out.kind("peer")[0]["direction"], "out");
    assert!(plant.office.page(&[]).out.contains("This machine is a client of 192.168.7.5:502."));
    drop(client);
}

#[test]
fn an_address_of_the_internet_is_marked() {
    let Some(plant) = Plant::new() else { return };
    // For all that these machines know, that is where the internet is.
    plant.gateway.sh("ip addr add 8.8.4.1/32 dev office; ip route add 8.8.4.4/32 dev office");
    plant.office.sh("ip addr add 8.8.4.4/32 dev office; ip route add 8.8.4.1/32 dev office src 8.8.4.4");
    let _server = plant.gateway.serve("tcp://0.0.0.0:502");
    let mut client = plant.office.command("/srv/port502");
    let _client = Program::start(client.args(["read", "8.8.4.1:502", "h:0", "--every", "60s"]), "TIME");
    let checked = plant.gateway.check(&[]);
    checked.finds(&["502! open-to-networks", "502! public-peer", "502 no-secure-neighbour"]);
    let verdict = finding(&checked, "open-to-networks")["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains("of the internet: 8.8.4.1"), "{verdict}");
    let page = plant.gateway.page(&[]);
    assert!(page.out.contains("PUBLIC ADDRESS"), "{}", page.out);
    page.fits();
    if !has_nft() {
        return;
    }
    // The proposed rule keeps that address out.
    for step in finding(&checked, "public-peer")["next"].as_array().unwrap() {
        for command in step["commands"].as_array().unwrap() {
            plant.gateway.sh(command.as_str().unwrap());
        }
    }
    assert!(!plant.reads(&plant.office, "8.8.4.1:502"));
}

#[test]
fn both_versions_of_ip_are_followed() {
    let Some(plant) = Plant::new() else { return };
    let _server = plant.gateway.serve("tcp://[::]:502");
    let checked = plant.gateway.check(&[]);
    let listener = checked.listener();
    let takes_v4 = plant.reads(&plant.office, "192.168.7.5:502");
    assert_eq!(listener["addresses"][0]["v6_only"], !takes_v4, "{listener}");
    assert!(plant.reads(&plant.control, "[fd00:20::5]:502"));
    if !has_nft() || !takes_v4 {
        return;
    }
    // Closed over IPv4, and forgotten over IPv6.
    plant.gateway.sh(
        "nft add table ip plant; nft add chain ip plant in '{ type filter hook input priority 0; policy drop; }'; \
         nft add rule ip plant in iifname lo accept",
    );
    assert!(!plant.reads(&plant.office, "192.168.7.5:502"));
    let checked = plant.gateway.check(&[]);
    let verdict = finding(&checked, "open-to-networks")["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains("over IPv6, which the rules for IPv4 do not cover"), "{verdict}");
    plant.gateway.sh(
        "nft add table ip6 plant; nft add chain ip6 plant in '{ type filter hook input priority 0; policy drop; }'; \
         nft add rule ip6 plant in iifname lo accept",
    );
    plant.gateway.check(&[]).finds(&["502 closed-by-filter"]);
}

#[test]
fn rules_of_iptables_are_read() {
    let Some(plant) = Plant::new() else { return };
    if !["/usr/sbin/iptables", "/sbin/iptables"].iter().any(|path| Path::new(path).exists()) {
        println!("skipped: iptables is not installed");
        return;
    }
    let _server = plant.gateway.serve("tcp://0.0.0.0:502");
    plant.gateway.sh(
        "iptables -A INPUT -s 10.20.0.0/24 -p tcp -m multiport --dports 502,802 -m comment --comment plant -j ACCEPT; \
         iptables -A INPUT ! -i lo -p tcp --dport 502 -j REJECT",
    );
    assert!(plant.reads(&plant.control, "10.20.0.5:502") && !plant.reads(&plant.office, "192.168.7.5:502"));
    plant.gateway.check(&[]).finds(&["502 limited-by-filter", "502 no-secure-neighbour"]);
    plant
        .gateway
        .sh("iptables -t nat -A PREROUTING -p tcp --dport 102 -j DNAT --to-destination 10.20.0.9:102");
    let checked = plant.gateway.check(&[]);
    let forwarded = finding(&checked, "forwarded");
    assert_eq!(forwarded["port"], 102);
    assert!(forwarded["verdict"].as_str().unwrap().contains("10.20.0.9:102"), "{forwarded}");
}

#[test]
fn every_neighbour_is_recognized_on_its_own_port() {
    let Some(plant) = Plant::new() else { return };
    let (Some(modbus), Some(s7), Some(opc_ua)) =
        (python("pymodbus_server.py"), python("s7_server.py"), python("opcua_server.py"))
    else {
        return;
    };
    let start = |python: &[String], port: &str| {
        let mut command = plant.gateway.command(&python[0]);
        Program::start(command.args(&python[1..]).arg(port), "listening ")
    };
    let _servers = [start(&modbus, "502"), start(&s7, "102"), start(&opc_ua, "4840")];
    let checked = plant.gateway.check(&[]);
    let found: Vec<_> = checked
        .kind("listener")
        .iter()
        .map(|listener| format!("{} {}", listener["port"], listener["answer"]["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(found, ["502 speaks", "102 speaks", "4840 speaks"], "{checked:#?}");
    // snap7 listens for everybody, the other two on loopback.
    checked.finds(&["102! open-to-networks", "502 loopback-only", "4840 loopback-only"]);
    plant.gateway.page(&[]).fits();
}

#[test]
fn what_is_in_another_namespace_is_told() {
    if !is_root() {
        return;
    }
    let container = Machine::new();
    let _server = container.serve("tcp://127.0.0.1:502");
    let link = std::fs::read_link(format!("/proc/{}/ns/net", container.pid())).unwrap();
    let id: u64 = link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    let checked = crate::support::check(&["--no-probe"]);
    let all = checked.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let there: Vec<Value> = all
        .filter(|value| value["kind"] == "listener" && value["namespace"]["id"] == id && value["port"] == 502)
        .collect();
    assert_eq!(there.len(), 1, "{id} {checked:#?}");
    assert_eq!(there[0]["answer"]["outcome"], "not-asked");
    let pid = &there[0]["namespace"]["pid"];
    // The command that looks from inside works.
    let text = checked
        .kind("finding")
        .iter()
        .map(Value::to_string)
        .find(|text| text.contains(&format!("nsenter -t {pid} ")))
        .unwrap();
    assert!(text.contains("-n port502 check --port 502=modbus"), "{text}");
    let inside = run(Command::new("nsenter").args([
        "-t",
        &pid.to_string(),
        "-n",
        crate::support::PORT502,
        "check",
        "--port",
        "502=modbus",
        "--json",
    ]));
    assert_eq!(inside.kind("listener")[0]["answer"]["outcome"], "speaks", "{inside:#?}");
}

/// The example of docs/check.md is what is printed there. With `PORT502_DOCS=write` it is written.
#[test]
fn the_document_shows_what_is_printed() {
    let Some(plant) = Plant::new() else { return };
    if !has_nft() {
        return;
    }
    let _server = plant.gateway.serve("tcp://0.0.0.0:502");
    let mut client = plant.control.command("/srv/port502");
    let _client = Program::start(client.args(["read", "10.20.0.5:502", "h:0", "--every", "60s"]), "TIME");
    let mut printed = plant.gateway.page(&[]).out;
    // What differs from run to run.
    let Some((_, rest)) = printed.split_once("pid ") else { panic!("{printed}") };
    let pid = rest.split(',').next().unwrap().to_owned();
    let Some((_, rest)) = printed.split_once("since ") else { panic!("{printed}") };
    let since = rest.split_whitespace().next().unwrap().to_owned();
    printed = printed.replace(&format!("pid {pid},"), "pid 714,").replace(&since, "2026-11-23T06:00:00Z");
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/check.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let begin = document.find("```text\n").unwrap() + "```text\n".len();
    let end = begin + document[begin..].find("\n```").unwrap() + 1;
    if std::env::var("PORT502_DOCS").is_ok_and(|value| value == "write") {
        std::fs::write(&path, format!("{}{printed}{}", &document[..begin], &document[end..])).unwrap();
    } else {
        assert_eq!(&document[begin..end], printed, "renew it with PORT502_DOCS=write");
    }
}
