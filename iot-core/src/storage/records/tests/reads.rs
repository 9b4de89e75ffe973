//! Flash that cannot be read for a while, or whose content this store did not write so.

use embedded_storage_async::nor_flash::{ErrorType, NorFlashError, NorFlashErrorKind};

use super::*;

const SIZE: usize = 512;

/// Bytes behind a bus that fails for some reads, and words of `W` bytes.
#[derive(Clone, Debug)]
struct Bus<const W: usize> {
    bytes: Vec<u8>,
    /// How many reads were tried, and which of them fail.
    reads: u32,
    fails: Range<u32>,
    /// Where reads fail for ever.
    dead: Range<usize>,
    changes: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct BusError;

impl NorFlashError for BusError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const W: usize> Bus<W> {
    const fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            reads: 0,
            fails: 0..0,
            dead: 0..0,
            changes: 0,
        }
    }

    fn blank(pages: usize) -> Self {
        Self::new(alloc::vec![0xFF; pages * SIZE])
    }
}

impl<const W: usize> ErrorType for Bus<W> {
    type Error = BusError;
}

impl<const W: usize> embedded_storage_async::nor_flash::ReadNorFlash for Bus<W> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), BusError> {
        let (at, from) = (self.reads, offset as usize);
        self.reads += 1;
        let to = from + bytes.len();
        if self.fails.contains(&at) || from < self.dead.end && self.dead.start < to {
            return Err(BusError);
        }
        bytes.copy_from_slice(&self.bytes[from..to]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const W: usize> NorFlash for Bus<W> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), BusError> {
        self.changes += 1;
        self.bytes[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), BusError> {
        self.changes += 1;
        let words = self.bytes[offset as usize..].iter_mut();
        words.zip(bytes).for_each(|(to, from)| *to &= from);
        Ok(())
    }
}

type OnBus<'f, const W: usize> = FlashRecords<&'f mut Bus<W>, 5, 8>;

fn opened<const W: usize>(
    flash: &mut Bus<W>,
    region: Range<u32>,
) -> Result<OnBus<'_, W>, FlashError<BusError>> {
    block_on(FlashRecords::open(flash, region, Config::new()))
}

/// Three keys that were changed `rounds` times, so that 1 or more pages are in use.
fn committed<const W: usize>(pages: usize, rounds: u8) -> (Bus<W>, Map) {
    let (mut flash, mut map) = (Bus::<W>::blank(pages), Map::new());
    let region = 0..flash.bytes.len() as u32;
    let mut store = opened(&mut flash, region).unwrap();
    for round in 0..rounds {
        for key in 0..3 {
            let change = [(key, Some(alloc::vec![round; 10]))];
            commit(&mut store, &change).unwrap();
            apply(&mut map, &change);
        }
    }
    (Bus::<W>::new(flash.bytes), map)
}

/// Opens it with the failures that are planned: all of `map` is there, or an error and nothing was changed.
/// Without them all of it is there again. Says whether it opened.
fn check<const W: usize>(mut flash: Bus<W>, map: &Map) -> bool {
    let before = flash.bytes.clone();
    let region = 0..flash.bytes.len() as u32;
    let found = opened(&mut flash, region.clone()).map(|mut store| content(&mut store));
    if let Ok(found) = &found {
        assert_eq!(found, map);
    } else {
        assert_eq!(flash.bytes, before);
    }
    (flash.fails, flash.dead) = (0..0, 0..0);
    let mut store = opened(&mut flash, region).unwrap();
    assert_eq!(content(&mut store), *map);
    found.is_ok()
}

#[test]
fn one_read_that_fails_at_boot_loses_nothing() {
    for rounds in [1, 9, 20] {
        let (flash, map) = committed::<4>(4, rounds);
        let mut whole = flash.clone();
        opened(&mut whole, 0..4 * SIZE as u32).unwrap();
        let several = whole.bytes[SIZE] != 0xFF;
        assert!(several == (rounds > 1) && whole.reads > 6, "{rounds}");
        for at in 0..whole.reads {
            let mut flash = flash.clone();
            flash.fails = at..at + 1;
            assert!(check(flash, &map), "read {at}");
        }
    }
}

#[test]
fn a_bus_that_is_down_for_a_while_makes_no_log_where_one_is() {
    let (flash, map) = committed::<4>(4, 1);
    let (mut refused, mut opened) = (0, 0);
    for reads in 0..100 {
        let mut flash = flash.clone();
        flash.fails = 0..reads;
        match check(flash, &map) {
            true => opened += 1,
            false => refused += 1,
        }
    }
    assert!(refused > 60 && opened > 1, "{refused} {opened}");
}

#[test]
fn damaged_words_of_the_only_page_are_told_and_it_is_kept() {
    let (flash, map) = committed::<4>(4, 1);
    for at in 0..SIZE {
        let mut flash = flash.clone();
        flash.dead = at..at + 1;
        let before = flash.bytes.clone();
        let found = opened(&mut flash, 0..4 * SIZE as u32).map(|store| store.len());
        // Behind the header, damage is what an interrupted write leaves.
        if at < 24 {
            assert_eq!(found, Err(FlashError::Log(LogError::Corrupt)), "{at}");
            assert_eq!(flash.bytes, before);
            assert!(!check(flash, &map));
        } else {
            assert!(found.is_ok() || flash.bytes == before, "{at}: {found:?}");
        }
    }
}

fn is_foreign<const W: usize>(mut flash: Bus<W>, region: Range<u32>) {
    let before = flash.bytes.clone();
    let error = opened(&mut flash, region).err();
    assert_eq!(error, Some(FlashError::Log(LogError::Foreign)));
    assert_eq!(
        error.map(|error| error.kind()),
        Some(RecordsErrorKind::Version)
    );
    assert_eq!(flash.bytes, before);
}

fn with_other_words<const W: usize, const V: usize>() {
    for rounds in [1, 20] {
        let (flash, _) = committed::<W>(5, rounds);
        is_foreign(Bus::<V>::new(flash.bytes), 0..5 * SIZE as u32);
    }
}

#[test]
fn a_log_on_words_of_another_length_is_refused_without_a_change() {
    with_other_words::<4, 8>();
    with_other_words::<4, 16>();
    with_other_words::<8, 4>();
    with_other_words::<8, 16>();
    with_other_words::<16, 4>();
    with_other_words::<16, 8>();
}

#[test]
fn a_log_that_stood_at_another_place_is_refused_without_a_change() {
    for rounds in [0, 1, 20] {
        let (flash, _) = committed::<4>(4, rounds);
        let moved = [alloc::vec![0xFF; SIZE], flash.bytes.clone()].concat();
        is_foreign(Bus::<4>::new(moved), 0..5 * SIZE as u32);
        let (flash, _) = committed::<4>(5, rounds);
        if rounds > 1 {
            is_foreign(flash, SIZE as u32..5 * SIZE as u32);
        }
    }
}

#[test]
fn a_first_opening_that_was_cut_is_made_again() {
    let blank = Bus::<4>::blank(4);
    let mut whole = blank.clone();
    opened(&mut whole, 0..4 * SIZE as u32).unwrap();
    // The page is erased, and each word of its header and its first mark may be what cannot be read.
    for end in 0..7 {
        let mut flash = blank.clone();
        flash.bytes[..end * 4].copy_from_slice(&whole.bytes[..end * 4]);
        for from in 0..end * 4 {
            let mut flash = flash.clone();
            flash.dead = from..end * 4;
            assert_eq!(
                opened(&mut flash, 0..4 * SIZE as u32).map(|store| store.len()),
                Ok(0)
            );
            assert!(flash.changes > 0);
        }
    }
    // The erasure was cut, and all of the page cannot be read.
    let mut flash = blank;
    flash.dead = 0..SIZE;
    assert_eq!(
        opened(&mut flash, 0..4 * SIZE as u32).map(|store| store.len()),
        Ok(0)
    );
}
