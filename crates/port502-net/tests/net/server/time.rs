//! Timeouts, by a clock that is moved by hand.

use std::time::Duration;

use port502_net::memory::MemoryDevice;
use port502_net::server::{Closed, Event, Late, Options, Outcome, Service, Step};
use port502_session::server::Expired;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::{Slow, observed, pattern};
use crate::clock::{self, pass, settle};
use crate::conformance::hex;
use crate::link::{Mbap, mbap, serve};

const READ: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
const ANSWER: [u8; 11] = [0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 0];

/// The grain of the waiting below.
const STEP: Duration = Duration::from_secs(1);

/// Lets time pass until the server closes the connection; how long that took.
async fn end(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    loop {
        settle().await;
        let mut byte = [0];
        tokio::select! {
            biased;
            end = stream.read(&mut byte) => {
                assert_eq!(end.unwrap(), 0);
                return start.elapsed();
            }
            () = std::future::ready(()) => pass(STEP).await,
        }
    }
}

async fn ask(stream: &mut TcpStream) {
    stream.write_all(&READ).await.unwrap();
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, ANSWER);
}

/// Whether so much time has passed, give or take the clock's grain.
fn is_about(got: Duration, want: Duration) -> bool {
    got.abs_diff(want) <= STEP
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let _clock = clock::stop();
    let (options, mut events) = observed();
    let idle = options.limits.idle;
    let mut stream = TcpStream::connect(serve(MemoryDevice::full(), options)).await.unwrap();
    for _ in 0..3 {
        pass(idle - Duration::from_secs(1)).await;
        ask(&mut stream).await;
    }
    let waited = end(&mut stream).await;
    assert!(is_about(waited, idle), "closed after {waited:?}");
    let Event::Closed { why, .. } = events.next_end().await else { panic!() };
    assert_eq!(why, Closed::Expired(Expired::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_drips_is_closed_from_its_first_byte_on() {
    let _clock = clock::stop();
    let (options, mut events) = observed();
    let limit = options.limits.frame;
    let mut stream = TcpStream::connect(serve(MemoryDevice::full(), options)).await.unwrap();
    pass(Duration::from_secs(20)).await; // time before the first byte does not count
    let start = Instant::now();
    for byte in mbap(1, 1, &hex("08 0000 00*250")) {
        // Once closed, the first write may still be taken by the system.
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        pass(Duration::from_millis(900)).await;
    }
    let waited = start.elapsed();
    assert!(waited < limit + Duration::from_secs(3), "closed after {waited:?}");
    let Event::Closed { why, .. } = events.next_end().await else { panic!() };
    assert_eq!(why, Closed::Expired(Expired::HalfFrame));
}

#[tokio::test(start_paused = true)]
async fn each_frame_has_its_own_time() {
    let _clock = clock::stop();
    let (options, _events) = observed();
    let pause = options.limits.frame - Duration::from_millis(100);
    let mut stream = TcpStream::connect(serve(MemoryDevice::full(), options)).await.unwrap();
    // Each read brings the end of a frame and the front of the next.
    stream.write_all(&READ[..5]).await.unwrap();
    for _ in 0..5 {
        pass(pause).await;
        stream.write_all(&[&READ[5..], &READ[..5]].concat()).await.unwrap();
        let mut answer = [0; ANSWER.len()];
        stream.read_exact(&mut answer).await.unwrap();
    }
    let waited = end(&mut stream).await;
    assert!(is_about(waited, pause), "closed after {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_largest_frame_may_come_at_fifty_bytes_a_second() {
    let _clock = clock::stop();
    let mut stream = TcpStream::connect(serve(MemoryDevice::full(), Options::default())).await.unwrap();
    let request = mbap(1, 1, &hex("08 0000 AB*250"));
    for byte in &request {
        stream.write_all(&[*byte]).await.unwrap();
        pass(Duration::from_millis(20)).await;
    }
    let mut answer = vec![0; request.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, request);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_answer_is_not_idle() {
    let _clock = clock::stop();
    let (options, mut events) = observed();
    let idle = options.limits.idle;
    let slow = Slow::new();
    let mut client = Mbap::connect(serve(slow.clone(), options)).await;
    client.send_raw(&mbap(1, 1, &hex("41"))).await;
    pass(3 * idle).await;
    slow.leave.add_permits(1);
    assert_eq!(client.receive_raw().await, Some((1, 1, hex("41"))));
    // From its answer on it is.
    let waited = end(&mut client.stream).await;
    assert!(is_about(waited, idle), "closed after {waited:?}");
    let Event::Closed { why, .. } = events.next_end().await else { panic!() };
    assert_eq!(why, Closed::Expired(Expired::Idle));
}

/// A connection whose receive buffer holds little, so that a server is soon in front of a full socket.
async fn narrow(address: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_answers_slowly_is_served_to_the_end() {
    let _clock = clock::stop();
    const REQUESTS: u16 = 10_000;
    let (options, mut events) = observed();
    let frame = options.limits.frame;
    let stream = narrow(serve(super::Pattern, options)).await;
    let (mut read, mut write) = stream.into_split();
    let burst: Vec<u8> = (0..REQUESTS).flat_map(|id| mbap(id, 1, &pattern(id, 125).0)).collect();
    let writing = tokio::spawn(async move { write.write_all(&burst).await.map(|()| write) });
    // The server is stuck with a request read in half, for longer than a frame may take.
    pass(2 * frame).await;
    let mut got = vec![0; 7 + 252];
    for id in 0..REQUESTS {
        read.read_exact(&mut got).await.unwrap();
        assert_eq!(got, mbap(id, 1, &pattern(id, 125).1), "answer {id}");
        if id % 4_000 == 0 {
            pass(2 * frame).await;
        }
    }
    drop(writing.await.unwrap().unwrap());
    drop(read);
    let Event::Closed { why, requests, .. } = events.next_end().await else { panic!() };
    assert_eq!((why, requests), (Closed::ByPeer, REQUESTS.into()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_none_is_closed_as_idle() {
    let _clock = clock::stop();
    let (options, mut events) = observed();
    let idle = options.limits.idle;
    let stream = narrow(serve(super::Pattern, options)).await;
    let burst: Vec<u8> = (0..12_000).flat_map(|id| mbap(id, 1, &pattern(id, 125).0)).collect();
    let start = Instant::now();
    let (_read, mut write) = stream.into_split();
    let writing = tokio::spawn(async move { write.write_all(&burst).await.map(|()| write) });
    let why = loop {
        pass(STEP).await;
        match events.0.try_recv() {
            Ok(Event::Closed { why, .. }) => break why,
            _ => assert!(start.elapsed() < 2 * idle),
        }
    };
    assert_eq!(why, Closed::Expired(Expired::Idle));
    assert!(is_about(start.elapsed(), idle), "closed after {:?}", start.elapsed());
    // What it sent may all have found room in buffers, so it need not have been told.
    let _ = writing.await.unwrap();
}

/// Plays one script for every request.
struct Actor(Vec<Step>);

impl Service for Actor {
    fn call(
        &self,
        _: &port502_net::server::Context<'_>,
        _: &port502_wire::mbap::Frame<'_>,
        _: &mut [u8; port502_wire::PDU_MAX],
    ) -> Outcome {
        let steps = self.0.clone();
        Outcome::Later(Box::pin(async move { Late::Script(steps) }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_is_played_with_its_pauses() {
    let _clock = clock::stop();
    let hour = Duration::from_secs(3600);
    let steps = vec![Step::Send(b"abc".to_vec()), Step::Wait(hour), Step::Send(b"def".to_vec())];
    let mut stream = TcpStream::connect(serve(Actor(steps.clone()), Options::default())).await.unwrap();
    // Half of the next request comes with the first: it is not looked at until the script ends.
    stream.write_all(&[&READ[..], &READ[..5]].concat()).await.unwrap();
    let mut got = [0; 3];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"abc");
    pass(hour - Duration::from_millis(5)).await;
    assert!(stream.try_read(&mut got).is_err(), "sent too early, or closed");
    pass(Duration::from_millis(10)).await;
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"def");
    stream.write_all(&READ[5..]).await.unwrap();
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"abc");

    let (options, mut events) = observed();
    let mut stream =
        TcpStream::connect(serve(Actor([&steps[..1], &[Step::Close]].concat()), options)).await.unwrap();
    stream.write_all(&READ).await.unwrap();
    stream.read_exact(&mut got).await.unwrap();
    end(&mut stream).await;
    assert!(matches!(events.next_end().await, Event::Closed { why: Closed::Fault, .. }));
}
