//! Heatshrink with the shortest parse there is.

use alloc::vec::Vec;

/// A byte takes its tag and eight bits.
const LITERAL: u32 = 9;

/// Appends the widths and the compressed body. Widths are checked: 4 to 15, and 3 to one less than that.
pub(super) fn append(out: &mut Vec<u8>, body: &[u8], window_bits: u8, length_bits: u8) {
    out.push((window_bits.saturating_sub(4)) << 4 | length_bits.saturating_sub(3));
    let mut bits = Bits {
        out,
        held: 0,
        count: 0,
    };
    let copy = 1 + u32::from(window_bits) + u32::from(length_bits);
    let copies = longest(body, 1 << window_bits, 1 << length_bits);
    let lengths = parse(&copies, copy);
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        let length = lengths.get(at).copied().unwrap_or(0);
        let distance = copies.get(at).map_or(0, |&(distance, _)| distance);
        if length == 0 {
            bits.put(1, 1);
            bits.put((*byte).into(), 8);
            at += 1;
        } else {
            bits.put(0, 1);
            bits.put(distance.saturating_sub(1), window_bits);
            bits.put(length - 1, length_bits);
            at = at.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        }
    }
    bits.finish();
}

/// For each place the distance and length of the longest copy: the shortest distance among them.
///
/// A copy may reach into itself.
fn longest(body: &[u8], window: usize, most: usize) -> Vec<(u32, u32)> {
    let number = |count: usize| u32::try_from(count).unwrap_or(0);
    let mut copies = Vec::with_capacity(body.len());
    // Where each byte was seen last, and before each place; 0 for nowhere, else one more.
    let mut seen = [0_usize; 256];
    let mut earlier = Vec::with_capacity(body.len());
    for (at, &byte) in body.iter().enumerate() {
        let wanted = body.get(at..).unwrap_or(&[]);
        let limit = most.min(wanted.len());
        let (mut distance, mut length) = (0, 0);
        let last = seen.get_mut(usize::from(byte));
        let mut candidate = last.map_or(0, |last| core::mem::replace(last, at + 1));
        earlier.push(candidate);
        while let Some(from) = candidate.checked_sub(1)
            && at - from <= window
            && length < limit
        {
            // The byte that would make it longer tells most of them apart.
            if body.get(from + length) == wanted.get(length) {
                let wanted = wanted.get(..limit).unwrap_or(&[]);
                let alike = super::suffix::common(body.get(from..).unwrap_or(&[]), wanted);
                if alike > length {
                    (distance, length) = (at - from, alike);
                }
            }
            candidate = earlier.get(from).copied().unwrap_or(0);
        }
        copies.push((number(distance), number(length)));
    }
    copies
}

/// How long the copy at each place is in the shortest encoding; 0 stands for the byte itself.
///
/// All copies take the same bits, and what begins later never takes more: so the longest copy is the best one.
fn parse(copies: &[(u32, u32)], copy: u32) -> Vec<u32> {
    let mut costs = alloc::vec![0_u32; copies.len() + 1];
    let mut lengths = alloc::vec![0_u32; copies.len()];
    for (at, &(_, length)) in copies.iter().enumerate().rev() {
        let cost = |ahead: u32| {
            let place = usize::try_from(ahead).unwrap_or(usize::MAX);
            let behind = costs.get(at.saturating_add(place));
            behind.copied().unwrap_or(0)
        };
        let (plain, copied) = (LITERAL + cost(1), copy + cost(length));
        let best = length > 0 && copied < plain;
        if let (Some(cost), Some(place)) = (costs.get_mut(at), lengths.get_mut(at)) {
            (*cost, *place) = if best { (copied, length) } else { (plain, 0) };
        }
    }
    lengths
}

/// Bits from the highest to the lowest, in whole bytes.
struct Bits<'o> {
    out: &'o mut Vec<u8>,
    held: u32,
    count: u8,
}

impl Bits<'_> {
    fn put(&mut self, value: u32, bits: u8) {
        self.held = self.held << bits | value;
        self.count += bits;
        while let Some(rest) = self.count.checked_sub(8) {
            let [byte, ..] = (self.held >> rest).to_le_bytes();
            self.out.push(byte);
            self.held &= (1 << rest) - 1;
            self.count = rest;
        }
    }

    fn finish(mut self) {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
    }
}
