//! Asking for entries.

use std::collections::VecDeque;

use rusqlite::types::{ToSql, ValueRef};
use rusqlite::{Connection, Row};

use super::file::Place;
use crate::entry::{Kept, Kind, Timestamp};
use crate::error::StoreError;

/// Entries that are read at once: within them the file's content stands still, and they are what is held in memory.
const PART_MAX: u64 = 256;

/// Which of two entries comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// By time, and those of one time by number, descending.
    #[default]
    NewestFirst,
    /// By time, and those of one time by number.
    OldestFirst,
    /// By number: in the order in which they were kept. A clock that was put back does not show in it.
    AsKept,
}

/// Which entries are asked for: those for which all of this holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// From there, exactly.
    pub source: Option<String>,
    /// With this text anywhere in what they say, letter by letter.
    pub text: Option<String>,
    /// Whose object has these keys with these values: texts as they are, numbers as they are written.
    pub fields: Vec<(&'static str, String)>,
    /// With a higher number than this.
    pub after: Option<u64>,
    /// Which come first.
    pub order: Order,
    /// At most so many.
    pub limit: Option<u64>,
}

impl Query {
    /// The statement for the next part behind `last`, and what stands for its parameters.
    fn statement(&self, last: Option<(i64, i64)>, most: u64) -> (String, Vec<Box<dyn ToSql>>) {
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut bind = |value: Box<dyn ToSql>| {
            values.push(value);
            format!("?{}", values.len())
        };
        // Without the index named, SQLite might sort all that there is.
        let index = if self.order == Order::AsKept { "" } else { " INDEXED BY event_time" };
        let mut sql = format!("SELECT id, time, kind, source, body FROM event{index} WHERE ");
        let since = bind(Box::new(self.since.map_or(i64::MIN, Timestamp::unix_nanos)));
        // The last nanosecond before; what is before all time finds nothing.
        let until = self.until.map_or(Some(i64::MAX), |until| until.unix_nanos().checked_sub(1));
        let until = bind(Box::new(until));
        sql += &format!("time >= {since} AND time <= {until}");
        if let Some(kind) = self.kind {
            sql += &format!(" AND kind = {}", bind(Box::new(kind.word())));
        }
        if let Some(source) = &self.source {
            sql += &format!(" AND source = {}", bind(Box::new(source.clone())));
        }
        if let Some(text) = &self.text {
            sql += &format!(" AND instr(body, {}) > 0", bind(Box::new(text.clone())));
        }
        for (key, value) in &self.fields {
            // What somebody else put there may be no JSON: it is not what is looked for, and no reason to stop.
            let (key, value) = (bind(Box::new(*key)), bind(Box::new(value.clone())));
            sql +=
                &format!(" AND CASE WHEN json_valid(body) THEN CAST(body ->> {key} AS TEXT) = {value} END");
        }
        if let Some(after) = self.after {
            sql += &format!(" AND id > {}", bind(Box::new(i64::try_from(after).unwrap_or(i64::MAX))));
        }
        if let Some((time, id)) = last {
            let (time, id) = (bind(Box::new(time)), bind(Box::new(id)));
            sql += &match self.order {
                Order::NewestFirst => format!(" AND (time, id) < ({time}, {id})"),
                Order::OldestFirst => format!(" AND (time, id) > ({time}, {id})"),
                Order::AsKept => format!(" AND id > {id}"),
            };
        }
        sql += match self.order {
            Order::NewestFirst => " ORDER BY time DESC, id DESC",
            Order::OldestFirst => " ORDER BY time, id",
            Order::AsKept => " ORDER BY id",
        };
        sql += &format!(" LIMIT {}", bind(Box::new(i64::try_from(most).unwrap_or(i64::MAX))));
        (sql, values)
    }
}

/// The entries of a query, one after the other.
#[derive(Debug)]
pub struct Reading {
    place: Place,
    connection: Connection,
    query: Query,
    /// Those that are read and not handed out.
    part: VecDeque<Kept>,
    /// Time and number of the last one that was read.
    last: Option<(i64, i64)>,
    /// How many may yet be read.
    left: u64,
}

impl Reading {
    pub(super) fn begin(place: Place, query: &Query) -> Result<Reading, StoreError> {
        let connection = place.open_to_read()?;
        let (query, left) = (query.clone(), query.limit.unwrap_or(u64::MAX));
        let mut reading = Reading { place, connection, query, part: VecDeque::new(), last: None, left };
        // So that a file that cannot be read is told here.
        reading.next_part()?;
        Ok(reading)
    }

    fn next_part(&mut self) -> Result<(), StoreError> {
        let most = self.left.min(PART_MAX);
        if most == 0 {
            return Ok(());
        }
        let (sql, values) = self.query.statement(self.last, most);
        let mut read = || -> rusqlite::Result<u64> {
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query(rusqlite::params_from_iter(values.iter()))?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let kept = kept(row)?;
                self.last = Some((kept.time.unix_nanos(), row.get(0)?));
                self.part.push_back(kept);
                count += 1;
            }
            Ok(count)
        };
        let count = read().map_err(|error| self.place.while_reading(error))?;
        self.left = if count < most { 0 } else { self.left - count };
        Ok(())
    }
}

impl Iterator for Reading {
    type Item = Result<Kept, StoreError>;

    /// After an error nothing more comes.
    fn next(&mut self) -> Option<Self::Item> {
        if self.part.is_empty()
            && self.left > 0
            && let Err(error) = self.next_part()
        {
            self.left = 0;
            self.part.clear();
            return Some(Err(error));
        }
        self.part.pop_front().map(Ok)
    }
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let text = |column| match row.get_ref(column)? {
        // Bytes that are no text were put there by somebody else, as `verify` says.
        ValueRef::Text(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        other => Err(rusqlite::Error::InvalidColumnType(column, "text".into(), other.data_type())),
    };
    let (id, word): (i64, String) = (row.get(0)?, text(2)?);
    let kind = Kind::of_word(&word).ok_or_else(|| {
        let error = format!("entry {id} is of a kind `{word}`, which is not known").into();
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, error)
    })?;
    Ok(Kept {
        id: u64::try_from(id).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, id))?,
        time: Timestamp::from_unix_nanos(row.get(1)?),
        kind,
        source: text(3)?,
        body: text(4)?,
    })
}
