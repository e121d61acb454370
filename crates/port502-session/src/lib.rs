//! Modbus conversations as state machines: bytes and time go in, values come out.
//!
//! [`client::ClientSession`] asks, [`server`] answers, [`tap::Tap`] watches both directions of somebody else's
//! conversation. [`mod@line`] is the same for links without transaction ids. [`target`] says where a conversation takes
//! place, and [`duration`] reads times as people write them. None of them knows a socket or a clock: the same code
//! serves a server under load, a capture read offline and a test with a virtual clock.

#![no_std]

extern crate alloc;

pub mod client;
mod communication;
mod device;
pub mod duration;
pub mod line;
pub mod server;
pub mod tap;
pub mod target;
mod time;

pub use communication::Communication;
pub use target::{Link, Target, TargetError};
pub use time::Instant;
