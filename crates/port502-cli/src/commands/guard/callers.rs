//! Who comes to a guard and goes: counted without a limit, and told within one.
//!
//! Whoever can reach a port can connect to it thousands of times a second. What such a client is refused is bounded as
//! evidence; here it is the lines about connections that are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use port502_net::server::{Closed, Event, Observer, Refusal};
use port502_net::tls::HandshakeFault;
use port502_session::server::Expired;

use crate::log::Log;
use crate::output::counted;

/// Lines that a minute has of one conduit and one [`Kind`]; the rest is told as a count when the minute is over.
const LINES_A_MINUTE_MAX: u32 = 100;

const MINUTE: Duration = Duration::from_secs(60);

/// What lines about connections tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Came,
    TurnedAway,
    Went,
}

const KINDS: [Kind; 3] = [Kind::Came, Kind::TurnedAway, Kind::Went];

/// Connections of all conduits.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<BTreeMap<String, Conduit>>);

/// Those of one.
#[derive(Debug, Default)]
struct Conduit {
    counts: Counts,
    /// When the first line of this minute was.
    since: Option<Instant>,
    /// Lines of this minute, and those that were not told, by kind.
    lines: BTreeMap<Kind, (u32, u64)>,
}

/// How many there were, by reason.
pub(super) type Reasons = BTreeMap<&'static str, u64>;

/// Connections by reason.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    /// Those that were not let in.
    pub(super) turned_away: Reasons,
    /// Those that ended, in the guard's words.
    pub(super) closed: Reasons,
}

impl Callers {
    fn conduits(&self) -> MutexGuard<'_, BTreeMap<String, Conduit>> {
        // Nothing that is done under this lock can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the connections of a place, whose conduit is called `name`, and hands on to `tells` what is to be told.
    pub(super) fn observer(
        self: &Arc<Self>,
        name: impl Fn() -> String + Send + Sync + 'static,
        requests: Arc<AtomicU64>,
        tells: Observer,
    ) -> Observer {
        let callers = Arc::clone(self);
        Arc::new(move |event: &Event| {
            if callers.take(&name(), event, Instant::now()) {
                tells(event);
            } else if let Event::Closed { requests: count, .. } = event {
                requests.fetch_add(*count, Relaxed);
            }
        })
    }

    /// Counts. Whether it is to be told.
    fn take(&self, name: &str, event: &Event, now: Instant) -> bool {
        let mut conduits = self.conduits();
        let kind = match event {
            Event::Opened { .. } => Kind::Came,
            Event::Refused { .. } => Kind::TurnedAway,
            Event::Closed { .. } => Kind::Went,
            // They come once a day, or with a port.
            Event::PortBack | Event::Ended { .. } | Event::Notice(_) => return true,
        };
        let conduit = match conduits.get_mut(name) {
            Some(conduit) => conduit,
            None => conduits.entry(name.to_owned()).or_default(),
        };
        match event {
            Event::Refused { why, .. } => {
                *conduit.counts.turned_away.entry(refusal(why)).or_default() += 1;
            }
            Event::Closed { why, .. } => *conduit.counts.closed.entry(closed(*why)).or_default() += 1,
            _ => {}
        }
        conduit.since.get_or_insert(now);
        let (told, untold) = conduit.lines.entry(kind).or_default();
        if *told < LINES_A_MINUTE_MAX {
            *told += 1;
            return true;
        }
        *untold += 1;
        false
    }

    /// What was not told in the minutes that are over, a line for each conduit; at the end in those that are not, too.
    fn untold(&self, now: Instant, end: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, conduit) in &mut *self.conduits() {
            let over = |since: Instant| end || now.saturating_duration_since(since) >= MINUTE;
            if !conduit.since.is_some_and(over) {
                continue;
            }
            conduit.since = None;
            let minute = std::mem::take(&mut conduit.lines);
            let untold = |kind: Kind| minute.get(&kind).map_or(0, |(_, untold)| *untold);
            let words: Vec<String> = KINDS
                .into_iter()
                .filter(|kind| untold(*kind) != 0)
                .map(|kind| match kind {
                    Kind::Came => format!("{} connected", counted(untold(kind), "client")),
                    Kind::TurnedAway => format!("{} refused", counted(untold(kind), "client")),
                    Kind::Went => format!("{} ended", counted(untold(kind), "connection")),
                })
                .collect();
            if !words.is_empty() {
                lines
                    .push(format!("{name}: more than are told one by one in a minute: {}", words.join(", ")));
            }
        }
        lines
    }

    /// Tells the counts of the minutes that are over.
    pub(super) fn tell(&self, log: &Log) {
        self.untold(Instant::now(), false).iter().for_each(|line| log.line(format_args!("{line}")));
    }

    /// Tells all that was counted and not told.
    pub(super) fn tell_all(&self, log: &Log) {
        self.untold(Instant::now(), true).iter().for_each(|line| log.line(format_args!("{line}")));
    }

    /// A conduit is called otherwise from now on.
    pub(super) fn rename(&self, before: &str, name: &str) {
        let mut conduits = self.conduits();
        if let Some(conduit) = conduits.remove(before) {
            conduits.insert(name.to_owned(), conduit);
        }
    }

    /// What was counted of a conduit.
    pub(super) fn counts(&self, name: &str) -> Counts {
        self.conduits().get(name).map(|conduit| conduit.counts.clone()).unwrap_or_default()
    }

    /// Forgets all conduits but those that `stays` is true of, and what is to be told yet.
    pub(super) fn retain(&self, stays: impl Fn(&str) -> bool) {
        self.conduits().retain(|name, conduit| stays(name) || conduit.since.is_some());
    }
}

/// The word of metrics. Stable, scripts rely on it.
fn refusal(why: &Refusal) -> &'static str {
    let failure = match why {
        Refusal::NotAllowed => return "not-allowed",
        Refusal::PerPeer => return "one-address",
        Refusal::AllBusy => return "all-busy",
        Refusal::Handshake(failure) => failure,
    };
    match failure.fault {
        HandshakeFault::NoCertificate => "no-certificate",
        HandshakeFault::UnknownAuthority => "unknown-authority",
        HandshakeFault::Expired { .. } => "expired",
        HandshakeFault::NotYetValid { .. } => "not-yet-valid",
        HandshakeFault::Revoked => "revoked",
        HandshakeFault::NoRevocationList => "no-revocation-list",
        HandshakeFault::Pin
        | HandshakeFault::Name { .. }
        | HandshakeFault::Purpose
        | HandshakeFault::IsAuthority
        | HandshakeFault::CriticalExtension
        | HandshakeFault::BadCertificate(_) => "bad-certificate",
        HandshakeFault::TooOld { .. } => "too-old",
        HandshakeFault::NothingInCommon(_) => "nothing-in-common",
        HandshakeFault::NotTls { modbus: true } => "plain-modbus",
        HandshakeFault::NotTls { modbus: false } => "not-tls",
        HandshakeFault::Alert(_) => "alert",
        HandshakeFault::TimedOut => "timed-out",
        HandshakeFault::TooMany => "too-many",
        HandshakeFault::HungUp => "hung-up",
        _ => "other",
    }
}

/// The same of those that were let in.
fn closed(why: Closed) -> &'static str {
    match why {
        Closed::ByPeer => "by-client",
        Closed::Broken => "broken",
        Closed::Unreadable { .. } | Closed::Refused => "refused",
        Closed::Expired(Expired::Idle) => "idle",
        Closed::Expired(Expired::HalfFrame) => "half-frame",
        Closed::ByServer => "by-guard",
        Closed::ToMakeRoom => "made-room",
        Closed::Revoked => "revoked",
        Closed::CertificateExpired => "expired",
        Closed::Distrusted => "distrusted",
        Closed::ByDevice => "by-device",
        Closed::NoDevice => "no-device",
        Closed::Fault | Closed::Panicked => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn went(why: Closed) -> Event {
        Event::Closed { peer: ([192, 0, 2, 7], 40_000).into(), why, requests: 3 }
    }

    fn came() -> Event {
        Event::Opened { peer: ([192, 0, 2, 7], 40_000).into(), identity: None }
    }

    #[test]
    fn of_many_connections_in_a_minute_a_count_is_told() {
        let (callers, start) = (Callers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let many = u64::from(LINES_A_MINUTE_MAX) + 512;
        for number in 0..many {
            let told = number < u64::from(LINES_A_MINUTE_MAX);
            assert_eq!(callers.take("pump", &came(), at(0)), told, "{number}");
            assert_eq!(callers.take("pump", &went(Closed::ToMakeRoom), at(1)), told, "{number}");
        }
        // One conduit takes nothing from another, nor one kind of lines from another.
        assert!(callers.take("intake", &came(), at(2)));
        let refused = Event::Refused { peer: ([192, 0, 2, 7], 1).into(), why: Refusal::PerPeer };
        assert!(callers.take("pump", &refused, at(2)));
        assert_eq!(callers.untold(at(59), false), [""; 0]);
        let line =
            "pump: more than are told one by one in a minute: 512 clients connected, 512 connections ended";
        assert_eq!(callers.untold(at(60), false), [line]);
        // It is told once, and the next minute has its own lines.
        assert_eq!(callers.untold(at(120), false), [""; 0]);
        for _ in 0..=LINES_A_MINUTE_MAX {
            callers.take("pump", &came(), at(121));
        }
        assert!(callers.take("pump", &went(Closed::Revoked), at(121)));
        let line = "pump: more than are told one by one in a minute: 1 client connected";
        assert_eq!(callers.untold(at(122), true), [line], "what is left is told at the end");
        let counts = callers.counts("pump");
        assert_eq!(counts.closed, BTreeMap::from([("made-room", many), ("revoked", 1)]));
        assert_eq!(counts.turned_away, BTreeMap::from([("one-address", 1)]));
    }

    #[test]
    fn a_conduit_that_is_called_otherwise_keeps_its_counts() {
        let (callers, now) = (Callers::default(), Instant::now());
        callers.take("pump", &went(Closed::ToMakeRoom), now);
        callers.rename("pump", "station");
        assert_eq!(callers.counts("station").closed, BTreeMap::from([("made-room", 1)]));
        assert_eq!(callers.counts("pump"), Counts::default());
        callers.untold(now, true);
        callers.retain(|name| name == "pump");
        assert_eq!(callers.counts("station"), Counts::default());
    }
}
