//! A rotation among power cuts, bad links, wrong clocks, a service that errs, and revocation: many seeded schedules.
//!
//! After everything that happens, what the records call current has its key and the service has taken it. When
//! nothing fails any more the device has a valid certificate, or is revoked and was told so, and has another one when
//! it was readmitted.
//!
//! `IOT_ROTATIONS` says how many; 2,000 otherwise.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use core::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use iot_identity::rotate::sim::{Tally, World};

fn schedules() -> u64 {
    let count = std::env::var("IOT_ROTATIONS").ok();
    count.map_or(2_000, |count| count.parse().unwrap())
}

#[test]
fn no_schedule_locks_a_device_out() {
    let (next, count) = (AtomicU64::new(0), schedules());
    let work = || {
        let (mut sum, mut violations) = (Tally::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count || violations.len() > 9 {
                return (sum, violations);
            }
            match World::run(seed) {
                Ok(tally) => sum.add(&tally),
                Err(violation) => violations.push(violation),
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (mut all, mut lockouts) = (Tally::default(), 0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let (sum, violations) = worker.join().unwrap();
            all.add(&sum);
            lockouts += violations.len();
            violations
                .iter()
                .for_each(|violation| println!("{violation}"));
        }
    });
    println!(
        "rotation schedules={} lockouts={lockouts} cuts={} certificates={} commits={} refused={} expired={} \
         revoked={} clock_jumps={} store_failures={} readmitted={}",
        all.schedules,
        all.cuts,
        all.certificates,
        all.commits,
        all.refused_candidates,
        all.expired,
        all.revoked,
        all.clock_jumps,
        all.store_failures,
        all.readmitted
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
        ("failures of the key store", all.store_failures),
        ("readmitted", all.readmitted),
    ] {
        assert!(count > often, "only {count} {what}");
    }
}
