use alloc::vec::Vec;
use core::cell::Cell;

use futures::executor::block_on;
use iot_core::node::PollTimer;
use iot_core::time::TimeBounds;
use iot_core::{Now, Priority};
use proptest::prelude::*;

use super::*;
use crate::layer::Layered as _;
use crate::memory::{End, Link, MemoryError};

type Room = Link<64, 128>;

fn clock(now_ms: &Cell<u64>) -> PollTimer<impl Fn() -> Now + Copy + '_> {
    PollTimer::new(|| Now::new(Instant::from_millis(now_ms.get()), TimeBounds::UNKNOWN))
}

fn submit<C: Timer>(
    limited: &mut Limited<End<'_, 64, 128>, C>,
    bytes: usize,
) -> Result<Ticket, LimitError<MemoryError>> {
    block_on(limited.submit(&Message::telemetry(&[0; 128][..bytes])))
}

#[test]
fn what_exceeds_the_budget_is_busy_and_passes_when_it_was_told_to() {
    let now = Cell::new(1_000);
    let mut link = Room::new();
    let budget = ByteBudget::new(100, 10, Duration::from_secs(1), clock(&now));
    let mut limited = link.split().0.layer(budget.with_overhead(20));
    submit(&mut limited, 60).unwrap();
    assert_eq!(limited.available(), 20);
    let refused = submit(&mut limited, 30).unwrap_err();
    assert_eq!(refused.kind(), TransportErrorKind::Busy);
    let LimitError::Spent {
        needed: 50,
        available: 20,
        ready_in,
    } = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(ready_in, Duration::from_secs(3));
    assert!(alloc::format!("{refused}").contains("in 3000 ms"));
    now.set(now.get() + 2_999);
    submit(&mut limited, 30).unwrap_err();
    now.set(now.get() + 1);
    submit(&mut limited, 30).unwrap();
    assert_eq!(limited.inner().waiting(), 2, "what was refused was queued");
}

#[test]
fn a_message_that_can_never_pass_is_too_large_and_the_limits_say_so() {
    let now = Cell::new(0);
    let mut link = Room::new();
    let budget = ByteBudget::new(100, 10, Duration::from_secs(1), clock(&now)).with_overhead(20);
    let mut limited = link.split().0.layer(budget);
    assert_eq!(limited.limits(), Limits::new(80, 64));
    assert_eq!(
        submit(&mut limited, 81).unwrap_err().kind(),
        TransportErrorKind::TooLarge
    );
    submit(&mut limited, 80).unwrap();
}

#[test]
fn what_the_transport_below_refuses_is_not_paid_for() {
    let now = Cell::new(0);
    let mut link = Link::<1, 128>::new();
    let budget = ByteBudget::new(100, 1, Duration::from_secs(1), clock(&now));
    let mut limited = link.split().0.layer(budget);
    let message = Message::telemetry(b"ten bytes.");
    block_on(limited.submit(&message)).unwrap();
    let full = block_on(limited.submit(&message)).unwrap_err();
    assert!(matches!(full, LimitError::Inner(_)));
    assert_eq!(limited.available(), 90);
}

#[test]
fn what_is_exempt_passes_and_others_wait_the_longer() {
    let now = Cell::new(0);
    let mut link = Room::new();
    let rate = RateLimit::new(1, 1, Duration::from_secs(1), clock(&now));
    let mut limited = link.split().0.layer(rate.with_exempt(Priority::Critical));
    let message = Message::telemetry(b"x");
    let alarm = message.with_priority(Priority::Critical);
    for _ in 0..3 {
        block_on(limited.submit(&alarm)).unwrap();
    }
    now.set(2_999);
    block_on(limited.submit(&message)).unwrap_err();
    now.set(3_000);
    block_on(limited.submit(&message)).unwrap();
    assert_eq!(limited.limits().payload_bytes, 128);
}

proptest! {
    /// The bill is what counts: no window of a day may hold more than the budget.
    #[test]
    fn no_day_has_more_than_its_budget(
        tries in prop::collection::vec((0..7_200_000_u64, 1..=100_usize), 1..200)
    ) {
        let now = Cell::new(0);
        let mut passed: Vec<(u64, usize)> = Vec::new();
        let mut bucket = ByteBudget::per_day(1_000, clock(&now)).bucket;
        for (pause, bytes) in tries {
            now.set(now.get() + pause);
            bucket.fill(Instant::from_millis(now.get()));
            let cost = u32::try_from(bytes).unwrap();
            if bucket.ready_in(cost).is_zero() {
                bucket.level -= bucket.cost(cost);
                passed.push((now.get(), bytes));
            }
            let day = passed.iter().filter(|(at, _)| *at + 86_400_000 > now.get());
            let sum: usize = day.map(|(_, bytes)| bytes).sum();
            prop_assert!(sum <= 1_000, "{} bytes in a day", sum);
        }
    }
}
