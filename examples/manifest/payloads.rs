//! What travels beside a manifest is not signed: whether it is what the manifest says.

use alloc::collections::BTreeMap;
use std::path::Path;

use iot_core::crypto::Sha256Digest;
use iot_ota::manifest::Manifest;
use iot_ota::process::{
    Check, Component, Details, Effect, Fetch, Identity, Procedure, Process, Source, Step,
};

use crate::followed::{places, taking};
use crate::named::{images, parameters, values};
use crate::opened::{decode, unverified};
use crate::problem::{Problem, warn};
use crate::values::{hex, shown};
use crate::verify::sha256;

/// So many ways through a manifest are looked at, and so many kinds of devices; and so many steps in all, for the manifest
/// may be anybody's.
const MAX_WAYS: usize = 512;
const MAX_DEVICES: usize = 64;
const MAX_STEPS: u32 = 1_000_000;

/// Follows the manifest in every way, on devices that do as they are told, and holds each payload against what it has to
/// match where it is installed; tells what was found, and refuses a payload that is something else.
pub(crate) fn check(path: &Path, manifest: &Manifest<'_>) -> Result<Vec<String>, Problem> {
    let maps = parameters(manifest);
    let mut findings = Findings::default();
    for (name, _) in manifest.integrated_payloads() {
        findings.of.insert(name, Finding::default());
    }
    if findings.of.is_empty() {
        return Ok(Vec::new());
    }
    let mut left = MAX_STEPS;
    for identity in identities(&maps) {
        let places = places(manifest);
        let components: Vec<_> = places.iter().map(|id| Component::new(id)).collect();
        let device = taking(identity, &components);
        let mut open = vec![Vec::new()];
        for _ in 0..MAX_WAYS {
            let Some(first) = open.pop() else { break };
            let Ok(process) = Process::<256>::new(*manifest, Procedure::Update, &device) else {
                break;
            };
            let mut way = Way {
                findings: &mut findings,
                manifest,
                contents: BTreeMap::new(),
                asked: 0,
                first: &first,
                left: &mut left,
            };
            way.go(process);
            let room = MAX_WAYS.saturating_sub(open.len());
            for at in (first.len()..way.asked).take(room) {
                let mut other = first.clone();
                other.resize(at, true);
                other.push(false);
                open.push(other);
            }
        }
    }
    let named: Vec<_> = images(&maps)
        .into_iter()
        .map(|(digest, _)| digest)
        .collect();
    let mut told = Vec::new();
    for (name, payload) in manifest.integrated_payloads() {
        let finding = findings.of.get(name).copied().unwrap_or_default();
        told.push(finding.told(path, name, payload, &named)?);
    }
    Ok(told)
}

/// What became of one payload.
#[derive(Clone, Copy, Debug, Default)]
struct Finding {
    matches: bool,
    // What it should have been.
    differs: Option<Sha256Digest>,
    encrypted: bool,
    fetched: bool,
}

impl Finding {
    fn told(
        self,
        path: &Path,
        name: &str,
        payload: &[u8],
        named: &[Sha256Digest],
    ) -> Result<String, Problem> {
        let name = shown(name);
        let element = format!("{}, payload {name}", path.display());
        let size = payload.len();
        if self.matches {
            return Ok(format!(
                "payload {name}: {size} bytes, as the manifest says"
            ));
        }
        if let Some(expected) = self.differs {
            let (own, expected) = (hex(&sha256(payload)), hex(&expected));
            let cause = format!("its SHA-256 is {own}, and the manifest says {expected}");
            let remedy = "it was changed, or never the right one: take the original envelope";
            return Err(Problem::new(element, cause, remedy));
        }
        if self.encrypted {
            return Ok(format!(
                "payload {name}: {size} bytes, encrypted, not checked"
            ));
        }
        if self.fetched {
            let cause = "nothing in the manifest says what it has to be";
            let remedy = "write the digest of the component: anybody may change the payload";
            return Err(Problem::new(element, cause, remedy));
        }
        if named.contains(&sha256(payload))
            || dependency(payload).is_some_and(|own| named.contains(&own))
        {
            let cause = "nothing was seen to fetch it";
            warn(element, cause, "leave it out, unless some device does");
            return Ok(format!(
                "payload {name}: {size} bytes, named by the manifest"
            ));
        }
        let cause =
            "nothing was seen to fetch it, and nothing in the manifest says what it has to be";
        let remedy = "leave the payload out, or write the component's digest";
        Err(Problem::new(element, cause, remedy))
    }
}

#[derive(Debug, Default)]
struct Findings<'m> {
    of: BTreeMap<&'m str, Finding>,
}

/// What a component holds, as far as that is known.
#[derive(Clone, Copy, Debug)]
enum Content<'m> {
    Payload(&'m str, &'m [u8]),
    Unknown,
}

/// One way through a manifest.
struct Way<'w, 'm> {
    findings: &'w mut Findings<'m>,
    manifest: &'w Manifest<'m>,
    contents: BTreeMap<usize, Content<'m>>,
    // The first answers; all others are yes.
    first: &'w [bool],
    asked: usize,
    left: &'w mut u32,
}

impl<'m> Way<'_, 'm> {
    fn go<const ROOM: usize>(&mut self, mut process: Process<'m, '_, ROOM>) {
        while let Some(left) = self.left.checked_sub(1) {
            *self.left = left;
            let answer = match process.step() {
                Err(_) | Ok(Step::Finished) => return,
                Ok(Step::Dependency { .. }) => {
                    process.dependency(None);
                    continue;
                }
                Ok(Step::Check { target, check }) => self.check(target.place, check),
                Ok(Step::Perform {
                    target,
                    effect,
                    details,
                }) => {
                    self.perform(target.place, effect, details);
                    true
                }
                Ok(_) => true,
            };
            process.done(answer);
        }
    }

    /// What is known is answered; everything else in either way.
    fn check(&mut self, place: usize, check: Check<'_>) -> bool {
        let held = self.contents.get(&place).copied();
        if let (Check::Image { digest, size }, Some(Content::Payload(name, bytes))) = (check, held)
        {
            return self.compare(place, name, bytes, digest, size);
        }
        let answer = self.first.get(self.asked).copied().unwrap_or(true);
        self.asked += 1;
        answer
    }

    fn perform(&mut self, place: usize, effect: Effect<'m>, details: Details<'m>) {
        let mut content = match effect {
            Effect::Fetch(fetch) => self.fetched(place, &fetch, details.encryption.is_some()),
            Effect::Copy { from } => self.held(from.place),
            Effect::Swap { with } => {
                let other = self.held(with.place);
                let own = self.held(place);
                self.contents.insert(with.place, own);
                other
            }
            Effect::Invoke(_) | Effect::Wait(_) => return,
            _ => Content::Unknown,
        };
        if let (Content::Payload(name, _), true) = (content, details.encryption.is_some()) {
            self.finding(name).encrypted = true;
            content = Content::Unknown;
        }
        self.contents.insert(place, content);
    }

    fn fetched(&mut self, place: usize, fetch: &Fetch<'m>, encrypted: bool) -> Content<'m> {
        let Source::Integrated(bytes) = fetch.source else {
            return Content::Unknown;
        };
        let mut payloads = self.manifest.integrated_payloads();
        let Some((name, _)) = payloads.find(|(_, own)| core::ptr::eq(*own, bytes)) else {
            return Content::Unknown;
        };
        self.finding(name).fetched = true;
        if let (Some(digest), false) = (fetch.digest, encrypted) {
            self.compare(place, name, bytes, digest, fetch.size);
        }
        Content::Payload(name, bytes)
    }

    fn compare(
        &mut self,
        place: usize,
        name: &'m str,
        bytes: &[u8],
        digest: &Sha256Digest,
        size: Option<u64>,
    ) -> bool {
        let components = self.manifest.components().count();
        let own = match place < components {
            true => {
                Some(sha256(bytes)).filter(|_| size.is_none_or(|size| size == bytes.len() as u64))
            }
            // The digest of a dependency is that of its manifest.
            false => dependency(bytes),
        };
        let matches = own.as_ref() == Some(digest);
        let finding = self.finding(name);
        if matches {
            finding.matches = true;
        } else {
            finding.differs = Some(*digest);
        }
        matches
    }

    fn held(&self, place: usize) -> Content<'m> {
        self.contents
            .get(&place)
            .copied()
            .unwrap_or(Content::Unknown)
    }

    fn finding(&mut self, name: &'m str) -> &mut Finding {
        self.findings.of.entry(name).or_default()
    }
}

/// The digest of the manifest in a payload that is an envelope itself.
fn dependency(payload: &[u8]) -> Option<Sha256Digest> {
    let nowhere = Path::new("");
    let signed = decode(nowhere, payload).ok()?;
    let manifest = unverified(nowhere, &signed).ok()?;
    Some(*manifest.digest())
}

/// Every kind of device that the manifest speaks of.
pub(crate) fn identities<'m>(maps: &[&'m [u8]]) -> Vec<Identity<'m>> {
    let uuids = |code| {
        let values = values(maps, code).into_iter();
        let uuids = values.filter_map(|value| minicbor::Decoder::new(value).bytes().ok());
        let uuids: Vec<[u8; 16]> = uuids.filter_map(|uuid| uuid.try_into().ok()).collect();
        uuids
    };
    let numbers = values(maps, 1).into_iter().filter_map(|value| {
        let mut decoder = minicbor::Decoder::new(value);
        decoder.tag().ok()?;
        decoder.bytes().ok()
    });
    let numbers: Vec<_> = numbers.collect();
    let (vendors, classes, devices) = (uuids(1), uuids(2), uuids(24));
    let each = |uuids: Vec<[u8; 16]>| {
        if uuids.is_empty() {
            vec![[0; 16]]
        } else {
            uuids
        }
    };
    let (vendors, classes, devices) = (each(vendors), each(classes), each(devices));
    let mut identities = Vec::new();
    for vendor in &vendors {
        for class in &classes {
            for device in &devices {
                let identity = Identity::new(*vendor, *class).with_device(*device);
                if numbers.is_empty() {
                    identities.push(identity);
                }
                identities.extend(numbers.iter().map(|own| identity.with_enterprise(own)));
            }
        }
    }
    identities.truncate(MAX_DEVICES);
    identities
}
