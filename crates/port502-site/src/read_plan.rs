//! The requests that read many points: few, and none larger than the protocol allows.

use port502_wire::Table;

use crate::Point;

/// How much is asked for at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLimits {
    /// Coils or discrete inputs in one request: 2000, or fewer where the device takes fewer.
    pub bits: u16,
    /// Registers in one request: 125, or fewer where the device takes fewer.
    pub registers: u16,
    /// How many items that nobody asked for may be read to save a request. With 0 none is: reading can have
    /// effects, and an address between two points need not exist.
    pub gap: u16,
}

impl Default for ReadLimits {
    /// What the protocol allows, and nothing that was not asked for.
    fn default() -> Self {
        ReadLimits { bits: Table::Coils.read_max(), registers: Table::HoldingRegisters.read_max(), gap: 0 }
    }
}

/// One read request, and what it is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadBlock {
    /// The table that is read.
    pub table: Table,
    /// The first address.
    pub start: u16,
    /// How many items: not 0, and within the limits.
    pub count: u16,
    /// The points, or parts of points, that lie in it; at least one, by address.
    pub parts: Vec<ReadPart>,
}

/// Values of one point that one request reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadPart {
    /// Which of the points, by its index among those that were given.
    pub index: usize,
    /// The first of its values.
    pub first: u32,
    /// These values, as a point.
    pub point: Point,
}

/// The requests that read `points`. Points that lie side by side, or on each other, are read together; a value
/// is never torn between two requests, unless it alone is larger than the limit.
///
/// ```
/// # use port502_site::{Point, read_plan::{plan, ReadLimits}};
/// let points: Vec<Point> = ["h:100:f32", "h:102", "h:200"].iter().map(|p| p.parse()).collect::<Result<_, _>>()?;
/// let blocks = plan(&points, ReadLimits::default());
/// assert_eq!(blocks.iter().map(|b| (b.start, b.count)).collect::<Vec<_>>(), [(100, 3), (200, 1)]);
/// # Ok::<(), port502_site::PointError>(())
/// ```
#[must_use]
pub fn plan(points: &[Point], limits: ReadLimits) -> Vec<ReadBlock> {
    let mut parts: Vec<ReadPart> =
        points.iter().enumerate().flat_map(|(index, point)| split(index, point, limits)).collect();
    parts.sort_by_key(|part| (part.point.table(), part.point.address(), part.point.width(), part.index));
    let mut blocks: Vec<ReadBlock> = Vec::new();
    for part in parts {
        let last = blocks.last_mut();
        let wider = last.and_then(|block| Some((widened(block, &part.point, limits)?, block)));
        if let Some((count, block)) = wider {
            block.count = count;
            block.parts.push(part);
            continue;
        }
        blocks.push(ReadBlock {
            table: part.point.table(),
            start: part.point.address(),
            // `split` has seen to it.
            count: u16::try_from(part.point.width()).unwrap_or(u16::MAX),
            parts: vec![part],
        });
    }
    blocks
}

/// Pieces of a point that each fit into one request.
fn split(index: usize, point: &Point, limits: ReadLimits) -> impl Iterator<Item = ReadPart> {
    let point = *point;
    let max = max(point.table(), limits).max(point.value_width());
    let per_request = u32::from(max / point.value_width());
    (0..point.count()).step_by(usize::try_from(per_request).unwrap_or(1)).filter_map(move |first| {
        let count = per_request.min(point.count() - first);
        Some(ReadPart { index, first, point: point.part(first, count)? })
    })
}

fn max(table: Table, limits: ReadLimits) -> u16 {
    if table.is_bits() { limits.bits.min(2000) } else { limits.registers.min(125) }.max(1)
}

/// The count with which `block` holds `point` too, if that may be. The point does not begin before the block.
fn widened(block: &ReadBlock, point: &Point, limits: ReadLimits) -> Option<u16> {
    let end = u32::from(block.start) + u32::from(block.count);
    if block.table != point.table() || u32::from(point.address()) > end + u32::from(limits.gap) {
        return None;
    }
    let count = u32::from(point.last()).saturating_add(1).max(end) - u32::from(block.start);
    u16::try_from(count).ok().filter(|count| *count <= max(block.table, limits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::any_point;
    use proptest::prelude::*;

    #[track_caller]
    fn check(points: &str, gap: u16, want: &[&str]) {
        let points: Vec<Point> = points.split(' ').map(|point| point.parse().unwrap()).collect();
        let blocks = plan(&points, ReadLimits { gap, ..ReadLimits::default() });
        let shown: Vec<String> =
            blocks.iter().map(|b| format!("{}:{}+{}", b.table, b.start, b.count)).collect();
        assert_eq!(shown, want, "{points:?}");
    }

    #[test]
    fn neighbours_share_a_request() {
        check("h:1", 0, &["holding:1+1"]);
        check("h:2 h:1", 0, &["holding:1+2"]);
        check("h:1 h:3", 0, &["holding:1+1", "holding:3+1"]);
        check("h:1 h:3", 1, &["holding:1+3"]);
        check("h:1 i:2", 9, &["input:2+1", "holding:1+1"]);
        check("h:1:u64 h:2", 0, &["holding:1+4"]);
        check("h:1 h:1", 0, &["holding:1+1"]);
        check("h:65535 h:65534", 0, &["holding:65534+2"]);
    }

    #[test]
    fn limits_on_both_sides() {
        check("h:0*125", 0, &["holding:0+125"]);
        check("h:0*126", 0, &["holding:0+125", "holding:125+1"]);
        check("h:0*124 h:124", 0, &["holding:0+125"]);
        check("h:0*124 h:124:u32", 0, &["holding:0+124", "holding:124+2"]);
        check("h:0:f64*32", 0, &["holding:0+124", "holding:124+4"]);
        check("h:0:str250*2", 0, &["holding:0+125", "holding:125+125"]);
        check("c:0*2000", 0, &["coil:0+2000"]);
        check("c:0*2001", 0, &["coil:0+2000", "coil:2000+1"]);
        let all = plan(&["c:0*65536".parse().unwrap()], ReadLimits::default());
        assert_eq!((all.len(), all.last().unwrap().count), (33, 1536));
        // A device that takes fewer than a value has is asked for the value all the same.
        let few = ReadLimits { registers: 2, bits: 0, gap: 0 };
        assert_eq!(plan(&["h:0:f64".parse().unwrap(), "c:0*2".parse().unwrap()], few).len(), 3);
    }

    proptest! {
        #[test]
        fn every_value_is_read_once(points in prop::collection::vec(any_point(), 0..6), gap in 0..9u16) {
            let limits = ReadLimits { gap, ..ReadLimits::default() };
            let mut seen = vec![0; points.len()];
            for block in plan(&points, limits) {
                prop_assert!(block.count >= 1 && block.count <= max(block.table, limits));
                let last = block.start.checked_add(block.count - 1).unwrap();
                prop_assert!(!block.parts.is_empty());
                for part in block.parts {
                    prop_assert_eq!(part.point.table(), block.table);
                    prop_assert!(part.point.address() >= block.start && part.point.last() <= last);
                    prop_assert_eq!(points[part.index].part(part.first, part.point.count()), Some(part.point));
                    seen[part.index] += part.point.count();
                }
            }
            prop_assert_eq!(seen, points.iter().map(Point::count).collect::<Vec<_>>());
        }
    }
}
