//! What a rotation asks of the device, and what it is told.

use iot_core::crypto::SlotId;

use crate::enrol::Refusal;

/// What a session proves itself with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Identity {
    /// The factory's certificate and its key; rotation never touches them.
    Factory,
    /// The key in an operational slot and the chain that [`Rotation::chain`](super::Rotation::chain) gives for it.
    Own(SlotId),
}

/// Something that only the device can do. It may be done twice: each is harmless when it was done before.
///
/// Whatever fails is told to [`Rotation::key_store_failed`](super::Rotation::key_store_failed), a key store that says
/// [`Occupied`](iot_core::crypto::KeyError::Occupied) too: then the slots are looked at anew, and what is no key is removed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
#[non_exhaustive]
pub enum Want {
    /// Look which key the slot holds, and tell [`Rotation::holds`](super::Rotation::holds): `None` only when the store
    /// says that there is none.
    Inspect(SlotId),
    /// Create a key in the slot, which is empty, and tell [`Rotation::holds`](super::Rotation::holds).
    Generate(SlotId),
    /// Destroy the key in the slot, and tell [`Rotation::holds`](super::Rotation::holds) that there is none.
    Destroy(SlotId),
    /// Let the session show this identity, and tell [`Rotation::session`](super::Rotation::session) how that ended.
    Session(Identity),
}

/// How an attempt to open a session ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Session {
    /// The service has *answered* on it. The end of a TLS 1.3 handshake is less: only what the service sends
    /// afterwards shows that it took the certificate (RFC 8446 §4.6.2, §2).
    Open,
    /// The service has answered, and lets this identity do nothing but ask for its successor: it has expired, and
    /// the service's policy is to renew it all the same.
    ToRenew,
    /// Nobody answered; that says nothing about the identity.
    Unreachable,
    /// The service, itself authenticated, says that the certificate has expired.
    Expired,
    /// The service, itself authenticated, says that the certificate or the device is revoked.
    Revoked,
    /// The service, itself authenticated, does not take the certificate for another reason.
    Refused,
}

/// Why a certificate that the registrar granted was not taken. It is asked for again, but seldom.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Unfit {
    /// The chain is longer than what a slot's record may hold.
    #[error("the chain has {bytes} bytes encoded: raise BYTES, or send fewer authorities along")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Its first certificate is none that this device can read, or of another kind of key.
    #[error("the first certificate of the chain cannot be read")]
    Unreadable,
    /// It names another device.
    #[error("the certificate names another device: look at the registrar")]
    OtherDevice,
}

/// How far rotation has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Standing {
    /// The records have not been shown yet, or the slots have not been looked at.
    Restoring,
    /// There is no operational identity; it asks for one.
    Applying,
    /// There is a current identity, and nothing to do.
    Enrolled,
    /// There is a current identity, and another one on the way.
    Renewing,
    /// The service said that device, key or certificate is revoked. Nothing more is asked until
    /// [`Rotation::apply_again`](super::Rotation::apply_again) or the next boot.
    Refused(Refusal),
}
