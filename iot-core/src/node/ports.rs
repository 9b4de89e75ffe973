//! The parts of a node that not every node has.

use crate::crypto::{KeyError, KeyStore, Signature, Signer, SlotId};
use crate::engine::{Effect, Failure};

/// Signs for engines; may wait for slow hardware.
pub trait Keys {
    /// Signs `message` with the key in `slot`.
    ///
    /// # Errors
    ///
    /// [`KeyError`], which the engine is told.
    fn sign(
        &mut self,
        slot: SlotId,
        message: &[u8],
        out: &mut Signature,
    ) -> impl Future<Output = Result<(), KeyError>>;
}

/// A node without keys: every request fails with [`KeyError::Absent`].
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct NoKeys;

impl Keys for NoKeys {
    async fn sign(&mut self, _: SlotId, _: &[u8], _: &mut Signature) -> Result<(), KeyError> {
        Err(KeyError::Absent)
    }
}

/// The keys of a [`KeyStore`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KeysOf<S>(S);

impl<S: KeyStore> KeysOf<S> {
    /// Signs with the keys of `store`.
    pub const fn new(store: S) -> Self {
        Self(store)
    }
}

impl<S: KeyStore> Keys for KeysOf<S> {
    async fn sign(
        &mut self,
        slot: SlotId,
        message: &[u8],
        out: &mut Signature,
    ) -> Result<(), KeyError> {
        self.0.signer(slot)?.sign(&[message], out)
    }
}

/// Performs the effects that engines ask for; may wait for the device.
pub trait Effects {
    /// Performs `effect`.
    ///
    /// # Errors
    ///
    /// [`Failure`], which the engine is told; [`Failure::Effect`] for a code that is not known.
    fn perform(&mut self, effect: Effect<'_>) -> impl Future<Output = Result<(), Failure>>;
}

/// A node without effects: every request fails with [`Failure::Effect`].
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct NoEffects;

impl Effects for NoEffects {
    async fn perform(&mut self, _: Effect<'_>) -> Result<(), Failure> {
        Err(Failure::Effect)
    }
}

impl<F: FnMut(Effect<'_>) -> Result<(), Failure>> Effects for F {
    async fn perform(&mut self, effect: Effect<'_>) -> Result<(), Failure> {
        self(effect)
    }
}
