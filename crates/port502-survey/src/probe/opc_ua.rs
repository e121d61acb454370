//! OPC UA over TCP: Hello (OPC 10000-6, section 7.1.2), which opens no channel and no session.

use std::net::SocketAddr;

use super::{Answer as Any, Fields, Progress, text};

/// What an OPC UA server said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It takes the connection.
    Acknowledge,
    /// It refuses it.
    Error {
        /// The status code.
        code: u32,
        /// Why, in its words.
        reason: String,
    },
}

/// Bytes that we would take in one chunk: the least that the specification allows.
const BUFFER: u32 = 8_192;

/// The largest message that is an answer to Hello.
const MESSAGE_MAX: u32 = 8_192;

/// The request, which names the endpoint that it is sent to.
pub fn hello(at: SocketAddr) -> Vec<u8> {
    let url = format!("opc.tcp://{at}/");
    let len = u32::try_from(url.len()).unwrap_or_default();
    let mut message = b"HELF".to_vec();
    message.extend((32 + len).to_le_bytes());
    // The version, our buffers, and no limits of messages and chunks.
    for field in [0, BUFFER, BUFFER, 0, 0, len] {
        message.extend(field.to_le_bytes());
    }
    message.extend(url.bytes());
    message
}

/// Reads what has come so far.
pub fn read(bytes: &[u8]) -> Progress {
    let kind = bytes.get(..bytes.len().min(4)).unwrap_or_default();
    let is = |want: &[u8]| want.starts_with(kind);
    if !is(b"ACKF") && !is(b"ERRF") {
        return Progress::No;
    }
    let mut fields = Fields(bytes);
    let Some(size) = fields.take(4).and_then(|_| fields.u32_le()) else { return Progress::More };
    if !(16..=MESSAGE_MAX).contains(&size) {
        return Progress::No;
    }
    let Some(mut body) = usize::try_from(size - 8).ok().and_then(|len| fields.take(len)).map(Fields) else {
        return Progress::More;
    };
    if is(b"ACKF") {
        return Progress::Done(Any::OpcUa(Answer::Acknowledge));
    }
    let (code, len) = (body.u32_le(), body.u32_le());
    let reason = len.and_then(|len| body.take(usize::try_from(len).ok()?)).map(text).unwrap_or_default();
    Progress::Done(Any::OpcUa(Answer::Error { code: code.unwrap_or_default(), reason }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledge_and_error_are_answers() {
        let mut acknowledge = b"ACKF".to_vec();
        acknowledge.extend(28_u32.to_le_bytes());
        acknowledge.extend([0; 20]);
        assert_eq!(read(&acknowledge), Progress::Done(Any::OpcUa(Answer::Acknowledge)));
        for len in 0..acknowledge.len() {
            assert_eq!(read(&acknowledge[..len]), Progress::More, "{len}");
        }
        let mut error = b"ERRF".to_vec();
        error.extend(19_u32.to_le_bytes());
        error.extend(0x8083_0000_u32.to_le_bytes());
        error.extend(3_u32.to_le_bytes());
        error.extend(b"url");
        assert_eq!(
            read(&error),
            Progress::Done(Any::OpcUa(Answer::Error { code: 0x8083_0000, reason: "url".into() }))
        );
        assert_eq!(read(b"ACKX"), Progress::No);
        assert_eq!(read(&hello("127.0.0.1:4840".parse().unwrap())), Progress::No);
    }

    #[test]
    fn hello_tells_its_own_length() {
        let hello = hello("[::1]:4840".parse().unwrap());
        assert_eq!(hello[4..8], u32::try_from(hello.len()).unwrap().to_le_bytes());
        assert!(hello.ends_with(b"opc.tcp://[::1]:4840/"));
    }
}
