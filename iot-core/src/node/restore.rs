//! Shows one engine its records.

use crate::engine::{Engine, Event};
use crate::port::Records;
use crate::time::Now;

/// Shows `engine` each of its own records, in the order of their keys, and then that it has seen all of them.
///
/// A [`Node`](super::Node) does this for every engine; it is for those who drive an engine by themselves. `buffer` must
/// hold the longest record. Records outside the engine's range are not touched.
///
/// # Errors
///
/// That of the store. The engine has not been told that it has seen everything, and does nothing yet: try again with
/// a new one.
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// use iot_core::command::{Issuer, Terms};
/// use iot_core::engine::RecordKey;
/// use iot_core::node::{block_on, restore};
/// use iot_core::storage::memory::MemoryRecords;
/// use iot_core::{DeviceId, Instant, IssuerId, Now, TenantId, time::TimeBounds};
///
/// iot_core::commands! { enum Job { #[idempotent] SetValve { open: bool } } }
///
/// let mut records = MemoryRecords::new();
/// let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
/// let mut door = Issuer::<Job, 4>::new(IssuerId::new(1), RecordKey::new(0x4000))
///     .to(TenantId::new("acme")?, DeviceId::new("door-7")?);
/// block_on(restore(&mut door, &mut records, now, &mut [0; 256]))?;
/// door.issue(now, Job::SetValve { open: true }, Terms::DEFAULT)?;
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub async fn restore<R: Records>(
    engine: &mut (impl Engine + ?Sized),
    records: &mut R,
    now: Now,
    buffer: &mut [u8],
) -> Result<(), R::Error> {
    let range = engine.records();
    let mut from = range.first();
    while let Some(start) = from
        && let Some(key) = records.next_key(start).await?
        && range.contains(key)
    {
        if let Some(value) = records.read(key, buffer).await? {
            engine.input(now, &Event::Record { key, value });
        }
        from = key.offset(1);
    }
    engine.input(now, &Event::Restored);
    Ok(())
}
