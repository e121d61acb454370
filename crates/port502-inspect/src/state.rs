//! What judging has to remember: how often, and which values the device holds.
//!
//! One [`State`] is shared by all connections of a conduit. All of it is bounded: rates are kept for [`BUCKETS_MAX`]
//! clients, rules and values, last known values for [`KNOWN_MAX`]; reaching either never lets more through.
//!
//! Values are learned from responses to reads and from writes that the device has confirmed. Between a write and its
//! answer a value is an interval, of all that it may be; a read that was asked before a write had ended teaches nothing of
//! what that write changes, because nobody knows which of the two the device did first.
//!
//! ```text
//!   write 25      ──────────┐ 20 to 25 ┌─────── 25 ──────────────────────
//!   read, asked   ─────┐    └──────────┘
//!   meanwhile          └───────────────────────┘ 20: teaches nothing
//! ```
//!
//! A write that nobody answered may still be on its way, in the queue of a gateway or of a bus. As long as an answer may
//! take it can still be carried out: what is read meanwhile is one more value that it may be, and only a read that is asked
//! after that teaches again.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use port502_session::Instant;
use port502_wire::value::Value;
use port502_wire::{ExceptionCode, Read, Request, Response, UnitId};

use crate::engine::{Engine, Peer};
use crate::grants::Grants;
use crate::judge::{Demand, demands};
use crate::policy::Writable;
use crate::rate::Limiter;
use crate::{Learner, Reason};

/// The most buckets of rates. Those that are full again make room; when none is, who has none is refused
/// ([`Reason::TooManyCounted`]): to forget one that is in use would give its client a full one.
pub const BUCKETS_MAX: usize = 16_384;

/// The most values that are remembered. Above it the eighth that has not been used for longest is forgotten, and a
/// value that is not known is refused where it matters.
pub const KNOWN_MAX: usize = 16_384;

/// The most connections that one conduit counts, whatever its limits say.
pub const CONNECTIONS_MAX: u32 = 16_384;

/// The most [`Grants`] that are kept for clients to come; those of connected clients live with their connections.
pub const GRANTS_MAX: usize = 64;

/// How many changes have gone out: says of two moments which was first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation(u64);

/// What is remembered on a conduit.
#[derive(Debug)]
pub struct State {
    pub(crate) engine: Arc<Engine>,
    /// The latest used last.
    grants: Vec<Arc<Grants>>,
    /// When each bucket will be full.
    buckets: BTreeMap<Bucket, Instant>,
    /// No bucket is full before this: a search would be in vain.
    none_full_before: Instant,
    /// What a request takes from buckets, should it pass; kept for its memory.
    pub(crate) takes: Vec<(Bucket, Instant)>,
    known: BTreeMap<(usize, u8), Known>,
    generation: Generation,
    /// By unit.
    units: Vec<OfUnit>,
    connections: BTreeMap<IpAddr, u32>,
    connected: u32,
    uses: u64,
    /// Who asks for what, while that is learned.
    pub(crate) learner: Option<Learner>,
}

/// Whose rate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Bucket {
    Client(IpAddr),
    Rule(usize, IpAddr),
    /// One value, by its place in [`Engine::rated`], of one unit, whoever writes it and whichever rule lets them.
    Value(usize, u8),
}

/// A value as it is compared.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Number {
    Integer(i128),
    Float(f64),
}

impl From<Value> for Number {
    fn from(value: Value) -> Self {
        match value {
            Value::Bool(on) => Number::Integer(on.into()),
            Value::Unsigned(number) => Number::Integer(number.into()),
            Value::Signed(number) => Number::Integer(number.into()),
            Value::F32(float) => Number::Float(float.into()),
            Value::F64(float) => Number::Float(float),
        }
    }
}

impl Number {
    /// How far apart; NaN when that is no number.
    pub(crate) fn distance(self, other: Number) -> f64 {
        match (self, other) {
            // What a step of this size loses by becoming a float is less than one in 10^15.
            (Number::Integer(a), Number::Integer(b)) => a.abs_diff(b) as f64,
            (Number::Float(a), Number::Float(b)) => (a - b).abs(),
            _ => f64::NAN,
        }
    }

    fn min(self, other: Number) -> Number {
        match (self, other) {
            (Number::Integer(a), Number::Integer(b)) => Number::Integer(a.min(b)),
            (Number::Float(a), Number::Float(b)) if b < a => Number::Float(b),
            _ => self,
        }
    }

    fn max(self, other: Number) -> Number {
        match (self, other) {
            (Number::Integer(a), Number::Integer(b)) => Number::Integer(a.max(b)),
            (Number::Float(a), Number::Float(b)) if b > a => Number::Float(b),
            _ => self,
        }
    }
}

/// Of one unit: requests that may change any of its values without saying which.
#[derive(Clone, Copy, Debug, Default)]
struct OfUnit {
    /// When all that was known was forgotten.
    forgotten: Generation,
    /// How many are not answered.
    pending: u32,
    /// Until then one that nobody answered may be carried out.
    unsure_until: Instant,
}

/// What is known of one value of one unit.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// All that it may be, both ends included; `None` when that cannot be told.
    between: Option<(Number, Number)>,
    /// What it was when that was known last, whatever has happened since.
    certain: Option<Number>,
    /// When it was seen to become so; `None` when it was never seen to be anything else.
    since: Option<Instant>,
    /// When that was learned.
    learned: Generation,
    /// The last write that went out.
    changed: Generation,
    /// When the last write ended.
    settled: Generation,
    /// Writes that are not answered.
    pending: u32,
    /// Until then a write that nobody answered may be carried out.
    unsure_until: Instant,
    used: u64,
}

/// A value that is known.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Last {
    pub(crate) low: Number,
    pub(crate) high: Number,
    /// `None` when it has been so since nobody knows when.
    pub(crate) since: Option<Instant>,
}

/// A request that went on to the device.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sent<'r> {
    /// Of which unit.
    pub unit: UnitId,
    /// What for.
    pub request: &'r Request<'r>,
    /// What [`State::generation`] was then.
    pub asked: Generation,
    /// When.
    pub at: Instant,
    /// For so long after it was given up it may still be carried out.
    pub within: Duration,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Ending<'r> {
    /// With a response that fits it; an exception too.
    Answered(&'r Response<'r>),
    /// Without, as far as is known: the device may have carried it out, or does so yet.
    Unanswered,
    /// Without, as it has to be: it was a broadcast, and the line has sent it.
    Sent,
}

impl Ending<'_> {
    /// Whether the device may carry the request out after this. A gateway that says it has no way or no answer may be
    /// wrong about what happens behind it, and a device that acknowledges has only begun.
    fn is_unsure(&self) -> bool {
        match self {
            Ending::Unanswered => true,
            Ending::Answered(Response::Exception { code, .. }) => matches!(
                code,
                ExceptionCode::Acknowledge
                    | ExceptionCode::GatewayPathUnavailable
                    | ExceptionCode::GatewayTargetFailedToRespond
            ),
            Ending::Answered(_) | Ending::Sent => false,
        }
    }
}

impl State {
    /// Nothing is remembered yet.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        State {
            engine,
            grants: Vec::new(),
            buckets: BTreeMap::new(),
            none_full_before: Instant::ZERO,
            takes: Vec::new(),
            known: BTreeMap::new(),
            generation: Generation(1),
            units: alloc::vec![OfUnit::default(); 256],
            connections: BTreeMap::new(),
            connected: 0,
            uses: 0,
            learner: None,
        }
    }

    /// The rules that hold now.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Other rules hold from now on. What is known of values stays, and the rates of clients, of rules that are called
    /// the same, and of values that are the same.
    pub fn replace(&mut self, engine: Arc<Engine>) {
        let old = core::mem::replace(&mut self.engine, engine);
        self.grants.clear();
        let names: BTreeMap<&str, usize> =
            self.engine.rules.iter().enumerate().map(|(at, rule)| (rule.name.as_str(), at)).collect();
        self.buckets = core::mem::take(&mut self.buckets)
            .into_iter()
            .filter_map(|(bucket, full)| {
                let bucket = match bucket {
                    Bucket::Client(_) => bucket,
                    Bucket::Rule(rule, client) => Bucket::Rule(*names.get(old.rule(rule)?)?, client),
                    Bucket::Value(value, unit) => {
                        Bucket::Value(self.engine.rated.position(old.rated.get(value)?)?, unit)
                    }
                };
                Some((bucket, full))
            })
            .collect();
        self.known = core::mem::take(&mut self.known)
            .into_iter()
            .filter_map(|((probe, unit), known)| {
                let at = self.engine.probes.position(old.probes.get(probe)?)?;
                Some(((at, unit), known))
            })
            .collect();
        // Which values they would have been of, nobody knows any more.
        self.units.iter_mut().for_each(|of| of.pending = 0);
        self.all_is_old();
    }

    /// Forgets what all values are: another device stands there now.
    pub fn forget_values(&mut self) {
        self.forget(UnitId::BROADCAST, |_| {});
        for known in self.known.values_mut() {
            (known.between, known.certain, known.since) = (None, None, None);
        }
    }

    /// Remembers from now on who asks for what: each request that is one, whether it may pass or not.
    pub fn learn(&mut self) {
        self.learner.get_or_insert_default();
    }

    /// What was learned so far.
    #[must_use]
    pub const fn learned(&self) -> Option<&Learner> {
        self.learner.as_ref()
    }

    /// What was learned, and no more is.
    pub fn stop_learning(&mut self) -> Option<Learner> {
        self.learner.take()
    }

    /// What a client may do.
    pub fn grants(&mut self, peer: &Peer) -> Arc<Grants> {
        let fitting = self.engine.fitting(peer);
        if let Some(at) = self.grants.iter().position(|grants| grants.fitting == fitting) {
            let grants = self.grants.remove(at);
            self.grants.push(Arc::clone(&grants));
            return grants;
        }
        let grants = Arc::new(Grants::new(&self.engine, fitting));
        if self.grants.len() == GRANTS_MAX {
            self.grants.remove(0);
        }
        self.grants.push(Arc::clone(&grants));
        grants
    }

    /// A client connects.
    ///
    /// # Errors
    /// The limit that it would break; nothing is counted then.
    pub fn connect(&mut self, address: IpAddr) -> Result<(), Reason> {
        let limits = &self.engine.limits;
        if self.connected >= limits.connections.unwrap_or(u32::MAX).min(CONNECTIONS_MAX) {
            return Err(Reason::Connections);
        }
        let of_client = self.connections.get(&address.to_canonical()).copied().unwrap_or(0);
        if of_client >= limits.connections_per_client.unwrap_or(u32::MAX) {
            return Err(Reason::ConnectionsOfClient);
        }
        self.connections.insert(address.to_canonical(), of_client + 1);
        self.connected += 1;
        Ok(())
    }

    /// A client that [`connect`](Self::connect) counted is gone.
    pub fn disconnect(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        if let Some(count) = self.connections.get_mut(&address) {
            self.connected = self.connected.saturating_sub(1);
            *count -= 1;
            if *count == 0 {
                self.connections.remove(&address);
            }
        }
    }

    /// Whether what a read shows matters to any rule.
    #[inline]
    pub(crate) fn learns_from(&self, read: &Read) -> bool {
        !self.engine.probes.is_empty() && self.shows_a_probe(read)
    }

    #[inline(never)]
    fn shows_a_probe(&self, read: &Read) -> bool {
        self.engine.probes.touching(read.table(), read.first(), read.last()).next().is_some()
    }

    /// How many changes have gone out so far. To be asked for behind [`judge`](Self::judge), and given back to
    /// [`ended`](Self::ended).
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether a bucket has a token; what it will be then goes to `takes`.
    pub(crate) fn try_take(&mut self, bucket: Bucket, limiter: Limiter, now: Instant) -> Result<(), Reason> {
        let full = match self.buckets.get(&bucket).copied() {
            Some(full) => full,
            None if self.has_room(now) => Instant::ZERO,
            None => return Err(Reason::TooManyCounted),
        };
        let empty = match bucket {
            Bucket::Client(_) => Reason::ClientRate,
            Bucket::Rule(..) => Reason::RuleRate,
            Bucket::Value(..) => Reason::WriteRate,
        };
        let full = limiter.take(full, now).ok_or(empty)?;
        // Several items of one request may ask for the same; it is taken once.
        if self.takes.last().is_none_or(|(last, _)| *last != bucket) {
            self.takes.push((bucket, full));
        }
        Ok(())
    }

    fn has_room(&mut self, now: Instant) -> bool {
        let has = |state: &Self| state.buckets.len() + state.takes.len() < BUCKETS_MAX;
        if has(self) || now < self.none_full_before {
            return has(self);
        }
        self.buckets.retain(|_, full| *full > now);
        self.none_full_before = self.buckets.values().min().copied().unwrap_or_default();
        has(self)
    }

    /// The request passes: takes what it asked for.
    pub(crate) fn take_all(&mut self) {
        for (bucket, full) in self.takes.drain(..) {
            self.buckets.insert(bucket, full);
        }
    }

    /// How many buckets are kept.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// How many values are kept.
    #[must_use]
    pub fn known(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn last(&mut self, probe: usize, unit: UnitId) -> Option<Last> {
        self.uses += 1;
        let forgotten = self.forgotten_at(unit);
        let known = self.known.get_mut(&(probe, unit.0))?;
        known.used = self.uses;
        let (low, high) = known.between?;
        (known.learned >= forgotten).then_some(Last { low, high, since: known.since })
    }

    fn of_unit(&self, unit: UnitId) -> OfUnit {
        self.units.get(usize::from(unit.0)).copied().unwrap_or_default()
    }

    fn forgotten_at(&self, unit: UnitId) -> Generation {
        self.of_unit(unit).forgotten
    }

    /// Forgets all that is known of a unit, of all units when that may be a broadcast, and changes what is said of it.
    fn forget(&mut self, unit: UnitId, change: impl Fn(&mut OfUnit)) {
        self.generation.0 += 1;
        let now = self.generation;
        let all = unit == UnitId::BROADCAST;
        for (at, of) in (0..=u8::MAX).zip(&mut self.units) {
            if all || at == unit.0 {
                of.forgotten = now;
                change(of);
            }
        }
    }

    /// Answers to reads that are on their way teach nothing any more; what is known stays.
    fn all_is_old(&mut self) {
        self.generation.0 += 1;
        let now = self.generation;
        for ((_, unit), known) in &mut self.known {
            let of = self.units.get(usize::from(*unit)).copied().unwrap_or_default();
            if known.learned < of.forgotten {
                known.between = None;
            }
            known.learned = now;
        }
        self.units.iter_mut().for_each(|of| of.forgotten = now);
    }

    /// A request goes on to the device: what it changes is uncertain until it has ended.
    pub(crate) fn goes_out(&mut self, unit: UnitId, request: &Request<'_>) {
        if self.engine.probes.is_empty() {
            return;
        }
        if may_change_anything(request) {
            self.forget(unit, |of| of.pending = of.pending.saturating_add(1));
            return;
        }
        let Some(write) = written(request) else { return };
        self.generation.0 += 1;
        let (generation, engine) = (self.generation, Arc::clone(&self.engine));
        for (at, probe) in engine.probes.touching(write.table, write.first, write.last()) {
            if unit == UnitId::BROADCAST {
                // Every device obeys, on this link or behind a gateway; and over TCP one may bear this number.
                for (_, known) in self.known.range_mut((at, 1)..=(at, u8::MAX)) {
                    known.between = None;
                    known.changed = generation;
                }
            }
            let forgotten = self.forgotten_at(unit);
            let value = probe.written(request).map(Number::from);
            let known = self.entry(at, unit);
            known.between = match (known.between, value) {
                (Some((low, high)), Some(value)) if known.learned >= forgotten => {
                    Some((low.min(value), high.max(value)))
                }
                _ => None,
            };
            known.changed = generation;
            known.pending = known.pending.saturating_add(1);
        }
    }

    /// A request that went on to the device has ended.
    pub fn ended(&mut self, now: Instant, sent: &Sent<'_>, ending: Ending<'_>) {
        if self.engine.probes.is_empty() {
            return;
        }
        let Sent { unit, request, .. } = *sent;
        let unsure_until = if ending.is_unsure() { now + sent.within } else { Instant::ZERO };
        if may_change_anything(request) {
            // Only now it is over.
            self.forget(unit, |of| {
                of.pending = of.pending.saturating_sub(1);
                of.unsure_until = of.unsure_until.max(unsure_until);
            });
            return;
        }
        let response = match ending {
            Ending::Answered(Response::Exception { .. }) | Ending::Unanswered | Ending::Sent => None,
            Ending::Answered(response) => Some(response),
        };
        let engine = Arc::clone(&self.engine);
        if let Some(write) = written(request) {
            self.generation.0 += 1;
            for (at, probe) in engine.probes.touching(write.table, write.first, write.last()) {
                let value = probe.written(request).map(Number::from).filter(|_| response.is_some());
                self.write_ended(now, at, sent, value, unsure_until);
            }
        }
        if let Some(response) = response {
            for demand in demands(request).into_iter().flatten().filter(|demand| !demand.writes) {
                for (at, probe) in engine.probes.touching(demand.table, demand.first, demand.last()) {
                    if let Some(value) = read(probe, demand, response) {
                        // Function 23 writes first.
                        let own = written(request).is_some_and(|write| write.reaches(probe));
                        self.learn_value(now, at, sent, value.into(), own);
                    }
                }
            }
        }
    }

    /// `value` is what it is now; `None` when that is not known.
    fn write_ended(
        &mut self,
        now: Instant,
        at: usize,
        sent: &Sent<'_>,
        value: Option<Number>,
        unsure_until: Instant,
    ) {
        let (settled, sure) = (self.generation, self.is_sure(at, sent));
        if sent.unit == UnitId::BROADCAST {
            for (_, known) in self.known.range_mut((at, 1)..=(at, u8::MAX)) {
                known.between = None;
                known.settled = settled;
            }
        }
        let Some(known) = self.known.get_mut(&(at, sent.unit.0)).filter(|known| known.pending != 0) else {
            // It was forgotten meanwhile that this was under way.
            self.forget(sent.unit, |of| {
                of.pending = of.pending.saturating_sub(1);
                of.unsure_until = of.unsure_until.max(unsure_until);
            });
            return;
        };
        let alone = known.settled <= sent.asked;
        known.settled = settled;
        known.unsure_until = known.unsure_until.max(unsure_until);
        known.pending -= 1;
        // Of two that were under way at once nobody knows which the device did last.
        let last = known.pending == 0 && known.changed == sent.asked;
        if let Some(value) = value.filter(|_| last && alone && sure) {
            known.become_(now, value);
            known.learned = sent.asked;
        }
    }

    /// A response shows a value; `own` when its request wrote that, too.
    fn learn_value(&mut self, now: Instant, at: usize, sent: &Sent<'_>, value: Number, own: bool) {
        let sure = self.is_sure(at, sent);
        let known = self.entry(at, sent.unit);
        if sent.asked < known.settled && !(own && known.learned == sent.asked) {
            return;
        }
        if sure && known.pending == 0 {
            known.become_(now, value);
            known.learned = sent.asked;
        } else if let Some((low, high)) = known.between {
            known.between = Some((low.min(value), high.max(value)));
        }
    }

    /// Whether nothing that was sent before this, and that might be carried out after it, changes the value.
    fn is_sure(&self, at: usize, sent: &Sent<'_>) -> bool {
        let of = self.of_unit(sent.unit);
        let value = |unit: u8| self.known.get(&(at, unit));
        // A broadcast that is on its way is one of unit 0.
        let broadcast = value(UnitId::BROADCAST.0).filter(|_| sent.unit != UnitId::BROADCAST);
        let settled = broadcast.is_none_or(|known| known.pending == 0 && known.settled <= sent.asked);
        let over = |known: Option<&Known>| known.is_none_or(|known| known.unsure_until <= sent.at);
        of.pending == 0
            && of.forgotten <= sent.asked
            && of.unsure_until <= sent.at
            && settled
            && over(broadcast)
            && over(value(sent.unit.0))
    }

    fn entry(&mut self, at: usize, unit: UnitId) -> &mut Known {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&(at, unit.0)) {
            self.evict();
        }
        self.uses += 1;
        let used = self.uses;
        let known = self.known.entry((at, unit.0)).or_insert(Known {
            between: None,
            certain: None,
            since: None,
            learned: Generation::default(),
            changed: Generation::default(),
            settled: Generation::default(),
            pending: 0,
            unsure_until: Instant::ZERO,
            used,
        });
        known.used = used;
        known
    }

    /// Forgets the eighth of the values that has not been used for longest.
    fn evict(&mut self) {
        let mut uses: Vec<u64> = self.known.values().map(|known| known.used).collect();
        uses.sort_unstable();
        let until = uses.get(KNOWN_MAX / 8).copied().unwrap_or(u64::MAX);
        let mut under_way = Vec::new();
        self.known.retain(|(_, unit), known| {
            let stays = known.used >= until;
            if !stays && (known.pending != 0 || known.unsure_until != Instant::ZERO) {
                under_way.push((UnitId(*unit), known.pending, known.unsure_until));
            }
            stays
        });
        // What may change them yet is remembered of their unit.
        for (unit, pending, unsure_until) in under_way {
            self.forget(unit, |of| {
                of.pending = of.pending.saturating_add(pending);
                of.unsure_until = of.unsure_until.max(unsure_until);
            });
        }
        // What was changed since when is forgotten too.
        self.all_is_old();
    }
}

impl Known {
    /// It is this. That is new only to who has seen it be something else: a first sight, or the same after a time in which
    /// it was not known, is no change.
    fn become_(&mut self, now: Instant, value: Number) {
        if self.certain.is_some_and(|certain| certain != value) {
            self.since = Some(now);
        }
        self.certain = Some(value);
        self.between = Some((value, value));
    }
}

/// What a request writes.
fn written(request: &Request<'_>) -> Option<Demand> {
    demands(request).into_iter().flatten().find(|demand| demand.writes)
}

/// Whether a request may change values without saying which: files, and what the specification does not define.
fn may_change_anything(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::WriteFileRecord { .. } | Request::EncapsulatedInterface { .. } | Request::Other { .. }
    )
}

/// The value that a response to a read shows; `None` when it shows a part, or what is none.
fn read(probe: &Writable, demand: Demand, response: &Response<'_>) -> Option<Value> {
    let offset = usize::from(probe.address.checked_sub(demand.first)?);
    if probe.last() > demand.last() {
        return None;
    }
    match response {
        Response::ReadCoils { bits } | Response::ReadDiscreteInputs { bits } => {
            bits.get(offset).map(Value::Bool)
        }
        Response::ReadHoldingRegisters { registers }
        | Response::ReadInputRegisters { registers }
        | Response::ReadWriteMultipleRegisters { registers } => {
            let mut room = [0_u16; 4];
            let width = usize::from(probe.width());
            for (at, register) in room.iter_mut().take(width).enumerate() {
                *register = registers.get(offset + at)?;
            }
            probe.value_type.decode(probe.order, room.get(..width)?).ok()
        }
        _ => None,
    }
}
