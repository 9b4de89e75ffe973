use core::fmt;

use super::MAX_DEPTH;
use crate::id::MAX_NAME_BYTES;

/// Why a text is no selector. Positions are offsets in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SelectorError {
    /// Something else must stand here.
    #[error("at byte {position}: expected {expected}")]
    Expected {
        /// Where.
        position: usize,
        /// What.
        expected: Expected,
    },
    /// A quoted text with nothing in it.
    #[error(
        "at byte {position}: the quoted text is empty; has(label) tells whether a label is there"
    )]
    Empty {
        /// Where it should begin.
        position: usize,
    },
    /// A name or value longer than [`MAX_NAME_BYTES`], which no label can have.
    #[error("at byte {position}: a name of {bytes} bytes, {MAX_NAME_BYTES} are allowed")]
    LongName {
        /// Where it begins.
        position: usize,
        /// How long it is.
        bytes: usize,
    },
    /// A byte in a name or value that no label can have.
    #[error(
        "at byte {position}: only letters, digits, '-', '_' and '.' are allowed, beginning with a letter or digit"
    )]
    Character {
        /// Where.
        position: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("at byte {position}: nested deeper than {MAX_DEPTH} levels: leave out parentheses")]
    TooDeep {
        /// Where it gets too deep.
        position: usize,
    },
    /// More tests than the selector has room for.
    #[error("at byte {position}: more than {limit} tests: put the devices into a group")]
    TooMany {
        /// Where the first begins that is too many.
        position: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The text, or its canonical spelling, is longer than the selector has room for.
    #[error(
        "at byte {position}: more than {limit} bytes with canonical spaces: put the devices into a group"
    )]
    TooLong {
        /// How far it was read.
        position: usize,
        /// How many bytes it may have.
        limit: usize,
    },
}

impl SelectorError {
    /// Where in the text it went wrong, as an offset in bytes; never in the middle of a character.
    #[must_use]
    pub const fn position(self) -> usize {
        match self {
            Self::Expected { position, .. }
            | Self::Empty { position }
            | Self::LongName { position, .. }
            | Self::Character { position }
            | Self::TooDeep { position }
            | Self::TooMany { position, .. }
            | Self::TooLong { position, .. } => position,
        }
    }
}

/// What a selector must go on with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Expected {
    /// A comparison, a call, a negation or a parenthesis.
    Condition,
    /// What `!` may stand in front of: `!site == 'north'` would be ambiguous to its reader.
    Negatable,
    /// An operator that compares.
    Comparison,
    /// An operator that joins, or the end.
    Joint,
    /// An opening parenthesis.
    Open,
    /// A closing parenthesis.
    Close,
    /// An operator that joins, or a closing parenthesis.
    JointOrClose,
    /// Another value of a list, or its end.
    CommaOrClose,
    /// A label's name.
    Label,
    /// A text in quotes.
    Quoted,
    /// The quote that ends a text.
    Quote,
    /// The wildcard that ends a prefix.
    Star,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Condition => "a label, 'has(', 'group(', 'all()', '!' or '('",
            Self::Negatable => "'has(', 'group(', 'all()', '!' or '(' after '!'",
            Self::Comparison => "'==', '!=', '~' or 'in'",
            Self::Joint => "'&&', '||' or the end",
            Self::Open => "'('",
            Self::Close => "')'",
            Self::JointOrClose => "'&&', '||' or ')'",
            Self::CommaOrClose => "',' or ')'",
            Self::Label => "a label",
            Self::Quoted => "a text in single quotes",
            Self::Quote => "a closing quote",
            Self::Star => "'*' before the closing quote",
        })
    }
}
