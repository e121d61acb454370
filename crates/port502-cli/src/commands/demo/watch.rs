//! What happens to the plant: alarms that come and go, clients that nobody knows, writes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use port502_net::server::Reply;
use port502_plant::service::Shared;
use port502_plant::simulation::{Client, Seen};
use port502_site::Site;
use port502_site::site::{Condition, Tag, TagId};
use port502_wire::{Table, view};

use super::poller::Value;
use crate::output::counted;

/// Lines of one round; what is more is counted.
const NEWS_MAX: usize = 8;

pub(super) struct Watch<'s> {
    site: &'s Site,
    simulation: Shared,
    /// By tag and the alarm's place in it.
    active: BTreeSet<(TagId, usize)>,
    known: BTreeSet<IpAddr>,
    alarms: u64,
    writes: u64,
}

impl<'s> Watch<'s> {
    pub(super) fn new(site: &'s Site, simulation: Shared) -> Self {
        // The poller is no news.
        let known = BTreeSet::from([IpAddr::from([127, 0, 0, 1])]);
        Watch { site, simulation, active: BTreeSet::new(), known, alarms: 0, writes: 0 }
    }

    /// Seconds of the plant.
    pub(super) fn seconds(&self) -> f64 {
        self.simulation.lock().seconds()
    }

    /// What has happened since the last call.
    pub(super) fn news(&mut self, values: &[Value]) -> Vec<String> {
        let (seen, missed) = self.simulation.lock().take_seen();
        let mut news = Vec::new();
        for one in &seen {
            let Some(peer) = one.peer else { continue };
            if self.known.insert(peer.ip()) {
                news.push(format!("client {} has never been seen before", peer.ip()));
            }
            if one.is_write() {
                self.writes += 1;
                news.push(format!("write  {}", self.write(one)));
            }
        }
        for value in values {
            self.alarms_of(value, &mut news);
        }
        let more =
            u64::try_from(news.len().saturating_sub(NEWS_MAX)).unwrap_or(u64::MAX).saturating_add(missed);
        news.truncate(NEWS_MAX);
        if more > 0 {
            news.push(format!("       ... and {more} more"));
        }
        news
    }

    /// `127.66.6.6 tank.outlet_sp (holding:11) := 0 -> done`.
    fn write(&self, seen: &Seen) -> String {
        let peer = seen.peer.map_or_else(|| "line".to_owned(), |peer| peer.ip().to_string());
        let outcome = match seen.reply {
            Reply::Response { .. } => "done".to_owned(),
            Reply::Exception(code) => format!("exception {code}"),
            Reply::Silence => "no answer".to_owned(),
        };
        let request = view::request(&seen.pdu);
        let function = seen.pdu.first().copied().unwrap_or_default();
        let device = seen.device.as_deref().unwrap_or("nobody");
        let Some(range) = request.write else {
            return format!("{peer} {device}, function {function} -> {outcome}");
        };
        let table = if matches!(function, 5 | 15) { Table::Coils } else { Table::HoldingRegisters };
        let tag = self.site.device_named(device).and_then(|device| {
            let covers = |tag: &&Tag| {
                tag.point.table() == table && (tag.point.address()..=tag.point.last()).contains(&range.start)
            };
            self.site.tags_of(device).map(|(_, tag)| tag).find(covers)
        });
        let place = match tag {
            Some(tag) => format!("{device}.{} ({table}:{})", tag.name, range.start),
            None => format!("{device} {table}:{}", range.start),
        };
        let value = tag.and_then(|tag| {
            let path = format!("{device}.{}", tag.name);
            self.simulation.lock().shown(&path)
        });
        let value = value.map_or_else(String::new, |value| format!(", now {value}"));
        format!("{peer} {place} with function {function} -> {outcome}{value}")
    }

    fn alarms_of(&mut self, value: &Value, news: &mut Vec<String>) {
        let tag = self.site.tag(value.tag);
        let Some(number) = value.number(tag) else { return };
        for (at, alarm) in tag.alarms().iter().enumerate() {
            let was = self.active.contains(&(value.tag, at));
            let band = if was { alarm.deadband } else { 0.0 };
            let is = match alarm.condition {
                Condition::Above(limit) => number > limit - band,
                Condition::Below(limit) => number < limit + band,
                Condition::Is(state) => ((number - tag.offset) / tag.scale - state as f64).abs() < 0.5,
                // Those look at the past, or at other tags: the poller of the plant does that.
                Condition::Rises { .. } | Condition::Falls { .. } | Condition::Deviates { .. } => continue,
            };
            let path = || self.site.path(value.tag);
            match (was, is) {
                (false, true) => {
                    let action =
                        alarm.action.as_deref().map_or_else(String::new, |action| format!(": {action}"));
                    news.push(format!(
                        "ALARM  {} {} (priority {}){action}",
                        path(),
                        alarm.name,
                        alarm.priority
                    ));
                    self.active.insert((value.tag, at));
                    self.alarms += 1;
                }
                (true, false) => {
                    news.push(format!("clear  {} {}", path(), alarm.name));
                    self.active.remove(&(value.tag, at));
                }
                _ => {}
            }
        }
    }

    /// What clients have done, and how many alarms there were.
    pub(super) fn summary(&self) -> String {
        let simulation = self.simulation.lock();
        let total = simulation.clients().values().fold(simulation.other_clients(), |sum, client| Client {
            reads: sum.reads + client.reads,
            writes: sum.writes + client.writes,
            refused: sum.refused + client.refused,
        });
        let clients = u64::try_from(simulation.clients().len()).unwrap_or(u64::MAX);
        format!(
            "the plant lived {:.0} s, and saw {} and {} of {}, {} refused; {}",
            simulation.seconds(),
            counted(total.reads, "read"),
            counted(total.writes, "write"),
            counted(clients, "client"),
            total.refused,
            counted(self.alarms, "alarm"),
        )
    }
}
