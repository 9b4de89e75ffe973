use super::*;
use crate::sim::MemoryBanks;
use crate::slot::raise_counter;
use crate::testing::{Sha256, sha256};

const OLD: Release = Release::new(1, [1; 32], 10);
const NEW: Release = Release::new(2, [2; 32], 20);

fn stage(trials: u8) -> BootEvent {
    BootEvent::Stage {
        candidate: NEW,
        trials,
    }
}

#[test]
fn every_row_of_the_table_is_as_written_here() {
    let confirmed = BootRecord::factory(Bank::A, OLD);
    let staged = |trials| BootRecord {
        state: BootState::Staged {
            candidate: NEW,
            trials,
        },
        ..confirmed
    };
    let trial = |left| BootRecord {
        state: BootState::Trial {
            candidate: NEW,
            left,
        },
        ..confirmed
    };
    let ended = |how| Some(Ended { sequence: 2, how });
    let back = |reason| BootRecord {
        ended: ended(EndedAs::RolledBack(reason)),
        ..confirmed
    };
    let done = BootRecord {
        active: Bank::B,
        installed: NEW,
        state: BootState::Confirmed,
        ended: ended(EndedAs::Confirmed),
    };
    let self_test = RollBackReason::SelfTest;
    let table = [
        (confirmed, stage(3), Some(staged(3))),
        (confirmed, stage(0), Some(staged(1))),
        (confirmed, BootEvent::Boot, Some(confirmed)),
        (confirmed, BootEvent::Confirm, None),
        (confirmed, BootEvent::Reject(self_test), None),
        (staged(3), stage(2), Some(staged(2))),
        (staged(3), BootEvent::Boot, Some(trial(2))),
        (staged(3), BootEvent::Confirm, None),
        (
            staged(3),
            BootEvent::Reject(RollBackReason::Damaged),
            Some(back(RollBackReason::Damaged)),
        ),
        (trial(2), stage(3), None),
        (trial(2), BootEvent::Boot, Some(trial(1))),
        (
            trial(0),
            BootEvent::Boot,
            Some(back(RollBackReason::Unconfirmed)),
        ),
        (trial(0), BootEvent::Confirm, Some(done)),
        (
            trial(1),
            BootEvent::Reject(self_test),
            Some(back(self_test)),
        ),
    ];
    for (from, event, to) in table {
        let refused = BadTransition {
            state: from.state,
            event,
        };
        assert_eq!(from.on(event), to.ok_or(refused));
    }
}

#[test]
fn a_power_cut_at_any_byte_leaves_the_old_record_or_the_new_one() {
    let first = BootRecord::factory(Bank::A, OLD);
    let second = first.on(stage(3)).unwrap();
    let third = second.on(BootEvent::Boot).unwrap();
    let (mut kept, mut replaced) = (0, 0);
    for cut in 0..=RECORD_BYTES as u64 + 1 {
        let mut banks = MemoryBanks::empty(64, 16);
        store(&mut banks, &first).unwrap();
        store(&mut banks, &second).unwrap();
        banks.cut_power_after(cut);
        let stored = store(&mut banks, &third).is_ok();
        banks.restore_power();
        let found = load(&mut banks).unwrap().unwrap();
        assert!(found == second || found == third, "cut at {cut}: {found:?}");
        if stored {
            assert_eq!(found, third);
        }
        if found == third {
            replaced += 1
        } else {
            kept += 1
        }
        // The torn copy must not be in the way of the next write.
        store(&mut banks, &first).unwrap();
        assert_eq!(load(&mut banks).unwrap(), Some(first));
    }
    assert!(kept > 0 && replaced > 0, "the cut never fired, or always");
}

#[test]
fn an_unreadable_copy_of_the_record_is_passed_over_when_the_other_is_whole() {
    let mut banks = MemoryBanks::factory(64, 16, b"old", OLD);
    let factory = load(&mut banks).unwrap().unwrap();
    let staged = factory.on(stage(2)).unwrap();
    store(&mut banks, &staged).unwrap();
    banks.fail_record_reads(RecordCopy::First);
    assert_eq!(load(&mut banks), Ok(Some(staged)));
    // What would be stored in a copy that cannot be read is not called stored.
    let trial = staged.on(BootEvent::Boot).unwrap();
    assert_eq!(
        store(&mut banks, &trial),
        Err(StoreError::Banks(crate::sim::SimError::Unreadable))
    );
    assert_eq!(load(&mut banks), Ok(Some(staged)));
    banks.heal_reads();
    assert_eq!(load(&mut banks), Ok(Some(trial)));
    banks.fail_record_reads(RecordCopy::First);
    banks.fail_record_reads(RecordCopy::Second);
    assert_eq!(load(&mut banks), Err(crate::sim::SimError::Unreadable));
}

/// What is on record when the one copy is lost, and when the other one is.
fn read_from_either(banks: &MemoryBanks) -> [Option<BootRecord>; 2] {
    [RecordCopy::First, RecordCopy::Second].map(|lost| {
        let mut banks = banks.clone();
        banks.fail_record_reads(lost);
        load(&mut banks).ok().flatten()
    })
}

#[test]
fn a_confirmation_outlives_the_loss_of_either_copy() {
    let (old, new) = (b"the old firmware", b"the new firmware, longer");
    for (counters, lost) in [
        ([1, 2], RecordCopy::First),
        ([1, 2], RecordCopy::Second),
        ([0, 0], RecordCopy::First),
        ([0, 0], RecordCopy::Second),
    ] {
        let release = Release::new(1, sha256(old), 16).with_counter(counters[0]);
        let mut banks = MemoryBanks::factory(64, 16, old, release);
        banks.write(Bank::B, 0, new).unwrap();
        let candidate = Release::new(2, sha256(new), 24).with_counter(counters[1]);
        let stage = BootEvent::Stage {
            candidate,
            trials: 1,
        };
        let staged = load(&mut banks).unwrap().unwrap().on(stage).unwrap();
        store(&mut banks, &staged).unwrap();
        assert_eq!(banks.reboot(&mut Sha256::default()), Ok(Bank::B));
        let on_trial = load(&mut banks).unwrap().unwrap();
        let confirmed = on_trial.on(BootEvent::Confirm).unwrap();
        store(&mut banks, &confirmed).unwrap();
        raise_counter(&mut banks, &confirmed).unwrap();
        banks.fail_record_reads(lost);
        for _ in 0..3 {
            assert_eq!(banks.reboot(&mut Sha256::default()), Ok(Bank::B));
        }
        assert_eq!(load(&mut banks), Ok(Some(confirmed)));
    }
}

#[test]
fn after_a_boot_both_copies_say_the_same_wherever_the_power_was_cut() {
    let old = Release::new(1, sha256(b"old"), 3);
    let mut torn = 0;
    for cut in 0..=2 * RECORD_BYTES as u64 {
        let mut banks = MemoryBanks::factory(64, 16, b"old", old);
        let factory = load(&mut banks).unwrap().unwrap();
        let ended = BootRecord {
            ended: Some(Ended {
                sequence: 9,
                how: EndedAs::Confirmed,
            }),
            ..factory
        };
        banks.cut_power_after(cut);
        let _ = store(&mut banks, &ended);
        banks.restore_power();
        let [left, right] = read_from_either(&banks);
        torn += usize::from(left != right);
        let found = load(&mut banks).unwrap();
        banks.reboot(&mut Sha256::default()).unwrap();
        assert_eq!(read_from_either(&banks), [found, found], "cut at {cut}");
    }
    assert!(torn > RECORD_BYTES, "{torn}");
}

#[test]
fn a_copy_that_cannot_be_read_at_one_boot_is_not_overwritten_with_an_older_record() {
    let old = Release::new(1, sha256(b"old"), 3);
    let mut banks = MemoryBanks::factory(64, 16, b"old", old);
    let factory = load(&mut banks).unwrap().unwrap();
    let staged = factory.on(stage(2)).unwrap();
    // The power fails between the two copies, so that only one of them is the newer record.
    banks.cut_power_after(RECORD_BYTES as u64);
    assert!(store(&mut banks, &staged).is_err());
    banks.restore_power();
    let [left, right] = read_from_either(&banks);
    let newer = match (left, right) {
        (Some(left), _) if left == staged => RecordCopy::Second,
        _ => RecordCopy::First,
    };
    assert_ne!(left, right);
    banks.fail_record_reads(newer);
    banks.reboot(&mut Sha256::default()).unwrap();
    banks.heal_reads();
    assert_eq!(load(&mut banks), Ok(Some(staged)));
}
