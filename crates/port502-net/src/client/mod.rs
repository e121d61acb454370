//! The client: one connection, one task that owns it, any number of handles.
//!
//! ```no_run
//! use port502_net::client::{Client, Options};
//!
//! # async fn meter() -> Result<(), port502_net::client::Error> {
//! let client = Client::connect("10.0.0.5".parse()?, Options::default()).await?;
//! let meter = client.unit(1);
//! let registers = meter.read_holding_registers(100, 4).await?;
//! meter.write_single_register(200, 42).await?;
//! # Ok(()) }
//! ```

pub(crate) mod connection;
mod error;
mod line;
mod unit;

use std::sync::Arc;
use std::time::Duration;

use port502_wire::UnitId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

pub use error::{Error, ProtocolError, RequestError};
pub use unit::{CommEventCounter, CommEventLog, Limits, Unit};

use crate::stream::Stream;
use crate::tls::TlsError;
use crate::{Link, Pdu, Target, tls};

/// Requests in flight on one connection, at most.
pub const IN_FLIGHT_MAX: usize = port502_session::client::IN_FLIGHT_MAX as usize;

/// Requests that wait for a place in flight, at most; one more waits in its caller.
pub const QUEUE_MAX: usize = 256;

/// How a client behaves. Built from [`Options::default`] by changing fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// From the call to the answer, waiting for a connection and for requests in front included.
    pub timeout: Duration,
    /// For one attempt to connect.
    pub connect_timeout: Duration,
    /// How often a read is asked again after no answer came or the connection broke. Each try has the whole
    /// `timeout`. Writes are never repeated, unless `retry_writes` says so.
    pub retries: u32,
    /// Repeats writes too, though they may have been carried out: only for values that may be written twice.
    pub retry_writes: bool,
    /// Requests in flight at once, 1 to [`IN_FLIGHT_MAX`]. Many devices can only do 1, the default. On a line (RTU,
    /// ASCII) it is always 1.
    pub in_flight: usize,
    /// The pause after the first failed attempt to connect; it doubles with each, and is jittered by half so
    /// that a hundred clients do not come back at the same moment.
    pub backoff: Duration,
    /// The longest pause between attempts.
    pub backoff_max: Duration,
    /// Refuses answers with another unit id than the one asked. On a line (RTU, ASCII) they are always passed over.
    pub strict_unit: bool,
    /// Certificates that were read, and TLS sessions to resume: clones of the options share them.
    pub(crate) tls: tls::Connectors,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(3),
            retries: 1,
            retry_writes: false,
            in_flight: 1,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            strict_unit: false,
            tls: tls::Connectors::default(),
        }
    }
}

impl Options {
    /// The same with another timeout, for a call chain.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with another number of requests in flight.
    #[must_use]
    pub fn in_flight(mut self, in_flight: usize) -> Self {
        self.in_flight = in_flight;
        self
    }

    /// The same with another number of retries.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The same with another first and longest pause between attempts to connect.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.backoff, self.backoff_max) = (first, longest);
        self
    }
}

/// Where a client's connection stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Not connected, and nobody asks for it: the next request connects.
    Idle,
    /// An attempt is under way.
    Connecting {
        /// 1 for the first since the connection was lost.
        attempt: u32,
    },
    /// Requests go out.
    Connected,
    /// The last attempt failed.
    Waiting {
        /// How many have failed.
        attempt: u32,
        /// How the last one failed.
        error: String,
    },
}

/// A handle on one connection to a Modbus server. Cheap to clone; the connection ends with the last handle.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    options: Options,
}

/// A request on its way to the task that owns the socket.
#[derive(Debug)]
struct Command {
    unit: UnitId,
    pdu: Pdu,
    deadline: Instant,
    timeout: Duration,
    /// Closed when the caller has lost interest.
    reply: oneshot::Sender<Result<Pdu, Error>>,
}

impl Client {
    /// Connects, and keeps connected from then on.
    ///
    /// # Errors
    /// The first attempt's failure. Later ones are retried, and are seen in [`state`](Self::state).
    pub async fn connect(target: Target, options: Options) -> Result<Client, Error> {
        let stream = connection::dial(&target, &options).await?;
        Ok(Self::spawn(target, options, Some(stream)))
    }

    /// A client that connects when first asked.
    ///
    /// # Errors
    /// A target that cannot be connected to by any attempt.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn lazy(target: Target, options: Options) -> Result<Client, Error> {
        match target.link() {
            // What keeps every attempt from connecting can be said at once.
            Link::Tls if target.tls().is_none_or(|tls| tls.cert.is_none()) => {
                Err(Error::Tls(Arc::new(TlsError::NoCertificate { target: Box::new(target) })))
            }
            _ => Ok(Self::spawn(target, options, None)),
        }
    }

    fn spawn(target: Target, options: Options, stream: Option<Stream>) -> Client {
        let (commands, receiver) = mpsc::channel(QUEUE_MAX / 2);
        let first = if stream.is_some() { State::Connected } else { State::Idle };
        let (state_sender, state) = watch::channel(first);
        tokio::spawn(connection::run(target, options.clone(), receiver, state_sender, stream));
        Client { commands, state, options }
    }

    /// The device with this unit id behind the connection. Views of several units share it.
    #[must_use]
    pub fn unit(&self, unit: impl Into<UnitId>) -> Unit {
        Unit::new(self.clone(), unit.into())
    }

    /// Where the connection stands, to be looked at or waited on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// How it behaves.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Sends one request and waits for its answer, once.
    pub(crate) async fn ask(&self, unit: UnitId, pdu: Pdu, timeout: Duration) -> Result<Pdu, Error> {
        let deadline = Instant::now() + timeout;
        let (reply, answer) = oneshot::channel();
        let command = Command { unit, pdu, deadline, timeout, reply };
        match self.commands.try_send(command) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Error::Closed),
            // The queue is full: wait for a place, but not for longer than for an answer.
            Err(mpsc::error::TrySendError::Full(command)) => {
                match tokio::time::timeout_at(deadline, self.commands.send(command)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err(Error::Closed),
                    Err(_) => return Err(Error::Timeout { after: timeout, sent: false }),
                }
            }
        }
        // The task keeps the deadline.
        answer.await.unwrap_or(Err(Error::Closed))
    }
}
