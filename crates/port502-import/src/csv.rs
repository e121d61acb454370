//! CSV: register maps as vendors, spreadsheets and people have them.
//!
//! Columns are found by their names, of which most that are in use are known; they may stand in any order. Commas,
//! semicolons or tabs part them, and where it is not the comma, numbers may have decimal commas. What stands above the
//! header is passed over.
//!
//! ```text
//! Register;Name;Data type;Scale;Unit;R/W
//! 40101;Supply temperature;INT16;0,1;°C;R
//! ```
//!
//! An address is the 0-based one of the protocol, unless it can be seen that it is not: `40101`, `400101` and `4x0101`
//! without a table beside them are references, which count from 1; a column that is called "1-based" does, too.
//! [`Base`] says it where it cannot be seen.

use port502_site::Point;
use port502_site::point::number as unsigned;
use port502_wire::Table;
use port502_wire::value::{BitNumber, Order, ValueType};

use crate::draft::{Draft, DraftTag, DraftWrite};
use crate::note::{Lost, Place};
use crate::tree::Malformed;
use crate::{Options, words};

/// How addresses count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Base {
    /// As it can be seen.
    #[default]
    Auto,
    /// From 0, as in the protocol.
    Zero,
    /// From 1.
    One,
    /// As references: the first digit is the table, the rest counts from 1.
    Reference,
}

/// Lines above the header that are passed over.
const PREAMBLE_MAX: usize = 50;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Column {
    Device,
    Connect,
    UnitId,
    Name,
    Table,
    Address,
    Type,
    Order,
    Count,
    Scale,
    Divisor,
    Offset,
    Unit,
    Low,
    High,
    WriteLow,
    WriteHigh,
    Access,
    Initial,
    Description,
    Exponent,
    Nan,
}

/// What columns are called, in letters and digits alone.
const NAMES: &[(Column, &[&str])] = &[
    (Column::Device, &["device", "devicename", "meter", "equipment", "gerät", "geraet"]),
    (Column::Connect, &["connect", "target", "host", "ip", "ipaddress", "endpoint"]),
    (
        Column::UnitId,
        &[
            "unitid",
            "slave",
            "slaveid",
            "slaveaddress",
            "deviceid",
            "deviceaddress",
            "station",
            "modbusid",
            "node",
            "serverid",
        ],
    ),
    (
        Column::Name,
        &[
            "name",
            "tag",
            "tagname",
            "variable",
            "variablename",
            "signal",
            "signalname",
            "label",
            "parameter",
            "parametername",
            "point",
            "pointname",
            "registername",
            "item",
            "datapoint",
            "quantity",
            "measurement",
            "bezeichnung",
            "id",
            "symbol",
            "field",
        ],
    ),
    (
        Column::Table,
        &[
            "table",
            "registertype",
            "regtype",
            "area",
            "functioncode",
            "fc",
            "function",
            "functioncodes",
            "objecttype",
            "modbustype",
            "dataarea",
            "memory",
            "registerart",
            "func",
            "readfunction",
            "modbusfunction",
        ],
    ),
    (
        Column::Address,
        &[
            "address",
            "addr",
            "register",
            "reg",
            "registeraddress",
            "modbusaddress",
            "startaddress",
            "adresse",
            "regaddr",
            "registerno",
            "registernumber",
            "modbusregister",
            "startregister",
            "startingaddress",
            "pduaddress",
            "protocoladdress",
            "reference",
            "registernr",
        ],
    ),
    (
        Column::Type,
        &[
            "type",
            "datatype",
            "format",
            "dtype",
            "valuetype",
            "dataformat",
            "datentyp",
            "encoding",
            "vartype",
        ],
    ),
    (
        Column::Order,
        &["order", "byteorder", "wordorder", "endian", "endianness", "endianess", "swap", "bytesorder"],
    ),
    (
        Column::Count,
        &[
            "count",
            "length",
            "len",
            "size",
            "words",
            "registers",
            "noofregisters",
            "numberofregisters",
            "quantityofregisters",
            "regcount",
            "anzahl",
            "wordcount",
        ],
    ),
    (
        Column::Scale,
        &[
            "scale",
            "factor",
            "multiplier",
            "scaling",
            "scalefactor",
            "scalingfactor",
            "resolution",
            "faktor",
            "skalierung",
            "coefficient",
            "lsb",
        ],
    ),
    (Column::Divisor, &["divisor", "divider", "div", "divideby"]),
    (Column::Offset, &["offset", "bias", "add", "shift", "valueoffset"]),
    (
        Column::Unit,
        &[
            "unit",
            "units",
            "uom",
            "einheit",
            "engineeringunit",
            "engineeringunits",
            "eu",
            "unitofmeasurement",
            "engunit",
        ],
    ),
    (Column::Low, &["min", "minimum", "low", "rangemin", "minvalue", "lowlimit", "lower"]),
    (Column::High, &["max", "maximum", "high", "rangemax", "maxvalue", "highlimit", "upper"]),
    (Column::WriteLow, &["writemin"]),
    (Column::WriteHigh, &["writemax"]),
    (
        Column::Access,
        &[
            "access",
            "rw",
            "readwrite",
            "mode",
            "permission",
            "zugriff",
            "accesstype",
            "attribute",
            "readonly",
        ],
    ),
    (Column::Initial, &["initial", "value", "default", "defaultvalue", "initialvalue"]),
    (
        Column::Description,
        &[
            "description",
            "comment",
            "comments",
            "remark",
            "remarks",
            "note",
            "notes",
            "beschreibung",
            "meaning",
            "help",
            "desc",
        ],
    ),
    (Column::Exponent, &["exponent"]),
    (Column::Nan, &["nan", "invalid", "notavailable"]),
];

/// Names that mean the opposite to some.
const AMBIGUOUS: &[&str] = &["gain"];

/// A field and its place.
#[derive(Clone, Debug, Default)]
struct Field {
    text: String,
    line: u32,
}

/// Whether a text has a header of a register map.
pub(crate) fn looks_like(text: &str) -> bool {
    find_header(text).is_some()
}

struct Header {
    separator: char,
    /// Which record it is.
    at: usize,
    columns: Vec<(Column, usize)>,
    /// What its columns are called.
    names: Vec<String>,
}

fn find_header(text: &str) -> Option<Header> {
    let mut best: Option<Header> = None;
    for separator in [',', ';', '\t'] {
        for (at, record) in records(text, separator).take(PREAMBLE_MAX).enumerate() {
            let names: Vec<String> = record.into_iter().map(|field| field.text).collect();
            let columns = columns(&names);
            let has_address = columns.iter().any(|(column, _)| *column == Column::Address);
            if has_address && columns.len() >= 2 {
                if best.as_ref().is_none_or(|best| columns.len() > best.columns.len()) {
                    best = Some(Header { separator, at, columns, names });
                }
                break;
            }
        }
    }
    best
}

/// Letters and digits, and no more: `Register (dec)` is `register`.
fn plain(name: &str) -> String {
    let front = name.split(['(', '[']).next().unwrap_or_default();
    let front = if front.trim().is_empty() { name } else { front };
    front.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn columns(names: &[String]) -> Vec<(Column, usize)> {
    let mut columns: Vec<(Column, usize)> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let plain = plain(name);
        let known =
            NAMES.iter().find(|(_, known)| known.contains(&plain.as_str())).map(|(column, _)| *column);
        if let Some(column) = known.filter(|column| columns.iter().all(|(other, _)| other != column)) {
            columns.push((column, at));
        }
    }
    // Alone, an offset is an address.
    let has =
        |wanted: Column, columns: &[(Column, usize)]| columns.iter().any(|(column, _)| *column == wanted);
    if !has(Column::Address, &columns)
        && let Some(offset) = columns.iter_mut().find(|(column, _)| *column == Column::Offset)
    {
        offset.0 = Column::Address;
    }
    // "Function" is the name of a value in some maps, where the function code stands elsewhere or nowhere.
    if !has(Column::Name, &columns)
        && let Some(at) =
            names.iter().position(|name| plain(name) == "function" || plain(name) == "description")
    {
        let column = columns.iter().position(|(_, column)| *column == at);
        match column.and_then(|column| columns.get_mut(column)) {
            Some(column) => column.0 = Column::Name,
            None => columns.push((Column::Name, at)),
        }
    }
    columns
}

/// Records of fields, which may be quoted and hold line breaks then.
fn records(text: &str, separator: char) -> impl Iterator<Item = Vec<Field>> + '_ {
    let mut chars = text.chars().peekable();
    let mut line = 1_u32;
    std::iter::from_fn(move || {
        chars.peek()?;
        let mut fields = Vec::new();
        let mut field = Field { text: String::new(), line };
        let mut quoted = false;
        loop {
            match chars.next() {
                None => break,
                Some('"') if quoted => {
                    if chars.peek() == Some(&'"') {
                        chars.next();
                        field.text.push('"');
                    } else {
                        quoted = false;
                    }
                }
                Some('"') if field.text.trim().is_empty() => {
                    field.text.clear();
                    quoted = true;
                }
                Some('\n') if !quoted => {
                    line += 1;
                    break;
                }
                Some(c) if c == separator && !quoted => {
                    fields.push(std::mem::replace(&mut field, Field { text: String::new(), line }));
                }
                Some(c) => {
                    if c == '\n' {
                        line += 1;
                    }
                    if c != '\r' || quoted {
                        field.text.push(c);
                    }
                }
            }
        }
        fields.push(field);
        for field in &mut fields {
            field.text = field.text.trim().to_owned();
        }
        Some(fields)
    })
}

/// One row.
struct Row<'r> {
    fields: &'r [Field],
    columns: &'r [(Column, usize)],
    comma: bool,
    line: u32,
}

impl Row<'_> {
    fn text(&self, wanted: Column) -> Option<&str> {
        let (_, at) = self.columns.iter().find(|(column, _)| *column == wanted)?;
        let text = self.fields.get(*at)?.text.as_str();
        (!text.is_empty() && !matches!(text, "-" | "--" | "n/a" | "N/A")).then_some(text)
    }

    fn place(&self) -> Place {
        Place { line: self.line, path: String::new() }
    }

    fn number(&self, wanted: Column) -> Option<f64> {
        number(self.text(wanted)?, self.comma)
    }
}

/// `0.1`, `0,1` where commas are decimal, `1/10`, `x10`, `10^-1`, `1e-3`.
fn number(text: &str, comma: bool) -> Option<f64> {
    let text = text.trim().trim_start_matches(['x', 'X', '×', '*']).trim();
    let text: String = if comma && !text.contains('.') { text.replace(',', ".") } else { text.to_owned() };
    if let Some((top, bottom)) = text.split_once('/') {
        let (top, bottom): (f64, f64) = (top.trim().parse().ok()?, bottom.trim().parse().ok()?);
        return (bottom != 0.0).then(|| top / bottom);
    }
    if let Some(power) = text.strip_prefix("10^") {
        let power: i32 = power.trim_matches(['(', ')']).parse().ok()?;
        return (power.unsigned_abs() <= 18)
            .then(|| if power < 0 { 1.0 / 10_f64.powi(-power) } else { 10_f64.powi(power) });
    }
    let number = match words::integer(&text) {
        #[allow(clippy::cast_precision_loss, reason = "the nearest is what is meant")]
        Some(integer) => integer as f64,
        None => text.parse().ok()?,
    };
    number.is_finite().then_some(number)
}

/// Where a value is: the number as it is written, and a bit behind a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Written {
    number: u32,
    /// The table in front, as `4x0101` and `holding:100` have it.
    table: Option<Table>,
    /// Whether it can be nothing else than a reference.
    reference: bool,
    /// Whether it can be nothing else than an address from 0.
    zero: bool,
    bit: Option<u8>,
    /// How many decimal digits.
    digits: usize,
}

fn written(text: &str, hex: bool) -> Option<Written> {
    let text = text.trim().trim_matches('\'');
    // `40101-40102` is its first register.
    let text = match text.split_once(['-', '–', '~']) {
        Some((first, last)) if !first.trim().is_empty() && !last.trim().is_empty() => first.trim(),
        _ => text,
    };
    let (text, bit) = match text.split_once('.') {
        Some((front, bit)) => (front, Some(bit.trim().parse::<u8>().ok().filter(|bit| *bit < 16)?)),
        None => (text, None),
    };
    let none = Written { number: 0, table: None, reference: false, zero: false, bit, digits: 0 };
    if let Some((table, address)) = text.split_once(':') {
        let number = unsigned(address.trim())?;
        return Some(Written { number, table: Some(words::table(table)?), zero: true, ..none });
    }
    // 4x0101, 3X001
    let lower = text.to_ascii_lowercase();
    if let Some((digit, rest)) = lower.split_once('x')
        && let Some(table) = reference_table(digit)
        && digit != "0"
    {
        let number = rest.parse::<u32>().ok()?;
        return Some(Written { number, table: Some(table), reference: true, ..none });
    }
    if let Some(digits) = lower.strip_prefix("0x") {
        return Some(Written { number: u32::from_str_radix(digits, 16).ok()?, zero: true, ..none });
    }
    if let Some(digits) = lower.strip_suffix('h').filter(|digits| !digits.is_empty()) {
        return Some(Written { number: u32::from_str_radix(digits, 16).ok()?, zero: true, ..none });
    }
    if hex || lower.bytes().any(|byte| byte.is_ascii_hexdigit() && byte.is_ascii_alphabetic()) {
        return Some(Written { number: u32::from_str_radix(&lower, 16).ok()?, zero: true, ..none });
    }
    let digits = lower.trim_end_matches('d').replace([' ', '_'], "");
    let number = digits.parse::<u32>().ok()?;
    Some(Written { number, digits: digits.len(), ..none })
}

fn reference_table(digit: &str) -> Option<Table> {
    Some(match digit {
        "0" => Table::Coils,
        "1" => Table::DiscreteInputs,
        "3" => Table::InputRegisters,
        "4" => Table::HoldingRegisters,
        _ => return None,
    })
}

/// The table and the number from 1 of a decimal reference: 40101, 400101.
fn split_reference(written: Written) -> Option<(Table, u32)> {
    if let (Some(table), true) = (written.table, written.reference) {
        return Some((table, written.number));
    }
    let width = match written.digits {
        5 => 10_000,
        6 => 100_000,
        _ if written.number < 10_000 && written.digits > 0 => return Some((Table::Coils, written.number)),
        _ => return None,
    };
    let table = reference_table(&(written.number / width).to_string())?;
    Some((table, written.number % width)).filter(|(_, number)| (1..=65_536).contains(number))
}

/// How all addresses of a map count, with what to tell about it.
struct Counting {
    base: Base,
    assumed: Option<(&'static str, &'static str)>,
}

fn counting(all: &[(Written, Option<Table>)], header: &str, options: &Options) -> Counting {
    if options.base != Base::Auto {
        return Counting { base: options.base, assumed: None };
    }
    let header = header.to_ascii_lowercase();
    if header.contains("1-based") || header.contains("1 based") || header.contains("one-based") {
        return Counting { base: Base::One, assumed: None };
    }
    if header.contains("0-based")
        || header.contains("0 based")
        || header.contains("zero-based")
        || header.contains("pdu")
    {
        return Counting { base: Base::Zero, assumed: None };
    }
    let plain: Vec<&(Written, Option<Table>)> =
        all.iter().filter(|(written, _)| !written.zero && written.table.is_none()).collect();
    if plain.is_empty() {
        return Counting { base: Base::Zero, assumed: None };
    }
    let references = plain.iter().all(|(written, table)| {
        split_reference(*written).is_some_and(|(found, _)| table.is_none_or(|table| table == found))
    });
    let high = plain.iter().any(|(written, _)| written.digits >= 5);
    let tables = plain.iter().any(|(_, table)| table.is_some());
    let kinds = plain.iter().filter_map(|(written, _)| split_reference(*written)).map(|(table, _)| table);
    let several = kinds.collect::<std::collections::BTreeSet<Table>>().len() > 1;
    match (references && high, tables) {
        // 40101 with nothing beside it, or 30005 and 40101 beside the tables that they name.
        (true, false) => Counting { base: Base::Reference, assumed: None },
        (true, true) if several => Counting { base: Base::Reference, assumed: None },
        (true, true) => Counting {
            base: Base::Zero,
            assumed: Some((
                "addresses look like references, but the table stands beside them; they are taken as they are, from 0",
                "say --base reference if 40001 is the first register",
            )),
        },
        (false, _) if plain.iter().any(|(written, _)| written.number == 0) => {
            Counting { base: Base::Zero, assumed: None }
        }
        (false, _) => Counting {
            base: Base::Zero,
            assumed: Some((
                "it is not said whether addresses count from 0 or from 1, and 0 is taken",
                "say --base 1 if the manual counts from 1",
            )),
        },
    }
}

pub(crate) fn read(text: &str, options: &Options, draft: &mut Draft) -> Result<(), Malformed> {
    let Some(header) = find_header(text) else {
        let message =
            "no line has the columns of a register map; want at least an address, and a name or a type";
        return Err(Malformed { line: 1, column: 1, message: message.to_owned() });
    };
    let all: Vec<Vec<Field>> = records(text, header.separator).collect();
    let header_line = all.get(header.at).and_then(|record| record.first()).map_or(1, |field| field.line);
    tell_columns(&header, header_line, draft);
    let comma = header.separator != ',';
    let rows: Vec<Row<'_>> = all
        .iter()
        .skip(header.at + 1)
        .filter(|fields| fields.iter().any(|field| !field.text.is_empty()))
        .filter(|fields| !fields.first().is_some_and(|field| field.text.starts_with('#')))
        .map(|fields| Row {
            fields,
            columns: &header.columns,
            comma,
            line: fields.first().map_or(0, |field| field.line),
        })
        .collect();
    let address_name = header
        .columns
        .iter()
        .find(|(column, _)| *column == Column::Address)
        .and_then(|(_, at)| header.names.get(*at))
        .map_or("", String::as_str);
    let hex = address_name.to_ascii_lowercase().contains("hex");
    let found: Vec<(Written, Option<Table>)> = rows
        .iter()
        .filter_map(|row| {
            Some((written(row.text(Column::Address)?, hex)?, row.text(Column::Table).and_then(words::table)))
        })
        .collect();
    let counting = counting(&found, address_name, options);
    if let Some((what, instead)) = counting.assumed {
        draft.note(
            Place { line: header_line, path: String::new() },
            Lost::Assumed { what: what.to_owned(), instead },
        );
    }
    if header.columns.iter().all(|(column, _)| *column != Column::Table)
        && counting.base != Base::Reference
        && found.iter().any(|(written, _)| written.table.is_none())
    {
        let what =
            "no column says which table addresses belong to, and holding registers are taken".to_owned();
        let place = Place { line: header_line, path: String::new() };
        draft.note(
            place,
            Lost::Assumed { what, instead: "add a column table with coil, discrete, holding or input" },
        );
    }
    for row in &rows {
        read_row(row, hex, counting.base, draft);
    }
    Ok(())
}

fn tell_columns(header: &Header, line: u32, draft: &mut Draft) {
    for (at, name) in header.names.iter().enumerate() {
        if name.is_empty() || header.columns.iter().any(|(_, column)| *column == at) {
            continue;
        }
        let place = Place { line, path: String::new() };
        let why = if AMBIGUOUS.contains(&plain(name).as_str()) {
            "to some it is a factor and to others a divisor; call the column scale or divisor"
        } else if NAMES.iter().any(|(_, known)| known.contains(&plain(name).as_str())) {
            "another column says the same"
        } else {
            "it is no column of a register map"
        };
        draft.setting(place, &format!("column \"{name}\""), why);
    }
}

/// Where a value is.
fn place_of(row: &Row<'_>, hex: bool, base: Base) -> Result<(Table, u16, Option<u8>), String> {
    let Some(text) = row.text(Column::Address) else { return Err("it has no address".to_owned()) };
    let Some(at) = written(text, hex) else { return Err(format!("\"{text}\" is no address")) };
    let beside = match row.text(Column::Table) {
        Some(word) => Some(
            words::table(word)
                .ok_or_else(|| format!("\"{word}\" is no table; want coil, discrete, holding or input"))?,
        ),
        None => None,
    };
    let outside = || format!("\"{text}\" is not within a table of 65536");
    if !at.zero && (at.reference || base == Base::Reference) {
        let (table, number) = split_reference(at)
            .ok_or_else(|| format!("\"{text}\" is no reference; they are 40001, 400001 or 4x0001"))?;
        if let Some(beside) = beside.filter(|beside| *beside != table) {
            return Err(format!("\"{text}\" is of the table {table}, and {beside} stands beside it"));
        }
        let address =
            number.checked_sub(1).and_then(|address| u16::try_from(address).ok()).ok_or_else(outside)?;
        return Ok((table, address, at.bit));
    }
    let table = at.table.or(beside).unwrap_or(Table::HoldingRegisters);
    let number =
        if base == Base::One && at.table.is_none() { at.number.checked_sub(1) } else { Some(at.number) };
    let address = number.and_then(|number| u16::try_from(number).ok()).ok_or_else(outside)?;
    Ok((table, address, at.bit))
}

fn read_row(row: &Row<'_>, hex: bool, base: Base, draft: &mut Draft) {
    let name = row.text(Column::Name).unwrap_or_default().to_owned();
    let called = if name.is_empty() { "a row without a name".to_owned() } else { name.clone() };
    // A line without an address is a heading.
    if row.text(Column::Address).is_none() {
        draft.left_out(row.place(), &called, "it has no address");
        return;
    }
    let (table, address, bit) = match place_of(row, hex, base) {
        Ok(place) => place,
        Err(why) => return draft.left_out(row.place(), &called, why),
    };
    let point = match shape(row, table, address, bit) {
        Ok(point) => point,
        Err(why) => return draft.left_out(row.place(), &called, why),
    };
    let unit_id = match row
        .text(Column::UnitId)
        .map(|text| words::integer(text).and_then(|unit| u8::try_from(unit).ok()))
    {
        Some(None) => {
            draft.left_out(row.place(), &called, "its unit id is not 0 to 255");
            return;
        }
        Some(unit) => unit,
        None => None,
    };
    let device = row.text(Column::Device).unwrap_or("device").to_owned();
    let connect = row.text(Column::Connect).map(str::to_owned);
    let device = draft.device(connect.as_deref(), unit_id, &device, &row.place()).key();
    let many = point.count();
    for (which, point) in point.each().enumerate() {
        let called =
            if many == 1 || name.is_empty() { name.clone() } else { format!("{name}_{}", which + 1) };
        let mut tag = DraftTag::new(&called, point, row.place());
        tag.unit = row.text(Column::Unit).map(str::to_owned);
        tag.description = row.text(Column::Description).filter(|text| *text != name).map(str::to_owned);
        tag.exponent = row.text(Column::Exponent).map(str::to_owned);
        if tag.is_scalable() {
            numbers(row, &mut tag, draft);
        }
        tag.initial = row.text(Column::Initial).and_then(|text| initial(text, &tag, row.comma));
        access(row, &mut tag, draft);
        draft.add(device.clone(), tag);
    }
}

fn shape(row: &Row<'_>, table: Table, address: u16, bit: Option<u8>) -> Result<Point, String> {
    let count = row.text(Column::Count).map(|text| {
        words::integer(text)
            .and_then(words::address)
            .filter(|count| *count != 0)
            .ok_or_else(|| format!("\"{text}\" is no count"))
    });
    let count = count.transpose()?;
    // `f32:cdab`
    let (word, letters) = match row.text(Column::Type).map(|word| word.split_once(':').unwrap_or((word, "")))
    {
        Some((word, letters)) => (Some(word), letters),
        None => (None, ""),
    };
    let value_type = match (word, bit) {
        _ if table.is_bits() => ValueType::Bool,
        (_, Some(bit)) => BitNumber::new(bit).map(ValueType::Bit).ok_or("a bit of a register is 0 to 15")?,
        (None, None) => match count {
            Some(2) => ValueType::U32,
            Some(4) => ValueType::U64,
            _ => ValueType::U16,
        },
        (Some(word), None) => words::value_type(word, count).ok_or_else(|| match count {
            Some(count) => format!("there is no type for \"{word}\" of {count} registers"),
            None => format!("there is no type for \"{word}\""),
        })?,
    };
    let plain = table.is_bits() || matches!(value_type, ValueType::Bit(_));
    let order = match row.text(Column::Order).or(Some(letters).filter(|letters| !letters.is_empty())) {
        Some(word) if !plain => words::order(word)
            .ok_or_else(|| format!("\"{word}\" is no byte order; want abcd, cdab, badc or dcba"))?,
        _ => Order::default(),
    };
    // A count that is a multiple of the width is that many values; one that is none says how wide it is elsewhere.
    let width = value_type.registers();
    let values = match count {
        Some(count) if count == width || matches!(value_type, ValueType::Text(_)) => 1,
        Some(count) if width == 1 => count,
        Some(count) if count % width == 0 => count / width,
        Some(count) => return Err(format!("{value_type} takes {width} registers, and it has {count}")),
        None => 1,
    };
    Point::new(table, address, value_type, order, values.into())
        .map_err(|_| "it reaches past address 65535".to_owned())
}

fn numbers(row: &Row<'_>, tag: &mut DraftTag, draft: &mut Draft) {
    for (column, divide) in [(Column::Scale, false), (Column::Divisor, true)] {
        let Some(text) = row.text(column) else { continue };
        match row.number(column) {
            Some(number) if number != 0.0 => tag.scale = if divide { 1.0 / number } else { number },
            _ => draft.left_out(
                row.place(),
                &format!("the scale \"{text}\" of {}", tag.name),
                "it is no number other than 0",
            ),
        }
    }
    if let Some(text) = row.text(Column::Offset) {
        match row.number(Column::Offset) {
            Some(offset) => tag.offset = offset,
            None => draft.left_out(
                row.place(),
                &format!("the offset \"{text}\" of {}", tag.name),
                "it is no number",
            ),
        }
    }
    if let (Some(low), Some(high)) = (row.number(Column::Low), row.number(Column::High))
        && low < high
    {
        tag.range = Some((low, high));
    }
    if let Some(text) = row.text(Column::Nan) {
        tag.nan = text.split([' ', '|']).filter(|word| !word.is_empty()).filter_map(words::integer).collect();
    }
}

/// What the simulator begins with, as TOML.
fn initial(text: &str, tag: &DraftTag, comma: bool) -> Option<String> {
    match tag.point.value_type() {
        ValueType::Text(_) => Some(port502_site::sunspec::quoted(text)),
        ValueType::Bool | ValueType::Bit(_) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "on" => Some("true".to_owned()),
            "0" | "false" | "off" => Some("false".to_owned()),
            _ => None,
        },
        _ => number(text, comma).map(crate::draft::number),
    }
}

fn access(row: &Row<'_>, tag: &mut DraftTag, draft: &mut Draft) {
    let Some(word) = row.text(Column::Access) else { return };
    let lower: String = word.to_ascii_lowercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let write = match lower.as_str() {
        "rw" | "readwrite" | "wr" | "writeread" | "w" | "wo" | "write" | "writeonly" | "rwc" | "no"
        | "false" => true,
        "r" | "ro" | "read" | "readonly" | "yes" | "true" => false,
        _ => {
            draft.left_out(row.place(), &format!("the access \"{word}\" of {}", tag.name), "want r or rw");
            false
        }
    };
    if !write {
        return;
    }
    let bits = matches!(tag.point.value_type(), ValueType::Bool | ValueType::Bit(_));
    let limits = row.number(Column::WriteLow).zip(row.number(Column::WriteHigh)).or(tag.range);
    let whole = tag.point.table() == Table::Coils;
    match limits {
        _ if whole => tag.write = Some(DraftWrite::Any),
        Some((low, high)) if !bits && low <= high && tag.point.table() == Table::HoldingRegisters => {
            tag.write = Some(DraftWrite::Between(low, high));
        }
        _ => draft.note(row.place(), Lost::Write { tag: tag.name.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_kinds() {
        for (text, comma, want) in [
            ("0.1", false, Some(0.1)),
            ("0,1", true, Some(0.1)),
            ("0,1", false, None),
            ("1/10", false, Some(0.1)),
            ("x0.01", false, Some(0.01)),
            ("10^-2", false, Some(0.01)),
            ("10^2", false, Some(100.0)),
            ("1e-3", false, Some(0.001)),
            ("0x10", false, Some(16.0)),
            ("1/0", false, None),
            ("", false, None),
            ("nan", false, None),
            ("inf", false, None),
        ] {
            assert_eq!(number(text, comma), want, "{text}");
        }
    }

    #[test]
    fn addresses_of_all_kinds() {
        let row = |text: &str, base: Base| {
            let fields = [Field { text: text.to_owned(), line: 1 }];
            let columns = [(Column::Address, 0)];
            let row = Row { fields: &fields, columns: &columns, comma: false, line: 1 };
            place_of(&row, false, base).map(|(table, address, bit)| {
                format!("{table}:{address}{}", bit.map_or_else(String::new, |bit| format!(".{bit}")))
            })
        };
        for (text, base, want) in [
            ("100", Base::Zero, "holding:100"),
            ("100", Base::One, "holding:99"),
            ("0x64", Base::Zero, "holding:100"),
            ("0x64", Base::Reference, "holding:100"),
            ("0034h", Base::Zero, "holding:52"),
            ("5B00", Base::Zero, "holding:23296"),
            ("40101", Base::Reference, "holding:100"),
            ("400101", Base::Reference, "holding:100"),
            ("465536", Base::Reference, "holding:65535"),
            ("30008", Base::Reference, "input:7"),
            ("10001", Base::Reference, "discrete:0"),
            ("7", Base::Reference, "coil:6"),
            ("4x0101", Base::Zero, "holding:100"),
            ("3X1", Base::One, "input:0"),
            ("input:7", Base::One, "input:7"),
            ("100.3", Base::Zero, "holding:100.3"),
            ("100-101", Base::Zero, "holding:100"),
        ] {
            assert_eq!(row(text, base).as_deref(), Ok(want), "{text}");
        }
        for (text, base, want) in [
            ("70000", Base::Zero, "\"70000\" is not within a table of 65536"),
            ("0", Base::One, "\"0\" is not within a table of 65536"),
            ("20001", Base::Reference, "\"20001\" is no reference; they are 40001, 400001 or 4x0001"),
            ("4x0", Base::Zero, "\"4x0\" is not within a table of 65536"),
            ("x", Base::Zero, "\"x\" is no address"),
            ("100.16", Base::Zero, "\"100.16\" is no address"),
        ] {
            assert_eq!(row(text, base), Err(want.to_owned()), "{text}");
        }
    }
}
