//! Writes the implementation.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{DeriveInput, Result};

use crate::attribute::{Part, Property};
use crate::check::{checks, properties};
use crate::view::view;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let properties = properties(input)?;
    let name = &input.ident;
    let view_name = format_ident!("{name}Desired");
    let view = view(input, &view_name, &properties);
    let checks = checks(&properties);

    let places: Vec<_> = (0..=properties.len())
        .map(|at| format_ident!("P{at}"))
        .collect();
    let count = places.last();
    let place = places.iter();
    let next = places.iter().skip(1);
    let width = properties.iter().map(|property| match property.part {
        Part::Leaf(_) => quote!(1),
        Part::Group => {
            let kind = property.kind();
            quote!(<#kind as ::iot_twin::Twin>::COUNT)
        }
    });
    let field = properties.iter().map(|property| property.name);
    let initial = properties.iter().map(|property| {
        let kind = property.kind();
        match property.part {
            Part::Leaf(_) => quote!(<#kind as ::iot_twin::Leaf>::INITIAL),
            Part::Group => quote!(<#kind as ::iot_twin::Twin>::INITIAL),
        }
    });
    let schema = arms(&properties, &places, schema);
    let node = arms(&properties, &places, node);
    let index = arms(&properties, &places, index);
    let encode = arms(&properties, &places, encode);
    let decode = arms(&properties, &places, decode);
    let accepts = arms(&properties, &places, accepts);
    let copy = arms(&properties, &places, copy);
    let moved = arms(&properties, &places, moved);
    let reaches = arms(&properties, &places, reaches);
    let disturb = arms(&properties, &places, disturb);

    Ok(quote! {
        #view

        #[automatically_derived]
        #[allow(clippy::indexing_slicing, unused_variables, reason = "written by a macro")]
        const _: () = {
            use ::iot_twin::leaf::{LeafError, LeafReader, LeafWriter};

            const P0: usize = 0;
            #(const #next: usize = #place + #width;)*
            #checks

            impl ::iot_twin::Twin for #name {
                type Desired = #view_name;
                type Slots = [::iot_twin::sync::Slot; #count];
                type Fields = &'static [::iot_twin::schema::Field];
                const COUNT: usize = #count;
                const SPAN: u32 = ::iot_twin::schema::span(Self::SCHEMA);
                const SCHEMA: &'static [::iot_twin::schema::Schema] = &{
                    let all = [::iot_twin::schema::Schema::EMPTY; #count];
                    #(#schema)*
                    all
                };
                const FIELDS: &'static [::iot_twin::schema::Field] =
                    &::iot_twin::schema::fields::<#count>(Self::SCHEMA);
                const TREE: &'static [::iot_twin::schema::Node] = &[#(#node),*];
                const INITIAL: Self = Self { #(#field: #initial,)* };
                const SLOTS: Self::Slots = [::iot_twin::sync::Slot::EMPTY; #count];

                fn index(id: u16) -> ::core::option::Option<usize> {
                    ::core::option::Option::Some(match id {
                        #(#index)*
                        _ => return ::core::option::Option::None,
                    })
                }

                #[inline]
                fn fields(&self) -> Self::Fields {
                    Self::FIELDS
                }

                fn encode(&self, index: usize, out: &mut LeafWriter<'_>) {
                    match index {
                        #(#encode)*
                        _ => {}
                    }
                }

                fn decode(
                    &mut self,
                    index: usize,
                    input: &mut LeafReader<'_>,
                ) -> ::core::result::Result<(), LeafError> {
                    match index {
                        #(#decode)*
                        _ => ::core::result::Result::Err(LeafError::Unknown),
                    }
                }

                fn accepts(&self, index: usize) -> bool {
                    match index {
                        #(#accepts)*
                        _ => index < #count,
                    }
                }

                fn copy(&mut self, index: usize, other: &Self) {
                    match index {
                        #(#copy)*
                        _ => {}
                    }
                }

                fn moved(&self, index: usize, told: &Self) -> bool {
                    match index {
                        #(#moved)*
                        _ => false,
                    }
                }

                fn reaches(&self, index: usize, other: &Self) -> bool {
                    match index {
                        #(#reaches)*
                        _ => false,
                    }
                }

                fn disturb(&mut self, index: usize) {
                    match index {
                        #(#disturb)*
                        _ => {}
                    }
                }
            }
        };
    })
}

/// What is written for each field, from its place and the next one's.
fn arms(
    properties: &[Property<'_>],
    places: &[Ident],
    write: impl Fn(&Property<'_>, &Ident, &Ident) -> TokenStream,
) -> Vec<TokenStream> {
    let places = places.iter().zip(places.iter().skip(1));
    let arms = properties.iter().zip(places);
    arms.map(|(property, (at, end))| write(property, at, end))
        .collect()
}

fn schema(property: &Property<'_>, at: &Ident, _: &Ident) -> TokenStream {
    let (kind, id, name) = (property.kind(), property.id, property.text());
    let Some(leaf) = property.leaf() else {
        return quote! {
            let all = ::iot_twin::schema::place(all, #at, #name, #id, <#kind as ::iot_twin::Twin>::SCHEMA);
        };
    };
    let access = leaf.access();
    let unit = leaf.unit.iter().map(|unit| quote!(.with_unit(#unit)));
    let range = leaf
        .range
        .iter()
        .map(|(least, greatest)| (least.as_f64(), greatest.as_f64()))
        .map(|(least, greatest)| quote!(.with_range(#least, #greatest)));
    let deadband = leaf
        .deadband
        .iter()
        .map(|step| step.as_f64())
        .map(|step| quote!(.with_deadband(#step)));
    let local = leaf
        .local
        .iter()
        .map(|policy| quote!(.with_local(::iot_twin::schema::LocalEdit::#policy)));
    let sensitivity = leaf
        .sensitivity
        .iter()
        .map(|level| quote!(.with_sensitivity(::iot_twin::schema::Sensitivity::#level)));
    quote! {
        let all = ::iot_twin::schema::place(all, #at, "", 0, &[
            ::iot_twin::schema::Schema::of::<#kind>(#id, ::iot_twin::schema::Access::#access, #name)
                #(#unit)* #(#range)* #(#deadband)* #(#local)* #(#sensitivity)*
        ]);
    }
}

fn node(property: &Property<'_>, at: &Ident, _: &Ident) -> TokenStream {
    let (name, kind) = (property.text(), property.kind());
    let inner = match property.part {
        Part::Leaf(_) => quote!(&[]),
        Part::Group => quote!(<#kind as ::iot_twin::Twin>::TREE),
    };
    quote!(::iot_twin::schema::Node::new(#name, #at, #inner))
}

fn index(property: &Property<'_>, at: &Ident, _: &Ident) -> TokenStream {
    let (kind, id) = (property.kind(), property.id);
    match property.part {
        Part::Leaf(_) => quote!(#id => #at,),
        // The ranges of groups do not overlap, so what is not in this one is in none.
        Part::Group => quote! {
            #id.. if u32::from(id) < #id as u32 + <#kind as ::iot_twin::Twin>::SPAN =>
                <#kind as ::iot_twin::Twin>::index(id - #id)? + #at,
        },
    }
}

fn encode(property: &Property<'_>, at: &Ident, end: &Ident) -> TokenStream {
    let name = property.name;
    match property.part {
        Part::Leaf(_) => quote!(#at => ::iot_twin::Leaf::encode(&self.#name, out),),
        Part::Group => {
            quote!(#at..#end => ::iot_twin::Twin::encode(&self.#name, index - #at, out),)
        }
    }
}

fn decode(property: &Property<'_>, at: &Ident, end: &Ident) -> TokenStream {
    let name = property.name;
    let Some(leaf) = property.leaf() else {
        return quote!(#at..#end => ::iot_twin::Twin::decode(&mut self.#name, index - #at, input),);
    };
    match &leaf.range {
        Some((least, greatest)) => {
            let (least, greatest) = (least.borrowed(), greatest.borrowed());
            quote! {
                #at => ::iot_twin::leaf::decode_within(&mut self.#name, input, #least, #greatest),
            }
        }
        None => quote!(#at => ::iot_twin::Leaf::decode(&mut self.#name, input),),
    }
}

fn accepts(property: &Property<'_>, at: &Ident, end: &Ident) -> TokenStream {
    let name = property.name;
    let Some(leaf) = property.leaf() else {
        return quote!(#at..#end => ::iot_twin::Twin::accepts(&self.#name, index - #at),);
    };
    match &leaf.range {
        Some((least, greatest)) => {
            let (least, greatest) = (least.borrowed(), greatest.borrowed());
            quote!(#at => ::iot_twin::leaf::within(&self.#name, #least, #greatest),)
        }
        None => TokenStream::new(),
    }
}

fn copy(property: &Property<'_>, at: &Ident, end: &Ident) -> TokenStream {
    let name = property.name;
    match property.part {
        Part::Leaf(_) => {
            quote!(#at => self.#name = ::core::clone::Clone::clone(&other.#name),)
        }
        Part::Group => {
            quote!(#at..#end => ::iot_twin::Twin::copy(&mut self.#name, index - #at, &other.#name),)
        }
    }
}

fn moved(property: &Property<'_>, at: &Ident, end: &Ident) -> TokenStream {
    let name = property.name;
    let Some(leaf) = property.leaf() else {
        return quote!(#at..#end => ::iot_twin::Twin::moved(&self.#name, index - #at, &told.#name),);
    };
    match &leaf.deadband {
        Some(step) => {
            quote!(#at => ::iot_twin::leaf::Measure::moved(&self.#name, &told.#name, #step),)
        }
        None => quote!(#at => !::iot_twin::Leaf::same(&self.#name, &told.#name),),
    }
}

fn reaches(property: &Property<'_>, at: &Ident, end: &Ident) -> TokenStream {
    let name = property.name;
    let Some(leaf) = property.leaf() else {
        return quote!(#at..#end => ::iot_twin::Twin::reaches(&self.#name, index - #at, &other.#name),);
    };
    if leaf.is_ranked() {
        quote!(#at => ::iot_twin::leaf::Ranked::reaches(&self.#name, &other.#name),)
    } else {
        TokenStream::new()
    }
}

fn disturb(property: &Property<'_>, at: &Ident, end: &Ident) -> TokenStream {
    let name = property.name;
    match property.part {
        Part::Leaf(_) => quote!(#at => self.#name = ::iot_twin::Leaf::other(&self.#name),),
        Part::Group => {
            quote!(#at..#end => ::iot_twin::Twin::disturb(&mut self.#name, index - #at),)
        }
    }
}

#[cfg(test)]
mod tests;
