//! Which connections there are, and which has to go when there are too many.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use port502_session::Instant as SessionInstant;
use port502_session::server::Expired;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep};

use super::{Options, Refusal};

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// The client closed it.
    ByPeer,
    /// The network or the client's system broke it.
    Broken,
    /// The client sent a length that no frame has.
    Unreadable {
        /// The length field.
        length: u16,
    },
    /// It was silent for too long.
    Expired(Expired),
    /// The server stopped.
    ByServer,
    /// It made room for another.
    ToMakeRoom,
    /// A fault that was asked for.
    Fault,
    /// The code of the device panicked.
    Panicked,
    /// The client's certificate was revoked meanwhile.
    Revoked,
    /// The client's certificate is over.
    CertificateExpired,
    /// The client would not be let in any more, for another reason than these two.
    Distrusted,
    /// A relay does not let pass what came, or would have gone.
    Refused,
    /// The device behind a relay ended its connection.
    ByDevice,
    /// A relay cannot reach the device behind it.
    NoDevice,
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Closed::ByPeer => f.write_str("closed by the client"),
            Closed::Broken => f.write_str("connection broken"),
            Closed::Unreadable { length } => write!(f, "closed: MBAP length {length} is not within 2 to 254"),
            Closed::Expired(Expired::Idle) => f.write_str("closed: idle for too long"),
            Closed::Expired(Expired::HalfFrame) => f.write_str("closed: half a frame, and then nothing"),
            Closed::ByServer => f.write_str("closed: the server stops"),
            Closed::ToMakeRoom => f.write_str("closed to make room for another"),
            Closed::Fault => f.write_str("closed: a fault that was asked for"),
            Closed::Panicked => f.write_str("closed: the device's code panicked"),
            Closed::Revoked => f.write_str("closed: its certificate was revoked"),
            Closed::CertificateExpired => f.write_str("closed: its certificate is over"),
            Closed::Refused => f.write_str("reset: what came does not pass"),
            Closed::ByDevice => f.write_str("closed by the device"),
            Closed::NoDevice => f.write_str("closed: the device cannot be reached"),
            Closed::Distrusted => f.write_str("closed: its certificate is not accepted any more"),
        }
    }
}

/// No deadline.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
struct Entry {
    peer: IpAddr,
    state: Arc<Activity>,
    task: Option<AbortHandle>,
}

/// What a connection tells about itself while it works, and what it is told.
#[derive(Debug, Default)]
struct Activity {
    /// The registry's count of bursts when this one was last active: a larger number is more recent.
    used: AtomicU64,
    /// It has had an answer: a client rather than somebody who only holds a place.
    served: AtomicBool,
    /// A request is being worked on.
    working: AtomicBool,
    /// It waits for its client: for the rest of a frame, or to take its answers.
    waiting: AtomicBool,
    leaving: AtomicBool,
    /// It is for another that it leaves.
    makes_room: AtomicBool,
    /// It has to end at once, for this reason.
    expelled: OnceLock<Closed>,
    /// When to look whether it has been silent for too long, in nanoseconds of the registry's time.
    deadline: AtomicU64,
    /// That time has come.
    due: AtomicBool,
    /// Wakes its task, once that has run.
    waker: Mutex<Option<Waker>>,
}

impl Activity {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    /// Asks the connection to answer what has arrived, and then to end.
    fn leave(&self) {
        // Under the lock: a task that is about to leave its waker here will see the flag afterwards.
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        self.leaving.store(true, Relaxed);
        if let Some(waker) = &*waker {
            waker.wake_by_ref();
        }
    }
}

/// Knows of a connection, even when it has ended, whether that was to make room.
#[derive(Debug)]
pub(super) struct MakesRoom(Arc<Activity>);

impl MakesRoom {
    pub(super) fn is_so(&self) -> bool {
        self.0.makes_room.load(Relaxed)
    }
}

/// Ends a connection from outside.
#[derive(Debug)]
pub(super) struct Expel(Arc<Activity>);

impl Expel {
    /// At once: what has arrived is not answered any more.
    pub(super) fn expel(&self, why: Closed) {
        let _ = self.0.expelled.set(why);
        self.0.wake();
    }
}

#[derive(Debug)]
pub(super) struct Registry {
    connections: usize,
    per_peer: usize,
    bursts: AtomicU64,
    entries: Mutex<Entries>,
    /// An entry is gone.
    left: Notify,
    epoch: Instant,
    timekeeper: Option<Handle>,
    /// When [`Registry::keep_time`] looks next; a connection with an earlier deadline has to tell it.
    next_look: AtomicU64,
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<u64, Entry>,
    per_peer: HashMap<IpAddr, usize>,
    /// Those of `by_id` that were asked to leave, and have not yet.
    leaving: usize,
    next: u64,
}

/// A connection's place among those of its server, which ends with it.
///
/// Whoever has it says what the connection does ([`used`](Self::used), [`busy`](Self::busy)), for the one that has been
/// idle for longest makes room where there are too many; and looks, whenever it is woken, whether it has to go.
#[derive(Debug)]
pub struct Place {
    id: u64,
    registry: Arc<Registry>,
    state: Arc<Activity>,
}

impl Registry {
    pub(super) fn new(options: &Options) -> Self {
        Registry {
            connections: options.connections.max(1),
            per_peer: options.per_peer.max(1),
            bursts: AtomicU64::new(1),
            entries: Mutex::default(),
            left: Notify::new(),
            epoch: Instant::now(),
            timekeeper: options.timekeeper.clone(),
            next_look: AtomicU64::new(NEVER),
            sooner: Notify::new(),
        }
    }

    /// Wakes connections whose deadline has come. One task does it for all of them: a timer for each would cost
    /// each request as much again as its answer does.
    pub(super) async fn keep_time(&self) {
        loop {
            // From here on a connection with any deadline tells, lest it be set behind the back of this look.
            self.next_look.store(NEVER, SeqCst);
            let now = self.now();
            let mut next = NEVER;
            for entry in self.entries().by_id.values() {
                let deadline = entry.state.deadline.load(SeqCst);
                if deadline > now.as_nanos() {
                    next = next.min(deadline);
                } else if !entry.state.due.swap(true, SeqCst) {
                    // It sets a new deadline, or ends.
                    entry.state.wake();
                }
            }
            self.next_look.store(next, SeqCst);
            let sooner = self.sooner.notified();
            if next == NEVER {
                sooner.await;
            } else {
                let wait = Duration::from_nanos(next.saturating_sub(self.now().as_nanos()));
                tokio::select! {
                    () = sooner => {}
                    () = self.sleep(wait) => {}
                }
            }
        }
    }

    fn now(&self) -> SessionInstant {
        SessionInstant::ZERO + self.epoch.elapsed()
    }

    /// A timer of the runtime that keeps the time, whichever runtime it is awaited on.
    pub(super) fn sleep(&self, time: Duration) -> Sleep {
        let _runtime = self.timekeeper.as_ref().map(Handle::enter);
        tokio::time::sleep(time)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Nothing in here can panic halfway through a change.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection, where need be that of the oldest idle one.
    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Place, Refusal> {
        let mut entries = self.entries();
        let peer = peer.ip();
        if entries.per_peer.get(&peer).is_some_and(|&count| count >= self.per_peer) {
            return Err(Refusal::PerPeer);
        }
        if entries.staying() >= self.connections {
            // Those that leave need a moment. Were they not counted at all, a flood could gather them.
            if entries.leaving >= self.connections || !entries.make_room(Some(peer)) {
                return Err(Refusal::AllBusy);
            }
        }
        let state = Arc::new(Activity::default());
        state.deadline.store(NEVER, SeqCst);
        // Just accepted is just used: the next one must not push it out at once.
        state.used.store(self.bursts.fetch_add(1, Relaxed), Relaxed);
        let id = entries.next;
        entries.next += 1;
        *entries.per_peer.entry(peer).or_default() += 1;
        entries.by_id.insert(id, Entry { peer, state: Arc::clone(&state), task: None });
        Ok(Place { id, registry: Arc::clone(self), state })
    }

    /// The task of a connection runs: now it can be ended from outside.
    pub(super) fn started(&self, id: u64, task: AbortHandle) {
        if let Some(entry) = self.entries().by_id.get_mut(&id) {
            entry.task = Some(task);
        }
    }

    /// Closes the oldest idle connection, and waits until it or another has gone, but for `pause` at most.
    pub(super) async fn make_room(&self, pause: Duration) {
        let mut left = pin!(self.left.notified());
        if left.as_mut().enable() {
            // One that left before this call.
            left.set(self.left.notified());
            left.as_mut().enable();
        }
        self.entries().make_room(None);
        // Whichever comes first.
        tokio::select! {
            () = left => {}
            () = self.sleep(pause) => {}
        }
    }

    /// Ends all connections as soon as what has arrived on them is answered, and those that take longer than
    /// `limit` in the middle.
    pub(super) async fn drain(&self, limit: Duration) {
        {
            let mut entries = self.entries();
            entries.by_id.values().for_each(|entry| entry.state.leave());
            entries.leaving = entries.by_id.len();
        }
        let empty = async {
            while !self.entries().by_id.is_empty() {
                self.left.notified().await;
            }
        };
        tokio::select! {
            biased;
            () = empty => {}
            () = self.sleep(limit) => {
                let entries = self.entries();
                entries.by_id.values().filter_map(|entry| entry.task.as_ref()).for_each(AbortHandle::abort);
            }
        }
    }
}

impl Entries {
    fn staying(&self) -> usize {
        self.by_id.len() - self.leaving
    }

    /// Closes the oldest idle connection for one more of `newcomer`; `false` when there is none.
    ///
    /// One in the middle of a request is not idle. But one that never had an answer is, whatever it has sent; and
    /// so is one that only waits for its client, when that client's address has more connections than the
    /// newcomer's: an address that holds places with halves of requests must not lock the others out. For the
    /// same reason a newcomer pushes out nobody of an address that has fewer connections than its own.
    fn make_room(&mut self, newcomer: Option<IpAddr>) -> bool {
        let share = |peer| self.per_peer.get(&peer).copied().unwrap_or_default();
        let own = newcomer.map_or(0, |peer| share(peer) + 1);
        let may_go = |entry: &&Entry| {
            let (state, stranger) = (&entry.state, newcomer != Some(entry.peer));
            let busy = state.working.load(Relaxed)
                || (state.served.load(Relaxed)
                    && state.waiting.load(Relaxed)
                    && !(stranger && share(entry.peer) > own));
            let protected = stranger && share(entry.peer) < own;
            !busy && !protected && !state.leaving.load(Relaxed)
        };
        let oldest = |entry: &&Entry| entry.state.used.load(Relaxed);
        let Some(entry) = self.by_id.values().filter(may_go).min_by_key(oldest) else { return false };
        entry.state.makes_room.store(true, Relaxed);
        entry.state.leave();
        if entry.state.waiting.load(Relaxed)
            && let Some(task) = &entry.task
        {
            // It would wait for its client first.
            task.abort();
        }
        self.leaving += 1;
        true
    }

    fn remove(&mut self, id: u64) {
        let Some(entry) = self.by_id.remove(&id) else { return };
        self.leaving -= usize::from(entry.state.leaving.load(Relaxed));
        if let Some(count) = self.per_peer.get_mut(&entry.peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&entry.peer);
            }
        }
    }
}

impl Place {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The connection's task can be woken from now on.
    pub fn woken_by(&self, waker: &Waker) {
        *self.state.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// Notes that bytes came or went, and whether an answer has ever been among them.
    #[inline]
    pub fn used(&self, served: bool) {
        self.state.used.store(self.registry.bursts.fetch_add(1, Relaxed), Relaxed);
        self.state.served.store(served, Relaxed);
    }

    /// Notes whether a request is being worked on, and whether the connection waits for its client in the middle
    /// of something.
    #[inline]
    pub fn busy(&self, working: bool, waiting: bool) {
        self.state.working.store(working, Relaxed);
        self.state.waiting.store(waiting, Relaxed);
    }

    /// What ends this connection from outside.
    pub(super) fn expel_handle(&self) -> Expel {
        Expel(Arc::clone(&self.state))
    }

    pub(super) fn makes_room(&self) -> MakesRoom {
        MakesRoom(Arc::clone(&self.state))
    }

    /// Why the connection has to end at once.
    #[inline]
    #[must_use]
    pub fn expelled(&self) -> Option<Closed> {
        self.state.expelled.get().copied()
    }

    /// The time of the registry.
    #[inline]
    #[must_use]
    pub fn now(&self) -> SessionInstant {
        self.registry.now()
    }

    /// Asks to be woken, and to find [`is_due`](Self::is_due), at `deadline`.
    #[inline]
    pub fn expect(&self, deadline: SessionInstant) {
        let deadline = deadline.as_nanos();
        self.state.deadline.store(deadline, SeqCst);
        if deadline < self.registry.next_look.load(SeqCst) {
            self.registry.sooner.notify_one();
        }
    }

    /// Whether the deadline has come since this was last asked.
    #[inline]
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.state.due.load(Relaxed) && self.state.due.swap(false, SeqCst)
    }

    /// Whether the connection was asked to answer what has arrived, and to end.
    #[inline]
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.state.leaving.load(Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.entries().remove(self.id);
        self.registry.left.notify_one();
    }
}
