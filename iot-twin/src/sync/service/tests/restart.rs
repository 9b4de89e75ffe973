//! A service that stores its half and is restarted.

use super::*;
use crate::sync::TwinState;

/// What a life with restarts came to.
struct Ended {
    world: World,
    restarts: u32,
}

/// A life in which the service is stored before it sends, and now and then begins again from what was stored
/// `age` stores ago.
fn live_stored(seed: u64, turns: u32, age: usize) -> Ended {
    let mut world = World::new(seed);
    // A new service cannot know who spoke to the device before; once they have met, it does.
    world.settle();
    world.loss = 40;
    let mut stored = vec![world.service.snapshot().to_cbor()];
    let mut restarts = 0;
    for _ in 0..turns {
        world.millis += world.dice.roll(2_000);
        match world.dice.roll(20) {
            0 => {
                let degrees = 5.0 + world.dice.roll(100) as f64 / 4.0;
                world.service.set("setpoint", degrees).unwrap();
            }
            1 => {
                let lit = world.dice.chance(50);
                world.service.set("lit", lit).unwrap();
            }
            2 => world.device.report(|room| room.count += 1),
            3 => world.device.report(|room| room.lit = !room.lit),
            4 => world.cut(),
            5 | 6 => {
                let from = stored.len().saturating_sub(1 + age);
                let state = TwinState::from_cbor(&stored[from]).unwrap();
                world.service = TwinService::of::<Room>().restored(&state);
                restarts += 1;
            }
            7..11 => {
                stored.push(world.service.snapshot().to_cbor());
                world.service_step();
            }
            11..14 => drop(world.device_step(true)),
            14 => world.application(),
            15..18 => drop(world.deliver(true)),
            _ => drop(world.deliver(false)),
        }
        world.check(age == 0);
    }
    Ended { world, restarts }
}

#[test]
fn a_service_that_stores_before_it_sends_never_opens_an_epoch() {
    let (mut restarts, mut cuts) = (0, 0);
    for seed in 0..300 {
        let mut ended = live_stored(seed, 400, 0);
        assert_eq!(ended.world.service.version().epoch(), 1, "seed {seed}");
        ended.world.device.report(|_| {});
        ended.world.settle();
        ended.world.assert_equal();
        assert_eq!(ended.world.service.version().epoch(), 1, "seed {seed}");
        restarts += ended.restarts;
        cuts += ended.world.cuts;
    }
    assert!(restarts > 5_000 && cuts > 1_000, "{restarts} {cuts}");
}

#[test]
fn a_service_from_an_old_backup_converges_in_a_new_epoch() {
    let mut opened = 0;
    for seed in 0..300 {
        let mut ended = live_stored(seed, 400, 5);
        ended.world.device.report(|_| {});
        ended.world.settle();
        ended.world.assert_equal();
        opened += u32::from(ended.world.service.version().epoch() > 1);
    }
    assert!(opened > 100, "{opened} of 300 opened an epoch");
}

#[test]
fn what_the_device_has_not_confirmed_is_sent_again_after_a_restart() {
    let mut world = World::new(1);
    world.settle();
    world.service.set("setpoint", 22.5).unwrap();
    // It is sent, and lost with the service.
    assert!(world.service_step());
    world.down.clear();
    let state = world.service.snapshot();
    world.service = TwinService::of::<Room>().restored(&state);
    assert!(world.service_step(), "nothing is sent again");
    assert!(world.deliver(true));
    while world.device_step(false) {}
    world.application();
    assert_eq!(world.applied, 22.5);
    // What is confirmed is not.
    world.settle();
    let state = world.service.snapshot();
    world.service = TwinService::of::<Room>().restored(&state);
    assert!(!world.service_step(), "what is confirmed is sent again");
}
