//! The last changes in memory, and who follows them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use iot_core::Timestamp;

use crate::registry::change::{Change, Committed, Revision};
use crate::registry::key::TwinKey;
use crate::registry::record::Record;
use crate::registry::watch::{Cursor, Event, Openings};

pub(super) struct Log(Mutex<Inner>);

struct Inner {
    openings: Openings,
    /// The number of the last change.
    head: u64,
    /// The last changes, the newest at the back with the number `head`.
    last: VecDeque<Logged>,
    room: usize,
    waiting: BTreeMap<u64, Waker>,
    watchers: u64,
}

/// A change as watchers are told of it.
pub(super) struct Logged {
    key: TwinKey,
    at: Timestamp,
    record: Option<Record>,
}

impl Logged {
    pub(super) fn of(change: &Change) -> Self {
        Self {
            key: change.key.clone(),
            at: change.at,
            record: change.record.clone(),
        }
    }
}

/// What comes of an append. All writers wait for the log, so what costs time is left to who has appended: freeing
/// what the log has no more room for, and waking who waits.
#[must_use]
pub(super) struct Appended {
    pub(super) committed: Committed,
    wakers: Vec<Waker>,
    forgotten: (Option<Logged>, Vec<Logged>),
}

impl Appended {
    /// To be called when no lock is held.
    pub(super) fn finish(self) -> Committed {
        drop(self.forgotten);
        self.wakers.into_iter().for_each(Waker::wake);
        self.committed
    }
}

impl Log {
    pub(super) fn new(room: usize) -> Self {
        let mut openings = Openings::default();
        openings.open(0);
        Self::restored(openings, 0, room)
    }

    /// Behind `head`, with nothing of what was before.
    pub(super) const fn restored(openings: Openings, head: u64, room: usize) -> Self {
        Self(Mutex::new(Inner {
            openings,
            head,
            last: VecDeque::new(),
            room,
            waiting: BTreeMap::new(),
            watchers: 0,
        }))
    }

    pub(super) fn set_room(&self, room: usize) {
        let mut inner = self.lock();
        inner.room = room;
        inner.trim();
    }

    pub(super) fn room(&self) -> u64 {
        self.lock().room as u64
    }

    /// Numbers changes and shows them to watchers.
    ///
    /// The caller holds the parts that they are about and applies them before it lets go: so whoever hears of a
    /// change and reads its twin finds it made.
    pub(super) fn append(&self, changes: impl ExactSizeIterator<Item = Logged>) -> Appended {
        let count = changes.len();
        let mut inner = self.lock();
        let first = inner.head + 1;
        for logged in changes {
            inner.head += 1;
            inner.last.push_back(logged);
        }
        let surplus = inner.last.len().saturating_sub(inner.room);
        // One is the usual case, and needs no list.
        let one = if surplus > 0 {
            inner.last.pop_front()
        } else {
            None
        };
        let more = inner.last.drain(..surplus.saturating_sub(1)).collect();
        let wakers = if count == 0 {
            Vec::new()
        } else {
            core::mem::take(&mut inner.waiting).into_values().collect()
        };
        drop(inner);
        Appended {
            committed: Committed::new(Revision::new(first), count),
            wakers,
            forgotten: (one, more),
        }
    }

    pub(super) fn cursor(&self) -> Cursor {
        let inner = self.lock();
        inner.openings.cursor(inner.head)
    }

    /// The number behind which a watcher goes on; `None` when the place is none of this store's.
    pub(super) fn place(&self, from: Cursor) -> Option<u64> {
        let inner = self.lock();
        let known = inner.openings.knows(from, inner.head);
        known.then_some(from.revision().get())
    }

    pub(super) fn watcher(&self) -> u64 {
        let mut inner = self.lock();
        inner.watchers += 1;
        inner.watchers
    }

    pub(super) fn forget(&self, id: u64) {
        self.lock().waiting.remove(&id);
    }

    /// What comes behind `place`.
    pub(super) fn next(&self, place: Option<u64>, id: u64, context: &Context<'_>) -> Poll<Event> {
        let mut inner = self.lock();
        let lost = Event::Lost {
            resume: inner.openings.cursor(inner.head),
        };
        let Some(place) = place else {
            return Poll::Ready(lost);
        };
        let behind = inner.head.saturating_sub(place);
        if behind == 0 {
            inner.waiting.insert(id, context.waker().clone());
            return Poll::Pending;
        }
        let kept = usize::try_from(behind)
            .ok()
            .and_then(|behind| inner.last.len().checked_sub(behind));
        match kept.and_then(|index| inner.last.get(index)) {
            Some(logged) => Poll::Ready(Event::Changed {
                key: logged.key.clone(),
                revision: Revision::new(place + 1),
                at: logged.at,
                record: logged.record.clone(),
                cursor: inner.openings.cursor(place + 1),
            }),
            None => Poll::Ready(lost),
        }
    }

    /// The openings and the last number, for a snapshot that is being made.
    pub(super) fn head(&self) -> (Openings, u64) {
        let inner = self.lock();
        (inner.openings.clone(), inner.head)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn trim(&mut self) {
        let surplus = self.last.len().saturating_sub(self.room);
        self.last.drain(..surplus);
    }
}
