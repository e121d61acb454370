//! Conversations on a line: frames of RTU and ASCII, which have no transaction ids (Serial Line V1.02).
//!
//! ```text
//!   client  [request to 5]                                 [request to 7] ..
//!   server 5               .. works ..  [answer of 5]
//!           |<-- t ------->|            |           |<--gap-->|
//!                                   nobody else may speak
//! ```
//!
//! One request is on its way at a time, and what belongs to it is told by its place and its content alone.
//! [`ClientLine`] takes as the answer what comes after the request, from the unit that was asked, and fits the
//! request in function, quantity and echo; everything else is passed over. [`ServerLine`] finds the frames that come,
//! those of other servers among them, and knows whether a request is still the last thing that was said.
//!
//! Nothing in an answer says which request it belongs to. So after a request that was given up, another to the same
//! unit with the same function waits until the late answer has come, or as long again as the first was given
//! ([`ClientLine::free_for`]); and whatever comes before a request goes out is discarded. What a line cannot tell apart is
//! an answer that is later still, or one that comes twice: transaction ids are for that, and the time that a request has
//! should be longer than the slowest device takes.

mod client;
mod server;

pub use client::{ClientLine, Event, StartError, acknowledgement};
pub use server::{Heard, ServerLine};

use port502_wire::rtu::Hears;
use port502_wire::serial::{Frame, Received};
use port502_wire::{EmitError, ascii, rtu};

use crate::target::Framing;

/// The largest frame of either kind.
pub const ADU_MAX: usize = ascii::ADU_MAX;

/// Finds frames of either kind.
#[derive(Clone, Debug)]
enum Decoder {
    Rtu(rtu::Decoder),
    Ascii(ascii::Decoder),
}

impl Decoder {
    /// For a line that was quiet until now. MBAP has a header of its own, and sessions of its own: it is none of these.
    fn new(framing: Framing, hears: Hears, delimiter: u8) -> Self {
        match framing {
            Framing::Ascii => Decoder::Ascii(ascii::Decoder::new(delimiter)),
            Framing::Rtu | Framing::Mbap => Decoder::Rtu(rtu::Decoder::new(hears)),
        }
    }

    fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Received<'s>> {
        match self {
            Decoder::Rtu(decoder) => decoder.next(input),
            Decoder::Ascii(decoder) => decoder.next(input),
        }
    }

    fn quiet(&mut self) -> Option<Received<'_>> {
        match self {
            Decoder::Rtu(decoder) => decoder.quiet(),
            Decoder::Ascii(decoder) => decoder.quiet(),
        }
    }

    fn set_delimiter(&mut self, delimiter: u8) {
        if let Decoder::Ascii(decoder) = self {
            decoder.set_delimiter(delimiter);
        }
    }

    fn is_midway(&self) -> bool {
        match self {
            Decoder::Rtu(decoder) => decoder.is_midway(),
            Decoder::Ascii(decoder) => decoder.is_midway(),
        }
    }
}

/// Writes a frame to the front of `out`; an ASCII frame ends with `delimiter`.
///
/// # Errors
/// A PDU that is empty or too long.
pub fn emit<'b>(
    framing: Framing,
    frame: &Frame<'_>,
    delimiter: u8,
    out: &'b mut [u8; ADU_MAX],
) -> Result<&'b [u8], EmitError> {
    match framing {
        Framing::Ascii => ascii::emit(frame, delimiter, out),
        Framing::Rtu | Framing::Mbap => rtu::emit(frame, out),
    }
}

/// The character that ends ASCII frames once `request` was carried out, where it changes that: 08 sub-function 03
/// (V1.1b3, 6.8.1).
#[must_use]
pub fn changed_delimiter(request: &[u8]) -> Option<u8> {
    match request {
        [8, 0, 3, delimiter, 0] => Some(*delimiter),
        _ => None,
    }
}

/// What is still to come back of a frame that was sent, on a line that echoes.
#[derive(Clone, Debug, Default)]
struct Echo {
    frame: alloc::vec::Vec<u8>,
    /// How much of it has come back.
    heard: usize,
}

impl Echo {
    fn expect(&mut self, frame: &[u8]) {
        self.frame.clear();
        self.frame.extend_from_slice(frame);
        self.heard = 0;
    }

    fn forget(&mut self) {
        self.expect(&[]);
    }

    /// Whether all of it has come back.
    fn is_whole(&self) -> bool {
        self.heard != 0 && self.heard == self.frame.len()
    }

    /// What has come back so far.
    fn heard(&self) -> &[u8] {
        self.frame.get(..self.heard).unwrap_or_default()
    }

    /// Takes the echo off the front of `input`; `false` when something else stands in its place.
    fn strip(&mut self, input: &mut &[u8]) -> bool {
        while let Some(wanted) = self.frame.get(self.heard) {
            match input.split_first() {
                None => return true,
                Some((byte, rest)) if byte == wanted => {
                    *input = rest;
                    self.heard += 1;
                }
                Some(_) => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::AnswerError;
    use crate::server::{Expired, Limits};
    use crate::{Instant, Target};
    use alloc::vec::Vec;
    use core::time::Duration;
    use port502_wire::{FunctionCode, Mismatch, UnitId};

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn client(target: &str) -> ClientLine {
        let target: Target = target.parse().unwrap();
        ClientLine::new(target.link().framing(), target.line().unwrap())
    }

    fn server(target: &str) -> ServerLine {
        let target: Target = target.parse().unwrap();
        let (framing, settings) = (target.link().framing(), target.line().unwrap());
        ServerLine::new(at(1), framing, settings, Hears::Both, Limits::default())
    }

    fn adu(unit: u8, pdu: &[u8]) -> Vec<u8> {
        emit(Framing::Rtu, &Frame { unit: UnitId(unit), pdu }, 0, &mut [0; ADU_MAX]).unwrap().to_vec()
    }

    fn ask(client: &mut ClientLine, now: u64, unit: u8, pdu: &[u8]) -> Result<Vec<u8>, StartError> {
        client.start(at(now), UnitId(unit), pdu, at(now + 1000), &mut [0; ADU_MAX]).map(<[u8]>::to_vec)
    }

    const READ: [u8; 5] = [3, 0, 0, 0, 1];
    const ANSWER: [u8; 4] = [3, 2, 0, 42];

    #[track_caller]
    fn hears(client: &mut ClientLine, now: u64, bytes: &[u8], want: Option<Event<'_>>) {
        assert_eq!(client.next(at(now), &mut &*bytes), want, "{bytes:02x?}");
    }

    #[test]
    fn what_does_not_fit_is_passed_over_and_told_at_the_end() {
        let others: [(&[u8], u8, AnswerError); 4] = [
            (&ANSWER, 2, AnswerError::Unit { got: UnitId(2) }),
            (&[4, 2, 0, 1], 1, AnswerError::Mismatch(Mismatch::Function)),
            (&[3, 4, 0, 1, 0, 2], 1, AnswerError::Mismatch(Mismatch::Quantity { got: 2, asked: 1 })),
            (&[0x84, 2], 1, AnswerError::Mismatch(Mismatch::Function)),
        ];
        for (pdu, unit, error) in others {
            // The right answer still comes.
            let mut line = client("rtu:///dev/ttyS0");
            ask(&mut line, 1, 1, &READ).unwrap();
            let passed_over = Some(Event::PassedOver { unit: UnitId(unit) });
            hears(&mut line, 20, &adu(unit, pdu), passed_over);
            hears(&mut line, 30, &adu(1, &ANSWER), Some(Event::Answer { pdu: &ANSWER }));
            // Or it does not.
            ask(&mut line, 100, 1, &READ).unwrap();
            hears(&mut line, 120, &adu(unit, pdu), passed_over);
            assert_eq!(line.handle_timeout(at(1099)), None);
            assert_eq!(line.handle_timeout(at(1100)), Some(Event::GivenUp { error: Some(error) }));
            assert_eq!(line.handle_timeout(at(9000)), None);
        }
    }

    #[test]
    fn what_comes_before_a_request_is_not_its_answer() {
        let mut line = client("rtu:///dev/ttyS0");
        ask(&mut line, 1, 1, &READ).unwrap();
        assert_eq!(line.handle_timeout(at(1001)), Some(Event::GivenUp { error: None }));
        // The late answer comes whole, and half: the line is not free before it has ended.
        hears(&mut line, 1005, &adu(1, &ANSWER), Some(Event::PassedOver { unit: UnitId(1) }));
        assert!(line.free_at() > at(1005));
        hears(&mut line, 1010, &adu(1, &ANSWER)[..3], None);
        assert!(line.free_at() >= at(1010) + Duration::from_millis(22));
        ask(&mut line, 1100, 1, &READ).unwrap();
        let rest = adu(1, &[3, 2, 0, 7]);
        hears(&mut line, 1120, &rest, Some(Event::Answer { pdu: &[3, 2, 0, 7] }));
    }

    #[test]
    fn a_late_answer_is_not_the_next_ones() {
        const OTHER: [u8; 5] = [3, 0, 9, 0, 1];
        let given_up = || {
            let mut line = client("rtu:///dev/ttyS0");
            ask(&mut line, 1, 1, &READ).unwrap();
            assert_eq!(line.handle_timeout(at(1001)), Some(Event::GivenUp { error: None }));
            line
        };
        let line = given_up();
        let (free, late) = (line.free_at(), at(2001));
        for (unit, pdu, want) in [
            (1, &OTHER, late),
            // The answer to the same question is as good, another unit's or function's is told apart.
            (1, &READ, free),
            (2, &OTHER, free),
            (1, &[4, 0, 9, 0, 1], free),
        ] {
            assert_eq!(line.free_for(UnitId(unit), pdu), want, "unit {unit} {pdu:02x?}");
        }
        // Once it has come, or an exception in its place, nothing is waited for.
        for answer in [&ANSWER[..], &[0x83, 6]] {
            let mut line = given_up();
            hears(&mut line, 1300, &adu(1, answer), Some(Event::PassedOver { unit: UnitId(1) }));
            assert_eq!(line.free_for(UnitId(1), &OTHER), line.free_at());
        }
        // Asked again and answered late: the second answer may still come.
        let mut line = given_up();
        ask(&mut line, 1100, 1, &READ).unwrap();
        hears(&mut line, 1200, &adu(1, &ANSWER), Some(Event::Answer { pdu: &ANSWER }));
        assert_eq!(line.free_for(UnitId(1), &OTHER), late);
        hears(&mut line, 1300, &adu(1, &ANSWER), Some(Event::PassedOver { unit: UnitId(1) }));
        assert_eq!(line.free_for(UnitId(1), &OTHER), line.free_at());
        // A request that had to wait for its turn has less time than its answer has to be late.
        let mut line = client("rtu:///dev/ttyS0");
        line.wait_for_late(Duration::from_secs(3));
        ask(&mut line, 1, 1, &READ).unwrap();
        line.handle_timeout(at(1001)).unwrap();
        assert_eq!(line.free_for(UnitId(1), &OTHER), at(4001));
        // A broadcast has no answer to wait for.
        let mut line = client("rtu:///dev/ttyS0");
        ask(&mut line, 1, 0, &[6, 0, 1, 0, 2]).unwrap();
        line.handle_timeout(at(5000)).unwrap();
        assert_eq!(line.free_for(UnitId(1), &[6, 0, 2, 0, 2]), line.free_at());
    }

    #[test]
    fn one_request_at_a_time_and_a_gap_between_them() {
        let mut line = client("rtu:///dev/ttyS0?gap=5ms");
        assert_eq!(line.free_at(), Instant::ZERO);
        ask(&mut line, 1, 1, &READ).unwrap();
        assert_eq!(ask(&mut line, 1, 1, &READ), Err(StartError::Busy));
        hears(&mut line, 20, &adu(1, &ANSWER), Some(Event::Answer { pdu: &ANSWER }));
        assert_eq!(line.free_at(), at(25));
    }

    #[test]
    fn a_broadcast_is_over_when_the_servers_had_time() {
        let mut line = client("rtu+tcp://moxa?turnaround=200ms");
        let write = [6, 0, 1, 0, 2];
        ask(&mut line, 1, 0, &write).unwrap();
        // Whoever answers all the same is not heard.
        hears(&mut line, 50, &adu(0, &write), Some(Event::PassedOver { unit: UnitId(0) }));
        assert_eq!((line.poll_timeout(), line.handle_timeout(at(200))), (Some(at(201)), None));
        assert_eq!(line.handle_timeout(at(201)), Some(Event::Answer { pdu: &write }));
        for (request, want) in [
            (&[5, 0, 1, 0xFF, 0][..], Some(&[5, 0, 1, 0xFF, 0][..])),
            (&[15, 0, 1, 0, 3, 1, 7], Some(&[15, 0, 1, 0, 3])),
            (&[16, 0, 1, 0, 1, 2, 3, 4], Some(&[16, 0, 1, 0, 1])),
            (&[22, 0, 1, 0, 1, 0, 2], Some(&[22, 0, 1, 0, 1, 0, 2])),
            (&[8, 0, 10, 0, 0], Some(&[8, 0, 10, 0, 0])),
            (&[8, 0, 11, 0, 0], None),
            (&[8, 0, 0, 1, 2], None),
            (&[23, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 0], None),
            (&[1, 0, 0, 0, 1], None),
            (&[43, 14, 1, 0], None),
            (&[66, 1], Some(&[66])),
        ] {
            assert_eq!(acknowledgement(request).as_deref(), want, "{request:02x?}");
        }
        let refused = StartError::NotBroadcast { function: FunctionCode(3) };
        assert_eq!(ask(&mut line, 500, 0, &READ), Err(refused));
        ask(&mut line, 500, 1, &READ).unwrap();
    }

    #[test]
    fn an_echo_is_taken_off_and_a_wrong_one_is_a_collision() {
        let mut line = client("rtu:///dev/ttyS0?echo=strip");
        let write = [6, 0, 1, 0, 2];
        let sent = ask(&mut line, 1, 1, &write).unwrap();
        // The echo alone, which looks like the answer, is none.
        hears(&mut line, 5, &sent[..3], None);
        hears(&mut line, 6, &sent[3..], None);
        hears(&mut line, 9, &sent, Some(Event::Answer { pdu: &write }));
        let sent = ask(&mut line, 100, 1, &write).unwrap();
        hears(&mut line, 109, &[&sent[..], &sent].concat(), Some(Event::Answer { pdu: &write }));
        let mut wrong = ask(&mut line, 200, 1, &write).unwrap();
        wrong[4] ^= 1;
        hears(&mut line, 205, &wrong, Some(Event::Collision));
        assert!(!line.is_busy() && line.free_at() >= at(205) + Duration::from_millis(22));

        // Nor is it a request behind noise, where it is found as a frame.
        let mut line = server("rtu:///dev/ttyS0?echo=strip");
        let answer = line.answer(at(10), UnitId(1), &write, &mut [0; ADU_MAX]).unwrap().to_vec();
        let heard = [&[0xFF][..], &answer].concat();
        let mut input = &heard[..];
        assert_eq!(line.next(at(20), &mut input), None);
        while let Some(heard) = line.handle_timeout(at(43)) {
            assert!(matches!(heard, Heard::Dropped { .. }), "{heard:?}");
        }
        assert!(matches!(line.next(at(50), &mut &answer[..]), Some(Heard::Frame { number: 1, .. })));

        // A server whose line does not echo after all hears the next request from its first byte.
        let mut line = server("rtu:///dev/ttyS0?echo=strip");
        let answer = line.answer(at(10), UnitId(1), &ANSWER, &mut [0; ADU_MAX]).unwrap().to_vec();
        assert_eq!(line.next(at(20), &mut &answer[..]), None);
        line.answer(at(30), UnitId(1), &ANSWER, &mut [0; ADU_MAX]).unwrap();
        let (request, want) = (adu(1, &READ), Frame { unit: UnitId(1), pdu: &READ });
        assert_eq!(line.next(at(40), &mut &request[..]), Some(Heard::Frame { number: 1, frame: want }));
    }

    #[test]
    fn an_answer_counts_while_its_request_is_the_last_thing_said() {
        let mut line = server("rtu:///dev/ttyS0");
        let mut input = &[adu(1, &READ), adu(2, &READ), adu(2, &ANSWER), vec_of_three()].concat()[..];
        let mut numbers = Vec::new();
        while let Some(Heard::Frame { number, .. }) = line.next(at(10), &mut input) {
            numbers.push(number);
        }
        assert_eq!(numbers, [1, 2, 3]);
        assert!(!line.is_last(1) && line.is_last(3));
        // Somebody speaks: the answer waits for the silence behind it.
        assert_eq!(line.quiet_at(), Some(line.free_at()));
        assert_eq!(line.handle_timeout(at(11)), None);
        assert_eq!(line.handle_timeout(at(60)), Some(Heard::Dropped { bytes: 3, check: false }));
        assert_eq!(line.free_at(), at(10) + Duration::from_micros(2006));
    }

    fn vec_of_three() -> Vec<u8> {
        alloc::vec![1, 3, 0]
    }

    #[test]
    fn silence_in_a_stream_expires() {
        let mut line = server("rtu+tcp://moxa");
        assert_eq!((line.expires_at(), line.expired(at(300_000))), (at(300_001), None));
        assert_eq!(line.expired(at(300_001)), Some(Expired::Idle));
        assert_eq!(line.next(at(1000), &mut &[1, 3][..]), None);
        assert_eq!((line.expires_at(), line.expired(at(8999))), (at(9000), None));
        assert_eq!(line.expired(at(9000)), Some(Expired::HalfFrame));
    }

    #[test]
    fn both_sides_learn_the_delimiter() {
        let (mut asking, mut asked) = (client("ascii+tcp://moxa"), server("ascii+tcp://moxa"));
        let change = [8, 0, 3, b'#', 0];
        for (request, ends) in [(&change[..], b"\r\n"), (&READ, b"\r#")] {
            let sent = ask(&mut asking, 10, 1, request).unwrap();
            assert!(sent.ends_with(ends));
            let mut input = &sent[..];
            assert!(matches!(asked.next(at(20), &mut input), Some(Heard::Frame { .. })));
            let answer = if request == change { &change[..] } else { &ANSWER };
            let sent = asked.answer(at(30), UnitId(1), answer, &mut [0; ADU_MAX]).unwrap().to_vec();
            if let Some(delimiter) = changed_delimiter(request) {
                asked.set_delimiter(delimiter);
            }
            assert!(sent.ends_with(ends));
            hears(&mut asking, 40, &sent, Some(Event::Answer { pdu: answer }));
        }
    }
}
