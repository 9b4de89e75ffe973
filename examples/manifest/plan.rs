//! What a device with an `Updater` makes of a manifest.

use iot_ota::manifest::{Device, Manifest, Plan, PlanError, Situation};

use iot_core::time::TimeBounds;

use crate::followed::places;
use crate::named::{parameters, values};
use crate::payloads::identities;

/// Devices that are tried: those that the manifest speaks of, each with every component as its image, every other one as
/// its patch, and every slot. A hostile manifest may speak of many.
const MAX_DEVICES: usize = 1_024;

/// One line: what is fetched, or why such a device refuses it.
pub(crate) fn line(manifest: &Manifest<'_>) -> String {
    match plan(manifest) {
        Ok(plan) => {
            let kind = match (plan.patch, plan.encryption.is_some()) {
                (false, false) => "",
                (true, false) => ", a patch",
                (false, true) => ", encrypted",
                (true, true) => ", an encrypted patch",
            };
            format!(
                "devices with an Updater: fetch {:?}{kind}, for an image of {} bytes",
                plan.uri, plan.release.size
            )
        }
        Err(error) => format!(
            "devices with an Updater refuse it ({error}); those that drive a Process may follow it"
        ),
    }
}

/// The plan of the first device that has one, or why the first of all has none.
fn plan<'m>(manifest: &Manifest<'m>) -> Result<Plan<'m>, PlanError> {
    let maps = parameters(manifest);
    let slots = values(&maps, 5).into_iter();
    let slots = slots.filter_map(|value| minicbor::Decoder::new(value).u64().ok());
    let slots: Vec<_> = slots.map(Some).chain([None]).collect();
    let places = places(manifest);
    let (mut first, mut tried) = (None, 0);
    for identity in identities(&maps) {
        for image in &places {
            for patch in [None].into_iter().chain(places.iter().map(Some)) {
                for slot in &slots {
                    tried += 1;
                    if patch == Some(image) || tried > MAX_DEVICES {
                        continue;
                    }
                    let mut device = Device::new(identity.vendor, identity.class, image);
                    device.device = identity.device;
                    device.patch = patch.map(Vec::as_slice);
                    // Patches are for whoever runs another image.
                    let situation = Situation::new(TimeBounds::UNKNOWN)
                        .running([0; 32], 0)
                        .in_slot(*slot);
                    match manifest.plan_in(&device, &situation) {
                        Ok(plan) => return Ok(plan),
                        Err(error) => first = first.or(Some(error)),
                    }
                }
            }
        }
    }
    Err(first.unwrap_or(PlanError::OtherComponent))
}
