//! A flash that makes its caller wait, so that tests can drop what waits for it.

use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// Waits once before and once after each operation: a future can be dropped when nothing of the operation has
/// happened, and when all of it has and nobody was told.
#[derive(Clone, Debug)]
pub(super) struct Slow<F>(pub(super) F);

async fn wait() {
    let mut waited = false;
    poll_fn(|_| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        Poll::Pending
    })
    .await;
}

impl<F: ErrorType> ErrorType for Slow<F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> ReadNorFlash for Slow<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        wait().await;
        let result = self.0.read(offset, bytes).await;
        wait().await;
        result
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> NorFlash for Slow<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        wait().await;
        let result = self.0.erase(from, to).await;
        wait().await;
        result
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        wait().await;
        let result = self.0.write(offset, bytes).await;
        wait().await;
        result
    }
}

/// Polls a future so many times, then drops it; `None` when it was not ready by then.
pub(super) fn poll_times<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..times {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}
