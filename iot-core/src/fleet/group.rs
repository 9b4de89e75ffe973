//! The groups of one device.

use super::word::Word;
use crate::id::NameError;

/// Why a device did not join a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GroupError {
    /// The group's name is none.
    #[error("the group's name: {0}")]
    Name(NameError),
    /// All places are taken.
    #[error("the device belongs to {limit} groups already: leave one or raise the limit")]
    Full {
        /// How many there may be.
        limit: usize,
    },
}

/// Up to `N` groups that one device belongs to.
///
/// A group is a list that the service keeps, where a label is a fact about the device. Names follow the same
/// rule; each takes 65 bytes.
///
/// ```
/// use iot_core::fleet::{Groups, Labels, Selector};
/// let mut groups = Groups::<2>::new();
/// groups.join("lab")?;
/// assert!(Selector::parse("group('lab')").unwrap().matches(&(Labels::<0>::new(), groups)));
/// # Ok::<(), iot_core::fleet::GroupError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Groups<const N: usize> {
    // In order, empty places last, so that equal sets are equal.
    places: [Option<Word>; N],
}

impl<const N: usize> Groups<N> {
    /// A device that belongs to no group.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: [None; N] }
    }

    /// Adds the device to a group; joining twice changes nothing.
    ///
    /// # Errors
    ///
    /// [`GroupError`]; nothing was changed.
    pub fn join(&mut self, group: &str) -> Result<(), GroupError> {
        let word = Word::new(group).map_err(GroupError::Name)?;
        if !self.contains(group) {
            let free = self.places.last_mut().filter(|last| last.is_none());
            *free.ok_or(GroupError::Full { limit: N })? = Some(word);
            self.sort();
        }
        Ok(())
    }

    /// Takes the device out of a group; whether it was in it.
    pub fn leave(&mut self, group: &str) -> bool {
        let own = |place: &Option<Word>| place.is_some_and(|own| own.is(group));
        let found = self.places.iter_mut().find(|place| own(place));
        let left = found.map(Option::take).is_some();
        self.sort();
        left
    }

    /// Whether the device is in a group.
    #[must_use]
    pub fn contains(&self, group: &str) -> bool {
        self.places.iter().flatten().any(|own| own.is(group))
    }

    /// Every group, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.places.iter().flatten().map(Word::as_str)
    }

    fn sort(&mut self) {
        self.places
            .sort_unstable_by_key(|place| (place.is_none(), *place));
    }
}

impl<const N: usize> Default for Groups<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    #[test]
    fn a_full_set_refuses_without_a_change() {
        let mut groups = Groups::<1>::new();
        groups.join("lab").unwrap();
        assert_eq!(groups.join("lab"), Ok(()));
        assert_eq!(groups.join("field"), Err(GroupError::Full { limit: 1 }));
        assert_eq!(
            groups.join("#"),
            Err(GroupError::Name(NameError::Character { position: 0 }))
        );
        assert!(groups.iter().eq(["lab"]));
    }

    proptest! {
        #[test]
        fn a_set_of_groups_is_a_sorted_set(changes in proptest::collection::vec(("[a-e]", any::<bool>()), 0..30)) {
            let (mut groups, mut model) = (Groups::<5>::new(), BTreeSet::new());
            for (group, join) in &changes {
                if *join {
                    groups.join(group).unwrap();
                    model.insert(group.as_str());
                } else {
                    prop_assert_eq!(groups.leave(group), model.remove(group.as_str()));
                }
            }
            prop_assert!(groups.iter().eq(model.iter().copied()));
        }
    }
}
