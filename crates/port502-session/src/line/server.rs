//! The server's side of a line.

use alloc::vec::Vec;
use core::time::Duration;

use port502_wire::ascii::LF;
use port502_wire::rtu::Hears;
use port502_wire::serial::{Frame, Received};
use port502_wire::{EmitError, UnitId};

use super::{ADU_MAX, Decoder, Echo, emit};
use crate::Instant;
use crate::server::{Expired, Limits};
use crate::target::{Framing, LineSettings};

/// What comes on a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard<'a> {
    /// A frame: a request to this server or another, a broadcast, or the answer of another server.
    Frame {
        /// Its number on this line, for [`ServerLine::is_last`].
        number: u64,
        /// Unit and PDU.
        frame: Frame<'a>,
    },
    /// Bytes that are no frame.
    Dropped {
        /// How many.
        bytes: usize,
        /// They were enough for a frame: what the communication error counter counts.
        check: bool,
    },
}

/// One line as a server on it sees it.
///
/// A server never knows whether it is asked or overhears others; it answers frames with its own address, and
/// keeps silent else. An answer is worth something only as long as its request is the last thing that was said: a client
/// that asks on has given the answer up, and would take it for that to its next request.
#[derive(Debug)]
pub struct ServerLine {
    framing: Framing,
    settings: LineSettings,
    limits: Limits,
    decoder: Decoder,
    delimiter: u8,
    echo: Echo,
    frames: u64,
    /// When the last byte came.
    heard: Instant,
    /// When the first byte came of what is no frame yet.
    frame_began: Instant,
    /// Our own frame is on the line until then.
    sent: Instant,
    own: Option<Own>,
}

/// The last answer, on a line that echoes. Behind noise its echo is found as a frame, and it looks like a request.
#[derive(Debug)]
struct Own {
    unit: UnitId,
    pdu: Vec<u8>,
    until: Instant,
}

impl ServerLine {
    /// A line that was quiet until `now`. It `hears` others on a bus; at the end of a stream or in datagrams there
    /// are requests only.
    #[must_use]
    pub fn new(now: Instant, framing: Framing, settings: LineSettings, hears: Hears, limits: Limits) -> Self {
        ServerLine {
            framing,
            settings,
            limits,
            decoder: Decoder::new(framing, hears, LF),
            delimiter: LF,
            echo: Echo::default(),
            frames: 0,
            heard: now,
            frame_began: now,
            sent: Instant::ZERO,
            own: None,
        }
    }

    /// What the next bytes of `input` are; `None` when all of it is taken.
    pub fn next<'s, 'i: 's>(&'s mut self, now: Instant, input: &mut &'i [u8]) -> Option<Heard<'s>> {
        if !input.is_empty() {
            self.heard = now;
        }
        // On a line that echoes, our own answer is no request. Where something else comes, it is heard from its start.
        if !self.echo.strip(input) {
            let mut stripped = self.echo.heard();
            while self.decoder.next(&mut stripped).is_some() {}
            self.echo.forget();
        } else if self.echo.is_whole() {
            self.own = None;
        }
        if !self.decoder.is_midway() {
            self.frame_began = now;
        }
        let received = self.decoder.next(input)?;
        Some(number(&mut self.frames, &mut self.own, now, received))
    }

    /// The end of a datagram is the end of its frame. Call it until it returns `None`.
    pub fn end_of_datagram(&mut self) -> Option<Heard<'_>> {
        let received = self.decoder.quiet()?;
        Some(number(&mut self.frames, &mut self.own, self.heard, received))
    }

    /// What silence makes of the last bytes; call it when [`quiet_at`](Self::quiet_at) has come, until it returns
    /// `None`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Heard<'_>> {
        if self.quiet_at().is_none_or(|quiet| now < quiet) {
            return None;
        }
        let received = self.decoder.quiet()?;
        Some(number(&mut self.frames, &mut self.own, now, received))
    }

    /// When the silence will be long enough to end what has begun; `None` between frames.
    #[must_use]
    pub fn quiet_at(&self) -> Option<Instant> {
        self.decoder.is_midway().then(|| self.heard + self.settings.quiet)
    }

    /// Whether nothing has been said since frame `number`.
    #[must_use]
    pub fn is_last(&self, number: u64) -> bool {
        number == self.frames
    }

    /// When an answer may go out, as far as is known now: behind the gap, and not while somebody speaks.
    #[must_use]
    pub fn free_at(&self) -> Instant {
        let silence = if self.decoder.is_midway() {
            self.settings.quiet.max(self.settings.gap)
        } else {
            self.settings.gap
        };
        (self.heard + silence).max(self.sent)
    }

    /// Makes the frame of an answer, which the caller sends at once.
    ///
    /// # Errors
    /// A PDU that is empty or too long.
    pub fn answer<'b>(
        &mut self,
        now: Instant,
        unit: UnitId,
        pdu: &[u8],
        out: &'b mut [u8; ADU_MAX],
    ) -> Result<&'b [u8], EmitError> {
        let adu = emit(self.framing, &Frame { unit, pdu }, self.delimiter, out)?;
        let characters = u32::try_from(adu.len()).unwrap_or(u32::MAX);
        let took: Duration = self.settings.character.saturating_mul(characters);
        self.sent = now + took + self.settings.gap;
        if self.settings.echo {
            self.echo.expect(adu);
            // Silence may have to end what came in front of it.
            let until = now + took + 2 * self.settings.quiet;
            self.own = Some(Own { unit, pdu: pdu.into(), until });
        }
        Ok(adu)
    }

    /// From now on `delimiter` ends ASCII frames.
    pub fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
        self.decoder.set_delimiter(delimiter);
    }

    /// Whether the peer at the other end of a stream has been silent for too long, or in the middle of a frame for
    /// too long. On a bus nobody asks.
    #[must_use]
    pub fn expired(&self, now: Instant) -> Option<Expired> {
        if self.decoder.is_midway() && now >= self.frame_began + self.limits.frame {
            return Some(Expired::HalfFrame);
        }
        (now >= self.heard + self.limits.idle).then_some(Expired::Idle)
    }

    /// When to look at [`expired`](Self::expired) again.
    #[must_use]
    pub fn expires_at(&self) -> Instant {
        let idle = self.heard + self.limits.idle;
        if self.decoder.is_midway() { idle.min(self.frame_began + self.limits.frame) } else { idle }
    }
}

fn number<'a>(frames: &mut u64, own: &mut Option<Own>, now: Instant, received: Received<'a>) -> Heard<'a> {
    match received {
        Received::Frame(frame) => {
            let is_echo = |own: &mut Own| now <= own.until && own.unit == frame.unit && own.pdu == frame.pdu;
            if own.take_if(is_echo).is_some() {
                return Heard::Dropped { bytes: frame.pdu.len(), check: false };
            }
            *frames += 1;
            Heard::Frame { number: *frames, frame }
        }
        Received::CheckError { bytes } => Heard::Dropped { bytes, check: true },
        Received::Noise { bytes } => Heard::Dropped { bytes, check: false },
    }
}
