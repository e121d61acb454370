use std::collections::BTreeMap;

use port502_wire::UnitId;

use super::BreakerState;

/// What has happened on a lane since it was made, and how it stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct LaneStatus {
    /// Whether the link is up.
    pub connected: bool,
    /// Connections made.
    pub connects: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Clients now.
    pub clients: usize,
    /// Requests that clients made.
    pub requests: u64,
    /// Requests that went out on the link; the pieces of one count as one.
    pub sent: u64,
    /// Those that were answered, exceptions included.
    pub answered: u64,
    /// Those that were answered with an exception.
    pub exceptions: u64,
    /// Those that were not answered in time.
    pub timeouts: u64,
    /// Those whose answer was none.
    pub nonsense: u64,
    /// Frames that nobody waited for: late ones, mostly. They were passed over.
    pub discarded: u64,
    /// Reads that shared the answer of another.
    pub coalesced: u64,
    /// Reads that were answered from the cache.
    pub cached: u64,
    /// Requests that the gateway itself answered, by exception code.
    pub refused: BTreeMap<u8, u64>,
    /// Requests that wait now.
    pub queued: usize,
    /// Requests that are out now.
    pub in_flight: usize,
    /// Answers in the cache now.
    pub kept: usize,
    /// Units that were asked.
    pub units: BTreeMap<UnitId, UnitStatus>,
}

/// What has happened to one unit behind a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct UnitStatus {
    /// Whether it is left alone.
    pub breaker: BreakerState,
    /// How often that began.
    pub opened: u64,
    /// Requests that went out to it.
    pub requests: u64,
    /// Its answers.
    pub answers: u64,
    /// Requests that it did not answer.
    pub timeouts: u64,
}
