//! The journal as those see it who write and read it: folders on a real disk, other processes, other hands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod chain;
mod damaged;
mod laws;
mod leaving;
mod support;
mod written;

#[cfg(unix)]
mod full;
#[cfg(unix)]
mod killed;
#[cfg(unix)]
mod rights;
