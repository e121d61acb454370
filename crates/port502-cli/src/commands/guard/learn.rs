//! Learning: who asks for what, for a time, and the rules that are proposed of it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::running::Running;
use crate::failure::Failure;
use crate::output::counted;

/// A time to learn, and where its proposal goes.
pub(super) struct Learning {
    path: PathBuf,
    file: std::fs::File,
    until: Instant,
}

impl Learning {
    /// From now on. The file is made at once: who finds out after a day that it cannot be written has lost a day.
    pub(super) fn begin(path: &Path, time: Duration) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AlreadyExists => "; move it away, or name another with --learn-to",
                _ => "",
            };
            Failure::other(format!("cannot write the proposal to {}: {error}{hint}", path.display()))
        })?;
        Ok(Learning { path: path.to_owned(), file, until: Instant::now() + time })
    }

    /// Writes what was learned.
    pub(super) fn propose(mut self, running: &Running) -> Result<String, Failure> {
        let (text, clients) = running.learned();
        let path = self.path.display();
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|error| Failure::other(format!("cannot write the proposal to {path}: {error}")))?;
        let clients = counted(u64::try_from(clients).unwrap_or(u64::MAX), "client");
        Ok(format!("what {clients} asked for is proposed as rules in {path}"))
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
