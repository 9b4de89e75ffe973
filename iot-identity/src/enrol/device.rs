//! The device's half.

use iot_core::crypto::{Signature, SlotId};
use iot_core::engine::{BatchWriter, Done, Engine, Event, Failure, RecordKey, RecordRange, Step};
use iot_core::entropy::Entropy;
use iot_core::retry::{Policy, Retry};
use iot_core::{Channel, DeviceId, Instant, Message, Now, Priority};

use super::wire::{Answer, Chain, Refusal, Request};
use crate::cert::{UnverifiedCertificate, csr};
use crate::key::PublicKey;

/// How far enrolment has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Standing {
    /// The records have not been shown yet.
    Restoring,
    /// It asks for a certificate.
    Applying,
    /// It has one, and the record of it is durable.
    Enrolled,
    /// The registrar refused for good; nothing more is asked until [`Applicant::apply_again`].
    Refused(Refusal),
}

/// Asks for a certificate for one key until it has it, and keeps it in one record: an [`Engine`].
///
/// A cut at any moment only makes it ask again, and the registrar answers the same key with the same
/// certificate. It is used over a session that shows the factory identity; the application reconnects with
/// the new one. `BYTES` bounds the encoded chain: 1,024 hold one P-256 certificate and its issuer.
///
/// ```
/// use iot_core::crypto::{SignatureAlgorithm, SlotId};
/// use iot_core::engine::{Engine, Event, RecordKey, Step};
/// use iot_core::{DeviceId, Instant, Now, time::TimeBounds};
/// use iot_identity::{enrol::{Applicant, Standing}, key::PublicKey};
/// # struct Chip;
/// # impl iot_core::entropy::Entropy for Chip {
/// #     fn fill(&mut self, out: &mut [u8]) -> Result<(), iot_core::entropy::EntropyError> { out.fill(7); Ok(()) }
/// # }
/// # let point = [4; 65];
/// let key = PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, &point).unwrap(); // of the key in slot 1
/// let device = DeviceId::new("boiler-7")?;
/// let mut applicant = Applicant::<_, 1024>::new(device, SlotId::new(1), key, RecordKey::new(0x100), Chip);
/// let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
/// applicant.input(now, &Event::Restored);
/// assert_eq!(applicant.standing(), Standing::Applying);
/// let mut buffer = [0; 512];
/// assert!(matches!(applicant.step(now, &mut buffer), Step::Sign { .. }));
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Debug)]
pub struct Applicant<E, const BYTES: usize> {
    device: DeviceId,
    slot: SlotId,
    key: PublicKey,
    record: RecordKey,
    entropy: E,
    retry: Retry,
    stage: Stage,
    number: u32,
    not_before: Instant,
    stored: [u8; BYTES],
    len: usize,
}

/// Where it stands between two steps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Restoring,
    Signing,
    Asking(Signature),
    Storing,
    Enrolled,
    Refused(Refusal),
}

const PAUSE: Policy = Policy::new(
    core::time::Duration::from_secs(2),
    core::time::Duration::from_secs(300),
);

impl<E: Entropy, const BYTES: usize> Applicant<E, BYTES> {
    /// Applies for `device` with the key in `slot`, whose public half is `key`, and keeps the result in `record`.
    #[must_use]
    pub const fn new(
        device: DeviceId,
        slot: SlotId,
        key: PublicKey,
        record: RecordKey,
        entropy: E,
    ) -> Self {
        Self {
            device,
            slot,
            key,
            record,
            entropy,
            retry: Retry::new(PAUSE),
            stage: Stage::Restoring,
            number: 0,
            not_before: Instant::ZERO,
            stored: [0; BYTES],
            len: 0,
        }
    }

    /// Asks once more after a refusal, or for a fresh certificate of the same key.
    ///
    /// The old chain stays until the fresh one has come. From then until that is durable there is none in
    /// memory, because there is room for one: where storing may fail, copy [`chain`](Self::chain) beforehand.
    /// The old record stays in place, and after a reboot it counts again.
    pub fn apply_again(&mut self) {
        if matches!(self.stage, Stage::Enrolled | Stage::Refused(_)) {
            self.retry.succeeded();
            self.not_before = Instant::ZERO;
            self.stage = Stage::Signing;
        }
    }

    /// How far it has come.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        match self.stage {
            Stage::Restoring => Standing::Restoring,
            Stage::Signing | Stage::Asking(_) | Stage::Storing => Standing::Applying,
            Stage::Enrolled => Standing::Enrolled,
            Stage::Refused(refusal) => Standing::Refused(refusal),
        }
    }

    /// The durable chain, the device's own certificate first; empty until it is enrolled, and while a fresh
    /// one is being stored.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        let stored = self.stored.get(..self.len).unwrap_or(&[]);
        // While it is being stored a chain is not durable, and must not be used before it is.
        let durable = !matches!(self.stage, Stage::Restoring | Stage::Storing);
        let chain = durable.then(|| Chain::restore(stored).ok()).flatten();
        chain.into_iter().flat_map(Chain::iter)
    }

    /// Keeps a chain whose first certificate is of our key; false when it is not, or does not fit.
    fn keep(&mut self, chain: Chain<'_>) -> bool {
        let first = chain.iter().next().and_then(UnverifiedCertificate::parse);
        if first.and_then(|view| view.public_key()) != Some(self.key) {
            return false;
        }
        match chain.store(&mut self.stored) {
            Some(len) => self.len = len,
            None => return false,
        }
        true
    }

    fn wait(&mut self, now: Now) {
        // Without randomness for the jitter it waits as long as it ever does.
        let delay = self.retry.next_delay(&mut self.entropy);
        let delay = delay.unwrap_or(core::time::Duration::from_secs(300));
        self.not_before = now.instant + delay;
    }

    fn answered(&mut self, now: Now, answer: &Answer<'_>) {
        let Stage::Asking(_) = self.stage else { return };
        match answer.outcome() {
            // An answer to an earlier attempt is as good: it certifies the same key.
            Ok(chain) if self.keep(chain) => {
                self.retry.succeeded();
                self.not_before = Instant::ZERO;
                self.stage = Stage::Storing;
            }
            Err(refusal) if answer.number() == self.number => {
                if refusal.is_final() {
                    self.stage = Stage::Refused(refusal);
                } else {
                    self.wait(now);
                }
            }
            _ => {}
        }
    }

    fn request<'b>(&self, signature: &Signature, buffer: &'b mut [u8]) -> Option<Step<'b>> {
        let mut csr = [0; csr::MAX_CSR_BYTES];
        let csr = csr::assemble(&self.device, &self.key, signature, &mut csr).ok()?;
        let request = Request::new(self.number, csr).encode(buffer).ok()?;
        let message = Message::new(Channel::Enrol, request).with_priority(Priority::High);
        Some(Step::Send(message))
    }

    fn persist<'b>(&self, buffer: &'b mut [u8]) -> Option<Step<'b>> {
        let mut writer = BatchWriter::new(buffer);
        writer.put(self.record, self.stored.get(..self.len)?).ok()?;
        Some(Step::Persist(writer.finish()))
    }
}

impl<E: Entropy, const BYTES: usize> Engine for Applicant<E, BYTES> {
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Enrol
    }

    fn records(&self) -> RecordRange {
        RecordRange::new(self.record, 1)
    }

    fn input(&mut self, now: Now, event: &Event<'_>) {
        match (self.stage, event) {
            (Stage::Restoring, Event::Record { key, value }) if *key == self.record => {
                // A record of another key is one that was destroyed since: it is asked for anew.
                if let Ok(chain) = Chain::restore(value) {
                    self.keep(chain);
                }
            }
            (Stage::Restoring, Event::Restored) => {
                let known = self.len > 0;
                self.stage = if known {
                    Stage::Enrolled
                } else {
                    Stage::Signing
                };
            }
            (Stage::Asking(_), Event::Connected { .. }) => self.not_before = Instant::ZERO,
            (_, Event::Message(message)) if message.channel == Channel::Enrol => {
                if let Ok(answer) = Answer::decode(message.payload) {
                    self.answered(now, &answer);
                }
            }
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        if now.instant < self.not_before {
            return Step::Idle;
        }
        let step = match self.stage {
            Stage::Restoring | Stage::Enrolled | Stage::Refused(_) => return Step::Idle,
            Stage::Signing => {
                csr::write_info(&self.device, &self.key, buffer)
                    .ok()
                    .map(|message| Step::Sign {
                        slot: self.slot,
                        message,
                    })
            }
            Stage::Asking(signature) => self.request(&signature, buffer),
            Stage::Storing => self.persist(buffer),
        };
        // What does not fit the driver's buffer is the same as what the driver failed at.
        step.unwrap_or_else(|| {
            self.done(now, Done::Failed(Failure::Buffer));
            Step::Idle
        })
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        match (self.stage, done) {
            (Stage::Signing, Done::Signed(signature)) => {
                let mut number = [0; 4];
                // A number that repeats an old one only lets a late refusal count; nothing worse.
                let drawn = self.entropy.fill(&mut number);
                self.number =
                    drawn.map_or(self.number.wrapping_add(1), |()| u32::from_le_bytes(number));
                self.stage = Stage::Asking(*signature);
            }
            (Stage::Storing, Done::Persisted) => self.stage = Stage::Enrolled,
            (Stage::Signing | Stage::Asking(_) | Stage::Storing, _) => self.wait(now),
            (Stage::Restoring | Stage::Enrolled | Stage::Refused(_), _) => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Signing | Stage::Asking(_) | Stage::Storing => Some(self.not_before),
            Stage::Restoring | Stage::Enrolled | Stage::Refused(_) => None,
        }
    }
}
