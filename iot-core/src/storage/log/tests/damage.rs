//! Flash whose content no log has written, or not so.

use core::cell::Cell;

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use proptest::prelude::*;

use super::*;
use crate::storage::log::format::{Buffer, Header, crc32, seed};

/// Bytes that anything may stand in.
#[derive(Clone, Debug)]
struct Raw {
    bytes: Vec<u8>,
    /// How many more operations may be asked for.
    patience: Cell<u32>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RawError {
    Impatient,
    Outside,
}

impl NorFlashError for RawError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::OutOfBounds
    }
}

impl Raw {
    const fn new(bytes: Vec<u8>) -> Self {
        let patience = Cell::new(20_000);
        Self { bytes, patience }
    }

    fn of(image: &Flash) -> Self {
        let mut bytes = alloc::vec![0; REGION.end as usize];
        block_on(image.clone().read(0, &mut bytes)).unwrap();
        Self::new(bytes)
    }

    fn part(&mut self, offset: u32, len: usize) -> Result<&mut [u8], RawError> {
        let left = self.patience.get().checked_sub(1);
        self.patience.set(left.ok_or(RawError::Impatient)?);
        let from = offset as usize;
        self.bytes
            .get_mut(from..from + len)
            .ok_or(RawError::Outside)
    }
}

impl ErrorType for Raw {
    type Error = RawError;
}

impl ReadNorFlash for Raw {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), RawError> {
        bytes.copy_from_slice(self.part(offset, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Raw {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE as usize;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), RawError> {
        self.part(from, (to - from) as usize)?.fill(0xFF);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), RawError> {
        let part = self.part(offset, bytes.len())?;
        part.iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to &= from);
        Ok(())
    }
}

/// A log of three pages, and what it holds.
fn full() -> (Flash, Vec<Told>) {
    let (mut log, mut number) = (open(new_flash()).unwrap(), 0);
    while append(&mut log, &told(number)).is_ok() {
        number += 1;
    }
    let all = content(&mut log);
    (log.into_flash(), all)
}

#[test]
fn a_log_of_a_later_version_is_refused_without_a_change() {
    let mut raw = Raw::of(&full().0);
    // Whatever follows, the first fields and the checksum keep their form.
    raw.bytes[2] = 2;
    let sum = crc32(seed(0, 0), &raw.bytes[..20]);
    raw.bytes[20..24].copy_from_slice(&sum.to_le_bytes());
    let before = raw.bytes.clone();
    let opened = block_on(Log::<_, 5>::open(&mut raw, REGION, Config::new()));
    assert_eq!(opened.err(), Some(LogError::Version { found: 2 }));
    assert_eq!(raw.bytes, before);
}

#[test]
fn a_flipped_bit_of_an_accepted_record_is_never_told_as_a_value() {
    let (flash, all) = full();
    let clean = Raw::of(&flash);
    let (mut corrupt, mut same, mut fewer) = (0, 0, 0);
    for bit in 0..clean.bytes.len() * 8 {
        let mut log = open(clean.clone()).unwrap();
        log.machine.flash.bytes[bit / 8] ^= 1 << (bit % 8);
        let mut cursor = log.oldest();
        match read_on(&mut log, &mut cursor) {
            Err(error) => {
                assert_eq!(error, LogError::Corrupt);
                corrupt += 1;
            }
            Ok(found) => {
                assert_eq!(found, all, "bit {bit}");
                same += 1;
            }
        }
        // At the next boot too, and what was written last may have been cut.
        let flipped = log.into_flash();
        match open(flipped).map(|mut log| {
            let mut cursor = log.oldest();
            read_on(&mut log, &mut cursor)
        }) {
            Ok(Ok(found)) => {
                fewer += u32::from(found != all);
                let lost = all.starts_with(&found) || all.ends_with(&found);
                assert!(lost, "bit {bit}: {found:?}");
            }
            Ok(Err(error)) | Err(error) => {
                assert!(
                    matches!(error, LogError::Corrupt | LogError::Version { .. }),
                    "bit {bit}"
                );
            }
        }
    }
    assert!(
        corrupt > 2_000 && same > 2_000 && fewer > 100,
        "{corrupt} {same} {fewer}"
    );
}

/// A page header that counts, with these fields.
fn header(page: u32, fields: (u32, u32, u32, u32)) -> Buffer {
    let mut buffer = [0; 64];
    let (generation, previous, keep, end) = fields;
    let header = Header {
        generation,
        previous,
        keep,
        end,
    };
    header.encode(page, 4, 24, &mut buffer);
    buffer
}

/// Uses a log in every way; there is nothing to be expected of it but an end.
fn use_up(raw: Raw) -> Result<(), LogError<RawError>> {
    let mut log = open(raw)?;
    for number in 0..30 {
        let mut cursor = log.oldest();
        while let Some(entry) = block_on(log.next(&mut cursor))? {
            block_on(log.read(&entry, &mut [0; 4096]))?;
        }
        if append(&mut log, &told(number)).is_err() {
            block_on(log.retire_oldest())?;
            append(&mut log, &told(number))?;
        }
    }
    Ok(())
}

fn check_ends(raw: Raw) {
    let ended = use_up(raw);
    let expected = !matches!(
        ended,
        Err(LogError::Flash(RawError::Impatient)
            | LogError::Region { .. }
            | LogError::TooLong { .. }
            | LogError::Buffer { .. })
    );
    assert!(expected, "{ended:?}");
}

fn edits() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let bytes = proptest::collection::vec(any::<u8>(), 1..40);
    proptest::collection::vec((0..REGION.end as usize, bytes), 0..6)
}

fn headers() -> impl Strategy<Value = Vec<(u32, (u32, u32, u32, u32))>> {
    let number = prop_oneof![0u32..8, 60u32..70, Just(0xFFFF), 0u32..0x1_0000];
    let generation = prop_oneof![0u32..9, Just(u32::MAX), any::<u32>()];
    let fields = (generation, number.clone(), number.clone(), number);
    proptest::collection::vec((0..u32::from(PAGES), fields), 0..5)
}

proptest! {
    #[test]
    fn noise_is_no_log_and_becomes_one(mut bytes in proptest::collection::vec(any::<u8>(), REGION.end as usize)) {
        // What begins like a page of a log is not written over.
        bytes.chunks_mut(PAGE as usize).for_each(|page| page[0] |= 0x80);
        let mut log = open(Raw::new(bytes)).unwrap();
        prop_assert_eq!(content(&mut log), []);
        append(&mut log, &told(5)).unwrap();
        prop_assert_eq!(content(&mut open(log.into_flash()).unwrap()), told(5));
    }

    #[test]
    fn no_image_makes_a_log_panic_or_go_on_for_ever(headers in headers(), edits in edits(), moved in (0usize..5, 0usize..5)) {
        let mut raw = Raw::of(&full().0);
        let page = PAGE as usize;
        raw.bytes.copy_within(moved.0 * page..(moved.0 + 1) * page, moved.1 * page);
        for (at, fields) in headers {
            let from = at as usize * page;
            raw.bytes[from..from + 24].copy_from_slice(&header(at, fields)[..24]);
        }
        for (at, bytes) in edits {
            for (to, from) in raw.bytes.iter_mut().skip(at).zip(bytes) {
                *to = from;
            }
        }
        check_ends(raw);
    }
}
