#![doc = include_str!("../README.md")]

mod attribute;
mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a flat struct a twin: its fields can be desired by a service or reported by a device.
///
/// Each field carries `#[twin(…)]` with, separated by commas:
///
/// | option | meaning |
/// |---|---|
/// | `desired` or `reported` | who states it; one of the two is required |
/// | `unit = "Cel"` | its SenML unit |
/// | `range = 5.0..=30.0` | the least and the greatest value; a desired value outside is refused by the device |
/// | `deadband = 0.2` | smaller changes are not reported; only with `reported` |
/// | `id = 7` | its stable number; without it, its place in the struct, from 0 |
///
/// Numbers must stay the same for the life of a product: give them explicitly before fields are reordered or
/// removed. Beside the implementation, a struct with the desired fields alone is made, called after this one
/// with `Desired` appended.
#[proc_macro_derive(Twin, attributes(twin))]
pub fn derive_twin(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
