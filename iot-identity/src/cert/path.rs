//! Chains judged by the profile of RFC 5280, strictly.
//!
//! A path is searched from the leaf up, and every rule is applied to each certificate before the search goes
//! on with it. So what a path breaks, another path may still keep; and no path that is found breaks anything.
//! It allocates nothing, so hosts and chips share it; each brings the algorithms it can verify: `OWN_ALGORITHMS`
//! (feature `cert`), `rustcrypto::ALGORITHMS`, or those of a secure element.
//!
//! Stricter than RFC 5280 on purpose: version 3 only, no authority as a leaf, no purpose that means any, no
//! anchor with a purpose, no wildcard directly below a top-level domain, no common name of a server that is an
//! address its alternative names lack, and names compared byte by byte from one certificate to the next.

#[cfg(feature = "cert")]
mod algorithms;
mod anchor;
pub(super) mod certificate;
mod constraints;
mod crl;
mod defect;
pub(super) mod directory;
pub(super) mod encoding;
pub(super) mod extensions;
pub(super) mod general_name;
#[cfg(feature = "embedded-tls")]
mod handshake;
mod limits;
pub(super) mod profile;
pub(super) mod purpose;
mod search;
pub(super) mod signature;

use heapless::Vec;
use iot_core::time::TimeBounds;

use self::certificate::Certificate;
use self::search::Search;

#[cfg(feature = "cert")]
pub use self::algorithms::{COMMON_ALGORITHMS, OWN_ALGORITHMS};
pub use self::anchor::Anchor;
pub use self::crl::{Crl, CrlError, Freshness, StatusError};
pub use self::defect::Defect;
pub use self::limits::{
    MAX_CERTIFICATE_BYTES, MAX_EXTENSIONS, MAX_INTERMEDIATES, MAX_NAMES, MAX_OFFERED,
};
pub use self::purpose::Purpose;
pub use self::signature::Algorithms;

/// Why there is no path that may be trusted; of several reasons, the one of the path that came furthest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PathError {
    /// More certificates were offered than are looked at.
    #[error("more certificates were offered beside the leaf than are looked at")]
    TooMany,
    /// The leaf breaks the profile.
    #[error("the leaf: {0}")]
    Leaf(Defect),
    /// The leaf is not for this purpose, or its key may not sign.
    #[error("the certificate is not for this purpose (RFC 5280 §4.2.1.12)")]
    Purpose,
    /// The leaf is of another server, or its common name says so.
    #[error("the certificate is not that of the server that was asked for")]
    ServerName,
    /// No anchor is reached.
    #[error("no trust anchor is reached")]
    NoAnchor,
    /// The certificate of an authority breaks the profile.
    #[error("an authority's certificate: {0}")]
    Authority(Defect),
    /// There are more authorities in a row than allowed.
    #[error("more authorities in a row than allowed (RFC 5280 §4.2.1.9)")]
    PathLength,
    /// A name is not one that an authority may give.
    #[error("a name outside of an authority's name constraints (RFC 5280 §4.2.1.10)")]
    NameConstraints,
    /// A signature is wrong, or made with an algorithm that is not accepted.
    #[error("a certificate is not signed by its issuer")]
    Signature,
    /// A certificate has expired.
    #[error("a certificate has expired")]
    Expired,
    /// A certificate is not valid yet.
    #[error("a certificate is not valid yet")]
    NotYetValid,
    /// The clock's bounds do not prove that every certificate is valid now.
    #[error("the time is too uncertain to judge the certificates: set the clock")]
    TimeUncertain,
    /// Whether a certificate is revoked is not known.
    #[error("the status of a certificate: {0}")]
    Status(StatusError),
    /// A certificate is revoked.
    #[error("a certificate is revoked")]
    Revoked,
    /// The search was ended: what was offered would take too long to judge.
    #[error("the certificates offered take too long to judge")]
    Exhausted,
}

/// A path that was verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Path<'c> {
    // Those behind the first `len` are empty.
    certificates: [&'c [u8]; MAX_INTERMEDIATES + 1],
    len: usize,
    anchor: usize,
}

impl<'c> Path<'c> {
    /// The certificates in DER, the leaf first, the anchor's left out.
    #[must_use]
    pub fn certificates(&self) -> &[&'c [u8]] {
        self.certificates.get(..self.len).unwrap_or(&[])
    }

    /// The place of the anchor in the list that was given.
    #[must_use]
    pub const fn anchor(&self) -> usize {
        self.anchor
    }
}

/// What a path is held against.
///
/// ```
/// # #[cfg(feature = "cert")] {
/// use core::time::Duration;
/// use iot_core::{DeviceId, Timestamp, crypto::SignatureAlgorithm, time::TimeBounds};
/// use iot_identity::cert::path::{Anchor, PathError, PathPolicy, Purpose};
/// use iot_identity::cert::{Authority, Validity};
/// use iot_identity::{key::PublicKey, ring::{SoftwareKey, SystemEntropy}};
///
/// let new_key = || SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256);
/// let now = Timestamp::from_secs(1_800_000_000);
/// let day = Validity::lasting(now, Duration::from_secs(86_400));
/// let authority = Authority::root(new_key()?, "Acme services", day, &mut SystemEntropy::new())?;
/// let public = PublicKey::of(&new_key()?)?;
/// let broker = authority.server(&["mqtt.example.com"], &public, day, &mut SystemEntropy::new())?;
///
/// let anchors = [Anchor::new(authority.certificate())?];
/// let ask = |name: &'static str| {
///     let policy = PathPolicy::new(TimeBounds::exact(now), Purpose::Server(name.try_into().unwrap()));
///     policy.verify(&broker, &[], &anchors).map(|path| path.anchor())
/// };
/// assert_eq!(ask("mqtt.example.com"), Ok(0));
/// assert_eq!(ask("mqtt.example.org"), Err(PathError::ServerName));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PathPolicy<'a> {
    wall: TimeBounds,
    purpose: Purpose<'a>,
    algorithms: Algorithms,
    max_intermediates: usize,
    anchors_expire: bool,
    status: Option<(&'a [Crl<'a>], Freshness)>,
}

impl<'a> PathPolicy<'a> {
    /// The algorithms of this SDK from `ring`, otherwise as [`with`](Self::with).
    #[cfg(feature = "cert")]
    pub const fn new(wall: TimeBounds, purpose: Purpose<'a>) -> Self {
        Self::with(OWN_ALGORITHMS, wall, purpose)
    }

    /// These algorithms, at most five intermediates, anchors that expire, no revocation lists.
    ///
    /// ```
    /// # #[cfg(feature = "rustcrypto")] {
    /// use iot_core::time::TimeBounds;
    /// use iot_identity::cert::path::{Anchor, Defect, PathError, PathPolicy, Purpose};
    /// use iot_identity::rustcrypto;
    ///
    /// let purpose = Purpose::Server("mqtt.example.com".try_into().unwrap());
    /// let policy = PathPolicy::with(rustcrypto::ALGORITHMS, TimeBounds::UNKNOWN, purpose);
    /// let anchors: [Anchor<&[u8]>; 0] = []; // on a chip, the bytes that it was provisioned with
    /// let found = policy.verify_few::<2, _>(b"what the server sent", &[], &anchors);
    /// assert_eq!(found, Err(PathError::Leaf(Defect::Encoding)));
    /// # }
    /// ```
    pub const fn with(algorithms: Algorithms, wall: TimeBounds, purpose: Purpose<'a>) -> Self {
        Self {
            wall,
            purpose,
            algorithms,
            max_intermediates: 5,
            anchors_expire: true,
            status: None,
        }
    }

    /// Accepts these algorithms instead.
    pub const fn algorithms(mut self, algorithms: Algorithms) -> Self {
        self.algorithms = algorithms;
        self
    }

    /// Accepts at most so many authorities below the anchor, self-issued ones not counted (RFC 5280 §6.1).
    pub const fn max_intermediates(mut self, count: usize) -> Self {
        self.max_intermediates = count;
        self
    }

    /// Trusts an anchor for as long as it is in the list, whatever its own dates say (RFC 5280 §6.2).
    pub const fn anchors_without_dates(mut self) -> Self {
        self.anchors_expire = false;
        self
    }

    /// Wants to know of every certificate of the path, from these lists, that it is not revoked.
    pub const fn status(mut self, lists: &'a [Crl<'a>], freshness: Freshness) -> Self {
        self.status = Some((lists, freshness));
        self
    }

    /// Searches a path from `leaf` over some of the certificates `offered` to one of the `anchors`.
    ///
    /// The order of `offered` does not matter, and what cannot be read among them is as if it were not there.
    ///
    /// # Errors
    ///
    /// [`PathError`]; nothing of the chain may be trusted.
    pub fn verify<'c, D: AsRef<[u8]>>(
        &self,
        leaf: &'c [u8],
        offered: &[&'c [u8]],
        anchors: &[Anchor<D>],
    ) -> Result<Path<'c>, PathError> {
        self.verify_few::<MAX_OFFERED, D>(leaf, offered, anchors)
    }

    /// The same, where at most `OFFERED` certificates are looked at beside the leaf: each takes some 200 bytes of a
    /// chip's stack.
    ///
    /// # Errors
    ///
    /// [`PathError`]; nothing of the chain may be trusted.
    pub fn verify_few<'c, const OFFERED: usize, D: AsRef<[u8]>>(
        &self,
        leaf: &'c [u8],
        offered: &[&'c [u8]],
        anchors: &[Anchor<D>],
    ) -> Result<Path<'c>, PathError> {
        if offered.len() > OFFERED {
            return Err(PathError::TooMany);
        }
        let leaf = Certificate::read(leaf).map_err(PathError::Leaf)?;
        profile::leaf(&leaf).map_err(PathError::Leaf)?;
        if !signature::knows(self.algorithms, &leaf.key) {
            return Err(PathError::Leaf(Defect::Key));
        }
        if !self.purpose.allows_leaf(&leaf) {
            return Err(PathError::Purpose);
        }
        if !self.purpose.names(&leaf) {
            return Err(PathError::ServerName);
        }
        let mut unread = None;
        let mut between = Vec::<_, OFFERED>::new();
        for der in offered {
            match Certificate::read(der) {
                Ok(read) => between.push(read).map_err(|_| PathError::TooMany)?,
                Err(defect) => unread = unread.or(Some(defect)),
            }
        }
        Search::new(self, anchors, &between, unread).run(&leaf)
    }
}
