//! The file: how it is made, opened and recognised, and what its errors mean.
//!
//! Nothing here opens `journal.db` but SQLite itself. A process that closes any descriptor of a file loses its locks on
//! it (POSIX), and with them SQLite its own.

use std::fs::{self, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, ffi};

use super::{Durable, VERSION};
use crate::error::{Shortage, StoreError};

/// What the journal is called in its folder.
pub(super) const NAME: &str = "journal.db";

/// What SQLite's header says of what is in the file: `P50J`.
const APPLICATION: i32 = 0x5035_304A;

/// How long a lock of another program is waited for.
const BUSY_AFTER: Duration = Duration::from_secs(5);

/// SQLite's log is cut to this many bytes when its content has gone into the file.
const LOG_KEPT: i64 = 1 << 23;

/// No SQLite file with something in it is shorter.
const PAGE_MIN: u64 = 512;

/// Bytes that are written to see what there is not enough of.
const PROBE: u64 = 1 << 20;

pub(super) const SCHEMA: &str = "
CREATE TABLE event (
    id     INTEGER PRIMARY KEY,
    time   INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    source TEXT NOT NULL,
    body   TEXT NOT NULL,
    hash   BLOB NOT NULL
) STRICT;
CREATE INDEX event_time ON event (time);
CREATE TABLE chain (
    mark TEXT PRIMARY KEY,
    id   INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO chain VALUES ('removed', 0, zeroblob(32)), ('head', 0, zeroblob(32));
CREATE TRIGGER event_is_not_changed BEFORE UPDATE ON event BEGIN
    SELECT RAISE(ABORT, 'what a journal has is not changed');
END;
CREATE TRIGGER event_leaves_in_order BEFORE DELETE ON event
WHEN old.id > (SELECT id FROM chain WHERE mark = 'removed') BEGIN
    SELECT RAISE(ABORT, 'only the oldest leave a journal, and first their mark is moved');
END;
";

/// Where a journal is.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    path: PathBuf,
    /// Which file it was when it was opened to be written, to notice when another takes its place: device and inode.
    identity: Option<[u64; 2]>,
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<[u64; 2]> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).map(|file| [file.dev(), file.ino()])
}

/// Files that are open cannot be removed here.
#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<[u64; 2]> {
    fs::metadata(path).map(|_| [0, 0])
}

/// Makes the folder, for its owner alone.
pub(super) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(|error| match error.kind() {
        // Something that is no folder has the name, of it or of one above.
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            StoreError::NoFolder { folder: folder.to_owned() }
        }
        _ => told(folder, "write", &error),
    })
}

/// What an error of the system means to who reads it.
fn told(path: &Path, what: &'static str, error: &io::Error) -> StoreError {
    let path = path.to_owned();
    match (shortage(error), error.kind()) {
        (Some(shortage), _) => StoreError::Full { path, shortage },
        (None, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            StoreError::Denied { path, what, detail: error.to_string() }
        }
        _ => StoreError::Other { path, detail: error.to_string() },
    }
}

/// What there is not enough of, if it is that.
pub(super) fn shortage(error: &io::Error) -> Option<Shortage> {
    match error.kind() {
        io::ErrorKind::StorageFull => Some(Shortage::Disk),
        io::ErrorKind::QuotaExceeded => Some(Shortage::Quota),
        io::ErrorKind::FileTooLarge => Some(Shortage::FileSize),
        _ => None,
    }
}

impl Place {
    pub(super) fn of(folder: &Path) -> Place {
        Place { folder: folder.to_owned(), path: folder.join(NAME), identity: None }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens it, and makes it where it is not there.
    pub(super) fn open_to_write(&mut self, durable: Durable) -> Result<Connection, StoreError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        match options.open(&self.path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(told(&self.path, "write", &error)),
        }
        self.identity = Some(identity(&self.path).map_err(|error| told(&self.path, "write", &error))?);
        let open = || -> rusqlite::Result<Result<Connection, StoreError>> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut connection = Connection::open_with_flags(&self.path, flags)?;
            connection.busy_timeout(BUSY_AFTER)?;
            let is_new = match self.recognise(&connection)? {
                Ok(is_new) => is_new,
                Err(error) => return Ok(Err(error)),
            };
            let mode: String =
                connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
            if mode != "wal" {
                let detail = "this file system has no shared memory, which a journal needs; use a local disk";
                return Ok(Err(StoreError::Other { path: self.path.clone(), detail: detail.to_owned() }));
            }
            let synchronous = match durable {
                Durable::PowerCut => "FULL",
                Durable::Kill => "NORMAL",
            };
            connection.pragma_update(None, "synchronous", synchronous)?;
            connection.pragma_update(None, "trusted_schema", false)?;
            connection.pragma_update(None, "cell_size_check", true)?;
            connection.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(()))?;
            if is_new {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "application_id", APPLICATION)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
                transaction.commit()?;
                self.synchronise_folder();
            }
            Ok(Ok(connection))
        };
        open().map_err(|error| self.while_writing(error))?
    }

    /// A new name is in the folder: it survives the end of power as what is in the file does.
    fn synchronise_folder(&self) {
        // File systems that cannot do that are none to rely on anyway.
        #[cfg(unix)]
        let _ = fs::File::open(&self.folder).and_then(|folder| folder.sync_all());
    }

    /// Opens it for reading. It is not changed, but for the files of SQLite's beside it.
    pub(super) fn open_to_read(&self) -> Result<Connection, StoreError> {
        match fs::metadata(&self.folder) {
            Ok(folder) if folder.is_dir() => {}
            Ok(_) => return Err(StoreError::NoFolder { folder: self.folder.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NoFolder { folder: self.folder.clone() });
            }
            Err(error) => return Err(told(&self.folder, "read", &error)),
        }
        let no_journal = || StoreError::NoJournal { folder: self.folder.clone() };
        match fs::metadata(&self.path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_journal()),
            Err(error) => return Err(told(&self.path, "read", &error)),
        }
        let open = |path: &Path, flags| -> rusqlite::Result<Result<Connection, StoreError>> {
            let flags = flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY_AFTER)?;
            connection.pragma_update(None, "trusted_schema", false)?;
            connection.pragma_update(None, "cell_size_check", true)?;
            Ok(match self.recognise(&connection)? {
                Ok(false) => Ok(connection),
                // Somebody is just making it, or was ended while doing so.
                Ok(true) => Err(no_journal()),
                Err(error) => Err(error),
            })
        };
        let first = match open(&self.path, OpenFlags::empty()) {
            Ok(result) => return result,
            Err(error) => error,
        };
        // On a medium that cannot be written, SQLite's files beside it cannot be made; where there is no log, it needs none.
        let log = fs::metadata(self.path.with_file_name(format!("{NAME}-wal"))).map_or(0, |file| file.len());
        if let (0, true, Some(uri)) = (log, cannot_open(&first), immutable(&self.path))
            && let Ok(Ok(connection)) = open(Path::new(&uri), OpenFlags::SQLITE_OPEN_URI)
        {
            return Ok(connection);
        }
        Err(self.while_reading(first))
    }

    /// Whether it is a journal of ours, and whether it has yet to become one.
    fn recognise(&self, connection: &Connection) -> rusqlite::Result<Result<bool, StoreError>> {
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        // A file without anything in it has nothing that could be lost.
        let objects: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let (application, version) = (pragma("application_id")?, pragma("user_version")?);
        let length = fs::metadata(&self.path).map_or(0, |file| file.len());
        Ok(match (application, version) {
            // What is left of something, though SQLite takes it for a file that has yet to be begun.
            (0, 0) if objects == 0 && (1..PAGE_MIN).contains(&length) => {
                Err(StoreError::Corrupt { path: self.path.clone(), detail: format!("it has {length} bytes") })
            }
            (0, 0) if objects == 0 => Ok(true),
            (APPLICATION, VERSION) => Ok(false),
            (APPLICATION, version) if version > VERSION => {
                Err(StoreError::Newer { path: self.path.clone(), version })
            }
            _ => Err(StoreError::NotAJournal { path: self.path.clone() }),
        })
    }

    /// Whether the file that was opened is still what has this name.
    pub(super) fn is_still_there(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Ok(now) if self.identity == Some(now) => Ok(()),
            Ok(_) => Err(StoreError::Gone { path: self.path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Gone { path: self.path.clone() })
            }
            Err(error) => Err(told(&self.path, "write", &error)),
        }
    }

    /// What an error of SQLite's means while something is written.
    pub(super) fn while_writing(&self, error: rusqlite::Error) -> StoreError {
        let code = error.sqlite_error_code();
        let is_of_disk =
            matches!(code, Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen));
        if is_of_disk && !is_short(&error) {
            // SQLite knows a full disk, but neither a quota nor a limit to the length of a file; the system does.
            match self.probe() {
                Err(found) if shortage(&found).is_some() => return told(&self.path, "write", &found),
                Err(found) if code == Some(ErrorCode::CannotOpen) => {
                    return told(&self.path, "write", &found);
                }
                // Others may have made room meanwhile.
                _ if code == Some(ErrorCode::DiskFull) => {
                    return StoreError::Full { path: self.path.clone(), shortage: Shortage::Disk };
                }
                _ => {}
            }
        }
        self.meaning(error, "write")
    }

    /// What an error of SQLite's means while something is read.
    pub(super) fn while_reading(&self, error: rusqlite::Error) -> StoreError {
        self.meaning(error, "read")
    }

    fn meaning(&self, error: rusqlite::Error, what: &'static str) -> StoreError {
        let path = self.path.clone();
        let detail = match &error {
            rusqlite::Error::SqliteFailure(code, text) => {
                text.clone().unwrap_or_else(|| ffi::code_to_str(code.extended_code).to_owned())
            }
            other => other.to_string(),
        };
        match (&error, error.sqlite_error_code()) {
            _ if is_short(&error) => StoreError::Corrupt { path, detail },
            (_, Some(ErrorCode::DatabaseCorrupt)) => StoreError::Corrupt { path, detail },
            (_, Some(ErrorCode::NotADatabase)) => StoreError::NotAJournal { path },
            (
                _,
                Some(
                    ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::FileLockingProtocolFailed,
                ),
            ) => StoreError::Busy { path },
            (
                _,
                Some(
                    ErrorCode::ReadOnly
                    | ErrorCode::PermissionDenied
                    | ErrorCode::AuthorizationForStatementDenied,
                ),
            ) => StoreError::Denied { path, what, detail },
            // That it is there was seen before.
            (_, Some(ErrorCode::CannotOpen)) => StoreError::Denied { path, what, detail },
            (_, Some(ErrorCode::DiskFull)) => StoreError::Full { path, shortage: Shortage::Disk },
            // A table that is not there, or is none of ours.
            (_, Some(ErrorCode::Unknown | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)) => {
                StoreError::Corrupt { path, detail }
            }
            (_, Some(_)) => StoreError::Other { path, detail },
            // What stands there is not of the type that it was kept with, or not there at all.
            (_, None) => StoreError::Corrupt { path, detail },
        }
    }

    /// Writes a little behind the length that the journal has, elsewhere, to learn from the system what stands in the way.
    fn probe(&self) -> io::Result<()> {
        let length = |name: String| fs::metadata(self.path.with_file_name(name)).map_or(0, |file| file.len());
        let reached = length(NAME.to_owned()).max(length(format!("{NAME}-wal")));
        let path = self.folder.join(format!(".{NAME}-probe"));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            file.set_len(reached.saturating_add(PROBE))?;
            file.seek(SeekFrom::Start(reached))?;
            let piece = [0x5A; 1 << 16];
            for _ in 0..PROBE >> 16 {
                file.write_all(&piece)?;
            }
            file.sync_data()
        };
        let result = write();
        let _ = fs::remove_file(&path);
        result
    }
}

/// Whether the file ends before it should.
fn is_short(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::SqliteFailure(
            ffi::Error { extended_code: ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS, .. },
            _
        )
    )
}

fn cannot_open(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// The address by which SQLite takes a file for one that nobody writes.
fn immutable(path: &Path) -> Option<String> {
    let path = path.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file:{path}?immutable=1"))
}
