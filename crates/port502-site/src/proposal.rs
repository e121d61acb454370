//! Rules made of what was seen: a conduit's section of a site file, proposed to people who know the plant.
//!
//! What a [`Learner`] remembers becomes `[guard.NAME]` with a rule for each group of clients that need the same, and each
//! rule says in a comment what it was seen to need. It is meant to be read, and put in the place of the section that lets
//! everything pass (`mode = "alert"`).
//!
//! - Who is in a zone of the site is proposed as that zone, so that its neighbours may do the same; others by address.
//!   Who shows a certificate is proposed with its subject.
//! - Where what a zone reads lies within what the tags of the site need, `do = "derived"` is proposed, and only what goes beyond is
//!   listed. A write is within it when its tag is one register or coil and all values seen were within its limits; of wider
//!   values the learner does not know whether they were.
//! - What else such a tag is held to (steps, rates, sequences) is said: of what was seen it may refuse some.
//! - Function 23 reads and writes, and a rule has one list of places for both: what it only reads is a rule of its own, with one
//!   value, which is said.
//! - What stops, restarts or programs a device, and functions that nobody knows, stand there as comments only, and so does
//!   what was asked of units that are no device behind the conduit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use port502_inspect::Learner;
use port502_inspect::learn::{Use, is_dangerous};
use port502_inspect::policy::{
    self, Envelope, Functions, Limits, Operation, Places, Range, Refusal, Writable,
};
use port502_session::{Instant, Target};
use port502_wire::value::ValueType;
use port502_wire::{FunctionCode, Table, UnitId};

use crate::compile::policy::Reads;
use crate::compile::{merged, poll, show};
use crate::site::{Conduit, Grant, Rule, Site, ZoneId};
use crate::sunspec::quoted;

/// Clients that are named in a comment; the others are counted.
const CLIENTS_SHOWN_MAX: usize = 8;

/// Tags that are named in a comment; the others are counted.
const TAGS_SHOWN_MAX: usize = 8;

/// Registers whose values are named in a comment; the others are counted.
const VALUES_SHOWN_MAX: usize = 8;

/// Proposes the rules of a conduit of a site. `when` shows a moment to people.
#[must_use]
pub fn proposal(
    learned: &Learner,
    site: &Site,
    conduit: &Conduit,
    when: &dyn Fn(Instant) -> String,
) -> String {
    let lane = site.lane(conduit.lane);
    let all = site.devices_of(conduit.lane).count() == conduit.devices.len() && !lane.own;
    let to: Vec<String> = if all {
        vec![lane.name.clone()]
    } else {
        conduit.devices.iter().map(|device| site.device(*device).name.clone()).collect()
    };
    let mut head = Head { name: &conduit.name, listen: &conduit.listen, to: &to, more: String::new() };
    head.keep(conduit);
    let deny = conduit.deny.len();
    let known = Known { site, conduit, units: units_behind(site, conduit) };
    write(learned, &head, Some(&known), deny, when)
}

/// The same where there is no site yet: units are listed, clients stand there by address. `to` names the device that the
/// site file will have.
#[must_use]
pub fn proposal_without_site(
    learned: &Learner,
    name: &str,
    listen: &[Target],
    to: &str,
    when: &dyn Fn(Instant) -> String,
) -> String {
    let head = Head { name, listen, to: &[to.to_owned()], more: String::new() };
    write(learned, &head, None, 0, when)
}

/// What of the section is not its rules.
struct Head<'h> {
    name: &'h str,
    listen: &'h [Target],
    to: &'h [String],
    more: String,
}

impl Head<'_> {
    /// The keys that are kept as they are; `mode` is not: what is proposed is to be enforced.
    fn keep(&mut self, conduit: &Conduit) {
        let mut line = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                // Writing to a string does not fail.
                let _ = writeln!(self.more, "{key} = {value}");
            }
        };
        let Limits { connections, connections_per_client, requests } = conduit.limits;
        line("description", conduit.description.as_deref().map(quoted));
        line("cert", conduit.tls.as_ref().map(|files| quoted(&files.cert)));
        line("key", conduit.tls.as_ref().map(|files| quoted(&files.key)));
        line("ca", conduit.tls.as_ref().and_then(|files| files.ca.as_deref()).map(quoted));
        let refuse = (conduit.refusal != Refusal::default()).then(|| quoted(&conduit.refusal.to_string()));
        line("refuse", refuse);
        line("share", conduit.share.then(|| "true".to_owned()));
        line("connections", connections.map(|count| count.to_string()));
        line("connections_per_client", connections_per_client.map(|count| count.to_string()));
        line("requests", requests.map(|rate| quoted(&rate.to_string())));
    }
}

/// What the site says.
struct Known<'s> {
    site: &'s Site,
    conduit: &'s Conduit,
    units: BTreeSet<u8>,
}

fn units_behind(site: &Site, conduit: &Conduit) -> BTreeSet<u8> {
    conduit.devices.iter().map(|device| site.device(*device).unit.0).collect()
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct From {
    place: Place,
    /// Of the certificate.
    subject: Option<String>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Place {
    Zone(usize),
    Address(IpAddr),
}

/// What a rule lets pass.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Body {
    Derived { units: Vec<u8> },
    Listed { units: Vec<u8>, functions: Vec<Operation>, part: Part },
}

/// Some of the places of a function.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Part {
    at: Vec<Range>,
    /// What each register that is written may become.
    values: Option<(u16, u16)>,
    /// What function 23 reads and does not write. A rule has one list of places for both, and so lets it write there too:
    /// `values` is one value then, which is as little as can be said.
    only_read: bool,
}

impl Part {
    fn of(at: Vec<Range>, values: Option<(u16, u16)>) -> Self {
        Part { at, values, only_read: false }
    }
}

/// What was seen of it.
#[derive(Clone, Debug)]
struct Seen {
    count: u64,
    first: Instant,
    last: Instant,
    per_second: u32,
    per_minute: u32,
    between: u32,
    clients: BTreeSet<IpAddr>,
    /// By table and address: lowest, highest, largest step.
    values: BTreeMap<(Table, u16), (u16, u16, u16)>,
    /// By tag: what else has to hold of it, and may not have held of all that was seen.
    conditions: BTreeMap<String, Vec<String>>,
}

impl Seen {
    fn of(address: IpAddr, one: &Use) -> Self {
        let table = one.writes.table.unwrap_or(Table::HoldingRegisters);
        let values = one.values.iter().map(|w| ((table, w.address), (w.low, w.high, w.step))).collect();
        Seen {
            count: one.count,
            first: one.first,
            last: one.last,
            per_second: one.rates.per_second,
            per_minute: one.rates.per_minute,
            between: one.reads.between.saturating_add(one.writes.between),
            clients: BTreeSet::from([address]),
            values,
            conditions: BTreeMap::new(),
        }
    }

    fn join(&mut self, other: &Seen) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.per_second = self.per_second.max(other.per_second);
        self.per_minute = self.per_minute.max(other.per_minute);
        self.between = self.between.saturating_add(other.between);
        self.clients.extend(&other.clients);
        self.conditions.extend(other.conditions.clone());
        for (at, (low, high, step)) in &other.values {
            let own = self.values.entry(*at).or_insert((*low, *high, *step));
            *own = (own.0.min(*low), own.1.max(*high), own.2.max(*step));
        }
    }
}

fn join(all: &mut Option<Seen>, seen: &Seen) {
    match all {
        Some(own) => own.join(seen),
        None => *all = Some(seen.clone()),
    }
}

/// One function of one unit, of all clients that are one [`From`].
#[derive(Clone, Debug)]
struct Need {
    reads: Vec<Range>,
    writes: Vec<Range>,
    seen: Seen,
}

impl Need {
    /// What is read and what is written.
    fn all(&self) -> Vec<Range> {
        merged(self.reads.iter().chain(&self.writes).copied().collect())
    }
}

/// The units that need it, and what was seen of them.
type OfUnits = (BTreeSet<u8>, Option<Seen>);

type Needs = BTreeMap<(u8, Operation), Need>;

fn ranges(places: &port502_inspect::learn::Places) -> Vec<Range> {
    let Some(table) = places.table else { return Vec::new() };
    places.ranges.iter().map(|(first, last)| Range { table, first: *first, last: *last }).collect()
}

fn needs(learned: &Learner, known: Option<&Known<'_>>) -> BTreeMap<From, Needs> {
    let mut all: BTreeMap<From, Needs> = BTreeMap::new();
    for client in learned.clients() {
        let zone = known.and_then(|known| {
            let there =
                |zone: &crate::site::Zone| zone.networks.iter().any(|net| net.contains(client.address));
            known.site.zones().iter().position(there)
        });
        let subject = client.identity.as_ref().map(|identity| identity.subject.clone());
        let from = From {
            place: zone.map_or(Place::Address(client.address), Place::Zone),
            subject: subject.filter(|subject| !subject.is_empty()),
        };
        let needs = all.entry(from).or_default();
        for one in &client.uses {
            let (reads, writes) = (ranges(&one.reads), ranges(&one.writes));
            let seen = Seen::of(client.address, one);
            match needs.get_mut(&(one.unit.0, one.operation)) {
                None => {
                    needs.insert((one.unit.0, one.operation), Need { reads, writes, seen });
                }
                Some(need) => {
                    need.reads = merged(need.reads.iter().copied().chain(reads).collect());
                    need.writes = merged(need.writes.iter().copied().chain(writes).collect());
                    need.seen.join(&seen);
                }
            }
        }
    }
    all
}

/// Functions that read one table each: together in one rule they allow no more than apart.
const READS: [FunctionCode; 4] = [
    FunctionCode::READ_COILS,
    FunctionCode::READ_DISCRETE_INPUTS,
    FunctionCode::READ_HOLDING_REGISTERS,
    FunctionCode::READ_INPUT_REGISTERS,
];

/// The rules of one [`From`], with what was seen of each.
fn bodies(needs: &Needs, derived: Option<&policy::Conduit>) -> Vec<(Body, Seen)> {
    let mut by_unit: BTreeMap<u8, Vec<(&Operation, &Need)>> = BTreeMap::new();
    for ((unit, operation), need) in needs {
        by_unit.entry(*unit).or_default().push((operation, need));
    }
    let (mut covered, mut covering) = (None, Vec::new());
    // By functions and places: the units, and what was seen.
    let mut listed: BTreeMap<(Vec<Operation>, Part), OfUnits> = BTreeMap::new();
    for (unit, uses) in by_unit {
        let is_read = |operation: &Operation| READS.contains(&operation.function);
        let covers = |operation: &Operation, need: &Need| {
            derived.is_some_and(|derived| is_covered(derived, UnitId(unit), *operation, need))
        };
        let conditions =
            |need: &Need| derived.map(|derived| conditions(derived, UnitId(unit), need)).unwrap_or_default();
        let mut reads = uses.iter().filter(|(operation, _)| is_read(operation)).peekable();
        let fits = reads.peek().is_some() && reads.all(|(operation, need)| covers(operation, need));
        if fits {
            covering.push(unit);
        }
        let mut own: BTreeMap<Part, (Vec<Operation>, Option<Seen>)> = BTreeMap::new();
        let (mut read_functions, mut read_at, mut read_seen) = (Vec::new(), Vec::new(), None);
        for (operation, need) in uses {
            if fits && covers(operation, need) {
                join(&mut covered, &Seen { conditions: conditions(need), ..need.seen.clone() });
            } else if is_read(operation) {
                read_functions.push(*operation);
                read_at.extend(need.reads.iter().copied());
                join(&mut read_seen, &need.seen);
            } else {
                for part in parts(operation.function, need) {
                    let entry = own.entry(part).or_default();
                    entry.0.push(*operation);
                    join(&mut entry.1, &need.seen);
                }
            }
        }
        if let Some(seen) = read_seen {
            let entry = own.entry(Part::of(merged(read_at), None)).or_default();
            entry.0.extend(read_functions);
            join(&mut entry.1, &seen);
        }
        for (part, (mut functions, seen)) in own {
            functions.sort_unstable();
            let entry = listed.entry((functions, part)).or_default();
            entry.0.insert(unit);
            if let Some(seen) = seen {
                join(&mut entry.1, &seen);
            }
        }
    }
    let mut bodies = Vec::new();
    if let Some(seen) = covered {
        bodies.push((Body::Derived { units: covering }, seen));
    }
    bodies.extend(listed.into_iter().filter_map(|((functions, part), (units, seen))| {
        Some((Body::Listed { units: units.into_iter().collect(), functions, part }, seen?))
    }));
    bodies
}

/// The places of one function, apart where the values that are written differ.
fn parts(function: FunctionCode, need: &Need) -> Vec<Part> {
    let limits = |range: &Range| -> Option<(u16, u16)> {
        let mut hull: Option<(u16, u16)> = None;
        for address in range.first..=range.last {
            // Where values are not known, none can be told from another.
            let (low, high, _) = need.seen.values.get(&(range.table, address))?;
            hull = Some(hull.map_or((*low, *high), |(l, h)| (l.min(*low), h.max(*high))));
        }
        hull.filter(|hull| range.table == Table::HoldingRegisters && *hull != (0, u16::MAX))
    };
    let written = || need.writes.iter().map(|range| Part::of(vec![*range], limits(range)));
    match function {
        FunctionCode::WRITE_SINGLE_REGISTER | FunctionCode::WRITE_MULTIPLE_REGISTERS => written().collect(),
        FunctionCode::READ_WRITE_MULTIPLE_REGISTERS => {
            let mut parts: Vec<Part> = written().collect();
            let at = without(&need.reads, &need.writes);
            if !at.is_empty() {
                // One of those seen: nobody knows one that does no harm.
                let value = need.seen.values.values().map(|(low, ..)| *low).min().unwrap_or_default();
                parts.push(Part { at, values: Some((value, value)), only_read: true });
            }
            parts
        }
        _ => vec![Part::of(need.all(), None)],
    }
}

/// Ranges without what others hold of them. Both are sorted, and apart from each other.
fn without(ranges: &[Range], others: &[Range]) -> Vec<Range> {
    let mut rest = Vec::new();
    for range in ranges {
        let mut next = Some(range.first);
        let within = |other: &&Range| {
            other.table == range.table && other.last >= range.first && other.first <= range.last
        };
        for other in others.iter().filter(within) {
            if let (Some(first), Some(last)) = (next, other.first.checked_sub(1))
                && first <= last
            {
                rest.push(Range { first, last, ..*range });
            }
            next = other.last.checked_add(1);
        }
        if let Some(first) = next.filter(|first| *first <= range.last) {
            rest.push(Range { first, ..*range });
        }
    }
    rest
}

/// Whether what was seen lies within what these rules allow, whatever order it came in.
fn is_covered(derived: &policy::Conduit, unit: UnitId, operation: Operation, need: &Need) -> bool {
    let rules = || {
        derived.rules.iter().filter(|rule| {
            let has = |all: &Vec<Operation>| all.iter().any(|one| one.function == operation.function);
            rule.units.iter().any(|(first, last)| (*first..=*last).contains(&unit.0))
                && matches!(&rule.functions, Functions::Of(all) if has(all))
        })
    };
    let reads_within = |range: &Range| {
        rules().any(|rule| match &rule.places {
            Places::Of(places) => places.iter().any(|place| {
                place.table == range.table && place.first <= range.first && range.last <= place.last
            }),
            _ => false,
        })
    };
    let write_within = |table: Table, address: u16| {
        let Some((low, high, step)) = need.seen.values.get(&(table, address)) else { return false };
        rules().any(|rule| match &rule.places {
            Places::Values(values) => values.iter().any(|value| {
                let within = match (value.value_type, &value.limits) {
                    (ValueType::Bool, Envelope::Any) => table == Table::Coils,
                    (ValueType::Bool | ValueType::U16, Envelope::Integers { min, max }) => {
                        *min <= i128::from(*low) && i128::from(*high) <= *max
                    }
                    _ => false,
                };
                let steps = value.max_step.is_none_or(|max| f64::from(*step) <= max);
                value.table == table && value.address == address && within && steps
            }),
            _ => false,
        })
    };
    need.reads.iter().all(reads_within)
        && need
            .writes
            .iter()
            .all(|range| (range.first..=range.last).all(|address| write_within(range.table, address)))
        && !(need.reads.is_empty() && need.writes.is_empty())
}

/// What these rules demand of the tags that were written beside their limits, by tag. Whether it was so is not known: the
/// learner does not see what a value was before, nor when each write came.
fn conditions(derived: &policy::Conduit, unit: UnitId, need: &Need) -> BTreeMap<String, Vec<String>> {
    let there =
        |rule: &&policy::Rule| rule.units.iter().any(|(first, last)| (*first..=*last).contains(&unit.0));
    let values = derived.rules.iter().filter(there).flat_map(|rule| match &rule.places {
        Places::Values(values) => values.as_slice(),
        _ => &[],
    });
    let written = |value: &&Writable| {
        let hit = |range: &Range| {
            range.table == value.table && range.first <= value.last() && value.address <= range.last
        };
        need.writes.iter().any(hit)
    };
    let named = values.filter(written).map(|value| (value.name.clone(), show::conditions(value)));
    named.filter(|(_, conditions)| !conditions.is_empty()).collect()
}

/// What `do = "derived"` would allow these clients. Of somebody whom the site does not know, only what was seen is proposed.
fn derived(known: &Known<'_>, reads: &Reads, from: &From) -> Option<policy::Conduit> {
    let Place::Zone(at) = from.place else { return None };
    let zone = known.site.zones().get(at)?;
    let rule = Rule {
        name: None,
        zones: vec![ZoneId::new(at)],
        networks: Vec::new(),
        roles: Vec::new(),
        subjects: Vec::new(),
        units: Vec::new(),
        grant: Grant::Derived,
        times: Vec::new(),
        requests: None,
        mode: None,
        refusal: None,
    };
    let conduit = Conduit { allow: vec![rule], deny: Vec::new(), ..known.conduit.clone() };
    let mut compiled = crate::compile::policy::compile(known.site, reads, &conduit);
    // What they may act as: by zone, and by certificate nobody knows.
    let roles: Vec<&String> = match &from.subject {
        None => zone.roles.iter().map(|role| &known.site.role(*role).name).collect(),
        Some(_) => Vec::new(),
    };
    compiled.rules.retain(|rule| {
        rule.clients.roles.is_empty() || rule.clients.roles.iter().any(|role| roles.contains(&role))
    });
    Some(compiled)
}

// ---- as text ---------------------------------------------------------------------------------------------------------

fn write(
    learned: &Learner,
    head: &Head<'_>,
    known: Option<&Known<'_>>,
    deny: usize,
    when: &dyn Fn(Instant) -> String,
) -> String {
    let mut text = String::new();
    introduction(&mut text, learned, head, known, deny, when);
    let reads = known.map(|known| Reads::new(known.site, &poll::plan(known.site)));
    // Rules that are the same for several are one.
    let mut rules: BTreeMap<Body, BTreeMap<From, Seen>> = BTreeMap::new();
    let mut aside: Vec<(From, u8, Operation, Need)> = Vec::new();
    for (from, mut needs) in needs(learned, known) {
        needs.retain(|(unit, operation), need| {
            let there = known.is_none_or(|known| known.units.contains(unit));
            let proposed = there && !is_dangerous(*operation);
            if !proposed {
                aside.push((from.clone(), *unit, *operation, need.clone()));
            }
            proposed
        });
        let would = known.zip(reads.as_ref()).and_then(|(known, reads)| derived(known, reads, &from));
        for (body, seen) in bodies(&needs, would.as_ref()) {
            rules.entry(body).or_default().insert(from.clone(), seen);
        }
    }
    let _ = writeln!(text, "allow = [");
    for (body, froms) in rules {
        // A subject goes with its own place only.
        let (with, without): (Vec<_>, Vec<_>) =
            froms.into_iter().partition(|(from, _)| from.subject.is_some());
        let groups = with.into_iter().map(|one| vec![one]).chain((!without.is_empty()).then_some(without));
        for group in groups {
            let mut seen = None;
            group.iter().for_each(|(_, own)| join(&mut seen, own));
            if let Some(seen) = &seen {
                comment(&mut text, seen, &body, when);
            }
            let froms: Vec<&From> = group.iter().map(|(from, _)| from).collect();
            let _ = writeln!(text, "    {},", rule(&froms, &body, known));
        }
    }
    for (from, unit, operation, need) in aside {
        let why = if known.is_some_and(|known| !known.units.contains(&unit)) {
            format!(
                "unit {unit} is no device behind this conduit; add it first, and then uncomment if you mean it"
            )
        } else {
            "uncomment if you mean it".to_owned()
        };
        let _ = writeln!(text, "    # Seen, not allowed: {why}");
        for part in parts(operation.function, &need) {
            let body = Body::Listed { units: vec![unit], functions: vec![operation], part };
            comment(&mut text, &need.seen, &body, when);
            let _ = writeln!(text, "    # {},", rule(&[&from], &body, known));
        }
    }
    text.push_str("]\n");
    text
}

fn introduction(
    text: &mut String,
    learned: &Learner,
    head: &Head<'_>,
    known: Option<&Known<'_>>,
    deny: usize,
    when: &dyn Fn(Instant) -> String,
) {
    let uses = || learned.clients().iter().flat_map(|client| &client.uses);
    let count: u64 = uses().map(|one| one.count).fold(0, u64::saturating_add);
    let span = uses().map(|one| one.first).min().zip(uses().map(|one| one.last).max());
    let _ = match span {
        None => writeln!(text, "# No request was seen: this lets nothing pass."),
        Some((first, last)) => writeln!(
            text,
            "# Proposed from {} of {}, {} to {}.\n\
             # Read it before it is enforced: it allows what was seen, whether or not that was right, and refuses what only\n\
             # happens once a year.",
            counted(count, "request"),
            counted(u64::try_from(learned.clients().len()).unwrap_or(u64::MAX), "client"),
            one_line(&when(first)),
            one_line(&when(last)),
        ),
    };
    if known.is_some() {
        let _ = writeln!(text, "# It goes in the place of [guard.{}].", head.name);
    }
    if deny > 0 {
        let _ = writeln!(
            text,
            "# What that denies is not repeated here ({}): keep it.",
            counted_usize(deny, "rule")
        );
    }
    let lost = learned.unlearned();
    for (lost, what) in
        [(lost.of_clients, "of further clients"), (lost.of_uses, "of further units and functions")]
    {
        if lost > 0 {
            let _ = writeln!(
                text,
                "# Not learned, and so not allowed: {} {what}, beyond what is remembered.",
                counted(lost, "request")
            );
        }
    }
    if lost.of_values > 0 {
        let _ = writeln!(
            text,
            "# {} too many to remember: where that was, rules have no limits.",
            counted(lost.of_values, "written value")
        );
    }
    let fastest = learned.clients().iter().map(|client| (client.rates.per_second, client.rates.per_minute));
    let (second, minute) = fastest.fold((0, 0), |(s, m), (second, minute)| (s.max(second), m.max(minute)));
    let listen: Vec<String> = head.listen.iter().map(|target| quoted(&target.to_string())).collect();
    let to: Vec<String> = head.to.iter().map(|to| quoted(to)).collect();
    let _ =
        writeln!(text, "[guard.{}]\nlisten = [{}]\nto = [{}]", head.name, listen.join(", "), to.join(", "));
    text.push_str(&head.more);
    if second > 0 {
        let _ = writeln!(
            text,
            "# The most that one client asked was {second} in a second, {minute} in a minute: see `requests`."
        );
    }
}

/// What was seen of a rule, in front of it.
fn comment(text: &mut String, seen: &Seen, body: &Body, when: &dyn Fn(Instant) -> String) {
    let mut clients: Vec<String> =
        seen.clients.iter().take(CLIENTS_SHOWN_MAX).map(IpAddr::to_string).collect();
    if let Some(more) = seen.clients.len().checked_sub(CLIENTS_SHOWN_MAX).filter(|more| *more > 0) {
        clients.push(format!("{more} more"));
    }
    let _ = writeln!(
        text,
        "    # {} of {}, {} to {}; at most {} in a second, {} in a minute",
        counted(seen.count, "request"),
        clients.join(", "),
        one_line(&when(seen.first)),
        one_line(&when(seen.last)),
        seen.per_second,
        seen.per_minute,
    );
    if seen.between > 0 {
        let _ = writeln!(text, "    # {} between those seen", counted(seen.between.into(), "address"));
    }
    let here = |table: Table, address: u16| match body {
        Body::Derived { .. } => true,
        Body::Listed { part, .. } => {
            part.at.iter().any(|range| range.table == table && (range.first..=range.last).contains(&address))
        }
    };
    let values: Vec<_> = seen.values.iter().filter(|((table, address), _)| here(*table, *address)).collect();
    for ((table, address), (low, high, step)) in values.iter().take(VALUES_SHOWN_MAX) {
        let to = if low == high { String::new() } else { format!(" to {high}, steps of {step} at most") };
        let _ = writeln!(text, "    # written: {table}:{address} = {low}{to}");
    }
    if let Some(more) = values.len().checked_sub(VALUES_SHOWN_MAX).filter(|more| *more > 0) {
        let _ = writeln!(text, "    # written: {more} more");
    }
    if let Body::Derived { .. } = body {
        let conditions = &seen.conditions;
        for (tag, conditions) in conditions.iter().take(TAGS_SHOWN_MAX) {
            let _ = writeln!(text, "    # {tag} is held to its own: {}", conditions.join(", "));
        }
        if let Some(more) = conditions.len().checked_sub(TAGS_SHOWN_MAX).filter(|more| *more > 0) {
            let _ = writeln!(text, "    # and {}", counted_usize(more, "more tag"));
        }
        if !conditions.is_empty() {
            text.push_str(
                "    # What was seen beyond that will be refused, and so will be a step, or what waits for another value, as long\n    \
                 # as the guard has not seen that value.\n",
            );
        }
    }
    if let Body::Listed { part: Part { at, values: Some((value, _)), only_read: true }, .. } = body {
        let _ = writeln!(
            text,
            "    # only read: {}. A rule has one list of places for what function 23 reads and what it writes: this lets it\n    \
             # write {value} there, too, which was not seen.",
            show::ranges(at)
        );
    }
}

fn rule(froms: &[&From], body: &Body, known: Option<&Known<'_>>) -> String {
    let mut places: Vec<String> = froms.iter().map(|from| quoted(&place(&from.place, known))).collect();
    places.dedup();
    let mut parts = vec![format!("from = {}", list(&places))];
    if let Some(subject) = froms.iter().find_map(|from| from.subject.as_deref()) {
        parts.push(format!("subjects = {}", quoted(subject)));
    }
    let units = match body {
        Body::Derived { units } | Body::Listed { units, .. } => units,
    };
    let all = known.is_some_and(|known| known.units.iter().eq(units.iter()));
    if !all {
        parts.push(format!("units = {}", list(&unit_words(units))));
    }
    match body {
        Body::Derived { .. } => parts.push("do = \"derived\"".to_owned()),
        Body::Listed { functions, part: Part { at, values, .. }, .. } => {
            let functions: Vec<String> = functions.iter().map(function).collect();
            parts.push(format!("functions = [{}]", functions.join(", ")));
            if !at.is_empty() {
                let at: Vec<String> = at.iter().map(|range| quoted(&range.to_string())).collect();
                parts.push(format!("at = [{}]", at.join(", ")));
            }
            if let Some((low, high)) = values {
                parts.push(format!("values = [{low}, {high}]"));
            }
        }
    }
    format!("{{ {} }}", parts.join(", "))
}

fn place(place: &Place, known: Option<&Known<'_>>) -> String {
    match place {
        Place::Zone(at) => {
            let zone = known.and_then(|known| known.site.zones().get(*at));
            zone.map(|zone| zone.name.clone()).unwrap_or_default()
        }
        Place::Address(address) => address.to_string(),
    }
}

/// `"ReadCoils"`, `"43/14"`, `90`.
fn function(operation: &Operation) -> String {
    match (operation.sub, operation.function.facts()) {
        (Some(_), _) => quoted(&operation.to_string()),
        (None, Some(facts)) => quoted(facts.name),
        (None, None) => operation.function.0.to_string(),
    }
}

/// `1`, `"3-9"`.
fn unit_words(units: &[u8]) -> Vec<String> {
    let mut runs: Vec<(u8, u8)> = Vec::new();
    for unit in units {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*unit) => *last = *unit,
            _ => runs.push((*unit, *unit)),
        }
    }
    let word = |(first, last): &(u8, u8)| {
        if first == last { first.to_string() } else { quoted(&format!("{first}-{last}")) }
    };
    runs.iter().map(word).collect()
}

fn list(words: &[String]) -> String {
    match words {
        [one] => one.clone(),
        all => format!("[{}]", all.join(", ")),
    }
}

fn counted(count: u64, what: &str) -> String {
    let end = match (count, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {what}{end}")
}

fn counted_usize(count: usize, what: &str) -> String {
    counted(u64::try_from(count).unwrap_or(u64::MAX), what)
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
