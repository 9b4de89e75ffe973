use iot_core::Timestamp;
use iot_core::time::TimeBounds;

use super::*;
use crate::schedule::Days;

const HOUR: Duration = Duration::from_secs(3_600);
/// 2027-01-11, a Monday, 00:00 UTC.
const MONDAY_S: u64 = 1_799_625_600;

/// So many hours after that Monday began; the device was started then.
fn at(hours: u64) -> Now {
    let wall = Timestamp::from_secs(MONDAY_S + hours * 3_600);
    Now::new(instant(hours), TimeBounds::exact(wall))
}

fn instant(hours: u64) -> Instant {
    Instant::from_millis(hours * 3_600_000)
}

/// From one to four at night.
fn nights() -> Schedule<1> {
    Schedule::new([Some(Window::new(Days::ALL, 60, 3 * HOUR))])
}

fn always() -> Schedule<0> {
    Schedule::new([])
}

const IDEAL: Conditions = Conditions::ideal();

#[test]
fn a_low_battery_holds_everything_up_even_after_the_deadline() {
    let mut schedule = always().battery_at_least(30);
    schedule.begin(instant(0), Some(HOUR));
    let low = Conditions::default().battery(29, false);
    for hours in [0, 1, 100] {
        for stage in [Stage::Fetch, Stage::Restart] {
            assert_eq!(
                schedule.may(at(hours), stage, &low),
                wait(Why::Battery, None)
            );
        }
    }
    let charging = low.battery(29, true);
    assert_eq!(schedule.may(at(0), Stage::Restart, &charging), Decision::Go);
    // Nor does one that cannot tell pass as full.
    assert_eq!(
        schedule.may(at(0), Stage::Restart, &Conditions::default()),
        wait(Why::Battery, None)
    );
    let enough = low.battery(30, false);
    assert_eq!(schedule.may(at(0), Stage::Restart, &enough), Decision::Go);
}

#[test]
fn after_the_deadline_nobody_and_no_window_holds_it_up() {
    let mut schedule = nights().unmetered();
    schedule.begin(instant(10), Some(5 * HOUR));
    // Put off for ever is put off to the deadline.
    assert_eq!(schedule.defer(instant(1_000)), instant(15));
    let bad = IDEAL.metered(true).in_use(true);
    assert_eq!(
        schedule.may(at(14), Stage::Restart, &bad),
        wait(Why::Deferred, Some(instant(15)))
    );
    assert_eq!(schedule.may(at(15), Stage::Restart, &bad), Decision::Go);
    assert_eq!(schedule.may(at(15), Stage::Fetch, &bad), Decision::Go);
}

#[test]
fn the_wait_for_a_window_ends_at_the_deadline_when_that_comes_first() {
    let mut schedule = nights();
    schedule.begin(instant(10), Some(5 * HOUR));
    let closed = |until| wait(Why::Window, Some(until));
    assert_eq!(
        schedule.may(at(12), Stage::Fetch, &IDEAL),
        closed(instant(15))
    );
    schedule.begin(instant(10), None);
    assert_eq!(
        schedule.may(at(12), Stage::Fetch, &IDEAL),
        closed(instant(25))
    );
    assert_eq!(schedule.may(at(25), Stage::Fetch, &IDEAL), Decision::Go);
    schedule.end();
    assert_eq!(
        schedule.may(at(12), Stage::Fetch, &IDEAL),
        closed(instant(25))
    );
}

#[test]
fn without_a_clock_there_is_no_window_and_the_deadline_still_comes() {
    let mut schedule = nights();
    schedule.begin(instant(0), Some(5 * HOUR));
    let blind = |hours| Now::new(instant(hours), TimeBounds::UNKNOWN);
    assert_eq!(
        schedule.may(blind(2), Stage::Fetch, &IDEAL),
        wait(Why::Clock, Some(instant(5)))
    );
    assert_eq!(schedule.may(blind(5), Stage::Fetch, &IDEAL), Decision::Go);
}

#[test]
fn links_that_cost_money_count_for_fetching_alone() {
    let metered = IDEAL.metered(true);
    let mut schedule = always().unmetered();
    assert_eq!(
        schedule.may(at(0), Stage::Fetch, &metered),
        wait(Why::Metered, None)
    );
    assert_eq!(schedule.may(at(0), Stage::Restart, &metered), Decision::Go);
    assert_eq!(schedule.may(at(0), Stage::Fetch, &IDEAL), Decision::Go);
}

#[test]
fn a_day_has_so_many_bytes_and_the_next_one_as_many_again() {
    let metered = IDEAL.metered(true);
    let mut schedule = always().budget(ByteBudget::per_day(1_000, instant(0)));
    schedule.fetched(instant(1), 999, &metered);
    // What costs nothing is not counted.
    schedule.fetched(instant(1), 5_000, &IDEAL);
    assert_eq!(schedule.may(at(2), Stage::Fetch, &metered), Decision::Go);
    schedule.fetched(instant(2), 1, &metered);
    let spent = wait(Why::Budget, Some(instant(24)));
    assert_eq!(schedule.may(at(23), Stage::Fetch, &metered), spent);
    assert_eq!(schedule.may(at(23), Stage::Fetch, &IDEAL), Decision::Go);
    assert_eq!(schedule.may(at(24), Stage::Fetch, &metered), Decision::Go);
    // Nor is the second day without an end.
    schedule.fetched(instant(25), 1_000, &metered);
    let spent = wait(Why::Budget, Some(instant(48)));
    assert_eq!(schedule.may(at(26), Stage::Fetch, &metered), spent);
    assert_eq!(schedule.may(at(48), Stage::Fetch, &metered), Decision::Go);
    let spent = always().budget(ByteBudget::per_day(10, instant(0)).with_spent(10));
    assert_ne!({ spent }.may(at(1), Stage::Fetch, &metered), Decision::Go);
}

#[test]
fn what_a_block_overdrew_is_paid_back_on_the_days_after() {
    let metered = IDEAL.metered(true);
    let mut schedule = always().budget(ByteBudget::per_day(1_000, instant(0)));
    let (mut spent, mut blocks) = (0, 0);
    for hours in 0..40 * 24 {
        if schedule.may(at(hours), Stage::Fetch, &metered) == Decision::Go {
            schedule.fetched(instant(hours), 4_096, &metered);
            (spent, blocks) = (spent + 4_096, blocks + 1);
        }
        assert!(spent <= (hours / 24 + 1) * 1_000 + 4_095, "{spent} {hours}");
    }
    assert_eq!(blocks, 10);
    // By days in which nobody asked, too.
    let mut schedule = always().budget(ByteBudget::per_day(1_000, instant(0)));
    schedule.fetched(instant(0), 4_096, &metered);
    let asked = |hours| { schedule }.may(at(hours), Stage::Fetch, &metered);
    assert_eq!(asked(95), wait(Why::Budget, Some(instant(95 + 24))));
    assert_eq!(asked(96), Decision::Go);
}

#[test]
fn a_fleet_is_spread_over_the_window_and_each_device_keeps_its_turn() {
    let mut per_hour = [0; 2];
    for device in 0..1_000 {
        let mut schedule = nights().jitter(device, 2 * HOUR);
        schedule.begin(instant(0), None);
        let wait = match schedule.may(at(1), Stage::Fetch, &IDEAL) {
            Decision::Go => instant(1),
            Decision::Wait {
                why: Why::Jitter,
                until: Some(until),
            } => until,
            other => panic!("{other:?}"),
        };
        assert!((instant(1)..instant(3)).contains(&wait));
        per_hour[usize::from(wait >= instant(2))] += 1;
        // A reboot in the meantime, and another night.
        let mut again = nights().jitter(device, 2 * HOUR);
        again.begin(instant(0), None);
        let later = Now::new(
            wait,
            TimeBounds::exact(Timestamp::from_millis(MONDAY_S * 1_000 + wait.as_millis())),
        );
        assert_eq!(again.may(later, Stage::Fetch, &IDEAL), Decision::Go);
    }
    assert!(per_hour.iter().all(|count| *count > 400), "{per_hour:?}");
}

#[test]
fn a_spread_that_is_longer_than_the_window_leaves_nobody_out() {
    for device in 0..200 {
        let mut schedule = nights().jitter(device, 100 * HOUR);
        schedule.begin(instant(0), None);
        let last = Timestamp::from_secs(MONDAY_S + 4 * 3_600 - 1);
        let now = Now::new(instant(4), TimeBounds::exact(last));
        assert_eq!(schedule.may(now, Stage::Fetch, &IDEAL), Decision::Go);
    }
}

/// When each of a fleet's devices first gets its turn, in seconds of that Monday; `step_s` apart they ask.
fn turns(
    window: Window,
    spread: Duration,
    [released_s, doubt_s, step_s]: [u64; 3],
) -> [Option<u64>; 500] {
    core::array::from_fn(|device| {
        let mut schedule = Schedule::new([Some(window)]).jitter(device.try_into().unwrap(), spread);
        schedule.begin(Instant::from_millis(released_s * 1_000), None);
        let mut asked = (released_s..86_400).step_by(step_s.try_into().unwrap());
        asked.find(|&second| {
            let wall = |second| Timestamp::from_secs(MONDAY_S + second);
            let wall = TimeBounds::between(wall(second - doubt_s), wall(second + doubt_s)).unwrap();
            let now = Now::new(Instant::from_millis(second * 1_000), wall);
            schedule.may(now, Stage::Fetch, &IDEAL) == Decision::Go
        })
    })
}

/// The most of them in any ten minutes.
fn crowd(turns: &[Option<u64>]) -> usize {
    let in_tens = |from| move |turn: &&Option<u64>| turn.is_some_and(|turn| turn / 600 == from);
    let crowds = (0..144).map(|from| turns.iter().filter(in_tens(from)).count());
    crowds.max().unwrap()
}

#[test]
fn everybodys_turn_comes_whatever_the_doubt_about_the_time() {
    let window = Window::new(Days::ALL, 60, HOUR);
    for doubt_s in [0, 1, 300, 1_500] {
        // Asked once a minute.
        let turns = turns(window, HOUR, [3_000, doubt_s, 59]);
        assert!(
            turns
                .iter()
                .all(|turn| turn.is_some_and(|turn| turn < 7_200))
        );
        if doubt_s <= 300 {
            assert!(crowd(&turns) < 150, "{}", crowd(&turns));
        }
    }
}

#[test]
fn a_release_in_the_middle_of_a_window_starts_no_herd() {
    let window = Window::new(Days::ALL, 60, 4 * HOUR);
    // Most turns of this window are over.
    let late = turns(window, HOUR, [4 * 3_600, 0, 10]);
    assert!(
        late.iter()
            .all(|turn| turn.is_some_and(|turn| turn < 5 * 3_600))
    );
    assert!(crowd(&late) < 120, "{}", crowd(&late));
    // None is, and some are: who still has one keeps it.
    let (early, midst) = (
        turns(window, HOUR, [3_000, 0, 10]),
        turns(window, HOUR, [5_400, 0, 10]),
    );
    assert!(
        midst
            .iter()
            .all(|turn| turn.is_some_and(|turn| turn < 3 * 3_600))
    );
    for (early, midst) in early.iter().zip(&midst) {
        assert!(early == midst || early.is_some_and(|early| early <= 5_400));
    }
    assert!(crowd(&midst) < 200, "{}", crowd(&midst));
    // In the last minute of a window there is no room for a fleet.
    let over = turns(window, HOUR, [5 * 3_600 - 30, 0, 10]);
    assert!(over.iter().all(Option::is_none));
}

#[test]
fn a_spread_of_less_than_a_second_is_one() {
    let turns = [1, 2, 3].map(|device| {
        let mut schedule = always().jitter(device, Duration::from_millis(900));
        schedule.begin(instant(0), None);
        match schedule.may(at(0), Stage::Fetch, &IDEAL) {
            Decision::Wait { until, .. } => until,
            other => panic!("{other:?}"),
        }
    });
    assert!(
        turns
            .iter()
            .all(|turn| *turn < Some(Instant::from_millis(900)))
    );
    assert!(turns[0] != turns[1] && turns[1] != turns[2]);
}

#[test]
fn without_windows_the_turn_counts_from_the_offer() {
    let mut schedule = always().jitter(12_345, 10 * HOUR);
    schedule.begin(instant(5), None);
    let Decision::Wait {
        why: Why::Jitter,
        until: Some(turn),
    } = schedule.may(at(5), Stage::Fetch, &IDEAL)
    else {
        panic!("no jitter");
    };
    assert!(turn > instant(5) && turn < instant(15));
    let then = Now::new(turn, TimeBounds::UNKNOWN);
    assert_eq!(schedule.may(then, Stage::Fetch, &IDEAL), Decision::Go);
}

#[test]
fn a_restart_waits_until_nobody_uses_the_device() {
    let mut schedule = always();
    let used = IDEAL.in_use(true);
    assert_eq!(
        schedule.may(at(0), Stage::Restart, &used),
        wait(Why::InUse, None)
    );
    assert_eq!(schedule.may(at(0), Stage::Fetch, &used), Decision::Go);
}
