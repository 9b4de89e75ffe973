//! The physical world behind a device: what really happened, whatever anybody's software remembers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Lamps, locks and air of one room; it survives every restart of the device in front of it.
#[derive(Debug, Default)]
pub struct Plant {
    /// How far the lamp is dimmed, in per cent.
    lamp: Mutex<Option<u8>>,
    /// How often somebody dimmed it.
    pub dimmed: AtomicU64,
    /// How often the lock was pulsed.
    pub unlocked: AtomicU64,
    /// How often the device started.
    pub boots: AtomicU64,
    /// Power fails as soon as the next command has taken effect.
    trap: AtomicBool,
    /// How often it did.
    pub cut: AtomicU64,
    /// Power fails at this moment of the next renewal.
    renewal_trap: Mutex<Option<Moment>>,
    /// How often it did.
    pub renewal_cut: AtomicU64,
}

/// A moment in the renewal of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// There is a new key, and nothing on record of it.
    KeyMade,
    /// The new certificate is on record, and the service has not seen it yet.
    Stored,
    /// The new certificate is the current one, and the old key is still there.
    Committed,
}

impl Plant {
    /// Dims the lamp.
    pub fn dim(&self, percent: u8) {
        self.dimmed.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut lamp) = self.lamp.lock() {
            *lamp = Some(percent);
        }
    }

    /// How far the lamp is dimmed; `None` when nobody touched it.
    pub fn lamp(&self) -> Option<u8> {
        self.lamp.lock().ok().and_then(|lamp| *lamp)
    }

    /// Pulses the lock.
    pub fn unlock(&self) {
        self.unlocked.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets the power fail after the next command's effect and before its result is on record.
    pub fn set_trap(&self) {
        self.trap.store(true, Ordering::Relaxed);
    }

    /// Lets the power fail at a moment of the next renewal.
    pub fn set_renewal_trap(&self, moment: Moment) {
        if let Ok(mut trap) = self.renewal_trap.lock() {
            *trap = Some(moment);
        }
    }

    /// Whether the power fails at this moment of a renewal.
    pub fn springs_at(&self, moment: Moment) -> bool {
        let Ok(mut trap) = self.renewal_trap.lock() else {
            return false;
        };
        let springs = trap.take_if(|trap| *trap == moment).is_some();
        self.renewal_cut
            .fetch_add(u64::from(springs), Ordering::Relaxed);
        springs
    }

    /// Whether the power fails now.
    pub fn springs(&self) -> bool {
        let springs = self.trap.swap(false, Ordering::Relaxed);
        self.cut.fetch_add(u64::from(springs), Ordering::Relaxed);
        springs
    }
}
