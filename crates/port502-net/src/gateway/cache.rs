//! Answers to reads, kept for a time that the device's owner finds short enough.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use port502_wire::Table;
use tokio::time::Instant;

use super::ask::ReadKey;

/// Answers that a lane keeps, at most; the oldest goes for a new one.
pub const CACHED_MAX: usize = 4096;

/// How many addresses in front of a write a read can begin and still overlap it.
const REACH: u16 = 2000 - 1;

#[derive(Debug)]
struct Kept {
    pdu: Box<[u8]>,
    /// When the read was sent: the values are no older than that.
    at: Instant,
}

/// The kept answers of a lane.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: BTreeMap<ReadKey, Kept>,
}

impl Cache {
    /// The answer to `key`, if it is no older than `max_age`.
    pub(super) fn find(&self, key: ReadKey, now: Instant, max_age: Duration) -> Option<&[u8]> {
        let kept = self.kept.get(&key)?;
        (now.saturating_duration_since(kept.at) <= max_age).then_some(&*kept.pdu)
    }

    pub(super) fn keep(&mut self, key: ReadKey, at: Instant, pdu: &[u8]) {
        if self.kept.len() >= CACHED_MAX && !self.kept.contains_key(&key) {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.at).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.kept.remove(&oldest));
        }
        self.kept.insert(key, Kept { pdu: pdu.into(), at });
    }

    /// Forgets what overlaps a write to `addresses` of `table`. Inputs are forgotten with what can be written at
    /// the same addresses, for in many devices they are the same memory.
    pub(super) fn written(&mut self, unit: u8, table: Table, addresses: RangeInclusive<u16>) {
        let (first, last) = addresses.into_inner();
        let tables = match table {
            Table::Coils | Table::DiscreteInputs => [1, 2],
            Table::HoldingRegisters | Table::InputRegisters => [3, 4],
        };
        for function in tables {
            let near = ReadKey::lowest(unit, function, first.saturating_sub(REACH))
                ..=ReadKey::highest(unit, function, last);
            let overlapping: Vec<_> =
                self.kept.range(near).map(|(key, _)| *key).filter(|key| key.last() >= first).collect();
            for key in overlapping {
                self.kept.remove(&key);
            }
        }
    }

    /// Forgets everything of a unit.
    pub(super) fn forget(&mut self, unit: u8) {
        self.kept.retain(|key, _| key.unit() != unit);
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(function: u8, start: u16, count: u16) -> ReadKey {
        ReadKey::new(7, function, start, count)
    }

    #[test]
    fn forgets_what_overlaps_and_nothing_else() {
        let now = Instant::now();
        let keys = [
            (key(3, 90, 10), false), // ends at 99
            (key(3, 90, 11), true),
            (key(3, 100, 1), true),
            (key(4, 100, 1), true), // often the same memory
            (key(3, 109, 1), true),
            (key(3, 110, 1), false),
            (key(1, 100, 8), false), // another table
            (ReadKey::new(8, 3, 100, 1), false),
            (key(3, 0, 125), true),
        ];
        let mut cache = Cache::default();
        keys.iter().for_each(|(key, _)| cache.keep(*key, now, &[3, 2, 0, 1]));
        cache.written(7, Table::HoldingRegisters, 100..=109);
        for (key, gone) in keys {
            assert_eq!(cache.find(key, now, Duration::ZERO).is_none(), gone, "{key:?}");
        }
    }

    #[test]
    fn an_answer_ages() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.keep(key(3, 0, 1), now, &[3, 2, 0, 1]);
        let second = Duration::from_secs(1);
        assert!(cache.find(key(3, 0, 1), now + second, second).is_some());
        assert!(cache.find(key(3, 0, 1), now + second * 2, second).is_none());
        cache.forget(7);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn the_oldest_makes_room() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for start in 0..=u16::try_from(CACHED_MAX).unwrap() {
            cache.keep(key(3, start, 1), now + Duration::from_millis(start.into()), &[3, 2, 0, 1]);
        }
        assert_eq!(cache.len(), CACHED_MAX);
        assert!(cache.find(key(3, 0, 1), now, Duration::MAX).is_none());
        assert!(cache.find(key(3, 1, 1), now, Duration::MAX).is_some());
    }
}
