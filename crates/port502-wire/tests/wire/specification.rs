//! Every worked example of section 6 of the Modbus Application Protocol V1.1b3 and that of section 7, in both
//! directions: the bytes give the value, the value gives the bytes.

use crate::hex;
use port502_wire::{
    Anomaly, Bits, CoilBlock, DeviceIdentification, DeviceObject, DeviceObjects, ExceptionCode, FileRead,
    FileReads, FileWrite, FileWrites, FunctionCode, PDU_MAX, PduError, ReadDeviceIdCode, RecordsRead,
    RegisterBlock, Registers, Request, Response, Span, SubFunction, view,
};

/// The request, its answer, and that they belong together.
#[track_caller]
fn check(section: &str, (request, asked): (&str, Request<'_>), (response, answer): (&str, Response<'_>)) {
    let (request, response, mut buffer) = (hex(request), hex(response), [0; PDU_MAX]);
    assert_eq!(Request::parse(&request), Ok(asked), "{section}: request {request:02x?}");
    assert_eq!(asked.emit(&mut buffer), Ok(&request[..]), "{section}: {asked:?}");
    assert_eq!(Response::parse(&response), Ok(answer), "{section}: response {response:02x?}");
    assert_eq!(answer.emit(&mut buffer), Ok(&response[..]), "{section}: {answer:?}");
    assert_eq!(answer.answers(&asked), Ok(()), "{section}");
}

#[test]
fn bits_and_registers() {
    check(
        "6.1",
        ("01 0013 0013", Request::ReadCoils { span: Span::new(0x13, 19).unwrap() }),
        ("01 03 CD 6B 05", Response::ReadCoils { bits: Bits::new(&[0xCD, 0x6B, 0x05], 24).unwrap() }),
    );
    check(
        "6.2",
        ("02 00C4 0016", Request::ReadDiscreteInputs { span: Span::new(0xC4, 22).unwrap() }),
        (
            "02 03 AC DB 35",
            Response::ReadDiscreteInputs { bits: Bits::new(&[0xAC, 0xDB, 0x35], 24).unwrap() },
        ),
    );
    check(
        "6.3",
        ("03 006B 0003", Request::ReadHoldingRegisters { span: Span::new(0x6B, 3).unwrap() }),
        (
            "03 06 022B 0000 0064",
            Response::ReadHoldingRegisters {
                registers: Registers::encode(&[555, 0, 100], &mut [0; 6]).unwrap(),
            },
        ),
    );
    check(
        "6.4",
        ("04 0008 0001", Request::ReadInputRegisters { span: Span::one(8) }),
        ("04 02 000A", Response::ReadInputRegisters { registers: Registers::new(&[0, 10]).unwrap() }),
    );
    check(
        "6.5",
        ("05 00AC FF00", Request::WriteSingleCoil { address: 172, value: true }),
        ("05 00AC FF00", Response::WriteSingleCoil { address: 172, value: true }),
    );
    check(
        "6.6",
        ("06 0001 0003", Request::WriteSingleRegister { address: 1, value: 3 }),
        ("06 0001 0003", Response::WriteSingleRegister { address: 1, value: 3 }),
    );
    let coils = Bits::new(&[0xCD, 0x01], 10).unwrap();
    check(
        "6.11",
        (
            "0F 0013 000A 02 CD 01",
            Request::WriteMultipleCoils { block: CoilBlock::new(0x13, coils).unwrap() },
        ),
        ("0F 0013 000A", Response::WriteMultipleCoils { start: 0x13, count: 10 }),
    );
    let block = RegisterBlock::new(1, Registers::new(&[0, 0x0A, 1, 2]).unwrap()).unwrap();
    check(
        "6.12",
        ("10 0001 0002 04 000A 0102", Request::WriteMultipleRegisters { block }),
        ("10 0001 0002", Response::WriteMultipleRegisters { start: 1, count: 2 }),
    );
    check(
        "6.16",
        ("16 0004 00F2 0025", Request::MaskWriteRegister { address: 4, and: 0xF2, or: 0x25 }),
        ("16 0004 00F2 0025", Response::MaskWriteRegister { address: 4, and: 0xF2, or: 0x25 }),
    );
    let write = RegisterBlock::new(14, Registers::new(&[0, 0xFF, 0, 0xFF, 0, 0xFF]).unwrap()).unwrap();
    let mut scratch = [0; 12];
    let registers = Registers::encode(&[0xFE, 0x0ACD, 1, 3, 0x0D, 0xFF], &mut scratch).unwrap();
    check(
        "6.17",
        (
            "17 0003 0006 000E 0003 06 00FF 00FF 00FF",
            Request::ReadWriteMultipleRegisters { read: Span::new(3, 6).unwrap(), write },
        ),
        ("17 0C 00FE 0ACD 0001 0003 000D 00FF", Response::ReadWriteMultipleRegisters { registers }),
    );
    check(
        "6.18",
        ("18 04DE", Request::ReadFifoQueue { address: 1246 }),
        (
            "18 0006 0002 01B8 1284",
            Response::ReadFifoQueue { registers: Registers::encode(&[440, 4740], &mut [0; 4]).unwrap() },
        ),
    );
}

#[test]
fn coils_are_numbered_from_the_lowest_bit() {
    // 6.1: of outputs 20 to 27, CD says that 27 is on and 20 is on.
    let bits = Bits::new(&[0xCD, 0x6B, 0x05], 19).unwrap();
    let on: Vec<usize> = bits.iter().enumerate().filter(|(_, on)| *on).map(|(i, _)| 20 + i).collect();
    assert_eq!(on, [20, 22, 23, 26, 27, 28, 29, 31, 33, 34, 36, 38]);
}

#[test]
fn serial_line_functions() {
    check(
        "6.7",
        ("07", Request::ReadExceptionStatus),
        ("07 6D", Response::ReadExceptionStatus { status: 0b0110_1101 }),
    );
    let sub_function = SubFunction::RETURN_QUERY_DATA;
    check(
        "6.8.2",
        ("08 0000 A537", Request::Diagnostics { sub_function, data: &[0xA5, 0x37] }),
        ("08 0000 A537", Response::Diagnostics { sub_function, data: &[0xA5, 0x37] }),
    );
    check(
        "6.9",
        ("0B", Request::GetCommEventCounter),
        ("0B FFFF 0108", Response::GetCommEventCounter { status: 0xFFFF, events: 264 }),
    );
    check(
        "6.10",
        ("0C", Request::GetCommEventLog),
        (
            "0C 08 0000 0108 0121 20 00",
            Response::GetCommEventLog { status: 0, events: 264, messages: 289, log: &[0x20, 0] },
        ),
    );
    // 6.13 leaves all of the answer to the device: an id of two bytes here, running, and a text.
    check(
        "6.13",
        ("11", Request::ReportServerId),
        ("11 06 0102 FF 616263", Response::ReportServerId { data: &[1, 2, 0xFF, b'a', b'b', b'c'] }),
    );
}

/// 6.8.1: the data field of each sub-function, in the request and in the answer.
#[test]
fn diagnostics_sub_functions() {
    for (sub_function, request, response) in [
        (0, "A537", "A537"),
        (0, "A5 37 42 43", "A5 37 42 43"),
        (1, "0000", "0000"),
        (1, "FF00", "FF00"),
        (2, "0000", "8001"),
        (3, "2300", "2300"),
        (4, "0000", "0000"),
        (10, "0000", "0000"),
        (11, "0000", "0102"),
        (12, "0000", "0003"),
        (13, "0000", "0003"),
        (14, "0000", "0003"),
        (15, "0000", "0003"),
        (16, "0000", "0003"),
        (17, "0000", "0003"),
        (18, "0000", "0003"),
        (20, "0000", "0000"),
    ] {
        let sub_function = SubFunction(sub_function);
        assert!(sub_function.facts().is_some());
        let (data, answer) = (hex(request), hex(response));
        let head = format!("08 {:04X}", sub_function.0);
        check(
            "6.8.1",
            (&format!("{head}{request}"), Request::Diagnostics { sub_function, data: &data }),
            (&format!("{head}{response}"), Response::Diagnostics { sub_function, data: &answer }),
        );
    }
}

#[test]
fn files() {
    let asked = [FileRead { file: 4, record: 1, length: 2 }, FileRead { file: 3, record: 9, length: 2 }];
    let mut scratch = [0; PDU_MAX];
    let records = FileReads::encode(&asked, &mut scratch).unwrap();
    assert_eq!(records.iter().collect::<Vec<_>>(), asked);
    let runs = hex("05 06 0DFE 0020 05 06 33CD 0040");
    let read = RecordsRead::new(&runs).unwrap();
    let words: Vec<Vec<u16>> = read.iter().map(|run| run.iter().collect()).collect();
    assert_eq!(words, [[0x0DFE, 0x20], [0x33CD, 0x40]]);
    check(
        "6.14",
        ("14 0E 06 0004 0001 0002 06 0003 0009 0002", Request::ReadFileRecord { records }),
        ("14 0C 05 06 0DFE 0020 05 06 33CD 0040", Response::ReadFileRecord { records: read }),
    );
    let registers = Registers::new(&[0x06, 0xAF, 0x04, 0xBE, 0x10, 0x0D]).unwrap();
    let written = [FileWrite { file: 4, record: 7, registers }];
    let mut scratch = [0; PDU_MAX];
    let records = FileWrites::encode(&written, &mut scratch).unwrap();
    assert_eq!(records.iter().collect::<Vec<_>>(), written);
    check(
        "6.15",
        ("15 0D 06 0004 0007 0003 06AF 04BE 100D", Request::WriteFileRecord { records }),
        ("15 0D 06 0004 0007 0003 06AF 04BE 100D", Response::WriteFileRecord { records }),
    );
}

/// The bytes of an identification's objects, as text behind id and length.
fn objects(values: &[(u8, &str)]) -> String {
    values.iter().fold(String::new(), |mut text, (id, value)| {
        text += &format!("{id:02x}{:02x}", value.len());
        value.bytes().for_each(|byte| text += &format!("{byte:02x}"));
        text
    })
}

#[track_caller]
fn check_identification(object: u8, next: Option<u8>, values: &[(u8, &str)]) {
    let (more, following) = next.map_or((0, 0), |next| (0xFF, next));
    let mut scratch = [0; PDU_MAX];
    let encoded = values.iter().map(|(id, value)| DeviceObject { id: *id, value: value.as_bytes() });
    let listed = DeviceObjects::encode(encoded, &mut scratch).unwrap();
    let code = ReadDeviceIdCode::Basic;
    let identification = DeviceIdentification { code, conformity: 1, next, objects: listed };
    check(
        "6.21",
        (&format!("2B 0E 01 {object:02x}"), Request::ReadDeviceIdentification { code, object }),
        (
            &format!("2B 0E 01 01 {more:02x} {following:02x} {:02x} {}", values.len(), objects(values)),
            Response::ReadDeviceIdentification(identification),
        ),
    );
}

const COMPANY: &str = "Company identification";

#[test]
fn device_identification() {
    check_identification(0, None, &[(0, COMPANY), (1, "Product code XX"), (2, "V2.11")]);
    check_identification(0, Some(2), &[(0, COMPANY), (1, "Product code XXXXXXXXXXXXXXXX")]);
    check_identification(2, None, &[(2, "V2.11")]);
}

/// The examples of 6.21 as they are printed: three objects are announced where two, or one, are there; and the
/// second object's length is 0x0D for a text of 15 characters.
#[test]
fn device_identification_as_printed() {
    #[track_caller]
    fn refused(bytes: &str, want: PduError) {
        let bytes = hex(bytes);
        assert_eq!(Response::parse(&bytes), Err(want), "{bytes:02x?}");
        let seen = view::response(&bytes);
        assert_eq!(seen.function, Some(FunctionCode::ENCAPSULATED_INTERFACE_TRANSPORT));
        assert_eq!(seen.sub, Some(14));
        assert_eq!(seen.anomalies, Anomaly::from(want).into());
    }
    let two = objects(&[(0, COMPANY), (1, "Product code XXXXXXXXXXXXXXXX")]);
    let end = 7 + two.len() / 2;
    refused(&format!("2B 0E 01 01 FF 02 03 {two}"), PduError::Truncated { function: 43, offset: end });
    let one = objects(&[(2, "V2.11")]);
    refused(&format!("2B 0E 01 01 00 00 03 {one}"), PduError::Truncated { function: 43, offset: 14 });
    let three = objects(&[(0, COMPANY), (1, "Product code XX"), (2, "V2.11")]).replacen("010f", "010d", 1);
    refused(&format!("2B 0E 01 01 00 00 03 {three}"), PduError::Truncated { function: 43, offset: 46 });
}

#[test]
fn the_other_encapsulated_interface() {
    // 6.20 prints no example: whatever follows the MEI type is another specification's.
    check(
        "6.20",
        ("2B 0D 01 02", Request::EncapsulatedInterface { mei: 13, data: &[1, 2] }),
        ("2B 0D 03", Response::EncapsulatedInterface { mei: 13, data: &[3] }),
    );
}

#[test]
fn exceptions() {
    let code = ExceptionCode::IllegalDataAddress;
    check(
        "7",
        ("01 04A1 0001", Request::ReadCoils { span: Span::one(0x04A1) }),
        ("81 02", Response::Exception { function: FunctionCode::READ_COILS, code }),
    );
}
