//! A request in a lane: what is asked, for whom, and how far it has come.

use port502_wire::mbap::TransactionId;
use port502_wire::{ExceptionCode, Read, UnitId};
use tokio::time::Instant;

use super::ask::{Effect, ReadKey, effect};
use super::options::{DeviceOptions, Larger};
use super::pieces::Pieces;

/// One request of a client, for [`Seat::ask`](super::Seat::ask).
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The client's.
    pub transaction: TransactionId,
    /// The unit that the client asked, and that its answer comes from.
    pub asked: UnitId,
    /// The unit on the link.
    pub unit: UnitId,
    /// The request.
    pub pdu: &'a [u8],
}

/// The same, put aside until the burst is at its end that it came in.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) transaction: TransactionId,
    pub(super) asked: UnitId,
    pub(super) unit: UnitId,
    pub(super) pdu: AskedPdu,
}

#[derive(Debug)]
pub(super) enum AskedPdu {
    Read(Read),
    Other(Box<[u8]>),
}

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// A client of a lane. The number alone is not enough: its slot may be another's by now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ClientKey {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Who waits for an answer, and what it goes under.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) client: ClientKey,
    pub(super) transaction: TransactionId,
    pub(super) asked: UnitId,
}

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// There is none: its slot is free.
    Free,
    Queued {
        /// Until then it may wait.
        until: Instant,
        /// Writes that its client had submitted before it.
        behind: u32,
    },
    Out {
        /// Since then, its first piece that is.
        at: Instant,
        /// The unit's count of writes then.
        epoch: u32,
    },
    /// Between two pieces.
    Between { at: Instant, epoch: u32 },
    /// It has the answer of another one's read in common, together with the `next`, and so on round to itself.
    Shares { next: u32 },
}

/// A request in its slot. It is filled and emptied where it is: moving it costs more than all that is done with it. One line
/// of a processor's cache, because of thousands that wait each is somewhere else.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Request {
    pub(super) stage: Stage,
    pub(super) unit: UnitId,
    pub(super) what: What,
    pub(super) waiter: Waiter,
    /// The slot of the last one who shares its answer, or none.
    pub(super) shared: u32,
}

const _: () = assert!(size_of::<Request>() == 64);

/// What is asked.
#[derive(Debug)]
pub(super) enum What {
    /// A read of one table that its device takes as it is: nearly every request.
    Read(ReadKey),
    Other(Box<Other>),
}

/// What is particular about a request.
#[derive(Debug)]
pub(super) struct Other {
    pdu: Box<[u8]>,
    /// For reads that others can share.
    key: Option<ReadKey>,
    /// `None` for what changes nothing.
    barrier: Option<Effect>,
    /// Everybody looks at it, to see whether the unit is back.
    probe: bool,
    pub(super) pieces: Option<Box<Pieces>>,
}

/// The request in `slot`.
#[inline]
pub(super) fn live(requests: &mut [Request], slot: u32) -> Option<&mut Request> {
    requests.get_mut(slot as usize).filter(|request| request.stage != Stage::Free)
}

impl From<&Ask<'_>> for Asked {
    #[inline]
    fn from(ask: &Ask<'_>) -> Self {
        let pdu = match Read::parse(ask.pdu) {
            Some(read) => AskedPdu::Read(read),
            None => AskedPdu::Other(ask.pdu.into()),
        };
        Asked { transaction: ask.transaction, asked: ask.asked, unit: ask.unit, pdu }
    }
}

impl AskedPdu {
    /// The function code.
    #[inline]
    pub(super) fn function(&self) -> u8 {
        match self {
            AskedPdu::Read(read) => read.function().0,
            AskedPdu::Other(pdu) => pdu.first().copied().unwrap_or_default(),
        }
    }
}

impl What {
    pub(super) const NONE: What = What::Read(ReadKey::NONE);

    /// For reads that others can share.
    #[inline]
    pub(super) fn key(&self) -> Option<ReadKey> {
        match self {
            What::Read(key) => Some(*key),
            What::Other(other) => other.key,
        }
    }

    /// What it may change.
    #[inline]
    pub(super) fn barrier(&self) -> Option<&Effect> {
        match self {
            What::Read(_) => None,
            What::Other(other) => other.barrier.as_ref(),
        }
    }

    #[inline]
    pub(super) fn is_probe(&self) -> bool {
        matches!(self, What::Other(other) if other.probe)
    }

    /// The function code.
    #[inline]
    pub(super) fn function(&self) -> u8 {
        match self {
            What::Read(key) => key.pdu()[0],
            What::Other(other) => other.pdu.first().copied().unwrap_or_default(),
        }
    }

    /// What is to be sent, of large reads the next piece.
    #[inline]
    pub(super) fn next_pdu(&mut self) -> &[u8] {
        match self {
            What::Read(key) => key.pdu(),
            What::Other(other) => match &mut other.pieces {
                Some(pieces) => pieces.next(),
                None => &other.pdu,
            },
        }
    }

    #[cold]
    pub(super) fn into_probe(self) -> What {
        What::Other(match self {
            What::Read(key) => {
                let pdu = key.pdu()[..].into();
                Box::new(Other { pdu, key: Some(key), barrier: None, probe: true, pieces: None })
            }
            What::Other(other) => Box::new(Other { probe: true, ..*other }),
        })
    }
}

impl Other {
    /// # Errors
    /// The exception that is owed for a request that breaks the specification, or that the device cannot take.
    #[inline(never)]
    pub(super) fn of(
        device: &DeviceOptions,
        unit: UnitId,
        pdu: Box<[u8]>,
    ) -> Result<Box<Other>, ExceptionCode> {
        let effect = effect(&pdu)?;
        let pieces = Pieces::of(device, &pdu, &effect)?;
        if pieces.is_some() && device.larger == Larger::Refuse {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let key = Read::parse(&pdu).map(|read| ReadKey::of(unit, &read));
        let barrier = match effect {
            Effect::Read { .. } | Effect::Look => None,
            effect => Some(effect),
        };
        Ok(Box::new(Other { pdu, key, barrier, probe: false, pieces }))
    }
}

impl Request {
    pub(super) const NONE: Request = Request {
        stage: Stage::Free,
        unit: UnitId::BROADCAST,
        what: What::NONE,
        waiter: Waiter {
            client: ClientKey { slot: NONE, generation: 0 },
            transaction: TransactionId(0),
            asked: UnitId::BROADCAST,
        },
        shared: NONE,
    };

    pub(super) fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued { .. })
    }
}
