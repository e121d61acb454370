//! Suricata's verdict on requests by chance, beside that of the policy: what the guard would refuse is told, and what
//! passes is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use port502_capture::synth::{self, Conversation, Frame};
use port502_inspect::Policy;
use port502_inspect::policy::{Client, Decision, Functions, Places, Range, Rule};
use port502_site::compile::compile;
use port502_site::profiles;
use port502_site::site::{Site, SourceFile};
use port502_wire::value::ValueType;
use port502_wire::{FunctionCode, Request, Table, UnitId};

use crate::{exported, folder};

/// The program, where it is installed.
fn suricata() -> Option<PathBuf> {
    let named = std::env::var_os("PORT502_SURICATA").map(PathBuf::from);
    let program = named.unwrap_or_else(|| "suricata".into());
    if Command::new(&program).arg("-V").output().is_ok_and(|output| output.status.success()) {
        return Some(program);
    }
    println!("skipped: suricata is not installed; on Debian it is in backports. PORT502_SURICATA names it");
    None
}

/// As little as it takes, so that nothing depends on how the program is set up here.
const CONFIGURATION: &str = r#"%YAML 1.1
---
vars:
  address-groups: { HOME_NET: "any", EXTERNAL_NET: "any" }
default-log-dir: .
stats: { enabled: no }
outputs:
  - eve-log: { enabled: yes, filetype: regular, filename: eve.json, types: [ alert: { metadata: yes } ] }
logging:
  default-log-level: notice
  outputs: [ console: { enabled: yes } ]
app-layer:
  protocols:
    modbus: { enabled: yes, detection-ports: { dp: "[PORTS]" }, stream-depth: 0 }
classification-file: classification.config
reference-config-file: reference.config
threshold-file: threshold.config
"#;

/// Runs it over a capture: the alerts by the port of the client.
fn run(
    program: &Path,
    folder: &Path,
    rules: &str,
    frames: &[Frame],
    ports: &str,
) -> BTreeMap<u16, Vec<String>> {
    std::fs::write(folder.join("site.rules"), rules).unwrap();
    std::fs::write(folder.join("suricata.yaml"), CONFIGURATION.replace("PORTS", ports)).unwrap();
    for empty in ["classification.config", "reference.config", "threshold.config"] {
        std::fs::write(folder.join(empty), "").unwrap();
    }
    std::fs::write(folder.join("plant.pcap"), synth::pcap(frames)).unwrap();
    let ran = Command::new(program)
        .current_dir(folder)
        .args(["-c", "suricata.yaml", "-S", "site.rules", "-l", ".", "-r", "plant.pcap", "-k", "none"])
        .args(["--runmode", "single", "--set", "logging.outputs.0.console.enabled=yes"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && !said.contains("E: "), "{said}");
    let mut alerts: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(folder.join("eve.json")).unwrap().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        if event["event_type"] == "alert" {
            let port = u16::try_from(event["src_port"].as_u64().unwrap()).unwrap();
            assert!(event["alert"]["metadata"]["mitre_technique_id"][0].as_str().unwrap().starts_with("T0"));
            alerts.entry(port).or_default().push(event["alert"]["signature"].as_str().unwrap().to_owned());
        }
    }
    alerts
}

fn parse(text: &str) -> Site {
    Site::parse(&[SourceFile { name: "site.toml", text }], profiles::built_in()).unwrap()
}

/// Numbers that are the same for the same seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % end
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// Addresses and values at which a site's rules change their mind, and one beside.
fn edges(policy: &Policy) -> (Vec<u16>, Vec<u16>) {
    let (mut addresses, mut values) = (BTreeSet::from([0, 1, 9_999]), BTreeSet::from([0, 1, 0xFFFF]));
    for rule in policy.conduits.iter().flat_map(|conduit| &conduit.rules) {
        match &rule.places {
            Places::Of(ranges) => ranges.iter().for_each(|range| {
                addresses.extend([
                    range.first.saturating_sub(1),
                    range.first,
                    range.last,
                    range.last.saturating_add(1),
                ]);
            }),
            Places::Values(all) => all.iter().for_each(|value| {
                addresses.extend([
                    value.address.saturating_sub(1),
                    value.address,
                    value.last(),
                    value.last() + 1,
                ]);
                if let port502_inspect::policy::Envelope::Integers { min, max } = value.limits {
                    values.extend([min - 1, min, max, max + 1].iter().filter_map(|v| u16::try_from(*v).ok()));
                }
            }),
            Places::Any => {}
        }
        if let Some((low, high)) = rule.values {
            values.extend([low.saturating_sub(1), low, high, high.saturating_add(1)]);
        }
    }
    // Of the last address nothing can be said: docs/export.md.
    addresses.retain(|address| *address < 65_400);
    (addresses.into_iter().collect(), values.into_iter().collect())
}

fn request(chance: &mut Chance, (addresses, values): &(Vec<u16>, Vec<u16>)) -> Vec<u8> {
    let codes = [
        1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 6, 7, 8, 11, 15, 16, 16, 16, 17, 20, 22, 23, 24, 43,
        65, 90, 99,
    ];
    loop {
        let mut pdu = vec![chance.pick(&codes)];
        let word = |pdu: &mut Vec<u8>, word: u16| pdu.extend(word.to_be_bytes());
        let few = |chance: &mut Chance| chance.pick(&[1_u16, 1, 1, 2, 3, 9]);
        word(&mut pdu, chance.pick(addresses));
        match pdu[0] {
            1..=4 => word(&mut pdu, few(chance)),
            5 => word(&mut pdu, chance.pick(&[0, 0xFF00])),
            6 => word(&mut pdu, chance.pick(values)),
            15 => pdu.extend([0, 3, 1, 5]),
            16 | 23 => {
                if pdu[0] == 23 {
                    word(&mut pdu, few(chance));
                    word(&mut pdu, chance.pick(addresses));
                }
                let count = u8::try_from(few(chance)).unwrap();
                pdu.extend([0, count, 2 * count]);
                (0..count).for_each(|_| word(&mut pdu, chance.pick(values)));
            }
            22 => pdu.extend([0xFF, 0xF7, 0, 8]),
            8 => pdu = [8, 0, chance.pick(&[0, 1, 4, 10]), 0, 0].into(),
            20 => pdu = vec![20, 7, 6, 0, 1, 0, 0, 0, 2],
            24 => {}
            43 => pdu = vec![43, 14, 1, 0],
            _ => pdu.truncate(1),
        }
        if Request::parse(&pdu).is_ok() {
            return pdu;
        }
    }
}

/// The rules without what Suricata cannot hold, as docs/export.md says it: limits of values that are not one register,
/// that they are written as a whole, and bits.
fn as_it_sees(mut policy: Policy) -> Policy {
    for conduit in &mut policy.conduits {
        let mut rules: Vec<Rule> = Vec::new();
        for rule in std::mem::take(&mut conduit.rules) {
            let Places::Values(values) = &rule.places else {
                rules.push(rule);
                continue;
            };
            let one = |value: &&port502_inspect::policy::Writable| {
                value.table == Table::Coils
                    || matches!(value.value_type, ValueType::U16 | ValueType::I16 | ValueType::Bool)
            };
            let (seen, unseen): (Vec<_>, Vec<_>) = values.iter().partition(one);
            for value in unseen {
                let allowed: &[u8] = match (value.value_type, value.width()) {
                    (ValueType::Bit(_), _) => &[22],
                    (_, 1) => &[6, 16],
                    _ => &[16],
                };
                let keep = |code: &u8| match &rule.functions {
                    Functions::Any => true,
                    Functions::Of(all) => all.iter().any(|o| o.function == FunctionCode(*code)),
                };
                let functions = allowed.iter().copied().filter(keep);
                let plain =
                    |code| port502_inspect::policy::Operation { function: FunctionCode(code), sub: None };
                rules.push(Rule {
                    functions: Functions::Of(functions.map(plain).collect()),
                    places: Places::Of(vec![Range {
                        table: value.table,
                        first: value.address,
                        last: value.last(),
                    }]),
                    ..rule.clone()
                });
            }
            rules.push(Rule { places: Places::Values(seen.into_iter().cloned().collect()), ..rule });
        }
        conduit.rules = rules;
    }
    policy
}

const CLIENTS: [&str; 6] = ["10.20.0.9", "10.20.4.3", "10.20.5.7", "10.20.8.7", "10.20.0.77", "192.168.7.9"];

/// Each request, or each two in one segment, is a connection of its own; its port says which.
fn judged_alike(text: &str, seed: u64, cases: usize) -> (usize, usize) {
    let Some(program) = suricata() else { return (0, 0) };
    let folder = folder(&format!("suricata-{seed}"));
    let rules = exported(&folder, text, &["--to", "suricata", "--guard-address", "10.20.1.5"]);
    let site = parse(text);
    let policy = compile(&site).policy;
    let (edges, policy) = (edges(&policy), as_it_sees(policy));
    let ways: Vec<(usize, u16)> = site
        .conduits()
        .iter()
        .enumerate()
        .map(|(at, conduit)| {
            (
                at,
                conduit
                    .listen
                    .iter()
                    .find(|listen| listen.link() == port502_session::Link::Tcp)
                    .unwrap()
                    .port(),
            )
        })
        .collect();
    let mut chance = Chance(seed);
    let (mut frames, mut want, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    for case in 0..cases {
        let port = 10_000 + u16::try_from(case).unwrap();
        let (at, listens) = chance.pick(&ways);
        let conduit = &policy.conduits[at];
        let client = chance.pick(&CLIENTS).parse().unwrap();
        let roles: Vec<&str> = policy.roles_of(client).collect();
        let unit = if chance.below(8) == 0 { 0 } else { chance.pick(&conduit.devices).1.0 };
        let (mut segment, mut refused, mut exempt, mut pdus) = (Vec::new(), false, false, Vec::new());
        for number in 0..chance.pick(&[1_u8, 1, 2]) {
            let pdu = request(&mut chance, &edges);
            let parsed = Request::parse(&pdu).unwrap();
            let judged = conduit.judge(
                Client { address: client, subject: None, roles: &roles },
                UnitId(unit),
                &parsed,
            );
            refused |= !matches!(judged, Decision::Allowed { .. });
            // Each of these is told when it has no address there: docs/export.md.
            exempt |= matches!(pdu[0], 23 | 24) && matches!(judged, Decision::Allowed { .. });
            // And behind one of these that somebody may send, nothing is understood.
            let names = |rule: &Rule| match &rule.functions {
                Functions::Any => true,
                Functions::Of(all) => all.iter().any(|o| o.function == FunctionCode(pdu[0])),
            };
            exempt |= number == 0 && pdu[0] > 24 && pdu[0] != 43 && conduit.rules.iter().any(names);
            segment.extend([0, number, 0, 0, 0, u8::try_from(pdu.len() + 1).unwrap(), unit]);
            segment.extend(&pdu);
            pdus.push(pdu);
        }
        let std::net::IpAddr::V4(client) = client else { panic!("{client}") };
        let mut talk = Conversation::v4(
            std::net::SocketAddrV4::new(client, port),
            std::net::SocketAddrV4::new([10, 20, 1, 5].into(), listens),
        );
        let at = port502_capture::Timestamp::from_seconds(1_700_000_000 + i64::try_from(case).unwrap(), 0);
        talk.at(at).handshake().to_server(&segment).server_ack().finish();
        frames.extend(talk.into_frames());
        want.push((port, refused, exempt));
        shown.push(format!("{client} -> {} unit {unit}: {pdus:02x?}", conduit.name));
    }
    let mut ports: Vec<String> = ways.iter().map(|(_, port)| port.to_string()).collect();
    ports.sort();
    let alerts = run(&program, &folder, &rules, &frames, &ports.join(","));
    let mut wrong = Vec::new();
    for ((port, refused, exempt), shown) in want.iter().zip(&shown) {
        let told = alerts.get(port).cloned().unwrap_or_default();
        if *refused == told.is_empty() && !exempt {
            wrong.push(format!("{shown}\n    {}: {told:?}", if *refused { "refused" } else { "allowed" }));
        }
    }
    assert!(wrong.is_empty(), "{} of {cases}\n{}", wrong.len(), wrong.join("\n"));
    let refused = want.iter().filter(|(_, refused, _)| *refused).count();
    (refused, cases - refused)
}

fn enough((refused, allowed): (usize, usize)) {
    println!("{refused} refused and told, {allowed} allowed and not told");
    assert!((refused, allowed) == (0, 0) || (refused > 100 && allowed > 20), "{refused} {allowed}");
}

#[test]
fn the_water_works_are_judged_as_the_guard_does() {
    // What hours it is, a rule cannot say.
    let site =
        include_str!("../../../../sites/waterworks.toml").replace(", times = [\"mon-fri 06:00-18:00\"]", "");
    enough(judged_alike(&site, 1, 2_000));
}

#[test]
fn the_heating_is_judged_as_the_guard_does() {
    enough(judged_alike(include_str!("../../../../sites/heating.toml"), 2, 2_000));
}

/// Rules as people write them, over each other.
#[test]
fn listed_rules_are_judged_as_the_guard_does() {
    let site = r#"
[site]
name = "Listed"
[zone.control]
networks = ["10.20.0.0/24"]
roles = ["operator"]
[zone.service]
networks = ["10.20.5.0/24"]
[role.operator]
[device.a]
connect = "tcp://10.20.1.21"
[device.a.tag]
one = { at = "holding:5", write = { roles = ["operator"], min = 20, max = 50 }, type = "i16", range = [-10, 60] }
[guard.a]
listen = "tcp://10.20.1.5:502"
to = "a"
allow = [
    { name = "read", from = "control", do = "read-only", at = ["holding:0-99", "holding:200-209", "coil:*"] },
    { name = "more", from = "10.20.0.9", functions = [3, 6, 16, 23, 24], at = ["holding:90-150"] },
    { name = "limited", roles = ["operator"], functions = [6, 16], at = ["holding:60-69"], values = [10, 90] },
    { name = "bits", from = "control", functions = [5, 15], at = ["coil:0-7"] },
    { name = "who", from = ["service", "10.20.0.77"], functions = ["43/14", 17, 90, "8"] },
    { name = "all", from = "10.20.5.7", do = "programming" },
]
deny = [
    { name = "not these", functions = [3, 16], at = ["holding:30-39", "holding:120"] },
    { name = "not him", from = "10.20.0.77", functions = [1] },
]
"#;
    enough(judged_alike(site, 3, 2_500));
}

#[test]
fn without_a_guard_the_devices_are_watched() {
    let site = include_str!("../../../../sites/heating.toml");
    let folder = folder("without");
    let text = exported(&folder, site, &["--to", "suricata", "--without-guard"]);
    assert!(text.contains(" -> 10.20.2.11 502 (msg:\"port502 boiler-conduit client"), "{text}");
    assert!(!text.contains("goes round"));
    let drops = exported(&folder, site, &["--to", "suricata", "--drop"]);
    assert!(
        drops.lines().any(|line| line.starts_with("drop modbus")) && !drops.contains("\nalert "),
        "{drops}"
    );
    // What a rule of the site only records is not dropped.
    let records = site.replace(
        "{ from = \"operations\", do = \"derived\" }]",
        "{ from = \"operations\", do = \"derived\" }]\ndeny = [{ name = \"no restart\", functions = [\"8/1\"], mode = \"alert\" }]",
    );
    let drops = exported(&folder, &records, &["--to", "suricata", "--drop"]);
    assert!(drops.contains("its own mode: what it objects to is told, and not dropped\n"), "{drops}");
    for line in drops.lines().filter(|line| line.contains("reason denied")) {
        assert!(line.starts_with("alert modbus") && line.contains("rule no_restart"), "{line}");
    }
    // The same rule has the same id, whatever else there is.
    let sids = |text: &str| -> BTreeMap<String, String> {
        text.lines()
            .filter_map(|line| {
                let (rule, sid) = line.split_once("sid:")?;
                Some((sid.to_owned(), rule.to_owned()))
            })
            .collect()
    };
    let before = sids(&text);
    let after = sids(&exported(
        &folder,
        &site.replace(
            "[{ from = \"control\", do = \"derived\" }, ",
            "[{ from = \"10.99.0.1\", functions = [17] }, { from = \"control\", do = \"derived\" }, ",
        ),
        &["--to", "suricata", "--without-guard"],
    ));
    let same = before.iter().filter(|(sid, rule)| after.get(*sid) == Some(rule)).count();
    assert!(same > before.len() / 2, "{same} of {}", before.len());
    let all: BTreeSet<u32> =
        after.keys().map(|sid| sid.split(';').next().unwrap().parse().unwrap()).collect();
    assert!(all.len() == after.len() && all.iter().all(|sid| (1_502_000..2_000_000).contains(sid)));
}
