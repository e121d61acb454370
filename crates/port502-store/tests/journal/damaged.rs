use std::fs;

use port502_store::{Entry, Journal, Kind, Query, StoreError};
use rusqlite::Connection;

use crate::support::{Folder, append, at, is_whole, quick};

/// What reading, checking and writing say to what is there.
#[track_caller]
fn all_say(folder: &Folder, want: &StoreError) {
    assert_eq!(Journal::read(folder, &Query::default()).err().as_ref(), Some(want), "read");
    assert_eq!(Journal::verify(folder).err().as_ref(), Some(want), "verify");
    assert_eq!(Journal::open(folder, quick()).err().as_ref(), Some(want), "open");
}

#[test]
fn what_is_not_there_is_told() {
    let folder = Folder::fresh();
    let absent = StoreError::NoFolder { folder: folder.to_owned() };
    assert_eq!(Journal::verify(&folder), Err(absent.clone()));
    assert_eq!(Journal::read(&folder, &Query::default()).err(), Some(absent));
    fs::create_dir_all(&*folder).unwrap();
    let empty = StoreError::NoJournal { folder: folder.to_owned() };
    assert_eq!(Journal::verify(&folder), Err(empty.clone()));
    // A file that a writer has just made, and not yet made a journal.
    fs::write(folder.file(), "").unwrap();
    assert_eq!(Journal::verify(&folder), Err(empty));
    Journal::open(&folder, quick()).unwrap();
    is_whole(&folder, 0, 0);
}

#[test]
fn a_file_is_no_folder() {
    let folder = Folder::fresh();
    fs::create_dir_all(&*folder).unwrap();
    let file = folder.join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Journal::open(&path, quick()).unwrap_err();
        assert_eq!(error, StoreError::NoFolder { folder: path });
    }
    assert_eq!(Journal::verify(&file), Err(StoreError::NoFolder { folder: file }));
}

#[test]
fn what_is_no_journal_is_left_as_it_is() {
    let text = "no database, and longer than the head of one would be: ".repeat(40);
    let folder = Folder::fresh();
    fs::create_dir_all(&*folder).unwrap();
    fs::write(folder.file(), &text).unwrap();
    all_say(&folder, &StoreError::NotAJournal { path: folder.file() });
    assert_eq!(fs::read_to_string(folder.file()).unwrap(), text);
    // Somebody else's database.
    fs::remove_file(folder.file()).unwrap();
    Connection::open(folder.file()).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    let before = fs::read(folder.file()).unwrap();
    all_say(&folder, &StoreError::NotAJournal { path: folder.file() });
    assert_eq!(fs::read(folder.file()).unwrap(), before);
}

#[test]
fn a_later_version_is_left_as_it_is() {
    let folder = Folder::with(3);
    Connection::open(folder.file()).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let want = StoreError::Newer { path: folder.file(), version: 2 };
    all_say(&folder, &want);
    assert!(want.to_string().contains("version 2, and this port502 knows version 1"), "{want}");
}

#[test]
fn what_lacks_its_tables_is_damaged() {
    for sql in [
        "DROP TABLE chain",
        "DELETE FROM chain WHERE mark = 'head'",
        "UPDATE chain SET hash = x'00' WHERE mark = 'head'",
    ] {
        let folder = Folder::with(3);
        Connection::open(folder.file()).unwrap().execute_batch(sql).unwrap();
        let is_damaged = |error: Option<StoreError>| {
            let Some(StoreError::Corrupt { path, .. }) = error else { panic!("{sql}: {error:?}") };
            assert_eq!(path, folder.file());
        };
        is_damaged(Journal::verify(&folder).err());
        let entry = Entry { time: at(1), kind: Kind::Audit, source: "admin", body: "{}" };
        is_damaged(Journal::open(&folder, quick()).and_then(|mut journal| journal.append(&[entry])).err());
    }
}

/// Whatever is asked of it; what comes of it is only that it ends.
fn use_it(folder: &Folder) -> Vec<StoreError> {
    let mut errors = Vec::new();
    match Journal::read(folder, &Query::default()) {
        Ok(reading) => errors.extend(reading.filter_map(Result::err)),
        Err(error) => errors.push(error),
    }
    match Journal::verify(folder) {
        Ok(verified) => {
            // Bytes that changed without making the file unreadable are a breach, or in no entry.
            let _ = verified.breach;
        }
        Err(error) => errors.push(error),
    }
    let entry = Entry { time: at(1), kind: Kind::Audit, source: "admin", body: "{}" };
    match Journal::open(folder, quick()).and_then(|mut journal| journal.append(&[entry])) {
        Ok(()) => {}
        Err(error) => errors.push(error),
    }
    errors
}

#[test]
fn a_file_that_ends_early_is_told() {
    let whole = {
        let folder = Folder::with(300);
        fs::read(folder.file()).unwrap()
    };
    let folder = Folder::fresh();
    fs::create_dir_all(&*folder).unwrap();
    // A byte less is no page less, to SQLite: it takes what is missing for zeros.
    let (half, page_less) = (whole.len() / 2, whole.len() - 4_096);
    let lengths = [1, 15, 16, 99, 100, 511, 512, 4_095, 4_096, 4_097, half, page_less];
    for length in lengths {
        for name in ["journal.db-wal", "journal.db-shm"] {
            let _ = fs::remove_file(folder.join(name));
        }
        fs::write(folder.file(), &whole[..length]).unwrap();
        let errors = use_it(&folder);
        assert!(!errors.is_empty(), "{length} of {} bytes are as good as all", whole.len());
        for error in errors {
            let is_told = matches!(error, StoreError::Corrupt { .. } | StoreError::NotAJournal { .. });
            assert!(is_told, "{length} bytes: {error:?}");
        }
    }
}

#[test]
fn bytes_that_are_not_what_they_were_end_nothing() {
    let whole = {
        let folder = Folder::with(60);
        fs::read(folder.file()).unwrap()
    };
    let folder = Folder::fresh();
    fs::create_dir_all(&*folder).unwrap();
    // A generator with its seed in sight: xorshift, 2026.
    let mut state = 2026_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let mut told = 0;
    for _ in 0..150 {
        let mut bytes = whole.clone();
        // In the head and the first pages, where the structure is, more often than elsewhere.
        for _ in 0..=random(6) {
            let reach = [100, 4_096, 12_288, bytes.len()][random(4)];
            let at = random(reach);
            bytes[at] = u8::try_from(random(256)).unwrap();
        }
        for name in ["journal.db-wal", "journal.db-shm"] {
            let _ = fs::remove_file(folder.join(name));
        }
        fs::write(folder.file(), &bytes).unwrap();
        for error in use_it(&folder) {
            told += 1;
            let text = error.to_string();
            assert!(text.contains("journal.db") && !text.contains('\n'), "{text}");
        }
    }
    assert!(told > 50, "only {told} errors: was anything damaged?");
}

#[test]
fn a_torn_log_loses_its_end_and_nothing_else() {
    let folder = Folder::with(10);
    let mut journal = Journal::open(&folder, quick()).unwrap();
    for number in 11..=20 {
        append(&mut journal, number, 1);
    }
    // As the system leaves it when the power goes: the file, and a part of the log.
    let copy = Folder::fresh();
    fs::create_dir_all(&*copy).unwrap();
    let log = fs::read(folder.join("journal.db-wal")).unwrap();
    let mut last = u64::MAX;
    for torn in [0, 1, 4_000, 20_000, log.len() - 33] {
        let _ = fs::remove_file(copy.join("journal.db-shm"));
        fs::copy(folder.file(), copy.file()).unwrap();
        let mut rest = log[..log.len() - torn].to_vec();
        if torn > 0 {
            rest.extend(vec![0xA5; torn.min(500)]);
        }
        fs::write(copy.join("journal.db-wal"), rest).unwrap();
        let verified = Journal::verify(&copy).unwrap();
        assert_eq!(verified.breach, None, "{torn} bytes are torn off");
        assert!((10..=20).contains(&verified.entries) && verified.entries <= last);
        last = verified.entries;
    }
    assert_eq!(last, 10);
    // And it can be written again.
    append(&mut Journal::open(&copy, quick()).unwrap(), 11, 5);
    is_whole(&copy, 0, 15);
}
