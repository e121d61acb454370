//! A site in the making: what an importer has found, until it is written down and read as a site.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use port502_session::{Target, duration};
use port502_site::Point;
use port502_site::site::{Profiles, Site, SourceFile};
use port502_site::sunspec::quoted;

use crate::note::{Lost, Note, Place};
use crate::{Format, ImportError, Imported, NOTES_MAX, Options, TAGS_MAX};

/// Letters of a name; the site file takes no more.
const NAME_MAX: usize = 64;

/// What is asked when nobody has said where the device is: an address that belongs to nobody (RFC 5737).
pub const PLACEHOLDER: &str = "tcp://192.0.2.1:502";

/// A device in the making.
#[derive(Clone, Debug, Default)]
pub struct DraftDevice {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub connect: String,
    /// Its unit id.
    pub unit: u8,
    /// For people.
    pub description: Option<String>,
    /// Keys of the device or of its link, with their values as TOML.
    pub keys: BTreeMap<&'static str, String>,
    /// Words of `quirks`.
    pub quirks: BTreeSet<&'static str>,
    /// Addresses that are never read.
    pub holes: Vec<String>,
    /// Its values.
    pub tags: Vec<DraftTag>,
    names: BTreeSet<String>,
}

/// A value in the making.
#[derive(Clone, Debug)]
pub struct DraftTag {
    /// What it is called.
    pub name: String,
    /// Where it is, and as what it is read.
    pub point: Point,
    /// Where the source says so.
    pub place: Place,
    /// The unit of its values.
    pub unit: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// What the number in the registers is multiplied by.
    pub scale: f64,
    /// What is added after that.
    pub offset: f64,
    /// The tag of the same device with the power of ten.
    pub exponent: Option<String>,
    /// What the value can be.
    pub range: Option<(f64, f64)>,
    /// Values in the registers that are none.
    pub nan: Vec<i64>,
    /// What numbers mean.
    pub labels: Vec<(i64, String)>,
    /// Whether it only rises.
    pub counter: bool,
    /// Digits behind the point.
    pub precision: Option<u8>,
    /// How often it is read.
    pub every: Option<Duration>,
    /// What the simulator begins with, as TOML.
    pub initial: Option<String>,
    /// Who may write it.
    pub write: Option<DraftWrite>,
}

/// Within what limits a value may be written.
#[derive(Clone, PartialEq, Debug)]
pub enum DraftWrite {
    /// A bit: any.
    Any,
    /// Both ends included.
    Between(f64, f64),
    /// These.
    OneOf(Vec<f64>),
}

impl DraftTag {
    /// A value without anything beside its place.
    #[must_use]
    pub fn new(name: &str, point: Point, place: Place) -> Self {
        DraftTag {
            name: name.to_owned(),
            point,
            place,
            unit: None,
            description: None,
            scale: 1.0,
            offset: 0.0,
            exponent: None,
            range: None,
            nan: Vec::new(),
            labels: Vec::new(),
            counter: false,
            precision: None,
            every: None,
            initial: None,
            write: None,
        }
    }
}

/// A site in the making.
#[derive(Debug)]
pub struct Draft {
    site: String,
    connect: Option<String>,
    unit: Option<u8>,
    device: Option<String>,
    devices: Vec<DraftDevice>,
    by_place: HashMap<(String, u8), usize>,
    names: BTreeSet<String>,
    notes: Vec<Note>,
    omitted: usize,
    tags: usize,
}

impl Draft {
    pub(crate) fn new(options: &Options) -> Self {
        Draft {
            site: options.site.clone().unwrap_or_else(|| "imported".to_owned()),
            connect: options.connect.as_ref().map(Target::to_string),
            unit: options.unit,
            device: options.device.clone(),
            devices: Vec::new(),
            by_place: HashMap::new(),
            names: BTreeSet::new(),
            notes: Vec::new(),
            omitted: 0,
            tags: 0,
        }
    }

    /// Tells something; what has been told of the same is counted.
    pub(crate) fn note(&mut self, place: Place, lost: Lost) {
        // A setting that every entry has is one thing to say; of the others each is something else.
        let setting = matches!(lost, Lost::Setting { .. });
        let same = self.notes.iter_mut().filter(|_| setting).find(|note| note.lost == lost);
        if let Some(note) = same {
            // What is said once for many entries is one thing, too.
            note.times += usize::from(note.place != place);
        } else if self.notes.len() < NOTES_MAX {
            self.notes.push(Note { place, lost, times: 1 });
        } else {
            self.omitted += 1;
        }
    }

    pub(crate) fn setting(&mut self, place: Place, key: &str, why: &'static str) {
        self.note(place, Lost::Setting { key: key.to_owned(), why });
    }

    pub(crate) fn left_out(&mut self, place: Place, name: &str, why: impl Into<String>) {
        self.note(place, Lost::Value { name: name.to_owned(), why: why.into() });
    }

    /// Tells the keys of a mapping that are not in `known`.
    pub(crate) fn unknown(&mut self, view: &crate::tree::View<'_>, known: &[&'static str]) {
        for (key, value) in view.entries() {
            if !known.contains(&key) {
                let why = match crate::tree::nearest_key(key, known) {
                    Some(_) => "it is not a setting of this format; see how it is spelled",
                    None => "it has no counterpart here",
                };
                self.setting(value.place(), key, why);
            }
        }
    }

    /// The device at this place, made if there is none yet; without a place, the one of the options.
    pub(crate) fn device(
        &mut self,
        connect: Option<&str>,
        unit: Option<u8>,
        name: &str,
        place: &Place,
    ) -> &mut DraftDevice {
        let target = match connect.map(str::parse::<Target>) {
            Some(Ok(target)) => Some(target.to_string()),
            Some(Err(error)) => {
                let what = format!(
                    "\"{}\" is no target ({error}), and {PLACEHOLDER} stands in its place",
                    connect.unwrap_or_default()
                );
                self.note(place.clone(), Lost::Assumed { what, instead: "correct connect in the file" });
                None
            }
            None => None,
        };
        let given = self.connect.clone();
        if target.is_none() && connect.is_none() && given.is_none() {
            let what = format!("it is not said where the device is, and {PLACEHOLDER} stands in its place");
            self.once(place, Lost::Assumed { what, instead: "say --connect TARGET" });
        }
        let connect = target.or(given).unwrap_or_else(|| PLACEHOLDER.to_owned());
        let default = self.unit.unwrap_or(1);
        if unit.is_none() && self.unit.is_none() {
            let what = "it is not said which unit the device is, and 1 is taken".to_owned();
            self.once(place, Lost::Assumed { what, instead: "say --unit" });
        }
        let unit = unit.unwrap_or(default);
        let at = match self.by_place.get(&(connect.clone(), unit)) {
            Some(at) => *at,
            None => {
                let wanted = self.device.clone().unwrap_or_else(|| name.to_owned());
                let name = unique(&wanted, "device", &mut self.names);
                self.by_place.insert((connect.clone(), unit), self.devices.len());
                self.devices.push(DraftDevice { name, connect, unit, ..DraftDevice::default() });
                self.devices.len() - 1
            }
        };
        #[allow(
            clippy::indexing_slicing,
            reason = "`at` is the index of a device that was pushed, and none is removed"
        )]
        &mut self.devices[at]
    }

    /// Tells that one of several devices was given a unit id of its own.
    pub(crate) fn as_unit(&mut self, view: &crate::tree::View<'_>, unit: u8) {
        let what = format!("it is unit {unit} here, so that it is another device than the first");
        self.note(view.place(), Lost::Assumed { what, instead: "correct unit or connect in the file" });
    }

    fn once(&mut self, place: &Place, lost: Lost) {
        if self.notes.iter().all(|note| note.lost != lost) {
            self.note(place.clone(), lost);
        }
    }

    /// Where a device is in the list.
    fn index(&self, connect: &str, unit: u8) -> Option<usize> {
        self.by_place.get(&(connect.to_owned(), unit)).copied()
    }

    /// Adds a value to a device; one without a name is called after its place.
    pub(crate) fn add(&mut self, device: (String, u8), mut tag: DraftTag) {
        if self.tags >= TAGS_MAX {
            let why = format!("there are more than {TAGS_MAX} values; import a part of them");
            if self.tags == TAGS_MAX {
                self.left_out(tag.place, &tag.name, why);
            }
            self.tags = self.tags.saturating_add(1);
            return;
        }
        let Some(at) = self.index(&device.0, device.1) else { return };
        let from = tag.name.clone();
        let fallback = format!("{}_{}", tag.point.table(), tag.point.address());
        let Some(device) = self.devices.get_mut(at) else { return };
        tag.name = unique(&from, &fallback, &mut device.names);
        let plain = from.trim();
        if tag.name != plain && !plain.is_empty() {
            let alike = plain.chars().zip(tag.name.chars()).all(|(a, b)| a == b || b == '_');
            if tag.description.is_none() {
                tag.description = Some(plain.to_owned());
            } else if !alike {
                self.note(tag.place.clone(), Lost::Renamed { from: plain.to_owned(), to: tag.name.clone() });
            }
        }
        self.tags += 1;
        if let Some(device) = self.devices.get_mut(at) {
            device.tags.push(tag);
        }
    }

    /// Writes the site, reads it, and leaves out what it does not take.
    pub(crate) fn finish(mut self, format: Format) -> Result<Imported, ImportError> {
        self.devices.retain(|device| !device.tags.is_empty());
        loop {
            if self.devices.iter().all(|device| device.tags.is_empty()) {
                sort(&mut self.notes);
                return Err(ImportError::Nothing(self.notes));
            }
            let written = write(&self, format);
            let files = [SourceFile { name: "site.toml", text: &written.text }];
            let Err(errors) = Site::parse(&files, &Profiles::none()) else {
                let (devices, tags) =
                    (self.devices.len(), self.devices.iter().map(|device| device.tags.len()).sum());
                sort(&mut self.notes);
                let (notes, omitted) = (self.notes, self.omitted);
                return Ok(Imported { site: written.text, notes, omitted, devices, tags });
            };
            let mut refused: BTreeMap<(usize, usize), String> = BTreeMap::new();
            for error in &errors.errors {
                let at = usize::try_from(error.place.span.start).unwrap_or(usize::MAX);
                let behind = written.tags.partition_point(|(range, _)| range.end <= at);
                let found = written.tags.get(behind).filter(|(range, _)| range.contains(&at));
                if let Some((_, which)) = found {
                    refused.entry(*which).or_insert_with(|| error.fault.to_string());
                }
            }
            if refused.is_empty() {
                let first = errors.errors.first().map_or_else(String::new, |error| error.fault.to_string());
                return Err(ImportError::NotASite(first));
            }
            // From the end, so that what is in front keeps its place.
            for ((device, tag), why) in refused.into_iter().rev() {
                let Some(device) = self.devices.get_mut(device) else { continue };
                if tag < device.tags.len() {
                    let gone = device.tags.remove(tag);
                    let tag = format!("{}.{}", device.name, gone.name);
                    self.note(gone.place, Lost::Refused { tag, why });
                }
            }
            self.devices.retain(|device| !device.tags.is_empty());
        }
    }
}

fn sort(notes: &mut [Note]) {
    notes.sort_by_key(|note| note.place.line);
}

impl DraftDevice {
    /// What finds it again.
    pub(crate) fn key(&self) -> (String, u8) {
        (self.connect.clone(), self.unit)
    }

    /// A key with a duration.
    pub(crate) fn time(&mut self, key: &'static str, time: Duration) {
        self.keys.insert(key, format!("\"{}\"", duration::display(time)));
    }
}

/// A name that the site file takes and nothing else has.
fn unique(wanted: &str, fallback: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = plain_name(wanted);
    if name.is_empty() {
        name = plain_name(fallback);
    }
    let mut candidate = name.clone();
    let mut number = 2_u32;
    while !taken.insert(candidate.clone()) {
        let suffix = format!("_{number}");
        let front: String = name.chars().take(NAME_MAX - suffix.len()).collect();
        candidate = front + &suffix;
        number += 1;
    }
    candidate
}

/// Letters, digits, `-` and `_`, the first a letter.
fn plain_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.trim().chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' => name.push(c),
            'ä' => name.push_str("ae"),
            'ö' => name.push_str("oe"),
            'ü' => name.push_str("ue"),
            'ß' => name.push_str("ss"),
            '%' => name.push_str("percent"),
            _ if name.ends_with('_') || name.is_empty() => {}
            _ => name.push('_'),
        }
    }
    let name = name.trim_end_matches(['_', '-']).trim_start_matches(['_', '-']);
    let mut name = name.to_owned();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "t_");
    }
    name.truncate(NAME_MAX);
    name
}

struct Written {
    text: String,
    /// Which bytes belong to which tag, by device.
    tags: Vec<(Range<usize>, (usize, usize))>,
}

/// Keys that belong to the link where several devices share one.
const LINK_KEYS: [&str; 6] = ["baud", "connect_delay", "gap", "in_flight", "retries", "timeout"];

fn write(draft: &Draft, format: Format) -> Written {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "# Imported by port502 from {}. Check it against the device before anything relies on it.",
        format.name()
    );
    let _ = writeln!(text, "\n[site]\nname = {}", quoted(&draft.site));
    if draft.devices.iter().flat_map(|device| &device.tags).any(|tag| tag.write.is_some()) {
        let _ = writeln!(text, "\n[role.operator]\nmay = [\"write\"]");
    }
    let scans: BTreeSet<Duration> =
        draft.devices.iter().flat_map(|device| &device.tags).filter_map(|tag| tag.every).collect();
    for every in &scans {
        let _ = writeln!(text, "\n[scan.{}]\nevery = \"{}\"", scan_name(*every), duration::display(*every));
    }
    let mut shared: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, device) in draft.devices.iter().enumerate() {
        shared.entry(&device.connect).or_default().push(at);
    }
    let mut links: HashMap<&str, String> = HashMap::new();
    let mut names = draft.names.clone();
    for (connect, devices) in shared.iter().filter(|(_, devices)| devices.len() > 1) {
        let name = unique("bus", "bus", &mut names);
        let _ = writeln!(text, "\n[link.{name}]\nconnect = {}", quoted(connect));
        // They are one line: what the first says of it holds.
        let first = devices.first().and_then(|at| draft.devices.get(*at));
        for (key, value) in
            first.iter().flat_map(|device| &device.keys).filter(|(key, _)| LINK_KEYS.contains(key))
        {
            let _ = writeln!(text, "{key} = {value}");
        }
        links.insert(connect, name);
    }
    let mut tags = Vec::new();
    for (at, device) in draft.devices.iter().enumerate() {
        let _ = writeln!(text, "\n[device.{}]", device.name);
        let link = links.get(device.connect.as_str());
        match link {
            Some(link) => {
                let _ = writeln!(text, "link = \"{link}\"");
            }
            None => {
                let _ = writeln!(text, "connect = {}", quoted(&device.connect));
            }
        }
        let _ = writeln!(text, "unit = {}", device.unit);
        if let Some(description) = &device.description {
            let _ = writeln!(text, "description = {}", quoted(description));
        }
        for (key, value) in device.keys.iter().filter(|(key, _)| link.is_none() || !LINK_KEYS.contains(key)) {
            let _ = writeln!(text, "{key} = {value}");
        }
        if !device.quirks.is_empty() {
            let quirks: Vec<String> = device.quirks.iter().map(|quirk| format!("\"{quirk}\"")).collect();
            let _ = writeln!(text, "quirks = [{}]", quirks.join(", "));
        }
        if !device.holes.is_empty() {
            let holes: Vec<String> = device.holes.iter().map(|hole| format!("\"{hole}\"")).collect();
            let _ = writeln!(text, "holes = [{}]", holes.join(", "));
        }
        for (index, tag) in device.tags.iter().enumerate() {
            let start = text.len();
            write_tag(&mut text, &device.name, tag);
            tags.push((start..text.len(), (at, index)));
        }
    }
    Written { text, tags }
}

fn scan_name(every: Duration) -> String {
    let name: String =
        duration::display(every).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("every_{name}")
}

fn write_tag(text: &mut String, device: &str, tag: &DraftTag) {
    let _ = writeln!(text, "\n[device.{device}.tag.{}]\nat = \"{}\"", tag.name, tag.point);
    if let Some(unit) = tag.unit.as_deref().filter(|unit| !unit.trim().is_empty()) {
        let _ = writeln!(text, "unit = {}", quoted(unit));
    }
    if let Some(description) = tag.description.as_deref().filter(|description| !description.trim().is_empty())
    {
        let _ = writeln!(text, "description = {}", quoted(description));
    }
    #[allow(clippy::float_cmp, reason = "exactly 1 is what holds anyway")]
    if tag.scale != 1.0 {
        let _ = writeln!(text, "scale = {}", number(tag.scale));
    }
    if tag.offset != 0.0 {
        let _ = writeln!(text, "offset = {}", number(tag.offset));
    }
    if let Some(exponent) = &tag.exponent {
        let _ = writeln!(text, "exponent = \"{exponent}\"");
    }
    if let Some((low, high)) = tag.range {
        let _ = writeln!(text, "range = [{}, {}]", number(low), number(high));
    }
    if !tag.nan.is_empty() {
        let nan: Vec<String> = tag.nan.iter().map(i64::to_string).collect();
        let _ = writeln!(text, "nan = [{}]", nan.join(", "));
    }
    if !tag.labels.is_empty() {
        let labels: Vec<String> =
            tag.labels.iter().map(|(number, label)| format!("\"{number}\" = {}", quoted(label))).collect();
        let _ = writeln!(text, "labels = {{ {} }}", labels.join(", "));
    }
    if tag.counter {
        let _ = writeln!(text, "counter = true");
    }
    if let Some(precision) = tag.precision {
        let _ = writeln!(text, "precision = {precision}");
    }
    if let Some(every) = tag.every {
        let _ = writeln!(text, "scan = \"{}\"", scan_name(every));
    }
    if let Some(initial) = &tag.initial {
        let _ = writeln!(text, "initial = {initial}");
    }
    if let Some(write) = &tag.write {
        let limits = match write {
            DraftWrite::Any => String::new(),
            DraftWrite::Between(min, max) => format!(", min = {}, max = {}", number(*min), number(*max)),
            DraftWrite::OneOf(values) => {
                let values: Vec<String> = values.iter().map(|value| number(*value)).collect();
                format!(", values = [{}]", values.join(", "))
            }
        };
        let _ = writeln!(text, "write = {{ roles = [\"operator\"]{limits} }}");
    }
}

/// A number as TOML writes it.
pub(crate) fn number(number: f64) -> String {
    if number.is_finite() { number.to_string() } else { "0".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let mut taken = BTreeSet::new();
        for (wanted, want) in [
            ("Supply temperature (°C)", "Supply_temperature_C"),
            ("Supply temperature", "Supply_temperature"),
            ("supply.temp", "supply_temp"),
            ("supply/temp", "supply_temp_2"),
            ("1st pump", "t_1st_pump"),
            ("Füllstand", "Fuellstand"),
            ("  ", "holding_7"),
            ("", "holding_7_2"),
            ("___", "holding_7_3"),
        ] {
            assert_eq!(unique(wanted, "holding_7", &mut taken), want, "{wanted}");
        }
        let long = "x".repeat(100);
        assert_eq!(unique(&long, "", &mut taken).len(), 64);
        let second = unique(&long, "", &mut taken);
        assert!(second.len() == 64 && second.ends_with("_2"), "{second}");
    }
}
