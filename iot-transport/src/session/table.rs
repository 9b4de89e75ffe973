//! The subscriptions of a session, and what became of each.

/// There is no room for another subscription; nothing was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("all {capacity} places for subscriptions are taken: give the session more")]
#[non_exhaustive]
pub struct SubscribeError {
    /// How many places there are.
    pub capacity: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mark {
    /// To be asked for on this link.
    Wanted,
    /// Asked for on this link, not answered.
    Asked,
    /// The other end has it.
    Granted,
    /// The other end does not want to; the next link may be luckier.
    Refused,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Table<K, const PLACES: usize>([Option<(K, Mark)>; PLACES]);

impl<K: Copy + Eq, const PLACES: usize> Table<K, PLACES> {
    pub(super) const fn new() -> Self {
        Self([None; PLACES])
    }

    pub(super) fn add(&mut self, key: K) -> Result<(), SubscribeError> {
        if self.0.iter().flatten().any(|(known, _)| *known == key) {
            return Ok(());
        }
        match self.0.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some((key, Mark::Wanted));
                Ok(())
            }
            None => Err(SubscribeError { capacity: PLACES }),
        }
    }

    /// The next to ask for.
    pub(super) fn wanted(&self) -> Option<K> {
        self.0
            .iter()
            .flatten()
            .find(|(_, mark)| *mark == Mark::Wanted)
            .map(|(key, _)| *key)
    }

    pub(super) fn is_granted(&self, key: K) -> bool {
        self.0
            .iter()
            .flatten()
            .any(|(known, mark)| *known == key && *mark == Mark::Granted)
    }

    pub(super) fn asked(&mut self, key: K) {
        self.mark(|known, mark| match mark {
            Mark::Wanted if known == key => Mark::Asked,
            other => other,
        });
    }

    pub(super) fn answered(&mut self, key: K, granted: bool) {
        self.mark(|known, mark| match mark {
            Mark::Asked if known == key && granted => Mark::Granted,
            Mark::Asked if known == key => Mark::Refused,
            other => other,
        });
    }

    /// A new link stands: what was not granted, or is not remembered there, is asked for again.
    pub(super) fn welcomed(&mut self, resumed: bool) {
        self.mark(|_, mark| match mark {
            Mark::Granted if resumed => Mark::Granted,
            _ => Mark::Wanted,
        });
    }

    fn mark(&mut self, change: impl Fn(K, Mark) -> Mark) {
        for (key, mark) in self.0.iter_mut().flatten() {
            *mark = change(*key, *mark);
        }
    }
}
