//! So many in such a time, counted with one number.
//!
//! A bucket holds `count` tokens and gets one back every `per / count`. It is kept as the moment at which it will be full
//! again (the generic cell rate algorithm, ITU-T I.371): a number, no timer, and nothing to do while nobody asks.
//! In any `per` at most twice `count` pass: a full bucket, and what comes back meanwhile.

use core::time::Duration;

use port502_session::Instant;

use crate::policy::Rate;

/// A rate, ready to be applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limiter {
    /// Nanoseconds until one token is back, rounded up: never more than the rate.
    each: u64,
    /// How far ahead the moment may be before one more is asked for.
    ahead: u64,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        let per = u64::try_from(rate.per.as_nanos()).unwrap_or(u64::MAX);
        let each = per.div_ceil(u64::from(rate.count).max(1));
        // A rate of nothing lets nothing pass.
        let each = if rate.count == 0 { u64::MAX } else { each };
        Limiter { each, ahead: per.saturating_sub(each) }
    }

    /// Takes one token from a bucket that is full at `full`: when it will be full then, or `None` when it is empty.
    pub(crate) fn take(self, full: Instant, now: Instant) -> Option<Instant> {
        let from = full.max(now);
        if self.each == u64::MAX || from.since(now) > Duration::from_nanos(self.ahead) {
            return None;
        }
        Some(from + Duration::from_nanos(self.each))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(count: u32, per_ms: u64, asked_at_ms: impl Iterator<Item = u64>) -> Vec<u64> {
        let limiter = Limiter::new(Rate { count, per: Duration::from_millis(per_ms) });
        let mut full = Instant::ZERO;
        let mut passed = Vec::new();
        for at in asked_at_ms {
            if let Some(next) = limiter.take(full, Instant::from_nanos(at * 1_000_000)) {
                full = next;
                passed.push(at);
            }
        }
        passed
    }

    use alloc::vec::Vec;

    #[test]
    fn a_burst_and_then_the_rate() {
        assert_eq!(passed(3, 300, 0..=250), [0, 1, 2, 100, 200]);
        assert_eq!(passed(1, 1000, 0..=2000), [0, 1000, 2000]);
        assert_eq!(
            passed(3, 300, [0, 0, 0, 0, 1000, 1000, 1000, 1000].into_iter()),
            [0, 0, 0, 1000, 1000, 1000]
        );
    }

    #[test]
    fn never_more_than_twice_in_any_window() {
        for (count, per) in [(1, 7), (3, 100), (7, 50), (1000, 1)] {
            let passed = passed(count, per, (0..3000).flat_map(|at| [at; 5]));
            for (first, at) in passed.iter().enumerate() {
                let within = passed[first..].iter().take_while(|other| **other < at + per).count();
                assert!(within <= 2 * count as usize, "{count} per {per} ms: {within} from {at}");
            }
        }
    }

    #[test]
    fn nothing_means_nothing() {
        assert_eq!(passed(0, 100, 0..500), []);
    }
}
