//! Laws: whatever the network does to segments, the bytes that come out are those that went in.

use std::net::SocketAddr;

use port502_capture::synth::{self, Conversation, Segment};
use port502_capture::{
    CaptureBytes, ConnectionId, Counters, Direction, Event, Limits, LinkType, Opening, OverlapPolicy,
    Reassembler, SlicedPacket, StreamEventKind, TcpFlags, TcpSegment, Timestamp, Transport, VlanTags, slice,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::files::{Dribble, from_reader, from_slice};
use crate::pcapng::{Ng, Order};

/// No files of regressions: what fails becomes a row of a table.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A part of what one side says, on its way.
#[derive(Debug, Clone)]
struct Part {
    to_server: bool,
    start: usize,
    end: usize,
}

/// Cuts `len` bytes at the given places.
fn cut(to_server: bool, len: usize, cuts: &[usize]) -> Vec<Part> {
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (len + 1)).collect();
    bounds.extend([0, len]);
    bounds.sort_unstable();
    bounds.dedup();
    bounds.windows(2).map(|pair| Part { to_server, start: pair[0], end: pair[1] }).collect()
}

/// A stream as it came out: bytes, with gaps.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Out {
    /// `None` for a byte in a gap.
    bytes: Vec<Option<u8>>,
    chunks: usize,
}

impl Out {
    fn all(bytes: &[u8]) -> Vec<Option<u8>> {
        bytes.iter().copied().map(Some).collect()
    }
}

struct Talk {
    streams: Reassembler,
    isn: [u32; 2],
    said: [Vec<u8>; 2],
    to_server: Out,
    to_client: Out,
    events: usize,
    now: i64,
}

impl Talk {
    fn new(limits: Limits, isn: [u32; 2], said: [Vec<u8>; 2]) -> Self {
        let streams = Reassembler::new(limits, |port| port == 502);
        Self { streams, isn, said, to_server: Out::default(), to_client: Out::default(), events: 0, now: 0 }
    }

    /// `offset` counts from the SYN.
    fn send(&mut self, to_server: bool, offset: usize, ack: Option<usize>, flags: TcpFlags, payload: &[u8]) {
        let ends: [(SocketAddr, u32); 2] = [
            ("10.0.0.9:50000".parse().unwrap(), self.isn[0]),
            ("10.0.0.3:502".parse().unwrap(), self.isn[1]),
        ];
        let [(source, isn), (destination, peer)] = if to_server { ends } else { [ends[1], ends[0]] };
        let segment = TcpSegment {
            source_port: source.port(),
            destination_port: destination.port(),
            sequence: isn.wrapping_add(offset as u32),
            acknowledgment: ack.map_or(0, |ack| peer.wrapping_add(ack as u32)),
            flags: flags | if ack.is_some() { TcpFlags::ACK } else { TcpFlags(0) },
            window: 0,
            options: b"",
            payload,
            missing: 0,
        };
        let packet = SlicedPacket {
            macs: None,
            vlans: VlanTags::default(),
            source: source.ip(),
            destination: destination.ip(),
            hop_limit: 64,
            transport: Transport::Tcp(segment),
        };
        self.now += 1_000_000;
        let at = Timestamp::from_nanos(self.now);
        let Self { streams, to_server, to_client, events, .. } = self;
        streams.push(at, &packet, &mut |event| record(event, to_server, to_client, events));
        assert!(streams.held_bytes() <= 64 << 20);
    }

    fn handshake(&mut self) {
        self.send(true, 0, None, TcpFlags::SYN, b"");
        self.send(false, 0, Some(1), TcpFlags::SYN, b"");
    }

    fn part(&mut self, part: &Part, ack: Option<usize>) {
        let said = &self.said[usize::from(!part.to_server)];
        let payload = said[part.start..part.end].to_vec();
        self.send(part.to_server, part.start + 1, ack, TcpFlags::PSH, &payload);
    }

    fn finish(mut self) -> (Out, Out, Counters) {
        let Self { streams, to_server, to_client, events, .. } = &mut self;
        streams.finish(&mut |event| record(event, to_server, to_client, events));
        assert_eq!(streams.held_bytes(), 0);
        let counters = streams.counters();
        (self.to_server, self.to_client, counters)
    }
}

fn record(event: Event<'_>, to_server: &mut Out, to_client: &mut Out, events: &mut usize) {
    let Event::Stream(event) = event else { panic!("{event:?}") };
    *events += 1;
    assert_eq!(event.connection.number(), 1, "one connection");
    let out = match event.direction {
        Direction::ToServer => to_server,
        Direction::ToClient => to_client,
    };
    match event.kind {
        StreamEventKind::Data(bytes) => {
            assert!(!bytes.is_empty());
            out.bytes.extend(bytes.iter().copied().map(Some));
            out.chunks += 1;
        }
        StreamEventKind::Gap { bytes } => {
            assert!(bytes > 0);
            out.bytes.resize(out.bytes.len() + bytes as usize, None);
        }
        StreamEventKind::Opened { .. } => assert_eq!(*events, 1, "the first event"),
        StreamEventKind::Closed { .. } => {}
        other => panic!("{other:?}"),
    }
}

prop_compose! {
    /// What both sides say, cut up, in any order, some of it again.
    fn traffic()(
        said in [vec(any::<u8>(), 2..400), vec(any::<u8>(), 2..400)],
        cuts in [vec(any::<usize>(), 0..12), vec(any::<usize>(), 0..12)],
        again in vec((any::<bool>(), any::<usize>(), any::<usize>()), 0..8),
        isn in [starts(), starts()],
        order in vec(any::<u32>(), 40),
    ) -> ([u32; 2], [Vec<u8>; 2], Vec<Part>) {
        let mut parts = cut(true, said[0].len(), &cuts[0]);
        parts.extend(cut(false, said[1].len(), &cuts[1]));
        // Retransmissions with other bounds: they overlap what was sent.
        for (to_server, a, b) in again {
            let len = said[usize::from(!to_server)].len();
            let (a, b) = (a % len, b % len);
            parts.push(Part { to_server, start: a.min(b), end: a.max(b) + 1 });
        }
        let mut ordered: Vec<_> = order.into_iter().zip(parts).collect();
        ordered.sort_by_key(|(key, _)| *key);
        (isn, said, ordered.into_iter().map(|(_, part)| part).collect())
    }
}

/// Sequence numbers, often such that they wrap round within the stream.
fn starts() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), (u32::MAX - 400)..=u32::MAX, (u32::MAX / 2 - 200)..(u32::MAX / 2 + 200)]
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn any_order_gives_all_bytes_once((isn, said, parts) in traffic(), policy in any::<bool>()) {
        let mut talk = Talk::new(Limits::default(), isn, said.clone());
        if policy {
            talk.streams = Reassembler::new(Limits::default(), |port| port == 502)
                .with_overlap_policy(OverlapPolicy::Last);
        }
        talk.handshake();
        for part in &parts {
            talk.part(part, None);
        }
        let (to_server, to_client, counters) = talk.finish();
        prop_assert_eq!(to_server.bytes, Out::all(&said[0]));
        prop_assert_eq!(to_client.bytes, Out::all(&said[1]));
        prop_assert_eq!((counters.conflicts, counters.gap_bytes), (0, 0));
        prop_assert_eq!(counters.delivered_bytes, (said[0].len() + said[1].len()) as u64);
    }

    /// What an honest receiver can have acknowledged is never taken for lost.
    #[test]
    fn honest_acknowledgments_lose_nothing((isn, said, parts) in traffic()) {
        let mut talk = Talk::new(Limits::default(), isn, said.clone());
        talk.handshake();
        let mut there = [vec![false; said[0].len()], vec![false; said[1].len()]];
        for part in &parts {
            let peer = usize::from(part.to_server);
            let received = there[peer].iter().take_while(|there| **there).count();
            talk.part(part, Some(received + 1));
            there[1 - peer][part.start..part.end].fill(true);
        }
        let (to_server, to_client, counters) = talk.finish();
        prop_assert_eq!(to_server.bytes, Out::all(&said[0]));
        prop_assert_eq!(to_client.bytes, Out::all(&said[1]));
        prop_assert_eq!(counters.gap_bytes, 0);
    }

    /// In order, a segment is a chunk.
    #[test]
    fn segment_bounds_are_kept(
        isn in [starts(), starts()],
        said in vec(any::<u8>(), 1..400),
        cuts in vec(any::<usize>(), 0..12),
        handshake in any::<bool>(),
    ) {
        let parts = cut(true, said.len(), &cuts);
        // A first byte alone, with nothing known of the stream, is taken for a keep-alive.
        prop_assume!(handshake || parts[0].end > 1);
        let mut talk = Talk::new(Limits::default(), isn, [said.clone(), vec![]]);
        if handshake {
            talk.handshake();
        }
        for part in &parts {
            talk.part(part, Some(1));
        }
        let (to_server, _, counters) = talk.finish();
        prop_assert_eq!(to_server.bytes, Out::all(&said));
        prop_assert_eq!(to_server.chunks, parts.len());
        prop_assert_eq!(counters.gap_bytes, 0);
    }

    /// Whatever is lost, and however little memory there is: every byte comes at its place or is in a gap.
    #[test]
    fn losses_are_gaps(
        (isn, said, parts) in traffic(),
        lost in vec(any::<bool>(), 40),
        held in 0_usize..1000,
    ) {
        let limits = Limits { held_per_direction: held, ..Limits::default() };
        let mut talk = Talk::new(limits, isn, said.clone());
        talk.handshake();
        for (part, lost) in parts.iter().zip(&lost) {
            if !lost {
                talk.part(part, None);
            }
        }
        // The ends are known by FINs, so that what is lost at the end is known too.
        talk.send(true, said[0].len() + 1, Some(1), TcpFlags::FIN, b"");
        talk.send(false, said[1].len() + 1, Some(1), TcpFlags::FIN, b"");
        let (to_server, to_client, counters) = talk.finish();
        for (out, said) in [(&to_server, &said[0]), (&to_client, &said[1])] {
            prop_assert_eq!(out.bytes.len(), said.len());
            for (got, said) in out.bytes.iter().zip(said) {
                prop_assert!(got.is_none_or(|got| got == *said));
            }
        }
        let gaps = to_server.bytes.iter().chain(&to_client.bytes).filter(|byte| byte.is_none()).count();
        prop_assert_eq!(counters.gap_bytes, gaps as u64);
    }

    /// A capture that begins mid-connection: two neighbours in the wrong order at the very start lose nothing.
    #[test]
    fn the_first_two_may_be_swapped(
        isn in [starts(), starts()],
        said in vec(any::<u8>(), 4..100),
        cuts in vec(any::<usize>(), 1..4),
    ) {
        let mut parts = cut(true, said.len(), &cuts);
        prop_assume!(parts.len() > 1);
        parts.swap(0, 1);
        prop_assume!(parts[0].end - parts[0].start > 1);
        let mut talk = Talk::new(Limits::default(), isn, [said.clone(), vec![]]);
        for part in &parts {
            talk.part(part, Some(1));
        }
        let (to_server, ..) = talk.finish();
        prop_assert_eq!(to_server.bytes, Out::all(&said));
    }

    /// One byte that comes again and is another is told, with its place, wherever the history reaches.
    #[test]
    fn a_changed_byte_is_told(
        isn in starts(),
        said in vec(any::<u8>(), 2..3000),
        cuts in vec(any::<usize>(), 0..12),
        back in 2_usize..=1024,
        changed in any::<usize>(),
        flip in 1_u8..,
    ) {
        let mut talk = Talk::new(Limits::default(), [isn, 0], [said.clone(), vec![]]);
        talk.handshake();
        for part in &cut(true, said.len(), &cuts) {
            talk.part(part, None);
        }
        let start = said.len() - back.min(said.len());
        let changed = start + changed % (said.len() - start);
        let mut again = said[start..].to_vec();
        again[changed - start] ^= flip;
        let mut told = Vec::new();
        let segment = Segment {
            source: "10.0.0.9:50000".parse().unwrap(),
            destination: "10.0.0.3:502".parse().unwrap(),
            sequence: isn.wrapping_add(1 + start as u32),
            acknowledgment: 0,
            flags: TcpFlags(0),
            payload: &again,
        };
        let frame = segment.frame(Timestamp::EPOCH).unwrap();
        talk.streams.push(frame.at, &frame.slice().unwrap(), &mut |event| {
            let Event::Stream(event) = event else { panic!("{event:?}") };
            let StreamEventKind::Conflict { offset, first, second } = event.kind else { panic!("{event:?}") };
            told.push((offset, first.to_vec(), second.to_vec()));
        });
        prop_assert_eq!(told, [(changed as u64, vec![said[changed]], vec![said[changed] ^ flip])]);
    }

    /// Anything between two hosts: no panic, and the grammar of events holds for each connection.
    #[test]
    fn any_segments_keep_the_grammar(
        segments in vec(
            (any::<bool>(), 0_u32..64, 0_u32..64, any::<u8>(), vec(any::<u8>(), 0..8), 0_usize..3, any::<bool>()),
            0..60,
        ),
        connections in 1_usize..3,
        window in prop_oneof![Just(20_u32), Just(1 << 20), Just(u32::MAX)],
        held in 0_usize..400,
    ) {
        let limits = Limits {
            connections, window, held_per_direction: held, held_total: held, history: 4, ..Limits::default()
        };
        let mut streams = Reassembler::new(limits, |port| port == 502);
        let mut state = std::collections::HashMap::<ConnectionId, bool>::new();
        let mut newest = 0;
        let mut sink = |event: Event<'_>| {
            let Event::Stream(event) = event else { panic!("{event:?}") };
            let open = state.get(&event.connection).copied();
            match event.kind {
                StreamEventKind::Opened { client, server, opening, .. } => {
                    assert_eq!(open, None);
                    assert_ne!(client, server);
                    assert!(opening != Opening::SynOnly || event.connection.number() > 0);
                    state.insert(event.connection, true);
                }
                StreamEventKind::Closed { .. } => {
                    assert_eq!(open, Some(true));
                    state.insert(event.connection, false);
                }
                StreamEventKind::Conflict { first, second, .. } => {
                    assert_eq!(open, Some(true));
                    assert_eq!(first.len(), second.len());
                    assert_ne!(first[0], second[0]);
                    assert_ne!(first.last(), second.last());
                }
                StreamEventKind::Data(bytes) => assert!(open == Some(true) && !bytes.is_empty()),
                StreamEventKind::Gap { bytes } => assert!(open == Some(true) && bytes > 0),
                StreamEventKind::Stray { .. } => assert_eq!(open, Some(true)),
            }
            newest = newest.max(event.connection.number());
        };
        for (to_server, sequence, acknowledgment, flags, payload, missing, second) in segments {
            let client = if second { "10.0.0.9:50001" } else { "10.0.0.9:50000" };
            let ends: [SocketAddr; 2] = [client.parse().unwrap(), "10.0.0.3:502".parse().unwrap()];
            let [source, destination] = if to_server { ends } else { [ends[1], ends[0]] };
            let segment = TcpSegment {
                source_port: source.port(),
                destination_port: destination.port(),
                sequence: sequence.wrapping_sub(32),
                acknowledgment: acknowledgment.wrapping_sub(32),
                flags: TcpFlags(flags & 0x1F),
                window: 0,
                options: b"",
                payload: &payload,
                missing,
            };
            let packet = SlicedPacket {
                macs: None,
                vlans: VlanTags::default(),
                source: source.ip(),
                destination: destination.ip(),
                hop_limit: 64,
                transport: Transport::Tcp(segment),
            };
            streams.push(Timestamp::EPOCH, &packet, &mut sink);
            assert!(streams.connections() <= connections);
        }
        streams.finish(&mut sink);
        assert_eq!(streams.held_bytes(), 0);
        assert_eq!(streams.counters().connections, newest);
        assert!(state.values().all(|open| !open), "every connection is closed");
    }

    #[test]
    fn any_bytes_are_a_packet_or_not(
        link in prop_oneof![Just(0_u16), Just(1), Just(101), Just(108), Just(113), Just(276), any::<u16>()],
        bytes in vec(any::<u8>(), 0..120),
        original in 0_usize..200,
    ) {
        let _ = slice(LinkType::from_number(link), &bytes, original);
    }

    /// A real frame with a few bytes changed goes deeper than noise does.
    #[test]
    fn damaged_packets_are_packets_or_not(
        edits in vec((any::<usize>(), any::<u8>()), 0..6),
        v6 in any::<bool>(),
        tags in vec(any::<u16>(), 0..4),
        keep in any::<usize>(),
    ) {
        let mut frame = frame(v6, &tags, b"question").bytes;
        for (at, to) in edits {
            let at = at % frame.len();
            frame[at] = to;
        }
        let kept = &frame[..keep % (frame.len() + 1)];
        let mut streams = Reassembler::new(Limits::default(), |port| port == 502);
        if let Ok(packet) = slice(LinkType::Ethernet, kept, frame.len()) {
            streams.push(Timestamp::EPOCH, &packet, &mut |_| {});
            streams.finish(&mut |_| {});
        }
    }

    #[test]
    fn slices_agree_with_etherparse(v6 in any::<bool>(), tags in vec(1_u16..4096, 0..3), payload in vec(any::<u8>(), 1..1440)) {
        let frame = frame(v6, &tags, &payload);
        let ours = frame.slice().unwrap();
        let theirs = etherparse::SlicedPacket::from_ethernet(&frame.bytes).unwrap();
        let Transport::Tcp(segment) = ours.transport else { panic!("{ours:?}") };
        let Some(etherparse::TransportSlice::Tcp(tcp)) = &theirs.transport else { panic!("{theirs:?}") };
        prop_assert_eq!(segment.payload, payload.as_slice());
        prop_assert_eq!(tcp.payload(), segment.payload);
        prop_assert_eq!((tcp.source_port(), tcp.destination_port()), (segment.source_port, segment.destination_port));
        prop_assert_eq!(tcp.sequence_number(), segment.sequence);
        prop_assert_eq!(tcp.acknowledgment_number(), segment.acknowledgment);
        prop_assert_eq!((tcp.psh(), tcp.ack(), tcp.syn(), tcp.fin(), tcp.rst()), (true, true, false, false, false));
        let ids: Vec<u16> = theirs.vlan_ids().iter().map(|id| id.value()).collect();
        prop_assert_eq!(ours.vlans.ids().collect::<Vec<_>>(), ids);
        // The checksums that were synthesised are right.
        match theirs.net.unwrap() {
            etherparse::NetSlice::Ipv4(ip) => {
                prop_assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
                prop_assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()).unwrap());
                prop_assert_eq!(ours.source, ip.header().source_addr());
                prop_assert_eq!(ours.destination, ip.header().destination_addr());
            }
            etherparse::NetSlice::Ipv6(ip) => {
                prop_assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination()).unwrap());
                prop_assert_eq!(ours.source, ip.header().source_addr());
                prop_assert_eq!(ours.destination, ip.header().destination_addr());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn datagrams_agree_with_etherparse(v6 in any::<bool>(), ports in any::<[u16; 2]>(), payload in vec(any::<u8>(), 0..300)) {
        let host = if v6 { ["fd00::9", "fd00::3"] } else { ["10.0.0.9", "10.0.0.3"] };
        let ends = [0, 1].map(|end| SocketAddr::new(host[end].parse().unwrap(), ports[end]));
        let frame = synth::udp(Timestamp::EPOCH, ends[0], ends[1], &payload).unwrap();
        let theirs = etherparse::SlicedPacket::from_ethernet(&frame.bytes).unwrap();
        let Some(etherparse::TransportSlice::Udp(udp)) = &theirs.transport else { panic!("{theirs:?}") };
        prop_assert_eq!(udp.payload(), payload.as_slice());
        let header = udp.to_header();
        let sum = match (ends[0].ip(), ends[1].ip()) {
            (std::net::IpAddr::V4(a), std::net::IpAddr::V4(b)) => {
                header.calc_checksum_ipv4_raw(a.octets(), b.octets(), &payload).unwrap()
            }
            (std::net::IpAddr::V6(a), std::net::IpAddr::V6(b)) => {
                header.calc_checksum_ipv6_raw(a.octets(), b.octets(), &payload).unwrap()
            }
            _ => unreachable!(),
        };
        prop_assert_eq!(udp.checksum(), sum);
        let ours = frame.slice().unwrap();
        prop_assert_eq!(ours.endpoints(), Some((ends[0], ends[1])));
        let Transport::Udp(datagram) = ours.transport else { panic!("{ours:?}") };
        prop_assert_eq!(datagram.payload, payload.as_slice());
    }

    /// Bytes that begin like a capture and go on like anything: no panic, and both readers say the same.
    #[test]
    fn any_bytes_are_a_file_or_not(
        beginning in 0_usize..4,
        noise in vec(prop_oneof![Just(0_u8), 0_u8..40, any::<u8>()], 0..200),
        at_once in 1_usize..40,
    ) {
        let mut ng = Ng::new(Order::Big);
        ng.interface(1, 0, &[]).enhanced(0, 0, b"x", 1);
        let mut file = match beginning {
            0 => vec![],
            1 => synth::pcap(&[]),
            2 => ng.bytes,
            _ => vec![0x0A, 0x0D, 0x0D, 0x0A, 28, 0, 0, 0, 0x4D, 0x3C, 0x2B, 0x1A],
        };
        file.extend(noise);
        let outcome = from_slice(&file);
        prop_assert_eq!(&from_reader(Dribble { rest: &file, at_once, interrupt: false }), &outcome);
    }

    /// Real files with a few bytes changed.
    #[test]
    fn damaged_files_are_read_as_far_as_they_go(
        edits in vec((any::<usize>(), any::<u8>()), 0..4),
        order in any::<bool>(),
        classic in any::<bool>(),
    ) {
        let mut talk = Conversation::v4("10.0.0.9:50000".parse().unwrap(), "10.0.0.3:502".parse().unwrap());
        talk.handshake().to_server(b"question").to_client(b"answer").finish();
        let mut file = if classic {
            synth::pcap(talk.frames())
        } else {
            let mut ng = Ng::new(if order { Order::Big } else { Order::Little });
            ng.interface(1, 0, &[(9, &[9])]).block(5, &[0; 20]);
            for frame in talk.frames() {
                ng.enhanced(0, 1, &frame.bytes, frame.bytes.len() as u32);
            }
            ng.bytes
        };
        for (at, to) in edits {
            let at = at % file.len();
            file[at] = to;
        }
        let outcome = from_slice(&file);
        prop_assert_eq!(&from_reader(file.as_slice()), &outcome);
        let mut streams = Reassembler::new(Limits::default(), |port| port == 502);
        for record in CaptureBytes::new(&file).flatten() {
            streams.push_record(&record, &mut |_| {});
        }
        streams.finish(&mut |_| {});
    }
}

fn frame(v6: bool, tags: &[u16], payload: &[u8]) -> synth::Frame {
    let mut talk = if v6 {
        Conversation::v6("[fd00::9]:50000".parse().unwrap(), "[fd00::3]:502".parse().unwrap())
    } else {
        Conversation::v4("10.0.0.9:50000".parse().unwrap(), "10.0.0.3:502".parse().unwrap())
    };
    talk.vlans(tags).to_server(payload);
    talk.into_frames().remove(0)
}

/// A hand-made segment is the same packet as a conversation's.
#[test]
fn a_segment_by_hand_is_like_any_other() {
    let by_hand = Segment {
        source: "10.0.0.9:50000".parse().unwrap(),
        destination: "10.0.0.3:502".parse().unwrap(),
        sequence: 1_000_000,
        acknowledgment: 2_000_000,
        flags: TcpFlags::PSH | TcpFlags::ACK,
        payload: b"question",
    };
    assert_eq!(by_hand.frame(Timestamp::EPOCH).unwrap().bytes, frame(false, &[], b"question").bytes);
    let mixed = Segment { destination: "[fd00::3]:502".parse().unwrap(), ..by_hand };
    assert_eq!(mixed.frame(Timestamp::EPOCH), None);
    assert_eq!(Segment { payload: &[0; 65_535], ..by_hand }.frame(Timestamp::EPOCH), None);
}
