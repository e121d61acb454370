use crate::device_identification::MEI;
use crate::read;
use crate::request::{emit_counted, finish, too_long, wrong_length};
use crate::{
    Bits, DeviceIdentification, EmitError, ExceptionCode, FileWrites, FunctionCode, PDU_MAX, PduError,
    RecordsRead, Registers, Request, SubFunction, Writer,
};

/// What a server answers: a PDU whose structure the specification allows.
///
/// Whether it answers a given request is [`Response::answers`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Response<'a> {
    /// 01. The quantity is the request's: here it is the byte count times eight.
    ReadCoils {
        /// With the bits that pad the last byte.
        bits: Bits<'a>,
    },
    /// 02, as 01.
    ReadDiscreteInputs {
        /// With the bits that pad the last byte.
        bits: Bits<'a>,
    },
    /// 03.
    ReadHoldingRegisters {
        /// 1 to 125.
        registers: Registers<'a>,
    },
    /// 04.
    ReadInputRegisters {
        /// 1 to 125.
        registers: Registers<'a>,
    },
    /// 05: the request's echo.
    WriteSingleCoil {
        /// Where.
        address: u16,
        /// What.
        value: bool,
    },
    /// 06: the request's echo.
    WriteSingleRegister {
        /// Where.
        address: u16,
        /// What.
        value: u16,
    },
    /// 07.
    ReadExceptionStatus {
        /// Eight bits whose meaning is the vendor's.
        status: u8,
    },
    /// 08.
    Diagnostics {
        /// The request's.
        sub_function: SubFunction,
        /// An echo, or a counter.
        data: &'a [u8],
    },
    /// 11.
    GetCommEventCounter {
        /// 0xFFFF while a program command is being processed, else 0.
        status: u16,
        /// Messages completed without an exception.
        events: u16,
    },
    /// 12.
    GetCommEventLog {
        /// As for 11.
        status: u16,
        /// As for 11.
        events: u16,
        /// Messages processed since restart.
        messages: u16,
        /// 0 to 64 event bytes, the newest first.
        log: &'a [u8],
    },
    /// 15.
    WriteMultipleCoils {
        /// The first address.
        start: u16,
        /// How many were written.
        count: u16,
    },
    /// 16.
    WriteMultipleRegisters {
        /// The first address.
        start: u16,
        /// How many were written.
        count: u16,
    },
    /// 17. How much of it is the id and where the run indicator (00 off, FF on) stands is the device's.
    ReportServerId {
        /// Server id, run indicator, additional data.
        data: &'a [u8],
    },
    /// 20.
    ReadFileRecord {
        /// A run of registers for each that was asked for.
        records: RecordsRead<'a>,
    },
    /// 21: the request's echo.
    WriteFileRecord {
        /// What was written.
        records: FileWrites<'a>,
    },
    /// 22: the request's echo.
    MaskWriteRegister {
        /// Where.
        address: u16,
        /// The bits that stay.
        and: u16,
        /// What the others become.
        or: u16,
    },
    /// 23.
    ReadWriteMultipleRegisters {
        /// What was read, after the write.
        registers: Registers<'a>,
    },
    /// 24.
    ReadFifoQueue {
        /// 0 to 31 queued registers, the oldest first.
        registers: Registers<'a>,
    },
    /// 43/14.
    ReadDeviceIdentification(DeviceIdentification<'a>),
    /// 43 with any other MEI type.
    EncapsulatedInterface {
        /// The MEI type, never 14.
        mei: u8,
        /// What follows it.
        data: &'a [u8],
    },
    /// A function this crate has no type for.
    Other {
        /// 1 to 127.
        function: u8,
        /// What follows it.
        data: &'a [u8],
    },
    /// The server refuses the request.
    Exception {
        /// The request's function, without the high bit.
        function: FunctionCode,
        /// Why.
        code: ExceptionCode,
    },
}

/// What makes a response, though well formed, not the answer to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// The function code is another, or for 08 and 43 the sub-function or MEI type.
    Function,
    /// It holds more or fewer items than were asked for.
    Quantity {
        /// Items, or bytes for bits, that are there.
        got: usize,
        /// That the request asked for.
        asked: usize,
    },
    /// A field that must repeat the request does not.
    Echo,
}

impl core::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Mismatch::Function => f.write_str("the answer is for another function"),
            Mismatch::Quantity { got, asked } => {
                write!(f, "the answer holds {got} items where {asked} were asked for")
            }
            Mismatch::Echo => f.write_str("the answer does not repeat the request"),
        }
    }
}

impl core::error::Error for Mismatch {}

const fn word(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

/// The bytes behind a byte count, which must be all there is.
fn counted(function: u8, body: &[u8]) -> Result<&[u8], PduError> {
    let Some((&count, bytes)) = body.split_first() else {
        return Err(PduError::Truncated { function, offset: 1 });
    };
    if usize::from(count) == bytes.len() {
        return Ok(bytes);
    }
    let implied = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    Err(PduError::ByteCount { function, got: count.into(), implied })
}

/// The most bytes that answer one read: 2000 bits, or 125 registers.
const VALUE_BYTES_MAX: usize = 250;

fn parse_bits(function: u8, body: &[u8]) -> Result<Bits<'_>, PduError> {
    let bytes = counted(function, body)?;
    let bad = |implied: usize| {
        let [got, implied] = [bytes.len(), implied].map(|n| u16::try_from(n).unwrap_or(u16::MAX));
        PduError::ByteCount { function, got, implied }
    };
    let right = bytes.len().clamp(1, VALUE_BYTES_MAX);
    Bits::new(bytes, bytes.len() * 8).filter(|_| bytes.len() == right).ok_or_else(|| bad(right))
}

/// `min` is 2 for reads, which return one register at least, and 0 for a queue.
fn parse_registers(function: u8, bytes: &[u8], min: u16) -> Result<Registers<'_>, PduError> {
    let got = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let bad = PduError::ByteCount { function, got, implied: min.max(got.saturating_add(1) & !1) };
    if got < min { Err(bad) } else { Registers::new(bytes).ok_or(bad) }
}

impl<'a> Response<'a> {
    /// Whether `response` answers `request` in the most usual way: a read of one table, and as many values as were
    /// asked for. [`parse`](Self::parse) and [`answers`](Self::answers) say the same of what this accepts, and cost
    /// several times as much; of all else it says nothing.
    #[inline]
    #[must_use]
    pub fn is_plain_answer(response: &[u8], request: &[u8]) -> bool {
        let &[asked, _, _, high, low] = request else { return false };
        let &[function, count, ref values @ ..] = response else { return false };
        let Some(table) = read::table(asked) else { return false };
        let implied = read::value_bytes(table, word(high, low));
        function == asked
            && usize::from(count) == implied
            && values.len() == implied
            && (1..=VALUE_BYTES_MAX).contains(&implied)
    }

    /// Reads a response PDU to its end.
    ///
    /// # Errors
    /// The first thing that the specification does not allow.
    #[inline]
    pub fn parse(pdu: &'a [u8]) -> Result<Self, PduError> {
        let (&function, body) = pdu.split_first().ok_or(PduError::Empty)?;
        if pdu.len() > PDU_MAX {
            return Err(too_long(function, pdu.len(), function & 0x7F != 0));
        }
        let two_words = || match *body {
            [a1, a0, b1, b0] => Ok((word(a1, a0), word(b1, b0))),
            _ => Err(wrong_length(function, body, 4)),
        };
        // A write of many is answered with what was written: as much as one request may carry.
        let written = |max: u16| {
            let (start, count) = two_words()?;
            if count == 0 || count > max {
                return Err(PduError::Quantity { function, got: count, max });
            }
            if start.checked_add(count - 1).is_none() {
                return Err(PduError::Address { function, start, count });
            }
            Ok((start, count))
        };
        Ok(match FunctionCode(function) {
            FunctionCode::READ_COILS => Response::ReadCoils { bits: parse_bits(function, body)? },
            FunctionCode::READ_DISCRETE_INPUTS => {
                Response::ReadDiscreteInputs { bits: parse_bits(function, body)? }
            }
            FunctionCode::READ_HOLDING_REGISTERS => Response::ReadHoldingRegisters {
                registers: parse_registers(function, counted(function, body)?, 2)?,
            },
            FunctionCode::READ_INPUT_REGISTERS => Response::ReadInputRegisters {
                registers: parse_registers(function, counted(function, body)?, 2)?,
            },
            FunctionCode::WRITE_SINGLE_COIL => {
                let value = match two_words()? {
                    (_, 0xFF00) => true,
                    (_, 0) => false,
                    (_, got) => return Err(PduError::Value { function, offset: 3, got }),
                };
                Response::WriteSingleCoil { address: two_words()?.0, value }
            }
            FunctionCode::WRITE_SINGLE_REGISTER => {
                let (address, value) = two_words()?;
                Response::WriteSingleRegister { address, value }
            }
            FunctionCode::READ_EXCEPTION_STATUS => {
                let &[status] = body else { return Err(wrong_length(function, body, 1)) };
                Response::ReadExceptionStatus { status }
            }
            FunctionCode::DIAGNOSTICS => {
                let &[s1, s0, ref data @ ..] = body else {
                    return Err(PduError::Truncated { function, offset: pdu.len() });
                };
                let sub_function = SubFunction(word(s1, s0));
                if sub_function.is_one_word() && data.len() != 2 {
                    return Err(wrong_length(function, body, 4));
                }
                if sub_function == SubFunction::RETURN_QUERY_DATA
                    && (data.is_empty() || !data.len().is_multiple_of(2))
                {
                    return Err(PduError::Truncated { function, offset: pdu.len() });
                }
                Response::Diagnostics { sub_function, data }
            }
            FunctionCode::GET_COMM_EVENT_COUNTER => {
                let (status, events) = two_words()?;
                Response::GetCommEventCounter { status, events }
            }
            FunctionCode::GET_COMM_EVENT_LOG => {
                let bytes = counted(function, body)?;
                let bad = |implied| {
                    let got = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
                    PduError::ByteCount { function, got, implied }
                };
                let &[s1, s0, e1, e0, m1, m0, ref log @ ..] = bytes else { return Err(bad(6)) };
                if log.len() > 64 {
                    return Err(bad(6 + 64));
                }
                Response::GetCommEventLog {
                    status: word(s1, s0),
                    events: word(e1, e0),
                    messages: word(m1, m0),
                    log,
                }
            }
            FunctionCode::WRITE_MULTIPLE_COILS => {
                let (start, count) = written(1968)?;
                Response::WriteMultipleCoils { start, count }
            }
            FunctionCode::WRITE_MULTIPLE_REGISTERS => {
                let (start, count) = written(123)?;
                Response::WriteMultipleRegisters { start, count }
            }
            FunctionCode::REPORT_SERVER_ID => Response::ReportServerId { data: counted(function, body)? },
            FunctionCode::READ_FILE_RECORD => {
                Response::ReadFileRecord { records: RecordsRead::parse(function, body)? }
            }
            FunctionCode::WRITE_FILE_RECORD => {
                Response::WriteFileRecord { records: FileWrites::parse(function, body)? }
            }
            FunctionCode::MASK_WRITE_REGISTER => {
                let &[a1, a0, n1, n0, o1, o0] = body else { return Err(wrong_length(function, body, 6)) };
                Response::MaskWriteRegister { address: word(a1, a0), and: word(n1, n0), or: word(o1, o0) }
            }
            FunctionCode::READ_WRITE_MULTIPLE_REGISTERS => Response::ReadWriteMultipleRegisters {
                registers: parse_registers(function, counted(function, body)?, 2)?,
            },
            FunctionCode::READ_FIFO_QUEUE => {
                let &[b1, b0, c1, c0, ref data @ ..] = body else {
                    return Err(PduError::Truncated { function, offset: pdu.len() });
                };
                let (byte_count, count) = (word(b1, b0), word(c1, c0));
                if count > 31 {
                    return Err(PduError::Quantity { function, got: count, max: 31 });
                }
                let implied = 2 + 2 * count;
                if byte_count != implied {
                    return Err(PduError::ByteCount { function, got: byte_count, implied });
                }
                if data.len() != 2 * usize::from(count) {
                    return Err(wrong_length(function, body, 2 + usize::from(implied)));
                }
                Response::ReadFifoQueue { registers: parse_registers(function, data, 0)? }
            }
            FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT => match *body {
                [] => return Err(PduError::Truncated { function, offset: 1 }),
                [MEI, ..] => Response::ReadDeviceIdentification(DeviceIdentification::parse(body)?),
                [mei, ref data @ ..] => Response::EncapsulatedInterface { mei, data },
            },
            FunctionCode(0 | 0x80) => return Err(PduError::Function { function }),
            FunctionCode(0x81..) => {
                let &[code] = body else { return Err(wrong_length(function, body, 1)) };
                Response::Exception { function: FunctionCode(function & 0x7F), code: code.into() }
            }
            FunctionCode(_) => Response::Other { function, data: body },
        })
    }

    /// The function that this answers; for an exception the one that was refused.
    #[must_use]
    pub const fn function(&self) -> FunctionCode {
        match self {
            Response::ReadCoils { .. } => FunctionCode::READ_COILS,
            Response::ReadDiscreteInputs { .. } => FunctionCode::READ_DISCRETE_INPUTS,
            Response::ReadHoldingRegisters { .. } => FunctionCode::READ_HOLDING_REGISTERS,
            Response::ReadInputRegisters { .. } => FunctionCode::READ_INPUT_REGISTERS,
            Response::WriteSingleCoil { .. } => FunctionCode::WRITE_SINGLE_COIL,
            Response::WriteSingleRegister { .. } => FunctionCode::WRITE_SINGLE_REGISTER,
            Response::ReadExceptionStatus { .. } => FunctionCode::READ_EXCEPTION_STATUS,
            Response::Diagnostics { .. } => FunctionCode::DIAGNOSTICS,
            Response::GetCommEventCounter { .. } => FunctionCode::GET_COMM_EVENT_COUNTER,
            Response::GetCommEventLog { .. } => FunctionCode::GET_COMM_EVENT_LOG,
            Response::WriteMultipleCoils { .. } => FunctionCode::WRITE_MULTIPLE_COILS,
            Response::WriteMultipleRegisters { .. } => FunctionCode::WRITE_MULTIPLE_REGISTERS,
            Response::ReportServerId { .. } => FunctionCode::REPORT_SERVER_ID,
            Response::ReadFileRecord { .. } => FunctionCode::READ_FILE_RECORD,
            Response::WriteFileRecord { .. } => FunctionCode::WRITE_FILE_RECORD,
            Response::MaskWriteRegister { .. } => FunctionCode::MASK_WRITE_REGISTER,
            Response::ReadWriteMultipleRegisters { .. } => FunctionCode::READ_WRITE_MULTIPLE_REGISTERS,
            Response::ReadFifoQueue { .. } => FunctionCode::READ_FIFO_QUEUE,
            Response::ReadDeviceIdentification(_) | Response::EncapsulatedInterface { .. } => {
                FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT
            }
            Response::Other { function, .. } => FunctionCode(*function),
            Response::Exception { function, .. } => *function,
        }
    }

    /// Whether this is an answer to `request`: the same function, as many items as asked for, echoes equal.
    ///
    /// # Errors
    /// What does not fit. An exception with the request's function fits every request.
    pub fn answers(&self, request: &Request<'_>) -> Result<(), Mismatch> {
        let quantity = |got: usize, asked: usize| {
            if got == asked { Ok(()) } else { Err(Mismatch::Quantity { got, asked }) }
        };
        let echo = |same: bool| if same { Ok(()) } else { Err(Mismatch::Echo) };
        if self.function() != request.function() {
            return Err(Mismatch::Function);
        }
        match (*self, *request) {
            (Response::Exception { .. }, _)
            | (Response::ReadExceptionStatus { .. }, _)
            | (Response::GetCommEventCounter { .. }, _)
            | (Response::GetCommEventLog { .. }, _)
            | (Response::ReportServerId { .. }, _)
            | (Response::ReadFifoQueue { .. }, _)
            | (Response::Other { .. }, _) => Ok(()),
            (Response::ReadCoils { bits }, Request::ReadCoils { span })
            | (Response::ReadDiscreteInputs { bits }, Request::ReadDiscreteInputs { span }) => {
                quantity(bits.bytes().len(), crate::bits::bytes_for(span.count()))
            }
            (Response::ReadHoldingRegisters { registers }, Request::ReadHoldingRegisters { span })
            | (Response::ReadInputRegisters { registers }, Request::ReadInputRegisters { span })
            | (
                Response::ReadWriteMultipleRegisters { registers },
                Request::ReadWriteMultipleRegisters { read: span, .. },
            ) => quantity(registers.len(), usize::from(span.count())),
            (
                Response::WriteSingleCoil { address, value },
                Request::WriteSingleCoil { address: asked, value: wanted },
            ) => echo(address == asked && value == wanted),
            (
                Response::WriteSingleRegister { address, value },
                Request::WriteSingleRegister { address: asked, value: wanted },
            ) => echo(address == asked && value == wanted),
            (
                Response::Diagnostics { sub_function, data },
                Request::Diagnostics { sub_function: asked, data: sent },
            ) => {
                if sub_function != asked {
                    return Err(Mismatch::Function);
                }
                echo(sub_function != SubFunction::RETURN_QUERY_DATA || data == sent)
            }
            (Response::WriteMultipleCoils { start, count }, Request::WriteMultipleCoils { block }) => {
                echo(start == block.span().start() && count == block.span().count())
            }
            (
                Response::WriteMultipleRegisters { start, count },
                Request::WriteMultipleRegisters { block },
            ) => echo(start == block.span().start() && count == block.span().count()),
            (Response::ReadFileRecord { records }, Request::ReadFileRecord { records: asked }) => {
                quantity(records.iter().count(), asked.iter().len())?;
                records
                    .iter()
                    .zip(asked.iter())
                    .try_for_each(|(run, asked)| quantity(run.len(), usize::from(asked.length)))
            }
            (Response::WriteFileRecord { records }, Request::WriteFileRecord { records: sent }) => {
                echo(records == sent)
            }
            (
                Response::MaskWriteRegister { address, and, or },
                Request::MaskWriteRegister { address: asked, and: and_sent, or: or_sent },
            ) => echo((address, and, or) == (asked, and_sent, or_sent)),
            (Response::ReadDeviceIdentification(_), Request::ReadDeviceIdentification { .. }) => Ok(()),
            (
                Response::EncapsulatedInterface { mei, .. },
                Request::EncapsulatedInterface { mei: asked, .. },
            ) if mei == asked => Ok(()),
            // The function codes are equal, so what is left differs in MEI type.
            _ => Err(Mismatch::Function),
        }
    }

    /// Writes the PDU to the front of `buffer` and returns it; [`PDU_MAX`] bytes are always enough.
    ///
    /// # Errors
    /// A small buffer, or data that no PDU can carry.
    #[inline]
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EmitError> {
        let mut out = Writer::new(buffer);
        let function = self.function().0;
        if let Response::Exception { code, .. } = self {
            out.u8(function | 0x80)?.u8(code.code())?;
            return finish(out);
        }
        out.u8(function)?;
        match *self {
            Response::ReadCoils { bits } | Response::ReadDiscreteInputs { bits } => {
                emit_counted(&mut out, bits.bytes())?;
            }
            Response::ReadHoldingRegisters { registers }
            | Response::ReadInputRegisters { registers }
            | Response::ReadWriteMultipleRegisters { registers } => {
                emit_counted(&mut out, registers.bytes())?;
            }
            Response::WriteSingleCoil { address, value } => {
                out.u16(address)?.u16(if value { 0xFF00 } else { 0 })?;
            }
            Response::WriteSingleRegister { address, value } => {
                out.u16(address)?.u16(value)?;
            }
            Response::ReadExceptionStatus { status } => {
                out.u8(status)?;
            }
            Response::Diagnostics { sub_function, data } => {
                out.u16(sub_function.0)?.bytes(data)?;
            }
            Response::GetCommEventCounter { status, events } => {
                out.u16(status)?.u16(events)?;
            }
            Response::GetCommEventLog { status, events, messages, log } => {
                let count = u8::try_from(6 + log.len()).map_err(|_| EmitError::TooLong { len: log.len() })?;
                out.u8(count)?.u16(status)?.u16(events)?.u16(messages)?.bytes(log)?;
            }
            Response::WriteMultipleCoils { start, count }
            | Response::WriteMultipleRegisters { start, count } => {
                out.u16(start)?.u16(count)?;
            }
            Response::ReportServerId { data } => emit_counted(&mut out, data)?,
            Response::ReadFileRecord { records } => emit_counted(&mut out, records.bytes())?,
            Response::WriteFileRecord { records } => emit_counted(&mut out, records.bytes())?,
            Response::MaskWriteRegister { address, and, or } => {
                out.u16(address)?.u16(and)?.u16(or)?;
            }
            Response::ReadFifoQueue { registers } => {
                let count = u16::try_from(registers.len()).unwrap_or(u16::MAX);
                out.u16(count.saturating_mul(2).saturating_add(2))?.u16(count)?.bytes(registers.bytes())?;
            }
            Response::ReadDeviceIdentification(identification) => identification.emit(&mut out)?,
            Response::EncapsulatedInterface { mei, data } => {
                out.u8(mei)?.bytes(data)?;
            }
            Response::Other { function, data } => {
                if !FunctionCode(function).is_request() {
                    return Err(EmitError::Function { function });
                }
                out.bytes(data)?;
            }
            Response::Exception { .. } => {} // written above
        }
        finish(out)
    }
}
