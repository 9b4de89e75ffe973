//! The labels of one device.

use super::word::Word;
use crate::id::NameError;

/// Why a label was not set.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LabelError {
    /// The label's name is none.
    #[error("the label's name: {0}")]
    Name(NameError),
    /// The label's value is none.
    #[error("the label's value: {0}")]
    Value(NameError),
    /// All places are taken.
    #[error("the device has {limit} labels already: remove one or raise the limit")]
    Full {
        /// How many there may be.
        limit: usize,
    },
}

/// Up to `N` labels of one device, each a name and a value; no two have the same name.
///
/// Names and values are 1 to 64 letters, digits, `-`, `_` and `.`, beginning with a letter or digit. Each
/// label takes 130 bytes.
///
/// ```
/// use iot_core::fleet::Labels;
/// let mut labels = Labels::<4>::new();
/// labels.set("site", "north")?;
/// labels.set("site", "south")?;
/// assert_eq!(labels.value("site"), Some("south"));
/// assert_eq!(labels.iter().count(), 1);
/// # Ok::<(), iot_core::fleet::LabelError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Labels<const N: usize> {
    // In the order of names, empty places last, so that equal sets are equal.
    places: [Option<(Word, Word)>; N],
}

impl<const N: usize> Labels<N> {
    /// A device without labels.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: [None; N] }
    }

    /// Sets a label; a value it had before is replaced.
    ///
    /// # Errors
    ///
    /// [`LabelError`]; nothing was changed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), LabelError> {
        let name = Word::new(name).map_err(LabelError::Name)?;
        let value = Word::new(value).map_err(LabelError::Value)?;
        let own = |place: &&mut Option<(Word, Word)>| place.is_some_and(|(own, _)| own == name);
        let place = match self.places.iter_mut().find(own) {
            Some(place) => place,
            None => (self.places.last_mut().filter(|last| last.is_none()))
                .ok_or(LabelError::Full { limit: N })?,
        };
        *place = Some((name, value));
        self.sort();
        Ok(())
    }

    /// Removes a label; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let own = |place: &Option<(Word, Word)>| place.is_some_and(|(own, _)| own.is(name));
        let found = self.places.iter_mut().find(|place| own(place));
        let removed = found.map(Option::take).is_some();
        self.sort();
        removed
    }

    /// The value of a label.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut labels = self.places.iter().flatten();
        let found = labels.find(|(own, _)| own.is(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Every name and value, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.places.iter().flatten();
        labels.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn sort(&mut self) {
        self.places
            .sort_unstable_by_key(|place| (place.is_none(), *place));
    }
}

impl<const N: usize> Default for Labels<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    #[test]
    fn a_full_set_replaces_and_refuses_without_a_change() {
        let mut labels = Labels::<2>::new();
        labels.set("a", "1").unwrap();
        labels.set("b", "2").unwrap();
        let before = labels;
        assert_eq!(labels.set("c", "3"), Err(LabelError::Full { limit: 2 }));
        assert_eq!(
            labels.set("a b", "3"),
            Err(LabelError::Name(NameError::Character { position: 1 }))
        );
        assert_eq!(
            labels.set("a", "*"),
            Err(LabelError::Value(NameError::Character { position: 0 }))
        );
        assert_eq!(
            labels.set("a", ""),
            Err(LabelError::Value(NameError::Empty))
        );
        assert_eq!(labels, before);
        labels.set("a", "9").unwrap();
        assert_eq!(labels.value("a"), Some("9"));
        assert_eq!(
            Labels::<0>::new().set("a", "1"),
            Err(LabelError::Full { limit: 0 })
        );
    }

    proptest! {
        #[test]
        fn a_set_of_labels_is_a_sorted_map(changes in proptest::collection::vec(("[a-e]", proptest::option::of("[x-z]")), 0..30)) {
            let (mut labels, mut model) = (Labels::<5>::new(), BTreeMap::new());
            for (name, value) in &changes {
                match value {
                    Some(value) => {
                        labels.set(name, value).unwrap();
                        model.insert(name.as_str(), value.as_str());
                    }
                    None => prop_assert_eq!(labels.remove(name), model.remove(name.as_str()).is_some()),
                }
            }
            prop_assert!(labels.iter().eq(model.iter().map(|(&name, &value)| (name, value))));
            let mut again = Labels::<5>::new();
            for (name, value) in model.iter().rev() {
                again.set(name, value).unwrap();
            }
            prop_assert_eq!(labels, again);
        }
    }
}
