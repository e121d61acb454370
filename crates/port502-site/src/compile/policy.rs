//! The policy: what each conduit lets through.
//!
//! `do = "derived"` becomes what the tags behind the conduit need, and no more:
//!
//! - reading: the functions and addresses of the poll plan, and where writes are read back. Addresses that the plan
//!   reads though no tag needs them are among them, because the poller asks for them;
//! - writing: each writable tag, whole, within its limits, by clients that have one of its roles. Tags with the same
//!   roles are one rule.
//!
//! Where a rule and a tag both name roles, a client needs one that both name. Denials come first, whatever the order of
//! the file.

use port502_inspect::Network;
use port502_inspect::policy::{
    After, Clients, Conduit, Effect, Envelope, Functions, Limits, Mode, Operation, Places, Policy, Range,
    Refusal, Rule, Writable, Zone,
};
use port502_wire::value::{Order, ValueType};
use port502_wire::{FunctionCode, Table};

use super::merged;
use super::poll::{PollPlan, read_function};
use crate::Point;
use crate::site::{self, DeviceId, Grant, RoleId, Site, Tag, TagId, Write, WriteLimits};

/// What every conduit of a site lets through.
#[must_use]
pub fn policy(site: &Site, plan: &PollPlan) -> Policy {
    let zones = site.zones().iter().map(|zone| Zone {
        name: zone.name.clone(),
        networks: zone.networks.clone(),
        roles: names(site, &zone.roles),
    });
    let reads = Reads::new(site, plan);
    let conduits = site.conduits().iter().map(|conduit| compile(site, &reads, conduit));
    Policy { zones: zones.collect(), conduits: conduits.collect() }
}

/// One conduit in front of all devices, through which clients of `networks` may do what the tags need, in every role, and
/// nobody else anything: for a plant whose devices are simulated in one place. A unit id that two devices have is both's.
#[must_use]
pub fn whole(site: &Site, plan: &PollPlan, name: &str, networks: &[Network]) -> Policy {
    let Some((lane, _)) = site.lane_ids().next() else { return Policy::default() };
    let conduit = site::Conduit {
        name: name.to_owned(),
        listen: Vec::new(),
        devices: site.device_ids().map(|(id, _)| id).collect(),
        // No rule looks at it.
        lane,
        allow: vec![site::Rule { networks: networks.to_vec(), ..site::Rule::derived() }],
        deny: Vec::new(),
        mode: Mode::default(),
        refusal: Refusal::default(),
        share: false,
        limits: Limits::default(),
        tls: None,
        description: None,
    };
    let zone = Zone {
        name: name.to_owned(),
        networks: networks.to_vec(),
        roles: site.roles().iter().map(|role| role.name.clone()).collect(),
    };
    Policy { zones: vec![zone], conduits: vec![compile(site, &Reads::new(site, plan), &conduit)] }
}

fn names(site: &Site, roles: &[RoleId]) -> Vec<String> {
    roles.iter().map(|role| site.role(*role).name.clone()).collect()
}

/// What is read of each device.
pub(crate) struct Reads {
    by_device: Vec<Vec<Range>>,
}

impl Reads {
    pub(crate) fn new(site: &Site, plan: &PollPlan) -> Self {
        let mut by_device: Vec<Vec<Range>> = vec![Vec::new(); site.devices().len()];
        for request in plan.requests() {
            let range = Range { table: request.table, first: request.start, last: request.last() };
            if let Some(of) = by_device.get_mut(request.device.index()) {
                of.push(range);
            }
        }
        for tag in site.tags() {
            if let Some(readback) = tag.write().and_then(|write| write.readback)
                && let Some(of) = by_device.get_mut(tag.device.index())
            {
                of.push(place(&readback));
            }
        }
        Reads { by_device: by_device.into_iter().map(merged).collect() }
    }

    /// Sorted, apart from each other.
    pub(super) fn of(&self, device: DeviceId) -> &[Range] {
        self.by_device.get(device.index()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The addresses of a point.
pub(super) fn place(point: &Point) -> Range {
    Range { table: point.table(), first: point.address(), last: point.last() }
}

pub(crate) fn compile(site: &Site, reads: &Reads, conduit: &site::Conduit) -> Conduit {
    let mut rules = Vec::new();
    for (effect, list) in [(Effect::Deny, &conduit.deny), (Effect::Allow, &conduit.allow)] {
        for rule in list {
            match &rule.grant {
                Grant::Derived => derived(site, reads, conduit, rule, &mut rules),
                Grant::Listed { functions, places, values } => {
                    let name = rule.name.clone().unwrap_or_else(|| listed_name(effect, rules.len()));
                    let functions = match functions.as_slice() {
                        [] => Functions::Any,
                        listed => Functions::Of(listed.to_vec()),
                    };
                    let places = if places.is_empty() { Places::Any } else { Places::Of(places.clone()) };
                    let units = units(site, conduit, rule);
                    let base = base(site, rule, effect);
                    rules.push(Rule { name, units, functions, places, values: *values, ..base });
                }
            }
        }
    }
    Conduit {
        name: conduit.name.clone(),
        mode: conduit.mode,
        refusal: conduit.refusal,
        limits: conduit.limits,
        devices: conduit
            .devices
            .iter()
            .map(|device| (site.device(*device).name.clone(), site.device(*device).unit))
            .collect(),
        rules,
    }
}

fn listed_name(effect: Effect, at: usize) -> String {
    let effect = if effect == Effect::Allow { "allow" } else { "deny" };
    format!("{effect} {}", at + 1)
}

/// All of a rule but what it grants.
fn base(site: &Site, rule: &site::Rule, effect: Effect) -> Rule {
    let zones = rule.zones.iter().map(|zone| site.zone(*zone));
    let networks = zones.clone().flat_map(|zone| zone.networks.iter().copied());
    let clients = Clients {
        networks: networks.chain(rule.networks.iter().copied()).collect(),
        zones: zones.map(|zone| zone.name.clone()).collect(),
        subjects: rule.subjects.clone(),
        roles: names(site, &rule.roles),
    };
    Rule {
        name: String::new(),
        effect,
        clients,
        units: Vec::new(),
        functions: Functions::Any,
        places: Places::Any,
        values: None,
        during: rule.times.clone(),
        requests: rule.requests,
        mode: rule.mode,
        refusal: rule.refusal,
    }
}

/// The units of a rule: its own, or all behind the conduit, neighbours as one range.
fn units(site: &Site, conduit: &site::Conduit, rule: &site::Rule) -> Vec<(u8, u8)> {
    if !rule.units.is_empty() {
        return rule.units.clone();
    }
    let mut all: Vec<u8> = conduit.devices.iter().map(|device| site.device(*device).unit.0).collect();
    all.sort_unstable();
    let mut units: Vec<(u8, u8)> = Vec::new();
    for unit in all {
        match units.last_mut() {
            Some((_, last)) if unit <= last.saturating_add(1) => *last = unit,
            _ => units.push((unit, unit)),
        }
    }
    units
}

fn derived(site: &Site, reads: &Reads, conduit: &site::Conduit, rule: &site::Rule, rules: &mut Vec<Rule>) {
    for id in &conduit.devices {
        let device = site.device(*id);
        let unit = device.unit.0;
        if !rule.units.is_empty() && !rule.units.iter().any(|(first, last)| (*first..=*last).contains(&unit))
        {
            continue;
        }
        let base = base(site, rule, Effect::Allow);
        let named = |what: &str| {
            let front = rule.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            format!("{front}{what} {}", device.name)
        };
        let places = reads.of(*id);
        if !places.is_empty() {
            let mut functions: Vec<Operation> = places
                .iter()
                .map(|range| Operation { function: read_function(range.table), sub: None })
                .collect();
            functions.sort_unstable();
            functions.dedup();
            rules.push(Rule {
                name: named("read"),
                units: vec![(unit, unit)],
                functions: Functions::Of(functions),
                places: Places::Of(places.to_vec()),
                ..base.clone()
            });
        }
        for (roles, tags) in by_roles(site, *id) {
            let clients = match common(&rule.roles, &roles) {
                Some(roles) => Clients { roles: names(site, &roles), ..base.clients.clone() },
                None => continue,
            };
            let mut values: Vec<Writable> = tags.iter().filter_map(|tag| writable(site, *tag)).collect();
            values.sort_by_key(|value| (value.table, value.address, bit(value.value_type)));
            let functions = write_functions(&values);
            rules.push(Rule {
                name: named("write"),
                clients,
                units: vec![(unit, unit)],
                functions: Functions::Of(functions),
                places: Places::Values(values),
                ..base.clone()
            });
        }
    }
}

/// The roles that both name; those of the tag when the rule names none.
fn common(rule: &[RoleId], tag: &[RoleId]) -> Option<Vec<RoleId>> {
    let common: Vec<RoleId> =
        tag.iter().copied().filter(|role| rule.is_empty() || rule.contains(role)).collect();
    (!common.is_empty()).then_some(common)
}

/// The writable tags of a device, by who may write them.
pub(super) fn by_roles(site: &Site, device: DeviceId) -> Vec<(Vec<RoleId>, Vec<TagId>)> {
    let mut groups: Vec<(Vec<RoleId>, Vec<TagId>)> = Vec::new();
    for (id, tag) in site.tags_of(device) {
        let Some(write) = tag.write() else { continue };
        match groups.iter_mut().find(|(roles, _)| *roles == write.roles) {
            Some((_, tags)) => tags.push(id),
            None => groups.push((write.roles.clone(), vec![id])),
        }
    }
    groups
}

const fn bit(value_type: ValueType) -> u8 {
    match value_type {
        ValueType::Bit(bit) => bit.get(),
        _ => 0,
    }
}

/// A tag as the guard sees it.
pub(super) fn writable(site: &Site, id: TagId) -> Option<Writable> {
    let tag = site.tag(id);
    let write = tag.write()?;
    Some(Writable {
        name: site.path(id),
        table: tag.point.table(),
        address: tag.point.address(),
        value_type: tag.point.value_type(),
        order: tag.point.order(),
        limits: limits(tag, write),
        max_step: write.max_step.map(|step| in_registers(step, tag.scale)),
        rate: write.rate,
        after: write.after.map(|after| {
            let other = site.tag(after.tag);
            After {
                name: site.path(after.tag),
                device: site.device(other.device).name.clone(),
                unit: site.device(other.device).unit,
                table: other.point.table(),
                address: other.point.address(),
                value_type: other.point.value_type(),
                order: other.point.order(),
                is: i128::from(after.is),
                within: after.within,
            }
        }),
    })
}

/// A step as it stands in registers. 0.3 by a scale of 0.1 is 3, and not the 2.9999999999999996 that refuses a step of 3.
fn in_registers(step: f64, scale: f64) -> f64 {
    let step = step / scale.abs();
    let whole = step.round();
    let near = whole >= 1.0 && (step - whole).abs() <= whole * 1e-9;
    if near { whole } else { step }
}

fn limits(tag: &Tag, write: &Write) -> Envelope {
    match (&write.limits, tag.point.value_type()) {
        // A register that holds a truth value holds 0 or 1; others would mean something else to the device.
        (WriteLimits::Any, ValueType::Bool) => Envelope::Integers { min: 0, max: 1 },
        _ => write.raw.clone(),
    }
}

/// The functions that write these values.
fn write_functions(values: &[Writable]) -> Vec<Operation> {
    let mut functions: Vec<Operation> = values
        .iter()
        .flat_map(|value| match (value.table, value.value_type) {
            (Table::Coils, _) => vec![FunctionCode::WRITE_SINGLE_COIL, FunctionCode::WRITE_MULTIPLE_COILS],
            (_, ValueType::Bit(_)) => vec![FunctionCode::MASK_WRITE_REGISTER],
            (_, other) if other.registers() == 1 => {
                vec![FunctionCode::WRITE_SINGLE_REGISTER, FunctionCode::WRITE_MULTIPLE_REGISTERS]
            }
            _ => vec![FunctionCode::WRITE_MULTIPLE_REGISTERS],
        })
        .map(|function| Operation { function, sub: None })
        .collect();
    functions.sort_unstable();
    functions.dedup();
    functions
}

/// The functions that write a tag.
pub(super) fn write_functions_of(point: &Point) -> Vec<FunctionCode> {
    let value = Writable {
        name: String::new(),
        table: point.table(),
        address: point.address(),
        value_type: point.value_type(),
        order: Order::default(),
        limits: Envelope::Any,
        max_step: None,
        rate: None,
        after: None,
    };
    write_functions(&[value]).into_iter().map(|operation| operation.function).collect()
}
