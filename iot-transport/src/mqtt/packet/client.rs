//! What a client reads and writes.

use alloc::string::String;
use alloc::vec::Vec;

use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, Property, Qos, ReceiveMaximum, SessionExpiryInterval, SubEntry, SubOpts,
    UserProperty, WillDelayInterval, v3_1_1, v5_0,
};

use super::{
    PacketError, Publish, Version, decode_disconnect, decode_puback, decode_publish, kind, limits,
    put, unread, whole,
};

/// What a CONNACK says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connack {
    pub(crate) code: u8,
    pub(crate) session_present: bool,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_limit: usize,
    pub(crate) keep_alive_s: Option<u16>,
    /// How many topic aliases the broker keeps for us.
    pub(crate) aliases: u16,
}

/// A packet from a broker.
#[derive(Debug)]
pub(crate) enum Reply {
    Connack(Connack),
    Publish(Publish),
    Puback { id: u16, code: u8 },
    Suback { id: u16, codes: Vec<u8> },
    Pingresp,
    Disconnect { code: u8 },
}

/// Reads one packet from a broker.
pub(crate) fn decode(version: Version, first: u8, body: &[u8]) -> Result<Reply, PacketError> {
    match kind(first)? {
        (2, _) => decode_connack(version, body).map(Reply::Connack),
        (3, flags) => decode_publish(version, flags, body).map(Reply::Publish),
        (4, _) => decode_puback(version, body).map(|(id, code)| Reply::Puback { id, code }),
        (9, _) => decode_suback(version, body),
        (13, _) if body.is_empty() => Ok(Reply::Pingresp),
        (14, _) => decode_disconnect(version, body).map(|code| Reply::Disconnect { code }),
        (kind, _) => Err(unread(kind)),
    }
}

fn decode_connack(version: Version, body: &[u8]) -> Result<Connack, PacketError> {
    match version {
        Version::V3 => {
            let packet = whole(body, v3_1_1::Connack::parse(body)?)?;
            Ok(Connack {
                code: packet.return_code() as u8,
                session_present: packet.session_present(),
                receive_maximum: u16::MAX,
                packet_limit: usize::MAX,
                keep_alive_s: None,
                aliases: 0,
            })
        }
        Version::V5 => {
            let packet = whole(body, v5_0::Connack::parse(body)?)?;
            let (receive_maximum, packet_limit) = limits(packet.props());
            Ok(Connack {
                code: packet.reason_code() as u8,
                session_present: packet.session_present(),
                receive_maximum,
                packet_limit,
                keep_alive_s: packet.props().iter().find_map(|property| match property {
                    Property::ServerKeepAlive(seconds) => Some(seconds.val()),
                    _ => None,
                }),
                aliases: packet
                    .props()
                    .iter()
                    .find_map(|property| match property {
                        Property::TopicAliasMaximum(count) => Some(count.val()),
                        _ => None,
                    })
                    .unwrap_or(0),
            })
        }
    }
}

fn decode_suback(version: Version, body: &[u8]) -> Result<Reply, PacketError> {
    let (id, codes) = match version {
        Version::V3 => {
            let packet = whole(body, v3_1_1::Suback::parse(body)?)?;
            let codes = packet.return_codes();
            (
                packet.packet_id(),
                codes.iter().map(|code| *code as u8).collect(),
            )
        }
        Version::V5 => {
            let packet = whole(body, v5_0::Suback::parse(body)?)?;
            let codes = packet.reason_codes();
            (
                packet.packet_id(),
                codes.iter().map(|code| *code as u8).collect(),
            )
        }
    };
    Ok(Reply::Suback { id, codes })
}

/// A CONNECT to send.
#[derive(Debug)]
pub(crate) struct Hello<'a> {
    pub(crate) version: Version,
    pub(crate) client_id: &'a str,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) session_expiry_s: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_limit: u32,
    pub(crate) login: Option<(&'a str, &'a [u8])>,
    pub(crate) will: Option<Testament<'a>>,
    /// User properties; MQTT 5 only.
    pub(crate) properties: &'a [(String, String)],
}

/// What the broker is to publish when the client vanishes.
#[derive(Debug)]
pub(crate) struct Testament<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) at_least_once: bool,
    pub(crate) retain: bool,
    /// After how long; MQTT 5 only.
    pub(crate) delay_s: u32,
}

impl Testament<'_> {
    const fn qos(&self) -> Qos {
        if self.at_least_once {
            Qos::AtLeastOnce
        } else {
            Qos::AtMostOnce
        }
    }
}

impl Hello<'_> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        match self.version {
            Version::V3 => {
                let mut packet = v3_1_1::Connect::builder()
                    .client_id(self.client_id)?
                    .clean_session(self.clean)
                    .keep_alive(self.keep_alive_s);
                if let Some(will) = &self.will {
                    packet = packet.will_message(
                        will.topic,
                        will.payload.to_vec(),
                        will.qos(),
                        will.retain,
                    )?;
                }
                if let Some((name, password)) = self.login {
                    packet = packet.user_name(name)?.password(password.to_vec())?;
                }
                put(out, &packet.build()?);
            }
            Version::V5 => {
                let mut properties: Vec<Property> = alloc::vec![
                    SessionExpiryInterval::new(self.session_expiry_s)?.into(),
                    ReceiveMaximum::new(self.receive_maximum)?.into(),
                    MaximumPacketSize::new(self.packet_limit)?.into(),
                ];
                for (name, value) in self.properties {
                    properties.push(UserProperty::new(name.as_str(), value.as_str())?.into());
                }
                let mut packet = v5_0::Connect::builder()
                    .client_id(self.client_id)?
                    .clean_start(self.clean)
                    .keep_alive(self.keep_alive_s)
                    .props(properties);
                if let Some(will) = &self.will {
                    packet = packet
                        .will_message(will.topic, will.payload.to_vec(), will.qos(), will.retain)?
                        .will_props(alloc::vec![WillDelayInterval::new(will.delay_s)?.into()]);
                }
                if let Some((name, password)) = self.login {
                    packet = packet.user_name(name)?.password(password.to_vec())?;
                }
                put(out, &packet.build()?);
            }
        }
        Ok(())
    }
}

pub(crate) fn put_pingreq(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xc0, 0]);
}

pub(crate) fn put_subscribe(
    out: &mut Vec<u8>,
    version: Version,
    id: u16,
    filter: &str,
) -> Result<(), PacketError> {
    let entry = SubEntry::new(filter, SubOpts::new().set_qos(Qos::AtLeastOnce))?;
    match version {
        Version::V3 => put(
            out,
            &v3_1_1::Subscribe::builder()
                .packet_id(id)
                .entries(alloc::vec![entry])
                .build()?,
        ),
        Version::V5 => put(
            out,
            &v5_0::Subscribe::builder()
                .packet_id(id)
                .entries(alloc::vec![entry])
                .build()?,
        ),
    }
    Ok(())
}
