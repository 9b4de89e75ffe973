//! What can happen to a component.

/// One thing that has happened to a component. Its kind, the number of the release and the reason are its name: two events of
/// one component that are equal and told one after the other are one event.
///
/// ```
/// use iot_core::component::{ComponentEvent, RollBack};
/// let event = ComponentEvent::RolledBack { sequence: 3, reason: RollBack::SelfTest };
/// assert!(event.is_end());
/// assert_eq!(event.sequence(), Some(3));
/// assert_eq!(event.to_string(), "release 3 was rolled back: the new one failed its self-test");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ComponentEvent {
    /// The release is authentic and could be installed, and somebody has to agree to it.
    #[error("release {sequence} waits for somebody's agreement")]
    Offered {
        /// Its number, which rises from release to release.
        sequence: u64,
    },
    /// The release is being fetched.
    #[error("release {sequence} is being fetched")]
    Fetching {
        /// Its number.
        sequence: u64,
    },
    /// The release is there, verified, and runs from the next restart on.
    #[error("release {sequence} is staged")]
    Staged {
        /// Its number.
        sequence: u64,
    },
    /// The release runs, and has yet to show that it is well.
    #[error("release {sequence} is on trial")]
    OnTrial {
        /// Its number.
        sequence: u64,
    },
    /// The release runs, and stays. An end.
    #[error("release {sequence} is confirmed")]
    Confirmed {
        /// Its number.
        sequence: u64,
    },
    /// The release was staged, and what ran before runs again. An end.
    #[error("release {sequence} was rolled back: {reason}")]
    RolledBack {
        /// Its number.
        sequence: u64,
        /// Why.
        reason: RollBack,
    },
    /// Something that was offered was not taken, or given up before it was staged: nothing of it has run.
    #[error("{} was refused: {reason}", Named(*.sequence))]
    Refused {
        /// Its number; `None` where nobody has vouched for one.
        sequence: Option<u64>,
        /// Why.
        reason: Refusal,
    },
}

impl ComponentEvent {
    /// The number of the release that it happened to; `None` for a refusal of what was not authentic.
    #[must_use]
    pub const fn sequence(&self) -> Option<u64> {
        match *self {
            Self::Offered { sequence }
            | Self::Fetching { sequence }
            | Self::Staged { sequence }
            | Self::OnTrial { sequence }
            | Self::Confirmed { sequence }
            | Self::RolledBack { sequence, .. } => Some(sequence),
            Self::Refused { sequence, .. } => sequence,
        }
    }

    /// Whether this is how the update of a release that was staged has ended. Such an event outlives a restart.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Confirmed { .. } | Self::RolledBack { .. })
    }
}

/// A release by its number.
struct Named(Option<u64>);

impl core::fmt::Display for Named {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(sequence) => write!(f, "release {sequence}"),
            None => f.write_str("an offer"),
        }
    }
}

/// Numbers each variant, for the wire, and lists them all.
macro_rules! codes {
    ($name:ident { $($variant:ident = $code:literal),* $(,)? }) => {
        impl $name {
            /// Every reason there is, by its code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            pub(super) const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code),*
                }
            }

            pub(super) fn of_code(code: u64) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| u64::from(known.code()) == code)
            }
        }
    };
}

/// Why a release that was staged does not run.
///
/// ```
/// use iot_core::component::RollBack;
/// assert_eq!(RollBack::Unconfirmed.to_string(), "the new one did not confirm itself in time");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RollBack {
    /// It has rejected itself.
    #[error("the new one failed its self-test")]
    SelfTest,
    /// It did not confirm itself within its trial.
    #[error("the new one did not confirm itself in time")]
    Unconfirmed,
    /// What was to be tried was not whole.
    #[error("the image was damaged")]
    Damaged,
    /// Its security counter is below the device's.
    #[error("the image is older than the security counter allows")]
    TooOld,
}

codes!(RollBack { SelfTest = 0, Unconfirmed = 1, Damaged = 2, TooOld = 3 });

/// Why a release was not taken, or was given up before it was staged.
///
/// It tells apart what different people have to do something about; the protocol that brought the release may say more.
///
/// ```
/// use iot_core::component::Refusal;
/// assert_eq!(Refusal::NoKey.to_string(), "it is encrypted for none of the device's keys");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody who may do so has signed it.
    #[error("it is not authentic")]
    NotAuthentic,
    /// It is for other devices.
    #[error("it is for other devices")]
    OtherDevice,
    /// It asks for something that the device cannot do.
    #[error("it asks for something the device cannot do")]
    Unsupported,
    /// It is for this kind of device, and not for what runs on it, or not for now.
    #[error("a condition of it does not hold on this device")]
    NotApplicable,
    /// Its number or its security counter is below what the device has.
    #[error("it is older than what the device has")]
    TooOld,
    /// Its number belongs to another image.
    #[error("its number belongs to another image")]
    Reused,
    /// There is no room for it.
    #[error("there is no room for it")]
    TooLarge,
    /// Another one is staged or on trial.
    #[error("another release is staged or on trial")]
    Busy,
    /// It is encrypted, and not for this device.
    #[error("it is encrypted for none of the device's keys")]
    NoKey,
    /// What arrived is not what was signed for.
    #[error("what arrived is not what was signed for")]
    BadImage,
    /// The device's memory failed.
    #[error("the memory failed")]
    Memory,
    /// It arrived too slowly.
    #[error("it arrived too slowly")]
    TooSlow,
    /// Somebody called it off.
    #[error("it was called off")]
    CalledOff,
}

codes!(Refusal {
    NotAuthentic = 0,
    OtherDevice = 1,
    Unsupported = 2,
    NotApplicable = 3,
    TooOld = 4,
    Reused = 5,
    TooLarge = 6,
    Busy = 7,
    NoKey = 8,
    BadImage = 9,
    Memory = 10,
    TooSlow = 11,
    CalledOff = 12,
});
