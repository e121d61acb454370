//! Rules that go round a tag's limits are told, and no others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use port502_inspect::policy::{Client, Decision};
use port502_site::compile::attention::{Attention, attention};
use port502_site::compile::{Compiled, compile};
use port502_site::site::Site;
use port502_wire::{Request, UnitId};

use super::example::parse;

fn site(write: &str, rules: &str) -> Site {
    parse(&format!(
        r#"
[site]
name = "x"
[role.operator]
[zone.a]
networks = ["10.0.0.0/24"]
roles = ["operator"]
[poll]
zone = "a"
[device.pump]
connect = "tcp://10.0.1.1"
[device.pump.tag]
run = {{ at = "coil:3", write = {{ roles = ["operator"] }} }}
t = {{ {write} }}
[guard.g]
listen = ["tcp://0.0.0.0:502"]
to = "pump"
{rules}
"#
    ))
}

/// What is told: the functions, and the keys of `pump.t`.
fn told(site: &Site, compiled: &Compiled) -> Vec<(String, Vec<u8>, Vec<&'static str>)> {
    let mut told = Vec::new();
    for attention in attention(site, compiled) {
        let text = attention.text(site);
        if let Attention::GoesRound(around) = attention {
            let of = |(tag, keys): (_, Vec<&'static str>)| (site.path(tag), keys);
            let (path, keys) = around.tags.into_iter().map(of).next().unwrap();
            assert_eq!(path, "pump.t");
            assert!(text.contains("pump.t (") && text.contains(&around.name), "{text}");
            told.push((around.name, around.functions.iter().map(|one| one.0).collect(), keys));
        }
    }
    told
}

/// Whether function 6 or 16 can write what the tag, holding 5 from 20 to 50, may not become.
fn passes(compiled: &Compiled) -> bool {
    let conduit = compiled.policy.conduits.first().unwrap();
    let passes = |pdu: &[u8]| {
        ["10.0.0.1", "10.0.0.200", "10.9.9.9"].iter().any(|address| {
            let address = address.parse().unwrap();
            let roles: Vec<&str> = compiled.policy.roles_of(address).collect();
            let client = Client { address, subject: None, roles: &roles };
            let decision = conduit.judge(client, UnitId(1), &Request::parse(pdu).unwrap());
            matches!(decision, Decision::Allowed { .. })
        })
    };
    [0, 1, 19, 51, 52, 999, u16::MAX - 1, u16::MAX].iter().any(|value: &u16| {
        let [high, low] = value.to_be_bytes();
        passes(&[6, 0, 5, high, low]) || passes(&[16, 0, 5, 0, 1, 2, high, low])
    })
}

const DERIVED: &str = "{ from = \"a\", do = \"derived\" }";

#[test]
fn where_limits_do_not_hold_is_told_and_where_they_hold_is_not() {
    let write = "at = \"holding:5\", range = [0, 99], write = { roles = [\"operator\"], min = 20, max = 50 }";
    for (allow, deny, want) in [
        ("", "", None),
        // Another place, another function, reads, a tag's own rule.
        ("{ name = \"r\", functions = [6, 16, 23], at = [\"holding:6-99\", \"coil:0-99\"] }", "", None),
        ("{ name = \"r\", functions = [3, 5, 15, 43], at = [\"holding:*\"] }", "", None),
        // Within the limits, by whatever function.
        ("{ name = \"r\", functions = [6, 16, 22, 23], at = [\"holding:5\"], values = [20, 50] }", "", None),
        ("{ name = \"r\", functions = [6], at = [\"holding:5\"], values = [30, 30] }", "", None),
        // Beyond them.
        (
            "{ name = \"r\", functions = [6, 16], at = [\"holding:5\"], values = [20, 51] }",
            "",
            Some(vec![6, 16]),
        ),
        ("{ name = \"r\", functions = [16], at = [\"holding:*\"], values = [19, 50] }", "", Some(vec![16])),
        ("{ name = \"r\", functions = [3, 6], at = [\"holding:0-9\"] }", "", Some(vec![6])),
        ("{ name = \"r\", from = \"10.9.9.9\", at = [\"holding:*\"] }", "", Some(vec![6, 16, 22, 23])),
        (
            "{ name = \"r\", functions = [6], at = [\"holding:5\"], times = [\"mon 06:00-18:00\"] }",
            "",
            Some(vec![6]),
        ),
        // Denied first: whole, by function, by value; of more clients.
        (
            "{ name = \"r\", functions = [6], at = [\"holding:*\"] }",
            "{ functions = [6, 16], at = [\"holding:5\"] }",
            None,
        ),
        ("{ name = \"r\", functions = [6], at = [\"holding:*\"] }", "{ at = [\"holding:0-5\"] }", None),
        (
            "{ name = \"r\", functions = [6], at = [\"holding:*\"] }",
            "{ at = [\"holding:5\"], values = [0, 19] }, { at = [\"holding:5\"], values = [51, 65535] }",
            None,
        ),
        (
            "{ name = \"r\", functions = [6], at = [\"holding:*\"] }",
            "{ at = [\"holding:5\"], values = [51, 65535] }",
            Some(vec![6]),
        ),
        (
            "{ name = \"r\", from = \"10.0.0.200\", functions = [6], at = [\"holding:*\"] }",
            "{ from = \"a\", functions = [6], at = [\"holding:5\"] }",
            None,
        ),
        (
            "{ name = \"r\", functions = [6], at = [\"holding:*\"] }",
            "{ from = \"a\", functions = [6], at = [\"holding:5\"] }",
            Some(vec![6]),
        ),
        (
            "{ name = \"r\", functions = [6, 16], at = [\"holding:*\"] }",
            "{ functions = [6], at = [\"holding:5\"] }",
            Some(vec![16]),
        ),
        (
            "{ name = \"r\", functions = [6], at = [\"holding:*\"] }",
            "{ functions = [6], at = [\"holding:5\"], mode = \"alert\" }",
            Some(vec![6]),
        ),
        (
            "{ name = \"r\", functions = [6], at = [\"holding:*\"] }",
            "{ functions = [6], at = [\"holding:6\"] }",
            Some(vec![6]),
        ),
    ] {
        let rules = format!("allow = [{DERIVED}, {allow}]\ndeny = [{deny}]");
        let site = site(write, &rules);
        let compiled = compile(&site);
        let wanted: Vec<_> = want.iter().map(|of| ("r".to_owned(), of.clone(), vec!["min", "max"])).collect();
        assert_eq!(told(&site, &compiled), wanted, "{rules}");
        // The sentence of it, value by value.
        assert_eq!(passes(&compiled), want.is_some(), "{rules}");
    }
}

#[test]
fn each_limit_by_its_name() {
    let all = "{ name = \"r\", functions = [5, 6, 15, 16, 22, 23], at = [\"holding:5-6\", \"coil:4\"] }";
    let one = "{ name = \"r\", functions = [16], at = [\"holding:6\"], values = [0, 1] }";
    let slow =
        "{ name = \"r\", functions = [6], at = [\"holding:5\"], values = [20, 50], requests = \"1/min\" }";
    let registers = vec![6, 16, 22, 23];
    for (write, rule, want) in [
        ("at = \"holding:5\", range = [0, 65535], write = { roles = [\"operator\"] }", all, None),
        (
            "at = \"holding:5\", range = [20, 50], write = { roles = [\"operator\"], max_step = 5 }",
            all,
            Some((registers.clone(), vec!["min", "max", "max_step"])),
        ),
        (
            "at = \"holding:5\", range = [20, 50], write = { roles = [\"operator\"], max_step = 5, rate = \"6/min\" }",
            slow,
            Some((vec![6], vec!["max_step"])),
        ),
        (
            "at = \"holding:5\", range = [0, 65535], write = { roles = [\"operator\"], rate = \"6/min\" }",
            all,
            Some((registers.clone(), vec!["rate"])),
        ),
        (
            "at = \"holding:5\", range = [0, 9], write = { roles = [\"operator\"], values = [1, 3] }",
            all,
            Some((registers.clone(), vec!["values"])),
        ),
        (
            "at = \"holding:5:bit3\", write = { roles = [\"operator\"], after = { tag = \"run\", is = 0 } }",
            all,
            Some((registers.clone(), vec!["after"])),
        ),
        ("at = \"holding:5:bit3\", write = { roles = [\"operator\"] }", all, None),
        ("at = \"coil:4\", write = { roles = [\"operator\"] }", all, None),
        (
            "at = \"coil:4\", write = { roles = [\"operator\"], after = { tag = \"run\", is = 0 } }",
            all,
            Some((vec![5, 15], vec!["after"])),
        ),
        // Of two registers one is enough, whatever it holds.
        (
            "at = \"holding:5:f32\", range = [0, 9], write = { roles = [\"operator\"] }",
            one,
            Some((vec![16], vec!["min", "max"])),
        ),
        ("at = \"holding:5:u32\", range = [0, 4294967295], write = { roles = [\"operator\"] }", one, None),
    ] {
        let site = site(write, &format!("allow = [{DERIVED}, {rule}]"));
        let wanted: Vec<_> = want.into_iter().map(|(of, keys)| ("r".to_owned(), of, keys)).collect();
        assert_eq!(told(&site, &compile(&site)), wanted, "{write}\n{rule}");
    }
}
