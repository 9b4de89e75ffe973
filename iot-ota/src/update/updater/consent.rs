//! What people and schedules have a say in.

use iot_core::crypto::Digest;
use iot_core::time::Instant;

use super::{Phase, Status, Updater};
use crate::alarm::{NEVER, milliseconds};
use crate::image::MinimumRate;
use crate::manifest::ManifestKeys;
use crate::schedule::{Decision, Stage};
use crate::slot::Banks;
use crate::update::fetch::Course;
use crate::update::payload::Payloads;
use crate::update::report::Outcome;

/// What an activity is told apart by: which one it is, and how far a download is. The release that it is about is the
/// same until that ends.
pub(super) type Shown = (u8, u32);

pub(super) const SHOWN_NOTHING: Shown = (u8::MAX, NOWHERE);
/// Where nothing is downloaded.
pub(super) const NOWHERE: u32 = u32::MAX;

/// What was last said about each stage, and whether somebody has to agree to the release that is pending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consent {
    pub(super) may_fetch: bool,
    pub(super) may_restart: bool,
    // When somebody should ask about fetching again, and when about restarting.
    fetch: Instant,
    restart: Instant,
    /// To every release.
    pub(super) asks: bool,
    /// To this one, since its manifest says so.
    pub(super) is_asked_for: bool,
    /// Somebody has agreed to this one; to the next one nobody has.
    pub(super) agreed: bool,
}

impl Consent {
    pub(super) const NOT_ASKED: Self = Self {
        may_fetch: true,
        may_restart: true,
        fetch: NEVER,
        restart: NEVER,
        asks: false,
        is_asked_for: false,
        agreed: false,
    };

    pub(super) const fn waits(&self) -> bool {
        (self.asks || self.is_asked_for) && !self.agreed
    }

    /// Another release, or none, is pending.
    pub(super) const fn forget(&mut self) {
        self.is_asked_for = false;
        self.agreed = false;
    }

    /// Who sleeps until the schedule is to be asked has been woken: once is enough.
    pub(super) fn pass(&mut self, now: Instant) {
        for at in [&mut self.fetch, &mut self.restart] {
            if *at <= now {
                *at = NEVER;
            }
        }
    }

    /// When somebody should ask the schedule again.
    pub(super) fn until(&self) -> Instant {
        self.fetch.min(self.restart)
    }
}

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Updater<'_, B, K, D, P> {
    /// Fetches nothing before somebody has [agreed](Self::approve) to it; it [`wants`](Self::wants) that.
    ///
    /// Without this it does so for the releases alone whose manifest asks for agreement (`update-authorized`). Agreement
    /// is to one release, until it was called off or has ended, and is asked for anew when that is offered once more.
    /// A release that nobody has agreed to is forgotten with a reboot; the service offers it again.
    #[must_use]
    pub const fn with_approval(mut self) -> Self {
        self.consent.asks = true;
        self
    }

    /// Gives a download up that brings less than `bytes` in each `span` while it is asked for.
    #[must_use]
    pub const fn with_minimum_rate(mut self, bytes: u32, span: core::time::Duration) -> Self {
        self.settings.minimum_rate = Some((bytes, milliseconds(span)));
        self
    }

    /// Takes a [`Schedule`](crate::schedule::Schedule)'s answer for a stage, which holds until the next one.
    ///
    /// While a fetch may not happen, nothing is asked for and what has arrived stays; while a restart may not, none is
    /// wanted. The engine's deadline is also when the schedule should be asked again, until it has passed.
    pub const fn gate(&mut self, stage: Stage, decision: Decision) {
        let (may, until) = match decision {
            Decision::Go => (true, NEVER),
            Decision::Wait { until: None, .. } => (false, NEVER),
            Decision::Wait {
                until: Some(until), ..
            } => (false, until),
        };
        match stage {
            Stage::Fetch => {
                if !may {
                    self.rate = None;
                }
                (self.consent.may_fetch, self.consent.fetch) = (may, until);
            }
            Stage::Restart => (self.consent.may_restart, self.consent.restart) = (may, until),
        }
    }

    /// Somebody agrees to that release; true when it was waited for.
    pub fn approve(&mut self, sequence: u64) -> bool {
        let waiting = self.awaits_approval() == Some(sequence);
        if waiting {
            self.consent.agreed = true;
            self.change = self.change.wrapping_add(1);
        }
        waiting
    }

    /// Somebody calls the update off; true when there was one that had not been staged yet. The service is told.
    pub fn cancel(&mut self) -> bool {
        let fetched = self.fetched().is_some();
        if fetched {
            self.give_up(Outcome::Cancelled);
        }
        fetched
    }

    /// What has changed since this was last called: one status for each change of activity, the newest.
    #[inline(never)]
    pub fn progress(&mut self) -> Option<Status> {
        let kind = match &self.course {
            Course::Pending if self.consent.waits() => 2,
            Course::Pending | Course::Fetching(_) => 1,
            Course::Nothing | Course::OnRecord { .. } => 0,
        };
        let offset = match kind {
            0 => NOWHERE,
            _ => self.received(),
        };
        let shown = (self.phase as u8 * 4 + kind, offset);
        if self.shown == shown {
            return None;
        }
        self.shown = shown;
        Some(self.status())
    }

    pub(super) const fn awaits_approval(&self) -> Option<u64> {
        match (self.phase, &self.course) {
            (Phase::Confirmed, Course::Pending) if self.consent.waits() => {
                Some(self.checkpoint.release.sequence)
            }
            _ => None,
        }
    }

    /// Something was asked for: from here on the time counts.
    pub(super) fn count_rate(&mut self, now: Instant) {
        if let (None, Some((bytes, span))) = (self.rate, self.settings.minimum_rate) {
            self.rate = Some(MinimumRate::in_ms(bytes, span, now));
        }
    }

    /// Ends a download that is too slow.
    pub(super) fn judge_rate(&mut self, now: Instant) {
        if let (Some(rate), Course::Fetching(_)) = (&mut self.rate, &self.course)
            && rate.look(now) == crate::image::Verdict::Stalled
        {
            self.give_up(Outcome::TooSlow);
        }
    }
}
