//! What a field's `#[twin(…)]` says.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Field, Ident, Lit, LitInt, LitStr, Path, Result, Token};

/// A field, checked.
pub(crate) struct Property<'a> {
    pub(crate) field: &'a Field,
    pub(crate) name: &'a Ident,
    pub(crate) desired: bool,
    pub(crate) id: u16,
    pub(crate) unit: Option<LitStr>,
    pub(crate) range: Option<(Bound, Bound)>,
    pub(crate) deadband: Option<Bound>,
}

/// A number, perhaps negative, or the path of a constant.
pub(crate) struct Bound(TokenStream);

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
        let Some(desired) = options.desired else {
            return Err(Error::new(
                name.span(),
                format!(
                    "who states `{name}`? Write #[twin(desired)] if the service says what it should be, or \
                     #[twin(reported)] if the device says what it is"
                ),
            ));
        };
        if let (true, Some((_, span))) = (desired, &options.deadband) {
            return Err(Error::new(
                *span,
                "a deadband holds back reports of small changes: it belongs to a `reported` field",
            ));
        }
        Ok(Self {
            field,
            name,
            desired,
            id: options.id.unwrap_or(place),
            unit: options.unit,
            range: options.range,
            deadband: options.deadband.map(|(bound, _)| bound),
        })
    }
}

#[derive(Default)]
struct Options {
    desired: Option<bool>,
    id: Option<u16>,
    unit: Option<LitStr>,
    range: Option<(Bound, Bound)>,
    deadband: Option<(Bound, Span)>,
}

impl Options {
    fn read(&mut self, input: ParseStream<'_>) -> Result<()> {
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            let twice = || Error::new(key.span(), format!("`{key}` is given twice"));
            match key.to_string().as_str() {
                word @ ("desired" | "reported") => {
                    if self.desired.replace(word == "desired").is_some() {
                        return Err(Error::new(
                            key.span(),
                            "a field is either `desired` or `reported`: the device also reports what a \
                             desired field really is",
                        ));
                    }
                }
                "id" => {
                    input.parse::<Token![=]>()?;
                    let number: LitInt = input.parse()?;
                    if self.id.replace(number.base10_parse()?).is_some() {
                        return Err(twice());
                    }
                }
                "unit" => {
                    input.parse::<Token![=]>()?;
                    if self.unit.replace(input.parse()?).is_some() {
                        return Err(twice());
                    }
                }
                "range" => {
                    input.parse::<Token![=]>()?;
                    let least = input.parse()?;
                    if input.peek(Token![..]) && !input.peek(Token![..=]) {
                        return Err(
                            input.error("write `..=`: both ends of a range are allowed values")
                        );
                    }
                    input.parse::<Token![..=]>()?;
                    if self.range.replace((least, input.parse()?)).is_some() {
                        return Err(twice());
                    }
                }
                "deadband" => {
                    input.parse::<Token![=]>()?;
                    if self
                        .deadband
                        .replace((input.parse()?, key.span()))
                        .is_some()
                    {
                        return Err(twice());
                    }
                }
                _ => {
                    return Err(Error::new(
                        key.span(),
                        format!(
                            "`{key}` is not known here: use desired, reported, id, unit, range or deadband"
                        ),
                    ));
                }
            }
            if input.is_empty() {
                break;
            }
            input.parse::<Token![,]>()?;
        }
        Ok(())
    }
}

impl Parse for Bound {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let minus: Option<Token![-]> = input.parse()?;
        if input.peek(Lit) {
            let number: Lit = input.parse()?;
            return match number {
                Lit::Int(_) | Lit::Float(_) => Ok(Self(quote!(#minus #number))),
                other => Err(Error::new(other.span(), "expected a number or a constant")),
            };
        }
        let path: Path = input
            .parse()
            .map_err(|error| Error::new(error.span(), "expected a number or a constant"))?;
        Ok(Self(quote!(#minus #path)))
    }
}

impl ToTokens for Bound {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.0.to_tokens(tokens);
    }
}
