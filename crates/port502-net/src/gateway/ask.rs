//! What is asked: a request PDU that the strict parser has read to the end, and what it means for others.

use std::ops::RangeInclusive;

use port502_wire::{ExceptionCode, Read, Request, Table, UnitId};

/// A read of one table of a unit: what makes two reads the same. In bytes that sort by unit, table and first address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ReadKey([u8; 8]);

impl ReadKey {
    /// Of nothing.
    pub(super) const NONE: ReadKey = ReadKey([0; 8]);

    pub(super) fn new(unit: u8, function: u8, start: u16, count: u16) -> Self {
        let ([s1, s0], [c1, c0]) = (start.to_be_bytes(), count.to_be_bytes());
        ReadKey([0, 0, unit, function, s1, s0, c1, c0])
    }

    #[inline]
    pub(super) fn of(unit: UnitId, read: &Read) -> Self {
        // Put together as a number: eight single bytes cost as many writes, and then a read that waits for them.
        let [function, s1, s0, c1, c0] = *read.pdu();
        let pdu = u64::from(u32::from_be_bytes([function, s1, s0, c1])) << 8 | u64::from(c0);
        ReadKey((u64::from(unit.get()) << 40 | pdu).to_be_bytes())
    }

    pub(super) fn lowest(unit: u8, function: u8, start: u16) -> Self {
        Self::new(unit, function, start, 0)
    }

    pub(super) fn highest(unit: u8, function: u8, start: u16) -> Self {
        Self::new(unit, function, start, u16::MAX)
    }

    #[inline]
    pub(super) fn number(self) -> u64 {
        u64::from_be_bytes(self.0)
    }

    pub(super) fn unit(self) -> u8 {
        self.0[2]
    }

    /// The request.
    #[inline]
    pub(super) fn pdu(&self) -> &[u8; 5] {
        let [_, _, _, pdu @ ..] = &self.0;
        pdu
    }

    /// The last address that is read.
    pub(super) fn last(self) -> u16 {
        let [.., s1, s0, c1, c0] = self.0;
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
pub(super) fn effect(pdu: &[u8]) -> Result<Effect, ExceptionCode> {
    if let Some(read) = Read::parse(pdu) {
        return Ok(Effect::Read { table: read.table(), start: read.first(), count: read.count() });
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pdu: &[u8], want: Result<Effect, ExceptionCode>) {
        assert_eq!(effect(pdu), want, "request {pdu:02x?}");
        if let Some(read) = Read::parse(pdu) {
            let key = ReadKey::of(UnitId(7), &read);
            assert_eq!((&key.pdu()[..], key.unit()), (pdu, 7));
            assert_eq!(key, ReadKey::new(7, pdu[0], read.first(), read.count()));
            assert_eq!(key.last(), read.last());
        }
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
