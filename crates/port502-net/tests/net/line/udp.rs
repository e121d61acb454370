//! Datagrams: what is not whole is not there, and an answer goes where its request came from.

use port502_net::client::{Client, Error, Options};
use port502_net::memory::MemoryDevice;
use port502_net::server::{self, Event};
use tokio::net::UdpSocket;

use crate::conformance::hex;
use crate::link::{Datagrams, Link as _, MbapDatagrams, mbap, rtu, serve_at};
use crate::server::Slow;

#[tokio::test]
async fn datagrams_that_are_not_whole_frames_are_dropped() {
    let address = serve_at("udp://127.0.0.1:0", MemoryDevice::full(), server::Options::default());
    let mut link = MbapDatagrams::connect(address).await;
    let good = mbap(1, 1, &hex("03 0000 0001"));
    for bad in [
        good[..11].to_vec(),
        good[..4].to_vec(),
        [&good[..], &[0]].concat(),
        [&good[..], &good[..8]].concat(),
        hex("0001 0000 0001 01"),
        hex("0001 0001 0006 01 03 0000 0001"),
        vec![],
        vec![0xAA; 1400],
        [&good[..]; 300].concat(), // longer than anybody looks
    ] {
        link.socket.0.send(&bad).await.unwrap();
        link.send(1, &hex("03 0000 0001")).await;
        assert_eq!(link.receive().await, Some((1, hex("03 02 0000"))), "behind {} bytes", bad.len());
    }
    // Several whole frames in one are answered one by one.
    let two = [good, mbap(2, 1, &hex("03 0000 0002"))].concat();
    link.socket.0.send(&two).await.unwrap();
    let mut bytes = [0; 300];
    for (id, len) in [(1, 11), (2, 13)] {
        assert_eq!(link.socket.0.recv(&mut bytes).await.unwrap(), len);
        assert_eq!(bytes[1], id);
    }
}

#[tokio::test]
async fn an_answer_goes_to_its_sender_alone() {
    let slow = Slow::new();
    let address = serve_at("udp://127.0.0.1:0", slow.clone(), server::Options::default());
    let (mut waiting, mut other) =
        (MbapDatagrams::connect(address).await, MbapDatagrams::connect(address).await);
    waiting.send(1, &hex("41 07")).await;
    for _ in 0..20 {
        other.send(2, &hex("03 0000 0001")).await;
        assert_eq!(other.receive().await.unwrap().0, 2);
    }
    slow.leave.add_permits(1);
    assert_eq!(waiting.receive().await.unwrap().0, 1);
}

#[tokio::test]
async fn one_sender_holds_so_many_answers_and_no_more() {
    let slow = Slow::new();
    let address = serve_at("udp://127.0.0.1:0", slow.clone(), server::Options::default());
    let mut link = MbapDatagrams::connect(address).await;
    for _ in 0..17 {
        link.send(1, &hex("41 07")).await;
    }
    assert_eq!(link.receive().await, Some((1, hex("C1 06"))));
    slow.leave.add_permits(16);
}

#[tokio::test]
async fn strangers_are_not_answered_and_requests_are_counted() {
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let options = |allowed: &str| {
        let mut options = server::Options::default();
        options.allowed = vec![allowed.parse().unwrap()];
        let sender = sender.clone();
        options.observer = Some(std::sync::Arc::new(move |event| {
            let _ = sender.send(event.clone()); // the test may have ended
        }));
        options
    };
    let closed = serve_at("udp://127.0.0.1:0", MemoryDevice::full(), options("10.0.0.0/8"));
    let stranger = MbapDatagrams::connect(closed).await;
    stranger.socket.0.send(&mbap(1, 1, &hex("03 0000 0001"))).await.unwrap();
    let server = server::Server::bind(&"udp://127.0.0.1:0".parse().unwrap(), options("127.0.0.0/8")).unwrap();
    let (address, stop) = (server.local_addr().unwrap(), server.stop_handle());
    let running = tokio::spawn(server.run(MemoryDevice::full()));
    let mut link = MbapDatagrams::connect(address).await;
    link.send(1, &hex("03 0000 0001")).await;
    assert!(link.receive().await.is_some());
    stop.stop();
    running.await.unwrap().unwrap();
    assert_eq!(events.recv().await, Some(Event::Ended { error: None, requests: 1 }));
    assert!(stranger.socket.0.try_recv(&mut [0; 1]).is_err(), "nothing came");
}

#[tokio::test]
async fn a_client_keeps_several_in_flight_and_its_place() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = super::target("udp", server.local_addr().unwrap());
    let client = Client::connect(target, Options::default().in_flight(4)).await.unwrap();
    let calls: Vec<_> = (0..4u16)
        .map(|at| {
            let unit = client.unit(1);
            tokio::spawn(async move { unit.read_holding_registers(at, 1).await })
        })
        .collect();
    let mut requests = Vec::new();
    for _ in 0..4 {
        let mut bytes = [0; 300];
        let (len, peer) = server.recv_from(&mut bytes).await.unwrap();
        assert_eq!(len, 12, "one frame a datagram");
        requests.push((u16::from_be_bytes([bytes[0], bytes[1]]), bytes[9], peer));
    }
    for (id, address, peer) in requests.into_iter().rev() {
        let answer = mbap(id, 1, &[3, 2, 0, address * 2]);
        // Half of it first, which is nothing.
        server.send_to(&answer[..9], peer).await.unwrap();
        server.send_to(&answer, peer).await.unwrap();
    }
    for (at, call) in (0..).zip(calls) {
        assert_eq!(call.await.unwrap().unwrap(), [at * 2]);
    }
}

#[tokio::test]
async fn nobody_at_a_port_is_told() {
    let address = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::connect(super::target("udp", address), Options::default().retries(0)).await.unwrap();
    let gone = client.unit(1).read_holding_registers(0, 1).await;
    assert!(matches!(gone, Err(Error::Transport { .. })), "{gone:?}");
}

#[tokio::test]
async fn rtu_in_datagrams_ends_where_they_end() {
    let slow = Slow::new();
    let address = serve_at("rtu+udp://127.0.0.1:0", slow.clone(), server::Options::default());
    let Datagrams(socket) = Datagrams::connect(address).await;
    let mut bytes = [0; 300];
    let read = rtu(1, &hex("03 0000 0001"));
    for bad in [&read[..7], &[0xFF; 3], &[1, 3, 0xF0]] {
        socket.send(bad).await.unwrap();
        socket.send(&read).await.unwrap();
        let len = socket.recv(&mut bytes).await.unwrap();
        assert_eq!((len, bytes[1]), (8, 3), "behind {bad:02x?}");
    }
    // The client has asked on: the first answer is nobody's.
    socket.send(&rtu(1, &hex("41 07"))).await.unwrap();
    socket.send(&read).await.unwrap();
    assert_eq!((socket.recv(&mut bytes).await.unwrap(), bytes[1]), (8, 3));
    slow.leave.add_permits(1);
    socket.send(&read).await.unwrap();
    assert_eq!((socket.recv(&mut bytes).await.unwrap(), bytes[1]), (8, 3));
    assert!(socket.try_recv(&mut bytes).is_err(), "and nothing else");
}
