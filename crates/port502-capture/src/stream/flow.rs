//! One TCP connection: two directions, and what belongs to it at all.

use std::net::SocketAddr;

use super::half::{Half, Payload, Piece, Seq, Shared};
use super::table::FlowKey;
use super::{
    CloseReason, ConnectionId, Direction, Event, Limits, Opening, Roles, ServerBy, ServerRule, Stray,
    StreamEvent, StreamEventKind,
};
use crate::{TcpFlags, TcpSegment, Timestamp, VlanTags};

/// One of the two endpoints of a [`FlowKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Low,
    High,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

/// What a segment means to the connection that has its endpoints.
#[derive(Debug)]
pub(super) enum Decision {
    /// It is of this connection.
    Continue,
    /// It is of this connection, which is closed.
    Straggler,
    /// It is of a new one.
    Restart(Start),
}

/// How a new connection begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// With the segment at hand.
    Segment,
    /// With the segment at hand, after a connection of the same endpoints of which this side was the server.
    SegmentAfter(Side),
    /// With a SYN that came before and was not believed then.
    Syn(PendingSyn),
}

/// A SYN into a living connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingSyn {
    from: Side,
    isn: Seq,
    /// The other side's, if it was a SYN+ACK.
    peer_isn: Option<Seq>,
}

/// What is the same for the whole life of a connection, and whether it was told.
#[derive(Debug)]
struct Head {
    id: ConnectionId,
    low: SocketAddr,
    high: SocketAddr,
    vlans: VlanTags,
    server: Side,
    /// The server for certain, if the rule is to go by ports and they tell.
    by_port: Option<Side>,
    opening: Opening,
    told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// SYNs at most.
    Opening,
    Established,
    /// Kept for a while, so that stragglers are known as such. `reset_by`: who broke it off.
    Closed {
        reset_by: Option<Side>,
    },
}

#[derive(Debug)]
pub(super) struct Flow {
    head: Head,
    phase: Phase,
    /// What the lower endpoint sends.
    low: Half,
    /// What the higher endpoint sends.
    high: Half,
    pending: Option<PendingSyn>,
}

/// A segment's flags, in words.
#[derive(Clone, Copy)]
struct Flags {
    syn: bool,
    ack: bool,
    fin: bool,
    rst: bool,
}

impl Flags {
    fn of(segment: &TcpSegment<'_>) -> Self {
        let has = |flag| segment.flags.contains(flag);
        Self {
            syn: has(TcpFlags::SYN),
            ack: has(TcpFlags::ACK),
            fin: has(TcpFlags::FIN),
            rst: has(TcpFlags::RST),
        }
    }
}

impl Flow {
    /// Whether there is anything more to tell about it.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Closed { .. })
    }

    /// Whether a segment without a connection is none's beginning: a RST to who knows what.
    pub(super) fn ignores_as_first(segment: &TcpSegment<'_>) -> bool {
        segment.flags.contains(TcpFlags::RST)
    }

    pub(super) fn new(
        id: ConnectionId,
        key: FlowKey,
        vlans: VlanTags,
        start: Start,
        side: Side,
        segment: &TcpSegment<'_>,
        roles: &Roles,
    ) -> Self {
        let FlowKey { low, high, .. } = key;
        let flags = Flags::of(segment);
        let is_server = |address: SocketAddr| (roles.is_server_port)(address.port());
        let by_port = match (is_server(low), is_server(high)) {
            (true, false) => Some(Side::Low),
            (false, true) => Some(Side::High),
            _ => None,
        };
        let (server, opening) = match start {
            Start::Syn(PendingSyn { from, peer_isn: Some(_), .. }) => (from, Opening::Handshake),
            Start::Syn(PendingSyn { from, peer_isn: None, .. }) => (from.other(), Opening::SynOnly),
            _ if flags.syn && flags.ack => (side, Opening::Handshake),
            _ if flags.syn => (side.other(), Opening::SynOnly),
            Start::SegmentAfter(server) => (server, Opening::MidConnection(ServerBy::Earlier)),
            Start::Segment => {
                let guess = if low.port() <= high.port() { Side::Low } else { Side::High };
                let by = if by_port.is_some() { ServerBy::Port } else { ServerBy::Guess };
                (by_port.unwrap_or(guess), Opening::MidConnection(by))
            }
        };
        let by_port = by_port.filter(|_| roles.rule == ServerRule::Port);
        let server = by_port.unwrap_or(server);
        let head = Head { id, low, high, vlans, server, by_port, opening, told: false };
        let mut flow =
            Self { head, phase: Phase::Opening, low: Half::new(), high: Half::new(), pending: None };
        if let Start::Syn(PendingSyn { from, isn, peer_isn, .. }) = start {
            flow.half(from).open(isn);
            if let Some(peer_isn) = peer_isn {
                flow.half(from.other()).open(peer_isn);
            }
        }
        flow
    }

    fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Low => &mut self.low,
            Side::High => &mut self.high,
        }
    }

    /// Whether `segment` is of this connection.
    #[inline]
    pub(super) fn decide(&mut self, side: Side, segment: &TcpSegment<'_>, limits: &Limits) -> Decision {
        let ordinary = !segment.flags.contains(TcpFlags::SYN)
            && self.pending.is_none()
            && self.half(side).stray_end.is_none()
            && self.is_open();
        if ordinary { Decision::Continue } else { self.decide_rare(side, segment, limits) }
    }

    fn decide_rare(&mut self, side: Side, segment: &TcpSegment<'_>, limits: &Limits) -> Decision {
        let flags = Flags::of(segment);
        let start = Seq(segment.sequence);
        if flags.rst {
            return if self.is_open() { Decision::Continue } else { Decision::Straggler };
        }
        if let Some(pending) = self.pending {
            let goes_along = if side == pending.from {
                !flags.syn && start == pending.isn.plus(1)
            } else {
                flags.ack && Seq(segment.acknowledgment) == pending.isn.plus(1)
            };
            if goes_along {
                return Decision::Restart(Start::Syn(pending));
            }
        }
        let repeated_syn = self.half(side).isn == Some(start);
        if let Phase::Closed { reset_by } = self.phase {
            let restart = if flags.syn {
                !repeated_syn
            } else if segment.payload.is_empty() {
                false
            } else {
                let behind_rst = reset_by == Some(side);
                match self.half(side).next() {
                    // Whoever has sent a RST says nothing more. This one does, so the RST was another's.
                    Some(next) if behind_rst && start.distance(next) >= 0 => true,
                    Some(_) => !self.half(side).in_window(start, limits.window),
                    None => true,
                }
            };
            return if restart { Decision::Restart(self.again()) } else { Decision::Straggler };
        }
        if flags.syn && !repeated_syn {
            let acknowledged = flags.ack.then(|| Seq(segment.acknowledgment.wrapping_sub(1)));
            let fits = match (self.phase, acknowledged) {
                (Phase::Opening, Some(peer)) => {
                    // Bytes on the SYN may be acknowledged with it.
                    let other = self.half(side.other());
                    let fits = other.isn.is_none_or(|isn| isn == peer) || other.next() == Some(peer.plus(1));
                    fits && self.half(side).isn.is_none()
                }
                (Phase::Opening, None) => self.half(side).isn.is_none(),
                _ => false,
            };
            if fits {
                return Decision::Continue;
            }
            if self.phase == Phase::Opening && !flags.ack {
                // The client has given up on its last attempt, which nobody answered.
                return Decision::Restart(self.again());
            }
            self.pending = Some(PendingSyn { from: side, isn: start, peer_isn: acknowledged });
        }
        // Two segments in a row outside the window, the second where the first ended: they are of something else.
        let half = self.half(side);
        if half.stray_end == Some(start)
            && !segment.payload.is_empty()
            && !half.in_window(start, limits.window)
        {
            return Decision::Restart(self.again());
        }
        Decision::Continue
    }

    /// How another connection between the same endpoints begins.
    fn again(&self) -> Start {
        match self.head.opening {
            Opening::MidConnection(ServerBy::Guess) => Start::Segment,
            _ => Start::SegmentAfter(self.head.server),
        }
    }

    /// Takes a segment that [`decide`](Self::decide) found to be of this connection.
    #[inline]
    pub(super) fn segment(
        &mut self,
        side: Side,
        segment: &TcpSegment<'_>,
        shared: &mut Shared<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let flags = Flags::of(segment);
        let mut payload = Payload {
            at: shared.now,
            start: Seq(segment.sequence),
            bytes: segment.payload,
            missing: segment.missing,
        };
        let Self { head, low, high, phase, pending } = self;
        let (half, peer) = match side {
            Side::Low => (low, high),
            Side::High => (high, low),
        };
        if flags.syn {
            if pending.is_some_and(|pending| pending.from == side && pending.isn == payload.start) {
                return; // neither its numbers nor its bytes are believed yet
            }
            if half.isn.is_none() && *phase == Phase::Opening {
                half.open(payload.start);
            }
            if flags.ack && *phase == Phase::Opening {
                if peer.isn.is_none() {
                    peer.open(Seq(segment.acknowledgment.wrapping_sub(1)));
                }
                if !head.told {
                    head.opening = Opening::Handshake;
                    head.server = head.by_port.unwrap_or(side);
                }
            }
            payload.start = payload.start.plus(1);
        }
        let (direction, now) = (head.direction(side), shared.now);
        let has_payload = !payload.bytes.is_empty() || payload.missing > 0;

        // Hosts take a RST only at or behind the byte they expect. One before it: the FIN may have been counted as one.
        let stale_rst = flags.rst && half.next().is_some_and(|next| payload.start.distance(next) < -1);
        if stale_rst || !half.in_window(payload.start, shared.limits.window) {
            if has_payload || flags.rst {
                half.stray_end = has_payload.then_some(payload.end());
                let what = if flags.rst { Stray::Reset } else { Stray::Data };
                head.stray(direction, what, payload.bytes, shared, sink);
            }
            return;
        }
        if *phase == Phase::Opening && !flags.rst && (!flags.syn || flags.ack) {
            *phase = Phase::Established;
        }
        if flags.syn && flags.ack {
            head.tell(direction, shared.now, sink);
        }
        if has_payload && let Some(PendingSyn { from, .. }) = pending.take() {
            let from = head.direction(from);
            head.stray(from, Stray::Syn, &[], shared, sink);
        }
        if flags.ack {
            let mut out = |piece: Piece<'_>| head.piece(direction.reverse(), now, piece, sink);
            peer.acknowledge(Seq(segment.acknowledgment), has_payload || flags.fin, shared, &mut out);
        }
        if has_payload && half.is_past_end(payload.start) {
            head.stray(direction, Stray::Data, payload.bytes, shared, sink);
        } else {
            let mut out = |piece: Piece<'_>| head.piece(direction, now, piece, sink);
            if has_payload {
                half.data(payload, shared, &mut out);
            } else {
                half.bare(shared, &mut out);
            }
            if flags.fin {
                half.finish(payload.end(), shared, &mut out);
            }
        }
        if flags.rst {
            let reason = match (head.opening, side == head.server) {
                (Opening::SynOnly, true) if peer.is_at_start() => CloseReason::Refused,
                _ => CloseReason::Reset,
            };
            self.close(Some(side), reason, shared, sink);
        } else if half.finished() && peer.finished() {
            self.close(Some(side), CloseReason::Finished, shared, sink);
        }
    }

    /// Gives out what is held and tells the end, unless that was told before. `side`: whose packet is the end.
    pub(super) fn close(
        &mut self,
        side: Option<Side>,
        reason: CloseReason,
        shared: &mut Shared<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        if !self.is_open() {
            return;
        }
        let Self { head, low, high, .. } = self;
        let at = shared.now;
        // What the client asked comes before what the server answered.
        let mut halves = [(Side::Low, low), (Side::High, high)];
        if head.server == Side::Low {
            halves.reverse();
        }
        for (side, half) in halves {
            let direction = head.direction(side);
            half.flush(shared, &mut |piece| head.piece(direction, at, piece, sink));
        }
        let direction = side.map_or(Direction::ToServer, |side| head.direction(side));
        head.tell(direction, at, sink);
        head.emit(direction, at, StreamEventKind::Closed { reason }, sink);
        let broken_off = matches!(reason, CloseReason::Reset | CloseReason::Refused);
        self.phase = Phase::Closed { reset_by: side.filter(|_| broken_off) };
        self.pending = None;
    }
}

impl Head {
    fn direction(&self, from: Side) -> Direction {
        if from == self.server { Direction::ToClient } else { Direction::ToServer }
    }

    /// Tells that the connection is there, once.
    fn tell(&mut self, direction: Direction, at: Timestamp, sink: &mut impl FnMut(Event<'_>)) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let Self { low, high, vlans, opening, .. } = *self;
        let (client, server) = match self.server {
            Side::Low => (high, low),
            Side::High => (low, high),
        };
        self.emit(direction, at, StreamEventKind::Opened { client, server, vlans, opening }, sink);
    }

    fn stray(
        &mut self,
        direction: Direction,
        what: Stray,
        bytes: &[u8],
        shared: &mut Shared<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        shared.counters.strays += 1;
        self.tell(direction, shared.now, sink);
        self.emit(direction, shared.now, StreamEventKind::Stray { what, bytes }, sink);
    }

    #[inline]
    fn piece(
        &mut self,
        direction: Direction,
        now: Timestamp,
        piece: Piece<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        if !self.told {
            self.tell(direction, now, sink);
        }
        let (at, kind) = match piece {
            Piece::Data { at, bytes } => (at, StreamEventKind::Data(bytes)),
            Piece::Gap { bytes } => (now, StreamEventKind::Gap { bytes }),
            Piece::Conflict { offset, first, second } => {
                (now, StreamEventKind::Conflict { offset, first, second })
            }
        };
        self.emit(direction, at, kind, sink);
    }

    #[inline]
    fn emit(
        &self,
        direction: Direction,
        at: Timestamp,
        kind: StreamEventKind<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        sink(Event::Stream(StreamEvent { connection: self.id, direction, at, kind }));
    }
}
