//! Points: one place of a device, and how what stands there is read.
//!
//! ```text
//!   holding:100:f32:cdab*4          40101:f32            4x101:f32
//!   ------- --- --- ---- -          |`--- 1-based        | `-- 1-based
//!   table   |   |   |    how many   table                table
//!           |   |   byte order      digit                digit
//!           |   type
//!           address, 0-based, as on the wire
//! ```
//!
//! Only table and address are needed: without a type a coil or discrete input is a `bool`, a register a `u16`;
//! without an order bytes stand as the specification says; without a count it is one value. Tables may be cut to
//! their first letter, numbers may be hexadecimal with `0x`. References, as manuals print them, have five digits
//! (`40101`), six (`400101`) or an x (`4x101`). A number that could be either is refused, not guessed.

use core::fmt;
use core::ops::Range;
use core::str::FromStr;

use port502_wire::Table;
use port502_wire::value::{Order, UnknownType, ValueType};

use crate::nearest;

/// A place of a device: where, as what, and how many. All of it lies within the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Point {
    table: Table,
    address: u16,
    /// Bits have `Bool`, registers any.
    value_type: ValueType,
    /// Bits have the default.
    order: Order,
    /// At least 1; `address + width` is at most 65536.
    count: u32,
}

/// What is wrong with the text of a point, and where in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PointError {
    /// What is wrong.
    pub fault: PointFault,
    /// The bytes of the text that are wrong.
    pub range: Range<usize>,
    /// What stands there.
    pub word: String,
}

/// What can be wrong with a point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PointFault {
    /// There is nothing, or nothing in front of the first colon.
    Empty,
    /// Not a table.
    Table {
        /// The table that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// A number alone does not say which table, nor whether it counts from 0 or 1.
    BareNumber {
        /// The number, where it is an address.
        number: Option<u16>,
    },
    /// Hexadecimal, or a coil's reference: both are written so.
    HexOrCoil,
    /// References begin with 0, 1, 3 or 4.
    ReferenceTable,
    /// References count from 1 to 65536.
    Reference,
    /// Table and colon without an address.
    AddressMissing,
    /// Not a number within 0 to 65535.
    Address,
    /// Not a type.
    Type {
        /// The type that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// `str` without a length of 1 to 250.
    TextLength,
    /// `bit` without a number of 0 to 15.
    BitNumber,
    /// A byte order in the place of the type.
    OrderWithoutType,
    /// A coil or discrete input is a `bool`.
    TypeOfBit {
        /// Of this table.
        table: Table,
    },
    /// Not a byte order.
    Order {
        /// The order that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// An order of other bytes than the type has.
    OrderWidth {
        /// Of this type.
        value_type: ValueType,
    },
    /// A bit has no byte order.
    OrderOfBit,
    /// More parts than table, address, type and order.
    Extra,
    /// Not a number of at least 1.
    Count,
    /// The values reach past address 65535.
    TooFar {
        /// How many values fit.
        fit: u32,
    },
}

/// Why parts are not a [`Point`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PointPartsError {
    /// A coil or discrete input is a `bool` in the default order.
    TypeOfBit,
    /// No values.
    Count,
    /// The values reach past address 65535.
    TooFar {
        /// How many values fit.
        fit: u32,
    },
}

/// How tables are written, the canonical name first in each row.
const TABLES: [(Table, &[&str]); 4] = [
    (Table::Coils, &["coil", "c", "coils", "co"]),
    (Table::DiscreteInputs, &["discrete", "d", "discretes", "di"]),
    (Table::InputRegisters, &["input", "i", "inputs", "ir"]),
    (Table::HoldingRegisters, &["holding", "h", "holdings", "hr"]),
];

/// What other tools call our types.
const TYPE_ALIASES: [(&str, &str); 14] = [
    ("int16", "i16"),
    ("uint16", "u16"),
    ("int32", "i32"),
    ("uint32", "u32"),
    ("int64", "i64"),
    ("uint64", "u64"),
    ("int", "i16"),
    ("uint", "u16"),
    ("word", "u16"),
    ("dword", "u32"),
    ("float", "f32"),
    ("real", "f32"),
    ("double", "f64"),
    ("bcd", "bcd16"),
];

/// Every spelling of an order.
const ORDERS: [&str; 10] =
    ["ab", "ba", "abcd", "cdab", "badc", "dcba", "abcdefgh", "ghefcdab", "badcfehg", "hgfedcba"];

/// The table that a word names, in any of its spellings.
#[must_use]
pub fn table(word: &str) -> Option<Table> {
    let spelled = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(word));
    TABLES.iter().find(|(_, names)| spelled(names)).map(|(table, _)| *table)
}

/// The table that a word which names none was perhaps meant to be.
#[must_use]
pub fn nearest_table(word: &str) -> Option<&'static str> {
    nearest(word, TABLES.iter().flat_map(|(_, names)| names.first().copied()))
}

/// The type that a word which names none was perhaps meant to be.
#[must_use]
pub fn nearest_type(word: &str) -> Option<&'static str> {
    let alias = TYPE_ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(word));
    alias.map(|(_, name)| *name).or_else(|| nearest(word, ValueType::NAMED.iter().map(|(name, _)| *name)))
}

/// Decimal, or hexadecimal after `0x`: digits only.
#[must_use]
pub fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    // from_str_radix would take a sign.
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() }
}

impl Point {
    /// The first holding register.
    pub(crate) const FIRST_HOLDING: Point = Point {
        table: Table::HoldingRegisters,
        address: 0,
        value_type: ValueType::U16,
        order: Order { words_reversed: false, bytes_swapped: false },
        count: 1,
    };

    /// `count` values of a type from `address` on.
    ///
    /// # Errors
    /// A type that the table does not have, no values, or values past address 65535.
    pub fn new(
        table: Table,
        address: u16,
        value_type: ValueType,
        order: Order,
        count: u32,
    ) -> Result<Self, PointPartsError> {
        if table.is_bits() && (value_type != ValueType::Bool || order != Order::default()) {
            return Err(PointPartsError::TypeOfBit);
        }
        if count == 0 {
            return Err(PointPartsError::Count);
        }
        // One register has no words to reverse: without this, equal points would differ.
        let words_reversed = order.words_reversed && value_type.registers() > 1;
        let order = Order { words_reversed, ..order };
        let fit = (0x1_0000 - u32::from(address)) / u32::from(value_type.registers());
        if count > fit {
            return Err(PointPartsError::TooFar { fit });
        }
        Ok(Point { table, address, value_type, order, count })
    }

    /// Where it is.
    #[must_use]
    pub const fn table(&self) -> Table {
        self.table
    }

    /// Where it begins, 0-based, as on the wire.
    #[must_use]
    pub const fn address(&self) -> u16 {
        self.address
    }

    /// As what it is read.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// In which order its bytes stand.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.order
    }

    /// How many values it is, 1 to 65536.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// How many coils, inputs or registers one value takes.
    #[must_use]
    pub const fn value_width(&self) -> u16 {
        self.value_type.registers()
    }

    /// How many coils, inputs or registers all values take, 1 to 65536.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.count * u32::from(self.value_width())
    }

    /// The last address it takes.
    #[must_use]
    pub fn last(&self) -> u16 {
        // `new` made sure that this fits.
        u16::try_from(u32::from(self.address) + self.width() - 1).unwrap_or(u16::MAX)
    }

    /// Each value as a point of its own.
    pub fn each(&self) -> impl ExactSizeIterator<Item = Point> + Clone + use<> {
        let (point, width) = (*self, usize::from(self.value_width()));
        let addresses = (self.address..=self.last()).step_by(width);
        // One value is as wide as the step, so there are as many steps as values.
        addresses.map(move |address| Point { address, count: 1, ..point })
    }

    /// The values from `first` on, `count` of them; `None` when there are fewer, or `count` is 0.
    #[must_use]
    pub fn part(&self, first: u32, count: u32) -> Option<Point> {
        if count == 0 || first.checked_add(count)? > self.count {
            return None;
        }
        let offset = u16::try_from(first * u32::from(self.value_width())).ok()?;
        Some(Point { address: self.address.checked_add(offset)?, count, ..*self })
    }

    /// The reference of its first address as manuals print it: `40101`, with six digits above 9999: `410001`.
    #[must_use]
    pub fn reference(&self) -> String {
        reference(self.table, self.address)
    }
}

/// The reference of an address: see [`Point::reference`].
#[must_use]
pub fn reference(table: Table, address: u16) -> String {
    let (digit, number) = (table.reference_digit(), u32::from(address) + 1);
    if number > 9_999 { format!("{digit}{number:05}") } else { format!("{digit}{number:04}") }
}

impl fmt::Display for Point {
    /// The canonical text: what is the default is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.table, self.address)?;
        let usual = if self.table.is_bits() { ValueType::Bool } else { ValueType::U16 };
        if self.value_type != usual || self.order != Order::default() {
            write!(f, ":{}", self.value_type)?;
        }
        if self.order != Order::default() {
            write!(f, ":{}", self.order.letters(self.letters_width()))?;
        }
        if self.count != 1 { write!(f, "*{}", self.count) } else { Ok(()) }
    }
}

impl Point {
    /// Of a text, however long, the order is that of two registers.
    const fn letters_width(&self) -> u16 {
        match self.value_type {
            ValueType::Text(_) => 2,
            other => other.registers(),
        }
    }
}

/// A part of a text, with its place.
#[derive(Clone, Copy)]
struct Part<'t> {
    text: &'t str,
    start: usize,
}

impl<'t> Part<'t> {
    fn split(self, at: char) -> (Part<'t>, Option<Part<'t>>) {
        match self.text.split_once(at) {
            None => (self, None),
            Some((front, rest)) => {
                let start = self.start + front.len() + at.len_utf8();
                (Part { text: front, ..self }, Some(Part { text: rest, start }))
            }
        }
    }

    fn wrong(self, fault: PointFault) -> PointError {
        PointError { fault, range: self.start..self.start + self.text.len(), word: self.text.to_owned() }
    }
}

impl FromStr for Point {
    type Err = PointError;

    fn from_str(text: &str) -> Result<Self, PointError> {
        let start = text.len() - text.trim_start().len();
        let whole = Part { text: text.trim(), start };
        let (place, count) = whole.split('*');
        let (front, mut rest) = place.split(':');
        let (table, address) = match table(front.text) {
            Some(table) => {
                let missing = || whole.wrong(PointFault::AddressMissing);
                let (address, types) = rest.ok_or_else(missing)?.split(':');
                rest = types;
                if address.text.is_empty() {
                    return Err(missing());
                }
                let number = number(address.text).and_then(|number| u16::try_from(number).ok());
                (table, number.ok_or_else(|| address.wrong(PointFault::Address))?)
            }
            None => parse_reference(front)?,
        };
        let (mut value_type, mut order) = (ValueType::U16, Order::default());
        if table.is_bits() {
            value_type = ValueType::Bool;
        }
        if let Some(types) = rest {
            let (word, orders) = types.split(':');
            value_type = parse_type(word)?;
            if table.is_bits() && value_type != ValueType::Bool {
                return Err(word.wrong(PointFault::TypeOfBit { table }));
            }
            if let Some(word) = orders {
                let (word, extra) = word.split(':');
                if let Some(extra) = extra {
                    return Err(extra.wrong(PointFault::Extra));
                }
                order = parse_order(word, table, value_type)?;
            }
        }
        let fault = |error| match error {
            PointPartsError::TypeOfBit => PointFault::TypeOfBit { table },
            PointPartsError::Count => PointFault::Count,
            PointPartsError::TooFar { fit } => PointFault::TooFar { fit },
        };
        let many = match count {
            Some(count) => number(count.text).ok_or_else(|| count.wrong(PointFault::Count))?,
            None => 1,
        };
        let blame = count.unwrap_or(place);
        Point::new(table, address, value_type, order, many).map_err(|error| blame.wrong(fault(error)))
    }
}

/// `40101`, `400101` or `4x101`; the errors of everything that does not begin with a table, too.
fn parse_reference(front: Part<'_>) -> Result<(Table, u16), PointError> {
    let text = front.text;
    if text.is_empty() {
        return Err(front.wrong(PointFault::Empty));
    }
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (digit, rest) = match text.split_once(['x', 'X']) {
        Some(("0", rest)) if number(text).is_some() || plain(rest) => {
            return Err(front.wrong(PointFault::HexOrCoil));
        }
        Some((digit, rest)) if digit.len() == 1 && plain(digit) && plain(rest) => (digit, rest),
        None if plain(text) && (text.len() == 5 || text.len() == 6) => text.split_at(1),
        None if plain(text) => return Err(front.wrong(PointFault::BareNumber { number: text.parse().ok() })),
        _ => return Err(front.wrong(PointFault::Table { nearest: nearest_table(text) })),
    };
    let table = Table::ALL.into_iter().find(|table| digit.parse() == Ok(table.reference_digit()));
    let table = table.ok_or_else(|| front.wrong(PointFault::ReferenceTable))?;
    let number: Option<u32> = rest.parse().ok();
    let address = number.and_then(|number| u16::try_from(number.checked_sub(1)?).ok());
    Ok((table, address.ok_or_else(|| front.wrong(PointFault::Reference))?))
}

fn parse_type(word: Part<'_>) -> Result<ValueType, PointError> {
    word.text.parse().map_err(|unknown| {
        word.wrong(match unknown {
            UnknownType::Name if word.text.parse::<Order>().is_ok() => PointFault::OrderWithoutType,
            UnknownType::Name => PointFault::Type { nearest: nearest_type(word.text) },
            UnknownType::TextLength => PointFault::TextLength,
            UnknownType::BitNumber => PointFault::BitNumber,
        })
    })
}

fn parse_order(word: Part<'_>, table: Table, value_type: ValueType) -> Result<Order, PointError> {
    let unknown = |_| PointFault::Order { nearest: nearest(word.text, ORDERS) };
    let order = word.text.parse::<Order>().map_err(|e| word.wrong(unknown(e)))?;
    if table.is_bits() {
        return Err(word.wrong(PointFault::OrderOfBit));
    }
    if !order_widths(value_type).contains(&word.text.len()) {
        return Err(word.wrong(PointFault::OrderWidth { value_type }));
    }
    Ok(order)
}

/// How many letters an order of this type may have.
fn order_widths(value_type: ValueType) -> &'static [usize] {
    match value_type {
        ValueType::Text(_) => &[2, 4],
        other => match other.registers() {
            1 => &[2],
            2 => &[4],
            _ => &[4, 8],
        },
    }
}

impl fmt::Display for PointError {
    /// What is wrong, and what to try.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = &self.word;
        let meant = |f: &mut fmt::Formatter<'_>, nearest: &Option<&str>, all: &str| match nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => write!(f, "; {all}"),
        };
        match &self.fault {
            PointFault::Empty => f.write_str("a point is table:address, as holding:100"),
            PointFault::Table { nearest } => {
                write!(f, "\"{word}\" is not a table")?;
                meant(f, nearest, "write coil, discrete, input or holding, as in holding:100")
            }
            PointFault::BareNumber { number } => {
                write!(f, "\"{word}\" names no table")?;
                match number {
                    Some(number) => {
                        let reference = reference(Table::HoldingRegisters, *number);
                        write!(f, "; write holding:{number}, or {reference} as manuals count")
                    }
                    None => f.write_str("; write holding:100, or 40101 as manuals count"),
                }
            }
            PointFault::HexOrCoil => {
                write!(
                    f,
                    "\"{word}\" may be a hexadecimal address or a coil's reference; write the table, as "
                )?;
                f.write_str("holding:0x64 or coil:100")
            }
            PointFault::ReferenceTable => {
                write!(f, "\"{word}\" names no table; references begin with 0 (coil), 1 (discrete), ")?;
                f.write_str("3 (input) or 4 (holding)")
            }
            PointFault::Reference => {
                write!(f, "\"{word}\" is no reference; they count from 1 to 65536 after the table's digit")
            }
            PointFault::AddressMissing => {
                write!(f, "\"{word}\" has no address; write it behind a colon, as holding:100")
            }
            PointFault::Address => {
                write!(f, "\"{word}\" is not an address; they are 0 to 65535, or 0x0 to 0xFFFF")
            }
            PointFault::Type { nearest } => {
                write!(f, "\"{word}\" is not a type")?;
                meant(
                    f,
                    nearest,
                    "there are bool, u16, i16, u32, i32, u64, i64, f32, f64, bcd16, bcd32, strN and bitK",
                )
            }
            PointFault::TextLength => {
                write!(f, "\"{word}\" needs a length of 1 to 250 bytes, as str8")
            }
            PointFault::BitNumber => write!(f, "\"{word}\" needs a number of 0 to 15, as bit3"),
            PointFault::OrderWithoutType => {
                write!(f, "\"{word}\" is a byte order; write the type before it, as f32:{word}")
            }
            PointFault::TypeOfBit { table } => {
                write!(f, "\"{word}\" does not fit: one {table} is one bit; leave the type out")
            }
            PointFault::Order { nearest } => {
                write!(f, "\"{word}\" is not a byte order")?;
                meant(f, nearest, "there are abcd, cdab, badc and dcba")
            }
            PointFault::OrderWidth { value_type } => {
                write!(f, "\"{word}\" does not fit {value_type}; write ")?;
                f.write_str(match value_type.registers() {
                    1 => "ab or ba",
                    4 => "abcdefgh, ghefcdab, badcfehg or hgfedcba",
                    _ => "abcd, cdab, badc or dcba",
                })
            }
            PointFault::OrderOfBit => {
                write!(f, "\"{word}\" does not fit: a bit has no byte order; leave it out")
            }
            PointFault::Extra => {
                write!(f, "\"{word}\" is one part too many; a point is table:address:type:order*count")
            }
            PointFault::Count => write!(f, "\"{word}\" is not a count; write 1 or more, as holding:100*4"),
            PointFault::TooFar { fit: 0 } => {
                write!(f, "\"{word}\" reaches past address 65535; begin at a lower address")
            }
            PointFault::TooFar { fit } => {
                write!(f, "\"{word}\" reaches past address 65535; at most *{fit} fit there")
            }
        }
    }
}

impl core::error::Error for PointError {}

impl fmt::Display for PointPartsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PointPartsError::TypeOfBit => f.write_str("a coil or discrete input is one bit"),
            PointPartsError::Count => f.write_str("a point is at least one value"),
            PointPartsError::TooFar { fit } => write!(f, "only {fit} values fit below address 65536"),
        }
    }
}

impl core::error::Error for PointPartsError {}

#[cfg(test)]
pub(crate) use tests::any_point;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, canonical: &str, reference: &str) {
        let point: Point = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(
            (point.to_string().as_str(), point.reference().as_str()),
            (canonical, reference),
            "{text}"
        );
    }

    #[test]
    fn notations() {
        check("holding:100", "holding:100", "40101");
        check("h:100", "holding:100", "40101");
        check("H:0x64:U16", "holding:100", "40101");
        check("h:100:f32", "holding:100:f32", "40101");
        check("i:7:u32:cdab", "input:7:u32:cdab", "30008");
        check("i:7:u32:abcd", "input:7:u32", "30008");
        check("h:7:f64:cdab", "holding:7:f64:ghefcdab", "40008");
        check("h:7:f64:hgfedcba*2", "holding:7:f64:hgfedcba*2", "40008");
        check("h:7:u16:ba", "holding:7:u16:ba", "40008");
        check("h:7:bit3:ba", "holding:7:bit3:ba", "40008");
        check("c:0*16", "coil:0*16", "00001");
        check("coils:0:bool", "coil:0", "00001");
        check("c:0*65536", "coil:0*65536", "00001");
        check("d:3", "discrete:3", "10004");
        check("h:200:str8", "holding:200:str8", "40201");
        check("h:200:str8:ba", "holding:200:str8:badc", "40201");
        check("h:200:str8:dcba*3", "holding:200:str8:dcba*3", "40201");
        check("h:5:bool", "holding:5:bool", "40006");
        check("h:65535", "holding:65535", "465536");
        check("h:9998", "holding:9998", "49999");
        check("h:9999", "holding:9999", "410000");
        check("40101", "holding:100", "40101");
        check("40101:f32:cdab*2", "holding:100:f32:cdab*2", "40101");
        check("400101", "holding:100", "40101");
        check("465536", "holding:65535", "465536");
        check("30008", "input:7", "30008");
        check("10001", "discrete:0", "10001");
        check("00001", "coil:0", "00001");
        check("4x101", "holding:100", "40101");
        check("4x0101:f32", "holding:100:f32", "40101");
        check("3X8", "input:7", "30008");
        check(" h:1 ", "holding:1", "40002");
        // In front of a colon stands a table, so that this is the address on the wire.
        check("h:40101", "holding:40101", "440102");
    }

    #[track_caller]
    fn refuse(text: &str, range: Range<usize>, message: &str) {
        let error = text.parse::<Point>().expect_err(text);
        assert_eq!((error.range.clone(), error.to_string().as_str()), (range, message), "{text:?}");
    }

    #[test]
    fn broken_points_say_where_and_what_to_try() {
        refuse("", 0..0, "a point is table:address, as holding:100");
        refuse(":100", 0..0, "a point is table:address, as holding:100");
        refuse("holdign:100", 0..7, "\"holdign\" is not a table; did you mean holding?");
        refuse(
            "x:100",
            0..1,
            "\"x\" is not a table; write coil, discrete, input or holding, as in holding:100",
        );
        refuse("100", 0..3, "\"100\" names no table; write holding:100, or 40101 as manuals count");
        refuse("100:f32", 0..3, "\"100\" names no table; write holding:100, or 40101 as manuals count");
        refuse("9999999", 0..7, "\"9999999\" names no table; write holding:100, or 40101 as manuals count");
        refuse(
            "0x64",
            0..4,
            "\"0x64\" may be a hexadecimal address or a coil's reference; write the table, as holding:0x64 or coil:100",
        );
        refuse(
            "20001",
            0..5,
            "\"20001\" names no table; references begin with 0 (coil), 1 (discrete), 3 (input) or 4 (holding)",
        );
        refuse(
            "40000",
            0..5,
            "\"40000\" is no reference; they count from 1 to 65536 after the table's digit",
        );
        refuse(
            "465537",
            0..6,
            "\"465537\" is no reference; they count from 1 to 65536 after the table's digit",
        );
        refuse("4x0", 0..3, "\"4x0\" is no reference; they count from 1 to 65536 after the table's digit");
        refuse("holding", 0..7, "\"holding\" has no address; write it behind a colon, as holding:100");
        refuse("h:", 0..2, "\"h:\" has no address; write it behind a colon, as holding:100");
        refuse("h:65536", 2..7, "\"65536\" is not an address; they are 0 to 65535, or 0x0 to 0xFFFF");
        refuse("h:-1", 2..4, "\"-1\" is not an address; they are 0 to 65535, or 0x0 to 0xFFFF");
        refuse("h:+1", 2..4, "\"+1\" is not an address; they are 0 to 65535, or 0x0 to 0xFFFF");
        refuse("h:1:f31", 4..7, "\"f31\" is not a type; did you mean f32?");
        refuse("h:1:float", 4..9, "\"float\" is not a type; did you mean f32?");
        refuse(
            "h:1:banana",
            4..10,
            "\"banana\" is not a type; there are bool, u16, i16, u32, i32, u64, i64, f32, f64, bcd16, bcd32, strN and bitK",
        );
        refuse("h:1:str", 4..7, "\"str\" needs a length of 1 to 250 bytes, as str8");
        refuse("h:1:str251", 4..10, "\"str251\" needs a length of 1 to 250 bytes, as str8");
        refuse("h:1:bit16", 4..9, "\"bit16\" needs a number of 0 to 15, as bit3");
        refuse("h:1:cdab", 4..8, "\"cdab\" is a byte order; write the type before it, as f32:cdab");
        refuse("c:1:u16", 4..7, "\"u16\" does not fit: one coil is one bit; leave the type out");
        refuse("h:1:f32:abdc", 8..12, "\"abdc\" is not a byte order; did you mean abcd?");
        refuse("h:1:f32:big", 8..11, "\"big\" is not a byte order; there are abcd, cdab, badc and dcba");
        refuse("h:1:f32:ba", 8..10, "\"ba\" does not fit f32; write abcd, cdab, badc or dcba");
        refuse("h:1:u16:cdab", 8..12, "\"cdab\" does not fit u16; write ab or ba");
        refuse(
            "h:1:f64:ab",
            8..10,
            "\"ab\" does not fit f64; write abcdefgh, ghefcdab, badcfehg or hgfedcba",
        );
        refuse("c:1:bool:ab", 9..11, "\"ab\" does not fit: a bit has no byte order; leave it out");
        refuse(
            "h:1:f32:abcd:x",
            13..14,
            "\"x\" is one part too many; a point is table:address:type:order*count",
        );
        refuse("h:1*0", 4..5, "\"0\" is not a count; write 1 or more, as holding:100*4");
        refuse("h:1*", 4..4, "\"\" is not a count; write 1 or more, as holding:100*4");
        refuse("h:1*2:f32", 4..9, "\"2:f32\" is not a count; write 1 or more, as holding:100*4");
        refuse("h:65535:f32", 0..11, "\"h:65535:f32\" reaches past address 65535; begin at a lower address");
        refuse("h:65534:f32*2", 12..13, "\"2\" reaches past address 65535; at most *1 fit there");
        refuse("c:1*65536", 4..9, "\"65536\" reaches past address 65535; at most *65535 fit there");
        refuse(
            "ä:1",
            0..2,
            "\"ä\" is not a table; write coil, discrete, input or holding, as in holding:100",
        );
    }

    #[test]
    fn parts_and_each() {
        let point: Point = "h:100:f32*3".parse().unwrap();
        let each: Vec<String> = point.each().map(|point| point.to_string()).collect();
        assert_eq!(each, ["holding:100:f32", "holding:102:f32", "holding:104:f32"]);
        assert_eq!(point.last(), 105);
        assert_eq!(point.part(1, 2).unwrap().to_string(), "holding:102:f32*2");
        assert_eq!(point.part(1, 3), None);
        assert_eq!(point.part(0, 0), None);
        let all: Point = "c:0*65536".parse().unwrap();
        assert_eq!((all.last(), all.each().len()), (0xFFFF, 65_536));
    }

    /// Any point at all, for the tests of this crate.
    pub(crate) fn any_point() -> impl Strategy<Value = Point> {
        let types = prop_oneof![
            prop::sample::select(ValueType::NAMED.map(|(_, value_type)| value_type).to_vec()),
            (1..=250u8).prop_map(|n| format!("str{n}").parse().unwrap()),
            (0..16u8).prop_map(|n| format!("bit{n}").parse().unwrap()),
        ];
        let table = prop::sample::select(Table::ALL.to_vec());
        let order = prop::sample::select(Order::ALL.to_vec());
        (table, any::<u16>(), types, order, 1..200u32).prop_filter_map("reaches too far", |parts| {
            let (table, address, value_type, order, count) = parts;
            if table.is_bits() {
                return Point::new(table, address, ValueType::Bool, Order::default(), count).ok();
            }
            Point::new(table, address, value_type, order, count).ok()
        })
    }

    proptest! {
        #[test]
        fn parse_undoes_display(point in any_point()) {
            prop_assert_eq!(point.to_string().parse(), Ok(point));
        }

        #[test]
        fn reference_is_the_same_place(point in any_point()) {
            let same: Point = point.reference().parse().unwrap();
            prop_assert_eq!((same.table(), same.address()), (point.table(), point.address()));
        }

        #[test]
        fn no_text_panics(text: String) {
            if let Err(error) = text.parse::<Point>() {
                prop_assert_eq!(text.get(error.range.clone()), Some(error.word.as_str()));
                prop_assert!(!error.to_string().is_empty());
            }
        }

        #[test]
        fn nearly_points_do_not_panic(text in "[hcdi0-9x:*bitsrfu]{0,12}") {
            if let Err(error) = text.parse::<Point>() {
                prop_assert_eq!(text.get(error.range.clone()), Some(error.word.as_str()));
            }
        }
    }
}
