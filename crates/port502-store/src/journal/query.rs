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

/// A stretch of the entries that a query is about.
struct Stretch {
    /// The first and the last time.
    times: (i64, i64),
    /// Behind this number, in the order of the query.
    behind: Option<i64>,
}

impl Query {
    /// What is still to be looked at behind `last`, of which time and number are given.
    ///
    /// Of those that are of the same time as the last one some may be left, and they are a stretch of their own: only so
    /// SQLite begins in both where it ended, and does not look again at what is in front of it.
    fn stretches(&self, last: Option<(i64, i64)>) -> Vec<Stretch> {
        let first = self.since.map_or(i64::MIN, Timestamp::unix_nanos);
        // The last nanosecond before; before all time there is none.
        let until = self.until.map_or(Some(i64::MAX), |until| until.unix_nanos().checked_sub(1));
        let stretch = |first: Option<i64>, last: Option<i64>, behind| {
            Some(Stretch { times: (first?, last?), behind })
                .filter(|stretch| stretch.times.0 <= stretch.times.1)
        };
        let same = |(time, id)| stretch(Some(time), Some(time), Some(id));
        let (one, two) = match (self.order, last) {
            (_, None) => (stretch(Some(first), until, None), None),
            (Order::AsKept, Some((_, id))) => (stretch(Some(first), until, Some(id)), None),
            (Order::NewestFirst, Some(last)) => {
                (same(last), stretch(Some(first), last.0.checked_sub(1), None))
            }
            (Order::OldestFirst, Some(last)) => (same(last), stretch(last.0.checked_add(1), until, None)),
        };
        one.into_iter().chain(two).collect()
    }

    /// The statement for the first entries of a stretch, and what stands for its parameters.
    fn statement(&self, stretch: &Stretch, most: u64) -> (String, Vec<Box<dyn ToSql>>) {
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut bind = |value: Box<dyn ToSql>| {
            values.push(value);
            format!("?{}", values.len())
        };
        // Left to itself, SQLite might sort all that there is, or take the times for narrower than the numbers.
        let index = if self.order == Order::AsKept { "NOT INDEXED" } else { "INDEXED BY event_time" };
        let mut sql = format!("SELECT id, time, kind, source, body FROM event {index} WHERE ");
        let (first, last) = stretch.times;
        sql += &if first == last {
            format!("time = {}", bind(Box::new(first)))
        } else {
            format!("time >= {} AND time <= {}", bind(Box::new(first)), bind(Box::new(last)))
        };
        if let Some(behind) = stretch.behind {
            let than = if self.order == Order::NewestFirst { '<' } else { '>' };
            sql += &format!(" AND id {than} {}", bind(Box::new(behind)));
        }
        if let Some(after) = self.after {
            sql += &format!(" AND id > {}", bind(Box::new(i64::try_from(after).unwrap_or(i64::MAX))));
        }
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
        let stretches = self.query.stretches(self.last);
        let mut read = || -> rusqlite::Result<u64> {
            // One moment for all of them.
            let transaction = self.connection.unchecked_transaction()?;
            let mut count = 0;
            for stretch in &stretches {
                let (sql, values) = self.query.statement(stretch, most - count);
                let mut statement = transaction.prepare(&sql)?;
                let mut rows = statement.query(rusqlite::params_from_iter(values.iter()))?;
                while let Some(row) = rows.next()? {
                    let kept = kept(row)?;
                    self.last = Some((kept.time.unix_nanos(), row.get(0)?));
                    self.part.push_back(kept);
                    count += 1;
                }
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

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::super::file::SCHEMA;
    use super::*;

    /// Reads so many entries in parts, and says what the dearest part cost of SQLite's steps.
    fn dearest_part(same_time: bool, query: &Query, want: usize) -> i32 {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let time = if same_time { "7" } else { "n" };
        let fill = format!(
            "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 20000)
             INSERT INTO event SELECT n, {time}, 'alarm', 'tank', '{{}}', zeroblob(32) FROM number"
        );
        connection.execute_batch(&fill).unwrap();
        let (mut last, mut count, mut dearest) = (None, 0, 0);
        loop {
            let (mut part, mut steps) = (0, 0);
            for stretch in query.stretches(last) {
                let (sql, values) = query.statement(&stretch, PART_MAX - part);
                let mut statement = connection.prepare(&sql).unwrap();
                let mut rows = statement.query(rusqlite::params_from_iter(values.iter())).unwrap();
                while let Some(row) = rows.next().unwrap() {
                    last = Some((row.get(1).unwrap(), row.get(0).unwrap()));
                    part += 1;
                }
                drop(rows);
                steps += statement.get_status(StatementStatus::VmStep);
            }
            dearest = dearest.max(steps);
            count += usize::try_from(part).unwrap();
            if part < PART_MAX {
                assert_eq!(count, want, "{query:?}");
                return dearest;
            }
        }
    }

    /// Where a part looks again at what is in front of it, the last one of 20,000 entries costs eighty times the first.
    #[test]
    fn no_part_costs_more_than_its_entries() {
        for order in [Order::NewestFirst, Order::OldestFirst, Order::AsKept] {
            for same_time in [false, true] {
                for (after, want) in [(None, 20_000), (Some(19_000), 1_000)] {
                    let query = Query { order, after, ..Query::default() };
                    let steps = dearest_part(same_time, &query, want);
                    // An end that `after` cuts off is looked for among all that there is, unless numbers are the order.
                    let most = if after.is_some() && order != Order::AsKept { 200_000 } else { 20 * 256 };
                    assert!(steps < most, "{order:?}, same time {same_time}: {steps} steps");
                }
            }
        }
    }
}
