use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use port502_store::{Journal, Query, StoreError};

use crate::support::{Folder, ROLE, append, is_root, only, quick};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn nobody_but_the_owner_can_read_it() {
    let above = Folder::fresh();
    let folder = above.join("new/store");
    let mut journal = Journal::open(&folder, quick()).unwrap();
    append(&mut journal, 1, 1);
    assert_eq!(mode(&folder), 0o700);
    for name in ["journal.db", "journal.db-wal", "journal.db-shm", "journal.lock"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
}

fn is_denied(folder: &Path) {
    let is = |error: Option<StoreError>, want: &str| {
        let Some(StoreError::Denied { what, .. }) = &error else { panic!("{error:?}") };
        assert_eq!(*what, want);
    };
    is(Journal::read(folder, &Query::default()).err(), "read");
    is(Journal::verify(folder).err(), "read");
    is(Journal::open(folder, quick()).err(), "write");
    is(Journal::open(&folder.join("below"), quick()).err(), "write");
}

#[test]
fn a_lack_of_rights_is_told() {
    if let Some(folder) = std::env::var_os(ROLE) {
        return is_denied(Path::new(&folder));
    }
    let folder = Folder::with(3);
    if !is_root() {
        std::fs::set_permissions(&*folder, std::fs::Permissions::from_mode(0o000)).unwrap();
        is_denied(&folder);
        return std::fs::set_permissions(&*folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    // To root nothing is forbidden: somebody else has to try.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(only("rights::a_lack_of_rights_is_told"))
        .env(ROLE, &*folder)
        .uid(65_534)
        .gid(65_534)
        .output();
    match output {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => eprintln!("skipped: the test cannot be started as another user: {error}"),
    }
}
