//! Capture files: whole, cut at every byte, and wrong.

use std::io::{self, Read};

use port502_capture::synth::{PcapWriter, Resolution};
use port502_capture::{
    BLOCK_MAX, CAPTURED_MAX, Capture, CaptureBytes, CaptureError, End, FormatError, LinkType, Timestamp,
};

use crate::pcapng::{Ng, Order};

/// A record without its lifetime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) at: i64,
    pub(crate) link: LinkType,
    pub(crate) bytes: Vec<u8>,
    pub(crate) original_len: u32,
    pub(crate) interface: u32,
    pub(crate) number: u64,
    pub(crate) offset: u64,
}

pub(crate) type Outcome = (Vec<Owned>, Option<FormatError>, End);

fn own(record: port502_capture::Record<'_>) -> Owned {
    let port502_capture::Record { at, link, bytes, original_len, interface, number, offset } = record;
    Owned { at: at.nanos(), link, bytes: bytes.to_vec(), original_len, interface, number, offset }
}

pub(crate) fn from_slice(file: &[u8]) -> Outcome {
    let mut capture = CaptureBytes::new(file);
    let (mut records, mut error) = (Vec::new(), None);
    for record in capture.by_ref() {
        match record {
            Ok(record) => records.push(own(record)),
            Err(why) => assert!(error.replace(why).is_none(), "one error at most"),
        }
    }
    assert!(capture.next().is_none(), "the end is the end");
    (records, error, capture.end())
}

pub(crate) fn from_reader(source: impl Read) -> Outcome {
    let mut capture = Capture::new(source);
    let mut records = Vec::new();
    let error = loop {
        match capture.next_record() {
            Ok(Some(record)) => records.push(own(record)),
            Ok(None) => break None,
            Err(CaptureError::Format(why)) => break Some(why),
            Err(CaptureError::Io { source, .. }) => panic!("{source}"),
        }
    };
    assert!(capture.next_record().unwrap().is_none(), "the end is the end");
    (records, error, capture.end())
}

/// Gives at most so many bytes at a time, and interrupts in between.
pub(crate) struct Dribble<'a> {
    pub(crate) rest: &'a [u8],
    pub(crate) at_once: usize,
    pub(crate) interrupt: bool,
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt = !self.interrupt;
        if self.interrupt {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = self.at_once.min(buffer.len());
        self.rest.read(&mut buffer[..len])
    }
}

/// Both readers, and one that gets a byte at a time: they agree.
#[track_caller]
pub(crate) fn read(file: &[u8]) -> Outcome {
    let outcome = from_slice(file);
    assert_eq!(from_reader(file), outcome, "reader and slice");
    if file.len() < 10_000 {
        let dribble = Dribble { rest: file, at_once: 1, interrupt: false };
        assert_eq!(from_reader(dribble), outcome, "byte by byte");
    }
    outcome
}

fn classic(magic: [u8; 4], link: u32, records: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
    let big = magic[0] == 0xA1;
    let u32 = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = magic.to_vec();
    file.extend([0; 12]);
    file.extend(u32(65_535));
    file.extend(u32(link));
    for (seconds, fraction, packet, original) in records {
        for field in [*seconds, *fraction, packet.len() as u32, *original] {
            file.extend(u32(field));
        }
        file.extend(*packet);
    }
    file
}

const LITTLE_MICRO: [u8; 4] = [0xD4, 0xC3, 0xB2, 0xA1];

#[test]
fn classic_in_all_four_kinds() {
    let kinds = [
        ([0xA1, 0xB2, 0xC3, 0xD4], 1000),
        (LITTLE_MICRO, 1000),
        ([0xA1, 0xB2, 0x3C, 0x4D], 1),
        ([0x4D, 0x3C, 0xB2, 0xA1], 1),
    ];
    for (magic, unit) in kinds {
        let file = classic(magic, 1, &[(7, 5, b"first", 5), (u32::MAX, 999_999, b"second, cut", 1500)]);
        let (records, error, end) = read(&file);
        assert_eq!((error, end), (None, End::Whole));
        let want = [
            (7_000_000_000 + 5 * unit, b"first".to_vec(), 5, 1, 24),
            (4_294_967_295_000_000_000 + 999_999 * unit, b"second, cut".to_vec(), 1500, 2, 45),
        ];
        let got: Vec<_> =
            records.into_iter().map(|r| (r.at, r.bytes, r.original_len, r.number, r.offset)).collect();
        assert_eq!(got, want, "{magic:02x?}");
    }
}

#[test]
fn classic_link_types() {
    let rows = [
        (0, LinkType::Null),
        (1, LinkType::Ethernet),
        (12, LinkType::RawIp),
        (14, LinkType::RawIp),
        (101, LinkType::RawIp),
        (228, LinkType::RawIp),
        (229, LinkType::RawIp),
        (108, LinkType::Loop),
        (113, LinkType::LinuxSll),
        (276, LinkType::LinuxSll2),
        (0x1400_0001, LinkType::Ethernet), // with a frame check sequence of four bytes
    ];
    for (number, link) in rows {
        let (records, error, _) = read(&classic(LITTLE_MICRO, number, &[(0, 0, b"x", 1)]));
        assert_eq!(error, None);
        assert_eq!(records[0].link, link, "{number}");
        assert_eq!(LinkType::from_number(link.number()), link);
    }
}

#[test]
fn cut_anywhere_gives_every_whole_record_and_says_what_is_left() {
    let packets: [&[u8]; 3] = [b"one", b"", b"three"];
    let records: Vec<_> = packets.iter().map(|packet| (1, 2, *packet, packet.len() as u32)).collect();
    let file = classic(LITTLE_MICRO, 1, &records);
    let mut ng = Ng::new(Order::Big);
    ng.interface(1, 0, &[]).block(0xBAD, b"unknown").enhanced(0, 1, b"one", 3);
    ng.enhanced(0, 2, b"", 0).block(5, &[0; 40]).simple(b"three", 5);
    let rows = [(file, vec![24, 43, 59, 80]), (ng.bytes, vec![0, 28, 48, 68, 104, 136, 188, 212])];
    for (file, mut bounds) in rows {
        assert_eq!(bounds.last(), Some(&file.len()));
        bounds.insert(0, 0);
        let (whole, error, end) = read(&file);
        assert_eq!((whole.len(), error, end), (3, None, End::Whole));
        for cut in 4..file.len() {
            let (records, error, end) = read(&file[..cut]);
            assert_eq!(error, None, "cut at {cut}");
            let delivered = whole.iter().filter(|r| file_end(r, &bounds) <= cut).count();
            assert_eq!(records, whole[..delivered], "cut at {cut}");
            let start = *bounds.iter().rfind(|bound| **bound <= cut).unwrap();
            let left = (cut - start) as u64;
            let want = if left == 0 { End::Whole } else { End::Cut { offset: start as u64, bytes: left } };
            assert_eq!(end, want, "cut at {cut}");
        }
    }
}

fn file_end(record: &Owned, bounds: &[usize]) -> usize {
    *bounds.iter().find(|bound| **bound as u64 > record.offset).unwrap()
}

#[test]
fn a_section_has_an_order_and_interfaces_of_its_own() {
    let mut ng = Ng::new(Order::Little);
    ng.interface(1, 65_535, &[(2, b"eth0"), (9, &[9])])
        .interface(113, 0, &[(9, &[0x80 | 10]), (14, &1_i64.to_le_bytes())])
        .enhanced(0, 7_000_000_001, b"a", 1)
        .enhanced(1, 512, b"b", 1)
        .simple(b"c", 1)
        .obsolete(0, 8, b"d", 100);
    ng.section(Order::Big).interface(147, 3, &[(1, b"a comment"), (0, b"")]);
    ng.enhanced(0, 1_000_001, b"e", 1).simple(b"sim", 70).block(3, &70_u32.to_be_bytes());
    let (records, error, end) = read(&ng.bytes);
    assert_eq!((error, end), (None, End::Whole));
    let got: Vec<_> =
        records.iter().map(|r| (r.at, r.interface, r.link, r.bytes.as_slice(), r.original_len)).collect();
    let unknown = LinkType::Other(147);
    assert_eq!(
        got,
        [
            (7_000_000_001, 0, LinkType::Ethernet, b"a".as_slice(), 1),
            (1_500_000_000, 1, LinkType::LinuxSll, b"b", 1),
            (1_500_000_000, 0, LinkType::Ethernet, b"c", 1),
            (8, 0, LinkType::Ethernet, b"d", 100),
            (1_000_001_000, 0, unknown, b"e", 1),
            (1_000_001_000, 0, unknown, b"sim", 70),
            (1_000_001_000, 0, unknown, b"", 70),
        ]
    );
}

#[test]
fn long_blocks_are_passed_over_without_being_held() {
    let mut ng = Ng::new(Order::Little);
    ng.interface(1, 0, &[]).block(10, &vec![7; 3 * BLOCK_MAX]).enhanced(0, 1, b"behind", 6);
    let (records, error, end) = read(&ng.bytes);
    assert_eq!((records.len(), error, end), (1, None, End::Whole));
    let cut = 28 + 20 + 2 * BLOCK_MAX;
    let want = End::Cut { offset: 48, bytes: 2 * BLOCK_MAX as u64 };
    assert_eq!(read(&ng.bytes[..cut]), (vec![], None, want));
}

#[test]
fn the_longest_packet_fits_and_one_more_byte_does_not() {
    for (len, fits) in [(CAPTURED_MAX, true), (CAPTURED_MAX + 1, false)] {
        let packet = vec![1; len];
        let two = [(0, 0, b"before".as_slice(), 6), (0, 0, &packet, len as u32)];
        let mut ng = Ng::new(Order::Little);
        ng.interface(1, 0, &[]).enhanced(0, 0, b"before", 6).enhanced(0, 0, &packet, len as u32);
        for (file, offset) in [(classic(LITTLE_MICRO, 1, &two), 46), (ng.bytes, 88)] {
            let (records, error, end) = read(&file);
            if fits {
                assert_eq!((records.len(), error, end), (2, None, End::Whole));
            } else {
                let claims = len as u32;
                assert_eq!((records.len(), error), (1, Some(FormatError::PacketTooLong { offset, claims })));
                assert_eq!(end, End::Broken { offset });
            }
        }
    }
}

#[track_caller]
fn wrong(file: &[u8], delivered: usize, want: FormatError) {
    let (records, error, end) = read(file);
    assert_eq!((records.len(), error), (delivered, Some(want)));
    assert!(matches!(end, End::Broken { .. }));
    assert!(!want.to_string().is_empty());
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    wrong(b"", 0, FormatError::TooShort { bytes: 0 });
    wrong(&[0xD4, 0xC3, 0xB2], 0, FormatError::TooShort { bytes: 3 });
    wrong(b"PK\x03\x04 a zip", 0, FormatError::NotACapture { first: *b"PK\x03\x04" });
    let unknown = FormatError::UnknownLinkType { offset: 20, link_type: 147 };
    wrong(&classic(LITTLE_MICRO, 147, &[]), 0, unknown);
    let mut garbage = classic(LITTLE_MICRO, 1, &[(0, 0, b"good", 4)]);
    garbage.extend([0xFF; 16]);
    wrong(&garbage, 1, FormatError::PacketTooLong { offset: 44, claims: u32::MAX });

    let start = || {
        let mut ng = Ng::new(Order::Little);
        ng.interface(1, 0, &[]).enhanced(0, 0, b"good", 4);
        ng // 84 bytes
    };
    let mut ng = start();
    ng.bytes.extend([0x0A, 0x0D, 0x0D, 0x0A, 28, 0, 0, 0, 1, 2, 3, 4]);
    wrong(&ng.bytes, 1, FormatError::ByteOrder { offset: 84, found: [1, 2, 3, 4] });
    for claims in [0_u32, 8, 13] {
        let mut ng = start();
        ng.bytes.extend([5, 0, 0, 0]);
        ng.bytes.extend(claims.to_le_bytes());
        wrong(&ng.bytes, 1, FormatError::BlockLength { offset: 84, block_type: 5, claims });
    }
    for (block_type, claims) in [(0x0A0D_0D0A, 24), (1, 16), (2, 28), (3, 12), (6, 28)] {
        let mut ng = start();
        let body = if block_type == 0x0A0D_0D0A { vec![0x4D, 0x3C, 0x2B, 0x1A] } else { vec![] };
        ng.block(block_type, &body);
        ng.bytes[88..92].copy_from_slice(&u32::to_le_bytes(claims));
        wrong(&ng.bytes, 1, FormatError::BlockLength { offset: 84, block_type, claims });
    }
    let mut ng = start();
    let claims = BLOCK_MAX as u32 + 4;
    ng.bytes.extend([6, 0, 0, 0]);
    ng.bytes.extend(claims.to_le_bytes());
    wrong(&ng.bytes, 1, FormatError::BlockTooLong { offset: 84, block_type: 6, claims });
    let mut ng = start();
    let last = ng.enhanced(0, 0, b"good", 4).bytes.len() - 4;
    ng.bytes[last] = 99;
    wrong(&ng.bytes, 1, FormatError::BlockLengthsDiffer { offset: 84, start: 36, end: 99 });
    wrong(
        &start().enhanced(1, 0, b"x", 1).bytes,
        1,
        FormatError::UnknownInterface { offset: 84, interface: 1 },
    );
    let mut ng = Ng::new(Order::Little);
    ng.simple(b"x", 1);
    wrong(&ng.bytes, 0, FormatError::UnknownInterface { offset: 28, interface: 0 });
    let mut ng = start();
    ng.enhanced(0, 0, b"four", 4);
    ng.bytes[84 + 8 + 12] = 5;
    wrong(&ng.bytes, 1, FormatError::PacketPastBlock { offset: 84, claims: 5, room: 4 });
    let mut ng = Ng::new(Order::Little);
    for _ in 0..=port502_capture::INTERFACES_MAX {
        ng.interface(1, 0, &[]);
    }
    let offset = 28 + 20 * port502_capture::INTERFACES_MAX as u64;
    wrong(&ng.bytes, 0, FormatError::TooManyInterfaces { offset });
}

#[test]
fn a_source_that_fails_is_told_after_what_it_gave() {
    struct Fails<'a>(&'a [u8]);
    impl Read for Fails<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::ErrorKind::PermissionDenied.into()),
                some => Ok(some),
            }
        }
    }
    let file = classic(LITTLE_MICRO, 1, &[(0, 0, b"good", 4), (0, 0, b"cut", 3)]);
    let mut capture = Capture::new(Fails(&file[..50]));
    assert_eq!(capture.next_record().unwrap().unwrap().bytes, b"good");
    match capture.next_record() {
        Err(CaptureError::Io { offset: 50, source }) => {
            assert_eq!(source.kind(), io::ErrorKind::PermissionDenied)
        }
        other => panic!("{other:?}"),
    }
    assert!(capture.next_record().unwrap().is_none());
    assert_eq!(capture.end(), End::Broken { offset: 50 });
}

#[test]
fn the_writer_writes_what_the_reader_reads() {
    let at = Timestamp::from_seconds(1_700_000_000, 123_456_789);
    for (resolution, nanos) in
        [(Resolution::Microseconds, 1_700_000_000_123_456_000), (Resolution::Nanoseconds, at.nanos())]
    {
        let mut writer = PcapWriter::new(Vec::new(), LinkType::LinuxSll, resolution).unwrap();
        writer.write(at, b"whole").unwrap();
        writer.write_cut(at, b"cut", 1500).unwrap();
        assert!(writer.write(Timestamp::from_nanos(-1), b"").is_err());
        assert!(writer.write(Timestamp::from_seconds(1 << 32, 0), b"").is_err());
        assert!(writer.write(at, &vec![0; CAPTURED_MAX + 1]).is_err());
        let (records, error, end) = read(&writer.into_inner().unwrap());
        assert_eq!((error, end), (None, End::Whole));
        let got: Vec<_> =
            records.iter().map(|r| (r.at, r.link, r.bytes.as_slice(), r.original_len)).collect();
        let link = LinkType::LinuxSll;
        assert_eq!(got, [(nanos, link, b"whole".as_slice(), 5), (nanos, link, b"cut", 1500)]);
    }
}
