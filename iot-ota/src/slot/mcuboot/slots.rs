//! The two slots of a device with MCUboot, on flash.

use embedded_storage::nor_flash::NorFlash;

use super::{Align, Flag, Swap, Trailer, next_swap};

/// The ends of MCUboot's slots, as a firmware reads and writes them.
///
/// The firmware writes the image, which `imgtool` has signed, to the secondary slot, and has erased the whole slot
/// before; then it [requests](Self::request) the swap.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::sim::SimFlash;
/// use iot_core::sim::flash::Mode;
/// use iot_ota::slot::mcuboot::{Align, McubootSlots, Swap};
/// // Two slots of two pages each.
/// let flash = SimFlash::<4, 512>::new(4, Mode::WriteOnce);
/// let mut slots = McubootSlots::new(flash, 1024, 2048, Align::Eight).unwrap();
/// slots.request(Swap::Test)?;
/// assert_eq!(slots.next_swap()?, Swap::Test);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct McubootSlots<F> {
    pub(super) flash: F,
    primary_end: u32,
    secondary_end: u32,
    align: Align,
}

/// Why a trailer was not read or written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum McubootError<E> {
    /// The flash failed.
    #[error("the flash failed")]
    Flash(E),
    /// A field was written before, or its writing was cut short. Nothing was changed: erase the slot and write the
    /// image again.
    #[error("a field of the trailer is not erased: erase the slot first")]
    NotErased,
    /// The image that runs is on trial, and the other slot is its way back. Nothing was changed.
    #[error("the image that runs is on trial: confirm it first, or let MCUboot roll back")]
    OnTrial,
    /// Only a trial or a permanent swap can be asked for. Nothing was changed.
    #[error("MCUboot decides this itself: ask for a trial or for a permanent swap")]
    NotForUs,
}

impl<F: NorFlash> McubootSlots<F> {
    /// Slots that end before these bytes of the flash; `None` when the flash writes more at once than a field has, or a
    /// slot ends before a trailer has room.
    pub fn new(flash: F, primary_end: u32, secondary_end: u32, align: Align) -> Option<Self> {
        let fits = align.bytes().is_multiple_of(F::WRITE_SIZE);
        let room = usize::try_from(primary_end.min(secondary_end));
        let has_room = room.is_ok_and(|room| room >= align.trailer_bytes());
        (fits && has_room).then_some(Self {
            flash,
            primary_end,
            secondary_end,
            align,
        })
    }

    /// What MCUboot will do at the next boot.
    ///
    /// # Errors
    ///
    /// [`McubootError::Flash`].
    pub fn next_swap(&mut self) -> Result<Swap, McubootError<F::Error>> {
        Ok(next_swap(&self.primary()?, &self.secondary()?))
    }

    /// The trailer of the slot that runs.
    ///
    /// # Errors
    ///
    /// [`McubootError::Flash`].
    pub fn primary(&mut self) -> Result<Trailer, McubootError<F::Error>> {
        self.trailer(self.primary_end)
    }

    /// The trailer of the other slot.
    ///
    /// # Errors
    ///
    /// [`McubootError::Flash`].
    pub fn secondary(&mut self) -> Result<Trailer, McubootError<F::Error>> {
        self.trailer(self.secondary_end)
    }

    /// Asks for a swap at the next boot: a trial, or for good. What is asked for already stays.
    ///
    /// Cut short it asks for nothing: the magic, which makes a trailer count, is written last. While an image is on
    /// trial nothing is asked for: it would become what one rolls back to, without ever being confirmed.
    ///
    /// # Errors
    ///
    /// [`McubootError`]; after [`McubootError::Flash`] the swap is asked for or not.
    pub fn request(&mut self, swap: Swap) -> Result<(), McubootError<F::Error>> {
        let wanted = Trailer::request(swap);
        if wanted == Trailer::ERASED {
            return Err(McubootError::NotForUs);
        }
        let found = self.secondary()?;
        if found == wanted {
            return Ok(());
        }
        if next_swap(&self.primary()?, &found) == Swap::Revert {
            return Err(McubootError::OnTrial);
        }
        if found != Trailer::ERASED {
            return Err(McubootError::NotErased);
        }
        let mut bytes = [0; Trailer::MAX_BYTES];
        let bytes = wanted.encode(self.align, &mut bytes);
        let fields = bytes.chunks(self.align.bytes()).enumerate();
        let start = self.secondary_end.saturating_sub(length(bytes));
        for (number, field) in fields {
            // What is erased stays so: MCUboot will write there.
            if field.iter().any(|byte| *byte != 0xff) {
                let at = number.saturating_mul(self.align.bytes());
                let at = start.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
                self.flash.write(at, field).map_err(McubootError::Flash)?;
            }
        }
        Ok(())
    }

    /// Confirms the image that runs: MCUboot does not swap it back. Without a trial nothing happens.
    ///
    /// A confirmation that was cut short is one, and is no error: MCUboot swaps back only an image whose field is still
    /// erased.
    ///
    /// # Errors
    ///
    /// [`McubootError::Flash`], after which it is confirmed or not.
    pub fn confirm(&mut self) -> Result<(), McubootError<F::Error>> {
        let found = self.primary()?;
        if (found.magic, found.image_ok) != (Flag::Set, Flag::Unset) {
            return Ok(());
        }
        let mut bytes = [0; Trailer::MAX_BYTES];
        let bytes = Trailer::ERASED.confirmed().encode(self.align, &mut bytes);
        let from_end = self.align.magic_bytes() + self.align.bytes();
        let field = bytes.len().checked_sub(from_end);
        let field = field.and_then(|start| bytes.get(start..)?.get(..self.align.bytes()));
        let at = self
            .primary_end
            .saturating_sub(u32::try_from(from_end).unwrap_or(u32::MAX));
        let written = self.flash.write(at, field.unwrap_or(&[]));
        written.map_err(McubootError::Flash)
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    fn trailer(&mut self, end: u32) -> Result<Trailer, McubootError<F::Error>> {
        let mut bytes = [0; Trailer::MAX_BYTES];
        let tail = bytes
            .get_mut(..self.align.trailer_bytes())
            .unwrap_or(&mut []);
        let start = end.saturating_sub(length(tail));
        self.flash.read(start, tail).map_err(McubootError::Flash)?;
        Ok(Trailer::decode(self.align, tail).unwrap_or(Trailer::ERASED))
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
