//! The port to whoever has an image.

use core::convert::Infallible;

/// Gives any part of one image, or of what becomes one: a file, a range over HTTP, blocks over CoAP, chunks on request.
///
/// A slice of bytes is one.
///
/// ```
/// use iot_core::node::block_on;
/// use iot_core::port::ImageSource;
///
/// let mut source = &b"firmware"[..];
/// let mut buffer = [0; 5];
/// assert_eq!(block_on(source.read(4, &mut buffer)), Ok(4));
/// assert_eq!(&buffer[..4], b"ware");
/// assert_eq!(block_on(source.read(8, &mut buffer)), Ok(0));
/// ```
pub trait ImageSource {
    /// What can go wrong on the way.
    type Error: core::error::Error;

    /// Reads from `offset` in bytes to the front of `buffer`, and returns how many bytes that were: at least one, unless
    /// nothing is there, or `buffer` is empty.
    ///
    /// Cancel-safe: reading the same part again is always possible.
    ///
    /// # Errors
    ///
    /// The source's error; `buffer` is then unspecified, and it may be asked again.
    fn read(
        &mut self,
        offset: u32,
        buffer: &mut [u8],
    ) -> impl Future<Output = Result<usize, Self::Error>>;
}

impl<S: ImageSource + ?Sized> ImageSource for &mut S {
    type Error = S::Error;

    fn read(
        &mut self,
        offset: u32,
        buffer: &mut [u8],
    ) -> impl Future<Output = Result<usize, Self::Error>> {
        (**self).read(offset, buffer)
    }
}

impl ImageSource for &[u8] {
    type Error = Infallible;

    async fn read(&mut self, offset: u32, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = self.get(from..).unwrap_or(&[]);
        for (to, from) in buffer.iter_mut().zip(there) {
            *to = *from;
        }
        Ok(there.len().min(buffer.len()))
    }
}
