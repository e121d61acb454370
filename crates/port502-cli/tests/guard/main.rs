//! The guard as people start it: site files, certificates, networks, and disks that are full.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has failed"
)]

mod command;
mod disk;
mod hosts;
#[path = "../check/support.rs"]
#[allow(dead_code, reason = "it is shared with the tests of check, which use more of it")]
mod machines;
mod secured;
mod service;
mod site;
#[path = "../tls/support.rs"]
#[allow(unreachable_pub, reason = "it is shared with the tests of TLS")]
mod support;
