//! What is recorded of refused and alerted transactions, and how it is written: a line of JSON, of syslog (RFC 5424), of
//! CEF.
//!
//! [`FIELDS`] is the description: each field with its name, which scripts rely on, its key in CEF, and what it means.
//! [`Record::fields`] gives the fields of one record in that order; the writers here know no field, and whoever keeps
//! records in another form need not either. A line is never longer than [`LINE_MAX`]: everything in it is bounded.
//!
//! ```
//! use port502_inspect::evidence::{Line, Record, Repeats, Time};
//!
//! let repeats = Repeats {
//!     time: Time::from_unix_nanos(1_795_000_000_000_000_000),
//!     conduit: "intake",
//!     client: "10.20.0.7".parse().ok(),
//!     rule: None,
//!     function: None,
//!     reason: "function",
//!     count: 3349,
//!     first: Time::from_unix_nanos(1_794_999_940_000_000_000),
//!     last: Time::from_unix_nanos(1_794_999_999_000_000_000),
//! };
//! let mut room = [0; port502_inspect::evidence::LINE_MAX];
//! let mut line = Line::new(&mut room);
//! Record::Repeats(repeats).write_json(&mut line)?;
//! assert_eq!(
//!     line.as_str(),
//!     r#"{"time":"2026-11-18T11:06:40.000000Z","conduit":"intake","verdict":"repeats","client":"10.20.0.7","reason":"function","repeats":3349,"first":"2026-11-18T11:05:40.000000Z","last":"2026-11-18T11:06:39.000000Z"}"#
//! );
//! # Ok::<(), core::fmt::Error>(())
//! ```

use core::fmt::{self, Write};
use core::net::{IpAddr, SocketAddr};

use port502_session::server::Identity;
use port502_wire::value::Value;
use port502_wire::view::{self, View};
use port502_wire::{FunctionCode, Table};

use crate::conduit::{Direction, Event, Outcome};
use crate::engine::Engine;
use crate::policy::{Envelope, Writable};
use crate::verdict::Reason;

/// The longest line that a record is written as, in bytes.
pub const LINE_MAX: usize = 8_192;

/// The most registers or coils that are written as values; the PDU has all of them.
pub const VALUES_MAX: usize = 125;

/// The most characters of a name out of a site file or a certificate that are written.
pub const NAME_MAX: usize = 128;

/// A moment of the calendar, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(u64);

impl Time {
    /// So many nanoseconds after 1970-01-01; until the year 2554.
    #[must_use]
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Time(nanos)
    }

    /// How many nanoseconds after 1970-01-01.
    #[must_use]
    pub const fn as_unix_nanos(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Time {
    /// RFC 3339 with microseconds, which is what RFC 5424 takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Days since 0000-03-01, so that a leap day is the last of its year; eras are 400 years.
        let days = days + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (year, month) =
            if month < 10 { (year + era * 400, month + 3) } else { (year + era * 400 + 1, month - 9) };
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

macro_rules! fields {
    ($($variant:ident $name:literal $cef:literal $meaning:literal;)*) => {
        /// One field of a record.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Field {
            $(#[doc = $meaning] $variant,)*
        }

        /// Every field, in the order in which it is written.
        pub const FIELDS: &[FieldFacts] =
            &[$(FieldFacts { field: Field::$variant, name: $name, cef: $cef, meaning: $meaning }),*];

        impl Field {
            /// In JSON and syslog. Stable, scripts rely on it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Field::$variant => $name),* }
            }

            /// In CEF.
            #[must_use]
            pub const fn cef(self) -> &'static str {
                match self { $(Field::$variant => $cef),* }
            }
        }
    };
}

/// One row of [`FIELDS`].
#[derive(Clone, Copy, Debug)]
pub struct FieldFacts {
    /// Which.
    pub field: Field,
    /// [`Field::name`].
    pub name: &'static str,
    /// [`Field::cef`].
    pub cef: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

fields! {
    Time "time" "rt" "When, RFC 3339 in UTC.";
    Conduit "conduit" "cs1" "The conduit, as the site file calls it.";
    Verdict "verdict" "act" "`refused`, `alerted`, `noted`, or `repeats` for records that were counted.";
    Answer "answer" "outcome" "What the sender got: `exception:1`, `drop`, `reset`.";
    Direction "direction" "port502Direction" "Where the bytes were going: `to-server` or `to-client`.";
    Client "client" "src" "The client's address.";
    Port "port" "spt" "The client's port.";
    Subject "subject" "suser" "The subject of the client's certificate.";
    Role "role" "spriv" "The role in the client's certificate.";
    Fingerprint "fingerprint" "port502Fingerprint" "The SHA-256 of the client's certificate.";
    Transaction "transaction" "port502Transaction" "The transaction id that the sender gave.";
    Unit "unit" "cn1" "The unit id.";
    Function "function" "cn2" "The function code.";
    Name "name" "cs2" "The function's name.";
    Sub "sub" "port502Sub" "The sub-function of 08, the MEI type of 43.";
    Table "table" "port502Table" "The table: `coil`, `discrete`, `input`, `holding`.";
    Address "address" "cn3" "The first address that is written, or read where nothing is written.";
    Count "count" "port502Count" "How many items from there.";
    ReadAddress "read_address" "port502ReadAddress" "The first address that function 23 reads.";
    ReadCount "read_count" "port502ReadCount" "How many items from there.";
    Item "item" "port502Item" "The address of the first item that is objected to.";
    Values "values" "port502Values" "What would have been written: registers as numbers, coils as 0 and 1.";
    ValuesLeftOut "values_left_out" "port502ValuesLeftOut" "How many more values there are in `pdu`.";
    Rule "rule" "cs3" "The rule that decided.";
    Tag "tag" "cs4" "The value of that rule, by its name.";
    Limits "limits" "port502Limits" "What that value may be.";
    Value "value" "port502Value" "What it would have become.";
    Reason "reason" "reason" "Why, as a word.";
    Detail "detail" "msg" "Why, for people.";
    Technique "technique" "cs5" "The technique of ATT&CK for ICS that it may be a sign of.";
    TechniqueName "technique_name" "cs6" "What that is called.";
    Pdu "pdu" "port502Pdu" "The PDU in hexadecimal; of what is no frame, its bytes.";
    Repeats "repeats" "cnt" "How many records were counted and not written.";
    First "first" "start" "When the first of them came.";
    Last "last" "end" "When the last of them came.";
}

/// What a field holds.
#[derive(Clone, Copy)]
pub enum Datum<'d> {
    /// Any text, whoever wrote it; at most [`NAME_MAX`] characters of it are written.
    Text(&'d str),
    /// The same, made when it is written.
    Shown(&'d dyn fmt::Display),
    /// A number.
    Number(u64),
    /// A typed value.
    Value(Value),
    /// A moment.
    Time(Time),
    /// An address.
    Address(IpAddr),
    /// Bytes, written in hexadecimal.
    Bytes(&'d [u8]),
    /// Registers or coils.
    Values(Values<'d>),
}

/// Registers or coils as they stand in a PDU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Values<'d> {
    bytes: &'d [u8],
    coils: bool,
    count: usize,
}

impl Values<'_> {
    /// The values, [`VALUES_MAX`] at most.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.count.min(VALUES_MAX)).map_while(|at| {
            if self.coils {
                self.bytes.get(at / 8).map(|byte| u16::from(byte >> (at % 8) & 1))
            } else {
                let pair = self.bytes.get(2 * at..2 * at + 2)?;
                pair.first_chunk().map(|pair| u16::from_be_bytes(*pair))
            }
        })
    }

    /// How many there are besides.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.count.saturating_sub(VALUES_MAX)
    }
}

/// One transaction, or bytes, that were refused or recorded.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// When.
    pub time: Time,
    /// The conduit's rules, for names.
    pub engine: &'a Engine,
    /// Where the client is.
    pub client: SocketAddr,
    /// Who it is.
    pub identity: Option<&'a Identity>,
    /// What happened.
    pub event: Event<'a>,
}

/// Records of one kind that were not written, as [`Digest`](crate::suppress::Digest) counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repeats<'a> {
    /// When this is said.
    pub time: Time,
    /// The conduit.
    pub conduit: &'a str,
    /// Who; `None` for clients that are not told apart.
    pub client: Option<IpAddr>,
    /// Which rule.
    pub rule: Option<&'a str>,
    /// With which function.
    pub function: Option<FunctionCode>,
    /// Why.
    pub reason: &'a str,
    /// How many.
    pub count: u64,
    /// When the first came.
    pub first: Time,
    /// When the last came.
    pub last: Time,
}

/// What is written as one line.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// Of one transaction.
    Evidence(Evidence<'a>),
    /// Of many.
    Repeats(Repeats<'a>),
}

/// Where a syslog line says that it comes from (RFC 5424, 6.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Syslog<'a> {
    /// 0 to 23; 10 is security.
    pub facility: u8,
    /// The machine; `-` is written for what cannot be in this place.
    pub hostname: &'a str,
    /// The process.
    pub process: u32,
    /// The number of the enterprise that the fields' names are of. 32473 is the one for examples (RFC 5612), for those
    /// who have none.
    pub enterprise: u32,
}

impl Record<'_> {
    /// Each field that the record has, in the order of [`FIELDS`].
    pub fn fields(&self, each: &mut dyn FnMut(Field, Datum<'_>)) {
        match self {
            Record::Evidence(evidence) => evidence.fields(each),
            Record::Repeats(repeats) => repeats.fields(each),
        }
    }

    fn reason(&self) -> (&str, &str) {
        match self {
            Record::Evidence(evidence) => {
                let reason = &evidence.event.objection.reason;
                (reason.word(), reason.text())
            }
            Record::Repeats(repeats) => (repeats.reason, "records that were counted and not written"),
        }
    }

    /// Syslog's (RFC 5424, table 2), where less is worse, and CEF's, where 0 to 3 is low, 4 to 6 medium and 7 or 8 high.
    ///
    /// What passed is worse than what was refused: the device has done it, and somebody has to look after that. What was
    /// refused has come to nothing. A count may be of both.
    const fn severity(&self) -> (u8, u8) {
        match self {
            Record::Evidence(Evidence { event: Event { outcome: Outcome::Alerted, .. }, .. }) => (3, 8),
            Record::Evidence(Evidence { event: Event { outcome: Outcome::Noted, .. }, .. }) => (6, 3),
            Record::Repeats(_) => (4, 6),
            Record::Evidence(_) => (4, 5),
        }
    }

    /// One object in one line, without a line feed.
    ///
    /// # Errors
    /// The buffer's.
    pub fn write_json(&self, out: &mut dyn Write) -> fmt::Result {
        let (mut result, mut first) = (Ok(()), true);
        self.fields(&mut |field, datum| {
            let separator = if core::mem::take(&mut first) { '{' } else { ',' };
            result = result
                .and_then(|()| write!(out, "{separator}\"{}\":", field.name()))
                .and_then(|()| json(out, datum));
        });
        result?;
        out.write_str(if first { "{}" } else { "}" })
    }

    /// One line for people, without its time and without a line feed.
    ///
    /// # Errors
    /// The buffer's.
    pub fn write_text(&self, out: &mut dyn Write) -> fmt::Result {
        let mut result = Ok(());
        self.fields(&mut |field, datum| {
            let (before, behind) = match (field, datum) {
                (Field::Conduit, _) => ("", ": "),
                (Field::Verdict, _) => ("", " "),
                (Field::Answer, _) => ("(", ") "),
                (Field::Direction, Datum::Text("to-client")) => ("", " "),
                (Field::Client | Field::Detail, _) => ("", ""),
                (Field::Port | Field::Address, _) => (":", ""),
                (Field::Subject, _) => (" (", ")"),
                (Field::Role | Field::Table, _) => (" ", ""),
                (Field::Unit, _) => (", unit ", ""),
                (Field::Name, _) => (", ", ""),
                (Field::Sub, _) => ("/", ""),
                (Field::Count, Datum::Number(2..)) => ("*", ""),
                (Field::Values, _) => (" := ", ""),
                (Field::Rule, _) => (", rule ", ""),
                (Field::Tag, _) => (", ", ""),
                (Field::Limits, _) => (" may be ", ""),
                (Field::Reason, _) => (": ", ""),
                (Field::Repeats, _) => (", ", " more"),
                (Field::First, _) => (" from ", ""),
                (Field::Last, _) => (" to ", ""),
                _ => return,
            };
            // The word of the reason is for programs where the same is said in words.
            let told = matches!((self, field), (Record::Evidence(_), Field::Reason));
            result = result.and_then(|()| out.write_str(before));
            if !told {
                result = result.and_then(|()| plain(&mut Escaped { out, escape: Escape::Text }, datum));
            }
            result = result.and_then(|()| out.write_str(behind));
        });
        result
    }

    /// One message, without a line feed; the fields are structured data.
    ///
    /// # Errors
    /// The buffer's.
    pub fn write_syslog(&self, from: &Syslog<'_>, out: &mut dyn Write) -> fmt::Result {
        let (reason, text) = self.reason();
        self.write_header(from, reason, out)?;
        write!(out, "[port502@{}", from.enterprise)?;
        let mut result = Ok(());
        self.fields(&mut |field, datum| {
            result = result
                .and_then(|()| write!(out, " {}=\"", field.name()))
                .and_then(|()| plain(&mut Escaped { out, escape: Escape::Syslog }, datum))
                .and_then(|()| out.write_char('"'));
        });
        result?;
        write!(out, "] {text}")
    }

    /// One message of syslog, without a line feed, whose text is the event in CEF.
    ///
    /// # Errors
    /// The buffer's.
    pub fn write_cef_in_syslog(&self, from: &Syslog<'_>, out: &mut dyn Write) -> fmt::Result {
        self.write_header(from, "cef", out)?;
        out.write_str("- ")?;
        self.write_cef(out)
    }

    /// What stands in front of a message's structured data.
    fn write_header(&self, from: &Syslog<'_>, id: &str, out: &mut dyn Write) -> fmt::Result {
        let time = match self {
            Record::Evidence(evidence) => evidence.time,
            Record::Repeats(repeats) => repeats.time,
        };
        let fitting =
            |name: &str| (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        let hostname = if fitting(from.hostname) { from.hostname } else { "-" };
        let priority = from.facility.min(23) * 8 + self.severity().0;
        write!(out, "<{priority}>1 {time} {hostname} port502 {} {id} ", from.process)
    }

    /// One event in ArcSight's common event format, version 0, without a line feed. Times are milliseconds since
    /// 1970-01-01: of the forms that the format has it is the one with a time zone and a year.
    ///
    /// # Errors
    /// The buffer's.
    pub fn write_cef(&self, out: &mut dyn Write) -> fmt::Result {
        let (reason, text) = self.reason();
        out.write_str(concat!("CEF:0|port502|guard|", env!("CARGO_PKG_VERSION"), "|"))?;
        write!(Escaped { out, escape: Escape::CefHeader }, "{reason}")?;
        out.write_char('|')?;
        write!(Escaped { out, escape: Escape::CefHeader }, "{text}")?;
        write!(out, "|{}|", self.severity().1)?;
        let (mut result, mut first) = (Ok(()), true);
        self.fields(&mut |field, datum| {
            let blank = if core::mem::take(&mut first) { "" } else { " " };
            let key = field.cef();
            result = result.and_then(|()| {
                // The keys for what the format does not know say what they hold.
                if key.len() == 3 && (key.starts_with("cs") || key.starts_with("cn")) && key != "cnt" {
                    write!(out, "{blank}{key}Label={} {key}=", field.name())?;
                } else {
                    write!(out, "{blank}{key}=")?;
                }
                match datum {
                    Datum::Time(time) => write!(out, "{}", time.as_unix_nanos() / 1_000_000),
                    datum => plain(&mut Escaped { out, escape: Escape::Cef }, datum),
                }
            });
        });
        result
    }
}

impl Evidence<'_> {
    fn fields(&self, each: &mut dyn FnMut(Field, Datum<'_>)) {
        let Event { direction, outcome, objection, transaction, unit, pdu } = self.event;
        each(Field::Time, Datum::Time(self.time));
        each(Field::Conduit, Datum::Text(self.engine.name()));
        each(Field::Verdict, Datum::Text(outcome.word()));
        if let Outcome::Refused(how) = outcome {
            each(Field::Answer, Datum::Shown(&how));
        }
        let (to_server, word) = match direction {
            Direction::ToServer => (true, "to-server"),
            Direction::ToClient => (false, "to-client"),
        };
        each(Field::Direction, Datum::Text(word));
        each(Field::Client, Datum::Address(self.client.ip().to_canonical()));
        each(Field::Port, Datum::Number(self.client.port().into()));
        if let Some(identity) = self.identity {
            each(Field::Subject, Datum::Text(&identity.subject));
            if let Some(role) = &identity.role {
                each(Field::Role, Datum::Text(role));
            }
            each(Field::Fingerprint, Datum::Bytes(&identity.fingerprint));
        }
        if let Some(transaction) = transaction {
            each(Field::Transaction, Datum::Number(transaction.0.into()));
        }
        let mut signs = (None, None);
        if let Some(unit) = unit {
            each(Field::Unit, Datum::Number(unit.0.into()));
            let view = if to_server { view::request(pdu) } else { view::response(pdu) };
            signs = (view.function, view.sub);
            asked(&view, to_server, each);
        }
        if let Some((_, item)) = objection.item {
            each(Field::Item, Datum::Number(item.into()));
        }
        if let (true, Some(_)) = (to_server, unit) {
            values(&view::request(pdu), each);
        }
        if let Some(rule) = objection.rule.and_then(|rule| self.engine.rule(rule)) {
            each(Field::Rule, Datum::Text(rule));
        }
        if let Some(Writable { name, limits, .. }) = objection.tag.and_then(|tag| self.engine.tag(tag)) {
            each(Field::Tag, Datum::Text(name));
            each(Field::Limits, Datum::Shown(limits));
        }
        let reason = objection.reason;
        let of_rule = objection.rule.and_then(|rule| self.engine.register_values(rule));
        if let (Some((low, high)), None, Reason::Limits { .. }) = (of_rule, objection.tag, reason) {
            each(Field::Limits, Datum::Shown(&Envelope::Integers { min: low.into(), max: high.into() }));
        }
        if let Some(value) = reason.value() {
            each(Field::Value, Datum::Value(value));
        }
        each(Field::Reason, Datum::Text(reason.word()));
        each(Field::Detail, Datum::Shown(&reason));
        let technique = reason.technique(signs.0, signs.1);
        each(Field::Technique, Datum::Text(technique.id));
        each(Field::TechniqueName, Datum::Text(technique.name));
        if !pdu.is_empty() {
            each(Field::Pdu, Datum::Bytes(pdu));
        }
    }
}

/// What a PDU asks for.
fn asked(view: &View<'_>, to_server: bool, each: &mut dyn FnMut(Field, Datum<'_>)) {
    let Some(function) = view.function else { return };
    each(Field::Function, Datum::Number(function.0.into()));
    each(Field::Name, Datum::Text(function.name()));
    if let Some(sub) = view.sub {
        each(Field::Sub, Datum::Number(sub.into()));
    }
    if let (Some(table), true) = (view.table(), to_server) {
        each(Field::Table, Datum::Text(table.name()));
    }
    if let Some(range) = view.write.or(view.read) {
        each(Field::Address, Datum::Number(range.start.into()));
        each(Field::Count, Datum::Number(range.count.into()));
    }
    if let (Some(_), Some(read)) = (view.write, view.read) {
        each(Field::ReadAddress, Datum::Number(read.start.into()));
        each(Field::ReadCount, Datum::Number(read.count.into()));
    }
}

/// What a request would have written.
fn values(view: &View<'_>, each: &mut dyn FnMut(Field, Datum<'_>)) {
    let Some(write) = view.write else { return };
    let single: [u8; 1];
    let values = match (view.function, view.table()) {
        (Some(FunctionCode::WRITE_SINGLE_COIL), _) => {
            // 0xFF00 is on; what is neither is shown as it came.
            single = [u8::from(view.data.starts_with(&[0xFF]))];
            match view.data {
                [0xFF | 0, 0] => Values { bytes: &single, coils: true, count: 1 },
                other => Values { bytes: other, coils: false, count: 1 },
            }
        }
        (_, Some(Table::Coils)) => {
            let count = usize::from(write.count).min(view.data.len() * 8);
            Values { bytes: view.data, coils: true, count }
        }
        _ => Values { bytes: view.data, coils: false, count: view.data.len() / 2 },
    };
    each(Field::Values, Datum::Values(values));
    if values.left_out() > 0 {
        each(Field::ValuesLeftOut, Datum::Number(u64::try_from(values.left_out()).unwrap_or(u64::MAX)));
    }
}

impl Repeats<'_> {
    fn fields(&self, each: &mut dyn FnMut(Field, Datum<'_>)) {
        each(Field::Time, Datum::Time(self.time));
        each(Field::Conduit, Datum::Text(self.conduit));
        each(Field::Verdict, Datum::Text("repeats"));
        if let Some(client) = self.client {
            each(Field::Client, Datum::Address(client));
        }
        if let Some(function) = self.function {
            each(Field::Function, Datum::Number(function.0.into()));
            each(Field::Name, Datum::Text(function.name()));
        }
        if let Some(rule) = self.rule {
            each(Field::Rule, Datum::Text(rule));
        }
        each(Field::Reason, Datum::Text(self.reason));
        each(Field::Repeats, Datum::Number(self.count));
        each(Field::First, Datum::Time(self.first));
        each(Field::Last, Datum::Time(self.last));
    }
}

impl Datum<'_> {
    /// Whether JSON has it without quotes.
    fn is_bare(&self) -> bool {
        match self {
            Datum::Number(_) | Datum::Values(_) => true,
            // JSON knows neither infinity nor NaN.
            Datum::Value(Value::F32(float)) => float.is_finite(),
            Datum::Value(Value::F64(float)) => float.is_finite(),
            Datum::Value(_) => true,
            _ => false,
        }
    }
}

fn json(out: &mut dyn Write, datum: Datum<'_>) -> fmt::Result {
    match datum {
        Datum::Values(_) => {
            out.write_char('[')?;
            plain(out, datum)?;
            out.write_char(']')
        }
        datum if datum.is_bare() => plain(out, datum),
        datum => {
            out.write_char('"')?;
            plain(&mut Escaped { out, escape: Escape::Json }, datum)?;
            out.write_char('"')
        }
    }
}

/// Without quotes.
fn plain(out: &mut dyn Write, datum: Datum<'_>) -> fmt::Result {
    match datum {
        Datum::Text(text) => Clipped { out, left: NAME_MAX }.write_str(text),
        Datum::Shown(shown) => write!(Clipped { out, left: NAME_MAX }, "{shown}"),
        Datum::Number(number) => write!(out, "{number}"),
        Datum::Value(Value::Bool(on)) => write!(out, "{on}"),
        Datum::Value(Value::Unsigned(number)) => write!(out, "{number}"),
        Datum::Value(Value::Signed(number)) => write!(out, "{number}"),
        Datum::Value(Value::F32(float)) => float_text(out, float.into(), &float, &format_args!("{float:e}")),
        Datum::Value(Value::F64(float)) => float_text(out, float, &float, &format_args!("{float:e}")),
        Datum::Time(time) => write!(out, "{time}"),
        Datum::Address(address) => write!(out, "{address}"),
        Datum::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        Datum::Values(values) => {
            let mut separator = "";
            values
                .iter()
                .try_for_each(|value| write!(out, "{}{value}", core::mem::replace(&mut separator, ",")))
        }
    }
}

/// As short as it was meant, with an exponent where there would be many zeros: 1e300 has 301 digits otherwise.
fn float_text(
    out: &mut dyn Write,
    float: f64,
    plain: &dyn fmt::Display,
    exponent: &dyn fmt::Display,
) -> fmt::Result {
    match float.abs() {
        size if !size.is_finite() => out.write_str("not-a-finite-number"),
        0.0 | 1e-5..1e15 => write!(out, "{plain}"),
        _ => write!(out, "{exponent}"),
    }
}

/// At most so many characters.
struct Clipped<'w> {
    out: &'w mut dyn Write,
    left: usize,
}

impl Write for Clipped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars().take(self.left) {
            self.out.write_char(character)?;
            self.left -= 1;
        }
        Ok(())
    }
}

/// Which characters would mean something.
#[derive(Clone, Copy)]
enum Escape {
    /// RFC 8259, 7.
    Json,
    /// RFC 5424, 6.3.3: `"`, `\` and `]`.
    Syslog,
    /// `\` and `|`.
    CefHeader,
    /// `\`, `=` and line ends.
    Cef,
    /// Nothing: people read it.
    Text,
}

struct Escaped<'w> {
    out: &'w mut dyn Write,
    escape: Escape,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.write_char(character))
    }

    fn write_char(&mut self, character: char) -> fmt::Result {
        match (self.escape, character) {
            (Escape::Json, '"' | '\\')
            | (Escape::Syslog, '"' | '\\' | ']')
            | (Escape::CefHeader, '\\' | '|')
            | (Escape::Cef, '\\' | '=') => {
                self.out.write_char('\\')?;
                self.out.write_char(character)
            }
            (Escape::Json, control) if control.is_control() => {
                write!(self.out, "\\u{:04x}", u32::from(control))
            }
            (Escape::Cef, '\n') => self.out.write_str("\\n"),
            (Escape::Cef, '\r') => self.out.write_str("\\r"),
            // A line end would begin another record, in a log that a line is a record of.
            (_, control) if control.is_control() => self.out.write_char(char::REPLACEMENT_CHARACTER),
            (_, ordinary) => self.out.write_char(ordinary),
        }
    }
}

/// A line in a buffer that the caller has.
#[derive(Debug)]
pub struct Line<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> Line<'b> {
    /// An empty one. [`LINE_MAX`] bytes are always enough for a record.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Line { buffer, len: 0 }
    }

    /// What was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.buffer.get(..self.len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.buffer.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
