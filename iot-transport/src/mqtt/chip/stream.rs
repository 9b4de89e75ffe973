//! The byte stream below the client.

use core::task::{Context, Poll};

/// The stream is gone, or could not be opened; whoever owns it knows more.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the stream is gone, or could not be opened")]
#[non_exhaustive]
pub struct Broken;

impl Broken {
    /// The one value there is.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// One byte stream to a broker: a socket, a TLS session over one, or a UART with a modem behind it.
///
/// It is polled, because that is what makes its user cancel-safe: bytes that were moved are always counted, whoever
/// drops which future. A stream that has to wait keeps the waker of the context, or wakes it at once and is polled
/// in a loop.
///
/// ```
/// use core::task::{Context, Poll};
/// use iot_transport::mqtt::chip::{Broken, Stream};
///
/// /// A UART with a queue of bytes each way.
/// struct Uart { from: Vec<u8>, to: Vec<u8> }
///
/// impl Stream for Uart {
///     fn poll_open(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
///         Poll::Ready(Ok(())) // a wire is always open
///     }
///     fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<Result<usize, Broken>> {
///         if self.from.is_empty() {
///             cx.waker().wake_by_ref(); // nothing tells when more is there
///             return Poll::Pending;
///         }
///         let count = room.len().min(self.from.len());
///         room[..count].copy_from_slice(&self.from[..count]);
///         self.from.drain(..count);
///         Poll::Ready(Ok(count))
///     }
///     fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
///         self.to.extend_from_slice(bytes);
///         Poll::Ready(Ok(bytes.len()))
///     }
///     fn close(&mut self) {
///         self.from.clear();
///     }
/// }
/// ```
pub trait Stream {
    /// Opens a new stream; called again until it is ready, or until [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// [`Broken`]: the attempt failed, and another one follows after a pause.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>;

    /// Reads into `room`, which is never empty; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// [`Broken`]: nothing will ever come.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<Result<usize, Broken>>;

    /// Takes the first of `bytes`, which are never none, and says how many; it sends them without being asked again.
    ///
    /// # Errors
    ///
    /// [`Broken`]: nothing can be written any more.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>>;

    /// Gives the stream up, open or not; what was read and not asked for is forgotten.
    fn close(&mut self);
}

impl<S: Stream + ?Sized> Stream for &mut S {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        (**self).poll_open(cx)
    }
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<Result<usize, Broken>> {
        (**self).poll_read(cx, room)
    }
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        (**self).poll_write(cx, bytes)
    }
    fn close(&mut self) {
        (**self).close();
    }
}
