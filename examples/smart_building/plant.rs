//! The physical world behind a device: what really happened, whatever anybody's software remembers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// Power fails at this moment, the next time.
    moment_trap: Mutex<Option<Moment>>,
    /// How often it did during a renewal, and how often while a twin was obeyed or settings were tried.
    pub renewal_cut: AtomicU64,
    pub twin_cut: AtomicU64,
    parts: Mutex<Parts>,
    /// How often the device drew the bolt back.
    pub unbolted: AtomicU64,
}

/// What the parts of a room are set to; hands and the device set the same ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts {
    pub setpoint: f32,
    pub interval: u16,
    pub blinds: u8,
    pub fan: u8,
    pub bolted: bool,
    pub trim: f32,
}

/// A moment at which power may fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// There is a new key, and nothing on record of it.
    KeyMade,
    /// The new certificate is on record, and the service has not seen it yet.
    Stored,
    /// The new certificate is the current one, and the old key is still there.
    Committed,
    /// Other settings are in force, and not proved yet.
    Tried,
    /// A room has obeyed its twin, and nothing on record says so.
    Obeyed,
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

    /// Lets the power fail at a moment, once.
    pub fn set_trap_at(&self, moment: Moment) {
        if let Ok(mut trap) = self.moment_trap.lock() {
            *trap = Some(moment);
        }
    }

    /// Whether the power fails at this moment.
    pub fn springs_at(&self, moment: Moment) -> bool {
        let Ok(mut trap) = self.moment_trap.lock() else {
            return false;
        };
        let springs = trap.take_if(|trap| *trap == moment).is_some();
        let count = match moment {
            Moment::KeyMade | Moment::Stored | Moment::Committed => &self.renewal_cut,
            Moment::Tried | Moment::Obeyed => &self.twin_cut,
        };
        count.fetch_add(u64::from(springs), Ordering::Relaxed);
        springs
    }

    /// What the parts are set to.
    pub fn parts(&self) -> Parts {
        *self.lock_parts()
    }

    /// Somebody in the room turns something.
    pub fn turn(&self, turn: impl FnOnce(&mut Parts)) {
        turn(&mut self.lock_parts());
    }

    /// The device sets something.
    pub fn set(&self, set: impl FnOnce(&mut Parts)) {
        let mut parts = self.lock_parts();
        let bolted = parts.bolted;
        set(&mut parts);
        let drawn_back = bolted && !parts.bolted;
        self.unbolted
            .fetch_add(u64::from(drawn_back), Ordering::Relaxed);
    }

    fn lock_parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the power fails now.
    pub fn springs(&self) -> bool {
        let springs = self.trap.swap(false, Ordering::Relaxed);
        self.cut.fetch_add(u64::from(springs), Ordering::Relaxed);
        springs
    }
}
