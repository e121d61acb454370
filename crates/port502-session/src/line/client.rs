//! The client's side of a line.

use alloc::vec::Vec;
use core::time::Duration;

use port502_wire::ascii::LF;
use port502_wire::rtu::Hears;
use port502_wire::serial::{Frame, Received};
use port502_wire::{EmitError, FunctionCode, Mismatch, PDU_MAX, Request, Response, SubFunction, UnitId};

use super::{ADU_MAX, Decoder, Echo, changed_delimiter, emit};
use crate::Instant;
use crate::client::AnswerError;
use crate::target::{Framing, LineSettings};

/// Why a request cannot be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// Another one is on its way.
    Busy,
    /// A broadcast of something that wants an answer: nobody answers a broadcast.
    NotBroadcast {
        /// What was to be asked.
        function: FunctionCode,
    },
    /// The PDU is empty or too long.
    Pdu(EmitError),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StartError::Busy => f.write_str("another request is on its way"),
            StartError::NotBroadcast { function } => write!(
                f,
                "{function}: unit 0 is the broadcast on a line, which nobody answers: only writes can be broadcast"
            ),
            StartError::Pdu(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StartError {}

/// What comes of the bytes on a line, and of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// The answer to the request, an exception included: a well-formed response PDU that fits it. For a broadcast the
    /// [`acknowledgement`], when the servers have had the time to carry it out.
    Answer {
        /// [`Response::parse`] accepts it.
        pdu: &'a [u8],
    },
    /// The deadline passed. Should the answer come, it is discarded.
    GivenUp {
        /// What is wrong with the last frame that came in the place of the answer, if any did.
        error: Option<AnswerError>,
    },
    /// What came back is not what was sent, on a line that echoes: two spoke at once, or it does not echo. The
    /// request is over; whether it arrived nobody knows.
    Collision,
    /// A frame that is no answer to the request. It was passed over, and waiting goes on.
    PassedOver {
        /// Who sent it.
        unit: UnitId,
    },
    /// Bytes that are no frame were dropped, and waiting goes on.
    Dropped {
        /// How many.
        bytes: usize,
    },
}

/// The request that is on its way.
#[derive(Debug)]
struct Asked {
    unit: UnitId,
    /// What was asked, to compare the answer with.
    pdu: Vec<u8>,
    deadline: Instant,
    /// Until when the answer may come should it be given up.
    late_until: Instant,
    /// What a broadcast is answered with in the place of the servers, at its deadline.
    acknowledgement: Option<Vec<u8>>,
    wrong: Option<AnswerError>,
}

/// A request that was given up, and whose answer may still come.
#[derive(Debug)]
struct Late {
    unit: UnitId,
    pdu: Vec<u8>,
    until: Instant,
}

impl Late {
    /// Whether its answer would be taken for that to another request. That to the same request is as good.
    fn disturbs(&self, unit: UnitId, pdu: &[u8]) -> bool {
        self.unit == unit && self.pdu.first() == pdu.first() && self.pdu != pdu
    }

    fn is_answered_by(&self, frame: &Frame<'_>) -> bool {
        let function = frame.pdu.first().map(|function| function & 0x7F);
        self.unit == frame.unit && self.pdu.first().map(|asked| asked & 0x7F) == function
    }
}

/// Requests given up that are remembered; the oldest is forgotten when there are more. Each takes its whole time to be
/// given up, so that more than one or two are rare.
const LATE_MAX: usize = 16;

/// One line as the client on it sees it.
///
/// ```
/// use core::time::Duration;
/// use port502_session::{Instant, Target, line::{ADU_MAX, ClientLine, Event}};
/// use port502_wire::UnitId;
///
/// let target: Target = "rtu:///dev/ttyUSB0".parse()?;
/// let mut line = ClientLine::new(target.link().framing(), target.line().unwrap());
/// let (now, mut out) = (Instant::ZERO, [0; ADU_MAX]);
/// let adu = line.start(now, UnitId(1), &[3, 0, 0, 0, 1], now + Duration::from_secs(1), &mut out)?;
/// assert_eq!(adu, [1, 3, 0, 0, 0, 1, 0x84, 0x0A]); // goes out
///
/// let mut input: &[u8] = &[1, 3, 2, 0, 42, 0x39, 0x9B]; // comes in
/// assert_eq!(line.next(now, &mut input), Some(Event::Answer { pdu: &[3, 2, 0, 42] }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ClientLine {
    framing: Framing,
    settings: LineSettings,
    decoder: Decoder,
    delimiter: u8,
    asked: Option<Asked>,
    /// How long a request is waited for, as the caller last said.
    patience: Duration,
    late: Vec<Late>,
    echo: Echo,
    /// When the last byte came.
    heard: Instant,
    /// Nothing is sent before.
    free: Instant,
    /// The answer that was handed out last.
    answer: Vec<u8>,
}

impl ClientLine {
    /// A line of which nothing is known.
    #[must_use]
    pub fn new(framing: Framing, settings: LineSettings) -> Self {
        ClientLine {
            framing,
            settings,
            decoder: Decoder::new(framing, Hears::Responses, LF),
            delimiter: LF,
            asked: None,
            patience: Duration::ZERO,
            late: Vec::new(),
            echo: Echo::default(),
            heard: Instant::ZERO,
            free: Instant::ZERO,
            answer: Vec::new(),
        }
    }

    /// When the next request may go out, as far as is known now: behind the gap and the turnaround delay, and
    /// when what comes without having been asked for has ended.
    #[must_use]
    pub fn free_at(&self) -> Instant {
        let silence = if self.decoder.is_midway() {
            self.settings.quiet.max(self.settings.gap)
        } else {
            self.settings.gap
        };
        // Before the first byte there is nothing to keep a distance from.
        let heard = if self.heard == Instant::ZERO { Instant::ZERO } else { self.heard + silence };
        heard.max(self.free)
    }

    /// The same for one request. After one that was given up, another to the same unit with the same function has to
    /// wait until the late answer has come, or as long again as the request was given: nothing in an answer says
    /// which of the two it belongs to. The same request, and those to others, need not wait.
    #[must_use]
    pub fn free_for(&self, unit: UnitId, pdu: &[u8]) -> Instant {
        let late = self.late.iter().filter(|late| late.disturbs(unit, pdu)).map(|late| late.until);
        late.fold(self.free_at(), Instant::max)
    }

    /// How long requests are waited for from now on, where their deadlines leave them less because they had to wait
    /// for their turn: it is how long an answer may be on its way after its request was given up.
    pub fn wait_for_late(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Makes the frame of a request, which the caller sends at once. What came before is forgotten: it cannot be
    /// the answer.
    ///
    /// # Errors
    /// [`StartError`]; nothing has changed then.
    pub fn start<'b>(
        &mut self,
        now: Instant,
        unit: UnitId,
        pdu: &[u8],
        deadline: Instant,
        out: &'b mut [u8; ADU_MAX],
    ) -> Result<&'b [u8], StartError> {
        if self.asked.is_some() {
            return Err(StartError::Busy);
        }
        let acknowledgement = match unit {
            UnitId::BROADCAST => Some(acknowledgement(pdu).ok_or_else(|| StartError::NotBroadcast {
                function: FunctionCode(pdu.first().copied().unwrap_or_default()),
            })?),
            _ => None,
        };
        let adu = emit(self.framing, &Frame { unit, pdu }, self.delimiter, out).map_err(StartError::Pdu)?;
        let characters = u32::try_from(adu.len()).unwrap_or(u32::MAX);
        let sent = now + self.settings.character.saturating_mul(characters);
        let deadline = if acknowledgement.is_some() { sent + self.settings.turnaround } else { deadline };
        self.free = sent + self.settings.gap;
        self.decoder = Decoder::new(self.framing, Hears::Responses, self.delimiter);
        if self.settings.echo {
            self.echo.expect(adu);
        }
        self.late.retain(|late| late.until > now);
        let patience = self.patience.max(deadline.since(now));
        let late_until = deadline + patience;
        self.asked =
            Some(Asked { unit, pdu: pdu.into(), deadline, late_until, acknowledgement, wrong: None });
        Ok(adu)
    }

    /// What the next frame in `input` means; `None` when all of it is taken.
    pub fn next(&mut self, now: Instant, input: &mut &[u8]) -> Option<Event<'_>> {
        if !input.is_empty() {
            self.heard = now;
        }
        if !self.echo.strip(input) {
            *input = &[];
            // Who was asked may have understood all the same: its answer, due by the deadline, is not to be run into.
            let asked = self.asked.take()?;
            let deadline = asked.deadline;
            self.over(asked, now.max(deadline));
            return Some(Event::Collision);
        }
        let received = self.decoder.next(input)?;
        take(&mut self.asked, &mut self.late, &mut self.answer, &mut self.delimiter, received)
    }

    /// The end of a datagram is the end of its frame. Call it until it returns `None`.
    pub fn end_of_datagram(&mut self) -> Option<Event<'_>> {
        let received = self.decoder.quiet()?;
        take(&mut self.asked, &mut self.late, &mut self.answer, &mut self.delimiter, received)
    }

    /// What comes of the time; call it when [`poll_timeout`](Self::poll_timeout) has come, until it returns `None`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event<'_>> {
        let over = self.asked.as_ref().is_some_and(|asked| asked.deadline <= now);
        // The end of patience is the end of the frame, too.
        if self.decoder.is_midway() && (over || self.heard + self.settings.quiet <= now) {
            return self.end_of_datagram();
        }
        if !over {
            return None;
        }
        let asked = self.asked.take()?;
        self.echo.forget();
        if let Some(acknowledgement) = asked.acknowledgement {
            learn_delimiter(&asked.pdu, &mut self.delimiter);
            self.answer = acknowledgement;
            return Some(Event::Answer { pdu: &self.answer });
        }
        let error = asked.wrong;
        self.over(asked, now);
        Some(Event::GivenUp { error })
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let quiet = self.decoder.is_midway().then(|| self.heard + self.settings.quiet);
        let deadline = self.asked.as_ref().map(|asked| asked.deadline);
        quiet.into_iter().chain(deadline).min()
    }

    /// Whether a request is on its way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// The request ends without an answer `at` this time: the line has to be quiet before the next, for the answer may
    /// be about to come.
    fn over(&mut self, asked: Asked, at: Instant) {
        self.echo.forget();
        let quiet: Duration = self.settings.quiet.max(self.settings.gap);
        self.free = self.free.max(at + quiet);
        // Nobody answers a broadcast.
        if asked.acknowledgement.is_none() {
            if self.late.len() >= LATE_MAX {
                self.late.remove(0);
            }
            self.late.push(Late { unit: asked.unit, pdu: asked.pdu, until: asked.late_until });
        }
    }
}

/// What a frame, or bytes that are none, mean for the request that is on its way.
fn take<'a>(
    asked: &mut Option<Asked>,
    late: &mut Vec<Late>,
    answer: &'a mut Vec<u8>,
    delimiter: &mut u8,
    received: Received<'_>,
) -> Option<Event<'a>> {
    let frame = match received {
        Received::Frame(frame) => frame,
        Received::CheckError { bytes } | Received::Noise { bytes } => return Some(Event::Dropped { bytes }),
    };
    let unit = frame.unit;
    let mut passed_over = |frame: &Frame<'_>| {
        // It may be the one that was waited for.
        if let Some(at) = late.iter().position(|late| late.is_answered_by(frame)) {
            late.remove(at);
        }
        Some(Event::PassedOver { unit })
    };
    // A broadcast is answered by nobody, whatever comes.
    let Some(open) = asked.as_mut().filter(|asked| asked.acknowledgement.is_none()) else {
        return passed_over(&frame);
    };
    match judge(open, &frame) {
        Ok(()) => {
            if frame.pdu.first().is_some_and(|function| function & 0x80 == 0) {
                learn_delimiter(&open.pdu, delimiter);
            }
            *asked = None;
            answer.clear();
            answer.extend_from_slice(frame.pdu);
            Some(Event::Answer { pdu: answer })
        }
        Err(error) => {
            open.wrong = Some(error);
            passed_over(&frame)
        }
    }
}

fn judge(asked: &Asked, frame: &Frame<'_>) -> Result<(), AnswerError> {
    if frame.unit != asked.unit {
        return Err(AnswerError::Unit { got: frame.unit });
    }
    let response = Response::parse(frame.pdu).map_err(AnswerError::Pdu)?;
    match Request::parse(&asked.pdu) {
        Ok(request) => response.answers(&request).map_err(AnswerError::Mismatch),
        // A request that breaks the rules on purpose: only the function can be compared.
        Err(_) if asked.pdu.first() == Some(&response.function().0) => Ok(()),
        Err(_) => Err(AnswerError::Mismatch(Mismatch::Function)),
    }
}

fn learn_delimiter(request: &[u8], delimiter: &mut u8) {
    if let Some(new) = changed_delimiter(request) {
        *delimiter = new;
    }
}

/// What a device would answer to a write that it has carried out: what is taken as the answer to a broadcast, which
/// nobody answers. `None` for everything that wants an answer, and so cannot be broadcast.
#[must_use]
pub fn acknowledgement(pdu: &[u8]) -> Option<Vec<u8>> {
    let request = Request::parse(pdu).ok()?;
    let response = match request {
        Request::WriteSingleCoil { address, value } => Response::WriteSingleCoil { address, value },
        Request::WriteSingleRegister { address, value } => Response::WriteSingleRegister { address, value },
        Request::WriteMultipleCoils { block } => {
            Response::WriteMultipleCoils { start: block.span().start(), count: block.span().count() }
        }
        Request::WriteMultipleRegisters { block } => {
            Response::WriteMultipleRegisters { start: block.span().start(), count: block.span().count() }
        }
        Request::MaskWriteRegister { address, and, or } => Response::MaskWriteRegister { address, and, or },
        Request::WriteFileRecord { records } => Response::WriteFileRecord { records },
        // What counters say is a question; these are orders.
        Request::Diagnostics {
            sub_function:
                sub_function @ (SubFunction::RESTART_COMMUNICATIONS
                | SubFunction::CHANGE_ASCII_DELIMITER
                | SubFunction::FORCE_LISTEN_ONLY
                | SubFunction::CLEAR_COUNTERS
                | SubFunction::CLEAR_OVERRUN_COUNTER),
            data,
        } => Response::Diagnostics { sub_function, data },
        // What a user's own function does is the user's business.
        Request::Other { function, .. } => Response::Other { function, data: &[] },
        _ => return None,
    };
    response.emit(&mut [0; PDU_MAX]).ok().map(<[u8]>::to_vec)
}
