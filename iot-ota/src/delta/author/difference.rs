//! What two images have in common, in the way of bsdiff: pieces that are nearly alike, and what is new between them.
//!
//! Code that moved differs in few bytes, in the addresses it mentions. So a piece may differ here and there: what
//! counts is that more than half of it is alike.

use alloc::vec::Vec;

use super::suffix::Index;

/// A piece that resembles one of the old image, and what is new behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Run {
    pub(super) old_at: usize,
    pub(super) new_at: usize,
    pub(super) differs: usize,
    pub(super) extra: usize,
    /// From the end of the piece in the old image to the next one.
    pub(super) moves: i64,
}

/// A piece of the new image is worth leaving the last one for when it has so many more equal bytes.
const WORTH: usize = 8;

/// The runs that make `new` of what `old` holds from `floor` on.
pub(super) fn runs(old: &[u8], new: &[u8], index: &Index<'_>, floor: usize) -> Vec<Run> {
    let mut runs = Vec::new();
    // Where the last piece began, in both images.
    let (mut new_at, mut old_at) = (0, floor);
    let (mut scan, mut length, mut found) = (0, 0, floor);
    while scan < new.len() {
        scan += length;
        let moved = place(old_at, new_at);
        let alike = |at: usize| {
            let same = moved(at).filter(|&from| from >= floor);
            let same = same.and_then(|from| old.get(from));
            same.is_some() && same == new.get(at)
        };
        // How much of the piece at hand the last one, going on, would give as well.
        let (mut score, mut counted) = (0_usize, scan);
        while scan < new.len() {
            let wanted = new.get(scan..).unwrap_or(&[]);
            (found, length) = index.longest(wanted, floor);
            while counted < scan + length {
                score += usize::from(alike(counted));
                counted += 1;
            }
            if (length == score && length != 0) || length > score + WORTH {
                break;
            }
            if counted > scan {
                score -= usize::from(alike(scan));
            } else {
                counted = scan + 1;
            }
            scan += 1;
        }
        if length == score && scan < new.len() {
            continue;
        }
        let forward = forward(old, new, (old_at, new_at), scan);
        let backward = match scan < new.len() {
            true => backward(old, new, (found, scan), (new_at, floor)),
            false => 0,
        };
        let (differs, kept) = share(old, new, (old_at, new_at), (found, scan), forward, backward);
        let next = (found - kept.min(found), scan.min(new.len()) - kept);
        runs.push(Run {
            old_at,
            new_at,
            differs,
            extra: next.1 - (new_at + differs),
            moves: distance(old_at + differs, next.0),
        });
        (old_at, new_at) = next;
    }
    runs
}

/// From places of the new image to those of the old one, as the last piece has them.
fn place(old_at: usize, new_at: usize) -> impl Fn(usize) -> Option<usize> {
    move |at| (at + old_at).checked_sub(new_at)
}

/// How far the last piece is worth going on, up to `end` in the new image.
fn forward(old: &[u8], new: &[u8], (old_at, new_at): (usize, usize), end: usize) -> usize {
    let pairs = new
        .get(new_at..end.min(new.len()))
        .unwrap_or(&[])
        .iter()
        .zip(old.get(old_at..).unwrap_or(&[]));
    best(pairs.map(|(a, b)| a == b))
}

/// How far the next piece is worth beginning earlier.
fn backward(
    old: &[u8],
    new: &[u8],
    (old_at, new_at): (usize, usize),
    (new_floor, old_floor): (usize, usize),
) -> usize {
    let pairs = new
        .get(new_floor..new_at)
        .unwrap_or(&[])
        .iter()
        .rev()
        .zip(old.get(old_floor..old_at).unwrap_or(&[]).iter().rev());
    best(pairs.map(|(a, b)| a == b))
}

/// The length for which equal bytes outnumber the others most.
fn best(pairs: impl Iterator<Item = bool>) -> usize {
    let (mut sum, mut highest, mut length) = (0_i64, 0, 0);
    for (at, equal) in pairs.enumerate() {
        sum += if equal { 1 } else { -1 };
        if sum > highest {
            (highest, length) = (sum, at + 1);
        }
    }
    length
}

/// Where two pieces overlap, the best place to go from one to the other: the lengths that are left of both.
fn share(
    old: &[u8],
    new: &[u8],
    last: (usize, usize),
    next: (usize, usize),
    forward: usize,
    backward: usize,
) -> (usize, usize) {
    let (ends, begins) = (last.1 + forward, next.1.min(new.len()) - backward);
    let Some(overlap) = ends.checked_sub(begins).filter(|&overlap| overlap > 0) else {
        return (forward, backward);
    };
    let (mut sum, mut highest, mut keep) = (0_i64, 0, 0);
    for at in 0..overlap {
        let wanted = new.get(begins + at);
        let of_last = old.get(last.0 + forward - overlap + at);
        let of_next = old.get(next.0 - backward + at);
        sum += i64::from(wanted == of_last) - i64::from(wanted == of_next);
        if sum > highest {
            (highest, keep) = (sum, at + 1);
        }
    }
    (forward + keep - overlap, backward - keep)
}

fn distance(from: usize, to: usize) -> i64 {
    let number = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
    number(to) - number(from)
}
