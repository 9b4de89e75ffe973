//! Credentials that change while messages are under way.

use std::sync::{Arc, Mutex};

use iot_core::port::Transport;
use iot_core::{Event, Fate, Message, Principal, Role};
use iot_transport::gate::Refusal;
use iot_transport::mqtt::{Client, ConnectError, Tls, Version};

use crate::common::{PATIENCE, device_settings, drain, settled, until};
use crate::site::Site;

const MESSAGES: usize = 200;

async fn load(device: &mut Client<Tls>) {
    for number in 0..MESSAGES {
        let number = number.to_be_bytes();
        device.submit(&Message::telemetry(&number)).await.unwrap();
    }
}

/// Nobody knows `device` by these certificates any more.
fn forget(site: &Site, device: &str, certificates: &[Vec<u8>]) {
    let is_it =
        |who: &Result<Principal, Refusal>| who.is_ok_and(|who| who.device.as_str() == device);
    let mut known = site.pki.names.lock().unwrap();
    known.retain(|certificate, who| !(certificates.contains(certificate) && is_it(who)));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_from_the_chosen_moment_on_and_nothing_is_lost() {
    for version in [Version::V3, Version::V5] {
        let site = Site::new().await;
        let mut service = site.service().await;
        let current = Arc::new(Mutex::new(site.pki.client("d1", Role::Device)));
        let source = current.clone();
        let address = site.listening.address().to_string();
        let tls = Tls::with_source(address, "localhost", move || source.lock().unwrap().clone());
        let settings = device_settings("d1").with_version(version);
        let mut device = Client::new(tls.unwrap(), settings);
        load(&mut device).await;
        let mut fates = settled(&mut device, 50).await;

        // From now on whoever shows the old certificate is turned away.
        let names: Vec<_> = site.pki.names.lock().unwrap().keys().cloned().collect();
        *current.lock().unwrap() = site.pki.client("d1", Role::Device);
        forget(&site, "d1", &names);
        device.reconnect(PATIENCE);

        let mut buffer = [0; 64];
        let mut swapped = false;
        let rest = async {
            while fates.len() < MESSAGES || !swapped {
                match device.next(&mut buffer).await.unwrap() {
                    Event::Settled { ticket, fate } => assert_eq!(fates.insert(ticket, fate), None),
                    event => swapped |= matches!(event, Event::Connected { .. }),
                }
            }
        };
        tokio::time::timeout(PATIENCE, rest).await.unwrap();
        assert!(fates.values().all(|fate| *fate == Fate::Delivered));
        assert_eq!(device.stats().connections, 2);
        assert_eq!(site.stages(), [], "the old certificate was shown again");
        assert_eq!(drain(&mut service, MESSAGES).await.len(), MESSAGES);
    }
}

#[tokio::test]
async fn credentials_that_are_refused_can_be_taken_back_and_nothing_is_lost() {
    let site = Site::new().await;
    let mut service = site.service().await;
    let mut device = site.client("d1", device_settings("d1"));
    device.connected(PATIENCE).await.unwrap();
    let nobody = site.tls(site.pki.config(None));
    let good = device.reconnect_through(nobody, PATIENCE);
    load(&mut device).await;
    until(&mut device, |event| matches!(event, Event::Disconnected)).await;
    let error = device.connected(PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Rejected(_)), "{error}");
    load(&mut device).await;
    device.reconnect_through(good, PATIENCE);
    settled(&mut device, MESSAGES).await;
    assert_eq!(drain(&mut service, MESSAGES).await.len(), MESSAGES);
}
