//! Sessions in virtual time: a herd that lost its broker, and the day of a device that sleeps.
//!
//! No sockets: the session engine alone decides when somebody dials. `IOT_HERD` says how many sessions the herd
//! has; the default is 100,000 in release mode, and a fifth of that otherwise.
#![cfg(feature = "sim")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests, helpers included"
)]

extern crate alloc;

mod session_world {
    pub(crate) mod day;
    pub(crate) mod herd;
}

use core::time::Duration;
use std::env;

use iot_core::retry::Policy;
use session_world::day::{self, Network};
use session_world::herd::{self, Herd};

/// A fleet's pauses. The base is what a fleet is spread over when it returns from a short outage, and a base far
/// below the cap brings waves: see `a_base_far_below_the_cap_brings_a_herd_back_in_waves`.
const POLICY: Policy = Policy::new(Duration::from_secs(20), Duration::from_secs(120));

fn sessions() -> usize {
    let usual = if cfg!(debug_assertions) {
        20_000
    } else {
        100_000
    };
    env::var("IOT_HERD").map_or(usual, |count| count.parse().unwrap())
}

#[test]
fn a_herd_that_lost_its_broker_comes_back_spread_out() {
    for outage_s in [3, 10, 30, 60, 120, 600, 3_600] {
        let herd = Herd {
            sessions: sessions(),
            outage: Duration::from_secs(outage_s),
            seed: outage_s,
        };
        let back = herd.run(POLICY);
        println!("{} sessions, away for {outage_s} s: {back}", herd.sessions);
        assert_eq!(back.connects, herd.sessions, "somebody never came back");
        assert!(
            back.ratio() <= 2.0,
            "the peak is more than twice the mean: {back}"
        );
    }
}

#[test]
fn a_base_far_below_the_cap_brings_a_herd_back_in_waves() {
    let herd = Herd {
        sessions: 20_000,
        outage: Duration::from_secs(60),
        seed: 60,
    };
    let back = herd.run(Policy::new(herd::SECOND, 120 * herd::SECOND));
    println!("with a base of a second: {back}");
    assert!(back.ratio() > 2.0, "{back}");
}

#[test]
fn without_jitter_the_same_herd_comes_back_at_once() {
    // The control: base and cap are equal, so that every pause is the same.
    let herd = Herd {
        sessions: 2_000,
        outage: Duration::from_secs(60),
        seed: 1,
    };
    let back = herd.run(Policy::new(7 * herd::SECOND, 7 * herd::SECOND));
    assert_eq!(back.peak, herd.sessions, "{back}");
}

#[test]
fn every_wake_up_of_an_idle_day_has_a_cause_and_the_keep_alive_says_how_many() {
    for keep_alive_s in [60, 900, 3_600] {
        let day = day::run(keep_alive_s, Network::Steady, POLICY);
        println!("keep-alive {keep_alive_s} s: {day}");
        assert_eq!(
            day.woken(),
            [("keep-alive", (day::DAY_S - 1) / keep_alive_s)]
        );
        assert_eq!(day.heard, day.pings + 3, "welcome, subscription, answers");
        assert_eq!(day.for_nothing, 0);
    }
}

#[test]
fn a_day_with_a_bad_network_has_no_wake_up_without_a_cause_either() {
    let day = day::run(900, Network::Failing { seed: 7 }, POLICY);
    println!("failing network: {day}");
    let causes: Vec<_> = day.woken().into_iter().map(|(name, _)| name).collect();
    assert_eq!(causes, ["back-off", "attempt", "keep-alive", "ping answer"]);
    assert_eq!(day.for_nothing, 0, "it woke and had nothing to do");
}
