//! A TLS 1.3 server (RFC 8446) that sends what it likes between its hello and its Finished.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::RefCell;
use std::io::Read as _;

use embedded_io::{ErrorKind, ErrorType};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::hmac;
use ring::rand::SystemRandom;

/// A message of the server after its hello and its extensions.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Request,
    Certificate(Vec<u8>),
    /// A CertificateVerify over nothing.
    Signature,
    Finished,
    /// No message: a record of its own that holds nothing, right behind the hello.
    Empty,
}

#[derive(Clone)]
pub(crate) struct Rogue(Rc<RefCell<Server>>);

struct Server {
    parts: Vec<Part>,
    sent: VecDeque<u8>,
    received: Vec<u8>,
    client: Option<LessSafeKey>,
    client_iv: [u8; 12],
}

impl Rogue {
    pub(crate) fn new(parts: &[Part]) -> Self {
        Self(Rc::new(RefCell::new(Server {
            parts: parts.to_vec(),
            sent: VecDeque::new(),
            received: vec![],
            client: None,
            client_iv: [0; 12],
        })))
    }

    /// Whether any record of the client's handshake holds these bytes.
    pub(crate) fn saw(&self, what: &[u8]) -> bool {
        let server = self.0.borrow();
        let (mut rest, mut number) = (&server.received[..], 0u64);
        while let [kind, _, _, high, low, tail @ ..] = rest {
            let (body, after) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            let header = &rest[..5];
            if *kind == 23 {
                let mut body = body.to_vec();
                let nonce = nonce(&server.client_iv, number);
                let key = server.client.as_ref().unwrap();
                let plain = key.open_in_place(nonce, Aad::from(header), &mut body);
                let plain = plain.unwrap();
                if plain.windows(what.len()).any(|window| window == what) {
                    return true;
                }
                number += 1;
            }
            rest = after;
        }
        false
    }
}

impl Server {
    /// Answers the client's hello, the first record, with all there is.
    fn answer(&mut self) {
        let hello = self.received[5..].to_vec();
        // The share of P-256 is the only one: its group, its length, and an uncompressed point.
        let head = [0, 0x17, 0, 0x41, 4];
        let at = hello.windows(5).position(|window| window == head).unwrap() + 4;
        let theirs = UnparsedPublicKey::new(&ECDH_P256, hello[at..at + 65].to_vec());
        let own = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        let point = own.compute_public_key().unwrap();
        let versions = [0, 0x2b, 0, 2, 3, 4];
        let share = [&[0, 0x33, 0, 69, 0, 0x17, 0, 65], point.as_ref()].concat();
        let extensions = [&versions[..], &share].concat();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0x13, 0x01, 0]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let reply = message(2, &body);
        self.sent.extend(record(22, &reply));
        let mut transcript = [hello, reply].concat();

        let early = Salt::new(HKDF_SHA256, &[0; 32]).extract(&[0; 32]);
        let salt: [u8; 32] = expand(&early, "derived", digest(&SHA256, &[]).as_ref());
        let salt = Salt::new(HKDF_SHA256, &salt);
        let secret = agree_ephemeral(own, &theirs, |shared| salt.extract(shared)).unwrap();
        let hash = digest(&SHA256, &transcript);
        let secret_of = |label| {
            let secret: [u8; 32] = expand(&secret, label, hash.as_ref());
            Prk::new_less_safe(HKDF_SHA256, &secret)
        };
        let (server, client) = (secret_of("s hs traffic"), secret_of("c hs traffic"));
        self.client = Some(key(&client));
        self.client_iv = expand(&client, "iv", &[]);

        let mut flight = message(8, &[0, 0]);
        transcript.extend(&flight);
        for part in &self.parts {
            let sent = match part {
                // An empty context, and the signatures it takes: ECDSA on P-256.
                Part::Request => message(13, &[0, 0, 8, 0, 0x0d, 0, 4, 0, 2, 4, 3]),
                Part::Certificate(der) => {
                    let entry = [&length(der)[..], der, &[0, 0]].concat();
                    message(11, &[&[0][..], &length(&entry), &entry].concat())
                }
                Part::Signature => message(15, &[4, 3, 0, 8, 0x30, 6, 2, 1, 1, 2, 1, 1]),
                Part::Empty => {
                    let nonce = nonce(&expand(&server, "iv", &[]), 0);
                    let header = [23, 3, 3, 0, 16];
                    let mut nothing = vec![];
                    key(&server)
                        .seal_in_place_append_tag(nonce, Aad::from(header), &mut nothing)
                        .unwrap();
                    self.sent.extend(header);
                    self.sent.extend(nothing);
                    return;
                }
                Part::Finished => {
                    let finished: [u8; 32] = expand(&server, "finished", &[]);
                    let finished = hmac::Key::new(hmac::HMAC_SHA256, &finished);
                    let hash = digest(&SHA256, &transcript);
                    message(20, hmac::sign(&finished, hash.as_ref()).as_ref())
                }
            };
            transcript.extend(&sent);
            flight.extend(sent);
        }
        flight.push(22);
        let mut header = vec![23, 3, 3];
        header.extend(u16::try_from(flight.len() + 16).unwrap().to_be_bytes());
        let nonce = nonce(&expand(&server, "iv", &[]), 0);
        let sealed = key(&server).seal_in_place_append_tag(nonce, Aad::from(&header), &mut flight);
        sealed.unwrap();
        self.sent.extend(header);
        self.sent.extend(flight);
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &length(body), body].concat()
}

fn length(of: &[u8]) -> [u8; 3] {
    let [_, bytes @ ..] = u32::try_from(of.len()).unwrap().to_be_bytes();
    bytes
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &length[..], body].concat()
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label (RFC 8446 §7.1).
fn expand<const N: usize>(secret: &Prk, label: &str, context: &[u8]) -> [u8; N] {
    let label = [b"tls13 ", label.as_bytes()].concat();
    let mut info = u16::try_from(N).unwrap().to_be_bytes().to_vec();
    info.push(u8::try_from(label.len()).unwrap());
    info.extend(label);
    info.push(u8::try_from(context.len()).unwrap());
    info.extend(context);
    let mut out = [0; N];
    let info = [&info[..]];
    let expanded = secret.expand(&info, Length(N)).unwrap();
    expanded.fill(&mut out).unwrap();
    out
}

fn key(secret: &Prk) -> LessSafeKey {
    let key: [u8; 16] = expand(secret, "key", &[]);
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap())
}

fn nonce(iv: &[u8; 12], number: u64) -> Nonce {
    let mut nonce = *iv;
    for (to, from) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
        *to ^= from;
    }
    Nonce::assume_unique_for_key(nonce)
}

impl ErrorType for Rogue {
    type Error = ErrorKind;
}

impl embedded_io::Read for Rogue {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut server = self.0.borrow_mut();
        if server.client.is_none() {
            server.answer();
        }
        Ok(server.sent.read(out).unwrap())
    }
}

impl embedded_io::Write for Rogue {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.borrow_mut().received.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
