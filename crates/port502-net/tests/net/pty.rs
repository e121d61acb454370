//! Pseudo terminals: serial ports without a line. What is written to one end is read at the other.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use port502_net::Target;
use port502_net::server::{Options, Server, Service, Stop};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

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
    let near = File::from(near);
    let reader = pipe::Receiver::from_file_unchecked(near.try_clone().unwrap()).unwrap();
    (Pty { reader, writer: pipe::Sender::from_file_unchecked(near).unwrap() }, far)
}

/// Far ends of serial ports on one bus: what one says all others hear, but for what `garble` makes of it.
pub fn bus(ends: usize, mut garble: impl FnMut(usize, Vec<u8>) -> Vec<u8> + Send + 'static) -> Vec<String> {
    let (mut paths, mut writers) = (Vec::new(), Vec::new());
    let (sender, mut said) = mpsc::unbounded_channel();
    for at in 0..ends {
        let (Pty { mut reader, writer }, path) = pair();
        // Open from the first to the last, and raw: a bus is there before and after those on it.
        let held = File::options().read(true).write(true).open(&path).unwrap();
        let mut settings = tcgetattr(&held).unwrap();
        settings.make_raw();
        tcsetattr(&held, OptionalActions::Now, &settings).unwrap();
        let sender = sender.clone();
        tokio::spawn(async move {
            let (_held, mut bytes) = (held, [0; 600]);
            while let Ok(read @ 1..) = reader.read(&mut bytes).await {
                let _ = sender.send((at, bytes[..read].to_vec()));
            }
        });
        writers.push(writer);
        paths.push(path);
    }
    tokio::spawn(async move {
        while let Some((from, bytes)) = said.recv().await {
            let bytes = garble(from, bytes);
            for (_, writer) in writers.iter_mut().enumerate().filter(|(at, _)| *at != from) {
                writer.write_all(&bytes).await.unwrap();
            }
        }
    });
    paths
}

/// A serial port of somebody who is not us.
pub fn open(target: &str) -> Pty {
    let path = target.strip_prefix("rtu://").unwrap();
    let port = File::from(
        rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty()).unwrap(),
    );
    let mut settings = tcgetattr(&port).unwrap();
    settings.make_raw();
    tcsetattr(&port, OptionalActions::Now, &settings).unwrap();
    let reader = pipe::Receiver::from_file_unchecked(port.try_clone().unwrap()).unwrap();
    Pty { reader, writer: pipe::Sender::from_file_unchecked(port).unwrap() }
}

/// Runs a server on a serial port.
pub fn serve<S: Service>(target: &str, service: S) -> Stop {
    serve_with(target, service, Options::default())
}

pub fn serve_with<S: Service>(target: &str, service: S, options: Options) -> Stop {
    let target: Target = target.parse().unwrap();
    let server = Server::bind(&target, options).unwrap();
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
