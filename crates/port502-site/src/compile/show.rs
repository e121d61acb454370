//! What is compiled, in the words that people read: the same in `port502 plan` and in what would change.

use std::fmt::Write as _;
use std::time::Duration;

use port502_inspect::Network;
use port502_inspect::policy::{self, Effect, Functions, Mode, Places, Range, Rule, Writable, Zone};
use port502_session::duration;
use port502_wire::Table;
use port502_wire::value::ValueType;

use super::poll::PollRequest;
use crate::site::expression::{Expression, OneOf, Step, TwoOf};
use crate::site::{Alarm, Condition, Conduit, Device, Lane, RoleId, SignalId, Site, Tag, Write, WriteLimits};

/// A request: `holding:100-111`.
#[must_use]
pub fn request(request: &PollRequest) -> String {
    Range { table: request.table, first: request.start, last: request.last() }.to_string()
}

/// Ranges, with commas between.
#[must_use]
pub fn ranges(ranges: &[Range]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// So many addresses of a table from `start` on.
#[must_use]
pub fn block(table: Table, start: u16, count: usize) -> String {
    let more = u16::try_from(count.saturating_sub(1)).unwrap_or(u16::MAX);
    Range { table, first: start, last: start.saturating_add(more) }.to_string()
}

/// How a lane is asked.
#[must_use]
pub fn lane(lane: &Lane) -> String {
    let timing = &lane.timing;
    let show = duration::display;
    let mut text = format!(
        "{}, latency {}, timeout {}, {} in flight, read again {} times",
        lane.target,
        show(timing.latency),
        show(timing.timeout),
        timing.in_flight,
        timing.retries
    );
    // Writing to a string does not fail.
    if !timing.gap.is_zero() {
        let _ = write!(text, ", gap {}", show(timing.gap));
    }
    if !timing.connect_delay.is_zero() {
        let _ = write!(text, ", {} after connecting", show(timing.connect_delay));
    }
    let _ = write!(text, ", asked every {} after {} silent rounds", show(timing.probe), timing.demote_after);
    text
}

/// Where a device is, and what it takes.
#[must_use]
pub fn device(site: &Site, device: &Device) -> String {
    let limits = &device.limits;
    let mut text = format!(
        "unit {} on {}, reads of {} registers and {} bits",
        device.unit,
        site.lane(device.lane).name,
        limits.read_registers,
        limits.read_bits
    );
    if !device.holes.is_empty() {
        let _ = write!(text, ", holes {}", ranges(&device.holes));
    }
    if device.quirks.one_per_request {
        text.push_str(", one value a request");
    }
    if device.quirks.bits_from_zero {
        text.push_str(", bits from 0");
    }
    text
}

/// What a tag is.
#[must_use]
pub fn tag(site: &Site, tag: &Tag) -> String {
    let mut text = format!("{} {}", tag.point, site.scan(tag.scan).name);
    if tag.scale.to_bits() != 1.0_f64.to_bits() {
        let _ = write!(text, " x{}", tag.scale);
    }
    if tag.offset != 0.0 {
        let _ = write!(text, " +{}", tag.offset);
    }
    if let Some(unit) = &tag.unit {
        let _ = write!(text, " {unit}");
    }
    if let Some((low, high)) = tag.range {
        let _ = write!(text, " {low} to {high}");
    }
    text
}

/// When an alarm is active, and how urgent it is.
#[must_use]
pub fn alarm(site: &Site, alarm: &Alarm) -> String {
    let show = duration::display;
    let mut text = match alarm.condition {
        Condition::Above(limit) => format!("above {limit}"),
        Condition::Below(limit) => format!("below {limit}"),
        Condition::Is(state) => format!("is {state}"),
        Condition::Rises { by, per } => format!("rises {by} in {}", show(per)),
        Condition::Falls { by, per } => format!("falls {by} in {}", show(per)),
        Condition::Deviates { by, from } => format!("deviates {by} from {}", signal(site, from)),
    };
    if alarm.deadband != 0.0 {
        let _ = write!(text, ", deadband {}", alarm.deadband);
    }
    for (what, delay) in [("after", alarm.delay), ("clears after", alarm.off_delay)] {
        if !delay.is_zero() {
            let _ = write!(text, ", {what} {}", show(delay));
        }
    }
    if alarm.latched {
        text.push_str(", latched");
    }
    if let Some(unless) = &alarm.unless {
        let _ = write!(text, ", unless {}", expression(site, unless));
    }
    let _ = write!(text, ", priority {}", alarm.priority);
    text
}

/// Which values may be written: `20 to 50`.
#[must_use]
pub fn limits(limits: &WriteLimits) -> String {
    match limits {
        WriteLimits::Any => "any value".to_owned(),
        WriteLimits::Between { min, max } => format!("{min} to {max}"),
        WriteLimits::OneOf(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Who may write, and within what limits.
#[must_use]
pub fn write(site: &Site, tag: &Tag, write: &Write) -> String {
    let mut text = format!("{}: {}", roles(site, &write.roles), limits(&write.limits));
    if let (Some(unit), false) = (&tag.unit, matches!(write.limits, WriteLimits::Any)) {
        let _ = write!(text, " {unit}");
    }
    if let Some(step) = write.max_step {
        let _ = write!(text, ", steps of {step} at most");
    }
    if let Some(rate) = write.rate {
        let _ = write!(text, ", {rate} at most");
    }
    if let Some(after) = write.after {
        let _ = write!(text, ", {}", sequence(&site.path(after.tag), after.is.into(), after.within));
    }
    if let Some(readback) = &write.readback {
        let _ = write!(text, ", shown at {readback} within {}", duration::display(write.within));
    }
    text
}

fn roles(site: &Site, roles: &[RoleId]) -> String {
    roles.iter().map(|role| site.role(*role).name.clone()).collect::<Vec<_>>().join(", ")
}

/// A tag of either kind by its path.
#[must_use]
pub fn signal(site: &Site, signal: SignalId) -> String {
    match signal {
        SignalId::Tag(tag) => site.path(tag),
        SignalId::Computed(computed) => site.computed_tag(computed).name.clone(),
    }
}

/// What has to be so before a write: `while intake.running is 0`.
fn sequence(name: &str, is: i128, within: Option<Duration>) -> String {
    let within = within.map(|within| format!(" for less than {}", duration::display(within)));
    format!("while {name} is {is}{}", within.unwrap_or_default())
}

/// Where a conduit leads, and what holds for all that goes through it.
#[must_use]
pub fn conduit(site: &Site, conduit: &Conduit) -> String {
    let listen: Vec<String> = conduit.listen.iter().map(ToString::to_string).collect();
    let devices: Vec<&str> =
        conduit.devices.iter().map(|device| site.device(*device).name.as_str()).collect();
    let policy::Limits { connections, connections_per_client, requests } = conduit.limits;
    let mut text = format!(
        "{} -> {}: {}, refused by {}",
        listen.join(", "),
        devices.join(", "),
        conduit.mode,
        conduit.refusal
    );
    // Writing to a string does not fail.
    if let Some(most) = connections {
        let _ = write!(text, ", {most} connections");
    }
    if let Some(most) = connections_per_client {
        let _ = write!(text, ", {most} connections a client");
    }
    if let Some(rate) = requests {
        let _ = write!(text, ", {rate} a client");
    }
    if conduit.share {
        text.push_str(", one connection to the device for all");
    }
    text
}

/// What becomes of what no rule allows.
#[must_use]
pub const fn everything_else(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "everything else is refused",
        Mode::Alert => "everything else passes, and is told",
    }
}

/// Who asks, in the words of a rule. `zones` are those of the policy.
#[must_use]
pub fn clients(zones: &[Zone], rule: &Rule) -> String {
    let clients = &rule.clients;
    let mut parts = Vec::new();
    // A zone stands there by name, and who may come from elsewhere by address.
    let named = |network: &Network| {
        let named = zones.iter().filter(|zone| clients.zones.contains(&zone.name));
        named.flat_map(|zone| &zone.networks).any(|of_zone| of_zone == network)
    };
    let mut from = Vec::new();
    if !clients.zones.is_empty() {
        from.push(format!("zone {}", clients.zones.join(", ")));
    }
    from.extend(clients.networks.iter().filter(|network| !named(network)).map(ToString::to_string));
    if !from.is_empty() {
        parts.push(from.join(", "));
    }
    if !clients.roles.is_empty() {
        parts.push(format!("role {}", clients.roles.join(" or ")));
    }
    if !clients.subjects.is_empty() {
        parts.push(format!("subject {}", clients.subjects.join(" or ")));
    }
    if parts.is_empty() { "anyone".to_owned() } else { parts.join(" as ") }
}

/// What for, in the words of a rule.
#[must_use]
pub fn what(rule: &Rule) -> String {
    let mut text = match &rule.functions {
        Functions::Any => "every function".to_owned(),
        Functions::Of(functions) => {
            let all: Vec<_> = functions.iter().map(ToString::to_string).collect();
            format!("function {}", all.join(", "))
        }
    };
    match &rule.places {
        Places::Any => {}
        Places::Of(places) => {
            let _ = write!(text, " at {}", ranges(places));
        }
        Places::Values(values) => {
            for (at, value) in values.iter().enumerate() {
                let range = Range { table: value.table, first: value.address, last: value.last() };
                let front = if at == 0 { " of" } else { "," };
                let bit = match value.value_type {
                    ValueType::Bit(bit) => format!(":bit{}", bit.get()),
                    _ => String::new(),
                };
                let _ = write!(text, "{front} {} at {range}{bit} = {}", value.name, value.limits);
                let conditions = if rule.effect == Effect::Allow { conditions(value) } else { Vec::new() };
                if !conditions.is_empty() {
                    let _ = write!(text, " ({})", conditions.join(", "));
                }
            }
        }
    }
    if let Some((low, high)) = rule.values {
        let _ = write!(text, ", registers of {low} to {high}");
    }
    for window in &rule.during {
        let _ = write!(text, ", {window}");
    }
    if let Some(rate) = rule.requests {
        let _ = write!(text, ", {rate} a client at most");
    }
    text
}

/// What a value has to keep to beside its limits, as it stands in registers. A rule that denies looks at none of it.
pub(crate) fn conditions(value: &Writable) -> Vec<String> {
    let step = value.max_step.map(|step| format!("steps of {step} at most"));
    let rate = value.rate.map(|rate| format!("{rate} at most"));
    let after = value.after.as_ref().map(|after| sequence(&after.name, after.is, after.within));
    [step, rate, after].into_iter().flatten().collect()
}

/// The units of a rule: `1, 3-9`.
#[must_use]
pub fn units(rule: &Rule) -> String {
    let unit =
        |(first, last): &(u8, u8)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    rule.units.iter().map(unit).collect::<Vec<_>>().join(", ")
}

/// A rule in one line, but for its mode and its refusal.
#[must_use]
pub fn grant(zones: &[Zone], rule: &Rule) -> String {
    let effect = match rule.effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    };
    format!("{effect} {}: unit {}, {}", clients(zones, rule), units(rule), what(rule))
}

/// A rule in one line, with what it has of its own instead of its conduit's.
#[must_use]
pub fn rule(zones: &[Zone], rule: &Rule) -> String {
    let mode = rule.mode.map(|mode| match (mode, rule.effect) {
        (Mode::Enforce, _) => "enforced",
        (Mode::Alert, Effect::Deny) => "alert: keeps nothing back, and only tells",
        (Mode::Alert, Effect::Allow) => {
            "alert: what only its hours, values or rates are against passes, and is told"
        }
    });
    let refusal = rule.refusal.map(|refusal| format!("refused by {refusal}"));
    let own: Vec<String> = mode.map(str::to_owned).into_iter().chain(refusal).collect();
    let own = if own.is_empty() { String::new() } else { format!("; {}", own.join("; ")) };
    format!("{}{own}", grant(zones, rule))
}

/// An expression with as few parentheses as keep its meaning.
#[must_use]
pub fn expression(site: &Site, expression: &Expression) -> String {
    // Each value with how tightly it holds together.
    let mut stack: Vec<(String, u8)> = Vec::new();
    for step in expression.steps() {
        let mut pop = || stack.pop().unwrap_or_default();
        let wrapped = |(text, holds): (String, u8), at_least: u8| {
            if holds < at_least { format!("({text})") } else { text }
        };
        let made = match step {
            Step::Number(number) => (number.to_string(), 9),
            Step::Signal(id) => (signal(site, *id), 9),
            Step::One(OneOf::Negative) => (format!("-{}", wrapped(pop(), 7)), 7),
            Step::One(OneOf::Not) => (format!("not {}", wrapped(pop(), 3)), 3),
            Step::One(OneOf::Absolute) => (format!("abs({})", pop().0), 9),
            Step::Two(two) => {
                let (b, a) = (pop(), pop());
                let (sign, holds) = sign(*two);
                match two {
                    TwoOf::Min | TwoOf::Max => (format!("{sign}({}, {})", a.0, b.0), 9),
                    _ => {
                        // Comparisons do not stand in a row; the others group to the left.
                        let left = if holds == 4 { 5 } else { holds };
                        (format!("{} {sign} {}", wrapped(a, left), wrapped(b, holds + 1)), holds)
                    }
                }
            }
            Step::If => {
                let (other, then, condition) = (pop(), pop(), pop());
                (format!("if({}, {}, {})", condition.0, then.0, other.0), 9)
            }
        };
        stack.push(made);
    }
    stack.pop().unwrap_or_default().0
}

const fn sign(two: TwoOf) -> (&'static str, u8) {
    match two {
        TwoOf::Or => ("or", 1),
        TwoOf::And => ("and", 2),
        TwoOf::Equal => ("==", 4),
        TwoOf::NotEqual => ("!=", 4),
        TwoOf::Less => ("<", 4),
        TwoOf::LessOrEqual => ("<=", 4),
        TwoOf::Greater => (">", 4),
        TwoOf::GreaterOrEqual => (">=", 4),
        TwoOf::Add => ("+", 5),
        TwoOf::Subtract => ("-", 5),
        TwoOf::Multiply => ("*", 6),
        TwoOf::Divide => ("/", 6),
        TwoOf::Min => ("min", 9),
        TwoOf::Max => ("max", 9),
    }
}
