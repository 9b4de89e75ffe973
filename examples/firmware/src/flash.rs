//! A flash in RAM, for images that measure what stands on one.

use core::convert::Infallible;
use core::future::ready;

use embedded_storage::nor_flash as blocking;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

const PAGE: usize = 1024;

/// Pages of 1 KiB with words of 4 bytes; what is written stays written until it is erased.
#[derive(Debug)]
pub struct RamFlash<'m>(&'m mut [u8]);

impl<'m> RamFlash<'m> {
    /// A flash that holds whatever the memory holds.
    pub const fn new(memory: &'m mut [u8]) -> Self {
        Self(memory)
    }
}

impl ErrorType for RamFlash<'_> {
    type Error = Infallible;
}

impl RamFlash<'_> {
    fn load(&self, offset: u32, bytes: &mut [u8]) {
        let from = offset as usize;
        if let Some(stored) = self.0.get(from..from + bytes.len()) {
            bytes.copy_from_slice(stored);
        }
    }

    fn clear(&mut self, from: u32, to: u32) {
        if let Some(page) = self.0.get_mut(from as usize..to as usize) {
            page.fill(0xFF);
        }
    }

    fn program(&mut self, offset: u32, bytes: &[u8]) {
        let stored = self.0.iter_mut().skip(offset as usize);
        for (to, from) in stored.zip(bytes) {
            *to &= *from;
        }
    }
}

impl ReadNorFlash for RamFlash<'_> {
    const READ_SIZE: usize = 1;

    fn read(
        &mut self,
        offset: u32,
        bytes: &mut [u8],
    ) -> impl Future<Output = Result<(), Infallible>> {
        self.load(offset, bytes);
        ready(Ok(()))
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for RamFlash<'_> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> impl Future<Output = Result<(), Infallible>> {
        self.clear(from, to);
        ready(Ok(()))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> impl Future<Output = Result<(), Infallible>> {
        self.program(offset, bytes);
        ready(Ok(()))
    }
}

/// The same for boot loaders.
impl blocking::ReadNorFlash for RamFlash<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.load(offset, bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl blocking::NorFlash for RamFlash<'_> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        self.clear(from, to);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        self.program(offset, bytes);
        Ok(())
    }
}
