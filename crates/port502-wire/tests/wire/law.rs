//! Laws that hold for every input: the bodies of the fuzz targets, which ordinary tests call too.
//!
//! Where a law is about pieces, the first byte of the input says where the stream after it is cut.

use port502_wire::{
    Anomalies, Anomaly, ExceptionCode, PDU_MAX, PduError, Request, Response, UnitId, ascii,
    function::{UnknownLength, request_len, response_len},
    mbap, rtu, serial, view,
};

/// Strict and lenient reading agree, and what was read gives the same bytes back.
pub fn pdu(bytes: &[u8]) {
    request(bytes);
    response(bytes);
    lengths(bytes, request_len);
    lengths(bytes, response_len);
    if let (Ok(request), Ok(response)) = (Request::parse(bytes), Response::parse(bytes)) {
        let _ = response.answers(&request);
    }
}

fn request(bytes: &[u8]) {
    let seen = view::request(bytes);
    let parsed = Request::parse(bytes);
    agree(bytes, &seen, parsed.err());
    let Ok(parsed) = parsed else { return };
    let mut buffer = [0; PDU_MAX];
    assert_eq!(parsed.emit(&mut buffer), Ok(bytes), "emit undoes parse: {parsed:?}");
    exact(bytes, request_len(bytes));
    assert_eq!(seen.function, Some(parsed.function()));
    let range = |start, count| Some(view::Range { start, count });
    let (read, write, data): (_, _, &[u8]) = match parsed {
        Request::ReadCoils { span } | Request::ReadDiscreteInputs { span } => {
            (range(span.start(), span.count()), None, &[])
        }
        Request::ReadHoldingRegisters { span } | Request::ReadInputRegisters { span } => {
            (range(span.start(), span.count()), None, &[])
        }
        Request::WriteSingleCoil { address, .. }
        | Request::WriteSingleRegister { address, .. }
        | Request::MaskWriteRegister { address, .. } => (None, range(address, 1), &bytes[3..]),
        Request::WriteMultipleCoils { block } => {
            let span = block.span();
            assert_eq!(block.values().iter().count(), usize::from(span.count()));
            (None, range(span.start(), span.count()), block.values().bytes())
        }
        Request::WriteMultipleRegisters { block } => {
            let span = block.span();
            assert_eq!(block.values().len(), usize::from(span.count()));
            (None, range(span.start(), span.count()), block.values().bytes())
        }
        Request::ReadWriteMultipleRegisters { read, write } => {
            let span = write.span();
            (range(read.start(), read.count()), range(span.start(), span.count()), write.values().bytes())
        }
        Request::ReadFifoQueue { address } => (range(address, 1), None, &[]),
        Request::ReadFileRecord { records } => {
            assert_eq!(records.iter().count() * 7, bytes.len() - 2);
            (None, None, &bytes[2..])
        }
        Request::WriteFileRecord { records } => {
            let total: usize = records.iter().map(|run| 7 + run.registers.bytes().len()).sum();
            assert_eq!(total, bytes.len() - 2, "every run of {records:?}");
            (None, None, &bytes[2..])
        }
        Request::Diagnostics { sub_function, data } => {
            assert_eq!(seen.sub, Some(sub_function.0));
            (None, None, data)
        }
        Request::ReadDeviceIdentification { .. } => {
            assert_eq!(seen.sub, Some(14));
            (None, None, &bytes[2..])
        }
        Request::EncapsulatedInterface { mei, data } => {
            assert_eq!(seen.sub, Some(mei.into()));
            (None, None, data)
        }
        Request::Other { data, .. } => (None, None, data),
        Request::ReadExceptionStatus
        | Request::GetCommEventCounter
        | Request::GetCommEventLog
        | Request::ReportServerId => (None, None, &[]),
    };
    assert_eq!((seen.read, seen.write, seen.data), (read, write, data), "the view of {parsed:?}");
}

fn response(bytes: &[u8]) {
    let seen = view::response(bytes);
    let parsed = Response::parse(bytes);
    agree(bytes, &seen, parsed.err());
    let Ok(parsed) = parsed else { return };
    let mut buffer = [0; PDU_MAX];
    assert_eq!(parsed.emit(&mut buffer), Ok(bytes), "emit undoes parse: {parsed:?}");
    exact(bytes, response_len(bytes));
    assert_eq!(seen.function, Some(parsed.function()));
    let range = |start, count| Some(view::Range { start, count });
    let (write, data): (_, &[u8]) = match parsed {
        Response::ReadCoils { bits } | Response::ReadDiscreteInputs { bits } => (None, bits.bytes()),
        Response::ReadHoldingRegisters { registers }
        | Response::ReadInputRegisters { registers }
        | Response::ReadWriteMultipleRegisters { registers }
        | Response::ReadFifoQueue { registers } => {
            assert_eq!(registers.iter().count(), registers.len());
            (None, registers.bytes())
        }
        Response::WriteSingleCoil { address, .. }
        | Response::WriteSingleRegister { address, .. }
        | Response::MaskWriteRegister { address, .. } => (range(address, 1), &bytes[3..]),
        Response::WriteMultipleCoils { start, count } | Response::WriteMultipleRegisters { start, count } => {
            (range(start, count), &[])
        }
        Response::ReadFileRecord { records } => {
            let total: usize = records.iter().map(|run| 2 + run.bytes().len()).sum();
            assert_eq!(total, bytes.len() - 2, "every run of {records:?}");
            (None, &bytes[2..])
        }
        Response::WriteFileRecord { .. }
        | Response::GetCommEventLog { .. }
        | Response::ReportServerId { .. } => (None, &bytes[2..]),
        Response::ReadDeviceIdentification(identification) => {
            let objects = identification.objects;
            assert_eq!(objects.iter().count(), objects.len(), "every object of {objects:?}");
            (None, &bytes[2..])
        }
        Response::Diagnostics { data, .. }
        | Response::EncapsulatedInterface { data, .. }
        | Response::Other { data, .. } => (None, data),
        Response::ReadExceptionStatus { .. } | Response::GetCommEventCounter { .. } => (None, &bytes[1..]),
        Response::Exception { code, .. } => {
            assert_eq!(seen.exception, Some(code));
            (None, &[])
        }
    };
    assert_eq!((seen.read, seen.write, seen.data), (None, write, data), "the view of {parsed:?}");
}

/// The view has the anomaly of the strict parser's error, and no other.
fn agree(bytes: &[u8], seen: &view::View<'_>, error: Option<PduError>) {
    let mut want = error.map_or(Anomalies::NONE, |error| Anomaly::from(error).into());
    if let Some(ExceptionCode::Other(_)) = seen.exception {
        want.add(Anomaly::ExceptionCode);
    }
    assert_eq!(seen.anomalies, want, "{error:?} in {bytes:02x?}");
    if let Some(error) = error {
        assert!((1..=3).contains(&error.exception().code()));
        assert!(!error.to_string().is_empty());
    }
}

/// A rule of length tells the length of a whole PDU.
fn exact(bytes: &[u8], rule: Result<Option<usize>, UnknownLength>) {
    match rule {
        Ok(len) => assert_eq!(len, Some(bytes.len()), "length of {bytes:02x?}"),
        Err(UnknownLength { least }) => assert!(least <= bytes.len(), "{least} bytes of {bytes:02x?}"),
    }
}

/// What a rule of length says of the front of a PDU it says of all of it.
fn lengths(bytes: &[u8], rule: fn(&[u8]) -> Result<Option<usize>, UnknownLength>) {
    let mut known = None;
    for end in 0..=bytes.len() {
        let told = rule(&bytes[..end]);
        match (known, told) {
            (None, Ok(None)) => {}
            (None, told) => known = Some(told),
            (Some(known), told) => assert_eq!(told, known, "of {:02x?}", &bytes[..end]),
        }
    }
}

/// Cuts a stream into pieces: all in one, byte by byte, or as a generator started with `steer` says.
fn pieces(stream: &[u8], steer: u8) -> Vec<&[u8]> {
    let (mut pieces, mut rest, mut state) = (Vec::new(), stream, u32::from(steer) | 0x100);
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = match steer {
            0 => rest.len(),
            1 => 1,
            _ => 1 + usize::from(state.to_be_bytes()[0]) % (2 + usize::from(steer)),
        };
        let (piece, tail) = rest.split_at(len.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

/// What an MBAP decoder gives out, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Told {
    Frame(u16, u8, Vec<u8>),
    Foreign(u16, Vec<u8>),
    Failed(mbap::LengthError),
    Midway,
}

/// However an MBAP stream is cut, the frames are the same, and they are what the length fields say.
pub fn mbap(input: &[u8]) {
    let Some((&steer, stream)) = input.split_first() else { return };
    let want = mbap_by_hand(stream);
    for steer in [0, 1, steer] {
        assert_eq!(mbap_frames(&pieces(stream, steer)), want, "pieces by {steer}");
    }
}

fn mbap_frames(pieces: &[&[u8]]) -> Vec<Told> {
    let (mut decoder, mut told) = (mbap::Decoder::new(), Vec::new());
    for mut piece in pieces.iter().copied() {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(mbap::Received::Frame(frame))) => {
                    let mut buffer = [0; mbap::ADU_MAX];
                    let adu = mbap::emit(&frame, &mut buffer).unwrap();
                    assert_eq!(mbap::split(adu), Some(mbap::Received::Frame(frame)));
                    told.push(Told::Frame(frame.transaction.0, frame.unit.0, frame.pdu.to_vec()));
                }
                Ok(Some(mbap::Received::Foreign { protocol, adu })) => {
                    told.push(Told::Foreign(protocol, adu.to_vec()));
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next(&mut piece), Err(error), "a broken stream stays broken");
                    told.push(Told::Failed(error));
                    return told;
                }
            }
        }
        assert!(piece.is_empty(), "all is taken");
    }
    told.extend(decoder.is_midway().then_some(Told::Midway));
    told
}

fn mbap_by_hand(mut rest: &[u8]) -> Vec<Told> {
    let mut told = Vec::new();
    while rest.len() >= 6 {
        let length = u16::from_be_bytes([rest[4], rest[5]]);
        if !(2..=254).contains(&length) {
            told.push(Told::Failed(mbap::LengthError { length }));
            return told;
        }
        let len = 6 + usize::from(length);
        if rest.len() < len {
            break;
        }
        let (adu, tail) = rest.split_at(len);
        told.push(match u16::from_be_bytes([adu[2], adu[3]]) {
            0 => Told::Frame(u16::from_be_bytes([adu[0], adu[1]]), adu[6], adu[7..].to_vec()),
            protocol => Told::Foreign(protocol, adu.to_vec()),
        });
        rest = tail;
    }
    told.extend((!rest.is_empty()).then_some(Told::Midway));
    told
}

/// What a serial line's decoder gives out, kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    Frame(u8, Vec<u8>),
    CheckError(usize),
    Noise(usize),
}

impl From<serial::Received<'_>> for Heard {
    fn from(received: serial::Received<'_>) -> Self {
        match received {
            serial::Received::Frame(frame) => Heard::Frame(frame.unit.0, frame.pdu.to_vec()),
            serial::Received::CheckError { bytes } => Heard::CheckError(bytes),
            serial::Received::Noise { bytes } => Heard::Noise(bytes),
        }
    }
}

/// However an RTU stream is cut, the frames are the same; they stand in it, and every byte is accounted for.
///
/// The second byte says after how many bytes the line goes quiet: 0 for not before the end. With the highest bit of
/// the first byte the stream is made of runs, as no fuzzer guesses a CRC.
pub fn rtu(input: &[u8]) {
    let [steer, burst, stream @ ..] = input else { return };
    let stream = &if *steer >= 0x80 { checked_runs(stream) } else { stream.to_vec() };
    let burst = if *burst == 0 { usize::MAX } else { usize::from(*burst) };
    for hears in [rtu::Hears::Requests, rtu::Hears::Responses, rtu::Hears::Both] {
        let bursts: Vec<&[u8]> = stream.chunks(burst).collect();
        let want = rtu_frames(hears, &bursts, 0);
        for steer in [1, *steer] {
            assert_eq!(rtu_frames(hears, &bursts, steer), want, "{hears:?}, pieces by {steer}");
        }
        accounted(
            stream,
            &want,
            |pdu| pdu + 3,
            |frame, chunk| {
                assert_eq!(rtu::split(chunk), Some(frame));
                let mut buffer = [0; rtu::ADU_MAX];
                assert_eq!(rtu::emit(&frame, &mut buffer), Ok(chunk));
            },
        );
    }
}

/// A length byte and so many bytes each; where the length is even, their CRC is put behind them.
fn checked_runs(mut rest: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((len, tail)) = rest.split_first() {
        let (run, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        stream.extend_from_slice(run);
        if len % 2 == 0 {
            stream.extend(rtu::crc16(run).to_le_bytes());
        }
        rest = tail;
    }
    stream
}

/// What is heard in bursts, the line quiet after each.
pub fn rtu_frames(hears: rtu::Hears, bursts: &[&[u8]], steer: u8) -> Vec<Heard> {
    let (mut decoder, mut heard) = (rtu::Decoder::new(hears), Vec::new());
    for burst in bursts {
        for mut piece in pieces(burst, steer) {
            while let Some(received) = decoder.next(&mut piece) {
                heard.push(received.into());
            }
            assert!(piece.is_empty(), "all is taken");
        }
        while let Some(received) = decoder.quiet() {
            heard.push(received.into());
        }
        assert!(!decoder.is_midway());
    }
    heard
}

/// However an ASCII stream is cut, the frames are the same; they stand in it, and every character is accounted for.
///
/// The second byte is the delimiter.
pub fn ascii(input: &[u8]) {
    let [steer, delimiter, stream @ ..] = input else { return };
    let want = ascii_frames(*delimiter, &pieces(stream, 0));
    for steer in [1, *steer] {
        assert_eq!(ascii_frames(*delimiter, &pieces(stream, steer)), want, "pieces by {steer}");
    }
    accounted(
        stream,
        &want,
        |pdu| 2 * pdu + 7,
        |frame, chunk| {
            let mut buffer = [0; ascii::ADU_MAX];
            let text = ascii::emit(&frame, *delimiter, &mut buffer).unwrap();
            let (body, end) = chunk.split_at(chunk.len() - 2);
            assert_eq!(text, [&body.to_ascii_uppercase()[..], end].concat());
        },
    );
}

/// What is heard, the line quiet after all.
pub fn ascii_frames(delimiter: u8, pieces: &[&[u8]]) -> Vec<Heard> {
    let (mut decoder, mut heard) = (ascii::Decoder::new(delimiter), Vec::<Heard>::new());
    for mut piece in pieces.iter().copied() {
        while let Some(received) = decoder.next(&mut piece) {
            heard.push(received.into());
        }
        assert!(piece.is_empty(), "all is taken");
    }
    heard.extend(decoder.quiet().map(Heard::from));
    assert!(!decoder.is_midway());
    heard
}

/// Everything heard, in its order, is the whole stream. A frame takes `frame_len` of its PDU's length, and `check`
/// sees it with its bytes.
fn accounted(
    stream: &[u8],
    heard: &[Heard],
    frame_len: impl Fn(usize) -> usize,
    check: impl Fn(serial::Frame<'_>, &[u8]),
) {
    let mut rest = stream;
    for one in heard {
        let len = match one {
            Heard::Frame(_, pdu) => frame_len(pdu.len()),
            Heard::CheckError(bytes) | Heard::Noise(bytes) => *bytes,
        };
        let (chunk, tail) = rest.split_at(len);
        if let Heard::Frame(unit, pdu) = one {
            check(serial::Frame { unit: UnitId(*unit), pdu }, chunk);
        }
        rest = tail;
    }
    assert_eq!(rest, [], "{} bytes were lost", rest.len());
}
