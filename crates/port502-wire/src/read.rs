use crate::bits::bytes_for;
use crate::{FunctionCode, Table};

/// A read of one table: functions 01 to 04, whole, and within what the specification allows.
///
/// Most requests are such, and [`Request::parse`](crate::Request::parse) says the same of them at several times the cost.
///
/// ```
/// use port502_wire::{Read, Table};
///
/// let read = Read::parse(&[0x03, 0x00, 0x6B, 0x00, 0x03]).ok_or("a read of holding registers")?;
/// assert_eq!((read.table(), read.first(), read.last()), (Table::HoldingRegisters, 107, 109));
/// assert!(read.is_answered_by(&[0x03, 0x06, 0, 1, 0, 2, 0, 3]));
/// assert_eq!(Read::parse(&[0x06, 0x00, 0x6B, 0x00, 0x03]), None);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Read {
    /// A request as it is on the wire: parsing has shown that it is one.
    pdu: [u8; 5],
}

impl Read {
    /// Reads a request; `None` when it is another, or none: only [`Request::parse`](crate::Request::parse) knows why.
    #[inline]
    #[must_use]
    pub const fn parse(pdu: &[u8]) -> Option<Self> {
        let &[function, s1, s0, c1, c0] = pdu else { return None };
        let read = Read { pdu: [function, s1, s0, c1, c0] };
        if read.is_one() { Some(read) } else { None }
    }

    /// Whether its function reads a table, and so many items of it from there on.
    #[inline]
    const fn is_one(&self) -> bool {
        let count_max = match table(self.pdu[0]) {
            Some(table) => table.read_max(),
            None => 0,
        };
        // What lies behind the first item: a quantity of 0 says more than any limit so.
        let others = self.count().wrapping_sub(1);
        others < count_max && self.first().checked_add(others).is_some()
    }

    /// The request's bytes.
    #[inline]
    #[must_use]
    pub const fn pdu(&self) -> &[u8; 5] {
        &self.pdu
    }

    /// 01 to 04.
    #[inline]
    #[must_use]
    pub const fn function(&self) -> FunctionCode {
        FunctionCode(self.pdu[0])
    }

    /// Which table.
    #[inline]
    #[must_use]
    pub const fn table(&self) -> Table {
        match table(self.pdu[0]) {
            Some(table) => table,
            // `parse` has looked.
            None => Table::HoldingRegisters,
        }
    }

    /// The address of the first item, 0-based.
    #[inline]
    #[must_use]
    pub const fn first(&self) -> u16 {
        u16::from_be_bytes([self.pdu[1], self.pdu[2]])
    }

    /// How many items, 1 to [`Table::read_max`].
    #[inline]
    #[must_use]
    pub const fn count(&self) -> u16 {
        u16::from_be_bytes([self.pdu[3], self.pdu[4]])
    }

    /// The address of the last item.
    #[inline]
    #[must_use]
    pub const fn last(&self) -> u16 {
        // `parse` checked that this does not overflow.
        self.first().wrapping_add(self.count() - 1)
    }

    /// How many bytes the PDU has that answers this with values.
    #[inline]
    #[must_use]
    pub const fn answer_len(&self) -> usize {
        2 + value_bytes(self.table(), self.count())
    }

    /// Whether a response is to this, and has as many values as were asked for. An exception answers it too, and is none.
    #[inline]
    #[must_use]
    pub fn is_answered_by(&self, response: &[u8]) -> bool {
        let [function, value_bytes, ..] = response else { return false };
        *function == self.function().0
            && response.len() == self.answer_len()
            && response.len() == 2 + usize::from(*value_bytes)
    }
}

/// How many bytes so many items of a table take up.
#[inline]
pub(crate) const fn value_bytes(table: Table, count: u16) -> usize {
    if table.is_bits() { bytes_for(count) } else { count as usize * 2 }
}

#[inline]
pub(crate) const fn table(function: u8) -> Option<Table> {
    match FunctionCode(function) {
        FunctionCode::READ_COILS => Some(Table::Coils),
        FunctionCode::READ_DISCRETE_INPUTS => Some(Table::DiscreteInputs),
        FunctionCode::READ_HOLDING_REGISTERS => Some(Table::HoldingRegisters),
        FunctionCode::READ_INPUT_REGISTERS => Some(Table::InputRegisters),
        _ => None,
    }
}
