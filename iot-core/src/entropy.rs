//! Randomness as a port.

/// The source of randomness failed; its output must not be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the source of randomness failed")]
#[non_exhaustive]
pub struct EntropyError;

impl EntropyError {
    /// The one value there is; for providers.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Default for EntropyError {
    fn default() -> Self {
        Self::new()
    }
}

/// A source of random bytes fit for keys.
///
/// ```
/// use iot_core::entropy::{Entropy, EntropyError};
/// fn nonce(source: &mut dyn Entropy) -> Result<[u8; 12], EntropyError> {
///     let mut nonce = [0; 12];
///     source.fill(&mut nonce)?;
///     Ok(nonce)
/// }
/// ```
pub trait Entropy {
    /// Fills `out` whole.
    ///
    /// # Errors
    ///
    /// [`EntropyError`]; `out` must not be used then.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError>;
}

impl<E: Entropy + ?Sized> Entropy for &mut E {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        (**self).fill(out)
    }
}
