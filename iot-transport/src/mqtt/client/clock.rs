//! Time and chance for a client: tokio's clock in the session's units, one sleep, and jitter.

use alloc::boxed::Box;
use core::hash::BuildHasher;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::hash::RandomState;

use iot_core::entropy::{Entropy, EntropyError};
use tokio::time::{Instant, Sleep, sleep_until};

/// Tokio's clock, counted in milliseconds since the client was made, as its session counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> iot_core::Instant {
        iot_core::Instant::ZERO + self.0.elapsed()
    }

    pub(super) fn at(self, moment: iot_core::Instant) -> Option<Instant> {
        self.0
            .checked_add(Duration::from_millis(moment.as_millis()))
    }
}

/// One resettable sleep.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready when `deadline` has come; otherwise the task is woken then.
    pub(super) fn poll(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

pub(super) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Randomness that spreads reconnects; never for keys.
pub(super) struct Spread;

impl Entropy for Spread {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in out.chunks_mut(8) {
            // Every `RandomState` has keys of its own.
            let random = RandomState::new().hash_one(chunk.len()).to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(random) {
                *to = from;
            }
        }
        Ok(())
    }
}
