//! What differs between two envelopes.

use std::path::Path;

use similar::{ChangeTag, TextDiff};

use crate::files;
use crate::opened::{claims, decode, unverified};
use crate::problem::Problem;
use crate::render::lines;
use crate::values::shown;

/// Prints each line that only one of them has, with the part that it is in; true when there is one.
pub(crate) fn compare(old: &Path, new: &Path) -> Result<bool, Problem> {
    let (before, after) = (page(old)?, page(new)?);
    let (before, after): (Vec<_>, Vec<_>) = (
        before.iter().map(String::as_str).collect(),
        after.iter().map(String::as_str).collect(),
    );
    let mut differs = false;
    for change in TextDiff::from_slices(&before, &after).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Equal => continue,
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        differs = true;
        println!("{sign} {}", change.value());
    }
    if !differs {
        println!("they say the same");
    }
    Ok(differs)
}

fn page(path: &Path) -> Result<Vec<String>, Problem> {
    let bytes = files::read(path)?;
    let signed = decode(path, &bytes)?;
    let manifest = unverified(path, &signed)?;
    // Payloads are shown by their size alone; their content counts.
    let (mut all, mut payloads): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (name, payload) in manifest.integrated_payloads() {
        let digest = crate::values::hex(&crate::verify::sha256(payload));
        let name = shown(name);
        payloads.push(format!("payload: {name} SHA-256 {digest}"));
    }
    for line in lines(&manifest)? {
        let indent = 2 * line.depth;
        all.push(format!("{}: {:indent$}{}", line.part, "", line.text));
    }
    all.extend(payloads);
    all.extend(
        claims(&bytes)
            .iter()
            .map(|claim| format!("signature: {claim}")),
    );
    Ok(all)
}
