//! The baseline: who is expected to ask what of whom, and how often.
//!
//! The poller's flows have a period, one for each device, scan class and function. What clients do through a conduit
//! is expected at the conduit from them, and at the device from the guard; it has no period. Writes are expected from
//! those who may, whenever they want.

use std::collections::BTreeMap;
use std::time::Duration;

use port502_inspect::baseline::{Asker, Baseline, Flow};
use port502_inspect::policy::{Operation, Range};
use port502_session::Link;
use port502_wire::FunctionCode;

use super::merged;
use super::policy::{Reads, by_roles, place, write_functions_of};
use super::poll::{PollPlan, read_function};
use crate::site::{self, DeviceId, Grant, RoleId, Site};

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
            sub: None,
            ranges: merged(ranges),
            period: Some(period),
            requests,
        });
    }
    for (device, _) in site.device_ids() {
        for written in writes(site, device, &|_| true) {
            flows.push(on_demand(site, &poller, server(device), device, written));
        }
    }
    let reads = Reads::new(site, plan);
    for conduit in site.conduits() {
        through(site, &reads, conduit, &server, &mut flows);
    }
    let key = |flow: &Flow| (flow.unit, flow.function, flow.sub);
    flows.sort_by(|a, b| (&a.server, &a.client, key(a)).cmp(&(&b.server, &b.client, key(b))));
    flows.sort_by(|a, b| (&a.server, a.unit).cmp(&(&b.server, b.unit)));
    flows.dedup();
    Baseline { flows }
}

fn on_demand(
    site: &Site,
    client: &Asker,
    server: String,
    device: DeviceId,
    (operation, ranges): (Operation, Vec<Range>),
) -> Flow {
    let Operation { function, sub } = operation;
    let unit = site.device(device).unit;
    Flow { client: client.clone(), server, unit, function, sub, ranges, period: None, requests: 1 }
}

/// What may be written of a device by those who have one of these roles, by function.
fn writes(site: &Site, device: DeviceId, may: &dyn Fn(&[RoleId]) -> bool) -> Vec<(Operation, Vec<Range>)> {
    let mut by_function: BTreeMap<FunctionCode, Vec<Range>> = BTreeMap::new();
    for (roles, tags) in by_roles(site, device) {
        for tag in tags.into_iter().filter(|_| may(&roles)) {
            let point = &site.tag(tag).point;
            for function in write_functions_of(point) {
                by_function.entry(function).or_default().push(place(point));
            }
        }
    }
    let whole = |function| Operation { function, sub: None };
    by_function.into_iter().map(|(function, ranges)| (whole(function), merged(ranges))).collect()
}

/// Whether both name a role.
fn share(a: &[RoleId], b: &[RoleId]) -> bool {
    a.iter().any(|role| b.contains(role))
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
        // Who asks, and the roles that they have without a certificate.
        let mut askers: Vec<(Asker, Vec<RoleId>)> = Vec::new();
        for zone in rule.zones.iter().map(|zone| site.zone(*zone)) {
            let asker = Asker::Zone { name: zone.name.clone(), networks: zone.networks.clone() };
            askers.push((asker, zone.roles.clone()));
        }
        if !rule.networks.is_empty() || askers.is_empty() {
            let networks = &rule.networks;
            let there = |zone: &&site::Zone| {
                let overlaps = |network| zone.networks.iter().any(|own| own.overlaps(network));
                networks.is_empty() || networks.iter().any(overlaps)
            };
            let roles =
                site.zones().iter().filter(there).flat_map(|zone| zone.roles.iter().copied()).collect();
            askers.push((Asker::Networks { networks: networks.clone() }, roles));
        }
        for device in &conduit.devices {
            let unit = site.device(*device).unit.0;
            let named = |(first, last): &(u8, u8)| (*first..=*last).contains(&unit);
            if !rule.units.is_empty() && !rule.units.iter().any(named) {
                continue;
            }
            for (asker, roles) in &askers {
                for listen in &conduit.listen {
                    // A certificate can bring any role.
                    let certified = listen.link() == Link::Tls
                        && conduit.tls.as_ref().is_some_and(|files| files.ca.is_some());
                    let has = |wanted: &[RoleId]| certified || share(wanted, roles);
                    if !rule.roles.is_empty() && !has(&rule.roles) {
                        continue;
                    }
                    let may = |wanted: &[RoleId]| {
                        has(wanted) && (rule.roles.is_empty() || share(wanted, &rule.roles))
                    };
                    for granted in granted(site, reads, *device, rule, &may) {
                        flows.push(on_demand(site, &guard, server(*device), *device, granted.clone()));
                        flows.push(on_demand(site, asker, listen.to_string(), *device, granted));
                    }
                }
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
    may: &dyn Fn(&[RoleId]) -> bool,
) -> Vec<(Operation, Vec<Range>)> {
    match &rule.grant {
        Grant::Derived => {
            let mut by_function: BTreeMap<Operation, Vec<Range>> =
                writes(site, device, may).into_iter().collect();
            for range in reads.of(device) {
                let operation = Operation { function: read_function(range.table), sub: None };
                by_function.entry(operation).or_default().push(*range);
            }
            by_function.into_iter().collect()
        }
        Grant::Listed { functions, places, .. } => {
            functions.iter().map(|operation| (*operation, places.clone())).collect()
        }
    }
}
