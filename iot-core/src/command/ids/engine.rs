use core::time::Duration;

use super::{IdTable, Phase, Slot};
use crate::command::outcome::Outcome;
use crate::engine::{Batch, BatchWriter, Done, Engine, Event, Failure, RecordRange, Step};
use crate::message::Channel;
use crate::time::{Instant, Now, Proof};

/// How long it waits when the storage is full.
const PAUSE: Duration = Duration::from_millis(500);

impl<const IDS: usize, const ID_BYTES: usize> Engine for IdTable<IDS, ID_BYTES> {
    fn handles(&self, _: Channel) -> bool {
        false
    }

    fn records(&self) -> RecordRange {
        self.range()
    }

    fn input(&mut self, _: Now, event: &Event<'_>) {
        match event {
            Event::Record { key, value } if !self.restored => {
                let at = key.get().checked_sub(self.first_record.get());
                let at = at.and_then(|at| usize::try_from(at).ok());
                let place = at.and_then(|at| self.slots.get_mut(at));
                match (place, Slot::decode(Self::COUNT, value)) {
                    (Some(place), Some(slot)) => *place = Some(slot),
                    _ => self.damaged = true,
                }
            }
            Event::Restored => self.restored = true,
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        if !self.restored || self.damaged {
            return Step::Idle;
        }
        if self.doing.is_none() {
            self.expire(now);
            self.persist_after = self.persist_after.filter(|&after| now.instant < after);
            let wants_record = |slot: &Option<Slot<ID_BYTES>>| {
                let phase = slot.as_ref().map(|slot| slot.phase);
                matches!(phase, Some(Phase::Starting | Phase::Ending(_)))
            };
            self.doing = match self.persist_after {
                Some(_) => None,
                None => (self.slots.iter().position(wants_record)).or_else(|| self.leave(now)),
            };
        }
        let Some(at) = self.doing else {
            return Step::Idle;
        };
        // What does not fit the driver's buffer is the same as what the driver failed at.
        let batch = self.batch(at, buffer).map(Step::Persist);
        batch.unwrap_or_else(|| {
            self.done(now, Done::Failed(Failure::Buffer));
            Step::Idle
        })
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        let Some(at) = self.doing.take() else {
            return;
        };
        let Some(place) = self.slots.get_mut(at) else {
            return;
        };
        match (place.as_mut(), done) {
            (Some(slot), Done::Persisted) => match slot.phase {
                Phase::Starting => slot.phase = Phase::Started { resumed: false },
                Phase::Ending(outcome) => slot.phase = Phase::Ended(outcome),
                Phase::Leaving(_) => *place = None,
                _ => {}
            },
            _ => self.persist_after = Some(now.instant + PAUSE),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let mut slots = self.slots.iter().flatten();
        let waits =
            |slot: &Slot<ID_BYTES>| matches!(slot.phase, Phase::Started { .. } | Phase::Ended(_));
        if slots.any(waits) {
            return Some(Instant::ZERO);
        }
        self.persist_after
    }
}

impl<const IDS: usize, const ID_BYTES: usize> IdTable<IDS, ID_BYTES> {
    /// Ends what was not handed out in time.
    fn expire(&mut self, now: Now) {
        for slot in self.slots.iter_mut().flatten() {
            let waits = matches!(
                slot.phase,
                Phase::Starting | Phase::Started { resumed: false }
            );
            if waits && now.wall.reached(slot.expires) == Proof::Yes {
                slot.phase = Phase::Ending(Outcome::Expired);
            }
        }
    }

    /// Chooses a command that is over. From here on it leaves, whatever the clock says next: what a step writes must
    /// stay the same until it is done.
    fn leave(&mut self, now: Now) -> Option<usize> {
        let at = self.over(now).next()?;
        let slot = self.slots.get_mut(at)?.as_mut()?;
        if let Phase::Told(outcome) = slot.phase {
            slot.phase = Phase::Leaving(outcome);
        }
        Some(at)
    }

    fn batch<'b>(&self, at: usize, buffer: &'b mut [u8]) -> Option<Batch<'b>> {
        let slot = self.slots.get(at)?.as_ref()?;
        let key = self.first_record.offset(u32::try_from(at).ok()?)?;
        let mut writer = BatchWriter::new(buffer);
        match slot.phase {
            Phase::Leaving(_) => writer.remove(key).ok()?,
            _ => writer
                .put_with(key, |room: &mut [u8]| slot.encode(Self::COUNT, room))
                .ok()?,
        }
        Some(writer.finish())
    }
}
