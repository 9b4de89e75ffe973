//! The UART as a byte stream to a broker, and pauses drawn from next to nothing.

use core::task::{Context, Poll};

use iot_core::entropy::{Entropy, EntropyError};
use iot_transport::mqtt::chip::{Broken, Stream};

use crate::board::{Port, millis};
use crate::cut::{Supply, cut};

/// The UART, on a power supply that may fail in the middle of a write.
#[derive(Debug)]
pub struct Uart<'s> {
    port: Port,
    supply: &'s Supply,
}

impl<'s> Uart<'s> {
    /// Opens the port.
    #[must_use]
    pub fn new(supply: &'s Supply) -> Self {
        Self {
            port: Port::open(),
            supply,
        }
    }
}

impl Stream for Uart<'_> {
    /// A wire is always open; whoever is behind it opens the socket.
    fn poll_open(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, _: &mut Context<'_>, room: &mut [u8]) -> Poll<Result<usize, Broken>> {
        let mut count = 0;
        for (to, byte) in room.iter_mut().zip(core::iter::from_fn(|| self.port.get())) {
            *to = byte;
            count += 1;
        }
        match count {
            0 => Poll::Pending,
            count => Poll::Ready(Ok(count)),
        }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        let last = self.supply.is_last();
        let whole = if last { bytes.len() / 2 } else { bytes.len() };
        let mut count = 0;
        for &byte in bytes.iter().take(whole) {
            if !self.port.put(byte) {
                break;
            }
            count += 1;
        }
        if last {
            cut();
        }
        match count {
            0 => Poll::Pending,
            count => Poll::Ready(Ok(count)),
        }
    }

    fn close(&mut self) {
        while self.port.get().is_some() {}
    }
}

/// Spreads the attempts to connect; good for nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jitter(u32);

impl Entropy for Jitter {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for byte in out {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(millis() | 1);
            *byte = (self.0 >> 24) as u8;
        }
        Ok(())
    }
}
