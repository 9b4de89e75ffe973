//! An image, encrypted for devices.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use iot_core::crypto::SignatureAlgorithm;
use iot_identity::ring::SystemEntropy;
use iot_ota::encrypt::{Audience, Encryptor};
use iot_ota::manifest::PayloadCipher;

use crate::args::{Cipher, Encrypt};
use crate::files;
use crate::keys::read_public;
use crate::problem::Problem;
use crate::values::key_id_of;

const FORM: &str = "write shared:KEY-ID=FILE or agreed:KEY-ID=FILE";

pub(crate) fn encrypt(options: &Encrypt) -> Result<(), Problem> {
    let cipher = match options.cipher {
        Cipher::A128gcm => PayloadCipher::A128Gcm,
        Cipher::Chacha20Poly1305 => PayloadCipher::ChaCha20Poly1305,
        Cipher::A128ctr => PayloadCipher::A128Ctr,
    };
    let mut named = Vec::new();
    for text in &options.audience {
        named.push(Named::read(text)?);
    }
    let mut audience = Vec::new();
    for one in &named {
        audience.push(one.audience()?);
    }
    let encryptor = Encryptor::new(cipher, &audience, &mut SystemEntropy::new())
        .map_err(|error| Problem::new("--for", error, "check the keys"))?;
    let info = encryptor.info().to_vec();
    let (sink, partial) = files::begin(&options.output)?;
    let bytes = stream(encryptor, &options.image, sink, &partial)?;
    files::finish(&partial, &options.output)?;
    files::write(&options.info, &info)?;
    println!(
        "{}: {bytes} bytes for {} of the audience; name {} as encryption",
        options.output.display(),
        audience.len(),
        options.info.display()
    );
    Ok(())
}

/// For whom, as it stands on the command line.
struct Named<'t> {
    kind: &'t str,
    id: Vec<u8>,
    file: &'t str,
}

impl<'t> Named<'t> {
    fn read(text: &'t str) -> Result<Self, Problem> {
        let unknown = || Problem::new(text, "it is not said for whom", FORM);
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        let (id, file) = rest.split_once('=').ok_or_else(unknown)?;
        if !["shared", "agreed"].contains(&kind) {
            return Err(unknown());
        }
        let id = key_id_of(text, id)?;
        Ok(Self { kind, id, file })
    }

    fn audience(&self) -> Result<Audience<'_>, Problem> {
        let path = Path::new(self.file);
        if self.kind == "shared" {
            let key = files::read(path)?;
            let key: [u8; 16] = key.try_into().map_err(|_| {
                let remedy = "make one: head -c 16 /dev/urandom > KEY";
                Problem::new(self.file, "a shared key has 16 bytes", remedy)
            })?;
            return Ok(Audience::shared(&self.id, &key));
        }
        let public = read_public(path)?;
        let point = public.as_bytes().first_chunk();
        let fits = public.algorithm() == SignatureAlgorithm::EcdsaP256Sha256;
        point
            .filter(|_| fits)
            .and_then(|point| Audience::agreed(&self.id, point))
            .ok_or_else(|| {
                let remedy = "give the device's public key on P-256";
                Problem::new(self.file, "no key can be agreed on with this one", remedy)
            })
    }
}

/// Encrypts a file into another, a piece at a time; returns the length of the ciphertext.
fn stream(mut encryptor: Encryptor, from: &Path, sink: File, to: &Path) -> Result<u64, Problem> {
    let named = |path: &Path| {
        let name = path.display().to_string();
        move |error| Problem::new(&name, error, "check the path, and that there is room")
    };
    let mut source = BufReader::new(File::open(from).map_err(named(from))?);
    let mut sink = BufWriter::new(sink);
    let mut written = 0;
    let mut write = |bytes: &[u8]| {
        written += bytes.len() as u64;
        sink.write_all(bytes)
    };
    let mut piece = [0; 4_096];
    loop {
        let read = source.read(&mut piece).map_err(named(from))?;
        if read == 0 {
            break;
        }
        let piece = piece.get(..read).unwrap_or(&[]);
        encryptor.push(piece, &mut write).map_err(named(to))?;
    }
    encryptor.finish(&mut write).map_err(named(to))?;
    sink.flush().map_err(named(to))?;
    Ok(written)
}
