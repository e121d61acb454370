//! The client in front of servers that are late, wrong, gone or silent.

mod answers;
mod connecting;
mod given_up;
mod restarts;
mod units;

use std::time::Duration;

use port502_net::client::{Client, Error, Options};
use tokio::task::JoinHandle;

use crate::fake::{Fake, Peer};

const SECOND: Duration = Duration::from_secs(1);

/// No second try, unless a test is about it.
fn options() -> Options {
    Options::default().retries(0)
}

async fn connected(options: Options) -> (Client, Fake, Peer) {
    let fake = Fake::bind().await;
    let client = Client::connect(fake.target(), options).await.unwrap();
    let peer = fake.accept().await;
    (client, fake, peer)
}

/// Reads one holding register, in a task of its own.
fn read(client: &Client, address: u16) -> JoinHandle<Result<u16, Error>> {
    let unit = client.unit(1);
    tokio::spawn(async move { unit.read_holding_registers(address, 1).await.map(|values| values[0]) })
}

/// Writes one, likewise.
fn write(client: &Client, address: u16, value: u16) -> JoinHandle<Result<(), Error>> {
    let unit = client.unit(1);
    tokio::spawn(async move { unit.write_single_register(address, value).await })
}
