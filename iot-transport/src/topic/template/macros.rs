//! The struct of a template that is known as the program is compiled.

use super::Template;
use super::check::same;
use super::kind::Kind;

/// Makes a struct of a [`Template`](crate::topic::template::Template), with a field of the same name for each of its
/// fields.
///
/// The struct has `TEMPLATE`, `parse(topic)` and `write(self, buffer)`; filters are made with
/// `TEMPLATE.filter(buffer, …)`. It derives `Clone`, `Copy`, `Debug`, `Eq`, `Hash` and `PartialEq`. A field is of the
/// Rust type that [`Kind`](crate::topic::template::Kind) names; with text among them the struct has one lifetime. The
/// fields stand in the order of the template. What is a keyword is written as `r#type`.
///
/// ```
/// iot_transport::template! {
///     /// Where a shadow tells what became of an update.
///     pub struct ShadowReply<'a> = "$aws/things/{thing}/shadow/name/{shadow:name}/update/{what}" {
///         thing: &'a str,
///         shadow: &'a str,
///         what: &'a str,
///     }
/// }
///
/// let topic = "$aws/things/boiler-7/shadow/name/config/update/accepted";
/// let reply = ShadowReply::parse(topic)?;
/// assert_eq!(reply, ShadowReply { thing: "boiler-7", shadow: "config", what: "accepted" });
/// let mut buffer = [0; 256];
/// assert_eq!(reply.write(&mut buffer)?, topic);
/// let filter = ShadowReply::TEMPLATE.filter(&mut buffer, &[("thing", "boiler-7".into())])?;
/// assert_eq!(filter, "$aws/things/boiler-7/shadow/name/+/update/+");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// What does not fit does not compile: a fault of the template, a misspelt field, a wrong type.
///
/// ```compile_fail
/// iot_transport::template! { struct Twin<'a> = "plant/{line}{machine}" { line: &'a str, machine: &'a str } }
/// ```
/// ```compile_fail
/// iot_transport::template! { struct Twin<'a> = "plant/{line}" { lime: &'a str } }
/// ```
/// ```compile_fail
/// iot_transport::template! { struct Twin = "plant/{line:u32}" { line: u16 } }
/// ```
#[macro_export]
macro_rules! template {
    ($(#[$meta:meta])* $vis:vis struct $name:ident = $text:literal { $($fields:tt)* }) => {
        $crate::template! { @make $(#[$meta])* $vis $name [] ['_ 'static] $text { $($fields)* } }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$life:lifetime> = $text:literal { $($fields:tt)* }) => {
        $crate::template! { @make $(#[$meta])* $vis $name [<$life>] [$life $life] $text { $($fields)* } }
    };
    (
        @make $(#[$meta:meta])* $vis:vis $name:ident [$($generics:tt)*] [$topic:lifetime $value:lifetime] $text:literal
        { $($(#[$about:meta])* $field:ident: $type:ty),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        $vis struct $name $($generics)* {
            $(
                #[doc = concat!("The field `", stringify!($field), "` of the template.")]
                $(#[$about])*
                $vis $field: $type,
            )*
        }

        // The compiler evaluates the constant of an impl only where it is used.
        const _: $crate::topic::template::Template<'static> = $name::TEMPLATE;

        #[allow(dead_code, reason = "who only listens does not write, and the other way round")]
        impl $($generics)* $name $($generics)* {
            #[doc = concat!("`", $text, "`")]
            $vis const TEMPLATE: $crate::topic::template::Template<'static> = $crate::topic::template::checked(
                $text,
                &[$((
                    stringify!($field),
                    <$type as $crate::topic::template::FieldValue<$value>>::KINDS,
                )),*],
            );

            /// Reads a topic where it stands.
            ///
            /// # Errors
            ///
            /// `MatchError` for anything that `write` does not write.
            $vis fn parse(
                topic: &$topic str,
            ) -> ::core::result::Result<Self, $crate::topic::template::MatchError> {
                let values = Self::TEMPLATE.parse(topic)?;
                // Names and types were held against the template as this was compiled: each is there.
                let missing = $crate::topic::template::MatchError::Layout { at: 0 };
                ::core::result::Result::Ok(Self {
                    $($field: values
                        .get($crate::topic::template::plain(stringify!($field)))
                        .map_err(|_| missing)?,)*
                })
            }

            /// Writes the topic to the front of `buffer`.
            ///
            /// # Errors
            ///
            /// `WriteError` when a value is not one that its field may have, and when `buffer` is too small.
            // By value, so that no lifetime needs a name here: names of lifetimes are not the macro's own, and the
            // struct may have the same one.
            $vis fn write(
                self,
                buffer: &mut [u8],
            ) -> ::core::result::Result<&str, $crate::topic::template::WriteError> {
                Self::TEMPLATE.write(
                    buffer,
                    &[$(($crate::topic::template::plain(stringify!($field)), self.$field.into())),*],
                )
            }
        }
    };
}

/// The template, if its fields have these names and one of these kinds each.
///
/// # Panics
///
/// If they do not; in a constant it does not compile.
#[must_use]
pub const fn checked(text: &'static str, fields: &[(&str, &[Kind])]) -> Template<'static> {
    let complaint = match Template::new(text) {
        Ok(_) => complaint(text.as_bytes(), fields),
        Err(error) => error.fault.remedy(),
    };
    assert!(complaint.is_empty(), "{}", complaint);
    Template { text }
}

const fn complaint(template: &[u8], fields: &[(&str, &[Kind])]) -> &'static str {
    let (mut left, mut fields) = (template, fields);
    while let Some((brace, behind)) = left.split_first() {
        left = behind;
        if *brace != b'{' {
            continue;
        }
        let Some(((name, kinds), others)) = fields.split_first() else {
            return "the template has more fields than the struct";
        };
        let Some((found, kind, behind)) = super::check::field_at(left) else {
            return "the template has a fault";
        };
        if !same(found, plain(name).as_bytes()) {
            return "the fields of the struct are named otherwise than those of the template, or in another order";
        }
        if !holds(kinds, kind) {
            return "a field of the struct is of another type than the template says";
        }
        (left, fields) = (behind, others);
    }
    if fields.is_empty() {
        ""
    } else {
        "the struct has more fields than the template"
    }
}

const fn holds(kinds: &[Kind], kind: Kind) -> bool {
    let mut left = kinds;
    while let Some((first, others)) = left.split_first() {
        if first.is(kind) {
            return true;
        }
        left = others;
    }
    false
}

/// An identifier without the mark that makes it one.
#[must_use]
pub const fn plain(identifier: &str) -> &str {
    match identifier.as_bytes() {
        [b'r', b'#', name @ ..] => match core::str::from_utf8(name) {
            Ok(name) => name,
            Err(_) => identifier,
        },
        _ => identifier,
    }
}
