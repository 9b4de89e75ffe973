//! Writes the implementation.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::attribute::Property;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let properties = properties(input)?;
    let (name, visibility) = (&input.ident, &input.vis);
    let view = format_ident!("{name}Desired");
    let count = properties.len();

    let index = 0..count;
    let index2 = 0..count;
    let index3 = 0..count;
    let index4 = 0..count;
    let index5 = 0..count;
    let index6 = 0..count;
    let field: Vec<_> = properties.iter().map(|property| property.name).collect();
    let kind: Vec<_> = properties
        .iter()
        .map(|property| &property.field.ty)
        .collect();
    let fields = properties.iter().map(describe);
    let schema = properties.iter().map(schema);
    let decode = properties.iter().map(decode);
    let accepts = properties.iter().map(accepts);
    let moved = properties.iter().map(moved);

    let desired: Vec<_> = properties
        .iter()
        .filter(|property| property.desired)
        .collect();
    let view_name: Vec<_> = desired.iter().map(|property| property.name).collect();
    let view_kind = desired.iter().map(|property| &property.field.ty);
    let view_visibility = desired.iter().map(|property| &property.field.vis);
    let view_docs = desired.iter().map(|property| {
        let docs: Vec<_> = property
            .field
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("doc"))
            .collect();
        if docs.is_empty() {
            let text = format!("The desired `{}`.", property.name);
            quote!(#[doc = #text])
        } else {
            quote!(#(#docs)*)
        }
    });
    let view_doc = format!("The fields of [`{name}`] that a service can desire.");

    Ok(quote! {
        #[doc = #view_doc]
        #[derive(Clone, Debug, PartialEq)]
        #visibility struct #view {
            #(#view_docs #view_visibility #view_name: #view_kind,)*
        }

        #[automatically_derived]
        impl ::iot_twin::reflect::Desired for #view {
            type Twin = #name;
            fn of(twin: &#name) -> Self {
                Self { #(#view_name: ::core::clone::Clone::clone(&twin.#view_name),)* }
            }
            fn put(&self, twin: &mut #name) {
                #(twin.#view_name = ::core::clone::Clone::clone(&self.#view_name);)*
            }
        }

        #[automatically_derived]
        impl ::iot_twin::reflect::Twin for #name {
            type Desired = #view;
            type Slots = [::iot_twin::sync::Slot; #count];
            const FIELDS: &'static [::iot_twin::schema::Field] = &[#(#fields),*];
            const SCHEMA: &'static [::iot_twin::schema::Schema] = &[#(#schema),*];
            const INITIAL: Self = Self { #(#field: <#kind as ::iot_twin::leaf::Leaf>::INITIAL,)* };
            const SLOTS: Self::Slots = [::iot_twin::sync::Slot::EMPTY; #count];

            fn encode(
                &self,
                index: usize,
                out: &mut ::iot_twin::leaf::LeafWriter<'_>,
            ) -> ::core::option::Option<()> {
                match index {
                    #(#index => ::iot_twin::leaf::Leaf::encode(&self.#field, out),)*
                    _ => ::core::option::Option::None,
                }
            }

            fn decode(
                &mut self,
                index: usize,
                input: &mut ::iot_twin::leaf::LeafReader<'_>,
            ) -> ::core::result::Result<(), ::iot_twin::leaf::LeafError> {
                match index {
                    #(#index2 => { #decode })*
                    _ => return ::core::result::Result::Err(::iot_twin::leaf::LeafError::Unknown),
                }
                #[allow(unreachable_code, reason = "a struct may have no fields")]
                ::core::result::Result::Ok(())
            }

            fn accepts(&self, index: usize) -> bool {
                match index {
                    #(#index3 => #accepts,)*
                    _ => false,
                }
            }

            fn copy(&mut self, index: usize, other: &Self) {
                match index {
                    #(#index4 => self.#field = ::core::clone::Clone::clone(&other.#field),)*
                    _ => {}
                }
            }

            fn moved(&self, index: usize, told: &Self) -> bool {
                match index {
                    #(#index5 => #moved,)*
                    _ => false,
                }
            }

            fn disturb(&mut self, index: usize) {
                match index {
                    #(#index6 => self.#field = ::iot_twin::leaf::Leaf::other(&self.#field),)*
                    _ => {}
                }
            }
        }
    })
}

fn properties(input: &DeriveInput) -> Result<Vec<Property<'_>>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "a twin is a struct: each field is one property of the device",
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

fn describe(property: &Property<'_>) -> TokenStream {
    let (kind, id) = (&property.field.ty, property.id);
    let access = if property.desired {
        quote!(Desired)
    } else {
        quote!(Reported)
    };
    quote!(::iot_twin::schema::Field::of::<#kind>(#id, ::iot_twin::schema::Access::#access))
}

fn schema(property: &Property<'_>) -> TokenStream {
    let name = property.name.to_string();
    let name = name.strip_prefix("r#").unwrap_or(&name);
    let field = describe(property);
    let unit = property.unit.iter().map(|unit| quote!(.with_unit(#unit)));
    let range = property
        .range
        .iter()
        .map(|(least, greatest)| quote!(.with_range((#least) as f64, (#greatest) as f64)));
    let deadband = property
        .deadband
        .iter()
        .map(|step| quote!(.with_deadband((#step) as f64)));
    quote!(::iot_twin::schema::Schema::new(#field, #name) #(#unit)* #(#range)* #(#deadband)*)
}

fn decode(property: &Property<'_>) -> TokenStream {
    let (name, kind) = (property.name, &property.field.ty);
    let check = property.range.as_ref().map(|(least, greatest)| {
        quote! {
            if !::iot_twin::leaf::within(&value, &(#least), &(#greatest)) {
                return ::core::result::Result::Err(::iot_twin::leaf::LeafError::Range);
            }
        }
    });
    quote! {
        let value = <#kind as ::iot_twin::leaf::Leaf>::decode(input)?;
        #check
        self.#name = value;
    }
}

fn accepts(property: &Property<'_>) -> TokenStream {
    let name = property.name;
    match &property.range {
        Some((least, greatest)) => {
            quote!(::iot_twin::leaf::within(&self.#name, &(#least), &(#greatest)))
        }
        None => quote!(true),
    }
}

fn moved(property: &Property<'_>) -> TokenStream {
    let name = property.name;
    match &property.deadband {
        Some(step) => {
            quote!(::iot_twin::leaf::Measure::moved(&self.#name, &told.#name, #step))
        }
        None => quote!(!::iot_twin::leaf::Leaf::same(&self.#name, &told.#name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let input: DeriveInput = syn::parse_str(text).unwrap();
        expand(&input).unwrap_err().to_string()
    }

    #[test]
    fn each_mistake_is_answered_with_what_to_write() {
        for (input, answer) in [
            ("enum E { A }", "a twin is a struct"),
            ("struct S(u8);", "have names"),
            ("struct S {}", "at least one field"),
            (
                "struct S<T> { #[twin(reported)] a: T }",
                "no generic parameters",
            ),
            ("struct S { a: u8 }", "#[twin(desired)] if the service says"),
            (
                "struct S { #[twin(desired, reported)] a: u8 }",
                "either `desired` or `reported`",
            ),
            (
                "struct S { #[twin(desired, deadband = 1)] a: u8 }",
                "belongs to a `reported` field",
            ),
            (
                "struct S { #[twin(desired, range = 1..2)] a: u8 }",
                "write `..=`",
            ),
            (
                "struct S { #[twin(desired, units = \"W\")] a: u8 }",
                "`units` is not known here",
            ),
            (
                "struct S { #[twin(desired, id = 1, id = 2)] a: u8 }",
                "`id` is given twice",
            ),
            (
                "struct S { #[twin(desired, id = 70000)] a: u8 }",
                "number too large",
            ),
            (
                "struct S { #[twin(desired, id = 1)] a: u8, #[twin(desired)] b: u8 }",
                "`b` and `a` both have the number 1",
            ),
        ] {
            let refusal = refusal(input);
            assert!(refusal.contains(answer), "{input}: {refusal}");
        }
    }

    #[test]
    fn every_mistake_of_a_struct_is_named_at_once() {
        let input: DeriveInput = syn::parse_str("struct S { a: u8, b: u8 }").unwrap();
        assert_eq!(expand(&input).unwrap_err().into_iter().count(), 2);
    }

    #[test]
    fn options_are_taken_in_any_order_and_bounds_may_be_constants() {
        let input = "struct S { #[twin(range = -1.5..=limits::MAX, unit = \"Cel\", id = 9, desired)] r#type: f32 }";
        let input: DeriveInput = syn::parse_str(input).unwrap();
        let text = expand(&input).unwrap().to_string().replace(' ', "");
        assert!(text.contains("::<f32>(9u16,"), "{text}");
        assert!(text.contains("(-1.5)asf64,(limits::MAX)asf64"), "{text}");
        assert!(text.contains("\"type\""), "{text}");
    }
}
