//! What stands behind a listening socket: a service that answers frames, or a relay that takes connections whole.

use std::future::Future;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use port502_session::server::Identity;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::connection::{self, Report};
use super::line::{self, Line};
use super::registry::{Closed, Place};
use super::{Options, Service};
use crate::tls::ServerStream;

/// The bytes of a client's connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Reads up to `max` bytes that have arrived, whether the runtime knows of them yet or not.
    fn read_arrived(&mut self, into: &mut Vec<u8>, max: u64);

    /// When it is dropped, the client finds its connection reset, and what it has not taken yet is gone.
    fn reset(&mut self);
}

impl Stream for TcpStream {
    fn read_arrived(&mut self, into: &mut Vec<u8>, max: u64) {
        let socket = SockRef::from(&*self);
        // The socket does not block: what ends this is that there is nothing more, or nobody.
        let _ = (&*socket).take(max).read_to_end(into);
    }

    fn reset(&mut self) {
        // One that is gone already needs none.
        let _ = SockRef::from(&*self).set_linger(Some(Duration::ZERO));
    }
}

impl Stream for ServerStream {
    fn read_arrived(&mut self, into: &mut Vec<u8>, max: u64) {
        ServerStream::read_arrived(self, into, max);
    }

    fn reset(&mut self) {
        ServerStream::reset(self);
    }
}

/// A client that was let in.
#[derive(Debug)]
pub struct Arrival {
    /// Where from.
    pub peer: SocketAddr,
    /// Who it is, where the link tells.
    pub identity: Option<Arc<Identity>>,
    /// What it keeps as long as it stays: it is told there when it has to leave, and tells what it does.
    pub place: Place,
}

/// How a relayed connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Departure {
    /// Why.
    pub why: Closed,
    /// The requests that came on it.
    pub requests: u64,
}

/// Takes a server's connections whole, as bytes: for what has to see all that comes, and not only the requests in it.
/// Limits, TLS and certificates stay the server's.
pub trait Relay: Send + Sync + 'static {
    /// Serves one client to its end. It may be dropped before that, to make room or because the server stops.
    fn run<T: Stream>(
        self: Arc<Self>,
        stream: T,
        arrival: Arrival,
    ) -> impl Future<Output = Departure> + Send + 'static;
}

/// Either, as the listener needs it.
pub(super) trait Front: Send + Sync + 'static {
    /// Serves one client to its end, and tells the observer of it.
    fn run<T: Stream>(
        &self,
        stream: T,
        arrival: Arrival,
        options: Arc<Options>,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// A service, and the line in its connections where frames have no transaction ids.
pub(super) struct Serving<S> {
    pub(super) service: Arc<S>,
    pub(super) line: Option<Line>,
}

impl<S: Service> Front for Serving<S> {
    fn run<T: Stream>(
        &self,
        stream: T,
        arrival: Arrival,
        options: Arc<Options>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (service, line) = (Arc::clone(&self.service), self.line);
        async move {
            match line {
                Some(line) => {
                    line::run_stream(stream, line, arrival.peer, service, options, arrival.place).await;
                }
                None => connection::run(stream, arrival, service, options).await,
            }
        }
    }
}

pub(super) struct Relaying<R>(pub(super) Arc<R>);

impl<R: Relay> Front for Relaying<R> {
    fn run<T: Stream>(
        &self,
        stream: T,
        arrival: Arrival,
        options: Arc<Options>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let relay = Arc::clone(&self.0);
        async move {
            let mut report = Report::new(options, arrival.peer, &arrival.place);
            let Departure { why, requests } = relay.run(stream, arrival).await;
            (report.why, report.requests) = (why, requests);
        }
    }
}
