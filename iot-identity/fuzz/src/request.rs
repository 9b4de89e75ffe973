//! Certification requests.

use iot_core::DeviceId;
use iot_core::crypto::SignatureAlgorithm::{EcdsaP256Sha256, Ed25519};
use iot_identity::cert::path::OWN_ALGORITHMS;
use iot_identity::cert::{CertificationRequest, Request, RequestError, csr};
use iot_identity::ring::SoftwareKey;

/// What is a device's request is a request, and nothing is one whose bytes were changed.
pub fn run(data: &[u8]) {
    let any = CertificationRequest::parse(data, OWN_ALGORITHMS);
    let ours = Request::parse(data);
    match (&any, &ours) {
        (Ok(any), Ok(ours)) => {
            assert_eq!(ours.public_key().spki_parts().concat(), any.spki());
        }
        (Ok(_), Err(error)) => assert!(matches!(error, RequestError::Subject | RequestError::Key)),
        (Err(one), Err(other)) => assert_eq!(one, other),
        (Err(error), Ok(_)) => panic!("a device's request that is none: {error}"),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let device = DeviceId::new("boiler-7").expect("a name");
    let write = |algorithm| {
        let key = SoftwareKey::generate(algorithm).expect("randomness");
        let mut buffer = [0; csr::MAX_CSR_BYTES];
        let der = csr::write(&device, &key, &mut buffer).expect("a request");
        der.to_vec()
    };
    vec![write(EcdsaP256Sha256), write(Ed25519)]
}

#[test]
fn every_seed_is_a_request_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Request::parse(&seed).is_ok());
        run(&seed);
    }
}
