//! Devices that die, hang, answer late, twice or garbage; clients that are slow, silent or gone.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::clock::{self, pass, settle};
use crate::fake::{Fake, Peer};
use crate::link::{hex, mbap};
use crate::stand::{Client, Ended, SITE, Stand, Way, policy};

const READ: &[u8] = &[3, 0, 100, 0, 1];

async fn stand(way: Way) -> (Fake, Stand) {
    let fake = Fake::bind().await;
    let stand = Stand::new(&policy(SITE), way, fake.address);
    (fake, stand)
}

/// A client whose first request has reached the device.
async fn asking(fake: &Fake, stand: &Stand) -> (Client, Peer, crate::fake::Asked) {
    let mut client = Client::connect(stand.address, 1).await;
    client.send(&mbap(1, 3, READ)).await;
    let mut device = fake.accept().await;
    let asked = device.asked().await;
    (client, device, asked)
}

#[tokio::test]
async fn a_device_that_takes_no_connection() {
    let fake = Fake::bind().await;
    let address = fake.address;
    drop(fake);
    let stand = Stand::new(&policy(SITE), Way::Own, address);
    let mut client = Client::connect(stand.address, 1).await;
    client.send(&mbap(1, 3, READ)).await;
    assert_eq!(client.end().await, Ended::Reset);
    assert_eq!(stand.conduit.status().unreachable, 1);
    // On a shared link the client is told, and stays.
    let stand = Stand::new(&policy(SITE), Way::Shared, address);
    let mut client = Client::connect(stand.address, 1).await;
    assert_eq!(client.ask(1, READ).await, Some(hex("83 0A")));
    assert_eq!(client.ask(2, READ).await, Some(hex("83 0A")));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_dies_in_the_middle() {
    let _stopped = clock::stop();
    let (fake, stand) = stand(Way::Own).await;
    let (mut client, device, _) = asking(&fake, &stand).await;
    drop(device);
    assert!(client.ended().await.is_some());
    // The next one finds it again.
    let (mut client, mut device, asked) = asking(&fake, &stand).await;
    device.answer_register(&asked, 9).await;
    assert_eq!(client.receive().await, Some((1, 3, hex("03 02 0009"))));
}

#[tokio::test(start_paused = true)]
async fn a_shared_device_that_dies_in_the_middle() {
    let _stopped = clock::stop();
    let (fake, stand) = stand(Way::Shared).await;
    let (mut client, device, _) = asking(&fake, &stand).await;
    drop(device);
    settle().await;
    assert_eq!(client.receive().await, Some((1, 3, hex("83 0B"))));
    // A device that closes what it accepts is left alone for a moment.
    assert_eq!(client.ask(2, READ).await, Some(hex("83 0A")));
    pass(Duration::from_secs(1)).await;
    client.send(&mbap(2, 3, READ)).await;
    let mut device = fake.accept().await;
    let asked = device.asked().await;
    device.answer_register(&asked, 9).await;
    assert_eq!(client.receive().await, Some((2, 3, hex("03 02 0009"))));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_hangs() {
    let _stopped = clock::stop();
    let (fake, stand) = stand(Way::Own).await;
    let (mut client, mut device, late) = asking(&fake, &stand).await;
    pass(Duration::from_secs(61)).await;
    assert_eq!(stand.reason(), ("noted".into(), "unanswered".into()));
    // What it says then is nobody's answer, and the next request gets its own.
    device.answer_register(&late, 1).await;
    client.send(&mbap(2, 3, READ)).await;
    let asked = device.asked().await;
    assert_ne!(asked.id, late.id);
    device.answer_register(&asked, 2).await;
    assert_eq!(client.receive().await, Some((2, 3, hex("03 02 0002"))));
    assert_eq!(stand.reason(), ("refused".into(), "late".into()));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_answers_amiss() {
    let _stopped = clock::stop();
    for (answer, reason) in [
        ("0009 0000 0005 03 03 02 0001", "unsolicited"),
        ("0001 0000 0005 04 03 02 0001", "other-unit"),
        ("0001 0000 0005 03 04 02 0001", "mismatch"),
        ("0001 0000 0007 03 03 04 0001 0002", "mismatch"),
        ("0001 0000 0005 03 03 04 0001", "malformed-response"),
        ("0001 0000 0006 03 03 02 0001 00", "malformed-response"),
        ("0001 0007 0005 03 03 02 0001", "protocol-id"),
    ] {
        let (fake, stand) = stand(Way::Own).await;
        let (mut client, mut device, asked) = asking(&fake, &stand).await;
        device.send(&hex(answer)).await;
        settle().await;
        assert_eq!(stand.reason(), ("refused".into(), reason.into()), "{answer}");
        // The request waits for the answer that fits it; a second one is one too many.
        device.answer_register(&asked, 5).await;
        assert_eq!(client.receive().await, Some((1, 3, hex("03 02 0005"))), "{answer}");
        device.answer_register(&asked, 6).await;
        settle().await;
        assert_eq!(stand.reason(), ("refused".into(), "duplicate".into()));
        client.send(&mbap(2, 3, READ)).await;
        let asked = device.asked().await;
        device.answer_register(&asked, 7).await;
        assert_eq!(client.receive().await, Some((2, 3, hex("03 02 0007"))));
        stand.silent();
    }
}

/// The lane gives up the request, which the inspection sees after what was wrong.
#[tokio::test(start_paused = true)]
async fn a_device_of_many_that_answers_amiss() {
    let _stopped = clock::stop();
    for (answer, reason) in [
        ("0001 0000 0005 04 03 02 0001", "other-unit"),
        ("0001 0000 0005 03 04 02 0001", "mismatch"),
        ("0001 0000 0007 03 03 04 0001 0002", "mismatch"),
        ("0001 0000 0005 03 03 04 0001", "malformed-response"),
        ("0001 0000 0006 03 03 02 0001 00", "malformed-response"),
    ] {
        let (fake, stand) = stand(Way::Shared).await;
        let (mut client, mut device, asked) = asking(&fake, &stand).await;
        device.send(&hex(answer)).await;
        assert_eq!(client.receive().await, Some((1, 3, hex("83 0B"))), "{answer}");
        assert_eq!(stand.reason(), ("refused".into(), reason.into()), "{answer}");
        // The answer that would fit comes too late.
        device.answer_register(&asked, 5).await;
        settle().await;
        assert_eq!(stand.conduit.status().discarded, 1);
        client.send(&mbap(2, 3, READ)).await;
        let asked = device.asked().await;
        device.answer_register(&asked, 7).await;
        assert_eq!(client.receive().await, Some((2, 3, hex("03 02 0007"))));
        stand.silent();
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_answers_garbage() {
    let _stopped = clock::stop();
    let (fake, stand) = stand(Way::Own).await;
    let (mut client, mut device, _) = asking(&fake, &stand).await;
    device.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert_eq!(client.ended().await, Some(Ended::Reset));
    // What it begins with is read as the head of a frame of another protocol, or of none.
    let (verdict, reason) = stand.reason();
    assert_eq!((verdict.as_str(), reason.as_str()), ("refused", "frame-length"));
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_and_then_nothing() {
    let _stopped = clock::stop();
    let (_fake, stand) = stand(Way::Own).await;
    let mut client = Client::connect(stand.address, 1).await;
    client.send(&hex("0001 0000 0006 03 03")).await;
    pass(Duration::from_secs(7)).await;
    assert_eq!(client.ended().await, None);
    pass(Duration::from_secs(2)).await;
    assert_eq!(client.ended().await, Some(Ended::Reset));
    assert_eq!(stand.reason(), ("refused".into(), "half-frame".into()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_for_long() {
    let _stopped = clock::stop();
    let (fake, stand) = stand(Way::Own).await;
    let mut silent = Client::connect(stand.address, 1).await;
    let (mut client, mut device, asked) = asking(&fake, &stand).await;
    device.answer_register(&asked, 7).await;
    assert!(client.receive().await.is_some());
    pass(Duration::from_secs(200)).await;
    client.send(&mbap(2, 3, READ)).await;
    let asked = device.asked().await;
    device.answer_register(&asked, 7).await;
    assert!(client.receive().await.is_some());
    pass(Duration::from_secs(150)).await;
    assert_eq!(silent.ended().await, Some(Ended::Closed));
    assert_eq!(client.ended().await, None);
    pass(Duration::from_secs(200)).await;
    assert_eq!(client.ended().await, Some(Ended::Closed));
    assert_eq!(device.next().await, None, "nor is the device held");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_more_gets_what_it_asked() {
    let _stopped = clock::stop();
    let (fake, stand) = stand(Way::Own).await;
    let (mut client, mut device, asked) = asking(&fake, &stand).await;
    client.stream.shutdown().await.unwrap();
    settle().await;
    assert_eq!(client.ended().await, None);
    device.answer_register(&asked, 3).await;
    assert_eq!(client.receive().await, Some((1, 3, hex("03 02 0003"))));
    assert_eq!(client.ended().await, Some(Ended::Closed));
    assert_eq!(device.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_takes_its_connection_to_the_device_along() {
    let _stopped = clock::stop();
    let (fake, stand) = stand(Way::Own).await;
    let (client, mut device, _) = asking(&fake, &stand).await;
    drop(client);
    settle().await;
    // It had asked something: the device may say it, until the time for that is over.
    pass(Duration::from_secs(61)).await;
    assert_eq!(device.next().await, None);
    assert_eq!(stand.conduit.status().clients, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_answers_is_not_read_any_more() {
    let _stopped = clock::stop();
    let (_fake, stand) = stand(Way::Own).await;
    let client = Client::connect(stand.address, 77).await;
    // Each of these is answered with an exception that nobody takes.
    let burst: Vec<u8> = (0..1_000).flat_map(|id| mbap(id, 3, READ)).collect();
    let (mut taken, mut full) = (0, 0);
    while full < 50 {
        match client.stream.try_write(&burst) {
            Ok(count) => (taken, full) = (taken + count, 0),
            Err(_) => full += 1,
        }
        settle().await;
        assert!(taken < 64 << 20, "it reads on for ever");
    }
    // Socket buffers hold the most of it; what is kept here is what one read brings.
    println!("{taken} bytes until both sides were full");
    assert!(stand.conduit.status().requests < u64::try_from(taken / 12).unwrap());
    // When it takes them, each request that has come whole is answered.
    let (want, mut got, mut room) =
        (taken / mbap(0, 3, READ).len() * mbap(0, 3, &[0x83, 1]).len(), 0, vec![0; 1 << 16]);
    let mut empty = 0;
    while got < want {
        match client.stream.try_read(&mut room) {
            Ok(count) => (got, empty) = (got + count, 0),
            Err(_) => empty += 1,
        }
        settle().await;
        assert!(empty < 50, "{got} bytes of {want}");
    }
    assert_eq!(got, want);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_guard_answers_what_has_arrived() {
    let _stopped = clock::stop();
    let (fake, stand) = stand(Way::Own).await;
    let (mut client, mut device, asked) = asking(&fake, &stand).await;
    let mut idle = Client::connect(stand.address, 1).await;
    settle().await;
    stand.stop.stop();
    settle().await;
    assert_eq!(idle.ended().await, Some(Ended::Closed));
    device.answer_register(&asked, 3).await;
    assert_eq!(client.receive().await, Some((1, 3, hex("03 02 0003"))));
    assert_eq!(client.ended().await, Some(Ended::Closed));
    settle().await;
    assert!(stand.served.is_finished());
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_and_no_other() {
    let nobody = Fake::bind().await;
    let gone = nobody.target();
    drop(nobody);
    let fake = Fake::bind().await;
    let upstream = |target| crate::stand::upstream(Way::Own, target);
    // Whoever is told that the device cannot be reached has a fault of its own.
    let stand = Stand::of(crate::stand::engine(&policy(SITE)), upstream(fake.target()), |conduit| {
        conduit.observed_by(std::sync::Arc::new(|reach: &port502_guard::Reach<'_>| {
            assert!(!matches!(reach, port502_guard::Reach::Lost { .. }), "a fault");
        }))
    });
    let (mut other, mut device, asked) = asking(&fake, &stand).await;
    device.answer_register(&asked, 1).await;
    assert!(other.receive().await.is_some());
    stand.conduit.reroute(upstream(gone));
    let mut unlucky = Client::connect(stand.address, 1).await;
    unlucky.send(&mbap(1, 3, READ)).await;
    unlucky.end().await;
    while stand.conduit.status().clients != 1 {
        tokio::task::yield_now().await;
    }
    // The other one is there, and so is the guard, with what it has to remember.
    stand.conduit.reroute(upstream(fake.target()));
    for client in [&mut other, &mut Client::connect(stand.address, 1).await] {
        client.send(&mbap(2, 3, READ)).await;
        let mut device = fake.accept().await;
        let asked = device.asked().await;
        device.answer_register(&asked, 2).await;
        assert_eq!(client.receive().await, Some((2, 3, hex("03 02 0002"))));
    }
    assert_eq!(stand.conduit.status().unreachable, 1);
}
