//! A key that a TLS stack may hold for ever, on any thread.

use alloc::sync::Arc;
use core::fmt;

use iot_core::crypto::{KeyError, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId};

use super::PublicKey;

/// A slot of a shared [`KeyStore`]: signs where it is, from any thread, for as long as the key exists.
///
/// The store is asked anew for every signature, so that destroying the key disarms every `SharedKey` at once, and
/// another key in the same slot does not arm it again.
///
/// ```
/// # #[cfg(feature = "ring")] {
/// use std::sync::Arc;
/// use iot_core::crypto::{KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId};
/// use iot_identity::{key::SharedKey, ring::SoftwareKeys};
/// let (keys, slot) = (Arc::new(SoftwareKeys::new()), SlotId::new(1));
/// let make = || keys.generate(slot, SignatureAlgorithm::EcdsaP256Sha256, KeyPolicy::Sign);
/// make()?;
/// let shared = SharedKey::new(Arc::clone(&keys), slot)?;
/// shared.sign(&[b"hello"], &mut Signature::empty())?;
/// keys.destroy(slot)?;
/// make()?;
/// assert_eq!(shared.sign(&[b"hello"], &mut Signature::empty()), Err(KeyError::Absent));
/// # }
/// # Ok::<(), iot_core::crypto::KeyError>(())
/// ```
#[derive(Clone)]
pub struct SharedKey<K> {
    store: Arc<K>,
    slot: SlotId,
    public: PublicKey,
}

impl<K: KeyStore> SharedKey<K> {
    /// Names the key in `slot`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Absent`] when the slot holds none, [`KeyError::Unsupported`] when it is no [`PublicKey`]'s, otherwise
    /// what the store says.
    pub fn new(store: Arc<K>, slot: SlotId) -> Result<Self, KeyError> {
        let public = PublicKey::of(&store.signer(slot)?)?;
        Ok(Self {
            store,
            slot,
            public,
        })
    }

    fn with<T>(
        &self,
        use_key: impl FnOnce(&K::Signer<'_>) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let signer = self.store.signer(self.slot)?;
        // Another key was put into the slot since: what it signs would pass for the first one's word.
        if PublicKey::of(&signer)? != self.public {
            return Err(KeyError::Absent);
        }
        use_key(&signer)
    }
}

impl<K: KeyStore> Signer for SharedKey<K> {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.public.algorithm()
    }

    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        let len = self.with(|signer| signer.public_key(out).map(<[u8]>::len))?;
        out.get(..len).ok_or(KeyError::Device)
    }

    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        self.with(|signer| signer.sign(message, out))
    }

    fn sign_digest(&self, digest: &[u8; 32], out: &mut Signature) -> Result<(), KeyError> {
        self.with(|signer| signer.sign_digest(digest, out))
    }
}

impl<K> fmt::Debug for SharedKey<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKey")
            .field("slot", &self.slot)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}
