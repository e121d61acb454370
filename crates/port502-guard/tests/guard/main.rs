//! The guard over real sockets, with a clock that is moved by hand where time matters.
#![allow(unreachable_pub, dead_code, reason = "modules shared with other crates' tests are made for more")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed"
)]

#[path = "../../../port502-net/tests/net/clock.rs"]
mod clock;
#[path = "../../../port502-net/tests/net/fake.rs"]
mod fake;
#[path = "../../../port502-inspect/tests/inspect/generate.rs"]
mod generate;

mod evasion;
mod faults;
mod law;
mod link;
mod many;
mod passes;
mod record;
mod reload;
mod stand;
