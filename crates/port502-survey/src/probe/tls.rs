//! Modbus/TCP Security: a ClientHello of TLS 1.2 (RFC 5246, section 7.4), and what the server shows before it wants
//! anything of us.
//!
//! Only TLS 1.2 is offered. There the server's certificate, and whether it asks for ours, go in clear text; in TLS 1.3 both
//! are hidden from whoever does not go on. A server that has nothing but 1.3 says so with an alert. Suites without
//! encryption are offered last: one that takes such a suite prefers it, or has nothing else.

use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Answer as Any, Fields, Progress};

/// What a TLS server showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It goes on.
    Hello(Hello),
    /// It ends the conversation with this alert (RFC 8446, section 6): 70 is a version that it does not take.
    Alert(u8),
}

/// A server's first messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The version: 0x0303 is TLS 1.2.
    pub version: u16,
    /// The cipher suite that it chose.
    pub suite: u16,
    /// Whether it asks for a certificate of the client (R-07 of the Modbus/TCP Security specification).
    pub asks_for_certificate: bool,
    /// Its own certificate, where it could be read.
    pub certificate: Option<Certificate>,
}

impl Hello {
    /// The version in words.
    pub fn version_name(&self) -> String {
        match self.version {
            0x0300 => "SSL 3.0".to_owned(),
            0x0301 => "TLS 1.0".to_owned(),
            0x0302 => "TLS 1.1".to_owned(),
            0x0303 => "TLS 1.2".to_owned(),
            0x0304 => "TLS 1.3".to_owned(),
            other => format!("version 0x{other:04X}"),
        }
    }

    /// The suite in words.
    pub fn suite_name(&self) -> String {
        match SUITES.iter().find(|(suite, _)| *suite == self.suite) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("suite 0x{:04X}", self.suite),
        }
    }

    /// Whether the suite encrypts nothing.
    pub fn is_without_encryption(&self) -> bool {
        NULL_SUITES.contains(&self.suite)
    }
}

/// What a certificate says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// From when it holds, in seconds since 1970 in UTC.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
}

/// What is offered, strongest first.
const SUITES: [(u16, &str); 13] = [
    (0xC02C, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (0xC030, "ECDHE-RSA-AES256-GCM-SHA384"),
    (0xC02B, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (0xC02F, "ECDHE-RSA-AES128-GCM-SHA256"),
    (0xCCA9, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (0xCCA8, "ECDHE-RSA-CHACHA20-POLY1305"),
    (0xC023, "ECDHE-ECDSA-AES128-CBC-SHA256"),
    (0xC027, "ECDHE-RSA-AES128-CBC-SHA256"),
    (0x009D, "RSA-AES256-GCM-SHA384"),
    (0x009C, "RSA-AES128-GCM-SHA256"),
    (0x003C, "RSA-AES128-CBC-SHA256"),
    (0xC006, "ECDHE-ECDSA-NULL-SHA"),
    (0x003B, "RSA-NULL-SHA256"),
];

/// Those that leave everything in clear text: NULL ciphers of RSA, PSK, DH and ECDH.
const NULL_SUITES: [u16; 15] = [
    0x0000, 0x0001, 0x0002, 0x002C, 0x002D, 0x002E, 0x003B, 0x00B0, 0x00B1, 0x00B4, 0x00B5, 0xC001, 0xC006,
    0xC00B, 0xC010,
];

/// Handshake messages of a server in clear text are far smaller; what is longer is not read.
const HANDSHAKE_MAX: usize = 49_152;

/// The request.
pub fn client_hello() -> Vec<u8> {
    // A server must not care for what is in it, and we never go on: it is no secret.
    let random = *b"port502 check: hello, and no more";
    let mut body = vec![3, 3];
    body.extend(random.iter().take(32));
    body.push(0);
    let suites: Vec<u8> = SUITES.iter().flat_map(|(suite, _)| suite.to_be_bytes()).collect();
    vector16(&mut body, &suites);
    // No compression.
    body.extend([1, 0]);
    let mut extensions = Vec::new();
    let mut extension = |number: u16, data: &[u8]| {
        extensions.extend(number.to_be_bytes());
        vector16(&mut extensions, data);
    };
    // Groups: x25519, P-256, P-384. Points uncompressed. Signatures: ECDSA, RSA-PSS and RSA with SHA-256 to -512.
    extension(10, &[0, 6, 0, 29, 0, 23, 0, 24]);
    extension(11, &[1, 0]);
    extension(13, &[0, 18, 4, 3, 5, 3, 6, 3, 8, 4, 8, 5, 8, 6, 4, 1, 5, 1, 6, 1]);
    // No renegotiation.
    extension(0xFF01, &[0]);
    vector16(&mut body, &extensions);
    let mut handshake = vec![1, 0];
    vector16(&mut handshake, &body);
    let mut record = vec![0x16, 3, 1];
    vector16(&mut record, &handshake);
    record
}

/// Bytes with their length in front. Ours are all short.
fn vector16(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend(u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes());
    into.extend(bytes);
}

/// Reads what has come so far: records until the server is done, or ends it.
pub fn read(bytes: &[u8]) -> Progress {
    let (mut records, mut handshake) = (Fields(bytes), Vec::new());
    loop {
        let mut record = records;
        match (record.u8(), record.u8()) {
            (None, _) => break,
            (Some(0x15 | 0x16), None | Some(3)) => {}
            _ => return Progress::No,
        }
        let kind = records.0.first().copied();
        let _minor = record.u8();
        let Some(len) = record.u16_be() else { break };
        let Some(body) = record.take(len.into()) else { break };
        if kind == Some(0x15) {
            // What it had said before, if anything, was not the end.
            let [_, alert] = body else { return Progress::No };
            return Progress::Done(Any::Tls(Answer::Alert(*alert)));
        }
        handshake.extend_from_slice(body);
        if handshake.len() > HANDSHAKE_MAX {
            return Progress::No;
        }
        records = record;
    }
    messages(&handshake)
}

fn messages(handshake: &[u8]) -> Progress {
    let mut fields = Fields(handshake);
    let mut hello: Option<Hello> = None;
    loop {
        let Some(kind) = fields.u8() else { return Progress::More };
        // The first message is the ServerHello, and an echo brings the ClientHello back.
        if (kind == 2) != hello.is_none() {
            return Progress::No;
        }
        let Some(body) = fields.u24_be().and_then(|len| fields.take(len)) else { return Progress::More };
        match (kind, &mut hello) {
            (2, hello) => match server_hello(body) {
                Some(found) => *hello = Some(found),
                None => return Progress::No,
            },
            (11, Some(hello)) => hello.certificate = certificate(body),
            (13, Some(hello)) => hello.asks_for_certificate = true,
            (14, Some(hello)) => return Progress::Done(Any::Tls(Answer::Hello(hello.clone()))),
            _ => {}
        }
    }
}

fn server_hello(body: &[u8]) -> Option<Hello> {
    let mut fields = Fields(body);
    let version = fields.u16_be()?;
    fields.take(32)?;
    let session = fields.u8()?;
    fields.take(session.into())?;
    let suite = fields.u16_be()?;
    Some(Hello { version, suite, asks_for_certificate: false, certificate: None })
}

/// The first of the chain, which is the server's.
fn certificate(body: &[u8]) -> Option<Certificate> {
    let mut fields = Fields(body);
    let _chain = fields.u24_be()?;
    let len = fields.u24_be()?;
    let (_, certificate) = X509Certificate::from_der(fields.take(len)?).ok()?;
    Some(Certificate {
        subject: certificate.subject().to_string(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(messages: &[(u8, &[u8])]) -> Vec<u8> {
        let mut handshake = Vec::new();
        for (kind, body) in messages {
            handshake.extend([*kind, 0]);
            vector16(&mut handshake, body);
        }
        let mut record = vec![0x16, 3, 3];
        vector16(&mut record, &handshake);
        record
    }

    fn hello(suite: u16) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend(suite.to_be_bytes());
        body.push(0);
        body
    }

    #[test]
    fn a_server_is_read_to_its_end() {
        let want = |asks_for_certificate| {
            let hello = Hello { version: 0x0303, suite: 0xC02F, asks_for_certificate, certificate: None };
            Progress::Done(Any::Tls(Answer::Hello(hello)))
        };
        let first = record(&[(2, &hello(0xC02F))]);
        let asks = [first.clone(), record(&[(11, &[0, 0, 0])]), record(&[(13, &[0]), (14, &[])])].concat();
        assert_eq!(read(&asks), want(true));
        assert_eq!(read(&[first.clone(), record(&[(14, &[])])].concat()), want(false));
        for len in 0..asks.len() {
            assert_eq!(read(&asks[..len]), Progress::More, "{len}");
        }
        assert_eq!(read(&[0x15, 3, 3, 0, 2, 2, 70]), Progress::Done(Any::Tls(Answer::Alert(70))));
    }

    #[test]
    fn others_are_not_taken_for_it() {
        assert_eq!(read(&client_hello()), Progress::No);
        assert_eq!(read(b"HTTP/1.1 400"), Progress::No);
        assert_eq!(read(&[0, 1, 0, 0]), Progress::No);
        assert_eq!(read(&record(&[(14, &[])])), Progress::No);
    }

    #[test]
    fn suites_without_encryption_are_known() {
        let is = |suite| {
            Hello { version: 0x0303, suite, asks_for_certificate: true, certificate: None }
                .is_without_encryption()
        };
        assert!(is(0x003B) && is(0xC006) && is(0x0000));
        assert!(!is(0xC02F) && !is(0x1301));
    }

    #[test]
    fn the_lengths_of_the_request_hold() {
        let hello = client_hello();
        assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
        assert_eq!(usize::from(u16::from_be_bytes([hello[7], hello[8]])), hello.len() - 9);
    }
}
