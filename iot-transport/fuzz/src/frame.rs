//! Where a packet ends, as the hub, the gate and the client for hosts read it.

use iot_transport::fuzzing::{frame, put_varint, varint};

/// A packet lies within the bytes and the limit, more bytes change neither it nor a refusal, and fewer are too few.
pub fn run(data: &[u8]) {
    let Some(([high, low], bytes)) = data.split_first_chunk() else {
        return;
    };
    let limit = usize::from(u16::from_be_bytes([*high, *low]));
    let found = frame(bytes, limit);
    let longer = [bytes, &[0x80; 4]].concat();
    match found {
        Ok(None) => {}
        other => assert_eq!(frame(&longer, limit), other, "more bytes, another answer"),
    }
    let Ok(Some((header, body))) = found else {
        return;
    };
    let whole = header + body;
    assert!(whole <= bytes.len() && whole <= limit && (2..=5).contains(&header));
    for shorter in [0, 1, header - 1, header, whole - 1] {
        if shorter < whole {
            assert_eq!(frame(&bytes[..shorter], limit), Ok(None));
        }
    }
    assert_eq!(varint(&bytes[1..]), Some((body, header - 1)));
    let mut shortest = Vec::new();
    put_varint(&mut shortest, body);
    assert!(shortest.len() < header);
    assert_eq!(varint(&shortest), Some((body, shortest.len())));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        vec![0xff, 0xff, 0x30, 0x80, 0x80, 0],
        vec![0, 9, 0x30, 0xff, 0xff, 0xff, 0xff],
    ];
    for body in [0, 1, 127, 128, 300] {
        let mut seed = vec![1, 0x2f, 0x30];
        put_varint(&mut seed, body);
        seed.resize(seed.len() + body, 7);
        seeds.push(seed);
    }
    seeds
}

#[test]
fn the_seeds_keep_the_claims() {
    for seed in seeds() {
        run(&seed);
    }
    let whole = seeds()
        .iter()
        .filter(|seed| matches!(frame(&seed[2..], 303), Ok(Some(_))))
        .count();
    assert_eq!(whole, 6);
}
