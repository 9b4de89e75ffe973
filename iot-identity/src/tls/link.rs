//! What a device's link to its service looks like from outside.

use core::error::Error;

use crate::rotate::Session;

/// What can be seen of the link that shows a device's certificate: whether it stands, and what became of attempts.
///
/// Any client will do that counts its sessions and its failures. With iot-transport's MQTT client:
///
/// ```text
/// let (stats, up) = (client.stats(), client.is_connected());
/// let mut link = Link::new(up, stats.connections, stats.failures);
/// if let Some(ConnectError::Rejected(error)) = client.last_error() { link = link.rejected(error) }
/// ```
///
/// ```
/// use iot_identity::tls::Link;
/// let nothing_yet = Link::new(false, 0, 0);
/// let connected = Link::new(true, 1, 0);
/// assert_ne!(nothing_yet, connected);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Link {
    pub(super) is_up: bool,
    pub(super) opened: u64,
    pub(super) failed: u64,
    pub(super) failure: Session,
}

impl Link {
    /// Says whether a session stands on which the service has answered, and how many were opened and how many
    /// attempts failed so far, since the program began.
    pub const fn new(is_up: bool, opened: u64, failed: u64) -> Self {
        Self {
            is_up,
            opened,
            failed,
            failure: Session::Unreachable,
        }
    }

    /// Says how the last attempt failed, where the service, itself authenticated, ended it: see
    /// [`outcome_of`](super::outcome_of). Without it, nobody answered.
    pub fn rejected(self, error: &(dyn Error + 'static)) -> Self {
        self.failure(super::outcome_of(error))
    }

    /// Says the same of a protocol that has words of its own for it.
    pub const fn failure(mut self, failure: Session) -> Self {
        self.failure = failure;
        self
    }
}
