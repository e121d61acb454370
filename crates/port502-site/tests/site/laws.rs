//! What holds of every site, whatever stands in it: the poll plan, the policy, the baseline and the simulator.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "limits of f32 are f32, and widths are small")]

use std::fmt::Write as _;
use std::time::Duration;

use port502_inspect::baseline::Asker;
use port502_inspect::policy::{Client, Conduit, Decision, Envelope, Functions, Places, Range, Writable};
use port502_site::compile::poll::Cost;
use port502_site::compile::{Compiled, compile};
use port502_site::site::Site;
use port502_site::{Cells, Point};
use port502_wire::value::{Value, ValueType};
use port502_wire::{Bits, CoilBlock, RegisterBlock, Registers, Request, Span, Table, UnitId};
use proptest::prelude::*;

use super::example::{WATERWORKS, parse};

// ---- sites by chance -----------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
struct AnyTag {
    table: usize,
    address: u16,
    value_type: usize,
    scan: usize,
    write: bool,
    limits: (u8, u8),
    scale: usize,
}

#[derive(Clone, Debug)]
struct AnyDevice {
    max_registers: u16,
    max_bits: u16,
    fill: Option<u16>,
    holes: Vec<(usize, u16, u16)>,
    one_per_request: bool,
    bus: bool,
    latency_ms: u32,
    tags: Vec<AnyTag>,
}

const TABLES: [&str; 4] = ["coil", "discrete", "input", "holding"];
const TYPES: [&str; 8] = ["u16", "i16", "f32", "u32:cdab", "f64", "bit3", "str5", "bcd16"];
const SCANS: [&str; 3] = ["fast", "normal", "slow"];
const SCALES: [&str; 4] = ["1", "0.1", "-0.5", "10"];

fn any_tag() -> impl Strategy<Value = AnyTag> {
    (0..4_usize, 0..200_u16, 0..TYPES.len(), 0..3_usize, any::<bool>(), (0..50_u8, 0..50_u8), 0..SCALES.len())
        .prop_map(|(table, address, value_type, scan, write, limits, scale)| AnyTag {
            table,
            address,
            value_type,
            scan,
            write,
            limits,
            scale,
        })
}

fn any_device() -> impl Strategy<Value = AnyDevice> {
    let holes = prop::collection::vec((0..4_usize, 0..220_u16, 0..20_u16), 0..4);
    let limits = (4..=125_u16, 1..=300_u16, prop::option::of(0..40_u16));
    let link = (any::<bool>(), 0..30_u32, prop::bool::weighted(0.1));
    (limits, holes, link, prop::collection::vec(any_tag(), 0..25)).prop_map(
        |((max_registers, max_bits, fill), holes, (bus, latency_ms, one_per_request), tags)| AnyDevice {
            max_registers,
            max_bits,
            fill,
            holes,
            one_per_request,
            bus,
            latency_ms,
            tags,
        },
    )
}

/// The text of a site with these devices, each behind a conduit. Tags that would be refused are left out.
fn text(devices: &[AnyDevice]) -> String {
    let mut text = "[site]\nname = \"s\"\n[zone.z]\nnetworks = [\"10.0.0.0/24\"]\n[role.r]\n[scan]\n\
        fast = { every = \"500ms\" }\nnormal = { every = \"2s\" }\nslow = { every = \"1m\" }\n"
        .to_owned();
    for (at, device) in devices.iter().enumerate() {
        let scheme = if device.bus { "rtu+tcp" } else { "tcp" };
        let fill = device.fill.map(|fill| format!("fill = {fill}\n")).unwrap_or_default();
        let quirks = if device.one_per_request { "quirks = \"one-per-request\"\n" } else { "" };
        let holes: Vec<String> = device
            .holes
            .iter()
            .map(|(table, first, more)| format!("\"{}:{first}-{}\"", TABLES[*table], first + more))
            .collect();
        write!(
            text,
            "[guard.g{at}]\nlisten = \"tcp://0.0.0.0:{}\"\nto = \"d{at}\"\nallow = [{{ from = \"z\", do = \"derived\" }}]\n\
            [device.d{at}]\nconnect = \"{scheme}://10.0.1.{at}\"\nlatency = \"{}ms\"\nmax_registers = {}\nmax_bits = {}\n\
            {fill}{quirks}holes = [{}]\n[device.d{at}.tag]\n",
            1000 + at,
            device.latency_ms,
            device.max_registers,
            device.max_bits,
            holes.join(", "),
        )
        .unwrap();
        let mut written: Vec<(usize, u16, u16)> = Vec::new();
        for (number, tag) in device.tags.iter().enumerate() {
            let bits = tag.table < 2;
            let value_type = if bits { "bool" } else { TYPES[tag.value_type] };
            let width = match value_type {
                "f32" | "u32:cdab" => 2,
                "f64" => 4,
                "str5" => 3,
                _ => 1,
            };
            let last = tag.address + width - 1;
            let in_hole = |(table, first, more): &(usize, u16, u16)| {
                *table == tag.table && tag.address <= first + more && last >= *first
            };
            if device.holes.iter().any(in_hole) || (!bits && width > device.max_registers) {
                continue;
            }
            let number_type = !bits && !matches!(value_type, "bit3" | "str5");
            let scale = if number_type { format!(", scale = {}", SCALES[tag.scale]) } else { String::new() };
            let overlaps = |(table, first, end): &(usize, u16, u16)| {
                *table == tag.table && tag.address <= *end && last >= *first
            };
            let mut write_text = String::new();
            if tag.write && (tag.table == 0 || tag.table == 3) && !written.iter().any(overlaps) {
                written.push((tag.table, tag.address, last));
                let (low, high) = (tag.limits.0.min(tag.limits.1), tag.limits.0.max(tag.limits.1));
                let factor: f64 = SCALES[tag.scale].parse().unwrap();
                let (a, b) = (f64::from(low) * factor, f64::from(high) * factor);
                let limits = if number_type {
                    format!(", min = {:?}, max = {:?}", a.min(b), a.max(b))
                } else {
                    String::new()
                };
                write_text = format!(", write = {{ roles = \"r\"{limits} }}");
            }
            writeln!(
                text,
                "t{number} = {{ at = \"{}:{}\", type = \"{value_type}\", scan = \"{}\"{scale}{write_text} }}",
                TABLES[tag.table], tag.address, SCANS[tag.scan]
            )
            .unwrap();
        }
    }
    text
}

fn any_site() -> impl Strategy<Value = Site> {
    prop::collection::vec(any_device(), 0..3).prop_map(|devices| parse(&text(&devices)))
}

// ---- the poll plan -------------------------------------------------------------------------------------------------

fn covers(first: u16, last: u16, point: &Point) -> bool {
    first <= point.address() && point.last() <= last
}

fn check_plan(site: &Site, compiled: &Compiled) {
    let plan = &compiled.poll;
    let mut seen = vec![0; site.tags().len()];
    let (mut planned, mut alone) = (0.0, 0.0);
    for lane in plan.lanes() {
        let requests = plan.requests_of(lane);
        assert_eq!(lane.rounds.iter().map(|round| round.requests).sum::<u32>() as usize, requests.len());
        for request in requests {
            let device = site.device(request.device);
            assert_eq!(device.lane, lane.lane);
            let limits = device.limits;
            let max = if request.table.is_bits() { limits.read_bits } else { limits.read_registers };
            assert!(request.count >= 1 && request.count <= max, "{request:?}");
            assert!(u32::from(request.start) + u32::from(request.count) <= 65_536, "{request:?}");
            let touches = |hole: &&Range| {
                hole.table == request.table && hole.first <= request.last() && hole.last >= request.start
            };
            assert_eq!(device.holes.iter().find(touches), None, "{request:?}");
            let every = site.scan(request.scan).every;
            let tags = plan.tags_of(request);
            assert!(!tags.is_empty(), "{request:?}");
            for tag in tags {
                seen[tag.index()] += 1;
                let tag = site.tag(*tag);
                assert_eq!((tag.device, tag.point.table()), (request.device, request.table));
                assert!(covers(request.start, request.last(), &tag.point), "{request:?} {tag:?}");
                assert!(every <= site.scan(tag.scan).every, "{request:?} {tag:?}");
            }
            if device.quirks.one_per_request {
                let widths = tags.iter().map(|tag| site.tag(*tag).point.width());
                assert!(widths.max() == Some(u32::from(request.count)), "{request:?}");
            }
            planned += request.cost.as_secs_f64() / every.as_secs_f64();
        }
    }
    assert!(seen.iter().all(|count| *count == 1), "each tag is read by one request: {seen:?}");
    for tag in site.tags() {
        let lane = site.lane(site.device(tag.device).lane);
        let cost = Cost::of(lane).request(tag.point.table(), u16::try_from(tag.point.width()).unwrap());
        alone += cost.as_secs_f64() / site.scan(tag.scan).every.as_secs_f64();
    }
    // The sums are made in another order.
    assert!(planned <= alone * (1.0 + 1e-9), "{planned} s of requests a second, and {alone} one by one");
}

/// The least cost for the tags of one class and table, by trying every way to cut them.
fn cheapest(
    items: &[(u32, u32)],
    fits: &dyn Fn(u32, u32) -> bool,
    cost: &dyn Fn(u32) -> Duration,
) -> Duration {
    let Some((first, _)) = items.first() else { return Duration::ZERO };
    let mut best = Duration::MAX;
    for len in 1..=items.len() {
        let end = items[len - 1].1;
        if fits(*first, end) {
            best = best.min(cost(end - first) + cheapest(&items[len..], fits, cost));
        }
    }
    best
}

proptest! {
    #[test]
    fn every_tag_is_read_within_the_limits_and_for_no_more_than_one_by_one(site in any_site()) {
        check_plan(&site, &compile(&site));
    }

    #[test]
    fn no_other_cut_is_cheaper(
        addresses in prop::collection::btree_set(0..300_u16, 1..10),
        max in 4..=125_u16,
        latency in 0..20_u32,
        hole in 0..300_u16,
    ) {
        let mut text = format!(
            "[site]\nname = \"s\"\n[device.d]\nconnect = \"rtu+tcp://d\"\nlatency = \"{latency}ms\"\n\
            max_registers = {max}\nholes = \"holding:{hole}\"\n[device.d.tag]\n"
        );
        let items: Vec<(u32, u32)> = addresses
            .iter()
            .filter(|address| **address != hole)
            .map(|address| (u32::from(*address), u32::from(*address) + 1))
            .collect();
        for (first, _) in &items {
            writeln!(text, "t{first} = {{ at = \"holding:{first}\" }}").unwrap();
        }
        let site = parse(&text);
        let cost = Cost::of(&site.lanes()[0]);
        let request = |count: u32| cost.request(Table::HoldingRegisters, u16::try_from(count).unwrap());
        let fits = |first: u32, end: u32| {
            end - first <= u32::from(max) && !(first..end).contains(&u32::from(hole))
        };
        let got: Duration = compile(&site).poll.requests().iter().map(|request| request.cost).sum();
        prop_assert_eq!(got, cheapest(&items, &fits, &request));
    }

    // ---- the policy ------------------------------------------------------------------------------------------------

    #[test]
    fn what_is_planned_passes_and_what_is_beyond_does_not(site in any_site()) {
        check_policy(&site, &compile(&site));
    }

    // ---- the rest --------------------------------------------------------------------------------------------------

    #[test]
    fn every_request_is_expected_and_finds_something(site in any_site()) {
        let compiled = compile(&site);
        check_baseline(&site, &compiled);
        check_simulator(&site, &compiled);
    }

    #[test]
    fn the_same_site_compiles_to_the_same(devices in prop::collection::vec(any_device(), 0..3)) {
        let (a, b) = (parse(&text(&devices)), parse(&text(&devices)));
        let (one, other) = (compile(&a), compile(&b));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(port502_site::compile::diff::diff((&a, &one), (&b, &other)), []);
    }
}

fn client<'r>(address: &str, roles: &'r [&'r str]) -> Client<'r> {
    Client { address: address.parse().unwrap(), subject: Some("CN=panel.northfield.example"), roles }
}

fn read(table: Table, start: u16, count: u16) -> Request<'static> {
    match table {
        Table::Coils => Request::ReadCoils { span: Span::new(start, count).unwrap() },
        Table::DiscreteInputs => Request::ReadDiscreteInputs { span: Span::new(start, count).unwrap() },
        Table::InputRegisters => Request::ReadInputRegisters { span: Span::new(start, count).unwrap() },
        Table::HoldingRegisters => Request::ReadHoldingRegisters { span: Span::new(start, count).unwrap() },
    }
}

/// The decision on each request that writes these registers or this bit to an address.
fn written(
    conduit: &Conduit,
    client: Client<'_>,
    unit: UnitId,
    value: &Writable,
    address: u16,
    as_: Value,
) -> Vec<Decision> {
    let mut decisions = Vec::new();
    let mut judge = |request: &Request<'_>| decisions.push(conduit.judge(client, unit, request));
    let (mut room, mut bytes) = ([0; 4], [0; 8]);
    match (value.table, value.value_type, as_) {
        (Table::Coils, _, Value::Bool(on)) => {
            judge(&Request::WriteSingleCoil { address, value: on });
            let bits = Bits::encode(&[on], &mut bytes).unwrap();
            judge(&Request::WriteMultipleCoils { block: CoilBlock::new(address, bits).unwrap() });
        }
        (_, ValueType::Bit(bit), Value::Bool(on)) => {
            let or = if on { bit.mask() } else { 0 };
            judge(&Request::MaskWriteRegister { address, and: !bit.mask(), or });
        }
        _ => {
            let registers = value.value_type.encode(value.order, as_, &mut room).unwrap();
            if let [register] = registers {
                judge(&Request::WriteSingleRegister { address, value: *register });
            }
            let registers = Registers::encode(registers, &mut bytes).unwrap();
            // What reaches past the table is no request.
            if let Ok(block) = RegisterBlock::new(address, registers) {
                judge(&Request::WriteMultipleRegisters { block });
            }
        }
    }
    decisions
}

fn number(value_type: ValueType, raw: i128) -> Option<Value> {
    let (low, high) = value_type.limits()?;
    if !(low..=high).contains(&raw) {
        return None;
    }
    if low < 0 {
        i64::try_from(raw).ok().map(Value::Signed)
    } else {
        u64::try_from(raw).ok().map(Value::Unsigned)
    }
}

/// Values within the limits, and values just outside of them.
fn inside_and_outside(value: &Writable) -> (Vec<Value>, Vec<Value>) {
    match (&value.limits, value.value_type) {
        (Envelope::Any, ValueType::Text(_)) => (Vec::new(), Vec::new()),
        (Envelope::Any, _) => (vec![Value::Bool(true), Value::Bool(false)], Vec::new()),
        (Envelope::Integers { .. }, ValueType::Bool) if value.table == Table::Coils => {
            (vec![Value::Bool(true), Value::Bool(false)], Vec::new())
        }
        (Envelope::Integers { min, max }, of) => (
            [*min, *max].into_iter().filter_map(|raw| number(of, raw)).collect(),
            [*min - 1, *max + 1].into_iter().filter_map(|raw| number(of, raw)).collect(),
        ),
        (Envelope::OneOf(all), of) => {
            let beside = all.iter().flat_map(|raw| [raw - 1, raw + 1]).filter(|raw| !all.contains(raw));
            (
                all.iter().filter_map(|raw| number(of, *raw)).collect(),
                beside.filter_map(|raw| number(of, raw)).collect(),
            )
        }
        (Envelope::Floats { min, max }, ValueType::F32) => (
            vec![Value::F32(*min as f32), Value::F32(*max as f32)],
            vec![
                Value::F32((*min as f32).next_down()),
                Value::F32((*max as f32).next_up()),
                Value::F32(f32::NAN),
            ],
        ),
        (Envelope::Floats { min, max }, _) => (
            vec![Value::F64(*min), Value::F64(*max)],
            vec![Value::F64(min.next_down()), Value::F64(max.next_up()), Value::F64(f64::NAN)],
        ),
    }
}

/// For each conduit that derives something: who may. Gives back how many values and neighbours were tried.
fn check_policy(site: &Site, compiled: &Compiled) -> (usize, usize) {
    let (mut tried, mut neighbours) = (0, 0);
    let allowed = |decision: &Decision| matches!(decision, Decision::Allowed { .. });
    for (conduit, of) in compiled.policy.conduits.iter().zip(site.conduits()) {
        for rule in &of.allow {
            if rule.grant != port502_site::site::Grant::Derived {
                continue;
            }
            let network = site.zone(rule.zones[0]).networks[0];
            let address = network.address().to_string();
            let all: Vec<&str> = site.roles().iter().map(|role| role.name.as_str()).collect();
            let insider = client(&address, &all);
            let outsider = client("192.0.2.1", &all);
            for request in
                compiled.poll.requests().iter().filter(|request| of.devices.contains(&request.device))
            {
                let unit = site.device(request.device).unit;
                let asked = read(request.table, request.start, request.count);
                assert!(allowed(&conduit.judge(insider, unit, &asked)), "{asked:?} of {}", conduit.name);
                assert!(!allowed(&conduit.judge(outsider, unit, &asked)), "{asked:?} from outside");
                assert!(!allowed(&conduit.judge(insider, UnitId(unit.0 ^ 0x80), &asked)), "another unit");
            }
            for device in &of.devices {
                let unit = site.device(*device).unit;
                let mut values: Vec<&Writable> = Vec::new();
                for rule in &conduit.rules {
                    assert!(rule.functions != Functions::Any, "{}", rule.name); // none of these sites says so
                    let for_insider =
                        rule.clients.networks.iter().any(|network| network.contains(insider.address));
                    if let (Places::Values(all), true) =
                        (&rule.places, for_insider && rule.units == [(unit.0, unit.0)])
                    {
                        values.extend(all);
                    }
                }
                let granted = |table: Table, address: u16| {
                    values.iter().any(|value| {
                        value.table == table && (value.address..=value.last()).contains(&address)
                    })
                };
                // Of a rule that names roles, only those that the tag names too.
                let may =
                    |roles: &[_]| rule.roles.is_empty() || roles.iter().any(|role| rule.roles.contains(role));
                let writable = site.tags_of(*device).filter_map(|(_, tag)| tag.write());
                let writable = writable.filter(|write| may(&write.roles)).count();
                let mut names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), writable, "every writable tag has its rule");
                for value in &values {
                    let (inside, outside) = inside_and_outside(value);
                    for good in &inside {
                        let decisions = written(conduit, insider, unit, value, value.address, *good);
                        assert!(
                            !decisions.is_empty() && decisions.iter().all(allowed),
                            "{value:?} = {good:?}"
                        );
                        let decisions = written(conduit, outsider, unit, value, value.address, *good);
                        assert!(!decisions.iter().any(allowed), "{value:?} from outside");
                        let powerless = client(&address, &[]);
                        let decisions = written(conduit, powerless, unit, value, value.address, *good);
                        assert!(!decisions.iter().any(allowed), "{value:?} without a role");
                    }
                    for bad in outside {
                        let decisions = written(conduit, insider, unit, value, value.address, bad);
                        assert!(
                            !decisions.is_empty() && !decisions.iter().any(allowed),
                            "{value:?} = {bad:?}"
                        );
                        tried += 1;
                    }
                    let beside = [value.address.checked_sub(1), value.last().checked_add(1)];
                    for beside in beside.into_iter().flatten().filter(|beside| !granted(value.table, *beside))
                    {
                        for good in &inside {
                            let decisions = written(conduit, insider, unit, value, beside, *good);
                            assert!(!decisions.iter().any(allowed), "{value:?} beside, at {beside}");
                            neighbours += 1;
                        }
                    }
                    // Half of a wide value is none.
                    if value.width() > 1 {
                        let half = Request::WriteSingleRegister { address: value.address, value: 1 };
                        assert!(!allowed(&conduit.judge(insider, unit, &half)), "half of {value:?}");
                    }
                }
            }
            // What no tag needs.
            for request in [
                Request::ReportServerId,
                Request::Other { function: 90, data: &[] },
                Request::ReadFifoQueue { address: 0 },
                Request::MaskWriteRegister { address: 65_535, and: 0, or: 0 },
            ] {
                for device in &of.devices {
                    assert!(
                        !allowed(&conduit.judge(insider, site.device(*device).unit, &request)),
                        "{request:?}"
                    );
                }
            }
        }
    }
    (tried, neighbours)
}

fn check_baseline(site: &Site, compiled: &Compiled) {
    for request in compiled.poll.requests() {
        let device = site.device(request.device);
        let server = site.lane(device.lane).target.to_string();
        let expected = compiled.baseline.flows.iter().any(|flow| {
            matches!(flow.client, Asker::Poller { .. })
                && (flow.server.as_str(), flow.unit, flow.function)
                    == (&server, device.unit, request.function())
                && flow.period == Some(site.scan(request.scan).every)
                && flow.ranges.iter().any(|range| {
                    range.table == request.table
                        && range.first <= request.start
                        && request.last() <= range.last
                })
        });
        assert!(expected, "{request:?}");
    }
}

fn check_simulator(site: &Site, compiled: &Compiled) {
    let has = |device: usize, table: Table, first: u16, last: u16| {
        compiled.simulator.devices[device].blocks.iter().any(|block| {
            let end = usize::from(block.start) + block.cells.len();
            block.table == table && block.start <= first && usize::from(last) < end
        })
    };
    for request in compiled.poll.requests() {
        assert!(has(request.device.index(), request.table, request.start, request.last()), "{request:?}");
    }
    for (device, simulated) in site.device_ids().zip(&compiled.simulator.devices) {
        for pair in simulated.blocks.windows(2) {
            let end = usize::from(pair[0].start) + pair[0].cells.len();
            assert!(pair[0].table < pair[1].table || end < usize::from(pair[1].start), "{pair:?}");
        }
        for (_, tag) in site.tags_of(device.0) {
            assert!(
                has(device.0.index(), tag.point.table(), tag.point.address(), tag.point.last()),
                "{tag:?}"
            );
            let writable = simulated
                .writable
                .iter()
                .any(|range| range.table == tag.point.table() && covers(range.first, range.last, &tag.point));
            assert!(writable || tag.write().is_none(), "{tag:?}");
        }
    }
}

#[test]
fn the_laws_hold_of_the_water_works() {
    let site = parse(WATERWORKS);
    let compiled = compile(&site);
    check_plan(&site, &compiled);
    check_baseline(&site, &compiled);
    check_simulator(&site, &compiled);
    // Both the values outside of the limits and the neighbours are there to be tried.
    let (tried, neighbours) = check_policy(&site, &compiled);
    assert!(tried >= 6 && neighbours >= 6, "{tried} values, {neighbours} neighbours");
}

#[test]
fn the_simulator_begins_with_what_the_site_says() {
    let site = parse(WATERWORKS);
    let compiled = compile(&site);
    let holds = |path: &str| {
        let tag = site.tag(site.find(path).unwrap());
        let device = &compiled.simulator.devices[tag.device.index()];
        let block = device
            .blocks
            .iter()
            .rfind(|block| block.table == tag.point.table() && block.start <= tag.point.address());
        let block = block.unwrap();
        let offset = usize::from(tag.point.address() - block.start);
        let cells: Cells = block.cells.part(offset, tag.point.width() as usize).unwrap();
        tag.point.decode(&cells)[0].as_ref().unwrap().to_string()
    };
    assert_eq!(holds("tank.level"), "4.2", "initial");
    assert_eq!(holds("intake.speed_sp"), "420", "initial, with the scale");
    assert_eq!(holds("intake.flow"), "200", "the middle of the range, in the device's order");
    assert_eq!(holds("intake.fault"), "false");
    assert_eq!(holds("booster.boost"), "false");
}
