use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, Waker};

use port502_wire::ExceptionCode;
use tokio::sync::watch;
use tokio::time::Instant;

use super::options::LaneOptions;
use super::queue::Queue;
use super::request::{Ask, Asked, ClientKey};
use super::{LaneStatus, upstream};
use crate::Target;
use crate::server::Inbox;

/// The link to one bus, gateway or device, which many clients share. Cheap to clone; the link is closed by
/// [`close`](Lane::close), or when the last handle and the last [`Seat`] are gone.
///
/// What it promises:
///
/// - Clients take turns, however many requests they have waiting: a turn is one, or a quarter of what the link takes at once.
///   Where it takes 16 or more, a client with requests out lets others go first, once.
/// - An answer goes to the client whose request it answers, under that request's transaction and unit id. What
///   comes late, twice, or fits nothing goes to nobody.
/// - A client finds its own requests carried out in their order, and never reads a value from before a write that
///   was answered before it asked; neither shared answers nor the cache change that.
/// - Every request has one answer: the device's, exception 0A when it could not be sent, or 0B when it was sent and
///   no answer came. Only what a client that has gone had asked is dropped.
#[derive(Clone, Debug)]
pub struct Lane(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    name: String,
    target: Target,
    shared: Arc<Shared>,
    /// Closed when the lane's task has ended.
    working: watch::Receiver<()>,
}

/// What the lane's task and its clients share. The lock is held for as long as a burst of requests takes, never
/// across a system call.
#[derive(Debug)]
pub(super) struct Shared(Mutex<State>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) queue: Queue,
    waker: Option<Waker>,
    /// The task will look, and need not be woken again.
    awake: bool,
    /// It takes no more requests: it was closed, or no handle is left, and no seat.
    pub(super) closed: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.wake();
    }
}

impl Lane {
    /// A lane that connects to `target` when it is first asked. `name` is for people.
    ///
    /// # Errors
    /// A target that cannot be connected to by any attempt.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(
        name: impl Into<String>,
        target: Target,
        options: LaneOptions,
    ) -> Result<Lane, crate::client::Error> {
        Self::new_after(name, target, options, Vec::new())
    }

    /// The same for a lane that takes the place of others, on the same serial port perhaps: it connects when all of
    /// `old` have ended, which somebody has to [`close`](Lane::close). Requests wait for that.
    ///
    /// # Errors
    /// A target that cannot be connected to by any attempt.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new_after(
        name: impl Into<String>,
        target: Target,
        options: LaneOptions,
        old: Vec<Lane>,
    ) -> Result<Lane, crate::client::Error> {
        let link = upstream::Link::to(&target, &options)?;
        Ok(Self::over(name, target, options, link, old))
    }

    pub(super) fn over(
        name: impl Into<String>,
        target: Target,
        options: LaneOptions,
        link: upstream::Link,
        old: Vec<Lane>,
    ) -> Lane {
        let options = Arc::new(options);
        let queue = Queue::new(Arc::clone(&options), link.is_one_by_one());
        let state = State { queue, waker: None, awake: false, closed: false };
        let shared = Arc::new(Shared(Mutex::new(state)));
        let working = upstream::spawn(Arc::clone(&shared), link, &options, old);
        Lane(Arc::new(Handle { name: name.into(), target, shared, working }))
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where it leads.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// Other options from now on. The connection stays as it is, and so does what waits.
    pub fn reconfigure(&self, options: LaneOptions) {
        let mut state = self.0.shared.state();
        state.queue.options = Arc::new(options);
        state.wake();
    }

    /// Takes no more requests, though there are handles and seats left: they are refused with exception 0A. What
    /// waits and what is out comes to its end; then the connection is closed.
    pub fn close(&self) {
        let mut state = self.0.shared.state();
        state.closed = true;
        state.wake();
    }

    /// Waits until a lane that was closed has come to its end, and its connection is closed.
    pub async fn ended(&self) {
        let mut working = self.0.working.clone();
        while working.changed().await.is_ok() {}
    }

    /// What has happened, and how it stands.
    #[must_use]
    pub fn status(&self) -> LaneStatus {
        self.0.shared.state().queue.status()
    }

    /// A place for a client, whose answers go to `inbox`.
    #[cold]
    #[must_use]
    pub fn seat(&self, inbox: &Arc<Inbox>) -> Seat {
        let key = self.0.shared.state().queue.join(Arc::clone(inbox));
        Seat { lane: self.clone(), key, burst: Vec::new() }
    }

    /// Whether `other` is a handle on the same lane.
    #[must_use]
    pub fn is(&self, other: &Lane) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A client's place in a lane. What waits there is dropped with it; what is out comes to its end for nobody.
#[derive(Debug)]
pub struct Seat {
    lane: Lane,
    key: ClientKey,
    /// What was asked and is not in the queue yet.
    burst: Vec<Asked>,
}

impl Seat {
    /// Puts a request aside, which goes with all others of its burst when [`send`](Self::send) is called. Its answer comes
    /// into the inbox, whatever becomes of it.
    ///
    /// At most as many may be open as the client's [`Caller`](crate::server::Caller) has room for.
    #[inline]
    pub fn ask(&mut self, ask: &Ask<'_>) {
        self.burst.push(ask.into());
    }

    /// Puts what was asked into the lane's queue: a burst costs one lock and one look at the clock.
    #[inline]
    pub fn send(&mut self) {
        if self.burst.is_empty() {
            return;
        }
        let mut state = self.lane.0.shared.state();
        if state.closed {
            state.queue.refuse_all(self.key, &mut self.burst, ExceptionCode::GatewayPathUnavailable);
            return;
        }
        let now = Instant::now();
        let times = (now, now + state.queue.options.wait);
        if state.queue.submit(self.key, &mut self.burst, times) {
            state.wake();
        }
    }

    /// The lane.
    #[must_use]
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Whether answers are owed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lane.0.shared.state().queue.is_open(self.key)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.lane.0.shared.state();
        state.queue.leave(self.key, Instant::now());
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic halfway through a change that matters.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is to be sent; `false` when there is nobody left who could.
    pub(super) fn poll_work(&self, task: &mut Task<'_>) -> Poll<bool> {
        let mut state = self.state();
        state.asleep(task);
        if state.queue.has_work() {
            Poll::Ready(true)
        } else if state.closed {
            Poll::Ready(false)
        } else {
            Poll::Pending
        }
    }
}

impl Shared {
    /// Whether the lane is closed with nothing left to do; the task is woken when that may have changed.
    pub(super) fn is_over(&self, task: &Task<'_>) -> bool {
        let mut state = self.state();
        state.asleep(task);
        state.closed && state.queue.is_idle()
    }
}

impl State {
    /// The task looks now; what comes later has to wake it.
    pub(super) fn asleep(&mut self, task: &Task<'_>) {
        self.awake = false;
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(task.waker())) {
            self.waker = Some(task.waker().clone());
        }
    }

    /// Wakes the task, if it is not awake.
    fn wake(&mut self) {
        if !std::mem::replace(&mut self.awake, true)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }
}
