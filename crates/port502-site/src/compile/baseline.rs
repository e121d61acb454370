//! The baseline: who is expected to ask what of whom, and how often.
//!
//! The poller's flows have a period, one for each device, scan class and function. What clients do through a conduit
//! is expected at the conduit from them, and at the device from the guard; it has no period. Writes are expected from
//! those who may, whenever they want.

use std::collections::BTreeMap;
use std::time::Duration;

use port502_inspect::baseline::{Asker, Baseline, Flow};
use port502_inspect::policy::Range;
use port502_wire::FunctionCode;

use super::merged;
use super::policy::{Reads, by_roles, place, write_functions_of};
use super::poll::{PollPlan, read_function};
use crate::site::{self, DeviceId, Grant, Site};

/// What is expected on a site.
#[must_use]
pub fn baseline(site: &Site, plan: &PollPlan) -> Baseline {
    let mut flows = Vec::new();
    let poller =
        Asker::Poller { networks: site.poller().map(|zone| zone.networks.clone()).unwrap_or_default() };
    let servers: Vec<String> = site.lanes().iter().map(|lane| lane.target.to_string()).collect();
    let server =
        |device: DeviceId| servers.get(site.device(device).lane.index()).cloned().unwrap_or_default();

    // Requests of one device and class stand together, but for the tables between.
    let mut rounds: BTreeMap<(DeviceId, FunctionCode, Duration), (Vec<Range>, u32)> = BTreeMap::new();
    for request in plan.requests() {
        let key = (request.device, request.function(), site.scan(request.scan).every);
        let (ranges, count) = rounds.entry(key).or_default();
        ranges.push(Range { table: request.table, first: request.start, last: request.last() });
        *count += 1;
    }
    for ((device, function, period), (ranges, requests)) in rounds {
        flows.push(Flow {
            client: poller.clone(),
            server: server(device),
            unit: site.device(device).unit,
            function,
            ranges: merged(ranges),
            period: Some(period),
            requests,
        });
    }
    for (device, _) in site.device_ids() {
        for (function, ranges) in writes(site, device) {
            flows.push(on_demand(site, poller.clone(), server(device), device, function, ranges));
        }
    }
    let reads = Reads::new(site, plan);
    for conduit in site.conduits() {
        through(site, &reads, conduit, &server, &mut flows);
    }
    flows.sort_by(|a, b| {
        (&a.server, a.unit, &a.client, a.function).cmp(&(&b.server, b.unit, &b.client, b.function))
    });
    flows.dedup();
    Baseline { flows }
}

fn on_demand(
    site: &Site,
    client: Asker,
    server: String,
    device: DeviceId,
    function: FunctionCode,
    ranges: Vec<Range>,
) -> Flow {
    Flow { client, server, unit: site.device(device).unit, function, ranges, period: None, requests: 1 }
}

/// What may be written of a device, by function.
fn writes(site: &Site, device: DeviceId) -> Vec<(FunctionCode, Vec<Range>)> {
    let mut by_function: BTreeMap<FunctionCode, Vec<Range>> = BTreeMap::new();
    for (_, tags) in by_roles(site, device) {
        for tag in tags {
            let point = &site.tag(tag).point;
            for function in write_functions_of(point) {
                by_function.entry(function).or_default().push(place(point));
            }
        }
    }
    by_function.into_iter().map(|(function, ranges)| (function, merged(ranges))).collect()
}

/// What comes through a conduit.
fn through(
    site: &Site,
    reads: &Reads,
    conduit: &site::Conduit,
    server: &dyn Fn(DeviceId) -> String,
    flows: &mut Vec<Flow>,
) {
    let guard = Asker::Guard { conduit: conduit.name.clone() };
    for rule in &conduit.allow {
        let mut askers: Vec<Asker> = rule
            .zones
            .iter()
            .map(|zone| site.zone(*zone))
            .map(|zone| Asker::Zone { name: zone.name.clone(), networks: zone.networks.clone() })
            .collect();
        if !rule.networks.is_empty() || askers.is_empty() {
            askers.push(Asker::Networks { networks: rule.networks.clone() });
        }
        for device in &conduit.devices {
            let unit = site.device(*device).unit.0;
            let named = |(first, last): &(u8, u8)| (*first..=*last).contains(&unit);
            if !rule.units.is_empty() && !rule.units.iter().any(named) {
                continue;
            }
            for (function, ranges) in granted(site, reads, *device, rule) {
                for asker in &askers {
                    for listen in &conduit.listen {
                        let at = listen.to_string();
                        flows.push(on_demand(site, asker.clone(), at, *device, function, ranges.clone()));
                    }
                }
                flows.push(on_demand(site, guard.clone(), server(*device), *device, function, ranges));
            }
        }
    }
}

/// What a rule grants of a device, by function.
fn granted(
    site: &Site,
    reads: &Reads,
    device: DeviceId,
    rule: &site::Rule,
) -> Vec<(FunctionCode, Vec<Range>)> {
    match &rule.grant {
        Grant::Derived => {
            let mut by_function: BTreeMap<FunctionCode, Vec<Range>> =
                writes(site, device).into_iter().collect();
            for range in reads.of(device) {
                by_function.entry(read_function(range.table)).or_default().push(*range);
            }
            by_function.into_iter().collect()
        }
        Grant::Listed { functions, places, .. } => {
            functions.iter().map(|operation| (operation.function, places.clone())).collect()
        }
    }
}
