//! Time that moves only when it is told to.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;

use crate::port::Timer;
use crate::time::{Instant, Now, TimeBounds, Timestamp};

/// A clock that all parts of a simulation share; clones show the same time.
///
/// ```
/// use core::time::Duration;
/// use iot_core::port::Timer;
/// use iot_core::sim::SimClock;
/// let clock = SimClock::new();
/// let device = clock.clone();
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(device.now().instant.as_millis(), 5_000);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SimClock(Rc<State>);

#[derive(Debug, Default)]
struct State {
    now_ms: Cell<u64>,
    wall: Cell<Option<TimeBounds>>,
    waiting: RefCell<Vec<Waker>>,
}

impl SimClock {
    /// A clock at the moment of boot that knows nothing of the wall clock.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets time pass and wakes whoever waits.
    pub fn advance(&self, span: Duration) {
        let now = Instant::from_millis(self.0.now_ms.get()).after(span);
        self.0.now_ms.set(now.as_millis());
        if let Some(wall) = self.0.wall.get() {
            self.0.wall.set(Some(shift(wall, span)));
        }
        self.wake();
    }

    /// States what is known of the wall clock from now on; it moves along with the time.
    pub fn set_wall(&self, wall: TimeBounds) {
        self.0.wall.set(Some(wall));
    }

    /// What time it is.
    #[must_use]
    pub fn instant(&self) -> Instant {
        Instant::from_millis(self.0.now_ms.get())
    }

    pub(super) fn wake(&self) {
        for waker in self.0.waiting.take() {
            waker.wake();
        }
    }

    pub(super) fn register(&self, waker: &Waker) {
        let mut waiting = self.0.waiting.borrow_mut();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }
}

fn shift(wall: TimeBounds, span: Duration) -> TimeBounds {
    let earliest: Timestamp = wall.not_before().after(span);
    match wall.not_after() {
        Some(latest) => TimeBounds::between(earliest, latest.after(span)).unwrap_or(wall),
        None => TimeBounds::at_least(earliest),
    }
}

impl Timer for SimClock {
    fn now(&self) -> Now {
        Now::new(
            self.instant(),
            self.0.wall.get().unwrap_or(TimeBounds::UNKNOWN),
        )
    }

    async fn until(&mut self, deadline: Option<Instant>) {
        poll_fn(|context| {
            if deadline.is_some_and(|deadline| self.instant() >= deadline) {
                return Poll::Ready(());
            }
            self.register(context.waker());
            Poll::Pending
        })
        .await;
    }
}
