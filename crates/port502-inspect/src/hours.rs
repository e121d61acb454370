//! Hours of the week: when a rule holds.

use alloc::vec::Vec;

use crate::policy::TimeWindow;

const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;

/// A minute of the week in the site's time zone, Monday 00:00 being the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WeekMinute(u16);

impl WeekMinute {
    /// `day` 0 is Monday, 6 Sunday; `None` for what no clock shows.
    #[must_use]
    pub const fn new(day: u8, hour: u8, minute: u8) -> Option<Self> {
        if day > 6 || hour > 23 || minute > 59 {
            return None;
        }
        Some(WeekMinute(day as u16 * DAY + hour as u16 * 60 + minute as u16))
    }

    /// So many minutes after Monday 00:00; a week is 10,080 of them, and then it begins anew.
    #[must_use]
    pub const fn from_minutes(minutes: u16) -> Self {
        WeekMinute(minutes % WEEK)
    }

    /// Minutes since Monday 00:00.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

/// Windows as minutes of the week: sorted, apart from each other, the end not included.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Hours {
    spans: Vec<(u16, u16)>,
}

impl Hours {
    pub(crate) fn new(windows: &[TimeWindow]) -> Self {
        let mut all: Vec<(u16, u16)> = Vec::new();
        for window in windows {
            for day in (0..7_u16).filter(|day| window.days >> day & 1 == 1) {
                let from = day * DAY + window.from.min(DAY - 1);
                let to = day * DAY + window.to.min(DAY) + if window.to <= window.from { DAY } else { 0 };
                all.push((from, to.min(WEEK)));
                if to > WEEK {
                    all.push((0, to - WEEK));
                }
            }
        }
        all.sort_unstable();
        let mut spans: Vec<(u16, u16)> = Vec::with_capacity(all.len());
        for (from, to) in all {
            match spans.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => spans.push((from, to)),
            }
        }
        Hours { spans }
    }

    pub(crate) fn contain(&self, now: WeekMinute) -> bool {
        let next = self.spans.partition_point(|(from, _)| *from <= now.0);
        next.checked_sub(1).and_then(|at| self.spans.get(at)).is_some_and(|(_, to)| now.0 < *to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentence of [`TimeWindow`], minute by minute.
    fn plainly(window: &TimeWindow, minute: u16) -> bool {
        let (day, of_day) = (minute / DAY, minute % DAY);
        let has = |day: u16| window.days >> day & 1 == 1;
        if window.to > window.from {
            has(day) && (window.from..window.to).contains(&of_day)
        } else {
            (has(day) && of_day >= window.from) || (has((day + 6) % 7) && of_day < window.to)
        }
    }

    #[test]
    fn each_minute_of_the_week() {
        let window = |days, from, to| TimeWindow { days, from, to };
        for windows in [
            &[window(0x1F, 360, 1080)][..],
            &[window(0x7F, 0, 1440)],
            &[window(0x40, 1320, 360)], // Sunday night, into Monday
            &[window(0x01, 600, 600)],  // a whole day from ten
            &[window(0x01, 0, 1), window(0x40, 1439, 1440), window(0x08, 100, 90)],
            &[window(0, 0, 1440)],
            &[],
        ] {
            let hours = Hours::new(windows);
            for minute in 0..WEEK {
                let want = windows.iter().any(|window| plainly(window, minute));
                assert_eq!(hours.contain(WeekMinute(minute)), want, "{windows:?} at {minute}");
            }
        }
    }

    #[test]
    fn minutes() {
        assert_eq!(WeekMinute::new(6, 23, 59), Some(WeekMinute(WEEK - 1)));
        for (day, hour, minute) in [(7, 0, 0), (0, 24, 0), (0, 0, 60)] {
            assert_eq!(WeekMinute::new(day, hour, minute), None);
        }
    }
}
