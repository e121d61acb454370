use std::path::PathBuf;

use port502_store::journal::APPEND_MAX;
use port502_store::{
    BODY_MAX, Durable, Entry, EntryFault, Journal, Kind, Options, Order, Query, StoreError, Timestamp,
};

use crate::support::{Folder, all, append, at, body, is_whole, quick, read};

#[test]
fn what_is_appended_is_kept_and_numbered() {
    let folder = Folder::fresh();
    let mut journal = Journal::open(&folder, Options::default()).unwrap();
    is_whole(&folder, 0, 0);
    assert_eq!((all(&folder), Journal::last(&folder)), (vec![], Ok(0)));
    let (first, second) = (body(1), body(2));
    journal
        .append(&[
            Entry { time: at(1), kind: Kind::Verdict, source: "intake", body: &first },
            Entry { time: at(2), kind: Kind::Audit, source: "", body: &second },
        ])
        .unwrap();
    journal.append(&[]).unwrap();
    drop(journal);
    // Opened again, it goes on.
    let mut journal = Journal::open(&folder, Options::default()).unwrap();
    let odd = Entry {
        time: Timestamp::from_unix_nanos(i64::MIN),
        kind: Kind::Finding,
        source: "käse '; DROP TABLE event",
        body: r#"{"text":"\"'\u0000 ünicode"}"#,
    };
    journal.append(&[odd]).unwrap();
    let kept = all(&folder);
    let fields = |at: usize| {
        let kept = &kept[at];
        (kept.id, kept.time, kept.kind, kept.source.as_str(), kept.body.as_str())
    };
    assert_eq!(fields(0), (1, at(1), Kind::Verdict, "intake", first.as_str()));
    assert_eq!(fields(1), (2, at(2), Kind::Audit, "", second.as_str()));
    assert_eq!(fields(2), (3, odd.time, odd.kind, odd.source, odd.body));
    assert_eq!((kept.len(), Journal::last(&folder)), (3, Ok(3)));
    is_whole(&folder, 0, 3);
}

#[test]
fn one_bad_entry_keeps_all_others_out() {
    let folder = Folder::with(1);
    let mut journal = Journal::open(&folder, quick()).unwrap();
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(BODY_MAX));
    let good = Entry { time: at(2), kind: Kind::Alarm, source: "tank", body: "{}" };
    for (body, fault) in [
        (long.as_str(), EntryFault::BodyTooLong { length: long.len() }),
        ("no JSON", EntryFault::NoObject),
        (r#"{"id":7}"#, EntryFault::HasId),
    ] {
        let error = journal.append(&[good, Entry { body, ..good }, good]).unwrap_err();
        assert_eq!(error, StoreError::Entry { index: 1, fault });
    }
    let count = APPEND_MAX + 1;
    assert_eq!(journal.append(&vec![good; count]), Err(StoreError::TooMany { count }));
    is_whole(&folder, 0, 1);
    journal.append(&vec![good; APPEND_MAX]).unwrap();
    is_whole(&folder, 0, 1 + APPEND_MAX as u64);
}

#[test]
fn there_is_one_writer_and_it_has_a_name() {
    let folder = Folder::fresh();
    let options = Options { holder: "port502\n guard intake".into(), ..quick() };
    let first = Journal::open(&folder, options).unwrap();
    let error = Journal::open(&folder, quick()).unwrap_err();
    let lock = folder.join("journal.lock");
    let by = format!("process {} (port502 guard intake)", std::process::id());
    assert_eq!(error, StoreError::Held { path: lock.clone(), by: by.clone() });
    let want =
        format!("{}: {by} writes this journal already; end that, or name another folder", lock.display());
    assert_eq!(error.to_string(), want);
    drop(first);
    let options = Options { holder: "ü".repeat(300), ..quick() };
    let first = Journal::open(&folder, options).unwrap();
    let error = Journal::open(&folder, quick()).unwrap_err();
    let by = format!("process {} ({})", std::process::id(), "ü".repeat(64));
    assert_eq!(error, StoreError::Held { path: lock, by });
    drop(first);
    // The file of the lock is still there, and holds nobody up.
    Journal::open(&folder, quick()).unwrap();
}

#[test]
fn reading_goes_on_while_somebody_writes_and_holds_nothing() {
    let folder = Folder::with(2_000);
    let mut journal = Journal::open(&folder, quick()).unwrap();
    let query = Query { order: Order::AsKept, ..Query::default() };
    let mut slow = Journal::read(&folder, &query).unwrap();
    assert_eq!(slow.next().unwrap().unwrap().id, 1);
    let log = PathBuf::from(format!("{}-wal", folder.file().display()));
    for round in 0..80 {
        append(&mut journal, 2_001 + round * 200, 200);
        // Sixteen megabytes are written in all. A reader that held on to what it saw first would keep all of it there.
        let length = std::fs::metadata(&log).unwrap().len();
        assert!(length < 6 << 20, "the log has {length} bytes in round {round}");
        assert_eq!(slow.next().unwrap().unwrap().id, round + 2);
    }
    // It sees what has come meanwhile.
    assert_eq!(slow.map(|kept| kept.unwrap().id).last(), Some(18_000));
}

#[test]
fn entries_that_leave_while_they_are_read_are_passed_over() {
    let folder = Folder::with(1_000);
    let mut reading = Journal::read(&folder, &Query { order: Order::AsKept, ..Query::default() }).unwrap();
    assert_eq!(reading.next().unwrap().unwrap().id, 1);
    let keep = std::time::Duration::from_secs(10);
    let mut journal = Journal::open(&folder, Options { keep, ..quick() }).unwrap();
    append(&mut journal, 1_001, 1);
    // What was read ahead, and then what is left.
    let ids: Vec<u64> = reading.map(|kept| kept.unwrap().id).collect();
    let want: Vec<u64> = (2..=256).chain(991..=1_001).collect();
    assert_eq!(ids, want);
}

#[test]
fn a_file_that_is_removed_or_replaced_is_noticed() {
    let folder = Folder::with(3);
    let mut journal = Journal::open(&folder, quick()).unwrap();
    append(&mut journal, 4, 1);
    std::fs::rename(folder.file(), folder.join("aside.db")).unwrap();
    let entry = Entry { time: at(5), kind: Kind::Audit, source: "admin", body: "{}" };
    if cfg!(unix) {
        assert_eq!(journal.append(&[entry]), Err(StoreError::Gone { path: folder.file() }));
    }
    // Told once; then it is kept, in a journal of its own.
    journal.append(&[entry]).unwrap();
    assert_eq!(all(&folder).iter().map(|kept| kept.id).collect::<Vec<_>>(), [1]);
    is_whole(&folder, 0, 1);
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_moved_away_is_made_anew_and_held() {
    let (folder, aside) = (Folder::with(3), Folder::fresh());
    let mut journal = Journal::open(&folder, quick()).unwrap();
    std::fs::rename(&*folder, &*aside).unwrap();
    let entry = Entry { time: at(5), kind: Kind::Audit, source: "admin", body: "{}" };
    assert_eq!(journal.append(&[entry]), Err(StoreError::Gone { path: folder.file() }));
    journal.append(&[entry]).unwrap();
    is_whole(&folder, 0, 1);
    is_whole(&aside, 0, 3);
    let error = Journal::open(&folder, quick()).unwrap_err();
    assert!(matches!(error, StoreError::Held { .. }), "{error:?}");
    Journal::open(&aside, quick()).unwrap();
}

/// The last who closes a journal removes SQLite's files beside it: who opens it just then must not stumble.
#[test]
fn readers_come_and_go_while_writers_do() {
    let folder = Folder::with(1);
    let reader = std::thread::spawn({
        let folder = folder.to_owned();
        move || {
            let mut seen = 0;
            while seen < 151 {
                let last = Journal::last(&folder).unwrap();
                let query = Query { after: Some(seen), order: Order::AsKept, ..Query::default() };
                for (kept, id) in Journal::read(&folder, &query).unwrap().zip(seen + 1..) {
                    assert_eq!(kept.unwrap().id, id);
                    seen = id;
                }
                assert!(seen >= last);
            }
        }
    });
    for number in 2..=151 {
        append(&mut Journal::open(&folder, quick()).unwrap(), number, 1);
    }
    reader.join().unwrap();
    is_whole(&folder, 0, 151);
}

#[test]
fn what_another_program_locks_is_waited_for_and_then_told() {
    let folder = Folder::with(3);
    let mut journal = Journal::open(&folder, quick()).unwrap();
    let other = rusqlite::Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let entry = Entry { time: at(4), kind: Kind::Audit, source: "admin", body: "{}" };
    assert_eq!(journal.append(&[entry]), Err(StoreError::Busy { path: folder.file() }));
    other.execute_batch("ROLLBACK").unwrap();
    journal.append(&[entry]).unwrap();
    is_whole(&folder, 0, 4);
}

#[test]
fn a_journal_can_go_to_the_thread_that_owns_it() {
    fn goes<T: Send>(_: &T) {}
    let folder = Folder::with(1);
    goes(&Journal::open(&folder, Options { durable: Durable::PowerCut, ..quick() }).unwrap());
    goes(&Journal::read(&folder, &Query::default()).unwrap());
}

#[test]
fn queries_find_what_they_ask_for() {
    let folder = Folder::fresh();
    let mut journal = Journal::open(&folder, quick()).unwrap();
    append(&mut journal, 1, 600);
    let entry = |second, kind, source, body| Entry { time: at(second), kind, source, body };
    journal
        .append(&[
            entry(601, Kind::Alarm, "tank", r#"{"text":"Level 50% high","port":502,"on":true}"#),
            // A clock that was put back.
            entry(10, Kind::Audit, "admin", r#"{"what":"clock set","port":"502"}"#),
        ])
        .unwrap();
    const NOTHING: [u64; 0] = [];
    let ids = |query: Query| read(&folder, &query).iter().map(|kept| kept.id).collect::<Vec<_>>();
    let every = Query::default;
    let field = |key, value: &str| Query { fields: vec![(key, value.to_owned())], ..every() };

    let newest: Vec<u64> =
        [601].into_iter().chain((11..=600).rev()).chain([602]).chain((1..=10).rev()).collect();
    assert_eq!(ids(every()), newest);
    let oldest: Vec<u64> = newest.iter().rev().copied().collect();
    assert_eq!(ids(Query { order: Order::OldestFirst, ..every() }), oldest);
    assert_eq!(ids(Query { order: Order::AsKept, ..every() }), (1..=602).collect::<Vec<_>>());
    assert_eq!(ids(Query { limit: Some(3), ..every() }), [601, 600, 599]);
    assert_eq!(ids(Query { limit: Some(300), ..every() }), newest[..300]);
    assert_eq!(ids(Query { limit: Some(256), ..every() }), newest[..256]);
    assert_eq!(ids(Query { limit: Some(0), ..every() }), NOTHING);
    // From, and before.
    assert_eq!(ids(Query { since: Some(at(599)), ..every() }), [601, 600, 599]);
    assert_eq!(ids(Query { until: Some(at(3)), ..every() }), [2, 1]);
    assert_eq!(ids(Query { since: Some(at(9)), until: Some(at(11)), ..every() }), [602, 10, 9]);
    assert_eq!(ids(Query { until: Some(Timestamp::from_unix_nanos(i64::MIN)), ..every() }), NOTHING);
    assert_eq!(ids(Query { kind: Some(Kind::Alarm), ..every() }), [601]);
    assert_eq!(ids(Query { source: Some("admin".into()), ..every() }), [602]);
    assert_eq!(ids(Query { source: Some("adm".into()), ..every() }), NOTHING);
    // Letters are what they are: no wildcard, no case.
    assert_eq!(ids(Query { text: Some("50% high".into()), ..every() }), [601]);
    assert_eq!(ids(Query { text: Some("50_ high".into()), ..every() }), NOTHING);
    assert_eq!(ids(Query { text: Some("LEVEL".into()), ..every() }), NOTHING);
    assert_eq!(ids(field("port", "502")), [601, 602]);
    assert_eq!(ids(field("number", "17")), [17]);
    assert_eq!(ids(field("nothing", "17")), NOTHING);
    let both = Query { fields: vec![("client", "10.20.0.7".into()), ("reason", "limits".into())], ..every() };
    assert_eq!(ids(both), [7]);
    let after = Query { after: Some(599), order: Order::AsKept, ..every() };
    assert_eq!(ids(after), [600, 601, 602]);
    assert_eq!(ids(Query { after: Some(u64::MAX), order: Order::AsKept, ..every() }), NOTHING);
}

#[test]
fn many_of_one_time_come_each_once_and_in_order() {
    let folder = Folder::fresh();
    let mut journal = Journal::open(&folder, quick()).unwrap();
    // 300 of a second, 1,000 of the next, 300 of the first again.
    for (second, count) in [(1, 300), (2, 1_000), (1, 300)] {
        let entry = Entry { time: at(second), kind: Kind::Alarm, source: "tank", body: "{}" };
        journal.append(&vec![entry; count]).unwrap();
    }
    let ids =
        |order| read(&folder, &Query { order, ..Query::default() }).iter().map(|kept| kept.id).collect();
    let oldest: Vec<u64> = (1..=300).chain(1_301..=1_600).chain(301..=1_300).collect();
    let kept: Vec<u64> = ids(Order::OldestFirst);
    assert_eq!(kept, oldest);
    let mut kept: Vec<u64> = ids(Order::NewestFirst);
    kept.reverse();
    assert_eq!(kept, oldest);
    let kept: Vec<u64> = ids(Order::AsKept);
    assert_eq!(kept, (1..=1_600).collect::<Vec<_>>());
}
