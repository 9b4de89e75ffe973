//! CONNECT, as the server reads it.

use alloc::string::String;
use alloc::vec::Vec;

use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};

use super::super::{PacketError, Version, limits, whole};
use super::{session_expiry, travelling};

/// What a CONNECT asks for.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) will: Option<Will>,
    /// How long the session outlives the connection; all ones for ever.
    pub(crate) session_expiry_s: u32,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_limit: usize,
}

/// What to publish for a client that vanished.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// How long it waits for the client to come back.
    pub(crate) delay_s: u32,
    /// How long it lives once it is published.
    pub(crate) expiry_s: Option<u32>,
    /// Encoded properties that travel on with it.
    pub(crate) properties: Vec<u8>,
}

pub(super) fn decode(body: &[u8]) -> Result<Connect, PacketError> {
    // The level stands behind the protocol name, which both versions share: 00 04 'M' 'Q' 'T' 'T'.
    let flags = *body.get(7).ok_or(PacketError::Malformed)?;
    // Reserved bit, will flags without a will, and will quality 3 are malformed [MQTT-3.1.2-3, -11 to -15].
    let (has_will, will_qos) = (flags & 4 != 0, (flags >> 3) & 3);
    if flags & 1 != 0 || will_qos == 3 || (!has_will && flags & 0b0011_1000 != 0) {
        return Err(PacketError::Malformed);
    }
    match body.get(6) {
        Some(4) => {
            let packet = whole(body, v3_1_1::Connect::parse(body)?)?;
            Ok(Connect {
                version: Version::V3,
                client_id: packet.client_id().into(),
                clean: packet.clean_session(),
                keep_alive_s: packet.keep_alive(),
                will: has_will.then(|| Will {
                    topic: packet.will_topic().unwrap_or_default().into(),
                    payload: packet.will_payload().unwrap_or_default().into(),
                    qos: will_qos,
                    retain: packet.will_retain(),
                    delay_s: 0,
                    expiry_s: None,
                    properties: Vec::new(),
                }),
                session_expiry_s: if packet.clean_session() { 0 } else { u32::MAX },
                receive_maximum: u16::MAX,
                packet_limit: usize::MAX,
            })
        }
        Some(5) => {
            let packet = whole(body, v5_0::Connect::parse(body)?)?;
            let (receive_maximum, packet_limit) = limits(packet.props());
            let delay = packet
                .will_props()
                .iter()
                .find_map(|property| match property {
                    Property::WillDelayInterval(seconds) => Some(seconds.val()),
                    _ => None,
                });
            let (properties, expiry_s) = travelling(packet.will_props());
            if packet
                .props()
                .iter()
                .any(|property| matches!(property, Property::AuthenticationMethod(_)))
            {
                return Err(PacketError::Unexpected);
            }
            Ok(Connect {
                version: Version::V5,
                client_id: packet.client_id().into(),
                clean: packet.clean_start(),
                keep_alive_s: packet.keep_alive(),
                will: has_will.then(|| Will {
                    topic: packet.will_topic().unwrap_or_default().into(),
                    payload: packet.will_payload().unwrap_or_default().into(),
                    qos: will_qos,
                    retain: packet.will_retain(),
                    delay_s: delay.unwrap_or(0),
                    expiry_s,
                    properties,
                }),
                session_expiry_s: session_expiry(packet.props()).unwrap_or(0),
                receive_maximum,
                packet_limit,
            })
        }
        _ => Err(PacketError::Version),
    }
}
