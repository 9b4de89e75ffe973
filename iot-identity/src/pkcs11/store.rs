//! The token as a key store.

use alloc::vec::Vec;
use core::fmt;

use iot_core::crypto::{
    KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId,
};
use sha2::Digest as _;

use super::config::Config;
use super::error::{Failure, Fault, OpenError};
use super::session::Token;
use crate::key::PublicKey;
use crate::key::worker::{Told, Worker};

/// Keys in a PKCS#11 token, used from any number of threads.
pub struct Pkcs11Keys {
    worker: Worker<Token>,
    told: Told<Fault>,
}

impl Pkcs11Keys {
    /// Loads the library, finds the token, logs in, and sees to it that no key of ours can leave the token.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. After a wrong PIN the token has one try less.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let (patience, queue) = (config.patience, config.queue);
        let open = move |_| Token::open(config);
        let late = OpenError::Fault(Fault::Late);
        Ok(Self {
            worker: Worker::start("pkcs11", patience, queue, open, late)?,
            told: Told::default(),
        })
    }

    /// What was wrong with the token when a call last failed because of it.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.told.last()
    }

    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Token) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, KeyError> {
        self.told.call(&self.worker, Fault::Late, |token, _| {
            work(token).map_err(|failure| failure.tell())
        })
    }
}

impl KeyStore for Pkcs11Keys {
    type Signer<'s> = Pkcs11Signer<'s>;

    fn generate(
        &self,
        slot: SlotId,
        algorithm: SignatureAlgorithm,
        policy: KeyPolicy,
    ) -> Result<(), KeyError> {
        self.call(move |token| token.generate(slot, algorithm, policy))
    }

    fn signer(&self, slot: SlotId) -> Result<Pkcs11Signer<'_>, KeyError> {
        Ok(Pkcs11Signer {
            public: self.call(move |token| token.public(slot))?,
            store: self,
            slot,
        })
    }

    fn destroy(&self, slot: SlotId) -> Result<(), KeyError> {
        self.call(move |token| token.destroy(slot))
    }
}

impl fmt::Debug for Pkcs11Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Keys")
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

/// A key lent by [`Pkcs11Keys`]; it stops signing when its key is destroyed.
#[derive(Debug)]
pub struct Pkcs11Signer<'s> {
    store: &'s Pkcs11Keys,
    slot: SlotId,
    public: PublicKey,
}

impl Pkcs11Signer<'_> {
    /// Has a digest, or an Ed25519 message, signed.
    fn sign_data(&self, data: Vec<u8>, out: &mut Signature) -> Result<(), KeyError> {
        let (slot, public) = (self.slot, self.public);
        let signed = self
            .store
            .call(move |token| token.sign(slot, &public, &data))?;
        let fits = out.set(&signed);
        fits.then_some(()).ok_or(KeyError::Device)
    }
}

impl Signer for Pkcs11Signer<'_> {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.public.algorithm()
    }

    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        self.public.write_to(out)
    }

    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        if self.algorithm() == SignatureAlgorithm::EcdsaP256Sha256 {
            let mut hash = sha2::Sha256::new();
            message.iter().for_each(|part| hash.update(part));
            return self.sign_digest(&hash.finalize().into(), out);
        }
        self.sign_data(message.concat(), out)
    }

    fn sign_digest(&self, digest: &[u8; 32], out: &mut Signature) -> Result<(), KeyError> {
        if self.algorithm() != SignatureAlgorithm::EcdsaP256Sha256 {
            return Err(KeyError::Unsupported);
        }
        self.sign_data(digest.to_vec(), out)
    }
}
