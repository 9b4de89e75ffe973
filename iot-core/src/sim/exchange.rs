//! A server that may not be heard.

use alloc::vec::Vec;
use core::time::Duration;

use super::clock::SimClock;
use super::entropy::SimEntropy;
use crate::port::{Exchange, ExchangeError, ExchangeErrorKind};

/// Why a simulated exchange failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimExchangeError {
    /// The request or the response was lost: it may have been served.
    #[error("no response came in time: repeat the request")]
    TimedOut,
    /// The server does not serve this.
    #[error("the server refused the request")]
    Refused,
    /// The response is longer than the caller's buffer.
    #[error("the buffer is too small: give {needed} bytes")]
    Buffer {
        /// How many bytes are needed.
        needed: usize,
    },
}

impl ExchangeError for SimExchangeError {
    fn kind(&self) -> ExchangeErrorKind {
        match self {
            Self::TimedOut => ExchangeErrorKind::TimedOut,
            Self::Refused => ExchangeErrorKind::Refused,
            Self::Buffer { .. } => ExchangeErrorKind::Buffer,
        }
    }
}

/// An [`Exchange`] with a function, over a way that loses requests and responses alike.
///
/// ```
/// use core::time::Duration;
/// use iot_core::node::block_on;
/// use iot_core::port::Exchange;
/// use iot_core::sim::{SimClock, SimExchange};
/// let serve = |path: &str, request: &[u8]| (path == "/echo").then(|| request.to_vec());
/// let mut server = SimExchange::new(1, SimClock::new(), 0, serve);
/// let mut buffer = [0; 16];
/// let second = Duration::from_secs(1);
/// assert_eq!(block_on(server.exchange("/echo", b"hi", second, &mut buffer))?, b"hi");
/// # Ok::<(), iot_core::sim::SimExchangeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimExchange<F> {
    random: SimEntropy,
    clock: SimClock,
    loss: u16,
    serve: F,
}

impl<F: FnMut(&str, &[u8]) -> Option<Vec<u8>>> SimExchange<F> {
    /// Loses each request and each response in `loss` of 1,000 cases; `serve` returns `None` to refuse.
    pub const fn new(seed: u64, clock: SimClock, loss: u16, serve: F) -> Self {
        Self {
            random: SimEntropy::new(seed),
            clock,
            loss,
            serve,
        }
    }
}

impl<F: FnMut(&str, &[u8]) -> Option<Vec<u8>>> Exchange for SimExchange<F> {
    type Error = SimExchangeError;

    async fn exchange<'b>(
        &mut self,
        path: &str,
        request: &[u8],
        timeout: Duration,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], SimExchangeError> {
        let request_lost = self.random.chance(self.loss);
        let response = if request_lost {
            None
        } else {
            Some((self.serve)(path, request))
        };
        if request_lost || self.random.chance(self.loss) {
            self.clock.advance(timeout);
            return Err(SimExchangeError::TimedOut);
        }
        let response = response.flatten().ok_or(SimExchangeError::Refused)?;
        let needed = response.len();
        let room = buffer
            .get_mut(..needed)
            .ok_or(SimExchangeError::Buffer { needed })?;
        room.copy_from_slice(&response);
        Ok(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::block_on;

    #[test]
    fn a_lost_response_was_served_and_a_lost_request_was_not() {
        let (mut served, mut answered) = (0u32, 0u32);
        let clock = SimClock::new();
        let serve = |_: &str, request: &[u8]| {
            served += 1;
            Some(request.to_vec())
        };
        let mut server = SimExchange::new(5, clock.clone(), 300, serve);
        let mut buffer = [0; 4];
        for _ in 0..200 {
            let second = Duration::from_secs(1);
            answered +=
                u32::from(block_on(server.exchange("/", b"x", second, &mut buffer)).is_ok());
        }
        assert!(
            answered < served && served < 200,
            "{answered} answered, {served} served"
        );
        assert_eq!(
            clock.instant().as_millis(),
            u64::from(200 - answered) * 1_000
        );
    }

    #[test]
    fn a_refusal_and_a_small_buffer_are_told_apart() {
        let serve = |path: &str, _: &[u8]| (path == "/").then(|| [0; 8].to_vec());
        let mut server = SimExchange::new(1, SimClock::new(), 0, serve);
        let mut buffer = [0; 4];
        let mut ask =
            |path| block_on(server.exchange(path, b"", Duration::ZERO, &mut buffer)).err();
        assert_eq!(ask("/"), Some(SimExchangeError::Buffer { needed: 8 }));
        assert_eq!(ask("/nowhere"), Some(SimExchangeError::Refused));
    }
}
