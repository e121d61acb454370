//! The short way through an inspection: reads about which nothing is special, and the values that answer the oldest of them.
//!
//! ```text
//!   client ──► 12 bytes ──► Read ──► room, a new id ──► grants that hold whatever else ──► the same bytes, id written over
//!   client ◄── id written over, the same bytes ◄── as long as the read says ◄── the oldest open request ◄── server
//! ```
//!
//! Most of what comes is such, in runs of frames. A run is copied to where it goes, and each frame of it is looked at there,
//! every byte but the values; at the first that is not of this kind the run ends, having done nothing with it, and the long
//! way says what becomes of it. Whatever goes the short way would come out of the long way as the same bytes, and is told of
//! in the same counts.

use alloc::vec::Vec;
use core::mem;

use port502_session::Instant;
use port502_wire::mbap::{HEADER_LEN, TransactionId};
use port502_wire::{Read, UnitId};

use super::{Granted, Inspection};
use crate::open::{Asked, Open};
use crate::state::State;

/// A read with its header.
const READ_LEN: usize = HEADER_LEN + 5;

/// So many bytes of answers are copied at once: sixteen of thirty registers. Where every second frame goes the long way, no more
/// than this is copied in vain for each.
const RUN_LEN: usize = 1024;

impl Inspection {
    /// Takes reads off the front of `input`, where frames begin, as long as nothing is special about them and each item is
    /// allowed whatever else holds; they go to `out`. Whether there were any.
    // Inlined into all else, the loop has too few registers.
    #[inline(never)]
    pub(super) fn plain_requests(
        &mut self,
        state: &State,
        now: Instant,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(Granted { grants, stretch }) = &mut self.granted else { return false };
        if !state.reads_plainly(grants) || state.learned().is_some() || !self.unanswered.is_empty() {
            return false;
        }
        // Where something else comes first, nothing is copied.
        let Some([_, _, _, _, _, _, _, pdu @ ..]) = input.first_chunk::<READ_LEN>() else { return false };
        if Read::parse(pdu).is_none() {
            return false;
        }
        let room = READ_LEN * self.sanity.open.saturating_sub(self.open.len());
        let (begin, mut count) = (out.len(), 0);
        for adu in run(input, room, out).as_chunks_mut::<READ_LEN>().0 {
            let [t1, t0, p1, p0, l1, l0, unit, pdu @ ..] = adu;
            let (clients, unit) = (TransactionId(u16::from_be_bytes([*t1, *t0])), UnitId(*unit));
            let Some(read) = Read::parse(pdu) else { break };
            if !is_header([*p1, *p0, *l1, *l0], pdu.len()) || self.open.of_client(clients).is_some() {
                break;
            }
            // Mostly it is beside the read before.
            if !stretch.has(unit, &read) {
                let Some(found) = grants.plain_reads(unit, read) else { break };
                *stretch = found;
            }
            let transaction = self.open.free_id(&self.unanswered);
            let (request, since, asked) = (Asked::Read(read), now, state.generation());
            self.open.push(Open { transaction, clients, unit, request, since, asked });
            [*t1, *t0] = transaction.0.to_be_bytes();
            count += 1;
        }
        self.requests += count as u64;
        taken(READ_LEN * count, begin, input, out)
    }

    /// Takes answers off the front of `input`, where frames begin, as long as each is to the oldest open request, has the
    /// values that were asked for, and teaches nothing; they go to `out`. Whether there were any.
    #[inline(never)]
    pub(super) fn plain_responses(&mut self, state: &State, input: &mut &[u8], out: &mut Vec<u8>) -> bool {
        let first = self.open.first();
        if !first.is_some_and(|open| matches!(open.request, Asked::Read(_))) {
            return false;
        }
        let begin = out.len();
        let (mut len, mut count) = (0, 0);
        let mut rest = run(input, RUN_LEN, out);
        for open in self.open.waiting() {
            let Asked::Read(read) = &open.request else { break };
            let adu_len = HEADER_LEN + read.answer_len();
            let Some((adu, behind)) = mem::take(&mut rest).split_at_mut_checked(adu_len) else { break };
            let [t1, t0, p1, p0, l1, l0, unit, pdu @ ..] = adu else { break };
            let fits = u16::from_be_bytes([*t1, *t0]) == open.transaction.0
                && is_header([*p1, *p0, *l1, *l0], pdu.len())
                && UnitId(*unit) == open.unit
                && read.is_answered_by(pdu)
                && !state.learns_from(read);
            if !fits {
                break;
            }
            [*t1, *t0] = open.clients.0.to_be_bytes();
            self.recent.remember(open.transaction, true);
            rest = behind;
            len += adu_len;
            count += 1;
        }
        self.open.remove_first_reads(count);
        taken(len, begin, input, out)
    }
}

/// Whether these are protocol 0 and the length of a frame with such a PDU.
#[inline]
fn is_header(protocol_and_length: [u8; 4], pdu_len: usize) -> bool {
    u32::from_be_bytes(protocol_and_length) as usize == 1 + pdu_len
}

/// So many bytes as they come, at most, behind what is in `out`.
#[inline]
fn run<'o>(input: &[u8], len: usize, out: &'o mut Vec<u8>) -> &'o mut [u8] {
    let begin = out.len();
    out.extend_from_slice(input.get(..len).unwrap_or(input));
    out.get_mut(begin..).unwrap_or_default()
}

/// Of the run from `begin` on, so many bytes go on.
#[inline]
fn taken(len: usize, begin: usize, input: &mut &[u8], out: &mut Vec<u8>) -> bool {
    out.truncate(begin + len);
    *input = input.get(len..).unwrap_or_default();
    len != 0
}
