/// Declares the commands a device understands, each with the class that says what a power cut means.
///
/// It makes an enum that implements [`Command`](crate::command::Command), `Clone`, `Debug` and `PartialEq`.
/// On the wire a command is an array: its name as text, then its fields in order. So renaming a command,
/// or changing its fields, makes another command; the order of the variants is free. A field may have any
/// type that `minicbor` encodes without a heap: `bool`, integers, floats, `[T; N]`, `Option`.
///
/// Each variant carries one of `#[transactional]`, `#[idempotent]`, `#[probed]`, `#[opaque]`; a variant
/// without one does not compile. Commands of one lane run one at a time, in the order in which they came;
/// all are in lane 0 unless told otherwise, as in `#[opaque, lane = 1]`.
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
///         /// Lets one person in, whatever the valve is doing.
///         #[opaque, lane = 1]
///         Unlock,
///     }
/// }
///
/// assert_eq!(Job::SetValve { open: true }.class(), Class::Idempotent);
/// assert_eq!((Job::Unlock.name(), Job::Unlock.lane()), ("Unlock", 1));
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
    (@variants $head:tt $done:tt $docs:tt [] #[transactional $(, lane = $lane:literal)?] $($rest:tt)*) => {
        $crate::__commands! { @variants $head $done $docs [Transactional $($lane)?] $($rest)* }
    };
    (@variants $head:tt $done:tt $docs:tt [] #[idempotent $(, lane = $lane:literal)?] $($rest:tt)*) => {
        $crate::__commands! { @variants $head $done $docs [Idempotent $($lane)?] $($rest)* }
    };
    (@variants $head:tt $done:tt $docs:tt [] #[probed $(, lane = $lane:literal)?] $($rest:tt)*) => {
        $crate::__commands! { @variants $head $done $docs [Probed $($lane)?] $($rest)* }
    };
    (@variants $head:tt $done:tt $docs:tt [] #[opaque $(, lane = $lane:literal)?] $($rest:tt)*) => {
        $crate::__commands! { @variants $head $done $docs [Opaque $($lane)?] $($rest)* }
    };
    (@variants $head:tt $done:tt [$($docs:tt)*] $class:tt #[$($other:tt)*] $($rest:tt)*) => {
        $crate::__commands! { @variants $head $done [$($docs)* #[$($other)*]] $class $($rest)* }
    };
    (@variants $head:tt [$($done:tt)*] $docs:tt [$($class:tt)+] $variant:ident { $($fields:tt)* } $(, $($rest:tt)*)?) => {
        $crate::__commands! { @variants $head [$($done)* { $docs [$($class)+] $variant [{ $($fields)* }] }] [] [] $($($rest)*)? }
    };
    (@variants $head:tt [$($done:tt)*] $docs:tt [$($class:tt)+] $variant:ident $(, $($rest:tt)*)?) => {
        $crate::__commands! { @variants $head [$($done)* { $docs [$($class)+] $variant [] }] [] [] $($($rest)*)? }
    };
    (@variants $head:tt $done:tt $docs:tt [] $variant:ident $($rest:tt)*) => {
        compile_error!(concat!(
            "say what a power cut means for ", stringify!($variant),
            ": #[transactional], #[idempotent], #[probed] or #[opaque]"
        ));
    };
    (@variants [$(#[$meta:meta])* $vis:vis $name:ident] [$({
        [$($docs:tt)*] [$class:ident $($lane:literal)?] $variant:ident
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

            fn lane(&self) -> u8 {
                match self {
                    $(Self::$variant { .. } => 0 $(+ $lane)?,)*
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
                        encoder.writer_mut()
                            .write_all($crate::__commands!(@head $variant $($($field)*)?))
                            .map_err($crate::command::__minicbor::encode::Error::write)?;
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
                $(if $crate::command::__skip(decoder, $crate::__commands!(@head $variant $($($field)*)?)) {
                    return ::core::result::Result::Ok(Self::$variant { $($($field: $crate::command::__field(decoder)?),*)? });
                })*
                ::core::result::Result::Err($crate::command::__minicbor::decode::Error::message(
                    "no command of this name and number of fields",
                ))
            }
        }
    };
    // The encoded head of the array and its name: known when it is compiled, so nothing is parsed later.
    (@head $variant:ident $($field:ident)*) => {
        const {
            &$crate::command::__head::<{ $crate::command::__head_bytes(stringify!($variant)) }>(
                1 $(+ $crate::__commands!(@one $field))*,
                stringify!($variant),
            )
        }
    };
    (@one $field:ident) => { 1 };
}
