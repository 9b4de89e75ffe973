//! Private keys in slots.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use core::fmt;
use std::sync::{PoisonError, RwLock};

use iot_core::crypto::{
    KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId,
};

use super::key::SoftwareKey;

/// P-256 and Ed25519 keys in slots, shared between threads and gone when the process ends.
///
/// ```
/// use iot_core::crypto::{KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId};
/// use iot_identity::ring::SoftwareKeys;
/// let keys = SoftwareKeys::new();
/// let slot = SlotId::new(1);
/// keys.generate(slot, SignatureAlgorithm::EcdsaP256Sha256, KeyPolicy::Sign)?;
/// let mut signature = Signature::empty();
/// keys.signer(slot)?.sign(&[b"hello"], &mut signature)?;
/// assert_eq!(signature.as_bytes().len(), 64);
/// keys.destroy(slot)?;
/// assert!(keys.signer(slot).is_err());
/// # Ok::<(), iot_core::crypto::KeyError>(())
/// ```
#[derive(Default)]
pub struct SoftwareKeys {
    slots: RwLock<BTreeMap<SlotId, Arc<Held>>>,
}

struct Held {
    key: SoftwareKey,
    policy: KeyPolicy,
}

impl SoftwareKeys {
    /// A store without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self, slot: SlotId) -> Result<Arc<Held>, KeyError> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.get(&slot).cloned().ok_or(KeyError::Absent)
    }
}

impl KeyStore for SoftwareKeys {
    type Signer<'s> = SoftwareSigner<'s>;

    fn generate(
        &self,
        slot: SlotId,
        algorithm: SignatureAlgorithm,
        policy: KeyPolicy,
    ) -> Result<(), KeyError> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        match slots.entry(slot) {
            Entry::Occupied(_) => Err(KeyError::Occupied),
            Entry::Vacant(vacant) => {
                let key = SoftwareKey::generate(algorithm)?;
                vacant.insert(Arc::new(Held { key, policy }));
                Ok(())
            }
        }
    }

    fn signer(&self, slot: SlotId) -> Result<SoftwareSigner<'_>, KeyError> {
        Ok(SoftwareSigner {
            held: self.held(slot)?,
            store: self,
            slot,
        })
    }

    fn destroy(&self, slot: SlotId) -> Result<(), KeyError> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        match slots.entry(slot) {
            Entry::Occupied(held) if held.get().policy == KeyPolicy::SignForLife => {
                Err(KeyError::Forbidden)
            }
            Entry::Occupied(held) => {
                held.remove();
                Ok(())
            }
            Entry::Vacant(_) => Ok(()),
        }
    }
}

impl fmt::Debug for SoftwareKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(slots.keys()).finish()
    }
}

/// A key lent by [`SoftwareKeys`]; it stops signing when its key is destroyed.
pub struct SoftwareSigner<'s> {
    store: &'s SoftwareKeys,
    slot: SlotId,
    held: Arc<Held>,
}

impl Signer for SoftwareSigner<'_> {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.held.key.algorithm()
    }

    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        self.held.key.public_key(out)
    }

    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        // A lent key outlives its slot in memory, but a destroyed key must not sign again.
        if !Arc::ptr_eq(&self.store.held(self.slot)?, &self.held) {
            return Err(KeyError::Absent);
        }
        self.held.key.sign(message, out)
    }
}

impl fmt::Debug for SoftwareSigner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareSigner({:?}, {:?})", self.slot, self.held.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

    #[test]
    fn a_lent_key_stops_signing_when_its_slot_is_emptied_or_refilled() {
        let keys = SoftwareKeys::new();
        let slot = SlotId::new(0);
        keys.generate(slot, P256, KeyPolicy::Sign).unwrap();
        let lent = keys.signer(slot).unwrap();
        let mut signature = Signature::empty();
        lent.sign(&[b"x"], &mut signature).unwrap();
        keys.destroy(slot).unwrap();
        assert_eq!(lent.sign(&[b"x"], &mut signature), Err(KeyError::Absent));
        keys.generate(slot, P256, KeyPolicy::Sign).unwrap();
        assert_eq!(lent.sign(&[b"x"], &mut signature), Err(KeyError::Absent));
    }

    #[test]
    fn a_key_is_never_replaced_and_a_key_for_life_never_destroyed() {
        let keys = SoftwareKeys::new();
        let slot = SlotId::new(0);
        keys.generate(slot, P256, KeyPolicy::SignForLife).unwrap();
        assert_eq!(
            keys.generate(slot, P256, KeyPolicy::Sign),
            Err(KeyError::Occupied)
        );
        assert_eq!(keys.destroy(slot), Err(KeyError::Forbidden));
        assert!(keys.signer(slot).is_ok());
        assert_eq!(keys.destroy(SlotId::new(1)), Ok(()));
    }
}
