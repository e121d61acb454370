//! What a site keeps on disk.
//!
//! [`Journal`] keeps what happened and must not be lost or changed unnoticed: verdicts of the firewall, findings of the
//! detection, alarms, and who did what. It is one SQLite file, `journal.db`, in a folder of the site's; every entry is
//! chained to the one before it by SHA-256. What an entry says is one JSON object, and whose business that is: the store
//! knows when, what kind, from where, and nothing of Modbus.
//!
//! ```
//! use port502_store::{Entry, Journal, Kind, Options, Query, Timestamp};
//!
//! # let folder = std::env::temp_dir().join(format!("port502-store-doc-{}", std::process::id()));
//! let mut journal = Journal::open(&folder, Options::default())?;
//! journal.append(&[Entry {
//!     time: Timestamp::from_unix_nanos(1_795_000_000_000_000_000),
//!     kind: Kind::Verdict,
//!     source: "intake",
//!     body: r#"{"verdict":"refused","client":"10.20.0.7","reason":"function"}"#,
//! }])?;
//! // Behind this line it is on the disk.
//!
//! let query = Query { kind: Some(Kind::Verdict), limit: Some(10), ..Query::default() };
//! for kept in Journal::read(&folder, &query)? {
//!     println!("{}", kept?.body);
//! }
//! assert!(Journal::verify(&folder)?.breach.is_none());
//! # drop(journal);
//! # std::fs::remove_dir_all(&folder).ok();
//! # Ok::<(), port502_store::StoreError>(())
//! ```

mod entry;
mod error;
pub mod journal;

pub use entry::{BODY_MAX, Entry, EntryFault, Kept, Kind, SOURCE_MAX, Timestamp};
pub use error::{Shortage, StoreError};
pub use journal::{Breach, Durable, Journal, Options, Order, Query, Reading, Tampering, Verified};
