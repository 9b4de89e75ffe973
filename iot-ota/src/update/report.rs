//! What a device says about an update.

use iot_core::crypto::Sha256Digest;

use crate::slot::{EndedAs, RollBackReason};

/// How an update ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Outcome {
    /// The new firmware runs and has confirmed itself.
    #[error("the release runs and is confirmed")]
    Confirmed,
    /// The new firmware was tried, or was to be, and the old one runs again.
    #[error("rolled back: {0}")]
    RolledBack(RollBackReason),
    /// The offer is not signed by an accepted key that has a right to the component, or is no manifest.
    #[error("refused: the offer is not authentic")]
    NotAuthentic,
    /// The manifest is for other devices.
    #[error("refused: the release is for other devices")]
    OtherDevice,
    /// The manifest asks for something this device cannot do.
    #[error("refused: the manifest asks for something this device cannot do")]
    Unsupported,
    /// The release is older than what is installed or was, and none of its signers may go back.
    #[error("refused: the release is older than what is installed")]
    TooOld,
    /// The sequence number was used for another image before.
    #[error("refused: the sequence number belongs to another image: give each release its own")]
    SequenceReused,
    /// The image does not fit the bank.
    #[error("refused: the image does not fit the bank")]
    TooLarge,
    /// A release is staged or on trial: another one was offered, or that one was to be aborted.
    #[error("refused: a release is staged or on trial")]
    Busy,
    /// The image that arrived is not the one that was signed for.
    #[error("the image that arrived is not the one that was signed for")]
    BadImage,
    /// The memory for images failed.
    #[error("the memory for images failed")]
    Memory,
    /// The service called it off.
    #[error("called off")]
    Aborted,
    /// The image arrived more slowly than the device puts up with.
    #[error("the image arrived too slowly")]
    TooSlow,
    /// Somebody at the device called it off.
    #[error("called off at the device")]
    Cancelled,
    /// The manifest's security counter is lower than the device's.
    #[error("refused: the release's security counter is lower than the device's")]
    BelowCounter,
    /// A condition of the manifest does not hold on this device: it may be a patch to another image, or too late.
    #[error("refused: a condition of the manifest does not hold on this device")]
    NotApplicable,
    /// What arrived cannot become an image: it is no patch to the one that runs, or not what was encrypted.
    #[error("what arrived cannot become an image")]
    BadPayload,
    /// The image is encrypted, and for none of the device's keys.
    #[error("refused: the image is encrypted for none of the device's keys")]
    NoKey,
}

impl Outcome {
    /// Whether this is the evidence of success.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Confirmed)
    }

    pub(in crate::update) const fn code(self) -> u8 {
        match self {
            Self::Confirmed => 0,
            Self::RolledBack(reason) => 1 + rolled_back(reason),
            _ => self.refused(),
        }
    }

    // Each has a number and they are in a row, so that a chip adds instead of branching: that is why the ends have one.
    const fn refused(self) -> u8 {
        match self {
            Self::Confirmed => 3,
            Self::RolledBack(_) => 4,
            Self::NotAuthentic => 5,
            Self::OtherDevice => 6,
            Self::Unsupported => 7,
            Self::TooOld => 8,
            Self::SequenceReused => 9,
            Self::TooLarge => 10,
            Self::Busy => 11,
            Self::BadImage => 12,
            Self::Memory => 13,
            Self::Aborted => 14,
            Self::TooSlow => 15,
            Self::Cancelled => 16,
            Self::BelowCounter => 17,
            Self::NotApplicable => 18,
            Self::BadPayload => 19,
            Self::NoKey => 20,
        }
    }

    pub(in crate::update) const fn of_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Confirmed,
            1 => Self::RolledBack(RollBackReason::SelfTest),
            2 => Self::RolledBack(RollBackReason::Unconfirmed),
            3 => Self::RolledBack(RollBackReason::Damaged),
            4 => Self::RolledBack(RollBackReason::TooOld),
            5 => Self::NotAuthentic,
            6 => Self::OtherDevice,
            7 => Self::Unsupported,
            8 => Self::TooOld,
            9 => Self::SequenceReused,
            10 => Self::TooLarge,
            11 => Self::Busy,
            12 => Self::BadImage,
            13 => Self::Memory,
            14 => Self::Aborted,
            15 => Self::TooSlow,
            16 => Self::Cancelled,
            17 => Self::BelowCounter,
            18 => Self::NotApplicable,
            19 => Self::BadPayload,
            20 => Self::NoKey,
            _ => return None,
        })
    }

    /// Whether a code is that of an end, which a boot record says.
    pub(in crate::update) const fn is_end(code: u8) -> bool {
        code <= 4
    }
}

const fn rolled_back(reason: RollBackReason) -> u8 {
    match reason {
        RollBackReason::SelfTest => 0,
        RollBackReason::Unconfirmed => 1,
        RollBackReason::Damaged => 2,
        RollBackReason::TooOld => 3,
    }
}

impl From<EndedAs> for Outcome {
    fn from(how: EndedAs) -> Self {
        match how {
            EndedAs::Confirmed => Self::Confirmed,
            EndedAs::RolledBack(reason) => Self::RolledBack(reason),
        }
    }
}

/// What a device says about an update, and what it runs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Report {
    /// Which update; `None` when the offer was not authentic.
    pub sequence: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// What runs; `None` while a rejected image waits for the reboot.
    pub running: Option<Running>,
}

/// What runs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Running {
    /// Its sequence number.
    pub sequence: u64,
    /// Its SHA-256.
    pub digest: Sha256Digest,
}

impl Running {
    /// Names an image.
    #[must_use]
    pub const fn new(sequence: u64, digest: Sha256Digest) -> Self {
        Self { sequence, digest }
    }
}

impl Report {
    /// Puts a report together.
    #[must_use]
    pub const fn new(sequence: Option<u64>, outcome: Outcome, running: Option<Running>) -> Self {
        Self {
            sequence,
            outcome,
            running,
        }
    }
}
