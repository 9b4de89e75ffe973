//! Ways to a TPM.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;

/// The longest response that is taken (`TPM_PT_MAX_RESPONSE_SIZE` is 4096 in every profile).
pub(super) const MAX_RESPONSE_BYTES: usize = 4096;

const HEADER_BYTES: usize = 10;

/// The TPM cannot be reached, or broke off.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the TPM cannot be reached")]
#[non_exhaustive]
pub struct LinkError;

impl LinkError {
    /// The one value there is; for links of one's own.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Default for LinkError {
    fn default() -> Self {
        Self::new()
    }
}

impl From<io::Error> for LinkError {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// A way to a TPM: one command goes, one response comes.
pub trait Link {
    /// Sends `command` and writes the response into `out`; returns its length.
    ///
    /// A link that can gives up after `patience`; what comes later must not pass for the next response.
    ///
    /// # Errors
    ///
    /// [`LinkError`]; nothing is then known about the command.
    fn transact(
        &mut self,
        command: &[u8],
        out: &mut [u8],
        patience: Duration,
    ) -> Result<usize, LinkError>;
}

impl<L: Link + ?Sized> Link for &mut L {
    fn transact(
        &mut self,
        command: &[u8],
        out: &mut [u8],
        patience: Duration,
    ) -> Result<usize, LinkError> {
        (**self).transact(command, out, patience)
    }
}

/// The kernel's device file: `/dev/tpmrm0` with its resource manager, or `/dev/tpm0` without.
#[derive(Debug)]
pub struct DeviceFile(File);

impl DeviceFile {
    /// Opens the file for reading and writing.
    ///
    /// # Errors
    ///
    /// What the system says; most often that this user may not, or that `/dev/tpm0` is in use.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map(Self)
    }
}

impl Link for DeviceFile {
    /// The kernel has its own limit of time, and drops a response that was not read before the next command.
    fn transact(
        &mut self,
        command: &[u8],
        out: &mut [u8],
        _: Duration,
    ) -> Result<usize, LinkError> {
        // The kernel takes one command a call, and gives one response.
        if self.0.write(command)? != command.len() {
            return Err(LinkError);
        }
        Ok(self.0.read(out)?)
    }
}

/// A TCP socket that takes bare commands, as `swtpm socket --server type=tcp` does.
#[derive(Debug)]
pub struct Socket {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Socket {
    /// Names the socket; the connection is made with the first command, and again when it broke.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
        }
    }
}

impl Link for Socket {
    fn transact(
        &mut self,
        command: &[u8],
        out: &mut [u8],
        patience: Duration,
    ) -> Result<usize, LinkError> {
        if patience.is_zero() {
            return Err(LinkError);
        }
        // Taken out, and put back only after a whole response: what is left of one must not be read as another.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect_timeout(&self.address, patience)?,
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.write_all(command)?;
        let (header, rest) = out.split_at_mut_checked(HEADER_BYTES).ok_or(LinkError)?;
        stream.read_exact(header)?;
        let size = match header {
            [_, _, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
            _ => return Err(LinkError),
        };
        let size = usize::try_from(size).map_err(|_| LinkError)?;
        let body = size.checked_sub(HEADER_BYTES).ok_or(LinkError)?;
        stream.read_exact(rest.get_mut(..body).ok_or(LinkError)?)?;
        self.stream = Some(stream);
        Ok(size)
    }
}
