mod durable;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::slot::{
    BootEvent, BootRecord, EndedAs, Release, RollBackReason, StoreError, boot, load, raise_counter,
    store,
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
    drop(early);
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
    drop(system);
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
    drop(banks);
    assert_eq!(open(folder.path(), Bank::A).unwrap().counter().unwrap(), 5);
}

#[test]
fn two_owners_at_once_there_are_not_and_the_counter_never_falls() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = device(folder.path());
    let in_use = |found| matches!(found, Err(FileBanksError::InUse));
    assert!(in_use(open(folder.path(), Bank::A)));
    daemon.raise_counter(5).unwrap();
    drop(daemon);
    let mut tool = open(folder.path(), Bank::A).unwrap();
    assert!(in_use(open(folder.path(), Bank::A)));
    tool.raise_counter(3).unwrap();
    drop(tool);
    assert_eq!(open(folder.path(), Bank::A).unwrap().counter().unwrap(), 5);
    // Nor are two names of one file two banks.
    fs::remove_file(folder.path().join("b")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("a"), folder.path().join("b")).unwrap();
    assert!(in_use(open(folder.path(), Bank::A)));
}

#[test]
fn what_somebody_else_wrote_is_neither_undone_nor_lowered() {
    let folder = tempfile::tempdir().unwrap();
    let mut banks = device(folder.path());
    let record = load(&mut banks).unwrap().unwrap();
    let theirs = Environment {
        counter: 7,
        ..banks.environment
    };
    fs::write(folder.path().join("env"), theirs.encode()).unwrap();
    let changed = |result| matches!(result, Err(FileBanksError::Changed));
    assert!(changed(banks.raise_counter(3)));
    assert!(matches!(
        store(&mut banks, &record),
        Err(StoreError::Banks(FileBanksError::Changed))
    ));
    drop(banks);
    let mut banks = open(folder.path(), Bank::A).unwrap();
    assert_eq!(banks.counter().unwrap(), 7);
    store(&mut banks, &record).unwrap();
    assert_eq!(banks.counter().unwrap(), 7);
}

/// A device that takes every byte and cannot make any durable stands for a disk with a cache.
#[test]
fn what_cannot_be_made_durable_is_not_called_written() {
    let folder = tempfile::tempdir().unwrap();
    drop(device(folder.path()));
    let [a, environment] = ["a", "env"].map(|name| folder.path().join(name));
    let nothing = Path::new("/dev/null");
    let mut banks = FileBanks::open([&a, nothing], &environment, 1 << 16, Bank::A).unwrap();
    let written = banks.write(Bank::B, 0, NEW);
    assert!(
        matches!(&written, Err(FileBanksError::Io(error)) if error.kind() == io::ErrorKind::InvalidInput),
        "{written:?}"
    );
}

#[test]
fn an_environment_behind_links_is_replaced_where_it_is() {
    let (folder, boot) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let there = boot.path().join("boot.env");
    // A link to a link to a file that is not there yet.
    let [link, between] = ["env", "between"].map(|name| folder.path().join(name));
    std::os::unix::fs::symlink("between", &link).unwrap();
    std::os::unix::fs::symlink(&there, &between).unwrap();
    drop(device(folder.path()));
    let before = fs::read(&there).unwrap();
    open(folder.path(), Bank::A)
        .unwrap()
        .raise_counter(9)
        .unwrap();
    assert_ne!(fs::read(&there).unwrap(), before);
    assert_eq!(fs::read(&link).unwrap(), fs::read(&there).unwrap());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    // On the file system of the boot stage there is the spare, too.
    fs::remove_file(&there).unwrap();
    assert_eq!(open(folder.path(), Bank::A).unwrap().counter().unwrap(), 9);
}

#[test]
fn the_lines_for_scripts_say_what_the_record_boots() {
    let folder = tempfile::tempdir().unwrap();
    let mut banks = device(folder.path());
    let lines = || fs::read_to_string(folder.path().join("env")).unwrap();
    stage(&mut banks);
    assert!(lines().contains("iot_active=a\niot_boots=a\n"));
    assert_eq!(boot(&mut banks, &mut Sha256::default()).unwrap(), Bank::B);
    assert!(lines().contains("iot_active=a\niot_boots=b\n"));
    // The other one is on its way, while this one still runs.
    let reject = BootEvent::Reject(RollBackReason::SelfTest);
    let rejected = load(&mut banks).unwrap().unwrap().on(reject).unwrap();
    store(&mut banks, &rejected).unwrap();
    assert!(lines().contains("iot_active=a\niot_boots=a\n"));
    assert_eq!(boot(&mut banks, &mut Sha256::default()).unwrap(), Bank::A);
}

#[test]
fn a_damaged_environment_is_made_again_from_its_spare() {
    let folder = tempfile::tempdir().unwrap();
    let [first, spare] = ["env", "env.spare"].map(|name| folder.path().join(name));
    device(folder.path()).raise_counter(5).unwrap();
    let whole = fs::read(&first).unwrap();
    assert_eq!(fs::read(&spare).unwrap(), whole);
    let cut = &whole[..whole.len() / 2];
    for damaged in [&first, &spare] {
        for left in [Some(&b""[..]), Some(cut), None] {
            match left {
                Some(left) => fs::write(damaged, left).unwrap(),
                None => fs::remove_file(damaged).unwrap(),
            }
            let mut banks = open(folder.path(), Bank::A).unwrap();
            assert_eq!(banks.counter().unwrap(), 5);
            assert_eq!(load(&mut banks).unwrap().unwrap().installed.sequence, 1);
            assert_eq!(fs::read(damaged).unwrap(), whole);
        }
    }
    // A power cut between the two: what is newer counts, and stands twice before anybody acts on it.
    let older = fs::read(&spare).unwrap();
    open(folder.path(), Bank::A)
        .unwrap()
        .raise_counter(6)
        .unwrap();
    fs::write(&spare, older).unwrap();
    assert_eq!(open(folder.path(), Bank::A).unwrap().counter().unwrap(), 6);
    fs::remove_file(&first).unwrap();
    assert_eq!(open(folder.path(), Bank::A).unwrap().counter().unwrap(), 6);
}

#[test]
fn an_environment_in_which_any_byte_was_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(device(folder.path()));
    let path = folder.path().join("env");
    fs::write(folder.path().join("env.spare"), b"damaged").unwrap();
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
fn the_last_bank_that_a_command_line_names_is_the_one_that_runs() {
    assert_eq!(running_bank("iot.bank=a ro iot.bank=b"), Some(Bank::B));
    assert_eq!(running_bank("iot.bank=b iot.bank=a"), Some(Bank::A));
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
        prop_assert!(u64::try_from(text.len()).unwrap() <= environment::MAX_BYTES);
        prop_assert_eq!(Environment::decode(text.as_bytes()), Some(environment));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), text in "(iot_(version|counter|record|sum)=[-0-9a-f]{0,9}\n){0,6}") {
        let _ = Environment::decode(&bytes);
        let _ = Environment::decode(text.as_bytes());
    }
}
