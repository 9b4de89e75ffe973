//! A session with one token, opened again when it was lost.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectClass;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;
use iot_core::crypto::{KeyError, KeyPolicy, SignatureAlgorithm, SlotId};

use super::config::{Config, TokenName};
use super::error::{Failure, Fault, OpenError};
use super::module::Module;
use super::object::{self, Held};
use crate::key::PublicKey;

/// The device of the worker's thread.
pub(super) struct Token {
    module: Arc<Module>,
    config: Config,
    session: Option<Session>,
    slot: Option<Slot>,
    held: BTreeMap<SlotId, Held>,
    /// Why no more logging in is tried: each wrong PIN counts.
    barred: Option<Fault>,
}

impl Token {
    pub(super) fn open(config: Config) -> Result<Self, OpenError> {
        let mut token = Self {
            module: Module::load(&config.module)?,
            config,
            session: None,
            slot: None,
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

    fn forget(&mut self) {
        self.held.clear();
        self.session = None;
        self.slot = None;
    }

    fn session(&mut self) -> Result<&Session, Failure> {
        if self.session.is_none() {
            self.session = Some(self.log_in()?);
        }
        self.session.as_ref().ok_or(Failure::Fault(Fault::Session))
    }

    fn log_in(&mut self) -> Result<Session, Failure> {
        if let Some(fault) = self.barred {
            return Err(fault.into());
        }
        let slot = self.find_token()?;
        let session = self.module.library.open_rw_session(slot)?;
        let pin = RawAuthPin::new(Box::new(self.config.pin.expose().to_vec()));
        match session.login_with_raw(UserType::User, &pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => {
                let fault = Fault::of(&error);
                if matches!(fault, Fault::Pin | Fault::Locked) {
                    self.barred = Some(fault);
                }
                return Err(error.into());
            }
        }
        self.slot = Some(slot);
        Ok(session)
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

    /// Signs a digest, or an Ed25519 message, with the key that was lent.
    pub(super) fn sign(
        &mut self,
        slot: SlotId,
        lent: &PublicKey,
        data: &[u8],
    ) -> Result<alloc::vec::Vec<u8>, Failure> {
        self.run(|token| {
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
        let slot = self.slot.ok_or(Fault::Session)?;
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
        let made = self.run(|token| token.look(slot))?;
        made.map(|_| ()).ok_or(Failure::Fault(Fault::Objects))
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
            token.held.remove(&slot);
            let session = token.session()?;
            // The private half first: what a cut leaves must not sign.
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
                for half in object::halves(session, class, slot)? {
                    session.destroy_object(half)?;
                }
            }
            Ok(())
        })
    }
}

const fn failed(failure: &Failure) -> OpenError {
    match failure.tell() {
        (_, Some(fault)) => OpenError::Fault(fault),
        _ => OpenError::Fault(Fault::Token),
    }
}
