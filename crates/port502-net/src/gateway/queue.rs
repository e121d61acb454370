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

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use port502_wire::mbap::TransactionId;
use port502_wire::{ExceptionCode, PDU_MAX, UnitId};
use tokio::time::Instant;

use super::ask::{Bytes, Effect, ReadKey, effect};
use super::breaker::{Admission, Breaker, Turn};
use super::cache::Cache;
use super::options::{LaneEvent, LaneOptions, Larger};
use super::pieces::Pieces;
use super::{LaneStatus, UnitStatus};
use crate::server::Inbox;

/// Requests of all clients that wait in a lane, at most; one more is answered with exception 0A.
pub const QUEUED_MAX: usize = 16_384;

/// So many clients share what a link takes at once, when all have more to ask.
const TURNS: usize = 4;

/// A link that takes so many requests at once is given them by the half when they are too many: what goes out one by one,
/// as answers come, comes back one by one too, and costs a system call each time.
const DEEP: usize = 16;

/// No slot.
const NONE: u32 = u32::MAX;

/// A client of a lane. The number alone is not enough: its slot may be another's by now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ClientKey {
    slot: u32,
    generation: u32,
}

/// One request of a client, for `Queue::submit`.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The client's.
    pub transaction: TransactionId,
    /// The unit that the client asked, and that its answer comes from.
    pub asked: UnitId,
    /// The unit on the link.
    pub unit: UnitId,
    /// The request.
    pub pdu: &'a [u8],
}

/// What became of a request at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// It waits for its turn. The answer comes into the client's inbox.
    Queued,
    /// Refused.
    Refused(ExceptionCode),
    /// Answered from the cache: so many bytes of the buffer.
    Answered(usize),
}

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

#[derive(Clone, Copy, Debug)]
struct Waiter {
    client: ClientKey,
    transaction: TransactionId,
    asked: UnitId,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Queued,
    Out,
    /// Between two pieces.
    Between,
}

#[derive(Debug)]
struct Request {
    stage: Stage,
    unit: UnitId,
    pdu: Bytes,
    /// For reads that others can share.
    key: Option<ReadKey>,
    /// `None` for what changes nothing.
    barrier: Option<Effect>,
    waiter: Waiter,
    joined: Vec<Waiter>,
    /// Writes that its client had submitted before it.
    behind: u64,
    /// Its neighbours among queued reads with the same key.
    newer: u32,
    older: u32,
    arrived: Instant,
    /// When it went out, its first piece that is.
    sent: Instant,
    /// The unit's count of writes then.
    epoch: u64,
    probe: bool,
    pieces: Option<Box<Pieces>>,
}

#[derive(Debug, Default)]
struct Client {
    inbox: Option<Arc<Inbox>>,
    generation: u32,
    queue: VecDeque<u32>,
    /// Whether it stands in the ring.
    in_ring: bool,
    open: usize,
    /// Writes submitted, and those that have come to their end.
    writes: u64,
    writes_done: u64,
}

#[derive(Debug)]
struct Unit {
    breaker: Breaker,
    /// Counts writes as they go out and as they end, broadcasts among them.
    epoch: u64,
    writes_out: usize,
    status: UnitStatus,
}

/// Reads of the same unit, table and addresses.
#[derive(Clone, Copy, Debug)]
struct Alike {
    /// The one that was queued last, which knows the one before it.
    newest: u32,
    /// The one that went out last.
    out: u32,
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
    clients: Vec<Client>,
    free_clients: Vec<u32>,
    requests: Vec<Option<Request>>,
    free_requests: Vec<u32>,
    ring: VecDeque<Due>,
    /// Requests that the client in front has got out in this turn.
    turn: usize,
    /// Reads that are alike.
    alike: HashMap<ReadKey, Alike, Seeded>,
    units: Vec<Option<Box<Unit>>>,
    cache: Cache,
    queued: usize,
    in_flight: usize,
    /// As many have been out as may be, and more wait: half of them have to come back before the next go.
    full: bool,
    not_before: Option<Instant>,
    /// Until then nobody tries to connect.
    unreachable_until: Option<Instant>,
    pub(super) status: LaneStatus,
}

impl Queue {
    pub(super) fn new(options: Arc<LaneOptions>) -> Self {
        Queue {
            options,
            clients: Vec::new(),
            free_clients: Vec::new(),
            requests: Vec::new(),
            free_requests: Vec::new(),
            ring: VecDeque::new(),
            turn: 0,
            alike: HashMap::with_hasher(Seeded::new()),
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
            let Some(request) = self.take(slot) else { continue };
            self.unlink(slot, &request);
            if request.probe {
                self.unit(request.unit, now).breaker.probe_lost(now);
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

    /// Takes a request in. `out` is for an answer that is there at once.
    ///
    /// The client may have at most as many open as its [`Caller`](crate::server::Caller) has room for.
    pub(super) fn submit(
        &mut self,
        key: ClientKey,
        ask: &Ask<'_>,
        now: Instant,
        out: &mut [u8; PDU_MAX],
    ) -> Submitted {
        self.status.requests += 1;
        let submitted = self.decide(key, ask, now, out);
        match submitted {
            Submitted::Refused(code) => *self.status.refused.entry(code.code()).or_default() += 1,
            Submitted::Answered(_) => self.status.cached += 1,
            Submitted::Queued => {}
        }
        submitted
    }

    fn decide(&mut self, key: ClientKey, ask: &Ask<'_>, now: Instant, out: &mut [u8; PDU_MAX]) -> Submitted {
        let effect = match effect(ask.pdu) {
            Ok(effect) => effect,
            Err(code) => return Submitted::Refused(code),
        };
        if self.unreachable_until.is_some_and(|until| now < until) || self.queued >= QUEUED_MAX {
            return Submitted::Refused(ExceptionCode::GatewayPathUnavailable);
        }
        let device = *self.options.device(ask.unit);
        let pieces = match Pieces::of(&device, ask.pdu, &effect) {
            Ok(pieces) if pieces.is_some() && device.larger == Larger::Refuse => {
                return Submitted::Refused(ExceptionCode::IllegalDataValue);
            }
            Ok(pieces) => pieces.map(Box::new),
            Err(code) => return Submitted::Refused(code),
        };
        let Some(client) = self.client(key) else {
            return Submitted::Refused(ExceptionCode::GatewayPathUnavailable);
        };
        let (behind, idle) = (client.writes, client.writes == client.writes_done);
        let waiter = Waiter { client: key, transaction: ask.transaction, asked: ask.asked };
        let read = match effect {
            Effect::Read { start, count, .. } => {
                let function = ask.pdu.first().copied().unwrap_or_default();
                Some(ReadKey::new(ask.unit.get(), function, start, count))
            }
            _ => None,
        };
        if let (Some(read), true) = (read, idle) {
            if let Some(max_age) = device.max_age
                && let Some(pdu) = self.cache.find(read, now, max_age)
                && let Some(room) = out.get_mut(..pdu.len())
            {
                room.copy_from_slice(pdu);
                return Submitted::Answered(pdu.len());
            }
            if self.options.coalesce && self.join_out(read, waiter) {
                return Submitted::Queued;
            }
        }
        let probe = match self.unit(ask.unit, now).breaker.admit(now) {
            Admission::Pass => false,
            Admission::Probe => true,
            Admission::Refused => return Submitted::Refused(ExceptionCode::GatewayTargetFailedToRespond),
        };
        let barrier = match effect {
            Effect::Read { .. } | Effect::Look => None,
            effect => Some(effect),
        };
        let writes = u64::from(barrier.is_some());
        let slot = self.put(Request {
            stage: Stage::Queued,
            unit: ask.unit,
            pdu: Bytes::new(ask.pdu),
            key: read,
            barrier,
            waiter,
            joined: Vec::new(),
            behind,
            newer: NONE,
            older: NONE,
            arrived: now,
            sent: now,
            epoch: 0,
            probe,
            pieces,
        });
        self.link(slot, read);
        self.queued += 1;
        if let Some(client) = self.client(key) {
            client.open += 1;
            client.writes += writes;
            client.queue.push_back(slot);
            if !std::mem::replace(&mut client.in_ring, true) {
                self.ring.push_back(Due::Client(key.slot));
            }
        }
        Submitted::Queued
    }

    /// Lets a read share the answer of one that is out already.
    fn join_out(&mut self, key: ReadKey, waiter: Waiter) -> bool {
        let Some(&Alike { out: slot, .. }) = self.alike.get(&key) else { return false };
        let Some(Some(request)) = self.requests.get(slot as usize) else { return false };
        let epoch = self.units.get(usize::from(request.unit.get())).and_then(Option::as_ref);
        if epoch.is_none_or(|unit| unit.epoch != request.epoch) {
            return false;
        }
        let Some(Some(request)) = self.requests.get_mut(slot as usize) else { return false };
        request.joined.push(waiter);
        if let Some(client) = self.client(waiter.client) {
            client.open += 1;
        }
        self.status.coalesced += 1;
        true
    }

    /// The next request to send, if one may be sent now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Outgoing<'_>> {
        let limit = self.in_flight_max();
        let slot = loop {
            if self.in_flight >= limit {
                self.full = true;
                return None;
            }
            if limit >= DEEP && (self.full && self.in_flight > limit / 2 || !self.has_room_for_turn(limit)) {
                self.full = true;
                return None;
            }
            self.full = false;
            if self.not_before.is_some_and(|at| now < at) {
                return None;
            }
            let slot = match self.ring.pop_front()? {
                Due::Piece(slot) => slot,
                Due::Client(slot) => match self.take_turn(slot) {
                    Some(slot) => slot,
                    None => continue,
                },
            };
            let Some(Some(request)) = self.requests.get(slot as usize) else { continue };
            if request.stage == Stage::Queued {
                self.queued -= 1;
                if now.saturating_duration_since(request.arrived) > self.options.wait {
                    self.unlink_slot(slot);
                    self.end(slot, Failure::NotSent, now);
                    continue;
                }
                self.depart(slot, now);
            } else if !self.is_wanted(slot) {
                self.forget(slot, now);
                continue;
            }
            break slot;
        };
        self.in_flight += 1;
        self.not_before = None;
        let request = self.requests.get_mut(slot as usize)?.as_mut()?;
        request.stage = Stage::Out;
        let timeout = self.options.timeout(request.unit);
        let pdu = match &mut request.pieces {
            Some(pieces) => pieces.next(),
            None => request.pdu.as_slice(),
        };
        Some(Outgoing { slot, unit: request.unit, pdu, timeout })
    }

    /// Whether all that a client may get out in its turn has room: what is torn apart here stays so for ever, because
    /// a client asks for more as its answers come.
    fn has_room_for_turn(&self, limit: usize) -> bool {
        let Some(Due::Client(at)) = self.ring.front() else { return true };
        let waiting = self.clients.get(*at as usize).map_or(0, |client| client.queue.len());
        self.turn != 0 || self.in_flight == 0 || waiting.min(limit / TURNS) <= limit - self.in_flight
    }

    /// The oldest request of a client whose turn it is.
    fn take_turn(&mut self, at: u32) -> Option<u32> {
        let client = self.clients.get_mut(at as usize)?;
        let slot = client.queue.pop_front();
        client.in_ring = !client.queue.is_empty();
        if client.in_ring {
            self.turn += 1;
            if self.turn < self.options.in_flight / TURNS {
                self.ring.push_front(Due::Client(at));
                return slot;
            }
            self.ring.push_back(Due::Client(at));
        } else if client.inbox.is_none() {
            self.free_clients.push(at); // it left while it stood in the ring
        }
        self.turn = 0;
        slot
    }

    /// A request goes out for the first time: it takes along those that are like it.
    fn depart(&mut self, slot: u32, now: Instant) {
        let Some(Some(request)) = self.requests.get_mut(slot as usize) else { return };
        let (unit, key) = (request.unit, request.key);
        if let Some(effect) = request.barrier.clone() {
            self.unit(unit, now).writes_out += 1;
            self.written(unit, &effect);
        } else if let Some(key) = key {
            let newer = std::mem::replace(&mut request.newer, NONE);
            let older = std::mem::replace(&mut request.older, NONE);
            let alone = newer == NONE && older == NONE;
            // First of all, lest the entry be removed and made anew.
            if let Some(alike) = self.alike.get_mut(&key) {
                alike.out = slot;
                if alone && alike.newest == slot {
                    alike.newest = NONE;
                }
            }
            if !alone {
                self.bridge(slot, key, newer, older);
                let joined = self.gather(key);
                self.status.coalesced += joined.len() as u64;
                if let Some(Some(request)) = self.requests.get_mut(slot as usize) {
                    request.joined = joined;
                }
            }
        }
        let unit = self.unit(unit, now);
        unit.status.requests += 1;
        let epoch = unit.epoch;
        if let Some(Some(request)) = self.requests.get_mut(slot as usize) {
            (request.sent, request.epoch) = (now, epoch);
        }
        self.status.sent += 1;
    }

    /// Takes those out of their queues that may share the answer to `key`.
    fn gather(&mut self, key: ReadKey) -> Vec<Waiter> {
        let mut joined = Vec::new();
        let mut at = self.alike.get(&key).map_or(NONE, |alike| alike.newest);
        while let Some(Some(request)) = self.requests.get(at as usize) {
            let (slot, waiter, behind) = (at, request.waiter, request.behind);
            at = request.older;
            let Some(client) = self.client(waiter.client) else { continue };
            if client.writes_done != behind {
                continue;
            }
            if let Some(position) = client.queue.iter().position(|queued| *queued == slot) {
                client.queue.remove(position);
            }
            self.queued -= 1;
            self.unlink_slot(slot);
            self.take(slot);
            joined.push(waiter);
        }
        joined
    }

    /// What a write makes of reads that are out and of kept answers, when it goes out and when it ends. One to unit 0
    /// is obeyed by all units of a bus, which may stand behind a link with transaction ids too.
    fn written(&mut self, to: UnitId, effect: &Effect) {
        let first = usize::from(to.get());
        let end = if to == UnitId::BROADCAST { self.units.len() } else { first + 1 };
        let units = self.units.get_mut(first..end).unwrap_or_default();
        for (unit, state) in (to.get()..=u8::MAX).zip(units) {
            let Some(state) = state else { continue };
            state.epoch += 1;
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
        let Some(Some(request)) = self.requests.get_mut(slot as usize) else { return };
        self.in_flight -= 1;
        if !self.options.gap.is_zero() {
            self.not_before = Some(now + self.options.gap);
        }
        let unit = request.unit;
        // Another gateway's word that the unit is silent: it has cost the same time.
        let dead = pdu.first().is_some_and(|function| function & 0x80 != 0)
            && pdu.get(1) == Some(&ExceptionCode::GatewayTargetFailedToRespond.code());
        let whole = match &mut request.pieces {
            Some(pieces) => match pieces.add(pdu) {
                None => {
                    request.stage = Stage::Between;
                    let key = request.key;
                    // What was read first is too old for those who ask from now on.
                    if let Some(key) = key {
                        self.came_in(slot, key);
                    }
                    self.ring.push_back(Due::Piece(slot));
                    self.unit(unit, now).breaker.answered();
                    return;
                }
                whole => whole,
            },
            None => None,
        };
        let Some(request) = self.take_out(slot, now) else { return };
        let pdu = whole.as_deref().unwrap_or(pdu);
        let state = self.unit(unit, now);
        state.status.answers += 1;
        let turn = if dead { Turn::None } else { state.breaker.answered() };
        if turn == Turn::Closed {
            self.options.tell(&LaneEvent::UnitBack { unit });
        }
        self.keep(&request, pdu);
        let exception = pdu.first().is_some_and(|function| function & 0x80 != 0);
        self.status.answered += 1;
        self.status.exceptions += u64::from(exception);
        for waiter in std::iter::once(&request.waiter).chain(&request.joined) {
            self.deliver(waiter, request.barrier.is_some(), |inbox| {
                inbox.answer(waiter.transaction, waiter.asked, pdu);
            });
        }
        if dead {
            self.silent(unit, request.probe, now);
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

    fn end(&mut self, slot: u32, why: Failure, now: Instant) {
        let Some(request) = self.take_out(slot, now) else { return };
        let code = match why {
            Failure::NotSent => ExceptionCode::GatewayPathUnavailable,
            _ => ExceptionCode::GatewayTargetFailedToRespond,
        };
        let function = request.pdu.function();
        for waiter in std::iter::once(&request.waiter).chain(&request.joined) {
            let refused = self.deliver(waiter, request.barrier.is_some(), |inbox| {
                if why == Failure::Broadcast {
                    inbox.keep_silent();
                } else {
                    inbox.refuse(waiter.transaction, waiter.asked, function, code);
                }
            });
            if refused && why != Failure::Broadcast {
                *self.status.refused.entry(code.code()).or_default() += 1;
            }
        }
        match why {
            Failure::Silence => self.silent(request.unit, request.probe, now),
            _ if request.probe => self.unit(request.unit, now).breaker.probe_lost(now),
            _ => {}
        }
    }

    /// A unit did not answer. When that opens its breaker, all that wait for it have their answer too.
    fn silent(&mut self, unit: UnitId, probe: bool, now: Instant) {
        let options = Arc::clone(&self.options);
        let state = self.unit(unit, now);
        state.status.timeouts += 1;
        if state.breaker.silent(now, probe, &options.breaker) != Turn::Opened {
            return;
        }
        state.status.opened += 1;
        let pause = state.breaker.pause();
        options.tell(&LaneEvent::UnitDead { unit, pause });
        let of_unit = |request: &Option<Request>| {
            request.as_ref().is_some_and(|request| request.unit == unit && request.stage == Stage::Queued)
        };
        let waiting: Vec<u32> =
            (0..).zip(&self.requests).filter(|(_, request)| of_unit(request)).map(|(slot, _)| slot).collect();
        for slot in waiting {
            self.unqueue(slot);
            self.end(slot, Failure::Broken, now);
        }
    }

    /// Takes a request out of its client's queue.
    fn unqueue(&mut self, slot: u32) {
        let Some(Some(request)) = self.requests.get(slot as usize) else { return };
        let client = request.waiter.client;
        self.queued -= 1;
        self.unlink_slot(slot);
        if let Some(client) = self.client(client)
            && let Some(position) = client.queue.iter().position(|queued| *queued == slot)
        {
            client.queue.remove(position);
        }
    }

    /// There is no connection: all that wait are told, and nobody waits until `until`.
    pub(super) fn unreachable(&mut self, until: Instant, now: Instant) {
        self.unreachable_until = Some(until);
        while let Some(turn) = self.ring.pop_front() {
            match turn {
                Due::Piece(slot) => self.end(slot, Failure::NotSent, now),
                Due::Client(at) => {
                    if let Some(slot) = self.take_turn(at) {
                        self.queued -= 1;
                        self.unlink_slot(slot);
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

    /// When something may go out that may not yet.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.has_work() && self.in_flight < self.in_flight_max())
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
        if self.options.ignores_transaction { 1 } else { self.options.in_flight.max(1) }
    }

    fn keep(&mut self, request: &Request, pdu: &[u8]) {
        let Some(key) = request.key else { return };
        if self.options.device(request.unit).max_age.is_none() || pdu.first() != Some(&request.pdu.function())
        {
            return;
        }
        let unit = self.units.get(usize::from(request.unit.get())).and_then(Option::as_ref);
        let broadcast = self.units.first().and_then(Option::as_ref).is_some_and(|all| all.writes_out != 0);
        if !broadcast && unit.is_some_and(|unit| unit.epoch == request.epoch && unit.writes_out == 0) {
            self.cache.keep(key, request.sent, pdu);
        }
    }

    /// Whether anybody is still there for the answer.
    fn is_wanted(&mut self, slot: u32) -> bool {
        let Some(Some(request)) = self.requests.get(slot as usize) else { return false };
        let waiters: Vec<Waiter> = std::iter::once(&request.waiter).chain(&request.joined).copied().collect();
        waiters.into_iter().any(|waiter| self.client(waiter.client).is_some())
    }

    /// Gives a read up that nobody waits for.
    fn forget(&mut self, slot: u32, now: Instant) {
        if let Some(request) = self.take_out(slot, now)
            && request.probe
        {
            self.unit(request.unit, now).breaker.probe_lost(now);
        }
    }

    /// Takes a request that is out, or was to go out.
    fn take_out(&mut self, slot: u32, now: Instant) -> Option<Request> {
        let request = self.take(slot)?;
        if let Some(key) = request.key {
            self.came_in(slot, key);
        }
        if let Some(effect) = &request.barrier
            && request.stage != Stage::Queued
        {
            self.unit(request.unit, now).writes_out -= 1;
            self.written(request.unit, effect);
        }
        Some(request)
    }

    /// Whether the client was still there.
    fn deliver(&mut self, waiter: &Waiter, write: bool, put: impl FnOnce(&Inbox)) -> bool {
        let Some(client) = self.client(waiter.client) else { return false };
        client.open -= 1;
        client.writes_done += u64::from(write);
        if let Some(inbox) = &client.inbox {
            put(inbox);
        }
        true
    }

    fn client(&mut self, key: ClientKey) -> Option<&mut Client> {
        let client = self.clients.get_mut(key.slot as usize)?;
        (client.generation == key.generation).then_some(client)
    }

    fn unit(&mut self, unit: UnitId, now: Instant) -> &mut Unit {
        let at = usize::from(unit.get());
        let new = || {
            let status = UnitStatus::default();
            Box::new(Unit { breaker: Breaker::new(now), epoch: 0, writes_out: 0, status })
        };
        match self.units.get_mut(at) {
            Some(unit) => unit.get_or_insert_with(new),
            None => unreachable!("there are 256 units"),
        }
    }

    fn put(&mut self, request: Request) -> u32 {
        if let Some(slot) = self.free_requests.pop()
            && let Some(free) = self.requests.get_mut(slot as usize)
        {
            *free = Some(request);
            return slot;
        }
        self.requests.push(Some(request));
        u32::try_from(self.requests.len() - 1).unwrap_or(NONE)
    }

    fn take(&mut self, slot: u32) -> Option<Request> {
        let request = self.requests.get_mut(slot as usize)?.take()?;
        self.free_requests.push(slot);
        Some(request)
    }

    /// Puts a queued read in front of those like it.
    fn link(&mut self, slot: u32, key: Option<ReadKey>) {
        let Some(key) = key.filter(|_| self.options.coalesce) else { return };
        let alike = self.alike.entry(key).or_insert(Alike { newest: NONE, out: NONE });
        let older = std::mem::replace(&mut alike.newest, slot);
        if older == NONE {
            return;
        }
        if let Some(Some(request)) = self.requests.get_mut(slot as usize) {
            request.older = older;
        }
        if let Some(Some(request)) = self.requests.get_mut(older as usize) {
            request.newer = slot;
        }
    }

    fn unlink_slot(&mut self, slot: u32) {
        let Some(Some(request)) = self.requests.get_mut(slot as usize) else { return };
        let Some(key) = request.key else { return };
        let newer = std::mem::replace(&mut request.newer, NONE);
        let older = std::mem::replace(&mut request.older, NONE);
        self.bridge(slot, key, newer, older);
    }

    fn unlink(&mut self, slot: u32, request: &Request) {
        if let Some(key) = request.key {
            self.bridge(slot, key, request.newer, request.older);
        }
    }

    /// Joins the neighbours of a read that is queued no more.
    fn bridge(&mut self, slot: u32, key: ReadKey, newer: u32, older: u32) {
        if let Some(Some(request)) = self.requests.get_mut(older as usize) {
            request.newer = newer;
        }
        if let Some(Some(request)) = self.requests.get_mut(newer as usize) {
            request.older = older;
        } else if let Some(alike) = self.alike.get_mut(&key)
            && alike.newest == slot
        {
            alike.newest = older;
            if older == NONE && alike.out == NONE {
                self.alike.remove(&key);
            }
        }
    }

    /// A read that went out can be joined no more.
    fn came_in(&mut self, slot: u32, key: ReadKey) {
        let Entry::Occupied(mut entry) = self.alike.entry(key) else { return };
        let alike = entry.get_mut();
        if alike.out == slot {
            alike.out = NONE;
        }
        if alike.out == NONE && alike.newest == NONE {
            entry.remove();
        }
    }
}

/// Hashes [`ReadKey`]s with one multiplication; the seed is new for each lane.
#[derive(Clone, Copy, Debug)]
struct Seeded(u64);

impl Seeded {
    fn new() -> Self {
        Seeded(std::collections::hash_map::RandomState::new().build_hasher().finish())
    }
}

impl BuildHasher for Seeded {
    type Hasher = Mix;

    fn build_hasher(&self) -> Mix {
        Mix(self.0)
    }
}

#[derive(Debug)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ product >> 32;
    }
}
