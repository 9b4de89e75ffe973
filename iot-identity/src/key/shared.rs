//! A key that a TLS stack may hold for ever, on any thread.

use alloc::sync::Arc;
use core::fmt;

use iot_core::crypto::{KeyError, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId};

/// A slot of a shared [`KeyStore`]: signs where it is, from any thread, for as long as the key exists.
///
/// The store is asked anew for every signature, so that destroying the key disarms every `SharedKey` at once.
#[derive(Clone)]
pub struct SharedKey<K> {
    store: Arc<K>,
    slot: SlotId,
    algorithm: SignatureAlgorithm,
}

impl<K: KeyStore> SharedKey<K> {
    /// Names the key in `slot`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Absent`] when the slot holds none, otherwise what the store says.
    pub fn new(store: Arc<K>, slot: SlotId) -> Result<Self, KeyError> {
        let algorithm = store.signer(slot)?.algorithm();
        Ok(Self {
            store,
            slot,
            algorithm,
        })
    }

    fn with<T>(
        &self,
        use_key: impl FnOnce(&K::Signer<'_>) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let signer = self.store.signer(self.slot)?;
        if signer.algorithm() != self.algorithm {
            // Another kind of key was put into the slot since; certificates of the first do not fit it.
            return Err(KeyError::Absent);
        }
        use_key(&signer)
    }
}

impl<K: KeyStore> Signer for SharedKey<K> {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
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
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
