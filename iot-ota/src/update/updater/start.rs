//! What an updater makes of what it finds when it starts.

use iot_core::codec::FlatReader;
use iot_core::crypto::Digest;
use iot_core::time::Instant;

use super::{Phase, Updater};
use crate::alarm::NEVER;
use crate::manifest::ManifestKeys;
use crate::slot::{self, Banks, BootEvent, BootState, RollBackReason, raise_counter};
use crate::update::fetch::Course;
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
        self.count_start();
        // What the records say is now told by the engine, or out of date.
        self.change = self.change.wrapping_add(1);
        let Course::OnRecord { behind } = self.course else {
            return;
        };
        if !self.still_wants() {
            self.course = Course::Nothing;
            return;
        }
        let mut reader = FlatReader::new(self.room.as_ref().get(..behind).unwrap_or(&[]));
        let form = reader.bytes().len();
        let start = behind - reader.rest().map_or(0, <[u8]>::len) - form;
        self.form = start..start + form;
        // What cannot be gone on with is begun again: if that fails too, it is told.
        if self.open(behind).is_err() {
            self.course = Course::Pending;
        }
        self.vouched = false;
        // Nothing is on record that somebody has yet to agree to.
        self.consent.agreed = true;
    }

    /// Counts the starts that find an image staged: the boot loader could not have it tried. After too many of them
    /// the device keeps what it has, instead of restarting for ever.
    fn count_start(&mut self) {
        if self.phase != Phase::Staged {
            self.starts = 0;
            return;
        }
        self.starts = self.starts.saturating_add(1);
        if self.starts <= MAX_STARTS {
            return;
        }
        let sequence = match self.boot.as_ref().map(|record| &record.state) {
            Some(BootState::Staged { candidate, .. } | BootState::Trial { candidate, .. }) => {
                candidate.sequence
            }
            _ => return,
        };
        if !self.turn(BootEvent::Reject(RollBackReason::Unconfirmed)) {
            self.phase = Phase::Unusable;
            self.refuse(Some(sequence), Outcome::Memory);
        }
    }

    /// Raises the security counter to that of what is confirmed; if that fails, it is tried again at `next`.
    ///
    /// A firmware on trial needs it not, and must not fail for it.
    pub(super) fn raise(&mut self, next: Instant) {
        let confirmed = self.boot.as_ref();
        let confirmed = confirmed.filter(|_| self.phase == Phase::Confirmed);
        let raised = confirmed.is_none_or(|record| raise_counter(&mut self.banks, record).is_ok());
        self.owed = if raised { NEVER } else { next };
    }
}
