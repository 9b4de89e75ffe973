//! Finds the longest piece of an image that is also in another one.

use alloc::vec::Vec;

/// So many bytes are compared at once before the sorting begins.
const FIRST: usize = 7;
/// So many neighbours are looked at for a place that may still be read.
const NEIGHBOURS: usize = 64;

/// All ends of an image, sorted.
#[derive(Clone, Debug)]
pub(super) struct Index<'a> {
    image: &'a [u8],
    sorted: Vec<u32>,
}

impl<'a> Index<'a> {
    /// The image has less than 2 GiB.
    pub(super) fn new(image: &'a [u8]) -> Self {
        Self {
            image,
            sorted: sort(image),
        }
    }

    /// Where the image has the longest piece that `wanted` begins with, from `floor` on, and how long it is.
    pub(super) fn longest(&self, wanted: &[u8], floor: usize) -> (usize, usize) {
        let place = self.sorted.partition_point(|&at| self.from(at) < wanted);
        let (before, after) = self
            .sorted
            .split_at_checked(place)
            .unwrap_or((&self.sorted, &[]));
        let readable = |at: &&u32| usize::try_from(**at).is_ok_and(|at| at >= floor);
        let below = before.iter().rev().take(NEIGHBOURS).find(readable);
        let above = after.iter().take(NEIGHBOURS).find(readable);
        let candidates = below.into_iter().chain(above);
        let measured = candidates.map(|&at| {
            let length = common(self.from(at), wanted);
            (usize::try_from(at).unwrap_or(0), length)
        });
        measured
            .max_by_key(|&(_, length)| length)
            .unwrap_or((floor, 0))
    }

    fn from(&self, at: u32) -> &'a [u8] {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        self.image.get(at..).unwrap_or(&[])
    }
}

pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Sorts all ends of the image: by their first bytes, then by twice as many in each round (Larsson and Sadakane's
/// refinement, which looks only at those that are still alike).
fn sort(image: &[u8]) -> Vec<u32> {
    let count = u32::try_from(image.len()).unwrap_or(0);
    let mut keyed: Vec<(u64, u32)> = (0..count)
        .map(|at| {
            let end = usize::try_from(at).ok().and_then(|at| image.get(at..));
            let end = end.unwrap_or(&[]);
            let mut key = [0; 8];
            for (to, from) in key.iter_mut().zip(end.iter().take(FIRST)) {
                *to = *from;
            }
            // An end that is shorter comes before one that goes on with zeroes.
            let [.., last] = &mut key;
            *last = u8::try_from(end.len().min(FIRST)).unwrap_or(0);
            (u64::from_be_bytes(key), at)
        })
        .collect();
    keyed.sort_unstable();
    let mut ranks = alloc::vec![0_u32; image.len()];
    let mut alike: Vec<(usize, usize)> = Vec::new();
    let mut start = 0;
    for group in keyed.chunk_by(|a, b| a.0 == b.0) {
        for &(_, at) in group {
            set(&mut ranks, at, start);
        }
        if group.len() > 1 {
            alike.push((start, group.len()));
        }
        start += group.len();
    }
    let mut sorted: Vec<u32> = keyed.into_iter().map(|(_, at)| at).collect();
    let (mut known, mut room) = (FIRST, Vec::new());
    while !alike.is_empty() {
        let mut still = Vec::new();
        for (start, length) in alike {
            let group = sorted.get_mut(start..start + length).unwrap_or(&mut []);
            room.clear();
            // An end of the image has nothing behind it, which is less than anything.
            room.extend(group.iter().map(|&at| {
                let behind = usize::try_from(at)
                    .ok()
                    .and_then(|at| ranks.get(at + known));
                (behind.map_or(0, |rank| rank + 1), at)
            }));
            room.sort_unstable();
            for (to, &(_, at)) in group.iter_mut().zip(&room) {
                *to = at;
            }
            let mut from = start;
            for part in room.chunk_by(|a, b| a.0 == b.0) {
                for &(_, at) in part {
                    set(&mut ranks, at, from);
                }
                if part.len() > 1 {
                    still.push((from, part.len()));
                }
                from += part.len();
            }
        }
        alike = still;
        known *= 2;
    }
    sorted
}

fn set(ranks: &mut [u32], at: u32, rank: usize) {
    let place = usize::try_from(at).ok().and_then(|at| ranks.get_mut(at));
    if let (Some(place), Ok(rank)) = (place, u32::try_from(rank)) {
        *place = rank;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ends_are_in_order_and_all_there(image in proptest::collection::vec(0_u8..3, 0..400)) {
            let sorted = sort(&image);
            prop_assert_eq!(sorted.len(), image.len());
            for pair in sorted.windows(2) {
                prop_assert!(image[pair[0] as usize..] < image[pair[1] as usize..]);
            }
        }

        #[test]
        fn nothing_longer_is_there(
            image in proptest::collection::vec(0_u8..3, 1..200),
            wanted in proptest::collection::vec(0_u8..3, 1..20),
        ) {
            let (at, length) = Index::new(&image).longest(&wanted, 0);
            prop_assert_eq!(common(&image[at..], &wanted), length);
            let best = (0..image.len()).map(|at| common(&image[at..], &wanted)).max();
            prop_assert_eq!(Some(length), best);
        }
    }
}
