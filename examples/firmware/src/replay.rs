//! A link over which comes what a server once sent.
//!
//! With the same seed a client says the same hello and agrees on the same keys, so that the server's part of one
//! handshake is good for every run.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};

/// What is still to come; what is written goes nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'r>(pub &'r [u8]);

impl ErrorType for Replay<'_> {
    type Error = Infallible;
}

impl Read for Replay<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let len = out.len().min(self.0.len());
        let (now, later) = self.0.split_at(len);
        if let Some(out) = out.get_mut(..len) {
            out.copy_from_slice(now);
        }
        self.0 = later;
        Ok(len)
    }
}

impl Write for Replay<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
