//! Explained frames, printed.

use std::io::{self, Write};

use port502_wire::Anomaly;
use serde::Serialize;

use super::contents::hex;
use super::explain::{Explanation, explain};
use super::frames::{Frame, Link, Way, readings, ways};
use super::hex::Input;

/// A frame that was printed, as the one that follows may be its answer.
struct Before<'a> {
    pdu: &'a [u8],
    transaction: Option<u16>,
    unit: Option<u8>,
}

/// One reading of one frame, as a JSON object; `docs/json.md` tells what the fields mean.
#[derive(Serialize)]
struct Line<'a> {
    r#as: &'static str,
    direction: &'static str,
    why: &'a str,
    alternative: bool,
    offset: usize,
    bytes: String,
    transaction_id: Option<u16>,
    unit: Option<u8>,
    function: Option<u8>,
    pdu: String,
    meaning: Option<&'a str>,
    fields: Vec<LineField<'a>>,
    anomalies: Vec<&'static str>,
    problems: &'a [String],
    exception: Option<u8>,
}

#[derive(Serialize)]
struct LineField<'a> {
    offset: usize,
    bytes: String,
    name: &'a str,
    value: &'a str,
}

fn link_name(link: Link) -> (&'static str, &'static str) {
    match link {
        Link::Tcp => ("tcp", "Modbus/TCP"),
        Link::Rtu => ("rtu", "RTU"),
        Link::Ascii => ("ascii", "ASCII"),
        Link::Pdu => ("pdu", "PDU"),
    }
}

fn way_name(way: Way) -> (&'static str, &'static str) {
    match way {
        Way::Request => ("request", "request"),
        Way::Response => ("response", "response"),
        Way::Either => ("either", "request, or the response that repeats it"),
    }
}

/// Explains every frame of every input.
pub(super) fn run(
    inputs: &[Input],
    link: Option<Link>,
    way: Option<Way>,
    json: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut before: Option<Before<'_>> = None;
    let mut first = true;
    for input in inputs {
        let readings = readings(input, link);
        let several = readings.len() > 1;
        for (index, reading) in readings.iter().enumerate() {
            for frame in &reading.frames {
                // A frame answers the one before it, if that has the same number, and comes from the same unit.
                let asked = before.as_ref().filter(|before| {
                    before.transaction == frame.transaction() && before.unit == frame.unit()
                });
                let asked = asked.map(|before| before.pdu);
                let ways = ways(frame.pdu(), way, asked);
                let several = several || ways.len() > 1;
                let why = if way.is_some() { "as asked for" } else { reading.why };
                for (nth, &way) in ways.iter().enumerate() {
                    let explained = explain(frame, way, asked.filter(|_| way == Way::Response));
                    let alternative = index > 0 || nth > 0;
                    if json {
                        write_json(why, frame, way, alternative, &explained, out)?;
                    } else {
                        if !first {
                            writeln!(out)?;
                        }
                        let choice = match (several, alternative) {
                            (false, _) => "",
                            (true, false) => "either: ",
                            (true, true) => "or: ",
                        };
                        write_text(choice, why, frame, way, &explained, out)?;
                    }
                    first = false;
                }
                let asks = ways.first().is_some_and(|way| *way != Way::Response);
                before = asks.then(|| Before {
                    pdu: frame.pdu(),
                    transaction: frame.transaction(),
                    unit: frame.unit(),
                });
            }
        }
    }
    out.flush()
}

fn write_text(
    choice: &str,
    why: &'static str,
    frame: &Frame<'_>,
    way: Way,
    explained: &Explanation,
    out: &mut impl Write,
) -> io::Result<()> {
    let ((_, link), (_, way)) = (link_name(frame.link), way_name(way));
    let bytes = match frame.bytes.len() {
        1 => "1 byte".to_owned(),
        len => format!("{len} bytes"),
    };
    writeln!(out, "{choice}{link} {way}, {bytes}: {why}")?;
    let width = |of: fn(&super::explain::Field) -> usize, least: usize, most: usize| {
        explained.fields.iter().map(of).chain([least]).max().unwrap_or(least).min(most)
    };
    let bytes_width = width(|field| 3 * field.bytes.len() - 1, 5, 23);
    let name_width = width(|field| field.name.len(), 5, 40);
    for field in &explained.fields {
        // Long fields go over several lines.
        let mut pieces = field.bytes.chunks(8);
        let piece =
            |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let front = piece(pieces.next().unwrap_or_default());
        let (offset, name, value) = (field.offset, &field.name, &field.value);
        writeln!(out, "{offset:>5}  {front:<bytes_width$}  {name:<name_width$}  {value}")?;
        for (index, bytes) in pieces.enumerate() {
            writeln!(out, "{:>5}  {}", offset + 8 * (index + 1), piece(bytes))?;
        }
    }
    if let Some(meaning) = &explained.meaning {
        writeln!(out, "       {meaning}")?;
    }
    for problem in &explained.problems {
        writeln!(out, "       wrong: {problem}")?;
    }
    Ok(())
}

fn write_json(
    why: &'static str,
    frame: &Frame<'_>,
    way: Way,
    alternative: bool,
    explained: &Explanation,
    out: &mut impl Write,
) -> io::Result<()> {
    let fields = explained.fields.iter().map(|field| LineField {
        offset: field.offset,
        bytes: hex(&field.bytes),
        name: &field.name,
        value: &field.value,
    });
    let line = Line {
        r#as: link_name(frame.link).0,
        direction: way_name(way).0,
        why,
        alternative,
        offset: frame.offset,
        bytes: hex(frame.bytes),
        transaction_id: frame.transaction(),
        unit: frame.unit(),
        function: frame.pdu().first().map(|code| code & 0x7F),
        pdu: hex(frame.pdu()),
        meaning: explained.meaning.as_deref(),
        fields: fields.collect(),
        anomalies: explained.anomalies.iter().map(Anomaly::name).collect(),
        problems: &explained.problems,
        exception: explained.exception.map(|exception| exception.code()),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
