//! The engine: what happens, and what is asked for next.

use core::time::Duration;

use iot_core::crypto::{Signature, SlotId};
use iot_core::engine::{BatchWriter, Done, Engine, Event, Failure, RecordKey, RecordRange, Step};
use iot_core::entropy::Entropy;
use iot_core::{Channel, DeviceId, Instant, Message, Now, Priority, Timestamp};

use super::life::{Life, Phase, Role};
use super::pair::Side;
use super::policy::Policy;
use super::record::{Head, Held};
use super::want::{Identity, Session, Standing, Unfit, Want};
use crate::cert::{UnverifiedCertificate, csr};
use crate::enrol::{Answer, Chain, Refusal, Request};
use crate::key::PublicKey;

/// How soon a refusal that asking again does not cure is asked about again: somebody has to act first.
const CURE: Duration = Duration::from_secs(3_600);
const DEVICE_URI: &[u8] = b"urn:iot:device:";

/// Keeps a device in possession of a valid operational certificate: an [`Engine`].
///
/// It enrols over a session that shows the factory identity, renews over one that shows the current certificate
/// and falls back to the factory's where the service no longer takes that. A fresh key is made in the spare slot;
/// its certificate becomes current only after the service has answered on a session opened with it. The driver
/// does the steps; the application looks at [`wants`](Self::wants) whenever the driver has nothing to do.
///
/// A retry asks for the same key, so that it never makes a second certificate. `BYTES` bounds the encoded chain
/// of a slot, and there are two: 1,024 hold one P-256 certificate and its issuer.
///
/// ```
/// use iot_core::crypto::{Signature, SlotId};
/// use iot_core::engine::{Engine, Event, RecordKey};
/// use iot_core::{DeviceId, Instant, Now, time::TimeBounds};
/// use iot_identity::rotate::{Identity, Policy, Rotation, Standing, Want};
/// # struct Chip;
/// # impl iot_core::entropy::Entropy for Chip {
/// #     fn fill(&mut self, out: &mut [u8]) -> Result<(), iot_core::entropy::EntropyError> { out.fill(7); Ok(()) }
/// # }
/// let (a, b) = (SlotId::new(1), SlotId::new(2));
/// let device = DeviceId::new("boiler-7")?;
/// let mut rotation = Rotation::<_, 1024>::new(device, [a, b], RecordKey::new(0x100), Policy::default(), Chip);
/// let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
/// rotation.input(now, &Event::Restored);
/// for slot in [a, b] {
///     assert_eq!(rotation.wants(now), Some(Want::Inspect(slot)));
///     rotation.holds(now, slot, None);
/// }
/// assert_eq!(rotation.wants(now), Some(Want::Generate(a)));
/// assert_eq!(rotation.standing(), Standing::Applying);
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rotation<E, const BYTES: usize> {
    device: DeviceId,
    record: RecordKey,
    entropy: E,
    life: Life<BYTES>,
    number: u32,
    refusal: Option<Refusal>,
    unfit: Option<Unfit>,
}

impl<E: Entropy, const BYTES: usize> Rotation<E, BYTES> {
    /// Rotates the certificate of `device` between two slots; keeps three records from `record` on.
    #[must_use]
    pub const fn new(
        device: DeviceId,
        slots: [SlotId; 2],
        record: RecordKey,
        policy: Policy,
        entropy: E,
    ) -> Self {
        Self {
            device,
            record,
            entropy,
            life: Life::new(slots, policy),
            number: 0,
            refusal: None,
            unfit: None,
        }
    }

    /// What it wants the device to do now.
    ///
    /// It says the same again until it is told how that ended, or until a pause begins.
    pub fn wants(&mut self, now: Now) -> Option<Want> {
        self.life.advance(now);
        self.life.wants(now)
    }

    /// Learns what an operational slot holds: after looking, after a key was made, after one was destroyed.
    pub fn holds(&mut self, now: Now, slot: SlotId, key: Option<PublicKey>) {
        if let Some(side) = self.life.side(slot) {
            self.life.holds(side, key);
            self.life.advance(now);
        }
    }

    /// Learns that the key store failed at what was wanted of it, and that nothing is known about what it did.
    ///
    /// It is asked again after a pause, in which sessions go on as ever. A key that was perhaps made is looked for;
    /// a slot that cannot be looked at for long is taken for what its record says, so that it does not keep the other
    /// one from its work; and a spare slot in which no key can be made is emptied.
    pub fn key_store_failed(&mut self, now: Now) {
        self.life.store_failed();
        self.life.pace.wait(now.instant, &mut self.entropy);
        self.life.advance(now);
    }

    /// Learns how an attempt to open a session with `identity` ended; also of one that nobody wanted.
    pub fn session(&mut self, now: Now, identity: Identity, outcome: Session) {
        if self.life.session(now, identity, outcome, &mut self.entropy) {
            self.refusal = Some(Refusal::Revoked);
        }
        self.life.advance(now);
    }

    /// Renews as soon as there is a session, whatever the clock says.
    pub fn renew(&mut self) {
        self.life.forced = true;
    }

    /// Asks once more after a refusal for good, over the factory identity and with a new key.
    ///
    /// The key that was asked for before may be refused for ever, although the device was admitted again.
    pub fn apply_again(&mut self) {
        self.life.again();
    }

    /// How far it has come.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (self.life.phase, self.life.current()) {
            (Phase::Restoring, _) => Standing::Restoring,
            (Phase::Inspecting(_), _) if !self.life.has_looked => Standing::Restoring,
            (Phase::Refused, _) => Standing::Refused(self.refusal.unwrap_or(Refusal::Revoked)),
            (_, None) => Standing::Applying,
            (Phase::Resting | Phase::Believing, Some(_)) => Standing::Enrolled,
            (_, Some(_)) => Standing::Renewing,
        }
    }

    /// What the registrar said when it last refused; `None` since it granted something.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Why the last certificate that was granted could not be taken; `None` since one was.
    #[must_use]
    pub const fn unfit(&self) -> Option<Unfit> {
        self.unfit
    }

    /// What sessions show while nothing else is wanted.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let current = self.life.current();
        current.map_or(Identity::Factory, |side| {
            Identity::Own(*self.life.slots.of(side))
        })
    }

    /// Whether there is a candidate, on record and not yet current.
    #[must_use]
    pub fn has_candidate(&self) -> bool {
        let spare = self.life.spare();
        self.life.role(spare) == Role::Candidate && self.life.is_durable(spare)
    }

    /// The last moment of the current certificate; `None` without one.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        let held = self.life.held.of(self.life.current()?).as_ref()?;
        Some(held.term.not_after())
    }

    /// The durable chain of the key in `slot`, the device's own certificate first; empty without one.
    pub fn chain(&self, slot: SlotId) -> impl Iterator<Item = &[u8]> {
        let side = self.life.side(slot);
        let durable = side.filter(|&side| self.life.is_durable(side));
        let held = durable.and_then(|side| self.life.held.of(side).as_ref());
        held.into_iter().flat_map(Held::chain)
    }

    /// Whether the next step, if there is one, is to sign.
    #[cfg(feature = "tls")]
    pub(crate) fn is_signing(&self) -> bool {
        self.life.phase == Phase::Signing
    }

    fn key_of(&self, side: Side) -> RecordKey {
        let by = match side {
            Side::A => 1,
            Side::B => 2,
        };
        self.record.offset(by).unwrap_or(self.record)
    }

    fn restore(&mut self, now: Now, key: RecordKey, value: &[u8]) {
        // What cannot be read counts as absent: then the device is enrolled anew, over its factory identity.
        if key == self.record {
            self.life.head = Head::read(value).ok();
        }
        for side in Side::BOTH {
            if key == self.key_of(side) {
                *self.life.held.of_mut(side) = Held::read(value);
                *self.life.known.of_mut(side) = now.instant;
            }
        }
    }

    /// Takes a chain in that this device can keep and may show.
    fn fits(&self, chain: Chain<'_>) -> Result<Held<BYTES>, Unfit> {
        let bytes = chain.as_bytes().len();
        if bytes > BYTES {
            return Err(Unfit::TooLong { bytes });
        }
        let first = chain.iter().next().and_then(UnverifiedCertificate::parse);
        let names_another = |uri: &[u8]| {
            let name = uri.strip_prefix(DEVICE_URI);
            name.is_some_and(|name| name != self.device.as_str().as_bytes())
        };
        if first.is_some_and(|view| view.uris().any(names_another)) {
            return Err(Unfit::OtherDevice);
        }
        let held = Held::new(self.life.next_generation(), Timestamp::EPOCH, chain);
        held.ok_or(Unfit::Unreadable)
    }

    fn answered(&mut self, now: Now, answer: &Answer<'_>) {
        let Phase::Asking(_) = self.life.phase else {
            return;
        };
        match answer.outcome() {
            // An answer to an earlier attempt is as good: it certifies the same key.
            Ok(chain) => match self.fits(chain) {
                Ok(held) => {
                    if self.life.granted(now, held) {
                        (self.refusal, self.unfit) = (None, None);
                    }
                }
                Err(unfit) if answer.number() == self.number => {
                    self.unfit = Some(unfit);
                    let pace = &mut self.life.pace;
                    pace.wait_at_least(now.instant, CURE, &mut self.entropy);
                    self.life.request_failed();
                }
                Err(_) => {}
            },
            Err(refusal) if answer.number() == self.number => {
                self.refusal = Some(refusal);
                match refusal {
                    Refusal::Revoked => self.life.refused(),
                    Refusal::Later => self.life.pace.wait(now.instant, &mut self.entropy),
                    // A service's mistake must not strand its devices: they ask again, but seldom.
                    _ => {
                        let pace = &mut self.life.pace;
                        pace.wait_at_least(now.instant, CURE, &mut self.entropy);
                        self.life.turn();
                        if refusal == Refusal::Request {
                            self.life.request_failed();
                        }
                    }
                }
            }
            Err(_) => {}
        }
    }

    fn persist<'b>(&self, now: Now, buffer: &'b mut [u8]) -> Option<Step<'b>> {
        let spare = self.life.spare();
        let mut writer = BatchWriter::new(buffer);
        match self.life.phase {
            Phase::Storing => {
                let held = self.life.held.of(spare).as_ref()?;
                writer.put_with(self.key_of(spare), |room| held.write(room))
            }
            Phase::Believing => {
                let side = self.life.current()?;
                let held = self.life.held.of(side).as_ref()?;
                writer.put_with(self.key_of(side), |room| held.write(room))
            }
            Phase::Committing => {
                let head = self.life.next_head(now);
                writer.put_with(self.record, |room| head.write(room))
            }
            _ => writer.remove(self.key_of(spare)),
        }
        .ok()?;
        Some(Step::Persist(writer.finish()))
    }

    fn request<'b>(&self, signature: &Signature, buffer: &'b mut [u8]) -> Option<Step<'b>> {
        let key = self.life.keys.of(self.life.spare()).as_ref()?;
        let mut csr = [0; csr::MAX_CSR_BYTES];
        let csr = csr::assemble(&self.device, key, signature, &mut csr).ok()?;
        let request = Request::new(self.number, csr).encode(buffer).ok()?;
        let message = Message::new(Channel::Enrol, request).with_priority(Priority::High);
        Some(Step::Send(message))
    }

    fn sign<'b>(&self, buffer: &'b mut [u8]) -> Option<Step<'b>> {
        let spare = self.life.spare();
        let key = self.life.keys.of(spare).as_ref()?;
        let message = csr::write_info(&self.device, key, buffer).ok()?;
        let slot = *self.life.slots.of(spare);
        Some(Step::Sign { slot, message })
    }

    fn draw_number(&mut self) {
        let mut number = [0; 4];
        // A number that repeats an old one only lets a late refusal count; nothing worse.
        let drawn = self.entropy.fill(&mut number);
        self.number = drawn.map_or(self.number.wrapping_add(1), |()| u32::from_le_bytes(number));
    }
}

impl<E: Entropy, const BYTES: usize> Engine for Rotation<E, BYTES> {
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Enrol
    }

    fn records(&self) -> RecordRange {
        RecordRange::new(self.record, 3)
    }

    fn input(&mut self, now: Now, event: &Event<'_>) {
        match (self.life.phase, event) {
            (Phase::Restoring, Event::Record { key, value }) => self.restore(now, *key, value),
            (Phase::Restoring, Event::Restored) => self.life.restored(now),
            (_, Event::Disconnected) => self.life.session = None,
            (_, Event::Message(message)) if message.channel == Channel::Enrol => {
                if let Ok(answer) = Answer::decode(message.payload) {
                    self.answered(now, &answer);
                }
            }
            _ => {}
        }
        self.life.advance(now);
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.life.advance(now);
        if !self.life.pace.is_over(now.instant) {
            return Step::Idle;
        }
        let step = match self.life.phase {
            Phase::Signing => self.sign(buffer),
            Phase::Asking(signature) if self.life.has_session(now) => {
                self.request(&signature, buffer)
            }
            phase if phase.writes() => self.persist(now, buffer),
            _ => return Step::Idle,
        };
        // What does not fit the driver's buffer is the same as what the driver failed at.
        step.unwrap_or_else(|| {
            self.done(now, Done::Failed(Failure::Buffer));
            Step::Idle
        })
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        match (self.life.phase, done) {
            (Phase::Signing, Done::Signed(signature)) => {
                self.draw_number();
                self.life.phase = Phase::Asking(*signature);
            }
            (phase, Done::Persisted) if phase.writes() => self.life.persisted(now),
            (Phase::Signing, Done::Failed(Failure::Key(_))) => {
                self.life.key_failed();
                self.life.pace.wait(now.instant, &mut self.entropy);
            }
            (Phase::Signing | Phase::Asking(_), _) => {
                self.life.pace.wait(now.instant, &mut self.entropy);
            }
            (phase, _) if phase.writes() => {
                self.life.pace.wait(now.instant, &mut self.entropy);
            }
            _ => {}
        }
        self.life.advance(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.life.deadline()
    }
}
