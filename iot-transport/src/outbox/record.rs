//! What lies in the records of an outbox; the format is in `outbox.cddl` beside this file.

use iot_core::codec::{FlatReader, FlatWriter};
use iot_core::{Fate, Qos};

use super::fates::{Ended, GROUP, GROUP_LEN};
use super::policy::{channel_code, channel_of};
use super::slot::{Parts, Slot, State};
use crate::envelope::{MAX_CORRELATION_BYTES, TRACE_BYTES, priority_code, priority_of};

const VERSION: u8 = 1;
const PLAIN: u8 = 4;
const WITH_TERMS: u8 = 10;
/// How many bytes a message's record has beyond the message, at most.
#[cfg(test)]
pub(super) const OVERHEAD_BYTES: usize = 1 + 1 + 9 + 2 + 5 + 9 + 2 + 2 + 1 + 2 + 3;
/// The longest record of fates or head, in bytes.
#[cfg(test)]
pub(super) const SHORT_BYTES: usize = 1 + 1 + 5 + 9 + 9 + 2 + 10 * GROUP_LEN;

/// What a record holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) stream: u32,
    /// In seconds that the device was powered.
    pub(super) clock: u32,
}

impl Head {
    pub(super) fn write(self, room: &mut [u8]) -> Option<usize> {
        let mut to = FlatWriter::new(room);
        to.array(3, VERSION);
        to.uint(self.stream.into());
        to.uint(self.clock.into());
        to.finish()
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut from = FlatReader::new(value);
        from.array(3, VERSION);
        let head = Self {
            stream: from.u32(),
            clock: from.u32(),
        };
        from.is_empty().then_some(head)
    }
}

/// Writes the fates with the numbers from `first` on.
#[inline(never)]
pub(super) fn write_fates(
    room: &mut [u8],
    clock: u32,
    first: u64,
    fates: &[Ended],
) -> Option<usize> {
    let base = fates.iter().map(|ended| ended.sequence).min()?;
    let mut bytes = [0; 10 * GROUP_LEN];
    let mut used = 0;
    for &Ended { sequence, fate } in fates {
        let mut number = sequence
            .checked_sub(base)?
            .checked_mul(4)?
            .checked_add(fate_code(fate))?;
        loop {
            let low = u8::try_from(number & 0x7F).ok()?;
            number >>= 7;
            *bytes.get_mut(used)? = low | if number > 0 { 0x80 } else { 0 };
            used += 1;
            if number == 0 {
                break;
            }
        }
    }
    let mut to = FlatWriter::new(room);
    to.array(5, VERSION);
    for number in [clock.into(), first, base] {
        to.uint(number);
    }
    put_bytes(&mut to, bytes.get(..used)?);
    to.finish()
}

/// Shows the fates of a record with their numbers, and gives its clock.
pub(super) fn read_fates(value: &[u8], mut show: impl FnMut(u64, Ended)) -> Option<u32> {
    let mut from = FlatReader::new(value);
    from.array(5, VERSION);
    let (clock, first, base, fates) = (from.u32(), from.uint(), from.uint(), bytes_of(&mut from));
    if !from.is_empty() || first >= u64::MAX - GROUP {
        return None;
    }
    // Twice, so that nothing is shown of a record that cannot be read to its end.
    let mut count = 0;
    each_fate(fates, base, &mut |_| count += 1)?;
    if !(1..=GROUP).contains(&count) || first / GROUP != (first + count - 1) / GROUP {
        return None;
    }
    let mut number = first;
    each_fate(fates, base, &mut |ended| {
        show(number, ended);
        number += 1;
    })?;
    Some(clock)
}

#[inline(never)]
fn each_fate(mut bytes: &[u8], base: u64, show: &mut dyn FnMut(Ended)) -> Option<()> {
    while !bytes.is_empty() {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let (byte, rest) = bytes.split_first()?;
            bytes = rest;
            let bits = u64::from(byte & 0x7F);
            // In its shortest form, and within 64 bits.
            if shift > 63 || bits << shift >> shift != bits || shift > 0 && *byte == 0 {
                return None;
            }
            number |= bits << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        show(Ended {
            sequence: base.checked_add(number / 4)?,
            fate: fate_of(number % 4)?,
        });
    }
    Some(())
}

const fn fate_code(fate: Fate) -> u64 {
    match fate {
        Fate::Delivered => 0,
        Fate::Expired => 1,
        Fate::Evicted => 2,
        // `Fate` may grow; whatever is none of these did not arrive.
        _ => 3,
    }
}

const fn fate_of(code: u64) -> Option<Fate> {
    Some(match code {
        0 => Fate::Delivered,
        1 => Fate::Expired,
        2 => Fate::Evicted,
        3 => Fate::Refused,
        _ => return None,
    })
}

/// Writes a message with its bytes.
#[inline(never)]
pub(super) fn write_message(room: &mut [u8], slot: &Slot, parts: &Parts<'_>) -> Option<usize> {
    let qos = u32::from(slot.qos != Qos::AtMostOnce);
    let channel = u32::from(channel_code(slot.channel));
    let kind = u32::from(priority_code(slot.priority)) + 4 * qos + 8 * channel;
    let is_plain = slot.expires == 0
        && parts.tenant.is_empty()
        && parts.device.is_empty()
        && parts.correlation.is_empty()
        && parts.trace.is_empty();
    let mut to = FlatWriter::new(room);
    to.array(if is_plain { PLAIN } else { WITH_TERMS }, VERSION);
    to.uint(slot.sequence);
    to.uint(kind.into());
    if !is_plain {
        to.uint(slot.expires.into());
        to.uint(slot.expires_wall);
        put_text(&mut to, parts.tenant);
        put_text(&mut to, parts.device);
        put_bytes(&mut to, parts.correlation);
        put_bytes(&mut to, parts.trace);
    }
    put_bytes(&mut to, parts.payload);
    to.finish()
}

/// Reads a message: its place as it would be when it is stored, and its parts.
pub(super) fn read_message(value: &[u8]) -> Option<(Slot, Parts<'_>)> {
    let is_plain = value.first().is_some_and(|head| head % 0x20 == PLAIN);
    let mut from = FlatReader::new(value);
    from.array(if is_plain { PLAIN } else { WITH_TERMS }, VERSION);
    let (sequence, kind) = (from.uint(), from.u32());
    let mut slot = Slot {
        state: State::Stored,
        sequence,
        channel: channel_of(u8::try_from(kind / 8).ok()?)?,
        priority: priority_of(u8::try_from(kind % 4).ok()?)?,
        qos: if kind / 4 % 2 == 0 {
            Qos::AtMostOnce
        } else {
            Qos::AtLeastOnce
        },
        ..Slot::FREE
    };
    let mut parts = Parts {
        tenant: "",
        device: "",
        correlation: &[],
        trace: &[],
        payload: &[],
    };
    if !is_plain {
        slot.expires = from.u32();
        slot.expires_wall = from.uint();
        (parts.tenant, parts.device) = (text_of(&mut from), text_of(&mut from));
        (parts.correlation, parts.trace) = (bytes_of(&mut from), bytes_of(&mut from));
    }
    parts.payload = bytes_of(&mut from);
    slot.lengths = parts.lengths()?;
    let is_valid = (1..u64::MAX).contains(&sequence)
        && parts.correlation.len() <= MAX_CORRELATION_BYTES
        && (parts.trace.is_empty() || parts.trace.len() == TRACE_BYTES)
        && parts.tenant.is_empty() == parts.device.is_empty()
        && from.is_empty();
    is_valid.then_some((slot, parts))
}

// Not inlined, on purpose: a record of a message has five strings, and each cost its own copy of this.

#[inline(never)]
fn put_bytes(to: &mut FlatWriter<'_>, bytes: &[u8]) {
    to.bytes(bytes);
}

#[inline(never)]
fn put_text(to: &mut FlatWriter<'_>, text: &str) {
    to.text(text);
}

#[inline(never)]
fn bytes_of<'b>(from: &mut FlatReader<'b>) -> &'b [u8] {
    from.bytes()
}

#[inline(never)]
fn text_of<'b>(from: &mut FlatReader<'b>) -> &'b str {
    from.text()
}

#[cfg(test)]
mod tests;
