//! One file per command: its arguments, and what it does.

pub(crate) mod bench;
pub(crate) mod cert;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod decode;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod gateway;
pub(crate) mod guard;
pub(crate) mod identify;
pub(crate) mod import;
pub(crate) mod journal;
pub(crate) mod man;
pub(crate) mod plan;
pub(crate) mod poll;
pub(crate) mod profiles;
pub(crate) mod read;
pub(crate) mod serve;
mod simulate;
pub(crate) mod write;

use std::time::Duration;

use port502_wire::UnitId;

use crate::failure::Failure;

/// A unit id as an argument.
pub(crate) fn unit_id(text: &str) -> Result<UnitId, String> {
    let number = port502_site::point::number(text).and_then(|number| u8::try_from(number).ok());
    number.map(UnitId).ok_or_else(|| "want a unit id from 0 to 255".to_owned())
}

/// How often, as an argument.
pub(crate) fn times(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|times| *times != 0).ok_or_else(|| "want a count of 1 or more".to_owned())
}

/// A duration as an argument.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    port502_session::duration::parse(text).map_err(|error| error.to_string())
}

/// The runtime of a command: one thread, so that nothing that a request needs ever changes threads.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("cannot start: {error}")))
}

/// A line on stderr; one that nobody can read is no reason to end.
pub(crate) fn eprintln_quietly(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
