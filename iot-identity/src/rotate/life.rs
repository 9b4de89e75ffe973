//! What a rotation knows, and the rules by which it goes on. The engine around it speaks with the driver.

use core::time::Duration;

use iot_core::crypto::{Signature, SlotId};
use iot_core::entropy::Entropy;
use iot_core::{Instant, Now, Timestamp};

use super::pace::Pace;
use super::pair::{Pair, Side};
use super::policy::{Policy, RenewAfterExpiry};
use super::record::{Head, Held};
use super::want::{Identity, Session, Want};
use crate::key::PublicKey;

/// After so many attempts without an answer another identity is shown: some fronts hang up instead of refusing.
const MISSES: u32 = 4;
const MISSES_AT_REST: u32 = 12;
/// So often in a row the service refuses the current certificate before the device believes it.
const REFUSALS: u8 = 3;
/// How long after a candidate was thrown away the next one is asked for, at least and at most.
const ANEW: Duration = Duration::from_secs(3_600);
const MOST_DOUBLINGS: u32 = 6;
/// A clock may be set at any time, so what it says is looked at again this often.
const LOOK: Duration = Duration::from_secs(3_600);
/// So often a slot is looked at in vain before its record is believed.
const LOOKS: u8 = 8;
/// So often in a row a key fails before another one is made.
const FAILURES: u8 = 4;
/// How long a new certificate is kept at least: one that is short-lived by mistake must not wear a key store out.
const REST: Duration = Duration::from_secs(300);

/// Where it stands between two steps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Restoring,
    Inspecting(Side),
    /// Nothing is under way.
    Resting,
    /// The spare slot's key is to be destroyed.
    Clearing,
    /// The spare slot has no key any more; its record is to be removed.
    Forgetting,
    /// The spare slot needs a key.
    Making,
    Signing,
    Asking(Signature),
    Storing,
    Probing,
    Committing,
    /// The clock is right again: the current slot's record is to say so.
    Believing,
    /// Revoked: nothing more is asked.
    Refused,
}

impl Phase {
    /// Whether a record is to be written.
    pub(super) const fn writes(self) -> bool {
        matches!(
            self,
            Self::Storing | Self::Committing | Self::Believing | Self::Forgetting
        )
    }
}

/// What the chain of a slot is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Empty,
    Current,
    Candidate,
    Replaced,
}

#[derive(Clone, Debug)]
pub(super) struct Life<const BYTES: usize> {
    pub(super) phase: Phase,
    pub(super) slots: Pair<SlotId>,
    pub(super) head: Option<Head>,
    pub(super) held: Pair<Option<Held<BYTES>>>,
    pub(super) keys: Pair<Option<PublicKey>>,
    /// When this boot learnt that the certificate is valid.
    pub(super) known: Pair<Instant>,
    pub(super) session: Option<Identity>,
    pub(super) pace: Pace,
    /// The application wants it renewed.
    pub(super) forced: bool,
    policy: Policy,
    link: Pace,
    /// Show the factory identity although there is a current one.
    by_factory: bool,
    /// The service does not take the current certificate.
    shunned: bool,
    /// The factory identity gets through, and perhaps the current one does not.
    suspected: bool,
    /// The clock was set right; the record does not say so yet.
    corrected: bool,
    refusals: u8,
    /// Probes that failed, and whether another session was open since the last one.
    failed: u8,
    reached: bool,
    discarded: u32,
    anew: Instant,
    /// When this boot began to count the overlap.
    switched: Instant,
    look: Instant,
    last: Instant,
    /// How often in a row a slot could not be looked at, and a key not be made or used.
    blind: u8,
    stuck: u8,
    /// The slots were looked at since the boot.
    pub(super) has_looked: bool,
    /// A certificate that has just come is not renewed before.
    rested: Instant,
    /// The registrar said that the spare slot's key is revoked: it never gets a certificate.
    condemned: bool,
    /// A key without a certificate is not asked for: it may have had one, and be refused for ever.
    anew_key: bool,
    /// The factory identity is refused: the current one is shown whatever the clock says of it.
    insists: bool,
}

impl<const BYTES: usize> Life<BYTES> {
    pub(super) const fn new(slots: [SlotId; 2], policy: Policy) -> Self {
        let [a, b] = slots;
        Self {
            phase: Phase::Restoring,
            slots: Pair::new(a, b),
            head: None,
            held: Pair::new(None, None),
            keys: Pair::new(None, None),
            known: Pair::new(Instant::ZERO, Instant::ZERO),
            session: None,
            pace: Pace::new(),
            forced: false,
            policy,
            link: Pace::new(),
            by_factory: false,
            shunned: false,
            suspected: false,
            corrected: false,
            refusals: 0,
            failed: 0,
            reached: false,
            discarded: 0,
            anew: Instant::ZERO,
            switched: Instant::ZERO,
            look: Instant::ZERO,
            last: Instant::ZERO,
            blind: 0,
            stuck: 0,
            has_looked: false,
            rested: Instant::ZERO,
            condemned: false,
            anew_key: false,
            insists: false,
        }
    }

    pub(super) fn side(&self, slot: SlotId) -> Option<Side> {
        Side::BOTH
            .into_iter()
            .find(|&side| *self.slots.of(side) == slot)
    }

    /// The slot that is not current.
    pub(super) fn spare(&self) -> Side {
        self.head.map_or(Side::A, |head| head.current.other())
    }

    /// The current side, if its certificate can be used.
    pub(super) fn current(&self) -> Option<Side> {
        let side = self.head?.current;
        self.held.of(side).is_some().then_some(side)
    }

    pub(super) fn role(&self, side: Side) -> Role {
        let generation = self.head.map_or(0, |head| head.generation);
        match self.held.of(side) {
            None => Role::Empty,
            Some(_) if self.head.is_some_and(|head| head.current == side) => Role::Current,
            Some(held) if held.generation > generation => Role::Candidate,
            Some(_) => Role::Replaced,
        }
    }

    /// Whether the chain of a side is on record: while it is being stored it must not be used.
    pub(super) fn is_durable(&self, side: Side) -> bool {
        let storing = matches!(self.phase, Phase::Storing) && side == self.spare();
        self.phase != Phase::Restoring && !storing
    }

    pub(super) fn next_head(&self, now: Now) -> Head {
        let spare = self.spare();
        // Where the head was lost, the chains' numbers are higher than what would follow.
        let held = self
            .held
            .of(spare)
            .as_ref()
            .map_or(0, |held| held.generation);
        // What is only known to be later than some moment says nothing about how long ago this was.
        let is_bounded = now.wall.not_after().is_some();
        Head {
            generation: self.next_generation().max(held),
            current: spare,
            since: if is_bounded {
                now.wall.not_before()
            } else {
                Timestamp::EPOCH
            },
        }
    }

    pub(super) fn next_generation(&self) -> u32 {
        self.head
            .map_or(1, |head| head.generation.saturating_add(1))
    }

    fn own(&self, side: Side) -> Identity {
        Identity::Own(*self.slots.of(side))
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

    /// Whether requests may be sent.
    pub(super) fn has_session(&self, now: Now) -> bool {
        self.session == Some(self.base(now))
    }

    pub(super) fn restored(&mut self, now: Now) {
        self.phase = Phase::Inspecting(Side::A);
        self.switched = now.instant;
    }

    pub(super) fn holds(&mut self, side: Side, key: Option<PublicKey>) {
        *self.keys.of_mut(side) = key;
        self.blind = 0;
        match self.phase {
            Phase::Inspecting(Side::A) if side == Side::A => {
                self.phase = Phase::Inspecting(Side::B);
            }
            Phase::Inspecting(Side::B) if side == Side::B => self.inspected(),
            Phase::Clearing if side == self.spare() && key.is_none() => {
                let is_on_record = self.held.of(side).is_some();
                self.phase = if is_on_record {
                    Phase::Forgetting
                } else {
                    Phase::Resting
                };
            }
            Phase::Making if side == self.spare() && key.is_some() => {
                self.stuck = 0;
                self.phase = Phase::Signing;
            }
            Phase::Refused if side == self.spare() && key.is_none() => self.condemned = false,
            _ => {}
        }
    }

    /// What was wanted of the key store failed, and nothing is known about what it did.
    pub(super) fn store_failed(&mut self) {
        match self.phase {
            // Perhaps the key was made all the same. If not, what is no key must not be in the way for ever.
            Phase::Making => {
                self.phase = if self.is_stuck(2) {
                    Phase::Clearing
                } else {
                    Phase::Inspecting(Side::A)
                };
            }
            Phase::Inspecting(side) => {
                self.blind = self.blind.saturating_add(1);
                if self.blind >= LOOKS {
                    // A slot that cannot be read must not keep the other one's key from being used. What rests
                    // on this goes the way of every identity that does not work.
                    let believed = self.held.of(side).as_ref().map(|held| *held.term.key());
                    self.holds(side, believed);
                }
            }
            _ => {}
        }
    }

    /// The spare slot's key could not be used. Perhaps it is gone: look again before anything rests on it.
    pub(super) fn key_failed(&mut self) {
        self.phase = Phase::Inspecting(Side::A);
        self.request_failed();
    }

    /// No request came about with the spare slot's key, or the registrar found none in what it was sent.
    pub(super) fn request_failed(&mut self) {
        // Nothing rests on a key without a certificate, so one that never works makes room for another.
        if self.is_stuck(FAILURES) {
            self.phase = Phase::Clearing;
        }
    }

    /// The registrar said that the device is revoked, or the key that it was asked for.
    pub(super) fn refused(&mut self) {
        self.phase = Phase::Refused;
        self.condemned = true;
        self.pace = Pace::new();
    }

    /// Counts one more failure; true, and the count begins anew, with the last that is put up with.
    fn is_stuck(&mut self, most: u8) -> bool {
        self.stuck = self.stuck.saturating_add(1);
        let is_stuck = self.stuck >= most;
        if is_stuck {
            self.stuck = 0;
        }
        is_stuck
    }

    /// Records and keys are known: a record whose key is not there is of no use.
    fn inspected(&mut self) {
        self.phase = Phase::Resting;
        self.has_looked = true;
        let spare = self.spare();
        let is_bare = self.held.of(spare).is_none() && self.keys.of(spare).is_some();
        if core::mem::take(&mut self.anew_key) && is_bare {
            self.phase = Phase::Clearing;
        }
        for side in Side::BOTH {
            let key = *self.keys.of(side);
            let fits = |held: &Held<BYTES>| key == Some(*held.term.key());
            if self.held.of(side).as_ref().is_none_or(fits) {
                continue;
            }
            match self.role(side) {
                Role::Candidate | Role::Replaced if side == self.spare() => {
                    self.phase = Phase::Clearing;
                }
                // The record stays until the slot is needed; what is in memory counts.
                _ => *self.held.of_mut(side) = None,
            }
        }
    }

    /// Goes on by itself as far as it can.
    pub(super) fn advance(&mut self, now: Now) {
        self.last = self.last.max(now.instant);
        let current = self.current();
        if let Some(held) = current.and_then(|side| self.held.of_mut(side).as_mut())
            && held.term.is_corrected(now.wall)
        {
            held.term.doubted = Timestamp::EPOCH;
            self.corrected = true;
        }
        if self.phase != Phase::Resting {
            return;
        }
        let spare = self.spare();
        let role = self.role(spare);
        if core::mem::take(&mut self.corrected) {
            self.phase = Phase::Believing;
            return;
        }
        self.phase = match role {
            Role::Candidate => Phase::Probing,
            Role::Replaced if self.overlap_is_over(now) => Phase::Clearing,
            _ if !self.is_due(now) => Phase::Resting,
            // The overlap ends where the slot is needed.
            Role::Replaced => Phase::Clearing,
            _ if self.keys.of(spare).is_some() => Phase::Signing,
            _ => Phase::Making,
        };
        if self.phase == Phase::Resting
            && self.by_factory
            && self.session == Some(Identity::Factory)
        {
            self.leave_factory();
        }
        let current = self.current().and_then(|side| self.held.of(side).as_ref());
        let rest = current.map_or(LOOK, |held| held.term.rest(&self.policy, now));
        self.look = now.instant + rest.clamp(Duration::from_secs(1), LOOK);
    }

    fn overlap_is_over(&self, now: Now) -> bool {
        let since = self.head.map_or(Timestamp::EPOCH, |head| head.since);
        now.instant >= self.switched + self.policy.overlap
            || since != Timestamp::EPOCH
                && now.wall.not_before() >= since.after(self.policy.overlap)
    }

    fn is_due(&self, now: Now) -> bool {
        if now.instant < self.anew {
            return false;
        }
        let Some(side) = self.current() else {
            return true;
        };
        let term = self.held.of(side).as_ref().map(|held| &held.term);
        let known = *self.known.of(side);
        let is_due = || term.is_none_or(|term| term.is_due(&self.policy, now, known));
        self.forced || now.instant >= self.rested && (self.shunned || is_due())
    }

    pub(super) fn wants(&self, now: Now) -> Option<Want> {
        let slot = |side| *self.slots.of(side);
        let spare = self.spare();
        let paced = self.pace.is_over(now.instant);
        // A key store or a flash that fails must not cost the sessions, so those are wanted in every pause.
        Some(match self.phase {
            Phase::Inspecting(side) if paced => Want::Inspect(slot(side)),
            Phase::Clearing if paced => Want::Destroy(slot(spare)),
            Phase::Making if paced => Want::Generate(slot(spare)),
            Phase::Probing if paced => Want::Session(self.own(spare)),
            Phase::Refused if paced && self.condemned => Want::Destroy(slot(spare)),
            Phase::Restoring | Phase::Refused => return None,
            // The session that probed stays: it is the next current one's.
            Phase::Committing if self.session == Some(self.own(spare)) => return None,
            _ => return self.wants_base(now),
        })
    }

    fn wants_base(&self, now: Now) -> Option<Want> {
        let wanted = !self.has_session(now) && self.link.is_over(now.instant);
        wanted.then(|| Want::Session(self.base(now)))
    }

    /// True when the service said that the device is revoked.
    pub(super) fn session(
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

    /// Nothing is asked for over the factory's session: was it the link, or the current certificate?
    const fn leave_factory(&mut self) {
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

    /// Shows the other identity, where there is one.
    pub(super) fn turn(&mut self) {
        self.insists = self.by_factory;
        self.by_factory = !self.by_factory && self.current().is_some();
    }

    /// Takes a chain in; false when it is not of the spare slot's key.
    pub(super) fn granted(&mut self, now: Now, mut held: Held<BYTES>) -> bool {
        let spare = self.spare();
        if Some(*held.term.key()) != *self.keys.of(spare) {
            return false;
        }
        held.term = held.term.received(now.wall);
        *self.held.of_mut(spare) = Some(held);
        *self.known.of_mut(spare) = now.instant;
        self.pace = Pace::new();
        self.stuck = 0;
        self.phase = Phase::Storing;
        true
    }

    /// What the phase was writing is on record.
    pub(super) fn persisted(&mut self, now: Now) {
        let spare = self.spare();
        self.pace = Pace::new();
        match self.phase {
            Phase::Storing => {
                (self.failed, self.reached) = (0, false);
                self.phase = Phase::Probing;
            }
            Phase::Committing => {
                self.head = Some(self.next_head(now));
                self.switched = now.instant;
                self.rested = now.instant + REST;
                (self.forced, self.shunned, self.by_factory) = (false, false, false);
                (self.suspected, self.corrected, self.insists) = (false, false, false);
                (self.refusals, self.discarded) = (0, 0);
                self.phase = Phase::Resting;
            }
            Phase::Believing => self.phase = Phase::Resting,
            _ => {
                *self.held.of_mut(spare) = None;
                self.phase = Phase::Resting;
            }
        }
    }

    pub(super) fn again(&mut self) {
        if self.phase == Phase::Refused {
            // The slots may not have been looked at yet when the device was refused.
            self.phase = Phase::Inspecting(Side::A);
            (self.condemned, self.anew_key, self.anew) = (false, true, Instant::ZERO);
            let has_current = self.current().is_some();
            (self.forced, self.by_factory, self.shunned) = (true, has_current, has_current);
            (self.pace, self.link) = (Pace::new(), Pace::new());
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Refused if self.condemned => return Some(self.pace.until()),
            Phase::Restoring | Phase::Refused => return None,
            _ => {}
        }
        let overlap = (self.role(self.spare()) == Role::Replaced)
            .then(|| self.switched + self.policy.overlap);
        let look = (self.phase == Phase::Resting).then_some(self.look);
        [
            Some(self.pace.until()),
            Some(self.link.until()),
            Some(self.anew),
            Some(self.rested),
            overlap,
            look,
        ]
        .into_iter()
        .flatten()
        .filter(|&at| at > self.last)
        .min()
    }
}
