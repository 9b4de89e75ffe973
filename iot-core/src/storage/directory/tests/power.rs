//! A process that is killed leaves names that nobody made durable; then the power is cut as well.

use alloc::collections::BTreeSet;
use alloc::string::String;

use super::*;

type Names = BTreeMap<String, Vec<u8>>;

/// What a disk makes of the operations. A name that was not synced may be kept or lost, each by itself.
#[derive(Clone)]
struct Disk {
    durable: Names,
    unfinished: Names,
    /// Each name that was given or taken away since the last sync.
    recent: Vec<(String, Option<Vec<u8>>)>,
}

impl Disk {
    fn new(entries: &[Entry]) -> Self {
        let record = |(key, value): &Entry| {
            let key = RecordKey::new(*key);
            let value = value.as_deref().unwrap();
            (plan::record_name(key), format::write_record(key, value))
        };
        Self {
            durable: entries.iter().map(record).collect(),
            unfinished: Names::new(),
            recent: Vec::new(),
        }
    }

    fn perform(&mut self, operation: &Operation) {
        match operation {
            Operation::Write { name, bytes } => {
                self.unfinished.insert(name.clone(), bytes.clone());
            }
            Operation::Finish { name } => {
                let bytes = self.unfinished.remove(name).unwrap();
                self.recent.push((name.clone(), Some(bytes)));
            }
            Operation::Remove { name } => self.recent.push((name.clone(), None)),
            Operation::Sync => {
                self.durable = self.with(usize::MAX);
                self.recent.clear();
            }
        }
    }

    /// The names, of the recent ones those whose bit is set.
    fn with(&self, kept: usize) -> Names {
        let mut names = self.durable.clone();
        for (at, (name, bytes)) in self.recent.iter().enumerate() {
            match bytes {
                _ if kept >> at & 1 == 0 => {}
                Some(bytes) => drop(names.insert(name.clone(), bytes.clone())),
                None => drop(names.remove(name)),
            }
        }
        names
    }

    /// What a power cut may leave.
    fn after_a_cut(&self) -> impl Iterator<Item = Names> {
        (0..1 << self.recent.len()).map(|kept| self.with(kept))
    }
}

fn folder_with(names: &Names) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in names {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn opened(names: &Names) -> Content {
    content(&mut Directory::open(folder_with(names).path()).unwrap())
}

/// Kills a commit after each of its operations, opens what that left, and cuts the power at each operation of
/// the opening and after it.
fn is_whole_and_stays(entries: &[Entry]) {
    let changes: Vec<_> = (entries.iter())
        .map(|(key, value)| Change {
            key: RecordKey::new(*key),
            value: value.as_deref(),
        })
        .collect();
    let operations = plan::commit(&changes);
    let before = opened(&Disk::new(&old()).durable);
    let mut done = Disk::new(&old());
    operations
        .iter()
        .for_each(|operation| done.perform(operation));
    let after = opened(&done.with(usize::MAX));
    assert_ne!(before, after);
    let (mut seen, mut not_durable) = (BTreeSet::new(), 0);
    for killed_after in 0..=operations.len() {
        let mut disk = Disk::new(&old());
        for operation in operations.iter().take(killed_after) {
            disk.perform(operation);
        }
        not_durable += disk.recent.len();
        let folder = TempDir::new().unwrap();
        let mut store = Directory::open(folder.path()).unwrap();
        for (name, bytes) in disk.with(usize::MAX) {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        store.interrupted = true;
        let cuts = &mut seen;
        store
            .settle_by(|operation, path| {
                cuts.extend(disk.after_a_cut());
                disk.perform(operation);
                operation.perform(path)
            })
            .unwrap();
        let shown = content(&mut store);
        for left in disk.after_a_cut() {
            assert_eq!(opened(&left), shown, "what was shown was lost");
            seen.insert(left);
        }
    }
    assert!(not_durable > 0, "every name was durable");
    for left in seen {
        let found = opened(&left);
        assert!(found == before || found == after, "half of it: {found:?}");
    }
}

#[test]
fn what_a_killed_process_left_is_durable_before_it_is_shown() {
    is_whole_and_stays(&[(1, Some(b"ONE".to_vec()))]);
    is_whole_and_stays(&[(2, None)]);
}

#[test]
fn a_batch_whose_name_was_not_durable_is_carried_out_whole_or_not_at_all() {
    is_whole_and_stays(&[
        (1, Some(b"ONE".to_vec())),
        (2, None),
        (3, Some(b"three".to_vec())),
    ]);
}
