//! What travels between a device and its service, and what became of it.

use core::fmt;
use core::time::Duration;

use crate::id::{self, DeviceId, NameError, TenantId};

/// The purpose of a message; each channel is routed to the engines that handle it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Channel {
    /// Desired and reported properties.
    Twin,
    /// Commands and their results.
    Command,
    /// Measurements.
    Telemetry,
    /// Manifests, images and update reports.
    Update,
    /// Liveness, metrics and anomalies.
    Health,
    /// Enrolment and renewal of certificates.
    Enrol,
}

impl Channel {
    /// Every channel, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Twin,
        Self::Command,
        Self::Telemetry,
        Self::Update,
        Self::Health,
        Self::Enrol,
    ];

    /// The name used in topics and paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twin => "twin",
            Self::Command => "command",
            Self::Telemetry => "telemetry",
            Self::Update => "update",
            Self::Health => "health",
            Self::Enrol => "enrol",
        }
    }

    /// The channel of that [`name`](Self::name).
    ///
    /// ```
    /// use iot_core::Channel;
    /// assert_eq!(Channel::from_name("twin"), Some(Channel::Twin));
    /// assert_eq!(Channel::from_name("TWIN"), None);
    /// ```
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which message goes first when the link is narrow, and which is dropped last.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Priority {
    /// May wait and may be dropped first.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before everything normal.
    High,
    /// Alarms and results of commands.
    Critical,
}

/// How hard a transport tries, in MQTT's terms (MQTT 3.1.1 §4.3).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Qos {
    /// Sent once; its loss goes unnoticed.
    AtMostOnce,
    /// Sent until the next hop acknowledges it; may arrive twice.
    #[default]
    AtLeastOnce,
}

/// The device at the other end, as text borrowed from where it was received.
///
/// ```
/// use iot_core::Peer;
/// let peer = Peer::parse("acme", "boiler-7")?;
/// assert_eq!(peer.device(), "boiler-7");
/// assert!(Peer::parse("acme", "+").is_err());
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Peer<'a> {
    tenant: &'a str,
    device: &'a str,
}

impl<'a> Peer<'a> {
    /// Names a device of a tenant.
    #[must_use]
    pub fn new(tenant: &'a TenantId, device: &'a DeviceId) -> Self {
        Self {
            tenant: tenant.as_str(),
            device: device.as_str(),
        }
    }

    /// Checks both names where they stand.
    ///
    /// # Errors
    ///
    /// [`NameError`] of the first that is no valid name.
    pub fn parse(tenant: &'a str, device: &'a str) -> Result<Self, NameError> {
        id::check_name(tenant)?;
        id::check_name(device)?;
        Ok(Self { tenant, device })
    }

    /// The tenant's name.
    #[must_use]
    pub const fn tenant(self) -> &'a str {
        self.tenant
    }

    /// The device's name.
    #[must_use]
    pub const fn device(self) -> &'a str {
        self.device
    }
}

/// One message, borrowed from a buffer; cheap to copy.
///
/// Without a [`peer`](Self::peer) it goes to, or comes from, the only other end of the link: for a device
/// that is its service.
///
/// ```
/// use iot_core::{Channel, Message, Priority};
/// let message = Message::new(Channel::Telemetry, b"21.5").with_priority(Priority::Low).expires_in_h(24);
/// assert_eq!(message.payload, b"21.5");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Message<'a> {
    /// Its purpose.
    pub channel: Channel,
    /// The device at the other end; `None` on a link that has only one.
    pub peer: Option<Peer<'a>>,
    /// Its content; the channel's owner knows the format.
    pub payload: &'a [u8],
    /// What goes first, and what is dropped last.
    pub priority: Priority,
    /// How hard the transport tries.
    pub qos: Qos,
    /// How long it is worth sending, in powered-on time; `None` for ever.
    pub expires_in: Option<Duration>,
}

impl<'a> Message<'a> {
    /// A message of normal priority, at least once, that does not expire.
    #[must_use]
    pub const fn new(channel: Channel, payload: &'a [u8]) -> Self {
        Self {
            channel,
            peer: None,
            payload,
            priority: Priority::Normal,
            qos: Qos::AtLeastOnce,
            expires_in: None,
        }
    }

    /// A measurement: [`Channel::Telemetry`].
    #[must_use]
    pub const fn telemetry(payload: &'a [u8]) -> Self {
        Self::new(Channel::Telemetry, payload)
    }

    /// Addresses one device, on a link that reaches many.
    #[must_use]
    pub const fn to(mut self, peer: Peer<'a>) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Sets the priority.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets how hard the transport tries.
    #[must_use]
    pub const fn with_qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }

    /// Lets it expire after `span` of powered-on time.
    #[must_use]
    pub const fn expires_in(mut self, span: Duration) -> Self {
        self.expires_in = Some(span);
        self
    }

    /// Lets it expire after `hours` of powered-on time.
    #[must_use]
    pub const fn expires_in_h(self, hours: u32) -> Self {
        self.expires_in(Duration::from_secs(hours as u64 * 3_600))
    }
}

/// Names a submitted message until its [`Fate`] is known; unique within one transport.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ticket(u64);

impl Ticket {
    /// Wraps a transport's number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The transport's number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// How a submitted message ended; each ends in exactly one of these.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fate {
    /// The next hop acknowledged it (or, at most once, it was handed to the link).
    Delivered,
    /// Its time ran out first.
    Expired,
    /// It made room for something more important.
    Evicted,
    /// The next hop said no.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_is_found_by_its_name() {
        for channel in Channel::ALL {
            assert_eq!(Channel::from_name(channel.name()), Some(channel));
        }
    }

    #[test]
    fn a_peer_with_a_wildcard_cannot_be_built() {
        for bad in ["+", "#", "a/b", ""] {
            assert!(Peer::parse("acme", bad).is_err());
            assert!(Peer::parse(bad, "device").is_err());
        }
    }
}
