//! What a device knows beside its fields; the same for every twin, so that a chip has it once.

use core::time::Duration;

use iot_core::Instant;
use iot_core::engine::RecordKey;

use super::Timing;
use crate::schema::FieldId;
use crate::sync::slot::Slot;
use crate::sync::wire::{self, Digests};

const MAX_DOUBLINGS: u8 = 6;
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct State {
    /// Of the newest delta taken in, and up to where everything of it is in.
    pub(super) epoch: u32,
    pub(super) contiguous: u64,
    pub(super) unsaved: bool,
    /// Whether an edited field must be written to storage.
    pub(super) edited: bool,
    pub(super) staging: Option<Staging>,
    pub(super) issued: Issued,

    /// The newest version given to a report, and the newest that storage allows.
    pub(super) last: u64,
    pub(super) reserved: u64,
    pub(super) floor: u64,
    /// Up to where the service has taken reports in, and up to where they were sent.
    pub(super) acknowledged: u64,
    pub(super) sent: u64,
    /// The highest version that any life of this device can have sent.
    pub(super) spoken: u64,
    /// The field that was reported last; those before it hang together by their slots.
    pub(super) newest: u16,
    pub(super) digests: Digests,
    /// Whether the service's knowledge of us is known not to be ahead of ours.
    pub(super) greeted: bool,
    pub(super) stated: bool,

    pub(super) restored: bool,
    pub(super) connected: bool,
    pub(super) tell: bool,
    pub(super) want: bool,
    doublings: u8,
    resend_ms: u32,
    digest_ms: u32,
    pub(super) resend_at: u64,
    digest_at: u64,
    /// 0 when nothing is held back.
    pub(super) hold_until: u64,
    pub(super) records: RecordKey,
}

/// A delta on its way to storage: the pending fields, and what becomes true with them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staging {
    pub(super) epoch: u32,
    pub(super) contiguous: u64,
    pub(super) count: usize,
}

/// What the step that was handed out will change once it is done.
#[derive(Debug)]
pub(super) enum Issued {
    Nothing,
    Edits {
        below: usize,
        reserved: u64,
    },
    Staged {
        count: usize,
        contiguous: u64,
        reserved: u64,
    },
    Send {
        to: u64,
    },
}

impl State {
    pub(super) const fn new(records: RecordKey) -> Self {
        let new = Self {
            epoch: 0,
            contiguous: 0,
            unsaved: false,
            edited: false,
            staging: None,
            issued: Issued::Nothing,
            last: 0,
            reserved: 0,
            floor: 1,
            acknowledged: 0,
            sent: 0,
            spoken: 0,
            newest: Slot::END,
            digests: Digests {
                desired: 0,
                reported: 0,
            },
            greeted: false,
            stated: false,
            restored: false,
            connected: false,
            tell: false,
            want: false,
            doublings: 0,
            resend_ms: 0,
            digest_ms: 0,
            resend_at: NEVER,
            digest_at: NEVER,
            hold_until: 0,
            records,
        };
        new.with_timing(Timing::DEFAULT)
    }

    const fn with_timing(mut self, timing: Timing) -> Self {
        self.set_timing(timing);
        self
    }

    /// In milliseconds: arithmetic with `Duration` divides, which costs a chip 500 bytes.
    pub(super) const fn set_timing(&mut self, timing: Timing) {
        self.resend_ms = millis(timing.resend);
        self.digest_ms = millis(timing.digest);
    }

    pub(super) const fn connect(&mut self) {
        self.connected = true;
        self.want = true;
        self.tell = true;
        self.sent = self.acknowledged;
        self.doublings = 0;
    }

    pub(super) const fn may_act(&mut self, now: u64) -> bool {
        if !self.restored || now < self.hold_until {
            return false;
        }
        self.hold_until = 0;
        true
    }

    pub(super) const fn hold(&mut self, now: u64) {
        self.hold_until = now.saturating_add(self.resend_ms as u64);
    }

    pub(super) const fn must_persist(&self) -> bool {
        self.staging.is_some() || self.unsaved || self.edited || self.last > self.reserved
    }

    pub(super) const fn must_tell(&mut self, now: u64) -> bool {
        if !self.connected {
            return false;
        }
        if now >= self.resend_at {
            self.resend_at = NEVER;
            self.sent = self.acknowledged;
            self.tell = true;
        }
        self.tell |= now >= self.digest_at;
        self.tell
    }

    /// A report of everything up to `to` was handed on.
    #[inline(never)]
    pub(super) fn sent(&mut self, now: u64, to: u64) {
        self.sent = self.sent.max(to);
        self.spoken = self.spoken.max(to);
        // What did not fit goes into the next message at once.
        self.tell = self.greeted && self.sent < self.last;
        let wait = u64::from(self.resend_ms) << self.doublings;
        self.resend_at = if self.want || self.sent > self.acknowledged {
            now.saturating_add(wait)
        } else {
            NEVER
        };
        self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
        self.digest_at = now.saturating_add(self.digest_ms.into());
    }

    /// The service has been heard: it need not be asked ever less often.
    pub(super) fn heard(&mut self) {
        if !self.greeted {
            self.greeted = true;
            self.tell |= self.last > self.acknowledged;
        }
        self.doublings = 0;
        if self.acknowledged >= self.sent {
            self.resend_at = NEVER;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let at = if !self.restored || self.hold_until > 0 {
            Some(self.hold_until).filter(|&at| at > 0)
        } else {
            let at = self.resend_at.min(self.digest_at);
            Some(at).filter(|&at| self.connected && at < NEVER)
        };
        at.map(Instant::from_millis)
    }

    /// Whether the service has taken in everything reported, and nothing desired is on its way.
    pub(super) const fn is_told(&self) -> bool {
        self.acknowledged >= self.last && self.staging.is_none() && !self.want
    }

    /// Gives a field a fresh version, and makes it the newest in the row of those reported.
    #[inline(never)]
    pub(super) fn tell(&mut self, slots: &mut [Slot], index: usize, id: FieldId) {
        let Some(&slot) = slots.get(index) else {
            return;
        };
        let mut reported = self.digests.reported;
        if slot.told > 0 {
            reported = reported.wrapping_sub(wire::share(id, slot.told));
            match slots.get_mut(usize::from(slot.after)) {
                Some(after) => after.before = slot.before,
                None => self.newest = slot.before,
            }
            if let Some(before) = slots.get_mut(usize::from(slot.before)) {
                before.after = slot.after;
            }
        }
        self.last += 1;
        self.digests.reported = reported.wrapping_add(wire::share(id, self.last));
        let before = self.newest;
        self.newest = u16::try_from(index).unwrap_or(Slot::END);
        if let Some(before) = slots.get_mut(usize::from(before)) {
            before.after = self.newest;
        }
        if let Some(slot) = slots.get_mut(index) {
            slot.told = self.last;
            slot.before = before;
            slot.after = Slot::END;
        }
        self.tell = true;
    }
}

/// At most 49 days.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the comparison in front of it"
)]
const fn millis(span: Duration) -> u32 {
    let millis = span.as_millis();
    if millis < u32::MAX as u128 {
        millis as u32
    } else {
        u32::MAX
    }
}
