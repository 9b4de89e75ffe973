//! A compact list in force: its own copy, and the hash that it is asked with.

use alloc::boxed::Box;

use iot_core::crypto::Digest;

use super::compact::{CompactList, Edition, Index};
use super::entry::Denied;

/// A list without the bytes that it was signed in.
pub(super) struct Installed {
    edition: Edition,
    index: Index,
    table: Box<[u8]>,
    entries: Box<[u8]>,
    denies: fn(&CompactList<'_>, &Denied) -> bool,
}

impl Installed {
    pub(super) fn of<D: Digest + Default>(list: &CompactList<'_>) -> Self {
        Self {
            edition: list.edition,
            index: list.index,
            table: list.table.into(),
            entries: list.entries.into(),
            denies: |list, entry| list.denies(entry, &mut D::default()),
        }
    }

    pub(super) const fn edition(&self) -> &Edition {
        &self.edition
    }

    pub(super) fn len(&self) -> usize {
        self.list().len()
    }

    pub(super) fn denies(&self, entry: &Denied) -> bool {
        (self.denies)(&self.list(), entry)
    }

    fn list(&self) -> CompactList<'_> {
        CompactList {
            edition: self.edition,
            index: self.index,
            table: &self.table,
            entries: &self.entries,
        }
    }
}
