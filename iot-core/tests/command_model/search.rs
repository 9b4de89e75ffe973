//! Breadth first through every world that can be reached, with the shortest way to one that is wrong.

use alloc::collections::VecDeque;
use core::hash::{BuildHasherDefault, Hash, Hasher};
use std::collections::HashSet;

use super::rules::Rules;
use super::world::{Move, World};

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// The claim that does not hold, with the moves that lead there.
    pub(crate) broken: Option<(&'static str, Vec<Move>)>,
}

/// Visits every world; stops at the first in which a claim does not hold or nothing comes to an end.
///
/// A world counts as known when 128 bits of its hash were seen before.
pub(crate) fn search(rules: &Rules) -> Found {
    let mut known = HashSet::<u128, BuildHasherDefault<Identity>>::default();
    let mut came_from: Vec<(usize, Move)> = Vec::new();
    let mut queue = VecDeque::from([(0, World::start())]);
    known.insert(digest(&World::start()));
    came_from.push((0, Move::Run));
    let (mut transitions, mut broken) = (0, None);
    while let Some((number, world)) = queue.pop_front() {
        let wrong = world.broken.or_else(|| world.comes_to_rest(rules).err());
        if let Some(wrong) = wrong {
            broken = Some((wrong, way(&came_from, number)));
            break;
        }
        for step in world.moves(rules) {
            for next in world.after(rules, step) {
                transitions += 1;
                if known.insert(digest(&next)) {
                    queue.push_back((came_from.len(), next));
                    came_from.push((number, step));
                }
            }
        }
    }
    Found {
        states: known.len(),
        transitions,
        broken,
    }
}

fn way(came_from: &[(usize, Move)], mut at: usize) -> Vec<Move> {
    let mut moves = Vec::new();
    while at != 0 {
        let (before, step) = came_from[at];
        moves.push(step);
        at = before;
    }
    moves.reverse();
    moves
}

/// 128 bits of any value, in two lanes that mix differently.
pub(crate) fn digest<T: Hash>(value: &T) -> u128 {
    let mut lanes = Lanes(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);
    value.hash(&mut lanes);
    let (low, high) = (finish(lanes.0), finish(lanes.1));
    u128::from(high) << 64 | u128::from(low)
}

const fn finish(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

struct Lanes(u64, u64);

impl Lanes {
    const fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.1 = (self.1.rotate_left(23) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
    }
}

impl Hasher for Lanes {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, value: u8) {
        self.word(value.into());
    }
    fn write_u16(&mut self, value: u16) {
        self.word(value.into());
    }
    fn write_isize(&mut self, value: isize) {
        self.word(value.cast_unsigned() as u64);
    }
    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// The keys of the set are hashes already.
#[derive(Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, _: &[u8]) {}
    #[allow(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
