//! What to listen to, in the fixed layout.

use core::fmt;

use iot_core::authz::{Action, Direction};
use iot_core::id::check_name;
use iot_core::{Channel, Peer};

use super::map::{PREFIX, TopicError, direction_name, direction_of, segments, write_parts};

/// The topics to listen to: one device or every device of a tenant, one channel or every channel.
///
/// ```
/// use iot_core::{authz::Direction, Channel};
/// use iot_transport::topic::Filter;
///
/// let filter = Filter::tenant("acme", Channel::Telemetry)?;
/// assert_eq!(filter.to_string(), "iot/1/acme/+/telemetry/up");
/// assert_eq!(Filter::parse("iot/1/acme/+/telemetry/up")?, filter);
/// assert!(Filter::parse("iot/1/+/+/telemetry/up").is_err(), "a tenant is never a wildcard");
/// assert!(Filter::parse("#").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Filter<'a> {
    /// The tenant; never a wildcard.
    pub tenant: &'a str,
    /// The device; `None` for every device.
    pub device: Option<&'a str>,
    /// The channel; `None` for every channel.
    pub channel: Option<Channel>,
    /// Which way; never a wildcard.
    pub direction: Direction,
}

impl<'a> Filter<'a> {
    /// What one device listens to: a channel of its own, downwards.
    #[must_use]
    pub const fn device(peer: Peer<'a>, channel: Channel) -> Self {
        Self {
            tenant: peer.tenant(),
            device: Some(peer.device()),
            channel: Some(channel),
            direction: Direction::Down,
        }
    }

    /// What a service listens to: a channel of every device of its tenant, upwards.
    ///
    /// # Errors
    ///
    /// [`TopicError::Name`] when `tenant` is no valid name.
    pub fn tenant(tenant: &'a str, channel: Channel) -> Result<Self, TopicError> {
        check_name(tenant)?;
        Ok(Self {
            tenant,
            device: None,
            channel: Some(channel),
            direction: Direction::Up,
        })
    }

    /// Reads a filter where it stands.
    ///
    /// # Errors
    ///
    /// [`TopicError`] for anything but a topic in which device or channel may be `+`.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        let [tenant, device, channel, direction] = segments(text)?;
        check_name(tenant)?;
        if device != "+" {
            check_name(device)?;
        }
        let channel = match channel {
            "+" => None,
            name => Some(Channel::from_name(name).ok_or(TopicError::Channel)?),
        };
        Ok(Self {
            tenant,
            device: (device != "+").then_some(device),
            channel,
            direction: direction_of(direction).ok_or(TopicError::Layout)?,
        })
    }

    /// Writes the filter to the front of `buffer`.
    ///
    /// # Errors
    ///
    /// [`TopicError::Buffer`]; [`MAX_TOPIC_BYTES`](super::MAX_TOPIC_BYTES) are always enough.
    pub fn write(self, buffer: &mut [u8]) -> Result<&str, TopicError> {
        write_parts(
            buffer,
            [
                self.tenant,
                self.device.unwrap_or("+"),
                self.channel.map_or("+", Channel::name),
                direction_name(self.direction),
            ],
        )
    }

    /// The question to ask an authoriser before subscribing to it.
    #[must_use]
    pub const fn subscribe(self) -> Action<'a> {
        Action::Subscribe {
            tenant: self.tenant,
            device: self.device,
            channel: self.channel,
            direction: self.direction,
        }
    }
}

impl fmt::Display for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.channel.map_or("+", Channel::name);
        let direction = direction_name(self.direction);
        write!(
            f,
            "{PREFIX}{}/{}/{channel}/{direction}",
            self.tenant,
            self.device.unwrap_or("+")
        )
    }
}
