//! The rows. Section numbers are those of the Application Protocol V1.1b3.

use port502_net::memory::MemoryDevice;
use port502_net::server::Unmapped;
use port502_wire::{FunctionCode, FunctionSet, Table};

use super::{Group, Row, Want, echo, hex, ok, refused, silent};

pub fn groups() -> Vec<Group> {
    let full = |name, rows| Group { name, device: MemoryDevice::full(), rows };
    vec![
        full("reads of full tables", full_reads()),
        full("writes of single items", single_writes()),
        full("writes of many coils", multiple_coils()),
        full("writes of many registers", multiple_registers()),
        full("mask write", mask_write()),
        full("write and read", write_and_read()),
        full("queues laid out in registers", queues_in_registers()),
        full("one byte short, one byte long", lengths()),
        full("functions that nobody offers", unknown_functions()),
        full("units", units()),
        full("diagnostics", diagnostics()),
        full("counters", counters()),
        full("event log", event_log()),
        full("listen-only mode", listen_only()),
        full("files that come into being", any_file()),
        Group { name: "sparse tables", device: sparse(), rows: sparse_tables() },
        Group { name: "named queues", device: queues(), rows: named_queues() },
        Group { name: "files", device: files(), rows: file_records() },
        Group { name: "identification", device: identified(), rows: identification() },
        Group { name: "basic identification", device: basic(), rows: basic_identification() },
        Group { name: "regular identification", device: regular(), rows: regular_identification() },
        Group { name: "server id and status", device: named(), rows: server_id() },
        Group { name: "functions not on offer", device: reader(), rows: not_offered() },
    ]
}

/// Bits and registers have the same rules with other limits.
fn full_reads() -> Vec<Row> {
    let mut rows = Vec::new();
    for f in ["01", "02"] {
        let read = |body: &str| format!("{f} {body}");
        rows.extend([
            refused(&read("0000 0000"), 3),
            ok(&read("0000 0001"), &read("01 00")),
            ok(&read("0000 0008"), &read("01 00")),
            ok(&read("0000 0009"), &read("02 00*2")),
            ok(&read("0000 07D0"), &read("FA 00*250")),
            refused(&read("0000 07D1"), 3),
            refused(&read("0000 8001"), 3),
            refused(&read("0000 FFFF"), 3),
            ok(&read("FFFF 0001"), &read("01 00")),
            refused(&read("FFFF 0002"), 2),
            ok(&read("F830 07D0"), &read("FA 00*250")),
            refused(&read("F831 07D0"), 2),
            // Both wrong: the quantity is looked at first.
            refused(&read("FFFF 0000"), 3),
            refused(&read("FFFF 07D1"), 3),
            refused(&read("FFFF FFFF"), 3),
        ]);
    }
    for f in ["03", "04"] {
        let read = |body: &str| format!("{f} {body}");
        rows.extend([
            refused(&read("0000 0000"), 3),
            ok(&read("0000 0001"), &read("02 0000")),
            ok(&read("0000 007D"), &read("FA 00*250")),
            refused(&read("0000 007E"), 3),
            refused(&read("0000 0080"), 3),
            refused(&read("0000 0101"), 3),
            refused(&read("0000 8001"), 3),
            refused(&read("0000 FFFF"), 3),
            ok(&read("FFFF 0001"), &read("02 0000")),
            refused(&read("FFFF 0002"), 2),
            ok(&read("FF83 007D"), &read("FA 00*250")),
            refused(&read("FF84 007D"), 2),
            refused(&read("FFFF 0000"), 3),
            refused(&read("FFFF 007E"), 3),
        ]);
    }
    rows
}

fn single_writes() -> Vec<Row> {
    vec![
        echo("05 00AC FF00"),
        ok("01 00AC 0001", "01 01 01"),
        echo("05 00AC 0000"),
        ok("01 00AC 0001", "01 01 00"),
        refused("05 00AC 1234", 3),
        refused("05 00AC 0001", 3),
        refused("05 00AC 00FF", 3),
        refused("05 00AC FF01", 3),
        refused("05 00AC FFFF", 3),
        refused("05 00AC FE00", 3),
        ok("01 00AC 0001", "01 01 00"), // none of them took
        echo("05 0000 FF00"),
        echo("05 FFFF FF00"),
        ok("01 FFFF 0001", "01 01 01"),
        echo("06 0001 0003"),
        ok("03 0001 0001", "03 02 0003"),
        echo("06 0000 0000"),
        echo("06 FFFF FFFF"),
        ok("03 FFFF 0001", "03 02 FFFF"),
        // What is written to one table is not in another.
        ok("04 FFFF 0001", "04 02 0000"),
        ok("02 FFFF 0001", "02 01 00"),
    ]
}

fn multiple_coils() -> Vec<Row> {
    vec![
        ok("0F 0013 000A 02 CD01", "0F 0013 000A"),
        ok("01 0013 000A", "01 02 CD01"),
        // Bits that pad are not coils: neither written nor read.
        ok("0F 0013 000A 02 CDFF", "0F 0013 000A"),
        ok("01 0013 0010", "01 02 CD03"),
        ok("01 0013 000A", "01 02 CD03"),
        ok("01 0014 0003", "01 01 06"),
        refused("0F 0000 0000 00", 3),
        refused("0F 0000 0000 01 00", 3),
        refused("0F 0000 0000 00 00*6", 3),
        ok("0F 0000 0001 01 01", "0F 0000 0001"),
        ok("0F 0000 07B0 F6 FF*246", "0F 0000 07B0"),
        refused("0F 0000 07B1 F7 FF*247", 3),
        refused("0F 0000 07B1 F7 FF", 3),
        refused("0F 0000 07B1 F6 FF*246", 3),
        refused("0F 0000 FFFF 00", 3),
        // 0x0800 bits are 256 bytes, which a byte cannot count.
        refused("0F 0000 0800 00", 3),
        refused("0F 0000 8008 01 00", 3),
        refused("0F 0000 0064 01 FF", 3),
        refused("0F 0000 0064 01 FF*13", 3),
        refused("0F 0000 0064 0D FF", 3),
        refused("0F 0000 0064 0E FF*14", 3),
        refused("0F 0000 0008 02 FFFF", 3),
        refused("0F 0000 0009 01 FF", 3),
        refused("0F 0000 0009 02 FF", 3),
        refused("0F 0000 0009 02 FF*3", 3),
        ok("0F FFFF 0001 01 01", "0F FFFF 0001"),
        refused("0F FFFF 0002 01 03", 2),
        refused("0F FFFF 0002 02 0303", 3),
        refused("0F FFFF 0000 00", 3),
        ok("0F F850 07B0 F6 00*246", "0F F850 07B0"),
        refused("0F F851 07B0 F6 00*246", 2),
    ]
}

fn multiple_registers() -> Vec<Row> {
    vec![
        ok("10 0001 0002 04 000A 0102", "10 0001 0002"),
        ok("03 0000 0004", "03 08 0000 000A 0102 0000"),
        refused("10 0001 0002 03 FFFF FF", 3),
        refused("10 0001 0002 04 FFFF FF", 3),
        refused("10 0001 0002 04 FFFF FFFF FF", 3),
        refused("10 0001 0002 06 FFFF FFFF FFFF", 3),
        refused("10 0001 0002 02 FFFF", 3),
        refused("10 0001 0001 03 FFFF FF", 3),
        refused("10 0001 0001 F9 FFFF", 3),
        refused("10 0001 0001 00", 3),
        refused("10 0001 0001 00 FFFF", 3),
        refused("10 0000 0000 00", 3),
        refused("10 0000 0000 00 00*6", 3),
        refused("10 0000 0000 02 FFFF", 3),
        ok("10 0000 007B F6 0001*123", "10 0000 007B"),
        refused("10 0000 007C F8 FFFF*123", 3),
        refused("10 0000 007C F6 FFFF*123", 3),
        refused("10 0000 007D FA FFFF*123", 3),
        refused("10 0000 0080 00", 3),
        refused("10 0000 0081 02 FFFF", 3),
        refused("10 0000 8001 02 FFFF", 3),
        refused("10 0000 FFFF FE FFFF*123", 3),
        // None of those above wrote a register.
        ok("03 0000 007B", "03 F6 0001*123"),
        ok("10 FFFF 0001 02 1234", "10 FFFF 0001"),
        refused("10 FFFF 0002 04 FFFF FFFF", 2),
        ok("03 FFFF 0001", "03 02 1234"),
        refused("10 FFFF 0002 02 FFFF", 3),
        refused("10 FFFF 0000 00", 3),
        ok("10 FF85 007B F6 0002*123", "10 FF85 007B"),
        refused("10 FF86 007B F6 0003*123", 2),
        ok("03 FF85 007B", "03 F6 0002*123"),
    ]
}

fn mask_write() -> Vec<Row> {
    vec![
        echo("06 0004 0012"),
        echo("16 0004 00F2 0025"),
        ok("03 0004 0001", "03 02 0017"),
        // The masks are always right: all, none, and the identity.
        echo("16 0004 FFFF FFFF"),
        ok("03 0004 0001", "03 02 0017"),
        echo("16 0004 0000 A5A5"),
        ok("03 0004 0001", "03 02 A5A5"),
        echo("16 0004 0000 0000"),
        ok("03 0004 0001", "03 02 0000"),
        echo("16 FFFF 0000 FFFF"),
        ok("03 FFFF 0001", "03 02 FFFF"),
    ]
}

fn write_and_read() -> Vec<Row> {
    vec![
        // The specification's example.
        ok("17 0003 0006 000E 0003 06 00FF*3", "17 0C 00*12"),
        ok("03 000E 0003", "03 06 00FF*3"),
        // Written first, read then.
        ok("17 000E 0003 000E 0003 06 0001 0002 0003", "17 06 0001 0002 0003"),
        ok("17 000D 0005 000F 0001 02 BEEF", "17 0A 0000 0001 BEEF 0003 0000"),
        ok("17 0000 0001 0000 0001 02 1234", "17 02 1234"),
        ok("17 0000 007D 0000 0079 F2 0007*121", "17 FA 0007*121 00*8"),
        refused("17 0000 0000 0000 0001 02 FFFF", 3),
        refused("17 0000 007E 0000 0001 02 FFFF", 3),
        refused("17 0000 8001 0000 0001 02 FFFF", 3),
        refused("17 0000 0001 0000 0000 00", 3),
        refused("17 0000 0001 0000 0000 02 FFFF", 3),
        refused("17 0000 0001 0000 007A F4 FFFF*121", 3),
        refused("17 0000 0001 0000 007A F2 FFFF*121", 3),
        refused("17 0000 0001 0000 8001 02 FFFF", 3),
        refused("17 0000 0001 0000 0001 01 FF", 3),
        refused("17 0000 0001 0000 0001 03 FFFF FF", 3),
        refused("17 0000 0001 0000 0001 02 FF", 3),
        refused("17 0000 0001 0000 0001 02 FFFF FF", 3),
        refused("17 0000 0001 0000 0001 04 FFFF FFFF", 3),
        refused("17 0000 0001 0000 0002 02 FFFF", 3),
        refused("17 0000 0001 0000 0001 00", 3),
        refused("17 FFFF 0002 0000 0001 02 FFFF", 2),
        refused("17 0000 0001 FFFF 0002 04 FFFF FFFF", 2),
        // The quantity of one range comes before the address of the other.
        refused("17 FFFF 0002 0000 0000 00", 3),
        refused("17 0000 0000 FFFF 0002 04 FFFF FFFF", 3),
        refused("17 FFFF 0002 0000 0001 03 FFFF FF", 3),
        ok("03 0000 0001", "03 02 0007"), // nothing of it was written
        ok("17 FF83 007D FF87 0079 F2 0009*121", "17 FA 0000*4 0009*121"),
        ok("17 FFFF 0001 FFFF 0001 02 5555", "17 02 5555"),
    ]
}

/// Where no queue is set up, the register at the address counts those behind it, as in 6.18's example.
fn queues_in_registers() -> Vec<Row> {
    vec![
        ok("18 04DE", "18 0002 0000"),
        ok("10 04DE 0003 06 0002 01B8 1284", "10 04DE 0003"),
        ok("18 04DE", "18 0006 0002 01B8 1284"),
        ok("18 04DE", "18 0006 0002 01B8 1284"), // reading does not clear
        echo("06 04DE 001F"),
        ok("18 04DE", "18 0040 001F 01B8 1284 00*58"),
        echo("06 04DE 0020"),
        refused("18 04DE", 3),
        echo("06 04DE FFFF"),
        refused("18 04DE", 3),
        // The last queue that lies within the table, and one that does not.
        echo("06 FFE0 001F"),
        ok("18 FFE0", "18 0040 001F 00*62"),
        echo("06 FFE1 001F"),
        refused("18 FFE1", 2),
        ok("18 FFFF", "18 0002 0000"),
        echo("06 FFFF 0001"),
        refused("18 FFFF", 2),
    ]
}

/// A right request of every function but 11 and 12, and its answer from a fresh device.
const RIGHT: &[(&str, &str)] = &[
    ("01 0000 0001", "01 01 00"),
    ("02 0000 0001", "02 01 00"),
    ("03 0000 0001", "03 02 0000"),
    ("04 0000 0001", "04 02 0000"),
    ("05 0000 0000", "05 0000 0000"),
    ("06 0000 0000", "06 0000 0000"),
    ("07", "07 00"),
    ("08 0000 0000", "08 0000 0000"),
    ("08 0002 0000", "08 0002 0000"),
    ("0F 0000 0001 01 00", "0F 0000 0001"),
    ("10 0000 0001 02 0000", "10 0000 0001"),
    ("11", "11 08 706F 7274 3530 32 FF"),
    ("14 07 06 0001 0000 0001", "14 04 03 06 0000"),
    ("15 09 06 0001 0000 0001 0000", "15 09 06 0001 0000 0001 0000"),
    ("16 0000 FFFF 0000", "16 0000 FFFF 0000"),
    ("17 0000 0001 0000 0001 02 0000", "17 02 0000"),
    ("18 0000", "18 0002 0000"),
    ("2B 0E 04 00", "2B 0E 04 82 00 00 01 00 07 706F 7274 3530 32"),
];

/// A body that ends early, at any byte, or late is a fault of structure: 03.
fn lengths() -> Vec<Row> {
    let mut rows = Vec::new();
    for (request, answer) in RIGHT {
        rows.push(ok(request, answer));
        let whole = hex(request);
        let bad = |pdu: Vec<u8>| Row { unit: 1, pdu, want: Want::Exception(3) };
        rows.extend((1..whole.len()).map(|len| bad(whole[..len].to_vec())));
        for extra in [1, 2, 7, 100] {
            let long = [&whole[..], &vec![0; extra]].concat();
            // An echo of any number of words.
            if request.starts_with("08 0000") && extra % 2 == 0 {
                rows.push(Row { unit: 1, want: Want::Answer(long.clone()), pdu: long });
            } else {
                rows.push(bad(long));
            }
        }
        // As long as a frame can be.
        let mut longest = whole.clone();
        longest.resize(253, 0);
        if !request.starts_with("08 0000") {
            rows.push(bad(longest));
        }
    }
    rows.extend([refused("0B 00", 3), refused("0C 00", 3), refused("0B 00*252", 3), refused("0C 00*252", 3)]);
    rows
}

fn unknown_functions() -> Vec<Row> {
    let offered = [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 17, 20, 21, 22, 23, 24, 43];
    let mut rows = Vec::new();
    for function in (0..=255u8).filter(|function| !offered.contains(function)) {
        for body in [&[][..], &[0, 0, 0, 1], &[0xFF; 252]] {
            let pdu = [&[function][..], body].concat();
            rows.push(Row { unit: 1, pdu, want: Want::Exception(1) });
        }
    }
    // Of 43 only MEI type 14 is served.
    for mei in (0..=255u8).filter(|mei| *mei != 0x0E) {
        rows.push(Row { unit: 1, pdu: vec![0x2B, mei], want: Want::Exception(1) });
        rows.push(Row { unit: 1, pdu: vec![0x2B, mei, 1, 0], want: Want::Exception(1) });
    }
    rows
}

/// A device that is reached directly answers under whatever unit id it is asked, 0 and 255 above all.
fn units() -> Vec<Row> {
    let requests = [ok("03 0000 0001", "03 02 0000"), refused("03 0000 0000", 3), refused("41", 1)];
    let under = |unit| requests.iter().map(move |r| Row { unit, pdu: r.pdu.clone(), want: r.want.clone() });
    (0..=255).flat_map(under).collect()
}

fn diagnostics() -> Vec<Row> {
    let mut rows = vec![
        echo("08 0000 A537"),
        echo("08 0000 A537 0001"),
        echo("08 0000 5A*200"),
        echo("08 0000 5A*250"),
        refused("08 0000", 3),
        refused("08 0000 A5", 3),
        refused("08 0000 A5*3", 3),
        refused("08 0000 A5*249", 3),
        refused("08", 3),
        refused("08 00", 3),
        echo("08 0001 0000"),
        echo("08 0001 FF00"),
        refused("08 0001 00FF", 3),
        refused("08 0001 FFFF", 3),
        refused("08 0001 0100", 3),
        refused("08 0001", 3),
        refused("08 0001 0000 00", 3),
        echo("08 0003 0A00"),
        echo("08 0003 4100"),
        refused("08 0003 0A01", 3),
        refused("08 0003 0A", 3),
        refused("08 0004 0001", 3), // and so not in listen-only mode
        refused("08 0004", 3),
        echo("08 000A 0000"),
        echo("08 0014 0000"),
    ];
    for sub in [2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20] {
        let sub = format!("08 00{sub:02X}");
        rows.extend([
            refused(&format!("{sub} 0001"), 3),
            refused(&format!("{sub} FF00"), 3),
            refused(&format!("{sub} 0000 0000"), 3),
            refused(&format!("{sub} 00"), 3),
            refused(&sub, 3),
        ]);
    }
    // Reserved, whatever their data: the sub-function is looked at first.
    for sub in [5u16, 6, 7, 8, 9, 19, 21, 22, 99, 0x0100, 0x0A00, 0xFFFF] {
        for data in ["", "00", "0000", "1234", "0000 0000 0000"] {
            rows.push(refused(&format!("08 {sub:04X} {data}"), 1));
        }
    }
    rows
}

/// Each request counts itself: it is on the line when the counter is read.
fn counters() -> Vec<Row> {
    vec![
        ok("08 000B 0000", "08 000B 0001"),
        ok("08 000B 0000", "08 000B 0002"),
        ok("08 000E 0000", "08 000E 0003"),
        ok("08 000C 0000", "08 000C 0000"),
        ok("08 000D 0000", "08 000D 0000"),
        refused("03 0000 0000", 3),
        refused("42", 1),
        ok("08 000D 0000", "08 000D 0002"),
        ok("08 000F 0000", "08 000F 0000"),
        ok("08 0010 0000", "08 0010 0000"),
        ok("08 0011 0000", "08 0011 0000"),
        ok("08 0012 0000", "08 0012 0000"),
        ok("08 0002 0000", "08 0002 0000"),
        // Eleven ended well until here. Neither refusals nor function 11 itself count.
        ok("0B", "0B 0000 000B"),
        ok("0B", "0B 0000 000B"),
        refused("03 0000 0000", 3),
        ok("0B", "0B 0000 000B"),
        ok("03 0000 0001", "03 02 0000"),
        ok("0B", "0B 0000 000C"),
        echo("08 000A 0000"),
        ok("08 000D 0000", "08 000D 0000"),
        ok("08 000B 0000", "08 000B 0002"),
        refused("42", 1),
        ok("08 000D 0000", "08 000D 0001"),
        echo("08 0001 0000"), // restarting clears them too
        ok("08 000D 0000", "08 000D 0000"),
        // In listen-only mode they go on, and tell how many were left without an answer.
        silent("08 0004 0000"),
        silent("03 0000 0001"),
        silent("08 0001 0000"),
        ok("08 000F 0000", "08 000F 0000"),
        ok("08 000B 0000", "08 000B 0002"),
    ]
}

/// Received: 80. Sent: 40, with an exception 41, 42, 44 or 48. Restarted: 00. The newest comes first.
fn event_log() -> Vec<Row> {
    let mut rows = vec![
        ok("0C", "0C 07 0000 0000 0001 80"),
        ok("0C", "0C 09 0000 0001 0002 80 40 80"),
        refused("03 0000 0000", 3),
        ok("0C", "0C 0D 0000 0002 0004 80 41 80 40 80 40 80"),
        // A restart is told, and forgets only when asked to.
        echo("08 0001 0000"),
        ok("0C", "0C 12 0000 0001 0001 80 40 00 80 40 80 41 80 40 80 40 80"),
        echo("08 0001 FF00"),
        ok("0C", "0C 09 0000 0001 0001 80 40 00"),
        silent("08 0004 0000"),
        silent("03 0000 0001"),
        silent("08 0001 0000"),
        ok("0C", "0C 10 0000 0000 0001 80 00 A0 A0 04 80 40 80 40 00"),
    ];
    // 64 are kept.
    rows.extend((0..40).map(|_| ok("03 0000 0001", "03 02 0000")));
    let half = "40 80 ".repeat(31);
    rows.push(ok("0C", &format!("0C 46 0000 0029 002A 80 {half} 40")));
    rows
}

fn listen_only() -> Vec<Row> {
    vec![
        echo("06 0000 1111"),
        silent("08 0004 0000"),
        silent("03 0000 0001"),
        silent("06 0000 2222"), // nor is it carried out
        silent("10 0000 0001 02 2222"),
        silent("42"),
        silent("08 0000 A537"),
        silent("08 0001 1234"), // no restart
        silent("08 0001"),
        silent("03 0000 0001"),
        silent("08 0001 0000"), // the way out, silent too
        ok("03 0000 0001", "03 02 1111"),
        silent("08 0004 0000"),
        silent("08 0004 0000"),
        silent("08 0001 FF00"),
        ok("03 0000 0001", "03 02 1111"),
        echo("08 0001 0000"), // outside the mode it is answered
    ]
}

fn any_file() -> Vec<Row> {
    vec![
        ok("14 07 06 0004 0000 0002", "14 06 05 06 0000*2"),
        echo("15 0D 06 0004 0007 0003 06AF 04BE 100D"),
        ok("14 07 06 0004 0007 0003", "14 08 07 06 06AF 04BE 100D"),
        ok("14 07 06 0004 0006 0002", "14 06 05 06 0000 06AF"),
        ok("14 07 06 0005 0007 0003", "14 08 07 06 0000*3"),
        echo("15 09 06 FFFF 270F 0001 BEEF"),
        ok("14 07 06 FFFF 270F 0001", "14 04 03 06 BEEF"),
        // As much as one request carries.
        echo("15 FB 06 0001 0000 007A ABCD*122"),
        ok("14 07 06 0001 0000 007A", "14 F6 F5 06 ABCD*122"),
        ok("14 07 06 0001 0000 007C", "14 FA F9 06 ABCD*122 0000*2"),
        refused("14 07 06 0001 0000 007D", 3), // 254 bytes of response
    ]
}

fn sparse() -> MemoryDevice {
    MemoryDevice::builder()
        .registers(Table::Coils, 10, &[1; 8])
        .registers(Table::DiscreteInputs, 10, &[1; 8])
        .registers(Table::HoldingRegisters, 100, &[7; 10])
        .registers(Table::HoldingRegisters, 120, &[8; 10])
        .registers(Table::InputRegisters, 100, &[9; 10])
        .registers(Table::HoldingRegisters, 200, &[5; 10])
        .read_only(Table::HoldingRegisters, 204, 205)
        .build()
}

fn sparse_tables() -> Vec<Row> {
    let mut rows = Vec::new();
    for f in ["01", "02"] {
        let read = |body: &str| format!("{f} {body}");
        rows.extend([
            ok(&read("000A 0008"), &read("01 FF")),
            refused(&read("0009 0001"), 2),
            refused(&read("0009 0002"), 2),
            refused(&read("000A 0009"), 2),
            refused(&read("0011 0002"), 2),
            ok(&read("0011 0001"), &read("01 01")),
            refused(&read("0012 0001"), 2),
            refused(&read("0012 0000"), 3),
            refused(&read("0000 07D0"), 2),
            refused(&read("0000 07D1"), 3),
        ]);
    }
    rows.extend([
        ok("03 0064 000A", "03 14 0007*10"),
        ok("04 0064 000A", "04 14 0009*10"),
        refused("03 0063 0001", 2),
        refused("03 0063 0002", 2),
        refused("03 006D 0002", 2),
        refused("03 0064 000B", 2),
        refused("03 0064 001E", 2), // a hole between two ranges
        refused("03 006E 0001", 2),
        refused("04 0078 0001", 2), // of the other table
        refused("03 0000 0000", 3),
        refused("03 0000 007E", 3),
        refused("05 0009 FF00", 2),
        refused("05 0009 1234", 3), // the value comes before the address
        refused("06 0063 0000", 2),
        echo("06 0064 0001"),
        // Begins on addresses that are there, ends on those that are not: nothing is written.
        refused("0F 0010 0003 01 00", 2),
        ok("01 0010 0002", "01 01 03"),
        refused("10 006D 0002 04 1234 1234", 2),
        ok("03 006D 0001", "03 02 0007"),
        refused("10 006C 000D 1A 1234*13", 2),
        ok("03 006C 0002", "03 04 0007 0007"),
        ok("03 0078 0001", "03 02 0008"),
        refused("10 0063 0002 04 1234 1234", 2),
        ok("03 0064 0001", "03 02 0001"),
        refused("10 0000 0001 03 1234 12", 3),
        refused("16 0063 0000 0000", 2),
        refused("16 0063 FFFF FFFF", 2),
        refused("17 0064 0001 0063 0001 02 1234", 2),
        refused("17 0063 0001 0065 0001 02 1234", 2),
        refused("17 006D 0002 0065 0001 02 1234", 2),
        refused("17 0064 0001 006D 0002 04 1234 1234", 2),
        ok("03 0064 000A", "03 14 0001 0007*9"), // nor were these
        // 03 wins over 02.
        refused("17 0000 0000 0000 0001 02 1234", 3),
        refused("17 0000 007E 0000 0001 02 1234", 3),
        refused("17 0000 0001 0000 0000 00", 3),
        refused("17 0064 0001 0000 0001 03 1234 12", 3),
        ok("17 0078 0001 0064 0001 02 4321", "17 02 0008"),
        ok("03 0064 0001", "03 02 4321"),
        refused("18 0000", 2),
        refused("18 00", 3),
        ok("18 0078", "18 0012 0008 0008*8"),
        ok("18 0065", "18 0010 0007 0007*7"),
        ok("18 0066", "18 0010 0007 0007*7"),
        refused("18 0067", 2), // the last of them is not there
        // Addresses that clients may read only.
        ok("03 00C8 000A", "03 14 0005*10"),
        echo("06 00CB 0006"),
        refused("06 00CC 0006", 2),
        refused("06 00CD 0006", 2),
        echo("06 00CE 0006"),
        refused("10 00CA 0003 06 0001*3", 2),
        refused("10 00CD 0002 04 0001*2", 2),
        refused("16 00CC 0000 FFFF", 2),
        refused("17 00C8 0001 00C8 0009 12 0001*9", 2),
        ok("03 00C8 000A", "03 14 0005*3 0006 0005*2 0006 0005*3"),
        ok("17 00CC 0002 00C8 0001 02 0001", "17 04 0005*2"),
    ]);
    rows
}

fn queues() -> MemoryDevice {
    let numbers: Vec<u16> = (1..=40).collect();
    let device = MemoryDevice::builder()
        .queue(0, &[])
        .queue(1, &numbers[..1])
        .queue(31, &numbers[..31])
        .queue(32, &numbers[..32])
        .queue(0xFFFF, &numbers[..2])
        .registers(Table::HoldingRegisters, 0, &[9; 3])
        .build();
    assert!(device.push_queue(1, 0xABCD));
    device
}

fn named_queues() -> Vec<Row> {
    let mut most = hex("18 0040 001F");
    most.extend((1..=31u16).flat_map(u16::to_be_bytes));
    vec![
        ok("18 0000", "18 0002 0000"),
        ok("18 0001", "18 0006 0002 0001 ABCD"),
        ok("18 0001", "18 0006 0002 0001 ABCD"),
        Row { unit: 1, pdu: hex("18 001F"), want: Want::Answer(most) },
        refused("18 0020", 3),
        refused("18 0021", 2),
        refused("18 0002", 2), // counts nine, and there are none
        ok("18 FFFF", "18 0006 0002 0001 0002"),
        refused("18 FFFE", 2),
    ]
}

fn files() -> MemoryDevice {
    let long: Vec<u16> = (0..10_000).collect();
    MemoryDevice::builder()
        .file(3, &long)
        .file(4, &[0x0000, 0x0DFE, 0x0020, 0, 0, 0, 0, 0x1111, 0x2222, 0x3333])
        .build()
}

fn file_records() -> Vec<Row> {
    vec![
        // The specification's example, and it the other way round.
        ok("14 0E 06 0004 0001 0002 06 0003 0009 0002", "14 0C 05 06 0DFE 0020 05 06 0009 000A"),
        ok("14 0E 06 0003 0009 0002 06 0004 0001 0002", "14 0C 05 06 0009 000A 05 06 0DFE 0020"),
        ok("14 07 06 0003 0000 0001", "14 04 03 06 0000"),
        ok("14 07 06 0003 270F 0001", "14 04 03 06 270F"),
        refused("14 07 06 0003 2710 0001", 2),
        refused("14 07 06 0003 270F 0002", 2),
        refused("14 07 06 0003 FFFF 0001", 2),
        refused("14 07 07 0003 0000 0001", 2),
        refused("14 07 00 0003 0000 0001", 2),
        refused("14 07 06 0000 0000 0001", 2),
        refused("14 07 06 0005 0000 0001", 2), // no such file
        refused("14 07 06 0004 0009 0002", 2), // nor such a record
        refused("14 0E 06 0003 0000 0001 07 0003 0000 0001", 2),
        refused("14 0E 06 0003 0000 0001 06 0000 0000 0001", 2),
        refused("14 07 06 0003 0000 0000", 3), // no records
        refused("14 00", 3),
        refused("14 06 06 0003 0000 00", 3),
        refused("14 07 06 0003 0000 00", 3),
        refused("14 08 06 0003 0000 0001 00", 3),
        refused("14 0D 06 0003 0000 0001 06 0003 0000 00", 3),
        refused("14 0E 06 0003 0000 0001", 3),
        refused("14 07 06 0003 0000 0001 06 0003 0000 0001", 3),
        refused("14 F6 06 0003 0000 0001", 3),
        refused("14 FC 00*251", 3),
        // 35 runs are as many as a request carries.
        Row {
            unit: 1,
            pdu: [hex("14 F5"), hex("06 0003 0007 0001").repeat(35)].concat(),
            want: Want::Answer([hex("14 8C"), hex("03 06 0007").repeat(35)].concat()),
        },
        // A response that does not fit a PDU, in one run and in several.
        refused("14 07 06 0003 0000 007D", 3),
        refused("14 07 06 0003 0000 FFFF", 3),
        refused("14 0E 06 0003 0000 003E 06 0003 0000 003E", 3),
        // The structure comes before what is referred to.
        refused("14 08 07 0000 2710 0001 00", 3),
        refused("15 00", 3),
        refused("15 07 06 0003 0000 0000", 3),
        refused("15 08 06 0003 0000 0001 00", 3),
        refused("15 09 06 0003 0000 0001 00", 3),
        refused("15 09 06 0003 0000 0002 0000", 3),
        refused("15 0A 06 0003 0000 0001 0000 00", 3),
        refused("15 0B 06 0003 0000 0001 0000 0000", 3),
        refused("15 09 06 0003 0000 0001 0000 00", 3),
        refused("15 FC 00*251", 3),
        refused("15 09 07 0003 0000 0001 FFFF", 2),
        refused("15 09 06 0000 0000 0001 FFFF", 2),
        refused("15 09 06 0003 2710 0001 FFFF", 2),
        refused("15 0B 06 0003 270F 0002 FFFF FFFF", 2),
        refused("15 09 06 0005 0000 0001 FFFF", 2),
        refused("15 0B 06 0004 0009 0002 FFFF FFFF", 2),
        // Two runs, of which the second is refused: the first is not written.
        refused("15 12 06 0003 0000 0001 FFFF 06 0005 0000 0001 FFFF", 2),
        refused("15 12 06 0003 0000 0001 FFFF 07 0003 0000 0001 FFFF", 2),
        refused("15 12 06 0003 0000 0001 FFFF 06 0004 000A 0001 FFFF", 2),
        ok("14 07 06 0003 0000 0001", "14 04 03 06 0000"),
        echo("15 12 06 0003 0000 0001 AAAA 06 0004 0009 0001 BBBB"),
        ok("14 0E 06 0003 0000 0002 06 0004 0009 0001", "14 0A 05 06 AAAA 0001 03 06 BBBB"),
        // Of two runs to one place the later stays.
        echo("15 12 06 0003 0000 0001 1111 06 0003 0000 0001 2222"),
        ok("14 07 06 0003 0000 0001", "14 04 03 06 2222"),
    ]
}

/// Id and value.
type Object<'a> = (u8, &'a [u8]);

/// Objects 0 to 2, 3, 0x80 and 0x81.
fn identified() -> MemoryDevice {
    let objects: &[Object<'_>] =
        &[(0, b"ACME"), (1, b"PX"), (2, b"V2"), (3, b"http"), (0x80, b"own"), (0x81, &[0xA1; 220])];
    let builder = MemoryDevice::builder();
    let builder = objects.iter().fold(builder, |builder, (id, value)| builder.object(*id, value));
    builder.build()
}

/// A response of 43/14: code, conformity level, more follows, next object, count; objects.
fn objects(front: &str, objects: &[Object<'_>]) -> Vec<u8> {
    let mut pdu = [hex("2B 0E"), hex(front)].concat();
    for (id, value) in objects {
        pdu.extend([*id, value.len() as u8]);
        pdu.extend(*value);
    }
    pdu
}

fn identify(request: &str, front: &str, list: &[Object<'_>]) -> Row {
    Row { unit: 1, pdu: [hex("2B 0E"), hex(request)].concat(), want: Want::Answer(objects(front, list)) }
}

fn identification() -> Vec<Row> {
    let [a, b, c, d]: [Object<'_>; 4] = [(0, b"ACME"), (1, b"PX"), (2, b"V2"), (3, b"http")];
    let [own, big]: [Object<'_>; 2] = [(0x80, b"own"), (0x81, &[0xA1; 220])];
    let mut rows = vec![
        identify("01 00", "01 83 00 00 03", &[a, b, c]),
        identify("01 01", "01 83 00 00 02", &[b, c]),
        identify("01 02", "01 83 00 00 01", &[c]),
        // An object that is not there, or not of the category: from the start again.
        identify("01 03", "01 83 00 00 03", &[a, b, c]),
        identify("01 04", "01 83 00 00 03", &[a, b, c]),
        identify("01 80", "01 83 00 00 03", &[a, b, c]),
        identify("01 FF", "01 83 00 00 03", &[a, b, c]),
        identify("02 00", "02 83 00 00 04", &[a, b, c, d]),
        identify("02 03", "02 83 00 00 01", &[d]),
        identify("02 07", "02 83 00 00 04", &[a, b, c, d]),
        identify("02 80", "02 83 00 00 04", &[a, b, c, d]),
        identify("03 00", "03 83 FF 81 05", &[a, b, c, d, own]),
        identify("03 81", "03 83 00 00 01", &[big]),
        identify("03 80", "03 83 00 00 02", &[own, big]),
        identify("03 82", "03 83 FF 81 05", &[a, b, c, d, own]),
        identify("04 00", "04 83 00 00 01", &[a]),
        identify("04 03", "04 83 00 00 01", &[d]),
        identify("04 81", "04 83 00 00 01", &[big]),
        refused("2B 0E 04 04", 2),
        refused("2B 0E 04 7F", 2),
        refused("2B 0E 04 82", 2),
        refused("2B 0E 04 FF", 2),
        refused("2B 0E 00 00", 3),
        refused("2B 0E 05 00", 3),
        refused("2B 0E 05 FF", 3),
        refused("2B 0E FF 00", 3),
        refused("2B 0E 01", 3),
        refused("2B 0E", 3),
        refused("2B", 3),
        refused("2B 0E 01 00 00", 3),
        refused("2B 0E 05 00 00", 3),
    ];
    rows.extend((6..=0xFEu8).map(|code| refused(&format!("2B 0E {code:02X} 00"), 3)));
    rows
}

fn basic() -> MemoryDevice {
    MemoryDevice::builder().object(0, "A").object(1, "B").object(2, "C").build()
}

/// What is above the device's level is answered at its level.
fn basic_identification() -> Vec<Row> {
    let all: [Object<'_>; 3] = [(0, b"A"), (1, b"B"), (2, b"C")];
    vec![
        identify("01 00", "01 81 00 00 03", &all),
        identify("02 00", "02 81 00 00 03", &all),
        identify("03 00", "03 81 00 00 03", &all),
        identify("03 02", "03 81 00 00 01", &all[2..]),
        identify("04 02", "04 81 00 00 01", &all[2..]),
        refused("2B 0E 04 03", 2),
    ]
}

/// A response takes 244 bytes of one object; beside 242 there is no room for one byte of another.
fn regular() -> MemoryDevice {
    let builder = MemoryDevice::builder().object(0, "A").object(1, "B").object(2, [0xCC; 244]);
    builder.object(3, [0xDD; 242]).object(4, "E").object(5, []).object(6, [0xFF; 250]).build()
}

fn regular_identification() -> Vec<Row> {
    let list: [Object<'_>; 7] = [
        (0, b"A"),
        (1, b"B"),
        (2, &[0xCC; 244]),
        (3, &[0xDD; 242]),
        (4, b"E"),
        (5, &[]),
        (6, &[0xFF; 244]), // more than any response can hold: cut
    ];
    vec![
        identify("01 00", "01 82 FF 02 02", &list[..2]),
        identify("01 02", "01 82 00 00 01", &list[2..3]),
        identify("02 02", "02 82 FF 03 01", &list[2..3]),
        identify("02 03", "02 82 FF 04 01", &list[3..4]),
        identify("02 04", "02 82 FF 06 02", &list[4..6]),
        identify("02 06", "02 82 00 00 01", &list[6..]),
        identify("03 06", "03 82 00 00 01", &list[6..]),
        identify("04 02", "04 82 00 00 01", &list[2..3]),
        identify("04 05", "04 82 00 00 01", &list[5..6]),
        identify("04 06", "04 82 00 00 01", &list[6..]),
    ]
}

fn named() -> MemoryDevice {
    MemoryDevice::builder().server_id([0x01, 0x02]).exception_status(0x6D).build()
}

fn server_id() -> Vec<Row> {
    vec![ok("11", "11 03 0102 FF"), refused("11 00", 3), ok("07", "07 6D"), refused("07 00", 3)]
}

/// Offers reads only.
fn reader() -> MemoryDevice {
    let functions: FunctionSet = (1..=4).map(FunctionCode).collect();
    MemoryDevice::full_builder().functions(functions).build()
}

/// Whatever its body: the function is looked at first.
fn not_offered() -> Vec<Row> {
    let mut rows: Vec<Row> = (5..=127)
        .flat_map(|function| {
            [&[][..], &[0], &[0, 0, 0, 0], &[0xFF; 252]].map(|body| {
                let pdu = [&[function][..], body].concat();
                Row { unit: 1, pdu, want: Want::Exception(1) }
            })
        })
        .collect();
    rows.push(ok("03 0000 0001", "03 02 0000"));
    rows
}

/// Behind a gateway with units 1 and 17, by what it is told to answer for the others.
pub fn unmapped_units() -> [(Unmapped, Vec<Row>); 3] {
    let rows = |unmapped: Want| {
        let mut rows = Vec::new();
        for unit in [0, 2, 16, 18, 100, 247, 248, 255, 1, 17] {
            for mut row in [ok("03 0000 0001", "03 02 0000"), refused("03 0000 0000", 3), refused("42", 1)] {
                row.unit = unit;
                if unit != 1 && unit != 17 {
                    row.want = unmapped.clone();
                }
                rows.push(row);
            }
        }
        rows
    };
    [
        (Unmapped::GatewayPathUnavailable, rows(Want::Exception(0x0A))),
        (Unmapped::GatewayTargetFailedToRespond, rows(Want::Exception(0x0B))),
        (Unmapped::Silence, rows(Want::Silence)),
    ]
}
