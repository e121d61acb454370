//! Who may connect, and who has to go when there are too many.

use std::net::SocketAddr;

use port502_net::memory::MemoryDevice;
use port502_net::server::{Closed, Event, Refusal, Server};
use tokio::net::{TcpSocket, TcpStream};

use super::{Slow, observed};
use crate::conformance::hex;
use crate::link::{Link, Mbap, mbap, serve};

async fn ask(client: &mut Mbap<TcpStream>) -> bool {
    client.send(1, &hex("07")).await;
    client.receive().await.is_some()
}

/// Clients that have each made a request, the first the longest ago.
async fn connected(address: SocketAddr, count: usize) -> Vec<Mbap<TcpStream>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Mbap::connect(address).await;
        assert!(ask(&mut client).await);
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn one_too_many_closes_the_one_that_was_idle_for_longest() {
    let (mut options, mut events) = observed();
    options.connections = 3;
    let address = serve(MemoryDevice::full(), options);
    let mut old = connected(address, 3).await;
    assert!(ask(&mut old[0]).await); // now the second is the oldest
    let mut new = connected(address, 1).await.remove(0);
    assert!(old[1].is_closed_by_peer().await);
    let peer = old[1].stream.local_addr().unwrap();
    assert_eq!(events.next_end().await, Event::Closed { peer, why: Closed::ToMakeRoom, requests: 1 });
    assert!(ask(&mut new).await && ask(&mut old[0]).await && ask(&mut old[2]).await);
    // A crowd in one go: each pushes out the one in front of it, and the last three stay.
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(Mbap::connect(address).await);
    }
    for client in crowd.iter_mut().rev().take(3) {
        assert!(ask(client).await);
    }
    for client in crowd.iter_mut().rev().skip(3) {
        assert!(client.is_closed_by_peer().await);
    }
}

#[tokio::test]
async fn a_busy_one_is_never_closed() {
    let (mut options, mut events) = observed();
    options.connections = 3;
    let slow = Slow::new();
    let address = serve(slow.clone(), options);
    let mut clients = connected(address, 3).await;
    // The two oldest wait for an answer, and the third is in the middle of a request.
    for client in &mut clients[..2] {
        client.send(1, &hex("41 AA")).await;
        client.send(1, &hex("07")).await; // answered at once: the server has read the one in front of it
        assert_eq!(client.receive_raw().await.unwrap().2, hex("07"));
    }
    clients[2].send_raw(&[&mbap(1, 1, &hex("07"))[..], &hex("0000 0000 0006 01 03")].concat()).await;
    assert_eq!(clients[2].receive_raw().await, Some((1, 1, hex("07"))));

    let mut refused = Mbap::connect(address).await;
    assert!(refused.is_closed_by_peer().await);
    let peer = refused.stream.local_addr().unwrap();
    assert_eq!(events.next_end().await, Event::Refused { peer, why: Refusal::AllBusy });

    slow.leave.add_permits(1);
    // Which of the two may answer is not said.
    clients[2].send_raw(&hex("0000 0001")).await;
    assert_eq!(clients[2].receive_raw().await, Some((0, 1, hex("03 0000 0001"))));
    slow.leave.add_permits(1);
    for client in &mut clients[..2] {
        assert_eq!(client.receive_raw().await.unwrap().2, hex("41 AA"));
    }
    assert!(ask(&mut Mbap::connect(address).await).await);
}

#[tokio::test]
async fn what_has_arrived_is_answered_before_a_connection_makes_room() {
    let (mut options, _events) = observed();
    options.connections = 1;
    let address = serve(MemoryDevice::full(), options);
    for _ in 0..50 {
        let mut first = Mbap::connect(address).await;
        assert!(ask(&mut first).await);
        // Without a pause for the server to run: its connection is idle as far as it knows.
        let burst: Vec<u8> = (0..16).flat_map(|id| mbap(id, 1, &hex("03 0000 0001"))).collect();
        assert_eq!(first.stream.try_write(&burst).unwrap(), burst.len());
        let mut second = Mbap::connect(address).await;
        assert!(ask(&mut second).await);
        for id in 0..16 {
            assert_eq!(first.receive_raw().await, Some((id, 1, hex("03 02 0000"))));
        }
        assert!(first.is_closed_by_peer().await);
    }
}

#[tokio::test]
async fn a_client_in_constant_use_survives_any_crowd() {
    let (mut options, _events) = observed();
    options.connections = 20;
    let address = serve(MemoryDevice::full(), options);
    let mut steady = connected(address, 1).await.remove(0);
    let mut crowd = Vec::new();
    for _ in 0..400 {
        crowd.push(Mbap::connect(address).await);
        assert!(ask(&mut steady).await);
    }
}

/// A client with an address of its own on this machine.
async fn from(source: &str, address: std::net::SocketAddr) -> Mbap<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    Mbap::new(socket.connect(address).await.unwrap())
}

#[tokio::test]
async fn a_crowd_with_halves_of_requests_locks_nobody_out() {
    // Half a request alone; after a good one; and a good one whose answers are never taken are all the same.
    for asks_first in [false, true] {
        let (mut options, _events) = observed();
        options.connections = 20;
        let address = serve(MemoryDevice::full(), options);
        let mut steady = from("127.0.0.2", address).await;
        assert!(ask(&mut steady).await);
        let mut crowd = Vec::new();
        for _ in 0..100 {
            let mut one = from("127.0.0.3", address).await;
            if asks_first {
                ask(&mut one).await;
            }
            // It may have been turned away already.
            let _ = one.stream.try_write(&hex("0000 0000 0006"));
            crowd.push(one);
        }
        assert!(ask(&mut steady).await, "an idle client was pushed out, asks_first {asks_first}");
        // Nor is one kept out that comes later.
        let mut late = from("127.0.0.4", address).await;
        assert!(ask(&mut late).await, "a new client was refused, asks_first {asks_first}");
        assert!(ask(&mut steady).await);
    }
}

#[tokio::test]
async fn one_address_has_a_share() {
    let (mut options, mut events) = observed();
    options.per_peer = 2;
    let address = serve(MemoryDevice::full(), options);
    let mut clients = connected(address, 2).await;
    let mut third = Mbap::connect(address).await;
    assert!(third.is_closed_by_peer().await);
    let peer = third.stream.local_addr().unwrap();
    assert_eq!(events.next_end().await, Event::Refused { peer, why: Refusal::PerPeer });
    // The others' share is their own.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    assert!(ask(&mut Mbap::new(socket.connect(address).await.unwrap())).await);
    assert!(matches!(events.next_end().await, Event::Closed { why: Closed::ByPeer, .. }));
    // Who goes leaves a place.
    drop(clients.pop());
    assert!(matches!(events.next_end().await, Event::Closed { why: Closed::ByPeer, .. }));
    assert!(ask(&mut Mbap::connect(address).await).await);
    assert!(ask(&mut clients[0]).await);
}

#[tokio::test]
async fn other_networks_are_turned_away() {
    let (mut options, mut events) = observed();
    options.allowed = vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.2/32".parse().unwrap()];
    let address = serve(MemoryDevice::full(), options);
    let mut stranger = Mbap::connect(address).await;
    assert!(stranger.is_closed_by_peer().await);
    let peer = stranger.stream.local_addr().unwrap();
    assert_eq!(events.next().await, Event::Refused { peer, why: Refusal::NotAllowed });
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut friend = Mbap::new(socket.connect(address).await.unwrap());
    assert!(ask(&mut friend).await);
    assert!(matches!(events.next().await, Event::Opened { .. }));
}

#[tokio::test]
async fn two_thousand_idle_connections_leave_the_others_served() {
    const IDLE: usize = 2_000;
    let (mut options, mut events) = observed();
    options.connections = 2_048;
    let before = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let address = serve(MemoryDevice::full(), options);
    // Both ends of each connection are in this process.
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    assert!(limits.current >= before.current);
    if limits.current.is_some_and(|files| files < 2 * IDLE as u64 + 300) {
        eprintln!("skipped: {limits:?} open files are too few");
        return;
    }
    let mut early = connected(address, 3).await;
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(Mbap::connect(address).await);
    }
    let mut late = connected(address, 3).await;
    for client in early.iter_mut().chain(&mut late) {
        assert!(ask(client).await);
    }
    // Nor was any of the idle ones closed: the limit is above.
    for client in idle.iter_mut().step_by(97) {
        assert!(ask(client).await);
    }
    // Beyond the limit those in use go on, too.
    for _ in 0..200 {
        idle.push(Mbap::connect(address).await);
        assert!(ask(&mut early[0]).await);
    }
    let mut closed = 0;
    while closed < IDLE + 200 + 6 - 2_048 {
        match events.next().await {
            Event::Opened { .. } => {}
            Event::Closed { why: Closed::ToMakeRoom, .. } => closed += 1,
            other => panic!("{other:?}"),
        }
    }
    for client in early.iter_mut().chain(&mut late) {
        assert!(ask(client).await);
    }
    assert!(events.0.try_recv().is_err(), "more were closed than were too many");
}

/// One socket for both families: a client of the older one is known by its own address, not by its mapped one.
#[tokio::test]
async fn both_families_on_one_socket() {
    let (mut options, mut events) = observed();
    options.allowed = vec!["127.0.0.0/8".parse().unwrap()];
    let Ok(server) = Server::bind(&"tcp://[::]:0".parse().unwrap(), options) else {
        eprintln!("skipped: there is no IPv6 here");
        return;
    };
    let port = server.target().port();
    tokio::spawn(server.run(MemoryDevice::full()));
    let mut friend = Mbap::connect(SocketAddr::from(([127, 0, 0, 1], port))).await;
    assert!(ask(&mut friend).await);
    let peer = friend.stream.local_addr().unwrap();
    assert_eq!(events.next().await, Event::Opened { peer, identity: None });
    if let Ok(stranger) = TcpStream::connect((std::net::Ipv6Addr::LOCALHOST, port)).await {
        let peer = stranger.local_addr().unwrap();
        assert!(Mbap::new(stranger).is_closed_by_peer().await);
        assert_eq!(events.next().await, Event::Refused { peer, why: Refusal::NotAllowed });
    }
}
