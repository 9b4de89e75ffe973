use super::*;
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
    }
}

fn attach(board: &Board, connection: u64) -> Arc<Session> {
    let wake = Arc::new(Notify::new());
    let expiry = Some(Duration::ZERO);
    let attached = board.attach("x", true, expiry, (connection, wake), 10);
    attached.unwrap().session
}

#[test]
fn a_subscription_that_comes_after_a_takeover_leaves_nothing_behind() {
    let board = Board::default();
    let old = attach(&board, 1);
    let new = attach(&board, 2);
    // The old connection has a SUBSCRIBE in its buffer still.
    assert!(board.subscribe(&old, &[wish("t")], 64).is_none());
    assert!(board.subscribe(&new, &[wish("t")], 64).is_some());
    board.detach(&old, 1, None);
    board.detach(&new, 2, None);
    let settings = HubSettings::default();
    let reached = board.publish(&letter("t"), None, &settings, &Counters::default());
    assert_eq!((reached, old.state().queued()), (0, 0));
    assert!(board.read().tree.is_empty());
}
