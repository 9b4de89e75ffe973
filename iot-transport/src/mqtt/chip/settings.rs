//! What a client on a chip is told before it starts.

use core::time::Duration;

use iot_core::retry::Policy;
use iot_core::{DeviceId, TenantId};

use crate::mqtt::Version;
use crate::session::Terms;

/// The longest user name and password together, in bytes.
pub const MAX_LOGIN_BYTES: usize = 192;

/// The user name and the password do not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("user name and password have {bytes} bytes: at most {MAX_LOGIN_BYTES} fit")]
#[non_exhaustive]
pub struct LoginError {
    /// How long they are together.
    pub bytes: usize,
}

/// What a client on a chip is told before it starts; every value has a default that suits a fleet.
///
/// ```
/// use core::time::Duration;
/// use iot_core::{DeviceId, TenantId, retry::Policy};
/// use iot_transport::mqtt::{Version, chip::Settings};
/// use iot_transport::session::Terms;
///
/// let terms = Terms::new(Policy::default()).with_keep_alive(Duration::from_secs(600)).with_window(4);
/// let settings = Settings::device(TenantId::new("acme")?, DeviceId::new("boiler-7")?)
///     .with_version(Version::V3)
///     .with_terms(terms)
///     .with_login("boiler-7", b"secret")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Settings<'s> {
    pub(super) tenant: TenantId,
    pub(super) device: DeviceId,
    pub(super) version: Version,
    pub(super) terms: Terms,
    pub(super) session_expiry_s: u32,
    pub(super) receive_maximum: u16,
    pub(super) login: Option<(&'s str, &'s [u8])>,
}

impl<'s> Settings<'s> {
    /// A client that is one device, by whose name it connects; MQTT 5, and the defaults of [`Terms`].
    #[must_use]
    pub fn device(tenant: TenantId, device: DeviceId) -> Self {
        Self {
            tenant,
            device,
            version: Version::V5,
            terms: Terms::new(Policy::default()),
            session_expiry_s: 24 * 3_600,
            receive_maximum: 4,
            login: None,
        }
    }

    /// Sets the protocol version.
    #[must_use]
    pub const fn with_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Sets keep-alive, pauses between attempts, and how many messages may be on the wire.
    #[must_use]
    pub const fn with_terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// Sets how long the broker keeps the session of a device that is away (MQTT 5 only), in whole seconds; a day by
    /// default.
    #[must_use]
    pub fn with_session_expiry(mut self, span: Duration) -> Self {
        self.session_expiry_s = u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
        self
    }

    /// Sets how many messages the broker may send before the first is acknowledged (MQTT 5 only), at least 1; 4 by
    /// default. They wait in the stream, not in the client.
    #[must_use]
    pub const fn with_receive_maximum(mut self, messages: u16) -> Self {
        self.receive_maximum = if messages == 0 { 1 } else { messages };
        self
    }

    /// Sets a user name and password; they stay where they are.
    ///
    /// # Errors
    ///
    /// [`LoginError`] when they have more than [`MAX_LOGIN_BYTES`] together.
    pub const fn with_login(
        mut self,
        name: &'s str,
        password: &'s [u8],
    ) -> Result<Self, LoginError> {
        let bytes = name.len().saturating_add(password.len());
        if bytes > MAX_LOGIN_BYTES {
            return Err(LoginError { bytes });
        }
        self.login = Some((name, password));
        Ok(self)
    }
}
