//! The states a power cut may leave, told one by one while the run goes on.

use alloc::rc::Rc;
use core::cell::RefCell;
use core::fmt;

use super::cell::FlashCell;
use super::image::FlashImage;
use super::torn::Torn;

/// Is told every state that a power cut could leave, while the operations that could be cut go on.
///
/// So one uncut run shows every torn outcome of every operation, and nothing is executed twice.
pub trait CrashSink<const WRITE: usize, const ERASE: usize> {
    /// The power could be cut now and leave `crash`.
    ///
    /// The flash that tells it must not be used from within.
    fn crash(&mut self, crash: &Crash<'_, WRITE, ERASE>);
}

/// One state that a power cut could leave. Its image is made only when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Crash<'a, const WRITE: usize, const ERASE: usize> {
    pub(super) base: &'a FlashImage<WRITE, ERASE>,
    pub(super) word: Option<(usize, FlashCell<WRITE>)>,
    pub(super) torn: Torn,
    pub(super) operation: u32,
    pub(super) hash: u128,
    pub(super) units: u32,
}

impl<'a, const WRITE: usize, const ERASE: usize> Crash<'a, WRITE, ERASE> {
    pub(super) const fn of_image(
        image: &'a FlashImage<WRITE, ERASE>,
        torn: Torn,
        operation: u32,
    ) -> Self {
        Self {
            base: image,
            word: None,
            torn,
            operation,
            hash: image.hash(),
            units: image.unstable_units(),
        }
    }

    /// What the operation left.
    #[must_use]
    pub const fn torn(&self) -> Torn {
        self.torn
    }

    /// How many operations were complete before, since the boot.
    #[must_use]
    pub const fn operation(&self) -> u32 {
        self.operation
    }

    /// [`FlashImage::hash`] of the image, without making it.
    #[must_use]
    pub const fn hash(&self) -> u128 {
        self.hash
    }

    /// [`FlashImage::unstable_units`] of the image, without making it.
    #[must_use]
    pub const fn unstable_units(&self) -> u32 {
        self.units
    }

    /// The state itself.
    #[must_use]
    pub fn image(&self) -> FlashImage<WRITE, ERASE> {
        let mut image = self.base.clone();
        if let Some((index, cell)) = self.word {
            image.set(index, cell);
        }
        image
    }
}

/// A sink that a flash and its copies share.
#[derive(Clone)]
pub(super) struct SharedSink<const WRITE: usize, const ERASE: usize>(
    pub(super) Rc<RefCell<dyn CrashSink<WRITE, ERASE>>>,
);

impl<const WRITE: usize, const ERASE: usize> fmt::Debug for SharedSink<WRITE, ERASE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSink")
    }
}
