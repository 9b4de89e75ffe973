//! Why a part of an image did not come.

use iot_core::entropy::EntropyError;

use super::code::Code;

/// Why a block did not come; asking again is always possible.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FetchError {
    /// Nothing came, however often it was asked for.
    #[error("no answer came: check the server's address, that it runs, and the network")]
    TimedOut,
    /// The server knows nothing of the exchange, as after a restart.
    #[error("the server rejects the message: ask again")]
    Reset,
    /// The server answered with another code than 2.05.
    #[error("the server answers with {code}")]
    Refused {
        /// The code (RFC 7252 §5.9).
        code: Code,
    },
    /// The image was replaced since the last block of it came; nothing of the old one is kept.
    #[error("the image at that address is another one now: begin the download again")]
    Changed,
    /// The answer has an option that must be understood, and is not.
    #[error("the answer has the critical option {number}, which is not understood here")]
    Option {
        /// Its number.
        number: u16,
    },
    /// The server gives the whole image instead of a block.
    #[error("the server gives no parts of the image: it must serve blocks (RFC 7959)")]
    NoBlocks,
    /// The answer is not the block that was asked for.
    #[error("the answer is not the block of the image that was asked for")]
    Answer,
    /// There are 2^20 blocks, whatever their size.
    #[error("blocks of {block_bytes} bytes do not reach that far: use longer ones")]
    TooFar {
        /// The size that is in use; the server may have asked for a smaller one than was wanted.
        block_bytes: u32,
    },
    /// The request is longer than the buffer for datagrams.
    #[error("the request does not fit the {bytes} bytes of a datagram: give it more")]
    Request {
        /// How many there are.
        bytes: usize,
    },
    /// No randomness for a message id and a token.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl FetchError {
    /// Whether waiting may help; if not, somebody has to change something first.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::TimedOut | Self::Reset | Self::Entropy(_) => true,
            Self::Refused { code } => code.is_transient(),
            _ => false,
        }
    }
}

/// Why a part of an image did not come; asking again is always possible, and goes on with the blocks that have come.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CoapError<E> {
    /// A datagram could not be sent or received.
    #[error("datagrams cannot be sent or received: {0}")]
    Datagrams(E),
    /// The exchange with the server came to no good end.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl<E> CoapError<E> {
    /// Whether waiting may help; if not, somebody has to change something first.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Datagrams(_) => true,
            Self::Fetch(error) => error.is_transient(),
        }
    }
}
