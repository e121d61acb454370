//! Laws as properties. A failure prints the seed; `PROPTEST_RNG_SEED=seed` runs the same cases again.

use crate::law::{self, Heard};
use port502_wire::{
    Bits, CoilBlock, DeviceIdentification, DeviceObject, DeviceObjects, ExceptionCode, FileRead, FileReads,
    FileWrite, FileWrites, FunctionCode, Mismatch, PDU_MAX, Read, ReadDeviceIdCode, RecordsRead,
    RegisterBlock, Registers, Request, Response, Span, SubFunction, Table, UnitId, ascii,
    function::{request_len, response_len},
    mbap, rtu, serial,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// Runs `test` on values of `strategy`. Nothing is kept on disk: a finding becomes a row of a test.
#[track_caller]
fn hold<S: Strategy>(strategy: S, test: impl Fn(S::Value)) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(RandomState::new().hash_one(()));
    }
    println!("PROPTEST_RNG_SEED={}", config.rng_seed);
    let run = TestRunner::new(config).run(&strategy, |value| {
        test(value);
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}");
    }
}

/// What requests and their answers are made of.
#[derive(Clone, Debug)]
struct Matter {
    kind: u8,
    start: u16,
    count: u16,
    other: u16,
    words: Vec<u16>,
    bytes: Vec<u8>,
}

fn matter() -> impl Strategy<Value = Matter> {
    (
        0..KINDS,
        any::<u16>(),
        any::<u16>(),
        any::<u16>(),
        vec(any::<u16>(), 1..=125),
        vec(any::<u8>(), 0..=240),
    )
        .prop_map(|(kind, start, count, other, words, bytes)| Matter {
            kind,
            start,
            count,
            other,
            words,
            bytes,
        })
}

const KINDS: u8 = 22;

impl Matter {
    /// A span within the limit: the last address is never past 0xFFFF.
    fn span<const MAX: u16>(&self) -> Span<MAX> {
        let count = 1 + self.count % MAX;
        Span::new(self.start.min(0xFFFF - (count - 1)), count).unwrap()
    }

    /// Registers to write, within the limit.
    fn block<'a, const MAX: u16>(&self, scratch: &'a mut [u8]) -> RegisterBlock<'a, MAX> {
        let words = &self.words[..self.words.len().min(usize::from(MAX))];
        let last = u16::try_from(words.len() - 1).unwrap();
        RegisterBlock::new(self.other.min(0xFFFF - last), Registers::encode(words, scratch).unwrap()).unwrap()
    }

    /// The request that this makes, one for each kind.
    fn request<'a>(&'a self, scratch: &'a mut [u8]) -> Request<'a> {
        let records =
            |length: u16| FileRead { file: 1 + self.start % 0xFFFF, record: self.other % 9_800, length };
        match self.kind {
            0 => Request::ReadCoils { span: self.span() },
            1 => Request::ReadDiscreteInputs { span: self.span() },
            2 => Request::ReadHoldingRegisters { span: self.span() },
            3 => Request::ReadInputRegisters { span: self.span() },
            4 => Request::WriteSingleCoil { address: self.start, value: self.count % 2 == 1 },
            5 => Request::WriteSingleRegister { address: self.start, value: self.count },
            6 => Request::ReadExceptionStatus,
            7 => {
                // Whole words for the echo, whatever bytes there are for a number without a meaning.
                let echo = self.count.is_multiple_of(2);
                let sub_function = SubFunction(if echo { 0 } else { 0x8000 | self.other });
                let words = &self.bytes[..self.bytes.len() / 2 * 2];
                let data = if echo && words.is_empty() { &[1, 2] } else { words };
                Request::Diagnostics { sub_function, data: if echo { data } else { &self.bytes } }
            }
            8 => Request::GetCommEventCounter,
            9 => Request::GetCommEventLog,
            10 => {
                let values: Vec<bool> = (0..1 + self.count % 1968).map(|i| i % 3 == self.other % 3).collect();
                let last = u16::try_from(values.len() - 1).unwrap();
                let values = Bits::encode(&values, scratch).unwrap();
                Request::WriteMultipleCoils {
                    block: CoilBlock::new(self.start.min(0xFFFF - last), values).unwrap(),
                }
            }
            11 => Request::WriteMultipleRegisters { block: self.block(scratch) },
            12 => Request::ReportServerId,
            13 => {
                let runs = [records(1 + self.count % 60), records(1 + self.other % 60)];
                let some = &runs[..1 + usize::from(self.count % 2)];
                Request::ReadFileRecord { records: FileReads::encode(some, scratch).unwrap() }
            }
            14 => Request::WriteFileRecord { records: self.writes(scratch) },
            15 => Request::MaskWriteRegister { address: self.start, and: self.count, or: self.other },
            16 => Request::ReadWriteMultipleRegisters { read: self.span(), write: self.block(scratch) },
            17 => Request::ReadFifoQueue { address: self.start },
            18 => {
                Request::ReadDeviceIdentification { code: self.code(), object: self.count.to_be_bytes()[1] }
            }
            19 => Request::EncapsulatedInterface { mei: 13, data: &self.bytes },
            20 => Request::EncapsulatedInterface { mei: 15, data: &self.bytes },
            _ => Request::Other { function: 65 + self.start.to_be_bytes()[0] % 8, data: &self.bytes },
        }
    }

    fn code(&self) -> ReadDeviceIdCode {
        ReadDeviceIdCode::from_code(1 + self.other.to_be_bytes()[1] % 4).unwrap()
    }

    fn writes<'a>(&self, scratch: &'a mut [u8]) -> FileWrites<'a> {
        let (mut first, mut second) = ([0; 120], [0; 120]);
        let words = &self.words[..self.words.len().min(56)];
        let run =
            |registers| FileWrite { file: 1 + self.start % 0xFFFF, record: self.other % 9_900, registers };
        let runs = [
            run(Registers::encode(words, &mut first).unwrap()),
            run(Registers::encode(words, &mut second).unwrap()),
        ];
        FileWrites::encode(&runs[..1 + usize::from(self.count % 2)], scratch).unwrap()
    }

    /// The answer to the request that this makes.
    fn answer<'a>(&'a self, request: &Request<'a>, scratch: &'a mut [u8]) -> Response<'a> {
        let bits = |count: u16, scratch: &'a mut [u8]| {
            let values: Vec<bool> = (0..count.div_ceil(8) * 8).map(|i| i % 5 == self.other % 5).collect();
            Bits::encode(&values, scratch).unwrap()
        };
        let words = |count: u16, scratch: &'a mut [u8]| {
            let words: Vec<u16> = self.words.iter().copied().cycle().take(count.into()).collect();
            Registers::encode(&words, scratch).unwrap()
        };
        match *request {
            Request::ReadCoils { span } => Response::ReadCoils { bits: bits(span.count(), scratch) },
            Request::ReadDiscreteInputs { span } => {
                Response::ReadDiscreteInputs { bits: bits(span.count(), scratch) }
            }
            Request::ReadHoldingRegisters { span } => {
                Response::ReadHoldingRegisters { registers: words(span.count(), scratch) }
            }
            Request::ReadInputRegisters { span } => {
                Response::ReadInputRegisters { registers: words(span.count(), scratch) }
            }
            Request::WriteSingleCoil { address, value } => Response::WriteSingleCoil { address, value },
            Request::WriteSingleRegister { address, value } => {
                Response::WriteSingleRegister { address, value }
            }
            Request::ReadExceptionStatus => {
                Response::ReadExceptionStatus { status: self.start.to_be_bytes()[0] }
            }
            Request::Diagnostics { sub_function, data } => Response::Diagnostics { sub_function, data },
            Request::GetCommEventCounter => {
                Response::GetCommEventCounter { status: self.start, events: self.count }
            }
            Request::GetCommEventLog => Response::GetCommEventLog {
                status: self.start,
                events: self.count,
                messages: self.other,
                log: &self.bytes[..self.bytes.len().min(64)],
            },
            Request::WriteMultipleCoils { block } => {
                Response::WriteMultipleCoils { start: block.span().start(), count: block.span().count() }
            }
            Request::WriteMultipleRegisters { block } => {
                Response::WriteMultipleRegisters { start: block.span().start(), count: block.span().count() }
            }
            Request::ReportServerId => Response::ReportServerId { data: &self.bytes },
            Request::ReadFileRecord { records } => {
                let mut runs = Vec::new();
                for run in records.iter() {
                    runs.extend([u8::try_from(1 + 2 * run.length).unwrap(), 6]);
                    runs.extend(
                        self.words.iter().cycle().take(run.length.into()).flat_map(|w| w.to_be_bytes()),
                    );
                }
                scratch[..runs.len()].copy_from_slice(&runs);
                Response::ReadFileRecord { records: RecordsRead::new(&scratch[..runs.len()]).unwrap() }
            }
            Request::WriteFileRecord { records } => Response::WriteFileRecord { records },
            Request::MaskWriteRegister { address, and, or } => {
                Response::MaskWriteRegister { address, and, or }
            }
            Request::ReadWriteMultipleRegisters { read, .. } => {
                Response::ReadWriteMultipleRegisters { registers: words(read.count(), scratch) }
            }
            Request::ReadFifoQueue { .. } => {
                Response::ReadFifoQueue { registers: words(self.count % 32, scratch) }
            }
            Request::ReadDeviceIdentification { code, object } => {
                let value = &self.bytes[..self.bytes.len() / 2];
                let objects = [DeviceObject { id: object, value }, DeviceObject { id: 0x80, value }];
                let some = objects.into_iter().take(usize::from(self.count % 3));
                Response::ReadDeviceIdentification(DeviceIdentification {
                    code,
                    conformity: 0x83,
                    next: (self.start % 2 == 1).then_some(object),
                    objects: DeviceObjects::encode(some, scratch).unwrap(),
                })
            }
            Request::EncapsulatedInterface { mei, data } => Response::EncapsulatedInterface { mei, data },
            Request::Other { function, data } => Response::Other { function, data },
        }
    }
}

#[test]
fn parse_undoes_emit() {
    hold(matter(), |matter| {
        let (mut asked, mut answered, mut buffer) = ([0; 512], [0; 512], [0; PDU_MAX]);
        let request = matter.request(&mut asked);
        let pdu = request.emit(&mut buffer).unwrap();
        assert_eq!(Request::parse(pdu), Ok(request));
        law::pdu(pdu);
        let response = matter.answer(&request, &mut answered);
        let pdu = response.emit(&mut buffer).unwrap();
        assert_eq!(Response::parse(pdu), Ok(response));
        law::pdu(pdu);
        let code = ExceptionCode::from(matter.start.to_be_bytes()[0]);
        let refusal = Response::Exception { function: request.function(), code };
        let pdu = refusal.emit(&mut buffer).unwrap();
        assert_eq!(Response::parse(pdu), Ok(refusal));
        assert_eq!(refusal.answers(&request), Ok(()));
    });
}

#[test]
fn nothing_is_written_into_a_buffer_too_small() {
    hold(matter(), |matter| {
        let (mut asked, mut answered, mut buffer) = ([0; 512], [0; 512], [0; PDU_MAX]);
        let request = matter.request(&mut asked);
        let response = matter.answer(&request, &mut answered);
        let lens = [request.emit(&mut buffer).unwrap().len(), response.emit(&mut buffer).unwrap().len()];
        for space in 0..lens[0] {
            assert!(request.emit(&mut buffer[..space]).is_err());
        }
        for space in 0..lens[1] {
            assert!(response.emit(&mut buffer[..space]).is_err());
        }
    });
}

#[test]
fn an_answer_answers_its_request_and_no_other() {
    hold((matter(), matter()), |(matter, other)| {
        let (mut asked, mut answered, mut foreign) = ([0; 512], [0; 512], [0; 512]);
        let request = matter.request(&mut asked);
        let response = matter.answer(&request, &mut answered);
        assert_eq!(response.answers(&request), Ok(()));
        let stranger = other.request(&mut foreign);
        if stranger.function() != request.function() {
            assert_eq!(response.answers(&stranger), Err(Mismatch::Function));
        }
        if let Some(altered) = altered(&response) {
            assert!(altered.answers(&request).is_err(), "{altered:?} to {request:?}");
        }
    });
}

#[test]
fn a_read_is_what_the_long_way_says_it_is() {
    let mut reads = 0;
    for function in 0..=u8::MAX {
        for start in [0, 1, 0xFF82, 0xFF83, 0xFF84, 0xF82F, 0xF830, 0xF831, u16::MAX] {
            for count in [0, 1, 124, 125, 126, 1999, 2000, 2001, u16::MAX] {
                let [[s1, s0], [c1, c0]] = [start, count].map(u16::to_be_bytes);
                let pdu = [function, s1, s0, c1, c0, 0];
                for len in 0..=pdu.len() {
                    let whole =
                        |table, start, count, last| Some((FunctionCode(function), table, start, count, last));
                    let want = match Request::parse(&pdu[..len]) {
                        Ok(Request::ReadCoils { span: s }) => {
                            whole(Table::Coils, s.start(), s.count(), s.last())
                        }
                        Ok(Request::ReadDiscreteInputs { span: s }) => {
                            whole(Table::DiscreteInputs, s.start(), s.count(), s.last())
                        }
                        Ok(Request::ReadHoldingRegisters { span: s }) => {
                            whole(Table::HoldingRegisters, s.start(), s.count(), s.last())
                        }
                        Ok(Request::ReadInputRegisters { span: s }) => {
                            whole(Table::InputRegisters, s.start(), s.count(), s.last())
                        }
                        _ => None,
                    };
                    let read = Read::parse(&pdu[..len]);
                    let said = read.map(|r| (r.function(), r.table(), r.first(), r.count(), r.last()));
                    assert_eq!(said, want, "{:02x?}", &pdu[..len]);
                    assert!(read.is_none_or(|read| read.pdu() == &pdu[..len]));
                    reads += u32::from(read.is_some());
                }
            }
        }
    }
    assert!(reads > 100, "{reads}");
}

#[test]
fn a_plain_answer_is_one_by_the_long_way_too() {
    let counts =
        [0, 1, 2, 8, 9, 124, 125, 126, 127, 128, 129, 256, 1992, 1999, 2000, 2001, 2008, 2040, 65535];
    let mut plain = 0;
    for (function, count) in (0..=6_u8).flat_map(|function| counts.map(|count| (function, count))) {
        for start in [0_u16, 0xFFF0] {
            let [[s1, s0], [c1, c0]] = [start, count].map(u16::to_be_bytes);
            let request = [function, s1, s0, c1, c0];
            for (answers, bytes) in [function, function ^ 1, function | 0x80]
                .into_iter()
                .flat_map(|answers| (0..=u8::MAX).map(move |bytes| (answers, bytes)))
            {
                for len in usize::from(bytes).saturating_sub(1)..=usize::from(bytes) + 1 {
                    let response = [&[answers, bytes][..], &[0; 256][..len]].concat();
                    let is_plain = Response::is_plain_answer(&response, &request);
                    let read = (1..=4).contains(&function) && answers == function;
                    let right = match (Response::parse(&response), Request::parse(&request)) {
                        (Err(_), _) => false,
                        (Ok(response), Ok(request)) => response.answers(&request) == Ok(()),
                        // Only bytes past the end are wrong with it: what comes back says nothing of them.
                        (Ok(response), Err(_)) => is_plain && response.function().0 == function,
                    };
                    let by_value = Read::parse(&request).is_some_and(|read| read.is_answered_by(&response));
                    assert_eq!(by_value, is_plain && Request::parse(&request).is_ok(), "{response:02x?}");
                    assert_eq!(is_plain, right && read, "{response:02x?} to {request:02x?}");
                    plain += u32::from(is_plain);
                }
            }
        }
        for request in [&[function][..], &[function, 0, 0, 0], &[function, 0, 0, 0, 1, 0]] {
            assert!(!Response::is_plain_answer(&[function, 2, 0, 0], request), "{request:02x?}");
        }
    }
    assert!(plain > 50, "{plain}");
    assert!(!Response::is_plain_answer(&[3], &[3, 0, 0, 0, 1]));
}

/// The response with one thing wrong; `None` where the request says nothing of what it has to be.
fn altered<'a>(response: &Response<'a>) -> Option<Response<'a>> {
    let fewer = |registers: Registers<'a>| Registers::new(registers.bytes().get(2..)?);
    Some(match *response {
        Response::ReadCoils { bits } => {
            Response::ReadCoils { bits: Bits::new(bits.bytes(), bits.len() - 8)? }
        }
        Response::ReadDiscreteInputs { bits } => {
            Response::ReadDiscreteInputs { bits: Bits::new(bits.bytes(), bits.len() - 8)? }
        }
        Response::ReadHoldingRegisters { registers } => {
            Response::ReadHoldingRegisters { registers: fewer(registers)? }
        }
        Response::ReadInputRegisters { registers } => {
            Response::ReadInputRegisters { registers: fewer(registers)? }
        }
        Response::ReadWriteMultipleRegisters { registers } => {
            Response::ReadWriteMultipleRegisters { registers: fewer(registers)? }
        }
        Response::WriteSingleCoil { address, value } => Response::WriteSingleCoil { address, value: !value },
        Response::WriteSingleRegister { address, value } => {
            Response::WriteSingleRegister { address: address ^ 1, value }
        }
        Response::Diagnostics { sub_function: SubFunction::RETURN_QUERY_DATA, data } => {
            Response::Diagnostics { sub_function: SubFunction::RETURN_QUERY_DATA, data: &data[1..] }
        }
        Response::Diagnostics { sub_function, data } => {
            Response::Diagnostics { sub_function: SubFunction(sub_function.0 ^ 1), data }
        }
        Response::WriteMultipleCoils { start, count } => {
            Response::WriteMultipleCoils { start, count: count ^ 1 }
        }
        Response::WriteMultipleRegisters { start, count } => {
            Response::WriteMultipleRegisters { start: start ^ 1, count }
        }
        Response::MaskWriteRegister { address, and, or } => {
            Response::MaskWriteRegister { address, and, or: or ^ 0x8000 }
        }
        Response::EncapsulatedInterface { mei, data } => {
            Response::EncapsulatedInterface { mei: mei ^ 1, data }
        }
        _ => return None,
    })
}

/// Bytes that are likely to be a PDU: a function code of the specification, small numbers, counts that fit.
fn likely_pdu() -> impl Strategy<Value = Vec<u8>> {
    let function = prop_oneof![1..=24u8, Just(43), 0x81..=0x98u8, any::<u8>()];
    let byte = prop_oneof![Just(0), 1..8u8, any::<u8>()];
    (function, vec(byte, 0..270), any::<bool>()).prop_map(|(function, mut body, counted)| {
        if counted {
            let at = match function {
                15 | 16 => 4,
                23 => 8,
                _ => 0,
            };
            let count = u8::try_from(body.len().saturating_sub(at + 1)).unwrap_or(u8::MAX);
            body.iter_mut().skip(at).take(1).for_each(|byte| *byte = count);
        }
        body.insert(0, function);
        body
    })
}

#[test]
fn strict_and_lenient_agree() {
    hold(likely_pdu(), |bytes| law::pdu(&bytes));
    hold(vec(any::<u8>(), 0..300), |bytes| law::pdu(&bytes));
    // A valid PDU with one byte altered, cut, or added.
    hold((matter(), any::<usize>(), any::<u8>(), 0..3), |(matter, at, byte, how)| {
        let (mut asked, mut answered, mut buffer) = ([0; 512], [0; 512], [0; PDU_MAX]);
        let request = matter.request(&mut asked);
        let response = matter.answer(&request, &mut answered);
        for mut pdu in
            [request.emit(&mut buffer).unwrap().to_vec(), response.emit(&mut buffer).unwrap().to_vec()]
        {
            let at = at % pdu.len();
            match how {
                0 => pdu[at] = byte,
                1 => pdu.truncate(at),
                _ => pdu.insert(at, byte),
            }
            law::pdu(&pdu);
        }
    });
}

/// A PDU of each kind, as request or as response.
fn good_pdu() -> impl Strategy<Value = (bool, Vec<u8>)> {
    (matter(), any::<bool>()).prop_map(|(matter, asks)| {
        let (mut asked, mut answered, mut buffer) = ([0; 512], [0; 512], [0; PDU_MAX]);
        let request = matter.request(&mut asked);
        let pdu = if asks {
            request.emit(&mut buffer).unwrap()
        } else {
            matter.answer(&request, &mut answered).emit(&mut buffer).unwrap()
        };
        (asks, pdu.to_vec())
    })
}

#[test]
fn mbap_byte_by_byte_equals_all_at_once() {
    let good = (any::<u16>(), prop_oneof![9 => Just(0), 1 => any::<u16>()], any::<u8>(), good_pdu());
    let frame = good.prop_map(|(transaction, protocol, unit, (_, pdu))| {
        let length = u16::try_from(pdu.len() + 1).unwrap();
        let head = [transaction, protocol, length].map(u16::to_be_bytes).concat();
        [&head[..], &[unit], &pdu].concat()
    });
    let noise = vec(any::<u8>(), 0..20);
    let stream = vec(prop_oneof![30 => frame, 1 => noise], 0..20).prop_map(|parts| parts.concat());
    hold((any::<u8>(), stream), |(steer, stream)| {
        law::mbap(&[&[steer][..], &stream].concat());
    });
}

fn rtu_adu(unit: u8, pdu: &[u8]) -> Vec<u8> {
    rtu::emit(&serial::Frame { unit: UnitId(unit), pdu }, &mut [0; rtu::ADU_MAX]).unwrap().to_vec()
}

#[test]
fn rtu_byte_by_byte_equals_all_at_once() {
    let frame = (any::<u8>(), good_pdu()).prop_map(|(unit, (_, pdu))| rtu_adu(unit, &pdu));
    let noise = prop_oneof![vec(any::<u8>(), 0..6), vec(any::<u8>(), 0..300), likely_pdu()];
    let stream = vec(prop_oneof![4 => frame, 1 => noise], 0..12).prop_map(|parts| parts.concat());
    let burst = prop_oneof![Just(0), 8..40u8, any::<u8>()];
    // Up to 0x7F the stream is taken as it is.
    hold((0..0x80u8, burst, stream), |(steer, burst, stream)| {
        law::rtu(&[&[steer, burst][..], &stream].concat());
    });
}

/// Where bytes have the length that a rule tells, and a right CRC: there a decoder may see a frame.
fn windows(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut windows = Vec::new();
    for start in 0..bytes.len() {
        let rest = &bytes[start..];
        for rule in [request_len, response_len] {
            if let Ok(Some(len)) = rule(&rest[1..])
                && rest.get(..len + 3).is_some_and(|adu| rtu::split(adu).is_some())
            {
                windows.push((start, start + len + 3));
            }
        }
    }
    windows.dedup();
    windows
}

/// Behind noise, once the line goes quiet, every good frame is found: but where chance makes a frame of the noise,
/// whose right CRC nobody can tell from a real one, and that is rare.
#[test]
fn rtu_frames_are_found_behind_noise() {
    let noise = prop_oneof![vec(any::<u8>(), 0..3), vec(any::<u8>(), 0..40)];
    let known = good_pdu().prop_filter("a function without a length rule", |(asks, pdu)| {
        let rule = if *asks { request_len } else { response_len };
        rule(pdu).is_ok()
    });
    let part = (noise, any::<u8>(), known).prop_map(|(noise, unit, (_, pdu))| (noise, rtu_adu(unit, &pdu)));
    let (cases, accidents) = (Cell::new(0), Cell::new(0));
    hold(vec(part, 1..5), |parts| {
        cases.set(cases.get() + 1);
        let stream: Vec<u8> = parts.iter().flat_map(|(noise, adu)| [&noise[..], adu].concat()).collect();
        let heard = law::rtu_frames(rtu::Hears::Both, &[&stream], 0);
        let frames: Vec<Heard> = heard.into_iter().filter(|h| matches!(h, Heard::Frame(..))).collect();
        let good = |(_, adu): &(_, Vec<u8>)| Heard::Frame(adu[0], adu[1..adu.len() - 2].to_vec());
        let want: Vec<Heard> = parts.iter().map(good).collect();
        if frames.iter().all(|frame| want.contains(frame)) {
            assert_eq!(frames, want);
        } else {
            accidents.set(accidents.get() + 1);
        }
    });
    // A start in 65536 has a right CRC by chance, and not every start has a length.
    let (cases, accidents) = (cases.get(), accidents.get());
    assert!(accidents <= 3 + cases / 200, "{accidents} frames made by chance in {cases} cases");
}

/// What stands alone between two silences is found whatever its function, and whatever is wrong in it.
#[test]
fn rtu_silence_resolves_everything() {
    hold(
        (any::<u8>(), any::<u8>(), prop_oneof![likely_pdu(), vec(any::<u8>(), 1..=253)]),
        |(unit, steer, pdu)| {
            let adu = rtu_adu(unit, &pdu[..pdu.len().min(PDU_MAX)]);
            if windows(&adu).iter().any(|window| *window != (0, adu.len())) {
                return;
            }
            for hears in [rtu::Hears::Requests, rtu::Hears::Responses, rtu::Hears::Both] {
                let heard = law::rtu_frames(hears, &[&adu, &adu], steer);
                let frame = Heard::Frame(unit, adu[1..adu.len() - 2].to_vec());
                assert_eq!(heard, [frame.clone(), frame], "{hears:?}");
            }
        },
    );
}

#[test]
fn ascii_byte_by_byte_equals_all_at_once() {
    let frame = (any::<u8>(), good_pdu(), any::<bool>()).prop_map(|(unit, (_, pdu), lower)| {
        let mut buffer = [0; ascii::ADU_MAX];
        let frame = serial::Frame { unit: UnitId(unit), pdu: &pdu };
        let text = ascii::emit(&frame, ascii::LF, &mut buffer).unwrap();
        if lower { text.to_ascii_lowercase() } else { text.to_vec() }
    });
    let noise = prop_oneof![vec(any::<u8>(), 0..6), vec(any::<u8>(), 0..600)];
    let digits = "[0-9A-Fa-f:\r\n]{0,40}".prop_map(String::into_bytes);
    let stream = vec(prop_oneof![4 => frame, 1 => noise, 1 => digits], 0..8).prop_map(|parts| parts.concat());
    let delimiter = prop_oneof![9 => Just(ascii::LF), 1 => any::<u8>()];
    hold((any::<u8>(), delimiter, stream), |(steer, delimiter, stream)| {
        law::ascii(&[&[steer, delimiter][..], &stream].concat());
    });
}

#[test]
fn ascii_frames_are_found_behind_noise() {
    let noise = prop_oneof![vec(any::<u8>(), 0..40), "(:[0-9A-F]{0,20})?".prop_map(String::into_bytes)];
    let part = (noise, any::<u8>(), good_pdu());
    hold(vec(part, 1..5), |parts| {
        let mut stream = Vec::new();
        for (noise, unit, (_, pdu)) in &parts {
            let mut buffer = [0; ascii::ADU_MAX];
            let frame = serial::Frame { unit: UnitId(*unit), pdu };
            stream.extend_from_slice(noise);
            stream.extend_from_slice(ascii::emit(&frame, ascii::LF, &mut buffer).unwrap());
        }
        let heard = law::ascii_frames(ascii::LF, &[&stream]);
        let frames: Vec<Heard> = heard.into_iter().filter(|h| matches!(h, Heard::Frame(..))).collect();
        let want: Vec<Heard> =
            parts.iter().map(|(_, unit, (_, pdu))| Heard::Frame(*unit, pdu.clone())).collect();
        assert_eq!(frames, want);
    });
}

/// The functions that are no decoder and take any bytes.
#[test]
fn no_input_panics() {
    hold((vec(any::<u8>(), 0..600), any::<usize>(), any::<u16>()), |(bytes, at, number)| {
        let _ = (mbap::frame_len(&bytes), mbap::split(&bytes), rtu::split(&bytes), ascii::lrc(&bytes));
        let _ = (rtu::emit(&serial::Frame { unit: UnitId(1), pdu: &bytes }, &mut [0; 100]),);
        let _ = (ascii::emit(&serial::Frame { unit: UnitId(1), pdu: &bytes }, 0, &mut [0; 100]),);
        let transaction = mbap::TransactionId(number);
        let _ = mbap::emit(&mbap::Frame { transaction, unit: UnitId(1), pdu: &bytes }, &mut [0; 100]);
        if let Some(bits) = Bits::new(&bytes, at % 6000) {
            let _ = (bits.get(at), bits.iter().count(), CoilBlock::new(number, bits));
        }
        if let Some(registers) = Registers::new(&bytes) {
            let _ = (registers.get(at), registers.iter().count());
            let _ = RegisterBlock::<123>::new(number, registers);
            let write = FileWrite { file: number, record: number, registers };
            let _ = FileWrites::encode(&[write], &mut [0; 300]);
        }
        let read = FileRead { file: number, record: number, length: number };
        let _ = (FileReads::encode(&[read; 40], &mut [0; 300]), RecordsRead::new(&bytes));
        let object = DeviceObject { id: 0, value: &bytes };
        let _ = DeviceObjects::encode([object; 300], &mut [0; 300]);
        let function = FunctionCode(number.to_be_bytes()[0]);
        let _ = (function.name(), function.facts(), function.to_string());
    });
}
