//! The client and the hub over real TCP on loopback.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{self, PATIENCE, device, drain, service, until};
use iot_core::port::Transport;
use iot_core::{Channel, Event, Fate, Message, Peer};
use iot_transport::mqtt::{Hub, Version};

#[tokio::test]
async fn a_message_up_and_its_answer_down_arrive_with_their_peer() {
    for version in [Version::V3, Version::V5] {
        let hub = Hub::default();
        let listening = hub.listen("127.0.0.1:0").await.unwrap();
        let mut device = device(listening.address(), "d1", version);
        let mut service = service(listening.address(), version);
        service.subscribe(Channel::Telemetry).await.unwrap();
        device.subscribe(Channel::Command).await.unwrap();
        service.connected(PATIENCE).await.unwrap();
        device.connected(PATIENCE).await.unwrap();
        until(&mut service, |event| {
            matches!(event, Event::Connected { .. })
        })
        .await;
        common::subscribed(&hub, &mut service, 1).await;
        common::subscribed(&hub, &mut device, 2).await;

        let up = device.submit(&Message::telemetry(b"21.5")).await.unwrap();
        let heard = drain(&mut service, 1);
        let (settled, heard) = tokio::join!(common::settled(&mut device, 1), heard);
        assert_eq!(settled, BTreeMap::from([(up, Fate::Delivered)]));
        assert_eq!(
            heard,
            [(
                "acme".into(),
                "d1".into(),
                Channel::Telemetry,
                b"21.5".to_vec()
            )]
        );

        let peer = Peer::parse("acme", "d1").unwrap();
        let down = Message::new(Channel::Command, b"open").to(peer);
        service.submit(&down).await.unwrap();
        let (settled, heard) =
            tokio::join!(common::settled(&mut service, 1), drain(&mut device, 1));
        assert!(settled.values().all(|fate| *fate == Fate::Delivered));
        assert_eq!(heard[0].3, b"open");
    }
}

#[tokio::test]
async fn a_hub_restarted_without_its_state_loses_no_submitted_message() {
    const MESSAGES: usize = 300;
    for version in [Version::V3, Version::V5] {
        let hub = Hub::default();
        let listening = hub.listen("127.0.0.1:0").await.unwrap();
        let mut device = device(listening.address(), "d1", version);
        let sender = async {
            let mut fates = BTreeMap::new();
            let mut buffer = [0; 256];
            let mut submitted = 0_usize;
            let mut restarts = vec![200, 120, 50];
            while fates.len() < MESSAGES {
                while submitted < MESSAGES && submitted < fates.len() + 40 {
                    let payload = submitted.to_string();
                    device
                        .submit(&Message::telemetry(payload.as_bytes()))
                        .await
                        .unwrap();
                    submitted += 1;
                }
                if let Event::Settled { ticket, fate } = device.next(&mut buffer).await.unwrap() {
                    assert_eq!(fates.insert(ticket, fate), None, "a ticket met two fates");
                }
                if restarts.last().is_some_and(|at| fates.len() >= *at) {
                    restarts.pop();
                    hub.restart_empty();
                }
            }
            (fates, device.stats())
        };
        let (fates, stats) = tokio::time::timeout(PATIENCE, sender).await.unwrap();
        assert!(fates.values().all(|fate| *fate == Fate::Delivered));
        assert!(stats.connections > 1, "the hub was never restarted");
        assert!(
            stats.resent > 0,
            "nothing had to be sent again: the test shows nothing"
        );
    }
}

#[tokio::test]
async fn a_hub_that_is_gone_for_a_while_gets_everything_afterwards() {
    let hub = Hub::default();
    let listening = hub.listen("127.0.0.1:0").await.unwrap();
    let address = listening.address();
    let mut device = device(address, "d1", Version::V3);
    device.connected(PATIENCE).await.unwrap();
    listening.stop().await;
    drop(hub);
    let mut expected = BTreeSet::new();
    for number in 0..20_u8 {
        device.submit(&Message::telemetry(&[number])).await.unwrap();
        expected.insert(vec![number]);
    }
    until(&mut device, |event| matches!(event, Event::Disconnected)).await;

    let hub = Hub::default();
    let _listening = hub.listen(address).await.unwrap();
    let mut service = service(address, Version::V3);
    service.subscribe(Channel::Telemetry).await.unwrap();
    service.connected(PATIENCE).await.unwrap();
    common::subscribed(&hub, &mut service, 1).await;
    let (fates, heard) = tokio::join!(common::settled(&mut device, 20), drain(&mut service, 20));
    assert!(fates.values().all(|fate| *fate == Fate::Delivered));
    let heard: BTreeSet<_> = heard
        .into_iter()
        .map(|(_, _, _, payload)| payload)
        .collect();
    assert_eq!(heard, expected);
}
