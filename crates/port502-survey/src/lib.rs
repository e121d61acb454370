//! What listens on the industrial ports of a machine, who may reach it, and whether it should be there.
//!
//! [`system::look`] takes a [`Snapshot`]: a plain value, and the only thing here that touches the system. [`ask::ask_all`]
//! sends each listener the one read-only request of its protocol, and brings back what it answered. What to think of
//! both is [`judge::judge`], which is pure: the same snapshot and answers give the same [`Finding`]s on any machine, so
//! that a case is a row in a test. [`change`] says what differs between two looks.
//!
//! ```no_run
//! use port502_survey::{Scope, ask, judge, system};
//!
//! # async fn check() -> Result<(), Box<dyn std::error::Error>> {
//! let snapshot = system::look(&Scope::default())?;
//! let answers = ask::ask_all(&snapshot).await;
//! for finding in judge::judge(&snapshot, &answers) {
//!     println!("{:?}: {}", finding.severity(), finding.what.name());
//! }
//! # Ok(())
//! # }
//! ```

mod address;
pub mod ask;
pub mod change;
pub mod filter;
pub mod judge;
pub mod probe;
mod service;
mod snapshot;
pub mod system;

pub use address::is_public;
pub use judge::{Finding, Severity, What};
pub use service::{NoSuchService, Scope, Service};
pub use snapshot::{
    Address, Chassis, Direction, Endpoint, Holder, Interface, Machine, Namespace, Peer, Process, Snapshot,
    Transport, Unseen, User, Why,
};
