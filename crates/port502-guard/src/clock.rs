//! Time: for judging since the guard began, for hours as the site's clocks show it, for people as the world's.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use port502_inspect::evidence::Time;
use port502_inspect::{Moment, WeekMinute};
use port502_session::Instant;

/// The clock of a guard; all of its conduits have the same.
#[derive(Debug)]
pub struct Clock {
    epoch: tokio::time::Instant,
    /// Told from outside, for it takes a table of time zones.
    week: AtomicU16,
}

impl Clock {
    /// A clock that begins now, in a week that has come to `week`.
    #[must_use]
    pub fn new(week: WeekMinute) -> Self {
        Clock { epoch: tokio::time::Instant::now(), week: AtomicU16::new(week.minutes()) }
    }

    /// How far the week has come in the site's time zone. To be told at least once a minute, where rules have hours.
    pub fn set_week(&self, week: WeekMinute) {
        self.week.store(week.minutes(), Relaxed);
    }

    /// Now, for rates and deadlines.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }

    /// Now, for judging.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment { at: self.now(), week: WeekMinute::from_minutes(self.week.load(Relaxed)) }
    }

    /// What the world's clocks showed at `then`, which is in the past.
    #[must_use]
    pub fn wall(&self, then: Instant) -> Time {
        let ago = self.now().since(then);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let nanos = since_1970.saturating_sub(ago).as_nanos();
        Time::from_unix_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
