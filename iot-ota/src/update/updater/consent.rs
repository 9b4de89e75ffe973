//! What people and schedules have a say in.

use iot_core::crypto::Digest;
use iot_core::time::Instant;

use super::{Activity, Phase, Status, Updater};
use crate::image::MinimumRate;
use crate::manifest::ManifestKeys;
use crate::schedule::{Decision, Stage};
use crate::slot::Banks;
use crate::update::fetch::Checkpoint;
use crate::update::payload::Payloads;
use crate::update::report::Outcome;

/// What was last said about each stage, and whether somebody has to agree to the release that is pending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consent {
    pub(super) fetch: Decision,
    pub(super) restart: Decision,
    /// To every release.
    pub(super) asks: bool,
    /// To this one, since its manifest says so.
    pub(super) is_asked_for: bool,
    /// Somebody has agreed to this one; to the next one nobody has.
    pub(super) agreed: bool,
}

impl Consent {
    pub(super) const NOT_ASKED: Self = Self {
        fetch: Decision::Go,
        restart: Decision::Go,
        asks: false,
        is_asked_for: false,
        agreed: false,
    };

    pub(super) fn may_fetch(&self) -> bool {
        self.fetch == Decision::Go
    }

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
        for decision in [&mut self.fetch, &mut self.restart] {
            if let Decision::Wait { until, .. } = decision {
                *until = until.filter(|&at| at > now);
            }
        }
    }

    /// When somebody should ask the schedule again.
    pub(super) fn until(&self) -> Option<Instant> {
        let until = |decision| match decision {
            Decision::Wait { until, .. } => until,
            Decision::Go => None,
        };
        match (until(self.fetch), until(self.restart)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
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
        self.settings.minimum_rate = Some((bytes, span));
        self
    }

    /// Takes a [`Schedule`](crate::schedule::Schedule)'s answer for a stage, which holds until the next one.
    ///
    /// While a fetch may not happen, nothing is asked for and what has arrived stays; while a restart may not, none is
    /// wanted. The engine's deadline is also when the schedule should be asked again, until it has passed.
    pub const fn gate(&mut self, stage: Stage, decision: Decision) {
        match stage {
            Stage::Fetch => {
                if !matches!(decision, Decision::Go) {
                    self.rate = None;
                }
                self.consent.fetch = decision;
            }
            Stage::Restart => self.consent.restart = decision,
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
        let Some(release) = self.fetched() else {
            return false;
        };
        self.end_fetch();
        self.refuse(Some(release.sequence), Outcome::Cancelled);
        true
    }

    /// What has changed since this was last called: one status for each change of activity, the newest.
    #[inline(never)]
    pub fn progress(&mut self) -> Option<Status> {
        let status = self.status();
        let changed = self.shown != Some(status.activity);
        self.shown = Some(status.activity);
        changed.then_some(status)
    }

    pub(super) const fn awaits_approval(&self) -> Option<u64> {
        match (self.phase, self.pending) {
            (Phase::Confirmed, Some(Checkpoint { release, .. })) if self.consent.waits() => {
                Some(release.sequence)
            }
            _ => None,
        }
    }

    /// Something was asked for: from here on the time counts.
    pub(super) fn count_rate(&mut self, now: Instant) {
        if let (None, Some((bytes, span))) = (self.rate, self.settings.minimum_rate) {
            self.rate = Some(MinimumRate::new(bytes, span, now));
        }
    }

    /// Ends a download that is too slow.
    pub(super) fn judge_rate(&mut self, now: Instant) {
        let (Some(rate), Some(fetch)) = (&mut self.rate, &self.fetch) else {
            return;
        };
        if rate.look(now) == crate::image::Verdict::Stalled {
            let sequence = fetch.release().sequence;
            self.end_fetch();
            self.refuse(Some(sequence), Outcome::TooSlow);
        }
    }
}

/// The activity of a release that is waited for.
pub(super) const fn pending(release: crate::slot::Release, awaits: bool) -> Activity {
    if awaits {
        Activity::AwaitingApproval { release }
    } else {
        Activity::Fetching { release, offset: 0 }
    }
}
