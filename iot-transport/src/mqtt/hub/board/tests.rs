use super::*;
use crate::mqtt::hub::letter::Letter;
use crate::mqtt::hub::{Counters, HubSettings};
use crate::mqtt::packet::server::Wish;
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

fn attach(board: &Board, connection: u64) -> Arc<Session> {
    let visit = Visit {
        client_id: "x",
        clean: true,
        expiry: Duration::ZERO,
        connection,
        wake: Arc::default(),
    };
    board.attach(visit, 10).0.unwrap().session
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
