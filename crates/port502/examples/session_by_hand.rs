//! A session by hand: client and server without a socket, a clock or a runtime. Bytes and time go in, values
//! come out, so the same code runs over any link, on a microcontroller, and in a test.

use std::error::Error;
use std::time::Duration;

use port502::memory::MemoryDevice;
use port502::server::{Context, answer};
use port502::session::Instant;
use port502::session::client::{ClientSession, Event};
use port502::wire::mbap::{self, ADU_MAX, Decoder, Frame, Received};
use port502::wire::{PDU_MAX, Span};
use port502::{Request, Response, Table, UnitId};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let device = MemoryDevice::builder().registers(Table::HoldingRegisters, 100, &[11, 22, 33]).build();
    let (mut client, mut server) = (ClientSession::<16>::new(), Decoder::new());
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let (now, timeout) = (Instant::ZERO, Duration::from_secs(1));

    // The client puts two requests in flight; the second asks for an address that the device lacks.
    for span in [Span::new(100, 3)?, Span::new(101, 3)?] {
        let (mut pdu, mut adu) = ([0; PDU_MAX], [0; ADU_MAX]);
        let pdu = Request::ReadHoldingRegisters { span }.emit(&mut pdu)?;
        let (id, adu) = client.start(now, UnitId(1), pdu, timeout, &mut adu)?;
        println!("client -> {id:?} {adu:02x?}");
        to_server.extend_from_slice(adu);
    }

    // The server finds them in the stream, however it is cut, and answers each.
    let mut input = to_server.as_slice();
    while let Some(received) = server.next(&mut input)? {
        let Received::Frame(Frame { transaction, unit, pdu }) = received else { continue };
        let (mut out, mut adu) = ([0; PDU_MAX], [0; ADU_MAX]);
        let reply = answer(&device, &Context::new(None, unit), pdu, &mut out);
        if let Some(pdu) = pdu.first().and_then(|function| reply.emit(*function, &mut out)) {
            to_client.extend_from_slice(mbap::emit(&Frame { transaction, unit, pdu }, &mut adu)?);
        }
    }

    // The client matches the answers to its requests.
    let mut input = to_client.as_slice();
    while let Some(event) = client.next(&mut input)? {
        match event {
            Event::Answer { id, pdu, .. } => println!("client <- {id:?} {:?}", Response::parse(pdu)?),
            Event::BadAnswer { id, error, .. } => println!("client <- {id:?} {error}"),
            Event::Discarded { id } => println!("client <- nobody asked for {id:?}"),
        }
    }

    // One that is never answered is given up when its time is over.
    client.start(now, UnitId(1), &[7], timeout, &mut [0; ADU_MAX])?;
    println!("gave up {:?}", client.handle_timeout(now + timeout));
    Ok(())
}
