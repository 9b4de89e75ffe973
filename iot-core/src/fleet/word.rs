//! A name or value as labels and groups store it.

use core::fmt;

use crate::id::{MAX_NAME_BYTES, NameError, check_name};

#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Word {
    // Unused bytes stay zero, so that derived equality and order are those of the text.
    bytes: [u8; MAX_NAME_BYTES],
    len: u8,
}

impl Word {
    pub(super) fn new(text: &str) -> Result<Self, NameError> {
        check_name(text)?;
        let too_long = NameError::TooLong { bytes: text.len() };
        let mut bytes = [0; MAX_NAME_BYTES];
        let room = bytes.get_mut(..text.len()).ok_or(too_long)?;
        room.copy_from_slice(text.as_bytes());
        let len = u8::try_from(text.len()).map_err(|_| too_long)?;
        Ok(Self { bytes, len })
    }

    pub(super) fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    /// Whether this is `text`: much faster than to compare as text, which is checked to be UTF-8 each time.
    pub(super) fn is(&self, text: &str) -> bool {
        self.as_bytes() == text.as_bytes()
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Word {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.as_str());
    }
}
