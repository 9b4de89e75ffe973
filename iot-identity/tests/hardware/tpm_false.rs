//! A TPM that answers what it likes.

use core::time::Duration;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use iot_core::crypto::{
    KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId, Verifier,
};
use iot_identity::key::PublicKey;
use iot_identity::ring::{SoftwareVerifier, SystemEntropy};
use iot_identity::rustcrypto::P256Key;
use iot_identity::tpm::{Config, Fault, Link, LinkError, OpenError, TpmKeys};
use proptest::prelude::*;

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
const SLOT: SlotId = SlotId::new(0);

/// The commands that came, in order.
type Asked = Arc<Mutex<Vec<Vec<u8>>>>;

/// Answers from a list, then with the last of it; an empty answer is a link that broke.
struct Script {
    answers: Vec<Vec<u8>>,
    asked: Asked,
}

impl Link for Script {
    fn transact(
        &mut self,
        command: &[u8],
        out: &mut [u8],
        _: Duration,
    ) -> Result<usize, LinkError> {
        self.asked.lock().unwrap().push(command.to_vec());
        let answer = match self.answers.len() {
            1 => self.answers[0].clone(),
            _ => self.answers.remove(0),
        };
        if answer.is_empty() {
            return Err(LinkError::new());
        }
        let out = out.get_mut(..answer.len()).ok_or(LinkError::new())?;
        out.copy_from_slice(&answer);
        Ok(answer.len())
    }
}

fn answer(sessions: bool, code: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 10).unwrap();
    let tag = if sessions { [0x80, 2] } else { [0x80, 1] };
    [&tag[..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

fn no_handles() -> Vec<u8> {
    answer(false, 0, &[0, 0, 0, 0, 1, 0, 0, 0, 0])
}

/// A store on this script, and the commands that it will be asked.
fn store(answers: &[Vec<u8>], patience: u64) -> (Result<TpmKeys, OpenError>, Asked) {
    let asked = Asked::default();
    let script = Script {
        answers: answers.to_vec(),
        asked: Arc::clone(&asked),
    };
    let config = Config::new().patience(Duration::from_millis(patience));
    (TpmKeys::open(script, config), asked)
}

/// What a lookup says after this code of the TPM.
fn told(code: u32) -> (Option<KeyError>, Option<Fault>, usize) {
    let (keys, asked) = store(&[no_handles(), answer(false, code, &[])], 1_000);
    let keys = keys.unwrap();
    let error = keys.signer(SLOT).err();
    let count = asked.lock().unwrap().len() - 1;
    (error, keys.fault(), count)
}

#[test]
fn each_response_code_has_its_typed_error() {
    assert_eq!(told(0x18b), (Some(KeyError::Absent), None, 1));
    let device = Some(KeyError::Device);
    assert_eq!(told(0x921), (device, Some(Fault::Locked), 1));
    assert_eq!(told(0x101), (device, Some(Fault::Code(0x101)), 1));
    // What may pass is waited for, until the deadline.
    for (code, fault) in [(0x902, Fault::Memory), (0x922, Fault::Busy)] {
        let (error, seen, count) = told(code);
        assert_eq!((error, seen), (device, Some(fault)));
        assert!(count > 2, "{count} attempts");
    }
}

#[test]
fn what_passes_is_not_told() {
    let busy = |code| answer(false, code, &[]);
    let answers = [
        busy(0x922),
        busy(0x902),
        // Not started: TPM2_Startup, and again.
        busy(0x100),
        answer(false, 0, &[]),
        no_handles(),
        busy(0x18b),
    ];
    let (keys, asked) = store(&answers, 5_000);
    let keys = keys.unwrap();
    assert_eq!(keys.signer(SLOT).err(), Some(KeyError::Absent));
    assert_eq!(keys.fault(), None);
    let asked = asked.lock().unwrap();
    assert_eq!(asked[3][6..], [0, 0, 1, 0x44, 0, 0]);
    assert_eq!(asked.len(), 6);
}

#[test]
fn what_a_broken_link_kept_from_being_flushed_is_flushed_later() {
    let broken = Vec::new;
    let absent = answer(false, 0x18b, &[]);
    // A handle, an empty public area, creation data, hash, ticket and name.
    let made = [&[0x80, 0, 0, 1][..], &[0, 0, 0, 16], &[0; 16], &[0; 5]].concat();
    let answers = [
        no_handles(),
        absent.clone(),
        answer(true, 0, &made),
        broken(),
        broken(),
        answer(false, 0, &[]),
        absent,
    ];
    let (keys, asked) = store(&answers, 5_000);
    let keys = keys.unwrap();
    let refused = keys.generate(SLOT, P256, KeyPolicy::Sign);
    assert_eq!(refused, Err(KeyError::Device));
    assert_eq!(keys.fault(), Some(Fault::Link));
    assert_eq!(keys.signer(SLOT).err(), Some(KeyError::Absent));
    let asked = asked.lock().unwrap();
    let flush = [0, 0, 1, 0x65, 0x80, 0, 0, 1];
    let flushed: Vec<bool> = asked.iter().map(|command| command[6..] == flush).collect();
    assert_eq!(flushed, [false, false, false, false, true, true, false]);
}

#[test]
fn a_tpm_that_hangs_is_late() {
    // It hangs until the test is over, so that whoever waited for it would wait for ever.
    struct Hung(u32, Receiver<()>);
    impl Link for Hung {
        fn transact(&mut self, _: &[u8], out: &mut [u8], _: Duration) -> Result<usize, LinkError> {
            if self.0 == 0 {
                let _ = self.1.recv();
            }
            self.0 = 0;
            let answer = no_handles();
            out[..answer.len()].copy_from_slice(&answer);
            Ok(answer.len())
        }
    }
    let (releases, mut held): (Vec<_>, Vec<_>) = (0..2).map(|_| sync_channel(0)).unzip();
    let config = || Config::new().patience(Duration::from_secs(1));
    let opened = TpmKeys::open(Hung(0, held.remove(0)), config()).map(|_| ());
    assert_eq!(opened, Err(OpenError::Fault(Fault::Late)));
    let keys = TpmKeys::open(Hung(1, held.remove(0)), config()).unwrap();
    assert_eq!(keys.signer(SLOT).err(), Some(KeyError::Device));
    assert_eq!(keys.fault(), Some(Fault::Late));
    drop(keys);
    drop(releases);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_answers_never_panic_and_never_sign(
        bodies in proptest::collection::vec(
            (any::<bool>(), prop_oneof![Just(0_u32), any::<u32>()], proptest::collection::vec(any::<u8>(), 0..80)),
            1..6,
        ),
    ) {
        let mut answers = vec![no_handles()];
        answers.extend(bodies.iter().map(|(sessions, code, body)| answer(*sessions, *code, body)));
        answers.push(answer(false, 0x101, &[]));
        let (keys, _) = store(&answers, 5_000);
        let keys = keys.unwrap();
        let _ = keys.generate(SLOT, P256, KeyPolicy::Sign);
        if let Ok(signer) = keys.signer(SLOT) {
            prop_assert!(signer.sign(&[b"x"], &mut Signature::empty()).is_err());
        }
        let _ = keys.destroy(SLOT);
    }
}

/// Signs with a key that lies in memory, and not always what it was asked to.
struct Signing {
    key: P256Key,
    signed: Vec<u8>,
    /// So many signatures come again instead of new ones.
    stale: u32,
}

impl Signing {
    fn new(stale: u32) -> Self {
        let key = P256Key::generate(&mut SystemEntropy::new()).unwrap();
        let signed = Vec::new();
        Self { key, signed, stale }
    }

    fn area(&self) -> Vec<u8> {
        let point = PublicKey::of(&self.key).unwrap();
        let head = [0, 0x23, 0, 0x0b, 0, 4, 4, 0x72, 0, 0];
        let parameters = [0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10];
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let area = [&head[..], &parameters, &[0, 32], x, &[0, 32], y].concat();
        let size = u16::try_from(area.len()).unwrap().to_be_bytes();
        // Two names follow.
        [&size[..], &area, &[0; 4]].concat()
    }

    fn sign(&mut self, digest: &[u8]) -> Vec<u8> {
        let mut signature = Signature::empty();
        let digest = digest.try_into().unwrap();
        self.key.sign_digest(digest, &mut signature).unwrap();
        let (r, s) = signature.as_bytes().split_at(32);
        let parameters = [&[0, 0x18, 0, 0x0b, 0, 32][..], r, &[0, 32], s].concat();
        let size = u32::try_from(parameters.len()).unwrap().to_be_bytes();
        let new = answer(
            true,
            0,
            &[&size[..], &parameters, &[0, 0, 1, 0, 0]].concat(),
        );
        if self.stale > 0 && !self.signed.is_empty() {
            self.stale -= 1;
        } else {
            self.signed = new;
        }
        self.signed.clone()
    }
}

impl Link for Signing {
    fn transact(
        &mut self,
        command: &[u8],
        out: &mut [u8],
        _: Duration,
    ) -> Result<usize, LinkError> {
        let answer = match command[6..10] {
            [0, 0, 1, 0x7a] => no_handles(),
            [0, 0, 1, 0x73] => answer(false, 0, &self.area()),
            [0, 0, 1, 0x5d] => self.sign(&command[29..61]),
            _ => panic!("{command:02x?}"),
        };
        out[..answer.len()].copy_from_slice(&answer);
        Ok(answer.len())
    }
}

#[test]
fn a_signature_of_something_else_is_never_given_out() {
    for (stale, asked_again_helps) in [(1, true), (2, false)] {
        let keys = TpmKeys::open(Signing::new(stale), Config::new()).unwrap();
        let signer = keys.signer(SLOT).unwrap();
        let verifier = SoftwareVerifier::new(PublicKey::of(&signer).unwrap());
        let mut out = Signature::empty();
        signer.sign(&[b"first"], &mut out).unwrap();
        let second = signer.sign(&[b"second"], &mut out);
        if asked_again_helps {
            assert_eq!(second, Ok(()));
        } else {
            assert_eq!(second, Err(KeyError::Device));
            assert_eq!(keys.fault(), Some(Fault::Signature));
            signer.sign(&[b"second"], &mut out).unwrap();
        }
        assert!(verifier.verify(&[b"second"], out.as_bytes()).is_ok());
    }
}
