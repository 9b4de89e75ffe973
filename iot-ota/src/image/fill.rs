//! From a source into the spare bank, with a record of how far it is.

use core::future::poll_fn;
use core::task::Poll;

use iot_core::crypto::Digest;
use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::port::{ImageSource, Records};

use super::intake::{Intake, IntakeError};
use super::transform::Transform;
use crate::slot::Banks;

/// Why a bank was not filled.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FillError<S, R, B> {
    /// The source failed: call again, it goes on.
    #[error("the source failed")]
    Source(S),
    /// The source has less than was declared.
    #[error("the source ends early")]
    Ended,
    /// The record store failed: call again, it goes on.
    #[error("the record store failed")]
    Records(R),
    /// The record's buffer is too small for the checkpoint.
    #[error("the buffer is too small: it needs a block, which holds a checkpoint besides")]
    Buffer,
    /// What came is not right, or the banks failed.
    #[error("the payload was not taken in")]
    Intake(IntakeError<B>),
}

/// Fetches what is missing, block by block, with a checkpoint under `key` whenever a page was written; returns when all
/// of it is there.
///
/// Blocks are as long as `block` and keep to their grid; one of a page or more costs least. After a reboot, resume the
/// intake with that record and call this again; a firmware on trial has to be confirmed first. Whether the image is the right one, [`Intake::finish`] says. Dropping
/// the future loses nothing that was recorded.
///
/// # Errors
///
/// [`FillError`].
pub async fn fill<S, R, B, T, D, const PAGE: usize, const SAVED: usize>(
    source: &mut S,
    intake: &mut Intake<T, D, PAGE, SAVED>,
    banks: &mut B,
    records: &mut R,
    key: RecordKey,
    block: &mut [u8],
) -> Result<(), FillError<S::Error, R::Error, B::Error>>
where
    S: ImageSource,
    R: Records,
    B: Banks,
    T: Transform,
    D: Digest,
{
    let size = u32::try_from(block.len()).map_err(|_| FillError::Buffer)?;
    // What an earlier call has recorded is not known.
    let mut recorded = None;
    loop {
        let offset = intake.received();
        // Never more is asked for than was declared.
        let left = intake.expected().payload_bytes.saturating_sub(offset);
        if left == 0 {
            while !intake.clear_next(banks).map_err(FillError::Intake)? {
                give_way().await;
            }
            return Ok(());
        }
        let to_grid = size - offset.checked_rem(size).ok_or(FillError::Buffer)?;
        let wanted = usize::try_from(left.min(to_grid)).map_err(|_| FillError::Buffer)?;
        let piece = block.get_mut(..wanted).ok_or(FillError::Buffer)?;
        let given = source
            .read(offset, piece)
            .await
            .map_err(FillError::Source)?;
        let piece = piece.get(..given).filter(|piece| !piece.is_empty());
        intake
            .push(banks, offset, piece.ok_or(FillError::Ended)?)
            .map_err(FillError::Intake)?;
        // A record costs an erasure in the end: the same checkpoint is not written twice.
        let there = intake.goes_on_from();
        if there.is_none() || there == recorded {
            continue;
        }
        let mut batch = BatchWriter::new(block);
        batch
            .put_with(key, |out| intake.checkpoint(out))
            .map_err(|_| FillError::Buffer)?;
        let committed = records.commit(&batch.finish()).await;
        committed.map_err(FillError::Records)?;
        recorded = there;
    }
}

/// Lets others run: an erasure takes long.
async fn give_way() {
    let mut gave = false;
    poll_fn(|context| {
        if core::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
