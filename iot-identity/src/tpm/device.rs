//! Slots in a TPM: what one thread does with it.

use core::hash::{BuildHasher as _, Hasher as _};
use core::time::Duration;
use std::hash::RandomState;
use std::thread;
use std::time::Instant;

use iot_core::crypto::{KeyError, KeyPolicy, SignatureAlgorithm, SlotId};

use super::code::{Failure, Fault, OpenError};
use super::command::Tpm;
use super::config::Config;
use super::public;
use crate::key::PublicKey;
use crate::rustcrypto::P256Verifier;

// The owner's persistent handles (Part 2 §7.3); what follows is the platform's.
const FIRST: u32 = 0x8100_0000;
const LAST: u32 = 0x817f_ffff;

/// The device of the worker's thread.
pub(super) struct Device {
    tpm: Tpm,
    config: Config,
}

impl Device {
    /// Looks at every slot: what lies there must be a key that stays in this TPM.
    pub(super) fn open(tpm: Tpm, config: Config, deadline: Instant) -> Result<Self, OpenError> {
        let end = config.base.checked_add(u32::from(config.slots));
        if config.base < FIRST || end.is_none_or(|end| end > LAST) {
            return Err(OpenError::Handles);
        }
        let mut device = Self { tpm, config };
        device.look_at_all(deadline)?;
        Ok(device)
    }

    fn look_at_all(&mut self, deadline: Instant) -> Result<(), OpenError> {
        let mut first = self.config.base;
        loop {
            let taken = self.tpm.handles(first, deadline).map_err(failed)?;
            let Some(last) = taken.last().filter(|last| **last >= first) else {
                return Ok(());
            };
            first = last.saturating_add(1);
            for handle in taken {
                let slot = handle.checked_sub(self.config.base);
                let slot = slot.and_then(|number| u16::try_from(number).ok());
                let Some(slot) = slot.filter(|number| *number < self.config.slots) else {
                    return Ok(());
                };
                let slot = SlotId::new(slot);
                match self.look(slot, deadline) {
                    // Evicted meanwhile, or a key of ours.
                    Ok(_) | Err(Failure::Key(KeyError::Absent)) => {}
                    Err(Failure::Fault(Fault::Foreign)) => return Err(OpenError::Foreign { slot }),
                    Err(failure) => return Err(failed(failure)),
                }
            }
        }
    }

    fn handle(&self, slot: SlotId) -> Option<u32> {
        let has = slot.get() < self.config.slots;
        has.then(|| self.config.base.saturating_add(u32::from(slot.get())))
    }

    /// The key in a slot; [`KeyError::Absent`] when there is none.
    fn look(&mut self, slot: SlotId, deadline: Instant) -> Result<(PublicKey, KeyPolicy), Failure> {
        let handle = self.handle(slot).ok_or(KeyError::Absent)?;
        // What a broken link kept us from giving back takes a slot that others need.
        self.tpm.flush(deadline);
        match self.tpm.read_public(handle, deadline) {
            Ok(area) => public::read(&area),
            Err(failure) if failure.is_no_object() => Err(KeyError::Absent.into()),
            Err(failure) => Err(failure),
        }
    }

    /// Does what may be done twice; once more when the link broke.
    fn twice<T>(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match work(self) {
            Err(Failure::Fault(Fault::Link)) => work(self),
            other => other,
        }
    }

    pub(super) fn public(&mut self, slot: SlotId, deadline: Instant) -> Result<PublicKey, Failure> {
        self.twice(|device| Ok(device.look(slot, deadline)?.0))
    }

    /// Signs with the key that was lent, if that is still what lies in the slot.
    ///
    /// Another process may have replaced it, and nobody would tell: so its public area is read each time. Responses
    /// do not say what they answer, so each signature is verified before anybody sees it, and made again if it is
    /// of something else.
    pub(super) fn sign(
        &mut self,
        slot: SlotId,
        lent: &PublicKey,
        digest: &[u8; 32],
        deadline: Instant,
    ) -> Result<[u8; 64], Failure> {
        let handle = self.handle(slot).ok_or(KeyError::Absent)?;
        let verifier = P256Verifier::new(lent).ok_or(Fault::Response)?;
        for _ in 0..2 {
            let signature = self.twice(|device| {
                if device.look(slot, deadline)?.0 != *lent {
                    return Err(KeyError::Absent.into());
                }
                device.tpm.sign(handle, digest, deadline)
            })?;
            if verifier.verify_digest(digest, &signature).is_ok() {
                return Ok(signature);
            }
        }
        Err(Fault::Signature.into())
    }

    pub(super) fn generate(
        &mut self,
        slot: SlotId,
        algorithm: SignatureAlgorithm,
        policy: KeyPolicy,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let handle = self.handle(slot).ok_or(KeyError::Full)?;
        match self.twice(|device| device.look(slot, deadline)) {
            Err(Failure::Key(KeyError::Absent)) => {}
            // A foreign object takes the place as well.
            Ok(_) | Err(Failure::Fault(Fault::Foreign)) => return Err(KeyError::Occupied.into()),
            Err(failure) => return Err(failure),
        }
        if algorithm != SignatureAlgorithm::EcdsaP256Sha256 {
            return Err(KeyError::Unsupported.into());
        }
        loop {
            let made = self.make(handle, policy, deadline);
            self.tpm.flush(deadline);
            match made {
                // Everything was given back; others wait as long as chance has it.
                Err(failure) if failure.is_no_room() && pause(deadline) => {}
                other => return other,
            }
        }
    }

    /// The key comes into being with the last command; before that a cut leaves nothing but transient objects.
    fn make(&mut self, handle: u32, policy: KeyPolicy, deadline: Instant) -> Result<(), Failure> {
        let owner = &self.config.owner;
        let parent = self.tpm.create_primary(owner.expose(), deadline)?;
        let key = self
            .tpm
            .create(parent, &public::signing(policy), deadline)?;
        let loaded = self.tpm.load(parent, &key, deadline)?;
        self.tpm.evict(owner.expose(), loaded, handle, deadline)
    }

    pub(super) fn destroy(&mut self, slot: SlotId, deadline: Instant) -> Result<(), Failure> {
        let Some(handle) = self.handle(slot) else {
            return Ok(());
        };
        match self.twice(|device| device.look(slot, deadline)) {
            Ok((_, KeyPolicy::SignForLife)) => return Err(KeyError::Forbidden.into()),
            // What is not ours is not ours to evict.
            Err(Failure::Fault(Fault::Foreign)) => return Err(Fault::Foreign.into()),
            Err(Failure::Key(KeyError::Absent)) => return Ok(()),
            Ok(_) => {}
            Err(failure) => return Err(failure),
        }
        let owner = &self.config.owner;
        match self.tpm.evict(owner.expose(), handle, handle, deadline) {
            Err(failure) if failure.is_no_object() => Ok(()),
            other => other,
        }
    }
}

/// Sleeps for up to 100 ms; false when the deadline does not leave that.
fn pause(deadline: Instant) -> bool {
    let chance = RandomState::new().build_hasher().finish() % 100;
    let span = Duration::from_millis(chance);
    let rest = deadline.saturating_duration_since(Instant::now());
    let can = rest > span;
    if can {
        thread::sleep(span);
    }
    can
}

const fn failed(failure: Failure) -> OpenError {
    match failure.tell() {
        (_, Some(fault)) => OpenError::Fault(fault),
        _ => OpenError::Fault(Fault::Response),
    }
}
