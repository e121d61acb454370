//! What faults that were asked for look like from the other end.

use std::time::Duration;

use port502_net::client::{Client, Error, Options};
use port502_net::fault::Faulty;
use port502_net::memory::MemoryDevice;
use port502_net::server;
use tokio::net::TcpStream;

use crate::clock::{self, pass, settle};
use crate::conformance::hex;
use crate::link::{Mbap, mbap, serve};

async fn faulty(faults: &str) -> Mbap<TcpStream> {
    let service = Faulty::new(MemoryDevice::full(), faults.parse().unwrap(), 1);
    Mbap::connect(serve(service, server::Options::default())).await
}

async fn none(link: &mut Mbap<TcpStream>) -> bool {
    settle().await;
    link.stream.try_read(&mut [0; 1]).is_err()
}

const READ: &str = "03 0000 0001";
const ANSWER: &str = "03 02 0000";

#[tokio::test(start_paused = true)]
async fn a_delay() {
    let _clock = clock::stop();
    let mut link = faulty("delay=200ms").await;
    // Together, not one after the other; and what is too much at once is refused, as late.
    let burst: Vec<u8> = (1..=18).flat_map(|id| mbap(id, 1, &hex(READ))).collect();
    link.send_raw(&burst).await;
    for id in [17, 18] {
        assert_eq!(link.receive_raw().await, Some((id, 1, hex("83 06"))));
    }
    pass(Duration::from_millis(199)).await;
    assert!(none(&mut link).await);
    pass(Duration::from_millis(2)).await;
    for id in 1..=16 {
        assert_eq!(link.receive_raw().await, Some((id, 1, hex(ANSWER))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss() {
    let _clock = clock::stop();
    let mut link = faulty("drop=100%").await;
    link.send_raw(&mbap(1, 1, &hex("06 0000 0001"))).await;
    assert!(none(&mut link).await);
    // Half of them, then: the others come in order.
    let mut link = faulty("drop=50%").await;
    let burst: Vec<u8> = (0..1000).flat_map(|id| mbap(id, 1, &hex(READ))).collect();
    link.send_raw(&burst).await;
    link.send_raw(&hex("0000 0000 0000")).await; // which closes, and so ends the list
    let mut ids = Vec::new();
    while let Some((id, ..)) = link.receive_raw().await {
        ids.push(id);
    }
    assert!((400..600).contains(&ids.len()) && ids.is_sorted(), "{} of 1000 came", ids.len());
}

#[tokio::test(start_paused = true)]
async fn a_refusal() {
    let _clock = clock::stop();
    let mut link = faulty("exception=6@holding:10,exception=4@coil:3").await;
    for (request, answer) in [
        ("03 000A 0001", "83 06"),
        ("03 0009 0002", "83 06"),
        ("03 0009 0001", "03 02 0000"),
        ("03 000B 0001", "03 02 0000"),
        ("04 000A 0001", "04 02 0000"),
        ("06 000A 0001", "86 06"),
        ("17 0000 0001 000A 0001 02 0001", "97 06"),
        ("17 000A 0001 0000 0001 02 0001", "97 06"),
        ("16 000A 0000 0000", "96 06"),
        ("05 0003 FF00", "85 04"),
        ("01 0000 0008", "81 04"),
        ("02 0000 0008", "02 01 00"),
    ] {
        link.send_raw(&mbap(1, 1, &hex(request))).await;
        assert_eq!(link.receive_raw().await, Some((1, 1, hex(answer))), "{request}");
    }
    let mut link = faulty("exception=11").await;
    link.send_raw(&mbap(1, 1, &hex(READ))).await;
    assert_eq!(link.receive_raw().await, Some((1, 1, hex("83 0B"))));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_transaction_id_is_no_answer() {
    let _clock = clock::stop();
    let faults = "wrong-tid=100%".parse().unwrap();
    let address = serve(Faulty::new(MemoryDevice::full(), faults, 1), server::Options::default());
    let target = address.to_string().parse().unwrap();
    let client = Client::connect(target, Options::default().retries(0)).await.unwrap();
    let unit = client.unit(1);
    let call = tokio::spawn(async move { unit.read_holding_registers(0, 1).await });
    settle().await;
    assert!(!call.is_finished());
    pass(Options::default().timeout).await;
    assert!(matches!(call.await.unwrap(), Err(Error::Timeout { sent: true, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_dribble() {
    let _clock = clock::stop();
    let mut link = faulty("dribble").await;
    link.send_raw(&[mbap(1, 1, &hex(READ)), mbap(2, 1, &hex(READ))].concat()).await;
    settle().await;
    let mut got = Vec::new();
    while got.len() < 22 {
        let mut bytes = [0; 64];
        match link.stream.try_read(&mut bytes) {
            Ok(n) => {
                assert_eq!(n, 1, "one byte at a time");
                got.push(bytes[0]);
            }
            Err(_) => pass(Duration::from_millis(1)).await,
        }
    }
    assert_eq!(got, [mbap(1, 1, &hex(ANSWER)), mbap(2, 1, &hex(ANSWER))].concat());
}
