//! Why a call to a client failed.

use iot_core::port::{TransportError, TransportErrorKind};

/// Why a call to a [`Client`](super::Client) failed; nothing was changed then.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The queue is full.
    #[error(
        "{waiting} messages wait for their fate: submit again when one is settled, or raise the queue"
    )]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// The payload is longer than the limit.
    #[error("the payload has {bytes} bytes: the limit is {limit}; split it or raise the limit")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// The limit in force.
        limit: usize,
    },
    /// A service's message names no device of its own tenant, or a device's message names another device.
    #[error("the message is not addressed to a device of this client: set its peer")]
    Address,
    /// The caller's buffer is too small for the message that arrived.
    #[error(
        "the message needs a buffer of {needed} bytes, {given} were given: call again with more"
    )]
    Buffer {
        /// How many bytes are needed.
        needed: usize,
        /// How many were given.
        given: usize,
    },
    /// User properties on MQTT 3.1.1, or one that is longer than 65,535 bytes or holds a NUL.
    #[error(
        "user properties need MQTT 5 and at most 65,535 bytes without NUL: set the version or shorten them"
    )]
    Properties,
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
}

impl TransportError for ClientError {
    fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Busy { .. } => TransportErrorKind::Busy,
            Self::TooLarge { .. } => TransportErrorKind::TooLarge,
            Self::Address | Self::Properties => TransportErrorKind::Refused,
            Self::Buffer { .. } => TransportErrorKind::Buffer,
            Self::Closed => TransportErrorKind::Closed,
        }
    }
}
