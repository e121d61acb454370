//! Entries for programs: JSON as it was kept, and CSV with a column for each field of the firewall's evidence.

use std::io::{self, Write};

use port502_inspect::evidence::{FIELDS, Field};
use port502_store::{Kept, Timestamp};
use serde_json::{Map, Value};

use crate::output::{csv_field, no_controls};

/// RFC 3339 with microseconds, as evidence has it.
pub(super) fn rfc3339(time: Timestamp) -> String {
    format!("{:.6}", jiff_time(time))
}

pub(super) fn jiff_time(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(time.unix_nanos().into()).unwrap_or_default()
}

/// What an entry says. Only what somebody else wrote into the file is no object.
pub(super) fn object(kept: &Kept) -> Option<Map<String, Value>> {
    serde_json::from_str(&kept.body).ok()
}

/// One object a line: what was kept as it is, and in front of it what the journal knows of it.
pub(super) struct Json;

impl Json {
    pub(super) fn entry(&mut self, out: &mut impl Write, kept: &Kept) -> io::Result<()> {
        write!(out, "{{\"id\":{}", kept.id)?;
        let object = object(kept);
        let known = [
            ("kind", kept.kind.word().to_owned()),
            ("source", kept.source.clone()),
            ("time", rfc3339(kept.time)),
        ];
        for (key, value) in known {
            // No key stands there twice.
            if object.as_ref().is_none_or(|object| !object.contains_key(key)) {
                write!(out, ",\"{key}\":{}", Value::String(value))?;
            }
        }
        match object {
            Some(object) if object.is_empty() => writeln!(out, "}}"),
            Some(_) => writeln!(out, ",{}", kept.body.trim().strip_prefix('{').unwrap_or_default()),
            None => writeln!(out, ",\"unreadable\":{}}}", Value::String(kept.body.clone())),
        }
    }
}

/// A column for what the journal knows, for each field of evidence, and for the rest.
#[derive(Default)]
pub(super) struct Csv {
    begun: bool,
}

/// The fields that have a column.
fn columns() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().filter(|facts| facts.field != Field::Time).map(|facts| facts.name)
}

impl Csv {
    pub(super) fn entry(&mut self, out: &mut impl Write, kept: &Kept) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            writeln!(out, "id,time,kind,source,{},rest", columns().collect::<Vec<_>>().join(","))?;
        }
        // A record is a line, and a terminal is not steered by what somebody called himself: --json has it as it was.
        let csv_field = |text: &str| csv_field(&no_controls(text));
        let (source, kind) = (csv_field(&kept.source), kept.kind);
        write!(out, "{},{},{kind},{source}", kept.id, rfc3339(kept.time))?;
        let mut object = object(kept);
        for name in columns() {
            let value = object.as_mut().and_then(|object| object.remove(name));
            write!(out, ",{}", csv_field(&value.map_or_else(String::new, |value| plain(&value))))?;
        }
        let rest = match object {
            None => kept.body.clone(),
            Some(mut rest) => {
                rest.remove(Field::Time.name());
                if rest.is_empty() { String::new() } else { Value::Object(rest).to_string() }
            }
        };
        writeln!(out, ",{}", csv_field(&rest))
    }
}

/// Without quotes; what is several is parted by blanks.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
