//! The guard: it stands where clients used to reach a device, and lets through what the policy allows.
//!
//! ```text
//!   client ──tcp, tls──► port502_net::server ──Relay──► Conversation ──► device, a connection for each client
//!                                                        │  Inline            or
//!                                                        │             └──► Lane: one link that all share
//!                                                        ▼
//!                                        State of the Conduit    Recorder ──► journal, lines, syslog, CEF
//! ```
//!
//! - [`conduit`][]: what all clients of one conduit share: the rules and what judging remembers, where requests go, counters;
//! - `conversation`: one client's connection, from the first byte to the last;
//! - [`record`][]: evidence on its way to where it is kept, which may be slow, full or gone;
//! - [`output`][]: syslog, CEF and lines of JSON;
//! - [`clock`][]: time, for judging and for people.
//!
//! What passes is decided in `port502-inspect`, which knows no socket. Here bytes are moved, and every byte that reaches a
//! device comes out of [`Inline`](port502_inspect::Inline).

pub mod clock;
pub mod conduit;
mod conversation;
mod ear;
pub mod output;
pub mod record;

pub use clock::Clock;
pub use conduit::{Conduit, Options, Reach, Status, Upstream};
pub use record::{Recorder, Sink};
