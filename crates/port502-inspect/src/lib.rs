//! What may pass on a Modbus link, and what is expected there, as plain values.
//!
//! - [`policy`][]: conduits and their rules: who may do what to which registers, with which values;
//! - [`baseline`][]: which client reads and writes what, and how often;
//! - [`network`][]: `10.20.0.0/24`.
//!
//! A site file is compiled into these (`port502-site`); a guard judges by the policy, and detection compares with the
//! baseline. Neither needs a socket or a clock.

#![no_std]

extern crate alloc;

pub mod baseline;
pub mod network;
pub mod policy;

pub use network::Network;
pub use policy::Policy;
