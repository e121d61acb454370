//! Ways round a tag's limits: rules that list functions and places, and so let registers be written that a tag's own
//! `min`, `max`, `values`, `max_step`, `rate` and `after` are about. Those hold for what `do = "derived"` allows, and for
//! nothing else.
//!
//! What is told is so: a write that these rules let pass, and the tag does not. A rule with `values` that lie within the
//! tag's says nothing of its limits, and neither does one whose writes a denial keeps back.

use std::ops::RangeInclusive;

use port502_inspect::Network;
use port502_inspect::policy::{Clients, Conduit, Effect, Envelope, Functions, Mode, Places, Rule, Writable};
use port502_wire::value::{Value, ValueType};
use port502_wire::{FunctionCode, Table};

use super::Compiled;
use super::policy::writable;
use crate::site::{Site, TagId, Write, WriteLimits};

/// A rule, and the tags whose limits it goes round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Around {
    /// The conduit, by its place in the site.
    pub conduit: usize,
    /// The rule, by its place among those of the conduit.
    pub rule: usize,
    /// What reports call it.
    pub name: String,
    /// The functions of those that it allows.
    pub functions: Vec<FunctionCode>,
    /// The tags, each with the keys of `write` that do not hold.
    pub tags: Vec<(TagId, Vec<&'static str>)>,
}

/// Every rule that goes round a tag's limits.
#[must_use]
pub fn around(site: &Site, compiled: &Compiled) -> Vec<Around> {
    let mut all = Vec::new();
    for (at, (conduit, of)) in compiled.policy.conduits.iter().zip(site.conduits()).enumerate() {
        for (number, rule) in conduit.rules.iter().enumerate() {
            if rule.effect == Effect::Deny || matches!(rule.places, Places::Values(_)) || !writes(rule) {
                continue;
            }
            let (mut functions, mut tags) = (Vec::new(), Vec::new());
            let there = |unit: u8| has_unit(rule, unit);
            for device in of.devices.iter().filter(|device| there(site.device(**device).unit.0)) {
                for (id, tag) in site.tags_of(*device) {
                    let Some(write) = tag.write() else { continue };
                    let Some(value) = writable(site, id) else { continue };
                    let unit = site.device(*device).unit.0;
                    let mut keys: Vec<&'static str> = Vec::new();
                    for function in writing(value.table) {
                        let way = Way { conduit, rule, number, unit, function: *function };
                        let broken = way.breaks(write, &value);
                        if !broken.is_empty() {
                            functions.push(*function);
                        }
                        keys.extend(broken);
                    }
                    if !keys.is_empty() {
                        tags.push((id, KEYS.into_iter().filter(|key| keys.contains(key)).collect()));
                    }
                }
            }
            functions.sort_unstable();
            functions.dedup();
            if !tags.is_empty() {
                all.push(Around { conduit: at, rule: number, name: rule.name.clone(), functions, tags });
            }
        }
    }
    all
}

/// In the order in which they are told.
const KEYS: [&str; 6] = ["min", "max", "values", "max_step", "rate", "after"];

/// The functions that write values of a table.
const fn writing(table: Table) -> &'static [FunctionCode] {
    match table {
        Table::Coils => &[FunctionCode::WRITE_SINGLE_COIL, FunctionCode::WRITE_MULTIPLE_COILS],
        Table::HoldingRegisters => &[
            FunctionCode::WRITE_SINGLE_REGISTER,
            FunctionCode::WRITE_MULTIPLE_REGISTERS,
            FunctionCode::MASK_WRITE_REGISTER,
            FunctionCode::READ_WRITE_MULTIPLE_REGISTERS,
        ],
        Table::DiscreteInputs | Table::InputRegisters => &[],
    }
}

fn writes(rule: &Rule) -> bool {
    Table::ALL.iter().flat_map(|table| writing(*table)).any(|function| has_function(rule, *function))
}

fn has_function(rule: &Rule, function: FunctionCode) -> bool {
    match &rule.functions {
        Functions::Any => true,
        Functions::Of(all) => all.iter().any(|one| one.function == function),
    }
}

fn has_unit(rule: &Rule, unit: u8) -> bool {
    rule.units.iter().any(|(first, last)| (*first..=*last).contains(&unit))
}

fn has_place(rule: &Rule, table: Table, address: u16) -> bool {
    match &rule.places {
        Places::Any => true,
        Places::Of(places) => {
            places.iter().any(|place| place.table == table && (place.first..=place.last).contains(&address))
        }
        // What these deny hangs on the value, and so does what they spare.
        Places::Values(_) => false,
    }
}

/// One function of a rule, asked of one unit.
struct Way<'c> {
    conduit: &'c Conduit,
    rule: &'c Rule,
    number: usize,
    unit: u8,
    function: FunctionCode,
}

impl Way<'_> {
    /// Which of a tag's limits a write on this way need not keep to.
    fn breaks(&self, write: &Write, value: &Writable) -> Vec<&'static str> {
        let masks = self.function == FunctionCode::MASK_WRITE_REGISTER;
        // What a mask write makes of a register is not known, and so it fits no rule with limits.
        if !has_function(self.rule, self.function) || (masks && self.rule.values.is_some()) {
            return Vec::new();
        }
        let addresses = value.address..=value.last();
        let open: Vec<u16> = addresses
            .filter(|address| has_place(self.rule, value.table, *address))
            .filter(|address| self.open(value.table, *address).next().is_some())
            .collect();
        let Some(first) = open.first() else { return Vec::new() };
        let limited = match write.limits {
            WriteLimits::Any => [None, None],
            WriteLimits::Between { .. } => [Some("min"), Some("max")],
            WriteLimits::OneOf(_) => [Some("values"), None],
        };
        let outside = match value.value_type {
            _ if masks => !holds_all(value),
            of if of.registers() == 1 => self.open(value.table, *first).any(|raw| !allowed(value, raw)),
            _ => !holds_all(value),
        };
        let step = write.max_step.map(|_| "max_step");
        // A rule that counts requests has a rate of its own.
        let rate = write.rate.filter(|_| self.rule.requests.is_none()).map(|_| "rate");
        let after = write.after.map(|_| "after");
        let limits = limited.into_iter().flatten().filter(|_| outside);
        limits.chain([step, rate, after].into_iter().flatten()).collect()
    }

    /// What may be written to one address: by the rule, and by those that deny.
    fn open(&self, table: Table, address: u16) -> impl Iterator<Item = u16> {
        let most = if table == Table::Coils { 1 } else { u16::MAX };
        let (low, high) = self.rule.values.unwrap_or((0, most));
        let mut denied: Vec<RangeInclusive<u16>> = Vec::new();
        for rule in self.conduit.rules.iter().take(self.number) {
            // One that holds at some hours only leaves the others, and one in alert keeps nothing back.
            let always = rule.during.is_empty() && rule.mode != Some(Mode::Alert);
            if rule.effect == Effect::Deny
                && always
                && has_unit(rule, self.unit)
                && has_function(rule, self.function)
                && has_place(rule, table, address)
                && covers(&rule.clients, &self.rule.clients)
            {
                let masks = self.function == FunctionCode::MASK_WRITE_REGISTER;
                let (low, high) = rule.values.filter(|_| !masks).unwrap_or((0, u16::MAX));
                denied.push(low..=high);
            }
        }
        (low..=high.min(most)).filter(move |raw| !denied.iter().any(|range| range.contains(raw)))
    }
}

/// Whether a value of one register, or a coil, is one that the tag may become.
fn allowed(value: &Writable, raw: u16) -> bool {
    match value.table {
        Table::Coils => value.limits.contains(Value::Bool(raw != 0)),
        _ => value.value_type.decode(value.order, &[raw]).is_ok_and(|one| value.limits.contains(one)),
    }
}

/// Whether the tag may become whatever its type holds.
fn holds_all(value: &Writable) -> bool {
    let (min, max) = match value.value_type {
        ValueType::U16 => (0, i128::from(u16::MAX)),
        ValueType::I16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        ValueType::U32 => (0, i128::from(u32::MAX)),
        ValueType::I32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        ValueType::U64 => (0, i128::from(u64::MAX)),
        ValueType::I64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        // Registers that hold no number of these types are written as well.
        ValueType::Bcd16 | ValueType::Bcd32 | ValueType::F32 | ValueType::F64 => return false,
        ValueType::Bool | ValueType::Text(_) | ValueType::Bit(_) => return value.limits == Envelope::Any,
    };
    match value.limits {
        Envelope::Any => true,
        Envelope::Integers { min: low, max: high } => low <= min && max <= high,
        Envelope::Floats { .. } | Envelope::OneOf(_) => false,
    }
}

/// Whether whoever the one names is named by the other, as far as can be told from how they are written.
fn covers(all: &Clients, some: &Clients) -> bool {
    let within = |all: &[String], some: &[String]| {
        all.is_empty() || (!some.is_empty() && some.iter().all(|one| all.contains(one)))
    };
    let inside = |network: &Network| {
        all.networks.iter().any(|all| all.prefix() <= network.prefix() && all.contains(network.address()))
    };
    let networks = all.networks.is_empty() || (!some.networks.is_empty() && some.networks.iter().all(inside));
    networks && within(&all.subjects, &some.subjects) && within(&all.roles, &some.roles)
}
