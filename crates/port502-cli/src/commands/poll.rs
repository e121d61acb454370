//! `port502 poll`: a live table of values.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use port502_site::Point;

use super::read::eprintln_quietly;
use crate::device::{self, Connection, Device};
use crate::failure::Failure;
use crate::output::{Format, Printer, colours, no_controls, shown};
use crate::reading::{self, Reader, Reading};
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
    #[arg(short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let live = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
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
    let mut table = Live::new(reader.values().len(), colours());
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
    last.and_then(|readings| reading::failure(&device, &readings)).map_or(Ok(()), Err)
}

/// A table that is drawn over itself.
struct Live {
    rows: Vec<Row>,
    colours: bool,
    /// Lines on the screen, to go back over.
    drawn: usize,
}

/// What is remembered of a value between rounds.
#[derive(Clone, Default)]
struct Row {
    value: String,
    good: Option<Instant>,
    changes: u64,
}

impl Live {
    fn new(count: usize, colours: bool) -> Self {
        Live { rows: vec![Row::default(); count], colours, drawn: 0 }
    }

    fn draw(&mut self, device: &Device, every: Duration, readings: &[Reading]) -> io::Result<()> {
        let (width, height) =
            terminal_size::terminal_size().map_or((80, 24), |(w, h)| (w.0.into(), h.0.into()));
        let lines = self.lines(Instant::now(), readings);
        let every = port502_site::duration::display(every);
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\r\x1b[J", self.drawn));
        }
        let head =
            format!("{} unit {}  every {every}  {}", device.target, device.unit(), device.summary.counts());
        let room = usize::max(height, 5) - 3;
        let mut shown = vec![(head, false)];
        let hidden = lines.len().saturating_sub(room);
        shown.extend(lines.into_iter().take(room));
        if hidden > 0 {
            shown.push((format!("... and {hidden} more, for which the terminal is too low"), false));
        }
        for (line, highlighted) in &shown {
            // A line that wraps would be two to go back over.
            let line: String = line.chars().take(width).collect();
            let line = line.trim_end();
            match (highlighted, self.colours) {
                (true, true) => text.push_str(&format!("\x1b[1;33m{line}\x1b[0m\n")),
                _ => text.push_str(&format!("{line}\n")),
            }
        }
        self.drawn = shown.len();
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// The lines, each with whether it is highlighted.
    fn lines(&mut self, now: Instant, readings: &[Reading]) -> Vec<(String, bool)> {
        let mut cells =
            vec![["", "POINT", "REFERENCE", "VALUE", "AGE", "CHANGES", "ERROR"].map(str::to_owned)];
        let mut highlights = vec![false];
        for (row, reading) in self.rows.iter_mut().zip(readings) {
            let mut changed = false;
            let error = match &reading.result {
                Ok(datum) => {
                    let value = shown(datum);
                    changed = row.good.is_some() && row.value != value;
                    row.changes += u64::from(changed);
                    (row.value, row.good) = (value, Some(now));
                    String::new()
                }
                Err(problem) => no_controls(&problem.to_string()),
            };
            let age = row.good.map_or("never".to_owned(), |good| {
                // Whole seconds: it says whether a value is stale, not how long the last request took.
                format!("{}s", now.saturating_duration_since(good).as_secs())
            });
            let mark = if changed { "*" } else { "" };
            let (point, reference) = (reading.point.to_string(), reading.point.reference());
            cells.push([
                mark.into(),
                point,
                reference,
                row.value.clone(),
                age,
                row.changes.to_string(),
                error,
            ]);
            highlights.push(changed);
        }
        let mut widths = [0; 7];
        for row in &cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |row: &[String; 7]| {
            let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            padded.collect::<Vec<_>>().join("  ")
        };
        cells.iter().map(line).zip(highlights).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Problem;
    use jiff::Timestamp;
    use port502_net::client::Error;
    use port502_site::{Cells, Datum};
    use port502_wire::{ExceptionCode, FunctionCode};

    fn reading(result: Result<u64, Problem>) -> Reading {
        Reading {
            point: "h:100".parse().unwrap(),
            time: Timestamp::UNIX_EPOCH,
            result: result.map(Datum::Unsigned),
            cells: Cells::Registers(vec![]),
        }
    }

    #[test]
    fn changes_ages_and_errors() {
        let mut live = Live::new(1, false);
        let start = Instant::now();
        let mut at = |secs, result| {
            let lines = live.lines(start + Duration::from_secs(secs), &[reading(result)]);
            (lines[1].0.split_whitespace().collect::<Vec<_>>().join(" "), lines[1].1)
        };
        let refused = || {
            let function = FunctionCode::READ_HOLDING_REGISTERS;
            Err(Problem::Device(Error::Exception { function, code: ExceptionCode::ServerDeviceBusy }))
        };
        let error = "exception 06 server device busy";
        assert_eq!(at(0, refused()), (format!("holding:100 40101 never 0 {error}"), false));
        assert_eq!(at(1, Ok(7)), ("holding:100 40101 7 0s 0".into(), false));
        assert_eq!(at(2, Ok(7)), ("holding:100 40101 7 0s 0".into(), false));
        assert_eq!(at(3, Ok(8)), ("* holding:100 40101 8 0s 1".into(), true));
        assert_eq!(at(9, refused()), (format!("holding:100 40101 8 6s 1 {error}"), false));
    }
}
