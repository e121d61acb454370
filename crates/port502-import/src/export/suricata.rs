//! A site for Suricata: rules that tell what the guard would refuse.
//!
//! There are no `pass` rules, for two reasons that were found by trying (Suricata 7.0.10):
//!
//! - an address range matches a request that *touches* it: a rule that lets 100 to 109 pass also lets a read of 90 to 200
//!   pass;
//! - what passes takes its whole packet along: a write behind an allowed read in one segment would not be told.
//!
//! So each rule is for what is *not* allowed: a function that no rule of the site has, addresses between and around
//! those allowed, values outside of their limits. A request that touches one of them is told, wherever it stands. More
//! that was found:
//!
//! - addresses count from 1 there, and a request that reaches the last address of a table, 65535, has none at all;
//! - functions above 24, other than 43, are all the same function; only their kind can be named (user, reserved,
//!   unassigned). A connection that begins with one of these is not even recognised as Modbus, and is looked at by
//!   its bytes;
//! - of function 23 only what is written has an address, function 24 has none, and of coils no value can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use port502_inspect::policy::{self, Effect, Mode, Places, Policy};
use port502_inspect::verdict::Reason;
use port502_site::site::Site;
use port502_wire::value::Value;
use port502_wire::{FunctionCode, Table};

use super::ways::{
    self, Addresses, Behind, Can, Class, Door, ExportError, Exported, Options, Way, numbered, one_line,
};

/// The ids of rules: a part of those that are kept for one's own rules. Which of them a rule has follows from what it is
/// about, so that it stays the same when others come and go.
pub const SIDS: RangeInclusive<u32> = 1_502_000..=1_999_999;

/// Registers of one rule of the site whose values are looked at one by one; those of a longer list are not.
pub const REGISTERS_MAX: usize = 256;

const CAN: Can = Can {
    registers: true,
    coils: false,
    mei: false,
    read_of_23: false,
    fifo: false,
    whole: false,
    unknown: false,
};

/// The rules for a site.
///
/// # Errors
/// No conduit, or host names in the place of addresses.
pub fn suricata(site: &Site, policy: &Policy, options: &Options) -> Result<Exported, ExportError> {
    let ways = ways::ways(site, policy, options)?;
    let mut left_out = Vec::new();
    let mut rules = Rules { text: String::new(), sids: BTreeSet::new(), site: site.name() };
    for way in &ways {
        let _ = writeln!(rules.text, "\n# ---- guard {}: {} ----", way.conduit.name, way.to);
        let drops = options.drop && way.conduit.mode == Mode::Enforce;
        let writer = Writer { policy, way, action: if drops { "drop" } else { "alert" } };
        let mut open = false;
        for door in &way.doors {
            open |= !door.tls;
            writer.door(door, options, &mut rules);
        }
        if open {
            left_out.extend(ways::left_out(policy, way, CAN));
            left_out.extend(writer.long_lists());
        } else {
            left_out.push(format!(
                "guard {}: all of its rules: what goes in is encrypted, and only who connects is seen",
                way.conduit.name
            ));
        }
        if way.doors.iter().any(|door| door.tls) && open {
            left_out.push(format!("guard {}: what goes in by TLS, but for who connects", way.conduit.name));
        }
        if !options.without_guard {
            writer.round_about(options, &mut rules, &mut left_out);
        }
    }
    let mut text = header(site, &ways, &left_out);
    text.push_str(&rules.text);
    Ok(Exported { text, left_out })
}

fn header(site: &Site, ways: &[Way<'_>], left_out: &[String]) -> String {
    let ports: BTreeSet<u16> =
        ways.iter().flat_map(|way| &way.doors).filter(|door| !door.tls).map(|door| door.port).collect();
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let mut text = format!(
        "# {}: what the guard would refuse.\n\
         # Made by `port502 export --to suricata`; make it anew instead of changing it.\n\
         #\n\
         # Modbus is off unless suricata.yaml says otherwise:\n\
         #   app-layer.protocols.modbus: {{ enabled: yes, detection-ports: {{ dp: {} }}, stream-depth: 0 }}\n\
         # Its own modbus-events.rules tell what is no Modbus at all; load them as well.\n\
         # Each rule is for what is not allowed: there is none to pass, because a rule that passes would take along what else\n\
         # is in the packet. Addresses count from 1. Ids are from {} to {}.\n\
         #\n\
         # Not in it:\n\
         # - a request that reaches address 65535 of its table: it has no addresses for Suricata\n\
         # - what follows on a connection that begins with an allowed function above 24, other than 43: it is not understood\n\
         # - how many connections and requests there may be\n",
        one_line(site.name()),
        ports.join(", "),
        SIDS.start(),
        SIDS.end(),
    );
    for line in left_out {
        let _ = writeln!(text, "# - {line}");
    }
    text
}

struct Rules<'s> {
    text: String,
    sids: BTreeSet<u32>,
    site: &'s str,
}

/// An id from what a rule is about (FNV-1a); the next one that is free.
fn sid(taken: &BTreeSet<u32>, about: &str) -> u32 {
    let hash =
        about.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let (first, last) = (*SIDS.start(), *SIDS.end());
    let wanted = first + hash % (last - first + 1);
    (wanted..=last).chain(first..wanted).find(|sid| !taken.contains(sid)).unwrap_or(wanted)
}

/// What is told, and of whom.
struct Told<'t> {
    reason: Reason,
    function: Option<u8>,
    sub: Option<u16>,
    /// The rule of the site that says so, where there is one.
    rule: Option<&'t str>,
    what: String,
}

struct Writer<'w> {
    policy: &'w Policy,
    way: &'w Way<'w>,
    action: &'static str,
}

impl Writer<'_> {
    fn door(&self, door: &Door, options: &Options, rules: &mut Rules<'_>) {
        let there = match door.address {
            Some(address) => address.to_string(),
            None if options.guard.is_empty() => "any".to_owned(),
            None => list(options.guard.iter().map(ToString::to_string)),
        };
        let _ = writeln!(rules.text, "# {}", one_line(&door.shown));
        let to = format!("{there} {}", door.port);
        if let Some(admitted) = ways::admitted(self.policy, self.way.conduit, door) {
            let strangers = if admitted.is_empty() {
                "any".to_owned()
            } else {
                format!("!{}", list(admitted.iter().map(ToString::to_string)))
            };
            let told = Told {
                reason: Reason::Client,
                function: None,
                sub: None,
                rule: None,
                what: format!("connects to {}", door.port),
            };
            self.put(rules, "tcp", &strangers, &to, "flags:S,CE; flow:to_server;", &told);
        }
        if door.tls {
            return;
        }
        for class in ways::classes(self.policy, self.way.conduit) {
            // Who may do nothing at all is told when connecting.
            let may = class.rules.iter().filter_map(|at| self.way.conduit.rules.get(*at));
            if may.clone().any(|rule| rule.effect == Effect::Allow) {
                self.class(&class, &to, rules);
            }
        }
    }

    /// Whoever goes round the guard.
    fn round_about(&self, options: &Options, rules: &mut Rules<'_>, left_out: &mut Vec<String>) {
        let Behind::Network { address, port, udp } = self.way.behind else { return };
        if address.is_loopback() {
            return;
        }
        if options.guard.is_empty() {
            left_out.push(format!(
                "guard {}: who goes round it to {}; say --guard-address for that",
                self.way.conduit.name, self.way.target
            ));
            return;
        }
        let guards = list(options.guard.iter().map(ToString::to_string));
        let told = Told {
            reason: Reason::Client,
            function: None,
            sub: None,
            rule: None,
            what: format!("goes round the guard to {}", self.way.target),
        };
        let (protocol, when) =
            if udp { ("udp", "flow:to_server;") } else { ("tcp", "flags:S,CE; flow:to_server;") };
        self.put(rules, protocol, &format!("!{guards}"), &format!("{address} {port}"), when, &told);
    }

    fn class(&self, class: &Class, to: &str, rules: &mut Rules<'_>) {
        let conduit = self.way.conduit;
        let from = source(class);
        let held: Vec<&policy::Rule> = class.rules.iter().filter_map(|at| conduit.rules.get(*at)).collect();
        let units: Vec<u8> = (0..=u8::MAX)
            .filter(|unit| {
                held.iter().any(|rule| rule.effect == Effect::Allow && ways::has_unit(rule, *unit))
            })
            .collect();
        let names: Vec<String> = held.iter().map(|rule| one_line(&rule.name)).collect();
        let _ = writeln!(rules.text, "# {from}: {}", names.join(", "));
        // Units that may not be asked for anything.
        let known = ways::joined(units.iter().map(|unit| (u16::from(*unit), u16::from(*unit))).collect());
        for (first, last) in ways::complement(&known).into_iter().filter(|(first, _)| *first <= 255) {
            for part in unit_gap(first, last.min(255)) {
                let told =
                    Told { reason: Reason::Unit, function: None, sub: None, rule: None, what: part.clone() };
                self.put(rules, "modbus", &from, to, &keyword(&[part]), &told);
            }
        }
        // What is told, and of which units.
        let mut facts: BTreeMap<Fact, BTreeSet<u8>> = BTreeMap::new();
        for unit in &units {
            for fact in self.facts(class, *unit) {
                facts.entry(fact).or_default().insert(*unit);
            }
        }
        let unknown_allowed: BTreeSet<u8> = (25..=127)
            .filter(|code| *code != 43)
            .filter(|code| units.iter().any(|unit| self.plain(class, *unit, *code, None)))
            .collect();
        for (fact, of) in facts {
            if of.len() == units.len() {
                self.fact(rules, &from, to, None, &fact);
            } else {
                for unit in of {
                    self.fact(rules, &from, to, Some(unit), &fact);
                }
            }
        }
        self.unknown(rules, &from, to, &unknown_allowed);
    }

    fn plain(&self, class: &Class, unit: u8, code: u8, sub: Option<u16>) -> bool {
        ways::allowed_plain(self.way.conduit, &class.rules, unit, FunctionCode(code), sub)
    }

    /// What this class may not do of a unit, as far as it can be said.
    fn facts(&self, class: &Class, unit: u8) -> Vec<Fact> {
        let conduit = self.way.conduit;
        let mut facts = Vec::new();
        for code in (1..=24_u8).chain([43]) {
            let function = FunctionCode(code);
            let (reads, writes) = ways::tables(function);
            let places = |table, write| ways::allowed(conduit, &class.rules, unit, function, (table, write));
            match (reads, writes, code) {
                (None, None, 8) => {
                    let may: Vec<u16> =
                        (0..=SUBS_MAX).filter(|sub| self.plain(class, unit, 8, Some(*sub))).collect();
                    if may.is_empty() {
                        facts.push(Fact::Function { code, sub: None });
                    } else {
                        let not = (0..=SUBS_MAX).filter(|sub| !may.contains(sub));
                        facts.extend(not.map(|sub| Fact::Function { code, sub: Some(sub) }));
                    }
                }
                (None, None, 43) => {
                    if ![13, 14].into_iter().any(|mei| self.plain(class, unit, 43, Some(mei))) {
                        facts.push(Fact::Function { code, sub: None });
                    }
                }
                (None, None, _) => {
                    if !self.plain(class, unit, code, None) {
                        facts.push(Fact::Function { code, sub: None });
                    }
                }
                // It reads where that cannot be seen.
                (Some(table), _, 23 | 24) => {
                    let write_half = code == 23 && places(table, true).is_empty();
                    let everywhere = places(table, false) == [(0, u16::MAX)];
                    if write_half || !everywhere {
                        facts.push(Fact::Function { code, sub: None });
                    } else if code == 23 {
                        self.places(&mut facts, class, unit, (code, table), true);
                    }
                }
                (Some(table), None, _) => self.places(&mut facts, class, unit, (code, table), false),
                (_, Some(table), _) => self.places(&mut facts, class, unit, (code, table), true),
            }
        }
        facts
    }

    fn places(
        &self,
        facts: &mut Vec<Fact>,
        class: &Class,
        unit: u8,
        (code, table): (u8, Table),
        write: bool,
    ) {
        let places = ways::allowed(self.way.conduit, &class.rules, unit, FunctionCode(code), (table, write));
        if places.is_empty() {
            facts.push(Fact::Function { code, sub: None });
            return;
        }
        for (first, last) in ways::complement(&places) {
            facts.push(Fact::Place { code, table, write, first, last });
        }
        if write && table == Table::HoldingRegisters && code != 22 {
            for (address, (values, rule)) in self.values(class, unit, code, &places) {
                for (low, high) in ways::complement(&values) {
                    facts.push(Fact::Value { code, address, low, high, rule: rule.clone() });
                }
            }
        }
    }

    /// The registers whose values are limited, with what they may become and a rule that says so.
    fn values(
        &self,
        class: &Class,
        unit: u8,
        code: u8,
        places: &Addresses,
    ) -> BTreeMap<u16, (Addresses, String)> {
        let conduit = self.way.conduit;
        let function = FunctionCode(code);
        let mut limited: BTreeMap<u16, (Addresses, String)> = BTreeMap::new();
        let mut free: Addresses = Vec::new();
        let rules = class.rules.iter().filter_map(|at| conduit.rules.get(*at));
        for rule in rules.filter(|rule| {
            rule.effect == Effect::Allow
                && ways::has_unit(rule, unit)
                && ways::has_function(rule, function, None)
        }) {
            let mut limit = |address: u16, values: &[(u16, u16)]| {
                let entry = limited.entry(address).or_insert_with(|| (Vec::new(), rule.name.clone()));
                entry.0.extend(values);
            };
            match (&rule.places, rule.values) {
                (Places::Values(values), _) => {
                    for value in values.iter().filter(|value| {
                        value.table == Table::HoldingRegisters && ways::writes(function, value)
                    }) {
                        match ways::register_values(value) {
                            Some(values) => limit(value.address, &values),
                            None => free.push((value.address, value.last())),
                        }
                    }
                }
                (Places::Of(ranges), Some(values)) => {
                    let ranges: Addresses = ranges
                        .iter()
                        .filter(|range| range.table == Table::HoldingRegisters)
                        .map(|range| (range.first, range.last))
                        .collect();
                    if count(&ranges) <= REGISTERS_MAX {
                        ranges
                            .iter()
                            .flat_map(|(first, last)| *first..=*last)
                            .for_each(|at| limit(at, &[values]));
                    } else {
                        free.extend(ranges);
                    }
                }
                (Places::Of(ranges), None) => {
                    let holding = ranges.iter().filter(|range| range.table == Table::HoldingRegisters);
                    free.extend(holding.map(|range| (range.first, range.last)));
                }
                (Places::Any, _) => free.push((0, u16::MAX)),
            }
        }
        let inside = |ranges: &[(u16, u16)], at: u16| ranges.iter().any(|(f, l)| (*f..=*l).contains(&at));
        // An address that some rule lets become anything is not limited. The last one cannot be seen.
        limited.retain(|at, _| !inside(&free, *at) && inside(places, *at) && *at != u16::MAX);
        limited.values_mut().for_each(|(values, _)| *values = ways::joined(std::mem::take(values)));
        limited
    }

    /// Lists of registers that are too long to look at one by one.
    fn long_lists(&self) -> Vec<String> {
        let conduit = self.way.conduit;
        let long = |(_, rule): &(usize, &policy::Rule)| {
            let registers = match &rule.places {
                Places::Any => REGISTERS_MAX + 1,
                Places::Of(ranges) => count(
                    &ranges
                        .iter()
                        .filter(|range| range.table == Table::HoldingRegisters)
                        .map(|range| (range.first, range.last))
                        .collect(),
                ),
                Places::Values(_) => 0,
            };
            rule.effect == Effect::Allow
                && rule.values.is_some_and(|values| values != (0, u16::MAX))
                && registers > REGISTERS_MAX
        };
        let told = |(at, _)| {
            format!("{}: its values, for more than {REGISTERS_MAX} registers", numbered(conduit, at))
        };
        conduit.rules.iter().enumerate().filter(long).map(told).collect()
    }

    fn fact(&self, rules: &mut Rules<'_>, from: &str, to: &str, unit: Option<u8>, fact: &Fact) {
        let of = unit.map(|unit| format!("unit {unit}, ")).unwrap_or_default();
        match fact {
            Fact::Function { code, sub } => {
                let sub_text = sub.map(|sub| format!(", subfunction {sub}")).unwrap_or_default();
                let what = format!("{of}function {code}{sub_text}");
                let told = Told {
                    reason: self.function_reason(*code),
                    function: Some(*code),
                    sub: *sub,
                    rule: self.denying(*code),
                    what: what.clone(),
                };
                self.put(rules, "modbus", from, to, &keyword(&[what]), &told);
            }
            Fact::Place { code, table, write, first, last } => {
                let access = if *write { "write" } else { "read" };
                let table = table_word(*table);
                for part in address_gap(*first, *last) {
                    let parts =
                        [format!("{of}function {code}"), format!("access {access} {table}, address {part}")];
                    let told = Told {
                        reason: Reason::Address,
                        function: Some(*code),
                        sub: None,
                        rule: None,
                        what: format!("{of}function {code} at {table} {first}-{last}"),
                    };
                    self.put(rules, "modbus", from, to, &keyword(&parts), &told);
                }
            }
            Fact::Value { code, address, low, high, rule } => {
                for part in value_gap(*low, *high) {
                    let at = u32::from(*address) + 1;
                    let parts = [
                        format!("{of}function {code}"),
                        format!("access write holding, address {at}, value {part}"),
                    ];
                    let told = Told {
                        reason: Reason::Limits { value: Value::Unsigned((*low).into()) },
                        function: Some(*code),
                        sub: None,
                        rule: Some(rule),
                        what: format!("{of}function {code} at holding {address} = {low}-{high}"),
                    };
                    self.put(rules, "modbus", from, to, &keyword(&parts), &told);
                }
            }
        }
    }

    fn denying(&self, code: u8) -> Option<&str> {
        let denies = |rule: &&policy::Rule| {
            rule.effect == Effect::Deny
                && rule.functions != policy::Functions::Any
                && (ways::has_function(rule, FunctionCode(code), Some(1))
                    || ways::has_function(rule, FunctionCode(code), None))
        };
        self.way.conduit.rules.iter().find(denies).map(|rule| rule.name.as_str())
    }

    fn function_reason(&self, code: u8) -> Reason {
        if self.denying(code).is_some() { Reason::Denied } else { Reason::Function }
    }

    /// Functions that Suricata does not tell apart, and those that hide a connection from it.
    fn unknown(&self, rules: &mut Rules<'_>, from: &str, to: &str, allowed: &BTreeSet<u8>) {
        for (kind, codes) in KINDS {
            let has = |code: &u8| codes.iter().any(|(first, last)| (*first..=*last).contains(code));
            if allowed.iter().any(has) {
                continue;
            }
            // The first of its kind stands for all of them.
            let told = Told {
                reason: Reason::Function,
                function: codes.first().map(|(first, _)| *first),
                sub: None,
                rule: None,
                what: format!("a function that is {kind}"),
            };
            self.put(rules, "modbus", from, to, &keyword(&[format!("function {kind}")]), &told);
        }
        let mut test = "byte_test:1,>,24,7; byte_test:1,!=,43,7;".to_owned();
        for code in allowed {
            let _ = write!(test, " byte_test:1,!=,{code},7;");
        }
        let told = Told {
            reason: Reason::Function,
            function: Some(90),
            sub: None,
            rule: None,
            what: "a segment that begins with a function above 24".to_owned(),
        };
        let when = format!("flow:to_server,established; content:\"|00 00|\"; offset:2; depth:2; {test}");
        self.put(rules, "tcp", from, to, &when, &told);
    }

    fn put(&self, rules: &mut Rules<'_>, protocol: &str, from: &str, to: &str, when: &str, told: &Told<'_>) {
        let name = &self.way.conduit.name;
        let technique = told.reason.technique(told.function.map(FunctionCode), told.sub);
        let about = format!("{}/{name}/{from}/{to}/{}/{}", rules.site, told.reason.word(), when);
        let sid = sid(&rules.sids, &about);
        rules.sids.insert(sid);
        // A rule of the site that only records what it objects to does not drop it here either.
        let own_mode = |rule: &policy::Rule| rule.mode.is_some_and(|mode| mode != self.way.conduit.mode);
        let named = |rule: &&policy::Rule| told.rule == Some(rule.name.as_str());
        let records = self.way.conduit.rules.iter().filter(named).any(own_mode);
        let action = if records { "alert" } else { self.action };
        let rule = told.rule.map(|rule| format!(", rule {}", plain(rule))).unwrap_or_default();
        let _ = writeln!(
            rules.text,
            "{} {protocol} {from} any -> {to} (msg:\"port502 {name} {}: {}\"; {when} metadata:conduit {name}, reason {}{rule}, \
             mitre_technique_id {}; sid:{sid}; rev:1;)",
            action,
            told.reason.word(),
            one_line(&told.what).replace(';', " "),
            told.reason.word(),
            technique.id,
        );
    }
}

/// What is not allowed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fact {
    Function { code: u8, sub: Option<u16> },
    Place { code: u8, table: Table, write: bool, first: u16, last: u16 },
    Value { code: u8, address: u16, low: u16, high: u16, rule: String },
}

/// The last sub-function of function 08 that the specification knows; those above it count as reserved.
const SUBS_MAX: u16 = 20;

/// Kinds of functions as Suricata sees them, with their codes above 24, but for 43.
const KINDS: [(&str, &[(u8, u8)]); 3] = [
    ("unassigned", &[(25, 40), (44, 64), (73, 89), (92, 99), (111, 124)]),
    ("user", &[(65, 72), (100, 110)]),
    ("reserved", &[(41, 42), (90, 91), (125, 127)]),
];

fn table_word(table: Table) -> &'static str {
    match table {
        Table::Coils => "coils",
        Table::DiscreteInputs => "discretes",
        Table::InputRegisters => "input",
        Table::HoldingRegisters => "holding",
    }
}

fn keyword(parts: &[String]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| format!("modbus: {part};")).collect();
    format!("flow:to_server; {}", parts.join(" "))
}

/// `[10.20.0.0/24,!10.20.0.7]`.
fn source(class: &Class) -> String {
    let within: Vec<String> = class.networks.iter().map(ToString::to_string).collect();
    let except: Vec<String> = class.except.iter().map(|network| format!("!{network}")).collect();
    match (within.is_empty(), except.is_empty()) {
        (true, true) => "any".to_owned(),
        _ => list(within.into_iter().chain(except)),
    }
}

fn list(all: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", all.into_iter().collect::<Vec<_>>().join(","))
}

/// Addresses of the wire that a request may not touch, in numbers that count from 1. Both ends of `a<>b` are outside.
fn address_gap(first: u16, last: u16) -> Vec<String> {
    let (first, last) = (u32::from(first) + 1, u32::from(last) + 1);
    open_range(first, last, 1, 65_536)
}

/// `value 10<>65526`: values that may not be.
fn value_gap(low: u16, high: u16) -> Vec<String> {
    open_range(low.into(), high.into(), 0, 65_535)
}

/// `unit 2<>5`.
fn unit_gap(first: u16, last: u16) -> Vec<String> {
    open_range(first.into(), last.into(), 0, 255).into_iter().map(|range| format!("unit {range}")).collect()
}

/// A range in the words of the keyword. One that begins with 0 means all below its end, and one that ends with 65535 all
/// above its beginning: where that would be too much, the outermost number stands alone.
fn open_range(first: u32, last: u32, least: u32, most: u32) -> Vec<String> {
    if first == last {
        // 65536 does not fit the keyword, and no request has it.
        return if first > 65_535 { Vec::new() } else { vec![first.to_string()] };
    }
    if first <= least {
        return if last >= most {
            vec![format!(">{least}"), least.to_string()]
        } else {
            vec![format!("<{}", last + 1)]
        };
    }
    if last >= most {
        return vec![format!(">{}", first - 1)];
    }
    let mut parts = Vec::new();
    let (mut first, mut last) = (first, last);
    if first == 1 {
        parts.push("1".to_owned());
        first += 1;
    }
    if last == 65_534 {
        parts.push("65534".to_owned());
        last -= 1;
    }
    if first == last {
        parts.push(first.to_string());
    } else if first < last {
        parts.push(format!("{}<>{}", first - 1, last + 1));
    }
    parts
}

fn count(ranges: &Addresses) -> usize {
    ranges.iter().map(|(first, last)| usize::from(last - first) + 1).sum()
}

/// A value of `metadata`, which is of words.
fn plain(text: &str) -> String {
    let words = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    let plain: String = text.chars().map(words).collect();
    if plain.is_empty() { "unnamed".to_owned() } else { plain }
}
