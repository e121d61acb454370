//! `port502 cert` from outside, and Modbus/TCP Security against OpenSSL both ways.
//!
//! The tests with OpenSSL need its program, `openssl`. Without it each says that it is skipped, unless
//! `PORT502_REQUIRE_PEERS=1` makes that a failure.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tls {
    mod cert;
    mod gateway;
    mod openssl;
    mod simulated;
    mod support;
}
