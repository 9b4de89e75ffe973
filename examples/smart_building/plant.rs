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

    /// Whether the power fails now.
    pub fn springs(&self) -> bool {
        let springs = self.trap.swap(false, Ordering::Relaxed);
        self.cut.fetch_add(u64::from(springs), Ordering::Relaxed);
        springs
    }
}
