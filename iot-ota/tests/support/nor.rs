//! NOR flash of which one page may be worn, or cannot be read for a while.
#![allow(dead_code, reason = "each test file uses a part")]

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Erasing fails, and changes nothing.
    Erase,
    /// Erasing is taken, and changes nothing.
    EraseLost,
    /// Programming fails, and changes nothing.
    Write,
    /// Programming is taken, and lost.
    WriteLost,
    /// So many reads fail, then no more.
    Reads(u32),
}

/// Why the flash did not do what it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NorError {
    #[error("the page is worn")]
    Worn,
    #[error("the access is not aligned")]
    NotAligned,
    #[error("the access ends past the flash")]
    OutOfBounds,
    #[error("the power is off")]
    PowerCut,
}

impl NorFlashError for NorError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::Worn | Self::PowerCut => NorFlashErrorKind::Other,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    bytes: Vec<u8>,
    fault: Option<(Range<u32>, Fault)>,
    /// How many operations are done before the fault begins.
    sound: u32,
    /// How many operations the power lasts for.
    power: Option<u32>,
    operations: u32,
    fired: u32,
}

/// A flash that reads `R` bytes at once and writes `W`, in pages of `E` bytes. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Nor<const R: usize, const W: usize, const E: usize>(Rc<RefCell<State>>);

impl<const R: usize, const W: usize, const E: usize> Nor<R, W, E> {
    /// Erased.
    pub(crate) fn new(pages: usize) -> Self {
        let bytes = vec![0xff; pages * E];
        Self(Rc::new(RefCell::new(State {
            bytes,
            ..State::default()
        })))
    }

    /// A flash of its own with the same content, and nothing wrong with it.
    pub(crate) fn copy(&self) -> Self {
        let bytes = self.0.borrow().bytes.clone();
        Self(Rc::new(RefCell::new(State {
            bytes,
            ..State::default()
        })))
    }

    /// From the operation with this number on, counted from 0, this is wrong with these bytes.
    pub(crate) fn fault(&self, at: Range<u32>, fault: Fault, operation: u32) {
        let mut state = self.0.borrow_mut();
        state.fault = Some((at, fault));
        state.sound = operation;
    }

    /// The power lasts for so many more erasures of a page, and calls of `write`.
    pub(crate) fn cut_after(&self, operations: u32) {
        self.0.borrow_mut().power = Some(operations);
    }

    /// Whether the power had failed; if so, it is on again.
    pub(crate) fn restore_power(&self) -> bool {
        let mut state = self.0.borrow_mut();
        let failed = state.power == Some(0);
        if failed {
            state.power = None;
        }
        failed
    }

    /// Everything works from now on.
    pub(crate) fn heal(&self) {
        self.0.borrow_mut().fault = None;
    }

    pub(crate) fn flip(&self, at: u32) {
        self.0.borrow_mut().bytes[at as usize] ^= 1;
    }

    /// How many pages were erased, and calls of `write` made.
    pub(crate) fn operations(&self) -> u32 {
        self.0.borrow().operations
    }

    /// How often the fault made a difference.
    pub(crate) fn fired(&self) -> u32 {
        self.0.borrow().fired
    }

    pub(crate) fn holds(&self, at: u32, bytes: &[u8]) -> bool {
        self.0.borrow().bytes[at as usize..].starts_with(bytes)
    }
}

impl State {
    fn checked(&self, from: u32, bytes: usize, unit: usize) -> Result<Range<usize>, NorError> {
        let start = from as usize;
        if !start.is_multiple_of(unit) || !bytes.is_multiple_of(unit) {
            return Err(NorError::NotAligned);
        }
        if start + bytes > self.bytes.len() {
            return Err(NorError::OutOfBounds);
        }
        Ok(start..start + bytes)
    }

    /// What is wrong there now.
    fn wrong(&self, at: &Range<usize>) -> Option<Fault> {
        let (faulty, fault) = self.fault.clone()?;
        let hit = (faulty.start as usize) < at.end && at.start < faulty.end as usize;
        (hit && self.operations >= self.sound).then_some(fault)
    }

    fn spend(&mut self) -> Result<(), NorError> {
        match &mut self.power {
            Some(0) => return Err(NorError::PowerCut),
            Some(left) => *left -= 1,
            None => {}
        }
        self.operations += 1;
        Ok(())
    }
}

impl<const R: usize, const W: usize, const E: usize> ErrorType for Nor<R, W, E> {
    type Error = NorError;
}

impl<const R: usize, const W: usize, const E: usize> ReadNorFlash for Nor<R, W, E> {
    const READ_SIZE: usize = R;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        let mut state = self.0.borrow_mut();
        let at = state.checked(offset, bytes.len(), R)?;
        if state.power == Some(0) {
            return Err(NorError::PowerCut);
        }
        let wrong = state.wrong(&at);
        if let (Some(Fault::Reads(1..)), Some((_, Fault::Reads(left)))) = (wrong, &mut state.fault)
        {
            *left -= 1;
            state.fired += 1;
            return Err(NorError::Worn);
        }
        bytes.copy_from_slice(&state.bytes[at]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }
}

impl<const R: usize, const W: usize, const E: usize> NorFlash for Nor<R, W, E> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = E;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        let mut state = self.0.borrow_mut();
        let range = state.checked(from, (to - from) as usize, E)?;
        for start in range.step_by(E) {
            let page = start..start + E;
            let wrong = state.wrong(&page);
            state.spend()?;
            match wrong {
                Some(Fault::Erase) => {
                    state.fired += 1;
                    return Err(NorError::Worn);
                }
                Some(Fault::EraseLost) => state.fired += 1,
                _ => state.bytes[page].fill(0xff),
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        let mut state = self.0.borrow_mut();
        let at = state.checked(offset, bytes.len(), W)?;
        let wrong = state.wrong(&at);
        state.spend()?;
        match wrong {
            Some(Fault::Write) => {
                state.fired += 1;
                return Err(NorError::Worn);
            }
            Some(Fault::WriteLost) => state.fired += 1,
            _ => {
                for (to, from) in state.bytes[at].iter_mut().zip(bytes) {
                    *to &= *from;
                }
            }
        }
        Ok(())
    }
}
