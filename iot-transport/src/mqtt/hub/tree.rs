//! Subscriptions by the levels of their filters: a publish visits its own levels, not every session.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::collections::HashMap;

use super::group::Group;
use super::letter::Letter;
use super::session::Session;
use crate::mqtt::packet::server::unshared;

/// Filters with more levels are refused, which bounds the depth of the tree.
const MAX_LEVELS: usize = 32;

/// One session's subscription to one filter.
#[derive(Clone, Debug)]
pub(super) struct Subscriber {
    pub(super) session: Arc<Session>,
    pub(super) qos: u8,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    /// The filter with its group, where the subscription is shared.
    pub(super) share: Option<Arc<str>>,
}

impl Subscriber {
    /// A letter as this subscriber gets it.
    pub(super) fn copy(&self, letter: &Letter) -> Letter {
        let mut copy = letter.clone();
        copy.qos = copy.qos.min(self.qos);
        copy.retain = letter.retain && self.retain_as_published;
        copy.share.clone_from(&self.share);
        copy
    }
}

/// One level of the tree; `+` is an ordinary key, because no topic name can contain it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    levels: HashMap<Box<str>, Tree>,
    here: Leaf,
    below: Leaf,
}

/// The subscriptions to one filter.
#[derive(Debug, Default)]
struct Leaf {
    alone: Vec<Subscriber>,
    groups: BTreeMap<Box<str>, Group>,
}

/// What matches a topic; a session may appear more than once.
#[derive(Debug, Default)]
pub(super) struct Found<'t> {
    pub(super) alone: Vec<&'t Subscriber>,
    pub(super) groups: Vec<&'t Group>,
    /// How many nodes were looked at.
    visited: usize,
}

impl Tree {
    /// Adds or replaces the subscription of one session; whether it is new.
    pub(super) fn insert(&mut self, filter: &str, subscriber: Subscriber) -> bool {
        let (group, filter) = parts(filter);
        let leaf = self.leaf(filter);
        let list = match group {
            None => &mut leaf.alone,
            Some(name) => &mut leaf.groups.entry(name.into()).or_default().members,
        };
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

    fn leaf(&mut self, filter: &str) -> &mut Leaf {
        match filter.split_once('/') {
            _ if filter == "#" => &mut self.below,
            Some((level, rest)) => self.levels.entry(level.into()).or_default().leaf(rest),
            None => &mut self.levels.entry(filter.into()).or_default().here,
        }
    }

    /// Takes one session's subscription to `filter` away, and the levels that are empty then.
    pub(super) fn remove(&mut self, filter: &str, session: u64) {
        let (group, filter) = parts(filter);
        self.remove_from(filter, group, session);
    }

    fn remove_from(&mut self, filter: &str, group: Option<&str>, session: u64) {
        if filter == "#" {
            return self.below.remove(group, session);
        }
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        if let Some(child) = self.levels.get_mut(level) {
            match rest {
                Some(rest) => child.remove_from(rest, group, session),
                None => child.here.remove(group, session),
            }
            if child.is_empty() {
                self.levels.remove(level);
            }
        }
    }

    /// The group that shares `filter`, which is written with its name.
    pub(super) fn group(&self, filter: &str) -> Option<&Group> {
        let (name, filter) = parts(filter);
        let mut levels = filter.split('/').peekable();
        let mut node = self;
        let leaf = loop {
            match levels.next()? {
                "#" if levels.peek().is_none() => break &node.below,
                level => node = node.levels.get(level)?,
            }
            if levels.peek().is_none() {
                break &node.here;
            }
        };
        leaf.groups.get(name?)
    }

    /// Collects every subscription that matches `topic`.
    pub(super) fn find<'t>(&'t self, topic: &str, found: &mut Found<'t>) {
        // Topics that begin with '$' are not matched by wildcards at the first level [MQTT-4.7.2-1].
        self.visit(Some(topic), !topic.starts_with('$'), found);
    }

    fn visit<'t>(&'t self, rest: Option<&str>, wildcards: bool, found: &mut Found<'t>) {
        found.visited += 1;
        if wildcards {
            found.take(&self.below);
        }
        let Some(rest) = rest else {
            found.take(&self.here);
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

impl Leaf {
    fn remove(&mut self, group: Option<&str>, session: u64) {
        let keep = |subscriber: &Subscriber| subscriber.session.number != session;
        let Some(name) = group else {
            return self.alone.retain(keep);
        };
        if let Some(group) = self.groups.get_mut(name) {
            group.members.retain(keep);
            if group.members.is_empty() {
                self.groups.remove(name);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.alone.is_empty() && self.groups.is_empty()
    }
}

impl<'t> Found<'t> {
    fn take(&mut self, leaf: &'t Leaf) {
        self.alone.extend(&leaf.alone);
        self.groups.extend(leaf.groups.values());
    }
}

/// The group that shares a filter, if any, and the filter itself.
fn parts(filter: &str) -> (Option<&str>, &str) {
    // What is malformed was refused before it came here.
    unshared(filter).unwrap_or((None, filter))
}

/// Whether a filter is well formed and within the limits.
pub(super) fn is_valid(filter: &str) -> bool {
    let Some((_, filter)) = unshared(filter) else {
        return false;
    };
    let levels = filter.split('/').count();
    let well_formed = filter
        .split('/')
        .enumerate()
        .all(|(at, level)| match level {
            "+" => true,
            "#" => at + 1 == levels,
            other => !other.contains(['+', '#', '\0']),
        });
    !filter.is_empty() && levels <= MAX_LEVELS && well_formed
}

#[cfg(test)]
mod tests;
