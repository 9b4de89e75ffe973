//! A store that loses power or room at a planned commit, and the driver that suffers it.

use futures::executor::block_on;
use iot_core::engine::{Batch, Done, Engine, Failure, RecordKey, Step};
use iot_core::node;
use iot_core::port::{Records, RecordsError, RecordsErrorKind};
use iot_core::sim::SimEntropy;
use iot_core::storage::fault::{Fault, FaultyRecords};
use iot_core::storage::memory::MemoryRecords;
use iot_core::{Now, Ticket};

use super::tally::Tally;

/// The power has gone.
#[derive(Debug)]
pub(crate) struct Cut;

/// A store with a fault planned some commits ahead.
#[derive(Debug)]
pub(crate) struct Store {
    inner: FaultyRecords<MemoryRecords>,
    fault: Option<Fault>,
}

impl Store {
    pub(crate) fn new(records: MemoryRecords, rng: &mut SimEntropy, calm: bool) -> Self {
        let fault = match rng.below(6) {
            _ if calm => None,
            0 => Some(Fault::CutBefore),
            1 => Some(Fault::CutAfter),
            2 | 3 => Some(Fault::Full),
            _ => None,
        };
        let at = u32::try_from(rng.below(40)).unwrap();
        let (planned, at) = fault.map_or((Fault::Full, u32::MAX), |fault| (fault, at));
        Self {
            inner: FaultyRecords::new(records, planned, at),
            fault,
        }
    }

    /// What survives.
    pub(crate) fn into_records(self) -> MemoryRecords {
        self.inner.into_inner()
    }

    /// The fault that has happened, if it has.
    pub(crate) fn fired(&self) -> Option<Fault> {
        self.fault.filter(|_| self.inner.fired())
    }

    fn commit(&mut self, batch: &Batch<'_>) -> Result<(), RecordsErrorKind> {
        block_on(self.inner.commit(batch)).map_err(|error| error.kind())
    }
}

pub(crate) fn restore(engine: &mut dyn Engine, records: &mut MemoryRecords, now: Now) {
    block_on(node::restore(engine, records, now, &mut [0; 256])).unwrap();
}

/// What a driver has at hand.
pub(crate) struct Driver<'d> {
    pub(crate) store: &'d mut Store,
    pub(crate) rng: &'d mut SimEntropy,
    pub(crate) tally: &'d mut Tally,
    pub(crate) calm: bool,
    /// Only so many steps; the rest comes with the next turn.
    pub(crate) steps: u64,
    /// For some time nothing can be written.
    pub(crate) full: bool,
}

/// Takes steps and says whether the engine is idle: `wrote` sees the batch that was tried, `send` each message.
pub(crate) fn drive(
    engine: &mut dyn Engine,
    now: Now,
    driver: &mut Driver<'_>,
    mut wrote: impl FnMut(&Batch<'_>, bool),
    mut send: impl FnMut(&[u8], &mut SimEntropy, &mut Tally),
) -> Result<bool, Cut> {
    let mut buffer = [0; 1024];
    for _ in 0..driver.steps {
        let step = engine.step(now, &mut buffer);
        if matches!(step, Step::Idle) {
            return Ok(true);
        }
        if !driver.calm && driver.rng.chance(10) {
            // A driver may drop a step and ask again.
            driver.tally.dropped_steps += 1;
            continue;
        }
        let done = match step {
            Step::Persist(_) if driver.full => {
                driver.tally.full_stores += 1;
                Done::Failed(Failure::StorageFull)
            }
            Step::Persist(batch) => match driver.store.commit(&batch) {
                Ok(()) => {
                    wrote(&batch, true);
                    // An effect must not be durable without the end of its command.
                    let with_effect = batch.iter().count() > 2;
                    if !driver.calm && with_effect && driver.rng.chance(50) {
                        return Err(Cut);
                    }
                    if !driver.calm && driver.rng.chance(5) {
                        // Durable, but the driver was dropped before it could say so.
                        driver.tally.written_unheard += 1;
                        continue;
                    }
                    Done::Persisted
                }
                Err(RecordsErrorKind::Full) => {
                    driver.tally.full_stores += 1;
                    Done::Failed(Failure::StorageFull)
                }
                Err(_) => {
                    wrote(&batch, driver.store.fired() == Some(Fault::CutAfter));
                    return Err(Cut);
                }
            },
            Step::Send(_) if !driver.calm && driver.rng.chance(20) => {
                driver.tally.busy_links += 1;
                Done::Failed(Failure::Busy)
            }
            Step::Send(message) => {
                send(message.payload, driver.rng, driver.tally);
                Done::Sent(Ticket::new(0))
            }
            other => panic!("an unexpected step: {other:?}"),
        };
        engine.done(now, done);
        if !driver.calm && driver.rng.chance(2) {
            return Err(Cut);
        }
    }
    Ok(false)
}

/// The value that `batch` writes under `key`.
pub(crate) fn written<'b>(batch: &Batch<'b>, key: RecordKey) -> Option<&'b [u8]> {
    let mut entries = batch.iter().filter(|(found, _)| *found == key);
    entries.next().and_then(|(_, value)| value)
}
