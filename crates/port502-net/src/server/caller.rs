//! Answers that come from elsewhere: where a service puts them, and what it knows of who called.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The connection that calls a [`Service`](super::Service): where its late answers go, and what the service
/// remembers of it. It ends with the connection, and what is remembered is dropped then.
#[derive(Default)]
pub struct Caller {
    inbox: Option<Arc<Inbox>>,
    state: Option<Box<dyn Any + Send>>,
    open: usize,
    limit: usize,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("open", &self.open).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Caller {
    /// One that may have `limit` requests worked on at once.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Caller { limit, ..Caller::default() }
    }

    /// Where its answers go.
    pub fn inbox(&mut self) -> &Arc<Inbox> {
        self.inbox.get_or_insert_default()
    }

    /// Where its answers go, and what a service remembers of it. A caller knows one service, so there is one type;
    /// `new` makes the first.
    pub fn parts<T: Send + 'static>(&mut self, new: impl FnOnce() -> T) -> (&Arc<Inbox>, &mut T) {
        let inbox = self.inbox.get_or_insert_default();
        if !self.state.as_ref().is_some_and(|state| state.is::<T>()) {
            self.state = None;
        }
        let state = self.state.get_or_insert_with(|| Box::new(new()));
        match state.downcast_mut() {
            Some(state) => (inbox, state),
            None => unreachable!("its type was looked at above"),
        }
    }

    /// What a service remembers of it, when that is a `T`.
    #[inline]
    pub fn state<T: 'static>(&mut self) -> Option<&mut T> {
        self.state.as_mut()?.downcast_mut()
    }

    /// Whether one more request may be worked on. If not, it is owed exception 06.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.open < self.limit
    }

    /// A request is being worked on.
    pub(super) fn begin(&mut self, waker: &Waker) {
        if self.open == 0
            && let Some(inbox) = &self.inbox
        {
            inbox.woken_by(waker);
        }
        self.open += 1;
    }

    /// Whether it waits for nothing.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        self.open == 0
    }

    /// The answers that have come, one frame behind the other, and how many requests are settled by them.
    pub(super) fn collect(&mut self) -> (Vec<u8>, usize) {
        let Some(inbox) = &self.inbox else { return (Vec::new(), 0) };
        let (frames, settled) = inbox.take();
        self.open = self.open.saturating_sub(settled);
        (frames, settled)
    }

    /// Gives the room of answers that are gone back, for the next ones.
    pub(super) fn reuse(&mut self, frames: Vec<u8>) {
        if let Some(inbox) = &self.inbox {
            inbox.reuse(frames);
        }
    }
}

/// Room of an empty inbox that is kept for the next answers: those of a burst of reads.
const KEPT_LEN: usize = 1024;

/// Answers on their way to a connection. Whoever puts one in wakes the connection once for all that come until
/// it looks.
#[derive(Debug, Default)]
pub struct Inbox(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    /// Whole frames.
    frames: Vec<u8>,
    /// Requests that have their answer, or will never have one.
    settled: usize,
    waker: Option<Waker>,
}

impl Inbox {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        // Nothing in here can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in `frames`, which are whole, one behind the other, and settle so many requests; one that is settled without a
    /// frame will have no answer. What is given back in their place is room for the next ones.
    pub fn put(&self, frames: &mut Vec<u8>, settled: usize) {
        let mut answers = self.answers();
        if answers.frames.is_empty() {
            std::mem::swap(&mut answers.frames, frames);
        } else {
            answers.frames.append(frames);
        }
        let first = answers.settled == 0;
        answers.settled += settled;
        if let (Some(waker), true) = (&answers.waker, first) {
            waker.wake_by_ref();
        }
    }

    /// All that has come, one frame behind the other, and how many requests are settled by it. For whoever has an inbox
    /// without a connection of a server to it: [`woken_by`](Self::woken_by) says when to look.
    pub fn take(&self) -> (Vec<u8>, usize) {
        let mut answers = self.answers();
        if answers.settled == 0 {
            // The room stays where it is: most looks find nothing.
            return (Vec::new(), 0);
        }
        let settled = std::mem::take(&mut answers.settled);
        (std::mem::take(&mut answers.frames), settled)
    }

    /// Takes the room of answers that are gone back, for the next ones.
    pub fn reuse(&self, mut frames: Vec<u8>) {
        let mut answers = self.answers();
        if answers.frames.capacity() == 0 && frames.capacity() <= KEPT_LEN {
            frames.clear();
            answers.frames = frames;
        }
    }

    /// Whose task is to be woken, once for all that comes until it looks.
    pub fn woken_by(&self, waker: &Waker) {
        let mut answers = self.answers();
        if !answers.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            answers.waker = Some(waker.clone());
        }
    }

    /// The frame that has come, for a caller that waits for one only; `None` while none has. An empty one is
    /// silence.
    pub(crate) fn take_one(&self, waker: &Waker) -> Option<Vec<u8>> {
        self.woken_by(waker);
        let mut answers = self.answers();
        if answers.settled == 0 {
            return None;
        }
        answers.settled = 0;
        Some(std::mem::take(&mut answers.frames))
    }
}
