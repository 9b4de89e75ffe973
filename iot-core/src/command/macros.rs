/// Declares the commands a device understands, each with the class that says what a power cut means.
///
/// It makes an enum that implements [`Command`](crate::command::Command), `Clone`, `Debug` and `PartialEq`.
/// On the wire a command is an array: its name as text, then its fields in order. So renaming a command,
/// or changing its fields, makes another command; the order of the variants is free. A field may have any
/// type that `minicbor` encodes without a heap: `bool`, integers, floats, `[T; N]`, `Option`.
///
/// Each variant carries one of `#[transactional]`, `#[idempotent]`, `#[probed]`, `#[opaque]`; a variant
/// without one does not compile.
///
/// ```
/// use iot_core::command::{Class, Command};
///
/// iot_core::commands! {
///     /// What this door does.
///     pub enum Job {
///         /// Opens or closes the valve.
///         #[idempotent]
///         SetValve { open: bool },
///         /// Lets one person in.
///         #[opaque]
///         Unlock,
///     }
/// }
///
/// assert_eq!(Job::SetValve { open: true }.class(), Class::Idempotent);
/// assert_eq!(Job::Unlock.name(), "Unlock");
/// ```
///
/// ```compile_fail
/// iot_core::commands! { enum Job { Unlock } } // what does a power cut mean here?
/// ```
#[macro_export]
macro_rules! commands {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($variants:tt)* }) => {
        $crate::__commands! { @variants [$(#[$meta])* $vis $name] [] [] [] $($variants)* }
    };
}

// A muncher, because macro_rules cannot tell `#[doc = ...]` from `#[opaque]` in one pattern. It carries the
// head of the enum, the finished variants, and the other attributes and the class of the current variant.
#[doc(hidden)]
#[macro_export]
macro_rules! __commands {
    (@variants $head:tt $done:tt $docs:tt [] #[transactional] $($rest:tt)*) => {
        $crate::__commands! { @variants $head $done $docs [Transactional] $($rest)* }
    };
    (@variants $head:tt $done:tt $docs:tt [] #[idempotent] $($rest:tt)*) => {
        $crate::__commands! { @variants $head $done $docs [Idempotent] $($rest)* }
    };
    (@variants $head:tt $done:tt $docs:tt [] #[probed] $($rest:tt)*) => {
        $crate::__commands! { @variants $head $done $docs [Probed] $($rest)* }
    };
    (@variants $head:tt $done:tt $docs:tt [] #[opaque] $($rest:tt)*) => {
        $crate::__commands! { @variants $head $done $docs [Opaque] $($rest)* }
    };
    (@variants $head:tt $done:tt [$($docs:tt)*] $class:tt #[$($other:tt)*] $($rest:tt)*) => {
        $crate::__commands! { @variants $head $done [$($docs)* #[$($other)*]] $class $($rest)* }
    };
    (@variants $head:tt [$($done:tt)*] $docs:tt [$class:ident] $variant:ident { $($fields:tt)* } $(, $($rest:tt)*)?) => {
        $crate::__commands! { @variants $head [$($done)* { $docs $class $variant [{ $($fields)* }] }] [] [] $($($rest)*)? }
    };
    (@variants $head:tt [$($done:tt)*] $docs:tt [$class:ident] $variant:ident $(, $($rest:tt)*)?) => {
        $crate::__commands! { @variants $head [$($done)* { $docs $class $variant [] }] [] [] $($($rest)*)? }
    };
    (@variants $head:tt $done:tt $docs:tt [] $variant:ident $($rest:tt)*) => {
        compile_error!(concat!(
            "say what a power cut means for ", stringify!($variant),
            ": #[transactional], #[idempotent], #[probed] or #[opaque]"
        ));
    };
    (@variants [$(#[$meta:meta])* $vis:vis $name:ident] [$({
        [$($docs:tt)*] $class:ident $variant:ident
        [$({ $($(#[$field_meta:meta])* $field:ident : $type:ty),* $(,)? })?]
    })*] [] []) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $name {
            $($($docs)* $variant $({ $($(#[$field_meta])* $field: $type),* })?,)*
        }

        impl $crate::command::Command for $name {
            fn class(&self) -> $crate::command::Class {
                match self {
                    $(Self::$variant { .. } => $crate::command::Class::$class,)*
                }
            }

            fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => stringify!($variant),)*
                }
            }
        }

        impl $crate::command::__minicbor::Encode<()> for $name {
            fn encode<W: $crate::command::__minicbor::encode::Write>(
                &self,
                encoder: &mut $crate::command::__minicbor::Encoder<W>,
                _: &mut (),
            ) -> ::core::result::Result<(), $crate::command::__minicbor::encode::Error<W::Error>> {
                match self {
                    $(Self::$variant { $($($field),*)? } => {
                        encoder
                            .array(1 $($(+ $crate::__commands!(@one $field))*)?)?
                            .str(stringify!($variant))?;
                        $($(encoder.encode($field)?;)*)?
                    })*
                }
                ::core::result::Result::Ok(())
            }
        }

        impl<'b> $crate::command::__minicbor::Decode<'b, ()> for $name {
            fn decode(
                decoder: &mut $crate::command::__minicbor::Decoder<'b>,
                _: &mut (),
            ) -> ::core::result::Result<Self, $crate::command::__minicbor::decode::Error> {
                let items = decoder.array()?;
                let name = decoder.str()?;
                $(if name == stringify!($variant)
                    && items == ::core::option::Option::Some(1 $($(+ $crate::__commands!(@one $field))*)?)
                {
                    return ::core::result::Result::Ok(Self::$variant { $($($field: decoder.decode()?),*)? });
                })*
                ::core::result::Result::Err($crate::command::__minicbor::decode::Error::message(
                    "no command of this name and number of fields",
                ))
            }
        }
    };
    (@one $field:ident) => { 1 };
}
