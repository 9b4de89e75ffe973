//! Where the third-party envelopes are.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::path::{Path, PathBuf};

use iot_core::cose::Tagged;
use iot_ota::manifest::{ManifestKeys, SharedSecret, SigningKey};

use crate::keys::{Hmac256, P256Public};

pub(crate) fn folder() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    let root = std::env::var_os("IOT_VECTORS").map_or_else(|| default.into(), PathBuf::from);
    root.join("suit")
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}: set IOT_VECTORS", path.display()))
}

/// The envelope of that name, such as `2A`.
pub(crate) fn libcsuit(name: &str) -> Vec<u8> {
    read(&folder().join(format!("libcsuit/suit_manifest_exp{name}.suit")))
}

/// The trust anchor of everything that is signed.
pub(crate) fn anchor() -> P256Public {
    let public = read(&folder().join("libcsuit/keys/trust_anchor_secp256r1_pub.der"));
    P256Public(public.last_chunk::<65>().unwrap().to_vec())
}

/// The key that the folder's README names for a file.
pub(crate) fn keys_of(name: &str) -> Box<dyn ManifestKeys> {
    if ["AF", "AFS", "AW"].contains(&name) {
        Box::new(SharedSecret::new(Hmac256::new(&[0x61; 32])))
    } else {
        Box::new(SigningKey::new(anchor()))
    }
}

/// TEEP carries envelopes without their tag.
pub(crate) fn tagged(name: &str) -> Tagged {
    if ["D", "I", "U"].contains(&name) {
        Tagged::Absent
    } else {
        Tagged::Required
    }
}
