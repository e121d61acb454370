//! Modbus/TCP: device identification (V1.1b3, section 6.21), basic, of unit 255.

use port502_wire::{ExceptionCode, Response};

use super::{Answer as Any, Fields, Progress, text};

/// Transaction 1, unit 255, function 43/14, basic, from object 0. A server by itself answers to unit 255, and a gateway
/// with an exception of its own.
pub const REQUEST: [u8; 11] = [0, 1, 0, 0, 0, 5, 0xFF, 0x2B, 0x0E, 1, 0];

/// What a Modbus server said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Who it is: objects by number.
    Identification(Vec<(u8, String)>),
    /// It does not say who it is, and this is the exception that it answered with.
    Exception(u8),
    /// It answers the function, with something else than the specification has.
    Unreadable,
}

impl Answer {
    /// The exception in the specification's words, where it is one of those.
    pub fn exception(&self) -> Option<ExceptionCode> {
        match self {
            Answer::Exception(code) => Some(ExceptionCode::from(*code)),
            _ => None,
        }
    }
}

/// Reads what has come so far.
pub fn read(bytes: &[u8]) -> Progress {
    // An echo is no answer, though function and transaction are right.
    if !bytes.is_empty() && REQUEST.starts_with(bytes) {
        return if bytes.len() == REQUEST.len() { Progress::No } else { Progress::More };
    }
    let head = bytes.len().min(4);
    if bytes.get(..head) != REQUEST.get(..head) {
        return Progress::No;
    }
    let mut fields = Fields(bytes);
    let _ = fields.take(4);
    let Some(len) = fields.u16_be() else { return Progress::More };
    if !(3..=254).contains(&len) {
        return Progress::No;
    }
    // Which unit answers is not looked at: a server by itself may well say its own id instead of the 255 it was asked as,
    // which says nothing of whether it is Modbus.
    let (Some(_), Some(function)) = (fields.u8(), fields.0.first()) else { return Progress::More };
    if !matches!(function, 0x2B | 0xAB) {
        return Progress::No;
    }
    let Some(pdu) = fields.take(usize::from(len) - 1) else { return Progress::More };
    Progress::Done(Any::Modbus(match (pdu, Response::parse(pdu)) {
        ([0xAB, code, ..], _) => Answer::Exception(*code),
        (_, Ok(Response::ReadDeviceIdentification(part))) => Answer::Identification(
            part.objects.iter().map(|object| (object.id, text(object.value))).collect(),
        ),
        _ => Answer::Unreadable,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let whole = |pdu: &[u8]| {
            let len = u8::try_from(pdu.len() + 1).unwrap();
            read(&[&[0, 1, 0, 0, 0, len, 0xFF], pdu].concat())
        };
        let done = |answer| Progress::Done(Any::Modbus(answer));
        let vendor = [0x2B, 0x0E, 1, 1, 0, 0, 1, 0, 4, b'A', b'C', b'M', b'E'];
        assert_eq!(whole(&vendor), done(Answer::Identification(vec![(0, "ACME".into())])));
        assert_eq!(whole(&[0xAB, 1]), done(Answer::Exception(1)));
        assert_eq!(whole(&[0x2B, 0x0D, 9]), done(Answer::Unreadable));
        assert_eq!(whole(&[0x83, 1]), Progress::No);
        assert_eq!(read(&[]), Progress::More);
        assert_eq!(read(&[0, 1, 0, 0, 0, 3, 0xFF, 0xAB]), Progress::More);
        // A server may answer with its own unit id.
        for unit in [0, 1, 17, 247] {
            assert_eq!(read(&[0, 1, 0, 0, 0, 3, unit, 0xAB, 1]), done(Answer::Exception(1)), "unit {unit}");
        }
        // The transaction and the protocol must be those asked.
        for other in [&[0, 2, 0, 0, 0, 3, 0xFF, 0xAB, 1], &[0, 1, 0, 1, 0, 3, 0xFF, 0xAB, 1]] {
            assert_eq!(read(other), Progress::No, "{other:02x?}");
        }
        assert_eq!(read(&REQUEST), Progress::No);
        assert_eq!(read(b"HTTP/1.1"), Progress::No);
    }
}
