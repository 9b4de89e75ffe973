//! Decoders that face strangers and are no part of the public interface, for the fuzz targets alone.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use iot_core::Principal;
use iot_core::authz::OwnLane;

use crate::gate::inspect::{self, Inspector};
use crate::mqtt::packet::client::{self, Hello};
use crate::mqtt::packet::server::{self, Request};
use crate::mqtt::packet::{self, Outgoing};
use crate::mqtt::{PacketError, Version};

/// A packet of a client.
#[derive(Debug, Eq, PartialEq)]
pub enum Heard {
    /// A CONNECT: its version and its client id, and all else as text.
    Connect(Version, String, String),
    /// A PUBLISH.
    Publish {
        /// Its topic.
        topic: String,
        /// Its topic alias.
        alias: Option<u16>,
        /// Its identifier.
        id: Option<u16>,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// Any other, as text.
    Other(String),
}

/// Where the first packet ends.
///
/// # Errors
///
/// As the decoder.
pub fn frame(bytes: &[u8], limit: usize) -> Result<Option<(usize, usize)>, PacketError> {
    packet::frame(bytes, limit)
}

/// The gate's own reader of lengths.
#[must_use]
pub fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    inspect::varint(bytes)
}

/// Writes what [`varint`] reads.
pub fn put_varint(out: &mut Vec<u8>, value: usize) {
    packet::put_varint(out, value);
}

/// The topic as the gate reads it.
///
/// # Errors
///
/// As the decoder.
pub fn topic_v3(first: u8, body: &[u8]) -> Result<&str, PacketError> {
    server::topic_v3(first, body)
}

/// A packet of a client as hub and gate read it.
///
/// # Errors
///
/// As the decoder.
pub fn request(version: Version, first: u8, body: &[u8]) -> Result<Heard, PacketError> {
    Ok(match server::decode(version, first, body)? {
        Request::Connect(mut connect) => {
            let id = core::mem::take(&mut connect.client_id);
            Heard::Connect(connect.version, id, format!("{connect:?}"))
        }
        Request::Publish(publish) => Heard::Publish {
            topic: publish.topic().into(),
            alias: publish.alias(),
            id: publish.id(),
            payload: publish.payload().as_slice().to_vec(),
        },
        other => Heard::Other(format!("{other:?}")),
    })
}

/// A packet of a broker, as text.
///
/// # Errors
///
/// As the decoder.
pub fn reply(version: Version, first: u8, body: &[u8]) -> Result<String, PacketError> {
    client::decode(version, first, body).map(|reply| format!("{reply:?}"))
}

/// A CONNECT under another client id, as the gate sends it on.
#[must_use]
pub fn rename(first: u8, body: &[u8], version: Version, id: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    inspect::rename(first, body, version, id, &mut out).map(|()| out)
}

/// A CONNECT as our client writes it.
#[must_use]
pub fn connect(version: Version, client_id: &str, login: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    let hello = Hello {
        version,
        client_id,
        clean: true,
        keep_alive_s: 30,
        session_expiry_s: 60,
        receive_maximum: 10,
        packet_limit: 10_000,
        login,
        will: None,
        properties: &[],
    };
    // What cannot be written leaves the seed empty, and a test notices.
    let _ = hello.put(&mut out);
    out
}

/// A PUBLISH as our client writes it.
#[must_use]
pub fn publish(version: Version, topic: &str, id: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let packet = Outgoing {
        topic,
        payload,
        id,
        dup: false,
        retain: false,
        properties: &[],
        expiry_s: None,
        alias: None,
    };
    packet.put(version, &mut out);
    out
}

/// The gate's judge of one connection.
#[derive(Debug)]
pub struct Judge(Inspector);

impl Judge {
    /// Judges what `principal` says, in packets of up to `limit` bytes.
    #[must_use]
    pub fn new(principal: Principal, limit: usize) -> Self {
        Self(Inspector::new(principal, Arc::new(OwnLane), limit))
    }

    /// Appends what is allowed to `out`.
    ///
    /// # Errors
    ///
    /// The violation, as text.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.0
            .feed(bytes, out)
            .map_err(|violation| format!("{violation:?}"))
    }
}
