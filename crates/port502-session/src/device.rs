//! What a server serves, and what one request is owed: the checks of the specification in their order (function,
//! structure and quantity, address), then a [`Device`] called with what can only be carried out or refused.

use alloc::string::String;
use core::net::SocketAddr;

use port502_wire::function::FunctionSet;
use port502_wire::{
    BitsMut, CoilBlock, DeviceIdentification, DeviceObject, DeviceObjects, ExceptionCode, FileReads,
    FileWrites, FunctionCode, PDU_MAX, ReadDeviceIdCode, RegisterBlock, RegistersMut, Request, Response,
    Span, SubFunction, UnitId, Writer,
};

/// Who a client is, as its certificate says: known only where the link has TLS.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// The subject of the certificate, as `CN=panel-3, O=Northfield`.
    pub subject: String,
    /// The SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// The role in it; `None` for a certificate without one, which is the null role of Modbus/TCP Security.
    pub role: Option<String>,
    /// What keeps the role in it from being one; then the client has the null role.
    pub role_fault: Option<RoleFault>,
}

/// Why what a certificate has for a role is none. Modbus/TCP Security wants exactly one, as a UTF8String.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RoleFault {
    /// More than one role extension.
    Several,
    /// Not one ASN.1 UTF8String and nothing else.
    NotUtf8String,
    /// A UTF8String whose bytes are not UTF-8.
    NotUtf8,
    /// A UTF8String without any character.
    Empty,
}

impl core::fmt::Display for RoleFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            RoleFault::Several => "its certificate has more than one role",
            RoleFault::NotUtf8String => "the role in its certificate is no UTF8String",
            RoleFault::NotUtf8 => "the role in its certificate is not UTF-8",
            RoleFault::Empty => "the role in its certificate is empty",
        })
    }
}

/// `CN=panel-3 as operator`: the subject and the role, without the characters that would steer a terminal.
impl core::fmt::Display for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut plain = |text: &str| {
            text.chars().try_for_each(|c| {
                core::fmt::Write::write_char(f, if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
            })
        };
        plain(&self.subject)?;
        match (&self.role, self.role_fault) {
            (Some(role), _) => {
                plain(" as ")?;
                plain(role)
            }
            (None, None) => plain(" without a role"),
            (None, Some(fault)) => write!(f, " without a role: {fault}"),
        }
    }
}

/// Who asks, and whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Context<'a> {
    /// The client's address; `None` on a serial line.
    pub peer: Option<SocketAddr>,
    /// The unit that the request is for.
    pub unit: UnitId,
    /// Who the client has shown itself to be; `None` without TLS.
    pub identity: Option<&'a Identity>,
}

impl<'a> Context<'a> {
    /// A client at `peer` that asks `unit` and has shown no certificate.
    #[must_use]
    pub const fn new(peer: Option<SocketAddr>, unit: UnitId) -> Self {
        Context { peer, unit, identity: None }
    }

    /// The same client with the identity of its certificate.
    #[must_use]
    pub const fn with_identity(self, identity: Option<&'a Identity>) -> Self {
        Context { identity, ..self }
    }

    /// The same client asking another unit.
    #[must_use]
    pub const fn for_unit(self, unit: UnitId) -> Self {
        Context { unit, ..self }
    }

    /// The role in the client's certificate; `None` without TLS, and for a certificate without a role.
    #[must_use]
    pub fn role(&self) -> Option<&'a str> {
        self.identity.and_then(|identity| identity.role.as_deref())
    }
}

/// What a server owes the client after one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// A response PDU: the first `len` bytes of the buffer that was given for it.
    Response {
        /// 1 to [`PDU_MAX`].
        len: usize,
    },
    /// A refusal; [`Reply::emit`] makes its PDU.
    Exception(ExceptionCode),
    /// Broadcast, or listen-only mode: the specification forbids an answer.
    Silence,
}

impl Reply {
    /// The PDU to send for a request of `function`, `out` being the buffer given for it; `None` for silence.
    #[inline]
    #[must_use]
    pub fn emit(self, function: u8, out: &mut [u8; PDU_MAX]) -> Option<&[u8]> {
        match self {
            Reply::Response { len } => out.get(..len),
            Reply::Exception(code) => {
                let [first, second, ..] = out;
                (*first, *second) = (function | 0x80, code.code());
                out.get(..2)
            }
            Reply::Silence => None,
        }
    }
}

/// What comes on a serial line and is no request to a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineEvent {
    /// Bytes whose check is wrong.
    CheckError,
    /// A request to another server, or its answer.
    OthersFrame,
}

/// The outcome of one block-level operation of a [`Device`].
pub type DeviceResult<T = ()> = Result<T, ExceptionCode>;

/// Refused because the device does not offer the function: what every method of [`Device`] does unless written.
const NOT_OFFERED: ExceptionCode = ExceptionCode::IllegalFunction;

/// What a server serves: data, asked for and changed in blocks.
///
/// Methods are called with requests that the strict parser has read to the end, and only for the functions
/// that [`functions`](Device::functions) lists. A device checks addresses
/// ([`IllegalDataAddress`](ExceptionCode::IllegalDataAddress)) and carries out; whatever it refuses must have
/// changed nothing. Calls come from several connections at once, so a device brings its own lock.
#[expect(unused_variables, reason = "the names are the documentation of methods that refuse")]
pub trait Device: Send + Sync {
    /// The functions on offer. All others are refused with exception 01, before anything else is looked at.
    fn functions(&self) -> FunctionSet;

    /// Answers one request PDU, whatever its bytes are. The default is [`answer`]; a device that counts
    /// messages or can be told to keep silent wraps it.
    #[inline]
    fn answer(&self, cx: &Context<'_>, pdu: &[u8], out: &mut [u8; PDU_MAX]) -> Reply {
        answer(self, cx, pdu, out)
    }

    /// Is told what comes on a serial line and is no request to this device, for the counters that function 08 reads.
    fn overheard(&self, event: LineEvent) {}

    /// 01: sets `out`, as long as `span`, to the coils.
    fn read_coils(&self, cx: &Context<'_>, span: Span<2000>, out: &mut BitsMut<'_>) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 02: sets `out`, as long as `span`, to the discrete inputs.
    fn read_discrete_inputs(
        &self,
        cx: &Context<'_>,
        span: Span<2000>,
        out: &mut BitsMut<'_>,
    ) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 03: sets `out`, as long as `span`, to the holding registers.
    fn read_holding_registers(
        &self,
        cx: &Context<'_>,
        span: Span<125>,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 04: sets `out`, as long as `span`, to the input registers.
    fn read_input_registers(
        &self,
        cx: &Context<'_>,
        span: Span<125>,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 05.
    fn write_single_coil(&self, cx: &Context<'_>, address: u16, value: bool) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 06.
    fn write_single_register(&self, cx: &Context<'_>, address: u16, value: u16) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 07: eight bits whose meaning is the device's own.
    fn read_exception_status(&self, cx: &Context<'_>) -> DeviceResult<u8> {
        Err(NOT_OFFERED)
    }

    /// 08: the data of the response. `data` is what the specification allows for a defined sub-function; a
    /// sub-function that is not on offer is refused with exception 01. `Ok(None)` is silence.
    fn diagnostics<'b>(
        &self,
        cx: &Context<'_>,
        sub_function: SubFunction,
        data: &[u8],
        out: &'b mut [u8],
    ) -> DeviceResult<Option<&'b [u8]>> {
        Err(NOT_OFFERED)
    }

    /// 11: status (0xFFFF while a program command runs, else 0) and event count.
    fn comm_event_counter(&self, cx: &Context<'_>) -> DeviceResult<(u16, u16)> {
        Err(NOT_OFFERED)
    }

    /// 12: status, event count and message count; sets `log` to the event bytes, the newest first, and returns
    /// how many there are.
    fn comm_event_log(&self, cx: &Context<'_>, log: &mut [u8; 64]) -> DeviceResult<(u16, u16, u16, usize)> {
        Err(NOT_OFFERED)
    }

    /// 15: all of the block or none of it.
    fn write_multiple_coils(&self, cx: &Context<'_>, block: CoilBlock<'_>) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 16: all of the block or none of it.
    fn write_multiple_registers(&self, cx: &Context<'_>, block: RegisterBlock<'_, 123>) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 17: server id, run indicator and additional data, written to `out`.
    fn report_server_id<'b>(&self, cx: &Context<'_>, out: &'b mut [u8]) -> DeviceResult<&'b [u8]> {
        Err(NOT_OFFERED)
    }

    /// 20: appends each run as the response carries it (length, reference type 6, data) to `out`.
    fn read_file_record(
        &self,
        cx: &Context<'_>,
        records: FileReads<'_>,
        out: &mut Writer<'_>,
    ) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 21: all of the runs or none of them.
    fn write_file_record(&self, cx: &Context<'_>, records: FileWrites<'_>) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 22: `register = (register & and) | (or & !and)`, with nothing in between.
    fn mask_write_register(&self, cx: &Context<'_>, address: u16, and: u16, or: u16) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 23: checks both ranges, writes, then sets `out`, as long as `read`, with nothing in between.
    fn read_write_multiple_registers(
        &self,
        cx: &Context<'_>,
        read: Span<125>,
        write: RegisterBlock<'_, 121>,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 24: sets `out` to the queue's registers, the oldest first, and returns how many there are. More than 31
    /// are refused with [`IllegalDataValue`](ExceptionCode::IllegalDataValue).
    fn read_fifo_queue(
        &self,
        cx: &Context<'_>,
        address: u16,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult<usize> {
        Err(NOT_OFFERED)
    }

    /// 43/14: calls `object` for each object of the device, in ascending order of ids, until it returns
    /// `false`. Which of them are asked for and how many fit is not the device's business.
    fn device_objects(
        &self,
        cx: &Context<'_>,
        object: &mut dyn FnMut(DeviceObject<'_>) -> bool,
    ) -> DeviceResult {
        Err(NOT_OFFERED)
    }

    /// 43 with another MEI type, 13 CANopen among them: what follows the MEI type in the response.
    fn encapsulated_interface<'b>(
        &self,
        cx: &Context<'_>,
        mei: u8,
        data: &[u8],
        out: &'b mut [u8],
    ) -> DeviceResult<&'b [u8]> {
        Err(NOT_OFFERED)
    }

    /// Any function that the specification leaves to users: what follows the function code in the response.
    fn other<'b>(
        &self,
        cx: &Context<'_>,
        function: FunctionCode,
        data: &[u8],
        out: &'b mut [u8],
    ) -> DeviceResult<&'b [u8]> {
        Err(NOT_OFFERED)
    }
}

/// Methods that do what the device pointed to does.
macro_rules! passed_on {
    ($($name:ident($($arg:ident: $kind:ty),*) $(-> $out:ty)?;)*) => {$(
        #[inline]
        fn $name(&self, cx: &Context<'_>, $($arg: $kind),*) -> DeviceResult$(<$out>)? {
            (**self).$name(cx, $($arg),*)
        }
    )*};
}

/// What points to a device is one. Every method is passed on: a default left here would refuse what the device does.
macro_rules! pass_on {
    ($pointer:ty) => {
        impl<D: Device + ?Sized> Device for $pointer {
            #[inline]
            fn functions(&self) -> FunctionSet {
                (**self).functions()
            }

            #[inline]
            fn answer(&self, cx: &Context<'_>, pdu: &[u8], out: &mut [u8; PDU_MAX]) -> Reply {
                (**self).answer(cx, pdu, out)
            }

            fn overheard(&self, event: LineEvent) {
                (**self).overheard(event);
            }

            passed_on! {
                read_coils(span: Span<2000>, out: &mut BitsMut<'_>);
                read_discrete_inputs(span: Span<2000>, out: &mut BitsMut<'_>);
                read_holding_registers(span: Span<125>, out: &mut RegistersMut<'_>);
                read_input_registers(span: Span<125>, out: &mut RegistersMut<'_>);
                write_single_coil(address: u16, value: bool);
                write_single_register(address: u16, value: u16);
                read_exception_status() -> u8;
                comm_event_counter() -> (u16, u16);
                comm_event_log(log: &mut [u8; 64]) -> (u16, u16, u16, usize);
                write_multiple_coils(block: CoilBlock<'_>);
                write_multiple_registers(block: RegisterBlock<'_, 123>);
                read_file_record(records: FileReads<'_>, out: &mut Writer<'_>);
                write_file_record(records: FileWrites<'_>);
                mask_write_register(address: u16, and: u16, or: u16);
                read_write_multiple_registers(
                    read: Span<125>, write: RegisterBlock<'_, 121>, out: &mut RegistersMut<'_>
                );
                read_fifo_queue(address: u16, out: &mut RegistersMut<'_>) -> usize;
                device_objects(object: &mut dyn FnMut(DeviceObject<'_>) -> bool);
            }

            fn diagnostics<'b>(
                &self,
                cx: &Context<'_>,
                sub_function: SubFunction,
                data: &[u8],
                out: &'b mut [u8],
            ) -> DeviceResult<Option<&'b [u8]>> {
                (**self).diagnostics(cx, sub_function, data, out)
            }

            fn report_server_id<'b>(&self, cx: &Context<'_>, out: &'b mut [u8]) -> DeviceResult<&'b [u8]> {
                (**self).report_server_id(cx, out)
            }

            fn encapsulated_interface<'b>(
                &self,
                cx: &Context<'_>,
                mei: u8,
                data: &[u8],
                out: &'b mut [u8],
            ) -> DeviceResult<&'b [u8]> {
                (**self).encapsulated_interface(cx, mei, data, out)
            }

            fn other<'b>(
                &self,
                cx: &Context<'_>,
                function: FunctionCode,
                data: &[u8],
                out: &'b mut [u8],
            ) -> DeviceResult<&'b [u8]> {
                (**self).other(cx, function, data, out)
            }
        }
    };
}

pass_on!(alloc::boxed::Box<D>);
pass_on!(alloc::sync::Arc<D>);

/// Answers one request PDU from `device`, with the checks of V1.1b3, section 6, in their order.
#[inline]
pub fn answer<D: Device + ?Sized>(
    device: &D,
    cx: &Context<'_>,
    pdu: &[u8],
    out: &mut [u8; PDU_MAX],
) -> Reply {
    let Some(&function) = pdu.first() else { return Reply::Exception(NOT_OFFERED) };
    if !device.functions().contains(FunctionCode(function)) {
        return Reply::Exception(NOT_OFFERED);
    }
    let request = match Request::parse(pdu) {
        Ok(request) => request,
        Err(error) => return Reply::Exception(error.exception()),
    };
    match carry_out(device, cx, &request, out) {
        Ok(Some(len)) => Reply::Response { len },
        Ok(None) => Reply::Silence,
        Err(code) => Reply::Exception(code),
    }
}

/// A device whose answer does not fit a PDU.
const FAILED: ExceptionCode = ExceptionCode::ServerDeviceFailure;

/// Room in a response for `count` registers or, as bytes, for bits; function code and byte count written.
#[inline]
fn counted(out: &mut [u8; PDU_MAX], function: FunctionCode, bytes: usize) -> DeviceResult<&mut [u8]> {
    let [code, count, rest @ ..] = out;
    *code = function.0;
    *count = u8::try_from(bytes).map_err(|_| FAILED)?;
    rest.get_mut(..bytes).ok_or(FAILED)
}

#[inline]
fn read_registers(
    out: &mut [u8; PDU_MAX],
    function: FunctionCode,
    span: Span<125>,
    read: impl FnOnce(&mut RegistersMut<'_>) -> DeviceResult,
) -> DeviceResult<Option<usize>> {
    let bytes = 2 * usize::from(span.count());
    read(&mut RegistersMut::new(counted(out, function, bytes)?))?;
    Ok(Some(2 + bytes))
}

fn read_bits(
    out: &mut [u8; PDU_MAX],
    function: FunctionCode,
    span: Span<2000>,
    read: impl FnOnce(&mut BitsMut<'_>) -> DeviceResult,
) -> DeviceResult<Option<usize>> {
    let bytes = usize::from(span.count()).div_ceil(8);
    let room = counted(out, function, bytes)?;
    room.fill(0);
    read(&mut BitsMut::new(room, usize::from(span.count())))?;
    Ok(Some(2 + bytes))
}

fn emit(out: &mut [u8; PDU_MAX], response: Response<'_>) -> DeviceResult<Option<usize>> {
    response.emit(out).map(|pdu| Some(pdu.len())).map_err(|_| FAILED)
}

/// Lets the device do it and writes the response; its length, or `None` for silence.
#[inline]
fn carry_out<D: Device + ?Sized>(
    device: &D,
    cx: &Context<'_>,
    request: &Request<'_>,
    out: &mut [u8; PDU_MAX],
) -> DeviceResult<Option<usize>> {
    let function = request.function();
    match *request {
        Request::ReadHoldingRegisters { span } => {
            read_registers(out, function, span, |room| device.read_holding_registers(cx, span, room))
        }
        Request::ReadInputRegisters { span } => {
            read_registers(out, function, span, |room| device.read_input_registers(cx, span, room))
        }
        Request::ReadCoils { span } => {
            read_bits(out, function, span, |room| device.read_coils(cx, span, room))
        }
        Request::ReadDiscreteInputs { span } => {
            read_bits(out, function, span, |room| device.read_discrete_inputs(cx, span, room))
        }
        Request::WriteSingleCoil { address, value } => {
            device.write_single_coil(cx, address, value)?;
            emit(out, Response::WriteSingleCoil { address, value })
        }
        Request::WriteSingleRegister { address, value } => {
            device.write_single_register(cx, address, value)?;
            emit(out, Response::WriteSingleRegister { address, value })
        }
        Request::WriteMultipleCoils { block } => {
            device.write_multiple_coils(cx, block)?;
            let (start, count) = (block.span().start(), block.span().count());
            emit(out, Response::WriteMultipleCoils { start, count })
        }
        Request::WriteMultipleRegisters { block } => {
            device.write_multiple_registers(cx, block)?;
            let (start, count) = (block.span().start(), block.span().count());
            emit(out, Response::WriteMultipleRegisters { start, count })
        }
        Request::ReadWriteMultipleRegisters { read, write } => read_registers(out, function, read, |room| {
            device.read_write_multiple_registers(cx, read, write, room)
        }),
        Request::MaskWriteRegister { address, and, or } => {
            device.mask_write_register(cx, address, and, or)?;
            emit(out, Response::MaskWriteRegister { address, and, or })
        }
        _ => carry_out_rarer(device, cx, request, out),
    }
}

/// What plants do not do all day; apart, to keep the common path small.
#[inline(never)]
fn carry_out_rarer<D: Device + ?Sized>(
    device: &D,
    cx: &Context<'_>,
    request: &Request<'_>,
    out: &mut [u8; PDU_MAX],
) -> DeviceResult<Option<usize>> {
    // Where a device writes its part of a response before the whole is put together.
    let mut scratch = [0; PDU_MAX];
    match *request {
        Request::ReadExceptionStatus => {
            let status = device.read_exception_status(cx)?;
            emit(out, Response::ReadExceptionStatus { status })
        }
        Request::Diagnostics { sub_function, data } => {
            match device.diagnostics(cx, sub_function, data, &mut scratch)? {
                Some(data) => emit(out, Response::Diagnostics { sub_function, data }),
                None => Ok(None),
            }
        }
        Request::GetCommEventCounter => {
            let (status, events) = device.comm_event_counter(cx)?;
            emit(out, Response::GetCommEventCounter { status, events })
        }
        Request::GetCommEventLog => {
            let mut log = [0; 64];
            let (status, events, messages, len) = device.comm_event_log(cx, &mut log)?;
            let log = log.get(..len).unwrap_or(&log);
            emit(out, Response::GetCommEventLog { status, events, messages, log })
        }
        Request::ReportServerId => {
            let data = device.report_server_id(cx, &mut scratch)?;
            emit(out, Response::ReportServerId { data })
        }
        Request::ReadFileRecord { records } => {
            let mut runs = Writer::new(&mut scratch);
            device.read_file_record(cx, records, &mut runs)?;
            let records = port502_wire::RecordsRead::new(runs.finish()).map_err(|_| FAILED)?;
            emit(out, Response::ReadFileRecord { records })
        }
        Request::WriteFileRecord { records } => {
            device.write_file_record(cx, records)?;
            emit(out, Response::WriteFileRecord { records })
        }
        Request::ReadFifoQueue { address } => {
            let mut room = RegistersMut::new(scratch.get_mut(..2 * 31).ok_or(FAILED)?);
            let count = device.read_fifo_queue(cx, address, &mut room)?;
            let registers = scratch.get(..2 * count).and_then(port502_wire::Registers::new).ok_or(FAILED)?;
            emit(out, Response::ReadFifoQueue { registers })
        }
        Request::ReadDeviceIdentification { code, object } => {
            let identification = identify(device, cx, code, object, &mut scratch)?;
            emit(out, Response::ReadDeviceIdentification(identification))
        }
        Request::EncapsulatedInterface { mei, data } => {
            let data = device.encapsulated_interface(cx, mei, data, &mut scratch)?;
            emit(out, Response::EncapsulatedInterface { mei, data })
        }
        Request::Other { function, data } => {
            let data = device.other(cx, FunctionCode(function), data, &mut scratch)?;
            emit(out, Response::Other { function, data })
        }
        // The others were dealt with before this was called.
        _ => Err(FAILED),
    }
}

/// Bytes of a response that objects can fill.
const OBJECTS_MAX: usize = PDU_MAX - 7;

/// Chooses the objects of a response (V1.1b3, 6.21): those of the category, from `first` on, as many as fit.
fn identify<'b, D: Device + ?Sized>(
    device: &D,
    cx: &Context<'_>,
    code: ReadDeviceIdCode,
    first: u8,
    scratch: &'b mut [u8],
) -> DeviceResult<DeviceIdentification<'b>> {
    let last_of = |code| match code {
        ReadDeviceIdCode::Basic => 0x02,
        ReadDeviceIdCode::Regular => 0x7F,
        ReadDeviceIdCode::Extended | ReadDeviceIdCode::Specific => 0xFF,
    };
    // One look at the device says its conformity level, and whether it has the first object.
    let (mut highest, mut known) = (0, false);
    device.device_objects(cx, &mut |object| {
        highest = highest.max(object.id);
        known |= object.id == first;
        true
    })?;
    let conformity = 0x80 | if highest > 0x7F { 3 } else { 1 + u8::from(highest > 0x02) };
    let single = code == ReadDeviceIdCode::Specific;
    if single && !known {
        return Err(ExceptionCode::IllegalDataAddress);
    }
    // A stream that is asked to go on at an object that is not there restarts at the first one.
    let from = if known && first <= last_of(code) { first } else { 0 };
    let last = if single { first } else { last_of(code) };
    let room = scratch.get_mut(..OBJECTS_MAX).ok_or(FAILED)?;
    let (mut out, mut next, mut count) = (Writer::new(room), None, 0usize);
    device.device_objects(cx, &mut |object| {
        if object.id < from || object.id > last {
            return true;
        }
        // An object is never split. One that no response can hold would be asked for for ever: it is cut.
        let value = object.value.get(..OBJECTS_MAX - 2).unwrap_or(object.value);
        let len = u8::try_from(value.len()).unwrap_or(u8::MAX);
        match out.reserve(2 + value.len()) {
            Ok([id, length, room @ ..]) => {
                (*id, *length) = (object.id, len);
                room.copy_from_slice(value);
                count += 1;
                true
            }
            _ => {
                next = Some(object.id);
                false
            }
        }
    })?;
    let objects = DeviceObjects::new(count, out.finish()).ok_or(FAILED)?;
    Ok(DeviceIdentification { code, conformity, next, objects })
}
