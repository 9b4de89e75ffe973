mod doubt;

use super::*;
use crate::node::block_on;
use crate::sim::flash::{FlashCell, FlashImage, Mode, SimFlashError, Torn};
use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};

type Flash = SimFlash<4, 64>;
type World = WorldCell<u32>;

/// A subject made of functions; its RAM is one number, which a boot returns.
#[derive(Clone, Copy)]
struct Toy {
    boot: fn(&mut Flash, &World) -> Result<u64, Violation>,
    choices: fn(u64, u32) -> usize,
    step: fn(usize, &mut Toyed, &World) -> Result<(), Violation>,
    key: fn(&mut Flash, &mut KeyHasher),
}

#[derive(Clone)]
struct Toyed {
    flash: Flash,
    ram: u64,
}

impl Subject<4, 64> for Toy {
    type World = u32;
    type Session = Toyed;

    fn boot(&self, mut flash: Flash, world: &World) -> Result<Toyed, Violation> {
        let ram = (self.boot)(&mut flash, world)?;
        Ok(Toyed { flash, ram })
    }

    fn choices(&self, session: &Toyed, world: &u32) -> usize {
        (self.choices)(session.ram, *world)
    }

    fn step(&self, choice: usize, session: &mut Toyed, world: &World) -> Result<(), Violation> {
        (self.step)(choice, session, world)
    }

    fn flash<'s>(&self, session: &'s Toyed) -> &'s Flash {
        &session.flash
    }

    fn session_key(&self, session: &Toyed, key: &mut KeyHasher) {
        key.word(session.ram);
    }

    fn key(&self, flash: &mut Flash, _: &u32, key: &mut KeyHasher) {
        (self.key)(flash, key);
    }
}

const IDLE: Toy = Toy {
    boot: |_, _| Ok(0),
    choices: |_, _| 0,
    step: |_, _, _| Ok(()),
    key: |flash, key| key.image(flash.image().hash()),
};

fn explorer(toy: Toy, mode: Mode, config: Config) -> Explorer<Toy, 4, 64> {
    Explorer::new(toy, FlashImage::new(2, mode), 0, config)
}

fn explore(toy: Toy, mode: Mode, config: Config) -> Report {
    explorer(toy, mode, config).run()
}

fn read(flash: &mut Flash, word: u32) -> Result<u32, SimFlashError> {
    let mut bytes = [0; 4];
    block_on(flash.read(word * 4, &mut bytes)).map(|()| u32::from_le_bytes(bytes))
}

fn write(flash: &mut Flash, word: u32, value: u32) -> Result<(), Violation> {
    block_on(NorFlash::write(flash, word * 4, &value.to_le_bytes())).map_err(Violation::new)
}

/// Unlocks a door once: "started" is word 0, "done" is word 1; the world counts how often it was unlocked.
const DOOR: Toy = Toy {
    boot: |flash, _| Ok(u64::from(read(flash, 0) != Ok(u32::MAX))),
    choices: |started, _| usize::from(started == 0),
    step: |_, session, world| {
        session.ram = 1;
        write(&mut session.flash, 0, 1)?;
        unlock(world)?;
        write(&mut session.flash, 1, 1)
    },
    key: IDLE.key,
};

fn unlock(world: &World) -> Result<(), Violation> {
    match world.update(|unlocked| core::mem::replace(unlocked, *unlocked + 1)) {
        0 => Ok(()),
        _ => Err(Violation::new("unlocked twice")),
    }
}

#[test]
fn what_never_comes_to_its_end_is_a_violation() {
    let endless = Toy {
        choices: |_, _| 1,
        step: |_, session, _| {
            loop {
                block_on(session.flash.erase(0, 64)).map_err(Violation::new)?;
            }
        },
        ..IDLE
    };
    let mut explorer = explorer(endless, Mode::Rewritable, Config::BASIC);
    let report = explorer.run();
    let failure = &report.failures[0];
    assert!(failure.violation.to_string().contains("more than 10000"));
    assert_eq!(failure.cuts(), 0);
    assert_eq!(
        explorer.replay(&failure.path),
        Some(failure.violation.clone())
    );
}

#[test]
fn a_cut_after_an_effect_knows_of_the_effect() {
    for mode in [Mode::Rewritable, Mode::WriteOnce] {
        let report = explore(DOOR, mode, Config::BASIC);
        assert!(report.is_clean(), "{report:?}");

        let early = Toy {
            step: |_, session, world| {
                session.ram = 1;
                unlock(world)?;
                write(&mut session.flash, 0, 1)
            },
            ..DOOR
        };
        let mut explorer = explorer(early, mode, Config::BASIC);
        let report = explorer.run();
        let failure = &report.failures[0];
        assert_eq!(failure.violation, Violation::new("unlocked twice"));
        assert_eq!(failure.cuts(), 1, "the shortest way");
        let replayed = explorer.replay(&failure.path);
        assert_eq!(replayed, Some(Violation::new("unlocked twice")));
    }
}

#[test]
fn every_choice_of_the_environment_is_taken() {
    // The violation needs the second choice, then the first, then the third.
    let choosy = Toy {
        choices: |ram, _| if ram < 1_000 { 3 } else { 0 },
        step: |choice, session, _| {
            session.ram = session.ram * 10 + choice as u64 + 1;
            match session.ram {
                213 => Err(Violation::new("213")),
                _ => Ok(()),
            }
        },
        ..IDLE
    };
    let report = explore(choosy, Mode::Rewritable, Config::BASIC);
    let failure = &report.failures[0];
    assert_eq!(failure.path[0].choices, [1, 0, 2]);
    assert_eq!(failure.path.len(), 1);

    let mut config = Config::BASIC;
    config.failures = 2;
    let report = explore(choosy, Mode::Rewritable, config);
    assert_eq!(report.failures.len(), 1, "there is one such way");
    assert!(report.fixpoint && !report.is_clean());
    // One boot, three ways to go on, three times, and once more from each that was not violated.
    assert_eq!(report.steps, 3 + 9 + 27 + 26 * 3);
}

#[test]
fn the_way_to_a_violation_is_the_shortest() {
    // Wrong after six boots, or after one cut in the first word.
    let fragile = Toy {
        boot: |flash, world| match world.update(|boots| {
            *boots += 1;
            *boots
        }) {
            7 => Err(Violation::new("worn out")),
            _ if read(flash, 0) == Ok(0xffff_ff07) => Err(Violation::new("torn")),
            _ => Ok(u64::from(read(flash, 0) != Ok(u32::MAX))),
        },
        choices: |written, _| usize::from(written == 0),
        step: |_, session, _| {
            session.ram = 1;
            write(&mut session.flash, 0, 0x0707_0707)
        },
        ..IDLE
    };
    let mut config = Config::BASIC;
    config.failures = usize::MAX;
    let report = explore(fragile, Mode::Rewritable, config);
    assert_eq!(report.failures[0].violation, Violation::new("torn"));
    assert!(report.failures.is_sorted_by_key(Failure::cuts) && report.fixpoint);
    assert_eq!(report.failures.last().map(Failure::cuts), Some(6));
}

#[test]
fn sessions_that_met_the_same_state_go_on_once() {
    let forgetful = Toy {
        choices: |ram, _| if ram < 20 { 2 } else { 0 },
        step: |_, session, _| {
            session.ram += 1;
            Ok(())
        },
        ..IDLE
    };
    let report = explore(forgetful, Mode::Rewritable, Config::BASIC);
    assert_eq!(report.steps, 40, "not two to the twentieth");
}

/// Fills the first page word by word.
const FILLER: Toy = Toy {
    boot: |flash, _| {
        let free = (0..5).find(|word| read(flash, *word) == Ok(u32::MAX));
        Ok(u64::from(free.unwrap_or(5)))
    },
    choices: |next, _| usize::from(next < 5),
    step: |_, session, _| {
        let word = u32::try_from(session.ram).unwrap();
        session.ram += 1;
        write(&mut session.flash, word, 0x0101_0101 * (word + 1))
    },
    key: IDLE.key,
};

#[test]
fn the_audit_finds_keys_that_are_too_short() {
    let mut config = Config::BASIC;
    config.audit = true;
    let sound = explore(FILLER, Mode::Rewritable, config);
    assert!(sound.is_clean() && sound.states > 300, "{sound}");

    let mut short = explorer(FILLER, Mode::Rewritable, config);
    short.key_mask = 0xf;
    let report = short.run();
    assert!(report.collisions > 0 && !report.is_clean(), "{report}");

    config.audit = false;
    let mut unaudited = explorer(FILLER, Mode::Rewritable, config);
    unaudited.key_mask = 0xf;
    let report = unaudited.run();
    assert!(report.collisions == 0 && report.states <= 16, "{report}");
}

/// The environment chooses the first word, which decides the second.
const DERIVED: Toy = Toy {
    boot: |flash, _| {
        let free = (0..2).find(|word| read(flash, *word) == Ok(u32::MAX));
        Ok(u64::from(free.unwrap_or(2)))
    },
    choices: |next, _| match next {
        0 => 2,
        1 => 1,
        _ => 0,
    },
    step: |choice, session, _| {
        let word = u32::try_from(session.ram).unwrap();
        session.ram += 1;
        let value = match read(&mut session.flash, 0) {
            Ok(first) if word == 1 => first << 8,
            _ => u32::try_from(choice).unwrap() + 1,
        };
        write(&mut session.flash, word, value)
    },
    key: IDLE.key,
};

#[test]
fn states_that_a_weak_key_put_together_are_found_out() {
    // It forgets the first word as long as there is no second.
    let weak = Toy {
        key: |flash, key| {
            let words = [0, 1].map(|word| flash.image().cell(0, word));
            match words[1] {
                Some(FlashCell::Erased) => (words[0] == words[1]).hash(key),
                _ => words.hash(key),
            }
        },
        ..DERIVED
    };
    let mut config = Config::BASIC;
    config.merged_samples = 64;
    let sound = explore(DERIVED, Mode::WriteOnce, config);
    assert!(sound.is_clean() && sound.weak.is_empty(), "{sound:?}");

    let report = explore(weak, Mode::WriteOnce, config);
    assert!(report.fixpoint && report.weak_keys > 0, "{report}");
    assert!(!report.is_clean() && !report.weak.is_empty());

    config.merged_samples = 0;
    let mut unaudited = explorer(weak, Mode::WriteOnce, config);
    let report = unaudited.run();
    assert!(
        report.is_clean() && report.states < sound.states,
        "nobody looked"
    );
    let random = unaudited.random_run(1, 2_000);
    assert!(random.strangers > 0 && !random.stranger.is_empty());
    assert!(random.failure.is_none() && random.checked >= random.strangers);
}

#[test]
fn random_runs_of_a_sound_key_meet_no_strangers() {
    let mut explorer = explorer(FILLER, Mode::Rewritable, Config::BASIC);
    assert!(explorer.run().is_clean());
    let random = explorer.random_run(7, 3_000);
    assert_eq!((random.cuts, random.strangers), (3_000, 0));
    assert!(
        random.checked == 3_000 && random.restarts > 20,
        "{random:?}"
    );
}

#[test]
fn random_runs_find_violations_and_the_way_to_them() {
    let early = Toy {
        step: |_, session, world| {
            unlock(world)?;
            session.ram = 1;
            write(&mut session.flash, 0, 1)
        },
        ..DOOR
    };
    let mut explorer = explorer(early, Mode::WriteOnce, Config::BASIC);
    let failure = explorer.random_run(3, 10_000).failure.unwrap();
    assert_eq!(failure.violation, Violation::new("unlocked twice"));
    assert_eq!(explorer.replay(&failure.path), Some(failure.violation));
}

#[test]
fn the_cap_hides_states_and_says_how_many() {
    let mut config = Config::UNSTABLE;
    config.unstable_units = 0;
    let capped = explore(FILLER, Mode::Rewritable, config);
    assert!(capped.capped > 0);
    config.unstable_units = 1;
    let report = explore(FILLER, Mode::Rewritable, config);
    assert!(report.states > capped.states);
}

#[test]
fn a_key_that_writes_is_a_violation() {
    let writer = Toy {
        key: |flash, _| drop(write(flash, 0, 1)),
        ..IDLE
    };
    let report = explore(writer, Mode::Rewritable, Config::BASIC);
    assert!(
        report.failures[0]
            .violation
            .to_string()
            .contains("read alone")
    );
}

#[test]
fn a_breach_is_a_violation_even_if_the_subject_overlooks_it() {
    let careless = Toy {
        boot: |flash, _| {
            let _ = write(flash, 0, 1);
            let _ = write(flash, 0, 2);
            Ok(0)
        },
        ..IDLE
    };
    let report = explore(careless, Mode::Rewritable, Config::BASIC);
    let what = report.failures[0].violation.to_string();
    assert!(what.contains("programmed twice"), "{what}");
}

#[test]
fn a_budget_ends_the_exploration_and_a_larger_one_continues_it() {
    let whole = explore(FILLER, Mode::Rewritable, Config::STABLE);
    let mut config = Config::STABLE;
    config.states = 20;
    let mut explorer = explorer(FILLER, Mode::Rewritable, config);
    let report = explorer.run();
    assert!(!report.fixpoint && report.failures.is_empty() && report.states >= 20);
    explorer.set_states(1_000_000);
    let report = explorer.run();
    assert_eq!(
        (report.states, report.fixpoint),
        (whole.states, whole.fixpoint)
    );
}

#[test]
fn the_filter_and_the_shortcuts_change_no_outcome() {
    let mut saved = 0;
    for mode in [Mode::Rewritable, Mode::WriteOnce] {
        for toy in [DOOR, FILLER, doubt::GUARD] {
            let mut config = Config::UNSTABLE;
            config.failures = usize::MAX;
            let usual = explore(toy, mode, config);
            config.filter_bits = 0;
            let mut slow = explorer(toy, mode, config);
            slow.shortcuts = false;
            let slow = slow.run();
            assert!(usual.fixpoint && slow.fixpoint);
            assert_eq!(usual.states, slow.states);
            assert_eq!(usual.failures.is_empty(), slow.failures.is_empty());
            saved += slow.boots - usual.boots;
        }
    }
    assert!(saved > 0);
}

#[test]
fn keys_depend_on_order_length_and_zeroes() {
    let of = |words: &[u64]| {
        let mut key = KeyHasher::new();
        words.iter().for_each(|word| key.word(*word));
        (key.key(), key.audit())
    };
    let all = [
        of(&[]),
        of(&[0]),
        of(&[0, 0]),
        of(&[1, 2]),
        of(&[2, 1]),
        of(&[1 << 63]),
    ];
    for (number, one) in all.iter().enumerate() {
        for other in &all[number + 1..] {
            assert_ne!(one.0, other.0);
            assert_ne!(one.0 >> 64, other.0 >> 64);
            assert_ne!(one.1, other.1);
        }
    }
    let (mut padded, mut short) = (KeyHasher::new(), KeyHasher::new());
    padded.bytes(&[1, 0]);
    short.bytes(&[1]);
    assert_ne!(padded.key(), short.key());
}
