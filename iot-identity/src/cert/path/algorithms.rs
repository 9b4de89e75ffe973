//! The algorithms of `ring`, for hosts.

use super::Algorithms;

/// What this SDK issues: P-256 with SHA-256, and Ed25519.
pub static OWN_ALGORITHMS: Algorithms = &[webpki::ring::ECDSA_P256_SHA256, webpki::ring::ED25519];

/// P-256, P-384, Ed25519 and RSA from 2048 bits on, for authorities of others.
pub static COMMON_ALGORITHMS: Algorithms = &[
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
    webpki::ring::ED25519,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
];
