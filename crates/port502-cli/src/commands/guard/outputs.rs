//! Where a guard's evidence goes, and what it says of itself.

use std::io::{self, Write as _};
use std::sync::Arc;

use port502_guard::output::{Lines, Server, StandardOutput};
use port502_guard::record::{Format, Line, Origin, SinkEvent, Unkept};
use port502_guard::{Recorder, Sink};
use port502_store::{Entry, Journal, Kind, Timestamp};

use super::Args;
use super::running::Running;
use crate::failure::{Exit, Failure};
use crate::log::Log;
use crate::output::counted;

/// Lines for people, among those of the guard's life.
struct Told(Arc<Log>);

impl Sink for Told {
    fn name(&self) -> String {
        "the output".to_owned()
    }

    fn format(&self) -> Format {
        Format::Text
    }

    fn keep(&mut self, lines: &[Line]) -> Result<(), String> {
        self.0.keep(lines.iter().map(|Line { time, text, .. }| format!("{time} {text}")).collect())
    }
}

/// The journal of a site.
struct Journalled(Journal);

impl Sink for Journalled {
    fn name(&self) -> String {
        format!("the journal {}", self.0.folder().display())
    }

    fn format(&self) -> Format {
        Format::Json
    }

    fn keep(&mut self, lines: &[Line]) -> Result<(), String> {
        let entry = |line: &'_ Line| (line.time.as_unix_nanos(), Arc::clone(&line.conduit));
        let heads: Vec<(u64, Arc<str>)> = lines.iter().map(entry).collect();
        let entries: Vec<Entry<'_>> = heads
            .iter()
            .zip(lines)
            .map(|((nanos, source), line)| Entry {
                time: Timestamp::from_unix_nanos(i64::try_from(*nanos).unwrap_or(i64::MAX)),
                kind: Kind::Verdict,
                source,
                body: &line.text,
            })
            .collect();
        self.0.append(&entries).map_err(|error| error.to_string())
    }
}

/// A file that has reached the most that a process may write is an error to be told, and no end of the process.
#[cfg(target_os = "linux")]
fn outlive_file_size_limits() {
    use tokio::signal::unix::{SignalKind, signal};
    /// SIGXFSZ, on all that Linux runs on but MIPS and PA-RISC.
    const XFSZ: i32 = 25;
    // Where it cannot be had, such a limit ends the guard, as the system means it.
    let _ = signal(SignalKind::from_raw(XFSZ));
}

#[cfg(not(target_os = "linux"))]
fn outlive_file_size_limits() {}

/// Starts all outputs that were asked for.
pub(super) fn start(args: &Args, log: &Arc<Log>) -> Result<Arc<Recorder>, Failure> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    if args.json {
        sinks.push(Box::<StandardOutput>::default());
    } else if !args.quiet {
        sinks.push(Box::new(Told(Arc::clone(log))));
    }
    if let Some(path) = &args.evidence {
        let lines = Lines::open(path).map_err(|error| {
            Failure::other(format!("cannot write evidence to {}: {error}", path.display()))
        })?;
        sinks.push(Box::new(lines));
    }
    if let Some(folder) = &args.journal {
        let options = port502_store::Options { holder: "port502 guard".to_owned(), ..Default::default() };
        let journal = Journal::open(folder, options)
            .map_err(|error| Failure::other(format!("cannot start: {error}")))?;
        sinks.push(Box::new(Journalled(journal)));
    }
    outlive_file_size_limits();
    for (address, format) in [(&args.syslog, Format::Syslog), (&args.cef, Format::Cef)] {
        if let Some(address) = address {
            sinks.push(Box::new(Server::new(address.clone(), format)));
        }
    }
    let origin = Origin { hostname: hostname(), ..Origin::default() };
    let observer = {
        let log = Arc::clone(log);
        Arc::new(move |event: &SinkEvent<'_>| match event {
            SinkEvent::Failed { name, error } => {
                log.error(format_args!("{name} fails: {error}; records wait, and it is tried again"));
            }
            SinkEvent::Works { name, counted: 0 } => log.error(format_args!("{name} works again")),
            SinkEvent::Works { name, counted: count } => {
                let count = counted(*count, "record");
                log.error(format_args!("{name} works again; {count} had no room and are told as counts"));
            }
        })
    };
    let recorder = Recorder::start(sinks, origin, Some(observer));
    recorder.map(Arc::new).map_err(|error| Failure::other(format!("cannot start: {error}")))
}

/// That records and lines are lost, how many, and by whose fault.
pub(super) fn lost(unkept: &[Unkept], unread: u64) -> Option<Failure> {
    let mut lines: Vec<String> = unkept
        .iter()
        .map(|Unkept { name, count, error }| {
            let why = error.as_deref().unwrap_or("it takes nothing, and says nothing");
            format!("{name}: {} could not be kept: {why}", counted(*count, "record"))
        })
        .collect();
    if unread != 0 {
        lines.push(format!("the output: {} could not be printed: nobody reads it", counted(unread, "line")));
    }
    (!lines.is_empty()).then(|| Failure::list(Exit::Other, lines))
}

/// What this machine is called.
fn hostname() -> String {
    #[cfg(unix)]
    return rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Where it listens, and then what stands behind it.
pub(super) fn introduce(args: &Args, told: &[String], running: &Running) -> Result<(), Failure> {
    for text in told {
        line(args, text)?;
    }
    if !args.quiet {
        for text in running.leads() {
            line(args, &text)?;
        }
    }
    Ok(())
}

/// A line at once: a script that has read its line may close the pipe, which ends no guard.
pub(super) fn line(args: &Args, text: &str) -> Result<(), Failure> {
    if args.json {
        if !args.quiet {
            super::super::eprintln_quietly(text);
        }
        return Ok(());
    }
    let mut stdout = io::stdout();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
