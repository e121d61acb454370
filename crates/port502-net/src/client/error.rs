use std::io;
use std::sync::Arc;
use std::time::Duration;

use port502_session::client::AnswerError;
use port502_wire::mbap::LengthError;
use port502_wire::value::{DecodeError, EncodeError};
use port502_wire::{EmitError, ExceptionCode, FunctionCode, PduError, SpanError, Table};

use crate::tls::TlsError;
use crate::{Target, TargetError};

/// Why a request brought no answer. [`maybe_executed`](Error::maybe_executed) says whether the device may have
/// carried it out all the same.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device refused: its answer is an exception.
    #[error("{function}: the device answered with exception {code}")]
    Exception {
        /// The function that was refused.
        function: FunctionCode,
        /// Why.
        code: ExceptionCode,
    },
    /// No answer came in time.
    #[error("no answer within {after:?}{}", if *.sent { "" } else { " (the request was not sent)" })]
    Timeout {
        /// The deadline that was set for the request.
        after: Duration,
        /// Whether it went out. If not, the connection was not there, or others were in front.
        sent: bool,
    },
    /// There was no connection within the deadline.
    #[error("could not connect to {target}: {source}")]
    Connect {
        /// Where to.
        target: Box<Target>,
        /// What the last attempt ended with.
        source: Arc<io::Error>,
    },
    /// The connection broke.
    #[error("the connection to {target} broke: {source}")]
    Transport {
        /// The peer.
        target: Box<Target>,
        /// Whether the request went out before.
        sent: bool,
        /// How it broke.
        source: Arc<io::Error>,
    },
    /// The peer sent what Modbus does not allow, or what does not answer the request.
    #[error("the device broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The request cannot be made: quantity, address or length is outside the limits. Nothing was sent.
    #[error("the request is not possible: {0}")]
    Request(#[from] RequestError),
    /// The text of a target is none. Nothing was sent.
    #[error(transparent)]
    Target(Box<TargetError>),
    /// The certificates of a `tls` target cannot be used. Nothing was sent.
    #[error(transparent)]
    Tls(Arc<TlsError>),
    /// The client's task has ended, with the runtime that it lived on.
    #[error("the client is closed")]
    Closed,
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The answer is none, or not to this request.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The stream cannot be read any further; the connection was closed.
    #[error(transparent)]
    Stream(#[from] LengthError),
    /// The registers hold no value of the type that was asked for.
    #[error(transparent)]
    Value(#[from] DecodeError),
    /// On a line that echoes, something else came back than was sent: two spoke at once, or nothing echoes.
    #[error("what came back is not what was sent: two speak at once, or echo=strip is wrong for this line")]
    Echo,
    /// The parts of an answer do not fit together, as a device identification that never ends.
    #[error("{0}")]
    Content(&'static str),
}

/// Why a request cannot be made.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
pub enum RequestError {
    /// Quantity or address.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// Length.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// A value that its type does not hold.
    #[error(transparent)]
    Value(#[from] EncodeError),
    /// Structure, of a file record request.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// A broadcast of something that wants an answer.
    #[error(
        "{function}: unit 0 is the broadcast on a line, which nobody answers: only writes can be broadcast"
    )]
    NotBroadcast {
        /// What was to be asked.
        function: FunctionCode,
    },
    /// A text where there are no registers.
    #[error("the table {} holds bits, and a text stands in registers", .table.name())]
    TextInBits {
        /// Which table.
        table: Table,
    },
}

/// So that `Client::connect("plc-7".parse()?, ..)` needs no second type of error.
impl From<TargetError> for Error {
    fn from(error: TargetError) -> Self {
        Error::Target(Box::new(error))
    }
}

impl From<SpanError> for Error {
    fn from(error: SpanError) -> Self {
        Error::Request(error.into())
    }
}

impl From<EmitError> for Error {
    fn from(error: EmitError) -> Self {
        Error::Request(error.into())
    }
}

impl From<AnswerError> for Error {
    fn from(error: AnswerError) -> Self {
        Error::Protocol(error.into())
    }
}

impl Error {
    /// Whether the device may have carried the request out: it went out, and nothing says that it was refused.
    /// A write that may have been executed must not be repeated blindly.
    ///
    /// Most exceptions say that nothing was done, for the checks come first. Exception 04 does not: it is the one
    /// that the specification keeps for an error "while the server was attempting to perform the requested
    /// action" (V1.1b3, 7), so the first registers of a block may have been written when the device failed. 05
    /// (still at work), 08 (a broken memory), 0B (lost behind a gateway, which had sent it on) and codes that the
    /// specification does not define leave it as open.
    #[must_use]
    pub fn maybe_executed(&self) -> bool {
        match self {
            Error::Timeout { sent, .. } | Error::Transport { sent, .. } => *sent,
            // Refused before anything was done, but for these.
            Error::Exception { code, .. } => matches!(
                code,
                ExceptionCode::ServerDeviceFailure
                    | ExceptionCode::Acknowledge
                    | ExceptionCode::MemoryParityError
                    | ExceptionCode::GatewayTargetFailedToRespond
                    | ExceptionCode::Other(_)
            ),
            // Whoever ended the task knows no more than that.
            Error::Protocol(_) | Error::Closed => true,
            Error::Connect { .. } | Error::Request(_) | Error::Target(_) | Error::Tls(_) => false,
        }
    }

    /// Whether asking again may help: nothing was heard, rather than something refused.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(
            self,
            Error::Timeout { .. }
                | Error::Transport { .. }
                | Error::Connect { .. }
                | Error::Protocol(ProtocolError::Echo)
        )
    }
}
