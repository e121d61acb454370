//! Latencies by the million in a few kilobytes.

use std::time::Duration;

/// Buckets between one power of two and the next: no value is off by more than one part in 64.
const STEPS: u64 = 64;

/// How often which latency occurred, from a nanosecond to centuries.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Histogram { counts: Vec::new(), count: 0, max: 0 }
    }

    /// Values below 64 have buckets of their own; above, each power of two has 64.
    fn bucket(nanos: u64) -> usize {
        let shift = (64 - nanos.leading_zeros()).saturating_sub(7);
        let bucket = u64::from(shift) * STEPS + (nanos >> shift);
        usize::try_from(bucket).unwrap_or(usize::MAX)
    }

    /// The largest value of a bucket.
    fn value(bucket: usize) -> u64 {
        let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
        let shift = (bucket / STEPS).saturating_sub(1);
        let mantissa = bucket - shift * STEPS;
        ((mantissa + 1) << shift) - 1
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2);
        let bucket = Self::bucket(nanos);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    pub(crate) fn merge(&mut self, other: &Histogram) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The latency that `percent` of all did not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        // Counts stay far below the 2^53 that a float holds exactly.
        let rank = (percent / 100.0 * self.count as f64).ceil().max(1.0);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count != 0 && seen as f64 >= rank {
                return Duration::from_nanos(Self::value(bucket).min(self.max));
            }
        }
        Duration::from_nanos(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bucket_is_wide() {
        for exponent in 0..40 {
            for nanos in [1u64 << exponent, (1 << exponent) + 1, (1 << exponent) * 3 / 2, (2 << exponent) - 1]
            {
                let value = Histogram::value(Histogram::bucket(nanos));
                assert!(value >= nanos && value - nanos <= nanos / 64, "{nanos} is counted as {value}");
            }
        }
    }

    #[test]
    fn percentiles() {
        let mut all = Histogram::new();
        for half in [1..=500u64, 501..=1000] {
            let mut part = Histogram::new();
            half.for_each(|micros| part.record(Duration::from_micros(micros)));
            all.merge(&part);
        }
        let near = |percent, micros: u64| {
            let got = all.percentile(percent).as_nanos() as f64 / 1000.0;
            assert!((got / micros as f64 - 1.0).abs() < 0.02, "{percent} %: {got} us, not {micros}");
        };
        near(50.0, 500);
        near(99.0, 990);
        near(99.9, 999);
        near(100.0, 1000);
        assert_eq!(all.count(), 1000);
        assert_eq!(Histogram::new().percentile(50.0), Duration::ZERO);
    }
}
