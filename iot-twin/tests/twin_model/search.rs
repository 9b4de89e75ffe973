//! Every world that can be reached, breadth first.

use std::collections::{HashSet, VecDeque};

use super::rules::Rules;
use super::world::World;

/// What a search came to.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    pub(crate) broken: Option<(&'static str, World)>,
}

pub(crate) fn search(rules: &Rules) -> Found {
    let start = World::default();
    let (mut known, mut queue) = (HashSet::from([start.clone()]), VecDeque::from([start]));
    let mut found = Found {
        states: 0,
        transitions: 0,
        broken: None,
    };
    while let Some(world) = queue.pop_front() {
        found.states += 1;
        if let Err(broken) = world.settles(rules) {
            found.broken = Some((broken, world));
            return found;
        }
        for choice in world.moves(rules) {
            let mut next = world.clone();
            next.make(rules, &choice);
            found.transitions += 1;
            if let Some(broken) = next.broken {
                found.broken = Some((broken, next));
                return found;
            }
            if !known.contains(&next) {
                known.insert(next.clone());
                queue.push_back(next);
            }
        }
    }
    found
}
