//! Between two networks: many clients on one side, one connection to each bus or device on the other.
//!
//! ```text
//!   clients                     Gateway                          Lane: one link
//!   server::Server ── post ──► unit id → lane, unit id ──► Queue: turns, breakers, ──► one connection,
//!        ▲                                                 cache, pieces                tcp, tls, rtu, ..
//!        └──────────── Inbox: all answers of a burst at once ◄──────┴──────── answers ◄──────┘
//! ```
//!
//! A [`Lane`] is the link to one bus, gateway or device: its only connection, the queue in front of it, and what is
//! known of the units behind it. [`Gateway`] is a [`Service`](crate::server::Service) that sends each request into
//! the lane of its unit. What judges requests first is a service of its own that asks at a [`Seat`].
//!
//! A burst stays a burst: the requests of one read go out with one write, and the answers of one read come back
//! with one write to each client. What the lane promises about order stands in [`Lane`]'s documentation.

mod alike;
mod ask;
mod breaker;
mod cache;
mod lane;
mod options;
mod pieces;
mod queue;
mod request;
mod route;
mod status;
#[cfg(test)]
mod tests;
mod upstream;

pub use breaker::{BreakerOptions, BreakerState};
pub use cache::CACHED_MAX;
pub use lane::{Lane, Seat};
pub use options::{DeviceOptions, LaneEvent, LaneObserver, LaneOptions, Larger, WAIT_MAX};
pub use queue::QUEUED_MAX;
pub use request::Ask;
pub use route::{Gateway, Routes};
pub use status::{LaneStatus, UnitStatus};
