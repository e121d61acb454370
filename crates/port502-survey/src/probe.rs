//! The one read-only request that each protocol is asked, and what its answer says.
//!
//! | port | what is sent | what it must be answered with |
//! |---|---|---|
//! | 502 Modbus/TCP | device identification, function 43/14, basic, unit 255 | the same transaction id, protocol id 0, function 2B or AB |
//! | 802 Modbus/TCP Security | a ClientHello of TLS 1.2 | ServerHello or an alert |
//! | 102 S7 | a connection request of COTP | a connection confirm |
//! | 44818 EtherNet/IP | ListIdentity | ListIdentity |
//! | 20000 DNP3 | a request for the link's status | a link frame whose CRC holds |
//! | 4840 OPC UA | Hello | Acknowledge or Error |
//!
//! None of them writes, logs in, or changes anything. Bytes go out and come in elsewhere ([`ask`](crate::ask)): here they are
//! made and read.

pub mod dnp3;
pub mod ethernet_ip;
pub mod modbus;
pub mod opc_ua;
pub mod s7;
pub mod tls;

use std::net::SocketAddr;

use crate::service::Service;

/// Bytes of an answer that are read; one that is longer is none of these protocols'.
pub const ANSWER_MAX: usize = 65_536;

/// Bytes that are kept of an answer that is not the protocol's.
pub const KEPT_MAX: usize = 32;

/// What came of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It speaks the protocol.
    Speaks(Answer),
    /// It answered something else.
    SomethingElse {
        /// The first bytes, [`KEPT_MAX`] at most.
        bytes: Vec<u8>,
        /// What that looks like.
        looks_like: Option<&'static str>,
    },
    /// It took the request and did not answer in time.
    Silent,
    /// It closed the connection without an answer.
    Closed,
    /// There was no connection.
    NoConnection {
        /// What the system said.
        why: String,
    },
    /// It was not asked.
    NotAsked(NotAsked),
}

/// Why a listener was not asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAsked {
    /// It was not wanted.
    NotWanted,
    /// It is in another network namespace, where we cannot connect.
    OtherNamespace,
    /// There is no such protocol over UDP.
    NotOverUdp,
    /// It has no address of one machine: a group or a broadcast address.
    NoAddress,
    /// There are more listeners than are asked.
    TooMany,
}

/// What the answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Of a Modbus server.
    Modbus(modbus::Answer),
    /// Of a TLS server.
    Tls(tls::Answer),
    /// Of an S7 controller, or another server of ISO transport.
    S7,
    /// Of an EtherNet/IP device.
    EtherNetIp(ethernet_ip::Identity),
    /// Of a DNP3 outstation.
    Dnp3(dnp3::Link),
    /// Of an OPC UA server.
    OpcUa(opc_ua::Answer),
}

/// What is known of an answer so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It may become one.
    More,
    /// It is one.
    Done(Answer),
    /// It is none, whatever comes.
    No,
}

/// The bytes that a service is asked with.
pub fn request(service: Service, at: SocketAddr) -> Vec<u8> {
    match service {
        Service::Modbus => modbus::REQUEST.to_vec(),
        Service::ModbusSecurity => tls::client_hello(),
        Service::S7 => s7::REQUEST.to_vec(),
        Service::EtherNetIp => ethernet_ip::REQUEST.to_vec(),
        Service::Dnp3 => dnp3::request(),
        Service::OpcUa => opc_ua::hello(at),
    }
}

/// Reads what has come so far.
pub fn read(service: Service, bytes: &[u8]) -> Progress {
    match service {
        Service::Modbus => modbus::read(bytes),
        Service::ModbusSecurity => tls::read(bytes),
        Service::S7 => s7::read(bytes),
        Service::EtherNetIp => ethernet_ip::read(bytes),
        Service::Dnp3 => dnp3::read(bytes),
        Service::OpcUa => opc_ua::read(bytes),
    }
}

/// What to make of bytes that are no answer.
pub fn something_else(asked: &[u8], bytes: &[u8]) -> Outcome {
    let begins = |with: &[u8]| bytes.starts_with(with);
    let looks_like = if !asked.is_empty() && (begins(asked) || asked.starts_with(bytes)) {
        Some("an echo: it sends back what it gets")
    } else if begins(b"HTTP/") || begins(b"<!DOCTYPE") || begins(b"<html") {
        Some("a web server (HTTP)")
    } else if begins(b"SSH-") {
        Some("a secure shell (SSH)")
    } else if begins(&[0x15, 3]) || begins(&[0x16, 3]) {
        Some("TLS")
    } else if begins(b"220") {
        Some("a mail or file server (SMTP, FTP)")
    } else if begins(&[0xFF, 0xFB]) || begins(&[0xFF, 0xFD]) {
        Some("a terminal (Telnet)")
    } else {
        [
            (Service::Modbus, "Modbus/TCP"),
            (Service::S7, "S7 (ISO-TSAP)"),
            (Service::EtherNetIp, "EtherNet/IP"),
            (Service::Dnp3, "DNP3"),
            (Service::OpcUa, "OPC UA"),
        ]
        .into_iter()
        .find(|(service, _)| matches!(read(*service, bytes), Progress::Done(_)))
        .map(|(_, name)| name)
    };
    Outcome::SomethingElse { bytes: bytes.iter().copied().take(KEPT_MAX).collect(), looks_like }
}

/// Reads fields one after the other; `None` where the bytes end.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16_be(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u24_be(&mut self) -> Option<usize> {
        let [a, b, c] = self.array()?;
        usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()
    }

    fn u16_le(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32_le(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
}

/// What a peer sent, as text: UTF-8 where it is, else ISO 8859-1.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_something_else_is_named() {
        let name = |bytes: &[u8]| match something_else(&modbus::REQUEST, bytes) {
            Outcome::SomethingElse { looks_like, .. } => looks_like,
            _ => None,
        };
        assert_eq!(name(&modbus::REQUEST), Some("an echo: it sends back what it gets"));
        assert_eq!(name(b"HTTP/1.1 400 Bad Request"), Some("a web server (HTTP)"));
        assert_eq!(name(b"SSH-2.0-OpenSSH_9.2"), Some("a secure shell (SSH)"));
        assert_eq!(name(&[0x15, 3, 3, 0, 2, 2, 70]), Some("TLS"));
        assert_eq!(name(b"hello"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in 0_usize..7) {
            // Each begins as its protocol does, and goes on as it likes.
            let heads: [&[u8]; 7] = [&[], &[0, 1, 0, 0, 0, 9, 0xFF, 0x2B], &[0x16, 3, 3], &[3, 0, 0, 22], &[0x63, 0], &[5, 0x64], b"ACKF"];
            let bytes = [heads[head], &bytes].concat();
            for service in Service::ALL {
                let _ = read(service, &bytes);
            }
            let _ = something_else(&[], &bytes);
        }

        #[test]
        fn byte_by_byte_is_all_at_once(service in 0_usize..6, bytes in proptest::collection::vec(any::<u8>(), 0..60), head in 0_usize..7) {
            let heads: [&[u8]; 7] = [&[], &[0, 1, 0, 0, 0, 9, 0xFF, 0x2B], &[0x16, 3, 3], &[3, 0, 0, 22], &[0x63, 0], &[5, 0x64], b"ACKF"];
            let bytes = [heads[head], &bytes].concat();
            let service = Service::ALL[service];
            // What is decided of a part is decided of the whole.
            let first = (0..=bytes.len()).map(|len| read(service, &bytes[..len])).find(|found| *found != Progress::More);
            if let Some(Progress::No) = first {
                prop_assert_eq!(read(service, &bytes), Progress::No);
            }
        }
    }
}
