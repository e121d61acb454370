//! What depends on what was before: steps, sequences, rates, hours, connections; what is learned, and when not.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use port502_inspect::conduit::{Event, Flow, Inline, OPEN_MAX, Output, REUSED_AFTER, Sanity, UNANSWERED_MAX};
use port502_inspect::policy::{
    After, Clients, Conduit, Effect, Envelope, Functions, Limits, Mode, Places, Policy, Range, Rate, Refusal,
    Rule, Writable,
};
use port502_inspect::state::{BUCKETS_MAX, KNOWN_MAX};
use port502_inspect::{Engine, Peer, Reason, State};
use port502_wire::Table;
use port502_wire::mbap::{self, Decoder, Frame, Received, TransactionId};
use port502_wire::value::{Order, ValueType};
use port502_wire::{Registers, Response, UnitId};

use crate::generate::moment;
use crate::table::{allow, from, hex, holding, integers, peer};

/// A guard of one connection, with a server at its back that a test plays.
struct Bench {
    state: State,
    inline: Inline,
    millis: u64,
    /// What has come to the server.
    arrived: Vec<(TransactionId, UnitId, Vec<u8>)>,
    /// What has come to the client.
    back: Vec<(u16, Vec<u8>)>,
    told: Vec<String>,
    asked: u16,
    flow: Flow,
}

fn frames(bytes: &[u8]) -> Vec<(TransactionId, UnitId, Vec<u8>)> {
    let (mut decoder, mut bytes, mut frames) = (Decoder::new(), bytes, Vec::new());
    while let Some(Received::Frame(frame)) = decoder.next(&mut bytes).unwrap() {
        frames.push((frame.transaction, frame.unit, frame.pdu.to_vec()));
    }
    frames
}

impl Bench {
    fn new(rules: Vec<Rule>) -> Self {
        Self::of(&conduit(rules), "10.0.0.1")
    }

    fn of(conduit: &Conduit, address: &str) -> Self {
        let engine = Engine::compile(&Policy::default(), conduit).unwrap();
        let state = State::new(Arc::new(engine));
        let inline = Inline::new(Sanity::default(), peer(address, None));
        let (arrived, back, told) = Default::default();
        Bench { state, inline, millis: 1_000, arrived, back, told, asked: 0, flow: Flow::Open }
    }

    fn now(&self) -> port502_inspect::Moment {
        moment(self.millis)
    }

    /// Another client of the same guard.
    fn reconnect(&mut self, address: &str) {
        let now = self.now().at;
        let told = &mut self.told;
        self.inline.close(&mut self.state, now, &mut |event: Event<'_>| {
            told.push(format!("{} {}", event.outcome.word(), event.objection.reason.word()));
        });
        self.inline = Inline::new(Sanity::default(), peer(address, None));
        self.arrived.clear();
    }

    fn client_sends(&mut self, bytes: &[u8]) {
        self.exchange(bytes, true);
    }

    fn server_sends(&mut self, bytes: &[u8]) {
        self.exchange(bytes, false);
    }

    fn exchange(&mut self, bytes: &[u8], from_client: bool) {
        let (mut output, now, told) = (Output::default(), self.now(), &mut self.told);
        let mut sink = |event: Event<'_>| {
            told.push(format!("{} {}", event.outcome.word(), event.objection.reason.word()));
        };
        self.flow = if from_client {
            self.inline.from_client(&mut self.state, now, bytes, &mut output, &mut sink)
        } else {
            self.inline.from_server(&mut self.state, now, bytes, &mut output, &mut sink)
        };
        self.arrived.extend(frames(&output.to_server));
        self.back.extend(frames(&output.to_client).into_iter().map(|(id, _, pdu)| (id.0, pdu)));
    }

    /// Whether a request of unit 1 goes on; what is said of it otherwise.
    fn asks(&mut self, pdu: &str) -> Result<(), String> {
        self.asks_unit(1, pdu)
    }

    fn asks_unit(&mut self, unit: u8, pdu: &str) -> Result<(), String> {
        let arrived = self.arrived.len();
        let id = 1_000 + self.asked;
        self.asked += 1;
        self.client_sends(&adu(id, unit, &hex(pdu)));
        if self.arrived.len() > arrived { Ok(()) } else { Err(self.told.last().cloned().unwrap_or_default()) }
    }

    /// The server answers the oldest request, registers with these.
    fn answers(&mut self, registers: &[u16]) {
        let (id, unit, asked) = self.arrived.remove(0);
        let pdu = if matches!(asked[0], 3 | 23) {
            let (mut scratch, mut pdu) = ([0; 250], [0; 253]);
            let registers = Registers::encode(registers, &mut scratch).unwrap();
            let response = if asked[0] == 3 {
                Response::ReadHoldingRegisters { registers }
            } else {
                Response::ReadWriteMultipleRegisters { registers }
            };
            response.emit(&mut pdu).unwrap().to_vec()
        } else if asked[0] == 1 {
            vec![1, 1, u8::try_from(registers[0]).unwrap()]
        } else if matches!(asked[0], 15 | 16) {
            asked[..5].to_vec()
        } else {
            asked
        };
        let told = self.told.len();
        self.server_sends(&adu(id.0, unit.0, &pdu));
        assert_eq!(self.told.len(), told, "{:?}", self.told.last());
    }

    fn refuses(&mut self) {
        let (id, unit, asked) = self.arrived.remove(0);
        self.server_sends(&adu(id.0, unit.0, &[asked[0] | 0x80, 4]));
    }

    /// A read that makes values known.
    fn reads(&mut self, pdu: &str, registers: &[u16]) {
        assert_eq!(self.asks(pdu), Ok(()));
        self.answers(registers);
    }

    /// A write that the device carries out.
    fn writes(&mut self, pdu: &str) {
        assert_eq!(self.asks(pdu), Ok(()), "{pdu}");
        self.answers(&[]);
    }
}

fn adu(id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut room = [0; mbap::ADU_MAX];
    let frame = Frame { transaction: TransactionId(id), unit: UnitId(unit), pdu };
    mbap::emit(&frame, &mut room).unwrap().to_vec()
}

fn conduit(rules: Vec<Rule>) -> Conduit {
    Conduit {
        name: "intake".into(),
        mode: Mode::Enforce,
        refusal: Refusal::default(),
        limits: Limits::default(),
        devices: vec![("pump".into(), UnitId(1))],
        rules,
    }
}

fn says(reason: &str) -> Result<(), String> {
    Err(format!("refused {reason}"))
}

fn writes(values: Vec<Writable>) -> Rule {
    allow("writes", &[(0, 10)], &[5, 6, 15, 16, 22, 23], Places::Values(values))
}

fn reads() -> Rule {
    allow("reads", &[(0, 10)], &[1, 2, 3, 4, 23], Places::Any)
}

/// Register 100, 0 to 1000, five at a time; engineers may write it without a limit.
fn stepped() -> Vec<Rule> {
    let tag = Writable { max_step: Some(5.0), ..holding(100, ValueType::U16, integers(0, 1_000)) };
    let engineering = Rule {
        functions: Functions::Any,
        clients: from(&["10.0.0.9"]),
        ..allow("engineering", &[(0, 255)], &[], Places::Any)
    };
    vec![writes(vec![tag]), reads(), engineering]
}

const READ: &str = "03 0064 0001";

fn set(value: u16) -> String {
    format!("06 0064 {value:04x}")
}

#[test]
fn a_step_is_measured_from_what_was_read() {
    let mut bench = Bench::new(stepped());
    assert_eq!(bench.asks(&set(20)), says("step-unknown"));
    bench.reads(READ, &[20]);
    for (value, want) in [(26, says("step")), (14, says("step")), (25, Ok(()))] {
        assert_eq!(bench.asks(&set(value)), want, "{value}");
    }
    bench.answers(&[]);
    // Now it is 25.
    for (value, want) in [(19, says("step")), (31, says("step")), (20, Ok(()))] {
        assert_eq!(bench.asks(&set(value)), want, "{value}");
    }
    bench.answers(&[]);
    // It moved by itself, at the panel.
    bench.reads(READ, &[500]);
    assert_eq!(bench.asks(&set(21)), says("step"));
    assert_eq!(bench.asks(&set(505)), Ok(()));
}

#[test]
fn a_step_of_another_unit_is_its_own() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    assert_eq!(bench.asks_unit(2, &set(20)), says("step-unknown"));
}

#[test]
fn two_writes_in_flight_are_not_two_steps_at_once() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    assert_eq!(bench.asks(&set(25)), Ok(()));
    // It is 20 or 25, and both have to be near.
    assert_eq!(bench.asks(&set(30)), says("step"));
    assert_eq!(bench.asks(&set(15)), says("step"));
    assert_eq!(bench.asks(&set(22)), Ok(()));
    // The answers do not come in this order: nobody knows which write was last.
    let first = bench.arrived.remove(0);
    bench.answers(&[]);
    bench.arrived.push(first);
    bench.answers(&[]);
    assert_eq!(bench.asks(&set(29)), says("step"));
    bench.reads(READ, &[25]);
    assert_eq!(bench.asks(&set(29)), Ok(()));
}

#[test]
fn a_write_that_failed_may_have_been_carried_out() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    assert_eq!(bench.asks(&set(25)), Ok(()));
    bench.refuses();
    assert_eq!(bench.asks(&set(29)), says("step"));
    assert_eq!(bench.asks(&set(16)), says("step"));
    assert_eq!(bench.asks(&set(22)), Ok(()));
}

#[test]
fn a_read_from_before_a_write_teaches_nothing() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    // A read, and behind it a write; the answer to the write comes first.
    assert_eq!(bench.asks(READ), Ok(()));
    assert_eq!(bench.asks(&set(25)), Ok(()));
    let read = bench.arrived.remove(0);
    bench.answers(&[]);
    bench.arrived.push(read);
    bench.answers(&[20]);
    // It is 25, whatever the older answer says.
    assert_eq!(bench.asks(&set(18)), says("step"));
    assert_eq!(bench.asks(&set(30)), Ok(()));
}

#[test]
fn who_may_write_without_a_step_changes_what_is_known() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    bench.reconnect("10.0.0.9");
    bench.writes(&set(500));
    bench.reconnect("10.0.0.1");
    assert_eq!(bench.asks(&set(21)), says("step"));
    assert_eq!(bench.asks(&set(501)), Ok(()));
    // Bits of it, by function 22: what it is then, is not known.
    for pdu in ["16 0064 00FF 0100", "15 09 06 0001 0000 0001 0007", "5A 00 41", "2B 0D 00"] {
        bench.reconnect("10.0.0.9");
        bench.reads(READ, &[20]);
        bench.writes(pdu);
        bench.reconnect("10.0.0.1");
        assert_eq!(bench.asks(&set(20)), says("step-unknown"), "{pdu}");
    }
    // A broadcast, which nobody answers.
    bench.reconnect("10.0.0.9");
    bench.reads(READ, &[20]);
    assert_eq!(bench.asks_unit(0, &set(600)), Ok(()));
    bench.reconnect("10.0.0.1");
    assert_eq!(bench.asks(&set(20)), says("step-unknown"));
}

#[test]
fn a_connection_that_ends_leaves_no_write_open() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    assert_eq!(bench.asks(&set(25)), Ok(()));
    assert_eq!(bench.asks(READ), Ok(()));
    bench.reconnect("10.0.0.1");
    // Nobody knows whether it was carried out. Of a read nobody cares.
    assert_eq!(bench.told, ["noted unanswered"]);
    assert_eq!(bench.asks(&set(30)), says("step"));
    // Were it open still, reading would not help, however late.
    bench.millis += 60_000;
    bench.reads(READ, &[25]);
    assert_eq!(bench.asks(&set(30)), Ok(()));
}

#[test]
fn a_read_that_was_asked_during_a_write_teaches_nothing() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    assert_eq!(bench.asks(&set(25)), Ok(()));
    assert_eq!(bench.asks(READ), Ok(()));
    bench.answers(&[]);
    // The device had read its register before it wrote it, and says so late.
    bench.answers(&[20]);
    assert_eq!(bench.asks(&set(15)), says("step"));
    assert_eq!(bench.asks(&set(19)), says("step"));
    assert_eq!(bench.asks(READ), Ok(()));
    bench.answers(&[25]);
    assert_eq!(bench.asks(&set(30)), Ok(()));
    // The answer to such a read before the write's: it may be either, and the read says nothing of later.
    assert_eq!(bench.asks(READ), Ok(()));
    let write = bench.arrived.remove(0);
    bench.answers(&[25]);
    bench.arrived.push(write);
    bench.answers(&[]);
    assert_eq!(bench.asks(&set(24)), says("step"));
    bench.writes(&set(35));
    // Nor does one of a unit that was asked something nobody understands.
    bench.reconnect("10.0.0.9");
    bench.reads(READ, &[20]);
    assert_eq!(bench.asks("5A 00 41"), Ok(()));
    assert_eq!(bench.asks(READ), Ok(()));
    let other = bench.arrived.remove(0);
    bench.answers(&[20]);
    bench.reconnect("10.0.0.1");
    assert_eq!(bench.asks(&set(20)), says("step-unknown"), "{other:?}");
}

#[test]
fn a_write_that_nobody_answered_may_still_be_carried_out() {
    // The client is gone, or the device's gateway has had no answer, or not yet one: the write is in a queue somewhere.
    for exception in [None, Some(5), Some(10), Some(11)] {
        let mut bench = Bench::new(stepped());
        bench.reads(READ, &[20]);
        assert_eq!(bench.asks(&set(25)), Ok(()));
        match exception {
            None => bench.reconnect("10.0.0.1"),
            Some(code) => {
                let (id, unit, _) = bench.arrived.remove(0);
                bench.server_sends(&adu(id.0, unit.0, &[0x86, code]));
            }
        }
        bench.reads(READ, &[20]);
        assert_eq!(bench.asks(&set(15)), says("step"), "{exception:?}");
        // Another write that is carried out does not say that the first was.
        bench.writes(&set(22));
        assert_eq!(bench.asks(&set(17)), says("step"), "{exception:?}");
        // It was moved at the panel, too: that is one more value that it may be.
        bench.reads(READ, &[27]);
        assert_eq!(bench.asks(&set(26)), says("step"), "{exception:?}");
        assert_eq!(bench.asks(&set(23)), Ok(()));
        bench.answers(&[]);
        bench.millis += 59_999;
        bench.reads(READ, &[25]);
        assert_eq!(bench.asks(&set(30)), says("step"), "{exception:?}");
        assert_eq!(bench.asks(READ), Ok(()));
        bench.millis += 1;
        // Asked too early, though it is answered late enough.
        bench.answers(&[25]);
        assert_eq!(bench.asks(&set(30)), says("step"), "{exception:?}");
        bench.reads(READ, &[25]);
        bench.writes(&set(30));
        bench.writes(&set(35));
    }
    // Of a request that may change anything, nothing of the unit is known so long.
    let mut bench = Bench::new(stepped());
    bench.reconnect("10.0.0.9");
    assert_eq!(bench.asks("5A 00 41"), Ok(()));
    bench.reconnect("10.0.0.1");
    for (wait, want) in [(0, says("step-unknown")), (59_999, says("step-unknown")), (1, Ok(()))] {
        bench.millis += wait;
        bench.reads(READ, &[20]);
        assert_eq!(bench.asks(&set(25)), want, "{wait}");
    }
}

#[test]
fn a_broadcast_is_not_over_before_it_has_been_sent() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    assert_eq!(bench.asks_unit(2, READ), Ok(()));
    bench.reconnect("10.0.0.9");
    assert_eq!(bench.asks_unit(0, &set(25)), Ok(()));
    let broadcast = bench.arrived.remove(0);
    // Neither of a unit that was known nor of one that was not.
    for unit in [1, 2] {
        assert_eq!(bench.asks_unit(unit, READ), Ok(()));
        bench.answers(&[20]);
    }
    bench.arrived.push(broadcast);
    bench.reconnect("10.0.0.1");
    for unit in [1, 2] {
        assert_eq!(bench.asks_unit(unit, READ), Ok(()));
        bench.answers(&[20]);
        assert_eq!(bench.asks_unit(unit, &set(20)), says("step-unknown"), "{unit}");
    }
    bench.millis += 60_000;
    for unit in [1, 2] {
        assert_eq!(bench.asks_unit(unit, READ), Ok(()));
        bench.answers(&[25]);
        assert_eq!(bench.asks_unit(unit, &set(30)), Ok(()), "{unit}");
        bench.answers(&[]);
    }
    // A device over TCP may bear the number.
    assert_eq!(bench.asks_unit(0, READ), Ok(()));
    bench.answers(&[25]);
    for value in [30, 35] {
        assert_eq!(bench.asks_unit(0, &set(value)), Ok(()), "{value}");
        bench.answers(&[]);
    }
}

#[test]
fn function_23_teaches_what_it_reads() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    assert_eq!(bench.asks("17 0064 0001 0064 0001 02 0017"), Ok(()));
    // The device holds another value than was written: it has limits of its own.
    bench.answers(&[22]);
    assert_eq!(bench.asks(&set(28)), says("step"));
    assert_eq!(bench.asks(&set(27)), Ok(()));
}

#[test]
fn steps_of_wide_values_and_floats() {
    let float = Writable {
        max_step: Some(0.1),
        order: Order { words_reversed: true, bytes_swapped: false },
        ..holding(100, ValueType::F32, Envelope::Any)
    };
    let wide =
        Writable { max_step: Some(1_000.0), ..holding(110, ValueType::I32, integers(-100_000, 100_000)) };
    let mut bench = Bench::new(vec![writes(vec![float, wide]), reads()]);
    let words = |value: f32| [value.to_bits() as u16, (value.to_bits() >> 16) as u16];
    let put = |value: f32| {
        let [a, b] = words(value);
        format!("10 0064 0002 04 {a:04x} {b:04x}")
    };
    // Half of it was read: that is nothing.
    bench.reads("03 0064 0001", &words(20.2)[..1]);
    assert_eq!(bench.asks(&put(20.2)), says("step-unknown"));
    bench.reads("03 0063 0004", &[0, words(20.2)[0], words(20.2)[1], 0]);
    for (value, want) in
        [(20.4, says("step")), (f32::NAN, says("step")), (f32::INFINITY, says("step")), (20.1, Ok(()))]
    {
        assert_eq!(bench.asks(&put(value)), want, "{value}");
    }
    bench.answers(&[]);
    bench.writes(&put(20.2));
    bench.writes(&put(20.3));
    bench.reads("03 006E 0002", &[0xFFFF, 0xFFFF]);
    assert_eq!(bench.asks("10 006E 0002 04 0000 03E8"), says("step"));
    assert_eq!(bench.asks("10 006E 0002 04 0000 03E7"), Ok(()));
}

/// Coil 2 may be set only while coil 1 is set, and within ten seconds of that.
fn in_sequence() -> Vec<Rule> {
    let coil = |address| Writable { table: Table::Coils, ..holding(address, ValueType::Bool, Envelope::Any) };
    let after = After {
        name: "first".into(),
        device: "pump".into(),
        unit: UnitId(1),
        table: Table::Coils,
        address: 1,
        value_type: ValueType::Bool,
        order: Order::default(),
        is: 1,
        within: Some(Duration::from_secs(10)),
    };
    vec![writes(vec![coil(1), Writable { after: Some(after), ..coil(2) }]), reads()]
}

#[test]
fn one_coil_only_after_the_other() {
    const FIRST: &str = "05 0001 FF00";
    const SECOND: &str = "05 0002 FF00";
    let mut bench = Bench::new(in_sequence());
    assert_eq!(bench.asks(SECOND), says("sequence-unknown"));
    bench.reads("01 0001 0001", &[0]);
    assert_eq!(bench.asks(SECOND), says("sequence"));
    // Both at once is not one after the other.
    assert_eq!(bench.asks("0F 0001 0002 01 03"), says("sequence"));
    assert_eq!(bench.asks(FIRST), Ok(()));
    // The device has not said that it is done.
    assert_eq!(bench.asks(SECOND), says("sequence-unknown"));
    bench.answers(&[]);
    bench.writes(SECOND);
    // Setting it again, or seeing it set, is not setting it anew.
    bench.millis += 6_000;
    bench.writes(FIRST);
    bench.reads("01 0000 0002", &[2]);
    bench.millis += 4_000;
    bench.writes(SECOND);
    bench.millis += 1;
    assert_eq!(bench.asks(SECOND), says("sequence-late"));
    bench.writes("05 0001 0000");
    assert_eq!(bench.asks(SECOND), says("sequence"));
    bench.writes(FIRST);
    bench.writes(SECOND);
}

#[test]
fn a_request_that_undoes_what_it_depends_on_is_no_sequel() {
    let mut bench = Bench::new(in_sequence());
    bench.writes("05 0001 0000");
    bench.writes("05 0001 FF00");
    // The first becomes 0 as the second becomes 1; then both are 1, as the first was.
    assert_eq!(bench.asks("0F 0001 0002 01 02"), says("sequence"));
    bench.writes("0F 0001 0002 01 03");
    bench.writes("05 0002 FF00");
}

#[test]
fn a_sequence_counts_from_a_change_that_was_seen() {
    const FIRST: &str = "05 0001 FF00";
    const SECOND: &str = "05 0002 FF00";
    const READ: &str = "01 0001 0001";
    let mut bench = Bench::new(in_sequence());
    // It has been set for who knows how long; nor does setting it again make it new.
    bench.reads(READ, &[1]);
    assert_eq!(bench.asks(SECOND), says("sequence-unknown"));
    bench.writes(FIRST);
    assert_eq!(bench.asks(SECOND), says("sequence-unknown"));
    bench.writes("05 0001 0000");
    bench.writes(FIRST);
    bench.writes(SECOND);
    bench.millis += 10_001;
    assert_eq!(bench.asks(SECOND), says("sequence-late"));
    // A write of another value that the device refuses, and the same value seen again.
    assert_eq!(bench.asks("05 0001 0000"), Ok(()));
    bench.refuses();
    assert_eq!(bench.asks(SECOND), says("sequence-unknown"));
    bench.reads(READ, &[1]);
    assert_eq!(bench.asks(SECOND), says("sequence-late"));
    // All was forgotten, and it is what it was.
    let everything = Rule {
        clients: from(&["10.0.0.9"]),
        functions: Functions::Any,
        ..allow("all", &[(0, 255)], &[], Places::Any)
    };
    let mut bench = Bench::new(in_sequence().into_iter().chain([everything]).collect());
    bench.reads(READ, &[0]);
    bench.writes(FIRST);
    bench.writes(SECOND);
    bench.millis += 10_001;
    bench.reconnect("10.0.0.9");
    bench.writes("5A 00 41");
    bench.reads(READ, &[1]);
    bench.reconnect("10.0.0.1");
    assert_eq!(bench.asks(SECOND), says("sequence-late"));
    // Without a time it is enough to be so.
    let mut rules = in_sequence();
    if let Places::Values(values) = &mut rules[0].places {
        values[1].after.as_mut().unwrap().within = None;
    }
    let mut bench = Bench::new(rules);
    bench.reads(READ, &[1]);
    bench.writes(SECOND);
}

#[test]
fn a_sequence_looks_at_the_device_that_it_names() {
    const SECOND: &str = "05 0002 FF00";
    let mut bench = Bench::new(in_sequence());
    bench.reads("01 0001 0001", &[0]);
    bench.writes("05 0001 FF00");
    // The coil of unit 2 waits for that of unit 1.
    assert_eq!(bench.asks_unit(2, SECOND), Ok(()));
    bench.answers(&[]);
    assert_eq!(bench.asks_unit(2, "05 0001 0000"), Ok(()));
    bench.answers(&[]);
    assert_eq!(bench.asks_unit(2, SECOND), Ok(()));
    // A device that is not behind this conduit is not seen, though a unit here has the same number.
    for (device, unit) in [("other", 1), ("pump", 2)] {
        let mut conduit = conduit(in_sequence());
        conduit.devices = vec![(device.into(), UnitId(unit))];
        let mut bench = Bench::of(&conduit, "10.0.0.1");
        bench.writes("05 0001 FF00");
        assert_eq!(bench.asks(SECOND), says("sequence-unknown"), "{device} {unit}");
    }
}

#[test]
fn values_are_written_so_often_and_no_more() {
    let rate = Some(Rate { count: 2, per: Duration::from_secs(10) });
    let mut bench =
        Bench::new(vec![writes(vec![Writable { rate, ..holding(100, ValueType::U32, Envelope::Any) }])]);
    const SET: &str = "10 0064 0002 04 0000 0001";
    for want in [Ok(()), Ok(()), says("write-rate")] {
        assert_eq!(bench.asks(SET), want);
    }
    // The value's, not the client's.
    bench.reconnect("10.0.0.2");
    assert_eq!(bench.asks(SET), says("write-rate"));
    assert_eq!(bench.asks_unit(2, SET), Ok(()));
    bench.millis += 5_000;
    assert_eq!(bench.asks(SET), Ok(()));
    assert_eq!(bench.asks(SET), says("write-rate"));
}

#[test]
fn requests_are_as_many_as_rule_and_conduit_allow() {
    let rate = |count| Some(Rate { count, per: Duration::from_secs(1) });
    let mut conduit = conduit(vec![
        Rule { requests: rate(2), ..allow("identify", &[(1, 1)], &[43], Places::Any) },
        reads(),
    ]);
    conduit.limits.requests = rate(4);
    let mut bench = Bench::of(&conduit, "10.0.0.1");
    const IDENTIFY: &str = "2B 0E 01 00";
    assert_eq!(bench.asks(IDENTIFY), Ok(()));
    assert_eq!(bench.asks(IDENTIFY), Ok(()));
    // What is refused takes nothing: a poller goes on while another program of its machine does what it may not.
    for _ in 0..20 {
        assert_eq!(bench.asks(IDENTIFY), says("rule-rate"));
        assert_eq!(bench.asks("06 0000 0001"), says("function"));
    }
    assert_eq!(bench.asks(READ), Ok(()));
    assert_eq!(bench.asks(READ), Ok(()));
    assert_eq!(bench.asks(READ), says("client-rate"));
    bench.reconnect("10.0.0.2");
    assert_eq!(bench.asks(READ), Ok(()));
}

#[test]
fn buckets_are_bounded_and_the_bound_lets_nobody_through() {
    let mut conduit = conduit(vec![reads()]);
    conduit.limits.requests = Some(Rate { count: 1, per: Duration::from_secs(100) });
    let mut bench = Bench::of(&conduit, "10.0.0.1");
    let request = port502_wire::Request::parse(&[3, 0, 0, 0, 1]).unwrap();
    for client in 0..u32::try_from(BUCKETS_MAX).unwrap() + 10 {
        let peer = Peer { address: IpAddr::V4(client.into()), identity: None };
        let grants = bench.state.grants(&peer);
        let verdict = bench.state.judge(&grants, moment(0), peer.address, UnitId(1), &request);
        let full = client as usize >= BUCKETS_MAX;
        assert_eq!(verdict.objection().map(|o| o.reason), full.then_some(Reason::TooManyCounted), "{client}");
    }
    assert_eq!(bench.state.buckets(), BUCKETS_MAX);
    // Those that are full again make room.
    let peer = Peer { address: "192.0.2.1".parse().unwrap(), identity: None };
    let grants = bench.state.grants(&peer);
    for (millis, passes) in [(99_999, false), (100_000, true)] {
        let verdict = bench.state.judge(&grants, moment(millis), peer.address, UnitId(1), &request);
        assert_eq!(verdict.passes(), passes, "{millis} ms");
    }
    assert!(bench.state.buckets() < 3);
}

#[test]
fn what_a_client_could_read_it_may_not_when_the_rules_say_so() {
    let of = |first, last| {
        let table = Table::HoldingRegisters;
        conduit(vec![allow("reads", &[(1, 1)], &[3], Places::Of(vec![Range { table, first, last }]))])
    };
    let engine = |rules| Arc::new(Engine::compile(&Policy::default(), &rules).unwrap());
    let mut bench = Bench::of(&of(0, 100), "10.0.0.1");
    for pdu in ["03 0000 0001", "03 0064 0001", "03 0032 0001"] {
        bench.reads(pdu, &[7]);
    }
    bench.state.replace(engine(of(50, 60)));
    // One that still passes goes first: it is the one that shows which rules hold now.
    bench.reads("03 0032 0001", &[7]);
    assert_eq!(bench.asks("03 0064 0001"), says("address"));
    assert_eq!(bench.asks("03 0032 000C"), says("address"));
    bench.reads("03 0032 000B", &[7; 11]);
    assert_eq!(bench.asks("03 0000 0001"), says("address"));
    bench.state.replace(engine(of(0, 100)));
    bench.reads("03 0000 0001", &[7]);
    assert_eq!(bench.asks("03 0064 0002"), says("address"));
}

#[test]
fn a_value_that_several_rules_let_write_is_counted_once() {
    let rate = Some(Rate { count: 1, per: Duration::from_secs(3_600) });
    let value = || Writable { rate, ..holding(100, ValueType::U16, Envelope::Any) };
    let of = |client: &str, values| Rule { clients: from(&[client]), ..writes(values) };
    let other = Writable { rate, ..holding(90, ValueType::U16, Envelope::Any) };
    let rules =
        vec![of("10.0.0.1", vec![value()]), of("10.0.0.2", vec![other, value()]), writes(vec![value()])];
    let mut bench = Bench::new(rules.clone());
    assert_eq!(bench.asks(&set(1)), Ok(()));
    // Neither by the next rule that is for this client, nor for another.
    assert_eq!(bench.asks(&set(1)), says("write-rate"));
    bench.reconnect("10.0.0.2");
    assert_eq!(bench.asks(&set(1)), says("write-rate"));
    // Another register, and the same of another device, are others.
    assert_eq!(bench.asks("06 005A 0001"), Ok(()));
    assert_eq!(bench.asks_unit(2, &set(1)), Ok(()));
    // Counting goes on under other rules, wherever the value stands in them.
    let rules = conduit(rules.into_iter().skip(1).collect());
    bench.state.replace(Arc::new(Engine::compile(&Policy::default(), &rules).unwrap()));
    assert_eq!(bench.asks(&set(1)), says("write-rate"));
    assert_eq!(bench.asks("06 005A 0001"), says("write-rate"));
    assert_eq!(bench.asks_unit(3, &set(1)), Ok(()));
    bench.millis += 3_600_000;
    assert_eq!(bench.asks(&set(1)), Ok(()));
}

#[test]
fn values_are_bounded_and_what_is_forgotten_is_refused() {
    let tags: Vec<Writable> = (0..3_000)
        .map(|at| Writable { max_step: Some(1.0), ..holding(at, ValueType::U16, Envelope::Any) })
        .collect();
    let mut bench = Bench::new(vec![writes(tags), reads()]);
    for unit in 1..=10 {
        for block in 0..24_u16 {
            let pdu = format!("03 {:04x} 007D", block * 125);
            bench.millis += 1;
            assert_eq!(bench.asks_unit(unit, &pdu), Ok(()));
            bench.answers(&[7; 125]);
            assert!(bench.state.known() <= KNOWN_MAX);
        }
    }
    assert_eq!(bench.asks_unit(1, "06 0000 0007"), says("step-unknown"));
    assert_eq!(bench.asks_unit(10, "06 0000 0007"), Ok(()));
}

#[test]
fn connections_are_counted() {
    let mut conduit = conduit(vec![reads()]);
    conduit.limits.connections = Some(3);
    conduit.limits.connections_per_client = Some(2);
    let mut state = Bench::of(&conduit, "10.0.0.1").state;
    let [a, b]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
    let mapped = "::ffff:10.0.0.1".parse().unwrap();
    assert_eq!([state.connect(a), state.connect(mapped)], [Ok(()), Ok(())]);
    assert_eq!(state.connect(a), Err(Reason::ConnectionsOfClient));
    assert_eq!([state.connect(b), state.connect(b)], [Ok(()), Err(Reason::Connections)]);
    state.disconnect(a);
    assert_eq!(state.connect(b), Ok(()));
    state.disconnect("192.0.2.1".parse().unwrap());
    assert_eq!(state.connect(mapped), Err(Reason::Connections));
}

#[test]
fn other_rules_hold_from_the_next_request_on() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    assert_eq!(bench.asks(&set(21)), Ok(()));
    let tag = Writable { max_step: Some(50.0), ..holding(100, ValueType::U16, integers(0, 1_000)) };
    let other = Writable { max_step: Some(1.0), ..holding(90, ValueType::U16, Envelope::Any) };
    let rules = conduit(vec![writes(vec![other, tag])]);
    bench.state.replace(Arc::new(Engine::compile(&Policy::default(), &rules).unwrap()));
    // The answer to what was asked under the old rules still belongs to it.
    bench.answers(&[]);
    assert_eq!(bench.asks(READ), says("function"));
    // 20 or 21, as far as is known: what was under way then is not followed.
    assert_eq!(bench.asks(&set(71)), says("step"));
    assert_eq!(bench.asks(&set(70)), Ok(()));
    assert_eq!(bench.asks("06 005A 0001"), says("step-unknown"));
}

#[test]
fn grants_of_other_rules_are_worth_nothing() {
    let mut bench = Bench::new(stepped());
    let who = peer("10.0.0.1", None);
    let grants = bench.state.grants(&who);
    let engine = Engine::compile(&Policy::default(), &conduit(vec![reads()])).unwrap();
    bench.state.replace(Arc::new(engine));
    let request = port502_wire::Request::ReadHoldingRegisters { span: port502_wire::Span::one(100) };
    let verdict = bench.state.judge(&grants, moment(0), who.address, UnitId(1), &request);
    assert_eq!(verdict.objection().map(|o| o.reason), Some(Reason::Outdated));
    assert!(!verdict.passes());
}

#[test]
fn rules_that_nobody_can_judge_in_time_let_nothing_pass() {
    let narrow = |at: i128| {
        allow("narrow", &[(1, 1)], &[6], Places::Values(vec![holding(100, ValueType::U16, integers(at, at))]))
    };
    let mut bench = Bench::new((0..64).map(narrow).collect());
    assert_eq!(bench.asks("06 0064 003F"), Ok(()));
    let mut bench = Bench::new((0..65).map(narrow).collect());
    assert_eq!(bench.asks("06 0064 0000"), says("too-complex"));
    // For others it goes on.
    let for_one = |at| Rule { clients: from(&["10.0.0.1"]), ..narrow(at) };
    let mut bench = Bench::new((0..65).map(for_one).chain([reads()]).collect());
    assert_eq!(bench.asks(READ), says("too-complex"));
    bench.reconnect("10.0.0.2");
    assert_eq!(bench.asks(READ), Ok(()));
}

#[test]
fn alert_of_one_rule_is_no_way_round_another() {
    let watch = Rule {
        mode: Some(Mode::Alert),
        effect: Effect::Deny,
        ..allow(
            "watched",
            &[(1, 1)],
            &[3, 23],
            Places::Of(vec![port502_inspect::policy::Range {
                table: Table::HoldingRegisters,
                first: 0,
                last: 9,
            }]),
        )
    };
    let mut bench = Bench::new(vec![watch, reads()]);
    assert_eq!(bench.asks("03 0000 0001"), Ok(()));
    assert_eq!(bench.told, ["alerted denied"]);
    // The read is in alert; the write that function 23 hides behind it is refused all the same.
    let no_writes = Rule {
        effect: Effect::Deny,
        ..allow(
            "no-writes",
            &[(1, 1)],
            &[6, 16, 22, 23],
            Places::Values(vec![holding(50, ValueType::U16, Envelope::Any)]),
        )
    };
    let mut bench = Bench::new(vec![
        Rule { mode: Some(Mode::Alert), clients: Clients::default(), ..no_writes.clone() },
        no_writes.clone(),
        reads(),
    ]);
    assert_eq!(bench.asks("17 0000 0001 0032 0001 02 0001"), says("denied"), "by the second of them");
    let watch = Rule {
        mode: Some(Mode::Alert),
        effect: Effect::Deny,
        ..allow(
            "watched",
            &[(1, 1)],
            &[23],
            Places::Of(vec![port502_inspect::policy::Range {
                table: Table::HoldingRegisters,
                first: 0,
                last: 9,
            }]),
        )
    };
    let mut bench = Bench::new(vec![watch, no_writes, reads()]);
    assert_eq!(bench.asks("17 0000 0001 0032 0001 02 0001"), says("denied"));
    assert_eq!(bench.asks("17 0000 0001 0033 0001 02 0001"), Ok(()));
}

#[test]
fn who_denies_in_alert_allows_nothing() {
    let places = |first, last| {
        Places::Of(vec![port502_inspect::policy::Range { table: Table::HoldingRegisters, first, last }])
    };
    let watch = Rule {
        mode: Some(Mode::Alert),
        effect: Effect::Deny,
        ..allow("watched", &[(0, 255)], &[6, 8, 16], Places::Any)
    };
    let values = writes(vec![holding(100, ValueType::U16, integers(0, 50))]);
    let known = Rule { clients: from(&["10.0.0.1"]), ..values };
    let mut bench = Bench::new(vec![watch.clone(), known.clone(), reads()]);
    // Whom another rule allows it may do it, and it is told.
    assert_eq!(bench.asks(&set(50)), Ok(()));
    assert_eq!(bench.told, ["alerted denied"]);
    assert_eq!(bench.asks(READ), Ok(()));
    assert_eq!(bench.told.len(), 1);
    // Neither outside its limits nor elsewhere nor with another function, nor a stranger at all.
    assert_eq!(bench.asks(&set(51)), says("limits"));
    assert_eq!(bench.asks("06 0065 0001"), says("address"));
    assert_eq!(bench.asks("08 0001 0000"), says("function"));
    bench.reconnect("10.0.0.2");
    assert_eq!(bench.asks(&set(50)), says("function"));
    // Nor is it a way round hours, values by register, or a denial behind it.
    let quiet =
        Rule { effect: Effect::Deny, values: Some((20, 30)), ..allow("no", &[(1, 1)], &[6], places(0, 200)) };
    let mut bench = Bench::new(vec![watch.clone(), watch.clone(), quiet, known.clone()]);
    assert_eq!(bench.asks(&set(25)), says("denied"));
    assert_eq!(bench.asks(&set(31)), Ok(()));
    assert_eq!(bench.told, ["refused denied", "alerted denied"]);
    // Where the whole conduit is in alert, everything goes on, and the first rule's objection is told.
    let mut bench = Bench::of(&Conduit { mode: Mode::Alert, ..conduit(vec![watch, known]) }, "10.0.0.1");
    for (pdu, told) in [
        (set(51), "alerted denied"),
        ("06 0065 0001".into(), "alerted denied"),
        (READ.into(), "alerted function"),
    ] {
        assert_eq!(bench.asks(&pdu), Ok(()));
        assert_eq!(bench.told.last().unwrap(), told, "{pdu}");
    }
}

#[test]
fn in_alert_what_is_no_request_is_refused_all_the_same() {
    let mut conduit = conduit(Vec::new());
    conduit.mode = Mode::Alert;
    let mut bench = Bench::of(&conduit, "10.0.0.1");
    assert_eq!(bench.asks("5A 00 41 FF 00"), Ok(()));
    assert_eq!(bench.told, ["alerted client"]);
    assert_eq!(bench.asks("03 0000 0000"), says("malformed"));
    assert!(bench.asks("03 0000 0001 00").is_err());
    assert_eq!(bench.flow, Flow::Reset);
    // What the first has done nobody knows.
    assert_eq!(bench.told[2..], ["refused malformed", "noted unanswered"]);
}

#[test]
fn bits_behind_the_last_coil_do_not_reach_the_device() {
    let coils = allow(
        "coils",
        &[(1, 1)],
        &[15],
        Places::Of(vec![port502_inspect::policy::Range { table: Table::Coils, first: 0, last: 15 }]),
    );
    for (asked, goes_on) in [
        ("0F 0000 0001 01 FF", "0F 0000 0001 01 01"),
        ("0F 0000 0007 01 FF", "0F 0000 0007 01 7F"),
        ("0F 0000 0008 01 FF", "0F 0000 0008 01 FF"),
        ("0F 0000 0009 02 FFFE", "0F 0000 0009 02 FF00"),
        ("0F 0003 000D 02 A5FF", "0F 0003 000D 02 A51F"),
        ("0F 0000 0010 02 FFFF", "0F 0000 0010 02 FFFF"),
    ] {
        let mut bench = Bench::new(vec![coils.clone()]);
        assert_eq!(bench.asks(asked), Ok(()));
        assert_eq!(bench.arrived[0].2, hex(goes_on), "{asked}");
        bench.answers(&[]);
        assert_eq!((bench.back.len(), bench.told.len()), (1, 0));
    }
}

#[test]
fn one_transaction_id_twice() {
    let mut bench = Bench::new(vec![reads()]);
    bench.client_sends(&[adu(7, 1, &hex("03 0000 0001")), adu(7, 1, &hex("03 0001 0001"))].concat());
    assert_eq!((bench.arrived.len(), &bench.told[..]), (1, &["refused transaction-reused".to_owned()][..]));
    // Nothing is said to the client: it would take it for the answer to the first.
    assert!(bench.back.is_empty());
    bench.answers(&[5]);
    assert_eq!(bench.back, [(7, vec![3, 2, 0, 5])]);
    // A client that always uses the same id, and has given up: the late answer is not the new one's.
    bench.client_sends(&adu(7, 1, &hex("03 0000 0001")));
    bench.millis += u64::try_from(REUSED_AFTER.as_millis()).unwrap();
    bench.client_sends(&adu(7, 1, &hex("03 0001 0001")));
    let late = bench.arrived.remove(0);
    assert_ne!(late.0, bench.arrived[0].0);
    bench.server_sends(&adu(late.0.0, 1, &[3, 2, 0, 6]));
    assert_eq!(bench.told.last().unwrap(), "refused late");
    assert_eq!(bench.back.len(), 1);
    bench.answers(&[8]);
    assert_eq!(bench.back[1], (7, vec![3, 2, 0, 8]));
}

#[test]
fn responses_that_answer_nothing() {
    let mut bench = Bench::new(vec![reads()]);
    assert_eq!(bench.asks("03 0000 0002"), Ok(()));
    let id = bench.arrived[0].0.0;
    for (bytes, want) in [
        (adu(id.wrapping_add(1), 1, &[3, 4, 0, 1, 0, 2]), "unsolicited"),
        (adu(id, 2, &[3, 4, 0, 1, 0, 2]), "other-unit"),
        (adu(id, 1, &[4, 4, 0, 1, 0, 2]), "mismatch"),
        (adu(id, 1, &[3, 2, 0, 1]), "mismatch"),
        (adu(id, 1, &[3, 6, 0, 1, 0, 2, 0, 3]), "mismatch"),
        (adu(id, 1, &[0x84, 2]), "mismatch"),
        (adu(id, 1, &[3, 4, 0, 1, 0]), "malformed-response"),
        (adu(id, 1, &[3, 4, 0, 1, 0, 2, 0]), "malformed-response"),
        (vec![0, 1, 0, 1, 0, 3, 1, 3, 4], "protocol-id"),
    ] {
        bench.server_sends(&bytes);
        assert_eq!(bench.told.last().unwrap(), &format!("refused {want}"), "{bytes:02x?}");
        assert_eq!((bench.back.len(), bench.flow), (0, Flow::Open), "{want}");
    }
    // The request is still open, for the one answer that fits.
    bench.answers(&[1, 2]);
    assert_eq!(bench.back, [(1000, vec![3, 4, 0, 1, 0, 2])]);
    bench.server_sends(&adu(id, 1, &[3, 4, 9, 9, 9, 9]));
    assert_eq!(bench.told.last().unwrap(), "refused duplicate");
    assert_eq!(bench.back.len(), 1);
    // Garbage that has no end.
    bench.server_sends(&[0, 1, 0, 0, 0, 0, 1]);
    assert_eq!((bench.told.last().unwrap().as_str(), bench.flow), ("refused frame-length", Flow::Reset));
    bench.client_sends(&adu(9, 1, &hex("03 0000 0001")));
    assert_eq!((bench.arrived.len(), bench.flow), (0, Flow::Reset));
}

#[test]
fn requests_wait_only_so_many_and_so_long() {
    let mut bench = Bench::new(vec![reads()]);
    for id in 0..20 {
        bench.client_sends(&adu(id, 1, &hex("03 0000 0001")));
    }
    assert_eq!(bench.arrived.len(), 16);
    assert_eq!(bench.told, ["refused too-many-open"; 4]);
    assert_eq!(bench.back[0], (16, vec![0x83, 6]));
    assert!(bench.inline.inspection().open_requests() <= OPEN_MAX);
    // Nobody answers; each is told once.
    bench.told.clear();
    let mut told = Vec::new();
    let mut sink = |event: Event<'_>| told.push(event.objection.reason.word());
    let at = bench.inline.poll_timeout().unwrap();
    assert_eq!(at, bench.now().at + Sanity::default().answer_within);
    assert_eq!(bench.inline.handle_timeout(&mut bench.state, at, &mut sink), Flow::Open);
    assert_eq!(told, ["unanswered"; 16]);
    assert_eq!(bench.inline.poll_timeout(), None);
    bench.millis += 60_000;
    let first = bench.arrived[0].0.0;
    bench.server_sends(&adu(first, 1, &[3, 2, 0, 1]));
    assert_eq!(bench.told, ["refused late"]);
    bench.server_sends(&adu(first, 1, &[3, 2, 0, 1]));
    assert_eq!(bench.told[1], "refused duplicate");
    // A server that never answers ends it, when it is asked so often that what it still owes cannot be kept.
    for round in 0.. {
        bench.client_sends(&adu(round, 1, &hex("03 0000 0001")));
        if bench.flow == Flow::Reset {
            break;
        }
        assert!(bench.arrived.len() <= 2 * UNANSWERED_MAX);
        bench.millis += 100;
    }
    assert_eq!(bench.told.last().unwrap(), "refused too-many-unanswered");
    // Of the first it owes fifteen yet, and sixteen are open.
    assert_eq!(bench.arrived.len(), 16 + (UNANSWERED_MAX - 15) + 15);
}

/// Behind a gateway: one of its units is gone, and polled on.
#[test]
fn a_dead_unit_does_not_keep_its_client_from_others() {
    let mut bench = Bench::new(vec![allow("all", &[(1, 2)], &[3], Places::Any)]);
    for round in 0..1000_u16 {
        bench.client_sends(&adu(2 * round, 2, &hex("03 0000 0001")));
        bench.client_sends(&adu(2 * round + 1, 1, &hex("03 0000 0001")));
        let (id, unit, _) = bench.arrived.pop().unwrap();
        assert_eq!(unit, UnitId(1));
        bench.server_sends(&adu(id.0, 1, &[3, 2, 0, 7]));
        assert_eq!(bench.back.pop(), Some((2 * round + 1, vec![3, 2, 0, 7])), "round {round}");
        assert_eq!(bench.flow, Flow::Open);
        bench.millis += 1000;
    }
    bench.told.retain(|told| told != "noted unanswered");
    assert_eq!(bench.told, [""; 0]);
}

#[test]
fn broadcasts_that_nobody_answers_block_nobody() {
    let mut bench = Bench::new(vec![reads(), allow("all", &[(0, 0)], &[6], Places::Any)]);
    for _ in 0..100 {
        assert_eq!(bench.asks_unit(0, "06 0001 0001"), Ok(()));
    }
    assert_eq!(bench.asks("03 0000 0001"), Ok(()));
    let asked = bench.arrived.pop().unwrap();
    bench.arrived.insert(0, asked);
    bench.answers(&[7]);
    assert_eq!((bench.back.len(), bench.told.len()), (1, 0));
    // A device that is reached directly does answer.
    let last = bench.arrived.pop().unwrap();
    bench.arrived.insert(0, last);
    bench.answers(&[]);
    assert_eq!(bench.back.len(), 2);
    // And nobody is told that the others were not.
    bench.millis += 60_000;
    let now = bench.now().at;
    let _ = bench.inline.handle_timeout(&mut bench.state, now, &mut |event| panic!("{event:?}"));
}

#[test]
fn a_broadcast_that_was_sent_is_over() {
    let mut bench = Bench::new(stepped());
    bench.reads(READ, &[20]);
    bench.reconnect("10.0.0.9");
    assert_eq!(bench.asks_unit(0, &set(25)), Ok(()));
    assert_eq!(bench.asks_unit(3, &set(25)), Ok(()));
    assert_eq!(bench.asks_unit(0, &set(26)), Ok(()));
    let now = bench.now().at;
    for (sent, open) in [(0, 3), (1, 2), (5, 1)] {
        bench.inline.broadcasts_sent(&mut bench.state, now, sent);
        assert_eq!(bench.inline.inspection().open_requests(), open);
    }
    assert!(bench.told.is_empty());
    // What it did can be read at once.
    bench.arrived.clear();
    bench.reads(READ, &[26]);
    bench.reconnect("10.0.0.1");
    assert_eq!(bench.asks(&set(31)), Ok(()));
}

#[test]
fn over_tcp_unit_0_is_a_device() {
    let mut bench = Bench::new(vec![reads()]);
    bench.inline.set_broadcast(false);
    for id in 0..17 {
        bench.client_sends(&adu(id, 0, &hex("03 0000 0001")));
    }
    // The 17th has no room, and each of the others has its answer.
    assert_eq!((bench.arrived.len(), bench.told.as_slice()), (16, &["refused too-many-open".to_owned()][..]));
    for _ in 0..15 {
        bench.answers(&[7]);
    }
    assert_eq!(bench.back.len(), 16);
    let now = bench.now().at;
    bench.inline.broadcasts_sent(&mut bench.state, now, 1);
    assert_eq!(bench.inline.inspection().open_requests(), 1);
    // That one is not answered is told.
    let mut told = Vec::new();
    let at = bench.inline.poll_timeout().unwrap();
    let mut sink = |event: Event<'_>| told.push(event.objection.reason.word());
    assert_eq!(bench.inline.handle_timeout(&mut bench.state, at, &mut sink), Flow::Open);
    assert_eq!(told, ["unanswered"]);
}

#[test]
fn half_a_frame_does_not_wait_for_ever() {
    let whole = adu(1, 1, &hex("03 0000 0001"));
    let mut bench = Bench::new(vec![reads()]);
    for byte in &whole {
        bench.client_sends(&[*byte]);
        bench.millis += 100;
    }
    assert_eq!(bench.arrived.len(), 1);
    bench.client_sends(&whole[..7]);
    bench.millis += 7_999;
    bench.client_sends(&whole[7..8]);
    let at = bench.inline.poll_timeout().unwrap();
    assert_eq!(at, moment(bench.millis + 1).at);
    let mut told = Vec::new();
    let mut sink = |event: Event<'_>| told.push(event.objection.reason.word());
    let now = bench.now().at;
    assert_eq!(bench.inline.handle_timeout(&mut bench.state, now, &mut sink), Flow::Open);
    assert_eq!(bench.inline.handle_timeout(&mut bench.state, at, &mut sink), Flow::Reset);
    assert_eq!(told, ["half-frame"]);
    bench.client_sends(&whole[8..]);
    assert_eq!(bench.arrived.len(), 1);
}

#[test]
fn what_is_no_modbus_resets() {
    let good = adu(1, 1, &hex("03 0000 0001"));
    for (bytes, reason) in [
        // Protocol ids: frames that a lenient device might take.
        (vec![0, 2, 0, 1, 0, 6, 1, 6, 0, 0, 0, 1], "protocol-id"),
        (vec![0, 2, 1, 0, 0, 6, 1, 6, 0, 0, 0, 1], "protocol-id"),
        (vec![0, 2, 0xFF, 0xFF, 0, 6, 1, 6, 0, 0, 0, 1], "protocol-id"),
        // Lengths that lie.
        (vec![0, 2, 0, 0, 0, 0, 1, 6, 0, 0, 0, 1], "frame-length"),
        (vec![0, 2, 0, 0, 0, 1, 1, 6, 0, 0, 0, 1], "frame-length"),
        (vec![0, 2, 0, 0, 0, 255, 1, 6, 0, 0, 0, 1], "frame-length"),
        (vec![0, 2, 0, 0, 0xFF, 0xFF, 1, 6, 0, 0, 0, 1], "frame-length"),
        (vec![0, 2, 0, 0, 0, 5, 1, 3, 0, 0, 0, 1], "malformed"),
        (vec![0, 2, 0, 0, 0, 7, 1, 3, 0, 0, 0, 1, 0], "malformed"),
        // Another request behind the end of the first, within its length.
        (
            [vec![0, 2, 0, 0, 0, 18, 1], good[7..].to_vec(), adu(3, 1, &hex("06 0000 0001"))].concat(),
            "malformed",
        ),
        // The longest PDU, and one byte more.
        (adu(2, 1, &[&[16, 0, 0, 0, 123, 246][..], &[0; 247]].concat()), "malformed"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "frame-length"),
        (vec![0x16, 3, 1, 0, 0xF4, 1, 0, 0], "frame-length"),
    ] {
        let mut bench = Bench::new(vec![reads()]);
        // What came before it still goes on; what comes behind it does not.
        bench.client_sends(&[good.clone(), bytes.clone(), good.clone()].concat());
        assert_eq!(
            (bench.told.last().map(String::as_str), bench.flow),
            (Some(format!("refused {reason}").as_str()), Flow::Reset),
            "{bytes:02x?}"
        );
        assert_eq!((bench.arrived.len(), bench.told.len()), (1, 1));
    }
}
