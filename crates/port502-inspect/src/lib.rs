//! What may pass on a Modbus link, and what is expected there, as plain values.
//!
//! - [`policy`][]: conduits and their rules: who may do what to which registers, with which values;
//! - [`baseline`][]: which client reads and writes what, and how often;
//! - [`network`][]: `10.20.0.0/24`;
//! - [`engine`][], [`grants`][], [`state`][]: a conduit's rules compiled once, what one client may do, and what has to be
//!   remembered to judge its requests;
//! - [`conduit`][]: the inspection of one connection, which forwards what was parsed, fits and may pass;
//! - [`verdict`][]: what judging comes to, with its reason;
//! - [`evidence`][], [`suppress`][]: what is recorded of that, how it is written, and how a flood of it stays bounded.
//! - [`learn`][]: what clients ask for, remembered in little, to make rules of.
//!
//! A site file is compiled into these (`port502-site`); a guard judges by the policy, and detection compares with the
//! baseline. Neither needs a socket or a clock.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod baseline;
pub mod conduit;
pub mod engine;
pub mod evidence;
pub mod grants;
mod hours;
mod judge;
pub mod learn;
pub mod network;
mod open;
pub mod policy;
mod rate;
pub mod state;
pub mod suppress;
pub mod verdict;

pub use conduit::{Inline, Inspection};
pub use engine::{Engine, Peer};
pub use grants::Grants;
pub use hours::WeekMinute;
pub use judge::Moment;
pub use learn::Learner;
pub use network::Network;
pub use policy::Policy;
pub use state::State;
pub use verdict::{Objection, Reason, Verdict};
