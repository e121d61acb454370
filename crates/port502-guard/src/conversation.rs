//! One client's connection: its bytes into the inspection, what passes to the device, and back.
//!
//! The inspection bounds what is kept here: as many requests as may be open wait for the device, and while the client does
//! not take its answers nothing more is read from either side.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};
use std::time::Duration;

use port502_inspect::conduit::{Event, Flow, Output};
use port502_inspect::{Inline, Peer};
use port502_net::gateway::{Ask, Seat};
use port502_net::server::{Arrival, Closed, Departure, Inbox, Place, Relay, Stream};
use port502_net::{Dialled, client};
use port502_session::Instant;
use port502_session::server::{Expired, Identity};
use port502_wire::mbap::{Decoder, Received};
use tokio::io::{AsyncWrite, ReadBuf};

use crate::conduit::{Conduit, Upstream};
use crate::ear::Ear;

/// Bytes read at once. Requests of 12 bytes: more than a thousand in one burst.
const READ_LEN: usize = 16 * 1024;

/// Reads of a client, or of its device, before the others have their turn: a client that floods must not have the thread for
/// itself until its socket is empty.
const READS_MAX: usize = 4;

/// Bytes that are still looked at of a client that has to leave.
const ARRIVED_MAX: u64 = 256 * 1024;

/// Buffers of a thread, in use only within one poll.
struct Scratch {
    input: Box<[u8; READ_LEN]>,
    output: Output,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { input: Box::new([0; READ_LEN]), output: Output::default() });
}

impl Relay for Conduit {
    async fn run<T: Stream>(self: Arc<Self>, mut stream: T, arrival: Arrival) -> Departure {
        let Arrival { peer, identity, place } = arrival;
        let who = Peer { address: peer.ip(), identity: identity.as_deref().cloned() };
        let Ok(counted) = self.connect(peer, &who) else {
            stream.reset();
            return Departure { why: Closed::Refused, requests: 0 };
        };
        // A task's waker stays the same as long as it runs.
        let waker = poll_fn(|task| Poll::Ready(task.waker().clone())).await;
        place.woken_by(&waker);
        let mut conversation = Conversation::new(self, stream, (peer, who, counted), identity, place, &waker);
        let why = poll_fn(|task| conversation.poll(task)).await;
        Departure { why, requests: conversation.inline.inspection().requests() }
    }
}

/// Bytes that a socket has not taken yet, from `sent` on.
#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

impl Unsent {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes what the socket takes; `Err` when it is gone.
    fn flush<W: AsyncWrite + Unpin>(&mut self, task: &mut Task<'_>, to: &mut W) -> Result<(), ()> {
        while let Some(rest @ [_, ..]) = self.bytes.get(self.sent..) {
            match Pin::new(&mut *to).poll_write(task, rest) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(()),
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Pending => return Ok(()),
            }
        }
        if !self.bytes.is_empty() {
            // Memory is for those who are behind, not for those who once were.
            *self = Unsent::default();
        }
        flushed(task, to)
    }

    /// Writes what the socket takes, and keeps the rest.
    fn write<W: AsyncWrite + Unpin>(
        &mut self,
        task: &mut Task<'_>,
        to: &mut W,
        mut bytes: &[u8],
    ) -> Result<(), ()> {
        while !bytes.is_empty() && self.is_empty() {
            match Pin::new(&mut *to).poll_write(task, bytes) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(()),
                Poll::Ready(Ok(count)) => bytes = bytes.get(count..).unwrap_or_default(),
                Poll::Pending => break,
            }
        }
        self.bytes.extend_from_slice(bytes);
        flushed(task, to)
    }
}

/// Lets a stream that has buffers of its own send what is in them, as far as the socket takes it.
fn flushed<W: AsyncWrite + Unpin>(task: &mut Task<'_>, to: &mut W) -> Result<(), ()> {
    match Pin::new(to).poll_flush(task) {
        Poll::Ready(Err(_)) => Err(()),
        Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
    }
}

/// An attempt to reach the device.
type Dial = Pin<Box<dyn Future<Output = Result<Dialled, client::Error>> + Send>>;

/// The way to the device.
enum Link {
    /// Nothing has passed yet, and so the device has not been touched.
    Idle,
    /// What passed meanwhile waits.
    Dialling(Dial, Vec<u8>),
    /// A connection for this client.
    Own(Box<Dialled>, Unsent),
    /// A seat in a lane.
    Shared(Seat),
}

/// A client, its inspection, and its way to the device.
struct Conversation<T> {
    conduit: Arc<Conduit>,
    stream: T,
    /// Of the client, and of a connection to the device.
    ears: [Ear; 2],
    peer: SocketAddr,
    identity: Option<Arc<Identity>>,
    place: Place,
    /// Where the clock stood when the server's stood at the other.
    began: (Instant, Instant),
    inline: Inline,
    link: Link,
    /// Which of the conduit's upstreams the link leads to.
    turn: u64,
    /// Answers of a shared link come here.
    inbox: Option<Arc<Inbox>>,
    to_client: Unsent,
    heard: Instant,
    /// When the task is woken to look at the time; it may be too early, and never too late.
    expected: Option<Instant>,
    /// The client has had an answer.
    served: bool,
    /// It is one of the conduit's connections that are limited.
    has_place: bool,
    counted: u64,
    /// Nothing more is read of the client, for this reason; what it is still owed goes out.
    ended: Option<Closed>,
}

impl<T> Drop for Conversation<T> {
    fn drop(&mut self) {
        let now = self.conduit.clock.now();
        {
            let (conduit, peer, identity) = (&*self.conduit, self.peer, self.identity.as_deref());
            let mut note = noting(conduit, now, peer, identity);
            self.inline.close(&mut conduit.state(), now, &mut note);
        }
        self.conduit.disconnect(self.peer, self.has_place);
        self.count();
    }
}

impl<T> Conversation<T> {
    fn count(&mut self) {
        let requests = self.inline.inspection().requests();
        self.conduit.count_requests(requests - std::mem::replace(&mut self.counted, requests));
    }
}

impl<T: Stream> Conversation<T> {
    fn new(
        conduit: Arc<Conduit>,
        stream: T,
        (peer, who, counted): (SocketAddr, Peer, bool),
        identity: Option<Arc<Identity>>,
        place: Place,
        waker: &Waker,
    ) -> Self {
        let (now, turn) = (conduit.clock.now(), conduit.turn());
        let began = (now, place.now());
        let inline = Inline::new(conduit.sanity(), who);
        Conversation {
            conduit,
            stream,
            ears: [Ear::new(waker), Ear::new(waker)],
            peer,
            identity,
            place,
            began,
            inline,
            link: Link::Idle,
            turn,
            inbox: None,
            to_client: Unsent::default(),
            heard: now,
            expected: None,
            served: false,
            has_place: counted,
            counted: 0,
            ended: None,
        }
    }

    fn poll(&mut self, task: &mut Task<'_>) -> Poll<Closed> {
        if let Some(why) = self.place.expelled() {
            self.reset();
            return Poll::Ready(why);
        }
        match self.poll_all(task) {
            Ok(Some(why)) | Err(why) => return Poll::Ready(why),
            Ok(None) => {}
        }
        let working = self.inline.inspection().open_requests() != 0;
        self.place.busy(working, self.inline.is_midway() || !self.to_client.is_empty());
        self.expect();
        Poll::Pending
    }

    fn poll_all(&mut self, task: &mut Task<'_>) -> Result<Option<Closed>, Closed> {
        let mut end = self.poll_work(task)?;
        if self.ended.is_none() && self.place.is_leaving() {
            self.ended = Some(Closed::ByServer);
            let mut arrived = Vec::new();
            self.stream.read_arrived(&mut arrived, ARRIVED_MAX);
            SCRATCH.with_borrow_mut(|scratch| self.hear_client(task, &arrived, &mut scratch.output))?;
            end = self.poll_work(task)?;
        }
        if end.is_none() && self.place.is_due() {
            self.look_at_time()?;
            end = self.finished();
        }
        Ok(end)
    }

    /// Does what can be done now; why it has come to its end, when it has.
    fn poll_work(&mut self, task: &mut Task<'_>) -> Result<Option<Closed>, Closed> {
        // What comes to be written below is sent there and then, as far as the socket takes it.
        self.to_client.flush(task, &mut self.stream).map_err(|()| Closed::Broken)?;
        if let Link::Own(stream, unsent) = &mut self.link {
            unsent.flush(task, &mut **stream).map_err(|()| Closed::ByDevice)?;
        }
        // Who has nothing wakes the task when that changes, and need not be asked again until then.
        let (mut device_waits, mut client_waits) = (false, false);
        for _ in 0..READS_MAX {
            if !device_waits {
                device_waits = !self.poll_link(task)?;
            }
            if !client_waits && self.may_read() {
                client_waits = !self.poll_client(task)?;
                // A link that was just made has not been asked.
                device_waits &= matches!(self.link, Link::Idle | Link::Own(..));
            }
            // What keeps from reading wakes the task too: a socket that takes nothing, or a device that owes answers.
            if device_waits && (client_waits || !self.may_read()) {
                return Ok(self.finished());
            }
        }
        task.waker().wake_by_ref();
        Ok(None)
    }

    /// Whether the client's bytes can be dealt with: it takes its answers, the device takes what it is sent, and it is still
    /// the device that is meant. When another one is, what is open comes to its end first.
    fn may_read(&self) -> bool {
        let moved = self.turn != self.conduit.turn() && self.inline.inspection().open_requests() != 0;
        self.ended.is_none() && self.to_client.is_empty() && !moved && self.has_room()
    }

    /// Nothing more comes of the client, and it has all that it is owed.
    fn finished(&self) -> Option<Closed> {
        let owed = self.inline.inspection().open_requests() != 0 && !matches!(self.link, Link::Idle);
        self.ended.filter(|_| self.to_client.is_empty() && !owed)
    }

    /// Whether the device takes what it is sent.
    fn has_room(&self) -> bool {
        match &self.link {
            Link::Own(_, unsent) => unsent.is_empty(),
            Link::Idle | Link::Dialling(..) | Link::Shared(_) => true,
        }
    }

    /// Reads of the client; whether there was anything.
    fn poll_client(&mut self, task: &mut Task<'_>) -> Result<bool, Closed> {
        let [ear, _] = &mut self.ears;
        if ear.hears_nothing() {
            return Ok(false);
        }
        SCRATCH.with_borrow_mut(|Scratch { input, output }| {
            let mut buffer = ReadBuf::new(&mut input[..]);
            let [ear, _] = &mut self.ears;
            match ear.poll_read(&mut self.stream, &mut buffer) {
                Poll::Pending => Ok(false),
                Poll::Ready(Err(_)) => Err(Closed::Broken),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    self.ended = Some(Closed::ByPeer);
                    Ok(true)
                }
                Poll::Ready(Ok(())) => self.hear_client(task, buffer.filled(), output).map(|()| true),
            }
        })
    }

    /// Bytes of the client: what passes goes to the device.
    fn hear_client(&mut self, task: &mut Task<'_>, input: &[u8], output: &mut Output) -> Result<(), Closed> {
        let now = self.conduit.clock.moment();
        if self.turn != self.conduit.turn() && self.inline.inspection().open_requests() == 0 {
            self.link = Link::Idle;
        }
        let flow = {
            let (conduit, peer, identity) = (&*self.conduit, self.peer, self.identity.as_deref());
            let mut state = conduit.state();
            let mut note = noting(conduit, now.at, peer, identity);
            self.inline.from_client(&mut state, now, input, output, &mut note)
        };
        self.heard = now.at;
        self.place.used(self.served);
        self.count();
        if flow == Flow::Reset {
            return Err(self.refuse(output));
        }
        let to_server = std::mem::take(&mut output.to_server);
        if !to_server.is_empty() {
            self.send(task, &to_server)?;
        }
        output.to_server = to_server;
        output.to_server.clear();
        self.answer(task, output)
    }

    /// Sends the client what is for it.
    fn answer(&mut self, task: &mut Task<'_>, output: &mut Output) -> Result<(), Closed> {
        if !output.to_client.is_empty() {
            self.served = true;
            let sent = self.to_client.write(task, &mut self.stream, &output.to_client);
            output.to_client.clear();
            sent.map_err(|()| Closed::Broken)?;
        }
        Ok(())
    }

    /// Frames that passed, on their way to the device.
    fn send(&mut self, task: &mut Task<'_>, frames: &[u8]) -> Result<(), Closed> {
        if matches!(self.link, Link::Idle) {
            let (upstream, turn) = self.conduit.upstream();
            self.turn = turn;
            self.inline.set_broadcast(upstream.broadcasts());
            self.link = match upstream {
                Upstream::Own(dialler) => {
                    Link::Dialling(Box::pin(async move { dialler.dial().await }), Vec::new())
                }
                Upstream::Shared(lane) => {
                    let inbox = self.inbox.get_or_insert_default();
                    Link::Shared(lane.seat(inbox))
                }
            };
        }
        match &mut self.link {
            // It has just been made to be none.
            Link::Idle => Ok(()),
            Link::Dialling(_, waiting) => {
                waiting.extend_from_slice(frames);
                Ok(())
            }
            Link::Own(stream, unsent) => {
                unsent.write(task, &mut **stream, frames).map_err(|()| Closed::ByDevice)
            }
            Link::Shared(seat) => {
                if let Some(inbox) = &self.inbox {
                    inbox.woken_by(task.waker());
                }
                ask(seat, frames);
                Ok(())
            }
        }
    }

    /// Reads of the device, which is dialled for that where need be; whether there was anything.
    fn poll_link(&mut self, task: &mut Task<'_>) -> Result<bool, Closed> {
        if let Link::Dialling(dial, waiting) = &mut self.link {
            let Poll::Ready(dialled) = dial.as_mut().poll(task) else { return Ok(false) };
            let waiting = std::mem::take(waiting);
            let mut stream = match dialled {
                Ok(stream) => {
                    self.conduit.reached();
                    Box::new(stream)
                }
                Err(error) => {
                    self.conduit.unreachable(&error);
                    self.reset();
                    return Err(Closed::NoDevice);
                }
            };
            let mut unsent = Unsent::default();
            unsent.write(task, &mut *stream, &waiting).map_err(|()| Closed::ByDevice)?;
            self.link = Link::Own(stream, unsent);
            let [_, ear] = &mut self.ears;
            ear.turn();
        }
        // As long as the client does not take its answers, no more are read.
        if !self.to_client.is_empty() {
            return Ok(false);
        }
        let [_, ear] = &mut self.ears;
        if matches!(self.link, Link::Own(..)) && ear.hears_nothing() {
            return Ok(false);
        }
        SCRATCH.with_borrow_mut(|Scratch { input, output }| {
            let filled = match &mut self.link {
                Link::Idle | Link::Dialling(..) => return Ok(false),
                Link::Own(stream, _) => {
                    let mut buffer = ReadBuf::new(&mut input[..]);
                    let [_, ear] = &mut self.ears;
                    match ear.poll_read(&mut **stream, &mut buffer) {
                        Poll::Pending => return Ok(false),
                        Poll::Ready(Err(_)) => return Err(Closed::ByDevice),
                        Poll::Ready(Ok(())) => buffer.filled().len(),
                    }
                }
                Link::Shared(_) => return self.poll_inbox(task, output),
            };
            if filled == 0 {
                return Err(Closed::ByDevice);
            }
            self.hear_device(input.get(..filled).unwrap_or_default(), output)?;
            self.answer(task, output).map(|()| true)
        })
    }

    /// Answers that have come on a shared link; whether there were any.
    fn poll_inbox(&mut self, task: &mut Task<'_>, output: &mut Output) -> Result<bool, Closed> {
        let Some(inbox) = &self.inbox else { return Ok(false) };
        let (frames, settled) = inbox.take();
        if settled == 0 {
            return Ok(false);
        }
        self.hear_device(&frames, output)?;
        // What is settled without a frame was a broadcast, and is on the line.
        let silent = settled.saturating_sub(count(&frames));
        if silent != 0 {
            let now = self.conduit.clock.now();
            self.inline.broadcasts_sent(&mut self.conduit.state(), now, silent);
        }
        if let Some(inbox) = &self.inbox {
            inbox.reuse(frames);
        }
        self.answer(task, output).map(|()| true)
    }

    /// Bytes of the device: what answers an open request goes to `output`.
    fn hear_device(&mut self, input: &[u8], output: &mut Output) -> Result<(), Closed> {
        let flow = {
            let (conduit, peer, identity) = (&*self.conduit, self.peer, self.identity.as_deref());
            let mut state = conduit.state();
            // Mostly it is all, and then no clock is looked at.
            let rest = self.inline.plain_answers(&state, input, output);
            if rest.is_empty() {
                return Ok(());
            }
            let now = conduit.clock.moment();
            let mut note = noting(conduit, now.at, peer, identity);
            self.inline.from_server(&mut state, now, rest, output, &mut note)
        };
        if flow == Flow::Reset { Err(self.refuse(output)) } else { Ok(()) }
    }

    /// Both sides are reset, and nothing that is still here goes out.
    fn refuse(&mut self, output: &mut Output) -> Closed {
        output.to_server.clear();
        output.to_client.clear();
        self.reset();
        Closed::Refused
    }

    fn reset(&mut self) {
        self.stream.reset();
        if let Link::Own(stream, _) = &mut self.link {
            stream.reset();
        }
    }

    /// What has taken too long.
    fn look_at_time(&mut self) -> Result<(), Closed> {
        self.expected = None;
        let now = self.conduit.clock.now();
        let flow = {
            let (conduit, peer, identity) = (&*self.conduit, self.peer, self.identity.as_deref());
            let mut state = conduit.state();
            let mut note = noting(conduit, now, peer, identity);
            self.inline.handle_timeout(&mut state, now, &mut note)
        };
        if flow == Flow::Reset {
            self.reset();
            return Err(Closed::Refused);
        }
        if now.since(self.heard) >= self.conduit.options.idle {
            return Err(Closed::Expired(Expired::Idle));
        }
        Ok(())
    }

    /// Asks to be woken for [`look_at_time`](Self::look_at_time).
    fn expect(&mut self) {
        let idle = self.heard + self.conduit.options.idle;
        let at = self.inline.poll_timeout().map_or(idle, |at| at.min(idle));
        if self.expected.is_some_and(|expected| expected <= at) {
            return;
        }
        self.expected = Some(at);
        let (ours, servers) = self.began;
        // A moment later rather than a moment too early.
        self.place.expect(servers + at.since(ours) + Duration::from_millis(1));
    }
}

/// Records what the inspection of a client's connection tells.
fn noting<'c>(
    conduit: &'c Conduit,
    now: Instant,
    client: SocketAddr,
    identity: Option<&'c Identity>,
) -> impl FnMut(Event<'_>) + 'c {
    move |event| conduit.note(now, client, identity, &event)
}

/// How many frames, which are whole, there are.
fn count(mut frames: &[u8]) -> usize {
    let (mut decoder, mut count) = (Decoder::new(), 0);
    while let Ok(Some(_)) = decoder.next(&mut frames) {
        count += 1;
    }
    count
}

/// Puts frames, which are whole, into the queue of a lane.
fn ask(seat: &mut Seat, mut frames: &[u8]) {
    let mut decoder = Decoder::new();
    while let Ok(Some(received)) = decoder.next(&mut frames) {
        // The inspection makes nothing else.
        let Received::Frame(frame) = received else { continue };
        let (transaction, unit) = (frame.transaction, frame.unit);
        seat.ask(&Ask { transaction, asked: unit, unit, pdu: frame.pdu });
    }
    seat.send();
}
