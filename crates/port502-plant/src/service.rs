//! Simulated devices behind a server: the lane's units, and faults as bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use port502_net::Pdu;
use port502_net::server::{Amiss, Context, Late, Outcome, Reply, Service, Step};
use port502_wire::mbap::{self, Frame, TransactionId};
use port502_wire::{PDU_MAX, UnitId};

use crate::random::Random;
use crate::simulation::{Manner, Simulation};

/// A simulation that several servers and a clock share.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Simulation>>);

impl Shared {
    /// Shares a simulation.
    #[must_use]
    pub fn new(simulation: Simulation) -> Self {
        Shared(Arc::new(Mutex::new(simulation)))
    }

    /// Alone with it for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Simulation> {
        // Nothing in it is left half done where something panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The units of some lanes, as one server serves them.
#[derive(Clone, Debug)]
pub struct LaneService {
    simulation: Shared,
    lanes: Vec<usize>,
}

impl LaneService {
    /// The units of `lanes`. Where two lanes have the same unit, the first one's answers.
    #[must_use]
    pub fn new(simulation: Shared, lanes: Vec<usize>) -> Self {
        LaneService { simulation, lanes }
    }

    fn lane_of(&self, simulation: &Simulation, unit: UnitId) -> Option<usize> {
        self.lanes.iter().copied().find(|lane| simulation.serves(*lane, unit)).or(self.lanes.first().copied())
    }
}

impl Service for LaneService {
    fn call(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        let mut simulation = self.simulation.lock();
        let Some(lane) = self.lane_of(&simulation, frame.unit) else { return Outcome::Now(Reply::Silence) };
        let (reply, manner) = simulation.answer(lane, cx, frame.unit, frame.pdu, out);
        drop(simulation);
        if manner == Manner::Right {
            return Outcome::Now(reply);
        }
        let function = frame.pdu.first().copied().unwrap_or_default();
        let Some(pdu) = reply.emit(function, out).and_then(Pdu::new) else {
            return Outcome::Now(Reply::Silence);
        };
        let (transaction, unit) = (frame.transaction, frame.unit);
        Outcome::Later(Box::pin(async move { sent(manner, pdu, transaction, unit).await }))
    }

    fn serves(&self, unit: UnitId) -> bool {
        let simulation = self.simulation.lock();
        self.lanes.iter().any(|lane| simulation.serves(*lane, unit))
    }

    fn broadcast(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        let mut simulation = self.simulation.lock();
        for lane in &self.lanes {
            let units: Vec<UnitId> = simulation.units(*lane).map(|(unit, _)| unit).collect();
            for unit in units {
                simulation.answer(*lane, &cx.for_unit(unit), unit, frame.pdu, out);
            }
        }
        Outcome::Now(Reply::Silence)
    }
}

/// The answer as a fault sends it.
async fn sent(manner: Manner, pdu: Pdu, transaction: TransactionId, unit: UnitId) -> Late {
    // What breaks frames knows only those of MBAP: lanes of other frames are served in MBAP too.
    let adu = || [&mbap::header(transaction, unit, pdu.as_bytes().len()), pdu.as_bytes()].concat();
    match manner {
        Manner::Right => Late::Response(pdu),
        Manner::Slow(pause) => {
            tokio::time::sleep(pause).await;
            Late::Response(pdu)
        }
        Manner::WrongTransaction => {
            let transaction = Some(TransactionId(transaction.0 ^ 0x8000));
            Late::Amiss(Amiss { pdu, transaction, pause: Duration::ZERO })
        }
        Manner::Drip(pause) => Late::Amiss(Amiss { pdu, transaction: None, pause }),
        Manner::HalfClose => {
            let mut half = adu();
            half.truncate(half.len() / 2);
            Late::Script(vec![Step::Send(half), Step::Close])
        }
        Manner::Garbage(seed) => {
            let mut random = Random::new(seed);
            let mut bytes = adu();
            for byte in &mut bytes {
                // The top byte of each draw.
                *byte = random.next_u64().to_be_bytes().first().copied().unwrap_or_default();
            }
            Late::Script(vec![Step::Send(bytes)])
        }
    }
}
