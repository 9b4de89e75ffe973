//! What arrived, into the caller's hands.

use alloc::string::String;
use core::time::Duration;

use iot_core::authz::Direction;
use iot_core::{Event, Message, Peer, Qos};
use mqtt_protocol_core::mqtt::packet::Property;

use super::settings::Side;
use super::{Client, ClientError, Ready};
use crate::mqtt::packet::Publish;
use crate::topic::Topic;

impl<C> Client<C> {
    /// Copies the first ready event into the caller's buffer.
    pub(super) fn hand_over<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, ClientError> {
        match self.ready.pop_front() {
            Some(Ready::Connected { resumed }) => Ok(Event::Connected { resumed }),
            Some(Ready::Settled {
                ticket,
                fate,
                reason,
            }) => {
                if let Some(reason) = reason {
                    self.refusal = Some((ticket, reason));
                }
                self.unread_fates = self.unread_fates.saturating_sub(1);
                Ok(Event::Settled { ticket, fate })
            }
            Some(Ready::Message { publish, link }) => {
                let given = buffer.len();
                let Some(message) = copy(
                    &publish,
                    matches!(self.settings.side, Side::Service(_)),
                    buffer,
                ) else {
                    let needed = publish.payload().len() + publish.topic().len();
                    self.ready.push_front(Ready::Message { publish, link });
                    return Err(ClientError::Buffer { needed, given });
                };
                self.delivered = publish.id().map(|id| (link, id));
                self.stats.received += 1;
                self.was_retained = publish.retain();
                self.properties.clear();
                self.properties.extend(user_properties(&publish));
                Ok(Event::Message(message))
            }
            // `poll_ready` returned because something was ready, so nothing else is left.
            Some(Ready::Disconnected) | None => Ok(Event::Disconnected),
        }
    }

    /// Whether a received topic is for this client.
    pub(super) fn is_ours(&self, topic: &str) -> bool {
        let Ok(topic) = Topic::parse(topic) else {
            return false;
        };
        match &self.settings.side {
            Side::Device(tenant, device) => {
                topic.direction == Direction::Down && topic.peer == Peer::new(tenant, device)
            }
            Side::Service(tenant) => {
                topic.direction == Direction::Up && topic.peer.tenant() == tenant.as_str()
            }
        }
    }
}

fn user_properties(publish: &Publish) -> impl Iterator<Item = (String, String)> {
    publish
        .properties()
        .iter()
        .filter_map(|property| match property {
            Property::UserProperty(pair) => Some((pair.key().into(), pair.val().into())),
            _ => None,
        })
}

/// How long a message is still worth something: what the broker says, which counts the time it waited there (5.0
/// §3.3.2.3.3).
fn life(publish: &Publish) -> Option<Duration> {
    let properties = publish.properties();
    properties.iter().find_map(|property| match property {
        Property::MessageExpiryInterval(seconds) => Some(Duration::from_secs(seconds.val().into())),
        _ => None,
    })
}

/// Copies a message to `buffer`: the names first when the caller needs them, then the payload.
fn copy<'b>(publish: &Publish, with_peer: bool, buffer: &'b mut [u8]) -> Option<Message<'b>> {
    let topic = Topic::parse(publish.topic()).ok()?;
    let payload = publish.payload().as_slice();
    let (names, rest) = if with_peer {
        let names = topic.peer.tenant().len() + topic.peer.device().len();
        buffer.split_at_mut_checked(names)?
    } else {
        buffer.split_at_mut_checked(0)?
    };
    let rest = rest.get_mut(..payload.len())?;
    rest.copy_from_slice(payload);
    let mut message = Message::new(topic.channel, rest).with_qos(match publish.qos() {
        0 => Qos::AtMostOnce,
        _ => Qos::AtLeastOnce,
    });
    message.expires_in = life(publish);
    if with_peer {
        let (tenant, device) = names.split_at_mut_checked(topic.peer.tenant().len())?;
        tenant.copy_from_slice(topic.peer.tenant().as_bytes());
        device.copy_from_slice(topic.peer.device().as_bytes());
        let tenant = core::str::from_utf8(tenant).ok()?;
        let device = core::str::from_utf8(device).ok()?;
        message = message.to(Peer::parse(tenant, device).ok()?);
    }
    Some(message)
}
