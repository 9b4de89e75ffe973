//! Who lost an identity keeps nothing that went with it.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use iot_core::port::Transport;
use iot_core::{Channel, DeviceId, Event, Message, Role};
use iot_transport::gate::{Gate, Refusal, Stage};
use iot_transport::mqtt::{Client, Hub, Tls};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{self, PATIENCE, device_settings, drain, service_settings, tenant, until};
use crate::hub::{packet, text};
use crate::site::{Pki, Site};

type Raw = tokio_rustls::client::TlsStream<TcpStream>;

/// `d1` over raw TLS, connected with a will for its own telemetry.
async fn with_will(address: SocketAddr, config: Arc<ClientConfig>) -> Raw {
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    let name = "localhost".try_into().unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0b0000_1110, 0, 0];
    for field in ["d1", "iot/1/acme/d1/telemetry/up", "will"] {
        body.extend([0, u8::try_from(field.len()).unwrap()]);
        body.extend(field.as_bytes());
    }
    let length = u8::try_from(body.len()).unwrap();
    stream.write_all(&[0x10, length]).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    stream
}

/// Cuts `d1` with `cut` and asserts that its will is not published then.
async fn cut_without_a_will(hub: &Hub, gate: &Gate, pki: &Pki, address: SocketAddr) {
    let open = |config| Tls::new(address.to_string(), "localhost", config).unwrap();
    let service = pki.client("backend", Role::Service);
    let mut service = Client::new(open(service), service_settings());
    service.subscribe(Channel::Telemetry).await.unwrap();
    service.connected(PATIENCE).await.unwrap();
    common::subscribed(hub, &mut service, 1).await;
    let config = pki.client("d1", Role::Device);

    // Before it is revoked the will is published, or its silence below would prove nothing.
    drop(with_will(address, config.clone()).await);
    assert_eq!(drain(&mut service, 1).await[0].3, b"will");
    let mut device = with_will(address, config).await;
    pki.revoke("d1");
    assert_eq!(gate.on_revoked(), 1);
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, device.read_to_end(&mut rest)).await;
    end.expect("the session was not ended").unwrap();
    let other = pki.client("d2", Role::Device);
    let mut other = Client::new(open(other), device_settings("d2"));
    other.submit(&Message::telemetry(b"after")).await.unwrap();
    common::settled(&mut other, 1).await;
    assert_eq!(drain(&mut service, 1).await[0].3, b"after");
}

/// `d1` over raw TLS with a session and a will that waits for a second.
async fn with_waiting_will(address: SocketAddr, config: Arc<ClientConfig>) -> Raw {
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    let name = "localhost".try_into().unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let fixed = [0, 4, b'M', b'Q', b'T', b'T', 5, 0b110, 0, 0];
    let (kept, delay) = ([5, 0x11, 0, 0, 1, 0], [5, 0x18, 0, 0, 0, 1]);
    let topic = text("iot/1/acme/d1/telemetry/up");
    let hello = [
        &fixed[..],
        &kept,
        &text("d1"),
        &delay,
        &topic,
        &text("will"),
    ];
    stream.write_all(&packet(0x10, &hello)).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 0x20);
    stream
}

#[tokio::test]
async fn a_will_that_waits_is_not_spoken_for_who_was_revoked_meanwhile() {
    let site = Site::new().await;
    let mut service = site.service().await;
    let config = site.pki.client("d1", Role::Device);
    let mut other = site.client("d2", device_settings("d2"));
    // The first is heard, or the silence of the second would prove nothing.
    for revoked in [false, true] {
        let before = site.hub.stats().connected;
        let device = with_waiting_will(site.listening.address(), config.clone()).await;
        drop(device);
        while site.hub.stats().connected > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if revoked {
            site.pki.revoke("d1");
            assert_eq!(site.gate.on_revoked(), 0, "it is away");
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            other.submit(&Message::telemetry(b"after")).await.unwrap();
            common::settled(&mut other, 1).await;
        }
        let expected: &[u8] = if revoked { b"after" } else { b"will" };
        assert_eq!(drain(&mut service, 1).await[0].3, expected);
    }
}

#[tokio::test]
async fn the_will_of_a_revoked_device_is_not_published_by_the_hub() {
    let site = Site::new().await;
    cut_without_a_will(&site.hub, &site.gate, &site.pki, site.listening.address()).await;
}

#[tokio::test]
async fn the_will_of_a_revoked_device_is_not_published_by_a_broker() {
    let (pki, hub) = (Pki::new(), Hub::default());
    let broker = hub.listen("127.0.0.1:0").await.unwrap();
    let gate = pki.gate().to_broker(broker.address().to_string());
    let listening = gate.listen("127.0.0.1:0").await.unwrap();
    cut_without_a_will(&hub, &gate, &pki, listening.address()).await;
}

#[tokio::test]
async fn a_live_session_does_not_outlive_its_certificate() {
    let site = Site::with(|gate| gate.with_recheck(Duration::from_millis(50))).await;
    let mut device = site.client("d1", device_settings("d1"));
    let mut other = site.client("d2", device_settings("d2"));
    device.connected(PATIENCE).await.unwrap();
    other.connected(PATIENCE).await.unwrap();
    // Time passes, and nobody tells the gate.
    for entry in site.pki.names.lock().unwrap().values_mut() {
        if entry.is_ok_and(|who| who.device.as_str() == "d1") {
            *entry = Err(Refusal::Expired);
        }
    }
    until(&mut device, |event| matches!(event, Event::Disconnected)).await;
    assert_eq!(site.stages()[0], Stage::Admit);
    assert!(other.is_connected());
    assert_eq!(site.hub.stats().connected, 1);
}

#[tokio::test]
async fn a_newcomer_does_not_inherit_the_session_of_the_device_it_was() {
    let site = Site::new().await;
    let mut device = site.client("d1", device_settings("d1"));
    device.subscribe(Channel::Command).await.unwrap();
    common::subscribed(&site.hub, &mut device, 1).await;
    device.close(PATIENCE).await;
    let service = site.pki.client("backend", Role::Service);
    let mut service = Client::new(site.tls(service), service_settings());
    let (tenant, d1) = (tenant(), DeviceId::new("d1").unwrap());
    let command = Message::new(Channel::Command, b"secret").to(iot_core::Peer::new(&tenant, &d1));
    service.submit(&command).await.unwrap();
    common::settled(&mut service, 1).await;
    assert_eq!(site.hub.stats().queued, 1);

    // The operational certificate is revoked, the one of the factory is not.
    site.pki.revoke("d1");
    let newcomer = site.pki.client("d1", Role::Newcomer);
    let mut newcomer = Client::new(site.tls(newcomer), device_settings("d1"));
    newcomer.connected(PATIENCE).await.unwrap();
    let stats = site.hub.stats();
    assert_eq!((stats.sessions, stats.taken_over, stats.queued), (3, 0, 1));
    assert!(site.hub.sessions().contains(&("acme:n:d1".into(), true)));
}
