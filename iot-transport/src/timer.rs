//! The core's `Timer` port on tokio.

use core::future::pending;

use iot_core::port::Timer;
use iot_core::{Instant, Now};

/// The host's clocks, waited for on tokio; copies show the same time.
///
/// The wall clock is the system's, taken as exact. A service that doubts its system clock implements
/// [`Timer`] itself.
///
/// ```
/// use core::time::Duration;
/// use iot_core::port::Timer;
/// use iot_transport::TokioTimer;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// let mut timer = TokioTimer::new();
/// let soon = timer.now().instant + Duration::from_millis(5);
/// timer.until(Some(soon)).await;
/// assert!(timer.now().instant >= soon);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TokioTimer;

impl TokioTimer {
    /// The timer; it needs a tokio runtime with time enabled only while it waits.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Timer for TokioTimer {
    fn now(&self) -> Now {
        Now::system()
    }

    async fn until(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            return pending().await;
        };
        loop {
            let left = deadline.since(self.now().instant);
            if left.is_zero() {
                // A deadline that is always due must not keep the other tasks of this thread from running.
                return tokio::task::consume_budget().await;
            }
            tokio::time::sleep(left).await;
        }
    }
}
