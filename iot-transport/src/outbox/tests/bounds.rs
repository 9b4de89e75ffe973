//! What is as large, as old or as small as it may be.

use super::*;

/// Reads all fates, from the beginning on.
fn read<const I: usize, const B: usize>(
    outside: &mut Outside,
    outbox: &mut Outbox<I, B>,
    cursor: &mut Cursor,
) -> Vec<(u64, Fate)> {
    let mut told = Vec::new();
    for _ in 0..2 {
        while let Some(next) = outbox.settled_after(*cursor) {
            told.push((next.sequence.get(), next.fate));
            *cursor = next.cursor;
        }
        outside.drive(outbox);
    }
    told
}

#[test]
fn what_is_refused_without_a_record_makes_no_fate_forgotten_whose_record_is_there() {
    let mut outside = Outside {
        buffer: Some(400),
        ..Outside::up()
    };
    let mut outbox = outside.boot(empty::<4, 512>());
    let (mut cursor, mut told) = (Cursor::START, Vec::new());
    outbox
        .push(outside.now(), &Message::telemetry(b"open the valve"))
        .unwrap();
    outside.drive(&mut outbox);
    outside.acknowledge(&mut outbox, 0, Fate::Delivered);
    for _ in 0..20 {
        // It fits the outbox and not the driver.
        let pushed = outbox.push(outside.now(), &Message::telemetry(&[1; 450]));
        assert!(pushed.is_ok(), "{pushed:?}");
        outside.drive(&mut outbox);
        told.extend(read(&mut outside, &mut outbox, &mut cursor));
    }
    let mut outbox = outside.boot(empty::<4, 512>());
    assert_eq!(outbox.len(), 0, "it was delivered before the power was cut");
    told.extend(read(&mut outside, &mut outbox, &mut cursor));
    assert_eq!((told.len(), told[0]), (21, (1, Fate::Delivered)));
    assert!(told[1..].iter().all(|(_, fate)| *fate == Fate::Refused));
    assert_eq!(outside.sent, [1]);
}

#[test]
fn an_empty_message_is_taken_and_sent_when_the_memory_is_full_to_the_byte() {
    const MOST: usize = 65_535;
    let work = || {
        let mut outside = Outside {
            buffer: Some(70_000),
            ..Outside::up()
        };
        let mut outbox = outside.boot(Outbox::<4, MOST>::new(FIRST, 7));
        for len in [40_000, MOST - 40_000] {
            let message = alloc::vec![1; len];
            outbox
                .push(outside.now(), &Message::telemetry(&message))
                .unwrap();
        }
        outside.drive(&mut outbox);
        outbox
            .push(outside.now(), &Message::telemetry(b""))
            .unwrap();
        outside.drive(&mut outbox);
        assert_eq!(outside.sent, [1, 2, 3]);
        let mut outbox = outside.boot(Outbox::<4, MOST>::new(FIRST, 7));
        outside.drive(&mut outbox);
        assert_eq!(outside.sent, [1, 2, 3, 1, 2, 3]);
    };
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    thread.spawn(work).unwrap().join().unwrap();
}

#[test]
fn an_outbox_with_more_places_goes_on_after_many_messages() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<4, 256>());
    let mut cursor = Cursor::START;
    for _ in 0..60 {
        outbox
            .push(outside.now(), &Message::telemetry(b"x"))
            .unwrap();
        outside.drive(&mut outbox);
        outside.acknowledge(&mut outbox, 0, Fate::Delivered);
        read(&mut outside, &mut outbox, &mut cursor);
    }
    let mut larger = outside.boot(empty::<16, 256>());
    let pushed = larger.push(outside.now(), &Message::telemetry(b"y"));
    assert!(pushed.is_ok(), "{pushed:?}");
    let told = settled(&mut larger);
    assert_eq!(told.last(), Some(&(60, Fate::Delivered)));
    assert!(told.len() >= 8, "{told:?}");
}

#[test]
fn what_no_limit_will_ever_take_is_too_large() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<4, 256>().with_limit(100));
    let pushed = outbox.push(outside.now(), &Message::telemetry(&[0; 101]));
    let (bytes, limit) = (101, 100);
    assert_eq!(pushed, Err(PushError::TooLarge { bytes, limit }));
}

#[test]
fn it_wakes_when_an_end_is_proved_that_passed_while_the_power_was_off() {
    let mut outside = Outside {
        wall: Some(1_000),
        ..Outside::default()
    };
    let mut outbox = outside.boot(empty::<4, 256>());
    let message = Message::telemetry(b"1").expires_in(Duration::from_secs(250));
    outbox.push(outside.now(), &message).unwrap();
    outside.is_up = false;
    outside.drive(&mut outbox);
    let mut outbox = outside.boot(empty::<4, 256>());
    (outside.is_up, outside.wall) = (false, Some(1_200));
    outside.drive(&mut outbox);
    outbox.wake = None;
    let deadline = outbox.deadline().unwrap();
    assert!(deadline <= Instant::from_millis(52_000), "{deadline:?}");
}

#[test]
fn the_oldest_that_is_held_back_leaves_for_what_may_push_it_out() {
    let mut outside = Outside {
        gate: Some(Priority::High),
        ..Outside::up()
    };
    let mut outbox = outside.boot(empty::<4, 256>().on(Channel::Health, Overflow::LowestPriority));
    let low = Message::telemetry(b"21.5").with_priority(Priority::Low);
    outbox.push(outside.now(), &low).unwrap();
    let alarm = Message::new(Channel::Health, b"fire").with_priority(Priority::Critical);
    let mut told = Vec::new();
    for number in 0..40 {
        let mut pushed = outbox.push(outside.now(), &alarm);
        outside.drive(&mut outbox);
        if pushed == Err(PushError::Busy) {
            pushed = outbox.push(outside.now(), &alarm);
        }
        assert!(pushed.is_ok(), "alarm {number}: {pushed:?}");
        outside.drive(&mut outbox);
        while !outside.taken.is_empty() {
            outside.acknowledge(&mut outbox, 0, Fate::Delivered);
        }
        outside.drive(&mut outbox);
        told.extend(ends(&mut outside, &mut outbox));
        outside.now_s += 10;
    }
    assert_eq!(outside.sent.len(), 40);
    let floors = outside.sent.iter().max();
    assert_eq!(floors, Some(&41));
    assert!(told.contains(&(1, Fate::Evicted)), "{told:?}");
}
