//! A client's conversation on a line: RTU or ASCII, one request at a time.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use port502_session::Instant as SessionInstant;
use port502_session::line::{ADU_MAX, ClientLine, Event, StartError};
use port502_session::target::{Carrier, LineSettings};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::connection::{End, Queue, meanwhile};
use super::{Command, Error, ProtocolError, RequestError};
use crate::pause::Pause;
use crate::udp::DATAGRAM_MAX;
use crate::{Pdu, Target};

/// Moves requests and answers without transaction ids until the line ends. Whether anything was answered.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    settings: LineSettings,
    target: &Target,
    commands: &mut mpsc::Receiver<Command>,
    queue: &mut Queue,
) -> (End, bool) {
    let mut line = Line {
        stream,
        target,
        session: ClientLine::new(target.link().framing(), settings),
        datagrams: target.link().carrier() == Carrier::Udp,
        epoch: Instant::now(),
        input: Box::new([0; DATAGRAM_MAX]),
        pause: Pause::default(),
    };
    let mut answered = false;
    let end = loop {
        let command = match queue.pop() {
            Some(command) => command,
            None => match line.idle(commands).await {
                Ok(Some(command)) => command,
                Ok(None) => break End::Closed,
                Err(error) => break End::Broken(Arc::new(error)),
            },
        };
        if command.reply.is_closed() {
            continue;
        }
        let asked = meanwhile(pin!(line.ask(&command)), commands, queue, None).await;
        let result = match asked {
            // Whoever asked is gone as well.
            None => break End::Closed,
            Some(Ok(result)) => result,
            Some(Err(Broken { sent, source })) => {
                let source = Arc::new(source);
                let error =
                    Error::Transport { target: Box::new(target.clone()), sent, source: Arc::clone(&source) };
                let _ = command.reply.send(Err(error));
                break End::Broken(source);
            }
        };
        answered |= !matches!(result, Err(Error::Timeout { .. } | Error::Request(_)));
        // The caller may be gone: then the answer is of no use to anybody.
        let _ = command.reply.send(result);
    };
    (end, answered)
}

/// The line failed in the middle of a request.
struct Broken {
    /// Whether it may have gone out before.
    sent: bool,
    source: io::Error,
}

struct Line<'t, S> {
    stream: S,
    target: &'t Target,
    session: ClientLine,
    /// The end of what is read at once is the end of a frame.
    datagrams: bool,
    epoch: Instant,
    input: Box<[u8; DATAGRAM_MAX]>,
    pause: Pause,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<'_, S> {
    fn now(&self) -> SessionInstant {
        self.session_time(Instant::now())
    }

    fn session_time(&self, at: Instant) -> SessionInstant {
        // Never the start itself, which stands for a line on which nothing was heard.
        SessionInstant::from_nanos(1) + at.saturating_duration_since(self.epoch)
    }

    fn instant(&self, at: SessionInstant) -> Instant {
        self.epoch + at.since(SessionInstant::from_nanos(1))
    }

    /// Waits for the next request, and forgets what comes without being asked for. `None` when the last handle is gone.
    async fn idle(&mut self, commands: &mut mpsc::Receiver<Command>) -> io::Result<Option<Command>> {
        loop {
            tokio::select! {
                biased;
                heard = read(&mut self.stream, &mut self.input) => self.pass_over(heard?),
                command = commands.recv() => return Ok(command),
            }
        }
    }

    /// Asks once the line is free. The outcome for the one who asks; an error where the line failed.
    async fn ask(&mut self, command: &Command) -> Result<Result<Pdu, Error>, Broken> {
        let late = |sent| Ok(Err(Error::Timeout { after: command.timeout, sent }));
        let unsent = |source| Broken { sent: false, source };
        self.session.wait_for_late(command.timeout);
        let mut held = false;
        // First what has come: it is no answer, and it may have to end before anybody else speaks.
        loop {
            while let Some(heard) = arrived(&mut self.stream, &mut self.input).await {
                self.pass_over(heard.map_err(unsent)?);
            }
            self.expire();
            let mut free = self.session.free_for(command.unit, command.pdu.as_bytes());
            held |= free > self.session.free_at();
            if free <= self.now() {
                // One that had to let the late answer of another pass by is not given up as early as that leaves it:
                // its own answer would be the next late one, and so on for ever.
                let left = command.deadline.saturating_duration_since(Instant::now());
                if !held || left >= command.timeout / 2 {
                    break;
                }
                free = self.session_time(command.deadline);
            }
            let wake = self.session.poll_timeout().map_or(free, |quiet| quiet.min(free));
            let wake = self.instant(wake).min(command.deadline);
            tokio::select! {
                biased;
                heard = read(&mut self.stream, &mut self.input) => self.pass_over(heard.map_err(unsent)?),
                () = self.pause.until(wake) => {}
            }
            if command.deadline <= Instant::now() {
                return late(false);
            }
        }
        if command.deadline <= Instant::now() {
            return late(false);
        }
        let (mut adu, now, deadline) = ([0; ADU_MAX], self.now(), self.session_time(command.deadline));
        let started = self.session.start(now, command.unit, command.pdu.as_bytes(), deadline, &mut adu);
        let adu = match started {
            Ok(adu) => adu,
            Err(StartError::NotBroadcast { function }) => {
                return Ok(Err(RequestError::NotBroadcast { function }.into()));
            }
            Err(StartError::Pdu(error)) => return Ok(Err(error.into())),
            // One request at a time is asked from here.
            Err(StartError::Busy) => return Ok(Err(Error::Closed)),
        };
        // Half a frame that went out cannot be taken back: a line that takes no more has failed.
        let sent = |source| Broken { sent: true, source };
        let written = timeout_at(command.deadline, async {
            self.stream.write_all(adu).await?;
            self.stream.flush().await
        });
        written.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(sent)?;
        loop {
            let wake = self.session.poll_timeout().map_or(command.deadline, |wake| self.instant(wake));
            let heard = tokio::select! {
                biased;
                heard = read(&mut self.stream, &mut self.input) => Some(heard.map_err(sent)?),
                () = self.pause.until(wake) => None,
            };
            if let Some(result) = self.digest(heard, command) {
                return Ok(result);
            }
        }
    }

    /// What the bytes that came, or the time that passed, mean for the request.
    fn digest(&mut self, heard: Option<usize>, command: &Command) -> Option<Result<Pdu, Error>> {
        let now = self.now();
        let mut input = self.input.get(..heard.unwrap_or_default()).unwrap_or_default();
        let mut result = None;
        loop {
            let mut event = match heard {
                Some(_) => self.session.next(now, &mut input),
                None => self.session.handle_timeout(now),
            };
            if event.is_none() && self.datagrams && heard.is_some() {
                event = self.session.end_of_datagram();
            }
            let outcome = match event {
                None => return result,
                Some(Event::Answer { pdu }) => Pdu::new(pdu).ok_or(Error::Closed),
                Some(Event::GivenUp { error: Some(error) }) => Err(error.into()),
                Some(Event::GivenUp { error: None }) => {
                    Err(Error::Timeout { after: command.timeout, sent: true })
                }
                Some(Event::Collision) => Err(ProtocolError::Echo.into()),
                Some(Event::PassedOver { unit }) => {
                    tracing::debug!(target = %self.target, %unit, "passed over a frame that is no answer");
                    continue;
                }
                Some(Event::Dropped { bytes }) => {
                    tracing::debug!(target = %self.target, bytes, "dropped bytes that are no frame");
                    continue;
                }
            };
            // What comes behind the answer in the same breath is passed over with it.
            result = result.or(Some(outcome));
        }
    }

    /// Forgets what came without being asked for.
    fn pass_over(&mut self, heard: usize) {
        let now = self.now();
        let mut input = self.input.get(..heard).unwrap_or_default();
        while self.session.next(now, &mut input).is_some() {}
        if self.datagrams {
            while self.session.end_of_datagram().is_some() {}
        }
        tracing::debug!(target = %self.target, bytes = heard, "nobody waits for what came");
    }

    /// Lets silence end what has begun.
    fn expire(&mut self) {
        let now = self.now();
        while self.session.handle_timeout(now).is_some() {}
    }
}

/// Bytes into `input`; their end is an error.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, input: &mut [u8; DATAGRAM_MAX]) -> io::Result<usize> {
    match stream.read(&mut input[..]).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed it")),
        read => Ok(read),
    }
}

/// The same, of what is there already.
async fn arrived<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: &mut [u8; DATAGRAM_MAX],
) -> Option<io::Result<usize>> {
    tokio::select! {
        biased;
        heard = read(stream, input) => Some(heard),
        () = std::future::ready(()) => None,
    }
}
