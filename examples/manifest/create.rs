//! From a description to an unsigned envelope.

use std::path::Path;

use iot_identity::ring::Sha256;
use iot_ota::manifest::{
    Author, CommandList, Element, EncryptionInfo, Image, ParameterList, SlotImage, Text,
};

use crate::args::Create;
use crate::description::{Component, Description, Part};
use crate::files;
use crate::problem::Problem;
use crate::values::{from_hex, hex, uuid};
use crate::verify::sha256;

pub(crate) fn create(options: &Create) -> Result<(), Problem> {
    let path = &options.description;
    let text = files::read_text(path)?;
    let description: Description = toml::from_str(&text).map_err(|error| {
        let remedy = "the chapter on the manifest tool in iot-ota's README lists what it may have";
        Problem::new(path.display(), error.to_string().trim_end(), remedy)
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let author = Creator {
        description: &description,
        folder,
    }
    .author()?;
    let envelope = author.build(&mut Sha256::new());
    let bytes = envelope.encode();
    // What no device could follow must not be written.
    let output = &options.output;
    let signed = crate::opened::decode(output, &bytes)?;
    let manifest = crate::opened::unverified(output, &signed)?;
    crate::followed::is_for_devices(output, &bytes, &manifest)?;
    crate::payloads::check(output, &manifest)?;
    files::write(output, &bytes)?;
    println!(
        "{}: {} bytes, sequence {}, manifest {}; not signed yet",
        output.display(),
        bytes.len(),
        description.sequence,
        hex(envelope.digest())
    );
    println!("{}", crate::plan::line(&manifest));
    Ok(())
}

struct Creator<'d> {
    description: &'d Description,
    folder: &'d Path,
}

impl Creator<'_> {
    fn author(&self) -> Result<Author, Problem> {
        let description = self.description;
        let vendor = uuid("vendor", &description.vendor, None)?;
        let class = uuid("class", &description.class, Some(vendor))?;
        let ids = self.ids()?;
        let ids: Vec<Vec<&[u8]>> = ids
            .iter()
            .map(|id| id.iter().map(Vec::as_slice).collect())
            .collect();
        let ids: Vec<&[&[u8]]> = ids.iter().map(Vec::as_slice).collect();
        let mut author = Author::new(description.sequence, &ids);
        for (index, component) in (0..).zip(&description.component) {
            let first = (index == 0).then_some((vendor, class));
            author = self.component(author, index, component, first)?;
        }
        if let Some(counter) = description.security_counter {
            author = author.security_counter(counter);
        }
        if let Some(version) = &description.version {
            author = author.version(version);
        }
        if let Some(uri) = &description.reference_uri {
            author = author.reference_uri(uri);
        }
        if let Some(text) = self.text() {
            author = author.text(&text);
        }
        for part in &description.severed {
            author = author.severing(match part {
                Part::PayloadFetch => Element::PayloadFetch,
                Part::Install => Element::Install,
                Part::Text => Element::Text,
            });
        }
        Ok(author)
    }

    fn ids(&self) -> Result<Vec<Vec<Vec<u8>>>, Problem> {
        let mut ids = Vec::new();
        for (index, component) in self.description.component.iter().enumerate() {
            let mut id = Vec::new();
            for text in &component.id {
                id.push(match text.strip_prefix("0x") {
                    None => text.clone().into_bytes(),
                    Some(digits) => from_hex(digits).ok_or_else(|| {
                        let element = format!("component {index}, id");
                        let cause = format!("'{text}' has not two hexadecimal digits a byte");
                        Problem::new(element, cause, "write digits in pairs, such as 0x00ff")
                    })?,
                });
            }
            if id.is_empty() || ids.contains(&id) {
                let cause = "the path is empty, or another component's";
                let remedy = "give each component a path of its own, such as [\"firmware\"]";
                return Err(Problem::new(
                    format!("component {index}, id"),
                    cause,
                    remedy,
                ));
            }
            ids.push(id);
        }
        if ids.is_empty() {
            let remedy = "describe what is installed: [[component]] with an id and an image";
            return Err(Problem::new("component", "there is none", remedy));
        }
        Ok(ids)
    }

    fn component(
        &self,
        mut author: Author,
        index: u64,
        component: &Component,
        identity: Option<([u8; 16], [u8; 16])>,
    ) -> Result<Author, Problem> {
        let element = |part: &str| format!("component {index}, {part}");
        if !component.slot.is_empty() {
            return self.slots(author, index, component, identity);
        }
        let image = self.image(
            &element("image"),
            component.image.as_deref(),
            component.digest.as_deref(),
            component.size,
        )?;
        author = match (identity, &image) {
            (Some((vendor, class)), image) => {
                author.compatibility_check(index, vendor, class, image.as_ref())
            }
            (None, Some(image)) => author.describe(index, image),
            (None, None) => author,
        };
        author = self.source(author, index, component)?;
        if let Some(source) = component.copy_from {
            self.is_another(&element("copy-from"), index, source)?;
            author = author.install_from(index, source);
        }
        if let Some(source) = component.load_from {
            self.is_another(&element("load-from"), index, source)?;
            let image = image.ok_or_else(|| no_image(&element("image")))?;
            return Ok(author.loaded_from(index, &image, source));
        }
        if image.is_none() {
            return Err(no_image(&element("image")));
        }
        Ok(if component.invoke {
            author.trusted_invocation(index)
        } else {
            author.matched(index)
        })
    }

    /// Where the component's image comes from: a place, or the envelope itself.
    fn source(
        &self,
        mut author: Author,
        index: u64,
        component: &Component,
    ) -> Result<Author, Problem> {
        let element = format!("component {index}, uri");
        let uri = match (&component.uri, &component.payload) {
            (Some(_), Some(_)) => {
                let remedy = "leave one of uri and payload out";
                return Err(Problem::new(
                    element,
                    "the image comes from two places",
                    remedy,
                ));
            }
            (Some(uri), None) if uri.starts_with('#') => {
                let remedy = "name the file that is to travel in the envelope: payload = \"FILE\"";
                return Err(Problem::new(element, "'#' stands for the envelope", remedy));
            }
            (Some(uri), None) => uri.clone(),
            (None, Some(payload)) => {
                let name = format!("#{index}");
                let bytes = files::read_beside(self.folder, payload)?;
                if component.encryption.is_none() {
                    self.is_image(index, component, &bytes)?;
                }
                author = author.payload(&name, &bytes);
                name
            }
            (None, None) if component.encryption.is_some() || component.staged => {
                let remedy = "say where it is: uri = \"…\" or payload = \"FILE\"";
                return Err(Problem::new(
                    element,
                    "the image comes from nowhere",
                    remedy,
                ));
            }
            (None, None) => return Ok(author),
        };
        let mut parameters = ParameterList::new().uri(&uri);
        if let Some(info) = &component.encryption {
            let path = self.folder.join(info);
            let bytes = files::read_beside(self.folder, info)?;
            if EncryptionInfo::decode(&bytes).is_none() {
                let cause = "not a COSE_Encrypt that devices understand";
                let remedy = "take what this wrote: manifest encrypt --info FILE";
                return Err(Problem::new(path.display(), cause, remedy));
            }
            parameters = parameters.encryption(&bytes);
        }
        let about = CommandList::new();
        let about = match self.description.component.len() {
            1 => about,
            _ => about.choose(index),
        };
        let section = if component.staged {
            Element::PayloadFetch
        } else {
            Element::Install
        };
        Ok(author.section(section, about.set(parameters).fetch().image_match()))
    }

    /// A payload that is not encrypted is the image itself.
    fn is_image(&self, index: u64, component: &Component, payload: &[u8]) -> Result<(), Problem> {
        let element = format!("component {index}, payload");
        let (file, digest) = (component.image.as_deref(), component.digest.as_deref());
        let image = self.image(&element, file, digest, component.size)?;
        let size = payload.len() as u64;
        if image.is_none_or(|image| {
            image.digest == sha256(payload) && image.size.is_none_or(|own| own == size)
        }) {
            return Ok(());
        }
        let cause = "it is not the image, and there is no encryption that would make it one";
        let remedy = "name the image's file as payload too, or the encryption = \"FILE\" of what it was encrypted to";
        Err(Problem::new(element, cause, remedy))
    }

    fn slots(
        &self,
        author: Author,
        index: u64,
        component: &Component,
        identity: Option<([u8; 16], [u8; 16])>,
    ) -> Result<Author, Problem> {
        let element = format!("component {index}, slot");
        let (vendor, class) = identity.ok_or_else(|| {
            let remedy = "make the component with slots the first one";
            Problem::new(&element, "only the first component may have slots", remedy)
        })?;
        let mut images = Vec::new();
        for slot in &component.slot {
            let element = format!("{element} {}", slot.number);
            let image = self.image(
                &element,
                slot.image.as_deref(),
                slot.digest.as_deref(),
                slot.size,
            )?;
            let image = image.ok_or_else(|| no_image(&element))?;
            images.push(SlotImage::new(slot.number, image, &slot.uri));
        }
        if images.len() < 2 {
            let remedy = "describe an image for each slot, or leave slots out";
            return Err(Problem::new(element, "one slot is no choice", remedy));
        }
        let author = author.either_slot(index, vendor, class, &images);
        Ok(if component.invoke {
            author.invoke(CommandList::new().invoke())
        } else {
            author
        })
    }

    fn image(
        &self,
        element: &str,
        file: Option<&Path>,
        digest: Option<&str>,
        size: Option<u64>,
    ) -> Result<Option<Image>, Problem> {
        let given = match digest {
            None => None,
            Some(text) => {
                let bytes = from_hex(text).and_then(|bytes| bytes.try_into().ok());
                Some(bytes.ok_or_else(|| {
                    let cause = "the digest is not 64 hexadecimal digits";
                    Problem::new(element, cause, "write the image's SHA-256: sha256sum IMAGE")
                })?)
            }
        };
        let Some(file) = file else {
            return Ok(given.map(|digest| match size {
                Some(size) => Image::new(digest, size),
                None => Image::of_any_size(digest),
            }));
        };
        let path = self.folder.join(file);
        let bytes = files::read(&path)?;
        let image = Image::new(sha256(&bytes), bytes.len() as u64);
        let differs = given.is_some_and(|digest| digest != image.digest)
            || size.is_some_and(|size| Some(size) != image.size);
        if differs {
            let cause = format!("{} has another digest or size", path.display());
            let remedy = "leave digest and size out, or take the right file";
            return Err(Problem::new(element, cause, remedy));
        }
        Ok(Some(image))
    }

    fn is_another(&self, element: &str, index: u64, source: u64) -> Result<(), Problem> {
        let there = usize::try_from(source).is_ok_and(|at| at < self.description.component.len());
        if there && source != index {
            return Ok(());
        }
        let cause = format!("there is no other component {source}");
        Err(Problem::new(element, cause, "count components from 0"))
    }

    fn text(&self) -> Option<Text> {
        let mut text: Option<Text> = None;
        for (language, own) in &self.description.text {
            let mut next = match text {
                None => Text::new(language),
                Some(text) => text.in_language(language),
            };
            if let Some(description) = &own.description {
                next = next.description(description);
            }
            if let Some(update) = &own.update {
                next = next.entry(2, update);
            }
            text = Some(next);
        }
        text
    }
}

fn no_image(element: &str) -> Problem {
    let remedy = "name the file: image = \"FILE\", or write digest and size";
    Problem::new(element, "it is not said what the image is", remedy)
}
