//! Classic pcap files (draft-ietf-opsawg-pcap).
//!
//! ```text
//!   file    magic 4 | version 2+2 | zone 4 | accuracy 4 | snap length 4 | link type 4      then records
//!   record  seconds 4 | fraction 4 | captured length 4 | original length 4 | packet
//!
//!   magic   a1 b2 c3 d4  microseconds, big endian        d4 c3 b2 a1  little endian
//!           a1 b2 3c 4d  nanoseconds                     4d 3c b2 a1
//! ```

use super::{CAPTURED_MAX, FormatError, Found, Order, Step};
use crate::{LinkType, Timestamp};

pub(super) const HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;
const LINK_TYPE_OFFSET: u64 = 20;

/// What the magic number tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    order: Order,
    nanos_per_fraction: u32,
}

impl Variant {
    pub(super) fn from_magic(magic: [u8; 4]) -> Option<Self> {
        let (order, nanos_per_fraction) = match magic {
            [0xA1, 0xB2, 0xC3, 0xD4] => (Order::Big, 1000),
            [0xD4, 0xC3, 0xB2, 0xA1] => (Order::Little, 1000),
            [0xA1, 0xB2, 0x3C, 0x4D] => (Order::Big, 1),
            [0x4D, 0x3C, 0xB2, 0xA1] => (Order::Little, 1),
            _ => return None,
        };
        Some(Self { order, nanos_per_fraction })
    }
}

#[derive(Debug, Clone)]
pub(super) struct Header {
    variant: Variant,
    link: LinkType,
}

impl Header {
    // The version, the zone and the snap length are not believed: writers get them wrong, and nothing depends on them.
    pub(super) fn parse(variant: Variant, header: &[u8; HEADER_LEN]) -> Result<Self, FormatError> {
        let field = variant.order.u32([header[20], header[21], header[22], header[23]]);
        // The upper bits tell the length of a frame check sequence, which IP's own length cuts off anyway.
        let [_, _, high, low] = field.to_be_bytes();
        match LinkType::from_number(u16::from_be_bytes([high, low])) {
            LinkType::Other(link_type) => {
                Err(FormatError::UnknownLinkType { offset: LINK_TYPE_OFFSET, link_type })
            }
            link => Ok(Self { variant, link }),
        }
    }

    #[inline]
    pub(super) fn step(&self, bytes: &[u8], offset: u64) -> Result<Step, FormatError> {
        let Some(h) = bytes.first_chunk::<RECORD_HEADER_LEN>() else {
            return Ok(Step::Need(RECORD_HEADER_LEN));
        };
        let u32 = |bytes| self.variant.order.u32(bytes);
        let seconds = u32([h[0], h[1], h[2], h[3]]);
        let fraction = u32([h[4], h[5], h[6], h[7]]);
        let captured = u32([h[8], h[9], h[10], h[11]]);
        let original_len = u32([h[12], h[13], h[14], h[15]]);
        let used = match usize::try_from(captured) {
            Ok(captured) if captured <= CAPTURED_MAX => RECORD_HEADER_LEN + captured,
            _ => return Err(FormatError::PacketTooLong { offset, claims: captured }),
        };
        if bytes.len() < used {
            return Ok(Step::Need(used));
        }
        let nanos = i64::from(fraction) * i64::from(self.variant.nanos_per_fraction);
        let at = Timestamp::from_nanos(i64::from(seconds) * 1_000_000_000 + nanos);
        let data = RECORD_HEADER_LEN..used;
        Ok(Step::Packet(Found { at, link: self.link, data, original_len, interface: 0, used }))
    }
}
