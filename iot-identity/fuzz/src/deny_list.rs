//! Deny-lists.

use iot_core::{DeviceId, TenantId};
use iot_identity::key::KeyHash;
use iot_identity::revocation::{CertificateId, Denied, DenyList};

/// A list has one encoding, holds what it says, and nothing twice.
pub fn run(data: &[u8]) {
    let Ok(list) = DenyList::decode(data) else {
        return;
    };
    assert_eq!(list.encode(), data);
    assert!(list.iter().all(|entry| list.contains(entry)));
    assert_eq!(list.iter().count(), list.len());
    let mut again = DenyList::new(list.version());
    for entry in list.iter() {
        assert!(again.insert(*entry));
    }
    assert_eq!(again, list);
}

/// An empty list, and one with entries of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut list = DenyList::new(7);
    let empty = list.encode();
    let tenant = TenantId::new("acme").expect("a name");
    let device = DeviceId::new("boiler-7").expect("a name");
    list.insert(Denied::Device(tenant, device));
    list.insert(Denied::Key(KeyHash::new([7; 32])));
    for serial in [&[1][..], &[9; 20]] {
        let id = CertificateId::new([3; 32], serial).expect("a serial number");
        list.insert(Denied::Certificate(id));
    }
    vec![empty, list.encode()]
}

#[test]
fn every_seed_is_a_list_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(DenyList::decode(&seed).is_ok());
        run(&seed);
    }
}
