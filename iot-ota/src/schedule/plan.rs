//! The answer to "may it happen now?".

use core::time::Duration;

use iot_core::{Instant, Now};

use super::budget::ByteBudget;
use super::window::Window;
use crate::alarm::{NEVER, if_ever, later, milliseconds};

/// Everybody's turn comes so long before a window closes: devices ask now and then, not all the time.
const LAST_CALL_MS: u32 = 60_000;

/// What is about to happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Stage {
    /// An image is fetched, over a link that may cost money.
    Fetch,
    /// The device restarts into another image, and does nothing else for a while.
    Restart,
}

/// What the device is like at the moment; whatever it does not know, it leaves out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Conditions {
    /// How full the battery is, of 100; `None` without one, and where it cannot be told.
    pub battery_percent: Option<u8>,
    /// Whether it has power from outside.
    pub is_powered: bool,
    /// Whether each byte costs money.
    pub is_metered: bool,
    /// Whether somebody uses it right now.
    pub is_in_use: bool,
}

impl Conditions {
    /// Power from outside, a link that costs nothing, nobody there.
    #[must_use]
    pub const fn ideal() -> Self {
        Self {
            battery_percent: None,
            is_powered: true,
            is_metered: false,
            is_in_use: false,
        }
    }

    /// States how full the battery is, of 100, and whether there is power from outside.
    #[must_use]
    pub const fn battery(mut self, percent: u8, is_powered: bool) -> Self {
        (self.battery_percent, self.is_powered) = (Some(percent), is_powered);
        self
    }

    /// States whether each byte costs money.
    #[must_use]
    pub const fn metered(mut self, is_metered: bool) -> Self {
        self.is_metered = is_metered;
        self
    }

    /// States whether somebody uses it right now.
    #[must_use]
    pub const fn in_use(mut self, is_in_use: bool) -> Self {
        self.is_in_use = is_in_use;
        self
    }
}

/// Whether it may happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Decision {
    /// Now.
    Go,
    /// Not now.
    Wait {
        /// The first reason.
        why: Why,
        /// When to ask again at the latest; `None` when only a change of conditions helps.
        until: Option<Instant>,
    },
}

/// Why it may not happen now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Why {
    /// The battery is too low, and there is no other power.
    #[error("the battery is too low")]
    Battery,
    /// Somebody put it off.
    #[error("put off")]
    Deferred,
    /// No maintenance window is open.
    #[error("no maintenance window is open")]
    Window,
    /// There are windows, and the device does not know the time.
    #[error("the time is not known")]
    Clock,
    /// It is this device's turn later: others of its fleet come first.
    #[error("not this device's turn yet")]
    Jitter,
    /// The link costs money.
    #[error("the link is metered")]
    Metered,
    /// The day's bytes are spent.
    #[error("the day's bytes are spent")]
    Budget,
    /// Somebody uses the device.
    #[error("the device is in use")]
    InUse,
}

/// When updates may happen on this device, with up to `WINDOWS` maintenance windows.
///
/// ```
/// use core::time::Duration;
/// use iot_core::{Instant, Now, Timestamp, time::TimeBounds};
/// use iot_ota::schedule::{Conditions, Days, Decision, Schedule, Stage, Why, Window};
///
/// let nights = Window::new(Days::ALL, 60, Duration::from_secs(3 * 3_600));
/// let mut schedule = Schedule::new([Some(nights)]).battery_at_least(30).unmetered();
/// let noon = Timestamp::from_secs(1_799_668_800);
/// let now = Now::new(Instant::ZERO, TimeBounds::exact(noon));
/// let battery = Conditions::default().battery(80, false);
/// assert_eq!(
///     schedule.may(now, Stage::Restart, &battery),
///     Decision::Wait { why: Why::Window, until: Some(Instant::from_millis(13 * 3_600_000)) },
/// );
/// let night = Now::new(Instant::ZERO, TimeBounds::exact(noon.after(Duration::from_secs(14 * 3_600))));
/// assert_eq!(schedule.may(night, Stage::Restart, &battery), Decision::Go);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Schedule<const WINDOWS: usize> {
    windows: [Option<Window>; WINDOWS],
    battery_percent: u8,
    unmetered: bool,
    budget: Option<ByteBudget>,
    // Of 2^32.
    share: u32,
    spread_ms: u32,
    since: Option<Instant>,
    // Zero for not at all.
    deferred: Instant,
    deadline: Instant,
}

impl<const WINDOWS: usize> Schedule<WINDOWS> {
    /// Updates may happen within these windows; at any time when there is none.
    #[must_use]
    pub const fn new(windows: [Option<Window>; WINDOWS]) -> Self {
        Self {
            windows,
            battery_percent: 0,
            unmetered: false,
            budget: None,
            share: 0,
            spread_ms: 0,
            since: None,
            deferred: Instant::ZERO,
            deadline: NEVER,
        }
    }

    /// Without power from outside, the battery must be so full, of 100. A device that cannot tell waits for power.
    #[must_use]
    pub const fn battery_at_least(mut self, percent: u8) -> Self {
        self.battery_percent = percent;
        self
    }

    /// Nothing is fetched over a link that costs money.
    #[must_use]
    pub const fn unmetered(mut self) -> Self {
        self.unmetered = true;
        self
    }

    /// Begins nothing over a link that costs money once this is spent; see [`ByteBudget`].
    #[must_use]
    pub const fn budget(mut self, budget: ByteBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Spreads a fleet over `spread` (at most 49 days): this device waits its part of it, in each window and at each
    /// release.
    ///
    /// When a window has less room than that, it is spread over what there is: everybody's turn comes a minute before
    /// the window closes, in one of less than four minutes a quarter of it before, whatever the doubt about the time.
    ///
    /// `seed` is this device's own and never changes, such as a hash of its name: so a reboot does not change its turn in
    /// a window. A device whose turn is over when a release comes, or that reboots then, gets another one in the rest of
    /// it. Without windows the wait begins anew with each [`begin`](Self::begin): devices have to be up for longer than
    /// `spread`.
    #[must_use]
    pub const fn jitter(mut self, seed: u64, spread: Duration) -> Self {
        // Seeds that are near each other must not give turns that are (Stafford's finaliser).
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let [.., a, b, c, d] = mixed.to_le_bytes();
        self.share = u32::from_le_bytes([a, b, c, d]);
        self.spread_ms = milliseconds(spread);
        self
    }

    /// A release is there since `now`, and has to be installed within `patience`: after that only the battery counts.
    pub const fn begin(&mut self, now: Instant, patience: Option<Duration>) {
        self.since = Some(now);
        self.deferred = Instant::ZERO;
        self.deadline = match patience {
            Some(patience) => now.after(patience),
            None => NEVER,
        };
    }

    /// Somebody puts it off until then, at most to the deadline; returns until when that is.
    #[inline(never)]
    pub fn defer(&mut self, until: Instant) -> Instant {
        self.deferred = until.min(self.deadline);
        self.deferred
    }

    /// The release is installed, or was called off.
    pub const fn end(&mut self) {
        (self.since, self.deferred, self.deadline) = (None, Instant::ZERO, NEVER);
    }

    /// So many bytes were fetched under these conditions.
    pub fn fetched(&mut self, now: Instant, bytes: u32, conditions: &Conditions) {
        if let Some(budget) = &mut self.budget
            && conditions.is_metered
        {
            budget.spend(now, bytes);
        }
    }

    /// Whether `stage` may happen now, and else why not.
    #[inline(never)]
    pub fn may(&mut self, now: Now, stage: Stage, conditions: &Conditions) -> Decision {
        let at = now.instant;
        let low = conditions.battery_percent.unwrap_or(0) < self.battery_percent;
        if low && !conditions.is_powered {
            return wait(Why::Battery, None);
        }
        if at >= self.deadline {
            return Decision::Go;
        }
        match self.patiently(now, stage, conditions) {
            // The deadline changes every answer that is not the battery's.
            Some((why, until)) => wait(why, if_ever(until.min(self.deadline))),
            None => Decision::Go,
        }
    }

    /// Why not, and when to ask again; `None` where it may happen.
    fn patiently(&mut self, now: Now, stage: Stage, conditions: &Conditions) -> Option<Not> {
        let at = now.instant;
        if at < self.deferred {
            return Some((Why::Deferred, self.deferred));
        }
        let closed = self.outside(now);
        if closed.is_some() {
            return closed;
        }
        if stage == Stage::Restart {
            return conditions.is_in_use.then_some((Why::InUse, NEVER));
        }
        if !conditions.is_metered {
            return None;
        }
        if self.unmetered {
            return Some((Why::Metered, NEVER));
        }
        let until = self.budget.as_mut()?.exhausted_until(at);
        (until != NEVER).then_some((Why::Budget, until))
    }

    /// The wait for a window, or for this device's turn in it.
    fn outside(&self, now: Now) -> Option<Not> {
        let at = now.instant;
        let mut windows = self.windows.iter().flatten().peekable();
        if windows.peek().is_none() {
            let turn = later(self.since?, self.part_of(u32::MAX));
            return (at < turn).then_some((Why::Jitter, turn));
        }
        if now.wall.not_after().is_none() {
            return Some((Why::Clock, NEVER));
        }
        let (mut why, mut until) = (Why::Window, NEVER);
        for window in windows {
            let left = if window.is_open(now.wall) {
                match self.turn_in(window, now) {
                    0 => return None,
                    left => {
                        why = Why::Jitter;
                        left
                    }
                }
            } else if let Some(wait) = window.opens_in_ms(now.wall.not_before()) {
                // Doubt about the time may keep a window closed that has opened: look again soon.
                wait.max(1_000)
            } else {
                continue;
            };
            until = until.min(later(at, left));
        }
        Some((why, until))
    }

    /// How many milliseconds it is to this device's turn in a window that is open; zero when it has come.
    #[inline(never)]
    fn turn_in(&self, window: &Window, now: Now) -> u32 {
        let (first, length) = (now.wall.not_before(), window.length_ms());
        let open = window.since_start_ms(first);
        let latest = now.wall.not_after().unwrap_or(first);
        let doubt = since(latest.as_millis(), first.as_millis());
        let end = length.saturating_sub(doubt.saturating_add(LAST_CALL_MS.min(length / 4)));
        // How far into the window the release came; before it, that is zero.
        let released = self.since.map_or(0, |begun| {
            open.saturating_sub(since(now.instant.as_millis(), begun.as_millis()))
        });
        let mut turn = self.part_of(end);
        if turn < released {
            // All whose turn is over would go at once.
            turn = match end.checked_sub(released) {
                None | Some(0) => length,
                Some(rest) => released + self.part_of(rest),
            };
        }
        turn.saturating_sub(open)
    }

    /// This device's part of the spread, or of so many milliseconds if that is less, in milliseconds.
    fn part_of(&self, room_ms: u32) -> u32 {
        let part = u64::from(self.share) * u64::from(self.spread_ms.min(room_ms));
        let [.., a, b, c, d] = part.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

/// Why something may not happen yet, and when to ask again.
type Not = (Why, Instant);

const fn wait(why: Why, until: Option<Instant>) -> Decision {
    Decision::Wait { why, until }
}

/// The time between two moments in milliseconds; at most 49 days.
fn since(latest: u64, first: u64) -> u32 {
    u32::try_from(latest.saturating_sub(first)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
