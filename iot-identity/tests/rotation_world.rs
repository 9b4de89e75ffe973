//! A rotation among power cuts, bad links, wrong clocks, a service that errs, and revocation: many seeded schedules.
//!
//! After everything that happens, what the records call current has its key and the service has taken it. When
//! nothing fails any more the device has a valid certificate, or is revoked and was told so.
//!
//! `IOT_ROTATIONS` says how many; 4,000 otherwise.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use iot_identity::rotate::sim::{Tally, World};

fn schedules() -> u64 {
    let count = std::env::var("IOT_ROTATIONS").ok();
    count.map_or(4_000, |count| count.parse().unwrap())
}

#[test]
fn no_schedule_locks_a_device_out() {
    let mut all = Tally::default();
    let mut lockouts = 0;
    for seed in 0..schedules() {
        match World::run(seed) {
            Ok(tally) => all.add(&tally),
            Err(violation) => {
                lockouts += 1;
                println!("{violation}");
                assert!(lockouts < 10, "too many to go on");
            }
        }
    }
    println!(
        "rotation schedules={} lockouts={lockouts} cuts={} certificates={} commits={} refused={} expired={} \
         revoked={} clock_jumps={}",
        all.schedules,
        all.cuts,
        all.certificates,
        all.commits,
        all.refused_candidates,
        all.expired,
        all.revoked,
        all.clock_jumps
    );
    assert_eq!(lockouts, 0);
    // Every fault fired, and often.
    let often = all.schedules / 10;
    for (what, count) in [
        ("cuts", all.cuts),
        ("commits", all.commits),
        ("refused", all.refused_candidates),
        ("expired", all.expired),
        ("revoked", all.revoked),
        ("clock jumps", all.clock_jumps),
    ] {
        assert!(count > often, "only {count} {what}");
    }
}
