//! Register maps: a CSV file that says what a device's registers are called, mean and hold.
//!
//! ```text
//! table,address,type,order,count,value,name,unit,access
//! # only table and address must be there; the columns stand in any order
//! holding,100,f32,cdab,,21.5,supply temperature,°C,
//! holding,0x6E,u16,,3,"1,2,3",speeds,,ro
//! coil,0,,,16,,,,
//! ```
//!
//! An empty field is the usual: `bool` for bits and `u16` for registers, the order of the specification, one
//! value, zero, no name, no unit, and `rw` where the protocol has functions to write. One value for a count of
//! many is the value of each. Lines that are blank or begin with `#` are skipped; fields may be quoted, and a
//! quoted field may hold commas and line breaks. A file is read to its end, so that all its errors are told at
//! once.

use core::fmt;
use core::fmt::Write as _;

use port502_wire::Table;
use port502_wire::value::{Order, UnknownType, ValueType};

use crate::excerpt::excerpt;
use crate::point::{nearest_table, nearest_type, number, table};
use crate::{Cells, Point, nearest};

/// What a device has: points that do not overlap, by table and address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegisterMap {
    entries: Vec<Entry>,
}

/// One row of a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where it is, and as what it is read.
    pub point: Point,
    /// What it holds at first; as long as the point is wide.
    pub initial: Cells,
    /// What it is called, uniquely in the map.
    pub name: Option<String>,
    /// The unit of its values.
    pub unit: Option<String>,
    /// Whether clients may write it.
    pub access: Access,
}

/// Whether clients may write.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// A write is answered with an exception.
    ReadOnly,
    /// A write is carried out.
    ReadWrite,
}

/// Addresses that follow each other, and what they hold at first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The table.
    pub table: Table,
    /// The first address.
    pub start: u16,
    /// What is there, first to last.
    pub cells: Cells,
}

/// One thing that is wrong with a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub fault: MapFault,
    /// What stands there.
    pub text: String,
}

/// What can be wrong with a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MapFault {
    /// There is no header, or nothing but it.
    Empty,
    /// The first line has no column that is known, nor any that was perhaps meant: it is no header.
    Header,
    /// The header has no comma, and another sign between its columns.
    Separator {
        /// The sign.
        found: char,
    },
    /// The header lacks `table` or `address`.
    ColumnMissing {
        /// The column.
        column: &'static str,
    },
    /// The header has a column that is not known.
    Column {
        /// The column that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// The header has a column twice.
    ColumnTwice,
    /// A row has more fields than the header.
    ExtraField,
    /// A quote is not closed.
    Quote,
    /// Something follows a closing quote.
    AfterQuote,
    /// Not a table.
    Table {
        /// The table that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// Not 0 to 65535.
    Address,
    /// Not a type.
    Type {
        /// The type that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// `str` without a length of 1 to 250, or `bit` without a number of 0 to 15.
    TypeNumber(UnknownType),
    /// A type other than `bool`, or an order, for a coil or discrete input.
    TypeOfBit,
    /// Not a byte order.
    Order,
    /// Not 1 or more.
    Count,
    /// The values reach past address 65535.
    TooFar {
        /// How many values fit.
        fit: u32,
    },
    /// Not what the point can hold: the message of the [`ValueError`](crate::ValueError).
    Value {
        /// Why.
        message: String,
    },
    /// A name that another row has.
    NameTwice {
        /// The line of the other.
        line: usize,
    },
    /// Neither `ro` nor `rw`.
    Access,
    /// `rw` for a table that the protocol cannot write.
    NotWritable {
        /// The table.
        table: Table,
    },
    /// The same place as another row.
    Twice {
        /// The line of the other.
        line: usize,
    },
    /// Addresses of another row.
    Overlap {
        /// The line of the other.
        line: usize,
        /// The other.
        other: Point,
    },
}

/// The columns that there may be, as they are written back.
const COLUMNS: [&str; 9] = ["table", "address", "type", "order", "count", "value", "name", "unit", "access"];

impl RegisterMap {
    /// Reads a map. Bytes that are not UTF-8 are for the caller to refuse.
    ///
    /// # Errors
    /// All that is wrong, in the order of the lines.
    ///
    /// ```
    /// use port502_site::RegisterMap;
    ///
    /// let map = RegisterMap::parse("table,address,type,name\nholding,100,f32,level\n").expect("a good map");
    /// assert_eq!(map.find("level").map(|entry| entry.point.to_string()).as_deref(), Some("holding:100:f32"));
    ///
    /// let errors = RegisterMap::parse("table,address\nholdign,1\ncoil,70000\n").expect_err("a bad map");
    /// assert_eq!(errors[0].to_string(), "2:1: \"holdign\" is not a table; did you mean holding?");
    /// assert_eq!(errors[1].to_string(), "3:6: \"70000\" is not an address; they are 0 to 65535, or 0x0 to 0xFFFF");
    /// ```
    pub fn parse(text: &str) -> Result<Self, Vec<MapError>> {
        let mut errors = Vec::new();
        let mut records = Records::new(text, &mut errors).collect::<Vec<_>>().into_iter();
        let Some(header) = records.next() else {
            if errors.is_empty() {
                errors.push(MapError { line: 1, column: 1, fault: MapFault::Empty, text: String::new() });
            }
            return Err(errors);
        };
        let columns = header_columns(&header, &mut errors);
        let mut rows: Vec<Row> = Vec::new();
        let known = errors.is_empty();
        for record in records.filter(|_| known) {
            rows.extend(Row::parse(&record, &columns, &mut errors));
        }
        if rows.is_empty() && errors.is_empty() {
            errors.push(header.wrong(MapFault::Empty, ""));
        }
        conflicts(&mut rows, &mut errors);
        if errors.is_empty() {
            Ok(RegisterMap { entries: rows.into_iter().map(|row| row.entry).collect() })
        } else {
            errors.sort_by_key(|error| (error.line, error.column));
            Err(errors)
        }
    }

    /// The rows, by table and address.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The row with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name.as_deref() == Some(name))
    }

    /// What each run of addresses holds at first, by table and address. Between two runs at least one address
    /// is missing.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for entry in &self.entries {
            let (table, start) = (entry.point.table(), entry.point.address());
            let last = blocks.last_mut().filter(|block| block.table == table);
            let offset = last.and_then(|block| Some((usize::from(start.checked_sub(block.start)?), block)));
            match offset {
                Some((offset, block)) if offset <= block.cells.len() => {
                    overlay(&mut block.cells, offset, &entry.initial)
                }
                _ => blocks.push(Block { table, start, cells: entry.initial.clone() }),
            }
        }
        blocks
    }

    /// The map as CSV, which reads back as the same map.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut csv = COLUMNS.join(",");
        csv.push('\n');
        for entry in &self.entries {
            let point = &entry.point;
            let text = |text: &Option<String>| text.as_deref().map_or_else(String::new, quoted);
            let usual = if point.table().is_bits() { ValueType::Bool } else { ValueType::U16 };
            let or_empty = |unusual: bool, text: String| if unusual { text } else { String::new() };
            // Writing to a string does not fail.
            let _ = writeln!(
                csv,
                "{},{},{},{},{},{},{},{},{}",
                point.table(),
                point.address(),
                or_empty(point.value_type() != usual, point.value_type().to_string()),
                or_empty(point.order() != Order::default(), point.order().to_string()),
                or_empty(point.count() != 1, point.count().to_string()),
                or_empty(entry.initial != Cells::zeros(point), quoted(&value_text(entry))),
                text(&entry.name),
                text(&entry.unit),
                or_empty(entry.access != usual_access(point.table()), entry.access.to_string()),
            );
        }
        csv
    }
}

/// The initial values as `parse_values` reads them.
fn value_text(entry: &Entry) -> String {
    let values = entry.point.decode(&entry.initial);
    // They came from text, so that each has one.
    let texts: Vec<String> = values.into_iter().flatten().map(|value| value.to_string()).collect();
    texts.join(",")
}

fn quoted(field: &str) -> String {
    let plain = field.trim() == field && !field.starts_with('#') && !field.contains([',', '"', '\n', '\r']);
    if plain { field.to_owned() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
}

fn usual_access(table: Table) -> Access {
    if table.is_writable() { Access::ReadWrite } else { Access::ReadOnly }
}

/// Puts `new` at `offset`. Where both are, they are bits of the same register: both hold.
fn overlay(cells: &mut Cells, offset: usize, new: &Cells) {
    match (cells, new) {
        (Cells::Bits(old), Cells::Bits(new)) => {
            old.resize(old.len().max(offset + new.len()), false);
            old.iter_mut().skip(offset).zip(new).for_each(|(old, new)| *old |= new);
        }
        (Cells::Registers(old), Cells::Registers(new)) => {
            old.resize(old.len().max(offset + new.len()), 0);
            old.iter_mut().skip(offset).zip(new).for_each(|(old, new)| *old |= new);
        }
        _ => {} // one table has one kind
    }
}

/// Which field of a record is which column.
fn header_columns(header: &Record, errors: &mut Vec<MapError>) -> [Option<usize>; COLUMNS.len()] {
    let mut columns = [None; COLUMNS.len()];
    let text = || header.fields.iter().map(|field| field.text.as_str()).collect::<Vec<_>>().join(",");
    // What a spreadsheet saves where the comma is the decimal sign, or as text.
    if let [only] = header.fields.as_slice()
        && let Some(found) = [';', '\t'].into_iter().find(|sign| only.text.contains(*sign))
        && only.text.split(found).any(|name| nearest(name.trim(), COLUMNS).is_some())
    {
        errors.push(only.wrong(MapFault::Separator { found }));
        return columns;
    }
    if header.fields.iter().all(|field| nearest(&field.text, COLUMNS).is_none()) {
        errors.push(header.wrong(MapFault::Header, &text()));
        return columns;
    }
    for (index, field) in header.fields.iter().enumerate() {
        let spelled = |name: &&str| name.eq_ignore_ascii_case(&field.text);
        match COLUMNS.iter().position(spelled).and_then(|at| columns.get_mut(at)) {
            Some(place @ None) => *place = Some(index),
            Some(_) => errors.push(field.wrong(MapFault::ColumnTwice)),
            None => errors.push(field.wrong(MapFault::Column { nearest: nearest(&field.text, COLUMNS) })),
        }
    }
    for (column, place) in COLUMNS.iter().zip(columns).take(2) {
        if place.is_none() {
            errors.push(header.wrong(MapFault::ColumnMissing { column }, &text()));
        }
    }
    columns
}

/// An entry, and where it stands.
struct Row {
    entry: Entry,
    line: usize,
    column: usize,
    name_column: usize,
}

impl Row {
    /// Takes what can be taken, so that one row can have several errors.
    fn parse(
        record: &Record,
        columns: &[Option<usize>; COLUMNS.len()],
        errors: &mut Vec<MapError>,
    ) -> Option<Row> {
        let before = errors.len();
        let known = columns.iter().flatten().count();
        if let Some(extra) = record.fields.get(known) {
            errors.push(extra.wrong(MapFault::ExtraField));
        }
        // A field that is missing is empty, and stands at the end of the line.
        let end = Field { text: String::new(), line: record.line, column: record.end };
        let [table_f, address_f, type_f, order_f, count_f, value_f, name_f, unit_f, access_f] =
            columns.map(|index| index.and_then(|index| record.fields.get(index)).unwrap_or(&end));

        let table = table(&table_f.text);
        if table.is_none() {
            errors.push(table_f.wrong(MapFault::Table { nearest: nearest_table(&table_f.text) }));
        }
        let address = number(&address_f.text).and_then(|number| u16::try_from(number).ok());
        if address.is_none() {
            errors.push(address_f.wrong(MapFault::Address));
        }
        let value_type = match type_f.text.as_str() {
            "" => table.map(|table| if table.is_bits() { ValueType::Bool } else { ValueType::U16 }),
            word => word
                .parse()
                .map_err(|unknown| {
                    errors.push(type_f.wrong(match unknown {
                        UnknownType::Name => MapFault::Type { nearest: nearest_type(word) },
                        number => MapFault::TypeNumber(number),
                    }));
                })
                .ok(),
        };
        let order = match order_f.text.as_str() {
            "" => Some(Order::default()),
            word => word.parse().map_err(|_| errors.push(order_f.wrong(MapFault::Order))).ok(),
        };
        let count = match count_f.text.as_str() {
            "" => Some(1),
            word => number(word).filter(|count| *count != 0),
        };
        if count.is_none() {
            errors.push(count_f.wrong(MapFault::Count));
        }
        let access = match (access_f.text.to_ascii_lowercase().as_str(), table) {
            ("", table) => table.map(usual_access),
            ("ro", _) => Some(Access::ReadOnly),
            ("rw", Some(table)) if !table.is_writable() => {
                errors.push(access_f.wrong(MapFault::NotWritable { table }));
                None
            }
            ("rw", _) => Some(Access::ReadWrite),
            _ => {
                errors.push(access_f.wrong(MapFault::Access));
                None
            }
        };
        let (table, address, value_type) = (table?, address?, value_type?);
        if table.is_bits() && value_type != ValueType::Bool {
            errors.push(type_f.wrong(MapFault::TypeOfBit));
            return None;
        }
        if table.is_bits() && order? != Order::default() {
            errors.push(order_f.wrong(MapFault::TypeOfBit));
            return None;
        }
        let point = match Point::new(table, address, value_type, order?, count?) {
            Ok(point) => point,
            Err(error) => {
                let blame = if count_f.text.is_empty() { address_f } else { count_f };
                let fit = if let crate::point::PointPartsError::TooFar { fit } = error { fit } else { 0 };
                errors.push(blame.wrong(MapFault::TooFar { fit }));
                return None;
            }
        };
        let initial = parse_initial(&point, value_f, errors);
        let some = |field: &Field| (!field.text.is_empty()).then(|| field.text.clone());
        let entry =
            Entry { point, initial: initial?, name: some(name_f), unit: some(unit_f), access: access? };
        let row = Row { entry, line: record.line, column: table_f.column, name_column: name_f.column };
        (errors.len() == before).then_some(row)
    }
}

fn parse_initial(point: &Point, field: &Field, errors: &mut Vec<MapError>) -> Option<Cells> {
    if field.text.is_empty() {
        return Some(Cells::zeros(point));
    }
    // One value for many is the value of each; a comma alone separates two empty texts.
    let repeated = if point.count() > 1 && !field.text.contains(',') {
        let one = point.part(0, 1)?;
        one.parse_values(&field.text).map(|cells| repeat(&cells, point.count()))
    } else {
        point.parse_values(&field.text)
    };
    let wrong = |error: crate::ValueError| field.wrong(MapFault::Value { message: error.to_string() });
    repeated.map_err(|error| errors.push(wrong(error))).ok()
}

fn repeat(cells: &Cells, count: u32) -> Cells {
    let count = usize::try_from(count).unwrap_or_default();
    match cells {
        Cells::Bits(bits) => Cells::Bits(bits.repeat(count)),
        Cells::Registers(registers) => Cells::Registers(registers.repeat(count)),
    }
}

/// Sorts the rows, and finds those that say different things of one place, or the same thing of two.
fn conflicts(rows: &mut [Row], errors: &mut Vec<MapError>) {
    let mut names: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    for row in rows.iter() {
        let Some(name) = row.entry.name.as_deref() else { continue };
        if let Some(line) = names.get(name).copied() {
            let fault = MapFault::NameTwice { line };
            errors.push(MapError { line: row.line, column: row.name_column, fault, text: name.to_owned() });
        } else {
            names.insert(name, row.line);
        }
    }
    rows.sort_by_key(|row| {
        let point = &row.entry.point;
        let bit = if let ValueType::Bit(bit) = point.value_type() { bit.get() } else { 0 };
        (point.table(), point.address(), bit, point.width(), row.line)
    });
    // Those in front that a row may still reach into.
    let mut open: Vec<&Row> = Vec::new();
    for row in rows.iter() {
        let point = &row.entry.point;
        open.retain(|other| {
            other.entry.point.table() == point.table() && other.entry.point.last() >= point.address()
        });
        if let Some(other) = open.iter().find(|other| !may_share(&other.entry.point, point)) {
            // The later line is to blame, whatever the addresses.
            let (first, blamed) = if other.line < row.line { (*other, row) } else { (row, *other) };
            let line = first.line;
            let fault = if first.entry.point == blamed.entry.point {
                MapFault::Twice { line }
            } else {
                MapFault::Overlap { line, other: first.entry.point }
            };
            let text = blamed.entry.point.to_string();
            errors.push(MapError { line: blamed.line, column: blamed.column, fault, text });
        }
        open.push(row);
    }
}

/// Different bits of a register may each have a row.
fn may_share(a: &Point, b: &Point) -> bool {
    match (a.value_type(), b.value_type()) {
        (ValueType::Bit(x), ValueType::Bit(y)) => x != y && a.order() == b.order(),
        _ => false,
    }
}

/// One field, without its quotes, and where it begins.
struct Field {
    text: String,
    line: usize,
    column: usize,
}

impl Field {
    fn wrong(&self, fault: MapFault) -> MapError {
        MapError { line: self.line, column: self.column, fault, text: self.text.clone() }
    }
}

/// The fields of a line, or of several where a quoted field has line breaks.
struct Record {
    fields: Vec<Field>,
    line: usize,
    /// The column behind the last field.
    end: usize,
}

impl Record {
    fn wrong(&self, fault: MapFault, text: &str) -> MapError {
        MapError { line: self.line, column: 1, fault, text: text.to_owned() }
    }
}

/// Finds records in a text; those whose quotes are wrong become errors.
struct Records<'t, 'e> {
    rest: core::iter::Peekable<core::str::Chars<'t>>,
    line: usize,
    column: usize,
    errors: &'e mut Vec<MapError>,
}

impl<'t, 'e> Records<'t, 'e> {
    fn new(text: &'t str, errors: &'e mut Vec<MapError>) -> Self {
        // Spreadsheets write a byte order mark.
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        Records { rest: text.chars().peekable(), line: 1, column: 1, errors }
    }

    /// The next character; all three kinds of line end are `\n`.
    fn take(&mut self) -> Option<char> {
        let next = match self.rest.next()? {
            '\r' => {
                self.rest.next_if_eq(&'\n');
                '\n'
            }
            other => other,
        };
        if next == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(next)
    }

    fn at_end_of_line(&mut self) -> bool {
        matches!(self.rest.peek(), None | Some('\n' | '\r'))
    }

    fn skip_blanks(&mut self) {
        while matches!(self.rest.peek(), Some(' ' | '\t')) {
            self.take();
        }
    }

    fn skip_line(&mut self) {
        while !self.at_end_of_line() {
            self.take();
        }
        self.take();
    }

    /// The field that begins here; `None` when its quotes are wrong.
    fn field(&mut self) -> Option<Field> {
        self.skip_blanks();
        let (line, column) = (self.line, self.column);
        let mut text = String::new();
        if self.rest.peek() != Some(&'"') {
            while !self.at_end_of_line() && self.rest.peek() != Some(&',') {
                text.extend(self.take());
            }
            text.truncate(text.trim_end().len());
            return Some(Field { text, line, column });
        }
        self.take();
        loop {
            match self.take() {
                None => {
                    self.errors.push(MapError { line, column, fault: MapFault::Quote, text });
                    return None;
                }
                Some('"') if self.rest.peek() == Some(&'"') => text.extend(self.take()),
                Some('"') => break,
                Some(other) => text.push(other),
            }
        }
        self.skip_blanks();
        if self.at_end_of_line() || self.rest.peek() == Some(&',') {
            return Some(Field { text, line, column });
        }
        let (line, column) = (self.line, self.column);
        let mut text = String::new();
        while !self.at_end_of_line() {
            text.extend(self.take());
        }
        self.errors.push(MapError { line, column, fault: MapFault::AfterQuote, text });
        None
    }
}

impl Iterator for Records<'_, '_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        'lines: loop {
            self.skip_blanks();
            match self.rest.peek()? {
                '#' | '\n' | '\r' => {
                    self.skip_line();
                    continue;
                }
                _ => {}
            }
            let line = self.line;
            let mut fields = Vec::new();
            loop {
                match self.field() {
                    Some(field) => fields.push(field),
                    None => {
                        self.skip_line();
                        continue 'lines;
                    }
                }
                if self.rest.peek() != Some(&',') {
                    break;
                }
                self.take();
            }
            let end = self.column;
            self.skip_line();
            // A spreadsheet writes its empty rows as commas.
            if fields.iter().all(|field| field.text.is_empty()) {
                continue;
            }
            return Some(Record { fields, line, end });
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        })
    }
}

impl fmt::Display for MapError {
    /// `line:column: what is wrong; what to try`, to be put behind the name of the file and a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = excerpt(&self.text);
        let meant = |f: &mut fmt::Formatter<'_>, nearest: &Option<&str>, all: &str| match nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => write!(f, "; {all}"),
        };
        write!(f, "{}:{}: ", self.line, self.column)?;
        match &self.fault {
            MapFault::Empty => f.write_str(
                "the map is empty; it begins with the line table,address and has a row for each point",
            ),
            MapFault::Header => {
                write!(f, "\"{text}\" names no column; the first line of a map does, as table,address,type")
            }
            MapFault::Separator { found } => {
                let found = if *found == ';' { "semicolons" } else { "tabs" };
                write!(f, "the columns are separated by {found}; separate them by commas")
            }
            MapFault::ColumnMissing { column } => {
                write!(
                    f,
                    "the header \"{text}\" has no column {column}; the first line names the columns, "
                )?;
                f.write_str("as table,address,type")
            }
            MapFault::Column { nearest } => {
                write!(f, "\"{text}\" is not a column")?;
                let all = "there are table, address, type, order, count, value, name, unit and access";
                meant(f, nearest, all)
            }
            MapFault::ColumnTwice => write!(f, "the column \"{text}\" stands there twice; remove one"),
            MapFault::ExtraField => {
                write!(f, "\"{text}\" is one field more than the header has; quote values that hold commas")
            }
            MapFault::Quote => f.write_str("the quote is not closed; a quote within quotes is written twice"),
            MapFault::AfterQuote => {
                write!(f, "\"{text}\" follows a closing quote; a quote within quotes is written twice")
            }
            MapFault::Table { nearest } => {
                write!(f, "\"{text}\" is not a table")?;
                meant(f, nearest, "write coil, discrete, input or holding")
            }
            MapFault::Address => {
                write!(f, "\"{text}\" is not an address; they are 0 to 65535, or 0x0 to 0xFFFF")
            }
            MapFault::Type { nearest } => {
                write!(f, "\"{text}\" is not a type")?;
                let all =
                    "there are bool, u16, i16, u32, i32, u64, i64, f32, f64, bcd16, bcd32, strN and bitK";
                meant(f, nearest, all)
            }
            MapFault::TypeNumber(unknown) => write!(f, "\"{text}\" is not a type; {unknown}"),
            MapFault::TypeOfBit => {
                write!(
                    f,
                    "\"{text}\" does not fit: coils and discrete inputs are single bits; leave it empty"
                )
            }
            MapFault::Order => {
                write!(f, "\"{text}\" is not a byte order; there are abcd, cdab, badc and dcba")
            }
            MapFault::Count => write!(f, "\"{text}\" is not a count; write 1 or more"),
            MapFault::TooFar { fit: 0 } => {
                write!(f, "\"{text}\" reaches past address 65535; begin at a lower address")
            }
            MapFault::TooFar { fit } => {
                write!(f, "\"{text}\" reaches past address 65535; at most {fit} fit there")
            }
            MapFault::Value { message } => f.write_str(message),
            MapFault::NameTwice { line } => {
                write!(f, "the name \"{text}\" stands in line {line} already; names are unique")
            }
            MapFault::Access => write!(f, "\"{text}\" is not an access; write ro or rw"),
            MapFault::NotWritable { table } => {
                write!(f, "\"{text}\" does not fit: no request writes the table {table}; write ro")
            }
            MapFault::Twice { line } => write!(f, "{text} stands in line {line} already; remove one"),
            MapFault::Overlap { line, other } => {
                write!(f, "{text} overlaps {other} of line {line}, which takes ")?;
                write!(f, "{} to {}", other.address(), other.last())
            }
        }
    }
}

impl core::error::Error for MapError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::any_point;
    use proptest::prelude::*;

    fn map(text: &str) -> RegisterMap {
        RegisterMap::parse(text).unwrap_or_else(|errors| panic!("{}", errors[0]))
    }

    #[test]
    fn a_map_with_everything() {
        let text = "\u{FEFF}# of the boiler house\r\n\r\n Address , TABLE ,type,order,count,value,name,unit,access\r\n\
            100,holding,f32,cdab,,21.5,\"supply, \"\"hot\"\"\",°C,\r\n\
            0x6E,h,,,3,\"1,2,3\",speeds,,ro\r\n\
            # a comment, with commas\r\n\
            0,coil,,,16,on\r\n\
            7,i,i16,,2,-5,,,\r\n\
            ,,,,\r\n\
            113,holding,bit3,,,1,running,,\n\
            113,holding,bit0,,,true,\"two\nlines\",,";
        let map = map(text);
        let shown: Vec<String> = map
            .entries()
            .iter()
            .map(|e| format!("{} {:?} {:?} {} {}", e.point, e.name, e.unit, e.access, value_text(e)))
            .collect();
        assert_eq!(
            shown,
            [
                "coil:0*16 None None rw true,true,true,true,true,true,true,true,true,true,true,true,true,true,true,true",
                "input:7:i16*2 None None ro -5,-5",
                "holding:100:f32:cdab Some(\"supply, \\\"hot\\\"\") Some(\"°C\") rw 21.5",
                "holding:110*3 Some(\"speeds\") None ro 1,2,3",
                "holding:113:bit0 Some(\"two\\nlines\") None rw true",
                "holding:113:bit3 Some(\"running\") None rw true",
            ]
        );
        let registers = |start, values: &[u16]| Block {
            table: Table::HoldingRegisters,
            start,
            cells: Cells::Registers(values.to_vec()),
        };
        assert_eq!(
            map.blocks()[2..],
            [registers(100, &[0, 0x41AC]), registers(110, &[1, 2, 3, 9])],
            "bits of one register are one register"
        );
        assert_eq!(map.find("speeds").unwrap().point.to_string(), "holding:110*3");
        assert_eq!(map.find("nothing"), None);
        assert_eq!(RegisterMap::parse(&map.to_csv()), Ok(map));
    }

    #[track_caller]
    fn refuse(text: &str, messages: &[&str]) {
        let errors = RegisterMap::parse(text).expect_err(text);
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), messages, "{text}");
    }

    #[test]
    fn other_separators() {
        for (text, found) in [
            ("table;address;value\nholding;0;1,5\n", "semicolons"),
            ("table\taddress\nholding\t0\n", "tabs"),
            ("address ; tabel\n", "semicolons"),
        ] {
            let message = format!("1:1: the columns are separated by {found}; separate them by commas");
            refuse(text, &[&message]);
        }
    }

    #[test]
    fn broken_headers() {
        let empty =
            "1:1: the map is empty; it begins with the line table,address and has a row for each point";
        refuse("", &[empty]);
        refuse("# nothing\n\n", &[empty]);
        refuse("table,address\n", &[empty]);
        refuse(
            "table,adress\ncoil,1\n",
            &[
                "1:1: the header \"table,adress\" has no column address; the first line names the columns, as table,address,type",
                "1:7: \"adress\" is not a column; did you mean address?",
            ],
        );
        refuse(
            "table,address,colour,table\ncoil,1,,\n",
            &[
                "1:15: \"colour\" is not a column; there are table, address, type, order, count, value, name, unit and access",
                "1:22: the column \"table\" stands there twice; remove one",
            ],
        );
        refuse(
            "holding,100\n",
            &["1:1: \"holding,100\" names no column; the first line of a map does, as table,address,type"],
        );
        refuse(
            &format!("%PDF-1.7{}\n", " no map at all".repeat(99)),
            &[
                "1:1: \"%PDF-1.7 no map at all no map at all no map a...\" names no column; the first line of a map does, as table,address,type",
            ],
        );
    }

    #[track_caller]
    fn refuse_row(row: &str, messages: &[&str]) {
        refuse(&format!("table,address,type,order,count,value,name,unit,access\n{row}\n"), messages);
    }

    #[test]
    fn broken_rows() {
        refuse_row("holdign,1", &["2:1: \"holdign\" is not a table; did you mean holding?"]);
        refuse_row(",1", &["2:1: \"\" is not a table; write coil, discrete, input or holding"]);
        refuse_row("holding", &["2:8: \"\" is not an address; they are 0 to 65535, or 0x0 to 0xFFFF"]);
        refuse_row(
            "holding,65536",
            &["2:9: \"65536\" is not an address; they are 0 to 65535, or 0x0 to 0xFFFF"],
        );
        refuse_row("holding,1,float", &["2:11: \"float\" is not a type; did you mean f32?"]);
        refuse_row(
            "holding,1,str",
            &["2:11: \"str\" is not a type; a text has 1 to 250 bytes: str1 to str250"],
        );
        refuse_row(
            "coil,1,u16",
            &["2:8: \"u16\" does not fit: coils and discrete inputs are single bits; leave it empty"],
        );
        refuse_row(
            "coil,1,,cdab",
            &["2:9: \"cdab\" does not fit: coils and discrete inputs are single bits; leave it empty"],
        );
        refuse_row(
            "holding,1,f32,big",
            &["2:15: \"big\" is not a byte order; there are abcd, cdab, badc and dcba"],
        );
        refuse_row("holding,1,,,0", &["2:13: \"0\" is not a count; write 1 or more"]);
        refuse_row("holding,65535,,,2", &["2:17: \"2\" reaches past address 65535; at most 1 fit there"]);
        refuse_row(
            "holding,65535,f32",
            &["2:9: \"65535\" reaches past address 65535; begin at a lower address"],
        );
        refuse_row(
            "holding,1,,,,70000",
            &["2:14: 70000 is not within 0 to 65535, which is what u16 holds; u32 would hold it"],
        );
        refuse_row("holding,1,,,3,\"1,2\"", &["2:15: \"1,2\" is 2 values for 3"]);
        refuse_row("holding,1,,,,,,,r", &["2:17: \"r\" is not an access; write ro or rw"]);
        refuse_row(
            "input,1,,,,,,,rw",
            &["2:15: \"rw\" does not fit: no request writes the table input; write ro"],
        );
        refuse_row(
            "holding,1,,,,1,a,b,rw,5",
            &["2:23: \"5\" is one field more than the header has; quote values that hold commas"],
        );
        refuse_row(
            "holding,1,,,,\"1",
            &["2:14: the quote is not closed; a quote within quotes is written twice"],
        );
        refuse_row(
            "holding,1,,,,\"1\" x,",
            &["2:18: \"x,\" follows a closing quote; a quote within quotes is written twice"],
        );
        refuse_row(
            "holding,1,,,,,a\nholding,2,,,,,a",
            &["3:15: the name \"a\" stands in line 2 already; names are unique"],
        );
        refuse_row("holding,1\nholding,1", &["3:1: holding:1 stands in line 2 already; remove one"]);
        refuse_row(
            "holding,1,f32\nholding,2",
            &["3:1: holding:2 overlaps holding:1:f32 of line 2, which takes 1 to 2"],
        );
        refuse_row(
            "holding,2\nholding,1,f32",
            &["3:1: holding:1:f32 overlaps holding:2 of line 2, which takes 2 to 2"],
        );
        refuse_row(
            "holding,2,bit3\nholding,2,bit3",
            &["3:1: holding:2:bit3 stands in line 2 already; remove one"],
        );
        refuse_row(
            "holding,0,,,10\nholding,1\nholding,9",
            &[
                "3:1: holding:1 overlaps holding:0*10 of line 2, which takes 0 to 9",
                "4:1: holding:9 overlaps holding:0*10 of line 2, which takes 0 to 9",
            ],
        );
    }

    #[test]
    fn all_errors_at_once() {
        refuse_row(
            "holdign,x,f31,big,0,1,,,no\ncoil,1\ncoil,1",
            &[
                "2:1: \"holdign\" is not a table; did you mean holding?",
                "2:9: \"x\" is not an address; they are 0 to 65535, or 0x0 to 0xFFFF",
                "2:11: \"f31\" is not a type; did you mean f32?",
                "2:15: \"big\" is not a byte order; there are abcd, cdab, badc and dcba",
                "2:19: \"0\" is not a count; write 1 or more",
                "2:25: \"no\" is not an access; write ro or rw",
                "4:1: coil:1 stands in line 3 already; remove one",
            ],
        );
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("table,address,name{end}{end}coil,1,\"a{end}b\"{end}coil,x{end}");
            let errors = RegisterMap::parse(&text).expect_err("x is not an address");
            assert_eq!((errors[0].line, errors[0].column), (5, 6), "{end:?}");
        }
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let text = prop::option::of("[ -~°ü\n]{1,9}");
        (any_point(), any::<u16>(), text, any::<bool>()).prop_map(|(point, seed, unit, read_only)| {
            let initial = match point.value_type() {
                ValueType::Bool => u16::from(seed % 2 == 0).to_string(),
                ValueType::Bit(_) => u16::from(seed % 2 == 0).to_string(),
                ValueType::Text(_) => "a".into(),
                ValueType::I16 => "-7".into(),
                _ => (seed % 9999).to_string(),
            };
            let one = point.part(0, 1).unwrap().parse_values(&initial).unwrap();
            let access = if read_only { Access::ReadOnly } else { usual_access(point.table()) };
            Entry { point, initial: repeat(&one, point.count()), name: None, unit, access }
        })
    }

    proptest! {
        #[test]
        fn parse_undoes_to_csv(entries in prop::collection::vec(any_entry(), 1..8)) {
            let mut entries: Vec<Entry> = entries;
            entries.sort_by_key(|entry| (entry.point.table(), entry.point.address()));
            entries.dedup_by(|later, first| {
                later.point.table() == first.point.table() && later.point.address() <= first.point.last()
            });
            let map = RegisterMap { entries };
            prop_assert_eq!(RegisterMap::parse(&map.to_csv()), Ok(map.clone()), "{}", map.to_csv());
            for pair in map.blocks().windows(2) {
                let end = u32::from(pair[0].start) + u32::try_from(pair[0].cells.len()).unwrap();
                prop_assert!(pair[0].table != pair[1].table || u32::from(pair[1].start) > end);
            }
        }

        #[test]
        fn no_text_panics(text: String, rows in "(coil|holding|h|\"|,|\n|\r|#|[0-9]|bit|x){0,40}") {
            let _ = RegisterMap::parse(&text);
            if let Err(errors) = RegisterMap::parse(&format!("table,address,type,value,name\n{rows}")) {
                prop_assert!(errors.iter().all(|error| !error.to_string().is_empty()));
            }
        }
    }
}
