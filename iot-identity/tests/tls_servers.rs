//! A client judges its server: who it connects to, and one test for each reason to refuse.
#![cfg(feature = "tls")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test may fail loudly"
)]

extern crate alloc;

#[path = "support/carry.rs"]
mod carry;
#[allow(dead_code, reason = "other tests forge more")]
#[path = "support/forge.rs"]
mod forge;

use alloc::sync::Arc;
use core::time::Duration;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{Digest, Signer};
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Now, Role, TenantId, Timestamp};
use iot_identity::cert::path::{COMMON_ALGORITHMS, Defect, PathError};
use iot_identity::cert::{Authority, Trust, TrustAnchors, UnverifiedCertificate, Validity};
use iot_identity::key::PublicKey;
use iot_identity::revocation::{CertificateId, CompactWriter, Denied, Revocations};
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier, SystemEntropy};
use iot_identity::tls::{ClientBuilder, Clock, Credential, ServerBuilder, TlsError};
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};

use forge::{COMMON_NAME, Draft, Key, UTF8, seq, tlv};

const DAY: Duration = Duration::from_secs(86_400);

type Chain = Vec<CertificateDer<'static>>;
type Ca = Authority<SoftwareKey>;

fn now() -> Timestamp {
    Now::system().wall.not_before()
}

/// A day from yesterday on, and one from today on.
fn valid() -> Validity {
    Validity::lasting(now(), DAY).backdated(DAY)
}

fn key() -> SoftwareKey {
    SoftwareKey::generate(EcdsaP256Sha256).unwrap()
}

fn root(name: &str) -> Ca {
    let validity = Validity::lasting(now(), 100 * DAY).backdated(100 * DAY);
    Authority::root(key(), name, validity, &mut SystemEntropy::new()).unwrap()
}

fn below(authority: &Ca, name: &str) -> Ca {
    let made = authority.subordinate(key(), name, valid(), &mut SystemEntropy::new());
    made.unwrap()
}

fn name(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

/// A key, and the chain that `issue` makes for it.
fn made(issue: impl FnOnce(&PublicKey) -> Chain) -> Credential {
    let key = key();
    let chain = issue(&PublicKey::of(&key).unwrap());
    Credential::new(key, chain).unwrap()
}

fn server(by: &Ca, dns: &str, validity: Validity) -> Credential {
    made(|key| {
        let made = by.server(&[dns], key, validity, &mut SystemEntropy::new());
        vec![made.unwrap()]
    })
}

fn localhost(by: &Ca) -> Credential {
    server(by, "localhost", valid())
}

fn client(roots: &Ca) -> ClientBuilder {
    ClientBuilder::new([roots.certificate()]).unwrap()
}

/// A client of anybody's, before a server that shows this.
struct Front {
    devices: Ca,
    trust: Trust,
}

impl Front {
    fn new() -> Self {
        let devices = root("devices");
        let mut anchors = TrustAnchors::new();
        let tenant = TenantId::new("acme").unwrap();
        anchors
            .add(devices.certificate(), tenant, Role::Device)
            .unwrap();
        let trust = Trust::new(anchors, Revocations::default());
        Self { devices, trust }
    }

    fn connects(&self, client: ClientBuilder, shown: &Credential) -> Result<(), Error> {
        let own = made(|key| {
            let made =
                self.devices
                    .ldevid(&name("boiler-7"), key, valid(), &mut SystemEntropy::new());
            vec![made.unwrap()]
        });
        let client = client.credential(&own).build().unwrap();
        let server = ServerBuilder::new(shown.clone(), self.trust.clone());
        carry::connect(&client, &server.build().unwrap()).map(drop)
    }
}

fn connects(client: ClientBuilder, shown: &Credential) -> Result<(), Error> {
    Front::new().connects(client, shown)
}

/// What the client's side of the handshake says was wrong.
fn refusal(client: ClientBuilder, shown: &Credential) -> CertificateError {
    match connects(client, shown) {
        Err(Error::InvalidCertificate(error)) => error,
        other => panic!("not refused for its certificate: {other:?}"),
    }
}

/// The reason, where rustls has no word for it.
fn reason(client: ClientBuilder, shown: &Credential) -> PathError {
    match refusal(client, shown) {
        CertificateError::Other(other) => *other.0.downcast_ref().unwrap(),
        other => panic!("rustls has a word for it: {other:?}"),
    }
}

#[test]
fn a_server_of_a_trusted_authority_is_connected_to_also_over_another_one() {
    let services = root("services");
    assert_eq!(connects(client(&services), &localhost(&services)), Ok(()));
    let middle = below(&services, "middle");
    let with_middle = made(|key| {
        let leaf = middle.server(&["localhost"], key, valid(), &mut SystemEntropy::new());
        vec![leaf.unwrap(), middle.certificate().clone()]
    });
    assert_eq!(connects(client(&services), &with_middle), Ok(()));
    // The root may be shown, too.
    let with_root = made(|key| {
        let leaf = services.server(&["localhost"], key, valid(), &mut SystemEntropy::new());
        vec![leaf.unwrap(), services.certificate().clone()]
    });
    assert_eq!(connects(client(&services), &with_root), Ok(()));
    // Without the one between nothing leads to the root.
    let error = refusal(client(&services), &localhost(&middle));
    assert_eq!(error, CertificateError::UnknownIssuer);
}

#[test]
fn a_server_of_another_authority_is_refused_even_when_that_has_the_same_name() {
    let (services, namesake) = (root("services"), root("services"));
    for other in [namesake, root("others")] {
        let error = refusal(client(&services), &localhost(&other));
        assert_eq!(error, CertificateError::UnknownIssuer);
    }
}

#[test]
fn a_server_of_another_name_is_refused() {
    let services = root("services");
    for dns in ["localhost.example", "*.localhost.example", "local"] {
        let error = refusal(client(&services), &server(&services, dns, valid()));
        assert_eq!(error, CertificateError::NotValidForName, "{dns}");
    }
    // A wildcard directly below a top-level domain names nobody.
    let error = reason(
        client(&services),
        &server(&services, "*.localhost", valid()),
    );
    assert_eq!(error, PathError::Leaf(Defect::AlternativeName));
}

#[test]
fn a_clients_certificate_is_no_servers() {
    let services = root("services");
    for role in [Role::Device, Role::Service] {
        let shown = made(|key| {
            let (who, mut entropy) = (name("localhost"), SystemEntropy::new());
            let made = match role {
                Role::Device => services.ldevid(&who, key, valid(), &mut entropy),
                _ => services.service(&who, key, valid(), &mut entropy),
            };
            vec![made.unwrap()]
        });
        let error = refusal(client(&services), &shown);
        assert_eq!(error, CertificateError::InvalidPurpose);
        let by_name = client(&services).service(name("localhost"));
        let error = refusal(by_name, &shown);
        assert_eq!(error, CertificateError::InvalidPurpose);
    }
}

#[test]
fn a_certificate_is_valid_at_every_moment_that_the_bounds_allow_or_it_is_refused() {
    let services = root("services");
    let shown = localhost(&services);
    let at = |wall: TimeBounds| client(&services).clock(Clock::new(move || wall));
    let between = |from, to| TimeBounds::between(from, to).unwrap();
    let (today, tomorrow) = (now(), now().after(2 * DAY));
    let (yesterday, before) = (now().before(DAY / 2), now().before(3 * DAY));
    // The device's own clock is not the server's, so only the server's certificate is judged here.
    assert_eq!(connects(at(between(yesterday, today)), &shown), Ok(()));
    for (wall, error) in [
        (TimeBounds::exact(tomorrow), CertificateError::Expired),
        (TimeBounds::at_least(tomorrow), CertificateError::Expired),
        (TimeBounds::exact(before), CertificateError::NotValidYet),
    ] {
        assert_eq!(refusal(at(wall), &shown), error, "{wall:?}");
    }
    for wall in [
        between(today, tomorrow),
        between(before, today),
        TimeBounds::at_least(today),
        TimeBounds::UNKNOWN,
    ] {
        assert_eq!(reason(at(wall), &shown), PathError::TimeUncertain);
        // Who accepts that: at some moment it is valid.
        let trusting = at(wall).danger_accept_uncertain_time();
        assert_eq!(connects(trusting, &shown), Ok(()), "{wall:?}");
    }
    let trusting = at(between(before, before.after(DAY))).danger_accept_uncertain_time();
    assert_eq!(refusal(trusting, &shown), CertificateError::NotValidYet);
}

#[test]
fn an_authority_above_that_has_expired_is_refused_but_a_root_does_not_expire() {
    let past = Validity::lasting(now().before(9 * DAY), DAY);
    let old = Authority::root(key(), "old", past, &mut SystemEntropy::new()).unwrap();
    assert_eq!(connects(client(&old), &localhost(&old)), Ok(()));
    let middle = old.subordinate(key(), "middle", past, &mut SystemEntropy::new());
    let middle = middle.unwrap();
    let shown = made(|key| {
        let leaf = middle.server(&["localhost"], key, valid(), &mut SystemEntropy::new());
        vec![leaf.unwrap(), middle.certificate().clone()]
    });
    assert_eq!(refusal(client(&old), &shown), CertificateError::Expired);
}

#[test]
fn an_authority_that_serves_itself_is_refused() {
    let own = Arc::new(key());
    let services = Authority::root(Shared(own.clone()), "a", valid(), &mut SystemEntropy::new());
    let certificate = services.unwrap().certificate().clone();
    let roots = ClientBuilder::new([&certificate]).unwrap();
    let shown = Credential::new(Shared(own), vec![certificate]).unwrap();
    assert_eq!(
        reason(roots, &shown),
        PathError::Leaf(Defect::AuthorityAsLeaf)
    );
}

/// A key in two hands.
struct Shared(Arc<SoftwareKey>);

impl Signer for Shared {
    fn algorithm(&self) -> iot_core::crypto::SignatureAlgorithm {
        self.0.algorithm()
    }
    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], iot_core::crypto::KeyError> {
        self.0.public_key(out)
    }
    fn sign(
        &self,
        message: &[&[u8]],
        out: &mut iot_core::crypto::Signature,
    ) -> Result<(), iot_core::crypto::KeyError> {
        self.0.sign(message, out)
    }
}

#[test]
fn more_authorities_in_a_row_than_allowed_are_refused() {
    let services = root("services");
    let middle = below(&services, "middle");
    let lower = below(&middle, "lower");
    let shown = made(|key| {
        let leaf = lower.server(&["localhost"], key, valid(), &mut SystemEntropy::new());
        vec![
            leaf.unwrap(),
            lower.certificate().clone(),
            middle.certificate().clone(),
        ]
    });
    assert_eq!(reason(client(&services), &shown), PathError::PathLength);
}

/// A server of a forged chain: both certificates may be wrong in any way.
fn forged(change: impl FnOnce(&mut Draft, &mut Draft)) -> (ClientBuilder, Credential) {
    let called = |text| forge::name(&[(COMMON_NAME, UTF8, text)]);
    let (top, own) = (Key::new(EcdsaP256Sha256), Key::new(EcdsaP256Sha256));
    let mut authority = Draft::new(called("Root"), &top, &called("Root"), &top, true);
    let mut leaf = Draft::new(called("Server"), &own, &called("Root"), &top, false);
    leaf.put(17, false, &seq(&[tlv(0x82, b"localhost")]));
    leaf.put(37, false, &seq(&[tlv(6, &[0x2b, 6, 1, 5, 5, 7, 3, 1])]));
    change(&mut authority, &mut leaf);
    let root = CertificateDer::from(authority.sign(&top));
    let leaf = CertificateDer::from(leaf.sign(&top));
    let roots = ClientBuilder::new([&root]).unwrap();
    let clock = Clock::new(|| TimeBounds::exact(Timestamp::from_secs(1_800_000_000)));
    let shown = Credential::new(own.into_signer(), vec![leaf]).unwrap();
    (roots.clock(clock), shown)
}

#[test]
fn a_forged_chain_that_keeps_the_profile_is_connected_to() {
    let (client, shown) = forged(|_, _| {});
    assert_eq!(connects(client, &shown), Ok(()));
}

#[test]
fn what_breaks_the_profile_of_rfc_5280_is_refused_with_the_rule_that_it_breaks() {
    let unknown = || {
        let kind = [0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 9];
        forge::extension(&kind, true, &tlv(5, &[]))
    };
    let (client, shown) = forged(|_, leaf| leaf.extensions.push((0, unknown())));
    let expected = PathError::Leaf(Defect::CriticalExtension);
    assert_eq!(reason(client, &shown), expected);

    let (client, shown) = forged(|_, leaf| leaf.take(35));
    let expected = PathError::Leaf(Defect::KeyIdentifier);
    assert_eq!(reason(client, &shown), expected);

    let (client, shown) = forged(|_, leaf| leaf.serial = tlv(2, &[0xff]));
    assert_eq!(reason(client, &shown), PathError::Leaf(Defect::Serial));

    // Only a common name says who it is.
    let (client, shown) = forged(|_, leaf| {
        leaf.take(17);
        leaf.subject = forge::name(&[(COMMON_NAME, UTF8, "localhost")]);
    });
    let error = refusal(client, &shown);
    assert_eq!(error, CertificateError::NotValidForName);

    // The key may not sign, so it may not serve.
    let (client, shown) = forged(|_, leaf| leaf.put(15, true, &tlv(3, &[5, 0x20])));
    let error = refusal(client, &shown);
    assert_eq!(error, CertificateError::InvalidPurpose);

    // The root itself is limited to other names.
    let (client, shown) = forged(|root, _| {
        let other = seq(&[tlv(0x82, b"example.com")]);
        root.put(30, true, &seq(&[tlv(0xa0, &other)]));
    });
    assert_eq!(reason(client, &shown), PathError::NameConstraints);
}

#[test]
fn a_changed_certificate_is_refused() {
    let services = root("services");
    let shown = made(|key| {
        let leaf = services.server(&["localhost"], key, valid(), &mut SystemEntropy::new());
        let mut leaf = leaf.unwrap().to_vec();
        let end = leaf.len() - 1;
        leaf[end] ^= 1;
        vec![CertificateDer::from(leaf)]
    });
    let error = refusal(client(&services), &shown);
    assert_eq!(error, CertificateError::BadSignature);
}

#[test]
fn a_server_whose_key_certificate_or_authority_is_denied_is_refused() {
    let services = root("services");
    let middle = below(&services, "middle");
    let shown = made(|key| {
        let leaf = middle.server(&["localhost"], key, valid(), &mut SystemEntropy::new());
        vec![leaf.unwrap(), middle.certificate().clone()]
    });
    let issuer = key();
    let verifier = SoftwareVerifier::new(PublicKey::of(&issuer).unwrap());
    for certificate in shown.chain() {
        let view = UnverifiedCertificate::parse(certificate).unwrap();
        let mut hash = Sha256::new();
        let key = view.public_key().unwrap().hash(&mut hash);
        hash.update(view.issuer());
        let id = CertificateId::new(hash.finish(), view.serial()).unwrap();
        for denied in [Denied::Key(key), Denied::Certificate(id)] {
            let revocations = Revocations::default();
            let careful = || client(&services).revocations(&revocations);
            assert_eq!(connects(careful(), &shown), Ok(()));
            revocations.deny(denied);
            assert_eq!(refusal(careful(), &shown), CertificateError::Revoked);
            revocations.withdraw(&denied);
            assert_eq!(connects(careful(), &shown), Ok(()));
            let mut writer = CompactWriter::new(1);
            writer.deny(&denied, &mut hash);
            let list = writer.sign(&issuer).unwrap();
            revocations.install::<Sha256>(&list, &verifier).unwrap();
            assert_eq!(refusal(careful(), &shown), CertificateError::Revoked);
        }
    }
}

#[test]
fn a_service_is_known_by_its_own_name_wherever_it_is_reached() {
    let services = root("services");
    let host = |who: &str, dns: &[&str]| {
        made(|key| {
            let mut entropy = SystemEntropy::new();
            let made = services.service_host(&name(who), dns, key, valid(), &mut entropy);
            vec![made.unwrap()]
        })
    };
    let wants = |who| client(&services).service(name(who));
    for dns in [&[][..], &["elsewhere.example"]] {
        assert_eq!(connects(wants("hall-3"), &host("hall-3", dns)), Ok(()));
        let error = refusal(wants("hall-4"), &host("hall-3", dns));
        assert_eq!(error, CertificateError::NotValidForName);
    }
    // A DNS name is not a service's name, nor the other way round.
    let error = refusal(wants("localhost"), &localhost(&services));
    assert_eq!(error, CertificateError::NotValidForName);
    let error = refusal(client(&services), &host("localhost", &[]));
    assert_eq!(error, CertificateError::NotValidForName);
    // It may be both.
    let both = host("hall-3", &["localhost"]);
    assert_eq!(connects(client(&services), &both), Ok(()));
    assert_eq!(connects(wants("hall-3"), &both), Ok(()));
    // Everything else is judged as ever.
    let error = refusal(client(&root("others")).service(name("hall-3")), &both);
    assert_eq!(error, CertificateError::UnknownIssuer);
}

#[test]
fn a_service_that_does_not_say_that_it_serves_is_refused() {
    let named = |leaf: &mut Draft| leaf.put(17, false, &seq(&[tlv(0x86, b"urn:iot:service:a")]));
    let (client, shown) = forged(|_, leaf| named(leaf));
    assert_eq!(connects(client.service(name("a")), &shown), Ok(()));
    let (client, shown) = forged(|_, leaf| {
        named(leaf);
        leaf.take(37);
    });
    let error = refusal(client.service(name("a")), &shown);
    assert_eq!(error, CertificateError::InvalidPurpose);
    // For anything in particular it may not be, either.
    let (client, shown) = forged(|_, leaf| {
        named(leaf);
        leaf.put(37, false, &seq(&[tlv(6, &[0x55, 0x1d, 0x25, 0])]));
    });
    let error = refusal(client.service(name("a")), &shown);
    assert_eq!(error, CertificateError::InvalidPurpose);
}

/// Two roots, of which the second certifies the first, too, but without its constraints.
#[test]
fn a_chain_ends_at_the_first_root_that_it_reaches() {
    let called = |text| forge::name(&[(COMMON_NAME, UTF8, text)]);
    let [top, lower, own] = [(); 3].map(|()| Key::new(EcdsaP256Sha256));
    let top_root = Draft::new(called("Top"), &top, &called("Top"), &top, true);
    let mut low_root = Draft::new(called("Low"), &lower, &called("Low"), &lower, true);
    let other = seq(&[tlv(0x82, b"example.com")]);
    low_root.put(30, true, &seq(&[tlv(0xa0, &other)]));
    let crossed = Draft::new(called("Low"), &lower, &called("Top"), &top, true);
    let mut leaf = Draft::new(called("Server"), &own, &called("Low"), &lower, false);
    leaf.put(17, false, &seq(&[tlv(0x82, b"localhost")]));
    leaf.put(37, false, &seq(&[tlv(6, &[0x2b, 6, 1, 5, 5, 7, 3, 1])]));
    let [top_root, low_root, leaf, crossed] = [
        top_root.sign(&top),
        low_root.sign(&lower),
        leaf.sign(&lower),
        crossed.sign(&top),
    ]
    .map(CertificateDer::from);
    let shown = Credential::new(own.into_signer(), vec![leaf, crossed]).unwrap();
    let at = Clock::new(|| TimeBounds::exact(Timestamp::from_secs(1_800_000_000)));
    let only_top = ClientBuilder::new([&top_root]).unwrap().clock(at.clone());
    assert_eq!(connects(only_top, &shown), Ok(()));
    let both = ClientBuilder::new([&top_root, &low_root]).unwrap();
    assert_eq!(reason(both.clock(at), &shown), PathError::NameConstraints);
}

#[test]
fn only_the_algorithms_that_are_accepted_will_do() {
    let services = root("services");
    let shown = localhost(&services);
    let common = client(&services).algorithms(COMMON_ALGORITHMS);
    assert_eq!(connects(common, &shown), Ok(()));
    // The second of our own is Ed25519.
    let ed25519 = &iot_identity::cert::path::OWN_ALGORITHMS[1..];
    let error = reason(client(&services).algorithms(ed25519), &shown);
    assert_eq!(error, PathError::Leaf(Defect::Key));
}

#[test]
fn what_is_no_authority_is_no_root() {
    let services = root("services");
    let leaf = localhost(&services).chain()[0].clone();
    let junk = CertificateDer::from(vec![1, 2, 3]);
    for wrong in [&leaf, &junk] {
        let both = [services.certificate(), wrong];
        assert_eq!(ClientBuilder::new(both).err(), Some(TlsError::Roots));
    }
    assert_eq!(ClientBuilder::new([]).err(), Some(TlsError::Roots));
}
