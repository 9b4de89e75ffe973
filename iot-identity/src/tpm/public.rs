//! Public areas: what a key is asked to be, and what it says it is (Part 2 §12.2).

use alloc::vec::Vec;

use iot_core::crypto::{KeyPolicy, SignatureAlgorithm};
use sha2::Digest as _;

use super::code::{Failure, Fault};
use super::wire::Reader;
use crate::key::PublicKey;

const ECC: u16 = 0x0023;
const SHA256: u16 = 0x000b;
const ECDSA: u16 = 0x0018;
const AES: u16 = 0x0006;
const CFB: u16 = 0x0043;
const NULL: u16 = 0x0010;
const P256: u16 = 0x0003;

// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA (Part 2 §8.3).
const OURS: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10;
const SIGN: u32 = OURS | 1 << 18;
// restricted, decrypt: a storage key.
const STORAGE: u32 = OURS | 1 << 16 | 1 << 17;

/// The `authPolicy` of a key for life. No policy session can have this digest: it is a mark, no policy.
fn life_mark() -> [u8; 32] {
    sha2::Sha256::digest(b"iot-identity: a key for life").into()
}

/// The storage key above a new key; the same for the same owner, and nothing else hangs on it.
pub(super) fn storage() -> Vec<u8> {
    area(STORAGE, &[], &[AES, 128, CFB, NULL])
}

/// A key that signs digests.
pub(super) fn signing(policy: KeyPolicy) -> Vec<u8> {
    let mark = life_mark();
    let mark: &[u8] = match policy {
        KeyPolicy::SignForLife => &mark,
        _ => &[],
    };
    area(SIGN, mark, &[NULL, ECDSA, SHA256])
}

/// `TPMT_PUBLIC` with a point for the TPM to fill in.
fn area(attributes: u32, policy: &[u8], schemes: &[u16]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(ECC.to_be_bytes());
    out.extend(SHA256.to_be_bytes());
    out.extend(attributes.to_be_bytes());
    out.extend(
        u16::try_from(policy.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes(),
    );
    out.extend_from_slice(policy);
    // Curve, key derivation, and an empty point.
    for value in schemes.iter().chain(&[P256, NULL, 0, 0]) {
        out.extend(value.to_be_bytes());
    }
    out
}

/// Reads the public area of a signing key; anything but what [`signing`] asks for is foreign.
pub(super) fn read(area: &[u8]) -> Result<(PublicKey, KeyPolicy), Failure> {
    let mut rest = Reader::new(area);
    // Of another kind the rest would mean something else.
    if (rest.u16()?, rest.u16()?, rest.u32()?) != (ECC, SHA256, SIGN) {
        return Err(Fault::Foreign.into());
    }
    let policy = match rest.sized(32)? {
        [] => KeyPolicy::Sign,
        mark if mark == life_mark() => KeyPolicy::SignForLife,
        _ => return Err(Fault::Foreign.into()),
    };
    for wanted in [NULL, ECDSA, SHA256, P256, NULL] {
        if rest.u16()? != wanted {
            return Err(Fault::Foreign.into());
        }
    }
    let (x, y) = (rest.sized(32)?, rest.sized(32)?);
    rest.end()?;
    let mut point = [0; 65];
    place(&mut point, 1, &[0x04]);
    place(&mut point, 33, x);
    place(&mut point, 65, y);
    let key = PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, &point);
    Ok((key.ok_or(Fault::Response)?, policy))
}

/// A `TPMT_SIGNATURE` of ECDSA as `r ‖ s`; a TPM may leave leading zeros out.
pub(super) fn signature(mut rest: Reader<'_>) -> Result<[u8; 64], Fault> {
    rest.expect(ECDSA)?;
    rest.expect(SHA256)?;
    let (r, s) = (rest.sized(32)?, rest.sized(32)?);
    rest.end()?;
    let mut out = [0; 64];
    place(&mut out, 32, r);
    place(&mut out, 64, s);
    Ok(out)
}

/// The scheme that [`signing`] fixed, as `TPM2_Sign` wants it.
pub(super) const SCHEME: [u16; 2] = [ECDSA, SHA256];

/// Writes a number so that it ends in front of `end`.
fn place(out: &mut [u8], end: usize, number: &[u8]) {
    let to = out.iter_mut().take(end).rev();
    for (to, from) in to.zip(number.iter().rev()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The area of a key with this point: a template whose empty point is filled.
    fn made(policy: KeyPolicy, x: &[u8], y: &[u8]) -> Vec<u8> {
        let mut area = signing(policy);
        area.truncate(area.len() - 4);
        for number in [x, y] {
            area.extend(u16::try_from(number.len()).unwrap().to_be_bytes());
            area.extend(number);
        }
        area
    }

    /// A signature with these two numbers.
    fn signed(r: &[u8], s: &[u8]) -> Vec<u8> {
        let mut out = [ECDSA.to_be_bytes(), SHA256.to_be_bytes()].concat();
        for number in [r, s] {
            out.extend(u16::try_from(number.len()).unwrap().to_be_bytes());
            out.extend(number);
        }
        out
    }

    #[test]
    fn a_key_that_could_leave_is_foreign() {
        let good = made(KeyPolicy::Sign, &[1; 32], &[2; 32]);
        assert!(read(&good).is_ok());
        // One bit of the attributes at a time: not fixed, not made here, restricted, decrypting.
        for bit in 0..32 {
            let mut bad = good.clone();
            bad[4 + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad), Err(Failure::Fault(Fault::Foreign)), "bit {bit}");
        }
        assert_eq!(read(&storage()), Err(Failure::Fault(Fault::Foreign)));
    }

    #[test]
    fn a_mark_of_somebody_else_is_foreign() {
        let mut area = made(KeyPolicy::SignForLife, &[1; 32], &[2; 32]);
        assert_eq!(read(&area).unwrap().1, KeyPolicy::SignForLife);
        area[12] ^= 1;
        assert_eq!(read(&area), Err(Failure::Fault(Fault::Foreign)));
    }

    #[test]
    fn a_signature_of_another_scheme_or_length_is_refused() {
        let good = signed(&[7; 32], &[9; 31]);
        assert!(signature(Reader::new(&good)).is_ok());
        for at in [1, 3] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(signature(Reader::new(&bad)).is_err());
        }
        assert!(signature(Reader::new(&good[..good.len() - 1])).is_err());
        assert!(signature(Reader::new(&[&good[..], &[0]].concat())).is_err());
        assert!(signature(Reader::new(&signed(&[7; 33], &[9; 32]))).is_err());
    }

    proptest! {
        #[test]
        fn the_numbers_of_a_signature_keep_their_places(
            r in proptest::collection::vec(any::<u8>(), 0..33),
            s in proptest::collection::vec(any::<u8>(), 0..33),
        ) {
            let out = signature(Reader::new(&signed(&r, &s))).unwrap();
            let padded = |number: &[u8]| [&[0; 32][number.len()..], number].concat();
            prop_assert_eq!(out.to_vec(), [padded(&r), padded(&s)].concat());
        }

        #[test]
        fn a_point_survives_with_its_leading_zeros(
            x in proptest::collection::vec(any::<u8>(), 0..33),
            y in proptest::collection::vec(any::<u8>(), 0..33),
            life: bool,
        ) {
            let policy = if life { KeyPolicy::SignForLife } else { KeyPolicy::Sign };
            let (key, read_policy) = read(&made(policy, &x, &y)).unwrap();
            prop_assert_eq!(read_policy, policy);
            let (at_x, at_y) = (33 - x.len(), 65 - y.len());
            prop_assert_eq!(&key.as_bytes()[at_x..33], &x[..]);
            prop_assert_eq!(&key.as_bytes()[at_y..], &y[..]);
            prop_assert!(key.as_bytes()[1..at_x].iter().chain(&key.as_bytes()[33..at_y]).all(|b| *b == 0));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..160), cut: u8) {
            let _ = read(&bytes);
            let _ = signature(Reader::new(&bytes));
            // Nearly good ones reach further.
            let good = made(KeyPolicy::Sign, &[1; 32], &[2; 32]);
            let good = &good[..usize::from(cut).min(good.len())];
            let _ = read(&[good, &bytes].concat());
        }
    }
}
