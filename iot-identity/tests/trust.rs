//! What a chain says, and what it cannot say.
#![cfg(feature = "cert")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

extern crate alloc;

use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;

use iot_core::crypto::SignatureAlgorithm::{self, EcdsaP256Sha256, Ed25519};
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Principal, Role, TenantId, Timestamp};
use iot_identity::cert::{
    AdmitError, AnchorError, Authority, IssueError, Trust, TrustAnchors, UnverifiedCertificate,
    Validity,
};
use iot_identity::key::PublicKey;
use iot_identity::revocation::{Denied, DenyList, News, Revocations};
use iot_identity::ring::{SoftwareKey, SystemEntropy};
use rustls_pki_types::CertificateDer;

type Chain = Vec<CertificateDer<'static>>;

const DAY: Duration = Duration::from_secs(86_400);
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const WALL: TimeBounds = TimeBounds::exact(NOW);
const HARDWARE: &str = "1.3.6.1.4.1.32473.1";

fn key(algorithm: SignatureAlgorithm) -> SoftwareKey {
    SoftwareKey::generate(algorithm).unwrap()
}

fn public() -> PublicKey {
    PublicKey::of(&key(EcdsaP256Sha256)).unwrap()
}

fn month() -> Validity {
    Validity::lasting(NOW, 30 * DAY).backdated(DAY)
}

fn root(name: &str) -> Authority<SoftwareKey> {
    let mut entropy = SystemEntropy::new();
    Authority::root(key(EcdsaP256Sha256), name, month(), &mut entropy).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn device() -> DeviceId {
    DeviceId::new("boiler-7").unwrap()
}

fn ldevid(of: &Authority<SoftwareKey>) -> CertificateDer<'static> {
    let mut entropy = SystemEntropy::new();
    of.ldevid(&device(), &public(), month(), &mut entropy)
        .unwrap()
}

fn trusting(all: &[(&Authority<SoftwareKey>, &str, Role)]) -> TrustAnchors {
    let mut anchors = TrustAnchors::new();
    for (authority, name, role) in all {
        anchors
            .add(authority.certificate(), tenant(name), *role)
            .unwrap();
    }
    anchors
}

fn verify(anchors: &TrustAnchors, chain: &[CertificateDer<'_>]) -> Result<Principal, AdmitError> {
    anchors.verify(chain, WALL).map(|peer| *peer.principal())
}

#[test]
fn tenant_and_role_come_from_the_anchor_alone() {
    // Same names within a tenant: only the keys of the authorities differ.
    let (one, two, three) = (root("Devices"), root("Rivals"), root("Devices"));
    let anchors = trusting(&[
        (&one, "acme", Role::Device),
        (&two, "rival", Role::Device),
        (&three, "acme", Role::Gateway),
    ]);
    for (authority, name, role) in [
        (&one, "acme", Role::Device),
        (&two, "rival", Role::Device),
        (&three, "acme", Role::Gateway),
    ] {
        let who = verify(&anchors, &[ldevid(authority)]);
        assert_eq!(who, Ok(Principal::new(tenant(name), device(), role)));
    }
    let unknown = verify(&anchors, &[ldevid(&root("Devices"))]);
    assert_eq!(unknown, Err(AdmitError::Untrusted));
}

#[test]
fn an_authority_names_only_peers_of_its_own_role() {
    let mut entropy = SystemEntropy::new();
    let authority = root("Acme");
    let key = public();
    let device_id = device();
    let idevid = authority.idevid(&device_id, HARDWARE, &key, NOW, &mut entropy);
    let service = authority.service(&device_id, &key, month(), &mut entropy);
    let server = authority.server(&["boiler-7"], &key, month(), &mut entropy);
    let all = [
        (ldevid(&authority), &[Role::Device, Role::Gateway][..]),
        (idevid.unwrap(), &[Role::Newcomer]),
        (service.unwrap(), &[Role::Service]),
        (server.unwrap(), &[]),
    ];
    for role in [Role::Newcomer, Role::Device, Role::Gateway, Role::Service] {
        let anchors = trusting(&[(&authority, "acme", role)]);
        for (certificate, good) in &all {
            let who = verify(&anchors, core::slice::from_ref(certificate));
            let expected = if good.contains(&role) {
                Ok(Principal::new(tenant("acme"), device(), role))
            } else {
                Err(AdmitError::Profile)
            };
            assert_eq!(who, expected, "{role:?}");
        }
    }
}

#[test]
fn an_anchor_ends_the_chain_even_when_a_higher_one_is_trusted_too() {
    let mut entropy = SystemEntropy::new();
    let high = root("High");
    let low = high.subordinate(key(EcdsaP256Sha256), "Low", month(), &mut entropy);
    let low = low.unwrap();
    let chain = [ldevid(&low), low.certificate().clone()];
    let both = trusting(&[(&high, "high", Role::Gateway), (&low, "low", Role::Device)]);
    let who = verify(&both, &chain).unwrap();
    assert_eq!((who.tenant, who.role), (tenant("low"), Role::Device));

    // Without the lower anchor the same chain is the higher one's.
    let only = trusting(&[(&high, "high", Role::Gateway)]);
    assert_eq!(verify(&only, &chain).unwrap().tenant, tenant("high"));
    assert_eq!(verify(&only, &chain[..1]), Err(AdmitError::Untrusted));
}

#[test]
fn an_authority_below_another_has_none_below_itself() {
    let mut entropy = SystemEntropy::new();
    let top = root("Top");
    let middle = top.subordinate(key(EcdsaP256Sha256), "Middle", month(), &mut entropy);
    let middle = middle.unwrap();
    let bottom = middle.subordinate(key(EcdsaP256Sha256), "Bottom", month(), &mut entropy);
    let bottom = bottom.unwrap();
    let anchors = trusting(&[(&top, "acme", Role::Device)]);
    let chain: Chain = vec![
        ldevid(&bottom),
        bottom.certificate().clone(),
        middle.certificate().clone(),
    ];
    assert_eq!(verify(&anchors, &chain), Err(AdmitError::Untrusted));
    // A device's certificate cannot stand above another.
    let leaf = ldevid(&top);
    assert_eq!(
        anchors.clone().add(&leaf, tenant("x"), Role::Device),
        Err(AnchorError::NotAnAuthority)
    );
    assert_eq!(
        anchors
            .clone()
            .add(top.certificate(), tenant("x"), Role::Service),
        Err(AnchorError::Taken)
    );
}

#[test]
fn no_authority_has_the_name_of_another_tenants() {
    let (ours, theirs) = (root("Acme"), root("Acme"));
    let mut anchors = trusting(&[(&ours, "acme", Role::Device)]);
    assert_eq!(
        anchors.add(theirs.certificate(), tenant("other"), Role::Device),
        Err(AnchorError::Named)
    );
    // One tenant may have several authorities of one name, as after a change of its key.
    assert_eq!(
        anchors.add(theirs.certificate(), tenant("acme"), Role::Device),
        Ok(())
    );
    let other = root("Other");
    let mut entropy = SystemEntropy::new();
    let posing = other.subordinate(key(EcdsaP256Sha256), "Acme", month(), &mut entropy);
    let posing = posing.unwrap();
    let chain = [ldevid(&posing), posing.certificate().clone()];
    let alone = trusting(&[(&other, "other", Role::Device)]);
    assert!(verify(&alone, &chain).is_ok());
    let both = trusting(&[
        (&ours, "acme", Role::Device),
        (&other, "other", Role::Device),
    ]);
    assert_eq!(verify(&both, &chain), Err(AdmitError::Profile));
}

#[test]
fn every_changed_byte_is_refused() {
    let authority = root("Acme");
    let anchors = trusting(&[(&authority, "acme", Role::Device)]);
    let good = ldevid(&authority);
    assert!(verify(&anchors, core::slice::from_ref(&good)).is_ok());
    for at in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut bad = good.to_vec();
            bad[at] ^= bit;
            let bad = [CertificateDer::from(bad)];
            assert!(
                verify(&anchors, &bad).is_err(),
                "byte {at} was changed and accepted"
            );
        }
    }
}

#[test]
fn hostile_chains_are_refused() {
    let authority = root("Acme");
    let anchors = trusting(&[(&authority, "acme", Role::Device)]);
    let leaf = ldevid(&authority);
    assert_eq!(verify(&anchors, &[]), Err(AdmitError::NoCertificate));
    let garbage = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    assert_eq!(
        verify(&anchors, core::slice::from_ref(&garbage)),
        Err(AdmitError::Malformed)
    );
    assert_eq!(
        verify(&anchors, &[leaf.clone(), garbage]),
        Err(AdmitError::Malformed)
    );
    assert_eq!(
        verify(&anchors, &vec![leaf.clone(); 7]),
        Err(AdmitError::TooLong)
    );
    assert_eq!(
        verify(&TrustAnchors::new(), &[leaf]),
        Err(AdmitError::Untrusted)
    );
    assert!(verify(&anchors, &[authority.certificate().clone()]).is_err());
}

#[test]
fn only_proved_time_admits() {
    let mut entropy = SystemEntropy::new();
    let authority = Authority::root(
        key(EcdsaP256Sha256),
        "Acme",
        Validity::for_ever(Timestamp::EPOCH),
        &mut entropy,
    )
    .unwrap();
    let anchors = trusting(&[(&authority, "acme", Role::Device)]);
    let validity = Validity::lasting(NOW, 30 * DAY);
    let leaf = authority.ldevid(&device(), &public(), validity, &mut entropy);
    let leaf = [leaf.unwrap()];
    let day = |n: u32| NOW.before(100 * DAY).after(n * DAY);
    let between = |a, b| TimeBounds::between(day(a), day(b)).unwrap();
    for (wall, expected) in [
        (TimeBounds::exact(day(100)), Ok(())),
        (TimeBounds::exact(day(130)), Ok(())),
        (TimeBounds::exact(day(131)), Err(AdmitError::Expired)),
        (TimeBounds::exact(day(99)), Err(AdmitError::NotYetValid)),
        (between(101, 120), Ok(())),
        (between(90, 120), Err(AdmitError::TimeUncertain)),
        (between(101, 140), Err(AdmitError::TimeUncertain)),
        (between(90, 140), Err(AdmitError::TimeUncertain)),
        (between(131, 140), Err(AdmitError::Expired)),
        (between(90, 99), Err(AdmitError::NotYetValid)),
        (
            TimeBounds::at_least(day(101)),
            Err(AdmitError::TimeUncertain),
        ),
        (TimeBounds::at_least(day(131)), Err(AdmitError::Expired)),
        (TimeBounds::UNKNOWN, Err(AdmitError::TimeUncertain)),
    ] {
        let found = anchors.verify(&leaf, wall).map(|_| ());
        assert_eq!(found, expected, "{wall:?}");
    }
}

#[test]
fn a_factory_identity_is_valid_without_an_upper_bound_of_the_time() {
    let mut entropy = SystemEntropy::new();
    let authority = Authority::root(
        key(Ed25519),
        "Factory",
        Validity::for_ever(Timestamp::EPOCH),
        &mut entropy,
    )
    .unwrap();
    let idevid = authority.idevid(&device(), HARDWARE, &public(), NOW, &mut entropy);
    let idevid = idevid.unwrap();
    let view = UnverifiedCertificate::parse(&idevid).unwrap();
    // IEEE 802.1AR: "99991231235959Z".
    assert!(
        idevid
            .windows(17)
            .any(|bytes| bytes == b"\x18\x0f99991231235959Z")
    );
    assert_eq!(view.not_before(), NOW);
    let anchors = trusting(&[(&authority, "acme", Role::Newcomer)]);
    assert!(anchors.verify(&[idevid], TimeBounds::at_least(NOW)).is_ok());

    let odd = DeviceId::new("boiler_7").unwrap();
    let refused = authority.idevid(&odd, HARDWARE, &public(), NOW, &mut entropy);
    assert_eq!(refused, Err(IssueError::Name));
}

#[test]
fn each_way_to_deny_refuses_and_nothing_else_does() {
    let mut entropy = SystemEntropy::new();
    let top = root("Top");
    let middle = top.subordinate(key(EcdsaP256Sha256), "Middle", month(), &mut entropy);
    let middle = middle.unwrap();
    let anchors = trusting(&[(&top, "acme", Role::Device)]);
    let chain = [ldevid(&middle), middle.certificate().clone()];
    let peer = anchors.verify(&chain, WALL).unwrap();
    assert_eq!(peer.links().len(), 2);
    let mut ways = vec![Denied::Device(tenant("acme"), device())];
    for &(certificate, key) in peer.links() {
        ways.extend([Denied::Certificate(certificate), Denied::Key(key)]);
    }
    for way in ways {
        let trust = Trust::new(anchors.clone(), Revocations::default());
        let other = [ldevid(&top)];
        assert!(trust.principal(&chain, WALL).is_ok());
        trust.revocations().deny(way);
        assert_eq!(
            trust.principal(&chain, WALL),
            Err(AdmitError::Revoked),
            "{way:?}"
        );
        // Another certificate of the same device is refused only when the device itself is.
        let whole_device = matches!(way, Denied::Device(..));
        assert_eq!(trust.principal(&other, WALL).is_err(), whole_device);
    }
    let trust = Trust::new(anchors, Revocations::default());
    trust
        .revocations()
        .deny(Denied::Device(tenant("rival"), device()));
    assert!(trust.principal(&chain, WALL).is_ok());
}

#[test]
fn an_authority_comes_back_from_its_key_and_certificate() {
    let mut entropy = SystemEntropy::new();
    let signer = key(EcdsaP256Sha256);
    let own = Authority::root(&signer, "Acme", month(), &mut entropy).unwrap();
    let again = Authority::resume(&signer, own.certificate().clone()).unwrap();
    let mut anchors = TrustAnchors::new();
    anchors
        .add(own.certificate(), tenant("acme"), Role::Device)
        .unwrap();
    let leaf = again.ldevid(&device(), &public(), month(), &mut entropy);
    assert!(verify(&anchors, &[leaf.unwrap()]).is_ok());

    let other = key(EcdsaP256Sha256);
    let refused = Authority::resume(&other, own.certificate().clone());
    assert!(matches!(refused, Err(IssueError::NotTheAuthority)));
    let leaf = own.ldevid(
        &device(),
        &PublicKey::of(&other).unwrap(),
        month(),
        &mut entropy,
    );
    let refused = Authority::resume(&other, leaf.unwrap());
    assert!(matches!(refused, Err(IssueError::NotTheAuthority)));
}

#[test]
fn local_denials_and_issued_lists_do_not_undo_each_other() {
    let (tenant, names) = (
        tenant("acme"),
        ["x", "y"].map(|n| DeviceId::new(n).unwrap()),
    );
    let [x, y] = names.map(|name| Denied::Device(tenant, name));
    let revocations = Revocations::new(DenyList::new(7));
    let denied = || names.map(|name| revocations.is_denied(&tenant, &name, &[]));
    assert!(revocations.deny(y));
    assert!(!revocations.deny(y));
    assert_eq!(denied(), [false, true]);

    let mut eighth = DenyList::new(8);
    eighth.insert(x);
    assert_eq!(revocations.replace(eighth.clone()), Ok(()), "outrun");
    assert_eq!(denied(), [true, true]);
    assert_eq!(
        (revocations.issued(), revocations.local()),
        (eighth, vec![y])
    );

    assert_eq!(revocations.replace(DenyList::new(9)), Ok(()));
    assert_eq!(denied(), [false, true], "re-admitted");
    let mut other = DenyList::new(9);
    other.insert(x);
    let stale = revocations.replace(other).unwrap_err();
    assert_eq!((stale.current, stale.offered), (9, 9));

    assert!(revocations.withdraw(&y));
    assert!(!revocations.withdraw(&y));
    assert_eq!(denied(), [false, false]);
}

#[test]
fn subscribers_hear_of_every_new_entry_after_it_holds() {
    let revocations = Revocations::default();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (inner, list) = (revocations.clone(), Arc::clone(&heard));
    let subscription = revocations.subscribe(move |news| {
        let News::Denied(Denied::Device(tenant, device)) = news else {
            return;
        };
        let holds = inner.is_denied(tenant, device, &[]);
        list.lock().unwrap().push((*device, holds));
    });
    let entry = |name| Denied::Device(tenant("acme"), DeviceId::new(name).unwrap());
    revocations.deny(entry("a"));
    revocations.deny(entry("a"));
    let mut list = DenyList::new(9);
    list.insert(entry("a"));
    list.insert(entry("b"));
    revocations.replace(list.clone()).unwrap();
    // What the list says already is no news when it is denied here, too.
    revocations.deny(entry("b"));
    revocations.replace(list).unwrap();
    drop(subscription);
    revocations.deny(entry("c"));
    let names = ["a", "b"].map(|name| (DeviceId::new(name).unwrap(), true));
    assert_eq!(*heard.lock().unwrap(), names);
}
