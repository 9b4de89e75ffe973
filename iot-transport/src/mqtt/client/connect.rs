//! How a client gets its stream, and what to tell when it does not.

use alloc::boxed::Box;
use alloc::string::String;
use core::pin::Pin;
use std::io;

use tokio::net::TcpStream;

use crate::mqtt::packet::PacketError;
use crate::mqtt::reason::Reason;
use crate::mqtt::wire::Io;

/// A stream in the making.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// Opens a new stream to the broker, each time the client asks.
///
/// [`Tcp`] and, with feature `tls`, `Tls` implement it; so does any closure that returns a future of a stream.
///
/// ```
/// use iot_transport::mqtt::{Client, Settings};
/// use iot_core::{DeviceId, TenantId};
///
/// let settings = Settings::device(TenantId::new("acme")?, DeviceId::new("d1")?);
/// let client = Client::new(|| tokio::net::TcpStream::connect("broker.example:1883"), settings);
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
pub trait Connect: Send {
    /// Starts to open a stream.
    fn connect(&mut self) -> Dialling;
}

impl<F, Opening, Stream> Connect for F
where
    F: FnMut() -> Opening + Send,
    Opening: Future<Output = io::Result<Stream>> + Send + 'static,
    Stream: Io + 'static,
{
    fn connect(&mut self) -> Dialling {
        let opening = self();
        Box::pin(async move { Ok(Box::new(opening.await?) as Box<dyn Io>) })
    }
}

impl Connect for Box<dyn Connect> {
    fn connect(&mut self) -> Dialling {
        (**self).connect()
    }
}

/// Plain TCP to `host:port`; for loopback and for networks that are protected otherwise.
#[derive(Clone, Debug)]
pub struct Tcp {
    address: String,
}

impl Tcp {
    /// Connects to `address`, written `host:port`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
        }
    }
}

impl Connect for Tcp {
    fn connect(&mut self) -> Dialling {
        let address = self.address.clone();
        Box::pin(async move { Ok(Box::new(open_tcp(&address).await?) as Box<dyn Io>) })
    }
}

pub(super) async fn open_tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Small messages and their acknowledgements must not wait for each other.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Why there is no session with the broker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No stream could be opened.
    #[error("the broker cannot be reached ({0}): check its address, that it runs, and the network")]
    Unreachable(#[source] io::Error),
    /// TLS failed on one side or the other.
    #[error(
        "the TLS session was refused ({0}): check this side's certificate and key, the broker's, and both clocks"
    )]
    Tls(#[source] io::Error),
    /// The broker proved who it is, and then did not take this side's certificate: what it says can be believed.
    ///
    /// In TLS 1.3 that comes with the first bytes it sends after the handshake (RFC 8446 §4.6.2 and appendix E.1.6);
    /// an alert before is [`Tls`](Self::Tls), because anybody in between can send one.
    #[error(
        "the broker does not take this side's certificate ({0}): check whether it has expired or is revoked"
    )]
    Rejected(#[source] io::Error),
    /// The stream ended before the broker answered.
    #[error(
        "the stream ended before the broker answered ({0}): it may have refused the certificate or the client id"
    )]
    Lost(#[source] io::Error),
    /// The broker said no.
    #[error("the broker refused the session with code {code:#04x}, {}", Reason::of(*code))]
    Refused {
        /// The return code (MQTT 3.1.1 §3.2.2.3) or reason code (MQTT 5 §3.2.2.2).
        code: u8,
    },
    /// What answered does not speak MQTT as expected.
    #[error(
        "the broker's answer was not understood ({0}): check that the port speaks MQTT, and its version"
    )]
    Protocol(#[from] PacketError),
    /// The broker did not answer in time.
    #[error("the broker did not answer in time: check its address, the network and its load")]
    TimedOut,
}

impl ConnectError {
    /// Whether waiting may help; if not, somebody has to change something first.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Lost(_) | Self::TimedOut => true,
            Self::Refused { code } => Reason::of(*code).is_transient(),
            Self::Tls(_) | Self::Rejected(_) | Self::Protocol(_) => false,
        }
    }

    /// The broker's reason, where it gave one.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused { code } => Some(Reason::of(*code)),
            _ => None,
        }
    }

    pub(super) fn while_dialling(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied => Self::Tls(error),
            _ => Self::Unreachable(error),
        }
    }

    pub(super) fn while_greeting(error: io::Error) -> Self {
        match error.kind() {
            // In TLS 1.3 the server's alert about our certificate arrives with the first read.
            io::ErrorKind::InvalidData => Self::Rejected(error),
            _ => Self::Lost(error),
        }
    }
}
