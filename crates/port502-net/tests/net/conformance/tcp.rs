//! Rows about the MBAP header and the stream, which only TCP and TLS have.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use port502_net::memory::MemoryDevice;
use port502_net::server::{Closed, Event, Options};
use port502_session::server::Expired;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::hex;
use crate::link::{Mbap, PATIENCE, mbap, serve};

/// Whether the server still answers on this connection, and nothing else first.
async fn is_usable(link: &mut Mbap<TcpStream>) -> bool {
    link.send_raw(&mbap(0x7777, 1, &hex("08 0000 5AA5"))).await;
    link.receive_raw().await == Some((0x7777, 1, hex("08 0000 5AA5")))
}

#[tokio::test]
async fn transaction_and_unit_ids_come_back() {
    let mut link = Mbap::connect(serve(MemoryDevice::full(), Options::default())).await;
    for transaction in [0, 1, 0x00FF, 0xFF00, 0xFFFF, 0xFFFF, 0] {
        for unit in [0, 1, 247, 248, 255] {
            link.send_raw(&mbap(transaction, unit, &hex("03 0000 0001"))).await;
            assert_eq!(link.receive_raw().await, Some((transaction, unit, hex("03 02 0000"))));
            link.send_raw(&mbap(transaction, unit, &hex("42"))).await;
            assert_eq!(link.receive_raw().await, Some((transaction, unit, hex("C2 01"))));
        }
    }
}

#[tokio::test]
async fn another_protocol_is_passed_over() {
    let mut link = Mbap::connect(serve(MemoryDevice::full(), Options::default())).await;
    let good = mbap(2, 1, &hex("03 0000 0001"));
    for foreign in [
        "0001 0001 0006 01 03 0000 0001",
        "0001 FFFF 0006 01 03 0000 0001",
        "0001 0100 0002 01 03",
        "0001 0001 00FE 01 00*253",
        "0001 0001 0006 01 06 0000 1234 0001 0002 0006 01 06 0000 1234", // two in a row
    ] {
        link.send_raw(&[&hex(foreign)[..], &good].concat()).await;
        assert_eq!(link.receive_raw().await, Some((2, 1, hex("03 02 0000"))), "{foreign}");
    }
}

#[tokio::test]
async fn a_length_that_no_frame_has_closes() {
    let address = serve(MemoryDevice::full(), Options::default());
    for length in [0u16, 1, 255, 256, 260, 0x8006, 0xFFFF] {
        let bad = [&hex("0001 0000")[..], &length.to_be_bytes(), &hex("01 03 0000 0001")].concat();
        let mut link = Mbap::connect(address).await;
        link.send_raw(&bad).await;
        assert!(link.is_closed_by_peer().await, "length {length}");

        // What stood in front of it is answered.
        let mut link = Mbap::connect(address).await;
        link.send_raw(&[&mbap(9, 1, &hex("03 0000 0001"))[..], &bad].concat()).await;
        assert_eq!(link.receive_raw().await, Some((9, 1, hex("03 02 0000"))), "length {length}");
        assert!(link.is_closed_by_peer().await, "length {length}");

        // Known by its sixth byte: nothing more need come.
        let mut link = Mbap::connect(address).await;
        for byte in &bad[..6] {
            link.send_raw(&[*byte]).await;
        }
        assert!(link.is_closed_by_peer().await, "length {length}, byte by byte");

        // In a protocol that is not Modbus the length is as unreadable.
        let mut link = Mbap::connect(address).await;
        link.send_raw(&[&hex("0001 0007")[..], &length.to_be_bytes(), &hex("01 03")].concat()).await;
        assert!(link.is_closed_by_peer().await, "length {length} of a foreign protocol");
    }
    // The limits themselves are frames.
    let mut link = Mbap::connect(address).await;
    link.send_raw(&hex("0001 0000 0002 01 07")).await;
    assert_eq!(link.receive_raw().await, Some((1, 1, hex("07 00"))));
    link.send_raw(&hex("0001 0000 00FE 01 08 0000 AB*250")).await;
    assert_eq!(link.receive_raw().await, Some((1, 1, hex("08 0000 AB*250"))));
}

#[tokio::test]
async fn many_requests_in_one_segment_are_answered_in_order() {
    let mut link = Mbap::connect(serve(MemoryDevice::full(), Options::default())).await;
    for count in [16u16, 100, 3000] {
        let burst: Vec<u8> = (1..=count).flat_map(|id| mbap(id, 1, &hex("03 0000 0001"))).collect();
        link.send_raw(&burst).await;
        for id in 1..=count {
            assert_eq!(link.receive_raw().await, Some((id, 1, hex("03 02 0000"))));
        }
    }
    // Each sees what those in front of it wrote.
    let burst: Vec<u8> = (0..16u16)
        .flat_map(|id| {
            let write = [&hex("06 0005")[..], &id.to_be_bytes()].concat();
            [mbap(id, 1, &write), mbap(0x100 | id, 1, &hex("03 0005 0001"))].concat()
        })
        .collect();
    link.send_raw(&burst).await;
    for id in 0..16u16 {
        let written = [&hex("06 0005")[..], &id.to_be_bytes()].concat();
        assert_eq!(link.receive_raw().await, Some((id, 1, written)));
        let read = [&hex("03 02")[..], &id.to_be_bytes()].concat();
        assert_eq!(link.receive_raw().await, Some((0x100 | id, 1, read)));
    }
}

#[tokio::test]
async fn a_request_may_come_in_any_pieces() {
    let mut link = Mbap::connect(serve(MemoryDevice::full(), Options::default())).await;
    let request = mbap(1, 1, &hex("10 0000 0002 04 0102 0304"));
    for cut in 1..request.len() {
        for piece in [&request[..cut], &request[cut..]] {
            link.send_raw(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(link.receive_raw().await, Some((1, 1, hex("10 0000 0002"))), "cut at {cut}");
    }
    for byte in mbap(2, 1, &hex("03 0000 0002")) {
        link.send_raw(&[byte]).await;
        tokio::time::sleep(Duration::from_millis(20)).await; // the pace of the conformance list
    }
    assert_eq!(link.receive_raw().await, Some((2, 1, hex("03 04 0102 0304"))));
}

#[tokio::test]
async fn the_end_of_a_half_request_is_nothing_special() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut options = Options::default();
    let log = Arc::clone(&seen);
    options.observer = Some(Arc::new(move |event| log.lock().unwrap().push(event.clone())));
    let address = serve(MemoryDevice::full(), options);
    let request = mbap(1, 1, &hex("03 0000 0001"));
    for cut in 0..request.len() {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let peer = stream.local_addr().unwrap();
        stream.write_all(&request[..cut]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "cut at {cut}");
        let events: Vec<Event> = std::mem::take(&mut *seen.lock().unwrap());
        let closed = Event::Closed { peer, why: Closed::ByPeer, requests: 0 };
        assert_eq!(events, [Event::Opened { peer, identity: None }, closed], "cut at {cut}");
    }
}

#[tokio::test]
async fn half_a_request_and_then_nothing_is_closed() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut options = Options::default();
    options.limits.frame = Duration::from_millis(60);
    let log = Arc::clone(&seen);
    options.observer = Some(Arc::new(move |event| log.lock().unwrap().push(event.clone())));
    let mut link = Mbap::connect(serve(MemoryDevice::full(), options)).await;
    assert!(is_usable(&mut link).await);
    link.send_raw(&hex("0001 0000 0006 01 03")).await;
    let end = tokio::time::timeout(PATIENCE, link.stream.read(&mut [0; 16])).await;
    assert_eq!(end.unwrap().unwrap(), 0);
    let Some(Event::Closed { why, requests, .. }) = seen.lock().unwrap().last().cloned() else { panic!() };
    assert_eq!((why, requests), (Closed::Expired(Expired::HalfFrame), 1));
}
