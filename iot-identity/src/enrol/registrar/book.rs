//! What was issued, found by device and by key.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;

use iot_core::DeviceId;

use super::Enrolment;
use crate::key::KeyHash;

/// The same enrolments in two orders.
#[derive(Debug, Default)]
pub(super) struct Book {
    devices: BTreeMap<DeviceId, Vec<Enrolment>>,
    // A key has one holder, unless somebody has copied it.
    holders: BTreeMap<KeyHash, Vec<DeviceId>>,
}

impl Book {
    pub(super) const fn new() -> Self {
        Self {
            devices: BTreeMap::new(),
            holders: BTreeMap::new(),
        }
    }

    /// Adds an enrolment, or puts it in the place of what was known of the same certificate.
    pub(super) fn restore(&mut self, mut enrolment: Enrolment) {
        let mut held = self.take(&enrolment.device);
        // Records may come in any order, and what was closed stays closed.
        let is_same = |one: &Enrolment| one.certificate == enrolment.certificate;
        enrolment.is_closed |= held.iter().any(|one| is_same(one) && one.is_closed);
        held.retain(|one| one.certificate != enrolment.certificate);
        let device = enrolment.device;
        held.push(enrolment);
        self.put(device, held);
    }

    /// Takes out all that a device holds; whoever does so puts it back.
    pub(super) fn take(&mut self, device: &DeviceId) -> Vec<Enrolment> {
        let held = self.devices.remove(device).unwrap_or_default();
        for one in &held {
            if let Entry::Occupied(mut holders) = self.holders.entry(one.key) {
                holders.get_mut().retain(|holder| holder != device);
                if holders.get().is_empty() {
                    holders.remove();
                }
            }
        }
        held
    }

    /// Puts back what a device holds.
    pub(super) fn put(&mut self, device: DeviceId, held: Vec<Enrolment>) {
        for one in &held {
            let holders = self.holders.entry(one.key).or_default();
            if !holders.contains(&device) {
                holders.push(device);
            }
        }
        if !held.is_empty() {
            self.devices.insert(device, held);
        }
    }

    pub(super) fn of_device(&self, device: &DeviceId) -> &[Enrolment] {
        self.devices.get(device).map_or(&[], Vec::as_slice)
    }

    /// What was issued for a key, whoever holds it.
    pub(super) fn of_key(&self, key: KeyHash) -> impl Iterator<Item = &Enrolment> {
        let holders = self.holders.get(&key).map_or(&[][..], Vec::as_slice);
        let held = holders.iter().flat_map(|device| self.of_device(device));
        held.filter(move |one| one.key == key)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Enrolment> {
        self.devices.values().flatten()
    }

    pub(super) fn devices(&self) -> usize {
        self.devices.len()
    }
}
