//! What all connections of a hub share: sessions, subscriptions, retained messages.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::session::{Letter, Live, Session};
use super::tree::{Subscriber, Tree};
use super::{Counters, HubSettings, count};
use crate::mqtt::packet::server::Wish;
use crate::topic::matches;

const SWEEP: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Board {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tree: Tree,
    sessions: HashMap<Box<str>, Arc<Session>>,
    retained: BTreeMap<Arc<str>, Letter>,
    retained_bytes: usize,
    swept: Option<Instant>,
    /// Wills of sessions that ended before their time came; they are to be published.
    wills: Vec<Letter>,
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

/// What came of a CONNECT.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) session: Arc<Session>,
    pub(super) present: bool,
    pub(super) took_over: bool,
    pub(super) discarded: u64,
    /// Wills whose sessions ended with this CONNECT: to be published now.
    pub(super) wills: Vec<Letter>,
}

/// What a connection that ended left behind.
#[derive(Debug, Default)]
pub(super) struct Detached {
    /// How many letters were lost with the session.
    pub(super) discarded: u64,
    pub(super) will: Bequest,
}

/// When a will is published.
#[derive(Debug, Default)]
pub(super) enum Bequest {
    /// There is none, or the client is back already.
    #[default]
    Never,
    Now(Letter),
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

    /// Gives `connection` the session of `client_id`, taking it from any other; `None` when there are too many.
    pub(super) fn attach(
        &self,
        client_id: &str,
        clean: bool,
        expiry: Option<Duration>,
        (connection, wake): (u64, Arc<Notify>),
        limit: usize,
    ) -> Option<Attached> {
        let now = Instant::now();
        let mut inner = self.write();
        let mut discarded = inner.sweep(now);
        let old = inner.sessions.get(client_id).cloned();
        let took_over = old.as_ref().is_some_and(|old| {
            let state = old.state();
            if let Some(live) = &state.live {
                live.wake.notify_one();
            }
            state.live.is_some()
        });
        let kept = old.filter(|old| {
            let keep = !clean && !old.state().has_expired(now);
            if !keep {
                discarded += inner.remove(old);
            }
            keep
        });
        let present = kept.is_some();
        let session = match kept {
            Some(session) => session,
            None if inner.sessions.len() >= limit => return None,
            None => {
                let session = Arc::new(Session::new(client_id.into(), connection));
                inner.sessions.insert(client_id.into(), session.clone());
                session
            }
        };
        let mut state = session.state();
        state.live = Some(Live { connection, wake });
        state.expiry = expiry;
        state.away_since = None;
        state.will = None;
        drop(state);
        Some(Attached {
            session,
            present,
            took_over,
            discarded,
            wills: core::mem::take(&mut inner.wills),
        })
    }

    /// Takes the session from `connection` if that still has it, and sees to the will it left (5.0 §3.1.3.2.2).
    pub(super) fn detach(
        &self,
        session: &Arc<Session>,
        connection: u64,
        will: Option<(Letter, Duration)>,
    ) -> Detached {
        let mut left = Detached::default();
        let mut state = session.state();
        if !state.is_live(connection) {
            drop(state);
            // A client that came back to its session in time has no will; a session that ended has.
            if let Some((letter, delay)) = will
                && (delay.is_zero() || !self.read().holds(session))
            {
                left.will = Bequest::Now(letter);
            }
            return left;
        }
        state.live = None;
        state.away_since = Some(Instant::now());
        let lives_on = state.expiry.unwrap_or(Duration::MAX);
        if let Some((letter, delay)) = will {
            let wait = delay.min(lives_on);
            left.will = match wait.is_zero() {
                true => Bequest::Now(letter),
                false => {
                    state.will = Some((connection, letter));
                    Bequest::After(wait)
                }
            };
        }
        drop(state);
        if lives_on.is_zero() {
            left.discarded = self.write().remove(session);
        }
        left
    }

    /// Subscribes a session; returns what was granted and the retained messages to send.
    ///
    /// `None` when the session was replaced: in the tree nobody would ever find and remove it again.
    pub(super) fn subscribe(
        &self,
        session: &Arc<Session>,
        wishes: &[Wish],
        limit: usize,
    ) -> Option<(Vec<Option<u8>>, Vec<Letter>)> {
        let mut inner = self.write();
        if !inner.holds(session) {
            return None;
        }
        let mut retained = Vec::new();
        let granted = wishes
            .iter()
            .map(|wish| {
                let mut state = session.state();
                let known = state.filters.contains(&wish.filter);
                if !super::tree::is_valid(&wish.filter) || (!known && state.filters.len() >= limit)
                {
                    return None;
                }
                state.filters.insert(wish.filter.clone());
                drop(state);
                let qos = wish.qos.min(1);
                let subscriber = Subscriber {
                    session: session.clone(),
                    qos,
                    no_local: wish.no_local,
                    retain_as_published: wish.retain_as_published,
                };
                let new = inner.tree.insert(&wish.filter, subscriber);
                if wish.retained == 0 || (wish.retained == 1 && new) {
                    inner.collect_retained(&wish.filter, qos, &mut retained);
                }
                Some(qos)
            })
            .collect();
        Some((granted, retained))
    }

    pub(super) fn unsubscribe(&self, session: &Session, filters: &[String]) {
        let mut inner = self.write();
        for filter in filters {
            if session.state().filters.remove(filter) {
                inner.tree.remove(filter, session.number);
            }
        }
    }

    /// Queues a letter for every subscriber, and keeps it when it is to be retained; how many get it.
    pub(super) fn publish(
        &self,
        letter: &Letter,
        from: Option<u64>,
        settings: &HubSettings,
        counters: &Counters,
    ) -> u64 {
        let mut found = Vec::new();
        if letter.retain {
            let mut inner = self.write();
            inner.tree.find(&letter.topic, &mut found);
            if !inner.retain(letter, settings.retained) {
                count(&counters.overflowed, 1);
            }
        } else {
            self.read().tree.find(&letter.topic, &mut found);
        }
        // One client with several matching filters gets the message once, at the best quality it asked for.
        found.sort_by_key(|subscriber| {
            (
                subscriber.session.number,
                core::cmp::Reverse(subscriber.qos),
            )
        });
        found.dedup_by_key(|subscriber| subscriber.session.number);
        found
            .retain(|subscriber| !(subscriber.no_local && Some(subscriber.session.number) == from));
        let mut routed = 0;
        for subscriber in found {
            let mut copy = letter.clone();
            copy.qos = copy.qos.min(subscriber.qos);
            copy.retain = letter.retain && subscriber.retain_as_published;
            let mut state = subscriber.session.state();
            if copy.qos == 0 && state.live.is_none() {
                count(&counters.missed, 1);
                continue;
            }
            routed += 1;
            count(&counters.overflowed, state.push(copy, settings.queue));
        }
        count(&counters.routed, routed);
        routed
    }

    /// Forgets everything; returns how many letters of at least once were lost.
    pub(super) fn clear(&self) -> u64 {
        let mut inner = self.write();
        let sessions: Vec<_> = inner.sessions.values().cloned().collect();
        let lost = sessions.iter().map(|session| inner.remove(session)).sum();
        *inner = Inner::default();
        lost
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
    /// Whether this very session, and not a successor, is the one of its client id.
    fn holds(&self, session: &Arc<Session>) -> bool {
        self.sessions
            .get(&session.client_id)
            .is_some_and(|known| Arc::ptr_eq(known, session))
    }

    /// Takes a session out with its subscriptions; returns how many letters of at least once it held.
    fn remove(&mut self, session: &Arc<Session>) -> u64 {
        let mut state = session.state();
        for filter in core::mem::take(&mut state.filters) {
            self.tree.remove(&filter, session.number);
        }
        let mut lost = state.on_wire.len() as u64;
        state.on_wire.clear();
        while let Some(letter) = state.pop() {
            lost += u64::from(letter.qos > 0);
        }
        if let Some(live) = state.live.take() {
            live.wake.notify_one();
        }
        let will = state.will.take();
        drop(state);
        self.wills.extend(will.map(|(_, letter)| letter));
        if self.holds(session) {
            self.sessions.remove(&session.client_id);
        }
        lost
    }

    fn sweep(&mut self, now: Instant) -> u64 {
        if self
            .swept
            .is_some_and(|at| now.saturating_duration_since(at) < SWEEP)
        {
            return 0;
        }
        self.swept = Some(now);
        let expired: Vec<_> = self
            .sessions
            .values()
            .filter(|session| session.state().has_expired(now))
            .cloned()
            .collect();
        expired.iter().map(|session| self.remove(session)).sum()
    }

    /// Keeps, replaces or (with an empty payload) removes a retained message; false when there is no room.
    fn retain(&mut self, letter: &Letter, (messages, bytes): (usize, usize)) -> bool {
        if let Some(old) = self.retained.remove(&letter.topic) {
            self.retained_bytes = self.retained_bytes.saturating_sub(old.bytes());
        }
        if letter.payload.is_empty() {
            return true;
        }
        let size = letter.bytes();
        if self.retained.len() >= messages || self.retained_bytes.saturating_add(size) > bytes {
            return false;
        }
        self.retained_bytes += size;
        self.retained.insert(letter.topic.clone(), letter.clone());
        true
    }

    fn collect_retained(&self, filter: &str, qos: u8, found: &mut Vec<Letter>) {
        let now = Instant::now();
        // Everything before the first wildcard is a prefix of all matches, so the scan starts and ends there.
        let prefix = filter.split(['+', '#']).next().unwrap_or_default();
        let prefix = if prefix.len() < filter.len() {
            prefix.strip_suffix('/').unwrap_or(prefix)
        } else {
            prefix
        };
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let matching = self
            .retained
            .range::<str, _>(range)
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, letter)| matches(filter, topic) && !letter.is_expired(now));
        for (_, letter) in matching {
            let mut copy = letter.clone();
            copy.qos = copy.qos.min(qos);
            found.push(copy);
        }
    }
}

#[cfg(test)]
mod tests;
