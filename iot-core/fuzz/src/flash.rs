//! Records on a flash of which any part was changed.

use std::collections::BTreeMap;
use std::convert::Infallible;

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::node::block_on;
use iot_core::port::Records;
use iot_core::storage::log::{Config, LogError};
use iot_core::storage::records::{FlashError, FlashRecords};

use crate::input::Input;

const PAGE: usize = 256;
const PAGES: usize = 4;
const BYTES: usize = PAGE * PAGES;
const WORD: usize = 4;

type Store<'m> = FlashRecords<Memory<'m>, PAGES, 8>;

/// A flash whose words may be written once between erasures.
struct Memory<'m>(&'m mut [u8; BYTES]);

impl ErrorType for Memory<'_> {
    type Error = Infallible;
}

impl ReadNorFlash for Memory<'_> {
    const READ_SIZE: usize = WORD;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        let at = offset as usize;
        assert!(
            at.is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD),
            "a crooked read"
        );
        bytes.copy_from_slice(&self.0[at..at + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

impl NorFlash for Memory<'_> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        assert!(
            (from as usize).is_multiple_of(PAGE) && (to as usize).is_multiple_of(PAGE),
            "a crooked erasure"
        );
        self.0[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        let at = offset as usize;
        assert!(
            at.is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD),
            "a crooked write"
        );
        let place = &mut self.0[at..at + bytes.len()];
        assert!(
            place.iter().all(|&byte| byte == 0xFF),
            "a word was programmed twice"
        );
        place.copy_from_slice(bytes);
        Ok(())
    }
}

/// The input tells how many batches were committed, then what was changed since: places and bytes.
///
/// Opening ends in a store or in an error that names damage, and does so again the next time. What an open store shows is
/// still there after it took another batch, or could not, and was opened again.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut memory = [0xFF; BYTES];
    let mut store = open(&mut memory).expect("an erased flash");
    for batch in 0..input.byte().unwrap_or(0) % 64 {
        commit(&mut store, batch).expect("room");
    }
    while let (Some(low), Some(high), Some(bytes)) = (input.byte(), input.byte(), input.short()) {
        let at = usize::from(u16::from_le_bytes([low, high])) % BYTES;
        for (to, from) in memory[at..].iter_mut().zip(bytes) {
            *to = *from;
        }
    }
    let Ok(mut store) = open(&mut memory) else {
        // Only a page that counted for nothing may have been opened, so the damage is still there.
        assert!(open(&mut memory).is_err(), "damage went away by itself");
        return;
    };
    let mut before = read_all(&mut store);
    let committed = commit(&mut store, 200);
    let after = match open(&mut memory) {
        Ok(mut store) => read_all(&mut store),
        Err(error) => panic!("what was open does not open again: {error:?}"),
    };
    match committed {
        Ok(()) => {
            before.extend([(2, Some(value(200))), (9, Some(vec![200]))]);
            assert_eq!(after, before);
        }
        Err(error) => {
            assert!(
                matches!(
                    error,
                    FlashError::Keys { .. } | FlashError::Log(LogError::Full | LogError::Corrupt)
                ),
                "{error:?}"
            );
            assert_eq!(after, before);
        }
    }
}

fn open(memory: &mut [u8; BYTES]) -> Result<Store<'_>, FlashError<Infallible>> {
    block_on(Store::open(Memory(memory), 0..BYTES as u32, Config::new()))
}

fn value(batch: u8) -> Vec<u8> {
    vec![batch; usize::from(batch % 23)]
}

fn commit(store: &mut Store<'_>, batch: u8) -> Result<(), FlashError<Infallible>> {
    let mut buffer = [0; 128];
    let mut writer = BatchWriter::new(&mut buffer);
    let key = RecordKey::new(u32::from(batch % 3));
    let written = match batch % 7 {
        5 => writer.remove(key),
        _ => writer.put(key, &value(batch)),
    };
    written.expect("it fits");
    writer.put(RecordKey::new(9), &[batch]).expect("it fits");
    block_on(store.commit(&writer.finish()))
}

/// Every value by its key; `None` for one that does not read as it was written.
fn read_all(store: &mut Store<'_>) -> BTreeMap<u32, Option<Vec<u8>>> {
    let (mut all, mut from) = (BTreeMap::new(), Some(RecordKey::new(0)));
    while let Some(key) = from.and_then(|from| block_on(store.next_key(from)).expect("open")) {
        let mut buffer = [0; 4096];
        let value = match block_on(store.read(key, &mut buffer)) {
            Ok(value) => Some(value.expect("a key that is listed").to_vec()),
            Err(FlashError::Log(LogError::Corrupt)) => None,
            Err(error) => panic!("reading {key:?}: {error:?}"),
        };
        all.insert(key.get(), value);
        from = key.offset(1);
    }
    all
}

/// Nothing changed, a torn last word, and a page that lost its header.
pub fn seeds() -> Vec<Vec<u8>> {
    let change = |batches: u8, at: u16, bytes: &[u8]| {
        let len = u8::try_from(bytes.len()).expect("a short change");
        [&[batches][..], &at.to_le_bytes(), &[len], bytes].concat()
    };
    vec![
        vec![40],
        change(3, 32, &[0; 4]),
        change(20, 256, &[0xFF; 24]),
        change(50, 512 + 200, &[0; 40]),
    ]
}

#[test]
fn the_seeds_open_or_are_damaged_and_keep_the_claims() {
    seeds().iter().for_each(|seed| run(seed));
    let mut memory = [0xFF; BYTES];
    let mut store = open(&mut memory).unwrap();
    (0..40).for_each(|batch| commit(&mut store, batch).unwrap());
    assert_eq!(read_all(&mut store)[&9], Some(vec![39]));
}
