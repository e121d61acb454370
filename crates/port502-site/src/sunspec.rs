//! SunSpec: devices that say themselves what they are, as a chain of models in holding registers.
//!
//! ```text
//!   40000   40002        40004            40070        40072
//!  +-------+------+-----+----------------+-----+------+-------------+-- - -+--------+---+
//!  | SunS  |  1   | 66  |  66 registers  | 103 |  50  |  50         |      | 0xFFFF | 0 |
//!  +-------+------+-----+----------------+-----+------+-------------+-- - -+--------+---+
//!   marker  model length  who it is       model length  the inverter        the end
//! ```
//!
//! The marker is at 40000, 0 or 50000. Addresses can only be written down once the chain has been walked, so that this
//! is done when a site file is made, and what is found stands in it: a poll plan, and the rules of a guard, are made
//! of addresses.

use std::fmt::Write as _;

use port502_wire::Table;

use crate::Point;
use crate::site::about::{InnerGroup, ModelGroup};
use crate::site::{Profile, Profiles, Tag};

/// Where the marker can be, in the order in which it is looked for.
pub const BASES: [u16; 3] = [40_000, 0, 50_000];

/// `SunS`
pub const MARKER: [u16; 2] = [0x5375, 0x6E53];

/// The model that ends the chain.
const END: u16 = 0xFFFF;

/// Models of one device; those that are known have fewer than thirty.
pub const MODELS_MAX: usize = 128;

/// A model of a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Model {
    /// Its number.
    pub model: u16,
    /// The holding register with its number.
    pub at: u16,
    /// The registers behind number and length.
    pub length: u16,
}

/// Why there is no chain of models, or no end of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WalkError {
    /// No marker at any of the places.
    #[error("there is no SunSpec marker at 40000, 0 or 50000; is it the right unit?")]
    NoMarker,
    /// A model that reaches past the last register.
    #[error("model {model} at {at} is {length} registers long and reaches past 65535")]
    TooLong {
        /// Its number.
        model: u16,
        /// Where it is.
        at: u16,
        /// How long it says that it is.
        length: u16,
    },
    /// More than [`MODELS_MAX`] models.
    #[error("there are more than {MODELS_MAX} models")]
    TooMany,
    /// A register of the chain could not be read.
    #[error("holding register {at}, where the next model should be, could not be read")]
    Unread {
        /// Which.
        at: u16,
    },
}

/// A walk along the chain: it says what to read, is told what stands there, and ends with the models.
#[derive(Clone, Debug)]
pub struct Walk {
    state: State,
    models: Vec<Model>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Looks for the marker at this of [`BASES`].
    Marker(usize),
    /// Looks at the model here.
    Model(u16),
    Ended(Option<WalkError>),
}

impl Default for Walk {
    fn default() -> Self {
        Walk { state: State::Marker(0), models: Vec::new() }
    }
}

impl Walk {
    /// Which two holding registers it wants to see; `None`: it has come to the end.
    #[must_use]
    pub fn wants(&self) -> Option<u16> {
        match self.state {
            State::Marker(which) => BASES.get(which).copied(),
            State::Model(at) => Some(at),
            State::Ended(_) => None,
        }
    }

    /// What stands there; `None`: the device does not let it be read.
    pub fn take(&mut self, registers: Option<[u16; 2]>) {
        self.state = match (self.state, registers) {
            (State::Marker(which), Some(MARKER)) => match BASES.get(which) {
                Some(base) => State::Model(base.saturating_add(2)),
                None => State::Ended(Some(WalkError::NoMarker)),
            },
            (State::Marker(which), _) if which + 1 < BASES.len() => State::Marker(which + 1),
            (State::Marker(_), _) => State::Ended(Some(WalkError::NoMarker)),
            (State::Model(at), None) => State::Ended(Some(WalkError::Unread { at })),
            // Some devices end the chain with a 0 for the model.
            (State::Model(_), Some([END | 0, _])) => State::Ended(None),
            (State::Model(at), Some([model, length])) => {
                let next = at.checked_add(2).and_then(|behind| behind.checked_add(length));
                match next {
                    None => State::Ended(Some(WalkError::TooLong { model, at, length })),
                    Some(_) if self.models.len() >= MODELS_MAX => State::Ended(Some(WalkError::TooMany)),
                    Some(next) => {
                        self.models.push(Model { model, at, length });
                        State::Model(next)
                    }
                }
            }
            (ended @ State::Ended(_), _) => ended,
        };
    }

    /// The models, in the order of the chain, and why it has no end, if it has none.
    #[must_use]
    pub fn end(self) -> (Vec<Model>, Option<WalkError>) {
        match self.state {
            State::Ended(error) => (self.models, error),
            State::Marker(_) => (self.models, Some(WalkError::NoMarker)),
            State::Model(at) => (self.models, Some(WalkError::Unread { at })),
        }
    }
}

/// Walks through registers that are there already. `read` gives two of them.
pub fn walk(mut read: impl FnMut(u16) -> Option<[u16; 2]>) -> (Vec<Model>, Option<WalkError>) {
    let mut walk = Walk::default();
    while let Some(at) = walk.wants() {
        walk.take(read(at));
    }
    walk.end()
}

/// A tag of a model, where a device has it.
#[derive(Clone, Debug)]
pub struct Placed<'p> {
    /// What it is called in the device.
    pub name: String,
    /// Where it is in the device.
    pub point: Point,
    /// What the tag with its power of ten is called in the device.
    pub exponent: Option<String>,
    /// The profile's tag, for all the rest.
    pub tag: &'p Tag,
}

/// The profile of a model.
#[must_use]
pub fn profile_of(profiles: &Profiles, model: u16) -> Option<&Profile> {
    profiles.find(&format!("sunspec/{model}"))
}

/// The holding register of a model that says how often is repeated what its groups repeat in turn; `None`: nothing is.
#[must_use]
pub fn count_at(profile: &Profile, found: Model) -> Option<u16> {
    let at = profile.about()?.sunspec.as_ref()?;
    let within = at.group.as_ref()?.within.as_ref()?;
    let tag = profile.tags().iter().find(|tag| *tag.name == within.count)?;
    found.at.checked_add(tag.point.address().checked_sub(at.at)?)
}

/// How a model is laid out on a device: where what a profile has once is, how often ever it is there.
struct Layout<'a> {
    group: &'a ModelGroup,
    /// How often is there what groups repeat in turn.
    times: u16,
}

impl<'a> Layout<'a> {
    /// `times`: as often as the device says, where it could be asked and knows.
    fn new(group: &'a ModelGroup, times: Option<u16>) -> Self {
        let usual = group.within.as_ref().map_or(0, |within| within.times);
        let known = times.filter(|times| *times != NOT_IMPLEMENTED);
        Layout { group, times: known.unwrap_or(usual) }
    }

    /// A place behind `groups`, which are in the profile as often as it says, and on the device as often as that does.
    fn moved(&self, offset: u32, groups: &[InnerGroup]) -> Option<u32> {
        let usual = self.group.within.as_ref().map_or(0, |within| u32::from(within.times));
        let once: u32 = groups.iter().map(|group| u32::from(group.length)).sum();
        offset.checked_sub(once.checked_mul(usual)?)?.checked_add(once.checked_mul(self.times.into())?)
    }

    /// The groups within a group that end in front of an offset.
    fn before(&self, offset: u32) -> &'a [InnerGroup] {
        let Some(within) = &self.group.within else { return &[] };
        let ends = |inner: &InnerGroup| {
            u32::from(inner.at) + u32::from(inner.length) * u32::from(within.times) <= offset
        };
        within.groups.split_at(within.groups.partition_point(ends)).0
    }

    /// How many groups there are in a model of this length.
    fn count(&self, length: u16) -> u32 {
        let all = self.group.within.as_ref().map_or(&[][..], |within| &within.groups);
        let available = (u32::from(length) + 2).saturating_sub(self.group.at.into());
        self.length(all).map_or(0, |length| available / length)
    }

    fn length(&self, all: &[InnerGroup]) -> Option<u32> {
        self.moved(self.group.length.into(), all).filter(|length| *length > 0)
    }

    /// Every place of a tag of the first group, counted from the model, with the name that it has there. `rest` is its
    /// name behind the number of the group, `offset` its place within it.
    fn places(&self, rest: &str, offset: u32, length: u16) -> Vec<(u32, String)> {
        let all = self.group.within.as_ref().map_or(&[][..], |within| &within.groups);
        let (Some(start), Some(step)) = (self.moved(offset, self.before(offset)), self.length(all)) else {
            return Vec::new();
        };
        let inner = all.iter().find_map(|inner| match numbered(rest, &inner.prefix)? {
            (1, behind) => Some((inner, Some(behind))),
            _ => Some((inner, None)),
        });
        let mut places = Vec::new();
        for which in 0..self.count(length) {
            let from = u32::from(self.group.at) + which * step + start;
            let name = format!("{}{}_", self.group.prefix, which + 1);
            match inner {
                None => places.push((from, format!("{name}{rest}"))),
                Some((inner, Some(behind))) => places.extend((0..u32::from(self.times)).map(|point| {
                    let at = from + point * u32::from(inner.length);
                    (at, format!("{name}{}{}_{behind}", inner.prefix, point + 1))
                })),
                // It is made from the first.
                Some((_, None)) => {}
            }
        }
        places
    }
}

/// What a register holds that a device does not have.
const NOT_IMPLEMENTED: u16 = 0xFFFF;

/// The number behind a prefix, and what is behind that: of `point12_voltage` 12 and `voltage`.
fn numbered<'n>(name: &'n str, prefix: &str) -> Option<(u16, &'n str)> {
    let (number, rest) = name.strip_prefix(prefix)?.split_once('_')?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse().ok()).flatten().map(|number| (number, rest))
}

/// The tags of a model as it was found: moved to its place, as many groups as it is long, and nothing beyond its end.
/// Each name begins with `prefix`.
///
/// `times` is what stands at [`count_at`]; without it, what groups repeat in turn is there as often as in the profile.
#[must_use]
pub fn place<'p>(profile: &'p Profile, found: Model, times: Option<u16>, prefix: &str) -> Vec<Placed<'p>> {
    let Some(at) = profile.about().and_then(|about| about.sunspec.as_ref()) else { return Vec::new() };
    let name_of =
        |id: crate::site::TagId| profile.tags().get(id.index()).map(|tag| format!("{prefix}{}", tag.name));
    let mut placed = Vec::new();
    let mut put = |tag: &'p Tag, name: &str, offset: u32| {
        let end = offset.saturating_add(tag.point.value_width().into());
        // What a shorter edition of the model does not have, and what is not within the model at all.
        if end > u32::from(found.length) + 2 {
            return;
        }
        let address = u16::try_from(offset).ok().and_then(|offset| found.at.checked_add(offset));
        let point = address.and_then(|address| {
            Point::new(Table::HoldingRegisters, address, tag.point.value_type(), tag.point.order(), 1).ok()
        });
        if let Some(point) = point {
            let exponent = tag.more().exponent.and_then(name_of);
            placed.push(Placed { name: format!("{prefix}{name}"), point, exponent, tag });
        }
    };
    let layout = at.group.as_ref().map(|group| Layout::new(group, times));
    for tag in profile.tags() {
        let Some(offset) = tag.point.address().checked_sub(at.at).map(u32::from) else { continue };
        let of_group =
            layout.as_ref().and_then(|layout| Some((layout, numbered(&tag.name, &layout.group.prefix)?)));
        match of_group {
            None => put(tag, &tag.name, offset),
            Some((layout, (1, rest))) => {
                let Some(offset) = offset.checked_sub(layout.group.at.into()) else { continue };
                for (offset, name) in layout.places(rest, offset, found.length) {
                    put(tag, &name, offset);
                }
            }
            // It is made from the first.
            Some(_) => {}
        }
    }
    placed.sort_by_key(|placed| placed.point.address());
    placed
}

/// The tags of all models that are known, as the body of a device; and the models that are not known. `holds` says what is
/// in a holding register; it is asked for those of [`count_at`].
///
/// Where two models have tags of one name, those of the second begin with what the model is: `meter_power`, and of a
/// second meter `meter2_power`.
#[must_use]
pub fn device_tags(
    profiles: &Profiles,
    models: &[Model],
    holds: impl Fn(u16) -> Option<u16>,
    device: &str,
) -> (String, Vec<Model>) {
    let (mut text, mut unknown) = (String::new(), Vec::new());
    let mut seen: Vec<String> = Vec::new();
    for found in models {
        let Some(profile) = profile_of(profiles, found.model) else {
            unknown.push(*found);
            continue;
        };
        let times = count_at(profile, *found).and_then(&holds);
        let mut placed = place(profile, *found, times, "");
        let mut again = 1;
        while placed.iter().any(|placed| seen.contains(&placed.name)) && again <= MODELS_MAX {
            let kind = kind(found.model);
            let prefix = if again == 1 { format!("{kind}_") } else { format!("{kind}{again}_") };
            placed = place(profile, *found, times, &prefix);
            again += 1;
        }
        let title = profile.about().map_or("", |about| about.title.as_str());
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n# {title}, {} registers at holding:{}", found.length, found.at);
        for placed in placed {
            tag_text(&mut text, device, &placed);
            seen.push(placed.name);
        }
    }
    (text, unknown)
}

/// What a model is, as names begin with it.
const fn kind(model: u16) -> &'static str {
    match model {
        1 => "common",
        101..=113 => "inverter",
        160 => "mppt",
        201..=214 => "meter",
        702 => "ratings",
        703 => "service",
        704 => "controls",
        705 => "volt_var",
        706 => "volt_watt",
        707 => "trip_low_voltage",
        708 => "trip_high_voltage",
        709 => "trip_low_frequency",
        710 => "trip_high_frequency",
        711 => "droop",
        712 => "watt_var",
        713 => "storage",
        714 => "dc",
        802 => "battery",
        _ => "der",
    }
}

fn tag_text(text: &mut String, device: &str, placed: &Placed<'_>) {
    let (tag, more) = (placed.tag, placed.tag.more());
    let _ = writeln!(text, "[device.{device}.tag.{}]", placed.name);
    let _ = writeln!(text, "at = \"{}\"", placed.point);
    if let Some(unit) = &tag.unit {
        let _ = writeln!(text, "unit = {}", quoted(unit));
    }
    if let Some(exponent) = &placed.exponent {
        let _ = writeln!(text, "exponent = \"{exponent}\"");
    }
    if !more.nan.is_empty() {
        let nan: Vec<String> = more.nan.iter().map(i128::to_string).collect();
        let _ = writeln!(text, "nan = [{}]", nan.join(", "));
    }
    if more.counter {
        let _ = writeln!(text, "counter = true");
    }
    if !more.labels.is_empty() {
        let labels: Vec<String> =
            more.labels.iter().map(|(number, label)| format!("\"{number}\" = {}", quoted(label))).collect();
        let _ = writeln!(text, "labels = {{ {} }}", labels.join(", "));
    }
    if let Some(description) = &more.description {
        let _ = writeln!(text, "description = {}", quoted(description));
    }
    text.push('\n');
}

/// A text as TOML writes it.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
