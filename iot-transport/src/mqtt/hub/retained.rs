//! Messages that greet later subscribers, by their topics.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use tokio::time::Instant;

use super::letter::Letter;
use crate::topic::matches;

#[derive(Debug, Default)]
pub(super) struct Retained {
    letters: BTreeMap<Arc<str>, Letter>,
    bytes: usize,
}

impl Retained {
    /// Keeps, replaces or (with an empty payload) removes a message; false when there is no room.
    pub(super) fn keep(&mut self, letter: &Letter, (messages, bytes): (usize, usize)) -> bool {
        if let Some(old) = self.letters.remove(&letter.topic) {
            self.bytes = self.bytes.saturating_sub(old.bytes());
        }
        if letter.payload.is_empty() {
            return true;
        }
        let size = letter.bytes();
        if self.letters.len() >= messages || self.bytes.saturating_add(size) > bytes {
            return false;
        }
        self.bytes += size;
        self.letters.insert(letter.topic.clone(), letter.clone());
        true
    }

    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    /// Collects what a filter matches, at most at this quality.
    pub(super) fn collect(&self, filter: &str, qos: u8, found: &mut Vec<Letter>) {
        let now = Instant::now();
        // Everything before the first wildcard is a prefix of all matches, so the scan starts and ends there.
        let prefix = filter.split(['+', '#']).next().unwrap_or_default();
        let prefix = if prefix.len() < filter.len() {
            prefix.strip_suffix('/').unwrap_or(prefix)
        } else {
            prefix
        };
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let matching = self
            .letters
            .range::<str, _>(range)
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, letter)| matches(filter, topic) && !letter.is_expired(now));
        for (_, letter) in matching {
            let mut copy = letter.clone();
            copy.qos = copy.qos.min(qos);
            found.push(copy);
        }
    }
}
