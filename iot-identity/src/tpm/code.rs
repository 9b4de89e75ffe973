//! What a TPM says when it does not do what it is asked (Part 2 §6.6).

use iot_core::crypto::{KeyError, SlotId};

use super::transport::LinkError;

/// Why a store did not open.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The slots would lie outside of the owner's persistent handles.
    #[error("the slots must lie within the owner's persistent handles, 81000000 to 817fffff")]
    Handles,
    /// The object in a slot is no key that was made in this TPM and stays there.
    #[error("the object in slot {} is no signing key that stays in the TPM: evict it or choose another base", slot.get())]
    Foreign {
        /// Where it is.
        slot: SlotId,
    },
    /// The TPM said no.
    #[error(transparent)]
    Fault(Fault),
}

/// What is wrong with a TPM, in more words than a [`KeyError`] has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It cannot be reached.
    #[error("the TPM cannot be reached")]
    Link,
    /// It did not answer in time.
    #[error("the TPM did not answer in time")]
    Late,
    /// What it answered is no response to what it was asked.
    #[error("the TPM's response is malformed")]
    Response,
    /// All its transient slots are taken, and stayed so until the deadline (902, 906).
    #[error(
        "the TPM has no transient slot free: use its resource manager, or flush what was left behind"
    )]
    Memory,
    /// It was busy until the deadline (922 and its like).
    #[error("the TPM was busy until the deadline")]
    Busy,
    /// It is locked after too many wrong passwords (921).
    #[error("the TPM is locked after wrong passwords: wait, or reset it with the lockout password")]
    Locked,
    /// The owner's password is wrong.
    #[error("the owner's password is wrong")]
    Owner,
    /// The object in the slot is no key that this store made.
    #[error("the object in the slot is no signing key that stays in the TPM")]
    Foreign,
    /// A signature does not verify with the key that made it.
    #[error("the TPM made a signature that does not verify")]
    Signature,
    /// Any other response code.
    #[error("the TPM refused with code {0:#x}")]
    Code(u32),
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    Key(KeyError),
    Fault(Fault),
    /// The TPM's own number.
    Code(u32),
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

impl From<LinkError> for Failure {
    fn from(_: LinkError) -> Self {
        Self::Fault(Fault::Link)
    }
}

/// What to do about a code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remedy {
    /// Ask again, later.
    Wait,
    /// Make room, and ask again.
    Room,
    /// Start the TPM, and ask again.
    Start,
    /// None.
    Give,
}

const FORMAT_ONE: u32 = 0x080;

/// The code without the layer of a resource manager, and without the number of handle, session or parameter.
const fn plain(code: u32) -> u32 {
    let code = code & 0xffff;
    if code & FORMAT_ONE != 0 {
        code & 0x0bf
    } else {
        code & 0xfff
    }
}

pub(super) const fn remedy(code: u32) -> Remedy {
    match plain(code) {
        // YIELDED, TESTING, NV_RATE, RETRY, NV_UNAVAILABLE
        0x908 | 0x90a | 0x920 | 0x922 | 0x923 => Remedy::Wait,
        // OBJECT_MEMORY, OBJECT_HANDLES
        0x902 | 0x906 => Remedy::Room,
        0x100 => Remedy::Start,
        _ => Remedy::Give,
    }
}

impl Failure {
    /// Whether a handle names nothing: `TPM_RC_HANDLE`, or `TPM_RC_VALUE` as some say.
    pub(super) const fn is_no_object(self) -> bool {
        matches!(self, Self::Code(code) if matches!(plain(code), 0x08b | 0x084))
    }

    /// Whether every transient slot is taken.
    pub(super) const fn is_no_room(self) -> bool {
        matches!(self, Self::Code(code) if matches!(remedy(code), Remedy::Room))
    }

    /// The error of the port, and the fault behind it when it has one.
    pub(super) const fn tell(self) -> (KeyError, Option<Fault>) {
        match self {
            Self::Key(error) => (error, None),
            Self::Fault(Fault::Foreign) => (KeyError::Forbidden, Some(Fault::Foreign)),
            Self::Fault(fault) => (KeyError::Device, Some(fault)),
            Self::Code(code) => match plain(code) {
                // NV_DEFINED: somebody else was first.
                0x14c => (KeyError::Occupied, None),
                // NV_SPACE
                0x14b => (KeyError::Full, Some(Fault::Code(code))),
                // CURVE, SCHEME
                0x0a6 | 0x092 => (KeyError::Unsupported, Some(Fault::Code(code))),
                0x902 | 0x906 => (KeyError::Device, Some(Fault::Memory)),
                0x921 => (KeyError::Device, Some(Fault::Locked)),
                // AUTH_FAIL, BAD_AUTH
                0x08e | 0x0a2 => (KeyError::Device, Some(Fault::Owner)),
                _ => match remedy(code) {
                    Remedy::Wait => (KeyError::Device, Some(Fault::Busy)),
                    _ => (KeyError::Device, Some(Fault::Code(code))),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_means_the_same_whatever_it_complains_about() {
        // Handle 1, handle 2, and through the kernel's resource manager.
        for code in [0x18b, 0x28b, 0xb_018b] {
            assert!(Failure::Code(code).is_no_object());
        }
        assert!(!Failure::Code(0x902).is_no_object());
        for code in [0x98e, 0x9a2] {
            assert_eq!(
                Failure::Code(code).tell(),
                (KeyError::Device, Some(Fault::Owner))
            );
        }
    }

    #[test]
    fn each_warning_has_its_remedy() {
        assert_eq!(remedy(0x922), Remedy::Wait);
        assert_eq!(remedy(0x902), Remedy::Room);
        assert_eq!(remedy(0x100), Remedy::Start);
        assert_eq!(remedy(0x921), Remedy::Give);
        assert_eq!(Failure::Code(0x921).tell().1, Some(Fault::Locked));
        assert_eq!(Failure::Code(0x922).tell().1, Some(Fault::Busy));
        assert_eq!(Failure::Code(0x14b).tell().0, KeyError::Full);
        assert_eq!(Failure::Code(0x14c).tell().0, KeyError::Occupied);
    }
}
