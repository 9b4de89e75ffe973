//! Topic aliases on one link: two bytes instead of a topic that was sent before (MQTT 5 §3.3.2.3.4).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// Which topics the broker knows by a number, as long as the link stands.
#[derive(Debug)]
pub(super) struct Aliases {
    most: u16,
    known: BTreeMap<Box<str>, u16>,
}

impl Aliases {
    pub(super) const fn new(most: u16) -> Self {
        Self {
            most,
            known: BTreeMap::new(),
        }
    }

    /// What stands for `topic` in a PUBLISH: the topic, empty when its alias is enough, and the alias if it has one.
    pub(super) fn choose<'t>(&self, topic: &'t str) -> (&'t str, Option<u16>) {
        match self.known.get(topic) {
            Some(alias) => ("", Some(*alias)),
            // No alias is taken away from another topic: what is sent most was most likely sent first.
            None => (topic, self.free()),
        }
    }

    /// `topic` went out in full, with the alias chosen for it.
    pub(super) fn sent(&mut self, topic: &str) {
        if let Some(alias) = self.free().filter(|_| !self.known.contains_key(topic)) {
            self.known.insert(topic.into(), alias);
        }
    }

    fn free(&self) -> Option<u16> {
        let next = u16::try_from(self.known.len()).ok()?.checked_add(1)?;
        (next <= self.most).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_goes_out_in_full_once_and_the_limit_holds() {
        let mut aliases = Aliases::new(2);
        for (topic, alias) in [("a", Some(1)), ("b", Some(2)), ("c", None)] {
            assert_eq!(aliases.choose(topic), (topic, alias));
            aliases.sent(topic);
        }
        assert_eq!(aliases.choose("a"), ("", Some(1)));
        assert_eq!(aliases.choose("b"), ("", Some(2)));
        assert_eq!(aliases.choose("c"), ("c", None));
        assert_eq!(Aliases::new(0).choose("a"), ("a", None));
    }
}
