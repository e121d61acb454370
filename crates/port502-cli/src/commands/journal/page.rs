//! Entries for people: two lines each, within 80 columns.

use std::io::{self, Write};

use port502_inspect::evidence::Field;
use port502_site::point::reference;
use port502_store::{Kept, Timestamp};
use port502_wire::Table;
use serde_json::{Map, Value};

use super::lines::{jiff_time, object, plain};
use crate::output::{WIDTH, no_controls, wrapped};

/// Values that are shown of one write; the rest is counted.
const VALUES_SHOWN_MAX: usize = 8;

/// Characters that are shown of an entry which is no evidence; all of it is in `--json`.
const TEXT_SHOWN_MAX: usize = 300;

pub(super) fn to_the_second(time: Timestamp) -> String {
    format!("{:.0}", jiff_time(time))
}

/// A table that has its header once.
#[derive(Default)]
pub(super) struct Page {
    begun: bool,
}

impl Page {
    pub(super) fn entry(&mut self, out: &mut impl Write, kept: &Kept) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            line(out, ["TIME", "SOURCE", "VERDICT", "CLIENT", "REASON"])?;
        }
        let object = object(kept);
        let text = |field: Field| object.as_ref().and_then(|object| shown(object, field)).unwrap_or_default();
        let mut verdict = text(Field::Verdict);
        if verdict.is_empty() {
            kept.kind.word().clone_into(&mut verdict);
        }
        let (time, source) = (to_the_second(kept.time), no_controls(&kept.source));
        line(out, [&time, &source, &verdict, &text(Field::Client), &text(Field::Reason)])?;
        let below = match &object {
            Some(object) => asked(object).unwrap_or_else(|| said(object)),
            None => cut(&kept.body),
        };
        for (number, line) in wrapped(&no_controls(&below), WIDTH - 4).iter().enumerate() {
            let indent = if number == 0 { 2 } else { 4 };
            writeln!(out, "{:indent$}{line}", "")?;
        }
        Ok(())
    }
}

fn line(out: &mut impl Write, [time, source, verdict, client, reason]: [&str; 5]) -> io::Result<()> {
    let line = format!("{time:20}  {source:9}  {verdict:7}  {client:15}  {reason}");
    writeln!(out, "{}", line.trim_end())
}

fn shown(object: &Map<String, Value>, field: Field) -> Option<String> {
    object.get(field.name()).map(|value| no_controls(&plain(value)))
}

/// What was asked for, and which rule decided; `None` of what is no evidence.
fn asked(object: &Map<String, Value>) -> Option<String> {
    let text = |field| shown(object, field);
    let mut asked = match (text(Field::Name), text(Field::Function), text(Field::Repeats)) {
        (Some(name), _, _) => name,
        (None, Some(function), _) => format!("function {function}"),
        (None, None, Some(repeats)) => {
            let [first, last] = [Field::First, Field::Last].map(|field| text(field).unwrap_or_default());
            format!("{repeats} more, from {first} to {last}")
        }
        // Bytes that were no frame, a connection that was one too many: there is a detail at most.
        (None, None, None) => text(Field::Detail)?,
    };
    if let Some(unit) = text(Field::Unit) {
        asked += &format!(" unit {unit}");
    }
    if let Some(place) = place(object, Field::Address, Field::Count) {
        asked += &format!(" {place}");
    }
    if let Some(values) = object.get(Field::Values.name()).and_then(Value::as_array) {
        let shown: Vec<String> = values.iter().take(VALUES_SHOWN_MAX).map(plain).collect();
        asked += &format!(" = {}", shown.join(" "));
        let left_out = object.get(Field::ValuesLeftOut.name()).and_then(Value::as_u64).unwrap_or(0);
        let more = u64::try_from(values.len().saturating_sub(VALUES_SHOWN_MAX)).unwrap_or(0);
        if left_out + more > 0 {
            asked += &format!(" and {} more", left_out.saturating_add(more));
        }
    }
    if let Some(place) = place(object, Field::ReadAddress, Field::ReadCount) {
        asked += &format!(", reading {place}");
    }
    if let (Some(tag), Some(limits)) = (text(Field::Tag), text(Field::Limits)) {
        asked += &format!("; {tag} may be {limits}");
    } else if let Some(limits) = text(Field::Limits) {
        asked += &format!("; may be {limits}");
    }
    if let Some(rule) = text(Field::Rule) {
        asked += &format!("; rule {rule}");
    }
    Some(asked)
}

/// `holding:200*2 (40201)`
fn place(object: &Map<String, Value>, address: Field, count: Field) -> Option<String> {
    let number = |field: Field| object.get(field.name()).and_then(Value::as_u64);
    let name = object.get(Field::Table.name()).and_then(Value::as_str)?;
    let table = Table::ALL.into_iter().find(|table| table.name() == name)?;
    let address = u16::try_from(number(address)?).ok()?;
    let count = match number(count) {
        None | Some(1) => String::new(),
        Some(count) => format!("*{count}"),
    };
    Some(format!("{name}:{address}{count} ({})", reference(table, address)))
}

/// What an entry of another kind says: its text, if it has one, or all of it.
fn said(object: &Map<String, Value>) -> String {
    for key in ["text", "what"] {
        if let Some(text) = object.get(key).and_then(Value::as_str) {
            return cut(text);
        }
    }
    let rest: Vec<String> = object
        .iter()
        .filter(|(key, _)| *key != Field::Time.name())
        .map(|(key, value)| format!("{key}={}", plain(value)))
        .collect();
    cut(&rest.join(" "))
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(TEXT_SHOWN_MAX).collect();
    if cut.len() < text.len() {
        cut.push_str(" ..");
    }
    cut
}
