//! Which frames bytes are: the link is told from them, or forced by the user.

use std::ops::Range;

use port502_session::tap::FRAME_MAX;
use port502_wire::function::{request_len, response_len};
use port502_wire::{FunctionCode, Request, Response, ascii, rtu};

use super::hex::Input;

/// How frames are wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Link {
    /// Modbus/TCP: a header with transaction id, protocol id, length and unit.
    Tcp,
    /// A serial line: unit, PDU, CRC.
    Rtu,
    /// A serial line as text: a colon, then unit, PDU and LRC in hexadecimal.
    Ascii,
    /// Function code and data, without anything around them.
    Pdu,
}

/// Who sent a PDU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Request,
    Response,
    /// The same bytes are both, as where a response repeats its request.
    Either,
}

/// One frame of an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Frame<'a> {
    pub(super) link: Link,
    /// Where it begins in the input.
    pub(super) offset: usize,
    /// Without an ASCII frame's colon, and out of its digits.
    pub(super) bytes: &'a [u8],
    /// Where the unit stands; a bare PDU has none.
    pub(super) unit: Option<usize>,
    pub(super) pdu: Range<usize>,
    /// What is wrong around the PDU.
    pub(super) problems: Vec<String>,
}

/// One way to read an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reading<'a> {
    pub(super) frames: Vec<Frame<'a>>,
    /// What speaks for it.
    pub(super) why: &'static str,
}

impl<'a> Frame<'a> {
    pub(super) fn pdu(&self) -> &'a [u8] {
        self.bytes.get(self.pdu.clone()).unwrap_or_default()
    }

    pub(super) fn transaction(&self) -> Option<u16> {
        match (self.link, self.bytes) {
            (Link::Tcp, [high, low, ..]) => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        }
    }

    pub(super) fn unit(&self) -> Option<u8> {
        self.bytes.get(self.unit?).copied()
    }
}

/// How well a link fits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fit {
    No,
    /// But for a check that is wrong, or bytes that are missing.
    Nearly,
    Whole,
}

/// The readings of an input that are possible; the likelier one first, and seldom more than one.
pub(super) fn readings<'a>(input: &'a Input, forced: Option<Link>) -> Vec<Reading<'a>> {
    let one = |frames, why| vec![Reading { frames, why }];
    let (bytes, is_ascii) = match input {
        Input::Bytes(bytes) => (bytes, false),
        Input::Ascii(bytes) => (bytes, true),
    };
    match forced {
        Some(Link::Tcp) => return one(tcp(bytes).0, "as asked for"),
        Some(Link::Rtu) => return one(rtu(bytes).0, "as asked for"),
        Some(Link::Ascii) => return one(vec![ascii_frame(bytes)], "as asked for"),
        Some(Link::Pdu) => return one(vec![bare(bytes)], "as asked for"),
        None if is_ascii => return one(vec![ascii_frame(bytes)], "it begins with a colon"),
        None => {}
    }
    let (tcp, tcp_fit) = tcp(bytes);
    let (rtu, rtu_fit) = rtu(bytes);
    let tcp = |why| Reading { frames: tcp.clone(), why };
    let rtu = |why| Reading { frames: rtu.clone(), why };
    let whole_tcp = "protocol id 0, and the length is right";
    let whole_rtu = "the CRC is right";
    match (tcp_fit, rtu_fit) {
        (Fit::Whole, Fit::Whole) => return vec![tcp(whole_tcp), rtu(whole_rtu)],
        (Fit::Whole, _) => return vec![tcp(whole_tcp)],
        (_, Fit::Whole) => return vec![rtu(whole_rtu)],
        _ => {}
    }
    // What is left is weaker: bytes that make sense by themselves, or almost make a frame.
    if makes_sense(bytes) {
        return one(vec![bare(bytes)], "function code and data fit each other");
    }
    let mut readings = Vec::new();
    if tcp_fit == Fit::Nearly {
        readings.push(tcp("protocol id 0, and the length may be right"));
    }
    if rtu_fit == Fit::Nearly {
        readings.push(rtu("it makes sense between a unit and a CRC, though the CRC is wrong"));
    }
    if readings.is_empty() && bytes.get(1..).is_some_and(makes_sense) {
        let frame = Frame { unit: Some(0), pdu: 1..bytes.len(), ..bare(bytes) };
        readings.push(Reading { frames: vec![frame], why: "it makes sense behind a unit id" });
    }
    if readings.is_empty() {
        readings.push(Reading { frames: vec![bare(bytes)], why: "no kind of frame fits" });
    }
    readings
}

/// Whether several lines are the parts of one run of bytes: together they make frames, alone they do not.
pub(super) fn belong_together(lines: &[Input]) -> Option<Input> {
    let mut bytes = Vec::new();
    let mut alone = true;
    for line in lines {
        let Input::Bytes(line) = line else { return None };
        alone &= tcp(line).1 == Fit::Whole || rtu(line).1 == Fit::Whole || makes_sense(line);
        bytes.extend_from_slice(line);
    }
    let together = tcp(&bytes).1 == Fit::Whole || rtu(&bytes).1 == Fit::Whole;
    (together && !alone).then_some(Input::Bytes(bytes))
}

/// The ASCII frames that bytes spell, as a serial line carries them: `3A 31 31 .. 0D 0A`.
pub(super) fn spelled(input: &Input) -> Option<Vec<Input>> {
    let Input::Bytes(bytes) = input else { return None };
    let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n');
    let frames = lines.map(|line| {
        let digits = line.strip_suffix(b"\r").unwrap_or(line).strip_prefix(b":")?;
        let digits =
            digits.iter().map(|digit| char::from(*digit).to_digit(16)).collect::<Option<Vec<_>>>()?;
        let pairs = digits.chunks_exact(2).filter(|_| digits.len() % 2 == 0);
        let frame: Vec<u8> = pairs
            .filter_map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte << 4 | digit)).ok())
            .collect();
        // Unit, function code and LRC: what is shorter may be anything.
        (frame.len() >= 3).then_some(Input::Ascii(frame))
    });
    frames.collect()
}

/// Whether bytes are a PDU whose function is known, to its last byte.
fn makes_sense(pdu: &[u8]) -> bool {
    let known = pdu.first().is_some_and(|code| FunctionCode(code & 0x7F).facts().is_some());
    known && (Request::parse(pdu).is_ok() || Response::parse(pdu).is_ok())
}

/// Who sent a PDU; both where the bytes can be either and mean something else.
pub(super) fn ways(pdu: &[u8], forced: Option<Way>, asked: Option<&[u8]>) -> Vec<Way> {
    if let Some(way) = forced {
        return vec![way];
    }
    let (request, response) = (Request::parse(pdu), Response::parse(pdu));
    if let (Ok(response), Some(Ok(asked))) = (&response, asked.map(Request::parse))
        && response.answers(&asked).is_ok()
    {
        return vec![Way::Response];
    }
    match (request, response) {
        (Ok(request), Ok(response)) => match response.answers(&request) {
            // What answers itself is an echo.
            Ok(()) => vec![Way::Either],
            Err(_) => vec![Way::Request, Way::Response],
        },
        (Ok(_), Err(_)) => vec![Way::Request],
        (Err(_), Ok(_)) => vec![Way::Response],
        // Neither is right: what its length, or its high bit, speaks for.
        (Err(_), Err(_)) => {
            let exception = pdu.first().is_some_and(|function| *function >= 0x80);
            let len = Ok(Some(pdu.len()));
            let by_length = response_len(pdu) == len && request_len(pdu) != len;
            vec![if exception || by_length { Way::Response } else { Way::Request }]
        }
    }
}

fn tcp(bytes: &[u8]) -> (Vec<Frame<'_>>, Fit) {
    let (mut frames, mut fit, mut offset) = (Vec::new(), Fit::Whole, 0);
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty() || offset == 0) {
        let mut problems = Vec::new();
        let &[_, _, p1, p0, l1, l0, ..] = rest else {
            problems.push(format!("the header has 7 bytes; {} are missing", 7 - rest.len()));
            frames.push(Frame {
                link: Link::Tcp,
                offset,
                bytes: rest,
                unit: None,
                pdu: rest.len()..rest.len(),
                problems,
            });
            return (frames, if offset == 0 { Fit::No } else { Fit::Nearly.min(fit) });
        };
        let (protocol, length) = (u16::from_be_bytes([p1, p0]), u16::from_be_bytes([l1, l0]));
        let len = 6 + usize::from(length);
        if protocol != 0 {
            problems.push(format!(
                "protocol id {protocol} is not Modbus: a server discards the frame, unanswered"
            ));
            fit = Fit::No;
        }
        if !(2..=254).contains(&length) {
            problems.push(format!("length {length} is not within 2 to 254: a server closes the connection"));
            fit = Fit::No;
        }
        let sane = (8..=FRAME_MAX).contains(&len);
        let end = if sane { len.min(rest.len()) } else { rest.len() };
        if sane && len > rest.len() {
            problems.push(format!("the length says {len} bytes; {} of them are missing", len - rest.len()));
            fit = fit.min(Fit::Nearly);
        }
        let (frame, _) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        let unit = (frame.len() > 6).then_some(6);
        frames.push(Frame { link: Link::Tcp, offset, bytes: frame, unit, pdu: end.min(7)..end, problems });
        offset += end;
        if end == 0 {
            break;
        }
    }
    (frames, fit)
}

fn rtu(bytes: &[u8]) -> (Vec<Frame<'_>>, Fit) {
    let (mut frames, mut offset) = (Vec::new(), 0);
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        let whole = rtu::split(rest).map(|_| rest.len());
        let among = || {
            (rtu::ADU_MIN..=rtu::ADU_MAX).find(|&len| {
                let frame = rest.get(..len).and_then(rtu::split);
                frame.is_some_and(|frame| makes_sense(frame.pdu))
            })
        };
        let Some(len) = whole.or_else(among) else { break };
        let (frame, _) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        frames.push(rtu_frame(frame, offset));
        offset += len;
    }
    if offset == bytes.len() && offset != 0 {
        return (frames, Fit::Whole);
    }
    let frame = rtu_frame(bytes, 0);
    let fit = if makes_sense(frame.pdu()) { Fit::Nearly } else { Fit::No };
    (vec![frame], fit)
}

fn rtu_frame(bytes: &[u8], offset: usize) -> Frame<'_> {
    let mut problems = Vec::new();
    match bytes.split_last_chunk::<2>() {
        Some((body, check)) if bytes.len() >= rtu::ADU_MIN => {
            let (got, right) = (u16::from_le_bytes(*check), rtu::crc16(body));
            if got != right {
                let [low, high] = right.to_le_bytes();
                problems.push(format!(
                    "the CRC is wrong: {low:02x} {high:02x} would be right; a server gives no answer"
                ));
            }
            if bytes.len() > rtu::ADU_MAX {
                problems.push(format!("{} bytes are more than {}", bytes.len(), rtu::ADU_MAX));
            }
            let pdu = 1..body.len();
            Frame { link: Link::Rtu, offset, bytes, unit: Some(0), pdu, problems }
        }
        _ => {
            problems.push(format!("a frame has at least {} bytes", rtu::ADU_MIN));
            let pdu = bytes.len().min(1)..bytes.len();
            Frame { link: Link::Rtu, offset, bytes, unit: (!bytes.is_empty()).then_some(0), pdu, problems }
        }
    }
}

fn ascii_frame(bytes: &[u8]) -> Frame<'_> {
    let mut problems = Vec::new();
    let pdu = match bytes.split_last() {
        Some((check, body)) if body.len() >= 2 => {
            let right = ascii::lrc(body);
            if *check != right {
                problems
                    .push(format!("the LRC is wrong: {right:02x} would be right; a server gives no answer"));
            }
            1..body.len()
        }
        _ => {
            problems.push("a frame has at least unit, function code and LRC".to_owned());
            bytes.len().min(1)..bytes.len()
        }
    };
    Frame { link: Link::Ascii, offset: 0, bytes, unit: (!bytes.is_empty()).then_some(0), pdu, problems }
}

fn bare(bytes: &[u8]) -> Frame<'_> {
    Frame { link: Link::Pdu, offset: 0, bytes, unit: None, pdu: 0..bytes.len(), problems: Vec::new() }
}
