//! A conduit's rules, compiled once.
//!
//! ```text
//!   Conduit ──Engine::compile──► Engine ──State::grants(peer)──► Grants ──State::judge──► Verdict
//!   (plain values)               what all clients share          what one client may      about one request
//! ```
//!
//! Whom a rule is for is looked at once a connection: what is left are the [`Grants`](crate::grants::Grants) of this
//! client, in which a request is three lookups away from the few rules that can be about it. How many rules there are does
//! not matter but for the depth of one binary search.
//!
//! # What values and hours mean
//!
//! - A rule fits when all of its conditions hold: client, unit, function, place, hours, and for a value also its limits,
//!   step, sequence and rate. One that does not hold makes the rule not fit, and the next is looked at. What no rule
//!   fits is refused; when a rule came so near that only its hours or its value's conditions did not hold, that rule is
//!   named, and its mode and refusal apply.
//! - A rule that denies in alert decides nothing: what it has against an item that others let pass is told.
//! - The rate of a value counts its writes, of one unit, whoever writes it and whichever rule lets them; the rule that
//!   decides says how many are too many.
//! - A rate of requests is no condition: what fits a rule and is too much is refused.
//! - A value that cannot be known to be within its limits is refused: a half of a 32-bit value (function 06, or a part of
//!   16 and 23), a register whose bits are written by function 22 other than the one bit that the tag is, registers that are
//!   no value of the type. A rule that denies values fits all of these too.
//! - Limits that a rule has for each register by itself (`values`) are compared register by register.
//! - A sequence looks at a value of a device behind the same conduit. What another device holds is not seen here, so what
//!   has to come after it is refused.
//! - A sequence with a time needs a value that was seen to become what it is: one that was so when it was first seen has been
//!   so since nobody knows when. What is seen again after a write that failed, or after it was forgotten, is no change.
//! - A step is measured from the last value known. While a write of it is not answered, from all that it may be; when
//!   it is not known at all, a write is refused until somebody has read it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use port502_session::server::Identity;
use port502_wire::{Table, UnitId};

use crate::hours::Hours;
use crate::policy::{
    Client, Clients, Conduit, Effect, Envelope, Functions, Limits, Mode, Places, Policy, Range, Refusal,
    Writable, Zone,
};
use crate::rate::Limiter;

/// The most rules of one conduit.
pub const RULES_MAX: usize = 100_000;

/// The most values, of all rules of a conduit together, that may be written within limits.
pub const TAGS_MAX: usize = 1_000_000;

/// A conduit's rules in the form that requests are judged by. Made once; shared by all connections.
#[derive(Debug)]
pub struct Engine {
    name: String,
    zones: Vec<Zone>,
    pub(crate) mode: Mode,
    pub(crate) refusal: Refusal,
    pub(crate) limits: Limits,
    pub(crate) client_rate: Option<Limiter>,
    pub(crate) rules: Vec<Compiled>,
    pub(crate) tags: Vec<Tag>,
    /// Whom rules are for, each but once.
    pub(crate) clients: Vec<Clients>,
    pub(crate) hours: Vec<Hours>,
    pub(crate) probes: Probes,
    /// The values that may be written so often only.
    pub(crate) rated: Probes,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) name: String,
    pub(crate) effect: Effect,
    /// Its place in [`Engine::clients`].
    pub(crate) clients: usize,
    pub(crate) units: Vec<(u8, u8)>,
    pub(crate) functions: Functions,
    pub(crate) spots: Spots,
    /// Its place in [`Engine::hours`]; `None` means always.
    pub(crate) hours: Option<usize>,
    /// What each register that is written may become.
    pub(crate) values: Option<(u16, u16)>,
    pub(crate) requests: Option<Limiter>,
    /// What fits it passes, and nothing else has to be looked at where nothing is written.
    pub(crate) plain: bool,
    pub(crate) mode: Mode,
    pub(crate) refusal: Refusal,
}

/// [`Places`], the values being in [`Engine::tags`].
#[derive(Debug)]
pub(crate) enum Spots {
    Any,
    Of(Vec<Range>),
    Tags(core::ops::Range<usize>),
}

/// A value that a rule lets write, or denies.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) writable: Writable,
    pub(crate) step: Option<Step>,
    /// How often, and the place in [`Engine::rated`] of what is counted: a value that several rules let write is one.
    pub(crate) rate: Option<(Limiter, usize)>,
    pub(crate) after: Option<Sequel>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) max: f64,
    pub(crate) probe: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequel {
    pub(crate) is: i128,
    pub(crate) within: Option<Duration>,
    pub(crate) probe: usize,
    /// The unit that has the other value; `None` when its device is not behind this conduit, which then never sees it.
    pub(crate) unit: Option<UnitId>,
}

/// Values that something is remembered of, because a step, a sequence or a rate depends on it; each but once, by table and
/// address.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    all: Vec<Writable>,
    /// Registers of the widest: how far in front of an address one may begin that reaches it.
    widest: u16,
}

impl Probes {
    fn new(mut all: Vec<Writable>) -> Self {
        all.sort_by_key(|probe| (probe.table, probe.address));
        let mut distinct: Vec<Writable> = Vec::with_capacity(all.len());
        for probe in all {
            let same_place = |other: &&Writable| (other.table, other.address) == (probe.table, probe.address);
            if !distinct.iter().rev().take_while(same_place).any(|other| same(other, &probe)) {
                distinct.push(probe);
            }
        }
        let widest = distinct.iter().map(Writable::width).max().unwrap_or(1);
        Probes { all: distinct, widest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Writable> {
        self.all.get(at)
    }

    pub(crate) fn position(&self, probe: &Writable) -> Option<usize> {
        let place = |probe: &Writable| (probe.table, probe.address);
        let from = self.all.partition_point(|other| place(other) < place(probe));
        let there = self.all.iter().skip(from).take_while(|other| place(other) == place(probe));
        there.enumerate().find(|(_, other)| same(other, probe)).map(|(at, _)| from + at)
    }

    /// Those that have an item between `first` and `last`.
    pub(crate) fn touching(
        &self,
        table: Table,
        first: u16,
        last: u16,
    ) -> impl Iterator<Item = (usize, &Writable)> {
        let earliest = (table, first.saturating_sub(self.widest - 1));
        let from = self.all.partition_point(|probe| (probe.table, probe.address) < earliest);
        let within = move |(_, probe): &(usize, &Writable)| probe.table == table && probe.address <= last;
        let all = self.all.iter().enumerate().skip(from);
        all.take_while(within).filter(move |(_, probe)| probe.last() >= first)
    }
}

fn same(a: &Writable, b: &Writable) -> bool {
    (a.table, a.address, a.value_type, a.order) == (b.table, b.address, b.value_type, b.order)
}

/// Only what it takes to read a value.
fn probe(
    table: Table,
    address: u16,
    value_type: port502_wire::value::ValueType,
    order: port502_wire::value::Order,
) -> Writable {
    let (name, limits) = (String::new(), Envelope::Any);
    Writable { name, table, address, value_type, order, limits, max_step: None, rate: None, after: None }
}

/// Why rules cannot be compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompileError {
    /// More than [`RULES_MAX`] rules.
    TooManyRules {
        /// How many.
        got: usize,
    },
    /// More than [`TAGS_MAX`] values.
    TooManyValues {
        /// How many.
        got: usize,
    },
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::TooManyRules { got } => {
                write!(
                    f,
                    "a conduit of {got} rules: at most {RULES_MAX}; join rules that differ in addresses only"
                )
            }
            CompileError::TooManyValues { got } => {
                write!(f, "rules with limits for {got} values: at most {TAGS_MAX}")
            }
        }
    }
}

impl core::error::Error for CompileError {}

/// Who is at the other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Where from.
    pub address: IpAddr,
    /// As its certificate says; `None` without TLS.
    pub identity: Option<Identity>,
}

impl Engine {
    /// The rules of a conduit of `policy`, which says what roles clients without a certificate have.
    ///
    /// # Errors
    /// More rules or values than may be.
    pub fn compile(policy: &Policy, conduit: &Conduit) -> Result<Self, CompileError> {
        if conduit.rules.len() > RULES_MAX {
            return Err(CompileError::TooManyRules { got: conduit.rules.len() });
        }
        let values = |places: &Places| if let Places::Values(all) = places { all.len() } else { 0 };
        let got = conduit.rules.iter().map(|rule| values(&rule.places)).sum();
        if got > TAGS_MAX {
            return Err(CompileError::TooManyValues { got });
        }
        let (mut clients, mut hours) = (Distinct::default(), Distinct::default());
        let (mut rules, mut tags) = (Vec::with_capacity(conduit.rules.len()), Vec::with_capacity(got));
        let probes = Probes::new(conduit.rules.iter().flat_map(|rule| remembered(&rule.places)).collect());
        let rated = Probes::new(conduit.rules.iter().flat_map(|rule| counted(&rule.places)).collect());
        for rule in &conduit.rules {
            let spots = match &rule.places {
                Places::Any => Spots::Any,
                Places::Of(ranges) => Spots::Of(ranges.clone()),
                Places::Values(values) => {
                    let from = tags.len();
                    tags.extend(values.iter().map(|value| tag(conduit, value, &probes, &rated)));
                    Spots::Tags(from..tags.len())
                }
            };
            let at = (!rule.during.is_empty()).then(|| hours.place(Hours::new(&rule.during)));
            rules.push(Compiled {
                name: rule.name.clone(),
                effect: rule.effect,
                clients: clients.place(ByParts::from(&rule.clients)),
                units: rule.units.clone(),
                functions: rule.functions.clone(),
                spots,
                hours: at,
                values: rule.values,
                requests: rule.requests.map(Limiter::new),
                plain: rule.effect == Effect::Allow && rule.during.is_empty() && rule.requests.is_none(),
                mode: rule.mode.unwrap_or(conduit.mode),
                refusal: rule.refusal.unwrap_or(conduit.refusal),
            });
        }
        Ok(Engine {
            name: conduit.name.clone(),
            zones: policy.zones.clone(),
            mode: conduit.mode,
            refusal: conduit.refusal,
            limits: conduit.limits,
            client_rate: conduit.limits.requests.map(Limiter::new),
            rules,
            tags,
            clients: clients.all.into_iter().map(|parts| parts.0).collect(),
            hours: hours.all,
            probes,
            rated,
        })
    }

    /// What the conduit is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What reports call a rule.
    #[must_use]
    pub fn rule(&self, rule: usize) -> Option<&str> {
        self.rules.get(rule).map(|rule| rule.name.as_str())
    }

    /// What a rule lets each register become by itself, where it says so.
    #[must_use]
    pub fn register_values(&self, rule: usize) -> Option<(u16, u16)> {
        self.rules.get(rule)?.values
    }

    /// A value that a rule names, with its limits.
    #[must_use]
    pub fn tag(&self, tag: usize) -> Option<&Writable> {
        self.tags.get(tag).map(|tag| &tag.writable)
    }

    /// How many rules there are.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// What a client may act as: the role of its certificate, or those of its zones when it shows none. A certificate
    /// without a role is the null role of Modbus/TCP Security (R-23), and no better than its zone's.
    pub(crate) fn roles<'p>(&'p self, peer: &'p Peer) -> Vec<&'p str> {
        match &peer.identity {
            Some(identity) => identity.role.as_deref().into_iter().collect(),
            None => {
                let there = |zone: &&Zone| zone.networks.iter().any(|network| network.contains(peer.address));
                self.zones
                    .iter()
                    .filter(there)
                    .flat_map(|zone| zone.roles.iter().map(String::as_str))
                    .collect()
            }
        }
    }

    /// Which of the distinct clients a peer is, one bit for each.
    pub(crate) fn fitting(&self, peer: &Peer) -> Vec<u64> {
        let roles = self.roles(peer);
        let subject = peer.identity.as_ref().map(|identity| identity.subject.as_str());
        let client = Client { address: peer.address, subject, roles: &roles };
        let mut fitting = alloc::vec![0_u64; self.clients.len().div_ceil(64)];
        for (at, clients) in self.clients.iter().enumerate() {
            if let (true, Some(word)) = (fits(clients, client), fitting.get_mut(at / 64)) {
                *word |= 1 << (at % 64);
            }
        }
        fitting
    }
}

fn fits(clients: &Clients, client: Client<'_>) -> bool {
    let by_network =
        clients.networks.is_empty() || clients.networks.iter().any(|n| n.contains(client.address));
    let by_subject = || {
        let subject = |pattern: &String| client.subject.is_some_and(|s| crate::policy::matches(pattern, s));
        clients.subjects.is_empty() || clients.subjects.iter().any(subject)
    };
    let by_role =
        || clients.roles.is_empty() || clients.roles.iter().any(|role| client.roles.contains(&role.as_str()));
    by_network && by_subject() && by_role()
}

/// Values that a rule's limits have to remember: the value itself for its step, the other for a sequence.
fn remembered(places: &Places) -> Vec<Writable> {
    let Places::Values(values) = places else { return Vec::new() };
    let mut all = Vec::new();
    for value in values {
        if value.max_step.is_some() {
            all.push(probe(value.table, value.address, value.value_type, value.order));
        }
        if let Some(after) = &value.after {
            all.push(probe(after.table, after.address, after.value_type, after.order));
        }
    }
    all
}

/// Values whose writes a rule counts.
fn counted(places: &Places) -> Vec<Writable> {
    let Places::Values(values) = places else { return Vec::new() };
    let counted = values.iter().filter(|value| value.rate.is_some());
    counted.map(|value| probe(value.table, value.address, value.value_type, value.order)).collect()
}

fn tag(conduit: &Conduit, value: &Writable, probes: &Probes, rated: &Probes) -> Tag {
    let position = |table, address, value_type, order| {
        probes.position(&probe(table, address, value_type, order)).unwrap_or(usize::MAX)
    };
    Tag {
        step: value.max_step.map(|max| Step {
            max,
            probe: position(value.table, value.address, value.value_type, value.order),
        }),
        rate: value.rate.map(|rate| (Limiter::new(rate), rated.position(value).unwrap_or(usize::MAX))),
        after: value.after.as_ref().map(|after| Sequel {
            is: after.is,
            within: after.within,
            unit: conduit
                .devices
                .iter()
                .any(|(device, unit)| (device, unit) == (&after.device, &after.unit))
                .then_some(after.unit),
            probe: position(after.table, after.address, after.value_type, after.order),
        }),
        writable: value.clone(),
    }
}

/// [`Clients`] in an order, so that equal ones are found.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ByParts(Clients);

impl From<&Clients> for ByParts {
    fn from(clients: &Clients) -> Self {
        // The names of zones are for people.
        ByParts(Clients { zones: Vec::new(), ..clients.clone() })
    }
}

impl PartialOrd for ByParts {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByParts {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        fn parts(all: &ByParts) -> (&[crate::Network], &[String], &[String]) {
            (&all.0.networks, &all.0.subjects, &all.0.roles)
        }
        parts(self).cmp(&parts(other))
    }
}

/// Values, each but once.
struct Distinct<T> {
    all: Vec<T>,
    places: BTreeMap<T, usize>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Distinct { all: Vec::new(), places: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Distinct<T> {
    fn place(&mut self, value: T) -> usize {
        if let Some(at) = self.places.get(&value) {
            return *at;
        }
        let at = self.all.len();
        self.places.insert(value.clone(), at);
        self.all.push(value);
        at
    }
}
