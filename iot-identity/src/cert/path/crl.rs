//! Revocation lists (RFC 5280 §5 and §6.3): complete ones, of the authority that issued the certificate.

use core::time::Duration;

use iot_core::Timestamp;
use iot_core::time::{Proof, TimeBounds};

use super::PathError;
use super::certificate::{Certificate, Signed, is_empty, is_name};
use super::encoding::is_der;
use super::extensions::{authority_key, extension, only};
use super::limits::{Budget, Spent};
use super::signature::{Algorithms, verifies};
use crate::cert::view::date;
use crate::der::{CONTEXT_0, GENERALIZED_TIME, INTEGER, Reader, SEQUENCE, UTC_TIME};

/// The longest list that is read, in bytes.
pub(super) const MAX_CRL_BYTES: usize = 8 << 20;

/// Why a revocation list cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CrlError {
    /// It has more bytes than are read.
    #[error("the revocation list has more than {MAX_CRL_BYTES} bytes")]
    TooLarge,
    /// It is not DER, or no list of version 2 with a next update.
    #[error("not a revocation list of version 2 in DER (RFC 5280 §5.1)")]
    Malformed,
    /// Its number is missing or critical.
    #[error("the list's number is missing or critical (RFC 5280 §5.2.3)")]
    Number,
    /// It does not name its issuer's key.
    #[error("the list does not name its issuer's key (RFC 5280 §5.2.1)")]
    KeyIdentifier,
    /// It has only what changed since another list.
    #[error("a delta list is not supported: fetch the complete one (RFC 5280 §5.2.4)")]
    Delta,
    /// It is for some certificates only, or for those of other issuers.
    #[error("a list for some certificates or other issuers is not supported (RFC 5280 §5.2.5)")]
    Scope,
    /// A critical extension of it, or of an entry, is not understood.
    #[error("a critical extension of the list is not understood (RFC 5280 §5.2)")]
    CriticalExtension,
}

/// Why nothing is known of a certificate's status.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StatusError {
    /// There is no list of its issuer.
    #[error("there is no revocation list of its issuer")]
    Missing,
    /// Its issuer has not signed the list, or may not sign lists.
    #[error("the revocation list is not signed by an issuer that may")]
    Signature,
    /// The list is of the future.
    #[error("the revocation list is not valid yet")]
    NotYetValid,
    /// The list is past its next update, or older than allowed.
    #[error("the revocation list is too old: fetch a new one")]
    Stale,
    /// The clock's bounds do not prove that the list is fresh.
    #[error("the time is too uncertain to tell whether the revocation list is fresh")]
    TimeUncertain,
}

/// How old a list may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Freshness {
    max_age: Option<Duration>,
}

impl Freshness {
    /// Until the next update that the list names.
    #[must_use]
    pub const fn until_next_update() -> Self {
        Self { max_age: None }
    }

    /// Until its next update, and never longer than `age`.
    #[must_use]
    pub const fn at_most(age: Duration) -> Self {
        Self { max_age: Some(age) }
    }
}

/// A revocation list that was read; who signed it is checked when it is used.
#[derive(Clone, Copy, Debug)]
pub struct Crl<'a> {
    signed: Signed<'a>,
    issuer: &'a [u8],
    this_update: Timestamp,
    next_update: Timestamp,
    revoked: &'a [u8],
    key: &'a [u8],
}

impl<'a> Crl<'a> {
    /// Reads a list.
    ///
    /// ```
    /// use iot_identity::cert::path::{Crl, CrlError};
    /// assert_eq!(Crl::parse(b"no list").unwrap_err(), CrlError::Malformed);
    /// ```
    ///
    /// # Errors
    ///
    /// [`CrlError`] with the first rule it breaks.
    pub fn parse(der: &'a [u8]) -> Result<Self, CrlError> {
        if der.len() > MAX_CRL_BYTES {
            return Err(CrlError::TooLarge);
        }
        if !is_der(der) {
            return Err(CrlError::Malformed);
        }
        let (mut found, extensions) = Self::read(der).ok_or(CrlError::Malformed)?;
        let mut outer = Reader::new(extensions);
        let mut list = outer.enter(SEQUENCE).ok_or(CrlError::Number)?;
        let (mut number, mut key) = (false, None);
        while !list.is_empty() {
            let one = extension(&mut list).ok_or(CrlError::Malformed)?;
            let (kind, critical, content) = one;
            match *kind {
                [0x55, 0x1d, 20] if number || critical => return Err(CrlError::Number),
                [0x55, 0x1d, 20] => {
                    let digits = only(content, INTEGER).filter(|digits| digits.len() <= 20);
                    digits.ok_or(CrlError::Number)?;
                    number = true;
                }
                [0x55, 0x1d, 27] => return Err(CrlError::Delta),
                [0x55, 0x1d, 28] => return Err(CrlError::Scope),
                [0x55, 0x1d, 35] if key.is_some() || critical => {
                    return Err(CrlError::KeyIdentifier);
                }
                [0x55, 0x1d, 35] => key = authority_key(content).and_then(|id| id.key),
                _ if critical => return Err(CrlError::CriticalExtension),
                _ => {}
            }
        }
        if !number {
            return Err(CrlError::Number);
        }
        found.key = key.ok_or(CrlError::KeyIdentifier)?;
        found.check_entries()?;
        Ok(found)
    }

    fn read(der: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let signed = Signed::read(der)?;
        let mut tbs = Reader::new(signed.message).enter(SEQUENCE)?;
        (tbs.content(INTEGER)? == [1]).then_some(())?;
        (tbs.content(SEQUENCE)? == signed.algorithm).then_some(())?;
        let issuer = tbs.whole(SEQUENCE)?;
        (is_name(issuer) && !is_empty(issuer)).then_some(())?;
        let (this_update, next_update) = (date(&mut tbs)?, date(&mut tbs)?);
        (this_update <= next_update).then_some(())?;
        let (mut revoked, mut extensions): (&[u8], &[u8]) = (&[], &[]);
        while !tbs.is_empty() {
            let (tag, content, _) = tbs.any()?;
            match tag {
                // "When there are no revoked certificates, the revoked certificates list MUST be absent."
                SEQUENCE if revoked.is_empty() && extensions.is_empty() && !content.is_empty() => {
                    revoked = content;
                }
                CONTEXT_0 if extensions.is_empty() => extensions = content,
                _ => return None,
            }
        }
        let found = Self {
            signed,
            issuer,
            this_update,
            next_update,
            revoked,
            key: &[],
        };
        Some((found, extensions))
    }

    fn check_entries(&self) -> Result<(), CrlError> {
        let mut entries = Reader::new(self.revoked);
        while !entries.is_empty() {
            let entry = entries.enter(SEQUENCE).ok_or(CrlError::Malformed)?;
            let extensions = entry_extensions(entry).ok_or(CrlError::Malformed)?;
            let Some(mut list) = extensions else { continue };
            while !list.is_empty() {
                match extension(&mut list).ok_or(CrlError::Malformed)? {
                    // The certificate's issuer: a list of several authorities.
                    ([0x55, 0x1d, 29], _, _) => return Err(CrlError::Scope),
                    (_, true, _) => return Err(CrlError::CriticalExtension),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn names(&self, serial: &[u8]) -> bool {
        let mut entries = Reader::new(self.revoked);
        core::iter::from_fn(|| entries.enter(SEQUENCE))
            .any(|mut entry| entry.content(INTEGER) == Some(serial))
    }

    /// The first moment it speaks of.
    #[must_use]
    pub const fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// When a newer one is due.
    #[must_use]
    pub const fn next_update(&self) -> Timestamp {
        self.next_update
    }
}

/// What stands behind an entry's serial number and date, if anything.
fn entry_extensions(mut entry: Reader<'_>) -> Option<Option<Reader<'_>>> {
    entry.content(INTEGER)?;
    let (tag, _, _) = entry.any()?;
    matches!(tag, UTC_TIME | GENERALIZED_TIME).then_some(())?;
    if entry.is_empty() {
        return Some(None);
    }
    let list = entry.enter(SEQUENCE)?;
    entry.is_empty().then_some(Some(list))
}

/// Whether one certificate is revoked.
pub(super) struct Question<'q> {
    pub(super) certificate: &'q Certificate<'q>,
    pub(super) issuer: &'q Certificate<'q>,
    pub(super) wall: TimeBounds,
    pub(super) algorithms: Algorithms,
    pub(super) freshness: Freshness,
}

impl Question<'_> {
    /// `Ok` when a fresh list does not name it, and no list does, however old.
    pub(super) fn answer(
        &self,
        lists: &[Crl<'_>],
        budget: &mut Budget,
    ) -> Result<Result<(), PathError>, Spent> {
        let mut status = Err(StatusError::Missing);
        for list in lists {
            let key = self.issuer.extensions.subject_key;
            if list.issuer != self.issuer.subject || key != Some(list.key) {
                continue;
            }
            let usage = self.issuer.extensions.key_usage;
            budget.signature()?;
            let good = usage.is_some_and(|usage| usage.signs_lists())
                && verifies(self.algorithms, &self.issuer.key, &list.signed);
            if !good {
                status = status.map_err(|_| StatusError::Signature);
                continue;
            }
            // What was revoked once stays revoked, however old the list is that says so.
            if list.names(self.certificate.serial) {
                return Ok(Err(PathError::Revoked));
            }
            status = status.or_else(|_| self.fresh(list));
        }
        Ok(status.map_err(PathError::Status))
    }

    fn fresh(&self, list: &Crl<'_>) -> Result<(), StatusError> {
        let mut until = list.next_update;
        if let Some(age) = self.freshness.max_age {
            until = until.min(list.this_update.after(age));
        }
        match self.wall.reached(list.this_update) {
            Proof::No => return Err(StatusError::NotYetValid),
            Proof::Yes => {}
            _ => return Err(StatusError::TimeUncertain),
        }
        match self.wall.reached(until.after(Duration::from_millis(1))) {
            Proof::No => Ok(()),
            Proof::Yes => Err(StatusError::Stale),
            _ => Err(StatusError::TimeUncertain),
        }
    }
}
