//! Texts of a bounded length, without a heap.

use core::fmt;

use super::{Kind, Leaf, LeafError, LeafReader, LeafWriter};

/// A text of at most `N` bytes, kept in place.
///
/// ```
/// use iot_twin::leaf::Text;
///
/// let mut name = Text::<8>::new("boiler")?;
/// assert_eq!(name, "boiler");
/// assert!(name.set("a longer name").is_err());
/// assert_eq!(name.as_str(), "boiler");
/// # Ok::<(), iot_twin::leaf::TextError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    /// The text, then zeros.
    bytes: [u8; N],
    len: u16,
}

/// The text is longer than its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the text has {len} bytes, and {limit} is all that fits")]
#[non_exhaustive]
pub struct TextError {
    /// How many bytes it has.
    pub len: usize,
    /// How many fit.
    pub limit: usize,
}

impl<const N: usize> Text<N> {
    /// No characters.
    pub const EMPTY: Self = {
        assert!(
            N > 0 && N <= 1_000,
            "a text of a twin has room for 1 to 1,000 bytes"
        );
        Self {
            bytes: [0; N],
            len: 0,
        }
    };

    /// Copies a text.
    ///
    /// # Errors
    ///
    /// [`TextError`] when it has more than `N` bytes.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let mut new = Self::EMPTY;
        new.set(text)?;
        Ok(new)
    }

    /// Becomes another text.
    ///
    /// # Errors
    ///
    /// [`TextError`] when that has more than `N` bytes; it is as it was.
    pub fn set(&mut self, text: &str) -> Result<(), TextError> {
        let (len, limit) = (text.len(), N);
        let error = TextError { len, limit };
        let kept = u16::try_from(len).map_err(|_| error)?;
        let (taken, rest) = self.bytes.split_at_mut_checked(len).ok_or(error)?;
        taken.copy_from_slice(text.as_bytes());
        rest.fill(0);
        self.len = kept;
        Ok(())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len.into()).unwrap_or(&[]);
        // It was a text when it came in.
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// Appends. A piece that does not fit fails and is left out whole; what came before it stays.
///
/// ```
/// use core::fmt::Write;
/// use iot_twin::leaf::Text;
/// let mut name = Text::<8>::EMPTY;
/// write!(name, "boiler{}", 7).unwrap();
/// assert!(name.write_str("-a").is_err());
/// assert_eq!(name, "boiler7");
/// ```
impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let len = usize::from(self.len).saturating_add(piece.len());
        let place = self.bytes.get_mut(self.len.into()..len);
        place.ok_or(fmt::Error)?.copy_from_slice(piece.as_bytes());
        self.len = u16::try_from(len).map_err(|_| fmt::Error)?;
        Ok(())
    }
}

impl<const N: usize> Leaf for Text<N> {
    const KIND: Kind = Kind::Text;
    const INITIAL: Self = Self::EMPTY;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a longer text than 1,000 bytes is refused when it is compiled"
    )]
    const LEN: u16 = N as u16;
    const MAX_BYTES: usize = 3 + N;
    fn encode(&self, out: &mut LeafWriter<'_>) {
        out.text(self.as_str());
    }
    fn decode(&mut self, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
        let text = input.text().ok_or(LeafError::Kind)?;
        self.set(text).map_err(|_| LeafError::Range)
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn other(&self) -> Self {
        let mut other = Self::EMPTY;
        if self.len == 0 {
            // There is room for one byte in every text.
            let _ = other.set("-");
        }
        other
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.bytes == other.bytes
    }
}

impl<const N: usize> PartialEq<str> for Text<N> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl<const N: usize> PartialEq<&str> for Text<N> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl<const N: usize> TryFrom<&str> for Text<N> {
    type Error = TextError;
    fn try_from(text: &str) -> Result<Self, TextError> {
        Self::new(text)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for Text<N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", self.as_str());
    }
}
