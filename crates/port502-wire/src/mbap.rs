//! MBAP: the header in front of a PDU on TCP (Messaging on TCP/IP V1.0b, 3.1.3).
//!
//! ```text
//!   byte    0     1     2     3     4     5     6     7 ..
//!        +-----------+-----------+-----------+-----+---------+
//!        |transaction| protocol 0|  length   |unit |  PDU    |     length counts unit + PDU
//!        +-----------+-----------+-----------+-----+---------+
//! ```
//!
//! TCP keeps no message boundaries: a read may end within a header, or bring sixteen frames. [`Decoder`] takes
//! any piece and gives frames out, borrowed from the piece where they lie whole in it.
//!
//! ```
//! use port502_wire::mbap::{Decoder, Received};
//!
//! let mut decoder = Decoder::new();
//! let mut bytes: &[u8] = &[0, 1, 0, 0, 0, 6, 0xFF, 3, 0, 0x6B, 0, 3, /* the next one: */ 0, 2, 0];
//! let Ok(Some(Received::Frame(frame))) = decoder.next(&mut bytes) else { panic!() };
//! assert_eq!(frame.pdu, [3, 0, 0x6B, 0, 3]);
//! assert_eq!(decoder.next(&mut bytes), Ok(None));
//! assert!(decoder.is_midway());
//! ```

use crate::{EmitError, PDU_MAX, UnitId};

/// Bytes of the header, unit id included.
pub const HEADER_LEN: usize = 7;

/// The largest frame: header and PDU.
pub const ADU_MAX: usize = HEADER_LEN + PDU_MAX;

/// Pairs a response with its request; chosen by the client, echoed by the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TransactionId(pub u16);

impl core::fmt::Display for TransactionId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// One frame with protocol id 0: Modbus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Which transaction it is part of.
    pub transaction: TransactionId,
    /// Which unit is meant, or answers.
    pub unit: UnitId,
    /// 1 to [`PDU_MAX`] bytes, not yet parsed.
    pub pdu: &'a [u8],
}

/// What a [`Decoder`] finds in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received<'a> {
    /// A Modbus frame.
    Frame(Frame<'a>),
    /// A frame of another protocol. A server discards it without an answer (V1.0b, 4.4.2.1).
    Foreign {
        /// Its protocol id, not 0.
        protocol: u16,
        /// All of its bytes.
        adu: &'a [u8],
    },
}

/// A length field that no frame can have, after which nobody can know where the next frame starts. The
/// connection has to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LengthError {
    /// The length field: 2 to 254 would be right.
    pub length: u16,
}

impl core::fmt::Display for LengthError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MBAP length {} is not within 2 to 254", self.length)
    }
}

impl core::error::Error for LengthError {}

/// How long the frame is that starts with `header`; `None` when more bytes are needed to tell.
///
/// # Errors
/// A length field outside 2 to 254.
#[inline]
pub fn frame_len(header: &[u8]) -> Result<Option<usize>, LengthError> {
    let &[_, _, _, _, high, low, ..] = header else { return Ok(None) };
    let length = u16::from_be_bytes([high, low]);
    if (2..=254).contains(&length) { Ok(Some(6 + usize::from(length))) } else { Err(LengthError { length }) }
}

/// Whether a datagram is made of whole frames, at least one. Nothing of one that is not must be read: a stream that has
/// lost its place does not find it again.
#[must_use]
pub fn are_frames(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while !rest.is_empty() {
        match frame_len(rest) {
            Ok(Some(len)) if len <= rest.len() => rest = rest.get(len..).unwrap_or_default(),
            _ => return false,
        }
    }
    !datagram.is_empty()
}

/// Reads a whole frame; `None` when `adu` is too short for a header and a function code.
#[inline]
#[must_use]
pub fn split(adu: &[u8]) -> Option<Received<'_>> {
    let &[t1, t0, p1, p0, _, _, unit, ref pdu @ ..] = adu else { return None };
    let protocol = u16::from_be_bytes([p1, p0]);
    if pdu.is_empty() {
        return None;
    }
    Some(if protocol == 0 {
        let transaction = TransactionId(u16::from_be_bytes([t1, t0]));
        Received::Frame(Frame { transaction, unit: UnitId(unit), pdu })
    } else {
        Received::Foreign { protocol, adu }
    })
}

/// Finds frames in a stream that comes in pieces.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The front of a frame whose rest has not come yet; or a frame that was handed out last.
    held: [u8; ADU_MAX],
    len: usize,
    /// Whether `held` was handed out whole, so that it is not needed any more.
    spent: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// At the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Decoder { held: [0; ADU_MAX], len: 0, spent: false }
    }

    /// Whether the front of a frame is held: its rest has to come within the frame timeout.
    #[must_use]
    pub const fn is_midway(&self) -> bool {
        self.len != 0 && !self.spent
    }

    /// The next frame. Takes what it uses off the front of `input`; at `Ok(None)` it has taken all, and holds
    /// what is not a whole frame yet.
    ///
    /// # Errors
    /// A length field outside 2 to 254. The decoder stays at it: every further call fails in the same way.
    #[inline]
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Received<'s>>, LengthError> {
        if self.spent {
            self.len = 0;
            self.spent = false;
        }
        if self.len == 0
            && let Some(len) = frame_len(input)?
            && let Some((adu, rest)) = input.split_at_checked(len)
        {
            *input = rest;
            return Ok(split(adu));
        }
        self.next_held(input)
    }

    /// The frame lies in more than one piece.
    fn next_held<'s>(&'s mut self, input: &mut &[u8]) -> Result<Option<Received<'s>>, LengthError> {
        loop {
            let held = self.held.get(..self.len).unwrap_or_default();
            let want = frame_len(held)?.unwrap_or(6);
            if self.len >= want {
                self.spent = true;
                return Ok(split(self.held.get(..want).unwrap_or_default()));
            }
            let take = input.len().min(want - self.len);
            let (piece, rest) = input.split_at(take);
            if let Some(free) = self.held.get_mut(self.len..self.len + take) {
                free.copy_from_slice(piece);
            }
            self.len += take;
            *input = rest;
            if self.len < want {
                return Ok(None);
            }
        }
    }
}

/// The header in front of a PDU of `len` bytes, 1 to [`PDU_MAX`].
#[inline]
#[must_use]
pub fn header(transaction: TransactionId, unit: UnitId, len: usize) -> [u8; HEADER_LEN] {
    let ([t1, t0], [l1, l0]) = (transaction.0.to_be_bytes(), length_field(len).to_be_bytes());
    [t1, t0, 0, 0, l1, l0, unit.0]
}

/// Counts unit id and PDU.
fn length_field(pdu_len: usize) -> u16 {
    u16::try_from(pdu_len.min(PDU_MAX) + 1).unwrap_or_default()
}

/// Writes header and PDU to the front of `buffer`; [`ADU_MAX`] bytes are always enough.
///
/// # Errors
/// A PDU that is empty or longer than [`PDU_MAX`], or a small buffer.
#[inline]
pub fn emit<'b>(frame: &Frame<'_>, buffer: &'b mut [u8]) -> Result<&'b [u8], EmitError> {
    let len = frame.pdu.len();
    if len == 0 || len > PDU_MAX {
        return Err(EmitError::TooLong { len });
    }
    let mut out = crate::Writer::new(buffer);
    out.bytes(&header(frame.transaction, frame.unit, len))?.bytes(frame.pdu)?;
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Transaction id (or protocol id) and PDU of each frame, how it ended, whether a frame was under way.
    type All = (Vec<(u16, Vec<u8>)>, Option<LengthError>, bool);

    fn all(pieces: &[&[u8]]) -> All {
        let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
        for mut piece in pieces.iter().copied() {
            loop {
                match decoder.next(&mut piece) {
                    Ok(Some(Received::Frame(f))) => frames.push((f.transaction.0, f.pdu.to_vec())),
                    Ok(Some(Received::Foreign { protocol, adu })) => {
                        frames.push((0xF000 | protocol, adu.to_vec()));
                    }
                    Ok(None) => break,
                    Err(e) => return (frames, Some(e), decoder.is_midway()),
                }
            }
            assert!(piece.is_empty());
        }
        (frames, None, decoder.is_midway())
    }

    #[test]
    fn lengths_on_both_sides_of_the_limits() {
        for (length, ok) in [(0, false), (1, false), (2, true), (254, true), (255, false), (0xFFFF, false)] {
            let mut adu = std::vec![0, 7, 0, 0];
            adu.extend(u16::to_be_bytes(length));
            adu.extend(std::vec![3; usize::from(length).min(300)]);
            let (frames, error, _) = all(&[&adu]);
            assert_eq!(frames.len(), usize::from(ok), "length {length}");
            assert_eq!(error, (!ok).then_some(LengthError { length }), "length {length}");
        }
    }

    #[test]
    fn byte_by_byte_equals_all_at_once() {
        let stream = [
            &[0u8, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1][..],
            &[0, 2, 0, 9, 0, 3, 1, 0xAA, 0xBB],
            &[0, 3, 0, 0, 0, 2, 1, 7],
        ]
        .concat();
        let whole = all(&[&stream]);
        assert_eq!(whole.0.len(), 3);
        assert_eq!(whole.0[1].0, 0xF009);
        assert!(!whole.2);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(all(&bytes), whole);
        for cut in 0..stream.len() {
            let (a, b) = stream.split_at(cut);
            assert_eq!(all(&[a, b]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_bad_length_stays_bad() {
        let mut decoder = Decoder::new();
        let mut input: &[u8] = &[0, 1, 0, 0, 0];
        assert_eq!(decoder.next(&mut input), Ok(None));
        let mut input: &[u8] = &[1, 1, 3];
        assert_eq!(decoder.next(&mut input), Err(LengthError { length: 1 }));
        assert_eq!(decoder.next(&mut input), Err(LengthError { length: 1 }));
    }

    #[test]
    fn datagrams_are_made_of_whole_frames() {
        let frame = [0, 1, 0, 0, 0, 3, 1, 3, 2];
        let check = |datagram: &[u8], want| assert_eq!(are_frames(datagram), want, "{datagram:02x?}");
        check(&frame, true);
        check(&[frame, frame].concat(), true);
        check(&frame[..8], false);
        check(&frame[..5], false);
        check(&[&frame[..], &[0]].concat(), false);
        check(&[&frame[..], &frame[..8]].concat(), false);
        check(&[0, 1, 0, 0, 0, 1, 1], false);
        check(&[], false);
    }
}
