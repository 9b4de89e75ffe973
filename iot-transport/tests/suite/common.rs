//! What the MQTT tests share.
#![allow(dead_code, reason = "each test file uses its own part")]

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use iot_core::port::Transport;
use iot_core::{Channel, DeviceId, Event, Fate, TenantId, Ticket};
use iot_transport::mqtt::{Client, Hub, Settings, Tcp, Version};

/// Generous, because test machines are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn quick(settings: Settings) -> Settings {
    settings.with_retry(Duration::from_millis(10), Duration::from_millis(100))
}

pub(crate) fn device_settings(name: &str) -> Settings {
    quick(Settings::device(tenant(), DeviceId::new(name).unwrap()))
}

pub(crate) fn service_settings() -> Settings {
    quick(Settings::service(
        tenant(),
        DeviceId::new("backend").unwrap(),
    ))
}

pub(crate) fn device(address: SocketAddr, name: &str, version: Version) -> Client<Tcp> {
    Client::new(
        Tcp::new(address.to_string()),
        device_settings(name).with_version(version),
    )
}

pub(crate) fn service(address: SocketAddr, version: Version) -> Client<Tcp> {
    Client::new(
        Tcp::new(address.to_string()),
        service_settings().with_version(version),
    )
}

/// Polls until an event pleases; others are dropped.
pub(crate) async fn until<T: Transport>(client: &mut T, pleases: impl Fn(&Event<'_>) -> bool)
where
    T::Error: core::fmt::Debug,
{
    let mut buffer = vec![0; 64 * 1_024];
    let search = async { while !pleases(&client.next(&mut buffer).await.unwrap()) {} };
    tokio::time::timeout(PATIENCE, search)
        .await
        .expect("the event did not come");
}

/// What arrived: tenant, device, channel, payload.
pub(crate) type Heard = (String, String, Channel, Vec<u8>);

/// Receives `count` different messages and acknowledges the last one.
pub(crate) async fn drain<T: Transport>(client: &mut T, count: usize) -> Vec<Heard>
where
    T::Error: core::fmt::Debug,
{
    let mut buffer = vec![0; 64 * 1_024];
    let mut heard: Vec<Heard> = Vec::new();
    let listen = async {
        while heard.len() < count {
            if let Event::Message(message) = client.next(&mut buffer).await.unwrap() {
                let (tenant, device) = message
                    .peer
                    .map_or(("", ""), |peer| (peer.tenant(), peer.device()));
                let one = (
                    tenant.into(),
                    device.into(),
                    message.channel,
                    message.payload.into(),
                );
                if !heard.contains(&one) {
                    heard.push(one);
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, listen)
        .await
        .expect("messages are missing");
    heard
}

/// Polls until `count` fates are known; a second fate of one ticket fails the test.
pub(crate) async fn settled<T: Transport>(client: &mut T, count: usize) -> BTreeMap<Ticket, Fate>
where
    T::Error: core::fmt::Debug,
{
    let mut buffer = vec![0; 64 * 1_024];
    let mut fates = BTreeMap::new();
    let wait = async {
        while fates.len() < count {
            if let Event::Settled { ticket, fate } = client.next(&mut buffer).await.unwrap() {
                assert_eq!(fates.insert(ticket, fate), None, "a ticket met two fates");
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("fates are missing");
    fates
}

/// Polls a client until the hub holds `count` subscriptions.
pub(crate) async fn subscribed<T: Transport>(hub: &Hub, client: &mut T, count: usize)
where
    T::Error: core::fmt::Debug,
{
    let mut buffer = [0; 1_024];
    let wait = async {
        while hub.stats().subscriptions < count {
            tokio::select! {
                _ = client.next(&mut buffer) => {}
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the subscriptions did not arrive");
}
