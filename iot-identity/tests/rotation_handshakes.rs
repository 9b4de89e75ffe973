//! Mutual TLS while both sides' certificates are rotated: no handshake fails, and sessions that stand go on.
//!
//! `IOT_HANDSHAKES` says how many; 400 otherwise.
#![cfg(all(feature = "tls", feature = "sim"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

extern crate alloc;

#[path = "support/carry.rs"]
mod carry;
#[allow(dead_code, reason = "the tests of rotation use more of it")]
#[path = "rotation/site.rs"]
mod site;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::RwLock;
use std::thread;

use iot_core::time::TimeBounds;
use iot_identity::cert::{Authority, Validity};
use iot_identity::key::{PublicKey, SharedKey};
use iot_identity::ring::{SoftwareKey, SystemEntropy};
use iot_identity::rotate::{Identity, Standing};
use iot_identity::tls::{ClientBuilder, Clock, Credential, Credentials, ServerBuilder};
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;

use carry::{connect, talk};
use site::{DAY, Device, HOUR, START, Site, authority, new_key};

fn handshakes() -> u64 {
    let count = std::env::var("IOT_HANDSHAKES").ok();
    count.map_or(400, |count| count.parse().unwrap())
}

fn shown(server: &ServerConnection) -> CertificateDer<'static> {
    server.peer_certificates().unwrap()[0].clone()
}

/// What the rotation calls current.
fn current(device: &Device) -> Credential {
    let Identity::Own(slot) = device.rotation.identity() else {
        panic!("it is not enrolled");
    };
    let chain = device.rotation.chain(slot);
    let chain = chain
        .map(|der| CertificateDer::from(der.to_vec()))
        .collect();
    Credential::new(
        SharedKey::new(Arc::clone(&device.keys), slot).unwrap(),
        chain,
    )
    .unwrap()
}

fn server_of(services: &Authority<SoftwareKey>, at: Duration) -> Credential {
    let key = new_key();
    let public = PublicKey::of(&key).unwrap();
    let validity = Validity::lasting(START.after(at), 30 * DAY).backdated(DAY);
    let chain = services
        .server(&["localhost"], &public, validity, &mut SystemEntropy::new())
        .unwrap();
    Credential::new(key, vec![chain]).unwrap()
}

#[test]
fn no_handshake_fails_while_certificates_are_rotated() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.runs(&mut site, HOUR);
    let services = authority("services");
    let time = Arc::new(AtomicU64::new(device.time.as_secs()));
    let clock = Arc::clone(&time);
    let clock = Clock::new(move || {
        let now = Duration::from_secs(clock.load(Ordering::Relaxed));
        TimeBounds::exact(START.after(now))
    });
    let own = Credentials::new(current(&device));
    let other = Credentials::new(server_of(&services, device.time));
    let client = ClientBuilder::new([services.certificate()])
        .unwrap()
        .credentials(&own)
        .clock(clock.clone())
        .build()
        .unwrap();
    let server = ServerBuilder::new(other.clone(), site.trust.clone())
        .clock(clock)
        .build()
        .unwrap();
    // One that stands while everything is replaced.
    let (mut old_client, mut old_server) = connect(&client, &server).unwrap();

    let (done, failed, count) = (AtomicU64::new(0), AtomicU64::new(0), handshakes());
    // Held by whoever is in a handshake: the overlap is longer than one.
    let in_flight = RwLock::new(());
    let rotations = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::Relaxed) < count {
                // Not all of them before the next rotation, whoever is given the processor.
                if done.load(Ordering::Relaxed) >= (rotations.load(Ordering::Relaxed) + 1) * 40 {
                    thread::yield_now();
                    continue;
                }
                let begun = in_flight.read().unwrap();
                if let Err(error) = connect(&client, &server) {
                    println!("{error}");
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                done.fetch_add(1, Ordering::Relaxed);
                drop(begun);
            }
        });
        while done.load(Ordering::Relaxed) < count {
            // Not faster than the handshakes, or decades would pass.
            if done.load(Ordering::Relaxed) < rotations.load(Ordering::Relaxed) * 10 {
                thread::yield_now();
                continue;
            }
            let before = device.rotation.identity();
            device.rotation.renew();
            device.runs_until(&mut site, HOUR, |device| {
                device.rotation.standing() == Standing::Enrolled
                    && device.rotation.identity() != before
            });
            let replaced = own.swap(current(&device));
            assert_ne!(replaced.chain(), own.current().chain());
            other.swap(server_of(&services, device.time));
            drop(in_flight.write().unwrap());
            // The overlap passes, and the old key is destroyed.
            device.runs(&mut site, DAY + HOUR);
            time.store(device.time.as_secs(), Ordering::Relaxed);
            let held = device.keys_held();
            assert_eq!(held.iter().filter(|&&held| held).count(), 1);
            rotations.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (failed, rotations) = (failed.into_inner(), rotations.into_inner());
    println!(
        "handshakes={} failed={failed} rotations={rotations}",
        done.into_inner()
    );
    assert_eq!(failed, 0);
    assert!(rotations > 3, "only {rotations} rotations");
    talk(&mut old_client, &mut old_server).unwrap();
    let (_, new_server) = connect(&client, &server).unwrap();
    assert_ne!(shown(&old_server), shown(&new_server));
    assert_eq!(shown(&new_server), own.current().chain()[0]);
}
