//! The sockets of our network namespace, asked of the kernel itself (sock_diag(7)).
//!
//! It tells what `/proc/net` tells, and one thing more: whether a socket on `::` takes IPv4, too. And it takes a tenth of the
//! time where there are ten thousand sockets, because `/proc/net` goes through all of them again for each page.
//!
//! ```text
//!   nlmsghdr: len u32, type u16, flags u16, sequence u32, port u32
//!   request : family u8, protocol u8, extensions u8, 0, states u32, 48 bytes of socket id
//!   answer  : family u8, state u8, 2 bytes, socket id, expires u32, rqueue u32, wqueue u32, uid u32, inode u32; attributes
//!   id      : source port, destination port (big endian), source, destination (16 bytes each), interface u32, cookie
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use super::table::{CLOSE, ESTABLISHED, LISTEN, Row};
use crate::snapshot::Transport;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
const INET_DIAG_SKV6ONLY: u16 = 11;

/// More answers than any machine has sockets for: the kernel is not asked for ever.
const READS_MAX: usize = 65_536;

/// The sockets of one protocol and version of IP whose ports are wanted.
///
/// # Errors
///
/// When the kernel does not answer such questions; `/proc/net` does, then.
pub(super) fn sockets(
    transport: Transport,
    v6: bool,
    wanted: &impl Fn(u16) -> bool,
    found: &mut Vec<Row>,
) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    // What listens, and what is connected: UDP has these states, too.
    let (protocol, states) = match transport {
        Transport::Tcp => (TCP, 1_u32 << LISTEN | 1 << ESTABLISHED),
        Transport::Udp => (UDP, 1 << CLOSE | 1 << ESTABLISHED),
    };
    let mut request = Vec::with_capacity(72);
    request.extend(72_u32.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([if v6 { AF_INET6 } else { AF_INET }, protocol, 0, 0]);
    request.extend(states.to_ne_bytes());
    request.resize(72, 0);
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut buffer = vec![0_u8; 65_536];
    for _ in 0..READS_MAX {
        // The kernel has the answer ready: there is nothing to wait for.
        let (len, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT)?;
        let answer = buffer.get(..len).unwrap_or_default();
        if answer.is_empty() || read(answer, wanted, found)? == End::Done {
            return Ok(());
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Done,
    More,
}

/// Reads messages.
fn read(mut bytes: &[u8], wanted: &impl Fn(u16) -> bool, found: &mut Vec<Row>) -> io::Result<End> {
    while let (Some(len), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        match kind {
            NLMSG_DONE => return Ok(End::Done),
            NLMSG_ERROR => return Err(io::ErrorKind::Unsupported.into()),
            _ => {}
        }
        let Some(message) = usize::try_from(len).ok().and_then(|len| bytes.get(16..len)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        found.extend(row(message, wanted));
        bytes = bytes.get(aligned(16 + message.len())..).unwrap_or_default();
    }
    Ok(End::More)
}

fn row(message: &[u8], wanted: &impl Fn(u16) -> bool) -> Option<Row> {
    let port = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let (local, remote) = (port(4)?, port(6)?);
    if !wanted(local) && !wanted(remote) {
        return None;
    }
    let v6 = *message.first()? == AF_INET6;
    let ip = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = message.get(at..at + 16)?.try_into().ok()?;
        let [a, b, c, d, ..] = bytes;
        Some(if v6 {
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        } else {
            Ipv4Addr::new(a, b, c, d).into()
        })
    };
    Some(Row {
        local: SocketAddr::new(ip(8)?, local),
        remote: SocketAddr::new(ip(24)?, remote),
        state: *message.get(1)?,
        uid: u32_at(message, 64)?,
        inode: u32_at(message, 68)?.into(),
        v6_only: attribute(message.get(72..).unwrap_or_default()),
    })
}

fn attribute(mut bytes: &[u8]) -> Option<bool> {
    while let (Some(len), Some(kind)) = (u16_at(bytes, 0), u16_at(bytes, 2)) {
        let value = bytes.get(4..len.into())?;
        if kind == INET_DIAG_SKV6ONLY {
            return value.first().map(|flag| *flag != 0);
        }
        bytes = bytes.get(aligned(len.into())..)?;
    }
    None
}

/// Netlink rounds lengths up to four bytes.
const fn aligned(len: usize) -> usize {
    (len + 3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(port: u16, attributes: &[u8]) -> Vec<u8> {
        let mut message = u32::try_from(88 + attributes.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.extend([0; 10]);
        message.extend([AF_INET6, LISTEN, 0, 0]);
        message.extend(port.to_be_bytes());
        message.extend([0; 2 + 32 + 12 + 12]);
        message.extend(1000_u32.to_ne_bytes());
        message.extend(u32::from(port).to_ne_bytes());
        message.extend(attributes);
        message.resize(aligned(message.len()), 0);
        message
    }

    #[test]
    fn rows_are_read() {
        let flag = |on: u8| {
            let mut bytes = [8_u16.to_ne_bytes(), 8_u16.to_ne_bytes()].concat();
            bytes.extend([0; 4]);
            bytes.extend(5_u16.to_ne_bytes());
            bytes.extend(INET_DIAG_SKV6ONLY.to_ne_bytes());
            bytes.push(on);
            bytes
        };
        let bytes =
            [message(502, &flag(1)), message(802, &flag(0)), message(102, &[]), message(22, &[])].concat();
        let mut found = Vec::new();
        let wanted = |port| port != 22 && port != 0;
        assert_eq!(read(&bytes, &wanted, &mut found).unwrap(), End::More);
        let flags: Vec<_> =
            found.iter().map(|row| (row.local.to_string(), row.v6_only, row.uid, row.inode)).collect();
        let want = [("[::]:502", Some(true), 502), ("[::]:802", Some(false), 802), ("[::]:102", None, 102)];
        assert_eq!(flags, want.map(|(text, flag, inode)| (text.to_owned(), flag, 1000, inode)));
        assert!(found.iter().all(|row| row.listens(Transport::Tcp)));
        let of = |kind: u16| [16_u32.to_ne_bytes().as_slice(), &kind.to_ne_bytes(), &[0; 10]].concat();
        assert_eq!(read(&of(NLMSG_DONE), &wanted, &mut found).unwrap(), End::Done);
        assert!(read(&of(NLMSG_ERROR), &wanted, &mut found).is_err());
    }

    #[test]
    fn the_kernel_and_its_tables_agree() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        drop(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        drop(listener.accept().unwrap());
        for (transport, name, ours) in [
            (Transport::Tcp, "tcp", listener.local_addr().unwrap()),
            (Transport::Udp, "udp", socket.local_addr().unwrap()),
        ] {
            // `/proc/net` has the connection that has ended, too, and any other of that port number, in any network.
            let is_ours = |row: &Row| row.local == ours && row.listens(transport);
            let wanted = |other: u16| other == ours.port();
            let mut found = Vec::new();
            sockets(transport, false, &wanted, &mut found).unwrap();
            found.retain(is_ours);
            let text = std::fs::read_to_string(format!("/proc/net/{name}")).unwrap();
            let told: Vec<Row> = super::super::table::rows(&text, wanted).filter(is_ours).collect();
            assert_eq!(found, told);
            assert_eq!(found.len(), 1);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes, &|_| true, &mut Vec::new());
            let _ = attribute(&bytes);
        }
    }
}
