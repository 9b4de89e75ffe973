//! Why an intake did not go on.

/// Why a piece was not taken, or the image is not what it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum IntakeError<E> {
    /// The piece, or what it becomes, would end past a declared size; nothing of it was written there.
    #[error("more bytes arrived than were declared")]
    TooLong,
    /// It does not begin where the last one ended; it was left alone.
    #[error("the piece begins elsewhere: ask for the one at {expected}")]
    Gap {
        /// Where it should begin, in bytes of the payload.
        expected: u32,
    },
    /// The payload cannot become an image: begin again with another one.
    #[error("the payload is not what was declared")]
    Payload,
    /// The banks failed: resume from the last checkpoint.
    #[error("the banks failed")]
    Banks(E),
    /// Bytes are missing.
    #[error("the payload ended early")]
    Incomplete,
    /// The image is another one: it must not be used.
    #[error("the image's digest is not the declared one")]
    Digest,
    /// What runs is not confirmed, an image waits to be tried, or there is no boot record: the other bank is not spare.
    /// Nothing was changed.
    #[error("the other bank is not spare: confirm what runs, or restart, first")]
    NotSpare,
    /// The banks erase more at a time than a page: no checkpoint can be gone on from. Begin again with larger ones.
    #[error("a page is no multiple of what the banks erase at a time")]
    Page,
}
