//! One direction of a TCP connection: segments in any order go in, bytes in stream order come out.
//!
//! ```text
//!   delivered            next                                held: came early, waits for the hole
//!   =====================|.......hole.......[ segment ][ segment ]......hole......[ segment ]
//!        [ history ]           ^ acked: the receiver says it has all bytes before this
//! ```
//!
//! A hole becomes a gap when the receiver has acknowledged it (so it was lost in the capture, not on the way), when
//! waiting for it has cost too much memory or time, or when the stream ends.

use std::collections::VecDeque;

use super::{Counters, HELD_OVERHEAD, Limits, OverlapPolicy};
use crate::Timestamp;

/// A TCP sequence number: a place on a circle of 2^32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seq(pub(super) u32);

impl Seq {
    /// How far behind `from` this lies, the short way round; negative if before it.
    pub(super) fn distance(self, from: Self) -> i32 {
        self.0.wrapping_sub(from.0).cast_signed()
    }

    /// How many bytes from `from` to this; zero if this is before it.
    fn after(self, from: Self) -> usize {
        usize::try_from(self.distance(from)).unwrap_or(0)
    }

    // Lengths of segments are far below 2^32; the circle makes any other harmless.
    #[allow(clippy::cast_possible_truncation, reason = "arithmetic on the circle of 2^32")]
    pub(super) fn plus(self, bytes: usize) -> Self {
        Self(self.0.wrapping_add(bytes as u32))
    }
}

/// What a direction has to tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Data { at: Timestamp, bytes: &'a [u8] },
    Gap { bytes: u64 },
    Conflict { offset: u64, first: &'a [u8], second: &'a [u8] },
}

/// What all directions share.
pub(super) struct Shared<'a> {
    pub(super) now: Timestamp,
    pub(super) limits: &'a Limits,
    pub(super) policy: OverlapPolicy,
    pub(super) held_total: &'a mut usize,
    pub(super) counters: &'a mut Counters,
}

/// Payload of one segment, or what is left of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'a> {
    pub(super) at: Timestamp,
    pub(super) start: Seq,
    pub(super) bytes: &'a [u8],
    /// Bytes behind `bytes` that the snap length cut off.
    pub(super) missing: usize,
}

impl Payload<'_> {
    fn len(&self) -> usize {
        self.bytes.len().saturating_add(self.missing)
    }

    pub(super) fn end(&self) -> Seq {
        self.start.plus(self.len())
    }

    /// Takes away what lies behind `end`.
    fn end_at(&mut self, end: Seq) {
        let excess = self.end().after(end);
        let cut = excess.min(self.missing);
        self.missing -= cut;
        let keep = self.bytes.len().saturating_sub(excess - cut);
        self.bytes = self.bytes.get(..keep).unwrap_or_default();
    }

    /// Takes away the first bytes.
    fn skip(&mut self, len: usize) {
        let present = len.min(self.bytes.len());
        self.bytes = self.bytes.get(present..).unwrap_or_default();
        self.missing = self.missing.saturating_sub(len - present);
        self.start = self.start.plus(len);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Nothing seen that tells where the stream is.
    Unknown,
    /// A capture that began mid-connection: the first segment is held, because an older one may come next.
    Settling,
    /// The next byte to deliver.
    Next(Seq),
}

/// A segment that came early. Held ones are in order and do not overlap.
#[derive(Debug)]
struct Held {
    at: Timestamp,
    start: Seq,
    bytes: Vec<u8>,
    missing: usize,
}

impl Held {
    fn payload(&self) -> Payload<'_> {
        Payload { at: self.at, start: self.start, bytes: &self.bytes, missing: self.missing }
    }

    /// Where the bytes that are there end.
    fn end(&self) -> Seq {
        self.start.plus(self.bytes.len())
    }

    fn charge(&self) -> usize {
        self.bytes.len() + HELD_OVERHEAD
    }
}

#[derive(Debug)]
pub(super) struct Half {
    position: Position,
    /// Number of the SYN, once seen.
    pub(super) isn: Option<Seq>,
    /// Where the stream ends, once a FIN was seen.
    fin: Option<Seq>,
    /// The highest number the receiver has acknowledged.
    acked: Option<Seq>,
    /// Bytes delivered or skipped so far.
    offset: u64,
    held: VecDeque<Held>,
    held_bytes: usize,
    history: History,
    /// Where the last gap began, while nothing has been delivered behind it.
    open_gap: Option<Seq>,
    /// Where the last segment outside the window ended: if another goes on there, this is another connection.
    pub(super) stray_end: Option<Seq>,
}

impl Half {
    pub(super) fn new() -> Self {
        Self {
            position: Position::Unknown,
            isn: None,
            fin: None,
            acked: None,
            offset: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            history: History::default(),
            open_gap: None,
            stray_end: None,
        }
    }

    /// The SYN was seen: the stream starts behind it.
    pub(super) fn open(&mut self, isn: Seq) {
        self.isn = Some(isn);
        if self.position == Position::Unknown {
            self.position = Position::Next(isn.plus(1));
        }
    }

    /// The next byte of the stream, as far as that can be said.
    pub(super) fn next(&self) -> Option<Seq> {
        match self.position {
            Position::Unknown => None,
            Position::Settling => self.held.front().map(|held| held.start),
            Position::Next(next) => Some(next),
        }
    }

    /// Whether a segment at `start` can belong to this stream.
    #[inline]
    pub(super) fn in_window(&self, start: Seq, window: u32) -> bool {
        self.next().is_none_or(|next| start.distance(next).unsigned_abs() <= window)
    }

    /// Whether nothing has been delivered or skipped yet.
    pub(super) fn is_at_start(&self) -> bool {
        self.offset == 0 && self.held.is_empty()
    }

    /// Whether the FIN and all bytes before it have been seen.
    pub(super) fn finished(&self) -> bool {
        self.fin.is_some_and(|fin| self.position == Position::Next(fin))
    }

    /// Whether `start` lies behind the end of the stream.
    pub(super) fn is_past_end(&self, start: Seq) -> bool {
        self.fin.is_some_and(|fin| start.distance(fin) >= 0)
    }

    /// A segment with payload in this direction, which is inside the window.
    #[inline]
    pub(super) fn data(
        &mut self,
        mut payload: Payload<'_>,
        shared: &mut Shared<'_>,
        out: &mut impl FnMut(Piece<'_>),
    ) {
        if let Some(fin) = self.fin {
            payload.end_at(fin);
        }
        let next = match self.position {
            Position::Next(next) => next,
            Position::Unknown => match self.acked {
                // One byte before what the receiver expects is how a keep-alive looks.
                _ if payload.len() == 1 && self.acked.is_none_or(|acked| acked == payload.end()) => {
                    shared.counters.keep_alives += 1;
                    return;
                }
                // The receiver has everything before this segment: no older one can be under way.
                Some(acked) if payload.start.distance(acked) <= 0 => {
                    self.position = Position::Next(payload.start);
                    payload.start
                }
                _ => {
                    self.position = Position::Settling;
                    return self.hold(payload, shared, out);
                }
            },
            Position::Settling => {
                self.hold(payload, shared, out);
                self.settle();
                return self.drain(false, shared, out);
            }
        };
        if payload.start == next && self.held.is_empty() {
            return self.deliver(payload, shared, out);
        }
        self.reordered(next, payload, shared, out);
    }

    /// The uncommon ways for a segment to arrive: old, early, or while others are held.
    fn reordered(
        &mut self,
        mut next: Seq,
        mut payload: Payload<'_>,
        shared: &mut Shared<'_>,
        out: &mut impl FnMut(Piece<'_>),
    ) {
        // The capture had the answer before the question: the gap was none. Nothing was delivered behind it yet.
        if let Some(gap) = self.open_gap
            && payload.end().distance(gap) > 0
            && payload.start.distance(next) < 0
        {
            let back_to = if payload.start.distance(gap) > 0 { payload.start } else { gap };
            self.offset = self.offset.saturating_sub(next.after(back_to) as u64);
            self.position = Position::Next(back_to);
            self.open_gap = None;
            shared.counters.late_segments += 1;
            next = back_to;
        }
        let behind = next.after(payload.start);
        if behind > 0 {
            if behind == 1 && payload.len() == 1 {
                // Its byte may be anything.
                shared.counters.keep_alives += 1;
                return;
            }
            let old = payload.bytes.get(..behind).unwrap_or(payload.bytes);
            shared.counters.retransmitted_bytes += old.len() as u64;
            if let Some((at, first, second)) = self.history.difference(behind, old) {
                shared.counters.conflicts += 1;
                out(Piece::Conflict { offset: self.offset.saturating_sub(at as u64), first, second });
            }
            if behind >= payload.len() {
                return;
            }
            payload.skip(behind);
        }
        let reaches_held = self.held.front().is_some_and(|held| held.start.distance(payload.end()) < 0);
        let acked = |this: &Self| this.acked.is_some_and(|acked| acked.distance(payload.start) >= 0);
        if payload.start == next && !reaches_held {
            self.deliver(payload, shared, out);
        } else if self.held.is_empty() && acked(self) {
            self.gap(payload.start, shared, out);
            self.deliver(payload, shared, out);
        } else {
            self.hold(payload, shared, out);
        }
        self.drain(false, shared, out);
    }

    /// The receiver says it has all bytes before `ack`. `answers`: it said so with bytes of its own.
    #[inline]
    pub(super) fn acknowledge(
        &mut self,
        ack: Seq,
        answers: bool,
        shared: &mut Shared<'_>,
        out: &mut impl FnMut(Piece<'_>),
    ) {
        if self.next().is_some_and(|next| ack.distance(next).unsigned_abs() > shared.limits.window) {
            return; // of another connection, or made up
        }
        if self.acked.is_none_or(|acked| ack.distance(acked) > 0) {
            self.acked = Some(ack);
        }
        if self.position == Position::Next(ack) && self.held.is_empty() {
            return;
        }
        self.acknowledged(ack, answers, shared, out);
    }

    /// An acknowledgment that may settle what is held or missing.
    fn acknowledged(
        &mut self,
        ack: Seq,
        answers: bool,
        shared: &mut Shared<'_>,
        out: &mut impl FnMut(Piece<'_>),
    ) {
        if self.position == Position::Settling {
            if self.held.front().is_none_or(|held| ack.distance(held.start) < 0) {
                return;
            }
            self.settle();
        }
        self.drain(false, shared, out);
        // An answer to what was not seen: the gap is told before the answer, or the answer would look unsolicited.
        if answers
            && self.held.is_empty()
            && let Position::Next(next) = self.position
        {
            // A FIN takes a number as if it were a byte.
            let end = self.fin.filter(|fin| ack.distance(*fin) > 0).unwrap_or(ack);
            if end.distance(next) > 0 {
                self.gap(end, shared, out);
                self.open_gap = Some(next);
            }
        }
    }

    /// A FIN whose number is `fin`: all bytes before it belong to the stream.
    pub(super) fn finish(&mut self, fin: Seq, shared: &mut Shared<'_>, out: &mut impl FnMut(Piece<'_>)) {
        if self.position == Position::Unknown {
            self.position = Position::Next(fin);
        }
        self.settle();
        let Position::Next(next) = self.position else { return };
        if fin.distance(next) < 0 {
            // Either older than the stream, or the capture had the answer before the FIN (see `reordered`).
            let Some(gap) = self.open_gap.filter(|gap| fin.distance(*gap) >= 0) else { return };
            self.offset = self.offset.saturating_sub(next.after(fin) as u64);
            self.position = Position::Next(fin);
            self.open_gap = Some(gap);
        }
        self.fin.get_or_insert(fin);
        self.drain(false, shared, out);
    }

    /// A segment without payload in this direction: nothing older than the first one is to be expected any more.
    #[inline]
    pub(super) fn bare(&mut self, shared: &mut Shared<'_>, out: &mut impl FnMut(Piece<'_>)) {
        if self.position == Position::Settling {
            self.settle();
            self.drain(false, shared, out);
        }
    }

    /// Gives out everything held, with gaps for what is missing, and frees all memory.
    pub(super) fn flush(&mut self, shared: &mut Shared<'_>, out: &mut impl FnMut(Piece<'_>)) {
        self.settle();
        self.drain(true, shared, out);
        self.held = VecDeque::new();
        self.history = History::default();
        self.open_gap = None;
    }

    fn settle(&mut self) {
        if self.position == Position::Settling {
            self.position = self.held.front().map_or(Position::Unknown, |held| Position::Next(held.start));
        }
    }

    /// Delivers what is held as far as there is no hole, or as far as holes have become gaps.
    fn drain(&mut self, force: bool, shared: &mut Shared<'_>, out: &mut impl FnMut(Piece<'_>)) {
        while let Position::Next(next) = self.position {
            if self.finished() {
                // Whatever claims to lie behind the end is not part of the stream.
                for held in std::mem::take(&mut self.held) {
                    self.release(&held, shared);
                }
                return;
            }
            let Some(first) = self.held.front() else {
                let acked = |fin| self.acked.is_some_and(|acked: Seq| acked.distance(fin) > 0);
                if let Some(fin) = self.fin
                    && fin.distance(next) > 0
                    && (force || acked(fin))
                {
                    self.gap(fin, shared, out);
                }
                return;
            };
            let start = first.start;
            if start.distance(next) <= 0 {
                let Some(held) = self.held.pop_front() else { return };
                self.release(&held, shared);
                let mut payload = held.payload();
                payload.skip(next.after(start));
                // What the snap length cut off reaches no further than the next segment that is there.
                if let Some(following) = self.held.front() {
                    let room = following.start.after(payload.start).saturating_sub(payload.bytes.len());
                    payload.missing = payload.missing.min(room);
                }
                self.deliver(payload, shared, out);
                continue;
            }
            let limits = shared.limits;
            let lost = force
                || self.acked.is_some_and(|acked| acked.distance(start) >= 0)
                || self.held_bytes > limits.held_per_direction
                || *shared.held_total > limits.held_total
                || shared.now.since(first.at) > limits.hold_for;
            if !lost {
                return;
            }
            self.gap(start, shared, out);
        }
    }

    #[inline]
    fn deliver(&mut self, payload: Payload<'_>, shared: &mut Shared<'_>, out: &mut impl FnMut(Piece<'_>)) {
        let Payload { at, start, bytes, .. } = payload;
        let next = start.plus(bytes.len());
        if !bytes.is_empty() {
            self.open_gap = None;
            self.stray_end = None;
            out(Piece::Data { at, bytes });
            self.history.push(bytes, shared.limits.history);
            self.offset += bytes.len() as u64;
            shared.counters.delivered_bytes += bytes.len() as u64;
        }
        self.position = Position::Next(next);
        if payload.missing > 0 {
            self.gap(next.plus(payload.missing), shared, out);
        }
    }

    /// Skips to `end`, which is behind the next byte.
    fn gap(&mut self, end: Seq, shared: &mut Shared<'_>, out: &mut impl FnMut(Piece<'_>)) {
        let Position::Next(next) = self.position else { return };
        let bytes = end.after(next) as u64;
        out(Piece::Gap { bytes });
        shared.counters.gap_bytes += bytes;
        self.offset += bytes;
        self.position = Position::Next(end);
        self.history.clear();
    }

    /// Keeps the parts of a segment that are not held yet, in order.
    fn hold(&mut self, payload: Payload<'_>, shared: &mut Shared<'_>, out: &mut impl FnMut(Piece<'_>)) {
        let mut rest = payload;
        let mut index = self.held.partition_point(|held| held.end().distance(rest.start) <= 0);
        // Where in the stream the held bytes at some number will be.
        let (next, offset) = (self.next().unwrap_or(rest.start), self.offset);
        let offset_of = |seq: Seq| offset.saturating_add(seq.after(next) as u64);
        while !rest.bytes.is_empty() {
            let free = match self.held.get_mut(index) {
                Some(held) if held.start.distance(rest.start) <= 0 => {
                    let from = rest.start.after(held.start);
                    let there = held.bytes.get_mut(from..).unwrap_or_default();
                    let overlap = there.len().min(rest.bytes.len());
                    let there = there.get_mut(..overlap).unwrap_or_default();
                    let here = rest.bytes.get(..overlap).unwrap_or_default();
                    shared.counters.retransmitted_bytes += overlap as u64;
                    if let Some((at, first, second)) = difference(there, here) {
                        shared.counters.conflicts += 1;
                        out(Piece::Conflict { offset: offset_of(rest.start.plus(at)), first, second });
                        if shared.policy == OverlapPolicy::Last {
                            there.copy_from_slice(here);
                        }
                    }
                    rest.skip(overlap);
                    if rest.bytes.is_empty() && rest.start == held.end() {
                        held.missing = held.missing.max(rest.missing);
                    }
                    index += 1;
                    continue;
                }
                Some(held) => held.start.after(rest.start).min(rest.bytes.len()),
                None => rest.bytes.len(),
            };
            let bytes = rest.bytes.get(..free).unwrap_or_default().to_vec();
            let missing = if free == rest.bytes.len() { rest.missing } else { 0 };
            self.insert(index, Held { at: rest.at, start: rest.start, bytes, missing }, shared);
            rest.skip(free);
            index += 1;
        }
        if payload.bytes.is_empty()
            && self.held.get(index).is_none_or(|held| held.start.distance(rest.start) > 0)
        {
            let Payload { at, start, missing, .. } = payload;
            self.insert(index, Held { at, start, bytes: Vec::new(), missing }, shared);
        }
    }

    fn insert(&mut self, index: usize, held: Held, shared: &mut Shared<'_>) {
        self.held_bytes += held.charge();
        *shared.held_total += held.charge();
        self.held.insert(index.min(self.held.len()), held);
    }

    fn release(&mut self, held: &Held, shared: &mut Shared<'_>) {
        self.held_bytes = self.held_bytes.saturating_sub(held.charge());
        *shared.held_total = shared.held_total.saturating_sub(held.charge());
    }
}

/// The last bytes delivered, without a gap among them, to compare retransmissions with.
#[derive(Debug, Default)]
struct History {
    /// At most twice what is to be kept, so that making room is rare.
    bytes: Vec<u8>,
}

impl History {
    #[inline]
    fn push(&mut self, bytes: &[u8], keep: usize) {
        if self.bytes.len() + bytes.len() > keep.saturating_mul(2) {
            let stay = keep.saturating_sub(bytes.len());
            let surplus = self.bytes.len().saturating_sub(stay);
            self.bytes.drain(..surplus);
        }
        let newest = bytes.len().saturating_sub(keep);
        self.bytes.extend_from_slice(bytes.get(newest..).unwrap_or_default());
    }

    fn clear(&mut self) {
        self.bytes.clear();
    }

    /// How bytes that started `behind` the next one differ from `again`: how far behind, what was, what is.
    fn difference<'a>(&'a self, behind: usize, again: &'a [u8]) -> Option<(usize, &'a [u8], &'a [u8])> {
        // What is older than the history cannot be compared.
        let too_old = behind.saturating_sub(self.bytes.len());
        let behind = behind - too_old;
        let again = again.get(too_old..)?;
        let was = self.bytes.get(self.bytes.len() - behind..)?;
        let len = was.len().min(again.len());
        let (at, first, second) = difference(was.get(..len)?, again.get(..len)?)?;
        Some((behind - at, first, second))
    }
}

/// Where two runs of bytes of the same length begin to differ, and both from there to where they differ last.
fn difference<'a>(first: &'a [u8], second: &'a [u8]) -> Option<(usize, &'a [u8], &'a [u8])> {
    if first == second {
        return None;
    }
    let differs = |(a, b): (&u8, &u8)| a != b;
    let start = first.iter().zip(second).position(differs)?;
    let end = first.iter().zip(second).rposition(differs)? + 1;
    Some((start, first.get(start..end)?, second.get(start..end)?))
}
