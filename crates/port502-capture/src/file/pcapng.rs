//! pcapng files (draft-ietf-opsawg-pcapng).
//!
//! ```text
//!   block                type 4 | total length 4 | body, padded to a multiple of 4 | total length 4
//!
//!   section header       body: 1A2B3C4D 4 | version 2+2 | section length 8 | options
//!   interface    (1)     body: link type 2 | 0 2 | snap length 4 | options: code 2 | length 2 | value, padded
//!   packet       (2)     body: interface 2 | drops 2 | time 4+4 | captured 4 | original 4 | packet     (obsolete)
//!   simple       (3)     body: original 4 | packet
//!   enhanced     (6)     body: interface 4 | time 4+4 | captured 4 | original 4 | packet | options
//! ```
//!
//! A section has a byte order and interfaces of its own. All other blocks are passed over.

use super::{BLOCK_MAX, CAPTURED_MAX, FormatError, Found, INTERFACES_MAX, Order, Step};
use crate::{LinkType, Timestamp};

/// The first four bytes of a section header, the same in both byte orders.
pub(super) const SECTION_HEADER: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];
const SECTION_HEADER_TYPE: u32 = u32::from_be_bytes(SECTION_HEADER);
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type, length, and the length again.
const BLOCK_LEN_MIN: usize = 12;
const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

#[derive(Debug, Clone)]
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
}

impl Default for Section {
    /// Before the first section header; that sets the order.
    fn default() -> Self {
        Self { order: Order::Little, interfaces: Vec::new() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    link: LinkType,
    /// 0: no limit.
    snap_len: u32,
    clock: Clock,
}

/// What one unit of an interface's time is.
#[derive(Debug, Clone, Copy)]
struct Clock {
    unit: Unit,
    offset_seconds: i64,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    /// 10^-n seconds.
    PowerOfTen(u8),
    /// 2^-n seconds.
    PowerOfTwo(u8),
}

impl Clock {
    const DEFAULT: Self = Self { unit: Unit::PowerOfTen(6), offset_seconds: 0 };

    fn timestamp(self, units: u64) -> Timestamp {
        let units = u128::from(units);
        let nanos = match self.unit {
            Unit::PowerOfTen(n @ 0..=9) => units * 10u128.pow(9 - u32::from(n)),
            // A u64 of units finer than 10^-28 s is less than a nanosecond.
            Unit::PowerOfTen(n) => {
                10u128.checked_pow(u32::from(n) - 9).map_or(0, |per_nano| units / per_nano)
            }
            Unit::PowerOfTwo(n) => (units * 1_000_000_000) >> n.min(127),
        };
        let offset = i128::from(self.offset_seconds) * 1_000_000_000;
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX).saturating_add(offset);
        let limit = if nanos < 0 { i64::MIN } else { i64::MAX };
        Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(limit))
    }
}

/// A block that is wholly there: its body, and where in the block the body starts.
#[derive(Clone, Copy)]
struct Block<'a> {
    order: Order,
    offset: u64,
    len: usize,
    body: &'a [u8],
}

const BODY_AT: usize = 8;

impl Block<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        self.body.get(at..)?.first_chunk().map(|bytes| self.order.u16(*bytes))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.body.get(at..)?.first_chunk().map(|bytes| self.order.u32(*bytes))
    }
}

impl Section {
    pub(super) fn step(&mut self, bytes: &[u8], offset: u64, last: Timestamp) -> Result<Step, FormatError> {
        let Some(head) = bytes.first_chunk::<8>() else { return Ok(Step::Need(8)) };
        let [t0, t1, t2, t3, l0, l1, l2, l3] = *head;
        if [t0, t1, t2, t3] == SECTION_HEADER {
            // A section says its byte order behind its length: that has to be read first.
            let Some(magic) = bytes.get(8..).and_then(|bytes| bytes.first_chunk::<4>()) else {
                return Ok(Step::Need(12));
            };
            self.order = match magic {
                [0x1A, 0x2B, 0x3C, 0x4D] => Order::Big,
                [0x4D, 0x3C, 0x2B, 0x1A] => Order::Little,
                found => return Err(FormatError::ByteOrder { offset, found: *found }),
            };
        }
        let block_type = self.order.u32([t0, t1, t2, t3]);
        let claims = self.order.u32([l0, l1, l2, l3]);
        let least = BLOCK_LEN_MIN
            + match block_type {
                SECTION_HEADER_TYPE => 16,
                INTERFACE => 8,
                PACKET | ENHANCED_PACKET => 20,
                SIMPLE_PACKET => 4,
                _ => 0,
            };
        let len = usize::try_from(claims).unwrap_or(usize::MAX);
        if len < least || !claims.is_multiple_of(4) {
            return Err(FormatError::BlockLength { offset, block_type, claims });
        }
        if least == BLOCK_LEN_MIN {
            // Names, statistics, secrets, custom blocks: nothing that a stream needs.
            return Ok(Step::Skip(u64::from(claims)));
        }
        if len > BLOCK_MAX {
            return Err(FormatError::BlockTooLong { offset, block_type, claims });
        }
        let Some(body) = bytes.get(BODY_AT..len - 4) else { return Ok(Step::Need(len)) };
        let Some(tail) = bytes.get(len - 4..).and_then(|tail| tail.first_chunk()) else {
            return Ok(Step::Need(len));
        };
        let end = self.order.u32(*tail);
        if end != claims {
            return Err(FormatError::BlockLengthsDiffer { offset, start: claims, end });
        }
        let block = Block { order: self.order, offset, len, body };
        let packet = match block_type {
            SECTION_HEADER_TYPE => {
                self.interfaces.clear();
                None
            }
            INTERFACE => {
                if self.interfaces.len() >= INTERFACES_MAX {
                    return Err(FormatError::TooManyInterfaces { offset });
                }
                self.interfaces.extend(Interface::parse(&block));
                None
            }
            PACKET => self.packet(&block, block.u16(0).map(u32::from))?,
            SIMPLE_PACKET => self.simple_packet(&block, last)?,
            _ => self.packet(&block, block.u32(0))?,
        };
        Ok(packet.map_or(Step::Skip(u64::from(claims)), Step::Packet))
    }

    fn interface(&self, block: &Block<'_>, interface: u32) -> Result<Interface, FormatError> {
        let found = usize::try_from(interface).ok().and_then(|index| self.interfaces.get(index));
        found.copied().ok_or(FormatError::UnknownInterface { offset: block.offset, interface })
    }

    /// An enhanced packet or an obsolete one: they differ only in the width of the interface number.
    fn packet(&self, block: &Block<'_>, interface: Option<u32>) -> Result<Option<Found>, FormatError> {
        let (Some(interface), Some(high), Some(low), Some(captured), Some(original_len)) =
            (interface, block.u32(4), block.u32(8), block.u32(12), block.u32(16))
        else {
            return Ok(None); // cannot be: the least length was checked
        };
        let Interface { link, clock, .. } = self.interface(block, interface)?;
        let at = clock.timestamp(u64::from(high) << 32 | u64::from(low));
        block.found(20, captured, original_len, at, link, interface).map(Some)
    }

    /// A simple packet has no captured length: it is what the snap length of the first interface leaves.
    fn simple_packet(&self, block: &Block<'_>, last: Timestamp) -> Result<Option<Found>, FormatError> {
        let Some(original_len) = block.u32(0) else { return Ok(None) };
        let Interface { link, snap_len, .. } = self.interface(block, 0)?;
        let captured = if snap_len == 0 { original_len } else { original_len.min(snap_len) };
        // Some writers cut the packet to less than the snap length: what is there counts.
        let room = u32::try_from(block.body.len().saturating_sub(4)).unwrap_or(u32::MAX);
        block.found(4, captured.min(room), original_len, last, link, 0).map(Some)
    }
}

impl Block<'_> {
    fn found(
        &self,
        data_at: usize,
        captured: u32,
        original_len: u32,
        at: Timestamp,
        link: LinkType,
        interface: u32,
    ) -> Result<Found, FormatError> {
        let offset = self.offset;
        let room = self.body.len().saturating_sub(data_at);
        match usize::try_from(captured) {
            Ok(len) if len <= CAPTURED_MAX && len <= room => {
                let start = BODY_AT + data_at;
                let data = start..start + len;
                Ok(Found { at, link, data, original_len, interface, used: self.len })
            }
            Ok(len) if len <= CAPTURED_MAX => {
                Err(FormatError::PacketPastBlock { offset, claims: captured, room })
            }
            _ => Err(FormatError::PacketTooLong { offset, claims: captured }),
        }
    }
}

impl Interface {
    fn parse(block: &Block<'_>) -> Option<Self> {
        let link = LinkType::from_number(block.u16(0)?);
        let snap_len = block.u32(4)?;
        let mut clock = Clock::DEFAULT;
        let mut at = 8;
        // Options that run past the block end the list: the packets are worth more than a damaged comment.
        while let (Some(code), Some(len)) = (block.u16(at), block.u16(at + 2)) {
            let value_at = at + 4;
            let Some(value) = block.body.get(value_at..value_at + usize::from(len)) else { break };
            match (code, value) {
                (0, _) => break,
                (OPTION_TIME_RESOLUTION, &[resolution]) => {
                    clock.unit = if resolution & 0x80 == 0 {
                        Unit::PowerOfTen(resolution)
                    } else {
                        Unit::PowerOfTwo(resolution & 0x7F)
                    };
                }
                (OPTION_TIME_OFFSET, value) => {
                    if let Ok(seconds) = <[u8; 8]>::try_from(value) {
                        clock.offset_seconds = block.order.u64(seconds).cast_signed();
                    }
                }
                _ => {}
            }
            at = value_at + usize::from(len).next_multiple_of(4);
        }
        Some(Self { link, snap_len, clock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks() {
        let ten = |n| Clock { unit: Unit::PowerOfTen(n), offset_seconds: 0 };
        let two = |n| Clock { unit: Unit::PowerOfTwo(n), offset_seconds: 0 };
        let rows = [
            (Clock::DEFAULT, 1_000_001, 1_000_001_000),
            (ten(0), 3, 3_000_000_000),
            (ten(9), 7, 7),
            (ten(12), 7_999, 7),
            (ten(127), u64::MAX, 0),
            (ten(0), u64::MAX, i64::MAX),
            (two(0), 2, 2_000_000_000),
            (two(10), 512, 500_000_000),
            (two(127), u64::MAX, 0),
            (Clock { unit: Unit::PowerOfTen(9), offset_seconds: 2 }, 5, 2_000_000_005),
            (Clock { unit: Unit::PowerOfTen(9), offset_seconds: i64::MIN }, 5, i64::MIN),
        ];
        for (clock, units, want) in rows {
            assert_eq!(clock.timestamp(units).nanos(), want, "{clock:?} {units}");
        }
    }
}
