//! A small broker for gateways, tests and examples.
//!
//! MQTT 3.1.1 and 5, quality of service 0 and 1, retained messages, wills, sessions that outlive their
//! connection, takeover. Every queue is bounded, and what does not fit is counted in [`HubStats`]. It keeps
//! everything in memory: when it ends, its sessions end with it. It checks nobody's identity: put the gate
//! in front of it, or listen on loopback only.

mod board;
mod serve;
mod session;
mod tree;
mod will;

use alloc::string::String;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;

use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::board::Board;
use self::session::Bounds;
use crate::mqtt::wire::Io;

pub use session::Overflow;

/// What a hub is told before it starts; every value has a default.
///
/// ```
/// use iot_transport::mqtt::hub::{Hub, HubSettings, Overflow};
/// let hub = Hub::new(HubSettings::default().with_queue(100, 1 << 20, Overflow::Newest));
/// assert_eq!(hub.stats().sessions, 0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HubSettings {
    packet_bytes: usize,
    queue: Bounds,
    window: u16,
    sessions: usize,
    filters: usize,
    aliases: u16,
    retained: (usize, usize),
    connect_timeout: Duration,
    write_timeout: Duration,
    session_expiry: Duration,
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
}

/// What a hub holds now, and what it has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct HubStats {
    /// Sessions there are now, with and without a connection.
    pub sessions: usize,
    /// Connections whose CONNECT was accepted and that are open now.
    pub connected: usize,
    /// Messages that wait in the sessions' queues now.
    pub queued: usize,
    /// Subscriptions there are now.
    pub subscriptions: usize,
    /// Retained messages there are now.
    pub retained: usize,
    /// Connections accepted so far.
    pub accepted: u64,
    /// Connections refused or ended because of what the client sent.
    pub refused: u64,
    /// Connections ended because the client was silent, or did not read what was sent to it.
    pub timed_out: u64,
    /// Connections ended because a newer one took the session over.
    pub taken_over: u64,
    /// Messages received from clients.
    pub published: u64,
    /// Messages queued for subscribers: one for each of them.
    pub routed: u64,
    /// Messages acknowledged by subscribers, or sent to them at most once.
    pub delivered: u64,
    /// Messages dropped because a queue was full.
    pub overflowed: u64,
    /// Messages dropped because their time ran out.
    pub expired: u64,
    /// Messages at most once dropped because the subscriber was away.
    pub missed: u64,
    /// Messages of at least once lost with their session: it ended, or was replaced by a clean one.
    pub discarded: u64,
}

#[derive(Debug, Default)]
struct Counters {
    numbers: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
    taken_over: AtomicU64,
    published: AtomicU64,
    routed: AtomicU64,
    delivered: AtomicU64,
    overflowed: AtomicU64,
    expired: AtomicU64,
    missed: AtomicU64,
    discarded: AtomicU64,
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

#[derive(Debug)]
struct Shared {
    settings: HubSettings,
    board: Board,
    counters: Counters,
    /// Raised when every connection has to end.
    life: watch::Sender<u64>,
}

/// A small broker; clones share it.
///
/// ```
/// use iot_transport::mqtt::Hub;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let hub = Hub::default();
/// let listening = hub.listen("127.0.0.1:0").await?;
/// println!("clients connect to {}", listening.address());
/// listening.stop().await;
/// # Ok::<(), std::io::Error>(()) })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new(HubSettings::default())
    }
}

impl Hub {
    /// A hub that serves nobody yet.
    #[must_use]
    pub fn new(settings: HubSettings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                board: Board::default(),
                counters: Counters::default(),
                life: watch::Sender::new(0),
            }),
        }
    }

    /// Serves one client on `stream` until either side ends it.
    ///
    /// Dropping the future cuts the connection; the session stays, with what was not acknowledged.
    pub async fn serve<S: Io>(&self, stream: S) {
        serve::serve(self, stream).await;
    }

    /// Accepts plain TCP connections at `address` in a task of its own.
    ///
    /// # Errors
    ///
    /// The error of binding the address.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<Listening> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let hub = self.clone();
        let task = tokio::spawn(async move { hub.accept(listener).await });
        Ok(Listening { address, task })
    }

    async fn accept(&self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            // Ended connections are collected here, so that the set does not grow with time.
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    let hub = self.clone();
                    connections.spawn(async move {
                        // Without it small packets wait for each other; a socket that refuses is dead anyway.
                        if stream.set_nodelay(true).is_ok() {
                            hub.serve(stream).await;
                        }
                    });
                }
                // Out of file descriptors, most likely: give connections time to end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Ends every connection and forgets every session and retained message, as a crash would.
    ///
    /// Listeners go on: clients come back to an empty hub. Counters are kept.
    pub fn restart_empty(&self) {
        self.shared.life.send_modify(|life| *life += 1);
        let lost = self.shared.board.clear();
        count(&self.shared.counters.discarded, lost);
    }

    /// What the hub holds and has done.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sizes = self.shared.board.sizes();
        HubStats {
            sessions: sizes.sessions,
            connected: sizes.connected,
            queued: sizes.queued,
            subscriptions: sizes.subscriptions,
            retained: sizes.retained,
            accepted: read(&counters.accepted),
            refused: read(&counters.refused),
            timed_out: read(&counters.timed_out),
            taken_over: read(&counters.taken_over),
            published: read(&counters.published),
            routed: read(&counters.routed),
            delivered: read(&counters.delivered),
            overflowed: read(&counters.overflowed),
            expired: read(&counters.expired),
            missed: read(&counters.missed),
            discarded: read(&counters.discarded),
        }
    }

    /// The client ids of every session, with whether it is connected.
    #[must_use]
    pub fn sessions(&self) -> alloc::vec::Vec<(String, bool)> {
        self.shared.board.list()
    }
}

/// A TCP listener of a hub; dropping it ends the listener and its connections.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listening {
    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the listener and its connections, and waits until the port is free.
    pub async fn stop(mut self) {
        self.task.abort();
        // The only outcome is that the task was ended, which is what was asked for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}
