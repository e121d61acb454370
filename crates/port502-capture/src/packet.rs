//! Packet slicing: from the first captured byte to the payload of TCP or UDP, without copying.
//!
//! ```text
//!   Ethernet   destination 6 | source 6 | [tag 8100 88a8 9100 | id 2]* | type 2
//!   IPv4       4+IHL 1 | . 1 | total length 2 | id 2 | flags+offset 2 | TTL 1 | protocol 1 | . 2 | source 4 | destination 4
//!   IPv6       6.. 4 | payload length 2 | next header 1 | hop limit 1 | source 16 | destination 16 | [extension]*
//!   TCP        ports 2+2 | sequence 4 | acknowledgment 4 | offset+flags 2 | window 2 | checksum 2 | urgent 2 | [options]
//!   UDP        ports 2+2 | length 2 | checksum 2
//! ```
//!
//! IP's length says where a packet ends: Ethernet padding behind it is cut off, and what a snap length cut off is counted
//! as `missing`. A length that claims more than was ever on the wire is an [`Unsliced`], because hosts drop such a packet.
//! Checksums are not verified here: a capture on the sending host holds those that its network card was to fill in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{fmt, ops};

use crate::LinkType;

/// The most VLAN tags in front of one packet. Service, customer, and one to spare.
pub const VLAN_TAGS_MAX: usize = 3;

/// The most IPv6 extension headers in front of one transport header.
pub const IPV6_EXTENSIONS_MAX: usize = 16;

const ETHER_TYPE_IPV4: u16 = 0x0800;
const ETHER_TYPE_IPV6: u16 = 0x86DD;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// A packet taken apart; the payload is still in the capture's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlicedPacket<'a> {
    /// Hardware addresses, where the link has them.
    pub macs: Option<Macs>,
    /// VLAN tags, outermost first.
    pub vlans: VlanTags,
    /// Address of the sender.
    pub source: IpAddr,
    /// Address of the receiver.
    pub destination: IpAddr,
    /// IPv4's time to live or IPv6's hop limit: it changes when someone else speaks for a known peer.
    pub hop_limit: u8,
    /// What IP carries.
    pub transport: Transport<'a>,
}

/// The hardware addresses of an Ethernet frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Macs {
    /// The station that sent the frame.
    pub source: [u8; 6],
    /// The station or group it was sent to.
    pub destination: [u8; 6],
}

/// The VLANs a packet was in, outermost first.
///
/// Tags with id 0 are left out: they only carry a priority, and PROFINET equipment adds them to some frames of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct VlanTags {
    ids: [u16; VLAN_TAGS_MAX],
    depth: u8,
}

impl VlanTags {
    /// The VLAN ids, 1 to 4095, outermost first.
    pub fn ids(&self) -> impl Iterator<Item = u16> {
        self.ids.into_iter().take(usize::from(self.depth))
    }

    fn push(&mut self, tag: u16) -> Result<(), Unsliced> {
        let id = tag & 0x0FFF;
        if id != 0 {
            *self.ids.get_mut(usize::from(self.depth)).ok_or(Unsliced::VlanDepth)? = id;
            self.depth += 1;
        }
        Ok(())
    }
}

/// What an IP packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport<'a> {
    /// A TCP segment.
    Tcp(TcpSegment<'a>),
    /// A UDP datagram.
    Udp(UdpDatagram<'a>),
    /// A part of a packet: [`Defragmenter`](crate::Defragmenter) puts it together with the others.
    Fragment(Fragment<'a>),
    /// Another protocol: ICMP, IGMP, ESP, ...
    Other {
        /// IP protocol number.
        protocol: u8,
        /// What is there of it.
        bytes: &'a [u8],
    },
}

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpSegment<'a> {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// Number of the first byte of the payload (of the SYN, if there is one).
    pub sequence: u32,
    /// Number of the byte the sender expects next; counts only with [`TcpFlags::ACK`].
    pub acknowledgment: u32,
    /// Control bits.
    pub flags: TcpFlags,
    /// Receive window as written: not scaled.
    pub window: u16,
    /// The options, not parsed.
    pub options: &'a [u8],
    /// The payload, as far as it was captured.
    pub payload: &'a [u8],
    /// How many bytes of the payload the snap length cut off.
    pub missing: usize,
}

/// The control bits of a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// The sender has finished.
    pub const FIN: Self = Self(0x01);
    /// Opens a connection.
    pub const SYN: Self = Self(0x02);
    /// Breaks a connection off.
    pub const RST: Self = Self(0x04);
    /// Pass on without waiting for more.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number counts.
    pub const ACK: Self = Self(0x10);

    /// Whether all bits of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl ops::BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpDatagram<'a> {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// The payload, as far as it was captured.
    pub payload: &'a [u8],
    /// How many bytes of the payload the snap length cut off.
    pub missing: usize,
}

/// One part of a fragmented IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Protocol (IPv4) or next header (IPv6) of the whole.
    pub protocol: u8,
    /// What the parts of one packet have in common.
    pub identification: u32,
    /// Where in the whole this part goes, in bytes.
    pub offset: usize,
    /// False in the last part.
    pub more: bool,
    /// The part, as far as it was captured.
    pub bytes: &'a [u8],
    /// How many bytes of the part the snap length cut off.
    pub missing: usize,
}

/// A header that can be cut short or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Ethernet, cooked or loopback header with its VLAN tags.
    Link,
    /// IPv4 header with options.
    Ipv4,
    /// IPv6 header.
    Ipv6,
    /// An IPv6 extension header.
    Ipv6Extension,
    /// TCP header with options.
    Tcp,
    /// UDP header.
    Udp,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "link",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
            Self::Ipv6Extension => "IPv6 extension",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// Why a packet is not part of any stream. None of these is our failure; some are none of the sender's either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unsliced {
    /// A link type without a slicer, from a pcapng file that has others too.
    #[error("link type {0} is none that is understood")]
    LinkType(u16),
    /// The packet ends inside a header: cut by the snap length, or too short from the start.
    #[error("the packet ends inside its {layer} header")]
    Truncated {
        /// Which header.
        layer: Layer,
    },
    /// ARP, LLDP, PROFINET, ...
    #[error("not IP but ether type {ether_type:#06x}")]
    NotIp {
        /// Ether type; below 0x0600 it is the length of an 802.3 frame.
        ether_type: u16,
    },
    /// More than [`VLAN_TAGS_MAX`] tags.
    #[error("more than {VLAN_TAGS_MAX} VLAN tags")]
    VlanDepth,
    /// The version field is not what the link announced, or is neither 4 nor 6.
    #[error("IP version {version}")]
    IpVersion {
        /// What is there.
        version: u8,
    },
    /// A header length below the least, or past the end of the packet.
    #[error("the {layer} header claims a length of {claims}")]
    HeaderLength {
        /// Which header.
        layer: Layer,
        /// The length it claims, in bytes.
        claims: usize,
    },
    /// A header claims a packet longer than the one that was on the wire.
    #[error("the {layer} header claims {claims} bytes where {has} were on the wire")]
    Length {
        /// Which header.
        layer: Layer,
        /// The length it claims.
        claims: usize,
        /// What was there.
        has: usize,
    },
    /// More than [`IPV6_EXTENSIONS_MAX`] extension headers.
    #[error("more than {IPV6_EXTENSIONS_MAX} IPv6 extension headers")]
    ExtensionDepth,
    /// A part of an IP packet was cut by the snap length: the whole cannot be put together.
    #[error("an IP fragment was not captured whole")]
    FragmentCut,
    /// A part that cannot be: empty, not a multiple of eight, past 65,535 bytes, or beyond the last part.
    #[error("an IP fragment of {len} bytes at {offset} cannot be part of a packet")]
    FragmentRange {
        /// Where it would go.
        offset: usize,
        /// How long it is.
        len: usize,
    },
    /// Parts overlap without being equal: an attack on reassembly. The whole is dropped.
    #[error("overlapping IP fragments")]
    FragmentOverlap,
    /// A packet in more parts than [`FragmentLimits::parts`](crate::FragmentLimits::parts).
    #[error("an IP packet in too many fragments")]
    FragmentCount,
    /// What was put together is once more a fragment.
    #[error("an IP fragment within IP fragments")]
    FragmentNested,
}

/// The bytes of a packet from some header on.
#[derive(Clone, Copy)]
struct Rest<'a> {
    bytes: &'a [u8],
    /// How many more were on the wire.
    cut: usize,
}

impl<'a> Rest<'a> {
    /// The next `N` bytes, which `layer` needs.
    fn take<const N: usize>(&mut self, layer: Layer) -> Result<&'a [u8; N], Unsliced> {
        let (head, bytes) = self.bytes.split_first_chunk().ok_or(Unsliced::Truncated { layer })?;
        self.bytes = bytes;
        Ok(head)
    }

    fn skip(&mut self, len: usize, layer: Layer) -> Result<&'a [u8], Unsliced> {
        let (head, bytes) = self.bytes.split_at_checked(len).ok_or(Unsliced::Truncated { layer })?;
        self.bytes = bytes;
        Ok(head)
    }

    fn on_wire(&self) -> usize {
        self.bytes.len().saturating_add(self.cut)
    }

    /// Cuts to the `len` bytes that a header claims, which are at most what was on the wire.
    fn limit(self, len: usize) -> Self {
        let bytes = self.bytes.get(..len).unwrap_or(self.bytes);
        Self { bytes, cut: len.saturating_sub(bytes.len()) }
    }
}

/// Takes apart the packet in `bytes`, of which `original_len` were on the wire.
pub fn slice(link: LinkType, bytes: &[u8], original_len: usize) -> Result<SlicedPacket<'_>, Unsliced> {
    let mut rest = Rest { bytes, cut: original_len.saturating_sub(bytes.len()) };
    let mut macs = None;
    let mut vlans = VlanTags::default();
    let mut ether_type = match link {
        LinkType::Ethernet => {
            let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = rest.take::<14>(Layer::Link)?;
            macs = Some(Macs { destination: [d0, d1, d2, d3, d4, d5], source: [s0, s1, s2, s3, s4, s5] });
            u16::from_be_bytes([t0, t1])
        }
        LinkType::LinuxSll => {
            let head = rest.take::<16>(Layer::Link)?;
            u16::from_be_bytes([head[14], head[15]])
        }
        LinkType::LinuxSll2 => {
            let head = rest.take::<20>(Layer::Link)?;
            u16::from_be_bytes([head[0], head[1]])
        }
        LinkType::Null | LinkType::Loop => address_family(*rest.take::<4>(Layer::Link)?)?,
        LinkType::RawIp => match rest.bytes.first().map(|first| first >> 4) {
            Some(4) => ETHER_TYPE_IPV4,
            Some(6) => ETHER_TYPE_IPV6,
            Some(version) => return Err(Unsliced::IpVersion { version }),
            None => return Err(Unsliced::Truncated { layer: Layer::Link }),
        },
        LinkType::Other(number) => return Err(Unsliced::LinkType(number)),
    };
    // 802.1Q, 802.1ad, and what switches used for stacked tags before 802.1ad.
    while let 0x8100 | 0x88A8 | 0x9100 = ether_type {
        let &[tag0, tag1, type0, type1] = rest.take::<4>(Layer::Link)?;
        vlans.push(u16::from_be_bytes([tag0, tag1]))?;
        ether_type = u16::from_be_bytes([type0, type1]);
    }
    let (source, destination, hop_limit, transport) = match ether_type {
        ETHER_TYPE_IPV4 => ipv4(rest)?,
        ETHER_TYPE_IPV6 => ipv6(rest)?,
        _ => return Err(Unsliced::NotIp { ether_type }),
    };
    Ok(SlicedPacket { macs, vlans, source, destination, hop_limit, transport })
}

/// The ether type for the address family of a loopback header, whose byte order is that of an unknown machine.
fn address_family(field: [u8; 4]) -> Result<u16, Unsliced> {
    let family = u32::from_be_bytes(field).min(u32::from_le_bytes(field));
    match family {
        2 => Ok(ETHER_TYPE_IPV4),
        // IPv6 is 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on macOS, 23 on Windows, 10 on Linux.
        10 | 23 | 24 | 28 | 30 => Ok(ETHER_TYPE_IPV6),
        _ => Err(Unsliced::NotIp { ether_type: u16::try_from(family).unwrap_or(u16::MAX) }),
    }
}

type Sliced<'a> = (IpAddr, IpAddr, u8, Transport<'a>);

fn ipv4(packet: Rest<'_>) -> Result<Sliced<'_>, Unsliced> {
    let layer = Layer::Ipv4;
    let mut rest = packet;
    let h = rest.take::<20>(layer)?;
    if h[0] >> 4 != 4 {
        return Err(Unsliced::IpVersion { version: h[0] >> 4 });
    }
    let header_len = usize::from(h[0] & 0x0F) * 4;
    if header_len < 20 {
        return Err(Unsliced::HeaderLength { layer, claims: header_len });
    }
    let total = match u16::from_be_bytes([h[2], h[3]]) {
        // A sending host captures packets before its network card cuts them up; those over 64 KiB have no length.
        0 => packet.on_wire(),
        total => usize::from(total),
    };
    if total > packet.on_wire() {
        return Err(Unsliced::Length { layer, claims: total, has: packet.on_wire() });
    }
    if header_len > total {
        return Err(Unsliced::HeaderLength { layer, claims: header_len });
    }
    let mut rest = packet.limit(total);
    rest.skip(header_len, layer)?;
    let source = IpAddr::V4(Ipv4Addr::new(h[12], h[13], h[14], h[15]));
    let destination = IpAddr::V4(Ipv4Addr::new(h[16], h[17], h[18], h[19]));
    let (hop_limit, protocol) = (h[8], h[9]);
    let flags_offset = u16::from_be_bytes([h[6], h[7]]);
    let (more, offset) = (flags_offset & 0x2000 != 0, usize::from(flags_offset & 0x1FFF) * 8);
    let transport = if more || offset > 0 {
        let identification = u32::from(u16::from_be_bytes([h[4], h[5]]));
        let (bytes, missing) = (rest.bytes, rest.cut);
        Transport::Fragment(Fragment { protocol, identification, offset, more, bytes, missing })
    } else {
        transport(protocol, rest)?
    };
    Ok((source, destination, hop_limit, transport))
}

fn ipv6(packet: Rest<'_>) -> Result<Sliced<'_>, Unsliced> {
    let layer = Layer::Ipv6;
    let mut rest = packet;
    let h = rest.take::<40>(layer)?;
    if h[0] >> 4 != 6 {
        return Err(Unsliced::IpVersion { version: h[0] >> 4 });
    }
    let len = match u16::from_be_bytes([h[4], h[5]]) {
        // As with IPv4, and for jumbograms.
        0 => rest.on_wire(),
        len => usize::from(len),
    };
    if len > rest.on_wire() {
        return Err(Unsliced::Length { layer, claims: len, has: rest.on_wire() });
    }
    let address = |at: usize| -> IpAddr {
        let octets = h.get(at..).and_then(|bytes| bytes.first_chunk::<16>()).copied();
        IpAddr::V6(Ipv6Addr::from(octets.unwrap_or_default()))
    };
    let (next, hop_limit) = (h[6], h[7]);
    Ok((address(8), address(24), hop_limit, ipv6_body(next, rest.limit(len))?))
}

/// Walks the extension headers to what the packet carries.
fn ipv6_body(mut next: u8, mut rest: Rest<'_>) -> Result<Transport<'_>, Unsliced> {
    let layer = Layer::Ipv6Extension;
    for _ in 0..=IPV6_EXTENSIONS_MAX {
        match next {
            // Hop-by-hop, routing, destination options, mobility, host identity, shim: 8 bytes and more 8s.
            0 | 43 | 60 | 135 | 139 | 140 => {
                let head = rest.take::<8>(layer)?;
                rest.skip(usize::from(head[1]) * 8, layer)?;
                next = head[0];
            }
            // Authentication counts in fours, less two: the 8 bytes taken are not counted.
            51 => {
                let head = rest.take::<8>(layer)?;
                rest.skip(usize::from(head[1]) * 4, layer)?;
                next = head[0];
            }
            44 => {
                let &[protocol, _, o0, o1, i0, i1, i2, i3] = rest.take::<8>(layer)?;
                let field = u16::from_be_bytes([o0, o1]);
                let (offset, more) = (usize::from(field & 0xFFF8), field & 1 != 0);
                next = protocol;
                if more || offset > 0 {
                    let identification = u32::from_be_bytes([i0, i1, i2, i3]);
                    let (bytes, missing) = (rest.bytes, rest.cut);
                    return Ok(Transport::Fragment(Fragment {
                        protocol,
                        identification,
                        offset,
                        more,
                        bytes,
                        missing,
                    }));
                }
            }
            _ => return transport(next, rest),
        }
    }
    Err(Unsliced::ExtensionDepth)
}

fn transport(protocol: u8, rest: Rest<'_>) -> Result<Transport<'_>, Unsliced> {
    match protocol {
        PROTOCOL_TCP => tcp(rest).map(Transport::Tcp),
        PROTOCOL_UDP => udp(rest).map(Transport::Udp),
        _ => Ok(Transport::Other { protocol, bytes: rest.bytes }),
    }
}

fn tcp(mut rest: Rest<'_>) -> Result<TcpSegment<'_>, Unsliced> {
    let layer = Layer::Tcp;
    let on_wire = rest.on_wire();
    let h = rest.take::<20>(layer)?;
    let header_len = usize::from(h[12] >> 4) * 4;
    if header_len < 20 || header_len > on_wire {
        return Err(Unsliced::HeaderLength { layer, claims: header_len });
    }
    let options = rest.skip(header_len - 20, layer)?;
    Ok(TcpSegment {
        source_port: u16::from_be_bytes([h[0], h[1]]),
        destination_port: u16::from_be_bytes([h[2], h[3]]),
        sequence: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
        acknowledgment: u32::from_be_bytes([h[8], h[9], h[10], h[11]]),
        flags: TcpFlags(h[13]),
        window: u16::from_be_bytes([h[14], h[15]]),
        options,
        payload: rest.bytes,
        missing: rest.cut,
    })
}

fn udp(packet: Rest<'_>) -> Result<UdpDatagram<'_>, Unsliced> {
    let layer = Layer::Udp;
    let mut rest = packet;
    let &[s0, s1, d0, d1, l0, l1, _, _] = rest.take::<8>(layer)?;
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    if len < 8 {
        return Err(Unsliced::HeaderLength { layer, claims: len });
    }
    if len > packet.on_wire() {
        return Err(Unsliced::Length { layer, claims: len, has: packet.on_wire() });
    }
    let payload = rest.limit(len - 8);
    Ok(UdpDatagram {
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        payload: payload.bytes,
        missing: payload.cut,
    })
}

/// Takes apart what the fragments of a packet were put together to.
pub(crate) fn slice_whole(is_ipv4: bool, protocol: u8, bytes: &[u8]) -> Result<Transport<'_>, Unsliced> {
    let rest = Rest { bytes, cut: 0 };
    let transport = if is_ipv4 { transport(protocol, rest)? } else { ipv6_body(protocol, rest)? };
    if matches!(transport, Transport::Fragment(_)) {
        return Err(Unsliced::FragmentNested);
    }
    Ok(transport)
}

impl SlicedPacket<'_> {
    /// Sender and receiver, where the transport has ports.
    pub fn endpoints(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (source_port, destination_port) = match self.transport {
            Transport::Tcp(TcpSegment { source_port, destination_port, .. })
            | Transport::Udp(UdpDatagram { source_port, destination_port, .. }) => {
                (source_port, destination_port)
            }
            Transport::Fragment(_) | Transport::Other { .. } => return None,
        };
        Some((SocketAddr::new(self.source, source_port), SocketAddr::new(self.destination, destination_port)))
    }
}
