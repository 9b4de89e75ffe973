//! Sessions: which identity they show, and what follows from how they end.

use core::time::Duration;

use iot_core::Now;
use iot_core::entropy::Entropy;

use super::{Life, Phase, Side};
use crate::rotate::pace::Pace;
use crate::rotate::policy::RenewAfterExpiry;
use crate::rotate::want::{Identity, Session, Want};

/// After so many attempts without an answer another identity is shown: some fronts hang up instead of refusing.
const MISSES: u32 = 4;
const MISSES_AT_REST: u32 = 12;
/// So often in a row the service refuses the current certificate before the device believes it.
const REFUSALS: u8 = 3;
/// How long after a candidate was thrown away the next one is asked for, at least and at most.
const ANEW: Duration = Duration::from_secs(3_600);
const MOST_DOUBLINGS: u32 = 6;

impl<const BYTES: usize> Life<BYTES> {
    /// Whether requests may be sent.
    pub(in crate::rotate) fn has_session(&self, now: Now) -> bool {
        self.session == Some(self.base(now))
    }

    /// True when the service said that the device is revoked.
    pub(in crate::rotate) fn session(
        &mut self,
        now: Now,
        identity: Identity,
        outcome: Session,
        entropy: &mut dyn Entropy,
    ) -> bool {
        let is_open = matches!(outcome, Session::Open | Session::ToRenew);
        self.session = is_open.then_some(identity);
        if matches!(self.phase, Phase::Restoring | Phase::Refused) {
            return false;
        }
        if self.phase == Phase::Probing && identity == self.own(self.spare()) {
            self.probed(now, outcome, entropy);
            return false;
        }
        let is_current = self
            .current()
            .is_some_and(|side| identity == self.own(side));
        if !is_current && identity != Identity::Factory {
            return false;
        }
        match outcome {
            Session::Open | Session::ToRenew => {
                if is_current || !self.shunned {
                    self.link = Pace::new();
                } else {
                    // The current one is shown again from time to time, but a fleet must not do so without end.
                    self.link.wait(now.instant, entropy);
                }
                self.reached = true;
                if is_current {
                    let shunned = outcome == Session::ToRenew;
                    (self.shunned, self.suspected, self.refusals) = (shunned, false, 0);
                } else if self.phase == Phase::Resting && self.current().is_some() {
                    self.leave_factory();
                }
                return false;
            }
            // That the factory's is revoked says nothing about the one in use, which was only out of reach.
            Session::Revoked if !is_current && self.by_factory && !self.shunned => {
                self.by_factory = false;
            }
            Session::Revoked => {
                self.phase = Phase::Refused;
                return true;
            }
            Session::Unreachable => {
                let patience = match self.phase {
                    Phase::Resting => MISSES_AT_REST,
                    _ => MISSES,
                };
                if is_current && core::mem::take(&mut self.suspected) {
                    self.shunned = true;
                    self.turn();
                } else if self.link.attempts() % patience == patience - 1 {
                    self.turn();
                }
            }
            Session::Expired | Session::Refused if is_current => {
                self.refusals = self.refusals.saturating_add(1);
                if outcome == Session::Expired || self.refusals >= REFUSALS {
                    self.shunned = true;
                    self.turn();
                }
            }
            Session::Expired | Session::Refused => self.turn(),
        }
        self.link.wait(now.instant, entropy);
        false
    }

    /// Shows the other identity, where there is one.
    pub(in crate::rotate) fn turn(&mut self) {
        self.insists = self.by_factory;
        self.by_factory = !self.by_factory && self.current().is_some();
    }

    /// What a session shows that is no probe.
    fn base(&self, now: Now) -> Identity {
        let never = self.policy.after_expiry == RenewAfterExpiry::Never && !self.insists;
        let is_over = |side: Side| {
            let held = self.held.of(side).as_ref();
            held.is_some_and(|held| held.term.has_expired(now))
        };
        let usable = self.current().filter(|_| !self.by_factory);
        let usable = usable.filter(|&side| !never || !is_over(side));
        usable.map_or(Identity::Factory, |side| self.own(side))
    }

    pub(super) fn wants_base(&self, now: Now) -> Option<Want> {
        let wanted = !self.has_session(now) && self.link.is_over(now.instant);
        wanted.then(|| Want::Session(self.base(now)))
    }

    /// Nothing is asked for over the factory's session: was it the link, or the current certificate?
    pub(super) const fn leave_factory(&mut self) {
        (self.by_factory, self.suspected) = (false, true);
    }

    /// The candidate was shown to the service.
    fn probed(&mut self, now: Now, outcome: Session, entropy: &mut dyn Entropy) {
        match outcome {
            Session::Open => {
                self.pace = Pace::new();
                self.link = Pace::new();
                self.phase = Phase::Committing;
                return;
            }
            Session::Revoked => self.failed = u8::MAX,
            // Without a link nothing was learnt about the candidate.
            Session::Unreachable if !self.reached => {}
            _ => self.failed = self.failed.saturating_add(1),
        }
        self.reached = false;
        self.pace.wait(now.instant, entropy);
        if self.failed >= self.policy.probes {
            let doublings = self.discarded.min(MOST_DOUBLINGS);
            self.discarded = self.discarded.saturating_add(1);
            self.anew = now.instant + ANEW.saturating_mul(1 << doublings);
            self.failed = 0;
            self.by_factory &= self.shunned;
            self.phase = Phase::Clearing;
        }
    }
}
