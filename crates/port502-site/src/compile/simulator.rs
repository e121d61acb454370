//! The simulator map: what a simulator of the site serves.
//!
//! Each device has the addresses that its tags take, those that the poll plan reads, and those where writes are read
//! back; nothing else, so that what reads past them is refused as a device would. At first a tag holds what `initial`
//! says, otherwise the middle of its range, otherwise 0.

use port502_inspect::policy::Range;
use port502_wire::value::{Value, ValueType};
use port502_wire::{Table, UnitId};

use super::merged;
use super::policy::{Reads, place};
use super::poll::PollPlan;
use crate::register_map::Block;
use crate::site::{DeviceId, Initial, LaneId, Site, Tag, WriteLimits};
use crate::{Cells, Point};

/// What a simulator of a site serves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Simulator {
    /// As in [`Site::devices`].
    pub devices: Vec<SimulatedDevice>,
}

/// One device of a simulator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimulatedDevice {
    /// Which device it stands for.
    pub device: DeviceId,
    /// The lane on which it answers.
    pub lane: LaneId,
    /// Under which unit id.
    pub unit: UnitId,
    /// What each run of addresses holds at first, by table and address.
    pub blocks: Vec<Block>,
    /// What clients may write, sorted, apart from each other.
    pub writable: Vec<Range>,
}

/// What a simulator of the site serves.
#[must_use]
pub fn simulator(site: &Site, plan: &PollPlan) -> Simulator {
    let reads = Reads::new(site, plan);
    let devices = site.device_ids().map(|(id, device)| {
        let mut ranges = reads.of(id).to_vec();
        ranges.extend(site.tags_of(id).map(|(_, tag)| place(&tag.point)));
        let mut blocks: Vec<Block> = merged(ranges).iter().map(empty).collect();
        let mut writable = Vec::new();
        for (_, tag) in site.tags_of(id) {
            let Some(cells) = initial(tag) else { continue };
            put(&mut blocks, &tag.point, &cells);
            if let Some(write) = tag.write() {
                writable.push(place(&tag.point));
                // A device shows what it was last told.
                if let Some(readback) = write.readback {
                    put(&mut blocks, &readback, &cells);
                }
            }
        }
        SimulatedDevice {
            device: id,
            lane: device.lane,
            unit: device.unit,
            blocks,
            writable: merged(writable),
        }
    });
    Simulator { devices: devices.collect() }
}

fn empty(range: &Range) -> Block {
    let count = usize::from(range.last - range.first) + 1;
    let cells = if range.table.is_bits() {
        Cells::Bits(vec![false; count])
    } else {
        Cells::Registers(vec![0; count])
    };
    Block { table: range.table, start: range.first, cells }
}

/// Writes cells over what is there; of a bit of a register only that bit.
fn put(blocks: &mut [Block], point: &Point, cells: &Cells) {
    let behind =
        blocks.partition_point(|block| (block.table, block.start) <= (point.table(), point.address()));
    let Some(block) = behind.checked_sub(1).and_then(|at| blocks.get_mut(at)) else { return };
    if block.table != point.table() {
        return;
    }
    let offset = usize::from(point.address() - block.start);
    match (&mut block.cells, cells) {
        (Cells::Bits(all), Cells::Bits(new)) => {
            all.iter_mut().skip(offset).zip(new).for_each(|(cell, new)| *cell = *new);
        }
        (Cells::Registers(all), Cells::Registers(new)) => {
            let bit = matches!(point.value_type(), ValueType::Bit(_));
            let old = all.iter_mut().skip(offset).zip(new);
            old.for_each(|(cell, new)| *cell = if bit { *cell | *new } else { *new });
        }
        // A bit that is read back in registers, or the other way round.
        (Cells::Registers(all), Cells::Bits(new)) => {
            let on = new.first().copied().unwrap_or(false);
            all.iter_mut().skip(offset).take(1).for_each(|cell| *cell = u16::from(on));
        }
        (Cells::Bits(all), Cells::Registers(new)) => {
            let on = new.first().is_some_and(|register| *register != 0);
            all.iter_mut().skip(offset).take(1).for_each(|cell| *cell = on);
        }
    }
}

/// What a tag holds at first; `None` when that is all zeros.
fn initial(tag: &Tag) -> Option<Cells> {
    match (&tag.more().initial, tag.range) {
        (Some(Initial::Text(text)), _) => tag.point.parse_values(text).ok(),
        (Some(Initial::Bool(on)), _) => tag.point.parse_values(if *on { "1" } else { "0" }).ok(),
        (Some(Initial::Number(number)), _) => cells(tag, *number),
        (None, Some((low, high))) if tag.is_number() => cells(tag, low + (high - low) / 2.0),
        (None, _) => zeros_of_writable(tag),
    }
}

/// What may be written has to be something that may be written.
fn zeros_of_writable(tag: &Tag) -> Option<Cells> {
    match tag.write().map(|write| &write.limits)? {
        WriteLimits::Any => Some(Cells::zeros(&tag.point)),
        WriteLimits::Between { min, .. } => cells(tag, *min),
        WriteLimits::OneOf(values) => cells(tag, *values.first()?),
    }
}

/// A number as it stands in registers.
fn cells(tag: &Tag, value: f64) -> Option<Cells> {
    let raw = (value - tag.offset) / tag.scale;
    let value_type = tag.point.value_type();
    let number = match value_type {
        ValueType::F32 | ValueType::F64 => raw,
        other => {
            #[allow(clippy::cast_precision_loss, reason = "the nearest is near enough to begin with")]
            let limits = other.limits().map(|(low, high)| (low as f64, high as f64));
            let (low, high) = limits.unwrap_or((0.0, 0.0));
            raw.round().clamp(low, high)
        }
    };
    let mut room = [0; 4];
    let registers = value_type.encode(tag.point.order(), Value::F64(number), &mut room).ok()?;
    Some(Cells::Registers(registers.to_vec()))
}

impl SimulatedDevice {
    /// Whether it has coils, discrete inputs and so on.
    #[must_use]
    pub fn has(&self, table: Table) -> bool {
        self.blocks.iter().any(|block| block.table == table)
    }
}
