//! What is proposed from what was seen: the text, and the law that it lets pass what was seen, and nothing of strangers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use port502_inspect::learn::is_dangerous;
use port502_inspect::policy::{Client, Conduit, Decision, Operation};
use port502_inspect::{Learner, Peer, Policy};
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
