//! Why a call to a client on a chip failed.

use iot_core::port::{TransportError, TransportErrorKind};

/// Why a call to a [`Client`](super::Client) failed; nothing was changed then.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClientError {
    /// All places or all bytes are taken.
    #[error("{waiting} messages wait for their fate: submit again when one is settled")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// The payload is longer than the limit.
    #[error("the payload has {bytes} bytes: the limit is {limit}; give the client more memory")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The message names another device.
    #[error("the message is addressed to another device: leave its peer away")]
    Address,
    /// The caller's buffer is too small for the message that arrived.
    #[error("the message needs a buffer of {needed} bytes: call again with more")]
    Buffer {
        /// How many bytes are needed.
        needed: usize,
    },
}

impl TransportError for ClientError {
    fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Busy { .. } => TransportErrorKind::Busy,
            Self::TooLarge { .. } => TransportErrorKind::TooLarge,
            Self::Address => TransportErrorKind::Refused,
            Self::Buffer { .. } => TransportErrorKind::Buffer,
        }
    }
}
