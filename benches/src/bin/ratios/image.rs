//! What an image costs on its way into a bank, beyond its hash.

use core::convert::Infallible;
use core::error::Error;
use core::hint::black_box;
use core::ops::Range;

use iot_benches::{Goal, Ratio};
use iot_core::crypto::Digest;
use iot_identity::ring::Sha256;
use iot_ota::image::{Expected, Intake, Plain};
use iot_ota::slot::{Bank, Banks, BootRecord, RECORD_BYTES, RecordCopy, Release, store};

const IMAGE: usize = 256 * 1024;
const BLOCK: usize = 4_096;

/// A bank in memory, which costs what a copy costs, and a boot record that says that it is spare.
struct Ram(Vec<u8>, [[u8; RECORD_BYTES]; 2]);

impl Banks for Ram {
    type Error = Infallible;

    fn capacity(&self) -> u32 {
        1 << 20
    }
    fn running(&self) -> Bank {
        Bank::A
    }
    fn clear(&mut self, _: Bank, from: u32) -> Result<Range<u32>, Infallible> {
        self.0.truncate(from as usize);
        Ok(from..self.capacity())
    }
    fn write(&mut self, _: Bank, _: u32, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn read(&mut self, _: Bank, offset: u32, out: &mut [u8]) -> Result<(), Infallible> {
        for (to, from) in out.iter_mut().zip(self.0.iter().skip(offset as usize)) {
            *to = *from;
        }
        Ok(())
    }
    fn read_record(
        &mut self,
        copy: RecordCopy,
        out: &mut [u8; RECORD_BYTES],
    ) -> Result<(), Infallible> {
        let [first, second] = &self.1;
        out.copy_from_slice(match copy {
            RecordCopy::First => first,
            RecordCopy::Second => second,
        });
        Ok(())
    }
    fn write_record(
        &mut self,
        copy: RecordCopy,
        bytes: &[u8; RECORD_BYTES],
    ) -> Result<(), Infallible> {
        let [first, second] = &mut self.1;
        *(match copy {
            RecordCopy::First => first,
            RecordCopy::Second => second,
        }) = *bytes;
        Ok(())
    }
    fn counter(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }
    fn raise_counter(&mut self, _: u64) -> Result<(), Infallible> {
        Ok(())
    }
}

/// An image of 256 KiB in blocks of 4 KiB: taken in, checked, written to memory and hashed, against SHA-256 alone. At
/// least nine tenths of its rate.
pub(crate) fn image_stream() -> Result<Ratio, Box<dyn Error>> {
    #[expect(clippy::cast_possible_truncation, reason = "the lowest byte is meant")]
    let image: Vec<u8> = (0..IMAGE).map(|at| ((at * 31) >> 3) as u8).collect();
    let mut sha256 = Sha256::new();
    sha256.update(&image);
    let digest = sha256.finish();
    let bytes = u32::try_from(IMAGE)?;
    let expected = Expected::new(bytes, bytes, digest);
    let mut banks = Ram(Vec::with_capacity(IMAGE), [[0; RECORD_BYTES]; 2]);
    let installed = Release::new(1, digest, bytes);
    store(&mut banks, &BootRecord::factory(Bank::A, installed))?;
    let mut ours = || {
        let sha256 = Sha256::new();
        let begun = Intake::<_, _, BLOCK, 4>::begin(Plain::new(), sha256, expected, &mut banks);
        let Ok(mut intake) = begun else { return false };
        for block in black_box(&image).chunks(BLOCK) {
            if intake.push(&mut banks, intake.received(), block).is_err() {
                return false;
            }
        }
        intake.finish(&mut banks).is_ok()
    };
    let bare = || {
        let mut sha256 = Sha256::new();
        for block in black_box(&image).chunks(BLOCK) {
            sha256.update(block);
        }
        sha256.finish() == digest
    };
    assert!(ours() && bare());
    Ok(Ratio::of_times(
        "image_stream",
        Goal::AtMost(1.11),
        ours,
        bare,
    ))
}
