//! Maintenance windows.

use core::time::Duration;

use iot_core::Timestamp;
use iot_core::time::TimeBounds;

use super::divide;
use crate::alarm::milliseconds;

const DAY_MS: u32 = 86_400_000;
const WEEK_MS: u32 = 7 * DAY_MS;
/// 1970-01-01 was a Thursday, three days after a Monday; and four weeks more than the farthest place is west.
const FIRST_MIN: i32 = (3 + 4 * 7) * 1_440;

/// Days of the week.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Days(u8);

impl Days {
    /// Every day.
    pub const ALL: Self = Self(0x7f);
    /// Monday to Friday.
    pub const WORKING: Self = Self(0x1f);
    /// Saturday and Sunday.
    pub const WEEKEND: Self = Self(0x60);

    /// The days whose number is in `days`: 0 is Monday, 6 is Sunday, and greater numbers are ignored.
    #[must_use]
    pub const fn of(days: &[u8]) -> Self {
        let (mut set, mut rest) = (0, days);
        while let [day, later @ ..] = rest {
            if *day < 7 {
                set |= 1 << *day;
            }
            rest = later;
        }
        Self(set)
    }
}

/// A part of some days in which updates are welcome. It may go past midnight, into the next day.
///
/// ```
/// use core::time::Duration;
/// use iot_core::Timestamp;
/// use iot_core::time::TimeBounds;
/// use iot_ota::schedule::{Days, Window};
///
/// // Mondays from 22:30 to 02:30 in Berlin's winter.
/// let window = Window::new(Days::of(&[0]), 22 * 60 + 30, Duration::from_secs(4 * 3_600)).east_of_utc(60);
/// let monday_23_00 = Timestamp::from_secs(1_799_704_800);
/// assert!(window.is_open(TimeBounds::exact(monday_23_00)));
/// assert!(!window.is_open(TimeBounds::exact(monday_23_00.after(Duration::from_secs(4 * 3_600)))));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Window {
    days: Days,
    start_min: u16,
    length_ms: u32,
    east_min: i16,
}

impl Window {
    /// Opens on `days` at `start_min` minutes after midnight (at most 1,439), for `length` (at most a day).
    #[must_use]
    pub const fn new(days: Days, start_min: u16, length: Duration) -> Self {
        let length_ms = milliseconds(length);
        Self {
            days,
            start_min: if start_min < 1_440 { start_min } else { 1_439 },
            length_ms: if length_ms < DAY_MS {
                length_ms
            } else {
                DAY_MS
            },
            east_min: 0,
        }
    }

    /// The days and minutes are those of a place so many minutes east of UTC. Summer time is for whoever sets this.
    #[must_use]
    pub const fn east_of_utc(mut self, minutes: i16) -> Self {
        self.east_min = minutes;
        self
    }

    /// Whether it is open whatever the time is within these bounds. A device that does not know the time has no window.
    #[must_use]
    #[inline(never)]
    pub fn is_open(&self, now: TimeBounds) -> bool {
        let Some(latest) = now.not_after() else {
            return false;
        };
        // Both ends in one and the same opening, or in openings that touch, as those of whole days do.
        let mut from = now.not_before();
        for _ in 0..8 {
            let left = self.length_ms.saturating_sub(self.since_start_ms(from));
            if left == 0 {
                return false;
            }
            from = Timestamp::from_millis(from.as_millis().saturating_add(left.into()));
            if latest < from {
                return true;
            }
        }
        // A week of them is always open.
        true
    }

    /// How long until it is next open, from the earliest that it may be now; `None` when it never is.
    ///
    /// Where it opens now, zero.
    #[must_use]
    pub fn opens_in(&self, now: TimeBounds) -> Option<Duration> {
        let wait = self.opens_in_ms(now.not_before());
        wait.map(|ms| Duration::from_millis(ms.into()))
    }

    /// The same in milliseconds.
    #[inline(never)]
    pub(super) fn opens_in_ms(&self, at: Timestamp) -> Option<u32> {
        let week = self.two_weeks();
        if week == 0 || self.length_ms == 0 {
            return None;
        }
        if self.since_start_ms(at) < self.length_ms {
            return Some(0);
        }
        let (day, into) = self.place(at);
        let days = 1 + (week >> (day + 1)).trailing_zeros();
        Some(days * DAY_MS - into)
    }

    pub(super) const fn length_ms(&self) -> u32 {
        self.length_ms
    }

    /// How long ago it last opened in the week before, in milliseconds; more than it is ever open where it did not.
    #[inline(never)]
    pub(super) fn since_start_ms(&self, at: Timestamp) -> u32 {
        let (day, into) = self.place(at);
        // The day before it is the bit below; without days all of them are zero.
        let days = (self.two_weeks() << (24 - day)).leading_zeros();
        days * DAY_MS + into
    }

    /// The days twice over: bit 7 is the second Monday.
    const fn two_weeks(&self) -> u32 {
        (self.days.0 & 0x7f) as u32 * 0x81
    }

    /// The day that begins when a window of every day opens, and how far it is gone, in milliseconds.
    #[inline(never)]
    fn place(&self, at: Timestamp) -> (u32, u32) {
        let shift = FIRST_MIN + i32::from(self.east_min) - i32::from(self.start_min);
        let shift = u64::from(shift.unsigned_abs()) * 60_000;
        let (_, into) = divide(at.as_millis().saturating_add(shift), WEEK_MS);
        (into / DAY_MS, into % DAY_MS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_S: u64 = 86_400;
    const WEEK_S: u64 = 7 * DAY_S;
    /// 2027-01-11, a Monday, 00:00 UTC.
    const MONDAY_S: u64 = 1_799_625_600;

    fn at(seconds: u64) -> TimeBounds {
        TimeBounds::exact(Timestamp::from_secs(seconds))
    }

    #[test]
    fn a_window_goes_past_midnight_and_past_sunday() {
        let window = Window::new(Days::of(&[6]), 23 * 60, Duration::from_secs(2 * 3_600));
        assert!(window.is_open(at(MONDAY_S)));
        assert!(window.is_open(at(MONDAY_S + 3_599)));
        assert!(!window.is_open(at(MONDAY_S + 3_600)));
        assert!(window.is_open(at(MONDAY_S - 3_600)));
        assert!(!window.is_open(at(MONDAY_S - 3_601)));
    }

    #[test]
    fn doubt_about_the_time_closes_a_window_that_it_reaches_out_of() {
        let window = Window::new(Days::ALL, 60, Duration::from_secs(3_600));
        let between = |from: u64, to: u64| {
            let moment = |seconds| Timestamp::from_secs(MONDAY_S + seconds);
            TimeBounds::between(moment(from), moment(to)).unwrap()
        };
        assert!(window.is_open(between(3_600, 7_199)));
        assert!(!window.is_open(between(3_599, 7_199)));
        assert!(!window.is_open(between(3_600, 7_200)));
        // In today's and in tomorrow's is not in one: they do not touch.
        assert!(!window.is_open(between(3_600, 86_400 + 3_600)));
        assert!(!window.is_open(TimeBounds::at_least(Timestamp::from_secs(MONDAY_S + 3_600))));
    }

    #[test]
    fn the_wait_for_a_window_is_told_to_the_millisecond() {
        let window = Window::new(Days::ALL, 60, Duration::from_secs(3_600));
        let between =
            |millis: u64| TimeBounds::exact(Timestamp::from_millis(MONDAY_S * 1_000 + millis));
        let wait = |millis| {
            window
                .opens_in(between(millis))
                .map(|wait| wait.as_millis())
        };
        assert_eq!(wait(3_599_250), Some(750));
        assert_eq!(wait(3_600_000), Some(0));
        assert_eq!(wait(7_199_999), Some(0));
        assert_eq!(wait(7_200_001), Some(86_400_000 - 3_600_001));
        let never = Window::new(Days::of(&[]), 60, Duration::from_secs(3_600));
        assert_eq!(never.opens_in(between(0)), None);
    }

    #[test]
    fn west_of_greenwich_the_day_begins_later() {
        // Mondays from 22:00 to midnight in New York's winter are Tuesdays from 03:00.
        let window = Window::new(Days::of(&[0]), 22 * 60, Duration::from_secs(2 * 3_600));
        let window = window.east_of_utc(-300);
        let open = |hours: u64| window.is_open(at(MONDAY_S + hours * 3_600));
        let found: alloc::vec::Vec<u64> = (0..168).filter(|&hours| open(hours)).collect();
        assert_eq!(found, [27, 28]);
    }

    #[test]
    fn openings_of_whole_days_touch_whatever_the_doubt_about_the_time() {
        let around = |middle: u64, doubt: u64| {
            let moment = |seconds| Timestamp::from_secs(seconds);
            TimeBounds::between(moment(middle - doubt), moment(middle + doubt)).unwrap()
        };
        let whole_days = |days| Window::new(days, 0, Duration::from_secs(DAY_S));
        for doubt in [1, 300, DAY_S, 10 * WEEK_S] {
            assert!(whole_days(Days::ALL).is_open(around(MONDAY_S, doubt)));
        }
        // From Monday to Friday there are four midnights that are in it, and two ends that are not.
        let working = whole_days(Days::WORKING);
        assert!(working.is_open(around(MONDAY_S + 5 * DAY_S / 2, 5 * DAY_S / 2 - 1)));
        assert!(!working.is_open(around(MONDAY_S, 1)));
        assert!(!working.is_open(around(MONDAY_S + 5 * DAY_S, 1)));
        // A second less, and they do not touch.
        let nearly = Window::new(Days::ALL, 0, Duration::from_secs(DAY_S - 1));
        assert!(!nearly.is_open(around(MONDAY_S, 1)));
    }

    proptest! {
        #[test]
        fn it_is_open_when_it_said_it_would_be_and_not_before(
            days in 1_u8..128,
            start in 0_u16..1_440,
            length in 1_u64..86_400,
            east in -720_i16..=840,
            now in MONDAY_S..MONDAY_S + 3_000_000,
            part in 0_u64..1_000,
        ) {
            let window = Window::new(Days(days), start, Duration::from_secs(length)).east_of_utc(east);
            let wait = window.opens_in(at(now)).unwrap().as_secs();
            prop_assert!(window.is_open(at(now + wait)));
            prop_assert!(wait < WEEK_S);
            if wait > 0 {
                prop_assert!(!window.is_open(at(now + wait * part / 1_000)));
            }
        }
    }
}
