use alloc::vec::Vec;

use iot_core::Peer;
use proptest::prelude::*;

use super::*;

#[test]
fn the_longest_names_fit_the_overhead() {
    let name = "n".repeat(iot_core::id::MAX_NAME_BYTES);
    let payload = [7; 70_000];
    let carried = Carried::new(Peer::parse(&name, &name).unwrap(), &payload);
    let mut room = [0; 70_000 + OVERHEAD_BYTES];
    assert_eq!(carried.encode(&mut room).unwrap().len(), room.len());
    assert!(carried.encode(&mut room[1..]).is_err());
}

proptest! {
    #[test]
    fn what_is_carried_survives_the_round_trip(
        tenant in "[a-z0-9][a-z0-9-]{0,40}", device in "[a-z0-9][a-z0-9-]{0,40}",
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let carried = Carried::new(Peer::parse(&tenant, &device).unwrap(), &payload);
        let mut room = [0; 600];
        let bytes = carried.encode(&mut room).unwrap();
        prop_assert_eq!(Carried::decode(bytes), Ok(carried));
        for cut in 0..bytes.len() {
            prop_assert!(Carried::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(carried) = Carried::decode(&bytes) {
            let mut room: Vec<u8> = alloc::vec![0; bytes.len()];
            prop_assert_eq!(carried.encode(&mut room).unwrap(), &bytes[..]);
        }
    }
}
