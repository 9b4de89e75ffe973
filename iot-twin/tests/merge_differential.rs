//! Our merge against another implementation of RFC 7396, on random documents.
//!
//! `IOT_MERGES` says how many cases there are; 20,000 when it is not set.
#![cfg(feature = "json")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use iot_twin::merge::merge;
use iot_twin::value::Value;
use serde_json::{Map, Value as Json};

/// A small generator of numbers, the same everywhere for one seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    /// Few names, so that documents and patches often speak of the same; nulls everywhere.
    fn json(&mut self, depth: u64) -> Json {
        match self.roll(if depth == 0 { 5 } else { 10 }) {
            0 => Json::Null,
            1 => Json::Bool(self.roll(2) == 0),
            2 => Json::from(self.roll(1_000)),
            3 => Json::from(format!("text {}", self.roll(4))),
            4 => Json::from(self.roll(1_000) as f64 / 8.0 - 60.0),
            5 => (0..self.roll(4)).map(|_| self.json(depth - 1)).collect(),
            _ => {
                let names = ["a", "b", "c", "", "a/b", "~"];
                let count = self.roll(5);
                let entries = (0..count).map(|_| {
                    let name = names[usize::try_from(self.roll(6)).unwrap()];
                    (name.to_owned(), self.json(depth - 1))
                });
                Json::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

#[test]
fn every_merge_is_that_of_another_implementation() {
    let cases = std::env::var("IOT_MERGES").map_or(20_000, |cases| cases.parse().unwrap());
    let mut dice = Dice(7);
    let (mut changed, mut unequal) = (0_u64, 0_u64);
    for case in 0..cases {
        let (document, patch) = (dice.json(4), dice.json(4));
        let mut theirs = document.clone();
        json_patch::merge(&mut theirs, &patch);
        let mut ours = Value::from(document.clone());
        merge(&mut ours, &Value::from(patch.clone()));
        changed += u64::from(theirs != document && theirs != patch);
        if Json::from(ours) != theirs {
            unequal += 1;
            println!("case {case}: {document} with {patch} is {theirs}");
        }
    }
    println!("merges={cases} mixed={changed} unequal={unequal}");
    // Most patches replace everything; these had something to keep.
    assert!(
        unequal == 0 && changed > cases / 10,
        "{unequal} of {cases}, {changed} mixed"
    );
}
