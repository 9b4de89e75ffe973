//! What a configuration asks of its driver: records, and nothing else.

use iot_core::engine::{Done, Event, RecordRange, Step};
use iot_core::{Channel, Engine, Instant, Now};

use super::{Config, Ending, Phase, Proof};
use crate::reflect::Twin;

/// How long a driver that could not write is left alone.
const HOLD_MS: u64 = 1_000;

impl<T: Twin + Clone> Config<T> {
    /// All records were shown. A trial that was under way goes on if it may, once it is on record that it has
    /// restarted; otherwise it is over.
    fn begin(&mut self) {
        self.restored = true;
        if !self.tried {
            return;
        }
        match self.terms.restarts.checked_sub(1) {
            Some(left) => {
                self.terms.restarts = left;
                self.phase = Phase::Recording;
            }
            None => self.end(Ending::Restarted),
        }
    }

    const fn must_persist(&self) -> bool {
        match self.phase {
            Phase::Recording | Phase::Confirming | Phase::Reverting => true,
            // The application goes back to what is confirmed meanwhile, also if the storage never works again.
            Phase::Restoring => self.tried,
            _ => false,
        }
    }

    /// Nothing can be written now. A restart that is not on record would not count: then the trial is over.
    fn unwritten(&mut self, now: Now) {
        self.hold_until_ms = now.instant.as_millis().saturating_add(HOLD_MS);
        if self.phase == Phase::Recording && self.tried {
            self.end(Ending::Restarted);
        }
    }

    fn persisted(&mut self) {
        match self.phase {
            Phase::Recording => (self.phase, self.tried) = (Phase::Applying, true),
            Phase::Confirming => {
                self.confirmed = self.trial.clone();
                self.revision = self.revision.saturating_add(1);
                self.ending = Some(Ending::Confirmed);
                self.answered = self.terms.answers;
                (self.phase, self.tried) = (Phase::Steady, false);
            }
            Phase::Restoring => self.tried = false,
            Phase::Reverting => (self.phase, self.tried) = (Phase::Steady, false),
            _ => {}
        }
    }
}

impl<T: Twin + Clone> Engine for Config<T> {
    fn handles(&self, _: Channel) -> bool {
        false
    }

    fn records(&self) -> RecordRange {
        RecordRange::new(self.records, 2)
    }

    fn input(&mut self, _: Now, event: &Event<'_>) {
        match *event {
            Event::Record { key, value } if !self.restored => self.restore(key, value),
            Event::Restored if !self.restored => self.begin(),
            Event::Connected { .. }
                if self.phase == Phase::Proving && self.terms.proof == Proof::Reconnect =>
            {
                self.prove();
            }
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        let now_ms = now.instant.as_millis();
        self.issued = false;
        if !self.restored || now_ms < self.hold_until_ms {
            return Step::Idle;
        }
        if self.deadline_ms.is_some_and(|at| now_ms >= at) {
            self.end(Ending::TimedOut);
        }
        if !self.must_persist() {
            return Step::Idle;
        }
        match self.write(buffer) {
            Some(batch) => {
                self.issued = true;
                Step::Persist(batch)
            }
            None => {
                // The driver may bring a larger buffer.
                self.unwritten(now);
                Step::Idle
            }
        }
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        match (done, core::mem::take(&mut self.issued)) {
            (Done::Persisted, true) => self.persisted(),
            (Done::Failed(_), true) => self.unwritten(now),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let at = if self.must_persist() && self.hold_until_ms > 0 {
            Some(self.hold_until_ms)
        } else {
            self.deadline_ms
        };
        at.map(Instant::from_millis)
    }
}
