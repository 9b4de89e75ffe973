//! The list in force, shared.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, PoisonError, RwLock};

use iot_core::{DeviceId, TenantId};

use super::list::{CertificateId, Denied, DenyList, RollBack};
use crate::key::KeyHash;

type Listener = dyn Fn(&Denied) + Send + Sync;

/// The deny-list in force: read by many threads, replaced as a whole, never rolled back.
///
/// To lose no session between the check and the cut, a front registers a session first and checks it then.
///
/// ```
/// use iot_core::{DeviceId, TenantId};
/// use iot_identity::revocation::{Denied, DenyList, Revocations};
/// let revocations = Revocations::new(DenyList::new(1));
/// let gate = revocations.subscribe(|denied| println!("cut {denied:?}"));
/// let (tenant, device) = (TenantId::new("acme")?, DeviceId::new("boiler-7")?);
/// assert_eq!(revocations.deny(Denied::Device(tenant, device)), 2);
/// assert!(revocations.is_denied(&tenant, &device, &[]));
/// assert!(revocations.replace(DenyList::new(1)).is_err());
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone)]
pub struct Revocations(Arc<Inner>);

struct Inner {
    list: RwLock<DenyList>,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    all: BTreeMap<u64, Arc<Listener>>,
}

impl Revocations {
    /// Puts a list into force.
    #[must_use]
    pub fn new(list: DenyList) -> Self {
        Self(Arc::new(Inner {
            list: RwLock::new(list),
            listeners: Mutex::default(),
        }))
    }

    /// Replaces the list with a newer one and tells the subscribers of every entry that is new.
    ///
    /// The list in force again, unchanged, is accepted and changes nothing.
    ///
    /// # Errors
    ///
    /// [`RollBack`] for an older list or another one of the same version; the list in force stays.
    pub fn replace(&self, list: DenyList) -> Result<(), RollBack> {
        let mut current = self.0.list.write().unwrap_or_else(PoisonError::into_inner);
        if list == *current {
            return Ok(());
        }
        if list.version <= current.version {
            return Err(RollBack {
                current: current.version,
                offered: list.version,
            });
        }
        let news: Vec<Denied> = list.entries.difference(&current.entries).copied().collect();
        *current = list;
        drop(current);
        self.tell(&news);
        Ok(())
    }

    /// Adds one entry and returns the version that holds it; an entry that is there changes nothing.
    pub fn deny(&self, entry: Denied) -> u64 {
        let mut current = self.0.list.write().unwrap_or_else(PoisonError::into_inner);
        let new = current.insert(entry);
        if new {
            current.version = current.version.saturating_add(1);
        }
        let version = current.version;
        drop(current);
        if new {
            self.tell(&[entry]);
        }
        version
    }

    /// Calls `listener` for every entry that is added from now on, on the thread that adds it.
    ///
    /// The entry is in force when the listener is called. Dropping the subscription ends it.
    #[must_use = "dropping the subscription ends it"]
    pub fn subscribe(&self, listener: impl Fn(&Denied) + Send + Sync + 'static) -> Subscription {
        let mut listeners = self.listeners();
        let number = listeners.next;
        listeners.next = number.saturating_add(1);
        listeners.all.insert(number, Arc::new(listener));
        Subscription {
            of: Arc::downgrade(&self.0),
            number,
        }
    }

    /// Whether a device, or any certificate or key of its chain, is denied.
    #[must_use]
    pub fn is_denied(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        links: &[(CertificateId, KeyHash)],
    ) -> bool {
        let list = self.0.list.read().unwrap_or_else(PoisonError::into_inner);
        list.contains(&Denied::Device(*tenant, *device))
            || links.iter().any(|&(certificate, key)| {
                list.contains(&Denied::Key(key)) || list.contains(&Denied::Certificate(certificate))
            })
    }

    /// Whether a device or a key is denied, for a key that has no certificate yet.
    #[must_use]
    pub fn is_key_denied(&self, tenant: &TenantId, device: &DeviceId, key: &KeyHash) -> bool {
        let list = self.0.list.read().unwrap_or_else(PoisonError::into_inner);
        list.contains(&Denied::Device(*tenant, *device)) || list.contains(&Denied::Key(*key))
    }

    /// The version in force; it rises with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        let list = self.0.list.read().unwrap_or_else(PoisonError::into_inner);
        list.version
    }

    /// A copy of the list in force, to store or send.
    #[must_use]
    pub fn snapshot(&self) -> DenyList {
        let list = self.0.list.read().unwrap_or_else(PoisonError::into_inner);
        list.clone()
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Listeners> {
        let listeners = self.0.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, news: &[Denied]) {
        // Called without any lock held, so that a listener may ask, deny or unsubscribe.
        let all: Vec<Arc<Listener>> = self.listeners().all.values().cloned().collect();
        for entry in news {
            all.iter().for_each(|listener| listener(entry));
        }
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new(DenyList::default())
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.0.list.read().unwrap_or_else(PoisonError::into_inner);
        let (version, entries) = (list.version(), list.len());
        write!(f, "Revocations(version {version}, {entries} entries)")
    }
}

/// Keeps a listener subscribed for as long as it lives.
pub struct Subscription {
    of: Weak<Inner>,
    number: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(inner) = self.of.upgrade() {
            let listeners = Revocations(inner);
            listeners.listeners().all.remove(&self.number);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({})", self.number)
    }
}
