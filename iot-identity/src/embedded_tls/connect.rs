//! A handshake from its first byte to a verified server.

use embedded_tls::{Aes128GcmSha256, TlsConfig, TlsConnection, TlsContext, TlsError, blocking};
use iot_core::crypto::{KeyError, Signer};

use super::{Client, Link};
use crate::cert::path::PathError;

/// Why there is no connection; the link has to be closed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's certificates are not to be trusted.
    #[error("the server: {0}")]
    Server(PathError),
    /// The server does not hold the key of its certificate.
    #[error("the server did not sign the handshake with the key of its certificate")]
    Signature,
    /// The server left its certificate or its signature out, or sent one of them at the wrong moment.
    #[error("the server did not prove who it is")]
    Unauthenticated,
    /// The client's own key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The link failed, or what came over it is not TLS 1.3 as both sides speak it.
    #[error("TLS: {0}")]
    Tls(TlsError),
}

#[cfg(feature = "defmt")]
impl defmt::Format for ConnectError {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Self::Server(error) => defmt::write!(f, "Server({})", error),
            Self::Signature => defmt::write!(f, "Signature"),
            Self::Unauthenticated => defmt::write!(f, "Unauthenticated"),
            Self::Key(error) => defmt::write!(f, "Key({})", error),
            // Its own crate would have to be told to know defmt, and would log with it.
            Self::Tls(_) => defmt::write!(f, "Tls"),
        }
    }
}

/// Opens a connection over a blocking `socket`, and gives it away only when the server is verified.
///
/// `read` has to hold the largest record that the server sends, 16,640 bytes unless it is known to send less; `write`
/// the client's certificate and some 200 bytes. A server that refuses the client says so with the first read.
///
/// ```no_run
/// # #[cfg(feature = "cert")] {
/// use embedded_io::{Read, Write};
/// use iot_core::crypto::{KeyStore, SlotId};
/// use iot_core::time::TimeBounds;
/// use iot_identity::cert::path::{Anchor, PathPolicy, Purpose};
/// use iot_identity::embedded_tls::{Client, ConnectError, connect};
/// use iot_identity::{ring::SystemEntropy, rustcrypto};
///
/// # type Error = Box<dyn std::error::Error>;
/// fn greet(link: impl Read + Write, keys: &impl KeyStore, own: &[u8], root: &[u8], wall: TimeBounds) -> Result<(), Error> {
///     let anchors = [Anchor::of(root)?];
///     let purpose = Purpose::Server("mqtt.example.com".try_into()?);
///     let policy = PathPolicy::with(rustcrypto::ALGORITHMS, wall, purpose);
///     let signer = keys.signer(SlotId::new(0))?;
///     let client = Client::<_, _, 2>::new(signer, own, &policy, &anchors, &mut SystemEntropy::new())?;
///     let (mut read, mut write) = ([0; 16_640], [0; 2_048]);
///     let mut tls = connect(link, &mut read, &mut write, client)?; // the server is the one that was asked for
///     tls.write_all(b"hello")?;
///     Ok(tls.flush()?)
/// }
/// # }
/// ```
///
/// # Errors
///
/// [`ConnectError`]; the socket is dropped.
pub fn connect<'b, T, S, D, const OFFERED: usize>(
    socket: T,
    read: &'b mut [u8],
    write: &'b mut [u8],
    mut client: Client<'_, S, D, OFFERED>,
) -> Result<blocking::TlsConnection<'b, Link<T>, Aes128GcmSha256>, ConnectError>
where
    T: embedded_io::Read + embedded_io::Write + 'b,
    S: Signer,
    D: AsRef<[u8]>,
{
    let mut tls = blocking::TlsConnection::new(Link::new(socket), read, write);
    let config = config(&client);
    let opened = tls.open(TlsContext::new(&config, &mut client));
    verdict(&client, opened)?;
    Ok(tls)
}

/// Opens a connection over an asynchronous `socket`; otherwise as [`connect`].
///
/// # Errors
///
/// [`ConnectError`]; the socket is dropped.
pub async fn connect_async<'b, T, S, D, const OFFERED: usize>(
    socket: T,
    read: &'b mut [u8],
    write: &'b mut [u8],
    mut client: Client<'_, S, D, OFFERED>,
) -> Result<TlsConnection<'b, Link<T>, Aes128GcmSha256>, ConnectError>
where
    T: embedded_io_async::Read + embedded_io_async::Write + 'b,
    S: Signer,
    D: AsRef<[u8]>,
{
    let mut tls = TlsConnection::new(Link::new(socket), read, write);
    let config = config(&client);
    let opened = tls.open(TlsContext::new(&config, &mut client)).await;
    verdict(&client, opened)?;
    Ok(tls)
}

fn config<'a, S: Signer, D: AsRef<[u8]>, const OFFERED: usize>(
    client: &Client<'a, S, D, OFFERED>,
) -> TlsConfig<'a> {
    let config = TlsConfig::new();
    match client.server().host() {
        Some(host) => config.with_server_name(host),
        None => config,
    }
}

/// A handshake that ended well says nothing of a server that proved nothing: embedded-tls asks for no proof.
fn verdict<S: Signer, D: AsRef<[u8]>, const OFFERED: usize>(
    client: &Client<'_, S, D, OFFERED>,
    opened: Result<(), TlsError>,
) -> Result<(), ConnectError> {
    match opened {
        Ok(()) => client.verdict(),
        // What was found out about the other side says more than how the handshake ended.
        Err(error) => Err(client.cause().unwrap_or(ConnectError::Tls(error))),
    }
}
