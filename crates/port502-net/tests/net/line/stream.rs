//! RTU and ASCII in TCP streams.

use std::sync::Arc;
use std::time::Duration;

use port502_net::client::{Client, Error, Options, ProtocolError};
use port502_net::fault::{Faults, Faulty};
use port502_net::memory::MemoryDevice;
use port502_net::server::{self, Closed, Event, Refusal};
use port502_session::server::Expired;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::clock::{self, pass, settle};
use crate::conformance::hex;
use crate::link::{Line, Link as _, rtu, serve_at};
use crate::server::Slow;

const LISTEN: &str = "rtu+tcp://127.0.0.1:0";

fn observed() -> (server::Options, mpsc::UnboundedReceiver<Event>) {
    let (sender, events) = mpsc::unbounded_channel();
    let mut options = server::Options::default();
    options.observer = Some(Arc::new(move |event| {
        let _ = sender.send(event.clone()); // the test may have ended
    }));
    (options, events)
}

#[tokio::test]
async fn the_answer_to_what_was_given_up_is_not_sent() {
    let slow = Slow::new();
    let address = serve_at(&format!("{LISTEN}?quiet=5ms"), slow.clone(), server::Options::default());
    let mut link = Line::rtu(TcpStream::connect(address).await.unwrap());
    // Its answer takes time, and the client asks on.
    link.send(1, &hex("41 01")).await;
    link.send(1, &hex("06 0000 0001")).await;
    assert_eq!(link.receive().await, Some((1, hex("06 0000 0001"))));
    slow.leave.add_permits(1);
    link.send(1, &hex("06 0000 0002")).await;
    assert_eq!(link.receive().await, Some((1, hex("06 0000 0002"))));
    // Of two that come at once the last is what the client waits for.
    let both = [rtu(1, &hex("06 0000 0003")), rtu(1, &hex("06 0000 0004"))].concat();
    link.send_raw(&both).await;
    assert_eq!(link.receive().await, Some((1, hex("06 0000 0004"))));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed() {
    let _clock = clock::stop();
    for (sent, pause, why) in [
        (&[][..], 300, Expired::Idle),
        // A byte now and then is never silence, and never a frame.
        (&[1, 16], 9, Expired::HalfFrame),
    ] {
        let (options, mut events) = observed();
        let address = serve_at(&format!("{LISTEN}?quiet=10s"), MemoryDevice::full(), options);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        settle().await;
        for _ in 0..pause {
            pass(Duration::from_secs(1)).await;
            if !sent.is_empty() {
                let _ = stream.write_all(&[0]).await;
            }
        }
        pass(Duration::from_secs(1)).await;
        assert!(matches!(events.recv().await, Some(Event::Opened { .. })));
        let end = events.recv().await;
        assert!(
            matches!(end, Some(Event::Closed { why: Closed::Expired(got), requests: 0, .. }) if got == why),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn strangers_are_refused_and_the_end_is_told() {
    let (mut options, mut events) = observed();
    options.allowed = vec!["10.0.0.0/8".parse().unwrap()];
    let address = serve_at(LISTEN, MemoryDevice::full(), options);
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(matches!(events.recv().await, Some(Event::Refused { why: Refusal::NotAllowed, .. })));

    let (options, mut events) = observed();
    let address = serve_at(LISTEN, MemoryDevice::full(), options);
    let mut link = Line::rtu(TcpStream::connect(address).await.unwrap());
    // What was asked before the client closed its half is answered.
    link.send(1, &hex("03 0000 0001")).await;
    link.stream.shutdown().await.unwrap();
    assert!(link.receive().await.is_some());
    assert!(link.receive().await.is_none());
    assert!(matches!(events.recv().await, Some(Event::Opened { .. })));
    let end = events.recv().await;
    assert!(matches!(end, Some(Event::Closed { why: Closed::ByPeer, requests: 1, .. })), "{end:?}");
}

#[tokio::test]
async fn faults_in_frames_without_transaction_ids() {
    let client = async |faults: &str| {
        let faulty = Faulty::new(MemoryDevice::full(), faults.parse().unwrap(), 1);
        let address = serve_at(LISTEN, faulty, server::Options::default());
        let target = super::target("rtu+tcp", address);
        Client::connect(target, Options::default().retries(0)).await.unwrap().unit(1)
    };
    assert_eq!(client("dribble").await.read_holding_registers(0, 2).await.unwrap(), [0, 0]);
    assert_eq!(client("delay=30ms").await.read_holding_registers(0, 2).await.unwrap(), [0, 0]);
    let refused = client("exception=6").await.read_holding_registers(0, 2).await;
    assert!(matches!(refused, Err(Error::Exception { .. })), "{refused:?}");
    let lost = client("drop=100%").await.with_timeout(Duration::from_millis(100)).read_coils(0, 1).await;
    assert!(matches!(lost, Err(Error::Timeout { sent: true, .. })), "{lost:?}");
}

/// As `port502 serve` and the gateway run: on a runtime without timers, beside one that keeps the time.
#[test]
fn a_runtime_without_timers_serves_lines() {
    use tokio::runtime::Builder;
    let keeper = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let runtime = Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        for scheme in ["rtu+tcp", "ascii+tcp", "rtu+udp", "udp"] {
            let mut options = server::Options::default();
            options.timekeeper = Some(keeper.handle().clone());
            let target = format!("{scheme}://127.0.0.1:0").parse().unwrap();
            let server = server::Server::bind(&target, options).unwrap();
            let (address, stop) = (server.local_addr().unwrap(), server.stop_handle());
            let running = tokio::spawn(server.run(MemoryDevice::full()));
            let asked = std::thread::spawn(move || {
                let target = super::target(scheme, address);
                let client = port502_net::blocking::Client::connect(target, Options::default()).unwrap();
                client.unit(1).read_holding_registers(0, 2).unwrap()
            });
            while !asked.is_finished() {
                tokio::task::yield_now().await;
            }
            assert_eq!(asked.join().unwrap(), [0, 0], "{scheme}");
            stop.stop();
            running.await.unwrap().unwrap();
        }
    });
}

#[test]
fn faults_that_a_link_cannot_have_are_refused() {
    for (faults, link, possible) in [
        ("wrong-tid=1%", "tcp://plc", true),
        ("wrong-tid=1%", "udp://plc", true),
        ("wrong-tid=1%", "rtu+tcp://plc", false),
        ("wrong-tid=1%", "rtu:///dev/ttyS0", false),
        ("dribble", "rtu:///dev/ttyS0", true),
        ("dribble", "udp://plc", false),
        ("delay=1s,drop=1%,exception=6", "rtu+udp://plc", true),
    ] {
        let (parsed, target): (Faults, port502_net::Target) =
            (faults.parse().unwrap(), link.parse().unwrap());
        assert_eq!(parsed.possible_on(target.link()).is_ok(), possible, "{faults} on {link}");
    }
}

/// A client, and the end of its line, of which the test says what comes.
async fn by_hand(options: &str) -> (port502_net::client::Unit, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("rtu+tcp://{}{options}", listener.local_addr().unwrap()).parse().unwrap();
    let client = Client::connect(target, Options::default().retries(0)).await.unwrap();
    (client.unit(1), listener.accept().await.unwrap().0)
}

async fn asked(stream: &mut TcpStream) -> Vec<u8> {
    let mut frame = [0; 8];
    stream.read_exact(&mut frame).await.unwrap();
    frame.to_vec()
}

#[tokio::test]
async fn an_answer_in_pieces_behind_others_is_found() {
    let (unit, mut stream) = by_hand("").await;
    let call = tokio::spawn(async move { unit.read_holding_registers(0, 1).await });
    asked(&mut stream).await;
    let bytes =
        [rtu(2, &hex("03 02 0001")), rtu(1, &hex("03 04 0001 0002")), rtu(1, &hex("03 02 002A"))].concat();
    for piece in bytes.chunks(3) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(call.await.unwrap().unwrap(), [42]);
}

#[tokio::test(start_paused = true)]
async fn what_came_in_the_place_of_the_answer_is_told() {
    let _clock = clock::stop();
    let (unit, mut stream) = by_hand("").await;
    let call = tokio::spawn(async move { unit.read_holding_registers(0, 1).await });
    asked(&mut stream).await;
    stream.write_all(&rtu(1, &hex("03 04 0001 0002"))).await.unwrap();
    pass(Options::default().timeout).await;
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::Answer(_))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_not_the_next_ones() {
    let _clock = clock::stop();
    let (unit, mut stream) = by_hand("").await;
    let (first, second) = (unit.clone(), unit);
    let call = tokio::spawn(async move { first.read_holding_registers(0, 1).await });
    asked(&mut stream).await;
    pass(Options::default().timeout).await;
    assert!(matches!(call.await.unwrap(), Err(Error::Timeout { sent: true, .. })));
    stream.write_all(&rtu(1, &hex("03 02 0042"))).await.unwrap();
    settle().await;
    // It asks the same: only the time at which it came says that this was not the answer.
    let call = tokio::spawn(async move { second.read_holding_registers(7, 1).await });
    pass(Duration::from_millis(100)).await;
    asked(&mut stream).await;
    stream.write_all(&rtu(1, &hex("03 02 0007"))).await.unwrap();
    settle().await;
    assert_eq!(call.await.unwrap().unwrap(), [7]);
}

#[tokio::test]
async fn a_broken_stream_is_told_and_mended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = super::target("rtu+tcp", listener.local_addr().unwrap());
    let client = Client::connect(target, Options::default().retries(0)).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let unit = client.unit(1);
    let call = tokio::spawn(async move { unit.write_single_register(0, 1).await });
    asked(&mut stream).await;
    drop(stream);
    assert!(matches!(call.await.unwrap(), Err(Error::Transport { sent: true, .. })));
    let unit = client.unit(1);
    let call = tokio::spawn(async move { unit.read_holding_registers(0, 1).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    asked(&mut stream).await;
    stream.write_all(&rtu(1, &hex("03 02 0007"))).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), [7]);
}
