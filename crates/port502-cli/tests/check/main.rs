//! `port502 check` on real listeners: ours and others', on this machine and in networks that the tests make.
//!
//! On this machine ports are the system's choice (`--port N`). The real port numbers, two interfaces and a packet filter need a
//! network of their own, and that needs root: without it those tests say that they are skipped. Servers of other people come
//! with `cargo xtask peers`, as in `tests/peers.rs`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod here;
mod plant;
mod support;
mod unprivileged;
mod watch;
