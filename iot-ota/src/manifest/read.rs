//! From bytes that were authenticated to what a manifest says.

use iot_core::codec::{self, FlatReader};
use iot_core::crypto::{Digest, Sha256Digest};

use super::content::{
    COMPONENT, COMPONENTS, COUNTER, DEPENDENCIES, INVOKE, LOAD, Manifest, REFERENCE, SET_VERSION,
    SHARED, UNINSTALL, VALIDATE, prefix,
};
use super::envelope::{Element, SignedManifest};
use super::parameter::ComponentId;
use super::verify::{Floor, VerifyError};
use crate::image::digests_equal;

const VERSION: i32 = 1;
const SEQUENCE: i32 = 2;
const COMMON: i32 = 3;

/// Reads the manifest of an envelope whose `signed` digest was authenticated by signers of these roles; of a lower
/// sequence number it is theirs that may go back, and nobody else's.
#[inline(never)]
pub(super) fn read<'a>(
    envelope: SignedManifest<'a>,
    signed: &'a [u8],
    [roles, below]: [u32; 2],
    digest: &mut dyn Digest,
    floor: Floor,
) -> Result<Manifest<'a>, VerifyError> {
    let own = super::digest(signed).ok_or(VerifyError::Digest)?;
    let mut reading = Reading {
        manifest: Manifest {
            envelope,
            content: FlatReader::new(envelope.manifest).bytes(),
            common: &[],
            components: None,
            dependencies: None,
            digest: own,
            sequence: 0,
            counter: 0,
            roles,
            below,
            beside: 0,
        },
        digest,
        fault: VerifyError::Digest,
    };
    match reading.manifest(floor) {
        Some(()) => Ok(reading.manifest),
        None => Err(reading.fault),
    }
}

/// `None` is a refusal, and the reason is in `fault`: small enough for registers.
struct Reading<'r, 'a> {
    manifest: Manifest<'a>,
    digest: &'r mut dyn Digest,
    // What is wrong, if something is from here on.
    fault: VerifyError,
}

impl<'a> Reading<'_, 'a> {
    fn manifest(&mut self, floor: Floor) -> Option<()> {
        // Nothing of the manifest is read before it is known to be what was signed.
        if !self.matches(self.manifest.envelope.manifest, self.manifest.digest) {
            return None;
        }
        self.check(self.manifest.content)?;
        // The keys are in rising order, so both are known before anything else is read (§6.1).
        let mut reader = FlatReader::new(self.manifest.content);
        let entries = reader.map_len();
        let version = number(&mut reader, VERSION)?;
        if version != 1 {
            return self.fail(VerifyError::Version { version });
        }
        let found = number(&mut reader, SEQUENCE)?;
        let current = floor.sequence;
        if found < current {
            if self.manifest.below == 0 {
                return self.fail(VerifyError::TooOld { found, current });
            }
            self.manifest.roles = self.manifest.below;
        }
        self.manifest.sequence = found;
        for _ in 2..entries {
            let key = reader.i32();
            let value = reader.item();
            reader.rest()?;
            self.part(key, value)?;
        }
        let (found, current) = (self.manifest.counter, floor.counter);
        if found < current {
            return self.fail(VerifyError::Counter { found, current });
        }
        if self.manifest.common.is_empty() {
            return None;
        }
        // Whatever travels beside the manifest must be what the manifest names by digest.
        let envelope = self.manifest.envelope;
        for (element, _) in envelope.elements() {
            if self.manifest.beside & element.bit() == 0 {
                return self.fail(VerifyError::Severed { element });
            }
        }
        Some(())
    }

    fn part(&mut self, key: i32, value: &'a [u8]) -> Option<()> {
        let mut reader = FlatReader::new(value);
        match key {
            COMMON => {
                self.manifest.common = reader.bytes();
                self.common(self.manifest.common)?;
            }
            REFERENCE => {
                reader.text();
            }
            COMPONENT => {
                ComponentId::decode(&mut reader)?;
            }
            SET_VERSION | VALIDATE | LOAD | INVOKE | UNINSTALL => {
                reader.bytes();
            }
            COUNTER => self.manifest.counter = reader.uint(),
            key => match Element::of_key(key) {
                None => return self.fail(VerifyError::Unknown { key }),
                Some(element) if reader.peek() == Some(4) => {
                    let expected = super::digest(value)?;
                    return self.severed(element, expected);
                }
                Some(_) => {
                    reader.bytes();
                }
            },
        }
        reader.is_empty().then_some(())
    }

    fn common(&mut self, common: &'a [u8]) -> Option<()> {
        self.check(common)?;
        let mut reader = FlatReader::new(common);
        let (mut components, mut least) = (0, u64::MAX);
        for _ in 0..reader.map_len() {
            let key = reader.i32();
            let whole = reader.item();
            let mut value = FlatReader::new(whole);
            reader.rest()?;
            match key {
                DEPENDENCIES => {
                    self.manifest.dependencies = Some(whole);
                    let count = value.map_len();
                    components += count;
                    for _ in 0..count {
                        least = least.min(value.uint());
                        prefix(value.item())?;
                    }
                }
                COMPONENTS => {
                    self.manifest.components = Some(whole);
                    let count = value.array_len();
                    components += count;
                    // An index stands for one place. Dependencies came before: that is the order of keys.
                    value.require(u64::from(count) <= least);
                    for _ in 0..count {
                        ComponentId::decode(&mut value)?;
                    }
                }
                SHARED => {
                    value.bytes();
                }
                key => return self.fail(VerifyError::Unknown { key }),
            }
            value.is_empty().then_some(())?;
        }
        let limit = self.manifest.envelope.limits.components;
        if components > u32::try_from(limit).unwrap_or(u32::MAX) {
            return self.fail(VerifyError::TooManyComponents { limit });
        }
        reader.is_empty().then_some(())
    }

    /// A part that is named by its digest: it may be in the envelope, or nowhere.
    fn severed(&mut self, element: Element, expected: &Sha256Digest) -> Option<()> {
        if let Some(whole) = self.manifest.envelope.element(element.key()) {
            if !self.matches(whole, expected) {
                return self.fail(VerifyError::Severed { element });
            }
            self.manifest.beside |= element.bit();
        }
        Some(())
    }

    /// From here on only the structure can be wrong, until somebody says otherwise.
    #[inline(never)]
    fn check(&mut self, bytes: &[u8]) -> Option<()> {
        if let Err(error) = codec::check(bytes, self.manifest.envelope.limits.codec) {
            return self.fail(error.into());
        }
        self.fault = VerifyError::Structure;
        Some(())
    }

    #[inline(never)]
    fn matches(&mut self, bytes: &[u8], expected: &Sha256Digest) -> bool {
        self.digest.update(bytes);
        digests_equal(&self.digest.finish(), expected)
    }

    fn fail(&mut self, fault: VerifyError) -> Option<()> {
        self.fault = fault;
        None
    }
}

/// The next key's value, if it is that key and the value a number.
#[inline(never)]
fn number(reader: &mut FlatReader<'_>, key: i32) -> Option<u64> {
    let found = reader.i32();
    let value = reader.uint();
    reader.rest().filter(|_| found == key).map(|_| value)
}
