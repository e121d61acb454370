//! Serial ports: opened for one program alone, set up as the target says, and with errors that say what to try.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use port502_session::target::{Parity, SerialSettings};
use serial2_tokio::{CharSize, FlowControl, SerialPort, Settings, StopBits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Target;

/// An open serial port. Nobody else can open it meanwhile, as far as the system keeps others out.
#[derive(Debug)]
pub(crate) struct Port {
    port: SerialPort,
    _alone: sys::Alone,
}

impl Port {
    /// Opens and sets up the port of a target; nothing that came before is left in it.
    ///
    /// # Errors
    /// The system's, with what to try. Outside of a tokio runtime with I/O it panics.
    pub(crate) fn open(target: &Target) -> io::Result<Port> {
        let path = target.host();
        let not_serial = || io::Error::new(io::ErrorKind::InvalidInput, "the target names no serial port");
        let settings = target.serial().ok_or_else(not_serial)?;
        let alone = sys::Alone::with(path).map_err(|error| explained(path, &error))?;
        let set_up = |terminal: Settings| set_up(terminal, settings, alone.is_pseudo_terminal());
        let port = SerialPort::open(path, set_up).map_err(|error| explained(path, &error))?;
        if settings.rs485 {
            sys::turn_round(&port).map_err(|error| {
                let text = format!(
                    "its driver cannot turn a transceiver round ({error}): leave out rs485=on; most USB adapters \
                     do it by themselves"
                );
                io::Error::new(io::ErrorKind::Unsupported, text)
            })?;
        }
        // What has come before we listened belongs to others.
        port.discard_buffers()?;
        Ok(Port { port, _alone: alone })
    }
}

fn set_up(mut terminal: Settings, settings: SerialSettings, pseudo: bool) -> io::Result<Settings> {
    terminal.set_raw();
    terminal.set_baud_rate(settings.baud.get())?;
    terminal.set_stop_bits(if settings.stop_bits == 2 { StopBits::Two } else { StopBits::One });
    terminal.set_flow_control(FlowControl::None);
    // A pseudo terminal has no line on which there would be bits, and refuses to be told of parity.
    let (bits, parity) = if pseudo {
        (CharSize::Bits8, Parity::None)
    } else {
        (if settings.data_bits == 7 { CharSize::Bits7 } else { CharSize::Bits8 }, settings.parity)
    };
    terminal.set_char_size(bits);
    terminal.set_parity(match parity {
        Parity::None => serial2_tokio::Parity::None,
        Parity::Even => serial2_tokio::Parity::Even,
        Parity::Odd => serial2_tokio::Parity::Odd,
    });
    Ok(terminal)
}

/// What happened, and what to try.
fn explained(path: &str, error: &io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::NotFound => {
            let ports = SerialPort::available_ports().unwrap_or_default();
            let names: Vec<String> = ports.iter().map(|port| port.display().to_string()).collect();
            match names.as_slice() {
                [] => "there is no such port, nor any other: is the adapter plugged in?".to_owned(),
                names => format!("there is no such port: try one of {}", names.join(", ")),
            }
        }
        io::ErrorKind::PermissionDenied => format!(
            "{error}: you may not use it; join the group that owns it (`ls -l {path}`; dialout on Debian) and log \
             in again"
        ),
        io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock => {
            format!("another program uses it: end that one first (`fuser {path}` names it)")
        }
        _ if sys::is_no_terminal(error) => "it is no serial port".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), text)
}

impl AsyncRead for Port {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().port).poll_read(cx, buf)
    }
}

impl AsyncWrite for Port {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().port).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().port).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(unix)]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

    use rustix::fs::{FlockOperation, OFlags, flock, major};
    use rustix::io::Errno;
    use rustix::termios::{ioctl_tiocexcl, ioctl_tiocnxcl};
    use serial2_tokio::SerialPort;

    /// Device numbers of pseudo terminals on Linux.
    const PSEUDO_TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;

    /// Keeps others from a port: those that ask for a lock, as most programs for serial ports do, and (as far as they
    /// are not root) all others.
    #[derive(Debug)]
    pub(super) struct Alone {
        file: File,
        pseudo_terminal: bool,
        exclusive: bool,
    }

    impl Alone {
        pub(super) fn with(path: &str) -> io::Result<Alone> {
            // Without waiting for a modem's carrier, and without making it our controlling terminal.
            let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
            let flags = i32::try_from(flags.bits()).unwrap_or_default();
            let file = File::options().read(true).write(true).custom_flags(flags).open(path)?;
            let pseudo_terminal =
                cfg!(target_os = "linux") && PSEUDO_TERMINALS.contains(&major(file.metadata()?.rdev()));
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            // Of a pseudo terminal this would outlive us.
            let exclusive = !pseudo_terminal && ioctl_tiocexcl(&file).is_ok();
            Ok(Alone { file, pseudo_terminal, exclusive })
        }

        pub(super) fn is_pseudo_terminal(&self) -> bool {
            self.pseudo_terminal
        }
    }

    impl Drop for Alone {
        fn drop(&mut self) {
            if self.exclusive {
                // It fails where the port is gone, and the mark with it.
                let _ = ioctl_tiocnxcl(&self.file);
            }
        }
    }

    pub(super) fn is_no_terminal(error: &io::Error) -> bool {
        Errno::from_io_error(error) == Some(Errno::NOTTY)
    }

    #[cfg(target_os = "linux")]
    pub(super) fn turn_round(port: &SerialPort) -> io::Result<()> {
        use serial2_tokio::rs4xx::{Rs485Config, TransceiverMode};
        port.set_rs4xx_mode(TransceiverMode::Rs485(Rs485Config::new()))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn turn_round(_: &SerialPort) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(not(unix))]
mod sys {
    use std::io;

    use serial2_tokio::SerialPort;

    /// The system opens a port for one program only.
    #[derive(Debug)]
    pub(super) struct Alone;

    impl Alone {
        pub(super) fn with(_: &str) -> io::Result<Alone> {
            Ok(Alone)
        }

        pub(super) fn is_pseudo_terminal(&self) -> bool {
            false
        }
    }

    pub(super) fn is_no_terminal(_: &io::Error) -> bool {
        false
    }

    pub(super) fn turn_round(_: &SerialPort) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
