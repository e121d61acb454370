//! A server's TLS side: who shakes hands, who was let in and with which certificate.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::front::{Arrival, Front};
use super::registry::{Closed, Expel, Registry};
use super::{Event, Options, Refusal, TlsError};
use crate::Target;
use crate::tls::{Accepted, Acceptor, HandshakeFailure, HandshakeFault, Loaded, linger};

/// How often it is looked whether certificates have ended, of clients that are here and of our own.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Looks between two warnings of the same thing: one a day.
const LOOKS_A_DAY: u32 = 24;

/// Loads a running server's certificates anew.
#[derive(Clone, Debug)]
pub struct Reload(Weak<Secured>);

impl Reload {
    pub(super) fn new(secured: &Arc<Secured>) -> Self {
        Reload(Arc::downgrade(secured))
    }

    /// Reads certificate, key, authorities and revocation list again. New clients meet the new ones. Those that are
    /// here stay, except those whose certificates would be refused now: they are closed at once.
    ///
    /// Sessions from before are not resumed any more, so that no revoked certificate comes back by one.
    ///
    /// # Errors
    /// A file that cannot be used. Then everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.prepare().map(Prepared::install)
    }

    /// The first half of [`reload`](Self::reload): reads the files, which may take time, and changes nothing. Who has
    /// several servers can refuse what is wrong at one of them as a whole.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn prepare(&self) -> Result<Prepared, TlsError> {
        // A server that has ended has nothing to load.
        let Some(secured) = self.0.upgrade() else { return Ok(Prepared(None)) };
        let loaded = secured.acceptor.load_again()?;
        Ok(Prepared(Some((secured, loaded))))
    }

    /// The same with the files that `target` names, in the place of those that the server began with.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn prepare_as(&self, target: &Target) -> Result<Prepared, TlsError> {
        let Some(secured) = self.0.upgrade() else { return Ok(Prepared(None)) };
        let loaded = Loaded::of(target)?;
        Ok(Prepared(Some((secured, loaded))))
    }
}

/// Certificates that were read anew, and do not hold yet.
#[must_use = "they hold only when they are installed"]
pub struct Prepared(Option<(Arc<Secured>, Arc<Loaded>)>);

impl Prepared {
    /// The second half of [`Reload::reload`]: new clients meet them, and clients that they refuse are closed.
    pub fn install(self) {
        let Some((secured, loaded)) = self.0 else { return };
        secured.acceptor.install(loaded);
        secured.look_at_clients();
        secured.tell_notices();
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Secured {
    acceptor: Acceptor,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Handshakes, the oldest first.
    handshakes: BTreeMap<u64, Handshake>,
    next: u64,
    /// Clients that were let in, by the id of their place.
    clients: HashMap<u64, Client>,
    options: Option<Arc<Options>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (handshakes, clients) = (self.handshakes.len(), self.clients.len());
        f.debug_struct("State").field("handshakes", &handshakes).field("clients", &clients).finish()
    }
}

struct Handshake {
    peer: SocketAddr,
    task: Option<AbortHandle>,
}

struct Client {
    chain: Vec<CertificateDer<'static>>,
    expel: Expel,
}

/// Ends the task that looks at certificates.
pub(super) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Secured {
    pub(super) fn new(target: &Target) -> io::Result<Self> {
        let acceptor =
            Acceptor::new(target).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Secured { acceptor, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after certificates that end, from now on.
    pub(super) fn watch(self: &Arc<Self>, registry: &Arc<Registry>, options: &Arc<Options>) -> Watch {
        self.state().options = Some(Arc::clone(options));
        let (secured, registry) = (Arc::clone(self), Arc::clone(registry));
        let work = async move {
            loop {
                secured.tell_notices();
                for _ in 0..LOOKS_A_DAY {
                    registry.sleep(LOOK_EVERY).await;
                    secured.look_at_clients();
                }
            }
        };
        Watch(tokio::spawn(work).abort_handle())
    }

    fn tell_notices(&self) {
        let Some(options) = self.state().options.clone() else { return };
        for notice in self.acceptor.notices(SystemTime::now()) {
            tracing::warn!(%notice, "certificates");
            options.tell(&Event::Notice(Arc::new(notice)));
        }
    }

    /// Ends the connections of clients that would not be let in any more.
    fn look_at_clients(&self) {
        for client in self.state().clients.values() {
            if let Err(fault) = self.acceptor.judge(&client.chain) {
                client.expel.expel(closed(&fault));
            }
        }
    }

    /// Ends one handshake, where there is any: the oldest of the address that has most of them, so that a crowd from
    /// one address ends its own.
    pub(super) fn end_one(&self) {
        let mut state = self.state();
        let mut shares: HashMap<IpAddr, usize> = HashMap::new();
        for handshake in state.handshakes.values() {
            *shares.entry(handshake.peer.ip()).or_default() += 1;
        }
        let most = shares.values().max();
        let oldest = state.handshakes.iter().find(|(_, it)| shares.get(&it.peer.ip()) == most);
        let Some(id) = oldest.map(|(id, _)| *id) else { return };
        let ended = state.handshakes.remove(&id);
        let options = state.options.clone();
        drop(state);
        if let Some(Handshake { peer, task }) = ended {
            if let Some(task) = task {
                task.abort();
            }
            if let Some(options) = options {
                options.refuse(peer, refusal(HandshakeFailure::unknown(HandshakeFault::TooMany)));
            }
        }
    }

    /// No more handshakes.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        std::mem::take(&mut state.handshakes)
            .into_values()
            .filter_map(|it| it.task)
            .for_each(|it| it.abort());
    }

    /// Shakes hands with a new client, and serves it where that goes well.
    pub(super) fn shake_hands<F: Front>(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        front: &Arc<F>,
        options: &Arc<Options>,
        registry: &Arc<Registry>,
    ) {
        while self.state().handshakes.len() >= options.handshakes.max(1) {
            self.end_one();
        }
        let id = {
            let mut state = self.state();
            let id = state.next;
            state.next += 1;
            state.handshakes.insert(id, Handshake { peer, task: None });
            id
        };
        let (secured, front) = (Arc::clone(self), Arc::clone(front));
        let (options, registry) = (Arc::clone(options), Arc::clone(registry));
        let task = tokio::spawn(async move {
            let until = tokio::time::Instant::now() + options.handshake;
            let time_left = || registry.sleep(until.saturating_duration_since(tokio::time::Instant::now()));
            let outcome = tokio::select! {
                biased;
                outcome = secured.acceptor.accept(stream) => outcome,
                () = time_left() => Err((HandshakeFailure::unknown(HandshakeFault::TimedOut), None)),
            };
            match outcome {
                Ok(accepted) => {
                    // From here on it may not be ended as a handshake. Where it was meanwhile, it is gone.
                    if secured.state().handshakes.remove(&id).is_some() {
                        secured.let_in(accepted, peer, &front, &options, &registry);
                    }
                }
                Err((failure, stream)) => {
                    options.refuse(peer, refusal(failure));
                    if let Some(stream) = stream {
                        tokio::select! {
                            () = linger(stream) => {}
                            () = time_left() => {}
                        }
                    }
                    secured.state().handshakes.remove(&id);
                }
            }
        });
        // On a runtime with several threads it may be over already.
        if let Some(handshake) = self.state().handshakes.get_mut(&id) {
            handshake.task = Some(task.abort_handle());
        }
    }

    fn let_in<F: Front>(
        self: &Arc<Self>,
        accepted: Accepted,
        peer: SocketAddr,
        front: &Arc<F>,
        options: &Arc<Options>,
        registry: &Arc<Registry>,
    ) {
        let Accepted { stream, identity, chain, resumed, judged_by } = accepted;
        let place = match registry.admit(peer) {
            Ok(place) => place,
            Err(why) => return options.refuse(peer, why),
        };
        let fingerprint = crate::tls::hex(&identity.fingerprint);
        tracing::info!(%peer, %identity, fingerprint, resumed, "let in");
        if let Some(fault) = identity.role_fault {
            tracing::warn!(%peer, subject = identity.subject, %fault, "the client has the null role");
        }
        let identity = Arc::new(identity);
        let id = place.id();
        self.state().clients.insert(id, Client { chain: chain.clone(), expel: place.expel_handle() });
        // The certificates may have been loaded anew while it shook hands.
        if let Err(fault) = self.acceptor.judge_again(&judged_by, &chain) {
            self.state().clients.remove(&id);
            let failure = HandshakeFailure {
                subject: Some(identity.subject.clone()),
                fingerprint: Some(identity.fingerprint),
                fault,
            };
            return options.refuse(peer, refusal(failure));
        }
        options.tell(&Event::Opened { peer, identity: Some(Arc::clone(&identity)) });
        let gone = Gone { secured: Arc::clone(self), id };
        let arrival = Arrival { peer, identity: Some(identity), place };
        let work = front.run(stream, arrival, Arc::clone(options));
        let task = tokio::spawn(async move {
            let _gone = gone;
            work.await;
        });
        registry.started(id, task.abort_handle());
    }
}

/// Forgets a client's certificates when its connection ends, in whatever way.
struct Gone {
    secured: Arc<Secured>,
    id: u64,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.secured.state().clients.remove(&self.id);
    }
}

fn refusal(failure: HandshakeFailure) -> Refusal {
    Refusal::Handshake(Arc::new(failure))
}

fn closed(fault: &HandshakeFault) -> Closed {
    match fault {
        HandshakeFault::Revoked => Closed::Revoked,
        HandshakeFault::Expired { .. } => Closed::CertificateExpired,
        _ => Closed::Distrusted,
    }
}
