//! PKCS#11, as SoftHSM speaks it.

use core::slice;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeInfo, AttributeType, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use iot_core::crypto::{
    KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId, Verifier,
};
use iot_identity::conformance::{Lack, Subject, Work, run, together};
use iot_identity::key::{PublicKey, Secret};
use iot_identity::pkcs11::{Config, Fault, OpenError, Pkcs11Keys, TokenName};
use iot_identity::ring::SoftwareVerifier;

use crate::lying::lying_module;
use crate::softhsm::{PIN, config, module, with_tokens};
use crate::{assert_passed, sign_from_threads};

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
const SLOT: SlotId = SlotId::new(0);

fn open(label: &str) -> Pkcs11Keys {
    Pkcs11Keys::open(config(label)).unwrap()
}

fn signs(keys: &Pkcs11Keys) -> Result<(), KeyError> {
    keys.signer(SLOT)?.sign(&[b"x"], &mut Signature::empty())
}

/// A session beside the store's, as anybody with the PIN may have it.
fn session(label: &str) -> Session {
    let library = Pkcs11::new(module()).unwrap();
    let mut slots = library.get_slots_with_initialized_token().unwrap();
    slots.retain(|slot| library.get_token_info(*slot).unwrap().label() == label);
    let session = library.open_rw_session(slots[0]).unwrap();
    match session.login(UserType::User, Some(&AuthPin::from(PIN))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => session,
        Err(error) => panic!("{error}"),
    }
}

/// SoftHSM keeps a key for life even from its owner, so that each store is on a token of its own.
struct Tokens(Vec<&'static str>, Option<&'static str>);

impl Subject for Tokens {
    type Store = Pkcs11Keys;

    fn open(&mut self) -> Pkcs11Keys {
        let label = self.0.pop().expect("a token for each store");
        self.1 = Some(label);
        open(label)
    }

    fn reopen(&mut self, store: Pkcs11Keys) -> Pkcs11Keys {
        drop(store);
        open(self.1.unwrap())
    }

    fn together(&self, store: &Pkcs11Keys, threads: usize, work: Work<'_, Pkcs11Keys>) {
        together(store, threads, work);
    }

    fn lacks(&self) -> &[Lack] {
        &[Lack::Limit]
    }

    fn signatures(&self) -> usize {
        400
    }
}

const LABELS: [&str; 24] = [
    "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10", "t11", "t12", "t13", "t14",
    "t15", "t16", "t17", "t18", "t19", "t20", "t21", "t22", "t23",
];

#[test]
#[ignore = "needs softhsm2"]
fn the_token_passes_the_suite() {
    with_tokens("pkcs11::the_token_passes_the_suite", &LABELS, || {
        let mut tokens = Tokens(LABELS.into(), None);
        assert_passed(&run(&mut tokens), &[Lack::Limit]);
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn a_key_cannot_leave_the_token() {
    with_tokens("pkcs11::a_key_cannot_leave_the_token", &["a"], || {
        let keys = open("a");
        keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
        let session = session("a");
        let all = [Attribute::Class(ObjectClass::PRIVATE_KEY)];
        let [key] = *session.find_objects(&all).unwrap() else {
            panic!("one private key")
        };
        let told = session
            .get_attribute_info(key, &[AttributeType::Value])
            .unwrap();
        assert!(matches!(told[0], AttributeInfo::Sensitive), "{told:?}");
        // An attempt to read is answered with nothing at all.
        let read = session
            .get_attributes(key, &[AttributeType::Value])
            .unwrap();
        assert!(read.is_empty(), "{read:?}");
        for weaker in [Attribute::Extractable(true), Attribute::Sensitive(false)] {
            let changed = session.update_attributes(key, slice::from_ref(&weaker));
            assert!(changed.is_err(), "{weaker:?}");
            let copied = session.copy_object(key, slice::from_ref(&weaker));
            assert!(copied.is_err(), "{weaker:?}");
        }
        let wrapping = session
            .generate_key(
                &Mechanism::AesKeyGen,
                &[Attribute::Wrap(true), Attribute::ValueLen(32.into())],
            )
            .unwrap();
        let wrapped = session.wrap_key(&Mechanism::AesKeyWrapPad, wrapping, key);
        assert!(
            matches!(wrapped, Err(Error::Pkcs11(RvError::KeyUnextractable, _))),
            "{wrapped:?}"
        );
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn a_key_that_can_leave_is_refused() {
    with_tokens("pkcs11::a_key_that_can_leave_is_refused", &["a"], || {
        let keys = open("a");
        // Somebody puts a key where the store looks for its own, while the store is open.
        let id = Attribute::Id(vec![b'i', b'o', b't', 0, 0, 0]);
        let curve = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let half = |class| {
            vec![
                Attribute::Class(class),
                Attribute::KeyType(KeyType::EC),
                Attribute::Token(true),
                id.clone(),
            ]
        };
        let mut public = half(ObjectClass::PUBLIC_KEY);
        public.push(Attribute::EcParams(curve));
        let mut private = half(ObjectClass::PRIVATE_KEY);
        private.extend([Attribute::Sensitive(true), Attribute::Extractable(true)]);
        private.push(Attribute::Sign(true));
        session("a")
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .unwrap();
        assert_eq!(keys.signer(SLOT).err(), Some(KeyError::Forbidden));
        assert_eq!(keys.fault(), Some(Fault::Extractable));
        let again = Pkcs11Keys::open(config("a")).map(|_| ());
        assert_eq!(again, Err(OpenError::Extractable { slot: SLOT }));
        // The way out that the error names.
        keys.destroy(SLOT).unwrap();
        keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
        signs(&open("a")).unwrap();
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn a_token_that_makes_a_key_which_can_leave_keeps_no_such_key_and_loses_no_other() {
    let name =
        "pkcs11::a_token_that_makes_a_key_which_can_leave_keeps_no_such_key_and_loses_no_other";
    with_tokens(name, &["a"], || {
        let folder = tempfile::tempdir().unwrap();
        let library = lying_module(folder.path());
        let open = || {
            let token = TokenName::Label("a".into());
            Pkcs11Keys::open(Config::new(&library, token, Secret::new(PIN)))
        };
        let keys = open().unwrap();
        keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
        let bad = SlotId::new(1);
        let made = keys.generate(bad, P256, KeyPolicy::Sign);
        assert_eq!(made, Err(KeyError::Forbidden));
        assert_eq!(keys.fault(), Some(Fault::Extractable));
        assert_eq!(keys.signer(bad).err(), Some(KeyError::Absent));
        signs(&keys).unwrap();
        drop(keys);
        // A store with such a key does not open, which would cost the good key as well.
        signs(&open().unwrap()).unwrap();
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn many_threads_sign_without_a_slot_error() {
    let name = "pkcs11::many_threads_sign_without_a_slot_error";
    with_tokens(name, &["a"], || {
        let keys = open("a");
        let slots = [0, 1, 2, 3].map(SlotId::new);
        for slot in slots {
            keys.generate(slot, P256, KeyPolicy::Sign).unwrap();
        }
        sign_from_threads("pkcs11", &keys, &slots);
        assert_eq!(keys.fault(), None);
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn a_library_that_was_finalised_is_initialised_again() {
    let name = "pkcs11::a_library_that_was_finalised_is_initialised_again";
    with_tokens(name, &["a"], || {
        let keys = open("a");
        keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
        let lent = keys.signer(SLOT).unwrap();
        for _ in 0..3 {
            Pkcs11::new(module()).unwrap().finalize().unwrap();
            lent.sign(&[b"x"], &mut Signature::empty()).unwrap();
            Pkcs11::new(module()).unwrap().finalize().unwrap();
            let more = SlotId::new(1);
            keys.generate(more, P256, KeyPolicy::Sign).unwrap();
            Pkcs11::new(module()).unwrap().finalize().unwrap();
            keys.destroy(more).unwrap();
        }
        // Logged out under its feet: private objects are out of sight then.
        session("a").logout().unwrap();
        lent.sign(&[b"x"], &mut Signature::empty()).unwrap();
        session("a").logout().unwrap();
        assert!(keys.signer(SLOT).is_ok());
        session("a").logout().unwrap();
        assert_eq!(
            keys.generate(SLOT, P256, KeyPolicy::Sign),
            Err(KeyError::Occupied)
        );
        session("a").logout().unwrap();
        keys.destroy(SLOT).unwrap();
        drop(keys);
        assert_eq!(open("a").signer(SLOT).err(), Some(KeyError::Absent));
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn after_a_finalisation_no_store_takes_anothers_session_for_its_own() {
    let name = "pkcs11::after_a_finalisation_no_store_takes_anothers_session_for_its_own";
    with_tokens(name, &["a", "b"], || {
        // Handles are counted anew then: each number of before means something else.
        let stores = [open("a"), open("b"), open("b"), open("a")];
        let slots = [0, 1, 2, 3].map(SlotId::new);
        for (keys, slot) in stores.iter().zip(slots) {
            keys.generate(slot, P256, KeyPolicy::Sign).unwrap();
        }
        let lent: Vec<_> = stores
            .iter()
            .zip(slots)
            .map(|(keys, slot)| keys.signer(slot).unwrap())
            .collect();
        for round in 0..12 {
            Pkcs11::new(module()).unwrap().finalize().unwrap();
            for turn in 0..4 {
                let signer = &lent[(round * 3 + turn * (1 + round % 2 * 2)) % 4];
                let mut signature = Signature::empty();
                signer.sign(&[b"x"], &mut signature).unwrap();
                let verifier = SoftwareVerifier::new(PublicKey::of(signer).unwrap());
                let checked = verifier.verify(&[b"x"], signature.as_bytes());
                assert!(
                    checked.is_ok(),
                    "round {round}, turn {turn}: another key signed"
                );
            }
        }
        // Nor does a store that closes close another's.
        drop(lent);
        let [first, second, third, fourth] = stores;
        Pkcs11::new(module()).unwrap().finalize().unwrap();
        third.signer(slots[2]).unwrap();
        let others: Vec<Session> = (0..6).map(|_| session("a")).collect();
        drop((first, second, fourth));
        let open = |one: &Session| one.get_session_info().is_ok();
        assert!(
            others.iter().all(open),
            "a session of somebody else was closed"
        );
        third.signer(slots[2]).unwrap();
        assert_eq!(third.fault(), None);
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn a_pin_that_became_wrong_is_tried_once() {
    with_tokens(
        "pkcs11::a_pin_that_became_wrong_is_tried_once",
        &["a"],
        || {
            let keys = open("a");
            keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
            let other = AuthPin::from("another");
            session("a").set_pin(&AuthPin::from(PIN), &other).unwrap();
            let library = Pkcs11::new(module()).unwrap();
            library.clone().finalize().unwrap();
            assert_eq!(signs(&keys), Err(KeyError::Device));
            assert_eq!(keys.fault(), Some(Fault::Pin));
            let slot = library.get_slots_with_initialized_token().unwrap()[0];
            let wrong = || library.get_token_info(slot).unwrap().user_pin_count_low();
            assert!(wrong());
            // The right one takes the mark of a wrong one away; nobody sets it again.
            let session = library.open_rw_session(slot).unwrap();
            session.login(UserType::User, Some(&other)).unwrap();
            session.logout().unwrap();
            assert!(!wrong());
            for _ in 0..3 {
                assert_eq!(signs(&keys), Err(KeyError::Device));
            }
            assert!(!wrong());
        },
    );
}

#[test]
#[ignore = "needs softhsm2"]
fn a_key_on_another_curve_is_none_of_ours() {
    with_tokens(
        "pkcs11::a_key_on_another_curve_is_none_of_ours",
        &["a"],
        || {
            let keys = open("a");
            // secp256k1: its points are as long as those of P-256.
            let curve = vec![0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
            let half = |class| {
                vec![
                    Attribute::Class(class),
                    Attribute::KeyType(KeyType::EC),
                    Attribute::Token(true),
                    Attribute::Id(vec![b'i', b'o', b't', 0, 0, 0]),
                ]
            };
            let mut public = half(ObjectClass::PUBLIC_KEY);
            public.push(Attribute::EcParams(curve));
            let mut private = half(ObjectClass::PRIVATE_KEY);
            private.extend([Attribute::Sensitive(true), Attribute::Extractable(false)]);
            private.push(Attribute::Sign(true));
            session("a")
                .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
                .unwrap();
            assert_eq!(keys.signer(SLOT).err(), Some(KeyError::Device));
            assert_eq!(keys.fault(), Some(Fault::Objects));
            let over = keys.generate(SLOT, P256, KeyPolicy::Sign);
            assert_eq!(over, Err(KeyError::Occupied));
        },
    );
}

#[test]
#[ignore = "needs softhsm2"]
fn a_token_that_was_pulled_out_works_again_when_it_is_back() {
    let name = "pkcs11::a_token_that_was_pulled_out_works_again_when_it_is_back";
    with_tokens(name, &["a"], || {
        let keys = open("a");
        keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
        let lent = keys.signer(SLOT).unwrap();
        let conf = std::env::var("SOFTHSM2_CONF").unwrap();
        let tokens = std::path::Path::new(&conf).with_file_name("tokens");
        let away = tokens.with_file_name("away");
        // SoftHSM looks for tokens when it is initialised.
        let replug = || Pkcs11::new(module()).unwrap().finalize().unwrap();
        std::fs::rename(&tokens, &away).unwrap();
        std::fs::create_dir(&tokens).unwrap();
        replug();
        let gone = lent.sign(&[b"x"], &mut Signature::empty());
        assert_eq!(gone, Err(KeyError::Device));
        assert_eq!(keys.fault(), Some(Fault::NoToken));
        std::fs::remove_dir_all(&tokens).unwrap();
        std::fs::rename(&away, &tokens).unwrap();
        replug();
        lent.sign(&[b"x"], &mut Signature::empty()).unwrap();
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn two_stores_share_one_library() {
    with_tokens("pkcs11::two_stores_share_one_library", &["a", "b"], || {
        let (first, second, other) = (open("a"), open("a"), open("b"));
        first.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
        assert_eq!(
            second.generate(SLOT, P256, KeyPolicy::Sign),
            Err(KeyError::Occupied)
        );
        assert_eq!(other.signer(SLOT).err(), Some(KeyError::Absent));
        let public = PublicKey::of(&first.signer(SLOT).unwrap()).unwrap();
        assert_eq!(PublicKey::of(&second.signer(SLOT).unwrap()), Ok(public));
        drop(first);
        signs(&second).unwrap();
        // What one destroys the other's signers notice, also when the slot is filled again.
        let lent = second.signer(SLOT).unwrap();
        let third = open("a");
        third.destroy(SLOT).unwrap();
        let mut out = Signature::empty();
        assert_eq!(lent.sign(&[b"x"], &mut out), Err(KeyError::Absent));
        third.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
        assert_eq!(lent.sign(&[b"x"], &mut out), Err(KeyError::Absent));
        signs(&second).unwrap();
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn of_two_stores_that_fill_one_slot_at_once_one_succeeds() {
    let name = "pkcs11::of_two_stores_that_fill_one_slot_at_once_one_succeeds";
    with_tokens(name, &["a"], || {
        let stores = [open("a"), open("a"), open("a")];
        for _ in 0..8 {
            let made: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = stores
                    .iter()
                    .map(|keys| scope.spawn(|| keys.generate(SLOT, P256, KeyPolicy::Sign)))
                    .collect();
                let outcomes = threads.into_iter().map(|thread| thread.join().unwrap());
                outcomes
                    .map(|outcome| match outcome {
                        Ok(()) => 1,
                        Err(KeyError::Occupied) => 0,
                        Err(error) => panic!("{error}"),
                    })
                    .sum()
            });
            assert_eq!(made, 1);
            stores.iter().for_each(|keys| signs(keys).unwrap());
            stores[0].destroy(SLOT).unwrap();
        }
    });
}

#[test]
#[ignore = "needs softhsm2"]
fn a_token_is_found_by_its_name_and_opened_by_its_pin() {
    let name = "pkcs11::a_token_is_found_by_its_name_and_opened_by_its_pin";
    with_tokens(name, &["a", "twin", "twin"], || {
        let open = |config| Pkcs11Keys::open(config).map(|_| ());
        let named = |token| Config::new(module(), token, Secret::new(PIN));
        let fault = |fault| Err(OpenError::Fault(fault));
        let wrong = TokenName::Label("a".into());
        let wrong = Config::new(module(), wrong, Secret::new("654321"));
        assert_eq!(open(wrong), fault(Fault::Pin));
        assert_eq!(open(config("nobody")), fault(Fault::NoToken));
        assert_eq!(open(config("twin")), fault(Fault::Ambiguous));
        let library = Pkcs11::new(module()).unwrap();
        for slot in library.get_slots_with_initialized_token().unwrap() {
            let info = library.get_token_info(slot).unwrap();
            let serial = TokenName::Serial(info.serial_number().into());
            assert_eq!(open(named(serial)), Ok(()));
        }
        let none = Config::new(
            "/nowhere.so",
            TokenName::Label("a".into()),
            Secret::new(PIN),
        );
        assert_eq!(open(none), Err(OpenError::Module));
        let shown = format!("{:?}", config("a"));
        assert!(!shown.contains(PIN), "{shown}");
    });
}
