//! Devices that somebody has to look at before they get a certificate, and before they do their work again.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use std::sync::{PoisonError, RwLock};

use iot_core::authz::{Action, Authorizer, Decision, Direction};
use iot_core::{Channel, DeviceId, Principal, Role, TenantId};

/// What a device in quarantine waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Hold {
    /// For an approval: until then a registrar issues nothing to it.
    Approval,
    /// For its release: it gets certificates, and may do nothing with them but be repaired.
    Release,
}

/// The devices in quarantine, shared by registrars and fronts; clones are the same quarantine.
///
/// | | hold | approve | release |
/// |---|---|---|---|
/// | **not in quarantine** | waits for approval | – | – |
/// | **waits for approval** | – | waits for release | – |
/// | **waits for release** | waits for approval | – | not in quarantine |
///
/// It is kept in memory: store [`entries`](Self::entries) whenever one of the three returns true, and
/// [`restore`](Self::restore) them after a restart.
///
/// ```
/// use iot_core::{DeviceId, TenantId};
/// use iot_identity::enrol::{Hold, Quarantine};
/// let (acme, boiler) = (TenantId::new("acme")?, DeviceId::new("boiler-7")?);
/// let quarantine = Quarantine::default();
/// assert!(quarantine.hold(&acme, &boiler));
/// assert!(!quarantine.release(&acme, &boiler), "nobody has approved it");
/// assert!(quarantine.approve(&acme, &boiler));
/// assert_eq!(quarantine.waits_for(&acme, &boiler), Some(Hold::Release));
/// assert!(quarantine.release(&acme, &boiler));
/// assert_eq!(quarantine.waits_for(&acme, &boiler), None);
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone, Default)]
pub struct Quarantine(Arc<RwLock<Held>>);

type Held = BTreeMap<(TenantId, DeviceId), Hold>;

#[allow(
    clippy::must_use_candidate,
    reason = "they change who is held, which is what they are called for"
)]
impl Quarantine {
    /// Puts a device into quarantine, or back to where it waits for approval; false when it waits there.
    pub fn hold(&self, tenant: &TenantId, device: &DeviceId) -> bool {
        let held = self.change(|held| held.insert((*tenant, *device), Hold::Approval));
        held != Some(Hold::Approval)
    }

    /// Lets a registrar issue certificates to a device that waits for it; false when it does not.
    pub fn approve(&self, tenant: &TenantId, device: &DeviceId) -> bool {
        self.change(|held| match held.get_mut(&(*tenant, *device)) {
            Some(hold @ Hold::Approval) => {
                *hold = Hold::Release;
                true
            }
            _ => false,
        })
    }

    /// Lets a device that was approved do its work again; false when it does not wait for that.
    pub fn release(&self, tenant: &TenantId, device: &DeviceId) -> bool {
        let key = (*tenant, *device);
        self.change(|held| {
            let waits = held.get(&key) == Some(&Hold::Release);
            waits && held.remove(&key).is_some()
        })
    }

    /// What a device waits for; `None` when it is not in quarantine.
    #[must_use]
    pub fn waits_for(&self, tenant: &TenantId, device: &DeviceId) -> Option<Hold> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.get(&(*tenant, *device)).copied()
    }

    /// Everybody in it, in order: to store, and to show to whoever approves.
    #[must_use]
    pub fn entries(&self) -> Vec<(TenantId, DeviceId, Hold)> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry =
            |(&(tenant, device), &hold): (&(TenantId, DeviceId), &Hold)| (tenant, device, hold);
        held.iter().map(entry).collect()
    }

    /// Shows it what was stored; what it knows of other devices stays.
    pub fn restore(&self, entries: impl IntoIterator<Item = (TenantId, DeviceId, Hold)>) {
        let entries = entries.into_iter();
        self.change(|held| {
            held.extend(entries.map(|(tenant, device, hold)| ((tenant, device), hold)))
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        // Each change is one call on the map: a thread that panics elsewhere leaves nothing half done.
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "Quarantine({} devices)", held.len())
    }
}

/// An [`Authorizer`] that confines whoever is in quarantine to its repair, and asks another one about the rest.
///
/// A device in it may speak about enrolment, its twin, updates and its health, and about nothing else; no command is
/// issued to it, so ask about [`Action::Command`] before one is. What it may listen to is the other's to decide: only
/// the service speaks there. It is judged with every question, so that a release needs no new session.
///
/// ```
/// use iot_core::authz::{Action, Authorizer, Direction, OwnLane};
/// use iot_core::{Channel, DeviceId, Principal, Role, TenantId};
/// use iot_identity::enrol::{Confined, Quarantine};
/// let who = Principal::new(TenantId::new("acme")?, DeviceId::new("boiler-7")?, Role::Device);
/// let quarantine = Quarantine::default();
/// let rule = Confined::new(OwnLane, quarantine.clone());
/// let says = |channel| rule.decide(&who, &Action::Publish { peer: who.peer(), channel, direction: Direction::Up });
/// assert!(says(Channel::Telemetry).is_allowed());
/// quarantine.hold(&who.tenant, &who.device);
/// assert!(!says(Channel::Telemetry).is_allowed() && says(Channel::Update).is_allowed());
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Confined<A> {
    rest: A,
    quarantine: Quarantine,
}

impl<A> Confined<A> {
    /// Asks `rest` about everybody who is not in `quarantine`.
    #[must_use]
    pub const fn new(rest: A, quarantine: Quarantine) -> Self {
        Self { rest, quarantine }
    }
}

impl<A: Authorizer> Authorizer for Confined<A> {
    fn decide(&self, who: &Principal, what: &Action<'_>) -> Decision {
        let is_device = matches!(who.role, Role::Device | Role::Gateway);
        let is_confined = match *what {
            Action::Publish {
                channel, direction, ..
            } => {
                let repairs = matches!(
                    channel,
                    Channel::Enrol | Channel::Twin | Channel::Update | Channel::Health
                );
                let speaks = is_device && direction == Direction::Up && !repairs;
                speaks
                    && self
                        .quarantine
                        .waits_for(&who.tenant, &who.device)
                        .is_some()
            }
            Action::Command { peer } => {
                let tenant = TenantId::new(peer.tenant());
                match (tenant, DeviceId::new(peer.device())) {
                    (Ok(tenant), Ok(device)) => {
                        self.quarantine.waits_for(&tenant, &device).is_some()
                    }
                    _ => true,
                }
            }
            _ => false,
        };
        if is_confined {
            Decision::Deny
        } else {
            self.rest.decide(who, what)
        }
    }
}
