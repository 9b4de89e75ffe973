//! What each command means (§6.4).

use iot_core::codec::FlatReader;
use iot_core::crypto::Sha256Digest;

use super::capabilities::Identity;
use super::error::ProcessError;
use super::frame::{Choice, Frame, Kind, Select, offset_of};
use super::machine::{Level, Outcome, Process, Purpose};
use super::step::{Check, Effect, Fetch, Source, Step, Target};
use super::version::VersionMatch;
use crate::manifest::{CommandCode, Parameters, digest_in};

const VENDOR: i64 = 1;
const CLASS: i64 = 2;
const DIGEST: i64 = 3;
const STRICT_ORDER: i64 = 12;
const SOFT_FAILURE: i64 = 13;
const SIZE: i64 = 14;
const CONTENT: i64 = 18;
const ENCRYPTION: i64 = 19;
const URI: i64 = 21;
const SOURCE: i64 = 22;
const DEVICE: i64 = 24;

type Executed<'a> = Result<Outcome<'a>, ProcessError>;

/// The reporting policy of a command that has one.
pub(super) fn policy(code: i64, raw: &[u8]) -> u8 {
    match code {
        12 | 15 | 19 | 20 | 32 | 34 | 35 => 0,
        _ => raw.first().copied().unwrap_or(0),
    }
}

impl<'a, const PARAMETERS: usize> Process<'a, '_, PARAMETERS> {
    /// Executes the command under way for the component that it is at.
    pub(super) fn execute(&mut self) -> Executed<'a> {
        let (Some(level), Some(frame), Some((code, raw, next))) =
            (self.level(), self.frame(), self.command())
        else {
            return Err(ProcessError::Structure);
        };
        if frame.choice == Choice::First && code != 12 {
            return Err(self.index_error());
        }
        match code {
            12 => self.select(&level, frame, raw, next),
            34 => {
                self.barrier();
                self.override_multiple(&level, raw)
            }
            _ => {
                let index = self.current().ok_or(self.index_error())?;
                let target = self.target(&level, index.into());
                let (target, dependency) = target.ok_or(self.index_error())?;
                self.for_component(&level, &frame, code, raw, target, dependency)
            }
        }
    }

    fn for_component(
        &mut self,
        level: &Level<'a>,
        frame: &Frame,
        code: i64,
        raw: &'a [u8],
        target: Target<'a>,
        dependency: bool,
    ) -> Executed<'a> {
        let place = number(target.place);
        Ok(match code {
            1 => Outcome::Ended(self.is_vendor(place)),
            2 => Outcome::Ended(self.identity(place).class == *self.bytes(place, CLASS)),
            24 => {
                let device = self.identity(place).device;
                Outcome::Ended(device.is_some_and(|device| device == *self.bytes(place, DEVICE)))
            }
            8 => Outcome::Ended(dependency),
            14 => Outcome::Ended(false),
            15 => branch(raw, frame.branch),
            32 => Outcome::Enter(FlatReader::new(raw).bytes(), Kind::Run),
            19 | 20 => {
                self.barrier();
                self.parameters(place, raw, code == 19)?;
                Outcome::Ended(true)
            }
            35 => {
                self.barrier();
                Outcome::Ended(self.copy_parameters(level, place, raw)?)
            }
            3 | 7 | 25 if dependency => Outcome::AskDependency(
                Step::Dependency { target },
                Purpose::Match {
                    expected: code != 25,
                },
            ),
            7 => Outcome::Ended(false),
            11 if dependency => {
                Outcome::AskDependency(Step::Dependency { target }, Purpose::Process)
            }
            3..=6 | 25..=28 => match self.condition(code, place) {
                Some(check) => Outcome::Ask(Step::Check { target, check }),
                // What is compared was never set (§8.4.9).
                None => Outcome::Ended(false),
            },
            _ => match self.effect(level, code, place)? {
                Some(effect) => {
                    self.unordered(frame, level, code, place)?;
                    Outcome::Ask(Step::Perform { target, effect })
                }
                None => Outcome::Ended(false),
            },
        })
    }

    fn condition(&self, code: i64, place: u8) -> Option<Check<'a>> {
        let value = |code| self.table.value(place, code);
        let uint = |code| value(code).map(|value| FlatReader::new(value).uint());
        Some(match code {
            3 | 25 => {
                let digest = self.digest(place)?;
                let size = uint(SIZE);
                if code == 3 {
                    Check::Image { digest, size }
                } else {
                    Check::NotImage { digest, size }
                }
            }
            4 => Check::UseBefore(uint(4)?),
            5 => Check::Slot(uint(5)?),
            6 => Check::Content(FlatReader::new(value(CONTENT)?).bytes()),
            26 => Check::MinimumBattery(uint(26)?),
            27 => Check::Authorized(FlatReader::new(value(27)?).int()),
            _ => Check::Version(VersionMatch::decode(FlatReader::new(value(28)?).bytes())?),
        })
    }

    fn effect(
        &self,
        level: &Level<'a>,
        code: i64,
        place: u8,
    ) -> Result<Option<Effect<'a>>, ProcessError> {
        let value = |code| self.table.value(place, code).map(FlatReader::new);
        let bytes = |code| value(code).map(|mut value| value.bytes());
        let (encryption, metadata) = (bytes(ENCRYPTION), bytes(30));
        let from = || {
            let index = value(SOURCE)?.uint();
            self.target(level, index).map(|(target, _)| target)
        };
        Ok(match code {
            18 => bytes(CONTENT).map(|content| Effect::Write {
                content,
                encryption,
                metadata,
            }),
            21 => self.source(level, place).map(|source| {
                Effect::Fetch(Fetch {
                    source,
                    arguments: bytes(25),
                    digest: self.digest(place),
                    size: value(SIZE).map(|mut value| value.uint()),
                    encryption,
                    metadata,
                })
            }),
            22 => from().map(|from| Effect::Copy {
                from,
                encryption,
                metadata,
            }),
            31 => from().map(|with| Effect::Swap { with }),
            23 => Some(Effect::Invoke {
                arguments: bytes(23),
            }),
            29 => bytes(29).map(|events| Effect::Wait { events }),
            33 => Some(Effect::Unlink),
            // A dependency is processed only where there is one.
            11 => None,
            code => {
                let command = CommandCode::new(code);
                return Err(ProcessError::Command { command });
            }
        })
    }

    /// Where to fetch from; a name such as `#image` is that of a payload in the envelope.
    fn source(&self, level: &Level<'a>, place: u8) -> Option<Source<'a>> {
        let uri = FlatReader::new(self.table.value(place, URI)?).text();
        if uri.starts_with('#') {
            let payload = level.manifest.integrated_payload(uri);
            payload.map(Source::Integrated)
        } else {
            Some(Source::Uri(uri))
        }
    }

    fn is_vendor(&self, place: u8) -> bool {
        let Some(value) = self.table.value(place, VENDOR) else {
            return false;
        };
        let own = self.identity(place);
        let mut reader = FlatReader::new(value);
        if reader.peek() == Some(6) {
            reader.tag();
            own.enterprise == Some(reader.bytes())
        } else {
            own.vendor == *reader.bytes()
        }
    }

    fn identity(&self, place: u8) -> Identity<'_> {
        let own = self.capabilities.components.get(usize::from(place));
        let own = own.and_then(|component| component.identity);
        own.unwrap_or(self.capabilities.identity)
    }

    fn bytes(&self, place: u8, code: i64) -> &'a [u8] {
        let value = self.table.value(place, code).unwrap_or(&[]);
        FlatReader::new(value).bytes()
    }

    fn digest(&self, place: u8) -> Option<Sha256Digest> {
        digest_in(&mut FlatReader::new(self.table.value(place, DIGEST)?))
    }

    /// The digest that the dependency under way must have.
    pub(super) fn expected_dependency(&self) -> Option<Sha256Digest> {
        let (target, _) = self.target(&self.level()?, self.current()?.into())?;
        self.digest(number(target.place))
    }

    fn select(
        &mut self,
        level: &Level<'a>,
        frame: Frame,
        raw: &'a [u8],
        next: u32,
    ) -> Executed<'a> {
        if frame.choice == Choice::Never {
            return Err(self.index_error());
        }
        self.barrier();
        let mut reader = FlatReader::new(raw);
        let select = match reader.peek() {
            Some(7) => Select::Every,
            Some(4) => Select::List(offset_of(level.bytes, raw)),
            _ => Select::One(u8::try_from(reader.uint()).map_err(|_| self.index_error())?),
        };
        // Without order a sequence is about one component, the first that it chooses (§6.7).
        let group = !matches!(select, Select::One(_));
        if group && frame.choice == Choice::First {
            return Err(self.index_error());
        }
        if let Some(own) = self.frame_mut() {
            own.select = select;
            own.at = next;
            if frame.choice == Choice::First {
                own.choice = Choice::Never;
            }
        }
        Ok(Outcome::Next)
    }

    /// How many components the command under way is executed for.
    pub(super) fn members(&self) -> u8 {
        let (Some(level), Some(frame)) = (self.level(), self.frame()) else {
            return 0;
        };
        let count = match frame.select {
            Select::Nothing | Select::One(_) => 1,
            Select::Every => level.manifest.components().count() as u64,
            Select::List(at) => self.list(&level, at).array_len(),
        };
        u8::try_from(count).unwrap_or(u8::MAX)
    }

    /// The index of the component that the command under way is at.
    #[inline(never)]
    pub(super) fn current(&self) -> Option<u8> {
        let (level, frame) = (self.level()?, self.frame()?);
        match frame.select {
            Select::Nothing => None,
            Select::One(index) => Some(index),
            Select::Every => (frame.member < self.members()).then_some(frame.member),
            Select::List(at) => {
                let mut reader = self.list(&level, at);
                reader.array_len();
                for _ in 0..frame.member {
                    reader.uint();
                }
                let index = reader.uint();
                reader.rest()?;
                u8::try_from(index).ok()
            }
        }
    }

    fn list(&self, level: &Level<'a>, at: u32) -> FlatReader<'a> {
        FlatReader::new(level.bytes.get(at as usize..).unwrap_or(&[]))
    }

    /// The component of an index, and whether it is a dependency.
    #[inline(never)]
    pub(super) fn target(&self, level: &Level<'a>, index: u64) -> Option<(Target<'a>, bool)> {
        let mut dependencies = level.manifest.dependencies();
        let (id, dependency) = match dependencies.find(|(own, _)| *own == index) {
            Some((_, id)) => (id, true),
            None => {
                let mut components = level.manifest.components();
                (components.nth(usize::try_from(index).ok()?)?, false)
            }
        };
        let place = self.capabilities.place(id)?.into();
        Some((Target { place, id }, dependency))
    }

    #[inline(never)]
    fn parameters(&mut self, place: u8, raw: &'a [u8], if_unset: bool) -> Result<(), ProcessError> {
        let mut parameters = Parameters::of(raw).ok_or(ProcessError::Structure)?;
        while let Some((code, value)) = parameters.pair() {
            let flag = FlatReader::new(value).boolean();
            match code {
                STRICT_ORDER | SOFT_FAILURE => {
                    let error = self.index_error();
                    let frame = self.frame_mut().ok_or(error)?;
                    if code == STRICT_ORDER {
                        frame.strict = flag;
                    } else if frame.kind == Kind::Section {
                        // Only sequences within sequences may fail softly (§8.4.8.14).
                        return Err(error);
                    } else {
                        frame.soft = flag;
                    }
                }
                _ if if_unset && self.table.value(place, code).is_some() => {}
                _ => self.set(place, code, value)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, place: u8, code: i64, value: &'a [u8]) -> Result<(), ProcessError> {
        let capacity = PARAMETERS;
        let set = self.table.set(place, code, value);
        set.map_err(|_| ProcessError::Parameters { capacity })
    }

    /// Parameters of several components at once (update management); which one is chosen does not matter.
    fn override_multiple(&mut self, level: &Level<'a>, raw: &'a [u8]) -> Executed<'a> {
        let mut reader = FlatReader::new(raw);
        for _ in 0..reader.map_len() {
            let (index, parameters) = (reader.uint(), reader.item());
            let target = self.target(level, index).ok_or(self.index_error())?;
            self.parameters(number(target.0.place), parameters, false)?;
        }
        self.skip();
        Ok(Outcome::Next)
    }

    /// Parameters of other components (update management); false when one of them is not set.
    fn copy_parameters(
        &mut self,
        level: &Level<'a>,
        place: u8,
        raw: &'a [u8],
    ) -> Result<bool, ProcessError> {
        let mut reader = FlatReader::new(raw);
        for _ in 0..reader.map_len() {
            let (index, mut codes) = (reader.uint(), FlatReader::new(reader.item()));
            let (source, _) = self.target(level, index).ok_or(self.index_error())?;
            for _ in 0..codes.array_len() {
                let code = i64::try_from(codes.uint()).unwrap_or(0);
                let Some(value) = self.table.value(number(source.place), code) else {
                    return Ok(false);
                };
                self.set(place, code, value)?;
            }
        }
        Ok(true)
    }

    /// Goes on behind the command under way, which is about no single component.
    fn skip(&mut self) {
        if let Some((_, _, next)) = self.command()
            && let Some(frame) = self.frame_mut()
        {
            frame.at = next;
        }
    }

    /// What was begun without order has ended before this (§6.7).
    const fn barrier(&mut self) {
        self.sources = 0;
        self.targets = 0;
    }

    /// Without order nothing may be read that is written, or the other way round (§6.7).
    fn unordered(
        &mut self,
        frame: &Frame,
        level: &Level<'a>,
        code: i64,
        place: u8,
    ) -> Result<(), ProcessError> {
        if frame.strict {
            return Ok(());
        }
        self.targets |= 1_u32.checked_shl(place.into()).unwrap_or(0);
        let source = self
            .table
            .value(place, SOURCE)
            .filter(|_| matches!(code, 22 | 31));
        if let Some(source) = source {
            let index = FlatReader::new(source).uint();
            if let Some((source, _)) = self.target(level, index) {
                self.sources |= 1_u32.checked_shl(number(source.place).into()).unwrap_or(0);
            }
        }
        if self.sources & self.targets != 0 {
            let index = self.current().unwrap_or(0).into();
            return Err(ProcessError::Order { index });
        }
        Ok(())
    }

    fn index_error(&self) -> ProcessError {
        ProcessError::Index {
            section: self.section(),
            offset: self.offset(),
        }
    }
}

/// The sequence of a try-each that is next: none is left, or nil, which always succeeds.
fn branch(raw: &[u8], branch: u8) -> Outcome<'_> {
    let mut reader = FlatReader::new(raw);
    let branches = reader.array_len();
    if u64::from(branch) >= branches {
        return Outcome::Ended(false);
    }
    for _ in 0..branch {
        reader.item();
    }
    if reader.null() {
        Outcome::Ended(true)
    } else {
        Outcome::Enter(reader.bytes(), Kind::Branch)
    }
}

/// There are at most 32 places.
fn number(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(u8::MAX)
}
