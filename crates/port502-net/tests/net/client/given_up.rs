//! Requests that time out, wait in line, or are dropped by those who made them.

use std::collections::VecDeque;

use port502_net::client::{Client, Error, IN_FLIGHT_MAX, Options, QUEUE_MAX};
use port502_session::client::ABANDONED_MAX;
use port502_wire::{Request, SubFunction};
use tokio::task::JoinHandle;

use super::{SECOND, connected, options, read, write};
use crate::clock::{self, pass, settle};
use crate::conformance::hex;
use crate::fake::Fake;
use crate::random::Random;

#[track_caller]
fn timed_out(result: Result<u16, Error>, sent: bool) {
    let error = result.expect_err("a timeout");
    assert!(matches!(error, Error::Timeout { sent: got, .. } if got == sent), "{error:?}");
    assert_eq!(error.maybe_executed(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_costs_the_timeout() {
    let _clock = clock::stop();
    let (client, fake, mut peer) = connected(options()).await;
    for _ in 0..3 {
        let call = read(&client, 1);
        peer.asked().await;
        pass(SECOND * 999 / 1000).await;
        assert!(!call.is_finished());
        pass(SECOND / 1000).await;
        assert!(call.is_finished());
        timed_out(call.await.unwrap(), true);
    }
    assert!(!fake.is_asked().await);
}

#[tokio::test(start_paused = true)]
async fn a_slow_device_has_a_time_of_its_own() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options()).await;
    let slow = client.unit(1).with_timeout(3 * SECOND);
    let call = tokio::spawn(async move { slow.read_holding_registers(7, 1).await });
    let asked = peer.asked().await;
    pass(2 * SECOND).await;
    peer.answer_register(&asked, 42).await;
    assert_eq!(call.await.unwrap().unwrap(), [42]);
    let call = read(&client, 8);
    peer.asked().await;
    pass(SECOND).await;
    timed_out(call.await.unwrap(), true);
}

#[tokio::test(start_paused = true)]
async fn reads_are_asked_again_and_writes_are_not() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options().retries(2)).await;
    let call = read(&client, 9);
    for _ in 0..3 {
        assert_eq!(peer.asked().await.pdu, hex("03 0009 0001"));
        pass(SECOND).await;
    }
    timed_out(call.await.unwrap(), true);
    assert!(peer.is_quiet().await);
    // The last try counts as any other.
    let call = read(&client, 9);
    peer.asked().await;
    pass(SECOND).await;
    let asked = peer.asked().await;
    peer.answer_register(&asked, 5).await;
    assert_eq!(call.await.unwrap().unwrap(), 5);

    let writes = [
        Request::WriteSingleRegister { address: 1, value: 2 },
        Request::WriteSingleCoil { address: 1, value: true },
        Request::MaskWriteRegister { address: 1, and: 2, or: 3 },
        Request::Diagnostics { sub_function: SubFunction::CLEAR_COUNTERS, data: &[0, 0] },
        Request::Other { function: 0x41, data: &[] },
    ];
    for request in writes {
        let unit = client.unit(1);
        let call = tokio::spawn(async move { unit.call(&request).await });
        peer.asked().await;
        pass(SECOND).await;
        let error = call.await.unwrap().expect_err("nobody answers");
        assert!(matches!(error, Error::Timeout { sent: true, .. }), "{request:?}: {error:?}");
    }
    assert!(peer.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn writes_are_asked_again_on_request() {
    let _clock = clock::stop();
    let mut options = options().retries(1);
    options.retry_writes = true;
    let (client, _fake, mut peer) = connected(options).await;
    let call = write(&client, 1, 2);
    assert_eq!(peer.asked().await.pdu, hex("06 0001 0002"));
    pass(SECOND).await;
    let again = peer.asked().await;
    assert_eq!(again.pdu, hex("06 0001 0002"));
    peer.answer(&again, &again.pdu).await;
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_in_line_is_part_of_the_time() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options()).await;
    let first = read(&client, 1);
    peer.asked().await;
    pass(SECOND / 2).await;
    let (second, third) = (read(&client, 2), read(&client, 3));
    settle().await;
    third.abort(); // gives up its place in line
    pass(SECOND / 2).await;
    timed_out(first.await.unwrap(), true);
    // Half of its time is left when its turn comes.
    assert_eq!(peer.asked().await.address(), 2);
    let fourth = read(&client, 4);
    pass(SECOND / 2).await;
    timed_out(second.await.unwrap(), true);
    let asked = peer.asked().await;
    assert_eq!(asked.address(), 4);
    // One that never had its turn is not sent at all.
    let fifth = read(&client, 5);
    settle().await;
    pass(SECOND / 2).await;
    timed_out(fourth.await.unwrap(), true);
    assert_eq!(peer.asked().await.address(), 5);
    drop(fifth);
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_was_not_sent() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options()).await;
    // Each later by a hair: the one in front takes the connection for all of its time.
    let first = read(&client, 1);
    peer.asked().await;
    let second = read(&client, 2);
    settle().await;
    pass(SECOND).await;
    timed_out(first.await.unwrap(), true);
    timed_out(second.await.unwrap(), false);
    assert!(peer.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn as_many_are_in_flight_as_allowed() {
    let _clock = clock::stop();
    for (asked_for, allowed) in [(0, 1), (1, 1), (16, 16), (64, 64), (1000, IN_FLIGHT_MAX)] {
        let (client, _fake, mut peer) = connected(options().in_flight(asked_for)).await;
        let calls: Vec<_> =
            (0..if allowed > 100 { 400 } else { 200 }).map(|address| read(&client, address)).collect();
        let mut open = VecDeque::new();
        let mut total = 0;
        while total < calls.len() {
            while open.len() < allowed.min(calls.len() - total) {
                open.push_back(peer.asked().await);
            }
            assert!(peer.is_quiet().await, "more than {allowed} in flight");
            let asked = open.pop_front().unwrap();
            peer.answer_register(&asked, asked.address()).await;
            total += 1;
        }
        for (address, call) in (0..).zip(calls) {
            assert_eq!(call.await.unwrap().unwrap(), address);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_wait_in_line() {
    let _clock = clock::stop();
    const CALLERS: u16 = 1000;
    assert!(usize::from(CALLERS) > 2 * QUEUE_MAX);
    let (client, _fake, mut peer) = connected(options().in_flight(4)).await;
    let calls: Vec<_> = (0..CALLERS).map(|address| read(&client, address)).collect();
    for _ in 0..CALLERS {
        let asked = peer.asked().await;
        peer.answer_register(&asked, asked.address()).await;
    }
    for (address, call) in (0..).zip(calls) {
        assert_eq!(call.await.unwrap().unwrap(), address);
    }
    // All of them give up at their deadline, wherever they wait.
    let calls: Vec<_> = (0..CALLERS).map(|address| read(&client, address)).collect();
    pass(SECOND).await;
    let mut sent = 0;
    for call in calls {
        let error = call.await.unwrap().expect_err("a timeout");
        assert!(matches!(error, Error::Timeout { .. }));
        sent += usize::from(error.maybe_executed());
    }
    assert_eq!(sent, 4);
}

/// Answers with the address what comes, in random order and after a random while.
async fn answer_at_random(fake: Fake, mut random: Random) {
    loop {
        let mut peer = fake.accept().await;
        let mut open = Vec::new();
        loop {
            tokio::select! {
                biased;
                asked = peer.next() => match asked {
                    Some(asked) => open.push(asked),
                    None => break,
                },
                () = random.pause(), if !open.is_empty() => {
                    let at = random.below(open.len());
                    let asked = open.swap_remove(at);
                    peer.answer_register(&asked, asked.address()).await;
                }
            }
        }
    }
}

/// Requests that are dropped at random points, among others that are not: all that are kept get their own
/// answers. A clock that stands still leaves no other way for a request to end.
#[tokio::test(start_paused = true)]
async fn dropped_requests_leave_the_connection_usable() {
    let _clock = clock::stop();
    for seed in 0..40 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let in_flight = [1, 2, 16][random.below(3)];
        let fake = Fake::bind().await;
        let client = Client::connect(fake.target(), options().in_flight(in_flight)).await.unwrap();
        let server = tokio::spawn(answer_at_random(fake, Random::new(seed + 1000)));
        let mut calls: Vec<(u16, JoinHandle<Result<u16, Error>>)> = Vec::new();
        for address in 0..60 {
            calls.push((address, read(&client, address)));
            random.pause().await;
            if random.below(2) == 0 {
                let at = random.below(calls.len());
                calls.swap_remove(at).1.abort();
            }
        }
        for (address, call) in calls {
            assert_eq!(call.await.unwrap().unwrap(), address);
        }
        assert_eq!(read(&client, 999).await.unwrap().unwrap(), 999);
        server.abort();
    }
}

/// A dropped request keeps its place in flight until it is answered or out of time: a device that can do one
/// thing at a time is not asked the next while it works.
#[tokio::test(start_paused = true)]
async fn a_dropped_request_keeps_its_place_until_its_deadline() {
    let _clock = clock::stop();
    let (client, _fake, mut peer) = connected(options()).await;
    let dropped = read(&client, 1);
    let late = peer.asked().await;
    dropped.abort();
    pass(SECOND / 4).await;
    let next = read(&client, 2);
    assert!(peer.is_quiet().await);
    pass(SECOND * 3 / 4).await;
    let asked = peer.asked().await;
    peer.answer_register(&late, 666).await;
    peer.answer_register(&asked, 2).await;
    assert_eq!(next.await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_too_much_was_never_answered_is_given_up() {
    let _clock = clock::stop();
    let (client, fake, mut peer) = connected(options().in_flight(64)).await;
    for _ in 0..ABANDONED_MAX / 64 {
        let calls: Vec<_> = (0..64).map(|address| read(&client, address)).collect();
        for _ in &calls {
            peer.asked().await;
        }
        pass(SECOND).await;
        for call in calls {
            timed_out(call.await.unwrap(), true);
        }
    }
    assert!(!fake.is_asked().await);
    let call = read(&client, 7);
    settle().await;
    pass(Options::default().backoff).await;
    let mut peer = fake.accept().await;
    let asked = peer.asked().await;
    peer.answer_register(&asked, 7).await;
    assert_eq!(call.await.unwrap().unwrap(), 7);
}
