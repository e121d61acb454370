//! Streams: each row is a handful of segments and what is told about them.
//!
//! Told in short: `open` with how, `>` and `<` for bytes to the server and to the client, `>(3)` for a gap of three,
//! `>!a/b@2` for a conflict at offset 2, `>?Data` for a stray, `close`. From the second connection on with its number.

use std::net::SocketAddr;
use std::time::Duration;

use port502_capture::synth::Segment;
use port502_capture::{
    Direction, Event, HELD_OVERHEAD, Limits, Macs, OverlapPolicy, Reassembler, ServerRule, SlicedPacket,
    StreamEventKind, TcpFlags, TcpSegment, Timestamp, Transport, VlanKey, VlanTags,
};

const CLIENT: &str = "10.0.0.9:50000";
const SERVER: &str = "10.0.0.3:502";

/// One segment, and how long after the one before it.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    source: &'static str,
    destination: &'static str,
    sequence: u32,
    acknowledgment: Option<u32>,
    flags: TcpFlags,
    payload: &'static str,
    missing: usize,
    after: Duration,
}

/// From the client.
const fn c(sequence: u32, payload: &'static str) -> Step {
    Step {
        source: CLIENT,
        destination: SERVER,
        sequence,
        acknowledgment: None,
        flags: TcpFlags(0),
        payload,
        missing: 0,
        after: Duration::from_millis(1),
    }
}

/// From the server.
const fn s(sequence: u32, payload: &'static str) -> Step {
    Step { source: SERVER, destination: CLIENT, ..c(sequence, payload) }
}

impl Step {
    const fn ack(mut self, number: u32) -> Self {
        self.acknowledgment = Some(number);
        self
    }

    const fn syn(mut self) -> Self {
        self.flags = TcpFlags(self.flags.0 | TcpFlags::SYN.0);
        self
    }

    const fn fin(mut self) -> Self {
        self.flags = TcpFlags(self.flags.0 | TcpFlags::FIN.0);
        self
    }

    const fn rst(mut self) -> Self {
        self.flags = TcpFlags(self.flags.0 | TcpFlags::RST.0);
        self
    }

    const fn missing(mut self, bytes: usize) -> Self {
        self.missing = bytes;
        self
    }

    const fn after(mut self, seconds: u64) -> Self {
        self.after = Duration::from_secs(seconds);
        self
    }

    const fn between(mut self, source: &'static str, destination: &'static str) -> Self {
        self.source = source;
        self.destination = destination;
        self
    }
}

pub(crate) fn tell(event: Event<'_>) -> Option<String> {
    let event = match event {
        Event::Stream(event) => event,
        Event::Datagram(datagram) => return Some(format!("udp {:?}", datagram.direction)),
        Event::NotSliced { why, .. } => return Some(format!("{why:?}")),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let way = match event.direction {
        Direction::ToServer => ">",
        Direction::ToClient => "<",
    };
    let told = match event.kind {
        StreamEventKind::Opened { server, opening, .. } => format!("open {} {opening:?}", server.port()),
        StreamEventKind::Data(bytes) => format!("{way}{}", text(bytes)),
        StreamEventKind::Gap { bytes } => format!("{way}({bytes})"),
        StreamEventKind::Conflict { offset, first, second } => {
            format!("{way}!{}/{}@{offset}", text(first), text(second))
        }
        StreamEventKind::Stray { what, .. } => format!("{way}?{what:?}"),
        StreamEventKind::Closed { reason } => format!("close {reason:?}"),
    };
    let number = event.connection.number();
    Some(if number == 1 { told } else { format!("#{number} {told}") })
}

fn run(mut streams: Reassembler, steps: &[Step]) -> (String, Reassembler) {
    let mut told = Vec::new();
    let mut sink = |event: Event<'_>| told.extend(tell(event));
    let mut now = Timestamp::from_seconds(1_000_000, 0);
    for step in steps {
        now = now.plus(step.after);
        let (source, destination): (SocketAddr, SocketAddr) =
            (step.source.parse().unwrap(), step.destination.parse().unwrap());
        let ack = if step.acknowledgment.is_some() { TcpFlags::ACK } else { TcpFlags(0) };
        let segment = TcpSegment {
            source_port: source.port(),
            destination_port: destination.port(),
            sequence: step.sequence,
            acknowledgment: step.acknowledgment.unwrap_or(0),
            flags: step.flags | ack,
            window: 0xFFFF,
            options: b"",
            payload: step.payload.as_bytes(),
            missing: step.missing,
        };
        let packet = SlicedPacket {
            macs: None,
            vlans: VlanTags::default(),
            source: source.ip(),
            destination: destination.ip(),
            hop_limit: 64,
            transport: Transport::Tcp(segment),
        };
        streams.push(now, &packet, &mut sink);
    }
    streams.finish(&mut sink);
    assert_eq!(streams.held_bytes(), 0, "nothing is held behind the end");
    (told.join(" "), streams)
}

fn streams(limits: Limits) -> Reassembler {
    Reassembler::new(limits, |port| port == 502)
}

#[track_caller]
fn check(steps: &[Step], want: &str) {
    let (told, _) = run(streams(Limits::default()), steps);
    assert_eq!(told, want);
}

#[track_caller]
fn check_with(limits: Limits, steps: &[Step], want: &str) {
    let (told, _) = run(streams(limits), steps);
    assert_eq!(told, want);
}

/// SYN, SYN+ACK, ACK: the first bytes are 101 and 501.
const OPEN: [Step; 3] = [c(100, "").syn(), s(500, "").syn().ack(101), c(101, "").ack(501)];

#[track_caller]
fn opened(steps: &[Step], want: &str) {
    check(&[&OPEN, steps].concat(), &format!("open 502 Handshake{want}"));
}

#[test]
fn in_order() {
    opened(
        &[
            c(101, "ask").ack(501),
            s(501, "answer").ack(104),
            c(104, "").ack(507).fin(),
            s(507, "").ack(105).fin(),
            c(105, "").ack(508),
        ],
        " >ask <answer close Finished",
    );
    opened(&[c(101, "one").ack(501), c(104, "two").ack(501)], " >one >two close CaptureEnded");
    opened(&[c(101, "bye").ack(501).fin(), s(501, "bye").ack(105).fin()], " >bye <bye close Finished");
}

#[test]
fn retransmissions_and_keep_alives_are_dropped() {
    opened(&[c(101, "ask").ack(501), c(101, "ask").ack(501)], " >ask close CaptureEnded");
    opened(&[c(101, "ask").ack(501), c(101, "asking").ack(501)], " >ask >ing close CaptureEnded");
    opened(&[c(101, "ask").ack(501), c(102, "k").ack(501)], " >ask >!s/k@1 close CaptureEnded");
    // One byte before the next, with any content or none.
    opened(&[c(101, "ask").ack(501), c(103, "\0").ack(501), s(501, "").ack(104)], " >ask close CaptureEnded");
    opened(&[c(101, "ask").ack(501), c(103, "").ack(501)], " >ask close CaptureEnded");
    let (_, after) = run(
        streams(Limits::default()),
        &[&OPEN[..], &[c(101, "ask").ack(501), c(101, "ask").ack(501), c(103, "x").ack(501)]].concat(),
    );
    assert_eq!((after.counters().retransmitted_bytes, after.counters().keep_alives), (3, 1));
}

#[test]
fn early_segments_wait() {
    opened(&[c(104, "two").ack(501), c(101, "one").ack(501)], " >one >two close CaptureEnded");
    let three = [c(107, "three").ack(501), c(104, "two").ack(501), c(101, "one").ack(501)];
    opened(&three, " >one >two >three close CaptureEnded");
    // Overlapping, with the same bytes: told once.
    opened(
        &[c(103, "cde").ack(501), c(104, "def").ack(501), c(101, "abcd").ack(501)],
        " >ab >cde >f close CaptureEnded",
    );
}

#[test]
fn what_the_receiver_has_was_lost_in_the_capture() {
    // By the time later bytes come, the hole has been acknowledged.
    opened(&[s(501, "").ack(104), c(104, "two").ack(501)], " >(3) >two close CaptureEnded");
    // The acknowledgment comes behind the later bytes.
    opened(&[c(104, "two").ack(501), s(501, "").ack(107)], " >(3) >two close CaptureEnded");
    // It does not cover the hole.
    let waits = [c(104, "two").ack(501), s(501, "").ack(101), c(101, "one").ack(501)];
    opened(&waits, " >one >two close CaptureEnded");
    // An answer: the gap comes first.
    opened(&[s(501, "answer").ack(104), c(104, "next").ack(507)], " >(3) <answer >next close CaptureEnded");
    // The question was only late: it is delivered all the same.
    let swapped = [s(501, "answer").ack(104), c(101, "ask").ack(501), c(104, "next").ack(507)];
    opened(&swapped, " >(3) <answer >ask >next close CaptureEnded");
    let part = [s(501, "answer").ack(107), c(104, "two").ack(501), c(107, "next").ack(507)];
    opened(&part, " >(6) <answer >two >next close CaptureEnded");
    // The same for a FIN.
    let fins = [s(501, "").ack(102).fin(), c(101, "").ack(501).fin()];
    opened(&fins, " >(1) close Finished");
    let lost = [c(104, "").ack(501).fin(), s(501, "").ack(105).fin()];
    opened(&lost, " >(3) close Finished");
    // An acknowledgment of what cannot have been sent.
    opened(&[s(501, "x").ack(90_000_000), c(101, "ask").ack(502)], " <x >ask close CaptureEnded");
}

#[test]
fn the_end_turns_holes_into_gaps() {
    opened(&[c(104, "two").ack(501)], " >(3) >two close CaptureEnded");
    opened(&[c(104, "two").ack(501), c(110, "four").ack(501)], " >(3) >two >(3) >four close CaptureEnded");
    opened(&[c(104, "").ack(501).fin()], " >(3) close CaptureEnded");
    opened(&[c(104, "two").ack(501), s(501, "").ack(101).rst()], " >(3) >two close Reset");
}

#[test]
fn patience_has_limits() {
    let early = [c(104, "two").ack(501), c(107, "three").ack(501)];
    let steps = [&OPEN[..], &early, &[c(101, "one").ack(501)]].concat();
    let charge = 3 + 5 + 2 * HELD_OVERHEAD;
    let opening = "open 502 Handshake";
    for (held, held_total, want) in [
        (charge, charge, " >one >two >three close CaptureEnded"),
        (charge - 1, charge, " >(3) >two >three close CaptureEnded"),
        (charge, charge - 1, " >(3) >two >three close CaptureEnded"),
    ] {
        let limits = Limits { held_per_direction: held, held_total, ..Limits::default() };
        check_with(limits, &steps, &format!("{opening}{want}"));
    }
    for (after, want) in
        [(10, " >one >two >three close CaptureEnded"), (11, " >(3) >two >three close CaptureEnded")]
    {
        let late = [&OPEN[..], &early[..1], &[early[1].after(after)], &[c(101, "one").ack(501)]].concat();
        check_with(Limits::default(), &late, &format!("{opening}{want}"));
    }
}

#[test]
fn contradictions() {
    let again = [c(101, "write 1").ack(501), c(101, "write 9").ack(501), c(108, "!").ack(501)];
    opened(&again, " >write 1 >!1/9@6 >! close CaptureEnded");
    let tail = [c(101, "write 1").ack(501), c(105, "e 9 and more").ack(501)];
    opened(&tail, " >write 1 >!1/9@6 > and more close CaptureEnded");
    // Among those that wait the policy decides.
    let held = [c(104, "two").ack(501), c(103, "3TWOs").ack(501), c(101, "on").ack(501)];
    let steps = [&OPEN[..], &held].concat();
    for (policy, want) in [(OverlapPolicy::First, ">two"), (OverlapPolicy::Last, ">TWO")] {
        let (told, after) = run(streams(Limits::default()).with_overlap_policy(policy), &steps);
        assert_eq!(told, format!("open 502 Handshake >!two/TWO@3 >on >3 {want} >s close CaptureEnded"));
        assert_eq!(after.counters().conflicts, 1);
    }
    // What is older than the history cannot be compared.
    let limits = Limits { history: 4, ..Limits::default() };
    let steps = [&OPEN[..], &[c(101, "01234567").ack(501), c(101, "xxxx4x67").ack(501)]].concat();
    check_with(limits, &steps, "open 502 Handshake >01234567 >!5/x@5 close CaptureEnded");
}

#[test]
fn numbers_wrap_round() {
    let top = u32::MAX - 2;
    let steps = [
        c(top, "").syn(),
        s(u32::MAX, "").syn().ack(top + 1),
        c(1, "cd").ack(0),
        c(top + 1, "ab").ack(0),
        c(top.wrapping_add(3), "!").ack(0),
        c(0, "!").ack(0),
        s(0, "x").ack(3),
    ];
    check(&steps, "open 502 Handshake >ab >! >cd <x close CaptureEnded");
}

#[test]
fn captures_that_begin_mid_connection() {
    let mid = "open 502 MidConnection(Port)";
    // The port says who is the server, not the first packet.
    check(
        &[s(501, "answer").ack(101), c(101, "ask").ack(507)],
        &format!("{mid} <answer >ask close CaptureEnded"),
    );
    check(
        &[c(101, "ask").ack(501), s(501, "answer").ack(104)],
        &format!("{mid} >ask <answer close CaptureEnded"),
    );
    // An older segment comes next.
    let older = [c(104, "two").ack(501), c(101, "one").ack(501), s(501, "answer").ack(107)];
    check(&older, &format!("{mid} >one >two <answer close CaptureEnded"));
    // Nothing comes next.
    check(&[c(101, "ask").ack(501)], &format!("{mid} >ask close CaptureEnded"));
    check(&[c(101, "").ack(501)], &format!("{mid} close CaptureEnded"));
    // A keep-alive comes first.
    check(&[c(100, "\0").ack(501), c(101, "ask").ack(501)], &format!("{mid} >ask close CaptureEnded"));
    // What came before the capture is no gap; what is lost within it is.
    let lossy = [s(501, "").ack(50), c(101, "ask").ack(501), s(501, "answer").ack(104), s(510, "x").ack(104)];
    check(&lossy, &format!("{mid} >ask <answer <(3) <x close CaptureEnded"));
    // FIN and nothing else.
    check(&[c(104, "").ack(501).fin(), s(501, "").ack(105).fin()], &format!("{mid} close Finished"));
    // Half a handshake.
    check(&[s(500, "").syn().ack(101), c(101, "ask").ack(501)], "open 502 Handshake >ask close CaptureEnded");
    check(&[c(100, "").syn(), c(101, "ask").ack(501)], "open 502 SynOnly >ask close CaptureEnded");
    check(&[s(500, "").syn().ack(101), c(100, "").syn()], "open 502 Handshake close CaptureEnded");
}

#[test]
fn who_is_the_server() {
    let between = |source, destination| check_between(source, destination);
    assert_eq!(
        between("10.0.0.1:502", "10.0.0.1:1000"),
        "open 502 MidConnection(Port) <hi close CaptureEnded"
    );
    assert_eq!(
        between("10.0.0.1:1000", "10.0.0.1:502"),
        "open 502 MidConnection(Port) >hi close CaptureEnded"
    );
    assert_eq!(
        between("[fd00::1]:40000", "[fd00::1]:80"),
        "open 80 MidConnection(Guess) >hi close CaptureEnded"
    );
    assert_eq!(
        between("[fd00::1]:80", "[fd00::1]:40000"),
        "open 80 MidConnection(Guess) <hi close CaptureEnded"
    );
    // Both are Modbus ports, even of the same host with itself.
    assert_eq!(
        between("10.0.0.1:502", "10.0.0.2:502"),
        "open 502 MidConnection(Guess) <hi close CaptureEnded"
    );
    assert_eq!(
        between("10.0.0.1:502", "10.0.0.1:502"),
        "open 502 MidConnection(Guess) <hi close CaptureEnded"
    );
    // The SYN is stronger than the port.
    let syn = [
        c(100, "").syn().between("10.0.0.1:502", "10.0.0.2:9"),
        c(101, "x").between("10.0.0.1:502", "10.0.0.2:9"),
    ];
    check(&syn, "open 9 SynOnly >x close CaptureEnded");
    // Unless the caller wants it otherwise: then what comes from its port is an answer, whoever connected.
    let by_port = || streams(Limits::default()).with_server_rule(ServerRule::Port);
    assert_eq!(run(by_port(), &syn).0, "open 502 SynOnly <x close CaptureEnded");
    let syn_ack = s(500, "").syn().ack(101).between("10.0.0.2:9", "10.0.0.1:502");
    assert_eq!(run(by_port(), &[syn[0], syn_ack, syn[1]]).0, "open 502 Handshake <x close CaptureEnded");
    assert_eq!(run(by_port(), &OPEN).0, "open 502 Handshake close CaptureEnded");
}

fn check_between(source: &'static str, destination: &'static str) -> String {
    run(streams(Limits::default()), &[c(101, "hi").between(source, destination)]).0
}

#[test]
fn the_same_address_on_both_ends() {
    let (client, server) = ("10.0.0.1:50000", "10.0.0.1:502");
    let steps = [
        c(100, "").syn().between(client, server),
        s(500, "").syn().ack(101).between(server, client),
        c(101, "ask").ack(501).between(client, server),
        s(501, "answer").ack(104).between(server, client),
    ];
    check(&steps, "open 502 Handshake >ask <answer close CaptureEnded");
}

#[test]
fn a_4_tuple_used_again_is_another_connection() {
    let talk = [c(101, "ask").ack(501), s(501, "answer").ack(104)];
    let again = [c(9000, "").syn(), s(7000, "").syn().ack(9001), c(9001, "again").ack(7001)];
    let after = "#2 open 502 Handshake #2 >again #2 close CaptureEnded";
    // After FIN, after RST, and after an end that was not captured.
    let fin = [c(104, "").ack(507).fin(), s(507, "").ack(105).fin(), c(105, "").ack(508)];
    let rst = [c(104, "").ack(507).rst()];
    opened(&[&talk[..], &fin, &again].concat(), &format!(" >ask <answer close Finished {after}"));
    opened(&[&talk[..], &rst, &again].concat(), &format!(" >ask <answer close Reset {after}"));
    opened(&[&talk[..], &again].concat(), &format!(" >ask <answer close Superseded {after}"));
    // Only one direction is captured.
    let alone = [c(9000, "").syn(), c(9001, "again").ack(7001)];
    let after = "close Superseded #2 open 502 SynOnly #2 >again #2 close CaptureEnded";
    opened(&[&talk[..], &alone].concat(), &format!(" >ask <answer {after}"));
    // The SYN was not captured, but the SYN+ACK was.
    let half = [s(7000, "").syn().ack(9001), c(9001, "again").ack(7001)];
    let after = "close Superseded #2 open 502 Handshake #2 >again #2 close CaptureEnded";
    opened(&[&talk[..], &half].concat(), &format!(" >ask <answer {after}"));
    // Nothing of the new handshake was captured.
    let far = [c(90_000_000, "again").ack(7001), s(80_000_000, "yes").ack(90_000_005)];
    opened(
        &[&talk[..], &fin, &far].concat(),
        " >ask <answer close Finished #2 open 502 MidConnection(Earlier) #2 >again #2 <yes #2 close CaptureEnded",
    );
    let far = [c(90_000_000, "lost").ack(7001), c(90_000_004, "again").ack(7001)];
    opened(
        &[&talk[..], &far].concat(),
        " >ask <answer >?Data close Superseded #2 open 502 MidConnection(Earlier) #2 >again #2 close CaptureEnded",
    );
    // The client tries again, with other numbers.
    check(
        &[&[c(5, "").syn()][..], &OPEN, &talk].concat(),
        "open 502 SynOnly close Superseded #2 open 502 Handshake #2 >ask #2 <answer #2 close CaptureEnded",
    );
}

#[test]
fn a_repeated_handshake_is_nothing() {
    opened(&[OPEN[0], OPEN[1], c(101, "ask").ack(501), OPEN[1]], " >ask close CaptureEnded");
}

#[test]
fn stragglers_do_not_open_anything() {
    let fin = [c(101, "bye").ack(501).fin(), s(501, "").ack(105).fin()];
    let late = [
        c(101, "bye").ack(501).fin(),
        s(501, "").ack(105).fin(),
        c(105, "").ack(502),
        s(502, "").ack(105).rst(),
    ];
    opened(&[&fin[..], &late].concat(), " >bye close Finished");
    // The answer was under way when the client broke off.
    let rst = [c(101, "ask").ack(501), c(104, "").ack(501).rst(), s(501, "answer").ack(104)];
    opened(&rst, " >ask close Reset");
    check(&[c(101, "").ack(501).rst()], "");
}

#[test]
fn refused() {
    check(&[c(100, "").syn(), s(0, "").ack(101).rst()], "open 502 SynOnly close Refused");
    check(&[c(100, "").syn(), c(100, "").syn()], "open 502 SynOnly close CaptureEnded");
    opened(&[s(501, "").ack(101).rst()], " close Reset");
}

#[test]
fn forgeries_do_not_blind() {
    // A SYN that nobody goes along with; the server even answers that it has another connection.
    let syn = [c(9000, "").syn(), s(501, "").ack(101), c(101, "ask").ack(501), s(501, "answer").ack(104)];
    opened(&syn, " >?Syn >ask <answer close CaptureEnded");
    let syn_ack = [s(9000, "").syn().ack(101), c(101, "ask").ack(501), s(501, "answer").ack(104)];
    opened(&syn_ack, " <?Syn >ask <answer close CaptureEnded");
    // A RST far outside, and one that is stale.
    let rst = [c(101, "ask").ack(501), c(90_000_000, "").rst(), c(99, "").rst(), s(501, "answer").ack(104)];
    opened(&rst, " >ask >?Reset >?Reset <answer close CaptureEnded");
    // A RST that fits, after which its sender goes on: the connection lives.
    let rst = [c(101, "ask").ack(501), c(104, "").rst(), c(104, "more").ack(501)];
    opened(&rst, " >ask close Reset #2 open 502 MidConnection(Earlier) #2 >more #2 close CaptureEnded");
    // Bytes far outside, once; bytes behind the FIN, and a FIN before bytes already seen.
    let data = [c(90_000_000, "evil").ack(501), c(101, "ask").ack(501), c(90_000_004, "evil").ack(501)];
    opened(&data, " >?Data >ask >?Data close CaptureEnded");
    let fin = [c(101, "bye").ack(501).fin(), c(104, "evil").ack(501), c(101, "bye+evil").ack(501)];
    opened(&fin, " >bye >?Data close CaptureEnded");
    let fin = [c(101, "ask").ack(501), c(102, "").ack(501).fin(), c(104, "more").ack(501)];
    opened(&fin, " >ask >more close CaptureEnded");
    let fin = [c(104, "evil").ack(501), c(103, "").ack(501).fin(), c(101, "no").ack(501)];
    opened(&fin, " >no close CaptureEnded");
}

#[test]
fn what_the_snap_length_cut_is_a_gap() {
    opened(
        &[c(101, "as").missing(1).ack(501), c(104, "more").ack(501)],
        " >as >(1) >more close CaptureEnded",
    );
    opened(&[c(101, "").missing(3).ack(501), s(501, "answer").ack(104)], " >(3) <answer close CaptureEnded");
    let early = [c(104, "mo").missing(2).ack(501), c(108, "!").ack(501), c(101, "ask").ack(501)];
    opened(&early, " >ask >mo >(2) >! close CaptureEnded");
    let early = [c(104, "").missing(2).ack(501), c(101, "ask").ack(501), c(106, "!").ack(501)];
    opened(&early, " >ask >(2) >! close CaptureEnded");
    // Another segment has what was cut off.
    let filled = [c(104, "mo").missing(2).ack(501), c(106, "re").ack(501), c(101, "ask").ack(501)];
    opened(&filled, " >ask >mo >re close CaptureEnded");
    // Mid-connection, at once.
    check(&[c(101, "as").missing(1).ack(501)], "open 502 MidConnection(Port) >as >(1) close CaptureEnded");
    // The same again.
    opened(
        &[c(101, "as").missing(1).ack(501), c(101, "as").missing(1).ack(501)],
        " >as >(1) close CaptureEnded",
    );
}

#[test]
fn bytes_on_a_syn() {
    let steps = [c(100, "ask").syn(), s(500, "").syn().ack(104), s(501, "answer").ack(104)];
    check(&steps, "open 502 SynOnly >ask <answer close CaptureEnded");
}

#[test]
fn the_one_idle_for_longest_goes() {
    let clients = ["10.0.0.1:1000", "10.0.0.2:1000", "10.0.0.3:1000"];
    let from = |client: usize, sequence| c(sequence, "hi").ack(1).between(clients[client], "10.0.1.1:502");
    let steps = [from(0, 1), from(1, 1), from(0, 3), from(2, 1), from(0, 5)];
    let limits = Limits { connections: 2, ..Limits::default() };
    let (told, after) = run(streams(limits), &steps);
    let opening = "open 502 MidConnection(Port)";
    assert_eq!(
        told,
        format!(
            "{opening} >hi >hi #2 {opening} #2 >hi #2 close Evicted >hi \
             #3 {opening} #3 >hi #3 close CaptureEnded close CaptureEnded"
        )
    );
    assert_eq!((after.counters().evicted, after.counters().connections), (1, 3));

    let idle = [from(0, 1), from(1, 1).after(3600), from(1, 3).after(1)];
    let (told, after) = run(streams(Limits::default()), &idle);
    assert_eq!(told, format!("#2 {opening} #2 >hi #2 >hi {opening} >hi close Idle #2 close CaptureEnded"));
    assert_eq!(after.counters().idle, 1);
}

#[test]
fn vlans_tell_connections_apart_if_wanted() {
    let frame = |vlan: u16, sequence: u32| {
        let mut talk =
            port502_capture::synth::Conversation::v4(CLIENT.parse().unwrap(), SERVER.parse().unwrap());
        talk.vlans(&[vlan]).sequences(sequence, 500).to_server(b"ask");
        talk.into_frames().remove(0)
    };
    for (key, want) in [(VlanKey::Separate, 2), (VlanKey::Ignore, 1)] {
        let mut streams = streams(Limits::default()).with_vlan_key(key);
        let mut vlans = Vec::new();
        let mut sink = |event: Event<'_>| {
            if let Event::Stream(event) = event
                && let StreamEventKind::Opened { vlans: tags, .. } = event.kind
            {
                vlans.extend(tags.ids());
            }
        };
        for frame in [frame(7, 100), frame(8, 103)] {
            streams.push(frame.at, &frame.slice().unwrap(), &mut sink);
        }
        streams.finish(&mut sink);
        assert_eq!(streams.counters().connections, want);
        assert_eq!(vlans, if want == 2 { vec![7, 8] } else { vec![7] });
    }
}

#[test]
fn data_has_the_time_of_its_packet() {
    let at = |seconds| Timestamp::from_seconds(seconds, 0);
    let segment = |sequence, payload: &'static [u8]| Segment {
        source: CLIENT.parse().unwrap(),
        destination: SERVER.parse().unwrap(),
        sequence,
        acknowledgment: 1,
        flags: TcpFlags::ACK,
        payload,
    };
    let mut streams = streams(Limits::default());
    let mut times = Vec::new();
    let mut sink = |event: Event<'_>| {
        if let Event::Stream(event) = event {
            times.push((event.at.nanos() / 1_000_000_000, matches!(event.kind, StreamEventKind::Data(_))));
        }
    };
    for (time, sequence, payload) in [(1, 100, b"aa"), (2, 102, b"bb"), (3, 106, b"dd"), (4, 104, b"cc")] {
        let frame = segment(sequence, payload).frame(at(time)).unwrap();
        let packet = frame.slice().unwrap();
        let macs = Macs { source: [2, 0, 0, 0, 0, 9], destination: [2, 0, 0, 0, 0, 3] };
        assert_eq!(packet.macs, Some(macs));
        streams.push(frame.at, &packet, &mut sink);
    }
    streams.finish(&mut sink);
    let want = [(2, false), (1, true), (2, true), (4, true), (3, true), (4, false)];
    assert_eq!(times, want);
}

#[test]
fn datagrams_pass_with_their_direction() {
    let ends: [SocketAddr; 2] = [CLIENT.parse().unwrap(), SERVER.parse().unwrap()];
    let mut streams = streams(Limits::default());
    let mut told = Vec::new();
    for (source, destination) in
        [(ends[0], ends[1]), (ends[1], ends[0]), (ends[0], ends[0]), (ends[1], ends[1])]
    {
        let frame = port502_capture::synth::udp(Timestamp::EPOCH, source, destination, b"ask").unwrap();
        streams.push(frame.at, &frame.slice().unwrap(), &mut |event| {
            let Event::Datagram(datagram) = event else { panic!("{event:?}") };
            assert_eq!(datagram.payload, b"ask");
            told.push(datagram.direction);
        });
    }
    assert_eq!(told, [Some(Direction::ToServer), Some(Direction::ToClient), None, None]);
}
