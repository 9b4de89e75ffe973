//! Comparing versions (update management, condition-version).

use core::cmp::Ordering;

use iot_core::codec::FlatReader;

/// What a manifest wants of the version of what is installed.
///
/// A version is a list of integers; pre-releases are negative: -1 a release candidate, -2 a beta, -3 an alpha. Only
/// as many integers as the manifest gives are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct VersionMatch<'a>(&'a [u8]);

impl<'a> VersionMatch<'a> {
    /// Reads `[comparison, [+ integer]]`; `None` when it is something else.
    #[inline(never)]
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = FlatReader::new(bytes);
        let items = reader.array_len();
        let comparison = reader.uint();
        let count = reader.array_len();
        for _ in 0..count {
            reader.peek()?;
            reader.int();
        }
        let known = items == 2 && (1..=5).contains(&comparison) && count > 0;
        (known && reader.is_empty()).then_some(Self(bytes))
    }

    /// The integers that are compared.
    pub fn numbers(&self) -> impl Iterator<Item = i64> + use<'a> {
        let mut reader = FlatReader::new(self.0);
        reader.array_len();
        reader.uint();
        let count = reader.array_len();
        (0..count).map(move |_| reader.int())
    }

    /// Whether the version `installed` is one the manifest wants. What `installed` lacks counts as 0.
    #[must_use]
    #[inline(never)]
    pub fn holds(&self, installed: &[i64]) -> bool {
        let mut reader = FlatReader::new(self.0);
        reader.array_len();
        let comparison = reader.uint();
        let (mut installed, mut ordering) = (installed.iter(), Ordering::Equal);
        for _ in 0..reader.array_len() {
            let own = installed.next().copied().unwrap_or(0);
            let wanted = reader.int();
            if ordering.is_eq() {
                ordering = own.cmp(&wanted);
            }
        }
        match comparison {
            1 => ordering.is_gt(),
            2 => ordering.is_ge(),
            3 => ordering.is_eq(),
            4 => ordering.is_le(),
            _ => ordering.is_lt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_ends_with_the_manifests_numbers_and_pre_releases_come_first() {
        // [comparison, [1, 2]] and [comparison, [1, 2, -1]], the second release candidate's series.
        let matching = |comparison: u8| [0x82, comparison, 0x82, 0x01, 0x02];
        for (comparison, installed, holds) in [
            (1, &[1, 3][..], true),
            (1, &[1, 2, 9], false),
            (2, &[1, 2, 9], true),
            (3, &[1, 2, 9], true),
            (3, &[1], false),
            (4, &[1, 2, 9], true),
            (4, &[1, 3], false),
            (5, &[1, 1, 9], true),
            (5, &[1, 2], false),
        ] {
            let bytes = matching(comparison);
            let found = VersionMatch::decode(&bytes).unwrap().holds(installed);
            assert_eq!(found, holds, "{comparison} {installed:?}");
        }
        let candidate = [0x82, 0x05, 0x83, 0x01, 0x02, 0x20];
        let candidate = VersionMatch::decode(&candidate).unwrap();
        assert!(candidate.holds(&[1, 2, -2, 7]) && !candidate.holds(&[1, 2, 0]));
    }

    #[test]
    fn what_is_no_comparison_is_refused() {
        for bytes in [
            &[0x82, 0x00, 0x81, 0x01][..],
            &[0x82, 0x06, 0x81, 0x01],
            &[0x82, 0x01, 0x80],
            &[0x82, 0x01, 0x81, 0x40],
            &[0x82, 0x01, 0x81, 0x01, 0x00],
            &[0x81, 0x01],
        ] {
            assert_eq!(VersionMatch::decode(bytes), None, "{bytes:02x?}");
        }
    }
}
