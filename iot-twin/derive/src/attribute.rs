//! What a field's `#[twin(…)]` says.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Field, Ident, Lit, LitInt, LitStr, Path, Result, Token, Type};

const LOCAL: [&str; 5] = ["FollowDesired", "LocalSticky", "LastIntent", "Max", "Or"];

/// A field, checked.
pub(crate) struct Property<'a> {
    pub(crate) field: &'a Field,
    pub(crate) name: &'a Ident,
    pub(crate) id: u16,
    pub(crate) part: Part,
}

/// A value, or a struct with more fields.
pub(crate) enum Part {
    Group,
    Leaf(Box<Leaf>),
}

/// What is said of a value.
#[derive(Default)]
pub(crate) struct Leaf {
    pub(crate) desired: bool,
    pub(crate) reported: bool,
    pub(crate) unit: Option<LitStr>,
    pub(crate) range: Option<(Bound, Bound)>,
    pub(crate) deadband: Option<Bound>,
    pub(crate) local: Option<Ident>,
    pub(crate) sensitivity: Option<Ident>,
}

/// A number, perhaps negative, or the path of a constant.
pub(crate) struct Bound {
    as_written: TokenStream,
    /// Where no type says what a number is.
    alone: TokenStream,
}

impl<'a> Property<'a> {
    pub(crate) fn read(field: &'a Field, place: usize) -> Result<Self> {
        let name = field.ident.as_ref().ok_or_else(|| {
            Error::new(
                field.span(),
                "a twin's fields have names: write a struct with braces",
            )
        })?;
        let place = u16::try_from(place)
            .map_err(|_| Error::new(name.span(), "a twin has at most 65,536 fields"))?;
        let mut options = Options::default();
        for attribute in &field.attrs {
            if attribute.path().is_ident("twin") {
                attribute.parse_args_with(|input: ParseStream<'_>| options.read(input))?;
            }
        }
        let id = options.id;
        let part = options.check(name)?;
        Ok(Self {
            field,
            name,
            id: id.unwrap_or(place),
            part,
        })
    }

    /// The name in documents.
    pub(crate) fn text(&self) -> String {
        let name = self.name.to_string();
        name.strip_prefix("r#").unwrap_or(&name).to_owned()
    }

    pub(crate) const fn kind(&self) -> &Type {
        &self.field.ty
    }

    pub(crate) const fn leaf(&self) -> Option<&Leaf> {
        match &self.part {
            Part::Leaf(leaf) => Some(leaf),
            Part::Group => None,
        }
    }

    /// Whether the view of what is desired has it.
    pub(crate) fn is_desired(&self) -> bool {
        self.leaf().is_none_or(|leaf| leaf.desired)
    }
}

#[derive(Default)]
struct Options {
    group: Option<Span>,
    id: Option<u16>,
    /// What a group cannot have: the first of it.
    detail: Option<(String, Span)>,
    deadband: Option<Span>,
    leaf: Leaf,
}

impl Options {
    fn read(&mut self, input: ParseStream<'_>) -> Result<()> {
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            let word = key.to_string();
            if self.option(&word, &key, input)? {
                return Err(Error::new(key.span(), format!("`{key}` is given twice")));
            }
            if word != "group" && word != "id" && self.detail.is_none() {
                self.detail = Some((word, key.span()));
            }
            if input.is_empty() {
                break;
            }
            input.parse::<Token![,]>()?;
        }
        Ok(())
    }

    /// Takes one option in; says whether it was there before.
    fn option(&mut self, word: &str, key: &Ident, input: ParseStream<'_>) -> Result<bool> {
        let leaf = &mut self.leaf;
        Ok(match word {
            "desired" => core::mem::replace(&mut leaf.desired, true),
            "reported" => core::mem::replace(&mut leaf.reported, true),
            "group" => self.group.replace(key.span()).is_some(),
            "personal" | "secret" => {
                let name = if word == "secret" {
                    "Secret"
                } else {
                    "Personal"
                };
                let name = Ident::new(name, key.span());
                leaf.sensitivity.replace(name).is_some()
            }
            "id" => {
                let number: LitInt = assigned(input)?;
                self.id.replace(number.base10_parse()?).is_some()
            }
            "unit" => leaf.unit.replace(assigned(input)?).is_some(),
            "range" => {
                input.parse::<Token![=]>()?;
                let least = input.parse()?;
                if input.peek(Token![..]) && !input.peek(Token![..=]) {
                    return Err(input.error("write `..=`: both ends of a range are allowed values"));
                }
                input.parse::<Token![..=]>()?;
                leaf.range.replace((least, input.parse()?)).is_some()
            }
            "deadband" => {
                self.deadband = Some(key.span());
                leaf.deadband.replace(assigned(input)?).is_some()
            }
            "local" => {
                let policy: Ident = assigned(input)?;
                if !LOCAL.iter().any(|known| policy == known) {
                    return Err(Error::new(
                        policy.span(),
                        format!("`{policy}` is no policy: use one of {}", LOCAL.join(", ")),
                    ));
                }
                leaf.local.replace(policy).is_some()
            }
            _ => {
                return Err(Error::new(
                    key.span(),
                    format!(
                        "`{key}` is not known here: use desired, reported, group, id, unit, range, deadband, local, \
                         personal or secret"
                    ),
                ));
            }
        })
    }

    /// Whether the options agree with each other.
    fn check(self, name: &Ident) -> Result<Part> {
        let leaf = self.leaf;
        if self.group.is_some() {
            return match (self.detail, self.id) {
                (Some((word, span)), _) => Err(Error::new(
                    span,
                    format!(
                        "`{word}` belongs to the fields of the group: write it inside its struct"
                    ),
                )),
                (None, None) => Err(Error::new(
                    name.span(),
                    format!(
                        "give the group `{name}` the first number of its range, and leave room for fields to come: \
                         #[twin(group, id = 16)]"
                    ),
                )),
                (None, Some(_)) => Ok(Part::Group),
            };
        }
        if !leaf.desired && !leaf.reported {
            return Err(Error::new(
                name.span(),
                format!(
                    "who states `{name}`? Write #[twin(desired)] if the service says what it should be, \
                     #[twin(reported)] if the device says what it is, both if it is also measured; for a struct with \
                     #[derive(Twin)] write #[twin(group, id = …)]"
                ),
            ));
        }
        if let (false, Some(span)) = (leaf.reported, self.deadband) {
            return Err(Error::new(
                span,
                "a deadband holds back reports of small changes: it belongs to a `reported` field",
            ));
        }
        if let (true, Some(policy)) = (leaf.reported, &leaf.local) {
            return Err(Error::new(
                policy.span(),
                "a policy for edits made at the device belongs to a field that is `desired` and nothing else: what is \
                 measured is no edit",
            ));
        }
        Ok(Part::Leaf(Box::new(leaf)))
    }
}

impl Leaf {
    /// The variant of `Access`.
    pub(crate) fn access(&self) -> Ident {
        format_ident!(
            "{}",
            match (self.desired, self.reported) {
                (true, true) => "Both",
                (true, false) => "Desired",
                (false, _) => "Reported",
            }
        )
    }

    /// Whether the greater of two values wins.
    pub(crate) fn is_ranked(&self) -> bool {
        self.local
            .as_ref()
            .is_some_and(|local| local == "Max" || local == "Or")
    }
}

fn assigned<V: Parse>(input: ParseStream<'_>) -> Result<V> {
    input.parse::<Token![=]>()?;
    input.parse()
}

impl Parse for Bound {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let minus: Option<Token![-]> = input.parse()?;
        if input.peek(Lit) {
            let number: Lit = input.parse()?;
            return match number {
                Lit::Int(_) | Lit::Float(_) => {
                    let wide = widened(&number);
                    Ok(Self {
                        as_written: quote!(#minus #number),
                        alone: quote!(#minus #wide),
                    })
                }
                other => Err(Error::new(other.span(), "expected a number or a constant")),
            };
        }
        let path: Path = input
            .parse()
            .map_err(|error| Error::new(error.span(), "expected a number or a constant"))?;
        let as_written = quote!(#minus #path);
        Ok(Self {
            alone: as_written.clone(),
            as_written,
        })
    }
}

impl Bound {
    /// What the compiler says of it shall point at it.
    pub(crate) fn borrowed(&self) -> TokenStream {
        let bound = &self.as_written;
        quote_spanned!(bound.span()=> &(#bound))
    }

    /// As a schema has it.
    pub(crate) fn as_f64(&self) -> TokenStream {
        let bound = &self.alone;
        quote!((#bound) as f64)
    }
}

/// A whole number that is no `i32`, which the compiler takes one without a type for.
fn widened(number: &Lit) -> TokenStream {
    match number {
        Lit::Int(whole) if whole.suffix().is_empty() && whole.base10_parse::<i32>().is_err() => {
            let typed = format!("{}_i128", whole.base10_digits());
            let typed = LitInt::new(&typed, whole.span());
            quote!(#typed)
        }
        other => quote!(#other),
    }
}

impl ToTokens for Bound {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.as_written.to_tokens(tokens);
    }
}
