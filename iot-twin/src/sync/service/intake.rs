//! What a service learns from a report.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Hidden, LEAF, Mark, Told, TwinService};
use crate::schema::FieldId;
use crate::sync::slot::{Code, Version};
use crate::sync::wire;
use crate::sync::wire::service::FullReport;
use crate::value::Value;

/// How many bytes of values the service keeps of fields that its schema does not know, with 16 for each.
const STRANGERS_BYTES: usize = 32 << 10;

impl TwinService {
    /// Takes a report in; one that is malformed changes nothing.
    pub(super) fn report(&mut self, payload: &[u8]) {
        let report = FullReport::read(payload, self.number);
        let Some(report) = report.filter(|report| self.may_hear(report)) else {
            return;
        };
        self.doublings = 0;
        self.take_fields(&report);
        self.take_desired(&report);
        self.bury();
    }

    /// Whether the numbers of a report are such as a device can come to.
    fn may_hear(&self, report: &FullReport<'_>) -> bool {
        let newest = self.taken.saturating_add(wire::VERSION_LEAP);
        let fields = report.fields.iter().map(|leaf| leaf.version);
        let mut versions = fields.chain([report.to, report.head.floor]);
        // The epoch that has to be opened above the device's.
        let next = report.head.epoch.saturating_add(1);
        versions.all(|version| version <= newest) && wire::may_follow(next, self.epoch)
    }

    /// The reported half: the newer version of each field wins.
    fn take_fields(&mut self, report: &FullReport<'_>) {
        // What is not on record cannot have been answered: another process has given its number to something else.
        let recorded = self.recorded().unwrap_or(0);
        self.floor = self.floor.max(report.head.floor);
        // Two lives of the device gave a version, because it lost its records or has older ones.
        let mut twice = false;
        for leaf in &report.fields {
            let Ok(value) = Value::from_cbor(leaf.value, LEAF) else {
                continue;
            };
            let version = leaf.version;
            let known = self.reported.get(&leaf.id);
            if let Some(told) = known.filter(|told| told.version >= version) {
                twice |= told.version == version && told.value.to_cbor() != value.to_cbor();
                continue;
            }
            if !self.has_room(leaf.id, &value) {
                self.crowded = true;
                continue;
            }
            let before = self.reported.get(&leaf.id);
            let mut told = Told {
                version,
                value,
                stated: before.map_or(Mark::default(), |told| told.stated),
            };
            // Repeating a value under a fresh version is what a device does at each boot.
            if before.is_none_or(|before| before.value != told.value) {
                self.log.mark(&mut told.stated);
            }
            self.reported.insert(leaf.id, told);
            if let Some((answered, code)) = leaf.answer
                && report.head.epoch == self.epoch
                && let Some(wish) = self.desired.get_mut(&leaf.id)
                && answered >= wish.version
                && wish.version <= recorded
            {
                if wish.answer != Some(code) {
                    self.log.mark(&mut wish.answered);
                }
                wish.answer = Some(code);
            }
        }
        // A device that starts reports all that it knows anew, so what it said before is over, whether it is in or
        // not. One that lost its records must go above that, or its reports would be taken for older ones.
        self.taken = self.taken.max(self.floor.saturating_sub(1));
        // What answers a question for everything lies above all that was known when it was asked.
        self.want &= report.head.floor < self.asked;
        let gap = report.head.base > self.taken;
        // A device that is behind what it once reported has lost its records; the answer tells it.
        self.tell |=
            gap || report.head.want || report.to != self.taken || !report.fields.is_empty();
        self.taken = self.taken.max(report.to);
        if gap || twice {
            self.ask();
        }
        if let Some(digests) = report.digests
            && self.is_complete(report)
            && !self.crowded
            && digests.reported != self.reported_digest(report.head.floor)
        {
            // Old versions of a device that lost its records shadow the new ones: have it go above all of them.
            let newest = self.reported.values().map(|told| told.version).max();
            self.taken = self.taken.max(newest.unwrap_or(0));
            self.ask();
        }
    }

    /// Whether a value can be kept: of fields that the schema does not know there are only so many. Those that the device
    /// has not reported since its restart, perhaps those of firmware long gone, make room.
    fn has_room(&mut self, id: FieldId, value: &Value) -> bool {
        let is_known = |id| self.schema.iter().any(|schema| schema.field.id == id);
        if is_known(id) {
            return true;
        }
        let len = |value: &Value| 16 + value.to_cbor().len();
        let strangers = |reported: &BTreeMap<FieldId, Told>| {
            let strangers = reported
                .iter()
                .filter(|(other, _)| !is_known(**other) && **other != id);
            strangers.map(|(_, told)| len(&told.value)).sum::<usize>()
        };
        if strangers(&self.reported) + len(value) <= STRANGERS_BYTES {
            return true;
        }
        let (floor, log) = (self.floor, &mut self.log);
        self.reported.retain(|id, told| {
            let is_kept = is_known(*id) || told.version >= floor;
            if !is_kept {
                log.forgotten = log.forgotten.max(told.stated.last);
            }
            is_kept
        });
        strangers(&self.reported) + len(value) <= STRANGERS_BYTES
    }

    /// Whether nothing that the device reported up to this report is missing.
    const fn is_complete(&self, report: &FullReport<'_>) -> bool {
        report.to == self.taken && !self.want
    }

    fn reported_digest(&self, floor: u64) -> u32 {
        let current = self
            .reported
            .iter()
            .filter(|(_, told)| told.version >= floor);
        current.fold(0, |sum, (&id, told)| {
            sum.wrapping_add(wire::share(wire::factor(id), told.version))
        })
    }

    /// The desired half: what the device has, and whether it is ours.
    fn take_desired(&mut self, report: &FullReport<'_>) {
        let head = &report.head;
        let first = !core::mem::replace(&mut self.met, true);
        let ahead = head.epoch > self.epoch
            || (head.epoch == self.epoch
                && (head.contiguous > self.recorded().unwrap_or(0) || first));
        if ahead && self.stored.is_some() {
            // Another process has gone on with this twin: its snapshot is to be read before anything is said.
            self.behind = true;
            return;
        }
        if ahead {
            self.open_epoch(head.epoch);
            return;
        }
        if head.epoch < self.epoch {
            // It has nothing of this epoch, or the report is an old one: repeating does no harm.
            self.rewind(0);
            self.tell = true;
            return;
        }
        if head.want {
            self.contiguous = head.contiguous;
            self.rewind(head.contiguous);
        } else {
            self.contiguous = self.contiguous.max(head.contiguous);
        }
        self.sent = self.sent.max(self.contiguous);
        self.tell |= self.has_more();
        if self.contiguous >= self.version {
            self.resend_at = None;
        }
        let complete = report.digests.filter(|_| self.is_complete(report));
        let (Some(digests), true) = (complete, head.contiguous == self.version) else {
            return;
        };
        // It claims every desired field, and we have its answer to each that it took: it does not know the others,
        // unless it reports them. Then it took the claim from another life of the service.
        let mut mistaken = false;
        for (id, wish) in self
            .desired
            .iter_mut()
            .filter(|(_, wish)| wish.answer.is_none())
        {
            mistaken |= self
                .reported
                .get(id)
                .is_some_and(|told| told.version >= head.floor);
            wish.answer = Some(Code::UNKNOWN);
            self.log.mark(&mut wish.answered);
        }
        if mistaken || digests.desired != self.desired_digest() {
            self.open_epoch(self.epoch);
        }
    }

    fn rewind(&mut self, to: u32) {
        self.sent = self.sent.min(to);
    }

    fn desired_digest(&self) -> u32 {
        let known = self
            .desired
            .iter()
            .filter(|(_, wish)| wish.answer != Some(Code::UNKNOWN));
        known.fold(0, |sum, (&id, wish)| {
            let version = Version::new(self.epoch, wish.version);
            sum.wrapping_add(wire::check(wire::factor(id), version, &wish.encoded))
        })
    }

    /// Forgets withdrawn desires that the device, the only one who must know, has taken in and answered for.
    fn bury(&mut self) {
        let (contiguous, log) = (self.contiguous, &mut self.log);
        self.desired.retain(|_, wish| {
            let is_final = wish.answer.is_some_and(|code| !code.is_pending());
            let is_over = wish.value.is_none() && wish.version <= contiguous && is_final;
            if is_over {
                let newest = wish.stated.last.max(wish.answered.last);
                log.forgotten = log.forgotten.max(newest);
            }
            !is_over
        });
    }

    /// Supersedes every epoch up to `last`: all that is desired is stated anew.
    pub(super) fn open_epoch(&mut self, last: u32) {
        let Some(epoch) = last.checked_add(1) else {
            return;
        };
        self.epoch = epoch;
        let mut wishes: Vec<_> = self.desired.values_mut().collect();
        wishes.sort_by_key(|wish| wish.version);
        self.version = 0;
        for wish in wishes {
            self.version += 1;
            wish.version = self.version;
            wish.hidden = Hidden::of(0, self.version);
            wish.answer = None;
        }
        self.contiguous = 0;
        self.sent = 0;
        self.tell = true;
    }
}
