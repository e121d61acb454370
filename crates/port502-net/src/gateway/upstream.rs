//! The task that owns a lane's connection.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use port502_session::Instant as SessionInstant;
use port502_session::client::{ClientSession, Event, StartError};
use port502_session::target::{Carrier, Framing};
use port502_wire::UnitId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::lane::{Lane, Shared, State};
use super::options::{LaneEvent, LaneOptions};
use super::queue::Failure;
use crate::client::connection::{attempt, jittered, too_late};
use crate::client::{self, Client, Error, IN_FLIGHT_MAX};
use crate::outbox::Outbox;
use crate::stream::Stream;
use crate::tls::Connectors;
use crate::{Pdu, Target};

/// Bytes taken from the socket at once: as many answers as can be in flight, of the usual size.
const READ_LEN: usize = 16 * 1024;

/// What a lane's connection is made of.
pub(super) enum Link {
    /// A stream of MBAP frames: any number of requests in flight.
    Stream(Target),
    /// Anything else, by way of the client: one request at a time. With how its frames look.
    Client(Client, Framing),
    /// Streams of a test, one for each attempt to connect.
    #[cfg(test)]
    Test(Box<dyn Fn() -> TestDial + Send + Sync>),
}

#[cfg(test)]
pub(super) type TestDial = Pin<Box<dyn Future<Output = io::Result<tokio::io::DuplexStream>> + Send + Sync>>;

impl Link {
    /// Whether it takes one request at a time only.
    pub(super) fn is_one_by_one(&self) -> bool {
        matches!(self, Link::Client(..))
    }

    /// The link to `target`. A client needs a runtime with timers: the one that keeps the time.
    pub(super) fn to(target: &Target, options: &LaneOptions) -> Result<Link, Error> {
        let link = target.link();
        let _runtime = options.timekeeper.as_ref().map(tokio::runtime::Handle::enter);
        Ok(match (link.framing(), link.carrier()) {
            (Framing::Mbap, Carrier::Tcp | Carrier::Tls) => Link::Stream(target.clone()),
            (framing, _) => {
                let mut how = client::Options::default().retries(0);
                how = how.backoff(options.backoff, options.backoff_max);
                how.connect_timeout = options.connect_timeout;
                Link::Client(Client::lazy(target.clone(), how)?, framing)
            }
        })
    }
}

/// Starts the task of a lane on the runtime that it needs; it begins when all of `old` have ended. What is returned
/// closes when it has ended itself.
pub(super) fn spawn(
    shared: Arc<Shared>,
    link: Link,
    options: &LaneOptions,
    old: Vec<Lane>,
) -> watch::Receiver<()> {
    let (working, ended) = watch::channel(());
    let _runtime = match (&link, &options.timekeeper) {
        (Link::Client(..), Some(runtime)) => Some(runtime.enter()),
        _ => None,
    };
    tokio::spawn(async move {
        let mut old = Box::pin(async {
            for lane in old {
                lane.ended().await;
            }
        });
        poll_fn(|task| if shared.is_over(task) { Poll::Ready(()) } else { old.as_mut().poll(task) }).await;
        drop(old);
        run(shared, link).await;
        drop(working);
    });
    ended
}

/// Runs until the lane is closed and all that was asked has come to its end.
async fn run(shared: Arc<Shared>, link: Link) {
    match link {
        Link::Client(client, framing) => {
            ask(&shared, &client, framing).await;
            // The client's own task closes the port.
            let mut state = client.state();
            drop(client);
            while state.changed().await.is_ok() {}
        }
        link => connect(&shared, &link).await,
    }
}

/// What the lane was told last.
fn options(shared: &Shared) -> Arc<LaneOptions> {
    Arc::clone(&shared.state().queue.options)
}

/// How long to leave a peer alone.
#[derive(Default)]
struct Backoff(Duration);

impl Backoff {
    fn next(&mut self, options: &LaneOptions) -> Duration {
        self.0 = (self.0 * 2).clamp(options.backoff, options.backoff_max.max(options.backoff));
        jittered(self.0)
    }
}

/// Connects when there is something to send, and converses until that ends.
async fn connect(shared: &Shared, link: &Link) {
    let (mut backoff, connectors) = (Backoff::default(), Connectors::default());
    while poll_fn(|task| shared.poll_work(task)).await {
        let ended = match link {
            Link::Stream(target) => match dial(target, &connectors, &options(shared)).await {
                Ok(Stream::Tcp(stream)) => Ok(converse(shared, stream).await),
                Ok(Stream::Tls(stream)) => Ok(converse(shared, stream).await),
                Ok(_) => return, // no other link is a stream of MBAP frames
                Err(error) => Err(error.to_string()),
            },
            #[cfg(test)]
            Link::Test(dial) => match dial().await {
                Ok(stream) => Ok(converse(shared, stream).await),
                Err(error) => Err(error.to_string()),
            },
            Link::Client(..) => return,
        };
        match ended {
            Ok((End::Closed, _)) => return,
            Ok((End::Broken(error), answered)) => {
                if answered {
                    backoff = Backoff::default();
                    options(shared).tell(&LaneEvent::Disconnected { error: &error });
                } else {
                    // A server that closes what it accepts is as good as none, and must not be run down.
                    unreachable(shared, &mut backoff, &error);
                }
            }
            Err(error) => unreachable(shared, &mut backoff, &error),
        }
    }
}

/// One attempt to connect. The time is kept where the lane's is.
async fn dial(target: &Target, tls: &Connectors, options: &LaneOptions) -> Result<Stream, Error> {
    let late = sleep(options, Instant::now() + options.connect_timeout);
    tokio::select! {
        dialled = attempt(target, tls) => dialled,
        () = late => Err(too_late(target, options.connect_timeout)),
    }
}

fn unreachable(shared: &Shared, backoff: &mut Backoff, error: &str) {
    let mut state = shared.state();
    let options = Arc::clone(&state.queue.options);
    let (pause, now) = (backoff.next(&options), Instant::now());
    state.queue.status.connect_failures += 1;
    state.queue.unreachable(now + pause, now);
    options.tell(&LaneEvent::Unreachable { error, pause });
}

/// How a connection ended.
enum End {
    /// The lane is closed.
    Closed,
    /// For this reason.
    Broken(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Broken(error.to_string())
    }
}

/// Moves requests and answers until the connection ends. Whether anything was answered.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(shared: &Shared, stream: S) -> (End, bool) {
    let now = Instant::now();
    let mut conversation = {
        let mut state = shared.state();
        let options = Arc::clone(&state.queue.options);
        let delay = options.connect_delay;
        state.queue.reachable((!delay.is_zero()).then(|| now + delay));
        state.queue.status.connected = true;
        state.queue.status.connects += 1;
        options.tell(&LaneEvent::Connected);
        Conversation {
            stream,
            session: ClientSession::new()
                .in_order(options.ignores_transaction)
                .strict_unit(options.inspected),
            outbox: Outbox::default(),
            input: Box::new([0; READ_LEN]),
            timer: Box::pin(sleep(&options, now)),
            armed: None,
            epoch: now,
            answered: false,
        }
    };
    let end = poll_fn(|task| conversation.poll(task, shared)).await;
    conversation.end(&mut shared.state());
    (end, conversation.answered)
}

fn sleep(options: &LaneOptions, until: Instant) -> Sleep {
    let _runtime = options.timekeeper.as_ref().map(tokio::runtime::Handle::enter);
    tokio::time::sleep_until(until)
}

/// A request that is out.
struct Flight {
    slot: u32,
    /// Where its frame starts in all that this connection sends.
    start: u64,
}

/// One connection at work.
struct Conversation<S> {
    stream: S,
    session: ClientSession<IN_FLIGHT_MAX, Flight>,
    outbox: Outbox,
    input: Box<[u8; READ_LEN]>,
    /// Set to the earliest deadline, or to one that has been met since: then it fires for nothing, once.
    timer: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    epoch: Instant,
    answered: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    fn poll(&mut self, task: &mut Task<'_>, shared: &Shared) -> Poll<End> {
        loop {
            // First what has come: it makes room for what is to go.
            match self.poll_read(task, shared) {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => {}
            }
            match self.send(task, shared) {
                Ok(true) => return Poll::Ready(End::Closed),
                Ok(false) => {}
                Err(end) => return Poll::Ready(end),
            }
            if let Err(error) = self.outbox.flush(task, &mut self.stream) {
                return Poll::Ready(error.into());
            }
            match ready!(self.poll_deadlines(task, shared)) {
                Ok(()) => {}
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// Takes what may go out, all of it into one write; whether the lane is closed.
    fn send(&mut self, task: &mut Task<'_>, shared: &Shared) -> Result<bool, End> {
        let mut state = shared.state();
        state.asleep(task);
        if !self.outbox.is_empty() || !state.queue.has_work() {
            return Ok(state.closed && state.queue.is_idle());
        }
        let now = Instant::now();
        let at = self.session_time(now);
        while self.session.pending() < IN_FLIGHT_MAX {
            let Some(next) = state.queue.next(now) else { break };
            let slot = next.slot;
            let flight = Flight { slot, start: self.outbox.end() };
            match self.session.open(at, next.unit, next.pdu, next.timeout, flight) {
                Ok(id) => self.outbox.put(id, next.unit, next.pdu),
                Err((error @ StartError::TooManyAbandoned, _)) => {
                    state.queue.failed(slot, Failure::NotSent, now);
                    return Err(End::Broken(error.to_string()));
                }
                // Neither can be: there is room, and the request was parsed.
                Err((StartError::TooManyPending | StartError::Pdu(_), _)) => {
                    state.queue.failed(slot, Failure::NotSent, now);
                }
            }
        }
        Ok(false)
    }

    fn session_time(&self, now: Instant) -> SessionInstant {
        SessionInstant::ZERO + (now - self.epoch)
    }

    fn poll_read(&mut self, task: &mut Task<'_>, shared: &Shared) -> Poll<Result<(), End>> {
        let mut buffer = ReadBuf::new(&mut self.input[..]);
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(task, &mut buffer)) {
            return Poll::Ready(Err(error.into()));
        }
        let mut bytes = buffer.filled();
        if bytes.is_empty() {
            return Poll::Ready(Err(End::Broken("the peer closed it".to_owned())));
        }
        let mut state = shared.state();
        let now = Instant::now();
        let end = loop {
            match self.session.next(&mut bytes) {
                Ok(None) => break Ok(()),
                Err(error) => break Err(End::Broken(error.to_string())),
                Ok(Some(Event::Discarded { .. })) => state.queue.status.discarded += 1,
                Ok(Some(Event::Answer { tag, pdu, .. })) => {
                    self.answered = true;
                    state.queue.answered(tag.slot, pdu, now);
                }
                Ok(Some(Event::BadAnswer { tag, error, unit, pdu, .. })) => {
                    self.answered = true;
                    tracing::warn!(%error, "the answer is none");
                    state.queue.show(tag.slot, unit, pdu);
                    state.queue.failed(tag.slot, Failure::Nonsense, now);
                }
            }
        };
        state.queue.hand_over();
        Poll::Ready(end)
    }

    /// Gives up what is over its time; pending when nothing was.
    fn poll_deadlines(&mut self, task: &mut Task<'_>, shared: &Shared) -> Poll<Result<(), End>> {
        let flying = self.session.poll_timeout().map(|at| self.epoch + at.since(SessionInstant::ZERO));
        let waiting = shared.state().queue.poll_timeout();
        let earliest = match (flying, waiting) {
            (Some(a), Some(b)) => a.min(b),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return Poll::Pending,
        };
        // A timer that fires too early is cheap; setting it for every request is not.
        if self.armed.is_none_or(|armed| armed > earliest) {
            self.timer.as_mut().reset(earliest);
            self.armed = Some(earliest);
        }
        ready!(self.timer.as_mut().poll(task));
        self.armed = None;
        let mut state = shared.state();
        let now = Instant::now();
        state.queue.hand_over_early(now);
        while let Some((_, flight)) = self.session.handle_timeout(self.session_time(now)) {
            state.queue.failed(flight.slot, Failure::Silence, now);
            if state.queue.options.ignores_transaction {
                // Its late answer could not be told from the next one's.
                return Poll::Ready(Err(End::Broken("an answer is missing".to_owned())));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Tells those whose answers can no longer come.
    fn end(&mut self, state: &mut State) {
        state.queue.status.connected = false;
        let (taken, now) = (self.outbox.taken(), Instant::now());
        for flight in self.session.end() {
            // Once the system has taken a part of it, nobody can tell how far it came.
            let why = if flight.start < taken { Failure::Broken } else { Failure::NotSent };
            state.queue.failed(flight.slot, why, now);
        }
    }
}

/// Asks by way of a client, one request after the other.
async fn ask(shared: &Shared, client: &Client, framing: Framing) {
    let mut backoff = Backoff::default();
    while let Some((slot, unit, pdu, timeout)) = next(shared).await {
        let Some(pdu) = Pdu::new(&pdu) else {
            shared.state().queue.failed(slot, Failure::NotSent, Instant::now());
            continue;
        };
        let answer = client.ask(unit, pdu, timeout).await;
        let mut state = shared.state();
        let now = Instant::now();
        let connected = !matches!(answer, Err(Error::Connect { .. } | Error::Transport { .. }));
        if connected && !state.queue.status.connected {
            state.queue.status.connects += 1;
            state.queue.options.tell(&LaneEvent::Connected);
        }
        state.queue.status.connected = connected;
        let why = match answer {
            Ok(_) if framing != Framing::Mbap && unit == UnitId::BROADCAST => Failure::Broadcast,
            Ok(pdu) => {
                backoff = Backoff::default();
                state.queue.reachable(None);
                state.queue.answered(slot, pdu.as_bytes(), now);
                state.queue.hand_over();
                continue;
            }
            Err(Error::Timeout { sent: true, .. }) => Failure::Silence,
            Err(Error::Protocol(_)) => Failure::Nonsense,
            Err(Error::Transport { sent: true, source, .. }) => {
                state.queue.options.tell(&LaneEvent::Disconnected { error: &source.to_string() });
                Failure::Broken
            }
            Err(error @ Error::Connect { .. }) => {
                state.queue.failed(slot, Failure::NotSent, now);
                drop(state);
                unreachable(shared, &mut backoff, &error.to_string());
                continue;
            }
            Err(_) => Failure::NotSent,
        };
        state.queue.failed(slot, why, now);
    }
}

/// Waits for the next request; `None` when the lane is closed.
async fn next(shared: &Shared) -> Option<(u32, UnitId, Vec<u8>, Duration)> {
    loop {
        if !poll_fn(|task| shared.poll_work(task)).await {
            return None;
        }
        let pause = {
            let mut state = shared.state();
            let now = Instant::now();
            if let Some(next) = state.queue.next(now) {
                return Some((next.slot, next.unit, next.pdu.to_vec(), next.timeout));
            }
            state.queue.poll_timeout().map(|until| sleep(&state.queue.options, until))
        };
        if let Some(pause) = pause {
            pause.await;
        }
    }
}
