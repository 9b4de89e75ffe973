//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

const EXAMPLE: &str = "\
A release that two of three keys have to sign, the first of them in a token:
  manifest key new 'pkcs11:token=release;id=1?module-path=LIBRARY&pin-source=PIN-FILE' > hsm.pub.pem
  manifest key new safety.pem
  manifest key new backup.pem
  manifest create boiler.toml --output boiler.suit
  manifest sign boiler.suit --key 'pkcs11:token=release;id=1?module-path=LIBRARY&pin-source=PIN-FILE'
  manifest sign boiler.suit --key safety.pem
  manifest verify boiler.suit --threshold 2 --key hsm.pub.pem --key safety.pub.pem --key backup.pub.pem

Exit code 0: done, or no difference; 1: refused, or a difference; 2: the command line was not understood.";

/// Writes, signs, encrypts, shows, verifies and compares SUIT manifests.
#[derive(Debug, Parser)]
#[command(name = "manifest", arg_required_else_help = true, after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes or shows keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Writes an unsigned envelope from a description in TOML.
    Create(Create),
    /// Adds the signature of one more key.
    Sign(Sign),
    /// Encrypts an image for devices.
    Encrypt(Encrypt),
    /// Shows what is in an envelope, with names instead of numbers. Nothing in it is verified.
    Inspect {
        /// The envelope.
        envelope: PathBuf,
    },
    /// Verifies an envelope as a device would, and says who has signed it.
    Verify(Verify),
    /// Shows what differs between two envelopes. Nothing in them is verified.
    Diff {
        /// The envelope before.
        old: PathBuf,
        /// The envelope after.
        new: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a key: in a new file (PKCS#8 in PEM, its public half beside it as `.pub.pem`), or in a token, whose public
    /// half is printed. Nothing is ever overwritten.
    New {
        /// The file, or a place in a token: `pkcs11:token=LABEL;id=NUMBER?module-path=LIBRARY&pin-source=FILE`. NUMBER is
        /// 0 to 65535, and FILE holds the PIN. The key never leaves the token; its CKA_ID is 69 6f 74 00 and NUMBER in two
        /// bytes.
        key: String,
        /// What it signs with.
        #[arg(long, default_value = "es256")]
        algorithm: Algorithm,
    },
    /// Prints the public half of a key, and the key id that signatures name it by.
    Show {
        /// The file, or a token as for `key new`.
        key: String,
        /// Print key id and public key as Rust constants with this prefix instead, for a firmware's list of keys.
        #[arg(long)]
        rust: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Algorithm {
    /// ECDSA on P-256 with SHA-256; written as ESP256.
    Es256,
    /// Ed25519.
    Ed25519,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The description; files that it names are looked for beside it. What travels in the envelope must lie there.
    pub(crate) description: PathBuf,
    /// Where the envelope goes.
    #[arg(long, short)]
    pub(crate) output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The envelope.
    pub(crate) envelope: PathBuf,
    /// A file with a private key (PKCS#8 in PEM), or a key in a token as for `key new`:
    /// `pkcs11:token=LABEL;id=NUMBER?module-path=LIBRARY&pin-source=FILE`.
    #[arg(long)]
    pub(crate) key: String,
    /// By what name devices know the key: text, or digits behind `0x`. The front of its hash unless given, as `key show`
    /// prints it.
    #[arg(long)]
    pub(crate) key_id: Option<String>,
    /// Where the signed envelope goes; in the place of the unsigned one unless given.
    #[arg(long, short)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Encrypt {
    /// The image.
    pub(crate) image: PathBuf,
    /// What it is encrypted with. Only counter mode can be resumed by a device; only the others have a tag.
    #[arg(long, default_value = "a128gcm")]
    pub(crate) cipher: Cipher,
    /// For whom, once for each: `shared:KEY-ID=FILE` with 16 bytes, or `agreed:KEY-ID=FILE` with a public P-256 key in PEM.
    #[arg(long = "for", required = true)]
    pub(crate) audience: Vec<String>,
    /// Where the ciphertext goes.
    #[arg(long, short)]
    pub(crate) output: PathBuf,
    /// Where the encryption info goes that a description names.
    #[arg(long)]
    pub(crate) info: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Cipher {
    /// AES-128 in Galois/counter mode.
    A128gcm,
    /// ChaCha20 and Poly1305.
    Chacha20Poly1305,
    /// AES-128 in counter mode.
    A128ctr,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The envelope.
    pub(crate) envelope: PathBuf,
    /// A public key that is trusted (PEM), once for each: `FILE`, or `KEY-ID=FILE` for one with a name of its own.
    /// Signatures must name it so, as devices that know several keys ask for. KEY-ID is text, or digits behind `0x`.
    #[arg(long = "key", required = true)]
    pub(crate) keys: Vec<String>,
    /// Take the one key under whatever name signatures give it, as devices do that know no other.
    #[arg(long)]
    pub(crate) any_key_id: bool,
    /// How many of the keys must have signed.
    #[arg(long, default_value_t = 1)]
    pub(crate) threshold: u8,
    /// The sequence number of what is installed; a lower one is refused.
    #[arg(long, default_value_t = 0)]
    pub(crate) sequence: u64,
    /// The device's security counter; a lower one is refused.
    #[arg(long, default_value_t = 0)]
    pub(crate) counter: u64,
    /// An image that the manifest must name by its digest and size; may be given several times.
    #[arg(long)]
    pub(crate) image: Vec<PathBuf>,
    /// The envelope has no tag 107, as TEEP carries it.
    #[arg(long)]
    pub(crate) untagged: bool,
}
