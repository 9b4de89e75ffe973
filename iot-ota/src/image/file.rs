//! Images in files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use iot_core::port::ImageSource;

/// An image in a file, such as one on a stick, or in a gateway's cache.
///
/// It blocks while it reads.
#[derive(Debug)]
pub struct ImageFile(File);

impl ImageFile {
    /// Opens it for reading.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        File::open(path).map(Self)
    }
}

impl ImageSource for ImageFile {
    type Error = io::Error;

    async fn read(&mut self, offset: u32, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.seek(SeekFrom::Start(offset.into()))?;
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}
