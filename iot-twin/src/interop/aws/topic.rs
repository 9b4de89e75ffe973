//! The topics of a shadow.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;

use super::limit::{MAX_SHADOW_NAME_BYTES, MAX_THING_NAME_BYTES};

const PREFIX: &str = "$aws/things/";

/// Why a name is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    #[error("the name is empty: give it a letter, a digit, '-', '_' or ':'")]
    Empty,
    /// It is too long.
    #[error("the name is longer than {limit} bytes: shorten it")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Another character than a letter, a digit, `-`, `_` or `:`.
    #[error("the byte at {position} is not allowed: use letters, digits, '-', '_' and ':'")]
    Character {
        /// Its offset in bytes.
        position: usize,
    },
}

fn check(name: &str, limit: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > limit {
        return Err(NameError::TooLong { limit });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
    match name.bytes().position(|byte| !allowed(byte)) {
        Some(position) => Err(NameError::Character { position }),
        None => Ok(()),
    }
}

/// One shadow: of a thing, the classic one or one with a name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShadowId {
    thing: String,
    name: Option<String>,
}

impl ShadowId {
    /// The classic shadow of a thing.
    ///
    /// # Errors
    ///
    /// [`NameError`] when the name is none, or longer than 128 bytes.
    pub fn classic(thing: &str) -> Result<Self, NameError> {
        check(thing, MAX_THING_NAME_BYTES)?;
        Ok(Self {
            thing: thing.to_owned(),
            name: None,
        })
    }

    /// A shadow with a name.
    ///
    /// # Errors
    ///
    /// [`NameError`] when a name is none, or longer than 128 bytes for a thing and 64 for a shadow.
    pub fn named(thing: &str, name: &str) -> Result<Self, NameError> {
        check(name, MAX_SHADOW_NAME_BYTES)?;
        let mut id = Self::classic(thing)?;
        id.name = Some(name.to_owned());
        Ok(id)
    }

    /// The thing.
    #[must_use]
    pub fn thing(&self) -> &str {
        &self.thing
    }

    /// The shadow's name; `None` for the classic one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// One of its topics.
    #[must_use]
    pub fn topic(&self, operation: Operation, kind: Kind) -> String {
        let thing = &self.thing;
        let (operation, kind) = (operation.as_str(), kind.suffix());
        match &self.name {
            Some(name) => format!("{PREFIX}{thing}/shadow/name/{name}/{operation}{kind}"),
            None => format!("{PREFIX}{thing}/shadow/{operation}{kind}"),
        }
    }
}

/// What is asked of a shadow.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Operation {
    /// Read it.
    Get,
    /// Change it.
    Update,
    /// Remove it.
    Delete,
}

impl Operation {
    const ALL: [Self; 3] = [Self::Get, Self::Update, Self::Delete];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// What a message is in its operation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Kind {
    /// The request itself.
    Request,
    /// It was done.
    Accepted,
    /// It was not done, and why.
    Rejected,
    /// What desired and reported state differ in; only of an update.
    Delta,
    /// The whole state before and after; only of an update.
    Documents,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Request,
        Self::Accepted,
        Self::Rejected,
        Self::Delta,
        Self::Documents,
    ];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Request => "",
            Self::Accepted => "/accepted",
            Self::Rejected => "/rejected",
            Self::Delta => "/delta",
            Self::Documents => "/documents",
        }
    }

    fn is_of(self, operation: Operation) -> bool {
        operation == Operation::Update || !matches!(self, Self::Delta | Self::Documents)
    }
}

/// A topic that is one of a shadow's.
///
/// ```
/// use iot_twin::interop::aws::{Kind, Operation, Topic};
/// let topic = Topic::parse("$aws/things/boiler-7/shadow/name/config/update/delta").ok_or("a topic")?;
/// assert_eq!((topic.operation, topic.kind), (Operation::Update, Kind::Delta));
/// assert_eq!(topic.id.name(), Some("config"));
/// assert_eq!(topic.to_string(), "$aws/things/boiler-7/shadow/name/config/update/delta");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Topic {
    /// Which shadow.
    pub id: ShadowId,
    /// What is asked.
    pub operation: Operation,
    /// What the message is in it.
    pub kind: Kind,
}

impl Topic {
    /// Reads a topic; `None` when it is no shadow's.
    #[must_use]
    pub fn parse(topic: &str) -> Option<Self> {
        let (thing, rest) = topic.strip_prefix(PREFIX)?.split_once("/shadow/")?;
        let (id, rest) = match rest.strip_prefix("name/") {
            Some(named) => {
                let (name, rest) = named.split_once('/')?;
                (ShadowId::named(thing, name).ok()?, rest)
            }
            None => (ShadowId::classic(thing).ok()?, rest),
        };
        for operation in Operation::ALL {
            let Some(suffix) = rest.strip_prefix(operation.as_str()) else {
                continue;
            };
            let mut kinds = Kind::ALL.into_iter().filter(|kind| kind.is_of(operation));
            let kind = kinds.find(|kind| kind.suffix() == suffix)?;
            return Some(Self {
                id,
                operation,
                kind,
            });
        }
        None
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.id.topic(self.operation, self.kind))
    }
}
