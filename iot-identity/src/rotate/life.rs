//! What a rotation knows, and the rules by which it goes on. The engine around it speaks with the driver.

mod keys;
mod sessions;

use core::time::Duration;

use iot_core::crypto::{Signature, SlotId};
use iot_core::{Instant, Now, Timestamp};

use super::pace::Pace;
use super::pair::{Pair, Side};
use super::policy::Policy;
use super::record::{Head, Held};
use super::want::{Identity, Want};
use crate::key::PublicKey;

/// A clock may be set at any time, so what it says is looked at again this often.
const LOOK: Duration = Duration::from_secs(3_600);
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

    pub(super) fn restored(&mut self, now: Now) {
        self.phase = Phase::Inspecting(Side::A);
        self.switched = now.instant;
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
