//! Which session gets which letter.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Board;
use crate::mqtt::hub::letter::Letter;
use crate::mqtt::hub::session::Session;
use crate::mqtt::hub::tree::{Subscriber, is_valid};
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
                let qos = wish.qos.min(1);
                let subscriber = Subscriber {
                    session: session.clone(),
                    qos,
                    no_local: wish.no_local,
                    retain_as_published: wish.retain_as_published,
                };
                let new = inner.tree.insert(&wish.filter, subscriber);
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
        let mut found = Vec::new();
        if letter.retain {
            let mut inner = self.write();
            inner.tree.find(&letter.topic, &mut found);
            if !inner.retained.keep(letter, settings.retained) {
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
}
