//! `requests.txt`: each row a request and what becomes of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use port502_inspect::conduit::{Disposition, Inspection, Judged, Sanity};
use port502_inspect::policy::{
    Clients, Conduit, Effect, Envelope, Functions, Limits, Mode, Operation, Places, Policy, Range, Rate,
    Refusal, Rule, TimeWindow, Writable, Zone,
};
use port502_inspect::{Engine, Objection, Peer, State};
use port502_session::server::Identity;
use port502_wire::mbap::{Frame, TransactionId};
use port502_wire::value::{BitNumber, Order, TextLength, ValueType};
use port502_wire::{FunctionCode, Table, UnitId};

use crate::generate::{moment, networks};

/// A rule that allows, to be completed.
pub(crate) fn allow(name: &str, units: &[(u8, u8)], functions: &[u8], places: Places) -> Rule {
    let operation = |code: &u8| Operation { function: FunctionCode(*code), sub: None };
    Rule {
        name: name.into(),
        effect: Effect::Allow,
        clients: Clients::default(),
        units: units.to_vec(),
        functions: Functions::Of(functions.iter().map(operation).collect()),
        places,
        values: None,
        during: Vec::new(),
        requests: None,
        mode: None,
        refusal: None,
    }
}

pub(crate) fn from(networks_of: &[&str]) -> Clients {
    Clients { networks: networks(networks_of), ..Clients::default() }
}

pub(crate) fn holding(address: u16, value_type: ValueType, limits: Envelope) -> Writable {
    Writable {
        name: format!("tag-{address}"),
        table: Table::HoldingRegisters,
        address,
        value_type,
        order: Order::default(),
        limits,
        max_step: None,
        rate: None,
        after: None,
    }
}

pub(crate) fn integers(min: i128, max: i128) -> Envelope {
    Envelope::Integers { min, max }
}

fn ranges(of: &[(Table, u16, u16)]) -> Places {
    Places::Of(
        of.iter().map(|(table, first, last)| Range { table: *table, first: *first, last: *last }).collect(),
    )
}

pub(crate) fn policy() -> Policy {
    let u16_within = |address, min, max| holding(address, ValueType::U16, integers(min, max));
    let sub = |function, sub| Operation { function: FunctionCode(function), sub };
    let reversed = Order { words_reversed: true, bytes_swapped: false };
    let roles = |role: &str| Clients { roles: vec![role.into()], ..Clients::default() };
    let operator_values = || {
        vec![
            Writable { table: Table::Coils, ..holding(5, ValueType::Bool, Envelope::Any) },
            u16_within(200, 200, 500),
            Writable {
                order: reversed,
                ..holding(210, ValueType::F32, Envelope::Floats { min: -10.0, max: 10.0 })
            },
            holding(220, ValueType::Bit(BitNumber::new(3).unwrap()), Envelope::Any),
            holding(230, ValueType::I16, Envelope::OneOf(vec![-1, 0, 1])),
            holding(240, ValueType::U32, integers(0, 100_000)),
            holding(260, ValueType::Text(TextLength::new(8).unwrap()), Envelope::Any),
            holding(270, ValueType::Bcd16, integers(0, 99)),
            holding(280, ValueType::Bool, Envelope::Any),
            u16_within(290, 0, 10),
            u16_within(291, 0, 10),
        ]
    };
    let at_hours = |name: &str, network: &str, days, from_minute, to| Rule {
        clients: from(&[network]),
        during: vec![TimeWindow { days, from: from_minute, to }],
        ..allow(name, &[(3, 3)], &[3], Places::Any)
    };
    let ten = |name: &str, network: &str, refusal| Rule {
        clients: from(&[network]),
        refusal,
        ..allow(name, &[(3, 3)], &[6], Places::Values(vec![u16_within(10, 0, 1)]))
    };
    let rules = vec![
        Rule {
            effect: Effect::Deny,
            functions: Functions::Of(vec![sub(8, Some(1)), sub(8, Some(4))]),
            ..allow("no-reset", &[(0, 255)], &[], Places::Any)
        },
        Rule {
            effect: Effect::Deny,
            ..allow(
                "no-upper",
                &[(0, 255)],
                &[6, 16, 22, 23],
                Places::Values(vec![u16_within(250, 900, 65_535)]),
            )
        },
        Rule {
            clients: from(&["10.20.0.0/24"]),
            ..allow(
                "control-reads",
                &[(3, 3)],
                &[1, 2, 3, 4],
                ranges(&[
                    (Table::Coils, 0, 15),
                    (Table::DiscreteInputs, 0, 7),
                    (Table::InputRegisters, 0, 9),
                    (Table::HoldingRegisters, 100, 149),
                ]),
            )
        },
        Rule {
            clients: roles("operator"),
            ..allow("operator-writes", &[(3, 3)], &[5, 6, 15, 16, 22], Places::Values(operator_values()))
        },
        Rule {
            clients: from(&["10.20.0.0/28"]),
            ..allow(
                "control-tunes",
                &[(3, 3)],
                &[6, 16, 22, 23],
                ranges(&[(Table::HoldingRegisters, 245, 255)]),
            )
        },
        Rule {
            clients: from(&["10.30.0.0/16"]),
            functions: Functions::Of(vec![sub(8, Some(0)), sub(17, None), sub(43, Some(14))]),
            ..allow("office-identifies", &[(1, 10)], &[], Places::Any)
        },
        Rule {
            clients: Clients { subjects: vec!["CN=panel-*".into()], ..Clients::default() },
            ..allow(
                "panels",
                &[(3, 3), (5, 5)],
                &[3, 16, 23],
                ranges(&[(Table::HoldingRegisters, 100, 149), (Table::HoldingRegisters, 300, 309)]),
            )
        },
        Rule {
            clients: roles("engineer"),
            functions: Functions::Any,
            ..allow("engineering", &[(0, 255)], &[], Places::Any)
        },
        at_hours("nights", "10.40.0.0/16", 0x7F, 22 * 60, 6 * 60),
        at_hours("days", "10.41.0.0/16", 0x1F, 6 * 60, 18 * 60),
        at_hours("sundays", "10.42.0.0/16", 0x40, 0, 1440),
        ten("quietly", "10.50.0.1", Some(Refusal::Drop)),
        ten("harshly", "10.50.0.2", Some(Refusal::Reset)),
        ten("busily", "10.50.0.3", Some(Refusal::Exception(6))),
        Rule {
            mode: Some(Mode::Alert),
            clients: from(&["10.60.0.1"]),
            ..allow(
                "on-trial",
                &[(3, 3)],
                &[6, 16, 22],
                Places::Values(vec![u16_within(10, 0, 1), u16_within(12, 0, 1), u16_within(14, 0, 2)]),
            )
        },
        Rule {
            clients: from(&["10.60.0.1"]),
            ..allow(
                "on-trial-enforced",
                &[(3, 3)],
                &[6, 16],
                Places::Values(vec![u16_within(13, 0, 1), u16_within(14, 0, 1)]),
            )
        },
        Rule {
            clients: from(&["10.61.0.1"]),
            ..allow("both-halves", &[(3, 3)], &[23], ranges(&[(Table::HoldingRegisters, 100, 149)]))
        },
        Rule {
            clients: from(&["10.61.0.1"]),
            ..allow("both-values", &[(3, 3)], &[23], Places::Values(vec![u16_within(200, 200, 500)]))
        },
        Rule {
            clients: from(&["10.80.0.1"]),
            values: Some((10, 20)),
            ..allow(
                "registers",
                &[(3, 3)],
                &[3, 5, 6, 15, 16, 22, 23],
                ranges(&[(Table::HoldingRegisters, 0, 9), (Table::Coils, 0, 9)]),
            )
        },
        Rule {
            effect: Effect::Deny,
            clients: from(&["10.80.0.2"]),
            values: Some((100, 65_535)),
            ..allow("no-hundreds", &[(3, 3)], &[6, 16, 22], Places::Any)
        },
        Rule { clients: from(&["10.80.0.2"]), ..allow("the-rest", &[(3, 3)], &[6, 16, 22], Places::Any) },
        Rule {
            clients: from(&["10.70.0.1"]),
            ..allow("broadcasts", &[(0, 0)], &[5], ranges(&[(Table::Coils, 0, 0)]))
        },
    ];
    Policy {
        zones: vec![Zone {
            name: "control".into(),
            networks: networks(&["10.20.0.0/24"]),
            roles: vec!["operator".into()],
        }],
        conduits: vec![Conduit {
            name: "intake".into(),
            mode: Mode::Enforce,
            refusal: Refusal::default(),
            limits: Limits {
                requests: Some(Rate { count: 100, per: Duration::from_secs(1) }),
                ..Limits::default()
            },
            devices: Vec::new(),
            rules,
        }],
    }
}

pub(crate) fn peer(address: &str, certificate: Option<(&str, Option<&str>)>) -> Peer {
    let identity = certificate.map(|(subject, role)| Identity {
        subject: subject.into(),
        fingerprint: [7; 32],
        role: role.map(Into::into),
        role_fault: None,
    });
    Peer { address: address.parse().unwrap(), identity }
}

fn peers() -> BTreeMap<&'static str, Peer> {
    BTreeMap::from([
        ("control", peer("10.20.0.7", None)),
        ("edge", peer("10.20.0.255", None)),
        ("beyond", peer("10.20.1.0", None)),
        ("mapped", peer("::ffff:10.20.0.7", None)),
        ("office", peer("10.30.1.1", None)),
        ("stranger", peer("192.0.2.1", None)),
        ("stranger6", peer("2001:db8::1", None)),
        ("panel", peer("10.99.0.1", Some(("CN=panel-1, O=Northfield", None)))),
        ("pane", peer("10.99.0.1", Some(("CN=pane", None)))),
        ("operator", peer("10.99.0.2", Some(("CN=desk", Some("operator"))))),
        ("nobody", peer("10.20.0.200", Some(("CN=guest", None)))),
        ("engineer", peer("10.99.0.3", Some(("CN=laptop", Some("engineer"))))),
        ("night", peer("10.40.0.1", None)),
        ("day", peer("10.41.0.1", None)),
        ("sunday", peer("10.42.0.1", None)),
        ("quiet", peer("10.50.0.1", None)),
        ("harsh", peer("10.50.0.2", None)),
        ("busy", peer("10.50.0.3", None)),
        ("trial", peer("10.60.0.1", None)),
        ("both", peer("10.61.0.1", None)),
        ("register", peer("10.80.0.1", None)),
        ("hundred", peer("10.80.0.2", None)),
        ("caller", peer("10.70.0.1", None)),
    ])
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// As the rows say it.
fn told(engine: &Engine, judged: &Judged) -> String {
    let what = match judged.disposition {
        Disposition::Refuse(how) => how.to_string(),
        Disposition::Forward { .. } => "alert".into(),
    };
    let Some(Objection { reason, rule, item, .. }) = judged.objection else { unreachable!() };
    let rule = rule.map(|rule| format!(" {}", engine.rule(rule).unwrap())).unwrap_or_default();
    let item = item.map(|(table, address)| format!(" {table}:{address}")).unwrap_or_default();
    format!("{what} {}{rule}{item}", reason.word())
}

#[test]
fn requests_and_what_becomes_of_them() {
    let (policy, peers) = (policy(), peers());
    let engine = Arc::new(Engine::compile(&policy, &policy.conduits[0]).unwrap());
    let (mut rows, mut wrong) = (0, Vec::new());
    for (number, line) in (1..).zip(include_str!("requests.txt").lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        rows += 1;
        let fields: Vec<&str> = line.split("  ").map(str::trim).filter(|field| !field.is_empty()).collect();
        let [client, unit, pdu, want] = fields[..] else { panic!("line {number}: not four fields") };
        let pdu = hex(pdu);
        let frame = Frame { transaction: TransactionId(1), unit: UnitId(unit.parse().unwrap()), pdu: &pdu };
        let mut state = State::new(Arc::clone(&engine));
        let mut inspection = Inspection::new(Sanity::default(), peers[client].clone());
        let judged = inspection.request(&mut state, moment(0), &frame);
        let got = match judged {
            Judged { disposition: Disposition::Forward { .. }, objection: None } => {
                // The rule is the verdict's: asked once more, of a state that knows nothing.
                let mut state = State::new(Arc::clone(&engine));
                let grants = state.grants(&peers[client]);
                let request = port502_wire::Request::parse(&pdu).unwrap();
                match state.judge(&grants, moment(0), peers[client].address, frame.unit, &request) {
                    port502_inspect::Verdict::Pass { rule } => format!("pass {}", engine.rule(rule).unwrap()),
                    other => panic!("line {number}: {other:?}"),
                }
            }
            judged => told(&engine, &judged),
        };
        if got != want {
            wrong.push(format!("line {number}: {line}\n    got {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows >= 200, "{rows} rows");
    println!("{rows} rows");
}
