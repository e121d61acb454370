//! The poll plan: the requests that read every tag as often as its scan class says, at the least cost.
//!
//! A request costs a fixed part, which is the link's latency, the pause behind it and the bytes of its frames, and a
//! part for each item that it reads. Two tags that are not neighbours are read together when the items between them
//! cost less than another request:
//!
//! ```text
//!   tags          ##    ###                 #
//!   addresses     100   103                 180      on a bus of 9600 baud a request is worth some 20 registers,
//!   requests      |-------|                 |        on Ethernet as many as fit into it
//! ```
//!
//! Because the cost of a request is linear in its length, the cheapest plan is found exactly, in one pass over the tags
//! of a device and scan class sorted by address: the best plan up to a tag is the best plan up to some earlier tag, and
//! one request for what lies between; how far back that may be is bounded by the largest request that the device takes,
//! so that the best of the earlier ones is a sliding minimum.
//!
//! No request is larger than the device takes, none touches a hole, and no value is torn between two. A tag that lies
//! in a request of a faster class is read with that one.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use port502_session::target::Framing;
use port502_wire::{FunctionCode, Table};

use crate::site::{Device, DeviceId, Lane, LaneId, ScanId, Site, TagId};

/// The requests of a site.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PollPlan {
    requests: Vec<PollRequest>,
    tags: Vec<TagId>,
    lanes: Vec<LanePlan>,
}

/// One request, asked again and again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PollRequest {
    /// Where.
    pub lane: LaneId,
    /// Whom.
    pub device: DeviceId,
    /// How often.
    pub scan: ScanId,
    /// What.
    pub table: Table,
    /// The first address.
    pub start: u16,
    /// How many items; at least 1, and no more than the device takes.
    pub count: u16,
    /// What it takes, pause included.
    pub cost: Duration,
    tags: Range<u32>,
}

/// What is asked on one lane.
#[derive(Clone, PartialEq, Debug)]
pub struct LanePlan {
    /// The lane.
    pub lane: LaneId,
    /// Each scan class that is used there, the fastest first.
    pub rounds: Vec<Round>,
    /// The part of its time that the lane is busy: above 1 it cannot keep up.
    pub load: f64,
    requests: Range<u32>,
}

/// What a scan class asks on a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Round {
    /// The class.
    pub scan: ScanId,
    /// From one round to the next.
    pub every: Duration,
    /// How many requests one round is.
    pub requests: u32,
    /// How many tags it reads, those of slower classes included.
    pub tags: u32,
    /// How long a round takes when nothing else is asked.
    pub cycle: Duration,
}

impl PollRequest {
    /// The last address.
    #[must_use]
    pub const fn last(&self) -> u16 {
        self.start.saturating_add(self.count.saturating_sub(1))
    }

    /// The function that it is.
    #[must_use]
    pub const fn function(&self) -> FunctionCode {
        read_function(self.table)
    }
}

/// The function that reads a table.
#[must_use]
pub(super) const fn read_function(table: Table) -> FunctionCode {
    match table {
        Table::Coils => FunctionCode::READ_COILS,
        Table::DiscreteInputs => FunctionCode::READ_DISCRETE_INPUTS,
        Table::InputRegisters => FunctionCode::READ_INPUT_REGISTERS,
        Table::HoldingRegisters => FunctionCode::READ_HOLDING_REGISTERS,
    }
}

impl PollPlan {
    /// All requests: by lane, then the fastest class first, then by device, table and address.
    #[must_use]
    pub fn requests(&self) -> &[PollRequest] {
        &self.requests
    }

    /// The lanes, as in [`Site::lanes`].
    #[must_use]
    pub fn lanes(&self) -> &[LanePlan] {
        &self.lanes
    }

    /// The requests of a lane.
    #[must_use]
    pub fn requests_of(&self, lane: &LanePlan) -> &[PollRequest] {
        slice(&self.requests, &lane.requests)
    }

    /// The tags that a request reads, by address.
    #[must_use]
    pub fn tags_of(&self, request: &PollRequest) -> &[TagId] {
        slice(&self.tags, &request.tags)
    }
}

fn slice<'s, T>(all: &'s [T], range: &Range<u32>) -> &'s [T] {
    let at = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    all.get(at(range.start)..at(range.end)).unwrap_or_default()
}

/// What requests cost on a lane. In eighths of a nanosecond, so that a bit has a price.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    fixed: u64,
    register: u64,
    bit: u64,
}

impl Cost {
    /// The cost on a lane.
    #[must_use]
    pub fn of(lane: &Lane) -> Self {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 64);
        // The bytes of a request and of its response, without what is read; and how many bytes one is on the wire.
        let (frames, width) = match lane.target.link().framing() {
            Framing::Mbap => (12 + 9, 1),
            Framing::Rtu => (8 + 5, 1),
            Framing::Ascii => (17 + 11, 2),
        };
        let byte = nanos(lane.timing.byte);
        let fixed = nanos(lane.timing.latency).saturating_add(nanos(lane.timing.gap));
        Cost {
            fixed: fixed.saturating_add(byte.saturating_mul(frames)).saturating_mul(8),
            register: byte.saturating_mul(16 * width),
            bit: byte.saturating_mul(width),
        }
    }

    const fn item(self, table: Table) -> u64 {
        if table.is_bits() { self.bit } else { self.register }
    }

    /// What a request for so many items takes.
    #[must_use]
    pub fn request(self, table: Table, count: u16) -> Duration {
        // Bits come in whole bytes.
        let count = if table.is_bits() { count.div_ceil(8).saturating_mul(8) } else { count };
        let eighths = self.fixed.saturating_add(self.item(table).saturating_mul(u64::from(count)));
        Duration::from_nanos(eighths / 8)
    }
}

/// The requests of a site.
#[must_use]
pub fn plan(site: &Site) -> PollPlan {
    let mut plan = PollPlan::default();
    let mut by_lane: Vec<Vec<DeviceId>> = vec![Vec::new(); site.lanes().len()];
    for (device, of) in site.device_ids() {
        if let Some(devices) = by_lane.get_mut(of.lane.index()) {
            devices.push(device);
        }
    }
    let mut order: Vec<ScanId> = site.scan_ids().collect();
    order.sort_by_key(|scan| (site.scan(*scan).every, *scan));
    let mut rank = vec![0; order.len()];
    for (at, scan) in order.iter().enumerate() {
        if let Some(rank) = rank.get_mut(scan.index()) {
            *rank = at;
        }
    }
    for ((lane_id, lane), devices) in site.lane_ids().zip(by_lane) {
        let cost = Cost::of(lane);
        let mut requests: Vec<Planned> = Vec::new();
        for device in devices {
            plan_device(site, device, cost, &rank, &order, &mut requests);
        }
        requests.sort_by_key(|request| (request.rank, request.device, request.table, request.start));
        let first = index(plan.requests.len());
        let mut rounds: Vec<Round> = Vec::new();
        let mut load = 0.0;
        for request in requests {
            let Some(scan) = order.get(request.rank).copied() else { continue };
            let every = site.scan(scan).every;
            let took = cost.request(request.table, request.count);
            // What is in flight together waits together.
            let shared = lane.timing.latency.mul_f64(1.0 - 1.0 / f64::from(lane.timing.in_flight.max(1)));
            let took_of_lane = took.saturating_sub(shared);
            load += took_of_lane.as_secs_f64() / every.as_secs_f64();
            let tags = u32::try_from(request.tags.len()).unwrap_or(u32::MAX);
            match rounds.last_mut() {
                Some(round) if round.scan == scan => {
                    round.requests += 1;
                    round.tags += tags;
                    round.cycle += took_of_lane;
                }
                _ => rounds.push(Round { scan, every, requests: 1, tags, cycle: took_of_lane }),
            }
            let from = index(plan.tags.len());
            plan.tags.extend(&request.tags);
            plan.requests.push(PollRequest {
                lane: lane_id,
                device: request.device,
                scan,
                table: request.table,
                start: request.start,
                count: request.count,
                cost: took,
                tags: from..index(plan.tags.len()),
            });
        }
        let requests = first..index(plan.requests.len());
        plan.lanes.push(LanePlan { lane: lane_id, rounds, load, requests });
    }
    plan
}

fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A request that is being made.
struct Planned {
    device: DeviceId,
    /// Of its scan class, 0 being the fastest.
    rank: usize,
    table: Table,
    start: u16,
    count: u16,
    tags: Vec<TagId>,
}

impl Planned {
    fn holds(&self, item: &Item) -> bool {
        self.table == item.table
            && item.first >= u32::from(self.start)
            && item.end <= u32::from(self.start) + u32::from(self.count)
    }
}

/// A value to be read, from `first` to `end`, `end` not among it.
#[derive(Clone, Copy)]
struct Item {
    rank: usize,
    table: Table,
    first: u32,
    end: u32,
    tag: TagId,
}

fn plan_device(
    site: &Site,
    id: DeviceId,
    cost: Cost,
    rank: &[usize],
    order: &[ScanId],
    requests: &mut Vec<Planned>,
) {
    let device = site.device(id);
    let mut items: Vec<Item> = site
        .tags_of(id)
        .map(|(tag, of)| Item {
            rank: rank.get(of.scan.index()).copied().unwrap_or(order.len()),
            table: of.point.table(),
            first: u32::from(of.point.address()),
            end: u32::from(of.point.address()) + of.point.width(),
            tag,
        })
        .collect();
    // The widest first, so that what lies in another comes behind it.
    items.sort_by_key(|item| (item.rank, item.table, item.first, std::cmp::Reverse(item.end), item.tag));
    let mut of_device: Vec<Planned> = Vec::new();
    let mut rest = items.as_slice();
    while let Some(first) = rest.first() {
        let same =
            rest.iter().take_while(|item| (item.rank, item.table) == (first.rank, first.table)).count();
        let (group, behind) = rest.split_at(same);
        rest = behind;
        plan_group(device, id, group, cost, &mut of_device);
    }
    for request in &mut of_device {
        request.tags.sort_by_key(|tag| (site.tag(*tag).point.address(), *tag));
    }
    requests.append(&mut of_device);
}

/// The requests of one device, scan class and table. Those of faster classes are in `planned` already.
fn plan_group(device: &Device, id: DeviceId, group: &[Item], cost: Cost, planned: &mut Vec<Planned>) {
    let Some(table) = group.first().map(|item| item.table) else { return };
    let faster = planned.len();
    // What is left after those that are read with a faster class.
    let mut left: Vec<Item> = Vec::with_capacity(group.len());
    let mut by_start: Vec<usize> =
        (0..faster).filter(|at| planned.get(*at).is_some_and(|request| request.table == table)).collect();
    by_start.sort_by_key(|at| planned.get(*at).map(|request| request.start));
    for item in group {
        // Requests of several classes may overlap; the last few that begin in front of it are looked at.
        let upto = by_start.partition_point(|at| {
            planned.get(*at).is_some_and(|request| u32::from(request.start) <= item.first)
        });
        let near = by_start.get(upto.saturating_sub(LOOK_BACK)..upto).unwrap_or_default();
        let alone = device.quirks.one_per_request;
        let fits = |at: &&usize| {
            planned.get(**at).is_some_and(|request| {
                request.holds(item) && (!alone || u32::from(request.count) == item.end - item.first)
            })
        };
        match near.iter().rev().find(fits).and_then(|at| planned.get_mut(*at)) {
            Some(request) => request.tags.push(item.tag),
            None => left.push(*item),
        }
    }
    let Some(rank) = left.first().map(|item| item.rank) else { return };
    // What lies within another is read with it.
    let mut outer: Vec<Item> = Vec::with_capacity(left.len());
    for item in &left {
        let inside = outer.last().is_some_and(|last| {
            if device.quirks.one_per_request {
                (item.first, item.end) == (last.first, last.end)
            } else {
                item.end <= last.end
            }
        });
        if !inside {
            outer.push(*item);
        }
    }
    for (first, end) in cheapest(device, table, &outer, cost) {
        let (start, count) = (u16::try_from(first), u16::try_from(end - first));
        // Both fit: no tag reaches past its table.
        let (Ok(start), Ok(count)) = (start, count) else { continue };
        planned.push(Planned { device: id, rank, table, start, count, tags: Vec::new() });
    }
    let new = planned.get_mut(faster..).unwrap_or_default();
    for item in &left {
        let upto = new.partition_point(|request| u32::from(request.start) <= item.first);
        let near = new.get_mut(..upto).unwrap_or_default();
        // With one value to a request, wide and narrow ones may begin at the same address.
        let exact = device.quirks.one_per_request;
        let fits = |request: &&mut Planned| {
            request.holds(item) && (!exact || u32::from(request.count) == item.end - item.first)
        };
        if let Some(request) = near.iter_mut().rev().find(fits) {
            request.tags.push(item.tag);
        }
    }
}

/// Requests of faster classes that are looked at for a tag.
const LOOK_BACK: usize = 4;

/// The cheapest requests for items that are sorted, and none of which lies within another.
fn cheapest(device: &Device, table: Table, items: &[Item], cost: Cost) -> Vec<(u32, u32)> {
    let max = u32::from(if table.is_bits() { device.limits.read_bits } else { device.limits.read_registers });
    if device.quirks.bits_from_zero && table.is_bits() {
        // The parser has seen to it that one request reaches them all.
        return items.iter().map(|item| item.end).max().map(|end| (0, end)).into_iter().collect();
    }
    if device.quirks.one_per_request {
        return items.iter().map(|item| (item.first, item.end)).collect();
    }
    let fill = device.fill.map_or(u32::MAX, u32::from);
    let mut holes = device.holes.iter().filter(|hole| hole.table == table).peekable();
    // best[i]: the cost of the cheapest plan for the first i items; from[i]: where its last request begins.
    let mut best: Vec<u64> = Vec::with_capacity(items.len() + 1);
    let mut from: Vec<usize> = Vec::with_capacity(items.len());
    best.push(0);
    // Where the last request may begin, the best in front: what is behind is worse, but may reach further.
    let mut window: VecDeque<(usize, i128)> = VecDeque::new();
    let price = i128::from(cost.item(table));
    let mut previous: Option<&Item> = None;
    for (at, item) in items.iter().enumerate() {
        if let Some(previous) = previous {
            while holes.peek().is_some_and(|hole| u32::from(hole.last) < previous.end) {
                holes.next();
            }
            let hole = holes.peek().is_some_and(|hole| u32::from(hole.first) < item.first);
            if hole || item.first.saturating_sub(previous.end) > fill {
                window.clear();
            }
        }
        previous = Some(item);
        // A request that begins with this item, after the best plan for all in front of it.
        let begins = i128::from(best.last().copied().unwrap_or(0)) - price * i128::from(item.first);
        while window.back().is_some_and(|(_, other)| *other >= begins) {
            window.pop_back();
        }
        window.push_back((at, begins));
        let reaches = |begin: &usize| items.get(*begin).is_some_and(|first| item.end - first.first <= max);
        while window.front().is_some_and(|(begin, _)| !reaches(begin)) {
            window.pop_front();
        }
        // An item alone is never wider than the largest request: the parser has seen to it.
        let (begin, least) = window.front().copied().unwrap_or((at, begins));
        let total = least + price * i128::from(item.end) + i128::from(cost.fixed);
        best.push(u64::try_from(total).unwrap_or(u64::MAX));
        from.push(begin);
    }
    let mut requests = Vec::new();
    let mut behind = items.len();
    while let Some(begin) = behind.checked_sub(1).and_then(|last| from.get(last)).copied() {
        if let (Some(first), Some(last)) = (items.get(begin), items.get(behind - 1)) {
            requests.push((first.first, last.end));
        }
        behind = begin;
    }
    requests.reverse();
    requests
}
