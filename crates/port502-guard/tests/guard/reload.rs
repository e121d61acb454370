//! Rules that are replaced, and devices that move, while clients are connected.

use std::time::Duration;

use port502_guard::Upstream;
use port502_net::Dialler;

use crate::clock::{self, settle};
use crate::fake::Fake;
use crate::link::{hex, mbap};
use crate::stand::{Client, SITE, Stand, Way, engine, policy, upstream, with};

const READ: &[u8] = &[3, 0, 100, 0, 1];

#[tokio::test(start_paused = true)]
async fn the_next_request_is_judged_by_the_new_rules() {
    let _stopped = clock::stop();
    let fake = Fake::bind().await;
    let stand = Stand::new(&policy(SITE), Way::Own, fake.address);
    let mut client = Client::connect(stand.address, 1).await;
    client.send(&mbap(1, 3, READ)).await;
    let mut device = fake.accept().await;
    let open = device.asked().await;
    // Half of the next request is here already when the rules change.
    let next = mbap(2, 3, READ);
    client.send(&next[..9]).await;
    settle().await;
    let closed = policy(&SITE.replace("\"control\", \"operators\"", "\"operators\""));
    stand.conduit.replace(engine(&closed));
    client.send(&next[9..]).await;
    assert_eq!(client.receive().await, Some((2, 3, hex("83 01"))));
    // What had passed is answered all the same, on the same connection.
    device.answer_register(&open, 4).await;
    assert_eq!(client.receive().await, Some((1, 3, hex("03 02 0004"))));
    stand.conduit.replace(engine(&policy(SITE)));
    client.send(&mbap(3, 3, READ)).await;
    let asked = device.asked().await;
    device.answer_register(&asked, 5).await;
    assert_eq!(client.receive().await, Some((3, 3, hex("03 02 0005"))));
    assert_eq!(stand.reason(), ("refused".into(), "client".into()));
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_is_told_under_the_rules_that_it_was_counted_by() {
    let _stopped = clock::stop();
    let fake = Fake::bind().await;
    let stand = Stand::new(
        &with("deny = [{ name = \"no restart\", functions = [\"8/1\"] }]"),
        Way::Own,
        fake.address,
    );
    let mut client = Client::connect(stand.address, 2).await;
    for id in 0..104 {
        assert_eq!(client.ask(id, &hex("08 0001 0000")).await, Some(hex("88 01")));
    }
    // So many of one client in a moment.
    for _ in 0..50 {
        assert_eq!(stand.told()["rule"], "no restart");
    }
    stand.conduit.replace(engine(&policy(SITE)));
    let told = stand.told();
    assert_eq!((&told["verdict"], &told["rule"]), (&"repeats".into(), &"no restart".into()));
    assert_eq!((&told["repeats"], &told["function"]), (&54.into(), &8.into()));
    assert_eq!(told["client"], "127.0.0.2");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_moves_is_found_where_it_is() {
    let _stopped = clock::stop();
    for way in [Way::Own, Way::Shared] {
        let (before, after) = (Fake::bind().await, Fake::bind().await);
        let stand = Stand::new(&policy(SITE), way, before.address);
        let mut client = Client::connect(stand.address, 1).await;
        client.send(&mbap(1, 3, READ)).await;
        let mut device = before.accept().await;
        let open = device.asked().await;
        stand.conduit.reroute(upstream(way, after.target()));
        settle().await;
        device.answer_register(&open, 4).await;
        assert_eq!(client.receive().await, Some((1, 3, hex("03 02 0004"))), "{way:?}");
        client.send(&mbap(2, 3, READ)).await;
        let mut device = after.accept().await;
        let asked = device.asked().await;
        device.answer_register(&asked, 5).await;
        assert_eq!(client.receive().await, Some((2, 3, hex("03 02 0005"))), "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_always_has_something_open_moves_too() {
    let _stopped = clock::stop();
    for way in [Way::Own, Way::Shared] {
        let (before, after) = (Fake::bind().await, Fake::bind().await);
        let stand = Stand::new(&policy(SITE), way, before.address);
        let mut client = Client::connect(stand.address, 1).await;
        client.send(&mbap(1, 3, READ)).await;
        let mut device = before.accept().await;
        let open = device.asked().await;
        stand.conduit.reroute(upstream(way, after.target()));
        // The next one comes while the first is open: it has to wait for the end of that, and goes to the new device.
        client.send(&mbap(2, 3, READ)).await;
        settle().await;
        assert!(device.is_quiet().await, "{way:?}: it goes to the old device");
        device.answer_register(&open, 4).await;
        assert_eq!(client.receive().await, Some((1, 3, hex("03 02 0004"))), "{way:?}");
        let mut device = after.accept().await;
        let asked = device.asked().await;
        device.answer_register(&asked, 5).await;
        assert_eq!(client.receive().await, Some((2, 3, hex("03 02 0005"))), "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_known_of_the_old_device_is_not_known_of_the_new() {
    let _stopped = clock::stop();
    let (before, after) = (Fake::bind().await, Fake::bind().await);
    let stand = Stand::new(&policy(SITE), Way::Own, before.address);
    let mut client = Client::connect(stand.address, 2).await;
    client.send(&mbap(1, 3, &hex("03 00C8 0001"))).await;
    let mut device = before.accept().await;
    let asked = device.asked().await;
    device.answer_register(&asked, 300).await;
    assert!(client.receive().await.is_some());
    stand.conduit.reroute(upstream(Way::Own, after.target()));
    // A step of 50 from what the old one held.
    assert_eq!(client.ask(2, &hex("06 00C8 015E")).await, Some(hex("86 01")));
    assert_eq!(stand.reason(), ("refused".into(), "step-unknown".into()));
}

#[tokio::test(start_paused = true)]
async fn another_time_to_connect_is_another_way_to_the_device() {
    let _stopped = clock::stop();
    let fake = Fake::bind().await;
    let stand = Stand::new(&policy(SITE), Way::Own, fake.address);
    let mut client = Client::connect(stand.address, 1).await;
    client.send(&mbap(1, 3, READ)).await;
    let mut device = fake.accept().await;
    let open = device.asked().await;
    device.answer_register(&open, 4).await;
    assert_eq!(client.receive().await, Some((1, 3, hex("03 02 0004"))));
    let within = |seconds| Dialler::new(fake.target(), Duration::from_secs(seconds), None).unwrap();
    // The same again is no other.
    stand.conduit.reroute(Upstream::Own(within(3)));
    client.send(&mbap(2, 3, READ)).await;
    let open = device.asked().await;
    device.answer_register(&open, 5).await;
    assert_eq!(client.receive().await, Some((2, 3, hex("03 02 0005"))));
    stand.conduit.reroute(Upstream::Own(within(5)));
    client.send(&mbap(3, 3, READ)).await;
    let mut device = fake.accept().await;
    let open = device.asked().await;
    device.answer_register(&open, 6).await;
    assert_eq!(client.receive().await, Some((3, 3, hex("03 02 0006"))));
}
