//! Rights: a CSV file that says what clients with each role may do (Modbus/TCP Security, R-16 to R-31).
//!
//! ```text
//! role,access,unit,function,table,address
//! # only role and access must be there; the columns stand in any order
//! viewer,read
//! operator,read
//! operator,write,1-3,,holding,200-209 300
//! operator,write,1,5,coil,0-15
//! service,rw,,8/0 43/14
//! -,read,1,,input
//! ```
//!
//! Each row allows something, and what no row allows is refused: there are no rights but those that are written. `*` is
//! every role, `-` a client without one (the null role), which is also what clients of links without TLS are. Several
//! units, functions and addresses are separated by blanks; an empty field is all of them. The access is `read`,
//! `write`, or `rw` for both.
//!
//! | function | needs |
//! |---|---|
//! | 1, 2, 3, 4 | `read` of all addresses that it names |
//! | 5, 6, 15, 16, 22 | `write` of all addresses that it names |
//! | 23 | `read` of the one range and `write` of the other |
//! | 24 | `read` of the holding registers from its address on, as far as a queue can reach: 32 |
//! | 20, 21 | `read`, `write` of the table `file`, whose addresses are file numbers |
//! | 7, 11, 12, 17, 43/14, 8/0, 8/2, 8/11 to 8/18 | `read`, in a row without a table |
//! | 8 with other sub-functions | `write`, in a row without a table |
//! | 43/13, and what the specification gives no meaning | `rw`, in a row without a table |

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use port502_wire::{ExceptionCode, FunctionCode, PduError, Request, Table, UnitId};

use crate::excerpt::excerpt;
use crate::nearest;
use crate::point::{nearest_table, number, table};

/// The addresses that a queue reaches behind its own: function 24 answers with at most 31 registers.
const QUEUE_REACH: u16 = 31;

/// What clients with each role may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rights {
    /// By role; those of `*` are in each.
    roles: Vec<(String, RoleRights)>,
    /// Of a role that has no row of its own.
    others: RoleRights,
    /// Of clients without a role.
    none: RoleRights,
}

/// What a request needs to be allowed for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Values of a table are read or written.
    Table {
        /// Which.
        table: Table,
        /// The first address.
        first: u16,
        /// The last.
        last: u16,
        /// Whether they are changed.
        write: bool,
    },
    /// Records of a file are read or written.
    File {
        /// Its number.
        file: u16,
        /// Whether they are changed.
        write: bool,
    },
    /// A function that works on no table, with its sub-function or the like.
    Function {
        /// Its code.
        function: u8,
        /// The sub-function of 8, the type of 43.
        sub: Option<u16>,
    },
}

/// Whether a request may be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// It may.
    Allowed,
    /// It is refused, with exception 01 (R-31), for the want of a right to this.
    Denied(Deed),
    /// It cannot be read, so that nobody knows what it would do. This exception is its answer.
    Malformed(ExceptionCode),
}

/// What goes behind "may not".
impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = |write| if write { "write" } else { "read" };
        match *self {
            Deed::Table { table, first, last, write } if first == last => {
                write!(f, "{} {table}:{first}", verb(write))
            }
            Deed::Table { table, first, last, write } => write!(f, "{} {table}:{first}-{last}", verb(write)),
            Deed::File { file, write } => write!(f, "{} file:{file}", verb(write)),
            Deed::Function { function, sub: None } => write!(f, "use function {function}"),
            Deed::Function { function, sub: Some(sub) } => write!(f, "use function {function}/{sub}"),
        }
    }
}

/// One thing that is wrong with a file of rights.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RightsError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub fault: RightsFault,
    /// What stands there.
    pub text: String,
}

/// What can be wrong with a file of rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RightsFault {
    /// There is nothing in it, or no row behind the header.
    Empty,
    /// The header lacks `role` or `access`.
    ColumnMissing(&'static str),
    /// The header has a column that is not known; the one that was perhaps meant.
    Column(Option<&'static str>),
    /// The header has a column twice.
    ColumnTwice,
    /// A row has more fields than the header.
    ExtraField,
    /// A quote is not closed in its line, or something follows it.
    Quote,
    /// No role.
    Role,
    /// Neither `read`, `write` nor `rw`.
    Access,
    /// Not unit ids or ranges of them.
    Unit,
    /// Not functions.
    Function,
    /// Not a table; the one that was perhaps meant.
    Table(Option<&'static str>),
    /// Not addresses or ranges of them.
    Address,
    /// Addresses without a table.
    AddressWithoutTable,
    /// A row that allows nothing, as `write` of input registers.
    Nothing,
}

impl core::error::Error for RightsError {}

impl fmt::Display for RightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column, text) = (self.line, self.column, excerpt(&self.text));
        write!(f, "{line}:{column}: ")?;
        let meant = |f: &mut fmt::Formatter<'_>, word: Option<&str>, usual: &str| match word {
            Some(word) => write!(f, "; did you mean {word}?"),
            None => write!(f, "; {usual}"),
        };
        match self.fault {
            RightsFault::Empty => f.write_str(
                "nobody may do anything; write `role,access` in the first line, and under it what is allowed, as \
                 viewer,read",
            ),
            RightsFault::ColumnMissing(column) => {
                write!(f, "the header has no column {column}; its columns are {}", COLUMNS.join(","))
            }
            RightsFault::Column(word) => {
                write!(f, "\"{text}\" is not a column")?;
                meant(f, word, "they are role, access, unit, function, table and address")
            }
            RightsFault::ColumnTwice => write!(f, "the column \"{text}\" stands there twice; remove one"),
            RightsFault::ExtraField => {
                write!(f, "\"{text}\" is a field more than the header has columns; put blanks between addresses")
            }
            RightsFault::Quote => f.write_str("a quoted field ends with its quote, in the same line"),
            RightsFault::Role => f.write_str("no role; write its name, * for every role, or - for none"),
            RightsFault::Access => write!(f, "\"{text}\" is not an access; write read, write or rw"),
            RightsFault::Unit => write!(f, "\"{text}\" are no unit ids; write them as 1 or 1-3 or 1 5-7"),
            RightsFault::Function => {
                write!(f, "\"{text}\" are no functions; write them as 3 or 3 16 or 8/0 43/14")
            }
            RightsFault::Table(word) => {
                write!(f, "\"{text}\" is not a table")?;
                meant(f, word, "they are coil, discrete, input, holding and file")
            }
            RightsFault::Address => {
                write!(f, "\"{text}\" are no addresses; write them as 100 or 100-199 or 100 200-209, from 0 to 65535")
            }
            RightsFault::AddressWithoutTable => {
                write!(f, "\"{text}\": say in the column table what these are addresses of")
            }
            RightsFault::Nothing => {
                f.write_str("this row allows nothing: no function of this kind has this access to this table")
            }
        }
    }
}

const COLUMNS: [&str; 6] = ["role", "access", "unit", "function", "table", "address"];

impl Rights {
    /// Reads a file of rights.
    ///
    /// # Errors
    /// All that is wrong, in the order of the lines.
    ///
    /// ```
    /// use port502_site::rights::{Judgement, Rights};
    /// use port502_wire::UnitId;
    ///
    /// let rights = Rights::parse("role,access,table,address\nviewer,read\noperator,rw,holding,0-99\n").unwrap();
    /// let write = [6, 0, 10, 0, 1]; // holding register 10
    /// assert_eq!(rights.judge(Some("operator"), UnitId(1), &write), Judgement::Allowed);
    /// assert!(matches!(rights.judge(Some("viewer"), UnitId(1), &write), Judgement::Denied(_)));
    ///
    /// let errors = Rights::parse("role,access\nviewer,raed\n").unwrap_err();
    /// assert_eq!(errors[0].to_string(), "2:8: \"raed\" is not an access; write read, write or rw");
    /// ```
    pub fn parse(text: &str) -> Result<Self, Vec<RightsError>> {
        let mut errors = Vec::new();
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
            .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        let empty = |line| RightsError { line, column: 1, fault: RightsFault::Empty, text: String::new() };
        let Some((header_line, header)) = lines.next() else { return Err(vec![empty(1)]) };
        let columns = header_columns(header_line, header, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut rows = Vec::new();
        let mut any = false;
        for (line, text) in lines {
            any = true;
            rows.extend(Row::parse(line, text, &columns, &mut errors));
        }
        if !any {
            errors.push(empty(header_line));
        }
        if errors.is_empty() { Ok(Rights::compile(&rows)) } else { Err(errors) }
    }

    fn compile(rows: &[Row]) -> Self {
        let of = |role: Option<&str>| {
            let rows = rows.iter().filter(|row| match (&row.who, role) {
                (Who::Role(own), Some(role)) => own == role,
                (Who::Any, Some(_)) | (Who::None, None) => true,
                _ => false,
            });
            RoleRights::compile(&rows.collect::<Vec<_>>())
        };
        let names: BTreeSet<&str> = rows
            .iter()
            .filter_map(|row| match &row.who {
                Who::Role(role) => Some(role.as_str()),
                _ => None,
            })
            .collect();
        let roles = names.into_iter().map(|role| (role.to_owned(), of(Some(role)))).collect();
        // A role that no row names has the rights of all roles; `*` itself is no role's name.
        Rights { roles, others: of(Some("*")), none: of(None) }
    }

    /// The roles that have rows of their own.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(|(role, _)| role.as_str())
    }

    /// Whether a client with `role` may have `unit` carry out `pdu`.
    #[must_use]
    pub fn judge(&self, role: Option<&str>, unit: UnitId, pdu: &[u8]) -> Judgement {
        let rights = match role {
            None => &self.none,
            Some(role) => match self.roles.iter().find(|(name, _)| name == role) {
                Some((_, rights)) => rights,
                None => &self.others,
            },
        };
        rights.unit(unit).judge(pdu)
    }
}

/// Addresses that are allowed: ranges that neither overlap nor touch, from low to high.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Ranges(Vec<(u16, u16)>);

impl Ranges {
    fn of(mut ranges: Vec<(u16, u16)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Ranges(merged)
    }

    #[inline]
    fn covers(&self, first: u16, last: u16) -> bool {
        let at = self.0.partition_point(|range| range.1 < first);
        self.0.get(at).is_some_and(|range| range.0 <= first && last <= range.1)
    }
}

/// What is allowed of one function.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Permit {
    No,
    Yes,
    /// These sub-functions.
    Subs(BTreeSet<u16>),
    /// Reading and writing these addresses, or files.
    Ranges {
        read: Ranges,
        write: Ranges,
    },
}

/// By function code; without the highest bit, which no request has.
#[derive(Clone, PartialEq, Eq, Debug)]
struct UnitRights(Vec<Permit>);

/// The kinds of unit that a role tells apart, and which unit is of which.
#[derive(Clone, PartialEq, Eq, Debug)]
struct RoleRights {
    kinds: Vec<UnitRights>,
    kind_of: Vec<u8>,
}

impl RoleRights {
    fn compile(rows: &[&Row]) -> Self {
        // Units that the same rows speak of are of one kind.
        let mut kinds: BTreeMap<Vec<usize>, u8> = BTreeMap::new();
        let mut compiled = Vec::new();
        let mut kind_of = Vec::with_capacity(256);
        for unit in 0..=u8::MAX {
            let speak = rows.iter().enumerate().filter(|(_, row)| row.units.covers(unit.into(), unit.into()));
            let speak: Vec<usize> = speak.map(|(at, _)| at).collect();
            // There are at most as many kinds as units.
            let next = u8::try_from(compiled.len()).unwrap_or(u8::MAX);
            let kind = *kinds.entry(speak.clone()).or_insert_with(|| {
                let rows: Vec<&Row> = speak.iter().filter_map(|at| rows.get(*at).copied()).collect();
                compiled.push(UnitRights::compile(&rows));
                next
            });
            kind_of.push(kind);
        }
        RoleRights { kinds: compiled, kind_of }
    }

    #[inline]
    fn unit(&self, unit: UnitId) -> &UnitRights {
        static NOTHING: UnitRights = UnitRights(Vec::new());
        let kind = self.kind_of.get(usize::from(unit.0)).copied().unwrap_or_default();
        self.kinds.get(usize::from(kind)).unwrap_or(&NOTHING)
    }
}

/// What a function works on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Table(Table),
    File,
    /// The sub-functions of 8 and the types of 43.
    Subs,
    Nothing,
}

fn space(function: u8) -> Space {
    match function {
        8 | 43 => Space::Subs,
        20 | 21 => Space::File,
        // A queue is read through the holding registers in front of it.
        24 => Space::Table(Table::HoldingRegisters),
        _ => match FunctionCode(function).facts().and_then(|facts| facts.table) {
            Some(table) => Space::Table(table),
            None => Space::Nothing,
        },
    }
}

/// Whether a function that works on no table changes anything: `None` when nobody knows.
fn changes(function: u8, sub: Option<u16>) -> Option<bool> {
    match (function, sub) {
        (8, Some(0 | 2 | 11..=18)) | (43, Some(14)) | (7 | 11 | 12 | 17, _) => Some(false),
        (8, _) => Some(true),
        _ => None,
    }
}

impl UnitRights {
    fn compile(rows: &[&Row]) -> Self {
        UnitRights((0..128).map(|function| Self::permit(function, rows)).collect())
    }

    fn permit(function: u8, rows: &[&Row]) -> Permit {
        match space(function) {
            Space::Subs => {
                // No more than these mean anything, and function 8 answers others with exception 01 anyway.
                let subs = 0..=255u16;
                let allowed = |sub: &u16| rows.iter().any(|row| row.allows(function, Some(*sub)));
                Permit::Subs(subs.filter(allowed).collect())
            }
            Space::Nothing if rows.iter().any(|row| row.allows(function, None)) => Permit::Yes,
            Space::Nothing => Permit::No,
            space => {
                let ranges = |write| {
                    let rows = rows.iter().filter(|row| row.reaches(function, space, write));
                    Ranges::of(rows.flat_map(|row| row.addresses.0.iter().copied()).collect())
                };
                Permit::Ranges { read: ranges(false), write: ranges(true) }
            }
        }
    }

    #[inline]
    fn judge(&self, pdu: &[u8]) -> Judgement {
        let function = pdu.first().copied().unwrap_or_default();
        let permit = self.0.get(usize::from(function)).unwrap_or(&Permit::No);
        let request = match Request::parse(pdu) {
            Ok(request) => request,
            Err(error) => return self.unreadable(function, permit, error),
        };
        let touch = |table, first: u16, last: u16, write: bool| {
            let covered = match permit {
                Permit::Ranges { read, write: written } => {
                    (if write { written } else { read }).covers(first, last)
                }
                _ => false,
            };
            if covered {
                Judgement::Allowed
            } else {
                Judgement::Denied(Deed::Table { table, first, last, write })
            }
        };
        let whole = |sub: Option<u16>| {
            let allowed = match (permit, sub) {
                (Permit::Yes, _) => true,
                (Permit::Subs(subs), Some(sub)) => subs.contains(&sub),
                _ => false,
            };
            if allowed { Judgement::Allowed } else { Judgement::Denied(Deed::Function { function, sub }) }
        };
        let files = |files: &mut dyn Iterator<Item = u16>, write: bool| {
            for file in files {
                let covered = match permit {
                    Permit::Ranges { read, write: written } => {
                        (if write { written } else { read }).covers(file, file)
                    }
                    _ => false,
                };
                if !covered {
                    return Judgement::Denied(Deed::File { file, write });
                }
            }
            Judgement::Allowed
        };
        match request {
            Request::ReadCoils { span } => touch(Table::Coils, span.start(), span.last(), false),
            Request::ReadDiscreteInputs { span } => {
                touch(Table::DiscreteInputs, span.start(), span.last(), false)
            }
            Request::ReadHoldingRegisters { span } => {
                touch(Table::HoldingRegisters, span.start(), span.last(), false)
            }
            Request::ReadInputRegisters { span } => {
                touch(Table::InputRegisters, span.start(), span.last(), false)
            }
            Request::WriteSingleCoil { address, .. } => touch(Table::Coils, address, address, true),
            Request::WriteMultipleCoils { block } => {
                touch(Table::Coils, block.span().start(), block.span().last(), true)
            }
            Request::WriteSingleRegister { address, .. } | Request::MaskWriteRegister { address, .. } => {
                touch(Table::HoldingRegisters, address, address, true)
            }
            Request::WriteMultipleRegisters { block } => {
                touch(Table::HoldingRegisters, block.span().start(), block.span().last(), true)
            }
            Request::ReadWriteMultipleRegisters { read, write } => {
                match touch(Table::HoldingRegisters, read.start(), read.last(), false) {
                    Judgement::Allowed => {
                        touch(Table::HoldingRegisters, write.span().start(), write.span().last(), true)
                    }
                    denied => denied,
                }
            }
            Request::ReadFifoQueue { address } => {
                touch(Table::HoldingRegisters, address, address.saturating_add(QUEUE_REACH), false)
            }
            Request::ReadFileRecord { records } => files(&mut records.iter().map(|run| run.file), false),
            Request::WriteFileRecord { records } => files(&mut records.iter().map(|run| run.file), true),
            Request::Diagnostics { sub_function, .. } => whole(Some(sub_function.0)),
            Request::ReadDeviceIdentification { .. } => whole(Some(14)),
            Request::EncapsulatedInterface { mei, .. } => whole(Some(mei.into())),
            _ => whole(None),
        }
    }

    /// Who may not use the function at all learns no more than that. Nothing unreadable goes on to a device, which
    /// might read it otherwise, unless its client may do everything with the function: then the device answers, and
    /// counts it.
    #[cold]
    fn unreadable(&self, function: u8, permit: &Permit, error: PduError) -> Judgement {
        let all = |ranges: &Ranges| ranges.covers(0, u16::MAX);
        let (none, everything) = match permit {
            Permit::No => (true, false),
            Permit::Yes => (false, true),
            Permit::Subs(subs) => (subs.is_empty(), subs.len() == SUBS),
            Permit::Ranges { read, write } => {
                let (reads, writes) = (does(function, false), does(function, true));
                let none = read.0.is_empty() && write.0.is_empty();
                (none, (!reads || all(read)) && (!writes || all(write)))
            }
        };
        if everything {
            Judgement::Allowed
        } else if none {
            Judgement::Denied(Deed::Function { function, sub: None })
        } else {
            Judgement::Malformed(error.exception())
        }
    }
}

/// Sub-functions of 8 and types of 43 that are told apart: no others mean anything.
const SUBS: usize = 256;

/// Whether a function reads, or writes, what it works on.
fn does(function: u8, write: bool) -> bool {
    match function {
        23 => true,
        1..=4 | 20 | 24 => !write,
        _ => write,
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Who {
    Role(String),
    Any,
    None,
}

/// One row.
#[derive(Clone, Debug)]
struct Row {
    who: Who,
    read: bool,
    write: bool,
    units: Ranges,
    /// With a sub-function or without; all when empty.
    functions: Vec<(u8, Option<u16>)>,
    /// `Nothing` is every table, and what works on none.
    space: Option<Space>,
    addresses: Ranges,
}

impl core::fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Space::Table(table) => write!(f, "{table}"),
            Space::File => f.write_str("file"),
            Space::Subs => f.write_str("sub-functions"),
            Space::Nothing => f.write_str("nothing"),
        }
    }
}

impl Row {
    fn names(&self, function: u8, sub: Option<u16>) -> bool {
        let same = |(named, own): &(u8, Option<u16>)| *named == function && (own.is_none() || *own == sub);
        self.functions.is_empty() || self.functions.iter().any(same)
    }

    /// Whether it allows a function that works on no table.
    fn allows(&self, function: u8, sub: Option<u16>) -> bool {
        let access = match changes(function, sub) {
            Some(false) => self.read,
            Some(true) => self.write,
            None => self.read && self.write,
        };
        access && self.space.is_none() && self.names(function, sub)
    }

    /// Whether it allows a function to read, or write, at its addresses.
    fn reaches(&self, function: u8, space: Space, write: bool) -> bool {
        let access = if write { self.write } else { self.read };
        does(function, write)
            && access
            && self.space.is_none_or(|own| own == space)
            && self.names(function, None)
    }

    fn is_of_use(&self) -> bool {
        (1..128).any(|function| match space(function) {
            Space::Nothing => self.allows(function, None),
            Space::Subs => (0..=255).any(|sub| self.allows(function, Some(sub))),
            space => self.reaches(function, space, false) || self.reaches(function, space, true),
        })
    }

    fn parse(
        line: usize,
        text: &str,
        columns: &[Option<usize>; COLUMNS.len()],
        errors: &mut Vec<RightsError>,
    ) -> Option<Row> {
        let before = errors.len();
        let fields = match fields(text) {
            Ok(fields) => fields,
            Err(column) => {
                errors.push(RightsError { line, column, fault: RightsFault::Quote, text: String::new() });
                return None;
            }
        };
        let mut wrong = |field: &Field, fault| {
            errors.push(RightsError { line, column: field.column, fault, text: field.text.clone() });
        };
        if let Some(extra) = fields.get(columns.iter().flatten().count()) {
            wrong(extra, RightsFault::ExtraField);
        }
        let end = Field { text: String::new(), column: text.chars().count() + 1 };
        let [role_f, access_f, unit_f, function_f, table_f, address_f] =
            columns.map(|index| index.and_then(|index| fields.get(index)).unwrap_or(&end));
        let who = match role_f.text.as_str() {
            "" => {
                wrong(role_f, RightsFault::Role);
                Who::None
            }
            "*" => Who::Any,
            "-" => Who::None,
            role => Who::Role(role.to_owned()),
        };
        let (read, write) = match access_f.text.to_ascii_lowercase().as_str() {
            "read" => (true, false),
            "write" => (false, true),
            "rw" => (true, true),
            _ => {
                wrong(access_f, RightsFault::Access);
                (false, false)
            }
        };
        let units = ranges(&unit_f.text, u8::MAX.into());
        if units.is_none() {
            wrong(unit_f, RightsFault::Unit);
        }
        let functions: Option<Vec<_>> = function_f.text.split_whitespace().map(function).collect();
        if functions.is_none() {
            wrong(function_f, RightsFault::Function);
        }
        let space = match table_f.text.as_str() {
            "" => None,
            "file" => Some(Space::File),
            word => match table(word) {
                Some(table) => Some(Space::Table(table)),
                None => {
                    wrong(table_f, RightsFault::Table(nearest_table(word)));
                    None
                }
            },
        };
        let addresses = ranges(&address_f.text, u16::MAX);
        if addresses.is_none() {
            wrong(address_f, RightsFault::Address);
        } else if !address_f.text.is_empty() && table_f.text.is_empty() {
            wrong(address_f, RightsFault::AddressWithoutTable);
        }
        let row =
            Row { who, read, write, units: units?, functions: functions?, space, addresses: addresses? };
        if errors.len() == before && !row.is_of_use() {
            let column = access_f.column;
            errors.push(RightsError { line, column, fault: RightsFault::Nothing, text: String::new() });
        }
        Some(row)
    }
}

/// `3`, `8/0`.
fn function(word: &str) -> Option<(u8, Option<u16>)> {
    let (function, sub) = word.split_once('/').map_or((word, None), |(function, sub)| (function, Some(sub)));
    let function =
        number(function).and_then(|code| u8::try_from(code).ok()).filter(|code| (1..128).contains(code))?;
    let sub = match sub {
        None => None,
        Some(_) if !matches!(function, 8 | 43) => return None,
        Some(sub) => Some(number(sub).and_then(|sub| u16::try_from(sub).ok()).filter(|sub| *sub <= 255)?),
    };
    Some((function, sub))
}

/// `1 5-7`; all from 0 to `max` when empty.
fn ranges(text: &str, max: u16) -> Option<Ranges> {
    if text.is_empty() {
        return Some(Ranges(vec![(0, max)]));
    }
    let end = |text: &str| number(text).and_then(|it| u16::try_from(it).ok()).filter(|it| *it <= max);
    let range = |word: &str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (end(first)?, end(last)?);
        (first <= last).then_some((first, last))
    };
    text.split_whitespace().map(range).collect::<Option<Vec<_>>>().map(Ranges::of)
}

struct Field {
    text: String,
    column: usize,
}

/// The fields of a line; the column of a quote that is not closed, or that something follows.
fn fields(line: &str) -> Result<Vec<Field>, usize> {
    let mut fields = Vec::new();
    let mut characters = line.chars().enumerate().map(|(at, c)| (at + 1, c)).peekable();
    loop {
        while characters.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let column = characters.peek().map_or_else(|| line.chars().count() + 1, |(at, _)| *at);
        let mut text = String::new();
        if characters.next_if(|(_, c)| *c == '"').is_some() {
            loop {
                match characters.next() {
                    None => return Err(column),
                    Some((_, '"')) if characters.next_if(|(_, c)| *c == '"').is_some() => text.push('"'),
                    Some((_, '"')) => break,
                    Some((_, c)) => text.push(c),
                }
            }
            while characters.next_if(|(_, c)| c.is_whitespace()).is_some() {}
            if characters.peek().is_some_and(|(_, c)| *c != ',') {
                return Err(column);
            }
        } else {
            while let Some((_, c)) = characters.next_if(|(_, c)| *c != ',') {
                text.push(c);
            }
            text.truncate(text.trim_end().len());
        }
        fields.push(Field { text, column });
        if characters.next().is_none() {
            return Ok(fields);
        }
    }
}

fn header_columns(
    line: usize,
    header: &str,
    errors: &mut Vec<RightsError>,
) -> [Option<usize>; COLUMNS.len()] {
    let mut columns = [None; COLUMNS.len()];
    let mut wrong = |column, fault, text: &str| {
        errors.push(RightsError { line, column, fault, text: text.to_owned() });
    };
    match fields(header) {
        Err(column) => wrong(column, RightsFault::Quote, ""),
        Ok(fields) => {
            for (index, field) in fields.iter().enumerate() {
                let spelled = |name: &&str| name.eq_ignore_ascii_case(&field.text);
                match COLUMNS.iter().position(spelled).and_then(|at| columns.get_mut(at)) {
                    Some(place @ None) => *place = Some(index),
                    Some(_) => wrong(field.column, RightsFault::ColumnTwice, &field.text),
                    None => {
                        let meant = nearest(&field.text, COLUMNS);
                        wrong(field.column, RightsFault::Column(meant), &field.text);
                    }
                }
            }
            for (column, place) in COLUMNS.iter().zip(columns).take(2) {
                if place.is_none() {
                    wrong(1, RightsFault::ColumnMissing(column), header);
                }
            }
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "role,access,unit,function,table,address
# a plant
viewer,read
operator,read
operator,write,1-3,,holding,200-209 210-219
operator,write,1,5,coil,0-15
service,rw,,8/0 8/10 43/14 17
\"quoted, \"\"one\"\"\",rw,7,,file,1-3
gate,rw,,65
gate,read,,,holding,0-40
mixed,read,,,holding,0-9
mixed,write,,,holding,5-19
*,read,9
-,read,1,,input,5
";

    #[track_caller]
    fn check(role: &str, unit: u8, pdu: &[u8], want: &str) {
        let rights = Rights::parse(FILE).unwrap();
        let role = Some(role).filter(|role| *role != "-");
        let got = match rights.judge(role, UnitId(unit), pdu) {
            Judgement::Allowed => "yes".to_owned(),
            Judgement::Denied(deed) => format!("no: {deed}"),
            Judgement::Malformed(code) => format!("exception {}", code.code()),
        };
        assert_eq!(got, want, "{role:?} of unit {unit}: {pdu:02X?}");
    }

    #[test]
    fn each_role_may_do_what_its_rows_say_and_no_more() {
        let read_holding = |start: u16, count: u16| {
            let ([a, b], [c, d]) = (start.to_be_bytes(), count.to_be_bytes());
            [3, a, b, c, d]
        };
        check("viewer", 1, &read_holding(0, 10), "yes");
        check("viewer", 200, &[1, 0, 0, 0, 1], "yes");
        check("viewer", 1, &[6, 0, 200, 0, 1], "no: write holding:200");
        check("viewer", 1, &[7], "yes");
        check("viewer", 1, &[17], "yes");
        check("viewer", 1, &[43, 14, 1, 0], "yes");
        check("viewer", 1, &[8, 0, 0, 1, 2], "yes");
        check("viewer", 1, &[8, 0, 10, 0, 0], "no: use function 8/10");
        check("viewer", 1, &[8, 0, 4, 0, 0], "no: use function 8/4");
        check("viewer", 1, &[43, 13, 0], "no: use function 43/13");
        check("viewer", 1, &[65, 1], "no: use function 65");
        check("operator", 1, &[6, 0, 200, 0, 1], "yes");
        check("operator", 3, &[22, 0, 209, 0, 1, 0, 1], "yes");
        check("operator", 4, &[6, 0, 200, 0, 1], "no: write holding:200");
        check("operator", 1, &[6, 0, 199, 0, 1], "no: write holding:199");
        check("operator", 1, &[6, 0, 219, 0, 1], "yes");
        check("operator", 1, &[6, 0, 220, 0, 1], "no: write holding:220");
        // Two ranges that touch are one.
        check("operator", 1, &[16, 0, 208, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0], "yes");
        check("operator", 1, &[16, 0, 218, 0, 3, 6, 0, 0, 0, 0, 0, 0], "no: write holding:218-220");
        // Function 5, and not 15.
        check("operator", 1, &[5, 0, 15, 0xFF, 0], "yes");
        check("operator", 1, &[15, 0, 0, 0, 1, 1, 1], "no: write coil:0");
        check("operator", 2, &[5, 0, 0, 0xFF, 0], "no: write coil:0");
        check("service", 1, &[8, 0, 10, 0, 0], "yes");
        check("service", 1, &[8, 0, 11, 0, 0], "no: use function 8/11");
        check("service", 1, &[43, 14, 1, 0], "yes");
        check("service", 1, &read_holding(0, 1), "no: read holding:0");
        check("quoted, \"one\"", 7, &[20, 7, 6, 0, 3, 0, 0, 0, 1], "yes");
        check("quoted, \"one\"", 7, &[20, 7, 6, 0, 4, 0, 0, 0, 1], "no: read file:4");
        check("quoted, \"one\"", 7, &[21, 9, 6, 0, 1, 0, 0, 0, 1, 0, 0], "yes");
        check("quoted, \"one\"", 8, &[20, 7, 6, 0, 3, 0, 0, 0, 1], "no: read file:3");
        check("gate", 1, &[65, 9, 9], "yes");
        check("gate", 1, &[66, 9, 9], "no: use function 66");
        // A queue reaches 31 registers behind its address.
        check("gate", 1, &[24, 0, 9], "yes");
        check("gate", 1, &[24, 0, 10], "no: read holding:10-41");
        // 23 is both.
        check("mixed", 1, &[23, 0, 0, 0, 10, 0, 5, 0, 1, 2, 0, 0], "yes");
        check("mixed", 1, &[23, 0, 0, 0, 11, 0, 5, 0, 1, 2, 0, 0], "no: read holding:0-10");
        check("mixed", 1, &[23, 0, 0, 0, 10, 0, 4, 0, 1, 2, 0, 0], "no: write holding:4");
        // Any role, and none.
        check("stranger", 9, &read_holding(0, 1), "yes");
        check("stranger", 1, &read_holding(0, 1), "no: read holding:0");
        check("service", 9, &read_holding(0, 1), "yes");
        check("-", 9, &read_holding(0, 1), "no: read holding:0");
        check("-", 1, &[4, 0, 5, 0, 1], "yes");
        check("-", 1, &[4, 0, 5, 0, 2], "no: read input:5-6");
    }

    #[test]
    fn what_cannot_be_read_goes_no_further() {
        check("mixed", 1, &[3, 0, 0, 0], "exception 3");
        check("mixed", 1, &[3, 0, 0, 0, 0], "exception 3");
        check("mixed", 1, &[3, 0xFF, 0xFF, 0, 2], "exception 2");
        check("mixed", 1, &[3, 0, 0, 0, 1, 0], "exception 3");
        // Unless there is nothing that its client may not do with the function.
        check("viewer", 1, &[3, 0xFF, 0xFF, 0, 2], "yes");
        check("viewer", 1, &[23, 0], "exception 3");
        check("viewer", 1, &[6, 0], "no: use function 6");
        check("viewer", 1, &[], "no: use function 0");
        check("viewer", 1, &[0x83, 0], "no: use function 131");
        check("-", 1, &[3, 0, 0, 0], "no: use function 3");
    }

    #[track_caller]
    fn refuse(text: &str, want: &[&str]) {
        let errors = Rights::parse(text).expect_err(text);
        let got: Vec<String> = errors.iter().map(RightsError::to_string).collect();
        assert_eq!(got.len(), want.len(), "{got:?}");
        for (got, want) in got.iter().zip(want) {
            assert!(got.starts_with(want), "want {want}, got {got}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        refuse("", &["1:1: nobody may do anything"]);
        refuse("# nothing\n\n", &["1:1: nobody"]);
        refuse("role,access\n", &["1:1: nobody"]);
        refuse(
            "role,acces\nviewer,read\n",
            &["1:6: \"acces\" is not a column; did you mean access?", "1:1: the header has no column access"],
        );
        refuse("role,access,role\n", &["1:13: the column \"role\" stands there twice"]);
        refuse("role,access\nviewer,read,1\n", &["2:13: \"1\" is a field more"]);
        refuse(
            "role,access\n,read\n\"a,read\n\"a\"b,read\n",
            &["2:1: no role", "3:1: a quoted field", "4:1: a quoted field"],
        );
        refuse(
            "role,access,unit,function,table,address\na,x,256,0,holdign,70000\n",
            &[
                "2:3: \"x\" is not an access",
                "2:5: \"256\" are no unit ids",
                "2:9: \"0\" are no functions",
                "2:11: \"holdign\" is not a table; did you mean holding?",
                "2:19: \"70000\" are no addresses",
            ],
        );
        refuse("role,access,unit\na,rw,3-1\n", &["2:6: \"3-1\" are no unit ids"]);
        refuse("role,access,function\na,rw,3/1\nb,rw,128\n", &["2:6: \"3/1\"", "3:6: \"128\""]);
        refuse("role,access,address\na,rw,5\n", &["2:6: \"5\": say in the column table"]);
        refuse("role,access,table\na,write,input\n", &["2:3: this row allows nothing"]);
        refuse("role,access,function\na,read,6\n", &["2:3: this row allows nothing"]);
        refuse("role,access,function,table\na,rw,8,holding\n", &["2:3: this row allows nothing"]);
    }

    #[test]
    fn ranges_cover_what_they_hold_together() {
        let ranges = Ranges::of(vec![(10, 19), (0, 4), (20, 29), (65530, 65535), (15, 22)]);
        assert_eq!(ranges.0, [(0, 4), (10, 29), (65530, 65535)]);
        for (first, last, want) in [
            (0, 4, true),
            (0, 5, false),
            (10, 29, true),
            (9, 10, false),
            (29, 30, false),
            (65535, 65535, true),
            (5, 9, false),
        ] {
            assert_eq!(ranges.covers(first, last), want, "{first}-{last}");
        }
    }
}
