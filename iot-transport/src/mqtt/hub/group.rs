//! The members that share a subscription: each letter goes to one of them (5.0 §4.8.2).

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::letter::Letter;
use super::session::{Bounds, State};
use super::stats::{Counters, count};
use super::tree::Subscriber;

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) members: Vec<Subscriber>,
    /// Who is asked first, counted on.
    turn: AtomicUsize,
}

impl Group {
    /// Queues a letter for the member that is next in turn among those best off; whether there was one.
    pub(super) fn push(&self, letter: &Letter, bounds: Bounds, counters: &Counters) -> bool {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(self.members.len()).unwrap_or_default();
        let (later, sooner) = self.members.split_at_checked(first).unwrap_or_default();
        let mut best: Option<(u8, &Subscriber)> = None;
        for member in sooner.iter().chain(later) {
            let mut state = member.session.state();
            let copy = member.copy(letter);
            let rank = rank(&state, &copy, bounds);
            if rank == 0 {
                count(&counters.overflowed, state.push(copy, bounds));
                return true;
            }
            if best.is_none_or(|(known, _)| rank < known) {
                best = Some((rank, member));
            }
        }
        let Some((_, member)) = best else {
            return false;
        };
        let copy = member.copy(letter);
        let mut state = member.session.state();
        if copy.qos == 0 && state.live.is_none() {
            count(&counters.missed, 1);
            return false;
        }
        count(&counters.overflowed, state.push(copy, bounds));
        true
    }
}

/// How badly off a letter is with a member: waiting for one that is away is better than being dropped.
fn rank(state: &State, letter: &Letter, bounds: Bounds) -> u8 {
    match (state.live.is_some(), state.has_room(letter, bounds)) {
        (true, true) => 0,
        (false, true) if letter.qos > 0 => 1,
        (true, false) => 2,
        (false, _) => 3,
    }
}
