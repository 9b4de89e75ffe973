//! Datagrams over UDP on tokio.

use std::io;

use tokio::net::{ToSocketAddrs, UdpSocket, lookup_host};

use super::datagrams::Datagrams;

/// Datagrams over a UDP socket that is connected to one server, so that those of others never reach it.
///
/// ```
/// use iot_transport::coap::{Datagrams, Udp};
///
/// # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
/// let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
/// let mut udp = Udp::connect(server.local_addr()?).await?;
/// udp.send(b"hello").await?;
/// let mut buffer = [0; 16];
/// let (bytes, client) = server.recv_from(&mut buffer).await?;
/// server.send_to(&buffer[..bytes], client).await?;
/// assert_eq!(udp.receive(&mut buffer).await?, 5);
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Udp(UdpSocket);

impl Udp {
    /// Over a socket that is connected already.
    #[must_use]
    pub const fn new(connected: UdpSocket) -> Self {
        Self(connected)
    }

    /// A socket of its own to `server`, such as `images.example:5683`: to the first of its addresses that has a route.
    ///
    /// # Errors
    ///
    /// When the name has no address, or none can be reached from here.
    pub async fn connect(server: impl ToSocketAddrs) -> io::Result<Self> {
        let mut failed =
            io::Error::new(io::ErrorKind::NotFound, "the server's name has no address");
        for address in lookup_host(server).await? {
            let any = match address.is_ipv4() {
                true => "0.0.0.0:0",
                false => "[::]:0",
            };
            let socket = UdpSocket::bind(any).await?;
            match socket.connect(address).await {
                Ok(()) => return Ok(Self(socket)),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl Datagrams for Udp {
    type Error = io::Error;

    async fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.0.send(datagram).await.map(drop)
    }

    async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer).await
    }
}
