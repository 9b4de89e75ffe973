//! What a device knows beside its fields; the same for every twin, so that a chip has it once.

use core::time::Duration;

use iot_core::Instant;
use iot_core::engine::RecordKey;

use super::Timing;
use crate::sync::slot::{Slot, SubTwin};
use crate::sync::wire::{self, Delta, Digests};

const MAX_DOUBLINGS: u8 = 6;

// All zeros at the start but for the spans of time: a chip clears memory with less code than it copies it.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) number: SubTwin,
    /// Of the newest delta taken in, and up to where everything of it is in.
    pub(super) epoch: u32,
    pub(super) contiguous: u32,
    /// Whether something must be written to storage before anything is sent.
    pub(super) dirty: bool,
    pub(super) issued: Issued,

    /// Versions of reports are counted from here on: all that were told since the last restart lie above, and every
    /// version that any life of this device can have used before lies at or below it.
    pub(super) base: u64,
    /// The newest version given to a report, and the newest that storage allows.
    pub(super) last: u32,
    pub(super) reserved: u32,
    /// Up to where the service has taken reports in, and up to where they were sent.
    acknowledged: u32,
    pub(super) sent: u32,
    /// The highest version that this life of the device can have sent.
    spoken: u32,
    /// Up to where the service had taken reports in when none of them lay above the base.
    known: u64,
    /// The field that was reported last, by its place; those before it hang together by their slots.
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
    /// When these are due; 0 for never.
    resend_at: u64,
    digest_at: u64,
    pub(super) hold_until: u64,
    pub(super) records: RecordKey,
}

/// What the step that was handed out will change once it is done.
#[derive(Clone, Debug)]
pub(super) enum Issued {
    Nothing,
    /// Records of all fields in front of one; with the twin's own when that says how many reports are allowed.
    Persist {
        below: usize,
        reserved: Option<u64>,
    },
    Send {
        to: u64,
    },
}

impl State {
    pub(super) const fn new(records: RecordKey) -> Self {
        let new = Self {
            number: SubTwin::MAIN,
            epoch: 0,
            contiguous: 0,
            dirty: false,
            issued: Issued::Nothing,
            base: 0,
            last: 0,
            reserved: 0,
            acknowledged: 0,
            sent: 0,
            spoken: 0,
            known: 0,
            newest: 0,
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
            resend_at: 0,
            digest_at: 0,
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

    /// Something has changed that must become durable. What was handed out to be written is no longer all of it.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(super) fn touch(&mut self) {
        self.dirty = true;
        if matches!(self.issued, Issued::Persist { .. }) {
            self.issued = Issued::Nothing;
        }
    }

    pub(super) const fn must_persist(&self) -> bool {
        self.dirty || self.last > self.reserved
    }

    pub(super) fn must_tell(&mut self, now: u64) -> bool {
        if !self.connected {
            return false;
        }
        if due(self.resend_at, now) {
            self.resend_at = 0;
            self.sent = self.acknowledged;
            self.tell = true;
        }
        self.tell |= due(self.digest_at, now);
        self.tell
    }

    /// A report of everything up to `to` was handed on.
    #[inline(never)]
    pub(super) fn sent(&mut self, now: u64, to: u64) {
        self.sent = self.sent.max(self.relative(to));
        self.spoken = self.spoken.max(self.sent);
        // What did not fit goes into the next message at once.
        self.tell = self.greeted && self.sent < self.last;
        self.resend_at = 0;
        if self.want || self.sent > self.acknowledged {
            let wait = u64::from(self.resend_ms) << self.doublings;
            self.resend_at = now.saturating_add(wait);
        }
        self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
        self.digest_at = now.saturating_add(self.digest_ms.into());
    }

    /// Whether the numbers of a delta are such as a service can come to.
    pub(super) const fn may_hear(&self, delta: &Delta) -> bool {
        let newest = self.absolute(self.last).saturating_add(wire::VERSION_LEAP);
        delta.acknowledged <= newest && wire::may_follow(delta.epoch, self.epoch)
    }

    /// The service has been heard, and need not be asked ever less often. Says whether everything has to be told
    /// again: it asks for that, or it knows versions that no life of the device that left records can have sent, so that
    /// they were lost. Then what is told comes above all that either knows.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(super) fn heard(&mut self, want: bool, acknowledged: u64) -> bool {
        // Long before their number ends, reports are counted from another base.
        let anew = want || acknowledged > self.absolute(self.spoken) || self.last > 1 << 31;
        if anew {
            self.rebase(self.absolute(self.last).max(acknowledged));
            self.known = acknowledged;
            self.tell = true;
        } else {
            self.acknowledged = self.acknowledged.max(self.relative(acknowledged));
            self.sent = self.sent.max(self.acknowledged);
        }
        if !self.greeted {
            self.greeted = true;
            self.tell |= self.last > self.acknowledged;
        }
        self.doublings = 0;
        if self.acknowledged >= self.sent {
            self.resend_at = 0;
        }
        anew
    }

    /// Everything of a delta up to `upto` is in.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(super) fn reach(&mut self, delta: &Delta, upto: u32) {
        let gap = delta.base > self.contiguous;
        self.want = gap || upto < delta.to;
        // A service that speaks of less than we have has lost its memory: let it know.
        self.tell |= self.want || delta.to < self.contiguous;
        if !gap && upto > self.contiguous {
            self.contiguous = upto;
            self.touch();
        }
    }

    /// Counts versions from another base on; all that was told has to be told again.
    pub(super) fn rebase(&mut self, base: u64) {
        let reserved = self.absolute(self.reserved);
        self.base = base;
        self.known = base;
        self.reserved = self.relative(reserved);
        self.last = 0;
        self.acknowledged = 0;
        self.sent = 0;
        self.spoken = 0;
        self.newest = 0;
        self.digests.reported = 0;
    }

    pub(super) const fn absolute(&self, version: u32) -> u64 {
        self.base + version as u64
    }

    /// 0 when it lies below the base.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(super) fn relative(&self, version: u64) -> u32 {
        let relative = version.saturating_sub(self.base);
        relative.try_into().unwrap_or(u32::MAX)
    }

    /// What a report says that it follows on.
    pub(super) const fn from(&self) -> u64 {
        if self.sent == 0 {
            self.known
        } else {
            self.absolute(self.sent)
        }
    }

    /// All of it but the timers, in words.
    #[cfg(feature = "sim")]
    pub(super) fn memory(&self) -> alloc::string::String {
        let versions = [
            self.contiguous,
            self.last,
            self.reserved,
            self.acknowledged,
            self.sent,
            self.spoken,
        ];
        let flags = [
            self.dirty,
            self.greeted,
            self.stated,
            self.restored,
            self.connected,
            self.tell,
            self.want,
        ];
        alloc::format!(
            "{}{versions:?}{flags:?}{} {} {} {:?}{:?}",
            self.epoch,
            self.base,
            self.known,
            self.newest,
            self.issued,
            self.digests,
        )
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let (one, two) = if !self.restored || self.hold_until > 0 {
            (self.hold_until, 0)
        } else if self.connected {
            (self.resend_at, self.digest_at)
        } else {
            (0, 0)
        };
        let at = [one, two].into_iter().filter(|&at| at > 0).min();
        at.map(Instant::from_millis)
    }

    /// Whether the service has taken in everything reported, and nothing desired is on its way.
    pub(super) const fn is_told(&self) -> bool {
        self.acknowledged >= self.last && !self.dirty && !self.want
    }

    /// Gives a field, by its factor, a fresh version, and makes it the newest in the row of those reported.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(super) fn tell(&mut self, slots: &mut [Slot], index: usize, factor: u32) {
        let (own, newest) = (place(index), self.newest);
        let Some(slot) = slots.get_mut(index) else {
            return;
        };
        self.last += 1;
        self.tell = true;
        let told = core::mem::replace(&mut slot.told, self.last);
        let versions = if told > 0 {
            u64::from(self.last - told)
        } else {
            self.absolute(self.last)
        };
        let share = wire::share(factor, versions);
        self.digests.reported = self.digests.reported.wrapping_add(share);
        if newest == own {
            return;
        }
        let (before, after) = (slot.before, slot.after);
        (slot.before, slot.after) = (newest, 0);
        // It leaves its place in the row, and one after it is there.
        if told > 0 {
            if let Some(slot) = at(slots, after) {
                slot.before = before;
            }
            if let Some(slot) = at(slots, before) {
                slot.after = after;
            }
        }
        if let Some(slot) = at(slots, newest) {
            slot.after = own;
        }
        self.newest = own;
    }
}

/// The place of a field: one more than its index, so that 0 is none.
fn place(index: usize) -> u16 {
    u16::try_from(index + 1).unwrap_or(0)
}

fn at(slots: &mut [Slot], place: u16) -> Option<&mut Slot> {
    slots.get_mut(usize::from(place).wrapping_sub(1))
}

pub(super) fn slot(slots: &[Slot], place: u16) -> Option<&Slot> {
    slots.get(usize::from(place).wrapping_sub(1))
}

const fn due(at: u64, now: u64) -> bool {
    at > 0 && now >= at
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
