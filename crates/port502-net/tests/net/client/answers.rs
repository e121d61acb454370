//! Which answers are taken, for which requests.

use port502_net::client::{Error, ProtocolError};
use port502_session::client::AnswerError;
use port502_wire::{ExceptionCode, Mismatch, PduError};

use super::{SECOND, connected, options, read, write};
use crate::clock::{self, pass};
use crate::conformance::hex;
use crate::link::mbap;

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_never_the_next_ones() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options()).await;
    let first = read(&client, 1);
    let late = peer.asked().await;
    pass(SECOND).await;
    assert!(matches!(first.await.unwrap(), Err(Error::Timeout { sent: true, .. })));
    let second = read(&client, 1);
    let asked = peer.asked().await;
    assert_ne!(asked.id, late.id);
    peer.answer_register(&late, 666).await;
    clock::settle().await;
    assert!(!second.is_finished());
    peer.answer_register(&asked, 7).await;
    assert_eq!(second.await.unwrap().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn late_answers_among_sixteen_in_flight() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options().in_flight(16)).await;
    let mut late = Vec::new();
    let mut calls = Vec::new();
    for round in 0..20u16 {
        // Eight that are never answered in time, then eight that are, half a second apart.
        let lost: Vec<_> = (0..8).map(|k| read(&client, round * 16 + k)).collect();
        let mut open = Vec::new();
        for _ in &lost {
            open.push(peer.asked().await);
        }
        pass(SECOND / 2).await;
        calls.extend((8..16).map(|k| (round * 16 + k, read(&client, round * 16 + k))));
        let mut asked = Vec::new();
        for _ in 0..8 {
            asked.push(peer.asked().await);
        }
        pass(SECOND / 2).await;
        for call in lost {
            assert!(matches!(call.await.unwrap(), Err(Error::Timeout { sent: true, .. })));
        }
        late.append(&mut open);
        // The late ones come first, of this round or of the one before, and say something else.
        let rest = late.split_off(late.len() / 2);
        for asked in std::mem::replace(&mut late, rest) {
            peer.answer_register(&asked, 0xDEAD).await;
        }
        for asked in asked.iter().rev() {
            peer.answer_register(asked, asked.address()).await;
        }
        for (address, call) in calls.drain(..) {
            assert_eq!(call.await.unwrap().unwrap(), address);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asked_for_is_passed_over() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options()).await;
    peer.send(&mbap(1, 1, &hex("03 02 DEAD"))).await; // even before anything is asked
    clock::settle().await;
    let call = read(&client, 5);
    let asked = peer.asked().await;
    for id in [0, asked.id + 1, asked.id ^ 0x8000, 0xFFFF] {
        peer.send(&mbap(id, 1, &hex("03 02 DEAD"))).await;
    }
    // The right ids in another protocol.
    let mut foreign = mbap(asked.id, 1, &hex("03 02 DEAD"));
    foreign[3] = 1;
    peer.send(&foreign).await;
    clock::settle().await;
    assert!(!call.is_finished());
    peer.answer_register(&asked, 5).await;
    peer.answer_register(&asked, 666).await; // and once more
    assert_eq!(call.await.unwrap().unwrap(), 5);
    let call = read(&client, 6);
    let asked = peer.asked().await;
    peer.answer_register(&asked, 6).await;
    assert_eq!(call.await.unwrap().unwrap(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_answer_is_an_error_of_its_request_alone() {
    let _clock = clock::stop();
    let (client, fake, mut peer) = connected(options().in_flight(2)).await;
    let mismatch = AnswerError::Mismatch;
    let rows = [
        ("04 02 0001", mismatch(Mismatch::Function)),
        ("84 02", mismatch(Mismatch::Function)),
        ("03 04 0001 0002", mismatch(Mismatch::Quantity { got: 2, asked: 1 })),
        ("03 02 00", AnswerError::Pdu(PduError::ByteCount { function: 3, got: 2, implied: 1 })),
        ("03 02 0001 00", AnswerError::Pdu(PduError::ByteCount { function: 3, got: 2, implied: 3 })),
        ("03 00", AnswerError::Pdu(PduError::ByteCount { function: 3, got: 0, implied: 2 })),
        ("03", AnswerError::Pdu(PduError::Truncated { function: 3, offset: 1 })),
        ("83", AnswerError::Pdu(PduError::Truncated { function: 0x83, offset: 1 })),
        ("83 02 00", AnswerError::Pdu(PduError::Trailing { function: 0x83, offset: 2 })),
        ("00", AnswerError::Pdu(PduError::Function { function: 0 })),
        ("80 01", AnswerError::Pdu(PduError::Function { function: 0x80 })),
    ];
    for (answer, error) in rows {
        let (bad, good) = (read(&client, 1), read(&client, 2));
        let (first, second) = (peer.asked().await, peer.asked().await);
        let (bad_id, good_id) = if first.address() == 1 { (first, second) } else { (second, first) };
        peer.answer(&bad_id, &hex(answer)).await;
        let got = bad.await.unwrap().expect_err(answer);
        assert!(
            matches!(got, Error::Protocol(ProtocolError::Answer(got)) if got == error),
            "{answer}: {got:?}"
        );
        assert!(got.maybe_executed(), "{answer}");
        peer.answer_register(&good_id, 2).await;
        assert_eq!(good.await.unwrap().unwrap(), 2, "{answer}");
    }
    // A write that is not echoed as it was.
    for answer in ["06 0001 0003", "06 0002 0002", "05 0001 FF00", "10 0001 0001"] {
        let call = write(&client, 1, 2);
        let asked = peer.asked().await;
        peer.answer(&asked, &hex(answer)).await;
        let error = call.await.unwrap().expect_err(answer);
        assert!(matches!(error, Error::Protocol(_)) && error.maybe_executed(), "{answer}: {error}");
    }
    assert!(!fake.is_asked().await, "all on one connection");
}

#[tokio::test(start_paused = true)]
async fn an_exception_says_whether_it_may_have_been_done() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options()).await;
    for (code, maybe) in [
        (1, false),
        (2, false),
        (3, false),
        (4, true),
        (5, true),
        (6, false),
        (7, false),
        (8, true),
        (10, false),
        (11, true),
        (0, true),
        (9, true),
        (255, true),
    ] {
        let call = write(&client, 1, 2);
        let asked = peer.asked().await;
        peer.answer(&asked, &[0x86, code]).await;
        let error = call.await.unwrap().expect_err("an exception");
        assert!(
            matches!(error, Error::Exception { function, code: got }
                if function.0 == 6 && got == ExceptionCode::from(code)),
            "{error:?}"
        );
        assert_eq!(error.maybe_executed(), maybe, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_unit_is_taken_unless_told_otherwise() {
    let _clock = clock::stop();
    for strict in [false, true] {
        let mut options = options();
        options.strict_unit = strict;
        let (client, _fake, mut peer) = connected(options).await;
        let call = read(&client, 1);
        let mut asked = peer.asked().await;
        assert_eq!(asked.unit, 1);
        asked.unit = 255;
        peer.answer_register(&asked, 1).await;
        let got = call.await.unwrap();
        assert_eq!(got.is_err(), strict, "{got:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_may_come_in_any_pieces() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options().in_flight(3)).await;
    let calls: Vec<_> = (0..3).map(|address| read(&client, address)).collect();
    let mut bytes = Vec::new();
    for _ in 0..3 {
        let asked = peer.asked().await;
        let value = asked.address().to_be_bytes();
        bytes.extend(mbap(asked.id, 1, &[&hex("03 02")[..], &value].concat()));
    }
    for byte in bytes {
        peer.send(&[byte]).await;
        clock::settle().await;
    }
    for (address, call) in (0..).zip(calls) {
        assert_eq!(call.await.unwrap().unwrap(), address);
    }
}
