//! The demo's screen: a block of lines for each device, drawn over itself; or plain lines.

use std::collections::VecDeque;
use std::io::{self, Write as _};

use jiff::Timestamp;
use port502_net::Target;
use port502_site::site::{Condition, Device, DeviceId, Tag};
use port502_site::{Datum, Site};
use port502_wire::value::ValueType;

use super::poller::{Reading, Value};
use crate::output::{colours, no_controls, rfc3339};
use crate::summary::Summary;

/// Lines about what happened that stay on the screen.
const TOLD_MAX: usize = 6;

/// Of a bar.
const BAR_WIDTH: usize = 10;

pub(super) struct Screen<'s> {
    site: &'s Site,
    head: String,
    told: VecDeque<String>,
    colours: bool,
    /// Lines on the screen, to go back over.
    drawn: usize,
}

/// A piece of a line.
struct Cell {
    text: String,
    /// An alarm is active.
    alarm: bool,
}

impl<'s> Screen<'s> {
    pub(super) fn new(site: &'s Site, target: &Target) -> Self {
        let head = format!("{}  {target}", site.name());
        Screen { site, head, told: VecDeque::new(), colours: colours(), drawn: 0 }
    }

    /// Something has happened.
    pub(super) fn tell(&mut self, line: String, is_live: bool) -> io::Result<()> {
        let (time, line) = (rfc3339(Timestamp::now()), no_controls(&line));
        if !is_live {
            return writeln!(io::stdout().lock(), "{time} {line}");
        }
        // Hours, minutes and seconds are enough where one looks on.
        let line = format!("{} {line}", time.get(11..19).unwrap_or_default());
        if self.told.len() == TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(line);
        Ok(())
    }

    pub(super) fn show(
        &mut self,
        values: &[Value],
        summary: &Summary,
        seconds: f64,
        is_live: bool,
    ) -> io::Result<()> {
        if is_live { self.draw(values, summary, seconds) } else { self.print(values) }
    }

    /// A line for each device.
    fn print(&self, values: &[Value]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let time = rfc3339(Timestamp::now());
        for (id, device) in self.site.device_ids() {
            let cells: Vec<String> =
                self.cells(id, values, false).into_iter().map(|cell| cell.text).collect();
            writeln!(out, "{time} {}: {}", device.name, cells.join(", "))?;
        }
        out.flush()
    }

    fn draw(&mut self, values: &[Value], summary: &Summary, seconds: f64) -> io::Result<()> {
        let (width, height) =
            terminal_size::terminal_size().map_or((80, 24), |(w, h)| (usize::from(w.0), usize::from(h.0)));
        let lines = self.lines(values, summary, seconds, width);
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\r\x1b[J", self.drawn));
        }
        // What does not fit would scroll away, and could not be gone back over.
        let room = height.max(5) - 2;
        self.drawn = lines.len().min(room);
        for line in lines.iter().take(room) {
            text.push_str(line);
            text.push('\n');
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn lines(&self, values: &[Value], summary: &Summary, seconds: f64, width: usize) -> Vec<String> {
        let cut = |line: String| line.chars().take(width).collect::<String>();
        let clock = clock(seconds);
        let mut lines =
            vec![cut(format!("{}  plant {clock}  {}", self.head, summary.counts())), String::new()];
        let margin =
            self.site.devices().iter().map(|device| device.name.chars().count()).max().unwrap_or(0) + 2;
        for (id, device) in self.site.device_ids() {
            self.block(device, &self.cells(id, values, true), margin, width, &mut lines);
        }
        if !self.told.is_empty() {
            lines.push(String::new());
            lines.extend(self.told.iter().map(|line| self.coloured(cut(line.clone()))));
        }
        lines
    }

    /// What is urgent stands out.
    fn coloured(&self, line: String) -> String {
        match (self.colours, line.get(9..14)) {
            (true, Some("ALARM")) => format!("\x1b[1;31m{line}\x1b[0m"),
            (true, Some("drill")) => format!("\x1b[1;35m{line}\x1b[0m"),
            _ => line,
        }
    }

    /// The lines of a device: as many cells on each as fit.
    fn block(&self, device: &Device, cells: &[Cell], margin: usize, width: usize, lines: &mut Vec<String>) {
        let mut line = format!("{:margin$}", device.name);
        let mut used = margin;
        for cell in cells {
            let wide = cell.text.chars().count() + 3;
            if used > margin && used + wide > width {
                lines.push(std::mem::replace(&mut line, " ".repeat(margin)));
                used = margin;
            }
            match (cell.alarm, self.colours) {
                (true, true) => line.push_str(&format!("\x1b[1;31m{}!\x1b[0m  ", cell.text)),
                (true, false) => line.push_str(&format!("{}!  ", cell.text)),
                (false, _) => line.push_str(&format!("{}   ", cell.text)),
            }
            used += wide;
        }
        lines.push(line.trim_end().to_owned());
    }

    /// What a device shows; its first measured value with a bar.
    fn cells(&self, device: DeviceId, values: &[Value], bars: bool) -> Vec<Cell> {
        let mut cells = Vec::new();
        let mut without_bar = bars;
        let mut missing = None;
        let mut own: Vec<&Value> =
            values.iter().filter(|value| self.site.tag(value.tag).device == device).collect();
        own.sort_by_key(|value| rank(self.site.tag(value.tag)));
        for value in own {
            let tag = self.site.tag(value.tag);
            match &value.reading {
                // One reason for a device is enough.
                Reading::Missing(why) => missing = Some(why),
                Reading::Value(datum) => {
                    let number = value.number(tag);
                    let mut text = format!("{} {}", tag.name, shown(tag, datum, number));
                    if let (true, Some(number), Some(range), None) =
                        (without_bar, number, tag.range, tag.write())
                    {
                        text.push_str(&bar(number, range));
                        without_bar = false;
                    }
                    let alarm = number.is_some_and(|number| in_alarm(tag, number));
                    cells.push(Cell { text, alarm });
                }
            }
        }
        if let Some(why) = missing {
            cells.push(Cell { text: no_controls(why), alarm: true });
        }
        cells
    }
}

/// What is watched comes first, what is set last.
fn rank(tag: &Tag) -> (bool, bool) {
    (tag.write().is_some(), tag.alarms().is_empty() || tag.point.table().is_bits())
}

/// Whether an alarm's condition holds now.
fn in_alarm(tag: &Tag, number: f64) -> bool {
    tag.alarms().iter().any(|alarm| match alarm.condition {
        Condition::Above(limit) => number > limit,
        Condition::Below(limit) => number < limit,
        Condition::Is(state) => ((number - tag.offset) / tag.scale - state as f64).abs() < 0.5,
        Condition::Rises { .. } | Condition::Falls { .. } | Condition::Deviates { .. } => false,
    })
}

/// ` [######....]`.
fn bar(number: f64, (low, high): (f64, f64)) -> String {
    let share = if high > low { ((number - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
    // Between 0 and the width, by the line above.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10")]
    let full = (share * BAR_WIDTH as f64).round() as usize;
    format!(" [{}{}]", "#".repeat(full), ".".repeat(BAR_WIDTH.saturating_sub(full)))
}

/// `4.11 m`, `on`, `filtering`.
fn shown(tag: &Tag, datum: &Datum, number: Option<f64>) -> String {
    let unit = tag.unit.as_deref().map_or_else(String::new, |unit| format!(" {unit}"));
    match (datum, number) {
        (Datum::Bool(on), _) => if *on { "on" } else { "off" }.to_owned(),
        (Datum::Text(text), _) => format!("\"{}\"", text.escape_debug()),
        (_, Some(number)) => {
            let label = tag.more().labels.iter().find(|(value, _)| (number - *value as f64).abs() < 1e-9);
            match label {
                Some((_, label)) => label.clone(),
                None => format!("{number:.digits$}{unit}", digits = digits(tag)),
            }
        }
        (other, None) => other.to_string(),
    }
}

/// Digits behind the point: what the scale can show.
fn digits(tag: &Tag) -> usize {
    if let Some(precision) = tag.more().precision {
        return precision.into();
    }
    match tag.point.value_type() {
        ValueType::F32 | ValueType::F64 => 2,
        _ if tag.scale >= 1.0 => 0,
        _ if tag.scale >= 0.1 => 1,
        _ if tag.scale >= 0.01 => 2,
        _ => 3,
    }
}

/// `02:13:05` of the plant.
fn clock(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates, and it is positive"
    )]
    let whole = seconds as u64;
    format!("{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_they_should() {
        assert_eq!(bar(3.0, (0.0, 6.0)), " [#####.....]");
        assert_eq!(bar(-1.0, (0.0, 6.0)), " [..........]");
        assert_eq!(bar(7.0, (0.0, 6.0)), " [##########]");
        assert_eq!(bar(7.0, (6.0, 6.0)), " [..........]");
    }

    #[test]
    fn a_clock_of_the_plant() {
        assert_eq!(clock(0.0), "00:00:00");
        assert_eq!(clock(7385.9), "02:03:05");
        assert_eq!(clock(1e6), "277:46:40");
    }
}
