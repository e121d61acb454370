//! `port502 decode`: real captures give the counts of their description, our own give the text that stands in
//! `tests/decode`, and what cannot be read is said in one line.
//!
//! A changed text is written anew with `PORT502_BLESS=1 cargo test -p port502-cli --test decode`; its diff is reviewed
//! like code.

#![allow(unreachable_pub, reason = "the fuzz target has the law as a public module")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "decode/law.rs"]
mod law;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use port502_capture::synth::{self, Conversation, Frame};
use serde_json::Value;

fn decode<S: AsRef<str>>(arguments: &[S], input: &[u8]) -> Output {
    let arguments = arguments.iter().map(AsRef::as_ref);
    let mut child = Command::new(env!("CARGO_BIN_EXE_port502"))
        .arg("decode")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Both pipes may fill: one thread writes while this one reads.
    let writer = std::thread::spawn(move || {
        // A program that found a fault early does not read to the end.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

// ---- real captures ------------------------------------------------------------------------------------------------

/// What a real capture holds.
struct Real {
    file: &'static str,
    requests: u64,
    responses: u64,
    exceptions: &'static [(u8, u64)],
    functions: &'static [(u8, u64)],
}

/// The README beside the captures has the counts of tshark 4.0. Where ours differ, the row says why.
const REAL: &[Real] = &[
    Real {
        file: "icsnpp_modbus_example.pcap",
        requests: 24,
        responses: 24,
        exceptions: &[(2, 1)],
        functions: &[
            (1, 2),
            (2, 2),
            (3, 3),
            (4, 2),
            (5, 1),
            (6, 1),
            (7, 1),
            (8, 1),
            (15, 1),
            (16, 1),
            (17, 1),
            (20, 1),
            (21, 1),
            (22, 2),
            (23, 2),
            (24, 1),
            (43, 1),
        ],
    },
    // tshark has 1789 + 1789, and 584 of function 4: it passes over a segment whose front was sent before, and with it
    // over what is new behind that. Packet 1131 brings 4 requests so (12 of its 60 bytes are old), packet 13176 a
    // response (239 of 269), and packet 3674 the two that the capture had lost and the server sent again.
    Real {
        file: "iti_mb2_mixed.pcap",
        requests: 1793,
        responses: 1792,
        exceptions: &[],
        functions: &[(1, 345), (2, 362), (4, 588), (15, 498)],
    },
    Real {
        file: "iti_modbus_test.pcap",
        requests: 1142,
        responses: 1116,
        exceptions: &[],
        functions: &[(4, 1079), (6, 63)],
    },
    Real {
        file: "iti_modicon_umas.pcap",
        requests: 90,
        responses: 90,
        exceptions: &[],
        functions: &[(90, 90)],
    },
    Real {
        file: "lemay_CnC_uploading_exe_6RTU.pcap",
        requests: 145,
        responses: 145,
        exceptions: &[],
        functions: &[(1, 48), (2, 48), (3, 48), (5, 1)],
    },
    Real {
        file: "lemay_channel_4d_12s.zip",
        requests: 7821,
        responses: 7821,
        exceptions: &[],
        functions: &[(1, 3903), (3, 1929), (5, 1959), (6, 20), (16, 10)],
    },
    Real {
        file: "lemay_channel_4d_9s.zip",
        requests: 10489,
        responses: 10489,
        exceptions: &[],
        functions: &[(1, 5287), (3, 2571), (5, 2601), (6, 20), (16, 10)],
    },
    Real {
        file: "lemay_characterization_6RTU.pcap",
        requests: 3960,
        responses: 3959,
        exceptions: &[(2, 3329)],
        functions: &[(1, 210), (2, 214), (3, 218), (4, 3315), (5, 3)],
    },
    // tshark has 27 responses. Packet 111 has three stray bytes behind its frame; tshark takes them for the front of the
    // frame in packet 113 and so loses that one. Both stand in the README as what they are: odd replies of function 42.
    Real {
        file: "quickdraw_part1.pcap",
        requests: 18,
        responses: 28,
        exceptions: &[(5, 5), (6, 5), (11, 4)],
        functions: &[(1, 2), (3, 1), (5, 2), (6, 1), (8, 8), (17, 2), (43, 2)],
    },
    Real {
        file: "suricata-verify_modbus.pcap",
        requests: 18,
        responses: 21,
        exceptions: &[(6, 5), (11, 4)],
        functions: &[(1, 2), (3, 1), (5, 2), (6, 1), (8, 8), (17, 2), (43, 2)],
    },
    Real { file: "zeek_fuzz-1011.pcap", requests: 2, responses: 2, exceptions: &[], functions: &[(4, 2)] },
    Real {
        file: "zeek_modbus-eit.pcap",
        requests: 2,
        responses: 2,
        exceptions: &[(4, 1)],
        functions: &[(43, 2)],
    },
    Real {
        file: "zeek_modbusSmall.pcap",
        requests: 16,
        responses: 16,
        exceptions: &[],
        functions: &[(1, 8), (15, 8)],
    },
];

/// `../shared/captures`, beside the workspace.
fn captures() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let captures = workspace.parent()?.join("shared/captures");
    if !captures.is_dir() {
        eprintln!("skipped: {} is not there", captures.display());
        return None;
    }
    Some(captures)
}

/// The capture, unpacked beside the test's other output if it is packed.
fn unpacked(file: &Path) -> PathBuf {
    if file.extension().is_none_or(|extension| extension != "zip") {
        return file.to_owned();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file.file_stem().unwrap());
    let python = ["-m", "zipfile", "-e"];
    let status = Command::new("python3").args(python).arg(file).arg(&folder).status().unwrap();
    assert!(status.success(), "unpacking {}", file.display());
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

fn counts<K: ToString>(of: &[(K, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(key, count)| (key.to_string(), *count)).collect()
}

fn counts_in(summary: &Value, field: &str) -> BTreeMap<String, u64> {
    let of = summary.get(field).unwrap().as_object().unwrap();
    of.iter().map(|(key, count)| (key.clone(), count.as_u64().unwrap())).collect()
}

#[test]
fn real_captures_give_the_counts_of_their_description() {
    let Some(captures) = captures() else { return };
    for real in REAL {
        let path = unpacked(&captures.join(real.file));
        let path = path.to_str().unwrap();
        let output = decode(&["--pcap", path, "--summary", "--json"], b"");
        assert!(output.status.success(), "{}: {}", real.file, text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{}", real.file);
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        let number = |field: &str| summary.get(field).and_then(Value::as_u64).unwrap();
        let exceptions = real.exceptions.iter().map(|(_, count)| count).sum();
        assert_eq!(
            (number("requests"), number("responses"), number("exceptions")),
            (real.requests, real.responses, exceptions),
            "{}",
            real.file
        );
        assert_eq!(counts_in(&summary, "by_exception"), counts(real.exceptions), "{}", real.file);
        assert_eq!(counts_in(&summary, "by_function"), counts(real.functions), "{}", real.file);

        // The lines tell the same as the summary.
        let output = decode(&["--pcap", path, "--json"], b"");
        assert!(output.status.success(), "{}: {}", real.file, text(&output.stderr));
        let (mut requests, mut responses, mut anomalies) = (0, 0, BTreeMap::new());
        for line in text(&output.stdout).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            requests += u64::from(line.get("request").unwrap().is_object());
            responses += u64::from(line.get("response").unwrap().is_object());
            for anomaly in line.get("anomalies").unwrap().as_array().unwrap() {
                *anomalies.entry(anomaly.as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
        }
        assert_eq!((requests, responses), (real.requests, real.responses), "{}", real.file);
        assert_eq!(anomalies, counts_in(&summary, "anomalies"), "{}", real.file);
    }
}

/// What breaks the specification in real traffic, and nothing else.
#[test]
fn real_captures_are_not_slandered() {
    let Some(captures) = captures() else { return };
    let rows: &[(&str, &[(&str, u64)])] = &[
        // Functions 20 and 21 with a byte count of 0: so says the trace.
        ("icsnpp_modbus_example.pcap", &[("byte-count", 2)]),
        ("iti_mb2_mixed.pcap", &[]),
        // One client sent three requests with id 504 at once.
        ("iti_modbus_test.pcap", &[("transaction-reused", 2)]),
        // Of 261 bytes, both the request and its response.
        ("iti_modicon_umas.pcap", &[("too-long", 1)]),
        ("lemay_CnC_uploading_exe_6RTU.pcap", &[]),
        ("lemay_channel_4d_12s.zip", &[]),
        ("lemay_channel_4d_9s.zip", &[]),
        ("lemay_characterization_6RTU.pcap", &[]),
        // A request for 147 registers. Sequence numbers and addresses are fuzzed: no response finds its request.
        ("zeek_fuzz-1011.pcap", &[("quantity", 1)]),
        // A device identification with a conformity level of 0x4D.
        ("zeek_modbus-eit.pcap", &[("value", 1)]),
        ("zeek_modbusSmall.pcap", &[]),
        // The attacks of the README: blobs (76 and 78) and foreign protocol ids (80 and 82) make one stretch; 12 forged
        // responses, 10 of them with a byte too many, as have both requests of function 43; three stray bytes.
        (
            "quickdraw_part1.pcap",
            &[
                ("frame-length", 1),
                ("not-modbus", 1),
                ("protocol-id", 1),
                ("trailing", 12),
                ("transaction-reused", 1),
                ("unsolicited", 12),
            ],
        ),
    ];
    for (file, anomalies) in rows {
        let path = unpacked(&captures.join(file));
        let output = decode(&["--pcap", path.to_str().unwrap(), "--summary", "--json"], b"");
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(counts_in(&summary, "anomalies"), counts(anomalies), "{file}");
    }
}

// ---- our own captures ---------------------------------------------------------------------------------------------

/// A frame of unit 1.
fn frame(transaction: u16, pdu: &[u8]) -> Vec<u8> {
    let [t1, t0] = transaction.to_be_bytes();
    let [l1, l0] = u16::try_from(pdu.len() + 1).unwrap().to_be_bytes();
    [&[t1, t0, 0, 0, l1, l0, 1], pdu].concat()
}

fn talk() -> Conversation {
    Conversation::v4("10.0.0.9:50123".parse().unwrap(), "10.0.0.3:502".parse().unwrap())
}

/// The text in `tests/decode/NAME.txt` is what a capture, or bytes, decode to.
fn check_golden(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decode").join(format!("{name}.txt"));
    if std::env::var_os("PORT502_BLESS").is_some() {
        fs::write(&path, got).unwrap();
        return;
    }
    let want = fs::read_to_string(&path).unwrap_or_default();
    for (number, (got, want)) in got.lines().zip(want.lines()).enumerate() {
        assert_eq!(got, want, "{} line {}", path.display(), number + 1);
    }
    assert_eq!(got.lines().count(), want.lines().count(), "{}: lines", path.display());
}

fn check_capture(name: &str, file: &[u8]) {
    law::capture(file);
    let mut got = String::new();
    for arguments in [&["--pcap", "-"][..], &["--pcap", "-", "--json"], &["--pcap", "-", "--summary"]] {
        let output = decode(arguments, file);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        got.push_str(&format!("$ port502 decode {}\n", arguments.join(" ")));
        got.push_str(&text(&output.stdout));
        if !output.stderr.is_empty() {
            got.push_str(&format!("stderr: {}", text(&output.stderr)));
        }
        got.push('\n');
    }
    check_golden(name, &got);
}

fn check_frames(name: &str, frames: &[Frame]) {
    check_capture(name, &synth::pcap(frames));
}

/// Reads, writes, refusals; several frames in a segment, and one in several.
#[test]
fn ordinary() {
    let mut talk = talk();
    talk.handshake();
    talk.to_server(&frame(1, &[3, 0, 0x6B, 0, 3])).to_client(&frame(1, &[3, 6, 2, 0x2B, 0, 0, 0, 100]));
    talk.to_server(&[frame(2, &[1, 0, 19, 0, 10]), frame(3, &[4, 0, 8, 0, 1])].concat());
    talk.to_client(&[frame(2, &[1, 2, 0xCD, 1]), frame(3, &[0x84, 2])].concat());
    let write = frame(4, &[16, 0, 1, 0, 2, 4, 0, 10, 1, 2]);
    let (front, rest) = write.split_at(9);
    talk.to_server(front).to_server(rest).to_client(&frame(4, &[16, 0, 1, 0, 2]));
    talk.to_server(&frame(5, &[5, 0, 0xAC, 0xFF, 0])).to_client(&frame(5, &[5, 0, 0xAC, 0xFF, 0]));
    talk.to_server(&frame(6, &[6, 0, 1, 0, 3])).to_client(&frame(6, &[6, 0, 1, 0, 3]));
    talk.to_server(&frame(7, &[15, 0, 19, 0, 10, 2, 0xCD, 1])).to_client(&frame(7, &[15, 0, 19, 0, 10]));
    talk.to_server(&frame(8, &[23, 0, 3, 0, 2, 0, 14, 0, 1, 2, 0, 0xFF]));
    talk.to_client(&frame(8, &[23, 4, 0, 0xFE, 0x0A, 0xCD]));
    talk.to_server(&frame(9, &[90, 0, 2])).to_client(&frame(9, &[90, 0, 0xFE]));
    check_frames("ordinary", talk.finish().frames());
}

/// What does not work on one of the four tables.
#[test]
fn details() {
    let mut talk = talk();
    talk.handshake();
    let pairs: &[(&[u8], &[u8])] = &[
        (&[2, 0, 196, 0, 22], &[2, 3, 0xAC, 0xDB, 0x35]),
        (&[7], &[7, 0x6D]),
        (&[8, 0, 0, 0xA5, 0x37], &[8, 0, 0, 0xA5, 0x37]),
        (&[11], &[11, 0xFF, 0xFF, 1, 8]),
        (&[12], &[12, 8, 0, 0, 1, 8, 1, 0x21, 0x20, 0]),
        (&[17], &[17, 6, 0x2A, 0xFF, b'P', b'u', b'm', b'p']),
        (&[20, 7, 6, 0, 4, 0, 1, 0, 2], &[20, 6, 5, 6, 0x0D, 0xFE, 0, 0x20]),
        (
            &[21, 13, 6, 0, 4, 0, 7, 0, 3, 6, 0xAF, 4, 0xBE, 0x10, 0x0D],
            &[21, 13, 6, 0, 4, 0, 7, 0, 3, 6, 0xAF, 4, 0xBE, 0x10, 0x0D],
        ),
        (&[22, 0, 4, 0, 0xF2, 0, 0x25], &[22, 0, 4, 0, 0xF2, 0, 0x25]),
        (&[24, 4, 0xDE], &[24, 0, 6, 0, 2, 1, 0xB8, 0x12, 0x84]),
        (&[43, 14, 1, 0], &[43, 14, 1, 1, 0, 0, 1, 0, 3, b'A', b'c', 0xB5]),
        (&[43, 13, 1, 2], &[43, 13, 3]),
    ];
    for (transaction, (request, response)) in (1..).zip(pairs) {
        talk.to_server(&frame(transaction, request)).to_client(&frame(transaction, response));
    }
    check_frames("details", talk.finish().frames());
}

/// The capture begins within a response, and an answer to a request before it comes: no attack.
#[test]
fn midway() {
    let mut talk = talk();
    let long = frame(6, &[&[3, 40][..], &[7; 40]].concat());
    talk.to_client(&long[20..]).to_client(&frame(7, &[3, 2, 0, 9]));
    talk.to_server(&frame(8, &[3, 0, 1, 0, 1])).to_client(&frame(8, &[3, 2, 0, 10]));
    check_frames("midway", talk.finish().frames());
}

/// Segments are missing from the capture: a request whole, and the middle of a response.
#[test]
fn gap() {
    let mut talk = talk();
    let long = frame(2, &[&[3, 40][..], &[7; 40]].concat());
    talk.handshake();
    talk.to_server(&frame(1, &[3, 0, 1, 0, 1])).to_client(&frame(1, &[3, 2, 0, 10]));
    talk.to_server(&frame(2, &[3, 0, 1, 0, 20])).to_client(&long[..20]).to_client(&long[20..30]);
    talk.to_client(&long[30..]);
    talk.to_server(&frame(3, &[3, 0, 2, 0, 1])).to_client(&frame(3, &[3, 2, 0, 11]));
    let mut frames = talk.finish().clone().into_frames();
    frames.remove(7);
    frames.remove(3);
    check_frames("gap", &frames);
}

/// Every segment twice, and two in the wrong order: it is all one to the reader.
#[test]
fn retransmission() {
    let mut talk = talk();
    talk.handshake();
    for transaction in 1..4 {
        talk.to_server(&frame(transaction, &[3, 0, 1, 0, 1])).to_client(&frame(transaction, &[3, 2, 0, 10]));
    }
    let mut frames = Vec::new();
    for frame in talk.finish().frames() {
        frames.extend([frame.clone(), frame.clone()]);
    }
    frames.swap(9, 10);
    check_frames("retransmission", &frames);
}

/// Bytes that are no frames, and the way back.
#[test]
fn garbage() {
    let mut talk = talk();
    talk.handshake();
    talk.to_server(b"GET / HTTP/1.1\r\nHost: plc\r\n\r\n").to_client(&frame(0, &[0xC7, 1]));
    talk.to_server(&frame(1, &[3, 0, 1, 0, 1])).to_client(&frame(1, &[3, 2, 0, 10]));
    let mut foreign = frame(2, &[3, 0, 1, 0, 1]);
    foreign[3] = 9;
    talk.to_server(&[foreign, frame(3, &[3, 0, 1, 0, 1])].concat()).to_client(&frame(3, &[3, 2, 0, 11]));
    talk.to_server(&[0, 4, 0, 0, 0, 0, 1, 3]).to_server(&[0, 4, 0, 0, 0x88, 4, 1, 3]);
    talk.to_server(&frame(5, &[3, 0, 1, 0, 1])).to_client(&frame(5, &[3, 2, 0, 12]));
    talk.to_client(&[0, 6, 0]);
    check_frames("garbage", talk.finish().frames());
}

/// Responses that do not belong to what was asked.
#[test]
fn pairing() {
    let mut talk = talk();
    let mut other = frame(7, &[3, 2, 0, 1]);
    other[6] = 2;
    talk.handshake();
    talk.to_client(&frame(1, &[3, 2, 0, 10]));
    talk.to_server(&[frame(2, &[3, 0, 1, 0, 1]), frame(3, &[3, 0, 2, 0, 1])].concat());
    talk.to_client(&[frame(3, &[3, 2, 0, 3]), frame(2, &[3, 2, 0, 2])].concat());
    talk.to_client(&frame(3, &[3, 2, 0, 4]));
    talk.to_server(&frame(4, &[3, 0, 1, 0, 2])).to_client(&frame(4, &[3, 2, 0, 2]));
    talk.to_server(&frame(5, &[6, 0, 1, 0, 2])).to_client(&frame(5, &[6, 0, 1, 0, 3]));
    talk.to_server(&frame(6, &[3, 0, 1, 0, 1])).to_client(&frame(6, &[4, 2, 0, 3]));
    talk.to_server(&frame(7, &[3, 0, 1, 0, 1])).to_client(&other);
    talk.to_server(&frame(8, &[3, 0xFF, 0xFF, 0, 2])).to_client(&frame(8, &[0x83, 2]));
    talk.to_server(&frame(9, &[3, 0, 1, 0, 0]));
    check_frames("pairing", talk.finish().frames());
}

/// Two devices in IPv6, one on another port, and what is none of ours.
#[test]
fn ports() {
    let mut frames = Vec::new();
    for server in ["[fd00::3]:502", "[fd00::4]:1502", "[fd00::5]:80"] {
        let mut talk = Conversation::v6("[fd00::9]:50123".parse().unwrap(), server.parse().unwrap());
        talk.handshake().to_server(&frame(1, &[3, 0, 1, 0, 1])).to_client(&frame(1, &[3, 2, 0, 10])).finish();
        frames.extend(talk.into_frames());
    }
    let file = synth::pcap(&frames);
    let servers = |arguments: &[&str]| {
        let output = decode(arguments, &file);
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        counts_in(&summary, "servers")
    };
    let arguments = ["--pcap", "-", "--summary", "--json", "--port", "1502"];
    assert_eq!(servers(&arguments[..4]), counts(&[("fd00::3", 1)]));
    assert_eq!(servers(&arguments), counts(&[("fd00::3", 1), ("fd00::4", 1)]));
}

/// Forged answers come from port 502, whoever opened the connection.
#[test]
fn modbus_over_udp() {
    let [client, server] = ["10.0.0.9:50123", "10.0.0.3:502"].map(|text| text.parse().unwrap());
    let at = |ms: i64| port502_capture::Timestamp::from_nanos(1_700_000_000_000_000_000 + ms * 1_000_000);
    let frames: Vec<Frame> = [
        (1, client, server, frame(1, &[3, 0, 107, 0, 1])),
        (2, server, client, frame(1, &[3, 2, 0x12, 0x34])),
        // Two in one, a half, and an answer that never comes.
        (3, client, server, [frame(2, &[6, 0, 1, 0, 2]), frame(3, &[1, 0, 0, 0, 8])].concat()),
        (4, server, client, frame(3, &[1, 1, 0xFF])),
        (5, server, client, frame(2, &[6, 0, 1, 0, 2])[..9].to_vec()),
    ]
    .into_iter()
    .map(|(ms, from, to, payload)| synth::udp(at(ms), from, to, &payload).unwrap())
    .collect();
    check_frames("udp", &frames);
}

#[test]
fn the_port_says_who_is_the_server() {
    let mut talk = Conversation::v4("10.0.0.3:502".parse().unwrap(), "10.0.0.9:50123".parse().unwrap());
    talk.handshake().to_server(&frame(1, &[0x81, 6])).finish();
    let output = decode(&["--pcap", "-", "--json"], &synth::pcap(talk.frames()));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line.get("server").unwrap(), "10.0.0.3:502");
    assert_eq!(line.get("anomalies").unwrap(), &serde_json::json!(["unsolicited"]));
}

/// What is whole is decoded, the cut is told, and it is no failure.
#[test]
fn a_capture_that_is_cut_off() {
    let mut talk = talk();
    talk.handshake().to_server(&frame(1, &[3, 0, 1, 0, 1])).to_client(&frame(1, &[3, 2, 0, 10]));
    let file = synth::pcap(talk.frames());
    check_capture("cut", &file[..file.len() - 5]);
}

/// What the fuzz target has collected. The folder is not part of the packaged crate.
#[test]
fn what_fuzzing_collected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/capture");
    let Ok(files) = fs::read_dir(&folder) else {
        println!("skipped: there is no {}", folder.display());
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        println!("{}", path.display());
        law::capture(&fs::read(path).unwrap());
    }
}

// ---- hexadecimal text ---------------------------------------------------------------------------------------------

/// One frame of each function in both directions, and what is wrong with some.
const HEX: &[&[&str]] = &[
    &["01 00 13 00 13"],
    &["01 03 CD 6B 05"],
    &["00 01 00 00 00 06 ff 01 00 13 00 0a 00 01 00 00 00 05 ff 01 02 cd 01"],
    &["02 00 C4 00 16"],
    &["02 03 AC DB 35"],
    &["03 00 6B 00 03"],
    &["03 06 02 2B 00 00 00 64"],
    &["00 01 00 00 00 06 ff 03 00 6b 00 03 00 01 00 00 00 09 ff 03 06 02 2b 00 00 80 00"],
    &["04 00 08 00 01"],
    &["04 02 00 0A"],
    &["05 00 AC FF 00"],
    &["05 00 AC 12 34"],
    &["06 00 01 00 03"],
    &["07"],
    &["07 6D"],
    &["08 00 00 A5 37"],
    &["08 00 04 00 01"],
    &["0B"],
    &["0B FF FF 01 08"],
    &["0C"],
    &["0C 0A 00 00 01 08 01 21 20 00 C2 41"],
    &["0F 00 13 00 0A 02 CD 01"],
    &["0F 00 13 00 0A"],
    &["0F 00 13 00 0A 01 CD"],
    &["10 00 01 00 02 04 00 0A 01 02"],
    &["10 00 01 00 02"],
    &["11"],
    &["11 06 2a ff 50 75 6d 70"],
    &["14 0E 06 00 04 00 01 00 02 06 00 03 00 09 00 02"],
    &["14 0C 05 06 0D FE 00 20 05 06 33 CD 00 40"],
    &["15 0D 06 00 04 00 07 00 03 06 AF 04 BE 10 0D"],
    &["16 00 04 00 F2 00 25"],
    &["17 00 03 00 06 00 0E 00 03 06 00 FF 00 FF 00 FF"],
    &["17 0C 00 FE 0A CD 00 01 00 03 00 0D 00 FF"],
    &["18 04 DE"],
    &["18 00 06 00 02 01 B8 12 84"],
    &["2B 0E 01 00"],
    &["2B 0E 01 01 00 00 02 00 03 41 63 6d 01 02 58 31"],
    &["2B 0D 01 02 03"],
    &["41 01 02"],
    &["83 02"],
    &["AB 63"],
    // Limits, and what a server answers.
    &["03 00 00 00 00"],
    &["03 00 00 00 7E"],
    &["03 FF FF 00 02"],
    &["03 00 6B 00"],
    &["03 00 6B 00 03 00"],
    &["00"],
    // Links.
    &["11 03 00 6B 00 03 76 87"],
    &["11 03 00 6B 00 03 76 88"],
    &["00 06 00 01 00 03 98 1A"],
    &["11 03 00 6B 00 03 76 87 11 03 06 02 2B 00 00 00 64 C8 BA"],
    &[":1103006B00037E"],
    &[":1103006B00037F"],
    &["3A 31 31 30 33 30 30 36 42 30 30 30 33 37 45 0D 0A"],
    &["3A 31 31 30 33 30 30 36 62 30 30 30 33 37 65", "--as", "ascii"],
    &["3A 31 31 38 33 30 32 36 41 0D 0A 3A 31 31 38 33 30 36 36 36 0D 0A"],
    &["11 03 00 6B 00 03"],
    &["00 01 00 00 00 06 01 03 00 6b"],
    &["00 01 00 07 00 06 01 03 00 6b 00 03", "--as", "tcp"],
    &["00 01 00 00 01 06 01 03 00 6b 00 03", "--as", "tcp"],
    &["00 01", "--as", "tcp"],
    &["03 00 6B 00 03", "--as", "rtu"],
    &["03", "--as", "rtu"],
    &["03 00 6B 00 03", "--response"],
    &["03 02 00 01", "--request"],
    &["00 01 00 00 00 06 01 05 00 01 ff 00", "--json"],
];

#[test]
fn hexadecimal_text_is_explained() {
    let mut got = String::new();
    for arguments in HEX {
        let output = decode(arguments, b"");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        got.push_str(&format!("$ port502 decode {}\n{}\n", arguments.join(" "), text(&output.stdout)));
    }
    check_golden("hex", &got);
}

#[test]
fn text_comes_from_standard_input_too() {
    let frame = "00 01 00 00 00 06 ff 03 00 6b 00 03";
    let want = text(&decode(&[frame], b"").stdout);
    let dump = "00000000  00 01 00 00 00 06 ff 03  00 6b 00 03              |.........k..|\n0000000c\n";
    // Lines that are frames only together, as `xxd -p` breaks them.
    for input in [frame, dump, "000100000006ff\n03006b0003\n"] {
        for arguments in [&[][..], &["-"]] {
            assert_eq!(text(&decode::<&str>(arguments, input.as_bytes()).stdout), want, "{input}");
        }
    }
    // Lines that are frames by themselves.
    let two = text(&decode::<&str>(&[], b"03 00 6b 00 03\n83 02\n").stdout);
    assert_eq!(two.matches("PDU ").count(), 2, "{two}");
    assert_eq!(text(&decode(&frame.split(' ').collect::<Vec<_>>(), b"").stdout), want);
}

// ---- what cannot be read ------------------------------------------------------------------------------------------

#[test]
fn what_cannot_be_read_is_said_in_one_line() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut talk = talk();
    talk.handshake().to_server(&frame(1, &[3, 0, 1, 0, 1])).to_client(&frame(1, &[3, 2, 0, 10]));
    let whole = synth::pcap(talk.frames());
    // The length of the last record is none that a packet can have.
    let mut damaged = whole.clone();
    damaged.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0]);
    let rows: &[(&[&str], i32, &str)] = &[
        (&["03 0g"], 2, "line 1, column 5: `g` in `0g` is no hexadecimal digit"),
        (&["03 123"], 2, "line 1, column 4: `123` has an odd number of digits"),
        (&["b'00010000'"], 2, "line 1, column 1: `b'` begins a Python literal"),
        (&[""], 2, "there are no bytes"),
        (&["03", "--summary"], 2, "the argument '[HEX]...' cannot be used with '--summary'"),
        (&["--summary", "--as", "tcp"], 2, "the argument '--summary' cannot be used with '--as <KIND>'"),
        (&["03", "--port", "1502"], 2, "the argument '[HEX]...' cannot be used with '--port <PORT>'"),
        (&["--port", "1502"], 2, "required arguments were not provided: --pcap <FILE>"),
        (&["--pcap", "file", "--port", "0"], 2, "invalid value '0' for '--port <PORT>'"),
        (&["03", "--as", "udp"], 2, "[possible values: tcp, rtu, ascii, pdu]"),
        (&["03", "--pcap", "file"], 2, "cannot be used with"),
        (&["--summary"], 2, "--pcap"),
        (&["--request", "--response", "03"], 2, "cannot be used with"),
        (&["--pcap", "/nowhere/at.all"], 1, "/nowhere/at.all: cannot open it: No such file"),
        (&["--pcap", folder.to_str().unwrap()], 1, "name a capture file in it"),
        (&["--pcap", &path("empty.pcap", b"")], 1, "not a capture file: it has only 0 bytes"),
        (
            &["--pcap", &path("text.pcap", b"00 01 00 00")],
            1,
            "frames as hexadecimal text are read without --pcap",
        ),
        (&["--pcap", &path("zip.pcap", b"PK\x03\x04rest")], 1, "it is a zip archive: unpack it first"),
        (&["--pcap", &path("gz.pcap", b"\x1F\x8B\x08\0rest")], 1, "gunzip it first"),
        (&["--pcap", &path("damaged.pcap", &damaged)], 1, "what came before it was decoded"),
    ];
    for (arguments, code, message) in rows {
        let output = decode(arguments, b"");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("port502: ") && stderr.contains(message), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    }
    // A damaged capture is decoded up to the damage.
    let output = decode(&["--pcap", folder.join("damaged.pcap").to_str().unwrap()], b"");
    assert_eq!(text(&output.stdout).lines().count(), 1);
    let output = decode(&["--pcap", "-"], b"\0\0");
    assert!(text(&output.stderr).contains("standard input: not a capture file"));
    let output = decode::<&str>(&[], &whole);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("a capture is read with --pcap -"), "{}", text(&output.stderr));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut talk = talk();
    talk.handshake();
    for transaction in 0..2000 {
        talk.to_server(&frame(transaction, &[3, 0, 1, 0, 1])).to_client(&frame(transaction, &[3, 2, 0, 10]));
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("long.pcap");
    fs::write(&path, synth::pcap(talk.frames())).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_port502"))
        .args(["decode", "--pcap"])
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}
