//! `port502 decode`: what frames mean, from hexadecimal text or a capture.

mod capture;
mod contents;
mod explain;
mod frames;
mod hex;
mod lines;
mod report;
mod summary;

use std::io::{self, BufWriter, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use capture::Outcome;
use frames::{Link, Way};
use lines::{Json, Text};
use summary::Summary;

/// So much text is taken from standard input. A longer one is a capture, or a mistake.
const TEXT_MAX: u64 = 1 << 24;

/// Explain Modbus frames, from hexadecimal text or a capture
///
/// Without --pcap, HEX is explained field by field: bytes apart or together, with or without 0x, commas or colons, or
/// a hex dump on standard input. What kind of frame it is, and whether request or response, is told from the bytes.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Bytes of one frame or several, as 00 01 00 00 00 06 ff 03 00 6b 00 03; `-`, or nothing, reads standard input.
    #[arg(value_name = "HEX")]
    hex: Vec<String>,

    /// Decode a capture file (pcap or pcapng), one line a transaction; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hex", "link", "request", "response"])]
    pcap: Option<PathBuf>,

    /// Show counts of the whole capture instead of lines.
    // Beside what excludes a capture, nobody asks for one.
    #[arg(long, requires = "pcap", conflicts_with_all = ["hex", "link", "request", "response"])]
    summary: bool,

    /// A TCP port that Modbus is served on, besides 502.
    #[arg(long, value_name = "PORT", requires = "pcap", conflicts_with_all = ["hex", "link", "request", "response"])]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,

    /// Print JSON: one object a line, with the fields of docs/json.md.
    #[arg(long)]
    json: bool,

    /// Take the bytes for frames of this kind.
    #[arg(long = "as", value_name = "KIND")]
    link: Option<Link>,

    /// Take them for requests.
    #[arg(long, conflicts_with = "response")]
    request: bool,

    /// Take them for responses.
    #[arg(long)]
    response: bool,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match &args.pcap {
        Some(path) => run_pcap(path, &args),
        None => run_hex(&args),
    }
}

fn run_hex(args: &Args) -> Result<(), Failure> {
    let text = match args.hex.as_slice() {
        [] if io::stdin().is_terminal() => {
            return Err(Failure::usage(
                "decode: give bytes as 00 01 00 00 00 06 ff 03 00 6b 00 03, a capture with --pcap FILE, or pipe text in",
            ));
        }
        [] => stdin_text()?,
        [word] if word == "-" => stdin_text()?,
        words => words.join(" "),
    };
    let inputs = hex::parse(&text).map_err(|error| Failure::usage(format!("decode: {error}")))?;
    let inputs = match frames::belong_together(&inputs) {
        Some(one) => vec![one],
        None => inputs,
    };
    let inputs: Vec<_> = match args.link {
        None | Some(Link::Ascii) => {
            inputs.into_iter().flat_map(|input| frames::spelled(&input).unwrap_or(vec![input])).collect()
        }
        _ => inputs,
    };
    let way = match (args.request, args.response) {
        (true, _) => Some(Way::Request),
        (_, true) => Some(Way::Response),
        _ => None,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    Ok(report::run(&inputs, args.link, way, args.json, &mut out)?)
}

fn stdin_text() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(TEXT_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::other(format!("standard input: cannot read it: {error}")))?;
    if bytes.len() as u64 > TEXT_MAX {
        return Err(Failure::usage(
            "standard input: more than 16 MiB of text; a capture is read with --pcap -",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::usage(format!("standard input: byte {at} is not text; a capture is read with --pcap -"))
    })
}

fn run_pcap(path: &Path, args: &Args) -> Result<(), Failure> {
    let mut ports = vec![502];
    ports.extend(&args.port);
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let outcome = match (args.summary, args.json) {
        (true, json) => {
            let mut summary = Summary::default();
            let outcome = capture::read(path, &ports, &mut summary)?;
            let file = path.display().to_string();
            if json {
                summary.write_json(&file, &outcome, out)?;
            } else {
                summary.write_text(&file, &outcome, out)?;
            }
            outcome
        }
        (false, true) => {
            let mut lines = Json::new(out);
            let outcome = capture::read(path, &ports, &mut lines);
            lines.finish()?;
            outcome?
        }
        (false, false) => {
            let mut lines = Text::new(out);
            let outcome = capture::read(path, &ports, &mut lines);
            lines.finish()?;
            outcome?
        }
    };
    tell_cut(path, &outcome);
    Ok(())
}

/// A capture that was cut off is no failure: all that is whole was decoded.
fn tell_cut(path: &Path, outcome: &Outcome) {
    if let Some(offset) = outcome.cut {
        // Without stderr there is nobody to tell.
        let _ = writeln!(
            io::stderr(),
            "port502: {}: the file ends within the packet that starts at byte {offset}; \
             the {} packets before it were decoded",
            path.display(),
            outcome.counters.packets
        );
    }
}
