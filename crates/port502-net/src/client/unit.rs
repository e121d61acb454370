use std::time::Duration;

use port502_wire::value::{self, Order, TextLength, Value, ValueType};
use port502_wire::{
    Bits, CoilBlock, FileRead, FileReads, FileWrite, FileWrites, PDU_MAX, ReadDeviceIdCode, RegisterBlock,
    Registers, Request, Response, Span, SpanError, SubFunction, Table, UnitId,
};

use super::{Client, Error, ProtocolError, RequestError};
use crate::Pdu;

/// The most that one request may carry. Devices with smaller buffers need smaller ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Registers in one read, 1 to 125.
    pub read_registers: u16,
    /// Coils or discrete inputs in one read, 1 to 2000.
    pub read_bits: u16,
    /// Registers in one write, 1 to 123.
    pub write_registers: u16,
    /// Coils in one write, 1 to 1968.
    pub write_bits: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { read_registers: 125, read_bits: 2000, write_registers: 123, write_bits: 1968 }
    }
}

/// What function 11 counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommEventCounter {
    /// 0xFFFF while the device works on an earlier program command, else 0.
    pub status: u16,
    /// Requests that were carried out since it was last cleared.
    pub events: u16,
}

/// What function 12 logs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommEventLog {
    /// As in [`CommEventCounter`].
    pub status: u16,
    /// As in [`CommEventCounter`].
    pub events: u16,
    /// Messages that were processed since the last restart.
    pub messages: u16,
    /// One byte an event, the newest first, as V1.1b3, 6.10 draws its bits.
    pub log: Vec<u8>,
}

/// One device behind a connection. Holds no state: two views of one unit are the same.
///
/// Reads and writes of more than one request can carry are split at [`Limits`]. What a split read returns was
/// not all read at the same moment, and a split write that fails has written what came before.
#[derive(Clone, Debug)]
pub struct Unit {
    client: Client,
    unit: UnitId,
    limits: Limits,
    timeout: Duration,
}

/// An answer of the right function, or the exception, or neither.
macro_rules! expect {
    ($pdu:expr, $pattern:pat => $value:expr) => {
        match $pdu
            .response()
            .map_err(|e| ProtocolError::Answer(port502_session::client::AnswerError::Pdu(e)))?
        {
            $pattern => Ok($value),
            // The session has compared function and answer.
            _ => Err(Error::Protocol(ProtocolError::Content("the answer is for another function"))),
        }
    };
}

/// `start` and `count` of each request, when one may carry `max`.
fn pieces(start: u16, count: usize, max: u16) -> Result<impl Iterator<Item = (u16, u16)>, Error> {
    let overflow = || SpanError::Overflow { start, count: u16::try_from(count).unwrap_or(u16::MAX) };
    if count == 0 || count > 0x1_0000 - usize::from(start) {
        let none = SpanError::Count { got: 0, max: u16::MAX };
        return Err(if count == 0 { none } else { overflow() }.into());
    }
    let step = usize::from(max.max(1));
    Ok((0..count).step_by(step).filter_map(move |at| {
        let start = u16::try_from(usize::from(start) + at).ok()?;
        Some((start, u16::try_from(step.min(count - at)).ok()?))
    }))
}

impl Unit {
    pub(super) fn new(client: Client, unit: UnitId) -> Self {
        let timeout = client.options.timeout;
        Unit { client, unit, limits: Limits::default(), timeout }
    }

    /// The same device with another time for each request, from the call to the answer, in the place of
    /// [`Options::timeout`](super::Options::timeout): for one slow device of several, or one slow request.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Unit { timeout, ..self }
    }

    /// The same device with smaller requests.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        let at_most = Limits::default();
        let limits = Limits {
            read_registers: limits.read_registers.clamp(1, at_most.read_registers),
            read_bits: limits.read_bits.clamp(1, at_most.read_bits),
            write_registers: limits.write_registers.clamp(1, at_most.write_registers),
            write_bits: limits.write_bits.clamp(1, at_most.write_bits),
        };
        Unit { limits, ..self }
    }

    /// Its unit id.
    #[must_use]
    pub fn id(&self) -> UnitId {
        self.unit
    }

    /// Sends any request and returns the answer to it.
    ///
    /// # Errors
    /// [`Error`]. A read that brought no answer has been asked again as often as the client's options say.
    pub async fn call(&self, request: &Request<'_>) -> Result<Pdu, Error> {
        let options = &self.client.options;
        let mut retries = if request.is_read() || options.retry_writes { options.retries } else { 0 };
        loop {
            let mut buffer = [0; PDU_MAX];
            let pdu = Pdu::new(request.emit(&mut buffer)?).ok_or(Error::Closed)?;
            match self.client.ask(self.unit, pdu, self.timeout).await {
                Ok(answer) => {
                    return match answer.response() {
                        Ok(Response::Exception { function, code }) => {
                            Err(Error::Exception { function, code })
                        }
                        _ => Ok(answer),
                    };
                }
                Err(error) if error.is_silence() && retries > 0 => retries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// 01: `count` coils from address `start`.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn read_coils(&self, start: u16, count: usize) -> Result<Vec<bool>, Error> {
        let mut values = Vec::with_capacity(count.min(0x1_0000));
        for (start, count) in pieces(start, count, self.limits.read_bits)? {
            let answer = self.call(&Request::ReadCoils { span: Span::new(start, count)? }).await?;
            let bits = expect!(answer, Response::ReadCoils { bits } => bits)?;
            values.extend(bits.iter().take(usize::from(count)));
        }
        Ok(values)
    }

    /// 02: `count` discrete inputs from address `start`.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn read_discrete_inputs(&self, start: u16, count: usize) -> Result<Vec<bool>, Error> {
        let mut values = Vec::with_capacity(count.min(0x1_0000));
        for (start, count) in pieces(start, count, self.limits.read_bits)? {
            let answer = self.call(&Request::ReadDiscreteInputs { span: Span::new(start, count)? }).await?;
            let bits = expect!(answer, Response::ReadDiscreteInputs { bits } => bits)?;
            values.extend(bits.iter().take(usize::from(count)));
        }
        Ok(values)
    }

    /// 03: `count` holding registers from address `start`.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn read_holding_registers(&self, start: u16, count: usize) -> Result<Vec<u16>, Error> {
        let mut values = Vec::with_capacity(count.min(0x1_0000));
        for (start, count) in pieces(start, count, self.limits.read_registers)? {
            let answer = self.call(&Request::ReadHoldingRegisters { span: Span::new(start, count)? }).await?;
            values.extend(expect!(answer, Response::ReadHoldingRegisters { registers } => registers)?.iter());
        }
        Ok(values)
    }

    /// 04: `count` input registers from address `start`.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn read_input_registers(&self, start: u16, count: usize) -> Result<Vec<u16>, Error> {
        let mut values = Vec::with_capacity(count.min(0x1_0000));
        for (start, count) in pieces(start, count, self.limits.read_registers)? {
            let answer = self.call(&Request::ReadInputRegisters { span: Span::new(start, count)? }).await?;
            values.extend(expect!(answer, Response::ReadInputRegisters { registers } => registers)?.iter());
        }
        Ok(values)
    }

    /// 05.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn write_single_coil(&self, address: u16, value: bool) -> Result<(), Error> {
        self.call(&Request::WriteSingleCoil { address, value }).await.map(drop)
    }

    /// 06.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn write_single_register(&self, address: u16, value: u16) -> Result<(), Error> {
        self.call(&Request::WriteSingleRegister { address, value }).await.map(drop)
    }

    /// 15: `values` from address `start` on.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn write_multiple_coils(&self, start: u16, values: &[bool]) -> Result<(), Error> {
        let mut rest = values;
        for (start, count) in pieces(start, values.len(), self.limits.write_bits)? {
            let (piece, tail) = rest.split_at(usize::from(count).min(rest.len()));
            rest = tail;
            let mut scratch = [0; PDU_MAX];
            let bits = Bits::encode(piece, &mut scratch).ok_or(SpanError::Count { got: count, max: 1968 })?;
            let block = CoilBlock::new(start, bits)?;
            self.call(&Request::WriteMultipleCoils { block }).await?;
        }
        Ok(())
    }

    /// 16: `values` from address `start` on.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn write_multiple_registers(&self, start: u16, values: &[u16]) -> Result<(), Error> {
        let mut rest = values;
        for (start, count) in pieces(start, values.len(), self.limits.write_registers)? {
            let (piece, tail) = rest.split_at(usize::from(count).min(rest.len()));
            rest = tail;
            let mut scratch = [0; PDU_MAX];
            let registers =
                Registers::encode(piece, &mut scratch).ok_or(SpanError::Count { got: count, max: 123 })?;
            let block = RegisterBlock::new(start, registers)?;
            self.call(&Request::WriteMultipleRegisters { block }).await?;
        }
        Ok(())
    }

    /// 22: the register becomes `(register & and) | (or & !and)`, in the device and in one step.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn mask_write_register(&self, address: u16, and: u16, or: u16) -> Result<(), Error> {
        self.call(&Request::MaskWriteRegister { address, and, or }).await.map(drop)
    }

    /// 23: writes `values`, at most 121, then reads `read_count` registers, at most 125, in one step.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn read_write_multiple_registers(
        &self,
        read_start: u16,
        read_count: u16,
        write_start: u16,
        values: &[u16],
    ) -> Result<Vec<u16>, Error> {
        let mut scratch = [0; PDU_MAX];
        let too_many = SpanError::Count { got: u16::try_from(values.len()).unwrap_or(u16::MAX), max: 121 };
        let registers = Registers::encode(values, &mut scratch).ok_or(too_many)?;
        let read = Span::new(read_start, read_count)?;
        let write = RegisterBlock::new(write_start, registers)?;
        let answer = self.call(&Request::ReadWriteMultipleRegisters { read, write }).await?;
        let registers = expect!(answer, Response::ReadWriteMultipleRegisters { registers } => registers)?;
        Ok(registers.iter().collect())
    }

    /// 24: the registers queued at `address`, the oldest first.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn read_fifo_queue(&self, address: u16) -> Result<Vec<u16>, Error> {
        let answer = self.call(&Request::ReadFifoQueue { address }).await?;
        Ok(expect!(answer, Response::ReadFifoQueue { registers } => registers)?.iter().collect())
    }

    /// 20: the registers of each run of records.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn read_file_record(&self, runs: &[FileRead]) -> Result<Vec<Vec<u16>>, Error> {
        let mut scratch = [0; PDU_MAX];
        let records = FileReads::encode(runs, &mut scratch).map_err(RequestError::from)?;
        let answer = self.call(&Request::ReadFileRecord { records }).await?;
        let records = expect!(answer, Response::ReadFileRecord { records } => records)?;
        Ok(records.iter().map(|run| run.iter().collect()).collect())
    }

    /// 21: all runs in one request.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn write_file_record(&self, runs: &[FileWrite<'_>]) -> Result<(), Error> {
        let mut scratch = [0; PDU_MAX];
        let records = FileWrites::encode(runs, &mut scratch).map_err(RequestError::from)?;
        self.call(&Request::WriteFileRecord { records }).await.map(drop)
    }

    /// 07: eight bits whose meaning is the vendor's.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn read_exception_status(&self) -> Result<u8, Error> {
        let answer = self.call(&Request::ReadExceptionStatus).await?;
        expect!(answer, Response::ReadExceptionStatus { status } => status)
    }

    /// 08: the data of the response. Forcing listen-only mode is never answered: it ends in a timeout.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn diagnostics(&self, sub_function: SubFunction, data: &[u8]) -> Result<Vec<u8>, Error> {
        let answer = self.call(&Request::Diagnostics { sub_function, data }).await?;
        Ok(expect!(answer, Response::Diagnostics { data, .. } => data)?.to_vec())
    }

    /// 11: how many requests the device has carried out.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn comm_event_counter(&self) -> Result<CommEventCounter, Error> {
        let answer = self.call(&Request::GetCommEventCounter).await?;
        expect!(answer, Response::GetCommEventCounter { status, events } => CommEventCounter { status, events })
    }

    /// 12: the same, and the last events.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn comm_event_log(&self) -> Result<CommEventLog, Error> {
        let answer = self.call(&Request::GetCommEventLog).await?;
        expect!(answer, Response::GetCommEventLog { status, events, messages, log } => {
            CommEventLog { status, events, messages, log: log.to_vec() }
        })
    }

    /// 17: server id, run indicator and additional data, as the device packs them.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn report_server_id(&self) -> Result<Vec<u8>, Error> {
        let answer = self.call(&Request::ReportServerId).await?;
        Ok(expect!(answer, Response::ReportServerId { data } => data)?.to_vec())
    }

    /// 43/14: the objects of a category, over as many requests as it takes.
    ///
    /// # Errors
    /// [`Error`]; a device that repeats itself breaks the protocol.
    pub async fn read_device_identification(
        &self,
        code: ReadDeviceIdCode,
    ) -> Result<Vec<(u8, Vec<u8>)>, Error> {
        let (mut objects, mut object) = (Vec::new(), 0);
        loop {
            let answer = self.call(&Request::ReadDeviceIdentification { code, object }).await?;
            let part = expect!(answer, Response::ReadDeviceIdentification(part) => part)?;
            objects.extend(part.objects.iter().map(|object| (object.id, object.value.to_vec())));
            match part.next {
                None => return Ok(objects),
                Some(next) if next > object && code != ReadDeviceIdCode::Specific => object = next,
                Some(_) => {
                    let what = "its identification goes on at an object that was already sent";
                    return Err(ProtocolError::Content(what).into());
                }
            }
        }
    }

    /// 43/14 with code 4: one object.
    ///
    /// # Errors
    /// [`Error`]; exception 02 for an object that the device does not have.
    pub async fn read_device_object(&self, object: u8) -> Result<Vec<u8>, Error> {
        let code = ReadDeviceIdCode::Specific;
        let answer = self.call(&Request::ReadDeviceIdentification { code, object }).await?;
        let part = expect!(answer, Response::ReadDeviceIdentification(part) => part)?;
        let found = part.objects.iter().find(|found| found.id == object);
        let missing = ProtocolError::Content("its identification lacks the object that was asked for");
        Ok(found.ok_or(missing)?.value.to_vec())
    }

    /// One typed value. In the tables of bits the type is always [`ValueType::Bool`].
    ///
    /// # Errors
    /// [`Error`]; registers that hold no value of the type are a [`ProtocolError::Value`].
    pub async fn read_value(
        &self,
        table: Table,
        address: u16,
        value_type: ValueType,
        order: Order,
    ) -> Result<Value, Error> {
        let count = usize::from(value_type.registers());
        let registers = match table {
            Table::HoldingRegisters => self.read_holding_registers(address, count).await?,
            Table::InputRegisters => self.read_input_registers(address, count).await?,
            Table::Coils => return Ok(Value::Bool(self.read_coils(address, 1).await?.contains(&true))),
            Table::DiscreteInputs => {
                return Ok(Value::Bool(self.read_discrete_inputs(address, 1).await?.contains(&true)));
            }
        };
        value_type.decode(order, &registers).map_err(|error| ProtocolError::Value(error).into())
    }

    /// Writes one typed value to holding registers, all of its registers in one request.
    ///
    /// # Errors
    /// [`Error`]; a value that the type does not hold is a [`RequestError::Value`], and nothing is sent.
    pub async fn write_value(
        &self,
        address: u16,
        value_type: ValueType,
        order: Order,
        value: Value,
    ) -> Result<(), Error> {
        let mut room = [0; 4];
        match value_type.encode(order, value, &mut room).map_err(RequestError::from)? {
            [value] => self.write_single_register(address, *value).await,
            registers => self.write_multiple_registers(address, registers).await,
        }
    }

    /// A text of `length` bytes, 1 to 250, in input or holding registers, two bytes to a register. Zeros at its end are
    /// padding. Bytes that are not UTF-8 are read as ISO 8859-1, so that each is seen.
    ///
    /// # Errors
    /// [`Error`]; in the tables of bits there is no text: [`RequestError::TextInBits`].
    pub async fn read_text(
        &self,
        table: Table,
        address: u16,
        length: u8,
        order: Order,
    ) -> Result<String, Error> {
        let length = text_length(length)?;
        let count = usize::from(length.registers());
        let registers = match table {
            Table::HoldingRegisters => self.read_holding_registers(address, count).await?,
            Table::InputRegisters => self.read_input_registers(address, count).await?,
            Table::Coils | Table::DiscreteInputs => return Err(RequestError::TextInBits { table }.into()),
        };
        let mut room = [0; TextLength::MAX as usize];
        let bytes = value::decode_text(length, order, &registers, &mut room).map_err(ProtocolError::Value)?;
        let latin = || bytes.iter().copied().map(char::from).collect();
        Ok(std::str::from_utf8(bytes).map_or_else(|_| latin(), str::to_owned))
    }

    /// Writes a text to holding registers, and zeros behind it up to `length` bytes, 1 to 250. More than 246 bytes
    /// take two requests.
    ///
    /// # Errors
    /// [`Error`]; a text of more bytes than `length` is a [`RequestError::Value`], and nothing is sent.
    pub async fn write_text(&self, address: u16, length: u8, order: Order, text: &str) -> Result<(), Error> {
        let mut room = [0; TextLength::MAX.div_ceil(2) as usize];
        let registers = value::encode_text(text_length(length)?, order, text.as_bytes(), &mut room);
        self.write_multiple_registers(address, registers.map_err(RequestError::from)?).await
    }
}

fn text_length(bytes: u8) -> Result<TextLength, Error> {
    let registers = u16::from(bytes.div_ceil(2));
    TextLength::new(bytes).ok_or_else(|| SpanError::Count { got: registers, max: 125 }.into())
}
