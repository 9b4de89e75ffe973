mod codec;
mod error;
mod parse;
mod program;

use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

pub use self::error::{Expected, SelectorError};
use self::parse::Parser;
use self::program::Program;
use super::Member;

/// How deep parentheses and negations may be nested.
pub const MAX_DEPTH: usize = 16;

/// Says which devices are meant; see the [module](super) for the language.
///
/// `TESTS` (at most 250) is how many comparisons it may have, each value of an `in` counted, and `BYTES` (at
/// most 65,535) how long its text may be. Parsing and asking need no heap and take time in proportion to the
/// text; a selector takes `BYTES + 12 · TESTS` bytes and a few more.
///
/// [`Display`](fmt::Display) shows the canonical text: single spaces, and parentheses only where they are
/// needed. It parses to an equal selector, and two selectors are equal when their canonical texts are.
///
/// ```
/// use iot_core::fleet::{Labels, Selector};
///
/// let north = Selector::parse("site=='north' && (stage == 'pilot')")?;
/// assert_eq!(north.to_string(), "site == 'north' && stage == 'pilot'");
///
/// let mut boiler = Labels::<2>::new();
/// boiler.set("site", "north").unwrap();
/// assert!(!north.matches(&boiler));
/// boiler.set("stage", "pilot").unwrap();
/// assert!(north.matches(&boiler));
///
/// let error = Selector::parse("site = 'north'").unwrap_err();
/// assert_eq!(error.position(), 5);
/// assert_eq!(error.to_string(), "at byte 5: expected '==', '!=', '~' or 'in'");
/// # Ok::<(), iot_core::fleet::SelectorError>(())
/// ```
#[derive(Clone)]
pub struct Selector<const TESTS: usize = 32, const BYTES: usize = 512>(Program<TESTS, BYTES>);

impl Selector {
    /// Parses a text of up to 512 bytes with up to 32 tests; [`str::parse`] does so for other sizes.
    ///
    /// # Errors
    ///
    /// [`SelectorError`] with the first thing that is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl<const TESTS: usize, const BYTES: usize> Selector<TESTS, BYTES> {
    /// Whether a device is meant.
    #[must_use]
    pub fn matches<M: Member + ?Sized>(&self, member: &M) -> bool {
        self.0.run(member)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.text()
    }
}

impl<const TESTS: usize, const BYTES: usize> FromStr for Selector<TESTS, BYTES> {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Parser::new(text).whole().map(Self)
    }
}

impl<const TESTS: usize, const BYTES: usize> fmt::Display for Selector<TESTS, BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const TESTS: usize, const BYTES: usize> fmt::Debug for Selector<TESTS, BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Selector").field(&self.as_str()).finish()
    }
}

#[cfg(feature = "defmt")]
impl<const TESTS: usize, const BYTES: usize> defmt::Format for Selector<TESTS, BYTES> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.as_str());
    }
}

impl<const TESTS: usize, const BYTES: usize> PartialEq for Selector<TESTS, BYTES> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const TESTS: usize, const BYTES: usize> Eq for Selector<TESTS, BYTES> {}

impl<const TESTS: usize, const BYTES: usize> Hash for Selector<TESTS, BYTES> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests;
