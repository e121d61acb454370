//! Waiting for parts of a millisecond.
//!
//! A runtime's timers are rounded up to the next whole millisecond, and fire in the one after that. At 19,200 baud the
//! gap between two frames is 1.8 ms, on either side of every request: rounded, it costs a bus a fifth of what it can
//! carry. Linux has timers that wake a task like a socket does, within some microseconds; elsewhere it is rounded.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

/// Pauses that are longer are left to the runtime: there a millisecond more is little.
const FINE: Duration = Duration::from_millis(20);

/// A timer of the runtime that keeps the time, whichever runtime it is awaited on.
pub(crate) fn timer(timekeeper: Option<&Handle>, at: Instant) -> Sleep {
    let _runtime = timekeeper.map(Handle::enter);
    tokio::time::sleep_until(at)
}

/// A clock for one line.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    timekeeper: Option<Handle>,
    fine: Option<sys::Timer>,
    /// The system has no fine timer for us.
    coarse: bool,
}

impl Pause {
    /// With the timers of this runtime, where it is not the one that awaits.
    pub(crate) fn new(timekeeper: Option<Handle>) -> Self {
        Pause { timekeeper, ..Pause::default() }
    }

    /// Waits until `at`. May be given up, and used again. It belongs to a runtime with I/O.
    pub(crate) async fn until(&mut self, at: Instant) {
        let coarse = timer(self.timekeeper.as_ref(), at);
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() || left > FINE || self.coarse {
            return coarse.await;
        }
        if self.fine.is_none() {
            self.fine = sys::Timer::new().ok();
        }
        let Some(fine) = &mut self.fine else {
            self.coarse = true;
            return coarse.await;
        };
        tokio::select! {
            biased;
            fired = fine.wait(left) => match fired {
                Ok(()) => {}
                Err(_) => self.coarse = true,
            },
            // In simulated time, it passes for this one alone.
            () = coarse => return,
        }
        // What is left of simulated time, or of all of it where the fine timer failed.
        if at > Instant::now() {
            timer(self.timekeeper.as_ref(), at).await;
        }
    }
}

#[cfg(target_os = "linux")]
mod sys {
    use std::io;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::AsyncReadExt as _;
    use tokio::net::unix::pipe;

    /// Of all that tokio has for files, a pipe's end is what waits for one of any kind without unsafe code.
    #[derive(Debug)]
    pub(super) struct Timer(pipe::Receiver);

    impl Timer {
        pub(super) fn new() -> io::Result<Timer> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Timer(pipe::Receiver::from_owned_fd_unchecked(timer)?))
        }

        /// Waits for so long. What an earlier wait that was given up has left is forgotten.
        pub(super) async fn wait(&mut self, pause: Duration) -> io::Result<()> {
            // Zero would mean never.
            let pause = pause.max(Duration::from_nanos(1));
            let it_value = Timespec::try_from(pause).map_err(io::Error::other)?;
            let once = Itimerspec { it_interval: Timespec::default(), it_value };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
            // How often it has fired.
            self.0.read_u64_le().await.map(|_| ())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use std::convert::Infallible;
    use std::io;
    use std::time::Duration;

    #[derive(Debug)]
    pub(super) struct Timer(Infallible);

    impl Timer {
        pub(super) fn new() -> io::Result<Timer> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) async fn wait(&mut self, _: Duration) -> io::Result<()> {
            match self.0 {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn never_too_early_and_used_again_after_it_was_given_up() {
        let mut pause = Pause::default();
        for micros in [1, 50, 700, 1822, 3000] {
            let long = Instant::now() + MS * 15;
            tokio::select! {
                biased;
                () = pause.until(long) => {}
                () = tokio::task::yield_now() => {}
            }
            let at = Instant::now() + Duration::from_micros(micros);
            pause.until(at).await;
            assert!(Instant::now() >= at, "{micros} us");
        }
        let past = Instant::now();
        pause.until(past).await;
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn the_gap_is_not_rounded_to_milliseconds() {
        // The machine may be busy: the best of many says what the timer can do.
        let mut pause = Pause::default();
        let mut best = Duration::MAX;
        for _ in 0..50 {
            let at = Instant::now() + Duration::from_micros(1050);
            pause.until(at).await;
            best = best.min(at.elapsed());
        }
        assert!(best < Duration::from_micros(700), "{best:?} too late at best");
    }

    #[tokio::test(start_paused = true)]
    async fn simulated_time_passes_at_once() {
        let (mut pause, start) = (Pause::default(), Instant::now());
        for nth in 1..=2000 {
            pause.until(start + MS * nth).await;
            assert!(Instant::now() >= start + MS * nth);
        }
    }
}
