//! What a boot loader does.

use iot_core::crypto::Digest;

use super::banks::{Bank, Banks};
use super::record::{
    BootEvent, BootRecord, BootState, Release, RollBackReason, StoreError, load_settled, store,
};
use crate::image::digests_equal;

/// Why nothing boots.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BootError<E> {
    /// Neither copy of the boot record is whole.
    #[error("there is no boot record: write the factory record first")]
    NoRecord,
    /// The confirmed image is damaged or below the security counter, and there is no candidate.
    #[error("no bank holds an image that may boot")]
    NothingBoots,
    /// The memory failed.
    #[error("the memory failed")]
    Banks(E),
    /// The boot record's generations are used up.
    #[error("the boot record cannot be written any more")]
    Worn,
    /// The memory for the boot record takes it, and does not give it back.
    #[error("the boot record does not read back as it was written: the memory is worn")]
    NotStored,
}

impl<E> From<StoreError<E>> for BootError<E> {
    fn from(error: StoreError<E>) -> Self {
        match error {
            StoreError::Banks(error) => Self::Banks(error),
            StoreError::Worn => Self::Worn,
            StoreError::NotStored => Self::NotStored,
        }
    }
}

/// Decides which bank to boot, brings its image to where images run, and makes the decision durable before it returns.
///
/// A boot loader calls this once and jumps to the image. An image whose digest is not the verified one, or
/// whose security counter is lower than the banks', is not booted; a candidate is then rolled back, and so is one
/// that cannot be read, or brought to where images run: a worn spare bank must not keep the confirmed firmware from
/// booting. Where that runs from a copy of its bank, the copy is made anew when it is damaged. When the decision
/// cannot be made durable, the confirmed firmware boots.
///
/// A firmware on trial may hang before it can judge itself: a boot loader that is given another bank than
/// [`BootRecord::active`] starts the watchdog before it jumps, and the reset counts as a trial boot.
///
/// # Errors
///
/// [`BootError`]; no bank may be booted. After an error of the memory it may be tried again.
pub fn boot<B: Banks + ?Sized>(
    banks: &mut B,
    digest: &mut impl Digest,
) -> Result<Bank, BootError<B::Error>> {
    banks.settle().map_err(BootError::Banks)?;
    let mut record = load_settled(banks)
        .map_err(BootError::Banks)?
        .ok_or(BootError::NoRecord)?;
    // A boot changes every other state.
    let changed = !matches!(record.state, BootState::Confirmed);
    record.advance(BootEvent::Boot);
    let counter = banks.counter().map_err(BootError::Banks)?;
    if let BootState::Trial { candidate, .. } = record.state {
        let spare = record.active.other();
        let whole = |banks: &mut B, digest: &mut _| {
            holds(banks, spare, &candidate, digest).unwrap_or(false)
        };
        // The decision is stored when the image is where it runs: a power cut on the way there is no trial.
        let reason = if candidate.counter < counter {
            Some(RollBackReason::TooOld)
        } else if !whole(banks, digest)
            || !banks
                .place(spare)
                .is_ok_and(|moved| !moved || whole(banks, digest))
        {
            Some(RollBackReason::Damaged)
        } else {
            None
        };
        if let Some(reason) = reason {
            record.advance(BootEvent::Reject(reason));
        }
    }
    let on_trial = record.boots() != record.active;
    if !on_trial {
        place_active(banks, digest, &record, counter)?;
    }
    if !changed {
        return Ok(record.boots());
    }
    match store(banks, &record) {
        // A trial is counted before it begins: a firmware that hangs at once must not be tried for ever.
        Err(error) if on_trial => match place_active(banks, digest, &record, counter) {
            Ok(()) => Ok(record.active),
            Err(_) => Err(error.into()),
        },
        // The confirmed firmware needs no count.
        _ => Ok(record.boots()),
    }
}

/// Brings the confirmed image to where images run, and says whether it may boot.
fn place_active<B: Banks + ?Sized>(
    banks: &mut B,
    digest: &mut impl Digest,
    record: &BootRecord,
    counter: u64,
) -> Result<(), BootError<B::Error>> {
    banks.place(record.active).map_err(BootError::Banks)?;
    let mut whole = holds(banks, record.active, &record.installed, digest);
    if !matches!(whole, Ok(true)) && banks.renew(record.active).map_err(BootError::Banks)? {
        whole = holds(banks, record.active, &record.installed, digest);
    }
    match whole.map_err(BootError::Banks)? && record.installed.counter >= counter {
        true => Ok(()),
        false => Err(BootError::NothingBoots),
    }
}

/// Raises the security counter to that of the installed image, which is a confirmed one.
///
/// # Errors
///
/// The memory's error; the counter has the old or the new value. Calling it again is safe.
pub fn raise_counter<B: Banks + ?Sized>(
    banks: &mut B,
    record: &BootRecord,
) -> Result<(), B::Error> {
    // A candidate is never asked for: were it rolled back, nothing could boot any more. And a counter is
    // often a row of fuses: it is only touched when it has to rise.
    let counter = record.installed.counter;
    if banks.counter()? < counter {
        banks.raise_counter(counter)?;
    }
    Ok(())
}

/// The image that really runs; `None` for one that was rejected and waits for the reboot.
#[must_use]
pub fn running_release<B: Banks + ?Sized>(banks: &B, record: &BootRecord) -> Option<Release> {
    record.runs(banks.running()).copied()
}

fn holds<B: Banks + ?Sized>(
    banks: &mut B,
    bank: Bank,
    release: &Release,
    digest: &mut impl Digest,
) -> Result<bool, B::Error> {
    if release.size > banks.capacity() {
        return Ok(false);
    }
    let read = read_through(banks, bank, release.size, |bytes| digest.update(bytes));
    // Finished even when the memory failed: the next try must not begin with this one's bytes.
    let found = digest.finish();
    read.map(|()| digests_equal(&found, &release.digest))
}

/// Shows the first `size` bytes of a bank piece by piece.
pub(crate) fn read_through<B: Banks + ?Sized>(
    banks: &mut B,
    bank: Bank,
    size: u32,
    mut show: impl FnMut(&[u8]),
) -> Result<(), B::Error> {
    let mut buffer = [0; 256];
    let mut offset = 0;
    while offset < size {
        let bytes = usize::try_from(size - offset)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(piece) = buffer.get_mut(..bytes) else {
            break;
        };
        banks.read(bank, offset, piece)?;
        show(piece);
        offset = offset.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::MemoryBanks;
    use crate::slot::{Ended, EndedAs, load};
    use crate::testing::{Sha256, sha256};

    const OLD: &[u8] = b"the old firmware";
    const NEW: &[u8] = b"the new firmware, longer";

    fn device() -> (MemoryBanks, Release) {
        // The counters are none of the sequence numbers, so that nothing can be compared with the wrong one.
        let old = Release::new(1, sha256(OLD), 16).with_counter(4);
        let mut banks = MemoryBanks::factory(64, 16, OLD, old);
        let new = Release::new(2, sha256(NEW), 24).with_counter(6);
        banks.write(Bank::B, 0, NEW).unwrap();
        let staged = load(&mut banks)
            .unwrap()
            .unwrap()
            .on(BootEvent::Stage {
                candidate: new,
                trials: 2,
            })
            .unwrap();
        store(&mut banks, &staged).unwrap();
        (banks, new)
    }

    fn ended(banks: &mut MemoryBanks) -> Option<EndedAs> {
        load(banks)
            .unwrap()
            .unwrap()
            .ended
            .map(|Ended { how, .. }| how)
    }

    #[test]
    fn an_image_that_never_confirms_itself_boots_as_often_as_it_may_and_no_more() {
        let (mut banks, _) = device();
        let booted: [_; 4] =
            core::array::from_fn(|_| boot(&mut banks, &mut Sha256::default()).unwrap());
        assert_eq!(booted, [Bank::B, Bank::B, Bank::A, Bank::A]);
        assert_eq!(
            ended(&mut banks),
            Some(EndedAs::RolledBack(RollBackReason::Unconfirmed))
        );
    }

    #[test]
    fn a_damaged_candidate_is_never_booted() {
        let (mut banks, _) = device();
        banks.flip_bit(Bank::B, 23);
        assert_eq!(boot(&mut banks, &mut Sha256::default()), Ok(Bank::A));
        assert_eq!(
            ended(&mut banks),
            Some(EndedAs::RolledBack(RollBackReason::Damaged))
        );
    }

    #[test]
    fn an_unreadable_candidate_is_rolled_back_and_the_confirmed_firmware_boots() {
        let (mut banks, _) = device();
        banks.fail_reads(Bank::B, 0);
        assert_eq!(boot(&mut banks, &mut Sha256::default()), Ok(Bank::A));
        assert_eq!(
            ended(&mut banks),
            Some(EndedAs::RolledBack(RollBackReason::Damaged))
        );
        // Of the active bank the error is the boot loader's: nothing may be concluded from it.
        banks.fail_reads(Bank::A, 0);
        assert_eq!(
            boot(&mut banks, &mut Sha256::default()),
            Err(BootError::Banks(crate::sim::SimError::Unreadable))
        );
    }

    #[test]
    fn a_trial_that_cannot_be_counted_does_not_begin_and_the_confirmed_firmware_boots() {
        let (mut banks, _) = device();
        // The staged record is in the second copy; the trial would be counted in the first.
        banks.fail_record_reads(crate::slot::RecordCopy::First);
        for _ in 0..4 {
            assert_eq!(boot(&mut banks, &mut Sha256::default()), Ok(Bank::A));
        }
    }

    #[test]
    fn a_boot_that_failed_on_a_read_may_be_tried_again_with_the_same_digest() {
        let image = [7; 600];
        let release = Release::new(1, sha256(&image), 600);
        let mut banks = MemoryBanks::factory(1_024, 64, &image, release);
        let mut digest = Sha256::default();
        // The first piece was hashed when the second one fails.
        banks.fail_reads(Bank::A, 512);
        assert_eq!(
            boot(&mut banks, &mut digest),
            Err(BootError::Banks(crate::sim::SimError::Unreadable))
        );
        banks.heal_reads();
        assert_eq!(boot(&mut banks, &mut digest), Ok(Bank::A));
    }

    #[test]
    fn an_image_below_the_security_counter_is_never_booted() {
        let (mut banks, _) = device();
        banks.raise_counter(7).unwrap();
        assert_eq!(
            boot(&mut banks, &mut Sha256::default()),
            Err(BootError::NothingBoots)
        );
        let (mut banks, _) = device();
        boot(&mut banks, &mut Sha256::default()).unwrap();
        banks.raise_counter(5).unwrap();
        for _ in 0..2 {
            // Two boots use up the trial; then the old image would be next, and its counter is too low.
            let _ = boot(&mut banks, &mut Sha256::default());
        }
        assert_eq!(
            boot(&mut banks, &mut Sha256::default()),
            Err(BootError::NothingBoots)
        );
    }

    #[test]
    fn the_counter_rises_only_after_the_confirmation_of_the_image_that_runs() {
        let (mut banks, new) = device();
        banks.reboot(&mut Sha256::default()).unwrap();
        let on_trial = load(&mut banks).unwrap().unwrap();
        raise_counter(&mut banks, &on_trial).unwrap();
        assert_eq!(banks.counter(), Ok(4));
        assert_eq!(running_release(&banks, &on_trial), Some(new));
        let confirmed = on_trial.on(BootEvent::Confirm).unwrap();
        store(&mut banks, &confirmed).unwrap();
        raise_counter(&mut banks, &confirmed).unwrap();
        assert_eq!(banks.counter(), Ok(6));
    }

    #[test]
    fn a_device_without_a_record_boots_nothing() {
        let mut banks = MemoryBanks::empty(64, 16);
        assert_eq!(
            boot(&mut banks, &mut Sha256::default()),
            Err(BootError::NoRecord)
        );
    }
}
