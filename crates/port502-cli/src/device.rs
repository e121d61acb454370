//! The device at the other end: connected to by the arguments every client command takes, its errors told in
//! our words. Everything that the commands know of the network stands here.

use std::future::Future;
use std::time::{Duration, Instant};

use port502_net::client::{Client, Error, Options, ProtocolError, Unit};
use port502_net::tls::{HandshakeFailure, HandshakeFault};
use port502_net::{Pdu, Target, TargetError};
use port502_session::duration::display;
use port502_session::target::Carrier;
use port502_site::Cells;
use port502_wire::function::Access;
use port502_wire::{ExceptionCode, FunctionCode, Request, Response, Span, Table, UnitId};

use crate::commands::{duration, runtime, unit_id};
use crate::failure::{Exit, Failure};
use crate::signal::Interrupt;
use crate::summary::Summary;

/// Which device, and how patient we are with it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Connection {
    /// Where the device is: HOST[:PORT] for TCP, or a URL: udp://HOST, rtu+tcp://HOST:4001, rtu:///dev/ttyUSB0?baud=9600
    /// and others; an IPv6 address stands in brackets.
    #[arg(value_parser = peer)]
    pub(crate) target: Target,
    /// The unit id, 0 to 255: who behind the address is meant.
    #[arg(long, value_name = "N", default_value = "1", value_parser = unit_id)]
    pub(crate) unit: UnitId,
    /// How long to wait for a connection, and for each answer: 500ms, 2s.
    #[arg(long, value_name = "D", default_value = "1s", value_parser = timeout)]
    pub(crate) timeout: Duration,
    /// How often to ask again when no answer came; writes are never repeated.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) retries: u32,
}

/// A target to connect to.
fn peer(text: &str) -> Result<Target, String> {
    let target: Target = text.parse().map_err(|error: TargetError| error.to_string())?;
    if target.link().default_port().is_some() && target.port() == 0 {
        return Err("nothing listens at port 0: use a number from 1 to 65535, as in host:502".into());
    }
    Ok(target)
}

fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("nothing answers in no time; write 500ms or 2s".into()),
        duration => Ok(duration),
    }
}

/// A connected device.
pub(crate) struct Device {
    pub(crate) target: Target,
    unit: Unit,
    /// What was asked, and how it went.
    pub(crate) summary: Summary,
}

impl Device {
    pub(crate) async fn connect(connection: &Connection) -> Result<Device, Failure> {
        let mut options = Options::default().timeout(connection.timeout).retries(connection.retries);
        options.connect_timeout = connection.timeout;
        let target = connection.target.clone();
        warn_of_certificates(&target);
        match Interrupt::new().or(Client::connect(target.clone(), options)).await {
            Some(Ok(client)) => {
                let unit = client.unit(connection.unit);
                Ok(Device { target, unit, summary: Summary::default() })
            }
            Some(Err(error)) => Err(Failure::new(exit(&error), with_hint(&error))),
            None => Err(Failure::other(format!("{target}: interrupted before there was a connection"))),
        }
    }

    /// Whether what is sent is a broadcast, which nobody answers.
    pub(crate) fn is_broadcast(&self) -> bool {
        is_broadcast(&self.target, self.unit())
    }

    pub(crate) fn unit(&self) -> UnitId {
        self.unit.id()
    }

    /// Asks once, retries of reads included, and keeps count.
    pub(crate) async fn call(&mut self, request: &Request<'_>) -> Result<Pdu, Error> {
        let start = Instant::now();
        let answer = self.unit.call(request).await;
        // An exception is an answer: it came in some time, and it is counted as an error.
        let answered = matches!(answer, Ok(_) | Err(Error::Exception { .. }));
        self.summary.count(answered.then(|| start.elapsed()), answer.is_err());
        answer
    }

    /// Reads `count` items, which one request can carry.
    pub(crate) async fn read(&mut self, table: Table, start: u16, count: u16) -> Result<Cells, Error> {
        let answer = self.call(&read_request(table, start, count)?).await?;
        Ok(cells(&answer, count))
    }

    /// One line for an error: where it happened, what it was, what to try.
    pub(crate) fn failure(&self, place: &str, error: &Error) -> Failure {
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        // Where there is no connection, nothing in particular is to blame, and the target is named already.
        let message = match error {
            Error::Timeout { .. } if self.target.serial().is_some() => format!(
                "{} unit {}: {place}{}; try another baud rate or parity, another --unit, or a longer --timeout",
                self.target,
                self.unit(),
                brief(error)
            ),
            Error::Connect { .. } => with_hint(error),
            // With roles, it is how a right is refused as well (Modbus/TCP Security, R-31).
            Error::Exception { code: ExceptionCode::IllegalFunction, .. } if self.target.tls().is_some() => {
                let (target, unit, role) = (&self.target, self.unit(), "or gives our role no right to it");
                format!("{target} unit {unit}: {place}{}, {role}", with_hint(error))
            }
            _ => format!("{} unit {}: {place}{}", self.target, self.unit(), with_hint(error)),
        };
        Failure::new(exit(error), message)
    }

    /// One line for Ctrl-C while the device was asked.
    pub(crate) fn interrupted(&self, place: &str) -> Failure {
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        let (target, unit) = (&self.target, self.unit());
        Failure::other(format!("{target} unit {unit}: {place}interrupted before an answer came"))
    }
}

/// The request that reads `count` items of a table.
pub(crate) fn read_request(table: Table, start: u16, count: u16) -> Result<Request<'static>, Error> {
    Ok(match table {
        Table::Coils => Request::ReadCoils { span: Span::new(start, count)? },
        Table::DiscreteInputs => Request::ReadDiscreteInputs { span: Span::new(start, count)? },
        Table::InputRegisters => Request::ReadInputRegisters { span: Span::new(start, count)? },
        Table::HoldingRegisters => Request::ReadHoldingRegisters { span: Span::new(start, count)? },
    })
}

/// What the answer to such a request holds.
pub(crate) fn cells(answer: &Pdu, count: u16) -> Cells {
    match answer.response() {
        Ok(Response::ReadCoils { bits } | Response::ReadDiscreteInputs { bits }) => {
            Cells::Bits(bits.iter().take(count.into()).collect())
        }
        Ok(Response::ReadHoldingRegisters { registers } | Response::ReadInputRegisters { registers }) => {
            Cells::Registers(registers.iter().collect())
        }
        // The client has compared function and quantity: nothing else comes.
        _ => Cells::Registers(Vec::new()),
    }
}

/// On a line all servers obey unit 0, and none answers.
pub(crate) fn is_broadcast(target: &Target, unit: UnitId) -> bool {
    target.line().is_some() && unit == UnitId::BROADCAST
}

/// Says what will be wrong with a target's certificates before long. What is wrong already is told by the connection.
pub(crate) fn warn_of_certificates(target: &Target) {
    for notice in port502_net::tls::notices(target, std::time::SystemTime::now()).unwrap_or_default() {
        crate::commands::eprintln_quietly(&format!("port502: warning: {notice}"));
    }
}

/// The exit code for an error.
pub(crate) fn exit(error: &Error) -> Exit {
    match error {
        Error::Exception { .. } => Exit::Exception,
        Error::Timeout { .. } => Exit::Timeout,
        Error::Connect { .. } | Error::Transport { .. } => Exit::Link,
        Error::Protocol(_) => Exit::Protocol,
        Error::Request(_) | Error::Tls(_) => Exit::Usage,
        _ => Exit::Other,
    }
}

/// What happened, in the words of a table's last column.
pub(crate) fn brief(error: &Error) -> String {
    match error {
        Error::Exception { code, .. } => format!("exception {code}"),
        Error::Timeout { after, .. } => format!("no answer within {}", display(*after)),
        Error::Connect { target, source } => format!("could not connect to {target}: {source}"),
        Error::Transport { source, .. } => format!("the connection broke: {source}"),
        other => other.to_string(),
    }
}

/// What happened, and what to try.
fn with_hint(error: &Error) -> String {
    match hint(error) {
        Some(hint) => format!("{}; {hint}", brief(error)),
        None => brief(error),
    }
}

/// What to try.
fn hint(error: &Error) -> Option<&'static str> {
    Some(match error {
        // What is wrong with a serial port comes with what to try.
        Error::Connect { target, .. } if target.serial().is_some() => return None,
        Error::Connect { source, .. } => match source.get_ref().and_then(|it| it.downcast_ref()) {
            Some(HandshakeFailure { fault, .. }) => handshake_hint(fault),
            None => "check the address, and that the device is on",
        },
        Error::Transport { target, .. } if target.serial().is_some() => "was the adapter pulled out?",
        // A server's alert, in our words.
        Error::Transport { source, .. } if source.kind() == std::io::ErrorKind::InvalidData => {
            "`port502 cert show` says what our certificate is"
        }
        Error::Transport { target, .. } if target.link().carrier() == Carrier::Udp => {
            "nothing listens there: check the address and the port"
        }
        Error::Transport { .. } => "the device ended it: try another --unit, or fewer clients on it",
        Error::Timeout { .. } => "try another --unit, or a longer --timeout",
        Error::Protocol(ProtocolError::Echo) => "try again, and without echo=strip",
        Error::Protocol(_) => "check that it is a Modbus device; `port502 decode` explains frames",
        Error::Exception { function, code } => match code {
            ExceptionCode::IllegalDataAddress if writes(*function) => {
                "the device has no such address, or does not let it be written"
            }
            ExceptionCode::IllegalFunction => "the device does not offer this function",
            ExceptionCode::IllegalDataAddress => {
                "the device has no such address; addresses count from 0, 40001 is holding:0"
            }
            ExceptionCode::IllegalDataValue => "the device takes fewer at once, or not this value",
            // Asking again would have it done twice.
            ExceptionCode::Acknowledge => "accepted, and still being carried out: read it back later",
            ExceptionCode::ServerDeviceBusy => "it is busy, try again later",
            ExceptionCode::GatewayPathUnavailable | ExceptionCode::GatewayTargetFailedToRespond => {
                "nothing answers behind the gateway, try another --unit"
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// What to try when the device, or what is there in its place, is not trusted.
fn handshake_hint(fault: &HandshakeFault) -> &'static str {
    match fault {
        HandshakeFault::UnknownAuthority => "name the certificate of who signed it with ca=",
        HandshakeFault::Name { .. } => "say with name= which name it bears",
        HandshakeFault::Expired { .. } | HandshakeFault::NotYetValid { .. } => {
            "give it a new one, and check the clocks"
        }
        HandshakeFault::NotTls { .. } | HandshakeFault::HungUp => {
            "perhaps it speaks plain Modbus there: try tcp:// and its other port"
        }
        HandshakeFault::NoRevocationList => "put its authority's list into the file of crl= as well",
        HandshakeFault::Alert(_) => "`port502 cert show` says what our certificate is",
        HandshakeFault::Revoked | HandshakeFault::Pin => "somebody else may be answering in its place",
        _ => "`port502 cert show` explains certificates",
    }
}

/// Whether a function changes values.
fn writes(function: FunctionCode) -> bool {
    function.facts().is_some_and(|facts| matches!(facts.access, Access::Write | Access::ReadWrite))
}

/// Runs a command that talks to devices.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(future)
}
