//! Names and numbers that identify devices, tenants, components and commands.
//!
//! Names are short ASCII text that can never act as a separator or a wildcard in a topic, a path or a
//! policy: letters, digits, `-`, `_` and `.`, beginning with a letter or digit, 1 to 64 bytes.

use core::fmt;
use core::str::FromStr;

/// The longest [`DeviceId`], [`TenantId`] or [`ComponentId`] in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Why a text is not a valid name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    #[error("the name is empty: give 1 to {MAX_NAME_BYTES} characters")]
    Empty,
    /// The text is longer than [`MAX_NAME_BYTES`].
    #[error("the name has {bytes} bytes: shorten it to {MAX_NAME_BYTES}")]
    TooLong {
        /// How long it was.
        bytes: usize,
    },
    /// A byte outside the allowed set.
    #[error(
        "the byte at {position} is not allowed: use letters, digits, '-', '_' and '.', beginning with a letter or digit"
    )]
    Character {
        /// Its offset in bytes.
        position: usize,
    },
}

/// Checks a name without copying it.
///
/// # Errors
///
/// [`NameError`] with the first thing that is wrong.
///
/// ```
/// use iot_core::id::{NameError, check_name};
/// assert_eq!(check_name("boiler-7"), Ok(()));
/// assert_eq!(check_name("site/+"), Err(NameError::Character { position: 4 }));
/// ```
pub fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong { bytes: text.len() });
    }
    let allowed = |position: usize, byte: u8| {
        byte.is_ascii_alphanumeric() || (position > 0 && matches!(byte, b'-' | b'_' | b'.'))
    };
    match (0..)
        .zip(text.bytes())
        .find(|&(at, byte)| !allowed(at, byte))
    {
        Some((position, _)) => Err(NameError::Character { position }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name {
            // Unused bytes stay zero, so that derived equality and order are those of the text.
            bytes: [u8; MAX_NAME_BYTES],
            len: u8,
        }

        impl $name {
            /// Checks and copies `text`.
            ///
            /// # Errors
            ///
            /// [`NameError`] when `text` is not 1 to 64 bytes of the allowed characters.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_name(text)?;
                let mut bytes = [0; MAX_NAME_BYTES];
                for (to, from) in bytes.iter_mut().zip(text.bytes()) {
                    *to = from;
                }
                let len = u8::try_from(text.len())
                    .map_err(|_| NameError::TooLong { bytes: text.len() })?;
                Ok(Self { bytes, len })
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                let text = self.bytes.get(..usize::from(self.len)).unwrap_or(&[]);
                core::str::from_utf8(text).unwrap_or("")
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;
            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        #[cfg(feature = "defmt")]
        impl defmt::Format for $name {
            fn format(&self, f: defmt::Formatter<'_>) {
                defmt::write!(f, "{=str}", self.as_str());
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.as_str())
            }
        }
    };
}

name! {
    /// One device, unique within its tenant.
    ///
    /// ```
    /// use iot_core::DeviceId;
    /// let device: DeviceId = "boiler-7".parse()?;
    /// assert_eq!(device.as_str(), "boiler-7");
    /// assert!(DeviceId::new("#").is_err());
    /// # Ok::<(), iot_core::id::NameError>(())
    /// ```
    DeviceId
}

name! {
    /// The organisation that owns a device; it comes only from the trust anchor that verified a peer.
    ///
    /// ```
    /// use iot_core::TenantId;
    /// assert_eq!(TenantId::new("acme")?.to_string(), "acme");
    /// # Ok::<(), iot_core::id::NameError>(())
    /// ```
    TenantId
}

name! {
    /// A part of a device that is measured and updated by itself: its firmware, its radio, a model.
    ///
    /// [`from_path`](Self::from_path) makes one of a SUIT component identifier.
    ///
    /// ```
    /// use iot_core::component::ComponentId;
    /// assert_eq!(ComponentId::new("firmware")?.as_str(), "firmware");
    /// # Ok::<(), iot_core::id::NameError>(())
    /// ```
    ComponentId
}

/// Who issues commands: a number that the device's configuration maps to a key or a service.
///
/// ```
/// use iot_core::IssuerId;
/// assert_eq!(IssuerId::new(1).get(), 1);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IssuerId(u32);

impl IssuerId {
    /// Wraps a configured number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The configured number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Identifies one command for one device for ever: who issued it, in which life of the issuer, and its number there.
///
/// An issuer that was restored from a backup opens a new epoch, so that no two commands for a device ever share an id.
/// Commands for different devices may: whoever keeps those of many knows them by device and id.
///
/// ```
/// use iot_core::{CommandId, IssuerId};
/// let id = CommandId::new(IssuerId::new(1), 2, 40);
/// assert_eq!(id.to_string(), "1.2.40");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct CommandId {
    /// Who issued it.
    pub issuer: IssuerId,
    /// Which life of the issuer, rising.
    pub epoch: u32,
    /// Its number in that epoch, from 1; who has issued four billion opens another epoch.
    pub sequence: u32,
}

impl CommandId {
    /// Puts an id together.
    #[must_use]
    pub const fn new(issuer: IssuerId, epoch: u32, sequence: u32) -> Self {
        Self {
            issuer,
            epoch,
            sequence,
        }
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.issuer.0, self.epoch, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_separators_and_hidden_files_are_no_names() {
        for text in [
            "", "+", "#", "a/b", "a+", "*", "a:b", ".hidden", "-x", "ä", "a b", "a\0",
        ] {
            assert!(DeviceId::new(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn the_limit_is_sixty_four_bytes() {
        let text = "x".repeat(64);
        assert_eq!(DeviceId::new(&text).unwrap().as_str(), text);
        assert_eq!(
            DeviceId::new(&"x".repeat(65)),
            Err(NameError::TooLong { bytes: 65 })
        );
    }

    proptest! {
        #[test]
        fn order_and_equality_are_those_of_the_text(a in "[a-z0-9][a-z0-9._-]{0,20}", b in "[a-z0-9][a-z0-9._-]{0,20}") {
            let (x, y) = (DeviceId::new(&a).unwrap(), DeviceId::new(&b).unwrap());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.as_str(), a.as_str());
        }
    }
}
