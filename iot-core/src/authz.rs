//! The vocabulary of authorisation, its port, and the rule every fleet starts from.

use crate::message::{Channel, Peer};
use crate::principal::{Principal, Role};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Direction {
    /// From a device to its service.
    Up,
    /// From the service to a device.
    Down,
}

/// What a peer wants to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Action<'a> {
    /// Open a session under this client id.
    Connect {
        /// The client id it presents.
        client_id: &'a str,
    },
    /// Publish to a channel of one device.
    Publish {
        /// Whose channel.
        peer: Peer<'a>,
        /// Which one.
        channel: Channel,
        /// Which way.
        direction: Direction,
    },
    /// Receive a channel of one device, or of all devices of a tenant when `device` is `None`.
    Subscribe {
        /// The tenant in the filter.
        tenant: &'a str,
        /// The device in the filter.
        device: Option<&'a str>,
        /// The channel in the filter; `None` for every channel.
        channel: Option<Channel>,
        /// Which way.
        direction: Direction,
    },
    /// Issue a command to a device.
    Command {
        /// Which device.
        peer: Peer<'a>,
    },
}

/// The answer to "may it?".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
#[non_exhaustive]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

impl Decision {
    /// `Allow` when `condition` holds, otherwise `Deny`.
    pub const fn when(condition: bool) -> Self {
        if condition { Self::Allow } else { Self::Deny }
    }

    /// Whether it is allowed.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// Decides what a verified peer may do. What it does not know it denies.
pub trait Authorizer {
    /// Decides.
    fn decide(&self, who: &Principal, what: &Action<'_>) -> Decision;
}

impl<A: Authorizer + ?Sized> Authorizer for &A {
    fn decide(&self, who: &Principal, what: &Action<'_>) -> Decision {
        (**self).decide(who, what)
    }
}

/// Every peer stays in its own lane; the rule a fleet starts from.
///
/// A device speaks up and listens down on its own channels except enrolment's answers to others; a newcomer
/// only on its own enrolment channel; a service speaks down and listens up in its own tenant; nobody
/// connects under another's name.
///
/// ```
/// use iot_core::authz::{Action, Authorizer, Direction, OwnLane};
/// use iot_core::{Channel, DeviceId, Peer, Principal, Role, TenantId};
/// let who = Principal::new(TenantId::new("acme")?, DeviceId::new("boiler-7")?, Role::Device);
/// let publish = |device| Action::Publish {
///     peer: Peer::parse("acme", device).unwrap(), channel: Channel::Telemetry, direction: Direction::Up };
/// assert!(OwnLane.decide(&who, &publish("boiler-7")).is_allowed());
/// assert!(!OwnLane.decide(&who, &publish("boiler-8")).is_allowed());
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(
    clippy::exhaustive_structs,
    reason = "a unit struct that holds no settings by design"
)]
pub struct OwnLane;

impl Authorizer for OwnLane {
    fn decide(&self, who: &Principal, what: &Action<'_>) -> Decision {
        let (own, name) = (who.tenant.as_str(), who.device.as_str());
        Decision::when(match (who.role, *what) {
            (_, Action::Connect { client_id }) => client_id == name,
            (
                Role::Newcomer,
                Action::Publish {
                    peer,
                    channel,
                    direction,
                },
            ) => peer == who.peer() && channel == Channel::Enrol && direction == Direction::Up,
            (
                Role::Newcomer,
                Action::Subscribe {
                    tenant,
                    device,
                    channel,
                    direction,
                },
            ) => {
                tenant == own
                    && device == Some(name)
                    && channel == Some(Channel::Enrol)
                    && direction == Direction::Down
            }
            (
                Role::Device | Role::Gateway,
                Action::Publish {
                    peer, direction, ..
                },
            ) => peer == who.peer() && direction == Direction::Up,
            (
                Role::Device | Role::Gateway,
                Action::Subscribe {
                    tenant,
                    device,
                    direction,
                    ..
                },
            ) => tenant == own && device == Some(name) && direction == Direction::Down,
            (
                Role::Service,
                Action::Publish {
                    peer, direction, ..
                },
            ) => peer.tenant() == own && direction == Direction::Down,
            (
                Role::Service,
                Action::Subscribe {
                    tenant, direction, ..
                },
            ) => tenant == own && direction == Direction::Up,
            (Role::Service, Action::Command { peer }) => peer.tenant() == own,
            (Role::Newcomer | Role::Device | Role::Gateway, Action::Command { .. }) => false,
        })
    }
}

/// Denies everything; the default where no policy was given.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(
    clippy::exhaustive_structs,
    reason = "a unit struct that holds no settings by design"
)]
pub struct DenyAll;

impl Authorizer for DenyAll {
    fn decide(&self, _: &Principal, _: &Action<'_>) -> Decision {
        Decision::Deny
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeviceId, TenantId};

    fn who(role: Role) -> Principal {
        Principal::new(
            TenantId::new("acme").unwrap(),
            DeviceId::new("d1").unwrap(),
            role,
        )
    }

    fn publish(
        tenant: &'static str,
        device: &'static str,
        channel: Channel,
        direction: Direction,
    ) -> Action<'static> {
        Action::Publish {
            peer: Peer::parse(tenant, device).unwrap(),
            channel,
            direction,
        }
    }

    #[test]
    fn nobody_leaves_its_lane() {
        for role in [Role::Newcomer, Role::Device, Role::Gateway, Role::Service] {
            for channel in Channel::ALL {
                for direction in [Direction::Up, Direction::Down] {
                    let foreign = publish("other", "d1", channel, direction);
                    assert!(
                        !OwnLane.decide(&who(role), &foreign).is_allowed(),
                        "{role:?} {foreign:?}"
                    );
                }
            }
            assert!(
                !OwnLane
                    .decide(&who(role), &Action::Connect { client_id: "d2" })
                    .is_allowed()
            );
        }
        let down = publish("acme", "d1", Channel::Command, Direction::Down);
        assert!(!OwnLane.decide(&who(Role::Device), &down).is_allowed());
        assert!(OwnLane.decide(&who(Role::Service), &down).is_allowed());
    }

    #[test]
    fn a_newcomer_may_only_enrol() {
        for channel in Channel::ALL {
            let allowed = OwnLane.decide(
                &who(Role::Newcomer),
                &publish("acme", "d1", channel, Direction::Up),
            );
            assert_eq!(allowed.is_allowed(), channel == Channel::Enrol);
        }
    }

    #[test]
    fn a_device_cannot_listen_to_its_tenant() {
        let all = Action::Subscribe {
            tenant: "acme",
            device: None,
            channel: None,
            direction: Direction::Down,
        };
        assert!(!OwnLane.decide(&who(Role::Device), &all).is_allowed());
    }

    #[test]
    fn deny_all_denies() {
        assert!(
            !DenyAll
                .decide(&who(Role::Service), &Action::Connect { client_id: "d1" })
                .is_allowed()
        );
    }
}
