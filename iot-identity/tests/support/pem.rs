//! The body of the first block of a PEM file.

pub(crate) fn decode(text: &str) -> Vec<u8> {
    let body = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"));
    let body: String = body
        .skip(1)
        .take_while(|line| !line.starts_with("-----"))
        .collect();
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for chunk in body.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = chunk.iter().fold(0, |bits, &byte| bits << 6 | digit(byte));
        let bits = bits << (6 * (4 - chunk.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    out
}
