//! SunSpec: a model definition, as `sunspec/models` and pysunspec2 have them in JSON.
//!
//! A definition does not say where a device has the model: `--at` does, and is 40070 otherwise, which is where the first
//! model behind a common model of 66 registers is. Nor does it say how often a device has what repeats (`NPt` points of
//! each of `NCrv` curves): `--count` does. Otherwise the first is read, and what stands behind it, whose place depends on
//! that, is left out and told. For models that are built in, `profile = "sunspec/103"` is shorter.

use port502_site::Point;
use port502_wire::Table;
use port502_wire::value::Order;

use crate::draft::{Draft, DraftTag};
use crate::note::Lost;
use crate::tree::{Malformed, View, json};
use crate::{Options, words};

/// Where the first model usually is.
const USUAL_AT: u16 = 40_070;

struct Reading<'d> {
    draft: &'d mut Draft,
    device: (String, u8),
    offset: u32,
    at: u16,
    scales: Vec<(String, String)>,
    /// How often groups repeat, by the point that says so on the device.
    counts: &'d [(String, u16)],
    /// A group that repeats nobody knows how often, and the point that says it: where things are behind it is not known.
    behind: Option<(String, String)>,
}

pub(crate) fn read(text: &str, options: &Options, draft: &mut Draft) -> Result<(), Malformed> {
    let root = json(text)?;
    let root = root.view();
    let Some(group) = root.get("group").filter(|group| group.get("points").is_some()) else {
        return Err(Malformed::whole(
            "not a SunSpec model: it has no group with points; want model_103.json or its like",
        ));
    };
    let name = group.text("name").unwrap_or_else(|| "sunspec".to_owned());
    let title = group.text("label");
    if options.at.is_none() {
        let what = format!("it is not said where the model begins, and holding:{USUAL_AT} is taken");
        draft.note(root.place(), Lost::Assumed { what, instead: "say --at" });
    }
    let device = draft.device(None, None, &name, &root.place());
    device.description = title;
    let device = device.key();
    let mut scales = Vec::new();
    scale_names(&group, "", &mut scales);
    let at = options.at.unwrap_or(USUAL_AT);
    for (count, _) in &options.counts {
        if !says_how_often(&group, count) {
            let what = format!("--count {count}");
            draft.left_out(root.place(), &what, "no group of the model repeats as often as that says");
        }
    }
    let counts = &options.counts;
    let mut reading = Reading { draft, device, offset: 0, at, scales, counts, behind: None };
    reading.group(&group, "");
    Ok(())
}

/// What the scale factors are called, by their name in the model.
fn scale_names(group: &View<'_>, prefix: &str, scales: &mut Vec<(String, String)>) {
    for point in group.list("points") {
        if let (Some("sunssf"), Some(name)) = (point.text("type").as_deref(), point.text("name")) {
            scales.push((name.clone(), format!("{prefix}{}", snake(&name))));
        }
    }
}

/// Whether a group within this one repeats as often as a point of this name says.
fn says_how_often(group: &View<'_>, count: &str) -> bool {
    group
        .list("groups")
        .iter()
        .any(|inner| inner.text("count").as_deref() == Some(count) || says_how_often(inner, count))
}

impl Reading<'_> {
    fn group(&mut self, group: &View<'_>, prefix: &str) {
        for point in group.list("points") {
            self.point(&point, prefix);
        }
        for inner in group.list("groups") {
            self.inner(&inner, prefix);
        }
    }

    /// A group within another: as often as it is there, as far as that is known.
    fn inner(&mut self, group: &View<'_>, prefix: &str) {
        let name = group.text("name").unwrap_or_default();
        if let Some((first, count)) = &self.behind {
            let why = format!("where it is depends on how often {first} repeats: say --count {count}=N");
            self.draft.left_out(group.place(), &format!("group {name}"), why);
            return;
        }
        let count = group.get("count");
        let (times, unknown) = match &count {
            None => (None, None),
            Some(count) => match (count.as_integer(), count.as_text()) {
                (Some(1), _) => (None, None),
                (Some(times), _) if times > 1 => (u16::try_from(times).ok(), None),
                (None, Some(by)) => match self.counts.iter().find(|(name, _)| *name == by) {
                    Some((_, times)) => (Some(*times), None),
                    None => (None, Some(by.to_owned())),
                },
                _ => {
                    let why = "it repeats as often as the device says; only the first is here: copy its tags for more";
                    self.draft.left_out(count.place(), &format!("group {name}"), why);
                    (None, None)
                }
            },
        };
        let Some(times) = times else {
            self.group(group, &format!("{prefix}{}_", snake(&name)));
            if let (Some(by), Some(count)) = (unknown, &count) {
                let why =
                    format!("it repeats as often as {by} says; only the first is here: say --count {by}=N");
                self.draft.left_out(count.place(), &format!("group {name}"), why);
                self.behind.get_or_insert((name, by));
            }
            return;
        };
        for which in 1..=times {
            let before = self.offset;
            if u32::from(self.at) + before > u32::from(u16::MAX) {
                let why = "it would be past the last register; give a smaller --at, or a smaller --count";
                self.draft.left_out(group.place(), &format!("group {name} {which} to {times}"), why);
                return;
            }
            self.group(group, &format!("{prefix}{}{which}_", snake(&name)));
            // A group without anything in it is as good once as often.
            if self.offset == before {
                return;
            }
        }
    }

    fn point(&mut self, point: &View<'_>, prefix: &str) {
        let place = point.place();
        let name = point.text("name").unwrap_or_default();
        let kind = point.text("type").unwrap_or_default();
        let size = point.integer("size").and_then(words::address).filter(|size| *size != 0);
        let Some(size) = size else {
            self.draft.left_out(place, &name, "it has no size, so that everything behind it is in doubt");
            return;
        };
        let address = u16::try_from(u32::from(self.at) + self.offset).ok();
        self.offset = self.offset.saturating_add(size.into());
        if kind == "pad" || (prefix.is_empty() && matches!(name.as_str(), "ID" | "L")) {
            return;
        }
        let value_type = match kind.as_str() {
            "float32" | "float64" => words::value_type(&kind, None),
            "enum32" => words::value_type("u32", None),
            "acc16" | "count" => words::value_type("u16", None),
            _ => words::value_type(&kind, Some(size)),
        };
        let Some(value_type) = value_type.filter(|value_type| value_type.registers() == size) else {
            self.draft.left_out(place, &name, format!("there is no type for \"{kind}\" of {size} registers"));
            return;
        };
        let point_at = address
            .map(|address| Point::new(Table::HoldingRegisters, address, value_type, Order::default(), 1));
        let Some(Ok(point_at)) = point_at else {
            self.draft.left_out(place, &name, "it would be past the last register; give a smaller --at");
            return;
        };
        let mut tag = DraftTag::new(&format!("{prefix}{}", snake(&name)), point_at, place.clone());
        tag.unit = point.text("units").map(|unit| unit_of(&unit).to_owned());
        tag.description = point.text("label").or_else(|| Some(name.clone()));
        tag.counter = kind.starts_with("acc");
        tag.nan = absent(&kind);
        tag.labels = point
            .list("symbols")
            .iter()
            .filter(|_| kind.starts_with("enum"))
            .filter_map(|symbol| Some((symbol.integer("value")?, symbol.text("name")?)))
            .collect();
        if let Some(scale) = point.get("sf") {
            self.scale(&scale, &mut tag);
        }
        if point.text("access").as_deref() == Some("RW") {
            self.draft.note(place, Lost::Write { tag: tag.name.clone() });
        }
        self.draft.add(self.device.clone(), tag);
    }

    fn scale(&mut self, scale: &View<'_>, tag: &mut DraftTag) {
        if let Some(power) = scale.as_integer() {
            match i32::try_from(power) {
                Ok(power) if (-10..=10).contains(&power) => tag.scale = 10_f64.powi(power),
                _ => self.draft.setting(scale.place(), "sf", "a scale factor is -10 to 10"),
            }
            return;
        }
        let wanted = scale.as_text().unwrap_or_default();
        match self.scales.iter().find(|(name, _)| *name == wanted) {
            Some((_, name)) => tag.exponent = Some(name.clone()),
            None => self.draft.setting(scale.place(), "sf", "the model has no such scale factor"),
        }
    }
}

fn absent(kind: &str) -> Vec<i64> {
    match kind {
        "int16" | "sunssf" => vec![0x8000],
        "uint16" | "enum16" | "bitfield16" | "count" => vec![0xFFFF],
        "int32" => vec![0x8000_0000],
        "uint32" | "bitfield32" | "enum32" => vec![0xFFFF_FFFF],
        "uint64" | "bitfield64" => vec![-1],
        "int64" => vec![i64::MIN],
        _ => Vec::new(),
    }
}

fn unit_of(unit: &str) -> &str {
    match unit {
        "C" => "°C",
        "Pct" => "%",
        "Var" => "var",
        "Varh" => "varh",
        "Secs" => "s",
        other => other,
    }
}

/// `PhVphA` as `ph_vph_a`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        before = c;
    }
    out
}
