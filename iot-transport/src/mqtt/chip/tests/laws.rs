//! What holds whatever the broker sends and whenever the link breaks.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Move {
    Submit(u8),
    /// The broker acknowledges an identifier, right or wrong.
    Acknowledge(u8),
    Publish(u8),
    Bytes(Vec<u8>),
    Cut,
    Come,
    Pass(u8),
    Ask,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0..40_u8).prop_map(Move::Submit),
        4 => (1..6_u8).prop_map(Move::Acknowledge),
        2 => (1..9_u8).prop_map(Move::Publish),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Move::Bytes),
        1 => Just(Move::Cut),
        4 => Just(Move::Come),
        1 => (1..200_u8).prop_map(Move::Pass),
        8 => Just(Move::Ask),
    ];
    prop::collection::vec(one, 1..80)
}

proptest! {
    #[test]
    fn every_message_ends_once_and_every_acknowledgement_was_earned(
        moves in moves(),
        piece in 1..40_usize,
    ) {
        let mut desk = Desk::new();
        desk.uart.0.borrow_mut().piece = piece;
        let (mut submitted, mut ended) = (Vec::new(), Vec::new());
        let mut connected = false;
        let mut hear = |told: Option<Told>| match told {
            Some(Told::Settled(ticket, _)) => ended.push(ticket),
            Some(Told::Connected(_)) => {
                assert!(!connected, "connected twice");
                connected = true;
            }
            Some(Told::Disconnected) => {
                assert!(connected, "disconnected twice");
                connected = false;
            }
            _ => {}
        };
        for one in moves {
            match one {
                Move::Submit(bytes) => {
                    let payload = vec![bytes; bytes.into()];
                    let message = Message::telemetry(&payload).expires_in(Duration::from_secs(300));
                    if let Ok(ticket) = block_on(desk.client.submit(&message)) {
                        submitted.push(ticket.get());
                    }
                }
                Move::Acknowledge(id) => desk.say(&[0x40, 2, 0, id]),
                Move::Publish(id) => desk.say(&publish(id, b"x")),
                Move::Bytes(bytes) => desk.say(&bytes),
                Move::Cut => desk.uart.0.borrow_mut().broken = true,
                Move::Come => {
                    desk.pass(2);
                    hear(desk.ask());
                    if !desk.client.is_connected() {
                        desk.say(&CONNACK);
                    }
                }
                Move::Pass(seconds) => desk.pass(seconds.into()),
                Move::Ask => hear(desk.ask()),
            }
        }
        // A broker that does its work again: everything ends.
        for _ in 0..40 {
            desk.cut_quietly();
            desk.pass(30);
            for _ in 0..8 {
                hear(desk.ask());
            }
            desk.say(&CONNACK);
            for _ in 0..8 {
                hear(desk.ask());
            }
            desk.acknowledge_all();
            for _ in 0..8 {
                hear(desk.ask());
            }
        }
        submitted.sort_unstable();
        ended.sort_unstable();
        prop_assert_eq!(submitted, ended);
    }
}

impl Desk {
    fn cut_quietly(&mut self) {
        self.uart.0.borrow_mut().broken = true;
    }

    /// Acknowledges every message that lies on the wire whole.
    fn acknowledge_all(&mut self) {
        let sent = self.sent();
        let mut rest = &sent[..];
        while let Ok(Some((header, whole))) = decode::frame(rest) {
            let Some((packet, behind)) = rest.split_at_checked(whole) else {
                break;
            };
            if packet[0] & 0xf2 == 0x32 {
                let at = header + 2 + usize::from(packet[header + 1]);
                self.say(&[0x40, 2, packet[at], packet[at + 1]]);
            }
            rest = behind;
        }
    }
}
