//! Who is told of which change.
//!
//! Nobody's news are copied into a queue: every leaf remembers when it changed last, so that a subscriber needs a
//! place in the order of changes and nothing else. Whoever looks late sees the newest value of each leaf, and is
//! told that others went by.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{Log, Mark, Told, TwinService, Wish};
use crate::schema::FieldId;
use crate::sync::slot::{Code, Version};
use crate::value::Value;

/// A place in the order of a twin's changes.
///
/// It is meant for one service twin in memory, also when that resumes from a snapshot; it is not to be stored.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Cursor {
    at: u64,
    /// Up to where it was told that changes are forgotten.
    missed: u64,
}

/// What a subscriber is told; `skipped` says that an earlier change of the same leaf went by unseen.
#[derive(Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// Changes are lost that no leaf remembers: a withdrawn desire was forgotten. What follows are the newest values;
    /// read the rest of the path as it is.
    Lagged,
    /// A value is desired of a field (null: that it has none), or nothing any more: `None`.
    Desired {
        /// The field.
        field: FieldId,
        /// The value.
        value: Option<&'a Value>,
        /// Under which version.
        version: Version,
        /// See above.
        skipped: bool,
    },
    /// The device has answered for a desired value.
    Answered {
        /// The field.
        field: FieldId,
        /// The answer.
        code: Code,
        /// See above.
        skipped: bool,
    },
    /// The device has reported another value of a field.
    Reported {
        /// The field.
        field: FieldId,
        /// The value; null while the device does not know it.
        value: &'a Value,
        /// See above.
        skipped: bool,
    },
}

/// Names one subscriber of [`Subscriptions`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubscriptionId(u64);

/// Why there is no further subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// There are as many as there may be.
    #[error("there are {limit} subscriptions already: end one or raise the limit")]
    Full {
        /// How many there may be.
        limit: usize,
    },
}

/// The subscribers of one twin, each with a path and a place in the order of changes.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use iot_twin::sync::{Notice, Subscriptions};
/// use iot_twin::{Twin, TwinService, Value};
///
/// #[derive(Twin)]
/// struct Room {
///     #[twin(desired)]
///     setpoint: f32,
///     #[twin(desired)]
///     lit: bool,
/// }
///
/// let mut twin = TwinService::of::<Room>();
/// let mut subscriptions = Subscriptions::new(100);
/// let light = subscriptions.add(&twin, "lit")?;
/// twin.set("setpoint", 21.0).unwrap();
/// assert_eq!(subscriptions.next(light, &twin), None);
/// twin.set("lit", true).unwrap();
/// let told = subscriptions.next(light, &twin);
/// assert!(matches!(told, Some(Notice::Desired { value: Some(Value::Bool(true)), skipped: false, .. })));
/// # }
/// # Ok::<(), iot_twin::sync::SubscribeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Subscriptions {
    limit: usize,
    newest: u64,
    list: BTreeMap<SubscriptionId, Subscription>,
}

#[derive(Clone, Debug)]
struct Subscription {
    path: String,
    cursor: Cursor,
}

impl Subscriptions {
    /// None yet, and never more than `limit`.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            newest: 0,
            list: BTreeMap::new(),
        }
    }

    /// Subscribes to what changes from now on below `path`: a field's name, or the groups around several
    /// (`pid` for `pid/kp`); the empty path is everything.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`] when there are too many; nothing has changed.
    pub fn add(
        &mut self,
        twin: &TwinService,
        path: &str,
    ) -> Result<SubscriptionId, SubscribeError> {
        let limit = self.limit;
        if self.list.len() >= limit {
            return Err(SubscribeError::Full { limit });
        }
        self.newest += 1;
        let id = SubscriptionId(self.newest);
        let (path, cursor) = (path.to_owned(), twin.cursor());
        self.list.insert(id, Subscription { path, cursor });
        Ok(id)
    }

    /// Ends a subscription; false when there is none of this name.
    pub fn remove(&mut self, id: SubscriptionId) -> bool {
        self.list.remove(&id).is_some()
    }

    /// The next thing that a subscriber was not told; `None` when there is nothing, or no such subscriber.
    pub fn next<'a>(&mut self, id: SubscriptionId, twin: &'a TwinService) -> Option<Notice<'a>> {
        let subscription = self.list.get_mut(&id)?;
        twin.next_notice(&mut subscription.cursor, &subscription.path)
    }

    /// Those who have something to be told.
    pub fn waiting<'a>(
        &'a self,
        twin: &'a TwinService,
    ) -> impl Iterator<Item = SubscriptionId> + 'a {
        let waits = |subscription: &Subscription| {
            let mut cursor = subscription.cursor;
            twin.next_notice(&mut cursor, &subscription.path).is_some()
        };
        self.list
            .iter()
            .filter(move |(_, subscription)| waits(subscription))
            .map(|(&id, _)| id)
    }
}

// No values: some are not for logs.
impl fmt::Debug for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged => f.write_str("Lagged"),
            Self::Desired { field, version, .. } => f
                .debug_struct("Desired")
                .field("field", field)
                .field("version", version)
                .finish_non_exhaustive(),
            Self::Answered { field, code, .. } => f
                .debug_struct("Answered")
                .field("field", field)
                .field("code", code)
                .finish_non_exhaustive(),
            Self::Reported { field, .. } => f
                .debug_struct("Reported")
                .field("field", field)
                .finish_non_exhaustive(),
        }
    }
}

impl Log {
    /// Goes on with other leaves: marks what differs from the leaves before.
    pub(super) fn follow_desired(
        &mut self,
        mut before: BTreeMap<FieldId, Wish>,
        wishes: &mut BTreeMap<FieldId, Wish>,
    ) {
        for (id, wish) in wishes {
            let old = before.remove(id);
            let (stated, answered) = old
                .as_ref()
                .map_or_else(Default::default, |old| (old.stated, old.answered));
            (wish.stated, wish.answered) = (stated, answered);
            if old.as_ref().is_none_or(|old| old.encoded != wish.encoded) {
                self.mark(&mut wish.stated);
            }
            if old.map_or(wish.answer.is_some(), |old| old.answer != wish.answer) {
                self.mark(&mut wish.answered);
            }
        }
        self.forget(!before.is_empty());
    }

    pub(super) fn follow_reported(
        &mut self,
        mut before: BTreeMap<FieldId, Told>,
        reported: &mut BTreeMap<FieldId, Told>,
    ) {
        for (id, told) in reported {
            let old = before.remove(id);
            told.stated = old.as_ref().map_or_else(Default::default, |old| old.stated);
            if old.is_none_or(|old| old.value != told.value) {
                self.mark(&mut told.stated);
            }
        }
        self.forget(!before.is_empty());
    }

    const fn forget(&mut self, something: bool) {
        if something {
            self.count += 1;
            self.forgotten = self.count;
        }
    }
}

impl TwinService {
    /// The present end of the order of changes.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        Cursor {
            at: self.log.count,
            missed: 0,
        }
    }

    /// The first change below `path` behind `cursor`, which moves on; `None` when there is none.
    ///
    /// This is what [`Subscriptions`] does, for those who keep the cursors themselves.
    pub fn next_notice(&self, cursor: &mut Cursor, path: &str) -> Option<Notice<'_>> {
        if cursor.at > self.log.count {
            // The cursor is of another twin, whose order says nothing about this one's.
            *cursor = Cursor {
                at: 0,
                missed: self.log.forgotten,
            };
            return Some(Notice::Lagged);
        }
        if cursor.at.max(cursor.missed) < self.log.forgotten {
            cursor.missed = self.log.forgotten;
            return Some(Notice::Lagged);
        }
        let next = self.after(cursor.at, path).into_iter().next();
        cursor.at = next.map_or(self.log.count, |(at, _)| at);
        next.map(|(_, notice)| notice)
    }

    /// Everything below a path that changed after `at`, in order.
    fn after(&self, at: u64, path: &str) -> Vec<(u64, Notice<'_>)> {
        let is_new = |mark: &Mark| mark.last > at;
        let skipped = |mark: &Mark| mark.before > at;
        let mut news = Vec::new();
        for (&field, wish) in self.desired.iter().filter(|(id, _)| self.is_in(**id, path)) {
            if is_new(&wish.stated) {
                let notice = Notice::Desired {
                    field,
                    value: wish.value.as_ref(),
                    version: Version::new(self.epoch, wish.version),
                    skipped: skipped(&wish.stated),
                };
                news.push((wish.stated.last, notice));
            }
            if is_new(&wish.answered)
                && let Some(code) = wish.answer
            {
                let notice = Notice::Answered {
                    field,
                    code,
                    skipped: skipped(&wish.answered),
                };
                news.push((wish.answered.last, notice));
            }
        }
        for (&field, told) in self
            .reported
            .iter()
            .filter(|(id, _)| self.is_in(**id, path))
        {
            if is_new(&told.stated) {
                let notice = Notice::Reported {
                    field,
                    value: &told.value,
                    skipped: skipped(&told.stated),
                };
                news.push((told.stated.last, notice));
            }
        }
        news.sort_by_key(|(at, _)| *at);
        news
    }

    /// Whether a field lies below a path.
    fn is_in(&self, id: FieldId, path: &str) -> bool {
        let schema = self.schema.iter().find(|schema| schema.field.id == id);
        let mut parts = schema.into_iter().flat_map(|schema| schema.name.parts());
        let mut wanted = path.split('/').filter(|part| !part.is_empty());
        wanted.all(|part| parts.next() == Some(part))
    }
}
