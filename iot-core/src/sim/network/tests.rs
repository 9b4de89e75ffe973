use super::*;
use crate::node::block_on;
use core::pin::pin;
use core::task::{Context, Waker};

fn received(link: &mut SimLink, buffer: &mut [u8]) -> Option<Vec<u8>> {
    loop {
        let mut next = pin!(link.next(buffer));
        match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Event::Message(message))) => return Some(message.payload.to_vec()),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => return None,
        }
    }
}

fn run(seed: u64, faults: Faults) -> (Vec<Vec<u8>>, (u64, u64, u64)) {
    let clock = SimClock::new();
    let network = SimNetwork::new(seed, clock.clone(), faults);
    let (mut a, mut b) = network.link();
    let mut buffer = [0; 64];
    let mut seen = Vec::new();
    for number in 0..200u8 {
        block_on(a.submit(&Message::telemetry(&[number]))).unwrap();
        clock.advance(Duration::from_millis(1));
        while let Some(payload) = received(&mut b, &mut buffer) {
            seen.push(payload);
        }
    }
    clock.advance(Duration::from_secs(10));
    while let Some(payload) = received(&mut b, &mut buffer) {
        seen.push(payload);
    }
    (seen, network.counts())
}

#[test]
fn each_fault_fires_and_the_same_seed_repeats_it() {
    let faults = Faults::new(200, 200, 0, 40);
    let (seen, (sent, lost, doubled)) = run(3, faults);
    assert_eq!((seen.len() as u64, sent), (sent - lost + doubled, 200));
    assert!(lost > 10 && doubled > 10);
    assert!(
        seen.windows(2).any(|pair| pair[0] > pair[1]),
        "nothing was reordered"
    );
    assert_eq!(run(3, faults).0, seen);
    assert_ne!(run(4, faults).0, seen);
    assert_eq!(run(3, Faults::NONE).0.len(), 200);
}

#[test]
fn a_partition_refuses_and_keeps_what_is_under_way() {
    let clock = SimClock::new();
    let network = SimNetwork::new(1, clock.clone(), Faults::new(0, 0, 5, 5));
    let (mut a, mut b) = network.link();
    let mut buffer = [0; 64];
    block_on(a.submit(&Message::telemetry(b"x"))).unwrap();
    a.set_up(false);
    assert_eq!(
        block_on(a.submit(&Message::telemetry(b"y"))),
        Err(SimError::Down)
    );
    clock.advance(Duration::from_millis(5));
    assert_eq!(received(&mut b, &mut buffer), None);
    a.set_up(true);
    assert_eq!(received(&mut b, &mut buffer), Some(b"x".to_vec()));
}

#[test]
fn a_message_in_hand_comes_again_after_a_reboot_until_the_next_one_is_asked_for() {
    let network = SimNetwork::new(1, SimClock::new(), Faults::NONE);
    let (mut a, mut b) = network.link();
    let mut buffer = [0; 64];
    block_on(a.submit(&Message::telemetry(b"x"))).unwrap();
    assert_eq!(received(&mut b, &mut buffer), Some(b"x".to_vec()));
    b.reboot();
    assert_eq!(received(&mut b, &mut buffer), Some(b"x".to_vec()));
    assert_eq!(received(&mut b, &mut buffer), None);
    b.reboot();
    assert_eq!(received(&mut b, &mut buffer), None);
}

#[test]
fn a_buffer_that_is_too_small_loses_nothing() {
    let network = SimNetwork::new(1, SimClock::new(), Faults::NONE);
    let (mut a, mut b) = network.link();
    let peer = Peer::parse("acme", "boiler-7").unwrap();
    block_on(a.submit(&Message::telemetry(b"21.5").to(peer))).unwrap();
    let mut small = [0; 4];
    block_on(async {
        assert!(matches!(
            b.next(&mut small).await,
            Ok(Event::Connected { resumed: false })
        ));
        assert!(matches!(
            b.next(&mut small).await,
            Err(SimError::Buffer { needed: 16 })
        ));
    });
    let mut buffer = [0; 16];
    let Ok(Event::Message(message)) = block_on(b.next(&mut buffer)) else {
        panic!("no message")
    };
    assert_eq!((message.payload, message.peer), (&b"21.5"[..], Some(peer)));
}
