//! The chain of hashes.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::entry::Timestamp;

/// SHA-256 of an entry and of what is in front of it.
pub(super) type Hash = [u8; 32];

/// What an entry is sealed by: its fields as they stand in the file.
pub(super) struct Fields<'f> {
    pub(super) id: i64,
    pub(super) time: i64,
    pub(super) kind: &'f [u8],
    pub(super) source: &'f [u8],
    pub(super) body: &'f [u8],
}

impl Fields<'_> {
    /// The hash of this entry behind one with the hash `before`.
    pub(super) fn seal(&self, before: &Hash) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(before);
        context.update(&self.id.to_be_bytes());
        context.update(&self.time.to_be_bytes());
        for text in [self.kind, self.source, self.body] {
            // Texts have limits that are far below; one that a stranger made longer seals as something else, and is seen.
            context.update(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            context.update(text);
        }
        let mut hash = [0; 32];
        for (byte, of) in hash.iter_mut().zip(context.finish().as_ref()) {
            *byte = *of;
        }
        hash
    }
}

/// One end of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End {
    pub(super) id: i64,
    pub(super) hash: Hash,
}

impl End {
    /// `removed` or `head`.
    pub(super) fn of(connection: &Connection, mark: &str) -> rusqlite::Result<End> {
        connection.query_row("SELECT id, hash FROM chain WHERE mark = ?1", [mark], |row| {
            Ok(End { id: row.get(0)?, hash: row.get(1)? })
        })
    }
}

/// What came of walking along a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// Entries that have left because of [`Options`](super::Options); the chain begins behind them.
    pub removed: u64,
    /// Entries that were walked along: all of them, or those in front of the breach.
    pub entries: u64,
    /// When the first of them happened.
    pub oldest: Option<Timestamp>,
    /// The hash of the last of them. Who keeps it elsewhere will know later whether somebody made a new chain.
    pub hash: [u8; 32],
    /// Where the chain is broken first.
    pub breach: Option<Breach>,
}

impl Verified {
    /// The number of the last entry that was walked along.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.removed.saturating_add(self.entries)
    }

    /// [`Verified::hash`] in hexadecimal.
    #[must_use]
    pub fn hash_text(&self) -> String {
        self.hash.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The first place at which a chain is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Breach {
    /// The number of the entry.
    pub id: u64,
    /// What happened to it.
    pub what: Tampering,
}

/// What happened to an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tampering {
    /// It is not what was kept, or does not stand behind what it stood behind.
    Changed,
    /// It is not there.
    Missing,
    /// It is one that the journal did not keep.
    Inserted,
}

impl Tampering {
    /// As a word that scripts rely on.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Tampering::Changed => "changed",
            Tampering::Missing => "missing",
            Tampering::Inserted => "inserted",
        }
    }
}

/// Walks along the chain, within one transaction: others may write meanwhile.
pub(super) fn verify(connection: &Connection) -> rusqlite::Result<Verified> {
    let transaction = connection.unchecked_transaction()?;
    let (removed, head) = (End::of(&transaction, "removed")?, End::of(&transaction, "head")?);
    let (mut last, mut entries, mut oldest, mut breach) = (removed, 0, None, None);
    let mut statement =
        transaction.prepare("SELECT id, time, kind, source, body, hash FROM event ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let next = last.id.saturating_add(1);
        let found = if id <= last.id || id > head.id {
            Err((id, Tampering::Inserted))
        } else if id > next {
            Err((next, Tampering::Missing))
        } else {
            // What is not even of its type was changed.
            sealed(row, id, &last.hash).ok_or((id, Tampering::Changed))
        };
        match found {
            Ok(hash) => last = End { id, hash },
            Err(broken) => {
                breach = Some(broken);
                break;
            }
        }
        entries += 1;
        oldest = oldest.or(Some(Timestamp::from_unix_nanos(row.get(1)?)));
    }
    if breach.is_none() && last != head {
        // One that is gone from the end, or a mark that somebody turned back: then the entry is not the last that was kept.
        breach = Some(if last.id < head.id {
            (last.id.saturating_add(1), Tampering::Missing)
        } else {
            (last.id, Tampering::Changed)
        });
    }
    let number = |id: i64| u64::try_from(id).unwrap_or(0);
    Ok(Verified {
        removed: number(removed.id),
        entries,
        oldest,
        hash: last.hash,
        breach: breach.map(|(id, what)| Breach { id: number(id), what }),
    })
}

/// The hash of an entry, if it is the one that stands there.
fn sealed(row: &Row<'_>, id: i64, before: &Hash) -> Option<Hash> {
    let text = |column| match row.get_ref(column) {
        Ok(ValueRef::Text(text)) => Some(text),
        _ => None,
    };
    let fields = Fields { id, time: row.get(1).ok()?, kind: text(2)?, source: text(3)?, body: text(4)? };
    let hash: Hash = row.get(5).ok()?;
    (fields.seal(before) == hash).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What docs/journal.md shows, computed by another program:
    /// `printf ... | sha256sum` over zeros, 1, 2, `audit`, `a`, `{}` in the encoding of the module's documentation.
    #[test]
    fn the_encoding_is_the_documented_one() {
        let fields = Fields { id: 1, time: 2, kind: b"audit", source: b"a", body: b"{}" };
        let mut bytes = vec![0; 32];
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        bytes.extend(b"\0\0\0\x05audit\0\0\0\x01a\0\0\0\x02{}");
        assert_eq!(fields.seal(&[0; 32]), ring::digest::digest(&SHA256, &bytes).as_ref());
        // Where one text ends and the next begins is part of it.
        let other = Fields { id: 1, time: 2, kind: b"audita", source: b"", body: b"{}" };
        assert_ne!(fields.seal(&[0; 32]), other.seal(&[0; 32]));
        assert_ne!(fields.seal(&[0; 32]), fields.seal(&[1; 32]));
    }
}
