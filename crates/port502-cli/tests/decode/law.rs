//! A law of captures: the body of the fuzz target, which an ordinary test calls too.

use std::collections::HashMap;

use port502_capture::{
    CaptureBytes, CloseReason, ConnectionId, Direction, Event, Limits, Opening, Reassembler, StreamEventKind,
};
use port502_session::Instant;
use port502_session::tap::{self, Observation, Start, Tap};
use port502_wire::mbap;

/// One connection: what it was fed, and what was told of it.
struct Watched {
    tap: Tap,
    fed: usize,
    told: u64,
}

/// From bytes that pass for a capture file to transactions: no input does harm, and every byte that a stream delivers
/// is in a frame that is told, or is told as skipped.
pub fn capture(file: &[u8]) {
    let mut capture = CaptureBytes::new(file);
    let mut streams = Reassembler::new(Limits::default(), |port| port == 502);
    let mut connections: HashMap<ConnectionId, Watched> = HashMap::new();
    let mut sink = |event: Event<'_>| {
        let Event::Stream(event) = event else { return };
        if let StreamEventKind::Opened { opening, .. } = event.kind {
            let start = if opening == Opening::Handshake { Start::Handshake } else { Start::Midway };
            let watched = Watched { tap: Tap::new(start), fed: 0, told: 0 };
            assert!(connections.insert(event.connection, watched).is_none(), "opened twice");
            return;
        }
        let Some(Watched { tap, fed, told }) = connections.get_mut(&event.connection) else {
            panic!("an event of no connection: {event:?}");
        };
        let mut count = |observation: Observation<'_>| {
            *told += match observation {
                Observation::Transaction(transaction) => {
                    let halves = [transaction.request, transaction.response].into_iter().flatten();
                    halves.map(|half| half.pdu.len() + mbap::HEADER_LEN).sum::<usize>() as u64
                }
                Observation::Skipped(skipped) => skipped.bytes,
            };
        };
        let direction = match event.direction {
            Direction::ToServer => tap::Direction::ToServer,
            Direction::ToClient => tap::Direction::ToClient,
        };
        let now = Instant::from_nanos(event.at.nanos().cast_unsigned() ^ 1 << 63);
        match event.kind {
            StreamEventKind::Data(bytes) => {
                *fed += bytes.len();
                tap.observe(direction, bytes, now, &mut count);
            }
            StreamEventKind::Gap { .. } => tap.gap(direction, now, &mut count),
            StreamEventKind::Closed { reason: CloseReason::Finished } => tap.finish(&mut count),
            StreamEventKind::Closed { .. } => tap.interrupt(now, &mut count),
            _ => {}
        }
        if let StreamEventKind::Closed { .. } = event.kind {
            assert_eq!(*told, *fed as u64, "every byte is accounted for once");
            connections.remove(&event.connection);
        }
    };
    for record in capture.by_ref() {
        let Ok(record) = record else { break };
        streams.push_record(&record, &mut sink);
    }
    streams.finish(&mut sink);
    assert!(connections.is_empty(), "every connection is closed");
}
