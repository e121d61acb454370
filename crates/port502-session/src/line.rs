//! Conversations on a line: frames of RTU and ASCII, which have no transaction ids (Serial Line V1.02).
//!
//! ```text
//!   client  [request to 5]                                 [request to 7] ..
//!   server 5               .. works ..  [answer of 5]
//!           |<-- t ------->|            |           |<--gap-->|
//!                                   nobody else may speak
//! ```
//!
//! One request is on its way at a time, and what belongs to it is told by its place and its content alone.
//! [`ClientLine`] takes as the answer what comes after the request, from the unit that was asked, and fits the
//! request in function, quantity and echo; everything else is passed over. [`ServerLine`] finds the frames that come,
//! those of other servers among them, and knows whether a request is still the last thing that was said.
//!
//! What a line cannot tell apart: an answer that comes after its request was given up, from the same unit and fitting
//! the next request as well (another address, the same function and quantity). Transaction ids are for that. What can
//! be done is done: whatever comes before the next request goes out is discarded, after a request that was given up
//! the line has to be quiet first, and the time that a request has should be longer than the slowest device takes.

mod client;
mod server;

pub use client::{ClientLine, Event, StartError, acknowledgement};
pub use server::{Heard, ServerLine};

use port502_wire::rtu::Hears;
use port502_wire::serial::{Frame, Received};
use port502_wire::{EmitError, ascii, rtu};

use crate::target::Framing;

/// The largest frame of either kind.
pub const ADU_MAX: usize = ascii::ADU_MAX;

/// Finds frames of either kind.
#[derive(Clone, Debug)]
enum Decoder {
    Rtu(rtu::Decoder),
    Ascii(ascii::Decoder),
}

impl Decoder {
    /// For a line that was quiet until now. MBAP has a header of its own, and sessions of its own: it is none of these.
    fn new(framing: Framing, hears: Hears, delimiter: u8) -> Self {
        match framing {
            Framing::Ascii => Decoder::Ascii(ascii::Decoder::new(delimiter)),
            Framing::Rtu | Framing::Mbap => Decoder::Rtu(rtu::Decoder::new(hears)),
        }
    }

    fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Received<'s>> {
        match self {
            Decoder::Rtu(decoder) => decoder.next(input),
            Decoder::Ascii(decoder) => decoder.next(input),
        }
    }

    fn quiet(&mut self) -> Option<Received<'_>> {
        match self {
            Decoder::Rtu(decoder) => decoder.quiet(),
            Decoder::Ascii(decoder) => decoder.quiet(),
        }
    }

    fn set_delimiter(&mut self, delimiter: u8) {
        if let Decoder::Ascii(decoder) = self {
            decoder.set_delimiter(delimiter);
        }
    }

    fn is_midway(&self) -> bool {
        match self {
            Decoder::Rtu(decoder) => decoder.is_midway(),
            Decoder::Ascii(decoder) => decoder.is_midway(),
        }
    }
}

/// Writes a frame to the front of `out`; an ASCII frame ends with `delimiter`.
///
/// # Errors
/// A PDU that is empty or too long.
pub fn emit<'b>(
    framing: Framing,
    frame: &Frame<'_>,
    delimiter: u8,
    out: &'b mut [u8; ADU_MAX],
) -> Result<&'b [u8], EmitError> {
    match framing {
        Framing::Ascii => ascii::emit(frame, delimiter, out),
        Framing::Rtu | Framing::Mbap => rtu::emit(frame, out),
    }
}

/// The character that ends ASCII frames once `request` was carried out, where it changes that: 08 sub-function 03
/// (V1.1b3, 6.8.1).
#[must_use]
pub fn changed_delimiter(request: &[u8]) -> Option<u8> {
    match request {
        [8, 0, 3, delimiter, 0] => Some(*delimiter),
        _ => None,
    }
}

/// What is still to come back of a frame that was sent, on a line that echoes.
#[derive(Clone, Debug, Default)]
struct Echo {
    frame: alloc::vec::Vec<u8>,
    /// How much of it has come back.
    heard: usize,
}

impl Echo {
    fn expect(&mut self, frame: &[u8]) {
        self.frame.clear();
        self.frame.extend_from_slice(frame);
        self.heard = 0;
    }

    fn forget(&mut self) {
        self.expect(&[]);
    }

    /// Takes the echo off the front of `input`; `false` when something else stands in its place.
    fn strip(&mut self, input: &mut &[u8]) -> bool {
        while let Some(wanted) = self.frame.get(self.heard) {
            match input.split_first() {
                None => return true,
                Some((byte, rest)) if byte == wanted => {
                    *input = rest;
                    self.heard += 1;
                }
                Some(_) => {
                    self.forget();
                    return false;
                }
            }
        }
        true
    }
}
