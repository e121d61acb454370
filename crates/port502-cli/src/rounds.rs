//! Doing something again and again, at intervals, until it is enough or Ctrl-C.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::signal::Interrupt;

/// A loop with an end.
pub(crate) struct Rounds {
    every: Duration,
    left: Option<u64>,
    end: Option<Instant>,
    next: Instant,
    interrupt: Interrupt,
    /// Whether Ctrl-C ended it.
    pub(crate) stopped: bool,
}

impl Rounds {
    /// A round each `every`, at most `times`, and none begins later than `duration` from now.
    pub(crate) fn new(every: Duration, times: Option<u64>, duration: Option<Duration>) -> Self {
        let now = Instant::now();
        let end = duration.and_then(|duration| now.checked_add(duration));
        Rounds { every, left: times, end, next: now, interrupt: Interrupt::new(), stopped: false }
    }

    /// Waits for the next round; false when there is none.
    pub(crate) async fn next(&mut self) -> bool {
        if self.stopped || self.left == Some(0) || self.end.is_some_and(|end| self.next > end) {
            return false;
        }
        if self.unless_stopped(sleep_until(self.next)).await.is_none() {
            return false;
        }
        let now = Instant::now();
        if self.end.is_some_and(|end| now > end) {
            return false;
        }
        self.left = self.left.map(|left| left - 1);
        // A round that is late begins at once; rounds that a slow device made us miss are not made up for.
        while self.next <= now && !self.every.is_zero() {
            self.next += self.every;
        }
        true
    }

    /// What comes of `work`; `None` when Ctrl-C came first.
    pub(crate) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let result = self.interrupt.or(work).await;
        self.stopped = result.is_none();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(every: u64, times: Option<u64>, duration: Option<u64>, work: u64) -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let ms = Duration::from_millis;
            let mut rounds = Rounds::new(ms(every), times, duration.map(ms));
            let mut count = 0;
            while rounds.next().await {
                count += 1;
                rounds.unless_stopped(tokio::time::sleep(ms(work))).await;
            }
            count
        })
    }

    #[test]
    fn ends() {
        assert_eq!(count(10, Some(3), None, 1), 3);
        assert_eq!(count(0, Some(3), None, 1), 3);
        assert_eq!(count(10, None, Some(25), 1), 3); // at 0, 10 and 20
        assert_eq!(count(10, None, Some(30), 1), 4);
        assert_eq!(count(10, None, Some(30), 15), 3); // at 0, 15 and 30
        assert_eq!(count(10, None, Some(60), 35), 2); // at 0 and 35: 10 and 20 are not made up for
        assert_eq!(count(10, Some(2), Some(90), 1), 2);
    }
}
