//! What a change of ten leaves costs in a document of 108.

mod decode;
mod typed;

pub(crate) use decode::twin_decode;
pub(crate) use typed::twin_apply;

use core::error::Error;
use core::hint::black_box;

use iot_benches::{Goal, Ratio};
use iot_twin::document::Document;
use iot_twin::value::{Limits, Value};

const GROUPS: usize = 9;
const LEAVES: usize = 12;

/// A twin whose fields nobody knew when it was compiled: decoding a merge patch, merging it and encoding the whole document: CBOR and a bounded tree here, text
/// and `serde_json::Value` there.
pub(crate) fn twin_document() -> Result<Ratio, Box<dyn Error>> {
    let (document, patch) = (json(LEAVES * GROUPS), json(10));
    let limits = Limits::default();
    let mut ours = Document::from_cbor(&Value::from_json(&document, limits)?.to_cbor(), limits)?;
    let encoded_patch = Value::from_json(&patch, limits)?.to_cbor();
    let mut peer: serde_json::Value = serde_json::from_str(&document)?;
    Ok(Ratio::of_times(
        "twin_document",
        Goal::AtMost(0.5),
        || -> Result<usize, Box<dyn Error>> {
            ours.merge_cbor(black_box(&encoded_patch))?;
            Ok(ours.to_cbor().len())
        },
        || -> Result<usize, Box<dyn Error>> {
            merge(&mut peer, serde_json::from_str(black_box(&patch))?);
            Ok(serde_json::to_string(&peer)?.len())
        },
    ))
}

/// `leaves` numbers, at most twelve to a group.
fn json(leaves: usize) -> String {
    let groups = (0..leaves.div_ceil(LEAVES)).map(|group| {
        let leaf = |n| format!(r#""leaf{n}":{}.5"#, group * LEAVES + n);
        let count = LEAVES.min(leaves - group * LEAVES);
        let content: Vec<_> = (0..count).map(leaf).collect();
        format!(r#""group{group}":{{{}}}"#, content.join(","))
    });
    format!("{{{}}}", groups.collect::<Vec<_>>().join(","))
}

// RFC 7396, section 2, as it is written there.
fn merge(target: &mut serde_json::Value, patch: serde_json::Value) {
    let serde_json::Value::Object(changes) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = serde_json::Value::Object(serde_json::Map::new());
    }
    if let serde_json::Value::Object(fields) = target {
        for (name, change) in changes {
            if change.is_null() {
                fields.remove(&name);
            } else {
                merge(
                    fields.entry(name).or_insert(serde_json::Value::Null),
                    change,
                );
            }
        }
    }
}
