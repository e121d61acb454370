//! The commands that talk to a device, as a person or a script sees them: output, the one line on standard error,
//! exit code. The device is `port502 serve` with a map, or one that misbehaves byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bench;
mod demo;
#[cfg(unix)]
mod gateway;
mod identify;
mod import;
#[cfg(unix)]
mod interrupt;
mod journal;
mod poll;
mod read;
mod serve;
mod support;
mod usage;
mod write;
