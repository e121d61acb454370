//! The inspection of one connection: what of its bytes goes on, in either direction.
//!
//! ```text
//!   client ──bytes──► frames ──► strict parser ──► sanity ──► rules ──► new transaction id ──► server
//!                       │             │              │          │
//!                     reset      reset, or what      drop,    exception, drop or reset
//!                                the server owes     busy
//!
//!   client ◄─ the client's id ◄── fits the open request ◄── strict parser ◄── frames ◄──bytes── server
//!                                          │                     │              │
//!                                        drop                  drop        drop, reset
//! ```
//!
//! [`Inspection`] is about frames: it suits a connection to the server that several clients share, whose owner numbers
//! transactions itself. [`Inline`] is about bytes: one connection in, one out. Both write what goes on anew from what was
//! parsed, so that nothing passes that the parser has not read, and give each request a transaction id of their own:
//! an answer belongs to one request, whatever ids the client uses. Bits behind the last coil of a write are sent as 0: no
//! rule has looked at them, and a device that writes whole bytes would write them, too.
//!
//! Protocol sanity is on in every mode. What `alert` lets through is what rules refuse, never bytes that are no request.
//!
//! | what comes | what becomes of it |
//! |---|---|
//! | a length no frame has, another protocol | reset |
//! | a request whose structure is wrong: too short, bytes behind its end, byte counts | reset ([`Sanity::malformed`]) |
//! | a request that is whole, with a quantity, value or address the specification does not allow | the exception it is owed |
//! | the transaction id of an open request | dropped: an exception would be taken for the first one's answer |
//! | the same, [`REUSED_AFTER`] later: the client has given the first up | so does the inspection, and judges the second |
//! | more open requests than [`Sanity::open`] | the oldest is given up, if it has waited for so long ([`Sanity::gives_way_after`]); else exception 06 |
//! | a response that does not fit an open request in id, unit, function, quantity or echo | dropped; the request stays open |

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use port502_session::Instant;
pub use port502_session::tap::{Direction, REUSED_AFTER};
use port502_wire::mbap::{self, Decoder, Frame, Received, TransactionId};
use port502_wire::{ExceptionCode, FunctionCode, PduError, Read, Request, Response, UnitId};

use crate::engine::Peer;
use crate::grants::{Grants, Stretch};
use crate::judge::Moment;
use crate::open::{Asked, GivenUp, Open, OpenRequests};
use crate::policy::Refusal;
use crate::state::{Ending, Sent, State};
use crate::verdict::{Objection, Reason, Verdict};

mod plain;

/// The most that [`Sanity::open`] can be.
pub const OPEN_MAX: usize = 64;

/// Requests of one connection that were given up and may still be answered: what was given up longer ago than
/// [`Sanity::answer_within`] is not. With more, the connection is reset: its server answers nothing.
pub const UNANSWERED_MAX: usize = 256;

/// How many transactions that are over are remembered, to know a second answer from one that nobody asked for.
const RECENT_LEN: usize = 16;

/// The limits of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sanity {
    /// Requests that wait for their answer, at most [`OPEN_MAX`]. The specification lets a client have 16 (Messaging on
    /// TCP/IP V1.0b, 4.2.1).
    pub open: usize,
    /// After this a request is given up, and its answer is late. So long after a write was given up the device may still
    /// carry it out: nothing that is read until then is taken for what its value is.
    pub answer_within: Duration,
    /// So long a request holds its place for certain: one that has waited for longer is given up when another needs it.
    /// As long as a device takes at most; a unit that is dead must not keep its client from those that live.
    pub gives_way_after: Duration,
    /// From the first byte of a frame to its last.
    pub frame_within: Duration,
    /// What becomes of a request whose structure is wrong.
    pub malformed: Refusal,
    /// Whether unit 0 is a broadcast, which nobody answers, as on a line; over TCP it is a device like others. What is known of
    /// values is careful either way: behind a gateway it may be one.
    pub broadcast: bool,
}

impl Default for Sanity {
    fn default() -> Self {
        Sanity {
            open: 16,
            answer_within: Duration::from_secs(60),
            gives_way_after: Duration::from_secs(1),
            frame_within: Duration::from_secs(8),
            malformed: Refusal::Reset,
            broadcast: true,
        }
    }
}

/// What to do with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// It goes on, under this transaction id, as [`Inspection::passed`] has it.
    Forward {
        /// One that nothing open bears.
        transaction: TransactionId,
    },
    /// It is kept back in this way.
    Refuse(Refusal),
}

/// What an inspection says of one request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Judged {
    /// What to do with it.
    pub disposition: Disposition,
    /// What is against it: always when it is kept back, and in alert when it goes on.
    pub objection: Option<Objection>,
}

/// Something to be recorded.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Event<'a> {
    /// Where the bytes were going.
    pub direction: Direction,
    /// What became of them.
    pub outcome: Outcome,
    /// What is against them.
    pub objection: Objection,
    /// The transaction id that their sender gave them.
    pub transaction: Option<TransactionId>,
    /// The unit.
    pub unit: Option<UnitId>,
    /// The PDU; of a frame of another protocol, all of it; nothing where no frame can be told.
    pub pdu: &'a [u8],
}

/// What became of bytes that are recorded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// They went on all the same.
    Alerted,
    /// They were kept back.
    Refused(Refusal),
    /// There was nothing to keep back: an answer that did not come.
    Noted,
}

impl Outcome {
    /// The word in reports, stable.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Outcome::Alerted => "alerted",
            Outcome::Refused(_) => "refused",
            Outcome::Noted => "noted",
        }
    }
}

impl Open {
    fn sent<'r>(&self, request: &'r Request<'r>, sanity: Sanity) -> Sent<'r> {
        Sent { unit: self.unit, request, asked: self.asked, at: self.since, within: sanity.answer_within }
    }
}

#[derive(Clone, Copy, Debug)]
struct Recent {
    transaction: TransactionId,
    answered: bool,
}

/// The transactions that were over last, in a ring.
#[derive(Debug, Default)]
struct Recents {
    ring: [Option<Recent>; RECENT_LEN],
    /// The place of the next.
    next: usize,
}

impl Recents {
    #[inline]
    fn remember(&mut self, transaction: TransactionId, answered: bool) {
        let at = self.next % RECENT_LEN;
        if let Some(place) = self.ring.get_mut(at) {
            *place = Some(Recent { transaction, answered });
        }
        self.next = at + 1;
    }

    fn of(&mut self, transaction: TransactionId) -> Option<&mut Recent> {
        self.ring.iter_mut().flatten().find(|recent| recent.transaction == transaction)
    }
}

/// What the client may do, as long as the rules stay the same.
#[derive(Debug)]
struct Granted {
    grants: Arc<Grants>,
    /// Where its last read was found: a client mostly reads one table of one unit.
    stretch: Stretch,
}

impl Granted {
    fn new(grants: Arc<Grants>) -> Self {
        Granted { grants, stretch: Stretch::NONE }
    }
}

/// One client's connection, frame by frame.
#[derive(Debug)]
pub struct Inspection {
    sanity: Sanity,
    peer: Peer,
    granted: Option<Granted>,
    open: OpenRequests,
    requests: u64,
    unanswered: VecDeque<GivenUp>,
    recent: Recents,
}

impl Inspection {
    /// Of a connection on which nothing has come yet.
    #[must_use]
    pub fn new(sanity: Sanity, peer: Peer) -> Self {
        Inspection {
            sanity: Sanity { open: sanity.open.clamp(1, OPEN_MAX), ..sanity },
            peer,
            granted: None,
            open: OpenRequests::new(),
            requests: 0,
            unanswered: VecDeque::new(),
            recent: Recents::default(),
        }
    }

    /// Who the client is.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// How many frames have come from the client.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// What goes on to the server of the request that was let pass last, as long as it is open: its PDU, without bits behind
    /// the last coil.
    #[must_use]
    pub fn passed(&self) -> Option<&[u8]> {
        self.open.last().map(|open| self.open.pdu(open))
    }

    /// How many requests wait for their answer.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.open.len()
    }

    /// A frame came from the client. The rules are those that `state` has now: when they were replaced, this request is
    /// the first under the new ones.
    pub fn request(&mut self, state: &mut State, now: Moment, frame: &Frame<'_>) -> Judged {
        self.requests += 1;
        let request = match Request::parse(frame.pdu) {
            Ok(request) => request,
            Err(error) => return refused(self.owed(error), Reason::Malformed(error)),
        };
        if let Some(learner) = &mut state.learner {
            learner.observe(now.at, &self.peer, frame.unit, &request);
        }
        if let Some(at) = self.open.of_client(frame.transaction) {
            if self.open.at(at).is_some_and(|open| now.at.since(open.since) < REUSED_AFTER) {
                return refused(Refusal::Drop, Reason::TransactionReused);
            }
            self.give_up(state, now.at, at);
        }
        if self.open.len() >= self.sanity.open {
            // A broadcast is never answered: it holds no place that somebody else needs.
            let broadcast = self.open.waiting().iter().position(|open| self.is_broadcast(open.unit));
            if let Some(at) = broadcast {
                self.give_up(state, now.at, at);
            }
        }
        if self.open.len() >= self.sanity.open {
            return refused(Refusal::Exception(ExceptionCode::ServerDeviceBusy.code()), Reason::TooManyOpen);
        }
        let over = |given_up: &GivenUp| now.at.since(given_up.at) >= self.sanity.answer_within;
        if self.unanswered.front().is_some_and(over) {
            self.unanswered.pop_front();
        }
        if self.unanswered.len() >= UNANSWERED_MAX {
            return refused(Refusal::Reset, Reason::TooManyUnanswered);
        }
        let grants = match &self.granted {
            Some(granted) if Arc::ptr_eq(&granted.grants.engine, state.engine()) => &granted.grants,
            _ => &self.granted.insert(Granted::new(state.grants(&self.peer))).grants,
        };
        let verdict = state.judge(grants, now, self.peer.address, frame.unit, &request);
        if let Verdict::Refuse { objection, how } = verdict {
            return Judged { disposition: Disposition::Refuse(how), objection: Some(objection) };
        }
        let asked = match Read::parse(frame.pdu) {
            Some(read) => Asked::Read(read),
            None => {
                let (asked, pdu) = self.open.keep(frame.pdu);
                if let Request::WriteMultipleCoils { block } = request {
                    clear_unused_bits(block.span().count(), pdu);
                }
                asked
            }
        };
        let transaction = self.open.free_id(&self.unanswered);
        self.open.push(Open {
            transaction,
            clients: frame.transaction,
            unit: frame.unit,
            since: now.at,
            asked: state.generation(),
            request: asked,
        });
        Judged { disposition: Disposition::Forward { transaction }, objection: verdict.objection().copied() }
    }

    /// A frame came from the server, under a transaction id that [`request`](Self::request) gave: the client's id, under
    /// which it goes back.
    ///
    /// # Errors
    /// What is against it. It is dropped; a request that it does not fit stays open, for the answer that does.
    pub fn response(
        &mut self,
        state: &mut State,
        now: Instant,
        frame: &Frame<'_>,
    ) -> Result<TransactionId, Reason> {
        let id = frame.transaction;
        let Some((at, open)) = self.open.position(id).and_then(|at| Some((at, self.open.at(at)?))) else {
            return Err(self.belongs_to_nothing(id));
        };
        if open.unit != frame.unit {
            return Err(Reason::OtherUnit);
        }
        let response = Response::parse(frame.pdu).map_err(Reason::MalformedResponse)?;
        // It was parsed when it came.
        let request = Request::parse(self.open.pdu(open)).map_err(Reason::Malformed)?;
        response.answers(&request).map_err(Reason::Mismatch)?;
        state.ended(now, &open.sent(&request, self.sanity), Ending::Answered(&response));
        let clients = open.clients;
        self.open.remove(at);
        self.recent.remember(id, true);
        Ok(clients)
    }

    /// When to look at [`handle_timeout`](Self::handle_timeout); `None` while nothing is open.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.open.first().map(|open| open.since + self.sanity.answer_within)
    }

    /// Gives up what has waited for too long, and tells it. A broadcast is not told: nobody answers it.
    pub fn handle_timeout(&mut self, state: &mut State, now: Instant, sink: &mut impl FnMut(Event<'_>)) {
        while self.poll_timeout().is_some_and(|at| at <= now) {
            self.give_up_first(state, now, sink);
        }
    }

    /// Somebody needs a place: when there is none, and the oldest request has waited for long enough, it is given up.
    #[inline]
    fn make_room(&mut self, state: &mut State, now: Instant, sink: &mut impl FnMut(Event<'_>)) {
        let gives_way = |open: &Open| now.since(open.since) >= self.sanity.gives_way_after;
        if self.open.len() >= self.sanity.open && self.open.first().is_some_and(gives_way) {
            self.give_up_first(state, now, sink);
        }
    }

    fn give_up_first(&mut self, state: &mut State, now: Instant, sink: &mut impl FnMut(Event<'_>)) {
        if let Some(open) = self.open.first().filter(|open| !self.is_broadcast(open.unit)) {
            sink(Event {
                direction: Direction::ToServer,
                outcome: Outcome::Noted,
                objection: Objection::of(Reason::Unanswered),
                transaction: Some(open.clients),
                unit: Some(open.unit),
                pdu: self.open.pdu(open),
            });
        }
        self.give_up(state, now, 0);
    }

    /// Requests go over another link from now on: whether unit 0 is a broadcast there ([`Sanity::broadcast`]).
    pub fn set_broadcast(&mut self, broadcast: bool) {
        self.sanity.broadcast = broadcast;
    }

    fn is_broadcast(&self, unit: UnitId) -> bool {
        self.sanity.broadcast && unit == UnitId::BROADCAST
    }

    /// The line has sent so many of the broadcasts that are open, the oldest first: nothing will come.
    pub fn broadcasts_sent(&mut self, state: &mut State, now: Instant, count: usize) {
        for _ in 0..count {
            let Some(at) = self.open.waiting().iter().position(|open| self.is_broadcast(open.unit)) else {
                return;
            };
            self.end(state, now, at, Ending::Sent);
        }
    }

    /// The connection to the client or to the server has ended: nothing that is open will be answered. To be called once,
    /// however it ends, as values stay uncertain for as long as a write of them is open. Such a write is told: nobody knows
    /// whether it was carried out.
    pub fn close(&mut self, state: &mut State, now: Instant, sink: &mut impl FnMut(Event<'_>)) {
        while let Some(open) = self.open.first() {
            if Request::parse(self.open.pdu(open)).is_ok_and(|request| !request.is_read()) {
                self.give_up_first(state, now, sink);
            } else {
                self.give_up(state, now, 0);
            }
        }
    }

    /// What a request that is none is owed. When it is whole and only asks for what cannot be, a poller that asks for
    /// it goes on polling; bytes that are no request at all come from nobody who means well.
    fn owed(&self, error: PduError) -> Refusal {
        match error {
            PduError::Quantity { .. }
            | PduError::Value { .. }
            | PduError::Address { .. }
            | PduError::FileReference { .. } => Refusal::Exception(error.exception().code()),
            PduError::Empty
            | PduError::Function { .. }
            | PduError::TooLong { .. }
            | PduError::Truncated { .. }
            | PduError::Trailing { .. }
            | PduError::ByteCount { .. } => self.sanity.malformed,
        }
    }

    fn give_up(&mut self, state: &mut State, now: Instant, at: usize) {
        self.end(state, now, at, Ending::Unanswered);
    }

    fn end(&mut self, state: &mut State, now: Instant, at: usize, ending: Ending<'_>) {
        let Some(open) = self.open.at(at).copied() else { return };
        if let Ok(request) = Request::parse(self.open.pdu(&open)) {
            state.ended(now, &open.sent(&request, self.sanity), ending);
        }
        self.open.remove(at);
        if !self.is_broadcast(open.unit) {
            self.unanswered.push_back(GivenUp { transaction: open.transaction, at: now });
        }
        self.recent.remember(open.transaction, false);
    }

    fn belongs_to_nothing(&mut self, id: TransactionId) -> Reason {
        let waited_for = self.unanswered.iter().position(|given_up| given_up.transaction == id);
        if let Some(at) = waited_for {
            self.unanswered.remove(at);
        }
        let recent = self.recent.of(id);
        let is_recent = recent.is_some();
        let was_answered = recent.is_some_and(|recent| core::mem::replace(&mut recent.answered, true));
        match (waited_for, was_answered) {
            (_, true) => Reason::Duplicate,
            (Some(_), false) => Reason::Late,
            // A broadcast that somebody answered all the same is late too, while it is remembered.
            (None, false) if is_recent => Reason::Late,
            (None, false) => Reason::Unsolicited,
        }
    }
}

/// Bits of the last byte that no coil is written with (V1.1b3, 6.11: padded with zeros).
fn clear_unused_bits(coils: u16, pdu: &mut [u8]) {
    if let (Some(last), used @ 1..) = (pdu.last_mut(), coils % 8) {
        *last &= (1 << used) - 1;
    }
}

fn refused(how: Refusal, reason: Reason) -> Judged {
    Judged { disposition: Disposition::Refuse(how), objection: Some(Objection::of(reason)) }
}

/// Bytes on their way out. The caller takes them off the front; while it does not, it reads nothing more. What one
/// call adds is no more than nine bytes for each eight that came in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Output {
    /// Requests.
    pub to_server: Vec<u8>,
    /// Answers, and exceptions of the inspection itself.
    pub to_client: Vec<u8>,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Flow {
    /// It does.
    Open,
    /// Both sides have to be reset, without what [`Output`] still holds. Every further call says the same.
    Reset,
}

/// One connection in and one out, as bytes.
#[derive(Debug)]
pub struct Inline {
    inspection: Inspection,
    from_client: Half,
    from_server: Half,
    ended: bool,
}

/// Bytes of one direction.
#[derive(Debug, Default)]
struct Half {
    decoder: Decoder,
    began: Option<Instant>,
}

impl Half {
    fn heard(&mut self, now: Instant) {
        self.began = if self.decoder.is_midway() { self.began.or(Some(now)) } else { None };
    }
}

impl Inline {
    /// Of two fresh connections.
    #[must_use]
    pub fn new(sanity: Sanity, peer: Peer) -> Self {
        Inline {
            inspection: Inspection::new(sanity, peer),
            from_client: Half::default(),
            from_server: Half::default(),
            ended: false,
        }
    }

    /// What is behind it.
    #[must_use]
    pub const fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// As [`Inspection::set_broadcast`].
    pub fn set_broadcast(&mut self, broadcast: bool) {
        self.inspection.set_broadcast(broadcast);
    }

    /// As [`Inspection::broadcasts_sent`].
    pub fn broadcasts_sent(&mut self, state: &mut State, now: Instant, count: usize) {
        self.inspection.broadcasts_sent(state, now, count);
    }

    /// Whether the client has sent a part of a frame, and the rest is not here yet.
    #[must_use]
    pub const fn is_midway(&self) -> bool {
        self.from_client.began.is_some()
    }

    /// Bytes came from the client.
    pub fn from_client(
        &mut self,
        state: &mut State,
        now: Moment,
        mut input: &[u8],
        output: &mut Output,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Flow {
        let direction = Direction::ToServer;
        if self.ended {
            return Flow::Reset;
        }
        while !input.is_empty() {
            if !self.from_client.decoder.is_midway()
                && self.inspection.plain_requests(state, now.at, &mut input, &mut output.to_server)
            {
                continue;
            }
            let frame = match self.from_client.decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Received::Frame(frame))) => frame,
                Ok(Some(Received::Foreign { protocol, adu })) => {
                    sink(nothing(direction, Refusal::Reset, Reason::ProtocolId { protocol }, adu));
                    return self.reset(state, now.at, sink);
                }
                Err(error) => {
                    let reason = Reason::FrameLength { length: error.length };
                    sink(nothing(direction, Refusal::Reset, reason, &[]));
                    return self.reset(state, now.at, sink);
                }
            };
            self.from_client.began = None;
            self.inspection.make_room(state, now.at, sink);
            let Judged { disposition, objection } = self.inspection.request(state, now, &frame);
            let outcome = match disposition {
                Disposition::Forward { transaction } => {
                    // Of others it is what has come.
                    let altered = frame.pdu.first() == Some(&FunctionCode::WRITE_MULTIPLE_COILS.0);
                    match self.inspection.passed().filter(|_| altered) {
                        Some(pdu) => put(&mut output.to_server, transaction, &Frame { pdu, ..frame }),
                        None => put(&mut output.to_server, transaction, &frame),
                    }
                    Outcome::Alerted
                }
                Disposition::Refuse(how) => Outcome::Refused(how),
            };
            if let Some(objection) = objection {
                sink(of_frame(direction, outcome, objection, &frame));
            }
            match disposition {
                Disposition::Refuse(Refusal::Reset) => return self.reset(state, now.at, sink),
                Disposition::Refuse(Refusal::Exception(code)) => {
                    let function = frame.pdu.first().copied().unwrap_or_default() | 0x80;
                    let pdu: &[u8] = &[function, code];
                    put(&mut output.to_client, frame.transaction, &Frame { pdu, ..frame });
                }
                Disposition::Refuse(Refusal::Drop) | Disposition::Forward { .. } => {}
            }
        }
        self.from_client.heard(now.at);
        Flow::Open
    }

    /// Does the first part of [`from_server`](Self::from_server), which depends on no time and has nothing to tell: answers with
    /// the values that were asked for. What is left of `input` is for the second part, if anything is.
    pub fn plain_answers<'i>(&mut self, state: &State, mut input: &'i [u8], output: &mut Output) -> &'i [u8] {
        if !self.ended && !self.from_server.decoder.is_midway() {
            while self.inspection.plain_responses(state, &mut input, &mut output.to_client) {}
        }
        input
    }

    /// Bytes came from the server.
    pub fn from_server(
        &mut self,
        state: &mut State,
        now: Moment,
        mut input: &[u8],
        output: &mut Output,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Flow {
        let direction = Direction::ToClient;
        if self.ended {
            return Flow::Reset;
        }
        while !input.is_empty() {
            if !self.from_server.decoder.is_midway()
                && self.inspection.plain_responses(state, &mut input, &mut output.to_client)
            {
                continue;
            }
            let frame = match self.from_server.decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Received::Frame(frame))) => frame,
                Ok(Some(Received::Foreign { protocol, adu })) => {
                    sink(nothing(direction, Refusal::Drop, Reason::ProtocolId { protocol }, adu));
                    continue;
                }
                Err(error) => {
                    let reason = Reason::FrameLength { length: error.length };
                    sink(nothing(direction, Refusal::Reset, reason, &[]));
                    return self.reset(state, now.at, sink);
                }
            };
            self.from_server.began = None;
            match self.inspection.response(state, now.at, &frame) {
                Ok(transaction) => put(&mut output.to_client, transaction, &frame),
                Err(reason) => {
                    let outcome = Outcome::Refused(Refusal::Drop);
                    sink(of_frame(direction, outcome, Objection::of(reason), &frame));
                }
            }
        }
        self.from_server.heard(now.at);
        Flow::Open
    }

    /// When to look at [`handle_timeout`](Self::handle_timeout), should nothing come until then.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let half = sooner(self.from_client.began, self.from_server.began);
        let half = half.map(|began| began + self.inspection.sanity.frame_within);
        sooner(half, self.inspection.poll_timeout())
    }

    /// Looks at what has taken too long: half a frame resets the connection, a request without an answer is given up.
    pub fn handle_timeout(
        &mut self,
        state: &mut State,
        now: Instant,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Flow {
        if self.ended {
            return Flow::Reset;
        }
        self.inspection.handle_timeout(state, now, sink);
        let within = self.inspection.sanity.frame_within;
        let halves =
            [(Direction::ToServer, self.from_client.began), (Direction::ToClient, self.from_server.began)];
        for (direction, began) in halves {
            if began.is_some_and(|began| began + within <= now) {
                sink(nothing(direction, Refusal::Reset, Reason::HalfFrame, &[]));
                return self.reset(state, now, sink);
            }
        }
        Flow::Open
    }

    /// As [`Inspection::close`].
    pub fn close(&mut self, state: &mut State, now: Instant, sink: &mut impl FnMut(Event<'_>)) {
        let _ = self.reset(state, now, sink);
    }

    fn reset(&mut self, state: &mut State, now: Instant, sink: &mut impl FnMut(Event<'_>)) -> Flow {
        self.ended = true;
        self.inspection.close(state, now, sink);
        Flow::Reset
    }
}

/// Whichever comes first of those that there are.
fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}

/// Writes a frame anew.
fn put(out: &mut Vec<u8>, transaction: TransactionId, frame: &Frame<'_>) {
    out.extend_from_slice(&mbap::header(transaction, frame.unit, frame.pdu.len()));
    out.extend_from_slice(frame.pdu);
}

fn of_frame<'f>(
    direction: Direction,
    outcome: Outcome,
    objection: Objection,
    frame: &Frame<'f>,
) -> Event<'f> {
    Event {
        direction,
        outcome,
        objection,
        transaction: Some(frame.transaction),
        unit: Some(frame.unit),
        pdu: frame.pdu,
    }
}

/// Bytes that are no frame of Modbus.
fn nothing(direction: Direction, how: Refusal, reason: Reason, bytes: &[u8]) -> Event<'_> {
    let bytes = bytes.get(..bytes.len().min(mbap::ADU_MAX)).unwrap_or_default();
    let (outcome, objection) = (Outcome::Refused(how), Objection::of(reason));
    Event { direction, outcome, objection, transaction: None, unit: None, pdu: bytes }
}
