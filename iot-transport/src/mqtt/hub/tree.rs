//! Subscriptions by the levels of their filters: a publish visits its own levels, not every session.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::collections::HashMap;

use super::session::Session;

/// Filters with more levels are refused, which bounds the depth of the tree.
const MAX_LEVELS: usize = 32;

/// One session's subscription to one filter.
#[derive(Clone, Debug)]
pub(super) struct Subscriber {
    pub(super) session: Arc<Session>,
    pub(super) qos: u8,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
}

/// One level of the tree; `+` is an ordinary key, because no topic name can contain it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    levels: HashMap<Box<str>, Tree>,
    here: Vec<Subscriber>,
    below: Vec<Subscriber>,
}

impl Tree {
    /// Adds or replaces the subscription of one session; whether it is new.
    pub(super) fn insert(&mut self, filter: &str, subscriber: Subscriber) -> bool {
        let list = self.list(filter);
        let known = list
            .iter_mut()
            .find(|known| known.session.number == subscriber.session.number);
        match known {
            Some(known) => {
                *known = subscriber;
                false
            }
            None => {
                list.push(subscriber);
                true
            }
        }
    }

    fn list(&mut self, filter: &str) -> &mut Vec<Subscriber> {
        match filter.split_once('/') {
            _ if filter == "#" => &mut self.below,
            Some((level, rest)) => self.levels.entry(level.into()).or_default().list(rest),
            None => &mut self.levels.entry(filter.into()).or_default().here,
        }
    }

    /// Takes one session's subscription to `filter` away, and the levels that are empty then.
    pub(super) fn remove(&mut self, filter: &str, session: u64) {
        let keep = |subscriber: &Subscriber| subscriber.session.number != session;
        if filter == "#" {
            return self.below.retain(keep);
        }
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        if let Some(child) = self.levels.get_mut(level) {
            match rest {
                Some(rest) => child.remove(rest, session),
                None => child.here.retain(keep),
            }
            if child.is_empty() {
                self.levels.remove(level);
            }
        }
    }

    /// Collects every subscription that matches `topic`; a session may appear more than once.
    pub(super) fn find(&self, topic: &str, found: &mut Vec<Subscriber>) {
        // Topics that begin with '$' are not matched by wildcards at the first level [MQTT-4.7.2-1].
        self.visit(Some(topic), !topic.starts_with('$'), found);
    }

    fn visit(&self, rest: Option<&str>, wildcards: bool, found: &mut Vec<Subscriber>) {
        if wildcards {
            found.extend_from_slice(&self.below);
        }
        let Some(rest) = rest else {
            found.extend_from_slice(&self.here);
            return;
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        if let Some(child) = self.levels.get(level) {
            child.visit(rest, true, found);
        }
        if wildcards && let Some(child) = self.levels.get("+") {
            child.visit(rest, true, found);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.here.is_empty() && self.below.is_empty()
    }
}

/// Whether a filter is well formed, not shared, and within the limits.
pub(super) fn is_valid(filter: &str) -> bool {
    let levels = filter.split('/').count();
    let well_formed = filter
        .split('/')
        .enumerate()
        .all(|(at, level)| match level {
            "+" => true,
            "#" => at + 1 == levels,
            other => !other.contains(['+', '#', '\0']),
        });
    !filter.is_empty() && levels <= MAX_LEVELS && well_formed && !filter.starts_with("$share/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::matches;
    use proptest::prelude::*;

    fn subscriber(number: u64) -> Subscriber {
        Subscriber {
            session: Arc::new(Session::new("x".into(), number)),
            qos: 1,
            no_local: false,
            retain_as_published: false,
        }
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(alloc::vec!["a", "b", "+", "", "$x"])
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_plain_matching_finds(
            filters in prop::collection::vec((prop::collection::vec(level(), 1..4), any::<bool>()), 1..12),
            topic in prop::collection::vec(prop::sample::select(alloc::vec!["a", "b", "", "$x"]), 1..5),
            removed in any::<u64>(),
        ) {
            let filters: Vec<_> = filters.into_iter().map(|(levels, all)| {
                let mut text = levels.join("/");
                if all { text.push_str("/#"); }
                text
            }).filter(|text| !text.is_empty()).collect();
            let topic = topic.join("/");
            let mut tree = Tree::default();
            for (number, filter) in (0..).zip(&filters) {
                prop_assert!(is_valid(filter));
                tree.insert(filter, subscriber(number));
            }
            let gone = removed % 12;
            if let Some(filter) = filters.get(usize::try_from(gone).unwrap()) {
                tree.remove(filter, gone);
            }
            let mut found = Vec::new();
            tree.find(&topic, &mut found);
            let mut found: Vec<_> = found.iter().map(|subscriber| subscriber.session.number).collect();
            found.sort_unstable();
            let expected: Vec<_> = (0..).zip(&filters)
                .filter(|(number, filter)| *number != gone && matches(filter, &topic))
                .map(|(number, _)| number).collect();
            prop_assert_eq!(found, expected);
            for (number, filter) in (0..).zip(&filters) {
                tree.remove(filter, number);
            }
            prop_assert!(tree.is_empty(), "removing every subscription leaves levels behind");
        }
    }

    #[test]
    fn malformed_and_shared_filters_are_refused() {
        for filter in ["", "a/#/b", "a#", "a+/b", "$share/g/a", "a\0"] {
            assert!(!is_valid(filter), "{filter:?}");
        }
        assert!(!is_valid(&"a/".repeat(MAX_LEVELS)));
        assert!(is_valid("#") && is_valid("+/a/#") && is_valid("/"));
    }
}
