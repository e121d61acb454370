//! One writer at a time, and who it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use crate::error::StoreError;

/// The file that a writer holds. It stays behind when the writer ends; what counts is whether it is locked.
const NAME: &str = "journal.lock";

/// Characters of what a writer calls itself.
const NAME_MAX: usize = 64;

/// Bytes that are read of what it wrote of itself.
const TEXT_MAX: u64 = 512;

/// Keeps other writers out; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Holder {
    file: File,
}

impl Holder {
    pub(super) fn take(folder: &Path, name: &str) -> Result<Holder, StoreError> {
        let path = folder.join(NAME);
        let cannot = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::Denied { path: path.clone(), what: "write", detail: error.to_string() }
            }
            _ => match super::file::shortage(&error) {
                Some(shortage) => StoreError::Full { path: path.clone(), shortage },
                None => StoreError::Other { path: path.clone(), detail: error.to_string() },
            },
        };
        let Some(mut file) = lock(&path).map_err(cannot)? else {
            let mut text = Vec::new();
            // Who it is helps, but that it is held is told without it.
            let read = File::open(&path).and_then(|file| file.take(TEXT_MAX).read_to_end(&mut text));
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            let by = if read.is_err() || text.is_empty() { "another program".to_owned() } else { text };
            return Err(StoreError::Held { path, by });
        };
        let name: String = name.chars().filter(|character| !character.is_control()).take(NAME_MAX).collect();
        let text = format!("process {} ({name})\n", std::process::id());
        let write = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
        write.map_err(cannot)?;
        Ok(Holder { file })
    }

    /// Whether what is held is still what others would find.
    #[cfg(unix)]
    pub(super) fn holds(&self, folder: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        match (self.file.metadata(), std::fs::metadata(folder.join(NAME))) {
            (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
            _ => false,
        }
    }

    /// Files that are open cannot be removed here.
    #[cfg(not(unix))]
    pub(super) fn holds(&self, _: &Path) -> bool {
        let _ = &self.file;
        true
    }
}

/// A lock belongs to the file as it was opened, and a process that another thread is just starting has that too until it
/// becomes another program. Closing the file alone would leave it locked so long.
#[cfg(unix)]
impl Drop for Holder {
    fn drop(&mut self) {
        // What cannot be unlocked is unlocked with the last who has it.
        let _ = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock);
    }
}

/// The file, locked; `None` when somebody else has it.
#[cfg(unix)]
fn lock(path: &Path) -> io::Result<Option<File>> {
    use std::os::unix::fs::OpenOptionsExt as _;

    use rustix::fs::{FlockOperation, flock};
    use rustix::io::{Errno, retry_on_intr};

    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Here a file that is open for writing can be kept from others who want the same; they may read it.
#[cfg(windows)]
fn lock(path: &Path) -> io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt as _;

    const SHARE_READ: u32 = 1;
    const SHARING_VIOLATION: i32 = 32;
    match OpenOptions::new().write(true).create(true).truncate(false).share_mode(SHARE_READ).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Nothing is known of locks here: two at once are for whoever starts them to keep apart.
#[cfg(not(any(unix, windows)))]
fn lock(path: &Path) -> io::Result<Option<File>> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path).map(Some)
}
