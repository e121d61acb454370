//! Where a conversation takes place: the link and the peer, as one URL.
//!
//! ```text
//!   tcp://host:502          MBAP in a TCP stream; a bare host or host:port means this
//!   tls://host:802          MBAP in TLS             ?cert=panel.pem&ca=plant.pem
//!   udp://host:502          MBAP in datagrams
//!   rtu:///dev/ttyUSB0      RTU on a serial port    ?baud=19200&parity=even
//!   ascii:///dev/ttyS0      ASCII on a serial port
//!   rtu+tcp://host:4001     RTU in a TCP stream     ?echo=strip
//!   ascii+tcp://host:4001   ASCII in a TCP stream
//!   rtu+udp://host:4001     RTU in datagrams
//! ```

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::str::FromStr;
use core::time::Duration;

use port502_wire::ascii::CHARACTER_TIMEOUT;
use port502_wire::serial::t3_5;

use crate::duration;

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

/// How requests and answers are told apart and put together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Framing {
    /// A header with a transaction id: any number of requests in flight.
    Mbap,
    /// Binary with a CRC: one request at a time.
    Rtu,
    /// Hexadecimal with an LRC: one request at a time.
    Ascii,
}

/// What frames travel in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Carrier {
    /// A TCP stream.
    Tcp,
    /// A TLS stream in a TCP stream.
    Tls,
    /// UDP datagrams, each with one frame.
    Udp,
    /// A serial port of this machine.
    Serial,
}

/// Each link with its scheme, its default port (`None` for a serial port), and what it is made of.
const LINKS: [(Link, &str, Option<u16>, Framing, Carrier); 8] = [
    (Link::Tcp, "tcp", Some(502), Framing::Mbap, Carrier::Tcp),
    (Link::Tls, "tls", Some(802), Framing::Mbap, Carrier::Tls),
    (Link::Udp, "udp", Some(502), Framing::Mbap, Carrier::Udp),
    (Link::Rtu, "rtu", None, Framing::Rtu, Carrier::Serial),
    (Link::Ascii, "ascii", None, Framing::Ascii, Carrier::Serial),
    (Link::RtuOverTcp, "rtu+tcp", Some(502), Framing::Rtu, Carrier::Tcp),
    (Link::AsciiOverTcp, "ascii+tcp", Some(502), Framing::Ascii, Carrier::Tcp),
    (Link::RtuOverUdp, "rtu+udp", Some(502), Framing::Rtu, Carrier::Udp),
];

impl Link {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Link> {
        LINKS.iter().map(|row| row.0)
    }

    fn row(self) -> &'static (Link, &'static str, Option<u16>, Framing, Carrier) {
        LINKS.iter().find(|row| row.0 == self).unwrap_or(&LINKS[0])
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

    /// What its frames look like.
    #[must_use]
    pub fn framing(self) -> Framing {
        self.row().3
    }

    /// What its frames travel in.
    #[must_use]
    pub fn carrier(self) -> Carrier {
        self.row().4
    }
}

/// The parity bit of a character.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Parity {
    /// None.
    None,
    /// The number of ones is even: what the specification asks for unless told otherwise.
    Even,
    /// The number of ones is odd.
    Odd,
}

/// How a serial port is set up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SerialSettings {
    /// Bits a second; 19200 unless said otherwise (Serial Line V1.02, 2.3.2).
    pub baud: NonZeroU32,
    /// 7 or 8: 8 for RTU and 7 for ASCII unless said otherwise.
    pub data_bits: u8,
    /// Even unless said otherwise.
    pub parity: Parity,
    /// 1 or 2: without parity 2 unless said otherwise, so that a character has as many bits as with it.
    pub stop_bits: u8,
    /// Asks the driver to turn the transceiver's direction round (RS-485), where the system can do that.
    pub rs485: bool,
}

impl SerialSettings {
    fn new(framing: Framing) -> Self {
        const BAUD: NonZeroU32 = NonZeroU32::new(19_200).unwrap();
        let data_bits = if framing == Framing::Ascii { 7 } else { 8 };
        SerialSettings { baud: BAUD, data_bits, parity: Parity::Even, stop_bits: 1, rs485: false }
    }

    /// Bits that one character takes on the line, start and stop bits included: 11 as the specification has it.
    #[must_use]
    pub fn character_bits(&self) -> u32 {
        1 + u32::from(self.data_bits) + u32::from(self.parity != Parity::None) + u32::from(self.stop_bits)
    }

    /// How long so many characters take.
    #[must_use]
    pub fn transmission(&self, characters: usize) -> Duration {
        let bits = u64::try_from(characters).unwrap_or(u64::MAX).saturating_mul(self.character_bits().into());
        Duration::from_micros(bits.saturating_mul(1_000_000).div_ceil(self.baud.get().into()))
    }
}

impl fmt::Display for SerialSettings {
    /// `19200 8E1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
        };
        write!(f, "{} {}{parity}{}", self.baud, self.data_bits, self.stop_bits)
    }
}

/// How a line without transaction ids is used, on a serial port or behind a converter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LineSettings {
    /// Silence in front of each frame that is sent: t3.5 on a serial port unless said otherwise, else none.
    pub gap: Duration,
    /// How long a client waits behind a broadcast, so that the servers can carry it out: 100 ms to 200 ms is usual
    /// (Serial Line V1.02, 2.4.1).
    pub turnaround: Duration,
    /// What is sent comes back, as from many two-wire converters, and is to be taken out of what is received.
    pub echo: bool,
    /// Silence that ends a frame which nothing else ends: one of a function without a length rule, or a broken one.
    /// Longer than t3.5, because adapters and networks deliver one frame in several bursts.
    pub quiet: Duration,
    /// How long one character takes on the line; zero where that is not known, behind a network.
    pub character: Duration,
}

/// Where a Modbus peer is, as a URL: `tcp://host:502`, `rtu:///dev/ttyUSB0?baud=19200`, or only `host[:port]`,
/// which means TCP. IPv6 addresses stand in brackets.
///
/// ```
/// use port502_session::{Link, Target};
///
/// let target: Target = "plc-7".parse()?;
/// assert_eq!((target.link(), target.to_string().as_str()), (Link::Tcp, "tcp://plc-7:502"));
/// let target: Target = "tcp://[fe80::1]:1502".parse()?;
/// assert_eq!((target.host(), target.port()), ("fe80::1", 1502));
/// let target: Target = "rtu:///dev/ttyUSB0?baud=9600&parity=none".parse()?;
/// assert_eq!(target.serial().unwrap().to_string(), "9600 8N2");
/// # Ok::<(), port502_session::TargetError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    link: Link,
    /// A host name or address; for serial links the path of the port.
    host: String,
    /// 0 for serial links.
    port: u16,
    /// `key=value` pairs behind `?`, in their order, each known to be good.
    options: Vec<(&'static str, String)>,
}

/// What keeps a text from being a [`Target`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetError {
    /// Nothing is there.
    Empty,
    /// The scheme is none of those known.
    Scheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// There is no host before the port.
    Host {
        /// The whole text.
        text: String,
        /// Its scheme.
        scheme: &'static str,
    },
    /// There is no path of a serial port.
    Device {
        /// Its scheme.
        scheme: &'static str,
    },
    /// The port is no number from 0 to 65535.
    Port {
        /// What stands behind the colon.
        port: String,
    },
    /// An IPv6 address without brackets.
    Brackets {
        /// The host part.
        text: String,
    },
    /// An option behind `?` that the link does not take.
    Option {
        /// The text between `?` or `&` and the next one.
        option: String,
        /// The target's link.
        link: Link,
    },
    /// An option twice: which one is meant?
    Twice {
        /// Its name.
        key: &'static str,
    },
    /// The value of an option is none of its.
    Value {
        /// The option.
        key: &'static str,
        /// What stands behind `=`.
        value: String,
        /// What may stand there.
        want: &'static str,
    },
    /// A path behind host and port.
    Path {
        /// From the slash on.
        path: String,
        /// The target's scheme.
        scheme: &'static str,
    },
}

impl core::error::Error for TargetError {}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Empty => f.write_str(
                "the target is empty: write a host, host:port or a URL such as tcp://10.0.0.5:502",
            ),
            TargetError::Scheme { scheme } => {
                let known: Vec<&str> = Link::all().map(Link::scheme).collect();
                write!(f, "`{scheme}` is not a link: use one of {}", known.join(", "))
            }
            TargetError::Host { text, scheme } => {
                write!(f, "`{text}` names no host: write {scheme}://host:port")
            }
            TargetError::Device { scheme } => {
                write!(f, "no serial port is named: write {scheme}:///dev/ttyUSB0")
            }
            TargetError::Port { port } => {
                write!(f, "`{port}` is not a port: use a number from 1 to 65535, as in host:502")
            }
            TargetError::Brackets { text } => write!(
                f,
                "`{text}` has more than one colon: write an IPv6 address in brackets, as in [{text}]:502"
            ),
            TargetError::Option { option, link } => {
                let known: Vec<&str> = Key::of(*link).map(|key| key.name).collect();
                write!(f, "`{option}` is not an option of {} targets", link.scheme())?;
                match known.as_slice() {
                    [] => f.write_str(", which take none"),
                    known => write!(f, ": they take {}, each as key=value", known.join(", ")),
                }
            }
            TargetError::Twice { key } => write!(f, "the option {key} stands there twice: leave one out"),
            TargetError::Value { key, value, want } => write!(f, "{key}=`{value}`: want {want}"),
            TargetError::Path { path, scheme } => {
                write!(f, "`{path}` is more than {scheme}://host:port takes: leave it out")
            }
        }
    }
}

/// An option behind `?`.
struct Key {
    name: &'static str,
    takes: fn(Link) -> bool,
    /// What its value may be, for people.
    want: &'static str,
    good: fn(&str) -> bool,
}

const KEYS: [Key; 15] = [
    Key { name: "baud", takes: is_serial, want: "bits a second, as 19200", good: |v| baud(v).is_some() },
    Key { name: "parity", takes: is_serial, want: "none, even or odd", good: |v| parity(v).is_some() },
    Key { name: "data", takes: is_serial, want: "7 or 8 data bits", good: |v| matches!(v, "7" | "8") },
    Key { name: "stop", takes: is_serial, want: "1 or 2 stop bits", good: |v| matches!(v, "1" | "2") },
    Key { name: "rs485", takes: is_serial, want: "on or off", good: is_switch },
    Key { name: "echo", takes: is_line, want: "strip or none", good: |v| matches!(v, "strip" | "none") },
    Key { name: "gap", takes: is_line, want: "a time up to 10s, as 5ms", good: |v| pause(v).is_some() },
    Key {
        name: "turnaround",
        takes: is_line,
        want: "a time up to 10s, as 200ms",
        good: |v| pause(v).is_some(),
    },
    Key { name: "quiet", takes: is_line, want: "a time up to 10s, as 50ms", good: |v| pause(v).is_some() },
    Key { name: "cert", takes: is_tls, want: FILE, good: is_path },
    Key { name: "key", takes: is_tls, want: FILE, good: is_path },
    Key { name: "ca", takes: is_tls, want: FILE, good: is_path },
    Key { name: "crl", takes: is_tls, want: FILE, good: is_path },
    Key {
        name: "pin",
        takes: is_tls,
        want: "the SHA-256 of the peer's certificate, 64 hexadecimal digits",
        good: is_pin,
    },
    Key { name: "name", takes: is_tls, want: "the name in the server's certificate", good: is_path },
];

const FILE: &str = "the path of a PEM file";

impl Key {
    fn of(link: Link) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| (key.takes)(link))
    }
}

fn is_serial(link: Link) -> bool {
    link.carrier() == Carrier::Serial
}

fn is_line(link: Link) -> bool {
    link.framing() != Framing::Mbap
}

fn is_tls(link: Link) -> bool {
    link.carrier() == Carrier::Tls
}

fn is_switch(text: &str) -> bool {
    matches!(text, "on" | "off")
}

fn is_path(text: &str) -> bool {
    !text.is_empty()
}

fn is_pin(text: &str) -> bool {
    pin(text).is_some()
}

/// No UART is faster.
const BAUD_MAX: u32 = 20_000_000;

fn baud(text: &str) -> Option<NonZeroU32> {
    text.parse().ok().filter(|baud: &NonZeroU32| baud.get() <= BAUD_MAX)
}

fn parity(text: &str) -> Option<Parity> {
    match text {
        "none" | "n" | "N" => Some(Parity::None),
        "even" | "e" | "E" => Some(Parity::Even),
        "odd" | "o" | "O" => Some(Parity::Odd),
        _ => None,
    }
}

/// The longest gap and turnaround delay: a line that is silent for longer is not in use.
const PAUSE_MAX: Duration = Duration::from_secs(10);

fn pause(text: &str) -> Option<Duration> {
    duration::parse(text).ok().filter(|pause| *pause <= PAUSE_MAX)
}

/// A SHA-256 in hexadecimal digits, with colons between bytes or without.
fn pin(text: &str) -> Option<[u8; 32]> {
    let mut digits = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16));
    let mut bytes = [0; 32];
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

/// The files and names of a `tls` target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlsSettings<'a> {
    /// The own certificate chain, PEM.
    pub cert: Option<&'a str>,
    /// Its key, PEM; beside `cert` with the ending `.key` unless said otherwise.
    pub key: Option<&'a str>,
    /// The authorities that may have signed the peer's certificate, PEM; `ca.pem` beside `cert` unless said otherwise.
    pub ca: Option<&'a str>,
    /// Certificates that they have revoked, PEM.
    pub crl: Option<&'a str>,
    /// The SHA-256 of the only certificate that the peer may have.
    pub pin: Option<[u8; 32]>,
    /// The name that the server's certificate has to bear, in the place of the host.
    pub name: Option<&'a str>,
}

/// Line settings where nothing is said.
const TURNAROUND: Duration = Duration::from_millis(100);

/// USB adapters hand on what they have every 16 ms unless told otherwise: only after more than that is a line quiet.
const ADAPTER_BURST: Duration = Duration::from_millis(20);

/// A network may hold a piece of a frame for as long as it takes to send it again.
const NETWORK_BURST: Duration = Duration::from_millis(100);

impl Target {
    /// A TCP target.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Target { link: Link::Tcp, host: host.into(), port, options: Vec::new() }
    }

    /// The same link and options at another place, as the one that the system chose.
    #[must_use]
    pub fn at(self, address: SocketAddr) -> Self {
        let Target { host, port, .. } = Target::from(address);
        Target { host, port, ..self }
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
        self.options.iter().find(|(k, _)| *k == key).map(|(_, value)| value.as_str())
    }

    /// How the serial port is set up; `None` for links that use none.
    #[must_use]
    pub fn serial(&self) -> Option<SerialSettings> {
        if !is_serial(self.link) {
            return None;
        }
        let mut settings = SerialSettings::new(self.link.framing());
        settings.baud = self.option("baud").and_then(baud).unwrap_or(settings.baud);
        settings.parity = self.option("parity").and_then(parity).unwrap_or(settings.parity);
        settings.data_bits = self.option("data").and_then(|v| v.parse().ok()).unwrap_or(settings.data_bits);
        let stop_bits = if settings.parity == Parity::None { 2 } else { 1 };
        settings.stop_bits = self.option("stop").and_then(|v| v.parse().ok()).unwrap_or(stop_bits);
        settings.rs485 = self.option("rs485") == Some("on");
        Some(settings)
    }

    /// How the line is used; `None` for links whose frames have transaction ids.
    #[must_use]
    pub fn line(&self) -> Option<LineSettings> {
        if !is_line(self.link) {
            return None;
        }
        // ASCII frames have a mark at their start: no silence is needed between them.
        let silence = match (self.serial(), self.link.framing()) {
            (Some(serial), Framing::Rtu) => t3_5(serial.baud),
            _ => Duration::ZERO,
        };
        let quiet = match (self.serial(), self.link.framing()) {
            (_, Framing::Ascii) => CHARACTER_TIMEOUT,
            (Some(serial), _) => t3_5(serial.baud) + ADAPTER_BURST,
            (None, _) => NETWORK_BURST,
        };
        Some(LineSettings {
            gap: self.option("gap").and_then(pause).unwrap_or(silence),
            turnaround: self.option("turnaround").and_then(pause).unwrap_or(TURNAROUND),
            echo: self.option("echo") == Some("strip"),
            quiet: self.option("quiet").and_then(pause).unwrap_or(quiet),
            character: self.serial().map_or(Duration::ZERO, |serial| serial.transmission(1)),
        })
    }

    /// The files and names behind `?`; `None` for links without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<TlsSettings<'_>> {
        let option = |key| self.option(key);
        is_tls(self.link).then(|| TlsSettings {
            cert: option("cert"),
            key: option("key"),
            ca: option("ca"),
            crl: option("crl"),
            pin: option("pin").and_then(pin),
            name: option("name"),
        })
    }
}

fn parse_options(link: Link, text: &str) -> Result<Vec<(&'static str, String)>, TargetError> {
    let mut options: Vec<(&'static str, String)> = Vec::new();
    for option in text.split('&').filter(|option| !option.is_empty()) {
        let unknown = || TargetError::Option { option: option.to_owned(), link };
        let (name, value) = option.split_once('=').ok_or_else(unknown)?;
        let key = Key::of(link).find(|key| key.name == name).ok_or_else(unknown)?;
        if options.iter().any(|(other, _)| *other == key.name) {
            return Err(TargetError::Twice { key: key.name });
        }
        if !(key.good)(value) {
            return Err(TargetError::Value { key: key.name, value: value.to_owned(), want: key.want });
        }
        options.push((key.name, value.to_owned()));
    }
    Ok(options)
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
                let known = LINKS.iter().find(|row| row.1.eq_ignore_ascii_case(scheme));
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
                Err(TargetError::Device { scheme })
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

/// A TCP target, as where a server of this program listens.
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
    use alloc::string::ToString as _;
    use alloc::vec;

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
        refuse("http://plc", "`http` is not a link: use one of tcp, tls, udp, rtu, ");
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
        refuse("tcp://plc?baud=9600", "`baud=9600` is not an option of tcp targets, which take none");
        refuse(
            "rtu:///dev/ttyS0?speed=9600",
            "they take baud, parity, data, stop, rs485, echo, gap, turnaround, quiet",
        );
        refuse("rtu:///dev/ttyS0?rs485", "each as key=value");
        refuse("rtu:///dev/ttyS0?baud=fast", "baud=`fast`: want bits a second");
        refuse("rtu:///dev/ttyS0?baud=0", "want bits a second");
        refuse("rtu:///dev/ttyS0?baud=9600&baud=19200", "baud stands there twice");
        refuse("rtu:///dev/ttyS0?parity=mark", "want none, even or odd");
        refuse("rtu:///dev/ttyS0?data=9", "want 7 or 8");
        refuse("rtu+tcp://moxa?baud=9600", "they take echo, gap, turnaround, quiet");
        refuse("rtu+tcp://moxa?gap=5", "want a time up to 10s");
        refuse("rtu+tcp://moxa?gap=11s", "want a time up to 10s");
        refuse("tls://plc?pin=1234", "64 hexadecimal digits");
        refuse("tls://plc?cert=", "want the path of a PEM file");
        refuse("rtu://", "no serial port is named: write rtu:///dev/ttyUSB0");
    }

    #[test]
    fn serial_ports_have_the_settings_of_the_specification() {
        for (text, want) in [
            ("rtu:///dev/ttyS0", "19200 8E1"),
            ("ascii:///dev/ttyS0", "19200 7E1"),
            ("rtu:///dev/ttyS0?baud=9600&parity=none", "9600 8N2"),
            ("rtu:///dev/ttyS0?parity=none&stop=1", "19200 8N1"),
            ("rtu:///dev/ttyS0?parity=odd&data=7&stop=2", "19200 7O2"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().serial().unwrap().to_string(), want, "{text}");
        }
        assert_eq!("rtu+tcp://moxa".parse::<Target>().unwrap().serial(), None);
        let eleven: Target = "rtu:///dev/ttyS0".parse().unwrap();
        assert_eq!(eleven.serial().unwrap().transmission(1920), Duration::from_millis(1100));
    }

    #[test]
    fn lines_are_silent_between_frames_where_it_matters() {
        let line = |text: &str| text.parse::<Target>().unwrap().line();
        assert_eq!(line("tcp://plc"), None);
        assert_eq!(line("rtu:///dev/ttyS0").unwrap().gap, Duration::from_micros(2006));
        assert_eq!(line("ascii:///dev/ttyS0").unwrap().gap, Duration::ZERO);
        assert_eq!(line("rtu+tcp://moxa").unwrap().gap, Duration::ZERO);
        assert_eq!(line("rtu:///dev/ttyS0?baud=9600").unwrap().quiet, Duration::from_micros(24_011));
        assert_eq!(line("rtu:///dev/ttyS0?quiet=5ms").unwrap().quiet, Duration::from_millis(5));
        assert_eq!(line("ascii:///dev/ttyS0").unwrap().quiet, Duration::from_secs(1));
        assert_eq!(line("rtu:///dev/ttyS0").unwrap().character, Duration::from_micros(573));
        let told = line("rtu+udp://moxa?gap=20ms&turnaround=200ms&echo=strip").unwrap();
        let want = LineSettings {
            gap: Duration::from_millis(20),
            turnaround: Duration::from_millis(200),
            echo: true,
            quiet: Duration::from_millis(100),
            character: Duration::ZERO,
        };
        assert_eq!(told, want);
    }

    #[test]
    fn tls_targets_name_their_files() {
        let pin = "AB".repeat(32);
        let text = format!("tls://plc?cert=panel.pem&ca=plant/ca.pem&name=plc-7&pin={pin}");
        let target: Target = text.parse().unwrap();
        let tls = target.tls().unwrap();
        assert_eq!((tls.cert, tls.key, tls.ca), (Some("panel.pem"), None, Some("plant/ca.pem")));
        assert_eq!((tls.name, tls.pin), (Some("plc-7"), Some([0xAB; 32])));
        let colons = vec!["ab"; 32].join(":");
        let target: Target = format!("tls://plc?pin={colons}").parse().unwrap();
        assert_eq!(target.tls().unwrap().pin, Some([0xAB; 32]));
        assert_eq!("tcp://plc".parse::<Target>().unwrap().tls(), None);
    }
}
