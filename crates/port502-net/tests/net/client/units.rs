//! What the methods of a unit send, and what they make of the answers.

use port502_net::client::{Client, Error, Limits, RequestError, Unit};
use port502_net::memory::MemoryDevice;
use port502_net::server;
use port502_wire::value::{Order, Value, ValueType};
use port502_wire::{ReadDeviceIdCode, Request, Response, SpanError, Table};

use super::options;
use crate::conformance::hex;
use crate::fake::{Fake, Peer};
use crate::link::serve;

/// A unit, and the peer that is asked.
async fn unit() -> (Unit, Peer) {
    let fake = Fake::bind().await;
    let client = Client::connect(fake.target(), options()).await.unwrap();
    (client.unit(7), fake.accept().await)
}

/// Answers requests with zeros, or as written, and returns them.
async fn zeros(peer: &mut Peer, count: usize) -> Vec<Vec<u8>> {
    let mut asked = Vec::new();
    for _ in 0..count {
        let request = peer.asked().await;
        assert_eq!(request.unit, 7);
        let pdu = &request.pdu;
        let quantity = usize::from(u16::from_be_bytes([pdu[3], pdu[4]]));
        let answer = match pdu[0] {
            1 | 2 => [&[pdu[0], quantity.div_ceil(8) as u8][..], &vec![0; quantity.div_ceil(8)]].concat(),
            3 | 4 => [&[pdu[0], 2 * quantity as u8][..], &vec![0; 2 * quantity]].concat(),
            _ => pdu[..5].to_vec(),
        };
        peer.answer(&request, &answer).await;
        asked.push(pdu[..5].to_vec());
    }
    asked
}

fn requests(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| hex(text)).collect()
}

#[tokio::test]
async fn what_does_not_fit_one_request_is_split() {
    let (unit, mut peer) = unit().await;
    let (got, asked) = tokio::join!(unit.read_holding_registers(0, 300), zeros(&mut peer, 3));
    assert_eq!(got.unwrap(), [0; 300]);
    assert_eq!(asked, requests(&["03 0000 007D", "03 007D 007D", "03 00FA 0032"]));
    let (got, asked) = tokio::join!(unit.read_input_registers(0xFF83, 125), zeros(&mut peer, 1));
    assert_eq!(got.unwrap().len(), 125);
    assert_eq!(asked, requests(&["04 FF83 007D"]));
    let (got, asked) = tokio::join!(unit.read_coils(0xF82F, 2001), zeros(&mut peer, 2));
    assert_eq!(got.unwrap().len(), 2001);
    assert_eq!(asked, requests(&["01 F82F 07D0", "01 FFFF 0001"]));
    let (got, asked) = tokio::join!(unit.read_discrete_inputs(0, 0x1_0000), zeros(&mut peer, 33));
    assert_eq!(got.unwrap().len(), 0x1_0000);
    assert_eq!(asked[32], hex("02 FA00 0600"));
    let (got, asked) = tokio::join!(unit.write_multiple_registers(10, &[1; 124]), zeros(&mut peer, 2));
    got.unwrap();
    assert_eq!(asked, requests(&["10 000A 007B", "10 0085 0001"]));
    let (got, asked) = tokio::join!(unit.write_multiple_coils(0, &[true; 1969]), zeros(&mut peer, 2));
    got.unwrap();
    assert_eq!(asked, requests(&["0F 0000 07B0", "0F 07B0 0001"]));

    let limits = Limits { read_registers: 10, read_bits: 0, write_registers: 9999, write_bits: 8 };
    let unit = unit.with_limits(limits);
    let (got, asked) = tokio::join!(unit.read_holding_registers(5, 11), zeros(&mut peer, 2));
    assert_eq!(got.unwrap(), [0; 11]);
    assert_eq!(asked, requests(&["03 0005 000A", "03 000F 0001"]));
    let (got, asked) = tokio::join!(unit.read_coils(0, 2), zeros(&mut peer, 2));
    assert_eq!(got.unwrap(), [false; 2]);
    assert_eq!(asked, requests(&["01 0000 0001", "01 0001 0001"]));
    let (got, asked) = tokio::join!(unit.write_multiple_registers(0, &[1; 124]), zeros(&mut peer, 2));
    got.unwrap();
    assert_eq!(asked, requests(&["10 0000 007B", "10 007B 0001"]));
}

#[tokio::test]
async fn what_cannot_be_asked_is_not_sent() {
    let (unit, mut peer) = unit().await;
    let overflow = |start, count| RequestError::Span(SpanError::Overflow { start, count });
    let none = RequestError::Span(SpanError::Count { got: 0, max: u16::MAX });
    let values = |count| vec![0u16; count];
    let rows = [
        (unit.read_holding_registers(0, 0).await.map(drop), none),
        (unit.read_coils(5, 0).await.map(drop), none),
        (unit.write_multiple_registers(0, &[]).await, none),
        (unit.write_multiple_coils(0, &[]).await, none),
        (unit.read_holding_registers(0xFFFF, 2).await.map(drop), overflow(0xFFFF, 2)),
        (unit.read_input_registers(1, 0x1_0000).await.map(drop), overflow(1, 0xFFFF)),
        (unit.write_multiple_registers(0xFFFF, &[1, 2]).await, overflow(0xFFFF, 2)),
        (
            unit.read_write_multiple_registers(0, 126, 0, &[1]).await.map(drop),
            RequestError::Span(SpanError::Count { got: 126, max: 125 }),
        ),
        (
            unit.read_write_multiple_registers(0, 1, 0, &values(122)).await.map(drop),
            RequestError::Span(SpanError::Count { got: 122, max: 121 }),
        ),
        (
            unit.read_write_multiple_registers(0, 1, 0, &[]).await.map(drop),
            RequestError::Span(SpanError::Count { got: 0, max: 121 }),
        ),
        (unit.read_write_multiple_registers(0, 2, 0xFFFF, &[1, 2]).await.map(drop), overflow(0xFFFF, 2)),
    ];
    for (got, want) in rows {
        let error = got.expect_err("an impossible request");
        assert!(!error.maybe_executed());
        assert!(matches!(error, Error::Request(error) if error == want), "{error:?}, not {want:?}");
    }
    for request in [
        Request::Other { function: 0, data: &[] },
        Request::Other { function: 0x80, data: &[] },
        Request::Other { function: 0x41, data: &[0; 253] },
    ] {
        assert!(matches!(unit.call(&request).await, Err(Error::Request(_))), "{request:?}");
    }
    // The next request is the first that comes.
    let (got, asked) = tokio::join!(unit.read_coils(0, 1), zeros(&mut peer, 1));
    assert_eq!((got.unwrap(), asked), (vec![false], requests(&["01 0000 0001"])));
}

#[tokio::test]
async fn everything_against_the_device_in_memory() {
    let long = [0xEE; 200];
    let device = MemoryDevice::full_builder().object(3, "http").object(0x80, long).object(0x81, long).build();
    assert!(device.push_queue(500, 17));
    let address = serve(device, server::Options::default());
    let client = Client::connect(address.to_string().parse().unwrap(), options()).await.unwrap();
    let unit = client.unit(1);
    let values: Vec<u16> = (0..1000).collect();
    unit.write_multiple_registers(0, &values).await.unwrap();
    assert_eq!(unit.read_holding_registers(0, 1000).await.unwrap(), values);
    let bits: Vec<bool> = (0..5000).map(|k| k % 3 == 0).collect();
    unit.write_multiple_coils(7, &bits).await.unwrap();
    assert_eq!(unit.read_coils(7, 5000).await.unwrap(), bits);
    for (value_type, order, value) in [
        (ValueType::F32, Order::CDAB, Value::F32(-1.25)),
        (ValueType::U32, Order::ABCD, Value::Unsigned(0x1234_5678)),
        (ValueType::I16, Order::ABCD, Value::Signed(-5)),
        (ValueType::F64, Order::DCBA, Value::F64(1e100)),
    ] {
        unit.write_value(100, value_type, order, value).await.unwrap();
        let got = unit.read_value(Table::HoldingRegisters, 100, value_type, order).await.unwrap();
        assert_eq!(got, value);
    }
    let coil = unit.read_value(Table::Coils, 7, ValueType::Bool, Order::ABCD).await.unwrap();
    assert_eq!(coil, Value::Bool(true));
    assert_eq!(unit.read_fifo_queue(500).await.unwrap(), [17]);
    assert_eq!(unit.read_exception_status().await.unwrap(), 0);
    // More than one response holds, and not asked for beyond its category.
    let ids = async |code| {
        let objects = unit.read_device_identification(code).await.unwrap();
        objects.iter().map(|(id, _)| *id).collect::<Vec<u8>>()
    };
    assert_eq!(ids(ReadDeviceIdCode::Basic).await, [0, 1, 2]);
    assert_eq!(ids(ReadDeviceIdCode::Regular).await, [0, 1, 2, 3]);
    assert_eq!(ids(ReadDeviceIdCode::Extended).await, [0, 1, 2, 3, 0x80, 0x81]);
    assert_eq!(unit.read_device_object(0x81).await.unwrap(), long);
    assert!(matches!(unit.read_device_object(0x82).await, Err(Error::Exception { .. })));
    let answer = unit.call(&Request::GetCommEventCounter).await.unwrap();
    assert!(matches!(answer.response(), Ok(Response::GetCommEventCounter { .. })));
}

#[tokio::test]
async fn an_identification_without_end_is_none() {
    let (unit, mut peer) = unit().await;
    let device = async {
        for answer in ["2B 0E 01 81 FF 01 01 00 01 41", "2B 0E 01 81 FF 01 01 01 01 42"] {
            let asked = peer.asked().await;
            peer.answer(&asked, &hex(answer)).await;
        }
    };
    let (got, ()) = tokio::join!(unit.read_device_identification(ReadDeviceIdCode::Basic), device);
    assert!(matches!(got, Err(Error::Protocol(_))), "{got:?}");
}
