//! The server's side: what a request is owed, and one connection's state.
//!
//! [`answer`] makes the checks of the specification in their order (function, structure and quantity, address)
//! and calls a [`Device`] with requests that can only be carried out or refused. [`ServerSession`] finds the
//! requests in a stream of bytes and knows when a peer has been silent for too long.

use core::time::Duration;

use port502_wire::mbap::{Decoder, LengthError, Received};

pub use crate::device::{Context, Device, DeviceResult, Identity, LineEvent, Reply, RoleFault, answer};

use crate::Instant;

/// Limits of one connection, each with its reason in the documentation of the server that sets them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Without any byte for so long, the connection ends.
    pub idle: Duration,
    /// From the first byte of a frame to its last.
    pub frame: Duration,
    /// Requests that are being worked on at once; one more is answered with exception 06, as the specification
    /// says for a server without a free transaction (Messaging on TCP/IP V1.0b, 4.4.2.1: 1 to 16).
    pub transactions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // At fifty bytes a second, which is slower than any serial line, the largest frame takes over 5 s.
        Limits { idle: Duration::from_secs(300), frame: Duration::from_secs(8), transactions: 16 }
    }
}

/// Why a connection ends by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expired {
    /// No byte came for [`Limits::idle`].
    Idle,
    /// A frame was not whole after [`Limits::frame`].
    HalfFrame,
}

/// One connection as the server sees it.
#[derive(Debug)]
pub struct ServerSession {
    decoder: Decoder,
    limits: Limits,
    heard: Instant,
    frame_began: Option<Instant>,
    open: usize,
}

impl ServerSession {
    /// A connection that was accepted at `now`.
    #[must_use]
    pub const fn new(now: Instant, limits: Limits) -> Self {
        let decoder = Decoder::new();
        ServerSession { decoder, limits, heard: now, frame_began: None, open: 0 }
    }

    /// The next frame in `input`; `None` when all of it is taken. A frame of another protocol is to be passed
    /// over in silence.
    ///
    /// # Errors
    /// A length field that makes the rest unreadable: the connection has to be closed.
    #[inline]
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Received<'s>>, LengthError> {
        let received = self.decoder.next(input)?;
        if received.is_some() {
            self.frame_began = None;
        }
        Ok(received)
    }

    /// To be called after bytes were taken in: keeps the time for both timeouts.
    #[inline]
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.frame_began = if self.decoder.is_midway() { self.frame_began.or(Some(now)) } else { None };
    }

    /// To be called when the client does not take its answers, and nothing is read from it meanwhile: the rest of
    /// its frame may be on its way, so the frame's clock stops.
    #[cold]
    pub fn stalled(&mut self) {
        self.frame_began = None;
    }

    /// To be called when the client has taken answers that waited for it: it is there, though it says nothing.
    pub fn taken(&mut self, now: Instant) {
        self.heard = now;
        self.frame_began = self.decoder.is_midway().then_some(now);
    }

    /// A request is being worked on; `false` when there are too many already: exception 06.
    pub fn begin(&mut self) -> bool {
        let free = self.open < self.limits.transactions;
        self.open += usize::from(free);
        free
    }

    /// A request that [`begin`](Self::begin) counted is answered.
    pub fn end(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Whether a request is being worked on.
    #[must_use]
    pub const fn is_working(&self) -> bool {
        self.open != 0
    }

    /// Whether half a request is here.
    #[must_use]
    pub const fn is_midway(&self) -> bool {
        self.decoder.is_midway()
    }

    /// When to look at [`expired`](Self::expired) again, should nothing happen until then.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let idle = self.heard + self.limits.idle;
        self.frame_deadline().map_or(idle, |frame| frame.min(idle))
    }

    /// Until when the rest of a frame has to be here; `None` between frames.
    #[must_use]
    pub fn frame_deadline(&self) -> Option<Instant> {
        self.frame_began.map(|began| began + self.limits.frame)
    }

    /// Whether the peer has been silent for too long.
    #[must_use]
    pub fn expired(&self, now: Instant) -> Option<Expired> {
        match self.frame_deadline() {
            Some(deadline) if now >= deadline => Some(Expired::HalfFrame),
            // A client that waits for its answer has nothing to say meanwhile.
            _ if now >= self.heard + self.limits.idle && self.open == 0 => Some(Expired::Idle),
            _ => None,
        }
    }
}
