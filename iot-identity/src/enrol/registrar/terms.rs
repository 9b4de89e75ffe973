//! What a registrar grants.

use core::time::Duration;

/// Whose first certificate, or first one after a revocation, somebody has to approve.
///
/// Until then the device is told to ask later, and afterwards it is confined until it is released: see
/// [`Quarantine`](crate::enrol::Quarantine).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Approval {
    /// Nobody's.
    #[default]
    Nobody,
    /// That of devices that were revoked, and readmitted since.
    Readmitted,
    /// That, and the first one of every device.
    Everybody,
}

/// How long the certificates live that a [`Registrar`](super::Registrar) issues, and when it replaces one.
///
/// ```
/// use core::time::Duration;
/// use iot_identity::enrol::Terms;
/// let monthly = Terms::new(Duration::from_secs(30 * 86_400));
/// assert_eq!(monthly, Terms::default());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    pub(super) lifetime: Duration,
    pub(super) backdate: Duration,
    pub(super) keys: usize,
    pub(super) devices: usize,
    pub(super) after_expiry: Option<Duration>,
    pub(super) approval: Approval,
}

impl Terms {
    /// Certificates live for `lifetime`; one of the same key is replaced in its last third.
    ///
    /// They begin five minutes early for devices whose clock is behind, and a device may hold eight: two that it
    /// uses, and those whose keys it threw away before they served. An expired one renews nothing.
    #[must_use]
    pub const fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            backdate: Duration::from_secs(300),
            keys: 8,
            devices: 1_000_000,
            after_expiry: None,
            approval: Approval::Nobody,
        }
    }

    /// Lets certificates begin `span` before they are issued.
    #[must_use]
    pub const fn backdate(mut self, span: Duration) -> Self {
        self.backdate = span;
        self
    }

    /// Lets a device hold certificates of `keys` keys at a time; two at least, or none could be renewed.
    #[must_use]
    pub const fn keys(mut self, keys: usize) -> Self {
        self.keys = if keys < 2 { 2 } else { keys };
        self
    }

    /// Lets so many devices hold certificates.
    #[must_use]
    pub const fn devices(mut self, devices: usize) -> Self {
        self.devices = devices;
        self
    }

    /// Lets a certificate that expired less than `grace` ago ask for its successor, and for nothing else.
    #[must_use]
    pub const fn after_expiry(mut self, grace: Duration) -> Self {
        self.after_expiry = Some(grace);
        self
    }

    /// Lets devices wait for an approval; nobody by default.
    #[must_use]
    pub const fn approval(mut self, whose: Approval) -> Self {
        self.approval = whose;
        self
    }
}

impl Default for Terms {
    /// Thirty days.
    fn default() -> Self {
        Self::new(Duration::from_secs(30 * 86_400))
    }
}
