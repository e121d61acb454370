//! One conversation watched in both directions: bytes with time and direction go in, observations come out.
//!
//! A tap believes nothing and stops at nothing. Frames it cannot read are counted and passed over, and after
//! them it finds its way back to the next frame; what breaks the specification is named by [`Anomaly`]. And it
//! stays calm: bytes that a capture lost, a capture that begins within a conversation, an answer whose
//! question came before, are not called attacks.
//!
//! ```text
//!            segment               frame                          observation
//!   to server ----> [stream] ---------------> [pairing] -----> Transaction { request, response, anomalies }
//!   to client ----> [stream] ---------------> [   "   ] -----> Skipped { bytes, anomalies }
//!                   frames out of bytes       by transaction id, unit and function
//! ```
//!
//! ```
//! use port502_session::Instant;
//! use port502_session::tap::{Direction, Observation, Start, Tap};
//! use port502_wire::view;
//!
//! let mut tap = Tap::new(Start::Handshake);
//! let mut seen = Vec::new();
//! let mut sink = |observation: Observation<'_>| {
//!     if let Observation::Transaction(transaction) = observation
//!         && let (Some(request), Some(response)) = (transaction.request, transaction.response)
//!     {
//!         let address = view::request(request.pdu).read.map(|range| range.start);
//!         seen.push((address, response.at.since(request.at).as_millis(), response.pdu.to_vec()));
//!     }
//! };
//! let ms = |ms: u64| Instant::from_nanos(ms * 1_000_000);
//! // A segment may hold many frames, or a part of one.
//! tap.observe(Direction::ToServer, &[0, 9, 0, 0, 0, 6, 1, 3, 0, 0x6B], ms(10), &mut sink);
//! tap.observe(Direction::ToServer, &[0, 1], ms(11), &mut sink);
//! tap.observe(Direction::ToClient, &[0, 9, 0, 0, 0, 5, 1, 3, 2, 0x12, 0x34], ms(15), &mut sink);
//! tap.finish(&mut sink);
//! assert_eq!(seen, [(Some(0x6B), 4, vec![3, 2, 0x12, 0x34])]);
//! ```

mod pairing;
mod stream;

use crate::Instant;
use pairing::Pairing;
use port502_wire::mbap::TransactionId;
use port502_wire::{Anomalies, UnitId};
use stream::{Found, Stream};

pub use pairing::{ANSWER_WITHIN, EXCUSED_MAX, EXCUSED_WITHIN, OPEN_BYTES_MAX, OPEN_MAX, REUSED_AFTER};
pub use stream::{FRAME_MAX, SEARCHED_MAX};

#[cfg(doc)]
use port502_wire::Anomaly;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Responses.
    ToClient,
}

/// How much of the conversation the tap is shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Start {
    /// All of it, from the handshake on: the first byte begins a frame, and no request came before.
    Handshake,
    /// It was under way already: the first bytes may be the end of a frame, and answers to requests that were
    /// never seen may come.
    Midway,
}

/// What a tap tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Observation<'a> {
    /// A request, a response, or both.
    Transaction(Transaction<'a>),
    /// Bytes that no frame could be made of.
    Skipped(Skipped),
}

/// A request with its response, as far as both were seen. Told when the response came, or when it is not waited
/// for any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transaction<'a> {
    /// The number that pairs the two.
    pub transaction: TransactionId,
    /// What was asked.
    pub request: Option<Message<'a>>,
    /// What was answered.
    pub response: Option<Message<'a>>,
    /// What is wrong with how the two go together; each [`Message`] has its own besides.
    pub anomalies: Anomalies,
    /// The missing half may have come in bytes that the tap was not shown, or could not read: that it is
    /// missing means nothing.
    pub may_be_lost: bool,
}

/// One half of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// When its last byte came.
    pub at: Instant,
    /// Who is asked, or answers.
    pub unit: UnitId,
    /// 1 to 253 bytes, or more from devices that do not keep to it; [`port502_wire::view`] reads them.
    pub pdu: &'a [u8],
    /// What is wrong with the PDU in itself.
    pub anomalies: Anomalies,
}

/// A stretch of bytes in one direction that no frame could be made of, told once, when it is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Skipped {
    /// Which way they went.
    pub direction: Direction,
    /// When the first of them came.
    pub at: Instant,
    /// How many. Bytes that were lost are not counted.
    pub bytes: u64,
    /// [`Anomaly::ProtocolId`], [`Anomaly::FrameLength`], [`Anomaly::NotModbus`]; none for the pieces of frames
    /// around a gap, at the start of a capture or at its end.
    pub anomalies: Anomalies,
}

impl<'a> Transaction<'a> {
    /// The unit that was asked; the one that answered where the request is missing.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        self.request.or(self.response).map_or(UnitId::default(), |message| message.unit)
    }

    /// When it began: the time of the request, or of a response without one.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.request.or(self.response).map_or(Instant::ZERO, |message| message.at)
    }

    /// Everything that is wrong: with the request, with the response, and with how they go together.
    #[must_use]
    pub fn all_anomalies(&self) -> Anomalies {
        let of = |message: Option<Message<'a>>| message.map_or(Anomalies::NONE, |message| message.anomalies);
        self.anomalies.union(of(self.request)).union(of(self.response))
    }
}

/// Watches one conversation.
///
/// Its memory is bounded: two half frames, and [`OPEN_MAX`] open requests of [`OPEN_BYTES_MAX`] bytes at most. It allocates while those grow
/// to what the conversation needs, and not for each packet. PDUs are lent to the sink: from the segment itself
/// where a frame lies whole in it.
#[derive(Clone, Debug)]
pub struct Tap {
    to_server: Stream,
    to_client: Stream,
    pairing: Pairing,
}

impl Tap {
    /// Before the first byte.
    #[must_use]
    pub fn new(start: Start) -> Self {
        Tap {
            to_server: Stream::new(Direction::ToServer, start),
            to_client: Stream::new(Direction::ToClient, start),
            pairing: Pairing::new(start),
        }
    }

    /// The bytes of one segment, in order and without repetition.
    ///
    /// Where segments begin matters only to find back into a stream: a frame is looked for there.
    #[inline]
    pub fn observe(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        now: Instant,
        sink: &mut impl FnMut(Observation<'_>),
    ) {
        let pairing = &mut self.pairing;
        match direction {
            Direction::ToServer => self.to_server.feed(bytes, now, &mut |found| match found {
                Found::Frame(frame) => pairing.request(&frame, now, sink),
                Found::Lost => pairing.requests_lost(now),
                Found::Skipped(skipped) => sink(Observation::Skipped(skipped)),
            }),
            Direction::ToClient => self.to_client.feed(bytes, now, &mut |found| match found {
                Found::Frame(frame) => pairing.response(&frame, now, sink),
                Found::Lost => pairing.responses_lost(),
                Found::Skipped(skipped) => sink(Observation::Skipped(skipped)),
            }),
        }
    }

    /// Bytes are missing here: what is held of a frame is dropped, and the next frame is looked for where a
    /// segment begins.
    pub fn gap(&mut self, direction: Direction, now: Instant, sink: &mut impl FnMut(Observation<'_>)) {
        let skipped = match direction {
            Direction::ToServer => {
                self.pairing.requests_lost(now);
                self.to_server.gap()
            }
            Direction::ToClient => {
                self.pairing.responses_lost();
                self.to_client.gap()
            }
        };
        skipped.into_iter().for_each(|skipped| sink(Observation::Skipped(skipped)));
    }

    /// Tells what has been under way since `before`, as it is: requests are not waited for any more, stretches
    /// of unreadable bytes are told as long as they are so far.
    ///
    /// For a tap on a living conversation, now and then; otherwise an idle connection keeps it to itself.
    pub fn give_up(&mut self, before: Instant, sink: &mut impl FnMut(Observation<'_>)) {
        for stream in [&mut self.to_server, &mut self.to_client] {
            if let Some(skipped) = stream.take_skipped_since(before) {
                sink(Observation::Skipped(skipped));
            }
        }
        self.pairing.give_up(before, sink);
    }

    /// The conversation is over: what is still open comes out as unanswered.
    pub fn finish(&mut self, sink: &mut impl FnMut(Observation<'_>)) {
        for stream in [&mut self.to_server, &mut self.to_client] {
            if let Some(skipped) = stream.finish() {
                sink(Observation::Skipped(skipped));
            }
        }
        self.pairing.finish(sink);
    }

    /// Watching ends, and the conversation perhaps does not: as [`finish`](Self::finish), but the responses to what
    /// was asked within [`ANSWER_WITHIN`] may have come later.
    pub fn interrupt(&mut self, now: Instant, sink: &mut impl FnMut(Observation<'_>)) {
        self.pairing.responses_to_come(now);
        self.finish(sink);
    }

    /// How many requests wait for their response.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.pairing.open_requests()
    }
}
