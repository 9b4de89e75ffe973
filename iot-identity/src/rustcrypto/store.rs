//! Keys in a fixed number of slots.

use core::cell::{Cell, RefCell};
use core::fmt;

use iot_core::crypto::{
    KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId,
};
use iot_core::entropy::Entropy;

use super::key::P256Key;

/// P-256 keys in slots 0 to `SLOTS` − 1, in memory: for devices without a secure element, and for tests.
///
/// ```
/// use iot_core::crypto::{KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId};
/// use iot_identity::rustcrypto::SoftwareKeys;
/// # struct Chip;
/// # impl iot_core::entropy::Entropy for Chip {
/// #     fn fill(&mut self, out: &mut [u8]) -> Result<(), iot_core::entropy::EntropyError> { out.fill(7); Ok(()) }
/// # }
/// let keys = SoftwareKeys::<_, 2>::new(Chip); // the chip's random generator
/// keys.generate(SlotId::new(0), SignatureAlgorithm::EcdsaP256Sha256, KeyPolicy::SignForLife)?;
/// keys.signer(SlotId::new(0))?.sign(&[b"hello"], &mut Signature::empty())?;
/// # Ok::<(), iot_core::crypto::KeyError>(())
/// ```
pub struct SoftwareKeys<E, const SLOTS: usize> {
    entropy: RefCell<E>,
    slots: RefCell<[Option<Held>; SLOTS]>,
    created: Cell<u32>,
}

struct Held {
    key: P256Key,
    policy: KeyPolicy,
    // Which key of this store it is, so that a lent signer notices when its slot was filled anew.
    number: u32,
}

impl<E: Entropy, const SLOTS: usize> SoftwareKeys<E, SLOTS> {
    /// An empty store that creates keys from `entropy`.
    #[must_use]
    pub const fn new(entropy: E) -> Self {
        Self {
            entropy: RefCell::new(entropy),
            slots: RefCell::new([const { None }; SLOTS]),
            created: Cell::new(0),
        }
    }
}

impl<E, const SLOTS: usize> SoftwareKeys<E, SLOTS> {
    fn with<T>(
        &self,
        slot: SlotId,
        use_key: impl FnOnce(&Held) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let slots = self.slots.try_borrow().map_err(|_| KeyError::Device)?;
        match slots.get(usize::from(slot.get())) {
            None | Some(None) => Err(KeyError::Absent),
            Some(Some(held)) => use_key(held),
        }
    }
}

impl<E: Entropy, const SLOTS: usize> KeyStore for SoftwareKeys<E, SLOTS> {
    type Signer<'s>
        = SoftwareSigner<'s, E, SLOTS>
    where
        Self: 's;

    fn generate(
        &self,
        slot: SlotId,
        algorithm: SignatureAlgorithm,
        policy: KeyPolicy,
    ) -> Result<(), KeyError> {
        if algorithm != SignatureAlgorithm::EcdsaP256Sha256 {
            return Err(KeyError::Unsupported);
        }
        let mut slots = self.slots.try_borrow_mut().map_err(|_| KeyError::Device)?;
        let place = slots
            .get_mut(usize::from(slot.get()))
            .ok_or(KeyError::Full)?;
        if place.is_some() {
            return Err(KeyError::Occupied);
        }
        let mut entropy = self
            .entropy
            .try_borrow_mut()
            .map_err(|_| KeyError::Device)?;
        let key = P256Key::generate(&mut *entropy)?;
        let number = self.created.get().checked_add(1).ok_or(KeyError::Full)?;
        self.created.set(number);
        *place = Some(Held {
            key,
            policy,
            number,
        });
        Ok(())
    }

    fn signer(&self, slot: SlotId) -> Result<Self::Signer<'_>, KeyError> {
        self.with(slot, |held| {
            Ok(SoftwareSigner {
                store: self,
                slot,
                number: held.number,
            })
        })
    }

    fn destroy(&self, slot: SlotId) -> Result<(), KeyError> {
        let mut slots = self.slots.try_borrow_mut().map_err(|_| KeyError::Device)?;
        match slots.get_mut(usize::from(slot.get())) {
            Some(Some(held)) if held.policy == KeyPolicy::SignForLife => Err(KeyError::Forbidden),
            Some(place) => {
                *place = None;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl<E, const SLOTS: usize> fmt::Debug for SoftwareKeys<E, SLOTS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareKeys({SLOTS} slots)")
    }
}

/// A key lent by [`SoftwareKeys`]; it stops signing when its key is destroyed.
pub struct SoftwareSigner<'s, E, const SLOTS: usize> {
    store: &'s SoftwareKeys<E, SLOTS>,
    slot: SlotId,
    number: u32,
}

impl<E, const SLOTS: usize> SoftwareSigner<'_, E, SLOTS> {
    fn with<T>(
        &self,
        use_key: impl FnOnce(&P256Key) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        self.store.with(self.slot, |held| {
            if held.number == self.number {
                use_key(&held.key)
            } else {
                Err(KeyError::Absent)
            }
        })
    }
}

impl<E, const SLOTS: usize> Signer for SoftwareSigner<'_, E, SLOTS> {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }

    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        self.with(|key| key.public_key(out))
    }

    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        self.with(|key| key.sign(message, out))
    }

    fn sign_digest(&self, digest: &[u8; 32], out: &mut Signature) -> Result<(), KeyError> {
        self.with(|key| key.sign_digest(digest, out))
    }
}

impl<E, const SLOTS: usize> fmt::Debug for SoftwareSigner<'_, E, SLOTS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareSigner({:?})", self.slot)
    }
}
