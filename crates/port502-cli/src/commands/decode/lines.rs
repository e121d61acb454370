//! One line a transaction: text for people, a JSON object for programs.

use std::io::{self, Write};

use jiff::fmt::temporal::DateTimePrinter;
use port502_capture::Timestamp;
use port502_session::Instant;
use port502_session::tap::{Direction, Message, Skipped, Transaction};
use port502_wire::{Anomalies, Anomaly, FunctionCode};
use serde::Serialize;
use serde::ser::Serializer;

use super::capture::{Connection, Report, timestamp};
use super::contents::{Contents, Details, Place, Values, hex};

/// Text lines show so many values, and say how many there are more.
const VALUES_SHOWN: usize = 32;

/// Writes times as finely as the capture has them: in microseconds until a time needs more, as most formats have
/// it, and from then on in nanoseconds.
#[derive(Debug)]
pub(super) struct Clock {
    printer: DateTimePrinter,
    fine: bool,
}

impl Default for Clock {
    fn default() -> Self {
        Clock { printer: DateTimePrinter::new().precision(Some(6)), fine: false }
    }
}

impl Clock {
    /// A packet's time.
    pub(super) fn observe(&mut self, at: Timestamp) {
        if !self.fine && at.nanos() % 1000 != 0 {
            *self = Clock { printer: DateTimePrinter::new().precision(Some(9)), fine: true };
        }
    }

    /// RFC 3339, in UTC.
    pub(super) fn print(&self, at: Timestamp) -> String {
        let at = jiff::Timestamp::from_nanosecond(at.nanos().into()).unwrap_or_default();
        self.printer.timestamp_to_string(&at)
    }

    fn instant(&self, at: Instant) -> String {
        self.print(timestamp(at))
    }
}

/// Text lines.
pub(super) struct Text<W> {
    out: W,
    clock: Clock,
}

impl<W: Write> Text<W> {
    pub(super) fn new(out: W) -> Self {
        Text { out, clock: Clock::default() }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn front(&mut self, at: Instant, connection: &Connection) -> io::Result<()> {
        let [client, server] = &connection.names;
        write!(self.out, "{} {client} > {server}", self.clock.instant(at))
    }

    fn anomalies(&mut self, anomalies: Anomalies) -> io::Result<()> {
        for anomaly in anomalies.iter() {
            write!(self.out, " !{anomaly}")?;
        }
        writeln!(self.out)
    }

    /// `holding:107*3 (40108)`
    fn place(&mut self, place: &Place<'_>) -> io::Result<()> {
        let (Some(table), Some(range)) = (place.table, place.range) else { return Ok(()) };
        write!(self.out, " {table}:{}", range.start)?;
        if range.count != 1 {
            write!(self.out, "*{}", range.count)?;
        }
        match place.reference() {
            Some(reference) => write!(self.out, " ({reference})"),
            None => Ok(()),
        }
    }

    fn values(&mut self, values: Values<'_>) -> io::Result<()> {
        for value in values.iter().take(VALUES_SHOWN) {
            write!(self.out, " {value}")?;
        }
        match values.iter().skip(VALUES_SHOWN).count() {
            0 => Ok(()),
            more => write!(self.out, " (and {more} more)"),
        }
    }

    fn written(&mut self, place: &Place<'_>) -> io::Result<()> {
        self.place(place)?;
        if let Some(values) = place.values {
            write!(self.out, " :=")?;
            self.values(values)?;
        }
        Ok(())
    }
}

impl<W: Write> Report for Text<W> {
    fn transaction(&mut self, connection: &Connection, transaction: &Transaction<'_>) -> io::Result<()> {
        let contents = Contents::of(transaction);
        self.front(transaction.at(), connection)?;
        write!(self.out, " unit {} id {}", transaction.unit(), transaction.transaction)?;
        match contents.function {
            Some(function) => write!(self.out, " fc {} {}", function.0, function.name())?,
            None => write!(self.out, " empty")?,
        }
        if let Some(write) = &contents.write {
            self.place(&contents.main)?;
            self.written(write)?;
        } else if contents.writes {
            self.written(&contents.main)?;
        } else {
            self.place(&contents.main)?;
        }
        for (name, value) in &contents.details.0 {
            match value.as_str() {
                Some(text) => write!(self.out, " {name}={text}")?,
                None => write!(self.out, " {name}={value}")?,
            }
        }
        match (transaction.request, transaction.response) {
            (None, _) if transaction.may_be_lost => write!(self.out, " (request not captured)")?,
            (None, _) => write!(self.out, " (no request)")?,
            (Some(_), None) if transaction.may_be_lost => write!(self.out, " -> not captured")?,
            (Some(_), None) => write!(self.out, " -> no response")?,
            (Some(_), Some(_)) => {}
        }
        if transaction.response.is_some() {
            write!(self.out, " ->")?;
            match (contents.exception, contents.main.values) {
                (Some(exception), _) => write!(self.out, " exception {exception}")?,
                (None, Some(values)) if !contents.writes => self.values(values)?,
                _ => write!(self.out, " done")?,
            }
        }
        if let (Some(request), Some(response)) = (transaction.request, transaction.response) {
            let micros = response.at.since(request.at).as_micros();
            write!(self.out, " [{}.{:03} ms]", micros / 1000, micros % 1000)?;
        }
        self.anomalies(transaction.all_anomalies())
    }

    fn skipped(&mut self, connection: &Connection, skipped: &Skipped) -> io::Result<()> {
        self.front(skipped.at, connection)?;
        let way = match skipped.direction {
            Direction::ToServer => "server",
            Direction::ToClient => "client",
        };
        write!(self.out, " {} bytes to the {way} are no frames", skipped.bytes)?;
        if skipped.anomalies.is_empty() {
            write!(self.out, " (pieces of frames)")?;
        }
        self.anomalies(skipped.anomalies)
    }

    fn packet(&mut self, at: Timestamp) {
        self.clock.observe(at);
    }
}

/// JSON lines.
pub(super) struct Json<W> {
    out: W,
    clock: Clock,
}

/// One line. Every field is always there, `null` where there is nothing to say; `docs/json.md` tells what they mean.
#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    client: &'a str,
    server: &'a str,
    connection: u64,
    unit: Option<u8>,
    transaction_id: Option<u16>,
    function: Option<u8>,
    function_name: Option<&'static str>,
    table: Option<&'static str>,
    address: Option<u16>,
    reference: Option<String>,
    quantity: Option<u16>,
    values: Option<Values<'a>>,
    write: Option<Written<'a>>,
    details: Option<&'a Details>,
    exception: Option<u8>,
    exception_name: Option<&'static str>,
    request: Option<Half>,
    response: Option<Half>,
    response_ms: Option<f64>,
    lost: bool,
    skipped: Option<SkippedBytes>,
    anomalies: Names,
}

#[derive(Serialize)]
struct Written<'a> {
    table: Option<&'static str>,
    address: Option<u16>,
    reference: Option<String>,
    quantity: Option<u16>,
    values: Option<Values<'a>>,
}

#[derive(Serialize)]
struct Half {
    time: String,
    unit: u8,
    pdu: String,
    anomalies: Names,
}

#[derive(Serialize)]
struct SkippedBytes {
    to: &'static str,
    bytes: u64,
}

/// Anomalies by name.
struct Names(Anomalies);

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Anomaly::name))
    }
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W) -> Self {
        Json { out, clock: Clock::default() }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn half(&self, message: Option<Message<'_>>) -> Option<Half> {
        message.map(|message| Half {
            time: self.clock.instant(message.at),
            unit: message.unit.get(),
            pdu: hex(message.pdu),
            anomalies: Names(message.anomalies),
        })
    }

    fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }
}

impl<'a> Written<'a> {
    fn new(place: &Place<'a>) -> Self {
        Written {
            table: place.table.map(|table| table.name()),
            address: place.range.map(|range| range.start),
            reference: place.reference(),
            quantity: place.range.map(|range| range.count),
            values: place.values,
        }
    }
}

impl<W: Write> Report for Json<W> {
    fn transaction(&mut self, connection: &Connection, transaction: &Transaction<'_>) -> io::Result<()> {
        let contents = Contents::of(transaction);
        let [client, server] = &connection.names;
        let Written { table, address, reference, quantity, values } = Written::new(&contents.main);
        let response_ms = match (transaction.request, transaction.response) {
            (Some(request), Some(response)) => Some(response.at.since(request.at).as_secs_f64() * 1000.0),
            _ => None,
        };
        let line = Line {
            time: &self.clock.instant(transaction.at()),
            client,
            server,
            connection: connection.number,
            unit: Some(transaction.unit().get()),
            transaction_id: Some(transaction.transaction.0),
            function: contents.function.map(|function| function.0),
            function_name: contents.function.map(FunctionCode::name),
            table,
            address,
            reference,
            quantity,
            values,
            write: contents.write.as_ref().map(Written::new),
            details: Some(&contents.details).filter(|details| !details.0.is_empty()),
            exception: contents.exception.map(|exception| exception.code()),
            exception_name: contents.exception.map(|exception| exception.name()),
            request: self.half(transaction.request),
            response: self.half(transaction.response),
            response_ms,
            lost: transaction.may_be_lost,
            skipped: None,
            anomalies: Names(transaction.all_anomalies()),
        };
        self.write(&line)
    }

    fn skipped(&mut self, connection: &Connection, skipped: &Skipped) -> io::Result<()> {
        let [client, server] = &connection.names;
        let to = match skipped.direction {
            Direction::ToServer => "server",
            Direction::ToClient => "client",
        };
        let line = Line {
            time: &self.clock.instant(skipped.at),
            client,
            server,
            connection: connection.number,
            unit: None,
            transaction_id: None,
            function: None,
            function_name: None,
            table: None,
            address: None,
            reference: None,
            quantity: None,
            values: None,
            write: None,
            details: None,
            exception: None,
            exception_name: None,
            request: None,
            response: None,
            response_ms: None,
            lost: false,
            skipped: Some(SkippedBytes { to, bytes: skipped.bytes }),
            anomalies: Names(skipped.anomalies),
        };
        self.write(&line)
    }

    fn packet(&mut self, at: Timestamp) {
        self.clock.observe(at);
    }
}
