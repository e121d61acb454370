//! One entry, as it is given and as it is kept.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};

/// Bytes of what an entry says. A firewall's record has 8,192 at most.
pub const BODY_MAX: usize = 65_536;

/// Bytes of the name of what an entry is from.
pub const SOURCE_MAX: usize = 256;

/// A moment: nanoseconds since 1970-01-01, UTC. It reaches from the year 1677 to 2262.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// So many nanoseconds after the beginning of 1970; before it, if negative.
    #[must_use]
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        Timestamp(nanos)
    }

    /// The same number.
    #[must_use]
    pub const fn unix_nanos(self) -> i64 {
        self.0
    }
}

/// A clock outside of these years counts as the nearest of them.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Timestamp(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| nanos.saturating_neg())
            }
        })
    }
}

/// What kind of thing is kept. The words are what stands in the file, and stable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// What the firewall refused or alerted.
    Verdict,
    /// What the detection reports.
    Finding,
    /// An alarm that came, went, or was acknowledged.
    Alarm,
    /// Who did what to the system itself.
    Audit,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Verdict, Kind::Finding, Kind::Alarm, Kind::Audit];

    /// As the file and the command line say it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Verdict => "verdict",
            Kind::Finding => "finding",
            Kind::Alarm => "alarm",
            Kind::Audit => "audit",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// When it happened.
    pub time: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// Where it is from: a conduit, a device, a user; [`SOURCE_MAX`] bytes at most.
    pub source: &'a str,
    /// What happened: one JSON object in one line, [`BODY_MAX`] bytes at most. A key `id` it has not: that is the number
    /// which the journal gives it.
    pub body: &'a str,
}

/// What is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Its number: 1 for the first entry of a journal, and then without a gap.
    pub id: u64,
    /// When it happened.
    pub time: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// Where it is from.
    pub source: String,
    /// What happened: one JSON object in one line.
    pub body: String,
}

/// Why an entry cannot be kept. It is the same at every try: who made the entry has to make another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryFault {
    /// More than [`BODY_MAX`] bytes.
    BodyTooLong {
        /// Its length.
        length: usize,
    },
    /// More than [`SOURCE_MAX`] bytes.
    SourceTooLong {
        /// Its length.
        length: usize,
    },
    /// The body is not one JSON object.
    NoObject,
    /// The body has a line end in it.
    LineEnd,
    /// The body has a key `id`.
    HasId,
}

impl std::error::Error for EntryFault {}

impl fmt::Display for EntryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryFault::BodyTooLong { length } => {
                write!(f, "its body has {length} bytes, and {BODY_MAX} is the most")
            }
            EntryFault::SourceTooLong { length } => {
                write!(f, "its source has {length} bytes, and {SOURCE_MAX} is the most")
            }
            EntryFault::NoObject => f.write_str("its body is not one JSON object"),
            EntryFault::LineEnd => f.write_str("its body has a line end in it"),
            EntryFault::HasId => f.write_str("its body has a key \"id\", which is the journal's"),
        }
    }
}

impl Entry<'_> {
    /// Whether it can be kept.
    pub(crate) fn check(&self) -> Result<(), EntryFault> {
        if self.body.len() > BODY_MAX {
            return Err(EntryFault::BodyTooLong { length: self.body.len() });
        }
        if self.source.len() > SOURCE_MAX {
            return Err(EntryFault::SourceTooLong { length: self.source.len() });
        }
        // JSON may have line ends between its words, but then an entry is not a line any more.
        if self.body.contains(['\n', '\r']) {
            return Err(EntryFault::LineEnd);
        }
        let mut reader = serde_json::Deserializer::from_str(self.body);
        match reader.deserialize_map(Keys).and_then(|has_id| reader.end().map(|()| has_id)) {
            Ok(false) => Ok(()),
            Ok(true) => Err(EntryFault::HasId),
            Err(_) => Err(EntryFault::NoObject),
        }
    }
}

/// Reads an object for its keys: whether one of them is `id`.
struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut has_id = false;
        while let Some(key) = map.next_key_seed(Key)? {
            has_id |= key;
            map.next_value::<IgnoredAny>().map_err(A::Error::custom)?;
        }
        Ok(has_id)
    }
}

/// Reads a key, without keeping it.
struct Key;

impl<'de> serde::de::DeserializeSeed<'de> for Key {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == "id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, body: &str, want: Result<(), EntryFault>) {
        let entry = Entry { time: Timestamp::default(), kind: Kind::Audit, source, body };
        assert_eq!(entry.check(), want, "{source} {body}");
    }

    #[test]
    fn a_body_is_one_object_in_one_line() {
        check("intake", "{}", Ok(()));
        check("", r#" {"a":[1,{"id":2}],"b":"\n"} "#, Ok(()));
        for body in
            ["", "[]", "1", "\"{}\"", "{", "{}{}", "{} 1", r#"{"a":}"#, r#"{a:1}"#, "{\"a\":\"\u{0}\"}"]
        {
            check("intake", body, Err(EntryFault::NoObject));
        }
        for body in ["{\n}", "{}\n", "{\"a\":\r1}"] {
            check("intake", body, Err(EntryFault::LineEnd));
        }
        check("intake", r#"{"a":1,"id":2}"#, Err(EntryFault::HasId));
        check("intake", r#"{"\u0069d":2}"#, Err(EntryFault::HasId));
    }

    #[test]
    fn lengths_have_limits() {
        let body = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        check("intake", &body(BODY_MAX), Ok(()));
        check("intake", &body(BODY_MAX + 1), Err(EntryFault::BodyTooLong { length: BODY_MAX + 1 }));
        check(&"x".repeat(SOURCE_MAX), "{}", Ok(()));
        check(&"x".repeat(SOURCE_MAX + 1), "{}", Err(EntryFault::SourceTooLong { length: SOURCE_MAX + 1 }));
        // Depth is limited by serde_json; it must be an answer and not the end of the stack.
        check("intake", &format!("{{\"a\":{}", "[".repeat(60_000)), Err(EntryFault::NoObject));
    }

    #[test]
    fn every_kind_has_a_word() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of_word(kind.word()), Some(kind));
        }
        assert_eq!(Kind::of_word("Verdict"), None);
    }

    #[test]
    fn clocks_that_are_far_off_are_cut() {
        let far = std::time::Duration::from_secs(1 << 40);
        let of = |time: Option<SystemTime>| time.map(|time| Timestamp::from(time).unix_nanos());
        assert_eq!(of(UNIX_EPOCH.checked_add(far)), Some(i64::MAX));
        assert_eq!(of(UNIX_EPOCH.checked_sub(far)), Some(i64::MIN));
        let second = std::time::Duration::from_secs(1);
        assert_eq!(of(UNIX_EPOCH.checked_sub(second)), Some(-1_000_000_000));
    }
}
