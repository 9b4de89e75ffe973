//! The same flash behind the blocking port, for boot loaders.

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use super::SimFlash;
use super::law::SimFlashError;

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for SimFlash<WRITE, ERASE> {
    const READ_SIZE: usize = WRITE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimFlashError> {
        self.read_words(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.image.pages() * ERASE
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for SimFlash<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), SimFlashError> {
        self.erase_pages(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimFlashError> {
        self.program_words(offset, bytes)
    }
}
