//! Serve a device of your own: a tank whose level moves, filled by a pump whose speed clients set.

use std::error::Error;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use port502::server::{Context, Device, DeviceResult, Options, Server};
use port502::wire::{FunctionSet, RegistersMut, Span};
use port502::{Client, ExceptionCode, FunctionCode, Target};

/// Input register 0 is the level in millimetres, holding register 0 the speed of the pump in percent.
struct Tank {
    since: Instant,
    speed: AtomicU16,
}

impl Device for Tank {
    fn functions(&self) -> FunctionSet {
        [FunctionCode::READ_INPUT_REGISTERS, FunctionCode::WRITE_SINGLE_REGISTER].into_iter().collect()
    }

    fn read_input_registers(
        &self,
        _: &Context<'_>,
        at: Span<125>,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult {
        if at != Span::one(0) {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        let millimetres = self.since.elapsed().as_millis() * u128::from(self.speed.load(Relaxed)) / 100;
        out.set(0, u16::try_from(millimetres).unwrap_or(u16::MAX));
        Ok(())
    }

    fn write_single_register(&self, _: &Context<'_>, address: u16, value: u16) -> DeviceResult {
        match (address, value) {
            (0, 0..=100) => self.speed.store(value, Relaxed),
            // 03 is about a request's structure; a value that the device cannot take is 04.
            (0, _) => return Err(ExceptionCode::ServerDeviceFailure),
            _ => return Err(ExceptionCode::IllegalDataAddress),
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::bind(&Target::tcp("127.0.0.1", 0), Options::default())?;
    let (target, stop) = (server.target().clone(), server.stop_handle());
    println!("serving on {target}");
    let running = tokio::spawn(server.run(Tank { since: Instant::now(), speed: AtomicU16::new(0) }));

    let client = Client::connect(target, port502::Options::default()).await?;
    let tank = client.unit(1);
    tank.write_single_register(0, 80).await?;
    for _ in 0..3 {
        println!("level {:?} mm", tank.read_input_registers(0, 1).await?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if let Err(error) = tank.write_single_register(0, 101).await {
        println!("101 %: {error}");
    }

    stop.stop();
    Ok(running.await??)
}
