//! When a certificate is due, on a clock that may be wrong, unknown or set in between.
//!
//! Two things tell the time. The wall clock's bounds are what the device claims; that this boot has lasted so
//! long since the certificate was known to be valid is a proof of its own, which needs no clock. The claim may
//! be wrong, and a certificate that has just come shows it: when it looks old already, the clock runs ahead of the
//! service's, or the service had issued it long ago. Then the clock says when to renew only after it has moved on
//! by a quarter of the certificate's life, or once it was set back, which is put on record; without that rule a
//! device with a wrong clock would renew without end. A registrar hands out nothing that is older than two thirds, so a quarter is in time.

use core::time::Duration;

use iot_core::time::{Proof, TimeBounds};
use iot_core::{Instant, Now, Timestamp};

use super::policy::Policy;
use crate::cert::UnverifiedCertificate;
use crate::key::PublicKey;

/// How long a certificate lives, and what its device's clock said when it came.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Term {
    key: PublicKey,
    not_before: Timestamp,
    not_after: Timestamp,
    /// The clock when the certificate came, if that claimed that it was old; zero otherwise.
    pub(super) doubted: Timestamp,
}

impl Term {
    /// `None` for what is no certificate of a key that we can have.
    pub(super) fn of(certificate: &[u8], doubted: Timestamp) -> Option<Self> {
        let view = UnverifiedCertificate::parse(certificate)?;
        Some(Self {
            key: view.public_key()?,
            not_before: view.not_before(),
            not_after: view.not_after(),
            doubted,
        })
    }

    /// Notes what the clock claims about a certificate that has just come.
    pub(super) fn received(mut self, wall: TimeBounds) -> Self {
        let is_fresh = wall.reached(self.not_before.after(self.life() / 8)) != Proof::Yes;
        self.doubted = if is_fresh {
            Timestamp::EPOCH
        } else {
            wall.not_before()
        };
        self
    }

    pub(super) const fn key(&self) -> &PublicKey {
        &self.key
    }

    pub(super) const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    fn life(&self) -> Duration {
        let millis = self.not_after.as_millis();
        Duration::from_millis(millis.saturating_sub(self.not_before.as_millis()))
    }

    /// From when on it is renewed. Never in the first third of its life, or it would be renewed at once.
    pub(super) fn renew_at(&self, policy: &Policy) -> Timestamp {
        let third = self.life() / 3;
        let spread = policy.jitter.min(third);
        self.not_after
            .before(policy.window.min(third))
            .before(self.share(spread))
    }

    /// This key's part of `span`: the same after every boot, and different for every device.
    fn share(&self, span: Duration) -> Duration {
        let seed = 0xcbf2_9ce4_8422_2325;
        let hash = self.key.as_bytes().iter().fold(seed, |hash: u64, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // The upper half mixes best; 32 bits of it tell four billion devices apart.
        let millis = u128::from(hash >> 32).saturating_mul(span.as_millis()) >> 32;
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// Whether it is time to renew; `known` is when this boot learnt that the certificate has begun.
    pub(super) fn is_due(&self, policy: &Policy, now: Now, known: Instant) -> bool {
        let renew_at = self.renew_at(policy);
        if self.not_before.after(now.instant.since(known)) >= renew_at {
            return true;
        }
        now.wall.reached(renew_at) == Proof::Yes && self.believes(now.wall, self.life() / 4)
    }

    /// Whether it has expired, as far as this clock can be believed.
    pub(super) fn has_expired(&self, now: Now) -> bool {
        now.wall.reached(self.not_after) == Proof::Yes && self.believes(now.wall, self.life())
    }

    /// Whether the clock that was doubted has been set back since, and may be believed again.
    pub(super) fn is_corrected(&self, wall: TimeBounds) -> bool {
        // A clock that is merely unknown now may come back as wrong as it was.
        self.doubted != Timestamp::EPOCH && wall.reached(self.doubted) == Proof::No
    }

    /// Whether a clock that was doubted has moved on by `span` since.
    fn believes(&self, wall: TimeBounds, span: Duration) -> bool {
        let doubted = self.doubted;
        doubted == Timestamp::EPOCH || wall.not_before() >= doubted.after(span)
    }

    /// How long nothing can be due, unless the clock is set.
    pub(super) fn rest(&self, policy: &Policy, now: Now) -> Duration {
        let from = now.wall.not_before().as_millis();
        let renew_at = self.renew_at(policy).as_millis();
        Duration::from_millis(renew_at.saturating_sub(from))
    }
}
