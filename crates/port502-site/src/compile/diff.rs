//! What would change between two sites, said of what they compile to rather than of their text.

use std::collections::BTreeMap;
use std::fmt;

use port502_inspect::baseline::{Asker, Flow};
use port502_inspect::policy::Operation;
use port502_session::duration;

use super::{Compiled, show};
use crate::site::Site;

/// What a line is about, in the order in which they are shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// How lanes are asked: a change there closes and opens their connection.
    Lane,
    /// Devices.
    Device,
    /// Tags.
    Tag,
    /// Alarms.
    Alarm,
    /// Requests of the poller.
    Request,
    /// Who may write what.
    Write,
    /// Conduits: where they lead, and what holds for all that goes through them.
    Guard,
    /// Rules of the guard.
    Rule,
    /// What detection expects.
    Expected,
}

impl Part {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Part::Lane => "lane",
            Part::Device => "device",
            Part::Tag => "tag",
            Part::Alarm => "alarm",
            Part::Request => "request",
            Part::Write => "write",
            Part::Guard => "guard",
            Part::Rule => "rule",
            Part::Expected => "expected",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One thing that would change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What it is about.
    pub part: Part,
    /// What it is called.
    pub name: String,
    /// What it was; `None`: it is new.
    pub old: Option<String>,
    /// What it becomes; `None`: it goes.
    pub new: Option<String>,
}

/// What would change, by part and name. None when both do the same, however they are written.
#[must_use]
pub fn diff(old: (&Site, &Compiled), new: (&Site, &Compiled)) -> Vec<Change> {
    let (mut old, new) = (lines(old.0, old.1), lines(new.0, new.1));
    let mut changes = Vec::new();
    for ((part, name), value) in new {
        match old.remove(&(part, name.clone())) {
            Some(before) if before == value => {}
            before => changes.push(Change { part, name, old: before, new: Some(value) }),
        }
    }
    let gone =
        old.into_iter().map(|((part, name), value)| Change { part, name, old: Some(value), new: None });
    changes.extend(gone);
    changes.sort_by(|a, b| (a.part, &a.name).cmp(&(b.part, &b.name)));
    changes
}

/// The lanes whose connection has to be made anew, by name.
#[must_use]
pub fn restarted(changes: &[Change]) -> Vec<&str> {
    let lanes = changes.iter().filter(|change| change.part == Part::Lane);
    lanes
        .filter(|change| change.old.is_some() && change.new.is_some())
        .map(|change| change.name.as_str())
        .collect()
}

fn lines(site: &Site, compiled: &Compiled) -> BTreeMap<(Part, String), String> {
    let mut lines = BTreeMap::new();
    let mut add = |part: Part, name: String, value: String| {
        // Of two with one name, as rules may be, the second gets a number.
        let mut key = (part, name);
        let mut number = 1;
        while lines.contains_key(&key) {
            number += 1;
            let front = key.1.split(" #").next().unwrap_or_default().to_owned();
            key = (part, format!("{front} #{number}"));
        }
        lines.insert(key, value);
    };
    for lane in site.lanes() {
        add(Part::Lane, lane.name.clone(), show::lane(lane));
    }
    for (_, device) in site.device_ids() {
        add(Part::Device, device.name.clone(), show::device(site, device));
    }
    for (id, tag) in site.tag_ids() {
        let path = site.path(id);
        for alarm in tag.alarms() {
            add(Part::Alarm, format!("{path} {}", alarm.name), show::alarm(site, alarm));
        }
        if let Some(write) = tag.write() {
            add(Part::Write, path.clone(), show::write(site, tag, write));
        }
        add(Part::Tag, path, show::tag(site, tag));
    }
    for computed in site.computed() {
        for alarm in &computed.alarms {
            add(Part::Alarm, format!("{} {}", computed.name, alarm.name), show::alarm(site, alarm));
        }
        let unit = computed.unit.as_deref().map(|unit| format!(" in {unit}")).unwrap_or_default();
        add(
            Part::Tag,
            computed.name.clone(),
            format!("{}{unit}", show::expression(site, &computed.expression)),
        );
    }
    for request in compiled.poll.requests() {
        let (device, scan) = (site.device(request.device), site.scan(request.scan));
        let name = format!("{} {} {}", device.name, scan.name, show::request(request));
        add(Part::Request, name, format!("every {}", duration::display(scan.every)));
    }
    for conduit in site.conduits() {
        add(Part::Guard, conduit.name.clone(), show::conduit(site, conduit));
    }
    for conduit in &compiled.policy.conduits {
        for rule in &conduit.rules {
            let mode = rule.mode.unwrap_or(conduit.mode);
            let refusal = rule.refusal.unwrap_or(conduit.refusal);
            let value =
                format!("{}; {mode}, refused by {refusal}", show::grant(&compiled.policy.zones, rule));
            add(Part::Rule, format!("{} {}", conduit.name, rule.name), value);
        }
    }
    for flow in &compiled.baseline.flows {
        let period = flow
            .period
            .map_or_else(|| "on demand".to_owned(), |period| format!("every {}", duration::display(period)));
        let name = format!(
            "{} asks {} unit {} function {}, {period}",
            asker(&flow.client),
            flow.server,
            flow.unit,
            operation(flow)
        );
        add(Part::Expected, name, show::ranges(&flow.ranges));
    }
    lines
}

/// The function of a flow: `3`, `43/14`.
#[must_use]
pub fn operation(flow: &Flow) -> String {
    Operation { function: flow.function, sub: flow.sub }.to_string()
}

/// Who asks, in few words.
#[must_use]
pub fn asker(asker: &Asker) -> String {
    match asker {
        Asker::Poller { .. } => "poller".to_owned(),
        Asker::Zone { name, .. } => format!("zone {name}"),
        Asker::Guard { conduit } => format!("guard {conduit}"),
        Asker::Networks { networks } if networks.is_empty() => "anyone".to_owned(),
        Asker::Networks { networks } => {
            networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
    }
}
