//! Slicing: every header in every place, and what is odd about it.

use port502_capture::synth::{self, Conversation};
use port502_capture::{
    Fragment, IPV6_EXTENSIONS_MAX, Layer, LinkType, TcpFlags, TcpSegment, Transport, Unsliced, slice,
};

/// Source 10.0.0.9:4660, destination 10.0.0.3:502, PSH+ACK.
const TCP: [u8; 20] = [0x12, 0x34, 0x01, 0xF6, 0, 0, 0, 100, 0, 0, 0, 200, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0];

pub(crate) fn ipv4(protocol: u8, flags_offset: u16, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + body.len() as u16).to_be_bytes());
    packet.extend([0xAB, 0xCD]);
    packet.extend(flags_offset.to_be_bytes());
    packet.extend([63, protocol, 0, 0, 10, 0, 0, 9, 10, 0, 0, 3]);
    packet.extend(body);
    packet
}

pub(crate) fn ipv6(next: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((body.len() as u16).to_be_bytes());
    packet.extend([next, 63]);
    packet.extend([0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    packet.extend([0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    packet.extend(body);
    packet
}

fn tcp(payload: &[u8]) -> Vec<u8> {
    [&TCP, payload].concat()
}

/// The transport of a raw IP packet.
fn raw(packet: &[u8]) -> Result<Transport<'_>, Unsliced> {
    slice(LinkType::RawIp, packet, packet.len()).map(|packet| packet.transport)
}

#[track_caller]
fn payload(link: LinkType, packet: &[u8], original: usize, want: &[u8], missing: usize) {
    match slice(link, packet, original).unwrap().transport {
        Transport::Tcp(segment) => assert_eq!((segment.payload, segment.missing), (want, missing)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_link_leads_to_the_same_segment() {
    let v4 = ipv4(6, 0x4000, &tcp(b"ask"));
    let v6 = ipv6(6, &tcp(b"ask"));
    let ethernet = |types: &[u8], packet: &[u8]| [&[1; 12], types, packet, &[0xEE; 9]].concat(); // padded
    let mut sll = vec![0; 14];
    sll.extend([0x08, 0]);
    let mut sll2 = vec![0x86, 0xDD];
    sll2.extend([0; 18]);
    let rows = [
        (LinkType::Ethernet, ethernet(&[0x08, 0], &v4)),
        (LinkType::Ethernet, ethernet(&[0x86, 0xDD], &v6)),
        (LinkType::Ethernet, ethernet(&[0x81, 0, 0x60, 7, 0x08, 0], &v4)),
        (LinkType::Ethernet, ethernet(&[0x88, 0xA8, 0, 5, 0x81, 0, 0, 7, 0x86, 0xDD], &v6)),
        (LinkType::Ethernet, ethernet(&[0x91, 0, 0, 5, 0x91, 0, 0, 7, 0x81, 0, 0, 1, 0x08, 0], &v4)),
        (LinkType::RawIp, v4.clone()),
        (LinkType::RawIp, v6.clone()),
        (LinkType::LinuxSll, [sll.as_slice(), &v4].concat()),
        (LinkType::LinuxSll2, [sll2.as_slice(), &v6].concat()),
        (LinkType::Null, [&[2, 0, 0, 0], v4.as_slice()].concat()),
        (LinkType::Null, [&[0, 0, 0, 2], v4.as_slice()].concat()),
        (LinkType::Null, [&[30, 0, 0, 0], v6.as_slice()].concat()),
        (LinkType::Null, [&[0, 0, 0, 10], v6.as_slice()].concat()),
        (LinkType::Loop, [&[0, 0, 0, 24], v6.as_slice()].concat()),
    ];
    for (link, packet) in rows {
        let sliced = slice(link, &packet, packet.len()).unwrap();
        assert_eq!(sliced.hop_limit, 63);
        assert_eq!(sliced.macs.is_some(), link == LinkType::Ethernet);
        let (source, destination) = sliced.endpoints().unwrap();
        assert_eq!((source.port(), destination.port()), (0x1234, 502));
        assert!(["10.0.0.9", "fd00::9"].contains(&source.ip().to_string().as_str()));
        assert!(["10.0.0.3", "fd00::3"].contains(&destination.ip().to_string().as_str()));
        let want = TcpSegment {
            source_port: 0x1234,
            destination_port: 502,
            sequence: 100,
            acknowledgment: 200,
            flags: TcpFlags::PSH | TcpFlags::ACK,
            window: 0x2000,
            options: b"",
            payload: b"ask",
            missing: 0,
        };
        assert_eq!(sliced.transport, Transport::Tcp(want));
    }
}

#[test]
fn vlan_tags_are_kept_and_priority_tags_are_not() {
    let rows: [(&[u8], &[u16]); 4] = [
        (&[0x08, 0], &[]),
        (&[0x81, 0, 0xE0, 0, 0x08, 0], &[]), // PROFINET: priority 7, no VLAN
        (&[0x81, 0, 0x6F, 0xFF, 0x08, 0], &[4095]),
        (&[0x88, 0xA8, 0, 5, 0x81, 0, 0, 0, 0x81, 0, 0, 7, 0x08, 0], &[5, 7]),
    ];
    for (types, want) in rows {
        let frame = [&[1; 12], types, &ipv4(6, 0, &tcp(b""))].concat();
        let vlans = slice(LinkType::Ethernet, &frame, frame.len()).unwrap().vlans;
        assert_eq!(vlans.ids().collect::<Vec<_>>(), want);
    }
}

#[test]
fn lengths_decide_where_the_payload_ends() {
    let whole = ipv4(6, 0, &tcp(b"question"));
    payload(LinkType::RawIp, &whole, whole.len(), b"question", 0);
    // Cut by the snap length.
    payload(LinkType::RawIp, &whole[..43], whole.len(), b"que", 5);
    payload(LinkType::RawIp, &whole[..40], whole.len(), b"", 8);
    // Cut within the padding behind the packet: nothing is missing.
    payload(LinkType::RawIp, &whole, whole.len() + 6, b"question", 0);
    payload(LinkType::RawIp, &whole[..47], whole.len() + 6, b"questio", 1);
    // A packet captured before the network card cut it up has no length.
    let mut offloaded = whole.clone();
    offloaded[2..4].fill(0);
    payload(LinkType::RawIp, &offloaded, offloaded.len(), b"question", 0);
    payload(LinkType::RawIp, &offloaded[..43], offloaded.len(), b"que", 5);
    let mut offloaded = ipv6(6, &tcp(b"question"));
    offloaded[4..6].fill(0);
    payload(LinkType::RawIp, &offloaded, offloaded.len(), b"question", 0);
    // Options of IP and of TCP.
    let mut optioned = ipv4(6, 0, &tcp(b"\x01\x01\x01\x00question"));
    optioned[32] = 0x60;
    payload(LinkType::RawIp, &optioned, optioned.len(), b"question", 0);
    let mut optioned = ipv4(6, 0, &[b"\x01\x01\x01\x00", tcp(b"question").as_slice()].concat());
    optioned[0] = 0x46;
    payload(LinkType::RawIp, &optioned, optioned.len(), b"question", 0);
}

#[test]
fn udp_and_others() {
    let datagram = ipv4(17, 0, b"\x12\x34\x01\xF6\x00\x0Bxxask and more");
    match raw(&datagram).unwrap() {
        Transport::Udp(udp) => {
            assert_eq!((udp.destination_port, udp.payload, udp.missing), (502, b"ask".as_slice(), 0))
        }
        other => panic!("{other:?}"),
    }
    match slice(LinkType::RawIp, &datagram[..29], datagram.len()).unwrap().transport {
        Transport::Udp(udp) => assert_eq!((udp.payload, udp.missing), (b"a".as_slice(), 2)),
        other => panic!("{other:?}"),
    }
    assert_eq!(raw(&ipv4(1, 0, b"ping")), Ok(Transport::Other { protocol: 1, bytes: b"ping" }));
    assert_eq!(raw(&ipv6(59, b"")), Ok(Transport::Other { protocol: 59, bytes: b"" }));
}

#[test]
fn ipv6_extensions() {
    let rows: [(u8, Vec<u8>); 5] = [
        (0, [&[6, 0, 1, 2, 3, 4, 5, 6], tcp(b"ask").as_slice()].concat()),
        (60, [&[43, 1], [0; 14].as_slice(), &[6, 0, 1, 2, 3, 4, 5, 6], &tcp(b"ask")].concat()),
        (51, [&[6, 1], [0; 10].as_slice(), &tcp(b"ask")].concat()),
        (44, [&[6, 0, 0, 0, 1, 2, 3, 4], tcp(b"ask").as_slice()].concat()), // a fragment that is the whole
        (135, [&[6, 0, 1, 2, 3, 4, 5, 6], tcp(b"ask").as_slice()].concat()),
    ];
    for (next, body) in rows {
        let packet = ipv6(next, &body);
        payload(LinkType::RawIp, &packet, packet.len(), b"ask", 0);
    }
    let headers = |count: usize| {
        let mut body = [60, 0, 0, 0, 0, 0, 0, 0].repeat(count);
        let last = body.len() - 8;
        body[last] = 6;
        body.extend(tcp(b"ask"));
        ipv6(60, &body)
    };
    let most = headers(IPV6_EXTENSIONS_MAX);
    payload(LinkType::RawIp, &most, most.len(), b"ask", 0);
    assert_eq!(raw(&headers(IPV6_EXTENSIONS_MAX + 1)), Err(Unsliced::ExtensionDepth));
}

#[test]
fn fragments_are_not_taken_for_segments() {
    let part =
        Fragment { protocol: 6, identification: 0xABCD, offset: 16, more: true, bytes: b"xx", missing: 0 };
    assert_eq!(raw(&ipv4(6, 0x2002, b"xx")), Ok(Transport::Fragment(part)));
    let first = Fragment { offset: 0, ..part };
    assert_eq!(raw(&ipv4(6, 0x2000, b"xx")), Ok(Transport::Fragment(first)));
    let last = Fragment { identification: 0x0102_0304, more: false, ..part };
    assert_eq!(raw(&ipv6(44, b"\x06\x00\x00\x10\x01\x02\x03\x04xx")), Ok(Transport::Fragment(last)));
    let packet = ipv4(6, 0x2002, b"xx");
    let cut = Fragment { bytes: b"x", missing: 1, ..part };
    let sliced = slice(LinkType::RawIp, &packet[..21], packet.len()).unwrap();
    assert_eq!(sliced.transport, Transport::Fragment(cut));
}

#[track_caller]
fn odd(link: LinkType, packet: &[u8], want: Unsliced) {
    assert_eq!(slice(link, packet, packet.len()), Err(want));
    assert!(!want.to_string().is_empty());
}

#[test]
fn odd_headers_have_names() {
    let raw = LinkType::RawIp;
    let edit = |mut packet: Vec<u8>, at: usize, to: u8| {
        packet[at] = to;
        packet
    };
    let v4 = || ipv4(6, 0, &tcp(b"ask"));
    odd(LinkType::Other(147), b"", Unsliced::LinkType(147));
    odd(raw, b"", Unsliced::Truncated { layer: Layer::Link });
    odd(raw, &edit(v4(), 0, 0x25), Unsliced::IpVersion { version: 2 });
    odd(LinkType::Null, &[9, 9, 9, 9], Unsliced::NotIp { ether_type: u16::MAX });
    odd(
        LinkType::Ethernet,
        &[[1; 12].as_slice(), &[0x08, 0x06]].concat(),
        Unsliced::NotIp { ether_type: 0x0806 },
    );
    let wrong_version = [[1; 12].as_slice(), &[0x08, 0], &ipv6(6, &tcp(b""))].concat();
    odd(LinkType::Ethernet, &wrong_version, Unsliced::IpVersion { version: 6 });
    let deep = [[1; 12].as_slice(), &[0x81, 0, 0, 1].repeat(4), &[0x08, 0]].concat();
    odd(LinkType::Ethernet, &deep, Unsliced::VlanDepth);
    odd(raw, &edit(v4(), 0, 0x44), Unsliced::HeaderLength { layer: Layer::Ipv4, claims: 16 });
    odd(raw, &edit(v4(), 0, 0x4F), Unsliced::HeaderLength { layer: Layer::Ipv4, claims: 60 });
    odd(raw, &edit(v4(), 3, 44), Unsliced::Length { layer: Layer::Ipv4, claims: 44, has: 43 });
    odd(raw, &edit(v4(), 3, 39), Unsliced::Truncated { layer: Layer::Tcp });
    odd(raw, &edit(v4(), 32, 0x40), Unsliced::HeaderLength { layer: Layer::Tcp, claims: 16 });
    odd(raw, &edit(v4(), 32, 0x60), Unsliced::HeaderLength { layer: Layer::Tcp, claims: 24 });
    let v6 = || ipv6(6, &tcp(b"ask"));
    odd(raw, &edit(v6(), 5, 24), Unsliced::Length { layer: Layer::Ipv6, claims: 24, has: 23 });
    odd(raw, &ipv6(0, &[6, 1, 0, 0, 0, 0, 0, 0]), Unsliced::Truncated { layer: Layer::Ipv6Extension });
    let udp = |len| ipv4(17, 0, &[0, 1, 0, 2, 0, len, 0, 0]);
    odd(raw, &udp(7), Unsliced::HeaderLength { layer: Layer::Udp, claims: 7 });
    odd(raw, &udp(9), Unsliced::Length { layer: Layer::Udp, claims: 9, has: 8 });
}

#[test]
fn cut_anywhere_a_packet_is_a_part_or_truncated() {
    let mut talk = Conversation::v6("[fd00::9]:50123".parse().unwrap(), "[fd00::3]:502".parse().unwrap());
    talk.vlans(&[5, 7]).to_server(b"question");
    let frame = &talk.frames()[0].bytes;
    let headers = frame.len() - 8;
    for cut in 0..frame.len() {
        match slice(LinkType::Ethernet, &frame[..cut], frame.len()) {
            Err(Unsliced::Truncated { .. }) => assert!(cut < headers, "cut at {cut}"),
            Ok(packet) => match packet.transport {
                Transport::Tcp(segment) => {
                    assert_eq!(segment.payload.len() + segment.missing, 8);
                    assert_eq!(segment.payload.len(), cut - headers);
                }
                other => panic!("cut at {cut}: {other:?}"),
            },
            Err(other) => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn synthesised_datagrams() {
    let v4 = "10.0.0.9:1000".parse().unwrap();
    let v6 = "[fd00::3]:502".parse().unwrap();
    let at = port502_capture::Timestamp::EPOCH;
    assert!(synth::udp(at, v4, v6, b"").is_none());
    assert!(synth::udp(at, v4, v4, &[0; 65_536]).is_none());
    let frame = synth::udp(at, v6, v6, b"ask").unwrap();
    match frame.slice().unwrap().transport {
        Transport::Udp(udp) => assert_eq!(udp.payload, b"ask"),
        other => panic!("{other:?}"),
    }
}
