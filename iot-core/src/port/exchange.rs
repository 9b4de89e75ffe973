//! The port to a request and its response.

use core::time::Duration;

/// What went wrong in an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ExchangeErrorKind {
    /// No response came in time; the request may or may not have been served.
    TimedOut,
    /// The other end said no.
    Refused,
    /// The response does not fit the caller's buffer.
    Buffer,
    /// Anything else; the original error says more.
    Other,
}

/// An exchange's own error, as long as it can be classified.
pub trait ExchangeError: core::error::Error {
    /// Classifies the error.
    fn kind(&self) -> ExchangeErrorKind;
}

/// Sends a request and waits for its response: enrolment, range requests, queries.
pub trait Exchange {
    /// The exchange's own error.
    type Error: ExchangeError;

    /// Sends `request` to the resource named `path` and writes the response to `buffer`.
    ///
    /// Dropping the future gives the response up; the request may have been served.
    ///
    /// # Errors
    ///
    /// The exchange's error; unless its kind is `Refused` the request may have been served, so requests
    /// must be safe to repeat.
    fn exchange<'b>(
        &mut self,
        path: &str,
        request: &[u8],
        timeout: Duration,
        buffer: &'b mut [u8],
    ) -> impl Future<Output = Result<&'b [u8], Self::Error>>;
}

impl<X: Exchange + ?Sized> Exchange for &mut X {
    type Error = X::Error;
    fn exchange<'b>(
        &mut self,
        path: &str,
        request: &[u8],
        timeout: Duration,
        buffer: &'b mut [u8],
    ) -> impl Future<Output = Result<&'b [u8], Self::Error>> {
        (**self).exchange(path, request, timeout, buffer)
    }
}
