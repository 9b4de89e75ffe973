use core::cell::Cell;

use futures::executor::block_on;
use iot_core::Now;
use iot_core::node::PollTimer;
use iot_core::time::TimeBounds;

use super::*;
use crate::layer::Layered as _;
use crate::memory::Link;

#[test]
fn counts_bytes_and_latencies_are_those_of_what_passed() {
    let now = Cell::new(0);
    let timer = PollTimer::new(|| Now::new(Instant::from_millis(now.get()), TimeBounds::UNKNOWN));
    let mut link = Link::<2, 16>::new();
    let (device, mut service) = link.split();
    let mut device = device.layer(Meter::new(timer));
    let mut buffer = [0; 16];
    block_on(async {
        service.subscribe(Channel::Telemetry).await.unwrap();
        device.subscribe(Channel::Command).await.unwrap();
        device.submit(&Message::telemetry(b"12345")).await.unwrap();
        device.submit(&Message::telemetry(b"123")).await.unwrap();
        device
            .submit(&Message::telemetry(b"too many"))
            .await
            .unwrap_err();
        service
            .submit(&Message::new(Channel::Command, b"go"))
            .await
            .unwrap();
        for _ in 0..3 {
            service.next(&mut buffer).await.unwrap();
        }
        now.set(100);
        for _ in 0..3 {
            device.next(&mut buffer).await.unwrap();
        }
    });
    let readings = *device.readings();
    assert_eq!(
        (readings.submitted, readings.turned_away, readings.delivered),
        (2, 1, 1)
    );
    assert_eq!(
        (readings.connects, readings.disconnects, readings.untimed),
        (1, 0, 0)
    );
    let telemetry = readings.channel(Channel::Telemetry);
    assert_eq!(
        (telemetry.sent, telemetry.sent_bytes, telemetry.received),
        (2, 8, 0)
    );
    let command = readings.channel(Channel::Command);
    assert_eq!(
        (command.received, command.received_bytes, command.sent),
        (1, 2, 0)
    );
    assert_eq!(readings.latency.count(), 1);
    assert_eq!(
        readings.latency.below_ms(500),
        Some(128),
        "100 ms lie below 128 ms"
    );
}

#[test]
fn a_span_is_in_the_bucket_whose_bound_it_stays_below() {
    for (ms, bound) in [
        (0, 1),
        (1, 2),
        (2, 4),
        (3, 4),
        (4, 8),
        (1_023, 1_024),
        (u64::MAX, u64::MAX),
    ] {
        let mut latency = Latency::default();
        latency.add(Duration::from_millis(ms));
        assert_eq!(latency.below_ms(1_000), Some(bound), "{ms} ms");
    }
    let mut latency = Latency::default();
    (0..98).for_each(|_| latency.add(Duration::from_millis(1)));
    (0..2).for_each(|_| latency.add(Duration::from_millis(500)));
    assert_eq!(
        (latency.below_ms(980), latency.below_ms(990)),
        (Some(2), Some(512))
    );
}

#[test]
fn more_messages_than_places_are_counted_without_their_time() {
    let timer = PollTimer::new(|| Now::new(Instant::from_millis(0), TimeBounds::UNKNOWN));
    let mut link = Link::<70, 1>::new();
    let mut device = link.split().0.layer(Meter::new(timer));
    for _ in 0..70 {
        block_on(device.submit(&Message::telemetry(b"x"))).unwrap();
    }
    assert_eq!(
        (device.readings().submitted, device.readings().untimed),
        (70, 6)
    );
}
