//! What goes when, and what is known of it afterwards.

use super::*;

#[test]
fn nothing_is_sent_before_it_is_stored() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<4, 256>());
    let first = outbox
        .push(outside.now(), &Message::telemetry(b"1"))
        .unwrap();
    assert!(!outbox.is_stored(first));
    assert_eq!(outside.one(&mut outbox, true), Some(true));
    assert!(outbox.is_stored(first) && outside.sent.is_empty());
    outside.drive(&mut outbox);
    assert_eq!(outside.sent, [1]);
}

#[test]
fn what_is_more_urgent_goes_first_and_what_is_equally_urgent_in_its_order() {
    let mut outside = Outside::default();
    let mut outbox = outside.boot(empty::<8, 512>()).with_window(1);
    outside.is_up = false;
    for priority in [
        Priority::Low,
        Priority::Normal,
        Priority::Critical,
        Priority::Normal,
    ] {
        let message = Message::telemetry(b"x").with_priority(priority);
        outbox.push(outside.now(), &message).unwrap();
    }
    outside.drive(&mut outbox);
    outside.is_up = true;
    outbox.input(outside.now(), &Event::Connected { resumed: false });
    for _ in 0..4 {
        outside.drive(&mut outbox);
        outside.acknowledge(&mut outbox, 0, Fate::Delivered);
    }
    assert_eq!(outside.sent, [3, 2, 4, 1]);
}

#[test]
fn a_fate_is_on_record_before_it_is_told_and_stays_after_a_reboot_until_it_was_read() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<4, 256>());
    for payload in [b"1", b"2"] {
        outbox
            .push(outside.now(), &Message::telemetry(payload))
            .unwrap();
    }
    outside.drive(&mut outbox);
    outside.acknowledge(&mut outbox, 0, Fate::Delivered);
    outside.acknowledge(&mut outbox, 0, Fate::Refused);
    assert_eq!(outbox.settled_after(Cursor::START), None);
    // Who asks makes it be put on record.
    outside.drive(&mut outbox);
    let expected = [(1, Fate::Delivered), (2, Fate::Refused)];
    assert_eq!(settled(&mut outbox), expected);

    let mut outbox = outside.boot(empty::<4, 256>());
    assert_eq!(settled(&mut outbox), expected);
    assert_eq!(outbox.len(), 0);
}

#[test]
fn fates_are_put_on_record_after_a_while_and_together() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<64, 2_048>()).with_window(64);
    for _ in 0..20 {
        outbox
            .push(outside.now(), &Message::telemetry(b"x"))
            .unwrap();
    }
    outside.drive(&mut outbox);
    let writes = outside.writes;
    for _ in 0..15 {
        outside.acknowledge(&mut outbox, 0, Fate::Delivered);
        outside.drive(&mut outbox);
    }
    assert_eq!(outside.writes, writes, "fifteen may wait");
    outside.acknowledge(&mut outbox, 0, Fate::Delivered);
    outside.drive(&mut outbox);
    assert_eq!(outside.writes, writes + 1, "sixteen fill a record");
    outside.acknowledge(&mut outbox, 0, Fate::Delivered);
    outside.drive(&mut outbox);
    assert_eq!(outside.writes, writes + 1);
    assert_eq!(outbox.deadline(), Some(Instant::from_millis(1_000)));
    outside.now_s = 1;
    outside.drive(&mut outbox);
    assert_eq!(
        outside.writes,
        writes + 2,
        "one does not wait longer than a second"
    );
    assert_eq!(outbox.deadline(), None);
}

#[test]
fn what_was_in_flight_is_sent_again_after_a_reboot_under_the_same_number() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<4, 256>());
    outbox
        .push(outside.now(), &Message::telemetry(b"1"))
        .unwrap();
    outside.drive(&mut outbox);
    let mut outbox = outside.boot(Outbox::<4, 256>::new(FIRST, 99));
    outside.drive(&mut outbox);
    assert_eq!(outside.sent, [1, 1]);
    assert_eq!(outbox.stream(), 7, "the stream on record holds");
    let next = outbox
        .push(outside.now(), &Message::telemetry(b"2"))
        .unwrap();
    assert_eq!(next.get(), 2);
}

#[test]
fn time_that_the_device_was_off_counts_only_where_it_is_proved() {
    for (wall, expected) in [(None, 0), (Some(1_000 + 70), 1)] {
        let mut outside = Outside {
            wall: Some(1_000),
            ..Outside::default()
        };
        let mut outbox = outside.boot(empty::<4, 256>());
        outside.is_up = false;
        let message = Message::telemetry(b"1").expires_in(Duration::from_secs(60));
        outbox.push(outside.now(), &message).unwrap();
        outside.drive(&mut outbox);
        let mut outbox = outside.boot(empty::<4, 256>());
        (outside.is_up, outside.wall, outside.now_s) = (false, wall, 1);
        outside.drive(&mut outbox);
        assert_eq!(
            ends(&mut outside, &mut outbox),
            [(1, Fate::Expired)][..expected]
        );
    }
}

#[test]
fn powered_time_is_counted_over_reboots() {
    let mut outside = Outside::default();
    let mut outbox = outside.boot(empty::<4, 256>());
    let message = Message::telemetry(b"1").expires_in(Duration::from_secs(1_000));
    outbox.push(outside.now(), &message).unwrap();
    for boot in 0..3 {
        outside.is_up = false;
        outside.drive(&mut outbox);
        assert!(
            outbox
                .deadline()
                .is_some_and(|at| at <= Instant::from_millis(300_000))
        );
        outside.now_s = 400;
        outside.drive(&mut outbox);
        assert_eq!(outbox.len(), usize::from(boot < 2), "boot {boot}");
        outbox = outside.boot(empty::<4, 256>());
    }
}

#[test]
fn an_oldest_message_that_never_gets_its_turn_gets_it_before_the_window_is_full() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<4, 256>()).with_window(1);
    let push = |outbox: &mut Outbox<4, 256>, outside: &Outside, priority| {
        let message = Message::telemetry(b"x").with_priority(priority);
        outbox.push(outside.now(), &message)
    };
    outside.is_up = false;
    push(&mut outbox, &outside, Priority::High).unwrap();
    push(&mut outbox, &outside, Priority::Low).unwrap();
    outside.drive(&mut outbox);
    outside.is_up = true;
    outbox.input(outside.now(), &Event::Connected { resumed: true });
    let mut cursor = Cursor::START;
    for _ in 0..40 {
        outside.drive(&mut outbox);
        outside.acknowledge(&mut outbox, 0, Fate::Delivered);
        push(&mut outbox, &outside, Priority::High).unwrap();
        while let Some(next) = outbox.settled_after(cursor) {
            cursor = next.cursor;
        }
    }
    assert!(outside.sent.contains(&2), "{:?}", outside.sent);
}

#[test]
fn what_is_being_sent_stays_when_a_push_between_needs_its_memory() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<4, 64>());
    let now = outside.now();
    outbox.push(now, &Message::telemetry(&[1; 30])).unwrap();
    assert_eq!(outside.one(&mut outbox, true), Some(true));
    // A driver that was dropped here asks again.
    let mut buffer = [0; 256];
    assert!(matches!(outbox.step(now, &mut buffer), Step::Send(_)));
    outbox.push(now, &Message::telemetry(&[2; 30])).unwrap();
    let third = outbox.push(now, &Message::telemetry(&[3; 30]));
    assert_eq!(third, Err(PushError::Busy));
    assert!(matches!(outbox.step(now, &mut buffer), Step::Send(_)));
    outside.drive(&mut outbox);
    assert_eq!(outside.sent, [1, 2]);
    assert_eq!(ends(&mut outside, &mut outbox), []);
}

#[test]
fn a_transport_that_makes_room_for_others_is_given_the_message_again() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<4, 256>());
    outbox
        .push(outside.now(), &Message::telemetry(b"1"))
        .unwrap();
    outside.drive(&mut outbox);
    outside.acknowledge(&mut outbox, 0, Fate::Evicted);
    outside.drive(&mut outbox);
    assert_eq!(outside.sent, [1, 1]);
}

#[test]
fn everything_that_belongs_to_a_message_survives_a_reboot() {
    let mut outside = Outside::default();
    let mut outbox = outside.boot(empty::<4, 256>());
    let peer = iot_core::Peer::parse("acme", "boiler-7").unwrap();
    let message = Message::new(Channel::Command, b"open")
        .to(peer)
        .with_priority(Priority::High);
    let context = Context::NONE.correlated(b"request-9").traced(&[5; 25]);
    outbox
        .push_with(outside.now(), &message.expires_in_h(1), context)
        .unwrap();
    outside.is_up = false;
    outside.drive(&mut outbox);
    let mut outbox = outside.boot(empty::<4, 256>());
    let mut buffer = [0; 512];
    let now = outside.now();
    let Step::Read(key) = outbox.step(now, &mut buffer) else {
        panic!("it is not read");
    };
    let value = outside.records.get(&key.get()).cloned();
    outbox.done(now, Done::Read(value.as_deref()));
    let Step::Send(sent) = outbox.step(now, &mut buffer) else {
        panic!("it is not sent");
    };
    assert_eq!(
        (sent.channel, sent.peer, sent.priority),
        (Channel::Command, Some(peer), Priority::High)
    );
    assert_eq!(sent.expires_in, Some(Duration::from_secs(3_600)));
    let envelope = Envelope::decode(sent.payload).unwrap();
    assert_eq!(
        (envelope.payload, envelope.correlation, envelope.trace),
        (&b"open"[..], &b"request-9"[..], &[5; 25][..])
    );
    assert_eq!(
        (envelope.priority, envelope.life),
        (Priority::High, Some(Duration::from_secs(3_600)))
    );
}

#[test]
fn a_smaller_outbox_overlooks_nothing_and_a_larger_one_goes_on() {
    let mut outside = Outside::default();
    let mut outbox = outside.boot(empty::<8, 512>());
    outside.is_up = false;
    for _ in 0..6 {
        outbox
            .push(outside.now(), &Message::telemetry(b"x"))
            .unwrap();
    }
    outside.drive(&mut outbox);
    let small = outside.boot(empty::<4, 512>());
    assert!(small.is_damaged());
    let mut large = outside.boot(empty::<16, 512>());
    assert_eq!((large.len(), large.is_damaged()), (6, false));
    for _ in 0..6 {
        outside.drive(&mut large);
        outside.acknowledge(&mut large, 0, Fate::Delivered);
    }
    assert!(large.is_empty());
}

#[test]
fn a_record_that_cannot_be_read_stops_the_outbox_and_changes_nothing() {
    let mut outside = Outside::up();
    outside.records.insert(FIRST.get() + 300, b"\xFF".to_vec());
    let mut outbox = outside.boot(empty::<64, 256>());
    assert!(outbox.is_damaged());
    assert_eq!(
        outbox.push(outside.now(), &Message::telemetry(b"1")),
        Err(PushError::Damaged)
    );
    outside.drive(&mut outbox);
    assert_eq!(
        (outside.writes, outside.sent.len(), outbox.deadline()),
        (0, 0, None)
    );
}
