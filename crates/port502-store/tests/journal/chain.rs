use std::process::{Command, Stdio};

use port502_store::{Breach, Journal, Tampering};
use rusqlite::Connection;

use crate::support::{Folder, append, is_whole, quick};

/// Another hand at the file, whose triggers do not stop it.
fn tamper(folder: &Folder, sql: &str) {
    let connection = Connection::open(folder.file()).unwrap();
    let triggers = "DROP TRIGGER event_is_not_changed; DROP TRIGGER event_leaves_in_order;";
    connection.execute_batch(&format!("{triggers}{sql}")).unwrap();
}

#[track_caller]
fn check(sql: &str, id: u64, what: Tampering, entries: u64) {
    let folder = Folder::with(20);
    tamper(&folder, sql);
    let verified = Journal::verify(&folder).unwrap();
    assert_eq!((verified.breach, verified.entries), (Some(Breach { id, what }), entries), "{sql}");
}

#[test]
fn whatever_is_changed_is_found_at_the_first_place() {
    use Tampering::{Changed, Inserted, Missing};
    let field = |field: &str, value: &str| format!("UPDATE event SET {field} = {value} WHERE id = 7");
    check(&field("body", "replace(body, 'refused', 'alerted')"), 7, Changed, 6);
    check(&field("body", "CAST(x'ff' AS TEXT)"), 7, Changed, 6);
    check(&field("time", "time + 1"), 7, Changed, 6);
    check(&field("kind", "'finding'"), 7, Changed, 6);
    check(&field("source", "'intak'"), 7, Changed, 6);
    check(&field("hash", "zeroblob(32)"), 7, Changed, 6);
    check(&field("hash", "x'00'"), 7, Changed, 6);
    check("UPDATE event SET body = body || ' ' WHERE id IN (1, 9)", 1, Changed, 0);
    check("UPDATE event SET body = body || ' ' WHERE id = 20", 20, Changed, 19);
    // Letters that move from one field to the next.
    check("UPDATE event SET kind = 'verdicti', source = 'ntake' WHERE id = 3", 3, Changed, 2);
    // Two that change places.
    check(
        "UPDATE event SET id = 99 WHERE id = 4; UPDATE event SET id = 4 WHERE id = 5; UPDATE event SET id = 5 WHERE id = 99",
        4,
        Changed,
        3,
    );
    check("DELETE FROM event WHERE id = 7", 7, Missing, 6);
    check("DELETE FROM event WHERE id = 1", 1, Missing, 0);
    check("DELETE FROM event WHERE id > 15", 16, Missing, 15);
    check("DELETE FROM event", 1, Missing, 0);
    // Taken out, and the numbers closed up.
    check("DELETE FROM event WHERE id = 7; UPDATE event SET id = id - 1 WHERE id > 7", 7, Changed, 6);
    check(
        "INSERT INTO event SELECT 21, time, kind, source, body, hash FROM event WHERE id = 20",
        21,
        Inserted,
        20,
    );
    check(
        "INSERT INTO event SELECT 0, time, kind, source, body, hash FROM event WHERE id = 20",
        0,
        Inserted,
        0,
    );
    check(
        "INSERT INTO event SELECT -5, time, kind, source, body, hash FROM event WHERE id = 20",
        0,
        Inserted,
        0,
    );
    // The marks.
    check("UPDATE chain SET id = 3 WHERE mark = 'removed'", 1, Inserted, 0);
    check("UPDATE chain SET hash = zeroblob(32) WHERE mark = 'head'", 20, Changed, 20);
    check("UPDATE chain SET id = 10 WHERE mark = 'head'", 11, Inserted, 10);
}

#[test]
fn a_file_says_itself_that_it_is_not_to_be_changed() {
    let folder = Folder::with(20);
    let connection = Connection::open(folder.file()).unwrap();
    for (sql, word) in [
        ("UPDATE event SET body = '{}' WHERE id = 3", "not changed"),
        ("DELETE FROM event WHERE id = 1", "only the oldest leave"),
        ("DELETE FROM event", "only the oldest leave"),
    ] {
        let error = connection.execute_batch(sql).unwrap_err().to_string();
        assert!(error.contains(word), "{sql}: {error}");
    }
    is_whole(&folder, 0, 20);
}

#[test]
fn the_last_hash_tells_a_chain_that_was_made_anew() {
    let (one, same, other) = (Folder::with(20), Folder::with(20), Folder::with(20));
    append(&mut Journal::open(&other, quick()).unwrap(), 22, 1);
    let hash = |folder: &Folder| Journal::verify(folder).unwrap().hash_text();
    assert_eq!(hash(&one), hash(&same));
    assert_ne!(hash(&one), hash(&other));
    append(&mut Journal::open(&one, quick()).unwrap(), 21, 1);
    assert_ne!(hash(&one), hash(&other));
}

/// The script that docs/journal.md gives auditors comes to the same, with another SQLite and another SHA-256.
#[test]
fn the_documented_script_agrees() {
    let text = include_str!("../../../../docs/journal.md");
    let script = text.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let run = |folder: &Folder| {
        let mut child = Command::new("python3")
            .arg("-c")
            .arg(script)
            .arg(folder.file())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut out = String::new();
        std::io::Read::read_to_string(&mut child.stdout.take()?, &mut out).ok()?;
        Some((child.wait().ok()?.success(), out.trim().to_owned()))
    };
    let folder = Folder::with(50);
    let Some(ran) = run(&folder) else {
        eprintln!("skipped: there is no python3 here to run the script of docs/journal.md with");
        return;
    };
    let hash = Journal::verify(&folder).unwrap().hash_text();
    assert_eq!(ran, (true, format!("whole: 50 entries, the last with {hash}")));
    tamper(&folder, "UPDATE event SET body = '{}' WHERE id = 30");
    assert_eq!(run(&folder), Some((false, "broken at entry 30".to_owned())));
    // And behind entries that have left.
    let folder = Folder::fresh();
    let options = port502_store::Options { keep: std::time::Duration::from_secs(5), ..quick() };
    append(&mut Journal::open(&folder, options.clone()).unwrap(), 1, 50);
    append(&mut Journal::open(&folder, options).unwrap(), 51, 1);
    let verified = Journal::verify(&folder).unwrap();
    assert_eq!((verified.removed, verified.entries, verified.breach), (45, 6, None));
    assert_eq!(
        run(&folder),
        Some((true, format!("whole: 6 entries, the last with {}", verified.hash_text())))
    );
}
