//! What clients ask for, remembered in little, to make rules of.
//!
//! A guard that lets everything pass and records what its rules object to (`mode = "alert"`) sees every request with its
//! client. [`Learner::observe`] remembers of them who asks which unit for which function, where, how often, and which values
//! are written; `port502-site` makes a proposal of that. It is called for every request of a firewall: one that was seen
//! before costs three binary searches, and allocates nothing.
//!
//! ```text
//!   client 10.20.0.9 ── unit 1 ── 03: 86,400 times, holding 100-104, 106-109, at most 2 in a second
//!                    └─ unit 1 ── 06: 12 times, holding 200 = 200 to 450, steps of 50 at most
//! ```
//!
//! All of it is bounded, and what does not fit is counted ([`Learner::unlearned`]): rules made of it would not let it
//! pass.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::IpAddr;

use port502_session::Instant;
use port502_session::server::Identity;
use port502_wire::{FunctionCode, Request, Table, UnitId};

use crate::engine::Peer;
use crate::judge::{Demand, demands};
use crate::policy::Operation;

/// The most clients that are told apart: by address, and by certificate where they show one.
pub const CLIENTS_MAX: usize = 4_096;

/// The most uses of all clients together, a use being one function of one unit.
pub const USES_MAX: usize = 16_384;

/// The most of them that are one client's: who tries every function of every unit takes no room from the others.
pub const USES_OF_CLIENT_MAX: usize = 1_024;

/// The most ranges of addresses that one use reads, and that it writes. One more, and those closest to each other become one
/// with what is between them; such addresses are counted.
pub const RANGES_MAX: usize = 32;

/// The most registers and coils, of all uses together, whose written values are remembered one by one.
pub const VALUES_MAX: usize = 65_536;

/// The most of them that are of one use.
pub const VALUES_OF_USE_MAX: usize = 2_048;

/// What clients have asked for.
#[derive(Clone, Debug, Default)]
pub struct Learner {
    /// By address and certificate.
    clients: Vec<Client>,
    /// The place of the one that asked last: most ask several times in a row.
    latest: usize,
    uses: usize,
    values: usize,
    unlearned: Unlearned,
}

/// What did not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unlearned {
    /// Requests of clients beyond [`CLIENTS_MAX`].
    pub of_clients: u64,
    /// Requests that are uses beyond [`USES_MAX`] or [`USES_OF_CLIENT_MAX`].
    pub of_uses: u64,
    /// Registers and coils written whose values were not remembered, because there are [`VALUES_MAX`], or
    /// [`VALUES_OF_USE_MAX`], already.
    pub of_values: u64,
}

/// One client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// Where from.
    pub address: IpAddr,
    /// As its certificate says.
    pub identity: Option<Identity>,
    /// How fast it asks, whatever it is.
    pub rates: Rates,
    /// What for; by unit, function and sub-function.
    pub uses: Vec<Use>,
    /// The same in numbers that are quick to search, one for each of `uses`.
    keys: Vec<u64>,
}

/// One function that a client asks a unit for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Use {
    /// Of whom.
    pub unit: UnitId,
    /// What for.
    pub operation: Operation,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: Instant,
    /// When last.
    pub last: Instant,
    /// How fast.
    pub rates: Rates,
    /// What is read.
    pub reads: Places,
    /// What is written.
    pub writes: Places,
    /// Which values are written, by address. An address of `writes` that is missing here was not remembered, or is
    /// written by function 22, whose result is not known.
    pub values: Vec<Written>,
}

/// Addresses of the one table that a function has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    /// The table; `None` where there is nothing.
    pub table: Option<Table>,
    /// Both ends included; sorted, and apart from each other.
    pub ranges: Vec<(u16, u16)>,
    /// Addresses among them that nobody asked for: [`RANGES_MAX`] was reached.
    pub between: u32,
}

/// What was written to a coil or register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Where.
    pub address: u16,
    /// The lowest.
    pub low: u16,
    /// The highest.
    pub high: u16,
    /// How far it moved at most from one write of this client to the next.
    pub step: u16,
    /// The latest.
    pub latest: u16,
}

/// How many there were in one second, and in one minute, at most. Both are counted from the start of the clock, so that
/// what falls on both sides of a boundary counts as two.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    /// In a second.
    pub per_second: u32,
    /// In a minute.
    pub per_minute: u32,
    second: Window,
    minute: Window,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Window {
    number: u64,
    count: u32,
}

impl Window {
    #[inline]
    fn count(&mut self, number: u64) -> u32 {
        if self.number != number {
            *self = Window { number, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

impl Rates {
    #[inline]
    fn count(&mut self, second: u64, minute: u64) {
        self.per_second = self.per_second.max(self.second.count(second));
        self.per_minute = self.per_minute.max(self.minute.count(minute));
    }
}

impl Learner {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Learner::default()
    }

    /// A request has come, whether or not it passes.
    pub fn observe(&mut self, now: Instant, client: &Peer, unit: UnitId, request: &Request<'_>) {
        let second = now.as_nanos() / 1_000_000_000;
        let minute = second / 60;
        let Some(at) = self.client(client) else {
            self.unlearned.of_clients = self.unlearned.of_clients.saturating_add(1);
            return;
        };
        self.latest = at;
        let Some(client) = self.clients.get_mut(at) else { return };
        client.rates.count(second, minute);
        let operation = operation(request);
        let key = key(unit, operation);
        let place = match client.keys.binary_search(&key) {
            Ok(place) => place,
            Err(_) if self.uses >= USES_MAX || client.uses.len() >= USES_OF_CLIENT_MAX => {
                self.unlearned.of_uses = self.unlearned.of_uses.saturating_add(1);
                return;
            }
            Err(place) => {
                self.uses += 1;
                client.keys.insert(place, key);
                client.uses.insert(place, Use::new(unit, operation, now));
                place
            }
        };
        let Some(one) = client.uses.get_mut(place) else { return };
        one.count = one.count.saturating_add(1);
        one.last = one.last.max(now);
        one.rates.count(second, minute);
        for demand in demands(request).into_iter().flatten() {
            if !demand.writes {
                one.reads.take(demand);
                continue;
            }
            one.writes.take(demand);
            let own = VALUES_OF_USE_MAX.saturating_sub(one.values.len());
            let room = VALUES_MAX.saturating_sub(self.values).min(own);
            let (new, lost) = one.take_values(demand, request, room);
            self.values += new;
            self.unlearned.of_values = self.unlearned.of_values.saturating_add(lost);
        }
    }

    /// The place of a client, a new one where it has none.
    #[inline]
    fn client(&mut self, peer: &Peer) -> Option<usize> {
        if self.clients.get(self.latest).is_some_and(|client| client.is(peer) == Ordering::Equal) {
            return Some(self.latest);
        }
        match self.clients.binary_search_by(|client| client.is(peer)) {
            Ok(at) => Some(at),
            Err(_) if self.clients.len() >= CLIENTS_MAX => None,
            Err(at) => {
                let (address, identity) = (peer.address.to_canonical(), peer.identity.clone());
                self.clients.insert(
                    at,
                    Client { address, identity, rates: Rates::default(), uses: Vec::new(), keys: Vec::new() },
                );
                Some(at)
            }
        }
    }

    /// Who asked, by address and certificate.
    #[must_use]
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// What did not fit.
    #[must_use]
    pub const fn unlearned(&self) -> Unlearned {
        self.unlearned
    }
}

impl Client {
    /// How this one stands to a peer in the order of clients.
    #[inline]
    fn is(&self, peer: &Peer) -> Ordering {
        // Most addresses are what they seem, and comparing is cheaper than converting.
        let address = match peer.address {
            IpAddr::V4(_) => self.address.cmp(&peer.address),
            IpAddr::V6(_) => self.address.cmp(&peer.address.to_canonical()),
        };
        address.then_with(|| {
            let print = |identity: &Option<Identity>| identity.as_ref().map(|identity| identity.fingerprint);
            match (&self.identity, &peer.identity) {
                (None, None) => Ordering::Equal,
                (own, other) => print(own).cmp(&print(other)),
            }
        })
    }
}

impl Use {
    fn new(unit: UnitId, operation: Operation, now: Instant) -> Self {
        Use {
            unit,
            operation,
            count: 0,
            first: now,
            last: now,
            rates: Rates::default(),
            reads: Places::default(),
            writes: Places::default(),
            values: Vec::new(),
        }
    }

    /// Takes in what a request writes: how many addresses are new, and for how many there is no room.
    fn take_values(&mut self, demand: Demand, request: &Request<'_>, room: usize) -> (usize, u64) {
        let value = |offset: usize| match request {
            Request::WriteSingleCoil { value, .. } => Some(u16::from(*value)),
            Request::WriteMultipleCoils { block } => block.values().get(offset).map(u16::from),
            Request::WriteSingleRegister { value, .. } => Some(*value),
            Request::WriteMultipleRegisters { block } => block.values().get(offset),
            Request::ReadWriteMultipleRegisters { write, .. } => write.values().get(offset),
            _ => None,
        };
        let (mut new, mut lost) = (0, 0);
        let mut at = self.values.partition_point(|written| written.address < demand.first);
        for (offset, address) in (demand.first..=demand.last()).enumerate() {
            let Some(value) = value(offset) else { break };
            match self.values.get_mut(at) {
                Some(written) if written.address == address => {
                    written.low = written.low.min(value);
                    written.high = written.high.max(value);
                    written.step = written.step.max(written.latest.abs_diff(value));
                    written.latest = value;
                    at += 1;
                }
                _ if new < room => {
                    let written = Written { address, low: value, high: value, step: 0, latest: value };
                    self.values.insert(at, written);
                    new += 1;
                    at += 1;
                }
                _ => lost += 1,
            }
        }
        (new, lost)
    }
}

impl Places {
    #[inline]
    fn take(&mut self, demand: Demand) {
        let (first, last) = (demand.first, demand.last());
        self.table = Some(demand.table);
        // Of those that begin at or before it, the last one may hold it all.
        let at = self.ranges.partition_point(|(begin, _)| *begin <= first);
        let held = |(begin, end): &(u16, u16)| *begin <= first && *end >= last;
        if at.checked_sub(1).and_then(|before| self.ranges.get(before)).is_some_and(held) {
            return;
        }
        self.widen(first, last);
    }

    /// Adds a range, joined with those that it touches; and closes the smallest gap when there is one too many.
    fn widen(&mut self, first: u16, last: u16) {
        let touches = |end: u16, begin: u16| u32::from(end) + 1 >= u32::from(begin);
        let from = self.ranges.partition_point(|(_, end)| !touches(*end, first));
        let to = self.ranges.partition_point(|(begin, _)| touches(last, *begin));
        let joined = self.ranges.get(from..to).unwrap_or_default();
        let first = joined.first().map_or(first, |(begin, _)| first.min(*begin));
        let last = joined.last().map_or(last, |(_, end)| last.max(*end));
        self.ranges.splice(from..to.max(from), [(first, last)]);
        while self.ranges.len() > RANGES_MAX {
            let gaps = self.ranges.windows(2).enumerate().filter_map(|(at, pair)| match pair {
                [(_, end), (begin, _)] => Some((begin - end, at)),
                _ => None,
            });
            let Some((gap, at)) = gaps.min() else { break };
            let Some((_, end)) = self.ranges.get(at + 1).copied() else { break };
            self.ranges.remove(at + 1);
            if let Some(range) = self.ranges.get_mut(at) {
                range.1 = end;
            }
            self.between = self.between.saturating_add(u32::from(gap.saturating_sub(1)));
        }
    }
}

/// The function of a request, down to the sub-function.
#[inline]
fn operation(request: &Request<'_>) -> Operation {
    let sub = match request {
        Request::Diagnostics { sub_function, .. } => Some(sub_function.0),
        Request::ReadDeviceIdentification { .. } => Some(14),
        Request::EncapsulatedInterface { mei, .. } => Some(u16::from(*mei)),
        _ => None,
    };
    Operation { function: request.function(), sub }
}

/// A number in the order of unit, function and sub-function; none comes before 0.
#[inline]
fn key(unit: UnitId, operation: Operation) -> u64 {
    let sub = operation.sub.map_or(0, |sub| u64::from(sub) + 1);
    u64::from(unit.0) << 32 | u64::from(operation.function.0) << 24 | sub
}

/// What is never proposed as a rule, however often it was seen: what stops, restarts or programs a device, and what nobody
/// knows the meaning of.
#[must_use]
pub fn is_dangerous(operation: Operation) -> bool {
    match (operation.function, operation.sub) {
        (FunctionCode::DIAGNOSTICS, sub) => matches!(sub, None | Some(1 | 4)),
        (FunctionCode::WRITE_FILE_RECORD, _) => true,
        (FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT, sub) => sub != Some(14),
        (function, _) => function.facts().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::time::Duration;
    use port502_wire::{RegisterBlock, Registers, Span};

    fn peer(last: u8) -> Peer {
        Peer { address: [10, 20, 0, last].into(), identity: None }
    }

    fn read(first: u16, count: u16) -> Request<'static> {
        Request::ReadHoldingRegisters { span: Span::new(first, count).unwrap() }
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn what_is_asked_is_remembered() {
        let mut learner = Learner::new();
        let writes = [(0, 300), (10, 250), (20, 450)];
        for second in 0..90 {
            for (_, value) in writes.iter().filter(|(at, _)| *at == second) {
                let write = Request::WriteSingleRegister { address: 200, value: *value };
                learner.observe(at(second * 1_000), &peer(9), UnitId(1), &write);
            }
            learner.observe(at(second * 1_000), &peer(9), UnitId(1), &read(100, 5));
            learner.observe(at(second * 1_000 + 1), &peer(9), UnitId(1), &read(106, 4));
        }
        learner.observe(at(5), &peer(7), UnitId(3), &Request::ReportServerId);
        let [other, panel] = learner.clients() else { panic!("{learner:?}") };
        assert_eq!((other.address, panel.address), (peer(7).address, peer(9).address));
        assert_eq!(other.uses.len(), 1);
        let [reads, writes] = panel.uses.as_slice() else { panic!("{panel:?}") };
        assert_eq!((reads.count, reads.first, reads.last), (180, at(0), at(89_001)));
        assert_eq!(reads.reads.ranges, [(100, 104), (106, 109)]);
        assert_eq!((reads.rates.per_second, reads.rates.per_minute), (2, 120));
        assert_eq!((panel.rates.per_second, panel.rates.per_minute), (3, 123));
        let want = Written { address: 200, low: 250, high: 450, step: 200, latest: 450 };
        assert_eq!(
            (writes.writes.ranges.as_slice(), writes.values.as_slice()),
            (&[(200, 200)][..], &[want][..])
        );
        assert_eq!(learner.unlearned(), Unlearned::default());
    }

    #[test]
    fn neighbours_are_one_range() {
        let mut places = Places::default();
        for (first, last, want) in [
            (10, 19, vec![(10, 19)]),
            (12, 13, vec![(10, 19)]),
            (30, 39, vec![(10, 19), (30, 39)]),
            (20, 20, vec![(10, 20), (30, 39)]),
            (0, 3, vec![(0, 3), (10, 20), (30, 39)]),
            (15, 29, vec![(0, 3), (10, 39)]),
            (65_535, 65_535, vec![(0, 3), (10, 39), (65_535, 65_535)]),
            (0, 65_534, vec![(0, 65_535)]),
        ] {
            places.widen(first, last);
            assert_eq!(places.ranges, want, "{first}-{last}");
        }
        assert_eq!(places.between, 0);
    }

    #[test]
    fn the_smallest_gaps_are_closed_and_counted() {
        let mut learner = Learner::new();
        // 32 ranges of one register, each a bit further from the last.
        let mut address = 0;
        for number in 0..32_u16 {
            learner.observe(at(0), &peer(9), UnitId(1), &read(address, 1));
            address += 3 + number;
        }
        learner.observe(at(0), &peer(9), UnitId(1), &read(60_000, 1));
        let places = &learner.clients()[0].uses[0].reads;
        assert_eq!((places.ranges.len(), places.between), (RANGES_MAX, 2));
        assert_eq!(places.ranges[0], (0, 3), "the first gap, of two addresses");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut learner = Learner::new();
        for number in 0..CLIENTS_MAX + 3 {
            let bits = u32::try_from(number).unwrap();
            let client = Peer { address: IpAddr::V4(bits.into()), identity: None };
            for function in 100..105 {
                let request = Request::Other { function, data: &[] };
                learner.observe(at(0), &client, UnitId(1), &request);
            }
        }
        let unlearned = learner.unlearned();
        assert_eq!(unlearned.of_clients, 3 * 5);
        assert_eq!(unlearned.of_uses, u64::try_from(CLIENTS_MAX * 5 - USES_MAX).unwrap());
        // One that tries everything has its share, and no more.
        let mut learner = Learner::new();
        for unit in 0..=255 {
            for function in 100..110 {
                learner.observe(at(0), &peer(9), UnitId(unit), &Request::Other { function, data: &[] });
            }
        }
        learner.observe(at(0), &peer(7), UnitId(1), &read(0, 1));
        assert_eq!(learner.unlearned().of_uses, 2_560 - u64::try_from(USES_OF_CLIENT_MAX).unwrap());
        assert_eq!(learner.clients()[0].uses.len(), 1);

        let mut learner = Learner::new();
        let mut bytes = [0; 246];
        let registers = Registers::encode(&[7; 123], &mut bytes).unwrap();
        let mut written = 0;
        for unit in 0..40 {
            for block in 0..20_u16 {
                let write = RegisterBlock::new(block * 123, registers).unwrap();
                learner.observe(
                    at(0),
                    &peer(9),
                    UnitId(unit),
                    &Request::WriteMultipleRegisters { block: write },
                );
                written += 123;
            }
        }
        let values: Vec<usize> = learner.clients()[0].uses.iter().map(|one| one.values.len()).collect();
        assert!(values.iter().all(|count| *count <= VALUES_OF_USE_MAX), "{values:?}");
        assert_eq!(values.iter().sum::<usize>(), VALUES_MAX);
        assert_eq!(learner.unlearned().of_values, written - u64::try_from(VALUES_MAX).unwrap());
    }

    #[test]
    fn an_address_in_two_notations_is_one_client() {
        let mut learner = Learner::new();
        learner.observe(at(0), &peer(9), UnitId(1), &read(0, 1));
        let mapped = Peer { address: "::ffff:10.20.0.9".parse().unwrap(), identity: None };
        learner.observe(at(0), &mapped, UnitId(1), &read(0, 1));
        let named = |print| Identity {
            subject: "CN=a".into(),
            fingerprint: [print; 32],
            role: None,
            role_fault: None,
        };
        for print in [1, 2, 1] {
            let client = Peer { address: peer(9).address, identity: Some(named(print)) };
            learner.observe(at(0), &client, UnitId(1), &read(0, 1));
        }
        let counts: Vec<u64> = learner.clients().iter().map(|client| client.uses[0].count).collect();
        assert_eq!(counts, [2, 2, 1]);
    }
}
