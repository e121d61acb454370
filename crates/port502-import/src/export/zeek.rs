//! A site for Zeek: a script that raises a notice for what the guard would refuse.
//!
//! The script has the conduit's rules as a table, and judges item by item as `policy` of `port502-inspect` does: the first
//! rule that fits decides, and what no rule fits is told. It needs the events of Zeek's Modbus analyzer only, whose
//! signatures are those of 4.0 and later (`base/bif/plugins/Zeek_Modbus.events.bif.zeek`). The part that is the same for
//! every site is `policy.zeek`.

use std::fmt::Write as _;
use std::net::IpAddr;

use port502_inspect::Network;
use port502_inspect::policy::{self, Effect, Envelope, Functions, Places, Policy, Writable};
use port502_site::compile::show;
use port502_site::site::Site;
use port502_wire::value::ValueType;
use port502_wire::{FunctionCode, Table};

use super::ways::{self, Behind, Can, ExportError, Exported, Options, Way, numbered, one_line};

/// What is the same for every site.
const SCRIPT: &str = include_str!("policy.zeek");

const CAN: Can = Can {
    registers: true,
    coils: true,
    mei: false,
    read_of_23: true,
    fifo: true,
    whole: true,
    unknown: true,
};

/// The script for a site.
///
/// # Errors
/// No conduit, or host names in the place of addresses.
pub fn zeek(site: &Site, policy: &Policy, options: &Options) -> Result<Exported, ExportError> {
    let ways = ways::ways(site, policy, options)?;
    let mut left_out = Vec::new();
    for way in &ways {
        let name = &way.conduit.name;
        if way.doors.iter().all(|door| door.tls) {
            left_out.push(format!(
                "guard {name}: all of its rules: what goes in is encrypted, and only who connects is seen"
            ));
        } else {
            left_out.extend(ways::left_out(policy, way, CAN));
            left_out.extend(sub_functions(way));
            if way.doors.iter().any(|door| door.tls) {
                left_out.push(format!("guard {name}: what goes in by TLS, but for who connects"));
            }
        }
        let beyond = matches!(way.behind, Behind::Network { address, .. } if !address.is_loopback());
        if beyond && options.guard.is_empty() && !options.without_guard {
            left_out.push(format!(
                "guard {name}: who goes round it to {}; say --guard-address for that",
                way.target
            ));
        }
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "##! {}: what the guard would refuse.\n\
         ##! Made by `port502 export --to zeek`; make it anew instead of changing it.\n\
         ##!\n\
         ##! Load it with `@load` from local.zeek, or name it on the command line.\n\
         ##!\n\
         ##! Not in it:\n\
         ##! - how many connections and requests there may be",
        one_line(site.name())
    );
    for line in &left_out {
        let _ = writeln!(text, "##! - {line}");
    }
    let _ = writeln!(
        text,
        "\n@load base/frameworks/notice\n@load base/protocols/modbus\n\nmodule Port502_{};\n\nexport {{\n{SCRIPT}",
        ways::module(site, options)
    );
    data(&mut text, policy, &ways, options);
    Ok(Exported { text, left_out })
}

/// What the events do not tell: sub-functions.
fn sub_functions(way: &Way<'_>) -> Vec<String> {
    let named = |(_, rule): &(usize, &policy::Rule)| match &rule.functions {
        Functions::Any => false,
        Functions::Of(all) => {
            all.iter().any(|one| one.function == FunctionCode::DIAGNOSTICS && one.sub.is_some())
        }
    };
    let told = |(at, rule): (usize, &policy::Rule)| {
        let what = match rule.effect {
            Effect::Allow => "the sub-function: function 8 as a whole is let be",
            Effect::Deny => "the sub-function: it denies function 8 where no rule allows it, and only there",
        };
        format!("{}: {what}", numbered(way.conduit, at))
    };
    way.conduit.rules.iter().enumerate().filter(named).map(told).collect()
}

fn data(text: &mut String, policy: &Policy, ways: &[Way<'_>], options: &Options) {
    let _ = writeln!(text, "\n# ---- this site ----\n\nevent zeek_init()\n\t{{");
    let ports = |tls: bool| {
        let mut ports: Vec<u16> = ways
            .iter()
            .flat_map(|way| &way.doors)
            .filter(|door| door.tls == tls)
            .map(|door| door.port)
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports.iter().map(|port| format!("{port}/tcp")).collect::<Vec<_>>().join(", ")
    };
    let open = ports(false);
    if !open.is_empty() {
        let _ = writeln!(text, "\tAnalyzer::register_for_ports(Analyzer::ANALYZER_MODBUS, set({open}));");
    }
    for way in ways {
        let name = &way.conduit.name;
        let _ = writeln!(text, "\n\t# guard {name}: {}", way.to);
        for door in &way.doors {
            let mut fields = format!("$conduit=\"{name}\", $p={}/tcp", door.port);
            let hosts: Vec<String> = match door.address {
                Some(address) => vec![host(address)],
                None => options.guard.iter().copied().map(host).collect(),
            };
            if !hosts.is_empty() {
                let _ = write!(fields, ", $hosts=set({})", hosts.join(", "));
            }
            if let Some(admitted) = ways::admitted(policy, way.conduit, door) {
                // Nobody is not everybody: no client has this address.
                let admitted = if admitted.is_empty() { "0.0.0.0/32".to_owned() } else { subnets(&admitted) };
                let _ = write!(fields, ", $clients=set({admitted})");
            }
            if door.tls {
                fields.push_str(", $encrypted=T");
            }
            let _ = writeln!(text, "\tdoors += Door({fields}); # {}", one_line(&door.shown));
        }
        if let Behind::Network { address, port, udp } = way.behind
            && !address.is_loopback()
            && !options.guard.is_empty()
            && !options.without_guard
        {
            let guards: Vec<String> = options.guard.iter().copied().map(host).collect();
            let _ = writeln!(
                text,
                "\tguarded += Guarded($conduit=\"{name}\", $host={}, $p={port}/{}, $guards=set({}));",
                host(address),
                if udp { "udp" } else { "tcp" },
                guards.join(", ")
            );
        }
        let _ = writeln!(text, "\trules[\"{name}\"] = vector();");
        let classes = ways::classes(policy, way.conduit);
        for (at, rule) in way.conduit.rules.iter().enumerate() {
            let everybody =
                classes.iter().any(|class| class.networks.is_empty() && class.rules.contains(&at));
            let mut networks: Vec<Network> = classes
                .iter()
                .filter(|class| class.rules.contains(&at))
                .flat_map(|class| class.networks.iter().copied())
                .collect();
            networks.sort_unstable();
            networks.dedup();
            let _ = writeln!(text, "\t# {}. {}", at + 1, one_line(&show::rule(&policy.zones, rule)));
            // Hours cannot be looked at: what is allowed at some is allowed at all, and what is denied at some, at none.
            if !everybody && networks.is_empty() {
                let _ = writeln!(text, "\t#    for nobody who shows no certificate");
                continue;
            }
            if rule.effect == Effect::Deny && !rule.during.is_empty() {
                let _ = writeln!(text, "\t#    left out");
                continue;
            }
            let clients =
                if everybody { String::new() } else { format!(", $clients=set({})", subnets(&networks)) };
            let _ = writeln!(text, "\trules[\"{name}\"] += {};", record(rule, &clients));
        }
    }
    text.push_str("\t}\n");
}

fn record(rule: &policy::Rule, clients: &str) -> String {
    let units: Vec<String> =
        rule.units.iter().map(|(first, last)| format!("Span($first={first}, $last={last})")).collect();
    let mut text = format!(
        "Rule($name=\"{}\", $allow={}{clients}, $units=vector({})",
        one_line(&rule.name),
        if rule.effect == Effect::Allow { "T" } else { "F" },
        units.join(", ")
    );
    if let Functions::Of(operations) = &rule.functions {
        // What is denied by sub-function is not denied as a whole.
        let whole = |one: &&policy::Operation| rule.effect == Effect::Allow || one.sub.is_none();
        let mut codes: Vec<u8> = operations.iter().filter(whole).map(|one| one.function.0).collect();
        codes.dedup();
        // No request has function 0.
        let codes: Vec<String> =
            if codes.is_empty() { vec!["0".to_owned()] } else { codes.iter().map(u8::to_string).collect() };
        let _ = write!(text, ", $functions=set({})", codes.join(", "));
    }
    let places = places(rule);
    if !places.is_empty() {
        let _ = write!(text, ",\n\t\t$places=vector({})", places.join(",\n\t\t               "));
    }
    text.push(')');
    text
}

fn places(rule: &policy::Rule) -> Vec<String> {
    let limits =
        rule.values.map(|(low, high)| format!(", $limited=T, $low={low}, $high={high}")).unwrap_or_default();
    let place = |table: Table, first: u16, last: u16, more: &str| {
        format!("Place($where=\"{}\", $first={first}, $last={last}{more})", word(table))
    };
    match &rule.places {
        // Everywhere, but with limits: each table by name.
        Places::Any if rule.values.is_some() => {
            Table::ALL.into_iter().map(|table| place(table, 0, u16::MAX, &limits)).collect()
        }
        Places::Any => Vec::new(),
        // An empty list would mean everywhere.
        Places::Of(ranges) if ranges.is_empty() => vec!["Place($where=\"\", $first=0, $last=0)".to_owned()],
        Places::Of(ranges) => {
            ranges.iter().map(|range| place(range.table, range.first, range.last, &limits)).collect()
        }
        Places::Values(values) => values.iter().flat_map(|value| written(value, &place)).collect(),
    }
}

fn written(value: &Writable, place: &dyn Fn(Table, u16, u16, &str) -> String) -> Vec<String> {
    let (table, first, last) = (value.table, value.address, value.last());
    if let ValueType::Bit(bit) = value.value_type {
        return vec![place(table, first, last, &format!(", $written=T, $bits={}", 1_u32 << bit.get()))];
    }
    // Limited, though not in number: the result of a mask is not known.
    let whole = if value.width() > 1 { ", $whole=T" } else { "" };
    let limited = |low: u16, high: u16| {
        place(table, first, last, &format!(", $written=T, $limited=T, $low={low}, $high={high}{whole}"))
    };
    let states = match &value.limits {
        Envelope::Integers { min, max } => {
            Some((u16::from(*min > 0), u16::from(*max > 0))).filter(|_| table == Table::Coils)
        }
        _ => None,
    };
    match (ways::register_values(value), states) {
        (Some(ranges), _) => ranges.into_iter().map(|(low, high)| limited(low, high)).collect(),
        (None, Some((low, high))) => vec![limited(low, high)],
        (None, None) => vec![limited(0, u16::MAX)],
    }
}

const fn word(table: Table) -> &'static str {
    match table {
        Table::Coils => "coils",
        Table::DiscreteInputs => "discretes",
        Table::InputRegisters => "input",
        Table::HoldingRegisters => "holding",
    }
}

fn host(address: IpAddr) -> String {
    if address.is_ipv4() { address.to_string() } else { format!("[{address}]") }
}

fn subnets(networks: &[Network]) -> String {
    let one = |network: &Network| format!("{}/{}", host(network.address()), network.prefix());
    networks.iter().map(one).collect::<Vec<_>>().join(", ")
}
