//! The client's side: several requests in flight on one connection, and answers matched to them.
//!
//! Three things go wrong in the field, and each has its rule here. A late answer (its request has timed out or
//! was given up) is discarded, and its transaction id is not used again while it may still come. An answer that
//! does not fit its request is an error of that request, and never a value. A frame that belongs to nothing is
//! passed over.
//!
//! ```
//! use core::time::Duration;
//! use port502_session::{Instant, client::{ClientSession, Event}};
//! use port502_wire::{UnitId, mbap::ADU_MAX};
//!
//! let mut session = ClientSession::<1>::new();
//! let mut out = [0; ADU_MAX];
//! let now = Instant::ZERO;
//! let (id, adu) = session.start(now, UnitId(1), &[3, 0, 0, 0, 1], Duration::from_secs(1), &mut out)?;
//! assert_eq!(adu, [0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]); // goes out
//!
//! let mut input: &[u8] = &[0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 42]; // comes in
//! let event = session.next(&mut input)?;
//! assert!(matches!(event, Some(Event::Answer { id: got, pdu: [3, 2, 0, 42], .. }) if got == id));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use port502_wire::mbap::{self, ADU_MAX, Decoder, Frame, LengthError, Received, TransactionId};
use port502_wire::{EmitError, Mismatch, PDU_MAX, PduError, Request, Response, UnitId};

use crate::Instant;

/// Requests in flight on one connection, at most, whoever asks. So many keep a device and the way to it busy at once: with
/// fewer, one of them waits for the other.
pub const IN_FLIGHT_MAX: u16 = 256;

/// Transaction ids of requests that were given up, and whose answers may still come. A connection with more
/// is of no use: its server answers nothing.
pub const ABANDONED_MAX: usize = 4096;

/// Why a request cannot be started now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// As many requests as allowed are in flight: wait for one to end.
    TooManyPending,
    /// [`ABANDONED_MAX`] requests were never answered: connect anew.
    TooManyAbandoned,
    /// The PDU is empty or too long.
    Pdu(EmitError),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StartError::TooManyPending => f.write_str("too many requests are in flight"),
            StartError::TooManyAbandoned => write!(f, "{ABANDONED_MAX} requests were never answered"),
            StartError::Pdu(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StartError {}

/// What is wrong with an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerError {
    /// Its bytes are no response PDU.
    Pdu(PduError),
    /// It is well formed, and no answer to this request.
    Mismatch(Mismatch),
    /// It comes from another unit, and the session was told to be strict about that.
    Unit {
        /// The unit id of the answer.
        got: UnitId,
    },
}

impl core::fmt::Display for AnswerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            AnswerError::Pdu(error) => error.fmt(f),
            AnswerError::Mismatch(mismatch) => mismatch.fmt(f),
            AnswerError::Unit { got } => write!(f, "the answer comes from unit {got}"),
        }
    }
}

impl core::error::Error for AnswerError {}

/// What comes of the bytes that a server sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a, T = ()> {
    /// The answer to request `id`, an exception included: a well-formed response PDU that fits the request.
    Answer {
        /// Which request.
        id: TransactionId,
        /// What it was opened with.
        tag: T,
        /// [`Response::parse`] accepts it.
        pdu: &'a [u8],
        /// The unit id of the answer, where it is not the one that was asked: worth a warning.
        other_unit: Option<UnitId>,
    },
    /// Request `id` was answered with something that is no answer to it.
    BadAnswer {
        /// Which request.
        id: TransactionId,
        /// What it was opened with.
        tag: T,
        /// What is wrong.
        error: AnswerError,
        /// Where it comes from.
        unit: UnitId,
        /// What it was.
        pdu: &'a [u8],
    },
    /// A frame that belongs to no open request: late, or never asked for. It was passed over.
    Discarded {
        /// Its transaction id; `None` when it is of another protocol.
        id: Option<TransactionId>,
    },
}

#[derive(Clone, Debug)]
struct Pending<T> {
    id: TransactionId,
    unit: UnitId,
    deadline: Instant,
    /// What was asked, to compare the answer with.
    pdu: Asked,
    tag: T,
}

impl<T> Pending<T> {
    /// Whether this is its answer, as most are: a read's, with as many values as were asked for, from the unit that was
    /// asked.
    #[inline]
    fn is_plainly_answered_by(&self, frame: &Frame<'_>) -> bool {
        let Asked::Five(asked) = &self.pdu else { return false };
        self.id == frame.transaction && self.unit == frame.unit && Response::is_plain_answer(frame.pdu, asked)
    }
}

/// A request PDU. Most are five bytes long, and few are longer than the shortest write of many: those are kept without an
/// allocation.
#[derive(Clone, Debug)]
enum Asked {
    Five([u8; 5]),
    Short { len: u8, bytes: [u8; SHORT_MAX] },
    Long(Box<[u8]>),
}

const SHORT_MAX: usize = 14;

impl Asked {
    #[inline]
    fn new(pdu: &[u8]) -> Self {
        match <[u8; 5]>::try_from(pdu) {
            Ok(five) => Asked::Five(five),
            Err(_) => Self::of_any_length(pdu),
        }
    }

    fn of_any_length(pdu: &[u8]) -> Self {
        let mut bytes = [0; SHORT_MAX];
        match (bytes.get_mut(..pdu.len()), u8::try_from(pdu.len())) {
            (Some(room), Ok(len)) => {
                room.copy_from_slice(pdu);
                Asked::Short { len, bytes }
            }
            _ => Asked::Long(pdu.into()),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Asked::Five(bytes) => bytes,
            Asked::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Asked::Long(bytes) => bytes,
        }
    }
}

/// One connection as the client sees it, with at most `PENDING_MAX` requests in flight. Each can have a `T` with it, which
/// says to the caller what it is, and comes back with its end.
#[derive(Debug)]
pub struct ClientSession<const PENDING_MAX: usize, T = ()> {
    decoder: Decoder,
    /// In the order in which they were started, which is mostly that of the answers.
    pending: VecDeque<Pending<T>>,
    /// Sorted.
    abandoned: Vec<u16>,
    last: u16,
    strict_unit: bool,
    in_order: bool,
}

impl<const PENDING_MAX: usize, T> Default for ClientSession<PENDING_MAX, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const PENDING_MAX: usize> ClientSession<PENDING_MAX> {
    /// Puts a request in flight and returns its frame, which the caller sends.
    ///
    /// # Errors
    /// [`StartError`]; nothing has changed then.
    #[inline]
    pub fn start<'b>(
        &mut self,
        now: Instant,
        unit: UnitId,
        pdu: &[u8],
        timeout: Duration,
        out: &'b mut [u8; ADU_MAX],
    ) -> Result<(TransactionId, &'b [u8]), StartError> {
        let id = self.open(now, unit, pdu, timeout, ()).map_err(|(error, ())| error)?;
        let adu = mbap::emit(&Frame { transaction: id, unit, pdu }, out).map_err(StartError::Pdu)?;
        Ok((id, adu))
    }
}

impl<const PENDING_MAX: usize, T> ClientSession<PENDING_MAX, T> {
    /// On a fresh connection: no answer of an earlier one can arrive on it.
    #[must_use]
    pub fn new() -> Self {
        ClientSession {
            decoder: Decoder::new(),
            pending: VecDeque::with_capacity(PENDING_MAX.min(16)),
            abandoned: Vec::new(),
            last: 0,
            strict_unit: false,
            in_order: false,
        }
    }

    /// Refuses answers from another unit than the one asked. Off, because the unit id of a server that is
    /// reached directly means nothing, and some fill in their own (Messaging on TCP/IP V1.0b, 4.4.2).
    #[must_use]
    pub fn strict_unit(mut self, strict: bool) -> Self {
        self.strict_unit = strict;
        self
    }

    /// Takes an answer whose transaction id belongs to nothing for that of the oldest request, for servers that do
    /// not echo the id. A late answer cannot be told from the next one's then: the connection has to be closed
    /// when a request times out.
    #[must_use]
    pub fn in_order(mut self, in_order: bool) -> Self {
        self.in_order = in_order;
        self
    }

    /// Puts a request in flight, for callers that make its frame themselves, with the id that they get.
    ///
    /// # Errors
    /// [`StartError`], and the tag; nothing has changed then.
    #[inline]
    pub fn open(
        &mut self,
        now: Instant,
        unit: UnitId,
        pdu: &[u8],
        timeout: Duration,
        tag: T,
    ) -> Result<TransactionId, (StartError, T)> {
        if self.pending.len() >= PENDING_MAX {
            return Err((StartError::TooManyPending, tag));
        }
        if pdu.is_empty() || pdu.len() > PDU_MAX {
            return Err((StartError::Pdu(EmitError::TooLong { len: pdu.len() }), tag));
        }
        let id = match self.free_id() {
            Ok(id) => id,
            Err(error) => return Err((error, tag)),
        };
        self.pending.push_back(Pending { id, unit, deadline: now + timeout, pdu: Asked::new(pdu), tag });
        self.last = id.0;
        Ok(id)
    }

    /// The next transaction id that nothing in flight and nothing given up bears.
    fn free_id(&self) -> Result<TransactionId, StartError> {
        if self.abandoned.len() >= ABANDONED_MAX {
            return Err(StartError::TooManyAbandoned);
        }
        let id = self.last;
        // Ids were given in this order: none is open twice round unless the oldest is half a round behind.
        let round = self.pending.front().map_or(0, |oldest| id.wrapping_sub(oldest.id.0));
        if self.abandoned.is_empty() && round < u16::MAX / 2 {
            return Ok(TransactionId(id.wrapping_add(1)));
        }
        Ok(self.search_id())
    }

    #[cold]
    fn search_id(&self) -> TransactionId {
        let mut id = self.last;
        // Fewer ids are taken than there are, so this ends.
        loop {
            id = id.wrapping_add(1);
            let open = self.pending.iter().any(|pending| pending.id.0 == id);
            if !open && self.abandoned.binary_search(&id).is_err() {
                return TransactionId(id);
            }
        }
    }

    /// What the next frame in `input` means; `None` when all of it is taken.
    ///
    /// # Errors
    /// A length field that makes the rest unreadable: the connection has to be closed.
    #[inline]
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Event<'s, T>>, LengthError> {
        let frame = match self.decoder.next(input)? {
            None => return Ok(None),
            Some(Received::Foreign { .. }) => return Ok(Some(Event::Discarded { id: None })),
            Some(Received::Frame(frame)) => frame,
        };
        let id = frame.transaction;
        if self.pending.front().is_some_and(|oldest| oldest.is_plainly_answered_by(&frame))
            && let Some(Pending { tag, .. }) = self.pending.pop_front()
        {
            return Ok(Some(Event::Answer { id, tag, pdu: frame.pdu, other_unit: None }));
        }
        Ok(Some(settle(&mut self.pending, &mut self.abandoned, &frame, self.strict_unit, self.in_order)))
    }

    /// A request whose deadline has passed. It is given up: should its answer come, it is discarded.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<(TransactionId, T)> {
        let id = self.pending.iter().find(|pending| pending.deadline <= now)?.id;
        self.cancel(id).map(|tag| (id, tag))
    }

    /// Gives a request up before its deadline; `None` when it is not in flight.
    pub fn cancel(&mut self, id: TransactionId) -> Option<T> {
        let at = self.pending.iter().position(|pending| pending.id == id)?;
        let pending = self.pending.remove(at)?;
        if let Err(at) = self.abandoned.binary_search(&id.0) {
            self.abandoned.insert(at, id.0);
        }
        Some(pending.tag)
    }

    /// Gives up all that is in flight, because the connection is at its end: what it was opened with, oldest first.
    pub fn end(&mut self) -> impl Iterator<Item = T> {
        core::mem::take(&mut self.pending).into_iter().map(|pending| pending.tag)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` while nothing is in flight.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.deadline).min()
    }

    /// How many requests are in flight.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

/// What a frame means that is not simply the answer to the oldest request.
#[inline(never)]
fn settle<'s, T>(
    open: &mut VecDeque<Pending<T>>,
    abandoned: &mut Vec<u16>,
    frame: &Frame<'s>,
    strict_unit: bool,
    in_order: bool,
) -> Event<'s, T> {
    let id = frame.transaction;
    let at = open.iter().position(|pending| pending.id == id).or(in_order.then_some(0));
    let Some(pending) = at.and_then(|at| open.remove(at)) else {
        forget(abandoned, id);
        return Event::Discarded { id: Some(id) };
    };
    let fits = judge(&pending, frame, strict_unit);
    let Pending { id, unit, tag, .. } = pending;
    match fits {
        Ok(()) => {
            let other_unit = Some(frame.unit).filter(|answering| *answering != unit);
            Event::Answer { id, tag, pdu: frame.pdu, other_unit }
        }
        Err(error) => Event::BadAnswer { id, tag, error, unit: frame.unit, pdu: frame.pdu },
    }
}

/// The late answer to a request that was given up has come.
#[cold]
fn forget(abandoned: &mut Vec<u16>, id: TransactionId) {
    if let Ok(at) = abandoned.binary_search(&id.0) {
        abandoned.remove(at);
    }
}

fn judge<T>(pending: &Pending<T>, frame: &Frame<'_>, strict_unit: bool) -> Result<(), AnswerError> {
    if strict_unit && frame.unit != pending.unit {
        return Err(AnswerError::Unit { got: frame.unit });
    }
    compare(frame.pdu, pending.pdu.as_slice())
}

/// Whether an answer fits what was asked.
fn compare(answer: &[u8], asked: &[u8]) -> Result<(), AnswerError> {
    let response = Response::parse(answer).map_err(AnswerError::Pdu)?;
    match Request::parse(asked) {
        Ok(request) => response.answers(&request).map_err(AnswerError::Mismatch),
        // A request that breaks the rules on purpose: only the function can be compared.
        Err(_) if asked.first() == Some(&response.function().0) => Ok(()),
        Err(_) => Err(AnswerError::Mismatch(Mismatch::Function)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const SECOND: Duration = Duration::from_secs(1);
    const READ_ONE: [u8; 5] = [3, 0, 0, 0, 1];

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// A session with `n` reads in flight, ids 1 to `n`, started at the times given.
    fn started(times: &[u64]) -> ClientSession<16> {
        let (mut session, mut out) = (ClientSession::new(), [0; ADU_MAX]);
        for (k, &millis) in (1..).zip(times) {
            let (id, _) = session.start(at(millis), UnitId(1), &READ_ONE, SECOND, &mut out).unwrap();
            assert_eq!(id.0, k);
        }
        session
    }

    fn answer(id: u8, value: u8) -> Vec<u8> {
        vec![0, id, 0, 0, 0, 5, 1, 3, 2, 0, value]
    }

    #[track_caller]
    fn check(session: &mut ClientSession<16>, bytes: &[u8], want: Event<'_>) {
        assert_eq!(session.next(&mut &*bytes), Ok(Some(want)), "bytes {bytes:02x?}");
    }

    #[test]
    fn answers_in_any_order() {
        let mut session = started(&[0, 0, 0]);
        for id in [2, 3, 1] {
            let pdu = &[3, 2, 0, id];
            check(
                &mut session,
                &answer(id, id),
                Event::Answer { id: TransactionId(id.into()), tag: (), pdu, other_unit: None },
            );
        }
        assert_eq!(session.pending(), 0);
    }

    #[test]
    fn a_late_answer_is_never_the_next_ones() {
        let mut session = started(&[0]);
        assert_eq!(session.handle_timeout(at(999)), None);
        assert_eq!(session.handle_timeout(at(1000)), Some((TransactionId(1), ())));
        let mut out = [0; ADU_MAX];
        let (second, _) = session.start(at(1000), UnitId(1), &READ_ONE, SECOND, &mut out).unwrap();
        assert_eq!(second.0, 2);
        check(&mut session, &answer(1, 66), Event::Discarded { id: Some(TransactionId(1)) });
        check(
            &mut session,
            &answer(2, 7),
            Event::Answer { id: second, tag: (), pdu: &[3, 2, 0, 7], other_unit: None },
        );
    }

    #[test]
    fn the_id_of_an_abandoned_request_is_not_used_again() {
        let mut session = started(&[0]);
        session.cancel(TransactionId(1));
        session.last = 0; // as after 65,535 more requests
        let mut out = [0; ADU_MAX];
        let (id, _) = session.start(at(0), UnitId(1), &READ_ONE, SECOND, &mut out).unwrap();
        assert_eq!(id.0, 2);
        // Once the late answer has come the id is free.
        check(&mut session, &answer(1, 66), Event::Discarded { id: Some(TransactionId(1)) });
        session.last = 0;
        let (id, _) = session.start(at(0), UnitId(1), &READ_ONE, SECOND, &mut out).unwrap();
        assert_eq!(id.0, 1);
    }

    #[test]
    fn what_does_not_fit_is_an_error_of_its_request() {
        let rows: &[(&[u8], AnswerError)] = &[
            (&[0, 1, 0, 0, 0, 5, 1, 4, 2, 0, 1], AnswerError::Mismatch(Mismatch::Function)),
            (
                &[0, 1, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2],
                AnswerError::Mismatch(Mismatch::Quantity { got: 2, asked: 1 }),
            ),
            (
                &[0, 1, 0, 0, 0, 5, 1, 3, 4, 0, 1],
                AnswerError::Pdu(PduError::ByteCount { function: 3, got: 4, implied: 2 }),
            ),
        ];
        for (bytes, error) in rows {
            let mut session = started(&[0]);
            let (unit, pdu) = (UnitId(1), &bytes[7..]);
            let bad = Event::BadAnswer { id: TransactionId(1), tag: (), error: *error, unit, pdu };
            check(&mut session, bytes, bad);
            assert_eq!(session.pending(), 0, "the connection stays usable");
        }
    }

    #[test]
    fn another_units_answer_is_taken_and_told_or_refused() {
        let bytes = [0, 1, 0, 0, 0, 5, 9, 3, 2, 0, 7];
        let (id, other_unit) = (TransactionId(1), Some(UnitId(9)));
        check(&mut started(&[0]), &bytes, Event::Answer { id, tag: (), pdu: &[3, 2, 0, 7], other_unit });
        let error = AnswerError::Unit { got: UnitId(9) };
        let bad = Event::BadAnswer { id, tag: (), error, unit: UnitId(9), pdu: &[3, 2, 0, 7] };
        check(&mut started(&[0]).strict_unit(true), &bytes, bad);
    }

    #[test]
    fn limits_have_names() {
        let mut session = started(&[0; 16]);
        let mut out = [0; ADU_MAX];
        let full = session.start(at(0), UnitId(1), &READ_ONE, SECOND, &mut out);
        assert_eq!(full, Err(StartError::TooManyPending));
        for id in 1..=16 {
            session.cancel(TransactionId(id));
        }
        for _ in 16..ABANDONED_MAX {
            let (id, _) = session.start(at(0), UnitId(1), &READ_ONE, SECOND, &mut out).unwrap();
            session.cancel(id);
        }
        let full = session.start(at(0), UnitId(1), &READ_ONE, SECOND, &mut out);
        assert_eq!(full, Err(StartError::TooManyAbandoned));
    }

    #[test]
    fn timeouts_come_in_the_order_of_their_deadlines() {
        let session = started(&[5, 3, 9]);
        assert_eq!(session.poll_timeout(), Some(at(1003)));
    }

    #[test]
    fn a_stranger_is_passed_over() {
        let mut session = started(&[0]);
        check(&mut session, &answer(9, 1), Event::Discarded { id: Some(TransactionId(9)) });
        check(&mut session, &[0, 1, 0, 7, 0, 3, 1, 3, 3], Event::Discarded { id: None });
        assert_eq!(session.pending(), 1);
    }
}
