//! Two banks, one of which always boots.
//!
//! A device runs from one bank while the other, the spare, is filled. A durable [`BootRecord`] says which
//! bank is confirmed and whether the spare is to be tried; the boot loader calls [`boot`], the firmware
//! confirms or rejects itself, and after too many unconfirmed boots the confirmed bank runs again.
//!
//! **What holds after a power cut at any byte**: the record is the old or the new one, and the bank that
//! boots holds a whole image with the digest that was verified. The security counter rises only after the
//! image that needs it was confirmed.

mod banks;
mod boot;
mod crc;
#[cfg(feature = "boot")]
mod flash;
#[cfg(all(feature = "std", unix))]
pub mod linux;
#[cfg(feature = "boot")]
pub mod mcuboot;
mod record;

pub use banks::{Bank, Banks, RecordCopy};
pub(crate) use boot::read_through;
pub use boot::{BootError, boot, raise_counter, running_release};
#[cfg(all(feature = "boot", feature = "sim"))]
pub use flash::FlashMeaning;
#[cfg(feature = "boot")]
pub use flash::{FlashBanks, FlashBanksError, FlashCounter, FlashCounterError, Layout};
pub use record::{
    BadTransition, BootEvent, BootRecord, BootState, Ended, EndedAs, RECORD_BYTES, Release,
    RollBackReason, StoreError, load, store,
};
