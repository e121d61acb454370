//! A unit that does not answer costs its bus a timeout for each request. After some of them in a row it is left
//! alone: requests are refused at once, and now and then one goes through to see whether it is back.
//!
//! ```text
//!             failures in a row                 the pause is over
//!   closed ──────────────────────► open ──────────────────────────► probing
//!     ▲                             ▲          one request goes out    │  │
//!     │            an answer        │        none: the pause doubles   │  │
//!     └─────────────────────────────┴──────────────────────────────────┴──┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// When a unit counts as dead, and how often it is looked at then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BreakerOptions {
    /// Requests without an answer, one after the other, until the unit is left alone; 0: never.
    pub failures: u32,
    /// Until the first look whether it is back; doubles with each that finds it dead.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        let (pause, pause_max) = (Duration::from_secs(5), Duration::from_secs(60));
        BreakerOptions { failures: 3, pause, pause_max }
    }
}

/// Where a unit's breaker stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BreakerState {
    /// Requests go out.
    #[default]
    Closed,
    /// Requests are refused at once.
    Open,
    /// One request is out, to see whether the unit is back; others are refused.
    Probing,
}

impl BreakerState {
    /// In a word, for metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::Probing => "probing",
        }
    }
}

/// The breaker of one unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breaker {
    state: BreakerState,
    /// In a row.
    failures: u32,
    /// When the last answer came.
    answered: Instant,
    /// When open: until then.
    until: Instant,
    pause: Duration,
}

/// Whether a request may go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    Pass,
    /// And it is the one that everybody looks at.
    Probe,
    Refused,
}

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    None,
    Opened,
    Closed,
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        Breaker { state: BreakerState::Closed, failures: 0, answered: now, until: now, pause: Duration::ZERO }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    /// Until the next look, when it has opened.
    pub(super) fn pause(&self) -> Duration {
        self.pause
    }

    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match self.state {
            BreakerState::Closed => Admission::Pass,
            BreakerState::Open if now >= self.until => {
                self.state = BreakerState::Probing;
                Admission::Probe
            }
            BreakerState::Open | BreakerState::Probing => Admission::Refused,
        }
    }

    /// The unit has answered.
    pub(super) fn answered(&mut self, now: Instant) -> Turn {
        self.answered = now;
        let turn = if self.state == BreakerState::Closed { Turn::None } else { Turn::Closed };
        (self.state, self.failures, self.pause) = (BreakerState::Closed, 0, Duration::ZERO);
        turn
    }

    /// A request to the unit went out at `sent`, and no answer came. An answer that was owed from before it opened says
    /// nothing new; only the probe's does. And a unit that has answered others since lives: it, or the way to it, has lost
    /// this one.
    pub(super) fn silent(
        &mut self,
        (sent, now): (Instant, Instant),
        probe: bool,
        options: &BreakerOptions,
    ) -> Turn {
        if self.answered > sent {
            return Turn::None;
        }
        self.failures = self.failures.saturating_add(1);
        let opens = match self.state {
            BreakerState::Closed => options.failures != 0 && self.failures >= options.failures,
            BreakerState::Open => false,
            BreakerState::Probing => probe,
        };
        if !opens {
            return Turn::None;
        }
        self.pause = (self.pause * 2).clamp(options.pause, options.pause_max.max(options.pause));
        self.until = now + self.pause;
        self.state = BreakerState::Open;
        Turn::Opened
    }

    /// The probe never reached the unit: the next request is one.
    pub(super) fn probe_lost(&mut self, now: Instant) {
        if self.state == BreakerState::Probing {
            (self.state, self.until) = (BreakerState::Open, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_looks_again_with_growing_pauses() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let options = BreakerOptions::default();
        let mut breaker = Breaker::new(start);
        assert_eq!(breaker.silent((at(0), at(0)), false, &options), Turn::None);
        assert_eq!(breaker.silent((at(0), at(0)), false, &options), Turn::None);
        assert_eq!(breaker.answered(at(0)), Turn::None, "one answer, and the count begins anew");
        assert_eq!(breaker.silent((at(0), at(0)), false, &options), Turn::None);
        assert_eq!(breaker.silent((at(0), at(0)), false, &options), Turn::None);
        assert_eq!(breaker.admit(at(0)), Admission::Pass);
        assert_eq!(breaker.silent((at(0), at(0)), false, &options), Turn::Opened);
        let mut now = 0;
        for pause in [5, 10, 20, 40, 60, 60] {
            assert_eq!(breaker.admit(at(now + pause - 1)), Admission::Refused, "{pause} s");
            now += pause;
            assert_eq!(breaker.admit(at(now)), Admission::Probe, "{pause} s");
            assert_eq!(breaker.admit(at(now)), Admission::Refused, "one probe at a time");
            assert_eq!(
                breaker.silent((at(now), at(now)), false, &options),
                Turn::None,
                "of a request from before"
            );
            assert_eq!(breaker.silent((at(now), at(now)), true, &options), Turn::Opened);
        }
        assert_eq!(breaker.admit(at(now + 60)), Admission::Probe);
        breaker.probe_lost(at(now + 60));
        assert_eq!(breaker.admit(at(now + 60)), Admission::Probe, "the next one is the probe then");
        assert_eq!(breaker.answered(at(now + 60)), Turn::Closed);
        assert_eq!(breaker.admit(at(now + 60)), Admission::Pass);
    }

    #[test]
    fn who_has_answered_since_is_not_silent() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let options = BreakerOptions::default();
        let mut breaker = Breaker::new(start);
        // Sixteen at once, of which the first are lost.
        breaker.answered(at(1));
        assert!((0..16).all(|_| breaker.silent((at(0), at(2)), false, &options) == Turn::None));
        assert_eq!(breaker.silent((at(1), at(3)), false, &options), Turn::None);
        assert_eq!(breaker.silent((at(1), at(3)), false, &options), Turn::None);
        assert_eq!(breaker.silent((at(1), at(3)), false, &options), Turn::Opened);
    }

    #[test]
    fn zero_failures_means_never() {
        let options = BreakerOptions { failures: 0, ..BreakerOptions::default() };
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        assert!((0..100).all(|_| breaker.silent((start, start), false, &options) == Turn::None));
    }
}
