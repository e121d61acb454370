//! The guard as people start it: site files, certificates, networks, and disks that are full.
#![cfg(unix)]
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
mod secured;
mod site;
#[path = "../tls/support.rs"]
mod support;
