//! What all connections of a hub share: sessions, subscriptions, retained messages.

mod route;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::letter::Letter;
use super::retained::Retained;
use super::session::{Live, Session};
use super::tree::Tree;
use super::will::{Legacy, Waiting};

const SWEEP: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Board {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tree: Tree,
    sessions: HashMap<Box<str>, Arc<Session>>,
    retained: Retained,
    swept: Option<Instant>,
    left: Left,
}

/// How much there is of everything.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    pub(super) sessions: usize,
    pub(super) connected: usize,
    pub(super) queued: usize,
    pub(super) subscriptions: usize,
    pub(super) retained: usize,
}

/// Who asks for a session.
#[derive(Debug)]
pub(super) struct Visit<'v> {
    pub(super) client_id: &'v str,
    pub(super) clean: bool,
    pub(super) expiry: Duration,
    pub(super) connection: u64,
    pub(super) wake: Arc<Notify>,
}

/// The session that a visitor got.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) session: Arc<Session>,
    pub(super) present: bool,
    pub(super) took_over: bool,
}

/// What sessions that ended left behind.
#[derive(Debug, Default)]
#[must_use = "what it holds is lost otherwise"]
pub(super) struct Left {
    /// How many letters of at least once were lost with them.
    pub(super) discarded: u64,
    /// What others may get that share a subscription with them.
    pub(super) shared: Vec<Letter>,
    /// Their wills, to be published now.
    pub(super) wills: Vec<Legacy>,
}

/// When a will is published.
#[derive(Debug, Default)]
pub(super) enum Bequest {
    /// There is none, or the client is back already.
    #[default]
    Never,
    Now(Legacy),
    /// After this time, if the client has not come back until then.
    After(Duration),
}

impl Board {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a connection the session of its client, taking it from any other; `None` when there are too many.
    pub(super) fn attach(&self, visit: Visit<'_>, limit: usize) -> (Option<Entry>, Left) {
        let mut inner = self.write();
        let entry = inner.attach(visit, limit);
        (entry, core::mem::take(&mut inner.left))
    }

    /// Takes the session from `connection` if that still has it, and sees to the will it left (5.0 §3.1.3.2.2).
    pub(super) fn detach(
        &self,
        session: &Arc<Session>,
        connection: u64,
        will: Option<Legacy>,
    ) -> (Bequest, Left) {
        let mut state = session.state();
        if !state.is_live(connection) {
            drop(state);
            // A client that came back to its session in time has no will; a session that ended has.
            let due = |will: &Legacy| will.delay.is_zero() || !self.read().holds(session);
            let bequest = will.filter(due).map_or(Bequest::Never, Bequest::Now);
            return (bequest, Left::default());
        }
        state.live = None;
        state.away_since = Some(Instant::now());
        let lives_on = state.expiry;
        let mut bequest = Bequest::Never;
        if let Some(legacy) = will {
            let wait = legacy.delay.min(lives_on);
            bequest = match wait.is_zero() {
                true => Bequest::Now(legacy),
                false => {
                    state.will = Some(Waiting::new(connection, legacy));
                    Bequest::After(wait)
                }
            };
        }
        drop(state);
        let mut left = Left::default();
        if lives_on.is_zero() {
            let mut inner = self.write();
            inner.remove(session);
            left = core::mem::take(&mut inner.left);
        }
        (bequest, left)
    }

    /// Forgets everything; returns how many letters of at least once were lost.
    pub(super) fn clear(&self) -> u64 {
        let mut inner = self.write();
        let sessions: Vec<_> = inner.sessions.values().cloned().collect();
        for session in &sessions {
            inner.remove(session);
        }
        let left = core::mem::take(&mut *inner).left;
        let shared = left.shared.iter().filter(|letter| letter.qos > 0);
        left.discarded + shared.count() as u64
    }

    pub(super) fn sizes(&self) -> Sizes {
        let inner = self.read();
        let mut sizes = Sizes {
            sessions: inner.sessions.len(),
            retained: inner.retained.len(),
            ..Sizes::default()
        };
        for session in inner.sessions.values() {
            let state = session.state();
            sizes.connected += usize::from(state.live.is_some());
            sizes.queued += state.queued();
            sizes.subscriptions += state.filters.len();
        }
        sizes
    }

    pub(super) fn list(&self) -> Vec<(String, bool)> {
        let inner = self.read();
        inner
            .sessions
            .values()
            .map(|session| {
                (
                    session.client_id.as_ref().into(),
                    session.state().live.is_some(),
                )
            })
            .collect()
    }
}

impl Inner {
    fn attach(&mut self, visit: Visit<'_>, limit: usize) -> Option<Entry> {
        let now = Instant::now();
        self.sweep(now);
        let old = self.sessions.get(visit.client_id).cloned();
        let took_over = old.as_ref().is_some_and(|old| {
            let state = old.state();
            if let Some(live) = &state.live {
                live.wake.notify_one();
            }
            state.live.is_some()
        });
        let kept = old.filter(|old| {
            let keep = !visit.clean && !old.state().has_ended(now);
            if !keep {
                self.remove(old);
            }
            keep
        });
        let present = kept.is_some();
        let session = match kept {
            Some(session) => session,
            None if self.sessions.len() >= limit => return None,
            None => {
                let session = Arc::new(Session::new(visit.client_id.into(), visit.connection));
                self.sessions
                    .insert(visit.client_id.into(), session.clone());
                session
            }
        };
        let mut state = session.state();
        state.live = Some(Live {
            connection: visit.connection,
            wake: visit.wake,
            slow: None,
        });
        state.expiry = visit.expiry;
        state.away_since = None;
        state.will = None;
        state.resumed();
        drop(state);
        Some(Entry {
            session,
            present,
            took_over,
        })
    }

    /// Whether this very session, and not a successor, is the one of its client id.
    fn holds(&self, session: &Arc<Session>) -> bool {
        self.sessions
            .get(&session.client_id)
            .is_some_and(|known| Arc::ptr_eq(known, session))
    }

    /// Takes a session out with its subscriptions; what it held is left.
    fn remove(&mut self, session: &Arc<Session>) {
        let mut state = session.state();
        for filter in core::mem::take(&mut state.filters) {
            self.tree.remove(&filter, session.number);
        }
        for letter in state.drain() {
            match letter.share {
                Some(_) => self.left.shared.push(letter),
                None => self.left.discarded += u64::from(letter.qos > 0),
            }
        }
        if let Some(live) = state.live.take() {
            live.wake.notify_one();
        }
        let will = state.will.take();
        drop(state);
        self.left.wills.extend(will.map(|waiting| waiting.legacy));
        if self.holds(session) {
            self.sessions.remove(&session.client_id);
        }
    }

    fn sweep(&mut self, now: Instant) {
        if self
            .swept
            .is_some_and(|at| now.saturating_duration_since(at) < SWEEP)
        {
            return;
        }
        self.swept = Some(now);
        let has_ended = |session: &&Arc<Session>| {
            let state = session.state();
            state.live.is_none() && state.has_ended(now)
        };
        let ended: Vec<_> = self.sessions.values().filter(has_ended).cloned().collect();
        for session in &ended {
            self.remove(session);
        }
    }
}

#[cfg(test)]
mod tests;
