//! Trials that end in every way, with the power cut before and after each write.

mod ends;

use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;

use iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_core::node::{block_on, restore};
use iot_core::port::Records as _;
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::TimeBounds;
use iot_core::{Instant, Now};
use proptest::prelude::*;

use super::{Config, Ending, Phase, StageError, Terms};
use crate::sync::{Code, Version};
use crate::{FieldId, Twin};

#[derive(Clone, Debug, PartialEq, Twin)]
struct Network {
    #[twin(desired, range = 1..=13)]
    channel: u8,
    #[twin(desired)]
    roaming: bool,
    #[twin(desired, reported, deadband = 2)]
    power: u8,
}

const FACTORY: Network = Network {
    channel: 6,
    roaming: false,
    power: 10,
};
const NEW: Network = Network {
    channel: 11,
    roaming: true,
    power: 10,
};
const RECORDS: RecordKey = RecordKey::new(0x6000);
const MINUTE: Duration = Duration::from_secs(60);

fn at(millis: u64) -> Now {
    Now::new(Instant::from_millis(millis), TimeBounds::UNKNOWN)
}

struct World {
    config: Config<Network>,
    records: MemoryRecords,
    millis: u64,
    /// Before which write, counted from here, the power is cut, or after it.
    cut: Option<(u32, bool)>,
    writes: u32,
    cuts: u32,
}

impl World {
    fn new(cut: Option<(u32, bool)>) -> Self {
        let mut world = Self {
            config: Config::new(FACTORY, RECORDS),
            records: MemoryRecords::new(),
            millis: 0,
            cut,
            writes: 0,
            cuts: 0,
        };
        world.boot();
        world
    }

    fn boot(&mut self) {
        self.config = Config::new(FACTORY, RECORDS);
        let (config, records) = (&mut self.config, &mut self.records);
        block_on(restore(config, records, at(self.millis), &mut [0; 256])).unwrap();
        // What is confirmed is old or new, never anything in between.
        let confirmed = self.config.confirmed();
        assert!(*confirmed == FACTORY || *confirmed == NEW, "{confirmed:?}");
        self.pump();
    }

    fn pump(&mut self) {
        let mut buffer = [0; 256];
        let now = at(self.millis);
        while let Step::Persist(batch) = self.config.step(now, &mut buffer) {
            let cut = self.cut.filter(|(write, _)| *write == self.writes);
            self.writes += 1;
            if cut.is_none_or(|(_, after)| after) {
                block_on(self.records.commit(&batch)).unwrap();
            }
            if cut.is_some() {
                self.cuts += 1;
                self.boot();
                return;
            }
            self.config.done(now, Done::Persisted);
        }
    }

    fn apply(&mut self, well: bool) {
        self.config.applied(at(self.millis), well);
        self.pump();
    }

    fn stage(&mut self, terms: Terms) {
        let staged = self.config.stage(terms, |network| *network = NEW, |_| true);
        staged.unwrap();
        self.pump();
    }

    /// Whatever is in force is applied, until nothing is to be done.
    fn rest(&mut self) {
        for _ in 0..10 {
            match self.config.phase() {
                Phase::Applying | Phase::Restoring => self.apply(true),
                Phase::Steady => return,
                _ => {
                    self.millis += 61_000;
                    self.pump();
                }
            }
        }
        panic!("{:?}", self.config);
    }
}

/// A story, once whole and then with the power cut around each write; what each may end in.
fn with_every_cut(story: impl Fn(&mut World), check: impl Fn(&World)) -> u32 {
    let mut whole = World::new(None);
    story(&mut whole);
    check(&whole);
    for write in 0..whole.writes {
        for after in [false, true] {
            let mut world = World::new(Some((write, after)));
            story(&mut world);
            assert_eq!(world.cuts, 1, "the power was cut");
            world.rest();
            let (confirmed, current) = (world.config.confirmed(), world.config.current());
            assert_eq!(confirmed, current, "nothing is tried any more");
            let is_new = world.config.ending() == Some(Ending::Confirmed);
            assert_eq!(*confirmed == NEW, is_new, "{:?}", world.config);
            // A restart changes nothing any more.
            let before = confirmed.clone();
            world.boot();
            assert_eq!(*world.config.confirmed(), before);
            assert_eq!(world.config.phase(), Phase::Restoring);
        }
    }
    whole.writes
}

#[test]
fn what_is_proved_is_kept_and_a_cut_at_any_write_leaves_old_or_new() {
    let writes = with_every_cut(
        |world| {
            world.apply(true);
            world.stage(Terms::health(MINUTE));
            world.apply(true);
            world.config.confirm();
            world.pump();
        },
        |world| {
            assert_eq!(world.config.phase(), Phase::Steady);
            assert_eq!(*world.config.confirmed(), NEW);
            assert_eq!(world.config.revision(), 1);
        },
    );
    assert_eq!(writes, 2);
}

#[test]
fn what_is_not_proved_in_time_is_taken_back() {
    let story = |world: &mut World| {
        world.apply(true);
        world.stage(Terms::health(MINUTE));
        world.apply(true);
        world.millis += 59_999;
        world.pump();
        if world.cuts == 0 {
            assert_eq!(world.config.phase(), Phase::Proving);
            assert_eq!(*world.config.current(), NEW);
        }
        world.millis += 1;
        world.pump();
    };
    with_every_cut(story, |world| {
        assert_eq!(world.config.phase(), Phase::Restoring);
        assert_eq!(world.config.ending(), Some(Ending::TimedOut));
        assert_eq!(*world.config.current(), FACTORY);
    });
}

#[test]
fn what_fails_is_taken_back_at_once() {
    let mut world = World::new(None);
    world.apply(true);
    world.stage(Terms::health(MINUTE));
    world.apply(false);
    assert_eq!(world.config.ending(), Some(Ending::NotApplied));
    assert_eq!(*world.config.current(), FACTORY);
    world.rest();
    world.stage(Terms::reconnect(MINUTE));
    world.apply(true);
    world.config.fail();
    world.pump();
    assert_eq!(world.config.ending(), Some(Ending::Failed));
    assert_eq!(*world.config.current(), FACTORY);
    assert_eq!(world.config.revision(), 0);
}

#[test]
fn a_network_profile_is_confirmed_by_a_link_that_comes_up_with_it() {
    let mut world = World::new(None);
    let connected = Event::Connected { resumed: false };
    world.apply(true);
    world.stage(Terms::reconnect(MINUTE));
    // A link of before says nothing about the new profile.
    world.config.input(at(0), &connected);
    world.pump();
    assert_eq!(world.config.phase(), Phase::Applying);
    world.apply(true);
    world.config.confirm();
    assert_eq!(
        world.config.phase(),
        Phase::Proving,
        "only a link proves it"
    );
    world.config.input(at(0), &connected);
    world.pump();
    assert_eq!(world.config.ending(), Some(Ending::Confirmed));
    world.boot();
    assert_eq!(*world.config.confirmed(), NEW);
}

#[test]
fn a_trial_outlives_as_many_restarts_as_it_may() {
    let mut world = World::new(None);
    world.apply(true);
    world.stage(Terms::health(MINUTE).restarts(2));
    for _ in 0..2 {
        assert_eq!(world.config.phase(), Phase::Applying);
        assert_eq!(*world.config.current(), NEW);
        world.boot();
    }
    assert_eq!(world.config.phase(), Phase::Applying);
    world.boot();
    assert_eq!(world.config.phase(), Phase::Restoring);
    assert_eq!(world.config.ending(), Some(Ending::Restarted));
    assert_eq!(*world.config.current(), FACTORY);
}

#[test]
fn what_is_wrong_is_not_tried() {
    let mut world = World::new(None);
    let terms = Terms::health(MINUTE);
    let stage = |world: &mut World, channel, valid: bool| {
        let edit = |network: &mut Network| network.channel = channel;
        world.config.stage(terms, edit, |_| valid)
    };
    let field = FieldId::new(0);
    assert_eq!(
        stage(&mut world, 14, true),
        Err(StageError::Range { field })
    );
    assert_eq!(stage(&mut world, 11, false), Err(StageError::Invalid));
    assert_eq!(stage(&mut world, 11, true), Ok(()));
    assert_eq!(stage(&mut world, 12, true), Err(StageError::Busy));
}

#[test]
fn drift_names_the_fields_that_differ_by_more_than_their_deadband() {
    let world = World::new(None);
    let drift =
        |actual: &Network| -> Vec<u16> { world.config.drift(actual).map(FieldId::get).collect() };
    assert_eq!(drift(&FACTORY), [0_u16; 0]);
    let mut actual = Network {
        roaming: true,
        ..FACTORY
    };
    actual.power = 11;
    assert_eq!(drift(&actual), [1]);
    actual.power = 12;
    assert_eq!(drift(&actual), [1, 2]);
}

proptest! {
    #[test]
    fn arbitrary_records_never_panic_and_leave_legal_settings(
        one in proptest::collection::vec(any::<u8>(), 0..40),
        two in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut config = Config::new(FACTORY, RECORDS);
        for (offset, value) in [(0, &one), (1, &two)] {
            let key = RECORDS.offset(offset).unwrap();
            config.input(at(0), &Event::Record { key, value });
        }
        config.input(at(0), &Event::Restored);
        prop_assert!(config.confirmed().accepts(0) && config.current().accepts(0));
    }
}

#[test]
fn what_became_of_a_desire_is_known_after_every_power_cut() {
    let version = Version::new(3, 7);
    for well in [true, false] {
        let (told, untold) = (Cell::new(0), Cell::new(0));
        let story = |world: &mut World| {
            world.stage(Terms::health(MINUTE).answering(version));
            if world.config.phase() == Phase::Applying {
                assert_eq!(world.config.answer(), Some((version, Code::PENDING)));
                world.apply(true);
                if well {
                    world.config.confirm();
                } else {
                    world.config.fail();
                }
                world.pump();
            }
            world.rest();
            // A trial that never came to be on record is none; every other one has an end, and keeps it.
            for _ in 0..2 {
                let answer = world.config.answer();
                if let Some(ending) = world.config.ending() {
                    assert_eq!(answer, Some((version, ending.into())));
                    told.set(told.get() + 1);
                } else {
                    assert_eq!(answer, None);
                    untold.set(untold.get() + 1);
                }
                world.boot();
            }
        };
        with_every_cut(story, |world| assert!(world.config.ending().is_some()));
        assert!(told.get() > 0 && untold.get() > 0, "{told:?} {untold:?}");
    }
}
