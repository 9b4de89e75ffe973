//! The list in force, shared.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use iot_core::crypto::{Digest, Verifier};
use iot_core::{DeviceId, TenantId};

use super::compact::{CompactError, CompactList, Edition};
use super::entry::{CertificateId, Denied, RollBack};
use super::installed::Installed;
use super::list::DenyList;
use crate::key::KeyHash;

type Listener = dyn Fn(&News) + Send + Sync;

/// What has come into force: what a subscriber cuts sessions for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum News {
    /// One entry is denied that was not before.
    Denied(Denied),
    /// A compact list was installed. It does not tell whom it denies: ask again for every session that stands.
    List(Edition),
}

/// What is denied, by three lists beside each other: one that is issued elsewhere and replaced as a whole, a
/// [`CompactList`] for very many, and the entries denied here, which only [`withdraw`](Self::withdraw) takes back.
/// None of them undoes another, and neither of the first two is ever rolled back. Read by many threads.
///
/// To lose no session between the check and the cut, a front registers a session first and checks it then.
///
/// ```
/// use iot_core::{DeviceId, TenantId};
/// use iot_identity::revocation::{Denied, DenyList, Revocations};
/// let revocations = Revocations::new(DenyList::new(2));
/// let gate = revocations.subscribe(|news| println!("cut for {news:?}"));
/// let (tenant, device) = (TenantId::new("acme")?, DeviceId::new("boiler-7")?);
/// assert!(revocations.deny(Denied::Device(tenant, device)));
/// assert!(revocations.replace(DenyList::new(1)).is_err());
/// revocations.replace(DenyList::new(3))?;
/// assert!(revocations.is_denied(&tenant, &device, &[]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Revocations(Arc<Inner>);

struct Inner {
    in_force: RwLock<InForce>,
    listeners: Mutex<Listeners>,
}

/// Apart, so that neither an issued list takes back a local denial nor a local denial outruns an issued list.
struct InForce {
    issued: DenyList,
    local: BTreeSet<Denied>,
    compact: Option<Installed>,
}

impl InForce {
    fn denies(&self, entry: &Denied) -> bool {
        self.issued.contains(entry)
            || self.local.contains(entry)
            || self.compact.as_ref().is_some_and(|list| list.denies(entry))
    }

    fn denies_any(&self, links: &[(CertificateId, KeyHash)]) -> bool {
        links.iter().any(|&(certificate, key)| {
            self.denies(&Denied::Key(key)) || self.denies(&Denied::Certificate(certificate))
        })
    }
}

#[derive(Default)]
struct Listeners {
    next: u64,
    all: BTreeMap<u64, Arc<Listener>>,
}

impl Revocations {
    /// Puts an issued list into force.
    #[must_use]
    pub fn new(list: DenyList) -> Self {
        Self(Arc::new(Inner {
            in_force: RwLock::new(InForce {
                issued: list,
                local: BTreeSet::new(),
                compact: None,
            }),
            listeners: Mutex::default(),
        }))
    }

    /// Replaces the issued list with a newer one and tells the subscribers of every entry that is new.
    ///
    /// The list in force again, unchanged, is accepted and changes nothing. Local denials stay.
    ///
    /// # Errors
    ///
    /// [`RollBack`] for an older list or another one of the same version; the list in force stays.
    pub fn replace(&self, list: DenyList) -> Result<(), RollBack> {
        let mut current = self.write();
        if list == current.issued {
            return Ok(());
        }
        if list.version <= current.issued.version {
            return Err(RollBack {
                current: current.issued.version,
                offered: list.version,
            });
        }
        let new = |entry: &&Denied| !current.denies(entry);
        let news = list.entries.iter().filter(new).copied().map(News::Denied);
        let news: Vec<News> = news.collect();
        current.issued = list;
        drop(current);
        self.tell(&news);
        Ok(())
    }

    /// Denies an entry here, at once, whatever lists are issued later; false when it was denied here already.
    ///
    /// It is kept in memory and is not part of [`issued`](Self::issued): store [`local`](Self::local) beside
    /// that, and deny its entries again after a restart.
    #[allow(
        clippy::must_use_candidate,
        reason = "it changes what is denied, which most callers call it for"
    )]
    pub fn deny(&self, entry: Denied) -> bool {
        let mut current = self.write();
        let known = current.denies(&entry);
        let new = current.local.insert(entry);
        drop(current);
        if !known {
            self.tell(&[News::Denied(entry)]);
        }
        new
    }

    /// Verifies a signed compact list and puts it into force, in the place of the one before, at once and as a whole.
    ///
    /// `D` is the hash that it is asked with, as `ring::Sha256`. The list is copied, 7 to 9 bytes an entry; keep
    /// `bytes` for the next start. When this returns, whatever the list denies is denied, and the subscribers were told
    /// of it ([`News::List`]). The list in force again is accepted and changes nothing.
    ///
    /// ```
    /// # #[cfg(feature = "ring")] {
    /// use iot_core::crypto::SignatureAlgorithm::Ed25519;
    /// use iot_core::{DeviceId, TenantId};
    /// use iot_identity::key::PublicKey;
    /// use iot_identity::revocation::{CompactError, CompactWriter, Denied, Revocations};
    /// use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier};
    /// let (tenant, device) = (TenantId::new("acme")?, DeviceId::new("boiler-7")?);
    /// let key = SoftwareKey::generate(Ed25519)?;
    /// let issuer = SoftwareVerifier::new(PublicKey::of(&key)?);
    /// let mut writer = CompactWriter::new(7);
    /// writer.deny(&Denied::Device(tenant, device), &mut Sha256::new());
    ///
    /// let revocations = Revocations::default();
    /// revocations.install::<Sha256>(&writer.sign(&key)?, &issuer)?;
    /// assert!(revocations.is_denied(&tenant, &device, &[]));
    /// let empty = CompactWriter::new(6).sign(&key)?;
    /// let refused = revocations.install::<Sha256>(&empty, &issuer);
    /// assert!(matches!(refused, Err(CompactError::RollBack(_))));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CompactError`]; the list in force stays.
    pub fn install<D: Digest + Default>(
        &self,
        bytes: &[u8],
        issuer: &dyn Verifier,
    ) -> Result<Edition, CompactError> {
        // Whoever asks meanwhile does not wait for the signature.
        let list = CompactList::verify(bytes, issuer, None, &mut D::default())?;
        let (edition, next) = (*list.edition(), Installed::of::<D>(&list));
        let mut current = self.write();
        // What is in force may have changed since: only here it is certain what is followed.
        if let Some(before) = current.compact.as_ref().map(Installed::edition) {
            edition.may_follow(before)?;
            if *before == edition {
                return Ok(edition);
            }
        }
        let old = current.compact.replace(next);
        drop(current);
        drop(old);
        self.tell(&[News::List(edition)]);
        Ok(edition)
    }

    /// Takes a local denial back; false when there was none. The issued list may hold the entry still.
    #[allow(
        clippy::must_use_candidate,
        reason = "it changes what is denied, which most callers call it for"
    )]
    pub fn withdraw(&self, entry: &Denied) -> bool {
        self.write().local.remove(entry)
    }

    /// Calls `listener` for every entry and every compact list that comes into force from now on, on the thread that
    /// brings it.
    ///
    /// It is in force when the listener is called. Dropping the subscription ends it.
    #[must_use = "dropping the subscription ends it"]
    pub fn subscribe(&self, listener: impl Fn(&News) + Send + Sync + 'static) -> Subscription {
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
        let current = self.read();
        current.denies(&Denied::Device(*tenant, *device)) || current.denies_any(links)
    }

    /// Whether any certificate or key of a chain is denied: for peers that are no devices.
    #[must_use]
    pub fn denies_any(&self, links: &[(CertificateId, KeyHash)]) -> bool {
        self.read().denies_any(links)
    }

    /// Whether a device or a key is denied, for a key that has no certificate yet.
    #[must_use]
    pub fn is_key_denied(&self, tenant: &TenantId, device: &DeviceId, key: &KeyHash) -> bool {
        let current = self.read();
        current.denies(&Denied::Device(*tenant, *device)) || current.denies(&Denied::Key(*key))
    }

    /// Which compact list is in force.
    #[must_use]
    pub fn compact(&self) -> Option<Edition> {
        self.read().compact.as_ref().map(|list| *list.edition())
    }

    /// The version of the issued list in force; local denials have none, and a compact list has its own.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.read().issued.version
    }

    /// A copy of the issued list in force, without the local denials.
    #[must_use]
    pub fn issued(&self) -> DenyList {
        self.read().issued.clone()
    }

    /// What is denied here, in order: to store, and to report to whoever issues the list.
    #[must_use]
    pub fn local(&self) -> Vec<Denied> {
        self.read().local.iter().copied().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, InForce> {
        let in_force = self.0.in_force.read();
        in_force.unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, InForce> {
        let in_force = self.0.in_force.write();
        in_force.unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Listeners> {
        let listeners = self.0.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, news: &[News]) {
        // Called without any lock held, so that a listener may ask, deny or unsubscribe.
        let all: Vec<Arc<Listener>> = self.listeners().all.values().cloned().collect();
        for one in news {
            all.iter().for_each(|listener| listener(one));
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
        let current = self.read();
        let (version, entries) = (current.issued.version(), current.issued.len());
        let local = current.local.len();
        let compact = current.compact.as_ref().map_or(0, Installed::len);
        write!(
            f,
            "Revocations(version {version}, {entries} entries, {compact} compact, {local} local)"
        )
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
