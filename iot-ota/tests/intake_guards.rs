//! What an intake leaves alone, and what it does not go on from.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test may fail loudly, and its numbers are small"
)]

#[path = "support/keys.rs"]
mod keys;

use iot_core::engine::{Batch, RecordKey};
use iot_core::node::block_on;
use iot_core::port::Records;
use iot_core::storage::memory::FixedRecords;
use iot_ota::image::{Expected, FillError, Intake, IntakeError, Plain, fill};
use iot_ota::sim::{MemoryBanks, SimError};
use iot_ota::slot::{Bank, BootEvent, Release, RollBackReason, load, store};
use keys::{Sha256, sha256};

const OLD: &[u8] = b"the old firmware";
const NEW: &[u8] = b"the new firmware, longer";

type Taking<const PAGE: usize> = Intake<Plain, Sha256, PAGE, 4>;

fn banks(capacity: u32, sector: u32) -> MemoryBanks {
    let release = Release::new(1, sha256(OLD), OLD.len() as u32);
    MemoryBanks::factory(capacity, sector, OLD, release)
}

fn expected(image: &[u8]) -> Expected {
    let size = image.len() as u32;
    Expected::new(size, size, sha256(image))
}

fn begin<const PAGE: usize>(
    banks: &mut MemoryBanks,
    image: &[u8],
) -> Result<Taking<PAGE>, IntakeError<SimError>> {
    Intake::begin(Plain::new(), Sha256::default(), expected(image), banks)
}

fn resume<const PAGE: usize>(
    banks: &mut MemoryBanks,
    image: &[u8],
    saved: &[u8],
) -> Result<Taking<PAGE>, IntakeError<SimError>> {
    let sha256 = Sha256::default();
    Intake::resume(Plain::new(), sha256, expected(image), banks, saved)
}

fn checkpoint<const PAGE: usize>(intake: &Taking<PAGE>) -> Vec<u8> {
    let mut room = [0; 64];
    let len = intake.checkpoint(&mut room).unwrap();
    room[..len].to_vec()
}

/// What happens to the boot record.
fn happens(banks: &mut MemoryBanks, event: BootEvent) {
    let record = load(banks).unwrap().unwrap().on(event).unwrap();
    store(banks, &record).unwrap();
}

#[test]
fn the_confirmed_bank_is_never_cleared_while_another_firmware_runs() {
    for rejected in [false, true] {
        // The checkpoint is of a download before that update, or of one that was staged in another way.
        let mut banks = banks(64, 16);
        let mut intake = begin::<16>(&mut banks, NEW).unwrap();
        intake.push(&mut banks, 0, &NEW[..20]).unwrap();
        let saved = checkpoint(&intake);
        intake.push(&mut banks, 20, &NEW[20..]).unwrap();
        intake.finish(&mut banks).unwrap();
        let candidate = Release::new(2, sha256(NEW), NEW.len() as u32);
        happens(
            &mut banks,
            BootEvent::Stage {
                candidate,
                trials: 1,
            },
        );
        let staged = begin::<16>(&mut banks, b"third").err();
        assert_eq!(staged, Some(IntakeError::NotSpare), "it waits to be tried");

        assert_eq!(banks.reboot(&mut Sha256::default()), Ok(Bank::B));
        if rejected {
            happens(&mut banks, BootEvent::Reject(RollBackReason::SelfTest));
        }
        let begun = begin::<16>(&mut banks, b"third").err();
        assert_eq!(begun, Some(IntakeError::NotSpare));
        let resumed = resume::<16>(&mut banks, NEW, &saved).err();
        assert_eq!(resumed, Some(IntakeError::NotSpare));
        // Nor is anything filled where nobody has said what runs.
        let mut blank = MemoryBanks::empty(64, 16);
        let begun = begin::<16>(&mut blank, b"third").err();
        assert_eq!(begun, Some(IntakeError::NotSpare));

        assert_eq!(banks.bytes(Bank::A), OLD);
        assert_eq!(banks.reboot(&mut Sha256::default()), Ok(Bank::A));
        // The confirmed firmware runs: the other bank is spare.
        assert!(begin::<16>(&mut banks, b"third").is_ok());
    }
}

#[test]
fn a_checkpoint_of_another_image_or_payload_is_not_gone_on_from() {
    let (two, three) = ([2; 40], [3; 40]);
    let mut banks = banks(64, 16);
    let mut intake = begin::<16>(&mut banks, &two).unwrap();
    intake.push(&mut banks, 0, &two[..32]).unwrap();
    let saved = checkpoint(&intake);
    let same = resume::<16>(&mut banks.clone(), &two, &saved).unwrap();
    assert_eq!(same.received(), 32);
    // Release 3 takes its place, and the power fails before its first checkpoint.
    begin::<16>(&mut banks, &three).unwrap();
    let mut intake = resume::<16>(&mut banks, &three, &saved).unwrap();
    assert_eq!(intake.received(), 0);
    intake.push(&mut banks, 0, &three).unwrap();
    assert_eq!(intake.finish(&mut banks), Ok(()));
    // The same image, out of a payload of another size.
    let longer = Expected::new(41, 40, sha256(&two));
    let resumed: Taking<16> =
        Intake::resume(Plain::new(), Sha256::default(), longer, &mut banks, &saved).unwrap();
    assert_eq!(resumed.received(), 0);
}

#[test]
fn a_checkpoint_that_counts_more_than_the_payload_has_is_refused() {
    let image = [7; 40];
    let mut banks = banks(64, 16);
    let mut intake = begin::<16>(&mut banks, &image).unwrap();
    intake.push(&mut banks, 0, &image[..32]).unwrap();
    let mut saved = checkpoint(&intake);
    for (consumed, refused) in [(40, false), (41, true), (u32::MAX, true)] {
        // What the transform saved is the end of it.
        let at = saved.len() - 4;
        saved[at..].copy_from_slice(&consumed.to_be_bytes());
        let resumed = resume::<16>(&mut banks, &image, &saved).err();
        assert_eq!(resumed, refused.then_some(IntakeError::TooLong));
    }
    assert_eq!(banks.bytes(Bank::B), [7; 32]);
}

#[test]
fn pages_smaller_than_what_the_banks_erase_are_an_error_and_no_beginning() {
    let image = [7; 60];
    let mut banks = banks(64, 32);
    let mut intake = begin::<16>(&mut banks, &image).unwrap();
    intake.push(&mut banks, 0, &image[..50]).unwrap();
    let resumed = resume::<16>(&mut banks, &image, &checkpoint(&intake)).err();
    assert_eq!(resumed, Some(IntakeError::Page));
}

/// Records that keep what was committed to them.
struct Kept(FixedRecords<4, 4_096>, Vec<Vec<u8>>);

impl Records for Kept {
    type Error = <FixedRecords<4, 4_096> as Records>::Error;

    async fn read<'b>(
        &mut self,
        key: RecordKey,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Self::Error> {
        self.0.read(key, buffer).await
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Self::Error> {
        let values = batch.iter().filter_map(|(_, value)| value);
        self.1.extend(values.map(<[u8]>::to_vec));
        self.0.commit(batch).await
    }

    async fn next_key(&mut self, from: RecordKey) -> Result<Option<RecordKey>, Self::Error> {
        self.0.next_key(from).await
    }
}

#[test]
fn a_checkpoint_is_written_once_a_page_whatever_the_block() {
    let image: Vec<u8> = (0..4_096_u32).map(|n| (n * 7) as u8).collect();
    for block in [64, 1_000, 1_024, 2_048] {
        let mut banks = banks(4_096, 1_024);
        let mut intake = begin::<1_024>(&mut banks, &image).unwrap();
        let mut records = Kept(FixedRecords::new(), Vec::new());
        let mut block = vec![0; block];
        let key = RecordKey::new(1);
        let mut source = &image[..];
        block_on(fill(
            &mut source,
            &mut intake,
            &mut banks,
            &mut records,
            key,
            &mut block,
        ))
        .unwrap();
        let pages = 4_096 / block.len().max(1_024);
        assert_eq!(records.1.len(), pages, "blocks of {}", block.len());
        let last = records.1.last().unwrap();
        assert_eq!(
            resume::<1_024>(&mut banks, &image, last).unwrap().written(),
            4_096
        );
    }
}

/// An image as it is, with more to remember than a kilobyte.
#[derive(Clone)]
struct Forgetful(Plain);

impl iot_ota::image::Transform for Forgetful {
    fn pull<E>(
        &mut self,
        payload: &mut &[u8],
        out: &mut [u8],
        old: &mut iot_ota::image::ReadOld<'_, E>,
    ) -> Result<usize, iot_ota::image::TransformError<E>> {
        self.0.pull(payload, out, old)
    }
    fn end(&mut self) -> Result<(), iot_ota::image::BadPayload> {
        self.0.end()
    }
    fn is_whole(&self) -> bool {
        true
    }
    fn consumed(&self) -> u32 {
        self.0.consumed()
    }
    fn save(&self, out: &mut [u8]) -> Option<usize> {
        out.get_mut(..1_500)?.fill(7);
        Some(1_500)
    }
    fn restore(&mut self, _: &[u8]) -> bool {
        false
    }
}

#[test]
fn a_buffer_too_small_for_the_checkpoint_is_told_however_long_that_is() {
    let image = [9; 3_000];
    for (block, fits) in [(1_024, false), (1_536, true)] {
        let mut banks = banks(4_096, 256);
        let mut intake = Intake::<_, _, 256, 1_500>::begin(
            Forgetful(Plain::new()),
            Sha256::default(),
            expected(&image),
            &mut banks,
        )
        .unwrap();
        let mut records = FixedRecords::<4, 4_096>::new();
        let (key, mut block) = (RecordKey::new(1), vec![0; block]);
        let mut source = &image[..];
        let filled = block_on(fill(
            &mut source,
            &mut intake,
            &mut banks,
            &mut records,
            key,
            &mut block,
        ));
        match fits {
            true => filled.unwrap(),
            false => assert_eq!(filled, Err(FillError::Buffer)),
        }
    }
}
