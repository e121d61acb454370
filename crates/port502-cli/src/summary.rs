//! What was asked of a device, and how it went.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::output::counted;

/// The median is that of so many answers, the last ones: a poll may run for months.
const LATENCIES_MAX: usize = 100_000;

/// Counts requests, errors and latencies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    requests: u64,
    errors: u64,
    latencies: VecDeque<Duration>,
    min: Option<Duration>,
    max: Option<Duration>,
}

impl Summary {
    /// One request: how long its answer took, if one came, and whether it failed.
    pub(crate) fn count(&mut self, latency: Option<Duration>, failed: bool) {
        self.requests += 1;
        self.errors += u64::from(failed);
        let Some(latency) = latency else { return };
        self.min = Some(self.min.map_or(latency, |min| min.min(latency)));
        self.max = Some(self.max.map_or(latency, |max| max.max(latency)));
        if self.latencies.len() == LATENCIES_MAX {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latency);
    }

    /// Requests and errors alone.
    pub(crate) fn counts(&self) -> String {
        format!("{}, {}", counted(self.requests, "request"), counted(self.errors, "error"))
    }

    fn median(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.counts())?;
        let ms = |duration: Duration| format!("{:.2} ms", duration.as_secs_f64() * 1e3);
        match (self.min, self.median(), self.max) {
            (Some(min), Some(median), Some(max)) => {
                write!(f, ", latency min {} median {} max {}", ms(min), ms(median), ms(max))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_words() {
        let mut summary = Summary::default();
        assert_eq!(summary.to_string(), "0 requests, 0 errors");
        summary.count(None, true);
        assert_eq!(summary.to_string(), "1 request, 1 error");
        for ms in [5, 1, 2] {
            summary.count(Some(Duration::from_millis(ms)), false);
        }
        assert_eq!(
            summary.to_string(),
            "4 requests, 1 error, latency min 1.00 ms median 2.00 ms max 5.00 ms"
        );
        for _ in 0..=LATENCIES_MAX {
            summary.count(Some(Duration::from_millis(3)), false);
        }
        assert_eq!(summary.latencies.len(), LATENCIES_MAX);
        assert!(summary.to_string().ends_with("latency min 1.00 ms median 3.00 ms max 5.00 ms"));
    }
}
