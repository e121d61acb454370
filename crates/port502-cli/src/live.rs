//! A table of values that is drawn over itself, for terminals.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::device::Device;
use crate::output::{no_controls, shown};
use crate::reading::Reading;

/// Whether standard output is a terminal that can go back over what it shows.
pub(crate) fn is_possible() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A table that is drawn over itself.
pub(crate) struct Live {
    rows: Vec<Row>,
    /// What the values are called; empty when nobody knows.
    names: Vec<String>,
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
    pub(crate) fn new(count: usize, names: Vec<String>, colours: bool) -> Self {
        Live { rows: vec![Row::default(); count], names, colours, drawn: 0 }
    }

    pub(crate) fn draw(&mut self, device: &Device, every: Duration, readings: &[Reading]) -> io::Result<()> {
        let (width, height) =
            terminal_size::terminal_size().map_or((80, 24), |(w, h)| (w.0.into(), h.0.into()));
        let lines = self.lines(Instant::now(), every, readings);
        let every = port502_session::duration::display(every);
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
    fn lines(&mut self, now: Instant, every: Duration, readings: &[Reading]) -> Vec<(String, bool)> {
        // Whole seconds are shown, of values that should have come anew since.
        let stale = (2 * every).max(Duration::from_secs(1));
        let name = if self.names.is_empty() { "" } else { "NAME" };
        let mut cells =
            vec![["", name, "POINT", "REFERENCE", "VALUE", "AGE", "CHANGES", "ERROR"].map(str::to_owned)];
        let mut highlights = vec![false];
        let names = self.names.iter().map(String::as_str).chain(std::iter::repeat(""));
        for ((row, reading), name) in self.rows.iter_mut().zip(readings).zip(names) {
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
                let age = now.saturating_duration_since(good);
                if age < stale { String::new() } else { format!("{}s", age.as_secs()) }
            });
            let mark = if changed { "*" } else { "" };
            let (point, reference) = (reading.point.to_string(), reading.point.reference());
            cells.push([
                mark.into(),
                name.into(),
                point,
                reference,
                row.value.clone(),
                age,
                row.changes.to_string(),
                error,
            ]);
            highlights.push(changed);
        }
        let mut widths = [0; 8];
        for row in &cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |row: &[String; 8]| {
            let filled = row.iter().zip(widths).enumerate().filter(|(at, (_, width))| *at == 0 || *width > 0);
            filled.map(|(_, (cell, width))| format!("{cell:width$}")).collect::<Vec<_>>().join("  ")
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
        let mut live = Live::new(1, Vec::new(), false);
        let start = Instant::now();
        let mut at = |secs, result| {
            let every = Duration::from_secs(1);
            let lines = live.lines(start + Duration::from_secs(secs), every, &[reading(result)]);
            (lines[1].0.split_whitespace().collect::<Vec<_>>().join(" "), lines[1].1)
        };
        let refused = || {
            let function = FunctionCode::READ_HOLDING_REGISTERS;
            Err(Problem::Device(Error::Exception { function, code: ExceptionCode::ServerDeviceBusy }))
        };
        let error = "exception 06 server device busy";
        assert_eq!(at(0, refused()), (format!("holding:100 40101 never 0 {error}"), false));
        assert_eq!(at(1, Ok(7)), ("holding:100 40101 7 0".into(), false));
        assert_eq!(at(2, Ok(7)), ("holding:100 40101 7 0".into(), false));
        assert_eq!(at(3, Ok(8)), ("* holding:100 40101 8 1".into(), true));
        assert_eq!(at(4, refused()), (format!("holding:100 40101 8 1 {error}"), false));
        assert_eq!(at(5, refused()), (format!("holding:100 40101 8 2s 1 {error}"), false));
        assert_eq!(at(9, refused()), (format!("holding:100 40101 8 6s 1 {error}"), false));
    }
}
