//! Connections to devices, for those who move bytes themselves.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use port502_session::target::{Carrier, Framing};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::Target;
use crate::client::Error;
use crate::client::connection::{attempt, too_late};
use crate::server::Stream as _;
use crate::stream::Stream;
use crate::tls::Connectors;

/// Makes connections to one target, each anew. Cheap to clone; clones resume each other's TLS sessions.
#[derive(Clone, Debug)]
pub struct Dialler {
    target: Target,
    connectors: Connectors,
    within: Duration,
    timekeeper: Option<Handle>,
}

impl Dialler {
    /// For `target`, with at most `within` for each attempt; `None` where it is not a stream of MBAP frames. The time is
    /// kept by `timekeeper`, or by the runtime that it is dialled on.
    #[must_use]
    pub fn new(target: Target, within: Duration, timekeeper: Option<Handle>) -> Option<Self> {
        let link = target.link();
        let fits = link.framing() == Framing::Mbap && matches!(link.carrier(), Carrier::Tcp | Carrier::Tls);
        fits.then(|| Dialler { target, connectors: Connectors::default(), within, timekeeper })
    }

    /// Where it leads.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How long an attempt may take.
    #[must_use]
    pub fn within(&self) -> Duration {
        self.within
    }

    /// One attempt.
    ///
    /// # Errors
    /// [`Error::Connect`] when nobody answers in time or at all, [`Error::Tls`] for certificates that cannot be used.
    pub async fn dial(&self) -> Result<Dialled, Error> {
        let late = {
            let _runtime = self.timekeeper.as_ref().map(Handle::enter);
            tokio::time::sleep_until(Instant::now() + self.within)
        };
        tokio::select! {
            dialled = attempt(&self.target, &self.connectors) => dialled.map(Dialled),
            () = late => Err(too_late(&self.target, self.within)),
        }
    }
}

/// A connection that was made.
#[derive(Debug)]
pub struct Dialled(Stream);

impl Dialled {
    /// When it is dropped, the device finds its connection reset.
    pub fn reset(&mut self) {
        match &mut self.0 {
            Stream::Tcp(stream) => stream.reset(),
            Stream::Tls(stream) => stream.reset(),
            // No dialler makes these.
            Stream::Udp(_) | Stream::Serial(_) => {}
        }
    }
}

/// Does the same with whichever stream it is.
macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($inner) => $call,
            Stream::Tls($inner) => $call,
            Stream::Udp($inner) => $call,
            Stream::Serial($inner) => $call,
        }
    };
}

impl AsyncRead for Dialled {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(&mut self.0, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Dialled {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(&mut self.0, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.0, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut self.0, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
