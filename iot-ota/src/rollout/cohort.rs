//! Where a device stands in a campaign's order.

use iot_core::DeviceId;

/// A device's place in a campaign: a number in [0, 1) that every node computes alike, without a table.
///
/// It is a hash of the campaign and the device, so a device that is early in one campaign is not always
/// early. The format is fixed: FNV-1a (64 bit) over the campaign's number (8 bytes, big endian) and the
/// device's name, finished with the mixer of SplitMix64.
///
/// ```
/// use iot_core::DeviceId;
/// use iot_ota::rollout::{CampaignId, Cohort};
/// let device = DeviceId::new("boiler-7")?;
/// let place = Cohort::of(CampaignId::new(1), &device);
/// assert_eq!(place, Cohort::of(CampaignId::new(1), &device));
/// assert_ne!(place, Cohort::of(CampaignId::new(2), &device));
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Cohort(u64);

impl Cohort {
    /// Computes the place of `device` in `campaign`.
    #[must_use]
    pub fn of(campaign: CampaignId, device: &DeviceId) -> Self {
        let campaign = campaign.get().to_be_bytes();
        let bytes = campaign.iter().chain(device.as_str().as_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(mix(hash))
    }

    /// Whether the place lies within the first `share` of the fleet.
    #[must_use]
    pub fn is_within(self, share: Share) -> bool {
        u128::from(self.0) * u128::from(Share::WHOLE) < u128::from(share.0) << 64
    }
}

// FNV alone leaves the high bits of short names nearly equal; the order of a rollout uses the high bits.
const fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Names a campaign; a new campaign gets a new number, and with it a new order of devices.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CampaignId(u64);

impl CampaignId {
    /// Wraps a number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A part of a fleet in millionths, 0 to 1,000,000.
///
/// ```
/// use iot_ota::rollout::Share;
/// assert_eq!(Share::percent(5), Share::millionths(50_000));
/// assert_eq!(Share::percent(5).of(1_010), 51);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Share(u32);

impl Share {
    const WHOLE: u32 = 1_000_000;

    /// The whole fleet.
    pub const ALL: Self = Self(Self::WHOLE);

    /// `parts` millionths; more than a million is the whole.
    #[must_use]
    pub const fn millionths(parts: u32) -> Self {
        Self(if parts > Self::WHOLE {
            Self::WHOLE
        } else {
            parts
        })
    }

    /// `parts` hundredths; more than a hundred is the whole.
    #[must_use]
    pub const fn percent(parts: u32) -> Self {
        Self::millionths(parts.saturating_mul(10_000))
    }

    /// That share of `count`, rounded up.
    #[must_use]
    pub fn of(self, count: usize) -> usize {
        let parts = (count as u128 * u128::from(self.0)).div_ceil(u128::from(Self::WHOLE));
        usize::try_from(parts).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_part_of_the_format_and_never_changes() {
        let device = DeviceId::new("boiler-7").unwrap();
        assert_eq!(
            Cohort::of(CampaignId::new(1), &device),
            Cohort(0x940f_34c4_c845_e85a),
            "changing the hash would reshuffle every running campaign"
        );
    }

    #[test]
    fn a_share_of_the_hash_space_is_that_share_of_a_fleet() {
        for campaign in 0..4 {
            for percent in [1, 10, 50] {
                let within = (0..20_000)
                    .map(|n| DeviceId::new(&std::format!("sensor-{n}")).unwrap())
                    .filter(|d| {
                        Cohort::of(CampaignId::new(campaign), d).is_within(Share::percent(percent))
                    })
                    .count();
                let expected = 200 * percent as usize;
                assert!(
                    within.abs_diff(expected) < 60 + expected / 10,
                    "{within} of {expected}"
                );
            }
        }
    }

    #[test]
    fn no_device_is_within_nothing_and_every_device_is_within_the_whole() {
        for hash in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(!Cohort(hash).is_within(Share::percent(0)));
            assert!(Cohort(hash).is_within(Share::ALL));
        }
    }
}
