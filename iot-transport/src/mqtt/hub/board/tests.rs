use super::*;
use crate::mqtt::hub::letter::Letter;
use crate::mqtt::hub::{Counters, HubSettings};
use crate::mqtt::packet::server::{Will, Wish};
use mqtt_protocol_core::mqtt::IntoPayload;

fn wish(filter: &str) -> Wish {
    Wish {
        filter: filter.into(),
        qos: 1,
        no_local: false,
        retain_as_published: false,
        retained: 0,
    }
}

fn letter(topic: &str) -> Letter {
    Letter {
        topic: topic.into(),
        payload: alloc::vec![1_u8].into_payload(),
        qos: 1,
        retain: false,
        properties: Arc::from([]),
        expires: None,
        share: None,
    }
}

fn visit(client_id: &str, connection: u64, seconds: u64) -> Visit<'_> {
    Visit {
        client_id,
        clean: true,
        expiry: Duration::from_secs(seconds),
        connection,
        wake: Arc::default(),
    }
}

fn attach(board: &Board, connection: u64) -> Arc<Session> {
    let (entry, _) = board.attach(visit("x", connection, 0), 10);
    entry.unwrap().session
}

#[test]
fn a_subscription_that_comes_after_a_takeover_leaves_nothing_behind() {
    let board = Board::default();
    let old = attach(&board, 1);
    let new = attach(&board, 2);
    // The old connection has a SUBSCRIBE in its buffer still.
    assert!(board.subscribe(&old, &[wish("t")], 64).is_none());
    assert!(board.subscribe(&new, &[wish("t")], 64).is_some());
    let _ = board.detach(&old, 1, None);
    let _ = board.detach(&new, 2, None);
    let settings = HubSettings::default();
    let reached = board.publish(&letter("t"), None, &settings, &Counters::default());
    assert_eq!((reached, old.state().queued()), (0, 0));
    assert!(board.read().tree.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_ended_sessions_left_is_told_also_when_there_is_no_place() {
    let board = Board::default();
    let (entry, _) = board.attach(visit("old", 1, 10), 1);
    let old = entry.unwrap().session;
    board.subscribe(&old, &[wish("t")], 64).unwrap();
    let settings = HubSettings::default();
    board.publish(&letter("t"), None, &settings, &Counters::default());
    let will = Will {
        topic: "will".into(),
        payload: Vec::new(),
        qos: 0,
        retain: false,
        delay_s: 60,
        expiry_s: None,
        properties: Vec::new(),
    };
    let (bequest, _) = board.detach(&old, 1, Some(Legacy::new(will, None)));
    assert!(matches!(bequest, Bequest::After(_)));
    tokio::time::advance(2 * SWEEP).await;
    let (entry, left) = board.attach(visit("new", 2, 10), 0);
    assert!(entry.is_none());
    assert_eq!((left.discarded, left.wills.len()), (1, 1));
}
