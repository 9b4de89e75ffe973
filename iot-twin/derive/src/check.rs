//! What is wrong with a struct as a whole.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::attribute::{Part, Property};

/// The fields of a struct; every mistake is named at once.
pub(crate) fn properties(input: &DeriveInput) -> Result<Vec<Property<'_>>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "a twin is a struct: each field is one property of the device; for an enum without fields write \
             #[derive(TwinEnum)]",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "a twin has no generic parameters: its fields have fixed types and numbers",
        ));
    }
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(
            &input.ident,
            "a twin's fields have names: write a struct with braces",
        ));
    };
    if fields.named.is_empty() {
        return Err(Error::new_spanned(
            &input.ident,
            "a twin has at least one field: add one with #[twin(desired)] or #[twin(reported)]",
        ));
    }
    let mut numbers = HashMap::new();
    let mut properties = Vec::new();
    let mut errors: Option<Error> = None;
    for (place, field) in fields.named.iter().enumerate() {
        let error = match Property::read(field, place) {
            Ok(property) => match numbers.insert(property.id, property.name) {
                Some(other) => Error::new(
                    property.name.span(),
                    format!(
                        "`{}` and `{other}` both have the number {}: give one of them another `id`",
                        property.name, property.id
                    ),
                ),
                None => {
                    properties.push(property);
                    continue;
                }
            },
            Err(error) => error,
        };
        match &mut errors {
            Some(errors) => errors.combine(error),
            None => errors = Some(error),
        }
    }
    match errors {
        Some(errors) => Err(errors),
        None => Ok(properties),
    }
}

/// What only the compiler knows it checks: how many numbers a group takes, and what a type is.
pub(crate) fn checks(properties: &[Property<'_>]) -> TokenStream {
    let mut checks = TokenStream::new();
    for group in properties {
        if let Part::Leaf(leaf) = &group.part {
            if leaf.local.as_ref().is_some_and(|local| local == "Or") {
                let kind = group.kind();
                checks.extend(quote!(::iot_twin::schema::truth::<#kind>();));
            }
            continue;
        }
        let (kind, first) = (group.kind(), u32::from(group.id));
        let end = quote!((#first + <#kind as ::iot_twin::Twin>::SPAN));
        let too_far = format!(
            "the numbers of the group `{}` from {first} on go past 65,535: give it a lower `id`",
            group.name
        );
        checks.extend(quote_spanned!(group.name.span()=> assert!(#end <= 65_536, #too_far);));
        for other in properties {
            let number = u32::from(other.id);
            // What lies in front of the group may itself be a group that reaches into this one: its own turn.
            if number <= first {
                continue;
            }
            let message = format!(
                "`{}` has the number {number}, which lies in the range of the group `{}`: the fields of a group are \
                 numbered from its `id` on, {first} here; give one of the two another `id`",
                other.name, group.name
            );
            checks.extend(quote_spanned!(other.name.span()=> assert!(#number >= #end, #message);));
        }
    }
    if checks.is_empty() {
        return checks;
    }
    quote!(const _: () = { #checks };)
}
