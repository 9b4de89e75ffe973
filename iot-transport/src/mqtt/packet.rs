//! MQTT packets, the same for 3.1.1 and 5.
//!
//! The packets themselves are read and checked by `mqtt-protocol-core`. Its connection object is not used:
//! it forgets stored messages without an event when the other end lost the session, and keeping every
//! message until its fate is known is what this crate is for.

use alloc::sync::Arc;
use alloc::vec::Vec;

use mqtt_protocol_core::mqtt::ArcPayload;
use mqtt_protocol_core::mqtt::packet::{
    GenericPacketTrait, MaximumPacketSize, MqttString, Property, Qos, ReceiveMaximum,
    SessionExpiryInterval, SubEntry, SubOpts, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, SubackReasonCode,
    SubackReturnCode, UnsubackReasonCode,
};

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Version {
    /// MQTT 3.1.1, which every broker speaks.
    #[default]
    V3,
    /// MQTT 5: refusals carry a reason, expiry and limits are told to the broker.
    V5,
}

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

/// What a CONNECT asks for.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: alloc::string::String,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) will: Option<Will>,
    /// How long the session outlives the connection; `None` for ever.
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_limit: usize,
}

/// What to publish for a client that vanished.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) topic: alloc::string::String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
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
    pub(crate) fn retain(&self) -> bool {
        match self {
            Self::V3(packet) => packet.retain(),
            Self::V5(packet) => packet.retain(),
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

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) filter: alloc::string::String,
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// Whether retained messages are wanted: 0 always, 1 when the subscription is new, 2 never.
    pub(crate) retained: u8,
}

/// What a CONNACK says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connack {
    pub(crate) code: u8,
    pub(crate) session_present: bool,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_limit: usize,
    pub(crate) keep_alive_s: Option<u16>,
}

/// A received packet.
#[derive(Debug)]
pub(crate) enum Packet {
    Connect(Connect),
    Connack(Connack),
    Publish(Publish),
    Puback {
        id: u16,
        code: u8,
    },
    Subscribe {
        id: u16,
        wishes: Vec<Wish>,
    },
    Suback {
        id: u16,
        codes: Vec<u8>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<alloc::string::String>,
    },
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect {
        code: u8,
    },
}

/// Reads one packet; `version` is what the CONNECT of this connection said.
pub(crate) fn decode(version: Version, first: u8, body: &[u8]) -> Result<Packet, PacketError> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    // Reserved flags: "If invalid flags are received, the receiver MUST close the Network Connection"
    // [MQTT-2.2.2-2].
    let reserved = match kind {
        3 => flags,
        6 | 8 | 10 => 2,
        _ => 0,
    };
    if flags != reserved {
        return Err(PacketError::Malformed);
    }
    match (kind, version) {
        (1, _) => decode_connect(body).map(Packet::Connect),
        (2, Version::V3) => {
            let packet = whole(body, v3_1_1::Connack::parse(body)?)?;
            Ok(Packet::Connack(Connack {
                code: packet.return_code() as u8,
                session_present: packet.session_present(),
                receive_maximum: u16::MAX,
                packet_limit: usize::MAX,
                keep_alive_s: None,
            }))
        }
        (2, Version::V5) => {
            let packet = whole(body, v5_0::Connack::parse(body)?)?;
            let (receive_maximum, packet_limit) = limits(packet.props());
            Ok(Packet::Connack(Connack {
                code: packet.reason_code() as u8,
                session_present: packet.session_present(),
                receive_maximum,
                packet_limit,
                keep_alive_s: packet.props().iter().find_map(|property| match property {
                    Property::ServerKeepAlive(seconds) => Some(seconds.val()),
                    _ => None,
                }),
            }))
        }
        (3, _) => decode_publish(version, flags, body).map(Packet::Publish),
        (4, Version::V3) => {
            let packet = whole(body, v3_1_1::Puback::parse(body)?)?;
            Ok(Packet::Puback {
                id: packet.packet_id(),
                code: 0,
            })
        }
        (4, Version::V5) => {
            let packet = whole(body, v5_0::Puback::parse(body)?)?;
            Ok(Packet::Puback {
                id: packet.packet_id(),
                code: packet.reason_code().map_or(0, |code| code as u8),
            })
        }
        (8, _) => decode_subscribe(version, body),
        (9, Version::V3) => {
            let packet = whole(body, v3_1_1::Suback::parse(body)?)?;
            let codes = packet
                .return_codes()
                .iter()
                .map(|code| *code as u8)
                .collect();
            Ok(Packet::Suback {
                id: packet.packet_id(),
                codes,
            })
        }
        (9, Version::V5) => {
            let packet = whole(body, v5_0::Suback::parse(body)?)?;
            let codes = packet
                .reason_codes()
                .iter()
                .map(|code| *code as u8)
                .collect();
            Ok(Packet::Suback {
                id: packet.packet_id(),
                codes,
            })
        }
        (10, Version::V3) => {
            let packet = whole(body, v3_1_1::Unsubscribe::parse(body)?)?;
            Ok(Packet::Unsubscribe {
                id: packet.packet_id(),
                filters: texts(packet.entries()),
            })
        }
        (10, Version::V5) => {
            let packet = whole(body, v5_0::Unsubscribe::parse(body)?)?;
            Ok(Packet::Unsubscribe {
                id: packet.packet_id(),
                filters: texts(packet.entries()),
            })
        }
        (11, Version::V3) => {
            whole(body, v3_1_1::Unsuback::parse(body)?)?;
            Ok(Packet::Unsuback)
        }
        (11, Version::V5) => {
            whole(body, v5_0::Unsuback::parse(body)?)?;
            Ok(Packet::Unsuback)
        }
        (12, _) if body.is_empty() => Ok(Packet::Pingreq),
        (13, _) if body.is_empty() => Ok(Packet::Pingresp),
        (14, Version::V3) if body.is_empty() => Ok(Packet::Disconnect { code: 0 }),
        (14, Version::V5) => {
            let packet = whole(body, v5_0::Disconnect::parse(body)?)?;
            Ok(Packet::Disconnect {
                code: packet.reason_code().map_or(0, |code| code as u8),
            })
        }
        // The packets of quality of service 2 and of extended authentication: well known, not served.
        (5..=7 | 15, _) => Err(PacketError::Unexpected),
        _ => Err(PacketError::Malformed),
    }
}

fn whole<T>(body: &[u8], (packet, used): (T, usize)) -> Result<T, PacketError> {
    if used == body.len() {
        Ok(packet)
    } else {
        Err(PacketError::Malformed)
    }
}

fn texts(entries: &[MqttString]) -> Vec<alloc::string::String> {
    entries.iter().map(|entry| entry.as_str().into()).collect()
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

fn decode_connect(body: &[u8]) -> Result<Connect, PacketError> {
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
                }),
                session_expiry_s: if packet.clean_session() {
                    Some(0)
                } else {
                    None
                },
                receive_maximum: u16::MAX,
                packet_limit: usize::MAX,
            })
        }
        Some(5) => {
            let packet = whole(body, v5_0::Connect::parse(body)?)?;
            let (receive_maximum, packet_limit) = limits(packet.props());
            let expiry = packet.props().iter().find_map(|property| match property {
                Property::SessionExpiryInterval(seconds) => Some(seconds.val()),
                _ => None,
            });
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
                }),
                // 0xFFFFFFFF: the session does not expire (5.0 §3.1.2.11.2).
                session_expiry_s: match expiry {
                    Some(u32::MAX) => None,
                    other => Some(other.unwrap_or(0)),
                },
                receive_maximum,
                packet_limit,
            })
        }
        _ => Err(PacketError::Version),
    }
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

fn decode_subscribe(version: Version, body: &[u8]) -> Result<Packet, PacketError> {
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
    Ok(Packet::Subscribe { id, wishes })
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
}

impl Hello<'_> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        match self.version {
            Version::V3 => {
                let mut packet = v3_1_1::Connect::builder()
                    .client_id(self.client_id)?
                    .clean_session(self.clean)
                    .keep_alive(self.keep_alive_s);
                if let Some((name, password)) = self.login {
                    packet = packet.user_name(name)?.password(password.to_vec())?;
                }
                put(out, &packet.build()?);
            }
            Version::V5 => {
                let mut packet = v5_0::Connect::builder()
                    .client_id(self.client_id)?
                    .clean_start(self.clean)
                    .keep_alive(self.keep_alive_s)
                    .props(alloc::vec![
                        SessionExpiryInterval::new(self.session_expiry_s)?.into(),
                        ReceiveMaximum::new(self.receive_maximum)?.into(),
                        MaximumPacketSize::new(self.packet_limit)?.into(),
                    ]);
                if let Some((name, password)) = self.login {
                    packet = packet.user_name(name)?.password(password.to_vec())?;
                }
                put(out, &packet.build()?);
            }
        }
        Ok(())
    }
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
}

impl Outgoing<'_> {
    fn properties_bytes(&self) -> usize {
        self.properties.len() + if self.expiry_s.is_some() { 5 } else { 0 }
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

pub(crate) fn put_pingreq(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xc0, 0]);
}

pub(crate) fn put_pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xd0, 0]);
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
                    Some(_) => SubackReturnCode::SuccessMaximumQos1,
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
                    Some(_) => SubackReasonCode::GrantedQos1,
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

/// What the server's CONNACK tells a version 5 client beyond acceptance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Welcome<'a> {
    pub(crate) session_present: bool,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_limit: u32,
    /// The client id the hub gave to a client without one.
    pub(crate) assigned: Option<&'a str>,
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
            use mqtt_protocol_core::mqtt::packet::{
                AssignedClientIdentifier, MaximumQos, SharedSubscriptionAvailable,
                SubscriptionIdentifierAvailable,
            };
            let mut properties: Vec<Property> = alloc::vec![
                ReceiveMaximum::new(welcome.receive_maximum)?.into(),
                MaximumPacketSize::new(welcome.packet_limit)?.into(),
                MaximumQos::new(1)?.into(),
                SharedSubscriptionAvailable::new(0)?.into(),
                SubscriptionIdentifierAvailable::new(0)?.into(),
            ];
            if let Some(id) = welcome.assigned {
                properties.push(AssignedClientIdentifier::new(id)?.into());
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
