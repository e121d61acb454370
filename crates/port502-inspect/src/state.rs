//! What judging has to remember: how often, and which values the device holds.
//!
//! One [`State`] is shared by all connections of a conduit. All of it is bounded: rates are kept for [`BUCKETS_MAX`]
//! clients, rules and values, last known values for [`KNOWN_MAX`]; reaching either never lets more through.
//!
//! Values are learned from responses to reads and from writes that the device has confirmed. Between a write and its
//! answer a value is an interval, of all that it may be; a read that was asked before a write went out teaches nothing of
//! what that write changes.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use port502_session::Instant;
use port502_wire::value::Value;
use port502_wire::{Request, Response, Table, UnitId};

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
    /// When all that was known of a unit was forgotten.
    forgotten: Vec<Generation>,
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
    /// One value of one unit, whoever writes it.
    Tag(usize, u8),
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

/// What is known of one value of one unit.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// All that it may be, both ends included; `None` when that cannot be told.
    between: Option<(Number, Number)>,
    /// Since when it is what it is, as far as was seen.
    since: Instant,
    /// When that was learned.
    learned: Generation,
    /// The last write that went out.
    changed: Generation,
    /// Writes that are not answered.
    pending: u32,
    used: u64,
}

/// A value that is known.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Last {
    pub(crate) low: Number,
    pub(crate) high: Number,
    pub(crate) since: Instant,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Ending<'r> {
    /// With a response that fits it; an exception too.
    Answered(&'r Response<'r>),
    /// Without, as far as is known: the device may have carried it out.
    Unanswered,
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
            forgotten: alloc::vec![Generation::default(); 256],
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
        let places = |engine: &Engine| -> Vec<(Table, u16)> {
            engine.tags.iter().map(|tag| (tag.writable.table, tag.writable.address)).collect()
        };
        let old_places = places(&old);
        let new_places: BTreeMap<(Table, u16), usize> =
            places(&self.engine).into_iter().enumerate().map(|(at, place)| (place, at)).collect();
        self.buckets = core::mem::take(&mut self.buckets)
            .into_iter()
            .filter_map(|(bucket, full)| {
                let bucket = match bucket {
                    Bucket::Client(_) => bucket,
                    Bucket::Rule(rule, client) => Bucket::Rule(*names.get(old.rule(rule)?)?, client),
                    Bucket::Tag(tag, unit) => Bucket::Tag(*new_places.get(old_places.get(tag)?)?, unit),
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
        self.all_is_old();
    }

    /// Forgets what all values are: another device stands there now.
    pub fn forget_values(&mut self) {
        self.forget(UnitId::BROADCAST);
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

    /// Whether what responses say matters to any rule.
    pub(crate) fn remembers_values(&self) -> bool {
        !self.engine.probes.is_empty()
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
            Bucket::Tag(..) => Reason::WriteRate,
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

    fn forgotten_at(&self, unit: UnitId) -> Generation {
        self.forgotten.get(usize::from(unit.0)).copied().unwrap_or_default()
    }

    fn forget(&mut self, unit: UnitId) {
        self.generation.0 += 1;
        let now = self.generation;
        if unit == UnitId::BROADCAST {
            self.forgotten.fill(now);
        } else if let Some(forgotten) = self.forgotten.get_mut(usize::from(unit.0)) {
            *forgotten = now;
        }
    }

    /// Answers to reads that are on their way teach nothing any more; what is known stays.
    fn all_is_old(&mut self) {
        self.generation.0 += 1;
        let now = self.generation;
        for ((_, unit), known) in &mut self.known {
            let forgotten = self.forgotten.get(usize::from(*unit)).copied().unwrap_or_default();
            if known.learned < forgotten {
                known.between = None;
            }
            known.learned = now;
        }
        self.forgotten.fill(now);
    }

    /// A request goes on to the device: what it changes is uncertain until it has ended.
    pub(crate) fn goes_out(&mut self, unit: UnitId, request: &Request<'_>) {
        if self.engine.probes.is_empty() {
            return;
        }
        if may_change_anything(request) {
            self.forget(unit);
            return;
        }
        let Some(write) = written(request) else { return };
        self.generation.0 += 1;
        let (generation, engine) = (self.generation, Arc::clone(&self.engine));
        for (at, probe) in engine.probes.touching(write.table, write.first, write.last()) {
            if unit == UnitId::BROADCAST {
                // Every device obeys, and none answers.
                for (_, known) in self.known.range_mut((at, 0)..=(at, u8::MAX)) {
                    known.between = None;
                    known.changed = generation;
                }
                continue;
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

    /// A request that went on to the device has ended. `asked` is what [`generation`](Self::generation) was when it
    /// went.
    pub fn ended(
        &mut self,
        now: Instant,
        unit: UnitId,
        request: &Request<'_>,
        asked: Generation,
        ending: Ending<'_>,
    ) {
        if self.engine.probes.is_empty() {
            return;
        }
        if may_change_anything(request) {
            // Only now it is over.
            self.forget(unit);
            return;
        }
        let response = match ending {
            Ending::Answered(Response::Exception { .. }) | Ending::Unanswered => None,
            Ending::Answered(response) => Some(response),
        };
        let engine = Arc::clone(&self.engine);
        if let (Some(write), true) = (written(request), unit != UnitId::BROADCAST) {
            for (at, probe) in engine.probes.touching(write.table, write.first, write.last()) {
                let value = probe.written(request).map(Number::from);
                self.write_ended(now, (at, unit), asked, value, response.is_some());
            }
        }
        if let Some(response) = response {
            for demand in demands(request).into_iter().flatten().filter(|demand| !demand.writes) {
                for (at, probe) in engine.probes.touching(demand.table, demand.first, demand.last()) {
                    if let Some(value) = read(probe, demand, response) {
                        self.learn_value(now, (at, unit), asked, value.into());
                    }
                }
            }
        }
    }

    fn write_ended(
        &mut self,
        now: Instant,
        (at, unit): (usize, UnitId),
        asked: Generation,
        value: Option<Number>,
        done: bool,
    ) {
        let forgotten = self.forgotten_at(unit);
        let Some(known) = self.known.get_mut(&(at, unit.0)) else { return };
        if known.pending == 0 {
            // It was forgotten meanwhile that this was under way.
            known.between = None;
            return;
        }
        known.pending -= 1;
        if known.pending == 0 && done && known.changed == asked && asked >= forgotten {
            known.become_(now, value);
            known.learned = asked;
        }
    }

    fn learn_value(&mut self, now: Instant, (at, unit): (usize, UnitId), asked: Generation, value: Number) {
        if asked < self.forgotten_at(unit) {
            return;
        }
        let known = self.entry(at, unit);
        if known.pending == 0 && known.changed <= asked {
            known.become_(now, Some(value));
            known.learned = asked;
        }
    }

    fn entry(&mut self, at: usize, unit: UnitId) -> &mut Known {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&(at, unit.0)) {
            self.evict();
        }
        self.uses += 1;
        let used = self.uses;
        let known = self.known.entry((at, unit.0)).or_insert(Known {
            between: None,
            since: Instant::ZERO,
            learned: Generation::default(),
            changed: Generation::default(),
            pending: 0,
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
        self.known.retain(|_, known| known.used >= until);
        // What was changed since when is forgotten too.
        self.all_is_old();
    }
}

impl Known {
    fn become_(&mut self, now: Instant, value: Option<Number>) {
        let between = value.map(|value| (value, value));
        if self.between != between {
            self.since = now;
        }
        self.between = between;
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
