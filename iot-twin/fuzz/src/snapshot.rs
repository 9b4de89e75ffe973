//! All twins of a registry in memory, as bytes.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use iot_twin::iot_core::Timestamp;
use iot_twin::iot_core::fleet::Selector;
use iot_twin::registry::{Change, Cursor, Draft, Expect, Memory, Query, Store, Stored, TwinKey};
use iot_twin::{FieldId, TwinService};

/// What is read is what is written again: every twin, its history, and where the numbers stand.
pub fn run(data: &[u8]) {
    let Ok(memory) = Memory::restored(data) else {
        return;
    };
    let again = Memory::restored(&memory.snapshot()).expect("its own bytes");
    let twins = all(&memory);
    assert_eq!(all(&again), twins);
    for (key, _) in &twins {
        assert_eq!(now(again.history(key)), now(memory.history(key)));
    }
    let [before, after] = [&memory, &again].map(|memory| now(memory.cursor()));
    assert_eq!(before.map(Cursor::revision), after.map(Cursor::revision));
}

/// A store in memory answers at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a store in memory waits"),
    }
}

fn all(memory: &Memory) -> Vec<(TwinKey, Stored)> {
    let query = Query::of_every_tenant(Selector::parse("all()").expect("a selector"));
    let (mut twins, mut after) = (Vec::new(), None);
    loop {
        let Ok(page) = now(memory.page(&query, after.as_ref(), 100));
        twins.extend(page.twins);
        after = page.next;
        if after.is_none() {
            return twins;
        }
    }
}

fn make(memory: &Memory, key: &str, value: u64) {
    let mut twin = TwinService::new();
    twin.set_field(FieldId::new(1), value).expect("a value");
    let record = Draft::of(&twin).finish().expect("a record");
    let key = key.parse().expect("a key");
    let change = Change::put(key, Expect::Any, record, Timestamp::from_secs(value));
    now(memory.commit(vec![change])).expect("a change");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let memory = Memory::new();
    let mut seeds = vec![memory.snapshot()];
    for (key, value) in [("a/b", 1), ("a/b", 2), ("c/d/e", 3)] {
        make(&memory, key, value);
        seeds.push(memory.snapshot());
    }
    seeds
}

#[test]
fn every_seed_is_a_snapshot_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Memory::restored(&seed).is_ok());
        run(&seed);
    }
}
