//! A client and a server over a wire that delays, cuts, repeats, reorders, loses and forges: whatever it does,
//! no request is given another's answer, and each of them ends.

use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use port502_session::Instant;
use port502_session::client::{ClientSession, Event, StartError};
use port502_session::server::{Context, Device, DeviceResult, Limits, ServerSession, answer};
use port502_wire::mbap::{ADU_MAX, Frame, Received, TransactionId, emit};
use port502_wire::{FunctionCode, FunctionSet, PDU_MAX, RegistersMut, Request, Response, Span, UnitId};
use proptest::prelude::*;

const IN_FLIGHT: usize = 16;
const REQUESTS: u16 = 150;
const TIMEOUT: Duration = Duration::from_millis(500);

/// Numbers that the seed determines: SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One time in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn millis(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit * 1000))
    }
}

/// A register's value is a function of its address, and no two requests ask for the same one.
struct Values;

const fn value(address: u16) -> u16 {
    address.rotate_left(5) ^ 0xA5C3
}

impl Device for Values {
    fn functions(&self) -> FunctionSet {
        [3, 6].map(FunctionCode).into_iter().collect()
    }

    fn read_holding_registers(
        &self,
        _: &Context<'_>,
        span: Span<125>,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult {
        out.fill((span.start()..=span.last()).map(value));
        Ok(())
    }

    fn write_single_register(&self, _: &Context<'_>, _: u16, _: u16) -> DeviceResult {
        Ok(())
    }
}

/// One direction: bytes in order, in pieces, each at its time.
#[derive(Default)]
struct Wire {
    pieces: VecDeque<(Instant, Vec<u8>)>,
}

impl Wire {
    fn send(&mut self, random: &mut Random, now: Instant, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let len =
                if random.one_in(3) { 1 + random.below(bytes.len() as u64) as usize } else { bytes.len() };
            let (piece, rest) = bytes.split_at(len);
            let earliest = self.pieces.back().map_or(now, |(at, _)| (*at).max(now));
            let delay = if random.one_in(4) { random.millis(40) } else { Duration::ZERO };
            self.pieces.push_back((earliest + delay, piece.to_vec()));
            bytes = rest;
        }
    }

    fn next(&self) -> Option<Instant> {
        self.pieces.front().map(|(at, _)| *at)
    }

    /// All that has arrived, pieces joined at random as a socket joins them.
    fn arrived(&mut self, random: &mut Random, now: Instant) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.next().is_some_and(|at| at <= now) && (bytes.is_empty() || !random.one_in(3)) {
            bytes.extend(self.pieces.pop_front().unwrap().1);
        }
        bytes
    }
}

/// How often what goes wrong: one time in so many.
#[derive(Debug)]
struct Trouble {
    lost: u64,
    repeated: u64,
    late: u64,
    forged: u64,
    cancelled: u64,
}

/// A request that the client has started.
struct Open {
    address: u16,
    pdu: Vec<u8>,
    deadline: Instant,
}

/// What became of the requests.
#[derive(Default, Debug)]
struct Ends {
    answered: u16,
    refused: u16,
    timed_out: u16,
    cancelled: u16,
}

fn converse(seed: u64) -> Ends {
    let mut random = Random(seed);
    let mut trouble = || [5, 20, 1000][random.below(3) as usize];
    let trouble = Trouble {
        lost: trouble(),
        repeated: trouble(),
        late: trouble(),
        forged: trouble(),
        cancelled: trouble(),
    };
    let mut client = ClientSession::<IN_FLIGHT>::new();
    let mut server = ServerSession::new(Instant::ZERO, Limits::default());
    let (mut up, mut down) = (Wire::default(), Wire::default());
    // Answers that the server will send, by the time at which it does.
    let mut answers: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>> = BinaryHeap::new();
    let (mut now, mut next_start, mut next_address, mut sequence) = (Instant::ZERO, Instant::ZERO, 0, 0);
    let mut open: BTreeMap<TransactionId, Open> = BTreeMap::new();
    let mut ends = Ends::default();
    let cx = Context::new(None, UnitId(1));
    while next_address < REQUESTS || !open.is_empty() {
        // To the next thing that happens.
        let start = (next_address < REQUESTS && open.len() < IN_FLIGHT).then_some(next_start);
        let answer_at = answers.peek().map(|Reverse((at, ..))| *at);
        let times = [start, up.next(), down.next(), answer_at, client.poll_timeout()];
        now = times.into_iter().flatten().min().expect("an open request has a deadline").max(now);

        if start.is_some_and(|at| at <= now) {
            let mut pdu = [0; PDU_MAX];
            let request = if random.one_in(4) {
                Request::WriteSingleRegister { address: next_address, value: value(next_address) }
            } else {
                Request::ReadHoldingRegisters {
                    span: Span::new(next_address, 1 + random.below(3) as u16).unwrap(),
                }
            };
            let pdu = request.emit(&mut pdu).unwrap();
            let mut adu = [0; ADU_MAX];
            let (id, adu) = client.start(now, UnitId(1), pdu, TIMEOUT, &mut adu).unwrap();
            let fresh = Open { address: next_address, pdu: pdu.to_vec(), deadline: now + TIMEOUT };
            assert!(open.insert(id, fresh).is_none(), "transaction id {id} is in use");
            next_address += 1;
            next_start = now + random.millis(20);
            if !random.one_in(trouble.lost) {
                up.send(&mut random, now, adu);
            }
            if random.one_in(trouble.repeated) {
                up.send(&mut random, now, adu);
            }
            if open.len() == IN_FLIGHT {
                let mut adu = [0; ADU_MAX];
                let full = client.start(now, UnitId(1), pdu, TIMEOUT, &mut adu);
                assert_eq!(full, Err(StartError::TooManyPending));
            }
        }

        let bytes = up.arrived(&mut random, now);
        let mut input = &bytes[..];
        while let Some(received) = server.next(&mut input).unwrap() {
            let Received::Frame(frame) = received else { panic!("the client sends Modbus only") };
            let mut out = [0; PDU_MAX];
            let pdu =
                answer(&Values, &cx, frame.pdu, &mut out).emit(frame.pdu[0], &mut out).unwrap().to_vec();
            let mut adu = [0; ADU_MAX];
            let mut send = |random: &mut Random, frame: &Frame<'_>, limit| {
                sequence += 1;
                let adu = emit(frame, &mut adu).unwrap().to_vec();
                answers.push(Reverse((now + random.millis(limit), sequence, adu)));
            };
            let right = Frame { pdu: &pdu, ..frame };
            if random.one_in(trouble.forged) {
                // A frame that nobody asked for, or an answer with another function.
                let stranger = TransactionId(random.next() as u16 | 0x8000);
                send(&mut random, &Frame { transaction: stranger, ..right }, 50);
                if random.one_in(2) {
                    send(&mut random, &Frame { pdu: &[pdu[0] ^ 7, 2, 0, 0], ..frame }, 1);
                    continue;
                }
            }
            if !random.one_in(trouble.lost) {
                let late = if random.one_in(trouble.late) { 3000 } else { 100 };
                send(&mut random, &right, late);
            }
            if random.one_in(trouble.repeated) {
                send(&mut random, &right, 1500);
            }
        }
        server.heard(now);

        while answers.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Reverse((.., adu)) = answers.pop().unwrap();
            down.send(&mut random, now, &adu);
        }

        let bytes = down.arrived(&mut random, now);
        let mut input = &bytes[..];
        while let Some(event) = client.next(&mut input).unwrap() {
            match event {
                Event::Answer { id, pdu, .. } => {
                    let asked = open.remove(&id).expect("an answer to an open request");
                    let request = Request::parse(&asked.pdu).unwrap();
                    let response = Response::parse(pdu).unwrap();
                    assert_eq!(response.answers(&request), Ok(()));
                    match response {
                        Response::ReadHoldingRegisters { registers } => {
                            let want = (asked.address..).map(value).take(registers.len());
                            assert!(registers.iter().eq(want), "{registers:?} for {request:?}");
                        }
                        Response::WriteSingleRegister { address, .. } => assert_eq!(address, asked.address),
                        other => panic!("{other:?} for {request:?}"),
                    }
                    assert!(now <= asked.deadline);
                    ends.answered += 1;
                }
                Event::BadAnswer { id, .. } => {
                    open.remove(&id).expect("an answer to an open request");
                    ends.refused += 1;
                }
                Event::Discarded { id } => assert!(!open.contains_key(&id.unwrap()), "an answer was lost"),
            }
        }

        if random.one_in(trouble.cancelled)
            && let Some((&id, _)) = open.iter().nth(random.below(IN_FLIGHT as u64) as usize)
        {
            client.cancel(id);
            open.remove(&id);
            ends.cancelled += 1;
        }
        while let Some((id, ())) = client.handle_timeout(now) {
            let asked = open.remove(&id).expect("a timeout of an open request");
            assert_eq!(asked.deadline, now, "neither early nor late");
            ends.timed_out += 1;
        }
        assert_eq!(client.pending(), open.len());
    }
    assert_eq!(ends.answered + ends.refused + ends.timed_out + ends.cancelled, REQUESTS, "{trouble:?}");
    ends
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_request_gets_anothers_answer(seed in any::<u64>()) {
        converse(seed);
    }
}

/// That the test above tests something: with these seeds all that can become of a request does.
#[test]
fn every_end_is_met() {
    let all = (0..50).map(converse).fold(Ends::default(), |all, ends| Ends {
        answered: all.answered + ends.answered,
        refused: all.refused + ends.refused,
        timed_out: all.timed_out + ends.timed_out,
        cancelled: all.cancelled + ends.cancelled,
    });
    let least = [all.answered / 10, all.refused, all.timed_out, all.cancelled];
    assert!(least.iter().all(|count| *count > 50), "{all:?}");
}
