//! Durations as people write them: `500ms`, `2s`, `1.5h`.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// Why a text is not a duration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DurationError {
    /// There is no number at the front.
    Number,
    /// A number without a unit: a guess would be wrong by a factor of 1000 half of the time.
    Unit {
        /// The number as it was written.
        number: String,
    },
    /// A unit that is not known.
    UnknownUnit {
        /// What stands in its place.
        unit: String,
    },
    /// Longer than a century.
    TooLong,
}

impl core::error::Error for DurationError {}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationError::Number => f.write_str("a duration is a number and a unit, as 500ms or 2s"),
            DurationError::Unit { number } => {
                write!(f, "the unit is missing: write {number}s or {number}ms")
            }
            DurationError::UnknownUnit { unit } => {
                write!(f, "\"{unit}\" is not a unit of time: ms, s, m, h and d are")
            }
            DurationError::TooLong => write!(f, "longer than {} days", LONGEST.as_secs() / 86_400),
        }
    }
}

/// No timer runs that long, and no sum of a clock and this overflows.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

/// What may follow the number, and its nanoseconds.
const UNITS: [(&str, u64); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Reads a duration.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(port502_session::duration::parse("500ms")?, Duration::from_millis(500));
/// assert_eq!(port502_session::duration::parse("1.5m")?, Duration::from_secs(90));
/// # Ok::<(), port502_session::duration::DurationError>(())
/// ```
///
/// # Errors
/// A text that is not a number and one of `us`, `ms`, `s`, `m`, `h`, `d`; `0` alone is fine.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let value: f64 = number.parse().map_err(|_| DurationError::Number)?;
    let unit = unit.trim_start();
    if unit.is_empty() && value != 0.0 {
        return Err(DurationError::Unit { number: number.to_owned() });
    }
    let seconds = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, nanos)) => *nanos as f64 / 1e9,
        None if unit.is_empty() => 0.0,
        None => return Err(DurationError::UnknownUnit { unit: unit.to_owned() }),
    };
    Duration::try_from_secs_f64(value * seconds)
        .ok()
        .filter(|duration| *duration <= LONGEST)
        .ok_or(DurationError::TooLong)
}

/// A duration in the unit that suits it: `500ms`, `2s`, `1.5m`. Reading it back gives the same where the fraction ends.
#[must_use]
pub fn display(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fits = |unit: &&(&str, u64)| nanos >= u128::from(unit.1);
    let (unit, size) = UNITS.iter().rev().find(fits).copied().unwrap_or(("s", 1_000_000_000));
    let thousandths = (nanos * 1000 + u128::from(size / 2)) / u128::from(size);
    let text = alloc::format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    alloc::format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let unit = |unit: &str| Err(DurationError::UnknownUnit { unit: unit.into() });
        for (text, want) in [
            ("500ms", Ok(Duration::from_millis(500))),
            ("2s", Ok(Duration::from_secs(2))),
            ("2 s", Ok(Duration::from_secs(2))),
            ("1.5s", Ok(Duration::from_millis(1500))),
            ("250us", Ok(Duration::from_micros(250))),
            ("1m", Ok(Duration::from_secs(60))),
            ("1h", Ok(Duration::from_secs(3600))),
            ("400d", Ok(Duration::from_secs(400 * 86_400))),
            ("0", Ok(Duration::ZERO)),
            ("", Err(DurationError::Number)),
            ("s", Err(DurationError::Number)),
            ("-1s", Err(DurationError::Number)),
            ("1.2.3s", Err(DurationError::Number)),
            ("5", Err(DurationError::Unit { number: "5".into() })),
            ("5sec", unit("sec")),
            ("5M", unit("M")),
            ("1m30s", unit("m30s")),
            ("36501d", Err(DurationError::TooLong)),
            ("1e9d", unit("e9d")),
        ] {
            assert_eq!(parse(text), want, "{text:?}");
        }
    }

    #[test]
    fn displayed_in_the_unit_that_suits() {
        for text in ["500ms", "2s", "1.5m", "250us", "1h", "400d", "0s"] {
            assert_eq!(display(parse(text).unwrap()), text);
        }
    }
}
