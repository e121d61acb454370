//! A frame taken apart: every field with its offset, its bytes and what they mean.

use port502_site::point::reference;
use port502_wire::view::{self, Range};
use port502_wire::{
    Anomalies, Anomaly, DEVICE_OBJECT_NAMES, ExceptionCode, FunctionCode, ReadDeviceIdCode, Request,
    Response, SubFunction, Table, UnitId,
};

use super::contents::text;
use super::frames::{Frame, Link, Way};

/// The MEI type of a device identification, with which 43 is more than a tunnel.
const MEI_IDENTIFICATION: u8 = 14;

/// One field. The offset counts from the start of the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Field {
    pub(super) offset: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) name: String,
    pub(super) value: String,
}

/// A frame, explained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Explanation {
    pub(super) fields: Vec<Field>,
    /// What it does, in words.
    pub(super) meaning: Option<String>,
    /// What is wrong, in words.
    pub(super) problems: Vec<String>,
    pub(super) anomalies: Anomalies,
    /// What a server answers to a request that is wrong.
    pub(super) exception: Option<ExceptionCode>,
}

/// Explains a frame that went the given way. `asked` is the request that it answers, where that is known.
pub(super) fn explain(frame: &Frame<'_>, way: Way, asked: Option<&[u8]>) -> Explanation {
    let mut walk =
        Walk { bytes: frame.bytes, base: frame.offset, at: 0, end: frame.bytes.len(), fields: vec![] };
    if frame.link == Link::Tcp {
        walk.u16("transaction id", |id| id.to_string());
        walk.u16(
            "protocol id",
            |id| if id == 0 { "0: Modbus".to_owned() } else { format!("{id}: not Modbus") },
        );
        walk.u16("length", |length| format!("{length}: unit and PDU"));
    }
    if frame.unit.is_some() {
        walk.u8("unit id", |unit| unit_text(unit, frame.link));
    }
    walk.end = frame.pdu.end;
    match way {
        Way::Request | Way::Either => request(&mut walk),
        Way::Response => response(&mut walk, asked),
    }
    // Of a function without a rule nothing is known but where it ends.
    let known = frame.pdu().first().is_some_and(|code| FunctionCode(code & 0x7F).facts().is_some());
    walk.rest(if known { "further bytes" } else { "data" });
    walk.end = frame.bytes.len();
    let check = match frame.link {
        Link::Rtu => "CRC",
        Link::Ascii => "LRC",
        Link::Tcp | Link::Pdu => "further bytes",
    };
    let right = if frame.problems.is_empty() { "right" } else { "wrong" };
    if let Some(field) = walk.rest(check) {
        right.clone_into(&mut field.value);
    }
    judge(frame, way, asked, walk.fields)
}

fn judge(frame: &Frame<'_>, way: Way, asked: Option<&[u8]>, fields: Vec<Field>) -> Explanation {
    let pdu = frame.pdu();
    let mut problems = frame.problems.clone();
    let mut exception = None;
    let mut anomalies = match way {
        Way::Response => view::response(pdu).anomalies,
        Way::Request | Way::Either => view::request(pdu).anomalies,
    };
    match way {
        Way::Request | Way::Either => {
            match Request::parse(pdu) {
                Err(error) if frame.problems.is_empty() => {
                    let answer = error.exception();
                    problems.push(format!("{error}; a server answers exception {answer}"));
                    exception = Some(answer);
                }
                // A frame that is wrong around the PDU is not answered; that it is cut has been said.
                Err(error) if !pdu.is_empty() => problems.push(error.to_string()),
                _ => {}
            }
        }
        Way::Response => match (Response::parse(pdu), asked.map(Request::parse)) {
            (Err(error), _) => problems.push(error.to_string()),
            (Ok(response), Some(Ok(asked))) => {
                if let Err(mismatch) = response.answers(&asked) {
                    anomalies.add(mismatch.into());
                    problems.push(format!("{mismatch} (the frame before)"));
                }
            }
            _ => {}
        },
    }
    if matches!(frame.link, Link::Rtu | Link::Ascii) && !frame.problems.is_empty() {
        anomalies.add(Anomaly::Check);
    }
    let meaning = meaning(pdu, way, frame);
    Explanation { fields, meaning, problems, anomalies, exception }
}

fn unit_text(unit: u8, link: Link) -> String {
    match (UnitId(unit), link) {
        (UnitId::BROADCAST, Link::Rtu | Link::Ascii) => "0: broadcast, which nobody answers".to_owned(),
        (UnitId::BROADCAST | UnitId::DIRECT, _) => format!("{unit}: the device itself"),
        _ if unit > 247 => format!("{unit}: reserved"),
        _ => unit.to_string(),
    }
}

/// What a request does, in words: places with both of their names.
fn meaning(pdu: &[u8], way: Way, frame: &Frame<'_>) -> Option<String> {
    let view = match way {
        Way::Response => view::response(pdu),
        Way::Request | Way::Either => view::request(pdu),
    };
    if let Some(exception) = view.exception {
        return Some(format!("refuses {}: {}", view.function?, exception.name()));
    }
    let table = view.table()?;
    let place = |range: Range| {
        let Range { start, count } = range;
        let last = start.checked_add(count.checked_sub(1)?)?;
        Some(if count == 1 {
            format!("{table}:{start} ({})", reference(table, start))
        } else {
            let (first, end) = (reference(table, start), reference(table, last));
            format!("{table}:{start}*{count}, up to {table}:{last} ({first} to {end})")
        })
    };
    let parts = [("writes", view.write), ("reads", view.read)];
    let verbs = parts.into_iter().filter_map(|(verb, range)| Some(format!("{verb} {}", place(range?)?)));
    let text = verbs.collect::<Vec<_>>().join(", then ");
    let to_all = frame.unit() == Some(0) && matches!(frame.link, Link::Rtu | Link::Ascii);
    (!text.is_empty()).then(|| if to_all { format!("{text}, of every device on the line") } else { text })
}

/// Goes over the bytes field by field.
struct Walk<'a> {
    bytes: &'a [u8],
    /// Offset of the frame in the input.
    base: usize,
    at: usize,
    /// Where the part ends that is being walked.
    end: usize,
    fields: Vec<Field>,
}

impl<'a> Walk<'a> {
    /// The next `len` bytes, as a field; what is left of it where it is cut.
    fn take(
        &mut self,
        len: usize,
        name: impl Into<String>,
        value: impl FnOnce(&'a [u8]) -> String,
    ) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.end).unwrap_or_default();
        let (bytes, whole) = match bytes.get(..len) {
            Some(bytes) => (bytes, true),
            None => (bytes, false),
        };
        if bytes.is_empty() {
            return None;
        }
        let value =
            if whole { value(bytes) } else { format!("cut: {} bytes are missing", len - bytes.len()) };
        let offset = self.base + self.at;
        self.fields.push(Field { offset, bytes: bytes.to_vec(), name: name.into(), value });
        self.at += bytes.len();
        whole.then_some(bytes)
    }

    fn u8(&mut self, name: impl Into<String>, value: impl FnOnce(u8) -> String) -> Option<u8> {
        let bytes = self.take(1, name, |bytes| value(bytes.first().copied().unwrap_or_default()))?;
        bytes.first().copied()
    }

    fn u16(&mut self, name: impl Into<String>, value: impl FnOnce(u16) -> String) -> Option<u16> {
        let bytes = self.take(2, name, |bytes| value(word(bytes)))?;
        Some(word(bytes))
    }

    fn left(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    /// All that is left, as one field.
    fn rest(&mut self, name: &str) -> Option<&mut Field> {
        let len = self.left();
        if len == 0 {
            return None;
        }
        self.take(len, name, text);
        self.fields.last_mut()
    }

    /// Registers, one field each; numbered from `start` of `table` where that is known.
    fn registers(&mut self, table: Table, start: Option<u16>) {
        let mut index: u16 = 0;
        while self.left() > 0 {
            let name = item(table, start, index);
            self.u16(name, number);
            index = index.saturating_add(1);
        }
    }

    /// Bits, one field for each byte of them; at most `count`, the others pad.
    fn bits(&mut self, table: Table, start: Option<u16>, count: Option<u16>) {
        let mut index: u16 = 0;
        while self.left() > 0 {
            let here = count.map_or(8, |count| count.saturating_sub(index).min(8));
            let name = match here {
                0 => "padding".to_owned(),
                1 => item(table, start, index),
                _ => {
                    let last = item(table, start, index.saturating_add(here - 1));
                    let last = last.rsplit(' ').next().unwrap_or_default();
                    format!("{} to {last}", item(table, start, index))
                }
            };
            self.u8(name, |byte| {
                let bits = (0..here).map(|bit| if byte >> bit & 1 == 1 { "1" } else { "0" });
                bits.collect::<Vec<_>>().join(" ")
            });
            index = index.saturating_add(8);
        }
    }
}

fn word(bytes: &[u8]) -> u16 {
    match *bytes {
        [high, low] => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}

/// `holding 107`, or `holding #1` where the address is not known.
fn item(table: Table, start: Option<u16>, index: u16) -> String {
    match start.map(|start| start.checked_add(index)) {
        Some(Some(address)) => format!("{table} {address}"),
        Some(None) => format!("{table} past 65535"),
        None => format!("{table} #{}", u32::from(index) + 1),
    }
}

fn number(value: u16) -> String {
    let signed = value.cast_signed();
    if signed < 0 {
        format!("{value} (0x{value:04X}, signed {signed})")
    } else {
        format!("{value} (0x{value:04X})")
    }
}

fn address_of(table: Table) -> impl Fn(u16) -> String {
    move |address| format!("{address} (0x{address:04X}), reference {}", reference(table, address))
}

fn byte_count(count: u8) -> String {
    count.to_string()
}

fn plain(value: u16) -> String {
    value.to_string()
}

fn function(walk: &mut Walk<'_>) -> Option<FunctionCode> {
    let code = walk.u8("function", |code| {
        let (bare, refused) = (FunctionCode(code & 0x7F), code >= 0x80);
        let section = bare.facts().map_or(String::new(), |facts| format!(" (V1.1b3, {})", facts.section));
        if refused { format!("{code}: exception to {bare}{section}") } else { format!("{bare}{section}") }
    })?;
    Some(FunctionCode(code))
}

fn request(walk: &mut Walk<'_>) {
    let Some(function) = function(walk) else { return };
    // Functions without a table have no address.
    let table = function.facts().and_then(|facts| facts.table).unwrap_or(Table::HoldingRegisters);
    match function {
        FunctionCode::READ_COILS
        | FunctionCode::READ_DISCRETE_INPUTS
        | FunctionCode::READ_HOLDING_REGISTERS
        | FunctionCode::READ_INPUT_REGISTERS => {
            walk.u16("address", address_of(table));
            walk.u16("quantity", plain);
        }
        FunctionCode::WRITE_SINGLE_COIL
        | FunctionCode::WRITE_SINGLE_REGISTER
        | FunctionCode::MASK_WRITE_REGISTER => one(walk, function, table),
        FunctionCode::WRITE_MULTIPLE_COILS => {
            let start = walk.u16("address", address_of(table));
            let count = walk.u16("quantity", plain);
            walk.u8("byte count", byte_count);
            walk.bits(table, start, count);
        }
        FunctionCode::WRITE_MULTIPLE_REGISTERS => {
            let start = walk.u16("address", address_of(table));
            walk.u16("quantity", plain);
            walk.u8("byte count", byte_count);
            walk.registers(table, start);
        }
        FunctionCode::READ_WRITE_MULTIPLE_REGISTERS => {
            walk.u16("read address", address_of(table));
            walk.u16("read quantity", plain);
            let start = walk.u16("write address", address_of(table));
            walk.u16("write quantity", plain);
            walk.u8("byte count", byte_count);
            walk.registers(table, start);
        }
        FunctionCode::READ_FIFO_QUEUE => {
            walk.u16("address", address_of(table));
        }
        FunctionCode::READ_FILE_RECORD => {
            walk.u8("byte count", byte_count);
            while walk.left() > 0 {
                file_header(walk);
            }
        }
        FunctionCode::WRITE_FILE_RECORD => written_files(walk),
        FunctionCode::DIAGNOSTICS => diagnostics(walk),
        FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT => identification_request(walk),
        _ => {}
    }
}

/// One place and what is written there; responses repeat it.
fn one(walk: &mut Walk<'_>, function: FunctionCode, table: Table) {
    walk.u16("address", address_of(table));
    match function {
        FunctionCode::WRITE_SINGLE_COIL => {
            walk.u16("value", |value| match value {
                0xFF00 => "on".to_owned(),
                0 => "off".to_owned(),
                _ => format!("0x{value:04X} is neither on (FF00) nor off (0000)"),
            });
        }
        FunctionCode::MASK_WRITE_REGISTER => {
            walk.u16("and mask", |mask| format!("0x{mask:04X}: these bits stay"));
            walk.u16("or mask", |mask| format!("0x{mask:04X}: what the others become"));
        }
        _ => {
            walk.u16("value", number);
        }
    }
}

fn file_header(walk: &mut Walk<'_>) -> Option<u16> {
    walk.u8("reference type", |kind| kind.to_string());
    walk.u16("file", plain);
    walk.u16("record", plain);
    walk.u16("record length", |length| format!("{length} registers"))
}

fn written_files(walk: &mut Walk<'_>) {
    walk.u8("byte count", byte_count);
    while walk.left() > 0 {
        let length = file_header(walk).unwrap_or(0);
        for index in 1..=length {
            if walk.u16(format!("register #{index}"), number).is_none() {
                break;
            }
        }
    }
}

fn diagnostics(walk: &mut Walk<'_>) {
    walk.u16("sub-function", |sub| format!("{sub} {}", SubFunction(sub).name()));
    while walk.left() > 0 {
        walk.u16("data", number);
    }
}

fn mei(walk: &mut Walk<'_>) -> Option<u8> {
    walk.u8("MEI type", |mei| {
        let name = match mei {
            13 => "CANopen",
            MEI_IDENTIFICATION => "ReadDeviceIdentification",
            _ => "reserved",
        };
        format!("{mei} {name}")
    })
}

fn read_code(walk: &mut Walk<'_>) {
    walk.u8("read code", |code| {
        let name = match ReadDeviceIdCode::from_code(code) {
            Some(ReadDeviceIdCode::Basic) => "basic objects, 0 to 2",
            Some(ReadDeviceIdCode::Regular) => "regular objects, 0 to 127",
            Some(ReadDeviceIdCode::Extended) => "all objects",
            Some(ReadDeviceIdCode::Specific) => "one object",
            None => "not within 1 to 4",
        };
        format!("{code}: {name}")
    });
}

fn object(id: u8) -> String {
    match DEVICE_OBJECT_NAMES.get(usize::from(id)) {
        Some(name) => format!("{id} {name}"),
        None if id >= 0x80 => format!("{id}: the vendor's own"),
        None => format!("{id}: reserved"),
    }
}

fn response(walk: &mut Walk<'_>, asked: Option<&[u8]>) {
    let Some(function) = function(walk) else { return };
    if function.0 >= 0x80 {
        walk.u8("exception code", |code| {
            let exception = ExceptionCode::from(code);
            format!("{exception}: {}", exception_meaning(exception))
        });
        return;
    }
    let asked = asked.map(view::request).filter(|asked| asked.function == Some(function));
    let range = asked.and_then(|asked| asked.read);
    let (start, count) = (range.map(|range| range.start), range.map(|range| range.count));
    let table = function.facts().and_then(|facts| facts.table).unwrap_or(Table::HoldingRegisters);
    match function {
        FunctionCode::READ_COILS | FunctionCode::READ_DISCRETE_INPUTS => {
            walk.u8("byte count", byte_count);
            walk.bits(table, start, count);
        }
        FunctionCode::READ_HOLDING_REGISTERS
        | FunctionCode::READ_INPUT_REGISTERS
        | FunctionCode::READ_WRITE_MULTIPLE_REGISTERS => {
            walk.u8("byte count", byte_count);
            walk.registers(table, start);
        }
        FunctionCode::WRITE_SINGLE_COIL
        | FunctionCode::WRITE_SINGLE_REGISTER
        | FunctionCode::MASK_WRITE_REGISTER => one(walk, function, table),
        FunctionCode::WRITE_MULTIPLE_COILS | FunctionCode::WRITE_MULTIPLE_REGISTERS => {
            walk.u16("address", address_of(table));
            walk.u16("quantity", plain);
        }
        FunctionCode::READ_EXCEPTION_STATUS => {
            walk.u8("status", |status| format!("0b{status:08b}: eight bits of the vendor's"));
        }
        FunctionCode::DIAGNOSTICS => diagnostics(walk),
        FunctionCode::GET_COMM_EVENT_COUNTER => {
            busy(walk);
            walk.u16("event count", plain);
        }
        FunctionCode::GET_COMM_EVENT_LOG => {
            walk.u8("byte count", byte_count);
            busy(walk);
            walk.u16("event count", plain);
            walk.u16("message count", plain);
            while walk.left() > 0 {
                walk.u8("event", event);
            }
        }
        FunctionCode::REPORT_SERVER_ID => {
            walk.u8("byte count", byte_count);
            walk.rest("server id, run indicator, more");
        }
        FunctionCode::READ_FILE_RECORD => {
            walk.u8("byte count", byte_count);
            while walk.left() > 0 {
                let length = walk.u8("run length", |length| format!("{length} bytes")).unwrap_or(0);
                walk.u8("reference type", |kind| kind.to_string());
                for index in 1..=length.saturating_sub(1) / 2 {
                    if walk.u16(format!("register #{index}"), number).is_none() {
                        break;
                    }
                }
            }
        }
        FunctionCode::WRITE_FILE_RECORD => written_files(walk),
        FunctionCode::READ_FIFO_QUEUE => {
            walk.u16("byte count", plain);
            walk.u16("queue count", plain);
            let mut index = 1;
            while walk.left() > 0 {
                walk.u16(format!("queued #{index}"), number);
                index += 1;
            }
        }
        FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT => identification(walk),
        _ => {}
    }
}

fn busy(walk: &mut Walk<'_>) {
    walk.u16("status", |status| match status {
        0 => "0: ready".to_owned(),
        0xFFFF => "0xFFFF: a program command is being processed".to_owned(),
        other => format!("0x{other:04X} is neither ready (0000) nor busy (FFFF)"),
    });
}

fn identification_request(walk: &mut Walk<'_>) {
    if mei(walk) == Some(MEI_IDENTIFICATION) {
        read_code(walk);
        walk.u8("object id", object);
    }
}

fn identification(walk: &mut Walk<'_>) {
    if mei(walk) != Some(MEI_IDENTIFICATION) {
        return;
    }
    read_code(walk);
    walk.u8("conformity level", |level| {
        let single = if level & 0x80 == 0 { "as a stream only" } else { "as a stream and one by one" };
        match level & 0x7F {
            1 => format!("0x{level:02X}: basic objects, {single}"),
            2 => format!("0x{level:02X}: regular objects, {single}"),
            3 => format!("0x{level:02X}: extended objects, {single}"),
            _ => format!("0x{level:02X} is no conformity level"),
        }
    });
    walk.u8("more follows", |more| match more {
        0 => "no".to_owned(),
        0xFF => "yes".to_owned(),
        other => format!("0x{other:02X} is neither no (00) nor yes (FF)"),
    });
    walk.u8("next object id", |id| id.to_string());
    let count = walk.u8("objects", byte_count).unwrap_or(0);
    for _ in 0..count {
        walk.u8("object id", object);
        let Some(len) = walk.u8("object length", byte_count) else { break };
        walk.take(usize::from(len), "object value", text);
    }
}

/// An entry of the communication event log (V1.1b3, 6.10).
fn event(event: u8) -> String {
    let list = |what: &str, bits: &[(u8, &str)]| {
        let names = bits.iter().filter(|(bit, _)| event >> bit & 1 == 1).map(|(_, name)| *name);
        let names: Vec<_> = names.collect();
        if names.is_empty() { what.to_owned() } else { format!("{what}: {}", names.join(", ")) }
    };
    match event {
        0x00 => "communication restarted".to_owned(),
        0x04 => "listen-only mode entered".to_owned(),
        0x80.. => list(
            "received",
            &[(1, "communication error"), (4, "overrun"), (5, "in listen-only mode"), (6, "broadcast")],
        ),
        0x40.. => list(
            "sent",
            &[
                (0, "exception 1 to 3"),
                (1, "exception 4"),
                (2, "exception 5 or 6"),
                (3, "exception 7"),
                (4, "write timeout"),
                (5, "in listen-only mode"),
            ],
        ),
        other => format!("0x{other:02X}: not defined"),
    }
}

/// What to make of an exception.
fn exception_meaning(exception: ExceptionCode) -> &'static str {
    match exception {
        ExceptionCode::IllegalFunction => "the server does not offer the function",
        ExceptionCode::IllegalDataAddress => "the server does not have all of these addresses",
        ExceptionCode::IllegalDataValue => "the request's structure or quantity is wrong",
        ExceptionCode::ServerDeviceFailure => "the server failed while it carried the request out",
        ExceptionCode::Acknowledge => "accepted, and it takes long: ask again later",
        ExceptionCode::ServerDeviceBusy => "send it again later",
        ExceptionCode::NegativeAcknowledge => "the program function is refused",
        ExceptionCode::MemoryParityError => "the file's memory failed its check",
        ExceptionCode::GatewayPathUnavailable => "the gateway has no path to the unit",
        ExceptionCode::GatewayTargetFailedToRespond => "the unit behind the gateway did not answer",
        ExceptionCode::Other(_) => "the specification gives this code no meaning",
    }
}
