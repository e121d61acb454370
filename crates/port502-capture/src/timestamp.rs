//! The one notion of time in this crate: when a packet was captured.

use std::fmt;
use std::time::Duration;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Nanoseconds since 1970-01-01 UTC, as the capture says.
///
/// Captures are not to be trusted with time: it may stand still or run backwards, and a date that does not fit
/// (before 1677 or after 2262) is the nearest one that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01: also the time of packets from a file that has no time at all.
    pub const EPOCH: Self = Self(0);

    /// A time from nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// A time from whole seconds since the epoch and the nanoseconds after them.
    pub const fn from_seconds(seconds: i64, nanos: u32) -> Self {
        // `as` widens here; `From` is not const.
        Self(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos as i64))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it, because capture clocks step back.
    pub fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// This time, `later` later.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(later.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// Seconds since the epoch with nine decimals: `1399498623.460385000`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let per_second = NANOS_PER_SECOND.unsigned_abs();
        write!(f, "{sign}{}.{:09}", nanos / per_second, nanos % per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_saturates() {
        let rows = [
            (Timestamp::EPOCH, "0.000000000"),
            (Timestamp::from_seconds(1_399_498_623, 460_385_000), "1399498623.460385000"),
            (Timestamp::from_nanos(-1), "-0.000000001"),
            (Timestamp::from_seconds(i64::MAX, 1), "9223372036.854775807"),
        ];
        for (time, text) in rows {
            assert_eq!(time.to_string(), text);
        }
        let (early, late) = (Timestamp::from_nanos(5), Timestamp::from_nanos(7));
        assert_eq!(late.since(early), Duration::from_nanos(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.plus(Duration::from_nanos(2)), late);
        assert_eq!(early.plus(Duration::MAX).nanos(), i64::MAX);
    }
}
