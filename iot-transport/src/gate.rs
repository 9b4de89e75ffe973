//! A mutual-TLS front that reads MQTT: who connects is who the certificate says, and goes where policy allows.
//!
//! A front that only passes bytes lets any device take any client id and any topic. This one reads every
//! packet a client sends and asks an [`Authorizer`] about the client id, the will, each topic and each filter
//! *before* a byte of the packet goes on. A violation ends the session and is recorded.
//!
//! - [`Admit`] is asked after **every** handshake, a resumed one too, so that revocation is not bypassed by
//!   TLS resumption, and again every few seconds, so that no session outlives its certificate for long.
//! - Who is cut or no longer admitted leaves upstream as with a DISCONNECT: no will speaks for it afterwards.
//!   A will that waits in the hub for a client that is away is judged again when it is due.
//! - Nobody joins the group of another tenant's shared subscription, whatever policy lets it listen to there.
//! - Behind it stands the hub of this crate or any broker over TCP; the client id is prefixed with tenant
//!   and role there (`acme:d:boiler-7`; `n` a newcomer, `d` a device, `g` a gateway, `s` a service), so that
//!   equal names of two tenants or of two roles never share a session.
//! - Only a service may have messages retained: they would outlive the identity of a device.
//! - What is allowed is decided when it is asked for. After a change of policy, [`cut`](Gate::cut) the sessions
//!   concerned; what a broker's stored session subscribed to earlier is the broker's to forget.

mod guarded;
pub(crate) mod inspect;
mod record;
mod serve;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use iot_core::authz::Authorizer;
use iot_core::{DeviceId, Principal, TenantId};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use self::record::{Books, Registry};
use crate::mqtt::Hub;

pub use record::{GateStats, Record, Stage};

/// Why a verified handshake is not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The client showed no certificate.
    #[error("no certificate was shown")]
    NoCertificate,
    /// No trust anchor vouches for the chain.
    #[error("the chain leads to no trust anchor")]
    Untrusted,
    /// The certificate is not valid at this time.
    #[error("the certificate is not valid at this time")]
    Expired,
    /// The certificate was revoked.
    #[error("the certificate was revoked")]
    Revoked,
    /// The certificate does not name a device or service of the tenant.
    #[error("the certificate names nobody of the tenant")]
    Nameless,
    /// Another reason of the implementation.
    #[error("the peer is not admitted")]
    Other,
}

/// Says who a client is, from the chain its handshake has proved the key of.
///
/// It is asked after every handshake, again in intervals while the session lasts, and whenever something was
/// revoked. Two questions may run at once, and none runs under a lock of the gate. Any closure of the same
/// shape implements it.
pub trait Admit: Send + Sync {
    /// Names the client, or refuses it.
    ///
    /// # Errors
    ///
    /// [`Refusal`] ends the connection before any of its messages is read.
    fn admit(&self, chain: &[CertificateDer<'_>]) -> Result<Principal, Refusal>;
}

impl<F> Admit for F
where
    F: Fn(&[CertificateDer<'_>]) -> Result<Principal, Refusal> + Send + Sync,
{
    fn admit(&self, chain: &[CertificateDer<'_>]) -> Result<Principal, Refusal> {
        self(chain)
    }
}

#[derive(Clone, Debug)]
enum Upstream {
    Hub(Hub),
    Broker(String),
}

/// A gate in the making; [`to_hub`](Self::to_hub) or [`to_broker`](Self::to_broker) finishes it.
pub struct Builder {
    config: Arc<ServerConfig>,
    admit: Arc<dyn Admit>,
    authorizer: Arc<dyn Authorizer + Send + Sync>,
    limits: Limits,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    handshakes: usize,
    connections: usize,
    turn_timeout: Duration,
    handshake_timeout: Duration,
    connect_timeout: Duration,
    packet_bytes: usize,
    recheck: Duration,
}

impl Builder {
    /// Sets how many handshakes run at once, at least 1; 64 by default. Others wait a minute for their turn.
    #[must_use]
    pub fn with_handshakes(mut self, at_once: usize) -> Self {
        self.limits.handshakes = at_once.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets how many connections there may be, in whatever state; 100,000 by default.
    #[must_use]
    pub fn with_connections(mut self, most: usize) -> Self {
        self.limits.connections = most.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets how long a handshake may take once it has its turn; 10 s by default.
    #[must_use]
    pub const fn with_handshake_timeout(mut self, span: Duration) -> Self {
        self.limits.handshake_timeout = span;
        self
    }

    /// Sets how long a client may take to say CONNECT, and a broker to accept; 10 s by default.
    #[must_use]
    pub const fn with_connect_timeout(mut self, span: Duration) -> Self {
        self.limits.connect_timeout = span;
        self
    }

    /// Sets how often [`Admit`] is asked again about every open session, at least 10 ms; 10 s by default.
    ///
    /// So long may a session outlive its certificate. Each question costs the check of a chain: with very many
    /// sessions choose a longer span.
    #[must_use]
    pub fn with_recheck(mut self, every: Duration) -> Self {
        self.limits.recheck = every.max(Duration::from_millis(10));
        self
    }

    /// Sets the longest packet a client may send, in bytes; 1 MiB by default, at most 128 MiB.
    #[must_use]
    pub fn with_packet_limit(mut self, bytes: usize) -> Self {
        self.limits.packet_bytes = bytes.clamp(64, 128 << 20);
        self
    }

    /// Finishes a gate in front of a hub in the same process.
    #[must_use]
    pub fn to_hub(self, hub: &Hub) -> Gate {
        self.finish(Upstream::Hub(hub.clone()))
    }

    /// Finishes a gate in front of a broker at `address` (`host:port`) over plain TCP.
    ///
    /// Nobody but the gate may be able to reach that address.
    #[must_use]
    pub fn to_broker(self, address: impl Into<String>) -> Gate {
        self.finish(Upstream::Broker(address.into()))
    }

    fn finish(self, upstream: Upstream) -> Gate {
        Gate {
            shared: Arc::new(Shared {
                acceptor: TlsAcceptor::from(self.config),
                admit: self.admit,
                authorizer: self.authorizer,
                handshakes: Semaphore::new(self.limits.handshakes),
                connections: Semaphore::new(self.limits.connections),
                limits: self.limits,
                upstream,
                registry: Registry::default(),
                books: Books::default(),
            }),
        }
    }
}

struct Shared {
    acceptor: TlsAcceptor,
    admit: Arc<dyn Admit>,
    authorizer: Arc<dyn Authorizer + Send + Sync>,
    limits: Limits,
    handshakes: Semaphore,
    connections: Semaphore,
    upstream: Upstream,
    registry: Registry,
    books: Books,
}

/// A mutual-TLS front that reads MQTT; clones share it.
///
/// ```no_run
/// use std::sync::Arc;
/// use iot_core::authz::OwnLane;
/// use iot_core::{DeviceId, Principal, Role, TenantId};
/// use iot_transport::gate::{Gate, Refusal};
/// use iot_transport::mqtt::Hub;
/// use rustls::pki_types::CertificateDer;
///
/// # async fn run(server_config: Arc<rustls::ServerConfig>) -> std::io::Result<()> {
/// let hub = Hub::default();
/// // In a fleet this is the identity crate's check of chain, deny-list and name.
/// let admit = |chain: &[CertificateDer<'_>]| match chain {
///     [] => Err(Refusal::NoCertificate),
///     _ => Ok(Principal::new(TenantId::new("acme").unwrap(), DeviceId::new("d1").unwrap(), Role::Device)),
/// };
/// let gate = Gate::builder(server_config, Arc::new(admit), Arc::new(OwnLane)).to_hub(&hub);
/// let listening = gate.listen("0.0.0.0:8883").await?;
/// println!("devices connect to {}", listening.address());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("upstream", &self.shared.upstream)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// Begins a gate.
    ///
    /// `config` must ask for client certificates. Sessions need not be refused resumption: `admit` is asked
    /// after a resumed handshake as well.
    #[must_use]
    pub fn builder(
        config: Arc<ServerConfig>,
        admit: Arc<dyn Admit>,
        authorizer: Arc<dyn Authorizer + Send + Sync>,
    ) -> Builder {
        Builder {
            config,
            admit,
            authorizer,
            limits: Limits {
                handshakes: 64,
                connections: 100_000,
                turn_timeout: Duration::from_secs(60),
                handshake_timeout: Duration::from_secs(10),
                connect_timeout: Duration::from_secs(10),
                packet_bytes: 1 << 20,
                recheck: Duration::from_secs(10),
            },
        }
    }

    /// Accepts connections at `address` in a task of its own.
    ///
    /// # Errors
    ///
    /// The error of binding the address.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<GateListening> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let gate = self.clone();
        let task = tokio::spawn(async move { gate.accept(listener).await });
        Ok(GateListening { address, task })
    }

    /// Ends every live session of one device or service; returns how many there were.
    ///
    /// They end at once, whatever they are waiting for, and their wills are not published. Nothing keeps the peer from coming back: revoke it first.
    #[must_use]
    pub fn cut(&self, tenant: &TenantId, device: &DeviceId) -> usize {
        let shared = &self.shared;
        let cut = shared.registry.cut(|live| live.is(tenant, device));
        shared.books.count_cut(cut);
        cut
    }

    /// Asks [`Admit`] again about every live session and ends those that it refuses now; returns how many.
    ///
    /// To be called whenever the deny-list or the trust anchors changed.
    #[must_use]
    pub fn on_revoked(&self) -> usize {
        let shared = &self.shared;
        let cut = shared
            .registry
            .cut_judged(|principal, chain| shared.admit.admit(chain) != Ok(*principal));
        shared.books.count_cut(cut);
        cut
    }

    /// How many sessions are open now whose peer and chain, its own certificate first, `picks` picks.
    ///
    /// After a renewal it tells whether anybody is still in with the old certificate. `picks` is called under the
    /// gate's lock, and so must be quick and call nothing of the gate.
    #[must_use]
    pub fn count(&self, picks: impl Fn(&Principal, &[CertificateDer<'_>]) -> bool) -> usize {
        self.shared.registry.count(picks)
    }

    /// What the gate holds and has done.
    #[must_use]
    pub fn stats(&self) -> GateStats {
        let mut stats = self.shared.books.stats();
        stats.sessions = self.shared.registry.len();
        stats
    }

    /// The latest refusals, oldest first; at most 256.
    #[must_use]
    pub fn refusals(&self) -> Vec<Record> {
        self.shared.books.records()
    }

    async fn accept(&self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, address)) => {
                    let gate = self.clone();
                    connections.spawn(async move {
                        // Without it small packets wait for each other; a socket that refuses is dead anyway.
                        if stream.set_nodelay(true).is_ok() {
                            gate.serve(stream, Some(address)).await;
                        }
                    });
                }
                // Out of file descriptors, most likely: give connections time to end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// A listener of a gate; dropping it ends the listener and its connections.
#[derive(Debug)]
pub struct GateListening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl GateListening {
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

impl Drop for GateListening {
    fn drop(&mut self) {
        self.task.abort();
    }
}
