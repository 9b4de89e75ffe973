//! Keys in files and tokens.

use std::path::{Path, PathBuf};

use iot_core::crypto::{Digest, SignatureAlgorithm, Signer};
use iot_identity::key::PublicKey;
use iot_identity::ring::{Sha256, SoftwareKey};
use pem_rfc7468::LineEnding;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};

use crate::args::Algorithm;
use crate::files;
use crate::problem::Problem;
use crate::token::Token;
use crate::values::segment;

/// So many bytes of a key's hash name it, unless it has a name.
const KEY_ID_BYTES: usize = 8;

/// Does `work` with a private key, wherever it lies.
pub(crate) fn with_signer<T>(
    key: &str,
    work: impl FnOnce(&dyn Signer) -> Result<T, Problem>,
) -> Result<T, Problem> {
    match Token::parse(key)? {
        Some(token) => token.with_signer(work),
        None => work(&read_private(Path::new(key))?),
    }
}

fn read_private(path: &Path) -> Result<SoftwareKey, Problem> {
    let name = path.display();
    let text = files::read_text(path)?;
    let (label, der) = decode(path, &text)?;
    let converted = format!("convert it: openssl pkcs8 -topk8 -nocrypt -in {name} -out key.pem");
    match label {
        "PRIVATE KEY" => SoftwareKey::from_pkcs8(&der).ok_or_else(|| {
            let cause = "neither a P-256 key with its public half nor an Ed25519 key";
            Problem::new(name, cause, "make one: manifest key new KEY.pem")
        }),
        "ENCRYPTED PRIVATE KEY" => Err(Problem::new(
            name,
            "the key is encrypted",
            format!("{converted}; or keep it in a token"),
        )),
        "PUBLIC KEY" => Err(Problem::new(
            name,
            "this is the public half of a key",
            "give the private half, which only its owner has",
        )),
        label => Err(Problem::new(
            name,
            format!("'{label}' is not PKCS#8"),
            converted,
        )),
    }
}

/// Reads a public key, or the public half of a private one.
pub(crate) fn read_public(path: &Path) -> Result<PublicKey, Problem> {
    let name = path.display();
    let text = files::read_text(path)?;
    let (label, der) = decode(path, &text)?;
    let found = match label {
        "PUBLIC KEY" => PublicKey::from_spki(&der),
        "PRIVATE KEY" => SoftwareKey::from_pkcs8(&der).and_then(|key| PublicKey::of(&key).ok()),
        _ => None,
    };
    found.ok_or_else(|| {
        let remedy = format!("take it from the private key: manifest key show {name}");
        Problem::new(name, "not a public key on P-256 or Ed25519 in PEM", remedy)
    })
}

fn decode<'t>(path: &Path, text: &'t str) -> Result<(&'t str, Vec<u8>), Problem> {
    // OpenSSL may write parameters in front, which the key itself repeats.
    let last = text.rfind("-----BEGIN ").unwrap_or(0);
    let block = text.get(last..).unwrap_or(text);
    pem_rfc7468::decode_vec(block.as_bytes()).map_err(|error| {
        let remedy = "give a PEM file, which begins with -----BEGIN";
        Problem::new(path.display(), error, remedy)
    })
}

/// Makes a key in a new file or in a token.
pub(crate) fn create(key: &str, algorithm: Algorithm) -> Result<(), Problem> {
    let wanted = match algorithm {
        Algorithm::Es256 => SignatureAlgorithm::EcdsaP256Sha256,
        Algorithm::Ed25519 => SignatureAlgorithm::Ed25519,
    };
    if let Some(token) = Token::parse(key)? {
        token.generate(wanted)?;
        return show(key);
    }
    let path = Path::new(key);
    let random = SystemRandom::new();
    let made = match algorithm {
        Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        Algorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
    };
    let made = made.map_err(|_| Problem::new(key, "there is no randomness", "try again"))?;
    let place = public_path(path);
    // Before anything is written: another key may lie there.
    if place.symlink_metadata().is_ok() {
        let remedy =
            "name a key whose public half has a place of its own: a key is never overwritten";
        return Err(Problem::new(place.display(), "the file exists", remedy));
    }
    files::write_secret(path, encode(key, "PRIVATE KEY", made.as_ref())?.as_bytes())?;
    let public = read_public(path)?;
    files::write_new(&place, public_pem(key, &public)?.as_bytes())?;
    let id = segment(&key_id(&public));
    println!("{key}: keep it secret\n{}: key id {id}", place.display());
    Ok(())
}

/// The public half of a key, wherever it lies.
fn public_half(key: &str) -> Result<PublicKey, Problem> {
    match Token::parse(key)? {
        Some(token) => token.with_signer(|signer| public_of(key, signer)),
        None => read_public(Path::new(key)),
    }
}

/// Prints key id and public key as a firmware holds them.
pub(crate) fn show_rust(key: &str, prefix: &str) -> Result<(), Problem> {
    let mut letters = prefix.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_uppercase());
    if !first || !letters.all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
        let cause = "not how a constant's name begins";
        return Err(Problem::new(
            prefix,
            cause,
            "write it in capitals, such as --rust RELEASE",
        ));
    }
    let public = public_half(key)?;
    let literal =
        |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect() };
    let algorithm = match public.algorithm() {
        SignatureAlgorithm::Ed25519 => "Ed25519",
        _ => "ECDSA on P-256, as a point without compression",
    };
    println!("/// By what name signatures call it.");
    println!(
        "pub const {prefix}_ID: &[u8] = b\"{}\";",
        literal(&key_id(&public))
    );
    println!("/// {algorithm}.");
    println!(
        "pub const {prefix}_KEY: &[u8] = b\"{}\";",
        literal(public.as_bytes())
    );
    Ok(())
}

/// Prints the public half of a key and its key id.
pub(crate) fn show(key: &str) -> Result<(), Problem> {
    let public = public_half(key)?;
    print!("{}", public_pem(key, &public)?);
    eprintln!("key id {}", segment(&key_id(&public)));
    Ok(())
}

pub(crate) fn public_of(key: &str, signer: &dyn Signer) -> Result<PublicKey, Problem> {
    PublicKey::of(signer).map_err(|error| Problem::new(key, error, "use a key on P-256 or Ed25519"))
}

/// By what name signatures call a key that has none of its own: the front of its SubjectPublicKeyInfo's SHA-256.
pub(crate) fn key_id(public: &PublicKey) -> Vec<u8> {
    let mut sha256 = Sha256::new();
    for part in public.spki_parts() {
        sha256.update(part);
    }
    sha256.finish().into_iter().take(KEY_ID_BYTES).collect()
}

fn public_pem(key: &str, public: &PublicKey) -> Result<String, Problem> {
    encode(key, "PUBLIC KEY", &public.spki_parts().concat())
}

fn encode(key: &str, label: &str, der: &[u8]) -> Result<String, Problem> {
    pem_rfc7468::encode_string(label, LineEnding::LF, der)
        .map_err(|error| Problem::new(key, error, "make another key"))
}

/// `release.pem` has its public half in `release.pub.pem`, and `release.key` in `release.key.pub.pem`.
fn public_path(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|ending| ending == "pem") {
        path.with_extension("pub.pem")
    } else {
        files::beside(path, "pub.pem")
    }
}
