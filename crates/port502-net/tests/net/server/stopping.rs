//! The end of a server, of a client's half of a connection, and of a device.

use std::time::Duration;

use port502_net::memory::MemoryDevice;
use port502_net::server::{Closed, Event, Options, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Pattern, Slow, observed, pattern};
use crate::clock::{self, pass};
use crate::conformance::hex;
use crate::link::{Mbap, mbap, serve};

fn bind() -> Server {
    Server::bind(&"tcp://127.0.0.1:0".parse().unwrap(), Options::default()).unwrap()
}

#[tokio::test]
async fn what_is_in_flight_is_answered_before_a_server_ends() {
    let (server, slow) = (bind(), Slow::new());
    let (address, stop) = (server.local_addr().unwrap(), server.stop_handle());
    let running = tokio::spawn(server.run(slow.clone()));
    let mut idle = Mbap::connect(address).await;
    let mut waiting = Mbap::connect(address).await;
    waiting.send_raw(&[mbap(1, 1, &hex("41 01")), mbap(2, 1, &hex("07"))].concat()).await;
    assert_eq!(waiting.receive_raw().await, Some((2, 1, hex("07"))));
    let mut sent = Mbap::connect(address).await;
    sent.send_raw(&mbap(1, 1, &hex("07"))).await;
    assert_eq!(sent.receive_raw().await, Some((1, 1, hex("07"))));
    let mut half = Mbap::connect(address).await;
    half.send_raw(&[&mbap(1, 1, &hex("07"))[..], &[0, 2, 0]].concat()).await;
    assert_eq!(half.receive_raw().await, Some((1, 1, hex("07"))));

    // These have arrived, though no task of the server has seen them.
    let burst: Vec<u8> = (0..50).flat_map(|id| mbap(id, 1, &hex("07"))).collect();
    assert_eq!(sent.stream.try_write(&burst).unwrap(), burst.len());
    stop.stop();
    for id in 0..50 {
        assert_eq!(sent.receive_raw().await, Some((id, 1, hex("07"))));
    }
    for client in [&mut sent, &mut idle, &mut half] {
        assert!(client.is_closed_by_peer().await);
    }
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    assert!(!running.is_finished());
    slow.leave.add_permits(1);
    assert_eq!(waiting.receive_raw().await, Some((1, 1, hex("41 01"))));
    assert!(waiting.is_closed_by_peer().await);
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_does_not_wait_for_ever() {
    let _clock = clock::stop();
    let (server, slow) = (bind(), Slow::new());
    let (address, stop) = (server.local_addr().unwrap(), server.stop_handle());
    let running = tokio::spawn(server.run(slow.clone()));
    let mut waiting = Mbap::connect(address).await;
    waiting.send_raw(&[mbap(1, 1, &hex("41 01")), mbap(2, 1, &hex("07"))].concat()).await;
    assert_eq!(waiting.receive_raw().await, Some((2, 1, hex("07"))));
    stop.stop();
    pass(Duration::from_millis(4_999)).await;
    assert!(!running.is_finished());
    pass(Duration::from_millis(2)).await;
    running.await.unwrap().unwrap();
    assert!(waiting.is_closed_by_peer().await);
}

#[tokio::test]
async fn a_server_that_stops_before_anybody_came() {
    let server = bind();
    server.stop_handle().stop();
    server.run(MemoryDevice::full()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_only_listens_any_more_gets_its_answers() {
    let (options, mut events) = observed();
    let slow = Slow::new();
    let mut client = Mbap::connect(serve(slow.clone(), options)).await;
    let burst: Vec<u8> = (0..100).flat_map(|id| mbap(id, 1, &hex("07"))).collect();
    client.send_raw(&[mbap(1000, 1, &hex("41")), burst, hex("0001 0000 00")].concat()).await;
    client.stream.shutdown().await.unwrap();
    for id in 0..100 {
        assert_eq!(client.receive_raw().await, Some((id, 1, hex("07"))));
    }
    slow.leave.add_permits(1);
    assert_eq!(client.receive_raw().await, Some((1000, 1, hex("41"))));
    assert!(client.is_closed_by_peer().await);
    let Event::Closed { why, requests, .. } = events.next_end().await else { panic!() };
    assert_eq!((why, requests), (Closed::ByPeer, 101));
}

#[tokio::test]
async fn a_panic_of_the_device_ends_one_connection() {
    let (options, mut events) = observed();
    let address = serve(Pattern, options);
    let (mut first, mut second) = (Mbap::connect(address).await, Mbap::connect(address).await);
    let (request, answer) = pattern(5, 3);
    for round in 0..3 {
        for client in [&mut first, &mut second] {
            client.send_raw(&mbap(round, 1, &request)).await;
            assert_eq!(client.receive_raw().await, Some((round, 1, answer.clone())));
        }
        first.send_raw(&mbap(9, 1, &pattern(0xDEAD, 1).0)).await;
        assert!(first.is_closed_by_peer().await);
        assert!(matches!(events.next_end().await, Event::Closed { why: Closed::Panicked, .. }));
        first = Mbap::connect(address).await;
    }
}

#[tokio::test]
async fn beyond_sixteen_open_requests_the_server_is_busy() {
    let slow = Slow::new();
    let mut client = Mbap::connect(serve(slow.clone(), Options::default())).await;
    let burst: Vec<u8> = (1..=20).flat_map(|id| mbap(id, 1, &[0x41, id as u8])).collect();
    client.send_raw(&burst).await;
    for id in 17..=20 {
        assert_eq!(client.receive_raw().await, Some((id, 1, hex("C1 06"))));
    }
    // What can be answered at once still is.
    client.send_raw(&mbap(21, 1, &hex("07"))).await;
    assert_eq!(client.receive_raw().await, Some((21, 1, hex("07"))));
    // One place becomes free, and can be taken again.
    slow.leave.add_permits(1);
    assert_eq!(client.receive_raw().await, Some((1, 1, hex("41 01"))));
    client.send_raw(&[mbap(22, 1, &hex("41 16")), mbap(23, 1, &hex("41 17"))].concat()).await;
    assert_eq!(client.receive_raw().await, Some((23, 1, hex("C1 06"))));
    slow.leave.add_permits(16);
    for id in (2..=16).chain([22]) {
        assert_eq!(client.receive_raw().await, Some((id, 1, vec![0x41, id as u8])));
    }
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_any_more_is_dropped_with_its_connection() {
    let (options, mut events) = observed();
    let slow = Slow::new();
    let address = serve(slow.clone(), options);
    let mut client = Mbap::connect(address).await;
    client.send_raw(&[mbap(1, 1, &hex("41")), mbap(2, 1, &hex("07"))].concat()).await;
    assert_eq!(client.receive_raw().await, Some((2, 1, hex("07"))));
    // Closed with bytes unread: the client's system resets the connection.
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert!(matches!(events.next_end().await, Event::Closed { why: Closed::Broken, requests: 2, .. }));
}
