//! Which connections there are, and which has to go when there are too many.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use port502_session::server::Expired;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

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
    /// It made room for another, or the server stopped.
    ByServer,
    /// A fault that was asked for.
    Fault,
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Closed::ByPeer => f.write_str("closed by the client"),
            Closed::Broken => f.write_str("connection broken"),
            Closed::Unreadable { length } => write!(f, "closed: MBAP length {length} is not within 2 to 254"),
            Closed::Expired(Expired::Idle) => f.write_str("closed: idle for too long"),
            Closed::Expired(Expired::HalfFrame) => f.write_str("closed: half a frame, and then nothing"),
            Closed::ByServer => f.write_str("closed to make room, or because the server stops"),
            Closed::Fault => f.write_str("closed: a fault that was asked for"),
        }
    }
}

#[derive(Debug)]
struct Entry {
    peer: IpAddr,
    state: Arc<Activity>,
    task: Option<AbortHandle>,
}

/// What a connection tells about itself while it works.
#[derive(Debug, Default)]
struct Activity {
    /// The registry's count of bursts when this one was last active: a larger number is more recent.
    used: AtomicU64,
    busy: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Registry {
    connections: usize,
    per_peer: usize,
    bursts: AtomicU64,
    entries: Mutex<Entries>,
    /// An entry is gone.
    left: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<u64, Entry>,
    per_peer: HashMap<IpAddr, usize>,
    next: u64,
}

/// A connection's entry, which ends with it.
#[derive(Debug)]
pub(super) struct Place {
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
        }
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
        if entries.by_id.len() >= self.connections && !entries.close_oldest_idle() {
            return Err(Refusal::AllBusy);
        }
        let state = Arc::new(Activity::default());
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

    pub(super) fn close_oldest_idle(&self) -> bool {
        self.entries().close_oldest_idle()
    }

    /// Ends idle connections and waits for the busy ones.
    pub(super) async fn drain(&self) {
        loop {
            let left = self.left.notified();
            {
                let mut entries = self.entries();
                while entries.close_oldest_idle() {}
                if entries.by_id.is_empty() {
                    return;
                }
            }
            left.await;
        }
    }
}

impl Entries {
    fn close_oldest_idle(&mut self) -> bool {
        let idle = self.by_id.iter().filter(|(_, e)| !e.state.busy.load(Relaxed) && e.task.is_some());
        let Some((&id, _)) = idle.min_by_key(|(_, e)| e.state.used.load(Relaxed)) else { return false };
        if let Some(task) = self.remove(id).and_then(|entry| entry.task) {
            task.abort();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.by_id.remove(&id)?;
        if let Some(count) = self.per_peer.get_mut(&entry.peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&entry.peer);
            }
        }
        Some(entry)
    }
}

impl Place {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Notes that the connection was just active, and whether a request is still being worked on.
    #[inline]
    pub(super) fn active(&self, busy: bool) {
        self.state.used.store(self.registry.bursts.fetch_add(1, Relaxed), Relaxed);
        self.state.busy.store(busy, Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.entries().remove(self.id);
        self.registry.left.notify_one();
    }
}
