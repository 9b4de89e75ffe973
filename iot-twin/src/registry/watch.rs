//! Following the changes of a store.

use core::future::Future;

use iot_core::Timestamp;

use super::change::Revision;
use super::key::TwinKey;
use super::record::Record;

/// A place between two changes of one store, to go on from after a restart; 16 bytes.
///
/// It also says in which opening of the store it was given: one from before a backup was restored is noticed.
///
/// ```
/// use iot_twin::registry::{Cursor, Revision};
/// let cursor = Cursor::new(7, Revision::new(40));
/// assert_eq!(Cursor::from_bytes(cursor.to_bytes()), cursor);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Cursor {
    opening: u64,
    revision: Revision,
}

impl Cursor {
    /// Behind the change `revision`, as an opening of a store numbered it.
    #[must_use]
    pub const fn new(opening: u64, revision: Revision) -> Self {
        Self { opening, revision }
    }

    /// The opening of the store, a number drawn at random by the store.
    #[must_use]
    pub const fn opening(self) -> u64 {
        self.opening
    }

    /// The last change in front of the place.
    #[must_use]
    pub const fn revision(self) -> Revision {
        self.revision
    }

    /// The opening and the revision, 8 bytes each, in big endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        ((self.opening as u128) << 64 | self.revision.get() as u128).to_be_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; any bytes are some place, and a store knows its own.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self {
            opening: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            revision: Revision::new(u64::from_be_bytes([i, j, k, l, m, n, o, p])),
        }
    }
}

/// What a watcher is told.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A change was made, and is as durable as the store makes it.
    Changed {
        /// The twin.
        key: TwinKey,
        /// The change's number.
        revision: Revision,
        /// When, by the clock of who made it.
        at: Timestamp,
        /// What is stored since; `None` when the twin was removed.
        record: Option<Record>,
        /// Where to go on to miss nothing and repeat nothing.
        cursor: Cursor,
    },
    /// Changes were missed: more were made than the store keeps, or the place is not one of this store's.
    ///
    /// The watcher goes on from `resume`. Whoever lists the store after this event misses nothing: every change
    /// up to there is in the list, and the later ones follow.
    Lost {
        /// Behind the last change that was made by then.
        resume: Cursor,
    },
}

impl Event {
    /// Where to go on after this event.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        match self {
            Self::Changed { cursor, .. } => *cursor,
            Self::Lost { resume } => *resume,
        }
    }
}

/// A follower of a store's changes.
pub trait Watch: Send {
    /// The store's error.
    type Error;

    /// Waits for the next change, in the order of their numbers: each comes once, or [`Event::Lost`] says so.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The store's error; the same call may be made again and misses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Event, Self::Error>> + Send;
}

/// When a store was opened, and where its numbers stood: which places are its own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::registry) struct Openings(alloc::vec::Vec<(u64, u64)>);

/// So many openings are remembered; a watcher from before them lists the store anew.
const MAX_OPENINGS: usize = 64;

impl Openings {
    pub(in crate::registry) const fn from_pairs(pairs: alloc::vec::Vec<(u64, u64)>) -> Self {
        Self(pairs)
    }

    pub(in crate::registry) fn pairs(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Begins another one behind `head`.
    pub(in crate::registry) fn open(&mut self, head: u64) {
        self.0.push((random(), head));
        let surplus = self.0.len().saturating_sub(MAX_OPENINGS);
        self.0.drain(..surplus);
    }

    pub(in crate::registry) fn cursor(&self, revision: u64) -> Cursor {
        let current = self.0.last().map_or(0, |(opening, _)| *opening);
        Cursor::new(current, Revision::new(revision))
    }

    /// Whether the changes in front of a place are those of this store.
    pub(in crate::registry) fn knows(&self, cursor: Cursor, head: u64) -> bool {
        let revision = cursor.revision().get();
        let mut later = self
            .0
            .iter()
            .skip_while(|(own, _)| *own != cursor.opening());
        let Some((_, first)) = later.next() else {
            return false;
        };
        // What an opening made before the next one began is all that counts of it.
        let last = later.next().map_or(head, |(_, next)| *next);
        (*first..=last).contains(&revision)
    }
}

/// A number that no other opening has.
fn random() -> u64 {
    use core::hash::{BuildHasher as _, Hasher as _};
    // The standard library seeds each of these from the system's randomness.
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_only_in_the_numbers_of_its_own_opening() {
        let mut openings = Openings::default();
        openings.open(0);
        let first = |revision| Cursor::new(openings.pairs()[0].0, Revision::new(revision));
        assert!(openings.knows(first(0), 5) && openings.knows(first(5), 5));
        assert!(!openings.knows(first(6), 5));
        // A backup from change 5 is opened again; the first opening had gone on to 9 elsewhere.
        let (five, nine) = (first(5), first(9));
        openings.open(5);
        assert!(openings.knows(five, 20));
        assert!(!openings.knows(nine, 20));
        assert!(openings.knows(openings.cursor(20), 20));
        assert!(!openings.knows(openings.cursor(4), 20));
        assert!(!openings.knows(Cursor::new(1, Revision::new(1)), 20));
    }
}
