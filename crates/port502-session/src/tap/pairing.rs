//! Responses find their requests: by transaction id, and where several have the same, by what fits.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Message, Observation, Start, Transaction};
use crate::Instant;
use port502_wire::mbap::{Frame, TransactionId};
use port502_wire::{Anomalies, Anomaly, PDU_MAX, Request, Response, UnitId, view};

/// The most requests of one connection that wait for their responses; with one more the oldest is told as
/// unanswered, with [`Anomaly::TooManyOpen`]. The specification knows 16 at most.
pub const OPEN_MAX: usize = 256;

/// The most bytes that the PDUs of these may have together: as many as if all were as long as they may be.
/// Those of devices that send longer ones ([`FRAME_MAX`](super::FRAME_MAX)) count more.
pub const OPEN_BYTES_MAX: usize = OPEN_MAX * 256;

/// A request is not waited for longer than this once another one comes. No client waits so long.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A client that uses a transaction id again this long after a request that is still open has stopped waiting
/// for that one: the answer that comes next it takes for the new one's. Sooner, it has sent both at once.
pub const REUSED_AFTER: Duration = Duration::from_millis(50);

/// So many responses without a request are excused after bytes to the server were lost, or the capture began:
/// the most transactions that the specification lets a client have in flight (V1.0b, 4.2.1).
pub const EXCUSED_MAX: u8 = 16;

/// No response is excused later than this after the loss.
pub const EXCUSED_WITHIN: Duration = ANSWER_WITHIN;

/// How many transactions that are over are remembered, to know a second answer from one that nobody asked for.
const RECENT_LEN: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Pairing {
    /// Requests that wait, the oldest first. Apart from `slots` so that a search reads few bytes.
    open: Vec<Open>,
    /// Of their PDUs.
    open_bytes: usize,
    slots: Vec<Slot>,
    free: Vec<u8>,
    /// A ring; `recent_next` is the place of the next.
    recent: [Option<Recent>; RECENT_LEN],
    recent_next: usize,
    excuse: Excuse,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    transaction: TransactionId,
    slot: u8,
}

/// One request, kept until its response comes; the memory of its PDU is used again for the next.
#[derive(Clone, Default, Debug)]
struct Slot {
    at: Instant,
    unit: UnitId,
    /// Of the request among others, not of its PDU.
    anomalies: Anomalies,
    may_be_lost: bool,
    pdu: Vec<u8>,
}

/// A transaction that is over.
#[derive(Clone, Copy, Debug)]
struct Recent {
    transaction: TransactionId,
    how: Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    Answered {
        at: Instant,
    },
    /// Told as unanswered: a late response is none that nobody asked for.
    GivenUp,
}

/// Whether a response without a request means anything.
#[derive(Clone, Copy, Debug)]
enum Excuse {
    /// No request was lost.
    None,
    /// The capture began within the conversation and has shown no request yet: perhaps it never will.
    OneSided,
    /// So many more, for so long.
    Lost { since: Instant, left: u8 },
}

impl Slot {
    fn message(&self, anomalies: Anomalies) -> Message<'_> {
        Message { at: self.at, unit: self.unit, pdu: &self.pdu, anomalies }
    }
}

impl Pairing {
    pub(super) const fn new(start: Start) -> Self {
        Pairing {
            open: Vec::new(),
            open_bytes: 0,
            slots: Vec::new(),
            free: Vec::new(),
            recent: [None; RECENT_LEN],
            recent_next: 0,
            excuse: match start {
                Start::Handshake => Excuse::None,
                Start::Midway => Excuse::OneSided,
            },
        }
    }

    pub(super) fn open_requests(&self) -> usize {
        self.open.len()
    }

    /// A request came.
    #[inline]
    pub(super) fn request(
        &mut self,
        frame: &Frame<'_>,
        now: Instant,
        sink: &mut impl FnMut(Observation<'_>),
    ) {
        if let Excuse::OneSided = self.excuse {
            self.excuse = Excuse::Lost { since: now, left: EXCUSED_MAX };
        }
        let mut anomalies = Anomalies::NONE;
        if !self.open.is_empty() {
            self.make_way(frame, now, &mut anomalies, sink);
        }
        let Some(slot) = self.free_slot() else { return };
        let Some(kept) = self.slots.get_mut(usize::from(slot)) else { return };
        if kept.pdu.capacity() > PDU_MAX {
            // One long request is no reason to hold so much for ever.
            kept.pdu = Vec::new();
        }
        kept.pdu.clear();
        kept.pdu.extend_from_slice(frame.pdu);
        self.open_bytes += frame.pdu.len();
        kept.at = now;
        kept.unit = frame.unit;
        kept.anomalies = anomalies;
        kept.may_be_lost = false;
        self.open.push(Open { transaction: frame.transaction, slot });
    }

    /// Requests that are not waited for any more now that another one comes are told.
    fn make_way(
        &mut self,
        frame: &Frame<'_>,
        now: Instant,
        anomalies: &mut Anomalies,
        sink: &mut impl FnMut(Observation<'_>),
    ) {
        while self.slot(0).is_some_and(|slot| now.since(slot.at) > ANSWER_WITHIN) {
            self.tell_unanswered(0, Anomalies::NONE, sink);
        }
        while let Some(index) = self.open.iter().position(|open| open.transaction == frame.transaction) {
            let Some(slot) = self.slot(index) else { break };
            // Where the answer may be lost, the client has it, and does nothing odd.
            if !slot.may_be_lost {
                anomalies.add(Anomaly::TransactionReused);
                if now.since(slot.at) < REUSED_AFTER {
                    break;
                }
            }
            self.tell_unanswered(index, Anomalies::NONE, sink);
        }
        while self.open.len() >= OPEN_MAX || self.open_bytes + frame.pdu.len() > OPEN_BYTES_MAX {
            self.tell_unanswered(0, Anomaly::TooManyOpen.into(), sink);
        }
    }

    /// A response came.
    #[inline]
    pub(super) fn response(
        &mut self,
        frame: &Frame<'_>,
        now: Instant,
        sink: &mut impl FnMut(Observation<'_>),
    ) {
        let parsed = Response::parse(frame.pdu);
        let own = match parsed {
            Ok(Response::Exception { .. }) | Err(_) => view::response(frame.pdu).anomalies,
            Ok(_) => Anomalies::NONE,
        };
        let response = Message { at: now, unit: frame.unit, pdu: frame.pdu, anomalies: own };
        let Some((index, fit)) = self.find(frame, parsed.as_ref().ok()) else {
            return self.tell_unasked(frame.transaction, response, sink);
        };
        let Some(open) = self.close(index, Over::Answered { at: now }) else { return };
        let Some(slot) = self.slots.get(usize::from(open.slot)) else { return };
        sink(Observation::Transaction(Transaction {
            transaction: frame.transaction,
            request: Some(slot.message(fit.request)),
            response: Some(response),
            anomalies: slot.anomalies.union(fit.both),
            may_be_lost: false,
        }));
    }

    /// The open request that a response answers. Several may have its transaction id: then the oldest that it fits,
    /// or else the oldest; those whose answer may be lost come last.
    #[inline]
    fn find(&self, frame: &Frame<'_>, response: Option<&Response<'_>>) -> Option<(usize, Fit)> {
        let mut best: Option<(usize, Fit, (bool, bool))> = None;
        for (index, open) in self.open.iter().enumerate() {
            if open.transaction != frame.transaction {
                continue;
            }
            let Some(slot) = self.slots.get(usize::from(open.slot)) else { continue };
            let fit = Fit::of(slot, frame, response);
            let flaws = (!fit.both.is_empty(), slot.may_be_lost);
            if best.is_none_or(|(_, _, best)| flaws < best) {
                best = Some((index, fit, flaws));
            }
        }
        best.map(|(index, fit, _)| (index, fit))
    }

    /// A response to nothing that is open.
    #[cold]
    fn tell_unasked(
        &mut self,
        transaction: TransactionId,
        response: Message<'_>,
        sink: &mut impl FnMut(Observation<'_>),
    ) {
        let (mut anomalies, mut may_be_lost) = (Anomalies::NONE, false);
        let same = |recent: &&mut Recent| recent.transaction == transaction;
        let given_up =
            self.recent.iter_mut().flatten().filter(same).find(|recent| recent.how == Over::GivenUp);
        if let Some(late) = given_up {
            // The next one is a second.
            late.how = Over::Answered { at: response.at };
        } else if self.is_second(transaction) {
            anomalies.add(Anomaly::Duplicate);
        } else if self.is_excused(response.at) {
            may_be_lost = true;
        } else {
            anomalies.add(Anomaly::Unsolicited);
        }
        let response = Some(response);
        sink(Observation::Transaction(Transaction {
            transaction,
            request: None,
            response,
            anomalies,
            may_be_lost,
        }));
    }

    /// Whether a transaction was answered already. Not if requests were lost since: clients that have one id for all
    /// of them lose one with the same.
    fn is_second(&self, transaction: TransactionId) -> bool {
        let lost_since = match self.excuse {
            Excuse::Lost { since, .. } => Some(since),
            Excuse::None | Excuse::OneSided => None,
        };
        self.recent.iter().flatten().filter(|recent| recent.transaction == transaction).any(|recent| {
            matches!(recent.how, Over::Answered { at } if lost_since.is_none_or(|since| since <= at))
        })
    }

    fn is_excused(&mut self, now: Instant) -> bool {
        match &mut self.excuse {
            Excuse::None => false,
            Excuse::OneSided => true,
            Excuse::Lost { since, left } if *left > 0 && now.since(*since) <= EXCUSED_WITHIN => {
                *left -= 1;
                true
            }
            Excuse::Lost { .. } => {
                self.excuse = Excuse::None;
                false
            }
        }
    }

    /// There may have been requests that nobody saw.
    #[cold]
    pub(super) fn requests_lost(&mut self, now: Instant) {
        if !matches!(self.excuse, Excuse::OneSided) {
            self.excuse = Excuse::Lost { since: now, left: EXCUSED_MAX };
        }
    }

    /// There may have been responses that nobody saw.
    #[cold]
    pub(super) fn responses_lost(&mut self) {
        for open in &self.open {
            if let Some(slot) = self.slots.get_mut(usize::from(open.slot)) {
                slot.may_be_lost = true;
            }
        }
    }

    /// What was sent shortly before `now` may yet be answered, and nobody will see it.
    pub(super) fn responses_to_come(&mut self, now: Instant) {
        for open in &self.open {
            if let Some(slot) = self.slots.get_mut(usize::from(open.slot)) {
                slot.may_be_lost |= now.since(slot.at) <= ANSWER_WITHIN;
            }
        }
    }

    /// Stops waiting for what was sent before `before`.
    pub(super) fn give_up(&mut self, before: Instant, sink: &mut impl FnMut(Observation<'_>)) {
        while self.slot(0).is_some_and(|slot| slot.at < before) {
            self.tell_unanswered(0, Anomalies::NONE, sink);
        }
    }

    /// Stops waiting.
    pub(super) fn finish(&mut self, sink: &mut impl FnMut(Observation<'_>)) {
        while !self.open.is_empty() {
            self.tell_unanswered(0, Anomalies::NONE, sink);
        }
    }

    #[cold]
    fn tell_unanswered(&mut self, index: usize, why: Anomalies, sink: &mut impl FnMut(Observation<'_>)) {
        let Some(open) = self.close(index, Over::GivenUp) else { return };
        let Some(slot) = self.slots.get(usize::from(open.slot)) else { return };
        // Where answers were lost, that many are open says nothing about the client.
        let why = if slot.may_be_lost { Anomalies::NONE } else { why };
        sink(Observation::Transaction(Transaction {
            transaction: open.transaction,
            request: Some(slot.message(request_anomalies(&slot.pdu))),
            response: None,
            anomalies: slot.anomalies.union(why),
            may_be_lost: slot.may_be_lost,
        }));
    }

    fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(usize::from(self.open.get(index)?.slot))
    }

    /// Takes a request out of the open ones. Its slot stays as it is until the next request comes.
    #[inline]
    fn close(&mut self, index: usize, how: Over) -> Option<Open> {
        if index >= self.open.len() {
            return None;
        }
        let open = self.open.remove(index);
        self.free.push(open.slot);
        let bytes = self.slots.get(usize::from(open.slot)).map_or(0, |slot| slot.pdu.len());
        self.open_bytes = self.open_bytes.saturating_sub(bytes);
        if let Some(recent) = self.recent.get_mut(self.recent_next) {
            *recent = Some(Recent { transaction: open.transaction, how });
        }
        self.recent_next = (self.recent_next + 1) % RECENT_LEN;
        Some(open)
    }

    /// A slot that no open request uses. There is one: there are [`OPEN_MAX`], and fewer are open.
    #[inline]
    fn free_slot(&mut self) -> Option<u8> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = u8::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot::default());
        Some(slot)
    }
}

/// How a response goes with a request.
#[derive(Clone, Copy)]
struct Fit {
    /// What is wrong with the request's PDU.
    request: Anomalies,
    /// What is wrong between the two.
    both: Anomalies,
}

impl Fit {
    #[inline]
    fn of(slot: &Slot, frame: &Frame<'_>, response: Option<&Response<'_>>) -> Self {
        let request = Request::parse(&slot.pdu);
        let mut both = Anomalies::NONE;
        if slot.unit != frame.unit {
            both.add(Anomaly::UnitMismatch);
        }
        match (&request, response) {
            (Ok(request), Some(response)) => {
                if let Err(mismatch) = response.answers(request) {
                    both.add(mismatch.into());
                }
            }
            // One of the two breaks the specification; what can be compared is the function code.
            _ => {
                let function = |pdu: &[u8]| pdu.first().map(|function| function & 0x7F);
                if function(&slot.pdu) != function(frame.pdu) {
                    both.add(Anomaly::FunctionMismatch);
                }
            }
        }
        let request = request.map_or_else(|error| Anomaly::from(error).into(), |_| Anomalies::NONE);
        Fit { request, both }
    }
}

fn request_anomalies(pdu: &[u8]) -> Anomalies {
    Request::parse(pdu).map_or_else(|error| Anomaly::from(error).into(), |_| Anomalies::NONE)
}
