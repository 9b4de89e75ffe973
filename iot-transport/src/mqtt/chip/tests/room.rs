//! What has no room: a packet longer than the client receives, and a message longer than the caller's buffer.

use super::*;

const SESSION: [u8; 4] = [0x20, 2, 1, 0];

/// A PUBLISH of MQTT 3.1.1 to that topic; an id of 0 for one that is sent at most once.
fn v3(topic: &[u8], id: u16, payload: &[u8]) -> Vec<u8> {
    let id_bytes = if id == 0 { 0 } else { 2 };
    let body = u16::try_from(2 + topic.len() + id_bytes + payload.len()).unwrap();
    let [low, high] = [
        u8::try_from(body & 0x7f).unwrap(),
        u8::try_from(body >> 7).unwrap(),
    ];
    let topic_bytes = u16::try_from(topic.len()).unwrap();
    let mut packet = vec![0x30 | u8::try_from(id_bytes).unwrap(), low | 0x80, high];
    packet.extend_from_slice(&topic_bytes.to_be_bytes());
    packet.extend_from_slice(topic);
    packet.extend_from_slice(&id.to_be_bytes()[..id_bytes]);
    packet.extend_from_slice(payload);
    packet
}

fn too_small(needed: usize) -> Result<Option<Told>, ClientError> {
    Err(ClientError::Buffer { needed })
}

fn message(payload: &[u8]) -> Option<Told> {
    Some(Told::Message(
        Channel::Twin,
        payload.to_vec(),
        Qos::AtLeastOnce,
    ))
}

#[test]
fn a_packet_that_is_too_long_is_acknowledged_and_told_and_the_link_goes_on() {
    for piece in [1, 7, 1_000] {
        let mut desk = Desk::with(settings().with_version(Version::V3));
        desk.uart.0.borrow_mut().piece = piece;
        desk.come_up(&SESSION);
        assert_eq!(desk.client.passed_over(), None);
        let ticket = desk.submit(b"t");
        assert_eq!(desk.ask(), None);
        desk.sent();
        desk.say(&v3(TOPIC, 0x0102, &[1; 300]));
        desk.say(&v3(TOPIC, 0, &[1; 200]));
        desk.say(&[0x40, 2, 0, 1]);
        desk.say(&v3(TOPIC, 9, b"fits"));
        // One poll is bounded, whatever the length that a stranger names.
        let mut told = (0..20).filter_map(|_| desk.ask());
        assert_eq!(told.next(), Some(Told::Settled(ticket, Fate::Delivered)));
        assert_eq!(told.next(), message(b"fits"));
        drop(told);
        assert_eq!(desk.sent(), [0x40, 2, 1, 2], "in pieces of {piece}");
        let passed = desk.client.passed_over().unwrap();
        assert_eq!(
            (passed.messages, passed.channel, passed.bytes),
            (2, Some(Channel::Twin), 3 + 2 + TOPIC.len() + 200)
        );
        assert_eq!(desk.uart.0.borrow().opened, 1);
    }
}

#[test]
fn a_topic_that_is_too_long_to_be_seen_hides_its_channel_and_not_its_identifier() {
    let mut desk = Desk::with(settings().with_version(Version::V3));
    desk.come_up(&SESSION);
    desk.sent();
    desk.say(&v3(&[b't'; 200], 0x0304, b"x"));
    assert_eq!((desk.ask(), desk.sent()), (None, vec![0x40, 2, 3, 4]));
    let passed = desk.client.passed_over().unwrap();
    assert_eq!((passed.messages, passed.channel), (1, None));
    // What was never for this device is no loss.
    desk.say(&v3(b"iot/1/acme/d2/twin/down", 5, &[0; 200]));
    assert_eq!((desk.ask(), desk.sent()), (None, vec![0x40, 2, 0, 5]));
    assert_eq!(desk.client.passed_over(), Some(passed));
}

#[test]
fn acknowledgements_keep_the_order_of_their_messages_also_past_one_that_is_too_long() {
    let mut desk = Desk::with(settings().with_version(Version::V3));
    desk.come_up(&SESSION);
    desk.sent();
    desk.say(&v3(TOPIC, 1, b"first"));
    desk.say(&v3(TOPIC, 2, &[0; 200]));
    desk.say(&v3(TOPIC, 3, b"third"));
    assert_eq!(desk.ask(), message(b"first"));
    assert_eq!(desk.sent(), b"");
    assert_eq!(desk.ask(), message(b"third"));
    assert_eq!(desk.sent(), [0x40, 2, 0, 1, 0x40, 2, 0, 2]);
}

#[test]
fn a_lie_about_the_length_ends_the_link() {
    for lie in [
        &[0x32, 0xac, 2, 1, 0x40][..],
        &[0x34, 0xac, 2, 0, 1],
        &[0x40, 0xac, 2, 0, 1],
    ] {
        let mut desk = Desk::with(settings().with_version(Version::V3));
        desk.come_up(&SESSION);
        desk.say(lie);
        assert_eq!(desk.ask(), Some(Told::Disconnected), "{lie:?}");
    }
    // An MQTT 5 broker knows the limit.
    let mut desk = Desk::up(&CONNACK);
    desk.say(&v3(TOPIC, 1, &[0; 200]));
    assert_eq!(desk.ask(), Some(Told::Disconnected));
}

#[test]
fn fates_and_pings_go_on_while_a_message_waits_for_a_larger_buffer() {
    let mut desk = Desk::up(&CONNACK);
    let ticket = desk.submit(b"t");
    assert_eq!(desk.ask(), None);
    desk.sent();
    // The packet fills the client's room to the last byte.
    let payload = [1; 128 - 2 - 2 - TOPIC.len() - 3];
    desk.say(&publish(9, &payload));
    assert_eq!(desk.ask_with(32), too_small(payload.len()));
    // An acknowledgement with more words than there is room for.
    let mut refusal = vec![0x40, 44, 0, 1, 0x87, 40, 0x1f, 0, 37];
    refusal.extend_from_slice(&[b'x'; 37]);
    desk.say(&refusal);
    let settled = Some(Told::Settled(ticket, Fate::Refused));
    assert_eq!(desk.ask_with(32), Ok(settled));
    desk.pass(100);
    assert_eq!(
        (desk.ask_with(32), desk.sent()),
        (too_small(payload.len()), vec![0xc0, 0])
    );
    desk.say(&[0xd0, 0]);
    desk.pass(60);
    assert_eq!(desk.ask_with(32), too_small(payload.len()));
    assert_eq!(desk.ask_with(128), Ok(message(&payload)));
    assert_eq!((desk.ask(), desk.sent()), (None, vec![0x40, 2, 0, 9]));
    assert_eq!(desk.uart.0.borrow().opened, 1);
}

#[test]
fn a_dead_link_is_noticed_while_a_message_waits_for_a_larger_buffer() {
    let mut desk = Desk::up(&CONNACK);
    desk.say(&publish(9, &[1; 60]));
    assert_eq!(desk.ask_with(32), too_small(60));
    desk.pass(100);
    assert_eq!(desk.ask_with(32), too_small(60));
    desk.pass(60);
    assert_eq!(desk.ask_with(32), Ok(Some(Told::Disconnected)));
    assert!(!desk.client.is_connected());
}

#[test]
fn what_came_behind_a_message_that_waits_comes_again_in_its_order() {
    let mut desk = Desk::up(&CONNACK);
    desk.submit(b"t");
    assert_eq!(desk.ask(), None);
    desk.say(&publish(1, &[1; 60]));
    desk.say(&publish(2, b"second"));
    desk.say(&publish(3, &[3; 80]));
    desk.say(&[0x40, 2, 0, 1]);
    assert_eq!(desk.ask_with(32), too_small(60));
    assert_eq!(
        desk.ask_with(32),
        Ok(Some(Told::Settled(1, Fate::Delivered)))
    );
    desk.sent();
    assert_eq!(desk.ask_with(32), too_small(60));
    assert_eq!(desk.ask_with(64), Ok(message(&[1; 60])));
    assert_eq!(desk.sent(), b"", "nothing is acknowledged before the first");
    desk.uart.0.borrow_mut().piece = 100;
    // The first is acknowledged; then the link is changed, because the broker sends again on a new one only.
    assert_eq!(desk.ask(), Some(Told::Disconnected));
    assert_eq!(desk.sent(), [0x40, 2, 0, 1, 0xe0, 0]);
    assert_eq!(desk.ask(), None);
    desk.say(&RESUMED);
    assert_eq!(desk.ask(), Some(Told::Connected(true)));
    desk.say(&publish(2, b"second"));
    desk.say(&publish(3, &[3; 80]));
    assert_eq!(desk.ask(), message(b"second"));
    assert_eq!(desk.ask_with(80), Ok(message(&[3; 80])));
}
