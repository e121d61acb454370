//! `port502 journal`: what was refused, found, raised and done, out of the folder in which it is kept.

mod lines;
mod page;

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use port502_store::{Journal, Kept, Kind, Order, Query, StoreError, Tampering, Timestamp, Verified};
use serde::Serialize;

use crate::commands::{duration, eprintln_quietly, times};
use crate::failure::Failure;
use crate::output::{Format, Output};
use lines::{Csv, Json};
use page::Page;

/// Entries of a table, where `-n` says nothing else.
const SHOWN: u64 = 20;

/// Entries that `--follow` begins with, where `-n` says nothing else.
const FOLLOWED: u64 = 10;

/// Entries that `--follow` begins with at most: they are turned round in memory.
const FOLLOWED_MAX: u64 = 10_000;

/// How often `--follow` looks for more.
const EVERY: Duration = Duration::from_millis(500);

/// Show what the journal keeps: refused and alerted transactions, findings, alarms, audit
///
/// The newest come first, as a table of the last 20, or all of them as --json or --csv. It can be read while it is
/// written. --verify walks along the chain of hashes and says whether an entry was changed, removed or inserted.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The folder in which it is kept.
    folder: PathBuf,
    /// From this time on: 2026-11-18T11:00:00Z, or how long ago, as 24h.
    #[arg(long, value_name = "T", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this time, said in the same way.
    #[arg(long, value_name = "T", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only of this kind: verdict, finding, alarm or audit.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<Kind>,
    /// Only what is from there: a conduit, a device, a user.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only what has this reason, as the table shows it.
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Only what this client did.
    #[arg(long, value_name = "IP", value_parser = address)]
    client: Option<IpAddr>,
    /// So many entries at most.
    #[arg(short = 'n', value_name = "N", value_parser = times)]
    count: Option<u64>,
    /// The oldest first.
    #[arg(long, conflicts_with = "follow")]
    oldest_first: bool,
    /// Show the last 10, and then what comes, until Ctrl-C.
    #[arg(long, conflicts_with = "until")]
    follow: bool,
    #[command(flatten)]
    output: Output,
    /// Say whether the chain is whole, and show no entries.
    #[arg(
        long,
        conflicts_with_all = ["since", "until", "kind", "source", "reason", "client", "count", "oldest_first", "follow", "csv"]
    )]
    verify: bool,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        let nanos = i64::try_from(time.as_nanosecond());
        return nanos.map(Timestamp::from_unix_nanos).map_err(|_| "want a year from 1678 to 2261".to_owned());
    }
    let wanted = || "want a time with its zone, as 2026-11-18T11:00:00Z, or how long ago, as 24h".to_owned();
    // What has a dash was meant to be a time.
    if text.contains('-') {
        return Err(wanted());
    }
    let ago = duration(text).map_err(|_| wanted())?;
    let now = Timestamp::from(std::time::SystemTime::now()).unix_nanos();
    let ago = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
    Ok(Timestamp::from_unix_nanos(now.saturating_sub(ago)))
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::of_word(text).ok_or_else(|| format!("want {}", Kind::ALL.map(Kind::word).join(", ")))
}

fn address(text: &str) -> Result<IpAddr, String> {
    let address = text.parse::<IpAddr>().map(|address| address.to_canonical());
    address.map_err(|_| "want an address, as 10.20.0.7 or fd00::7".to_owned())
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::other(error.to_string())
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.verify {
        return verify(&args.folder, args.output.format());
    }
    let mut printer = Printer::new(args.output.format());
    if args.follow { follow(args, &mut printer) } else { show(args, &mut printer) }
}

impl Args {
    fn query(&self) -> Query {
        let client = self.client.map(|client| ("client", client.to_string()));
        let reason = self.reason.clone().map(|reason| ("reason", reason));
        Query {
            since: self.since,
            until: self.until,
            kind: self.kind,
            source: self.source.clone(),
            fields: client.into_iter().chain(reason).collect(),
            order: if self.oldest_first { Order::OldestFirst } else { Order::NewestFirst },
            limit: self.count,
            ..Query::default()
        }
    }

    /// Whether some entries were left out by what was asked for.
    fn is_filtered(&self) -> bool {
        let query = self.query();
        query != Query { limit: query.limit, order: query.order, ..Query::default() }
    }
}

/// Puts entries out in the format that was asked for.
enum Printer {
    Page(Page),
    Json(Json),
    Csv(Csv),
}

impl Printer {
    fn new(format: Format) -> Self {
        match format {
            Format::Table => Printer::Page(Page::default()),
            Format::Json => Printer::Json(Json),
            Format::Csv => Printer::Csv(Csv::default()),
        }
    }

    fn entry(&mut self, out: &mut impl Write, kept: &Kept) -> io::Result<()> {
        match self {
            Printer::Page(page) => page.entry(out, kept),
            Printer::Json(json) => json.entry(out, kept),
            Printer::Csv(csv) => csv.entry(out, kept),
        }
    }
}

fn show(args: &Args, printer: &mut Printer) -> Result<(), Failure> {
    let mut query = args.query();
    // One more than is shown, to know whether there are more.
    let shown = match printer {
        Printer::Page(_) if args.count.is_none() => SHOWN,
        _ => u64::MAX,
    };
    if shown != u64::MAX {
        query.limit = Some(shown + 1);
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut count = 0;
    for kept in Journal::read(&args.folder, &query)? {
        let kept = kept.inspect_err(|_| {
            // What was read before the damage is told before it.
            let _ = out.flush();
        })?;
        count += 1;
        if count > shown {
            break;
        }
        printer.entry(&mut out, &kept)?;
    }
    out.flush()?;
    let folder = args.folder.display();
    if count > shown {
        let which = if args.oldest_first { "oldest" } else { "newest" };
        eprintln_quietly(&format!("{folder}: these are the {which} {shown}; -n shows as many as it says"));
    }
    match count {
        0 if args.is_filtered() => eprintln_quietly(&format!(
            "{folder}: nothing found; `port502 journal` without options shows the newest of all"
        )),
        0 => eprintln_quietly(&format!("{folder}: nothing is kept there yet")),
        _ => {}
    }
    Ok(())
}

fn follow(args: &Args, printer: &mut Printer) -> Result<(), Failure> {
    let count = args.count.unwrap_or(FOLLOWED);
    if count > FOLLOWED_MAX {
        return Err(Failure::usage(format!(
            "-n {count}: --follow begins with {FOLLOWED_MAX} at most; leave --follow out to see more"
        )));
    }
    let mut last = Journal::last(&args.folder)?;
    let query = Query { limit: Some(count), ..args.query() };
    let first: Vec<Kept> = Journal::read(&args.folder, &query)?.collect::<Result<_, _>>()?;
    let mut out = io::stdout().lock();
    // What came since the last number was asked for is shown below.
    for kept in first.iter().rev().filter(|kept| kept.id <= last) {
        printer.entry(&mut out, kept)?;
    }
    out.flush()?;
    loop {
        let now = match Journal::last(&args.folder) {
            // A new journal takes the place of one that was moved away.
            Ok(now) if now < last => {
                last = 0;
                now
            }
            Ok(now) => now,
            // It is being replaced, or its writer is just starting.
            Err(StoreError::NoJournal { .. } | StoreError::Busy { .. }) => last,
            Err(error) => return Err(error.into()),
        };
        if now > last {
            let query = Query { after: Some(last), order: Order::AsKept, limit: None, ..args.query() };
            for kept in Journal::read(&args.folder, &query)? {
                let kept = kept?;
                printer.entry(&mut out, &kept)?;
                last = last.max(kept.id);
            }
            out.flush()?;
            last = last.max(now);
        }
        std::thread::sleep(EVERY);
    }
}

/// What `--verify --json` prints: docs/json.md.
#[derive(Serialize)]
struct Walked<'v> {
    whole: bool,
    removed: u64,
    entries: u64,
    oldest: Option<String>,
    last: u64,
    hash: &'v str,
    entry: Option<u64>,
    what: Option<&'static str>,
}

fn verify(folder: &Path, format: Format) -> Result<(), Failure> {
    let verified = Journal::verify(folder)?;
    let (hash, last) = (verified.hash_text(), verified.last());
    let mut out = io::stdout().lock();
    if format == Format::Json {
        let walked = Walked {
            whole: verified.breach.is_none(),
            removed: verified.removed,
            entries: verified.entries,
            oldest: verified.oldest.map(lines::rfc3339),
            last,
            hash: &hash,
            entry: verified.breach.map(|breach| breach.id),
            what: verified.breach.map(|breach| breach.what.word()),
        };
        serde_json::to_writer(&mut out, &walked).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if verified.breach.is_none() {
        writeln!(out, "{}: {}", folder.display(), whole(&verified))?;
        if last > 0 {
            writeln!(out, "hash of entry {last}: {hash}")?;
        }
    }
    out.flush()?;
    match verified.breach {
        None => Ok(()),
        Some(breach) => Err(Failure::other(format!(
            "{}: entry {} {}; in front of it {} as kept; compare the others with a copy that nobody here could change",
            folder.display(),
            breach.id,
            match breach.what {
                Tampering::Changed => "is not what was kept, or not in its place",
                Tampering::Missing => "was removed",
                Tampering::Inserted => "was put in by something else than the journal",
            },
            entries(verified.entries),
        ))),
    }
}

fn entries(count: u64) -> String {
    match count {
        0 => "there is none".to_owned(),
        1 => "1 entry is".to_owned(),
        count => format!("{count} entries are"),
    }
}

fn whole(verified: &Verified) -> String {
    let mut text = match verified.entries {
        0 => "whole, without entries".to_owned(),
        1 => format!("whole, 1 entry: {}", verified.last()),
        count => format!("whole, {count} entries: {} to {}", verified.removed + 1, verified.last()),
    };
    if let Some(oldest) = verified.oldest {
        text += &format!(", the oldest of {}", page::to_the_second(oldest));
    }
    if verified.removed > 0 {
        text += &format!("; {} that came before have left by age or for room", verified.removed);
    }
    text
}
