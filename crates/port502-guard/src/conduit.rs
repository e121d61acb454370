//! One conduit: the rules, what judging remembers, and where requests go. All of its connections share it.

use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use port502_inspect::conduit::{Direction, Event, Outcome, Sanity};
use port502_inspect::evidence::{Evidence, Record, Repeats};
use port502_inspect::policy::Refusal;
use port502_inspect::suppress::{Digest, Kind, Noted, Suppressor};
use port502_inspect::verdict::REASONS;
use port502_inspect::{Engine, Learner, Objection, Peer, Reason, State};
use port502_net::Dialler;
use port502_net::gateway::Lane;
use port502_session::Instant;
use port502_session::server::Identity;
use port502_session::target::Framing;
use port502_wire::FunctionCode;

use crate::clock::Clock;
use crate::record::Recorder;

/// Where what passes goes.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// A connection to the device for each client, as it was before the guard stood there.
    Own(Dialler),
    /// One link that all clients share, for devices that take one connection only, buses, and links without
    /// transaction ids.
    Shared(Lane),
}

impl Upstream {
    /// Whether unit 0 is a broadcast there: on a line it is, over TCP it is a device.
    pub(crate) fn broadcasts(&self) -> bool {
        match self {
            Upstream::Own(_) => false,
            Upstream::Shared(lane) => lane.target().link().framing() != Framing::Mbap,
        }
    }

    fn is(&self, other: &Upstream) -> bool {
        match (self, other) {
            (Upstream::Own(a), Upstream::Own(b)) => (a.target(), a.within()) == (b.target(), b.within()),
            (Upstream::Shared(a), Upstream::Shared(b)) => a.is(b),
            _ => false,
        }
    }
}

/// How a conduit behaves, beside its rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The limits of each connection.
    pub sanity: Sanity,
    /// A connection on which nothing came for so long is closed.
    pub idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { sanity: Sanity::default(), idle: Duration::from_secs(300) }
    }
}

/// What has happened on a conduit since it began, and how it stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Status {
    /// Clients that are connected.
    pub clients: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Frames that came from clients.
    pub requests: u64,
    /// Transactions, connections and bytes that were kept back.
    pub refused: u64,
    /// Requests that went on though a rule refuses them.
    pub alerted: u64,
    /// Times that the device could not be reached.
    pub unreachable: u64,
    /// Frames that came over a shared link and answer nothing that is open: no client is known that they would be for.
    pub discarded: u64,
    /// Objections by the word of their reason, those that are not zero.
    pub reasons: Vec<(&'static str, u64)>,
}

#[derive(Debug, Default)]
struct Counters {
    clients: AtomicU64,
    connections: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
    alerted: AtomicU64,
    unreachable: AtomicU64,
}

/// A conduit at work. It is the [`Relay`](port502_net::server::Relay) of each place where it listens.
pub struct Conduit {
    state: Mutex<State>,
    /// The one in `state`, for those who only want names.
    engine: Mutex<Arc<Engine>>,
    upstream: Mutex<Upstream>,
    /// Counts changes of `upstream`.
    turn: AtomicU64,
    /// What a device takes for an answer at most, in nanoseconds.
    patience: AtomicU64,
    suppressor: Mutex<Suppressor>,
    counters: Counters,
    pub(crate) options: Options,
    pub(crate) clock: Arc<Clock>,
    recorder: Arc<Recorder>,
    observer: Option<ReachObserver>,
    /// The device could not be reached when it was last tried.
    lost: AtomicBool,
}

/// How the device is reached, where each client has a connection to it; lanes tell the same of theirs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach<'a> {
    /// Not any more; told once until it is [back](Reach::Back).
    Lost {
        /// Why.
        error: &'a str,
    },
    /// It is reached again.
    Back,
}

/// Is told how the device is reached. It is called while clients wait, so it must not block.
pub type ReachObserver = Arc<dyn Fn(&Reach<'_>) + Send + Sync>;

impl std::fmt::Debug for Conduit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conduit").field("name", &locked(&self.engine).name()).finish_non_exhaustive()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is done under these locks can panic halfway through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Conduit {
    /// A conduit on which these rules hold.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        upstream: Upstream,
        options: Options,
        clock: Arc<Clock>,
        recorder: Arc<Recorder>,
    ) -> Self {
        Conduit {
            state: Mutex::new(State::new(Arc::clone(&engine))),
            engine: Mutex::new(engine),
            upstream: Mutex::new(upstream),
            turn: AtomicU64::new(0),
            patience: AtomicU64::new(nanos(options.sanity.gives_way_after)),
            suppressor: Mutex::new(Suppressor::new()),
            counters: Counters::default(),
            options,
            clock,
            recorder,
            observer: None,
            lost: AtomicBool::new(false),
        }
    }

    /// The same, with somebody who is told how the device is reached.
    #[must_use]
    pub fn observed_by(self, observer: ReachObserver) -> Self {
        Conduit { observer: Some(observer), ..self }
    }

    /// Other rules from the next request on, for the clients that are connected, too. What is known of values stays.
    pub fn replace(&self, engine: Arc<Engine>) {
        let mut state = self.state();
        // What was counted names rules by their place among the old ones.
        self.tell_digests(Suppressor::finish);
        *locked(&self.engine) = Arc::clone(&engine);
        state.replace(engine);
    }

    /// Requests go there from now on. Connections that are in the middle of a request finish it where it is.
    pub fn reroute(&self, upstream: Upstream) {
        let mut state = self.state();
        let mut current = locked(&self.upstream);
        if !current.is(&upstream) {
            *current = upstream;
            self.turn.fetch_add(1, Release);
            // What was known is another device's.
            state.forget_values();
        }
    }

    /// What the device takes for an answer at most. A request that has waited for longer gives its place to another one
    /// ([`Sanity::gives_way_after`]), on connections that begin from now on.
    pub fn set_patience(&self, patience: Duration) {
        self.patience.store(nanos(patience), Relaxed);
    }

    /// The limits of a connection that begins now.
    pub(crate) fn sanity(&self) -> Sanity {
        let gives_way_after = Duration::from_nanos(self.patience.load(Relaxed));
        Sanity { broadcast: self.upstream().0.broadcasts(), gives_way_after, ..self.options.sanity }
    }

    /// Remembers from now on who asks for what.
    pub fn learn(&self) {
        self.state().learn();
    }

    /// What was learned since, if anything was to be; no more is.
    pub fn stop_learning(&self) -> Option<Learner> {
        self.state().stop_learning()
    }

    /// Where requests go, and the number of that answer.
    pub(crate) fn upstream(&self) -> (Upstream, u64) {
        let upstream = locked(&self.upstream);
        (upstream.clone(), self.turn.load(Acquire))
    }

    pub(crate) fn turn(&self) -> u64 {
        self.turn.load(Acquire)
    }

    /// Tells what was counted instead of recorded, when it is time. To be called about once a second.
    pub fn tell_counted(&self) {
        let now = self.clock.now();
        self.tell_digests(|suppressor| suppressor.digest(now));
    }

    /// Tells all that was counted instead of recorded, at the end.
    pub fn finish(&self) {
        self.tell_digests(Suppressor::finish);
    }

    fn tell_digests(&self, mut next: impl FnMut(&mut Suppressor) -> Option<Digest>) {
        let engine = Arc::clone(&locked(&self.engine));
        let mut suppressor = locked(&self.suppressor);
        while let Some(Digest { kind, count, first, last }) = next(&mut suppressor) {
            let Some(reason) = REASONS.get(kind.reason) else { continue };
            let repeats = Repeats {
                time: self.clock.wall(self.clock.now()),
                conduit: engine.name(),
                client: kind.client,
                rule: kind.rule.and_then(|rule| engine.rule(rule)),
                function: kind.function,
                reason: reason.word,
                count,
                first: self.clock.wall(first),
                last: self.clock.wall(last),
            };
            self.recorder.record(&Record::Repeats(repeats));
        }
    }

    /// What has happened so far.
    #[must_use]
    pub fn status(&self) -> Status {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let totals = locked(&self.suppressor).totals().to_vec();
        let discarded = match self.upstream().0 {
            Upstream::Own(_) => 0,
            Upstream::Shared(lane) => lane.status().discarded,
        };
        let reasons = REASONS.iter().map(|reason| reason.word).zip(totals).filter(|(_, total)| *total != 0);
        Status {
            clients: count(&self.counters.clients),
            connections: count(&self.counters.connections),
            requests: count(&self.counters.requests),
            refused: count(&self.counters.refused),
            alerted: count(&self.counters.alerted),
            unreachable: count(&self.counters.unreachable),
            discarded,
            reasons: reasons.collect(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// A client connects: it is let in, or recorded. Whether it counts among the conduit's connections: whom no rule allows
    /// anything must not take the places of those who have work to do.
    pub(crate) fn connect(&self, client: SocketAddr, who: &Peer) -> Result<bool, ()> {
        let now = self.clock.now();
        let connected = {
            let mut state = self.state();
            let counts = state.grants(who).hopeless().is_none();
            if counts { state.connect(client.ip()).map(|()| true) } else { Ok(false) }
        };
        match connected {
            Ok(counted) => {
                self.counters.clients.fetch_add(1, Relaxed);
                self.counters.connections.fetch_add(1, Relaxed);
                Ok(counted)
            }
            Err(reason) => {
                self.note(now, client, who.identity.as_ref(), &turned_away(reason));
                Err(())
            }
        }
    }

    pub(crate) fn disconnect(&self, client: SocketAddr, counted: bool) {
        if counted {
            self.state().disconnect(client.ip());
        }
        self.counters.clients.fetch_sub(1, Relaxed);
    }

    pub(crate) fn count_requests(&self, requests: u64) {
        self.counters.requests.fetch_add(requests, Relaxed);
    }

    pub(crate) fn unreachable(&self, error: &port502_net::client::Error) {
        self.counters.unreachable.fetch_add(1, Relaxed);
        if !self.lost.swap(true, Relaxed)
            && let Some(observer) = &self.observer
        {
            observer(&Reach::Lost { error: &error.to_string() });
        }
    }

    /// A connection to the device was made.
    pub(crate) fn reached(&self) {
        if self.lost.load(Relaxed)
            && self.lost.swap(false, Relaxed)
            && let Some(observer) = &self.observer
        {
            observer(&Reach::Back);
        }
    }

    /// Something is to be recorded.
    #[cold]
    pub(crate) fn note(
        &self,
        now: Instant,
        client: SocketAddr,
        identity: Option<&Identity>,
        event: &Event<'_>,
    ) {
        match event.outcome {
            Outcome::Refused(_) => self.counters.refused.fetch_add(1, Relaxed),
            Outcome::Alerted => self.counters.alerted.fetch_add(1, Relaxed),
            Outcome::Noted => 0,
        };
        // Only of a frame it is known where a function stands; a response's is not the client's doing.
        let framed = event.unit.is_some() && event.direction == Direction::ToServer;
        let function = event.pdu.first().filter(|_| framed).map(|function| FunctionCode(*function));
        let kind = Kind::new(client.ip(), &event.objection, function);
        let noted = locked(&self.suppressor).note(now, kind);
        if noted == Noted::Show {
            let engine = Arc::clone(&locked(&self.engine));
            let time = self.clock.wall(now);
            let evidence = Evidence { time, engine: &engine, client, identity, event: *event };
            self.recorder.record(&Record::Evidence(evidence));
        }
    }
}

/// A connection that is one too many.
fn turned_away(reason: Reason) -> Event<'static> {
    Event {
        direction: Direction::ToServer,
        outcome: Outcome::Refused(Refusal::Reset),
        objection: Objection::of(reason),
        transaction: None,
        unit: None,
        pdu: &[],
    }
}
