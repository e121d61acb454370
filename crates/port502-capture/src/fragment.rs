//! IP packets that came in parts, put together again.
//!
//! The rule for parts that overlap is the strict one of RFC 5722, for IPv4 as well: an exact repetition is ignored, any
//! other overlap drops the whole packet and is reported. Nobody fragments Modbus for a good reason, and hosts differ in
//! which of two overlapping parts they believe, which is what makes the trick worth trying.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use crate::packet::{Fragment, Macs, SlicedPacket, Unsliced, VlanTags, slice_whole};
use crate::{Timestamp, Transport};

/// The longest payload that parts can add up to: IP has 16 bits for it.
const WHOLE_MAX: usize = 65_535;

/// Bounds on the memory for IP packets in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentLimits {
    /// Packets under way at the same time; beyond it the oldest is dropped. At most 64 KiB each.
    pub packets: usize,
    /// Parts of one packet.
    pub parts: usize,
    /// How long to wait for the last part.
    pub wait: Duration,
}

impl Default for FragmentLimits {
    /// 128 packets (8 MiB) of up to 128 parts each, 30 seconds.
    fn default() -> Self {
        Self { packets: 128, parts: 128, wait: Duration::from_secs(30) }
    }
}

/// The table of IP packets whose parts are not all there yet.
///
/// [`Reassembler`](crate::Reassembler) has one of its own; this is for whoever wants packets and not streams.
#[derive(Debug)]
pub struct Defragmenter {
    limits: FragmentLimits,
    partial: HashMap<Key, Partial>,
    dropped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    vlans: VlanTags,
    identification: u32,
    /// IPv6 goes by the identification alone.
    protocol: Option<u8>,
}

#[derive(Debug)]
struct Partial {
    since: Timestamp,
    parts: BTreeMap<usize, Vec<u8>>,
    held: usize,
    /// Known once the last part is there.
    total: Option<usize>,
}

/// An IP packet put together from its fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    macs: Option<Macs>,
    vlans: VlanTags,
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    protocol: u8,
    bytes: Vec<u8>,
}

impl Whole {
    /// The packet taken apart. What a link or IP header says is from the fragment that came last.
    pub fn slice(&self) -> Result<SlicedPacket<'_>, Unsliced> {
        let transport = slice_whole(self.source.is_ipv4(), self.protocol, &self.bytes)?;
        let Self { macs, vlans, source, destination, hop_limit, .. } = *self;
        Ok(SlicedPacket { macs, vlans, source, destination, hop_limit, transport })
    }
}

impl Defragmenter {
    /// An empty table.
    pub fn new(limits: FragmentLimits) -> Self {
        Self { limits, partial: HashMap::new(), dropped: 0 }
    }

    /// Takes a packet that is a fragment, and returns the whole once no part is missing.
    ///
    /// A packet that is no fragment is ignored.
    pub fn push(&mut self, at: Timestamp, packet: &SlicedPacket<'_>) -> Result<Option<Whole>, Unsliced> {
        let Transport::Fragment(fragment) = packet.transport else { return Ok(None) };
        let Fragment { protocol, identification, offset, more, bytes, missing } = fragment;
        if missing > 0 {
            return Err(Unsliced::FragmentCut);
        }
        let (len, end) = (bytes.len(), offset.saturating_add(bytes.len()));
        if len == 0 || end > WHOLE_MAX || (more && !len.is_multiple_of(8)) {
            return Err(Unsliced::FragmentRange { offset, len });
        }
        let key = Key {
            source: packet.source,
            destination: packet.destination,
            vlans: packet.vlans,
            identification,
            protocol: packet.source.is_ipv4().then_some(protocol),
        };
        self.make_room(at, &key);
        let partial = self.partial.entry(key).or_insert_with(|| Partial::new(at));
        match partial.add(&fragment, self.limits.parts) {
            Ok(false) => Ok(None),
            Ok(true) => Ok(self.partial.remove(&key).map(|partial| partial.whole(packet, protocol))),
            Err(why) => {
                self.partial.remove(&key);
                self.dropped += 1;
                Err(why)
            }
        }
    }

    /// How many packets were given up: a part did not come in time, the table was full, or parts contradict.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many packets wait for further parts.
    pub fn waiting(&self) -> usize {
        self.partial.len()
    }

    fn make_room(&mut self, now: Timestamp, key: &Key) {
        let before = self.partial.len();
        self.partial.retain(|_, partial| now.since(partial.since) <= self.limits.wait);
        if self.partial.len() >= self.limits.packets.max(1) && !self.partial.contains_key(key) {
            let oldest = self.partial.iter().min_by_key(|(_, partial)| partial.since).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.partial.remove(&oldest));
        }
        self.dropped += (before - self.partial.len()) as u64;
    }
}

impl Partial {
    fn new(since: Timestamp) -> Self {
        Self { since, parts: BTreeMap::new(), held: 0, total: None }
    }

    /// Whether all parts are there now.
    fn add(&mut self, fragment: &Fragment<'_>, parts_max: usize) -> Result<bool, Unsliced> {
        let Fragment { offset, more, bytes, .. } = *fragment;
        let (len, end) = (bytes.len(), offset + bytes.len());
        // The part before is the only one that can reach into this one: parts in the table do not overlap.
        let before = self.parts.range(..end).next_back();
        if let Some((&other_offset, other)) = before
            && other_offset + other.len() > offset
        {
            let repeated = other_offset == offset && other == bytes && more == (self.total != Some(end));
            return if repeated { Ok(false) } else { Err(Unsliced::FragmentOverlap) };
        }
        let furthest = self.parts.last_key_value().map_or(0, |(at, part)| at + part.len());
        match self.total {
            Some(total) if !more || end > total => return Err(Unsliced::FragmentRange { offset, len }),
            None if !more && furthest > end => return Err(Unsliced::FragmentRange { offset, len }),
            None if !more => self.total = Some(end),
            _ => {}
        }
        if self.parts.len() >= parts_max {
            return Err(Unsliced::FragmentCount);
        }
        self.parts.insert(offset, bytes.to_vec());
        self.held += len;
        Ok(self.total == Some(self.held))
    }

    fn whole(self, last: &SlicedPacket<'_>, protocol: u8) -> Whole {
        let SlicedPacket { macs, vlans, source, destination, hop_limit, .. } = *last;
        let bytes = self.parts.into_values().flatten().collect();
        Whole { macs, vlans, source, destination, hop_limit, protocol, bytes }
    }
}
