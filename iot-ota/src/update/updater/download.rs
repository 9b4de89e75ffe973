//! From a release that was taken up to the image that is staged.

use iot_core::crypto::Digest;
use iot_core::engine::{Batch, BatchWriter};
use iot_core::{Instant, Now, Step};

use super::consent::NOWHERE;
use super::{Issued, Updater};
use crate::manifest::ManifestKeys;
use crate::slot::{Banks, BootEvent, BootState, Release};
use crate::update::fetch::{Asking, Course};
use crate::update::payload::{Download, Payload, PayloadError, Payloads, nothing};
use crate::update::report::Outcome;

/// So often a download goes back since the memory failed.
const MAX_REOPENED: u8 = 3;

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Updater<'_, B, K, D, P> {
    /// Begins the download that waits until its record is durable.
    pub(super) fn begin(&mut self) {
        let is_pending = matches!(self.course, Course::Pending);
        if self.change != self.durable || !is_pending || self.consent.waits() {
            return;
        }
        if let Err(error) = self.open(self.form.end) {
            self.give_up(error.outcome());
        }
    }

    /// Opens what the checkpoint names, in the form that stands in the room, with the progress that stands there up to
    /// `behind`.
    #[inline(never)]
    pub(super) fn open(&mut self, behind: usize) -> Result<(), PayloadError> {
        let Some(record) = &self.boot else {
            return Err(PayloadError::Banks);
        };
        let room = self.room.as_ref();
        let payload = Payload {
            bytes: self.checkpoint.bytes,
            form: room.get(self.form.clone()).unwrap_or(&[]),
            image: self.checkpoint.release,
            running: record.installed,
        };
        let progress = room.get(self.form.end..behind).unwrap_or(&[]);
        let digest = self.trust.digest.clone();
        let download = self
            .payloads
            .open(&payload, digest, &mut self.banks, progress)?;
        self.course = Course::Fetching(download);
        self.asking = Asking::AT_ONCE;
        Ok(())
    }

    /// The release that is downloaded, or is to be.
    pub(super) const fn fetched(&self) -> Option<&Release> {
        match self.course {
            Course::Nothing | Course::OnRecord { .. } => None,
            Course::Pending | Course::Fetching(_) => Some(&self.checkpoint.release),
        }
    }

    /// How many bytes of the payload are there.
    pub(super) fn received(&self) -> u32 {
        match &self.course {
            Course::Fetching(download) => download.received(),
            _ => 0,
        }
    }

    #[inline(never)]
    pub(super) fn end_fetch(&mut self) {
        self.course = Course::Nothing;
        // The next one is another one, also where this one was.
        self.shown.1 = NOWHERE;
        self.rate = None;
        self.reopened = 0;
        self.consent.forget();
        self.change = self.change.wrapping_add(1);
    }

    /// Ends the download, and says why.
    #[inline(never)]
    pub(super) fn give_up(&mut self, outcome: Outcome) {
        self.end_fetch();
        self.refuse(Some(self.checkpoint.release.sequence), outcome);
    }

    /// Takes the block that was asked for, and no other.
    pub(super) fn block(&mut self, now: Instant, sequence: u64, offset: u32, bytes: &[u8]) {
        let Course::Fetching(download) = &mut self.course else {
            return;
        };
        let block_bytes = self.settings.block_bytes;
        let (wanted, length) = self.checkpoint.wanted(download.received(), block_bytes);
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // A block of another length would leave the bank between two words of flash.
        if self.checkpoint.release.sequence != sequence
            || (offset, count) != (wanted, length)
            || count == 0
        {
            return;
        }
        match download.push(&mut self.banks, offset, bytes) {
            Ok(()) => {
                self.asking = Asking::AT_ONCE;
                if let Some(rate) = &mut self.rate {
                    rate.progress(now, count);
                }
                self.change = self.change.wrapping_add(1);
                if self.is_complete() {
                    // The offer that is waited for comes with the last block.
                    self.asking.asked(now, self.settings.timeout_ms);
                    self.rate = None;
                }
            }
            Err(error) => self.failed(error),
        }
    }

    /// The download did not go on.
    #[inline(never)]
    fn failed(&mut self, error: PayloadError) {
        if error != PayloadError::Banks || !self.reopen() {
            self.give_up(error.outcome());
        }
    }

    fn is_complete(&self) -> bool {
        matches!(&self.course, Course::Fetching(download) if download.received() >= self.checkpoint.bytes)
    }

    /// Goes back to the last page that is whole when one could not be written, and says whether it may go on.
    ///
    /// What is on record counts no byte that this erases.
    fn reopen(&mut self) -> bool {
        if self.reopened == MAX_REOPENED {
            return false;
        }
        self.reopened += 1;
        let form = self.form.end;
        let progress = match (&self.course, self.room.as_mut().get_mut(form..)) {
            (Course::Fetching(download), Some(room)) => download.progress(room),
            _ => None,
        };
        self.change = self.change.wrapping_add(1);
        self.open(form + progress.unwrap_or(0)).is_ok()
    }

    /// Whether all bytes are there, and vouched for.
    pub(super) fn is_whole(&self) -> bool {
        self.vouched && self.is_complete()
    }

    /// When all is there, and the bank is erased behind it, one page each time, the image is staged if it is the right one.
    pub(super) fn complete(&mut self) {
        if !self.is_whole() {
            return;
        }
        let Course::Fetching(download) = &mut self.course else {
            return;
        };
        match download.clear_next(&mut self.banks) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.failed(error),
        }
        let Course::Fetching(download) = core::mem::replace(&mut self.course, Course::Nothing)
        else {
            return;
        };
        self.end_fetch();
        let candidate = self.checkpoint.release;
        let trials = self.settings.trials;
        let staged = match download.finish(&mut self.banks) {
            Err(error) => Err(error.outcome()),
            Ok(()) if self.turn(BootEvent::Stage { candidate, trials }) => Ok(()),
            Ok(()) => Err(Outcome::Memory),
        };
        if let Err(outcome) = staged {
            self.refuse(Some(candidate.sequence), outcome);
        }
    }

    pub(super) fn abort(&mut self, sequence: u64) {
        let is_named = |release: &Release| release.sequence == sequence;
        let state = self.boot.as_ref().map(|record| &record.state);
        if self.fetched().is_some_and(is_named) {
            self.give_up(Outcome::Aborted);
        } else if let Some(BootState::Staged { candidate, .. } | BootState::Trial { candidate, .. }) =
            state
            && is_named(candidate)
        {
            // Its end will be reported; until then nobody need wait for an answer.
            self.refuse(Some(sequence), Outcome::Busy);
        }
    }

    #[inline(never)]
    pub(super) fn persist<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.issued = Some(Issued::Persist {
            change: self.change,
        });
        match self.batch(buffer) {
            Some(batch) => Step::Persist(batch),
            None => self.unfit(now),
        }
    }

    /// What the records should say.
    fn batch<'b>(&self, buffer: &'b mut [u8]) -> Option<Batch<'b>> {
        let mut writer = BatchWriter::new(buffer);
        let first = self.settings.records;
        // What nobody has agreed to must not be fetched after a reboot.
        if self.fetched().is_some() && !self.consent.waits() {
            let form = self.room.as_ref().get(self.form.clone()).unwrap_or(&[]);
            let progress = |out: &mut [u8]| match &self.course {
                Course::Fetching(download) => download.progress(out),
                _ => nothing(out),
            };
            let encode = |out: &mut [u8]| self.checkpoint.encode(form, progress, out);
            writer.put_with(first, encode).ok()?;
        } else {
            writer.remove(first).ok()?;
        }
        if let Some(key) = first.offset(1) {
            writer
                .put_with(key, |out| self.told.encode(self.passed, self.starts, out))
                .ok()?;
        }
        Some(writer.finish())
    }
}
