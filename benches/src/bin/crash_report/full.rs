//! Records on flash that is nearly full: whatever fits or does not, a cut changes nothing about what is promised.
//!
//! Values come and go at will under a few keys, long ones and short ones, until nothing fits; each refusal must come
//! before anything is changed, a removal must always be taken, and no step may erase without end.

use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::node::block_on;
use iot_core::port::Records;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::Mode;
use iot_core::sim::power::{KeyHasher, Subject, Violation, WorldCell};
use iot_core::storage::log::{Config, LogError};
use iot_core::storage::records::{FlashError, FlashRecords};

const KEYS: usize = 3;
type Store<const W: usize, const E: usize, const P: usize> = FlashRecords<SimFlash<W, E>, P, KEYS>;

/// What may be done: a key, and how long its value is to be; 0 stands for a removal.
const MOVES: [(u8, u8); 4] = [(0, 60), (1, 60), (2, 60), (0, 0)];

/// The moves that fill it, are refused, make room, and are taken.
const FILLING: [usize; 5] = [0, 1, 2, 3, 2];

/// What is never refused, however full the flash is: so many bytes in all.
const ALWAYS_FITS: usize = 60;

/// Every way to make so many of these moves.
pub(crate) struct Crowd<const W: usize, const E: usize, const P: usize> {
    tries: u16,
    config: Config,
}

/// How long the value of each key is, and which try put it.
type Content = [(u8, u8); KEYS];

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct World {
    content: Content,
    /// It is that, or this.
    may_be: Content,
    tries: u8,
    /// How often something did not fit.
    pub(crate) refused: u8,
}

fn value(len: u8, tried: u8) -> Vec<u8> {
    vec![tried | 0x80; len.into()]
}

impl<const W: usize, const E: usize, const P: usize> Crowd<W, E, P> {
    pub(crate) const fn new(tries: u16, config: Config) -> Self {
        Self { tries, config }
    }

    /// How many pages are erased, and how much is refused, when it is filled once.
    pub(crate) fn without_cuts(&self, mode: Mode) -> (u64, u8) {
        let world = WorldCell::new(World::default());
        let run = || {
            let mut store = self.boot(SimFlash::new(P as u16, mode), &world)?;
            for choice in FILLING.into_iter().take(self.tries.into()) {
                self.step(choice, &mut store, &world)?;
            }
            Ok::<_, Violation>(store.flash().counters().erases)
        };
        (run().unwrap_or_default(), world.read(|world| world.refused))
    }

    fn observe(store: &mut Store<W, E, P>) -> Result<Content, Violation> {
        let (mut content, mut buffer) = (Content::default(), [0; 160]);
        for (key, place) in (0..).zip(&mut content) {
            let read = block_on(store.read(RecordKey::new(key), &mut buffer));
            if let Some(found) = read.map_err(Violation::new)? {
                let tried = found.first().map_or(0, |byte| byte & 0x7F);
                *place = (found.len() as u8, tried);
                if found != value(place.0, tried) {
                    return Err(Violation::new(format!("key {key} holds {found:?}")));
                }
            }
        }
        Ok(content)
    }
}

fn bytes_of(content: &Content) -> usize {
    content.iter().map(|(len, _)| usize::from(*len)).sum()
}

impl<const W: usize, const E: usize, const P: usize> Subject<W, E> for Crowd<W, E, P> {
    type World = World;
    type Session = Store<W, E, P>;

    fn boot(
        &self,
        flash: SimFlash<W, E>,
        world: &WorldCell<World>,
    ) -> Result<Self::Session, Violation> {
        let mut store =
            block_on(Store::open(flash, 0..(P * E) as u32, self.config)).map_err(Violation::new)?;
        let found = Self::observe(&mut store)?;
        let known = world.read(Clone::clone);
        if found != known.content && found != known.may_be {
            return Err(Violation::new(format!("{known:?}, found {found:?}")));
        }
        world.update(|world| (world.content, world.may_be) = (found, found));
        Ok(store)
    }

    fn choices(&self, _: &Self::Session, world: &World) -> usize {
        if u16::from(world.tries) < self.tries {
            MOVES.len()
        } else {
            0
        }
    }

    fn step(
        &self,
        choice: usize,
        store: &mut Self::Session,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        let (at, len) = MOVES[choice];
        let (at, key) = (usize::from(at), RecordKey::new(at.into()));
        let mut wanted = world.read(|world| world.content);
        let tried = world.update(|world| {
            world.tries += 1;
            world.tries
        });
        let mut bytes = [0; 192];
        let mut batch = BatchWriter::new(&mut bytes);
        let written = if len == 0 {
            wanted[at] = (0, 0);
            batch.remove(key)
        } else {
            wanted[at] = (len, tried);
            batch.put(key, &value(len, tried))
        };
        written.map_err(Violation::new)?;
        world.update(|world| world.may_be = wanted);
        let before = (store.flash().operations(), store.flash().counters().erases);
        let result = block_on(store.commit(&batch.finish()));
        let erases = store.flash().counters().erases - before.1;
        if erases > P as u64 {
            return Err(Violation::new(format!("{erases} erasures for one batch")));
        }
        match result {
            Ok(()) => world.update(|world| world.content = wanted),
            Err(FlashError::Log(LogError::Full)) => {
                if store.flash().operations() != before.0 {
                    return Err(Violation::new("it was refused after something was changed"));
                }
                if len == 0 || bytes_of(&wanted) <= ALWAYS_FITS {
                    return Err(Violation::new(format!("{wanted:?} does not fit")));
                }
                world.update(|world| {
                    world.may_be = world.content;
                    world.refused += 1;
                });
            }
            Err(error) => return Err(Violation::new(error)),
        }
        if Self::observe(store)? != world.read(|world| world.content) {
            return Err(Violation::new(
                "it reads differently from what was committed",
            ));
        }
        Ok(())
    }

    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<W, E> {
        session.flash()
    }

    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher) {
        session.add_session(key);
    }

    fn key(&self, flash: &mut SimFlash<W, E>, _: &World, key: &mut KeyHasher) {
        Store::<W, E, P>::add_meaning(flash, self.config, key);
    }
}
