//! Requests that wait for their answer.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use port502_session::Instant;
use port502_wire::mbap::TransactionId;
use port502_wire::{Read, UnitId};

use crate::state::Generation;

/// By so many of the low bits of their clients' ids requests are counted.
const BITS: u16 = 6;

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Open {
    /// Its id on the way to the server.
    pub(crate) transaction: TransactionId,
    /// Its client's id.
    pub(crate) clients: TransactionId,
    pub(crate) unit: UnitId,
    pub(crate) since: Instant,
    pub(crate) asked: Generation,
    pub(crate) request: Asked,
}

/// What was asked for, as it went on.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Most requests: a client with sixteen of them has no memory of its own for them.
    Read(Read),
    Pdu(Vec<u8>),
}

impl Asked {
    pub(crate) fn pdu(&self) -> &[u8] {
        match self {
            Asked::Read(read) => read.pdu(),
            Asked::Pdu(pdu) => pdu,
        }
    }
}

/// The open requests of one connection, the oldest first.
#[derive(Debug)]
pub(crate) struct OpenRequests {
    all: VecDeque<Open>,
    /// How many have a client's id that ends in these bits: mostly none, and then nothing is searched. No more can be open
    /// than fit in a count.
    by_client: [u8; 1 << BITS],
    /// Buffers of requests that are over.
    spare: Vec<Vec<u8>>,
    /// The id that was given last. Ids go round.
    last_id: u16,
    /// So many ids behind it are free for certain.
    free_ids: u16,
}

impl OpenRequests {
    pub(crate) const fn new() -> Self {
        OpenRequests {
            all: VecDeque::new(),
            by_client: [0; 1 << BITS],
            spare: Vec::new(),
            last_id: 0,
            free_ids: u16::MAX,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Open> {
        self.all.iter()
    }

    pub(crate) fn first(&self) -> Option<&Open> {
        self.all.front()
    }

    pub(crate) fn last(&self) -> Option<&Open> {
        self.all.back()
    }

    pub(crate) fn at(&self, at: usize) -> Option<&Open> {
        self.all.get(at)
    }

    /// A buffer for a PDU; it comes back when the request is over.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// The next id that nothing open and nothing given up bears.
    #[inline]
    pub(crate) fn free_id(&mut self, given_up: &VecDeque<TransactionId>) -> TransactionId {
        if self.free_ids == 0 {
            self.find_free_ids(given_up);
        }
        self.free_ids = self.free_ids.saturating_sub(1);
        self.last_id = self.last_id.wrapping_add(1);
        TransactionId(self.last_id)
    }

    /// What is taken from now on has ids of this round: it is in the way in the next one only. Fewer ids are taken than
    /// there are.
    #[cold]
    fn find_free_ids(&mut self, given_up: &VecDeque<TransactionId>) {
        loop {
            let taken = self.all.iter().map(|open| open.transaction).chain(given_up.iter().copied());
            let before = taken.map(|id| id.0.wrapping_sub(self.last_id).wrapping_sub(1)).min();
            self.free_ids = before.unwrap_or(u16::MAX);
            if self.free_ids != 0 {
                return;
            }
            self.last_id = self.last_id.wrapping_add(1);
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, open: Open) {
        if let Some(count) = self.by_client.get_mut(slot(open.clients)) {
            *count += 1;
        }
        self.all.push_back(open);
    }

    /// The one that a client calls so.
    #[inline]
    pub(crate) fn of_client(&self, id: TransactionId) -> Option<usize> {
        if self.by_client.get(slot(id)) == Some(&0) {
            return None;
        }
        self.all.iter().position(|open| open.clients == id)
    }

    /// The one that is called so on the way to the server. Most devices answer in order.
    pub(crate) fn position(&self, id: TransactionId) -> Option<usize> {
        self.all.iter().position(|open| open.transaction == id)
    }

    /// Takes out the oldest, which has no buffer.
    #[inline]
    pub(crate) fn remove_first_read(&mut self) {
        if let Some(open) = self.all.pop_front() {
            self.forget(open.clients);
        }
    }

    #[inline]
    fn forget(&mut self, clients: TransactionId) {
        if let Some(count) = self.by_client.get_mut(slot(clients)) {
            // It was counted when it came.
            *count -= 1;
        }
    }

    /// Takes one out; `with` sees it before its buffer is used for others.
    #[inline]
    pub(crate) fn remove<R>(&mut self, at: usize, with: impl FnOnce(&Open) -> R) -> Option<R> {
        let open = if at == 0 { self.all.pop_front() } else { self.all.remove(at) }?;
        self.forget(open.clients);
        let said = with(&open);
        if let Asked::Pdu(pdu) = open.request {
            self.spare.push(pdu);
        }
        Some(said)
    }
}

fn slot(id: TransactionId) -> usize {
    usize::from(id.0 & ((1 << BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(transaction: TransactionId, clients: u16) -> Open {
        let (unit, since, asked) = (UnitId(1), Instant::ZERO, Generation::default());
        let request = match Read::parse(&[3, 0, 0, 0, 1]) {
            Some(read) if clients.is_multiple_of(2) => Asked::Read(read),
            _ => Asked::Pdu(alloc::vec![7]),
        };
        Open { transaction, clients: TransactionId(clients), unit, since, asked, request }
    }

    #[test]
    fn ids_that_are_taken_are_passed_over_in_every_round() {
        let (mut all, mut given_up) = (OpenRequests::new(), VecDeque::new());
        let mut counts = alloc::vec![0_u8; 1 << 16];
        let mut taken = Vec::new();
        for at in 0..3 * 65_536 {
            let id = all.free_id(&given_up);
            assert!(!taken.contains(&id), "{id} at {at}");
            counts[usize::from(id.0)] += 1;
            // Side by side and apart, at the end of a round and in the next one.
            match at {
                0 | 1 | 700 | 65_534 | 66_000 => all.push(open(id, 0)),
                2 | 701 | 3_000 | 65_535 | 66_001 | 131_000 => given_up.push_back(id),
                _ => continue,
            }
            taken.push(id);
        }
        assert_eq!(taken.len(), 11);
        for (id, count) in (0..=u16::MAX).map(TransactionId).zip(counts) {
            assert!(count >= 3 || taken.contains(&id), "{id} is free, and was given {count} times");
        }
    }

    #[test]
    fn who_calls_a_request_so_is_known_as_long_as_it_is_open() {
        let mut all = OpenRequests::new();
        // Ids that end alike, and more of them, one after the other, than fit in a count.
        for round in 0..600_u16 {
            let ids = [5, 5 + 64, 6, 5 + 128].map(|id| id + 256 * (round % 100));
            for id in ids {
                assert_eq!(all.of_client(TransactionId(id)), None);
                all.push(open(TransactionId(id), id));
            }
            let places = ids.map(|id| all.of_client(TransactionId(id)));
            assert_eq!(places, [Some(0), Some(1), Some(2), Some(3)]);
            assert_eq!(all.of_client(TransactionId(ids[0] + 192)), None);
            all.remove(1, |_| {});
            assert_eq!(all.of_client(TransactionId(ids[3])), Some(2));
            while all.len() != 0 {
                match all.first().map(|open| &open.request) {
                    Some(Asked::Read(_)) => all.remove_first_read(),
                    _ => assert_eq!(all.remove(0, |_| {}), Some(())),
                }
            }
            assert_eq!(all.by_client, [0; 1 << BITS]);
        }
    }
}
