//! What a service holds.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use iot_core::Timestamp;

use super::Store;
use super::change::{Change, CommitError, Expect, Revision, Stored};
use super::key::TwinKey;
use super::query::Query;
use super::record::{Draft, Record, RecordError};
use super::watch::Cursor;
use crate::reflect::Twin;
use crate::sync::{DesireError, StateError, TwinService};

/// How often an update begins again because another writer was faster.
const ATTEMPTS: u32 = 64;
/// How many twins are asked for at once.
const PAGE: usize = 256;

/// A service's twins; copies share one store.
///
/// ```
/// use iot_twin::iot_core::{DeviceId, TenantId, Timestamp};
/// use iot_twin::registry::{Draft, Memory, Registry, TwinKey};
/// use iot_twin::{FieldId, TwinService};
///
/// # futures::executor::block_on(async {
/// let registry = Registry::open(Memory::new());
/// let key = TwinKey::new(TenantId::new("acme")?, DeviceId::new("boiler-7")?);
/// let first = registry.update(&key, Timestamp::from_secs(1), |twin| {
///     let mut draft = twin.unwrap_or_else(|| Draft::of(&TwinService::new()));
///     draft.set_label("site", "north")?;
///     Ok::<_, iot_twin::registry::RecordError>(Some(draft))
/// }).await?;
/// let stored = registry.read(&key).await?.ok_or("stored")?;
/// assert_eq!((Some(stored.revision), stored.record.label("site")), (first, Some("north")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Registry<S> {
    store: Arc<S>,
}

impl<S> Clone for Registry<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
        }
    }
}

/// Why an update was not made.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError<E, F> {
    /// Other writers were faster again and again; nothing was changed.
    #[error("the twin was changed by others {ATTEMPTS} times meanwhile: try again later")]
    Contended,
    /// The edit refused; nothing was changed.
    #[error("{0}")]
    Edit(F),
    /// What is stored, or what would be stored, is no record; nothing was changed.
    #[error("{0}")]
    Record(RecordError),
    /// The store failed; its error says whether something may have been made.
    #[error("{0}")]
    Store(E),
}

/// Why not every twin of a query was changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {error}; {changed} twins were changed before", key.as_ref().map_or("the list of twins", TwinKey::as_str))]
#[non_exhaustive]
pub struct DesireAllError<E> {
    /// The twin that could not be changed; `None` when the next page of them could not be read.
    pub key: Option<TwinKey>,
    /// How many were changed before it.
    pub changed: usize,
    /// Why.
    pub error: UpdateError<E, DesireError>,
}

/// Why a twin was not saved; nothing was changed, unless the store's own error says that it is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError<E> {
    /// Somebody else has changed the twin meanwhile.
    #[error("the twin was changed by others meanwhile: load it again")]
    Conflict,
    /// What is stored, or what would be stored, is no record.
    #[error("{0}")]
    Record(RecordError),
    /// The store failed.
    #[error("{0}")]
    Store(E),
}

impl<S: Store> Registry<S> {
    /// Opens a registry on a store.
    #[must_use]
    pub fn open(store: S) -> Self {
        Self {
            store: Arc::new(store),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Reads a twin; `None` when it is not stored.
    ///
    /// # Errors
    ///
    /// The store's error.
    pub async fn read(&self, key: &TwinKey) -> Result<Option<Stored>, S::Error> {
        self.store.read(key).await
    }

    /// The twin as a service goes on with it after a restart, with the revision that a change of it rests on.
    ///
    /// `twin` brings the schema and the device's address: `TwinService::of::<Room>().for_device(…)`.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] when the store failed or what it holds is damaged.
    pub async fn load(
        &self,
        key: &TwinKey,
        twin: TwinService,
    ) -> Result<(TwinService, Expect), UpdateError<S::Error, StateError>> {
        let stored = self.store.read(key).await.map_err(UpdateError::Store)?;
        match stored {
            Some(stored) => {
                let state = stored.record.state().map_err(UpdateError::Edit)?;
                Ok((twin.restored(&state), Expect::At(stored.revision)))
            }
            None => Ok((twin, Expect::Absent)),
        }
    }

    /// Stores what a twin that was [loaded](Self::load) has become, if nobody else has changed it meanwhile; says
    /// what the next change rests on.
    ///
    /// Labels and groups stay as they are. What has not changed is not stored again. For a twin
    /// [with a store](TwinService::with_store), say that it is [stored](TwinService::stored) afterwards:
    ///
    /// ```
    /// # #[cfg(feature = "derive")] {
    /// # futures::executor::block_on(async {
    /// use iot_twin::iot_core::{DeviceId, TenantId, Timestamp};
    /// use iot_twin::registry::{Memory, Registry, TwinKey};
    /// use iot_twin::{Twin, TwinService};
    ///
    /// #[derive(Twin)]
    /// struct Room {
    ///     #[twin(desired)]
    ///     lit: bool,
    /// }
    ///
    /// let (tenant, device) = (TenantId::new("acme")?, DeviceId::new("boiler-7")?);
    /// let key = TwinKey::new(tenant, device);
    /// let fresh = TwinService::of::<Room>().for_device(tenant, device).with_store();
    /// let registry = Registry::open(Memory::new());
    /// let (mut twin, mut expect) = registry.load(&key, fresh).await?;
    /// twin.set("lit", true)?; // or a message came in
    /// expect = registry.save(&key, expect, &twin, Timestamp::from_secs(1)).await?;
    /// twin.stored(&twin.snapshot()); // now it may be sent
    /// # let _ = expect;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SaveError`]; after a conflict load the twin again and repeat what was edited. What the device said since is
    /// said again, because nobody has acknowledged it.
    pub async fn save(
        &self,
        key: &TwinKey,
        expect: Expect,
        twin: &TwinService,
        at: Timestamp,
    ) -> Result<Expect, SaveError<S::Error>> {
        let found = self.store.read(key).await.map_err(SaveError::Store)?;
        let revision = found.as_ref().map(|stored| stored.revision);
        if !expect.is_met(revision) {
            return Err(SaveError::Conflict);
        }
        let mut draft = match &found {
            Some(stored) => stored.record.edit().map_err(SaveError::Record)?,
            None => Draft::of(twin),
        };
        draft.set_twin(twin);
        let record = draft.finish().map_err(SaveError::Record)?;
        if let Some(stored) = found.filter(|stored| stored.record == record) {
            return Ok(Expect::At(stored.revision));
        }
        let rests = revision.map_or(Expect::Absent, Expect::At);
        match self.put(key, rests, record, at).await {
            Ok(revision) => Ok(Expect::At(revision)),
            Err(CommitError::Store(error)) => Err(SaveError::Store(error)),
            Err(_) => Err(SaveError::Conflict),
        }
    }

    /// Edits one twin as its service sees it, and stores it; begins again while others are faster.
    ///
    /// `twin` brings the schema: `TwinService::of::<Room>()`. One that is not stored is made. `edit` may run several
    /// times, and only its last result counts. Services that hold the twin learn of it by [watching](Self::watch).
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use iot_twin::iot_core::{DeviceId, TenantId, Timestamp};
    /// use iot_twin::registry::{Memory, Registry, TwinKey};
    /// use iot_twin::{FieldId, TwinService};
    ///
    /// let registry = Registry::open(Memory::new());
    /// let key = TwinKey::new(TenantId::new("acme")?, DeviceId::new("boiler-7")?);
    /// let edit = |twin: &mut TwinService| {
    ///     twin.set_field(FieldId::new(0), 21.0);
    ///     Ok::<_, core::convert::Infallible>(twin.version())
    /// };
    /// let version = registry.edit(&key, Timestamp::from_secs(1), &TwinService::new(), edit).await?;
    /// assert_eq!(version.number(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`UpdateError`].
    pub async fn edit<R: Send, F>(
        &self,
        key: &TwinKey,
        at: Timestamp,
        twin: &TwinService,
        mut edit: impl FnMut(&mut TwinService) -> Result<R, F> + Send,
    ) -> Result<R, UpdateError<S::Error, F>> {
        for _ in 0..ATTEMPTS {
            let loaded = self.load(key, twin.clone()).await;
            let (mut twin, expect) = loaded.map_err(|error| match error {
                UpdateError::Edit(state) => UpdateError::Record(RecordError::State(state)),
                UpdateError::Record(error) => UpdateError::Record(error),
                UpdateError::Store(error) => UpdateError::Store(error),
                UpdateError::Contended => UpdateError::Contended,
            })?;
            let result = edit(&mut twin).map_err(UpdateError::Edit)?;
            match self.save(key, expect, &twin, at).await {
                Ok(_) => return Ok(result),
                Err(SaveError::Conflict) => {}
                Err(SaveError::Record(error)) => return Err(UpdateError::Record(error)),
                Err(SaveError::Store(error)) => return Err(UpdateError::Store(error)),
            }
        }
        Err(UpdateError::Contended)
    }

    /// Reads a twin, edits it, and stores it if nobody else has meanwhile; otherwise begins again.
    ///
    /// `edit` is given `None` for a twin that is not stored, and gives `None` to leave everything as it is. It may
    /// run several times, and only its last result counts. An edit that changes nothing stores nothing. What comes
    /// back is the revision that the twin has then, if it is stored.
    ///
    /// # Errors
    ///
    /// [`UpdateError`].
    pub async fn update<F>(
        &self,
        key: &TwinKey,
        at: Timestamp,
        mut edit: impl FnMut(Option<Draft>) -> Result<Option<Draft>, F> + Send,
    ) -> Result<Option<Revision>, UpdateError<S::Error, F>> {
        for _ in 0..ATTEMPTS {
            let found = self.store.read(key).await.map_err(UpdateError::Store)?;
            let (draft, expect) = match &found {
                Some(stored) => (
                    Some(stored.record.edit().map_err(UpdateError::Record)?),
                    Expect::At(stored.revision),
                ),
                None => (None, Expect::Absent),
            };
            let Some(edited) = edit(draft).map_err(UpdateError::Edit)? else {
                return Ok(found.map(|stored| stored.revision));
            };
            let record = edited.finish().map_err(UpdateError::Record)?;
            if let Some(stored) = found.filter(|stored| stored.record == record) {
                return Ok(Some(stored.revision));
            }
            match self.put(key, expect, record, at).await {
                Ok(revision) => return Ok(Some(revision)),
                Err(CommitError::Store(error)) => return Err(UpdateError::Store(error)),
                Err(_) => {}
            }
        }
        Err(UpdateError::Contended)
    }

    /// Stores one record, if the twin is as expected.
    ///
    /// # Errors
    ///
    /// [`CommitError`].
    pub async fn put(
        &self,
        key: &TwinKey,
        expect: Expect,
        record: Record,
        at: Timestamp,
    ) -> Result<Revision, CommitError<S::Error>> {
        let change = Change::put(key.clone(), expect, record, at);
        let committed = self.store.commit(vec![change]).await?;
        Ok(committed.first)
    }

    /// Desires the same of every twin of a query; says of how many it was news.
    ///
    /// It goes page by page, and asks the query again with every change: a twin that others take out of it meanwhile is
    /// left alone.
    ///
    /// # Errors
    ///
    /// [`DesireAllError`] names the first twin that failed and how many were changed before it; the others of its page
    /// were not tried. What is wrong with one twin stops the rest, so that nobody takes a part for the whole.
    pub async fn desire<T: Twin>(
        &self,
        query: &Query,
        at: Timestamp,
        edit: impl Fn(&mut T::Desired) + Send + Sync,
    ) -> Result<usize, DesireAllError<S::Error>> {
        let (mut count, mut after) = (0, None);
        loop {
            let page = self.store.page(query, after.as_ref(), PAGE).await;
            let page = page.map_err(|error| DesireAllError {
                key: None,
                changed: count,
                error: UpdateError::Store(error),
            })?;
            for (key, _) in page.twins {
                let mut is_news = false;
                let desire = |draft: Option<Draft>| -> Result<Option<Draft>, DesireError> {
                    is_news = false;
                    // Who was removed meanwhile is not made again.
                    let Some(mut draft) = draft else {
                        return Ok(None);
                    };
                    if !draft
                        .finish()
                        .is_ok_and(|record| query.matches(&key, &record))
                    {
                        return Ok(None);
                    }
                    let mut twin = TwinService::of::<T>().restored(draft.state());
                    is_news = twin.desire::<T>(&edit)? > 0;
                    draft.set_twin(&twin);
                    Ok(Some(draft))
                };
                if let Err(error) = self.update(&key, at, desire).await {
                    return Err(DesireAllError {
                        key: Some(key),
                        changed: count,
                        error,
                    });
                }
                count += usize::from(is_news);
            }
            after = page.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// Every twin of a query.
    ///
    /// It reads page by page: what changes meanwhile is in it as it was or as it is.
    ///
    /// # Errors
    ///
    /// The store's error.
    pub async fn select(&self, query: &Query) -> Result<Vec<(TwinKey, Stored)>, S::Error> {
        let (mut twins, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.page(query, after.as_ref(), PAGE).await?;
            twins.extend(page.twins);
            after = page.next;
            if after.is_none() {
                return Ok(twins);
            }
        }
    }

    /// Follows the changes behind a place, or those from now on.
    ///
    /// # Errors
    ///
    /// The store's error.
    pub async fn watch(&self, from: Option<Cursor>) -> Result<S::Watch, S::Error> {
        let from = match from {
            Some(from) => from,
            None => self.store.cursor().await?,
        };
        self.store.watch(from).await
    }
}
