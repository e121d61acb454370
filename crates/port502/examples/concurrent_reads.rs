//! Concurrent reads: one connection, sixteen requests in flight, against a device that needs 20 ms for each.

use std::error::Error;
use std::time::Instant;

use port502::fault::{Faults, Faulty};
use port502::memory::MemoryDevice;
use port502::server::{self, Server};
use port502::{Client, Options, Target};
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::bind(&Target::tcp("127.0.0.1", 0), server::Options::default())?;
    let target: Target = server.target().clone();
    let slow: Faults = "delay=20ms".parse()?;
    tokio::spawn(server.run(Faulty::new(MemoryDevice::full(), slow, 1)));

    for in_flight in [1, 16] {
        let client = Client::connect(target.clone(), Options::default().in_flight(in_flight)).await?;
        let began = Instant::now();
        let mut reads = JoinSet::new();
        for block in 0..16 {
            // A handle is cheap: every task has its own, and all share the connection.
            let plc = client.unit(1);
            reads.spawn(async move { plc.read_holding_registers(block * 100, 100).await });
        }
        let mut registers = 0;
        while let Some(read) = reads.join_next().await {
            registers += read??.len();
        }
        println!("{in_flight:>2} in flight: {registers} registers in {:?}", began.elapsed());
    }
    Ok(())
}
