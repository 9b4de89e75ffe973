//! MQTT packets, the same for 3.1.1 and 5; what only one role reads or writes is in the modules below.
//!
//! The packets themselves are read and checked by `mqtt-protocol-core`. Its connection object is not used:
//! it forgets stored messages without an event when the other end lost the session, and keeping every
//! message until its fate is known is what this crate is for.

pub(crate) mod client;
#[cfg(feature = "hub")]
pub(crate) mod server;

use alloc::sync::Arc;
use alloc::vec::Vec;

use mqtt_protocol_core::mqtt::ArcPayload;
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Property, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError};

pub(crate) use super::version::Version;

/// Why bytes are not MQTT that we accept.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// They do not follow the format.
    #[error("a malformed packet arrived")]
    Malformed,
    /// The packet is longer than the limit.
    #[error("a packet of {bytes} bytes arrived: the limit is {limit}")]
    TooLarge {
        /// How long it says it is.
        bytes: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The packet is not allowed here, such as a second CONNECT or quality of service 2.
    #[error("a packet arrived that is not allowed here")]
    Unexpected,
    /// The protocol version is neither 3.1.1 nor 5.
    #[error("the peer speaks an MQTT version other than 3.1.1 and 5")]
    Version,
}

impl From<MqttError> for PacketError {
    fn from(error: MqttError) -> Self {
        match error {
            MqttError::UnsupportedProtocolVersion => Self::Version,
            _ => Self::Malformed,
        }
    }
}

/// Where the first packet in `bytes` ends: the length of its fixed header and of its body.
///
/// `None` until enough bytes are there. A length above `limit` is refused from the header alone.
pub(crate) fn frame(bytes: &[u8], limit: usize) -> Result<Option<(usize, usize)>, PacketError> {
    let mut body = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(1).take(4) {
        body |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            let header = at + 1;
            let whole = header + body;
            if whole > limit {
                return Err(PacketError::TooLarge {
                    bytes: whole,
                    limit,
                });
            }
            return Ok((bytes.len() >= whole).then_some((header, body)));
        }
    }
    if bytes.len() > 4 {
        return Err(PacketError::Malformed);
    }
    Ok(None)
}

/// Checks the flags of a fixed header and splits it into packet type and flags.
fn kind(first: u8) -> Result<(u8, u8), PacketError> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    // Reserved flags: "If invalid flags are received, the receiver MUST close the Network Connection"
    // [MQTT-2.2.2-2].
    let reserved = match kind {
        3 => flags,
        6 | 8 | 10 => 2,
        _ => 0,
    };
    if flags == reserved {
        Ok((kind, flags))
    } else {
        Err(PacketError::Malformed)
    }
}

/// A received PUBLISH.
pub(crate) enum Publish {
    V3(v3_1_1::Publish),
    V5(v5_0::Publish),
}

impl core::fmt::Debug for Publish {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Publish")
            .field("topic", &self.topic())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl Publish {
    pub(crate) fn topic(&self) -> &str {
        match self {
            Self::V3(packet) => packet.topic_name(),
            Self::V5(packet) => packet.topic_name(),
        }
    }
    pub(crate) fn payload(&self) -> &ArcPayload {
        match self {
            Self::V3(packet) => packet.payload(),
            Self::V5(packet) => packet.payload(),
        }
    }
    pub(crate) fn retain(&self) -> bool {
        match self {
            Self::V3(packet) => packet.retain(),
            Self::V5(packet) => packet.retain(),
        }
    }
    pub(crate) fn qos(&self) -> u8 {
        match self {
            Self::V3(packet) => packet.qos() as u8,
            Self::V5(packet) => packet.qos() as u8,
        }
    }
    pub(crate) fn id(&self) -> Option<u16> {
        match self {
            Self::V3(packet) => packet.packet_id(),
            Self::V5(packet) => packet.packet_id(),
        }
    }
    pub(crate) fn properties(&self) -> &[Property] {
        match self {
            Self::V3(_) => &[],
            Self::V5(packet) => &packet.props,
        }
    }
    pub(crate) fn alias(&self) -> Option<u16> {
        self.properties()
            .iter()
            .find_map(|property| match property {
                Property::TopicAlias(alias) => Some(alias.val()),
                _ => None,
            })
    }
}

/// Reads a PUBACK: its identifier and its reason, which is 0 in 3.1.1.
fn decode_puback(version: Version, body: &[u8]) -> Result<(u16, u8), PacketError> {
    Ok(match version {
        // The parser takes more bytes for its own than the two that there are.
        Version::V3 if body.len() > 2 => return Err(PacketError::Malformed),
        Version::V3 => (whole(body, v3_1_1::Puback::parse(body)?)?.packet_id(), 0),
        Version::V5 => {
            let packet = whole(body, v5_0::Puback::parse(body)?)?;
            let code = packet.reason_code().map_or(0, |code| code as u8);
            (packet.packet_id(), code)
        }
    })
}

/// Reads a DISCONNECT: its reason, which is 0 in 3.1.1.
fn decode_disconnect(version: Version, body: &[u8]) -> Result<u8, PacketError> {
    match version {
        Version::V3 if body.is_empty() => Ok(0),
        Version::V3 => Err(PacketError::Malformed),
        Version::V5 => {
            let packet = whole(body, v5_0::Disconnect::parse(body)?)?;
            Ok(packet.reason_code().map_or(0, |code| code as u8))
        }
    }
}

/// What a packet is that its receiver does not read: known and not served, or no packet at all.
fn unread(kind: u8) -> PacketError {
    match kind {
        1..=15 => PacketError::Unexpected,
        _ => PacketError::Malformed,
    }
}

fn whole<T>(body: &[u8], (packet, used): (T, usize)) -> Result<T, PacketError> {
    if used == body.len() {
        Ok(packet)
    } else {
        Err(PacketError::Malformed)
    }
}

fn limits(properties: &[Property]) -> (u16, usize) {
    let mut found = (u16::MAX, usize::MAX);
    for property in properties {
        match property {
            Property::ReceiveMaximum(count) => found.0 = count.val().max(1),
            Property::MaximumPacketSize(bytes) => {
                found.1 = usize::try_from(bytes.val()).unwrap_or(usize::MAX);
            }
            _ => {}
        }
    }
    found
}

fn decode_publish(version: Version, flags: u8, body: &[u8]) -> Result<Publish, PacketError> {
    let shared: Arc<[u8]> = Arc::from(body);
    let packet = match version {
        Version::V3 => Publish::V3(v3_1_1::Publish::parse(flags, shared)?.0),
        Version::V5 => Publish::V5(v5_0::Publish::parse(flags, shared)?.0),
    };
    // An empty topic is legal only with an alias, a wildcard never, and identifier 0 never [MQTT-2.3.1-1].
    let topic = packet.topic();
    let named = !topic.is_empty() || packet.alias().is_some();
    if !named || topic.contains(['+', '#', '\0']) || packet.id() == Some(0) {
        return Err(PacketError::Malformed);
    }
    Ok(packet)
}

/// A PUBLISH to send, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    /// The identifier; `None` for quality of service 0.
    pub(crate) id: Option<u16>,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    /// Encoded properties without expiry; MQTT 5 only.
    pub(crate) properties: &'a [u8],
    pub(crate) expiry_s: Option<u32>,
    /// The topic's alias; MQTT 5 only. With an empty topic the alias stands for it.
    pub(crate) alias: Option<u16>,
}

impl Outgoing<'_> {
    fn properties_bytes(&self) -> usize {
        self.properties.len()
            + if self.expiry_s.is_some() { 5 } else { 0 }
            + if self.alias.is_some() { 3 } else { 0 }
    }

    fn body_bytes(&self, version: Version) -> usize {
        let properties = match version {
            Version::V3 => 0,
            Version::V5 => varint_bytes(self.properties_bytes()) + self.properties_bytes(),
        };
        2 + self.topic.len()
            + if self.id.is_some() { 2 } else { 0 }
            + properties
            + self.payload.len()
    }

    /// The length of the packet on the wire.
    pub(crate) fn bytes(&self, version: Version) -> usize {
        let body = self.body_bytes(version);
        1 + varint_bytes(body) + body
    }

    /// Appends the packet; the hot path of both roles, hence written straight to the buffer.
    pub(crate) fn put(&self, version: Version, out: &mut Vec<u8>) {
        out.reserve(self.bytes(version));
        let qos = u8::from(self.id.is_some());
        out.push(0x30 | u8::from(self.dup) << 3 | qos << 1 | u8::from(self.retain));
        put_varint(out, self.body_bytes(version));
        let topic_bytes = u16::try_from(self.topic.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&topic_bytes.to_be_bytes());
        out.extend_from_slice(self.topic.as_bytes());
        if let Some(id) = self.id {
            out.extend_from_slice(&id.to_be_bytes());
        }
        if version == Version::V5 {
            put_varint(out, self.properties_bytes());
            out.extend_from_slice(self.properties);
            if let Some(seconds) = self.expiry_s {
                out.push(2);
                out.extend_from_slice(&seconds.to_be_bytes());
            }
            if let Some(alias) = self.alias {
                out.push(35);
                out.extend_from_slice(&alias.to_be_bytes());
            }
        }
        out.extend_from_slice(self.payload);
    }
}

const fn varint_bytes(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn put(out: &mut Vec<u8>, packet: &impl GenericPacketTrait) {
    out.extend_from_slice(&packet.to_continuous_buffer());
}

/// Appends a PUBACK; a `code` other than 0 is told only in MQTT 5.
pub(crate) fn put_puback(out: &mut Vec<u8>, version: Version, id: u16, code: u8) {
    let [high, low] = id.to_be_bytes();
    match version {
        Version::V5 if code != 0 => out.extend_from_slice(&[0x40, 3, high, low, code]),
        _ => out.extend_from_slice(&[0x40, 2, high, low]),
    }
}

/// Appends a DISCONNECT; its reason is told only in MQTT 5.
pub(crate) fn put_disconnect(out: &mut Vec<u8>, version: Version, code: u8) {
    match version {
        Version::V5 if DisconnectReasonCode::try_from(code).is_ok() && code != 0 => {
            out.extend_from_slice(&[0xe0, 1, code]);
        }
        _ => out.extend_from_slice(&[0xe0, 0]),
    }
}

#[cfg(test)]
mod tests;
