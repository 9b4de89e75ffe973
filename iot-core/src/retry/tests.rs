use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::Instant;
use crate::sim::SimEntropy;

const POLICY: Policy = Policy::new(Duration::from_secs(1), Duration::from_secs(30));

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError::new())
    }
}

/// The fullest of ten equal parts of `from..=to`, in per mille of all.
fn fullest_tenth(delays: &[Duration], from: Duration, to: Duration) -> usize {
    let mut tenths = [0; 10];
    for delay in delays {
        let part = (*delay - from).as_millis() * 10 / ((to - from).as_millis() + 1);
        tenths[usize::try_from(part).unwrap()] += 1_000;
    }
    tenths.into_iter().max().unwrap() / delays.len()
}

#[test]
fn a_herd_spreads_and_stays_spread_at_the_cap() {
    let (base, cap) = (Duration::from_secs(1), Duration::from_secs(30));
    let mut herd: Vec<_> = (0..2_000)
        .map(|seed| (SimEntropy::new(seed), Retry::new(POLICY)))
        .collect();
    for round in 0..40 {
        let delays: Vec<_> = herd
            .iter_mut()
            .map(|(entropy, retry)| retry.next_delay(entropy).unwrap())
            .collect();
        let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(*least >= base && *most <= cap);
        if round >= 10 {
            // An even spread has a hundred in each tenth.
            let fullest = fullest_tenth(&delays, base, cap);
            assert!(fullest < 350, "round {round}: {fullest} per mille together");
        }
    }
}

#[test]
fn those_who_were_told_the_same_come_back_apart() {
    let told = Duration::from_secs(300);
    let delays: Vec<_> = (0..2_000)
        .map(|seed| {
            let mut retry = Retry::new(POLICY);
            retry.wait_at_least(told);
            retry.next_delay(&mut SimEntropy::new(seed)).unwrap()
        })
        .collect();
    let fullest = fullest_tenth(&delays, told, told + told / 4);
    assert!(fullest < 150, "{fullest} per mille together");
}

#[test]
fn the_budget_ends_it_and_success_refills_it() {
    let (mut entropy, mut retry) = (SimEntropy::new(1), Retry::new(POLICY.attempts(2)));
    assert!(retry.next_delay(&mut entropy).is_ok());
    for attempts in 2..4 {
        let spent = RetryError::Exhausted { attempts };
        assert_eq!(retry.next_delay(&mut entropy), Err(spent));
    }
    retry.succeeded();
    assert!(retry.next_delay(&mut entropy).is_ok());
}

#[test]
fn the_server_is_obeyed_once_and_not_for_ever() {
    let (mut entropy, mut retry) = (SimEntropy::new(1), Retry::new(POLICY));
    retry.wait_at_least(Duration::from_secs(300));
    retry.wait_at_least(Duration::from_secs(10));
    // Without randomness nothing is forgotten.
    assert!(retry.next_delay(&mut NoEntropy).is_err());
    assert!(retry.next_delay(&mut entropy).unwrap() > Duration::from_secs(300));
    assert!(retry.next_delay(&mut entropy).unwrap() <= Duration::from_secs(30));
    retry.wait_at_least(Duration::MAX);
    let day = Duration::from_secs(86_400);
    let delay = retry.next_delay(&mut entropy).unwrap();
    assert!(delay > day && delay <= day * 5 / 4);
}

#[test]
fn a_base_of_nothing_is_no_loop_without_a_pause() {
    let mut retry = Retry::new(Policy::new(Duration::ZERO, Duration::ZERO));
    let delay = retry.next_delay(&mut SimEntropy::new(1)).unwrap();
    assert_eq!(delay, Duration::from_millis(1));
}

#[test]
fn a_budget_without_a_burst_still_lets_time_pay() {
    let mut budget = Budget::new(0, 0, Duration::from_secs(60));
    let at = Instant::from_millis;
    assert_eq!(
        budget.retry(at(59_000)).unwrap_err().wait,
        Duration::from_secs(1)
    );
    assert!(budget.retry(at(60_000)).is_ok());
    assert_eq!(
        budget.retry(at(60_000)).unwrap_err().wait,
        Duration::from_secs(60)
    );
    // What was not used is not saved beyond the burst.
    assert!(budget.retry(at(600_000)).is_ok());
    assert!(budget.retry(at(600_000)).is_err());
}

/// Spans of every size, the extremes among them.
fn spans() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0u32..200_000).prop_map(|millis| Duration::from_millis(millis.into())),
        any::<u64>().prop_map(Duration::from_millis),
    ]
}

proptest! {
    #[test]
    fn every_delay_keeps_to_the_policy_whatever_it_is(
        base in spans(), cap in spans(), limit in spans(), attempts in proptest::option::of(0u32..20),
        rounds in proptest::collection::vec((proptest::option::of(spans()), any::<bool>()), 1..24), seed in any::<u64>(),
    ) {
        let policy = Policy::new(base, cap).obey_up_to(limit);
        let policy = attempts.map_or(policy, |attempts| policy.attempts(attempts));
        let whole = |span: Duration| Duration::from_millis(millis(span));
        let base = whole(base).max(Duration::from_millis(1));
        let cap = whole(cap).max(base);
        let (mut entropy, mut retry) = (SimEntropy::new(seed), Retry::new(policy));
        let (mut last, mut failed) = (base, 0);
        for (told, succeeded) in rounds {
            if succeeded {
                retry.succeeded();
                (last, failed) = (base, 0);
            }
            let told = told.map_or(Duration::ZERO, |told| whole(told).min(whole(limit)));
            retry.wait_at_least(told);
            let before = retry;
            let delay = retry.next_delay(&mut entropy);
            failed += 1;
            prop_assert_eq!(retry.attempts(), failed);
            match delay {
                Err(error) => {
                    prop_assert!(attempts.is_some_and(|attempts| failed >= attempts));
                    prop_assert_eq!(error, RetryError::Exhausted { attempts: failed });
                    retry.succeeded();
                    (last, failed) = (base, 0);
                }
                Ok(delay) => {
                    prop_assert!(attempts.is_none_or(|attempts| failed < attempts));
                    let most = last.saturating_mul(3).min(cap);
                    let (least, most) = match told {
                        Duration::ZERO => (base, most),
                        told => (told.saturating_add(base), told.saturating_add(most.max(told / 4))),
                    };
                    // Nothing is longer than what fits into 64 bits of milliseconds.
                    let end = Duration::from_millis(u64::MAX);
                    prop_assert!(delay >= least.min(end) && delay <= most.min(end), "{:?}: {:?} to {:?}", delay, least, most);
                    last = Duration::from_millis(retry.last_ms);
                    prop_assert!(last >= base && last <= cap);
                    // The same seed, the same delay.
                    let mut again = before;
                    let mut copy = SimEntropy::new(seed);
                    let mut other = SimEntropy::new(seed);
                    let mut twin = before;
                    prop_assert_eq!(again.next_delay(&mut copy), twin.next_delay(&mut other));
                }
            }
        }
    }

    #[test]
    fn retries_stay_a_bounded_share_of_the_requests(
        burst in 0u16..20, per_mille in 0u16..=1_000, every in 1u64..5_000,
        steps in proptest::collection::vec((0u64..2_000, 0u8..8), 1..200),
    ) {
        let mut budget = Budget::new(burst, per_mille, Duration::from_millis(every));
        let (mut now, mut requests, mut retries) = (0, 0, 0);
        for (pass, kind) in steps {
            now += pass;
            if kind == 0 {
                requests += 1;
                budget.request();
                continue;
            }
            let at = Instant::from_millis(now);
            let before = budget;
            match budget.retry(at) {
                Ok(()) => retries += 1,
                Err(spent) => {
                    // The wait is exact: a millisecond earlier is too early.
                    let ready = at + spent.wait;
                    let mut early = before;
                    let early_at = Instant::from_millis(ready.as_millis() - 1);
                    prop_assert!(early_at < at || early.retry(early_at).is_err());
                    let mut later = before;
                    prop_assert!(later.retry(ready).is_ok());
                }
            }
            let allowed = u64::from(burst) * 1_000 + requests * u64::from(per_mille) + now / every * 1_000;
            prop_assert!(retries * 1_000 <= allowed, "{} retries of {} thousandths", retries, allowed);
        }
    }

    #[test]
    fn no_moment_is_too_late_for_a_budget(every in spans(), moments in proptest::collection::vec(any::<u64>(), 1..20)) {
        let mut budget = Budget::new(u16::MAX, u16::MAX, every);
        for moment in moments {
            budget.request();
            let _ = budget.retry(Instant::from_millis(moment));
        }
    }
}
