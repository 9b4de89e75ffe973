//! The port to datagrams.

/// Datagrams to one server and from it: a UDP socket, a DTLS session, or a radio.
///
/// ```
/// use core::convert::Infallible;
/// use std::collections::VecDeque;
/// use iot_transport::coap::Datagrams;
///
/// /// An end of a wire: what it sends and what has come.
/// struct Wire { to: Vec<Vec<u8>>, from: VecDeque<Vec<u8>> }
///
/// impl Datagrams for Wire {
///     type Error = Infallible;
///     async fn send(&mut self, datagram: &[u8]) -> Result<(), Infallible> {
///         self.to.push(datagram.to_vec());
///         Ok(())
///     }
///     async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
///         let Some(datagram) = self.from.pop_front() else {
///             return core::future::pending().await; // a real one is woken when something comes
///         };
///         let bytes = datagram.len().min(buffer.len());
///         buffer[..bytes].copy_from_slice(&datagram[..bytes]);
///         Ok(bytes)
///     }
/// }
/// ```
pub trait Datagrams {
    /// What can go wrong; the loss of a datagram is nothing wrong.
    type Error: core::error::Error;

    /// Sends one datagram to the server; it need not arrive. Cancel-safe: it was sent or not.
    ///
    /// # Errors
    ///
    /// The port's error; it may be tried again.
    fn send(&mut self, datagram: &[u8]) -> impl Future<Output = Result<(), Self::Error>>;

    /// Waits for one datagram from the server, writes it to the front of `buffer`, and returns its length in bytes.
    /// One that is longer than `buffer` is cut: what fills it whole is not believed. Those of other senders are left
    /// out. Cancel-safe: dropping it loses no datagram.
    ///
    /// # Errors
    ///
    /// The port's error; it may be tried again.
    fn receive(&mut self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, Self::Error>>;
}

impl<D: Datagrams + ?Sized> Datagrams for &mut D {
    type Error = D::Error;

    fn send(&mut self, datagram: &[u8]) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).send(datagram)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, Self::Error>> {
        (**self).receive(buffer)
    }
}
