//! What is known about one field: its versions and its acknowledgement.

use core::fmt;

/// Names one desired state: in which life of the service, and its number there.
///
/// ```
/// use iot_twin::Version;
/// assert!(Version::new(2, 1) > Version::new(1, 40));
/// ```
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(u64);

impl Version {
    /// Before the first.
    pub const ZERO: Self = Self(0);

    /// Puts a version together.
    #[must_use]
    pub const fn new(epoch: u32, number: u32) -> Self {
        Self((epoch as u64) << 32 | number as u64)
    }

    /// In which life of the service it was given, from 1.
    #[must_use]
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Its number in that life, from 1.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the upper half is the epoch"
    )]
    pub const fn number(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Version {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}.{}", self.epoch(), self.number());
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch(), self.number())
    }
}

/// Which of a device's twins: a number that both sides agree on, 0 for the only one.
///
/// A device may run up to twelve twins over one channel, each with versions, acknowledgements and records of its
/// own; a twin ignores what is said to another. Give each its own
/// [records](super::TwinDevice::with_records).
///
/// ```
/// use iot_twin::sync::SubTwin;
/// const NETWORK: SubTwin = SubTwin::new(1);
/// assert_ne!(NETWORK, SubTwin::MAIN);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SubTwin(u8);

impl SubTwin {
    /// The twin of a device that has one.
    pub const MAIN: Self = Self(0);

    /// Wraps a number.
    ///
    /// # Panics
    ///
    /// When it is above 11; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        // What a message is and for which twin has to be one byte of CBOR.
        assert!(number < 12, "a device has at most twelve twins, from 0");
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What a device answered to a desired value; numbered like HTTP's status codes.
///
/// ```
/// use iot_twin::Code;
/// assert_eq!(Code::from(true), Code::APPLIED);
/// assert!(Code::OUT_OF_RANGE.is_rejected());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Code(u16);

impl Code {
    /// Nothing was desired.
    pub const NONE: Self = Self(0);
    /// The value is in effect.
    pub const APPLIED: Self = Self(200);
    /// The device has the value and is working on it.
    pub const PENDING: Self = Self(202);
    /// The device would not or could not take the value, or the value is of the wrong kind.
    pub const REJECTED: Self = Self(400);
    /// The field is only reported.
    pub const READ_ONLY: Self = Self(403);
    /// The device's firmware has no such field.
    pub const UNKNOWN: Self = Self(404);
    /// Something at the device changed the field afterwards.
    pub const OVERRIDDEN: Self = Self(409);
    /// The value lies outside the field's range.
    pub const OUT_OF_RANGE: Self = Self(422);

    /// Wraps a number, for codes of your own.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether the value is in effect: 200 to 299, but not [`PENDING`](Self::PENDING).
    #[must_use]
    pub const fn is_applied(self) -> bool {
        self.0 >= 200 && self.0 < 300 && !self.is_pending()
    }

    /// Whether the device is still working on it.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        self.0 == Self::PENDING.0
    }

    /// Whether the value is not in effect and will not be: 400 and above.
    #[must_use]
    pub const fn is_rejected(self) -> bool {
        self.0 >= 400
    }
}

/// `true` is [`Code::APPLIED`], `false` is [`Code::REJECTED`].
impl From<bool> for Code {
    fn from(applied: bool) -> Self {
        if applied {
            Self::APPLIED
        } else {
            Self::REJECTED
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A device's notes about one field; opaque, made by `#[derive(Twin)]`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Slot {
    /// The newest desired value's version.
    pub(crate) stamp: Version,
    /// The version under which the field was last reported, counted from the device's base; 0 for never.
    pub(crate) told: u32,
    /// The desired value's share of the digest.
    pub(crate) check: u32,
    /// The places of the fields that were reported just before and just after it; 0 for none.
    pub(crate) before: u16,
    pub(crate) after: u16,
    /// What became of the desired value.
    pub(crate) code: Code,
    /// Whether the twin holds the desired value itself (it was neither refused nor withdrawn).
    pub(crate) held: bool,
    /// Whether the actual value is known.
    pub(crate) known: bool,
    /// Whether the application has yet to answer for it.
    pub(crate) offered: bool,
    /// Whether it was shown to the application since it was last offered.
    pub(crate) shown: bool,
    /// Whether an edit stands against what is desired; a desire that was refused does not end that.
    pub(crate) edited: bool,
    /// Whether it must be written to storage.
    pub(crate) unsaved: bool,
}

impl Slot {
    /// Nothing has happened.
    pub const EMPTY: Self = Self {
        stamp: Version::ZERO,
        told: 0,
        check: 0,
        before: 0,
        after: 0,
        code: Code::NONE,
        held: false,
        known: false,
        offered: false,
        shown: false,
        edited: false,
        unsaved: false,
    };

    /// Whether the device itself would not have the desired value.
    pub(crate) const fn is_refused(&self) -> bool {
        !self.held && self.code.is_rejected()
    }

    /// Whether the application is to be asked: what it is told is durable.
    pub(crate) const fn is_offered(&self) -> bool {
        self.offered && !self.unsaved
    }

    /// Whether what is desired is neither in effect nor on its way because of an edit.
    pub(crate) fn is_overridden(&self) -> bool {
        self.code == Code::OVERRIDDEN
    }
}
