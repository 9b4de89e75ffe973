//! A chip's TLS client against the front of this crate, and against servers that lie.
#![cfg(all(feature = "tls", feature = "embedded-tls"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

extern crate alloc;

mod liar;
mod refused;
mod rogue;
mod silent;
mod wire;
mod world;

use iot_core::crypto::{KeyError, Signature, SignatureAlgorithm, Signer};
use iot_core::node::block_on;
use iot_core::time::TimeBounds;
use iot_identity::cert::path::{Anchor, PathPolicy, Purpose};
use iot_identity::embedded_tls::{Client, ClientError, ConnectError, connect, connect_async};
use iot_identity::ring::SystemEntropy;
use iot_identity::rustcrypto;

use wire::Wire;
use world::{Ask, NOW, RECORD, World};

#[test]
fn a_chip_and_a_front_prove_themselves_to_each_other() {
    let world = World::new();
    for front in [world.usual_front(), world.ed25519_front()] {
        let wire = world.meet(&front, &Ask::usual(&world)).unwrap();
        assert_eq!(wire.error(), None);
        assert_eq!(wire.heard(), b"hello");
        let peer = world
            .trust
            .principal(&wire.peer(), TimeBounds::exact(NOW))
            .unwrap();
        assert_eq!(peer.peer().device(), "boiler-7");
    }
}

#[test]
fn the_same_handshake_is_awaited() {
    let world = World::new();
    let ask = Ask::usual(&world);
    let (policy, anchors) = (ask.policy(), [Anchor::of(ask.anchor).unwrap()]);
    let wire = Wire::new(&world.usual_front());
    let (mut read, mut write) = ([0; RECORD], [0; RECORD]);
    let client = world.client(&policy, &anchors);
    block_on(async {
        let link = wire.clone();
        let mut tls = connect_async(link, &mut read, &mut write, client)
            .await
            .unwrap();
        tls.write(b"hello").await.unwrap();
        tls.flush().await.unwrap();
        let mut answer = [0; 5];
        assert_eq!(tls.read(&mut answer).await.unwrap(), 5);
        assert_eq!(&answer, b"HELLO");
    });
    assert_eq!(wire.heard(), b"hello");

    let other = world::root("services");
    let others = [Anchor::of(other.certificate()).unwrap()];
    let client = world.client(&policy, &others);
    let wire = Wire::new(&world.usual_front());
    let refused = block_on(connect_async(wire, &mut read, &mut write, client));
    assert!(matches!(refused, Err(ConnectError::Server(_))));
}

/// A key in a store that has lost it.
struct Lost<'k>(&'k rustcrypto::P256Key);

impl Signer for Lost<'_> {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        self.0.public_key(out)
    }
    fn sign(&self, _: &[&[u8]], _: &mut Signature) -> Result<(), KeyError> {
        Err(KeyError::Absent)
    }
}

#[test]
fn a_key_that_cannot_sign_is_an_error_and_no_panic() {
    let world = World::new();
    let ask = Ask::usual(&world);
    let (policy, anchors) = (ask.policy(), [Anchor::of(ask.anchor).unwrap()]);
    let entropy = &mut SystemEntropy::new();
    let lost = Lost(&world.device);
    let client = Client::<_, _, 2>::new(lost, &world.certificate, &policy, &anchors, entropy);
    let wire = Wire::new(&world.usual_front());
    let (mut read, mut write) = ([0; RECORD], [0; RECORD]);
    let found = connect(wire.clone(), &mut read, &mut write, client.unwrap());
    assert!(matches!(found, Err(ConnectError::Key(KeyError::Absent))));
    assert!(wire.error().is_some(), "the front took an empty signature");
}

#[test]
fn a_client_needs_its_own_certificate_and_a_server_to_ask_for() {
    let world = World::new();
    let ask = Ask::usual(&world);
    let anchors = [Anchor::of(ask.anchor).unwrap()];
    let new = |policy: &PathPolicy<'_>, certificate: &[u8]| {
        let entropy = &mut SystemEntropy::new();
        Client::<_, _, 2>::new(&world.device, certificate, policy, &anchors, entropy).map(|_| ())
    };
    let policy = ask.policy();
    let (_, leaf) = world.leaf(SignatureAlgorithm::EcdsaP256Sha256);
    assert_eq!(new(&policy, &world.certificate), Ok(()));
    assert_eq!(new(&policy, &leaf), Err(ClientError::OtherKey));
    assert_eq!(new(&policy, b"none"), Err(ClientError::Certificate));
    for purpose in [Purpose::Any, Purpose::Client] {
        let policy = PathPolicy::with(rustcrypto::ALGORITHMS, ask.wall, purpose);
        let found = new(&policy, &world.certificate);
        assert_eq!(found, Err(ClientError::Purpose));
    }
}
