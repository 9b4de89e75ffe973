//! The TPM as a key store.

use alloc::boxed::Box;
use core::fmt;
use std::time::Instant;

use iot_core::crypto::{
    KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId,
};
use sha2::Digest as _;

use super::code::{Failure, Fault, OpenError};
use super::command::Tpm;
use super::config::Config;
use super::device::Device;
use super::transport::Link;
use crate::key::PublicKey;
use crate::key::worker::{Told, Worker};

/// P-256 keys in a TPM 2.0, used from any number of threads.
pub struct TpmKeys {
    worker: Worker<Device>,
    told: Told<Fault>,
}

impl TpmKeys {
    /// Takes the TPM behind `link`, and sees to it that every key in the slots stays there.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing in the TPM has changed.
    pub fn open(link: impl Link + Send + 'static, config: Config) -> Result<Self, OpenError> {
        let (patience, queue) = (config.patience, config.queue);
        let tpm = Tpm::new(Box::new(link), config.sole_user);
        let open = move |deadline| Device::open(tpm, config, deadline);
        let late = OpenError::Fault(Fault::Late);
        Ok(Self {
            worker: Worker::start("tpm", patience, queue, open, late)?,
            told: Told::default(),
        })
    }

    /// What was wrong with the TPM when a call last failed because of it.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.told.last()
    }

    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Device, Instant) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, KeyError> {
        self.told
            .call(&self.worker, Fault::Late, |device, deadline| {
                work(device, deadline).map_err(Failure::tell)
            })
    }
}

impl KeyStore for TpmKeys {
    type Signer<'s> = TpmSigner<'s>;

    fn generate(
        &self,
        slot: SlotId,
        algorithm: SignatureAlgorithm,
        policy: KeyPolicy,
    ) -> Result<(), KeyError> {
        self.call(move |device, deadline| device.generate(slot, algorithm, policy, deadline))
    }

    fn signer(&self, slot: SlotId) -> Result<TpmSigner<'_>, KeyError> {
        Ok(TpmSigner {
            public: self.call(move |device, deadline| device.public(slot, deadline))?,
            store: self,
            slot,
        })
    }

    fn destroy(&self, slot: SlotId) -> Result<(), KeyError> {
        self.call(move |device, deadline| device.destroy(slot, deadline))
    }
}

impl fmt::Debug for TpmKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TpmKeys")
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

/// A key lent by [`TpmKeys`]; it stops signing when its key is destroyed, by this process or another.
#[derive(Debug)]
pub struct TpmSigner<'s> {
    store: &'s TpmKeys,
    slot: SlotId,
    public: PublicKey,
}

impl Signer for TpmSigner<'_> {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.public.algorithm()
    }

    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        self.public.write_to(out)
    }

    /// The message is hashed here: it is longer than what a TPM takes, and slower there.
    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        let mut hash = sha2::Sha256::new();
        message.iter().for_each(|part| hash.update(part));
        self.sign_digest(&hash.finalize().into(), out)
    }

    fn sign_digest(&self, digest: &[u8; 32], out: &mut Signature) -> Result<(), KeyError> {
        let (slot, public, digest) = (self.slot, self.public, *digest);
        let sign =
            move |device: &mut Device, deadline| device.sign(slot, &public, &digest, deadline);
        let fits = out.set(&self.store.call(sign)?);
        fits.then_some(()).ok_or(KeyError::Device)
    }
}
