//! Twins in memory.

mod log;
mod shard;
mod snapshot;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use core::future::{Future, ready};
use core::task::Poll;

use self::log::{Log, Logged};
use self::shard::{SHARDS, Shards};
use super::change::{Change, CommitError, Committed, Limits, Revision, Stored, twice};
use super::key::TwinKey;
use super::query::Query;
use super::watch::{Cursor, Event, Watch};
use super::{Page, Store};

pub use snapshot::SnapshotError;

/// A [`Store`] in memory: for tests, and for services that can afford to begin anew or keep snapshots.
///
/// Nothing in it waits: each future is ready at once. Writers of different twins rarely wait for each other.
///
/// ```
/// use iot_twin::registry::{Memory, Registry};
/// let registry = Registry::open(Memory::new().with_history(8));
/// let copy = Memory::restored(&registry.store().snapshot())?;
/// # Ok::<(), iot_twin::registry::SnapshotError>(())
/// ```
pub struct Memory {
    shards: Shards,
    log: Arc<Log>,
    history: usize,
}

/// The most changes of one batch.
const BATCH: usize = 1_024;
/// How many past records are kept of each twin, unless stated otherwise.
const HISTORY: usize = 2;
/// How many of the last changes a watcher may be behind, unless stated otherwise.
const BACKLOG: usize = 1 << 16;
/// A page looks at so many shards at least before it may end without a twin.
const SHARDS_PER_PAGE: usize = 16;

impl Memory {
    /// An empty store that keeps two past records of each twin and the last 65,536 changes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: Shards::new(),
            log: Arc::new(Log::new(BACKLOG)),
            history: HISTORY,
        }
    }

    /// Keeps so many past records of each twin.
    #[must_use]
    pub const fn with_history(mut self, records: usize) -> Self {
        self.history = records;
        self
    }

    /// Lets a watcher be so many changes behind, at least one.
    #[must_use]
    pub fn with_backlog(self, changes: usize) -> Self {
        self.log.set_room(changes.max(1));
        self
    }

    fn make(&self, mut changes: Vec<Change>) -> Result<Committed, CommitError<Infallible>> {
        if changes.len() > BATCH {
            return Err(CommitError::TooMany { limit: BATCH });
        }
        if let Some(index) = twice(&changes) {
            return Err(CommitError::Twice { index });
        }
        if changes.len() == 1
            && let Some(change) = changes.pop()
        {
            let (appended, replaced) = self.shards.change(change, &self.log, self.history)?;
            drop(replaced);
            return Ok(appended.finish());
        }
        let mut guards = self.shards.lock(&changes);
        for (index, change) in (0..).zip(&changes) {
            let found = guards.revision(&change.key);
            if !change.expect.is_met(found) {
                return Err(CommitError::Conflict { index, found });
            }
        }
        let appended = self.log.append(changes.iter().map(Logged::of));
        let numbers = appended.committed.first.get()..;
        let made = changes.into_iter().zip(numbers.map(Revision::new));
        let replaced: Vec<_> = made
            .map(|(change, revision)| guards.apply(change, revision, self.history))
            .collect();
        drop(guards);
        drop(replaced);
        Ok(appended.finish())
    }

    fn scan(&self, query: &Query, after: Option<&TwinKey>, limit: usize) -> Page {
        let first = after.map_or(0, shard::of);
        let mut page = Page::new(Vec::new(), None);
        for number in first..SHARDS {
            let behind = after.filter(|_| number == first);
            let (found, greatest) = self.shards.matching(number, query, behind);
            for (key, stored) in found {
                if page.twins.len() >= limit.max(1) {
                    page.next = page.twins.last().map(|(key, _)| key.clone());
                    return page;
                }
                page.twins.push((key, stored));
            }
            // Only a key of this part leads on behind it.
            if number + 1 - first >= SHARDS_PER_PAGE && number + 1 < SHARDS && greatest.is_some() {
                page.next = greatest;
                return page;
            }
        }
        page
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

impl Store for Memory {
    type Error = Infallible;
    type Watch = MemoryWatch;

    fn limits(&self) -> Limits {
        Limits::new(BATCH, self.history, self.log.room())
    }

    fn read(
        &self,
        key: &TwinKey,
    ) -> impl Future<Output = Result<Option<Stored>, Infallible>> + Send {
        ready(Ok(self.shards.read(key)))
    }

    fn commit(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<Committed, CommitError<Infallible>>> + Send {
        ready(self.make(changes))
    }

    fn page(
        &self,
        query: &Query,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Page, Infallible>> + Send {
        ready(Ok(self.scan(query, after, limit)))
    }

    fn history(
        &self,
        key: &TwinKey,
    ) -> impl Future<Output = Result<Vec<Stored>, Infallible>> + Send {
        ready(Ok(self.shards.history(key)))
    }

    fn cursor(&self) -> impl Future<Output = Result<Cursor, Infallible>> + Send {
        ready(Ok(self.log.cursor()))
    }

    fn watch(&self, from: Cursor) -> impl Future<Output = Result<MemoryWatch, Infallible>> + Send {
        ready(Ok(MemoryWatch {
            log: Arc::clone(&self.log),
            place: self.log.place(from),
            id: self.log.watcher(),
        }))
    }
}

/// A follower of a [`Memory`].
pub struct MemoryWatch {
    log: Arc<Log>,
    /// Behind which change; `None` when that is not known.
    place: Option<u64>,
    id: u64,
}

impl Watch for MemoryWatch {
    type Error = Infallible;

    fn next(&mut self) -> impl Future<Output = Result<Event, Infallible>> + Send {
        core::future::poll_fn(
            |context| match self.log.next(self.place, self.id, context) {
                Poll::Ready(event) => {
                    self.place = Some(event.cursor().revision().get());
                    Poll::Ready(Ok(event))
                }
                Poll::Pending => Poll::Pending,
            },
        )
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.log.forget(self.id);
    }
}

impl fmt::Debug for MemoryWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWatch")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
