use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use std::path::Path;

use futures::executor::block_on;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::engine::BatchWriter;

type Content = BTreeMap<u32, Vec<u8>>;
type Entry = (u32, Option<Vec<u8>>);

fn commit(store: &mut Directory, entries: &[Entry]) -> Result<(), DirectoryError> {
    let mut buffer = [0; 512];
    let mut writer = BatchWriter::new(&mut buffer);
    for (key, value) in entries {
        match value {
            Some(value) => writer.put(RecordKey::new(*key), value).unwrap(),
            None => writer.remove(RecordKey::new(*key)).unwrap(),
        }
    }
    block_on(store.commit(&writer.finish()))
}

fn content(store: &mut Directory) -> Content {
    let (mut all, mut from) = (Content::new(), RecordKey::new(0));
    while let Some(key) = block_on(store.next_key(from)).unwrap() {
        let mut buffer = [0; 64];
        let value = block_on(store.read(key, &mut buffer)).unwrap().unwrap();
        all.insert(key.get(), value.to_vec());
        from = key.offset(1).unwrap();
    }
    all
}

fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

fn old() -> Vec<Entry> {
    [(1, Some(b"one".to_vec())), (2, Some(b"two".to_vec()))].into()
}

/// Every state of the files in which a cut can leave a commit: stopped after any operation, and within a
/// write after any byte.
fn states(entries: &[Entry]) -> Vec<TempDir> {
    let start = TempDir::new().unwrap();
    commit(&mut Directory::open(start.path()).unwrap(), &old()).unwrap();
    let change = |(key, value): &'_ Entry| (RecordKey::new(*key), value.clone());
    let entries: Vec<_> = entries.iter().map(change).collect();
    let changes: Vec<_> = (entries.iter())
        .map(|(key, value)| Change {
            key: *key,
            value: value.as_deref(),
        })
        .collect();
    let mut states = Vec::from([copy(start.path())]);
    let work = copy(start.path());
    for operation in plan::commit(&changes) {
        if let Operation::Write { name, bytes } = &operation {
            for end in 0..bytes.len() {
                let torn = copy(work.path());
                fs::write(
                    torn.path().join(name.clone() + plan::UNFINISHED),
                    &bytes[..end],
                )
                .unwrap();
                states.push(torn);
            }
        }
        operation.perform(work.path()).unwrap();
        states.push(copy(work.path()));
    }
    states
}

fn is_old_or_new_everywhere(entries: &[Entry]) {
    let before = Content::from([(1, b"one".to_vec()), (2, b"two".to_vec())]);
    let mut after = before.clone();
    for (key, value) in entries {
        match value {
            Some(value) => drop(after.insert(*key, value.clone())),
            None => drop(after.remove(key)),
        }
    }
    let mut seen_new = false;
    for state in states(entries) {
        let found = content(&mut Directory::open(state.path()).unwrap());
        assert!(found == before || found == after, "{found:?}");
        assert!(!seen_new || found == after, "an older state came back");
        seen_new |= found == after;
        let again = content(&mut Directory::open(state.path()).unwrap());
        assert_eq!(found, again, "opening changed what is stored");
        for entry in fs::read_dir(state.path()).unwrap() {
            let name = entry.unwrap().file_name();
            let name = name.to_str().unwrap();
            assert!(
                name == "lock" || plan::key_of(name).is_some(),
                "{name} was left behind"
            );
        }
    }
    assert!(seen_new, "the commit never took effect");
}

#[test]
fn a_cut_anywhere_leaves_one_change_done_or_not() {
    is_old_or_new_everywhere(&[(1, Some(b"ONE".to_vec()))]);
    is_old_or_new_everywhere(&[(2, None)]);
}

#[test]
fn a_cut_anywhere_leaves_a_batch_done_or_not() {
    is_old_or_new_everywhere(&[
        (1, Some(b"ONE".to_vec())),
        (2, None),
        (3, Some(b"three".to_vec())),
    ]);
}

#[test]
fn names_that_became_durable_in_another_order_are_put_right() {
    // Between two syncs the file system may keep any of the renames and removals and lose the others.
    let entries: [Entry; 3] = [
        (1, Some(b"ONE".to_vec())),
        (2, None),
        (3, Some(b"three".to_vec())),
    ];
    let changes = entries.each_ref().map(|(key, value)| Change {
        key: RecordKey::new(*key),
        value: value.as_deref(),
    });
    for kept in 0..1 << changes.len() {
        let folder = TempDir::new().unwrap();
        commit(&mut Directory::open(folder.path()).unwrap(), &old()).unwrap();
        fs::write(
            folder.path().join(plan::BATCH),
            format::write_batch(&changes),
        )
        .unwrap();
        for (at, change) in changes
            .iter()
            .enumerate()
            .filter(|(at, _)| kept >> at & 1 == 1)
        {
            assert!(at < changes.len());
            for operation in plan::commit(core::slice::from_ref(change)) {
                operation.perform(folder.path()).unwrap();
            }
        }
        let found = content(&mut Directory::open(folder.path()).unwrap());
        assert_eq!(
            found,
            Content::from([(1, b"ONE".to_vec()), (3, b"three".to_vec())])
        );
    }
}

#[test]
fn a_batch_whose_removal_was_lost_does_not_mix_with_the_next_commit() {
    let batch: [Entry; 2] = [(1, Some(b"ONE".to_vec())), (3, Some(b"three".to_vec()))];
    let changes = batch.each_ref().map(|(key, value)| Change {
        key: RecordKey::new(*key),
        value: value.as_deref(),
    });
    let next = [Change {
        key: RecordKey::new(1),
        value: Some(b"next"),
    }];
    // The next commit is cut before its sync, so its rename may be kept while the removal is lost.
    for done in 0..plan::commit(&next).len() {
        let folder = TempDir::new().unwrap();
        let mut store = Directory::open(folder.path()).unwrap();
        commit(&mut store, &old()).unwrap();
        commit(&mut store, &batch).unwrap();
        let after_batch = content(&mut store);
        drop(store);
        for operation in plan::commit(&next).iter().take(done) {
            operation.perform(folder.path()).unwrap();
        }
        fs::write(
            folder.path().join(plan::BATCH),
            format::write_batch(&changes),
        )
        .unwrap();
        let found = content(&mut Directory::open(folder.path()).unwrap());
        assert_eq!(found, after_batch);
    }
}

#[test]
fn every_new_directory_is_made_durable_in_the_one_above_it() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("one/two"));
    let pairs = [(one.as_path(), folder.path()), (&two, &one)];
    assert_eq!(plan::missing(&two), pairs);
    drop(Directory::open(&two).unwrap());
    assert_eq!(plan::missing(&two), []);
    // A relative path begins in the working directory.
    let here = (Path::new("no-such"), Path::new("."));
    let below = (Path::new("no-such/folder"), Path::new("no-such"));
    assert_eq!(plan::missing(Path::new("no-such/folder")), [here, below]);
    assert!(Directory::open(folder.path().join("one/two/lock/three")).is_err());
}

#[test]
fn a_store_has_one_owner_at_a_time() {
    let folder = TempDir::new().unwrap();
    let first = Directory::open(folder.path()).unwrap();
    let second = Directory::open(folder.path()).unwrap_err();
    assert!(matches!(second, DirectoryError::InUse));
    drop(first);
    Directory::open(folder.path()).unwrap();
}

#[test]
fn damage_is_reported_and_never_read_as_a_value() {
    let folder = TempDir::new().unwrap();
    let mut store = Directory::open(folder.path()).unwrap();
    commit(&mut store, &old()).unwrap();
    let file = folder.path().join(plan::record_name(RecordKey::new(1)));
    let mut bytes = fs::read(&file).unwrap();
    bytes[14] ^= 1;
    fs::write(&file, bytes).unwrap();
    let read =
        |store: &mut Directory| block_on(store.read(RecordKey::new(1), &mut [0; 64])).map(drop);
    assert_eq!(
        read(&mut store).unwrap_err().kind(),
        RecordsErrorKind::Corrupt
    );
    fs::remove_file(&file).unwrap();
    assert_eq!(
        read(&mut store).unwrap_err().kind(),
        RecordsErrorKind::Corrupt
    );
    drop(store);
    fs::write(folder.path().join(plan::BATCH), b"IOTB").unwrap();
    let error = Directory::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), RecordsErrorKind::Corrupt);
}

#[test]
fn a_later_version_is_not_told_as_damage() {
    let (what, found) = (What::Batch, 2);
    let error = DirectoryError::Version { what, found };
    assert_eq!(error.kind(), RecordsErrorKind::Version);
}

#[test]
fn a_full_store_refuses_before_anything_is_changed() {
    let folder = TempDir::new().unwrap();
    let mut store = Directory::open_with_limit(folder.path(), 8).unwrap();
    commit(&mut store, &old()).unwrap();
    let batch: [Entry; 2] = [(1, None), (3, Some(b"seven b".to_vec()))];
    let error = commit(&mut store, &batch).unwrap_err();
    assert_eq!(error.kind(), RecordsErrorKind::Full);
    assert_eq!(content(&mut store).len(), 2);
    commit(&mut store, &[(1, None), (3, Some(b"five5".to_vec()))]).unwrap();
}

#[test]
fn a_commit_that_the_file_system_refuses_half_way_is_carried_out_later() {
    let folder = TempDir::new().unwrap();
    let mut store = Directory::open(folder.path()).unwrap();
    commit(&mut store, &old()).unwrap();
    // A directory in the place of an unfinished file makes its creation fail.
    let obstacle = folder
        .path()
        .join(plan::record_name(RecordKey::new(2)) + plan::UNFINISHED);
    fs::create_dir(&obstacle).unwrap();
    let batch: [Entry; 2] = [(1, Some(b"ONE".to_vec())), (2, Some(b"TWO".to_vec()))];
    assert_eq!(
        commit(&mut store, &batch).unwrap_err().kind(),
        RecordsErrorKind::Other
    );
    assert!(block_on(store.next_key(RecordKey::new(0))).is_err());
    fs::remove_dir(&obstacle).unwrap();
    let after = Content::from([(1, b"ONE".to_vec()), (2, b"TWO".to_vec())]);
    assert_eq!(content(&mut store), after);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_holds_what_a_map_holds(batches in proptest::collection::vec(proptest::collection::vec((0u32..5, proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9))), 0..4), 0..6)) {
        let folder = TempDir::new().unwrap();
        let mut store = Directory::open(folder.path()).unwrap();
        let mut model = Content::new();
        for batch in batches {
            commit(&mut store, &batch).unwrap();
            for (key, value) in batch {
                match value {
                    Some(value) => drop(model.insert(key, value)),
                    None => drop(model.remove(&key)),
                }
            }
            prop_assert_eq!(content(&mut store), model.clone());
            drop(store);
            store = Directory::open(folder.path()).unwrap();
            prop_assert_eq!(content(&mut store), model.clone());
        }
    }
}

mod power;
