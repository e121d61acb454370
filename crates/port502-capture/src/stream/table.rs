//! The connections that are known: found by their endpoints, and in the order of their last packets.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use super::flow::{Flow, Side};
use crate::{Timestamp, VlanTags};

/// Two endpoints in an order that does not depend on who sent the packet.
///
/// Ports count in that order: both endpoints may have the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FlowKey {
    pub(super) low: SocketAddr,
    pub(super) high: SocketAddr,
    vlans: VlanTags,
}

impl FlowKey {
    /// The key, and which of its sides has sent.
    pub(super) fn new(source: SocketAddr, destination: SocketAddr, vlans: VlanTags) -> (Self, Side) {
        if source <= destination {
            (Self { low: source, high: destination, vlans }, Side::Low)
        } else {
            (Self { low: destination, high: source, vlans }, Side::High)
        }
    }
}

// By hand, because the derived one feeds the hasher some twenty small pieces for each packet. The hasher stays the
// keyed one of the standard library: whoever sends the packets also chooses the keys.
impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match (self.low.ip(), self.high.ip()) {
            (IpAddr::V4(low), IpAddr::V4(high)) => {
                state.write_u64(u64::from(low.to_bits()) << 32 | u64::from(high.to_bits()));
            }
            (low, high) => {
                for ip in [low, high] {
                    match ip {
                        IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
                        IpAddr::V6(ip) => state.write_u128(ip.to_bits()),
                    }
                }
            }
        }
        state.write_u32(u32::from(self.low.port()) << 16 | u32::from(self.high.port()));
        for id in self.vlans.ids() {
            state.write_u16(id);
        }
    }
}

/// No slot: the end of a list.
const NONE: usize = usize::MAX;

#[derive(Debug)]
struct Slot {
    key: FlowKey,
    last_packet: Timestamp,
    older: usize,
    newer: usize,
    /// `None` in a free slot.
    flow: Option<Flow>,
}

/// Slots in a list from the oldest to the newest, with an index.
#[derive(Debug)]
pub(super) struct Table {
    index: HashMap<FlowKey, usize>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    oldest: usize,
    newest: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { index: HashMap::new(), slots: Vec::new(), free: Vec::new(), oldest: NONE, newest: NONE }
    }
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The connection of a packet that was captured at `at`; it becomes the newest.
    pub(super) fn touch(&mut self, key: &FlowKey, at: Timestamp) -> Option<&mut Flow> {
        // A question and its answer follow each other: very often this is the connection of the last packet.
        let slot = match self.slots.get(self.newest) {
            Some(newest) if newest.key == *key => self.newest,
            _ => {
                let slot = *self.index.get(key)?;
                self.unlink(slot);
                self.link_newest(slot);
                slot
            }
        };
        let slot = self.slots.get_mut(slot)?;
        slot.last_packet = at;
        slot.flow.as_mut()
    }

    /// Adds a connection whose key is not in the table.
    pub(super) fn insert(&mut self, key: FlowKey, flow: Flow, at: Timestamp) {
        let filled = Slot { key, last_packet: at, older: NONE, newer: NONE, flow: Some(flow) };
        let index = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(index) {
            Some(slot) => *slot = filled,
            None => self.slots.push(filled),
        }
        self.index.insert(key, index);
        self.link_newest(index);
    }

    /// When the connection idle for longest had its last packet.
    pub(super) fn oldest_packet(&self) -> Option<Timestamp> {
        self.slots.get(self.oldest).map(|slot| slot.last_packet)
    }

    /// Takes out the connection idle for longest.
    pub(super) fn pop_oldest(&mut self) -> Option<Flow> {
        let index = self.oldest;
        self.unlink(index);
        let slot = self.slots.get_mut(index)?;
        let flow = slot.flow.take();
        self.index.remove(&slot.key);
        self.free.push(index);
        flow
    }

    fn unlink(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let (older, newer) = (slot.older, slot.newer);
        match self.slots.get_mut(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, index: usize) {
        let newest = std::mem::replace(&mut self.newest, index);
        match self.slots.get_mut(newest) {
            Some(slot) => slot.newer = index,
            None => self.oldest = index,
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.older = newest;
            slot.newer = NONE;
        }
    }
}
