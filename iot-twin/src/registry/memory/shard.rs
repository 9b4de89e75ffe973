//! The twins themselves, spread so that writers rarely meet.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::log::{Appended, Log, Logged};
use crate::registry::change::{Change, CommitError, Revision, Stored};
use crate::registry::key::TwinKey;
use crate::registry::query::Query;

/// How many parts there are.
pub(super) const SHARDS: usize = 256;

type Shard = HashMap<TwinKey, Entry>;

pub(super) struct Shards(Vec<Mutex<Shard>>);

/// One twin: its current record, and the past ones, the newest last.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) current: Stored,
    pub(super) past: Vec<Stored>,
}

/// The parts that a batch needs, locked in ascending order, so that no two batches wait for each other.
pub(super) struct Guards<'a>(BTreeMap<usize, MutexGuard<'a, Shard>>);

/// What has given way to a change; freeing it is left for when no lock is held.
#[derive(Default)]
pub(super) struct Replaced {
    _stored: Option<Stored>,
    _entry: Option<Entry>,
}

impl Entry {
    /// Makes another record the current one, and keeps so many past ones.
    fn follow(&mut self, current: Stored, history: usize) -> Replaced {
        let before = core::mem::replace(&mut self.current, current);
        if history == 0 {
            self.past.clear();
            return Replaced {
                _stored: Some(before),
                _entry: None,
            };
        }
        let surplus = (self.past.len() + 1).saturating_sub(history);
        // More than one surplus is left by a longer history of before.
        self.past.drain(..surplus.saturating_sub(1));
        let oldest = (surplus > 0).then(|| self.past.remove(0));
        self.past.push(before);
        Replaced {
            _stored: oldest,
            _entry: None,
        }
    }
}

/// Which part a twin is in: the same for ever, because pages are counted by it.
pub(super) fn of(key: &TwinKey) -> usize {
    // FNV-1a, 64 bits.
    let hash = key
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    let [high, ..] = hash.to_be_bytes();
    let [low, ..] = hash.to_le_bytes();
    usize::from(high ^ low)
}

impl Shards {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// Makes a single change, with one look for its twin.
    pub(super) fn change<E>(
        &self,
        change: Change,
        log: &Log,
        history: usize,
    ) -> Result<(Appended, Replaced), CommitError<E>> {
        let conflict = |found| CommitError::Conflict { index: 0, found };
        let Some(mut part) = self.part(of(&change.key)) else {
            return Err(conflict(None));
        };
        let entry = part.get_mut(&change.key);
        let found = entry.as_ref().map(|entry| entry.current.revision);
        if !change.expect.is_met(found) {
            return Err(conflict(found));
        }
        let appended = log.append(core::iter::once(Logged::of(&change)));
        let revision = appended.committed.first;
        let replaced = match (entry, change.record) {
            (Some(entry), Some(record)) => {
                entry.follow(Stored::new(revision, change.at, record), history)
            }
            (None, Some(record)) => {
                let current = Stored::new(revision, change.at, record);
                let past = Vec::new();
                part.insert(change.key, Entry { current, past });
                Replaced::default()
            }
            (_, None) => Replaced {
                _stored: None,
                _entry: part.remove(&change.key),
            },
        };
        Ok((appended, replaced))
    }

    pub(super) fn lock(&self, changes: &[Change]) -> Guards<'_> {
        let mut parts: Vec<_> = changes.iter().map(|change| of(&change.key)).collect();
        parts.sort_unstable();
        parts.dedup();
        let guards = parts
            .into_iter()
            .filter_map(|part| Some((part, self.part(part)?)));
        Guards(guards.collect())
    }

    pub(super) fn read(&self, key: &TwinKey) -> Option<Stored> {
        let part = self.part(of(key))?;
        Some(part.get(key)?.current.clone())
    }

    pub(super) fn history(&self, key: &TwinKey) -> Vec<Stored> {
        let part = self.part(of(key));
        let entry = part.as_ref().and_then(|part| part.get(key));
        entry.map_or_else(Vec::new, |entry| entry.past.iter().rev().cloned().collect())
    }

    /// The twins of one part that a query means, sorted by their keys, behind `after`; and the greatest key of all.
    pub(super) fn matching(
        &self,
        number: usize,
        query: &Query,
        after: Option<&TwinKey>,
    ) -> (Vec<(TwinKey, Stored)>, Option<TwinKey>) {
        let Some(part) = self.part(number) else {
            return (Vec::new(), None);
        };
        let behind = part
            .iter()
            .filter(|(key, _)| after.is_none_or(|after| *key > after));
        let found = behind.filter(|(key, entry)| query.matches(key, &entry.current.record));
        let mut found: Vec<_> = found
            .map(|(key, entry)| (key.clone(), entry.current.clone()))
            .collect();
        let greatest = part.keys().max().cloned();
        drop(part);
        found.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
        (found, greatest)
    }

    /// Everything, at one moment; `then` sees the moment too.
    pub(super) fn all<T>(&self, then: impl FnOnce() -> T) -> (Vec<(TwinKey, Entry)>, T) {
        let parts: Vec<_> = (0..SHARDS).filter_map(|number| self.part(number)).collect();
        let seen = then();
        let all = parts.iter().flat_map(|part| part.iter());
        (
            all.map(|(key, entry)| (key.clone(), entry.clone()))
                .collect(),
            seen,
        )
    }

    pub(super) fn put(&self, key: TwinKey, entry: Entry) {
        if let Some(mut part) = self.part(of(&key)) {
            part.insert(key, entry);
        }
    }

    fn part(&self, number: usize) -> Option<MutexGuard<'_, Shard>> {
        let part = self.0.get(number)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Guards<'_> {
    pub(super) fn revision(&self, key: &TwinKey) -> Option<Revision> {
        let part = self.0.get(&of(key))?;
        Some(part.get(key)?.current.revision)
    }

    pub(super) fn apply(&mut self, change: Change, revision: Revision, history: usize) -> Replaced {
        let Some(part) = self.0.get_mut(&of(&change.key)) else {
            return Replaced::default();
        };
        let Some(record) = change.record else {
            return Replaced {
                _stored: None,
                _entry: part.remove(&change.key),
            };
        };
        let current = Stored::new(revision, change.at, record);
        match part.get_mut(&change.key) {
            Some(entry) => entry.follow(current, history),
            None => {
                let past = Vec::new();
                part.insert(change.key, Entry { current, past });
                Replaced::default()
            }
        }
    }
}
