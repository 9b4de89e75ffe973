use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::slot::{
    BootEvent, BootRecord, EndedAs, Release, RollBackReason, boot, load, raise_counter, store,
};
use crate::testing::{Sha256, sha256};

const OLD: &[u8] = b"the old system";
const NEW: &[u8] = b"the new system, which is longer";

fn release(sequence: u64, image: &[u8]) -> Release {
    let size = u32::try_from(image.len()).unwrap();
    Release::new(sequence, sha256(image), size).with_counter(sequence)
}

/// As the factory leaves it.
fn device(folder: &Path) -> FileBanks {
    fs::write(folder.join("a"), OLD).unwrap();
    fs::write(folder.join("b"), []).unwrap();
    let mut banks = open(folder, Bank::A).unwrap();
    store(&mut banks, &BootRecord::factory(Bank::A, release(1, OLD))).unwrap();
    banks.raise_counter(1).unwrap();
    banks
}

fn open(folder: &Path, running: Bank) -> Result<FileBanks, FileBanksError> {
    let [a, b, environment] = ["a", "b", "env"].map(|name| folder.join(name));
    FileBanks::open([&a, &b], &environment, 1 << 16, running)
}

fn stage(banks: &mut FileBanks) {
    let spare = banks.running().other();
    banks.clear(spare, 0).unwrap();
    banks.write(spare, 0, NEW).unwrap();
    let stage = BootEvent::Stage {
        candidate: release(2, NEW),
        trials: 1,
    };
    let record = load(banks).unwrap().unwrap().on(stage).unwrap();
    store(banks, &record).unwrap();
}

#[test]
fn a_system_is_tried_confirmed_and_counted_across_processes() {
    let folder = tempfile::tempdir().unwrap();
    stage(&mut device(folder.path()));
    let mut early = open(folder.path(), Bank::A).unwrap();
    assert_eq!(boot(&mut early, &mut Sha256::default()).unwrap(), Bank::B);
    let text = fs::read_to_string(folder.path().join("env")).unwrap();
    assert!(
        text.contains("iot_active=a\niot_boots=b\niot_counter=1\n"),
        "{text}"
    );
    let mut system = open(folder.path(), Bank::B).unwrap();
    let confirmed = load(&mut system)
        .unwrap()
        .unwrap()
        .on(BootEvent::Confirm)
        .unwrap();
    store(&mut system, &confirmed).unwrap();
    raise_counter(&mut system, &confirmed).unwrap();
    let mut early = open(folder.path(), Bank::B).unwrap();
    assert_eq!(early.counter().unwrap(), 2);
    assert_eq!(boot(&mut early, &mut Sha256::default()).unwrap(), Bank::B);
}

#[test]
fn a_system_that_is_not_confirmed_is_rolled_back_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    stage(&mut device(folder.path()));
    for expected in [Bank::B, Bank::A] {
        let mut early = open(folder.path(), Bank::A).unwrap();
        assert_eq!(boot(&mut early, &mut Sha256::default()).unwrap(), expected);
    }
    let ended = load(&mut open(folder.path(), Bank::A).unwrap())
        .unwrap()
        .unwrap()
        .ended
        .unwrap();
    assert_eq!(ended.how, EndedAs::RolledBack(RollBackReason::Unconfirmed));
}

#[test]
fn what_a_power_cut_leaves_beside_the_environment_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    drop(device(folder.path()));
    fs::write(folder.path().join("env.tmp"), b"iot_version=1\niot_act").unwrap();
    let mut banks = open(folder.path(), Bank::A).unwrap();
    assert_eq!(load(&mut banks).unwrap().unwrap().installed.sequence, 1);
    banks.raise_counter(5).unwrap();
    assert_eq!(open(folder.path(), Bank::A).unwrap().counter().unwrap(), 5);
}

#[test]
fn an_environment_in_which_any_byte_was_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(device(folder.path()));
    let path = folder.path().join("env");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        assert!(
            matches!(open(folder.path(), Bank::A), Err(FileBanksError::Corrupt)),
            "{at}"
        );
        fs::write(&path, &whole[..at]).unwrap();
        assert!(
            matches!(open(folder.path(), Bank::A), Err(FileBanksError::Corrupt)),
            "{at}"
        );
    }
    fs::write(&path, whole).unwrap();
    assert!(open(folder.path(), Bank::A).is_ok());
}

#[test]
fn nothing_is_read_or_written_past_a_bank() {
    let folder = tempfile::tempdir().unwrap();
    let mut banks = device(folder.path());
    let past = |result| matches!(result, Err(FileBanksError::OutOfRange));
    assert!(past(banks.write(Bank::B, (1 << 16) - 1, &[1, 2])));
    assert!(past(banks.read(Bank::B, u32::MAX, &mut [0])));
}

proptest! {
    #[test]
    fn an_environment_is_read_as_it_was_written(counter: u64, record in proptest::option::of(proptest::array::uniform32(any::<u8>()))) {
        let record = record.map(|bytes| core::array::from_fn(|at| bytes[at % 32]));
        let environment = Environment { record, counter };
        let text = environment.encode();
        prop_assert!(u64::try_from(text.len()).unwrap() <= MAX_BYTES);
        prop_assert_eq!(Environment::decode(text.as_bytes()), Some(environment));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), text in "(iot_(version|counter|record|sum)=[-0-9a-f]{0,9}\n){0,6}") {
        let _ = Environment::decode(&bytes);
        let _ = Environment::decode(text.as_bytes());
    }
}
