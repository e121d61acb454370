//! Devices that answer as others did: a capture of a conversation becomes something to talk to.
//!
//! A request that was seen gets the answers that it got, one after the other, and then the last again. A read of registers
//! or bits that were seen in other requests gets what they held last. Anything else is refused with exception 02, and a
//! function that was never answered with exception 01.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use port502_capture::{
    Capture, CaptureError, ConnectionId, Direction, Event, Limits, Opening, Reassembler, StreamEventKind,
};
use port502_net::Pdu;
use port502_net::server::{Context, Outcome, Reply, Service};
use port502_session::Instant;
use port502_session::tap::{self, Observation, Start, Tap, Transaction};
use port502_wire::mbap::Frame;
use port502_wire::{BitsMut, ExceptionCode, PDU_MAX, RegistersMut, Request, Response, Table, UnitId};

/// Different requests that are remembered of one unit; what comes after them is left out, and counted.
pub const REQUESTS_MAX: usize = 100_000;

/// Answers that are remembered of one request; the oldest are left out.
pub const ANSWERS_MAX: usize = 1_000;

/// What one unit answered.
#[derive(Clone, PartialEq, Debug, Default)]
struct Unit {
    answers: HashMap<Box<[u8]>, Vec<Pdu>>,
    registers: BTreeMap<(u8, u16), u16>,
    bits: BTreeMap<(u8, u16), bool>,
    functions: BTreeSet<u8>,
}

/// What the devices behind one address answered.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Recording {
    units: BTreeMap<UnitId, Unit>,
    /// Requests with their answers.
    pub transactions: u64,
    /// Those beyond [`REQUESTS_MAX`].
    pub left_out: u64,
}

fn number(table: Table) -> u8 {
    table.reference_digit()
}

impl Recording {
    /// The units, in order.
    pub fn units(&self) -> impl ExactSizeIterator<Item = UnitId> + '_ {
        self.units.keys().copied()
    }

    /// Learns one transaction.
    fn learn(&mut self, unit: UnitId, request: &[u8], response: &[u8]) {
        let Some(pdu) = Pdu::new(response) else { return };
        self.transactions += 1;
        let unit = self.units.entry(unit).or_default();
        if unit.answers.len() >= REQUESTS_MAX && !unit.answers.contains_key(request) {
            self.left_out += 1;
            return;
        }
        if let Some(&function) = request.first()
            && response.first() == Some(&function)
        {
            unit.functions.insert(function);
        }
        unit.hold(request, &pdu);
        let answers = unit.answers.entry(request.into()).or_default();
        if answers.len() >= ANSWERS_MAX {
            answers.remove(0);
        }
        answers.push(pdu);
    }
}

impl Unit {
    /// Remembers what registers and bits held.
    fn hold(&mut self, request: &[u8], response: &Pdu) {
        let (Ok(request), Ok(response)) = (Request::parse(request), response.response()) else { return };
        let mut registers = |table: Table, start: u16, values: &mut dyn Iterator<Item = u16>| {
            for (at, value) in (start..=u16::MAX).zip(values) {
                self.registers.insert((number(table), at), value);
            }
        };
        match (request, response) {
            (
                Request::ReadHoldingRegisters { span },
                Response::ReadHoldingRegisters { registers: values },
            ) => {
                registers(Table::HoldingRegisters, span.start(), &mut values.iter());
            }
            (Request::ReadInputRegisters { span }, Response::ReadInputRegisters { registers: values }) => {
                registers(Table::InputRegisters, span.start(), &mut values.iter());
            }
            (Request::WriteSingleRegister { address, value }, Response::WriteSingleRegister { .. }) => {
                registers(Table::HoldingRegisters, address, &mut std::iter::once(value));
            }
            (Request::WriteMultipleRegisters { block }, Response::WriteMultipleRegisters { .. }) => {
                registers(Table::HoldingRegisters, block.span().start(), &mut block.values().iter());
            }
            (Request::ReadCoils { span }, Response::ReadCoils { bits }) => {
                self.hold_bits(Table::Coils, span.start(), bits.iter().take(span.count().into()));
            }
            (Request::ReadDiscreteInputs { span }, Response::ReadDiscreteInputs { bits }) => {
                self.hold_bits(Table::DiscreteInputs, span.start(), bits.iter().take(span.count().into()));
            }
            _ => {}
        }
    }

    fn hold_bits(&mut self, table: Table, start: u16, values: impl Iterator<Item = bool>) {
        for (at, value) in (start..=u16::MAX).zip(values) {
            self.bits.insert((number(table), at), value);
        }
    }

    /// An answer to a request that was never seen, from what was.
    fn compose(&self, request: &[u8], out: &mut [u8; PDU_MAX]) -> Reply {
        const NO_ADDRESS: Reply = Reply::Exception(ExceptionCode::IllegalDataAddress);
        let function = request.first().copied().unwrap_or_default();
        if !self.functions.contains(&function) {
            return Reply::Exception(ExceptionCode::IllegalFunction);
        }
        let request = match Request::parse(request) {
            Ok(request) => request,
            Err(error) => return Reply::Exception(error.exception()),
        };
        let (table, start, count) = match request {
            Request::ReadHoldingRegisters { span } => (Table::HoldingRegisters, span.start(), span.count()),
            Request::ReadInputRegisters { span } => (Table::InputRegisters, span.start(), span.count()),
            Request::ReadCoils { span } => (Table::Coils, span.start(), span.count()),
            Request::ReadDiscreteInputs { span } => (Table::DiscreteInputs, span.start(), span.count()),
            _ => return NO_ADDRESS,
        };
        let bytes = if table.is_bits() { usize::from(count).div_ceil(8) } else { 2 * usize::from(count) };
        let [code, length, rest @ ..] = out;
        let (Ok(byte_count), Some(room)) = (u8::try_from(bytes), rest.get_mut(..bytes)) else {
            return NO_ADDRESS;
        };
        (*code, *length) = (function, byte_count);
        let addresses = (start..=u16::MAX).take(count.into());
        if table.is_bits() {
            let bits: Option<Vec<bool>> =
                addresses.map(|at| self.bits.get(&(number(table), at)).copied()).collect();
            let Some(bits) = bits.filter(|bits| bits.len() == usize::from(count)) else { return NO_ADDRESS };
            BitsMut::new(room, bits.len()).fill(bits);
        } else {
            let values: Option<Vec<u16>> =
                addresses.map(|at| self.registers.get(&(number(table), at)).copied()).collect();
            let Some(values) = values.filter(|values| values.len() == usize::from(count)) else {
                return NO_ADDRESS;
            };
            RegistersMut::new(room).copy_from(&values);
        }
        Reply::Response { len: 2 + bytes }
    }
}

/// Reads a capture (pcap or pcapng): what each server on one of `ports` answered.
///
/// # Errors
/// What is no capture, or cannot be read. What came before the trouble is lost with it.
pub fn read<R: Read>(source: R, ports: &[u16]) -> Result<BTreeMap<SocketAddr, Recording>, CaptureError> {
    let mut capture = Capture::new(source);
    let served = ports.to_vec();
    let mut streams = Reassembler::new(Limits::default(), move |port| served.contains(&port));
    let mut found: BTreeMap<SocketAddr, Recording> = BTreeMap::new();
    let mut taps: HashMap<ConnectionId, (SocketAddr, Tap)> = HashMap::new();
    let mut sink = |event: Event<'_>| {
        let Event::Stream(event) = event else { return };
        if let StreamEventKind::Opened { server, opening, .. } = event.kind {
            let start = match opening {
                Opening::Handshake => Start::Handshake,
                Opening::SynOnly | Opening::MidConnection(_) => Start::Midway,
            };
            if ports.contains(&server.port()) {
                taps.insert(event.connection, (server, Tap::new(start)));
            }
            return;
        }
        let Some((server, tap)) = taps.get_mut(&event.connection) else { return };
        let recording = found.entry(*server).or_default();
        let mut learn = |observation: Observation<'_>| {
            if let Observation::Transaction(Transaction {
                request: Some(request),
                response: Some(response),
                ..
            }) = observation
            {
                recording.learn(request.unit, request.pdu, response.pdu);
            }
        };
        // Whatever the capture's epoch is, only differences count.
        let at = Instant::from_nanos(event.at.nanos().cast_unsigned() ^ (1 << 63));
        let direction = match event.direction {
            Direction::ToServer => tap::Direction::ToServer,
            Direction::ToClient => tap::Direction::ToClient,
        };
        match event.kind {
            StreamEventKind::Data(bytes) => tap.observe(direction, bytes, at, &mut learn),
            StreamEventKind::Gap { .. } => tap.gap(direction, at, &mut learn),
            StreamEventKind::Closed { .. } => {
                tap.finish(&mut learn);
                taps.remove(&event.connection);
            }
            StreamEventKind::Opened { .. }
            | StreamEventKind::Conflict { .. }
            | StreamEventKind::Stray { .. } => {}
        }
    };
    while let Some(record) = capture.next_record()? {
        streams.push_record(&record, &mut sink);
    }
    streams.finish(&mut sink);
    found.retain(|_, recording| recording.transactions > 0);
    Ok(found)
}

/// How often each request of a unit has been asked.
type Asked = HashMap<(UnitId, Box<[u8]>), usize>;

/// A recording that answers.
#[derive(Debug)]
pub struct Replay {
    recording: Recording,
    asked: Mutex<Asked>,
}

impl Replay {
    /// From its beginning.
    #[must_use]
    pub fn new(recording: Recording) -> Self {
        Replay { recording, asked: Mutex::new(HashMap::new()) }
    }

    fn answer(&self, unit_id: UnitId, request: &[u8], out: &mut [u8; PDU_MAX]) -> Reply {
        let Some(unit) = self.recording.units.get(&unit_id) else {
            return Reply::Exception(ExceptionCode::GatewayTargetFailedToRespond);
        };
        // Only what was seen is counted: a client cannot make this grow beyond the recording.
        let Some(answers) = unit.answers.get(request) else { return unit.compose(request, out) };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = asked.entry((unit_id, request.into())).or_default();
        let answer = answers.get(*times).or(answers.last());
        *times = (*times + 1).min(answers.len());
        let Some(bytes) = answer.map(Pdu::as_bytes) else { return Reply::Silence };
        match bytes {
            [function, code] if function & 0x80 != 0 => Reply::Exception((*code).into()),
            _ => match out.get_mut(..bytes.len()) {
                Some(room) => {
                    room.copy_from_slice(bytes);
                    Reply::Response { len: bytes.len() }
                }
                None => Reply::Silence,
            },
        }
    }
}

impl Service for Replay {
    fn call(&self, _: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        Outcome::Now(self.answer(frame.unit, frame.pdu, out))
    }

    fn serves(&self, unit: UnitId) -> bool {
        self.recording.units.contains_key(&unit)
    }
}
