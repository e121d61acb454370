//! The tables of sockets: `/proc/net/tcp`, `tcp6`, `udp`, `udp6`.
//!
//! ```text
//!   sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt   uid  timeout inode ..
//!    0: 0100007F:01F6 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 ..
//! ```
//!
//! An address is its words as this machine's numbers, in hexadecimal; the port is a plain number.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::snapshot::Transport;

pub(super) const ESTABLISHED: u8 = 0x01;
/// Of UDP: a socket that is bound, and connected to nobody.
pub(super) const CLOSE: u8 = 0x07;
pub(super) const LISTEN: u8 = 0x0A;

/// A socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: u8,
    pub(super) uid: u32,
    pub(super) inode: u64,
    /// Of `::`: whether IPv4 is left out. These tables do not tell.
    pub(super) v6_only: Option<bool>,
}

impl Row {
    pub(super) fn listens(&self, transport: Transport) -> bool {
        match transport {
            Transport::Tcp => self.state == LISTEN,
            Transport::Udp => self.state == CLOSE,
        }
    }

    pub(super) fn is_established(&self) -> bool {
        self.state == ESTABLISHED
    }
}

/// The rows one of whose ports is wanted. A line that is none is passed over.
pub(super) fn rows<'t>(text: &'t str, wanted: impl Fn(u16) -> bool + 't) -> impl Iterator<Item = Row> + 't {
    text.lines().skip(1).filter_map(move |line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (fields.next()?, fields.next()?);
        // Of ten thousand rows most are none of ours: the ports first.
        if !wanted(port(local)?) && !wanted(port(remote)?) {
            return None;
        }
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        let uid = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some(Row { local: address(local)?, remote: address(remote)?, state, uid, inode, v6_only: None })
    })
}

fn port(field: &str) -> Option<u16> {
    u16::from_str_radix(field.rsplit_once(':')?.1, 16).ok()
}

/// An address of IPv4 within IPv6 becomes one of IPv4: it is the same network's.
fn address(field: &str) -> Option<SocketAddr> {
    let (ip, port) = field.rsplit_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// The names of the interfaces other than loopback, of `/proc/net/dev`.
pub(super) fn interfaces(dev: &Path) -> Vec<String> {
    let text = fs::read_to_string(dev).unwrap_or_default();
    let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).filter(|name| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    /// As a machine of this byte order writes an address.
    fn written(ip: &str) -> String {
        match ip.parse().unwrap() {
            IpAddr::V4(ip) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
            IpAddr::V6(ip) => ip
                .octets()
                .chunks(4)
                .map(|four| format!("{:08X}", u32::from_ne_bytes(four.try_into().unwrap())))
                .collect(),
        }
    }

    #[track_caller]
    fn check(local: &str, port: u16, remote: &str, state: &str, want: Option<(&str, bool, bool)>) {
        let text = format!(
            "{HEADER}   0: {}:{port:04X} {}:C000 {state} 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0\n",
            written(local),
            written(remote)
        );
        let found: Vec<Row> = rows(&text, |port| port == 502).collect();
        let found: Vec<_> = found
            .iter()
            .map(|row| {
                assert_eq!((row.uid, row.inode), (1000, 4711));
                (row.local.to_string(), row.listens(Transport::Tcp), row.is_established())
            })
            .collect();
        let want: Vec<_> = want.into_iter().map(|(text, a, b)| (text.to_owned(), a, b)).collect();
        assert_eq!(found, want, "{text}");
    }

    #[test]
    fn rows_are_read() {
        check("127.0.0.1", 502, "0.0.0.0", "0A", Some(("127.0.0.1:502", true, false)));
        check("10.20.1.11", 502, "203.0.113.7", "01", Some(("10.20.1.11:502", false, true)));
        check("::", 502, "::", "0A", Some(("[::]:502", true, false)));
        check("fe80::1:2", 502, "::", "0A", Some(("[fe80::1:2]:502", true, false)));
        check("::ffff:10.0.0.1", 502, "::ffff:10.0.0.2", "01", Some(("10.0.0.1:502", false, true)));
        check("127.0.0.1", 503, "0.0.0.0", "0A", None);
    }

    #[test]
    fn other_lines_are_passed_over() {
        let text = format!(
            "{HEADER}\nnonsense\n 0: X:01F6 Y:0000 0A 0 0 0 0 0 0\n 1: 0100007F:01F6 00000000:0000 0A\n é: é:é é:é"
        );
        assert_eq!(rows(&text, |_| true).count(), 0);
        assert_eq!(rows("", |_| true).count(), 0);
    }
}
