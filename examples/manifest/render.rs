//! A manifest as lines of text, with the names of the specifications instead of numbers.

use iot_ota::manifest::{
    CommandCode, ComponentId, Element, EncryptionInfo, Manifest, ParameterCode, PayloadCipher,
    Sequence,
};
use minicbor::data::Type;
use minicbor::{Decoder, decode};

use crate::opened::part_name;
use crate::problem::Problem;
use crate::values::{hex, segment, show_uuid, shown};

/// One line, and the part of the manifest that it is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    pub(crate) part: &'static str,
    pub(crate) depth: usize,
    pub(crate) text: String,
}

/// Sequences nest no deeper on any device.
const MAX_DEPTH: usize = 12;
/// So many bytes of a value are shown.
const SHOWN_BYTES: usize = 32;

/// Everything in a manifest, in the order in which a device comes to it.
pub(crate) fn lines(manifest: &Manifest<'_>) -> Result<Vec<Line>, Problem> {
    let mut page = Page::default();
    page.head(manifest);
    page.commands("shared", manifest.shared())?;
    for element in Element::ALL {
        let name = part_name(element.key());
        if manifest.is_severed(element) {
            page.line(name, 0, "severed: signed for, and not in this envelope");
        }
        page.commands(name, manifest.section(element))?;
    }
    page.commands("validate", manifest.validate())?;
    page.commands("load", manifest.load())?;
    page.commands("invoke", manifest.invoke())?;
    page.commands("uninstall", manifest.uninstall())?;
    page.cbor("text", manifest.text());
    page.cbor("coswid", manifest.coswid());
    for (name, payload) in manifest.integrated_payloads() {
        page.line("payload", 0, format!("{name}: {} bytes", payload.len()));
    }
    Ok(page.0)
}

#[derive(Default)]
struct Page(Vec<Line>);

impl Page {
    fn line(&mut self, part: &'static str, depth: usize, text: impl Into<String>) {
        // Nobody has verified it.
        let text = shown(&text.into());
        self.0.push(Line { part, depth, text });
    }

    fn head(&mut self, manifest: &Manifest<'_>) {
        let part = "manifest";
        self.line(part, 0, format!("sequence-number {}", manifest.sequence()));
        self.line(
            part,
            0,
            format!("security-counter {}", manifest.security_counter()),
        );
        if let Some(version) = manifest.set_version() {
            self.line(part, 0, format!("version {}", minicbor::display(version)));
        }
        if let Some(uri) = manifest.reference_uri() {
            self.line(part, 0, format!("reference-uri {uri}"));
        }
        if let Some(id) = manifest.component_id() {
            self.line(part, 0, format!("component-id {}", path(id)));
        }
        for (index, id) in manifest.components().enumerate() {
            self.line("components", 0, format!("{index}: {}", path(id)));
        }
        for (index, id) in manifest.dependencies() {
            self.line("dependencies", 0, format!("{index}: {}", path(id)));
        }
    }

    fn cbor(&mut self, part: &'static str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.line(part, 0, minicbor::display(value).to_string());
        }
    }

    fn commands(
        &mut self,
        part: &'static str,
        sequence: Option<Sequence<'_>>,
    ) -> Result<(), Problem> {
        let Some(sequence) = sequence else {
            return Ok(());
        };
        // What its own reader refuses is named better by it.
        for command in sequence
            .commands()
            .map_err(|error| unreadable(part, error))?
        {
            command.map_err(|error| unreadable(part, error))?;
        }
        self.sequence(part, sequence.as_bytes(), 0)
    }

    fn sequence(&mut self, part: &'static str, bytes: &[u8], depth: usize) -> Result<(), Problem> {
        if depth > MAX_DEPTH {
            return Err(unreadable(part, "its sequences nest too deep"));
        }
        let commands = pairs(bytes).map_err(|error| unreadable(part, error))?;
        for (at, (code, argument)) in commands.into_iter().enumerate() {
            let name = CommandCode::new(code);
            self.command(part, code, argument, depth)
                .map_err(|error| unreadable(&format!("{part}, command {at} ({name})"), error))??;
        }
        Ok(())
    }

    fn command(
        &mut self,
        part: &'static str,
        code: i32,
        argument: &[u8],
        depth: usize,
    ) -> Result<Result<(), Problem>, decode::Error> {
        let name = CommandCode::new(code).to_string();
        let mut decoder = Decoder::new(argument);
        match code {
            12 => self.line(
                part,
                depth,
                format!("{name} {}", minicbor::display(argument)),
            ),
            19 | 20 => {
                self.line(part, depth, name);
                self.parameters(part, argument, depth + 1)?;
            }
            15 => {
                self.line(part, depth, name);
                for branch in 0..decoder.array()?.unwrap_or(0) {
                    if decoder.datatype()? == Type::Null {
                        decoder.null()?;
                        self.line(part, depth + 1, "or nothing at all");
                        continue;
                    }
                    self.line(part, depth + 1, format!("alternative {branch}"));
                    if let Err(problem) = self.sequence(part, decoder.bytes()?, depth + 2) {
                        return Ok(Err(problem));
                    }
                }
            }
            32 => {
                self.line(part, depth, name);
                return Ok(self.sequence(part, decoder.bytes()?, depth + 1));
            }
            34 => {
                self.line(part, depth, name);
                for (index, parameters) in pairs(argument)? {
                    self.line(part, depth + 1, format!("component {index}"));
                    self.parameters(part, parameters, depth + 2)?;
                }
            }
            35 => self.line(
                part,
                depth,
                format!("{name} {}", minicbor::display(argument)),
            ),
            _ => self.line(part, depth, format!("{name}{}", policy(decoder.u64()?))),
        }
        Ok(Ok(()))
    }

    fn parameters(
        &mut self,
        part: &'static str,
        map: &[u8],
        depth: usize,
    ) -> Result<(), decode::Error> {
        for (code, value) in pairs(map)? {
            let name = ParameterCode::new(code);
            let value = parameter(code, value)
                .unwrap_or_else(|_| format!("{} (not as specified)", minicbor::display(value)));
            self.line(part, depth, format!("{name} {value}"));
        }
        Ok(())
    }
}

fn unreadable(element: &str, cause: impl core::fmt::Display) -> Problem {
    let remedy = "have it written by a tool that keeps to the draft: no device will take it";
    Problem::new(element, cause, remedy)
}

/// Keys and values of a map, or of an array of pairs.
pub(crate) fn pairs(bytes: &[u8]) -> Result<Vec<(i32, &[u8])>, decode::Error> {
    let mut decoder = Decoder::new(bytes);
    let count = match decoder.datatype()? {
        Type::Map => decoder.map()?,
        _ => decoder.array()?.map(|items| items / 2),
    };
    let mut pairs = Vec::new();
    for _ in 0..count.ok_or_else(|| decode::Error::message("of indefinite length"))? {
        let key = decoder.i32()?;
        let start = decoder.position();
        decoder.skip()?;
        pairs.push((key, bytes.get(start..decoder.position()).unwrap_or(&[])));
    }
    Ok(pairs)
}

fn parameter(code: i32, value: &[u8]) -> Result<String, decode::Error> {
    let mut decoder = Decoder::new(value);
    Ok(match code {
        1 | 2 | 24 if decoder.datatype()? == Type::Bytes => show_uuid(decoder.bytes()?),
        3 => {
            let mut digest = Decoder::new(decoder.bytes()?);
            digest.array()?;
            match digest.i32()? {
                -16 => format!("SHA-256 {}", hex(digest.bytes()?)),
                other => format!("algorithm {other}, {}", hex(digest.bytes()?)),
            }
        }
        4 => format!("{} seconds since 1970", decoder.u64()?),
        14 => format!("{} bytes", decoder.u64()?),
        19 => encryption(decoder.bytes()?),
        18 | 23 | 25 => shorten(decoder.bytes()?),
        22 => format!("component {}", decoder.u64()?),
        26 => format!("{} mWh", decoder.u64()?),
        28 | 29 => minicbor::display(decoder.bytes()?).to_string(),
        _ => minicbor::display(value).to_string(),
    })
}

fn shorten(bytes: &[u8]) -> String {
    let front = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    let dots = if front.len() < bytes.len() { "…" } else { "" };
    format!("{} bytes, {}{dots}", bytes.len(), hex(front))
}

fn encryption(bytes: &[u8]) -> String {
    let Some(info) = EncryptionInfo::decode(bytes) else {
        return format!("{} (not understood)", shorten(bytes));
    };
    let recipients = info.recipients().map(|recipient| match recipient {
        None => "somebody by unknown means".to_owned(),
        Some(recipient) => {
            let way = match recipient.agreement {
                None => "A128KW",
                Some(_) => "ECDH-ES+A128KW",
            };
            format!(
                "{} by {way}",
                recipient.key_id.map_or("anybody".to_owned(), segment)
            )
        }
    });
    let recipients: Vec<_> = recipients.collect();
    let cipher = match info.cipher {
        PayloadCipher::A128Gcm => "A128GCM",
        PayloadCipher::ChaCha20Poly1305 => "ChaCha20-Poly1305",
        PayloadCipher::A128Ctr => "A128CTR",
        _ => "another cipher",
    };
    format!("{cipher} for {}", recipients.join(", "))
}

/// When the outcome of a command is recorded (§8.4.7).
fn policy(bits: u64) -> String {
    const NAMES: [(u64, &str); 4] = [
        (1, "record-success"),
        (2, "record-failure"),
        (4, "sysinfo-success"),
        (8, "sysinfo-failure"),
    ];
    let names: Vec<_> = NAMES
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(" [{}]", names.join(" ")),
    }
}

pub(crate) fn path(id: ComponentId<'_>) -> String {
    let segments: Vec<_> = id.segments().map(segment).collect();
    format!("/{}", segments.join("/"))
}
