//! Registries with one fault each.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

use core::convert::Infallible;

use iot_twin::registry::{
    Change, CommitError, Committed, Cursor, Event, Expect, Limits, Memory, MemoryWatch, Page,
    Query, Revision, Store, Stored, TwinKey, Watch,
};

/// What is wrong with a registry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flaw {
    /// Nothing: the control.
    None,
    /// What a change expects is not looked at.
    ExpectIgnored,
    /// A writer is told of success although another one was faster.
    FalseSuccess,
    /// A conflict does not say what is there.
    ConflictMute,
    /// The changes in front of a conflict are made.
    HalfBatch,
    /// A batch may have a twin twice.
    TwiceTaken,
    /// A batch may have any length.
    NoLimit,
    /// The first change is told as the last.
    WrongNumber,
    /// Removing does nothing.
    NotRemoved,
    /// A read gives what was there before.
    StaleRead,
    /// The time of a change is not kept.
    TimeForgotten,
    /// The last twin of a page is also on the next one.
    PageOverlaps,
    /// The first twin of the next page is on none.
    PageSkips,
    /// Everybody's twins are found.
    TenantIgnored,
    /// Values are not looked at.
    TestsIgnored,
    /// The oldest past record comes first.
    HistoryBackwards,
    /// One past record less is kept.
    HistoryShort,
    /// A watcher misses one change in eight.
    EventSkipped,
    /// A watcher sees one change in eight twice.
    EventTwice,
    /// A removal is told as nothing.
    RemovalUntold,
    /// A watcher that lost its place goes on as if nothing were.
    LossUntold,
    /// A watcher that waits is not woken.
    NotWoken,
    /// Dropping `next` drops an event.
    DropLoses,
    /// Any place is taken for one's own.
    PlaceBelieved,
    /// Going on begins one change too late.
    ResumeLate,
}

impl Flaw {
    pub(crate) const ALL: [Self; 24] = [
        Self::ExpectIgnored,
        Self::FalseSuccess,
        Self::ConflictMute,
        Self::HalfBatch,
        Self::TwiceTaken,
        Self::NoLimit,
        Self::WrongNumber,
        Self::NotRemoved,
        Self::StaleRead,
        Self::TimeForgotten,
        Self::PageOverlaps,
        Self::PageSkips,
        Self::TenantIgnored,
        Self::TestsIgnored,
        Self::HistoryBackwards,
        Self::HistoryShort,
        Self::EventSkipped,
        Self::EventTwice,
        Self::RemovalUntold,
        Self::LossUntold,
        Self::NotWoken,
        Self::DropLoses,
        Self::PlaceBelieved,
        Self::ResumeLate,
    ];
}

pub(crate) struct Broken {
    store: Memory,
    flaw: Flaw,
    before: Mutex<Option<(TwinKey, Option<Stored>)>>,
}

impl Broken {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self {
            store: Memory::new().with_backlog(100),
            flaw,
            before: Mutex::default(),
        }
    }
}

impl Store for Broken {
    type Error = Infallible;
    type Watch = BrokenWatch;

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    async fn read(&self, key: &TwinKey) -> Result<Option<Stored>, Infallible> {
        let mut found = self.store.read(key).await?;
        match self.flaw {
            Flaw::StaleRead => {
                let before = self.before.lock().unwrap().clone();
                if let Some((own, before)) = before
                    && own == *key
                {
                    found = before;
                }
            }
            Flaw::TimeForgotten => {
                found = found
                    .map(|stored| Stored::new(stored.revision, Default::default(), stored.record));
            }
            _ => {}
        }
        Ok(found)
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Committed, CommitError<Infallible>> {
        let mut changes = changes;
        if self.flaw == Flaw::StaleRead
            && let Some(change) = changes.first()
        {
            let found = self.store.read(&change.key).await.unwrap();
            *self.before.lock().unwrap() = Some((change.key.clone(), found));
        }
        let one_by_one = match self.flaw {
            Flaw::ExpectIgnored => {
                changes
                    .iter_mut()
                    .for_each(|change| change.expect = Expect::Any);
                false
            }
            Flaw::NotRemoved => {
                if changes.iter().all(|change| change.record.is_none()) {
                    let end = self.store.cursor().await.unwrap();
                    return Ok(Committed::new(end.revision(), changes.len()));
                }
                false
            }
            Flaw::HalfBatch | Flaw::NoLimit => true,
            Flaw::TwiceTaken => changes.len() == 2,
            _ => false,
        };
        if one_by_one {
            let mut first = None;
            let count = changes.len();
            for (index, change) in changes.into_iter().enumerate() {
                match self.store.commit(vec![change]).await {
                    Ok(made) => first = first.or(Some(made.first)),
                    Err(CommitError::Conflict { found, .. }) => {
                        return Err(CommitError::Conflict { index, found });
                    }
                    Err(other) => return Err(other),
                }
            }
            return Ok(Committed::new(first.unwrap_or_default(), count));
        }
        let made = self.store.commit(changes).await;
        match (self.flaw, made) {
            (Flaw::WrongNumber, Ok(made)) if made.count > 1 => {
                Ok(Committed::new(made.revision(1).unwrap(), made.count))
            }
            (
                Flaw::FalseSuccess,
                Err(CommitError::Conflict {
                    found: Some(found), ..
                }),
            ) => Ok(Committed::new(found, 1)),
            (Flaw::ConflictMute, Err(CommitError::Conflict { index, .. })) => {
                Err(CommitError::Conflict { index, found: None })
            }
            (_, made) => made,
        }
    }

    async fn page(
        &self,
        query: &Query,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> Result<Page, Infallible> {
        let everybody = Query::of_every_tenant(query.selector().clone());
        let query = match (self.flaw, query.tenant()) {
            (Flaw::TenantIgnored, Some(_)) => &everybody,
            (Flaw::TestsIgnored, None) => &everybody,
            _ => query,
        };
        let mut page = self.store.page(query, after, limit).await?;
        match self.flaw {
            Flaw::PageSkips if after.is_some() && page.twins.len() > 1 => {
                drop(page.twins.remove(0))
            }
            Flaw::PageOverlaps if page.twins.len() > 1 => {
                page.next = page
                    .next
                    .map(|_| page.twins[page.twins.len() - 2].0.clone());
            }
            _ => {}
        }
        Ok(page)
    }

    async fn history(&self, key: &TwinKey) -> Result<Vec<Stored>, Infallible> {
        let mut past = self.store.history(key).await?;
        match self.flaw {
            Flaw::HistoryBackwards => past.reverse(),
            Flaw::HistoryShort => past.truncate(self.store.limits().history - 1),
            _ => {}
        }
        Ok(past)
    }

    async fn cursor(&self) -> Result<Cursor, Infallible> {
        self.store.cursor().await
    }

    async fn watch(&self, from: Cursor) -> Result<BrokenWatch, Infallible> {
        let own = self.store.cursor().await?;
        let from = match self.flaw {
            Flaw::PlaceBelieved => {
                let revision = from.revision().min(own.revision());
                Cursor::new(own.opening(), revision)
            }
            Flaw::ResumeLate if from.revision() < own.revision() => {
                Cursor::new(from.opening(), Revision::new(from.revision().get() + 1))
            }
            _ => from,
        };
        Ok(BrokenWatch {
            watch: self.store.watch(from).await?,
            flaw: self.flaw,
            seen: Arc::default(),
            again: None,
        })
    }
}

pub(crate) struct BrokenWatch {
    watch: MemoryWatch,
    flaw: Flaw,
    seen: Arc<AtomicU64>,
    again: Option<Event>,
}

impl Watch for BrokenWatch {
    type Error = Infallible;

    async fn next(&mut self) -> Result<Event, Infallible> {
        if let Some(again) = self.again.take() {
            return Ok(again);
        }
        loop {
            let event = if self.flaw == Flaw::NotWoken {
                // It looks once, and then at nothing.
                let mut next = core::pin::pin!(self.watch.next());
                core::future::poll_fn(|_| {
                    let waker = core::task::Waker::noop();
                    next.as_mut()
                        .poll(&mut core::task::Context::from_waker(waker))
                })
                .await?
            } else {
                self.watch.next().await?
            };
            let seen = self.seen.fetch_add(1, Ordering::SeqCst);
            match (self.flaw, &event) {
                (Flaw::EventSkipped, _) if seen % 8 == 7 => continue,
                (Flaw::EventTwice, _) if seen % 8 == 7 => self.again = Some(event.clone()),
                (Flaw::RemovalUntold, Event::Changed { record: None, .. }) => continue,
                (Flaw::LossUntold, Event::Lost { .. }) => continue,
                (Flaw::DropLoses, _) => {
                    // An await after the event was taken: who drops the future here loses it.
                    let mut first = true;
                    core::future::poll_fn(|context| {
                        if core::mem::take(&mut first) {
                            context.waker().wake_by_ref();
                            return core::task::Poll::Pending;
                        }
                        core::task::Poll::Ready(())
                    })
                    .await;
                }
                _ => {}
            }
            return Ok(event);
        }
    }
}
