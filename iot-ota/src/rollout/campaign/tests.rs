use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Instant, Now, Timestamp};
use proptest::prelude::*;

use super::super::cohort::Share;
use super::super::plan::{OnHalt, Threshold, Wave};
use super::*;

fn at(secs: u64) -> Now {
    Now::new(Instant::ZERO, TimeBounds::exact(Timestamp::from_secs(secs)))
}

fn fleet(size: usize) -> Vec<DeviceId> {
    (0..size)
        .map(|n| DeviceId::new(&format!("device-{n}")).unwrap())
        .collect()
}

fn offers(decisions: &[Decision]) -> Vec<DeviceId> {
    decisions
        .iter()
        .filter_map(|decision| match decision {
            Decision::Offer(device) => Some(*device),
            _ => None,
        })
        .collect()
}

fn three_waves() -> Plan {
    Plan::new([
        Wave::count(10).halt_at(Threshold::Count(2)),
        Wave::percent(30).halt_at(Threshold::Count(5)),
        Wave::percent(100).halt_at(Threshold::Share(Share::percent(5))),
    ])
    .unwrap()
    .max_in_flight(7)
    .timeout(Duration::from_secs(60))
}

/// What a run of a simulated fleet left behind, in the order it happened.
#[derive(Clone, Copy, Debug)]
enum Trace {
    Open(usize),
    Offer(DeviceId),
    Answer { ok: bool },
    Halt,
}

/// Runs a fleet in which each device fails, stays silent or succeeds as `fate` says, in any order.
fn run(
    plan: Plan,
    size: usize,
    seed: u64,
    fail_percent: u64,
    silent_percent: u64,
) -> (Campaign, Vec<Trace>) {
    let mut random = seed;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let mut campaign = Campaign::new(CampaignId::new(seed), plan, fleet(size));
    let (mut trace, mut busy, mut secs) = (Vec::new(), Vec::new(), 1);
    let mut event = Event::Tick;
    loop {
        let decisions = campaign.on(at(secs), &event).unwrap();
        for decision in decisions {
            match decision {
                Decision::Open { devices, .. } => trace.push(Trace::Open(devices)),
                Decision::Offer(device) => {
                    trace.push(Trace::Offer(device));
                    if next() % 100 >= silent_percent {
                        busy.push(device);
                    }
                }
                Decision::Halt { .. } => trace.push(Trace::Halt),
                Decision::RollBack(_) | Decision::Complete | Decision::RolledBack => {}
            }
        }
        event = if busy.is_empty() {
            match campaign.deadline() {
                Some(deadline) => secs = secs.max(deadline.as_secs()),
                None => return (campaign, trace),
            }
            Event::Tick
        } else {
            secs += next() % 3;
            let device = busy.swap_remove(usize::try_from(next()).unwrap() % busy.len());
            let ok = next() % 100 >= fail_percent;
            trace.push(Trace::Answer { ok });
            if ok {
                Event::Succeeded(device)
            } else {
                Event::Failed(device)
            }
        };
    }
}

/// The promise of the module, checked without the campaign's own counters.
fn exposure_is_bounded(plan: &Plan, size: usize, trace: &[Trace]) -> Result<(), &'static str> {
    let (mut opened, mut waves, mut exposed, mut halted) = (0, 0, BTreeSet::new(), false);
    let (mut ok_in_wave, mut bad_in_wave, mut before_wave) = (0, 0, 0);
    for step in trace {
        match step {
            Trace::Open(devices) => {
                let before = plan.waves().get(waves.max(1) - 1).unwrap();
                let own = exposed.len();
                if waves > 0 && ok_in_wave == 0 {
                    return Err("a gate opened without one success in its wave");
                }
                if waves > 0 && bad_in_wave >= before.halt_at.failures(own - before_wave) {
                    return Err("a gate opened in spite of its failures");
                }
                (opened, waves, ok_in_wave, bad_in_wave) = (*devices, waves + 1, 0, 0);
                before_wave = own;
            }
            Trace::Offer(device) => {
                if !exposed.insert(*device) {
                    return Err("a device was offered the release twice");
                }
                if halted || exposed.len() > opened {
                    return Err("more devices are exposed than the open waves have");
                }
            }
            Trace::Answer { ok: true } => ok_in_wave += 1,
            Trace::Answer { ok: false } => bad_in_wave += 1,
            Trace::Halt => halted = true,
        }
    }
    if !halted && exposed.len() != size {
        return Err("the campaign ended early without a halt");
    }
    Ok(())
}

proptest! {
    #[test]
    fn exposure_never_exceeds_the_opened_waves(seed: u64, size in 20_usize..300, fail in 0_u64..60, silent in 0_u64..20) {
        let (campaign, trace) = run(three_waves(), size, seed, fail, silent);
        prop_assert_eq!(exposure_is_bounded(&three_waves(), size, &trace), Ok(()));
        let progress = campaign.progress();
        prop_assert!(progress.exposed <= progress.opened);
        prop_assert_eq!(progress.in_flight, 0, "every device answers or runs out of time");
        let answered = progress.succeeded + progress.failed + progress.silent;
        prop_assert_eq!(answered, progress.exposed);
    }

    #[test]
    fn no_more_than_the_limit_is_in_flight(seed: u64, answers in proptest::collection::vec(any::<bool>(), 1..200)) {
        let mut campaign = Campaign::new(CampaignId::new(seed), three_waves(), fleet(100));
        let mut busy = offers(&campaign.on(at(1), &Event::Tick).unwrap());
        for ok in answers {
            prop_assert!(busy.len() <= 7);
            let Some(device) = busy.pop() else { break };
            let event = if ok { Event::Succeeded(device) } else { Event::Failed(device) };
            busy.extend(offers(&campaign.on(at(1), &event).unwrap()));
        }
    }

    #[test]
    fn replaying_the_events_repeats_the_decisions(seed: u64, order in proptest::collection::vec((any::<u8>(), 0_u64..30), 1..120)) {
        let mut first = Campaign::new(CampaignId::new(seed), three_waves(), fleet(60));
        let mut second = first.clone();
        let mut secs = 1;
        for (pick, wait) in order {
            secs += wait;
            let device = fleet(60)[usize::from(pick) % 60];
            let event = match pick % 7 {
                0 => Event::Tick,
                1 => Event::Failed(device),
                2 => Event::Pause,
                3 => Event::Resume,
                _ => Event::Succeeded(device),
            };
            prop_assert_eq!(first.on(at(secs), &event), second.on(at(secs), &event));
        }
        prop_assert_eq!(first.progress(), second.progress());
    }
}

#[test]
fn the_check_of_exposure_sees_a_campaign_whose_gate_is_ignored() {
    let never = Threshold::Count(usize::MAX);
    let open_gates = Plan::new([
        Wave::count(10).halt_at(never),
        Wave::percent(30).halt_at(never),
        Wave::percent(100).halt_at(never),
    ])
    .unwrap();
    let (_, trace) = run(open_gates, 200, 7, 50, 0);
    assert_eq!(
        exposure_is_bounded(&three_waves(), 200, &trace),
        Err("a gate opened in spite of its failures")
    );
}

#[test]
fn a_bad_release_reaches_the_canary_and_nobody_else() {
    let (campaign, _) = run(three_waves(), 1_000, 1, 100, 0);
    assert!(matches!(campaign.phase(), Phase::Halted(_)));
    assert!(campaign.progress().exposed <= 10);
}

#[test]
fn a_good_release_reaches_every_device() {
    let (campaign, _) = run(three_waves(), 1_000, 1, 0, 0);
    assert_eq!(campaign.phase(), Phase::Completed);
    assert_eq!(campaign.progress().succeeded, 1_000);
}

#[test]
fn silence_is_nothing_until_the_timeout_and_a_failure_after_it() {
    let plan = Plan::new([
        Wave::count(2).halt_at(Threshold::Count(2)),
        Wave::percent(100),
    ])
    .unwrap();
    let mut campaign = Campaign::new(
        CampaignId::new(1),
        plan.timeout(Duration::from_secs(60)),
        fleet(9),
    );
    let canary = offers(&campaign.on(at(1), &Event::Tick).unwrap());
    assert!(campaign.on(at(60), &Event::Tick).unwrap().is_empty());
    assert_eq!(campaign.progress().in_flight, 2);
    assert_eq!(campaign.unanswered().collect::<Vec<_>>(), canary);
    assert_eq!(campaign.deadline(), Some(Timestamp::from_secs(61)));
    // One late answer does not undo the halt, but it is counted for what it is.
    assert!(matches!(
        campaign.on(at(61), &Event::Tick).unwrap()[..],
        [Decision::Halt { .. }]
    ));
    assert!(
        campaign
            .on(at(62), &Event::Succeeded(canary[0]))
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        (campaign.progress().silent, campaign.progress().succeeded),
        (1, 1)
    );
}

#[test]
fn duplicates_and_reports_of_devices_that_were_offered_nothing_prove_nothing() {
    let mut campaign = Campaign::new(CampaignId::new(1), three_waves(), fleet(50));
    let canary = offers(&campaign.on(at(1), &Event::Tick).unwrap())[0];
    let other = fleet(50)
        .into_iter()
        .find(|device| !campaign.members[..10].iter().any(|m| m.device == *device))
        .unwrap();
    for event in [
        Event::Succeeded(canary),
        Event::Succeeded(canary),
        Event::Failed(other),
        Event::Succeeded(other),
    ] {
        campaign.on(at(1), &event).unwrap();
    }
    let progress = campaign.progress();
    assert_eq!((progress.succeeded, progress.failed), (1, 0));
    let stranger = DeviceId::new("stranger").unwrap();
    assert_eq!(
        campaign.on(at(1), &Event::Failed(stranger)),
        Err(EventError::UnknownDevice)
    );
}

#[test]
fn a_device_that_was_well_and_fails_later_counts_against_the_open_wave() {
    let plan = Plan::new([Wave::count(1), Wave::percent(100)])
        .unwrap()
        .max_in_flight(1);
    let mut campaign = Campaign::new(CampaignId::new(1), plan, fleet(9));
    let canary = offers(&campaign.on(at(1), &Event::Tick).unwrap())[0];
    assert_eq!(
        offers(&campaign.on(at(1), &Event::Succeeded(canary)).unwrap()).len(),
        1
    );
    assert!(matches!(
        campaign.on(at(1), &Event::Failed(canary)).unwrap()[..],
        [Decision::Halt { .. }]
    ));
}

#[test]
fn pause_resume_abort_and_roll_back_may_be_repeated() {
    let mut campaign = Campaign::new(CampaignId::new(1), three_waves(), fleet(50));
    let canary = offers(&campaign.on(at(1), &Event::Tick).unwrap());
    for _ in 0..2 {
        assert!(campaign.on(at(1), &Event::Pause).unwrap().is_empty());
        assert_eq!(campaign.phase(), Phase::Paused);
    }
    assert!(
        campaign
            .on(at(1), &Event::Succeeded(canary[0]))
            .unwrap()
            .is_empty(),
        "a pause offers nothing"
    );
    assert_eq!(
        offers(&campaign.on(at(1), &Event::Resume).unwrap()).len(),
        1
    );
    assert!(campaign.on(at(1), &Event::Resume).unwrap().is_empty());
    for _ in 0..2 {
        assert!(campaign.on(at(1), &Event::Abort).unwrap().is_empty());
    }
    assert!(matches!(
        campaign.on(at(1), &Event::Resume),
        Err(EventError::BadTransition {
            phase: Phase::Aborted,
            ..
        })
    ));
    let told = campaign.on(at(1), &Event::RollBack).unwrap().len();
    assert_eq!(told, 7, "at most seven devices are busy at once");
    assert!(campaign.on(at(1), &Event::RollBack).unwrap().is_empty());
}

#[test]
fn a_halt_takes_the_release_back_and_repeats_itself_to_silent_devices() {
    let plan = three_waves().on_halt(OnHalt::RollBack);
    let mut campaign = Campaign::new(CampaignId::new(1), plan, fleet(50));
    let canary = offers(&campaign.on(at(1), &Event::Tick).unwrap());
    campaign.on(at(1), &Event::Succeeded(canary[0])).unwrap();
    campaign.on(at(1), &Event::Failed(canary[1])).unwrap();
    let halt = campaign.on(at(1), &Event::Failed(canary[2])).unwrap();
    assert!(matches!(halt[0], Decision::Halt { .. }));
    let told: Vec<_> = halt[1..]
        .iter()
        .map(|decision| match decision {
            Decision::RollBack(device) => *device,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(told.contains(&canary[0]) && !told.contains(&canary[1]));
    let silent = told[0];
    for device in &told[1..] {
        campaign.on(at(2), &Event::Restored(*device)).unwrap();
    }
    // Devices that waited for a free place are told as others finish; here all but one answer.
    let rest: Vec<_> = canary.iter().filter(|d| !told.contains(d)).collect();
    for device in rest {
        campaign.on(at(2), &Event::Restored(*device)).unwrap();
    }
    assert_eq!(campaign.phase(), Phase::RollingBack);
    let again = campaign.on(at(61), &Event::Tick).unwrap();
    assert!(again.contains(&Decision::RollBack(silent)));
    let end = loop {
        let told = campaign
            .members
            .iter()
            .find(|m| matches!(m.state, State::Restoring(_)))
            .unwrap()
            .device;
        let end = campaign.on(at(62), &Event::Restored(told)).unwrap();
        if campaign.phase() == Phase::RolledBack {
            break end;
        }
    };
    assert_eq!(end, [Decision::RolledBack]);
    assert_eq!(campaign.progress().restoring, 0);
}

#[test]
fn an_empty_wave_still_reaches_one_device_before_its_gate_opens() {
    let plan = Plan::new([Wave::percent(0), Wave::percent(100)]).unwrap();
    let mut campaign = Campaign::new(CampaignId::new(1), plan, fleet(20));
    assert_eq!(offers(&campaign.on(at(1), &Event::Tick).unwrap()).len(), 1);
    let mut nobody = Campaign::new(CampaignId::new(1), three_waves(), []);
    assert_eq!(
        nobody.on(at(1), &Event::Tick).unwrap().last(),
        Some(&Decision::Complete)
    );
}

#[test]
fn a_wave_is_watched_before_the_next_one_opens() {
    let plan = Plan::new([
        Wave::count(1).soak(Duration::from_secs(30)),
        Wave::percent(100),
    ])
    .unwrap();
    let mut campaign = Campaign::new(CampaignId::new(1), plan, fleet(5));
    let canary = offers(&campaign.on(at(1), &Event::Tick).unwrap())[0];
    assert!(
        campaign
            .on(at(5), &Event::Succeeded(canary))
            .unwrap()
            .is_empty()
    );
    assert_eq!(campaign.deadline(), Some(Timestamp::from_secs(35)));
    assert!(campaign.on(at(34), &Event::Tick).unwrap().is_empty());
    assert_eq!(offers(&campaign.on(at(35), &Event::Tick).unwrap()).len(), 4);
}

#[test]
fn only_a_confirmed_report_about_the_release_is_success() {
    use crate::slot::RollBackReason;
    use crate::update::{Outcome, Running};
    let device = DeviceId::new("a").unwrap();
    let event =
        |sequence, outcome| Event::of_report(device, 7, &Report::new(sequence, outcome, None));
    assert_eq!(
        event(Some(7), Outcome::Confirmed),
        Some(Event::Succeeded(device))
    );
    let back = Outcome::RolledBack(RollBackReason::SelfTest);
    assert_eq!(event(Some(7), back), Some(Event::Unwell(device)));
    assert_eq!(event(Some(7), Outcome::Busy), None, "busy is no end");
    let running = |sequence| {
        let running = Some(Running::new(sequence, [0; 32]));
        Event::of_report(device, 7, &Report::new(Some(7), back, running))
    };
    assert_eq!(running(6), Some(Event::Failed(device)));
    assert_eq!(running(7), Some(Event::Unwell(device)));
    assert_eq!(event(Some(6), Outcome::Confirmed), None);
    assert_eq!(event(None, Outcome::NotAuthentic), None);
}

fn canaries(size: usize) -> (Campaign, Vec<DeviceId>) {
    let plan = Plan::new([
        Wave::count(size).halt_at(Threshold::Count(size)),
        Wave::percent(100),
    ])
    .unwrap();
    let mut campaign = Campaign::new(CampaignId::new(1), plan, fleet(9));
    let canary = offers(&campaign.on(at(1), &Event::Tick).unwrap());
    (campaign, canary)
}

fn told(campaign: &mut Campaign, event: Event) -> Vec<DeviceId> {
    let decisions = campaign.on(at(1), &event).unwrap();
    let back = |decision: &Decision| match decision {
        Decision::RollBack(device) => Some(*device),
        _ => None,
    };
    decisions.iter().filter_map(back).collect()
}

#[test]
fn a_failed_device_that_succeeds_later_has_the_release_and_its_failure_still_counts() {
    let (mut campaign, canary) = canaries(3);
    campaign.on(at(1), &Event::Failed(canary[0])).unwrap();
    campaign.on(at(1), &Event::Succeeded(canary[0])).unwrap();
    let progress = campaign.progress();
    assert_eq!((progress.succeeded, progress.failed), (1, 0));
    assert_eq!(campaign.tally.failed, 1);
    assert!(told(&mut campaign, Event::RollBack).contains(&canary[0]));
}

#[test]
fn a_failure_that_does_not_show_another_release_is_taken_back_until_it_is_restored() {
    let (mut campaign, canary) = canaries(3);
    campaign.on(at(1), &Event::Unwell(canary[0])).unwrap();
    campaign.on(at(1), &Event::Failed(canary[1])).unwrap();
    assert_eq!(campaign.progress().failed, 2);
    let back = told(&mut campaign, Event::RollBack);
    assert!(back.contains(&canary[0]) && !back.contains(&canary[1]));
    campaign.on(at(1), &Event::Restored(canary[2])).unwrap();
    campaign.on(at(1), &Event::Unwell(canary[0])).unwrap();
    assert_eq!(campaign.phase(), Phase::RollingBack);
    campaign.on(at(1), &Event::Restored(canary[0])).unwrap();
    assert_eq!(campaign.phase(), Phase::RolledBack);
}

#[test]
fn a_device_that_shows_the_release_after_it_was_taken_back_is_taken_back_again() {
    let (mut campaign, canary) = canaries(2);
    campaign.on(at(1), &Event::Failed(canary[0])).unwrap();
    assert_eq!(told(&mut campaign, Event::RollBack), [canary[1]]);
    campaign.on(at(1), &Event::Restored(canary[1])).unwrap();
    assert_eq!(campaign.phase(), Phase::RolledBack);
    for device in [canary[0], canary[1]] {
        assert_eq!(told(&mut campaign, Event::Succeeded(device)), [device]);
        assert_eq!(campaign.phase(), Phase::RollingBack);
        let end = campaign.on(at(1), &Event::Restored(device)).unwrap();
        assert_eq!(end, [Decision::RolledBack]);
    }
}
