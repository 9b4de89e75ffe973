//! Servers that leave out what they cannot prove. embedded-tls itself goes on with them.

use embedded_io::ErrorKind;
use embedded_tls::blocking::TlsConnection;
use embedded_tls::{TlsConfig, TlsContext, TlsError};
use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_identity::cert::path::{Anchor, PathError};
use iot_identity::embedded_tls::{ConnectError, connect};

use crate::rogue::{Part, Rogue};
use crate::world::{Ask, HOST, RECORD, World};

/// What comes of a server that sends these parts, and whether it was shown the device's certificate.
fn meet(world: &World, parts: &[Part]) -> (Result<(), ConnectError>, bool) {
    let ask = Ask::usual(world);
    let (policy, anchors) = (ask.policy(), [Anchor::of(ask.anchor).unwrap()]);
    let client = world.client(&policy, &anchors);
    let rogue = Rogue::new(parts);
    let (mut read, mut write) = ([0; RECORD], [0; RECORD]);
    let found = connect(rogue.clone(), &mut read, &mut write, client).map(|_| ());
    (found, rogue.saw(&world.certificate))
}

#[test]
fn a_server_that_proves_nothing_is_refused_and_learns_nothing() {
    let world = World::new();
    let (_, leaf) = world.leaf(EcdsaP256Sha256);
    let leaf = Part::Certificate(leaf.to_vec());
    for parts in [
        &[Part::Finished][..],
        &[Part::Request, Part::Finished],
        &[leaf.clone(), Part::Finished],
        &[Part::Request, leaf.clone(), Part::Finished],
        &[leaf.clone(), leaf.clone(), Part::Finished],
        &[Part::Signature, Part::Finished],
        &[Part::Signature, leaf, Part::Finished],
    ] {
        let (found, saw) = meet(&world, parts);
        assert!(
            matches!(found, Err(ConnectError::Unauthenticated)),
            "{parts:?}: {found:?}"
        );
        assert!(!saw, "{parts:?}");
    }
}

#[test]
fn a_record_that_holds_nothing_ends_the_link_and_not_the_program() {
    let world = World::new();
    let (found, _) = meet(&world, &[Part::Empty]);
    let told = |error| {
        matches!(
            error,
            ConnectError::Tls(TlsError::Io(ErrorKind::InvalidData))
        )
    };
    assert!(found.is_err_and(told));
}

/// What makes the first test one of ours: without the check, the connection would stand.
#[test]
fn embedded_tls_alone_goes_on_with_a_server_that_proves_nothing() {
    let world = World::new();
    let ask = Ask::usual(&world);
    let (policy, anchors) = (ask.policy(), [Anchor::of(ask.anchor).unwrap()]);
    let mut client = world.client(&policy, &anchors);
    let (mut read, mut write) = ([0; RECORD], [0; RECORD]);
    let mut tls = TlsConnection::new(Rogue::new(&[Part::Finished]), &mut read, &mut write);
    let config = TlsConfig::new().with_server_name(HOST);
    assert!(tls.open(TlsContext::new(&config, &mut client)).is_ok());
    assert!(client.server().verdict().is_err());
}

#[test]
fn a_name_in_the_handshake_is_that_of_the_policy() {
    let world = World::new();
    let ask = Ask::usual(&world);
    let (policy, anchors) = (ask.policy(), [Anchor::of(ask.anchor).unwrap()]);
    let mut client = world.client(&policy, &anchors);
    let (mut read, mut write) = ([0; RECORD], [0; RECORD]);
    let wire = crate::wire::Wire::new(&world.usual_front());
    let mut tls = TlsConnection::new(wire, &mut read, &mut write);
    let config = TlsConfig::new().with_server_name("mqtt.example.org");
    assert!(tls.open(TlsContext::new(&config, &mut client)).is_err());
    let found = client.server().verdict();
    assert!(matches!(
        found,
        Err(ConnectError::Server(PathError::ServerName))
    ));
}
