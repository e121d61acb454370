//! A device in memory: four sparse tables, files, queues, an identification, counters.
//!
//! ```
//! use port502_net::memory::MemoryDevice;
//! use port502_wire::Table;
//!
//! let meter = MemoryDevice::builder()
//!     .registers(Table::InputRegisters, 0, &[230, 231, 229])
//!     .registers(Table::HoldingRegisters, 100, &[0; 10])
//!     .object(0, "ACME")
//!     .build();
//! assert_eq!(meter.register(Table::InputRegisters, 1), Some(231));
//! assert_eq!(meter.register(Table::InputRegisters, 3), None); // not one of its addresses
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use port502_session::Communication;
use port502_session::server::{Context, Device, DeviceResult, LineEvent, Reply, answer};
use port502_wire::function::FunctionSet;
use port502_wire::{
    BitsMut, CoilBlock, DeviceObject, ExceptionCode, FileReads, FileWrites, FunctionCode, PDU_MAX,
    RECORDS_PER_FILE, RegisterBlock, Registers, RegistersMut, Span, SubFunction, Table, UnitId, Writer,
};
use tokio::sync::broadcast;

/// Files that a device holds, at most. Each costs 20 kB.
pub const FILES_MAX: usize = 64;

/// Changes that a slow listener may fall behind before it is told how many it missed.
pub const CHANGES_MAX: usize = 1024;

/// Registers that a queue holds, at most. A client can read it only while it holds no more than 31.
pub const QUEUED_MAX: usize = 1024;

/// The highest count of a queue, function 24.
const FIFO_MAX: usize = 31;

/// Values from an address on. Neighbours are one run, so that a request is one look-up.
#[derive(Clone, Debug)]
struct Run<T> {
    start: u16,
    values: Vec<T>,
}

/// One table: runs in ascending order that neither touch nor overlap.
#[derive(Clone, Debug)]
struct Cells<T> {
    runs: Vec<Run<T>>,
}

impl<T> Default for Cells<T> {
    fn default() -> Self {
        Cells { runs: Vec::new() }
    }
}

impl<T: Copy> Cells<T> {
    /// `count` values from `start`, when all of them are there.
    #[inline]
    fn get(&self, start: u16, count: usize) -> Option<&[T]> {
        let run = self.runs.get(self.runs.partition_point(|run| run.start <= start).checked_sub(1)?)?;
        let at = usize::from(start - run.start);
        run.values.get(at..at + count)
    }

    #[inline]
    fn get_mut(&mut self, start: u16, count: usize) -> Option<&mut [T]> {
        let run = self.runs.partition_point(|run| run.start <= start).checked_sub(1)?;
        let run = self.runs.get_mut(run)?;
        let at = usize::from(start - run.start);
        run.values.get_mut(at..at + count)
    }

    /// Puts values in, over what is there; what would lie past 0xFFFF is left out.
    fn put(&mut self, start: u16, values: &[T]) {
        let room = 0x1_0000 - usize::from(start);
        let values = values.get(..values.len().min(room)).unwrap_or_default();
        if values.is_empty() {
            return;
        }
        let (mut first, mut all) = (usize::from(start), values.to_vec());
        // Swallow every run that touches or overlaps the new one.
        self.runs.retain(|run| {
            let (from, to) = (usize::from(run.start), usize::from(run.start) + run.values.len());
            let end = first + all.len();
            if to < first || from > end {
                return true;
            }
            if from < first {
                let mut joined: Vec<T> = run.values.iter().take(first - from).copied().collect();
                joined.append(&mut all);
                (first, all) = (from, joined);
            }
            all.extend(run.values.iter().skip(end - from));
            false
        });
        let start = u16::try_from(first).unwrap_or_default();
        let at = self.runs.partition_point(|run| run.start < start);
        self.runs.insert(at, Run { start, values: all });
    }
}

/// The device's data, under one lock.
#[derive(Clone, Debug, Default)]
struct Tables {
    coils: Cells<bool>,
    discrete_inputs: Cells<bool>,
    input_registers: Cells<u16>,
    holding_registers: Cells<u16>,
    /// Records of each file that is there.
    files: BTreeMap<u16, Vec<u16>>,
    /// Whether any file may be written into being.
    any_file: bool,
    queues: BTreeMap<u16, Vec<u16>>,
}

impl Tables {
    fn bits(&self, table: Table) -> &Cells<bool> {
        if table == Table::DiscreteInputs { &self.discrete_inputs } else { &self.coils }
    }

    fn bits_mut(&mut self, table: Table) -> &mut Cells<bool> {
        if table == Table::DiscreteInputs { &mut self.discrete_inputs } else { &mut self.coils }
    }

    fn words(&self, table: Table) -> &Cells<u16> {
        if table == Table::InputRegisters { &self.input_registers } else { &self.holding_registers }
    }

    fn words_mut(&mut self, table: Table) -> &mut Cells<u16> {
        if table == Table::InputRegisters { &mut self.input_registers } else { &mut self.holding_registers }
    }
}

/// Values of a [`Change`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Values {
    /// Of coils or discrete inputs.
    Bits(Vec<bool>),
    /// Of registers.
    Registers(Vec<u16>),
}

/// A write, as a client made it or the program did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The client; `None` when the program wrote, and on a serial line, where clients have no address.
    pub peer: Option<SocketAddr>,
    /// The unit that was addressed; `None` when the program wrote.
    pub unit: Option<UnitId>,
    /// The function that wrote; `None` when the program did.
    pub function: Option<FunctionCode>,
    /// Where.
    pub table: Table,
    /// The first address.
    pub start: u16,
    /// What.
    pub values: Values,
}

/// Judges a client's write before it is carried out.
type Hook = dyn Fn(&Context<'_>, &Change) -> DeviceResult + Send + Sync;

/// A device in memory. Clones share the data.
#[derive(Clone)]
pub struct MemoryDevice {
    shared: Arc<Shared>,
}

struct Shared {
    tables: Mutex<Tables>,
    functions: FunctionSet,
    objects: BTreeMap<u8, Vec<u8>>,
    server_id: Vec<u8>,
    exception_status: u8,
    communication: Communication,
    changes: broadcast::Sender<Change>,
    hook: Option<Box<Hook>>,
    read_only: Vec<(Table, u16, u16)>,
}

impl fmt::Debug for MemoryDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDevice").field("functions", &self.shared.functions).finish_non_exhaustive()
    }
}

/// Makes a [`MemoryDevice`].
pub struct Builder {
    tables: Tables,
    functions: FunctionSet,
    objects: BTreeMap<u8, Vec<u8>>,
    /// Whether the program has set any of them.
    described: bool,
    server_id: Vec<u8>,
    exception_status: u8,
    hook: Option<Box<Hook>>,
    read_only: Vec<(Table, u16, u16)>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("functions", &self.functions).finish_non_exhaustive()
    }
}

impl Builder {
    /// Registers from `start` on; those past 0xFFFF are left out. In a table of bits, 0 is off and all else on.
    #[must_use]
    pub fn registers(mut self, table: Table, start: u16, values: &[u16]) -> Self {
        if table.is_bits() {
            let bits: Vec<bool> = values.iter().map(|value| *value != 0).collect();
            self.tables.bits_mut(table).put(start, &bits);
        } else {
            self.tables.words_mut(table).put(start, values);
        }
        self
    }

    /// Coils or discrete inputs from `start` on; those past 0xFFFF are left out.
    #[must_use]
    pub fn bits(self, table: Table, start: u16, values: &[bool]) -> Self {
        let words: Vec<u16> = values.iter().map(|value| u16::from(*value)).collect();
        self.registers(table, start, &words)
    }

    /// A file with these records; at most [`FILES_MAX`] files of 10,000 records are kept.
    #[must_use]
    pub fn file(mut self, file: u16, records: &[u16]) -> Self {
        if self.tables.files.len() < FILES_MAX && file != 0 {
            let records = records.iter().copied().take(usize::from(RECORDS_PER_FILE)).collect();
            self.tables.files.insert(file, records);
        }
        self
    }

    /// A queue at `address`, the oldest register first. Where there is none, the holding register at the
    /// address counts those that follow it, as the queue is laid out in the devices that the function was
    /// made for. At most [`QUEUED_MAX`] registers are kept.
    #[must_use]
    pub fn queue(mut self, address: u16, registers: &[u16]) -> Self {
        self.tables.queues.insert(address, registers.iter().copied().take(QUEUED_MAX).collect());
        self
    }

    /// An object of the device identification: 0 vendor, 1 product code, 2 revision, 4 product name, ... A device
    /// of which none is set says that it is port502's.
    #[must_use]
    pub fn object(mut self, id: u8, value: impl AsRef<[u8]>) -> Self {
        if !std::mem::replace(&mut self.described, true) {
            // The names of our product are not those of another; the first three objects there have to be.
            self.objects.retain(|id, _| *id <= 2);
        }
        self.objects.insert(id, value.as_ref().to_vec());
        self
    }

    /// The id that function 17 reports; the run indicator FF is put behind it.
    #[must_use]
    pub fn server_id(mut self, id: impl AsRef<[u8]>) -> Self {
        self.server_id = id.as_ref().iter().copied().take(200).collect();
        self
    }

    /// The eight bits that function 07 reports.
    #[must_use]
    pub fn exception_status(mut self, status: u8) -> Self {
        self.exception_status = status;
        self
    }

    /// The functions on offer, in the place of all public ones but CANopen.
    #[must_use]
    pub fn functions(mut self, functions: FunctionSet) -> Self {
        self.functions = functions;
        self
    }

    /// Addresses that clients read and cannot write: exception 02.
    #[must_use]
    pub fn read_only(mut self, table: Table, first: u16, last: u16) -> Self {
        self.read_only.push((table, first, last));
        self
    }

    /// Is asked before a client's write to one of the four tables is carried out, and may refuse it; not about
    /// file records, function 21. It must not call back into the device.
    #[must_use]
    pub fn on_write(
        mut self,
        hook: impl Fn(&Context<'_>, &Change) -> DeviceResult + Send + Sync + 'static,
    ) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// The device.
    #[must_use]
    pub fn build(self) -> MemoryDevice {
        MemoryDevice {
            shared: Arc::new(Shared {
                tables: Mutex::new(self.tables),
                functions: self.functions,
                objects: self.objects,
                server_id: self.server_id,
                exception_status: self.exception_status,
                communication: Communication::default(),
                changes: broadcast::Sender::new(CHANGES_MAX),
                hook: self.hook,
                read_only: self.read_only,
            }),
        }
    }
}

impl MemoryDevice {
    /// A device without any address, offering all public functions.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            tables: Tables::default(),
            functions: FunctionSet::public(),
            objects: [
                (0, "port502"),
                (1, "memory"),
                (2, env!("CARGO_PKG_VERSION")),
                (4, "port502 device in memory"),
                (5, "MemoryDevice"),
            ]
            .map(|(id, text)| (id, text.as_bytes().to_vec()))
            .into(),
            described: false,
            server_id: b"port502".to_vec(),
            exception_status: 0,
            hook: None,
            read_only: Vec::new(),
        }
    }

    /// All 65,536 addresses of each table, zeros; any file can be written.
    #[must_use]
    pub fn full() -> MemoryDevice {
        Self::full_builder().build()
    }

    /// As [`full`](Self::full), to be changed before it is built.
    #[must_use]
    pub fn full_builder() -> Builder {
        let mut builder = Self::builder();
        for table in Table::ALL {
            builder = builder.registers(table, 0, &vec![0; 0x1_0000]);
        }
        builder.tables.any_file = true;
        builder
    }

    #[inline]
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A panic in a hook happens before anything is changed.
        self.shared.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every write from now on, a client's or the program's. A receiver that falls [`CHANGES_MAX`] behind is
    /// told how many it missed.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }

    /// A register; `None` when the address is not one of the device's, or the table is one of bits.
    #[must_use]
    pub fn register(&self, table: Table, address: u16) -> Option<u16> {
        if table.is_bits() {
            return None;
        }
        self.tables().words(table).get(address, 1).and_then(|values| values.first().copied())
    }

    /// A coil or discrete input; `None` when the address is not one of the device's, or the table is one of
    /// registers.
    #[must_use]
    pub fn bit(&self, table: Table, address: u16) -> Option<bool> {
        if !table.is_bits() {
            return None;
        }
        self.tables().bits(table).get(address, 1).and_then(|values| values.first().copied())
    }

    /// Sets registers of either table, as the program behind the device does. `false` when not all of the
    /// addresses are the device's: then nothing is changed.
    pub fn set_registers(&self, table: Table, start: u16, values: &[u16]) -> bool {
        if table.is_bits() {
            return false;
        }
        let mut tables = self.tables();
        let Some(cells) = tables.words_mut(table).get_mut(start, values.len()) else { return false };
        cells.copy_from_slice(values);
        self.tell(|| Change::by_program(table, start, Values::Registers(values.to_vec())));
        true
    }

    /// Sets coils or discrete inputs, as [`set_registers`](Self::set_registers).
    pub fn set_bits(&self, table: Table, start: u16, values: &[bool]) -> bool {
        if !table.is_bits() {
            return false;
        }
        let mut tables = self.tables();
        let Some(cells) = tables.bits_mut(table).get_mut(start, values.len()) else { return false };
        cells.copy_from_slice(values);
        self.tell(|| Change::by_program(table, start, Values::Bits(values.to_vec())));
        true
    }

    /// Appends to the queue at `address`, making it when there is none. `false` when it is full, at [`QUEUED_MAX`].
    pub fn push_queue(&self, address: u16, register: u16) -> bool {
        let mut tables = self.tables();
        let queue = tables.queues.entry(address).or_default();
        let fits = queue.len() < QUEUED_MAX;
        if fits {
            queue.push(register);
        }
        fits
    }

    /// Takes the oldest register out of the queue at `address`; function 24 only looks.
    pub fn pop_queue(&self, address: u16) -> Option<u16> {
        let mut tables = self.tables();
        let queue = tables.queues.get_mut(&address).filter(|queue| !queue.is_empty())?;
        Some(queue.remove(0))
    }

    /// To be called under the lock, so that changes are told in the order in which they are made.
    fn tell(&self, change: impl FnOnce() -> Change) {
        if self.shared.changes.receiver_count() != 0 {
            // All receivers may have gone in between.
            let _ = self.shared.changes.send(change());
        }
    }

    /// Whether a client may write these addresses of a table.
    fn is_writable(&self, table: Table, start: u16, last: u16) -> bool {
        !self.shared.read_only.iter().any(|(t, from, to)| *t == table && start <= *to && last >= *from)
    }

    /// A client's write to registers: checked, judged by the hook, carried out, told.
    fn write_registers(
        &self,
        cx: &Context<'_>,
        function: FunctionCode,
        start: u16,
        values: Registers<'_>,
        then: impl FnOnce(&Tables) -> DeviceResult,
    ) -> DeviceResult {
        let table = Table::HoldingRegisters;
        let last = start.saturating_add(u16::try_from(values.len().saturating_sub(1)).unwrap_or(u16::MAX));
        let mut tables = self.tables();
        let cells = tables.holding_registers.get_mut(start, values.len());
        let cells = cells.filter(|_| self.is_writable(table, start, last)).ok_or(NO_ADDRESS)?;
        let change = || Change {
            values: Values::Registers(values.iter().collect()),
            ..Change::by(cx, function, table, start)
        };
        if let Some(hook) = &self.shared.hook {
            hook(cx, &change())?;
        }
        values.copy_to(cells);
        then(&tables)?;
        self.tell(change);
        Ok(())
    }

    fn write_coils(
        &self,
        cx: &Context<'_>,
        function: FunctionCode,
        start: u16,
        values: impl Iterator<Item = bool> + Clone,
    ) -> DeviceResult {
        let (table, count) = (Table::Coils, values.clone().count());
        let last = start.saturating_add(u16::try_from(count.saturating_sub(1)).unwrap_or(u16::MAX));
        let mut tables = self.tables();
        let cells = tables.coils.get_mut(start, count);
        let cells = cells.filter(|_| self.is_writable(table, start, last)).ok_or(NO_ADDRESS)?;
        let change = || Change {
            values: Values::Bits(values.clone().collect()),
            ..Change::by(cx, function, table, start)
        };
        if let Some(hook) = &self.shared.hook {
            hook(cx, &change())?;
        }
        for (cell, value) in cells.iter_mut().zip(values.clone()) {
            *cell = value;
        }
        self.tell(change);
        Ok(())
    }
}

impl Change {
    fn by(cx: &Context<'_>, function: FunctionCode, table: Table, start: u16) -> Self {
        let (peer, unit, function) = (cx.peer, Some(cx.unit), Some(function));
        Change { peer, unit, function, table, start, values: Values::Bits(Vec::new()) }
    }

    fn by_program(table: Table, start: u16, values: Values) -> Self {
        Change { peer: None, unit: None, function: None, table, start, values }
    }
}

const NO_ADDRESS: ExceptionCode = ExceptionCode::IllegalDataAddress;

fn read_bits(cells: &Cells<bool>, span: Span<2000>, out: &mut BitsMut<'_>) -> DeviceResult {
    let values = cells.get(span.start(), span.count().into()).ok_or(NO_ADDRESS)?;
    out.fill(values.iter().copied());
    Ok(())
}

#[inline]
fn read_registers(cells: &Cells<u16>, span: Span<125>, out: &mut RegistersMut<'_>) -> DeviceResult {
    let values = cells.get(span.start(), span.count().into()).ok_or(NO_ADDRESS)?;
    out.copy_from(values);
    Ok(())
}

impl Device for MemoryDevice {
    #[inline]
    fn functions(&self) -> FunctionSet {
        self.shared.functions
    }

    #[inline]
    fn answer(&self, cx: &Context<'_>, pdu: &[u8], out: &mut [u8; PDU_MAX]) -> Reply {
        self.shared.communication.around(pdu, || answer(self, cx, pdu, out))
    }

    fn overheard(&self, event: LineEvent) {
        self.shared.communication.overheard(event);
    }

    fn read_coils(&self, _: &Context<'_>, span: Span<2000>, out: &mut BitsMut<'_>) -> DeviceResult {
        read_bits(&self.tables().coils, span, out)
    }

    fn read_discrete_inputs(&self, _: &Context<'_>, span: Span<2000>, out: &mut BitsMut<'_>) -> DeviceResult {
        read_bits(&self.tables().discrete_inputs, span, out)
    }

    #[inline]
    fn read_holding_registers(
        &self,
        _: &Context<'_>,
        span: Span<125>,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult {
        read_registers(&self.tables().holding_registers, span, out)
    }

    fn read_input_registers(
        &self,
        _: &Context<'_>,
        span: Span<125>,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult {
        read_registers(&self.tables().input_registers, span, out)
    }

    fn write_single_coil(&self, cx: &Context<'_>, address: u16, value: bool) -> DeviceResult {
        self.write_coils(cx, FunctionCode::WRITE_SINGLE_COIL, address, std::iter::once(value))
    }

    fn write_single_register(&self, cx: &Context<'_>, address: u16, value: u16) -> DeviceResult {
        let bytes = value.to_be_bytes();
        let values = Registers::new(&bytes).ok_or(NO_ADDRESS)?;
        self.write_registers(cx, FunctionCode::WRITE_SINGLE_REGISTER, address, values, |_| Ok(()))
    }

    fn read_exception_status(&self, _: &Context<'_>) -> DeviceResult<u8> {
        Ok(self.shared.exception_status)
    }

    fn diagnostics<'b>(
        &self,
        _: &Context<'_>,
        sub_function: SubFunction,
        data: &[u8],
        out: &'b mut [u8],
    ) -> DeviceResult<Option<&'b [u8]>> {
        self.shared.communication.diagnostics(sub_function, data, out)
    }

    fn comm_event_counter(&self, _: &Context<'_>) -> DeviceResult<(u16, u16)> {
        Ok(self.shared.communication.event_counter())
    }

    fn comm_event_log(&self, _: &Context<'_>, log: &mut [u8; 64]) -> DeviceResult<(u16, u16, u16, usize)> {
        Ok(self.shared.communication.event_log(log))
    }

    fn write_multiple_coils(&self, cx: &Context<'_>, block: CoilBlock<'_>) -> DeviceResult {
        self.write_coils(cx, FunctionCode::WRITE_MULTIPLE_COILS, block.span().start(), block.values().iter())
    }

    fn write_multiple_registers(&self, cx: &Context<'_>, block: RegisterBlock<'_, 123>) -> DeviceResult {
        let (function, start) = (FunctionCode::WRITE_MULTIPLE_REGISTERS, block.span().start());
        self.write_registers(cx, function, start, block.values(), |_| Ok(()))
    }

    fn report_server_id<'b>(&self, _: &Context<'_>, out: &'b mut [u8]) -> DeviceResult<&'b [u8]> {
        let mut writer = Writer::new(out);
        writer
            .bytes(&self.shared.server_id)
            .and_then(|writer| writer.u8(0xFF))
            .map_err(|_| ExceptionCode::ServerDeviceFailure)?;
        Ok(writer.finish())
    }

    fn read_file_record(
        &self,
        _: &Context<'_>,
        records: FileReads<'_>,
        out: &mut Writer<'_>,
    ) -> DeviceResult {
        const ZEROS: [u16; 125] = [0; 125];
        let tables = self.tables();
        for run in records.iter() {
            let (from, length) = (usize::from(run.record), usize::from(run.length));
            let values = match tables.files.get(&run.file) {
                Some(file) => file.get(from..from + length),
                None if tables.any_file => ZEROS.get(..length),
                None => None,
            };
            let values = values.ok_or(NO_ADDRESS)?;
            let len = u8::try_from(1 + 2 * length).map_err(|_| ExceptionCode::IllegalDataValue)?;
            out.u8(len)
                .and_then(|out| out.u8(6))
                .and_then(|out| out.reserve(2 * length))
                .map(|room| RegistersMut::new(room).copy_from(values))
                .map_err(|_| ExceptionCode::IllegalDataValue)?;
        }
        Ok(())
    }

    fn write_file_record(&self, _: &Context<'_>, records: FileWrites<'_>) -> DeviceResult {
        let mut tables = self.tables();
        // All of the runs or none: look before anything is written.
        let new: std::collections::BTreeSet<u16> =
            records.iter().map(|run| run.file).filter(|file| !tables.files.contains_key(file)).collect();
        if !new.is_empty() && !tables.any_file {
            return Err(NO_ADDRESS);
        }
        if tables.files.len() + new.len() > FILES_MAX {
            return Err(ExceptionCode::ServerDeviceFailure);
        }
        for run in records.iter() {
            let end = usize::from(run.record) + run.registers.len();
            let len = tables.files.get(&run.file).map_or(usize::from(RECORDS_PER_FILE), Vec::len);
            if end > len {
                return Err(NO_ADDRESS);
            }
        }
        for run in records.iter() {
            let empty = || vec![0; usize::from(RECORDS_PER_FILE)];
            let file = tables.files.entry(run.file).or_insert_with(empty);
            if let Some(room) = file.get_mut(usize::from(run.record)..) {
                run.registers.copy_to(room);
            }
        }
        Ok(())
    }

    fn mask_write_register(&self, cx: &Context<'_>, address: u16, and: u16, or: u16) -> DeviceResult {
        let table = Table::HoldingRegisters;
        let mut tables = self.tables();
        let cell = tables.holding_registers.get_mut(address, 1).and_then(<[u16]>::first_mut);
        let cell = cell.filter(|_| self.is_writable(table, address, address)).ok_or(NO_ADDRESS)?;
        let value = (*cell & and) | (or & !and);
        let change = || Change {
            values: Values::Registers(vec![value]),
            ..Change::by(cx, FunctionCode::MASK_WRITE_REGISTER, table, address)
        };
        if let Some(hook) = &self.shared.hook {
            hook(cx, &change())?;
        }
        *cell = value;
        self.tell(change);
        Ok(())
    }

    fn read_write_multiple_registers(
        &self,
        cx: &Context<'_>,
        read: Span<125>,
        write: RegisterBlock<'_, 121>,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult {
        // Both ranges are checked before anything is written.
        if self.tables().holding_registers.get(read.start(), read.count().into()).is_none() {
            return Err(NO_ADDRESS);
        }
        let function = FunctionCode::READ_WRITE_MULTIPLE_REGISTERS;
        self.write_registers(cx, function, write.span().start(), write.values(), |tables| {
            read_registers(&tables.holding_registers, read, out)
        })
    }

    fn read_fifo_queue(
        &self,
        _: &Context<'_>,
        address: u16,
        out: &mut RegistersMut<'_>,
    ) -> DeviceResult<usize> {
        let tables = self.tables();
        let registers = &tables.holding_registers;
        let count = match tables.queues.get(&address) {
            Some(queue) => queue.len(),
            None => registers.get(address, 1).and_then(<[u16]>::first).copied().ok_or(NO_ADDRESS)?.into(),
        };
        if count > FIFO_MAX {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let queued = match tables.queues.get(&address) {
            Some(queue) => Some(queue.as_slice()),
            None if count == 0 => Some(&[][..]),
            None => address.checked_add(1).and_then(|first| registers.get(first, count)),
        };
        out.copy_from(queued.ok_or(NO_ADDRESS)?);
        Ok(count)
    }

    fn device_objects(
        &self,
        _: &Context<'_>,
        object: &mut dyn FnMut(DeviceObject<'_>) -> bool,
    ) -> DeviceResult {
        for (id, value) in &self.shared.objects {
            if !object(DeviceObject { id: *id, value }) {
                break;
            }
        }
        Ok(())
    }
}
