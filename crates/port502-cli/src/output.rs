//! How values are printed: a table for people, one JSON object a line or CSV for programs (docs/json.md).

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use jiff::Timestamp;
use port502_site::{Cells, Datum, Point};
use serde::{Serialize, Serializer};

use crate::device::Device;
use crate::reading::Reading;

/// The format of values.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Output {
    /// One JSON object a line for each value.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// CSV with a header.
    #[arg(long)]
    csv: bool,
}

/// The format that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Table,
    Json,
    Csv,
}

impl Output {
    pub(crate) fn format(self) -> Format {
        match (self.json, self.csv) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            _ => Format::Table,
        }
    }
}

/// What fits on any terminal.
pub(crate) const WIDTH: usize = 80;

/// The columns of a CSV output.
const CSV_HEADER: &str = "time,target,unit,point,table,address,reference,type,value,error";

/// One value, as a JSON object.
#[derive(Serialize)]
struct Row<'r> {
    time: String,
    target: String,
    unit: u8,
    point: String,
    table: &'static str,
    address: u16,
    reference: String,
    r#type: String,
    value: Option<JsonDatum<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// JSON has no NaN and no infinity: they are strings.
struct JsonDatum<'d>(&'d Datum);

impl Serialize for JsonDatum<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Datum::Bool(on) => serializer.serialize_bool(*on),
            Datum::Unsigned(number) => serializer.serialize_u64(*number),
            Datum::Signed(number) => serializer.serialize_i64(*number),
            Datum::F32(float) if float.is_finite() => serializer.serialize_f32(*float),
            Datum::F64(float) if float.is_finite() => serializer.serialize_f64(*float),
            Datum::F32(float) => serializer.collect_str(float),
            Datum::F64(float) => serializer.collect_str(float),
            Datum::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// UTC with milliseconds.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

impl<'r> Row<'r> {
    fn new(device: &Device, reading: &'r Reading) -> Self {
        let point = &reading.point;
        Row {
            time: rfc3339(reading.time),
            target: device.target.to_string(),
            unit: device.unit().get(),
            point: point.to_string(),
            table: point.table().name(),
            address: point.address(),
            reference: point.reference(),
            r#type: point.value_type().to_string(),
            value: reading.result.as_ref().ok().map(JsonDatum),
            error: reading.result.as_ref().err().map(ToString::to_string),
        }
    }
}

/// Prints readings, the header only once.
pub(crate) struct Printer {
    format: Format,
    /// Whether each line of a table needs the time: where there is more than one round.
    timed: bool,
    /// Whether the header has been printed.
    begun: bool,
    /// Of points, references and values: those of the first round.
    widths: [usize; 3],
}

impl Printer {
    pub(crate) fn new(format: Format, timed: bool) -> Self {
        Printer { format, timed, begun: false, widths: [0; 3] }
    }

    pub(crate) fn print(&mut self, device: &Device, readings: &[Reading]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let first = !std::mem::replace(&mut self.begun, true);
        match self.format {
            Format::Table => self.table(&mut out, first, readings)?,
            Format::Json => {
                for reading in readings {
                    serde_json::to_writer(&mut out, &Row::new(device, reading))?;
                    writeln!(out)?;
                }
            }
            Format::Csv => {
                if first {
                    writeln!(out, "{CSV_HEADER}")?;
                }
                for reading in readings {
                    let row = Row::new(device, reading);
                    let value = reading.result.as_ref().map_or_else(|_| String::new(), ToString::to_string);
                    writeln!(
                        out,
                        "{},{},{},{},{},{},{},{},{},{}",
                        row.time,
                        csv_field(&row.target),
                        row.unit,
                        row.point,
                        row.table,
                        row.address,
                        row.reference,
                        row.r#type,
                        csv_field(&value),
                        csv_field(row.error.as_deref().unwrap_or_default()),
                    )?;
                }
            }
        }
        out.flush()
    }

    fn table(&mut self, out: &mut impl Write, first: bool, readings: &[Reading]) -> io::Result<()> {
        if first {
            self.widths = widths(readings);
        }
        let [point, reference, value] = self.widths;
        let time = |out: &mut dyn Write, text: &str| {
            if self.timed { write!(out, "{text:24}  ") } else { Ok(()) }
        };
        if first {
            time(out, "TIME")?;
            writeln!(out, "{:point$}  {:reference$}  {:value$}  RAW", "POINT", "REFERENCE", "VALUE")?;
        }
        for reading in readings {
            time(out, &rfc3339(reading.time))?;
            write!(out, "{:point$}  {:reference$}  ", reading.point.to_string(), reading.point.reference())?;
            match &reading.result {
                Ok(datum) => writeln!(out, "{:value$}  {}", shown(datum), raw(&reading.cells))?,
                Err(problem) => writeln!(out, "{}", no_controls(&problem.to_string()))?,
            }
        }
        Ok(())
    }
}

/// Of points, references and values.
fn widths(readings: &[Reading]) -> [usize; 3] {
    let mut widths = [5, 9, 5];
    for reading in readings {
        let value = reading.result.as_ref().map_or(0, |datum| shown(datum).chars().count());
        let here = [reading.point.to_string().len(), reading.point.reference().len(), value];
        for (width, here) in widths.iter_mut().zip(here) {
            *width = here.max(*width);
        }
    }
    widths
}

/// A value for people. Text from a device must not steer the terminal.
pub(crate) fn shown(datum: &Datum) -> String {
    match datum {
        Datum::Text(text) => format!("\"{}\"", text.escape_debug()),
        other => other.to_string(),
    }
}

/// Registers as hexadecimal words, to see orders and types by.
pub(crate) fn raw(cells: &Cells) -> String {
    match cells {
        Cells::Bits(bits) => bits.iter().map(|bit| if *bit { '1' } else { '0' }).collect(),
        Cells::Registers(registers) => {
            let mut text = String::new();
            for register in registers {
                // Writing to a string does not fail.
                let _ = write!(text, "{}{register:04X}", if text.is_empty() { "" } else { " " });
            }
            text
        }
    }
}

pub(crate) fn no_controls(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// `1 request`, `2 requests`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A field of CSV, in quotes where it needs them.
pub(crate) fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Whether what we print is looked at by a person, and may be in colour.
pub(crate) fn colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal()
        && !set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The canonical text of a point and its reference, as messages show both.
pub(crate) fn place(point: &Point) -> String {
    format!("{point} ({})", point.reference())
}

/// Lines of at most so many characters. A word that is longer, such as a path, is broken.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    let mut len = 0;
    for word in text.split_whitespace() {
        let letters = word.chars().count();
        if len > 0 && len + 1 + letters > width {
            lines.push(std::mem::take(&mut line));
            len = 0;
        }
        if len > 0 {
            line.push(' ');
            len += 1;
        }
        for letter in word.chars() {
            if len == width {
                lines.push(std::mem::take(&mut line));
                len = 0;
            }
            line.push(letter);
            len += 1;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_within_their_width() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("/a/long/path x", 5), ["/a/lo", "ng/pa", "th x"]);
        assert_eq!(wrapped("  ", 5), [""; 0]);
    }
}
