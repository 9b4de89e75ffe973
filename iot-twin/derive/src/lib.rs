#![doc = include_str!("../README.md")]

mod attribute;
mod check;
mod enumeration;
mod expand;
mod view;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct a twin: its fields can be desired by a service or reported by a device.
///
/// Each field carries `#[twin(…)]` with, separated by commas:
///
/// | option | meaning |
/// |---|---|
/// | `desired` | the service states what it should be; the device tells what became of it, and may edit it |
/// | `reported` | the device states it |
/// | `desired, reported` | the service states what it should be, the device measures what it is |
/// | `group, id = 16` | a struct with fields of its own, by the same macro; they are numbered from `id` on |
/// | `id = 7` | its stable number; without it, its place in the struct, from 0 |
/// | `unit = "Cel"` | its SenML unit |
/// | `range = 5.0..=30.0` | the least and the greatest value; a desired value outside is refused by the device |
/// | `deadband = 0.2` | smaller changes are not reported; only with `reported` |
/// | `local = Max` | what an edit at the device means for what is desired: a variant of `LocalEdit`; only with `desired` alone |
/// | `personal` or `secret` | it is in no log and in no document without being asked for |
///
/// A field without `group` is a value: `bool`, an integer, `f32`, `f64`, `Text<N>`, a list `[T; N]` of these except
/// texts, an enum with [`TwinEnum`], or an `Option` of each.
///
/// Numbers must stay the same for the life of a product: give them explicitly before fields are reordered or
/// removed. Two fields with the same number, a group that reaches into another field's number among them, do not
/// compile. Beside the implementation, a struct with the desired fields alone is made, called after this one
/// with `Desired` appended.
#[proc_macro_derive(Twin, attributes(twin))]
pub fn derive_twin(input: TokenStream) -> TokenStream {
    answer(expand::expand(&parse_macro_input!(input as DeriveInput)))
}

/// Makes an enum without fields a value that a twin's field can have.
///
/// Each variant has an explicit number, which travels instead of its name: `Eco = 1`. The first variant is the value
/// before anything is known, and there are at least two: to desire the only one could not be told from desiring nothing.
/// A number that no variant has is refused, and the field stays as it was. The enum must be `Copy`, `Debug` and
/// `PartialEq` too.
#[proc_macro_derive(TwinEnum)]
pub fn derive_twin_enum(input: TokenStream) -> TokenStream {
    answer(enumeration::expand(&parse_macro_input!(
        input as DeriveInput
    )))
}

fn answer(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
