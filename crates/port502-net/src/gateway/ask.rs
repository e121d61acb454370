//! What is asked: a request PDU that the strict parser has read to the end, and what it means for others.

use std::ops::RangeInclusive;

use port502_wire::{ExceptionCode, Read, Request, Table};

/// A read of one table, in a number that sorts by unit, table and first address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ReadKey(u64);

impl ReadKey {
    pub(super) fn new(unit: u8, function: u8, start: u16, count: u16) -> Self {
        let of = u64::from(unit) << 8 | u64::from(function);
        ReadKey(of << 32 | u64::from(start) << 16 | u64::from(count))
    }

    pub(super) fn lowest(unit: u8, function: u8, start: u16) -> Self {
        Self::new(unit, function, start, 0)
    }

    pub(super) fn highest(unit: u8, function: u8, start: u16) -> Self {
        Self::new(unit, function, start, u16::MAX)
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    pub(super) fn unit(self) -> u8 {
        self.0.to_be_bytes()[2]
    }

    /// The last address that is read.
    pub(super) fn last(self) -> u16 {
        let [_, _, _, _, s1, s0, c1, c0] = self.0.to_be_bytes();
        u16::from_be_bytes([s1, s0]).saturating_add(u16::from_be_bytes([c1, c0]).saturating_sub(1))
    }
}

/// What a request does to a device, as far as others have to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// Reads one table, functions 01 to 04: others can share the answer.
    Read { table: Table, start: u16, count: u16 },
    /// Reads something else, and changes nothing.
    Look,
    /// Writes these addresses, and may read too.
    Write { table: Table, addresses: RangeInclusive<u16> },
    /// May do anything.
    Unknown,
}

/// What `pdu` asks for.
///
/// # Errors
/// The exception that is owed for a request that the strict parser refuses.
#[inline]
pub(super) fn effect(pdu: &[u8]) -> Result<Effect, ExceptionCode> {
    if let Some(read) = Read::parse(pdu) {
        return Ok(Effect::Read { table: read.table(), start: read.first(), count: read.count() });
    }
    effect_of_any(pdu)
}

#[inline(never)]
fn effect_of_any(pdu: &[u8]) -> Result<Effect, ExceptionCode> {
    let request = Request::parse(pdu).map_err(port502_wire::PduError::exception)?;
    let write = |table, start: u16, count: u16| Effect::Write {
        table,
        addresses: start..=start.saturating_add(count.saturating_sub(1)),
    };
    Ok(match &request {
        Request::WriteSingleCoil { address, .. } => write(Table::Coils, *address, 1),
        Request::WriteSingleRegister { address, .. } | Request::MaskWriteRegister { address, .. } => {
            write(Table::HoldingRegisters, *address, 1)
        }
        Request::WriteMultipleCoils { block } => {
            write(Table::Coils, block.span().start(), block.span().count())
        }
        Request::WriteMultipleRegisters { block } => {
            write(Table::HoldingRegisters, block.span().start(), block.span().count())
        }
        Request::ReadWriteMultipleRegisters { write: block, .. } => {
            write(Table::HoldingRegisters, block.span().start(), block.span().count())
        }
        request if request.is_read() => Effect::Look,
        _ => Effect::Unknown,
    })
}

/// A request PDU. Most are five bytes long, and those are kept without an allocation.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    Short { len: u8, bytes: [u8; SHORT_MAX] },
    Long(Box<[u8]>),
}

const SHORT_MAX: usize = 14;

impl Bytes {
    /// None, which takes no memory.
    pub(super) const NONE: Bytes = Bytes::Short { len: 0, bytes: [0; SHORT_MAX] };

    #[inline]
    pub(super) fn new(pdu: &[u8]) -> Self {
        let mut bytes = [0; SHORT_MAX];
        // A copy whose length the compiler knows is a few instructions in the place of a call.
        if let (Ok(five), Some(room)) = (<&[u8; 5]>::try_from(pdu), bytes.first_chunk_mut()) {
            *room = *five;
            return Bytes::Short { len: 5, bytes };
        }
        Self::of_any_length(pdu)
    }

    fn of_any_length(pdu: &[u8]) -> Self {
        let mut bytes = [0; SHORT_MAX];
        match (bytes.get_mut(..pdu.len()), u8::try_from(pdu.len())) {
            (Some(room), Ok(len)) => {
                room.copy_from_slice(pdu);
                Bytes::Short { len, bytes }
            }
            _ => Bytes::Long(pdu.into()),
        }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
        }
    }

    /// The function code.
    #[inline]
    pub(super) fn function(&self) -> u8 {
        self.as_slice().first().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pdu: &[u8], want: Result<Effect, ExceptionCode>) {
        assert_eq!(effect(pdu), want, "request {pdu:02x?}");
        assert_eq!(Bytes::new(pdu).as_slice(), pdu);
    }

    #[test]
    fn effects() {
        let read = |table, start, count| Ok(Effect::Read { table, start, count });
        let write = |table, addresses| Ok(Effect::Write { table, addresses });
        check(&[1, 0, 9, 0, 8], read(Table::Coils, 9, 8));
        check(&[2, 0, 9, 0, 8], read(Table::DiscreteInputs, 9, 8));
        check(&[3, 0, 9, 0, 8], read(Table::HoldingRegisters, 9, 8));
        check(&[4, 0, 9, 0, 8], read(Table::InputRegisters, 9, 8));
        check(&[3, 0, 9, 0, 0], Err(ExceptionCode::IllegalDataValue));
        check(&[3, 0, 9, 0, 8, 0], Err(ExceptionCode::IllegalDataValue));
        check(&[5, 0, 9, 0xFF, 0], write(Table::Coils, 9..=9));
        check(&[6, 0, 9, 0xFF, 0], write(Table::HoldingRegisters, 9..=9));
        check(&[15, 0, 9, 0, 10, 2, 1, 1], write(Table::Coils, 9..=18));
        check(&[16, 0, 9, 0, 2, 4, 0, 1, 0, 2], write(Table::HoldingRegisters, 9..=10));
        check(&[22, 0, 9, 0, 2, 0, 1], write(Table::HoldingRegisters, 9..=9));
        check(&[23, 0, 0, 0, 1, 0, 9, 0, 2, 4, 0, 1, 0, 2], write(Table::HoldingRegisters, 9..=10));
        check(&[24, 0, 9], Ok(Effect::Look));
        check(&[43, 14, 1, 0], Ok(Effect::Look));
        check(&[8, 0, 0, 1, 2], Ok(Effect::Unknown));
        check(&[90, 1, 2, 3], Ok(Effect::Unknown));
        check(&[16; 40], Err(ExceptionCode::IllegalDataValue));
    }
}
