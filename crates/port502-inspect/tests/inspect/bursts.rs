//! Bursts of frames, in both directions: reads in runs, with everything among them that a run must stop at. Frames that come
//! whole may go a shorter way than frames in pieces; where segments end must make no difference.

use std::sync::Arc;

use port502_inspect::conduit::{Event, Flow, Inline, Output, Sanity};
use port502_inspect::policy::{
    Conduit, Effect, Limits, Mode, Places, Policy, Range, Rate, Refusal, Rule, Writable,
};
use port502_inspect::{Engine, State};
use port502_wire::mbap::{self, Decoder, Received};
use port502_wire::value::ValueType;
use port502_wire::{Request, Table, UnitId};

use crate::generate::{Chance, moment};
use crate::table::{allow, holding, integers, peer};

/// The addresses that requests are about; a few go to the end of the table.
const WORLD: u64 = 40;

/// Ends of segments: as it comes, byte by byte, a frame and a byte, several frames.
const PIECES: [usize; 4] = [usize::MAX, 1, 13, 200];

/// One inspected connection, fed in pieces of one size.
struct Side {
    piece: usize,
    state: State,
    inline: Inline,
    output: Output,
    told: Vec<String>,
    ended: bool,
}

impl Side {
    fn hear(&mut self, millis: u64, bytes: &[u8], from_client: bool) {
        let told = &mut self.told;
        let mut sink = |event: Event<'_>| told.push(format!("{event:?}"));
        for piece in bytes.chunks(self.piece) {
            let (state, output, now) = (&mut self.state, &mut self.output, moment(millis));
            let flow = if from_client {
                self.inline.from_client(state, now, piece, output, &mut sink)
            } else if self.piece.is_multiple_of(2) {
                // In one part; elsewhere in two.
                self.inline.from_server(state, now, piece, output, &mut sink)
            } else {
                match self.inline.plain_answers(state, piece, output) {
                    [] => Flow::Open,
                    rest => self.inline.from_server(state, now, rest, output, &mut sink),
                }
            };
            self.ended = flow == Flow::Reset;
        }
    }

    fn wait(&mut self, millis: u64) {
        let told = &mut self.told;
        let mut sink = |event: Event<'_>| told.push(format!("{event:?}"));
        let flow = self.inline.handle_timeout(&mut self.state, moment(millis).at, &mut sink);
        self.ended = flow == Flow::Reset;
    }

    /// All that can be seen of it, and means something.
    fn looks(&self) -> String {
        let inspection = self.inline.inspection();
        format!(
            "{:?} {:?} {} ended {}, {} requests, {} open, {:?}, {:?}",
            self.output,
            self.told,
            self.told.len(),
            self.ended,
            inspection.requests(),
            inspection.open_requests(),
            if self.ended { None } else { self.inline.poll_timeout() },
            self.state.learned(),
        )
    }
}

fn ranges(chance: &mut Chance) -> Places {
    let mut all = Vec::new();
    for _ in 0..1 + chance.below(4) {
        let first = chance.number(WORLD);
        let last = if chance.one_in(5) { u16::MAX } else { first + chance.number::<u16>(25) };
        let tables = chance.pick(&[&Table::ALL[..], &[Table::HoldingRegisters], &[Table::Coils]]);
        all.extend(tables.iter().map(|table| Range { table: *table, first, last }));
    }
    Places::Of(all)
}

fn rule(chance: &mut Chance) -> Rule {
    let units = chance.pick(&[&[(1, 1)][..], &[(1, 3)], &[(2, 2)], &[(0, 255)]]);
    let functions = chance.pick(&[&[1, 2, 3, 4][..], &[3], &[3, 6], &[1, 4]]);
    let rule = allow("reads", units, functions, ranges(chance));
    match chance.below(10) {
        0 => Rule { effect: Effect::Deny, ..rule },
        1 => Rule { requests: Some(Rate { count: 20, per: std::time::Duration::from_secs(1) }), ..rule },
        2 => Rule { mode: Some(Mode::Alert), effect: Effect::Deny, ..rule },
        _ => rule,
    }
}

fn conduit(chance: &mut Chance) -> Conduit {
    let mut rules: Vec<Rule> = (0..1 + chance.below(6)).map(|_| rule(chance)).collect();
    if chance.one_in(3) {
        // What reads show matters to what may be written.
        let tag = Writable { max_step: Some(300.0), ..holding(5, ValueType::U16, integers(0, 0xFFFF)) };
        rules.push(allow("writes", &[(1, 1)], &[6], Places::Values(vec![tag])));
    }
    let rate = Rate { count: 90, per: std::time::Duration::from_secs(1) };
    Conduit {
        name: "intake".into(),
        mode: if chance.one_in(6) { Mode::Alert } else { Mode::Enforce },
        refusal: Refusal::default(),
        limits: Limits { requests: chance.one_in(6).then_some(rate), ..Limits::default() },
        devices: Vec::new(),
        rules,
    }
}

/// A burst of the client: mostly reads of one unit, with ids that follow each other.
fn asked(chance: &mut Chance, next: &mut u16) -> Vec<u8> {
    let mut burst = Vec::new();
    let (mut unit, mut function) = (chance.number(4), chance.number::<u8>(4) + 1);
    // What ends the connection, in some bursts.
    let broken = chance.one_in(15);
    for _ in 0..1 + chance.pick(&[4, 16, 16, 120]) {
        if chance.one_in(5) {
            (unit, function) = (chance.number(4), chance.number::<u8>(4) + 1);
        }
        *next = next.wrapping_add(1);
        let id = if chance.one_in(40) { next.wrapping_sub(chance.number(5)) } else { *next };
        let address = if chance.one_in(30) { 0xFFFF - chance.number::<u16>(4) } else { chance.number(WORLD) };
        let count = match chance.below(40) {
            0 => chance.pick(&[0, 126, 2001, 0xFFFF]),
            1 | 2 => chance.pick(&[100, 125]),
            _ => 1 + chance.number::<u16>(10),
        };
        let mut pdu = vec![function];
        pdu.extend(address.to_be_bytes());
        pdu.extend(count.to_be_bytes());
        match chance.below(120) {
            0..4 => {
                pdu = vec![6, 0, 5];
                pdu.extend(chance.number::<u16>(700).to_be_bytes());
            }
            4 => pdu = vec![7],
            5 if broken => pdu = vec![0x80 | function, 1, 2, 3, 4],
            _ => {}
        }
        let (mut protocol, mut length) = (0_u16, 1 + pdu.len() as u16);
        match chance.below(if broken { 60 } else { 1 }) {
            1 => protocol = chance.pick(&[1, 0x0100]),
            2 => length = chance.pick(&[1, 5, 7, 255]),
            3 => pdu.push(0),
            _ => {}
        }
        burst.extend(id.to_be_bytes());
        burst.extend(protocol.to_be_bytes());
        burst.extend(length.to_be_bytes());
        burst.push(unit);
        burst.extend(pdu);
    }
    burst
}

/// What a device says to what it has been asked, mostly in order and right.
fn answered(chance: &mut Chance, arrived: &mut Vec<u8>) -> (Vec<u8>, usize) {
    let bytes = std::mem::take(arrived);
    let (mut rest, mut decoder, mut burst, mut right) = (bytes.as_slice(), Decoder::new(), Vec::new(), 0);
    let mut answers = Vec::new();
    while let Ok(Some(Received::Frame(frame))) = decoder.next(&mut rest) {
        let mut pdu = vec![frame.pdu[0]];
        match Request::parse(frame.pdu).unwrap() {
            Request::ReadCoils { span } => pdu.push(span.count().div_ceil(8) as u8),
            Request::ReadDiscreteInputs { span } => pdu.push(span.count().div_ceil(8) as u8),
            Request::ReadHoldingRegisters { span } => pdu.push(span.count() as u8 * 2),
            Request::ReadInputRegisters { span } => pdu.push(span.count() as u8 * 2),
            _ => pdu = frame.pdu.to_vec(),
        }
        if (1..=4).contains(&pdu[0]) {
            // High bytes are small, so that steps are, too.
            pdu.extend((0..pdu[1]).map(|at| if at % 2 == 0 { 0 } else { chance.number(200) }));
        }
        let (mut id, mut unit) = (frame.transaction, frame.unit);
        right += 1;
        match chance.below(80) {
            0 => pdu = vec![pdu[0] | 0x80, 2],
            1 => drop(pdu.pop()),
            2 => pdu.push(0),
            3 => unit = UnitId(unit.0 ^ 1),
            4 => id.0 ^= chance.pick(&[1, 0x8000]),
            5 => pdu[0] ^= 7,
            6 => pdu.truncate(1),
            7 => continue,
            8 => answers.push(adu(id.0, unit.0, &pdu)),
            9 if pdu.len() > 1 => pdu[1] ^= 2,
            _ => {}
        }
        answers.push(adu(id.0, unit.0, &pdu));
        if chance.one_in(30) {
            let (a, b) = (chance.number::<usize>(answers.len() as u64), answers.len() - 1);
            answers.swap(a, b);
        }
    }
    for mut answer in answers {
        if chance.one_in(150) {
            answer[3] = 1;
        }
        burst.extend(answer);
    }
    (burst, right)
}

fn adu(id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    [&mbap::header(mbap::TransactionId(id), UnitId(unit), pdu.len())[..], pdu].concat()
}

/// How many requests went on, and how many answers went back.
fn converse(seed: u64) -> (usize, usize) {
    let mut chance = Chance::new(seed);
    let conduit = conduit(&mut chance);
    let policy = Policy { conduits: vec![conduit], ..Policy::default() };
    let engine = Arc::new(Engine::compile(&policy, &policy.conduits[0]).unwrap());
    let sanity = Sanity { open: chance.pick(&[1, 5, 16, 16, 64]), ..Sanity::default() };
    let learns = chance.one_in(6);
    let mut sides = PIECES.map(|piece| {
        let (mut state, inline) =
            (State::new(Arc::clone(&engine)), Inline::new(sanity, peer("10.0.0.1", None)));
        if learns {
            state.learn();
        }
        Side { piece, state, inline, output: Output::default(), told: Vec::new(), ended: false }
    });
    let (mut millis, mut next, mut arrived, mut forwarded, mut back) = (0, 0, Vec::new(), 0, 0);
    for round in 0..12 {
        if round == 5 && chance.one_in(2) {
            // Other rules, for connections that are in the middle of things.
            let engine = Arc::new(Engine::compile(&policy, &policy.conduits[0]).unwrap());
            sides.iter_mut().for_each(|side| side.state.replace(Arc::clone(&engine)));
        }
        if sides[0].ended {
            break;
        }
        let burst = asked(&mut chance, &mut next);
        sides.iter_mut().for_each(|side| side.hear(millis, &burst, true));
        let looks = sides.each_ref().map(Side::looks);
        looks.iter().for_each(|other| assert_eq!(*other, looks[0], "seed {seed}, round {round}, asked"));
        arrived.extend_from_slice(&sides[0].output.to_server);
        let (burst, right) = answered(&mut chance, &mut arrived);
        forwarded += right;
        millis += chance.pick(&[1, 1, 200]);
        let exceptions = sides[0].output.to_client.len();
        sides.iter_mut().for_each(|side| side.hear(millis, &burst, false));
        back += usize::from(sides[0].output.to_client.len() > exceptions);
        let looks = sides.each_ref().map(Side::looks);
        looks.iter().for_each(|other| assert_eq!(*other, looks[0], "seed {seed}, round {round}, answered"));
        millis += if chance.one_in(10) { 61_000 } else { chance.pick(&[1, 1, 300]) };
        for side in &mut sides {
            side.told.clear();
            side.output = Output::default();
            side.wait(millis);
        }
        let looks = sides.each_ref().map(Side::looks);
        looks.iter().for_each(|other| assert_eq!(*other, looks[0], "seed {seed}, round {round}, waited"));
    }
    (forwarded, back)
}

#[test]
fn where_segments_of_a_burst_end_makes_no_difference() {
    let (mut forwarded, mut back) = (0, 0);
    for seed in 0..500 {
        let (on, rounds) = converse(seed);
        forwarded += on;
        back += rounds;
    }
    println!("{forwarded} requests went on, answers came back in {back} rounds");
    assert!(forwarded > 15_000 && back > 1_500, "too few of {forwarded} and {back} to mean anything");
}

#[test]
fn what_lies_within_a_frame_is_no_frame() {
    let read = adu(7, 1, &[3, 0, 5, 0, 2]);
    let answer = adu(1, 1, &[3, 4, 0, 1, 0, 2]);
    // A write whose values look like a read, and an answer to nothing whose values look like the answer.
    let write = adu(8, 1, &[&[16, 0, 0, 0, 6, 12][..], &read].concat());
    let unsolicited = adu(99, 1, &[&[3, 14][..], &answer, &[0]].concat());
    let rules = vec![allow("all", &[(1, 1)], &[3, 16], Places::Any)];
    let conduit = Conduit { rules, ..conduit(&mut Chance::new(0)) };
    let conduit = Conduit { mode: Mode::Enforce, limits: Limits::default(), ..conduit };
    let engine = Arc::new(Engine::compile(&Policy::default(), &conduit).unwrap());
    for cut in 0..write.len() {
        let (state, inline) =
            (State::new(Arc::clone(&engine)), Inline::new(Sanity::default(), peer("10.0.0.1", None)));
        let (output, told) = Default::default();
        let mut side = Side { piece: usize::MAX, state, inline, output, told, ended: false };
        let mut hear = |bytes: &[u8], from_client| {
            let (front, rest) = bytes.split_at(cut.min(bytes.len()));
            side.hear(0, front, from_client);
            side.hear(0, rest, from_client);
            (std::mem::take(&mut side.output), side.inline.inspection().requests(), side.told.len())
        };
        // So that the client's grants are known, and an answer is waited for.
        hear(&read, true);
        let (output, requests, _) = hear(&write, true);
        assert_eq!((&output.to_server[2..], requests), (&write[2..], 2), "cut at {cut}");
        let (output, _, told) = hear(&unsolicited, false);
        assert_eq!((output, told), (Output::default(), 1), "cut at {cut}");
        let (output, ..) = hear(&answer, false);
        assert_eq!(output.to_client[2..], answer[2..], "cut at {cut}");
    }
}
