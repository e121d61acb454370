use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// How a Modbus peer is reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Link {
    /// Modbus/TCP.
    Tcp,
    /// Modbus/TCP Security.
    Tls,
    /// MBAP frames in UDP datagrams.
    Udp,
    /// RTU frames on a serial port.
    Rtu,
    /// ASCII frames on a serial port.
    Ascii,
    /// RTU frames in a TCP stream, as serial converters make them.
    RtuOverTcp,
    /// ASCII frames in a TCP stream.
    AsciiOverTcp,
    /// RTU frames in UDP datagrams.
    RtuOverUdp,
}

/// Each link with its scheme, its default port, and whether it is a serial port of this machine.
const LINKS: [(Link, &str, Option<u16>); 8] = [
    (Link::Tcp, "tcp", Some(502)),
    (Link::Tls, "tls", Some(802)),
    (Link::Udp, "udp", Some(502)),
    (Link::Rtu, "rtu", None),
    (Link::Ascii, "ascii", None),
    (Link::RtuOverTcp, "rtu+tcp", Some(502)),
    (Link::AsciiOverTcp, "ascii+tcp", Some(502)),
    (Link::RtuOverUdp, "rtu+udp", Some(502)),
];

impl Link {
    fn row(self) -> &'static (Link, &'static str, Option<u16>) {
        LINKS.iter().find(|(link, ..)| *link == self).unwrap_or(&LINKS[0])
    }

    /// The scheme of its URLs.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        self.row().1
    }

    /// The port when a URL names none; `None` for serial ports.
    #[must_use]
    pub fn default_port(self) -> Option<u16> {
        self.row().2
    }
}

/// Where a Modbus peer is, as a URL: `tcp://host:502`, `rtu:///dev/ttyUSB0?baud=19200`, or only `host[:port]`,
/// which means TCP. IPv6 addresses stand in brackets.
///
/// ```
/// use port502_net::{Link, Target};
///
/// let target: Target = "plc-7".parse()?;
/// assert_eq!((target.link(), target.to_string().as_str()), (Link::Tcp, "tcp://plc-7:502"));
/// let target: Target = "tcp://[fe80::1]:1502".parse()?;
/// assert_eq!((target.host(), target.port()), ("fe80::1", 1502));
/// # Ok::<(), port502_net::TargetError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    link: Link,
    /// A host name or address; for serial links the path of the port.
    host: String,
    /// 0 for serial links.
    port: u16,
    /// `key=value` pairs behind `?`, in their order.
    options: Vec<(String, String)>,
}

/// What keeps a text from being a [`Target`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetError {
    /// Nothing is there.
    #[error("the target is empty: write a host, host:port or a URL such as tcp://10.0.0.5:502")]
    Empty,
    /// The scheme is none of those known.
    #[error("`{scheme}` is not a link: use tcp://{}", planned())]
    Scheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// There is no host before the port.
    #[error("`{text}` names no host: write {scheme}://host:port")]
    Host {
        /// The whole text.
        text: String,
        /// Its scheme.
        scheme: &'static str,
    },
    /// The port is no number from 0 to 65535.
    #[error("`{port}` is not a port: use a number from 1 to 65535, as in host:502")]
    Port {
        /// What stands behind the colon.
        port: String,
    },
    /// An IPv6 address without brackets.
    #[error("`{text}` has more than one colon: write an IPv6 address in brackets, as in [{text}]:502")]
    Brackets {
        /// The host part.
        text: String,
    },
    /// An option behind `?` without `=`, or where the link takes none.
    #[error("`{option}` is not an option of {scheme} targets")]
    Option {
        /// The text between `?` or `&` and the next one.
        option: String,
        /// The target's scheme.
        scheme: &'static str,
    },
    /// A path behind host and port.
    #[error("`{path}` is more than {scheme}://host:port takes: leave it out")]
    Path {
        /// From the slash on.
        path: String,
        /// The target's scheme.
        scheme: &'static str,
    },
}

/// What is parsed already, and cannot be connected to yet.
fn planned() -> String {
    let planned: Vec<&str> =
        LINKS.iter().filter(|(link, ..)| *link != Link::Tcp).map(|(_, name, _)| *name).collect();
    if planned.is_empty() { String::new() } else { format!(" ({} are planned)", planned.join(", ")) }
}

impl Target {
    /// A TCP target.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Target { link: Link::Tcp, host: host.into(), port, options: Vec::new() }
    }

    /// How it is reached.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// The host's name or address without brackets; the device path of a serial port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 for a serial port, and to let the system choose one to listen on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of an option behind `?`.
    #[must_use]
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

/// What a serial target takes behind `?`.
const SERIAL_OPTIONS: [&str; 5] = ["baud", "parity", "data", "stop", "rs485"];

fn parse_options(link: Link, text: &str) -> Result<Vec<(String, String)>, TargetError> {
    text.split('&')
        .filter(|option| !option.is_empty())
        .map(|option| match option.split_once('=') {
            Some((key, value)) if link.default_port().is_none() && SERIAL_OPTIONS.contains(&key) => {
                Ok((key.to_owned(), value.to_owned()))
            }
            _ => Err(TargetError::Option { option: option.to_owned(), scheme: link.scheme() }),
        })
        .collect()
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        let (link, rest) = match text.split_once("://") {
            None => (Link::Tcp, text),
            Some((scheme, rest)) => {
                let known = LINKS.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(scheme));
                let unknown = || TargetError::Scheme { scheme: scheme.to_owned() };
                (known.ok_or_else(unknown)?.0, rest)
            }
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let options = parse_options(link, query)?;
        let scheme = link.scheme();
        let no_host = || TargetError::Host { text: text.to_owned(), scheme };
        let Some(default_port) = link.default_port() else {
            return if rest.is_empty() {
                Err(no_host())
            } else {
                Ok(Target { link, host: rest.to_owned(), port: 0, options })
            };
        };
        let rest = match rest.split_once('/') {
            None | Some((_, "")) => rest.trim_end_matches('/'),
            Some((_, path)) => return Err(TargetError::Path { path: format!("/{path}"), scheme }),
        };
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            let (host, tail) = bracketed.split_once(']').ok_or_else(no_host)?;
            match (tail, tail.strip_prefix(':')) {
                ("", _) => (host, None),
                (_, Some(port)) => (host, Some(port)),
                _ => return Err(TargetError::Port { port: tail.to_owned() }),
            }
        } else {
            match rest.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(TargetError::Brackets { text: rest.to_owned() });
                }
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        // A name in front of a host belongs to protocols that have users.
        if host.is_empty() || host.contains('@') || host.contains(char::is_whitespace) {
            return Err(no_host());
        }
        let port = match port {
            None => default_port,
            Some(port) => port.parse().map_err(|_| TargetError::Port { port: port.to_owned() })?,
        };
        Ok(Target { link, host: host.to_owned(), port, options })
    }
}

/// Where a server of this program listens, as [`Server::local_addr`](crate::server::Server::local_addr) says.
impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        // A link-local address means nothing without its interface.
        let zone = match address {
            SocketAddr::V6(address) if address.scope_id() != 0 => format!("%{}", address.scope_id()),
            _ => String::new(),
        };
        Target::tcp(format!("{}{zone}", address.ip()), address.port())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.link.scheme())?;
        match self.link.default_port() {
            None => f.write_str(&self.host)?,
            Some(_) if self.host.contains(':') => write!(f, "[{}]:{}", self.host, self.port)?,
            Some(_) => write!(f, "{}:{}", self.host, self.port)?,
        }
        for (k, (key, value)) in self.options.iter().enumerate() {
            write!(f, "{}{key}={value}", if k == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let target: Target = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(target.to_string(), want);
        assert_eq!(target.to_string().parse::<Target>(), Ok(target), "display undoes parse");
    }

    #[track_caller]
    fn refuse(text: &str, want: &str) {
        let error = text.parse::<Target>().expect_err(text).to_string();
        assert!(error.contains(want), "{text}: {error}");
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        check("plc", "tcp://plc:502");
        check("10.0.0.5:1502", "tcp://10.0.0.5:1502");
        check("tcp://10.0.0.5/", "tcp://10.0.0.5:502");
        check("TLS://plc", "tls://plc:802");
        check("[::1]", "tcp://[::1]:502");
        check("udp://[::1]:5020", "udp://[::1]:5020");
        check("rtu:///dev/ttyUSB0?baud=19200&parity=even", "rtu:///dev/ttyUSB0?baud=19200&parity=even");
        check("ascii:///dev/ttyS0", "ascii:///dev/ttyS0");
        check("rtu+tcp://moxa:4001", "rtu+tcp://moxa:4001");
    }

    #[test]
    fn a_socket_address_is_a_target() {
        for (address, want) in [
            ("10.0.0.5:1502", "tcp://10.0.0.5:1502"),
            ("[::1]:502", "tcp://[::1]:502"),
            ("[fe80::1%3]:502", "tcp://[fe80::1%3]:502"),
        ] {
            let target = Target::from(address.parse::<SocketAddr>().unwrap());
            assert_eq!(target.to_string(), want);
            assert_eq!(want.parse(), Ok(target));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        refuse("", "empty");
        refuse("http://plc", "`http` is not a link: use tcp:// (tls, udp, ");
        refuse("tcp://", "names no host");
        refuse(":502", "names no host");
        refuse("tcp://u@plc", "`tcp://u@plc` names no host");
        refuse("plc:", "`` is not a port");
        refuse("plc:70000", "`70000` is not a port");
        refuse("plc:502x", "`502x` is not a port");
        refuse("fe80::1", "brackets");
        refuse("[fe80::1", "names no host");
        refuse("[::1]502", "is not a port");
        refuse("tcp://plc/unit/1", "`/unit/1`");
        refuse("tcp://plc?baud=9600", "`baud=9600` is not an option");
        refuse("rtu:///dev/ttyS0?speed=9600", "`speed=9600`");
        refuse("rtu://", "names no host");
    }
}
