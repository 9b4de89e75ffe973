#![no_std]
#![doc = include_str!("../README.md")]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;
// The derive macro writes `::iot_twin`, in this crate's own tests too.
extern crate self as iot_twin;

#[cfg(feature = "derive")]
pub mod component;
pub mod config;
#[cfg(feature = "alloc")]
pub mod diff;
#[cfg(feature = "alloc")]
pub mod document;
#[cfg(feature = "alloc")]
pub mod dynamic;
#[cfg(feature = "json")]
pub mod interop;
pub mod leaf;
#[cfg(feature = "alloc")]
pub mod merge;
#[cfg(feature = "alloc")]
pub mod path;
pub mod reflect;
#[cfg(feature = "registry")]
pub mod registry;
pub mod schema;
pub mod sync;
pub mod telemetry;
#[cfg(feature = "alloc")]
pub mod value;

pub use iot_core;

#[cfg(feature = "derive")]
pub use iot_twin_derive::{Twin, TwinEnum};

pub use leaf::{Leaf, Text};
pub use reflect::{Desired, Twin};
pub use schema::{FieldId, LocalEdit, Sensitivity};
#[cfg(feature = "alloc")]
pub use sync::TwinService;
pub use sync::{Change, Code, Timing, TwinDevice, Version};
#[cfg(feature = "alloc")]
pub use value::Value;
