//! `port502 read`: values of a device, once or at intervals.

use std::time::Duration;

use port502_site::Point;

use crate::device::{self, Connection, Device};
use crate::failure::Failure;
use crate::output::{Output, Printer};
use crate::reading::{self, Reader};
use crate::rounds::Rounds;

/// Read values
///
/// Points that lie side by side are read with one request. A point that the device refuses does not hide the
/// others; the exit code is that of the worst.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  port502 read 10.0.0.5 holding:100 i:7:f32:cdab 'c:0*16'
  port502 read plc-7:1502 40101 --unit 3 --json
  port502 read plc-7 h:0 --every 1s -n 60 --csv")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// What to read: table:address[:type][:order][*count], as holding:100, h:100:f32:cdab, c:0*16; or a
    /// reference, as 40101.
    #[arg(required = true, value_name = "POINT")]
    points: Vec<Point>,
    #[command(flatten)]
    output: Output,
    /// Read again at this interval, until Ctrl-C or -n.
    #[arg(long, value_name = "D", value_parser = super::duration)]
    every: Option<Duration>,
    /// Read so many times; without --every one after the other.
    #[arg(short = 'n', value_name = "N", value_parser = super::times)]
    times: Option<u64>,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    device::block_on(read(args))
}

async fn read(args: Args) -> Result<(), Failure> {
    let mut device = Device::connect(&args.connection).await?;
    let mut reader = Reader::new(&args.points);
    let once = args.every.is_none() && args.times.is_none_or(|times| times == 1);
    let mut printer = Printer::new(args.output.format(), !once);
    let times = args.times.or(args.every.is_none().then_some(1));
    let mut rounds = Rounds::new(args.every.unwrap_or_default(), times, None);
    let mut worst: Option<Failure> = None;
    let mut answered = false;
    while rounds.next().await {
        let Some(readings) = rounds.unless_stopped(reader.read(&mut device)).await else { break };
        answered = true;
        printer.print(&device, &readings)?;
        if let Some(failure) = reading::failure(&device, &readings)
            && worst.as_ref().is_none_or(|worst| worst.exit < failure.exit)
        {
            worst = Some(failure);
        }
    }
    if !once {
        super::eprintln_quietly(&device.summary.to_string());
    }
    if !answered {
        return Err(device.interrupted(""));
    }
    worst.map_or(Ok(()), Err)
}
