//! Certificates written byte by byte, so that each can be wrong in any way.

use iot_core::crypto::{Signature, SignatureAlgorithm, Signer};
use iot_identity::key::PublicKey;
use iot_identity::ring::SoftwareKey;

pub(crate) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
pub(crate) const ORGANIZATION: &[u8] = &[0x55, 4, 10];
pub(crate) const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
pub(crate) const UTF8: u8 = 0x0c;
pub(crate) const PRINTABLE: u8 = 0x13;
pub(crate) const IA5: u8 = 0x16;

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut out = vec![tag];
    match u32::try_from(len).unwrap().to_be_bytes() {
        [0, 0, 0, low] if low < 0x80 => out.push(low),
        [0, 0, 0, low] => out.extend([0x81, low]),
        [0, 0, high, low] => out.extend([0x82, high, low]),
        [_, high, middle, low] => out.extend([0x83, high, middle, low]),
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn name(attributes: &[(&[u8], u8, &str)]) -> Vec<u8> {
    let set = |(kind, tag, text): &(&[u8], u8, &str)| {
        let inner = seq(&[tlv(6, kind), tlv(*tag, text.as_bytes())]);
        tlv(0x31, &inner)
    };
    seq(&attributes.iter().map(set).collect::<Vec<_>>())
}

/// An `Extension`.
pub(crate) fn extension(kind: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(1, &[0xff]) } else { vec![] };
    seq(&[tlv(6, kind), critical, tlv(4, content)])
}

pub(crate) fn standard(number: u8, critical: bool, content: &[u8]) -> Vec<u8> {
    extension(&[0x55, 0x1d, number], critical, content)
}

/// A date as RFC 5280 §4.1.2.5 wants it: `YYYYMMDDHHMMSS`.
pub(crate) fn date(text: &str) -> Vec<u8> {
    if text < "2050" {
        tlv(0x17, format!("{}Z", &text[2..]).as_bytes())
    } else {
        tlv(0x18, format!("{text}Z").as_bytes())
    }
}

pub(crate) struct Key {
    signer: SoftwareKey,
    pub(crate) spki: Vec<u8>,
}

impl Key {
    pub(crate) fn new(algorithm: SignatureAlgorithm) -> Self {
        let signer = SoftwareKey::generate(algorithm).unwrap();
        let spki = PublicKey::of(&signer).unwrap().spki_parts().concat();
        Self { signer, spki }
    }

    /// What stands in for its identifier; it need not be a hash.
    pub(crate) fn id(&self) -> Vec<u8> {
        self.spki[self.spki.len() - 20..].to_vec()
    }

    /// For whoever holds the certificate.
    pub(crate) fn into_signer(self) -> SoftwareKey {
        self.signer
    }

    pub(crate) fn algorithm(&self) -> Vec<u8> {
        match self.signer.algorithm() {
            SignatureAlgorithm::Ed25519 => seq(&[tlv(6, &[0x2b, 0x65, 0x70])]),
            _ => seq(&[tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2])]),
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = Signature::empty();
        self.signer.sign(&[message], &mut signature).unwrap();
        let bytes = signature.as_bytes();
        if self.signer.algorithm() == SignatureAlgorithm::Ed25519 {
            return bytes.to_vec();
        }
        let number = |half: &[u8]| {
            let start = half.iter().position(|&byte| byte != 0).unwrap();
            let pad = if half[start] >= 0x80 { &[0][..] } else { &[] };
            tlv(2, &[pad, &half[start..]].concat())
        };
        seq(&[number(&bytes[..32]), number(&bytes[32..])])
    }
}

/// Signs a message in the form that certificates and lists share.
pub(crate) fn signed(message: Vec<u8>, algorithm: Vec<u8>, signature: &[u8]) -> Vec<u8> {
    seq(&[message, algorithm, tlv(3, &[&[0], signature].concat())])
}

/// A certificate before it is signed; each part is DER, or what goes for it.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) version: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) inner: Vec<u8>,
    pub(crate) outer: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    /// Between the key and the extensions.
    pub(crate) ids: Vec<u8>,
    /// Each with the number of the extension it is, so that it can be found.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) raw_extensions: Option<Vec<u8>>,
}

impl Draft {
    /// An end entity's, or with `path_len` an authority's.
    pub(crate) fn new(
        subject: Vec<u8>,
        key: &Key,
        issuer: &[u8],
        by: &Key,
        authority: bool,
    ) -> Self {
        let mut extensions = vec![
            (35, standard(35, false, &seq(&[tlv(0x80, &by.id())]))),
            (14, standard(14, false, &tlv(4, &key.id()))),
        ];
        if authority {
            extensions.push((19, standard(19, true, &seq(&[tlv(1, &[0xff])]))));
            extensions.push((15, standard(15, true, &tlv(3, &[1, 6]))));
        } else {
            extensions.push((15, standard(15, true, &tlv(3, &[7, 0x80]))));
        }
        Self {
            version: tlv(0xa0, &tlv(2, &[2])),
            serial: tlv(2, &[1, 2, 3]),
            inner: by.algorithm(),
            outer: by.algorithm(),
            issuer: issuer.to_vec(),
            from: date("20250101000000"),
            to: date("20350101000000"),
            subject,
            spki: key.spki.clone(),
            ids: vec![],
            extensions,
            raw_extensions: None,
        }
    }

    /// Puts an extension in the place of the one of this number, or behind the others.
    pub(crate) fn put(&mut self, number: u8, critical: bool, content: &[u8]) {
        self.take(number);
        self.extensions
            .push((number, standard(number, critical, content)));
    }

    pub(crate) fn take(&mut self, number: u8) {
        self.extensions.retain(|(one, _)| *one != number);
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        let list: Vec<_> = self.extensions.iter().map(|(_, one)| one.clone()).collect();
        let extensions = match &self.raw_extensions {
            Some(raw) => raw.clone(),
            None => tlv(0xa3, &seq(&list)),
        };
        seq(&[
            self.version.clone(),
            self.serial.clone(),
            self.inner.clone(),
            self.issuer.clone(),
            seq(&[self.from.clone(), self.to.clone()]),
            self.subject.clone(),
            self.spki.clone(),
            self.ids.clone(),
            extensions,
        ])
    }

    pub(crate) fn sign(&self, by: &Key) -> Vec<u8> {
        let message = self.message();
        let signature = by.sign(&message);
        signed(message, self.outer.clone(), &signature)
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(crate) fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}
