//! The log alone under the explorer: entries come and pages go, in their order.

use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::node::block_on;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::Mode;
use iot_core::sim::power::{KeyHasher, Subject, Violation, WorldCell};
use iot_core::storage::log::{Config, Log};

use crate::engines::IN_USE;

type OnFlash<const W: usize, const E: usize, const P: usize> = Log<SimFlash<W, E>, P>;

/// Batches of one to three entries. Entry `i` of all has key `i`; of each batch its first key is known.
pub(crate) struct Entries<const W: usize, const E: usize, const P: usize> {
    config: Config,
    /// The number of entries in the first so many batches.
    ends: Vec<u32>,
}

#[derive(Clone)]
pub(crate) struct Booted<const W: usize, const E: usize, const P: usize> {
    log: OnFlash<W, E, P>,
    done: u16,
    /// The oldest entry that was seen.
    oldest: u32,
}

const LONGEST: usize = 24;

fn value(entry: u32, buffer: &mut [u8; LONGEST]) -> &[u8] {
    // Some values look like erased flash, some like a guard.
    let byte = [0xFF, 0x00, 0x5A][entry as usize % 3];
    buffer.fill(byte);
    &buffer[..(entry as usize * 5) % LONGEST]
}

impl<const W: usize, const E: usize, const P: usize> Entries<W, E, P> {
    pub(crate) fn new(batches: u16, config: Config) -> Self {
        let sizes = (0..batches).map(|batch| 1 + u32::from(batch % 3));
        let ends = sizes.scan(0, |end, size| {
            *end += size;
            Some(*end)
        });
        Self {
            config,
            ends: core::iter::once(0).chain(ends).collect(),
        }
    }

    /// How many pages the script retires when it runs without a cut.
    pub(crate) fn retirements(&self, mode: Mode) -> u64 {
        crate::entry::erases(self, SimFlash::new(P as u16, mode)).saturating_sub(IN_USE.into())
    }

    /// The first entry and the one after the last; what stands between must be whole and in order.
    fn observe(&self, log: &mut OnFlash<W, E, P>) -> Result<(u32, u32), Violation> {
        let (mut cursor, mut range, mut buffer) = (log.oldest(), None, [0; LONGEST]);
        while let Some(entry) = block_on(log.next(&mut cursor)).map_err(Violation::new)? {
            let key = entry.key().get();
            let (first, next) = range.unwrap_or((key, key));
            if key != next {
                return Err(Violation::new(format!(
                    "entry {key} where {next} should be"
                )));
            }
            let stored = block_on(log.read(&entry, &mut buffer)).map_err(Violation::new)?;
            if stored != value(key, &mut [0; LONGEST]) || entry.value_bytes().is_none() {
                return Err(Violation::new(format!("entry {key} was altered")));
            }
            range = Some((first, next + 1));
        }
        Ok(range.unwrap_or((0, 0)))
    }
}

impl<const W: usize, const E: usize, const P: usize> Subject<W, E> for Entries<W, E, P> {
    /// The fewest and the most batches that may have been appended, and whether all entries may be retired.
    type World = (u16, u16, bool);
    type Session = Booted<W, E, P>;

    fn boot(
        &self,
        flash: SimFlash<W, E>,
        world: &WorldCell<Self::World>,
    ) -> Result<Self::Session, Violation> {
        let log = block_on(OnFlash::open(flash, 0..(P * E) as u32, self.config));
        let mut log = log.map_err(Violation::new)?;
        let (oldest, end) = self.observe(&mut log)?;
        let (lowest, highest, retiring) = world.read(|world| *world);
        // Pages that were given up early hold little: retirements may have taken everything but what is appended.
        let emptied = end == 0 && retiring;
        let reached = |done: &u16| self.ends[usize::from(*done)] == end || emptied;
        let Some(done) = (lowest..=highest).find(reached) else {
            return Err(Violation::new(format!(
                "{lowest} to {highest} batches, found {end} entries"
            )));
        };
        if !self.ends.contains(&oldest) {
            return Err(Violation::new(format!(
                "half a batch was retired: {oldest}"
            )));
        }
        world.update(|world| (world.0, world.1) = (done, done));
        Ok(Booted { log, done, oldest })
    }

    fn choices(&self, session: &Self::Session, _: &Self::World) -> usize {
        usize::from(usize::from(session.done) + 1 < self.ends.len())
    }

    fn step(
        &self,
        _: usize,
        session: &mut Self::Session,
        world: &WorldCell<Self::World>,
    ) -> Result<(), Violation> {
        let next = session.done + 1;
        let mut bytes = [0; 256];
        let mut batch = BatchWriter::new(&mut bytes);
        for entry in self.ends[usize::from(session.done)]..self.ends[usize::from(next)] {
            let put = batch.put(RecordKey::new(entry), value(entry, &mut [0; LONGEST]));
            put.map_err(Violation::new)?;
        }
        let batch = batch.finish();
        world.update(|world| world.1 = next);
        while let Err(error) = block_on(session.log.append(&batch)) {
            if session.log.pages_in_use() < 2 {
                return Err(Violation::new(error));
            }
            world.update(|world| world.2 = true);
            block_on(session.log.retire_oldest()).map_err(Violation::new)?;
        }
        world.update(|world| (world.0, world.2) = (next, false));
        session.done = next;
        Ok(())
    }

    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<W, E> {
        session.log.flash()
    }

    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher) {
        key.word(session.done.into());
        key.word(session.oldest.into());
        session.log.add_session(key);
    }

    fn key(&self, flash: &mut SimFlash<W, E>, _: &Self::World, key: &mut KeyHasher) {
        OnFlash::<W, E, P>::add_meaning(flash, self.config, key);
    }
}
