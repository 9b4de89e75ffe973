//! Twins in one file, durable with every acknowledgement.

mod format;
mod queue;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::task::{Context, Poll, Waker};
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use ::redb::{Database, DatabaseError, ReadableTable};
use futures::channel::oneshot::{self, Receiver};
use futures::future::FutureExt as _;

use self::format::{CHANGES, META, State, TWINS};
use self::queue::{Queue, Refused};
use self::writer::Job;
use super::change::{
    Change, CommitError, Committed, Limits, StoreError, StoreErrorKind, Stored, twice,
};
use super::key::TwinKey;
use super::query::Query;
use super::watch::{Cursor, Event, Watch};
use super::{Page, Store};

/// A [`Store`] in one file, by the embedded database redb.
///
/// Every acknowledgement comes after the change is on the disk (`fsync`). All batches that wait share one commit:
/// so the more clients there are, the less each costs. Reading and writing block two threads of the store's own,
/// and no caller; dropping the store ends both. One process at a time may have the file open.
///
/// ```
/// use iot_twin::registry::{Redb, Registry};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("fleet.redb");
/// let registry = Registry::open(Redb::open(path)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Redb {
    shared: Arc<Shared>,
    limits: Limits,
    threads: Vec<JoinHandle<()>>,
}

/// What a store in a file keeps and takes, unless stated otherwise: batches of 1,024, two past records of each twin,
/// the last 1,048,576 changes.
const LIMITS: Limits = Limits::new(1_024, 2, 1 << 20);

/// Why a store in a file did not do what it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RedbError {
    /// Too many calls wait already.
    #[error("too many calls wait for the file: try again")]
    Busy,
    /// The store was dropped meanwhile, or takes no more changes because its file is damaged.
    #[error("the store was closed: open it again, and restore an undamaged copy if that fails")]
    Closed,
    /// Another process, or another store of this one, has the file open.
    #[error("the file is open already: close it there")]
    Locked,
    /// The file cannot be read or written; nothing was changed.
    #[error("the file cannot be used: {0}")]
    Io(ErrorKind),
    /// The disk failed during a commit: the change may be there or not.
    #[error(
        "the disk failed while the change was written: read the twin to see whether it was made"
    )]
    InDoubt,
    /// The file is no registry, or damaged, or of a version that this one cannot read.
    #[error("the file is no registry that this version can read: restore an undamaged copy")]
    Corrupt,
}

impl RedbError {
    fn from_any(error: impl Into<::redb::Error>) -> Self {
        match error.into() {
            ::redb::Error::Io(error) if error.kind() == ErrorKind::InvalidData => Self::Corrupt,
            ::redb::Error::Io(error) => Self::Io(error.kind()),
            ::redb::Error::DatabaseAlreadyOpen => Self::Locked,
            ::redb::Error::PreviousIo => Self::Io(ErrorKind::Other),
            ::redb::Error::Corrupted(_)
            | ::redb::Error::UpgradeRequired(_)
            | ::redb::Error::RepairAborted
            | ::redb::Error::TableTypeMismatch { .. }
            | ::redb::Error::TableDoesNotExist(_) => Self::Corrupt,
            _ => Self::Io(ErrorKind::Other),
        }
    }
}

impl StoreError for RedbError {
    fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Busy => StoreErrorKind::Retry,
            Self::Closed | Self::Locked | Self::Io(_) => StoreErrorKind::Unavailable,
            Self::InDoubt => StoreErrorKind::InDoubt,
            Self::Corrupt => StoreErrorKind::Corrupt,
        }
    }
}

impl From<Refused> for RedbError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Busy,
            Refused::Closed => Self::Closed,
        }
    }
}

/// What callers, watchers and both threads share.
struct Shared {
    writes: Queue<Job>,
    reads: Queue<reader::Job>,
    published: Mutex<Published>,
}

/// What is durable, and who waits for more.
struct Published {
    state: State,
    waiting: BTreeMap<u64, Waker>,
    watchers: u64,
    closed: bool,
}

impl Shared {
    fn publish(&self, state: &State) -> Vec<Waker> {
        let mut published = self.published();
        if published.state.head == state.head {
            return Vec::new();
        }
        published.state = state.clone();
        core::mem::take(&mut published.waiting)
            .into_values()
            .collect()
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the reading thread do something; what it found comes through the receiver.
    fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, RedbError> + Send + 'static,
    ) -> Result<Receiver<Result<T, RedbError>>, RedbError> {
        let (reply, answer) = oneshot::channel();
        let job: reader::Job = Box::new(move |database| {
            // Who does not wait any more wants no answer.
            let _ = reply.send(guarded(|| read(database)));
        });
        self.reads.push(job)?;
        Ok(answer)
    }

    fn close(&self) {
        self.writes.close();
        self.reads.close();
        let mut published = self.published();
        published.closed = true;
        let waiting = core::mem::take(&mut published.waiting);
        drop(published);
        waiting.into_values().for_each(Waker::wake);
    }
}

impl Redb {
    /// Opens a file, or makes it: batches of 1,024 changes, two past records of each twin, the last 1,048,576
    /// changes for watchers.
    ///
    /// It blocks until the file is read; after a crash that may be some seconds for a large one.
    ///
    /// # Errors
    ///
    /// [`RedbError`]; the file is as it was.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RedbError> {
        Self::open_with(path, LIMITS)
    }

    /// Opens a file, or makes it, with other limits; those of an earlier opening do not bind this one.
    ///
    /// # Errors
    ///
    /// [`RedbError`]; the file is as it was.
    pub fn open_with(path: impl AsRef<Path>, limits: Limits) -> Result<Self, RedbError> {
        Self::over(|| Database::create(path.as_ref()), limits)
    }

    fn over(
        create: impl FnOnce() -> Result<Database, DatabaseError>,
        limits: Limits,
    ) -> Result<Self, RedbError> {
        let (database, state) = guarded(|| open(create().map_err(RedbError::from_any)?))?;
        let database = Arc::new(database);
        let shared = Arc::new(Shared {
            writes: Queue::new(),
            reads: Queue::new(),
            published: Mutex::new(Published {
                state: state.clone(),
                waiting: BTreeMap::new(),
                watchers: 0,
                closed: false,
            }),
        });
        let limits = Limits::new(limits.batch, limits.history, limits.backlog.max(1));
        let mut store = Self {
            shared: Arc::clone(&shared),
            limits,
            threads: Vec::new(),
        };
        let (own, ours) = (Arc::clone(&database), Arc::clone(&shared));
        store.spawn("registry-write", move || {
            writer::run(&own, &ours, limits, state)
        })?;
        store.spawn("registry-read", move || {
            reader::run(&database, &shared.reads)
        })?;
        Ok(store)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), RedbError> {
        let thread = Builder::new().name(name.into()).spawn(work);
        self.threads
            .push(thread.map_err(|error| RedbError::Io(error.kind()))?);
        Ok(())
    }

    fn check(&self, changes: &[Change]) -> Result<(), CommitError<RedbError>> {
        let limit = self.limits.batch;
        if changes.len() > limit {
            return Err(CommitError::TooMany { limit });
        }
        twice(changes).map_or(Ok(()), |index| Err(CommitError::Twice { index }))
    }

    async fn read_with<T: Send + 'static>(
        shared: Arc<Shared>,
        read: impl FnOnce(&Database) -> Result<T, RedbError> + Send + 'static,
    ) -> Result<T, RedbError> {
        let answer = shared.ask(read)?;
        drop(shared);
        answer.await.map_err(|_| RedbError::Closed)?
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Store for Redb {
    type Error = RedbError;
    type Watch = RedbWatch;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn read(
        &self,
        key: &TwinKey,
    ) -> impl Future<Output = Result<Option<Stored>, RedbError>> + Send {
        let key = key.clone();
        Self::read_with(Arc::clone(&self.shared), move |database| {
            reader::read(database, &key)
        })
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Committed, CommitError<RedbError>> {
        self.check(&changes)?;
        let (reply, answer) = oneshot::channel();
        let pushed = self.shared.writes.push(Job { changes, reply });
        pushed.map_err(|refused| CommitError::Store(refused.into()))?;
        answer
            .await
            .unwrap_or(Err(CommitError::Store(RedbError::InDoubt)))
    }

    fn page(
        &self,
        query: &Query,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Page, RedbError>> + Send {
        let (query, after) = (query.clone(), after.cloned());
        Self::read_with(Arc::clone(&self.shared), move |database| {
            reader::page(database, &query, after.as_ref(), limit)
        })
    }

    fn history(
        &self,
        key: &TwinKey,
    ) -> impl Future<Output = Result<Vec<Stored>, RedbError>> + Send {
        let key = key.clone();
        Self::read_with(Arc::clone(&self.shared), move |database| {
            reader::history(database, &key)
        })
    }

    async fn cursor(&self) -> Result<Cursor, RedbError> {
        let published = self.shared.published();
        Ok(published.state.openings.cursor(published.state.head))
    }

    async fn watch(&self, from: Cursor) -> Result<RedbWatch, RedbError> {
        let mut published = self.shared.published();
        published.watchers += 1;
        let state = &published.state;
        let known = state.openings.knows(from, state.head);
        Ok(RedbWatch {
            shared: Arc::clone(&self.shared),
            place: known.then_some(from.revision().get()),
            id: published.watchers,
            ready: VecDeque::new(),
            asked: None,
        })
    }
}

/// A follower of a [`Redb`].
pub struct RedbWatch {
    shared: Arc<Shared>,
    /// Behind which change; `None` when that is not known.
    place: Option<u64>,
    id: u64,
    ready: VecDeque<Event>,
    asked: Option<Receiver<Result<Option<VecDeque<Event>>, RedbError>>>,
}

impl RedbWatch {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Event, RedbError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.place = Some(event.cursor().revision().get());
                return Poll::Ready(Ok(event));
            }
            if let Some(asked) = &mut self.asked {
                let Poll::Ready(answer) = asked.poll_unpin(context) else {
                    return Poll::Pending;
                };
                self.asked = None;
                match answer {
                    Ok(Ok(Some(events))) => self.ready = events,
                    Ok(Ok(None)) => return Poll::Ready(Ok(self.lost())),
                    Ok(Err(error)) => return Poll::Ready(Err(error)),
                    Err(_) => return Poll::Ready(Err(RedbError::Closed)),
                }
                continue;
            }
            let Some(place) = self.place else {
                return Poll::Ready(Ok(self.lost()));
            };
            let mut published = self.shared.published();
            if published.state.head <= place {
                if published.closed {
                    return Poll::Ready(Err(RedbError::Closed));
                }
                published.waiting.insert(self.id, context.waker().clone());
                return Poll::Pending;
            }
            drop(published);
            match self
                .shared
                .ask(move |database| reader::changes(database, place))
            {
                Ok(asked) => self.asked = Some(asked),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn lost(&mut self) -> Event {
        let published = self.shared.published();
        let resume = published.state.openings.cursor(published.state.head);
        self.place = Some(published.state.head);
        Event::Lost { resume }
    }
}

impl Watch for RedbWatch {
    type Error = RedbError;

    fn next(&mut self) -> impl Future<Output = Result<Event, RedbError>> + Send {
        core::future::poll_fn(|context| self.poll(context))
    }
}

impl Drop for RedbWatch {
    fn drop(&mut self) {
        self.shared.published().waiting.remove(&self.id);
    }
}

impl fmt::Debug for RedbWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbWatch")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// The database panics on some damaged files: that is an error here, and no end of a thread that others wait for.
fn guarded<T>(work: impl FnOnce() -> Result<T, RedbError>) -> Result<T, RedbError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(RedbError::Corrupt))
}

fn open(database: Database) -> Result<(Database, State), RedbError> {
    let mut state = state_of(&database)?.unwrap_or(State {
        head: 0,
        floor: 1,
        ..State::default()
    });
    state.openings.open(state.head);
    begin(&database, &state)?;
    Ok((database, state))
}

/// What a file says of itself; `None` when it is new.
fn state_of(database: &Database) -> Result<Option<State>, RedbError> {
    let transaction = database.begin_read().map_err(RedbError::from_any)?;
    match transaction.open_table(META) {
        Ok(meta) => state_in(&meta),
        Err(::redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(RedbError::from_any(error)),
    }
}

fn state_in(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<State>, RedbError> {
    let found = meta.get(format::STATE).map_err(RedbError::from_any)?;
    match found {
        Some(bytes) => Ok(Some(State::read(bytes.value())?)),
        None => Ok(None),
    }
}

/// Puts the new opening on record, and makes the tables of a new file.
fn begin(database: &Database, state: &State) -> Result<(), RedbError> {
    let transaction = database.begin_write().map_err(RedbError::from_any)?;
    transaction.open_table(TWINS).map_err(RedbError::from_any)?;
    transaction
        .open_table(CHANGES)
        .map_err(RedbError::from_any)?;
    {
        let mut meta = transaction.open_table(META).map_err(RedbError::from_any)?;
        meta.insert(format::STATE, &*state.write())
            .map_err(RedbError::from_any)?;
    }
    transaction.commit().map_err(RedbError::from_any)
}
