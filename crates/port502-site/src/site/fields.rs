//! Reading tables of a site file: what stands there becomes values, and what is wrong is told with its place.
//!
//! Nothing here stops at an error: a value that is wrong is told and is `None`, and the reader goes on, so that one
//! look at a file finds all that is wrong with it.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use port502_inspect::policy::{self, DAYS, Operation, Rate, TimeWindow};
use port502_session::{Target, duration};
use port502_wire::function::FACTS;
use port502_wire::{FunctionCode, Table};

use super::Deadband;
use super::fault::{ERRORS_MAX, Fault, Place, RangeFault, Referred, SiteError};
use super::keys::{ALL, Otherwise, Section};
use crate::document::{Document, Entry, Node, Span, TableId, Value};
use crate::nearest;
use crate::point::{nearest_table, number, table};

/// What is wrong so far.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) errors: Vec<SiteError>,
    pub(super) omitted: usize,
    /// Some of the text is not TOML: what is missing may have stood there, and is not told.
    pub(super) lenient: bool,
    /// What is read is a profile by itself: roles and scan classes are those of the site that uses it.
    pub(super) alone: bool,
}

impl Faults {
    pub(super) fn tell(&mut self, place: Place, fault: Fault) {
        self.tell_both(place, fault, None);
    }

    pub(super) fn tell_both(&mut self, place: Place, fault: Fault, other: Option<Place>) {
        let absent = matches!(fault, Fault::Missing { .. } | Fault::Unknown { .. } | Fault::NoLink);
        let of_site = matches!(fault, Fault::Unknown { what: Referred::Role | Referred::Scan, .. });
        if (absent && self.lenient) || (of_site && self.alone) {
            return;
        }
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(SiteError { place, fault, other });
        } else {
            self.omitted += 1;
        }
    }
}

/// A table of one of the documents.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    document: &'a Document<'a>,
    table: TableId,
    file: u32,
    /// Whom to blame instead, where people did not write it: the place that names the profile.
    blame: Option<Place>,
}

impl<'a> Layer<'a> {
    pub(super) fn new(document: &'a Document<'a>, file: u32, blame: Option<Place>) -> Self {
        Layer { document, table: document.root(), file, blame }
    }

    fn place(&self, span: Span) -> Place {
        self.blame.unwrap_or(Place { file: self.file, span })
    }

    fn find(&self, key: &str) -> Option<Field<'a>> {
        self.document.find(self.table, key).map(|entry| Field { entry, layer: *self })
    }

    fn entries(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let layer = *self;
        layer.document.entries(layer.table).map(move |entry| Field { entry, layer })
    }
}

/// A table with its section: what stands in it, over what a profile says.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    own: Option<Layer<'a>>,
    under: Option<Layer<'a>>,
    section: &'static Section,
    /// The name in its header, or the braces.
    pub(super) place: Place,
}

/// One key with its value.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    entry: &'a Entry,
    layer: Layer<'a>,
}

impl<'a> Field<'a> {
    pub(super) fn key(&self) -> &'a str {
        self.layer.document.key(self.entry)
    }

    pub(super) fn key_place(&self) -> Place {
        self.layer.place(self.entry.key_span())
    }

    pub(super) fn place(&self) -> Place {
        self.layer.place(self.entry.node.span)
    }

    pub(super) fn value(&self) -> Value<'a> {
        self.layer.document.value(&self.entry.node)
    }

    /// An element of its list.
    fn item(&self, node: &Node) -> Item<'a> {
        let value = self.layer.document.value(node);
        Item { key: self.key(), value, place: self.layer.place(node.span), layer: self.layer }
    }

    pub(super) fn as_item(&self) -> Item<'a> {
        self.item(&self.entry.node)
    }
}

/// A value that belongs to a key, alone or in a list.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) key: &'a str,
    pub(super) value: Value<'a>,
    pub(super) place: Place,
    layer: Layer<'a>,
}

/// A text of the file.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    /// With its quotes.
    pub(super) place: Place,
}

impl Word<'_> {
    /// Where some bytes of it are.
    pub(super) fn part(&self, range: Range<usize>) -> Place {
        self.place.part(range.start + 1..range.end + 1)
    }
}

impl<'a> Fields<'a> {
    pub(super) fn root(layer: Layer<'a>, section: &'static Section) -> Self {
        Fields { own: Some(layer), under: None, section, place: layer.place(Span::default()) }
    }

    /// With what a profile says of the same.
    pub(super) fn over(self, under: Option<Layer<'a>>) -> Self {
        Fields { under, ..self }
    }

    pub(super) fn find(&self, key: &str) -> Option<Field<'a>> {
        debug_assert!(
            self.section.key(key).is_some(),
            "{key} has to be in the table of {}",
            self.section.called
        );
        self.any(key)
    }

    /// The same, for names that are the user's.
    fn any(&self, key: &str) -> Option<Field<'a>> {
        let own = self.own.and_then(|layer| layer.find(key));
        own.or_else(|| self.under.and_then(|layer| layer.find(key)))
    }

    /// Whether the user, not a profile, wrote this key.
    pub(super) fn own(&self, key: &str) -> Option<Field<'a>> {
        self.own.and_then(|layer| layer.find(key))
    }

    /// What the profile says of this key.
    pub(super) fn under(&self, key: &str) -> Option<Field<'a>> {
        self.under.and_then(|layer| layer.find(key))
    }

    /// Where it is written.
    pub(super) fn layer(&self) -> Option<Layer<'a>> {
        self.own
    }

    /// How many keys there are in the table behind a key.
    pub(super) fn size(&self, key: &str) -> usize {
        let size = |layer: &Layer<'a>| match layer.find(key)?.value() {
            Value::Table(table) => Some(layer.document.len(table)),
            _ => None,
        };
        [self.own, self.under].iter().flatten().filter_map(size).sum()
    }

    pub(super) fn has_unknown(&self) -> bool {
        let mut all = [self.own, self.under].into_iter().flatten().flat_map(|layer| layer.entries());
        all.any(|field| self.section.key(field.key()).is_none())
    }

    /// Tells the keys that are not known.
    pub(super) fn check_keys(&self, faults: &mut Faults) {
        for layer in [self.own, self.under].into_iter().flatten() {
            for field in layer.entries() {
                if self.section.key(field.key()).is_none() {
                    faults.tell(field.key_place(), unknown_key(field.key(), self.section));
                }
            }
        }
    }
}

fn unknown_key(word: &str, section: &'static Section) -> Fault {
    let known: Vec<&'static str> = section.keys.iter().map(|key| key.name).collect();
    let belongs = ALL.iter().filter(|other| !other.header.is_empty() && other.key(word).is_some());
    // Sideways is a better guess than upwards: only when one section has it.
    let mut belongs = belongs.map(|other| other.header);
    let belongs = match (belongs.next(), belongs.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    };
    let near = nearest(word, known.iter().copied());
    Fault::UnknownKey { word: word.to_owned(), section: section.called, nearest: near, belongs, known }
}

/// Whether tags, expressions and patterns can refer to it.
fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// A table that bears a name of the user's.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) fields: Fields<'a>,
}

impl Faults {
    pub(super) fn name(&mut self, name: &str, place: Place) -> bool {
        let good = is_name(name);
        if !good {
            self.tell(place, Fault::Name { word: name.to_owned() });
        }
        good
    }

    pub(super) fn need<'a>(&mut self, fields: &Fields<'a>, key: &'static str) -> Option<Field<'a>> {
        let found = fields.find(key);
        if found.is_none() {
            let example = match fields.section.key(key).map(|key| key.default) {
                Some(Otherwise::Required(example)) => example,
                _ => key,
            };
            let section = fields.section.called;
            self.tell(fields.place, Fault::Missing { key, section, example });
        }
        found
    }

    pub(super) fn kind(&mut self, item: Item<'_>, want: &'static str) {
        if !matches!(item.value, Value::Broken) {
            let fault = Fault::Kind { key: item.key.to_owned(), want, got: item.value.kind() };
            self.tell(item.place, fault);
        }
    }

    /// The tables in `[key.NAME]` of several layers, each name once.
    pub(super) fn named<'a>(
        &mut self,
        parents: &[Fields<'a>],
        key: &'static str,
        section: &'static Section,
    ) -> Vec<Named<'a>> {
        let mut all: Vec<Named<'a>> = Vec::new();
        let mut places: HashMap<&'a str, (Place, usize)> = HashMap::new();
        let several = parents.len() > 1 || parents.iter().any(|parent| parent.under.is_some());
        for parent in parents {
            for (which, layer) in [parent.own, parent.under].into_iter().enumerate() {
                let Some(field) = layer.and_then(|layer| layer.find(key)) else { continue };
                let Value::Table(table) = field.value() else {
                    self.kind(field.as_item(), "tables by name");
                    continue;
                };
                let layer = Layer { table, ..field.layer };
                for entry in layer.entries() {
                    let (name, place) = (entry.key(), entry.key_place());
                    let Value::Table(table) = entry.value() else {
                        self.kind(entry.as_item(), "a table");
                        continue;
                    };
                    let layer = Layer { table, ..layer };
                    if several {
                        if let Some((first, at)) = places.get(name).copied() {
                            if which == 1 {
                                // Of the profile: what is not said above it holds.
                                if let Some(named) = all.get_mut(at) {
                                    named.fields.under = Some(layer);
                                }
                            } else {
                                self.tell_both(place, Fault::Twice { key: name.to_owned() }, Some(first));
                            }
                            continue;
                        }
                        places.insert(name, (place, all.len()));
                    }
                    self.name(name, place);
                    let (own, under) = if which == 0 { (Some(layer), None) } else { (None, Some(layer)) };
                    all.push(Named { name, fields: Fields { own, under, section, place } });
                }
            }
        }
        all
    }

    /// A table in braces, or with a header of its own.
    pub(super) fn table<'a>(&mut self, field: Field<'a>, section: &'static Section) -> Option<Fields<'a>> {
        self.item_table(field.as_item(), section)
    }

    pub(super) fn item_table<'a>(&mut self, item: Item<'a>, section: &'static Section) -> Option<Fields<'a>> {
        let Value::Table(table) = item.value else {
            self.kind(item, "a table");
            return None;
        };
        let layer = Layer { table, ..item.layer };
        let fields = Fields { own: Some(layer), under: None, section, place: item.place };
        fields.check_keys(self);
        Some(fields)
    }

    /// Keys and values of a table whose keys are the user's.
    pub(super) fn pairs<'a>(&mut self, field: Field<'a>) -> Vec<Field<'a>> {
        let Value::Table(table) = field.value() else {
            self.kind(field.as_item(), "a table");
            return Vec::new();
        };
        Layer { table, ..field.layer }.entries().collect()
    }

    pub(super) fn word<'a>(&mut self, item: Item<'a>, want: &'static str) -> Option<Word<'a>> {
        match item.value {
            Value::Text(text) if text.trim().is_empty() => {
                self.tell(item.place, Fault::Empty { key: item.key.to_owned() });
                None
            }
            Value::Text(text) => Some(Word { text, place: item.place }),
            _ => {
                self.kind(item, want);
                None
            }
        }
    }

    pub(super) fn text<'a>(&mut self, fields: &Fields<'a>, key: &'static str) -> Option<Word<'a>> {
        self.word(fields.find(key)?.as_item(), "a text in quotes")
    }

    pub(super) fn owned(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<String> {
        self.text(fields, key).map(|word| word.text.to_owned())
    }

    /// One value, or a list of them.
    pub(super) fn items<'a>(&mut self, fields: &Fields<'a>, key: &'static str) -> Vec<Item<'a>> {
        let Some(field) = fields.find(key) else { return Vec::new() };
        match field.value() {
            Value::Array(items) => items.iter().map(|node| field.item(node)).collect(),
            _ => vec![field.as_item()],
        }
    }

    pub(super) fn words<'a>(&mut self, fields: &Fields<'a>, key: &'static str) -> Vec<Word<'a>> {
        let items = self.items(fields, key);
        items.into_iter().filter_map(|item| self.word(item, "a text in quotes")).collect()
    }

    pub(super) fn owned_words(&mut self, fields: &Fields<'_>, key: &'static str) -> Vec<String> {
        self.words(fields, key).into_iter().map(|word| word.text.to_owned()).collect()
    }

    pub(super) fn boolean(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<bool> {
        let item = fields.find(key)?.as_item();
        match item.value {
            Value::Boolean(on) => Some(on),
            _ => {
                self.kind(item, "true or false");
                None
            }
        }
    }

    pub(super) fn item_number(&mut self, item: Item<'_>) -> Option<f64> {
        let number = match item.value {
            Value::Integer(integer) => {
                #[allow(clippy::cast_precision_loss, reason = "the nearest is what is meant")]
                let number = integer as f64;
                number
            }
            Value::Float(float) => float,
            _ => {
                self.kind(item, "a number");
                return None;
            }
        };
        if !number.is_finite() {
            self.tell(item.place, Fault::NotFinite { key: item.key.to_owned() });
            return None;
        }
        Some(number)
    }

    pub(super) fn number(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<f64> {
        self.item_number(fields.find(key)?.as_item())
    }

    /// A number above 0.
    pub(super) fn positive(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<f64> {
        let number = self.number(fields, key)?;
        if number > 0.0 {
            return Some(number);
        }
        let place = fields.find(key).map_or(fields.place, |field| field.place());
        self.tell(place, Fault::NotPositive { key: key.to_owned() });
        None
    }

    pub(super) fn item_integer(&mut self, item: Item<'_>, min: i64, max: i64) -> Option<i64> {
        match item.value {
            Value::Integer(integer) if (min..=max).contains(&integer) => Some(integer),
            Value::Integer(integer) => {
                let (value, key) = (integer.to_string(), item.key.to_owned());
                let fault = Fault::Outside { key, value, min: min.to_string(), max: max.to_string() };
                self.tell(item.place, fault);
                None
            }
            _ => {
                self.kind(item, "an integer");
                None
            }
        }
    }

    /// An integer from `min` to `max`, which fit into its type.
    pub(super) fn integer<T: TryFrom<i64> + Into<i64>>(
        &mut self,
        fields: &Fields<'_>,
        key: &'static str,
        min: T,
        max: T,
    ) -> Option<T> {
        let integer = self.item_integer(fields.find(key)?.as_item(), min.into(), max.into())?;
        T::try_from(integer).ok()
    }

    pub(super) fn duration(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<Duration> {
        let word = self.word(fields.find(key)?.as_item(), "a duration in quotes, as \"500ms\"")?;
        match duration::parse(word.text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.tell(word.place, Fault::Duration { word: word.text.to_owned(), error });
                None
            }
        }
    }

    pub(super) fn duration_within(
        &mut self,
        fields: &Fields<'_>,
        key: &'static str,
        min: Duration,
        max: Duration,
    ) -> Option<Duration> {
        let found = self.duration(fields, key)?;
        if (min..=max).contains(&found) {
            return Some(found);
        }
        let place = fields.find(key).map_or(fields.place, |field| field.place());
        let [value, min, max] = [found, min, max].map(duration::display);
        self.tell(place, Fault::Outside { key: key.to_owned(), value, min, max });
        None
    }

    pub(super) fn low_high(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<(f64, f64)> {
        let field = fields.find(key)?;
        let wrong = Fault::LowHigh { key: key.to_owned() };
        let Value::Array(items) = field.value() else {
            self.kind(field.as_item(), "[low, high]");
            return None;
        };
        let mut items = items.iter();
        let (Some(low), Some(high), None) = (items.next(), items.next(), items.next()) else {
            self.tell(field.place(), wrong);
            return None;
        };
        let (low, high) = (self.item_number(field.item(low)), self.item_number(field.item(high)));
        let (low, high) = (low?, high?);
        if low < high {
            return Some((low, high));
        }
        self.tell(field.place(), wrong);
        None
    }

    pub(super) fn deadband(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<Deadband> {
        let item = fields.find(key)?.as_item();
        let found = match item.value {
            Value::Text(text) => {
                let percent = text.trim().strip_suffix('%').and_then(|number| number.trim().parse().ok());
                percent.filter(|percent| (0.0..=100.0).contains(percent)).map(Deadband::Percent)
            }
            Value::Integer(_) | Value::Float(_) => {
                let number = self.item_number(item)?;
                (number >= 0.0).then_some(Deadband::Absolute(number))
            }
            _ => {
                self.kind(item, "a number, or a percentage in quotes");
                return None;
            }
        };
        if found.is_none() {
            let word = match item.value {
                Value::Text(text) => text.to_string(),
                Value::Float(float) => float.to_string(),
                Value::Integer(integer) => integer.to_string(),
                _ => String::new(),
            };
            self.tell(item.place, Fault::Deadband { word });
        }
        found
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        word: Word<'_>,
        what: &'static str,
        known: &'static [&'static str],
        values: &[T],
    ) -> Option<T> {
        let found = known.iter().position(|known| *known == word.text);
        if found.is_none() {
            let near = nearest(word.text, known.iter().copied());
            let fault = Fault::Word { word: word.text.to_owned(), what, nearest: near, known };
            self.tell(word.place, fault);
        }
        values.get(found?).copied()
    }

    pub(super) fn target(&mut self, word: Word<'_>) -> Option<Target> {
        match word.text.parse() {
            Ok(target) => Some(target),
            Err(error) => {
                self.tell(word.place, Fault::Target { error });
                None
            }
        }
    }

    pub(super) fn rate(&mut self, fields: &Fields<'_>, key: &'static str) -> Option<Rate> {
        let word = self.text(fields, key)?;
        let rate = parse_rate(word.text);
        if rate.is_none() {
            self.tell(word.place, Fault::Rate { word: word.text.to_owned() });
        }
        rate
    }

    /// `holding:120-127`, sorted, and joined where they touch.
    pub(super) fn ranges(&mut self, fields: &Fields<'_>, key: &'static str) -> Vec<policy::Range> {
        let mut ranges = Vec::new();
        for item in self.items(fields, key) {
            if let Value::Integer(number) = item.value {
                let fault = RangeFault::BareNumber;
                self.tell(item.place, Fault::Range { word: number.to_string(), fault });
                continue;
            }
            let Some(word) = self.word(item, "addresses in quotes, as \"holding:120-127\"") else { continue };
            match parse_range(word.text) {
                Ok(range) => ranges.push(range),
                Err(fault) => self.tell(word.place, Fault::Range { word: word.text.to_owned(), fault }),
            }
        }
        crate::compile::merged(ranges)
    }

    pub(super) fn operation(&mut self, item: Item<'_>) -> Option<Operation> {
        let text = match item.value {
            Value::Integer(code) => code.to_string(),
            _ => self.word(item, "function codes or names")?.text.to_owned(),
        };
        let found = parse_operation(&text);
        if found.is_none() {
            let near = |name: &str| nearest(&text, [name.to_ascii_lowercase().as_str()]).is_some();
            let near = FACTS.iter().map(|facts| facts.name).find(|name| near(name));
            self.tell(item.place, Fault::Function { word: text, nearest: near });
        }
        found
    }

    /// `3` or `"3-9"`.
    pub(super) fn units(&mut self, item: Item<'_>) -> Option<(u8, u8)> {
        let text = match item.value {
            Value::Integer(unit) => unit.to_string(),
            _ => self.word(item, "unit ids")?.text.to_owned(),
        };
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let unit = |text: &str| number(text.trim()).and_then(|unit| u8::try_from(unit).ok());
        let units = unit(first).zip(unit(last)).filter(|(first, last)| first <= last);
        if units.is_none() {
            self.tell(item.place, Fault::Units { word: text });
        }
        units
    }

    pub(super) fn time_window(&mut self, word: Word<'_>) -> Option<TimeWindow> {
        let window = parse_window(word.text);
        if window.is_none() {
            self.tell(word.place, Fault::TimeWindow { word: word.text.to_owned() });
        }
        window
    }
}

fn parse_rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let count = number(count.trim()).filter(|count| *count != 0)?;
    let seconds = match unit.trim() {
        "s" | "sec" | "second" => 1,
        "m" | "min" | "minute" => 60,
        "h" | "hour" => 3_600,
        _ => return None,
    };
    Some(Rate { count, per: Duration::from_secs(seconds) })
}

fn parse_range(text: &str) -> Result<policy::Range, RangeFault> {
    let Some((front, addresses)) = text.split_once(':') else {
        let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        return Err(if bare { RangeFault::BareNumber } else { RangeFault::Syntax });
    };
    let table: Table =
        table(front.trim()).ok_or_else(|| RangeFault::Table { nearest: nearest_table(front) })?;
    let addresses = addresses.trim();
    if addresses == "*" {
        return Ok(policy::Range { table, first: 0, last: u16::MAX });
    }
    let (first, last) = addresses.split_once('-').unwrap_or((addresses, addresses));
    let address = |text: &str| number(text.trim()).and_then(|address| u16::try_from(address).ok());
    let (first, last) = address(first).zip(address(last)).ok_or(RangeFault::Address)?;
    if last < first { Err(RangeFault::Backwards) } else { Ok(policy::Range { table, first, last }) }
}

fn parse_operation(text: &str) -> Option<Operation> {
    let (function, sub) = match text.split_once('/') {
        Some((function, sub)) => (function, Some(u16::try_from(number(sub.trim())?).ok()?)),
        None => (text, None),
    };
    let function = function.trim();
    let named = FACTS.iter().find(|facts| facts.name.eq_ignore_ascii_case(function));
    let code = named.map(|facts| facts.code.0).or_else(|| u8::try_from(number(function)?).ok())?;
    let has_sub =
        code == FunctionCode::DIAGNOSTICS.0 || code == FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT.0;
    ((1..=127).contains(&code) && (sub.is_none() || has_sub))
        .then_some(Operation { function: FunctionCode(code), sub })
}

fn parse_window(text: &str) -> Option<TimeWindow> {
    let mut words = text.split_whitespace();
    let (first, second) = (words.next()?, words.next());
    if words.next().is_some() {
        return None;
    }
    let (days, hours) = match second {
        Some(hours) => (parse_days(first)?, Some(hours)),
        None if first.contains(':') => (0x7F, Some(first)),
        None => (parse_days(first)?, None),
    };
    let Some(hours) = hours else { return Some(TimeWindow { days, from: 0, to: 1_440 }) };
    let (from, to) = hours.split_once('-')?;
    let minutes = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let two = |text: &str| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u16>().ok()).flatten()
        };
        let (hour, minute) = (two(hour)?, two(minute)?);
        let good = minute < 60 && (hour < 24 || (hour, minute) == (24, 0));
        good.then_some(hour * 60 + minute)
    };
    let (from, to) = (minutes(from)?, minutes(to)?);
    (from < 1_440 && to > 0 && from != to).then_some(TimeWindow { days, from, to })
}

/// `mon-fri,sun`
fn parse_days(text: &str) -> Option<u8> {
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
        let (mut at, last) = (day(first)?, day(last)?);
        loop {
            days |= 1 << at;
            if at == last {
                break;
            }
            at = (at + 1) % DAYS.len();
        }
    }
    Some(days)
}
