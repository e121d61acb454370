//! One line: RTU or ASCII on a serial port, or in a stream as serial converters make it.
//!
//! There is one answer at most, to the last request that was heard: a client that asks on has given up what it asked
//! before, and would take an answer to that for the next one's.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use port502_session::Instant as SessionInstant;
use port502_session::line::{ADU_MAX, Heard, ServerLine, changed_delimiter, emit};
use port502_session::server::{Context, Expired, Limits, LineEvent, Reply};
use port502_session::target::{Framing, LineSettings};
use port502_wire::ascii::LF;
use port502_wire::mbap::{Frame, TransactionId};
use port502_wire::rtu::Hears;
use port502_wire::{EmitError, ExceptionCode, PDU_MAX, UnitId, rtu, serial};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::connection::Report;
use super::registry::{Closed, Place};
use super::service::{Amiss, Late, Outcome, Service, Step};
use super::{Event, Options, STOP_MAX, stop_asked};
use crate::pause::{Pause, timer};
use crate::serial::Port;
use crate::{Pdu, Target};

/// Bytes taken from the line at once.
const READ_LEN: usize = 2048;

/// The first pause before a serial port that was lost is tried again, and the longest.
const REOPEN_FIRST: Duration = Duration::from_millis(100);
const REOPEN_MAX: Duration = Duration::from_secs(5);

/// How frames are told apart on a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    framing: Framing,
    settings: LineSettings,
    hears: Hears,
}

impl Line {
    /// The line of a target; `None` where frames have transaction ids.
    pub(super) fn of(target: &Target, hears: Hears) -> Option<Line> {
        let settings = target.line()?;
        Some(Line { framing: target.link().framing(), settings, hears })
    }

    /// A conversation on it.
    pub(super) fn session(self, now: SessionInstant, limits: Limits) -> ServerLine {
        ServerLine::new(now, self.framing, self.settings, self.hears, limits)
    }

    /// The frame that these bytes are as a whole. ASCII frames have their own marks, and are found by them.
    pub(super) fn split(self, bytes: &[u8]) -> Option<serial::Frame<'_>> {
        if self.framing == Framing::Rtu { rtu::split(bytes) } else { None }
    }

    /// A frame of it.
    pub(super) fn emit<'b>(
        self,
        unit: UnitId,
        pdu: &[u8],
        out: &'b mut [u8; ADU_MAX],
    ) -> Result<&'b [u8], EmitError> {
        emit(self.framing, &serial::Frame { unit, pdu }, LF, out)
    }
}

/// Serves one client in a stream to its end.
pub(super) async fn run_stream<S: Service, T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    line: Line,
    peer: std::net::SocketAddr,
    service: Arc<S>,
    options: Arc<Options>,
    place: Place,
) {
    // A task's waker stays the same as long as it runs.
    poll_fn(|task| {
        place.woken_by(task.waker());
        Poll::Ready(())
    })
    .await;
    let mut report = Report::new(Arc::clone(&options), peer, &place);
    let (cx, leave) = (Context::new(Some(peer), UnitId::BROADCAST), Leave::Place(place));
    let mut conversation = Conversation::new(stream, line, &*service, cx, &options, leave);
    let why = conversation.run(&mut report.requests).await;
    report.why = match why {
        End::Expired(expired) => Closed::Expired(expired),
        End::Asked => Closed::ByServer,
        End::Fault => Closed::Fault,
        End::Eof => Closed::ByPeer,
        End::Broken(_) => Closed::Broken,
    };
}

/// Serves a serial port until the server is stopped. A port that is lost, as a USB adapter that is pulled out, is
/// tried again until it is back.
pub(super) async fn run_port<S: Service>(
    port: Port,
    target: &Target,
    service: &S,
    options: &Options,
    mut stopped: watch::Receiver<bool>,
) {
    // Others are on a bus, too.
    let Some(line) = Line::of(target, Hears::Both) else { return };
    let (mut port, mut pause) = (Some(port), REOPEN_FIRST);
    loop {
        let open = match port.take() {
            Some(open) => open,
            None => {
                let pausing = timer(options.timekeeper.as_ref(), Instant::now() + pause);
                tokio::select! {
                    () = stop_asked(&mut stopped) => return,
                    () = pausing => {}
                }
                pause = (pause * 2).min(REOPEN_MAX);
                match Port::open(target) {
                    Ok(open) => {
                        tracing::info!(%target, "the serial port is back");
                        options.tell(&Event::PortBack);
                        open
                    }
                    Err(error) => {
                        tracing::debug!(%target, %error, "the serial port is not back");
                        continue;
                    }
                }
            }
        };
        let (cx, leave) = (Context::new(None, UnitId::BROADCAST), Leave::Stop(stopped.clone()));
        let mut requests = 0;
        let mut conversation = Conversation::new(open, line, service, cx, options, leave);
        let why = conversation.run(&mut requests).await;
        if requests > 0 {
            pause = REOPEN_FIRST;
        }
        let error = match why {
            End::Asked => {
                return options.tell(&Event::Ended { error: None, requests });
            }
            End::Broken(error) => error.kind(),
            End::Eof | End::Fault | End::Expired(_) => io::ErrorKind::UnexpectedEof,
        };
        tracing::warn!(%target, %error, "the serial port is lost, and is tried again");
        options.tell(&Event::Ended { error: Some(error), requests });
    }
}

/// Who asks a conversation to end.
enum Leave {
    /// The registry of connections.
    Place(Place),
    /// The server.
    Stop(watch::Receiver<bool>),
}

impl Leave {
    async fn asked(&mut self) {
        match self {
            // Whoever asks wakes the task.
            Leave::Place(place) => {
                poll_fn(|_| if place.is_leaving() { Poll::Ready(()) } else { Poll::Pending }).await;
            }
            Leave::Stop(stopped) => stop_asked(stopped).await,
        }
    }

    fn place(&self) -> Option<&Place> {
        match self {
            Leave::Place(place) => Some(place),
            Leave::Stop(_) => None,
        }
    }
}

/// How a conversation ended.
enum End {
    /// It was asked to.
    Asked,
    Expired(Expired),
    Eof,
    Broken(io::Error),
    /// A fault that was asked for.
    Fault,
}

/// An answer that takes time.
struct Working {
    number: u64,
    unit: UnitId,
    function: u8,
    delimiter: Option<u8>,
    answer: Pin<Box<dyn Future<Output = Late> + Send>>,
}

/// An answer that waits for the line.
struct Ready {
    number: u64,
    unit: UnitId,
    /// What ends ASCII frames from this answer on.
    delimiter: Option<u8>,
    what: What,
}

enum What {
    Answer { pdu: Pdu, pause: Duration },
    Script(Vec<Step>),
}

struct Conversation<'s, S, T> {
    stream: T,
    session: ServerLine,
    service: &'s S,
    cx: Context<'s>,
    leave: Leave,
    /// On a bus there is nobody whose place could be needed.
    expires: bool,
    transactions: usize,
    patience: Duration,
    timekeeper: Option<Handle>,
    pause: Pause,
    working: Vec<Working>,
    ready: Option<Ready>,
    ended: Option<End>,
    epoch: Instant,
}

impl<'s, S: Service, T: AsyncRead + AsyncWrite + Unpin> Conversation<'s, S, T> {
    fn new(stream: T, line: Line, service: &'s S, cx: Context<'s>, options: &Options, leave: Leave) -> Self {
        Conversation {
            stream,
            session: line.session(SessionInstant::ZERO, options.limits),
            service,
            cx,
            expires: leave.place().is_some(),
            leave,
            transactions: options.limits.transactions,
            patience: options.limits.frame,
            timekeeper: options.timekeeper.clone(),
            pause: Pause::new(options.timekeeper.clone()),
            working: Vec::new(),
            ready: None,
            ended: None,
            epoch: Instant::now(),
        }
    }

    fn now(&self) -> SessionInstant {
        SessionInstant::ZERO + self.epoch.elapsed()
    }

    fn instant(&self, at: SessionInstant) -> Instant {
        self.epoch + at.since(SessionInstant::ZERO)
    }

    async fn run(&mut self, requests: &mut u64) -> End {
        let mut input = Box::new([0; READ_LEN]);
        loop {
            if let Err(end) = self.answer().await {
                return end;
            }
            let owed = self.ready.is_some() || self.working.iter().any(|w| self.session.is_last(w.number));
            if !owed && let Some(end) = self.ended.take() {
                return end;
            }
            if let Some(place) = self.leave.place() {
                place.busy(owed, self.session.quiet_at().is_some());
            }
            let wake = self.wake();
            let open = self.ended.is_none();
            tokio::select! {
                biased;
                read = self.stream.read(&mut input[..]), if open => match read {
                    Ok(0) => self.end(End::Eof, requests),
                    Err(error) => return End::Broken(error),
                    Ok(read) => self.take(input.get(..read).unwrap_or_default(), requests),
                },
                (working, late) = finished(&mut self.working) => self.finish(&working, late),
                () = self.leave.asked(), if open => self.end(End::Asked, requests),
                () = self.pause.until(wake) => {
                    let now = self.now();
                    while let Some(heard) = self.session.handle_timeout(now) {
                        let answer = serve(self.service, &self.cx, heard, requests);
                        self.owe(answer);
                    }
                    if self.expires && !owed && let Some(expired) = self.session.expired(now) {
                        return End::Expired(expired);
                    }
                }
            }
        }
    }

    /// When there is something to do, should nothing happen until then.
    fn wake(&self) -> Instant {
        let answer = self.ready.as_ref().map(|_| self.session.free_at());
        // While a request is worked on the client has nothing to say.
        let expires = (self.expires && self.working.is_empty()).then(|| self.session.expires_at());
        let earliest = [answer, expires, self.session.quiet_at()].into_iter().flatten().min();
        // An hour: nothing is due.
        earliest.map_or_else(|| Instant::now() + Duration::from_secs(3600), |at| self.instant(at))
    }

    /// What has come is the last.
    fn end(&mut self, end: End, requests: &mut u64) {
        while let Some(heard) = self.session.end_of_datagram() {
            let answer = serve(self.service, &self.cx, heard, requests);
            self.owe(answer);
        }
        self.ended = Some(end);
    }

    fn take(&mut self, mut input: &[u8], requests: &mut u64) {
        let now = self.now();
        if let Some(place) = self.leave.place() {
            place.used(*requests != 0);
        }
        while let Some(heard) = self.session.next(now, &mut input) {
            let answer = serve(self.service, &self.cx, heard, requests);
            self.owe(answer);
        }
    }

    /// Notes what comes of a frame.
    fn owe(&mut self, answer: Option<Owed>) {
        match answer {
            None => {}
            Some(Owed::Ready(ready)) => self.ready = Some(ready),
            Some(Owed::Delimiter(delimiter)) => self.session.set_delimiter(delimiter),
            Some(Owed::Working(working)) if self.working.len() < self.transactions => {
                self.working.push(working)
            }
            Some(Owed::Working(Working { number, unit, function, .. })) => {
                let busy = [function | 0x80, ExceptionCode::ServerDeviceBusy.code()];
                let what = Pdu::new(&busy).map(|pdu| What::Answer { pdu, pause: Duration::ZERO });
                self.ready = what.map(|what| Ready { number, unit, delimiter: None, what });
            }
        }
    }

    /// An answer that took time is there.
    fn finish(&mut self, working: &Working, late: Late) {
        let Working { number, unit, function, delimiter, .. } = *working;
        let answer = |pdu: Option<Pdu>, pause| pdu.map(|pdu| What::Answer { pdu, pause });
        let what = match late {
            Late::Response(pdu) => answer(Some(pdu), Duration::ZERO),
            Late::Exception(code) => answer(Pdu::new(&[function | 0x80, code.code()]), Duration::ZERO),
            Late::Amiss(Amiss { pdu, pause, .. }) => answer(Some(pdu), pause),
            Late::Script(steps) => Some(What::Script(steps)),
            Late::Silence => None,
        };
        // Nobody answers a broadcast.
        if let Some(what) = what.filter(|_| unit != UnitId::BROADCAST) {
            self.ready = Some(Ready { number, unit, delimiter, what });
        }
    }

    /// Sends the answer that is ready once the line is free, unless something else has been said meanwhile.
    async fn answer(&mut self) -> Result<(), End> {
        let now = self.now();
        let Some(ready) = self.ready.take_if(|_| self.session.free_at() <= now) else { return Ok(()) };
        let sent = self.send(now, &ready).await;
        if let Some(delimiter) = ready.delimiter {
            self.session.set_delimiter(delimiter);
        }
        sent
    }

    async fn send(&mut self, now: SessionInstant, ready: &Ready) -> Result<(), End> {
        if !self.session.is_last(ready.number) {
            tracing::debug!(unit = %ready.unit, "an answer came too late: something else was said meanwhile");
            return Ok(());
        }
        match &ready.what {
            What::Answer { pdu, pause } => {
                let mut adu = [0; ADU_MAX];
                let Ok(adu) = self.session.answer(now, ready.unit, pdu.as_bytes(), &mut adu) else {
                    return Ok(());
                };
                if pause.is_zero() {
                    return self.write(adu).await;
                }
                for byte in adu.chunks(1) {
                    self.write(byte).await?;
                    self.sleep(*pause).await;
                }
                Ok(())
            }
            What::Script(steps) => {
                for step in steps {
                    match step {
                        Step::Send(bytes) => self.write(bytes).await?,
                        Step::Wait(pause) => self.sleep(*pause).await,
                        Step::Close => return Err(End::Fault),
                    }
                }
                Ok(())
            }
        }
    }

    fn sleep(&self, pause: Duration) -> Sleep {
        timer(self.timekeeper.as_ref(), Instant::now() + pause)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        // A client that does not take one answer is none.
        let patience = timer(self.timekeeper.as_ref(), Instant::now() + self.patience.max(STOP_MAX));
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let written = tokio::select! {
            biased;
            written = writing => written,
            () = patience => Err(io::ErrorKind::TimedOut.into()),
        };
        written.map_err(End::Broken)
    }
}

/// What a frame is owed.
enum Owed {
    Ready(Ready),
    Working(Working),
    /// Nothing, and another character ends ASCII frames.
    Delimiter(u8),
}

/// Has a frame carried out, where it is for us.
fn serve<S: Service>(service: &S, cx: &Context<'_>, heard: Heard<'_>, requests: &mut u64) -> Option<Owed> {
    let (number, frame) = match heard {
        Heard::Frame { number, frame } => (number, frame),
        Heard::Dropped { check, bytes } => {
            tracing::debug!(bytes, "dropped bytes that are no frame");
            if check {
                service.overheard(LineEvent::CheckError);
            }
            return None;
        }
    };
    let (unit, pdu) = (frame.unit, frame.pdu);
    let function = pdu.first().copied().unwrap_or_default();
    // A line has no transaction ids.
    let frame = Frame { transaction: TransactionId(0), unit, pdu };
    let mut out = [0; PDU_MAX];
    let broadcast = unit == UnitId::BROADCAST;
    let delimiter = changed_delimiter(pdu);
    let outcome = if broadcast {
        *requests += 1;
        service.broadcast(cx, &frame, &mut out)
    } else if service.serves(unit) {
        *requests += 1;
        service.call(&cx.for_unit(unit), &frame, &mut out)
    } else {
        service.overheard(LineEvent::OthersFrame);
        return None;
    };
    match outcome {
        Outcome::Later(answer) => Some(Owed::Working(Working { number, unit, function, delimiter, answer })),
        Outcome::Now(_) if broadcast => delimiter.map(Owed::Delimiter),
        Outcome::Now(reply) => {
            let delimiter = delimiter.filter(|_| matches!(reply, Reply::Response { .. }));
            let pdu = reply.emit(function, &mut out).and_then(Pdu::new)?;
            let what = What::Answer { pdu, pause: Duration::ZERO };
            Some(Owed::Ready(Ready { number, unit, delimiter, what }))
        }
    }
}

/// The next answer that becomes ready; never, while none is worked on.
async fn finished(all: &mut Vec<Working>) -> (Working, Late) {
    poll_fn(|task| {
        for at in 0..all.len() {
            let Some(working) = all.get_mut(at) else { break };
            if let Poll::Ready(late) = working.answer.as_mut().poll(task) {
                return Poll::Ready((all.swap_remove(at), late));
            }
        }
        Poll::Pending
    })
    .await
}
