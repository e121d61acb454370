//! Which request goes out next, and who gets its answer. No sockets in here, and time is an argument.
//!
//! Clients take turns, however many requests each has waiting: a turn is one request, or a quarter of what the link
//! takes at once, so that a burst is not spread over many writes. A read that
//! goes out takes along the identical ones that wait, under one rule, which a test holds: **a client sees its own
//! requests as if they had been carried out in their order, and never a value from before a write that was
//! answered before it asked.** So
//!
//! - a read that waits behind a write of the same client is not taken along;
//! - a read joins one that is out already only if its client has no write open, and no write to that unit has
//!   gone out, or been answered, since that one went out;
//! - an answer is kept in the cache only if no write to that unit was out at the same time.
//!
//! A write is here everything that is not known to be a read. One to unit 0, the broadcast of buses, is one to all units.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use port502_wire::mbap;
use port502_wire::{ExceptionCode, UnitId};
use tokio::time::Instant;

use super::alike::{Alike, Chain};
use super::ask::{Effect, ReadKey};
use super::breaker::{Admission, Breaker, Turn};
use super::cache::Cache;
use super::options::{LaneEvent, LaneOptions};
use super::request::{Asked, AskedPdu, ClientKey, NONE, Other, Request, Stage, Waiter, What, live};
use super::{LaneStatus, UnitStatus};
use crate::server::Inbox;

/// Requests of all clients that wait in a lane, at most; one more is answered with exception 0A.
pub const QUEUED_MAX: usize = 16_384;

/// So many clients share what a link takes at once, when all have more to ask.
const TURNS: usize = 4;

/// A link that takes so many requests at once is given them by more than half when they are too many: what goes out one by
/// one, as answers come, comes back one by one too, and costs a system call each time. On such a link, answers to one
/// client are kept together too.
const DEEP: usize = 16;

/// So long an answer waits that came early, with another client's, for the others that its client has still to get.
const EARLY_WITHIN: Duration = Duration::from_millis(50);

/// Why a request that went out has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// The time is over.
    Silence,
    /// The link broke. It may have been carried out.
    Broken,
    /// What came is no answer to it.
    Nonsense,
    /// It was a broadcast, which nobody answers.
    Broadcast,
    /// It never went out.
    NotSent,
}

#[derive(Debug, Default)]
struct Client {
    inbox: Option<Arc<Inbox>>,
    generation: u32,
    queue: VecDeque<u32>,
    /// Whether it stands in the ring.
    in_ring: bool,
    /// Whether its turn has come and was put off.
    passed: bool,
    open: usize,
    /// Writes submitted, and those that have come to their end.
    writes: u32,
    writes_done: u32,
    /// Answers that are not in the inbox yet, and how many.
    answers: Vec<u8>,
    settled: usize,
    /// Since when one of them waits that came early.
    early: Option<Instant>,
    /// Whether it is one of those whom the end of this burst is for.
    due: bool,
}

#[derive(Debug)]
struct Unit {
    breaker: Breaker,
    /// Counts writes as they go out and as they end, broadcasts among them.
    epoch: u32,
    writes_out: usize,
    status: UnitStatus,
}

/// What stands in the ring.
#[derive(Clone, Copy, Debug)]
enum Due {
    Client(u32),
    /// A large read whose next piece is due.
    Piece(u32),
}

/// A request that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'q> {
    pub(super) slot: u32,
    pub(super) unit: UnitId,
    pub(super) pdu: &'q [u8],
    pub(super) timeout: Duration,
}

/// The requests of a lane.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) options: Arc<LaneOptions>,
    /// The link takes one request at a time, whatever the options say: a line.
    one_by_one: bool,
    clients: Vec<Client>,
    free_clients: Vec<u32>,
    requests: Vec<Request>,
    free_requests: Vec<u32>,
    ring: VecDeque<Due>,
    /// Clients whose inboxes get what has come for them at the end of this burst.
    due: Vec<u32>,
    /// When the first of the answers that came early has waited for long enough, or sooner.
    early_until: Option<Instant>,
    /// Requests that the client in front has got out in this turn.
    turn: usize,
    /// The reads among them that others can share.
    alike: Alike,
    units: Vec<Option<Box<Unit>>>,
    cache: Cache,
    queued: usize,
    in_flight: usize,
    /// As many have been out as may be, and more wait: more than half of them have to come back before the next go.
    full: bool,
    not_before: Option<Instant>,
    /// Until then nobody tries to connect.
    unreachable_until: Option<Instant>,
    pub(super) status: LaneStatus,
}

impl Queue {
    pub(super) fn new(options: Arc<LaneOptions>, one_by_one: bool) -> Self {
        Queue {
            options,
            one_by_one,
            clients: Vec::new(),
            free_clients: Vec::new(),
            requests: Vec::new(),
            free_requests: Vec::new(),
            ring: VecDeque::new(),
            due: Vec::new(),
            early_until: None,
            turn: 0,
            alike: Alike::default(),
            units: (0..=u8::MAX).map(|_| None).collect(),
            cache: Cache::default(),
            queued: 0,
            in_flight: 0,
            full: false,
            not_before: None,
            unreachable_until: None,
            status: LaneStatus::default(),
        }
    }

    /// A new client, whose answers go to `inbox`.
    pub(super) fn join(&mut self, inbox: Arc<Inbox>) -> ClientKey {
        let slot = self.free_clients.pop().unwrap_or_else(|| {
            self.clients.push(Client::default());
            u32::try_from(self.clients.len() - 1).unwrap_or(NONE)
        });
        let generation = self.clients.get_mut(slot as usize).map_or(0, |client| {
            client.inbox = Some(inbox);
            client.generation
        });
        self.status.clients += 1;
        ClientKey { slot, generation }
    }

    /// A client goes, and its queued requests with it.
    pub(super) fn leave(&mut self, key: ClientKey, now: Instant) {
        let Some(client) = self.client(key) else { return };
        let queue = std::mem::take(&mut client.queue);
        let generation = client.generation.wrapping_add(1);
        // It stays in the ring until its turn, which is passed over.
        *client = Client { generation, in_ring: client.in_ring, ..Client::default() };
        let reusable = !client.in_ring;
        for slot in queue {
            self.queued -= 1;
            let Some(request) = live(&mut self.requests, slot) else { continue };
            let (unit, probe) = (request.unit, request.what.is_probe());
            self.release(slot);
            if probe {
                self.unit(unit, now).breaker.probe_lost(now);
            }
        }
        if reusable {
            self.free_clients.push(key.slot);
        }
        self.status.clients -= 1;
    }

    /// Whether a client has requests that have not come to their end.
    pub(super) fn is_open(&mut self, key: ClientKey) -> bool {
        self.client(key).is_some_and(|client| client.open != 0)
    }

    /// Takes in what a client asks in one burst, which may wait until `until`; whether any of it does. What has its answer at
    /// once finds it in the inbox, as all else will.
    ///
    /// The client may have at most as many open as its [`Caller`](crate::server::Caller) has room for.
    pub(super) fn submit(
        &mut self,
        key: ClientKey,
        burst: &mut Vec<Asked>,
        (now, until): (Instant, Instant),
    ) -> bool {
        let Some(client) = self.client(key) else { return false };
        client.open += burst.len();
        let (settled, queued, mut passing) = (client.settled, self.queued, None);
        self.status.requests += burst.len() as u64;
        for asked in burst.drain(..) {
            let waiter = Waiter { client: key, transaction: asked.transaction, asked: asked.asked };
            let function = asked.pdu.function();
            if let Err(code) = self.take_in(waiter, asked, (now, until), &mut passing) {
                self.count_refused(code);
                self.refuse(&waiter, function, code);
            }
        }
        let waits = self.queued != queued;
        if let Some(client) = self.client(key) {
            if client.settled != settled {
                client.hand_over();
            }
            if waits && !std::mem::replace(&mut client.in_ring, true) {
                self.ring.push_back(Due::Client(key.slot));
            }
        }
        waits
    }

    /// Refuses what a client asks in one burst: the lane takes nothing more.
    #[cold]
    pub(super) fn refuse_all(&mut self, key: ClientKey, burst: &mut Vec<Asked>, code: ExceptionCode) {
        let Some(client) = self.client(key) else { return };
        client.open += burst.len();
        for asked in burst.drain(..) {
            let waiter = Waiter { client: key, transaction: asked.transaction, asked: asked.asked };
            self.refuse(&waiter, asked.pdu.function(), code);
        }
        if let Some(client) = self.client(key) {
            client.hand_over();
        }
    }

    #[cold]
    fn refuse(&mut self, waiter: &Waiter, function: u8, code: ExceptionCode) {
        if let Some(client) = self.client(waiter.client) {
            client.settle(waiter, false, Some(&[function | 0x80, code.code()]));
        }
    }

    #[cold]
    fn count_refused(&mut self, code: ExceptionCode) {
        *self.status.refused.entry(code.code()).or_default() += 1;
    }

    /// Takes one request in. `passing` is the unit whose breaker has let one of this burst pass.
    ///
    /// # Errors
    /// The exception that it is refused with.
    #[inline]
    fn take_in(
        &mut self,
        waiter: Waiter,
        asked: Asked,
        (now, until): (Instant, Instant),
        passing: &mut Option<UnitId>,
    ) -> Result<(), ExceptionCode> {
        let unit = asked.unit;
        let device = self.options.device(unit);
        let max_age = device.max_age;
        let mut what = match asked.pdu {
            AskedPdu::Read(read) if device.takes_all() => What::Read(ReadKey::of(unit, &read)),
            AskedPdu::Read(read) => What::Other(Other::of(device, unit, read.pdu()[..].into())?),
            AskedPdu::Other(pdu) => What::Other(Other::of(device, unit, pdu)?),
        };
        if self.unreachable_until.is_some_and(|until| now < until) || self.queued >= QUEUED_MAX {
            return Err(ExceptionCode::GatewayPathUnavailable);
        }
        let Some(client) = client_of(&mut self.clients, waiter.client) else { return Ok(()) };
        let (behind, idle) = (client.writes, client.writes == client.writes_done);
        let read = what.key();
        if let (Some(read), true) = (read, idle) {
            if let Some(max_age) = max_age
                && let Some(pdu) = self.cache.find(read, now, max_age)
            {
                client.settle(&waiter, false, Some(pdu));
                self.status.cached += 1;
                return Ok(());
            }
            if self.options.coalesce && self.join_out(read, waiter) {
                return Ok(());
            }
        }
        if *passing != Some(unit) {
            match self.unit(unit, now).breaker.admit(now) {
                Admission::Pass => *passing = Some(unit),
                Admission::Probe => what = what.into_probe(),
                Admission::Refused => return Err(ExceptionCode::GatewayTargetFailedToRespond),
            }
        }
        let writes = u32::from(what.barrier().is_some());
        let slot = self.free_slot();
        if let Some(request) = self.requests.get_mut(slot as usize) {
            request.stage = Stage::Queued { until, behind };
            request.unit = unit;
            request.what = what;
            request.waiter = waiter;
        }
        if let (Some(read), true) = (read, self.options.coalesce) {
            self.alike.put(slot, read);
        }
        self.queued += 1;
        if let Some(client) = self.client(waiter.client) {
            client.writes = client.writes.wrapping_add(writes);
            client.queue.push_back(slot);
        }
        Ok(())
    }

    /// Lets a read share the answer of one that is out already.
    #[inline]
    fn join_out(&mut self, key: ReadKey, waiter: Waiter) -> bool {
        let Some(leader) = self.alike.first(key, Chain::Out) else { return false };
        let Some(request) = live(&mut self.requests, leader) else { return false };
        let Stage::Out { epoch, .. } = request.stage else { return false };
        let unit = self.units.get(usize::from(request.unit.get())).and_then(Option::as_ref);
        if unit.is_none_or(|unit| unit.epoch != epoch) {
            return false;
        }
        let slot = self.free_slot();
        if let Some(request) = self.requests.get_mut(slot as usize) {
            request.waiter = waiter;
        }
        self.share(leader, slot, true);
        self.status.coalesced += 1;
        true
    }

    /// Those in `slot` share the answer of `leader` from now on, as the last or the first of all who do.
    fn share(&mut self, leader: u32, slot: u32, last: bool) {
        let Some(end) = live(&mut self.requests, leader).map(|leader| leader.shared) else { return };
        let next = match self.requests.get_mut(end as usize) {
            Some(Request { stage: Stage::Shares { next }, .. }) => std::mem::replace(next, slot),
            _ => slot,
        };
        if let Some(request) = self.requests.get_mut(slot as usize) {
            request.stage = Stage::Shares { next };
        }
        if let Some(leader) = self.requests.get_mut(leader as usize).filter(|_| end == NONE || last) {
            leader.shared = slot;
        }
    }

    /// Empties the slot of the first who shares an answer, of whom the last is in `end`, which is none in the end.
    fn part(&mut self, end: &mut u32) -> Option<Waiter> {
        let next = |request: &Request| match request.stage {
            Stage::Shares { next } => Some(next),
            _ => None,
        };
        let first = self.requests.get(*end as usize).and_then(next)?;
        let (waiter, behind) =
            self.requests.get(first as usize).map(|request| (request.waiter, next(request)))?;
        self.release(first);
        match self.requests.get_mut(*end as usize) {
            Some(Request { stage: Stage::Shares { next }, .. }) => *next = behind?,
            _ => *end = NONE,
        }
        Some(waiter)
    }

    /// The next request to send, if one may be sent now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Outgoing<'_>> {
        let limit = self.in_flight_max();
        let slot = loop {
            if self.in_flight >= limit {
                self.full = true;
                return None;
            }
            if limit >= DEEP && (self.turn == 0 || self.full) {
                if self.full && self.in_flight >= limit / 2 {
                    return None;
                }
                self.put_off();
                self.full = !self.has_room_for_turn(limit);
                if self.full {
                    return None;
                }
            }
            if self.not_before.is_some_and(|at| now < at) {
                return None;
            }
            let slot = match *self.ring.front()? {
                Due::Piece(slot) => {
                    self.ring.pop_front();
                    slot
                }
                Due::Client(at) => match self.take_turn(at) {
                    Some(slot) => slot,
                    None => continue,
                },
            };
            let stage = self.requests.get(slot as usize)?.stage;
            match stage {
                Stage::Free => continue,
                Stage::Queued { until, .. } => {
                    self.queued -= 1;
                    if now <= until {
                        self.depart(slot, now);
                        break slot;
                    }
                }
                Stage::Between { at, epoch } if self.is_wanted(slot) => {
                    live(&mut self.requests, slot)?.stage = Stage::Out { at, epoch };
                    break slot;
                }
                Stage::Between { .. } | Stage::Out { .. } | Stage::Shares { .. } => {}
            }
            self.end(slot, Failure::NotSent, now);
        };
        self.in_flight += 1;
        self.not_before = None;
        let request = self.requests.get_mut(slot as usize)?;
        let timeout = self.options.timeout(request.unit);
        Some(Outgoing { slot, unit: request.unit, pdu: request.what.next_pdu(), timeout })
    }

    /// Clients with requests out let the others go first, once: when those are answered they ask for more, and all of it goes
    /// out together. Else what was torn apart, at the start say, would stay so for ever.
    #[inline]
    fn put_off(&mut self) {
        if self.turn != 0 {
            return;
        }
        while let (Some(Due::Client(at)), 2..) = (self.ring.front(), self.ring.len()) {
            let Some(client) = self.clients.get_mut(*at as usize) else { return };
            if client.open <= client.queue.len() || std::mem::replace(&mut client.passed, true) {
                return;
            }
            self.ring.rotate_left(1);
        }
    }

    /// Whether all that a client may get out in its turn has room: what is torn apart here stays so for ever, because
    /// a client asks for more as its answers come.
    #[inline]
    fn has_room_for_turn(&self, limit: usize) -> bool {
        if self.turn != 0 || self.in_flight == 0 {
            return true;
        }
        let Some(Due::Client(at)) = self.ring.front() else { return true };
        let waiting = self.clients.get(*at as usize).map_or(0, |client| client.queue.len());
        waiting.min(limit / TURNS) <= limit - self.in_flight
    }

    /// The oldest request of the client in front of the ring, which stays there while its turn lasts.
    #[inline]
    fn take_turn(&mut self, at: u32) -> Option<u32> {
        let turns = self.in_flight_max() / TURNS;
        let client = self.clients.get_mut(at as usize);
        let slot = client.as_ref().and_then(|client| client.queue.front()).copied();
        if let Some(client) = client {
            client.queue.pop_front();
            client.in_ring = !client.queue.is_empty();
            client.passed = false;
            if client.settled != 0 && !std::mem::replace(&mut client.due, true) {
                self.due.push(at);
            }
            if client.in_ring {
                self.turn += 1;
                if self.turn < turns {
                    return slot;
                }
                self.ring.push_back(Due::Client(at));
            } else if client.inbox.is_none() {
                self.free_clients.push(at); // it left while it stood in the ring
            }
        }
        self.ring.pop_front();
        self.turn = 0;
        slot
    }

    /// A request goes out for the first time: it takes along those that are like it.
    #[inline]
    fn depart(&mut self, slot: u32, now: Instant) {
        let Some(request) = self.requests.get_mut(slot as usize) else { return };
        if request.what.barrier().is_some() {
            return self.depart_as_write(slot, now);
        }
        let state = unit_of(&mut self.units, request.unit, now);
        state.status.requests += 1;
        request.stage = Stage::Out { at: now, epoch: state.epoch };
        self.status.sent += 1;
        if let Some(newest) = self.alike.depart(slot) {
            self.gather(slot, newest);
        }
    }

    /// The same for what may change something: nobody shares it, and what it writes others must not read from before.
    #[cold]
    fn depart_as_write(&mut self, slot: u32, now: Instant) {
        let Some(request) = live(&mut self.requests, slot) else { return };
        let unit = request.unit;
        let effect = request.what.barrier().cloned();
        self.unit(unit, now).writes_out += 1;
        if let Some(effect) = effect {
            self.written(unit, &effect);
        }
        let state = self.unit(unit, now);
        state.status.requests += 1;
        let stage = Stage::Out { at: now, epoch: state.epoch };
        if let Some(request) = live(&mut self.requests, slot) {
            request.stage = stage;
        }
        self.status.sent += 1;
    }

    /// Takes those out of their queues that may share the answer of `leader`: from `newest` on, all that are like it.
    #[cold]
    fn gather(&mut self, leader: u32, newest: u32) {
        let mut at = Some(newest);
        while let Some(slot) = at {
            at = self.alike.next(slot);
            let Some(request) = live(&mut self.requests, slot) else { continue };
            let Stage::Queued { behind, .. } = request.stage else { continue };
            let waiter = request.waiter;
            if self.client(waiter.client).is_none_or(|client| client.writes_done != behind) {
                continue;
            }
            self.unqueue(slot);
            self.alike.remove(slot);
            self.share(leader, slot, false);
            self.status.coalesced += 1;
        }
    }

    /// What a write makes of reads that are out and of kept answers, when it goes out and when it ends. One to unit 0
    /// is obeyed by all units of a bus, which may stand behind a link with transaction ids too.
    #[cold]
    fn written(&mut self, to: UnitId, effect: &Effect) {
        let first = usize::from(to.get());
        let end = if to == UnitId::BROADCAST { self.units.len() } else { first + 1 };
        let units = self.units.get_mut(first..end).unwrap_or_default();
        for (unit, state) in (to.get()..=u8::MAX).zip(units) {
            let Some(state) = state else { continue };
            state.epoch = state.epoch.wrapping_add(1);
            if self.cache.len() == 0 {
                continue;
            }
            match effect {
                Effect::Write { table, addresses } => self.cache.written(unit, *table, addresses.clone()),
                Effect::Unknown => self.cache.forget(unit),
                Effect::Read { .. } | Effect::Look => {}
            }
        }
    }

    /// The answer to a request: a response PDU that fits what was sent.
    pub(super) fn answered(&mut self, slot: u32, pdu: &[u8], now: Instant) {
        let Some(request) = live(&mut self.requests, slot) else { return };
        self.in_flight -= 1;
        if !self.options.gap.is_zero() {
            self.not_before = Some(now + self.options.gap);
        }
        // What most are: the values that one client asked for, and nobody else.
        if let What::Read(key) = &request.what
            && pdu.first() == Some(&key.pdu()[0])
            && request.shared == NONE
            && self.options.device(request.unit).max_age.is_none()
        {
            let (unit, waiter) = (request.unit, request.waiter);
            self.release(slot);
            self.unit_answered(unit, now);
            self.status.answered += 1;
            self.deliver(&waiter, false, pdu, None);
        } else {
            self.answered_otherwise(slot, pdu, now);
        }
    }

    #[inline(never)]
    fn answered_otherwise(&mut self, slot: u32, pdu: &[u8], now: Instant) {
        let Some(request) = live(&mut self.requests, slot) else { return };
        let unit = request.unit;
        // Another gateway's word that the unit is silent: it has cost the same time.
        let dead = pdu.first().is_some_and(|function| function & 0x80 != 0)
            && pdu.get(1) == Some(&ExceptionCode::GatewayTargetFailedToRespond.code());
        let whole = match &mut request.what {
            What::Read(_) => None,
            What::Other(other) => match other.pieces.as_mut().map(|pieces| pieces.add(pdu)) {
                None => None,
                Some(Some(whole)) => Some(whole),
                Some(None) => return self.piece_answered(slot, now),
            },
        };
        let Some(mut ended) = self.take_out(slot, now) else { return };
        let pdu = whole.as_deref().unwrap_or(pdu);
        if dead {
            self.unit(unit, now).status.answers += 1;
        } else {
            self.unit_answered(unit, now);
        }
        self.keep(&ended, pdu);
        let exception = pdu.first().is_some_and(|function| function & 0x80 != 0);
        self.status.answered += 1;
        self.status.exceptions += u64::from(exception);
        let write = ended.what.barrier().is_some();
        self.deliver(&ended.waiter, write, pdu, None);
        while let Some(waiter) = self.part(&mut ended.shared) {
            self.deliver(&waiter, write, pdu, Some(now));
        }
        if dead {
            self.silent(&ended, now);
        }
    }

    #[inline]
    fn unit_answered(&mut self, unit: UnitId, now: Instant) {
        let state = unit_of(&mut self.units, unit, now);
        state.status.answers += 1;
        if state.breaker.answered(now) == Turn::Closed {
            self.options.tell(&LaneEvent::UnitBack { unit });
        }
    }

    /// A piece of a large read is here, and there are more.
    #[cold]
    fn piece_answered(&mut self, slot: u32, now: Instant) {
        let Some(request) = live(&mut self.requests, slot) else { return };
        if let Stage::Out { at, epoch } = request.stage {
            request.stage = Stage::Between { at, epoch };
        }
        let unit = request.unit;
        // What was read first is too old for those who ask from now on.
        self.alike.remove(slot);
        self.ring.push_back(Due::Piece(slot));
        self.unit(unit, now).breaker.answered(now);
    }

    /// A burst of answers is at its end: those whom they are for are woken, each once.
    pub(super) fn hand_over(&mut self) {
        for at in self.due.drain(..) {
            if let Some(client) = self.clients.get_mut(at as usize) {
                client.due = false;
                client.hand_over();
            }
        }
    }

    /// Those who have waited for long enough are given what came early.
    #[cold]
    pub(super) fn hand_over_early(&mut self, now: Instant) {
        if self.early_until.is_none_or(|until| now < until) {
            return;
        }
        for client in &mut self.clients {
            if client.early.is_some_and(|since| since + EARLY_WITHIN <= now) {
                client.hand_over();
            }
        }
        let first = self.clients.iter().filter_map(|client| client.early).min();
        self.early_until = first.map(|since| since + EARLY_WITHIN);
    }

    /// What came for a request, and is no answer to it, goes to who looks at answers ([`LaneOptions::inspected`]).
    #[cold]
    pub(super) fn show(&mut self, slot: u32, from: UnitId, pdu: &[u8]) {
        let Some(request) = live(&mut self.requests, slot).filter(|_| self.options.inspected) else { return };
        let (waiter, asked) = (request.waiter, request.unit);
        // Its own unit goes by the name that the client has for it.
        let from = if from == asked { waiter.asked } else { from };
        if let Some(client) = self.client(waiter.client) {
            client.answers.extend_from_slice(&mbap::header(waiter.transaction, from, pdu.len()));
            client.answers.extend_from_slice(pdu);
        }
    }

    /// A request that went out comes to its end without an answer.
    pub(super) fn failed(&mut self, slot: u32, why: Failure, now: Instant) {
        self.in_flight -= 1;
        if !self.options.gap.is_zero() {
            self.not_before = Some(now + self.options.gap);
        }
        match why {
            Failure::Silence => self.status.timeouts += 1,
            Failure::Nonsense => self.status.nonsense += 1,
            Failure::Broken | Failure::Broadcast | Failure::NotSent => {}
        }
        self.end(slot, why, now);
    }

    #[cold]
    fn end(&mut self, slot: u32, why: Failure, now: Instant) {
        let Some(mut ended) = self.take_out(slot, now) else { return };
        let code = match why {
            Failure::NotSent => ExceptionCode::GatewayPathUnavailable,
            _ => ExceptionCode::GatewayTargetFailedToRespond,
        };
        let refusal = [ended.what.function() | 0x80, code.code()];
        let answer = (why != Failure::Broadcast).then_some(&refusal[..]);
        let (write, probe) = (ended.what.barrier().is_some(), ended.what.is_probe());
        let mut next = Some(ended.waiter);
        while let Some(waiter) = next {
            if let Some(client) = self.client(waiter.client) {
                client.settle(&waiter, write, answer);
                client.hand_over();
                if answer.is_some() {
                    self.count_refused(code);
                }
            }
            next = self.part(&mut ended.shared);
        }
        match why {
            Failure::Silence => self.silent(&ended, now),
            _ if probe => self.unit(ended.unit, now).breaker.probe_lost(now),
            _ => {}
        }
    }

    /// A unit did not answer. When that opens its breaker, all that wait for it have their answer too.
    #[cold]
    fn silent(&mut self, ended: &Ended, now: Instant) {
        let options = Arc::clone(&self.options);
        let (unit, probe) = (ended.unit, ended.what.is_probe());
        let sent = ended.departure.map_or(now, |(at, _)| at);
        let state = self.unit(unit, now);
        state.status.timeouts += 1;
        if state.breaker.silent((sent, now), probe, &options.breaker) != Turn::Opened {
            return;
        }
        state.status.opened += 1;
        let pause = state.breaker.pause();
        options.tell(&LaneEvent::UnitDead { unit, pause });
        let of_unit = |request: &Request| request.unit == unit && request.is_queued();
        let waiting: Vec<u32> =
            (0..).zip(&self.requests).filter(|(_, request)| of_unit(request)).map(|(slot, _)| slot).collect();
        for slot in waiting {
            self.unqueue(slot);
            self.end(slot, Failure::Broken, now);
        }
    }

    /// Takes a request out of its client's queue.
    fn unqueue(&mut self, slot: u32) {
        let Some(request) = live(&mut self.requests, slot) else { return };
        let client = request.waiter.client;
        self.queued -= 1;
        if let Some(client) = self.client(client)
            && let Some(position) = client.queue.iter().position(|queued| *queued == slot)
        {
            client.queue.remove(position);
        }
    }

    /// There is no connection: all that wait are told, and nobody waits until `until`.
    pub(super) fn unreachable(&mut self, until: Instant, now: Instant) {
        self.unreachable_until = Some(until);
        while let Some(turn) = self.ring.front().copied() {
            match turn {
                Due::Piece(slot) => {
                    self.ring.pop_front();
                    self.end(slot, Failure::NotSent, now);
                }
                Due::Client(at) => {
                    if let Some(slot) = self.take_turn(at) {
                        self.queued -= 1;
                        self.end(slot, Failure::NotSent, now);
                    }
                }
            }
        }
    }

    /// There is a connection, whose first request may go out at `from`.
    pub(super) fn reachable(&mut self, from: Option<Instant>) {
        (self.unreachable_until, self.not_before) = (None, from);
    }

    /// Whether something waits to be sent.
    pub(super) fn has_work(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Whether nothing waits and nothing is out.
    pub(super) fn is_idle(&self) -> bool {
        self.queued == 0 && self.in_flight == 0 && self.ring.is_empty()
    }

    /// When something may go out that may not yet, or an answer that came early has waited for long enough.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let next = self.not_before.filter(|_| self.has_work() && self.in_flight < self.in_flight_max());
        [next, self.early_until].into_iter().flatten().min()
    }

    /// What happens to those who ask for it.
    pub(super) fn status(&self) -> LaneStatus {
        let mut status = self.status.clone();
        (status.queued, status.in_flight, status.kept) = (self.queued, self.in_flight, self.cache.len());
        for (unit, state) in (0..=u8::MAX).map(UnitId).zip(&self.units) {
            if let Some(state) = state {
                status.units.insert(unit, UnitStatus { breaker: state.breaker.state(), ..state.status });
            }
        }
        status
    }

    fn in_flight_max(&self) -> usize {
        let one_by_one = self.one_by_one || self.options.ignores_transaction;
        if one_by_one { 1 } else { self.options.in_flight.max(1) }
    }

    #[inline]
    fn keep(&mut self, ended: &Ended, pdu: &[u8]) {
        let (Some(key), Some((at, epoch))) = (ended.what.key(), ended.departure) else { return };
        if self.options.device(ended.unit).max_age.is_none() || pdu.first() != Some(&ended.what.function()) {
            return;
        }
        let unit = self.units.get(usize::from(ended.unit.get())).and_then(Option::as_ref);
        let broadcast = self.units.first().and_then(Option::as_ref).is_some_and(|all| all.writes_out != 0);
        if !broadcast && unit.is_some_and(|unit| unit.epoch == epoch && unit.writes_out == 0) {
            self.cache.keep(key, at, pdu);
        }
    }

    /// Whether anybody is still there for the answer.
    #[cold]
    fn is_wanted(&mut self, slot: u32) -> bool {
        let Some(request) = live(&mut self.requests, slot) else { return false };
        let (end, waiter) = (request.shared, request.waiter);
        let (mut at, mut wanted) = (end, self.client(waiter.client).is_some());
        while let Some(Request { stage: Stage::Shares { next }, waiter, .. }) = self.requests.get(at as usize)
        {
            let (next, waiter) = (*next, *waiter);
            wanted |= self.client(waiter.client).is_some();
            at = if next == end { NONE } else { next };
        }
        wanted
    }

    /// Takes a request that is out, or was to go out.
    #[inline]
    fn take_out(&mut self, slot: u32, now: Instant) -> Option<Ended> {
        let request = live(&mut self.requests, slot)?;
        let ended = Ended {
            unit: request.unit,
            departure: match request.stage {
                Stage::Out { at, epoch } | Stage::Between { at, epoch } => Some((at, epoch)),
                Stage::Queued { .. } | Stage::Shares { .. } | Stage::Free => None,
            },
            what: std::mem::replace(&mut request.what, What::NONE),
            waiter: request.waiter,
            shared: request.shared,
        };
        self.release(slot);
        if let (Some(effect), Some(_)) = (ended.what.barrier(), ended.departure) {
            self.unit(ended.unit, now).writes_out -= 1;
            self.written(ended.unit, effect);
        }
        Some(ended)
    }

    /// The answer to a request, for one who asked it.
    ///
    /// What came `early`, with the answer to another's read, waits where many requests go out at once until its client's
    /// turn comes, if that is soon: a client that is given its answers one by one asks one by one from then on, and each
    /// costs as much as a burst.
    #[inline]
    fn deliver(&mut self, waiter: &Waiter, write: bool, pdu: &[u8], early: Option<Instant>) {
        let early = early.filter(|_| self.in_flight_max() >= DEEP);
        let Some(client) = self.client(waiter.client) else { return };
        client.settle(waiter, write, Some(pdu));
        match early {
            Some(now) if !client.queue.is_empty() => {
                client.early.get_or_insert(now);
                self.early_until.get_or_insert(now + EARLY_WITHIN);
            }
            _ => {
                if !std::mem::replace(&mut client.due, true) {
                    self.due.push(waiter.client.slot);
                }
            }
        }
    }

    #[inline]
    fn client(&mut self, key: ClientKey) -> Option<&mut Client> {
        client_of(&mut self.clients, key)
    }

    #[inline]
    fn unit(&mut self, unit: UnitId, now: Instant) -> &mut Unit {
        unit_of(&mut self.units, unit, now)
    }

    #[inline]
    fn free_slot(&mut self) -> u32 {
        self.free_requests.pop().unwrap_or_else(|| {
            self.requests.push(Request::NONE);
            u32::try_from(self.requests.len() - 1).unwrap_or(NONE)
        })
    }

    /// Empties a slot.
    #[inline]
    fn release(&mut self, slot: u32) {
        self.alike.remove(slot);
        let Some(request) = live(&mut self.requests, slot) else { return };
        request.stage = Stage::Free;
        request.what = What::NONE;
        request.shared = NONE;
        self.free_requests.push(slot);
    }
}

#[inline]
fn client_of(clients: &mut [Client], key: ClientKey) -> Option<&mut Client> {
    let client = clients.get_mut(key.slot as usize)?;
    (client.generation == key.generation).then_some(client)
}

#[inline]
fn unit_of(units: &mut [Option<Box<Unit>>], unit: UnitId, now: Instant) -> &mut Unit {
    match units.get_mut(usize::from(unit.get())) {
        Some(unit) => unit.get_or_insert_with(|| Unit::new(now)),
        None => unreachable!("there are 256 units"),
    }
}

impl Unit {
    #[cold]
    fn new(now: Instant) -> Box<Unit> {
        let status = UnitStatus::default();
        Box::new(Unit { breaker: Breaker::new(now), epoch: 0, writes_out: 0, status })
    }
}

impl Client {
    /// A request of it has come to its end, with this answer or with none.
    #[inline]
    fn settle(&mut self, waiter: &Waiter, write: bool, pdu: Option<&[u8]>) {
        self.open -= 1;
        self.writes_done = self.writes_done.wrapping_add(u32::from(write));
        self.settled += 1;
        if let Some(pdu) = pdu {
            self.answers.extend_from_slice(&mbap::header(waiter.transaction, waiter.asked, pdu.len()));
            self.answers.extend_from_slice(pdu);
        }
    }

    /// Puts what has come for it into its inbox.
    #[inline]
    fn hand_over(&mut self) {
        self.early = None;
        let settled = std::mem::take(&mut self.settled);
        if let (Some(inbox), 1..) = (&self.inbox, settled) {
            inbox.put(&mut self.answers, settled);
        }
    }
}

/// What is left of a request that has come to its end.
#[derive(Debug)]
struct Ended {
    unit: UnitId,
    /// When it went out, and the unit's count of writes then; `None` when it never did.
    departure: Option<(Instant, u32)>,
    what: What,
    waiter: Waiter,
    shared: u32,
}

#[cfg(test)]
mod tests {
    use port502_wire::mbap::TransactionId;

    use super::super::request::Ask;
    use super::*;

    #[test]
    fn nothing_grows_while_nothing_is_answered() {
        let now = Instant::now();
        let mut queue = Queue::new(Arc::default(), false);
        let key = queue.join(Arc::default());
        for n in 0..1000 {
            let (transaction, unit) = (TransactionId(n), UnitId(u8::try_from(n % 250).unwrap()));
            let ask = Ask { transaction, asked: unit, unit, pdu: &[3, 0, 0, 0, 1] };
            queue.submit(key, &mut vec![Asked::from(&ask)], (now, now));
            if let Some(slot) = queue.next(now).map(|next| next.slot) {
                queue.failed(slot, Failure::Silence, now);
            }
        }
        assert_eq!(queue.status.timeouts, 750, "then units are left alone");
        assert_eq!((queue.due.len(), queue.requests.len(), queue.ring.len()), (0, 1, 0));
    }
}
