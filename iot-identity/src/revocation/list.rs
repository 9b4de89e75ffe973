//! The list as a value.

use alloc::collections::BTreeSet;

use super::entry::Denied;

/// Entries under a version number that only rises.
///
/// ```
/// use iot_core::{DeviceId, TenantId};
/// use iot_identity::revocation::{Denied, DenyList};
/// let mut list = DenyList::new(7);
/// list.insert(Denied::Device(TenantId::new("acme")?, DeviceId::new("boiler-7")?));
/// assert_eq!(DenyList::decode(&list.encode())?, list);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DenyList {
    pub(super) version: u64,
    pub(super) entries: BTreeSet<Denied>,
}

impl DenyList {
    /// An empty list of this version.
    #[must_use]
    pub const fn new(version: u64) -> Self {
        Self {
            version,
            entries: BTreeSet::new(),
        }
    }

    /// Adds an entry; false when it was there.
    pub fn insert(&mut self, entry: Denied) -> bool {
        self.entries.insert(entry)
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Whether it holds the entry.
    #[must_use]
    pub fn contains(&self, entry: &Denied) -> bool {
        self.entries.contains(entry)
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Denied> {
        self.entries.iter()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
