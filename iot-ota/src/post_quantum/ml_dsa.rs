//! ML-DSA-44 (FIPS 204), on the RustCrypto crate.

use core::fmt;

use iot_core::crypto::{BadSignature, SignatureAlgorithm, Verifier};
use ml_dsa::signature::MultipartVerifier;
use ml_dsa::{MlDsa44, Signature, VerifyingKey};

const KEY_BYTES: usize = 1_312;

/// Checks ML-DSA-44 signatures (FIPS 204 algorithm 3, with an empty context; COSE -48).
///
/// It is 25 kB in size, for it holds the matrix that the public key stands for; a signature has 2,420 bytes.
///
/// ```
/// use iot_core::crypto::{SignatureAlgorithm, Verifier};
/// let verifier = iot_ota::post_quantum::MlDsa44Verifier::new(&[7; 1_312]);
/// assert_eq!(verifier.algorithm(), SignatureAlgorithm::MlDsa44);
/// assert!(verifier.verify(&[b"message"], &[0; 2_420]).is_err());
/// assert!(size_of_val(&verifier) < 25_000);
/// ```
#[derive(Clone)]
pub struct MlDsa44Verifier(VerifyingKey<MlDsa44>);

impl MlDsa44Verifier {
    /// Takes the public key as FIPS 204 encodes it (`pkEncode`): any 1,312 bytes are one.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(VerifyingKey::decode(key.into()))
    }
}

impl Verifier for MlDsa44Verifier {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::MlDsa44
    }

    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        let signature = Signature::try_from(signature).map_err(|_| BadSignature::new())?;
        self.0
            .multipart_verify(message, &signature)
            .map_err(|_| BadSignature::new())
    }
}

impl fmt::Debug for MlDsa44Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsa44Verifier")
    }
}
