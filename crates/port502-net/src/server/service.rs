use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use port502_session::server::{Context, Device, LineEvent, Reply};
use port502_wire::mbap::{self, Frame, TransactionId};
use port502_wire::{ExceptionCode, PDU_MAX, UnitId};

use super::Caller;
use crate::Pdu;

/// What stands behind a server's connections: a device, several by unit, or another network.
///
/// Every [`Device`] is a service, answering under each unit id as a device does that is reached directly.
pub trait Service: Send + Sync + 'static {
    /// Answers one frame. An answer that is there at once is written to `out`; one that takes time is a future,
    /// and requests behind it are not held up.
    fn call(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome;

    /// The same for a connection that can wait for many answers at once. `None`: the answer comes into the
    /// [`Inbox`](super::Inbox) of `caller`, which costs far less than a future for each. It may only be promised
    /// while [`Caller::has_room`], and has to be kept: by an answer, a refusal, or silence.
    #[inline]
    fn post(
        &self,
        caller: &mut Caller,
        cx: &Context<'_>,
        frame: &Frame<'_>,
        out: &mut [u8; PDU_MAX],
    ) -> Option<Outcome> {
        let _ = caller;
        Some(self.call(cx, frame, out))
    }

    /// Everything that came with one read has been [`post`](Self::post)ed: what was put aside for the whole of it goes on now.
    /// A service that passes `post` on to another passes this on, too.
    #[inline]
    fn posted(&self, caller: &mut Caller) {
        let _ = caller;
    }

    /// Whether something answers under `unit`. On a serial line others may: there a server keeps silent for all
    /// units but its own, and [`call`](Self::call) is not asked.
    fn serves(&self, unit: UnitId) -> bool {
        let _ = unit;
        true
    }

    /// Carries out what is broadcast on a serial line. Nobody answers that, so the outcome is only waited for.
    fn broadcast(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        self.call(cx, frame, out)
    }

    /// Is told what comes on a serial line and is no request to it, for the counters that function 08 reads.
    fn overheard(&self, event: LineEvent) {
        let _ = event;
    }
}

/// How a [`Service`] answers.
pub enum Outcome {
    /// At once.
    Now(Reply),
    /// When the future ends.
    Later(Pin<Box<dyn Future<Output = Late> + Send>>),
}

/// An answer that took time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Late {
    /// This PDU.
    Response(Pdu),
    /// A refusal.
    Exception(ExceptionCode),
    /// None.
    Silence,
    /// An answer that is sent wrongly, whatever frames it goes in.
    Amiss(Amiss),
    /// Bytes as they are, for simulated devices that misbehave in a stream or on a line.
    Script(Vec<Step>),
}

/// How an answer goes wrong on its way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Amiss {
    /// The answer.
    pub pdu: Pdu,
    /// The transaction id that it goes under, in the place of the request's; without meaning on links that have none.
    pub transaction: Option<TransactionId>,
    /// Between two bytes; without meaning in datagrams.
    pub pause: Duration,
}

impl Amiss {
    /// The answer to a request in MBAP, step by step.
    pub(super) fn steps(self, transaction: TransactionId, unit: UnitId) -> Vec<Step> {
        let header = mbap::header(self.transaction.unwrap_or(transaction), unit, self.pdu.as_bytes().len());
        let adu = [&header, self.pdu.as_bytes()].concat();
        if self.pause.is_zero() {
            return vec![Step::Send(adu)];
        }
        adu.into_iter().flat_map(|byte| [Step::Send(vec![byte]), Step::Wait(self.pause)]).collect()
    }
}

/// A step of a [`Late::Script`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Send these bytes, which need be no frame.
    Send(Vec<u8>),
    /// Send nothing for so long.
    Wait(Duration),
    /// Close the connection.
    Close,
}

impl<D: Device + 'static> Service for D {
    #[inline]
    fn call(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        Outcome::Now(self.answer(cx, frame.pdu, out))
    }

    fn overheard(&self, event: LineEvent) {
        Device::overheard(self, event);
    }
}

/// What a unit id without a device gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unmapped {
    /// Exception 0A: the gateway has no path to it.
    GatewayPathUnavailable,
    /// Exception 0B: it does not answer. The default, for that is what a bus without it looks like.
    #[default]
    GatewayTargetFailedToRespond,
    /// Nothing, as on a serial line.
    Silence,
}

/// Several devices by unit id, as behind a gateway. Devices of different kinds are `Units::<Box<dyn Device>>`.
#[derive(Clone, Debug)]
pub struct Units<D> {
    devices: BTreeMap<UnitId, D>,
    unmapped: Unmapped,
}

impl<D: Device + 'static> Units<D> {
    /// Without devices.
    #[must_use]
    pub fn new(unmapped: Unmapped) -> Self {
        Units { devices: BTreeMap::new(), unmapped }
    }

    /// The same with `device` under `unit`, in the place of what was there.
    #[must_use]
    pub fn with(mut self, unit: impl Into<UnitId>, device: D) -> Self {
        self.devices.insert(unit.into(), device);
        self
    }

    /// The device under `unit`.
    #[must_use]
    pub fn device(&self, unit: UnitId) -> Option<&D> {
        self.devices.get(&unit)
    }
}

impl<D: Device + 'static> Service for Units<D> {
    #[inline]
    fn call(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        Outcome::Now(match (self.devices.get(&frame.unit), self.unmapped) {
            (Some(device), _) => device.answer(cx, frame.pdu, out),
            (None, Unmapped::GatewayPathUnavailable) => {
                Reply::Exception(ExceptionCode::GatewayPathUnavailable)
            }
            (None, Unmapped::GatewayTargetFailedToRespond) => {
                Reply::Exception(ExceptionCode::GatewayTargetFailedToRespond)
            }
            (None, Unmapped::Silence) => Reply::Silence,
        })
    }

    fn serves(&self, unit: UnitId) -> bool {
        self.devices.contains_key(&unit)
    }

    fn broadcast(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        for (unit, device) in &self.devices {
            device.answer(&cx.for_unit(*unit), frame.pdu, out);
        }
        Outcome::Now(Reply::Silence)
    }

    fn overheard(&self, event: LineEvent) {
        self.devices.values().for_each(|device| Device::overheard(device, event));
    }
}
