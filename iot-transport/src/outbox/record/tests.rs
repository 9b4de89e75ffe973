use super::*;
use alloc::vec::Vec;
use iot_core::{Channel, Priority};
use proptest::prelude::*;

fn fates() -> impl Strategy<Value = Vec<Ended>> {
    let ended = (1..u64::MAX / 8, 0..4u64).prop_map(|(sequence, code)| Ended {
        sequence,
        fate: fate_of(code).unwrap(),
    });
    proptest::collection::vec(ended, 1..=GROUP_LEN)
}

proptest! {
    #[test]
    fn fates_survive_the_round_trip_and_no_cut_is_read(clock: u32, group in 0..1_000_000u64, fates in fates()) {
        let first = (group + 1) * GROUP - fates.len() as u64;
        let mut room = [0; SHORT_BYTES];
        let len = write_fates(&mut room, clock, first, &fates).unwrap();
        let mut read = Vec::new();
        let found = read_fates(&room[..len], |number, ended| read.push((number, ended)));
        prop_assert_eq!(found, Some(clock));
        let expected: Vec<_> = (first..).zip(fates).collect();
        prop_assert_eq!(read, expected);
        for cut in 0..len {
            let mut shown = 0;
            prop_assert_eq!(read_fates(&room[..cut], |_, _| shown += 1), None);
            prop_assert_eq!(shown, 0);
        }
    }

    #[test]
    fn messages_survive_the_round_trip(
        (sequence, channel, priority, qos, expires, expires_wall) in (1..u64::MAX, 0..6u8, 0..4u8, any::<bool>(), any::<u32>(), any::<u64>()),
        (peer, traced) in (any::<bool>(), any::<bool>()),
        correlation in proptest::collection::vec(any::<u8>(), 0..=MAX_CORRELATION_BYTES),
        payload in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let parts = Parts {
            tenant: if peer { "acme" } else { "" },
            device: if peer { "boiler-7" } else { "" },
            correlation: &correlation,
            trace: if traced { &[3; TRACE_BYTES] } else { &[] },
            payload: &payload,
        };
        let slot = Slot {
            state: State::Stored,
            sequence,
            channel: channel_of(channel).unwrap(),
            priority: priority_of(priority).unwrap(),
            qos: if qos { Qos::AtLeastOnce } else { Qos::AtMostOnce },
            expires,
            // Who never expires has no moment at which it does.
            expires_wall: if expires == 0 { 0 } else { expires_wall },
            lengths: parts.lengths().unwrap(),
            ..Slot::FREE
        };
        let mut room = [0; 300];
        let len = write_message(&mut room, &slot, &parts).unwrap();
        prop_assert!(len <= slot.lengths.all() + OVERHEAD_BYTES);
        let (found, read) = read_message(&room[..len]).unwrap();
        prop_assert_eq!(alloc::format!("{found:?}"), alloc::format!("{slot:?}"));
        prop_assert_eq!(read, parts);
        for cut in 0..len {
            prop_assert!(read_message(&room[..cut]).is_none());
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Head::read(&bytes);
        let _ = read_fates(&bytes, |_, _| {});
        let _ = read_message(&bytes);
    }
}

#[test]
fn a_plain_message_costs_few_bytes() {
    let parts = Parts {
        tenant: "",
        device: "",
        correlation: &[],
        trace: &[],
        payload: b"21.5",
    };
    let slot = Slot {
        sequence: 60_000,
        channel: Channel::Telemetry,
        priority: Priority::Normal,
        lengths: parts.lengths().unwrap(),
        ..Slot::FREE
    };
    let mut room = [0; 64];
    assert_eq!(
        write_message(&mut room, &slot, &parts),
        Some(parts.payload.len() + 7)
    );
}
