//! The task that owns a client's socket.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use port502_session::Instant as SessionInstant;
use port502_session::client::{ClientSession, Event, StartError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Command, Error, IN_FLIGHT_MAX, Options, ProtocolError, QUEUE_MAX, State, line};
use crate::outbox::Outbox;
use crate::serial::Port;
use crate::stream::Stream;
use crate::udp::Datagrams;
use crate::{Link, Pdu, Target, tcp, tls};

/// Bytes taken from the socket at once: more than [`IN_FLIGHT_MAX`] answers of the usual size.
const READ_LEN: usize = 8 * 1024;

/// Requests that wait in the task; as many again wait in the channel to it.
const TAKEN_MAX: usize = QUEUE_MAX / 2;

/// One attempt to connect, as long as it may take.
pub(crate) async fn attempt(target: &Target, tls: &tls::Connectors) -> Result<Stream, Error> {
    let failed = |source| failed(target, source);
    match target.link() {
        Link::Tcp | Link::RtuOverTcp | Link::AsciiOverTcp => {
            tcp::connect(target).await.map(Stream::Tcp).map_err(failed)
        }
        Link::Tls => match tls::connect(target, tls).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(tls::ConnectError::Io(source)) => Err(failed(source)),
            Err(tls::ConnectError::Tls(error)) => Err(Error::Tls(Arc::new(error))),
        },
        Link::Udp | Link::RtuOverUdp => Datagrams::connect(target).await.map(Stream::Udp).map_err(failed),
        Link::Rtu | Link::Ascii => Port::open(target).map(Stream::Serial).map_err(failed),
    }
}

fn failed(target: &Target, source: io::Error) -> Error {
    Error::Connect { target: Box::new(target.clone()), source: Arc::new(source) }
}

/// An attempt to connect that took too long.
pub(crate) fn too_late(target: &Target, limit: Duration) -> Error {
    failed(target, io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {limit:?}")))
}

/// One attempt to connect, within its time.
pub(super) async fn dial(target: &Target, options: &Options) -> Result<Stream, Error> {
    let limit = options.connect_timeout;
    let dialled = tokio::time::timeout(limit, attempt(target, &options.tls)).await;
    dialled.unwrap_or_else(|_| Err(too_late(target, limit)))
}

/// Runs until the last handle is dropped.
pub(super) async fn run(
    target: Target,
    options: Options,
    mut commands: mpsc::Receiver<Command>,
    state: watch::Sender<State>,
    mut stream: Option<Stream>,
) {
    let (mut queue, mut backoff) = (Queue::default(), Backoff::new(&options));
    loop {
        let connected = match stream.take() {
            Some(connected) => connected,
            None => {
                match reconnect(&target, &options, &mut commands, &mut queue, &state, &mut backoff).await {
                    Some(connected) => connected,
                    None => return,
                }
            }
        };
        state.send_replace(State::Connected);
        let (end, answered) = match connected {
            Stream::Tcp(stream) => hold(stream, &target, &options, &mut commands, &mut queue).await,
            Stream::Tls(stream) => hold(stream, &target, &options, &mut commands, &mut queue).await,
            Stream::Udp(stream) => hold(stream, &target, &options, &mut commands, &mut queue).await,
            Stream::Serial(port) => hold(port, &target, &options, &mut commands, &mut queue).await,
        };
        let source = match end {
            End::Closed => return,
            End::Broken(error) => error,
            End::Stream(error) => Arc::new(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        tracing::debug!(%target, error = %source, "the connection broke");
        if answered {
            backoff = Backoff::new(&options);
            state.send_replace(State::Idle);
        } else {
            // A server that closes what it accepts is as good as none, and must not be run down.
            backoff.failed(&options, Error::Connect { target: Box::new(target.clone()), source }, &state);
        }
    }
}

/// Holds the conversation that the target's frames allow, until the connection ends. Whether anything was answered.
async fn hold<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    target: &Target,
    options: &Options,
    commands: &mut mpsc::Receiver<Command>,
    queue: &mut Queue,
) -> (End, bool) {
    match target.line() {
        None => converse(stream, target, options, commands, queue).await,
        Some(settings) => line::converse(stream, settings, target, commands, queue).await,
    }
}

/// Moves requests and answers with transaction ids until the connection ends. Whether anything was answered.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    target: &Target,
    options: &Options,
    commands: &mut mpsc::Receiver<Command>,
    queue: &mut Queue,
) -> (End, bool) {
    let mut drive = Drive::new(stream, target, options);
    let end = poll_fn(|cx| drive.poll(cx, commands, queue)).await;
    drive.end(&end);
    (end, drive.answered)
}

/// How long to leave a server alone after attempts that failed.
struct Backoff {
    failures: u32,
    pause: Duration,
    not_before: Option<Instant>,
    last_error: Option<Error>,
}

impl Backoff {
    fn new(options: &Options) -> Self {
        Backoff { failures: 0, pause: options.backoff, not_before: None, last_error: None }
    }

    fn failed(&mut self, options: &Options, error: Error, state: &watch::Sender<State>) {
        self.failures += 1;
        self.not_before = Some(Instant::now() + jittered(self.pause));
        self.pause = (self.pause * 2).min(options.backoff_max);
        state.send_replace(State::Waiting { attempt: self.failures, error: error.to_string() });
        self.last_error = Some(error);
    }
}

/// Requests that have not gone out.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Command>);

impl Queue {
    /// The one that has waited for longest.
    pub(super) fn pop(&mut self) -> Option<Command> {
        self.0.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|command| command.deadline).min()
    }

    /// Answers those whose time is over, and forgets those nobody waits for.
    fn expire(&mut self, now: Instant, why: impl Fn(&Command) -> Error) {
        let mut kept = VecDeque::with_capacity(self.0.len());
        for command in self.0.drain(..) {
            if command.deadline <= now {
                let error = why(&command);
                // The caller may be gone; then nobody needs to know.
                let _ = command.reply.send(Err(error));
            } else if !command.reply.is_closed() {
                kept.push_back(command);
            }
        }
        self.0 = kept;
    }
}

/// Waits for somebody to ask, then tries until there is a connection. `None` when the last handle is gone.
async fn reconnect(
    target: &Target,
    options: &Options,
    commands: &mut mpsc::Receiver<Command>,
    queue: &mut Queue,
    state: &watch::Sender<State>,
    backoff: &mut Backoff,
) -> Option<Stream> {
    loop {
        if queue.0.is_empty() {
            queue.0.push_back(commands.recv().await?);
        }
        if let Some(at) = backoff.not_before.take() {
            meanwhile(pin!(sleep_until(at)), commands, queue, backoff.last_error.as_ref()).await?;
            continue; // those who asked may have run out of time
        }
        state.send_replace(State::Connecting { attempt: backoff.failures + 1 });
        let attempt = pin!(dial(target, options));
        match meanwhile(attempt, commands, queue, backoff.last_error.as_ref()).await? {
            Ok(stream) => return Some(stream),
            Err(error) => {
                tracing::debug!(%target, failures = backoff.failures, %error, "could not connect");
                backoff.failed(options, error, state);
            }
        }
    }
}

/// Between half of `pause` and all of it.
pub(crate) fn jittered(pause: Duration) -> Duration {
    // A hasher of the standard library is seeded anew each time: randomness enough to spread clients.
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    let half = pause / 2;
    half + half.mul_f64((random % 1024) as f64 / 1024.0)
}

/// Awaits `future` while requests come in and run out of time. `None` when the last handle is gone.
pub(super) async fn meanwhile<F: Future>(
    mut future: Pin<&mut F>,
    commands: &mut mpsc::Receiver<Command>,
    queue: &mut Queue,
    last_error: Option<&Error>,
) -> Option<F::Output> {
    let why = |command: &Command| {
        last_error.cloned().unwrap_or(Error::Timeout { after: command.timeout, sent: false })
    };
    loop {
        let deadline = queue.deadline();
        let expiry = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            output = &mut future => return Some(output),
            () = expiry => queue.expire(Instant::now(), why),
            command = commands.recv(), if queue.0.len() < TAKEN_MAX => queue.0.push_back(command?),
        }
    }
}

/// How a connection ended.
pub(super) enum End {
    /// The last handle was dropped.
    Closed,
    /// The peer closed it, or the network did.
    Broken(Arc<io::Error>),
    /// What the peer sends cannot be read.
    Stream(ProtocolError),
}

/// Who waits for which answer.
struct Waiting {
    /// Where its frame starts in all that this connection sends.
    start: u64,
    timeout: Duration,
    reply: oneshot::Sender<Result<Pdu, Error>>,
}

/// One connection at work.
struct Drive<'t, S> {
    stream: S,
    target: &'t Target,
    in_flight: usize,
    session: ClientSession<IN_FLIGHT_MAX, Waiting>,
    outbox: Outbox,
    /// Whether the peer has answered anything on this connection.
    answered: bool,
    input: Box<[u8; READ_LEN]>,
    /// Set to the earliest deadline, or to one that has been met since: then it fires for nothing, once.
    timer: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    epoch: Instant,
}

impl<'t, S: AsyncRead + AsyncWrite + Unpin> Drive<'t, S> {
    fn new(stream: S, target: &'t Target, options: &Options) -> Self {
        let epoch = Instant::now();
        Drive {
            stream,
            target,
            in_flight: options.in_flight.clamp(1, IN_FLIGHT_MAX),
            session: ClientSession::new().strict_unit(options.strict_unit),
            outbox: Outbox::default(),
            answered: false,
            input: Box::new([0; READ_LEN]),
            timer: Box::pin(sleep_until(epoch)),
            armed: None,
            epoch,
        }
    }

    /// Moves everything that can move: requests out, answers in, deadlines.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        commands: &mut mpsc::Receiver<Command>,
        queue: &mut Queue,
    ) -> Poll<End> {
        loop {
            // First what has come: places in flight become free, and who has hung up is asked nothing more.
            match self.poll_read(cx) {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => {}
            }
            if let Poll::Ready(end) = self.poll_commands(cx, commands, queue) {
                return Poll::Ready(end);
            }
            if let Err(error) = self.outbox.flush(cx, &mut self.stream) {
                return Poll::Ready(End::Broken(Arc::new(error)));
            }
            if self.poll_deadlines(cx, queue).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Puts requests in flight while there are places.
    fn poll_commands(
        &mut self,
        cx: &mut Context<'_>,
        commands: &mut mpsc::Receiver<Command>,
        queue: &mut Queue,
    ) -> Poll<End> {
        let mut now = None;
        loop {
            let command = if self.session.pending() < self.in_flight {
                match queue.0.pop_front() {
                    Some(command) => command,
                    None => match commands.poll_recv(cx) {
                        Poll::Ready(Some(command)) => command,
                        Poll::Ready(None) => return Poll::Ready(End::Closed),
                        Poll::Pending => return Poll::Pending,
                    },
                }
            } else {
                // No place: what waits must still run out of time when its time is over.
                if queue.0.len() < TAKEN_MAX {
                    match commands.poll_recv(cx) {
                        Poll::Ready(Some(command)) => {
                            queue.0.push_back(command);
                            continue;
                        }
                        Poll::Ready(None) => return Poll::Ready(End::Closed),
                        Poll::Pending => {}
                    }
                }
                return Poll::Pending;
            };
            if command.reply.is_closed() {
                continue;
            }
            if command.deadline <= *now.get_or_insert_with(Instant::now) {
                let _ = command.reply.send(Err(Error::Timeout { after: command.timeout, sent: false }));
                continue;
            }
            if let Err(end) = self.start(command, queue) {
                return Poll::Ready(end);
            }
        }
    }

    fn start(&mut self, command: Command, queue: &mut Queue) -> Result<(), End> {
        let Command { unit, pdu, timeout, deadline, reply } = command;
        // The session counts from the epoch, so that its timeout is the deadline.
        let (epoch, until) = (SessionInstant::ZERO, deadline - self.epoch);
        let waiting = Waiting { start: self.outbox.end(), timeout, reply };
        match self.session.open(epoch, unit, pdu.as_bytes(), until, waiting) {
            Ok(id) => {
                self.outbox.put(id, unit, pdu.as_bytes());
                Ok(())
            }
            Err((StartError::Pdu(error), Waiting { reply, .. })) => {
                let _ = reply.send(Err(error.into()));
                Ok(())
            }
            Err((error, Waiting { timeout, reply, .. })) => {
                queue.0.push_front(Command { unit, pdu, timeout, deadline, reply });
                match error {
                    StartError::TooManyAbandoned => {
                        Err(End::Broken(Arc::new(io::Error::new(io::ErrorKind::TimedOut, error.to_string()))))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn session_time(&self, now: Instant) -> SessionInstant {
        SessionInstant::ZERO + (now - self.epoch)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut buffer = ReadBuf::new(&mut self.input[..]);
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
        let broken = |error| Err(End::Broken(Arc::new(error)));
        if let Err(error) = result {
            return Poll::Ready(broken(error));
        }
        let mut bytes = buffer.filled();
        if bytes.is_empty() {
            let text = "the peer closed it";
            return Poll::Ready(broken(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
        }
        loop {
            let (waiting, result) = match self.session.next(&mut bytes) {
                Ok(None) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(End::Stream(error.into()))),
                Ok(Some(Event::Discarded { id })) => {
                    tracing::debug!(target = %self.target, ?id, "passed over a frame that nobody waits for");
                    continue;
                }
                Ok(Some(Event::Answer { tag, pdu, other_unit, .. })) => {
                    if let Some(unit) = other_unit {
                        tracing::warn!(target = %self.target, %unit, "another unit answered than was asked");
                    }
                    (tag, Pdu::new(pdu).ok_or(Error::Closed))
                }
                Ok(Some(Event::BadAnswer { tag, error, .. })) => (tag, Err(error.into())),
            };
            self.answered = true;
            // The caller may be gone: then the answer is of no use to anybody.
            let _ = waiting.reply.send(result);
        }
    }

    /// Gives up what is over its time; pending when nothing was.
    fn poll_deadlines(&mut self, cx: &mut Context<'_>, queue: &mut Queue) -> Poll<()> {
        let flying = self.session.poll_timeout().map(|at| self.epoch + at.since(SessionInstant::ZERO));
        let earliest = match (flying, queue.deadline()) {
            (Some(a), Some(b)) => a.min(b),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return Poll::Pending,
        };
        // A timer that fires too early is cheap; setting it for every request is not.
        if self.armed.is_none_or(|armed| armed > earliest) {
            self.timer.as_mut().reset(earliest);
            self.armed = Some(earliest);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.armed = None;
        let now = Instant::now();
        while let Some((_, waiting)) = self.session.handle_timeout(self.session_time(now)) {
            let _ = waiting.reply.send(Err(Error::Timeout { after: waiting.timeout, sent: true }));
        }
        queue.expire(now, |command| Error::Timeout { after: command.timeout, sent: false });
        Poll::Ready(())
    }

    /// Tells those whose answers can no longer come.
    fn end(&mut self, end: &End) {
        let taken = self.outbox.taken();
        for waiting in self.session.end() {
            let error = match end {
                End::Closed => Error::Closed,
                End::Stream(error) => Error::Protocol(*error),
                End::Broken(source) => Error::Transport {
                    target: Box::new(self.target.clone()),
                    // Once the system has taken a part of it, nobody can tell how far it came.
                    sent: waiting.start < taken,
                    source: Arc::clone(source),
                },
            };
            let _ = waiting.reply.send(Err(error));
        }
    }
}
