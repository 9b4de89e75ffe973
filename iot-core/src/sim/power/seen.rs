//! Which keys and which concrete states were met before.

use alloc::vec;
use alloc::vec::Vec;
use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::{HashMap, HashSet};

/// The keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, i: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "64 bits choose the bucket")]
        let low = i as u64;
        self.0 = low;
    }
}

pub(super) type Keys = HashSet<u128, BuildHasherDefault<Identity>>;

/// Every key met so far, with or without its second hash.
#[derive(Debug)]
pub(super) enum Seen {
    Keys(Keys),
    Audited(HashMap<u128, u64, BuildHasherDefault<Identity>>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Met {
    First,
    Again,
    /// The key is known, and belongs to another state.
    Collision,
}

impl Seen {
    pub(super) fn new(audit: bool) -> Self {
        match audit {
            true => Self::Audited(HashMap::default()),
            false => Self::Keys(Keys::default()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Keys(keys) => keys.len(),
            Self::Audited(keys) => keys.len(),
        }
    }

    pub(super) fn contains(&self, key: u128) -> bool {
        match self {
            Self::Keys(keys) => keys.contains(&key),
            Self::Audited(keys) => keys.contains_key(&key),
        }
    }

    pub(super) fn insert(&mut self, key: u128, audit: u64) -> Met {
        match self {
            Self::Keys(keys) => match keys.insert(key) {
                true => Met::First,
                false => Met::Again,
            },
            Self::Audited(keys) => match keys.get(&key) {
                None => {
                    keys.insert(key, audit);
                    Met::First
                }
                Some(known) if *known == audit => Met::Again,
                Some(_) => Met::Collision,
            },
        }
    }
}

/// Remembers the concrete states that came by lately, in constant memory. Forgetting one costs time alone.
#[derive(Debug)]
pub(super) struct Filter(Vec<u128>);

impl Filter {
    pub(super) fn new(bits: u8) -> Self {
        let slots = 1usize.checked_shl(u32::from(bits.min(32))).unwrap_or(1);
        Self(vec![0; slots])
    }

    /// Whether this state does not come by again.
    pub(super) fn is_new(&mut self, state: u128) -> bool {
        let mask = self.0.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, reason = "the mask leaves less")]
        let place = (state >> 64) as usize & mask;
        match self.0.get_mut(place) {
            Some(slot) if *slot == state => false,
            Some(slot) => {
                *slot = state;
                true
            }
            None => true,
        }
    }
}
