//! Learning: who asks for what, for a time, and the rules that are proposed of it.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use port502_inspect::evidence::Time;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::running::Running;
use crate::failure::Failure;
use crate::output::counted;

/// A time to learn, and where its proposal goes.
pub(super) struct Learning {
    path: PathBuf,
    part: Part,
    until: Instant,
}

/// A file until it is whole, under a name of its own; it goes with this.
struct Part {
    path: PathBuf,
    file: File,
    stays: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.stays {
            // Whoever cannot remove it finds it empty, and begins with it the next time.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn cannot(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::other(format!("cannot write the proposal to {}: {why}", path.display()))
}

const MOVE_IT: &str = "move it away, or name another with --learn-to";

impl Learning {
    /// From now on. A file is made at once: who finds out after a day that it cannot be written has lost a day.
    pub(super) fn begin(path: &Path, time: Duration) -> Result<Self, Failure> {
        if path.symlink_metadata().is_ok() {
            return Err(cannot(path, format_args!("it is there already; {MOVE_IT}")));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        // One that is empty is of a guard that was killed.
        if part.symlink_metadata().is_ok_and(|part| part.is_file() && part.len() == 0) {
            std::fs::remove_file(&part).map_err(|error| cannot(&part, error))?;
        }
        let file = File::create_new(&part).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => cannot(&part, format_args!("it is there already; {MOVE_IT}")),
            _ => cannot(&part, error),
        })?;
        let part = Part { path: part, file, stays: false };
        Ok(Learning { path: path.to_owned(), part, until: Instant::now() + time })
    }

    /// `learning until 2026-11-18T11:06:40.000000Z, to learned.toml`.
    pub(super) fn line(&self) -> String {
        let left = self.until.saturating_duration_since(Instant::now());
        let until = (SystemTime::now() + left).duration_since(UNIX_EPOCH).unwrap_or_default();
        let until = Time::from_unix_nanos(u64::try_from(until.as_nanos()).unwrap_or(u64::MAX));
        format!("learning until {until}, to {}", self.path.display())
    }

    /// What writes what was learned, on any thread.
    pub(super) fn propose(
        self,
        running: &Running,
    ) -> impl FnOnce() -> Result<String, Failure> + Send + use<> {
        let (text, clients) = running.learned();
        move || {
            let Learning { path, mut part, .. } = self;
            let written = part.file.write_all(text.as_bytes()).and_then(|()| part.file.sync_all());
            written.map_err(|error| cannot(&part.path, error))?;
            part.stays = true;
            name(&part.path, &path).map_err(|error| {
                let there = part.path.display();
                cannot(&path, format_args!("{error}; it is in {there}"))
            })?;
            let clients = counted(u64::try_from(clients).unwrap_or(u64::MAX), "client");
            Ok(format!("what {clients} asked for is proposed as rules in {}", path.display()))
        }
    }
}

/// Gives a file its name, but never another's.
fn name(file: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(file, path) {
        Ok(()) => std::fs::remove_file(file),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links.
        Err(_) => {
            File::create_new(path)?;
            std::fs::rename(file, path)
        }
    }
}

/// Waits until the time to learn is over; for ever where nothing is learned.
pub(super) fn over(learning: Option<&Learning>, timekeeper: Handle) -> impl Future<Output = ()> + use<> {
    let until = learning.map(|learning| learning.until);
    async move {
        match until {
            Some(until) => {
                let sleep = {
                    let _runtime = timekeeper.enter();
                    tokio::time::sleep_until(until)
                };
                sleep.await;
            }
            None => std::future::pending().await,
        }
    }
}
