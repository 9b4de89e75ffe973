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

#[tokio::test]
async fn wills_that_wait_cost_no_more_than_their_sessions() {
    let hub = Hub::default();
    let runtime = tokio::runtime::Handle::current().metrics();
    let before = runtime.num_alive_tasks();
    for _ in 0..500 {
        drop(connect(&hub, true, 600_000).await);
    }
    while hub.stats().connected > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let rest = async {
        while runtime.num_alive_tasks() > before + 1 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(5), rest).await;
    let left = runtime.num_alive_tasks() - before;
    assert!(waited.is_ok(), "{left} tasks wait for one session");
}

#[tokio::test]
async fn a_will_travels_with_its_properties_and_its_life() {
    let hub = Hub::default();
    let (mut reader, _) = Raw::connect5(&hub, "reader", true, &[]).await;
    assert_eq!(reader.subscribe5("will", 1).await, 1);
    let properties = [
        &[0x02, 0, 0, 0, 77][..],
        &[0x01, 1],
        &[0x03, 0, 4, b't', b'e', b'x', b't'],
        &[0x08, 0, 1, b'r'],
        &[0x09, 0, 2, 7, 8],
        &[0x26, 0, 1, b'a', 0, 1, b'b'],
    ]
    .concat();
    let mut mortal = Raw::open(&hub);
    let fixed = [0, 4, b'M', b'Q', b'T', b'T', 5, 0b110, 0, 0];
    let length = [u8::try_from(properties.len()).unwrap()];
    let (id, topic, payload) = (text("mortal"), text("will"), text("gone"));
    let hello = [
        &fixed[..],
        &[0],
        &id,
        &length,
        &properties,
        &topic,
        &payload,
    ];
    mortal.send(&packet(0x10, &hello)).await;
    assert_eq!(mortal.receive().await.unwrap().0, 0x20);
    drop(mortal);
    let (first, body) = reader.receive().await.unwrap();
    assert_eq!(first & 0xf0, 0x30);
    let others = &properties[5..];
    let found = body.windows(others.len()).any(|window| window == others);
    assert!(found, "{others:02x?} is not in {body:02x?}");
    // What is left of a life is told in whole seconds.
    let lives = |left| body.windows(5).any(|five| five == [0x02, 0, 0, 0, left]);
    assert!(lives(77) || lives(76), "{body:02x?}");
}
