//! What a hub is told before it starts.

use core::time::Duration;

use super::session::{Bounds, Overflow};

/// What a hub is told before it starts; every value has a default.
///
/// ```
/// use iot_transport::mqtt::hub::{Hub, HubSettings, Overflow};
/// let hub = Hub::new(HubSettings::default().with_queue(100, 1 << 20, Overflow::Newest));
/// assert_eq!(hub.stats().sessions, 0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HubSettings {
    pub(super) packet_bytes: usize,
    pub(super) queue: Bounds,
    pub(super) window: u16,
    pub(super) sessions: usize,
    pub(super) filters: usize,
    pub(super) aliases: u16,
    pub(super) retained: (usize, usize),
    pub(super) connect_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) session_expiry: Duration,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            packet_bytes: 1 << 20,
            queue: Bounds {
                messages: 100_000,
                bytes: 16 << 20,
                overflow: Overflow::Oldest,
            },
            window: 64,
            sessions: 100_000,
            filters: 64,
            aliases: 16,
            retained: (100_000, 64 << 20),
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            session_expiry: Duration::from_secs(7 * 24 * 3_600),
        }
    }
}

impl HubSettings {
    /// Sets the longest packet in bytes; 1 MiB by default, at most 128 MiB.
    #[must_use]
    pub fn with_packet_limit(mut self, bytes: usize) -> Self {
        self.packet_bytes = bytes.clamp(64, 128 << 20);
        self
    }

    /// Sets how many messages and bytes may wait for one client, and what is dropped then.
    ///
    /// By default 100,000 messages, 16 MiB, and the oldest. A message counts with its topic and 128 bytes more.
    #[must_use]
    pub const fn with_queue(mut self, messages: usize, bytes: usize, overflow: Overflow) -> Self {
        self.queue = Bounds {
            messages,
            bytes,
            overflow,
        };
        self
    }

    /// Sets how many messages may be on the wire to one client unacknowledged, 1 to 1,000; 64 by default.
    #[must_use]
    pub fn with_window(mut self, messages: u16) -> Self {
        self.window = messages.clamp(1, 1_000);
        self
    }

    /// Sets how many sessions there may be; 100,000 by default.
    #[must_use]
    pub const fn with_sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// Sets for how many topics each client may use a number (MQTT 5); 16 by default, at most 64.
    #[must_use]
    pub fn with_topic_aliases(mut self, topics: u16) -> Self {
        self.aliases = topics.min(64);
        self
    }

    /// Sets how long a client may take to say CONNECT; 10 s by default.
    #[must_use]
    pub const fn with_connect_timeout(mut self, span: Duration) -> Self {
        self.connect_timeout = span;
        self
    }

    /// Sets how long a client may leave what is sent to it unread; 60 s by default.
    #[must_use]
    pub const fn with_write_timeout(mut self, span: Duration) -> Self {
        self.write_timeout = span;
        self
    }

    /// Sets how long a session may outlive its connection at most; a week by default.
    #[must_use]
    pub const fn with_session_expiry(mut self, most: Duration) -> Self {
        self.session_expiry = most;
        self
    }

    /// How long a session lives on that asked for `seconds`; all ones ask for ever (5.0 §3.1.2.11.2).
    pub(super) fn lives_on(&self, seconds: u32) -> Duration {
        match seconds {
            u32::MAX => self.session_expiry,
            seconds => self.session_expiry.min(Duration::from_secs(seconds.into())),
        }
    }
}
