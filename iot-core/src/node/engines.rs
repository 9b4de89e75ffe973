//! Tuples and slices of engines.

use crate::engine::Engine;

/// A fixed set of engines, each reached by its place; implemented for tuples of one to eight `&mut`
/// references and for slices of `&mut dyn Engine`.
pub trait Engines {
    /// How many there are.
    fn count(&self) -> usize;

    /// The engine at `index`; `None` past the end.
    fn at(&mut self, index: usize) -> Option<&mut dyn Engine>;
}

macro_rules! tuple {
    ($count:literal; $($engine:ident $index:tt),+) => {
        impl<$($engine: Engine),+> Engines for ($(&mut $engine,)+) {
            fn count(&self) -> usize {
                $count
            }
            fn at(&mut self, index: usize) -> Option<&mut dyn Engine> {
                match index {
                    $($index => Some(&mut *self.$index),)+
                    _ => None,
                }
            }
        }
    };
}

tuple!(1; A 0);
tuple!(2; A 0, B 1);
tuple!(3; A 0, B 1, C 2);
tuple!(4; A 0, B 1, C 2, D 3);
tuple!(5; A 0, B 1, C 2, D 3, E 4);
tuple!(6; A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(7; A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(8; A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

impl Engines for [&mut dyn Engine] {
    fn count(&self) -> usize {
        self.len()
    }
    fn at(&mut self, index: usize) -> Option<&mut dyn Engine> {
        match self.get_mut(index) {
            Some(engine) => Some(&mut **engine),
            None => None,
        }
    }
}
