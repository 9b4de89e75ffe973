//! What a service does with a registry: updates, desires, restarts.

use core::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures::FutureExt as _;
use futures::executor::block_on;
use iot_twin::iot_core::fleet::Selector;
use iot_twin::iot_core::{TenantId, Timestamp};
use iot_twin::registry::{
    Draft, Event, Expect, Half, Is, Memory, Query, RecordError, Redb, RedbError, Registry,
    SaveError, Store, UpdateError, Watch,
};
use iot_twin::{FieldId, Twin, TwinService, Value};

use super::twins::{draft, key, record};

#[derive(Twin)]
struct Room {
    #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
    setpoint: f32,
    #[twin(reported, unit = "Cel")]
    temperature: f32,
}

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Twins 0 to 9, the even ones in the north.
fn rooms<S: Store>(store: S) -> Registry<S> {
    let registry = Registry::open(store);
    for number in 0..10 {
        let site = if number % 2 == 0 { "north" } else { "south" };
        let key = key(number);
        let made = registry.update(&key, NOW, |found| {
            assert_eq!(found, None);
            let mut draft = Draft::of(&TwinService::of::<Room>());
            draft.set_label("site", site)?;
            Ok::<_, RecordError>(Some(draft))
        });
        assert!(block_on(made).unwrap().is_some());
    }
    registry
}

fn north() -> Query {
    let selector = Selector::parse("site == 'north'").unwrap();
    Query::new(TenantId::new("acme").unwrap(), selector)
}

#[test]
fn the_same_is_desired_of_every_twin_of_a_query_and_only_once() {
    let registry = rooms(Memory::new());
    let desire = |celsius: f32| {
        let edit = move |room: &mut RoomDesired| room.setpoint = celsius;
        block_on(registry.desire::<Room>(&north(), NOW, edit))
    };
    assert_eq!(desire(21.0), Ok(5));
    assert_eq!(desire(21.0), Ok(0));
    let refused = desire(45.0).unwrap_err();
    let named = refused.key.clone().unwrap();
    assert!([0, 2, 4, 6, 8].map(key).contains(&named), "{named:?}");
    assert_eq!(refused.changed, 0);
    assert!(matches!(refused.error, UpdateError::Edit(_)), "{refused}");
    let warm = north().and(Half::Desired, "setpoint", Is::Equal(Value::from(21)));
    assert_eq!(block_on(registry.select(&warm)).unwrap().len(), 5);
    let south = Selector::parse("has(desired.setpoint) && site == 'south'").unwrap();
    assert_eq!(
        block_on(registry.select(&Query::of_every_tenant(south))),
        Ok(vec![])
    );
}

#[test]
fn who_is_taken_out_of_a_query_meanwhile_is_left_alone() {
    let registry = rooms(Memory::new());
    let moved = AtomicBool::new(false);
    let north = north();
    let desired = registry.desire::<Room>(&north, NOW, |room| {
        room.setpoint = 21.0;
        if !moved.swap(true, Ordering::SeqCst) {
            for number in [0, 2, 4] {
                let south = |found: Option<Draft>| {
                    let mut draft = found.unwrap();
                    draft.set_label("site", "south")?;
                    Ok::<_, RecordError>(Some(draft))
                };
                let key = key(number);
                // A store in memory never waits.
                let made = registry.update(&key, NOW, south).now_or_never();
                assert!(made.unwrap().is_ok());
            }
        }
    });
    assert_eq!(block_on(desired), Ok(2));
    let warm = Selector::parse("has(desired.setpoint)").unwrap();
    let warm = block_on(registry.select(&Query::of_every_tenant(warm))).unwrap();
    let keys: Vec<_> = warm.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [key(6), key(8)]);
}

#[test]
fn a_service_that_knows_less_takes_no_name_away() {
    #[derive(Twin)]
    struct Newer {
        #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
        setpoint: f32,
        #[twin(reported, unit = "Cel")]
        temperature: f32,
        #[twin(desired)]
        mode: u8,
    }
    let registry = Registry::open(Memory::new());
    let mode = |twin: &mut TwinService| twin.set("mode", 3);
    block_on(registry.edit(&key(0), NOW, &TwinService::of::<Newer>(), mode)).unwrap();
    let everyone = Query::of_every_tenant(Selector::parse("has(desired.mode)").unwrap());
    let with_mode = |half| {
        let query = everyone.clone().and(half, "mode", Is::Equal(3.into()));
        block_on(registry.select(&query)).unwrap().len()
    };
    assert_eq!(with_mode(Half::Desired), 1);
    let older = registry.desire::<Room>(&everyone, NOW, |room| room.setpoint = 21.0);
    assert_eq!(block_on(older), Ok(1));
    assert_eq!(with_mode(Half::Desired), 1);
}

#[test]
fn a_service_goes_on_in_the_same_epoch_from_what_a_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.redb");
    let registry = rooms(Redb::open(&path).unwrap());
    let twin = TwinService::of::<Room>().in_epoch(40);
    let stored = block_on(registry.update(&key(0), NOW, |found| {
        let mut twin = twin.clone();
        twin.set("setpoint", 22.5)?;
        let mut draft = found.unwrap();
        draft.set_twin(&twin);
        Ok::<_, iot_twin::sync::DesireError>(Some(draft))
    }));
    let revision = stored.unwrap().unwrap();
    drop(registry);
    let registry = Registry::open(Redb::open(&path).unwrap());
    let (twin, expect) = block_on(registry.load(&key(0), TwinService::of::<Room>())).unwrap();
    assert_eq!(expect, Expect::At(revision));
    assert_eq!(twin.version().epoch(), 40);
    assert_eq!(twin.desired("setpoint"), Some(&Value::from(22.5)));
    let (_, absent) = block_on(registry.load(&key(99), TwinService::of::<Room>())).unwrap();
    assert_eq!(absent, Expect::Absent);
}

#[test]
fn a_twin_is_saved_with_its_labels_and_over_nobody_else() {
    let registry = rooms(Memory::new());
    let fresh = || TwinService::of::<Room>().with_store();
    let (mut slow, at_first) = block_on(registry.load(&key(0), fresh())).unwrap();
    let (mut fast, _) = block_on(registry.load(&key(0), fresh())).unwrap();
    fast.set("setpoint", 19.0).unwrap();
    let rests = block_on(registry.save(&key(0), at_first, &fast, NOW)).unwrap();
    assert_ne!(rests, at_first);
    slow.set("setpoint", 25.0).unwrap();
    let late = block_on(registry.save(&key(0), at_first, &slow, NOW));
    assert_eq!(late, Err(SaveError::Conflict));
    // What is the same already is no change, and the next one rests on what there is.
    assert_eq!(
        block_on(registry.save(&key(0), rests, &fast, NOW)),
        Ok(rests)
    );
    let stored = block_on(registry.read(&key(0))).unwrap().unwrap();
    assert_eq!(Expect::At(stored.revision), rests);
    assert_eq!(stored.record.label("site"), Some("north"));
    let desired = stored.record.value(Half::Desired, "setpoint");
    assert_eq!(desired, Some(Value::from(19.0)));
}

#[test]
fn edits_of_many_writers_all_count() {
    let registry = Registry::open(Memory::new());
    let writers = (0..4).map(|_| {
        let registry = registry.clone();
        thread::spawn(move || {
            for _ in 0..50 {
                let count = |twin: &mut TwinService| {
                    let before = twin.version().number();
                    twin.set_field(FieldId::new(0), i64::from(before) + 1)
                };
                // Who loses again and again is told, and tries again.
                while block_on(registry.edit(&key(0), NOW, &TwinService::new(), count)).is_err() {}
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    let (twin, _) = block_on(registry.load(&key(0), TwinService::new())).unwrap();
    assert_eq!(twin.version().number(), 200);
}

#[test]
fn updates_of_many_writers_all_count() {
    let registry = Registry::open(Memory::new());
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let registry = registry.clone();
            thread::spawn(move || {
                for _ in 0..50 {
                    let add = |found: Option<Draft>| {
                        let before = found.map_or(0, |draft| {
                            let mut fields = draft.state().desired();
                            match fields.next().map(|field| &field.value) {
                                Some(Some(Value::Int(number))) => u64::try_from(*number).unwrap(),
                                other => panic!("{other:?}"),
                            }
                        });
                        Ok::<_, RecordError>(Some(draft(before + 1, &[])))
                    };
                    // Who loses again and again is told, and tries again.
                    while block_on(registry.update(&key(0), NOW, add)).is_err() {}
                }
            })
        })
        .collect();
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    let stored = block_on(registry.read(&key(0))).unwrap().unwrap();
    assert_eq!(stored.record, record(200));
}

#[test]
fn an_edit_that_changes_nothing_stores_nothing() {
    let registry = rooms(Memory::new());
    let before = block_on(registry.store().cursor()).unwrap();
    let same = block_on(registry.update(&key(3), NOW, Ok::<_, RecordError>)).unwrap();
    assert_eq!(
        same,
        Some(block_on(registry.read(&key(3))).unwrap().unwrap().revision)
    );
    let none = block_on(registry.update(&key(77), NOW, Ok::<_, RecordError>));
    assert_eq!(none, Ok(None));
    assert_eq!(block_on(registry.store().cursor()).unwrap(), before);
}

#[test]
fn a_file_that_is_open_or_no_registry_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.redb");
    let store = Redb::open(&path).unwrap();
    assert_eq!(Redb::open(&path).unwrap_err(), RedbError::Locked);
    drop(store);
    assert!(Redb::open(&path).is_ok());
    let other = folder.path().join("notes.txt");
    std::fs::write(
        &other,
        "no database at all, but long enough to look like one".repeat(100),
    )
    .unwrap();
    assert_eq!(Redb::open(&other).unwrap_err(), RedbError::Corrupt);
    assert_eq!(std::fs::read_to_string(&other).unwrap().len(), 5_200);
}

#[test]
fn a_watcher_that_outlives_its_store_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = Redb::open(folder.path().join("fleet.redb")).unwrap();
    let end = block_on(store.cursor()).unwrap();
    let mut watch = block_on(store.watch(end)).unwrap();
    let waiting = thread::spawn(move || block_on(watch.next()));
    drop(store);
    let told: Result<Event, RedbError> = waiting.join().unwrap();
    assert_eq!(told, Err(RedbError::Closed));
}
