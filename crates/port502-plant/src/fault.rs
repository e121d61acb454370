//! What goes wrong, and when: a schedule, one line a fault.
//!
//! ```text
//! # from   for    where          what
//! 30s      20s    booster        timeout
//! 1m       10s    booster        exception=6
//! 2m       30s    tank.level     frozen
//! 3m       1m     intake.level   drift=-0.01       per second, in the tag's unit
//! ```
//!
//! Times are those of the plant, which passes faster than ours where it is told so.

use std::fmt;
use std::time::Duration;

use port502_session::duration;
use port502_wire::ExceptionCode;

/// Lines of a schedule, at most: a schedule is written by hand.
pub const FAULTS_MAX: usize = 1_000;

/// The longest that an answer can be held back.
pub const SLOW_MAX: Duration = Duration::from_secs(60);

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// The device does nothing and says nothing.
    Timeout,
    /// It refuses everything.
    Exception(ExceptionCode),
    /// It answers so late.
    Slow(Duration),
    /// It answers under a transaction id that nobody used.
    WrongTransaction,
    /// It sends half of its answer and closes the connection.
    HalfClose,
    /// It sends bytes that are no answer, as many as the answer has.
    Garbage,
    /// It sends its answer byte by byte, with such a pause between two.
    Drip(Duration),
    /// A sensor shows what it showed.
    Frozen,
    /// A sensor shows more than is true, by so much for every second.
    Drift(f64),
}

/// What the words are, and what stands behind them.
const KINDS: &str =
    "timeout, exception=6, slow=800ms, wrong-tid, half-close, garbage, drip=5ms, frozen or drift=0.05";

impl Fault {
    /// Whether it is a sensor's: then a tag is named, else a device.
    #[must_use]
    pub const fn is_sensors(&self) -> bool {
        matches!(self, Fault::Frozen | Fault::Drift(_))
    }

    fn parse(word: &str) -> Option<Fault> {
        let (kind, value) = word.split_once('=').map_or((word, None), |(kind, value)| (kind, Some(value)));
        let pause = |text: &str| duration::parse(text).ok().filter(|pause| *pause <= SLOW_MAX);
        Some(match (kind, value) {
            ("timeout", None) => Fault::Timeout,
            ("exception", Some(code)) => {
                Fault::Exception(code.parse::<u8>().ok().filter(|code| *code != 0)?.into())
            }
            ("slow", Some(text)) => Fault::Slow(pause(text)?),
            ("wrong-tid", None) => Fault::WrongTransaction,
            ("half-close", None) => Fault::HalfClose,
            ("garbage", None) => Fault::Garbage,
            ("drip", None) => Fault::Drip(Duration::from_millis(5)),
            ("drip", Some(text)) => Fault::Drip(pause(text)?),
            ("frozen", None) => Fault::Frozen,
            ("drift", Some(text)) => {
                Fault::Drift(text.parse::<f64>().ok().filter(|drift| drift.is_finite())?)
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Timeout => f.write_str("timeout"),
            Fault::Exception(code) => write!(f, "exception={}", code.code()),
            Fault::Slow(pause) => write!(f, "slow={}", duration::display(*pause)),
            Fault::WrongTransaction => f.write_str("wrong-tid"),
            Fault::HalfClose => f.write_str("half-close"),
            Fault::Garbage => f.write_str("garbage"),
            Fault::Drip(pause) => write!(f, "drip={}", duration::display(*pause)),
            Fault::Frozen => f.write_str("frozen"),
            Fault::Drift(drift) => write!(f, "drift={drift}"),
        }
    }
}

/// A fault with its time and place.
#[derive(Clone, PartialEq, Debug)]
pub struct Scheduled {
    /// From this moment of the plant on,
    pub from: Duration,
    /// for so long.
    pub lasts: Duration,
    /// A device, or `device.tag`.
    pub place: String,
    /// What.
    pub fault: Fault,
}

/// What is wrong with a schedule, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{line}: {what}")]
pub struct ScheduleError {
    /// The line, counted from 1.
    pub line: usize,
    /// What, and what to try.
    pub what: String,
}

/// Faults, each with its time and place.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Schedule {
    /// In the order in which they stand.
    pub faults: Vec<Scheduled>,
}

impl Schedule {
    /// Reads a schedule, one line a fault; `#` begins a comment.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<ScheduleError>> {
        let (mut faults, mut errors) = (Vec::new(), Vec::new());
        for (at, line) in text.lines().enumerate() {
            let line_number = at + 1;
            let bare = line.split('#').next().unwrap_or_default().trim();
            if bare.is_empty() {
                continue;
            }
            match parse_line(bare) {
                Ok(_) if faults.len() == FAULTS_MAX => {
                    let what = format!("more than {FAULTS_MAX} faults; cut the schedule in two");
                    errors.push(ScheduleError { line: line_number, what });
                    break;
                }
                Ok(scheduled) => faults.push(scheduled),
                Err(what) => errors.push(ScheduleError { line: line_number, what }),
            }
        }
        if errors.is_empty() { Ok(Schedule { faults }) } else { Err(errors) }
    }
}

fn parse_line(line: &str) -> Result<Scheduled, String> {
    let mut words = line.split_whitespace();
    let (Some(from), Some(lasts), Some(place), Some(kind)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!(
            "`{line}`: want four words: from, for, where and what, as `30s 20s intake timeout`"
        ));
    };
    if let Some(more) = words.next() {
        return Err(format!("`{more}` stands behind the fault; a comment begins with #"));
    }
    let time =
        |word: &str| duration::parse(word).map_err(|_| format!("`{word}` is no time; write 30s, 1.5m or 2h"));
    let (from, lasts) = (time(from)?, time(lasts)?);
    let fault = Fault::parse(kind).ok_or_else(|| format!("`{kind}` is no fault; use {KINDS}"))?;
    match (fault.is_sensors(), place.contains('.')) {
        (true, false) => {
            Err(format!("`{place}` is a device, and {kind} is a sensor's: name a tag, as intake.level"))
        }
        (false, true) => Err(format!("`{place}` is a tag, and {kind} is a device's: name the device alone")),
        _ => Ok(Scheduled { from, lasts, place: place.to_owned(), fault }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_means_what_it_says() {
        let text = "# from for where what\n30s 20s booster timeout\n\n1m 10s booster exception=6 # busy\n2m 30s tank.level frozen\n3m 1m intake.level drift=-0.01\n";
        let schedule = Schedule::parse(text).unwrap();
        let seconds = Duration::from_secs;
        let want = [
            (30, 20, "booster", Fault::Timeout),
            (60, 10, "booster", Fault::Exception(ExceptionCode::ServerDeviceBusy)),
            (120, 30, "tank.level", Fault::Frozen),
            (180, 60, "intake.level", Fault::Drift(-0.01)),
        ]
        .map(|(from, lasts, place, fault)| Scheduled {
            from: seconds(from),
            lasts: seconds(lasts),
            place: place.to_owned(),
            fault,
        });
        assert_eq!(schedule.faults, want);
    }

    #[test]
    fn every_fault_is_written_as_it_is_read() {
        for word in [
            "timeout",
            "exception=4",
            "slow=800ms",
            "wrong-tid",
            "half-close",
            "garbage",
            "drip=5ms",
            "frozen",
            "drift=0.5",
        ] {
            assert_eq!(Fault::parse(word).unwrap().to_string(), word);
        }
    }

    #[test]
    fn what_is_no_schedule_is_told_with_its_line() {
        #[track_caller]
        fn check(text: &str, want: &str) {
            let errors = Schedule::parse(text).unwrap_err();
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert!(all.iter().any(|error| error.contains(want)), "{all:?}");
        }
        check("30s booster timeout", "1: `30s booster timeout`: want four words");
        check("\n30s 20s booster explode", "2: `explode` is no fault; use timeout,");
        check("30 20s booster timeout", "1: `30` is no time; write 30s");
        check("30s 20s booster frozen", "name a tag, as intake.level");
        check("30s 20s booster.level timeout", "name the device alone");
        check("30s 20s booster timeout now", "`now` stands behind the fault");
        check("30s 20s booster exception=0", "`exception=0` is no fault");
        check("30s 20s booster slow=2h", "`slow=2h` is no fault");
        check("30s 20s a.b drift=nan", "`drift=nan` is no fault");
        check(&"1s 1s a timeout\n".repeat(1001), "1001: more than 1000 faults");
    }
}
