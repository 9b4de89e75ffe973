//! A small broker for gateways, tests and examples.
//!
//! MQTT 3.1.1 and 5, quality of service 0, 1 and 2, retained messages, wills, shared subscriptions, sessions
//! that outlive their connection, takeover. Every queue is bounded, and what does not fit is counted in [`HubStats`]. It keeps
//! everything in memory: when it ends, its sessions end with it. It checks nobody's identity: put the gate
//! in front of it, or listen on loopback only.

mod board;
mod greet;
mod group;
mod letter;
mod requests;
mod retained;
mod serve;
mod session;
mod settings;
mod stats;
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

use self::board::{Board, Left};
use self::stats::{Counters, count};
use crate::mqtt::wire::Io;

pub use session::Overflow;
pub use settings::HubSettings;
pub use stats::HubStats;
#[cfg(feature = "gate")]
pub(crate) use will::Vouch;

#[derive(Debug)]
struct Shared {
    settings: HubSettings,
    board: Board,
    counters: Counters,
    /// Raised when every connection has to end.
    life: watch::Sender<u64>,
}

impl Shared {
    /// Sees to what ended sessions left behind.
    fn settle(&self, left: Left) {
        count(&self.counters.discarded, left.discarded);
        self.board
            .inherit(&left.shared, &self.settings, &self.counters);
        for legacy in left.wills {
            will::publish(self, legacy);
        }
    }
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
        serve::serve(self, stream, None).await;
    }

    /// The same for a client whose will is published only if `vouch` still stands for it then.
    #[cfg(feature = "gate")]
    pub(crate) async fn serve_vouched<S: Io>(&self, stream: S, vouch: Vouch) {
        serve::serve(self, stream, Some(vouch)).await;
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
            slow_messages: read(&counters.slow_messages),
            slow_bytes: read(&counters.slow_bytes),
            taken_over: read(&counters.taken_over),
            published: read(&counters.published),
            routed: read(&counters.routed),
            delivered: read(&counters.delivered),
            overflowed: read(&counters.overflowed),
            expired: read(&counters.expired),
            missed: read(&counters.missed),
            rejected: read(&counters.rejected),
            withheld: read(&counters.withheld),
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
