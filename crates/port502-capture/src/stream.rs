//! TCP connections out of packets: who talks to whom, what they said in order, and what is missing or contradictory.
//!
//! [`Reassembler`] is pushed packets and calls a closure with [`Event`]s. What it promises:
//!
//! - **Bytes come in stream order, once.** Retransmissions and keep-alives are dropped, early segments wait. In the
//!   ordinary case one segment is one [`Data`](StreamEventKind::Data), lent from the packet without copying; segment
//!   boundaries are kept where possible, because a protocol finds its feet again at the start of a segment.
//! - **What is missing is told.** A hole becomes a [`Gap`](StreamEventKind::Gap) when the receiver has acknowledged it
//!   (the capture lost it, the receiver did not), when waiting has reached a limit of [`Limits`], or at the end. When an
//!   answer shows that a question was missed, the gap comes before the answer. If the capture only had the two in the
//!   wrong order, the question still is delivered when it comes.
//! - **What contradicts is told.** Bytes sent twice and differing are a [`Conflict`](StreamEventKind::Conflict),
//!   segments that no host would accept are [`Stray`](StreamEventKind::Stray); neither enters the stream.
//! - **The first packet decides nothing.** The SYN says who is the server; without one the port does
//!   ([`Opening::MidConnection`]). A first segment without SYN waits for one more packet, as an older one may follow.
//! - **A 4-tuple is not a connection.** A new SYN, or a sequence far from the old after a close, is a new
//!   [`ConnectionId`]. A SYN into a living connection counts only once somebody goes along with it: hosts ignore it
//!   too, and a forged one must not blind us. The same goes for a RST outside the window.

mod flow;
mod half;
mod table;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::fragment::{Defragmenter, FragmentLimits};
use crate::packet::{SlicedPacket, TcpSegment, Transport, UdpDatagram, Unsliced, VlanTags};
use crate::{Record, Timestamp};
use flow::{Decision, Flow, Start};
use half::Shared;
use table::{FlowKey, Table};

/// What a held segment is charged beyond its bytes, so that many tiny ones reach the limits too.
pub const HELD_OVERHEAD: usize = 64;

/// TCP's own largest window: beyond it before and behind cannot be told apart.
const WINDOW_MAX: u32 = 1 << 30;

/// Bounds on the memory and the patience of a [`Reassembler`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time; beyond it the one idle for longest is evicted. About 600 bytes each, plus history.
    pub connections: usize,
    /// Bytes that one direction of a connection may hold behind a hole, each segment charged [`HELD_OVERHEAD`] more.
    pub held_per_direction: usize,
    /// The same for all connections together.
    pub held_total: usize,
    /// Delivered bytes kept in each direction to compare retransmissions with. Up to twice as much memory.
    pub history: usize,
    /// How far from the expected sequence number a segment may be and still belong to the stream; at most 1 GiB.
    pub window: u32,
    /// How long a segment waits behind a hole while its direction goes on sending.
    pub hold_for: Duration,
    /// After how long without a packet a connection is forgotten.
    pub idle: Duration,
    /// IP packets in parts.
    pub fragments: FragmentLimits,
}

impl Default for Limits {
    /// 16,384 connections, 256 KiB held in one direction and 64 MiB in all, 1 KiB of history, a window of 1 MiB,
    /// 10 seconds of patience, an hour of silence. At the very most about 150 MiB.
    fn default() -> Self {
        Self {
            connections: 16_384,
            held_per_direction: 256 << 10,
            held_total: 64 << 20,
            history: 1024,
            window: 1 << 20,
            hold_for: Duration::from_secs(10),
            idle: Duration::from_secs(3600),
            fragments: FragmentLimits::default(),
        }
    }
}

/// Which bytes count when segments that wait behind a hole overlap with different bytes.
///
/// What has been delivered stands in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverlapPolicy {
    /// Those that came first: what most hosts do.
    #[default]
    First,
    /// Those that came last.
    Last,
}

/// Whether packets that differ only in their VLAN tags are of the same connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VlanKey {
    /// No: machine builders deliver cells with the same addresses, each in a VLAN of its own.
    #[default]
    Separate,
    /// Yes: some mirror ports show one direction with a tag and the other without.
    Ignore,
}

/// What decides who is the server of a connection whose SYN was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerRule {
    /// The SYN: the server is who was connected to, at whatever port.
    #[default]
    Syn,
    /// The port, where exactly one of the two is a server's: what comes from port 502 is an answer, whoever connected.
    /// Tools that go by ports alone see it so. Otherwise the SYN.
    Port,
}

/// The number of a connection, from 1 in the order of their first packets. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

impl ConnectionId {
    /// The bare number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who sent the packet, or whose packet it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// What a packet led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Something about a TCP connection.
    Stream(StreamEvent<'a>),
    /// A UDP datagram, as it is.
    Datagram(Datagram<'a>),
    /// A packet that is not part of any stream, and why.
    NotSliced {
        /// When it was captured.
        at: Timestamp,
        /// What is odd about it.
        why: Unsliced,
    },
}

/// Something about one TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEvent<'a> {
    /// Which connection.
    pub connection: ConnectionId,
    /// Whose bytes, gap or segment this is; for `Opened` and `Closed`, whose packet showed it (`ToServer` if none did).
    pub direction: Direction,
    /// For `Data` the time of the packet that carried it, which may be before that of the event in front of it; for
    /// everything else the time of the packet that showed it.
    pub at: Timestamp,
    /// What.
    pub kind: StreamEventKind<'a>,
}

/// What there is to say about a connection. `Opened` is the first event of each, `Closed` the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEventKind<'a> {
    /// A connection. Told with its handshake or, failing that, with the first other thing to tell about it.
    Opened {
        /// Who asks.
        client: SocketAddr,
        /// Who answers.
        server: SocketAddr,
        /// The VLANs of its first packet.
        vlans: VlanTags,
        /// How it began, and how it is known who is the server.
        opening: Opening,
    },
    /// The next bytes of a direction: never empty.
    Data(&'a [u8]),
    /// Bytes of a direction that are not in the capture (or not in time).
    ///
    /// A gap told because of an answer may turn out to have been late bytes: if these come before anything behind them
    /// does, they are told as `Data` after all, and counted in [`Counters::late_segments`].
    Gap {
        /// How many.
        bytes: u64,
    },
    /// The same bytes of a direction came twice and differ: an attack, or very broken equipment.
    Conflict {
        /// Where in the stream of this direction `first` begins, counted from the first byte known.
        offset: u64,
        /// What came first.
        first: &'a [u8],
        /// What came later, of the same length.
        second: &'a [u8],
    },
    /// A segment that a host would not accept: it is not part of the stream.
    Stray {
        /// What it was.
        what: Stray,
        /// What it carried; of a SYN nothing is kept.
        bytes: &'a [u8],
    },
    /// Nothing more will be told about this connection.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// How a connection came into the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opening {
    /// The server's SYN+ACK was seen: both streams are known from their first byte.
    Handshake,
    /// Only the client's SYN was seen: an attempt, or the capture lost the answer.
    SynOnly,
    /// The capture began after the connection did.
    MidConnection(ServerBy),
}

/// How the server was told from the client without a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerBy {
    /// One of the two ports is a server's, says the caller.
    Port,
    /// It was the server of an earlier connection between the same addresses and ports.
    Earlier,
    /// Both are, or neither: the lower port is guessed to be the server's, or if they are equal the lower address.
    Guess,
}

/// What a segment outside the stream was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stray {
    /// Bytes far from what the receiver expects, or behind the sender's FIN.
    Data,
    /// A SYN into a living connection, which went on without it.
    Syn,
    /// A RST outside the receiver's window.
    Reset,
}

/// Why nothing more comes from a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Both sides have sent FIN, and everything before it has been seen or told as a gap.
    Finished,
    /// Broken off by a RST from the side the event names.
    Reset,
    /// The server answered the SYN with a RST: nothing listens there.
    Refused,
    /// The same addresses and ports began another connection.
    Superseded,
    /// Silent for longer than [`Limits::idle`].
    Idle,
    /// It was the one idle for longest when [`Limits::connections`] was reached.
    Evicted,
    /// [`Reassembler::finish`] was called while it was open.
    CaptureEnded,
}

/// A UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// When it was captured.
    pub at: Timestamp,
    /// Who sent it.
    pub source: SocketAddr,
    /// Who was to get it.
    pub destination: SocketAddr,
    /// Its VLANs.
    pub vlans: VlanTags,
    /// Known if exactly one of the two ports is a server's, as the caller says.
    pub direction: Option<Direction>,
    /// The payload, as far as it was captured.
    pub payload: &'a [u8],
    /// How many bytes the snap length cut off.
    pub missing: usize,
}

/// What has been seen so far: nothing is dropped without being counted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Packets pushed.
    pub packets: u64,
    /// Packets told as [`Event::NotSliced`].
    pub not_sliced: u64,
    /// Packets of other protocols than TCP and UDP.
    pub other_protocols: u64,
    /// Fragments of IP packets.
    pub fragments: u64,
    /// UDP datagrams.
    pub datagrams: u64,
    /// TCP segments.
    pub segments: u64,
    /// Connections, each given an id.
    pub connections: u64,
    /// Open connections given up because there were too many.
    pub evicted: u64,
    /// Open connections given up because they were silent.
    pub idle: u64,
    /// Bytes told as data.
    pub delivered_bytes: u64,
    /// Bytes told as gaps. A gap that turned out to be none (see [`late_segments`](Self::late_segments)) is included.
    pub gap_bytes: u64,
    /// Bytes that came again.
    pub retransmitted_bytes: u64,
    /// Keep-alives: one byte that came again, whatever it is.
    pub keep_alives: u64,
    /// Segments delivered after their gap had been told, because the capture had an answer before its question.
    pub late_segments: u64,
    /// Pieces told as conflicts.
    pub conflicts: u64,
    /// Segments told as strays.
    pub strays: u64,
    /// Stragglers: segments of closed connections, and RSTs to no connection.
    pub after_close: u64,
}

/// Puts TCP connections back together.
///
/// ```
/// use port502_capture::{CloseReason, Event, Limits, Opening, Reassembler, StreamEventKind, synth};
///
/// let mut talk = synth::Conversation::v4("10.0.0.9:50123".parse()?, "10.0.0.3:502".parse()?);
/// talk.handshake().to_server(b"one").to_server(b"two").to_server(b"three").finish();
/// let mut frames = talk.into_frames();
/// frames.remove(4); // the segment with "two" is not in the capture
///
/// let mut streams = Reassembler::new(Limits::default(), |port| port == 502);
/// let mut told = Vec::new();
/// for frame in &frames {
///     let packet = frame.slice()?;
///     streams.push(frame.at, &packet, &mut |event| {
///         if let Event::Stream(event) = event {
///             told.push(match event.kind {
///                 StreamEventKind::Data(bytes) => String::from_utf8_lossy(bytes).into_owned(),
///                 StreamEventKind::Gap { bytes } => format!("({bytes} bytes missing)"),
///                 StreamEventKind::Opened { opening: Opening::Handshake, server, .. } => format!("{server} opened"),
///                 StreamEventKind::Closed { reason: CloseReason::Finished } => "closed".to_owned(),
///                 other => format!("{other:?}"),
///             });
///         }
///     });
/// }
/// assert_eq!(told, ["10.0.0.3:502 opened", "one", "(3 bytes missing)", "three", "closed"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reassembler {
    limits: Limits,
    policy: OverlapPolicy,
    vlan_key: VlanKey,
    roles: Roles,
    table: Table,
    fragments: Defragmenter,
    held_total: usize,
    counters: Counters,
    /// Time of the last packet.
    now: Timestamp,
}

/// How servers are told from clients.
struct Roles {
    is_server_port: Box<dyn Fn(u16) -> bool + Send>,
    rule: ServerRule,
}

impl fmt::Debug for Reassembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reassembler")
            .field("limits", &self.limits)
            .field("connections", &self.table.len())
            .field("held_total", &self.held_total)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Reassembler {
    /// `is_server_port` is asked who is the server where no SYN has told: for Modbus `|port| port == 502`.
    pub fn new(mut limits: Limits, is_server_port: impl Fn(u16) -> bool + Send + 'static) -> Self {
        limits.window = limits.window.min(WINDOW_MAX);
        let fragments = Defragmenter::new(limits.fragments.clone());
        Self {
            limits,
            policy: OverlapPolicy::default(),
            vlan_key: VlanKey::default(),
            roles: Roles { is_server_port: Box::new(is_server_port), rule: ServerRule::default() },
            table: Table::default(),
            fragments,
            held_total: 0,
            counters: Counters::default(),
            now: Timestamp::EPOCH,
        }
    }

    /// Sets which bytes count where waiting segments overlap.
    #[must_use]
    pub fn with_overlap_policy(mut self, policy: OverlapPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets whether VLANs tell connections apart.
    #[must_use]
    pub fn with_vlan_key(mut self, vlan_key: VlanKey) -> Self {
        self.vlan_key = vlan_key;
        self
    }

    /// Sets what decides who is the server where a SYN and the ports disagree.
    #[must_use]
    pub fn with_server_rule(mut self, rule: ServerRule) -> Self {
        self.roles.rule = rule;
        self
    }

    /// Slices a record and [pushes](Self::push) the packet; what cannot be sliced becomes [`Event::NotSliced`].
    pub fn push_record(&mut self, record: &Record<'_>, sink: &mut impl FnMut(Event<'_>)) {
        match record.slice() {
            Ok(packet) => self.push(record.at, &packet, sink),
            Err(why) => {
                self.counters.packets += 1;
                self.not_sliced(record.at, why, sink);
            }
        }
    }

    /// Takes the next packet of the capture. Fragments wait until they are whole.
    pub fn push(&mut self, at: Timestamp, packet: &SlicedPacket<'_>, sink: &mut impl FnMut(Event<'_>)) {
        self.counters.packets += 1;
        self.now = at;
        if let Transport::Fragment(_) = packet.transport {
            self.counters.fragments += 1;
            let whole = match self.fragments.push(at, packet) {
                Ok(Some(whole)) => whole,
                Ok(None) => return,
                Err(why) => return self.not_sliced(at, why, sink),
            };
            match whole.slice() {
                Ok(packet) => self.whole(at, &packet, sink),
                Err(why) => self.not_sliced(at, why, sink),
            }
        } else {
            self.whole(at, packet, sink);
        }
    }

    /// The capture has ended: gives out what is held, and closes all connections in the order of their last packets.
    ///
    /// The reassembler is empty afterwards and may be used for another capture; ids and counters go on.
    pub fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        while let Some(mut flow) = self.table.pop_oldest() {
            self.close(&mut flow, CloseReason::CaptureEnded, sink);
        }
        self.fragments = Defragmenter::new(self.limits.fragments.clone());
    }

    /// What has been seen so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Connections in the table, those closed a short while ago included.
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// Bytes that wait behind holes, with [`HELD_OVERHEAD`] for each segment: at most [`Limits::held_total`] and one
    /// segment.
    pub fn held_bytes(&self) -> usize {
        self.held_total
    }

    fn not_sliced(&mut self, at: Timestamp, why: Unsliced, sink: &mut impl FnMut(Event<'_>)) {
        self.counters.not_sliced += 1;
        sink(Event::NotSliced { at, why });
    }

    fn whole(&mut self, at: Timestamp, packet: &SlicedPacket<'_>, sink: &mut impl FnMut(Event<'_>)) {
        match &packet.transport {
            Transport::Tcp(segment) => self.segment(at, packet, segment, sink),
            Transport::Udp(datagram) => {
                self.counters.datagrams += 1;
                sink(Event::Datagram(self.datagram(at, packet, datagram)));
            }
            // A whole packet is no fragment: `push` and `Whole::slice` have seen to that.
            Transport::Other { .. } | Transport::Fragment(_) => self.counters.other_protocols += 1,
        }
    }

    fn datagram<'a>(&self, at: Timestamp, packet: &SlicedPacket<'_>, udp: &UdpDatagram<'a>) -> Datagram<'a> {
        let source = SocketAddr::new(packet.source, udp.source_port);
        let destination = SocketAddr::new(packet.destination, udp.destination_port);
        let is_server = |address: SocketAddr| (self.roles.is_server_port)(address.port());
        let direction = match (is_server(source), is_server(destination)) {
            (false, true) => Some(Direction::ToServer),
            (true, false) => Some(Direction::ToClient),
            _ => None,
        };
        let UdpDatagram { payload, missing, .. } = *udp;
        Datagram { at, source, destination, vlans: packet.vlans, direction, payload, missing }
    }

    fn segment(
        &mut self,
        at: Timestamp,
        packet: &SlicedPacket<'_>,
        segment: &TcpSegment<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        self.counters.segments += 1;
        let source = SocketAddr::new(packet.source, segment.source_port);
        let destination = SocketAddr::new(packet.destination, segment.destination_port);
        let vlans = match self.vlan_key {
            VlanKey::Separate => packet.vlans,
            VlanKey::Ignore => VlanTags::default(),
        };
        let (key, side) = FlowKey::new(source, destination, vlans);

        if let Some(flow) = self.table.touch(&key, at) {
            let decision = flow.decide(side, segment, &self.limits);
            let start = match decision {
                Decision::Continue => None,
                Decision::Straggler => {
                    self.counters.after_close += 1;
                    return;
                }
                Decision::Restart(start) => Some(start),
            };
            let mut shared = Shared {
                now: at,
                limits: &self.limits,
                policy: self.policy,
                held_total: &mut self.held_total,
                counters: &mut self.counters,
            };
            if let Some(start) = start {
                flow.close(Some(side), CloseReason::Superseded, &mut shared, sink);
                shared.counters.connections += 1;
                let id = ConnectionId(shared.counters.connections);
                *flow = Flow::new(id, key, packet.vlans, start, side, segment, &self.roles);
            }
            flow.segment(side, segment, &mut shared, sink);
        } else {
            if Flow::ignores_as_first(segment) {
                self.counters.after_close += 1;
                return;
            }
            self.counters.connections += 1;
            let id = ConnectionId(self.counters.connections);
            let start = Start::Segment;
            let mut flow = Flow::new(id, key, packet.vlans, start, side, segment, &self.roles);
            let mut shared = Shared {
                now: at,
                limits: &self.limits,
                policy: self.policy,
                held_total: &mut self.held_total,
                counters: &mut self.counters,
            };
            flow.segment(side, segment, &mut shared, sink);
            self.make_room(sink);
            self.table.insert(key, flow, at);
        }
        self.forget_idle(at, sink);
    }

    fn make_room(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        while self.table.len() >= self.limits.connections.max(1) {
            let Some(mut flow) = self.table.pop_oldest() else { return };
            self.counters.evicted += u64::from(flow.is_open());
            self.close(&mut flow, CloseReason::Evicted, sink);
        }
    }

    fn forget_idle(&mut self, now: Timestamp, sink: &mut impl FnMut(Event<'_>)) {
        while let Some(last) = self.table.oldest_packet()
            && now.since(last) > self.limits.idle
        {
            let Some(mut flow) = self.table.pop_oldest() else { return };
            self.counters.idle += u64::from(flow.is_open());
            self.close(&mut flow, CloseReason::Idle, sink);
        }
    }

    fn close(&mut self, flow: &mut Flow, reason: CloseReason, sink: &mut impl FnMut(Event<'_>)) {
        let mut shared = Shared {
            now: self.now,
            limits: &self.limits,
            policy: self.policy,
            held_total: &mut self.held_total,
            counters: &mut self.counters,
        };
        flow.close(None, reason, &mut shared, sink);
    }
}
