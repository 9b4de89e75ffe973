//! A message inside the hub.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use mqtt_protocol_core::mqtt::ArcPayload;
use tokio::time::Instant;

use crate::mqtt::packet::server::travelling;
use crate::mqtt::packet::{Outgoing, Publish, Version};

/// What a letter costs beside its content: many empty messages must not slip below a limit in bytes.
const OVERHEAD_BYTES: usize = 128;

/// The quality of service in the first byte of a PUBLISH.
const AT_LEAST_ONCE: u8 = 0b0010;
const EXACTLY_ONCE: u8 = 0b0100;

/// A message inside the hub; cheap to clone, its content is shared by every session it goes to.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) topic: Arc<str>,
    pub(super) payload: ArcPayload,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// Encoded MQTT 5 properties that travel on to subscribers, without the expiry.
    pub(super) properties: Arc<[u8]>,
    pub(super) expires: Option<Instant>,
    /// The shared subscription it came by: without its session it goes to another member.
    pub(super) share: Option<Arc<str>>,
}

impl Letter {
    /// A received message as the hub keeps it: properties that travel on stay encoded, the expiry is counted here.
    pub(super) fn received(topic: Arc<str>, publish: &Publish) -> Self {
        let (properties, expiry_s) = travelling(publish.properties());
        Self {
            topic,
            payload: publish.payload().clone(),
            qos: publish.qos(),
            retain: publish.retain(),
            properties: properties.into(),
            expires: expiry_s.and_then(ends),
            share: None,
        }
    }

    /// What it counts for against the limits in bytes.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD_BYTES + self.topic.len() + self.payload.len() + self.properties.len()
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Its length as a packet.
    pub(super) fn wire_bytes(&self, version: Version) -> usize {
        let id = (self.qos > 0).then_some(1);
        self.outgoing(id, false).bytes(version)
    }

    pub(super) fn put(&self, version: Version, id: Option<u16>, again: bool, out: &mut Vec<u8>) {
        let at = out.len();
        self.outgoing(id, again).put(version, out);
        if self.qos == 2
            && let Some(first) = out.get_mut(at)
        {
            // The rest of the packet is the same as at least once.
            *first ^= AT_LEAST_ONCE | EXACTLY_ONCE;
        }
    }

    fn outgoing(&self, id: Option<u16>, dup: bool) -> Outgoing<'_> {
        let left = |at: Instant| {
            let left = at.saturating_duration_since(Instant::now());
            u32::try_from(left.as_secs().max(1)).unwrap_or(u32::MAX)
        };
        Outgoing {
            topic: &self.topic,
            payload: self.payload.as_slice(),
            id,
            dup,
            retain: self.retain,
            properties: &self.properties,
            expiry_s: self.expires.map(left),
            alias: None,
        }
    }
}

/// When the life ends of what lives for `seconds` from now on.
pub(super) fn ends(seconds: u32) -> Option<Instant> {
    Instant::now().checked_add(Duration::from_secs(seconds.into()))
}
