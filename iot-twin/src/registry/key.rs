//! What a stored twin is called.

use alloc::format;
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use iot_core::id::{NameError, check_name};
use iot_core::{DeviceId, TenantId};

/// Names one twin of one device of one tenant: `acme/boiler-7`, or `acme/boiler-7/config` for a named one.
///
/// A device may have any number of twins with names beside the one without. Each part follows the rule of
/// [`iot_core::id`], so a key has one text and a text one key. Copies share the text.
///
/// ```
/// use iot_twin::iot_core::{DeviceId, TenantId};
/// use iot_twin::registry::TwinKey;
///
/// let key = TwinKey::new(TenantId::new("acme")?, DeviceId::new("boiler-7")?);
/// assert_eq!(key.as_str(), "acme/boiler-7");
/// assert_eq!("acme/boiler-7/config".parse(), key.named("config"));
/// # Ok::<(), iot_twin::iot_core::id::NameError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TwinKey(Arc<str>);

impl TwinKey {
    /// The twin without a name.
    #[must_use]
    pub fn new(tenant: TenantId, device: DeviceId) -> Self {
        Self(format!("{tenant}/{device}").into())
    }

    /// The same device's twin with a name.
    ///
    /// # Errors
    ///
    /// [`NameError`] when the name is none.
    pub fn named(&self, name: &str) -> Result<Self, NameError> {
        check_name(name)?;
        Ok(Self(
            format!("{}/{}/{name}", self.part(0), self.part(1)).into(),
        ))
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tenant's name.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.part(0)
    }

    /// The device's name within its tenant.
    #[must_use]
    pub fn device(&self) -> &str {
        self.part(1)
    }

    /// The twin's name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.split('/').nth(2)
    }

    fn part(&self, at: usize) -> &str {
        self.0.split('/').nth(at).unwrap_or("")
    }
}

impl FromStr for TwinKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parts = text.split('/').count();
        // What is missing is an empty name, and what is too much is a character that no name has.
        if parts < 2 {
            return Err(NameError::Empty);
        }
        let mut position = 0;
        for (at, part) in (0..).zip(text.split('/')) {
            if at == 3 {
                return Err(NameError::Character {
                    position: position - 1,
                });
            }
            check_name(part).map_err(|error| match error {
                NameError::Character { position: inner } => NameError::Character {
                    position: position + inner,
                },
                other => other,
            })?;
            position += part.len() + 1;
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TwinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_that_is_no_key_is_refused_where_it_is_wrong() {
        for (text, error) in [
            ("acme", NameError::Empty),
            ("acme/", NameError::Empty),
            ("acme/a b", NameError::Character { position: 6 }),
            ("a/b/c/d", NameError::Character { position: 5 }),
        ] {
            assert_eq!(text.parse::<TwinKey>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_its_parts(tenant in "[a-z][a-z0-9.-]{0,8}", device in "[a-z][a-z0-9_.]{0,8}", name in proptest::option::of("[a-z]{1,8}")) {
            let plain = TwinKey::new(tenant.parse().unwrap(), device.parse().unwrap());
            let key = match &name {
                Some(name) => plain.named(name).unwrap(),
                None => plain,
            };
            prop_assert_eq!(key.as_str().parse::<TwinKey>(), Ok(key.clone()));
            prop_assert_eq!((key.tenant(), key.device(), key.name()), (&*tenant, &*device, name.as_deref()));
        }
    }
}
