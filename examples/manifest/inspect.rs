//! An envelope, shown.

use std::path::Path;

use crate::files;
use crate::opened::{claims, decode, unverified};
use crate::problem::Problem;
use crate::render::lines;
use crate::values::hex;

pub(crate) fn inspect(path: &Path) -> Result<(), Problem> {
    let bytes = files::read(path)?;
    let signed = decode(path, &bytes)?;
    let manifest = unverified(path, &signed)?;
    println!(
        "{}: {} bytes; nothing in it is verified",
        path.display(),
        bytes.len()
    );
    println!("manifest digest SHA-256 {}", hex(manifest.digest()));
    let claims = claims(&bytes);
    if claims.is_empty() {
        println!("not signed");
    }
    for claim in claims {
        println!("claims to be signed: {claim}");
    }
    let mut part = "";
    for line in lines(&manifest)? {
        if line.part != part {
            part = line.part;
            println!("{part}");
        }
        println!("  {:indent$}{}", "", line.text, indent = 2 * line.depth);
    }
    Ok(())
}
