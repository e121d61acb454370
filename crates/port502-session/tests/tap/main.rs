//! What a tap tells of conversations, as text: one line an observation.
#![allow(unreachable_pub, reason = "the fuzz target has the law as a public module")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml knows the test functions, not what they call"
)]

mod corpus;
mod law;

use core::time::Duration;

use port502_session::Instant;
use port502_session::tap::Direction::{ToClient, ToServer};
use port502_session::tap::{
    ANSWER_WITHIN, Direction, EXCUSED_MAX, EXCUSED_WITHIN, FRAME_MAX, Message, OPEN_BYTES_MAX, OPEN_MAX,
    Observation, REUSED_AFTER, SEARCHED_MAX, Start, Tap,
};
use proptest::prelude::*;

/// A frame of unit 1: transaction id, then the PDU.
fn frame(transaction: u16, pdu: &[u8]) -> Vec<u8> {
    frame_of(transaction, 1, pdu)
}

fn frame_of(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let [t1, t0] = transaction.to_be_bytes();
    let [l1, l0] = u16::try_from(pdu.len() + 1).unwrap().to_be_bytes();
    [&[t1, t0, 0, 0, l1, l0, unit], pdu].concat()
}

/// Reads one holding register at `address`.
fn read(transaction: u16, address: u8) -> Vec<u8> {
    frame(transaction, &[3, 0, address, 0, 1])
}

/// The answer: one register.
fn answer(transaction: u16, value: u8) -> Vec<u8> {
    frame(transaction, &[3, 2, 0, value])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn describe(observation: &Observation<'_>) -> String {
    let half = |message: Option<Message<'_>>| {
        message.map_or("?".to_owned(), |m| format!("u{} {}{}", m.unit, hex(m.pdu), list(m.anomalies)))
    };
    fn list(anomalies: port502_wire::Anomalies) -> String {
        let names: Vec<_> = anomalies.iter().map(port502_wire::Anomaly::name).collect();
        if names.is_empty() { String::new() } else { format!(" [{}]", names.join(" ")) }
    }
    match observation {
        Observation::Transaction(t) => {
            let lost = if t.may_be_lost { " lost?" } else { "" };
            let (request, response) = (half(t.request), half(t.response));
            format!("t{} {request} -> {response};{}{lost}", t.transaction, list(t.anomalies))
        }
        Observation::Skipped(s) => format!("{:?} skipped {}{}", s.direction, s.bytes, list(s.anomalies)),
    }
}

/// A tap and what it told.
struct Bench {
    tap: Tap,
    now: Instant,
    told: Vec<String>,
}

impl Bench {
    fn new(start: Start) -> Self {
        Bench { tap: Tap::new(start), now: Instant::ZERO + Duration::from_secs(1000), told: Vec::new() }
    }

    fn segment(&mut self, direction: Direction, bytes: &[u8]) -> &mut Self {
        let told = &mut self.told;
        self.tap.observe(direction, bytes, self.now, &mut |o| told.push(describe(&o)));
        self
    }

    fn client_sends(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.segment(ToServer, bytes.as_ref())
    }

    fn server_sends(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.segment(ToClient, bytes.as_ref())
    }

    fn gap(&mut self, direction: Direction) -> &mut Self {
        let told = &mut self.told;
        self.tap.gap(direction, self.now, &mut |o| told.push(describe(&o)));
        self
    }

    fn wait(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        self
    }

    fn finish(&mut self) -> Vec<String> {
        let told = &mut self.told;
        self.tap.finish(&mut |o| told.push(describe(&o)));
        std::mem::take(&mut self.told)
    }
}

#[track_caller]
fn check(bench: &mut Bench, want: &[&str]) {
    assert_eq!(bench.finish(), want);
}

fn handshake() -> Bench {
    Bench::new(Start::Handshake)
}

fn midway() -> Bench {
    Bench::new(Start::Midway)
}

#[test]
fn frames_longer_than_allowed_are_read_all_the_same() {
    // UMAS: one byte more than a PDU may have, in both directions, and then the longest that is read.
    for len in [254, FRAME_MAX - 7] {
        let long = frame(1, &[&[90][..], &vec![7; len - 1]].concat());
        let pdu = hex(&long[7..]);
        let both = format!("t1 u1 {pdu} [too-long] -> u1 {pdu} [too-long];");
        check(handshake().client_sends(&long).server_sends(&long), &[&both]);
        let mut bench = handshake();
        for piece in long.chunks(100) {
            bench.client_sends(piece).server_sends(piece);
        }
        check(&mut bench, &[&both]);
    }
    // They use up what may be open sooner.
    let mut bench = handshake();
    let long = FRAME_MAX - 7;
    for transaction in 0..=OPEN_BYTES_MAX / long {
        bench.client_sends(frame(u16::try_from(transaction).unwrap(), &vec![90; long]));
    }
    assert_eq!(bench.tap.open_requests(), OPEN_BYTES_MAX / long);
    assert!(bench.told[0].ends_with("[too-many-open]"));
}

/// The first bytes of HTTP: no length in it can be one of a frame.
const HTTP: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

#[test]
fn answers_find_their_requests() {
    check(
        handshake().client_sends(read(1, 5)).server_sends(answer(1, 9)),
        &["t1 u1 0300050001 -> u1 03020009;"],
    );
    // Out of order, and several in a segment.
    check(
        handshake()
            .client_sends([read(1, 5), read(2, 6), read(3, 7)].concat())
            .server_sends([answer(3, 3), answer(1, 1)].concat())
            .server_sends(answer(2, 2)),
        &[
            "t3 u1 0300070001 -> u1 03020003;",
            "t1 u1 0300050001 -> u1 03020001;",
            "t2 u1 0300060001 -> u1 03020002;",
        ],
    );
    // An exception is an answer; unit 0 is no broadcast on TCP; an unknown function is kept whole.
    check(
        handshake()
            .client_sends(read(1, 5))
            .server_sends(frame(1, &[0x83, 2]))
            .client_sends(frame_of(2, 0, &[6, 0, 1, 0, 2]))
            .server_sends(frame_of(2, 0, &[6, 0, 1, 0, 2]))
            .client_sends(frame(3, &[90, 1, 2, 3]))
            .server_sends(frame(3, &[90, 254])),
        &["t1 u1 0300050001 -> u1 8302;", "t2 u0 0600010002 -> u0 0600010002;", "t3 u1 5a010203 -> u1 5afe;"],
    );
    // What is still open at the end.
    check(
        handshake().client_sends(read(1, 5)).client_sends(read(2, 6)).server_sends(answer(2, 1)),
        &["t2 u1 0300060001 -> u1 03020001;", "t1 u1 0300050001 -> ?;"],
    );
}

#[test]
fn what_does_not_fit_is_named() {
    let rows: &[(&[u8], u8, &str)] = &[
        (&[3, 2, 0, 9], 2, "t1 u1 0300050001 -> u2 03020009; [unit-mismatch]"),
        (&[4, 2, 0, 9], 1, "t1 u1 0300050001 -> u1 04020009; [function-mismatch]"),
        (&[0x84, 2], 1, "t1 u1 0300050001 -> u1 8402; [function-mismatch]"),
        (&[3, 4, 0, 9, 0, 9], 1, "t1 u1 0300050001 -> u1 030400090009; [quantity-mismatch]"),
        (&[3, 3, 0, 9], 1, "t1 u1 0300050001 -> u1 03030009 [byte-count];"),
        (&[0x83, 99], 1, "t1 u1 0300050001 -> u1 8363 [exception-code];"),
        (&[0x83, 99, 0], 1, "t1 u1 0300050001 -> u1 836300 [trailing exception-code];"),
        (&[0x83], 1, "t1 u1 0300050001 -> u1 83 [truncated];"),
    ];
    for (pdu, unit, want) in rows {
        check(handshake().client_sends(read(1, 5)).server_sends(frame_of(1, *unit, pdu)), &[want]);
    }
    check(
        handshake().client_sends(frame(1, &[6, 0, 1, 0, 2])).server_sends(frame(1, &[6, 0, 1, 0, 3])),
        &["t1 u1 0600010002 -> u1 0600010003; [echo-mismatch]"],
    );
    // The request is wrong, the refusal is right.
    check(
        handshake().client_sends(frame(1, &[3, 0, 0, 0, 0])).server_sends(frame(1, &[0x83, 3])),
        &["t1 u1 0300000000 [quantity] -> u1 8303;"],
    );
    check(handshake().client_sends(frame(1, &[0x80])), &["t1 u1 80 [function] -> ?;"]);
}

#[test]
fn answers_that_nobody_waits_for() {
    // Nobody asked.
    check(handshake().server_sends(answer(1, 9)), &["t1 ? -> u1 03020009; [unsolicited]"]);
    // A second answer, the same or another.
    check(
        handshake().client_sends(read(1, 5)).server_sends(answer(1, 9)).server_sends(answer(1, 8)),
        &["t1 u1 0300050001 -> u1 03020009;", "t1 ? -> u1 03020008; [duplicate]"],
    );
    // A capture that begins midway has not seen the request; it says nothing about the server.
    check(midway().server_sends(answer(1, 9)), &["t1 ? -> u1 03020009; lost?"]);
    // As long as it shows no request, there is no saying that there are none.
    let mut one_sided = midway();
    for transaction in 0..100 {
        one_sided.server_sends(answer(transaction, 9));
    }
    assert!(one_sided.finish().iter().all(|line| line.ends_with("; lost?")));
}

#[test]
fn excuses_end() {
    let excused = |bench: &mut Bench| bench.finish().iter().filter(|line| line.ends_with("; lost?")).count();
    // By number,
    for bench in [&mut midway(), handshake().gap(ToServer)] {
        bench.client_sends(read(1000, 5)).server_sends(answer(1000, 9));
        for transaction in 0..100 {
            bench.server_sends(answer(transaction, 9));
        }
        assert_eq!(excused(bench), usize::from(EXCUSED_MAX));
    }
    // and by time.
    for (late, want) in [(Duration::ZERO, 1), (Duration::from_nanos(1), 0)] {
        let mut bench = midway();
        bench.client_sends(read(1, 5)).wait(EXCUSED_WITHIN).wait(late).server_sends(answer(7, 9));
        assert_eq!(excused(&mut bench), want);
    }
}

#[test]
fn a_transaction_id_used_again() {
    // Both are sent at once, and answered in order.
    check(
        handshake()
            .client_sends(read(0, 5))
            .client_sends(read(0, 6))
            .server_sends(answer(0, 1))
            .server_sends(answer(0, 2)),
        &["t0 u1 0300050001 -> u1 03020001;", "t0 u1 0300060001 -> u1 03020002; [transaction-reused]"],
    );
    // The same, answered out of order: the functions tell.
    check(
        handshake()
            .client_sends(read(0, 5))
            .client_sends(frame(0, &[1, 0, 0, 0, 1]))
            .server_sends(frame(0, &[1, 1, 1]))
            .server_sends(answer(0, 1)),
        &["t0 u1 0100000001 -> u1 010101; [transaction-reused]", "t0 u1 0300050001 -> u1 03020001;"],
    );
    // The client stopped waiting: no answer may slip by one from here on.
    let mut bench = handshake();
    bench.client_sends(read(0, 5)).wait(REUSED_AFTER).client_sends(read(0, 5)).server_sends(answer(0, 1));
    bench.client_sends(read(0, 6)).server_sends(answer(0, 2));
    check(
        &mut bench,
        &[
            "t0 u1 0300050001 -> ?;",
            "t0 u1 0300050001 -> u1 03020001; [transaction-reused]",
            "t0 u1 0300060001 -> u1 03020002;",
        ],
    );
    // An id that is free again is not reused.
    check(
        handshake().client_sends(read(0, 5)).server_sends(answer(0, 1)).client_sends(read(0, 5)),
        &["t0 u1 0300050001 -> u1 03020001;", "t0 u1 0300050001 -> ?;"],
    );
}

/// Clients that use one id for all requests are no suspects when the capture loses bytes.
#[test]
fn one_transaction_id_for_all_and_a_loss() {
    // A request was lost.
    let mut bench = handshake();
    bench.client_sends(read(0, 5)).server_sends(answer(0, 1)).wait(REUSED_AFTER).gap(ToServer);
    bench.server_sends(answer(0, 2)).client_sends(read(0, 7)).server_sends(answer(0, 3));
    check(
        &mut bench,
        &[
            "t0 u1 0300050001 -> u1 03020001;",
            "t0 ? -> u1 03020002; lost?",
            "t0 u1 0300070001 -> u1 03020003;",
        ],
    );
    // A response was lost: the client has it, and goes on.
    let mut bench = handshake();
    bench.client_sends(read(0, 5)).gap(ToClient).client_sends(read(0, 6)).server_sends(answer(0, 2));
    check(&mut bench, &["t0 u1 0300050001 -> ?; lost?", "t0 u1 0300060001 -> u1 03020002;"]);
    // A second answer is one, whenever the capture began.
    let mut bench = midway();
    bench.client_sends(read(0, 5)).server_sends(answer(0, 1)).server_sends(answer(0, 2));
    check(&mut bench, &["t0 u1 0300050001 -> u1 03020001;", "t0 ? -> u1 03020002; [duplicate]"]);
}

#[test]
fn nothing_is_waited_for_without_end() {
    let mut bench = handshake();
    for transaction in 0..=OPEN_MAX {
        bench.client_sends(read(u16::try_from(transaction).unwrap(), 5));
    }
    assert_eq!(bench.told, ["t0 u1 0300050001 -> ?; [too-many-open]"]);
    assert_eq!(bench.tap.open_requests(), OPEN_MAX);
    // Late, not unsolicited; the next one is a second.
    bench.told.clear();
    bench.server_sends(answer(0, 1)).server_sends(answer(0, 2));
    assert_eq!(bench.told, ["t0 ? -> u1 03020001;", "t0 ? -> u1 03020002; [duplicate]"]);
    assert_eq!(bench.finish().len(), 2 + OPEN_MAX);

    // Where answers were lost, open requests say nothing about the client.
    bench = handshake();
    bench.client_sends(read(0, 5)).gap(ToClient);
    for transaction in 1..=OPEN_MAX {
        bench.client_sends(read(u16::try_from(transaction).unwrap(), 5));
    }
    assert_eq!(bench.told, ["t0 u1 0300050001 -> ?; lost?"]);

    check(
        handshake()
            .client_sends(read(1, 5))
            .wait(ANSWER_WITHIN * 2)
            .client_sends(read(2, 6))
            .server_sends(answer(1, 1)),
        &["t1 u1 0300050001 -> ?;", "t1 ? -> u1 03020001;", "t2 u1 0300060001 -> ?;"],
    );

    bench = handshake();
    bench.client_sends(read(1, 5)).wait(Duration::from_secs(2)).client_sends(read(2, 6)).server_sends(HTTP);
    let (now, told) = (bench.now, &mut bench.told);
    bench.tap.give_up(now, &mut |o| told.push(describe(&o)));
    assert_eq!(bench.told, ["t1 u1 0300050001 -> ?; lost?"]);
    bench.told.clear();
    let told = &mut bench.told;
    bench.tap.give_up(now + Duration::from_nanos(1), &mut |o| told.push(describe(&o)));
    assert_eq!(bench.told, ["ToClient skipped 18 [not-modbus]", "t2 u1 0300060001 -> ?; lost?"]);
    // The stretch goes on, and so does its name.
    bench.told.clear();
    check(bench.server_sends(HTTP), &["ToClient skipped 18 [not-modbus]"]);
}

#[test]
fn foreign_bytes_are_passed_over_and_told_once() {
    let foreign: &[u8] = &[0, 1, 0, 0x10, 0, 6, 10, 1, 0, 1, 0, 3];
    // By their length, where it can be one; the next frame may be in the same segment.
    check(
        handshake().client_sends([foreign, foreign, &read(1, 5)].concat()).server_sends(answer(1, 9)),
        &["ToServer skipped 24 [protocol-id]", "t1 u1 0300050001 -> u1 03020009;"],
    );
    // Else up to where a segment begins with a frame.
    for (rubbish, anomaly) in [
        (HTTP, "not-modbus"),
        (&[0, 1, 0, 0, 0, 0, 1, 3][..], "frame-length"),
        (&[0, 1, 0, 0, 0, 1, 1, 3], "frame-length"),
        (&[0, 1, 0, 0, 4, 251, 1, 3], "frame-length"),
    ] {
        let mut bench = handshake();
        bench.client_sends(rubbish).client_sends(rubbish).client_sends([read(1, 5), read(2, 6)].concat());
        bench.server_sends(answer(1, 9)).server_sends(answer(2, 9));
        let skipped = format!("ToServer skipped {} [{anomaly}]", 2 * rubbish.len());
        check(
            &mut bench,
            &[&skipped, "t1 u1 0300050001 -> u1 03020009;", "t2 u1 0300060001 -> u1 03020009;"],
        );
    }
    // A stretch may be of several kinds.
    check(
        handshake().client_sends([0, 1, 0, 0, 0x88, 4, 5]).client_sends(foreign).client_sends(HTTP),
        &["ToServer skipped 37 [protocol-id frame-length not-modbus]"],
    );
    // Stray bytes behind a frame, and the next segment begins with one of its own.
    check(
        handshake()
            .client_sends(read(1, 5))
            .server_sends([&answer(1, 9)[..], &[1, 1, 0x23]].concat())
            .client_sends(read(2, 6))
            .server_sends(answer(2, 8)),
        &[
            "t1 u1 0300050001 -> u1 03020009;",
            "ToClient skipped 3 [not-modbus]",
            "t2 u1 0300060001 -> u1 03020008;",
        ],
    );
    // What the server answers to rubbish is not held against it.
    check(
        handshake().client_sends(HTTP).server_sends(frame(1, &[0x83, 1])),
        &["t1 ? -> u1 8301; lost?", "ToServer skipped 18 [not-modbus]"],
    );
}

#[test]
fn a_loss_is_not_an_attack() {
    let long = frame(2, &[&[3, 100][..], &[0; 100]].concat());
    // Within a frame to the client: its front is dropped, its end too.
    let mut bench = handshake();
    bench.client_sends(read(1, 5)).client_sends(frame(2, &[3, 0, 0, 0, 50])).client_sends(read(3, 7));
    bench.server_sends(&long[..20]).gap(ToClient).server_sends(&long[40..]).server_sends(answer(3, 3));
    check(
        &mut bench,
        &[
            "ToClient skipped 89",
            "t3 u1 0300070001 -> u1 03020003;",
            "t1 u1 0300050001 -> ?; lost?",
            "t2 u1 0300000032 -> ?; lost?",
        ],
    );
    // A request is lost whole: its answer is no attack.
    check(
        handshake()
            .gap(ToServer)
            .client_sends(read(2, 5))
            .server_sends(answer(1, 1))
            .server_sends(answer(2, 2)),
        &["t1 ? -> u1 03020001; lost?", "t2 u1 0300050001 -> u1 03020002;"],
    );
    // The capture begins within a response; then come frames in segments of any size.
    let mut bench = midway();
    bench.server_sends(&long[50..]).client_sends(read(3, 7));
    for byte in answer(3, 3) {
        bench.server_sends([byte]);
    }
    check(&mut bench, &["ToClient skipped 59", "t3 u1 0300070001 -> u1 03020003;"]);
    // Rubbish before a gap is told apart from what the gap costs.
    check(
        handshake().client_sends(HTTP).gap(ToServer).client_sends(&read(1, 5)[3..]).client_sends(read(2, 5)),
        &["ToServer skipped 18 [not-modbus]", "ToServer skipped 9", "t2 u1 0300050001 -> ?;"],
    );
    // Half a frame at the end of the capture.
    check(handshake().client_sends(&read(1, 5)[..7]), &["ToServer skipped 7"]);
    // A stream that never shows a frame is none of Modbus, however the capture began.
    let mut bench = midway();
    for _ in 0..SEARCHED_MAX {
        bench.client_sends(HTTP);
    }
    let bytes = HTTP.len() * usize::from(SEARCHED_MAX);
    check(&mut bench.tap_clone(), &[&format!("ToServer skipped {bytes}")]);
    check(bench.client_sends(HTTP), &[&format!("ToServer skipped {} [not-modbus]", bytes + HTTP.len())]);
}

#[test]
fn the_end_of_a_capture_is_not_that_of_the_conversation() {
    for (late, want) in [(Duration::ZERO, " lost?"), (Duration::from_nanos(1), "")] {
        let mut bench = handshake();
        bench.client_sends(read(1, 5)).wait(ANSWER_WITHIN).wait(late);
        let (now, told) = (bench.now, &mut bench.told);
        bench.tap.interrupt(now, &mut |o| told.push(describe(&o)));
        assert_eq!(bench.told, [format!("t1 u1 0300050001 -> ?;{want}")]);
    }
}

#[test]
fn what_looks_like_a_frame_midway() {
    // Zeros of a register block, then what could be a header with a function that does not go with its length.
    let looks: &[u8] = &[0, 0, 0, 0, 0, 7, 1, 3, 0, 0, 0, 1, 0, 0, 0, 0];
    check(
        midway().client_sends(looks).client_sends(read(1, 5)),
        &["ToServer skipped 16", "t1 u1 0300050001 -> ?;"],
    );
    // A device whose every answer has a wrong byte count is seen all the same: the segment ends with its frame.
    check(midway().server_sends(frame(1, &[3, 7, 0, 1])), &["t1 ? -> u1 03070001 [byte-count]; lost?"]);
    // But not if a request has the function of a response.
    check(midway().client_sends([frame(1, &[0x83, 1]), vec![0]].concat()), &["ToServer skipped 10"]);
}

#[test]
fn times_are_those_of_the_last_byte() {
    let mut tap = Tap::new(Start::Handshake);
    let request = read(1, 5);
    let response = answer(1, 5);
    let mut times = Vec::new();
    let mut sink = |observation: Observation<'_>| {
        if let Observation::Transaction(t) = observation {
            times.push((t.at().as_nanos(), t.response.unwrap().at.as_nanos(), t.unit().0));
        }
    };
    tap.observe(ToServer, &request[..5], Instant::from_nanos(1), &mut sink);
    tap.observe(ToServer, &request[5..], Instant::from_nanos(2), &mut sink);
    tap.observe(ToClient, &response[..8], Instant::from_nanos(3), &mut sink);
    tap.observe(ToClient, &response[8..], Instant::from_nanos(4), &mut sink);
    assert_eq!(times, [(2, 4, 1)]);
}

impl Bench {
    fn tap_clone(&self) -> Bench {
        Bench { tap: self.tap.clone(), now: self.now, told: self.told.clone() }
    }
}

/// A frame, or bytes of another protocol that say how long they are: nothing here depends on segments.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let pdu = prop_oneof![
        Just(vec![3, 0, 5, 0, 1]),
        Just(vec![3, 2, 0, 7]),
        Just(vec![0x83, 2]),
        prop::collection::vec(any::<u8>(), 1..253),
    ];
    (0..4u16, 0..2u8, pdu, prop_oneof![9 => Just(0u8), 1 => any::<u8>()]).prop_map(
        |(transaction, unit, pdu, protocol)| {
            let mut frame = frame_of(transaction, unit, &pdu);
            frame[3] = protocol;
            frame
        },
    )
}

fn any_direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(ToServer), Just(ToClient)]
}

/// Quiet on disk: what failed is printed.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_segmentation_tells_the_same(
        runs in prop::collection::vec((any_direction(), prop::collection::vec(any_frame(), 0..6)), 0..12),
        cuts in prop::collection::vec(1..40usize, 1..8),
        tail in prop::collection::vec(0u8..1, 0..5),
    ) {
        let (mut whole, mut cut) = (handshake(), handshake());
        let mut sizes = cuts.iter().copied().cycle();
        for (direction, frames) in &runs {
            let bytes = frames.concat();
            whole.segment(*direction, &bytes);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                cut.segment(*direction, piece);
                rest = more;
            }
        }
        whole.client_sends(&tail);
        for byte in tail {
            cut.client_sends([byte]);
        }
        prop_assert_eq!(whole.finish(), cut.finish());
    }

    #[test]
    fn the_law_holds(
        first: u8,
        steps in prop::collection::vec(
            (any::<u8>(), prop_oneof![
                any_frame(),
                prop::collection::vec(any::<u8>(), 0..60),
                // What is nearly a frame.
                (any_frame(), 0..12usize, any::<u8>()).prop_map(|(mut frame, at, byte)| {
                    let at = at.min(frame.len() - 1);
                    frame[at] = byte;
                    frame
                }),
            ]),
            0..60,
        ),
    ) {
        let mut bytes = vec![first];
        for (what, segment) in steps {
            let segment = &segment[..segment.len().min(255)];
            bytes.extend([what, u8::try_from(segment.len()).unwrap()]);
            bytes.extend(segment);
        }
        law::tap(&bytes);
    }
}
