//! Records on flash under the explorer: a script of batches that is resumed after each boot.

use alloc::collections::BTreeMap;

use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::node::block_on;
use iot_core::port::Records;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::Mode;
use iot_core::sim::power::{KeyHasher, Subject, Violation, WorldCell};
use iot_core::storage::log::Config;
use iot_core::storage::records::FlashRecords;

use crate::engines::IN_USE;

const KEYS: usize = 8;
pub(crate) type Store<const W: usize, const E: usize, const P: usize> =
    FlashRecords<SimFlash<W, E>, P, KEYS>;
type Content = BTreeMap<u32, Vec<u8>>;

/// Batches of two records each, over four keys, with removals; one counts the batches.
pub(crate) struct Batches<const W: usize, const E: usize, const P: usize> {
    config: Config,
    /// What is there after so many batches.
    expected: Vec<Content>,
}

#[derive(Clone)]
pub(crate) struct Booted<const W: usize, const E: usize, const P: usize> {
    store: Store<W, E, P>,
    done: u16,
}

fn value(batch: u16, buffer: &mut [u8; 16]) -> &[u8] {
    let len = 5 + usize::from(batch % 5);
    for (at, byte) in buffer.iter_mut().enumerate() {
        // Some values look like erased flash.
        *byte = if batch.is_multiple_of(3) {
            0xFF
        } else {
            (batch * 7) as u8 + at as u8
        };
    }
    &buffer[..len]
}

impl<const W: usize, const E: usize, const P: usize> Batches<W, E, P> {
    pub(crate) fn new(batches: u16, config: Config) -> Self {
        let mut expected = vec![Content::new()];
        for batch in 1..=batches {
            let mut content = expected.last().cloned().unwrap_or_default();
            let (key, mut buffer) = (u32::from(batch % 3), [0; 16]);
            if batch % 4 == 3 {
                content.remove(&key);
            } else {
                content.insert(key, value(batch, &mut buffer).to_vec());
            }
            content.insert(9, vec![batch as u8, 0xFF]);
            expected.push(content);
        }
        Self { config, expected }
    }

    /// How many pages the script compacts when it runs without a cut.
    pub(crate) fn compactions(&self, mode: Mode) -> u64 {
        crate::entry::erases(self, SimFlash::new(P as u16, mode)).saturating_sub(IN_USE.into())
    }

    fn observe(&self, store: &mut Store<W, E, P>) -> Result<Content, Violation> {
        let (mut content, mut from, mut buffer) = (Content::new(), RecordKey::new(0), [0; 64]);
        while let Some(key) = block_on(store.next_key(from)).map_err(Violation::new)? {
            let value = block_on(store.read(key, &mut buffer)).map_err(Violation::new)?;
            content.insert(key.get(), value.unwrap_or_default().to_vec());
            from = RecordKey::new(key.get() + 1);
        }
        Ok(content)
    }
}

impl<const W: usize, const E: usize, const P: usize> Subject<W, E> for Batches<W, E, P> {
    /// The fewest and the most batches that may be there.
    type World = (u16, u16);
    type Session = Booted<W, E, P>;

    fn boot(
        &self,
        flash: SimFlash<W, E>,
        world: &WorldCell<Self::World>,
    ) -> Result<Self::Session, Violation> {
        let region = 0..(P * E) as u32;
        let store = block_on(Store::open(flash, region, self.config));
        let mut store = store.map_err(Violation::new)?;
        let content = self.observe(&mut store)?;
        let (lowest, highest) = world.read(|world| *world);
        let Some(done) =
            (lowest..=highest).find(|&done| self.expected[usize::from(done)] == content)
        else {
            return Err(Violation::new(format!(
                "{lowest} to {highest} batches, found {content:?}"
            )));
        };
        world.update(|world| *world = (done, done));
        Ok(Booted { store, done })
    }

    fn choices(&self, session: &Self::Session, _: &Self::World) -> usize {
        usize::from(usize::from(session.done) + 1 < self.expected.len())
    }

    fn step(
        &self,
        _: usize,
        session: &mut Self::Session,
        world: &WorldCell<Self::World>,
    ) -> Result<(), Violation> {
        let next = session.done + 1;
        let (mut space, mut bytes) = ([0; 16], [0; 64]);
        let mut batch = BatchWriter::new(&mut bytes);
        let key = RecordKey::new(u32::from(next % 3));
        let written = if next % 4 == 3 {
            batch.remove(key)
        } else {
            batch.put(key, value(next, &mut space))
        };
        let written = written.and_then(|()| batch.put(RecordKey::new(9), &[next as u8, 0xFF]));
        written.map_err(Violation::new)?;
        world.update(|world| world.1 = next);
        block_on(session.store.commit(&batch.finish())).map_err(Violation::new)?;
        world.update(|world| world.0 = next);
        session.done = next;
        Ok(())
    }

    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<W, E> {
        session.store.flash()
    }

    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher) {
        key.word(session.done.into());
        session.store.add_session(key);
    }

    fn key(&self, flash: &mut SimFlash<W, E>, _: &Self::World, key: &mut KeyHasher) {
        Store::<W, E, P>::add_meaning(flash, self.config, key);
    }
}
