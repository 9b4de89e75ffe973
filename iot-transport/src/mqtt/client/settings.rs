//! What a client is told before it starts.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::authz::Direction;
use iot_core::retry::Policy;
use iot_core::{Channel, DeviceId, Peer, TenantId};

use super::ClientError;
use super::extras::Will;
use crate::mqtt::packet::Version;
use crate::session::Terms;
use crate::topic::Topic;

/// Which end of the fleet a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    /// One device: it publishes up and listens down, on its own channels.
    Device(TenantId, DeviceId),
    /// A service of a whole tenant: it publishes down and listens up, and every message carries a peer.
    Service(TenantId),
}

/// What a client is told before it starts; every value has a default that suits a fleet.
///
/// ```
/// use core::time::Duration;
/// use iot_core::{DeviceId, TenantId};
/// use iot_transport::mqtt::{Settings, Version};
///
/// let settings = Settings::device(TenantId::new("acme")?, DeviceId::new("boiler-7")?)
///     .with_version(Version::V5)
///     .with_keep_alive(Duration::from_secs(60))
///     .with_queue(500, 1 << 20);
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) side: Side,
    pub(super) client_id: String,
    pub(super) version: Version,
    pub(super) keep_alive: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) session_expiry: Duration,
    pub(super) queue_messages: usize,
    pub(super) queue_bytes: usize,
    pub(super) payload_bytes: usize,
    pub(super) window: u16,
    pub(super) retry: Policy,
    pub(super) login: Option<(String, Vec<u8>)>,
    pub(super) will: Option<Will>,
    pub(super) properties: Vec<(String, String)>,
    pub(super) aliases: u16,
}

impl Settings {
    /// A client that is one device.
    #[must_use]
    pub fn device(tenant: TenantId, device: DeviceId) -> Self {
        Self::new(Side::Device(tenant, device), device)
    }

    /// A client that is a service of the whole tenant, connected under the name `service`.
    #[must_use]
    pub fn service(tenant: TenantId, service: DeviceId) -> Self {
        Self::new(Side::Service(tenant), service)
    }

    fn new(side: Side, name: DeviceId) -> Self {
        Self {
            side,
            client_id: name.as_str().into(),
            version: Version::V3,
            keep_alive: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            session_expiry: Duration::from_secs(24 * 3_600),
            queue_messages: 1_000,
            queue_bytes: 16 << 20,
            payload_bytes: 256 << 10,
            window: 64,
            retry: Policy::new(Duration::from_millis(250), Duration::from_secs(30)),
            login: None,
            will: None,
            properties: Vec::new(),
            aliases: 16,
        }
    }

    /// Sets the protocol version; 3.1.1 by default.
    #[must_use]
    pub const fn with_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Sets another client id than the device's or service's own name.
    #[must_use]
    pub fn with_client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Sets after how long a silence the broker is asked for a sign of life, 1 to 65,535 s; 30 s by default.
    ///
    /// A link is given up when the broker has not answered for half of that time.
    #[must_use]
    pub fn with_keep_alive(mut self, span: Duration) -> Self {
        self.keep_alive = span.clamp(Duration::from_secs(1), Duration::from_secs(65_535));
        self
    }

    /// Sets how long one attempt to connect may take; 30 s by default, so that a busy broker can catch up.
    #[must_use]
    pub const fn with_connect_timeout(mut self, span: Duration) -> Self {
        self.connect_timeout = span;
        self
    }

    /// Sets how long the broker keeps the session of a client that is away (MQTT 5 only); a day by default.
    #[must_use]
    pub const fn with_session_expiry(mut self, span: Duration) -> Self {
        self.session_expiry = span;
        self
    }

    /// Sets how many messages, and how many bytes of payload, may wait for their fate; 1,000 and 16 MiB by default.
    #[must_use]
    pub const fn with_queue(mut self, messages: usize, bytes: usize) -> Self {
        self.queue_messages = messages;
        self.queue_bytes = bytes;
        self
    }

    /// Sets the longest payload in bytes, in both directions; 256 KiB by default, at most 64 MiB.
    #[must_use]
    pub fn with_payload_limit(mut self, bytes: usize) -> Self {
        self.payload_bytes = bytes.min(64 << 20);
        self
    }

    /// Sets how many messages may be on the wire unacknowledged, 1 to 10,000; 64 by default.
    #[must_use]
    pub fn with_window(mut self, messages: u16) -> Self {
        self.window = messages.clamp(1, 10_000);
        self
    }

    /// Sets the shortest and the longest pause between attempts to connect; 250 ms and 30 s by default.
    ///
    /// Pauses grow at random, so that a fleet does not return in step.
    #[must_use]
    pub const fn with_retry(mut self, base: Duration, cap: Duration) -> Self {
        self.retry = Policy::new(base, cap);
        self
    }

    /// Gives up after `attempts` failed attempts in a row; for ever is the default.
    ///
    /// Then nothing is tried until [`Client::reconnect`](super::Client::reconnect); messages keep waiting, and
    /// expire. Call it behind [`with_retry`](Self::with_retry), which sets the default again.
    #[must_use]
    pub const fn with_attempts(mut self, attempts: u32) -> Self {
        self.retry = self.retry.attempts(attempts);
        self
    }

    /// Sets a user name and password.
    #[must_use]
    pub fn with_login(mut self, name: impl Into<String>, password: impl Into<Vec<u8>>) -> Self {
        self.login = Some((name.into(), password.into()));
        self
    }

    pub(super) const fn terms(&self) -> Terms {
        Terms::new(self.retry)
            .with_keep_alive(self.keep_alive)
            .with_attempt(self.connect_timeout)
            .with_window(self.window)
    }

    /// Sets what the broker publishes when the client vanishes without a goodbye.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`] when it is not addressed to a device of this client, and
    /// [`ClientError::TooLarge`] when it is longer than 65,535 bytes.
    pub fn with_will(mut self, will: Will) -> Result<Self, ClientError> {
        let (bytes, limit) = (will.payload.len(), usize::from(u16::MAX));
        if bytes > limit {
            return Err(ClientError::TooLarge { bytes, limit });
        }
        self.will_topic(&will)?;
        self.will = Some(will);
        Ok(self)
    }

    /// Adds a user property that the broker is told with every connect (MQTT 5 only).
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Sets for how many topics a number may stand on the wire (MQTT 5), if the broker allows as many; 16 by
    /// default, at most 64, as many as the gate lets through.
    #[must_use]
    pub fn with_topic_aliases(mut self, topics: u16) -> Self {
        self.aliases = topics.min(64);
        self
    }

    /// Where a message goes.
    pub(super) fn topic<'a>(
        &'a self,
        peer: Option<Peer<'a>>,
        channel: Channel,
    ) -> Result<Topic<'a>, ClientError> {
        let (peer, direction) = match (&self.side, peer) {
            (Side::Device(tenant, device), given) => {
                let own = Peer::new(tenant, device);
                match given {
                    Some(other) if other != own => return Err(ClientError::Address),
                    _ => (own, Direction::Up),
                }
            }
            (Side::Service(tenant), Some(peer)) if peer.tenant() == tenant.as_str() => {
                (peer, Direction::Down)
            }
            (Side::Service(_), _) => return Err(ClientError::Address),
        };
        Ok(Topic::new(peer, channel, direction))
    }

    pub(super) fn will_topic<'a>(&'a self, will: &'a Will) -> Result<Topic<'a>, ClientError> {
        let peer = match &will.peer {
            None => None,
            Some((tenant, device)) => {
                Some(Peer::parse(tenant, device).map_err(|_| ClientError::Address)?)
            }
        };
        self.topic(peer, will.channel)
    }

    /// The longest packet to accept: the payload with room for topic and properties.
    pub(super) const fn packet_bytes(&self) -> usize {
        self.payload_bytes.saturating_add(4_096)
    }
}
