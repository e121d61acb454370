//! Read a meter: typed values, in the byte orders that devices have.
//!
//! It brings a meter of its own, so that it runs anywhere: `cargo run --example read_meter`.

use std::error::Error;

use port502::memory::MemoryDevice;
use port502::server::{self, Server};
use port502::{Client, Options, Order, Table, Target, ValueType};

const METER: u8 = 3;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let target = start_meter()?;

    let client = Client::connect(target, Options::default()).await?;
    let meter = client.unit(METER);
    for (name, address, value_type, order, unit) in [
        ("voltage", 0, ValueType::F32, Order::ABCD, "V"),
        ("current", 2, ValueType::F32, Order::ABCD, "A"),
        ("energy", 4, ValueType::U32, Order::CDAB, "kWh"),
        ("temperature", 6, ValueType::I16, Order::ABCD, "°C"),
    ] {
        let value = meter.read_value(Table::InputRegisters, address, value_type, order).await?;
        println!("{name:>12} {value} {unit}");
    }

    // What the table of the manual calls a serial number is a text of eight bytes in four registers.
    let serial = meter.read_text(Table::HoldingRegisters, 10, 8, Order::ABCD).await?;
    println!("{:>12} {serial}", "serial");
    Ok(())
}

/// A meter on a port that the system chooses.
fn start_meter() -> Result<Target, Box<dyn Error>> {
    let meter = MemoryDevice::builder()
        .registers(Table::InputRegisters, 0, &[0x4366, 0x8000]) // 230.5
        .registers(Table::InputRegisters, 2, &[0x40A8, 0x0000]) // 5.25
        .registers(Table::InputRegisters, 4, &[0x86A0, 0x0001]) // 100,000, the low word first
        .registers(Table::InputRegisters, 6, &[0xFFF9]) // -7
        .registers(Table::HoldingRegisters, 10, &[0x4D54, 0x5232, 0x3031, 0x3337])
        .build();
    let server = Server::bind(&Target::tcp("127.0.0.1", 0), server::Options::default())?;
    let target = server.target().clone();
    tokio::spawn(server.run(server::Units::new(server::Unmapped::default()).with(METER, meter)));
    Ok(target)
}
