//! Where keys live.

use super::sign::{KeyError, SignatureAlgorithm, Signer};

/// A place for one key in a [`KeyStore`].
///
/// ```
/// use iot_core::crypto::SlotId;
/// assert_eq!(SlotId::new(1).get(), 1);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SlotId(u16);

impl SlotId {
    /// Wraps a slot number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The slot number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// What a new key may do for ever after.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KeyPolicy {
    /// Signs anything it is asked to.
    #[default]
    Sign,
    /// As [`Sign`](Self::Sign), and can never be destroyed: a factory identity.
    SignForLife,
}

/// Creates, lends and destroys keys; none ever leaves it.
///
/// All methods take `&self`, since bus and session handles need interior mutability anyway.
pub trait KeyStore {
    /// A lent key.
    type Signer<'s>: Signer
    where
        Self: 's;

    /// Creates a key in an empty slot; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`KeyError::Occupied`], [`KeyError::Full`] or [`KeyError::Unsupported`] with nothing changed;
    /// [`KeyError::Device`] when the outcome is unknown.
    fn generate(
        &self,
        slot: SlotId,
        algorithm: SignatureAlgorithm,
        policy: KeyPolicy,
    ) -> Result<(), KeyError>;

    /// Lends the key in `slot`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Absent`] when there is none.
    fn signer(&self, slot: SlotId) -> Result<Self::Signer<'_>, KeyError>;

    /// Destroys the key in `slot`; destroying an empty slot succeeds, so that a retry is safe.
    ///
    /// # Errors
    ///
    /// [`KeyError::Forbidden`] for a key for life, which stays; [`KeyError::Device`] when the outcome is unknown.
    fn destroy(&self, slot: SlotId) -> Result<(), KeyError>;
}

impl<K: KeyStore + ?Sized> KeyStore for &K {
    type Signer<'s>
        = K::Signer<'s>
    where
        Self: 's;

    fn generate(
        &self,
        slot: SlotId,
        algorithm: SignatureAlgorithm,
        policy: KeyPolicy,
    ) -> Result<(), KeyError> {
        (**self).generate(slot, algorithm, policy)
    }
    fn signer(&self, slot: SlotId) -> Result<Self::Signer<'_>, KeyError> {
        (**self).signer(slot)
    }
    fn destroy(&self, slot: SlotId) -> Result<(), KeyError> {
        (**self).destroy(slot)
    }
}
