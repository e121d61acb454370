//! Reading many points with few requests, so that one bad point does not hide the others.

use jiff::Timestamp;
use port502_net::client::Error;
use port502_site::read_plan::{ReadBlock, ReadLimits, plan};
use port502_site::{Cells, Datum, Point};
use port502_wire::ExceptionCode;
use port502_wire::value::DecodeError;

use crate::device::{self, Device};
use crate::failure::{Exit, Failure};

/// One value of one point, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The value alone, as a point.
    pub(crate) point: Point,
    /// When the answer came.
    pub(crate) time: Timestamp,
    /// The value, or why there is none.
    pub(crate) result: Result<Datum, Problem>,
    /// What was on the wire; empty where nothing came.
    pub(crate) cells: Cells,
}

/// Why there is no value.
#[derive(Clone, Debug)]
pub(crate) enum Problem {
    /// The device, or the way to it.
    Device(Error),
    /// What came is no value of the point's type.
    Value(DecodeError),
}

impl Problem {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Problem::Device(error) => device::exit(error),
            Problem::Value(_) => Exit::Other,
        }
    }

    pub(crate) fn failure(&self, device: &Device, point: &Point) -> Failure {
        match self {
            Problem::Device(error) => device.failure(&point.to_string(), error),
            Problem::Value(error) => {
                let (target, unit) = (&device.target, device.unit());
                Failure::other(format!("{target} unit {unit}: {point}: {error}; try another type or order"))
            }
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Problem::Device(error) => f.write_str(&device::brief(error)),
            Problem::Value(error) => error.fmt(f),
        }
    }
}

/// Reads the same points, once or again and again.
pub(crate) struct Reader {
    /// Each value as a point.
    values: Vec<Point>,
    /// For each of the given points, where its values begin in `values`.
    first: Vec<usize>,
    blocks: Vec<ReadBlock>,
}

impl Reader {
    pub(crate) fn new(points: &[Point]) -> Self {
        let mut first = Vec::with_capacity(points.len());
        let mut values = Vec::new();
        for point in points {
            first.push(values.len());
            values.extend(point.each());
        }
        Reader { values, first, blocks: plan(points, ReadLimits::default()) }
    }

    /// Every value, in the order of the points.
    pub(crate) fn values(&self) -> &[Point] {
        &self.values
    }

    /// Asks for everything once. What was read together and refused is asked for one by one; from then on too,
    /// where that is how the device is.
    pub(crate) async fn read(&mut self, device: &mut Device) -> Vec<Reading> {
        let mut readings: Vec<Option<Reading>> = vec![None; self.values.len()];
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let mut lost = None;
        for block in std::mem::take(&mut self.blocks) {
            if let Some(error) = &lost {
                self.take(&mut readings, &block, Err(error));
                blocks.push(block);
                continue;
            }
            let result = device.read(block.table, block.start, block.count).await;
            match &result {
                Err(Error::Exception { code, .. }) if block.parts.len() > 1 && may_be_one_point(*code) => {
                    let parts: Vec<ReadBlock> = alone(&block).collect();
                    for part in &parts {
                        let result = device.read(part.table, part.start, part.count).await;
                        self.take(&mut readings, part, result.as_ref());
                    }
                    // What the device can do at another time is asked for together then.
                    if is_for_good(*code) {
                        blocks.extend(parts)
                    } else {
                        blocks.push(block)
                    }
                    continue;
                }
                // Without a connection the rest would only wait in vain.
                Err(error @ (Error::Connect { .. } | Error::Transport { .. })) => lost = Some(error.clone()),
                _ => {}
            }
            self.take(&mut readings, &block, result.as_ref());
            blocks.push(block);
        }
        self.blocks = blocks;
        // The plan holds every value, so that none is missing.
        readings.into_iter().flatten().collect()
    }

    /// Puts what a request brought to the values it was for.
    fn take(&self, readings: &mut [Option<Reading>], block: &ReadBlock, result: Result<&Cells, &Error>) {
        let time = Timestamp::now();
        for part in &block.parts {
            let first = self.first.get(part.index).copied().unwrap_or_default();
            let first = first + usize::try_from(part.first).unwrap_or_default();
            for (point, reading) in part.point.each().zip(readings.iter_mut().skip(first)) {
                let width = usize::from(point.value_width());
                let offset = usize::from(point.address().saturating_sub(block.start));
                let cells = result.map(|cells| cells.part(offset, width).unwrap_or(Cells::Bits(Vec::new())));
                let value = match &cells {
                    Ok(cells) => match point.decode(cells).into_iter().next() {
                        Some(value) => value.map_err(Problem::Value),
                        None => continue, // a point has at least one value
                    },
                    Err(error) => Err(Problem::Device((*error).clone())),
                };
                let cells = cells.unwrap_or(Cells::Registers(Vec::new()));
                *reading = Some(Reading { point, time, result: value, cells });
            }
        }
    }
}

/// Whether the refusal of many may come from one of them, or from their number. Function and unit are the same for
/// each: a device that is not there behind its gateway would only be waited for again and again.
fn may_be_one_point(code: ExceptionCode) -> bool {
    use ExceptionCode::{GatewayPathUnavailable, GatewayTargetFailedToRespond, IllegalFunction};
    !matches!(code, IllegalFunction | GatewayPathUnavailable | GatewayTargetFailedToRespond)
}

/// Whether the same request will always be refused.
fn is_for_good(code: ExceptionCode) -> bool {
    matches!(code, ExceptionCode::IllegalDataAddress | ExceptionCode::IllegalDataValue)
}

/// A request for each part of a block.
fn alone(block: &ReadBlock) -> impl Iterator<Item = ReadBlock> {
    block.parts.iter().map(|part| ReadBlock {
        table: block.table,
        start: part.point.address(),
        count: u16::try_from(part.point.width()).unwrap_or(u16::MAX),
        parts: vec![*part],
    })
}

/// The failure of a command that read all this: the worst, and how many there were.
pub(crate) fn failure(device: &Device, readings: &[Reading]) -> Option<Failure> {
    let problems =
        || readings.iter().rev().filter_map(|r| r.result.as_ref().err().map(|problem| (r, problem)));
    let count = problems().count();
    // The first of the worst.
    let (reading, worst) = problems().max_by_key(|(_, problem)| problem.exit())?;
    let mut failure = worst.failure(device, &reading.point);
    if count > 1 {
        failure.message = format!("{count} of {} values failed: {}", readings.len(), failure.message);
    }
    Some(failure)
}
