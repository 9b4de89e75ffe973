//! Support code shared by the programs of this package.

// The README's example is a test of this package: it composes crates that never depend on each other.
#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
pub struct Readme;
