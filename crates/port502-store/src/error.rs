//! What can go wrong with what is kept, by what one does about it.

use std::path::PathBuf;

use crate::entry::EntryFault;
use crate::journal::{APPEND_MAX, VERSION};

/// What there is not enough of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shortage {
    /// Room on the disk (ENOSPC).
    Disk,
    /// What this user may have on it (EDQUOT).
    Quota,
    /// How long a file may be (EFBIG: a limit of the process, or of the file system).
    FileSize,
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Shortage::Disk => "the disk is full; make room, or give the journal fewer bytes",
            Shortage::Quota => {
                "the user's quota of the disk is used up; raise it, or give the journal fewer bytes"
            }
            Shortage::FileSize => {
                "no file may be that long here; raise the limit (ulimit -f), or give the journal fewer bytes"
            }
        })
    }
}

/// Why something was not kept, or cannot be read. As text it is one line: what, where, what to try.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder is not there, or is none.
    #[error("{}: no such folder; name the one in which the journal is kept", folder.display())]
    NoFolder {
        /// Which.
        folder: PathBuf,
    },
    /// The folder has no journal in it.
    #[error("{}: there is no journal.db in it; name the folder in which the journal is kept", folder.display())]
    NoJournal {
        /// Which.
        folder: PathBuf,
    },
    /// The file is something else. It is left as it is.
    #[error("{}: not a journal; move it away, or name another folder", path.display())]
    NotAJournal {
        /// Which.
        path: PathBuf,
    },
    /// A later version of this program made it. It is left as it is.
    #[error("{}: a journal of version {version}, and this port502 knows version {VERSION}; use a newer one", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// What it says of itself.
        version: i32,
    },
    /// Somebody else writes it.
    #[error("{}: {by} writes this journal already; end that, or name another folder", path.display())]
    Held {
        /// The file by which writers keep each other out.
        path: PathBuf,
        /// The process and what it calls itself.
        by: String,
    },
    /// There is no room. Nothing was kept, and the next `append` may well succeed.
    #[error("{}: {shortage}", path.display())]
    Full {
        /// Which.
        path: PathBuf,
        /// Of what.
        shortage: Shortage,
    },
    /// Another program has it locked. Nothing was kept.
    #[error("{}: another program has it locked; end what works on it, as sqlite3, and try again", path.display())]
    Busy {
        /// Which.
        path: PathBuf,
    },
    /// It is damaged.
    #[error("{}: damaged ({detail}); keep a copy of it, move it away, and a new one is begun", path.display())]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// How that was seen.
        detail: String,
    },
    /// We have no rights to it, or nobody has on this medium.
    #[error("{}: no right to {what} ({detail}); run as the user whose folder it is, or copy the folder to where it may be written", path.display())]
    Denied {
        /// Which.
        path: PathBuf,
        /// `read` or `write`.
        what: &'static str,
        /// What was refused.
        detail: String,
    },
    /// Somebody removed or replaced the file while it was written. Nothing was kept; the next `append` begins anew with
    /// what is there then.
    #[error("{}: removed or replaced while it was written; what is kept from here on is in a new one", path.display())]
    Gone {
        /// Which.
        path: PathBuf,
    },
    /// An entry that cannot be kept, at every try. Nothing was kept of those that came with it.
    #[error("entry {index} of those to be kept: {fault}")]
    Entry {
        /// Its place among those that were given, from 0.
        index: usize,
        /// Why not.
        fault: EntryFault,
    },
    /// More than [`APPEND_MAX`] entries at once.
    #[error("{count} entries at once, and {APPEND_MAX} is the most; append them in parts")]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// Anything else.
    #[error("{}: {detail}", path.display())]
    Other {
        /// Which.
        path: PathBuf,
        /// What the system, or SQLite, says.
        detail: String,
    },
}
