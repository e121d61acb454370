//! One connection: a burst of requests in, a burst of answers out.
//!
//! The bytes of a read are handed to the session where they lie, in a buffer that all connections of a thread
//! share; what cannot be dealt with at once (half a frame, an answer that the socket does not take) is kept by
//! the connection. So an idle connection costs little, and a burst costs one read and one write.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use port502_session::server::{Context, Identity, Reply, ServerSession};
use port502_wire::mbap::{self, ADU_MAX, HEADER_LEN, Received, TransactionId};
use port502_wire::{ExceptionCode, PDU_MAX, UnitId};
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use super::caller::Caller;
use super::front::{Arrival, Stream};
use super::registry::{Closed, MakesRoom, Place};
use super::service::{Late, Outcome, Service, Step};
use super::{Event, Options};

/// Bytes read at once. Requests of 12 bytes: more than a thousand in one burst.
const READ_LEN: usize = 16 * 1024;

/// Answers gathered before they are written. When the client does not take them, no more requests are read:
/// this bounds what a connection can hold.
const WRITE_LEN: usize = 64 * 1024;

/// Bytes that are read of a client that has to leave, at most.
const ARRIVED_MAX: u64 = 256 * 1024;

/// Buffers of a thread, in use only within one poll.
struct Scratch {
    input: [u8; READ_LEN],
    output: [u8; WRITE_LEN],
}

thread_local! {
    static SCRATCH: RefCell<Box<Scratch>> =
        RefCell::new(Box::new(Scratch { input: [0; READ_LEN], output: [0; WRITE_LEN] }));
}

/// Serves one client to its end.
pub(super) async fn run<S: Service, T: Stream>(
    stream: T,
    arrival: Arrival,
    service: Arc<S>,
    options: Arc<Options>,
) {
    let Arrival { peer, identity, place } = arrival;
    let session = ServerSession::new(place.now(), options.limits);
    place.expect(session.poll_timeout());
    let caller = Caller::new(options.limits.transactions);
    let mut report = Report::new(options, peer, &place);
    let mut connection = Connection {
        stream,
        service,
        session,
        place,
        peer,
        identity,
        unread: Vec::new(),
        unsent: Vec::new(),
        sent: 0,
        late: Vec::new(),
        caller,
        script: None,
        ended: None,
    };
    // A task's waker stays the same as long as it runs.
    poll_fn(|task| {
        connection.place.woken_by(task.waker());
        Poll::Ready(())
    })
    .await;
    let requests = &mut report.requests;
    let why = poll_fn(|task| connection.poll(task, requests)).await;
    report.why = why;
}

/// Tells the observer of the end, also when the task is ended from outside.
pub(super) struct Report {
    options: Arc<Options>,
    peer: SocketAddr,
    pub(super) requests: u64,
    pub(super) why: Closed,
    makes_room: MakesRoom,
}

impl Report {
    pub(super) fn new(options: Arc<Options>, peer: SocketAddr, place: &Place) -> Self {
        Report { options, peer, requests: 0, why: Closed::ByServer, makes_room: place.makes_room() }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let (peer, requests) = (self.peer, self.requests);
        let why = match self.why {
            _ if std::thread::panicking() => Closed::Panicked,
            Closed::ByServer if self.makes_room.is_so() => Closed::ToMakeRoom,
            why => why,
        };
        tracing::debug!(%peer, %why, requests, "connection ended");
        self.options.tell(&Event::Closed { peer, why, requests });
    }
}

/// An answer that takes time, and the header it goes under.
struct Waiting {
    transaction: TransactionId,
    unit: UnitId,
    function: u8,
    answer: Pin<Box<dyn Future<Output = Late> + Send>>,
}

/// A script that is being played. Nothing else is sent or read meanwhile.
struct Playing {
    /// Requests that it is the answer to, which are open until its end.
    requests: usize,
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
}

struct Connection<S, T> {
    stream: T,
    service: Arc<S>,
    session: ServerSession,
    place: Place,
    peer: SocketAddr,
    identity: Option<Arc<Identity>>,
    /// Read, and not looked at yet because the socket takes no answers.
    unread: Vec<u8>,
    /// Answers that the socket did not take, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    late: Vec<Waiting>,
    caller: Caller,
    script: Option<Playing>,
    /// Nothing more is read, for this reason; what the client is still owed goes out.
    ended: Option<Closed>,
}

impl<S: Service, T: Stream> Connection<S, T> {
    fn poll(&mut self, task: &mut Task<'_>, requests: &mut u64) -> Poll<Closed> {
        if let Some(why) = self.place.expelled() {
            return Poll::Ready(why);
        }
        let mut end = self.poll_work(task, requests);
        if let Ok(None) = end
            && self.ended.is_none()
            && self.place.is_leaving()
        {
            self.read_arrived();
            end = self.poll_work(task, requests);
        }
        match end {
            Ok(Some(why)) | Err(why) => return Poll::Ready(why),
            Ok(None) => {}
        }
        let waiting = self.session.is_midway() || !self.unsent.is_empty();
        self.place.busy(self.session.is_working() || self.script.is_some(), waiting);
        if self.place.is_due() {
            let now = self.place.now();
            if let Some(expired) = self.session.expired(now) {
                return Poll::Ready(Closed::Expired(expired));
            }
            // Something happened since the time was set, or an answer is still being worked on.
            self.place.expect(self.session.poll_timeout().max(now + Duration::from_secs(1)));
        }
        Poll::Pending
    }

    /// Does what can be done now. `Ok(Some(..))`: nothing more is read, and the client has all it was owed.
    fn poll_work(&mut self, task: &mut Task<'_>, requests: &mut u64) -> Result<Option<Closed>, Closed> {
        loop {
            self.poll_flush(task)?;
            if !self.unsent.is_empty() {
                return Ok(None);
            }
            if self.poll_script(task)? {
                continue;
            }
            if self.script.is_some() {
                return Ok(None);
            }
            if self.poll_late(task) | self.poll_inbox(task)? {
                continue;
            }
            if !self.unread.is_empty() {
                let unread = std::mem::take(&mut self.unread);
                SCRATCH
                    .with_borrow_mut(|scratch| self.serve(task, &unread, &mut scratch.output, requests))?;
                continue;
            }
            if let Some(why) = self.ended {
                return Ok((!self.session.is_working()).then_some(why));
            }
            let more = SCRATCH.with_borrow_mut(|scratch| {
                let Scratch { input, output } = &mut **scratch;
                let mut buffer = ReadBuf::new(input);
                match Pin::new(&mut self.stream).poll_read(task, &mut buffer) {
                    Poll::Pending => Ok(false),
                    Poll::Ready(Err(_)) => Err(Closed::Broken),
                    Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                        self.ended = Some(Closed::ByPeer);
                        Ok(true)
                    }
                    Poll::Ready(Ok(())) => {
                        let filled = buffer.filled().len();
                        let input = input.get(..filled).unwrap_or_default();
                        self.serve(task, input, output, requests).map(|()| true)
                    }
                }
            })?;
            if !more {
                return Ok(None);
            }
        }
    }

    /// Takes what lies in the socket, and ends the reading. The runtime is not asked: it may not have looked at
    /// the socket yet, and what is left unread when a connection is closed costs the client the answers that
    /// are on their way to it.
    #[cold]
    fn read_arrived(&mut self) {
        self.ended = Some(Closed::ByServer);
        self.stream.read_arrived(&mut self.unread, ARRIVED_MAX);
    }

    /// Answers all requests in `input`, and writes the answers together.
    fn serve(
        &mut self,
        task: &mut Task<'_>,
        mut input: &[u8],
        output: &mut [u8; WRITE_LEN],
        requests: &mut u64,
    ) -> Result<(), Closed> {
        let mut filled = 0;
        let identity = self.identity.clone();
        let cx = Context::new(Some(self.peer), UnitId::BROADCAST).with_identity(identity.as_deref());
        let unreadable = loop {
            let Some(room) = output.get_mut(filled..).and_then(<[u8]>::first_chunk_mut::<ADU_MAX>) else {
                // As many answers as the buffer holds: out with them before the next.
                self.write(task, output.get(..filled).unwrap_or_default())?;
                filled = 0;
                if !self.unsent.is_empty() {
                    self.unread.extend_from_slice(input);
                    self.service.posted(&mut self.caller);
                    return Ok(());
                }
                continue;
            };
            let frame = match self.session.next(&mut input) {
                Ok(Some(Received::Frame(frame))) => frame,
                Ok(Some(Received::Foreign { .. })) => continue,
                Ok(None) => break None,
                Err(error) => break Some(error.length),
            };
            *requests += 1;
            let (transaction, unit) = (frame.transaction, frame.unit);
            let function = frame.pdu.first().copied().unwrap_or_default();
            let Some((header, pdu)) = room.split_first_chunk_mut::<HEADER_LEN>() else { continue };
            let Some(pdu) = pdu.first_chunk_mut::<PDU_MAX>() else { continue };
            let reply = match self.service.post(&mut self.caller, &cx.for_unit(unit), &frame, pdu) {
                Some(Outcome::Now(reply)) => reply,
                None => {
                    self.session.begin();
                    self.caller.begin(task.waker());
                    continue;
                }
                Some(Outcome::Later(answer)) if self.session.begin() => {
                    self.late.push(Waiting { transaction, unit, function, answer });
                    continue;
                }
                Some(Outcome::Later(_)) => Reply::Exception(ExceptionCode::ServerDeviceBusy),
            };
            if let Some(pdu) = reply.emit(function, pdu) {
                *header = mbap::header(transaction, unit, pdu.len());
                filled += HEADER_LEN + pdu.len();
            }
        };
        self.service.posted(&mut self.caller);
        self.place.used(*requests != 0);
        self.session.heard(self.place.now());
        self.write(task, output.get(..filled).unwrap_or_default())?;
        self.place.expect(self.session.poll_timeout());
        match unreadable {
            Some(length) => Err(Closed::Unreadable { length }),
            None => Ok(()),
        }
    }

    /// Writes what the socket takes, and keeps the rest.
    fn write(&mut self, task: &mut Task<'_>, mut bytes: &[u8]) -> Result<(), Closed> {
        while !bytes.is_empty() && self.unsent.is_empty() {
            match Pin::new(&mut self.stream).poll_write(task, bytes) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Closed::Broken),
                Poll::Ready(Ok(n)) => bytes = bytes.get(n..).unwrap_or_default(),
                Poll::Pending => break,
            }
        }
        if !bytes.is_empty() {
            self.unsent.extend_from_slice(bytes);
            self.session.stalled();
        }
        self.poll_stream(task)
    }

    /// Lets a stream that has buffers of its own send what is in them, as far as the socket takes it.
    #[inline]
    fn poll_stream(&mut self, task: &mut Task<'_>) -> Result<(), Closed> {
        match Pin::new(&mut self.stream).poll_flush(task) {
            Poll::Ready(Err(_)) => Err(Closed::Broken),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn poll_flush(&mut self, task: &mut Task<'_>) -> Result<(), Closed> {
        self.poll_stream(task)?;
        if self.unsent.is_empty() {
            return Ok(());
        }
        while let Some(rest @ [_, ..]) = self.unsent.get(self.sent..) {
            match Pin::new(&mut self.stream).poll_write(task, rest) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Closed::Broken),
                Poll::Ready(Ok(n)) => {
                    self.sent += n;
                    self.place.used(true);
                    self.session.taken(self.place.now());
                }
                Poll::Pending => {
                    self.session.stalled();
                    return Ok(());
                }
            }
        }
        // Memory is for those who are behind, not for those who once were.
        self.unsent = Vec::new();
        self.sent = 0;
        if self.script.is_some() {
            self.session.stalled();
        }
        self.place.expect(self.session.poll_timeout());
        Ok(())
    }

    /// Sends answers that have become ready; whether there were any.
    fn poll_late(&mut self, task: &mut Task<'_>) -> bool {
        let (mut any, mut at) = (false, 0);
        while let Some(waiting) = self.late.get_mut(at) {
            let Poll::Ready(late) = waiting.answer.as_mut().poll(task) else {
                at += 1;
                continue;
            };
            let Waiting { transaction, unit, function, .. } = self.late.remove(at);
            any = true;
            let mut frame = |pdu: &[u8]| {
                self.unsent.extend_from_slice(&mbap::header(transaction, unit, pdu.len()));
                self.unsent.extend_from_slice(pdu);
            };
            match late {
                Late::Response(pdu) => frame(pdu.as_bytes()),
                Late::Exception(code) => frame(&[function | 0x80, code.code()]),
                Late::Silence => {}
                late @ (Late::Amiss(_) | Late::Script(_)) => {
                    let steps = match late {
                        Late::Amiss(amiss) => amiss.steps(transaction, unit),
                        Late::Script(steps) => steps,
                        _ => Vec::new(),
                    };
                    let none = Playing { requests: 0, steps: VecDeque::new(), pause: None };
                    let playing = self.script.get_or_insert(none);
                    playing.requests += 1;
                    playing.steps.extend(steps);
                    self.session.stalled();
                    continue;
                }
            }
            self.session.end();
        }
        any
    }

    /// Sends answers that have come into the inbox, all with one write; whether there were any.
    #[inline]
    fn poll_inbox(&mut self, task: &mut Task<'_>) -> Result<bool, Closed> {
        if self.caller.is_quiet() {
            return Ok(false);
        }
        let (frames, settled) = self.caller.collect();
        if settled == 0 {
            return Ok(false);
        }
        (0..settled).for_each(|_| self.session.end());
        self.write(task, &frames)?;
        self.caller.reuse(frames);
        Ok(true)
    }

    /// Plays the script on; whether something was sent.
    fn poll_script(&mut self, task: &mut Task<'_>) -> Result<bool, Closed> {
        let Some(playing) = &mut self.script else { return Ok(false) };
        loop {
            if let Some(pause) = &mut playing.pause {
                if pause.as_mut().poll(task).is_pending() {
                    return Ok(false);
                }
                playing.pause = None;
            }
            match playing.steps.pop_front() {
                Some(Step::Send(bytes)) => {
                    self.unsent.extend_from_slice(&bytes);
                    return Ok(true);
                }
                Some(Step::Wait(pause)) => playing.pause = Some(Box::pin(tokio::time::sleep(pause))),
                Some(Step::Close) => return Err(Closed::Fault),
                None => {
                    (0..playing.requests).for_each(|_| self.session.end());
                    self.script = None;
                    self.session.taken(self.place.now());
                    self.place.expect(self.session.poll_timeout());
                    return Ok(true);
                }
            }
        }
    }
}
