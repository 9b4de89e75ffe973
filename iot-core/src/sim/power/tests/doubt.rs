//! Words whose reading is not certain, and guards on them.

use super::*;
use crate::sim::flash::Reading;

#[test]
fn what_was_observed_once_is_not_lost_later() {
    // The outside: 0 nothing was tried yet, 1 seen off, 2 seen on, 3 either. It tells what it reads, unsettled.
    let gossip = Toy {
        boot: |flash, world| {
            let on = read(flash, 0) == Ok(7);
            match world.read(|known| *known) {
                0 if !on => {}
                2 if !on => return Err(Violation::new("seen, then lost")),
                _ => world.update(|known| *known = 1 + u32::from(on)),
            }
            Ok(0)
        },
        choices: |_, world| usize::from(world == 0),
        step: |_, session, world| {
            world.update(|known| *known = 3);
            write(&mut session.flash, 0, 7)?;
            world.update(|known| *known = 2);
            Ok(())
        },
        ..IDLE
    };
    for mode in [Mode::Rewritable, Mode::WriteOnce] {
        assert!(explore(gossip, mode, Config::STABLE).is_clean());
        let report = explore(gossip, mode, Config::UNSTABLE);
        let failure = &report.failures[0];
        assert_eq!(failure.violation, Violation::new("seen, then lost"));
        let torn = Torn::Unstable;
        assert_eq!(failure.path[0].ending, Ending::Cut { operation: 0, torn });
        assert_eq!(failure.path[1].reading, Reading::Value);
        assert_eq!(failure.path[1].ending, Ending::Idle, "{failure}");
    }
}

/// Guards the first word if it looks erased, and wants to read zeroes from then on.
pub(super) const GUARD: Toy = Toy {
    boot: |flash, world| {
        let first = read(flash, 0);
        if first == Ok(u32::MAX) {
            write(flash, 0, 0)?;
        }
        match read(flash, 0) {
            Ok(0) => world.update(|guarded| *guarded = 1),
            _ if world.read(|guarded| *guarded == 1) => return Err(Violation::new("guard lost")),
            _ if first == Ok(u32::MAX) => return Err(Violation::new("guard failed")),
            _ => {}
        }
        Ok(0)
    },
    ..IDLE
};

#[test]
fn a_guard_is_tried_both_ways_where_it_may_fail() {
    let mut config = Config::STABLE;
    let report = explore(GUARD, Mode::WriteOnce, config);
    let failure = &report.failures[0];
    assert_eq!(failure.violation, Violation::new("guard failed"));
    let (last, before) = failure.path.split_last().unwrap();
    assert!(last.guard_fails && !before.iter().any(|leg| leg.guard_fails));

    config.guard_fails = false;
    assert!(explore(GUARD, Mode::WriteOnce, config).is_clean());
    config.guard_fails = true;
    assert!(explore(GUARD, Mode::Rewritable, config).is_clean());
}

#[test]
fn a_path_is_walked_with_the_guards_and_readings_it_was_found_with() {
    let mut explorer = explorer(GUARD, Mode::WriteOnce, Config::STABLE);
    let report = explorer.run();
    let mut path = report.failures[0].path.clone();
    assert_eq!(explorer.replay(&path), Some(Violation::new("guard failed")));
    path.last_mut().unwrap().guard_fails = false;
    assert_eq!(explorer.replay(&path), None);
}

#[test]
fn unstable_units_make_two_states_of_one_even_if_they_mean_nothing() {
    // One of them may still become unstable, under the cap.
    let blind = Toy {
        key: |_, _| {},
        ..FILLER
    };
    let report = explore(blind, Mode::Rewritable, Config::UNSTABLE);
    assert_eq!(report.states, 2);
}

/// A flash whose first two words are doubtful.
fn doubtful(mode: Mode, torn: Torn) -> FlashImage<4, 64> {
    let mut flash = Flash::new(2, mode);
    for word in 0..2 {
        flash.cut_after(0, torn);
        assert!(write(&mut flash, word, 7).is_err());
        flash.reboot();
    }
    flash.into_image()
}

fn explore_from(start: FlashImage<4, 64>, toy: Toy) -> Report {
    // By chance much is found; these tests want it found for certain.
    let mut config = Config::STABLE;
    config.unstable_units = 2;
    (config.random_readings, config.flicker_readings) = (0, 0);
    Explorer::new(toy, start, 1, config).run()
}

fn looks(flash: &mut Flash, word: u32) -> Result<(), Violation> {
    match read(flash, word) {
        Ok(7) => Err(Violation::new("seen as programmed")),
        _ => Ok(()),
    }
}

#[test]
fn sessions_with_other_readings_are_other_sessions() {
    let late = Toy {
        choices: |ram, _| usize::from(ram == 0),
        step: |_, session, _| {
            session.ram = 1;
            looks(&mut session.flash, 0)
        },
        ..IDLE
    };
    let report = explore_from(doubtful(Mode::Rewritable, Torn::Unstable), late);
    let failure = &report.failures[0];
    assert_eq!(failure.path.last().unwrap().reading, Reading::Value);
    assert_eq!(failure.cuts(), 0);
}

// In both tests below the first boot decides by its own doubtful word whether it goes on. Its state at rest is booted
// again, does not look any more, and joins the session of the first, but only where that one went on.

#[test]
fn a_session_that_joins_another_is_tried_with_every_reading() {
    let joining = Toy {
        boot: |flash, world| match world.read(|first| *first) {
            1 if read(flash, 0) != Ok(u32::MAX) => Ok(9),
            _ => {
                world.update(|first| *first = 2);
                Ok(0)
            }
        },
        choices: |ram, _| usize::from(ram == 0),
        step: |_, session, _| {
            session.ram = 1;
            looks(&mut session.flash, 1)
        },
        ..IDLE
    };
    let report = explore_from(doubtful(Mode::Rewritable, Torn::Unstable), joining);
    let failure = &report.failures[0];
    assert_eq!(failure.violation, Violation::new("seen as programmed"));
}

#[test]
fn a_session_that_joins_another_is_tried_with_guards_that_fail() {
    let joining = Toy {
        boot: |flash, world| {
            if world.read(|first| *first == 1) {
                if read(flash, 0) != Ok(u32::MAX) {
                    return Ok(9);
                }
                write(flash, 0, 0)?;
                if read(flash, 0) != Ok(0) {
                    return Ok(9);
                }
                world.update(|first| *first = 2);
            }
            Ok(0)
        },
        choices: |ram, _| usize::from(ram == 0),
        step: |_, session, _| {
            session.ram = 1;
            if read(&mut session.flash, 1) != Ok(u32::MAX) {
                return Ok(());
            }
            write(&mut session.flash, 1, 0)?;
            match read(&mut session.flash, 1) {
                Ok(0) => Ok(()),
                _ => Err(Violation::new("guard failed")),
            }
        },
        ..IDLE
    };
    let report = explore_from(doubtful(Mode::WriteOnce, Torn::Attempted), joining);
    let failure = &report.failures[0];
    assert_eq!(failure.violation, Violation::new("guard failed"));
}
