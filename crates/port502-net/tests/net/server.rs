//! The server with many clients, and with clients that do not behave.

mod load;
mod places;
mod stopping;
mod time;

use std::sync::Arc;

use port502_net::Pdu;
use port502_net::server::{Context, Device, DeviceResult, Event, Late, Options, Outcome, Reply, Service};
use port502_wire::mbap::Frame;
use port502_wire::{FunctionCode, FunctionSet, PDU_MAX, RegistersMut, Span};
use tokio::sync::{Semaphore, mpsc};

use crate::link::PATIENCE;

/// Options whose observer hands out what it is told.
fn observed() -> (Options, Events) {
    let (sender, events) = mpsc::unbounded_channel();
    let mut options = Options::default();
    options.observer = Some(Arc::new(move |event| {
        let _ = sender.send(*event); // the test may have ended
    }));
    (options, Events(events))
}

struct Events(mpsc::UnboundedReceiver<Event>);

impl Events {
    async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("an event").unwrap()
    }

    /// The next that is not of a client that came.
    async fn next_end(&mut self) -> Event {
        loop {
            match self.next().await {
                Event::Opened { .. } => {}
                end => return end,
            }
        }
    }
}

/// Answers function 0x41 when it is given leave to, and all else at once, with function and unit.
#[derive(Clone)]
struct Slow {
    leave: Arc<Semaphore>,
}

impl Slow {
    fn new() -> Self {
        Slow { leave: Arc::new(Semaphore::new(0)) }
    }
}

impl Service for Slow {
    fn call(&self, _: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        let pdu = Pdu::new(frame.pdu).unwrap();
        if frame.pdu[0] != 0x41 {
            out[..frame.pdu.len()].copy_from_slice(frame.pdu);
            return Outcome::Now(Reply::Response { len: frame.pdu.len() });
        }
        let leave = Arc::clone(&self.leave);
        Outcome::Later(Box::pin(async move {
            leave.acquire().await.unwrap().forget();
            Late::Response(pdu)
        }))
    }
}

/// Each register holds its address; 0xDEAD is one too many.
struct Pattern;

impl Device for Pattern {
    fn functions(&self) -> FunctionSet {
        [FunctionCode(3)].into_iter().collect()
    }

    fn read_holding_registers(
        &self,
        _: &Context<'_>,
        span: Span<125>,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult {
        assert!(span.start() != 0xDEAD, "a device with a bug");
        out.fill(span.start()..=span.last());
        Ok(())
    }
}

/// The request and the answer of [`Pattern`].
fn pattern(start: u16, count: u8) -> (Vec<u8>, Vec<u8>) {
    let request = [&[3][..], &start.to_be_bytes(), &[0, count]].concat();
    let registers = (start..start + u16::from(count)).flat_map(u16::to_be_bytes);
    (request, [3, 2 * count].into_iter().chain(registers).collect())
}
