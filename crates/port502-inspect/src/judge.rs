//! One request against the rules: which decides, and what it takes.

use alloc::sync::Arc;
use core::net::IpAddr;

use port502_session::Instant;
use port502_wire::value::{Value, ValueType};
use port502_wire::{Request, Table, UnitId};

use crate::engine::{Compiled, Engine, Sequel, Step, Tag};
use crate::grants::{Candidate, Grants};
use crate::hours::WeekMinute;
use crate::policy::{Effect, Mode, Refusal, Writable};
use crate::state::{Bucket, Number, State};
use crate::verdict::{Objection, Reason, Verdict};

/// A moment as judging needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// For rates and sequences.
    pub at: Instant,
    /// For hours, in the site's time zone.
    pub week: WeekMinute,
}

/// Items of one table that follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Demand {
    pub(crate) table: Table,
    pub(crate) first: u16,
    /// At least 1.
    count: u16,
    pub(crate) writes: bool,
}

impl Demand {
    pub(crate) const fn last(self) -> u16 {
        self.first.saturating_add(self.count - 1)
    }

    /// Whether it has an item of this value.
    pub(crate) fn reaches(self, value: &Writable) -> bool {
        self.table == value.table && self.first <= value.last() && value.address <= self.last()
    }
}

/// What a request reads and writes, in the order in which it is judged.
#[inline]
pub(crate) fn demands(request: &Request<'_>) -> [Option<Demand>; 2] {
    let one = |table, first, count, writes| [Some(Demand { table, first, count, writes }), None];
    match request {
        Request::ReadCoils { span } => one(Table::Coils, span.start(), span.count(), false),
        Request::ReadDiscreteInputs { span } => one(Table::DiscreteInputs, span.start(), span.count(), false),
        Request::ReadHoldingRegisters { span } => {
            one(Table::HoldingRegisters, span.start(), span.count(), false)
        }
        Request::ReadInputRegisters { span } => one(Table::InputRegisters, span.start(), span.count(), false),
        Request::ReadFifoQueue { address } => one(Table::HoldingRegisters, *address, 1, false),
        Request::WriteSingleCoil { address, .. } => one(Table::Coils, *address, 1, true),
        Request::WriteSingleRegister { address, .. } | Request::MaskWriteRegister { address, .. } => {
            one(Table::HoldingRegisters, *address, 1, true)
        }
        Request::WriteMultipleCoils { block } => {
            one(Table::Coils, block.span().start(), block.span().count(), true)
        }
        Request::WriteMultipleRegisters { block } => {
            one(Table::HoldingRegisters, block.span().start(), block.span().count(), true)
        }
        Request::ReadWriteMultipleRegisters { read, write } => {
            let [read, _] = one(Table::HoldingRegisters, read.start(), read.count(), false);
            let [write, _] = one(Table::HoldingRegisters, write.span().start(), write.span().count(), true);
            [read, write]
        }
        Request::ReadExceptionStatus
        | Request::Diagnostics { .. }
        | Request::GetCommEventCounter
        | Request::GetCommEventLog
        | Request::ReportServerId
        | Request::ReadFileRecord { .. }
        | Request::WriteFileRecord { .. }
        | Request::ReadDeviceIdentification { .. }
        | Request::EncapsulatedInterface { .. }
        | Request::Other { .. } => [None, None],
    }
}

/// A request while it is judged.
struct Asked<'r> {
    now: Moment,
    client: IpAddr,
    unit: UnitId,
    request: &'r Request<'r>,
}

/// How an item, or a request without items, fares.
enum Outcome {
    Allowed {
        rule: usize,
        /// What a rule in alert that denies has against it.
        despite: Option<Objection>,
    },
    Against {
        objection: Objection,
        mode: Mode,
        how: Refusal,
    },
}

impl Outcome {
    fn against(objection: Objection, rule: &Compiled) -> Self {
        Outcome::Against { objection, mode: rule.mode, how: rule.refusal }
    }
}

impl State {
    /// What becomes of a request of a client. When it passes, what it takes from rates is taken, and what it writes is
    /// uncertain until [`ended`](Self::ended).
    ///
    /// An objection of a rule or conduit whose mode is `alert` lets pass what nothing else refuses: the rest of the
    /// request is judged all the same.
    pub fn judge(
        &mut self,
        grants: &Grants,
        now: Moment,
        client: IpAddr,
        unit: UnitId,
        request: &Request<'_>,
    ) -> Verdict {
        self.takes.clear();
        let asked = Asked { now, client: client.to_canonical(), unit, request };
        let verdict = self.weigh(grants, &asked);
        if verdict.passes() {
            self.take_all();
            self.goes_out(unit, request);
        }
        verdict
    }

    /// Whether reads may be judged by [`Grants::plain_reads`]: these are the grants of the rules that hold, and nothing
    /// counts requests.
    pub(crate) fn reads_plainly(&self, grants: &Grants) -> bool {
        Arc::ptr_eq(&grants.engine, &self.engine) && self.engine.client_rate.is_none()
    }

    fn weigh(&mut self, grants: &Grants, asked: &Asked<'_>) -> Verdict {
        let engine = &grants.engine;
        if !Arc::ptr_eq(engine, &self.engine) {
            // Indices of one engine mean nothing to another.
            let objection = Objection::of(Reason::Outdated);
            return Verdict::Refuse { objection, how: engine.refusal };
        }
        let (mut first, mut alert) = (None, None);
        let mut weigh = |outcome| match outcome {
            Outcome::Allowed { rule, despite } => {
                first = first.or(Some(rule));
                alert = alert.or(despite);
                None
            }
            Outcome::Against { objection, mode: Mode::Alert, .. } => {
                alert = alert.or(Some(objection));
                None
            }
            Outcome::Against { objection, mode: Mode::Enforce, how } => {
                Some(Verdict::Refuse { objection, how })
            }
        };
        let demands = demands(asked.request);
        match grants.find_for(asked.unit, asked.request) {
            None => {
                let reason = grants.lacking(asked.unit, asked.request);
                let item = demands.first().copied().flatten().map(|demand| (demand.table, demand.first));
                let objection = Objection { item, ..Objection::of(reason) };
                let against = Outcome::Against { objection, mode: engine.mode, how: engine.refusal };
                if let Some(verdict) = weigh(against) {
                    return verdict;
                }
            }
            Some(found) if demands.first().copied().flatten().is_none() => {
                if let Some(verdict) = weigh(self.item(grants, asked, None, found.bare())) {
                    return verdict;
                }
            }
            Some(found) => {
                for demand in demands.into_iter().flatten() {
                    for (first, last, candidates) in found.run(demand.table, demand.first, demand.last()) {
                        // What is the same for one item of a piece is for all, unless each has limits of its own.
                        let last = if demand.writes && one_by_one(engine, candidates) { last } else { first };
                        for address in first..=last {
                            let item = Some((demand, address));
                            if let Some(verdict) = weigh(self.item(grants, asked, item, candidates)) {
                                return verdict;
                            }
                        }
                    }
                }
            }
        }
        if let Some(limiter) = engine.client_rate
            && let Err(reason) = self.try_take(Bucket::Client(asked.client), limiter, asked.now.at)
        {
            let objection = Objection::of(reason);
            let against = Outcome::Against { objection, mode: engine.mode, how: engine.refusal };
            if let Some(verdict) = weigh(against) {
                return verdict;
            }
        }
        match (alert, first) {
            (Some(objection), _) => Verdict::Alert { objection },
            (None, Some(rule)) => Verdict::Pass { rule },
            // Every way to here has said something.
            (None, None) => {
                Verdict::Refuse { objection: Objection::of(Reason::Outdated), how: engine.refusal }
            }
        }
    }

    /// The first rule that fits one item decides, but for one that denies in alert: what it has against the item is told
    /// when the item passes, and whether it does the others say.
    #[inline]
    fn item(
        &mut self,
        grants: &Grants,
        asked: &Asked<'_>,
        item: Option<(Demand, u16)>,
        candidates: &[Candidate],
    ) -> Outcome {
        let engine = &grants.engine;
        let place = item.map(|(demand, address)| (demand.table, address));
        let written = item.filter(|(demand, _)| demand.writes);
        // The first rule that came near, of those that are enforced before those in alert: one in alert is no way
        // round another.
        let mut near: Option<(Objection, &Compiled)> = None;
        let mut despite = None;
        for candidate in candidates {
            let number = candidate.rule();
            let Some(rule) = engine.rules.get(number) else { continue };
            let here = |reason| Objection { reason, rule: Some(number), tag: candidate.tag(), item: place };
            match self.fits(engine, asked, written, *candidate, rule) {
                Fit::Yes if rule.only_tells() => despite = despite.or(Some(here(Reason::Denied))),
                Fit::Yes => {
                    return match self.decide(asked, number, rule) {
                        Ok(()) => Outcome::Allowed { rule: number, despite },
                        Err(reason) => Outcome::against(here(reason), rule),
                    };
                }
                Fit::No => {}
                Fit::Nearly(reason) => {
                    let enforced_first = |(_, first): &(Objection, &Compiled)| {
                        first.mode == Mode::Alert && rule.mode == Mode::Enforce
                    };
                    if near.as_ref().is_none_or(enforced_first) {
                        near = Some((here(reason), rule));
                    }
                }
            }
        }
        match near {
            Some((objection, rule)) => match Outcome::against(objection, rule) {
                // Nothing is refused, and who reads of it wants the first rule's name.
                Outcome::Against { objection, mode: Mode::Alert, how } => {
                    Outcome::Against { objection: despite.unwrap_or(objection), mode: Mode::Alert, how }
                }
                against => against,
            },
            None => {
                let reason = grants.lacking(asked.unit, asked.request);
                let objection = Objection { item: place, ..Objection::of(reason) };
                let told = despite.filter(|_| engine.mode == Mode::Alert);
                let objection = told.unwrap_or(objection);
                Outcome::Against { objection, mode: engine.mode, how: engine.refusal }
            }
        }
    }

    /// What a rule that fits says.
    fn decide(&mut self, asked: &Asked<'_>, number: usize, rule: &Compiled) -> Result<(), Reason> {
        match (rule.effect, rule.requests) {
            (Effect::Deny, _) => Err(Reason::Denied),
            (Effect::Allow, None) => Ok(()),
            (Effect::Allow, Some(limiter)) => {
                self.try_take(Bucket::Rule(number, asked.client), limiter, asked.now.at)
            }
        }
    }

    /// Whether a rule, of which client, unit, function and place are right, fits.
    #[inline]
    fn fits(
        &mut self,
        engine: &Engine,
        asked: &Asked<'_>,
        written: Option<(Demand, u16)>,
        candidate: Candidate,
        rule: &Compiled,
    ) -> Fit {
        if candidate.tag().is_some() && written.is_none() {
            return Fit::No;
        }
        let closed =
            |hours: usize| !engine.hours.get(hours).is_some_and(|hours| hours.contain(asked.now.week));
        if rule.hours.is_some_and(closed) {
            return rule.nearly(Reason::Hours);
        }
        if let (Some(limits), Some((demand, address))) = (rule.values, written) {
            match (within(limits, demand, address, asked.request), rule.effect) {
                (Ok(()), _) | (Err(Reason::Unknowable), Effect::Deny) => {}
                (Err(_), Effect::Deny) => return Fit::No,
                (Err(reason), Effect::Allow) => return Fit::Nearly(reason),
            }
        }
        let Some(number) = candidate.tag() else { return Fit::Yes };
        let Some(tag) = engine.tags.get(number) else { return Fit::No };
        let value = tag.writable.written(asked.request);
        if rule.effect == Effect::Deny {
            // What cannot be known may be what is denied.
            let spared = value.is_some_and(|value| !tag.writable.limits.contains(value));
            return if spared { Fit::No } else { Fit::Yes };
        }
        match self.value(asked, tag, value) {
            Ok(()) => Fit::Yes,
            Err(reason) => Fit::Nearly(reason),
        }
    }

    /// Whether a value may be written.
    fn value(&mut self, asked: &Asked<'_>, tag: &Tag, value: Option<Value>) -> Result<(), Reason> {
        let value = value.ok_or(Reason::Unknowable)?;
        if !tag.writable.limits.contains(value) {
            return Err(Reason::Limits { value });
        }
        if let Some(step) = tag.step {
            self.step(step, asked.unit, tag.writable.value_type, value)?;
        }
        if let Some(after) = tag.after {
            self.sequel(after, asked)?;
        }
        match tag.rate {
            Some((limiter, value)) => {
                self.try_take(Bucket::Value(value, asked.unit.0), limiter, asked.now.at)
            }
            None => Ok(()),
        }
    }

    fn step(&mut self, step: Step, unit: UnitId, value_type: ValueType, value: Value) -> Result<(), Reason> {
        let last = self.last(step.probe, unit).ok_or(Reason::StepUnknown { value })?;
        let new = Number::from(value);
        let far = [new.distance(last.low), new.distance(last.high)];
        // A text has no distance; infinity and NaN are far from everything.
        let near = !matches!(value_type, ValueType::Text(_))
            && far.iter().all(|far| far.is_finite() && *far <= step.max + rounding(new));
        if near { Ok(()) } else { Err(Reason::Step { value }) }
    }

    fn sequel(&mut self, after: Sequel, asked: &Asked<'_>) -> Result<(), Reason> {
        let unit = after.unit.ok_or(Reason::SequenceUnknown)?;
        let last = self.last(after.probe, unit).ok_or(Reason::SequenceUnknown)?;
        if last.low != last.high {
            return Err(Reason::SequenceUnknown);
        }
        let holds = |number| match number {
            Number::Integer(is) => is == after.is,
            Number::Float(is) => is == after.is as f64,
        };
        if !holds(last.low) {
            return Err(Reason::Sequence);
        }
        // The request may change the other, too, in one go: then it is not so any more.
        let everywhere = asked.unit == UnitId::BROADCAST;
        if let Some(other) = self.engine.probes.get(after.probe).filter(|_| everywhere || asked.unit == unit)
            && demands(asked.request)
                .into_iter()
                .flatten()
                .any(|demand| demand.writes && demand.reaches(other))
        {
            let becomes = other.written(asked.request).ok_or(Reason::SequenceUnknown)?;
            if !holds(Number::from(becomes)) {
                return Err(Reason::Sequence);
            }
        }
        let Some(within) = after.within else { return Ok(()) };
        // It was so when it was first seen, and may have been for ever.
        let ago = asked.now.at.since(last.since.ok_or(Reason::SequenceUnknown)?);
        if ago > within { Err(Reason::SequenceLate { ago }) } else { Ok(()) }
    }
}

/// Whether rules have limits for each register by itself.
fn one_by_one(engine: &Engine, candidates: &[Candidate]) -> bool {
    let own =
        |candidate: &Candidate| engine.rules.get(candidate.rule()).is_some_and(|rule| rule.values.is_some());
    candidates.iter().any(own)
}

/// Compares what one register, or coil, becomes with limits.
fn within(
    (low, high): (u16, u16),
    demand: Demand,
    address: u16,
    request: &Request<'_>,
) -> Result<(), Reason> {
    let at = usize::from(address.saturating_sub(demand.first));
    let value = match request {
        Request::WriteSingleCoil { value, .. } => Some(u16::from(*value)),
        Request::WriteSingleRegister { value, .. } => Some(*value),
        Request::WriteMultipleCoils { block } => block.values().get(at).map(u16::from),
        Request::WriteMultipleRegisters { block } => block.values().get(at),
        Request::ReadWriteMultipleRegisters { write, .. } => write.values().get(at),
        _ => None,
    };
    let value = value.ok_or(Reason::Unknowable)?;
    let limits = Reason::Limits { value: Value::Unsigned(value.into()) };
    if (low..=high).contains(&value) { Ok(()) } else { Err(limits) }
}

/// What two floats of a device may differ by though they were meant to be a step apart: they are binary32 at worst, and
/// 20.2 and 20.3 are 0.09999847 apart there.
fn rounding(value: Number) -> f64 {
    match value {
        Number::Integer(_) => 0.0,
        Number::Float(float) => float.abs() * f64::from(f32::EPSILON),
    }
}

/// Whether a rule fits.
enum Fit {
    Yes,
    No,
    /// But for this.
    Nearly(Reason),
}

impl Compiled {
    /// Whether it denies in alert: it lets nothing pass, and keeps nothing back.
    pub(crate) fn only_tells(&self) -> bool {
        self.effect == Effect::Deny && self.mode == Mode::Alert
    }

    /// Only who is allowed something can come near it.
    fn nearly(&self, reason: Reason) -> Fit {
        match self.effect {
            Effect::Allow => Fit::Nearly(reason),
            Effect::Deny => Fit::No,
        }
    }
}
