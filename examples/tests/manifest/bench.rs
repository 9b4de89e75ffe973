//! A folder to work in, and the tool.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use iot_core::cose::Tagged;
use iot_identity::key::PublicKey;
use iot_identity::ring::{Sha256, SoftwareVerifier};
use iot_ota::manifest::{Limits, Manifest, SignedManifest, SigningKey};

pub(crate) struct Bench(tempfile::TempDir);

impl Bench {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs the tool with these words, in the folder.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_manifest"))
            .args(words)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// Runs a command line without quotes that must succeed; returns what it printed.
    pub(crate) fn ok(&self, line: &str) -> String {
        let words: Vec<_> = line.split_whitespace().collect();
        let output = self.run(&words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command line that must be refused; returns the error.
    pub(crate) fn refused(&self, line: &str) -> String {
        let words: Vec<_> = line.split_whitespace().collect();
        let output = self.run(&words);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {error}");
        assert!(
            error.starts_with("error: ") && error.contains("\nremedy: "),
            "{line}: {error}"
        );
        error
    }

    /// The public key in a file that the tool wrote.
    pub(crate) fn public(&self, name: &str) -> PublicKey {
        let text = fs::read_to_string(self.path(name)).unwrap();
        let (label, der) = pem_rfc7468::decode_vec(text.as_bytes()).unwrap();
        assert_eq!(label, "PUBLIC KEY");
        PublicKey::from_spki(&der).unwrap()
    }
}

/// Verifies an envelope with the library alone.
pub(crate) fn verify(envelope: &[u8], key: PublicKey) -> Option<Manifest<'_>> {
    let mut limits = Limits::default();
    limits.codec = iot_core::codec::Limits::new(1 << 22, 8, 512);
    SignedManifest::decode(envelope, Tagged::Required, limits)
        .unwrap()
        .verify(
            &SigningKey::new(SoftwareVerifier::new(key)),
            &mut Sha256::new(),
            0,
        )
        .ok()
}

pub(crate) fn vectors() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    let folder = std::env::var_os("IOT_VECTORS").map_or_else(|| default.into(), PathBuf::from);
    assert!(folder.is_dir(), "{}: set IOT_VECTORS", folder.display());
    folder
}

pub(crate) fn vector(name: impl AsRef<Path>) -> Vec<u8> {
    let path = vectors().join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
