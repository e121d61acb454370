//! What may pass: conduits, and rules of who may do what.
//!
//! ```text
//!   Policy ── conduit "intake" ── rule 1: allow  zone control   reads    unit 3   holding 100-101, 200
//!                              ├─ rule 2: allow  role operator  writes   unit 3   holding 200 within 200 to 500
//!                              └─ (nothing else passes)
//! ```
//!
//! A request is judged item by item, an item being a coil or a register that it reads or writes: for each, the first
//! rule that fits decides, and what no rule fits is refused. A request passes when all of its items do; so one
//! request may read what two rules allow, and FC23 needs a rule for what it reads and one for what it writes. Requests
//! that name no item, such as diagnostics, are judged once, by their function. A rule that denies in alert decides nothing,
//! lest it let pass what no rule allows: it tells of what the others let pass.
//!
//! These are plain values: made from a site file, shown to people, compared. A guard compiles them into a form in which
//! looking up a rule does not take longer when there are many. [`Conduit::judge`] is the meaning of them, slowly.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use port502_wire::value::{Order, Value, ValueType};
use port502_wire::{FunctionCode, Request, Table, UnitId};

use crate::Network;

/// All that is enforced on a site.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Policy {
    /// Who is where; a zone's roles are those of clients that show no certificate.
    pub zones: Vec<Zone>,
    /// By name.
    pub conduits: Vec<Conduit>,
}

/// A part of the network (IEC 62443-3-2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    /// What it is called.
    pub name: String,
    /// Which addresses belong to it.
    pub networks: Vec<Network>,
    /// The roles of its clients, as far as no certificate says which they have.
    pub roles: Vec<String>,
}

/// A way from clients to devices on which rules hold.
#[derive(Clone, PartialEq, Debug)]
pub struct Conduit {
    /// What it is called.
    pub name: String,
    /// Whether what is refused is kept back.
    pub mode: Mode,
    /// What a refusal looks like to the client.
    pub refusal: Refusal,
    /// How many clients, and how fast they are.
    pub limits: Limits,
    /// The devices behind it, by name, with their unit ids: whose values it sees.
    pub devices: Vec<(String, UnitId)>,
    /// The first that fits decides.
    pub rules: Vec<Rule>,
}

/// What becomes of a request that the rules refuse.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Mode {
    /// It is kept back, and recorded.
    #[default]
    Enforce,
    /// It passes, and is recorded.
    Alert,
}

/// What a client sees of a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// An exception with this code: a poller goes on polling.
    Exception(u8),
    /// Nothing.
    Drop,
    /// The end of its connection.
    Reset,
}

impl Default for Refusal {
    /// Exception 01, illegal function.
    fn default() -> Self {
        Refusal::Exception(1)
    }
}

/// So many in such a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    /// More than zero.
    pub per: Duration,
}

/// What a conduit carries at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Connections at once.
    pub connections: Option<u32>,
    /// Connections at once from one address.
    pub connections_per_client: Option<u32>,
    /// Requests of one client.
    pub requests: Option<Rate>,
}

/// Whether what fits a rule passes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// It passes.
    Allow,
    /// It is refused.
    Deny,
}

/// One rule. All of its conditions have to hold.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// What reports call it.
    pub name: String,
    /// What happens to what fits.
    pub effect: Effect,
    /// Who asks.
    pub clients: Clients,
    /// Of whom; sorted ranges, both ends included.
    pub units: Vec<(u8, u8)>,
    /// What for.
    pub functions: Functions,
    /// Where.
    pub places: Places,
    /// What each register that is written may become, by itself, both ends included. A mask write, whose result is
    /// not known, does not fit; but it fits a rule that denies.
    pub values: Option<(u16, u16)>,
    /// When; none means always. In the site's time zone.
    pub during: Vec<TimeWindow>,
    /// How often one client may do it; what is more is refused.
    pub requests: Option<Rate>,
    /// Instead of the conduit's.
    pub mode: Option<Mode>,
    /// Instead of the conduit's.
    pub refusal: Option<Refusal>,
}

/// Who asks. Each list that is not empty has to hold one that fits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Clients {
    /// Where they are.
    pub networks: Vec<Network>,
    /// The names of the zones that these networks were written as, for people.
    pub zones: Vec<String>,
    /// The subjects of their certificates, `*` standing for any text.
    pub subjects: Vec<String>,
    /// What they may act as, by certificate or by zone.
    pub roles: Vec<String>,
}

/// One function, down to the sub-function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Operation {
    /// The function code.
    pub function: FunctionCode,
    /// The sub-function of function 08, the MEI type of function 43; `None` is all of them.
    pub sub: Option<u16>,
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Functions {
    /// Whatever it is, functions that the specification does not know included.
    Any,
    /// One of these, sorted.
    Of(Vec<Operation>),
}

/// Addresses of one table that follow each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Range {
    /// The table.
    pub table: Table,
    /// The first address.
    pub first: u16,
    /// The last, not below the first.
    pub last: u16,
}

/// Where, and with which values.
#[derive(Clone, PartialEq, Debug)]
pub enum Places {
    /// Everywhere, with any value; also what names no address.
    Any,
    /// These addresses, with any value; sorted, apart from each other.
    Of(Vec<Range>),
    /// Values that may be written, whole and within limits; sorted by table and address. In a rule that denies: values
    /// that may not be, and what cannot be known not to be one of them.
    Values(Vec<Writable>),
}

/// A value that may be written.
#[derive(Clone, PartialEq, Debug)]
pub struct Writable {
    /// The tag, for people.
    pub name: String,
    /// Coils or holding registers.
    pub table: Table,
    /// Where it begins. It ends within the table.
    pub address: u16,
    /// How it is read.
    pub value_type: ValueType,
    /// In which order its bytes stand.
    pub order: Order,
    /// What it may become.
    pub limits: Envelope,
    /// How far it may move from the last value known, in the units of `limits`.
    pub max_step: Option<f64>,
    /// How often it may be written.
    pub rate: Option<Rate>,
    /// What has to be so before.
    pub after: Option<After>,
}

impl Writable {
    /// How many coils or registers it takes.
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.value_type.registers()
    }

    /// Its last address.
    #[must_use]
    pub const fn last(&self) -> u16 {
        self.address.saturating_add(self.width() - 1)
    }
}

/// The values that may be written, as they stand in registers: without scale.
#[derive(Clone, PartialEq, Debug)]
pub enum Envelope {
    /// All that the type holds.
    Any,
    /// Integers, both ends included.
    Integers {
        /// The smallest.
        min: i128,
        /// The largest.
        max: i128,
    },
    /// Numbers with a fraction, both ends included; never NaN.
    Floats {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// One of these, sorted.
    OneOf(Vec<i128>),
}

impl Envelope {
    /// Whether a value is among them.
    #[must_use]
    pub fn contains(&self, value: Value) -> bool {
        let integer = match value {
            Value::Bool(on) => Some(i128::from(on)),
            Value::Unsigned(number) => Some(i128::from(number)),
            Value::Signed(number) => Some(i128::from(number)),
            Value::F32(_) | Value::F64(_) => None,
        };
        let float = match value {
            Value::F32(float) => Some(f64::from(float)),
            Value::F64(float) => Some(float),
            _ => None,
        };
        match (self, integer, float) {
            (Envelope::Any, ..) => true,
            (Envelope::Integers { min, max }, Some(number), _) => (*min..=*max).contains(&number),
            (Envelope::Floats { min, max }, _, Some(float)) => (*min..=*max).contains(&float),
            (Envelope::OneOf(all), Some(number), _) => all.binary_search(&number).is_ok(),
            _ => false,
        }
    }
}

/// A write that may only follow another value: this valve, only while that one is shut.
#[derive(Clone, PartialEq, Debug)]
pub struct After {
    /// The tag that is looked at, for people.
    pub name: String,
    /// The device that it belongs to, which need not be behind the same conduit.
    pub device: String,
    /// The device's unit id.
    pub unit: UnitId,
    /// Its table.
    pub table: Table,
    /// Where it begins.
    pub address: u16,
    /// How it is read.
    pub value_type: ValueType,
    /// In which order its bytes stand.
    pub order: Order,
    /// What it has to be, in registers.
    pub is: i128,
    /// How long ago it may have been seen to become so at most.
    pub within: Option<Duration>,
}

/// Hours of the week, in the site's time zone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimeWindow {
    /// Monday is bit 0, Sunday bit 6.
    pub days: u8,
    /// Minutes since midnight, 0 to 1439.
    pub from: u16,
    /// The first minute that no longer belongs to it, 1 to 1440. Not above `from`: it ends on the next day.
    pub to: u16,
}

/// Who asks, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client<'c> {
    /// Where from.
    pub address: IpAddr,
    /// The subject of the certificate.
    pub subject: Option<&'c str>,
    /// The roles of the certificate, or of the client's zones where there is none.
    pub roles: &'c [&'c str],
}

/// What the rules say of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// All of it is allowed; the rule of its first item.
    Allowed {
        /// Its place among the rules.
        rule: usize,
        /// The first rule in alert that denies some of it all the same.
        despite: Option<usize>,
    },
    /// Some of it is denied by this rule.
    Denied {
        /// Its place among the rules.
        rule: usize,
    },
    /// Some of it is allowed by no rule.
    NoRule {
        /// The first such item; `None` where the request names none.
        item: Option<(Table, u16)>,
    },
}

impl Policy {
    /// The roles of a client that shows no certificate.
    pub fn roles_of(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        let there = move |zone: &&Zone| zone.networks.iter().any(|network| network.contains(address));
        self.zones.iter().filter(there).flat_map(|zone| zone.roles.iter().map(String::as_str))
    }
}

impl Conduit {
    /// What the rules say of a request, as far as no time and no earlier request matters: windows, rates, steps and
    /// sequences are not looked at. Its cost grows with the rules and the items; it is what faster judges are compared
    /// with.
    #[must_use]
    pub fn judge(&self, client: Client<'_>, unit: UnitId, request: &Request<'_>) -> Decision {
        let (mut first, mut despite, mut judged) = (None, None, false);
        for demand in demands(request).into_iter().flatten() {
            for offset in 0..demand.count {
                let Some(address) = demand.first.checked_add(offset) else { break };
                judged = true;
                let item = Item { demand, address, request };
                match self.rule_for(client, unit, request, Some(item), &mut despite) {
                    Some((rule, Effect::Allow)) => first = first.or(Some(rule)),
                    Some((rule, Effect::Deny)) => return Decision::Denied { rule },
                    None => return Decision::NoRule { item: Some((demand.table, address)) },
                }
            }
        }
        if let (Some(rule), true) = (first, judged) {
            return Decision::Allowed { rule, despite };
        }
        match self.rule_for(client, unit, request, None, &mut despite) {
            Some((rule, Effect::Allow)) => Decision::Allowed { rule, despite },
            Some((rule, Effect::Deny)) => Decision::Denied { rule },
            None => Decision::NoRule { item: None },
        }
    }

    fn rule_for(
        &self,
        client: Client<'_>,
        unit: UnitId,
        request: &Request<'_>,
        item: Option<Item<'_>>,
        despite: &mut Option<usize>,
    ) -> Option<(usize, Effect)> {
        let fits = |rule: &Rule| {
            rule.clients.fit(client)
                && rule.units.iter().any(|(first, last)| (*first..=*last).contains(&unit.0))
                && rule.functions.fit(request)
                && rule.places.fit(item, rule.effect)
                && rule.values.is_none_or(|limits| fits_values(limits, item, rule.effect))
        };
        for (at, rule) in self.rules.iter().enumerate().filter(|(_, rule)| fits(rule)) {
            if rule.effect == Effect::Deny && rule.mode.unwrap_or(self.mode) == Mode::Alert {
                *despite = despite.or(Some(at));
            } else {
                return Some((at, rule.effect));
            }
        }
        None
    }
}

impl Clients {
    fn fit(&self, client: Client<'_>) -> bool {
        let subject = |pattern: &String| client.subject.is_some_and(|subject| matches(pattern, subject));
        (self.networks.is_empty() || self.networks.iter().any(|network| network.contains(client.address)))
            && (self.subjects.is_empty() || self.subjects.iter().any(subject))
            && (self.roles.is_empty() || self.roles.iter().any(|role| client.roles.contains(&role.as_str())))
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any characters.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        // What was last so far may stand anywhere: the earliest place leaves the most for the others.
        if let Some(middle) = last.replace(part) {
            let found: &str = middle;
            match rest.split_once(found) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
    }
    match last {
        None => rest.is_empty(),
        Some(last) => rest.ends_with(last),
    }
}

impl Functions {
    fn fit(&self, request: &Request<'_>) -> bool {
        let sub = match request {
            Request::Diagnostics { sub_function, .. } => Some(sub_function.0),
            Request::ReadDeviceIdentification { .. } => Some(14),
            Request::EncapsulatedInterface { mei, .. } => Some(u16::from(*mei)),
            _ => None,
        };
        match self {
            Functions::Any => true,
            Functions::Of(all) => all.iter().any(|operation| {
                operation.function == request.function() && (operation.sub.is_none() || operation.sub == sub)
            }),
        }
    }
}

/// Items of one table that a request reads or writes.
#[derive(Clone, Copy)]
struct Demand {
    table: Table,
    first: u16,
    count: u16,
    writes: bool,
}

#[derive(Clone, Copy)]
struct Item<'r> {
    demand: Demand,
    address: u16,
    request: &'r Request<'r>,
}

/// What a request reads or writes; function 23 does both.
fn demands(request: &Request<'_>) -> [Option<Demand>; 2] {
    let demand = |table, first, count, writes| Some(Demand { table, first, count, writes });
    match request {
        Request::ReadCoils { span } => [demand(Table::Coils, span.start(), span.count(), false), None],
        Request::ReadDiscreteInputs { span } => {
            [demand(Table::DiscreteInputs, span.start(), span.count(), false), None]
        }
        Request::ReadHoldingRegisters { span } => {
            [demand(Table::HoldingRegisters, span.start(), span.count(), false), None]
        }
        Request::ReadInputRegisters { span } => {
            [demand(Table::InputRegisters, span.start(), span.count(), false), None]
        }
        Request::WriteSingleCoil { address, .. } => [demand(Table::Coils, *address, 1, true), None],
        Request::WriteSingleRegister { address, .. } | Request::MaskWriteRegister { address, .. } => {
            [demand(Table::HoldingRegisters, *address, 1, true), None]
        }
        Request::WriteMultipleCoils { block } => {
            [demand(Table::Coils, block.span().start(), block.span().count(), true), None]
        }
        Request::WriteMultipleRegisters { block } => {
            [demand(Table::HoldingRegisters, block.span().start(), block.span().count(), true), None]
        }
        Request::ReadWriteMultipleRegisters { read, write } => [
            demand(Table::HoldingRegisters, read.start(), read.count(), false),
            demand(Table::HoldingRegisters, write.span().start(), write.span().count(), true),
        ],
        Request::ReadFifoQueue { address } => [demand(Table::HoldingRegisters, *address, 1, false), None],
        _ => [None, None],
    }
}

/// Whether what is written to an item lies within limits; what is only read does.
fn fits_values((low, high): (u16, u16), item: Option<Item<'_>>, effect: Effect) -> bool {
    let Some(Item { demand, address, request }) = item.filter(|item| item.demand.writes) else { return true };
    let offset = usize::from(address - demand.first);
    let value = match request {
        Request::WriteSingleCoil { value, .. } => Some(u16::from(*value)),
        Request::WriteMultipleCoils { block } => block.values().get(offset).map(u16::from),
        Request::WriteSingleRegister { value, .. } => Some(*value),
        Request::WriteMultipleRegisters { block } => block.values().get(offset),
        Request::ReadWriteMultipleRegisters { write, .. } => write.values().get(offset),
        _ => None,
    };
    value.map_or(effect == Effect::Deny, |value| (low..=high).contains(&value))
}

impl Places {
    fn fit(&self, item: Option<Item<'_>>, effect: Effect) -> bool {
        match (self, item) {
            (Places::Any, _) => true,
            (Places::Of(ranges), Some(Item { demand, address, .. })) => ranges
                .iter()
                .any(|range| range.table == demand.table && (range.first..=range.last).contains(&address)),
            (Places::Values(values), Some(item)) => values.iter().any(|value| value.takes(item, effect)),
            (Places::Of(_) | Places::Values(_), None) => false,
        }
    }
}

impl Writable {
    /// Whether the item belongs to this value, and the request writes all of it, within its limits. A rule that denies
    /// takes what may be within them too: a value written in part, or bit by bit, is not known to be another.
    fn takes(&self, item: Item<'_>, effect: Effect) -> bool {
        let here = item.demand.writes
            && self.table == item.demand.table
            && (self.address..=self.last()).contains(&item.address);
        here && match self.written(item.request) {
            Some(value) => self.limits.contains(value),
            None => effect == Effect::Deny,
        }
    }

    /// The value that a request writes here; `None` when it writes only a part of it, or what is none.
    #[must_use]
    pub fn written(&self, request: &Request<'_>) -> Option<Value> {
        let mut registers = [0_u16; 4];
        match request {
            Request::WriteSingleCoil { address, value } => {
                (*address == self.address).then_some(Value::Bool(*value))
            }
            Request::WriteMultipleCoils { block } => {
                let offset = self.address.checked_sub(block.span().start())?;
                block.values().get(usize::from(offset)).map(Value::Bool)
            }
            Request::WriteSingleRegister { address, value } => {
                // A bit cannot be written without the other fifteen.
                let alone = self.width() == 1 && !matches!(self.value_type, ValueType::Bit(_));
                (*address == self.address && alone).then_some(())?;
                self.value_type.decode(self.order, &[*value]).ok()
            }
            Request::WriteMultipleRegisters { block } => {
                self.in_block(block.span().start(), |at| block.values().get(at), &mut registers)
            }
            Request::ReadWriteMultipleRegisters { write, .. } => {
                self.in_block(write.span().start(), |at| write.values().get(at), &mut registers)
            }
            Request::MaskWriteRegister { address, and, or } => {
                let ValueType::Bit(_) = self.value_type else { return None };
                // Bits whose mask is set stay as they are; only ours may be cleared.
                let ours = self.value_type.encode(self.order, Value::Bool(true), &mut registers).ok()?;
                let mask = *ours.first()?;
                (*address == self.address && !*and == mask).then_some(Value::Bool(or & mask != 0))
            }
            _ => None,
        }
    }

    fn in_block(
        &self,
        start: u16,
        get: impl Fn(usize) -> Option<u16>,
        registers: &mut [u16; 4],
    ) -> Option<Value> {
        if matches!(self.value_type, ValueType::Bit(_)) {
            return None;
        }
        let offset = usize::from(self.address.checked_sub(start)?);
        if let ValueType::Text(length) = self.value_type {
            // A text has no number to compare; whole is enough.
            get(offset + usize::from(length.registers()) - 1)?;
            return Some(Value::Bool(true));
        }
        let width = usize::from(self.width());
        for (at, register) in registers.iter_mut().take(width).enumerate() {
            *register = get(offset + at)?;
        }
        self.value_type.decode(self.order, registers.get(..width)?).ok()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Enforce => "enforce",
            Mode::Alert => "alert",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Exception(code) => write!(f, "exception:{code}"),
            Refusal::Drop => f.write_str("drop"),
            Refusal::Reset => f.write_str("reset"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.count),
            60 => write!(f, "{}/min", self.count),
            3_600 => write!(f, "{}/h", self.count),
            seconds => write!(f, "{} in {seconds}s", self.count),
        }
    }
}

impl fmt::Display for Range {
    /// As points are written: `holding:100-101`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.table, self.first)?;
        if self.last == self.first { Ok(()) } else { write!(f, "-{}", self.last) }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function.0)?;
        match self.sub {
            Some(sub) => write!(f, "/{sub}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Envelope::Any => f.write_str("any"),
            Envelope::Integers { min, max } => write!(f, "{min} to {max}"),
            Envelope::Floats { min, max } => write!(f, "{min} to {max}"),
            Envelope::OneOf(all) => {
                for (at, value) in all.iter().enumerate() {
                    write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for TimeWindow {
    /// As it is written: `mon-fri 06:00-18:00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != 0x7F {
            let named = |bit: usize| self.days & (1 << bit) != 0;
            let mut before = "";
            for (bit, name) in DAYS.iter().enumerate().filter(|(bit, _)| named(*bit)) {
                // Of days in a row the first and the last.
                let (continues, begins) = (bit > 0 && named(bit - 1), named(bit + 1) && bit + 1 < DAYS.len());
                if !continues {
                    write!(f, "{before}{name}")?;
                } else if !begins {
                    write!(f, "-{name}")?;
                }
                before = ",";
            }
            if (self.from, self.to) == (0, 1440) {
                return Ok(());
            }
            f.write_str(" ")?;
        }
        let (from, to) = (self.from, self.to);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

/// How days are written, Monday first.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use port502_wire::{RegisterBlock, Registers, Span};

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("CN=a", "CN=a", true),
            ("CN=a", "CN=ab", false),
            ("CN=*", "CN=ab", true),
            ("CN=*", "O=ab", false),
            ("*b", "ab", true),
            ("*b", "abc", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "aecde", true),
            ("a*c*e", "abde", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn windows_are_shown_as_they_are_written() {
        for (days, from, to, want) in [
            (0b001_1111, 360, 1080, "mon-fri 06:00-18:00"),
            (0b111_1111, 1320, 360, "22:00-06:00"),
            (0b110_0000, 0, 1440, "sat-sun"),
            (0b101_0101, 0, 1440, "mon,wed,fri,sun"),
            (0b000_0001, 0, 60, "mon 00:00-01:00"),
        ] {
            assert_eq!(TimeWindow { days, from, to }.to_string(), want);
        }
    }

    fn rule(effect: Effect, functions: &[u8], places: Places) -> Rule {
        let plain = |code: &u8| Operation { function: FunctionCode(*code), sub: None };
        Rule {
            name: "r".into(),
            effect,
            clients: Clients::default(),
            units: vec![(1, 1)],
            functions: Functions::Of(functions.iter().map(plain).collect()),
            places,
            values: None,
            during: Vec::new(),
            requests: None,
            mode: None,
            refusal: None,
        }
    }

    fn range(first: u16, last: u16) -> Range {
        Range { table: Table::HoldingRegisters, first, last }
    }

    fn conduit(rules: Vec<Rule>) -> Conduit {
        Conduit {
            name: "c".into(),
            mode: Mode::Enforce,
            refusal: Refusal::default(),
            limits: Limits::default(),
            devices: Vec::new(),
            rules,
        }
    }

    fn judge(rules: &[Rule], unit: u8, request: &Request<'_>) -> Decision {
        let client = Client { address: [10, 0, 0, 1].into(), subject: None, roles: &[] };
        conduit(rules.to_vec()).judge(client, UnitId(unit), request)
    }

    #[test]
    fn every_item_needs_a_rule_and_the_first_that_fits_decides() {
        let read = |start, count| Request::ReadHoldingRegisters { span: Span::new(start, count).unwrap() };
        let rules = [
            rule(Effect::Deny, &[3], Places::Of(vec![range(5, 5)])),
            rule(Effect::Allow, &[3], Places::Of(vec![range(0, 9)])),
            rule(Effect::Allow, &[3], Places::Of(vec![range(10, 19)])),
        ];
        let no_rule = |address| Decision::NoRule { item: Some((Table::HoldingRegisters, address)) };
        for (request, want) in [
            (read(0, 5), Decision::Allowed { rule: 1, despite: None }),
            (read(6, 10), Decision::Allowed { rule: 1, despite: None }), // by two rules together
            (read(10, 10), Decision::Allowed { rule: 2, despite: None }),
            (read(0, 6), Decision::Denied { rule: 0 }),
            (read(15, 6), no_rule(20)),
            (read(20, 1), no_rule(20)),
            (
                Request::ReadInputRegisters { span: Span::new(0, 1).unwrap() },
                Decision::NoRule { item: Some((Table::InputRegisters, 0)) },
            ),
            (Request::ReportServerId, Decision::NoRule { item: None }),
        ] {
            assert_eq!(judge(&rules, 1, &request), want, "{request:?}");
        }
        assert_eq!(judge(&rules, 2, &read(0, 1)), no_rule(0));
        assert_eq!(judge(&rules, 0, &read(0, 1)), no_rule(0), "a broadcast is nobody's unit");
    }

    #[test]
    fn what_reads_and_writes_needs_both() {
        let mut bytes = [0; 4];
        let registers = Registers::encode(&[7, 8], &mut bytes).unwrap();
        let write = RegisterBlock::new(10, registers).unwrap();
        let request = Request::ReadWriteMultipleRegisters { read: Span::new(0, 2).unwrap(), write };
        let reads = rule(Effect::Allow, &[23], Places::Of(vec![range(0, 1)]));
        let writes = rule(Effect::Allow, &[23], Places::Of(vec![range(10, 11)]));
        assert_eq!(
            judge(&[reads.clone(), writes.clone()], 1, &request),
            Decision::Allowed { rule: 0, despite: None }
        );
        assert!(matches!(judge(core::slice::from_ref(&reads), 1, &request), Decision::NoRule { .. }));
        assert!(matches!(judge(core::slice::from_ref(&writes), 1, &request), Decision::NoRule { .. }));
        let limited = Rule { values: Some((7, 7)), ..writes };
        assert!(matches!(judge(&[reads, limited], 1, &request), Decision::NoRule { item: Some((_, 11)) }));
    }

    #[test]
    fn a_mask_write_changes_one_bit_and_its_result_is_not_known() {
        let bit = Writable {
            name: "b".into(),
            table: Table::HoldingRegisters,
            address: 4,
            value_type: "bit3".parse().unwrap(),
            order: Order::default(),
            limits: Envelope::Any,
            max_step: None,
            rate: None,
            after: None,
        };
        let mask = |and, or| Request::MaskWriteRegister { address: 4, and, or };
        let rules = [rule(Effect::Allow, &[6, 16, 22], Places::Values(vec![bit]))];
        assert!(matches!(judge(&rules, 1, &mask(!8, 8)), Decision::Allowed { .. }));
        assert!(matches!(judge(&rules, 1, &mask(!8, 0)), Decision::Allowed { .. }));
        for (and, or) in [(!0x18, 8), (0, 8), (!4, 4)] {
            assert!(
                matches!(judge(&rules, 1, &mask(and, or)), Decision::NoRule { .. }),
                "{and:04x} {or:04x}"
            );
        }
        let whole = Request::WriteSingleRegister { address: 4, value: 8 };
        assert!(matches!(judge(&rules, 1, &whole), Decision::NoRule { .. }), "the other fifteen bits");
        let limited =
            Rule { values: Some((0, 65_535)), ..rule(Effect::Allow, &[22], Places::Of(vec![range(4, 4)])) };
        assert!(matches!(judge(&[limited], 1, &mask(!8, 8)), Decision::NoRule { .. }));
    }

    #[test]
    fn roles_of_an_address_are_those_of_its_zones() {
        let zone = |name: &str, network: &str, role: &str| Zone {
            name: name.into(),
            networks: vec![network.parse().unwrap()],
            roles: vec![role.into()],
        };
        let policy = Policy {
            zones: vec![zone("a", "10.0.0.0/24", "viewer"), zone("b", "10.0.1.0/24", "operator")],
            conduits: Vec::new(),
        };
        assert_eq!(policy.roles_of([10, 0, 1, 7].into()).collect::<Vec<_>>(), ["operator"]);
        assert_eq!(policy.roles_of([10, 0, 2, 7].into()).count(), 0);
    }
}
