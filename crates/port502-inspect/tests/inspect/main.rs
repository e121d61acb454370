//! Judging and inspecting, from outside.
#![allow(unreachable_pub, reason = "the fuzz target has the law as a public module")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed"
)]

mod bursts;
mod generate;
mod law;
mod reference;
mod remembered;
mod streams;
mod table;
mod written;
