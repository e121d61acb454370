//! The requests that write a point: the usual function for it, or the one that was asked for.

use core::fmt;

use port502_wire::value::ValueType;
use port502_wire::{
    Bits, CoilBlock, EmitError, FunctionCode, PDU_MAX, RegisterBlock, Registers, Request, Span, Table,
};

use crate::{Cells, Point};

/// A function that writes coils or holding registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WriteFunction {
    /// 05: one coil in a request.
    SingleCoil,
    /// 06: one register in a request.
    SingleRegister,
    /// 15.
    MultipleCoils,
    /// 16.
    MultipleRegisters,
    /// 22: some bits of one register, in one step.
    Mask,
    /// 23: writes, and reads the same registers back in one step.
    ReadWrite,
}

impl WriteFunction {
    /// All of them, by function code.
    pub const ALL: [WriteFunction; 6] = [
        WriteFunction::SingleCoil,
        WriteFunction::SingleRegister,
        WriteFunction::MultipleCoils,
        WriteFunction::MultipleRegisters,
        WriteFunction::Mask,
        WriteFunction::ReadWrite,
    ];

    /// Its function code.
    #[must_use]
    pub const fn code(self) -> FunctionCode {
        match self {
            WriteFunction::SingleCoil => FunctionCode::WRITE_SINGLE_COIL,
            WriteFunction::SingleRegister => FunctionCode::WRITE_SINGLE_REGISTER,
            WriteFunction::MultipleCoils => FunctionCode::WRITE_MULTIPLE_COILS,
            WriteFunction::MultipleRegisters => FunctionCode::WRITE_MULTIPLE_REGISTERS,
            WriteFunction::Mask => FunctionCode::MASK_WRITE_REGISTER,
            WriteFunction::ReadWrite => FunctionCode::READ_WRITE_MULTIPLE_REGISTERS,
        }
    }

    /// The table that it writes.
    #[must_use]
    pub const fn table(self) -> Table {
        match self {
            WriteFunction::SingleCoil | WriteFunction::MultipleCoils => Table::Coils,
            _ => Table::HoldingRegisters,
        }
    }

    /// How many coils or registers one request writes.
    #[must_use]
    pub const fn max(self) -> u16 {
        match self {
            WriteFunction::SingleCoil | WriteFunction::SingleRegister | WriteFunction::Mask => 1,
            WriteFunction::MultipleCoils => 1968,
            WriteFunction::MultipleRegisters => 123,
            WriteFunction::ReadWrite => 121,
        }
    }
}

/// One request of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriteRequest {
    /// The function.
    pub function: WriteFunction,
    /// The first address.
    pub address: u16,
    /// What is written there; of a mask write what the bits of `mask` become.
    pub cells: Cells,
    /// The bits that a mask write changes.
    pub mask: u16,
}

/// Why a point cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WritePlanError {
    /// No function writes the table.
    NotWritable {
        /// The table.
        table: Table,
    },
    /// The function writes another table.
    OtherTable {
        /// The function that was asked for.
        function: WriteFunction,
    },
    /// Only a mask write leaves the other bits of a register alone.
    BitNeedsMask {
        /// The function that was asked for.
        function: WriteFunction,
    },
    /// More or fewer cells than the point takes, or of the wrong kind.
    Cells,
}

/// The requests that write `cells` to `point`, in order.
///
/// Without a function: one value in one request (05, 06, 16; 22 for a bit of a register), many values in as few
/// requests as hold them (15, 16). A value is not torn between two requests unless one cannot hold it.
///
/// ```
/// # use port502_site::{Point, write_plan::plan};
/// let point: Point = "h:100:f32".parse()?;
/// let requests = plan(&point, &point.parse_values("25")?, None)?;
/// assert_eq!(requests[0].pdu()?, [16, 0, 100, 0, 2, 4, 0x41, 0xC8, 0, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A table or a bit that cannot be written so.
pub fn plan(
    point: &Point,
    cells: &Cells,
    function: Option<WriteFunction>,
) -> Result<Vec<WriteRequest>, WritePlanError> {
    let table = point.table();
    if !table.is_writable() {
        return Err(WritePlanError::NotWritable { table });
    }
    let right_kind = matches!(cells, Cells::Bits(_)) == table.is_bits();
    if !right_kind || u32::try_from(cells.len()) != Ok(point.width()) {
        return Err(WritePlanError::Cells);
    }
    let bit = if let ValueType::Bit(bit) = point.value_type() { Some(bit) } else { None };
    let usual = match (table, bit, point.width()) {
        (Table::Coils, _, 1) => WriteFunction::SingleCoil,
        (Table::Coils, ..) => WriteFunction::MultipleCoils,
        (_, Some(_), _) => WriteFunction::Mask,
        (_, None, 1) => WriteFunction::SingleRegister,
        (_, None, _) => WriteFunction::MultipleRegisters,
    };
    let function = function.unwrap_or(usual);
    if function.table() != table {
        return Err(WritePlanError::OtherTable { function });
    }
    if bit.is_some() && function != WriteFunction::Mask {
        return Err(WritePlanError::BitNeedsMask { function });
    }
    let mask = match bit {
        Some(bit) if point.order().bytes_swapped => bit.mask().swap_bytes(),
        Some(bit) => bit.mask(),
        None => u16::MAX,
    };
    // Whole values, if one fits.
    let width = point.value_width();
    let step =
        usize::from(if function.max() < width { function.max() } else { function.max() / width * width });
    let request = |at: usize| {
        Some(WriteRequest {
            function,
            address: u16::try_from(usize::from(point.address()) + at).ok()?,
            cells: cells.part(at, step.min(cells.len() - at))?,
            mask,
        })
    };
    Ok((0..cells.len()).step_by(step).filter_map(request).collect())
}

impl WriteRequest {
    /// The PDU on the wire.
    ///
    /// # Errors
    /// Never for a request of a [`plan`], whose fields were not changed.
    pub fn pdu(&self) -> Result<Vec<u8>, EmitError> {
        let (mut scratch, mut buffer) = ([0; PDU_MAX], [0; PDU_MAX]);
        let too_long = EmitError::TooLong { len: self.cells.len() };
        let address = self.address;
        let request = match (self.function, &self.cells) {
            (WriteFunction::SingleCoil, Cells::Bits(bits)) => {
                Request::WriteSingleCoil { address, value: bits.contains(&true) }
            }
            (WriteFunction::MultipleCoils, Cells::Bits(bits)) => {
                let values = Bits::encode(bits, &mut scratch).ok_or(too_long)?;
                let block = CoilBlock::new(address, values).map_err(|_| too_long)?;
                Request::WriteMultipleCoils { block }
            }
            (WriteFunction::SingleRegister, Cells::Registers(registers)) => Request::WriteSingleRegister {
                address,
                value: registers.first().copied().unwrap_or_default(),
            },
            (WriteFunction::Mask, Cells::Registers(registers)) => {
                let or = registers.first().copied().unwrap_or_default() & self.mask;
                Request::MaskWriteRegister { address, and: !self.mask, or }
            }
            (WriteFunction::MultipleRegisters, Cells::Registers(registers)) => {
                let values = Registers::encode(registers, &mut scratch).ok_or(too_long)?;
                let block = RegisterBlock::new(address, values).map_err(|_| too_long)?;
                Request::WriteMultipleRegisters { block }
            }
            (WriteFunction::ReadWrite, Cells::Registers(registers)) => {
                let values = Registers::encode(registers, &mut scratch).ok_or(too_long)?;
                let write = RegisterBlock::new(address, values).map_err(|_| too_long)?;
                let read = Span::new(address, write.span().count()).map_err(|_| too_long)?;
                Request::ReadWriteMultipleRegisters { read, write }
            }
            _ => return Err(too_long),
        };
        Ok(request.emit(&mut buffer)?.to_vec())
    }
}

impl fmt::Display for WritePlanError {
    /// What is wrong, and what to try.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WritePlanError::NotWritable { table } => {
                write!(f, "no request writes the table {table}; only coil and holding are written")
            }
            WritePlanError::OtherTable { function } => {
                write!(f, "function {} writes the table {}; ", function.code(), function.table())?;
                f.write_str("leave it out, and the right one is chosen")
            }
            WritePlanError::BitNeedsMask { function } => {
                write!(f, "function {} would overwrite the other bits; ", function.code())?;
                f.write_str("use 22, or write the whole register as u16")
            }
            WritePlanError::Cells => f.write_str("the values are not as many as the point has"),
        }
    }
}

impl core::error::Error for WritePlanError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::any_point;
    use proptest::prelude::*;

    fn pdus(
        point: &str,
        text: &str,
        function: Option<WriteFunction>,
    ) -> Result<Vec<Vec<u8>>, WritePlanError> {
        let point: Point = point.parse().unwrap();
        let cells = point.parse_values(text).unwrap();
        Ok(plan(&point, &cells, function)?.iter().map(|request| request.pdu().unwrap()).collect())
    }

    #[track_caller]
    fn check(point: &str, text: &str, function: Option<WriteFunction>, want: &[&[u8]]) {
        let pdus = pdus(point, text, function).unwrap();
        assert_eq!(pdus, want, "{point}={text} {function:?}");
    }

    #[test]
    fn the_usual_function() {
        check("c:5", "on", None, &[&[5, 0, 5, 0xFF, 0]]);
        check("c:5*3", "1,0,1", None, &[&[15, 0, 5, 0, 3, 1, 0b101]]);
        check("h:5", "7", None, &[&[6, 0, 5, 0, 7]]);
        check("h:5*2", "7,8", None, &[&[16, 0, 5, 0, 2, 4, 0, 7, 0, 8]]);
        check("h:5:u32", "7", None, &[&[16, 0, 5, 0, 2, 4, 0, 0, 0, 7]]);
        check("h:5:bit3", "on", None, &[&[22, 0, 5, 0xFF, 0xF7, 0, 8]]);
        check("h:5:bit3", "off", None, &[&[22, 0, 5, 0xFF, 0xF7, 0, 0]]);
        check("h:5:bit3:ba", "on", None, &[&[22, 0, 5, 0xF7, 0xFF, 8, 0]]);
        check("h:5:bit3*2", "1,0", None, &[&[22, 0, 5, 0xFF, 0xF7, 0, 8], &[22, 0, 6, 0xFF, 0xF7, 0, 0]]);
    }

    #[test]
    fn a_function_that_was_asked_for() {
        use WriteFunction::{Mask, MultipleCoils, MultipleRegisters, ReadWrite, SingleCoil, SingleRegister};
        check("c:5*2", "1,0", Some(SingleCoil), &[&[5, 0, 5, 0xFF, 0], &[5, 0, 6, 0, 0]]);
        check("c:5", "1", Some(MultipleCoils), &[&[15, 0, 5, 0, 1, 1, 1]]);
        check("h:5:u32", "7", Some(SingleRegister), &[&[6, 0, 5, 0, 0], &[6, 0, 6, 0, 7]]);
        check("h:5", "7", Some(MultipleRegisters), &[&[16, 0, 5, 0, 1, 2, 0, 7]]);
        check("h:5", "7", Some(Mask), &[&[22, 0, 5, 0, 0, 0, 7]]);
        check("h:5", "7", Some(ReadWrite), &[&[23, 0, 5, 0, 1, 0, 5, 0, 1, 2, 0, 7]]);
        for (point, text, function, want) in [
            ("i:5", "7", None, WritePlanError::NotWritable { table: Table::InputRegisters }),
            ("d:5", "1", None, WritePlanError::NotWritable { table: Table::DiscreteInputs }),
            ("c:5", "1", Some(SingleRegister), WritePlanError::OtherTable { function: SingleRegister }),
            ("h:5", "1", Some(MultipleCoils), WritePlanError::OtherTable { function: MultipleCoils }),
            (
                "h:5:bit1",
                "1",
                Some(SingleRegister),
                WritePlanError::BitNeedsMask { function: SingleRegister },
            ),
        ] {
            assert_eq!(pdus(point, text, function), Err(want), "{point} {function:?}");
        }
    }

    #[test]
    fn values_are_not_torn() {
        let lengths = |point: &str| {
            let point: Point = point.parse().unwrap();
            let requests = plan(&point, &Cells::zeros(&point), None).unwrap();
            requests.iter().map(|request| request.cells.len()).collect::<Vec<_>>()
        };
        assert_eq!(lengths("h:0*123"), [123]);
        assert_eq!(lengths("h:0*124"), [123, 1]);
        assert_eq!(lengths("h:0:f32*62"), [122, 2]);
        assert_eq!(lengths("h:0:f64*31"), [120, 4]);
        assert_eq!(lengths("h:0:str250"), [123, 2]); // one request cannot hold it
        assert_eq!(lengths("c:0*1968"), [1968]);
        assert_eq!(lengths("c:0*1969"), [1968, 1]);
    }

    proptest! {
        #[test]
        fn a_plan_writes_every_cell(
            point in any_point(),
            function in prop::option::of(prop::sample::select(WriteFunction::ALL.to_vec())),
        ) {
            let cells = Cells::zeros(&point);
            if let Ok(requests) = plan(&point, &cells, function) {
                let mut next = usize::from(point.address());
                for request in &requests {
                    prop_assert_eq!(usize::from(request.address), next);
                    next += request.cells.len();
                    let pdu = request.pdu().unwrap();
                    prop_assert_eq!(pdu.first(), Some(&request.function.code().0));
                    prop_assert!(Request::parse(&pdu).is_ok());
                }
                prop_assert_eq!(next, usize::from(point.address()) + cells.len());
            }
        }
    }
}
