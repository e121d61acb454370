//! A bare server on one thread, for measuring the data path without a command line around it.
//!
//! Argument: the address. Unit 1 and all others hold register a = a XOR 0xA5C3.

use port502_net::Target;
use port502_net::memory::MemoryDevice;
use port502_net::server::{Options, Server};
use port502_wire::Table;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target: Target = std::env::args().nth(1).ok_or("an address, as 127.0.0.1:1502")?.parse()?;
    let pattern: Vec<u16> = (0..=u16::MAX).map(|address| address ^ 0xA5C3).collect();
    let device = MemoryDevice::full_builder().registers(Table::HoldingRegisters, 0, &pattern).build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    // Timeouts are kept elsewhere, so that no request pays for them.
    let keeper = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut options = Options::default();
    options.timekeeper = Some(keeper.handle().clone());
    std::thread::spawn(move || keeper.block_on(std::future::pending::<()>()));
    runtime.block_on(async {
        let server = Server::bind(&target, options)?;
        println!("listening on {}", server.target());
        server.run(device).await
    })?;
    Ok(())
}
