//! The slots' keys: found, made, given up.

use iot_core::Instant;

use super::{Life, Phase, Role, Side};
use crate::key::PublicKey;
use crate::rotate::pace::Pace;
use crate::rotate::record::Held;

/// So often a slot is looked at in vain before its record is believed.
const LOOKS: u8 = 8;
/// So often in a row a key fails before another one is made.
const FAILURES: u8 = 4;

impl<const BYTES: usize> Life<BYTES> {
    pub(in crate::rotate) fn holds(&mut self, side: Side, key: Option<PublicKey>) {
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
    pub(in crate::rotate) fn store_failed(&mut self) {
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
    pub(in crate::rotate) fn key_failed(&mut self) {
        self.phase = Phase::Inspecting(Side::A);
        self.request_failed();
    }

    /// No request came about with the spare slot's key, or the registrar found none in what it was sent.
    pub(in crate::rotate) fn request_failed(&mut self) {
        // Nothing rests on a key without a certificate, so one that never works makes room for another.
        if self.is_stuck(FAILURES) {
            self.phase = Phase::Clearing;
        }
    }

    /// The registrar said that the device is revoked, or the key that it was asked for.
    pub(in crate::rotate) fn refused(&mut self) {
        self.phase = Phase::Refused;
        self.condemned = true;
        self.pace = Pace::new();
    }

    pub(in crate::rotate) fn again(&mut self) {
        if self.phase == Phase::Refused {
            // The slots may not have been looked at yet when the device was refused.
            self.phase = Phase::Inspecting(Side::A);
            (self.condemned, self.anew_key, self.anew) = (false, true, Instant::ZERO);
            let has_current = self.current().is_some();
            (self.forced, self.by_factory, self.shunned) = (true, has_current, has_current);
            (self.pace, self.link) = (Pace::new(), Pace::new());
        }
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

    /// Counts one more failure; true, and the count begins anew, with the last that is put up with.
    fn is_stuck(&mut self, most: u8) -> bool {
        self.stuck = self.stuck.saturating_add(1);
        let is_stuck = self.stuck >= most;
        if is_stuck {
            self.stuck = 0;
        }
        is_stuck
    }
}
