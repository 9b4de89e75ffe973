//! The gate in front of a hub, over real TLS.

use core::net::SocketAddr;
use core::time::Duration;

use iot_core::port::Transport;
use iot_core::{Channel, DeviceId, Event, Fate, Message, Role};
use iot_transport::gate::Stage;
use iot_transport::mqtt::{Client, ConnectError, Hub, Settings, Tls, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{self, PATIENCE, device_settings, drain, service_settings, tenant, until};
use crate::site::{Pki, Site, issuer, leaf};

#[tokio::test]
async fn a_device_and_its_service_talk_through_the_gate() {
    for version in [Version::V3, Version::V5] {
        let site = Site::new().await;
        let mut service = site.service().await;
        let mut device = site.client("d1", device_settings("d1").with_version(version));
        device.submit(&Message::telemetry(b"21.5")).await.unwrap();
        let (fates, heard) = tokio::join!(common::settled(&mut device, 1), drain(&mut service, 1));
        assert!(fates.values().all(|fate| *fate == Fate::Delivered));
        assert_eq!(heard[0].1, "d1");
        assert_eq!(site.stages(), []);
        let names: Vec<_> = site
            .hub
            .sessions()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert!(
            names.contains(&"acme:d:d1".into()),
            "tenant and role are missing in {names:?}"
        );
    }
}

#[tokio::test]
async fn another_devices_client_id_is_refused_at_connect() {
    for (version, expected) in [(Version::V3, 2), (Version::V5, 0x85)] {
        let site = Site::new().await;
        let settings = device_settings("d1")
            .with_client_id("d2")
            .with_version(version);
        let mut thief = site.client("d1", settings);
        let error = thief.connected(PATIENCE).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Refused { code } if code == expected),
            "{error}"
        );
        assert_eq!(site.stages(), [Stage::Connect]);
        assert_eq!(site.hub.stats().accepted, 0);
    }
}

#[tokio::test]
async fn another_devices_topic_ends_the_session_and_nothing_is_delivered() {
    let site = Site::new().await;
    let mut service = site.service().await;
    // It connects as itself and publishes as another.
    let mut thief = site.client("d1", device_settings("d2").with_client_id("d1"));
    thief.submit(&Message::telemetry(b"false")).await.unwrap();
    until(&mut thief, |event| matches!(event, Event::Disconnected)).await;
    let mut honest = site.client("d3", device_settings("d3"));
    honest.submit(&Message::telemetry(b"true")).await.unwrap();
    let (_, heard) = tokio::join!(common::settled(&mut honest, 1), drain(&mut service, 1));
    assert_eq!(heard[0].3, b"true");
    assert!(site.stages().iter().all(|stage| *stage == Stage::Publish));
    assert!(!site.stages().is_empty());
}

#[tokio::test]
async fn a_foreign_filter_ends_the_session() {
    let site = Site::new().await;
    let mut spy = site.client("d1", device_settings("d2").with_client_id("d1"));
    spy.subscribe(Channel::Command).await.unwrap();
    spy.connected(PATIENCE).await.unwrap();
    until(&mut spy, |event| matches!(event, Event::Disconnected)).await;
    assert_eq!(site.stages()[0], Stage::Subscribe);
    assert_eq!(site.hub.stats().subscriptions, 0);
}

#[tokio::test]
async fn a_client_without_a_certificate_or_of_another_authority_fails_in_the_handshake() {
    let site = Site::new().await;
    let stranger = leaf(&issuer(), "client.example");
    for own in [None, Some(stranger)] {
        let before = site.stages().len();
        let config = site.pki.config(own);
        let mut client = Client::new(site.tls(config), device_settings("d1"));
        let error = client.connected(PATIENCE).await.unwrap_err();
        assert!(matches!(error, ConnectError::Rejected(_)), "{error}");
        assert_eq!(site.stages()[before..], [Stage::Handshake]);
    }
    assert_eq!(site.hub.stats().accepted, 0);
}

#[tokio::test]
async fn a_revoked_device_that_resumes_its_tls_session_is_refused() {
    let site = Site::new().await;
    let config = site.pki.client("d1", Role::Device);
    let mut device = Client::new(site.tls(config.clone()), device_settings("d1"));
    device.submit(&Message::telemetry(b"1")).await.unwrap();
    common::settled(&mut device, 1).await;
    device.close(PATIENCE).await;
    drop(device);

    site.pki.revoke("d1");
    let mut device = Client::new(site.tls(config), device_settings("d1"));
    device.submit(&Message::telemetry(b"2")).await.unwrap();
    device.connected(Duration::from_secs(2)).await.unwrap_err();
    assert!(
        site.gate.stats().resumed > 0,
        "no session was resumed: the test shows nothing"
    );
    assert!(site.stages().iter().all(|stage| *stage == Stage::Admit));
    assert!(site.gate.stats().refused_admit > 0);
    assert_eq!(site.hub.stats().published, 1);
}

#[tokio::test]
async fn a_live_session_is_cut_within_a_second() {
    let site = Site::new().await;
    let mut device = site.client("d1", device_settings("d1"));
    let mut other = site.client("d2", device_settings("d2"));
    device.connected(PATIENCE).await.unwrap();
    other.connected(PATIENCE).await.unwrap();
    assert_eq!(site.gate.on_revoked(), 0);
    assert_eq!(site.gate.cut(&tenant(), &DeviceId::new("d9").unwrap()), 0);
    let sessions = |name| {
        site.gate
            .count(|who, chain| who.device.as_str() == name && chain.len() == 1)
    };
    assert_eq!(["d1", "d2", "d9"].map(sessions), [1, 1, 0]);
    site.pki.revoke("d1");
    assert_eq!(site.gate.on_revoked(), 1);
    let cut = tokio::time::Instant::now();
    until(&mut device, |event| matches!(event, Event::Disconnected)).await;
    assert!(cut.elapsed() < Duration::from_secs(1));
    let failures = device.stats().failures;
    device.connected(Duration::from_secs(1)).await.unwrap_err();
    assert!(
        device.stats().failures > failures,
        "nobody counted what was refused"
    );
    assert_eq!((sessions("d1"), other.stats().failures), (0, 0));
    assert!(other.is_connected());
    assert_eq!(site.gate.cut(&tenant(), &DeviceId::new("d2").unwrap()), 1);
    until(&mut other, |event| matches!(event, Event::Disconnected)).await;
    other.connected(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn clients_that_never_finish_block_nobody() {
    let site = Site::with(|gate| {
        gate.with_handshakes(2)
            .with_handshake_timeout(Duration::from_millis(500))
    })
    .await;
    let address: SocketAddr = site.listening.address();
    let mut idle = Vec::new();
    for _ in 0..6 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(&[0x16, 3, 1]).await.unwrap();
        idle.push(stream);
    }
    let mut device = site.client("d1", device_settings("d1"));
    device.connected(PATIENCE).await.unwrap();
    let mut rest = Vec::new();
    for mut stream in idle {
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "a half-open client is still held");
    }
    assert!(site.gate.stats().refused_handshake >= 6);
}

#[tokio::test]
async fn noise_after_the_handshake_is_refused_at_connect() {
    let site = Site::with(|gate| gate.with_connect_timeout(Duration::from_secs(1))).await;
    let config = site.pki.client("d1", Role::Device);
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x10, 0xff, 0xff, 0xff, 0xff, 1],
        &[0x10, 2, 0, 0],
        &[0x10, 100, 0, 4],
        &[0; 64],
    ] {
        let before = site.stages().len();
        let stream = tokio::net::TcpStream::connect(site.listening.address())
            .await
            .unwrap();
        let connector = tokio_rustls::TlsConnector::from(config.clone());
        let mut stream = connector
            .connect("localhost".try_into().unwrap(), stream)
            .await
            .unwrap();
        stream.write_all(noise).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        ended.expect("the session was not ended").unwrap();
        assert_eq!(site.stages()[before..], [Stage::Connect], "{noise:?}");
    }
    assert_eq!(site.hub.stats().accepted, 0);
}

#[tokio::test]
async fn a_gate_whose_broker_is_gone_says_so_and_recovers() {
    let pki = Pki::new();
    let hub = Hub::default();
    let broker = hub.listen("127.0.0.1:0").await.unwrap();
    let address = broker.address();
    broker.stop().await;
    let gate = pki.gate().to_broker(address.to_string());
    let listening = gate.listen("127.0.0.1:0").await.unwrap();
    let config = pki.client("d1", Role::Device);
    let tls = Tls::new(listening.address().to_string(), "localhost", config).unwrap();
    let mut device = Client::new(tls, device_settings("d1"));
    device.submit(&Message::telemetry(b"1")).await.unwrap();
    let error = device.connected(Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Lost(_)), "{error}");
    let record = gate.refusals().pop().unwrap();
    assert!(
        record.reason.contains("broker cannot be reached"),
        "{}",
        record.reason
    );
    let _broker = hub.listen(address).await.unwrap();
    let fates = common::settled(&mut device, 1).await;
    assert!(fates.values().all(|fate| *fate == Fate::Delivered));
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn the_gate_protects_a_mosquitto_the_same_way() {
    let broker = crate::mosquitto::Mosquitto::start().await;
    for version in [Version::V3, Version::V5] {
        let pki = Pki::new();
        let gate = pki.gate().to_broker(broker.address.to_string());
        let listening = gate.listen("127.0.0.1:0").await.unwrap();
        let open = |name: &str, role, settings: Settings| {
            let tls = Tls::new(
                listening.address().to_string(),
                "localhost",
                pki.client(name, role),
            );
            Client::new(tls.unwrap(), settings.with_version(version))
        };
        let mut service = open("backend", Role::Service, service_settings());
        service.subscribe(Channel::Telemetry).await.unwrap();
        let nobody = iot_core::Peer::parse("acme", "nobody").unwrap();
        service
            .submit(&Message::new(Channel::Health, b"").to(nobody))
            .await
            .unwrap();
        common::settled(&mut service, 1).await;

        let mut thief = open(
            "d1",
            Role::Device,
            device_settings("d2").with_client_id("d1"),
        );
        thief.submit(&Message::telemetry(b"false")).await.unwrap();
        until(&mut thief, |event| matches!(event, Event::Disconnected)).await;
        let mut other = open(
            "d1",
            Role::Device,
            device_settings("d1").with_client_id("d2"),
        );
        let error = other.connected(PATIENCE).await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error}");

        let mut device = open("d3", Role::Device, device_settings("d3"));
        device.submit(&Message::telemetry(b"true")).await.unwrap();
        let (fates, heard) = tokio::join!(common::settled(&mut device, 1), drain(&mut service, 1));
        assert!(fates.values().all(|fate| *fate == Fate::Delivered));
        assert_eq!(heard[0].3, b"true");
        let stages: Vec<_> = gate.refusals().iter().map(|record| record.stage).collect();
        assert!(stages.contains(&Stage::Publish) && stages.contains(&Stage::Connect));

        assert_eq!(gate.cut(&tenant(), &DeviceId::new("d3").unwrap()), 1);
        let cut = tokio::time::Instant::now();
        until(&mut device, |event| matches!(event, Event::Disconnected)).await;
        assert!(cut.elapsed() < Duration::from_secs(1));
    }
}
