//! What each command means (§6.4).

use iot_core::codec::FlatReader;
use iot_core::crypto::Sha256Digest;

use super::capabilities::Identity;
use super::error::ProcessError;
use super::frame::{Choice, Kind, Select};
use super::machine::{Asked, Failed, Procedure, Process};
use super::step::{Check, Details, Effect, Fetch, Source, Step, Target};
use super::version::VersionMatch;
use crate::manifest::{Parameters, digest_in};

pub(super) const PROCESS: i32 = 11;
const VENDOR: i32 = 1;
const CLASS: i32 = 2;
const DIGEST: i32 = 3;
const STRICT_ORDER: i32 = 12;
const SOFT_FAILURE: i32 = 13;
const SIZE: i32 = 14;
const CONTENT: i32 = 18;
const ENCRYPTION: i32 = 19;
const URI: i32 = 21;
const SOURCE: i32 = 22;
const ARGUMENTS: i32 = 23;
const DEVICE: i32 = 24;
const FETCH_ARGUMENTS: i32 = 25;
const METADATA: i32 = 30;

/// The reporting policy of a command that has one.
pub(super) fn policy(code: i32, raw: &[u8]) -> Option<u8> {
    match code {
        12 | 15 | 19 | 20 | 32 | 34 | 35 => None,
        _ => raw.first().copied(),
    }
}

impl<'a, const PARAMETERS: usize> Process<'a, '_, PARAMETERS> {
    /// Executes the command under way for the component that it is at.
    #[inline(never)]
    pub(super) fn execute(&mut self) -> Result<(), Failed> {
        let Some((code, raw, next)) = self.command() else {
            return self.fail(ProcessError::Structure);
        };
        // These are barriers for what was begun without order (§6.7).
        if matches!(code, 12 | 19 | 20 | 34 | 35) {
            self.sources = 0;
            self.targets = 0;
        }
        let frame = self.frame_mut();
        frame.next = next;
        let choice = frame.choice;
        match code {
            12 => self.select(choice, raw)?,
            _ if choice == Choice::First => return self.fail_index(),
            34 => self.override_multiple(raw)?,
            _ => return self.for_component(code, raw),
        }
        self.frame_mut().rest = next;
        Ok(())
    }

    #[inline(never)]
    fn for_component(&mut self, code: i32, raw: &'a [u8]) -> Result<(), Failed> {
        let Some((target, dependency)) = self.at() else {
            return self.fail_index();
        };
        self.table.place = number(target);
        let success = match code {
            1 => self.is_vendor(),
            2 => self.is(CLASS, Some(&self.identity().class)),
            24 => self.is(DEVICE, self.identity().device.as_ref()),
            8 => dependency,
            15 => return self.branch(raw),
            32 => return self.enter(FlatReader::new(raw).bytes(), Kind::Run),
            19 | 20 => {
                self.parameters(raw, code == 19)?;
                true
            }
            35 => self.copy_parameters(raw)?,
            // Only the device knows.
            _ => {
                let manifest = dependency && matches!(code, 3 | 7 | PROCESS | 25);
                self.asked = Some(Asked {
                    code,
                    target,
                    manifest,
                });
                return Ok(());
            }
        };
        self.settle(success);
        Ok(())
    }

    /// What the device is asked; `None` when the command has ended without a question.
    pub(super) fn ask(&mut self, asked: Asked<'a>) -> Option<Step<'a>> {
        let step = self.question(&asked);
        let answer = match step {
            // What is compared, or used, may never have been set (§8.4.9).
            None => false,
            Some(step) => {
                if matches!(step, Step::Perform { .. }) && self.unordered(asked.code).is_err() {
                    return None;
                }
                // Whether a dependency was there is an answer like any other: it may have come since. Only who goes
                // down needs its manifest again.
                match self.position.answer(self.replayed, None) {
                    Some(known) if !known || asked.code != PROCESS => {
                        self.replayed = self.replayed.saturating_add(1);
                        known
                    }
                    _ => return Some(step),
                }
            }
        };
        self.asked = None;
        self.settle(answer);
        None
    }

    /// The question of a command; `None` for abort, for what only a dependency can pass, and where a parameter is
    /// missing.
    #[inline(never)]
    fn question(&self, asked: &Asked<'a>) -> Option<Step<'a>> {
        let (code, target) = (asked.code, asked.target);
        if asked.manifest {
            // Without a digest any manifest that verifies would do. Only uninstalling takes what is there, as the
            // draft's own example does.
            if code != PROCESS || self.position.procedure != Procedure::Uninstall {
                self.digest()?;
            }
            return Some(Step::Dependency { target });
        }
        Some(match code {
            7 | PROCESS | 14 => return None,
            3..=6 | 25..=28 => Step::Check {
                target,
                check: self.condition(code)?,
            },
            _ => {
                let encryption = self.bytes(ENCRYPTION);
                // Counter mode has no protected header and no tag: whoever brings the payload turns bits of it at will,
                // and only a digest tells (firmware encryption). What is written is signed itself.
                if matches!(code, 21 | 22 | 31) && encryption.is_some_and(|info| !is_tagged(info)) {
                    self.digest()?;
                }
                Step::Perform {
                    target,
                    effect: self.effect(code)?,
                    details: Details {
                        encryption,
                        metadata: self.bytes(METADATA),
                    },
                }
            }
        })
    }

    fn condition(&self, code: i32) -> Option<Check<'a>> {
        let own = match code {
            25 => DIGEST,
            6 => CONTENT,
            code => code,
        };
        let mut value = self.value(own);
        let check = match code {
            3 | 25 => {
                let (digest, size) = (digest_in(&mut value)?, self.size());
                if code == 3 {
                    Check::Image { digest, size }
                } else {
                    Check::NotImage { digest, size }
                }
            }
            4 => Check::UseBefore(value.uint()),
            5 => Check::Slot(value.uint()),
            6 => Check::Content(value.bytes()),
            26 => Check::MinimumBattery(value.uint()),
            27 => Check::Authorized(value.int()),
            _ => Check::Version(VersionMatch::decode(value.bytes())?),
        };
        // It may never have been set.
        value.rest().map(|_| check)
    }

    fn effect(&self, code: i32) -> Option<Effect<'a>> {
        let own = match code {
            31 => SOURCE,
            // These two need nothing.
            23 => return Some(Effect::Invoke(self.bytes(ARGUMENTS))),
            33 => return Some(Effect::Unlink),
            code => code,
        };
        let mut value = self.value(own);
        let effect = match code {
            18 => Effect::Write(value.bytes()),
            21 => Effect::Fetch(Fetch {
                source: self.source()?,
                arguments: self.bytes(FETCH_ARGUMENTS),
                digest: self.digest(),
                size: self.size(),
            }),
            22 | 31 => {
                let (other, _) = self.target(value.u32())?;
                if code == 22 {
                    Effect::Copy { from: other }
                } else {
                    Effect::Swap { with: other }
                }
            }
            _ => Effect::Wait(value.bytes()),
        };
        value.rest().map(|_| effect)
    }

    /// Where to fetch from; a name such as `#image` is that of a payload in the envelope.
    fn source(&self) -> Option<Source<'a>> {
        let uri = self.value(URI).text();
        if uri.starts_with('#') {
            let payload = self.level().manifest.integrated_payload(uri);
            payload.map(Source::Integrated)
        } else {
            Some(Source::Uri(uri))
        }
    }

    fn is_vendor(&self) -> bool {
        let own = self.identity();
        let mut value = self.value(VENDOR);
        if value.peek() == Some(6) {
            value.tag();
            own.enterprise.is_some_and(|own| value.bytes() == own)
        } else {
            self.is(VENDOR, Some(&own.vendor))
        }
    }

    #[inline(never)]
    fn is(&self, code: i32, own: Option<&[u8; 16]>) -> bool {
        own.is_some_and(|own| self.bytes(code) == Some(own))
    }

    #[inline(never)]
    fn identity(&self) -> &Identity<'_> {
        let place = usize::from(self.table.place);
        let own = self.capabilities.components.get(place);
        let own = own.and_then(|component| component.identity.as_ref());
        own.unwrap_or(&self.capabilities.identity)
    }

    #[inline(never)]
    fn value(&self, code: i32) -> FlatReader<'a> {
        FlatReader::found(self.table.value(code))
    }

    #[inline(never)]
    fn bytes(&self, code: i32) -> Option<&'a [u8]> {
        let mut value = self.value(code);
        let bytes = value.bytes();
        value.rest().map(|_| bytes)
    }

    #[inline(never)]
    fn size(&self) -> Option<u64> {
        let mut value = self.value(SIZE);
        let size = value.uint();
        value.rest().map(|_| size)
    }

    #[inline(never)]
    pub(super) fn digest(&self) -> Option<&'a Sha256Digest> {
        digest_in(&mut self.value(DIGEST))
    }

    #[inline(never)]
    fn select(&mut self, choice: Choice, raw: &'a [u8]) -> Result<(), Failed> {
        let mut reader = FlatReader::new(raw);
        let select = match reader.peek() {
            Some(7) => Select::Every,
            Some(4) => Select::List(raw),
            _ => match u8::try_from(reader.uint()) {
                Ok(index) => Select::One(index),
                // No component has an index that does not fit.
                Err(_) => return self.fail_index(),
            },
        };
        let group = !matches!(select, Select::One(_));
        // Without order a sequence is about one component, the first that it chooses (§6.7).
        if choice == Choice::Never || group && choice == Choice::First {
            return self.fail_index();
        }
        let own = self.frame_mut();
        own.select = select;
        if choice == Choice::First {
            own.choice = Choice::Never;
        }
        Ok(())
    }

    /// How many components the command under way is executed for.
    #[inline(never)]
    pub(super) fn members(&self) -> u8 {
        let count = match self.top().select {
            Select::Every => self.level().manifest.component_count(),
            Select::List(all) => FlatReader::new(all).array_len(),
            _ => 1,
        };
        u8::try_from(count).unwrap_or(u8::MAX)
    }

    /// The index of the component that the command under way is at.
    #[inline(never)]
    pub(super) fn current(&self) -> Option<u8> {
        let frame = self.top();
        match frame.select {
            Select::Nothing => None,
            Select::One(index) => Some(index),
            Select::Every => Some(frame.member),
            Select::List(all) => {
                let mut reader = FlatReader::new(all);
                skip(&mut reader, frame.member);
                u8::try_from(reader.uint()).ok()
            }
        }
    }

    /// The component of an index, and whether it is a dependency.
    #[inline(never)]
    pub(super) fn target(&self, index: u32) -> Option<(Target<'a>, bool)> {
        let manifest = &self.level().manifest;
        let dependency = manifest.dependency(index);
        let id = dependency.or_else(|| manifest.component(index))?;
        let place = self.capabilities.place(id)?.into();
        Some((Target { place, id }, dependency.is_some()))
    }

    /// The component that the command under way is at, and whether it is a dependency.
    #[inline(never)]
    pub(super) fn at(&self) -> Option<(Target<'a>, bool)> {
        self.target(self.current()?.into())
    }

    /// Sets parameters.
    #[inline(never)]
    fn parameters(&mut self, raw: &'a [u8], if_unset: bool) -> Result<(), Failed> {
        let Some(mut parameters) = Parameters::of(raw) else {
            return self.fail(ProcessError::Structure);
        };
        while let Some((code, value)) = parameters.pair() {
            let mut reader = FlatReader::new(value);
            match code {
                STRICT_ORDER => self.frame_mut().unordered = !reader.boolean(),
                // Only sequences within sequences may fail softly (§8.4.8.14).
                SOFT_FAILURE if self.frame_mut().kind == Kind::Section => {
                    return self.fail_index();
                }
                SOFT_FAILURE => self.frame_mut().soft = reader.boolean(),
                _ if if_unset && self.table.value(code).is_some() => {}
                _ => self.set(code, value)?,
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn set(&mut self, code: i32, value: &'a [u8]) -> Result<(), Failed> {
        if self.table.set(code, value) {
            return Ok(());
        }
        let capacity = PARAMETERS;
        self.fail(ProcessError::Parameters { capacity })
    }

    /// Parameters of several components at once (update management); which one is chosen does not matter.
    #[inline(never)]
    fn override_multiple(&mut self, raw: &'a [u8]) -> Result<(), Failed> {
        let mut reader = FlatReader::new(raw);
        for _ in 0..reader.map_len() {
            let (index, parameters) = (reader.u32(), reader.item());
            self.table.place = self.place(index)?;
            self.parameters(parameters, false)?;
        }
        Ok(())
    }

    /// Parameters of other components (update management); false when one of them is not set.
    #[inline(never)]
    fn copy_parameters(&mut self, raw: &'a [u8]) -> Result<bool, Failed> {
        let own = self.table.place;
        let mut reader = FlatReader::new(raw);
        for _ in 0..reader.map_len() {
            let (index, mut codes) = (reader.u32(), FlatReader::new(reader.item()));
            let source = self.place(index)?;
            for _ in 0..codes.array_len() {
                let code = codes.i32();
                self.table.place = source;
                let value = self.table.value(code);
                self.table.place = own;
                match value {
                    Some(value) => self.set(code, value)?,
                    None => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Where the component of an index is.
    #[inline(never)]
    fn place(&mut self, index: u32) -> Result<u8, Failed> {
        match self.target(index) {
            Some((target, _)) => Ok(number(target)),
            None => self.fail_index(),
        }
    }

    /// Without order nothing may be read that is written, or the other way round (§6.7).
    #[inline(never)]
    fn unordered(&mut self, code: i32) -> Result<(), Failed> {
        if !self.top().unordered {
            return Ok(());
        }
        self.targets |= bit(self.table.place);
        if matches!(code, 22 | 31)
            && let Some((source, _)) = self.target(self.value(SOURCE).u32())
        {
            self.sources |= bit(number(source));
        }
        if self.sources & self.targets != 0 {
            let index = self.current().unwrap_or(0).into();
            return self.fail(ProcessError::Order { index });
        }
        Ok(())
    }

    /// The sequence of a try-each that is next: none is left, or nil, which always succeeds.
    fn branch(&mut self, raw: &'a [u8]) -> Result<(), Failed> {
        let branch = self.top().branch;
        let mut reader = FlatReader::new(raw);
        let none = !skip(&mut reader, branch);
        if none || reader.null() {
            self.settle(!none);
            return Ok(());
        }
        self.enter(reader.bytes(), Kind::Branch)
    }

    #[inline(never)]
    fn fail_index<T>(&mut self) -> Result<T, Failed> {
        let (section, offset) = (self.section(), self.offset());
        self.fail(ProcessError::Index { section, offset })
    }
}

/// Goes to an item of an array, and says whether it has one there.
#[inline(never)]
fn skip(reader: &mut FlatReader<'_>, items: u8) -> bool {
    let all = reader.array_len();
    for _ in 0..items {
        reader.item();
    }
    u32::from(items) < all
}

/// Whether a `COSE_Encrypt` names its algorithm where a tag protects it.
fn is_tagged(info: &[u8]) -> bool {
    let mut reader = FlatReader::new(info);
    reader.tag();
    reader.array_len();
    !reader.bytes().is_empty()
}

/// There are at most 32 places.
fn number(target: Target<'_>) -> u8 {
    let [low, ..] = target.place.to_le_bytes();
    low
}

fn bit(place: u8) -> u32 {
    1_u32.checked_shl(place.into()).unwrap_or(0)
}
