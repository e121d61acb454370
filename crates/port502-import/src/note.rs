//! What could not be carried over, with its place.

use std::fmt;

/// Where in the source something stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Place {
    /// The line, from 1; 0 where the format does not tell.
    pub line: u32,
    /// The way there: `modbus[0].sensors[2]`; empty: the file as a whole.
    pub path: String,
}

/// One thing, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Where.
    pub place: Place,
    /// What.
    pub lost: Lost,
    /// How often, where it is always the same; the place is that of the first.
    pub times: usize,
}

/// What became of something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lost {
    /// A setting has no counterpart, or needs none.
    Setting {
        /// The setting.
        key: String,
        /// Why.
        why: &'static str,
    },
    /// A value was left out.
    Value {
        /// What it is called there.
        name: String,
        /// Why.
        why: String,
    },
    /// It could be written there. Nobody may here before someone says within what limits.
    Write {
        /// The tag.
        tag: String,
    },
    /// The source does not say something, and this was put in its place.
    Assumed {
        /// What was put there.
        what: String,
        /// How to say it.
        instead: &'static str,
    },
    /// A name that cannot be one here, or that two have.
    Renamed {
        /// What it was.
        from: String,
        /// What it is.
        to: String,
    },
    /// The site file does not take it.
    Refused {
        /// The tag.
        tag: String,
        /// What the site file says.
        why: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.path.as_str()) {
            (0, "") => Ok(()),
            (0, path) => write!(f, "{path}: "),
            (line, "") => write!(f, "{line}: "),
            (line, path) => write!(f, "{line}: {path}: "),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Setting { key, why } => write!(f, "{key} is not carried over: {why}"),
            Lost::Value { name, why } => write!(f, "{name} is left out: {why}"),
            Lost::Write { tag } => {
                write!(
                    f,
                    "{tag} can be written there; here nobody may until it says write = {{ roles, min, max }}"
                )
            }
            Lost::Assumed { what, instead } => write!(f, "{what}; {instead}"),
            Lost::Renamed { from, to } => write!(f, "\"{from}\" is called {to} here"),
            Lost::Refused { tag, why } => write!(f, "{tag} is left out: {why}"),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, self.lost)?;
        if self.times > 1 { write!(f, " (and {} more times)", self.times - 1) } else { Ok(()) }
    }
}
