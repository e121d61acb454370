//! What is proposed from what was seen: the text, and the law that it lets pass what was seen, and nothing of strangers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use port502_inspect::learn::is_dangerous;
use port502_inspect::policy::{Client, Conduit, Decision, Operation};
use port502_inspect::{Engine, Learner, Moment, Peer, Policy, State, WeekMinute};
use port502_session::Instant;
use port502_session::server::Identity;
use port502_site::compile::compile;
use port502_site::proposal::{proposal, proposal_without_site};
use port502_site::site::{Profiles, Site, SourceFile, render};
use port502_wire::{Request, UnitId};
use proptest::prelude::*;

use super::example::{WATERWORKS, parse};

/// The water works with nothing said of what is let through.
fn unguarded() -> String {
    let (before, rest) = WATERWORKS.split_once("# ---- what is let through").unwrap();
    let (_, after) = rest.split_once("# ---- what is kept").unwrap();
    format!("{before}# ---- what is kept{after}")
}

/// The site together with what is proposed for it, compiled.
#[track_caller]
fn together(site: &str, fragment: &str) -> Policy {
    let files =
        [SourceFile { name: "site.toml", text: site }, SourceFile { name: "guard.toml", text: fragment }];
    let site = Site::parse(&files, &Profiles::none())
        .unwrap_or_else(|errors| panic!("{fragment}\n{}", render::text(&files, &errors, 20)));
    compile(&site).policy
}

fn when(at: Instant) -> String {
    format!("{}s", at.as_nanos() / 1_000_000_000)
}

/// Somebody asked for something.
#[derive(Clone, Debug)]
struct Asked {
    client: Peer,
    unit: u8,
    pdu: Vec<u8>,
}

impl Asked {
    fn request(&self) -> Request<'_> {
        Request::parse(&self.pdu).unwrap()
    }

    fn operation(&self) -> Operation {
        let sub = match self.request() {
            Request::Diagnostics { sub_function, .. } => Some(sub_function.0),
            Request::ReadDeviceIdentification { .. } => Some(14),
            Request::EncapsulatedInterface { mei, .. } => Some(mei.into()),
            _ => None,
        };
        Operation { function: self.request().function(), sub }
    }

    fn judged(&self, policy: &Policy, conduit: &Conduit) -> bool {
        let roles: Vec<&str> = match &self.client.identity {
            Some(identity) => identity.role.as_deref().into_iter().collect(),
            None => policy.roles_of(self.client.address).collect(),
        };
        let subject = self.client.identity.as_ref().map(|identity| identity.subject.as_str());
        let client = Client { address: self.client.address, subject, roles: &roles };
        matches!(conduit.judge(client, UnitId(self.unit), &self.request()), Decision::Allowed { .. })
    }
}

fn learned(all: &[Asked]) -> Learner {
    let mut learner = Learner::new();
    for (at, asked) in all.iter().enumerate() {
        let now = Instant::ZERO + Duration::from_secs(at.try_into().unwrap());
        learner.observe(now, &asked.client, UnitId(asked.unit), &asked.request());
    }
    learner
}

fn peer(address: &str, subject: Option<&str>) -> Peer {
    let identity = subject.map(|subject| Identity {
        subject: subject.into(),
        fingerprint: [u8::try_from(subject.len()).unwrap(); 32],
        role: Some("operator".into()),
        role_fault: None,
    });
    Peer { address: address.parse().unwrap(), identity }
}

fn asked(address: &str, unit: u8, pdu: &[u8]) -> Asked {
    Asked { client: peer(address, None), unit, pdu: pdu.to_vec() }
}

/// What the pump house asks, as the site has it; a laptop that is in no zone; and something that should not be.
fn a_day() -> Vec<Asked> {
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(asked("10.20.0.9", 1, &[3, 0, 100, 0, 5]));
        all.push(asked("10.20.0.9", 1, &[2, 0, 0, 0, 2]));
        all.push(asked("10.20.0.10", 2, &[4, 0, 0, 0, 6]));
        all.push(asked("10.20.4.2", 1, &[3, 0, 200, 0, 3]));
        all.push(asked("192.168.7.9", 1, &[3, 0, 100, 0, 2]));
    }
    for value in [300_u16, 340, 320] {
        let [high, low] = value.to_be_bytes();
        all.push(asked("10.20.4.2", 1, &[6, 0, 200, high, low]));
        all.push(asked("192.168.7.9", 5, &[6, 0, 77, high, low]));
    }
    // Further than the site has it: the tag's limit is 500.
    all.push(asked("10.20.0.9", 6, &[6, 0, 9, 0, 1]));
    all.push(asked("192.168.7.9", 1, &[8, 0, 4, 0, 0]));
    all.push(asked("192.168.7.9", 1, &[90, 1]));
    all.push(asked("192.168.7.9", 77, &[3, 0, 0, 0, 1]));
    all.push(asked("192.168.7.9", 1, &[43, 14, 1, 0]));
    all.push(Asked { client: peer("10.20.5.7", Some("CN=laptop")), unit: 1, pdu: vec![17] });
    all
}

#[test]
fn a_day_at_the_water_works_becomes_rules() {
    let site = parse(WATERWORKS);
    let conduit = &site.conduits()[0];
    let text = proposal(&learned(&a_day()), &site, conduit, &when);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/site/proposal.toml");
    if std::env::var("PORT502_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        text,
        std::fs::read_to_string(&path).unwrap(),
        "PORT502_GOLDEN=write renews it; review it like code"
    );
    law(&a_day(), &unguarded(), &text, &[1, 2, 5, 6]);
    let shown = path.with_file_name("../../../../docs/learn.md");
    assert!(std::fs::read_to_string(shown).unwrap().contains(&text), "docs/learn.md shows something else");
}

/// What was seen passes but for what is only a comment, and strangers may do nothing.
#[track_caller]
fn law(all: &[Asked], site: &str, fragment: &str, units: &[u8]) {
    let policy = together(site, fragment);
    let conduit = &policy.conduits[0];
    for one in all {
        let proposed = units.contains(&one.unit) && !is_dangerous(one.operation());
        assert_eq!(one.judged(&policy, conduit), proposed, "{one:?}\n{fragment}");
        for stranger in ["203.0.113.7", "10.20.4.200", "fd00::99"] {
            let stranger = Asked { client: peer(stranger, None), ..one.clone() };
            assert!(!stranger.judged(&policy, conduit), "{stranger:?}\n{fragment}");
        }
        // And nobody may do here what nobody did.
        let far = Asked { pdu: vec![3, 0xF0, 0, 0, 1], ..one.clone() };
        assert!(!far.judged(&policy, conduit), "{far:?}\n{fragment}");
    }
}

#[test]
fn nothing_seen_lets_nothing_pass() {
    let site = parse(WATERWORKS);
    for conduit in site.conduits() {
        let text = proposal(&Learner::new(), &site, conduit, &when);
        assert!(together(&unguarded(), &text).conduits[0].rules.is_empty(), "{text}");
        // What belongs to the door stays.
        assert_eq!(text.contains("cert = "), conduit.tls.is_some(), "{text}");
        assert_eq!(text.contains("connections_per_client = 4"), conduit.name == "pumps", "{text}");
    }
}

#[test]
fn without_a_site_units_and_addresses_are_listed() {
    let listen = ["tcp://0.0.0.0:502".parse().unwrap()];
    let all: Vec<Asked> = a_day().into_iter().filter(|asked| asked.unit == 1).collect();
    let text = proposal_without_site(&learned(&all), "plc", &listen, "plc", &when);
    let site = "[site]\nname = \"s\"\n[device.plc]\nconnect = \"tcp://10.20.1.21\"\n";
    law(&all, site, &text, &[1]);
    assert!(text.contains("units = 1") && !text.contains("derived"), "{text}");
}

#[test]
fn what_function_23_only_reads_may_hardly_be_written() {
    let both =
        |read: u8, at: u8, value: u8| asked("192.168.7.9", 5, &[23, 0, read, 0, 2, 0, at, 0, 1, 2, 0, value]);
    let all = [both(0, 60, 77), both(0, 60, 80), both(59, 1, 3)];
    let site = parse(WATERWORKS);
    // Of 0 to 1, 1 is written as well; of 59 to 60, 60 is.
    let text = proposal(&learned(&all), &site, &site.conduits()[0], &when);
    let policy = together(&unguarded(), &text);
    law(&all, &unguarded(), &text, &[5]);
    let only_read = "    # only read: holding:0, holding:59. A rule has one list of places for what function 23 reads and \
                     what it writes: this lets it\n    # write 3 there, too, which was not seen.\n    { from = \
                     \"192.168.7.9\", units = 5, functions = [\"ReadWriteMultipleRegisters\"], at = [\"holding:0\", \
                     \"holding:59\"], values = [3, 3] },\n";
    assert!(text.contains(only_read), "{text}");
    for (at, values) in [(0, 3..=3), (59, 3..=3), (1, 3..=3), (60, 77..=80)] {
        for value in 0..=255 {
            let passes = both(0, at, value).judged(&policy, &policy.conduits[0]);
            assert_eq!(passes, values.contains(&value), "{value} to {at}\n{text}");
        }
    }
}

/// Seen was a step from 0 to 30; the learner saw a write of 30.
const STEPS: &str = r#"
[site]
name = "x"
[role.operator]
[zone.operators]
networks = ["10.20.4.0/25"]
roles = ["operator"]
[device.pump]
connect = "tcp://10.0.1.1"
[device.pump.tag]
run = { at = "coil:3", write = { roles = ["operator"] } }
valve = { at = "coil:4", write = { roles = ["operator"], after = { tag = "run", is = 1, within = "5s" } } }
speed = { at = "holding:200", range = [0, 50], write = { roles = ["operator"], min = 20, max = 50, max_step = 5, rate = "6/min" } }
"#;

const GUARD: &str = "[guard.pump]\nlisten = [\"tcp://0.0.0.0:502\"]\nto = \"pump\"\nallow = []\n";

#[test]
fn what_a_tag_is_held_to_is_said() {
    let all = [
        asked("10.20.4.2", 1, &[3, 0, 200, 0, 1]),
        asked("10.20.4.2", 1, &[6, 0, 200, 0, 30]),
        asked("10.20.4.2", 1, &[6, 0, 200, 0, 33]),
        asked("10.20.4.2", 1, &[5, 0, 3, 0xFF, 0]),
        asked("10.20.4.2", 1, &[5, 0, 4, 0xFF, 0]),
    ];
    let site = parse(&format!("{STEPS}{GUARD}"));
    let text = proposal(&learned(&all), &site, &site.conduits()[0], &when);
    let said = "    # pump.speed is held to its own: steps of 5 at most, 6/min at most\n    # pump.valve is held to its \
                own: while pump.run is 1 for less than 5s\n    # What was seen beyond that will be refused, and so will \
                be a step, or what waits for another value, as long\n    # as the guard has not seen that value.\n    { \
                from = \"operators\", do = \"derived\" },\n";
    assert!(text.contains(said), "{text}");
    law(&all, STEPS, &text, &[1]);
    // A device that has just started, and holds 0.
    let refused = refused(&all, &together(STEPS, &text));
    assert_eq!(refused, [1, 2, 4], "{text}");
}

/// Which of these a guard refuses that has just started.
fn refused(all: &[Asked], policy: &Policy) -> Vec<usize> {
    let mut state = State::new(Arc::new(Engine::compile(policy, &policy.conduits[0]).unwrap()));
    let mut refused = Vec::new();
    for (number, asked) in all.iter().enumerate() {
        let at = Instant::ZERO + Duration::from_secs(number.try_into().unwrap());
        let grants = state.grants(&asked.client);
        let now = Moment { at, week: WeekMinute::default() };
        let verdict = state.judge(&grants, now, asked.client.address, UnitId(asked.unit), &asked.request());
        if !verdict.passes() {
            refused.push(number);
        }
    }
    refused
}

// ---- by chance ------------------------------------------------------------------------------------------------------

fn any_pdu() -> impl Strategy<Value = Vec<u8>> {
    // Where the tags of the water works are, and beside them.
    let place = || prop_oneof![0..12_u16, 98..112_u16, 198..212_u16];
    let read = (1..=4_u8, place(), 1..8_u16).prop_map(|(code, first, count)| {
        let ([a, b], [c, d]) = (first.to_be_bytes(), count.to_be_bytes());
        vec![code, a, b, c, d]
    });
    let value = prop_oneof![Just(0_u16), Just(1), 190..510_u16, any::<u16>()];
    let single = (place(), value.clone()).prop_map(|(at, value)| {
        let ([a, b], [c, d]) = (at.to_be_bytes(), value.to_be_bytes());
        vec![6, a, b, c, d]
    });
    let coil = (place(), any::<bool>()).prop_map(|(at, on)| {
        let [a, b] = at.to_be_bytes();
        vec![5, a, b, if on { 0xFF } else { 0 }, 0]
    });
    let several =
        (place(), prop::collection::vec(value, 1..6), any::<bool>()).prop_map(|(at, values, both)| {
            let [a, b] = at.to_be_bytes();
            let count = u8::try_from(values.len()).unwrap();
            let mut pdu = if both {
                vec![23, 0, 3, 0, 2, a, b, 0, count, 2 * count]
            } else {
                vec![16, a, b, 0, count, 2 * count]
            };
            pdu.extend(values.iter().flat_map(|value| value.to_be_bytes()));
            pdu
        });
    let coils = (place(), any::<u8>()).prop_map(|(at, bits)| {
        let [a, b] = at.to_be_bytes();
        vec![15, a, b, 0, 5, 1, bits & 0x1F]
    });
    let mask = place().prop_map(|at| {
        let [a, b] = at.to_be_bytes();
        vec![22, a, b, 0xFF, 0xF7, 0, 8]
    });
    let fifo = place().prop_map(|at| {
        let [a, b] = at.to_be_bytes();
        vec![24, a, b]
    });
    let other = prop::sample::select(vec![
        vec![7],
        vec![8, 0, 0, 1, 2],
        vec![8, 0, 1, 0, 0],
        vec![8, 0, 4, 0, 0],
        vec![8, 0, 10, 0, 0],
        vec![11],
        vec![12],
        vec![17],
        vec![20, 7, 6, 0, 1, 0, 0, 0, 2],
        vec![21, 9, 6, 0, 1, 0, 0, 0, 1, 0, 7],
        vec![43, 14, 1, 0],
        vec![43, 13, 1],
        vec![65],
        vec![90, 1, 2],
    ]);
    prop_oneof![4 => read, 2 => single, 1 => coil, 2 => several, 1 => coils, 1 => mask, 1 => fifo, 1 => other]
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let clients = prop::sample::select(vec![
        peer("10.20.0.9", None),
        peer("10.20.0.10", None),
        peer("10.20.4.2", None),
        peer("10.20.5.7", None),
        peer("10.20.5.7", Some("CN=laptop")),
        peer("192.168.7.9", Some("CN=laptop, O=Northfield")),
        peer("192.168.7.9", None),
        peer("192.168.7.10", None),
        peer("fd00::7", None),
    ]);
    let unit = prop_oneof![10 => prop::sample::select(vec![1_u8, 2, 5, 6]), 1 => Just(0_u8), 1 => Just(77)];
    (clients, unit, any_pdu()).prop_map(|(client, unit, pdu)| Asked { client, unit, pdu })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_was_seen_passes(all in prop::collection::vec(any_asked(), 0..120)) {
        let site = parse(WATERWORKS);
        let text = proposal(&learned(&all), &site, &site.conduits()[0], &when);
        law(&all, &unguarded(), &text, &[1, 2, 5, 6]);
    }

    /// A guard that has just started may refuse what was seen, but nothing of which the proposal does not say so.
    #[test]
    fn what_is_refused_all_the_same_is_said(
        ours in prop::collection::vec((0..5_usize, 200..501_u16), 1..40),
        others in prop::collection::vec(any_asked(), 0..20),
    ) {
        let mut all = vec![asked("10.20.4.2", 1, &[3, 0, 200, 0, 3])];
        for (which, value) in ours {
            let [high, low] = value.to_be_bytes();
            all.push(match which {
                0 => asked("10.20.4.2", 1, &[6, 0, 200, high, low]),
                1 => asked("10.20.4.2", 1, &[16, 0, 200, 0, 1, 2, high, low]),
                coil => asked("10.20.4.2", 1, &[5, 0, u8::try_from(coil - 2).unwrap(), [0, 0xFF][usize::from(low % 2)], 0]),
            });
        }
        let strangers = |one: &Asked| one.client.address.to_string() != "10.20.4.2";
        all.extend(others.into_iter().filter(strangers));
        let site = parse(WATERWORKS);
        let text = proposal(&learned(&all), &site, &site.conduits()[0], &when);
        for one in refused(&all, &together(&unguarded(), &text)).into_iter().map(|at| &all[at]) {
            if ![1, 2, 5, 6].contains(&one.unit) || is_dangerous(one.operation()) {
                continue;
            }
            let name = match one.pdu[..3] {
                [6 | 16, 0, 200] => "speed_sp",
                [5, 0, 0] => "run",
                [5, 0, 1] => "auto",
                [5, 0, 2] => "reset",
                _ => "none that is held to anything",
            };
            let said = text.contains(&format!("# intake.{name} is held to its own: "));
            prop_assert!(said && one.unit == 1, "{:?}\n{}", one, text);
        }
    }

    /// The site as its operators keep to it: all of it is derived, and nothing is listed.
    #[test]
    fn what_the_tags_need_is_derived(which in prop::collection::vec(0..6_usize, 1..40)) {
        let reads: [(u8, &[u8]); 6] = [
            (1, &[3, 0, 100, 0, 5]), (1, &[1, 0, 0, 0, 3]), (2, &[4, 0, 0, 0, 6]), (5, &[4, 0, 0, 0, 2]),
            (6, &[4, 0, 0, 0, 4]), (1, &[6, 0, 200, 1, 0x2C]),
        ];
        let mut all: Vec<Asked> =
            which.iter().map(|at| asked("10.20.4.2", reads[*at].0, reads[*at].1)).collect();
        all.push(asked("10.20.4.2", 1, reads[0].1));
        let site = parse(WATERWORKS);
        let text = proposal(&learned(&all), &site, &site.conduits()[0], &when);
        prop_assert!(text.contains("do = \"derived\"") && !text.contains("functions"), "{}", text);
        law(&all, &unguarded(), &text, &[1, 2, 5, 6]);
    }
}
