//! `port502 import`: a site file from what other tools have, or from a device that says itself what it is.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use port502_import::csv::Base;
use port502_import::{Format, ImportError, Options, import};
use port502_net::Target;
use port502_net::client::Error;
use port502_site::profiles;
use port502_site::site::{Profiles, Site, SourceFile};
use port502_site::sunspec::{self, Walk, quoted};
use port502_site::{Cells, nearest};
use port502_wire::{Table, UnitId};

use crate::commands::{eprintln_quietly, unit_id};
use crate::device::{self, Connection, Device};
use crate::failure::Failure;
use crate::output::counted;
use crate::signal::Interrupt;

/// So many bytes of a file are read: a register map of a hundred thousand rows is a tenth of it.
const INPUT_MAX: u64 = 1 << 27;

/// Things that could not be carried over and are shown; the rest is counted.
const NOTES_SHOWN_MAX: usize = 200;

/// Make a site file from a register map, or from another tool's configuration
///
/// The site file goes to stdout, or to --output; what could not be carried over goes to stderr, each thing with its
/// place. What comes out reads without errors, and nothing in it may be written that the source gives no limits for.
/// Instead of a file, the address of a SunSpec device may stand there: its models are read from it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The file; `-` is stdin; or the target of a SunSpec device, as tcp://192.0.2.5.
    #[arg(value_name = "FILE")]
    source: String,
    /// What it is: csv, sunspec, telegraf, home-assistant, modbus-exporter or pymodbus; otherwise it is guessed.
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    from: Option<Format>,
    /// Write the site file here; a file that is there already is not overwritten.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the site is called.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// What the device is called, where the source has no name for it.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Where the device is, where the source does not say.
    #[arg(long, value_name = "TARGET")]
    connect: Option<Target>,
    /// Its unit id, where the source does not say.
    #[arg(long, value_name = "N", value_parser = unit_id)]
    unit: Option<UnitId>,
    /// How addresses of a register map count: 0, 1, or reference (40001 is the first holding register); otherwise as it can be seen.
    #[arg(long, value_name = "BASE", value_parser = base)]
    base: Option<Base>,
    /// The holding register at which a SunSpec model begins.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    at: Option<u16>,
    /// How often groups of a SunSpec model repeat, by the point that says so on the device, as NPt=4; more than once for
    /// several.
    #[arg(long, value_name = "POINT=N", value_parser = count)]
    count: Vec<(String, u16)>,
}

fn format(text: &str) -> Result<Format, String> {
    let names = Format::ALL.map(|(name, _)| name);
    let found = Format::ALL.iter().find(|(name, _)| *name == text).map(|(_, format)| *format);
    found.ok_or_else(|| match nearest(text, names) {
        Some(near) => format!("not a format; did you mean {near}?"),
        None => format!("not a format; write {}", names.join(", ")),
    })
}

fn base(text: &str) -> Result<Base, String> {
    match text {
        "0" => Ok(Base::Zero),
        "1" => Ok(Base::One),
        "reference" => Ok(Base::Reference),
        _ => Err("want 0, 1 or reference".to_owned()),
    }
}

fn address(text: &str) -> Result<u16, String> {
    let number = port502_site::point::number(text).and_then(|number| u16::try_from(number).ok());
    number.ok_or_else(|| "want an address from 0 to 65535".to_owned())
}

fn count(text: &str) -> Result<(String, u16), String> {
    let (name, times) = text.split_once('=').unwrap_or((text, ""));
    let times = times.parse().ok().filter(|_| !name.is_empty());
    times
        .map(|times| (name.to_owned(), times))
        .ok_or_else(|| "want a point and a number, as NPt=4".to_owned())
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    // Before anything is read or asked: to lose what came out at the end would be a pity.
    if let Some(output) = args.output.as_deref().filter(|output| output.exists()) {
        return Err(taken(output));
    }
    if args.source.contains("://") {
        return walk(&args);
    }
    let text = read(&args.source)?;
    let source = if args.source == "-" { "stdin" } else { &args.source };
    let Some(format) = args.from.or_else(|| Format::guess(&text)) else {
        let message = format!(
            "{source}: it cannot be seen what it is; say --from with one of {}",
            Format::ALL.map(|(name, _)| name).join(", ")
        );
        return Err(Failure::usage(message));
    };
    let options = Options {
        site: args.site.clone(),
        device: args.device.clone(),
        connect: args.connect.clone(),
        unit: args.unit.map(UnitId::get),
        base: args.base.unwrap_or_default(),
        at: args.at,
        counts: args.count.clone(),
    };
    let imported = match import(format, &text, &options) {
        Ok(imported) => imported,
        Err(ImportError::Malformed(error)) if error.line > 0 => {
            return Err(Failure::usage(format!("{source}:{error}")));
        }
        Err(error) => {
            let notes = if let ImportError::Nothing(notes) = &error { notes.as_slice() } else { &[] };
            for note in notes.iter().take(NOTES_SHOWN_MAX) {
                eprintln_quietly(&told(source, &note.to_string()));
            }
            return Err(Failure::usage(format!("{source}: {error}")));
        }
    };
    for note in imported.notes.iter().take(NOTES_SHOWN_MAX) {
        eprintln_quietly(&told(source, &note.to_string()));
    }
    let more = imported.notes.len().saturating_sub(NOTES_SHOWN_MAX) + imported.omitted;
    if more > 0 {
        eprintln_quietly(&format!("{source}: ... and {more} more"));
    }
    put(args.output.as_deref(), &imported.site)?;
    let count = |count: usize, what: &str| counted(u64::try_from(count).unwrap_or(u64::MAX), what);
    let (devices, tags) = (count(imported.devices, "device"), count(imported.tags, "tag"));
    let lost = count(imported.notes.len() + imported.omitted, "note");
    eprintln_quietly(&format!("{source}: {devices}, {tags}, {lost} ({})", format.name()));
    Ok(())
}

/// A note of a file: `map.csv:7: ...`.
fn told(source: &str, note: &str) -> String {
    let at_line = note.starts_with(|c: char| c.is_ascii_digit());
    let note = crate::output::no_controls(note);
    if at_line { format!("{source}:{note}") } else { format!("{source}: {note}") }
}

fn taken(output: &Path) -> Failure {
    Failure::usage(format!("{} is there already; choose another --output, or move it away", output.display()))
}

fn read(source: &str) -> Result<String, Failure> {
    let cannot = |error: io::Error| Failure::other(format!("cannot read {source}: {error}"));
    let mut bytes = Vec::new();
    let limit = INPUT_MAX + 1;
    match source {
        "-" => io::stdin().lock().take(limit).read_to_end(&mut bytes),
        path => std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    }
    .map_err(cannot)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > INPUT_MAX {
        return Err(Failure::usage(format!("{source}: more than {} MiB", INPUT_MAX >> 20)));
    }
    // Spreadsheets of older systems save letters beyond ASCII as one byte each.
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| error.as_bytes().iter().copied().map(char::from).collect()))
}

fn put(output: Option<&Path>, text: &str) -> Result<(), Failure> {
    let Some(path) = output else {
        io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(());
    };
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
        _ => Failure::other(format!("cannot write {}: {error}", path.display())),
    })
}

// ---- a SunSpec device ---------------------------------------------------------------------------------------------

/// How long it may take to answer; inverters behind their own web server are slow.
const PATIENCE: Duration = Duration::from_secs(3);

fn walk(args: &Args) -> Result<(), Failure> {
    if let Some(format) = args.from.filter(|format| *format != Format::SunSpec) {
        let message =
            format!("{}: a device can only be read --from sunspec, and not {}", args.source, format.name());
        return Err(Failure::usage(message));
    }
    let target: Target =
        args.source.parse().map_err(|error| Failure::usage(format!("{}: {error}", args.source)))?;
    let unit = args.unit.unwrap_or(UnitId(1));
    let connection = Connection { target, unit, timeout: PATIENCE, retries: 1 };
    let text = device::block_on(models(args, connection))?;
    put(args.output.as_deref(), &text)
}

async fn models(args: &Args, connection: Connection) -> Result<String, Failure> {
    let mut device = Device::connect(&connection).await?;
    let mut walk = Walk::default();
    while let Some(at) = walk.wants() {
        let read = Interrupt::new().or(device.read(Table::HoldingRegisters, at, 2)).await;
        let registers = match read {
            None => return Err(device.interrupted("SunSpec")),
            Some(Ok(Cells::Registers(registers))) => <[u16; 2]>::try_from(registers).ok(),
            // It has no such address: the marker may be elsewhere.
            Some(Ok(Cells::Bits(_)) | Err(Error::Exception { .. })) => None,
            Some(Err(error)) => return Err(device.failure(&format!("holding:{at}"), &error)),
        };
        walk.take(registers);
    }
    let (models, error) = walk.end();
    let place = format!("{} unit {}", connection.target, connection.unit);
    if let Some(error) = error {
        if models.is_empty() {
            return Err(Failure::other(format!("{place}: {error}")));
        }
        eprintln_quietly(&format!("{place}: {error}; what came before it is here"));
    }
    let name = args.device.clone().unwrap_or_else(|| "device".to_owned());
    // How many points their curves have.
    let mut counts = BTreeMap::new();
    for found in &models {
        let profile = sunspec::profile_of(profiles::built_in(), found.model);
        let Some(at) = profile.and_then(|profile| sunspec::count_at(profile, *found)) else { continue };
        match Interrupt::new().or(device.read(Table::HoldingRegisters, at, 1)).await {
            None => return Err(device.interrupted("SunSpec")),
            Some(Ok(Cells::Registers(registers))) => {
                counts.extend(registers.first().map(|count| (at, *count)))
            }
            Some(Ok(Cells::Bits(_)) | Err(Error::Exception { .. })) => eprintln_quietly(&format!(
                "{place}: holding:{at} cannot be read, which says how many points the curves of model {} have; as many \
                 as in its profile are taken",
                found.model
            )),
            Some(Err(error)) => return Err(device.failure(&format!("holding:{at}"), &error)),
        }
    }
    let holds = |at: u16| counts.get(&at).copied();
    let (tags, unknown) = sunspec::device_tags(profiles::built_in(), &models, holds, &name);
    for model in &unknown {
        eprintln_quietly(&format!(
            "{place}: model {} at holding:{}, {} registers, is not built in and left out",
            model.model, model.at, model.length
        ));
    }
    let text = format!(
        "# Imported by port502 from a SunSpec device. Check it before anything relies on it.\n\n[site]\nname = {}\n\n\
         [device.{name}]\nconnect = {}\nunit = {}\n{tags}",
        quoted(args.site.as_deref().unwrap_or("imported")),
        quoted(&connection.target.to_string()),
        connection.unit.get(),
    );
    let files = [SourceFile { name: "site.toml", text: &text }];
    match Site::parse(&files, &Profiles::none()) {
        Ok(site) => {
            let count = |count: usize, what: &str| counted(u64::try_from(count).unwrap_or(u64::MAX), what);
            let (models, tags) = (count(models.len(), "model"), count(site.tags().len(), "tag"));
            eprintln_quietly(&format!("{place}: {models}, {tags}"));
            Ok(text)
        }
        Err(errors) => {
            let first = errors.errors.first().map_or_else(String::new, |error| error.fault.to_string());
            Err(Failure::usage(format!("{place}: {first}")))
        }
    }
}
