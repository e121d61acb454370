//! Sinks that need nothing but files and sockets: lines in a file or on the standard output, and syslog.

mod stream;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::net::{ToSocketAddrs as _, UdpSocket};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::record::{Format, Line, Sink};
use stream::Stream;
pub use stream::{ANSWERED_WITHIN, CLOSED_WITHIN, SURE_AFTER, UNSURE_BYTES_MAX};

/// A syslog server on TCP is looked at so often whether it is still there.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For a connection to a syslog server, and for what is written to it.
pub const SYSLOG_WITHIN: Duration = Duration::from_secs(5);

/// Lines of JSON at the end of a file. A file that was moved away, by `logrotate` or by hand, is made anew.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: Option<File>,
}

impl Lines {
    /// At the end of `path`, which is made when it is not there, for its owner to read.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Lines { path: path.to_owned(), file: Some(append(path)?) })
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

/// Whether the file is still the one that has the name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

impl Sink for Lines {
    fn name(&self) -> String {
        format!("the file {}", self.path.display())
    }

    fn format(&self) -> Format {
        Format::Json
    }

    fn keep(&mut self, lines: &[Line]) -> Result<(), String> {
        let told = |error: io::Error| error.to_string();
        let file = match self.file.take().filter(|file| is_at(file, &self.path)) {
            Some(file) => file,
            None => append(&self.path).map_err(told)?,
        };
        let before = file.metadata().map_err(told)?.len();
        let mut text = lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
        text.push('\n');
        let written = (&file).write_all(text.as_bytes());
        if written.is_err() {
            // Half of them would be there twice; what cannot be cut off stays.
            let _ = file.set_len(before);
        }
        self.file = Some(file);
        written.map_err(told)
    }
}

/// Lines of JSON on the standard output.
#[derive(Debug, Default)]
pub struct StandardOutput {
    /// Of the lines that come next, so many are there already.
    written: usize,
}

impl Sink for StandardOutput {
    fn name(&self) -> String {
        "the standard output".to_owned()
    }

    fn format(&self) -> Format {
        Format::Json
    }

    /// A reader that has seen enough ends no guard; what it does not see is told as not kept, at the end, too.
    fn keep(&mut self, lines: &[Line]) -> Result<(), String> {
        let mut out = io::stdout().lock();
        for line in lines.iter().skip(self.written) {
            writeln!(out, "{}", line.text).and_then(|()| out.flush()).map_err(|error| {
                match error.kind() {
                    ErrorKind::BrokenPipe => "nobody reads it any more".to_owned(),
                    _ => error.to_string(),
                }
            })?;
            self.written += 1;
        }
        self.written = 0;
        Ok(())
    }

    fn in_part(&self) -> usize {
        self.written
    }
}

/// Where a syslog server is: `udp://10.20.0.9`, `tcp://siem:601`, `unix:/dev/log`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SyslogAddress {
    /// A message a datagram (RFC 5426). Port 514 unless another is given.
    Udp(String),
    /// Messages with their length in front (RFC 6587, 3.4.1). Port 601 unless another is given.
    Tcp(String),
    /// The socket of this machine's own.
    Unix(PathBuf),
}

impl FromStr for SyslogAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let with_port = |host: &str, port: u16| {
            let named = match host.rsplit_once(':') {
                Some((before, digits)) => {
                    digits.parse::<u16>().is_ok() && (!before.contains(':') || before.ends_with(']'))
                }
                None => false,
            };
            if named { host.to_owned() } else { format!("{host}:{port}") }
        };
        match text.split_once(':') {
            Some(("udp", rest)) if rest.len() > 2 && rest.starts_with("//") => {
                Ok(SyslogAddress::Udp(with_port(rest.trim_start_matches('/'), 514)))
            }
            Some(("tcp", rest)) if rest.len() > 2 && rest.starts_with("//") => {
                Ok(SyslogAddress::Tcp(with_port(rest.trim_start_matches('/'), 601)))
            }
            Some(("unix", path)) if !path.is_empty() => {
                Ok(SyslogAddress::Unix(Path::new("/").join(path.trim_start_matches('/'))))
            }
            _ => Err("write udp://HOST[:514], tcp://HOST[:601] or unix:/dev/log".to_owned()),
        }
    }
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyslogAddress::Udp(host) => write!(f, "udp://{host}"),
            SyslogAddress::Tcp(host) => write!(f, "tcp://{host}"),
            SyslogAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A syslog server.
#[derive(Debug)]
pub struct Server {
    address: SyslogAddress,
    format: Format,
    socket: Option<Socket>,
    /// In its place, on TCP.
    stream: Option<Stream>,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixDatagram),
}

impl Server {
    /// It is reached when the guard begins, and again whenever there is something to say. `format` is [`Format::Syslog`] or [`Format::Cef`].
    #[must_use]
    pub fn new(address: SyslogAddress, format: Format) -> Self {
        let stream = match &address {
            SyslogAddress::Tcp(host) => Some(Stream::new(host.clone())),
            _ => None,
        };
        Server { address, format, socket: None, stream }
    }

    fn connect(&self) -> io::Result<Socket> {
        match &self.address {
            SyslogAddress::Udp(host) => {
                let address = resolve(host)?;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Ok(Socket::Udp(socket))
            }
            // It has a stream.
            SyslogAddress::Tcp(_) => Err(ErrorKind::Unsupported.into()),
            #[cfg(unix)]
            SyslogAddress::Unix(path) => {
                let socket = std::os::unix::net::UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(SYSLOG_WITHIN))?;
                socket.connect(path)?;
                Ok(Socket::Unix(socket))
            }
            #[cfg(not(unix))]
            SyslogAddress::Unix(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    fn send(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        match &mut socket {
            Socket::Udp(socket) => {
                for line in lines {
                    match socket.send(line.text.as_bytes()) {
                        // Datagrams ask for no answer: that one before could not be delivered is no reason to say
                        // all of them again, but to look for the server anew.
                        Err(error) if error.kind() != ErrorKind::ConnectionRefused => return Err(error),
                        _ => {}
                    }
                }
            }
            #[cfg(unix)]
            Socket::Unix(socket) => {
                for line in lines {
                    socket.send(line.text.as_bytes())?;
                }
            }
        }
        self.socket = Some(socket);
        Ok(())
    }
}

fn resolve(host: &str) -> io::Result<std::net::SocketAddr> {
    host.to_socket_addrs()?.next().ok_or_else(|| io::Error::from(ErrorKind::AddrNotAvailable))
}

impl Sink for Server {
    fn name(&self) -> String {
        format!("syslog {}", self.address)
    }

    fn format(&self) -> Format {
        self.format
    }

    /// A datagram asks for no answer: of a server on UDP only its name and the way to it are looked at.
    fn begin(&mut self) -> Result<(), String> {
        match &mut self.stream {
            Some(stream) => stream.connect().map_err(|error| error.to_string()),
            None => {
                self.socket = Some(self.connect().map_err(|error| error.to_string())?);
                Ok(())
            }
        }
    }

    fn keep(&mut self, lines: &[Line]) -> Result<(), String> {
        let fresh = self.socket.is_none() && self.stream.as_ref().is_none_or(|stream| !stream.is_open());
        let mut send = || match &mut self.stream {
            Some(stream) => stream.send(lines),
            None => self.send(lines),
        };
        let mut sent = send();
        if sent.is_err() && !fresh {
            // It had been restarted, perhaps.
            sent = send();
        }
        sent.map_err(|error| error.to_string())
    }

    fn looks_every(&self) -> Option<Duration> {
        self.stream.as_ref().map(|_| LOOK_EVERY)
    }

    fn owed(&self) -> u64 {
        self.stream.as_ref().map_or(0, Stream::owed)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.stream.as_mut().map_or(Ok(()), |stream| stream.finish().map_err(|error| error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        let got = text.parse::<SyslogAddress>();
        assert_eq!(got.as_ref().map(ToString::to_string).ok().as_deref(), want, "{text}: {got:?}");
    }

    #[test]
    fn addresses_of_syslog_servers() {
        check("udp://10.20.0.9", Some("udp://10.20.0.9:514"));
        check("udp://10.20.0.9:5514", Some("udp://10.20.0.9:5514"));
        check("udp://[fd00::9]", Some("udp://[fd00::9]:514"));
        check("udp://[fd00::9]:5514", Some("udp://[fd00::9]:5514"));
        check("tcp://siem.example", Some("tcp://siem.example:601"));
        check("unix:/dev/log", Some("unix:/dev/log"));
        check("unix:///dev/log", Some("unix:/dev/log"));
        check("10.20.0.9", None);
        check("udp://", None);
        check("http://x", None);
        check("unix:", None);
    }
}
