//! Servers that a chip does not believe, each for its reason.

use alloc::sync::Arc;

use iot_core::Timestamp;
use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyPolicy, KeyStore, SlotId};
use iot_core::time::TimeBounds;
use iot_identity::cert::Authority;
use iot_identity::cert::path::{Defect, PathError};
use iot_identity::embedded_tls::ConnectError;
use iot_identity::key::{PublicKey, SharedKey};
use iot_identity::ring::{SoftwareKeys, SystemEntropy};
use rustls::{ServerConfig, SignatureScheme};

use crate::liar;
use crate::world::{Ask, DAY, HOST, NOW, World, days, key, root};

/// Why the server is refused; it hears nothing inside a connection.
fn refused(world: &World, front: &Arc<ServerConfig>, ask: &Ask<'_>) -> PathError {
    let wire = crate::wire::Wire::new(front);
    let found = world.connect(&wire, ask);
    assert!(wire.is_left_alone());
    match found {
        Err(ConnectError::Server(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_of_another_name_is_refused() {
    let world = World::new();
    let mut ask = Ask::usual(&world);
    for host in ["mqtt.example.org", "example.com", "192.0.2.1"] {
        ask.host = host;
        let error = refused(&world, &world.usual_front(), &ask);
        assert_eq!(error, PathError::ServerName);
    }
}

#[test]
fn a_server_of_another_authority_is_refused() {
    let world = World::new();
    // Of the same name, but with another key; and of another name.
    for (name, expected) in [
        ("services", PathError::Authority(Defect::KeyIdentifier)),
        ("others", PathError::NoAnchor),
    ] {
        let other = root(name);
        let mut ask = Ask::usual(&world);
        ask.anchor = other.certificate();
        assert_eq!(refused(&world, &world.usual_front(), &ask), expected);
    }
}

#[test]
fn a_server_whose_certificate_is_not_valid_now_is_refused() {
    let world = World::new();
    let second = |at: Timestamp| TimeBounds::exact(at);
    let end = NOW.after(DAY);
    for (wall, expected) in [
        (second(end.after(DAY / 86_400)), PathError::Expired),
        (second(NOW.before(DAY)), PathError::NotYetValid),
        (TimeBounds::UNKNOWN, PathError::TimeUncertain),
        (TimeBounds::at_least(NOW), PathError::TimeUncertain),
    ] {
        let mut ask = Ask::usual(&world);
        ask.wall = wall;
        assert_eq!(refused(&world, &world.usual_front(), &ask), expected);
    }
    let mut ask = Ask::usual(&world);
    ask.wall = second(end);
    assert!(world.meet(&world.usual_front(), &ask).is_ok());
}

#[test]
fn an_authority_that_serves_itself_is_refused() {
    let world = World::new();
    let store = Arc::new(SoftwareKeys::new());
    let slot = SlotId::new(0);
    store
        .generate(slot, EcdsaP256Sha256, KeyPolicy::Sign)
        .unwrap();
    let own = || SharedKey::new(Arc::clone(&store), slot).unwrap();
    let below = world
        .services
        .subordinate(own(), HOST, days(1), &mut SystemEntropy::new())
        .unwrap();
    let front = world.front(own(), vec![below.certificate().clone()]);
    let error = refused(&world, &front, &Ask::usual(&world));
    assert_eq!(error, PathError::Leaf(Defect::AuthorityAsLeaf));
}

#[test]
fn a_device_is_no_server() {
    let world = World::new();
    let own = key(EcdsaP256Sha256);
    let public = PublicKey::of(&own).unwrap();
    let name = iot_core::DeviceId::new("boiler-8").unwrap();
    let device = world
        .services
        .ldevid(&name, &public, days(1), &mut SystemEntropy::new())
        .unwrap();
    let front = world.front(own, vec![device]);
    let error = refused(&world, &front, &Ask::usual(&world));
    assert_eq!(error, PathError::Purpose);
}

#[test]
fn a_server_below_an_intermediate_needs_to_send_it_and_not_too_many() {
    let world = World::new();
    let entropy = &mut SystemEntropy::new();
    let below: Authority<_> = world
        .services
        .subordinate(key(EcdsaP256Sha256), "below", days(1), entropy)
        .unwrap();
    let own = key(EcdsaP256Sha256);
    let leaf = below
        .server(&[HOST], &PublicKey::of(&own).unwrap(), days(1), entropy)
        .unwrap();
    let middle = below.certificate().clone();
    let front = world.front(own, vec![leaf.clone()]);
    let ask = Ask::usual(&world);
    let with = |count: usize| {
        let mut chain = vec![leaf.clone()];
        chain.resize(1 + count, middle.clone());
        liar::showing(&front, chain)
    };
    assert!(world.meet(&with(1), &ask).is_ok());
    assert!(world.meet(&with(2), &ask).is_ok());
    let missing = refused(&world, &with(0), &ask);
    assert_eq!(missing, PathError::NoAnchor);
    let many = refused(&world, &with(3), &ask);
    assert_eq!(many, PathError::TooMany);
}

#[test]
fn a_server_that_lacks_the_key_of_its_certificate_is_refused() {
    let world = World::new();
    let ask = Ask::usual(&world);
    let (_, stolen) = world.leaf(EcdsaP256Sha256);
    let usual = world.usual_front();
    for front in [
        liar::showing(&usual, vec![stolen]),
        liar::signing(&usual, |signature| *signature.last_mut().unwrap() ^= 1),
        liar::signing(&usual, Vec::clear),
        liar::signing(&world.ed25519_front(), |signature| signature[0] ^= 1),
        liar::claiming(&usual, SignatureScheme::ED25519),
        liar::claiming(&usual, SignatureScheme::ECDSA_NISTP384_SHA384),
    ] {
        let wire = crate::wire::Wire::new(&front);
        let found = world.connect(&wire, &ask);
        assert!(matches!(found, Err(ConnectError::Signature)), "{found:?}");
        assert!(wire.is_left_alone());
    }
}
