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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    /// Its id on the way to the server.
    pub(crate) transaction: TransactionId,
    /// Its client's id.
    pub(crate) clients: TransactionId,
    pub(crate) unit: UnitId,
    pub(crate) request: Asked,
    pub(crate) since: Instant,
    pub(crate) asked: Generation,
}

/// A request without an answer, which may still come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenUp {
    pub(crate) transaction: TransactionId,
    /// Since then.
    pub(crate) at: Instant,
}

/// What was asked for, as it went on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// Most requests: a client with sixteen of them has no memory of its own for them.
    Read(Read),
    /// The place of any other's PDU among those that are kept.
    Kept(u8),
}

/// The open requests of one connection, the oldest first.
#[derive(Debug)]
pub(crate) struct OpenRequests {
    /// Those that are open, behind some that are over: mostly all of them end together, and a queue that goes round costs
    /// each of them more than to move the few that do not.
    all: Vec<Open>,
    /// So many at the front are over; never more than are open.
    over: usize,
    /// The next id, and the first from there on that may be taken. Ids go round.
    next_id: u16,
    taken_id: u16,
    /// How many of the open ones have a client's id that ends in these bits: mostly none, and then nothing is searched. No more
    /// can be open than fit in a count.
    by_client: [u8; 1 << BITS],
    /// PDUs, for [`Asked::Kept`].
    kept: Vec<Vec<u8>>,
    /// Those of them whose requests are over: their memory is used again.
    spare: Vec<u8>,
}

impl OpenRequests {
    pub(crate) const fn new() -> Self {
        OpenRequests {
            all: Vec::new(),
            over: 0,
            next_id: 1,
            taken_id: 0,
            by_client: [0; 1 << BITS],
            kept: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// All of them.
    #[inline]
    pub(crate) fn waiting(&self) -> &[Open] {
        self.all.get(self.over..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.all.len() - self.over
    }

    pub(crate) fn first(&self) -> Option<&Open> {
        self.waiting().first()
    }

    pub(crate) fn last(&self) -> Option<&Open> {
        self.waiting().last()
    }

    pub(crate) fn at(&self, at: usize) -> Option<&Open> {
        self.waiting().get(at)
    }

    /// What one of them asks for; it stays here until the next is kept.
    pub(crate) fn pdu<'p>(&'p self, open: &'p Open) -> &'p [u8] {
        match &open.request {
            Asked::Read(read) => read.pdu(),
            Asked::Kept(at) => self.kept.get(usize::from(*at)).map_or(&[], Vec::as_slice),
        }
    }

    /// Keeps a PDU that is no read's, to be pushed with its request; it can be changed until then.
    pub(crate) fn keep(&mut self, pdu: &[u8]) -> (Asked, &mut [u8]) {
        let at = self.spare.pop().unwrap_or_else(|| {
            // There are no more than may be open.
            let next = u8::try_from(self.kept.len()).unwrap_or(u8::MAX);
            self.kept.push(Vec::new());
            next
        });
        let Some(kept) = self.kept.get_mut(usize::from(at)) else { return (Asked::Kept(at), &mut []) };
        kept.clear();
        kept.extend_from_slice(pdu);
        (Asked::Kept(at), kept)
    }

    /// The next id that nothing open and nothing given up bears.
    #[inline]
    pub(crate) fn free_id(&mut self, given_up: &VecDeque<GivenUp>) -> TransactionId {
        if self.next_id == self.taken_id {
            self.find_free_ids(given_up);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        TransactionId(id)
    }

    /// What is taken from now on has ids of this round: it is in the way in the next one only. Fewer ids are taken than
    /// there are.
    #[cold]
    fn find_free_ids(&mut self, given_up: &VecDeque<GivenUp>) {
        loop {
            let given_up = given_up.iter().map(|given_up| given_up.transaction);
            let taken = self.waiting().iter().map(|open| open.transaction).chain(given_up);
            let free = taken.map(|id| id.0.wrapping_sub(self.next_id)).min().unwrap_or(u16::MAX);
            self.taken_id = self.next_id.wrapping_add(free);
            if free != 0 {
                return;
            }
            self.next_id = self.next_id.wrapping_add(1);
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, open: Open) {
        if let Some(count) = self.by_client.get_mut(slot(open.clients)) {
            *count += 1;
        }
        self.all.push(open);
    }

    /// The one that a client calls so.
    #[inline]
    pub(crate) fn of_client(&self, id: TransactionId) -> Option<usize> {
        if self.by_client.get(slot(id)) == Some(&0) {
            return None;
        }
        self.search_for_client(id)
    }

    #[cold]
    fn search_for_client(&self, id: TransactionId) -> Option<usize> {
        self.waiting().iter().position(|open| open.clients == id)
    }

    /// The one that is called so on the way to the server. Most devices answer in order.
    pub(crate) fn position(&self, id: TransactionId) -> Option<usize> {
        self.waiting().iter().position(|open| open.transaction == id)
    }

    /// Takes out so many of the oldest, which are reads.
    #[inline]
    pub(crate) fn remove_first_reads(&mut self, count: usize) {
        if count == self.len() {
            // Mostly a device answers all that it was asked before it is asked again.
            self.by_client = [0; 1 << BITS];
            self.all.clear();
            self.over = 0;
        } else {
            self.remove_some_first_reads(count);
        }
    }

    #[cold]
    fn remove_some_first_reads(&mut self, count: usize) {
        for open in self.all.iter().skip(self.over).take(count) {
            forget(&mut self.by_client, open.clients);
        }
        self.over += count;
        self.tidy();
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, at: usize) {
        let Some(open) = self.at(at).copied() else { return };
        forget(&mut self.by_client, open.clients);
        if let Asked::Kept(at) = open.request {
            self.spare.push(at);
        }
        if at == 0 {
            self.over += 1;
        } else {
            self.all.remove(self.over + at);
        }
        self.tidy();
    }

    /// Moves those that are open to the front, when they are not more than those that are over.
    fn tidy(&mut self) {
        if self.over >= self.len() {
            self.all.drain(..self.over);
            self.over = 0;
        }
    }
}

fn slot(id: TransactionId) -> usize {
    usize::from(id.0 & ((1 << BITS) - 1))
}

fn forget(by_client: &mut [u8; 1 << BITS], clients: TransactionId) {
    if let Some(count) = by_client.get_mut(slot(clients)) {
        // It was counted when it came.
        *count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(all: &mut OpenRequests, transaction: TransactionId, clients: u16) {
        let (unit, since, asked) = (UnitId(1), Instant::ZERO, Generation::default());
        let request = match Read::parse(&[3, 0, 0, 0, 1]) {
            Some(read) if clients.is_multiple_of(2) => Asked::Read(read),
            _ => all.keep(&clients.to_be_bytes()).0,
        };
        all.push(Open { transaction, clients: TransactionId(clients), unit, since, asked, request });
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
                0 | 1 | 700 | 65_534 | 66_000 => open(&mut all, id, 0),
                2 | 701 | 3_000 | 65_535 | 66_001 | 131_000 => {
                    given_up.push_back(GivenUp { transaction: id, at: Instant::ZERO });
                }
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
                open(&mut all, TransactionId(id), id);
            }
            let places = ids.map(|id| all.of_client(TransactionId(id)));
            assert_eq!(places, [Some(0), Some(1), Some(2), Some(3)]);
            assert_eq!(all.of_client(TransactionId(ids[0] + 192)), None);
            all.remove(1);
            assert_eq!(all.of_client(TransactionId(ids[3])), Some(2));
            while all.len() != 0 {
                match all.first().map(|open| &open.request) {
                    Some(Asked::Read(_)) => all.remove_first_reads(1),
                    _ => all.remove(0),
                }
            }
            assert_eq!(all.by_client, [0; 1 << BITS]);
        }
    }

    /// Requests that came in this order, as they would be kept without a thought for cost.
    fn check(all: &OpenRequests, want: &[(TransactionId, u16)]) {
        let have = all.waiting().iter().map(|open| (open.transaction, open.clients.0));
        assert!(have.eq(want.iter().copied()), "{all:?} instead of {want:?}");
        assert_eq!(all.len(), want.len());
        for (at, (transaction, clients)) in want.iter().enumerate() {
            assert_eq!(all.position(*transaction), Some(at));
            assert_eq!(all.of_client(TransactionId(*clients)), Some(at));
            let open = all.at(at).unwrap();
            let pdu = clients.to_be_bytes();
            let pdu = if clients.is_multiple_of(2) { &[3, 0, 0, 0, 1][..] } else { &pdu };
            assert_eq!(all.pdu(open), pdu);
        }
        assert_eq!(all.by_client.iter().copied().map(usize::from).sum::<usize>(), want.len());
        assert!(all.over <= want.len(), "{} are over, {} open", all.over, want.len());
    }

    #[test]
    fn whichever_ends_the_others_stay_in_order() {
        let (mut all, mut want, given_up) = (OpenRequests::new(), Vec::new(), VecDeque::new());
        let mut random = 0x1234_5678_u32;
        let mut below = |limit: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize % limit
        };
        let mut clients = 0_u16;
        for _ in 0..20_000 {
            let reads = want.iter().take_while(|(_, clients): &&(_, u16)| clients.is_multiple_of(2)).count();
            match below(4) {
                0 | 1 if want.len() < 64 => {
                    // Mostly reads.
                    clients = clients.wrapping_add([2, 2, 4, 1][below(4)]);
                    let id = all.free_id(&given_up);
                    open(&mut all, id, clients);
                    want.push((id, clients));
                }
                2 if reads != 0 => {
                    let count = 1 + below(reads);
                    all.remove_first_reads(count);
                    want.drain(..count);
                }
                _ if !want.is_empty() => {
                    let at = if below(2) == 0 { 0 } else { below(want.len()) };
                    all.remove(at);
                    want.remove(at);
                }
                _ => {}
            }
            check(&all, &want);
        }
        assert!(all.kept.len() <= 64 && all.all.capacity() <= 128);
    }
}
