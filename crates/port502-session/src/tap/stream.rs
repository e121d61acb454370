//! Frames out of the bytes of one direction, whatever else there is among them.
//!
//! ```text
//!                       protocol 0, a length to go by: a frame
//!                              +------+
//!                              v      |      another protocol, a length to go by
//!    Start::Handshake -----> [ Locked ] -------------------------------> [ Passing ]
//!                              ^    ^  \                                     |
//!    a segment begins with     |    +---\------------------------------------+  all its bytes went by
//!    what can be a frame       |         \  no length to go by
//!                              |          v
//!    Start::Midway, gap ---> [ Searching ]
//! ```

use alloc::vec::Vec;

use super::{Direction, Skipped, Start};
use crate::Instant;
use port502_wire::function::{request_len, response_len};
use port502_wire::mbap::{self, ADU_MAX, Frame, LengthError, Received};
use port502_wire::{Anomalies, Anomaly};

/// After lost bytes, how many segments in a row may begin with something else before it is said that this is
/// not Modbus. A burst of long responses that is cut into full segments begins few of them with a frame.
pub const SEARCHED_MAX: u8 = 16;

/// The longest frame that is read whole. The specification allows [`ADU_MAX`] bytes; devices that carry their
/// programming in a function of their own (UMAS, 90) send longer ones, of 1 KiB and a little. Their PDUs are told with
/// [`Anomaly::TooLong`].
pub const FRAME_MAX: usize = 1280;

/// Bytes up to the end of the length field: what it takes to know how long a frame is.
const LENGTH_END: usize = 6;
/// Header and function code, as every frame has them: what it takes to find back into a stream.
const SEARCH_LEN: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Stream {
    direction: Direction,
    state: State,
    /// The front of a frame, or of what may be one, whose rest has not come.
    held: Vec<u8>,
    /// When the first of the held bytes came.
    held_at: Instant,
    /// What is being passed over, since the last frame.
    skipped: Option<Skipped>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The next byte begins a frame, or continues the one that is held.
    Locked,
    /// Within a frame of another protocol, whose length is to be believed.
    Passing { left: usize },
    /// Where the next frame begins has to be found: at the beginning of some segment.
    Searching {
        /// Where bytes were lost, how many segments have begun with something else since; `None` where it was
        /// the sender who left the protocol.
        lost: Option<u8>,
    },
}

/// What a stream is made of.
pub(super) enum Found<'a> {
    Frame(Frame<'a>),
    /// Here bytes went by that may have been frames.
    Lost,
    Skipped(Skipped),
}

/// What bytes at the place of a frame are.
enum Head {
    /// Too few to tell.
    Short,
    /// Of Modbus, even if it is longer than it may be.
    Frame {
        len: usize,
    },
    Foreign {
        len: usize,
    },
    Broken(Anomaly),
}

#[inline]
fn head(bytes: &[u8]) -> Head {
    let &[_, _, p1, p0, ..] = bytes else { return Head::Short };
    let modbus = (p1, p0) == (0, 0);
    match mbap::frame_len(bytes) {
        Ok(None) => Head::Short,
        Ok(Some(len)) if modbus => Head::Frame { len },
        Ok(Some(len)) => Head::Foreign { len },
        Err(_) if !modbus => Head::Broken(Anomaly::NotModbus),
        Err(LengthError { length }) => match LENGTH_END + usize::from(length) {
            len @ ADU_MAX..=FRAME_MAX => Head::Frame { len },
            _ => Head::Broken(Anomaly::FrameLength),
        },
    }
}

impl Stream {
    pub(super) const fn new(direction: Direction, start: Start) -> Self {
        let state = match start {
            Start::Handshake => State::Locked,
            Start::Midway => State::Searching { lost: Some(0) },
        };
        Stream { direction, state, held: Vec::new(), held_at: Instant::ZERO, skipped: None }
    }

    /// The bytes of one segment.
    #[inline]
    pub(super) fn feed(&mut self, mut input: &[u8], now: Instant, emit: &mut impl FnMut(Found<'_>)) {
        if input.is_empty()
            || (matches!(self.state, State::Searching { .. }) && !self.find_frame(&mut input, now, emit))
            || (!self.held.is_empty() && !self.complete_held(&mut input, now, emit))
        {
            return;
        }
        while !input.is_empty() {
            match self.state {
                State::Locked => match head(input) {
                    Head::Frame { len } => {
                        let Some((adu, rest)) = input.split_at_checked(len) else {
                            return self.hold(&mut input, FRAME_MAX, now);
                        };
                        input = rest;
                        self.deliver(adu, emit);
                    }
                    Head::Short => return self.hold(&mut input, FRAME_MAX, now),
                    Head::Foreign { len } => self.pass_over(len, now),
                    Head::Broken(anomaly) => self.leave(anomaly, now, emit),
                },
                State::Passing { left } => {
                    let take = left.min(input.len());
                    self.skip(take, now);
                    input = input.get(take..).unwrap_or_default();
                    let left = left - take;
                    self.state = if left == 0 { State::Locked } else { State::Passing { left } };
                }
                State::Searching { .. } => return self.skip(input.len(), now),
            }
        }
    }

    /// A frame whose front came in an earlier segment; whether there is more to do with `input`.
    #[cold]
    fn complete_held(&mut self, input: &mut &[u8], now: Instant, emit: &mut impl FnMut(Found<'_>)) -> bool {
        let (segment, before) = (*input, self.held.len());
        self.hold(input, LENGTH_END, now);
        match head(&self.held) {
            Head::Short => false,
            Head::Frame { len } => {
                self.hold(input, len, now);
                if self.held.len() < len {
                    return false;
                }
                let adu = core::mem::take(&mut self.held);
                self.deliver(&adu, emit);
                self.held = adu;
                self.held.clear();
                true
            }
            Head::Foreign { len } => {
                let rest = len.saturating_sub(self.held.len());
                self.drop_held();
                self.pass_over(rest, now);
                true
            }
            Head::Broken(anomaly) => {
                // What was held was no frame's front. This segment may well begin with a frame of its own.
                self.held.truncate(before);
                self.drop_held();
                *input = segment;
                self.leave(anomaly, now, emit);
                self.find_frame(input, now, emit)
            }
        }
    }

    /// A segment begins, and where frames do is not known; whether `input`, behind what is held, is one.
    #[cold]
    fn find_frame(&mut self, input: &mut &[u8], now: Instant, emit: &mut impl FnMut(Found<'_>)) -> bool {
        let found = if self.held.is_empty() {
            let ends_with_segment = matches!(head(input), Head::Frame { len } if len == input.len());
            if ends_with_segment { Some(true) } else { self.can_be_frame(input) }
        } else {
            self.hold(input, SEARCH_LEN, now);
            self.can_be_frame(&self.held)
        };
        match found {
            Some(true) => {
                self.state = State::Locked;
                true
            }
            None => {
                self.hold(input, SEARCH_LEN, now);
                false
            }
            Some(false) => {
                self.drop_held();
                self.skip(input.len(), now);
                self.count_search(input);
                emit(Found::Lost);
                false
            }
        }
    }

    /// Whether `bytes` can be the front of a frame, judged more strictly than within a stream: the end of a
    /// register block may look like a header. `None`: there are too few to tell.
    fn can_be_frame(&self, bytes: &[u8]) -> Option<bool> {
        if bytes.iter().skip(2).take(2).any(|&protocol| protocol != 0) {
            return Some(false);
        }
        let (header, pdu) = bytes.split_at_checked(mbap::HEADER_LEN)?;
        let &function = pdu.first()?;
        let Head::Frame { len } = head(header) else { return Some(false) };
        let len = len - mbap::HEADER_LEN;
        let told = match (self.direction, function) {
            (Direction::ToServer, 0 | 0x80..) | (Direction::ToClient, 0 | 0x80) => return Some(false),
            (Direction::ToServer, _) => request_len(pdu),
            (Direction::ToClient, _) => response_len(pdu),
        };
        Some(match told {
            Ok(Some(told)) => told == len,
            Ok(None) => true,
            Err(unknown) => len >= unknown.least,
        })
    }

    /// One more segment that does not begin with a frame.
    fn count_search(&mut self, segment: &[u8]) {
        let State::Searching { lost } = &mut self.state else { return };
        match lost {
            Some(searched) if *searched < SEARCHED_MAX => *searched += 1,
            Some(_) => {
                *lost = None;
                self.name(Anomaly::NotModbus);
            }
            None => match head(segment) {
                Head::Foreign { .. } => self.name(Anomaly::ProtocolId),
                Head::Broken(anomaly) => self.name(anomaly),
                Head::Short | Head::Frame { .. } => {}
            },
        }
    }

    #[inline]
    fn deliver(&mut self, adu: &[u8], emit: &mut impl FnMut(Found<'_>)) {
        if self.skipped.is_some() {
            self.take_skipped().into_iter().for_each(|skipped| emit(Found::Skipped(skipped)));
        }
        if let Some(Received::Frame(frame)) = mbap::split(adu) {
            emit(Found::Frame(frame));
        }
    }

    /// A frame of another protocol, `left` bytes of which are to come.
    fn pass_over(&mut self, left: usize, now: Instant) {
        self.skip(0, now);
        self.name(Anomaly::ProtocolId);
        self.state = State::Passing { left };
    }

    /// The sender has left the protocol.
    fn leave(&mut self, anomaly: Anomaly, now: Instant, emit: &mut impl FnMut(Found<'_>)) {
        self.skip(0, now);
        self.name(anomaly);
        self.state = State::Searching { lost: None };
        emit(Found::Lost);
    }

    /// Takes from `input` until `len` bytes are held.
    fn hold(&mut self, input: &mut &[u8], len: usize, now: Instant) {
        if self.held.is_empty() {
            self.held_at = now;
            self.held.reserve_exact(ADU_MAX);
        }
        let take = len.saturating_sub(self.held.len()).min(input.len());
        let (piece, rest) = input.split_at(take);
        self.held.extend_from_slice(piece);
        *input = rest;
    }

    fn drop_held(&mut self) {
        self.skip(self.held.len(), self.held_at);
        self.held.clear();
    }

    /// Adds to the stretch that is being passed over, or begins one.
    fn skip(&mut self, bytes: usize, now: Instant) {
        let direction = self.direction;
        let skipped =
            self.skipped.get_or_insert(Skipped { direction, at: now, bytes: 0, anomalies: Anomalies::NONE });
        if skipped.bytes == 0 {
            skipped.at = now;
        }
        skipped.bytes = skipped.bytes.saturating_add(bytes.try_into().unwrap_or(u64::MAX));
    }

    /// Says what is wrong with the stretch that is being passed over.
    fn name(&mut self, anomaly: Anomaly) {
        if let Some(skipped) = &mut self.skipped {
            skipped.anomalies.add(anomaly);
        }
    }

    fn take_skipped(&mut self) -> Option<Skipped> {
        self.skipped.take().filter(|skipped| skipped.bytes != 0)
    }

    /// The stretch so far, if it began before `before`. It goes on, and is the same kind of thing.
    pub(super) fn take_skipped_since(&mut self, before: Instant) -> Option<Skipped> {
        let so_far = self.skipped.as_mut().filter(|skipped| skipped.bytes != 0 && skipped.at < before)?;
        let told = *so_far;
        so_far.bytes = 0;
        Some(told)
    }

    /// Bytes are missing. What was passed over until here is told, and not mixed with what the loss costs.
    pub(super) fn gap(&mut self) -> Option<Skipped> {
        let before = self.take_skipped();
        if !self.held.is_empty() {
            self.drop_held();
        }
        self.state = State::Searching { lost: Some(0) };
        before
    }

    /// No more bytes will come.
    pub(super) fn finish(&mut self) -> Option<Skipped> {
        if !self.held.is_empty() {
            self.drop_held();
        }
        self.take_skipped()
    }
}
