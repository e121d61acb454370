//! A lane between clients and a simulated device, in simulated time.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use port502_session::server::Context;
use port502_session::target::Target;
use port502_wire::UnitId;
use port502_wire::mbap::{self, Decoder, Received, TransactionId};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::queue::Queue;
use super::request::Asked;
use super::upstream::{Link, TestDial};
use super::*;
use crate::server::{Caller, Inbox, Service as _};

const MS: Duration = Duration::from_millis(1);
const PATH: u8 = 0x0A;
const SILENT: u8 = 0x0B;

/// What a simulated device does with a request: bytes, and when they come.
type Act = dyn Fn(&mbap::Frame<'_>) -> Vec<(Duration, Vec<u8>)> + Send + Sync;

/// A frame that answers `frame`.
fn answer(frame: &mbap::Frame<'_>, pdu: &[u8]) -> Vec<u8> {
    [&mbap::header(frame.transaction, frame.unit, pdu.len())[..], pdu].concat()
}

/// What a register of a unit holds, unless written.
fn value(unit: UnitId, address: u16) -> u16 {
    address.wrapping_mul(31) ^ u16::from(unit.get()) << 8 ^ 0xA5
}

/// The response to a read of registers.
fn registers(unit: UnitId, pdu: &[u8]) -> Vec<u8> {
    let (start, count) = (u16::from_be_bytes([pdu[1], pdu[2]]), u16::from_be_bytes([pdu[3], pdu[4]]));
    let values = (0..count).flat_map(|n| value(unit, start + n).to_be_bytes());
    [pdu[0], u8::try_from(count * 2).unwrap()].into_iter().chain(values).collect()
}

fn read(start: u16, count: u16) -> Vec<u8> {
    [&[3][..], &start.to_be_bytes(), &count.to_be_bytes()].concat()
}

fn at_once(frame: &mbap::Frame<'_>) -> Vec<(Duration, Vec<u8>)> {
    vec![(MS, answer(frame, &registers(frame.unit, frame.pdu)))]
}

/// The device's side of one connection. An empty piece of bytes closes it.
async fn device(stream: DuplexStream, act: Arc<Act>) {
    let (mut read, mut write) = tokio::io::split(stream);
    let (sender, mut pieces) = mpsc::unbounded_channel::<Vec<u8>>();
    let writer = tokio::spawn(async move {
        while let Some(piece) = pieces.recv().await {
            if piece.is_empty() || write.write_all(&piece).await.is_err() {
                let _ = write.shutdown().await;
                return;
            }
        }
    });
    let (mut decoder, mut room) = (Decoder::new(), [0; 4096]);
    loop {
        let n = tokio::select! {
            n = read.read(&mut room) => n.unwrap_or(0),
            () = sender.closed() => 0,
        };
        if n == 0 {
            writer.abort();
            return;
        }
        let mut bytes = &room[..n];
        while let Ok(Some(Received::Frame(frame))) = decoder.next(&mut bytes) {
            for (after, piece) in act(&frame) {
                let sender = sender.clone();
                tokio::spawn(async move {
                    sleep(after).await;
                    let _ = sender.send(piece);
                });
            }
        }
    }
}

struct Plant {
    lane: Lane,
    connects: Arc<AtomicUsize>,
}

/// A lane to a device that acts like this.
fn plant(
    options: LaneOptions,
    act: impl Fn(&mbap::Frame<'_>) -> Vec<(Duration, Vec<u8>)> + Send + Sync + 'static,
) -> Plant {
    let (act, connects): (Arc<Act>, _) = (Arc::new(act), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&connects);
    let dial = move || {
        count.fetch_add(1, Relaxed);
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(device(theirs, Arc::clone(&act)));
        Box::pin(async { Ok(ours) }) as TestDial
    };
    let target: Target = "tcp://simulated".parse().unwrap();
    Plant { lane: Lane::over("simulated", target, options, Link::Test(Box::new(dial)), Vec::new()), connects }
}

struct Peer {
    inbox: Arc<Inbox>,
    seat: Seat,
    next: u16,
    come: HashMap<u16, (UnitId, Vec<u8>)>,
}

impl Peer {
    fn of(lane: &Lane) -> Peer {
        let inbox = Arc::<Inbox>::default();
        Peer { seat: lane.seat(&inbox), inbox, next: 0, come: HashMap::new() }
    }

    /// Puts a request aside, for a burst; its transaction id.
    fn put(&mut self, unit: u8, pdu: &[u8]) -> u16 {
        self.next = self.next.wrapping_add(1);
        let transaction = TransactionId(self.next);
        // Clients call the units by other names, 100 higher.
        self.seat.ask(&Ask { transaction, asked: UnitId(unit + 100), unit: UnitId(unit), pdu });
        self.next
    }

    /// Puts a request in, and what was put aside before it; its transaction id.
    fn submit(&mut self, unit: u8, pdu: &[u8]) -> u16 {
        let id = self.put(unit, pdu);
        self.seat.send();
        id
    }

    /// The answer to a request, which is known to come from the unit that was asked.
    async fn answer(&mut self, id: u16, unit: u8) -> Vec<u8> {
        self.seat.send();
        while !self.come.contains_key(&id) {
            let frames = poll_fn(|task| match self.inbox.take_one(task.waker()) {
                Some(frames) => Poll::Ready(frames),
                None => Poll::Pending,
            });
            let frames =
                timeout(Duration::from_secs(600), frames).await.expect("every request has an answer");
            let (mut decoder, mut bytes) = (Decoder::new(), &frames[..]);
            while let Ok(Some(Received::Frame(frame))) = decoder.next(&mut bytes) {
                let twice = self.come.insert(frame.transaction.0, (frame.unit, frame.pdu.to_vec()));
                assert_eq!(twice, None, "{:?} is answered twice", frame.transaction);
            }
        }
        let (from, pdu) = self.come.remove(&id).unwrap();
        assert_eq!(from, UnitId(unit + 100), "the unit id of the client");
        pdu
    }

    async fn ask(&mut self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        let id = self.submit(unit, pdu);
        self.answer(id, unit).await
    }
}

fn options(in_flight: usize) -> LaneOptions {
    LaneOptions { in_flight, ..LaneOptions::default() }
}

// ---- what becomes of a request ------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn identical_reads_are_asked_once_and_others_each() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let plant = plant(options(1), move |frame| {
        count.fetch_add(1, Relaxed);
        vec![(MS * 10, answer(frame, &registers(frame.unit, frame.pdu)))]
    });
    let mut peers: Vec<Peer> = (0..10).map(|_| Peer::of(&plant.lane)).collect();
    // One goes out, nine wait for the same, and one for something else.
    let ids: Vec<u16> = peers.iter_mut().map(|peer| peer.submit(1, &read(7, 2))).collect();
    let other = peers[9].submit(1, &read(8, 2));
    for (peer, id) in peers.iter_mut().zip(ids) {
        assert_eq!(peer.answer(id, 1).await, registers(UnitId(1), &read(7, 2)));
    }
    assert_eq!(peers[9].answer(other, 1).await, registers(UnitId(1), &read(8, 2)));
    assert_eq!(asked.load(Relaxed), 2);
    assert_eq!(plant.lane.status().coalesced, 9);
    // What goes out later is asked anew: an answer is shared, and not kept.
    assert_eq!(peers[0].ask(1, &read(7, 2)).await, registers(UnitId(1), &read(7, 2)));
    assert_eq!(asked.load(Relaxed), 3);
}

/// Two bursts take a client half the system calls of one answer here and one there, and it asks again as it is answered.
#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_early_waits_for_the_others_of_its_client_on_deep_links_only() {
    for (in_flight, early) in [(16, 0), (15, 1)] {
        let plant = plant(options(in_flight), |frame| {
            vec![(MS * 10, answer(frame, &registers(frame.unit, frame.pdu)))]
        });
        let (mut a, mut b, mut c) = (Peer::of(&plant.lane), Peer::of(&plant.lane), Peer::of(&plant.lane));
        for start in 0..in_flight {
            a.submit(1, &read(u16::try_from(start).unwrap(), 1));
        }
        sleep(MS).await;
        // The link is full. Both share the answer to what is out; one of them wants something else too.
        let (_, ids) = (c.submit(1, &read(0, 1)), [b.submit(1, &read(0, 1)), b.submit(1, &read(100, 1))]);
        sleep(MS * 10).await;
        assert_eq!(c.inbox.take().1, 1, "it waits for nothing else");
        let (frames, settled) = b.inbox.take();
        assert_eq!(settled, early, "{in_flight} in flight");
        b.inbox.put(&mut frames.clone(), settled);
        sleep(MS * 10).await;
        let (mut frames, settled) = b.inbox.take();
        assert_eq!(settled, 2);
        b.inbox.put(&mut frames, settled);
        for (id, start) in ids.into_iter().zip([0, 100]) {
            assert_eq!(b.answer(id, 1).await, registers(UnitId(1), &read(start, 1)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn early_answers_come_when_their_client_is_told_of_anything() {
    // The unit is silent to one of three reads; the link is given up on, or the request has waited for too long.
    let mut options = options(16);
    (options.timeout, options.wait) = (MS * 50, MS * 20);
    let plant = plant(options, |frame| match frame.pdu {
        [_, 1, ..] => Vec::new(),
        _ => vec![(MS * 30, answer(frame, &registers(frame.unit, frame.pdu)))],
    });
    let (mut a, mut b, mut c) = (Peer::of(&plant.lane), Peer::of(&plant.lane), Peer::of(&plant.lane));
    for start in 0..16 {
        a.submit(1, &read(start, 1));
    }
    sleep(MS).await;
    // What has waited for too long is told so when its turn comes.
    let ids = [b.submit(1, &read(0, 1)), b.submit(1, &read(50, 1))];
    assert_eq!(b.answer(ids[0], 1).await, registers(UnitId(1), &read(0, 1)));
    assert_eq!(b.answer(ids[1], 1).await, [0x83, PATH]);
    for start in 0..16 {
        a.submit(1, &read(start, 1));
    }
    sleep(MS * 15).await;
    let ids = [c.submit(1, &read(0, 1)), c.submit(1, &read(0x100, 1))];
    sleep(MS * 16).await;
    // Its turn has come, and nobody knows yet that no answer will: others' answers end the waiting.
    assert_eq!((c.inbox.take().1, plant.lane.status().in_flight), (0, 1));
    a.submit(1, &read(16, 1));
    sleep(MS * 31).await;
    let (mut frames, settled) = c.inbox.take();
    assert_eq!((settled, plant.lane.status().in_flight), (1, 1));
    c.inbox.put(&mut frames, settled);
    assert_eq!(c.answer(ids[0], 1).await, registers(UnitId(1), &read(0, 1)));
    assert_eq!(c.answer(ids[1], 1).await, [0x83, SILENT]);
}

/// The other read of the burst is one that the unit never answers.
#[tokio::test(start_paused = true)]
async fn early_answers_wait_for_a_moment_only() {
    let mut options = options(16);
    options.timeout = Duration::from_secs(3);
    let plant = plant(options, |frame| match frame.pdu {
        [_, 1, ..] => Vec::new(),
        _ => vec![(MS * 30, answer(frame, &registers(frame.unit, frame.pdu)))],
    });
    let (mut a, mut c) = (Peer::of(&plant.lane), Peer::of(&plant.lane));
    for start in 0..16 {
        a.put(1, &read(start, 1));
    }
    a.seat.send();
    sleep(MS).await;
    let start = Instant::now();
    let ids = [c.put(1, &read(0, 1)), c.put(1, &read(0x100, 1))];
    c.seat.send();
    assert_eq!(c.answer(ids[0], 1).await, registers(UnitId(1), &read(0, 1)));
    assert!(start.elapsed() < MS * 100, "{:?}", start.elapsed());
    assert_eq!(c.answer(ids[1], 1).await, [0x83, SILENT]);
}

#[tokio::test(start_paused = true)]
async fn what_was_torn_apart_goes_out_together_again() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let plant = plant(options(16), move |frame| {
        seen.lock().unwrap().push(frame.pdu[1]);
        vec![(MS * 10, answer(frame, &registers(frame.unit, frame.pdu)))]
    });
    // Reads of as many addresses, of which the upper byte says whose they are.
    let ask = |peer: &mut Peer, whose: u16, addresses: std::ops::Range<u16>| {
        addresses.map(|at| peer.submit(1, &read(whose << 8 | at, 1))).last().unwrap()
    };
    let (mut a, mut b, mut c) = (Peer::of(&plant.lane), Peer::of(&plant.lane), Peer::of(&plant.lane));
    let torn = ask(&mut a, 1, 0..3);
    ask(&mut b, 2, 0..12);
    sleep(MS).await;
    assert_eq!(plant.lane.status().in_flight, 15);
    // There is room for one, and another's burst stands behind it.
    ask(&mut a, 1, 3..4);
    ask(&mut c, 3, 0..4);
    sleep(MS).await;
    assert_eq!(plant.lane.status().in_flight, 15);
    a.answer(torn, 1).await;
    let last = ask(&mut a, 1, 4..7);
    a.answer(last, 1).await;
    let order = order.lock().unwrap();
    assert_eq!(order[15..], [3, 3, 3, 3, 1, 1, 1, 1], "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn those_who_share_an_answer_get_it_in_the_order_in_which_they_asked() {
    let plant = plant(options(1), |frame| vec![(MS * 10, answer(frame, &registers(frame.unit, frame.pdu)))]);
    let mut peers = [Peer::of(&plant.lane), Peer::of(&plant.lane), Peer::of(&plant.lane)];
    for round in 0..3 {
        let first = peers[0].next + 1;
        // Some wait together with the one that goes out, and some come when it is out.
        for peer in [0, 2, 0, 1, 0] {
            peers[peer].submit(1, &read(7, 2));
        }
        sleep(MS).await;
        assert_eq!((plant.lane.status().in_flight, plant.lane.status().queued), (1, 0));
        for peer in [1, 0, 2, 0] {
            peers[peer].submit(1, &read(7, 2));
        }
        // One of them does not wait for it.
        peers[2] = Peer::of(&plant.lane);
        sleep(MS * 10).await;
        for (peer, from, want) in [(0, first, 5), (1, round * 2 + 1, 2), (2, 1, 0)] {
            let (frames, settled) = peers[peer].inbox.take();
            let ids =
                frames.chunks(mbap::HEADER_LEN + 6).map(|frame| u16::from_be_bytes([frame[0], frame[1]]));
            assert_eq!((settled, ids.collect::<Vec<_>>()), (want, (from..).take(want).collect()));
        }
    }
    assert_eq!((plant.lane.status().coalesced, plant.lane.status().sent), (24, 3));
}

/// A device with one register that is written and read, which takes its time.
fn register(millis: u64) -> impl Fn(&mbap::Frame<'_>) -> Vec<(Duration, Vec<u8>)> + Send + Sync {
    let held = Arc::new(Mutex::new(0_u16));
    move |frame| {
        let mut held = held.lock().unwrap();
        let pdu = match frame.pdu {
            [6, _, _, high, low] => {
                *held = u16::from_be_bytes([*high, *low]);
                frame.pdu.to_vec()
            }
            _ => [&[3, 2][..], &held.to_be_bytes()].concat(),
        };
        vec![(MS * u32::try_from(millis).unwrap(), answer(frame, &pdu))]
    }
}

fn write(value: u16) -> Vec<u8> {
    [&[6, 0, 0][..], &value.to_be_bytes()].concat()
}

#[tokio::test(start_paused = true)]
async fn a_read_is_never_older_than_a_write_that_was_answered_or_is_its_clients_own() {
    let kept = Some(MS * 60_000);
    for (in_flight, max_age) in [(1, None), (4, None), (16, None), (1, kept), (4, kept), (16, kept)] {
        let mut options = options(in_flight);
        options.device.max_age = max_age;
        let plant = plant(options, register(5));
        let (mut a, mut b) = (Peer::of(&plant.lane), Peer::of(&plant.lane));
        for round in 1..=20_u16 {
            // Reads of both are on their way, behind and in front of a write.
            let before = b.submit(1, &read(0, 1));
            let own = a.submit(1, &read(0, 1));
            let written = a.submit(1, &write(round));
            let after = a.submit(1, &read(0, 1));
            let shared = b.submit(1, &read(0, 1));
            assert_eq!(
                a.answer(own, 1).await,
                [3, 2, 0, u8::try_from(round - 1).unwrap()],
                "before its write"
            );
            a.answer(written, 1).await;
            // The write was answered: whoever asks from now on sees it.
            let late = b.submit(1, &read(0, 1));
            let new = u8::try_from(round).unwrap();
            assert_eq!(a.answer(after, 1).await, [3, 2, 0, new], "round {round}, behind its own write");
            assert_eq!(b.answer(late, 1).await, [3, 2, 0, new], "round {round}, behind an answered write");
            b.answer(before, 1).await;
            b.answer(shared, 1).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_cache_answers_until_it_is_too_old_or_written_over() {
    let mut options = options(1);
    options.device.max_age = Some(Duration::from_secs(1));
    let plant = plant(options, register(5));
    let mut peer = Peer::of(&plant.lane);
    let sent = |plant: &Plant| plant.lane.status().sent;
    assert_eq!(peer.ask(1, &read(0, 1)).await, [3, 2, 0, 0]);
    assert_eq!(peer.ask(1, &read(0, 1)).await, [3, 2, 0, 0]);
    assert_eq!((sent(&plant), plant.lane.status().cached), (1, 1));
    sleep(Duration::from_secs(2)).await;
    peer.ask(1, &read(0, 1)).await;
    assert_eq!(sent(&plant), 2, "too old");
    peer.ask(1, &write(9)).await;
    assert_eq!(peer.ask(1, &read(0, 1)).await, [3, 2, 0, 9]);
    assert_eq!(sent(&plant), 4, "written over");
    peer.ask(2, &read(0, 1)).await;
    assert_eq!(sent(&plant), 5, "another unit");
}

/// While a connect hangs, say: the lane's task does not look at what comes meanwhile.
#[tokio::test(start_paused = true)]
async fn time_goes_on_while_the_lane_is_busy() {
    let connects = AtomicUsize::new(0);
    let dial = move || {
        let hangs = connects.fetch_add(1, Relaxed) != 0;
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let closes = if hangs { vec![] } else { vec![(MS * 2, Vec::new())] };
        let act = move |frame: &mbap::Frame<'_>| [at_once(frame), closes.clone()].concat();
        tokio::spawn(device(theirs, Arc::new(act)));
        let pause = if hangs { Duration::from_secs(3) } else { Duration::ZERO };
        Box::pin(async move {
            sleep(pause).await;
            Ok(ours)
        }) as TestDial
    };
    let mut options = options(1);
    (options.wait, options.device.max_age) = (Duration::from_secs(2), Some(MS * 300));
    let target: Target = "tcp://simulated".parse().unwrap();
    let lane = Lane::over("simulated", target, options, Link::Test(Box::new(dial)), Vec::new());
    let (mut a, mut b) = (Peer::of(&lane), Peer::of(&lane));
    a.ask(1, &read(0, 1)).await;
    sleep(MS * 100).await; // and the device has closed
    let late = a.submit(1, &read(1, 1));
    sleep(MS * 100).await;
    assert_eq!(b.ask(1, &read(0, 1)).await, registers(UnitId(1), &read(0, 1)));
    assert_eq!(lane.status().cached, 1);
    sleep(MS * 200).await;
    b.submit(1, &read(0, 1));
    assert_eq!((b.inbox.take().1, lane.status().cached), (0, 1), "too old");
    sleep(Duration::from_secs(2)).await;
    let timely = b.submit(1, &read(2, 1));
    assert_eq!(a.answer(late, 1).await, [0x83, PATH], "it has waited for too long");
    assert_eq!(b.answer(timely, 1).await, registers(UnitId(1), &read(2, 1)), "it has not");
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_carried_out_in_its_order_whatever_becomes_of_each() {
    let mut options = options(4);
    options.device.max_age = Some(MS * 60_000);
    let plant = plant(options, register(5));
    let mut peer = Peer::of(&plant.lane);
    peer.ask(1, &read(0, 1)).await;
    let kept = peer.put(1, &read(0, 1));
    let none = peer.put(1, &read(0, 0));
    let written = peer.put(1, &write(9));
    let behind = peer.put(1, &read(0, 1));
    peer.seat.send();
    // Two have their answers at once, with one look.
    assert_eq!(peer.answer(kept, 1).await, [3, 2, 0, 0]);
    assert_eq!(peer.come.remove(&none).unwrap().1, [0x83, 3]);
    assert!(peer.come.is_empty());
    assert_eq!(peer.answer(behind, 1).await, [3, 2, 0, 9], "behind its own write, not from the cache");
    peer.answer(written, 1).await;
    let status = plant.lane.status();
    assert_eq!((status.requests, status.cached, status.sent, status.queued), (5, 1, 3, 0));
    assert_eq!(status.refused, [(3, 1)].into());
    assert!(!peer.seat.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_burst_in_which_the_routes_change_goes_where_each_was_asked() {
    let (old, new) = (plant(options(4), at_once), plant(options(4), at_once));
    let gateway = Gateway::new(Routes::new().with_rest(&old.lane));
    let (mut caller, mut room) = (Caller::new(4), [0; port502_wire::PDU_MAX]);
    let cx = Context::new(None, UnitId(1));
    let mut post = |transaction, caller: &mut Caller| {
        let (transaction, pdu) = (TransactionId(transaction), &read(transaction, 1)[..]);
        let frame = mbap::Frame { transaction, unit: UnitId(1), pdu };
        assert!(gateway.post(caller, &cx, &frame, &mut room).is_none());
    };
    post(1, &mut caller);
    post(2, &mut caller);
    gateway.reroute(Routes::new().with_rest(&new.lane));
    post(3, &mut caller);
    gateway.posted(&mut caller);
    let sent = || [&old, &new].map(|plant| plant.lane.status().requests);
    assert_eq!(sent(), [2, 1]);
    sleep(MS * 100).await;
    assert_eq!(caller.inbox().take().1, 3, "all have their answers");
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_is_a_write_to_every_unit() {
    let mut options = options(4);
    options.device.max_age = Some(MS * 60_000);
    let held = Mutex::new(0);
    // Units that are one memory, and obey unit 0. Reads are slow, writes are not.
    let plant = plant(options, move |frame| {
        let mut held = held.lock().unwrap();
        match frame.pdu {
            [6, _, _, _, low] => {
                *held = *low;
                vec![(MS, answer(frame, frame.pdu))]
            }
            _ => vec![(MS * 50, answer(frame, &[3, 2, 0, *held]))],
        }
    });
    let (mut a, mut b, mut c) = (Peer::of(&plant.lane), Peer::of(&plant.lane), Peer::of(&plant.lane));
    for unit in [7, 8] {
        assert_eq!(a.ask(unit, &read(0, 1)).await, [3, 2, 0, 0]);
        assert_eq!(a.ask(unit, &read(0, 1)).await, [3, 2, 0, 0]);
    }
    assert_eq!(plant.lane.status().cached, 2);
    a.ask(0, &write(9)).await;
    for unit in [7, 8] {
        assert_eq!(a.ask(unit, &read(0, 1)).await, [3, 2, 0, 9], "what was kept is forgotten");
    }
    let old = b.submit(7, &read(1, 1));
    sleep(MS).await;
    assert_eq!(plant.lane.status().in_flight, 1);
    a.ask(0, &write(10)).await;
    assert_eq!(c.ask(7, &read(1, 1)).await, [3, 2, 0, 10], "one from before it is not joined");
    assert_eq!(b.answer(old, 7).await, [3, 2, 0, 9]);
    assert_eq!(b.ask(7, &read(1, 1)).await, [3, 2, 0, 10], "nor kept");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_closed_ends_what_was_asked_though_its_clients_stay() {
    let slow = |frame: &mbap::Frame<'_>| vec![(MS * 100, answer(frame, &registers(frame.unit, frame.pdu)))];
    let plant = plant(options(1), slow);
    let (mut peer, idle) = (Peer::of(&plant.lane), Peer::of(&plant.lane));
    let asked = [peer.submit(1, &read(0, 1)), peer.submit(1, &read(1, 1))];
    let status = || plant.lane.status();
    sleep(MS).await;
    assert_eq!((status().in_flight, status().queued), (1, 1));
    plant.lane.close();
    assert_eq!(peer.ask(1, &read(2, 1)).await, [0x83, PATH], "nothing new");
    for (id, start) in asked.into_iter().zip(0..) {
        assert_eq!(peer.answer(id, 1).await, registers(UnitId(1), &read(start, 1)));
    }
    plant.lane.ended().await;
    assert_eq!((status().connected, status().clients), (false, 2));
    drop(idle);
}

#[tokio::test(start_paused = true)]
async fn a_dead_unit_is_left_alone_and_found_again() {
    let back = Arc::new(AtomicUsize::new(0));
    let (now_back, asked) = (Arc::clone(&back), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let mut options = options(4);
    options.timeout = MS * 300;
    let plant = plant(options, move |frame| {
        if frame.unit == UnitId(9) {
            count.fetch_add(1, Relaxed);
            if now_back.load(Relaxed) == 0 {
                return Vec::new();
            }
        }
        at_once(frame)
    });
    let (mut dead, mut alive) = (Peer::of(&plant.lane), Peer::of(&plant.lane));
    for _ in 0..3 {
        assert_eq!(dead.ask(9, &read(0, 1)).await, [0x83, SILENT]);
    }
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(dead.ask(9, &read(0, 1)).await, [0x83, SILENT], "at once");
        assert_eq!(alive.ask(1, &read(0, 1)).await, registers(UnitId(1), &read(0, 1)));
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(asked.load(Relaxed), 3);
    assert_eq!(plant.lane.status().units[&UnitId(9)].breaker, BreakerState::Open);
    sleep(Duration::from_secs(5)).await;
    for id in [0, 1, 2].map(|start| dead.put(9, &read(start, 1))) {
        assert_eq!(dead.answer(id, 9).await, [0x83, SILENT]);
    }
    assert_eq!(asked.load(Relaxed), 4, "one of a burst looks whether it is back");
    back.store(1, Relaxed);
    assert_eq!(dead.ask(9, &read(0, 1)).await, [0x83, SILENT], "nobody looks yet");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(dead.ask(9, &read(0, 1)).await, registers(UnitId(9), &read(0, 1)));
    assert_eq!(plant.lane.status().units[&UnitId(9)].breaker, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_in_a_burst_does_not_make_a_unit_dead() {
    let nth = AtomicUsize::new(0);
    let plant = plant(options(16), move |frame| match nth.fetch_add(1, Relaxed) % 16 {
        0..=3 => Vec::new(),
        _ => at_once(frame),
    });
    let mut peer = Peer::of(&plant.lane);
    for _ in 0..5 {
        let ids: Vec<u16> = (0..16).map(|start| peer.put(1, &read(start, 1))).collect();
        for (id, start) in ids.into_iter().zip(0..) {
            let want = if start < 4 { vec![0x83, SILENT] } else { registers(UnitId(1), &read(start, 1)) };
            assert_eq!(peer.answer(id, 1).await, want);
        }
    }
    let unit = plant.lane.status().units[&UnitId(1)];
    assert_eq!((unit.timeouts, unit.opened, unit.breaker), (20, 0, BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_for_a_unit_are_told_when_it_is_given_up() {
    let plant = plant(options(1), |_| Vec::new());
    let mut peers: Vec<Peer> = (0..20).map(|_| Peer::of(&plant.lane)).collect();
    let start = Instant::now();
    let ids: Vec<u16> = peers.iter_mut().zip(0..).map(|(peer, n)| peer.submit(9, &read(n, 1))).collect();
    for (peer, id) in peers.iter_mut().zip(ids) {
        assert_eq!(peer.answer(id, 9).await, [0x83, SILENT]);
    }
    assert!(start.elapsed() <= Duration::from_secs(3), "three timeouts of a second: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn large_reads_come_in_pieces() {
    let mut options = options(1);
    options.device.max_registers = Some(10);
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    let plant = plant(options, move |frame| {
        seen.lock().unwrap().push(frame.pdu[4]);
        at_once(frame)
    });
    let mut peer = Peer::of(&plant.lane);
    assert_eq!(peer.ask(1, &read(100, 25)).await, registers(UnitId(1), &read(100, 25)));
    assert_eq!(*sizes.lock().unwrap(), [10, 10, 5]);
    let too_much = [&[16, 0, 0, 0, 11, 22][..], &[0; 22]].concat();
    assert_eq!(peer.ask(1, &too_much).await, [0x90, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_gap_and_a_delay_are_kept() {
    let mut options = options(1);
    (options.gap, options.connect_delay) = (MS * 50, MS * 200);
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let plant = plant(options, move |frame| {
        seen.lock().unwrap().push(Instant::now());
        at_once(frame)
    });
    let start = Instant::now();
    let mut peer = Peer::of(&plant.lane);
    let ids: Vec<u16> = (0..4).map(|n| peer.submit(1, &read(n, 1))).collect();
    for id in ids {
        peer.answer(id, 1).await;
    }
    let times = times.lock().unwrap();
    assert!(times[0] - start >= MS * 200, "{:?}", times[0] - start);
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= MS * 51, "{:?}", pair[1] - pair[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_takes_its_requests_along() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let plant = plant(options(1), move |frame| {
        count.fetch_add(1, Relaxed);
        vec![(MS * 100, answer(frame, &registers(frame.unit, frame.pdu)))]
    });
    let mut goes = Peer::of(&plant.lane);
    for n in 0..10 {
        goes.submit(1, &read(n, 1));
    }
    sleep(MS * 10).await;
    drop(goes);
    let mut stays = Peer::of(&plant.lane);
    assert_eq!(stays.ask(1, &read(50, 1)).await, registers(UnitId(1), &read(50, 1)));
    assert_eq!(asked.load(Relaxed), 2, "the one that was out, and this one");
    let status = plant.lane.status();
    assert_eq!((status.queued, status.in_flight, status.clients), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_too_long_is_not_sent() {
    let mut options = options(1);
    (options.wait, options.timeout) = (Duration::from_secs(2), Duration::from_secs(60));
    let plant = plant(options, |frame| {
        vec![(Duration::from_secs(5), answer(frame, &registers(frame.unit, frame.pdu)))]
    });
    let mut peer = Peer::of(&plant.lane);
    let ids: Vec<u16> = (0..2).map(|n| peer.submit(1, &read(n, 1))).collect();
    assert_eq!(peer.answer(ids[0], 1).await, registers(UnitId(1), &read(0, 1)));
    assert_eq!(peer.answer(ids[1], 1).await, [0x83, PATH]);
    assert_eq!(plant.lane.status().sent, 1);
}

// ---- what goes wrong ----------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn faults_of_the_upstream() {
    type Row = (&'static str, fn(&mbap::Frame<'_>) -> Vec<(Duration, Vec<u8>)>, Option<[u8; 2]>);
    let rows: [Row; 8] = [
        ("answers", at_once, None),
        ("hangs", |_| Vec::new(), Some([0x83, SILENT])),
        ("closes", |_| vec![(MS, Vec::new())], Some([0x83, SILENT])),
        ("twice", |frame| [at_once(frame), at_once(frame)].concat(), None),
        ("another function", |frame| vec![(MS, answer(frame, &[4, 2, 0, 1]))], Some([0x83, SILENT])),
        ("too few registers", |frame| vec![(MS, answer(frame, &[3, 2, 0, 1]))], Some([0x83, SILENT])),
        ("no frame", |_| vec![(MS, vec![0xFF; 20])], Some([0x83, SILENT])),
        (
            "late",
            |frame| vec![(MS * 1500, answer(frame, &registers(frame.unit, frame.pdu)))],
            Some([0x83, SILENT]),
        ),
    ];
    for (name, act, want) in rows {
        for in_flight in [1, 8] {
            let mut options = options(in_flight);
            options.breaker.failures = 0;
            let plant = plant(options, act);
            let mut peer = Peer::of(&plant.lane);
            for n in 0..20 {
                let got = peer.ask(1, &read(n, 2)).await;
                match want {
                    // A connection that has just been lost is not tried again at once.
                    Some(want) => {
                        assert!(got == want || got == [0x83, PATH], "{name}, request {n}: {got:02x?}")
                    }
                    None => assert_eq!(got, registers(UnitId(1), &read(n, 2)), "{name}, request {n}"),
                }
                sleep(MS * 20).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_told_at_once_and_found_when_it_comes() {
    let up = Arc::new(AtomicUsize::new(0));
    let is_up = Arc::clone(&up);
    let act: Arc<Act> = Arc::new(at_once);
    let dial = move || {
        if is_up.load(Relaxed) == 0 {
            return Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) }) as TestDial;
        }
        let (ours, theirs) = tokio::io::duplex(4096);
        tokio::spawn(device(theirs, Arc::clone(&act)));
        Box::pin(async { Ok(ours) })
    };
    let target: Target = "tcp://simulated".parse().unwrap();
    let lane = Lane::over("simulated", target, options(1), Link::Test(Box::new(dial)), Vec::new());
    let mut peer = Peer::of(&lane);
    let start = Instant::now();
    for n in 0..20 {
        assert_eq!(peer.ask(1, &read(n, 1)).await, [0x83, PATH]);
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    up.store(1, Relaxed);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(peer.ask(1, &read(1, 1)).await, registers(UnitId(1), &read(1, 1)));
    assert!(lane.status().connected);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_ignores_transaction_ids_is_matched_in_order_and_left_after_a_gap() {
    let nth = Arc::new(AtomicUsize::new(0));
    let mut options = options(8);
    options.ignores_transaction = true;
    options.breaker.failures = 0;
    let plant = plant(options, move |frame| {
        let n = nth.fetch_add(1, Relaxed);
        let frame = mbap::Frame { transaction: TransactionId(0), ..*frame };
        let pdu = registers(frame.unit, frame.pdu);
        // Each fourth answer is later than its request's time.
        vec![(if n % 4 == 3 { MS * 1200 } else { MS }, answer(&frame, &pdu))]
    });
    let mut peer = Peer::of(&plant.lane);
    let mut missed = 0;
    for n in 0..40 {
        let got = peer.ask(1, &read(n, 1)).await;
        if got == [0x83, SILENT] || got == [0x83, PATH] {
            missed += 1;
        } else {
            assert_eq!(got, registers(UnitId(1), &read(n, 1)), "request {n}");
        }
        sleep(MS * 200).await;
    }
    assert_eq!(missed, 10);
    assert_eq!(plant.connects.load(Relaxed), 10, "a connection for each that was missed");
}

// ---- shares -------------------------------------------------------------------------------------------------------

#[test]
fn a_turn_is_one_request_where_the_link_takes_one_whatever_in_flight_says() {
    let deep = LaneOptions { in_flight: 64, ..LaneOptions::default() };
    let unmatched = LaneOptions { ignores_transaction: true, ..deep.clone() };
    for (options, one_by_one, of_first) in [(deep.clone(), false, 16), (deep, true, 1), (unmatched, false, 1)]
    {
        let now = Instant::now();
        let mut queue = Queue::new(Arc::new(options), one_by_one);
        let [many, few] = [16, 1].map(|count| {
            let key = queue.join(Arc::default());
            let (asked, unit) = (UnitId(1), UnitId(1));
            let ask = |n: u16| {
                let pdu = &read(n * 10 + count, 1)[..];
                Asked::from(&Ask { transaction: TransactionId(n), asked, unit, pdu })
            };
            let mut burst = (0..count).map(ask).collect();
            assert!(queue.submit(key, &mut burst, (now, now + MS)));
            key
        });
        assert_ne!(many.slot, few.slot);
        let mut before_few = 0;
        loop {
            let next = queue.next(now).map(|next| (next.slot, next.pdu.to_vec()));
            let (slot, pdu) = next.unwrap();
            if pdu == read(1, 1) {
                break;
            }
            before_few += 1;
            queue.answered(slot, &registers(UnitId(1), &pdu), now);
        }
        assert_eq!(before_few, of_first);
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_clients_on_one_bus_with_a_dead_unit_have_equal_shares_and_all_of_the_line() {
    const COUNT: u16 = 10;
    let serial = "rtu:///dev/bus?baud=19200".parse::<Target>().unwrap().serial().unwrap();
    let silence = port502_wire::serial::t3_5(serial.baud);
    // An RTU frame has an address and a CRC about its PDU.
    let request = serial.transmission(5 + 3);
    let response = serial.transmission(2 + usize::from(COUNT) * 2 + 3);
    let turn = request + silence + response + silence;
    let mut options = options(1);
    (options.timeout, options.gap, options.coalesce) = (MS * 300, silence, false);
    options.wait = Duration::from_secs(30);
    let plant = plant(options, move |frame| match frame.unit {
        UnitId(9) => Vec::new(),
        unit => vec![(request + silence + response, answer(frame, &registers(unit, frame.pdu)))],
    });
    let end = Instant::now() + Duration::from_secs(120);
    let open = Arc::new(Mutex::new(None));
    let clients: Vec<_> = (0..50_u16)
        .map(|n| {
            let (lane, open) = (plant.lane.clone(), Arc::clone(&open));
            tokio::spawn(async move {
                let (mut peer, mut served, mut before) = (Peer::of(&lane), 0_u32, 0_u32);
                // Some ask for one thing at a time, some for many at once; every tenth asks the dead unit too.
                let depth = if n % 5 == 0 { 16 } else { 2 };
                let mut ids: std::collections::VecDeque<(u16, u8, u16)> = std::collections::VecDeque::new();
                let mut k = 0_u16;
                while Instant::now() < end {
                    while ids.len() < depth {
                        k += 1;
                        let unit = if n % 10 == 3 && k.is_multiple_of(2) {
                            9
                        } else {
                            1 + u8::try_from(n % 5).unwrap()
                        };
                        let start = n * 100 + k % 50;
                        ids.push_back((peer.submit(unit, &read(start, COUNT)), unit, start));
                    }
                    let (id, unit, start) = ids.pop_front().unwrap();
                    let got = peer.answer(id, unit).await;
                    if unit == 9 {
                        assert_eq!(got, [0x83, SILENT]);
                        let dead = lane.status().units.get(&UnitId(9)).is_some_and(|unit| unit.opened != 0);
                        if dead {
                            open.lock().unwrap().get_or_insert_with(Instant::now);
                            // Refused at once: asking without a pause would only heat the room.
                            sleep(MS * 10).await;
                        }
                    } else {
                        assert_eq!(got, registers(UnitId(unit), &read(start, COUNT)), "client {n}");
                        served += 1;
                        before += u32::from(open.lock().unwrap().is_none());
                    }
                }
                (served, served - before)
            })
        })
        .collect();
    let mut shares = Vec::new();
    for client in clients {
        shares.push(client.await.unwrap().1);
    }
    let opened = open.lock().unwrap().expect("the breaker has opened");
    let (least, most) = (*shares.iter().min().unwrap(), *shares.iter().max().unwrap());
    let mean = f64::from(shares.iter().sum::<u32>()) / 50.0;
    assert!(f64::from(least) > mean * 0.8 && f64::from(most) < mean * 1.2, "{least} to {most}, mean {mean}");
    let possible = (end - opened).as_secs_f64() / turn.as_secs_f64();
    let share = f64::from(shares.iter().sum::<u32>()) / possible;
    println!("shares {least} to {most}, {:.1} % of what the line allows", share * 100.0);
    assert!(share > 0.9, "{share}");
}

// ---- everything at once -------------------------------------------------------------------------------------------

/// What the device does with one request.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Answers(u16),
    Twice(u16, u16),
    Silence,
    Refuses,
    Nonsense,
    Closes,
}

fn doing() -> impl Strategy<Value = Doing> {
    prop_oneof![
        12 => (0..300_u16).prop_map(Doing::Answers),
        2 => (300..2500_u16).prop_map(Doing::Answers),
        2 => (0..200_u16, 0..2500_u16).prop_map(|(a, b)| Doing::Twice(a, b)),
        2 => Just(Doing::Silence),
        1 => Just(Doing::Refuses),
        1 => Just(Doing::Nonsense),
        1 => Just(Doing::Closes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Several clients, several units, one of them dead, and a device that answers in any order, late, twice, not
    /// at all, or with what is none: every request has one answer, its own or an exception.
    #[test]
    fn everybody_gets_the_answer_to_what_they_asked(
        doings in proptest::collection::vec(doing(), 1..40),
        asks in proptest::collection::vec((0..5_usize, 1..5_u8, 0..6_u16, 1..30_u16, 0..60_u64), 1..120),
        in_flight in prop_oneof![Just(1_usize), Just(4), Just(16), Just(64), Just(256)],
        max_registers in prop_oneof![Just(None), Just(Some(7_u16))],
        max_age in prop_oneof![Just(None), Just(Some(MS * 100))],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let nth = AtomicUsize::new(0);
            let mut options = options(in_flight);
            options.device.max_registers = max_registers;
            options.device.max_age = max_age;
            options.timeout = MS * 500;
            options.wait = Duration::from_secs(20);
            let plant = plant(options, move |frame| {
                let ms = |ms: u16| MS * u32::from(ms);
                let good = || answer(frame, &registers(frame.unit, frame.pdu));
                if frame.unit == UnitId(4) {
                    return Vec::new();
                }
                match doings[nth.fetch_add(1, Relaxed) % doings.len()] {
                    Doing::Answers(after) => vec![(ms(after), good())],
                    Doing::Twice(a, b) => vec![(ms(a), good()), (ms(b), good())],
                    Doing::Silence => Vec::new(),
                    Doing::Refuses => vec![(MS, answer(frame, &[0x83, 2]))],
                    Doing::Nonsense => vec![(MS, answer(frame, &[3, 2, 0, 0, 0]))],
                    Doing::Closes => vec![(MS, Vec::new())],
                }
            });
            let mut clients: Vec<_> = (0..5).map(|_| (Peer::of(&plant.lane), Vec::new())).collect();
            for (client, unit, start, count, pause) in asks {
                let (peer, open) = &mut clients[client];
                open.push((peer.put(unit, &read(start, count)), unit, start, count));
                if pause % 4 == 1 {
                    continue; // it goes with the next
                }
                peer.seat.send();
                sleep(MS * u32::try_from(pause).unwrap()).await;
            }
            for (peer, open) in &mut clients {
                for (id, unit, start, count) in open.drain(..) {
                    let got = peer.answer(id, unit).await;
                    if got.len() != 2 || got[0] != 0x83 {
                        assert_eq!(got, registers(UnitId(unit), &read(start, count)), "unit {unit}");
                    }
                }
                assert!(peer.come.is_empty(), "answers to nothing: {:?}", peer.come);
            }
            let status = plant.lane.status();
            assert_eq!((status.queued, status.in_flight), (0, 0));
        });
    }
}
