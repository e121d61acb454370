//! `port502 check`: what listens on the industrial ports of this machine, and should it?
//!
//! `port502-survey` looks, asks and judges. Here it is told: to people by [`page`] in the words of [`words`], to programs by
//! [`json`].

mod json;
mod page;
mod words;

use std::io::{self, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use port502_survey::ask::{self, Outcomes};
use port502_survey::change::{Report, changes};
use port502_survey::{Scope, Service, Severity, system};

use crate::commands::{duration, runtime};
use crate::failure::{Exit, Failure};
use crate::output::counted;
use crate::signal::Interrupt;

/// Check what listens on the industrial ports of this machine
///
/// For each of 502 (Modbus/TCP), 802 (Modbus/TCP Security), 102 (S7), 44818 (EtherNet/IP), 20000 (DNP3) and 4840 (OPC UA):
/// which program listens, on which addresses, since when; what it answers to the one read-only request of its protocol;
/// who is connected; whether a packet filter limits it; what to think of that, and what to do next. Exit code 0: nothing
/// to act on, 10: something to act on, 1: could not look.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Look at this port instead, and take it for this protocol: 1502, 4841=opc-ua. Can be given several times.
    #[arg(long = "port", value_name = "N[=PROTOCOL]", value_parser = port)]
    ports: Vec<(u16, Service)>,
    /// Ask nothing: look only.
    #[arg(long)]
    no_probe: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Keep looking until Ctrl-C, and tell what changes.
    #[arg(long)]
    watch: bool,
    /// How often to look.
    #[arg(long, value_name = "D", default_value = "2s", value_parser = interval, requires = "watch")]
    every: Duration,
}

/// The shortest interval: looking costs some milliseconds.
const EVERY_MIN: Duration = Duration::from_millis(100);

fn interval(text: &str) -> Result<Duration, String> {
    let every = duration(text)?;
    if every < EVERY_MIN { Err("want 100ms or more".to_owned()) } else { Ok(every) }
}

/// `1502` or `4841=opc-ua`.
fn port(text: &str) -> Result<(u16, Service), String> {
    let (number, word) = text.split_once('=').map_or((text, None), |(number, word)| (number, Some(word)));
    let port = number.parse().ok().filter(|port| *port != 0);
    let port = port.ok_or("want a port from 1 to 65535, as in 502 or 4841=opc-ua")?;
    match word {
        None => Ok((port, Scope::usual(port))),
        Some(word) => word
            .parse()
            .map(|service| (port, service))
            .map_err(|error: port502_survey::NoSuchService| error.to_string()),
    }
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    runtime()?.block_on(check(&args))
}

async fn check(args: &Args) -> Result<(), Failure> {
    let scope = if args.ports.is_empty() { Scope::default() } else { Scope::new(args.ports.iter().copied()) };
    let mut interrupt = Interrupt::new();
    let first = interrupt.or(look(args, &scope, &Outcomes::new())).await;
    let mut report = first.ok_or_else(|| Failure::other("interrupted before everything was looked at"))??;
    print(|out| if args.json { json::report(out, &report) } else { page::report(out, &report) })?;
    if args.watch {
        let (mut looks, mut told) = (1_u64, 0_u64);
        let mut failed = false;
        while interrupt.or(tokio::time::sleep(args.every)).await.is_some() {
            let next = match interrupt.or(look(args, &scope, &report.outcomes)).await {
                Some(Ok(next)) => next,
                // What fails now may go well in a moment, and once is enough to know it.
                Some(Err(failure)) => {
                    if !std::mem::replace(&mut failed, true) {
                        crate::commands::eprintln_quietly(&format!("port502: {}", failure.message));
                    }
                    continue;
                }
                None => break,
            };
            failed = false;
            looks += 1;
            let changes = changes(&report, &next);
            told += u64::try_from(changes.len()).unwrap_or(u64::MAX);
            print(|out| {
                let (time, snapshot) = (Timestamp::now(), &next.snapshot);
                changes.iter().try_for_each(|change| {
                    if args.json {
                        json::change(out, change, &next, time)
                    } else {
                        page::change(out, change, snapshot, time)
                    }
                })
            })?;
            report = next;
        }
        if !args.json {
            print(|out| writeln!(out, "{}, {}", counted(looks, "look"), counted(told, "change")))?;
        }
    }
    match report.findings.iter().any(|finding| finding.severity() == Severity::Act) {
        true => Err(Failure::new(Exit::Findings, "")),
        false => Ok(()),
    }
}

async fn look(args: &Args, scope: &Scope, known: &Outcomes) -> Result<Report, Failure> {
    let snapshot = system::look(scope).map_err(|error| {
        Failure::other(format!(
            "cannot look at this machine's sockets: {error}; on Linux /proc must be mounted"
        ))
    })?;
    let outcomes =
        if args.no_probe { ask::not_wanted(&snapshot) } else { ask::ask_new(&snapshot, known).await };
    Ok(Report::new(snapshot, outcomes))
}

/// Prints in one go: what is read by a program is whole lines.
fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<(), Failure> {
    let mut text = Vec::new();
    write(&mut text)?;
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_with_or_without_a_protocol() {
        assert_eq!(port("502"), Ok((502, Service::Modbus)));
        assert_eq!(port("4840"), Ok((4840, Service::OpcUa)));
        assert_eq!(port("1502"), Ok((1502, Service::Modbus)));
        assert_eq!(port("1102=s7"), Ok((1102, Service::S7)));
        for wrong in ["", "0", "65536", "-1", "x", "502=", "502=modbuss", "=s7"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }
}
