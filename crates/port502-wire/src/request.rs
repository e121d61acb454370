use crate::device_identification::MEI;
use crate::{
    Bits, CoilBlock, EmitError, FileReads, FileWrites, FunctionCode, PDU_MAX, PduError, ReadDeviceIdCode,
    RegisterBlock, Registers, Span, SubFunction, Writer, bits,
};

/// What a client asks of a server: a PDU whose structure and quantities the specification allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    /// 01, section 6.1.
    ReadCoils {
        /// Which.
        span: Span<2000>,
    },
    /// 02, section 6.2.
    ReadDiscreteInputs {
        /// Which.
        span: Span<2000>,
    },
    /// 03, section 6.3.
    ReadHoldingRegisters {
        /// Which.
        span: Span<125>,
    },
    /// 04, section 6.4.
    ReadInputRegisters {
        /// Which.
        span: Span<125>,
    },
    /// 05, section 6.5.
    WriteSingleCoil {
        /// Where.
        address: u16,
        /// On (0xFF00) or off (0x0000).
        value: bool,
    },
    /// 06, section 6.6.
    WriteSingleRegister {
        /// Where.
        address: u16,
        /// What.
        value: u16,
    },
    /// 07, section 6.7: eight bits whose meaning is the vendor's.
    ReadExceptionStatus,
    /// 08, section 6.8.
    Diagnostics {
        /// What to do; reserved numbers are kept.
        sub_function: SubFunction,
        /// Its argument, checked for the sub-functions that the specification defines.
        data: &'a [u8],
    },
    /// 11, section 6.9.
    GetCommEventCounter,
    /// 12, section 6.10.
    GetCommEventLog,
    /// 15, section 6.11.
    WriteMultipleCoils {
        /// Where and what.
        block: CoilBlock<'a>,
    },
    /// 16, section 6.12.
    WriteMultipleRegisters {
        /// Where and what.
        block: RegisterBlock<'a, 123>,
    },
    /// 17, section 6.13.
    ReportServerId,
    /// 20, section 6.14.
    ReadFileRecord {
        /// Which records of which files.
        records: FileReads<'a>,
    },
    /// 21, section 6.15.
    WriteFileRecord {
        /// Which records of which files, and what.
        records: FileWrites<'a>,
    },
    /// 22, section 6.16: the register becomes `(register & and) | (or & !and)`.
    MaskWriteRegister {
        /// Where.
        address: u16,
        /// The bits that stay.
        and: u16,
        /// What the others become.
        or: u16,
    },
    /// 23, section 6.17: writes first, then reads.
    ReadWriteMultipleRegisters {
        /// What is read.
        read: Span<125>,
        /// What is written, and where.
        write: RegisterBlock<'a, 121>,
    },
    /// 24, section 6.18.
    ReadFifoQueue {
        /// Where the queue's count stands.
        address: u16,
    },
    /// 43/14, section 6.21.
    ReadDeviceIdentification {
        /// Which objects.
        code: ReadDeviceIdCode,
        /// The first of them, or the one.
        object: u8,
    },
    /// 43 with any other MEI type: 13 is CANopen (section 6.20), opaque here; the rest are reserved.
    EncapsulatedInterface {
        /// The MEI type, never 14.
        mei: u8,
        /// What follows it.
        data: &'a [u8],
    },
    /// A function this crate has no type for. Kept whole: a guard must still judge it.
    Other {
        /// 1 to 127.
        function: u8,
        /// What follows it.
        data: &'a [u8],
    },
}

/// Two bytes as a number.
const fn word(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

/// The error of a body that should have `want` bytes.
#[cold]
pub(crate) fn wrong_length(function: u8, body: &[u8], want: usize) -> PduError {
    if body.len() < want {
        PduError::Truncated { function, offset: 1 + body.len() }
    } else {
        PduError::Trailing { function, offset: 1 + want }
    }
}

/// The error of a PDU above [`PDU_MAX`]: even there the function code is looked at first.
#[cold]
pub(crate) fn too_long(function: u8, len: usize, known: bool) -> PduError {
    if known { PduError::TooLong { function, len } } else { PduError::Function { function } }
}

#[inline(always)] // as Request::parse, of which it is half for a read
fn parse_span<const MAX: u16>(function: u8, body: &[u8]) -> Result<Span<MAX>, PduError> {
    let &[s1, s0, c1, c0] = body else { return Err(wrong_length(function, body, 4)) };
    Span::new(word(s1, s0), word(c1, c0)).map_err(|e| PduError::span(function, e))
}

/// Checks quantity and byte count of a multiple write, in this order; both are exception 03, and both come
/// before the address.
fn counted_values(
    function: u8,
    (count, max): (u16, u16),
    (byte_count, implied): (u8, usize),
    values: &[u8],
) -> Result<&[u8], PduError> {
    if count == 0 || count > max {
        return Err(PduError::Quantity { function, got: count, max });
    }
    if usize::from(byte_count) != implied || values.len() != implied {
        let implied = if usize::from(byte_count) == implied { values.len() } else { implied };
        let implied = u16::try_from(implied).unwrap_or(u16::MAX);
        return Err(PduError::ByteCount { function, got: byte_count.into(), implied });
    }
    Ok(values)
}

/// `offset` is where `body` starts in the PDU.
fn parse_register_block<const MAX: u16>(
    function: u8,
    offset: usize,
    body: &[u8],
) -> Result<RegisterBlock<'_, MAX>, PduError> {
    let &[s1, s0, c1, c0, byte_count, ref values @ ..] = body else {
        return Err(PduError::Truncated { function, offset: offset + body.len() });
    };
    let count = word(c1, c0);
    let values = counted_values(function, (count, MAX), (byte_count, 2 * usize::from(count)), values)?;
    let values = Registers::new(values).ok_or(PduError::Truncated { function, offset: offset + 5 })?;
    RegisterBlock::new(word(s1, s0), values).map_err(|e| PduError::span(function, e))
}

impl<'a> Request<'a> {
    /// Reads a request PDU to its end.
    ///
    /// # Errors
    /// The first thing that the specification does not allow, in the order in which a server has to look:
    /// function, structure and quantity, address. [`PduError::exception`] is the answer it is owed.
    // Always: a server's answer to a read is so short that building the value in memory for a call, and taking it
    // apart again behind it, is an eighth of it.
    #[inline(always)]
    pub fn parse(pdu: &'a [u8]) -> Result<Self, PduError> {
        let (&function, body) = pdu.split_first().ok_or(PduError::Empty)?;
        if pdu.len() > PDU_MAX {
            return Err(too_long(function, pdu.len(), FunctionCode(function).is_request()));
        }
        let exactly = |want: usize, request| {
            if body.len() == want { Ok(request) } else { Err(wrong_length(function, body, want)) }
        };
        Ok(match FunctionCode(function) {
            FunctionCode::READ_COILS => Request::ReadCoils { span: parse_span(function, body)? },
            FunctionCode::READ_DISCRETE_INPUTS => {
                Request::ReadDiscreteInputs { span: parse_span(function, body)? }
            }
            FunctionCode::READ_HOLDING_REGISTERS => {
                Request::ReadHoldingRegisters { span: parse_span(function, body)? }
            }
            FunctionCode::READ_INPUT_REGISTERS => {
                Request::ReadInputRegisters { span: parse_span(function, body)? }
            }
            FunctionCode::WRITE_SINGLE_COIL => {
                let &[a1, a0, v1, v0] = body else { return Err(wrong_length(function, body, 4)) };
                let value = match word(v1, v0) {
                    0xFF00 => true,
                    0x0000 => false,
                    got => return Err(PduError::Value { function, offset: 3, got }),
                };
                Request::WriteSingleCoil { address: word(a1, a0), value }
            }
            FunctionCode::WRITE_SINGLE_REGISTER => {
                let &[a1, a0, v1, v0] = body else { return Err(wrong_length(function, body, 4)) };
                Request::WriteSingleRegister { address: word(a1, a0), value: word(v1, v0) }
            }
            FunctionCode::READ_EXCEPTION_STATUS => exactly(0, Request::ReadExceptionStatus)?,
            FunctionCode::DIAGNOSTICS => {
                let &[s1, s0, ref data @ ..] = body else {
                    return Err(PduError::Truncated { function, offset: pdu.len() });
                };
                let sub_function = SubFunction(word(s1, s0));
                if !sub_function.takes(data) {
                    return Err(match *data {
                        [v1, v0] => PduError::Value { function, offset: 3, got: word(v1, v0) },
                        [_, _, ..] if sub_function != SubFunction::RETURN_QUERY_DATA => {
                            PduError::Trailing { function, offset: 5 }
                        }
                        _ => PduError::Truncated { function, offset: pdu.len() },
                    });
                }
                Request::Diagnostics { sub_function, data }
            }
            FunctionCode::GET_COMM_EVENT_COUNTER => exactly(0, Request::GetCommEventCounter)?,
            FunctionCode::GET_COMM_EVENT_LOG => exactly(0, Request::GetCommEventLog)?,
            FunctionCode::WRITE_MULTIPLE_COILS => {
                let &[s1, s0, c1, c0, byte_count, ref values @ ..] = body else {
                    return Err(PduError::Truncated { function, offset: pdu.len() });
                };
                let count = word(c1, c0);
                let implied = bits::bytes_for(count);
                let values = counted_values(function, (count, 1968), (byte_count, implied), values)?;
                let values = Bits::new(values, usize::from(count))
                    .ok_or(PduError::Truncated { function, offset: 6 })?;
                let block = CoilBlock::new(word(s1, s0), values).map_err(|e| PduError::span(function, e))?;
                Request::WriteMultipleCoils { block }
            }
            FunctionCode::WRITE_MULTIPLE_REGISTERS => {
                Request::WriteMultipleRegisters { block: parse_register_block(function, 1, body)? }
            }
            FunctionCode::REPORT_SERVER_ID => exactly(0, Request::ReportServerId)?,
            FunctionCode::READ_FILE_RECORD => {
                Request::ReadFileRecord { records: FileReads::parse(function, body)? }
            }
            FunctionCode::WRITE_FILE_RECORD => {
                Request::WriteFileRecord { records: FileWrites::parse(function, body)? }
            }
            FunctionCode::MASK_WRITE_REGISTER => {
                let &[a1, a0, n1, n0, o1, o0] = body else { return Err(wrong_length(function, body, 6)) };
                Request::MaskWriteRegister { address: word(a1, a0), and: word(n1, n0), or: word(o1, o0) }
            }
            FunctionCode::READ_WRITE_MULTIPLE_REGISTERS => {
                let Some((&[r1, r0, n1, n0], write)) = body.split_first_chunk() else {
                    return Err(PduError::Truncated { function, offset: pdu.len() });
                };
                // Every quantity (03) comes before any address (02).
                let read = Span::new(word(r1, r0), word(n1, n0));
                if let Err(error @ crate::SpanError::Count { .. }) = read {
                    return Err(PduError::span(function, error));
                }
                let write = parse_register_block(function, 5, write)?;
                let read = read.map_err(|e| PduError::span(function, e))?;
                Request::ReadWriteMultipleRegisters { read, write }
            }
            FunctionCode::READ_FIFO_QUEUE => {
                let &[a1, a0] = body else { return Err(wrong_length(function, body, 2)) };
                Request::ReadFifoQueue { address: word(a1, a0) }
            }
            FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT => match *body {
                [] => return Err(PduError::Truncated { function, offset: 1 }),
                [MEI, code, object] => {
                    let wrong = PduError::Value { function, offset: 2, got: code.into() };
                    let code = ReadDeviceIdCode::from_code(code).ok_or(wrong)?;
                    Request::ReadDeviceIdentification { code, object }
                }
                [MEI, ..] => return Err(wrong_length(function, body, 3)),
                [mei, ref data @ ..] => Request::EncapsulatedInterface { mei, data },
            },
            FunctionCode(0 | 0x80..) => return Err(PduError::Function { function }),
            FunctionCode(_) => Request::Other { function, data: body },
        })
    }

    /// The function code.
    #[must_use]
    pub const fn function(&self) -> FunctionCode {
        match self {
            Request::ReadCoils { .. } => FunctionCode::READ_COILS,
            Request::ReadDiscreteInputs { .. } => FunctionCode::READ_DISCRETE_INPUTS,
            Request::ReadHoldingRegisters { .. } => FunctionCode::READ_HOLDING_REGISTERS,
            Request::ReadInputRegisters { .. } => FunctionCode::READ_INPUT_REGISTERS,
            Request::WriteSingleCoil { .. } => FunctionCode::WRITE_SINGLE_COIL,
            Request::WriteSingleRegister { .. } => FunctionCode::WRITE_SINGLE_REGISTER,
            Request::ReadExceptionStatus => FunctionCode::READ_EXCEPTION_STATUS,
            Request::Diagnostics { .. } => FunctionCode::DIAGNOSTICS,
            Request::GetCommEventCounter => FunctionCode::GET_COMM_EVENT_COUNTER,
            Request::GetCommEventLog => FunctionCode::GET_COMM_EVENT_LOG,
            Request::WriteMultipleCoils { .. } => FunctionCode::WRITE_MULTIPLE_COILS,
            Request::WriteMultipleRegisters { .. } => FunctionCode::WRITE_MULTIPLE_REGISTERS,
            Request::ReportServerId => FunctionCode::REPORT_SERVER_ID,
            Request::ReadFileRecord { .. } => FunctionCode::READ_FILE_RECORD,
            Request::WriteFileRecord { .. } => FunctionCode::WRITE_FILE_RECORD,
            Request::MaskWriteRegister { .. } => FunctionCode::MASK_WRITE_REGISTER,
            Request::ReadWriteMultipleRegisters { .. } => FunctionCode::READ_WRITE_MULTIPLE_REGISTERS,
            Request::ReadFifoQueue { .. } => FunctionCode::READ_FIFO_QUEUE,
            Request::ReadDeviceIdentification { .. } | Request::EncapsulatedInterface { .. } => {
                FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT
            }
            Request::Other { function, .. } => FunctionCode(*function),
        }
    }

    /// Whether carrying it out twice is the same as once, so that it may be sent again when nobody knows
    /// whether it arrived. Only requests that change nothing are.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        matches!(
            self,
            Request::ReadCoils { .. }
                | Request::ReadDiscreteInputs { .. }
                | Request::ReadHoldingRegisters { .. }
                | Request::ReadInputRegisters { .. }
                | Request::ReadExceptionStatus
                | Request::GetCommEventCounter
                | Request::GetCommEventLog
                | Request::ReportServerId
                | Request::ReadFileRecord { .. }
                | Request::ReadFifoQueue { .. }
                | Request::ReadDeviceIdentification { .. }
        )
    }

    /// Writes the PDU to the front of `buffer` and returns it; [`PDU_MAX`] bytes are always enough.
    ///
    /// # Errors
    /// A small buffer, or an `Other` that no PDU can carry.
    #[inline]
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EmitError> {
        let mut out = Writer::new(buffer);
        out.u8(self.function().0)?;
        match *self {
            Request::ReadCoils { span } | Request::ReadDiscreteInputs { span } => {
                out.u16(span.start())?.u16(span.count())?;
            }
            Request::ReadHoldingRegisters { span } | Request::ReadInputRegisters { span } => {
                out.u16(span.start())?.u16(span.count())?;
            }
            Request::WriteSingleCoil { address, value } => {
                out.u16(address)?.u16(if value { 0xFF00 } else { 0 })?;
            }
            Request::WriteSingleRegister { address, value } => {
                out.u16(address)?.u16(value)?;
            }
            Request::ReadExceptionStatus
            | Request::GetCommEventCounter
            | Request::GetCommEventLog
            | Request::ReportServerId => {}
            Request::Diagnostics { sub_function, data } => {
                out.u16(sub_function.0)?.bytes(data)?;
            }
            Request::WriteMultipleCoils { block } => {
                out.u16(block.span().start())?.u16(block.span().count())?;
                emit_counted(&mut out, block.values().bytes())?;
            }
            Request::WriteMultipleRegisters { block } => emit_block(&mut out, block)?,
            Request::ReadFileRecord { records } => emit_counted(&mut out, records.bytes())?,
            Request::WriteFileRecord { records } => emit_counted(&mut out, records.bytes())?,
            Request::MaskWriteRegister { address, and, or } => {
                out.u16(address)?.u16(and)?.u16(or)?;
            }
            Request::ReadWriteMultipleRegisters { read, write } => {
                out.u16(read.start())?.u16(read.count())?;
                emit_block(&mut out, write)?;
            }
            Request::ReadFifoQueue { address } => {
                out.u16(address)?;
            }
            Request::ReadDeviceIdentification { code, object } => {
                out.u8(MEI)?.u8(code.code())?.u8(object)?;
            }
            Request::EncapsulatedInterface { mei, data } => {
                out.u8(mei)?.bytes(data)?;
            }
            Request::Other { function, data } => {
                if !FunctionCode(function).is_request() {
                    return Err(EmitError::Function { function });
                }
                out.bytes(data)?;
            }
        }
        finish(out)
    }
}

/// The PDU that was written, unless it is longer than a PDU may be.
pub(crate) fn finish(out: Writer<'_>) -> Result<&[u8], EmitError> {
    let pdu = out.finish();
    if pdu.len() > PDU_MAX { Err(EmitError::TooLong { len: pdu.len() }) } else { Ok(pdu) }
}

/// A byte count and the bytes.
pub(crate) fn emit_counted(out: &mut Writer<'_>, bytes: &[u8]) -> Result<(), EmitError> {
    let count = u8::try_from(bytes.len()).map_err(|_| EmitError::TooLong { len: bytes.len() })?;
    out.u8(count)?.bytes(bytes)?;
    Ok(())
}

fn emit_block<const MAX: u16>(out: &mut Writer<'_>, block: RegisterBlock<'_, MAX>) -> Result<(), EmitError> {
    out.u16(block.span().start())?.u16(block.span().count())?;
    emit_counted(out, block.values().bytes())
}
