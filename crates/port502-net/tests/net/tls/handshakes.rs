//! Handshakes have places of their own: who is slow with one keeps nobody out.

use std::net::SocketAddr;
use std::time::Duration;

use port502_net::memory::MemoryDevice;
use port502_net::server::{Event, HANDSHAKE_WITHIN, Refusal};
use port502_net::tls::HandshakeFault;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::clock;
use crate::conformance::hex;
use crate::link::{Link as _, Mbap};
use crate::pki::{Pki, connect};
use crate::server::observed;

async fn ask<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(link: &mut Mbap<S>) -> bool {
    link.send(1, &hex("07")).await;
    link.receive().await.is_some()
}

fn fault(event: Event) -> (SocketAddr, HandshakeFault) {
    match event {
        Event::Refused { peer, why: Refusal::Handshake(failure) } => (peer, failure.fault.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_handshake_holds_no_place_and_ends() {
    let _stopped = clock::stop();
    let pki = Pki::new();
    pki.server("server");
    pki.client("client", None);
    let (mut options, mut events) = observed();
    // As many places for clients as there are clients.
    options.connections = 1;
    options.limits.idle = Duration::from_secs(3600);
    let (address, _) = pki.serve(MemoryDevice::full(), options);
    let mut client = Mbap::new(pki.connect(address, "client").await.unwrap());
    assert!(ask(&mut client).await);
    let mut slow = Vec::new();
    for first in ["", "16", "16 0301 0040 01"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&hex(first)).await.unwrap();
        slow.push(stream);
    }
    clock::pass(HANDSHAKE_WITHIN - Duration::from_millis(10)).await;
    assert!(ask(&mut client).await, "the client was pushed out by somebody who shakes hands");
    assert!(matches!(events.next().await, Event::Opened { .. }));
    clock::pass(Duration::from_millis(20)).await;
    let mut told = Vec::new();
    for _ in &slow {
        let (peer, fault) = fault(events.next().await);
        assert_eq!(fault, HandshakeFault::TimedOut);
        told.push(peer);
    }
    for mut stream in slow {
        assert!(told.contains(&stream.local_addr().unwrap()));
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }
    assert!(ask(&mut client).await);
}

/// A peer that was refused has to go, too, however it lingers.
#[tokio::test(start_paused = true)]
async fn who_was_refused_and_stays_is_ended_in_time() {
    let _stopped = clock::stop();
    let pki = Pki::new();
    pki.server("server");
    let (options, mut events) = observed();
    let (address, _) = pki.serve(MemoryDevice::full(), options);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&hex("0001 0000 0006 01 03 0000 0001")).await.unwrap();
    let (_, fault) = fault(events.next().await);
    assert_eq!(fault, HandshakeFault::NotTls { modbus: true });
    clock::pass(HANDSHAKE_WITHIN + Duration::from_millis(10)).await;
    // Written to until the other end is gone for good.
    let gone = async {
        while stream.write_all(&[0; 16]).await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    gone.await;
}

/// A client with an address of its own on this machine.
async fn from(source: &str, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn a_crowd_that_shakes_no_hands_ends_its_own() {
    const PLACES: usize = 4;
    let pki = Pki::new();
    pki.server("server");
    pki.client("client", None);
    let (mut options, mut events) = observed();
    options.handshakes = PLACES;
    let (address, _) = pki.serve(MemoryDevice::full(), options);
    // One that is slow, but alone on its address.
    let patient = from("127.0.0.2", address).await;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(from("127.0.0.3", address).await);
    }
    // The oldest of the crowd, each in its turn; the patient one is not among them.
    for ended in crowd.iter().take(20 - (PLACES - 1)) {
        assert_eq!(fault(events.next().await), (ended.local_addr().unwrap(), HandshakeFault::TooMany));
    }
    // Nobody else is kept out.
    let config = pki.client_config(Some("client"), rustls::ALL_VERSIONS);
    let mut client = Mbap::new(connect(&config, address).await.unwrap());
    assert!(ask(&mut client).await);
    // And the patient one can go on.
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let patient = tokio_rustls::TlsConnector::from(config).connect(name, patient).await.unwrap();
    assert!(ask(&mut Mbap::new(patient)).await);
}
