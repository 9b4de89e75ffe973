//! The fixed layout of this SDK's topics.

use core::fmt;

use iot_core::authz::{Action, Direction};
use iot_core::id::{MAX_NAME_BYTES, NameError};
use iot_core::{Channel, Peer};

/// The longest topic or filter of this layout in bytes; MQTT allows 65,535 (4.7.3).
pub const MAX_TOPIC_BYTES: usize =
    PREFIX.len() + 2 * MAX_NAME_BYTES + "/telemetry".len() + "//down".len();

pub(super) const PREFIX: &str = "iot/1/";

/// Why a text is not one of our topics or filters, or could not be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TopicError {
    /// It does not have the layout of this version.
    #[error("not a topic of the form iot/1/tenant/device/channel/up or down")]
    Layout,
    /// The tenant or device is no valid name.
    #[error("a name in the topic is not valid: {0}")]
    Name(#[from] NameError),
    /// There is no such channel.
    #[error("the topic names a channel that does not exist")]
    Channel,
    /// The caller's buffer is too small.
    #[error("the buffer is too small for the topic: give {MAX_TOPIC_BYTES} bytes")]
    Buffer,
}

/// The name of a direction in topics.
///
/// ```
/// use iot_core::authz::Direction;
/// use iot_transport::topic::direction_name;
/// assert_eq!(direction_name(Direction::Up), "up");
/// ```
#[must_use]
pub const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Down => "down",
        // `Direction` may grow; whatever is not down leaves the device.
        _ => "up",
    }
}

pub(super) fn direction_of(name: &str) -> Option<Direction> {
    match name {
        "up" => Some(Direction::Up),
        "down" => Some(Direction::Down),
        _ => None,
    }
}

/// One device's channel in one direction: what a message is published to.
///
/// ```
/// use iot_core::{authz::Direction, Channel, Peer};
/// use iot_transport::topic::{MAX_TOPIC_BYTES, Topic};
///
/// let topic = Topic::new(Peer::parse("acme", "boiler-7")?, Channel::Twin, Direction::Up);
/// let mut buffer = [0; MAX_TOPIC_BYTES];
/// let text = topic.write(&mut buffer)?;
/// assert_eq!(text, "iot/1/acme/boiler-7/twin/up");
/// assert_eq!(Topic::parse(text)?, topic);
/// assert!(Topic::parse("iot/1/acme/+/twin/up").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Topic<'a> {
    /// Whose.
    pub peer: Peer<'a>,
    /// Which channel.
    pub channel: Channel,
    /// Which way.
    pub direction: Direction,
}

impl<'a> Topic<'a> {
    /// Puts a topic together.
    #[must_use]
    pub const fn new(peer: Peer<'a>, channel: Channel, direction: Direction) -> Self {
        Self {
            peer,
            channel,
            direction,
        }
    }

    /// Reads a topic where it stands.
    ///
    /// # Errors
    ///
    /// [`TopicError`] for anything that this version would not write.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        let [tenant, device, channel, direction] = segments(text)?;
        Ok(Self {
            peer: Peer::parse(tenant, device)?,
            channel: Channel::from_name(channel).ok_or(TopicError::Channel)?,
            direction: direction_of(direction).ok_or(TopicError::Layout)?,
        })
    }

    /// Writes the topic to the front of `buffer`.
    ///
    /// # Errors
    ///
    /// [`TopicError::Buffer`]; [`MAX_TOPIC_BYTES`] are always enough.
    pub fn write(self, buffer: &mut [u8]) -> Result<&str, TopicError> {
        write_parts(
            buffer,
            [
                self.peer.tenant(),
                self.peer.device(),
                self.channel.name(),
                direction_name(self.direction),
            ],
        )
    }

    /// The question to ask an authoriser before publishing here.
    #[must_use]
    pub const fn publish(self) -> Action<'a> {
        Action::Publish {
            peer: self.peer,
            channel: self.channel,
            direction: self.direction,
        }
    }
}

impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, direction) = (self.peer, direction_name(self.direction));
        write!(
            f,
            "{PREFIX}{}/{}/{}/{direction}",
            peer.tenant(),
            peer.device(),
            self.channel
        )
    }
}

pub(super) fn segments(text: &str) -> Result<[&str; 4], TopicError> {
    let rest = text.strip_prefix(PREFIX).ok_or(TopicError::Layout)?;
    let (tenant, rest) = level(rest).ok_or(TopicError::Layout)?;
    let (device, rest) = level(rest).ok_or(TopicError::Layout)?;
    let (channel, direction) = level(rest).ok_or(TopicError::Layout)?;
    // Whatever else follows is no direction.
    Ok([tenant, device, channel, direction])
}

// The search for a `char` of the standard library would take 300 bytes more of a chip's flash.
#[inline(never)]
fn level(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == b'/')?;
    Some((text.get(..at)?, text.get(at.saturating_add(1)..)?))
}

pub(super) fn write_parts<'b>(
    buffer: &'b mut [u8],
    parts: [&str; 4],
) -> Result<&'b str, TopicError> {
    let [tenant, device, channel, direction] = parts;
    let pieces = [PREFIX, tenant, "/", device, "/", channel, "/", direction];
    let mut end = 0_usize;
    for piece in pieces {
        let from = end;
        end = from.saturating_add(piece.len());
        buffer
            .get_mut(from..end)
            .ok_or(TopicError::Buffer)?
            .copy_from_slice(piece.as_bytes());
    }
    let written = buffer.get(..end).ok_or(TopicError::Buffer)?;
    core::str::from_utf8(written).map_err(|_| TopicError::Layout)
}
