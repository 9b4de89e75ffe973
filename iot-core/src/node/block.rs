//! Driving futures without an executor.

use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use crate::port::Timer;
use crate::time::{Instant, Now};

/// Polls `future` until it is ready, without sleeping: for a bootloader, a bare loop or a test.
///
/// A future that waits for something only another task can do never ends here.
///
/// ```
/// assert_eq!(iot_core::node::block_on(async { 1 + 1 }), 2);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => core::hint::spin_loop(),
        }
    }
}

/// A [`Timer`] over a function that tells the time, for drivers that poll.
///
/// It asks to be polled again at once while it waits.
///
/// ```
/// use iot_core::node::{PollTimer, block_on};
/// use iot_core::port::Timer;
/// use iot_core::{Instant, Now, time::TimeBounds};
/// let ticks = core::cell::Cell::new(0);
/// let mut timer = PollTimer::new(|| {
///     ticks.set(ticks.get() + 1);
///     Now::new(Instant::from_millis(ticks.get()), TimeBounds::UNKNOWN)
/// });
/// block_on(timer.until(Some(Instant::from_millis(100))));
/// assert!(ticks.get() >= 100);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PollTimer<F>(F);

impl<F: Fn() -> Now> PollTimer<F> {
    /// Tells the time with `now`.
    pub const fn new(now: F) -> Self {
        Self(now)
    }
}

impl<F: Fn() -> Now> Timer for PollTimer<F> {
    fn now(&self) -> Now {
        (self.0)()
    }

    async fn until(&mut self, deadline: Option<Instant>) {
        poll_fn(|context| {
            if deadline.is_some_and(|deadline| self.now().instant >= deadline) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}
