//! The lenient reading of a PDU: it never fails, returns what could be read, and names what is wrong.
//!
//! It agrees with the strict parser by construction: a view has a PDU anomaly when, and only when,
//! [`Request::parse`] or [`Response::parse`] refuses the same bytes (the exception codes that the
//! specification leaves undefined are the one thing that a view reports and the parser lets pass).

use crate::{Anomalies, Anomaly, ExceptionCode, FunctionCode, Request, Response, Table, function::Facts};

/// Addresses that a request or its answer names. Unlike a [`Span`](crate::Span) it promises nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Range {
    /// The first address.
    pub start: u16,
    /// The quantity, as it came.
    pub count: u16,
}

/// What could be read of a PDU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View<'a> {
    /// The function code, without an exception's high bit; `None` for an empty PDU.
    pub function: Option<FunctionCode>,
    /// The sub-function of 08, the MEI type of 43.
    pub sub: Option<u16>,
    /// Why it was refused, for an exception.
    pub exception: Option<ExceptionCode>,
    /// What is read: a request's range.
    pub read: Option<Range>,
    /// What is written: a request's range, or that of a response which repeats it.
    pub write: Option<Range>,
    /// The values: registers and coils as they stand in the PDU, as many as there are; for functions without
    /// values whatever follows the fields above.
    pub data: &'a [u8],
    /// Where the strict parser would refuse.
    pub anomalies: Anomalies,
}

fn word(body: &[u8], at: usize) -> Option<u16> {
    match body.get(at..at.checked_add(2)?) {
        Some(&[high, low]) => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

fn range(body: &[u8], at: usize) -> Option<Range> {
    Some(Range { start: word(body, at)?, count: word(body, at + 2)? })
}

/// Of a function that names one address and no quantity.
fn one(body: &[u8]) -> Option<Range> {
    Some(Range { start: word(body, 0)?, count: 1 })
}

fn from(body: &[u8], at: usize) -> &[u8] {
    body.get(at..).unwrap_or_default()
}

impl View<'_> {
    /// The table that the function works on.
    #[must_use]
    pub fn table(&self) -> Option<Table> {
        self.facts().and_then(|facts| facts.table)
    }

    /// The function's row of [`FACTS`](crate::function::FACTS).
    #[must_use]
    pub fn facts(&self) -> Option<&'static Facts> {
        self.function.and_then(FunctionCode::facts)
    }
}

/// Reads a request.
#[must_use]
pub fn request(pdu: &[u8]) -> View<'_> {
    let anomalies = Request::parse(pdu).err().map_or(Anomalies::NONE, |e| Anomaly::from(e).into());
    let Some((&function, body)) = pdu.split_first() else { return empty(anomalies) };
    let function = FunctionCode(function);
    let mut view = View { function: Some(function), data: body, anomalies, ..empty(anomalies) };
    match function {
        FunctionCode::READ_COILS
        | FunctionCode::READ_DISCRETE_INPUTS
        | FunctionCode::READ_HOLDING_REGISTERS
        | FunctionCode::READ_INPUT_REGISTERS => {
            view.read = range(body, 0);
            view.data = from(body, 4);
        }
        FunctionCode::WRITE_SINGLE_COIL
        | FunctionCode::WRITE_SINGLE_REGISTER
        | FunctionCode::MASK_WRITE_REGISTER => {
            view.write = one(body);
            view.data = from(body, 2);
        }
        FunctionCode::WRITE_MULTIPLE_COILS | FunctionCode::WRITE_MULTIPLE_REGISTERS => {
            view.write = range(body, 0);
            view.data = from(body, 5);
        }
        FunctionCode::READ_WRITE_MULTIPLE_REGISTERS => {
            view.read = range(body, 0);
            view.write = range(body, 4);
            view.data = from(body, 9);
        }
        FunctionCode::READ_FIFO_QUEUE => {
            view.read = one(body);
            view.data = from(body, 2);
        }
        FunctionCode::READ_FILE_RECORD | FunctionCode::WRITE_FILE_RECORD => view.data = from(body, 1),
        _ => sub_function(&mut view, body),
    }
    view
}

/// Reads a response.
#[must_use]
pub fn response(pdu: &[u8]) -> View<'_> {
    let mut anomalies = Response::parse(pdu).err().map_or(Anomalies::NONE, |e| Anomaly::from(e).into());
    let Some((&function, body)) = pdu.split_first() else { return empty(anomalies) };
    if function >= 0x80 {
        let exception = body.first().map(|&code| ExceptionCode::from(code));
        if let Some(ExceptionCode::Other(_)) = exception {
            anomalies.add(Anomaly::ExceptionCode);
        }
        let function = Some(FunctionCode(function & 0x7F));
        return View { function, exception, data: from(body, 1), ..empty(anomalies) };
    }
    let function = FunctionCode(function);
    let mut view = View { function: Some(function), data: body, ..empty(anomalies) };
    match function {
        FunctionCode::READ_COILS
        | FunctionCode::READ_DISCRETE_INPUTS
        | FunctionCode::READ_HOLDING_REGISTERS
        | FunctionCode::READ_INPUT_REGISTERS
        | FunctionCode::READ_WRITE_MULTIPLE_REGISTERS
        | FunctionCode::GET_COMM_EVENT_LOG
        | FunctionCode::REPORT_SERVER_ID
        | FunctionCode::READ_FILE_RECORD
        | FunctionCode::WRITE_FILE_RECORD => view.data = from(body, 1),
        FunctionCode::WRITE_SINGLE_COIL
        | FunctionCode::WRITE_SINGLE_REGISTER
        | FunctionCode::MASK_WRITE_REGISTER => {
            view.write = one(body);
            view.data = from(body, 2);
        }
        FunctionCode::WRITE_MULTIPLE_COILS | FunctionCode::WRITE_MULTIPLE_REGISTERS => {
            view.write = range(body, 0);
            view.data = from(body, 4);
        }
        FunctionCode::READ_FIFO_QUEUE => view.data = from(body, 4),
        _ => sub_function(&mut view, body),
    }
    view
}

/// 08 and 43 say what they are in the first field.
fn sub_function<'a>(view: &mut View<'a>, body: &'a [u8]) {
    match view.function {
        Some(FunctionCode::DIAGNOSTICS) => {
            view.sub = word(body, 0);
            view.data = from(body, 2);
        }
        Some(FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT) => {
            view.sub = body.first().copied().map(u16::from);
            view.data = from(body, 1);
        }
        _ => {}
    }
}

const fn empty<'a>(anomalies: Anomalies) -> View<'a> {
    View { function: None, sub: None, exception: None, read: None, write: None, data: &[], anomalies }
}
