//! What happens when there is no room.

use super::*;

fn fill<const I: usize, const B: usize>(
    outside: &mut Outside,
    outbox: &mut Outbox<I, B>,
    channel: Channel,
    priority: Priority,
) {
    while outbox
        .push(
            outside.now(),
            &Message::new(channel, b"0123456789").with_priority(priority),
        )
        .is_ok()
    {
        outside.drive(outbox);
    }
}

fn offline<const I: usize, const B: usize>(outbox: Outbox<I, B>) -> (Outside, Outbox<I, B>) {
    let mut outside = Outside::default();
    let outbox = outside.boot(outbox);
    outside.is_up = false;
    (outside, outbox)
}

#[test]
fn the_newest_is_refused_and_nothing_is_changed() {
    let (mut outside, mut outbox) = offline(empty::<4, 256>());
    fill(
        &mut outside,
        &mut outbox,
        Channel::Telemetry,
        Priority::Normal,
    );
    let full = outbox.push(
        outside.now(),
        &Message::telemetry(b"x").with_priority(Priority::Critical),
    );
    assert_eq!(
        full,
        Err(PushError::Full {
            items: 4,
            bytes: 40
        })
    );
    outside.drive(&mut outbox);
    assert_eq!((outbox.len(), settled(&mut outbox).len()), (4, 0));
}

#[test]
fn the_oldest_of_its_channel_leaves_and_its_fate_says_so() {
    let (mut outside, mut outbox) =
        offline(empty::<4, 256>().on(Channel::Telemetry, Overflow::Oldest));
    outbox
        .push(outside.now(), &Message::new(Channel::Health, b"h"))
        .unwrap();
    for _ in 0..5 {
        outbox
            .push(outside.now(), &Message::telemetry(b"x"))
            .unwrap();
        outside.drive(&mut outbox);
    }
    assert_eq!(
        ends(&mut outside, &mut outbox),
        [(2, Fate::Evicted), (3, Fate::Evicted)]
    );
    assert_eq!(outbox.len(), 4);
}

#[test]
fn the_lowest_leaves_first_although_others_came_before_it() {
    let outbox = empty::<4, 256>().on(Channel::Telemetry, Overflow::LowestPriority);
    let (mut outside, mut outbox) = offline(outbox);
    for priority in [
        Priority::High,
        Priority::Normal,
        Priority::Low,
        Priority::Low,
        Priority::Critical,
        Priority::Critical,
        Priority::Critical,
    ] {
        let message = Message::telemetry(b"x").with_priority(priority);
        outbox.push(outside.now(), &message).unwrap();
        outside.drive(&mut outbox);
    }
    let evicted = [3, 4, 2].map(|sequence| (sequence, Fate::Evicted));
    assert_eq!(ends(&mut outside, &mut outbox), evicted);
}

#[test]
fn only_the_lower_makes_room_and_never_means_never() {
    let outbox = empty::<4, 256>()
        .on(Channel::Command, Overflow::LowestPriority)
        .on(Channel::Health, Overflow::Never);
    let (mut outside, mut outbox) = offline(outbox);
    let push = |outbox: &mut Outbox<4, 256>, outside: &mut Outside, channel, priority| {
        let pushed = outbox.push(
            outside.now(),
            &Message::new(channel, b"x").with_priority(priority),
        );
        outside.drive(outbox);
        pushed.map(Sequence::get)
    };
    assert_eq!(
        push(&mut outbox, &mut outside, Channel::Health, Priority::Low),
        Ok(1)
    );
    assert_eq!(
        push(
            &mut outbox,
            &mut outside,
            Channel::Telemetry,
            Priority::High
        ),
        Ok(2)
    );
    assert_eq!(
        push(
            &mut outbox,
            &mut outside,
            Channel::Telemetry,
            Priority::Normal
        ),
        Ok(3)
    );
    assert_eq!(
        push(
            &mut outbox,
            &mut outside,
            Channel::Telemetry,
            Priority::Normal
        ),
        Ok(4)
    );
    assert_eq!(
        push(&mut outbox, &mut outside, Channel::Command, Priority::High),
        Ok(5)
    );
    assert_eq!(
        push(&mut outbox, &mut outside, Channel::Command, Priority::High),
        Ok(6)
    );
    assert!(push(&mut outbox, &mut outside, Channel::Command, Priority::High).is_err());
    assert_eq!(
        push(
            &mut outbox,
            &mut outside,
            Channel::Command,
            Priority::Critical
        ),
        Ok(7)
    );
    assert_eq!(
        ends(&mut outside, &mut outbox),
        [(3, Fate::Evicted), (4, Fate::Evicted), (2, Fate::Evicted)]
    );
}

#[test]
fn several_short_ones_leave_for_a_long_one_and_none_when_that_would_not_help() {
    let outbox = empty::<8, 512>()
        .with_limit(40)
        .on(Channel::Telemetry, Overflow::Oldest);
    let (mut outside, mut outbox) = offline(outbox);
    fill_three(&mut outside, &mut outbox);
    outbox
        .push(outside.now(), &Message::new(Channel::Health, &[0; 8]))
        .unwrap();
    outside.drive(&mut outbox);
    let too_long = outbox.push(outside.now(), &Message::telemetry(&[0; 36]));
    assert!(
        matches!(
            too_long,
            Err(PushError::Full {
                items: 4,
                bytes: 38
            })
        ),
        "{too_long:?}"
    );
    outbox
        .push(outside.now(), &Message::telemetry(&[0; 20]))
        .unwrap();
    outside.drive(&mut outbox);
    assert_eq!(
        ends(&mut outside, &mut outbox),
        [(1, Fate::Evicted), (2, Fate::Evicted)]
    );
    assert_eq!(outbox.bytes(), 38);
}

fn fill_three(outside: &mut Outside, outbox: &mut Outbox<8, 512>) {
    for _ in 0..3 {
        outbox
            .push(outside.now(), &Message::telemetry(&[0; 10]))
            .unwrap();
        outside.drive(outbox);
    }
}

#[test]
fn what_is_in_flight_is_never_evicted() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<2, 256>().on(Channel::Telemetry, Overflow::Oldest));
    for _ in 0..2 {
        outbox
            .push(outside.now(), &Message::telemetry(b"x"))
            .unwrap();
        outside.drive(&mut outbox);
    }
    let full = outbox.push(outside.now(), &Message::telemetry(b"x"));
    assert!(matches!(full, Err(PushError::Full { .. })));
}

#[test]
fn fates_that_nobody_reads_count_and_then_nothing_is_taken() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<4, 256>());
    let mut last = Ok(());
    for _ in 0..9 {
        last = outbox
            .push(outside.now(), &Message::telemetry(b"x"))
            .map(drop);
        outside.drive(&mut outbox);
        while !outside.taken.is_empty() {
            outside.acknowledge(&mut outbox, 0, Fate::Delivered);
        }
        outside.now_s += 2;
        outside.drive(&mut outbox);
    }
    assert_eq!(last, Err(PushError::Unread { fates: 8 }));
    assert_eq!(settled(&mut outbox).len(), 8);
    outbox
        .push(outside.now(), &Message::telemetry(b"x"))
        .unwrap();
}

#[test]
fn a_storage_that_is_full_is_cleared_of_what_is_settled_and_then_refuses_with_a_fate() {
    let mut outside = Outside::up();
    let mut outbox = outside.boot(empty::<8, 512>());
    outside.room = Some(280);
    for sequence in 1..=40 {
        outbox
            .push(outside.now(), &Message::telemetry(&[1; 60]))
            .unwrap();
        outside.drive(&mut outbox);
        while !outside.taken.is_empty() {
            outside.acknowledge(&mut outbox, 0, Fate::Delivered);
        }
        assert_eq!(
            ends(&mut outside, &mut outbox),
            [(sequence, Fate::Delivered)]
        );
    }
    outside.is_up = false;
    for _ in 0..4 {
        outbox
            .push(outside.now(), &Message::telemetry(&[1; 60]))
            .unwrap();
        outside.drive(&mut outbox);
    }
    let ends = ends(&mut outside, &mut outbox);
    assert!(
        ends.iter().all(|(_, fate)| *fate == Fate::Refused),
        "{ends:?}"
    );
    assert_eq!((ends.len() + outbox.len(), outbox.len()), (4, 2));
}

#[test]
fn messages_that_are_too_long_are_refused_before_anything_changes() {
    let (outside, mut outbox) = offline(empty::<4, 64>());
    let error = outbox.push(outside.now(), &Message::telemetry(&[0; 65]));
    assert_eq!(
        error,
        Err(PushError::TooLarge {
            bytes: 65,
            limit: 64
        })
    );
    let context = Context::NONE.correlated(&[0; 17]);
    let error = outbox.push_with(outside.now(), &Message::telemetry(b"x"), context);
    assert_eq!(error, Err(PushError::Context));
    assert_eq!(outbox.len(), 0);
}
