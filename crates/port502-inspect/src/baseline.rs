//! What is expected on the links of a site: which client asks which device for what, and how often.
//!
//! Detection compares what it sees with this: a client that is none of these, a function or an address that is not
//! among them, a poll that stays away or comes more often.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use port502_wire::{FunctionCode, UnitId};

use crate::Network;
use crate::policy::Range;

/// All that is expected.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Baseline {
    /// By server, unit, client and function.
    pub flows: Vec<Flow>,
}

/// One client's use of one function of one device.
#[derive(Clone, PartialEq, Debug)]
pub struct Flow {
    /// Who asks.
    pub client: Asker,
    /// Where the device is reached, as a target's URL.
    pub server: String,
    /// Under which unit id.
    pub unit: UnitId,
    /// What it is asked.
    pub function: FunctionCode,
    /// The sub-function of function 08, the MEI type of function 43; `None` is all of them.
    pub sub: Option<u16>,
    /// Where; sorted, apart from each other. Empty where the function names no address.
    pub ranges: Vec<Range>,
    /// How often, where that is known: a poll. `None`: whenever somebody wants it.
    pub period: Option<Duration>,
    /// How many requests make one round of a poll.
    pub requests: u32,
}

/// Who is expected to ask.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Asker {
    /// The poller of the site itself, in these networks; none when the site file does not say where it runs.
    Poller {
        /// Where it is.
        networks: Vec<Network>,
    },
    /// The clients of a zone.
    Zone {
        /// Its name.
        name: String,
        /// Where they are.
        networks: Vec<Network>,
    },
    /// Whoever is in these networks.
    Networks {
        /// Where they are.
        networks: Vec<Network>,
    },
    /// A guard of this site, which asks for its clients.
    Guard {
        /// Its conduit.
        conduit: String,
    },
}
