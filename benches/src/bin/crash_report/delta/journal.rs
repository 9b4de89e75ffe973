//! Where an in-place patch is: one record, in the first pages of the flash that is patched.

use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::node::block_on;
use iot_core::port::Records;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::{FlashImage, Reading, SimFlashError};
use iot_core::sim::power::KeyHasher;
use iot_core::storage::log::Config;
use iot_core::storage::records::{FlashError, FlashRecords};

use crate::rig::Stopped;

/// Pages of the journal, as few as records need.
pub(crate) const PAGES: usize = 4;
const PLACE: RecordKey = RecordKey::new(1);
const CONFIG: Config = Config::new();
/// More than a saved state has.
pub(crate) const ROOM: usize = 256;

type Store<F> = FlashRecords<F, PAGES, 1>;
type Broken = FlashError<SimFlashError>;

/// Where the memory begins that is patched.
pub(crate) const fn bytes<const E: usize>() -> u32 {
    (PAGES * E) as u32
}

/// What was persisted last.
pub(crate) fn read<const W: usize, const E: usize>(
    flash: &mut SimFlash<W, E>,
) -> Result<Option<Vec<u8>>, Broken> {
    let mut store = block_on(Store::open(flash, 0..bytes::<E>(), CONFIG))?;
    let mut room = [0; ROOM];
    let saved = block_on(store.read(PLACE, &mut room))?;
    Ok(saved.map(<[u8]>::to_vec))
}

/// Persists `saved` in the place of what was there.
pub(crate) fn write<const W: usize, const E: usize>(
    flash: &mut SimFlash<W, E>,
    saved: &[u8],
) -> Result<(), Stopped> {
    let broken = |_| Stopped::Broken("the journal takes nothing");
    let mut store = block_on(Store::open(flash, 0..bytes::<E>(), CONFIG)).map_err(broken)?;
    let mut room = [0; ROOM];
    let mut batch = BatchWriter::new(&mut room);
    let put = batch.put(PLACE, saved);
    put.map_err(|_| Stopped::Broken("the state is longer than a record"))?;
    block_on(store.commit(&batch.finish())).map_err(broken)
}

/// What a boot would find in these pages. It works on a copy: opening may write.
pub(crate) fn look<const W: usize, const E: usize>(
    front: &FlashImage<W, E>,
    reading: Reading,
) -> Option<Vec<u8>> {
    let mut flash = SimFlash::from_image(front.clone());
    flash.set_reading(reading);
    read(&mut flash).ok().flatten()
}

/// Adds what these pages mean to every later boot.
pub(crate) fn add_meaning<const W: usize, const E: usize>(
    front: FlashImage<W, E>,
    key: &mut KeyHasher,
) {
    let mut flash = SimFlash::from_image(front);
    Store::<SimFlash<W, E>>::add_meaning(&mut flash, CONFIG, key);
}
