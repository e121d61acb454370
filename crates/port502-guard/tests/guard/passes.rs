//! What passes and what does not, and what a refusal looks like.

use std::time::Duration;

use port502_guard::Upstream;
use port502_inspect::policy::Policy;
use port502_net::Target;
use port502_net::gateway::{Lane, LaneOptions};
use port502_net::memory::MemoryDevice;
use port502_net::server::{self, Server};
use port502_wire::Table;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::fake::Fake;
use crate::link::{hex, mbap};
use crate::stand::{Client, Ended, SITE, Stand, Way, engine, policy, with};

fn device() -> std::net::SocketAddr {
    let device = MemoryDevice::full_builder()
        .registers(Table::HoldingRegisters, 100, &[7])
        .registers(Table::HoldingRegisters, 200, &[300])
        .build();
    let server = Server::bind(&"tcp://127.0.0.1:0".parse().unwrap(), server::Options::default()).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(device));
    address
}

const READ: &[u8] = &[3, 0, 100, 0, 1];

async fn reads_and_writes(way: Way) {
    let stand = Stand::new(&policy(crate::stand::SITE), way, device());
    let (mut control, mut operator) =
        (Client::connect(stand.address, 1).await, Client::connect(stand.address, 2).await);
    assert_eq!(control.ask(40_000, READ).await, Some(hex("03 02 0007")));
    // Nothing is known of the speed yet, so no step can be measured.
    assert_eq!(operator.ask(1, &hex("06 00C8 0190")).await, Some(hex("86 01")));
    assert_eq!(operator.ask(2, &hex("03 00C8 0001")).await, Some(hex("03 02 012C")));
    assert_eq!(operator.ask(3, &hex("06 00C8 0190")).await, Some(hex("06 00C8 0190")));
    assert_eq!(operator.ask(4, &hex("06 00C8 01F5")).await, Some(hex("86 01")));
    assert_eq!(operator.ask(5, &hex("06 00C8 0064")).await, Some(hex("86 01")));
    assert_eq!(control.ask(6, &hex("06 00C8 0190")).await, Some(hex("86 01")));
    assert_eq!(control.ask(7, &hex("03 0065 0001")).await, Some(hex("83 01")));
    // The poller goes on as if nothing had been.
    assert_eq!(control.ask(8, READ).await, Some(hex("03 02 0007")));
    let want = ["step-unknown", "limits", "step", "function", "address"];
    for (at, want) in want.into_iter().enumerate() {
        let told = stand.told();
        assert_eq!(told["reason"], *want, "record {at}: {told}");
        assert_eq!((&told["verdict"], &told["answer"]), (&"refused".into(), &"exception:1".into()));
        assert_eq!(told["conduit"], "pump");
        if want == "limits" {
            assert_eq!((&told["client"], &told["values"]), (&"127.0.0.2".into(), &serde_json::json!([501])));
            assert_eq!((&told["tag"], &told["technique"]), (&"pump.speed".into(), &"T0836".into()));
        }
    }
    let status = stand.conduit.status();
    assert_eq!((status.requests, status.refused, status.clients), (9, 5, 2));
    stand.silent();
}

#[tokio::test]
async fn what_the_tags_need_passes_on_a_connection_of_the_clients_own() {
    reads_and_writes(Way::Own).await;
}

#[tokio::test]
async fn what_the_tags_need_passes_on_a_shared_link() {
    reads_and_writes(Way::Shared).await;
}

#[tokio::test]
async fn a_valve_only_while_the_pump_stands_still() {
    for way in [Way::Own, Way::Shared] {
        let stand = Stand::new(&policy(crate::stand::SITE), way, device());
        let mut operator = Client::connect(stand.address, 2).await;
        let (shut, look) = (hex("05 0002 FF00"), hex("01 0001 0001"));
        assert_eq!(operator.ask(1, &shut).await, Some(hex("85 01")));
        assert_eq!(operator.ask(2, &look).await, Some(hex("01 01 00")));
        assert_eq!(operator.ask(3, &shut).await, Some(shut.clone()));
        assert_eq!(stand.reason().1, "sequence-unknown", "{way:?}");
    }
}

#[tokio::test]
async fn a_refusal_looks_as_the_conduit_says() {
    let write = mbap(9, 3, &hex("06 0000 0001"));
    let stand = Stand::new(&with("refuse = \"exception:2\""), Way::Own, device());
    let mut client = Client::connect(stand.address, 1).await;
    assert_eq!(client.ask(9, &hex("06 0000 0001")).await, Some(hex("86 02")));

    let stand = Stand::new(&with("refuse = \"drop\""), Way::Own, device());
    let mut client = Client::connect(stand.address, 1).await;
    client.send(&write).await;
    // Its answer is the first that comes.
    assert_eq!(client.ask(10, READ).await, Some(hex("03 02 0007")));
    assert_eq!(stand.told()["answer"], "drop");

    for way in [Way::Own, Way::Shared] {
        let stand = Stand::new(&with("refuse = \"reset\""), way, device());
        let mut client = Client::connect(stand.address, 1).await;
        assert_eq!(client.ask(10, READ).await, Some(hex("03 02 0007")));
        client.send(&write).await;
        assert_eq!(client.end().await, Ended::Reset);
        assert_eq!(stand.told()["answer"], "reset");
        // One client's end is nobody else's.
        let mut other = Client::connect(stand.address, 1).await;
        assert_eq!(other.ask(10, READ).await, Some(hex("03 02 0007")));
    }
}

#[tokio::test]
async fn in_alert_it_passes_and_is_recorded() {
    let stand = Stand::new(&with("mode = \"alert\""), Way::Own, device());
    let mut stranger = Client::connect(stand.address, 77).await;
    assert_eq!(stranger.ask(1, &hex("06 0000 0001")).await, Some(hex("06 0000 0001")));
    let told = stand.told();
    assert_eq!((&told["verdict"], &told["reason"]), (&"alerted".into(), &"client".into()));
    // But never bytes that are no request.
    stranger.send(&mbap(2, 3, &hex("03 0000 0001 00"))).await;
    assert_eq!(stranger.end().await, Ended::Reset);
    assert_eq!(stand.reason(), ("refused".into(), "malformed".into()));
    assert_eq!(stand.conduit.status().alerted, 1);
}

#[tokio::test]
async fn connections_have_limits() {
    let lines = "connections = 3\nconnections_per_client = 2";
    let stand = Stand::new(&with(lines), Way::Own, device());
    let mut first = Client::connect(stand.address, 1).await;
    let mut second = Client::connect(stand.address, 1).await;
    assert_eq!(first.ask(1, READ).await, Some(hex("03 02 0007")));
    assert_eq!(second.ask(1, READ).await, Some(hex("03 02 0007")));
    assert_eq!(Client::connect(stand.address, 1).await.end().await, Ended::Reset);
    assert_eq!(stand.reason(), ("refused".into(), "connections-of-client".into()));
    let mut other = Client::connect(stand.address, 2).await;
    assert_eq!(other.ask(1, READ).await, Some(hex("03 02 0007")));
    assert_eq!(Client::connect(stand.address, 2).await.end().await, Ended::Reset);
    assert_eq!(stand.reason(), ("refused".into(), "connections".into()));
    // Who goes makes room.
    drop(first);
    while stand.conduit.status().clients == 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Client::connect(stand.address, 1).await.ask(1, READ).await, Some(hex("03 02 0007")));
}

#[tokio::test(start_paused = true)]
async fn the_device_is_not_touched_before_something_passes() {
    let _stopped = crate::clock::stop();
    let fake = Fake::bind().await;
    let stand = Stand::new(&policy(crate::stand::SITE), Way::Own, fake.address);
    let mut stranger = Client::connect(stand.address, 77).await;
    assert_eq!(stranger.ask(1, READ).await, Some(hex("83 01")));
    assert!(!fake.is_asked().await);
    let mut client = Client::connect(stand.address, 1).await;
    client.send(&mbap(513, 3, READ)).await;
    let mut device = fake.accept().await;
    let asked = device.asked().await;
    // A client's ids are its own affair.
    assert_eq!((asked.id, asked.unit, asked.pdu.as_slice()), (1, 3, READ));
    device.answer_register(&asked, 5).await;
    assert_eq!(client.receive().await, Some((513, 3, hex("03 02 0005"))));
}

#[tokio::test]
async fn strangers_do_not_take_the_places_of_those_who_have_work_to_do() {
    let stand = Stand::new(&with("connections = 2"), Way::Own, device());
    let mut strangers = Vec::new();
    for host in 50..60 {
        strangers.push(Client::connect(stand.address, host).await);
    }
    let mut operator = Client::connect(stand.address, 2).await;
    assert_eq!(operator.ask(1, READ).await, Some(hex("03 02 0007")));
    for stranger in &mut strangers {
        assert_eq!(stranger.ask(1, READ).await, Some(hex("83 01")));
    }
    assert_eq!(stand.conduit.status().clients, 11);
}

/// A conduit on which the control room may read and write register 10 of unit 0.
fn unit_0() -> Policy {
    let derived = r#"{ from = ["control", "operators"], do = "derived" }"#;
    let rule = r#"{ from = ["control"], functions = [3, 6], at = ["holding:10"] }"#;
    policy(&SITE.replace(derived, rule).replace("unit = 3", "unit = 0"))
}

#[tokio::test]
async fn a_broadcast_on_a_line_is_over_when_it_was_sent() {
    let line = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target: Target = format!("rtu+tcp://{}", line.local_addr().unwrap()).parse().unwrap();
    let upstream = Upstream::Shared(Lane::new("line", target, LaneOptions::default()).unwrap());
    let stand = Stand::over(engine(&unit_0()), upstream);
    let mut client = Client::connect(stand.address, 1).await;
    // One more than may wait for an answer.
    for id in 0..17 {
        client.send(&mbap(id, 0, &hex("06 000A 0001"))).await;
    }
    client.stream.shutdown().await.unwrap();
    let (mut bus, _) = line.accept().await.unwrap();
    let mut heard = [0; 17 * 8];
    bus.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard[..6], hex("00 06 000A 0001"));
    // It has sent all it had to, and is owed nothing: long before anybody would give up.
    let end = tokio::time::timeout(Duration::from_secs(30), client.end()).await;
    assert_eq!(end, Ok(Ended::Closed));
    stand.silent();
}

#[tokio::test]
async fn unit_0_over_tcp_is_a_device() {
    for way in [Way::Own, Way::Shared] {
        let fake = Fake::bind().await;
        let stand = Stand::new(&unit_0(), way, fake.address);
        let mut client = Client::connect(stand.address, 1).await;
        let all: Vec<u8> = (0..17).flat_map(|id| mbap(id, 0, &hex("03 000A 0001"))).collect();
        client.send(&all).await;
        assert_eq!(client.receive().await, Some((16, 0, hex("83 06"))), "{way:?}");
        let mut device = fake.accept().await;
        let asked = device.asked().await;
        device.answer_register(&asked, 9).await;
        assert_eq!(client.receive().await, Some((0, 0, hex("03 02 0009"))), "{way:?}");
    }
}
