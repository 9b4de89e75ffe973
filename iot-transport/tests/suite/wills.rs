//! Wills that wait for their client to come back (MQTT 5 §3.1.3.2.2), told in raw packets and in virtual time.

use core::time::Duration;

use iot_transport::mqtt::Hub;
use tokio::time::{Instant, sleep};

use crate::hub::{Raw, packet, text};

/// Connects with a will that waits 30 s, over a session that lives on for `expiry` seconds.
async fn connect(hub: &Hub, clean: bool, expiry: u32) -> Raw {
    let mut raw = Raw::open(hub);
    let flags = 0b100 | u8::from(clean) << 1;
    let fixed = [0, 4, b'M', b'Q', b'T', b'T', 5, flags, 0, 0];
    let [a, b, c, d] = expiry.to_be_bytes();
    let (session, delay) = ([5, 0x11, a, b, c, d], [5, 0x18, 0, 0, 0, 30]);
    let (id, topic, payload) = (text("mortal"), text("will"), text("gone"));
    raw.send(&packet(
        0x10,
        &[&fixed, &session, &id, &delay, &topic, &payload],
    ))
    .await;
    let (first, body) = raw.receive().await.expect("no CONNACK");
    assert_eq!((first, body[1]), (0x20, 0), "the hub said no");
    raw
}

async fn reader(hub: &Hub) -> Raw {
    let (mut reader, _) = Raw::connect(hub, "reader", true).await;
    reader.subscribe("will", 1).await;
    reader
}

/// After how many seconds the will was heard.
async fn heard(reader: &mut Raw, since: Instant) -> u64 {
    assert_eq!(reader.message().await.2, b"gone");
    since.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_will_waits_for_its_delay_and_goes_out_once() {
    let hub = Hub::default();
    let mut reader = reader(&hub).await;
    let since = Instant::now();
    drop(connect(&hub, true, 300).await);
    assert_eq!(heard(&mut reader, since).await, 30);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(hub.stats().published, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_in_time_has_no_will() {
    let hub = Hub::default();
    let _reader = reader(&hub).await;
    drop(connect(&hub, true, 300).await);
    sleep(Duration::from_secs(29)).await;
    let back = connect(&hub, false, 300).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(hub.stats().published, 0);

    // The same when the new link takes over from one that still stands.
    let over = connect(&hub, false, 300).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((hub.stats().published, hub.stats().taken_over), (0, 1));

    // Each link leaves a will of its own.
    drop((back, over));
    sleep(Duration::from_secs(31)).await;
    assert_eq!(hub.stats().published, 1);
}

#[tokio::test(start_paused = true)]
async fn a_will_goes_out_at_the_latest_when_its_session_ends() {
    let hub = Hub::default();
    let mut reader = reader(&hub).await;
    for (expiry, at) in [(10, 10), (0, 0)] {
        let since = Instant::now();
        drop(connect(&hub, true, expiry).await);
        assert_eq!(heard(&mut reader, since).await, at, "of {expiry} s");
    }

    // A clean start ends the session that stood before, waiting or connected.
    drop(connect(&hub, true, 300).await);
    sleep(Duration::from_secs(5)).await;
    let since = Instant::now();
    let first = connect(&hub, true, 300).await;
    assert_eq!(heard(&mut reader, since).await, 0);
    let _second = connect(&hub, true, 300).await;
    assert_eq!(heard(&mut reader, since).await, 0);
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_forgets_everything_forgets_wills_as_well() {
    let hub = Hub::default();
    drop(connect(&hub, true, 300).await);
    sleep(Duration::from_secs(5)).await;
    hub.restart_empty();
    sleep(Duration::from_secs(60)).await;
    let _other = connect(&hub, true, 300).await;
    assert_eq!(hub.stats().published, 0);
}
