//! What every device on records must show after a boot: left in peace, it comes to rest.

use core::hash::Hash;

use iot_core::sim::SimFlash;
use iot_core::sim::power::{Violation, WorldCell};

/// Boots a device; and, unless something on the flash is unstable, the same once more in a world without power cuts,
/// where it must come to rest.
///
/// A second boot might read other words than the first where something is unstable, so nothing could be said there.
pub(crate) fn booted<D, T, const W: usize, const E: usize>(
    flash: SimFlash<W, E>,
    world: &WorldCell<T>,
    boot: impl Fn(SimFlash<W, E>, &WorldCell<T>) -> Result<D, Violation>,
    comes_to_rest: impl Fn(&mut D, &WorldCell<T>) -> Result<(), Violation>,
) -> Result<D, Violation>
where
    T: Clone + Hash,
{
    let is_stable = flash.image().unstable_units() == 0;
    let before = is_stable.then(|| (flash.image().clone(), world.read(Clone::clone)));
    let device = boot(flash, world)?;
    if let Some((image, known)) = before {
        let quiet = WorldCell::new(known);
        let mut device = boot(SimFlash::from_image(image), &quiet)?;
        comes_to_rest(&mut device, &quiet)?;
    }
    Ok(device)
}
