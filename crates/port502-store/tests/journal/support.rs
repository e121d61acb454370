//! Folders, entries, and the test's own program as another process.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use port502_store::{Durable, Entry, Journal, Kept, Kind, Options, Order, Query, Timestamp};

/// A path at which nothing is; what came there is removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn fresh() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("journal-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        Folder(path)
    }

    /// The folder of a journal with so many entries.
    pub(crate) fn with(count: u64) -> Folder {
        let folder = Folder::fresh();
        let mut journal = Journal::open(&folder, quick()).unwrap();
        append(&mut journal, 1, count);
        folder
    }

    pub(crate) fn file(&self) -> PathBuf {
        port502_store::journal::path(self)
    }
}

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Without waiting for the disk.
pub(crate) fn quick() -> Options {
    Options { durable: Durable::Kill, ..Options::default() }
}

/// Some seven hundred bytes, as a firewall's record has them.
pub(crate) fn body(number: u64) -> String {
    format!(
        r#"{{"number":{number},"verdict":"refused","client":"10.20.0.{}","reason":"{}","filler":"{}"}}"#,
        number % 200,
        ["function", "limits", "client"][usize::try_from(number % 3).unwrap()],
        "x".repeat(600),
    )
}

/// The second that an entry is of.
pub(crate) fn at(second: u64) -> Timestamp {
    Timestamp::from_unix_nanos(i64::try_from(1_795_000_000 + second).unwrap() * 1_000_000_000)
}

/// Appends entries with these numbers, one a second, in batches.
#[track_caller]
pub(crate) fn append(journal: &mut Journal, first: u64, count: u64) {
    let numbers: Vec<u64> = (first..first + count).collect();
    for batch in numbers.chunks(200) {
        try_to_append(journal, batch).unwrap();
    }
}

pub(crate) fn try_to_append(journal: &mut Journal, numbers: &[u64]) -> Result<(), port502_store::StoreError> {
    let bodies: Vec<String> = numbers.iter().map(|number| body(*number)).collect();
    let entries: Vec<Entry<'_>> = numbers
        .iter()
        .zip(&bodies)
        .map(|(number, body)| Entry { time: at(*number), kind: Kind::Verdict, source: "intake", body })
        .collect();
    journal.append(&entries)
}

/// All entries, in the order in which they were kept.
#[track_caller]
pub(crate) fn all(folder: &Path) -> Vec<Kept> {
    read(folder, &Query { order: Order::AsKept, ..Query::default() })
}

#[track_caller]
pub(crate) fn read(folder: &Path, query: &Query) -> Vec<Kept> {
    Journal::read(folder, query).unwrap().map(|kept| kept.unwrap()).collect()
}

/// The chain is whole, and has so many entries behind so many that have left.
#[track_caller]
pub(crate) fn is_whole(folder: &Path, removed: u64, entries: u64) {
    let verified = Journal::verify(folder).unwrap();
    assert_eq!((verified.breach, verified.removed, verified.entries), (None, removed, entries));
}

/// What a test does as another process: it is started again with this in its environment.
#[cfg(unix)]
pub(crate) const ROLE: &str = "PORT502_STORE_TEST";

/// The arguments of this test's program that run one test and no other.
#[cfg(unix)]
pub(crate) fn only(test: &str) -> [&str; 4] {
    [test, "--exact", "--nocapture", "--test-threads=1"]
}

#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
