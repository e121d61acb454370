//! Disks that are full, files that may not be longer.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use port502_store::{Journal, Shortage, StoreError};

use crate::support::{Folder, ROLE, all, append, is_root, is_whole, only, quick, try_to_append};

/// Appends until there is no room, and says how many entries were kept.
fn fill(journal: &mut Journal, mut next: u64, shortage: Shortage) -> u64 {
    let path = port502_store::journal::path(journal.folder());
    let error = loop {
        match try_to_append(journal, &(next..next + 50).collect::<Vec<_>>()) {
            Ok(()) => next += 50,
            Err(error) => break error,
        }
        assert!(next < 100_000, "there is no end to the room");
    };
    assert_eq!(error, StoreError::Full { path, shortage });
    next - 1
}

/// Full twice, with room in between; no entry of what was refused is there.
fn fills_and_goes_on(folder: &Path, shortage: Shortage, make_room: impl FnOnce()) {
    let mut journal = Journal::open(folder, quick()).unwrap();
    let kept = fill(&mut journal, 1, shortage);
    assert!(kept > 0);
    is_whole(folder, 0, kept);
    // Once more: nothing has changed.
    assert!(try_to_append(&mut journal, &(kept + 1..kept + 400).collect::<Vec<_>>()).is_err());
    is_whole(folder, 0, kept);
    make_room();
    append(&mut journal, kept + 1, 50);
    is_whole(folder, 0, kept + 50);
    drop(journal);
    append(&mut Journal::open(folder, quick()).unwrap(), kept + 51, 1);
    is_whole(folder, 0, kept + 51);
    assert_eq!(all(folder).len() as u64, kept + 51);
}

#[track_caller]
fn succeeded(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("test result: ok. 1 passed"), "{}", text(&output.stdout));
}

#[test]
fn a_limit_to_the_length_of_files_is_told_and_can_be_raised() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    if let Some(folder) = std::env::var_os(ROLE) {
        let limit = getrlimit(Resource::Fsize);
        assert!(limit.current.is_some());
        return fills_and_goes_on(Path::new(&folder), Shortage::FileSize, || {
            setrlimit(Resource::Fsize, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
        });
    }
    let folder = Folder::fresh();
    // A program without SIGXFSZ's end gets EFBIG instead; what a shell ignores, its programs ignore.
    let output = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -S -f 900; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(only("full::a_limit_to_the_length_of_files_is_told_and_can_be_raised"))
        .env(ROLE, &*folder)
        .output()
        .unwrap();
    succeeded(&output);
}

/// On a file system of its own, of one megabyte, in a namespace of mounts of its own.
#[test]
fn a_full_disk_is_told_and_what_cannot_be_written_can_be_read() {
    if let Some(folder) = std::env::var_os(ROLE) {
        return on_a_small_disk(&PathBuf::from(folder));
    }
    if !is_root() {
        eprintln!("skipped: only root can mount a small file system");
        return;
    }
    let disk = Folder::fresh();
    std::fs::create_dir_all(&*disk).unwrap();
    let script = r#"mount -t tmpfs -o size=1m tmpfs "$PORT502_STORE_TEST" || exit 77; exec "$0" "$@""#;
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(only("full::a_full_disk_is_told_and_what_cannot_be_written_can_be_read"))
        .env(ROLE, &*disk)
        .output();
    match output {
        Ok(output) if output.status.code() != Some(77) => succeeded(&output),
        _ => eprintln!("skipped: no file system can be mounted here"),
    }
}

fn on_a_small_disk(disk: &Path) {
    let (folder, ballast) = (disk.join("store # 50%?"), disk.join("ballast"));
    std::fs::write(&ballast, vec![0; 500 << 10]).unwrap();
    fills_and_goes_on(&folder, Shortage::Disk, || std::fs::remove_file(&ballast).unwrap());
    // On a medium that cannot be written it is read all the same.
    let kept = all(&folder);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk).status().unwrap();
    assert!(remounted.success());
    assert_eq!(all(&folder), kept);
    is_whole(&folder, 0, kept.len() as u64);
    let error = Journal::open(&folder, quick()).unwrap_err();
    assert!(matches!(error, StoreError::Denied { what: "write", .. }), "{error:?}");
}
