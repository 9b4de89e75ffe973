//! Tables of fields, put together while a program is compiled.

use super::{Field, FieldId, Schema};
use crate::leaf::{Kind, Leaf};

/// Puts the fields of a group into a table, from a place on: each is numbered from `base` on.
///
/// `group` is the name of the group, or empty for fields that lie in none.
///
/// # Panics
///
/// When there is no room, or a number is too large; while compiling, where a macro calls it.
#[must_use]
#[allow(
    clippy::indexing_slicing,
    reason = "it is called while compiling, where a bad index is an error of the compiler"
)]
pub const fn place<const N: usize>(
    mut all: [Schema; N],
    at: usize,
    group: &'static str,
    base: u16,
    fields: &[Schema],
) -> [Schema; N] {
    let mut place = 0;
    while place < fields.len() {
        let mut schema = fields[place];
        schema.field.id = FieldId::new(schema.field.id.get().wrapping_add(base));
        if !group.is_empty() {
            schema.name = schema.name.inside(group);
        }
        all[at + place] = schema;
        place += 1;
    }
    all
}

/// What a device must know of each field.
#[must_use]
#[allow(
    clippy::indexing_slicing,
    reason = "it is called while compiling, where a bad index is an error of the compiler"
)]
pub const fn fields<const N: usize>(schema: &[Schema]) -> [Field; N] {
    let mut all = [Field::EMPTY; N];
    let mut place = 0;
    while place < N {
        all[place] = schema[place].field;
        place += 1;
    }
    all
}

/// How many numbers the fields span, from 0 on: one more than the greatest.
#[must_use]
pub const fn span(schema: &[Schema]) -> u32 {
    let mut span = 0;
    let mut rest = schema;
    while let [schema, tail @ ..] = rest {
        let next = schema.field.id.get() as u32 + 1;
        if next > span {
            span = next;
        }
        rest = tail;
    }
    span
}

/// That a type is `bool` or an `Option` of it.
///
/// # Panics
///
/// When it is not; while compiling, where a macro calls it.
pub const fn truth<L: Leaf>() {
    assert!(
        matches!(L::KIND, Kind::Bool),
        "`local = Or` needs a bool: of two numbers write `local = Max`"
    );
}

// FNV-1a: small, and enough to notice that two firmwares disagree about the fields.
const FNV_START: u32 = 0x811c_9dc5;

const fn fnv(mut hash: u32, bytes: &[u8]) -> u32 {
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u32).wrapping_mul(0x0100_0193);
        rest = tail;
    }
    hash
}

/// Names a set of fields: differs when a field is added or removed, or when other values are allowed.
pub(crate) const fn fingerprint(schemas: &[Schema]) -> u32 {
    let mut hash = FNV_START;
    let mut rest = schemas;
    while let [schema, tail @ ..] = rest {
        let field = &schema.field;
        hash = fnv(hash, &field.id.get().to_be_bytes());
        hash = fnv(
            hash,
            &[field.kind as u8, field.optional as u8, field.access as u8],
        );
        hash = fnv(hash, &field.len.to_be_bytes());
        if let Some((least, greatest)) = schema.range {
            hash = fnv(hash, &least.to_bits().to_be_bytes());
            hash = fnv(hash, &greatest.to_bits().to_be_bytes());
        }
        let mut variants = schema.variants;
        while let [variant, others @ ..] = variants {
            hash = fnv(hash, &variant.number.to_be_bytes());
            variants = others;
        }
        rest = tail;
    }
    hash
}
