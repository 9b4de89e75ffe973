//! Where a service keeps its twins: compare-and-set, queries, history, and changes to follow.
//!
//! [`Registry`] is what a service holds; a [`Store`] is where the twins lie: [`Memory`], and with the feature
//! `redb` a file. Whoever writes another store checks it with the suite in `registry::conformance` (feature
//! `conformance`).
//!
//! | promise | how |
//! |---|---|
//! | no update is lost | each change may name the revision that it rests on; otherwise it is a conflict, told as such |
//! | a batch is made as a whole or not at all | one commit; a store that cannot says so in [`Limits::batch`] |
//! | what was acknowledged is durable | as durable as the store: a file after its fsync, memory not at all |
//! | a watcher sees each change once, in order | or is told [`Event::Lost`], and lists the twins again |
//! | a restart opens no needless epoch | what is stored is all that [`TwinService`](crate::TwinService) needs |
//!
//! Nothing is locked while a caller waits: a read, a batch and a page are each made in one piece by the store. All
//! futures are `Send` and bound to no runtime.

mod change;
#[cfg(feature = "conformance")]
pub mod conformance;
mod handle;
mod key;
mod memory;
mod query;
mod record;
#[cfg(feature = "redb")]
mod redb;
mod watch;

use alloc::vec::Vec;
use core::future::Future;

pub use change::{
    Change, CommitError, Committed, Expect, Limits, Revision, StoreError, StoreErrorKind, Stored,
};
pub use handle::{DesireAllError, Registry, SaveError, UpdateError};
pub use key::TwinKey;
pub use memory::{Memory, MemoryWatch, SnapshotError};
pub use query::{Is, Query};
pub use record::{Draft, Half, MAX_LABELS, MAX_RECORD_BYTES, Record, RecordError};
#[cfg(feature = "redb")]
pub use redb::{Redb, RedbError, RedbWatch};
pub use watch::{Cursor, Event, Watch};

/// Some twins of a query, and where to go on.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The twins, in the store's own order.
    pub twins: Vec<(TwinKey, Stored)>,
    /// The key to go on behind; `None` at the end.
    pub next: Option<TwinKey>,
}

impl Page {
    /// Puts one together.
    #[must_use]
    pub const fn new(twins: Vec<(TwinKey, Stored)>, next: Option<TwinKey>) -> Self {
        Self { twins, next }
    }
}

/// A place where twins are stored.
///
/// It numbers all its changes in one row ([`Revision`]). Methods take `&self`, so that any number of callers share
/// one store, and their futures are `Send`. A future that is dropped leaves a read undone; a commit that was
/// dropped is in doubt.
pub trait Store: Send + Sync + 'static {
    /// Its own error; [`StoreError::kind`] says what to do about it.
    type Error: StoreError;
    /// Its followers.
    type Watch: Watch<Error = Self::Error>;

    /// What it takes.
    fn limits(&self) -> Limits;

    /// Reads a twin; `None` when it is not stored.
    ///
    /// # Errors
    ///
    /// The store's error; nothing was changed.
    fn read(
        &self,
        key: &TwinKey,
    ) -> impl Future<Output = Result<Option<Stored>, Self::Error>> + Send;

    /// Makes all these changes or none of them.
    ///
    /// # Errors
    ///
    /// [`CommitError`]; nothing was changed, unless the store's own error is [`StoreErrorKind::InDoubt`].
    fn commit(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<Committed, CommitError<Self::Error>>> + Send;

    /// Reads up to `limit` twins of a query, behind `after` in the store's own order.
    ///
    /// A page may be short or empty and still have a next one, so that no call takes long. A twin that is stored
    /// from the first page to the last is in exactly one of them.
    ///
    /// # Errors
    ///
    /// The store's error; nothing was changed.
    fn page(
        &self,
        query: &Query,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Page, Self::Error>> + Send;

    /// The past records of a twin that are still kept, the newest first; the current one is not among them.
    ///
    /// # Errors
    ///
    /// The store's error; nothing was changed.
    fn history(
        &self,
        key: &TwinKey,
    ) -> impl Future<Output = Result<Vec<Stored>, Self::Error>> + Send;

    /// The place behind the last change that was made.
    ///
    /// # Errors
    ///
    /// The store's error.
    fn cursor(&self) -> impl Future<Output = Result<Cursor, Self::Error>> + Send;

    /// Follows the changes behind a place.
    ///
    /// A place that the store does not know, or that lies too far back, is told with the first event.
    ///
    /// # Errors
    ///
    /// The store's error.
    fn watch(&self, from: Cursor) -> impl Future<Output = Result<Self::Watch, Self::Error>> + Send;
}
