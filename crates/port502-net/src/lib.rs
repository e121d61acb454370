//! Modbus over sockets and serial ports.
//!
//! [`client::Client`] asks: clone it, share it, put many requests in flight; it reconnects by itself.
//! [`server::Server`] answers from a [`Device`](port502_session::server::Device), for example a
//! [`memory::MemoryDevice`]. [`gateway`] is both, with a queue between. [`blocking`] is the client for programs without an async runtime.

pub mod blocking;
pub mod client;
mod dial;
pub mod fault;
pub mod gateway;
pub mod memory;
mod outbox;
mod pause;
mod pdu;
mod serial;
pub mod server;
mod stream;
mod tcp;
pub mod tls;
mod udp;

pub use dial::{Dialled, Dialler};
pub use pdu::Pdu;
pub use port502_session::{Link, Target, TargetError};
