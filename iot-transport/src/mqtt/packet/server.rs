//! What a broker reads; what it writes is in `answer`.

mod answer;
mod connect;

use alloc::string::String;
use alloc::vec::Vec;

use mqtt_protocol_core::mqtt::packet::{MqttString, Property, v3_1_1, v5_0};

use super::{
    PacketError, Publish, Version, decode_disconnect, decode_puback, decode_publish, kind, unread,
    whole,
};

pub(crate) use answer::{
    PUBCOMP, PUBREC, PUBREL, Welcome, put_ack, put_connack, put_pingresp, put_refusal, put_suback,
    put_unsuback,
};
pub(crate) use connect::{Connect, Will};

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) filter: String,
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// Whether retained messages are wanted: 0 always, 1 when the subscription is new, 2 never.
    pub(crate) retained: u8,
}

impl Wish {
    pub(crate) fn is_shared(&self) -> bool {
        self.filter.starts_with(SHARE)
    }
}

/// What the filter of a shared subscription begins with.
const SHARE: &str = "$share/";

/// Splits a filter into the group that shares it, if any, and the filter itself (5.0 §4.8.2).
///
/// `None` when it begins as a shared one and names no group or no filter.
pub(crate) fn unshared(filter: &str) -> Option<(Option<&str>, &str)> {
    let Some(rest) = filter.strip_prefix(SHARE) else {
        return Some((None, filter));
    };
    let (name, filter) = rest.split_once('/')?;
    let named = !name.is_empty() && !name.contains(['+', '#', '\0']);
    (named && !filter.is_empty()).then_some((Some(name), filter))
}

/// A packet from a client.
#[derive(Debug)]
pub(crate) enum Request {
    Connect(Connect),
    Publish(Publish),
    Puback { id: u16, code: u8 },
    Pubrec { id: u16, code: u8 },
    Pubrel { id: u16 },
    Pubcomp { id: u16 },
    Subscribe { id: u16, wishes: Vec<Wish> },
    Unsubscribe { id: u16, filters: Vec<String> },
    Pingreq,
    Disconnect(Goodbye),
}

/// What a DISCONNECT from a client says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goodbye {
    pub(crate) code: u8,
    /// How long the session is to live on instead of what CONNECT asked for.
    pub(crate) session_expiry_s: Option<u32>,
}

/// Reads one packet from a client; `version` is what the CONNECT of this connection said.
pub(crate) fn decode(version: Version, first: u8, body: &[u8]) -> Result<Request, PacketError> {
    match kind(first)? {
        (1, _) => connect::decode(body).map(Request::Connect),
        (3, flags) => decode_publish(version, flags, body).map(Request::Publish),
        (4, _) => decode_puback(version, body).map(|(id, code)| Request::Puback { id, code }),
        // Quality of service 2: the same fields under other types.
        (5, _) => decode_puback(version, body).map(|(id, code)| Request::Pubrec { id, code }),
        (6, _) => decode_pubrel(version, body).map(|id| Request::Pubrel { id }),
        (7, _) => decode_pubcomp(version, body).map(|id| Request::Pubcomp { id }),
        (8, _) => decode_subscribe(version, body),
        (10, _) => decode_unsubscribe(version, body),
        (12, _) if body.is_empty() => Ok(Request::Pingreq),
        (14, _) => decode_goodbye(version, body).map(Request::Disconnect),
        (kind, _) => Err(unread(kind)),
    }
}

fn decode_pubrel(version: Version, body: &[u8]) -> Result<u16, PacketError> {
    Ok(match version {
        Version::V3 => whole(body, v3_1_1::Pubrel::parse(body)?)?.packet_id(),
        Version::V5 => whole(body, v5_0::Pubrel::parse(body)?)?.packet_id(),
    })
}

fn decode_pubcomp(version: Version, body: &[u8]) -> Result<u16, PacketError> {
    Ok(match version {
        Version::V3 => whole(body, v3_1_1::Pubcomp::parse(body)?)?.packet_id(),
        Version::V5 => whole(body, v5_0::Pubcomp::parse(body)?)?.packet_id(),
    })
}

fn decode_goodbye(version: Version, body: &[u8]) -> Result<Goodbye, PacketError> {
    let session_expiry_s = match version {
        Version::V3 => None,
        Version::V5 => {
            let packet = whole(body, v5_0::Disconnect::parse(body)?)?;
            packet.props.as_deref().and_then(session_expiry)
        }
    };
    let code = decode_disconnect(version, body)?;
    Ok(Goodbye {
        code,
        session_expiry_s,
    })
}

fn session_expiry(properties: &[Property]) -> Option<u32> {
    properties.iter().find_map(|property| match property {
        Property::SessionExpiryInterval(seconds) => Some(seconds.val()),
        _ => None,
    })
}

/// The properties that travel on with a message, encoded, and for how many seconds it lives.
pub(crate) fn travelling(properties: &[Property]) -> (Vec<u8>, Option<u32>) {
    let (mut kept, mut expiry_s) = (Vec::new(), None);
    for property in properties {
        match property {
            Property::MessageExpiryInterval(seconds) => expiry_s = Some(seconds.val()),
            Property::PayloadFormatIndicator(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::UserProperty(_) => kept.extend(property.to_continuous_buffer()),
            _ => {}
        }
    }
    (kept, expiry_s)
}

fn decode_unsubscribe(version: Version, body: &[u8]) -> Result<Request, PacketError> {
    let (id, filters) = match version {
        Version::V3 => {
            let packet = whole(body, v3_1_1::Unsubscribe::parse(body)?)?;
            (packet.packet_id(), texts(packet.entries()))
        }
        Version::V5 => {
            let packet = whole(body, v5_0::Unsubscribe::parse(body)?)?;
            (packet.packet_id(), texts(packet.entries()))
        }
    };
    Ok(Request::Unsubscribe { id, filters })
}

fn texts(entries: &[MqttString]) -> Vec<String> {
    entries.iter().map(|entry| entry.as_str().into()).collect()
}

/// The topic of a 3.1.1 PUBLISH, checked like [`decode`] does but without copying the payload.
#[cfg(feature = "gate")]
pub(crate) fn topic_v3(first: u8, body: &[u8]) -> Result<&str, PacketError> {
    let qos = (first >> 1) & 3;
    let (length, rest) = body.split_first_chunk().ok_or(PacketError::Malformed)?;
    let (topic, rest) = rest
        .split_at_checked(usize::from(u16::from_be_bytes(*length)))
        .ok_or(PacketError::Malformed)?;
    let topic = core::str::from_utf8(topic).map_err(|_| PacketError::Malformed)?;
    let identified = qos == 0 || rest.first_chunk().is_some_and(|id| *id != [0, 0]);
    if qos == 3 || !identified || topic.is_empty() || topic.contains(['+', '#', '\0']) {
        return Err(PacketError::Malformed);
    }
    Ok(topic)
}

fn decode_subscribe(version: Version, body: &[u8]) -> Result<Request, PacketError> {
    let (id, entries) = match version {
        Version::V3 => {
            let packet = whole(body, v3_1_1::Subscribe::parse(body)?)?;
            (packet.packet_id(), packet.entries().clone())
        }
        Version::V5 => {
            let packet = whole(body, v5_0::Subscribe::parse(body)?)?;
            (packet.packet_id(), packet.entries().clone())
        }
    };
    if id == 0 {
        return Err(PacketError::Malformed);
    }
    let wishes = entries
        .iter()
        .map(|entry| Wish {
            filter: entry.topic_filter().into(),
            qos: entry.sub_opts().qos() as u8,
            no_local: entry.sub_opts().nl(),
            retain_as_published: entry.sub_opts().rap(),
            retained: entry.sub_opts().rh() as u8,
        })
        .collect();
    Ok(Request::Subscribe { id, wishes })
}
