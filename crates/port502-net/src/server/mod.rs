//! The server: many connections, each request answered from a [`Service`].
//!
//! ```no_run
//! use port502_net::{memory::MemoryDevice, server::{Options, Server}};
//!
//! # async fn serve() -> std::io::Result<()> {
//! let server = Server::bind(&"tcp://127.0.0.1:1502".parse().expect("a target"), Options::default())?;
//! println!("listening on {}", server.target());
//! server.run(MemoryDevice::full()).await
//! # }
//! ```
//!
//! All requests of one read are answered with one write. A connection costs about a kilobyte while it is idle.

mod authorized;
mod caller;
mod connection;
mod front;
mod line;
mod registry;
mod secured;
mod service;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use port502_session::server::Limits;
use port502_wire::rtu::Hears;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

pub use authorized::{Authorized, Denied, DeniedObserver};
pub use caller::{Caller, Inbox};
pub use front::{Arrival, Departure, Relay, Stream};
pub use port502_session::server::{
    Context, Device, DeviceResult, Identity, LineEvent, Reply, RoleFault, answer,
};
pub use registry::{Closed, Place};
pub use secured::{Prepared, Reload};
pub use service::{Amiss, Late, Outcome, Service, Step, Units, Unmapped};

use crate::serial::Port;
use crate::tls::{HandshakeFailure, Notice, TlsError};
use crate::{Link, Target, tcp};
use front::{Front, Relaying, Serving};
use line::Line;
use registry::Registry;
use secured::Secured;

/// Connections that the kernel may hold before they are accepted.
const BACKLOG: i32 = 1024;

/// The longest pause after an `accept` that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// TLS handshakes at once, unless [`Options::handshakes`] says otherwise: each costs some kilobytes and a part of a
/// millisecond, which whoever can reach the port can make us spend.
pub const HANDSHAKES_MAX: usize = 64;

/// For a TLS handshake, unless [`Options::handshake`] says otherwise: a small controller takes a second or two for
/// its signature.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long a stopped server waits for answers that take time, and for clients that do not take theirs.
const STOP_MAX: Duration = Duration::from_secs(5);

/// How a server behaves. Built from [`Options::default`] by changing fields.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Connections at once. One more closes the one that has been idle for longest; when none is idle, the new
    /// one is refused. The same happens earlier where the system does not let the process open so many files.
    pub connections: usize,
    /// Connections at once from one address.
    pub per_peer: usize,
    /// Networks that clients may come from; all when empty. Others are closed at once.
    pub allowed: Vec<IpNet>,
    /// Idle and half-frame timeouts, transactions at once.
    pub limits: Limits,
    /// TLS handshakes at once. They are no connections yet: one more ends the oldest of the address that has most of
    /// them.
    pub handshakes: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// Told of connections that come and go.
    pub observer: Option<Observer>,
    /// The runtime that keeps the timeouts; the one that the server runs on when `None`. A server on a runtime
    /// of its own without timers (`enable_io` alone) spends a fifth less on each request, as long as its service
    /// needs none either.
    pub timekeeper: Option<tokio::runtime::Handle>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connections: 2048,
            per_peer: usize::MAX,
            allowed: Vec::new(),
            limits: Limits::default(),
            handshakes: HANDSHAKES_MAX,
            handshake: HANDSHAKE_WITHIN,
            observer: None,
            timekeeper: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("connections", &self.connections)
            .field("per_peer", &self.per_peer)
            .field("allowed", &self.allowed)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Is told of connections. It is called while others wait, so it must not block.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// What happens to connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A client was accepted.
    Opened {
        /// Its address.
        peer: SocketAddr,
        /// Who it is, where the link has TLS.
        identity: Option<Arc<Identity>>,
    },
    /// A client was turned away.
    Refused {
        /// Its address.
        peer: SocketAddr,
        /// Why.
        why: Refusal,
    },
    /// A connection ended.
    Closed {
        /// Its address.
        peer: SocketAddr,
        /// How.
        why: Closed,
        /// The requests it made.
        requests: u64,
    },
    /// A serial port that was lost is served again.
    PortBack,
    /// A serial port or a UDP socket is served no longer.
    Ended {
        /// How the port was lost, which is tried again until it is [back](Event::PortBack); `None` when the server was
        /// stopped.
        error: Option<io::ErrorKind>,
        /// The requests that came.
        requests: u64,
    },
    /// Something about the certificates that keeps clients out before long; told at the start, on a reload, and once
    /// a day.
    Notice(Arc<Notice>),
}

/// Why a client was turned away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Its address is in none of [`Options::allowed`].
    NotAllowed,
    /// It has [`Options::per_peer`] connections already.
    PerPeer,
    /// There are [`Options::connections`], and none is idle.
    AllBusy,
    /// The TLS handshake failed.
    Handshake(Arc<HandshakeFailure>),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Refusal::NotAllowed => "its address is not allowed",
            Refusal::PerPeer => "it has as many connections as one address may have",
            Refusal::AllBusy => "all connections are taken and busy",
            Refusal::Handshake(failure) => return write!(f, "{failure}"),
        })
    }
}

/// Where clients come from.
#[derive(Debug)]
enum Listener {
    /// Connections; where frames have no transaction ids, the line in them.
    Stream(std::net::TcpListener, Option<Line>),
    Tls(std::net::TcpListener, Arc<Secured>),
    Datagrams(std::net::UdpSocket, Option<Line>),
    Serial(Port),
}

/// A listening socket that serves nothing yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    target: Target,
    local: Option<SocketAddr>,
    options: Options,
    stop: watch::Sender<bool>,
}

/// Ends a running server.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// No new connections. What has arrived is answered, then each connection ends, after five seconds at last.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Server {
    /// Listens, or opens the serial port. Port 0 lets the system choose one. Raises the process's limit on open
    /// files when it is below [`Options::connections`].
    ///
    /// # Errors
    /// The system's, for an address in use, a port below 1024 without the right to it, and the like; of the kind
    /// [`InvalidInput`](io::ErrorKind::InvalidInput), with a [`TlsError`] in it, for certificates that cannot be used.
    ///
    /// # Panics
    /// For a serial port outside of a tokio runtime.
    pub fn bind(target: &Target, options: Options) -> io::Result<Server> {
        let (listener, local) = match target.link() {
            Link::Tcp | Link::RtuOverTcp | Link::AsciiOverTcp => {
                let listener = listen(target)?;
                tcp::allow_files(options.connections);
                let local = listener.local_addr()?;
                (Listener::Stream(listener, Line::of(target, Hears::Requests)), Some(local))
            }
            Link::Tls => {
                let secured = Arc::new(Secured::new(target)?);
                let listener = listen(target)?;
                tcp::allow_files(options.connections.saturating_add(options.handshakes));
                let local = listener.local_addr()?;
                (Listener::Tls(listener, secured), Some(local))
            }
            Link::Udp | Link::RtuOverUdp => {
                let socket = udp::bind(target)?;
                let local = socket.local_addr()?;
                (Listener::Datagrams(socket, Line::of(target, Hears::Requests)), Some(local))
            }
            Link::Rtu | Link::Ascii => (Listener::Serial(Port::open(target)?), None),
        };
        let target = match local {
            Some(local) => target.clone().at(local),
            None => target.clone(),
        };
        Ok(Server { listener, target, local, options, stop: watch::Sender::new(false) })
    }

    /// Where it listens, with the address and port that the system chose.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The address of its socket; `None` on a serial port.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// A handle that loads its certificates anew; `None` for links without TLS.
    #[must_use]
    pub fn reload_handle(&self) -> Option<Reload> {
        match &self.listener {
            Listener::Tls(_, secured) => Some(Reload::new(secured)),
            _ => None,
        }
    }

    /// A handle that ends it.
    #[must_use]
    pub fn stop_handle(&self) -> Stop {
        Stop(self.stop.clone())
    }

    /// Serves until it is stopped and the last answers are out.
    ///
    /// Connections are tasks of the runtime that this is awaited on. A `current_thread` runtime serves small
    /// machines best: no request ever changes threads.
    ///
    /// # Errors
    /// The listening socket cannot be used. Failures of single connections, and want of file descriptors, end
    /// nothing.
    pub async fn run<S: Service>(self, service: S) -> io::Result<()> {
        let (service, options) = (Arc::new(service), Arc::new(self.options));
        let stopped = self.stop.subscribe();
        match self.listener {
            Listener::Stream(listener, line) => {
                let (listener, front) = (TcpListener::from_std(listener)?, Serving { service, line });
                run_listener(listener, None, &Arc::new(front), &options, stopped).await;
            }
            Listener::Tls(listener, secured) => {
                let (listener, front) = (TcpListener::from_std(listener)?, Serving { service, line: None });
                run_listener(listener, Some(&secured), &Arc::new(front), &options, stopped).await;
            }
            Listener::Datagrams(socket, line) => {
                udp::run(UdpSocket::from_std(socket)?, line, service, options, stopped).await;
            }
            Listener::Serial(port) => {
                line::run_port(port, &self.target, &*service, &options, stopped).await;
            }
        }
        Ok(())
    }
}

impl Server {
    /// The same with a relay, which has each connection whole.
    ///
    /// # Errors
    /// As [`run`](Self::run); and of the kind [`Unsupported`](io::ErrorKind::Unsupported) for links other than
    /// Modbus/TCP and its like in TLS.
    pub async fn relay<R: Relay>(self, relay: Arc<R>) -> io::Result<()> {
        let (front, options) = (Arc::new(Relaying(relay)), Arc::new(self.options));
        let stopped = self.stop.subscribe();
        let (listener, secured) = match self.listener {
            Listener::Stream(listener, None) => (listener, None),
            Listener::Tls(listener, secured) => (listener, Some(secured)),
            Listener::Stream(_, Some(_)) | Listener::Datagrams(..) | Listener::Serial(_) => {
                return Err(io::ErrorKind::Unsupported.into());
            }
        };
        run_listener(TcpListener::from_std(listener)?, secured.as_ref(), &front, &options, stopped).await;
        Ok(())
    }
}

fn listen(target: &Target) -> io::Result<std::net::TcpListener> {
    let address = (target.host(), target.port()).to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server must get its port back while old connections linger.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Waits for the end of the server.
async fn stop_asked(stopped: &mut watch::Receiver<bool>) {
    // A handle that is gone cannot ask any more; the server holds one itself.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Accepts connections until the server is stopped, and waits for the last of them.
async fn run_listener<F: Front>(
    listener: TcpListener,
    secured: Option<&Arc<Secured>>,
    front: &Arc<F>,
    options: &Arc<Options>,
    mut stopped: watch::Receiver<bool>,
) {
    let registry = Arc::new(Registry::new(options));
    let _time = KeepTime::start(&registry, options.timekeeper.as_ref());
    let _watch = secured.map(|secured| secured.watch(&registry, options));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => accept(stream, peer, secured, front, options, &registry),
            Err(error) if is_one_connections(&error) => {}
            Err(error) => {
                // Out of file descriptors, most likely: make room, and give the system time.
                tracing::warn!(%error, "accept failed");
                if let Some(secured) = secured {
                    secured.end_one();
                }
                registry.make_room(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if let Some(secured) = secured {
        secured.stop();
    }
    registry.drain(STOP_MAX).await;
}

/// The task that keeps a server's timeouts; it ends with this.
struct KeepTime(tokio::task::AbortHandle);

impl KeepTime {
    fn start(registry: &Arc<Registry>, runtime: Option<&tokio::runtime::Handle>) -> Self {
        let registry = Arc::clone(registry);
        let work = async move { registry.keep_time().await };
        let task = match runtime {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        };
        KeepTime(task.abort_handle())
    }
}

impl Drop for KeepTime {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The client gave up before it was accepted.
fn is_one_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn accept<F: Front>(
    stream: TcpStream,
    peer: SocketAddr,
    secured: Option<&Arc<Secured>>,
    front: &Arc<F>,
    options: &Arc<Options>,
    registry: &Arc<Registry>,
) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    if !is_allowed(&options.allowed, peer.ip()) {
        return options.refuse(peer, Refusal::NotAllowed);
    }
    if let Some(secured) = secured {
        // It gets a place among the others once it has shown who it is.
        if tcp::set_up(&stream).is_ok() {
            secured.shake_hands(stream, peer, front, options, registry);
        }
        return;
    }
    let place = match registry.admit(peer) {
        Ok(place) => place,
        Err(why) => return options.refuse(peer, why),
    };
    if tcp::set_up(&stream).is_err() {
        return; // it is gone already
    }
    options.tell(&Event::Opened { peer, identity: None });
    let id = place.id();
    let arrival = Arrival { peer, identity: None, place };
    let task = tokio::spawn(front.run(stream, arrival, Arc::clone(options)));
    registry.started(id, task.abort_handle());
}

fn is_allowed(allowed: &[IpNet], peer: IpAddr) -> bool {
    allowed.is_empty() || allowed.iter().any(|network| network.contains(&peer))
}

impl Options {
    fn refuse(&self, peer: SocketAddr, why: Refusal) {
        tracing::info!(%peer, %why, "refused");
        self.tell(&Event::Refused { peer, why });
    }

    fn tell(&self, event: &Event) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }
}
