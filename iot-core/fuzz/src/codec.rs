//! The gate in front of every decoder.

use iot_core::codec::{CodecError, Limits, check, check_prefix};
use minicbor::data::Token;
use minicbor::decode::Tokenizer;

/// What passes is decodable to its last byte, has no other spelling, and no part of it is the whole.
pub fn run(data: &[u8]) {
    for limits in [Limits::default(), Limits::new(64, 3, 8)] {
        let checked = check(data, limits);
        match check_prefix(data, limits) {
            Ok(len) if len == data.len() => assert_eq!(checked, Ok(())),
            Ok(position) => assert_eq!(checked, Err(CodecError::Trailing { position })),
            Err(error) => assert_eq!(checked, Err(error)),
        }
        if let Ok(len) = check_prefix(data, limits) {
            passed(&data[..len], limits);
        }
    }
}

fn passed(item: &[u8], limits: Limits) {
    assert!(item.len() <= limits.bytes);
    let mut decoder = minicbor::Decoder::new(item);
    decoder.skip().expect("what passes is decodable");
    assert_eq!(decoder.position(), item.len());
    if let Some(shorter) = item.len().checked_sub(1) {
        assert_eq!(check(&item[..shorter], limits), Err(CodecError::Truncated));
    }
    let tokens: Result<Vec<_>, _> = Tokenizer::new(item).collect();
    let tokens = tokens.expect("what passes has tokens");
    assert!(tokens.len() <= limits.items);
    // A NaN may lose its payload on the way through a float.
    let float = |token: &Token<'_>| matches!(token, Token::F16(_) | Token::F32(_) | Token::F64(_));
    if !tokens.iter().any(float) {
        let mut again = vec![0; item.len() + 16];
        let mut encoder = minicbor::Encoder::new(&mut again[..]);
        encoder.tokens(&tokens).expect("no longer than before");
        let rest = encoder.into_writer().len();
        again.truncate(item.len() + 16 - rest);
        assert_eq!(again, item, "a second spelling of the same value");
    }
}

/// One item of every kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let hex = [
        &[0x00][..],
        &[0x38, 0x63],
        &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0],
        &[0x43, 1, 2, 3],
        &[0x63, b'a', b'b', b'c'],
        &[0x83, 0x01, 0x82, 0x02, 0x03, 0x80],
        &[0xa2, 0x01, 0x61, b'x', 0x61, b'k', 0xa1, 0x00, 0xf6],
        &[0xd2, 0x84, 0x43, 0xa1, 0x01, 0x28, 0xa0, 0xf6, 0x41, 0x00],
        &[0xf4],
        &[0xf8, 0x20],
        &[0xf9, 0x3c, 0x00],
        &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
    ];
    hex.into_iter().map(<[u8]>::to_vec).collect()
}

#[test]
fn every_seed_passes_and_keeps_the_claims() {
    for seed in seeds() {
        assert_eq!(check(&seed, Limits::default()), Ok(()), "{seed:02x?}");
        run(&seed);
    }
}
