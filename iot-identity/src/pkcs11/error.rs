//! Why a token did not open, and what went wrong with it later.

use cryptoki::error::{Error, RvError};
use iot_core::crypto::{KeyError, SlotId};

/// Why a store did not open.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The library is not there, or is none.
    #[error("the PKCS#11 library cannot be loaded: check its path and architecture")]
    Module,
    /// A key of ours can leave the token.
    #[error("the key of slot {} can leave the token: destroy it and generate another", slot.get())]
    Extractable {
        /// Where it is.
        slot: SlotId,
    },
    /// The token said no.
    #[error(transparent)]
    Fault(Fault),
}

/// What is wrong with a token, in more words than a [`KeyError`] has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No token of that name is there.
    #[error("no such token is present")]
    NoToken,
    /// Several tokens have that name.
    #[error("several tokens have this label: name one by its serial number")]
    Ambiguous,
    /// The PIN is wrong. It is not tried again, lest the token locks.
    #[error("the PIN is wrong: open the store again with the right one")]
    Pin,
    /// The token takes no more PINs.
    #[error("the token is locked: its security officer must reset the PIN")]
    Locked,
    /// The token did not answer in time.
    #[error("the token did not answer in time")]
    Late,
    /// The session was lost, and a new one as well.
    #[error("the session was lost")]
    Session,
    /// A key was made so that it can leave the token.
    #[error("the key can leave the token")]
    Extractable,
    /// The objects of a slot are not a pair of keys, or of another kind than this store makes.
    #[error("the slot's objects are not a pair of keys as this store makes them")]
    Objects,
    /// A signature does not verify with the key that made it.
    #[error("the token made a signature that does not verify")]
    Signature,
    /// Anything else.
    #[error("the token failed")]
    Token,
}

impl Fault {
    pub(super) const fn of(error: &Error) -> Self {
        match error {
            Error::Pkcs11(rv, _) => match rv {
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => Self::Pin,
                RvError::PinLocked | RvError::PinExpired => Self::Locked,
                RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::DeviceRemoved
                | RvError::SlotIdInvalid => Self::NoToken,
                RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::CryptokiNotInitialized
                | RvError::UserNotLoggedIn => Self::Session,
                _ => Self::Token,
            },
            _ => Self::Token,
        }
    }
}

/// Why a call on the token failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Said by the store.
    Key(KeyError),
    /// Seen by the store.
    Fault(Fault),
    /// Said by the token.
    Token(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Failure {
    /// Whether a new session, or another look for the key, may help.
    pub(super) const fn is_lost(&self) -> bool {
        match self {
            Self::Token(Error::Pkcs11(rv, _)) => matches!(
                rv,
                RvError::SessionHandleInvalid
                    | RvError::SessionClosed
                    | RvError::CryptokiNotInitialized
                    | RvError::UserNotLoggedIn
                    | RvError::DeviceRemoved
                    | RvError::DeviceError
                    | RvError::TokenNotPresent
                    | RvError::TokenNotRecognized
                    | RvError::SlotIdInvalid
                    | RvError::KeyHandleInvalid
                    | RvError::ObjectHandleInvalid
                    | RvError::GeneralError
                    | RvError::FunctionFailed
                    | RvError::OperationActive
            ),
            _ => false,
        }
    }

    /// The error of the port, and the fault behind it when it has one.
    pub(super) const fn tell(&self) -> (KeyError, Option<Fault>) {
        match self {
            Self::Key(error) => (*error, None),
            Self::Fault(Fault::Extractable) => (KeyError::Forbidden, Some(Fault::Extractable)),
            Self::Fault(fault) => (KeyError::Device, Some(*fault)),
            Self::Token(error) => {
                let told = match error {
                    Error::Pkcs11(
                        RvError::MechanismInvalid
                        | RvError::CurveNotSupported
                        | RvError::FunctionNotSupported
                        | RvError::DataLenRange
                        | RvError::KeySizeRange,
                        _,
                    ) => KeyError::Unsupported,
                    Error::Pkcs11(RvError::DeviceMemory, _) => KeyError::Full,
                    Error::Pkcs11(
                        RvError::ActionProhibited | RvError::KeyFunctionNotPermitted,
                        _,
                    ) => KeyError::Forbidden,
                    _ => KeyError::Device,
                };
                (told, Some(Fault::of(error)))
            }
        }
    }
}
