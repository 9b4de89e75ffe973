//! What the encoders write is what the CDDL beside them says.
//!
//! Every message and record is made by the public interface of its crate, and checked by a validator that
//! knows nothing of this project. So that a check cannot pass by accepting everything, each encoding is then
//! spoiled in every place, one at a time, and each spoiled one must be refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

mod cddl {
    pub(crate) mod carried;
    pub(crate) mod commands;
    pub(crate) mod component;
    pub(crate) mod delta;
    pub(crate) mod engine;
    pub(crate) mod envelope;
    pub(crate) mod exchange;
    pub(crate) mod fleet;
    pub(crate) mod identity;
    pub(crate) mod outbox;
    pub(crate) mod registry;
    pub(crate) mod schema;
    pub(crate) mod suit;
    pub(crate) mod tape;
    pub(crate) mod twin;
    pub(crate) mod update;
}

use std::fs;
use std::path::{Path, PathBuf};

use cddl::schema::Schema;
use cddl::{
    carried, commands, component, delta, envelope, exchange, fleet, identity, outbox, registry,
    suit, tape, twin, update,
};

const CHECKED: [&Schema; 24] = [
    &carried::SCHEMA,
    &commands::SCHEMA,
    &component::SCHEMA,
    &delta::SCHEMA,
    &envelope::SCHEMA,
    &exchange::SCHEMA,
    &fleet::SCHEMA,
    &identity::COMPACT,
    &identity::DENY_LIST,
    &identity::ENROLMENT,
    &identity::PROVISION,
    &identity::ROTATION,
    &outbox::SCHEMA,
    &registry::FILE,
    &registry::RECORD,
    &registry::SNAPSHOT,
    &registry::STATE,
    &suit::ENCRYPTION,
    &suit::KEY_SET,
    &suit::MANIFEST,
    &suit::REPORT,
    &tape::SCHEMA,
    &twin::SCHEMA,
    &update::SCHEMA,
];

#[test]
fn no_schema_of_the_repository_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    schemas(root, &mut found);
    found.sort();
    let mut checked: Vec<_> = CHECKED
        .iter()
        .map(|schema| root.join(schema.path))
        .collect();
    checked.sort();
    assert_eq!(found, checked);
}

fn schemas(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            schemas(&path, found);
        } else if name.ends_with(".cddl") {
            found.push(path);
        }
    }
}
