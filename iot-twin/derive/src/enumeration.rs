//! Enums without fields, as values of a field.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Expr, ExprLit, Fields, Lit, Result, Variant};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "only an enum has variants to choose from: for a struct write #[derive(Twin)]",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "an enum of a twin has no generic parameters",
        ));
    }
    let mut numbers = HashMap::new();
    let mut variants = Vec::new();
    for variant in &data.variants {
        let number = number(variant)?;
        if let Some(other) = numbers.insert(number, &variant.ident) {
            return Err(Error::new_spanned(
                &variant.ident,
                format!(
                    "`{}` and `{other}` both have the number {number}",
                    variant.ident
                ),
            ));
        }
        variants.push((&variant.ident, number, variant.ident.to_string()));
    }
    // Whoever desires the only value there is could not be told from whoever desires nothing.
    let [(first, ..), (second, ..), ..] = variants.as_slice() else {
        return Err(Error::new_spanned(
            &input.ident,
            "an enum of a twin has at least two variants, the first is its value before anything is known: add those that are to come",
        ));
    };
    let name = &input.ident;
    let (variant, number, text): (Vec<_>, Vec<_>, Vec<_>) = split(&variants);
    let bytes: usize = match number.iter().max() {
        Some(0..24) => 1,
        Some(24..256) => 2,
        _ => 3,
    };
    Ok(quote! {
        #[automatically_derived]
        impl ::iot_twin::Leaf for #name {
            const KIND: ::iot_twin::leaf::Kind = ::iot_twin::leaf::Kind::Enum;
            const INITIAL: Self = Self::#first;
            const MAX_BYTES: usize = #bytes;
            const VARIANTS: &'static [::iot_twin::leaf::Variant] =
                &[#(::iot_twin::leaf::Variant::new(#text, #number)),*];

            fn encode(&self, out: &mut ::iot_twin::leaf::LeafWriter<'_>) {
                let number: u16 = match self {
                    #(Self::#variant => #number,)*
                };
                out.unsigned(::core::convert::From::from(number));
            }

            fn decode(
                &mut self,
                input: &mut ::iot_twin::leaf::LeafReader<'_>,
            ) -> ::core::result::Result<(), ::iot_twin::leaf::LeafError> {
                let mut number = 0_u16;
                ::iot_twin::Leaf::decode(&mut number, input)?;
                *self = match number {
                    #(#number => Self::#variant,)*
                    _ => return ::core::result::Result::Err(::iot_twin::leaf::LeafError::Variant),
                };
                ::core::result::Result::Ok(())
            }

            fn same(&self, other: &Self) -> bool {
                ::core::mem::discriminant(self) == ::core::mem::discriminant(other)
            }

            fn other(&self) -> Self {
                if ::core::matches!(self, Self::#first) {
                    Self::#second
                } else {
                    Self::#first
                }
            }
        }

        #[automatically_derived]
        impl ::iot_twin::leaf::Element for #name {}
    })
}

fn split<A: Copy, B: Copy, C: Clone>(all: &[(A, B, C)]) -> (Vec<A>, Vec<B>, Vec<C>) {
    let mut split = (Vec::new(), Vec::new(), Vec::new());
    for (a, b, c) in all {
        split.0.push(*a);
        split.1.push(*b);
        split.2.push(c.clone());
    }
    split
}

fn number(variant: &Variant) -> Result<u16> {
    if !matches!(variant.fields, Fields::Unit) {
        return Err(Error::new_spanned(
            &variant.fields,
            "a variant of a twin's enum holds nothing: give what it holds fields of their own",
        ));
    }
    match &variant.discriminant {
        Some((
            _,
            Expr::Lit(ExprLit {
                lit: Lit::Int(number),
                ..
            }),
        )) => number.base10_parse(),
        _ => Err(Error::new_spanned(
            &variant.ident,
            format!(
                "give `{0}` its number, which travels and must stay the same when variants come and go: `{0} = 1`",
                variant.ident
            ),
        )),
    }
}
