//! Time and patience: what a program without an executor needs to drive futures.

use core::pin::pin;
use core::task::{Context, Poll, Waker};

use iot_core::time::TimeBounds;
use iot_core::{Instant, Now};

use crate::board;

/// Where the program got no further.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stuck(pub &'static str);

/// The board's clock; it knows nothing of the world's.
#[must_use]
pub fn now() -> Now {
    Now::new(
        Instant::from_millis(board::millis().into()),
        TimeBounds::UNKNOWN,
    )
}

/// Polls a future once and drops it.
///
/// # Errors
///
/// [`Stuck`] when it has to wait.
pub fn poll<F: Future>(future: F) -> Result<F::Output, Stuck> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(Stuck("wait")),
    }
}
