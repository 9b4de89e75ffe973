//! What its makers call a release.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

/// The most numbers of a [`Version`].
pub const MAX_VERSION_NUMBERS: usize = 6;

/// What a number below zero stands for (draft-ietf-suit-update-management, condition-version).
const STAGES: [(i64, &str); 3] = [(-3, "alpha"), (-2, "beta"), (-1, "rc")];

/// The version of a release, as its makers count: 1 to 6 numbers of up to 63 bits, the first one the most significant.
///
/// It is the list of SUIT update management, so that what a device says it runs is what a manifest's version condition is asked
/// of. Pre-releases are numbers below zero: -1 a release candidate, -2 a beta, -3 an alpha. Numbers are compared one after the
/// other, and what is missing counts as 0: `1.2` and `1.2.0` are equal, and `1.2-rc.1`, which is `[1, 2, -1, 1]`, comes before
/// both. For three numbers with or without a pre-release that is the order of semantic versioning.
///
/// Nothing of an update's safety rests on it: what may be installed is judged by sequence number and security counter.
///
/// ```
/// use iot_core::component::Version;
/// let candidate: Version = "1.2.0-rc.3".parse()?;
/// assert_eq!(candidate.numbers(), [1, 2, 0, -1, 3]);
/// assert!(candidate < Version::new(&[1, 2])?);
/// assert_eq!(candidate.to_string(), "1.2.0-rc.3");
/// # Ok::<(), iot_core::component::VersionError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Version {
    // What is not used stays zero, so that the arrays compare as the versions do.
    numbers: [i64; MAX_VERSION_NUMBERS],
    len: u8,
}

/// Why a list or a text is no version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum VersionError {
    /// There is no number.
    #[error("the version is empty: give 1 to {MAX_VERSION_NUMBERS} numbers")]
    Empty,
    /// There are more than [`MAX_VERSION_NUMBERS`].
    #[error("the version has more than {MAX_VERSION_NUMBERS} numbers")]
    TooMany,
    /// A number that is below zero and no pre-release, or a pre-release in front.
    #[error(
        "the number at {position} is not allowed: below zero only -1, -2 and -3 are, and not in front"
    )]
    Number {
        /// Its place, from 0.
        position: usize,
    },
    /// A piece of the text that is no number and no pre-release.
    #[error(
        "the piece at {position} is not allowed: write numbers of at most 63 bits, or alpha, beta or rc behind '-'"
    )]
    Text {
        /// Its place, from 0.
        position: usize,
    },
}

impl Version {
    /// Takes the numbers as they are.
    ///
    /// # Errors
    ///
    /// [`VersionError`], but not [`Text`](VersionError::Text).
    pub fn new(numbers: &[i64]) -> Result<Self, VersionError> {
        let mut version = Self {
            numbers: [0; MAX_VERSION_NUMBERS],
            len: 0,
        };
        numbers
            .iter()
            .try_for_each(|&number| version.push(number))?;
        match numbers {
            [] => Err(VersionError::Empty),
            _ => Ok(version),
        }
    }

    /// The numbers, as they were given.
    #[must_use]
    pub fn numbers(&self) -> &[i64] {
        self.numbers.get(..self.len.into()).unwrap_or(&[])
    }

    pub(super) fn push(&mut self, number: i64) -> Result<(), VersionError> {
        let position = usize::from(self.len);
        let place = self
            .numbers
            .get_mut(position)
            .ok_or(VersionError::TooMany)?;
        if number < 0 && (position == 0 || stage(number).is_none()) {
            return Err(VersionError::Number { position });
        }
        *place = number;
        self.len += 1;
        Ok(())
    }
}

fn stage(number: i64) -> Option<&'static str> {
    let known = STAGES.iter().find(|(stage, _)| *stage == number);
    known.map(|&(_, name)| name)
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.numbers.hash(state);
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, &number) in self.numbers().iter().enumerate() {
            match stage(number) {
                Some(name) => write!(f, "-{name}")?,
                None if at == 0 => write!(f, "{number}")?,
                None => write!(f, ".{number}")?,
            }
        }
        Ok(())
    }
}

/// Reads `1.2.0` and `1.2.0-rc.3`: numbers behind `.`, and `alpha`, `beta` or `rc` behind `-`.
impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        if text.is_empty() {
            return Err(VersionError::Empty);
        }
        let mut version = Self {
            numbers: [0; MAX_VERSION_NUMBERS],
            len: 0,
        };
        let mut position = 0;
        for (behind, part) in text.split('-').enumerate() {
            for (at, piece) in part.split('.').enumerate() {
                let number = match at == 0 && behind > 0 {
                    true => STAGES
                        .iter()
                        .find(|(_, name)| *name == piece)
                        .map(|&(stage, _)| stage),
                    false => natural(piece),
                };
                version.push(number.ok_or(VersionError::Text { position })?)?;
                position += 1;
            }
        }
        Ok(version)
    }
}

/// A number in its only spelling.
fn natural(text: &str) -> Option<i64> {
    let leads = text.starts_with('0') && text.len() > 1;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits && !leads)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use std::hash::DefaultHasher;

    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn pre_releases_come_in_order_before_their_release() {
        let rising = [
            "0.9.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.10.0",
            "2",
        ];
        assert!(rising.map(version).is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn what_is_missing_counts_as_zero() {
        let hash = |version: Version| {
            let mut hasher = DefaultHasher::new();
            version.hash(&mut hasher);
            hasher.finish()
        };
        let (short, long) = (version("1.2"), version("1.2.0"));
        assert_eq!((short, hash(short)), (long, hash(long)));
        assert_ne!(short.to_string(), long.to_string());
    }

    #[test]
    fn what_is_no_version_is_refused_where_it_is_wrong() {
        use VersionError::{Empty, Number, Text, TooMany};
        for (text, error) in [
            ("", Empty),
            ("1.", Text { position: 1 }),
            (".1", Text { position: 0 }),
            ("-rc", Text { position: 0 }),
            ("1.02", Text { position: 1 }),
            ("1.+2", Text { position: 1 }),
            ("1.2-gamma", Text { position: 2 }),
            ("1.2.rc", Text { position: 2 }),
            ("1-2", Text { position: 1 }),
            ("9223372036854775808", Text { position: 0 }),
            ("1.2.3.4.5.6.7", TooMany),
        ] {
            assert_eq!(text.parse::<Version>(), Err(error), "{text:?}");
        }
        for (numbers, error) in [
            (&[][..], Empty),
            (&[-1], Number { position: 0 }),
            (&[1, -4], Number { position: 1 }),
            (&[0; 7], TooMany),
        ] {
            assert_eq!(Version::new(numbers), Err(error), "{numbers:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_the_numbers_and_back(first in 0..=i64::MAX, rest in proptest::collection::vec(-3..=i64::MAX, 0..6)) {
            let numbers: Vec<i64> = core::iter::once(first).chain(rest).collect();
            let version = Version::new(&numbers).unwrap();
            let again: Version = version.to_string().parse().unwrap();
            prop_assert_eq!(again.numbers(), version.numbers());
            prop_assert_eq!(version.numbers(), numbers);
        }
    }
}
