//! What the facts are shown with.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use iot_core::Timestamp;

use super::{Subject, Verdict};
use crate::registry::{
    Change, CommitError, Committed, Cursor, Draft, Event, Expect, Query, Record, Revision, Store,
    Stored, TwinKey, Watch,
};
use crate::sync::TwinService;
use crate::{FieldId, Value};

/// How many pauses something that must come may take.
const PATIENCE: u32 = 60_000;
/// How many pauses the suite waits to be sure that nothing comes.
const QUIET: u32 = 20;

pub(super) type Shown = Result<(), Verdict>;
pub(super) type Made<S> = Result<Committed, CommitError<<S as Store>::Error>>;

pub(super) struct Bench<'s, S: Subject> {
    pub(super) subject: &'s mut S,
    store: Option<S::Store>,
}

/// Polls only when it was woken: a store that forgets to wake is found out.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(super) fn failed<T>(why: String) -> Result<T, Verdict> {
    Err(Verdict::Failed(why))
}

/// `true`, or the fact failed as `why` says.
pub(super) fn holds(is: bool, why: impl FnOnce() -> String) -> Shown {
    if is { Ok(()) } else { failed(why()) }
}

async fn within<S: Subject, F: Future>(
    subject: &mut S,
    pauses: u32,
    future: F,
) -> Option<F::Output> {
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut future = pin!(future);
    for _ in 0..=pauses {
        while flag.0.swap(false, Ordering::SeqCst) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(output);
            }
        }
        subject.pause().await;
    }
    None
}

fn store_failed<T>(error: &impl fmt::Display) -> Result<T, Verdict> {
    failed(format!("the store failed: {error}"))
}

impl<'s, S: Subject> Bench<'s, S> {
    pub(super) const fn new(subject: &'s mut S, store: S::Store) -> Self {
        Self {
            subject,
            store: Some(store),
        }
    }

    fn parts(&mut self) -> Result<(&mut S, &S::Store), Verdict> {
        match &self.store {
            Some(store) => Ok((self.subject, store)),
            None => failed("the store was not opened again".into()),
        }
    }

    pub(super) fn store(&self) -> Result<&S::Store, Verdict> {
        match &self.store {
            Some(store) => Ok(store),
            None => failed("the store was not opened again".into()),
        }
    }

    pub(super) async fn reopen(&mut self) -> Shown {
        let Some(store) = self.store.take() else {
            return failed("the store was not opened again".into());
        };
        self.store = self.subject.reopen(store).await;
        match self.store {
            Some(_) => Ok(()),
            None => Err(Verdict::NotShown("the store keeps nothing")),
        }
    }

    pub(super) async fn read(&mut self, key: &TwinKey) -> Result<Option<Stored>, Verdict> {
        let (subject, store) = self.parts()?;
        match within(subject, PATIENCE, store.read(key)).await {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => store_failed(&error),
            None => failed("a read never ended".into()),
        }
    }

    pub(super) async fn history(&mut self, key: &TwinKey) -> Result<Vec<Stored>, Verdict> {
        let (subject, store) = self.parts()?;
        match within(subject, PATIENCE, store.history(key)).await {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => store_failed(&error),
            None => failed("a history never ended".into()),
        }
    }

    pub(super) async fn try_commit(
        &mut self,
        changes: Vec<Change>,
    ) -> Result<Made<S::Store>, Verdict> {
        let (subject, store) = self.parts()?;
        match within(subject, PATIENCE, store.commit(changes)).await {
            Some(Err(CommitError::Store(error))) => store_failed(&error),
            Some(made) => Ok(made),
            None => failed("a commit never ended".into()),
        }
    }

    /// Two batches that are under way at once.
    pub(super) async fn race(
        &mut self,
        one: Vec<Change>,
        two: Vec<Change>,
    ) -> Result<[Made<S::Store>; 2], Verdict> {
        let (subject, store) = self.parts()?;
        let mut one = pin!(store.commit(one));
        let mut two = pin!(store.commit(two));
        let (mut first, mut second) = (None, None);
        let both = core::future::poll_fn(|context| {
            if first.is_none()
                && let Poll::Ready(made) = one.as_mut().poll(context)
            {
                first = Some(made);
            }
            if second.is_none()
                && let Poll::Ready(made) = two.as_mut().poll(context)
            {
                second = Some(made);
            }
            match (first.take(), second.take()) {
                (Some(one), Some(two)) => Poll::Ready([one, two]),
                (one, two) => {
                    (first, second) = (one, two);
                    Poll::Pending
                }
            }
        });
        match within(subject, PATIENCE, both).await {
            Some(made) => Ok(made),
            None => failed("two commits at once never ended".into()),
        }
    }

    pub(super) async fn commit(&mut self, changes: Vec<Change>) -> Result<Committed, Verdict> {
        match self.try_commit(changes).await? {
            Ok(committed) => Ok(committed),
            Err(error) => failed(format!("a batch that was as expected was refused: {error}")),
        }
    }

    pub(super) async fn put(&mut self, key: &TwinKey, number: u64) -> Result<Revision, Verdict> {
        let committed = self.commit(vec![put(key, Expect::Any, number)]).await?;
        Ok(committed.first)
    }

    pub(super) async fn select(
        &mut self,
        query: &Query,
        limit: usize,
    ) -> Result<Vec<(TwinKey, Stored)>, Verdict> {
        let (mut twins, mut after) = (Vec::new(), None);
        for _ in 0..10_000 {
            let (subject, store) = self.parts()?;
            let page = within(subject, PATIENCE, store.page(query, after.as_ref(), limit)).await;
            let page = match page {
                Some(Ok(page)) => page,
                Some(Err(error)) => return store_failed(&error),
                None => return failed("a page never came".into()),
            };
            holds(page.twins.len() <= limit, || {
                format!("a page has {} twins instead of {limit}", page.twins.len())
            })?;
            twins.extend(page.twins);
            after = page.next;
            if after.is_none() {
                return Ok(twins);
            }
        }
        failed("there is always another page".into())
    }

    pub(super) async fn cursor(&mut self) -> Result<Cursor, Verdict> {
        let (subject, store) = self.parts()?;
        match within(subject, PATIENCE, store.cursor()).await {
            Some(Ok(cursor)) => Ok(cursor),
            Some(Err(error)) => store_failed(&error),
            None => failed("a cursor never came".into()),
        }
    }

    pub(super) async fn watch(
        &mut self,
        from: Cursor,
    ) -> Result<<S::Store as Store>::Watch, Verdict> {
        let (subject, store) = self.parts()?;
        match within(subject, PATIENCE, store.watch(from)).await {
            Some(Ok(watch)) => Ok(watch),
            Some(Err(error)) => store_failed(&error),
            None => failed("a watch never began".into()),
        }
    }

    pub(super) async fn next<W: Watch<Error: fmt::Display>>(
        &mut self,
        watch: &mut W,
    ) -> Result<Event, Verdict> {
        match within(self.subject, PATIENCE, watch.next()).await {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => store_failed(&error),
            None => failed("a watcher waits for a change that was made".into()),
        }
    }

    /// The next event of a watcher that waits already when the changes are made.
    pub(super) async fn next_during<W: Watch<Error: fmt::Display>>(
        &mut self,
        watch: &mut W,
        changes: Vec<Change>,
    ) -> Result<Event, Verdict> {
        let (subject, store) = self.parts()?;
        let mut commit = pin!(store.commit(changes));
        let mut next = pin!(watch.next());
        let (mut made, mut told) = (false, None);
        let both = core::future::poll_fn(|context| {
            if told.is_none()
                && let Poll::Ready(event) = next.as_mut().poll(context)
            {
                told = Some(event);
            }
            if !made && let Poll::Ready(_) = commit.as_mut().poll(context) {
                made = true;
            }
            match told.take() {
                Some(told) if made => Poll::Ready(told),
                waiting => {
                    told = waiting;
                    Poll::Pending
                }
            }
        });
        match within(subject, PATIENCE, both).await {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => store_failed(&error),
            None => failed("a watcher that waits is not woken".into()),
        }
    }

    /// The next event, by futures that are dropped whenever they have to wait.
    pub(super) async fn next_dropping<W: Watch<Error: fmt::Display>>(
        &mut self,
        watch: &mut W,
    ) -> Result<Event, Verdict> {
        for _ in 0..PATIENCE {
            let polled = {
                let mut next = pin!(watch.next());
                next.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            };
            match polled {
                Poll::Ready(Ok(event)) => return Ok(event),
                Poll::Ready(Err(error)) => return store_failed(&error),
                Poll::Pending => self.subject.pause().await,
            }
        }
        failed("a change is lost with the future that was dropped".into())
    }

    pub(super) async fn is_quiet<W: Watch<Error: fmt::Display>>(&mut self, watch: &mut W) -> Shown {
        match within(self.subject, QUIET, watch.next()).await {
            None => Ok(()),
            Some(Ok(event)) => failed(format!("a watcher is told of what was not made: {event:?}")),
            Some(Err(error)) => store_failed(&error),
        }
    }
}

pub(super) fn key(text: &str) -> Result<TwinKey, Verdict> {
    match text.parse() {
        Ok(key) => Ok(key),
        Err(error) => failed(format!("the suite's own key: {error}")),
    }
}

/// A moment that is told from others.
pub(super) const fn moment(number: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + number)
}

/// A record that holds a number.
pub(super) fn record(number: u64) -> Result<Record, Verdict> {
    labelled(number, &[])
}

pub(super) fn labelled(number: u64, labels: &[(&str, &str)]) -> Result<Record, Verdict> {
    let mut twin = TwinService::new();
    // A number is a value that some field has.
    let _ = twin.set_field(FieldId::new(1), Value::from(number));
    let mut draft = Draft::of(&twin);
    let set = labels
        .iter()
        .try_for_each(|(name, value)| draft.set_label(name, value));
    match set.and_then(|()| draft.finish()) {
        Ok(record) => Ok(record),
        Err(error) => failed(format!("the suite's own record: {error}")),
    }
}

/// A change that stores a number; the suite's own records always fit.
pub(super) fn put(key: &TwinKey, expect: Expect, number: u64) -> Change {
    match record(number) {
        Ok(record) => Change::put(key.clone(), expect, record, moment(number)),
        Err(_) => Change::remove(key.clone(), expect, moment(number)),
    }
}

pub(super) fn remove(key: &TwinKey, expect: Expect, number: u64) -> Change {
    Change::remove(key.clone(), expect, moment(number))
}
