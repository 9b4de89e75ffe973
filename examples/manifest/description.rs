//! What a release is, as its engineer writes it down in TOML.

use alloc::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// The whole description.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Description {
    /// Rises with every release.
    pub(crate) sequence: u64,
    /// The vendor's domain, or its UUID.
    pub(crate) vendor: String,
    /// What the vendor calls this kind of device, or its UUID.
    pub(crate) class: String,
    /// Below which devices will never go back again.
    pub(crate) security_counter: Option<u64>,
    /// Such as `[1, 2, 0]`.
    pub(crate) version: Option<Vec<i64>>,
    /// Where people find more.
    pub(crate) reference_uri: Option<String>,
    /// Parts that travel beside the manifest, and can be cut off.
    #[serde(default)]
    pub(crate) severed: Vec<Part>,
    /// Text for people, by language.
    #[serde(default)]
    pub(crate) text: BTreeMap<String, Texts>,
    /// What is installed, in the order in which commands count them.
    #[serde(default)]
    pub(crate) component: Vec<Component>,
}

/// A part that can be severed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    PayloadFetch,
    Install,
    Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Texts {
    pub(crate) description: Option<String>,
    pub(crate) update: Option<String>,
}

/// One component. Its image is known by a file or by its digest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Component {
    /// The path of its identifier; a segment that begins with `0x` is given as digits.
    pub(crate) id: Vec<String>,
    /// The image as it is when it is installed.
    pub(crate) image: Option<PathBuf>,
    /// Its SHA-256, where there is no file.
    pub(crate) digest: Option<String>,
    /// Its size in bytes, where there is no file.
    pub(crate) size: Option<u64>,
    /// Where devices fetch it.
    pub(crate) uri: Option<String>,
    /// What travels in the envelope instead: the image, or what it was encrypted to.
    pub(crate) payload: Option<PathBuf>,
    /// The encryption info, where the payload is encrypted.
    pub(crate) encryption: Option<PathBuf>,
    /// Whether it is fetched before anything is installed.
    #[serde(default)]
    pub(crate) staged: bool,
    /// From which component it is copied when it is installed, by its number.
    pub(crate) copy_from: Option<u64>,
    /// From which component it is copied whenever it is started, by its number.
    pub(crate) load_from: Option<u64>,
    /// Whether it is started.
    #[serde(default)]
    pub(crate) invoke: bool,
    /// Images for several slots, of which the device takes the one for its free slot.
    #[serde(default)]
    pub(crate) slot: Vec<Slot>,
}

/// The image for one slot.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    pub(crate) number: u64,
    pub(crate) image: Option<PathBuf>,
    pub(crate) digest: Option<String>,
    pub(crate) size: Option<u64>,
    pub(crate) uri: String,
}
