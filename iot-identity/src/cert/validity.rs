//! How long a certificate is valid.

use core::time::Duration;

use iot_core::Timestamp;
use x509_cert::der::{self, DateTime};
use x509_cert::time::Time;

/// The validity of a certificate, in whole seconds; always handed in, never read from a clock.
///
/// ```
/// use core::time::Duration;
/// use iot_core::Timestamp;
/// use iot_identity::cert::Validity;
/// let now = Timestamp::from_secs(1_800_000_000);
/// let week = Validity::lasting(now, Duration::from_secs(7 * 86_400));
/// assert_eq!(week.not_after(), Some(Timestamp::from_secs(1_800_604_800)));
/// assert_eq!(Validity::for_ever(now).not_after(), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Validity {
    not_before: Timestamp,
    not_after: Option<Timestamp>,
}

impl Validity {
    /// From `not_before` on, for `span`.
    #[must_use]
    pub const fn lasting(not_before: Timestamp, span: Duration) -> Self {
        Self {
            not_before,
            not_after: Some(not_before.after(span)),
        }
    }

    /// What an operational identity should have: a week from `now`, and an hour before it for clocks that are behind.
    ///
    /// Short enough that a certificate which nobody renews is soon worth nothing, revoked or not.
    #[must_use]
    pub const fn short_lived(now: Timestamp) -> Self {
        Self::lasting(now, Duration::from_secs(7 * 86_400)).backdated(Duration::from_secs(3_600))
    }

    /// From `not_before` on without end: 99991231235959Z (RFC 5280 §4.1.2.5), as IEEE 802.1AR wants for an IDevID.
    #[must_use]
    pub const fn for_ever(not_before: Timestamp) -> Self {
        Self {
            not_before,
            not_after: None,
        }
    }

    /// The same validity, beginning `span` earlier: room for a peer whose clock is behind.
    #[must_use]
    pub const fn backdated(mut self, span: Duration) -> Self {
        self.not_before = self.not_before.before(span);
        self
    }

    /// The first moment.
    #[must_use]
    pub const fn not_before(self) -> Timestamp {
        self.not_before
    }

    /// The last moment; `None` without end.
    #[must_use]
    pub const fn not_after(self) -> Option<Timestamp> {
        self.not_after
    }

    pub(super) fn to_x509(self) -> der::Result<x509_cert::time::Validity> {
        let time = |at: Timestamp| {
            DateTime::from_unix_duration(Duration::from_secs(at.as_secs())).map(Time::from)
        };
        let not_after = self.not_after.map_or(Ok(Time::INFINITY), time)?;
        Ok(x509_cert::time::Validity::new(
            time(self.not_before)?,
            not_after,
        ))
    }
}
