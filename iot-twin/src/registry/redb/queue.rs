//! What waits for a thread.

use alloc::vec::Vec;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Jobs for one thread, which takes all that wait at once.
pub(super) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    filled: Condvar,
}

struct Inner<T> {
    jobs: Vec<T>,
    closed: bool,
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    Full,
    Closed,
}

/// So many jobs may wait.
const ROOM: usize = 1 << 16;

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                jobs: Vec::new(),
                closed: false,
            }),
            filled: Condvar::new(),
        }
    }

    pub(super) fn push(&self, job: T) -> Result<(), Refused> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refused::Closed);
        }
        if inner.jobs.len() >= ROOM {
            return Err(Refused::Full);
        }
        inner.jobs.push(job);
        let first = inner.jobs.len() == 1;
        drop(inner);
        if first {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for jobs; `None` when the queue was closed and is empty.
    pub(super) fn take(&self) -> Option<Vec<T>> {
        let idle = |inner: &mut Inner<T>| inner.jobs.is_empty() && !inner.closed;
        let waited = self.filled.wait_while(self.lock(), idle);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner);
        let jobs = core::mem::take(&mut inner.jobs);
        (!jobs.is_empty()).then_some(jobs)
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Closes it and gives up what waits: there is nobody any more who would take it.
    pub(super) fn abandon(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let jobs = core::mem::take(&mut inner.jobs);
        drop(inner);
        // Their callers are told by the end of what they wait on.
        drop(jobs);
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
