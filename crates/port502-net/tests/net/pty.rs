//! Pseudo terminals: serial ports without a line. What is written to one end is read at the other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use port502_net::Target;
use port502_net::server::{Options, Server, Service, Stop};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

/// The end that a test holds. A pipe's halves know how to wait for any file.
pub struct Pty {
    reader: pipe::Receiver,
    writer: pipe::Sender,
}

/// The near end, and the path of the far end.
pub fn pair() -> (Pty, String) {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let far = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
    rustix::io::ioctl_fionbio(&near, true).unwrap();
    let near = std::fs::File::from(near);
    let reader = pipe::Receiver::from_file_unchecked(near.try_clone().unwrap()).unwrap();
    (Pty { reader, writer: pipe::Sender::from_file_unchecked(near).unwrap() }, far)
}

/// Runs a server on a serial port.
pub fn serve<S: Service>(target: &str, service: S) -> Stop {
    let target: Target = target.parse().unwrap();
    let server = Server::bind(&target, Options::default()).unwrap();
    let stop = server.stop_handle();
    tokio::spawn(server.run(service));
    stop
}

impl AsyncRead for Pty {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pty {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().writer).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
