//! What lies outside the device, shared by everybody who may change it.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::hash::Hash;

use super::key::KeyHasher;

/// The world of a run. Clones share it; cuts that are told after a change carry the changed world.
///
/// ```
/// use iot_core::sim::power::WorldCell;
/// let world = WorldCell::new((0u8, 0u8));
/// let effect = world.clone();
/// effect.update(|(unlocked, _)| *unlocked += 1);
/// assert_eq!(world.read(|(unlocked, _)| *unlocked), 1);
/// ```
#[derive(Debug)]
pub struct WorldCell<W>(Rc<Shared<W>>);

#[derive(Debug)]
struct Shared<W> {
    world: RefCell<Rc<W>>,
    hash: Cell<u128>,
}

/// A world at one moment, with its hash.
#[derive(Debug)]
pub(super) struct Moment<W> {
    pub(super) world: Rc<W>,
    pub(super) hash: u128,
}

impl<W> Clone for Moment<W> {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            hash: self.hash,
        }
    }
}

impl<W: Clone + Hash> WorldCell<W> {
    /// Begins with `world`.
    pub fn new(world: W) -> Self {
        let hash = Cell::new(hash_of(&world));
        let world = RefCell::new(Rc::new(world));
        Self(Rc::new(Shared { world, hash }))
    }

    /// Looks at the world. [`update`](Self::update) must not be called from within.
    pub fn read<R>(&self, look: impl FnOnce(&W) -> R) -> R {
        look(&self.0.world.borrow())
    }

    /// Changes the world. Neither [`read`](Self::read) nor this must be called from within.
    pub fn update<R>(&self, change: impl FnOnce(&mut W) -> R) -> R {
        let mut world = self.0.world.borrow_mut();
        let world = Rc::make_mut(&mut world);
        let result = change(world);
        self.0.hash.set(hash_of(world));
        result
    }

    pub(super) fn now(&self) -> Moment<W> {
        Moment {
            world: self.0.world.borrow().clone(),
            hash: self.hash(),
        }
    }

    pub(super) fn hash(&self) -> u128 {
        self.0.hash.get()
    }

    pub(super) fn set(&self, moment: &Moment<W>) {
        *self.0.world.borrow_mut() = moment.world.clone();
        self.0.hash.set(moment.hash);
    }
}

impl<W> Clone for WorldCell<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

fn hash_of<W: Hash>(world: &W) -> u128 {
    let mut key = KeyHasher::new();
    world.hash(&mut key);
    key.key()
}
