//! What a broker writes.

use alloc::vec::Vec;

use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumPacketSize, Property, ReceiveMaximum, SessionExpiryInterval,
    SharedSubscriptionAvailable, SubscriptionIdentifierAvailable, TopicAliasMaximum, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};

use super::super::{PacketError, Version, put};

/// What the server's CONNACK tells a version 5 client beyond acceptance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Welcome<'a> {
    pub(crate) session_present: bool,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_limit: u32,
    pub(crate) aliases: u16,
    /// The client id the hub gave to a client without one.
    pub(crate) assigned: Option<&'a str>,
    /// How long the session lives on, where that is not what was asked for.
    pub(crate) session_expiry_s: Option<u32>,
}

pub(crate) fn put_connack(
    out: &mut Vec<u8>,
    version: Version,
    welcome: Welcome<'_>,
) -> Result<(), PacketError> {
    match version {
        Version::V3 => put(
            out,
            &v3_1_1::Connack::builder()
                .session_present(welcome.session_present)
                .return_code(ConnectReturnCode::Accepted)
                .build()?,
        ),
        Version::V5 => {
            let mut properties: Vec<Property> = alloc::vec![
                ReceiveMaximum::new(welcome.receive_maximum)?.into(),
                MaximumPacketSize::new(welcome.packet_limit)?.into(),
                TopicAliasMaximum::new(welcome.aliases)?.into(),
                SharedSubscriptionAvailable::new(1)?.into(),
                SubscriptionIdentifierAvailable::new(0)?.into(),
            ];
            if let Some(id) = welcome.assigned {
                properties.push(AssignedClientIdentifier::new(id)?.into());
            }
            if let Some(seconds) = welcome.session_expiry_s {
                properties.push(SessionExpiryInterval::new(seconds)?.into());
            }
            let packet = v5_0::Connack::builder()
                .session_present(welcome.session_present)
                .reason_code(ConnectReasonCode::Success)
                .props(properties)
                .build()?;
            put(out, &packet);
        }
    }
    Ok(())
}

/// Appends a CONNACK that refuses; the codes of both versions are given.
pub(crate) fn put_refusal(out: &mut Vec<u8>, version: Version, v3: u8, v5: u8) {
    match version {
        Version::V3 => out.extend_from_slice(&[0x20, 2, 0, v3]),
        Version::V5 => out.extend_from_slice(&[0x20, 3, 0, v5, 0]),
    }
}

/// Appends a SUBACK; `granted` holds the granted quality of each filter, `None` where it was refused.
pub(crate) fn put_suback(
    out: &mut Vec<u8>,
    version: Version,
    id: u16,
    granted: &[Option<u8>],
) -> Result<(), PacketError> {
    match version {
        Version::V3 => {
            let codes = granted
                .iter()
                .map(|qos| match qos {
                    Some(0) => SubackReturnCode::SuccessMaximumQos0,
                    Some(1) => SubackReturnCode::SuccessMaximumQos1,
                    Some(_) => SubackReturnCode::SuccessMaximumQos2,
                    None => SubackReturnCode::Failure,
                })
                .collect();
            let packet = v3_1_1::Suback::builder()
                .packet_id(id)
                .return_codes(codes)
                .build()?;
            put(out, &packet);
        }
        Version::V5 => {
            let codes = granted
                .iter()
                .map(|qos| match qos {
                    Some(0) => SubackReasonCode::GrantedQos0,
                    Some(1) => SubackReasonCode::GrantedQos1,
                    Some(_) => SubackReasonCode::GrantedQos2,
                    None => SubackReasonCode::TopicFilterInvalid,
                })
                .collect();
            let packet = v5_0::Suback::builder()
                .packet_id(id)
                .reason_codes(codes)
                .build()?;
            put(out, &packet);
        }
    }
    Ok(())
}

pub(crate) fn put_unsuback(
    out: &mut Vec<u8>,
    version: Version,
    id: u16,
    filters: usize,
) -> Result<(), PacketError> {
    match version {
        Version::V3 => put(out, &v3_1_1::Unsuback::builder().packet_id(id).build()?),
        Version::V5 => {
            let codes = alloc::vec![UnsubackReasonCode::Success; filters];
            let packet = v5_0::Unsuback::builder()
                .packet_id(id)
                .reason_codes(codes)
                .build()?;
            put(out, &packet);
        }
    }
    Ok(())
}

pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x62;
pub(crate) const PUBCOMP: u8 = 0x70;

/// Appends a step of quality of service 2; a `code` other than 0 is told only in MQTT 5.
pub(crate) fn put_ack(out: &mut Vec<u8>, version: Version, first: u8, id: u16, code: u8) {
    let [high, low] = id.to_be_bytes();
    match version {
        Version::V5 if code != 0 => out.extend_from_slice(&[first, 3, high, low, code]),
        _ => out.extend_from_slice(&[first, 2, high, low]),
    }
}

pub(crate) fn put_pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xd0, 0]);
}
