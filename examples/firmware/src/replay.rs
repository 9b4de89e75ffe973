//! A link over which a handshake that once took place takes place again.
//!
//! With the same seed a client says the same hello, agrees on the same keys and makes the same signature. So what a
//! server sent once is good for every run, and what it took from its client then is what every run has to send.

use embedded_io::{ErrorKind, ErrorType, Read, Write};

/// What is still to be sent by each side.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'r> {
    /// By the server; the client reads it.
    pub server: &'r [u8],
    /// By the client; it may write nothing else.
    pub client: &'r [u8],
}

impl ErrorType for Replay<'_> {
    type Error = ErrorKind;
}

impl Read for Replay<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        let len = out.len().min(self.server.len());
        let (now, later) = self.server.split_at(len);
        if let Some(out) = out.get_mut(..len) {
            out.copy_from_slice(now);
        }
        self.server = later;
        Ok(len)
    }
}

impl Write for Replay<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let rest = self.client.strip_prefix(bytes);
        self.client = rest.ok_or(ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
