//! Trials that end although something else is broken: the storage, the firmware, or who else keeps records.

use iot_core::engine::Failure;

use super::*;

/// A configuration that has a trial of `NEW` applied and unproved, and what is on record then.
fn on_trial(restarts: u8) -> (Config<Network>, Vec<(RecordKey, Vec<u8>)>) {
    let mut config = Config::new(FACTORY, RECORDS);
    config.input(at(0), &Event::Restored);
    config.applied(at(0), true);
    let terms = Terms::reconnect(MINUTE)
        .restarts(restarts)
        .answering(Version::new(3, 7));
    config
        .stage(terms, |network| *network = NEW, |_| true)
        .unwrap();
    let mut buffer = [0; 256];
    let Step::Persist(batch) = config.step(at(0), &mut buffer) else {
        panic!("{config:?}");
    };
    let entries = batch
        .iter()
        .map(|(key, value)| (key, value.unwrap().into()));
    let records = entries.collect();
    config.done(at(0), Done::Persisted);
    config.applied(at(0), true);
    assert_eq!(config.phase(), Phase::Proving);
    (config, records)
}

/// Asks again and again, over minutes, and always hears that nothing can be written; says how often it was asked to.
fn with_dead_storage(
    config: &mut Config<Network>,
    mut each: impl FnMut(&mut Config<Network>),
) -> u32 {
    let mut asked = 0;
    for second in 0..300 {
        let now = at(second * 1_000);
        if let Step::Persist(_) = config.step(now, &mut [0; 256]) {
            asked += 1;
            config.done(now, Done::Failed(Failure::StorageFull));
        }
        each(config);
    }
    asked
}

#[test]
fn storage_that_is_dead_keeps_no_device_on_a_trial_that_was_not_proved() {
    let (mut config, _) = on_trial(0);
    let mut applied = None;
    let asked = with_dead_storage(&mut config, |config| {
        if config.phase() == Phase::Restoring {
            applied = Some(config.current().clone());
            config.applied(at(0), true);
        }
    });
    assert_eq!(applied, Some(FACTORY));
    assert!(asked > 100, "{asked}");
    // Nobody is told of an end that a power cut would take back, and nothing else is tried before.
    assert_eq!(config.phase(), Phase::Reverting);
    assert_eq!(config.answer(), Some((Version::new(3, 7), Code::PENDING)));
    let other = config.stage(Terms::health(MINUTE), |_| {}, |_| true);
    assert_eq!(other, Err(StageError::Busy));
    // Some day it works again.
    let later = at(1_000_000);
    assert!(matches!(
        config.step(later, &mut [0; 256]),
        Step::Persist(_)
    ));
    config.done(later, Done::Persisted);
    assert_eq!(config.phase(), Phase::Steady);
    let told = (Version::new(3, 7), Ending::TimedOut.into());
    assert_eq!(config.answer(), Some(told));
}

#[test]
fn a_restart_that_cannot_be_put_on_record_ends_a_trial() {
    let (_, records) = on_trial(3);
    let mut config = Config::new(FACTORY, RECORDS);
    for (key, value) in &records {
        config.input(at(0), &Event::Record { key: *key, value });
    }
    config.input(at(0), &Event::Restored);
    assert_eq!(config.phase(), Phase::Recording);
    let asked = with_dead_storage(&mut config, |_| {});
    assert!(asked > 100, "{asked}");
    assert_eq!(config.phase(), Phase::Restoring);
    assert_eq!(*config.current(), FACTORY);
    assert_eq!(config.ending(), Some(Ending::Restarted));
}

#[test]
fn what_others_have_on_record_is_no_trial() {
    let (_, records) = on_trial(3);
    let before = RecordKey::new(RECORDS.get() - 1);
    let behind = RECORDS.offset(2).unwrap();
    for foreign in [before, behind, RecordKey::new(0x7777)] {
        let mut config = Config::new(FACTORY, RECORDS);
        for (_, value) in &records {
            let key = foreign;
            config.input(at(0), &Event::Record { key, value });
        }
        config.input(at(0), &Event::Restored);
        assert_eq!((config.phase(), config.ending()), (Phase::Restoring, None));
        assert!(matches!(config.step(at(0), &mut [0; 256]), Step::Idle));
    }
}

/// Later firmware, for which channel 11 is none, or which has no roaming any more.
#[derive(Clone, Debug, PartialEq, Twin)]
struct Narrower {
    #[twin(desired, range = 1..=9)]
    channel: u8,
    #[twin(desired)]
    roaming: bool,
    #[twin(desired)]
    power: u8,
}

#[derive(Clone, Debug, PartialEq, Twin)]
struct Fewer {
    #[twin(desired, range = 1..=13)]
    channel: u8,
    #[twin(desired, id = 2)]
    power: u8,
}

#[test]
fn a_trial_that_other_firmware_can_take_only_in_part_is_over() {
    fn goes_on<T: Twin + Clone + PartialEq + core::fmt::Debug>(factory: T) -> Option<Ending> {
        let (_, records) = on_trial(3);
        let mut config = Config::new(factory.clone(), RECORDS);
        for (key, value) in &records {
            config.input(at(0), &Event::Record { key: *key, value });
        }
        config.input(at(0), &Event::Restored);
        assert!(matches!(
            config.step(at(0), &mut [0; 256]),
            Step::Persist(_)
        ));
        config.done(at(0), Done::Persisted);
        if config.phase() == Phase::Applying {
            return None;
        }
        assert_eq!(*config.current(), factory);
        let told = (Version::new(3, 7), Ending::Restarted.into());
        assert_eq!(config.answer(), Some(told));
        config.ending()
    }
    let narrower = Narrower {
        channel: 6,
        roaming: false,
        power: 10,
    };
    let fewer = Fewer {
        channel: 6,
        power: 10,
    };
    assert_eq!(goes_on(FACTORY), None);
    assert_eq!(goes_on(narrower), Some(Ending::Restarted));
    assert_eq!(goes_on(fewer), Some(Ending::Restarted));
}
