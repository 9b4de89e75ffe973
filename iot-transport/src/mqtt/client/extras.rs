//! What MQTT can carry beside a message: retention, user properties, a will.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Message;

/// What MQTT carries beside one message; see [`Client::submit_with`](super::Client::submit_with).
///
/// ```
/// use iot_transport::mqtt::Extras;
/// let extras = Extras::new().retained().with_property("site", "north");
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extras {
    pub(super) retain: bool,
    pub(super) properties: Vec<u8>,
    pub(super) too_long: bool,
}

impl Extras {
    /// Nothing beside the message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the broker to keep the message for later subscribers; an empty payload makes it forget the last one.
    #[must_use]
    pub const fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Adds a user property (MQTT 5), each part up to 65,535 bytes; the same name may come more than once.
    #[must_use]
    pub fn with_property(mut self, name: &str, value: &str) -> Self {
        const USER_PROPERTY: u8 = 38;
        self.properties.push(USER_PROPERTY);
        for part in [name, value] {
            // MQTT's texts hold no NUL [MQTT-1.5.4-2].
            match u16::try_from(part.len()) {
                Ok(length) if !part.contains('\0') => {
                    self.properties.extend_from_slice(&length.to_be_bytes());
                    self.properties.extend_from_slice(part.as_bytes());
                }
                _ => self.too_long = true,
            }
        }
        self
    }
}

/// What the broker publishes for a client that vanishes without a goodbye.
///
/// It goes where the client's own message of that channel would go. A client that is closed, or that begins a
/// new session with [`reconnect`](super::Client::reconnect), says goodbye: then nothing is published.
///
/// ```
/// use iot_core::{Channel, Message};
/// use iot_transport::mqtt::Will;
/// let will = Will::new(&Message::new(Channel::Health, b"gone")).retained();
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Will {
    pub(super) channel: iot_core::Channel,
    pub(super) peer: Option<(String, String)>,
    pub(super) payload: Box<[u8]>,
    pub(super) qos: iot_core::Qos,
    pub(super) retain: bool,
    pub(super) delay: Duration,
}

impl Will {
    /// Publishes `message`, at most 65,535 bytes; its priority and expiry do not matter to a broker.
    #[must_use]
    pub fn new(message: &Message<'_>) -> Self {
        Self {
            channel: message.channel,
            peer: message
                .peer
                .map(|peer| (peer.tenant().into(), peer.device().into())),
            payload: message.payload.into(),
            qos: message.qos,
            retain: false,
            delay: Duration::ZERO,
        }
    }

    /// Asks the broker to keep it for later subscribers.
    #[must_use]
    pub const fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Gives the client `span` to come back before it is published (MQTT 5; in whole seconds).
    #[must_use]
    pub const fn after(mut self, span: Duration) -> Self {
        self.delay = span;
        self
    }
}
