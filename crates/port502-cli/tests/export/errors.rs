//! What cannot be exported, and what is said of it.

use crate::{export, exported, folder};

const SITE: &str = r#"
[site]
name = "Test"
[zone.control]
networks = ["10.20.0.0/24"]
[device.plc]
connect = "tcp://10.20.1.21"
[device.plc.tag]
level = { at = "holding:0" }
"#;

fn guarded(more: &str) -> String {
    format!(
        "{SITE}\n[guard.plc]\nlisten = \"tcp://0.0.0.0:502\"\nto = \"plc\"\nallow = [{{ from = \"control\", do = \"derived\" }}]\n{more}"
    )
}

#[track_caller]
fn fails(site: &str, arguments: &[&str], says: &str) {
    let ran = export(&folder("errors"), site, arguments);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:#?}");
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.contains(says), "{says}\n{}", ran.err);
}

#[test]
fn what_cannot_be_exported_says_what_to_do() {
    let nft = ["--to", "nftables", "--guard-address", "10.20.1.5"];
    for to in ["nftables", "suricata", "zeek"] {
        fails(SITE, &["--to", to], "add one, as [guard.NAME]");
        let named = guarded("").replace("10.20.1.21", "plc-7");
        fails(&named, &["--to", to], "device plc: plc-7 is a name, and rules need an address");
        let listening = guarded("").replace("0.0.0.0:502", "gate:502");
        fails(&listening, &["--to", to], "guard plc: gate is a name");
        // With its address said it goes.
        let mut with = vec!["--to", to, "--host", "PLC-7=10.20.1.21"];
        if to == "nftables" {
            with.extend(["--guard-address", "10.20.1.5"]);
        }
        assert!(exported(&folder("named"), &named, &with).contains("10.20.1.21") || to != "nftables");
    }
    fails(&guarded(""), &["--to", "nftables"], "say --guard-address ADDRESS");
    let v6 = guarded("").replace("10.20.1.21", "[fd00::21]");
    fails(&v6, &nft, "name the guard's IPv6 address too");
    fails(&guarded(""), &["--to", "nftables", "--without-guard"], "leave --without-guard out");
    let bus = guarded("").replace("tcp://10.20.1.21", "rtu+tcp://10.20.1.21");
    fails(&bus, &["--to", "suricata", "--without-guard"], "is no Modbus/TCP that can be looked into");
    let contradiction = ["--to", "zeek", "--without-guard", "--guard-address", "10.20.1.5"];
    fails(&guarded(""), &contradiction, "contradict each other");
    fails(&guarded(""), &["--to", "csv", "--drop"], "--drop means nothing for this format");
    fails(&guarded(""), &["--to", "zeek", "--drop"], "--drop means nothing for this format");
    for (option, value, says) in [
        ("--host", "plc", "want NAME=ADDRESS"),
        ("--host", "plc=x", "x is not an address"),
        ("--guard-address", "0.0.0.0", "no address that a machine has"),
        ("--guard-address", "gate", "gate is not an address"),
    ] {
        let ran = export(&folder("errors"), &guarded(""), &["--to", "zeek", option, value]);
        assert!(ran.code == 2 && ran.err.contains(says), "{ran:#?}");
    }
    let named = exported(&folder("errors"), &guarded(""), &["--to", "zeek", "--name", "North 2"]);
    assert!(named.contains("module Port502_north_2;"), "{named}");
}

#[test]
fn names_that_would_break_out_do_not() {
    let site = guarded("deny = [{ name = \"a\\nb\\\"c;)\", functions = [5] }]")
        .replace("name = \"Test\"", "name = \"Täst }\\n\\\"x\"");
    for to in ["nftables", "suricata", "zeek"] {
        let text = exported(&folder("names"), &site, &["--to", to, "--guard-address", "10.20.1.5"]);
        for line in text.lines() {
            assert!(!line.starts_with("b\"c") && !line.starts_with("\"x"), "{line}");
        }
        assert!(to != "nftables" || text.contains("table inet port502_t_st_x {"), "{text}");
    }
}

#[test]
fn both_versions_of_ip_and_serial_devices() {
    let v6 = guarded("").replace("10.20.1.21", "[fd00::21]").replace("10.20.0.0/24", "fd00:20::/64");
    let text = exported(&folder("v6"), &v6, &["--to", "nftables", "--guard-address", "fd00::5"]);
    assert!(text.contains("ip6 daddr fd00::21 tcp dport 502 ip6 saddr { fd00::5 } accept"), "{text}");
    assert!(text.contains("ip6 saddr { fd00:20::/64 } goto conduit_plc"), "{text}");
    let text = exported(&folder("v6"), &v6, &["--to", "zeek"]);
    assert!(text.contains("set([fd00:20::]/64)"), "{text}");
    // Nobody reaches a serial port by the network: the guard's address is not needed.
    let serial = guarded("").replace("tcp://10.20.1.21", "rtu:///dev/ttyUSB0");
    let text = exported(&folder("serial"), &serial, &["--to", "nftables"]);
    assert!(text.contains("# device plc is rtu:///dev/ttyUSB0"), "{text}");
    assert!(!text.contains("daddr"), "{text}");
    exported(&folder("serial"), &serial, &["--to", "suricata"]);
}

#[test]
fn only_a_file_of_ones_own_making_is_replaced() {
    let folder = folder("output");
    let arguments = ["--to", "zeek", "-o", "policy.zeek"];
    let first = exported(&folder, &guarded(""), &arguments);
    assert!(first.contains("module Port502_test;"));
    exported(&folder, &guarded("mode = \"alert\""), &arguments);
    std::fs::write(folder.join("policy.zeek"), "module Mine;").unwrap();
    let ran = export(&folder, &guarded(""), &arguments);
    assert!(ran.code == 2 && ran.err.contains("was not made by this command"), "{ran:#?}");
    assert_eq!(std::fs::read_to_string(folder.join("policy.zeek")).unwrap(), "module Mine;");
}
