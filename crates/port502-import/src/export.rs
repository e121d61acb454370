//! The other way: a site in the words of another tool.
//!
//! | function | for |
//! |---|---|
//! | [`csv`] | a register map, for a spreadsheet; what [`csv`](crate::csv) reads of it makes the same map again |
//! | [`nftables()`] | a packet filter: devices are reached only through the guard |
//! | [`suricata()`] | detection or prevention by rules |
//! | [`zeek()`] | detection by a script |
//!
//! None of the last three can hold all that a site says. What is left out stands at the head of what they write, rule by
//! rule, so that nothing is weaker in silence.

mod nftables;
mod suricata;
mod ways;
mod zeek;

use std::fmt::Write as _;

use port502_site::Site;
use port502_site::point;
use port502_site::site::{Initial, Tag, WriteLimits};
use port502_wire::value::{Order, ValueType};

pub use nftables::{COUNTED_MAX, nftables};
pub use suricata::{REGISTERS_MAX, SIDS, suricata};
pub use ways::{ExportError, Exported, Options};
pub use zeek::zeek;

/// The columns, as they are written.
pub const COLUMNS: [&str; 20] = [
    "device",
    "connect",
    "unit id",
    "name",
    "table",
    "address (0-based)",
    "reference",
    "type",
    "order",
    "scale",
    "offset",
    "unit",
    "exponent",
    "nan",
    "min",
    "max",
    "access",
    "write min",
    "write max",
    "description",
];

/// All tags of devices, one row each. `initial` values, alarms and everything else that is no column is not in it.
#[must_use]
pub fn csv(site: &Site) -> String {
    let mut csv = COLUMNS.join(",");
    csv.push('\n');
    for tag in site.tags() {
        row(&mut csv, site, tag);
    }
    csv
}

fn row(csv: &mut String, site: &Site, tag: &Tag) {
    let device = site.device(tag.device);
    let (point, more) = (tag.point, tag.more());
    let number = |number: Option<f64>| number.map_or_else(String::new, |number| number.to_string());
    #[allow(clippy::float_cmp, reason = "exactly 1 is what holds anyway")]
    let scale = if tag.scale == 1.0 { None } else { Some(tag.scale) };
    let offset = if tag.offset == 0.0 { None } else { Some(tag.offset) };
    let (write_min, write_max) = match tag.write().map(|write| &write.limits) {
        Some(WriteLimits::Between { min, max }) => (Some(*min), Some(*max)),
        Some(WriteLimits::OneOf(values)) => (values.first().copied(), values.last().copied()),
        Some(WriteLimits::Any) | None => (None, None),
    };
    let order = if point.order() == Order::default() { String::new() } else { point.order().to_string() };
    let nan: Vec<String> = more.nan.iter().map(i128::to_string).collect();
    let fields = [
        quoted(&device.name),
        quoted(&site.lane(device.lane).target.to_string()),
        device.unit.get().to_string(),
        quoted(&tag.name),
        point.table().to_string(),
        point.address().to_string(),
        point::reference(point.table(), point.address()),
        point.value_type().to_string(),
        order,
        number(scale),
        number(offset),
        quoted(tag.unit.as_deref().unwrap_or_default()),
        more.exponent.map_or_else(String::new, |id| quoted(&site.tag(id).name)),
        nan.join(" "),
        number(tag.range.map(|(low, _)| low)),
        number(tag.range.map(|(_, high)| high)),
        if tag.write().is_some() { "rw" } else { "r" }.to_owned(),
        number(write_min),
        number(write_max),
        quoted(more.description.as_deref().unwrap_or_default()),
    ];
    // Writing to a string does not fail.
    let _ = writeln!(csv, "{}", fields.join(","));
}

/// What a tag has that no column says; for who exports and wants to know.
#[must_use]
pub fn left_out(site: &Site) -> Vec<String> {
    let count = |what: &str, count: usize| (count > 0).then(|| format!("{count} {what}"));
    let tags = site.tags();
    let with = |has: &dyn Fn(&Tag) -> bool| tags.iter().filter(|tag| has(tag)).count();
    [
        count("alarms", tags.iter().map(|tag| tag.alarms().len()).sum()),
        count("tags with labels", with(&|tag| !tag.more().labels.is_empty())),
        count(
            "initial values",
            with(&|tag| tag.more().initial.as_ref().is_some_and(|initial| *initial != Initial::Bool(false))),
        ),
        count(
            "tags with a step, a rate, a condition or a readback",
            with(&|tag| {
                tag.write().is_some_and(|write| {
                    write.max_step.is_some()
                        || write.rate.is_some()
                        || write.after.is_some()
                        || write.readback.is_some()
                })
            }),
        ),
        count(
            "lists of values that may be written",
            with(&|tag| tag.write().is_some_and(|write| matches!(write.limits, WriteLimits::OneOf(_)))),
        ),
        count("counters", with(&|tag| tag.more().counter)),
        count(
            "texts in another order than abcd",
            with(&|tag| {
                matches!(tag.point.value_type(), ValueType::Text(_)) && tag.point.order() != Order::default()
            }),
        ),
        count("computed tags", site.computed().len()),
        count("conduits", site.conduits().len()),
        count("zones", site.zones().len()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn quoted(field: &str) -> String {
    let plain = field.trim() == field && !field.starts_with('#') && !field.contains([',', '"', '\n', '\r']);
    if plain { field.to_owned() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
}
