use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use iot_core::node::block_on;
use iot_core::port::Transport;
use iot_core::{Channel, Event, Fate, Message, Ticket};

use super::*;

const DEVICES: usize = 4;
const EACH: u64 = 30;

/// What a whole run came to.
#[derive(Debug, Default, Eq, PartialEq)]
struct Outcome {
    /// Every event of every end, in its order.
    transcript: Vec<u8>,
    digest: u64,
    counts: Counts,
    submitted: usize,
    fates: BTreeMap<(usize, Ticket), Fate>,
    second_fates: usize,
    /// Messages that neither arrived nor met a fate.
    silently_lost: usize,
    /// Messages that were told as delivered and did not arrive.
    lost_by_broker: usize,
}

/// Polls once: what is ready now, or nothing.
fn poll_next<'b>(end: &mut End, buffer: &'b mut [u8]) -> Option<Event<'b>> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(end.next(buffer)).poll(&mut cx) {
        Poll::Ready(event) => Some(event.unwrap()),
        Poll::Pending => None,
    }
}

/// Devices submit to one service under `weather`; at the end everything is calm and comes to rest.
fn run(seed: u64, faults: Faults, weather: Weather, forgetful: bool) -> Outcome {
    let net = Net::new(seed, SimClock::new(), faults);
    let mut service = net.service("acme").unwrap();
    block_on(service.subscribe(Channel::Telemetry)).unwrap();
    let mut devices: Vec<End> = (0..DEVICES)
        .map(|number| net.device("acme", &alloc::format!("d{number}")).unwrap())
        .collect();
    if forgetful {
        devices.iter().for_each(End::danger_forget_with_session);
    }
    net.set_weather(weather);
    let mut outcome = Outcome::default();
    let mut sent = BTreeMap::new();
    let mut heard = BTreeSet::new();
    let mut buffer = [0; 64];
    for round in 0..600_u64 {
        if round == 300 {
            net.calm();
        }
        for (number, device) in devices.iter_mut().enumerate() {
            if round % 5 == 0 && round / 5 < EACH {
                let payload = [
                    u8::try_from(number).unwrap(),
                    u8::try_from(round / 5).unwrap(),
                ];
                let ticket = block_on(device.submit(&Message::telemetry(&payload))).unwrap();
                sent.insert((number, ticket), payload);
            }
            while let Some(event) = poll_next(device, &mut buffer) {
                outcome
                    .transcript
                    .extend(alloc::format!("{number}{event:?}").bytes());
                if let Event::Settled { ticket, fate } = event {
                    let again = outcome.fates.insert((number, ticket), fate);
                    outcome.second_fates += usize::from(again.is_some());
                }
            }
        }
        while let Some(event) = poll_next(&mut service, &mut buffer) {
            outcome
                .transcript
                .extend(alloc::format!("s{event:?}").bytes());
            if let Event::Message(message) = event {
                heard.insert(message.payload.to_vec());
            }
        }
        net.advance(Duration::from_millis(100));
    }
    for (key, payload) in &sent {
        let arrived = heard.contains(&payload[..]);
        let fate = outcome.fates.get(key);
        outcome.silently_lost += usize::from(!arrived && fate.is_none());
        outcome.lost_by_broker += usize::from(!arrived && fate == Some(&Fate::Delivered));
    }
    outcome.submitted = sent.len();
    outcome.digest = net.digest();
    outcome.counts = net.counts();
    outcome
}

const FAULTS: Faults = Faults::new(50, 50, 5, 80);
const STORM: Weather = Weather::CALM
    .with_cuts(3_000)
    .with_partitions(5_000, 6_000)
    .with_restarts(6_000, 500)
    .with_refusals(20);

#[test]
fn the_same_seed_gives_the_same_run_byte_for_byte() {
    let first = run(11, FAULTS, STORM, false);
    assert_eq!(run(11, FAULTS, STORM, false), first);
    let other = run(12, FAULTS, STORM, false);
    assert_ne!(other.digest, first.digest);
    assert_ne!(other.transcript, first.transcript);
}

#[test]
fn without_faults_everything_arrives_once_and_nothing_is_repeated() {
    let outcome = run(1, Faults::NONE, Weather::CALM, false);
    let counts = outcome.counts;
    assert_eq!(outcome.submitted, DEVICES * usize::try_from(EACH).unwrap());
    assert_eq!(outcome.fates.len(), outcome.submitted);
    assert_eq!(counts.handed, counts.submitted);
    assert_eq!(
        (counts.lost, counts.doubled, counts.resent, counts.cuts),
        (0, 0, 0, 0)
    );
    assert_eq!((outcome.lost_by_broker, outcome.silently_lost), (0, 0));
}

#[test]
fn every_kind_of_fault_fires() {
    let mut sum = Counts::default();
    let mut lost_by_broker = 0;
    for seed in 0..20 {
        let outcome = run(seed, FAULTS, STORM, false);
        sum.lost += outcome.counts.lost;
        sum.doubled += outcome.counts.doubled;
        sum.resent += outcome.counts.resent;
        sum.refused += outcome.counts.refused;
        sum.cuts += outcome.counts.cuts;
        sum.partitions += outcome.counts.partitions;
        sum.restarts += outcome.counts.restarts;
        sum.discarded += outcome.counts.discarded;
        sum.unrouted += outcome.counts.unrouted;
        lost_by_broker += outcome.lost_by_broker;
    }
    let fired = [
        sum.lost,
        sum.doubled,
        sum.resent,
        sum.refused,
        sum.cuts,
        sum.partitions,
        sum.restarts,
        sum.discarded + sum.unrouted,
    ];
    assert!(fired.iter().all(|times| *times > 0), "{sum:?}");
    assert!(
        lost_by_broker > 0,
        "a broker that lost its sessions lost no message"
    );
}

#[test]
fn every_message_meets_one_fate_in_every_weather() {
    for seed in 0..200 {
        let outcome = run(seed, FAULTS, STORM, false);
        assert_eq!(outcome.second_fates, 0, "seed {seed}");
        assert_eq!(outcome.fates.len(), outcome.submitted, "seed {seed}");
        assert_eq!(outcome.silently_lost, 0, "seed {seed}");
    }
}

#[test]
fn a_broker_that_keeps_its_sessions_loses_nothing() {
    let weather = STORM.with_restarts(2_000, 0).with_refusals(0);
    for seed in 0..100 {
        let outcome = run(seed, FAULTS, weather, false);
        assert!(outcome.counts.restarts > 0);
        // Before the service has subscribed for the first time nobody keeps anything for it.
        let early = usize::try_from(outcome.counts.unrouted).unwrap();
        assert!(outcome.lost_by_broker <= early, "seed {seed}");
        assert!(
            outcome.fates.values().all(|fate| *fate == Fate::Delivered),
            "seed {seed}"
        );
    }
}

#[test]
fn a_client_that_clears_its_messages_with_the_session_loses_some_under_the_same_weather() {
    let mut lost = 0;
    for seed in 0..200 {
        let outcome = run(seed, FAULTS, STORM, true);
        assert_eq!(outcome.second_fates, 0);
        lost += outcome.silently_lost;
    }
    assert!(
        lost > 100,
        "only {lost} messages were lost: the faults do not bite"
    );
}

#[test]
fn packets_overtake_each_other_when_their_ways_differ() {
    let net = Net::new(3, SimClock::new(), Faults::new(0, 0, 5, 80));
    let mut service = net.service("acme").unwrap();
    let mut device = net.device("acme", "d").unwrap();
    block_on(service.subscribe(Channel::Telemetry)).unwrap();
    net.advance(Duration::from_secs(2));
    for number in 0..16 {
        block_on(device.submit(&Message::telemetry(&[number]))).unwrap();
    }
    let (mut order, mut buffer) = (Vec::new(), [0; 64]);
    for _ in 0..100 {
        while let Some(event) = poll_next(&mut service, &mut buffer) {
            if let Event::Message(message) = event {
                order.push(message.payload[0]);
            }
        }
        net.advance(Duration::from_millis(20));
    }
    assert!(order.windows(2).any(|pair| pair[0] > pair[1]), "{order:?}");
}

#[test]
fn a_step_goes_to_the_next_thing_that_happens_and_ends_when_nothing_is_left() {
    let clock = SimClock::new();
    let net = Net::new(1, clock.clone(), Faults::new(0, 0, 30, 30));
    let device = net.device("acme", "d").unwrap();
    assert!(net.step() && net.step(), "connect, and its way");
    assert_eq!(clock.instant().as_millis(), 30);
    assert!(net.step());
    assert_eq!(clock.instant().as_millis(), 60);
    assert!(device.is_connected());
    while net.step() {}
    assert_eq!(net.next_at(), None);
}

#[test]
fn an_end_that_reboots_forgets_everything_but_its_session() {
    let net = Net::new(1, SimClock::new(), Faults::NONE);
    let mut service = net.service("acme").unwrap();
    let mut device = net.device("acme", "d").unwrap();
    block_on(device.subscribe(Channel::Command)).unwrap();
    net.advance(Duration::from_secs(1));
    let peer = Peer::parse("acme", "d").unwrap();
    block_on(service.submit(&Message::new(Channel::Command, b"go").to(peer))).unwrap();
    net.advance(Duration::from_secs(1));
    let (mut buffer, mut times) = ([0; 64], 0);
    for boot in 0..3 {
        while let Some(event) = poll_next(&mut device, &mut buffer) {
            if matches!(event, Event::Message(_)) {
                times += 1;
                break;
            }
        }
        if boot < 2 {
            device.reboot();
        }
        net.advance(Duration::from_secs(2));
    }
    assert_eq!(times, 3, "what was in hand comes again after each boot");
}

#[test]
fn a_message_at_most_once_never_arrives_twice_although_packets_do() {
    let net = Net::new(5, SimClock::new(), Faults::new(100, 300, 0, 50));
    let mut service = net.service("acme").unwrap();
    let mut device = net.device("acme", "d").unwrap();
    block_on(service.subscribe(Channel::Telemetry)).unwrap();
    net.advance(Duration::from_secs(10));
    let (mut heard, mut buffer) = (BTreeMap::new(), [0; 64]);
    for number in 0..200 {
        let message =
            Message::telemetry(core::slice::from_ref(&number)).with_qos(iot_core::Qos::AtMostOnce);
        block_on(device.submit(&message)).unwrap();
        net.advance(Duration::from_millis(100));
        while poll_next(&mut device, &mut buffer).is_some() {}
        while let Some(event) = poll_next(&mut service, &mut buffer) {
            if let Event::Message(message) = event {
                *heard.entry(message.payload[0]).or_insert(0) += 1;
            }
        }
    }
    assert!(heard.values().all(|times| *times == 1), "{heard:?}");
    assert!(
        heard.len() > 100 && heard.len() < 200,
        "loss goes unnoticed, and some is lost"
    );
    assert!(net.counts().doubled > 0);
}
