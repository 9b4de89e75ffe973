//! What an updater makes of what it finds when it starts.

use iot_core::codec::FlatReader;
use iot_core::crypto::Digest;
use iot_core::time::Instant;

use super::{Phase, Updater, payload_of};
use crate::manifest::ManifestKeys;
use crate::slot::{self, Banks, BootEvent, BootRecord, BootState, RollBackReason, raise_counter};
use crate::update::fetch::Fetch;
use crate::update::payload::Payloads;
use crate::update::report::Outcome;

/// So many starts may find an image staged. A driver that is built again without a boot is a start too.
const MAX_STARTS: u8 = 8;

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Updater<'_, B, K, D, P> {
    /// All records are there: what they and the boot record say together.
    pub(super) fn restored(&mut self) {
        self.phase = Phase::Unusable;
        let Ok(Some(record)) = slot::load(&mut self.banks) else {
            return;
        };
        self.adopt(record);
        self.count_start(record);
        // What the records say is now told by the engine, or out of date.
        self.change = self.change.wrapping_add(1);
        let Some((checkpoint, behind)) = self.restored.take() else {
            return;
        };
        if self.still_wants(&checkpoint, &record) {
            let room = self.room.as_ref().get(..behind).unwrap_or(&[]);
            let mut reader = FlatReader::new(room);
            let form = reader.bytes();
            let progress = reader.rest().unwrap_or(&[]);
            let (bytes, start) = (form.len(), room.len() - progress.len() - form.len());
            let payload = payload_of(&checkpoint, form, record.installed);
            let digest = self.trust.digest.clone();
            let download = self
                .payloads
                .open(&payload, digest, &mut self.banks, progress);
            // What cannot be gone on with is begun again: if that fails too, it is told.
            match download {
                Ok(download) => self.fetch = Some(Fetch::new(checkpoint, download)),
                Err(_) => self.pending = Some(checkpoint),
            }
            self.vouched = false;
            // Nothing is on record that somebody has yet to agree to.
            self.consent.agreed = true;
            self.form = start..start + bytes;
        }
    }

    /// Counts the starts that find an image staged: the boot loader could not have it tried. After too many of them
    /// the device keeps what it has, instead of restarting for ever.
    fn count_start(&mut self, record: BootRecord) {
        let (
            BootState::Staged { candidate, .. } | BootState::Trial { candidate, .. },
            Phase::Staged,
        ) = (record.state, self.phase)
        else {
            self.starts = 0;
            return;
        };
        self.starts = self.starts.saturating_add(1);
        if self.starts <= MAX_STARTS {
            return;
        }
        match record.on(BootEvent::Reject(RollBackReason::Unconfirmed)) {
            Ok(record) if slot::store(&mut self.banks, &record).is_ok() => self.adopt(record),
            _ => {
                self.phase = Phase::Unusable;
                self.refuse(Some(candidate.sequence), Outcome::Memory);
            }
        }
    }

    /// Raises the security counter to that of what is confirmed; if that fails, it is tried again at `next`.
    ///
    /// A firmware on trial needs it not, and must not fail for it.
    pub(super) fn raise(&mut self, next: Instant) {
        let confirmed = self.boot.filter(|_| self.phase == Phase::Confirmed);
        let raised = confirmed.is_none_or(|record| raise_counter(&mut self.banks, &record).is_ok());
        self.owed = (!raised).then_some(next);
    }
}
