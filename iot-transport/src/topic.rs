//! Topics: which channel of which device, and which way.
//!
//! Every message travels under `iot/1/{tenant}/{device}/{channel}/{up|down}`, where `1` is the version of
//! this layout and `up` leads from the device to its service. Both directions of the translation work on
//! borrowed text and need no allocator; whatever does not follow the layout is refused.

use core::fmt;

use iot_core::authz::{Action, Direction};
use iot_core::id::{MAX_NAME_BYTES, NameError, check_name};
use iot_core::{Channel, Peer};

/// The longest topic or filter in bytes.
pub const MAX_TOPIC_BYTES: usize =
    PREFIX.len() + 2 * MAX_NAME_BYTES + "/telemetry".len() + "//down".len();

const PREFIX: &str = "iot/1/";

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
#[must_use]
pub const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Down => "down",
        // `Direction` may grow; whatever is not down leaves the device.
        _ => "up",
    }
}

fn direction_of(name: &str) -> Option<Direction> {
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
    /// [`TopicError::Buffer`]; [`MAX_TOPIC_BYTES`] are always enough.
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

/// Whether a topic filter matches a topic name by the rules of MQTT (3.1.1 §4.7, 5.0 §4.7).
///
/// It takes any text, not only this crate's topics; both sides are assumed to be well formed.
///
/// ```
/// use iot_transport::topic::matches;
/// assert!(matches("sport/#", "sport"));
/// assert!(matches("+/tennis/#", "sport/tennis/player1"));
/// assert!(!matches("#", "$SYS/uptime"));
/// ```
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    // "The Server MUST NOT match Topic Filters starting with a wildcard character (# or +) with Topic Names
    // beginning with a $ character" [MQTT-4.7.2-1].
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

fn segments(text: &str) -> Result<[&str; 4], TopicError> {
    let rest = text.strip_prefix(PREFIX).ok_or(TopicError::Layout)?;
    let mut parts = rest.split('/');
    let mut next = || parts.next().ok_or(TopicError::Layout);
    let found = [next()?, next()?, next()?, next()?];
    if parts.next().is_some() {
        return Err(TopicError::Layout);
    }
    Ok(found)
}

fn write_parts<'b>(buffer: &'b mut [u8], parts: [&str; 4]) -> Result<&'b str, TopicError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn the_longest_topic_fits_the_stated_limit() {
        let name = "x".repeat(MAX_NAME_BYTES);
        let peer = Peer::parse(&name, &name).unwrap();
        let topic = Topic::new(peer, Channel::Telemetry, Direction::Down);
        let mut buffer = [0; MAX_TOPIC_BYTES];
        assert_eq!(topic.write(&mut buffer).unwrap().len(), MAX_TOPIC_BYTES);
        assert_eq!(
            topic.write(&mut [0; MAX_TOPIC_BYTES - 1]),
            Err(TopicError::Buffer)
        );
    }

    #[test]
    fn nothing_but_the_layout_is_a_topic() {
        for text in [
            "",
            "iot/1/",
            "iot/2/acme/d1/twin/up",
            "IOT/1/acme/d1/twin/up",
            "iot/1/acme/d1/twin",
            "iot/1/acme/d1/twin/up/",
            "iot/1/acme/d1/twin/sideways",
            "iot/1/acme/d1/shadow/up",
            "iot/1/acme//twin/up",
            "iot/1/acme/+/twin/up",
            "iot/1/acme/#",
            "$share/g/iot/1/acme/d1/twin/up",
            "/iot/1/acme/d1/twin/up",
        ] {
            assert!(Topic::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_filter_never_reaches_across_tenants_or_directions() {
        for text in [
            "#",
            "iot/#",
            "iot/1/+/d1/twin/up",
            "iot/1/acme/#",
            "iot/1/acme/d1/twin/+",
            "iot/1/acme/d+/twin/up",
            "$share/g/iot/1/acme/+/twin/up",
        ] {
            assert!(Filter::parse(text).is_err(), "{text:?} was accepted");
        }
        assert_eq!(Filter::parse("iot/1/acme/+/+/up").unwrap().channel, None);
    }

    #[test]
    fn matching_follows_the_examples_of_the_standard() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/ranking",
                true,
            ),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} on {topic}");
        }
    }

    fn topic_parts()
    -> impl Strategy<Value = (alloc::string::String, alloc::string::String, usize, bool)> {
        (
            "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}",
            "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}",
            0..Channel::ALL.len(),
            any::<bool>(),
        )
    }

    proptest! {
        #[test]
        fn every_topic_survives_the_round_trip((tenant, device, channel, up) in topic_parts()) {
            let direction = if up { Direction::Up } else { Direction::Down };
            let topic = Topic::new(Peer::parse(&tenant, &device).unwrap(), Channel::ALL[channel], direction);
            let mut buffer = [0; MAX_TOPIC_BYTES];
            let text = topic.write(&mut buffer).unwrap();
            prop_assert_eq!(Topic::parse(text).unwrap(), topic);
            prop_assert_eq!(text, topic.to_string());
            let filter = Filter::parse(text).unwrap();
            prop_assert_eq!(filter.device, Some(device.as_str()));
            prop_assert!(matches(text, text));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,120}") {
            let _ = Topic::parse(&text);
            let _ = Filter::parse(&text);
            let _ = matches(&text, &text);
        }

        #[test]
        fn what_parses_is_written_back_unchanged(text in "(iot/1/)?[a-z+#/]{0,40}(/twin/up)?") {
            let mut buffer = [0; MAX_TOPIC_BYTES];
            if let Ok(filter) = Filter::parse(&text) {
                prop_assert_eq!(filter.write(&mut buffer).unwrap(), text);
            }
        }
    }
}
