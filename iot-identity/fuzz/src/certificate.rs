//! Fields of a certificate that nobody has verified.

use iot_identity::cert::UnverifiedCertificate;

use crate::forge::{COMMON_NAME, Draft, Key, UTF8, name};

/// What is read lies in the bytes that came, and is read again from a copy of them.
pub fn run(data: &[u8]) {
    let Some(view) = UnverifiedCertificate::parse(data) else {
        return;
    };
    for part in [view.serial(), view.issuer(), view.subject(), view.spki()] {
        let within = part.is_empty() || data.windows(part.len()).any(|some| some == part);
        assert!(within, "a field that is not in the certificate");
    }
    let copy = data.to_vec();
    assert_eq!(UnverifiedCertificate::parse(&copy), Some(view));
    if let Some(key) = view.public_key() {
        assert_eq!(key.spki_parts().concat(), view.spki());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let subject = |text| name(&[(COMMON_NAME, UTF8, text)]);
    let (root, key) = (key(), key());
    vec![
        Draft::new(subject("Root"), &root, &subject("Root"), &root, true).sign(&root),
        Draft::new(subject("a"), &key, &subject("Root"), &root, false).sign(&root),
    ]
}

pub(crate) fn key() -> Key {
    Key::new(iot_core::crypto::SignatureAlgorithm::Ed25519)
}

#[test]
fn every_seed_is_a_certificate_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(UnverifiedCertificate::parse(&seed).is_some());
        run(&seed);
    }
}
