//! Why a part of an image did not come.

use alloc::boxed::Box;
use core::error::Error;
use std::io;

/// Why a part of an image did not come; asking again is always possible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No stream could be opened.
    #[error("the server cannot be reached ({0}): check its address, that it runs, and the network")]
    Unreachable(#[source] io::Error),
    /// The connection ended before the answer did, or the answer was not HTTP.
    #[error("the connection ended before the answer did")]
    Lost(#[source] Box<dyn Error + Send + Sync>),
    /// The server answered with another status.
    #[error("the server answers with status {code}")]
    Status {
        /// The status code (RFC 9110 §15).
        code: u16,
    },
    /// The server gives the whole image instead of a part.
    #[error("the server gives no parts of the image: it must serve ranges (RFC 9110 §14)")]
    NoRanges,
    /// The image was replaced since the last part of it came.
    #[error("the image at that address is another one now: begin the download again")]
    Changed,
    /// The answer is not the part that was asked for.
    #[error("the answer is not the part of the image that was asked for")]
    Answer,
}

impl HttpError {
    /// Whether waiting may help; if not, somebody has to change something first.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Lost(_) => true,
            Self::Status { code } => matches!(code, 408 | 425 | 429 | 500..),
            Self::NoRanges | Self::Changed | Self::Answer => false,
        }
    }

    pub(super) fn lost(error: hyper::Error) -> Self {
        Self::Lost(Box::new(error))
    }
}

/// No URL or header that an image can be asked for with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "not an absolute http or https URL without a user's name, or not a header that may be added to a request for a range"
)]
#[non_exhaustive]
pub struct BadTarget;
