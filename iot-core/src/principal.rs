//! Who a peer is, once its certificate chain has been verified.

use crate::id::{DeviceId, TenantId};
use crate::message::Peer;

/// What kind of peer it is; given by the trust anchor that verified it, never by text it brought along.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Role {
    /// Shows only its factory identity (IDevID): it may enrol and nothing else.
    Newcomer,
    /// An enrolled device (LDevID).
    Device,
    /// An enrolled device that forwards for others on its own site.
    Gateway,
    /// A service of the tenant.
    Service,
}

/// A verified peer.
///
/// ```
/// use iot_core::{DeviceId, Principal, Role, TenantId};
/// let who = Principal::new(TenantId::new("acme")?, DeviceId::new("boiler-7")?, Role::Device);
/// assert_eq!(who.peer().device(), "boiler-7");
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Principal {
    /// The owner, from the trust anchor.
    pub tenant: TenantId,
    /// The name in the verified certificate.
    pub device: DeviceId,
    /// What it may be taken for, from the trust anchor.
    pub role: Role,
}

impl Principal {
    /// States who a peer is; only code that has verified it should.
    #[must_use]
    pub const fn new(tenant: TenantId, device: DeviceId, role: Role) -> Self {
        Self {
            tenant,
            device,
            role,
        }
    }

    /// Its address in messages.
    #[must_use]
    pub fn peer(&self) -> Peer<'_> {
        Peer::new(&self.tenant, &self.device)
    }
}
