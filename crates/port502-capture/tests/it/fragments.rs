//! IP fragments: in any order, twice, contradictory, too many, too late.

use std::time::Duration;

use port502_capture::{
    Defragmenter, Event, FragmentLimits, Limits, LinkType, Reassembler, StreamEventKind, Timestamp,
    Transport, Unsliced, slice,
};

use crate::packets::{ipv4, ipv6};

/// A TCP segment of 20 + 28 bytes, in parts.
const SEGMENT: &[u8; 48] =
    b"\x12\x34\x01\xF6\x00\x00\x00\x64\x00\x00\x00\x00\x50\x18\x20\x00\x00\x00\x00\x00a payload that is in 4 parts";

fn v4(from: usize, to: usize) -> Vec<u8> {
    let more = if to < SEGMENT.len() { 0x2000 } else { 0 };
    ipv4(6, more | (from / 8) as u16, &SEGMENT[from..to])
}

fn v6(from: usize, to: usize) -> Vec<u8> {
    let field = from as u16 | u16::from(to < SEGMENT.len());
    let mut body = vec![6, 0];
    body.extend(field.to_be_bytes());
    body.extend([0, 0, 0, 1]);
    body.extend(&SEGMENT[from..to]);
    ipv6(44, &body)
}

fn push(table: &mut Defragmenter, at: i64, packet: &[u8]) -> Result<Option<Vec<u8>>, Unsliced> {
    let packet = slice(LinkType::RawIp, packet, packet.len()).unwrap();
    let whole = table.push(Timestamp::from_nanos(at), &packet)?;
    Ok(whole.map(|whole| match whole.slice().unwrap().transport {
        Transport::Tcp(segment) => segment.payload.to_vec(),
        other => panic!("{other:?}"),
    }))
}

const WHOLE: &[u8] = b"a payload that is in 4 parts";

#[test]
fn any_order_gives_the_whole_once() {
    let cuts = [(0, 8), (8, 24), (24, 40), (40, 48)];
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]];
    for part in [v4, v6] {
        for order in orders {
            let mut table = Defragmenter::new(FragmentLimits::default());
            for (step, index) in order.into_iter().enumerate() {
                let packet = part(cuts[index].0, cuts[index].1);
                let want = (step == 3).then(|| WHOLE.to_vec());
                assert_eq!(push(&mut table, 0, &packet), Ok(want), "{order:?}");
                if step < 3 {
                    assert_eq!(push(&mut table, 0, &packet), Ok(None), "an exact repetition");
                }
            }
            assert_eq!((table.waiting(), table.dropped()), (0, 0));
        }
    }
}

#[test]
fn contradictions_drop_the_whole() {
    let edited = |mut packet: Vec<u8>| {
        let last = packet.len() - 1;
        packet[last] ^= 1;
        packet
    };
    let rows = [
        (vec![v4(0, 16)], v4(8, 24), Unsliced::FragmentOverlap),
        (vec![v4(8, 24)], v4(0, 16), Unsliced::FragmentOverlap),
        (vec![v4(8, 16)], v4(0, 24), Unsliced::FragmentOverlap),
        (vec![v4(0, 16)], edited(v4(0, 16)), Unsliced::FragmentOverlap),
        (vec![v4(40, 48)], ipv4(6, 7, b"behind"), Unsliced::FragmentRange { offset: 56, len: 6 }),
        (vec![v4(16, 24)], ipv4(6, 1, b"the end"), Unsliced::FragmentRange { offset: 8, len: 7 }),
        (vec![], ipv4(6, 0x2000, b""), Unsliced::FragmentRange { offset: 0, len: 0 }),
        (vec![], ipv4(6, 0x2000, b"seven.."), Unsliced::FragmentRange { offset: 0, len: 7 }),
        (vec![], ipv4(6, 0x1FFF, b"too far."), Unsliced::FragmentRange { offset: 65_528, len: 8 }),
    ];
    for (before, last, want) in rows {
        let mut table = Defragmenter::new(FragmentLimits::default());
        for packet in &before {
            assert_eq!(push(&mut table, 0, packet), Ok(None));
        }
        assert_eq!(push(&mut table, 0, &last), Err(want));
        assert_eq!(table.waiting(), 0, "{want:?}");
    }
}

#[test]
fn the_table_is_bounded() {
    let limits = FragmentLimits { packets: 2, parts: 2, wait: Duration::from_nanos(10) };
    let mut table = Defragmenter::new(limits);
    let other = |id: u8, mut packet: Vec<u8>| {
        packet[5] = id;
        packet
    };
    for id in 1..=3 {
        assert_eq!(push(&mut table, i64::from(id), &other(id, v4(0, 16))), Ok(None));
    }
    assert_eq!((table.waiting(), table.dropped()), (2, 1), "the oldest went");
    assert_eq!(push(&mut table, 4, &other(1, v4(16, 48))), Ok(None), "its end comes too late");
    assert_eq!(push(&mut table, 4, &other(3, v4(16, 48))), Ok(Some(WHOLE.to_vec())));
    assert_eq!(push(&mut table, 30, &other(1, v4(0, 16))), Ok(None), "waited for too long");
    assert_eq!(push(&mut table, 31, &other(1, v4(16, 24))), Ok(None));
    assert_eq!(push(&mut table, 32, &other(1, v4(24, 48))), Err(Unsliced::FragmentCount));
}

#[test]
fn a_cut_fragment_is_told() {
    let whole = v4(0, 16);
    let packet = slice(LinkType::RawIp, &whole[..30], whole.len()).unwrap();
    let mut table = Defragmenter::new(FragmentLimits::default());
    assert_eq!(table.push(Timestamp::EPOCH, &packet), Err(Unsliced::FragmentCut));
}

#[test]
fn streams_take_fragments_as_they_come() {
    let mut streams = Reassembler::new(Limits::default(), |port| port == 502);
    let mut seen = Vec::new();
    let mut odd = Vec::new();
    let mut sink = |event: Event<'_>| match event {
        Event::Stream(event) => {
            if let StreamEventKind::Data(bytes) = event.kind {
                seen.extend_from_slice(bytes);
            }
        }
        Event::NotSliced { why, .. } => odd.push(why),
        Event::Datagram(_) => {}
    };
    // The last one: in fragments once more.
    let mut nested = vec![44, 0, 0, 1, 0, 0, 0, 9];
    nested.extend([6, 0, 0, 1, 0, 0, 0, 9]);
    let mut end = vec![44, 0, 0, 8, 0, 0, 0, 9];
    end.extend([0; 8]);
    for packet in [v4(24, 48), v4(0, 24), ipv6(44, &nested), ipv6(44, &end)] {
        let packet = slice(LinkType::RawIp, &packet, packet.len()).unwrap();
        streams.push(Timestamp::EPOCH, &packet, &mut sink);
    }
    streams.finish(&mut sink);
    assert_eq!(seen, WHOLE);
    assert_eq!(odd, [Unsliced::FragmentNested]);
    assert_eq!(streams.counters().fragments, 4);
}
