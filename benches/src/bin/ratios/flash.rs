//! The flash log and the records on it against sequential-storage, on the same flash in RAM.
//!
//! The peer has all its caches. Both write and read records of 128 bytes in eight pages of 4 KiB that are full,
//! so that old pages are erased, and values that still count are copied, at their usual rate.

use core::error::Error;
use core::future::ready;
use core::hint::black_box;

use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use iot_benches::{Goal, Ratio};
use iot_core::engine::{Batch, BatchWriter, RecordKey};
use iot_core::node::block_on;
use iot_core::port::Records;
use iot_core::storage::log::{Config, Log, LogError};
use iot_core::storage::records::FlashRecords;
use sequential_storage::cache::key_pointers::ArrayKeyPointers;
use sequential_storage::cache::page_pointers::ArrayPagePointers;
use sequential_storage::cache::page_states::ArrayPageStates;
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::map::{MapConfig, MapStorage};
use sequential_storage::queue::{QueueConfig, QueueStorage};

pub(crate) const BYTES: u32 = 0x8000;
pub(crate) const PAGES: usize = 8;
const PAGE: usize = BYTES as usize / PAGES;
pub(crate) const VALUE: [u8; 128] = [0x5A; 128];
const KEYS: u32 = 16;
/// Records read in one go.
const READS: usize = 64;

/// NOR flash with words of `WORD` bytes.
#[derive(Clone)]
pub(crate) struct Ram<const WORD: usize> {
    bytes: Vec<u8>,
    programmed: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the operation lies outside of the flash")]
pub(crate) struct Outside;

impl NorFlashError for Outside {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::OutOfBounds
    }
}

impl<const WORD: usize> Ram<WORD> {
    pub(crate) fn new() -> Self {
        let bytes = vec![0xFF; PAGE * PAGES];
        Self {
            bytes,
            programmed: 0,
        }
    }

    /// How many bytes were written to it.
    pub(crate) const fn programmed(&self) -> usize {
        self.programmed
    }

    fn part(&mut self, offset: u32, len: usize) -> Result<&mut [u8], Outside> {
        let from = offset as usize;
        self.bytes.get_mut(from..from + len).ok_or(Outside)
    }
}

impl<const WORD: usize> ErrorType for Ram<WORD> {
    type Error = Outside;
}

impl<const WORD: usize> ReadNorFlash for Ram<WORD> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, to: &mut [u8]) -> impl Future<Output = Result<(), Outside>> {
        let from = self.part(offset, to.len());
        ready(from.map(|from| to.copy_from_slice(from)))
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WORD: usize> NorFlash for Ram<WORD> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> impl Future<Output = Result<(), Outside>> {
        let pages = self.part(from, to.saturating_sub(from) as usize);
        ready(pages.map(|pages| pages.fill(0xFF)))
    }

    fn write(&mut self, offset: u32, from: &[u8]) -> impl Future<Output = Result<(), Outside>> {
        self.programmed += from.len();
        let to = self.part(offset, from.len());
        ready(to.map(|to| to.iter_mut().zip(from).for_each(|(to, from)| *to &= from)))
    }
}

impl<const WORD: usize> MultiwriteNorFlash for Ram<WORD> {}

type OurLog<const WORD: usize> = Log<Ram<WORD>, PAGES>;
type OurRecords = FlashRecords<Ram<4>, PAGES, { KEYS as usize }>;
pub(crate) type Queue =
    QueueStorage<Ram<4>, Cache<ArrayPageStates<PAGES>, ArrayPagePointers<PAGES>, Uncached>>;
type Map = MapStorage<
    u32,
    Ram<4>,
    Cache<
        ArrayPageStates<PAGES>,
        ArrayPagePointers<PAGES>,
        ArrayKeyPointers<u32, { KEYS as usize }>,
        u32,
    >,
>;

fn log<const WORD: usize>() -> Result<OurLog<WORD>, LogError<Outside>> {
    block_on(Log::open(Ram::new(), 0..BYTES, Config::new()))
}

pub(crate) fn queue() -> Queue {
    let cache = Cache::new(ArrayPageStates::new(), ArrayPagePointers::new(), Uncached);
    QueueStorage::new(Ram::new(), QueueConfig::new(0..BYTES), cache)
}

fn map() -> Map {
    let keys = ArrayKeyPointers::new();
    let cache = Cache::new(ArrayPageStates::new(), ArrayPagePointers::new(), keys);
    MapStorage::new(Ram::new(), MapConfig::new(0..BYTES), cache)
}

fn with_put<R>(
    key: u32,
    value: &[u8],
    with: impl FnOnce(&Batch<'_>) -> R,
) -> Result<R, Box<dyn Error>> {
    let mut buffer = [0; 256];
    let mut batch = BatchWriter::new(&mut buffer);
    batch.put(RecordKey::new(key), value)?;
    Ok(with(&batch.finish()))
}

fn append<const WORD: usize>(log: &mut OurLog<WORD>, value: &[u8]) -> Result<(), Box<dyn Error>> {
    with_put(7, value, |batch| match block_on(log.append(batch)) {
        Err(LogError::Full) => {
            block_on(log.retire_oldest())?;
            block_on(log.append(batch))
        }
        other => other,
    })?
    .map_err(Into::into)
}

/// One record made durable; when the flash is full the oldest page makes room.
pub(crate) fn log_append() -> Result<Ratio, Box<dyn Error>> {
    let (mut log, mut queue) = (log::<4>()?, queue());
    let ratio = Ratio::of_times(
        "log_append",
        Goal::AtMost(1.0),
        || append(&mut log, black_box(&VALUE)).is_ok(),
        || block_on(queue.push(black_box(&VALUE), true)).is_ok(),
    );
    // Whoever refused was quick about it.
    append(&mut log, &VALUE)?;
    block_on(queue.push(&VALUE, true)).map_err(|error| format!("{error:?}"))?;
    Ok(ratio)
}

fn read_ours(log: &mut OurLog<4>) -> Option<usize> {
    let (mut cursor, mut value, mut bytes) = (log.oldest(), [0; 128], 0);
    for _ in 0..READS {
        let entry = block_on(log.next(&mut cursor)).ok()??;
        bytes += block_on(log.read(&entry, &mut value)).ok()?.len();
    }
    Some(bytes)
}

fn read_peer(queue: &mut Queue) -> Option<usize> {
    block_on(async {
        let (mut entries, mut value, mut bytes) = (queue.iter().await.ok()?, [0; 128], 0);
        for _ in 0..READS {
            bytes += entries.next(&mut value).await.ok()??.len();
        }
        Some(bytes)
    })
}

/// The oldest 64 records found, checked and copied, one after the other.
pub(crate) fn log_read() -> Result<Ratio, Box<dyn Error>> {
    let (mut log, mut queue) = (log::<4>()?, queue());
    for _ in 0..1_000 {
        append(&mut log, &VALUE)?;
        block_on(queue.push(&VALUE, true)).map_err(|error| format!("{error:?}"))?;
    }
    let all = Some(READS * VALUE.len());
    if read_ours(&mut log) != all || read_peer(&mut queue) != all {
        return Err("not all records were read".into());
    }
    Ok(Ratio::of_times(
        "log_read",
        Goal::AtMost(1.0),
        || read_ours(&mut log),
        || read_peer(&mut queue),
    ))
}

fn stores() -> Result<(OurRecords, Map), Box<dyn Error>> {
    let mut records = block_on(OurRecords::open(Ram::new(), 0..BYTES, Config::new()))?;
    let mut map = map();
    for key in (0..KEYS).cycle().take(1_000) {
        with_put(key, &VALUE, |batch| block_on(records.commit(batch)))??;
        store(&mut map, key).ok_or("the peer refused")?;
    }
    Ok((records, map))
}

fn store(map: &mut Map, key: u32) -> Option<()> {
    let mut buffer = [0; 256];
    let value = black_box(&VALUE).as_slice();
    block_on(map.store_item(&mut buffer, &key, &value)).ok()
}

/// A new value for one key of 16 made durable, in turn.
pub(crate) fn record_commit() -> Result<Ratio, Box<dyn Error>> {
    let (mut records, mut map) = stores()?;
    let (mut ours, mut peers) = (0, 0);
    let ratio = Ratio::of_times(
        "record_commit",
        Goal::AtMost(1.0),
        || {
            ours = (ours + 1) % KEYS;
            with_put(ours, black_box(&VALUE), |batch| {
                block_on(records.commit(batch))
            })
            .is_ok_and(|done| done.is_ok())
        },
        || {
            peers = (peers + 1) % KEYS;
            store(&mut map, peers).is_some()
        },
    );
    with_put(0, &VALUE, |batch| block_on(records.commit(batch)))??;
    store(&mut map, 0).ok_or("the peer refused")?;
    Ok(ratio)
}

/// The value of one key of 16 read and checked, in turn.
pub(crate) fn record_read() -> Result<Ratio, Box<dyn Error>> {
    let (mut records, mut map) = stores()?;
    let (mut ours, mut peers) = (0, 0);
    let mut read_ours = || {
        ours = (ours + 1) % KEYS;
        let mut value = [0; 128];
        let value = block_on(records.read(RecordKey::new(ours), &mut value));
        value.ok().flatten().map(|value| value == VALUE)
    };
    let mut read_peer = || {
        peers = (peers + 1) % KEYS;
        let mut buffer = [0; 256];
        let value = block_on(map.fetch_item::<&[u8]>(&mut buffer, &peers));
        value.ok().flatten().map(|value| value == VALUE)
    };
    if read_ours() != Some(true) || read_peer() != Some(true) {
        return Err("a value is not there".into());
    }
    Ok(Ratio::of_times(
        "record_read",
        Goal::AtMost(1.0),
        read_ours,
        read_peer,
    ))
}

/// What a record costs in flash beside its key and value, at the worst length, against what is promised.
pub(crate) fn log_overhead_4() -> Result<Ratio, Box<dyn Error>> {
    overhead::<4>("log_overhead_4", 16)
}

/// The same with words of eight bytes.
pub(crate) fn log_overhead_8() -> Result<Ratio, Box<dyn Error>> {
    overhead::<8>("log_overhead_8", 24)
}

fn overhead<const WORD: usize>(name: &'static str, promised: u32) -> Result<Ratio, Box<dyn Error>> {
    let mut worst = 0;
    for len in 0..=VALUE.len() {
        let mut log = log::<WORD>()?;
        let value = VALUE.get(..len).unwrap_or_default();
        append(&mut log, value)?;
        let before = log.flash().programmed();
        append(&mut log, value)?;
        let key = size_of::<RecordKey>();
        worst = worst.max(log.flash().programmed() - before - key - len);
    }
    let (ours, promised) = (u32::try_from(worst)?.into(), promised.into());
    Ok(Ratio::new(name, ours, promised, "bytes", Goal::AtMost(1.0)))
}
