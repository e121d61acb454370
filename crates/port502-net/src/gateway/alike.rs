//! Reads of the same unit, table and addresses, found without looking at all that wait.
//!
//! Each bucket of a table that never grows has two chains of requests, newest first: those that wait, and those
//! that are out. The links stand beside the requests, by the same slots, so that a read which nobody else asks
//! for costs four numbers in the place of an entry made and removed again.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::ask::ReadKey;

/// Buckets of a lane, as a power of two: 32 KiB. When as many reads wait as may, there are 4 of them in each.
const BUCKET_BITS: u32 = 12;
const BUCKETS: usize = 1 << BUCKET_BITS;

/// No slot.
const NONE: u32 = u32::MAX;

/// What a chain is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Chain {
    Queued,
    Out,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    queued: u32,
    out: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    key: ReadKey,
    newer: u32,
    older: u32,
    chain: Chain,
}

/// The reads of a lane that others can share.
#[derive(Debug)]
pub(super) struct Alike {
    buckets: Box<[Bucket; BUCKETS]>,
    /// By slot; `None` for what is in no chain.
    links: Vec<Option<Link>>,
    /// New for each lane, and odd: of such a product's upper bits it is known that no two keys chosen beforehand meet
    /// more often than by twice the chance.
    factor: u64,
}

impl Default for Alike {
    fn default() -> Self {
        let factor = RandomState::new().build_hasher().finish() | 1;
        let buckets = Box::new([Bucket { queued: NONE, out: NONE }; BUCKETS]);
        Alike { buckets, links: Vec::new(), factor }
    }
}

impl Alike {
    /// The read in `slot`, which is in no chain, becomes the newest of those that wait.
    #[inline]
    pub(super) fn put(&mut self, slot: u32, key: ReadKey) {
        let older = std::mem::replace(self.newest(key, Chain::Queued), slot);
        let link = Some(Link { key, newer: NONE, older, chain: Chain::Queued });
        match self.links.get_mut(slot as usize) {
            Some(place) => *place = link,
            None => self.grow(slot as usize, link),
        }
        if let Some(Some(link)) = self.links.get_mut(older as usize) {
            link.newer = slot;
        }
    }

    #[cold]
    fn grow(&mut self, at: usize, link: Option<Link>) {
        self.links.resize(at, None);
        self.links.push(link);
    }

    /// The read in `slot` can be shared no more; whether it could.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32) -> bool {
        let Some(link) = self.links.get_mut(slot as usize).and_then(Option::take) else { return false };
        match self.links.get_mut(link.newer as usize) {
            Some(Some(newer)) => newer.older = link.older,
            _ => *self.newest(link.key, link.chain) = link.older,
        }
        if let Some(Some(older)) = self.links.get_mut(link.older as usize) {
            older.newer = link.newer;
        }
        true
    }

    /// The read in `slot`, which waited, is out; the newest of those like it that still wait.
    #[inline]
    pub(super) fn depart(&mut self, slot: u32) -> Option<u32> {
        let link = (*self.links.get(slot as usize)?)?;
        let at = self.bucket(link.key);
        let bucket = self.buckets.get_mut(at)?;
        if link.newer == NONE {
            bucket.queued = link.older;
        } else if let Some(Some(newer)) = self.links.get_mut(link.newer as usize) {
            newer.older = link.older;
        }
        if let Some(Some(older)) = self.links.get_mut(link.older as usize) {
            older.newer = link.newer;
        }
        let (waiting, older) = (bucket.queued, std::mem::replace(&mut bucket.out, slot));
        if let Some(Some(older)) = self.links.get_mut(older as usize) {
            older.newer = slot;
        }
        if let Some(place) = self.links.get_mut(slot as usize) {
            *place = Some(Link { newer: NONE, older, chain: Chain::Out, ..link });
        }
        self.find(waiting, link.key)
    }

    /// The newest of the reads that are alike.
    #[inline]
    pub(super) fn first(&self, key: ReadKey, chain: Chain) -> Option<u32> {
        let bucket = self.buckets.get(self.bucket(key))?;
        self.find(if chain == Chain::Out { bucket.out } else { bucket.queued }, key)
    }

    /// The next older one that is like `slot`, in the same chain.
    pub(super) fn next(&self, slot: u32) -> Option<u32> {
        let link = self.links.get(slot as usize)?.as_ref()?;
        self.find(link.older, link.key)
    }

    /// From `slot` on in its chain.
    fn find(&self, mut slot: u32, key: ReadKey) -> Option<u32> {
        while let Some(Some(link)) = self.links.get(slot as usize) {
            if link.key == key {
                return Some(slot);
            }
            slot = link.older;
        }
        None
    }

    fn newest(&mut self, key: ReadKey, chain: Chain) -> &mut u32 {
        let at = self.bucket(key);
        match (self.buckets.get_mut(at), chain) {
            (Some(bucket), Chain::Out) => &mut bucket.out,
            (Some(bucket), Chain::Queued) => &mut bucket.queued,
            (None, _) => unreachable!("so few bits number no more buckets"),
        }
    }

    fn bucket(&self, key: ReadKey) -> usize {
        let upper = key.number().wrapping_mul(self.factor) >> (u64::BITS - BUCKET_BITS);
        usize::try_from(upper).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn key(address: u16) -> ReadKey {
        ReadKey::new(1, 3, address, 1)
    }

    fn all(alike: &Alike, key: ReadKey, chain: Chain) -> Vec<u32> {
        std::iter::successors(alike.first(key, chain), |slot| alike.next(*slot)).collect()
    }

    proptest! {
        /// As lists that are searched, which are slow.
        #[test]
        fn chains_are_lists(steps in prop::collection::vec((0..3_u8, 0..24_u32, 0..2000_u16), 0..200)) {
            let mut alike = Alike::default();
            let mut lists = [VecDeque::new(), VecDeque::new()];
            for (step, slot, address) in steps {
                let known = lists.iter().flatten().any(|(at, _)| *at == slot);
                lists.iter_mut().for_each(|list| list.retain(|(at, _)| *at != slot));
                prop_assert_eq!(alike.remove(slot), known);
                match step {
                    0 => {}
                    _ => {
                        // Many of few, and few of many, which share buckets.
                        let address = if address < 1000 { address % 3 } else { address };
                        let chain = if step == 1 { Chain::Queued } else { Chain::Out };
                        alike.put(slot, key(address));
                        if chain == Chain::Out {
                            let waits = lists[0].iter().find(|(_, at)| *at == address).map(|(slot, _)| *slot);
                            prop_assert_eq!(alike.depart(slot), waits);
                        }
                        lists[usize::from(chain == Chain::Out)].push_front((slot, address));
                    }
                }
                for address in (0..3).chain(lists.iter().flatten().map(|(_, address)| *address)) {
                    for (chain, list) in [Chain::Queued, Chain::Out].into_iter().zip(&lists) {
                        let want: Vec<u32> =
                            list.iter().filter(|(_, at)| *at == address).map(|(slot, _)| *slot).collect();
                        prop_assert_eq!(all(&alike, key(address), chain), want);
                    }
                }
            }
        }
    }
}
