//! The plants: their laws, their traces, and what a client sees of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking"
)]

mod conformance;
mod devices;
mod drills;
mod laws;
mod recorded;
mod served;
mod sites;
mod stories;
