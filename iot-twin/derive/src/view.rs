//! The struct with the desired fields alone.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::DeriveInput;

use crate::attribute::{Part, Property};

pub(crate) fn view(input: &DeriveInput, view: &Ident, properties: &[Property<'_>]) -> TokenStream {
    let (name, visibility) = (&input.ident, &input.vis);
    let desired: Vec<_> = properties
        .iter()
        .filter(|property| property.is_desired())
        .collect();
    let field: Vec<_> = desired.iter().map(|property| property.name).collect();
    let kind = desired.iter().map(|property| {
        let kind = property.kind();
        match property.part {
            Part::Leaf(_) => quote!(#kind),
            Part::Group => quote!(<#kind as ::iot_twin::Twin>::Desired),
        }
    });
    let visibilities = desired.iter().map(|property| &property.field.vis);
    let docs = desired.iter().map(docs);
    let of = desired.iter().map(|property| {
        let name = property.name;
        match property.part {
            Part::Leaf(_) => quote!(::core::clone::Clone::clone(&twin.#name)),
            Part::Group => quote!(::iot_twin::Desired::of(&twin.#name)),
        }
    });
    let put = desired.iter().map(|property| {
        let name = property.name;
        match property.part {
            Part::Leaf(_) => quote!(twin.#name = ::core::clone::Clone::clone(&self.#name);),
            Part::Group => quote!(::iot_twin::Desired::put(&self.#name, &mut twin.#name);),
        }
    });
    let shown = desired.iter().map(|property| {
        let (name, text) = (property.name, property.text());
        let sensitive = property
            .leaf()
            .is_some_and(|leaf| leaf.sensitivity.is_some());
        if sensitive {
            quote!(.field(#text, &::core::format_args!("(not shown)")))
        } else {
            quote!(.field(#text, &self.#name))
        }
    });
    let doc = format!("The fields of [`{name}`] that a service can desire.");
    let view_text = view.to_string();
    quote! {
        #[doc = #doc]
        #[derive(Clone, PartialEq)]
        #[allow(clippy::exhaustive_structs, reason = "as its struct is")]
        #visibility struct #view {
            #(#docs #visibilities #field: #kind,)*
        }

        #[automatically_derived]
        #[allow(unused_variables, reason = "written by a macro")]
        impl ::iot_twin::Desired for #view {
            type Twin = #name;
            fn of(twin: &#name) -> Self {
                Self { #(#field: #of,)* }
            }
            fn put(&self, twin: &mut #name) {
                #(#put)*
            }
        }

        #[automatically_derived]
        impl ::core::fmt::Debug for #view {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(#view_text)#(#shown)*.finish()
            }
        }
    }
}

fn docs(property: &&Property<'_>) -> TokenStream {
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
}
