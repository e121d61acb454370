//! The journal: entries one behind the other, chained by hashes, in one SQLite file.
//!
//! ```text
//!   event   id  time  kind  source  body  hash      an entry; nothing changes it, the oldest leave
//!   chain   'removed'  id  hash                     the last entry that has left, or 0 and zeros
//!           'head'     id  hash                     the last entry
//!
//!   hash(n) = SHA-256( hash(n-1)                    32 bytes; zeros in front of entry 1
//!                      id                           8 bytes, big-endian
//!                      time                         8 bytes, big-endian, two's complement: nanoseconds since 1970
//!                      length of kind, kind         4 bytes, big-endian, and so many bytes of UTF-8
//!                      length of source, source     the same
//!                      length of body, body )       the same
//! ```
//!
//! So an entry cannot be changed, taken out or put in without every hash behind it becoming another. Whoever may write
//! the file can compute them all anew: against that, keep the last hash elsewhere from time to time. docs/journal.md has
//! a script that checks a chain without this program.
//!
//! A commit goes to SQLite's write-ahead log. With [`Durable::PowerCut`] the log is synchronised before
//! [`Journal::append`] returns (`synchronous=FULL`). Readers take a part at a time and hold nothing in between: neither
//! do they hold up the writer, nor does the log grow while somebody pages through a list.

mod append;
mod chain;
mod file;
mod holder;
mod query;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use crate::entry::Entry;
use crate::error::StoreError;
use file::Place;
use holder::Holder;

pub use chain::{Breach, Tampering, Verified};
pub use query::{Order, Query, Reading};

/// The version of the file. One with a higher number is refused: it may mean something else.
pub const VERSION: i32 = 1;

/// Entries of one `append`: one transaction, which others wait for.
pub const APPEND_MAX: usize = 10_000;

/// Less than this is not given to a journal.
pub const BYTES_MIN: u64 = 1 << 20;

/// The usual of [`Options::max_bytes`]: more than a million records of the firewall.
pub const BYTES: u64 = 1 << 30;

/// The usual of [`Options::keep`]: a year, and a month in which it is looked at.
pub const KEEP: Duration = Duration::from_secs(34_560_000);

/// What an entry survives once [`Journal::append`] has returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durable {
    /// The end of power: it is on the disk, as far as the disk tells the truth.
    #[default]
    PowerCut,
    /// The end of the process, by whatever way. What the system has not yet written goes with the power; the file stays
    /// whole.
    Kill,
}

/// How a journal is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// How long `journal.db` may become; when it would be longer, the oldest entries leave. Less than [`BYTES_MIN`]
    /// counts as that. The file can be longer by one append, and SQLite's log beside it has some megabytes.
    pub max_bytes: u64,
    /// Entries that are older than the newest by more than this leave, with the appends.
    pub keep: Duration,
    /// What an entry survives.
    pub durable: Durable,
    /// What is told to others who want to write: `port502 guard`. The number of the process stands in front of it.
    pub holder: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_bytes: BYTES,
            keep: KEEP,
            durable: Durable::default(),
            holder: env!("CARGO_PKG_NAME").to_owned(),
        }
    }
}

/// A journal that is written. Its calls block; give it a thread.
#[derive(Debug)]
pub struct Journal {
    place: Place,
    options: Options,
    /// `None` after an error that asks for a new beginning.
    open: Option<Connection>,
    /// Keeps other writers out until it is dropped.
    holder: Holder,
}

impl Journal {
    /// Opens the journal of a folder to write it. Folder and file are made where they are not there, for their owner
    /// alone.
    ///
    /// # Errors
    /// [`StoreError::Held`] when somebody writes it already; [`StoreError::NotAJournal`] and [`StoreError::Newer`] for a
    /// file that is something else, which is left as it is.
    pub fn open(folder: &Path, options: Options) -> Result<Journal, StoreError> {
        file::make_folder(folder)?;
        let holder = Holder::take(folder, &options.holder)?;
        let mut place = Place::of(folder);
        let open = Some(place.open_to_write(options.durable)?);
        Ok(Journal { place, options, open, holder })
    }

    /// Keeps all of the entries, or none of them. When it returns they are durable, as [`Options::durable`] says.
    ///
    /// After an error it may be tried again with the same entries, this journal stays usable. With
    /// [`StoreError::Other`], which is what failing disks end in, they may have been kept all the same.
    ///
    /// # Errors
    /// [`StoreError::Entry`] and [`StoreError::TooMany`] are of what was given; the others of the disk.
    pub fn append(&mut self, entries: &[Entry<'_>]) -> Result<(), StoreError> {
        if entries.len() > APPEND_MAX {
            return Err(StoreError::TooMany { count: entries.len() });
        }
        for (index, entry) in entries.iter().enumerate() {
            entry.check().map_err(|fault| StoreError::Entry { index, fault })?;
        }
        if entries.is_empty() {
            return Ok(());
        }
        let result = self.try_to_append(entries);
        // After a lack of room or a lock the connection goes on; after all else it is not known what it thinks of the file.
        if result
            .as_ref()
            .is_err_and(|error| !matches!(error, StoreError::Full { .. } | StoreError::Busy { .. }))
        {
            self.open = None;
        }
        result
    }

    fn try_to_append(&mut self, entries: &[Entry<'_>]) -> Result<(), StoreError> {
        let connection = match &mut self.open {
            Some(connection) => {
                // SQLite would go on to write into a file that nobody finds any more.
                self.place.is_still_there()?;
                connection
            }
            closed => {
                // The folder may have been moved away with all that is in it.
                file::make_folder(self.place.folder())?;
                if !self.holder.holds(self.place.folder()) {
                    self.holder = Holder::take(self.place.folder(), &self.options.holder)?;
                }
                closed.insert(self.place.open_to_write(self.options.durable)?)
            }
        };
        append::append(connection, entries, &self.options).map_err(|error| self.place.while_writing(error))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.place.folder()
    }

    /// Entries that are kept and that the query asks for. Others may write meanwhile; entries that leave before they are
    /// read are passed over.
    ///
    /// # Errors
    /// Where there is no journal that can be read.
    pub fn read(folder: &Path, query: &Query) -> Result<Reading, StoreError> {
        Reading::begin(Place::of(folder), query)
    }

    /// The number of the last entry that was kept; 0 where there is none yet.
    ///
    /// # Errors
    /// Where there is no journal that can be read.
    pub fn last(folder: &Path) -> Result<u64, StoreError> {
        let place = Place::of(folder);
        let connection = place.open_to_read()?;
        let head = chain::End::of(&connection, "head").map_err(|error| place.while_reading(error))?;
        Ok(u64::try_from(head.id).unwrap_or(0))
    }

    /// Walks along the whole chain.
    ///
    /// # Errors
    /// Where it cannot be read to its end. A chain that is broken is none: [`Verified::breach`] has it.
    pub fn verify(folder: &Path) -> Result<Verified, StoreError> {
        let place = Place::of(folder);
        let connection = place.open_to_read()?;
        chain::verify(&connection).map_err(|error| place.while_reading(error))
    }
}

/// The file of the journal in a folder.
#[must_use]
pub fn path(folder: &Path) -> PathBuf {
    folder.join(file::NAME)
}
