//! What a payload is on its way to being an image.

/// Reads the image that runs: so many bytes from an offset in bytes.
pub type ReadOld<'r, E> = dyn FnMut(u32, &mut [u8]) -> Result<(), E> + 'r;

/// Makes an image of a payload that arrives in pieces: as it is, decrypted, expanded, or out of the old image.
///
/// [`Intake`](super::Intake) drives it. [`Plain`], [`Decoder`](crate::delta::Decoder) and, with feature `decrypt`,
/// `Decrypted` around either of them are the ones there are.
pub trait Transform {
    /// Takes from the front of `payload` and fills `out` from its front; returns how many bytes it gave.
    ///
    /// `old` reads the image that runs: so many bytes from an offset in bytes. With less than `out.len()` bytes given,
    /// all of `payload` was taken.
    ///
    /// # Errors
    ///
    /// [`TransformError`]; what was given in this call is lost, and after [`TransformError::Payload`] all of it.
    fn pull<E>(
        &mut self,
        payload: &mut &[u8],
        out: &mut [u8],
        old: &mut ReadOld<'_, E>,
    ) -> Result<usize, TransformError<E>>;

    /// All of the payload was taken: what was held back until now may be pulled.
    ///
    /// # Errors
    ///
    /// [`BadPayload`]: nothing of what was given may be used.
    fn end(&mut self) -> Result<(), BadPayload>;

    /// Whether the payload was whole, as far as that can be told without the image's digest.
    fn is_whole(&self) -> bool;

    /// Where in the payload it goes on after what it has [saved](Self::save), in bytes.
    fn consumed(&self) -> u32;

    /// Writes down what it needs to go on later; `None` when it cannot go on, or `out` is too small.
    fn save(&self, out: &mut [u8]) -> Option<usize>;

    /// Becomes what it was when it saved that; false, and unchanged, when these are no such bytes.
    fn restore(&mut self, saved: &[u8]) -> bool;
}

/// The payload cannot become an image; it says nothing about why.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the payload is not what was declared")]
#[non_exhaustive]
pub struct BadPayload;

/// Why a piece of a payload was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TransformError<E> {
    /// The payload is bad: begin again with another one.
    #[error("the payload is not what was declared")]
    Payload,
    /// The image that runs could not be read.
    #[error("the old image could not be read")]
    Old(E),
}

/// A payload that is the image.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Plain {
    consumed: u32,
}

impl Plain {
    /// From the beginning.
    #[must_use]
    pub const fn new() -> Self {
        Self { consumed: 0 }
    }
}

impl Transform for Plain {
    fn pull<E>(
        &mut self,
        payload: &mut &[u8],
        out: &mut [u8],
        _: &mut ReadOld<'_, E>,
    ) -> Result<usize, TransformError<E>> {
        let given = payload.len().min(out.len());
        let (now, later) = payload.split_at_checked(given).unwrap_or((payload, &[]));
        if let Some(out) = out.get_mut(..given) {
            out.copy_from_slice(now);
        }
        *payload = later;
        let taken = u32::try_from(given).map_err(|_| TransformError::Payload)?;
        let consumed = self.consumed.checked_add(taken);
        self.consumed = consumed.ok_or(TransformError::Payload)?;
        Ok(given)
    }

    fn end(&mut self) -> Result<(), BadPayload> {
        Ok(())
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn consumed(&self) -> u32 {
        self.consumed
    }

    fn save(&self, out: &mut [u8]) -> Option<usize> {
        *out.first_chunk_mut()? = self.consumed.to_be_bytes();
        Some(4)
    }

    fn restore(&mut self, saved: &[u8]) -> bool {
        let consumed = <[u8; 4]>::try_from(saved).map(u32::from_be_bytes);
        self.consumed = consumed.unwrap_or(self.consumed);
        consumed.is_ok()
    }
}
