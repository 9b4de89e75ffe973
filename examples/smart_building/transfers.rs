//! How many devices fetch an image at once: whoever comes later waits for a place.

use std::collections::{BTreeSet, VecDeque};

use iot_core::DeviceId;

/// So many at once.
pub const AT_ONCE: usize = 32;

/// The places, and who waits for one.
#[derive(Debug, Default)]
pub struct Transfers {
    waiting: VecDeque<DeviceId>,
    places: BTreeSet<DeviceId>,
    /// What went over the wire, whatever the places say: devices that were sent a part and not the end.
    under_way: BTreeSet<DeviceId>,
    pub most: usize,
    /// Requests of devices without a place, while none was free.
    pub turned_away: u64,
}

impl Transfers {
    /// This one is to be offered the release when its turn comes.
    pub fn queue(&mut self, device: DeviceId) {
        self.waiting.push_back(device);
    }

    /// Whose turn it is.
    pub fn next(&mut self) -> Option<DeviceId> {
        if self.places.len() >= AT_ONCE {
            return None;
        }
        let device = self.waiting.pop_front()?;
        self.places.insert(device);
        Some(device)
    }

    /// Whether a device that asks for a block gets it. One that had its image, and lost the end of it, comes again.
    pub fn admit(&mut self, device: DeviceId) -> bool {
        if self.places.len() < AT_ONCE {
            self.places.insert(device);
        }
        let admitted = self.places.contains(&device);
        self.turned_away += u64::from(!admitted);
        admitted
    }

    /// A block goes out.
    pub fn sent(&mut self, device: DeviceId, is_last: bool) {
        self.under_way.insert(device);
        self.most = self.most.max(self.under_way.len());
        if is_last {
            self.ended(&device);
        }
    }

    /// Nothing more goes to this one for now.
    pub fn ended(&mut self, device: &DeviceId) {
        self.under_way.remove(device);
        self.places.remove(device);
    }
}
