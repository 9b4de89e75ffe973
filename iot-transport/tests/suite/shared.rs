//! Shared subscriptions (MQTT 5 §4.8.2, and 3.1.1 clients as in Mosquitto), told in raw packets.

use core::time::Duration;
use std::collections::BTreeSet;

use iot_transport::mqtt::Hub;
use iot_transport::mqtt::hub::{HubSettings, Overflow};

use crate::hub::{Raw, packet, publish};

const SHARED: &str = "$share/workers/job/+";

async fn member(hub: &Hub, id: &str, clean: bool) -> Raw {
    let (mut member, _) = Raw::connect(hub, id, clean).await;
    assert_eq!(member.subscribe(SHARED, 1).await, 1);
    member
}

async fn connected(hub: &Hub, count: usize) {
    while hub.stats().connected != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn each_message_goes_to_one_member_of_each_group_in_turn() {
    let hub = Hub::default();
    let mut first = member(&hub, "first", true).await;
    let (mut second, connack) = Raw::connect5(&hub, "second", true, &[]).await;
    assert!(connack.windows(2).any(|two| two == [0x2a, 1]), "not told");
    assert_eq!(second.subscribe5(SHARED, 1).await, 1);
    let (mut other, _) = Raw::connect(&hub, "other", true).await;
    other.subscribe("$share/others/job/+", 1).await;
    let (mut alone, _) = Raw::connect(&hub, "alone", true).await;
    alone.subscribe("job/#", 1).await;
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    for number in 0..10_u8 {
        sender.publish("job/a", &[number]).await;
        assert_eq!(alone.message().await.2, [number]);
        assert_eq!(other.message().await.2, [number]);
        if number % 2 == 0 {
            assert_eq!(first.message().await.2, [number]);
        } else {
            let (_, body) = second.receive().await.unwrap();
            assert_eq!(body.last(), Some(&number));
        }
    }
    assert!(first.is_quiet().await && second.is_quiet().await);
    assert_eq!(hub.stats().routed, 30);
    // Who leaves the group gets nothing more.
    first
        .send(&packet(0xa2, &[&[0, 4], &crate::hub::text(SHARED)]))
        .await;
    assert_eq!(first.receive().await.unwrap().0, 0xb0);
    for number in 0..4 {
        sender.publish("job/a", &[number]).await;
    }
    assert!(first.is_quiet().await);
}

#[tokio::test]
async fn members_that_are_away_are_passed_over_while_one_is_there() {
    let hub = Hub::default();
    for name in ["away 1", "away 2"] {
        drop(member(&hub, name, false).await);
    }
    connected(&hub, 0).await;
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    let mut here = member(&hub, "here", true).await;
    for number in 0..9 {
        sender.publish("job/a", &[number]).await;
        assert_eq!(here.message().await.2, [number]);
    }
    drop(here);
    connected(&hub, 1).await;
    // With nobody there it waits for one of them; what is at most once is missed.
    sender.publish("job/a", &[9]).await;
    sender.publish("job/a", &[10]).await;
    sender
        .send(&publish(0x30, "job/a", 0, b"at most once"))
        .await;
    sender.publish("x", b"").await;
    assert_eq!((hub.stats().queued, hub.stats().missed), (2, 1));
    let mut heard = BTreeSet::new();
    for name in ["away 1", "away 2"] {
        let (mut back, present) = Raw::connect(&hub, name, false).await;
        assert!(present);
        heard.insert(back.message().await.2[0]);
        assert!(back.is_quiet().await);
    }
    assert_eq!(heard, BTreeSet::from([9, 10]));
}

#[tokio::test]
async fn what_a_member_did_not_acknowledge_goes_to_another_when_its_session_ends() {
    let hub = Hub::new(HubSettings::default().with_window(2));
    let mut mortal = member(&hub, "mortal", true).await;
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    for number in 0..5 {
        sender.publish("job/a", &[number]).await;
    }
    // Two are on its wire, and three wait.
    for _ in 0..2 {
        assert_eq!(mortal.receive().await.unwrap().0, 0x32);
    }
    let mut heir = member(&hub, "heir", true).await;
    drop(mortal);
    for number in 0..5 {
        let (first, _, payload) = heir.message().await;
        assert_eq!((first, payload), (0x32, vec![number]), "new to this client");
    }
    assert!(heir.is_quiet().await);
    let stats = hub.stats();
    assert_eq!((stats.delivered, stats.discarded), (5, 0));
    // The last member has no heir: that is counted.
    sender.publish("job/a", &[5]).await;
    assert_eq!(heir.receive().await.unwrap().0, 0x32);
    drop(heir);
    connected(&hub, 1).await;
    assert_eq!(hub.stats().discarded, 1);
}

#[tokio::test]
async fn nothing_is_lost_while_members_come_and_go() {
    let hub = Hub::new(HubSettings::default().with_window(3));
    let mut steady = member(&hub, "steady", false).await;
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    let mut heard = BTreeSet::new();
    for round in 0..20_u8 {
        let mut fickle = member(&hub, "fickle", true).await;
        for number in 0..10 {
            sender.publish("job/a", &[round, number]).await;
        }
        // It acknowledges two of its five, and vanishes.
        for _ in 0..2 {
            heard.insert(fickle.message().await.2);
        }
        let _ = fickle.is_quiet().await;
        drop(fickle);
        while heard.len() < 10 * (usize::from(round) + 1) {
            heard.insert(steady.message().await.2);
        }
    }
    assert_eq!(heard.len(), 200);
    assert!(steady.is_quiet().await);
    let stats = hub.stats();
    assert_eq!((stats.discarded, stats.overflowed, stats.queued), (0, 0, 0));
}

#[tokio::test]
async fn a_member_whose_queue_is_full_is_passed_over_as_well() {
    let settings = HubSettings::default().with_window(1);
    let hub = Hub::new(settings.with_queue(1, 1 << 20, Overflow::Oldest));
    let mut busy = member(&hub, "busy", true).await;
    busy.subscribe("own", 1).await;
    let mut idle = member(&hub, "idle", true).await;
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    for number in 0..2 {
        sender.publish("own", &[number]).await;
        while hub.stats().queued > usize::from(number) {
            tokio::task::yield_now().await;
        }
    }
    for number in 0..4 {
        sender.publish("job/a", &[number]).await;
        assert_eq!(idle.message().await.2, [number]);
    }
    assert_eq!(hub.stats().overflowed, 0);
}

#[tokio::test]
async fn a_group_is_not_greeted_with_what_is_retained_and_takes_no_local_from_nobody() {
    let hub = Hub::default();
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    sender.send(&publish(0x31, "job/a", 0, b"kept")).await;
    sender.publish("x", b"").await;
    let mut late = member(&hub, "late", true).await;
    assert!(late.is_quiet().await);
    let (mut strange, _) = Raw::connect5(&hub, "strange", true, &[]).await;
    let wish = [&[0, 9, 0][..], &crate::hub::text(SHARED), &[0b101]];
    strange.send(&packet(0x82, &wish)).await;
    assert_eq!(strange.receive().await, Some((0xe0, vec![0x82])));
    for filter in [
        "$share/workers",
        "$share//job",
        "$share/w+/job",
        "$share/w/",
    ] {
        assert_eq!(late.subscribe(filter, 1).await, 0x80, "{filter}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_expires_leaves_its_share_to_the_others() {
    let hub = Hub::default();
    let expiry = [0x11, 0, 0, 0, 30];
    let (mut away, _) = Raw::connect5(&hub, "away", true, &expiry).await;
    away.subscribe5(SHARED, 1).await;
    drop(away);
    connected(&hub, 0).await;
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    sender.publish("job/a", &[1]).await;
    let mut here = member(&hub, "here", true).await;
    assert!(here.is_quiet().await);
    // Ended sessions are looked for when somebody comes.
    tokio::time::sleep(Duration::from_secs(61)).await;
    let (_visitor, _) = Raw::connect(&hub, "visitor", true).await;
    assert_eq!(here.message().await.2, [1]);
    assert_eq!(hub.stats().discarded, 0);
}
