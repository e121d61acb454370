//! What a profile says of itself: whose device it describes, where that stands, how to recognise one, and examples.
//!
//! ```toml
//! max_registers = 80                                     # the body of a device, as in a site file
//!
//! [about]
//! title = "SDM120-Modbus, single phase"
//! maker = "Eastron"
//! document = "SDM120-Modbus Smart Meter, Modbus protocol implementation"
//! verified = "document"
//! probes = [{ at = "input:0:f32", between = [80, 300] }]
//! vectors = [{ tag = "voltage", hex = "43663333", value = 230.2 }]
//!
//! [tag]
//! voltage = { at = "input:0", type = "f32", unit = "V" }
//! ```

use port502_wire::value::ValueType;

use super::fault::{Fault, Referred};
use super::fields::{Faults, Fields, Item, Layer};
use super::{Reading, Site, keys};
use crate::document::{Document, Value};
use crate::{Cells, Datum, Point, nearest};

/// Whose device a profile describes, and how far it can be trusted.
#[derive(Clone, PartialEq, Debug)]
pub struct About {
    /// The device.
    pub title: String,
    /// Who makes it.
    pub maker: String,
    /// The maker's document, with its revision where that is known.
    pub document: Option<String>,
    /// Where the addresses were looked up.
    pub sources: Vec<String>,
    /// How far it has been checked.
    pub verified: Verified,
    /// How its serial line is set when it is new: `9600 8N1`.
    pub serial: Option<String>,
    /// What else one should know.
    pub notes: Option<String>,
    /// Its place among the models of a SunSpec device.
    pub sunspec: Option<ModelAt>,
    /// How to recognise the device: each has to hold.
    pub probes: Vec<Probe>,
    /// Registers and what they mean.
    pub vectors: Vec<Vector>,
}

/// How far a profile has been checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verified {
    /// Against documents only.
    Document,
    /// Against a device.
    Device,
}

impl Verified {
    const NAMES: &'static [&'static str] = &["document", "device"];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Verified::Document => "document",
            Verified::Device => "device",
        }
    }
}

/// Where a SunSpec model begins, and how long it is; all in registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelAt {
    /// The number of the model.
    pub model: u16,
    /// The holding register with that number, in this profile.
    pub at: u16,
    /// How many registers follow behind number and length, without the groups.
    pub length: u16,
    /// What the model repeats.
    pub group: Option<ModelGroup>,
}

/// What a SunSpec model repeats as often as it is long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelGroup {
    /// What its tags begin with: `module` for `module1_dc_power`.
    pub prefix: String,
    /// Where the first begins, counted from the model's first register.
    pub at: u16,
    /// How long each is, at least 1.
    pub length: u16,
    /// What each of them repeats in turn.
    pub within: Option<Within>,
}

/// What is repeated within each group of a SunSpec model, as the points of a curve: as often as a register says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Within {
    /// The tag that says how often.
    pub count: String,
    /// How often it is in this profile, at least 1.
    pub times: u16,
    /// What is repeated, in the order of addresses; all as often.
    pub groups: Vec<InnerGroup>,
}

/// One of the things that are repeated within a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InnerGroup {
    /// What its tags begin with behind that of the group: `point` for `curve1_point1_voltage`.
    pub prefix: String,
    /// Where the first begins, counted from the beginning of the group.
    pub at: u16,
    /// How long each is, at least 1.
    pub length: u16,
}

/// One sign of a device.
#[derive(Clone, PartialEq, Debug)]
pub enum Probe {
    /// A place holds one of these, written as values are: `1648`, `B23`.
    Holds {
        /// Where.
        point: Point,
        /// What.
        values: Vec<String>,
    },
    /// A text begins like this.
    Begins {
        /// Where.
        point: Point,
        /// How.
        text: String,
    },
    /// A number, as it stands in the registers, lies between these.
    Between {
        /// Where.
        point: Point,
        /// The smallest.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// An object of the device identification (function 43/14) has this in it.
    Object {
        /// Which: 0 is the vendor, 1 the product code.
        object: u8,
        /// What, in whatever case.
        contains: String,
    },
    /// This SunSpec model is found by walking from `SunS`.
    Model(u16),
}

impl Probe {
    /// Where it has to be read; `None` of those that are not at one place.
    #[must_use]
    pub const fn point(&self) -> Option<Point> {
        match self {
            Probe::Holds { point, .. } | Probe::Begins { point, .. } | Probe::Between { point, .. } => {
                Some(*point)
            }
            Probe::Object { .. } | Probe::Model(_) => None,
        }
    }

    /// Whether what was read at [`Probe::point`] is the sign.
    #[must_use]
    pub fn matches(&self, datum: &Datum) -> bool {
        match self {
            Probe::Holds { values, .. } => values.iter().any(|value| datum.to_string().trim_end() == value),
            Probe::Begins { text, .. } => matches!(datum, Datum::Text(found) if found.starts_with(text)),
            Probe::Between { low, high, .. } => {
                #[allow(clippy::cast_precision_loss, reason = "the nearest is near enough to recognise it")]
                let number = match datum {
                    Datum::Unsigned(number) => *number as f64,
                    Datum::Signed(number) => *number as f64,
                    Datum::F32(float) => f64::from(*float),
                    Datum::F64(float) => *float,
                    Datum::Bool(_) | Datum::Text(_) => return false,
                };
                (*low..=*high).contains(&number)
            }
            Probe::Object { .. } | Probe::Model(_) => false,
        }
    }
}

/// Registers, and what they mean.
#[derive(Clone, PartialEq, Debug)]
pub struct Vector {
    /// Of which tag.
    pub tag: String,
    /// What stands there.
    pub cells: Cells,
    /// What stands in the tag with its power of ten.
    pub exponent: Option<i16>,
    /// What it means.
    pub reading: Reading,
}

/// A part of a reading that is none: what a float of four bytes does not hold.
const SLIP: f64 = 1e-6;

impl Vector {
    /// Whether two readings are the same as far as registers hold it.
    #[must_use]
    pub fn agrees(&self, reading: &Reading) -> bool {
        match (&self.reading, reading) {
            (Reading::Number(want), Reading::Number(got)) => {
                (want - got).abs() <= SLIP * want.abs().max(got.abs())
            }
            (Reading::Text(want), Reading::Text(got)) => want == got.trim_end(),
            (want, got) => want == got,
        }
    }
}

/// What the profile says of itself; `None`: nothing, or it is wrong and has been told.
pub(super) fn read(document: &Document<'_>, faults: &mut Faults) -> Option<About> {
    let root = Fields::root(Layer::new(document, 0, None), &keys::PROFILE);
    let about = faults.table(root.find("about")?, &keys::ABOUT)?;
    let title = faults.need(&about, "title").and_then(|_| faults.owned(&about, "title"));
    let maker = faults.need(&about, "maker").and_then(|_| faults.owned(&about, "maker"));
    let verified = faults.text(&about, "verified").and_then(|word| {
        faults.choice(word, "how far it is checked", Verified::NAMES, &[Verified::Document, Verified::Device])
    });
    let sunspec = about.find("sunspec").and_then(|field| faults.table(field, &keys::MODEL));
    let sunspec = sunspec.and_then(|fields| model(&fields, faults));
    let probes = faults.items(&about, "probes");
    let probes = probes.into_iter().filter_map(|item| probe(item, faults)).collect();
    let vectors = faults.items(&about, "vectors");
    let vectors = vectors.into_iter().filter_map(|item| vector(item, faults)).collect();
    Some(About {
        title: title?,
        maker: maker?,
        document: faults.owned(&about, "document"),
        sources: faults.owned_words(&about, "sources"),
        verified: verified.unwrap_or(Verified::Document),
        serial: faults.owned(&about, "serial"),
        notes: faults.owned(&about, "notes"),
        sunspec,
        probes,
        vectors,
    })
}

fn model(fields: &Fields<'_>, faults: &mut Faults) -> Option<ModelAt> {
    for key in ["model", "at", "length"] {
        faults.need(fields, key);
    }
    let group = fields.find("group").and_then(|field| faults.table(field, &keys::GROUP));
    let group = group.and_then(|fields| {
        for key in ["prefix", "at", "length"] {
            faults.need(&fields, key);
        }
        let prefix = faults.owned(&fields, "prefix");
        let at = faults.integer(&fields, "at", 2, u16::MAX);
        let length = faults.integer(&fields, "length", 1, u16::MAX);
        let within = fields.find("within").and_then(|field| faults.table(field, &keys::WITHIN));
        let within = within.and_then(|fields| within_group(&fields, faults));
        Some(ModelGroup { prefix: prefix?, at: at?, length: length?, within })
    });
    let number = faults.integer(fields, "model", 1, u16::MAX - 1);
    let at = faults.integer(fields, "at", 0, u16::MAX);
    let length = faults.integer(fields, "length", 0, u16::MAX);
    Some(ModelAt { model: number?, at: at?, length: length?, group })
}

fn within_group(fields: &Fields<'_>, faults: &mut Faults) -> Option<Within> {
    for key in ["count", "times", "groups"] {
        faults.need(fields, key);
    }
    let items = faults.items(fields, "groups");
    let mut groups: Vec<InnerGroup> = Vec::new();
    for item in items {
        let Some(fields) = faults.item_table(item, &keys::INNER_GROUP) else { continue };
        for key in ["prefix", "at", "length"] {
            faults.need(&fields, key);
        }
        let prefix = faults.owned(&fields, "prefix");
        let at = faults.integer(&fields, "at", 0, u16::MAX);
        let length = faults.integer(&fields, "length", 1, u16::MAX);
        if let (Some(prefix), Some(at), Some(length)) = (prefix, at, length) {
            groups.push(InnerGroup { prefix, at, length });
        }
    }
    groups.sort_by_key(|group| group.at);
    let count = faults.owned(fields, "count");
    let times = faults.integer(fields, "times", 1, u16::MAX);
    Some(Within { count: count?, times: times?, groups })
}

fn probe(item: Item<'_>, faults: &mut Faults) -> Option<Probe> {
    let fields = faults.item_table(item, &keys::PROBE)?;
    if fields.find("model").is_some() {
        return faults.integer(&fields, "model", 1, u16::MAX - 1).map(Probe::Model);
    }
    if fields.find("object").is_some() {
        faults.need(&fields, "contains");
        let object = faults.integer(&fields, "object", 0, u8::MAX);
        let contains = faults.owned(&fields, "contains");
        return Some(Probe::Object { object: object?, contains: contains? });
    }
    faults.need(&fields, "at")?;
    let at = faults.text(&fields, "at")?;
    let point: Point = match at.text.parse() {
        Ok(point) => point,
        Err(error) => {
            let error: crate::PointError = error;
            faults.tell(at.part(error.range.clone()), Fault::Point { error });
            return None;
        }
    };
    if let Some(text) = faults.owned(&fields, "begins") {
        return Some(Probe::Begins { point, text });
    }
    if fields.find("between").is_some() {
        let (low, high) = faults.low_high(&fields, "between")?;
        return Some(Probe::Between { point, low, high });
    }
    faults.need(&fields, "is")?;
    let values = faults.items(&fields, "is").into_iter().filter_map(|item| match item.value {
        Value::Integer(number) => Some(number.to_string()),
        _ => faults.word(item, "numbers, or texts in quotes").map(|word| word.text.to_owned()),
    });
    Some(Probe::Holds { point, values: values.collect() })
}

fn vector(item: Item<'_>, faults: &mut Faults) -> Option<Vector> {
    let fields = faults.item_table(item, &keys::VECTOR)?;
    for key in ["tag", "hex", "value"] {
        faults.need(&fields, key);
    }
    let hex = faults.text(&fields, "hex")?;
    let Some(registers) = registers(hex.text) else {
        faults.tell(hex.place, Fault::Hex { word: hex.text.to_owned() });
        return None;
    };
    let value = fields.find("value")?.as_item();
    let reading = match value.value {
        Value::Text(text) => Reading::Text(text.to_string()),
        Value::Boolean(true) => Reading::Bool(true),
        // Of a number it says that there is none; `check` knows which are bits.
        Value::Boolean(false) => Reading::Absent,
        _ => Reading::Number(faults.item_number(value)?),
    };
    Some(Vector {
        tag: faults.owned(&fields, "tag")?,
        cells: Cells::Registers(registers),
        exponent: faults.integer(&fields, "exponent", -10, 10),
        reading,
    })
}

/// `43663333`
fn registers(hex: &str) -> Option<Vec<u16>> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
    let words = digits.chunks(4).map(|word| match word.len() {
        4 => u16::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok(),
        _ => None,
    });
    words.collect()
}

/// Tells the vectors that belong to no tag, or are not as long as theirs; those of bits become bits.
pub(super) fn check(about: &mut About, site: &Site, document: &Document<'_>, faults: &mut Faults) {
    let root = Fields::root(Layer::new(document, 0, None), &keys::PROFILE);
    let names: Vec<&str> = site.tags().iter().map(|tag| &*tag.name).collect();
    let place = root.find("about").map_or(root.place, |field| field.key_place());
    for vector in &mut about.vectors {
        let Some(tag) = site.tags().iter().find(|tag| *tag.name == vector.tag) else {
            let nearest = nearest(&vector.tag, names.iter().copied()).map(str::to_owned);
            let word = vector.tag.clone();
            faults.tell(place, Fault::Unknown { what: Referred::Tag, word, nearest });
            continue;
        };
        if tag.point.table().is_bits()
            && let Cells::Registers(registers) = &vector.cells
        {
            vector.cells = Cells::Bits(registers.iter().map(|register| *register != 0).collect());
        }
        let (got, want) = (vector.cells.len(), tag.point.value_width());
        if got != usize::from(want) {
            faults.tell(place, Fault::VectorWidth { tag: vector.tag.clone(), got, want });
        }
        let bit = matches!(tag.point.value_type(), ValueType::Bool | ValueType::Bit(_));
        if bit && vector.reading == Reading::Absent {
            vector.reading = Reading::Bool(false);
        }
    }
}
