//! What differs between two looks at the same machine.

use crate::ask::Outcomes;
use crate::judge::{Finding, judge};
use crate::snapshot::{Endpoint, Holder, Peer, Snapshot};

/// One look with what was answered and what to think of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was seen.
    pub snapshot: Snapshot,
    /// What was answered.
    pub outcomes: Outcomes,
    /// What to think of it.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Judges a look.
    pub fn new(snapshot: Snapshot, outcomes: Outcomes) -> Self {
        let findings = judge(&snapshot, &outcomes);
        Report { snapshot, outcomes, findings }
    }
}

/// Something that was not there before, or is not there any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// It listens now.
    Listens(Endpoint),
    /// It does not any more.
    Stopped(Endpoint),
    /// It is connected now.
    Connected(Peer),
    /// It is not any more.
    Disconnected(Peer),
    /// It holds now.
    Found(Finding),
    /// It does not any more.
    Over(Finding),
}

impl Endpoint {
    /// Whether it is the same listener in another look. A program that starts and ends processes of its own for its clients
    /// is still the same.
    pub fn is_same(&self, other: &Endpoint) -> bool {
        let place = |endpoint: &Endpoint| {
            (
                endpoint.port,
                endpoint.transport,
                endpoint.addresses.clone(),
                endpoint.namespace.as_ref().map(|n| n.id),
            )
        };
        let holder = match (&self.holder, &other.holder) {
            (Holder::Processes(ours), Holder::Processes(theirs)) => ours
                .iter()
                .any(|one| theirs.iter().any(|two| (one.pid, one.started) == (two.pid, two.started))),
            (one, two) => one == two,
        };
        holder && place(self) == place(other)
    }
}

/// What differs: first what has ended, then what is new.
pub fn changes(before: &Report, after: &Report) -> Vec<Change> {
    let mut changes = Vec::new();
    let (old, new) = (&before.snapshot, &after.snapshot);
    let same_peer = |a: &Peer, b: &Peer| (a.direction, a.local, a.remote) == (b.direction, b.local, b.remote);
    let same_finding = |a: &Finding, b: &Finding| {
        let listener = match (&a.endpoint, &b.endpoint) {
            (Some(a), Some(b)) => a.is_same(b),
            (a, b) => a == b,
        };
        listener && (a.port, a.transport, a.service, &a.what) == (b.port, b.transport, b.service, &b.what)
    };
    changes.extend(missing(&before.findings, &after.findings, same_finding).map(Change::Over));
    changes.extend(missing(&old.peers, &new.peers, same_peer).map(Change::Disconnected));
    changes.extend(missing(&old.endpoints, &new.endpoints, Endpoint::is_same).map(Change::Stopped));
    changes.extend(missing(&new.endpoints, &old.endpoints, Endpoint::is_same).map(Change::Listens));
    changes.extend(missing(&new.peers, &old.peers, same_peer).map(Change::Connected));
    changes.extend(missing(&after.findings, &before.findings, same_finding).map(Change::Found));
    changes
}

/// Those of `all` that are not in `there`.
fn missing<'a, T: Clone>(
    all: &'a [T],
    there: &'a [T],
    same: impl Fn(&T, &T) -> bool + 'a,
) -> impl Iterator<Item = T> + 'a {
    all.iter().filter(move |one| !there.iter().any(|other| same(one, other))).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Service;
    use crate::snapshot::{Address, Direction, Process, Transport};

    fn process(pid: u32) -> Process {
        Process {
            pid,
            name: "plc".into(),
            executable: None,
            executable_deleted: false,
            user: None,
            started: Some(i64::from(pid)),
        }
    }

    fn report(pids: &[u32], peers: &[&str]) -> Report {
        let endpoint = Endpoint {
            port: 502,
            transport: Transport::Tcp,
            service: Service::Modbus,
            addresses: vec![Address { ip: "127.0.0.1".parse().unwrap(), v6_only: None }],
            user: None,
            holder: Holder::Processes(pids.iter().map(|pid| process(*pid)).collect()),
            namespace: None,
        };
        let peer = |remote: &&str| Peer {
            direction: Direction::In,
            service: Service::Modbus,
            local: "127.0.0.1:502".parse().unwrap(),
            remote: remote.parse().unwrap(),
            holder: Holder::Nobody,
            namespace: None,
        };
        let endpoints = if pids.is_empty() { vec![] } else { vec![endpoint] };
        let snapshot = Snapshot { endpoints, peers: peers.iter().map(peer).collect(), ..Snapshot::default() };
        Report::new(snapshot, Outcomes::new())
    }

    /// The kinds of changes, in order.
    fn kinds(before: &Report, after: &Report) -> Vec<&'static str> {
        let kind = |change: Change| match change {
            Change::Listens(_) => "listens",
            Change::Stopped(_) => "stopped",
            Change::Connected(_) => "connected",
            Change::Disconnected(_) => "disconnected",
            Change::Found(_) => "found",
            Change::Over(_) => "over",
        };
        changes(before, after).into_iter().map(kind).collect()
    }

    #[test]
    fn what_comes_and_goes_is_told() {
        let (nothing, one) = (report(&[], &[]), report(&[7], &["127.0.0.1:40000"]));
        assert_eq!(kinds(&one, &one), [""; 0]);
        assert_eq!(kinds(&nothing, &one), ["listens", "connected", "found"]);
        assert_eq!(kinds(&one, &nothing), ["over", "disconnected", "stopped"]);
        // Another program has taken the place.
        assert_eq!(kinds(&report(&[7], &[]), &report(&[8], &[])), ["over", "stopped", "listens", "found"]);
        // It has forked.
        assert_eq!(kinds(&report(&[7], &[]), &report(&[7, 8], &[])), [""; 0]);
    }
}
