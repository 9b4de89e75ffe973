//! What the boot loader must know, durably.

use iot_core::crypto::Sha256Digest;

use super::banks::{Bank, Banks, RecordCopy};

mod bytes;

pub use bytes::RECORD_BYTES;
#[cfg(feature = "boot")]
pub(super) use bytes::active_bank;
pub(super) use bytes::decode;

/// An image as its manifest declares it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Release {
    /// The manifest's sequence number: its name, which rises from release to release.
    pub sequence: u64,
    /// The image's SHA-256.
    pub digest: Sha256Digest,
    /// The image's size in bytes.
    pub size: u32,
    /// The manifest's security counter: it never boots where a higher one was confirmed.
    pub counter: u64,
}

impl Release {
    /// Describes an image whose manifest has no security counter, which is the counter 0.
    #[must_use]
    pub const fn new(sequence: u64, digest: Sha256Digest, size: u32) -> Self {
        Self {
            sequence,
            digest,
            size,
            counter: 0,
        }
    }

    /// The same image under that security counter.
    ///
    /// ```
    /// use iot_ota::slot::Release;
    /// let release = Release::new(7, [1; 32], 4_096).with_counter(2);
    /// assert_eq!((release.sequence, release.counter), (7, 2));
    /// ```
    #[must_use]
    pub const fn with_counter(self, counter: u64) -> Self {
        Self { counter, ..self }
    }
}

/// Whether the spare bank is to be booted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BootState {
    /// No: only the confirmed bank boots.
    Confirmed,
    /// The spare holds a verified image to be tried from the next boot on.
    Staged {
        /// That image.
        candidate: Release,
        /// How many boots it has to confirm itself, at least 1.
        trials: u8,
    },
    /// The spare was booted and has yet to confirm itself.
    Trial {
        /// The image on trial.
        candidate: Release,
        /// How many more boots it has.
        left: u8,
    },
}

/// Why an update was undone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RollBackReason {
    /// The new firmware rejected itself.
    #[error("the new firmware failed its self-test")]
    SelfTest,
    /// The new firmware did not confirm itself within its trial boots.
    #[error("the new firmware did not confirm itself in time")]
    Unconfirmed,
    /// The spare bank did not hold the verified image when it was to boot.
    #[error("the image in the spare bank is damaged")]
    Damaged,
    /// The image's security counter is lower than the device's.
    #[error("the image is older than the security counter allows")]
    TooOld,
}

/// How the last update that was staged has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Ended {
    /// The sequence number of that update.
    pub sequence: u64,
    /// How it ended.
    pub how: EndedAs,
}

/// How an update ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EndedAs {
    /// The new firmware runs and is confirmed.
    Confirmed,
    /// The old firmware runs.
    RolledBack(RollBackReason),
}

/// What the boot loader must know, durably.
///
/// ```
/// use iot_ota::slot::{Bank, BootEvent, BootRecord, BootState, Release};
/// let old = Release::new(1, [1; 32], 100);
/// let new = Release::new(2, [2; 32], 100);
/// let record = BootRecord::factory(Bank::A, old)
///     .on(BootEvent::Stage { candidate: new, trials: 1 })?
///     .on(BootEvent::Boot)?;
/// assert_eq!(record.boots(), Bank::B);
/// // Not confirmed in its only trial boot: the old firmware runs again.
/// assert_eq!(record.on(BootEvent::Boot)?.boots(), Bank::A);
/// assert_eq!(record.on(BootEvent::Confirm)?.on(BootEvent::Boot)?.boots(), Bank::B);
/// # Ok::<(), iot_ota::slot::BadTransition>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct BootRecord {
    /// The bank of the confirmed image.
    pub active: Bank,
    /// The confirmed image.
    pub installed: Release,
    /// What is to become of the spare bank.
    pub state: BootState,
    /// How the last staged update ended.
    pub ended: Option<Ended>,
}

/// What happens to a boot record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BootEvent {
    /// The spare bank holds this verified image; it gets so many trial boots, at least 1.
    Stage {
        /// The image.
        candidate: Release,
        /// How many boots it has to confirm itself.
        trials: u8,
    },
    /// The device boots.
    Boot,
    /// The image on trial is well.
    Confirm,
    /// The candidate must not run any more.
    Reject(RollBackReason),
}

/// The record does not allow the event; it stays as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("a boot record that is {state:?} does not allow {event:?}")]
#[non_exhaustive]
pub struct BadTransition {
    /// What the record says.
    pub state: BootState,
    /// What was to happen.
    pub event: BootEvent,
}

impl BootRecord {
    /// The record a device leaves the factory with.
    #[must_use]
    pub const fn factory(active: Bank, installed: Release) -> Self {
        Self {
            active,
            installed,
            state: BootState::Confirmed,
            ended: None,
        }
    }

    /// The record after `event`; it must be made durable before anything else is done.
    ///
    /// # Errors
    ///
    /// [`BadTransition`] for an event that the state does not allow.
    #[expect(
        clippy::result_large_err,
        reason = "a refusal is as long as the record that it takes the place of"
    )]
    pub const fn on(self, event: BootEvent) -> Result<Self, BadTransition> {
        let mut next = self;
        match next.advance(event) {
            true => Ok(next),
            false => Err(BadTransition {
                state: self.state,
                event,
            }),
        }
    }

    /// The same in place, which a boot loader has no room to do otherwise; whether the state allows the event.
    pub(crate) const fn advance(&mut self, event: BootEvent) -> bool {
        use BootState::{Confirmed, Staged, Trial};
        match (&mut self.state, event) {
            (Confirmed | Staged { .. }, BootEvent::Stage { candidate, trials }) => {
                let trials = if trials == 0 { 1 } else { trials };
                self.state = Staged { candidate, trials };
            }
            (Confirmed, BootEvent::Boot) => {}
            (&mut Staged { candidate, trials }, BootEvent::Boot) => {
                let left = trials.saturating_sub(1);
                self.state = Trial { candidate, left };
            }
            (Trial { candidate, left: 0 }, BootEvent::Boot) => {
                let how = EndedAs::RolledBack(RollBackReason::Unconfirmed);
                let sequence = candidate.sequence;
                self.end(sequence, how);
            }
            (Trial { left, .. }, BootEvent::Boot) => *left = left.saturating_sub(1),
            (&mut Trial { candidate, .. }, BootEvent::Confirm) => {
                self.active = self.active.other();
                self.installed = candidate;
                self.end(candidate.sequence, EndedAs::Confirmed);
            }
            (Staged { candidate, .. } | Trial { candidate, .. }, BootEvent::Reject(reason)) => {
                let sequence = candidate.sequence;
                self.end(sequence, EndedAs::RolledBack(reason));
            }
            _ => return false,
        }
        true
    }

    /// The bank that this record has booted.
    #[must_use]
    pub const fn boots(&self) -> Bank {
        match self.state {
            BootState::Trial { .. } => self.active.other(),
            BootState::Confirmed | BootState::Staged { .. } => self.active,
        }
    }

    /// The image that runs when that bank does; `None` for one that was rejected and waits for the reboot.
    pub(crate) fn runs(&self, running: Bank) -> Option<&Release> {
        match &self.state {
            _ if running == self.active => Some(&self.installed),
            BootState::Trial { candidate, .. } => Some(candidate),
            BootState::Confirmed | BootState::Staged { .. } => None,
        }
    }

    // Inlined it would be there three times.
    #[inline(never)]
    const fn end(&mut self, sequence: u64, how: EndedAs) {
        self.state = BootState::Confirmed;
        self.ended = Some(Ended { sequence, how });
    }
}

/// Why a boot record was not stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StoreError<E> {
    /// The memory failed; the record is the old or the new one.
    #[error("the memory for the boot record failed")]
    Banks(E),
    /// The record has been written four thousand million times.
    #[error("the boot record's generations are used up")]
    Worn,
    /// The memory took the record, and does not give it back.
    #[error("the boot record does not read back as it was written: the memory is worn")]
    NotStored,
}

/// Reads the boot record: the newest copy that is whole; `None` when neither is. A copy that cannot be read
/// is passed over when the other one is whole.
///
/// # Errors
///
/// The memory's error, when it may hide the only whole copy.
pub fn load<B: Banks + ?Sized>(banks: &mut B) -> Result<Option<BootRecord>, B::Error> {
    Ok(newest(banks)?.map(|(record, ..)| record))
}

/// Makes `record` durable: after a power cut at any moment, [`load`] gives the old or the new one. It stands in both
/// copies then, so that neither is missed: a confirmation would be taken back with the only copy that knows of it.
///
/// The copy that is valid now is written when the other one was read back. Where only that fails, the record
/// stands in one copy, and is stored all the same; each boot tries it again.
///
/// # Errors
///
/// [`StoreError`]; the record is the old or the new one.
pub fn store<B: Banks + ?Sized>(
    banks: &mut B,
    record: &BootRecord,
) -> Result<(), StoreError<B::Error>> {
    let (generation, copy) = match newest(banks).map_err(StoreError::Banks)? {
        // The copy that is valid now is not touched before the new one stands.
        Some((_, generation, copy)) => (generation, copy.other()),
        None => (0, RecordCopy::First),
    };
    let generation = generation.checked_add(1).ok_or(StoreError::Worn)?;
    let bytes = bytes::encode(record, generation);
    banks
        .write_record(copy, &bytes)
        .map_err(StoreError::Banks)?;
    // A worn copy may take what it never gives back: a trial counted there would never end.
    if read_copy(banks, copy).map_err(StoreError::Banks)? != bytes {
        return Err(StoreError::NotStored);
    }
    write_twin(banks, copy.other(), record, generation);
    Ok(())
}

/// Loads the record for a boot, and ends what a power cut between the two copies has left.
pub(super) fn load_settled<B: Banks + ?Sized>(
    banks: &mut B,
) -> Result<Option<BootRecord>, B::Error> {
    let Some((record, generation, copy)) = newest(banks)? else {
        return Ok(None);
    };
    write_twin(banks, copy.other(), &record, generation);
    Ok(Some(record))
}

/// Writes to a copy what stands in the other one, unless it says the same.
fn write_twin<B: Banks + ?Sized>(
    banks: &mut B,
    copy: RecordCopy,
    record: &BootRecord,
    generation: u32,
) {
    // One that cannot be read may be the newer one, and may be read at the next boot.
    let Ok(found) = read_copy(banks, copy) else {
        return;
    };
    // Apart from the generations, and the version.
    let same = |(found, _)| bytes::encode(&found, 0) == bytes::encode(record, 0);
    if !decode(&found).is_some_and(same) {
        let _ = banks.write_record(copy, &bytes::encode(record, generation));
    }
}

// Inlined it would be there four times.
#[inline(never)]
fn read_copy<B: Banks + ?Sized>(
    banks: &mut B,
    copy: RecordCopy,
) -> Result<[u8; RECORD_BYTES], B::Error> {
    let mut bytes = [0; RECORD_BYTES];
    banks.read_record(copy, &mut bytes)?;
    Ok(bytes)
}

type Found = (BootRecord, u32, RecordCopy);

fn newest<B: Banks + ?Sized>(banks: &mut B) -> Result<Option<Found>, B::Error> {
    let mut found: Option<Found> = None;
    let mut unreadable = None;
    for copy in [RecordCopy::First, RecordCopy::Second] {
        let bytes = match read_copy(banks, copy) {
            Ok(bytes) => bytes,
            Err(error) => {
                unreadable = Some(error);
                continue;
            }
        };
        if let Some((record, generation)) = decode(&bytes)
            && found.is_none_or(|(_, newest, _)| generation > newest)
        {
            found = Some((record, generation, copy));
        }
    }
    match (found, unreadable) {
        (None, Some(error)) => Err(error),
        (found, _) => Ok(found),
    }
}

#[cfg(test)]
mod tests;
