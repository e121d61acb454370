//! A TLS connection as the server and the client use it.

use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::{ConnectionCommon, SideData};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::failure::alert_text;

/// A connection that was accepted.
pub(crate) type ServerStream = TlsStream<tokio_rustls::server::TlsStream<Socket>>;

/// A connection that was made.
pub(crate) type ClientStream = TlsStream<tokio_rustls::client::TlsStream<Socket>>;

/// Enough of a connection to tell TLS from Modbus, and the version of a ClientHello.
const FIRST_LEN: usize = 11;

/// A TCP connection of which the first bytes may have been looked at already.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    first: [u8; FIRST_LEN],
    seen: usize,
    /// Bytes of `first` that were not read again yet begin here.
    replayed: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Socket { stream, first: [0; FIRST_LEN], seen: 0, replayed: 0 }
    }

    /// Looks at the first bytes, as far as there are any.
    pub(super) async fn look(&mut self) -> io::Result<&[u8]> {
        while let Some(rest @ [_, ..]) = self.first.get_mut(self.seen..) {
            match self.stream.read(rest).await? {
                0 => break,
                count => self.seen += count,
            }
        }
        Ok(self.first.get(..self.seen).unwrap_or_default())
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.replayed < self.seen {
            let rest = self.first.get(self.replayed..self.seen).unwrap_or_default();
            let count = rest.len().min(buffer.remaining());
            buffer.put_slice(rest.get(..count).unwrap_or_default());
            self.replayed += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// One side of TLS, as rustls has two types for them.
pub(crate) trait Half: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Takes what is deciphered already.
    fn take_plain(&mut self, into: &mut [u8]) -> io::Result<usize>;

    /// Deciphers what lies in the socket, up to `max` bytes.
    fn take_arrived(&mut self, into: &mut Vec<u8>, max: u64);

    /// Says that nothing more comes, as far as the socket takes it.
    fn say_goodbye(&mut self);

    /// What it goes over.
    fn socket(&self) -> &TcpStream;
}

fn take_arrived<D: SideData>(socket: &Socket, tls: &mut ConnectionCommon<D>, into: &mut Vec<u8>, max: u64) {
    let socket = SockRef::from(&socket.stream);
    loop {
        // What ends this is that there is nothing more.
        let _ = tls.reader().take(max.saturating_sub(into.len() as u64)).read_to_end(into);
        let full = into.len() as u64 >= max;
        if full || !matches!(tls.read_tls(&mut &*socket), Ok(1..)) || tls.process_new_packets().is_err() {
            return;
        }
    }
}

fn say_goodbye<D: SideData>(socket: &Socket, tls: &mut ConnectionCommon<D>) {
    tls.send_close_notify();
    let socket = SockRef::from(&socket.stream);
    while tls.wants_write() && matches!(tls.write_tls(&mut &*socket), Ok(1..)) {}
}

impl Half for tokio_rustls::server::TlsStream<Socket> {
    #[inline]
    fn take_plain(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.get_mut().1.reader().read(into)
    }

    fn take_arrived(&mut self, into: &mut Vec<u8>, max: u64) {
        let (socket, tls) = self.get_mut();
        take_arrived(socket, tls, into, max);
    }

    fn say_goodbye(&mut self) {
        let (socket, tls) = self.get_mut();
        say_goodbye(socket, tls);
    }

    fn socket(&self) -> &TcpStream {
        &self.get_ref().0.stream
    }
}

impl Half for tokio_rustls::client::TlsStream<Socket> {
    #[inline]
    fn take_plain(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.get_mut().1.reader().read(into)
    }

    fn take_arrived(&mut self, into: &mut Vec<u8>, max: u64) {
        let (socket, tls) = self.get_mut();
        take_arrived(socket, tls, into, max);
    }

    fn say_goodbye(&mut self) {
        let (socket, tls) = self.get_mut();
        say_goodbye(socket, tls);
    }

    fn socket(&self) -> &TcpStream {
        &self.get_ref().0.stream
    }
}

/// A connection over which frames go. It says goodbye when it is dropped.
#[derive(Debug)]
pub(crate) struct TlsStream<H: Half>(pub(super) H);

impl<H: Half> TlsStream<H> {
    /// Reads up to `max` bytes that have arrived, whether the runtime knows of them yet or not.
    pub(crate) fn read_arrived(&mut self, into: &mut Vec<u8>, max: u64) {
        self.0.take_arrived(into, max);
    }

    /// When it is dropped, the peer finds its connection reset.
    pub(crate) fn reset(&mut self) {
        // One that is gone already needs none.
        let _ = SockRef::from(self.0.socket()).set_linger(Some(Duration::ZERO));
    }
}

impl<H: Half> Drop for TlsStream<H> {
    fn drop(&mut self) {
        self.0.say_goodbye();
    }
}

impl<H: Half> AsyncRead for TlsStream<H> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match ready!(Pin::new(&mut self.0).poll_read(cx, buffer)) {
            Ok(()) => {}
            // Each frame says how long it is, so an end without the goodbye of TLS hides nothing between two.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(())),
            Err(error) => return Poll::Ready(Err(told(error))),
        }
        // A client may put each request of a burst into a record of its own. All that were read are deciphered
        // already: one read for the burst means one write for its answers.
        if buffer.filled().len() > before {
            while buffer.remaining() > 0 {
                let filled = match self.0.take_plain(buffer.initialize_unfilled()) {
                    Ok(filled @ 1..) => filled,
                    // Nothing more, or the end, which the next read tells again.
                    _ => break,
                };
                buffer.advance(filled);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<H: Half> AsyncWrite for TlsStream<H> {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// In TLS 1.3 a client learns only from its first read whether the server takes its certificate.
#[cold]
fn told(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => io::Error::new(error.kind(), alert_text(*alert)),
        _ => error,
    }
}
