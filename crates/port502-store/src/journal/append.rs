//! Keeping entries, and letting the oldest go.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::chain::{End, Fields};
use super::{BYTES_MIN, Options};
use crate::entry::Entry;

/// When the file is as long as it may be, this part of it leaves at once: so that not every append removes something,
/// and none of them takes long.
const TRIMMED_PART: u64 = 64;

/// Entries that one append removes because they are too old. A clock that is wrong for a moment and says 2106 shall not
/// take the whole journal with it.
const EXPIRED_MAX: i64 = 1_000;

/// One transaction: the entries, the end of the chain, and what leaves for them.
pub(super) fn append(
    connection: &mut Connection,
    entries: &[Entry<'_>],
    options: &Options,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read anew each time: it is what is in the file that is continued, whoever put it there.
    let before = End::of(&transaction, "head")?;
    let mut head = before;
    {
        let mut insert = transaction.prepare(
            "INSERT INTO event (id, time, kind, source, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for entry in entries {
            let (id, time, kind) = (head.id + 1, entry.time.unix_nanos(), entry.kind.word());
            let fields = Fields {
                id,
                time,
                kind: kind.as_bytes(),
                source: entry.source.as_bytes(),
                body: entry.body.as_bytes(),
            };
            head = End { id, hash: fields.seal(&head.hash) };
            insert.execute(params![id, time, kind, entry.source, entry.body, head.hash])?;
        }
    }
    mark(&transaction, "head", head)?;
    // The entries of this append stay, whatever the limits are.
    let newest = entries.iter().map(|entry| entry.time.unix_nanos()).max().unwrap_or_default();
    let keep = i64::try_from(options.keep.as_nanos()).unwrap_or(i64::MAX);
    expire(&transaction, newest.saturating_sub(keep), before.id)?;
    trim(&transaction, options.max_bytes.max(BYTES_MIN), before.id)?;
    transaction.commit()
}

fn mark(transaction: &Transaction<'_>, mark: &str, end: End) -> rusqlite::Result<()> {
    let sql = "UPDATE chain SET id = ?2, hash = ?3 WHERE mark = ?1";
    match transaction.execute(sql, params![mark, end.id, end.hash])? {
        1 => Ok(()),
        _ => Err(rusqlite::Error::QueryReturnedNoRows),
    }
}

/// Removes the oldest entries up to this one. False where there is none: somebody else removed them.
fn remove_through(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT id, hash FROM event WHERE id <= ?1 ORDER BY id DESC LIMIT 1";
    let last =
        transaction.query_row(sql, [id], |row| Ok(End { id: row.get(0)?, hash: row.get(1)? })).optional()?;
    let Some(last) = last else { return Ok(false) };
    // First the mark, which says what may leave: see the trigger.
    mark(transaction, "removed", last)?;
    transaction.execute("DELETE FROM event WHERE id <= ?1", [last.id])?;
    Ok(true)
}

/// Removes what is older than `oldest`, up to the entry `last`.
fn expire(transaction: &Transaction<'_>, oldest: i64, last: i64) -> rusqlite::Result<()> {
    let removed = End::of(transaction, "removed")?.id;
    let last = last.min(removed.saturating_add(EXPIRED_MAX));
    // The first that stays. Mostly it is the first of all, and nothing more is looked at.
    let sql = "SELECT id FROM event WHERE id > ?1 AND id <= ?2 AND +time >= ?3 ORDER BY id LIMIT 1";
    let mut statement = transaction.prepare(sql)?;
    let mut stays = statement.query(params![removed, last, oldest])?;
    let through = match stays.next()? {
        Some(row) => row.get::<_, i64>(0)? - 1,
        None => last,
    };
    drop(stays);
    if through > removed {
        remove_through(transaction, through)?;
    }
    Ok(())
}

/// Removes the oldest entries, up to the entry `last`, until the file is no longer than it may be.
fn trim(transaction: &Transaction<'_>, max_bytes: u64, last: i64) -> rusqlite::Result<()> {
    let pragma = |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let used = || Ok::<_, rusqlite::Error>(pragma("page_count")? - pragma("freelist_count")?);
    let most = i64::try_from(max_bytes).unwrap_or(i64::MAX) / pragma("page_size")?.max(1);
    if used()? <= most {
        return Ok(());
    }
    let wanted = most - (most / i64::try_from(TRIMMED_PART).unwrap_or(1)).max(1);
    loop {
        let removed = End::of(transaction, "removed")?.id;
        let (used, entries) = (used()?, last - removed);
        if used <= wanted || entries <= 0 {
            return Ok(());
        }
        // As if all were of the same length; what is then still too much leaves in the next round.
        let part = i128::from(entries) * i128::from(used - wanted) / i128::from(used.max(1));
        let part = i64::try_from(part).unwrap_or(entries).clamp(1, entries);
        if !remove_through(transaction, removed + part)? {
            return Ok(());
        }
    }
}
