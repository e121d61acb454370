//! Requests in datagrams: each is answered to where it came from, and nowhere else.
//!
//! The sender of a datagram can be forged, and an answer can be twenty times as long as its request: who listens
//! where strangers can send should allow networks.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use port502_session::Instant as SessionInstant;
use port502_session::line::{self, Heard};
use port502_session::server::{Context, LineEvent, Reply};
use port502_wire::mbap::{self, Decoder, Frame, Received, TransactionId};
use port502_wire::{ExceptionCode, PDU_MAX, UnitId};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::Instant;

use super::line::Line;
use super::service::{Amiss, Late, Outcome, Service};
use super::{Event, Options, STOP_MAX, is_allowed, stop_asked};
use crate::Pdu;
use crate::pause::timer;
use crate::udp::DATAGRAM_MAX;

/// Answers that are worked on for all senders together. The number of senders is what somebody chooses who sends.
const LATE_MAX: usize = 1024;

/// After an error of the socket.
const PAUSE: Duration = Duration::from_millis(50);

/// A request as it came.
#[derive(Clone, Copy)]
struct Asked {
    peer: SocketAddr,
    transaction: TransactionId,
    unit: UnitId,
    function: u8,
    /// Its client has asked on meanwhile: on a line that means that it has given this up.
    outdated: bool,
}

struct Working {
    asked: Asked,
    answer: Pin<Box<dyn Future<Output = Late> + Send>>,
}

/// Serves datagrams until the server is stopped. `line` says how frames without transaction ids are told apart.
pub(super) async fn run<S: Service>(
    socket: UdpSocket,
    line: Option<Line>,
    service: Arc<S>,
    options: Arc<Options>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut served = Served { socket, line, service, options, working: Vec::new(), requests: 0 };
    let mut datagram = Box::new([0; DATAGRAM_MAX]);
    loop {
        tokio::select! {
            biased;
            () = stop_asked(&mut stopped) => break,
            received = served.socket.recv_from(&mut datagram[..]) => match received {
                Ok((len, peer)) => served.take(datagram.get(..len).unwrap_or_default(), peer).await,
                Err(error) => {
                    tracing::warn!(%error, "receiving a datagram failed");
                    timer(served.options.timekeeper.as_ref(), Instant::now() + PAUSE).await;
                }
            },
            (asked, late) = finished(&mut served.working) => served.finish(asked, late).await,
        }
    }
    let limit = timer(served.options.timekeeper.as_ref(), Instant::now() + STOP_MAX);
    let rest = async {
        while !served.working.is_empty() {
            let (asked, late) = finished(&mut served.working).await;
            served.finish(asked, late).await;
        }
    };
    tokio::select! {
        biased;
        () = rest => {}
        () = limit => {}
    }
    served.options.tell(&Event::Ended { error: None, requests: served.requests });
}

struct Served<S> {
    socket: UdpSocket,
    line: Option<Line>,
    service: Arc<S>,
    options: Arc<Options>,
    working: Vec<Working>,
    requests: u64,
}

impl<S: Service> Served<S> {
    async fn take(&mut self, datagram: &[u8], peer: SocketAddr) {
        let from = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if !is_allowed(&self.options.allowed, from.ip()) {
            tracing::debug!(peer = %from, "a datagram from an address that is not allowed");
            return;
        }
        match self.line {
            None => self.take_frames(datagram, peer).await,
            Some(line) => self.take_line(datagram, peer, line).await,
        }
    }

    /// MBAP frames, one or several.
    async fn take_frames(&mut self, mut datagram: &[u8], peer: SocketAddr) {
        if datagram.len() == DATAGRAM_MAX || !mbap::are_frames(datagram) {
            tracing::debug!(%peer, bytes = datagram.len(), "a datagram that is not made of whole frames");
            return;
        }
        let mut decoder = Decoder::new();
        while let Ok(Some(received)) = decoder.next(&mut datagram) {
            if let Received::Frame(frame) = received {
                self.carry_out(&frame, peer, false).await;
            }
        }
    }

    /// A frame without a transaction id: the datagram as a whole, or what can be found in it.
    async fn take_line(&mut self, datagram: &[u8], peer: SocketAddr, line: Line) {
        let found = match line.split(datagram) {
            Some(frame) => Pdu::new(frame.pdu).map(|pdu| (frame.unit, pdu)),
            None => self.search(datagram, line),
        };
        if let Some((unit, pdu)) = found {
            self.working.iter_mut().filter(|w| w.asked.peer == peer).for_each(|w| w.asked.outdated = true);
            let frame = Frame { transaction: TransactionId(0), unit, pdu: pdu.as_bytes() };
            self.carry_out(&frame, peer, true).await;
        }
    }

    /// The last frame in a datagram that is more than one, for a client waits for the answer to the last.
    fn search(&self, mut datagram: &[u8], line: Line) -> Option<(UnitId, Pdu)> {
        let mut session = line.session(SessionInstant::ZERO, self.options.limits);
        let mut last = None;
        loop {
            let heard = match session.next(SessionInstant::ZERO, &mut datagram) {
                None => session.end_of_datagram(),
                heard => heard,
            };
            match heard {
                None => return last,
                Some(Heard::Dropped { check: true, .. }) => self.service.overheard(LineEvent::CheckError),
                Some(Heard::Dropped { .. }) => {}
                Some(Heard::Frame { frame, .. }) => last = Pdu::new(frame.pdu).map(|pdu| (frame.unit, pdu)),
            }
        }
    }

    async fn carry_out(&mut self, frame: &Frame<'_>, peer: SocketAddr, on_a_line: bool) {
        let from = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let (transaction, unit) = (frame.transaction, frame.unit);
        let broadcast = on_a_line && unit == UnitId::BROADCAST;
        if on_a_line && !broadcast && !self.service.serves(unit) {
            return self.service.overheard(LineEvent::OthersFrame);
        }
        self.requests += 1;
        let function = frame.pdu.first().copied().unwrap_or_default();
        let asked = Asked { peer, transaction, unit, function, outdated: false };
        let mut out = [0; PDU_MAX];
        let cx = Context::new(Some(from), unit);
        let outcome = if broadcast {
            self.service.broadcast(&cx, frame, &mut out)
        } else {
            self.service.call(&cx, frame, &mut out)
        };
        let reply = match outcome {
            Outcome::Now(reply) => reply,
            Outcome::Later(answer) => {
                let own = self.working.iter().filter(|working| working.asked.peer == peer).count();
                if own < self.options.limits.transactions && self.working.len() < LATE_MAX {
                    return self.working.push(Working { asked, answer });
                }
                Reply::Exception(ExceptionCode::ServerDeviceBusy)
            }
        };
        if let Some(pdu) = reply.emit(function, &mut out).filter(|_| !broadcast) {
            self.send(asked, transaction, pdu).await;
        }
    }

    async fn finish(&mut self, asked: Asked, late: Late) {
        // Nobody answers a broadcast.
        if self.line.is_some() && (asked.unit == UnitId::BROADCAST || asked.outdated) {
            return;
        }
        let transaction = asked.transaction;
        match late {
            Late::Response(pdu) => self.send(asked, transaction, pdu.as_bytes()).await,
            Late::Exception(code) => {
                self.send(asked, transaction, &[asked.function | 0x80, code.code()]).await
            }
            // There are no pauses within a datagram.
            Late::Amiss(Amiss { pdu, transaction, .. }) => {
                self.send(asked, transaction.unwrap_or(asked.transaction), pdu.as_bytes()).await;
            }
            // What would be a stream's.
            Late::Silence | Late::Script(_) => {}
        }
    }

    async fn send(&mut self, asked: Asked, transaction: TransactionId, pdu: &[u8]) {
        let mut room = [0; line::ADU_MAX];
        let adu = match self.line {
            None => mbap::emit(&Frame { transaction, unit: asked.unit, pdu }, &mut room),
            Some(line) => line.emit(asked.unit, pdu, &mut room),
        };
        let Ok(adu) = adu else { return };
        if let Err(error) = self.socket.send_to(adu, asked.peer).await {
            tracing::debug!(peer = %asked.peer, %error, "an answer was not sent");
        }
    }
}

/// The next answer that becomes ready; never, while none is worked on.
async fn finished(all: &mut Vec<Working>) -> (Asked, Late) {
    poll_fn(|task| {
        for at in 0..all.len() {
            let Some(working) = all.get_mut(at) else { break };
            if let Poll::Ready(late) = working.answer.as_mut().poll(task) {
                return Poll::Ready((all.swap_remove(at).asked, late));
            }
        }
        Poll::Pending
    })
    .await
}

/// A bound socket for datagrams.
pub(super) fn bind(target: &crate::Target) -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind((target.host(), target.port()))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
