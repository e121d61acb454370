//! Conversations by chance, and what fuzzing collected, through the law.

use std::path::Path;
use std::sync::Arc;

use port502_inspect::conduit::{Disposition, Inspection, Sanity};
use port502_inspect::{Engine, Peer, State};
use port502_wire::UnitId;
use port502_wire::mbap::{Frame, TransactionId};

use crate::generate::{self, Chance};
use crate::law;

/// A conversation in the notation of the law: mostly requests of the small world, some of them broken, in segments that
/// end anywhere.
fn conversation(seed: u64) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    let mut stream = Vec::new();
    for _ in 0..chance.below(40) {
        let pdu = generate::pdu(&mut chance);
        let id = chance.pick(&[1_u16, 2, 3, 4, 5, 6, 7, 700]);
        let (mut protocol, mut length) = (0_u16, u16::try_from(pdu.len() + 1).unwrap());
        match chance.below(60) {
            0 => protocol = chance.pick(&[1, 0xFFFF, 0x0100]),
            1 => length = chance.pick(&[0, 1, 255, 300, 0xFFFF]),
            2 => length += 1,
            3 => length = length.saturating_sub(1).max(2),
            _ => {}
        }
        stream.extend(id.to_be_bytes());
        stream.extend(protocol.to_be_bytes());
        stream.extend(length.to_be_bytes());
        stream.push(chance.pick(&[0, 1, 2, 3, 255]));
        stream.extend(pdu);
    }
    let mut bytes = vec![chance.number(256), chance.number(256)];
    let mut rest = stream.as_slice();
    while !rest.is_empty() {
        let (segment, behind) = rest.split_at(chance.number::<usize>(60).min(rest.len()));
        rest = behind;
        bytes.extend([4, u8::try_from(segment.len()).unwrap()]);
        bytes.extend(segment);
        for _ in 0..chance.below(4) {
            bytes.push(chance.pick(&[0, 1, 1, 9, 17, 25, 33]));
        }
        if chance.one_in(8) {
            let reply = [0, chance.number(9), 0, 0, 0, 5, 1, 3, 2, 0, 7];
            bytes.extend([3, 11]);
            bytes.extend(reply);
        }
    }
    bytes
}

#[test]
fn no_request_outside_the_policy_goes_on() {
    let (mut forwarded, mut answered) = (0, 0);
    for seed in 0..1_500 {
        println!("seed {seed}");
        let (on, back) = law::inspection(&conversation(seed));
        forwarded += on;
        answered += back;
    }
    println!("{forwarded} requests went on, {answered} answers came back");
    assert!(forwarded > 1_000 && answered > 500, "too few of {forwarded} and {answered} to mean anything");
}

#[test]
fn what_fuzzing_collected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/inspect");
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: there is no {}", folder.display());
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        println!("{}", path.display());
        law::inspection(&std::fs::read(path).unwrap());
    }
}

#[test]
fn a_request_that_waits_for_a_whole_round_of_ids_keeps_its_own() {
    let policy = crate::table::policy();
    let mut state = State::new(Arc::new(Engine::compile(&policy, &policy.conduits[0]).unwrap()));
    let peer = Peer { address: "10.20.0.7".parse().unwrap(), identity: None };
    let mut inspection = Inspection::new(Sanity::default(), peer);
    let (read, answer) = ([3, 0, 100, 0, 1], [3, 2, 0, 7]);
    let frame = |id, pdu| Frame { transaction: TransactionId(id), unit: UnitId(3), pdu };
    let mut kept = Vec::new();
    // Two that are never answered, and as many others as ids go round three times.
    for round in 0..200_000_u32 {
        // Slowly enough for the conduit's rate.
        let now = generate::moment(u64::from(round) * 1_000);
        let stays = [0, 5].contains(&round);
        let clients = if stays { kept.len() as u16 } else { 100 };
        let judged = inspection.request(&mut state, now, &frame(clients, &read));
        let Disposition::Forward { transaction } = judged.disposition else { panic!("{judged:?}") };
        assert!(!kept.contains(&transaction), "round {round}: {transaction:?} is taken");
        if stays {
            kept.push(transaction);
        } else {
            let back = inspection.response(&mut state, now.at, &frame(transaction.0, &answer));
            assert_eq!(back, Ok(TransactionId(100)));
        }
    }
}
