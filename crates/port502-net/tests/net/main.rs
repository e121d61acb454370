//! The crate over real sockets, seen from outside: one binary, so that it links once.
#![allow(unreachable_pub, reason = "modules of one binary")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed"
)]

mod blocking;
mod client;
mod clock;
mod conformance;
mod fake;
mod faults;
#[cfg(unix)]
mod gateway;
mod line;
mod link;
mod memory;
mod pki;
#[cfg(unix)]
mod pty;
mod random;
mod server;
mod tls;
