//! Client and server as state machines, joined by a wire that the test makes, under a clock that it moves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed"
)]

mod conversation;
mod line;
mod server_time;
