//! Lines: our client and our server without transaction ids between them.

#[cfg(unix)]
mod serial;
mod stream;
mod udp;

use port502_net::Target;
use port502_net::client::{Client, Error, Options, RequestError};
use port502_net::memory::MemoryDevice;
use port502_net::server;

use crate::link::serve_at;

fn target(scheme: &str, address: std::net::SocketAddr) -> Target {
    format!("{scheme}://{address}").parse().unwrap()
}

#[tokio::test]
async fn our_client_and_our_server_over_every_network_link() {
    for scheme in ["rtu+tcp", "ascii+tcp", "rtu+udp", "udp"] {
        let address =
            serve_at(&format!("{scheme}://127.0.0.1:0"), MemoryDevice::full(), server::Options::default());
        let client = Client::connect(target(scheme, address), Options::default().in_flight(8)).await.unwrap();
        let unit = client.unit(1);
        let calls: Vec<_> = (0..20u16)
            .map(|at| {
                let unit = unit.clone();
                tokio::spawn(async move {
                    unit.write_single_register(at, at * 3).await.unwrap();
                    assert_eq!(unit.read_holding_registers(at, 1).await.unwrap(), [at * 3], "{at}");
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        let all: Vec<u16> = (0..20).map(|at| at * 3).collect();
        assert_eq!(unit.read_holding_registers(0, 20).await.unwrap(), all, "{scheme}");
        assert_eq!(unit.read_holding_registers(0, 1000).await.unwrap().len(), 1000, "{scheme}");
        let refused = unit.mask_write_register(0, 0, 0).await.map(|()| 0);
        assert_eq!(refused.unwrap(), 0, "{scheme}");
    }
}

#[tokio::test]
async fn a_broadcast_is_obeyed_and_not_answered() {
    for scheme in ["rtu+tcp", "ascii+tcp", "rtu+udp"] {
        let device = MemoryDevice::full();
        let address =
            serve_at(&format!("{scheme}://127.0.0.1:0"), device.clone(), server::Options::default());
        let client = Client::connect(target(scheme, address), Options::default()).await.unwrap();
        client.unit(0).write_single_register(7, 1234).await.unwrap();
        assert_eq!(client.unit(1).read_holding_registers(7, 1).await.unwrap(), [1234], "{scheme}");
        let refused = client.unit(0).read_holding_registers(7, 1).await;
        assert!(
            matches!(refused, Err(Error::Request(RequestError::NotBroadcast { .. }))),
            "{scheme}: {refused:?}"
        );
    }
}
