//! Connections that cannot be made, that break, and that come back.

use std::io;
use std::time::Duration;

use port502_net::Target;
use port502_net::client::{Client, Error, Options, ProtocolError, State};
use tokio::net::TcpListener;

use super::{SECOND, connected, options, read, write};
use crate::clock::{self, pass, settle};
use crate::conformance::hex;
use crate::fake::Fake;

/// A target where nobody listens.
async fn nobody() -> Target {
    // Bound and never listening, so that nobody else gets it: it lives as long as the process.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address.to_string().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn nobody_listens() {
    let _clock = clock::stop();
    let target = nobody().await;
    let error = Client::connect(target.clone(), options()).await.expect_err("nobody listens");
    let Error::Connect { target: named, source } = &error else { panic!("{error:?}") };
    assert_eq!((&**named, source.kind()), (&target, io::ErrorKind::ConnectionRefused));
    assert!(!error.maybe_executed());

    let client = Client::lazy(target, options()).unwrap();
    assert_eq!(*client.state().borrow(), State::Idle);
    for _ in 0..2 {
        let call = write(&client, 1, 2);
        settle().await;
        assert!(!call.is_finished(), "it may come within the deadline");
        for _ in 0..100 {
            pass(SECOND / 100).await;
        }
        let error = call.await.unwrap().expect_err("nobody listens");
        assert!(matches!(error, Error::Connect { .. }) && !error.maybe_executed(), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_further_and_further_apart() {
    let _clock = clock::stop();
    let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
    let client =
        Client::lazy(nobody().await, options().timeout(60 * SECOND).backoff(first, longest)).unwrap();
    let mut state = client.state();
    let call = read(&client, 1);
    let mut want = first;
    for attempt in 1..=6 {
        // Connecting comes and goes within a moment here.
        let waiting = |state: &State| matches!(state, State::Waiting { attempt: n, .. } if *n == attempt);
        settle().await;
        let now = state.borrow_and_update().clone();
        assert!(waiting(&now), "attempt {attempt}: {now:?}");
        let State::Waiting { error, .. } = now else { panic!() };
        assert!(error.contains("refused"), "{error}");
        let mut waited = Duration::ZERO;
        while waiting(&state.borrow()) {
            pass(Duration::from_millis(4)).await;
            waited += Duration::from_millis(4);
        }
        let grain = Duration::from_millis(8);
        assert!(
            waited + grain >= want / 2 && waited <= want + grain,
            "attempt {attempt}: {waited:?} of {want:?}"
        );
        want = (want * 2).min(longest);
    }
    assert!(!call.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_late_is_in_time_for_those_who_wait() {
    let _clock = clock::stop();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let target: Target = socket.local_addr().unwrap().to_string().parse().unwrap();
    let client = Client::lazy(target, options()).unwrap();
    let calls: Vec<_> = (0..5).map(|address| read(&client, address)).collect();
    pass(SECOND / 20).await;
    let listener: TcpListener = socket.listen(16).unwrap();
    pass(SECOND / 5).await;
    let (stream, _) = listener.accept().await.unwrap();
    let mut peer = crate::fake::Peer { stream };
    for (address, call) in (0..).zip(calls) {
        let asked = peer.asked().await;
        peer.answer_register(&asked, address).await;
        assert_eq!(call.await.unwrap().unwrap(), address);
    }
    assert_eq!(*client.state().borrow(), State::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_in_the_middle() {
    let _clock = clock::stop();
    let (client, fake, mut peer) = connected(options().in_flight(4).retries(1)).await;
    let reads: Vec<_> = (0..2).map(|address| read(&client, address)).collect();
    let writes: Vec<_> = (0..2).map(|address| write(&client, address, 1)).collect();
    for _ in 0..4 {
        peer.asked().await;
    }
    // Half an answer is none.
    peer.send(&hex("0001 0000 0005 01 03")).await;
    drop(peer);
    for call in writes {
        let error = call.await.unwrap().expect_err("the connection is gone");
        assert!(matches!(error, Error::Transport { sent: true, .. }), "{error:?}");
        assert!(error.maybe_executed());
    }
    // Nothing came of the first connection, so the second is not made in the same breath.
    pass(Options::default().backoff).await;
    let mut peer = fake.accept().await;
    for _ in 0..2 {
        let asked = peer.asked().await;
        assert_eq!(asked.pdu[0], 3, "a write was sent again");
        peer.answer_register(&asked, asked.address()).await;
    }
    for (address, call) in (0..).zip(reads) {
        assert_eq!(call.await.unwrap().unwrap(), address);
    }
    assert!(peer.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_that_was_closed_comes_back_on_demand() {
    let _clock = clock::stop();
    let (client, fake, mut peer) = connected(options()).await;
    let call = read(&client, 1);
    let asked = peer.asked().await;
    peer.answer_register(&asked, 1).await;
    call.await.unwrap().unwrap();
    for round in 0..3 {
        drop(peer);
        pass(10 * SECOND).await;
        assert_eq!(*client.state().borrow(), State::Idle);
        assert!(!fake.is_asked().await, "nobody asked for it");
        // A write, which would not be repeated.
        let call = write(&client, 1, round);
        peer = fake.accept().await;
        let asked = peer.asked().await;
        peer.answer(&asked, &asked.pdu).await;
        call.await.unwrap().unwrap();
        assert_eq!(*client.state().borrow(), State::Connected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_read_is_closed() {
    let _clock = clock::stop();
    for garbage in
        ["0001 0000 0000 01 03 02 0001", "0001 0000 00FF 01", "4854 5450 2F31 2E31 0D0A", "0001 0007 0001"]
    {
        let (client, fake, mut peer) = connected(options().in_flight(2).retries(3)).await;
        let (first, second) = (read(&client, 1), read(&client, 2));
        let (asked, other) = (peer.asked().await, peer.asked().await);
        // What was right in front of it counts.
        peer.answer_register(&asked, asked.address()).await;
        peer.send(&hex(garbage)).await;
        assert_eq!(first.await.unwrap().unwrap(), 1);
        let error = second.await.unwrap().expect_err(garbage);
        assert!(matches!(error, Error::Protocol(ProtocolError::Stream(_))), "{error:?}");
        assert!(error.maybe_executed());
        assert_eq!(other.address(), 2);
        assert_eq!(peer.next().await, None, "the client closes");
        let call = read(&client, 3);
        let mut peer = fake.accept().await;
        let asked = peer.asked().await;
        peer.answer_register(&asked, 3).await;
        assert_eq!(call.await.unwrap().unwrap(), 3);
    }
}

/// As a server that is full does, or one whose allow list lacks the client.
#[tokio::test(start_paused = true)]
async fn a_server_that_closes_what_it_accepts_is_not_run_down() {
    let _clock = clock::stop();
    let fake = Fake::bind().await;
    let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
    let client = Client::lazy(fake.target(), options().backoff(first, longest).retries(20)).unwrap();
    let mut accepted = 0;
    let mut call = read(&client, 1);
    for _ in 0..500 {
        while fake.is_asked().await {
            accepted += 1;
        }
        if call.is_finished() {
            call = read(&client, 1);
        }
        pass(Duration::from_millis(20)).await;
    }
    // Ten seconds: some five until the pauses are a second, and then one or two each second.
    assert!((8..=25).contains(&accepted), "{accepted} connections in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn the_connection_ends_with_its_last_handle() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options()).await;
    let unit = client.unit(9);
    let clone = client.clone();
    drop(client);
    drop(clone);
    assert!(peer.is_quiet().await);
    let call = tokio::spawn(async move { unit.read_coils(0, 1).await });
    let asked = peer.asked().await;
    assert_eq!((asked.unit, asked.pdu.clone()), (9, hex("01 0000 0001")));
    peer.answer(&asked, &hex("01 01 01")).await;
    assert_eq!(call.await.unwrap().unwrap(), [true]);
    assert_eq!(peer.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn nobody_answers_the_connection_itself() {
    let _clock = clock::stop();
    // A queue of one that is taken: the system leaves further attempts without an answer.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let target: Target = address.to_string().parse().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        filling.push(stream);
        assert!(filling.len() < 100);
    }
    let limit = Options::default().connect_timeout;
    let attempt = tokio::spawn(Client::connect(target, options()));
    pass(limit - SECOND / 10).await;
    assert!(!attempt.is_finished());
    pass(SECOND / 10).await;
    let error = attempt.await.unwrap().expect_err("no answer");
    assert!(
        matches!(&error, Error::Connect { source, .. } if source.kind() == io::ErrorKind::TimedOut),
        "{error:?}"
    );
}
