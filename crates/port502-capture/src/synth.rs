//! Captures made in code: for tests, tools and simulators.
//!
//! A [`Conversation`] makes the Ethernet frames of one TCP connection with right lengths, numbers and checksums; its
//! frames are plain values to drop, repeat or put out of order. [`PcapWriter`] writes them to a file that every tool reads.
//!
//! ```
//! use port502_capture::synth::{self, Conversation};
//!
//! let mut talk = Conversation::v6("[fd00::9]:50123".parse()?, "[fd00::3]:502".parse()?);
//! talk.handshake().to_server(b"question");
//! let mut frames = talk.into_frames();
//! assert_eq!(frames.len(), 4); // SYN, SYN+ACK, ACK, question
//! frames.swap(0, 3);
//! let file = synth::pcap(&frames);
//! assert_eq!(file.len(), 24 + frames.iter().map(|frame| 16 + frame.bytes.len()).sum::<usize>());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use crate::{CAPTURED_MAX, LinkType, SlicedPacket, TcpFlags, Timestamp, Unsliced, slice};

/// The most payload that [`Conversation`] puts into one segment: what fits into an ordinary Ethernet frame.
pub const SEGMENT_MAX: usize = 1440;

/// A frame and when it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When.
    pub at: Timestamp,
    /// From the Ethernet header on.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// The frame taken apart.
    pub fn slice(&self) -> Result<SlicedPacket<'_>, Unsliced> {
        slice(LinkType::Ethernet, &self.bytes, self.bytes.len())
    }
}

/// Two addresses of the same kind: there is no packet from an IPv4 address to an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pair {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Pair {
    fn reverse(self) -> Self {
        match self {
            Self::V4(a, b) => Self::V4(b, a),
            Self::V6(a, b) => Self::V6(b, a),
        }
    }
}

/// One TCP connection in the making. Every step appends frames and lets some time pass.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Client's, server's.
    addresses: Pair,
    client: Peer,
    server: Peer,
    vlans: Vec<u16>,
    now: Timestamp,
    step: Duration,
    identification: u16,
    frames: Vec<Frame>,
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    port: u16,
    /// Number of the next byte it sends.
    next: u32,
}

#[derive(Debug, Clone, Copy)]
enum From {
    Client,
    Server,
}

impl Conversation {
    /// Between two IPv4 endpoints.
    pub fn v4(client: SocketAddrV4, server: SocketAddrV4) -> Self {
        Self::new(Pair::V4(*client.ip(), *server.ip()), client.port(), server.port())
    }

    /// Between two IPv6 endpoints.
    pub fn v6(client: SocketAddrV6, server: SocketAddrV6) -> Self {
        Self::new(Pair::V6(*client.ip(), *server.ip()), client.port(), server.port())
    }

    /// Between two endpoints of the same kind; `None` if they are of different kinds.
    pub fn between(client: SocketAddr, server: SocketAddr) -> Option<Self> {
        Some(Self::new(pair(client.ip(), server.ip())?, client.port(), server.port()))
    }

    fn new(addresses: Pair, client: u16, server: u16) -> Self {
        Self {
            addresses,
            client: Peer { port: client, next: 1_000_000 },
            server: Peer { port: server, next: 2_000_000 },
            vlans: Vec::new(),
            now: Timestamp::from_seconds(1_700_000_000, 0),
            step: Duration::from_millis(1),
            identification: 0,
            frames: Vec::new(),
        }
    }

    /// Puts every further frame into these VLANs, outermost first.
    pub fn vlans(&mut self, ids: &[u16]) -> &mut Self {
        self.vlans = ids.to_vec();
        self
    }

    /// Sets the sequence numbers that the next frame of each side has.
    pub fn sequences(&mut self, client: u32, server: u32) -> &mut Self {
        (self.client.next, self.server.next) = (client, server);
        self
    }

    /// Sets the time of the next frame.
    pub fn at(&mut self, now: Timestamp) -> &mut Self {
        self.now = now;
        self
    }

    /// Sets how much time passes with every frame; a millisecond if never set.
    pub fn every(&mut self, step: Duration) -> &mut Self {
        self.step = step;
        self
    }

    /// SYN, SYN+ACK, ACK.
    pub fn handshake(&mut self) -> &mut Self {
        self.frame(From::Client, TcpFlags::SYN, &[]);
        self.frame(From::Server, TcpFlags::SYN | TcpFlags::ACK, &[]);
        self.frame(From::Client, TcpFlags::ACK, &[])
    }

    /// The client sends: one segment for up to [`SEGMENT_MAX`] bytes, more for more.
    pub fn to_server(&mut self, bytes: &[u8]) -> &mut Self {
        self.send(From::Client, bytes)
    }

    /// The server sends.
    pub fn to_client(&mut self, bytes: &[u8]) -> &mut Self {
        self.send(From::Server, bytes)
    }

    /// The client acknowledges what the server has sent, and says nothing else.
    pub fn client_ack(&mut self) -> &mut Self {
        self.frame(From::Client, TcpFlags::ACK, &[])
    }

    /// The server acknowledges what the client has sent, and says nothing else.
    pub fn server_ack(&mut self) -> &mut Self {
        self.frame(From::Server, TcpFlags::ACK, &[])
    }

    /// FIN from the client, FIN from the server, ACK.
    pub fn finish(&mut self) -> &mut Self {
        self.frame(From::Client, TcpFlags::FIN | TcpFlags::ACK, &[]);
        self.frame(From::Server, TcpFlags::FIN | TcpFlags::ACK, &[]);
        self.frame(From::Client, TcpFlags::ACK, &[])
    }

    /// The client breaks off.
    pub fn client_reset(&mut self) -> &mut Self {
        self.frame(From::Client, TcpFlags::RST | TcpFlags::ACK, &[])
    }

    /// The server breaks off, or refuses.
    pub fn server_reset(&mut self) -> &mut Self {
        self.frame(From::Server, TcpFlags::RST | TcpFlags::ACK, &[])
    }

    /// The client opens, and nothing else.
    pub fn syn(&mut self) -> &mut Self {
        self.frame(From::Client, TcpFlags::SYN, &[])
    }

    /// The frames so far.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The frames since the last time, which are forgotten: what goes on for long writes them as they come.
    pub fn take_frames(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }

    /// The frames, to do what a network does to them.
    pub fn into_frames(self) -> Vec<Frame> {
        self.frames
    }

    fn send(&mut self, from: From, bytes: &[u8]) -> &mut Self {
        for segment in bytes.chunks(SEGMENT_MAX) {
            self.frame(from, TcpFlags::PSH | TcpFlags::ACK, segment);
        }
        self
    }

    fn frame(&mut self, from: From, flags: TcpFlags, payload: &[u8]) -> &mut Self {
        let (pair, source, destination) = match from {
            From::Client => (self.addresses, &mut self.client, &self.server),
            From::Server => (self.addresses.reverse(), &mut self.server, &self.client),
        };
        let acknowledgment = if flags.contains(TcpFlags::ACK) { destination.next } else { 0 };
        let header = TcpHeader {
            source_port: source.port,
            destination_port: destination.port,
            sequence: source.next,
            acknowledgment,
            flags,
        };
        let numbers = u32::try_from(payload.len()).unwrap_or(0)
            + u32::from(flags.contains(TcpFlags::SYN))
            + u32::from(flags.contains(TcpFlags::FIN));
        source.next = source.next.wrapping_add(numbers);
        let segment = header.emit(pair, payload);
        let packet = emit_ip(pair, PROTOCOL_TCP, self.identification, &segment);
        let bytes = emit_ethernet(pair, &self.vlans, &packet);
        self.identification = self.identification.wrapping_add(1);
        self.frames.push(Frame { at: self.now, bytes });
        self.now = self.now.plus(self.step);
        self
    }
}

/// A frame with one UDP datagram, or `None` if the addresses are not of one kind or the payload does not fit.
pub fn udp(at: Timestamp, source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Option<Frame> {
    let pair = pair(source.ip(), destination.ip())?;
    let len = u16::try_from(payload.len() + 8).ok().filter(|len| *len <= u16::MAX - 20)?;
    let mut datagram = Vec::with_capacity(usize::from(len));
    for field in [source.port(), destination.port(), len, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend_from_slice(payload);
    // A sum of zero is written as its other form: zero means that there is none.
    let sum = match transport_checksum(pair, PROTOCOL_UDP, &datagram) {
        0 => 0xFFFF,
        sum => sum,
    };
    put(&mut datagram, 6, sum);
    Some(Frame { at, bytes: emit_ethernet(pair, &[], &emit_ip(pair, PROTOCOL_UDP, 0, &datagram)) })
}

/// One TCP segment by hand, in an Ethernet frame; `None` if the addresses are not of one kind or the payload does not
/// fit. For what no honest [`Conversation`] holds: segments out of nowhere, overlaps, forged answers.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// Who sends.
    pub source: SocketAddr,
    /// Who is to receive.
    pub destination: SocketAddr,
    /// Number of the first byte.
    pub sequence: u32,
    /// Number of the byte expected next.
    pub acknowledgment: u32,
    /// Control bits.
    pub flags: TcpFlags,
    /// What it carries.
    pub payload: &'a [u8],
}

impl Segment<'_> {
    /// The frame.
    pub fn frame(&self, at: Timestamp) -> Option<Frame> {
        let pair = pair(self.source.ip(), self.destination.ip())?;
        if self.payload.len() > usize::from(u16::MAX) - 40 {
            return None;
        }
        let header = TcpHeader {
            source_port: self.source.port(),
            destination_port: self.destination.port(),
            sequence: self.sequence,
            acknowledgment: self.acknowledgment,
            flags: self.flags,
        };
        let packet = emit_ip(pair, PROTOCOL_TCP, 0, &header.emit(pair, self.payload));
        Some(Frame { at, bytes: emit_ethernet(pair, &[], &packet) })
    }
}

fn pair(source: IpAddr, destination: IpAddr) -> Option<Pair> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Some(Pair::V4(source, destination)),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Some(Pair::V6(source, destination)),
        _ => None,
    }
}

/// A classic pcap file with nanoseconds, of Ethernet frames, in memory.
pub fn pcap(frames: &[Frame]) -> Vec<u8> {
    let mut file = Vec::new();
    if let Ok(mut writer) = PcapWriter::new(&mut file, LinkType::Ethernet, Resolution::Nanoseconds) {
        for frame in frames {
            // Memory takes everything; what could fail is a time outside of pcap's 136 years.
            let _ = writer.write(frame.at, &frame.bytes);
        }
    }
    file
}

/// Of what a pcap file counts fractions of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// What the oldest tools read.
    Microseconds,
    /// Times as they are.
    Nanoseconds,
}

/// Writes a classic pcap file, little endian.
#[derive(Debug)]
pub struct PcapWriter<W> {
    sink: W,
    resolution: Resolution,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the header of a file.
    pub fn new(mut sink: W, link: LinkType, resolution: Resolution) -> io::Result<Self> {
        let magic: u32 = match resolution {
            Resolution::Microseconds => 0xA1B2_C3D4,
            Resolution::Nanoseconds => 0xA1B2_3C4D,
        };
        let mut header = [0; 24];
        let snap_len = u32::try_from(CAPTURED_MAX).unwrap_or(u32::MAX);
        let fields = [magic, 0x0004_0002 /* version 2.4 */, 0, 0, snap_len, u32::from(link.number())];
        for (place, field) in header.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        sink.write_all(&header)?;
        Ok(Self { sink, resolution })
    }

    /// Writes a whole packet.
    ///
    /// Fails on a packet longer than [`CAPTURED_MAX`] and on a time before 1970 or after 2106, which the format lacks.
    pub fn write(&mut self, at: Timestamp, bytes: &[u8]) -> io::Result<()> {
        self.write_cut(at, bytes, bytes.len())
    }

    /// Writes what a snap length has left of a packet that had `original_len` bytes.
    pub fn write_cut(&mut self, at: Timestamp, bytes: &[u8], original_len: usize) -> io::Result<()> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        if bytes.len() > CAPTURED_MAX {
            return Err(invalid());
        }
        let seconds = u32::try_from(at.nanos().div_euclid(1_000_000_000)).map_err(|_| invalid())?;
        let nanos = at.nanos().rem_euclid(1_000_000_000);
        let fraction = match self.resolution {
            Resolution::Microseconds => nanos / 1000,
            Resolution::Nanoseconds => nanos,
        };
        let fraction = u32::try_from(fraction).map_err(|_| invalid())?;
        let captured = u32::try_from(bytes.len()).map_err(|_| invalid())?;
        let original = u32::try_from(original_len).map_err(|_| invalid())?;
        for field in [seconds, fraction, captured, original] {
            self.sink.write_all(&field.to_le_bytes())?;
        }
        self.sink.write_all(bytes)
    }

    /// Hands on what a buffer below still holds.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// Gives back what is written to, flushed.
    pub fn into_inner(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// What differs from segment to segment.
struct TcpHeader {
    source_port: u16,
    destination_port: u16,
    sequence: u32,
    acknowledgment: u32,
    flags: TcpFlags,
}

impl TcpHeader {
    fn emit(&self, pair: Pair, payload: &[u8]) -> Vec<u8> {
        let mut segment = Vec::with_capacity(20 + payload.len());
        segment.extend(self.source_port.to_be_bytes());
        segment.extend(self.destination_port.to_be_bytes());
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.acknowledgment.to_be_bytes());
        segment.extend([5 << 4, self.flags.0]);
        segment.extend(0xFFFF_u16.to_be_bytes()); // window
        segment.extend([0; 4]); // checksum, urgent pointer
        segment.extend_from_slice(payload);
        let sum = transport_checksum(pair, PROTOCOL_TCP, &segment);
        put(&mut segment, 16, sum);
        segment
    }
}

/// The least length of an Ethernet frame without its check sequence: shorter ones are padded.
const ETHERNET_LEN_MIN: usize = 60;

fn emit_ethernet(pair: Pair, vlans: &[u16], packet: &[u8]) -> Vec<u8> {
    // Locally administered addresses that end like the IP addresses do.
    let (source, destination, ether_type) = match pair {
        Pair::V4(a, b) => (a.octets()[3], b.octets()[3], 0x0800_u16),
        Pair::V6(a, b) => (a.octets()[15], b.octets()[15], 0x86DD),
    };
    let mut frame = vec![2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source];
    for (index, id) in vlans.iter().enumerate() {
        let tag: u16 = if index + 1 < vlans.len() { 0x88A8 } else { 0x8100 };
        frame.extend(tag.to_be_bytes());
        frame.extend((id & 0x0FFF).to_be_bytes());
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend_from_slice(packet);
    if frame.len() < ETHERNET_LEN_MIN {
        frame.resize(ETHERNET_LEN_MIN, 0);
    }
    frame
}

fn emit_ip(pair: Pair, protocol: u8, identification: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(40 + payload.len());
    match pair {
        Pair::V4(source, destination) => {
            packet.extend([0x45, 0]);
            packet.extend(length(20 + payload.len()));
            packet.extend(identification.to_be_bytes());
            packet.extend([0x40, 0, 64, protocol, 0, 0]); // do not fragment; hop limit 64
            packet.extend(source.octets());
            packet.extend(destination.octets());
            let sum = checksum(0, &packet);
            put(&mut packet, 10, sum);
        }
        Pair::V6(source, destination) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(length(payload.len()));
            packet.extend([protocol, 64]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
    }
    packet.extend_from_slice(payload);
    packet
}

/// A length that the callers have bounded.
fn length(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

fn transport_checksum(pair: Pair, protocol: u8, segment: &[u8]) -> u16 {
    let addresses = match pair {
        Pair::V4(a, b) => checksum_add(checksum_add(0, &a.octets()), &b.octets()),
        Pair::V6(a, b) => checksum_add(checksum_add(0, &a.octets()), &b.octets()),
    };
    let pseudo = addresses + u64::from(protocol) + segment.len() as u64;
    checksum(pseudo, segment)
}

/// The internet checksum (RFC 1071) of `bytes` on top of a sum.
fn checksum(sum: u64, bytes: &[u8]) -> u16 {
    let mut sum = checksum_add(sum, bytes);
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn checksum_add(sum: u64, bytes: &[u8]) -> u64 {
    let (pairs, last) = bytes.as_chunks::<2>();
    let last = last.first().map_or(0, |byte| u64::from(*byte) << 8);
    pairs.iter().fold(sum + last, |sum, pair| sum + u64::from(u16::from_be_bytes(*pair)))
}

fn put(bytes: &mut [u8], at: usize, field: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&field.to_be_bytes());
    }
}
