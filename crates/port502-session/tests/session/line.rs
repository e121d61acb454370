//! A client and three servers on one line that flips, drops, inserts and glues bytes: no value is ever delivered that
//! was not asked for, and once the noise has ended everybody is heard again. All of it is decided by a printed seed.

use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use port502_session::line::{ADU_MAX, ClientLine, Event, Heard, ServerLine, emit};
use port502_session::server::Limits;
use port502_session::target::{Framing, LineSettings};
use port502_session::{Instant, Target};
use port502_wire::rtu::Hears;
use port502_wire::serial::Frame;
use port502_wire::{UnitId, ascii};

use crate::conversation::Random;

const TIMEOUT: Duration = Duration::from_millis(400);
const UNITS: [u8; 3] = [1, 2, 3];

/// What a register holds, by unit and address: no two that are asked for are alike.
fn value(unit: u8, address: u16) -> u16 {
    (address.rotate_left(5) ^ 0xA5C3).wrapping_add(u16::from(unit) * 257)
}

/// Registers to read.
fn read(address: u16, count: u8) -> Vec<u8> {
    let [high, low] = address.to_be_bytes();
    vec![3, high, low, 0, count]
}

fn answer_to(unit: u8, pdu: &[u8]) -> Vec<u8> {
    match *pdu {
        [3, high, low, 0, count] => {
            let first = u16::from_be_bytes([high, low]);
            let values = (first..).take(count.into()).flat_map(|at| value(unit, at).to_be_bytes());
            [3, 2 * count].into_iter().chain(values).collect()
        }
        _ => pdu.to_vec(), // a write of one register comes back
    }
}

/// How bad the line is: one piece of noise in so many frames; none at 0.
#[derive(Clone, Copy)]
struct Noise(u64);

impl Noise {
    /// What becomes of a frame on its way.
    fn on(self, random: &mut Random, frame: &[u8]) -> Vec<u8> {
        let mut bytes = frame.to_vec();
        if self.0 == 0 || !random.one_in(self.0) {
            return bytes;
        }
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len().max(1) as u64) as usize;
            match random.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 => bytes.insert(at, random.next() as u8),
                // The end is lost, as when somebody pulls the plug.
                3 => bytes.truncate(at),
                // Somebody else's bytes in front of it or behind it, without a pause.
                4 => bytes.splice(0..0, random.junk()).for_each(drop),
                _ => bytes.extend(random.junk()),
            }
        }
        bytes
    }
}

impl Random {
    /// Up to 40 bytes, some of which look like the head of a long frame.
    fn junk(&mut self) -> Vec<u8> {
        let mut junk: Vec<u8> = (0..self.below(40)).map(|_| self.next() as u8).collect();
        if self.one_in(2) {
            junk.extend([UNITS[self.below(3) as usize], [3, 16, 23][self.below(3) as usize], 0xF0]);
        }
        junk
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Who {
    Client,
    Server(usize),
}

/// When it arrives, its number, where, and what.
type Arrival = (Instant, u64, Who, Vec<u8>);

/// One line with everybody on it.
struct Bus {
    random: Random,
    noise: Noise,
    framing: Framing,
    settings: LineSettings,
    now: Instant,
    arrivals: BinaryHeap<Reverse<Arrival>>,
    pieces: u64,
    /// Who speaks: a second speaker would garble both.
    busy_until: Instant,
    client: ClientLine,
    servers: Vec<ServerLine>,
    /// An answer on its way out: when, the number of its request, what.
    answers: Vec<Option<(Instant, u64, Vec<u8>)>>,
    /// Servers take so long at most to answer.
    slowness: Duration,
    /// Everything that was ever put on the line: what else is believed had a right check by chance.
    sent: HashSet<(u8, Vec<u8>)>,
    heard_by_client: Vec<u8>,
    heard_by_servers: Vec<Vec<u8>>,
    chances: u32,
    echoes: bool,
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Answered(Vec<u8>),
    GivenUp,
    Collision,
}

impl Bus {
    fn new(seed: u64, target: &str) -> Self {
        let target: Target = target.parse().unwrap();
        let (framing, settings) = (target.link().framing(), target.line().unwrap());
        let server = || ServerLine::new(Instant::ZERO, framing, settings, Hears::Both, Limits::default());
        Bus {
            random: Random(seed),
            noise: Noise(0),
            framing,
            settings,
            now: Instant::from_nanos(1),
            arrivals: BinaryHeap::new(),
            pieces: 0,
            busy_until: Instant::ZERO,
            client: ClientLine::new(framing, settings),
            servers: UNITS.iter().map(|_| server()).collect(),
            answers: UNITS.iter().map(|_| None).collect(),
            slowness: Duration::from_millis(50),
            sent: HashSet::new(),
            heard_by_client: Vec::new(),
            heard_by_servers: vec![Vec::new(); UNITS.len()],
            chances: 0,
            echoes: settings.echo,
        }
    }

    /// Puts bytes on the line: everybody else hears them, in pieces as adapters make them.
    fn put(&mut self, from: Who, frame: &[u8]) {
        let bytes = self.noise.on(&mut self.random, frame);
        let mut at = self.now.max(self.busy_until);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let len = (1 + self.random.below(24) as usize).min(rest.len());
            let (piece, tail) = rest.split_at(len);
            rest = tail;
            at = at + self.settings.character * u32::try_from(len).unwrap();
            let all = (0..UNITS.len()).map(Who::Server).chain([Who::Client]);
            for who in all.filter(|who| *who != from || self.echoes) {
                self.pieces += 1;
                self.arrivals.push(Reverse((at, self.pieces, who, piece.to_vec())));
            }
        }
        self.busy_until = at;
    }

    /// Whether these bytes, with a check that is right by chance, stand in what was heard.
    fn is_chance(&self, heard: &[u8], unit: u8, pdu: &[u8]) -> bool {
        let mut out = [0; ADU_MAX];
        let adu = emit(self.framing, &Frame { unit: UnitId(unit), pdu }, ascii::LF, &mut out).unwrap();
        heard.windows(adu.len()).any(|window| window.eq_ignore_ascii_case(adu))
    }

    /// Asks, and lets time pass until the request has ended.
    fn ask(&mut self, unit: u8, pdu: &[u8]) -> Outcome {
        while self.client.free_at() > self.now {
            let free = self.client.free_at();
            assert_eq!(self.step(free), None, "nobody has asked");
        }
        let (mut out, deadline) = ([0; ADU_MAX], self.now + TIMEOUT);
        let adu = self.client.start(self.now, UnitId(unit), pdu, deadline, &mut out).unwrap().to_vec();
        self.sent.insert((unit, pdu.to_vec()));
        self.heard_by_client.clear();
        self.put(Who::Client, &adu);
        loop {
            if let Some(outcome) = self.step(self.now + TIMEOUT) {
                return outcome;
            }
        }
    }

    /// Does what is due next, but nothing after `limit`.
    fn step(&mut self, limit: Instant) -> Option<Outcome> {
        let arrival = self.arrivals.peek().map(|Reverse((at, ..))| *at);
        let quiet = self.servers.iter().filter_map(ServerLine::quiet_at).min();
        let answer = self.answers.iter().flatten().map(|(at, ..)| *at).min();
        let due = [arrival, quiet, answer, self.client.poll_timeout()].into_iter().flatten().min();
        self.now = self.now.max(due.unwrap_or(limit).min(limit));
        let mut outcome = None;
        while let Some(Reverse((at, ..))) = self.arrivals.peek()
            && *at <= self.now
            && outcome.is_none()
        {
            let Some(Reverse((_, _, who, bytes))) = self.arrivals.pop() else { break };
            outcome = match who {
                Who::Client => self.client_hears(&bytes),
                Who::Server(at) => {
                    self.server_hears(at, Some(&bytes));
                    None
                }
            };
        }
        for at in 0..self.servers.len() {
            self.server_hears(at, None);
            self.speak(at);
        }
        outcome.or_else(|| self.client_waits())
    }

    fn client_hears(&mut self, mut input: &[u8]) -> Option<Outcome> {
        self.heard_by_client.extend_from_slice(input);
        let mut outcome = None;
        while let Some(event) = self.client.next(self.now, &mut input) {
            outcome = outcome.or(ended(&event));
        }
        outcome
    }

    fn client_waits(&mut self) -> Option<Outcome> {
        let mut outcome = None;
        while let Some(event) = self.client.handle_timeout(self.now) {
            outcome = outcome.or(ended(&event));
        }
        outcome
    }

    fn server_hears(&mut self, at: usize, bytes: Option<&[u8]>) {
        let own = UNITS[at];
        let mut input = bytes.unwrap_or_default();
        self.heard_by_servers[at].extend_from_slice(input);
        let mut requests = Vec::new();
        loop {
            let server = &mut self.servers[at];
            let heard = match bytes {
                Some(_) => server.next(self.now, &mut input),
                None => server.handle_timeout(self.now),
            };
            let Some(heard) = heard else { break };
            if let Heard::Frame { number, frame } = heard
                && frame.unit.0 == own
            {
                requests.push((number, frame.pdu.to_vec()));
            }
        }
        for (number, pdu) in requests {
            if !self.sent.contains(&(own, pdu.clone())) {
                assert!(self.is_chance(&self.heard_by_servers[at], own, &pdu), "carried out {pdu:02x?}");
                self.chances += 1;
            }
            let takes = Duration::from_micros(self.random.below(self.slowness.as_micros() as u64));
            self.answers[at] = Some((self.now + takes, number, answer_to(own, &pdu)));
        }
    }

    /// Sends the answer that is due, if it is still worth something.
    fn speak(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let Some((due, number, pdu)) = &mut self.answers[at] else { return };
        if *due > self.now {
            return;
        }
        if server.free_at() > self.now {
            *due = server.free_at();
            return;
        }
        let (number, pdu) = (*number, std::mem::take(pdu));
        self.answers[at] = None;
        if server.is_last(number) {
            let mut out = [0; ADU_MAX];
            let adu = server.answer(self.now, UnitId(UNITS[at]), &pdu, &mut out).unwrap().to_vec();
            self.put(Who::Server(at), &adu);
        }
    }

    /// What an answer must be: the right one, or one whose check is right by chance.
    fn judge(&mut self, unit: u8, pdu: &[u8], outcome: &Outcome, seed: u64) {
        let Outcome::Answered(got) = outcome else { return };
        if *got != answer_to(unit, pdu) {
            let chance = self.is_chance(&self.heard_by_client, unit, got);
            assert!(chance, "seed {seed}: unit {unit} was asked {pdu:02x?} and answered {got:02x?}");
            self.chances += 1;
        }
    }
}

fn ended(event: &Event<'_>) -> Option<Outcome> {
    match event {
        Event::Answer { pdu } => Some(Outcome::Answered(pdu.to_vec())),
        Event::GivenUp { .. } => Some(Outcome::GivenUp),
        Event::Collision => Some(Outcome::Collision),
        Event::PassedOver { .. } | Event::Dropped { .. } => None,
    }
}

/// A conversation of reads and writes with all three servers, with noise and without in turn.
fn talk(seed: u64, target: &str, slowness: Duration) -> (u32, u32) {
    let mut bus = Bus::new(seed, target);
    bus.slowness = slowness;
    let (mut answered, mut given_up) = (0, 0);
    for round in 0..6 {
        bus.noise = Noise(if round % 2 == 0 { 2 } else { 0 });
        let mut failed_in_silence = 0;
        for turn in 0..20u8 {
            let unit = UNITS[bus.random.below(3) as usize];
            let address = bus.random.below(0xFF00) as u16;
            // No two in a row ask for as many: an answer that comes too late fits no other request.
            let pdu = match bus.random.below(3) {
                0 => [6].into_iter().chain(address.to_be_bytes()).chain([round, turn]).collect(),
                _ => read(address, 1 + (turn * 7 + round) % 120),
            };
            let outcome = bus.ask(unit, &pdu);
            bus.judge(unit, &pdu, &outcome, seed);
            match outcome {
                Outcome::Answered(_) => answered += 1,
                _ if bus.noise.0 == 0 && slowness < TIMEOUT => failed_in_silence += 1,
                _ => given_up += 1,
            }
        }
        assert!(failed_in_silence <= 1, "seed {seed}, round {round}: {failed_in_silence} without noise");
    }
    assert!(bus.chances <= 2, "seed {seed}: {} frames right by chance", bus.chances);
    (answered, given_up)
}

fn talk_all(target: &str, slowness: Duration) {
    let (mut answered, mut given_up) = (0, 0);
    for seed in 0..60 {
        let (a, g) = talk(seed, target, slowness);
        (answered, given_up) = (answered + a, given_up + g);
    }
    // The noise was noise, and it was not all there was.
    assert!(answered > 2000 && given_up > 500, "{target}: {answered} answered, {given_up} given up");
}

#[test]
fn no_wrong_value_comes_of_noise_on_an_rtu_line() {
    talk_all("rtu:///dev/ttyS0?quiet=50ms", Duration::from_millis(50));
}

#[test]
fn no_wrong_value_comes_of_noise_on_an_ascii_line() {
    talk_all("ascii:///dev/ttyS0?baud=115200&quiet=50ms", Duration::from_millis(50));
}

#[test]
fn no_wrong_value_comes_of_noise_on_a_line_that_echoes() {
    talk_all("rtu:///dev/ttyS0?quiet=50ms&echo=strip", Duration::from_millis(50));
}

#[test]
fn an_answer_that_is_too_late_is_nobodys() {
    // Half of them come after the client has asked on.
    talk_all("rtu:///dev/ttyS0?baud=115200", 2 * TIMEOUT);
}
