//! What the strict parser refuses, with what error, and which exception a server owes for it; each limit on both
//! sides. The lenient view names the same fault.

use crate::hex;
use port502_wire::{Anomalies, Anomaly, PduError, Request, Response, view};

/// A request that is refused, and the exception code it is owed.
#[track_caller]
fn refuse(pdu: impl AsRef<[u8]>, want: PduError, exception: u8) {
    let pdu = pdu.as_ref();
    assert_eq!(Request::parse(pdu), Err(want), "request {pdu:02x?}");
    assert_eq!(want.exception().code(), exception, "request {pdu:02x?}: {want}");
    assert_eq!(view::request(pdu).anomalies, Anomaly::from(want).into(), "request {pdu:02x?}");
}

/// A response that is refused.
#[track_caller]
fn refuse_response(pdu: impl AsRef<[u8]>, want: PduError) {
    let pdu = pdu.as_ref();
    assert_eq!(Response::parse(pdu), Err(want), "response {pdu:02x?}");
    assert_eq!(view::response(pdu).anomalies, Anomaly::from(want).into(), "response {pdu:02x?}");
}

#[track_caller]
fn accept(pdu: impl AsRef<[u8]>) {
    let pdu = pdu.as_ref();
    assert!(Request::parse(pdu).is_ok(), "request {pdu:02x?}: {:?}", Request::parse(pdu));
    assert_eq!(view::request(pdu).anomalies, Anomalies::NONE, "request {pdu:02x?}");
}

#[track_caller]
fn accept_response(pdu: impl AsRef<[u8]>) {
    let pdu = pdu.as_ref();
    assert!(Response::parse(pdu).is_ok(), "response {pdu:02x?}: {:?}", Response::parse(pdu));
    assert_eq!(view::response(pdu).anomalies, Anomalies::NONE, "response {pdu:02x?}");
}

/// `head` and so many zero bytes.
fn zeros(head: &str, count: usize) -> Vec<u8> {
    let mut pdu = hex(head);
    pdu.resize(pdu.len() + count, 0);
    pdu
}

const fn quantity(function: u8, got: u16, max: u16) -> PduError {
    PduError::Quantity { function, got, max }
}

const fn byte_count(function: u8, got: u16, implied: u16) -> PduError {
    PduError::ByteCount { function, got, implied }
}

const fn truncated(function: u8, offset: usize) -> PduError {
    PduError::Truncated { function, offset }
}

const fn trailing(function: u8, offset: usize) -> PduError {
    PduError::Trailing { function, offset }
}

const fn address(function: u8, start: u16, count: u16) -> PduError {
    PduError::Address { function, start, count }
}

const fn value(function: u8, offset: usize, got: u16) -> PduError {
    PduError::Value { function, offset, got }
}

#[test]
fn function_codes() {
    refuse([], PduError::Empty, 1);
    refuse([0], PduError::Function { function: 0 }, 1);
    refuse([0, 0, 0, 0, 1], PduError::Function { function: 0 }, 1);
    refuse([0x80], PduError::Function { function: 0x80 }, 1);
    refuse(hex("83 0000 0001"), PduError::Function { function: 0x83 }, 1);
    refuse([0xFF], PduError::Function { function: 0xFF }, 1);
    // The function comes first: no length can make another fault of it.
    refuse([0; 254], PduError::Function { function: 0 }, 1);
    refuse([0x83; 254], PduError::Function { function: 0x83 }, 1);
    refuse([0x41; 254], PduError::TooLong { function: 0x41, len: 254 }, 3);
    for function in [9, 10, 13, 14, 19, 25, 41, 42, 44, 0x42, 90, 100, 127] {
        accept([function]);
        accept([function; 253]);
    }
}

/// One byte short and one byte long, of every function whose length the first bytes tell.
#[test]
fn one_byte_short_and_one_byte_long() {
    for (pdu, at) in [
        ("01 0000 0001", 5),
        ("02 0000 0001", 5),
        ("03 0000 0001", 5),
        ("04 0000 0001", 5),
        ("05 0000 FF00", 5),
        ("06 0000 0001", 5),
        ("08 0001 0000", 5),
        ("08 000A 0000", 5),
        ("16 0000 0000 0000", 7),
        ("18 0000", 3),
        ("2B 0E 01 00", 4),
    ] {
        let pdu = hex(pdu);
        accept(&pdu);
        for short in 1..at {
            refuse(&pdu[..short], truncated(pdu[0], short), 3);
        }
        refuse([&pdu[..], &[0]].concat(), trailing(pdu[0], at), 3);
    }
    for function in [7, 11, 12, 17] {
        accept([function]);
        refuse([function, 0], trailing(function, 1), 3);
    }
    for (pdu, head) in
        [("0F 0000 0001 01 01", 6), ("10 0000 0001 02 0001", 6), ("17 0000 0001 0000 0001 02 0001", 10)]
    {
        let pdu = hex(pdu);
        let (function, count) = (pdu[0], u16::from(pdu[head - 1]));
        accept(&pdu);
        for short in 1..head {
            refuse(&pdu[..short], truncated(function, short), 3);
        }
        for there in 0..count {
            refuse(&pdu[..head + usize::from(there)], byte_count(function, count, there), 3);
        }
        refuse([&pdu[..], &[0]].concat(), byte_count(function, count, count + 1), 3);
    }
}

#[test]
fn reads() {
    for function in [1, 2] {
        refuse([function, 0, 0, 0, 0], quantity(function, 0, 2000), 3);
        accept([function, 0, 0, 0, 1]);
        accept([function, 0, 0, 0x07, 0xD0]);
        refuse([function, 0, 0, 0x07, 0xD1], quantity(function, 2001, 2000), 3);
        refuse([function, 0, 0, 0xFF, 0xFF], quantity(function, 0xFFFF, 2000), 3);
        accept([function, 0xF8, 0x30, 0x07, 0xD0]);
        refuse([function, 0xF8, 0x31, 0x07, 0xD0], address(function, 0xF831, 2000), 2);
        refuse([function, 0xF8, 0x31, 0x07, 0xD1], quantity(function, 2001, 2000), 3);
    }
    for function in [3, 4] {
        refuse([function, 0, 0, 0, 0], quantity(function, 0, 125), 3);
        accept([function, 0, 0, 0, 125]);
        refuse([function, 0, 0, 0, 126], quantity(function, 126, 125), 3);
        accept([function, 0xFF, 0xFF, 0, 1]);
        refuse([function, 0xFF, 0xFF, 0, 2], address(function, 0xFFFF, 2), 2);
        refuse([function, 0xFF, 0xFF, 0, 126], quantity(function, 126, 125), 3);
        refuse([function, 0xFF, 0xFF, 0, 0], quantity(function, 0, 125), 3);
        accept([function, 0xFF, 0x83, 0, 125]);
        refuse([function, 0xFF, 0x84, 0, 125], address(function, 0xFF84, 125), 2);
    }
}

#[test]
fn single_writes() {
    accept(hex("05 FFFF 0000"));
    accept(hex("05 FFFF FF00"));
    for got in [0x0001, 0x00FF, 0x1234, 0xFF01, 0xFFFF] {
        refuse(hex(&format!("05 0000 {got:04X}")), value(5, 3, got), 3);
        refuse_response(hex(&format!("05 0000 {got:04X}")), value(5, 3, got));
    }
    accept(hex("06 FFFF FFFF"));
    accept(hex("16 FFFF 0000 FFFF"));
    accept(hex("18 FFFF"));
}

#[test]
fn multiple_writes() {
    // Coils: 1 to 1968, in the bytes that they take.
    accept(hex("0F 0000 0008 01 00"));
    refuse(hex("0F 0000 0009 01 00"), byte_count(15, 1, 2), 3);
    refuse(hex("0F 0000 0064 01 00"), byte_count(15, 1, 13), 3);
    refuse(hex("0F 0000 0008 02 0000"), byte_count(15, 2, 1), 3);
    refuse(hex("0F 0000 0000 00"), quantity(15, 0, 1968), 3);
    refuse(zeros("0F 0000 0000 00", 6), quantity(15, 0, 1968), 3);
    accept(zeros("0F 0000 07B0 F6", 246));
    refuse(zeros("0F 0000 07B0 F6", 245), byte_count(15, 246, 245), 3);
    refuse(zeros("0F 0000 07B1 F7", 247), quantity(15, 1969, 1968), 3);
    refuse(hex("0F 0000 07B1 01 00"), quantity(15, 1969, 1968), 3);
    accept(hex("0F FFFF 0001 01 00"));
    refuse(hex("0F FFFF 0002 01 00"), address(15, 0xFFFF, 2), 2);
    refuse(hex("0F FFFF 0002 02 0000"), byte_count(15, 2, 1), 3);
    // Registers: 1 to 123, in twice as many bytes.
    refuse(hex("10 0000 0001 01 00"), byte_count(16, 1, 2), 3);
    refuse(hex("10 0000 0001 03 000000"), byte_count(16, 3, 2), 3);
    refuse(hex("10 0000 0001 04 00000000"), byte_count(16, 4, 2), 3);
    refuse(hex("10 0000 0001 F9 0000"), byte_count(16, 249, 2), 3);
    refuse(hex("10 0000 007B F9 0000"), byte_count(16, 249, 246), 3);
    refuse(hex("10 0000 0000 00"), quantity(16, 0, 123), 3);
    refuse(zeros("10 0000 0000 00", 6), quantity(16, 0, 123), 3);
    accept(zeros("10 0000 007B F6", 246));
    refuse(zeros("10 0000 007B F6", 247), byte_count(16, 246, 247), 3);
    refuse(zeros("10 0000 007C F7", 247), quantity(16, 124, 123), 3);
    refuse(zeros("10 0000 007C F8", 248), PduError::TooLong { function: 16, len: 254 }, 3);
    // 0x8001 doubled has lost its highest bit in 16 bits.
    refuse(hex("10 0000 8001 02 0000"), quantity(16, 0x8001, 123), 3);
    accept(hex("10 FFFF 0001 02 0000"));
    refuse(hex("10 FFFF 0002 04 00000000"), address(16, 0xFFFF, 2), 2);
    refuse(hex("10 FFFF 0002 02 0000"), byte_count(16, 2, 4), 3);
}

#[test]
fn read_write_multiple() {
    accept(zeros("17 0000 007D 0000 0079 F2", 242));
    refuse(hex("17 0000 0000 0000 0001 02 0000"), quantity(23, 0, 125), 3);
    refuse(hex("17 0000 007E 0000 0001 02 0000"), quantity(23, 126, 125), 3);
    refuse(hex("17 0000 0001 0000 0000 00"), quantity(23, 0, 121), 3);
    refuse(zeros("17 0000 0001 0000 007A F3", 243), quantity(23, 122, 121), 3);
    refuse(hex("17 0000 0001 0000 0002 02 0000"), byte_count(23, 2, 4), 3);
    refuse(hex("17 0000 0001 0000 0001 04 0000"), byte_count(23, 4, 2), 3);
    // Every quantity and count (03) is looked at before any address (02).
    refuse(hex("17 FFFF 0002 0000 0001 02 0000"), address(23, 0xFFFF, 2), 2);
    refuse(hex("17 0000 0001 FFFF 0002 04 00000000"), address(23, 0xFFFF, 2), 2);
    refuse(hex("17 FFFF 0002 0000 0000 00"), quantity(23, 0, 121), 3);
    refuse(hex("17 FFFF 0002 0000 0001 04 0000"), byte_count(23, 4, 2), 3);
    refuse(hex("17 0000 007E FFFF 0002 04 00000000"), quantity(23, 126, 125), 3);
    refuse(hex("17 FFFF 007E 0000 0001 02 0000"), quantity(23, 126, 125), 3);
}

#[test]
fn diagnostics() {
    // The echo takes any number of words.
    for words in [1, 2, 100, 125] {
        accept(zeros("08 0000", 2 * words));
        accept_response(zeros("08 0000", 2 * words));
    }
    refuse(hex("08 0000"), truncated(8, 3), 3);
    refuse(hex("08 0000 00"), truncated(8, 4), 3);
    refuse(hex("08 0000 000000"), truncated(8, 6), 3);
    accept(hex("08 0001 0000"));
    accept(hex("08 0001 FF00"));
    refuse(hex("08 0001 0001"), value(8, 3, 1), 3);
    refuse(hex("08 0001 FF01"), value(8, 3, 0xFF01), 3);
    accept(hex("08 0003 0000"));
    accept(hex("08 0003 FF00"));
    refuse(hex("08 0003 2301"), value(8, 3, 0x2301), 3);
    for sub_function in [2, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20] {
        accept(hex(&format!("08 {sub_function:04x} 0000")));
        refuse(hex(&format!("08 {sub_function:04x} 0001")), value(8, 3, 1), 3);
        refuse(hex(&format!("08 {sub_function:04x} FF00")), value(8, 3, 0xFF00), 3);
        refuse(hex(&format!("08 {sub_function:04x} 0000 0000")), trailing(8, 5), 3);
        refuse_response(hex(&format!("08 {sub_function:04x}")), truncated(8, 3));
        refuse_response(hex(&format!("08 {sub_function:04x} 00000000")), trailing(8, 5));
    }
    // Of the reserved ones nothing is known: the server refuses the number, with exception 01.
    for sub_function in [5, 9, 19, 21, 99, 0xFFFF] {
        accept(hex(&format!("08 {sub_function:04x}")));
        accept(hex(&format!("08 {sub_function:04x} 010203")));
    }
}

#[test]
fn file_reads() {
    let bad = |offset| PduError::FileReference { function: 20, offset };
    accept(hex("14 07 06 0001 0000 0001"));
    accept(hex("14 07 06 FFFF 270F 0001"));
    refuse(hex("14"), truncated(20, 1), 3);
    refuse(hex("14 00"), byte_count(20, 0, 7), 3);
    refuse(hex("14 06 06 0001 0000 00"), byte_count(20, 6, 7), 3);
    refuse(hex("14 07 06 0001 0000 00"), byte_count(20, 7, 7), 3);
    refuse(hex("14 08 06 0001 0000 0001 06"), truncated(20, 9), 3);
    refuse(hex("14 07 06 0001 0000 0001 06"), byte_count(20, 7, 8), 3);
    refuse(hex("14 07 07 0001 0000 0001"), bad(2), 2);
    refuse(hex("14 07 06 0000 0000 0001"), bad(2), 2);
    refuse(hex("14 07 06 0001 2710 0001"), bad(2), 2);
    refuse(hex("14 07 06 0001 270F 0002"), bad(2), 2);
    refuse(hex("14 07 06 0001 0000 0000"), quantity(20, 0, 124), 3);
    // The answer has to fit a PDU: 124 registers in one run.
    accept(hex("14 07 06 0001 0000 007C"));
    refuse(hex("14 07 06 0001 0000 007D"), quantity(20, 125, 124), 3);
    accept(hex("14 0E 06 0001 0000 007A 06 0001 0000 0001"));
    refuse(hex("14 0E 06 0001 0000 007B 06 0001 0000 0001"), quantity(20, 1, 124), 3);
    refuse(hex("14 07 06 0001 0000 FFFF"), quantity(20, 0xFFFF, 124), 3);
    // What is wrong in structure further on comes before a reference that cannot exist.
    refuse(hex("14 0E 06 0001 0000 0001 07 0001 0000 0001"), bad(9), 2);
    refuse(hex("14 0E 07 0001 0000 0001 06 0001 0000 0000"), quantity(20, 0, 124), 3);
    // 35 runs are 0xF5 bytes, and one register each.
    let mut runs = hex("14 F5");
    runs.extend(hex("06 0001 0000 0001").repeat(35));
    accept(&runs);
    runs[1] = 0xFC;
    runs.extend(hex("06 0001 0000 0001"));
    refuse(&runs, PduError::TooLong { function: 20, len: 254 }, 3);
}

#[test]
fn file_writes() {
    let bad = |offset| PduError::FileReference { function: 21, offset };
    accept(hex("15 09 06 0001 0000 0001 1234"));
    accept_response(hex("15 09 06 0001 0000 0001 1234"));
    refuse(hex("15"), truncated(21, 1), 3);
    refuse(hex("15 07 06 0001 0000 0000"), byte_count(21, 7, 9), 3);
    refuse(hex("15 08 06 0001 0000 0001 12"), byte_count(21, 8, 9), 3);
    refuse(hex("15 09 06 0001 0000 0002 1234"), truncated(21, 2), 3);
    refuse(hex("15 0A 06 0001 0000 0001 1234 06"), truncated(21, 11), 3);
    refuse(hex("15 0B 06 0001 0000 0000 1234 1234"), quantity(21, 0, 122), 3);
    refuse(hex("15 09 07 0001 0000 0001 1234"), bad(2), 2);
    refuse(hex("15 09 06 0000 0000 0001 1234"), bad(2), 2);
    refuse(hex("15 09 06 0001 2710 0001 1234"), bad(2), 2);
    accept(hex("15 09 06 0001 270F 0001 1234"));
    refuse(hex("15 0B 06 0001 270F 0002 1234 1234"), bad(2), 2);
    refuse(hex("15 12 07 0001 0000 0001 1234 06 0001 0000 0002 1234"), truncated(21, 11), 3);
    accept(zeros("15 FB 06 0001 0000 007A", 244));
    refuse(zeros("15 FB 06 0001 0000 007B", 244), truncated(21, 2), 3);
    refuse(zeros("15 FA 06 0001 0000 007A", 244), byte_count(21, 250, 251), 3);
}

#[test]
fn device_identification() {
    for code in 1..=4 {
        accept([0x2B, 0x0E, code, 0xFF]);
    }
    for code in [0, 5, 0xFF] {
        refuse([0x2B, 0x0E, code, 0], value(43, 2, code.into()), 3);
    }
    refuse([0x2B], truncated(43, 1), 3);
    // The other MEI types are opaque.
    accept([0x2B, 0x0D]);
    accept([0x2B, 0x0F, 1, 2, 3]);
    for conformity in [1, 2, 3, 0x81, 0x82, 0x83] {
        accept_response([0x2B, 0x0E, 1, conformity, 0, 0, 0]);
    }
    for conformity in [0, 4, 0x80, 0x84] {
        refuse_response([0x2B, 0x0E, 1, conformity, 0, 0, 0], value(43, 3, conformity.into()));
    }
    refuse_response(hex("2B 0E 05 01 00 00 00"), value(43, 2, 5));
    refuse_response(hex("2B 0E 01 01 01 00 00"), value(43, 4, 1));
    refuse_response(hex("2B 0E 01 01 00 01 00"), value(43, 5, 1));
    accept_response(hex("2B 0E 01 01 FF 00 00"));
    refuse_response(hex("2B 0E 01 01 00 00"), truncated(43, 6));
    refuse_response(hex("2B 0E 01 01 00 00 01"), truncated(43, 7));
    refuse_response(hex("2B 0E 01 01 00 00 01 00"), truncated(43, 7));
    refuse_response(hex("2B 0E 01 01 00 00 01 00 01"), truncated(43, 7));
    accept_response(hex("2B 0E 01 01 00 00 01 00 00"));
    refuse_response(hex("2B 0E 01 01 00 00 01 00 00 00"), trailing(43, 9));
}

#[test]
fn responses() {
    refuse_response([], PduError::Empty);
    refuse_response([0], PduError::Function { function: 0 });
    refuse_response([0x80, 1], PduError::Function { function: 0x80 });
    refuse_response([0; 254], PduError::Function { function: 0 });
    for function in [1, 2] {
        refuse_response([function], truncated(function, 1));
        refuse_response([function, 0], byte_count(function, 0, 1));
        refuse_response([function, 2, 0], byte_count(function, 2, 1));
        refuse_response([function, 1, 0, 0], byte_count(function, 1, 2));
        // 2000 coils are 250 bytes.
        accept_response([&[function, 250][..], &[0; 250]].concat());
        refuse_response([&[function, 251][..], &[0; 251]].concat(), byte_count(function, 251, 250));
    }
    for function in [3, 4, 23] {
        refuse_response([function], truncated(function, 1));
        refuse_response([function, 0], byte_count(function, 0, 2));
        refuse_response([function, 1, 0], byte_count(function, 1, 2));
        refuse_response([function, 2, 0], byte_count(function, 2, 1));
        accept_response([function, 2, 0, 0]);
        refuse_response([function, 3, 0, 0, 0], byte_count(function, 3, 4));
        refuse_response([function, 2, 0, 0, 0], byte_count(function, 2, 3));
        accept_response([&[function, 250][..], &[0; 250]].concat());
        refuse_response([&[function, 252][..], &[0; 252]].concat(), PduError::TooLong { function, len: 254 });
    }
    for (pdu, function, at) in [
        ("05 0000 0000", 5, 5),
        ("06 0000 0000", 6, 5),
        ("07 00", 7, 2),
        ("0B 0000 0000", 11, 5),
        ("0F 0000 0001", 15, 5),
        ("10 0000 0001", 16, 5),
        ("16 0000 0000 0000", 22, 7),
        ("83 01", 0x83, 2),
    ] {
        let pdu = hex(pdu);
        accept_response(&pdu);
        for short in 1..at {
            refuse_response(&pdu[..short], truncated(function, short));
        }
        refuse_response([&pdu[..], &[0]].concat(), trailing(function, at));
    }
    for (function, max) in [(15, 1968), (16, 123)] {
        for count in [1u16, max] {
            accept_response([&[function, 0, 0][..], &count.to_be_bytes()].concat());
        }
        for count in [0u16, max + 1] {
            refuse_response(
                [&[function, 0, 0][..], &count.to_be_bytes()].concat(),
                quantity(function, count, max),
            );
        }
        refuse_response([function, 0xFF, 0xFF, 0, 2], address(function, 0xFFFF, 2));
    }
    refuse_response(hex("0C 05 0000 0000 00"), byte_count(12, 5, 6));
    accept_response(hex("0C 06 0000 0000 0000"));
    accept_response(zeros("0C 46", 70));
    refuse_response(zeros("0C 47", 71), byte_count(12, 71, 70));
    refuse_response(hex("0C 07 0000 0000 0000"), byte_count(12, 7, 6));
    refuse_response(hex("11"), truncated(17, 1));
    accept_response(hex("11 00"));
    accept_response(hex("11 02 01 FF"));
    refuse_response(hex("11 03 01 FF"), byte_count(17, 3, 2));
    // The queue: 0 to 31 registers, and a byte count of two bytes.
    accept_response(hex("18 0002 0000"));
    accept_response(zeros("18 0040 001F", 62));
    refuse_response(zeros("18 0042 0020", 64), quantity(24, 32, 31));
    refuse_response(hex("18 0002 0001 0000"), byte_count(24, 2, 4));
    refuse_response(hex("18 0004 0001 00"), truncated(24, 6));
    refuse_response(hex("18 0004 0001 0000 00"), trailing(24, 7));
    refuse_response(hex("18 0004 00"), truncated(24, 4));
    // File records: the answer's length, then for each run its own.
    let bad = PduError::FileReference { function: 20, offset: 2 };
    accept_response(hex("14 04 03 06 0001"));
    refuse_response(hex("14 03 02 06 00"), byte_count(20, 3, 4));
    refuse_response(hex("14 04 03 07 0001"), bad);
    refuse_response(hex("14 04 04 06 0001"), truncated(20, 2));
    refuse_response(hex("14 04 02 06 00 00"), byte_count(20, 2, 3));
    refuse_response(hex("14 05 03 06 0001 00"), byte_count(20, 0, 1));
    accept_response(zeros("14 FA F9 06", 248));
}

/// Exception codes without a meaning are kept, and named in the lenient view.
#[test]
fn exception_codes() {
    for code in [1, 2, 3, 4, 5, 6, 7, 8, 0x0A, 0x0B] {
        accept_response([0x83, code]);
    }
    for code in [0, 9, 0x0C, 0xFF] {
        assert!(Response::parse(&[0x83, code]).is_ok());
        assert_eq!(view::response(&[0x83, code]).anomalies, Anomaly::ExceptionCode.into(), "code {code}");
    }
}
