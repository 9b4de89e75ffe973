//! The thread that writes: all batches that wait share one commit, and so one fsync.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use ::redb::{Database, Durability, Table};
use futures::channel::oneshot;

use super::format::{CHANGES, Damaged, Logged, META, Row, STATE, State, TWINS};
use super::{RedbError, Shared};
use crate::registry::change::{Change, CommitError, Committed, Limits, Revision};

/// A batch, and who waits for it.
pub(super) struct Job {
    pub(super) changes: Vec<Change>,
    pub(super) reply: oneshot::Sender<Outcome>,
}

pub(super) type Outcome = Result<Committed, CommitError<RedbError>>;

/// Works until the queue is closed.
pub(super) fn run(database: &Database, shared: &Arc<Shared>, limits: Limits, mut state: State) {
    while let Some(jobs) = shared.writes.take() {
        let mut next = state.clone();
        let made = super::guarded(|| Ok(group(database, &jobs, limits, &mut next)));
        let outcomes = match made {
            // The database came to an end in the middle of it: nothing is written on top of that.
            Err(_) => {
                shared.writes.abandon();
                let in_doubt = |_| Err(CommitError::Store(RedbError::InDoubt));
                jobs.iter().map(in_doubt).collect()
            }
            Ok(Ok(outcomes)) => {
                state = next;
                outcomes
            }
            Ok(Err(error)) => {
                // What a commit that failed has left is whatever the file says.
                if error == RedbError::InDoubt
                    && let Ok(Some(found)) = super::state_of(database)
                {
                    state.head = found.head;
                    state.floor = found.floor;
                }
                jobs.iter()
                    .map(|_| Err(CommitError::Store(error)))
                    .collect()
            }
        };
        // Watchers see what is durable, before its writer can act on it.
        let wakers = shared.publish(&state);
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            // Who does not wait any more has left the change in doubt, as was promised.
            let _ = job.reply.send(outcome);
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Makes what can be made of all batches, in one commit.
fn group(
    database: &Database,
    jobs: &[Job],
    limits: Limits,
    state: &mut State,
) -> Result<Vec<Outcome>, RedbError> {
    let mut transaction = database.begin_write().map_err(RedbError::from_any)?;
    transaction.set_durability(Durability::Immediate);
    let before = state.head;
    let mut outcomes = Vec::with_capacity(jobs.len());
    {
        let mut tables = Tables {
            twins: transaction.open_table(TWINS).map_err(RedbError::from_any)?,
            changes: transaction
                .open_table(CHANGES)
                .map_err(RedbError::from_any)?,
            limits,
        };
        for job in jobs {
            outcomes.push(tables.batch(&job.changes, state)?);
        }
        tables.trim(state)?;
        let mut meta = transaction.open_table(META).map_err(RedbError::from_any)?;
        meta.insert(STATE, &*state.write())
            .map_err(RedbError::from_any)?;
    }
    if state.head == before {
        transaction.abort().map_err(RedbError::from_any)?;
    } else {
        transaction.commit().map_err(|_| RedbError::InDoubt)?;
    }
    Ok(outcomes)
}

struct Tables<'t> {
    twins: Table<'t, &'static str, &'static [u8]>,
    changes: Table<'t, u64, &'static [u8]>,
    limits: Limits,
}

impl Tables<'_> {
    /// Makes a batch if every twin in it is as expected.
    fn batch(&mut self, changes: &[Change], state: &mut State) -> Result<Outcome, RedbError> {
        use ::redb::ReadableTable as _;
        let mut rows = Vec::with_capacity(changes.len());
        for (index, change) in (0..).zip(changes) {
            let row = self
                .twins
                .get(change.key.as_str())
                .map_err(RedbError::from_any)?;
            let row = row.map(|row| Row::read(row.value())).transpose()?;
            let found = row.as_ref().map(|row| Revision::new(row.revision));
            if !change.expect.is_met(found) {
                return Ok(Err(CommitError::Conflict { index, found }));
            }
            rows.push(row);
        }
        let first = Revision::new(state.head + 1);
        for (change, row) in changes.iter().zip(rows) {
            state.head += 1;
            self.apply(change, row, state)?;
        }
        Ok(Ok(Committed::new(first, changes.len())))
    }

    fn apply(&mut self, change: &Change, row: Option<Row>, state: &State) -> Result<(), RedbError> {
        let key = change.key.as_str();
        let mut past = Vec::new();
        if let Some(row) = row {
            past = row.past;
            past.push(row.revision);
        }
        let keep = if change.record.is_some() {
            self.limits.history
        } else {
            0
        };
        let surplus = past.len().saturating_sub(keep);
        for revision in past
            .drain(..surplus)
            .filter(|revision| *revision < state.floor)
        {
            self.changes.remove(revision).map_err(RedbError::from_any)?;
        }
        let record = change.record.as_ref().map(crate::registry::Record::as_cbor);
        if record.is_some() {
            let row = Row {
                revision: state.head,
                past,
            };
            self.twins
                .insert(key, &*row.write())
                .map_err(RedbError::from_any)?;
        } else {
            self.twins.remove(key).map_err(RedbError::from_any)?;
        }
        let logged = Logged {
            key,
            at: change.at,
            record,
        };
        self.changes
            .insert(state.head, &*logged.write())
            .map_err(RedbError::from_any)?;
        Ok(())
    }

    /// Gives up the oldest changes, but for those whose record is still some twin's.
    fn trim(&mut self, state: &mut State) -> Result<(), RedbError> {
        use ::redb::ReadableTable as _;
        while state.head.saturating_sub(state.floor) >= self.limits.backlog {
            let oldest = state.floor;
            state.floor += 1;
            let found = self.changes.get(oldest).map_err(RedbError::from_any)?;
            let is_needed = match &found {
                Some(logged) => {
                    let key = Logged::read(logged.value())?.key;
                    let row = self.twins.get(key).map_err(RedbError::from_any)?;
                    match &row {
                        Some(row) => Row::read(row.value())?.names(oldest),
                        None => false,
                    }
                }
                None => false,
            };
            drop(found);
            if !is_needed {
                self.changes.remove(oldest).map_err(RedbError::from_any)?;
            }
        }
        Ok(())
    }
}

impl From<Damaged> for RedbError {
    fn from(_: Damaged) -> Self {
        Self::Corrupt
    }
}
