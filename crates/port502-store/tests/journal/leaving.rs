use std::time::Duration;

use port502_store::journal::BYTES_MIN;
use port502_store::{Entry, Journal, Kind, Options};

use crate::support::{Folder, all, append, at, is_whole, quick};

#[test]
fn a_file_does_not_become_longer_than_it_may() {
    let folder = Folder::fresh();
    // What is less than the least counts as that.
    let mut journal = Journal::open(&folder, Options { max_bytes: 1, ..quick() }).unwrap();
    for round in 0..60 {
        append(&mut journal, 1 + round * 100, 100);
    }
    let kept = all(&folder);
    let (first, last) = (kept.first().unwrap().id, kept.last().unwrap().id);
    assert_eq!(last, 6_000);
    // About 750 bytes each: a little less than a megabyte of them, and not half of it.
    assert!((1_000..1_400).contains(&kept.len()), "{} entries are left", kept.len());
    is_whole(&folder, first - 1, 6_000 - (first - 1));
    let pages: i64 = {
        let connection = rusqlite::Connection::open(folder.file()).unwrap();
        connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
    };
    let length = u64::try_from(pages).unwrap() * 4096;
    let one_append = 100 * 1024;
    assert!(length <= BYTES_MIN + one_append, "the file has {length} bytes");
    // Given more, it keeps more.
    drop(journal);
    let mut journal = Journal::open(&folder, quick()).unwrap();
    append(&mut journal, 6_001, 2_000);
    is_whole(&folder, first - 1, 8_000 - (first - 1));
}

#[test]
fn one_append_stays_though_it_is_more_than_there_is_room_for() {
    let folder = Folder::with(100);
    let mut journal = Journal::open(&folder, Options { max_bytes: BYTES_MIN, ..quick() }).unwrap();
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(60_000));
    let entry = Entry { time: at(101), kind: Kind::Verdict, source: "intake", body: &body };
    journal.append(&[entry; 40]).unwrap();
    assert_eq!(all(&folder).len(), 40);
    is_whole(&folder, 100, 40);
    // The next has it leave.
    journal.append(&[entry]).unwrap();
    let kept = all(&folder).len();
    assert!((10..20).contains(&kept), "{kept} entries are left");
}

#[test]
fn what_is_too_old_leaves_and_not_all_at_once() {
    let folder = Folder::with(5_000);
    let keep = Duration::from_secs(100);
    let mut journal = Journal::open(&folder, Options { keep, ..quick() }).unwrap();
    // One entry a second: those until 4,901 are older than a hundred seconds.
    for (round, removed) in [(1, 1_000), (2, 2_000), (3, 3_000), (4, 4_000), (5, 4_904), (6, 4_905)] {
        append(&mut journal, 5_000 + round, 1);
        is_whole(&folder, removed, 5_000 + round - removed);
    }
    assert_eq!(all(&folder)[0].time, at(4_906));
    assert_eq!(Journal::verify(&folder).unwrap().oldest, Some(at(4_906)));
}
