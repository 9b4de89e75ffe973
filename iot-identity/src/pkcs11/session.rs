//! A session with one token, opened again when it was lost.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectClass;
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;
use iot_core::crypto::{KeyError, KeyPolicy, SignatureAlgorithm, SlotId, Verifier as _};

use super::config::{Config, TokenName};
use super::error::{Failure, Fault, OpenError};
use super::module::Module;
use super::object::{self, Held};
use crate::key::PublicKey;
use crate::rustcrypto::{Ed25519Verifier, P256Verifier};

/// The device of the worker's thread.
pub(super) struct Token {
    module: Arc<Module>,
    config: Config,
    open: Option<Open>,
    held: BTreeMap<SlotId, Held>,
    /// Why no more logging in is tried: each wrong PIN counts.
    barred: Option<Fault>,
}

/// A session, and what tells it from one of the same number.
struct Open {
    session: Session,
    slot: Slot,
    epoch: u64,
}

impl Token {
    pub(super) fn open(config: Config) -> Result<Self, OpenError> {
        let mut token = Self {
            module: Module::load(&config.module)?,
            config,
            open: None,
            held: BTreeMap::new(),
            barred: None,
        };
        let opened = token.run(|token| token.session().map(|_| ()));
        opened.map_err(|failure| failed(&failure))?;
        let found = token.run(|token| object::extractable(token.session()?));
        match found.map_err(|failure| failed(&failure))? {
            Some(slot) => Err(OpenError::Extractable { slot }),
            None => Ok(token),
        }
    }

    /// Has the token do something that may be done twice; once more when the session was lost.
    pub(super) fn run<T>(
        &mut self,
        work: impl Fn(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match work(self) {
            Err(failure) if failure.is_lost() => {
                self.forget();
                self.module.initialise()?;
                work(self).inspect_err(|failure| {
                    if failure.is_lost() {
                        self.forget();
                    }
                })
            }
            other => other,
        }
    }

    /// Leaves the session, and closes it unless its number may be another's by now.
    fn forget(&mut self) {
        self.held.clear();
        let open = self.open.take();
        if let Some(open) = open.filter(|open| open.epoch == self.module.epoch()) {
            // A session that is lost is closed already.
            let _ = open.session.close();
        }
    }

    fn session(&mut self) -> Result<&Session, Failure> {
        if !self.open.as_ref().is_some_and(|open| self.is_ours(open)) {
            self.forget();
            self.open = Some(self.log_in()?);
        }
        let open = self.open.as_ref();
        Ok(&open.ok_or(Failure::Fault(Fault::Session))?.session)
    }

    /// Whether the session is still one with our token, and logged in.
    ///
    /// After somebody finalised the library, the same number may be a session with another token.
    fn is_ours(&self, open: &Open) -> bool {
        let same = open.epoch == self.module.epoch();
        same && open.session.get_session_info().is_ok_and(|info| {
            info.slot_id() == open.slot && info.session_state() == SessionState::RwUser
        })
    }

    fn log_in(&mut self) -> Result<Open, Failure> {
        if let Some(fault) = self.barred {
            return Err(fault.into());
        }
        let slot = self.find_token()?;
        let epoch = self.module.epoch();
        let session = self.module.library.open_rw_session_no_drop(slot)?;
        let pin = RawAuthPin::new(Box::new(self.config.pin.expose().to_vec()));
        match session.login_with_raw(UserType::User, &pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => {
                let _ = session.close();
                let fault = Fault::of(&error);
                if matches!(fault, Fault::Pin | Fault::Locked) {
                    self.barred = Some(fault);
                }
                return Err(error.into());
            }
        }
        Ok(Open {
            session,
            slot,
            epoch,
        })
    }

    fn find_token(&self) -> Result<Slot, Failure> {
        let library = &self.module.library;
        let mut found = None;
        for slot in library.get_slots_with_token()? {
            // A token that is pulled out meanwhile is not the one that is looked for.
            let Ok(info) = library.get_token_info(slot) else {
                continue;
            };
            let fits = match &self.config.token {
                TokenName::Label(label) => info.token_initialized() && info.label() == label,
                TokenName::Serial(serial) => info.serial_number() == serial,
            };
            if fits && found.replace(slot).is_some() {
                return Err(Fault::Ambiguous.into());
            }
        }
        found.ok_or(Failure::Fault(Fault::NoToken))
    }

    /// Looks for the key in a slot, whatever is remembered of it.
    fn look(&mut self, slot: SlotId) -> Result<Option<Held>, Failure> {
        self.held.remove(&slot);
        let held = object::find(self.session()?, slot)?;
        if let Some(held) = held {
            self.held.insert(slot, held);
        }
        Ok(held)
    }

    pub(super) fn public(&mut self, slot: SlotId) -> Result<PublicKey, Failure> {
        let held = self.run(|token| token.look(slot))?;
        Ok(held.ok_or(KeyError::Absent)?.public)
    }

    /// Signs with the key that was lent; `data` is a digest, or an Ed25519 message.
    ///
    /// A handle can come to mean another key without notice. So each signature is verified before anybody
    /// sees it, and one that is not good is made again with a key that was looked for anew.
    pub(super) fn sign(
        &mut self,
        slot: SlotId,
        lent: &PublicKey,
        data: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        for _ in 0..2 {
            let signature = self.sign_once(slot, lent, data)?;
            if is_good(lent, data, &signature) {
                return Ok(signature);
            }
            self.forget();
        }
        Err(Fault::Signature.into())
    }

    fn sign_once(
        &mut self,
        slot: SlotId,
        lent: &PublicKey,
        data: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        self.run(|token| {
            // First, because a lost session takes what is held along.
            token.session()?;
            let held = match token.held.get(&slot) {
                Some(held) => *held,
                None => token.look(slot)?.ok_or(KeyError::Absent)?,
            };
            if held.public != *lent {
                return Err(KeyError::Absent.into());
            }
            let mechanism = match lent.algorithm() {
                SignatureAlgorithm::EcdsaP256Sha256 => Mechanism::Ecdsa,
                _ => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
            };
            Ok(token.session()?.sign(&mechanism, held.private, data)?)
        })
    }

    fn has(&mut self, mechanism: MechanismType) -> Result<bool, Failure> {
        self.session()?;
        let slot = self.open.as_ref().ok_or(Fault::Session)?.slot;
        let list = self.module.library.get_mechanism_list(slot)?;
        Ok(list.contains(&mechanism))
    }

    pub(super) fn generate(
        &mut self,
        slot: SlotId,
        algorithm: SignatureAlgorithm,
        policy: KeyPolicy,
    ) -> Result<(), Failure> {
        let module = Arc::clone(&self.module);
        let _alone = module.generating();
        let needed = match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => {
                [MechanismType::ECC_KEY_PAIR_GEN, MechanismType::ECDSA]
            }
            SignatureAlgorithm::Ed25519 => [
                MechanismType::ECC_EDWARDS_KEY_PAIR_GEN,
                MechanismType::EDDSA,
            ],
            _ => return Err(KeyError::Unsupported.into()),
        };
        self.run(|token| {
            let session = token.session()?;
            if !object::privates(session, slot)?.is_empty() {
                return Err(KeyError::Occupied.into());
            }
            for mechanism in needed {
                if !token.has(mechanism)? {
                    return Err(KeyError::Unsupported.into());
                }
            }
            // What a destruction left that was cut: a public half signs nothing.
            let session = token.session()?;
            for half in object::halves(session, ObjectClass::PUBLIC_KEY, slot)? {
                session.destroy_object(half)?;
            }
            Ok(())
        })?;
        // Not tried twice: a session that is lost now may have left a key.
        object::generate(self.session()?, slot, algorithm, policy)?;
        match self.run(|token| token.look(slot)) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Fault::Objects.into()),
            // Left there it would keep the store from being opened again, and so cost every other key.
            Err(failure @ Failure::Fault(Fault::Extractable | Fault::Objects)) => {
                let _ = self.run(|token| token.clear(slot));
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn destroy(&mut self, slot: SlotId) -> Result<(), Failure> {
        let module = Arc::clone(&self.module);
        let _alone = module.generating();
        self.run(|token| {
            match token.look(slot) {
                Ok(Some(held)) if held.policy == KeyPolicy::SignForLife => {
                    return Err(KeyError::Forbidden.into());
                }
                // Whatever lies in the slot that is no key of ours goes as well.
                Ok(_) | Err(Failure::Fault(Fault::Objects | Fault::Extractable)) => {}
                Err(failure) => return Err(failure),
            }
            token.clear(slot)
        })
    }

    fn clear(&mut self, slot: SlotId) -> Result<(), Failure> {
        self.held.remove(&slot);
        let session = self.session()?;
        // The private half first: what a cut leaves must not sign.
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            for half in object::halves(session, class, slot)? {
                session.destroy_object(half)?;
            }
        }
        Ok(())
    }
}

/// A token's signature is `r ‖ s` already (PKCS#11 v2.40 §2.3.1), each as long as the curve's order.
fn is_good(key: &PublicKey, data: &[u8], signature: &[u8]) -> bool {
    let verdict = match key.algorithm() {
        SignatureAlgorithm::EcdsaP256Sha256 => {
            P256Verifier::new(key).map(|by| by.verify_digest(data, signature))
        }
        _ => Ed25519Verifier::new(key).map(|by| by.verify(&[data], signature)),
    };
    verdict.is_some_and(|verdict| verdict.is_ok())
}

impl Drop for Token {
    fn drop(&mut self) {
        self.forget();
    }
}

const fn failed(failure: &Failure) -> OpenError {
    match failure.tell() {
        (_, Some(fault)) => OpenError::Fault(fault),
        _ => OpenError::Fault(Fault::Token),
    }
}
