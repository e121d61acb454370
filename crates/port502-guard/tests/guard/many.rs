//! Many clients at once.

use port502_net::memory::MemoryDevice;
use port502_net::server::{self, Server};

use crate::link::{hex, mbap};
use crate::stand::{Client, SITE, Stand, Way, policy};

fn device() -> std::net::SocketAddr {
    let mut options = server::Options::default();
    options.connections = 4_096;
    let server = Server::bind(&"tcp://127.0.0.1:0".parse().unwrap(), options).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(MemoryDevice::full()));
    address
}

/// The most that two thousand clients, each with a connection of its own to the device, may take: what README and the
/// documents say. Measured from a guard without any.
const MEMORY_MAX: u64 = 64 << 20;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() << 10
}

#[tokio::test]
async fn two_thousand_clients_are_served_and_a_flood_among_them_is_recorded() {
    for way in [Way::Own, Way::Shared] {
        let stand = Stand::new(&policy(SITE), way, device());
        let before = resident();
        let mut clients = Vec::new();
        for _ in 0..2_000 {
            clients.push(Client::connect(stand.address, 1).await);
        }
        for (id, client) in (0..).zip(&mut clients) {
            client.send(&mbap(id, 3, &hex("03 0064 0001"))).await;
        }
        for (id, client) in (0..).zip(&mut clients) {
            assert_eq!(client.receive().await, Some((id, 3, hex("03 02 0000"))), "{way:?}");
        }
        // A client that is not known floods, and the others do not notice.
        let mut flood = Client::connect(stand.address, 66).await;
        let burst: Vec<u8> = (0..500).flat_map(|id| mbap(id, 3, &hex("06 0000 0001"))).collect();
        for round in 0..20 {
            flood.send(&burst).await;
            for id in 0..500 {
                assert_eq!(flood.receive().await, Some((id, 3, hex("86 01"))));
            }
            let client = &mut clients[round * 50];
            assert_eq!(client.ask(7, &hex("03 0064 0001")).await, Some(hex("03 02 0000")));
        }
        let grown = resident().saturating_sub(before);
        println!("{way:?}: {} KiB for 2,000 clients, both ends of their connections included", grown >> 10);
        assert!(grown < MEMORY_MAX, "{grown} bytes");
        stand.conduit.finish();
        stand.recorder.finish();
        let (mut shown, mut counted) = (0, 0);
        for line in stand.evidence.try_iter() {
            assert_eq!(line["reason"], "client");
            match line["repeats"].as_u64() {
                None => shown += 1,
                Some(count) => counted += count,
            }
        }
        assert_eq!(shown + counted, 10_000, "each is told, most of them as counts");
        assert!(shown < 300, "{shown} lines");
        assert_eq!(stand.conduit.status().refused, 10_000);
    }
}
