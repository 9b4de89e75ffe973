//! Commands in a hostile world, at random and at scale.
//!
//! Each run has one device and four to six services with real engines. Messages are lost, doubled, reordered
//! and brought back long after they are over; power goes around commits, effects and messages on both sides;
//! stores are full, clocks unknown, services restored from old backups, devices given other firmware. Then
//! the world is quiet: everything under way must end, and a new command of every issuer must be carried out.
//! What really happened is compared with what each class promises, all the time and at the end.
//!
//! `IOT_COMMANDS` says how many commands are issued in all. Use release mode for millions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

extern crate alloc;

mod command_world {
    pub(crate) mod device;
    pub(crate) mod fate;
    pub(crate) mod power;
    pub(crate) mod service;
    pub(crate) mod tally;
    pub(crate) mod wire;
    pub(crate) mod world;
}

use std::env;
use std::time::Instant;

use command_world::device::firmware;
use command_world::service::desk;
use command_world::tally::Tally;
use command_world::world::{Sizes, World};

/// How many commands a run issues.
const RUN: usize = 500;

const WORLDS: [Sizes; 5] = [
    Sizes {
        name: "small",
        issuers: 4,
        build: firmware::<4, 8, 2>,
        larger: firmware::<6, 32, 2>,
        wrong: firmware::<4, 8, 3>,
        hire: desk::<2>,
        keeps_all: true,
    },
    Sizes {
        name: "more under way than results",
        issuers: 4,
        build: firmware::<4, 8, 2>,
        larger: firmware::<4, 16, 2>,
        wrong: firmware::<4, 8, 1>,
        hire: desk::<6>,
        keeps_all: false,
    },
    Sizes {
        name: "middle",
        issuers: 5,
        build: firmware::<5, 16, 8>,
        larger: firmware::<6, 64, 8>,
        wrong: firmware::<5, 8, 8>,
        hire: desk::<8>,
        keeps_all: true,
    },
    Sizes {
        name: "more under way than the window is wide",
        issuers: 4,
        build: firmware::<4, 8, 8>,
        larger: firmware::<5, 8, 8>,
        wrong: firmware::<4, 8, 4>,
        hire: desk::<16>,
        keeps_all: false,
    },
    Sizes {
        name: "large",
        issuers: 6,
        build: firmware::<6, 256, 32>,
        larger: firmware::<8, 256, 32>,
        wrong: firmware::<6, 128, 32>,
        hire: desk::<32>,
        keeps_all: true,
    },
];

#[test]
fn every_class_keeps_its_promise_and_everything_ends() {
    let usual = if cfg!(debug_assertions) {
        7_000
    } else {
        200_000
    };
    let commands = env::var("IOT_COMMANDS").map_or(usual, |count| count.parse().unwrap());
    let (start, mut all) = (Instant::now(), Tally::default());
    for sizes in WORLDS {
        let (since, mut sum) = (Instant::now(), Tally::default());
        for seed in 0.. {
            if sum.issued >= commands / WORLDS.len() as u64 {
                break;
            }
            let mut world = World::new(sizes, seed);
            println!("{}, seed {seed}", sizes.name);
            world.run(RUN);
            sum.add(&world.tally);
        }
        println!(
            "{}: {} commands in {:?}: {sum:?}",
            sizes.name,
            sum.issued,
            since.elapsed()
        );
        all.add(&sum);
    }
    println!("{} commands in {:?}", all.issued, start.elapsed());
    assert_eq!(all.missing(), [""; 0], "it never happened");
}
