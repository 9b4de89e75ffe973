//! The strict reading of certificates, and all rules of both kinds of device identity.

use iot_identity::cert::UnverifiedCertificate;
use iot_identity::cert::lint::{Finding, idevid, ldevid};
use iot_identity::cert::path::Defect;

/// What the strict reader takes, the plain one takes too.
pub fn run(data: &[u8]) {
    let found = [idevid(data), ldevid(data)];
    let unread = |defect| {
        found
            .iter()
            .any(|all| all.contains(&Finding::Profile(defect)))
    };
    let read = found
        .iter()
        .any(|all| !matches!(all[..], [Finding::Profile(_)]));
    if read && !unread(Defect::Encoding) {
        assert!(UnverifiedCertificate::parse(data).is_some());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    use iot_core::crypto::SignatureAlgorithm::{EcdsaP256Sha256, Ed25519};
    use iot_core::{DeviceId, Timestamp};
    use iot_identity::cert::{Authority, Validity};
    use iot_identity::key::PublicKey;
    use iot_identity::ring::{SoftwareKey, SystemEntropy};

    let now = Timestamp::from_secs(1_800_000_000);
    let key = |algorithm| SoftwareKey::generate(algorithm).expect("randomness");
    let mut entropy = SystemEntropy::new();
    let day = Validity::short_lived(now);
    let root = Authority::root(key(Ed25519), "Acme", day, &mut entropy).expect("a root");
    let device = DeviceId::new("a").expect("a name");
    let public = PublicKey::of(&key(EcdsaP256Sha256)).expect("a key");
    let idevid = root.idevid(&device, "1.3.6.1.4.1.32473.1", &public, now, &mut entropy);
    let ldevid = root.ldevid(&device, &public, day, &mut entropy);
    let server = root.server(&["mqtt.example.com"], &public, day, &mut entropy);
    let all = [idevid, ldevid, server].map(|one| one.expect("a certificate").to_vec());
    all.to_vec()
}

#[test]
fn every_seed_is_read_and_keeps_the_claims() {
    let seeds = seeds();
    assert_eq!((idevid(&seeds[0]).len(), ldevid(&seeds[1]).len()), (0, 0));
    for seed in seeds {
        run(&seed);
    }
}
