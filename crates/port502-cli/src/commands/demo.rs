//! `port502 demo`: a plant, served and polled on this machine, with nothing to configure.

mod tank;

use std::io::{self, Write as _};
use std::time::Duration;

use port502_net::Target;
use port502_net::memory::MemoryDevice;
use port502_net::server::{Options, Server};
use port502_session::duration::display;
use port502_site::{Point, RegisterMap};
use port502_wire::{Table, UnitId};
use tokio::time::{MissedTickBehavior, interval};

use super::serve::device_of;
use crate::device::{self, Connection, Device};
use crate::failure::Failure;
use crate::live::{self, Live};
use crate::output::{Format, Printer, colours};
use crate::reading::{self, Reader};
use crate::rounds::Rounds;
use tank::{Controls, HIGH_M, LOW_M, Tank};

/// See it work: a simulated plant, served and polled on this machine
///
/// A water tank is served as a Modbus device on loopback and polled over TCP, live in the terminal. It can be
/// read and steered meanwhile: what to type in another terminal is shown. Ctrl-C, or --for, ends it with a
/// summary.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// End after this time.
    #[arg(long = "for", value_name = "D", value_parser = super::duration)]
    duration: Option<Duration>,
    /// Plain lines in the place of a table that is drawn over itself; always so when the output is no terminal.
    #[arg(long)]
    plain: bool,
    /// How often to poll.
    #[arg(long, value_name = "D", default_value = "1s", value_parser = super::duration)]
    every: Duration,
    /// The seed of the plant's noise: the same seed brings the same plant.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// The plant's registers.
const MAP: &str = include_str!("demo/tank.csv");

/// The plant's clock ticks so often,
const TICK: Duration = Duration::from_millis(100);
/// and its time passes so much faster than ours: a tank takes its time.
const SPEED: f64 = 20.0;

/// Where the plant listens: at home where that is permitted and free, else where everybody may, else anywhere.
const PLACES: [u16; 3] = [502, 1502, 0];

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    device::block_on(demo(args))
}

async fn demo(args: Args) -> Result<(), Failure> {
    let map = RegisterMap::parse(MAP).map_err(|errors| {
        Failure::list(crate::failure::Exit::Other, errors.iter().map(ToString::to_string))
    })?;
    let plant = device_of(&map);
    let (server, why) = bind()?;
    let target = Target::tcp("127.0.0.1", server.target().port());
    let stop = server.stop_handle();
    let serving = tokio::spawn(server.run(plant.clone()));
    tokio::spawn(simulate(plant, args.seed));

    let live = live::is_possible() && !args.plain;
    introduce(&target, why, &args, live)?;
    let connection = Connection { target, unit: UnitId(1), timeout: Duration::from_secs(1), retries: 1 };
    let mut device = Device::connect(&connection).await?;
    let (points, names): (Vec<Point>, Vec<String>) = map
        .entries()
        .iter()
        .map(|entry| {
            let unit = entry.unit.as_ref().map(|unit| format!(" [{unit}]")).unwrap_or_default();
            (entry.point, format!("{}{unit}", entry.name.as_deref().unwrap_or_default()))
        })
        .unzip();
    let mut reader = Reader::new(&points);
    let mut rounds = Rounds::new(args.every, None, args.duration);
    let mut lines = Printer::new(Format::Table, true).named(names.clone());
    let mut table = Live::new(points.len(), names, colours());
    let mut last = None;
    while rounds.next().await {
        let Some(readings) = rounds.unless_stopped(reader.read(&mut device)).await else { break };
        if live {
            table.draw(&device, args.every, &readings)?;
        } else {
            lines.print(&device, &readings)?;
        }
        last = Some(readings);
    }
    stop.stop();
    let served = serving.await;
    super::eprintln_quietly(&format!("demo: {}", device.summary));
    if let Ok(Err(error)) = served {
        return Err(Failure::other(format!("the plant's server ended: {error}")));
    }
    last.and_then(|readings| reading::failure(&device, &readings)).map_or(Ok(()), Err)
}

/// Listens at the first place that can be had; and why not at an earlier one.
fn bind() -> Result<(Server, Option<String>), Failure> {
    let mut why = None;
    for port in PLACES {
        match Server::bind(&Target::tcp("127.0.0.1", port), Options::default()) {
            Ok(server) => return Ok((server, why)),
            Err(error) => {
                why.get_or_insert(format!("port {port}: {error}"));
            }
        }
    }
    Err(Failure::other(format!("cannot listen on 127.0.0.1: {}", why.unwrap_or_default())))
}

const NAME: &str = "port502";

/// How to run this program: its name where a shell finds it by that, else its path. Who came by `cargo run` has
/// nothing on the PATH.
fn itself() -> String {
    let Ok(this) = std::env::current_exe() else { return NAME.to_owned() };
    let found = std::env::var_os("PATH").and_then(|path| {
        let name = format!("{NAME}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|file| file.is_file())
    });
    // One may be a link to the other.
    if found.is_some_and(|found| found.canonicalize().ok() == this.canonicalize().ok()) {
        return NAME.to_owned();
    }
    let path = this.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+\\:".contains(c);
    if path.chars().all(plain) { path } else { format!("'{path}'") }
}

fn introduce(target: &Target, why: Option<String>, args: &Args, live: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "A simulated water tank is served at {target}, and polled every {}.", display(args.every))?;
    if let Some(why) = why {
        writeln!(out, "(Not at {why}.)")?;
    }
    writeln!(out, "In another terminal:")?;
    let (port502, at) = (itself(), format!("127.0.0.1:{}", target.port()));
    for (command, what) in [
        (format!("read {at} i:0:f32"), "the level, in metres"),
        (format!("write {at} c:1=0"), "close the outlet: the level rises, the pump trips"),
        (format!("write {at} h:0=350"), "run the pump at 35.0 Hz"),
    ] {
        // Behind the command where there is room for it.
        if port502 == NAME {
            writeln!(out, "  {port502} {command:<36} {what}")?;
        } else {
            writeln!(out, "  {what}:\n    {port502} {command}")?;
        }
    }
    if live && args.duration.is_none() {
        writeln!(out, "Ctrl-C ends it.")?;
    }
    writeln!(out)?;
    out.flush()
}

/// Moves the plant, reading what was written to it and writing what its sensors see.
async fn simulate(plant: MemoryDevice, seed: u64) {
    let mut tank = Tank::new(seed);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let coil = |address| plant.bit(Table::Coils, address).unwrap_or_default();
        let speed = plant.register(Table::HoldingRegisters, 0).unwrap_or_default();
        let controls =
            Controls { pump_run: coil(0), outlet_open: coil(1), speed_hz: f64::from(speed) / 10.0 };
        tank.step(controls, TICK.as_secs_f64() * SPEED);
        show(&plant, &tank);
    }
}

/// What the sensors see.
fn show(plant: &MemoryDevice, tank: &Tank) {
    let mut registers = Vec::with_capacity(10);
    for value in [tank.level_m, tank.inflow_m3h, tank.outflow_m3h, tank.power_kw] {
        // Sensors have a resolution.
        #[expect(clippy::cast_possible_truncation, reason = "a sensor's value is a float of 32 bits")]
        let [a, b, c, d] = (((value * 1000.0).round() / 1000.0) as f32).to_be_bytes();
        registers.extend([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
    }
    // The counter rolls over, as counters do.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^32, and positive")]
    let [a, b, c, d] = ((tank.pumped_l % f64::from(u32::MAX)) as u32).to_be_bytes();
    registers.extend([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
    plant.set_registers(Table::InputRegisters, 0, &registers);
    let bits = [tank.level_m >= HIGH_M, tank.level_m <= LOW_M, tank.tripped];
    plant.set_bits(Table::DiscreteInputs, 0, &bits);
}
