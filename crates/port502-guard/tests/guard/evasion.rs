//! Tricks: none passes, and none is unseen.

use crate::clock;
use crate::fake::Fake;
use crate::link::{hex, mbap};
use crate::stand::{Client, Stand, Way, policy};

/// Bytes of a client that may read one register and write another, and what is recorded of them.
const TRICKS: &[(&str, &str, &str)] = &[
    ("another protocol id", "0001 0001 0006 03 06 0000 0001", "protocol-id"),
    ("a protocol id in the low byte", "0001 00FF 0006 03 03 0064 0001", "protocol-id"),
    ("a length of nothing", "0001 0000 0000 03 06 0000 0001", "frame-length"),
    ("a length of the unit alone", "0001 0000 0001 03", "frame-length"),
    ("a length above every frame", "0001 0000 00FF 03 06 0000 0001", "frame-length"),
    ("the longest length there is", "0001 0000 FFFF 03 06 0000 0001", "frame-length"),
    ("a write behind a read, in its length", "0001 0000 000B 03 03 0064 0001 06 0000 0001", "malformed"),
    ("a read that is cut short", "0001 0000 0005 03 03 0064 00", "malformed"),
    ("more bytes than it counts", "0001 0000 0009 03 10 00C8 0001 04 0190", "malformed"),
    ("fewer bytes than it counts", "0001 0000 000B 03 10 00C8 0001 01 0190 0190", "malformed"),
    ("a byte count of nothing", "0001 0000 0007 03 10 00C8 0001 00", "malformed"),
    ("a response for a request", "0001 0000 0003 03 83 01", "malformed"),
    ("no function", "0001 0000 0002 03 00", "malformed"),
    ("function 23 that hides a write", "0001 0000 000D 03 17 0064 0001 0000 0001 02 0001", "function"),
    ("function 22", "0001 0000 0008 03 16 00C8 0000 0190", "function"),
    ("function 21", "0001 0000 000C 03 15 09 06 0001 0000 0001 0001", "function"),
    ("function 8, restart", "0001 0000 0006 03 08 0001 0000", "function"),
    ("function 8, listen only", "0001 0000 0006 03 08 0004 0000", "function"),
    ("function 8, a sub-function that nobody knows", "0001 0000 0006 03 08 7777 0000", "function"),
    ("function 90", "0001 0000 0006 03 5A 0001 0000", "function"),
    ("function 43/13", "0001 0000 0005 03 2B 0D 0000", "function"),
    ("function 17", "0001 0000 0002 03 11", "function"),
    ("a function that nobody knows", "0001 0000 0002 03 7F", "function"),
    ("a write to all units", "0001 0000 0006 00 06 00C8 0190", "unit"),
    ("a write to the gateway itself", "0001 0000 0006 FF 06 00C8 0190", "unit"),
    ("a read of another unit", "0001 0000 0006 04 03 0064 0001", "unit"),
    ("a read that reaches too far", "0001 0000 0006 03 03 0064 0002", "address"),
    (
        "a write of two registers of which one is allowed",
        "0001 0000 000B 03 10 00C7 0002 04 0190 0190",
        "address",
    ),
    ("a coil beside the one", "0001 0000 0006 03 05 0001 FF00", "address"),
    ("many coils with the one among them", "0001 0000 0008 03 0F 0001 0002 01 03", "address"),
    ("a coil that is neither on nor off", "0001 0000 0006 03 05 0002 1234", "malformed"),
    ("as many registers as no response holds", "0001 0000 0006 03 03 0064 007E", "malformed"),
    ("no registers", "0001 0000 0006 03 03 0064 0000", "malformed"),
    ("addresses past the last", "0001 0000 0006 03 03 FFFF 0002", "malformed"),
];

async fn try_all(way: Way, pieces: bool) {
    for (trick, bytes, reason) in TRICKS {
        let fake = Fake::bind().await;
        let stand = Stand::new(&policy(crate::stand::SITE), way, fake.address);
        let mut client = Client::connect(stand.address, 2).await;
        let bytes = hex(bytes);
        if pieces {
            for byte in bytes {
                // It may be refused before its last byte.
                if client.stream.try_write(&[byte]).is_err() {
                    break;
                }
                clock::settle().await;
            }
        } else {
            client.send(&bytes).await;
        }
        clock::settle().await;
        assert!(!fake.is_asked().await, "{trick}: it has reached the device");
        assert_eq!(stand.reason(), ("refused".into(), (*reason).into()), "{trick}");
        stand.silent();
    }
}

#[tokio::test(start_paused = true)]
async fn none_passes_and_none_is_unseen() {
    let _stopped = clock::stop();
    try_all(Way::Own, false).await;
    try_all(Way::Shared, false).await;
}

#[tokio::test(start_paused = true)]
async fn one_byte_at_a_time_is_no_disguise() {
    let _stopped = clock::stop();
    try_all(Way::Own, true).await;
}

#[tokio::test(start_paused = true)]
async fn two_requests_with_one_transaction_id() {
    let _stopped = clock::stop();
    let fake = Fake::bind().await;
    let stand = Stand::new(&policy(crate::stand::SITE), Way::Own, fake.address);
    let mut client = Client::connect(stand.address, 2).await;
    let both = [mbap(7, 3, &hex("03 0064 0001")), mbap(7, 3, &hex("06 0000 0001"))].concat();
    client.send(&both).await;
    let mut device = fake.accept().await;
    let asked = device.asked().await;
    assert_eq!(asked.pdu, hex("03 0064 0001"));
    assert!(device.is_quiet().await);
    assert_eq!(stand.reason(), ("refused".into(), "transaction-reused".into()));
    device.answer_register(&asked, 1).await;
    assert_eq!(client.receive().await, Some((7, 3, hex("03 02 0001"))));
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_with_one_bad_request_in_it() {
    let _stopped = clock::stop();
    let fake = Fake::bind().await;
    let stand = Stand::new(&policy(crate::stand::SITE), Way::Own, fake.address);
    let mut client = Client::connect(stand.address, 2).await;
    let mut burst = Vec::new();
    for id in 0..10 {
        let pdu = if id == 4 { hex("06 0000 0001") } else { hex("03 0064 0001") };
        burst.extend(mbap(id, 3, &pdu));
    }
    client.send(&burst).await;
    assert_eq!(client.receive().await, Some((4, 3, hex("86 01"))));
    let mut device = fake.accept().await;
    for _ in 0..9 {
        let asked = device.asked().await;
        assert_eq!(asked.pdu, hex("03 0064 0001"));
        device.answer_register(&asked, 1).await;
    }
    for id in [0, 1, 2, 3, 5, 6, 7, 8, 9] {
        assert_eq!(client.receive().await, Some((id, 3, hex("03 02 0001"))));
    }
}
