//! `port502 poll`: a live table of values.

use std::time::Duration;

use port502_site::Point;

use super::eprintln_quietly;
use crate::device::{self, Connection, Device};
use crate::failure::Failure;
use crate::live::{self, Live};
use crate::output::{Format, Printer, colours};
use crate::reading::{self, Reader};
use crate::rounds::Rounds;

/// Watch values change
///
/// On a terminal a table that is drawn again each time, with what changed highlighted; Ctrl-C ends it with a
/// summary. Elsewhere plain lines, for which -n or --for says when to end.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// What to watch, as for `port502 read`.
    #[arg(required = true, value_name = "POINT")]
    points: Vec<Point>,
    /// The interval.
    #[arg(long, value_name = "D", default_value = "1s", value_parser = super::duration)]
    every: Duration,
    /// End after this time.
    #[arg(long = "for", value_name = "D", value_parser = super::duration)]
    duration: Option<Duration>,
    /// End after so many rounds.
    #[arg(short = 'n', value_name = "N", value_parser = super::times)]
    times: Option<u64>,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let live = live::is_possible();
    if !live && args.duration.is_none() && args.times.is_none() {
        return Err(Failure::usage(
            "poll: the output is not a terminal, and it would never end; say when with -n N or --for D, or use \
             `port502 read --every`",
        ));
    }
    device::block_on(poll(args, live))
}

async fn poll(args: Args, live: bool) -> Result<(), Failure> {
    let mut device = Device::connect(&args.connection).await?;
    let mut reader = Reader::new(&args.points);
    let mut rounds = Rounds::new(args.every, args.times, args.duration);
    let mut lines = Printer::new(Format::Table, true);
    let mut table = Live::new(reader.values().len(), Vec::new(), colours());
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
    eprintln_quietly(&format!("{}: {}", device.target, device.summary));
    // What a poll showed is history: its exit code says how it stood at the end.
    match last {
        Some(readings) => reading::failure(&device, &readings).map_or(Ok(()), Err),
        None if rounds.stopped => Err(device.interrupted("")),
        None => Ok(()), // --for 0s
    }
}
