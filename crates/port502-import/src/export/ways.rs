//! What the rules of a site come to for tools that know addresses and ports: where clients come in, what is behind, and
//! which clients are alike.
//!
//! A tool of another kind looks at a conduit from the network. So names are no help: what listens and what is behind has
//! to be an address. A host name is refused, unless [`Options::hosts`] says which address it is: who can make a name
//! mean something else would change the rules.
//!
//! Rules are for networks that may lie within each other. [`classes`] takes them apart: the clients of one class are
//! those for whom the same rules hold.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use port502_inspect::policy::{self, Effect, Functions, Mode, Operation, Places, Policy, Writable};
use port502_inspect::{Network, policy::Envelope};
use port502_session::Target;
use port502_session::target::{Carrier, Framing};
use port502_site::site::{Conduit, Site};
use port502_wire::value::ValueType;
use port502_wire::{FunctionCode, Table};

/// What the site file does not say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The addresses of the machine that the guard runs on: where clients find it, and where it comes from.
    pub guard: Vec<IpAddr>,
    /// The addresses of hosts that the site has by name.
    pub hosts: Vec<(String, IpAddr)>,
    /// What the table or module is called, behind `port502_`; otherwise after the site. Two sites whose names differ in
    /// blanks and signs only need it where both are loaded.
    pub name: Option<String>,
    /// There is no guard: what clients say to the devices themselves is watched. Not for packet filters.
    pub without_guard: bool,
    /// What a conduit that enforces refuses is dropped, not only told. Where the tool can do that.
    pub drop: bool,
}

/// A site in the words of another tool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exported {
    /// The file.
    pub text: String,
    /// What of this site the tool cannot hold, which its text says, too: a line each.
    pub left_out: Vec<String>,
}

/// Why a site cannot be written for another tool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExportError {
    /// No conduit says who may do what.
    NoGuard,
    /// A host name where an address is needed.
    Name {
        /// What has it: `device tank`, `guard tank`.
        what: String,
        /// The name.
        host: String,
    },
    /// It has to be said where the guard is.
    NoGuardAddress {
        /// The device that it stands in front of.
        device: String,
    },
    /// The guard has no address of the device's kind.
    GuardFamily {
        /// The device.
        device: String,
        /// Its address.
        address: IpAddr,
    },
    /// Without the guard there is nothing on the network that speaks Modbus/TCP.
    NotThere {
        /// The conduit.
        conduit: String,
        /// Where it leads.
        target: String,
    },
    /// A packet filter cannot stand in the guard's place.
    NeedsGuard,
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExportError::NoGuard => f.write_str(
                "no conduit says who may do what; add one, as [guard.NAME] with listen = \"tcp://0.0.0.0:502\", \
                 to = \"DEVICE\" and allow = [{ from = \"ZONE\", do = \"derived\" }]",
            ),
            ExportError::Name { what, host } => write!(
                f,
                "{what}: {host} is a name, and rules need an address; write the address into the site file, or say \
                 --host {host}=ADDRESS"
            ),
            ExportError::NoGuardAddress { device } => write!(
                f,
                "{device} is to be reached through the guard only, and the site file does not say which machine that \
                 is; say --guard-address ADDRESS, once for each address that it has"
            ),
            ExportError::GuardFamily { device, address } => write!(
                f,
                "{device} is at {address}, and no --guard-address is of that kind: then the guard could not reach it; \
                 name the guard's {} address too",
                if address.is_ipv4() { "IPv4" } else { "IPv6" }
            ),
            ExportError::NotThere { conduit, target } => write!(
                f,
                "guard {conduit}: without the guard, what leads to {target} is no Modbus/TCP that can be looked into; \
                 leave --without-guard out"
            ),
            ExportError::NeedsGuard => f.write_str(
                "a packet filter cannot see Modbus functions and so cannot stand in the guard's place; leave \
                 --without-guard out",
            ),
        }
    }
}

impl std::error::Error for ExportError {}

/// Where clients come in.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// `None`: all of the machine's.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    /// What goes in is encrypted.
    pub(super) tls: bool,
    /// Clients may show who they are.
    pub(super) certificates: bool,
    /// As it is written.
    pub(super) shown: String,
}

/// What is behind a conduit.
#[derive(Clone, Debug)]
pub(super) enum Behind {
    Network {
        address: IpAddr,
        port: u16,
        udp: bool,
    },
    /// Nobody else reaches it by the network.
    Serial,
}

/// A conduit as the network sees it.
pub(super) struct Way<'s> {
    pub(super) conduit: &'s policy::Conduit,
    pub(super) doors: Vec<Door>,
    pub(super) behind: Behind,
    /// Its devices, or the link that they are on.
    pub(super) to: String,
    pub(super) target: &'s Target,
}

/// The conduits of a site, with addresses.
pub(super) fn ways<'s>(
    site: &'s Site,
    policy: &'s Policy,
    options: &Options,
) -> Result<Vec<Way<'s>>, ExportError> {
    if policy.conduits.is_empty() {
        return Err(ExportError::NoGuard);
    }
    site.conduits()
        .iter()
        .zip(&policy.conduits)
        .map(|(own, conduit)| way(site, own, conduit, options))
        .collect()
}

fn way<'s>(
    site: &'s Site,
    own: &Conduit,
    conduit: &'s policy::Conduit,
    options: &Options,
) -> Result<Way<'s>, ExportError> {
    let lane = site.lane(own.lane);
    let to = format!("{} {}", if lane.own { "device" } else { "link" }, lane.name);
    let target = &lane.target;
    let behind = match target.link().carrier() {
        Carrier::Serial => Behind::Serial,
        carrier => Behind::Network {
            address: address(&to, target.host(), options)?,
            port: target.port(),
            udp: carrier == Carrier::Udp,
        },
    };
    let doors = if options.without_guard {
        let readable = target.link().framing() == Framing::Mbap && target.link().carrier() == Carrier::Tcp;
        match (&behind, readable) {
            (Behind::Network { address, port, .. }, true) => vec![Door {
                address: Some(*address),
                port: *port,
                tls: false,
                certificates: false,
                shown: target.to_string(),
            }],
            _ => {
                let (conduit, target) = (own.name.clone(), target.to_string());
                return Err(ExportError::NotThere { conduit, target });
            }
        }
    } else {
        let door = |listen: &Target| {
            let address = address(&format!("guard {}", own.name), listen.host(), options)?;
            let tls = listen.link().carrier() == Carrier::Tls;
            Ok(Door {
                address: (!address.is_unspecified()).then_some(address),
                port: listen.port(),
                tls,
                certificates: tls && own.tls.as_ref().is_some_and(|files| files.ca.is_some()),
                shown: listen.to_string(),
            })
        };
        own.listen.iter().map(door).collect::<Result<_, _>>()?
    };
    Ok(Way { conduit, doors, behind, to, target })
}

fn address(what: &str, host: &str, options: &Options) -> Result<IpAddr, ExportError> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let said = || options.hosts.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)).map(|(_, at)| *at);
    let at = host.parse().ok().or_else(said);
    at.ok_or_else(|| ExportError::Name { what: what.to_owned(), host: host.to_owned() })
}

// ---- who -----------------------------------------------------------------------------------------------------------

/// Clients for whom the same rules hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Class {
    /// Where they are; none means everybody.
    pub(super) networks: Vec<Network>,
    /// Those of other classes among them.
    pub(super) except: Vec<Network>,
    /// The rules, by their place in the conduit.
    pub(super) rules: Vec<usize>,
}

/// Takes the clients of a conduit apart, those that show no certificate. The last class is everybody else.
pub(super) fn classes(policy: &Policy, conduit: &policy::Conduit) -> Vec<Class> {
    let mut all: Vec<Network> =
        conduit.rules.iter().flat_map(|rule| rule.clients.networks.iter().copied()).collect();
    all.extend(policy.zones.iter().flat_map(|zone| zone.networks.iter().copied()));
    all.sort_unstable_by_key(|network| (network.prefix(), *network));
    all.dedup();
    // A network is of interest when other rules hold in it than around it.
    let everybody = holding(policy, conduit, None);
    let mut kept: Vec<(Network, Vec<usize>)> = Vec::new();
    for network in all {
        let rules = holding(policy, conduit, Some(network));
        let around = kept.iter().rev().find(|(other, _)| encloses(other, &network));
        if around.map_or(&everybody, |(_, rules)| rules) != &rules {
            kept.push((network, rules));
        }
    }
    let within = |outer: Option<&Network>| -> Vec<Network> {
        let inside: Vec<Network> = kept
            .iter()
            .map(|(network, _)| *network)
            .filter(|network| outer.is_none_or(|outer| encloses(outer, network) && outer != network))
            .collect();
        let outermost =
            |network: &&Network| !inside.iter().any(|other| other != *network && encloses(other, network));
        inside.iter().filter(outermost).copied().collect()
    };
    let mut classes: Vec<Class> = Vec::new();
    for (network, rules) in &kept {
        let except = within(Some(network));
        let alike =
            |class: &&mut Class| class.rules == *rules && class.except.is_empty() && except.is_empty();
        match classes.iter_mut().find(alike) {
            Some(class) => class.networks.push(*network),
            None => classes.push(Class { networks: vec![*network], except, rules: rules.clone() }),
        }
    }
    classes.push(Class { networks: Vec::new(), except: within(None), rules: everybody });
    classes
}

/// Whether all of `inner` is in `outer`.
pub(super) fn encloses(outer: &Network, inner: &Network) -> bool {
    outer.prefix() <= inner.prefix() && outer.contains(inner.address())
}

/// The rules that hold for all clients of a network, or for those of none.
fn holding(policy: &Policy, conduit: &policy::Conduit, network: Option<Network>) -> Vec<usize> {
    let inside = |networks: &[Network]| {
        network.is_some_and(|network| networks.iter().any(|outer| encloses(outer, &network)))
    };
    let roles: Vec<&String> =
        policy.zones.iter().filter(|zone| inside(&zone.networks)).flat_map(|zone| &zone.roles).collect();
    let holds = |rule: &policy::Rule| {
        let clients = &rule.clients;
        clients.subjects.is_empty()
            && (clients.networks.is_empty() || inside(&clients.networks))
            && (clients.roles.is_empty() || clients.roles.iter().any(|role| roles.contains(&role)))
    };
    conduit.rules.iter().enumerate().filter(|(_, rule)| holds(rule)).map(|(at, _)| at).collect()
}

/// The networks from which a door lets anybody in at all; `None` means from everywhere.
pub(super) fn admitted(policy: &Policy, conduit: &policy::Conduit, door: &Door) -> Option<Vec<Network>> {
    let allows = |rule: &&policy::Rule| rule.effect == Effect::Allow;
    let mut networks: Vec<Network> = Vec::new();
    if door.certificates {
        // Subject and role are in the certificate: of those only the network is seen from outside.
        for rule in conduit.rules.iter().filter(allows) {
            if rule.clients.networks.is_empty() {
                return None;
            }
            networks.extend(&rule.clients.networks);
        }
    } else {
        for class in classes(policy, conduit) {
            let may = class.rules.iter().filter_map(|at| conduit.rules.get(*at)).any(|rule| allows(&rule));
            match (may, class.networks.is_empty()) {
                (true, true) => return None,
                (true, false) => networks.extend(class.networks),
                (false, _) => {}
            }
        }
    }
    networks.sort_unstable();
    networks.dedup();
    let inner = |network: &Network| networks.iter().any(|other| other != network && encloses(other, network));
    Some(networks.iter().filter(|network| !inner(network)).copied().collect())
}

/// The networks of which a rule denies everything, and that is enforced.
pub(super) fn shut_out(conduit: &policy::Conduit) -> Vec<Network> {
    let all = |rule: &&policy::Rule| {
        rule.effect == Effect::Deny
            && rule.mode.unwrap_or(conduit.mode) == Mode::Enforce
            && rule.functions == Functions::Any
            && rule.places == Places::Any
            && rule.values.is_none()
            && rule.during.is_empty()
            && rule.clients.subjects.is_empty()
            && rule.clients.roles.is_empty()
            && conduit.devices.iter().all(|(_, unit)| has_unit(rule, unit.0))
    };
    let mut networks: Vec<Network> =
        conduit.rules.iter().filter(all).flat_map(|rule| rule.clients.networks.iter().copied()).collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}

// ---- what ----------------------------------------------------------------------------------------------------------

pub(super) fn has_unit(rule: &policy::Rule, unit: u8) -> bool {
    rule.units.iter().any(|(first, last)| (*first..=*last).contains(&unit))
}

pub(super) fn has_function(rule: &policy::Rule, function: FunctionCode, sub: Option<u16>) -> bool {
    let fits = |operation: &Operation| {
        operation.function == function && (operation.sub.is_none() || operation.sub == sub)
    };
    match &rule.functions {
        Functions::Any => true,
        Functions::Of(all) => all.iter().any(fits),
    }
}

/// Whether a rule depends on what a tool that knows only addresses cannot know.
pub(super) fn is_conditional(rule: &policy::Rule) -> bool {
    rule.values.is_some() || !rule.during.is_empty() || matches!(rule.places, Places::Values(_))
}

/// The table whose items a function reads, and the one whose items it writes.
pub(super) fn tables(function: FunctionCode) -> (Option<Table>, Option<Table>) {
    use port502_wire::function::Access;
    match function.facts() {
        Some(facts) => match facts.access {
            Access::Read => (facts.table, None),
            Access::Write => (None, facts.table),
            Access::ReadWrite => (facts.table, facts.table),
            Access::File | Access::Diagnose => (None, None),
        },
        None => (None, None),
    }
}

/// Whether this function can write this value as a whole.
pub(super) fn writes(function: FunctionCode, value: &Writable) -> bool {
    let whole = [FunctionCode::WRITE_MULTIPLE_REGISTERS, FunctionCode::READ_WRITE_MULTIPLE_REGISTERS];
    match (value.table, value.value_type) {
        (Table::Coils, _) => {
            [FunctionCode::WRITE_SINGLE_COIL, FunctionCode::WRITE_MULTIPLE_COILS].contains(&function)
        }
        (_, ValueType::Bit(_)) => function == FunctionCode::MASK_WRITE_REGISTER,
        (_, other) if other.registers() == 1 => {
            function == FunctionCode::WRITE_SINGLE_REGISTER || whole.contains(&function)
        }
        _ => whole.contains(&function),
    }
}

/// Addresses of one table, both ends included; sorted, apart from each other.
pub(super) type Addresses = Vec<(u16, u16)>;

/// The addresses at which these rules let a unit be asked for this function: values and hours are not looked at, except
/// that what a rule denies for some values or hours only, it does not deny here.
pub(super) fn allowed(
    conduit: &policy::Conduit,
    rules: &[usize],
    unit: u8,
    function: FunctionCode,
    (table, write): (Table, bool),
) -> Addresses {
    let fitting = |effect: Effect| {
        rules.iter().filter_map(|at| conduit.rules.get(*at)).filter(move |rule| {
            rule.effect == effect && has_unit(rule, unit) && has_function(rule, function, None)
        })
    };
    let places = |rule: &policy::Rule| -> Addresses {
        match &rule.places {
            Places::Any => vec![(0, u16::MAX)],
            Places::Of(ranges) => {
                ranges.iter().filter(|range| range.table == table).map(|r| (r.first, r.last)).collect()
            }
            Places::Values(values) if write => values
                .iter()
                .filter(|value| value.table == table && writes(function, value))
                .map(|value| (value.address, value.last()))
                .collect(),
            Places::Values(_) => Vec::new(),
        }
    };
    let open = joined(fitting(Effect::Allow).flat_map(places).collect());
    let denied = fitting(Effect::Deny).filter(|rule| !is_conditional(rule)).flat_map(places).collect();
    minus(open, &joined(denied))
}

/// Whether these rules let a unit be asked for a function that names no address.
pub(super) fn allowed_plain(
    conduit: &policy::Conduit,
    rules: &[usize],
    unit: u8,
    function: FunctionCode,
    sub: Option<u16>,
) -> bool {
    let fits = |rule: &&policy::Rule| {
        has_unit(rule, unit)
            && has_function(rule, function, sub)
            && rule.places == Places::Any
            && (rule.effect == Effect::Allow || rule.during.is_empty())
    };
    let first = rules.iter().filter_map(|at| conduit.rules.get(*at)).find(fits);
    first.is_some_and(|rule| rule.effect == Effect::Allow)
}

pub(super) fn joined(mut all: Addresses) -> Addresses {
    all.sort_unstable();
    let mut joined: Addresses = Vec::new();
    for (first, last) in all {
        match joined.last_mut() {
            Some((_, end)) if u32::from(first) <= u32::from(*end) + 1 => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    joined
}

fn minus(from: Addresses, what: &[(u16, u16)]) -> Addresses {
    let mut rest = Vec::new();
    for (first, last) in from {
        let mut at = Some(first);
        for (cut, end) in what.iter().filter(|(cut, end)| *cut <= last && *end >= first) {
            if let Some(begin) = at.filter(|begin| begin < cut) {
                rest.push((begin, cut.saturating_sub(1)));
            }
            at = end.checked_add(1);
        }
        if let Some(begin) = at.filter(|begin| *begin <= last) {
            rest.push((begin, last));
        }
    }
    rest
}

/// What is not in it.
pub(super) fn complement(of: &[(u16, u16)]) -> Addresses {
    minus(vec![(0, u16::MAX)], of)
}

/// What one register may become, as it stands there, where that is all that a value is; `None`: not told by one register.
pub(super) fn register_values(value: &Writable) -> Option<Addresses> {
    if value.table != Table::HoldingRegisters {
        return None;
    }
    let number = |number: i128| u16::try_from(number).ok();
    let bits = |number: i128| i16::try_from(number).ok().map(|n| u16::from_be_bytes(n.to_be_bytes()));
    match (value.value_type, &value.limits) {
        (ValueType::U16, Envelope::Integers { min, max }) => {
            // Limits beyond the type are none.
            Some(vec![(number((*min).clamp(0, 65_535))?, number((*max).clamp(0, 65_535))?)])
        }
        (ValueType::I16, Envelope::Integers { min, max }) => {
            let (min, max) = ((*min).clamp(-32_768, 32_767), (*max).clamp(-32_768, 32_767));
            let mut all = Vec::new();
            if max >= 0 {
                all.push((bits(min.max(0))?, bits(max)?));
            }
            if min < 0 {
                all.push((bits(min)?, bits(max.min(-1))?));
            }
            Some(joined(all))
        }
        (ValueType::U16 | ValueType::Bool, Envelope::OneOf(values)) => {
            Some(joined(values.iter().filter_map(|v| number(*v)).map(|v| (v, v)).collect()))
        }
        (ValueType::I16, Envelope::OneOf(values)) => {
            Some(joined(values.iter().filter_map(|v| bits(*v)).map(|v| (v, v)).collect()))
        }
        (ValueType::Bool, Envelope::Integers { min, max }) => {
            Some(vec![(number((*min).clamp(0, 1))?, number((*max).clamp(0, 1))?)])
        }
        _ => None,
    }
}

// ---- what is left out ------------------------------------------------------------------------------------------------

/// What a tool can hold of a rule.
#[derive(Clone, Copy)]
pub(super) struct Can {
    /// Limits of values that are one register.
    pub(super) registers: bool,
    /// Limits of coils.
    pub(super) coils: bool,
    /// 43/14 apart from 43/13.
    pub(super) mei: bool,
    /// What function 23 reads.
    pub(super) read_of_23: bool,
    /// Where function 24 reads.
    pub(super) fifo: bool,
    /// That a value of several registers is written as a whole.
    pub(super) whole: bool,
    /// Functions that the specification has no name for, apart from each other.
    pub(super) unknown: bool,
}

/// What of a conduit's rules a tool that can do this cannot hold, rule by rule.
pub(super) fn left_out(policy: &Policy, way: &Way<'_>, can: Can) -> Vec<String> {
    let conduit = way.conduit;
    let (mut all, classes) = (Vec::new(), classes(policy, conduit));
    if conduit.limits.requests.is_some() && !way.doors.is_empty() {
        all.push(format!("guard {}: the rate of requests of one client", conduit.name));
    }
    for (at, rule) in conduit.rules.iter().enumerate() {
        if !classes.iter().any(|class| class.rules.contains(&at)) {
            // Where nobody can show a certificate it holds for nobody, and nothing is lost.
            if way.doors.iter().any(|door| door.certificates) {
                all.push(format!("{}: all of it: only a certificate makes it hold", numbered(conduit, at)));
            }
            continue;
        }
        let mut parts: Vec<String> = Vec::new();
        let mut push = |part: &str| parts.push(part.to_owned());
        if !rule.clients.roles.is_empty() && way.doors.iter().any(|door| door.certificates) {
            push("roles from certificates (those of zones are in it)");
        }
        if !rule.during.is_empty() {
            push(if rule.effect == Effect::Allow {
                "the hours: it holds always"
            } else {
                "the hours: it never holds"
            });
        }
        if rule.requests.is_some() {
            push("its rate");
        }
        if rule.mode.is_some_and(|mode| mode != conduit.mode) {
            push("its own mode: what it objects to is told, and not dropped");
        }
        if rule.effect == Effect::Deny && rule.during.is_empty() && is_conditional(rule) {
            push("what it denies, which depends on values");
        } else if let Some(limits) = rule.values
            && limits != (0, u16::MAX)
            && !can.registers
        {
            push("the values that may be written");
        }
        let functions =
            |code: FunctionCode| has_function(rule, code, None) && rule.functions != Functions::Any;
        let specific = !matches!(rule.places, Places::Any);
        if specific && functions(FunctionCode::READ_WRITE_MULTIPLE_REGISTERS) && !can.read_of_23 {
            push("what function 23 reads: each one is told");
        }
        if specific && functions(FunctionCode::READ_FIFO_QUEUE) && !can.fifo {
            push("where function 24 reads: each one is told");
        }
        if let Functions::Of(operations) = &rule.functions {
            let encapsulated = FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT;
            if !can.mei && operations.iter().any(|o| o.function == encapsulated && o.sub.is_some()) {
                push("the MEI type: function 43 as a whole is let be");
            }
            if !can.unknown && operations.iter().any(|o| o.function.0 > 24 && o.function != encapsulated) {
                push(
                    "functions above 24 apart from others of their kind, except at the beginning of a segment",
                );
            }
        }
        if let Places::Values(values) = &rule.places {
            for value in values.iter().filter(|_| rule.effect == Effect::Allow) {
                let lost = value_lost(value, can);
                if !lost.is_empty() {
                    parts.push(format!("of {}: {}", one_line(&value.name), lost.join(", ")));
                }
            }
        }
        all.extend(parts.into_iter().map(|part| format!("{}: {part}", numbered(conduit, at))));
    }
    all
}

/// A rule as reports name it: several may have one name, so that its place is there, too.
pub(super) fn numbered(conduit: &policy::Conduit, at: usize) -> String {
    let name = conduit.rules.get(at).map_or("", |rule| rule.name.as_str());
    format!("guard {}, rule {} ({})", conduit.name, at + 1, one_line(name))
}

fn value_lost(value: &Writable, can: Can) -> Vec<&'static str> {
    let mut lost = Vec::new();
    let any = match &value.limits {
        Envelope::Any => true,
        // Both states of a coil.
        Envelope::Integers { min, max } => value.table == Table::Coils && (*min, *max) == (0, 1),
        Envelope::OneOf(_) | Envelope::Floats { .. } => false,
    };
    let seen = match value.table {
        Table::Coils => can.coils,
        _ => can.registers && register_values(value).is_some(),
    };
    if !any && !seen {
        lost.push("its limits");
    }
    if value.width() > 1 && !can.whole {
        lost.push("that it is written as a whole");
    }
    if matches!(value.value_type, ValueType::Bit(_)) && !can.whole {
        lost.push("which bit");
    }
    if value.max_step.is_some() {
        lost.push("its step");
    }
    if value.rate.is_some() {
        lost.push("its rate");
    }
    if value.after.is_some() {
        lost.push("what has to be so before");
    }
    lost
}

/// A name as a part of a comment or of a quoted text: it cannot end either.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '"' || c == '\\' { ' ' } else { c }).collect()
}

/// What the site's own part is called there.
pub(super) fn module(site: &Site, options: &Options) -> String {
    identifier(options.name.as_deref().unwrap_or(site.name()))
}

/// A name of letters, digits and `_`, as every tool takes them; the name of a site becomes a part of it.
fn identifier(text: &str) -> String {
    /// What nftables takes is longer; a name that long helps nobody.
    const LENGTH: usize = 48;
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if name.len() >= LENGTH {
            break;
        }
    }
    let name = name.trim_end_matches('_');
    if name.is_empty() { "site".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use port502_inspect::policy::{
        Client, Clients, Decision, Limits, Mode, Places, Range, Refusal, Rule, Zone,
    };
    use port502_wire::{Request, Span, UnitId};
    use proptest::prelude::*;

    const NETWORKS: [&str; 9] = [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.0.0.0/24",
        "10.0.0.0/25",
        "10.0.0.7",
        "10.0.1.0/24",
        "10.0.1.9",
        "fd00::/8",
        "fd00::7",
    ];
    const ADDRESSES: [&str; 9] = [
        "10.0.0.7",
        "10.0.0.8",
        "10.0.0.200",
        "10.0.1.9",
        "10.0.1.10",
        "10.9.9.9",
        "192.168.0.1",
        "fd00::7",
        "fd00::8",
    ];
    const ROLES: [&str; 3] = ["operator", "engineer", "viewer"];

    fn network(at: usize) -> Network {
        NETWORKS[at].parse().unwrap()
    }

    /// Denials first, as a site has them.
    fn any_conduit() -> impl Strategy<Value = policy::Conduit> {
        let range = (0..12_u16, 0..4_u16).prop_map(|(first, more)| Range {
            table: Table::HoldingRegisters,
            first,
            last: first + more,
        });
        let places = prop_oneof![
            3 => prop::collection::vec(range, 1..4).prop_map(Places::Of),
            1 => Just(Places::Any),
        ];
        let clients =
            (prop::collection::vec(0..NETWORKS.len(), 0..3), prop::option::weighted(0.3, 0..ROLES.len()));
        let rule = (clients, places, 1..3_u8, prop::bool::weighted(0.2)).prop_map(
            |((networks, role), places, unit, deny)| {
                let functions = [3, 17].map(|code| Operation { function: FunctionCode(code), sub: None });
                Rule {
                    name: "r".to_owned(),
                    effect: if deny { Effect::Deny } else { Effect::Allow },
                    clients: Clients {
                        networks: networks.into_iter().map(network).collect(),
                        roles: role.map(|role| ROLES[role].to_owned()).into_iter().collect(),
                        ..Clients::default()
                    },
                    units: vec![(unit, unit)],
                    functions: Functions::Of(functions.to_vec()),
                    places,
                    values: None,
                    during: Vec::new(),
                    requests: None,
                    mode: None,
                    refusal: None,
                }
            },
        );
        prop::collection::vec(rule, 0..8).prop_map(|mut rules| {
            rules.sort_by_key(|rule| rule.effect == Effect::Allow);
            policy::Conduit {
                name: "c".to_owned(),
                mode: Mode::Enforce,
                refusal: Refusal::default(),
                limits: Limits::default(),
                devices: vec![("a".to_owned(), UnitId(1)), ("b".to_owned(), UnitId(2))],
                rules,
            }
        })
    }

    fn policy(conduit: policy::Conduit) -> Policy {
        let zone = |name: &str, at: usize, role: &str| Zone {
            name: name.to_owned(),
            networks: vec![network(at)],
            roles: vec![role.to_owned()],
        };
        // Zones do not overlap, but rules may be for parts of them.
        let zones =
            vec![zone("control", 2, "operator"), zone("office", 5, "viewer"), zone("six", 7, "engineer")];
        Policy { zones, conduits: vec![conduit] }
    }

    fn holds(class: &Class, address: IpAddr) -> bool {
        (class.networks.is_empty() || class.networks.iter().any(|network| network.contains(address)))
            && !class.except.iter().any(|network| network.contains(address))
    }

    proptest! {
        /// Everybody is in one class, and what is allowed to it is what is allowed to each of its clients.
        #[test]
        fn classes_are_judged_as_their_clients(conduit in any_conduit()) {
            let policy = policy(conduit);
            let conduit = &policy.conduits[0];
            let classes = classes(&policy, conduit);
            let door = Door { address: None, port: 502, tls: false, certificates: false, shown: String::new() };
            let admitted = admitted(&policy, conduit, &door);
            for address in ADDRESSES.map(|address| address.parse::<IpAddr>().unwrap()) {
                let own: Vec<&Class> = classes.iter().filter(|class| holds(class, address)).collect();
                prop_assert_eq!(own.len(), 1, "{} {:?}", address, &classes);
                let roles: Vec<&str> = policy.roles_of(address).collect();
                let client = Client { address, subject: None, roles: &roles };
                let mut any = false;
                for unit in [1, 2] {
                    let judged = |request: &Request<'_>| {
                        matches!(conduit.judge(client, UnitId(unit), request), Decision::Allowed { .. })
                    };
                    let side = (Table::HoldingRegisters, false);
                    let open = allowed(conduit, &own[0].rules, unit, FunctionCode(3), side);
                    for at in (0..20).chain([65_535]) {
                        let read = Request::ReadHoldingRegisters { span: Span::new(at, 1).unwrap() };
                        let within = open.iter().any(|(first, last)| (*first..=*last).contains(&at));
                        prop_assert_eq!(judged(&read), within, "{} unit {} at {}: {:?}", address, unit, at, &open);
                        any |= within;
                    }
                    let plain = allowed_plain(conduit, &own[0].rules, unit, FunctionCode(17), None);
                    prop_assert_eq!(judged(&Request::ReportServerId), plain, "{} unit {}", address, unit);
                    any |= plain;
                }
                let lets = admitted.as_ref().is_none_or(|all| all.iter().any(|network| network.contains(address)));
                prop_assert!(lets || !any, "{} is kept out and may do something", address);
            }
        }

        #[test]
        fn what_is_not_in_it_is_the_rest(ranges in prop::collection::vec((any::<u16>(), 0..400_u16), 0..6), at in any::<u16>()) {
            let within = |ranges: &[(u16, u16)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&at));
            let ranges: Addresses = ranges.into_iter().map(|(first, more)| (first, first.saturating_add(more))).collect();
            let joined = joined(ranges.clone());
            prop_assert_eq!(within(&ranges), within(&joined));
            prop_assert_eq!(within(&joined), !within(&complement(&joined)));
        }
    }

    #[test]
    fn names_become_identifiers() {
        for (name, want) in [
            ("Northfield water works", "northfield_water_works"),
            ("Süd 2 / B", "s_d_2_b"),
            ("  ", "site"),
            ("水", "site"),
            (&"x".repeat(99), &"x".repeat(48)),
        ] {
            assert_eq!(identifier(name), want);
        }
    }
}
