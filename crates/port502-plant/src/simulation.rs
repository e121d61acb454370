//! A plant that runs: the process, the devices that show it, what clients do to them, what goes wrong meanwhile.
//!
//! ```text
//!   request --> memory of the device --> tags that were written --> the process takes what its actuators take
//!                        ^                                                      |
//!                        +---- sensors, scaled and encoded <---- step(0.1 s) <--+
//! ```
//!
//! Nothing here has a clock or a socket: [`Simulation::step`] lets a tenth of a second pass, [`Simulation::answer`] answers one request.
//! What happens depends on the map, the process, the seed, and the order of those two calls, and on nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use port502_net::memory::{Change, MemoryDevice, Values};
use port502_net::server::{Context, Device as _, Reply};
use port502_site::{Cells, Point, nearest};
use port502_wire::{ExceptionCode, PDU_MAX, Table, UnitId, view};

use crate::codec;
use crate::fault::{Fault, Schedule};
use crate::map::{self, Map};
use crate::process::{Facts, Process, STEP_S, VariableId};
use crate::random::{Random, Wander};

/// Requests that are remembered for [`Simulation::take_seen`]; older ones are gone, and counted.
pub const SEEN_MAX: usize = 4_096;

/// Clients that are counted by address; what others do is counted together.
pub const CLIENTS_MAX: usize = 256;

/// A write that waits to be carried out by the process.
type Writes = Arc<Mutex<Vec<Change>>>;

/// A sensor that lies.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Lie {
    frozen: Option<f64>,
    drifted: f64,
    drift_per_s: f64,
}

/// Where a tag's value comes from.
#[derive(Debug)]
enum Source {
    /// A variable of the process.
    Process(VariableId, Facts),
    /// Nothing else knows it: it wanders within the middle of its range.
    Wander { wander: Wander, middle: f64, reach: f64 },
    /// It counts up.
    Count { value: f64, per_s: f64 },
    /// It holds what was written last.
    Held(f64),
    /// A text.
    Text,
}

#[derive(Debug)]
struct Tag {
    spec: map::Tag,
    source: Source,
    lie: Lie,
    /// What its registers were last set to.
    shown: Option<f64>,
}

impl Tag {
    /// What clients may write, as the device itself would take it: its actuator's range, not what operators may.
    fn takes(&self) -> Option<(f64, f64)> {
        match &self.source {
            Source::Process(_, facts) => Some(facts.range),
            _ => self.spec.range,
        }
    }
}

/// A device that runs.
struct Device {
    name: String,
    lane: usize,
    unit: UnitId,
    memory: MemoryDevice,
    tags: Vec<Tag>,
    writes: Writes,
    faults: Vec<(f64, f64, Fault)>,
}

/// What the scheduled fault of a device makes of an answer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Manner {
    /// As it should be.
    Right,
    /// Later.
    Slow(Duration),
    /// Under a transaction id that nobody used.
    WrongTransaction,
    /// Half of it, and then the end of the connection.
    HalfClose,
    /// Bytes in its place, drawn from this seed.
    Garbage(u64),
    /// Byte by byte, with such a pause between two.
    Drip(Duration),
}

/// One request, as a device saw it.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    /// Seconds of the plant.
    pub at_s: f64,
    /// Who asked; `None` on a serial line.
    pub peer: Option<SocketAddr>,
    /// The unit that was asked.
    pub unit: UnitId,
    /// The device; `None` where there is none under that unit.
    pub device: Option<String>,
    /// The request.
    pub pdu: Box<[u8]>,
    /// How it was answered.
    pub reply: Reply,
    /// Whether a scheduled fault was at work.
    pub faulty: bool,
}

impl Seen {
    /// `1234.5 s 127.66.6.6:40312 unit 4 tank: fc 6 holding:2 -> done`.
    #[must_use]
    pub fn line(&self) -> String {
        let peer = self.peer.map_or_else(|| "line".to_owned(), |peer| peer.to_string());
        let device = self.device.as_deref().unwrap_or("nobody");
        let mut hex = String::new();
        for byte in &self.pdu {
            use std::fmt::Write as _;
            // Writing to a String does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        let outcome = match self.reply {
            Reply::Response { .. } => "done".to_owned(),
            Reply::Exception(code) => format!("exception {code}"),
            Reply::Silence => "silence".to_owned(),
        };
        let faulty = if self.faulty { " (fault)" } else { "" };
        format!("{:.1} s {peer} unit {} {device}: {hex} -> {outcome}{faulty}", self.at_s, self.unit)
    }

    /// Whether it asked for a change.
    #[must_use]
    pub fn is_write(&self) -> bool {
        view::request(&self.pdu).write.is_some()
            || matches!(self.pdu.first(), Some(5 | 6 | 15 | 16 | 21 | 22 | 23))
    }
}

/// What one address has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Client {
    /// Requests that changed nothing.
    pub reads: u64,
    /// Requests that would.
    pub writes: u64,
    /// How many of both were refused.
    pub refused: u64,
}

/// Why a map cannot be simulated.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SimulationError {
    /// A place in the schedule that there is not.
    #[error("the schedule names {place}, which there is not{hint}")]
    Place {
        /// What it names.
        place: String,
        /// What it perhaps means.
        hint: String,
    },
    /// A sensor's fault for something that is written.
    #[error("the schedule has {place} {fault}, and that is no sensor: clients write it")]
    NoSensor {
        /// What it names.
        place: String,
        /// The fault.
        fault: String,
    },
}

/// A plant that runs.
pub struct Simulation {
    process: Option<Process>,
    devices: Vec<Device>,
    /// Devices by lane and unit.
    places: BTreeMap<(usize, UnitId), usize>,
    lanes: Vec<String>,
    name: String,
    /// Sensors' faults: from, to, device, tag, what, and whether it is at work.
    lies: Vec<(f64, f64, usize, usize, Fault, bool)>,
    steps: u64,
    seed: u64,
    seen: VecDeque<Seen>,
    missed: u64,
    clients: BTreeMap<IpAddr, Client>,
    others: Client,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("name", &self.name)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// A plant as it is found. Tags that `process` knows by `device.tag` show it; all others live on their own.
    ///
    /// # Errors
    /// A schedule that names what there is not.
    pub fn new(
        map: &Map,
        process: Option<Process>,
        schedule: &Schedule,
        seed: u64,
    ) -> Result<Self, SimulationError> {
        let mut devices: Vec<Device> =
            map.devices.iter().map(|spec| device(spec, process.as_ref(), seed)).collect();
        let lies = place_all(schedule, &mut devices)?;
        let places =
            devices.iter().enumerate().map(|(at, device)| ((device.lane, device.unit), at)).collect();
        let mut simulation = Simulation {
            process,
            devices,
            places,
            lanes: map.lanes.clone(),
            name: map.name.clone(),
            lies,
            steps: 0,
            seed,
            seen: VecDeque::new(),
            missed: 0,
            clients: BTreeMap::new(),
            others: Client::default(),
        };
        simulation.show();
        Ok(simulation)
    }

    /// Adds a device that is nothing but memory, in the place of what answered there.
    pub fn insert(&mut self, lane: usize, unit: UnitId, name: &str, memory: MemoryDevice) {
        let device = Device {
            name: name.to_owned(),
            lane,
            unit,
            memory,
            tags: Vec::new(),
            writes: Writes::default(),
            faults: Vec::new(),
        };
        self.places.insert((lane, unit), self.devices.len());
        self.devices.push(device);
        while self.lanes.len() <= lane {
            self.lanes.push(name.to_owned());
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lanes.
    #[must_use]
    pub fn lanes(&self) -> &[String] {
        &self.lanes
    }

    /// The units on a lane, and what the devices are called.
    pub fn units(&self, lane: usize) -> impl Iterator<Item = (UnitId, &str)> + '_ {
        self.devices.iter().filter(move |d| d.lane == lane).map(|d| (d.unit, d.name.as_str()))
    }

    /// Seconds of the plant that have passed.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.steps as f64 * STEP_S
    }

    /// Lets [`STEP_S`] pass.
    pub fn step(&mut self) {
        self.steps += 1;
        if let Some(process) = &mut self.process {
            process.step();
        }
        for device in &mut self.devices {
            for tag in &mut device.tags {
                match &mut tag.source {
                    Source::Wander { wander, .. } => {
                        wander.step(STEP_S);
                    }
                    Source::Count { value, per_s } => *value += *per_s * STEP_S,
                    Source::Process(..) | Source::Held(_) | Source::Text => {}
                }
                tag.lie.drifted += tag.lie.drift_per_s * STEP_S;
            }
        }
        self.lie();
    }

    /// Begins and ends sensors' faults.
    fn lie(&mut self) {
        let now = self.seconds();
        let mut lies = std::mem::take(&mut self.lies);
        for (from, to, device, tag, fault, at_work) in &mut lies {
            let due = now >= *from && now < *to;
            if due == *at_work {
                continue;
            }
            *at_work = due;
            let value = self.value(*device, *tag);
            let Some(tag) = self.devices.get_mut(*device).and_then(|device| device.tags.get_mut(*tag)) else {
                continue;
            };
            match (fault, due) {
                (_, false) => tag.lie = Lie::default(),
                (Fault::Drift(per_s), true) => tag.lie.drift_per_s = *per_s,
                (_, true) => tag.lie.frozen = Some(tag.shown.unwrap_or(value)),
            }
        }
        self.lies = lies;
    }

    /// What a tag is, before its sensor lies.
    fn value(&self, device: usize, tag: usize) -> f64 {
        let Some(tag) = self.devices.get(device).and_then(|device| device.tags.get(tag)) else { return 0.0 };
        match &tag.source {
            Source::Process(variable, _) => {
                self.process.as_ref().map_or(0.0, |process| process.shown(*variable))
            }
            Source::Wander { wander, middle, reach } => {
                let value = middle + reach * wander.value() / 3.0;
                if tag.spec.point.table().is_bits() { if value > 0.8 { 1.0 } else { 0.0 } } else { value }
            }
            Source::Count { value, .. } | Source::Held(value) => *value,
            Source::Text => 0.0,
        }
    }

    /// Brings the registers up to what is so. To be called after steps; an answer needs it, and a step does not.
    pub fn show(&mut self) {
        for at in 0..self.devices.len() {
            let count = self.devices.get(at).map_or(0, |device| device.tags.len());
            for tag_at in 0..count {
                let value = self.value(at, tag_at);
                let Some(device) = self.devices.get_mut(at) else { continue };
                let Some(tag) = device.tags.get_mut(tag_at) else { continue };
                if matches!(tag.source, Source::Text) {
                    if tag.shown.is_none() {
                        codec::put_text(
                            &device.memory,
                            &tag.spec.point,
                            tag.spec.text.as_deref().unwrap_or_default(),
                        );
                        tag.shown = Some(0.0);
                    }
                    continue;
                }
                let mut shown = tag.lie.frozen.unwrap_or(value + tag.lie.drifted);
                if let Some((low, high)) = tag.spec.range
                    && tag.lie != Lie::default()
                {
                    shown = shown.clamp(low, high);
                }
                if tag.shown != Some(shown) {
                    tag.shown = Some(shown);
                    let (scale, offset) = (tag.spec.scale, tag.spec.offset);
                    codec::put(&device.memory, &tag.spec.point, shown, scale, offset);
                    if let Some(readback) = &tag.spec.readback {
                        codec::put(&device.memory, readback, shown, scale, offset);
                    }
                }
            }
        }
    }

    /// Answers one request of a unit on a lane, and says how the answer goes out.
    pub fn answer(
        &mut self,
        lane: usize,
        cx: &Context<'_>,
        unit: UnitId,
        pdu: &[u8],
        out: &mut [u8; PDU_MAX],
    ) -> (Reply, Manner) {
        let place = self.places.get(&(lane, unit)).copied();
        let fault = place.and_then(|at| self.fault(at));
        let (reply, manner) = match (place, fault) {
            (None, _) => (Reply::Exception(ExceptionCode::GatewayTargetFailedToRespond), Manner::Right),
            (_, Some(Fault::Timeout)) => (Reply::Silence, Manner::Right),
            (_, Some(Fault::Exception(code))) => (Reply::Exception(code), Manner::Right),
            (Some(at), fault) => {
                let reply =
                    self.devices.get(at).map_or(Reply::Silence, |device| device.memory.answer(cx, pdu, out));
                self.carry_out(at);
                let manner = match fault {
                    Some(Fault::Slow(pause)) => Manner::Slow(pause),
                    Some(Fault::WrongTransaction) => Manner::WrongTransaction,
                    Some(Fault::HalfClose) => Manner::HalfClose,
                    Some(Fault::Garbage) => Manner::Garbage(Random::new(self.seed ^ self.steps).next_u64()),
                    Some(Fault::Drip(pause)) => Manner::Drip(pause),
                    _ => Manner::Right,
                };
                (reply, manner)
            }
        };
        self.remember(cx, unit, place, pdu, reply, fault.is_some());
        (reply, manner)
    }

    /// Whether something answers under a unit of a lane.
    #[must_use]
    pub fn serves(&self, lane: usize, unit: UnitId) -> bool {
        self.places.contains_key(&(lane, unit))
    }

    /// The fault of a device that is at work now.
    fn fault(&self, device: usize) -> Option<Fault> {
        let now = self.seconds();
        let faults = &self.devices.get(device)?.faults;
        faults.iter().find(|(from, to, _)| now >= *from && now < *to).map(|(.., fault)| *fault)
    }

    /// Hands what clients wrote to the process, and shows what it took.
    fn carry_out(&mut self, at: usize) {
        let Some(device) = self.devices.get_mut(at) else { return };
        let changes = std::mem::take(&mut *device.writes.lock().unwrap_or_else(PoisonError::into_inner));
        if changes.is_empty() {
            return;
        }
        for tag in &mut device.tags {
            let (table, first, last) = codec::addresses(&tag.spec.point);
            let touched = changes.iter().any(|change| touches(change, table, first, last));
            if !touched || !tag.spec.writable {
                continue;
            }
            // What is written is what stands there now, whoever wrote which half of it. What is no number is not taken,
            // and the next look at the registers shows what holds.
            let written = codec::get(&device.memory, &tag.spec.point, tag.spec.scale, tag.spec.offset);
            tag.shown = None;
            let Some(written) = written else { continue };
            match &mut tag.source {
                Source::Process(variable, _) => {
                    if let Some(process) = &mut self.process {
                        process.command(*variable, written);
                    }
                }
                Source::Held(value) => {
                    *value = tag.spec.range.map_or(written, |(low, high)| written.clamp(low, high));
                }
                Source::Count { value, .. } => *value = written,
                Source::Wander { .. } | Source::Text => {}
            }
        }
        self.show();
    }

    fn remember(
        &mut self,
        cx: &Context<'_>,
        unit: UnitId,
        place: Option<usize>,
        pdu: &[u8],
        reply: Reply,
        faulty: bool,
    ) {
        let device = place.and_then(|at| self.devices.get(at)).map(|device| device.name.clone());
        let seen = Seen { at_s: self.seconds(), peer: cx.peer, unit, device, pdu: pdu.into(), reply, faulty };
        if let Some(peer) = cx.peer {
            let known = self.clients.contains_key(&peer.ip()) || self.clients.len() < CLIENTS_MAX;
            let client = if known { self.clients.entry(peer.ip()).or_default() } else { &mut self.others };
            if seen.is_write() {
                client.writes += 1;
            } else {
                client.reads += 1;
            }
            client.refused += u64::from(matches!(reply, Reply::Exception(_)));
        }
        if self.seen.len() == SEEN_MAX {
            self.seen.pop_front();
            self.missed += 1;
        }
        self.seen.push_back(seen);
    }

    /// The requests since the last call, the oldest first, and how many more there were.
    pub fn take_seen(&mut self) -> (Vec<Seen>, u64) {
        (self.seen.drain(..).collect(), std::mem::take(&mut self.missed))
    }

    /// What each address has done so far.
    #[must_use]
    pub fn clients(&self) -> &BTreeMap<IpAddr, Client> {
        &self.clients
    }

    /// What addresses beyond [`CLIENTS_MAX`] have done.
    #[must_use]
    pub const fn other_clients(&self) -> Client {
        self.others
    }

    /// What a tag shows, by `device.tag`.
    #[must_use]
    pub fn shown(&self, name: &str) -> Option<f64> {
        let (device, tag) = name.split_once('.')?;
        let device = self.devices.iter().find(|candidate| candidate.name == device)?;
        device.tags.iter().find(|candidate| candidate.spec.name == tag)?.shown
    }

    /// The variable of the process that no tag shows, set by whoever runs the simulation: a hole in a pipe.
    pub fn command(&mut self, name: &str, value: f64) -> bool {
        let Some(process) = &mut self.process else { return false };
        let Some((variable, facts)) = process.find(name) else { return false };
        process.command(variable, value);
        facts.is_command
    }
}

/// Whether a write touches these addresses.
fn touches(change: &Change, table: Table, first: u16, last: u16) -> bool {
    let count = match &change.values {
        Values::Bits(bits) => bits.len(),
        Values::Registers(registers) => registers.len(),
    };
    let end = usize::from(change.start) + count;
    change.table == table && usize::from(first) < end && last >= change.start
}

/// What a write is compared with.
struct Checked {
    point: Point,
    scale: f64,
    offset: f64,
    takes: Option<(f64, f64)>,
}

/// A tag that is written whole is refused where it would be out of what the device takes. What is written in parts can
/// only be looked at when it is there: the process cuts it to its range then.
fn refuses(tags: &[Checked], change: &Change) -> bool {
    let Values::Registers(values) = &change.values else { return false };
    tags.iter().any(|Checked { point, scale, offset, takes }| {
        if point.table() != change.table {
            return false;
        }
        let Some(at) = point.address().checked_sub(change.start).map(usize::from) else { return false };
        let Some(registers) = values.get(at..at + usize::from(point.value_width())) else { return false };
        match (codec::to_number(point, registers, *scale, *offset), takes) {
            (None, _) => true,
            // Rounding to the register's step must not make the limit itself unreachable.
            (Some(number), Some((low, high))) => {
                let slack = scale.abs() * 0.5;
                number < low - slack || number > high + slack
            }
            (Some(_), None) => false,
        }
    })
}

fn device(spec: &map::Device, process: Option<&Process>, seed: u64) -> Device {
    let tags: Vec<Tag> = spec.tags.iter().map(|tag| source(spec, tag, process, seed)).collect();
    let writes = Writes::default();
    let checked: Vec<Checked> = tags
        .iter()
        .filter(|tag| tag.spec.writable && !tag.spec.point.table().is_bits())
        .filter(|tag| !matches!(tag.source, Source::Text))
        .map(|tag| Checked {
            point: tag.spec.point,
            scale: tag.spec.scale,
            offset: tag.spec.offset,
            takes: tag.takes(),
        })
        .collect();
    let noted = Arc::clone(&writes);
    let mut builder = MemoryDevice::builder()
        .object(0, "port502")
        .object(1, "simulated device")
        .object(2, env!("CARGO_PKG_VERSION"))
        .object(4, spec.description.as_deref().unwrap_or(&spec.name))
        .object(5, &spec.name)
        .server_id(&spec.name);
    for block in &spec.blocks {
        builder = match &block.cells {
            Cells::Bits(bits) => builder.bits(block.table, block.start, bits),
            Cells::Registers(registers) => builder.registers(block.table, block.start, registers),
        };
    }
    for (table, first, last) in read_only(spec) {
        builder = builder.read_only(table, first, last);
    }
    let memory = builder
        .on_write(move |_, change| {
            if refuses(&checked, change) {
                return Err(ExceptionCode::IllegalDataValue);
            }
            noted.lock().unwrap_or_else(PoisonError::into_inner).push(change.clone());
            Ok(())
        })
        .build();
    let mut tags = tags;
    for tag in &mut tags {
        if let (Source::Held(value), None) = (&mut tag.source, tag.spec.initial) {
            let there = codec::get(&memory, &tag.spec.point, tag.spec.scale, tag.spec.offset);
            *value = there.unwrap_or_default();
        }
    }
    Device {
        name: spec.name.clone(),
        lane: spec.lane,
        unit: spec.unit,
        memory,
        tags,
        writes,
        faults: Vec::new(),
    }
}

/// Where a tag's value comes from.
fn source(device: &map::Device, spec: &map::Tag, process: Option<&Process>, seed: u64) -> Tag {
    let name = format!("{}.{}", device.name, spec.name);
    let known = process.and_then(|process| process.find(&name));
    let middle = spec.range.map_or(0.0, |(low, high)| (low + high) / 2.0);
    let begin = spec.initial.unwrap_or(middle);
    let is_text = matches!(spec.point.value_type(), port502_wire::value::ValueType::Text(_));
    let source = match known {
        _ if is_text => Source::Text,
        Some((variable, facts)) => Source::Process(variable, facts),
        None if spec.writable => Source::Held(begin),
        None if spec.counter => Source::Count { value: begin, per_s: 0.1 },
        None => match spec.range {
            Some((low, high)) if !spec.point.table().is_bits() => {
                let reach = ((high - low) / 10.0).min(begin - low).min(high - begin).max(0.0);
                Source::Wander { wander: Wander::new(seed, &name, 60.0), middle: begin, reach }
            }
            _ => Source::Held(begin),
        },
    };
    Tag { spec: spec.clone(), source, lie: Lie::default(), shown: None }
}

/// What clients cannot write: what no writable tag covers, as runs.
fn read_only(spec: &map::Device) -> Vec<(Table, u16, u16)> {
    let writable: Vec<(Table, u16, u16)> =
        spec.tags.iter().filter(|tag| tag.writable).map(|tag| codec::addresses(&tag.point)).collect();
    let mut runs: Vec<(Table, u16, u16)> = Vec::new();
    for block in spec.blocks.iter().filter(|block| block.table.is_writable()) {
        for address in (block.start..=u16::MAX).take(block.cells.len()) {
            if writable
                .iter()
                .any(|(table, first, last)| *table == block.table && (*first..=*last).contains(&address))
            {
                continue;
            }
            match runs.last_mut() {
                Some((table, _, last)) if *table == block.table && last.checked_add(1) == Some(address) => {
                    *last = address
                }
                _ => runs.push((block.table, address, address)),
            }
        }
    }
    runs
}

/// A sensor's fault: from, to, device, tag, what, and whether it is at work.
type ScheduledLie = (f64, f64, usize, usize, Fault, bool);

/// Finds the places of a schedule.
fn place_all(schedule: &Schedule, devices: &mut [Device]) -> Result<Vec<ScheduledLie>, SimulationError> {
    let mut lies = Vec::new();
    for scheduled in &schedule.faults {
        let from = scheduled.from.as_secs_f64();
        let to = from + scheduled.lasts.as_secs_f64();
        let (device_name, tag_name) =
            scheduled.place.split_once('.').map_or((scheduled.place.as_str(), None), |(d, t)| (d, Some(t)));
        let names = devices.iter().map(|device| device.name.as_str());
        let nowhere = |near: Option<&str>| SimulationError::Place {
            place: scheduled.place.clone(),
            hint: near.map_or_else(String::new, |near| format!("; did you mean {near}?")),
        };
        let Some(at) = devices.iter().position(|device| device.name == device_name) else {
            return Err(nowhere(nearest(device_name, names)));
        };
        let Some(device) = devices.get_mut(at) else { continue };
        let Some(tag_name) = tag_name else {
            device.faults.push((from, to, scheduled.fault));
            continue;
        };
        let Some(tag_at) = device.tags.iter().position(|tag| tag.spec.name == tag_name) else {
            let near = nearest(tag_name, device.tags.iter().map(|tag| tag.spec.name.as_str()));
            return Err(nowhere(near.map(|near| format!("{device_name}.{near}")).as_deref()));
        };
        if device.tags.get(tag_at).is_some_and(|tag| tag.spec.writable) {
            let (place, fault) = (scheduled.place.clone(), scheduled.fault.to_string());
            return Err(SimulationError::NoSensor { place, fault });
        }
        lies.push((from, to, at, tag_at, scheduled.fault, false));
    }
    Ok(lies)
}
