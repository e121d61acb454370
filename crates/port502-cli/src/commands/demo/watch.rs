//! What happens to the plant: alarms that come and go, clients that nobody knows, writes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

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
    /// By tag and the alarm's place in it: those that are active, or will be, or will no longer be.
    states: BTreeMap<(TagId, usize), State>,
    known: BTreeSet<IpAddr>,
    alarms: u64,
    writes: u64,
}

/// An alarm, by the plant's clock.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct State {
    active: bool,
    /// Since when its condition has been otherwise.
    since: Option<f64>,
}

impl State {
    /// What becomes of it when its condition is so now: `Some` when it comes or goes.
    fn step(&mut self, is: bool, seconds: f64, delay: Duration, off_delay: Duration) -> Option<bool> {
        if is == self.active {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(seconds);
        let wait = if is { delay } else { off_delay };
        if seconds - since < wait.as_secs_f64() {
            return None;
        }
        *self = State { active: is, since: None };
        Some(is)
    }
}

impl<'s> Watch<'s> {
    pub(super) fn new(site: &'s Site, simulation: Shared) -> Self {
        // The poller is no news.
        let known = BTreeSet::from([IpAddr::from([127, 0, 0, 1])]);
        Watch { site, simulation, states: BTreeMap::new(), known, alarms: 0, writes: 0 }
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
        let seconds = self.seconds();
        for value in values {
            self.alarms_of(value, seconds, &mut news);
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

    fn alarms_of(&mut self, value: &Value, seconds: f64, news: &mut Vec<String>) {
        let tag = self.site.tag(value.tag);
        let Some(number) = value.number(tag) else { return };
        for (at, alarm) in tag.alarms().iter().enumerate() {
            let mut state = self.states.get(&(value.tag, at)).copied().unwrap_or_default();
            let band = if state.active { alarm.deadband } else { 0.0 };
            let is = match alarm.condition {
                Condition::Above(limit) => number > limit - band,
                Condition::Below(limit) => number < limit + band,
                Condition::Is(state) => ((number - tag.offset) / tag.scale - state as f64).abs() < 0.5,
                // Those look at the past, or at other tags: the poller of the plant does that.
                Condition::Rises { .. } | Condition::Falls { .. } | Condition::Deviates { .. } => continue,
            };
            let path = || self.site.path(value.tag);
            match state.step(is, seconds, alarm.delay, alarm.off_delay) {
                Some(true) => {
                    let action =
                        alarm.action.as_deref().map_or_else(String::new, |action| format!(": {action}"));
                    news.push(format!(
                        "ALARM  {} {} (priority {}){action}",
                        path(),
                        alarm.name,
                        alarm.priority
                    ));
                    self.alarms += 1;
                }
                Some(false) => news.push(format!("clear  {} {}", path(), alarm.name)),
                None => {}
            }
            match state == State::default() {
                true => self.states.remove(&(value.tag, at)),
                false => self.states.insert((value.tag, at), state),
            };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What an alarm does, a letter for each second: `A` comes, `C` goes, `.` nothing. `#` is its condition.
    #[track_caller]
    fn check(delay: u64, off_delay: u64, conditions: &str, want: &str) {
        let (mut state, [on, off]) = (State::default(), [delay, off_delay].map(Duration::from_secs));
        let steps = (0_u32..).zip(conditions.chars());
        let got: String = steps
            .map(|(second, is)| match state.step(is == '#', second.into(), on, off) {
                Some(true) => 'A',
                Some(false) => 'C',
                None => '.',
            })
            .collect();
        assert_eq!(got, want, "{delay} s, {off_delay} s: {conditions}");
    }

    #[test]
    fn alarms_come_and_go_when_their_condition_has_lasted() {
        check(0, 0, " ## # ", ".A.CAC");
        check(2, 0, "##  ###  ", "......AC.");
        check(2, 0, "###", "..A");
        check(1, 2, "### #   #", ".A.....C.");
        check(0, 2, "#  #    ", "A.....C.");
        check(3, 0, "## ## ###", ".........");
    }
}
