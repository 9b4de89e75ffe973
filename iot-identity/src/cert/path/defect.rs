//! What is wrong with one certificate, by the rule it breaks.

/// A rule of the RFC 5280 profile that a certificate breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Defect {
    /// It is not DER, or not a certificate.
    #[error("not a certificate in DER (RFC 5280 §4.1)")]
    Encoding,
    /// It has more bytes, extensions or names than are read.
    #[error("more bytes, extensions or names than are read")]
    TooLarge,
    /// It is not of version 3.
    #[error("not of version 3 (RFC 5280 §4.1.2.1)")]
    Version,
    /// Its serial number is not positive or has more than 20 octets.
    #[error("the serial number is not positive, or longer than 20 octets (RFC 5280 §4.1.2.2)")]
    Serial,
    /// The signed algorithm is not the one beside the signature.
    #[error("two different signature algorithms (RFC 5280 §4.1.1.2)")]
    Algorithm,
    /// Its issuer is empty.
    #[error("no issuer (RFC 5280 §4.1.2.4)")]
    Issuer,
    /// Its dates are written in the wrong form or end before they begin.
    #[error("dates in the wrong form or order (RFC 5280 §4.1.2.5)")]
    Dates,
    /// It names nobody.
    #[error("no subject, and no critical alternative name (RFC 5280 §4.1.2.6)")]
    Subject,
    /// Its key is of no accepted kind.
    #[error("a key of a kind that is not accepted")]
    Key,
    /// It has unique identifiers.
    #[error("unique identifiers (RFC 5280 §4.1.2.8)")]
    UniqueId,
    /// An extension appears twice.
    #[error("an extension appears twice (RFC 5280 §4.2)")]
    DuplicateExtension,
    /// A critical extension is not understood.
    #[error("a critical extension that is not understood (RFC 5280 §4.2)")]
    CriticalExtension,
    /// A key identifier is missing, critical, or not that of the issuer.
    #[error("a key identifier is missing, critical or another's (RFC 5280 §4.2.1.1, §4.2.1.2)")]
    KeyIdentifier,
    /// Its key usage contradicts its role.
    #[error("the key usage contradicts the role (RFC 5280 §4.2.1.3)")]
    KeyUsage,
    /// Its alternative names are malformed.
    #[error("malformed alternative names (RFC 5280 §4.2.1.6)")]
    AlternativeName,
    /// Its basic constraints are not those of an authority, or contradict themselves.
    #[error("basic constraints of no authority (RFC 5280 §4.2.1.9)")]
    BasicConstraints,
    /// A leaf is the certificate of an authority.
    #[error("the certificate of an authority where a peer's is wanted (RFC 5280 §4.2.1.9)")]
    AuthorityAsLeaf,
    /// Its name constraints are malformed, or it is no authority's.
    #[error("malformed or misplaced name constraints (RFC 5280 §4.2.1.10)")]
    NameConstraints,
    /// Its extended key usage is malformed.
    #[error("malformed extended key usage (RFC 5280 §4.2.1.12)")]
    ExtendedKeyUsage,
    /// Another extension that is read is malformed.
    #[error("a malformed extension (RFC 5280 §4.2)")]
    Extension,
}
