//! What can be wrong with a patch.

/// Why a patch is not applied.
///
/// The decoder stays where it was and says the same from then on; what it gave before must not be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PatchError {
    /// It is neither sequential nor in-place.
    #[error("the patch is of type {found}: make one of type 0 (sequential) or 1 (in-place)")]
    Type {
        /// Its type.
        found: u8,
    },
    /// It is compressed with something that takes more memory than a chip has.
    #[error(
        "the patch is compressed with method {found}: use 0 (none), 2 (CRLE) or 4 (heatshrink)"
    )]
    Compression {
        /// Its method.
        found: u8,
    },
    /// The compression's window is larger than this decoder's, or no window at all.
    #[error("the patch needs a window of 2^{bits} bytes, this decoder has {bytes} bytes")]
    Window {
        /// The binary logarithm of the window in bytes.
        bits: u8,
        /// The size of the decoder's window in bytes.
        bytes: usize,
    },
    /// It knows what the image's instructions mean, and this decoder does not.
    #[error("the patch has a data format: make it without one")]
    DataFormat,
    /// It is for an image of another size, or makes one.
    #[error("the patch is not for images of the declared sizes")]
    Sizes,
    /// The memory, segments and shift of an in-place patch do not fit each other, or more memory than was declared.
    #[error("the in-place patch has an impossible layout, or needs more than the declared memory")]
    Layout,
    /// A number does not fit into 32 bits, or must not be negative.
    #[error("a number in the patch is out of range")]
    Number,
    /// A run goes past the end of the image or of its segment.
    #[error("the patch writes past the declared size")]
    TooLong,
    /// It reads outside of what is left of the old image.
    #[error("the patch reads outside of the old image")]
    Old,
    /// It goes on and on, and nothing of the new image comes of it.
    #[error("more than 16 rounds of the patch in a row write nothing")]
    Idle,
    /// The compressed bytes mean nothing.
    #[error("the patch is not compressed as it says")]
    Compressed,
    /// There are more bytes than were declared, or than it needs.
    #[error("the patch is longer than declared, or goes on after its end")]
    Trailing,
    /// Bytes are missing.
    #[error("the patch ends early")]
    Incomplete,
    /// The old image could not be read, and what was given in that call is lost.
    #[error("the old image could not be read before: resume from what was saved")]
    Unread,
    /// What came out is not the image that was declared.
    #[error("the patch makes another image than the declared one")]
    Digest,
}

/// Why a piece of a patch was not applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DecodeError<E> {
    /// The patch is bad.
    #[error("the patch is bad")]
    Patch(#[from] PatchError),
    /// The old image could not be read, and what was given in this call is lost: resume from what was saved. Only when
    /// that was nothing does calling again with the rest of the piece help.
    #[error("the old image could not be read")]
    Old(E),
}
