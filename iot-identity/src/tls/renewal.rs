//! A rotation with its keys at hand, which changes what live configurations show.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use iot_core::crypto::{
    KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId,
};
use iot_core::engine::{Done, Engine, Event, Failure, RecordRange, Step};
use iot_core::{Channel, Instant, Now, Timestamp};

use super::device::credential;
use super::link::Link;
use super::{Credential, Credentials};
use crate::cert::csr;
use crate::enrol::Refusal;
use crate::key::PublicKey;
use crate::ring::SystemEntropy;
use crate::rotate::{Identity, Rotation, Session, Standing, Want};

/// The encoded chain of a slot; a chain of four fits.
pub(super) const CHAIN_BYTES: usize = 4_096;
/// A link that fails says so by no event, so the node comes back this soon while an answer is awaited.
const GLANCE: Duration = Duration::from_millis(50);

/// Keeps a device in possession of a valid certificate, and every configuration of its
/// [`DeviceCredentials`](super::DeviceCredentials) in step with it.
///
/// It is an [`Engine`] for the node, like the [`Rotation`] in it, and does with the key store what that wants. So
/// a program owes it two things: to call [`tend`](Self::tend) after every turn of the node, and to connect anew
/// when that says so.
///
/// ```text
/// loop {
///     node.turn(&mut engines, &mut buffer).await?;
///     let link = …;                                    // what the client shows of itself
///     if engines.0.tend(node.timer().now(), &link) {
///         node.transport().reconnect(PATIENCE);        // it shows another certificate from here on
///     }
/// }
/// ```
///
/// A new certificate is shown on the one link there is. If the service takes it, it is committed, and the old key is
/// destroyed after the overlap; if not, the old one is put back into force and `tend` says to connect anew again.
/// What happened in which order is [`Rotation`]'s to decide, and described there.
pub struct Renewal<K> {
    rotation: Rotation<SystemEntropy, CHAIN_BYTES>,
    keys: Arc<K>,
    algorithm: SignatureAlgorithm,
    factory: Credential,
    live: Credentials,
    /// What the link was last asked to show.
    shown: Option<Identity>,
    /// No answer has come yet.
    awaits: bool,
    /// Something happened that nobody has tended to.
    neglected: bool,
    /// What was counted of the link when that was last told.
    opened: u64,
    failed: u64,
    looked: Instant,
}

impl<K: KeyStore + Send + Sync + 'static> Renewal<K> {
    pub(super) const fn new(
        rotation: Rotation<SystemEntropy, CHAIN_BYTES>,
        keys: Arc<K>,
        algorithm: SignatureAlgorithm,
        factory: Credential,
        live: Credentials,
    ) -> Self {
        Self {
            rotation,
            keys,
            algorithm,
            factory,
            live,
            shown: None,
            awaits: false,
            neglected: true,
            opened: 0,
            failed: 0,
            looked: Instant::ZERO,
        }
    }

    /// Does what is to be done with keys, and learns from the link; true when it has to connect anew, because
    /// another identity is in force than the one it showed.
    ///
    /// It calls the key store, which may take as long as a token or TPM takes to make a key and to sign. What the
    /// key store fails at is tried again after a pause.
    #[must_use]
    pub fn tend(&mut self, now: Now, link: &Link) -> bool {
        (self.looked, self.neglected) = (now.instant, false);
        let mut anew = false;
        loop {
            self.hears(now, link);
            if self.signs(now) {
                continue;
            }
            match self.rotation.wants(now) {
                None => return anew,
                Some(Want::Session(identity)) => {
                    if self.awaits && self.shown == Some(identity) {
                        return anew;
                    }
                    match self.shows(identity, link) {
                        Ok(other) => anew |= other,
                        Err(_) => {
                            self.rotation.key_store_failed(now);
                            return anew;
                        }
                    }
                }
                Some(want) => {
                    let Ok((slot, key)) = self.does(want) else {
                        self.rotation.key_store_failed(now);
                        continue;
                    };
                    self.rotation.holds(now, slot, key);
                }
            }
        }
    }

    /// Tells the rotation what became of the link since it was last asked for one.
    fn hears(&mut self, now: Now, link: &Link) {
        let Some(shown) = self.shown else { return };
        if link.is_up && link.opened > self.opened {
            self.opened = link.opened;
            self.awaits = false;
            self.rotation.session(now, shown, Session::Open);
        } else if self.awaits && !link.is_up && link.failed > self.failed {
            self.failed = link.failed;
            self.awaits = false;
            self.rotation.session(now, shown, link.failure);
        }
    }

    /// Puts an identity into force; true when it was another.
    fn shows(&mut self, identity: Identity, link: &Link) -> Result<bool, KeyError> {
        let next = match identity {
            Identity::Own(slot) => {
                credential(&self.keys, &self.rotation, slot).map_err(|_| KeyError::Absent)?
            }
            Identity::Factory => self.factory.clone(),
        };
        let is_other = self.live.current().chain() != next.chain();
        if is_other {
            self.live.swap(next);
        }
        (self.shown, self.awaits) = (Some(identity), true);
        self.failed = link.failed;
        // A link that stands shows this identity already, unless it has to be made anew: only the next one does.
        let stands = link.is_up && !is_other;
        self.opened = link.opened.saturating_sub(u64::from(stands));
        Ok(is_other)
    }

    /// Signs a request that waits for it; false when there is none.
    fn signs(&mut self, now: Now) -> bool {
        // Another step must not be asked for here: what did not fit this buffer would count as failed.
        if !self.rotation.is_signing() {
            return false;
        }
        let mut buffer = [0; csr::MAX_CSR_BYTES];
        let mut signature = Signature::empty();
        let Step::Sign { slot, message } = self.rotation.step(now, &mut buffer) else {
            return false;
        };
        let signed = self.keys.signer(slot);
        let signed = signed.and_then(|signer| signer.sign(&[message], &mut signature));
        self.rotation.done(
            now,
            match signed {
                Ok(()) => Done::Signed(&signature),
                Err(error) => Done::Failed(Failure::Key(error)),
            },
        );
        true
    }

    fn does(&self, want: Want) -> Result<(SlotId, Option<PublicKey>), KeyError> {
        let slot = match want {
            Want::Generate(slot) => {
                self.keys.generate(slot, self.algorithm, KeyPolicy::Sign)?;
                slot
            }
            Want::Destroy(slot) => {
                self.keys.destroy(slot)?;
                slot
            }
            Want::Inspect(slot) => slot,
            Want::Session(_) => return Err(KeyError::Unsupported),
        };
        Ok((slot, public(&*self.keys, slot)?))
    }
}

impl<K> Renewal<K> {
    /// Renews as soon as there is a session, whatever the clock says.
    pub fn renew(&mut self) {
        self.neglected = true;
        self.rotation.renew();
    }

    /// Asks once more after a refusal for good, over the factory identity.
    pub fn apply_again(&mut self) {
        self.neglected = true;
        self.rotation.apply_again();
    }

    /// How far it has come.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.rotation.standing()
    }

    /// What the registrar said when it last refused; `None` since it granted something.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        self.rotation.refusal()
    }

    /// What the link was last asked to show; `None` before the first [`tend`](Self::tend).
    #[must_use]
    pub const fn shown(&self) -> Option<Identity> {
        self.shown
    }

    /// What sessions show while nothing else is wanted.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.rotation.identity()
    }

    /// Whether there is a candidate, on record and not yet current.
    #[must_use]
    pub fn has_candidate(&self) -> bool {
        self.rotation.has_candidate()
    }

    /// The last moment of the current certificate; `None` without one.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        self.rotation.not_after()
    }
}

impl<K> Engine for Renewal<K> {
    fn handles(&self, channel: Channel) -> bool {
        self.rotation.handles(channel)
    }

    fn records(&self) -> RecordRange {
        self.rotation.records()
    }

    fn input(&mut self, now: Now, event: &Event<'_>) {
        self.neglected = true;
        self.rotation.input(now, event);
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.looked = now.instant;
        match self.rotation.step(now, buffer) {
            // Signed in `tend`, where the keys are.
            Step::Sign { .. } => Step::Idle,
            step => step,
        }
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        self.neglected = true;
        self.rotation.done(now, done);
    }

    fn deadline(&self) -> Option<Instant> {
        let glance = (self.awaits || self.neglected).then(|| self.looked + GLANCE);
        [glance, self.rotation.deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl<K> fmt::Debug for Renewal<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal")
            .field("standing", &self.standing())
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

/// The public half of the key in `slot`; `None` for an empty one.
pub(super) fn public<K: KeyStore>(keys: &K, slot: SlotId) -> Result<Option<PublicKey>, KeyError> {
    match keys.signer(slot) {
        Ok(signer) => PublicKey::of(&signer).map(Some),
        Err(KeyError::Absent) => Ok(None),
        Err(error) => Err(error),
    }
}
