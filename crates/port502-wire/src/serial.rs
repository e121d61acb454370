//! What RTU and ASCII share: the frame of a serial line, and the line's timing (Serial Line V1.02, 2.5).
//!
//! ```text
//!      |<- t0 ->|<------ frame 1 ------>|<- at least t3.5 ->|<------ frame 2 ------>|
//!      |        | . . . . . . . . . . . |                   | . .   . . . . . . . . |
//!                                                              |<->|
//!                                                              at most t1.5 between two characters
//! ```
//!
//! ```
//! use core::{num::NonZeroU32, time::Duration};
//! use port502_wire::serial::{t1_5, t3_5};
//!
//! let baud = NonZeroU32::new(9600).unwrap();
//! assert_eq!(t1_5(baud), Duration::from_micros(1719));
//! assert_eq!(t3_5(baud), Duration::from_micros(4011));
//! ```

use crate::{PDU_MAX, UnitId};
use core::num::NonZeroU32;
use core::time::Duration;

/// One frame of a serial line, its check already found right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Which unit is meant, or answers. 0 is the broadcast.
    pub unit: UnitId,
    /// 1 to [`PDU_MAX`] bytes, not yet parsed.
    pub pdu: &'a [u8],
}

/// What a decoder finds on a line. Every byte that it is given becomes part of one of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received<'a> {
    /// A frame with a right check.
    Frame(Frame<'a>),
    /// Enough for a frame, and the check is wrong: what FC8's sub-function 12 counts.
    CheckError {
        /// How many bytes were dropped.
        bytes: usize,
    },
    /// What cannot be a frame: bytes between frames, or the piece of one.
    Noise {
        /// How many bytes were dropped.
        bytes: usize,
    },
}

/// Start bit, eight data bits, parity, stop bit; without parity there are two stop bits (2.5.1).
const BITS_PER_CHARACTER: u64 = 11;

/// The longest silence between two characters of one RTU frame: the time of 1.5 characters.
///
/// Few receivers can hold a sender to it: what comes through a USB adapter, a pseudo terminal or TCP has lost its
/// timing. [`rtu::Decoder`](crate::rtu::Decoder) does not ask for it.
#[must_use]
pub const fn t1_5(baud: NonZeroU32) -> Duration {
    silence(baud, 3, 750)
}

/// The shortest silence between two RTU frames: the time of 3.5 characters.
#[must_use]
pub const fn t3_5(baud: NonZeroU32) -> Duration {
    silence(baud, 7, 1750)
}

/// How long `bytes` characters take on the line.
#[must_use]
pub const fn transmission(baud: NonZeroU32, bytes: u32) -> Duration {
    half_characters(baud, 2 * bytes as u64)
}

const fn silence(baud: NonZeroU32, halves: u64, fixed_us: u64) -> Duration {
    // Above 19200 baud the specification recommends fixed intervals, because timers that short would load a
    // slow CPU with interrupts.
    if baud.get() > 19_200 { Duration::from_micros(fixed_us) } else { half_characters(baud, halves) }
}

/// Rounded up: a silence that is a little too long does no harm.
const fn half_characters(baud: NonZeroU32, halves: u64) -> Duration {
    Duration::from_micros((halves * BITS_PER_CHARACTER * 500_000).div_ceil(baud.get() as u64))
}

/// Whether a frame can carry so many bytes of PDU.
pub(crate) const fn is_pdu_len(len: usize) -> bool {
    len != 0 && len <= PDU_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(baud: u32, t1_5_us: u64, t3_5_us: u64) {
        let baud = NonZeroU32::new(baud).unwrap();
        assert_eq!(t1_5(baud), Duration::from_micros(t1_5_us), "t1.5 at {baud}");
        assert_eq!(t3_5(baud), Duration::from_micros(t3_5_us), "t3.5 at {baud}");
    }

    #[test]
    fn silences_by_baud_rate() {
        check(1, 16_500_000, 38_500_000);
        check(1200, 13_750, 32_084);
        check(9600, 1719, 4011);
        check(19_200, 860, 2006);
        check(19_201, 750, 1750);
        check(115_200, 750, 1750);
        check(u32::MAX, 750, 1750);
    }

    #[test]
    fn transmissions() {
        let baud = NonZeroU32::new(19_200).unwrap();
        assert_eq!(transmission(baud, 0), Duration::ZERO);
        assert_eq!(transmission(baud, 256), Duration::from_micros(146_667));
        assert_eq!(transmission(NonZeroU32::MIN, u32::MAX).as_secs(), 11 * u64::from(u32::MAX));
    }
}
