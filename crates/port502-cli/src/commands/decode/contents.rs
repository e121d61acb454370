//! What stands in a transaction, whichever half of it tells: function, addresses, values.

use port502_session::tap::Transaction;
use port502_site::point;
use port502_wire::view::{self, Range, View};
use port502_wire::{DEVICE_OBJECT_NAMES, ExceptionCode, FunctionCode, Request, Response, SubFunction, Table};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

/// A transaction taken apart.
pub(super) struct Contents<'a> {
    pub(super) function: Option<FunctionCode>,
    pub(super) exception: Option<ExceptionCode>,
    /// What is read; what is written where nothing is.
    pub(super) main: Place<'a>,
    /// What is written besides: 23 does both.
    pub(super) write: Option<Place<'a>>,
    /// Whether `main` is written.
    pub(super) writes: bool,
    pub(super) details: Details,
}

/// Addresses and what stands there.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: Option<Table>,
    pub(super) range: Option<Range>,
    pub(super) values: Option<Values<'a>>,
}

/// Registers or bits as they stand in a PDU; as many as there are.
#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    Registers(&'a [u8]),
    Bits {
        bytes: &'a [u8],
        count: usize,
    },
    /// Of 05, whose value is a word.
    Coil(u16),
}

/// What only some functions have, by name.
#[derive(Default)]
pub(super) struct Details(pub(super) Vec<(&'static str, Value)>);

impl<'a> Values<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = u16> + 'a {
        let (registers, bits, count, coil) = match self {
            Values::Registers(bytes) => (bytes, &[][..], 0, None),
            Values::Bits { bytes, count } => (&[][..], bytes, count, None),
            Values::Coil(word) => (&[][..], &[][..], 0, Some(word)),
        };
        let registers = registers.chunks_exact(2).map(|word| match *word {
            [high, low] => u16::from_be_bytes([high, low]),
            _ => 0, // a chunk of two has two bytes
        });
        let bits = bits.iter().flat_map(|byte| (0..8).map(move |bit| u16::from(byte >> bit & 1))).take(count);
        // What the specification does not allow stays as it came.
        let coil = coil.map(|word| if word == 0xFF00 { 1 } else { word });
        registers.chain(bits).chain(coil)
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'a> Place<'a> {
    fn new(table: Option<Table>, range: Option<Range>, data: Option<&'a [u8]>) -> Self {
        let values = data.and_then(|data| match table {
            Some(table) if table.is_bits() => {
                let there = data.len().saturating_mul(8);
                let count = range.map_or(there, |range| usize::from(range.count).min(there));
                Some(Values::Bits { bytes: data, count })
            }
            Some(_) => Some(Values::Registers(data)),
            None => None,
        });
        Place { table, range, values }
    }

    /// `40101`, where the table and the address are known.
    pub(super) fn reference(&self) -> Option<String> {
        Some(point::reference(self.table?, self.range?.start))
    }
}

impl<'a> Contents<'a> {
    pub(super) fn of(transaction: &Transaction<'a>) -> Self {
        let request_pdu = transaction.request.map(|message| message.pdu);
        let response_pdu = transaction.response.map(|message| message.pdu);
        let request = request_pdu.map(view::request);
        let response = response_pdu.map(view::response);
        let function = request.and_then(|r| r.function).or(response.and_then(|r| r.function));
        let exception = response.and_then(|r| r.exception);
        let facts = function.and_then(FunctionCode::facts);
        let table = facts.and_then(|facts| facts.table);
        let answer = response.filter(|response| response.exception.is_none());
        let of = |view: Option<View<'a>>| view.map(|view| view.data);

        let read = request.and_then(|r| r.read);
        let written = request.or(answer).and_then(|view| view.write);
        let (mut writes, mut write) = (false, None);
        let main = match function {
            Some(FunctionCode::READ_WRITE_MULTIPLE_REGISTERS) => {
                write = Some(Place::new(table, written, of(request)));
                Place::new(table, read, of(answer))
            }
            Some(FunctionCode::WRITE_SINGLE_COIL) => {
                writes = true;
                let values = match of(request).or(of(answer)) {
                    Some(&[high, low]) => Some(Values::Coil(u16::from_be_bytes([high, low]))),
                    _ => None,
                };
                Place { table, range: written, values }
            }
            // The answer repeats the value of one register, but not those of many; a mask is no value.
            Some(FunctionCode::WRITE_SINGLE_REGISTER) => {
                writes = true;
                Place::new(table, written, of(request).or(of(answer)))
            }
            Some(FunctionCode::WRITE_MULTIPLE_COILS | FunctionCode::WRITE_MULTIPLE_REGISTERS) => {
                writes = true;
                Place::new(table, written, of(request))
            }
            Some(FunctionCode::MASK_WRITE_REGISTER) => {
                writes = true;
                Place::new(table, written, None)
            }
            _ => Place::new(table, read, of(answer)),
        };
        let details = details(function, request, answer, request_pdu, response_pdu);
        Contents { function, exception, main, write, writes, details }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 });
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0x0F));
    }
    text
}

/// Text of a device: what is no printable ASCII is escaped.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Of the functions that do not work on one of the four tables.
fn details(
    function: Option<FunctionCode>,
    request: Option<View<'_>>,
    answer: Option<View<'_>>,
    request_pdu: Option<&[u8]>,
    response_pdu: Option<&[u8]>,
) -> Details {
    let mut details = Details::default();
    let mut add = |name, value: Value| details.0.push((name, value));
    let asked = request_pdu.and_then(|pdu| Request::parse(pdu).ok());
    let answered = response_pdu.and_then(|pdu| Response::parse(pdu).ok());
    match function {
        Some(FunctionCode::DIAGNOSTICS) => {
            let view = request.or(answer);
            if let Some(sub) = view.and_then(|view| view.sub) {
                add("sub_function", sub.into());
                add("sub_function_name", SubFunction(sub).name().into());
            }
            if let Some(view) = request {
                add("data", hex(view.data).into());
            }
            if let Some(view) = answer {
                add("response_data", hex(view.data).into());
            }
        }
        Some(FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT) => {
            if let Some(mei) = request.or(answer).and_then(|view| view.sub) {
                add("mei", mei.into());
            }
            if let Some(Request::ReadDeviceIdentification { code, object }) = asked {
                add("code", code.code().into());
                add("object", object.into());
            }
            if let Some(Response::ReadDeviceIdentification(found)) = answered {
                add("conformity", found.conformity.into());
                add("next_object", found.next.map_or(Value::Null, Value::from));
                let objects = found.objects.iter().map(|object| {
                    let name = DEVICE_OBJECT_NAMES.get(usize::from(object.id)).copied();
                    json!({ "id": object.id, "name": name, "value": text(object.value) })
                });
                add("objects", objects.collect::<Vec<_>>().into());
            }
        }
        Some(FunctionCode::MASK_WRITE_REGISTER) => {
            if let Some(Request::MaskWriteRegister { and, or, .. }) = asked {
                add("and", and.into());
                add("or", or.into());
            }
        }
        Some(FunctionCode::READ_FILE_RECORD) => {
            if let Some(Request::ReadFileRecord { records }) = asked {
                let read = match answered {
                    Some(Response::ReadFileRecord { records }) => Some(records),
                    _ => None,
                };
                let mut values = read.map(|read| read.iter());
                let records = records.iter().map(|run| {
                    let values = values.as_mut().and_then(Iterator::next);
                    let values = values.map(|values| values.iter().collect::<Vec<_>>());
                    json!({ "file": run.file, "record": run.record, "quantity": run.length, "values": values })
                });
                add("records", records.collect::<Vec<_>>().into());
            }
        }
        Some(FunctionCode::WRITE_FILE_RECORD) => {
            let written = match (asked, answered) {
                (Some(Request::WriteFileRecord { records }), _)
                | (None, Some(Response::WriteFileRecord { records })) => Some(records),
                _ => None,
            };
            if let Some(records) = written {
                let records = records.iter().map(|run| {
                    let values: Vec<_> = run.registers.iter().collect();
                    json!({ "file": run.file, "record": run.record, "quantity": values.len(), "values": values })
                });
                add("records", records.collect::<Vec<_>>().into());
            }
        }
        _ => match answered {
            Some(Response::ReadExceptionStatus { status }) => add("status", status.into()),
            Some(Response::GetCommEventCounter { status, events }) => {
                add("status", status.into());
                add("events", events.into());
            }
            Some(Response::GetCommEventLog { status, events, messages, log }) => {
                add("status", status.into());
                add("events", events.into());
                add("messages", messages.into());
                add("log", hex(log).into());
            }
            Some(Response::ReportServerId { data }) => {
                add("data", hex(data).into());
                add("text", text(data).into());
            }
            _ => {}
        },
    }
    details
}
