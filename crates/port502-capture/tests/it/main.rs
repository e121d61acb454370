//! What the crate promises, seen from outside: one binary, so that it links once.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests say what they mean by their rows, and a panic is how they fail"
)]

mod files;
mod fragments;
mod laws;
mod packets;
mod pcapng;
mod real;
mod streams;
