//! What a failed connection says about the identity that was shown.

use core::error::Error;
use std::io;

use rustls::AlertDescription;

use crate::rotate::Session;

/// What the server said about this side's certificate when it ended a connection.
///
/// It looks for a TLS alert (RFC 8446 §6.2) in `error` and its sources: `certificate_revoked` is
/// [`Session::Revoked`], `certificate_expired` [`Session::Expired`], another alert about certificates
/// [`Session::Refused`]. Everything else says nothing about the identity: [`Session::Unreachable`].
///
/// Only for errors that came *after* the handshake, from the first read on, as TLS 1.3 has it for a client whose
/// certificate is not taken. Until the handshake is done, an alert comes from nobody in particular: whoever
/// stands in between could have the device believe that it is revoked. An error of the handshake itself is
/// [`Session::Unreachable`].
///
/// ```
/// use iot_identity::rotate::Session;
/// use iot_identity::tls::outcome_of;
/// use rustls::{AlertDescription, Error};
///
/// let alert = Error::AlertReceived(AlertDescription::CertificateRevoked);
/// let read = std::io::Error::new(std::io::ErrorKind::InvalidData, alert); // as a read of a TLS stream fails
/// assert_eq!(outcome_of(&read), Session::Revoked);
/// let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
/// assert_eq!(outcome_of(&cut), Session::Unreachable);
/// ```
#[must_use]
pub fn outcome_of(error: &(dyn Error + 'static)) -> Session {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref() {
            return said(*alert);
        }
        // An `io::Error` names the source of what it holds as its own, and so leaves out what it holds.
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = held.map_or_else(|| error.source(), |held| Some(held));
    }
    Session::Unreachable
}

const fn said(alert: AlertDescription) -> Session {
    match alert {
        AlertDescription::CertificateRevoked => Session::Revoked,
        AlertDescription::CertificateExpired => Session::Expired,
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::CertificateRequired => Session::Refused,
        _ => Session::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    fn read(alert: AlertDescription) -> Session {
        let inner = io::Error::other(rustls::Error::AlertReceived(alert));
        outcome_of(&Outer(io::Error::other(inner)))
    }

    #[test]
    fn only_alerts_about_certificates_say_something_about_the_identity() {
        assert_eq!(read(AlertDescription::CertificateRevoked), Session::Revoked);
        assert_eq!(read(AlertDescription::CertificateExpired), Session::Expired);
        assert_eq!(read(AlertDescription::UnknownCA), Session::Refused);
        assert_eq!(read(AlertDescription::CertificateUnknown), Session::Refused);
        for other in [
            AlertDescription::InternalError,
            AlertDescription::CloseNotify,
            AlertDescription::DecryptError,
        ] {
            assert_eq!(read(other), Session::Unreachable, "{other:?}");
        }
        assert_eq!(
            outcome_of(&rustls::Error::DecryptError),
            Session::Unreachable
        );
    }
}
