//! Laws of the tap that hold for every input: the body of the fuzz target, which ordinary tests call too.
//!
//! ```text
//!   byte 0          bit 0: the conversation is under way already
//!   then pieces     what: 1 byte    segment to server, segment to client (3 of 4 each), gap, wait, give up
//!                   length: 1 byte  of a segment, which follows
//! ```

use core::time::Duration;

use port502_session::Instant;
use port502_session::tap::{
    ANSWER_WITHIN, Direction, FRAME_MAX, OPEN_MAX, Observation, Skipped, Start, Tap, Transaction,
};
use port502_wire::{Anomalies, Anomaly, Request, Response, mbap, view};

/// One step of a conversation.
enum Step<'a> {
    Segment(Direction, &'a [u8]),
    Gap(Direction),
    Wait,
    GiveUp,
}

fn steps(mut bytes: &[u8]) -> impl Iterator<Item = Step<'_>> {
    std::iter::from_fn(move || {
        let (&what, rest) = bytes.split_first()?;
        let direction = if what & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        bytes = rest;
        Some(match what >> 1 & 0x3F {
            0x3D => Step::Gap(direction),
            0x3E => Step::Wait,
            0x3F => Step::GiveUp,
            _ => {
                let (&len, rest) = rest.split_first()?;
                let (segment, rest) = rest.split_at(usize::from(len).min(rest.len()));
                bytes = rest;
                Step::Segment(direction, segment)
            }
        })
    })
}

/// What an observation is, owned.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Transaction { transaction: u16, halves: [Option<Half>; 2], anomalies: Anomalies, may_be_lost: bool },
    Skipped(Skipped),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Half {
    at: Instant,
    unit: u8,
    pdu: Vec<u8>,
    anomalies: Anomalies,
}

impl Seen {
    fn of(observation: &Observation<'_>) -> Self {
        match observation {
            Observation::Transaction(told) => {
                check(told);
                Seen::Transaction {
                    transaction: told.transaction.0,
                    halves: [told.request, told.response].map(|half| {
                        half.map(|half| Half {
                            at: half.at,
                            unit: half.unit.0,
                            pdu: half.pdu.to_vec(),
                            anomalies: half.anomalies,
                        })
                    }),
                    anomalies: told.anomalies,
                    may_be_lost: told.may_be_lost,
                }
            }
            Observation::Skipped(skipped) => Seen::Skipped(*skipped),
        }
    }

    /// How many bytes of the conversation this accounts for.
    fn bytes(&self) -> u64 {
        match self {
            Seen::Transaction { halves, .. } => {
                let pdus = halves.iter().flatten().map(|half| half.pdu.len() + mbap::HEADER_LEN);
                pdus.sum::<usize>() as u64
            }
            Seen::Skipped(skipped) => skipped.bytes,
        }
    }
}

/// A transaction says what its PDUs say.
fn check(told: &Transaction<'_>) {
    assert!(told.request.is_some() || told.response.is_some(), "a transaction of nothing");
    for half in [told.request, told.response].into_iter().flatten() {
        assert!((1..=FRAME_MAX - mbap::HEADER_LEN).contains(&half.pdu.len()));
    }
    if let Some(request) = told.request {
        assert_eq!(request.anomalies, view::request(request.pdu).anomalies);
    }
    if let Some(response) = told.response {
        assert_eq!(response.anomalies, view::response(response.pdu).anomalies);
    }
    if let (Some(request), Some(response)) = (told.request, told.response) {
        assert!(!told.may_be_lost, "nothing is missing");
        assert_eq!(told.anomalies.contains(Anomaly::UnitMismatch), request.unit != response.unit);
        if let (Ok(asked), Ok(answer)) = (Request::parse(request.pdu), Response::parse(response.pdu)) {
            let mismatch = answer.answers(&asked).err().map(Anomaly::from);
            for anomaly in [Anomaly::FunctionMismatch, Anomaly::QuantityMismatch, Anomaly::EchoMismatch] {
                assert_eq!(told.anomalies.contains(anomaly), mismatch == Some(anomaly));
            }
        }
    }
    // An excuse and an accusation exclude each other.
    if told.may_be_lost {
        for anomaly in [Anomaly::Unsolicited, Anomaly::Duplicate, Anomaly::TooManyOpen] {
            assert!(!told.anomalies.contains(anomaly), "{anomaly} though it may be lost");
        }
    }
}

/// What is told of a conversation whose segments are cut into pieces of at most `piece` bytes.
fn told(start: Start, bytes: &[u8], piece: usize) -> Vec<Seen> {
    let (mut tap, mut now, mut seen, mut fed) = (Tap::new(start), Instant::ZERO, Vec::new(), 0);
    for step in steps(bytes) {
        let mut sink = |observation: Observation<'_>| seen.push(Seen::of(&observation));
        match step {
            Step::Segment(direction, segment) => {
                fed += segment.len() as u64;
                for piece in segment.chunks(piece) {
                    tap.observe(direction, piece, now, &mut sink);
                }
            }
            Step::Gap(direction) => tap.gap(direction, now, &mut sink),
            Step::Wait => now = now + ANSWER_WITHIN / 2,
            Step::GiveUp => tap.give_up(now, &mut sink),
        }
        now = now + Duration::from_millis(7);
        assert!(tap.open_requests() <= OPEN_MAX, "more requests are open than may be");
    }
    tap.finish(&mut |observation| seen.push(Seen::of(&observation)));
    assert_eq!(tap.open_requests(), 0);
    assert_eq!(seen.iter().map(Seen::bytes).sum::<u64>(), fed, "every byte is accounted for once");
    seen
}

/// No input does harm; every byte is accounted for; where frames begin does not depend on segments, as long as nothing
/// was lost and every frame says how long it is.
pub fn tap(bytes: &[u8]) {
    let Some((&first, steps_bytes)) = bytes.split_first() else { return };
    let start = if first & 1 == 0 { Start::Handshake } else { Start::Midway };
    let whole = told(start, steps_bytes, usize::MAX);
    let pieces = told(start, steps_bytes, 1 + usize::from(first >> 1 & 7));
    let lost = start == Start::Midway || steps(steps_bytes).any(|step| matches!(step, Step::Gap(_)));
    let astray = whole.iter().any(|seen| match seen {
        Seen::Skipped(skipped) => {
            skipped.anomalies.contains(Anomaly::FrameLength) || skipped.anomalies.contains(Anomaly::NotModbus)
        }
        Seen::Transaction { .. } => false,
    });
    if !lost && !astray {
        assert_eq!(whole, pieces, "other segments, other observations");
    }
}
