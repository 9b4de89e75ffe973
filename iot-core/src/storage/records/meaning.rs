//! What a flash means to records: the canonical key for the [explorer](crate::sim::power).

use super::{FlashRecords, Index};
use crate::engine::RecordKey;
use crate::node::block_on;
use crate::port::Records as _;
use crate::sim::SimFlash;
use crate::sim::power::KeyHasher;
use crate::storage::log::{Config, Live as _, add_meaning};

/// The longest value that has a say.
const LONGEST: usize = 4096;

impl<const W: usize, const E: usize, const PAGES: usize, const KEYS: usize>
    FlashRecords<SimFlash<W, E>, PAGES, KEYS>
{
    /// Adds what `flash` means to records that fill it: the canonical key of a
    /// [`Subject`](crate::sim::power::Subject) that runs on them.
    ///
    /// Of the records the newest value of each key counts, and in which page it stands.
    pub fn add_meaning(flash: &mut SimFlash<W, E>, config: Config, key: &mut KeyHasher) {
        add_meaning::<Index<KEYS>, W, E, PAGES>(
            flash,
            &Index::new(),
            config,
            key,
            |machine, key| {
                let mut records = FlashRecords { machine };
                let (mut value, mut from) = ([0; LONGEST], RecordKey::new(0));
                while let Ok(Some(next)) = block_on(records.next_key(from)) {
                    let place = records.machine.live.get(next);
                    key.word(
                        u64::from(next.get())
                            | place.map_or(0, |place| u64::from(place.page())) << 32,
                    );
                    match block_on(records.read(next, &mut value)) {
                        Ok(value) => key.bytes(value.unwrap_or_default()),
                        Err(_) => key.word(u64::MAX),
                    }
                    let Some(after) = next.offset(1) else {
                        break;
                    };
                    from = after;
                }
            },
        );
    }

    /// Adds everything that the records know and their flash does not tell.
    pub fn add_session(&self, key: &mut KeyHasher) {
        self.machine.add_session(key);
    }
}
