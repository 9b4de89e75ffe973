//! Which session gets which letter.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Board, Inner};
use crate::mqtt::hub::letter::Letter;
use crate::mqtt::hub::session::Session;
use crate::mqtt::hub::tree::{Found, Subscriber, is_valid};
use crate::mqtt::hub::{Counters, HubSettings, count};
use crate::mqtt::packet::server::Wish;

impl Board {
    /// Subscribes a session; returns what was granted and the retained messages to send.
    ///
    /// `None` when the session was replaced: in the tree nobody would ever find and remove it again.
    pub(in crate::mqtt::hub) fn subscribe(
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
                if !is_valid(&wish.filter) || (!known && state.filters.len() >= limit) {
                    return None;
                }
                state.filters.insert(wish.filter.clone());
                drop(state);
                let qos = wish.qos;
                let subscriber = Subscriber {
                    session: session.clone(),
                    qos,
                    no_local: wish.no_local,
                    retain_as_published: wish.retain_as_published,
                    share: wish.is_shared().then(|| wish.filter.as_str().into()),
                };
                let new = inner.tree.insert(&wish.filter, subscriber);
                // Whoever joins a group is not greeted: others have had those messages (5.0 §4.8.2).
                if wish.is_shared() {
                    return Some(qos);
                }
                if wish.retained == 0 || (wish.retained == 1 && new) {
                    inner.retained.collect(&wish.filter, qos, &mut retained);
                }
                Some(qos)
            })
            .collect();
        Some((granted, retained))
    }

    pub(in crate::mqtt::hub) fn unsubscribe(&self, session: &Session, filters: &[String]) {
        let mut inner = self.write();
        for filter in filters {
            if session.state().filters.remove(filter) {
                inner.tree.remove(filter, session.number);
            }
        }
    }

    /// Queues a letter for every subscriber, and keeps it when it is to be retained; how many get it.
    pub(in crate::mqtt::hub) fn publish(
        &self,
        letter: &Letter,
        from: Option<u64>,
        settings: &HubSettings,
        counters: &Counters,
    ) -> u64 {
        if letter.retain {
            let mut inner = self.write();
            if !inner.retained.keep(letter, settings.retained) {
                count(&counters.overflowed, 1);
            }
            return inner.deliver(letter, from, settings, counters);
        }
        self.read().deliver(letter, from, settings, counters)
    }

    /// Gives the letters that a session left to others that share its subscriptions.
    pub(in crate::mqtt::hub) fn inherit(
        &self,
        letters: &[Letter],
        settings: &HubSettings,
        counters: &Counters,
    ) {
        let inner = self.read();
        for letter in letters {
            let group = letter
                .share
                .as_deref()
                .and_then(|share| inner.tree.group(share));
            let taken = group.is_some_and(|group| group.push(letter, settings.queue, counters));
            count(&counters.discarded, u64::from(!taken && letter.qos > 0));
        }
    }
}

impl Inner {
    /// With the board held: no session ends between being found and getting its letter.
    fn deliver(
        &self,
        letter: &Letter,
        from: Option<u64>,
        settings: &HubSettings,
        counters: &Counters,
    ) -> u64 {
        let mut found = Found::default();
        self.tree.find(&letter.topic, &mut found);
        let Found {
            mut alone, groups, ..
        } = found;
        // One client with several matching filters gets the message once, at the best quality it asked for.
        alone.sort_by_key(|subscriber| {
            (
                subscriber.session.number,
                core::cmp::Reverse(subscriber.qos),
            )
        });
        alone.dedup_by_key(|subscriber| subscriber.session.number);
        alone
            .retain(|subscriber| !(subscriber.no_local && Some(subscriber.session.number) == from));
        let mut routed = 0;
        for subscriber in alone {
            let copy = subscriber.copy(letter);
            let mut state = subscriber.session.state();
            if copy.qos == 0 && state.live.is_none() {
                count(&counters.missed, 1);
                continue;
            }
            routed += 1;
            count(&counters.overflowed, state.push(copy, settings.queue));
        }
        for group in groups {
            routed += u64::from(group.push(letter, settings.queue, counters));
        }
        count(&counters.routed, routed);
        routed
    }
}
