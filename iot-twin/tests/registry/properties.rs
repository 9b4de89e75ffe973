//! What holds of any life of a registry: no lost update, no silent gap, and queries that find what they mean.

use alloc::collections::BTreeMap;
use std::thread;

use futures::executor::block_on;
use iot_twin::Value;
use iot_twin::iot_core::fleet::{Member, Selector};
use iot_twin::iot_core::{TenantId, Timestamp};
use iot_twin::registry::{
    CommitError, Event, Expect, Half, Is, Limits, Memory, Query, Record, Redb, Registry, Store,
    TwinKey, Watch,
};
use proptest::prelude::*;

use super::twins::{draft, key, record};

const WRITERS: u64 = 4;
const ROUNDS: u64 = 100;

fn number_in(record: &Record) -> u64 {
    match record.value(Half::Desired, "1") {
        Some(Value::Int(number)) => u64::try_from(number).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Each writer adds one, so often, and every addition counts.
fn loses_no_update<S: Store>(store: S) {
    let registry = Registry::open(store);
    block_on(registry.put(&key(0), Expect::Absent, record(0), Timestamp::EPOCH)).unwrap();
    let writers = (0..WRITERS).map(|_| {
        let registry = registry.clone();
        thread::spawn(move || {
            let mut conflicts = 0;
            for _ in 0..ROUNDS {
                loop {
                    let found = block_on(registry.read(&key(0))).unwrap().unwrap();
                    let next = record(number_in(&found.record) + 1);
                    let expect = Expect::At(found.revision);
                    match block_on(registry.put(&key(0), expect, next, Timestamp::EPOCH)) {
                        Ok(_) => break,
                        Err(CommitError::Conflict { .. }) => conflicts += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            conflicts
        })
    });
    let writers: Vec<_> = writers.collect();
    let conflicts: u32 = writers
        .into_iter()
        .map(|writer| writer.join().unwrap())
        .sum();
    let end = block_on(registry.read(&key(0))).unwrap().unwrap();
    assert_eq!(
        number_in(&end.record),
        WRITERS * ROUNDS,
        "{conflicts} conflicts"
    );
}

#[test]
fn writers_at_once_lose_no_update_in_memory() {
    loses_no_update(Memory::new());
}

#[test]
fn writers_at_once_lose_no_update_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    loses_no_update(Redb::open(folder.path().join("fleet.redb")).unwrap());
}

/// Writers change twins while watchers follow, some too slow for the backlog: each change is seen once, or missed
/// and said so; then what is missed is in the list.
fn sees_every_change_once_or_says_so<S: Store>(store: S) -> (u64, u64) {
    let registry = Registry::open(store);
    let from = block_on(registry.store().cursor()).unwrap();
    let watchers: Vec<_> = (0..2_u64)
        .map(|slow| {
            let registry = registry.clone();
            thread::spawn(move || {
                let mut watch = block_on(registry.watch(Some(from))).unwrap();
                let (mut seen, mut losses) = (0, 0);
                let mut place = from.revision().get();
                let mut known: BTreeMap<TwinKey, u64> = BTreeMap::new();
                while place < WRITERS * ROUNDS {
                    match block_on(watch.next()).unwrap() {
                        Event::Changed {
                            key,
                            revision,
                            record,
                            ..
                        } => {
                            assert_eq!(
                                revision.get(),
                                place + 1,
                                "a change was skipped or came twice"
                            );
                            known.insert(key, number_in(&record.unwrap()));
                            place += 1;
                            seen += 1;
                        }
                        Event::Lost { resume } => {
                            assert!(resume.revision().get() > place);
                            place = resume.revision().get();
                            losses += 1;
                            let all = Query::of_every_tenant(Selector::parse("all()").unwrap());
                            for (key, stored) in block_on(registry.select(&all)).unwrap() {
                                known.insert(key, number_in(&stored.record));
                            }
                        }
                        other => panic!("{other:?}"),
                    }
                    if slow == 1 && seen % 16 == 0 {
                        thread::yield_now();
                    }
                }
                (known, seen, losses)
            })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let registry = registry.clone();
            thread::spawn(move || {
                for round in 1..=ROUNDS {
                    let key = key(writer);
                    let put = registry.put(&key, Expect::Any, record(round), Timestamp::EPOCH);
                    block_on(put).unwrap();
                }
            })
        })
        .collect();
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    let (mut seen, mut losses) = (0, 0);
    for watcher in watchers {
        let (known, own, lost) = watcher.join().unwrap();
        assert!(known.values().all(|number| *number == ROUNDS), "{known:?}");
        assert_eq!(known.len() as u64, WRITERS);
        seen += own;
        losses += lost;
    }
    (seen, losses)
}

#[test]
fn watchers_in_memory_see_every_change_once_or_are_told() {
    let (seen, losses) = sees_every_change_once_or_says_so(Memory::new());
    assert_eq!((seen, losses), (2 * WRITERS * ROUNDS, 0));
    sees_every_change_once_or_says_so(Memory::new().with_backlog(1));
}

#[test]
fn watchers_of_a_file_see_every_change_once_or_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name, backlog| {
        Redb::open_with(folder.path().join(name), Limits::new(16, 1, backlog)).unwrap()
    };
    let (seen, losses) = sees_every_change_once_or_says_so(open("long", 10_000));
    assert_eq!((seen, losses), (2 * WRITERS * ROUNDS, 0));
    sees_every_change_once_or_says_so(open("short", 1));
}

/// A twin as the model knows it.
#[derive(Clone, Debug)]
struct Row {
    tenant: &'static str,
    site: Option<&'static str>,
    value: u64,
}

/// What a selector sees of it, written anew.
impl Member for Row {
    fn label(&self, name: &str) -> Option<&str> {
        match name {
            "site" => self.site,
            "desired.1" => {
                Some(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"][self.value as usize])
            }
            _ => None,
        }
    }
    fn is_in(&self, _: &str) -> bool {
        false
    }
}

fn any_row() -> impl Strategy<Value = Row> {
    let tenant = prop_oneof![Just("acme"), Just("acme-2"), Just("acme.x")];
    let site = proptest::option::of(prop_oneof![Just("north"), Just("south")]);
    (tenant, site, 0..10_u64).prop_map(|(tenant, site, value)| Row {
        tenant,
        site,
        value,
    })
}

const SELECTORS: [&str; 7] = [
    "all()",
    "site == 'north'",
    "site != 'north'",
    "has(site) && desired.1 in ('1', '2', '3')",
    "!(site ~ 'so*') || desired.1 == '7'",
    "has(desired.1) && !has(desired.2)",
    "has(reported.1)",
];

fn finds_what_it_means<S: Store>(store: S, rows: &[Row], limit: usize, above: Option<u64>) {
    let registry = Registry::open(store);
    let mut model = BTreeMap::new();
    for (number, row) in rows.iter().enumerate() {
        let key: TwinKey = format!("{}/d{}", row.tenant, number % 40).parse().unwrap();
        let labels: Vec<_> = row.site.map(|site| ("site", site)).into_iter().collect();
        let record = draft(row.value, &labels).finish().unwrap();
        block_on(registry.put(&key, Expect::Any, record, Timestamp::EPOCH)).unwrap();
        model.insert(key, row.clone());
    }
    for text in SELECTORS {
        let selector = Selector::parse(text).unwrap();
        for tenant in [None, Some("acme"), Some("acme-2")] {
            let mut query = match tenant {
                Some(tenant) => Query::new(TenantId::new(tenant).unwrap(), selector.clone()),
                None => Query::of_every_tenant(selector.clone()),
            };
            if let Some(above) = above {
                query = query.and(Half::Desired, "1", Is::Above(above as f64));
            }
            let meant = model.iter().filter(|(_, row)| {
                tenant.is_none_or(|tenant| tenant == row.tenant)
                    && selector.matches(*row)
                    && above.is_none_or(|above| row.value > above)
            });
            let meant: Vec<_> = meant.map(|(key, _)| key.clone()).collect();
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = block_on(registry.store().page(&query, after.as_ref(), limit)).unwrap();
                assert!(page.twins.len() <= limit);
                found.extend(page.twins.into_iter().map(|(key, _)| key));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            found.sort_unstable();
            assert_eq!(found, meant, "{text} {tenant:?} {above:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_query_in_memory_finds_exactly_what_it_means(
        rows in proptest::collection::vec(any_row(), 0..60), limit in 1..20_usize, above in proptest::option::of(0..10_u64),
    ) {
        finds_what_it_means(Memory::new(), &rows, limit, above);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn a_query_of_a_file_finds_exactly_what_it_means(
        rows in proptest::collection::vec(any_row(), 0..40), limit in 1..20_usize, above in proptest::option::of(0..10_u64),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = Redb::open(folder.path().join("fleet.redb")).unwrap();
        finds_what_it_means(store, &rows, limit, above);
    }
}
