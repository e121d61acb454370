//! Real captures, which stay outside of the repository: packets as their README counts them, and no surprise in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use port502_capture::{
    Capture, Counters, End, Event, Limits, Reassembler, ServerRule, Stray, StreamEventKind,
};

struct Seen {
    packets: u64,
    /// Frames to servers at port 502, and from them.
    asked: usize,
    answered: usize,
    strays: Vec<Stray>,
    counters: Counters,
}

fn look(path: &Path) -> Seen {
    let mut capture = Capture::open(path).unwrap();
    let mut streams =
        Reassembler::new(Limits::default(), |port| port == 502).with_server_rule(ServerRule::Port);
    let mut modbus = std::collections::HashSet::new();
    let (mut asked, mut answered, mut strays) = (0, 0, Vec::new());
    let mut sink = |event: Event<'_>| {
        let Event::Stream(event) = event else { return };
        match event.kind {
            StreamEventKind::Opened { server, .. } if server.port() == 502 => {
                modbus.insert(event.connection);
            }
            StreamEventKind::Data(bytes) if modbus.contains(&event.connection) => match event.direction {
                port502_capture::Direction::ToServer => asked += frames(bytes),
                port502_capture::Direction::ToClient => answered += frames(bytes),
            },
            StreamEventKind::Stray { what, .. } => strays.push(what),
            _ => {}
        }
    };
    let mut packets = 0;
    while let Some(record) = capture.next_record().unwrap() {
        packets = record.number;
        streams.push_record(&record, &mut sink);
    }
    streams.finish(&mut sink);
    assert_eq!(capture.end(), End::Whole);
    assert_eq!(streams.held_bytes(), 0);
    Seen { packets, asked, answered, strays, counters: streams.counters() }
}

/// How many Modbus frames stand in a segment: enough of a decoder for captures whose frames do not cross segments.
fn frames(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [_, _, 0, 0, 0, len, rest @ ..] = bytes
        && *len >= 2
        && let Some(rest) = rest.get(usize::from(*len)..)
    {
        count += 1;
        bytes = rest;
    }
    count
}

/// File, packets, frames to and from port 502, connections of any kind.
const ROWS: [(&str, u64, usize, usize, u64); 13] = [
    ("icsnpp_modbus_example.pcap", 100, 24, 24, 2),
    // Seven frames more than the README's 1789 + 1789, whose tool does not look into retransmissions: 1131 repeats one
    // request and adds four, 3674 and 13176 repeat responses and add one and two that the capture had lost.
    ("iti_mb2_mixed.pcap", 13472, 1793, 1792, 80),
    ("iti_modbus_test.pcap", 2257, 1142, 1116, 5),
    ("iti_modicon_umas.pcap", 191, 90, 90, 1),
    ("lemay_CnC_uploading_exe_6RTU.pcap", 1426, 145, 145, 147),
    ("lemay_channel_4d_12s.pcap", 44977, 7821, 7821, 3912),
    ("lemay_channel_4d_9s.pcap", 60295, 10489, 10489, 5245),
    ("lemay_characterization_6RTU.pcap", 12296, 3960, 3959, 620),
    // In these two a host opens connections from port 502: a server to the README, which goes by ports alone. One more
    // than the README's 27: frame 111 has three bytes behind its frame, and a tool that takes them for the beginning of
    // the next does not find the one in 113.
    ("quickdraw_part1.pcap", 118, 18, 28, 6),
    ("suricata-verify_modbus.pcap", 99, 18, 21, 6),
    // One response is a retransmission to a decoder that believes any number; here it is outside the window.
    ("zeek_fuzz-1011.pcap", 6, 2, 2, 1),
    ("zeek_modbus-eit.pcap", 4, 2, 2, 2),
    // The same address on both ends: only the ports tell the two apart.
    ("zeek_modbusSmall.pcap", 166, 16, 16, 16),
];

#[test]
fn counts_agree() {
    let captures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/captures"));
    if !captures.is_dir() {
        eprintln!("skipped: no ../shared/captures");
        return;
    }
    let unpacked = std::env::temp_dir().join(format!("port502-capture-test-{}", std::process::id()));
    std::fs::create_dir_all(&unpacked).unwrap();
    let mut wrong = Vec::new();
    for (name, packets, asked, answered, connections) in ROWS {
        let Some(path) = find(captures, &unpacked, name) else {
            eprintln!("skipped: {name} (no such file, or no python3 to unzip it)");
            continue;
        };
        let seen = look(&path);
        let got = (seen.packets, seen.asked, seen.answered, seen.counters.connections);
        if got != (packets, asked, answered, connections) {
            wrong.push(format!("{name}: {got:?} instead of {:?}", (packets, asked, answered, connections)));
        }
        let strays: &[Stray] = if name == "zeek_fuzz-1011.pcap" { &[Stray::Data] } else { &[] };
        assert_eq!(seen.strays, strays, "{name}");
        assert_eq!(seen.counters.conflicts, 0, "{name}");
    }
    std::fs::remove_dir_all(&unpacked).unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The capture, unpacked first if it is in a zip.
fn find(captures: &Path, unpacked: &Path, name: &str) -> Option<PathBuf> {
    let plain = captures.join(name);
    if plain.is_file() {
        return Some(plain);
    }
    let zip = plain.with_extension("zip");
    let python = Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&zip).arg(unpacked).status();
    // Inside, the names are without their origin.
    let inside = unpacked.join(name.strip_prefix("lemay_")?);
    (zip.is_file() && python.is_ok_and(|status| status.success())).then_some(inside)
}
