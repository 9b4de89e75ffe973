//! The thread that reads, each answer from one moment.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Bound;

use ::redb::{Database, ReadableTable};

use super::format::{CHANGES, Logged, META, Row, State, TWINS};
use super::queue::Queue;
use super::{RedbError, state_in};
use crate::registry::Page;
use crate::registry::change::{Revision, Stored};
use crate::registry::key::TwinKey;
use crate::registry::query::Query;
use crate::registry::record::Record;
use crate::registry::watch::Event;

/// Something to be read; it answers by itself.
pub(super) type Job = Box<dyn FnOnce(&Database) + Send>;

/// A page looks at so many twins at most.
const ROWS_PER_PAGE: usize = 4_096;
/// A watcher is told of so many changes at once.
const EVENTS: usize = 256;

/// Works until the queue is closed.
pub(super) fn run(database: &Database, jobs: &Queue<Job>) {
    while let Some(jobs) = jobs.take() {
        for job in jobs {
            job(database);
        }
    }
}

pub(super) fn read(database: &Database, key: &TwinKey) -> Result<Option<Stored>, RedbError> {
    let transaction = database.begin_read().map_err(RedbError::from_any)?;
    let twins = transaction.open_table(TWINS).map_err(RedbError::from_any)?;
    let Some(row) = twins.get(key.as_str()).map_err(RedbError::from_any)? else {
        return Ok(None);
    };
    let changes = transaction
        .open_table(CHANGES)
        .map_err(RedbError::from_any)?;
    stored(&changes, Row::read(row.value())?.revision).map(Some)
}

pub(super) fn history(database: &Database, key: &TwinKey) -> Result<Vec<Stored>, RedbError> {
    let transaction = database.begin_read().map_err(RedbError::from_any)?;
    let twins = transaction.open_table(TWINS).map_err(RedbError::from_any)?;
    let changes = transaction
        .open_table(CHANGES)
        .map_err(RedbError::from_any)?;
    let Some(row) = twins.get(key.as_str()).map_err(RedbError::from_any)? else {
        return Ok(Vec::new());
    };
    let mut past = Vec::new();
    for revision in Row::read(row.value())?.past.into_iter().rev() {
        past.push(stored(&changes, revision)?);
    }
    Ok(past)
}

pub(super) fn page(
    database: &Database,
    query: &Query,
    after: Option<&TwinKey>,
    limit: usize,
) -> Result<Page, RedbError> {
    let transaction = database.begin_read().map_err(RedbError::from_any)?;
    let twins = transaction.open_table(TWINS).map_err(RedbError::from_any)?;
    let changes = transaction
        .open_table(CHANGES)
        .map_err(RedbError::from_any)?;
    // A tenant's twins lie side by side, behind the tenant's name and a slash.
    let prefix = query.tenant().map(|tenant| alloc::format!("{tenant}/"));
    let first = match (after, &prefix) {
        (Some(after), _) => Bound::Excluded(after.as_str()),
        (None, Some(prefix)) => Bound::Included(prefix.as_str()),
        (None, None) => Bound::Unbounded,
    };
    let rows = twins
        .range::<&str>((first, Bound::Unbounded))
        .map_err(RedbError::from_any)?;
    let mut page = Page::new(Vec::new(), None);
    for (looked, entry) in rows.enumerate() {
        let (key, row) = entry.map_err(RedbError::from_any)?;
        if prefix
            .as_ref()
            .is_some_and(|prefix| !key.value().starts_with(prefix))
        {
            break;
        }
        if page.twins.len() >= limit.max(1) {
            page.next = page.twins.last().map(|(key, _)| key.clone());
            break;
        }
        let key: TwinKey = key.value().parse().map_err(|_| RedbError::Corrupt)?;
        let stored = stored(&changes, Row::read(row.value())?.revision)?;
        let is_meant = query.matches(&key, &stored.record);
        if looked + 1 >= ROWS_PER_PAGE {
            page.next = Some(key.clone());
        }
        if is_meant {
            page.twins.push((key, stored));
        }
        if page.next.is_some() {
            break;
        }
    }
    Ok(page)
}

/// The changes behind `place`; `None` when the first of them is gone.
pub(super) fn changes(
    database: &Database,
    place: u64,
) -> Result<Option<VecDeque<Event>>, RedbError> {
    let transaction = database.begin_read().map_err(RedbError::from_any)?;
    let meta = transaction.open_table(META).map_err(RedbError::from_any)?;
    let state: State = state_in(&meta)?.ok_or(RedbError::Corrupt)?;
    if place + 1 < state.floor {
        return Ok(None);
    }
    let table = transaction
        .open_table(CHANGES)
        .map_err(RedbError::from_any)?;
    let mut events = VecDeque::new();
    let found = table.range(place + 1..).map_err(RedbError::from_any)?;
    for entry in found.take(EVENTS) {
        let (revision, change) = entry.map_err(RedbError::from_any)?;
        let logged = Logged::read(change.value())?;
        events.push_back(Event::Changed {
            key: logged.key.parse().map_err(|_| RedbError::Corrupt)?,
            revision: Revision::new(revision.value()),
            at: logged.at,
            record: logged.record.map(Record::trusted),
            cursor: state.openings.cursor(revision.value()),
        });
    }
    Ok(Some(events))
}

/// The record that a change stored.
fn stored(
    changes: &impl ReadableTable<u64, &'static [u8]>,
    revision: u64,
) -> Result<Stored, RedbError> {
    let change = changes.get(revision).map_err(RedbError::from_any)?;
    let change = change.ok_or(RedbError::Corrupt)?;
    let logged = Logged::read(change.value())?;
    let record = Record::trusted(logged.record.ok_or(RedbError::Corrupt)?);
    Ok(Stored::new(Revision::new(revision), logged.at, record))
}
