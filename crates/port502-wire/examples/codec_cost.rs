//! What one transaction costs the codec, for an instruction counter: a frame that asks for ten registers is decoded
//! and parsed, and the frame that answers it is emitted.
//!
//! ```sh
//! cargo build --release -p port502-wire --example codec_cost
//! for n in 10000 60000; do
//!   valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/codec_cost $n 2>&1 | grep Collected
//! done   # the difference by 50000 is the cost of one
//! ```

use port502_wire::mbap::{self, Decoder, HEADER_LEN, Received};
use port502_wire::{Registers, Request, Response};
use std::hint::black_box;

fn main() {
    let iterations: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let (mut decoder, mut frame) = (Decoder::new(), [0; mbap::ADU_MAX]);
    let ask = [0, 7, 0, 0, 0, 6, 0xFF, 3, 0, 0x6B, 0, 10];
    let table = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    let mut bytes = 0;
    for _ in 0..iterations {
        let answer = answer(&mut decoder, black_box(&ask), black_box(&table), &mut frame);
        bytes += black_box(answer).map_or(0, <[u8]>::len);
    }
    println!("{iterations} transactions, {bytes} bytes of answers");
}

/// The answer to the one frame in `input`, from a table that has what is asked for.
fn answer<'f>(
    decoder: &mut Decoder,
    mut input: &[u8],
    table: &[u16; 10],
    frame: &'f mut [u8; mbap::ADU_MAX],
) -> Option<&'f [u8]> {
    let Ok(Some(Received::Frame(asked))) = decoder.next(&mut input) else { return None };
    let Ok(Request::ReadHoldingRegisters { span }) = Request::parse(asked.pdu) else { return None };
    let mut scratch = [0; 20];
    let registers = Registers::encode(table.get(..usize::from(span.count()))?, &mut scratch)?;
    let (header, pdu) = frame.split_first_chunk_mut::<HEADER_LEN>()?;
    let len = Response::ReadHoldingRegisters { registers }.emit(pdu).ok()?.len();
    *header = mbap::header(asked.transaction, asked.unit, len);
    frame.get(..HEADER_LEN + len)
}
