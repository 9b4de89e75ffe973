//! How messages ended, in the order in which they did, until the application has read it.

use iot_core::Fate;

/// How many fates lie in one record.
pub(super) const GROUP_LEN: usize = 16;
pub(super) const GROUP: u64 = GROUP_LEN as u64;

/// The fate of one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ended {
    pub(super) sequence: u64,
    pub(super) fate: Fate,
}

impl Ended {
    pub(super) const NONE: Self = Self {
        sequence: 0,
        fate: Fate::Delivered,
    };
}

/// The last 4 × `ITEMS` fates, by their number.
///
/// Half of them may be unread. The others are written again with their record until another message lies where theirs
/// did: that takes up to 2 × `ITEMS` more, and up to `ITEMS` while the other message is not on record itself.
#[derive(Clone, Debug)]
pub(super) struct Fates<const ITEMS: usize> {
    ring: [[Ended; 4]; ITEMS],
    /// The numbers of the fates in the ring, while records are shown in any order.
    numbers: [[u64; 4]; ITEMS],
    /// The number of the next fate.
    pub(super) next: u64,
    /// Fates below are on record.
    pub(super) durable: u64,
    /// The application has read those below.
    pub(super) read: u64,
    /// The lowest group whose record may be there.
    pub(super) oldest_group: u64,
}

impl<const ITEMS: usize> Fates<ITEMS> {
    pub(super) const CAPACITY: u64 = 4 * ITEMS as u64;
    /// How many fates may be unread, with those that are still to come.
    pub(super) const UNREAD: u64 = 2 * ITEMS as u64;

    pub(super) const fn new() -> Self {
        Self {
            ring: [[Ended::NONE; 4]; ITEMS],
            numbers: [[u64::MAX; 4]; ITEMS],
            next: 0,
            durable: 0,
            read: 0,
            oldest_group: u64::MAX,
        }
    }

    fn place(number: u64) -> usize {
        usize::try_from(number % Self::CAPACITY).unwrap_or_default()
    }

    /// The fate with that number, while it is remembered.
    pub(super) fn get(&self, number: u64) -> Option<Ended> {
        let place = Self::place(number);
        let is_it = self.numbers.as_flattened().get(place) == Some(&number);
        let ended = self.ring.as_flattened().get(place).filter(|_| is_it);
        ended.copied()
    }

    fn put(&mut self, number: u64, ended: Ended) {
        let place = Self::place(number);
        let (ring, numbers) = (
            self.ring.as_flattened_mut(),
            self.numbers.as_flattened_mut(),
        );
        if let (Some(to), Some(at)) = (ring.get_mut(place), numbers.get_mut(place)) {
            (*to, *at) = (ended, number);
        }
    }

    /// A message has ended, which is not on record yet.
    pub(super) fn add(&mut self, sequence: u64, fate: Fate) {
        self.put(self.next, Ended { sequence, fate });
        self.next += 1;
    }

    /// A record says so; groups are shown in any order.
    pub(super) fn restore(&mut self, number: u64, ended: Ended) {
        self.oldest_group = self.oldest_group.min(number / GROUP);
        if number >= self.next || self.next - number <= Self::CAPACITY {
            self.put(number, ended);
        }
        self.next = self.next.max(number + 1);
        self.durable = self.next;
        self.read = self.next.saturating_sub(Self::UNREAD);
    }

    /// The lowest number that is remembered.
    pub(super) const fn first(&self) -> u64 {
        self.next.saturating_sub(Self::CAPACITY)
    }

    /// Passes fates of which there is no record, because an outbox with fewer places kept fewer.
    pub(super) fn skip_unknown(&mut self) {
        while self.read < self.durable && self.get(self.read).is_none() {
            self.read += 1;
        }
    }

    /// How many fates nobody has read.
    pub(super) const fn unread(&self) -> u64 {
        self.next - self.read
    }

    /// The number of the fate of a message; `None` while it has none.
    pub(super) fn of(&self, sequence: u64) -> Option<u64> {
        (self.first()..self.next)
            .find(|number| (self.get(*number)).is_some_and(|ended| ended.sequence == sequence))
    }

    /// The fates that go into the next record: from the first to before the last.
    pub(super) fn group(&self) -> Option<(u64, u64)> {
        if self.durable >= self.next {
            return None;
        }
        let start = self.durable / GROUP * GROUP;
        Some((start.max(self.first()), self.next.min(start + GROUP)))
    }

    /// Whether the next record would be full.
    pub(super) fn fills_group(&self) -> bool {
        self.group().is_some_and(|(_, end)| end % GROUP == 0)
    }

    /// A group of which nothing can be needed any more: by then other messages lie where theirs did.
    pub(super) fn spent_group(&self) -> Option<u64> {
        let last = self.oldest_group.checked_mul(GROUP)?.checked_add(GROUP)?;
        (last <= self.first()).then_some(self.oldest_group)
    }
}
