//! The server with many clients, and with clients that do not behave.

mod load;
mod places;
mod stopping;
mod time;

use std::sync::Arc;

use port502_net::Pdu;
use port502_net::memory::MemoryDevice;
use port502_net::server::{
    Context, Device, DeviceResult, Event, Late, Options, Outcome, Reply, Service, Units, Unmapped,
};
use port502_wire::mbap::Frame;
use port502_wire::{ExceptionCode, FunctionCode, FunctionSet, PDU_MAX, RegistersMut, Span, Table};
use tokio::sync::{Semaphore, mpsc};

use crate::link::{Link as _, Mbap, PATIENCE, serve};

/// Options whose observer hands out what it is told.
pub fn observed() -> (Options, Events) {
    let (sender, events) = mpsc::unbounded_channel();
    let mut options = Options::default();
    options.observer = Some(Arc::new(move |event| {
        let _ = sender.send(event.clone()); // the test may have ended
    }));
    (options, Events(events))
}

pub struct Events(mpsc::UnboundedReceiver<Event>);

impl Events {
    pub async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("an event").unwrap()
    }

    /// The next that is not of a client that came.
    pub async fn next_end(&mut self) -> Event {
        loop {
            match self.next().await {
                Event::Opened { .. } | Event::Notice(_) => {}
                end => return end,
            }
        }
    }

    /// The next client that came.
    pub async fn next_opened(&mut self) -> Event {
        loop {
            if let opened @ Event::Opened { .. } = self.next().await {
                return opened;
            }
        }
    }

    /// Whether everything that was told has been looked at.
    pub fn is_empty(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// Answers function 0x41 when it is given leave to, and all else at once, with function and unit.
#[derive(Clone)]
pub struct Slow {
    pub leave: Arc<Semaphore>,
}

impl Slow {
    pub fn new() -> Self {
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

/// One behind a pointer is asked itself, method by method too: a wrapper may call them.
#[test]
fn what_points_to_a_device_is_a_device() {
    fn registers(device: &impl Device) -> DeviceResult<[u8; 4]> {
        let mut room = [0; 4];
        let cx = Context::new(None, 1.into());
        let span = Span::new(7, 2).map_err(|_| ExceptionCode::IllegalDataAddress)?;
        device.read_holding_registers(&cx, span, &mut RegistersMut::new(&mut room))?;
        Ok(room)
    }
    let (boxed, shared): (Box<dyn Device>, Arc<dyn Device>) = (Box::new(Pattern), Arc::new(Pattern));
    assert_eq!(registers(&boxed), Ok([0, 7, 0, 8]));
    assert_eq!(registers(&shared), Ok([0, 7, 0, 8]));
    assert_eq!(boxed.functions(), Pattern.functions());
}

#[tokio::test]
async fn devices_of_several_kinds_behind_one_server() {
    let different = Units::<Box<dyn Device>>::new(Unmapped::default())
        .with(1, Box::new(Pattern))
        .with(2, Box::new(MemoryDevice::builder().registers(Table::HoldingRegisters, 7, &[5]).build()));
    let shared: Arc<dyn Device> = Arc::new(Pattern);
    let different = serve(different, Options::default());
    let shared = serve(shared, Options::default());
    for (address, unit, want) in
        [(different, 1, [3, 2, 0, 7]), (different, 2, [3, 2, 0, 5]), (shared, 9, [3, 2, 0, 7])]
    {
        let mut client = Mbap::connect(address).await;
        client.send(unit, &[3, 0, 7, 0, 1]).await;
        assert_eq!(client.receive().await, Some((unit, want.to_vec())));
    }
}

/// The request and the answer of [`Pattern`].
fn pattern(start: u16, count: u8) -> (Vec<u8>, Vec<u8>) {
    let request = [&[3][..], &start.to_be_bytes(), &[0, count]].concat();
    let registers = (start..start + u16::from(count)).flat_map(u16::to_be_bytes);
    (request, [3, 2 * count].into_iter().chain(registers).collect())
}
