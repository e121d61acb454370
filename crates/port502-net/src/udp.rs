//! A client's datagrams as a stream: what is read is one datagram, what is written goes out frame by frame.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use port502_session::target::Framing;
use port502_wire::mbap;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UdpSocket;

use crate::Target;

/// Bytes of a datagram that are looked at. Frames have up to 260, and a datagram of several has not many more.
pub(crate) const DATAGRAM_MAX: usize = 2048;

/// The datagrams between this client and one server.
pub(crate) struct Datagrams {
    /// Connected, so that nobody else is heard on it.
    socket: Arc<UdpSocket>,
    framing: Framing,
    room: Box<[u8; DATAGRAM_MAX]>,
    /// Ends with what the socket was told, as that nobody listens at the port: reading alone does not wake for that.
    failure: Pin<Box<dyn Future<Output = io::Error> + Send + Sync>>,
}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datagrams").field("socket", &self.socket).finish_non_exhaustive()
    }
}

async fn failure(socket: Arc<UdpSocket>) -> io::Error {
    loop {
        if let Err(error) = socket.ready(Interest::ERROR).await {
            return error;
        }
        match socket.take_error() {
            Ok(Some(error)) | Err(error) => return error,
            // Nothing after all: wait for the next time.
            Ok(None) => {
                let none: io::Result<()> =
                    socket.try_io(Interest::ERROR, || Err(io::ErrorKind::WouldBlock.into()));
                drop(none);
            }
        }
    }
}

impl Datagrams {
    /// A socket towards the first address of the target's host.
    pub(crate) async fn connect(target: &Target) -> io::Result<Self> {
        let addresses = tokio::net::lookup_host((target.host(), target.port())).await?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match Self::towards(address).await {
                Ok(socket) => {
                    let (socket, framing) = (Arc::new(socket), target.link().framing());
                    let (room, failure) = (Box::new([0; DATAGRAM_MAX]), failure(Arc::clone(&socket)));
                    return Ok(Datagrams { socket, framing, room, failure: Box::pin(failure) });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn towards(address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = match address {
            SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?,
            SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?,
        };
        socket.connect(address).await?;
        Ok(socket)
    }
}

impl AsyncRead for Datagrams {
    /// One datagram. An empty one is passed over, for nothing read is the end of a stream.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Datagrams { socket, framing, room, failure } = self.get_mut();
        if let Poll::Ready(error) = failure.as_mut().poll(cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            let mut datagram = ReadBuf::new(&mut room[..]);
            ready!(socket.poll_recv(cx, &mut datagram))?;
            let bytes = datagram.filled();
            let readable = *framing != Framing::Mbap || mbap::are_frames(bytes);
            if bytes.is_empty() || bytes.len() == DATAGRAM_MAX || bytes.len() > buf.remaining() || !readable {
                tracing::debug!(bytes = bytes.len(), "dropped a datagram that is not made of whole frames");
                continue;
            }
            buf.put_slice(bytes);
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for Datagrams {
    /// The first frame of `buf`, as one datagram.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let frame = match self.framing {
            Framing::Mbap => match mbap::frame_len(buf) {
                Ok(Some(len)) => buf.get(..len).unwrap_or(buf),
                _ => buf,
            },
            Framing::Rtu | Framing::Ascii => buf,
        };
        self.socket.poll_send(cx, frame)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
