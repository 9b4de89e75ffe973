//! What the sequences of a manifest set, wherever in them.

use iot_core::crypto::Sha256Digest;
use iot_ota::manifest::{Element, Manifest};

use crate::render::pairs;

/// Sequences nest no deeper on any device.
const MAX_DEPTH: u8 = 12;

/// Every map of parameters in a manifest.
pub(crate) fn parameters<'m>(manifest: &Manifest<'m>) -> Vec<&'m [u8]> {
    let mut maps = Vec::new();
    let sections = Element::ALL
        .into_iter()
        .map(|element| manifest.section(element));
    let others = [
        manifest.shared(),
        manifest.validate(),
        manifest.load(),
        manifest.invoke(),
        manifest.uninstall(),
    ];
    for sequence in sections.chain(others).flatten() {
        within(sequence.as_bytes(), MAX_DEPTH, &mut maps);
    }
    maps
}

/// The values that a parameter has anywhere, as CBOR, each once.
pub(crate) fn values<'m>(maps: &[&'m [u8]], wanted: i32) -> Vec<&'m [u8]> {
    let mut values = Vec::new();
    for map in maps {
        for (code, value) in pairs(map).unwrap_or_default() {
            if code == wanted && !values.contains(&value) {
                values.push(value);
            }
        }
    }
    values
}

/// The digests and sizes of images.
pub(crate) fn images(maps: &[&[u8]]) -> Vec<(Sha256Digest, Option<u64>)> {
    maps.iter().filter_map(|map| image(map)).collect()
}

fn within<'m>(sequence: &'m [u8], depth: u8, maps: &mut Vec<&'m [u8]>) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    for (code, argument) in pairs(sequence).unwrap_or_default() {
        let mut decoder = minicbor::Decoder::new(argument);
        match code {
            19 | 20 => maps.push(argument),
            32 => within(decoder.bytes().unwrap_or(&[]), depth, maps),
            15 => {
                for _ in 0..decoder.array().ok().flatten().unwrap_or(0) {
                    let Ok(branch) = decoder.bytes() else { break };
                    within(branch, depth, maps);
                }
            }
            34 => {
                let of_each = pairs(argument).unwrap_or_default();
                maps.extend(of_each.iter().map(|(_, parameters)| parameters));
            }
            _ => {}
        }
    }
}

fn image(parameters: &[u8]) -> Option<(Sha256Digest, Option<u64>)> {
    let (mut digest, mut size) = (None, None);
    for (code, value) in pairs(parameters).ok()? {
        let mut decoder = minicbor::Decoder::new(value);
        match code {
            3 => {
                let mut own = minicbor::Decoder::new(decoder.bytes().ok()?);
                own.array().ok()?;
                let known = own.i32().ok()? == -16;
                digest = own.bytes().ok()?.try_into().ok().filter(|_| known);
            }
            14 => size = decoder.u64().ok(),
            _ => {}
        }
    }
    Some((digest?, size))
}
